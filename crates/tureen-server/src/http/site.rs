//! Routes: signalling (WebSocket), the rooms' API, the web app.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get},
};

use super::{
    client::{Connection, client_address},
    origin, web_app,
};
use crate::{
    admission::Admission,
    config::ServerConfig,
    error::Error,
    per_address::{Paces, PerAddress},
    placement::rooms::Rooms,
    signaling::{broadcaster_http, protoo},
    tally::{Denied, Tally},
};

/// State that all requests share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) addresses: Arc<PerAddress>,
    pub(crate) paces: Arc<Paces>,
    pub(crate) tally: Arc<Tally>,
}

impl App {
    /// Charges the client for a token that was refused, so that whoever tries many is soon asked to wait.
    pub(crate) fn charge_refusal(&self, client: IpAddr, error: &Error) {
        if matches!(error, Error::Token(_)) {
            self.paces.charge(client, DEAR);
        }
    }
}

/// The whole site.
pub(crate) fn site(app: App) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
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

/// Share of `limits.max_requests_per_address_per_s` that a request takes which changes something, because a whole room may
/// be told of it.
const DEAR: u32 = 5;

/// Share of `limits.max_requests_per_address_per_s` that a request takes; files and the server's health take nothing.
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
    match protoo::open(app, &mut parts).await {
        Ok(response) => response,
        Err(refused) => refused,
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
