//! Video that is not sent while the path of its transport has a backlog.

use std::time::{Duration, Instant};

use crate::keys::TransportKey;
use crate::transport::link::Path;
use crate::worker::arena::Media;
use crate::worker::forward::start;
use crate::worker::out::Out;
use crate::worker::paths::Paths;
use crate::worker::paths::sockets::SocketKind;
use crate::worker::timer::Timer;
use tureen_types::rtp_parameters::MediaKind;

/// Handles the queuing delay that feedback shows. Only relevant for TCP streams, because a TCP stream delays packets
/// instead of losing them.
pub(crate) fn on_queue_delay(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    queue: Duration,
) {
    let Some(transport) = media.transports.live_mut(key) else { return };
    let Some(Path::Network(tuple)) = transport.rtp_path() else { return };
    let socket = paths.sockets.get(tuple.socket);
    if !socket.is_some_and(|socket| matches!(socket.kind, SocketKind::TcpStream(_))) {
        return;
    }
    transport.backlog.get_or_insert_default().on_queue(now, queue);
    arm_backlog(media, out, key);
}

pub(crate) fn on_backlog_timer(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let backlog = media.transports.live_mut(key).and_then(|transport| transport.backlog.as_mut());
    if backlog.is_some_and(|backlog| backlog.handle_timeout(now)) {
        restart_video(media, out, now, key);
    } else {
        arm_backlog(media, out, key);
    }
}

/// Discards the backlog state, because the path has changed or is gone.
pub(crate) fn forget_backlog(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let Some(backlog) = media.transports.live_mut(key).and_then(|t| t.backlog.take()) else { return };
    out.timers.disarm(Timer::Backlog(key));
    if backlog.holds() {
        restart_video(media, out, now, key);
    }
}

fn restart_video(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let consumers = media.transports.live(key).map(|transport| transport.consumers.clone());
    for consumer in consumers.unwrap_or_default() {
        if media.consumers.live(consumer).is_some_and(|consumer| consumer.kind == MediaKind::Video) {
            start::start_consumer(media, out, now, consumer);
        }
    }
}

pub(crate) fn arm_backlog(media: &mut Media, out: &mut Out, key: TransportKey) {
    let backlog = media.transports.live(key).and_then(|transport| transport.backlog.as_ref());
    match backlog.and_then(|backlog| backlog.poll_timeout()) {
        Some(at) => out.timers.arm(Timer::Backlog(key), at),
        None => out.timers.disarm(Timer::Backlog(key)),
    }
}
