//! What is served over HTTP: signalling (WebSocket), the rooms' API, the web app.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{ConnectInfo, FromRequestParts, Path, Request, State, WebSocketUpgrade, ws::WebSocket},
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use tokio::sync::OwnedSemaphorePermit;
use tracing::{debug, info, warn};

use crate::{
    broadcaster_api,
    config::ServerConfig,
    protoo::{Close, DriveOptions, Link, drive},
    rooms::Rooms,
    web_app,
};

/// Longest room and peer ids (bytes).
const MAX_ID: usize = 256;

/// What all requests share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) rooms: Arc<Rooms>,
}

/// A request's connection. A WebSocket keeps its place among the server's connections with it.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) address: SocketAddr,
    pub(crate) permit: Arc<OwnedSemaphorePermit>,
}

/// The whole site.
pub(crate) fn site(app: App) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/rooms/{room_id}", get(room_capabilities))
        .merge(broadcaster_api::routes(app.config.limits.max_message_bytes))
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

async fn websocket_first(State(app): State<App>, request: Request, next: Next) -> Response {
    let upgrade = request.headers().get(header::UPGRADE);
    if !upgrade.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket")) {
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

    // Reading goes a little past the limit, so that a message just over it ends the connection in good order.
    let limit = app.config.limits.max_message_bytes * 2;
    Ok(upgrade
        .protocols(["protoo"])
        .max_message_size(limit)
        .max_frame_size(limit)
        .on_upgrade(move |socket| run(app, whereto, connection, socket)))
}

/// Runs a peer's connection from its first to its last message.
async fn run(app: App, whereto: Whereto, connection: Connection, socket: WebSocket) {
    let Whereto { room_id, peer_id, consumer_replicas } = whereto;
    let limits = &app.config.limits;
    let options = DriveOptions {
        max_message_bytes: limits.max_message_bytes,
        max_requests_in_flight: limits.max_requests_in_flight,
        ping: app.config.timeouts.ping,
    };
    let name = format!("{room_id}/{peer_id}");
    let (link, queue) = Link::new(name, limits.max_queued_messages, app.config.timeouts.request);

    let ended = match app.rooms.enter(&room_id, &peer_id, consumer_replicas, &link).await {
        Ok(session) => {
            debug!(room = room_id, peer = peer_id, address = %connection.address, "peer connected");
            let version = serde_json::json!({ "version": crate::MEDIASOUP_VERSION });
            link.notify("mediasoup-version", &version);
            let handle = |request| session.clone().handle(request);
            let ended = drive(socket, &link, queue, options, handle).await;
            app.rooms.leave(&session);
            let Close { code, reason } = ended.why;
            info!(room = room_id, peer = peer_id, code, reason, "peer left");
            ended
        }
        Err(why) => {
            warn!(room = room_id, peer = peer_id, reason = why.reason, "peer not let in");
            link.close(why);
            drive(socket, &link, queue, options, |_| async { Err(crate::protoo::Refusal::failed("no room")) })
                .await
        }
    };
    ended.say_goodbye().await;
    drop(connection.permit);
}

/// Where a peer wants to go: the query of its WebSocket's URL.
struct Whereto {
    room_id: String,
    peer_id: String,
    consumer_replicas: u8,
}

impl Whereto {
    fn parse(query: &str, config: &ServerConfig) -> Result<Self, (StatusCode, String)> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Query {
            room_id: Option<String>,
            peer_id: Option<String>,
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
        Ok(Self { room_id, peer_id, consumer_replicas: u8::try_from(wanted).unwrap_or(most).min(most) })
    }
}

pub(crate) fn check_id(what: &str, id: &str) -> Result<(), (StatusCode, String)> {
    match id.len() {
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
