//! Entrance of a peer: its WebSocket is opened, and it is let into its room.

use std::sync::Arc;

use axum::{
    extract::{ConnectInfo, FromRequestParts, WebSocketUpgrade, ws::WebSocket},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use super::{
    connection::{DriveOptions, drive},
    link::{Close, Link, LinkOptions},
    message::Refusal,
    requests::handle,
};
use crate::{
    admission::{Grant, token_of},
    config::ServerConfig,
    http::{
        client::{Connection, client_address},
        site::App,
    },
    room::{Secret, Subscriber},
    signaling::broadcaster_http::Failure,
    tally::{Denied, Shown},
};

/// Bytes of a WebSocket that are read at a time.
const READ_BUFFER: usize = 4096;

/// Opens a peer's WebSocket. The error is the response of a refusal.
pub(crate) async fn open(app: App, parts: &mut Parts) -> Result<Response, Response> {
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
    let mut target = JoinTarget::parse(parts.uri.query().unwrap_or_default(), &app.config)
        .ok_or_else(|| (StatusCode::BAD_REQUEST, "the URL's query cannot be read\n").into_response())?;
    let connection = ConnectInfo::<Connection>::from_request_parts(parts, &())
        .await
        .map_err(IntoResponse::into_response)?
        .0;
    let token = token_of(&parts.headers, target.access_token.as_deref());
    let grant = app.admission.peer(&target.room_id, &target.peer_id, token).map_err(|error| {
        let client = client_address(&app.config.trusted_proxies, connection.address.ip(), &parts.headers);
        app.charge_refusal(client, &error);
        Failure::from(error).into_response()
    })?;
    target.access_token = None;
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
            run(app, grant, target, connection, socket).await;
            drop(of_client);
        }))
}

/// Runs a peer's connection from its first to its last message.
async fn run(app: App, grant: Grant, target: JoinTarget, connection: Connection, socket: WebSocket) {
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
    let name = format!("{}/{}", Shown(&grant.room), Shown(&grant.identity));
    let (link, queue) = Link::new(name, link_options, Arc::clone(&app.tally));
    let subscriber: Arc<dyn Subscriber> = Arc::new(link.clone());

    let secret = target.session_secret.as_deref();
    let ended = match app.rooms.enter(grant, secret, target.consumer_replicas, &subscriber).await {
        Ok(peer) => {
            debug!(peer = link.name(), address = %connection.address, "peer connected");
            let secret = peer.secret();
            let hello = json!({
                "version": crate::mediasoup_version(),
                // With this in its URL a client gets its place back at once.
                "sessionSecret": secret.as_ref().map(Secret::as_str),
            });
            link.send_notification("mediasoup-version", &hello);
            let ended = drive(socket, &link, queue, options, |request| handle(peer.clone(), request)).await;
            app.rooms.leave(&peer);
            let Close { code, reason } = ended.why;
            if app.tally.may_log() {
                info!(peer = link.name(), code, reason, "peer left");
            }
            ended
        }
        Err(error) => {
            if app.tally.may_log() {
                warn!(peer = link.name(), reason = %error, "peer not let in");
            }
            link.close(Close::from(&error));
            let refusal = Refusal::from(&error);
            drive(socket, &link, queue, options, |_| std::future::ready(Err::<Value, _>(refusal.clone())))
                .await
        }
    };
    ended.say_goodbye().await;
    drop(connection.place);
}

/// Room and id that a peer asks for, from the query of its WebSocket's URL.
struct JoinTarget {
    room_id: String,
    peer_id: String,
    session_secret: Option<String>,
    access_token: Option<String>,
    consumer_replicas: u8,
}

impl JoinTarget {
    /// Reads a query. What is missing is empty, which admission refuses; `None` if the query can't be read.
    fn parse(query: &str, config: &ServerConfig) -> Option<Self> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Query {
            #[serde(default)]
            room_id: String,
            #[serde(default)]
            peer_id: String,
            session_secret: Option<String>,
            // Not in camel case: the name is that of RFC 6750.
            #[serde(rename = "access_token")]
            access_token: Option<String>,
            consumer_replicas: Option<String>,
        }
        let uri = axum::http::Uri::try_from(format!("/?{query}")).ok()?;
        let axum::extract::Query(query) = axum::extract::Query::<Query>::try_from_uri(&uri).ok()?;
        let Query { room_id, peer_id, session_secret, access_token, consumer_replicas } = query;
        let wanted = consumer_replicas.and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
        let most = config.limits.max_consumer_replicas;
        let consumer_replicas = u8::try_from(wanted).unwrap_or(most).min(most);
        Some(Self { room_id, peer_id, session_secret, access_token, consumer_replicas })
    }
}
