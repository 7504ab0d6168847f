//! The HTTP API for broadcasters: participants that send (and receive) media without a signalling connection, as
//! FFmpeg and GStreamer do. Bodies are JSON, errors plain text.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, post},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tureen::prelude::*;

use crate::{
    http::{
        client::ClientAddress,
        site::{App, check_id},
    },
    room::Broadcasting,
    signaling::{
        json,
        protoo::{Refusal, schema::AddBroadcaster},
    },
    tally::Denied,
};

/// The routes under `/rooms/{room_id}`.
pub(crate) fn routes(max_body: usize) -> Router<App> {
    const BROADCASTER: &str = "/rooms/{room_id}/broadcasters/{broadcaster_id}";
    const TRANSPORT: &str = "/rooms/{room_id}/broadcasters/{broadcaster_id}/transports/{transport_id}";
    Router::new()
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
struct Named {
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

type Answer = Result<Json<Value>, Failure>;

async fn add(
    State(app): State<App>,
    Path(room_id): Path<String>,
    client: ClientAddress,
    Body(body): Body,
) -> Answer {
    check_id("roomId", &room_id)?;
    let asked: AddBroadcaster = read(&body)?;
    check_id("id", &asked.id)?;
    Ok(Json(app.rooms.add_broadcaster(&room_id, asked, client.0).await?))
}

async fn remove(State(app): State<App>, Path(named): Path<Named>) -> Result<&'static str, Failure> {
    let broadcaster = named.find(&app)?;
    app.rooms.remove_broadcaster(&broadcaster).await?;
    Ok("broadcaster deleted\n")
}

/// Tells of a broadcaster that it is there, which like every request about it renews its lease.
async fn renew(State(app): State<App>, Path(named): Path<Named>) -> Answer {
    Ok(Json(named.find(&app)?.describe()?))
}

async fn create_transport(State(app): State<App>, Path(named): Path<Named>, Body(body): Body) -> Answer {
    Ok(Json(named.find(&app)?.create_transport(read(&body)?).await?))
}

async fn connect(
    State(app): State<App>,
    Path(path): Path<OfTransport>,
    Body(body): Body,
) -> Result<(), Failure> {
    Ok(path.broadcaster(&app)?.connect(path.transport_id, read(&body)?).await?)
}

async fn plain_connect(State(app): State<App>, Path(path): Path<OfTransport>, Body(body): Body) -> Answer {
    Ok(Json(path.broadcaster(&app)?.plain_connect(path.transport_id, read(&body)?).await?))
}

async fn produce(State(app): State<App>, Path(path): Path<OfTransport>, Body(body): Body) -> Answer {
    Ok(Json(path.broadcaster(&app)?.produce(path.transport_id, read(&body)?).await?))
}

async fn consume(
    State(app): State<App>,
    Path(path): Path<OfTransport>,
    Query(Consume { producer_id }): Query<Consume>,
) -> Answer {
    Ok(Json(path.broadcaster(&app)?.consume(path.transport_id, producer_id).await?))
}

async fn produce_data(State(app): State<App>, Path(path): Path<OfTransport>, Body(body): Body) -> Answer {
    Ok(Json(path.broadcaster(&app)?.produce_data(path.transport_id, read(&body)?).await?))
}

async fn consume_data(State(app): State<App>, Path(path): Path<OfTransport>, Body(body): Body) -> Answer {
    let ConsumeData { data_producer_id } = read(&body)?;
    Ok(Json(path.broadcaster(&app)?.consume_data(path.transport_id, data_producer_id).await?))
}

impl Named {
    fn find(&self, app: &App) -> Result<Broadcasting, Refusal> {
        app.rooms.broadcaster(&self.room_id, &self.broadcaster_id)
    }
}

impl OfTransport {
    fn broadcaster(&self, app: &App) -> Result<Broadcasting, Refusal> {
        app.rooms.broadcaster(&self.room_id, &self.broadcaster_id)
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
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    if body.is_empty() {
        return json::read(Value::Null);
    }
    let value = serde_json::from_slice(body);
    json::read(value.map_err(|error| Refusal::bad_request(format_args!("wrong body: {error}")))?)
}

/// Why a call failed, in plain text.
struct Failure(StatusCode, String);

impl From<Refusal> for Failure {
    fn from(Refusal { code, reason }: Refusal) -> Self {
        let status = u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok());
        Self(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), format!("{reason}\n"))
    }
}

impl From<(StatusCode, String)> for Failure {
    fn from((status, reason): (StatusCode, String)) -> Self {
        Self(status, reason)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}
