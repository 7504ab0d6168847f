//! TCP streams: admission by a listener, and the deadline for their connectivity check.

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

/// Time after which an accepted stream is closed unless a valid connectivity check has assigned it to a transport.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Streams that a listener has accepted.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    streams: HashSet<SocketId>,
    /// Number of streams without a connectivity check, by remote network.
    unchecked: HashMap<IpAddr, usize>,
    /// The same streams, the oldest first.
    waiting: VecDeque<SocketId>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    listener: SocketId,
    remote: SocketAddr,
    /// True once ICE has validated the stream.
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

/// Returns the network that counts as one remote address: an IPv4 address, or the first 64 bits of an IPv6 address,
/// because a subscriber can choose the others.
fn network(remote: IpAddr) -> IpAddr {
    match remote.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        address => address,
    }
}

/// Handles a new connection to a TCP listener. Returns the identifier of the stream, or `None` if the driver has to
/// close the connection at once, because the listener is closed or because the number of its streams, in total or of
/// this remote address, reached its [`Limits`](super::Limits).
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

/// Closes the oldest streams without a connectivity check while a listener has too many of them. A client sends its
/// first check at once, so an old stream without a check is not a client's.
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

/// Handles the end of a TCP stream.
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

/// Handles a change of a TCP stream's send queue: `late` is true if the queue delays packets, false once the queue is
/// empty. While the queue delays packets, the transport sends no video, because video would arrive too late to be
/// played and would delay audio. Video restarts with a key frame.
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

/// Marks a TCP stream as validated by a connectivity check. Does nothing for UDP sockets.
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

/// Closes the TCP stream of a tuple that no transport has any more, because no other transport can use it.
pub(crate) fn on_path_removed(paths: &mut Paths, out: &mut Out, tuple: Tuple) {
    let socket = paths.sockets.get(tuple.socket);
    if socket.is_some_and(|socket| matches!(socket.kind, SocketKind::TcpStream(_))) {
        sockets::close_socket(paths, out, tuple.socket);
    }
}

pub(crate) fn on_stream_timer(paths: &mut Paths, out: &mut Out, id: SocketId) {
    sockets::close_socket(paths, out, id);
}

/// Removes a stream from its listener.
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
