//! WebRtcServers: sockets that many WebRtcTransports share, distinguished by ICE ufrag until their tuples are known.

use std::time::Instant;

use hashbrown::HashMap;

use crate::api::{CreateWebRtcServer, RequestError, RequestId, Response, TransportEvent, WebRtcServerId};
use crate::keys::TransportKey;
use crate::worker::arena;
use crate::worker::arena::Media;
use crate::worker::control::transports;
use crate::worker::out::Out;
use crate::worker::paths::sockets::SocketOwner;
use crate::worker::paths::{Paths, sockets};
use tureen_rtc::tuple::SocketId;

#[derive(Debug)]
pub(crate) struct WebRtcServer {
    pub(crate) sockets: Vec<SocketId>,
    pub(crate) transports: Vec<TransportKey>,
    /// ICE ufrags, including those of an ICE restart in progress.
    pub(crate) ufrags: HashMap<String, TransportKey>,
    /// Request that waits until the sockets are bound.
    pub(crate) pending: Option<Pending>,
}

/// Request that waits until its sockets are bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) request: RequestId,
    pub(crate) unbound: usize,
}

pub(crate) fn create_server(
    paths: &mut Paths,
    out: &mut Out,
    request: RequestId,
    options: CreateWebRtcServer,
) -> Result<(), RequestError> {
    if paths.servers.contains_key(&options.id) {
        return Err(RequestError::Duplicate { kind: "WebRtcServer", id: options.id.to_string() });
    }
    sockets::check_listen_infos(&options.listen_infos)?;
    let owner = SocketOwner::WebRtcServer(options.id.clone());
    let sockets: Vec<_> =
        options.listen_infos.iter().map(|info| sockets::open_socket(paths, out, &owner, info)).collect();
    let pending = (!sockets.is_empty()).then_some(Pending { request, unbound: sockets.len() });
    if pending.is_none() {
        out.respond(request, Ok(Response::Done));
    }
    let server = WebRtcServer { sockets, transports: Vec::new(), ufrags: hashbrown::HashMap::new(), pending };
    paths.servers.insert(options.id, server);
    Ok(())
}

pub(crate) fn close_server(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    id: &WebRtcServerId,
) {
    let Some(server) = paths.servers.remove(id) else { return };
    for key in server.transports {
        out.notify_transport(media, key, TransportEvent::ListenServerClosed);
        transports::close_transport(media, paths, out, now, key);
    }
    for socket in server.sockets {
        sockets::close_socket(paths, out, socket);
    }
}

pub(crate) fn find_server(paths: &Paths, id: &WebRtcServerId) -> Result<(), RequestError> {
    if paths.servers.contains_key(id) { Ok(()) } else { Err(arena::not_found("WebRtcServer", id)) }
}
