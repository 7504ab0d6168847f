//! Actions on the connection and disconnection of a transport: consumers, reports, feedback, data.

use std::time::Instant;

use crate::keys::TransportKey;
use crate::worker::arena::Media;
use crate::worker::data::association;
use crate::worker::forward::{bandwidth, layers, start};
use crate::worker::out::Out;
use crate::worker::rtcp::feedback;
use crate::worker::timer::Timer;

/// Starts consumers, reports and feedback, because media can flow (again).
pub(crate) fn on_transport_connected(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    out.timers.arm(Timer::Reports(key), now + super::reports::FIRST_INTERVAL);
    let Some(transport) = media.transports.live_mut(key) else { return };
    transport.flowing = true;
    // Congestion control starts before the consumers, because it allocates their layers.
    bandwidth::may_control_sending(media, out, now, key);
    let Some(transport) = media.transports.live(key) else { return };
    for consumer in transport.consumers.clone() {
        start::start_consumer(media, out, now, consumer);
    }
    let producers = media.transports.live(key).map(|t| t.producers.clone()).unwrap_or_default();
    for producer in producers {
        feedback::poll_producer_feedback(media, out, now, producer);
    }
    association::start_sctp(media, out, now, key);
}

pub(crate) fn on_transport_disconnected(media: &mut Media, out: &mut Out, key: TransportKey) {
    out.timers.disarm(Timer::Reports(key));
    bandwidth::pause_send_control(media, out, key);
    let Some(transport) = media.transports.live_mut(key) else { return };
    transport.flowing = false;
    transport.retransmissions.clear();
    for &consumer in &transport.consumers {
        if let Some(consumer) = media.consumers.live_mut(consumer) {
            consumer.require_sync();
        }
    }
    for consumer in transport.consumers.clone() {
        layers::stop_layers(media, out, consumer);
    }
}
