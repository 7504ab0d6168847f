//! ICE of WebRtcTransports: dispatch of connectivity checks, and handling of ICE events.

use std::time::Instant;

use crate::api::TransportEvent;
use crate::keys::TransportKey;
use crate::transport::webrtc::{LinkSockets, ice_state};
use crate::worker::arena::Media;
use crate::worker::connection;
use crate::worker::drops::DropReason;
use crate::worker::forward::backlog;
use crate::worker::out::Out;
use crate::worker::paths::sockets::SocketOwner;
use crate::worker::paths::{Paths, dtls, tcp};
use crate::worker::timer::Timer;
use tureen_rtc::ice::{Hold, IceEvent, IceState, IceVerdict};
use tureen_rtc::log;
use tureen_rtc::tuple::Tuple;
use tureen_rtc::wire::stun::StunMessage;

/// Handles STUN from a tuple of the transport `key`. On a shared socket USERNAME may still name another transport,
/// because a client may use one port for several transports or may have restarted.
pub(crate) fn handle_stun(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: Tuple,
    data: &[u8],
) -> Result<(), DropReason> {
    let message = StunMessage::parse(data).map_err(|_| DropReason::MalformedStun)?;
    match transport_of_stun(paths, tuple, &message) {
        Some(claimant) if claimant != key => {
            handle_stun_message(media, paths, out, now, claimant, tuple, Some(key), &message, data.len())
        }
        _ => handle_stun_message(media, paths, out, now, key, tuple, None, &message, data.len()),
    }
}

/// Handles STUN for the transport `key`. `holder` is the other transport that has the tuple, if any.
pub(crate) fn handle_stun_message(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: Tuple,
    holder: Option<TransportKey>,
    message: &StunMessage<'_>,
    received: usize,
) -> Result<(), DropReason> {
    let holding = holder.and_then(|holder| media.transports.live(holder)?.link.webrtc());
    let hold = holding.map_or(Hold::Quiet, |link| link.ice.hold(now, &tuple));
    let transport = media.transports.live_mut(key).ok_or(DropReason::UnknownTuple)?;
    let Some(link) = transport.link.webrtc_mut() else { return Err(DropReason::UnknownProtocol) };
    let mut reply = std::mem::take(&mut out.scratch.reply);
    reply.clear();
    let verdict = link.ice.handle_contested_stun(now, tuple, hold, message, &mut reply);
    transport.traffic.received.add(now, 1, received);
    if !reply.is_empty() {
        transport.traffic.other_sent.add(now, 1, reply.len());
        out.control.queue(tuple, &reply);
    }
    out.scratch.reply = reply;
    drain_ice(media, paths, out, now, key);
    // The other transport has the tuple by now, so a TCP stream is not closed.
    if let Some(holder) = holder.filter(|_| verdict == IceVerdict::Accepted) {
        lose_path(media, paths, out, now, holder, tuple);
    }
    match verdict {
        IceVerdict::Accepted | IceVerdict::Answered | IceVerdict::Indication => Ok(()),
        IceVerdict::Discarded(_) => Err(DropReason::RefusedStun),
    }
}

/// Removes a tuple that another transport has taken over.
fn lose_path(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: Tuple,
) {
    let Some(transport) = media.transports.live_mut(key) else { return };
    let Some(link) = transport.link.webrtc_mut() else { return };
    link.ice.remove_tuple(now, &tuple);
    tracing::debug!(
        target: log::ICE,
        transport = %transport.id,
        remote = %tuple.remote,
        "path taken over by another transport of the same remote address"
    );
    drain_ice(media, paths, out, now, key);
}

/// Handles an authenticated packet from this tuple.
#[inline]
pub(crate) fn on_authentic(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: &Tuple,
) {
    let link = media.transports.live_mut(key).and_then(|transport| transport.link.webrtc_mut());
    if link.is_some_and(|link| link.ice.handle_traffic(now, tuple)) {
        drain_ice(media, paths, out, now, key);
    }
}

/// Returns the transport of a connectivity check: the owner of the socket or, on a shared socket, the transport whose
/// ufrag comes first in USERNAME (RFC 8445 §7.2.2).
pub(crate) fn transport_of_stun(
    paths: &Paths,
    tuple: Tuple,
    message: &StunMessage<'_>,
) -> Option<TransportKey> {
    match &paths.sockets.get(tuple.socket)?.owner {
        SocketOwner::Transport(key) => Some(*key),
        SocketOwner::WebRtcServer(id) => {
            let (ufrag, _) = message.username()?.split_once(':')?;
            paths.servers.get(id)?.ufrags.get(ufrag).copied()
        }
    }
}

/// Handles the events of ICE.
pub(crate) fn drain_ice(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
) {
    while let Some(transport) = media.transports.live_mut(key)
        && let Some(event) = transport.link.webrtc_mut().and_then(|link| link.ice.poll_event())
    {
        match event {
            IceEvent::TupleAdded(tuple) => {
                paths.tuples.insert(tuple, key);
                tcp::on_path_checked(paths, out, tuple);
            }
            IceEvent::TupleRemoved(tuple) => {
                if paths.tuples.get(&tuple) == Some(&key) {
                    paths.tuples.remove(&tuple);
                    tcp::on_path_removed(paths, out, tuple);
                }
            }
            IceEvent::SelectedTupleChanged(tuple) => {
                backlog::forget_backlog(media, out, now, key);
                let tuple = paths.sockets.api_tuple(tuple);
                out.notify_transport(media, key, TransportEvent::IceSelectedTuple(tuple));
            }
            IceEvent::StateChanged(state) => on_ice_state(media, out, now, key, state),
            IceEvent::UsernameFragmentRetired(ufrag) => retire_ufrag(media, paths, key, &ufrag),
        }
    }
    let link = media.transports.live(key).and_then(|t| t.link.webrtc());
    if let Some(at) = link.and_then(|link| link.ice.poll_timeout()) {
        out.timers.arm(Timer::Ice(key), at);
    }
}

fn on_ice_state(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey, state: IceState) {
    out.notify_transport(media, key, TransportEvent::IceState(ice_state(state)));
    let Some(transport) = media.transports.live_mut(key) else { return };
    match state {
        IceState::Connected | IceState::Completed => {
            if transport.link.webrtc_mut().is_some_and(|link| link.may_start_dtls(now)) {
                dtls::on_dtls_started(media, out, now, key);
            } else if transport.is_connected() && !transport.flowing {
                // ICE reconnected after a disconnection.
                connection::on_transport_connected(media, out, now, key);
            }
        }
        IceState::Disconnected => connection::on_transport_disconnected(media, out, key),
        IceState::New | IceState::Closed => {}
    }
}

pub(crate) fn on_ice_timer(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
) {
    let Some(link) = media.transports.live_mut(key).and_then(|t| t.link.webrtc_mut()) else { return };
    link.ice.handle_timeout(now);
    drain_ice(media, paths, out, now, key);
}

/// Removes an old ufrag, whose connectivity checks are no longer accepted.
pub(crate) fn retire_ufrag(media: &mut Media, paths: &mut Paths, key: TransportKey, ufrag: &str) {
    let Some(link) = media.transports.live(key).and_then(|t| t.link.webrtc()) else { return };
    if let LinkSockets::Server(server) = &link.sockets
        && let Some(server) = paths.servers.get_mut(server)
    {
        server.ufrags.remove(ufrag);
    }
}
