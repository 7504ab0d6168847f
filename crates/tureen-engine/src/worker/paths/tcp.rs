//! TCP streams: whom a listener lets in, and for how long without a connectivity check.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};

use crate::transport::link::Path;
use crate::worker::arena::Media;
use crate::worker::forward::backlog;
use crate::worker::out::Out;
use crate::worker::paths::sockets::{Socket, SocketKind};
use crate::worker::paths::{Paths, ice, sockets};
use crate::worker::timer::Timer;
use tureen_rtc::log;
use tureen_rtc::tuple::{SocketId, Tuple};

/// A stream must belong to a transport, by a valid connectivity check, this long after it was accepted.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// What a listener has accepted.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    streams: HashSet<SocketId>,
    /// How many streams of a remote network no transport has yet.
    unchecked: HashMap<IpAddr, usize>,
    /// Those streams, the oldest first.
    waiting: VecDeque<SocketId>,
}

/// A stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    listener: SocketId,
    remote: SocketAddr,
    /// ICE has validated it.
    checked: bool,
}

impl Accepted {
    pub(crate) fn streams(&self) -> impl Iterator<Item = SocketId> {
        self.streams.iter().copied()
    }

    fn on_checked(&mut self, remote: IpAddr) {
        let network = network(remote);
        if let Some(count) = self.unchecked.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.unchecked.remove(&network);
            }
        }
    }
}

/// What counts as one remote side: an IPv4 address, or the 64 bits of an IPv6 address that a subscriber does not choose.
fn network(remote: IpAddr) -> IpAddr {
    match remote.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        address => address,
    }
}

/// Somebody has connected to a TCP listener. Returns the stream's name, or `None` if it is to be closed at once: the
/// listener is gone, or has as many streams as [`Limits`](super::Limits) allows, in all or of that address.
pub(crate) fn handle_stream_opened(
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    listener: SocketId,
    remote: SocketAddr,
) -> Option<SocketId> {
    let id = paths.sockets.new_id();
    let limits = out.limits;
    let socket = paths.sockets.get_mut(listener)?;
    let SocketKind::TcpListener(accepted) = &mut socket.kind else { return None };
    let unchecked = accepted.unchecked.get(&network(remote.ip())).copied().unwrap_or(0);
    if accepted.streams.len() >= limits.streams_per_listener
        || unchecked >= limits.unchecked_streams_per_address
    {
        tracing::debug!(target: log::ICE, %remote, streams = accepted.streams.len(), unchecked, "TCP connection refused");
        return None;
    }
    accepted.streams.insert(id);
    accepted.unchecked.insert(network(remote.ip()), unchecked + 1);
    accepted.waiting.push_back(id);
    let kind = SocketKind::TcpStream(Stream { listener, remote, checked: false });
    let (owner, listen, local) = (socket.owner.clone(), socket.listen.clone(), socket.local);
    paths.sockets.insert(id, Socket { owner, listen, local, kind });
    out.timers.arm(Timer::Stream(id), now + CHECK_TIMEOUT);
    evict_unchecked(paths, out, listener);
    Some(id)
}

/// Closes the oldest streams that have not been checked, as long as there are too many of them on a listener. A client
/// sends its first check at once, so that those are not of clients.
fn evict_unchecked(paths: &mut Paths, out: &mut Out, listener: SocketId) {
    loop {
        let Some(SocketKind::TcpListener(accepted)) = paths.sockets.get_mut(listener).map(|s| &mut s.kind)
        else {
            return;
        };
        if accepted.waiting.len() <= out.limits.unchecked_streams_per_listener {
            return;
        }
        let Some(oldest) = accepted.waiting.pop_front() else { return };
        sockets::close_socket(paths, out, oldest);
    }
}

/// A TCP stream has ended.
pub(crate) fn handle_stream_closed(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    id: SocketId,
) {
    let Some(Socket { kind: SocketKind::TcpStream(stream), .. }) = paths.sockets.get(id) else { return };
    let stream = *stream;
    paths.sockets.remove(id);
    forget_stream(paths, out, id, stream);
    let tuple = Tuple { socket: id, remote: stream.remote };
    let Some(&key) = paths.tuples.get(&tuple) else { return };
    if media.transports.live(key).is_some_and(|t| t.rtp_path() == Some(Path::Network(tuple))) {
        backlog::forget_backlog(media, out, now, key);
    }
    if let Some(link) = media.transports.live_mut(key).and_then(|t| t.link.webrtc_mut()) {
        link.ice.remove_tuple(now, &tuple);
    }
    ice::drain_ice(media, paths, out, now, key);
}

/// What waits to be sent by a TCP stream is late, or all of it was sent. Until it is, its transport's video waits, so that
/// nothing comes late that could not be of use any more, and audio has room; then it goes on with a key frame.
pub(crate) fn handle_stream_backlog(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    id: SocketId,
    late: bool,
) {
    let Some(Socket { kind: SocketKind::TcpStream(stream), .. }) = paths.sockets.get(id) else { return };
    let tuple = Tuple { socket: id, remote: stream.remote };
    let Some(&key) = paths.tuples.get(&tuple) else { return };
    let Some(transport) = media.transports.live_mut(key) else { return };
    if transport.rtp_path() != Some(Path::Network(tuple)) {
        return;
    }
    tracing::debug!(target: log::ICE, transport = %transport.id, remote = %tuple.remote, late, "backlog of a TCP stream");
    transport.backlog.get_or_insert_default().on_stream(now, late);
    backlog::arm_backlog(media, out, key);
}

/// A connectivity check has made this path a transport's. Does nothing to UDP sockets.
pub(crate) fn on_path_checked(paths: &mut Paths, out: &mut Out, tuple: Tuple) {
    let Some(SocketKind::TcpStream(stream)) = paths.sockets.get_mut(tuple.socket).map(|s| &mut s.kind) else {
        return;
    };
    if std::mem::replace(&mut stream.checked, true) {
        return;
    }
    let (listener, remote) = (stream.listener, stream.remote.ip());
    out.timers.disarm(Timer::Stream(tuple.socket));
    if let Some(SocketKind::TcpListener(accepted)) = paths.sockets.get_mut(listener).map(|s| &mut s.kind) {
        accepted.on_checked(remote);
        accepted.waiting.retain(|&waiting| waiting != tuple.socket);
    }
}

/// A path is no transport's any more. A TCP stream is closed then: it could not become another's.
pub(crate) fn on_path_removed(paths: &mut Paths, out: &mut Out, tuple: Tuple) {
    let socket = paths.sockets.get(tuple.socket);
    if socket.is_some_and(|socket| matches!(socket.kind, SocketKind::TcpStream(_))) {
        sockets::close_socket(paths, out, tuple.socket);
    }
}

pub(crate) fn on_stream_timer(paths: &mut Paths, out: &mut Out, id: SocketId) {
    sockets::close_socket(paths, out, id);
}

/// Takes a stream off its listener's books.
pub(crate) fn forget_stream(paths: &mut Paths, out: &mut Out, id: SocketId, stream: Stream) {
    out.timers.disarm(Timer::Stream(id));
    let listener = paths.sockets.get_mut(stream.listener).map(|socket| &mut socket.kind);
    if let Some(SocketKind::TcpListener(accepted)) = listener {
        accepted.streams.remove(&id);
        if !stream.checked {
            accepted.on_checked(stream.remote.ip());
            accepted.waiting.retain(|&waiting| waiting != id);
        }
    }
}
