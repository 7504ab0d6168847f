//! The HTTP API for broadcasters: participants that send (and receive) media without a signalling connection, as
//! FFmpeg and GStreamer do. Bodies are JSON, errors plain text.

use std::net::IpAddr;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tureen::{
    consumer::ConsumerType,
    plain_transport::{PlainTransport, PlainTransportRemoteParameters},
    prelude::*,
    sctp_parameters::SctpParameters,
    srtp_parameters::SrtpParameters,
};

use super::{
    codes::status,
    json::{
        self, CreatedTransport, StreamParameters, Tuple, capabilities, describe, remote_dtls, rtp_parameters,
        write,
    },
    protoo::Refusal,
};
use crate::{
    admission::token_of,
    error::Error,
    http::{client::ClientAddress, site::App},
    opaque::Opaque,
    room::{ConsumablePeer, Participant, PlainRequest, Produce, ProduceData, Profile, WebRtcRequest},
    tally::Denied,
};

/// The routes under `/rooms/{room_id}`.
pub(crate) fn routes(max_body: usize) -> Router<App> {
    const BROADCASTER: &str = "/rooms/{room_id}/broadcasters/{broadcaster_id}";
    const TRANSPORT: &str = "/rooms/{room_id}/broadcasters/{broadcaster_id}/transports/{transport_id}";
    Router::new()
        .route("/rooms/{room_id}", get(room_capabilities))
        .route("/rooms/{room_id}/broadcasters", post(add))
        .route(BROADCASTER, delete(remove).get(renew))
        .route(&format!("{BROADCASTER}/transports"), post(create_transport))
        .route(&format!("{TRANSPORT}/connect"), post(connect))
        .route(&format!("{TRANSPORT}/plain-connect"), post(plain_connect))
        .route(&format!("{TRANSPORT}/producers"), post(produce))
        .route(&format!("{TRANSPORT}/consume"), post(consume))
        .route(&format!("{TRANSPORT}/produce/data"), post(produce_data))
        .route(&format!("{TRANSPORT}/consume/data"), post(consume_data))
        .layer(DefaultBodyLimit::max(max_body))
}

/// A broadcaster of the path.
#[derive(Deserialize)]
struct OfBroadcaster {
    room_id: String,
    broadcaster_id: String,
}

/// A transport of the path.
#[derive(Deserialize)]
struct OfTransport {
    room_id: String,
    broadcaster_id: String,
    transport_id: TransportId,
}

/// A broadcaster as it introduces itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddBroadcaster {
    id: String,
    display_name: String,
    device: BroadcasterDevice,
    #[serde(default, deserialize_with = "capabilities")]
    rtp_capabilities: Option<RtpCapabilities>,
}

#[derive(Deserialize)]
struct BroadcasterDevice {
    name: String,
    #[serde(default)]
    version: Option<String>,
}

/// A device as browsers describe theirs.
impl From<BroadcasterDevice> for Opaque {
    fn from(device: BroadcasterDevice) -> Self {
        let members = [
            ("flag", "broadcaster".to_owned()),
            ("name", device.name),
            ("version", device.version.unwrap_or_default()),
        ];
        let members = members.map(|(name, value)| (name.to_owned(), Value::from(value)));
        Map::from_iter(members).into()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateTransport {
    r#type: TransportKind,
    /// Plain transports: RTP and RTCP on one port.
    #[serde(default)]
    rtcp_mux: bool,
    /// Plain transports: the far end's address is that of its first packet.
    #[serde(default = "yes")]
    comedia: bool,
    #[serde(default)]
    sctp_capabilities: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum TransportKind {
    Webrtc,
    Plain,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConnectTransport {
    #[serde(deserialize_with = "remote_dtls")]
    dtls_parameters: DtlsParameters,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProduceBody {
    kind: MediaKind,
    rtp_parameters: RtpParameters,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProduceDataBody {
    sctp_stream_parameters: StreamParameters,
    #[serde(default)]
    label: String,
    #[serde(default)]
    protocol: String,
    app_data: Option<Map<String, Value>>,
}

/// Address and ports to which a broadcaster sends RTP and RTCP.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreatedPlainTransport {
    id: TransportId,
    ip: String,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtcp_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sctp_parameters: Option<SctpParameters>,
}

impl CreatedPlainTransport {
    fn describe(transport: &PlainTransport) -> Self {
        let tuple = transport.tuple();
        Self {
            id: transport.id(),
            ip: tuple.local_address().clone(),
            port: tuple.local_port(),
            rtcp_port: transport.rtcp_tuple().map(|tuple| tuple.local_port()),
            sctp_parameters: transport.sctp_parameters(),
        }
    }
}

/// Both ends of a connected plain transport.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConnectedPlainTransport {
    tuple: Tuple,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtcp_tuple: Option<Tuple>,
    #[serde(skip_serializing_if = "Option::is_none")]
    srtp_parameters: Option<SrtpParameters>,
}

/// A consumer as its broadcaster is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreatedConsumer<'a> {
    id: ConsumerId,
    producer_id: ProducerId,
    kind: MediaKind,
    #[serde(serialize_with = "rtp_parameters")]
    rtp_parameters: &'a RtpParameters,
    r#type: ConsumerType,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Consume {
    producer_id: ProducerId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConsumeData {
    data_producer_id: DataProducerId,
}

fn yes() -> bool {
    true
}

type Reply = Result<Json<Value>, Failure>;

async fn room_capabilities(
    State(app): State<App>,
    Path(room_id): Path<String>,
    credentials: Credentials,
) -> Result<Json<RtpCapabilitiesFinalized>, Failure> {
    credentials.checked(&app, app.admission.look(&room_id, credentials.token()))?;
    Ok(Json(app.rooms.rtp_capabilities(&room_id).await?))
}

async fn add(
    State(app): State<App>,
    Path(room_id): Path<String>,
    credentials: Credentials,
    Body(body): Body,
) -> Reply {
    // A wrong room id or token is named before a wrong body.
    credentials.checked(&app, app.admission.look(&room_id, credentials.token()))?;
    let AddBroadcaster { id, display_name, device, rtp_capabilities } = read(&body)?;
    let grant = app.admission.broadcaster(&room_id, &id, credentials.token(), credentials.client)?;
    let profile = Profile { display_name, device: device.into(), rtp_capabilities, wants_data: false };
    let peers = app.rooms.add_broadcaster(grant, profile).await?;
    let peers: Vec<_> = peers.iter().map(consumable_peer).collect();
    Ok(Json(json!({ "peers": peers })))
}

async fn remove(
    State(app): State<App>,
    Path(named): Path<OfBroadcaster>,
    by: Credentials,
) -> Result<&'static str, Failure> {
    app.rooms.remove_broadcaster(&named.find(&app, &by)?).await?;
    Ok("broadcaster deleted\n")
}

/// Describes a broadcaster. Like every request about it, this keeps it in the room.
async fn renew(State(app): State<App>, Path(named): Path<OfBroadcaster>, by: Credentials) -> Reply {
    Ok(Json(describe(&named.find(&app, &by)?.describe()?)))
}

async fn create_transport(
    State(app): State<App>,
    Path(named): Path<OfBroadcaster>,
    by: Credentials,
    Body(body): Body,
) -> Reply {
    let broadcaster = named.find(&app, &by)?;
    let CreateTransport { r#type, rtcp_mux, comedia, sctp_capabilities } = read(&body)?;
    let with_sctp = sctp_capabilities.is_some();
    Ok(Json(match r#type {
        TransportKind::Webrtc => {
            let asked = WebRtcRequest { with_sctp, ..WebRtcRequest::default() };
            let transport = broadcaster.create_webrtc_transport(asked).await?;
            write(&CreatedTransport::describe(&transport))?
        }
        TransportKind::Plain => {
            let asked = PlainRequest { rtcp_mux, comedia, with_sctp };
            let transport = broadcaster.create_plain_transport(asked).await?;
            write(&CreatedPlainTransport::describe(&transport))?
        }
    }))
}

async fn connect(
    State(app): State<App>,
    Path(path): Path<OfTransport>,
    by: Credentials,
    Body(body): Body,
) -> Result<(), Failure> {
    let broadcaster = path.broadcaster(&app, &by)?;
    let ConnectTransport { dtls_parameters } = read(&body)?;
    Ok(broadcaster.connect(path.transport_id, dtls_parameters).await?)
}

async fn plain_connect(
    State(app): State<App>,
    Path(path): Path<OfTransport>,
    by: Credentials,
    Body(body): Body,
) -> Reply {
    let broadcaster = path.broadcaster(&app, &by)?;
    let remote: PlainTransportRemoteParameters = read(&body)?;
    let transport = broadcaster.connect_plain(path.transport_id, remote).await?;
    Ok(Json(write(&ConnectedPlainTransport {
        tuple: transport.tuple().into(),
        rtcp_tuple: transport.rtcp_tuple().map(Into::into),
        srtp_parameters: transport.srtp_parameters(),
    })?))
}

async fn produce(
    State(app): State<App>,
    Path(path): Path<OfTransport>,
    by: Credentials,
    Body(body): Body,
) -> Reply {
    let broadcaster = path.broadcaster(&app, &by)?;
    let ProduceBody { kind, rtp_parameters } = read(&body)?;
    let transport_id = path.transport_id;
    let app_data = Opaque::default();
    let id = broadcaster.produce(Produce { transport_id, kind, rtp_parameters, app_data }).await?;
    Ok(Json(json!({ "id": id })))
}

async fn consume(
    State(app): State<App>,
    Path(path): Path<OfTransport>,
    by: Credentials,
    Query(Consume { producer_id }): Query<Consume>,
) -> Reply {
    let consumer = path.broadcaster(&app, &by)?.consume(path.transport_id, producer_id).await?;
    Ok(Json(write(&CreatedConsumer {
        id: consumer.id(),
        producer_id,
        kind: consumer.kind(),
        rtp_parameters: consumer.rtp_parameters(),
        r#type: consumer.r#type(),
    })?))
}

async fn produce_data(
    State(app): State<App>,
    Path(path): Path<OfTransport>,
    by: Credentials,
    Body(body): Body,
) -> Reply {
    let broadcaster = path.broadcaster(&app, &by)?;
    let ProduceDataBody { sctp_stream_parameters, label, protocol, app_data } = read(&body)?;
    let asked = ProduceData {
        transport_id: path.transport_id,
        sctp_stream_parameters: sctp_stream_parameters.into(),
        label,
        protocol,
        app_data: app_data.unwrap_or_default().into(),
    };
    Ok(Json(json!({ "id": broadcaster.produce_data(asked).await? })))
}

async fn consume_data(
    State(app): State<App>,
    Path(path): Path<OfTransport>,
    by: Credentials,
    Body(body): Body,
) -> Reply {
    let broadcaster = path.broadcaster(&app, &by)?;
    let ConsumeData { data_producer_id } = read(&body)?;
    let consumer = broadcaster.consume_data(path.transport_id, data_producer_id).await?;
    let stream_id = consumer.sctp_stream_parameters().map(|parameters| parameters.stream_id());
    Ok(Json(json!({ "id": consumer.id(), "streamId": stream_id })))
}

fn consumable_peer(peer: &ConsumablePeer) -> Value {
    let mut described = describe(&peer.description);
    let producers = peer.producers.iter().map(|(id, kind)| json!({ "id": id, "kind": kind }));
    described["producers"] = producers.collect();
    described
}

impl OfBroadcaster {
    fn find(&self, app: &App, by: &Credentials) -> Result<Participant, Error> {
        by.find(app, &self.room_id, &self.broadcaster_id)
    }
}

impl OfTransport {
    fn broadcaster(&self, app: &App, by: &Credentials) -> Result<Participant, Error> {
        by.find(app, &self.room_id, &self.broadcaster_id)
    }
}

/// The token of a request, and the address that pays for a bad one.
struct Credentials {
    token: Option<String>,
    client: IpAddr,
}

impl Credentials {
    fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Passes a decision of admission on; a bad token costs.
    fn checked<T>(&self, app: &App, decided: Result<T, Error>) -> Result<T, Error> {
        decided.inspect_err(|error| app.charge_refusal(self.client, error))
    }

    fn find(&self, app: &App, room_id: &str, broadcaster_id: &str) -> Result<Participant, Error> {
        let grant = self.checked(app, app.admission.control(room_id, broadcaster_id, self.token()))?;
        app.rooms.broadcaster(&grant)
    }
}

impl FromRequestParts<App> for Credentials {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        #[derive(Deserialize)]
        struct InQuery {
            access_token: Option<String>,
        }
        let ClientAddress(client) = ClientAddress::from_request_parts(parts, app).await?;
        let in_query = Query::<InQuery>::try_from_uri(&parts.uri).ok().and_then(|query| query.0.access_token);
        let token = token_of(&parts.headers, in_query.as_deref()).map(str::to_owned);
        Ok(Self { token, client })
    }
}

/// A request's body, which must come in time.
struct Body(Bytes);

impl FromRequest<App> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        match tokio::time::timeout(app.config.timeouts.body, Bytes::from_request(request, app)).await {
            Ok(Ok(body)) => Ok(Self(body)),
            Ok(Err(rejection)) => Err(rejection.into_response()),
            Err(_elapsed) => {
                app.tally.count(Denied::SlowRequest);
                Err((StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n").into_response())
            }
        }
    }
}

/// Reads a body whatever type it claims to be; no body is an empty object.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    if body.is_empty() {
        return json::read(Value::Null);
    }
    json::read(serde_json::from_slice(body).map_err(|why| Error::WrongData { part: "body", why })?)
}

/// The response of a failed call: status and plain text.
pub(crate) struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(status(&self.0)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // As long as protoo clients are told.
        let reason = Refusal::from(&self.0).reason;
        let mut response = (status, format!("{reason}\n")).into_response();
        if status == StatusCode::UNAUTHORIZED {
            // RFC 6750 §3.
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
