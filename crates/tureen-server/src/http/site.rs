//! What is served over HTTP: signalling (WebSocket), the rooms' API, the web app.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{ConnectInfo, FromRequestParts, Path, Request, State, WebSocketUpgrade, ws::WebSocket},
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use tracing::{debug, info, warn};

use super::{
    client::{Connection, client_address},
    origin, web_app,
};
use crate::{
    config::ServerConfig,
    per_address::{Paces, PerAddress},
    placement::rooms::Rooms,
    room::Secret,
    signaling::{
        broadcaster_http,
        protoo::{Close, DriveOptions, Link, LinkOptions, Refusal, drive},
    },
    tally::{Denied, Shown, Tally},
};

/// Longest room and peer ids (bytes).
pub(crate) const MAX_ID: usize = 256;

/// What is read of a WebSocket at a time (bytes).
const READ_BUFFER: usize = 4096;

/// What all requests share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) addresses: Arc<PerAddress>,
    pub(crate) paces: Arc<Paces>,
    pub(crate) tally: Arc<Tally>,
}

/// The whole site.
pub(crate) fn site(app: App) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/rooms/{room_id}", get(room_capabilities))
        .merge(broadcaster_http::routes(app.config.limits.max_body_bytes()))
        // What else is asked of a room is a mistake, and no page of the web app.
        .route("/rooms/{room_id}/{*rest}", any(|| async { (StatusCode::NOT_FOUND, "no such resource\n") }))
        .fallback(|request: Request| async move {
            web_app::serve(request.method(), request.uri().path(), request.headers())
        })
        .layer(middleware::map_response(secure))
        // Clients open their WebSocket at any path, so before the routes.
        .layer(middleware::from_fn_with_state(app.clone(), websocket_first))
        .with_state(app)
}

async fn room_capabilities(State(app): State<App>, Path(room_id): Path<String>) -> Response {
    if let Err(refused) = check_id("roomId", &room_id) {
        return refused.into_response();
    }
    match app.rooms.rtp_capabilities(&room_id).await {
        Ok(capabilities) => Json(capabilities).into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why.reason).into_response(),
    }
}

/// What a request costs of `limits.max_requests_per_address_per_s` that changes something: a whole room may hear of it.
const DEAR: u32 = 5;

/// What a request costs of the requests that its address may make; files and the server's health cost nothing.
fn cost(is_websocket: bool, request: &Request) -> Option<u32> {
    let of_broadcaster = || request.uri().path().starts_with("/rooms/");
    match request.method().is_safe() {
        true => (is_websocket || of_broadcaster()).then_some(1),
        false => Some(DEAR),
    }
}

async fn websocket_first(State(app): State<App>, request: Request, next: Next) -> Response {
    let upgrade = request.headers().get(header::UPGRADE);
    let is_websocket = upgrade.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if (is_websocket || !request.method().is_safe())
        && let Err(refused) = origin::check(&app.config, request.headers())
    {
        app.tally.count(Denied::Origin);
        return refused.into_response();
    }
    if let Some(cost) = cost(is_websocket, &request)
        && let Some(ConnectInfo(connection)) = request.extensions().get::<ConnectInfo<Connection>>()
    {
        let trusted = &app.config.trusted_proxies;
        let client = client_address(trusted, connection.address.ip(), request.headers());
        if !app.paces.may(client, cost) {
            app.tally.count(Denied::HttpRate);
            return (StatusCode::TOO_MANY_REQUESTS, "this address asks too often\n").into_response();
        }
    }
    if !is_websocket {
        return next.run(request).await;
    }
    let (mut parts, _body) = request.into_parts();
    match open(app, &mut parts).await {
        Ok(response) => response,
        Err(refused) => refused,
    }
}

/// Opens a peer's WebSocket, or says why not.
async fn open(app: App, parts: &mut Parts) -> Result<Response, Response> {
    let upgrade =
        WebSocketUpgrade::from_request_parts(parts, &()).await.map_err(IntoResponse::into_response)?;
    let protocols = parts.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let speaks_protoo = protocols
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim() == "protoo");
    if !speaks_protoo {
        return Err((StatusCode::FORBIDDEN, "WebSocket subprotocol protoo is missing\n").into_response());
    }
    let whereto = Whereto::parse(parts.uri.query().unwrap_or_default(), &app.config)
        .map_err(IntoResponse::into_response)?;
    let connection = ConnectInfo::<Connection>::from_request_parts(parts, &())
        .await
        .map_err(IntoResponse::into_response)?
        .0;
    let mut of_client = None;
    if connection.of_proxy {
        let client = client_address(&app.config.trusted_proxies, connection.address.ip(), &parts.headers);
        of_client = Some(app.addresses.take(client).map_err(|_full| {
            app.tally.count(Denied::Connection);
            (StatusCode::TOO_MANY_REQUESTS, "this address has as many connections as it may have\n")
                .into_response()
        })?);
    }

    // Reading goes a little past the limit, so that a message just over it ends the connection in good order.
    let limit = app.config.limits.max_message_bytes + READ_BUFFER;
    Ok(upgrade
        .protocols(["protoo"])
        .max_message_size(limit)
        .max_frame_size(limit)
        // Of thousands of connections most are silent: what is read waits in the socket, and is written at once.
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .on_upgrade(move |socket| async move {
            run(app, whereto, connection, socket).await;
            drop(of_client);
        }))
}

/// Runs a peer's connection from its first to its last message.
async fn run(app: App, whereto: Whereto, connection: Connection, socket: WebSocket) {
    let Whereto { room_id, peer_id, secret, consumer_replicas } = whereto;
    let limits = &app.config.limits;
    let options = DriveOptions {
        max_message_bytes: limits.max_message_bytes,
        max_requests_in_flight: limits.max_requests_in_flight,
        max_requests_per_s: limits.max_requests_per_s,
        max_received_bytes_per_s: limits.max_received_bytes_per_s,
        max_bad_messages: limits.max_bad_messages,
        ping: app.config.timeouts.ping,
        write_timeout: app.config.timeouts.write,
    };
    let link_options = LinkOptions {
        max_queued_messages: limits.max_queued_messages,
        max_queued_bytes: limits.max_queued_bytes,
        request_timeout: app.config.timeouts.request,
    };
    let name = format!("{}/{}", Shown(&room_id), Shown(&peer_id));
    let (link, queue) = Link::new(name, link_options, Arc::clone(&app.tally));

    let ended = match app.rooms.enter(&room_id, &peer_id, secret.as_deref(), consumer_replicas, &link).await {
        Ok(session) => {
            debug!(peer = link.name(), address = %connection.address, "peer connected");
            let secret = session.secret();
            let hello = serde_json::json!({
                "version": crate::mediasoup_version(),
                // With this in its URL a client gets its place back at once.
                "sessionSecret": secret.as_ref().map(Secret::as_str),
            });
            link.notify("mediasoup-version", &hello);
            let handle = |request| session.clone().handle(request);
            let ended = drive(socket, &link, queue, options, handle).await;
            app.rooms.leave(&session);
            let Close { code, reason } = ended.why;
            if app.tally.may_log() {
                info!(peer = link.name(), code, reason, "peer left");
            }
            ended
        }
        Err(why) => {
            if app.tally.may_log() {
                warn!(peer = link.name(), reason = why.reason, "peer not let in");
            }
            link.close(why);
            drive(socket, &link, queue, options, |_| async { Err(Refusal::failed("no room")) }).await
        }
    };
    ended.say_goodbye().await;
    drop(connection.place);
}

/// Where a peer wants to go: the query of its WebSocket's URL.
struct Whereto {
    room_id: String,
    peer_id: String,
    secret: Option<String>,
    consumer_replicas: u8,
}

impl Whereto {
    fn parse(query: &str, config: &ServerConfig) -> Result<Self, (StatusCode, String)> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Query {
            room_id: Option<String>,
            peer_id: Option<String>,
            session_secret: Option<String>,
            consumer_replicas: Option<String>,
        }
        let uri = axum::http::Uri::try_from(format!("/?{query}"));
        let parsed = uri.ok().and_then(|uri| axum::extract::Query::<Query>::try_from_uri(&uri).ok());
        let Some(axum::extract::Query(query)) = parsed else {
            return Err((StatusCode::BAD_REQUEST, "the URL's query cannot be read\n".to_owned()));
        };
        let room_id = query.room_id.unwrap_or_default();
        let peer_id = query.peer_id.unwrap_or_default();
        check_id("roomId", &room_id)?;
        check_id("peerId", &peer_id)?;
        let wanted = query.consumer_replicas.and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
        let most = config.limits.max_consumer_replicas;
        let consumer_replicas = u8::try_from(wanted).unwrap_or(most).min(most);
        Ok(Self { room_id, peer_id, secret: query.session_secret, consumer_replicas })
    }
}

pub(crate) fn check_id(what: &str, id: &str) -> Result<(), (StatusCode, String)> {
    match id.len() {
        1..=MAX_ID if id.contains(char::is_control) => {
            Err((StatusCode::BAD_REQUEST, format!("{what} has control characters\n")))
        }
        1..=MAX_ID => Ok(()),
        0 => Err((StatusCode::BAD_REQUEST, format!("{what} is missing\n"))),
        _ => Err((StatusCode::BAD_REQUEST, format!("{what} is longer than {MAX_ID} bytes\n"))),
    }
}

/// Tells browsers to allow the page no more than it needs.
async fn secure(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, HeaderValue); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            HeaderName::from_static("permissions-policy"),
            HeaderValue::from_static("camera=(self), microphone=(self), display-capture=(self)"),
        ),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: blob:; \
                 media-src 'self' blob: mediastream:; style-src 'self' 'unsafe-inline'; \
                 worker-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'self'",
            ),
        ),
    ];
    response.headers_mut().extend(HEADERS);
    response
}
