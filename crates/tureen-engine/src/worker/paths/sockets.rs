//! Sockets of a worker, their owners and local addresses.

use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::api::{RequestError, RequestId, Response, WebRtcServerId};
use crate::io::SocketCommand;
use crate::keys::TransportKey;
use crate::worker::arena::Media;
use crate::worker::control::transports;
use crate::worker::out::Out;
use crate::worker::paths::servers::Pending;
use crate::worker::paths::tcp::Accepted;
use crate::worker::paths::{Paths, servers, tcp};
use tureen_rtc::tuple::{SocketId, Tuple};
use tureen_types::data_structures::{ListenInfo, Protocol, TransportTuple};

#[derive(Debug, Default)]
pub(crate) struct Sockets {
    table: HashMap<SocketId, Socket>,
    next: u32,
}

#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) owner: SocketOwner,
    pub(crate) listen: ListenInfo,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) kind: SocketKind,
}

#[derive(Debug)]
pub(crate) enum SocketKind {
    Udp,
    TcpListener(tcp::Accepted),
    TcpStream(tcp::Stream),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SocketOwner {
    Transport(TransportKey),
    WebRtcServer(WebRtcServerId),
}

impl Sockets {
    /// Adds a UDP socket or TCP listener that is not bound yet.
    pub(crate) fn open(&mut self, owner: SocketOwner, listen: ListenInfo) -> (SocketId, SocketCommand) {
        let id = self.new_id();
        let (kind, command) = match listen.protocol {
            Protocol::Udp => (SocketKind::Udp, SocketCommand::BindUdp(id, listen.clone())),
            Protocol::Tcp => {
                (SocketKind::TcpListener(Accepted::default()), SocketCommand::ListenTcp(id, listen.clone()))
            }
        };
        self.table.insert(id, Socket { owner, listen, local: None, kind });
        (id, command)
    }

    /// Adds a pipe within this process, which behaves like a UDP socket once it is open.
    pub(crate) fn open_pipe(&mut self, owner: SocketOwner, listen: ListenInfo) -> (SocketId, SocketCommand) {
        let id = self.new_id();
        self.table.insert(id, Socket { owner, listen, local: None, kind: SocketKind::Udp });
        (id, SocketCommand::OpenPipe(id))
    }

    /// Returns an unused identifier. Identifiers wrap after 2^32 sockets and TCP streams.
    pub(crate) fn new_id(&mut self) -> SocketId {
        loop {
            let id = SocketId(self.next);
            self.next = self.next.wrapping_add(1);
            if !self.table.contains_key(&id) {
                return id;
            }
        }
    }

    pub(crate) fn insert(&mut self, id: SocketId, socket: Socket) {
        self.table.insert(id, socket);
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut Socket> {
        self.table.get_mut(&id)
    }

    pub(crate) fn get(&self, id: SocketId) -> Option<&Socket> {
        self.table.get(&id)
    }

    /// True if a UDP socket serves a single transport.
    pub(crate) fn is_exclusive(&self, id: SocketId) -> bool {
        self.get(id).is_some_and(|socket| {
            matches!((&socket.owner, &socket.kind), (SocketOwner::Transport(_), SocketKind::Udp))
        })
    }

    pub(crate) fn remove(&mut self, id: SocketId) -> Option<Socket> {
        self.table.remove(&id)
    }

    /// Returns a tuple for the API; only the local part if there is no tuple yet.
    pub(crate) fn tuple_or_local(&self, tuple: Option<Tuple>, socket: SocketId) -> TransportTuple {
        if let Some(tuple) = tuple {
            return self.api_tuple(tuple);
        }
        let (local_address, local_port) = self.local_address(socket);
        TransportTuple::LocalOnly { local_address, local_port, protocol: Protocol::Udp }
    }

    /// Returns a tuple for the API.
    pub(crate) fn api_tuple(&self, tuple: Tuple) -> TransportTuple {
        let (local_address, local_port) = self.local_address(tuple.socket);
        TransportTuple::WithRemote {
            local_address,
            local_port,
            remote_ip: tuple.remote.ip(),
            remote_port: tuple.remote.port(),
            protocol: self.get(tuple.socket).map_or(Protocol::Udp, |socket| socket.listen.protocol),
        }
    }

    /// Returns the address that is advertised for a socket, and its port.
    fn local_address(&self, socket: SocketId) -> (String, u16) {
        let socket = self.get(socket);
        let port = socket.and_then(|s| s.local).map_or(0, |local| local.port());
        (socket.map_or_else(String::new, |s| advertised(&s.listen)), port)
    }
}

/// Returns the address that is advertised to remote endpoints.
pub(crate) fn advertised(listen: &ListenInfo) -> String {
    listen.announced_address.clone().unwrap_or_else(|| listen.ip.to_string())
}

/// Checks listen infos before any socket is opened.
pub(crate) fn check_listen_infos(infos: &[ListenInfo]) -> Result<(), RequestError> {
    if infos.is_empty() {
        return Err(RequestError::Invalid("listenInfos is empty".to_owned()));
    }
    for info in infos {
        if let Some(range) = &info.port_range
            && range.is_empty()
        {
            let text = format!("portRange {}-{} is empty", range.start(), range.end());
            return Err(RequestError::Invalid(text));
        }
    }
    Ok(())
}

/// Opens a UDP socket or a TCP listener.
pub(crate) fn open_socket(
    paths: &mut Paths,
    out: &mut Out,
    owner: &SocketOwner,
    info: &ListenInfo,
) -> SocketId {
    let (id, command) = paths.sockets.open(owner.clone(), info.clone());
    out.command(command);
    id
}

/// Opens the pipe that the request contains.
pub(crate) fn open_pipe(
    paths: &mut Paths,
    out: &mut Out,
    owner: &SocketOwner,
    info: &ListenInfo,
) -> SocketId {
    let (id, command) = paths.sockets.open_pipe(owner.clone(), info.clone());
    out.command(command);
    id
}

/// Closes a socket, and the accepted streams of a TCP listener.
pub(crate) fn close_socket(paths: &mut Paths, out: &mut Out, id: SocketId) {
    let Some(socket) = paths.sockets.remove(id) else { return };
    out.command(SocketCommand::Close(id));
    match socket.kind {
        SocketKind::Udp => {}
        SocketKind::TcpListener(accepted) => {
            for stream in accepted.streams() {
                close_socket(paths, out, stream);
            }
        }
        SocketKind::TcpStream(stream) => tcp::forget_stream(paths, out, id, stream),
    }
}

pub(crate) fn on_socket_bound(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: std::time::Instant,
    id: SocketId,
    result: Result<SocketAddr, String>,
) {
    let Some(socket) = paths.sockets.table.get_mut(&id) else { return };
    let owner = socket.owner.clone();
    match result {
        Ok(local) => {
            socket.local = Some(local);
            on_owner_progress(media, paths, out, &owner);
        }
        Err(reason) => on_owner_failure(media, paths, out, now, &owner, reason),
    }
}

fn on_owner_progress(media: &mut Media, paths: &mut Paths, out: &mut Out, owner: &SocketOwner) {
    match owner {
        SocketOwner::WebRtcServer(id) => {
            let Some(server) = paths.servers.get_mut(id) else { return };
            if let Some(request) = one_bound(&mut server.pending) {
                out.respond(request, Ok(Response::Done));
            }
        }
        SocketOwner::Transport(key) => {
            let Some(pending) = paths.pending_transports.get_mut(key) else { return };
            pending.unbound -= 1;
            if pending.unbound == 0 {
                let request = pending.request;
                paths.pending_transports.remove(key);
                transports::finish_transport(media, paths, out, *key, request);
            }
        }
    }
}

fn on_owner_failure(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: std::time::Instant,
    owner: &SocketOwner,
    reason: String,
) {
    let request = match owner {
        SocketOwner::WebRtcServer(id) => {
            let request = paths.servers.get(id).and_then(|server| server.pending).map(|p| p.request);
            servers::close_server(media, paths, out, now, id);
            request
        }
        SocketOwner::Transport(key) => {
            let request = paths.pending_transports.remove(key).map(|p| p.request);
            transports::close_transport(media, paths, out, now, *key);
            request
        }
    };
    if let Some(request) = request {
        out.respond(request, Err(RequestError::Failed(reason)));
    }
}

/// Counts a bound socket. Returns the request once all its sockets are bound.
fn one_bound(pending: &mut Option<Pending>) -> Option<RequestId> {
    let waiting = pending.as_mut()?;
    waiting.unbound -= 1;
    if waiting.unbound > 0 {
        return None;
    }
    pending.take().map(|done| done.request)
}
