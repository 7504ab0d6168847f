//! SCTP associations of transports: packets in both directions, timers, events.

use std::time::Instant;

use crate::api::{DataConsumerEvent, TransportEvent};
use crate::data::subchannels::Subchannels;
use crate::keys::TransportKey;
use crate::transport::link::{Link, Path};
use crate::worker::arena::Media;
use crate::worker::data;
use crate::worker::data::messages;
use crate::worker::drops::DropReason;
use crate::worker::out::Out;
use crate::worker::paths::dtls;
use crate::worker::timer::Timer;
use tureen_rtc::dtls::DtlsError;
use tureen_rtc::log;
use tureen_rtc::sctp::{self};
use tureen_types::data_structures::SctpState;

/// Starts the association, because the transport can carry SCTP from now on.
pub(crate) fn start_sctp(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    if let Some(sctp) = media.transports.live_mut(key).and_then(|t| t.data.sctp_mut()) {
        sctp.connect(now);
        queue_sctp(media, out, key);
    }
}

/// Closes the association, because the transport can no longer carry SCTP.
pub(crate) fn end_sctp(media: &mut Media, out: &mut Out, key: TransportKey) {
    if let Some(sctp) = media.transports.live_mut(key).and_then(|t| t.data.sctp_mut()) {
        sctp.close();
        queue_sctp(media, out, key);
    }
}

/// Handles an SCTP packet of the remote endpoint.
pub(crate) fn handle_sctp(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey, packet: &[u8]) {
    if let Some(sctp) = media.transports.live_mut(key).and_then(|t| t.data.sctp_mut()) {
        sctp.handle_packet(now, packet);
        queue_sctp(media, out, key);
    }
}

pub(crate) fn on_sctp_timer(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    if let Some(sctp) = media.transports.live_mut(key).and_then(|t| t.data.sctp_mut()) {
        sctp.handle_timeout(now);
        queue_sctp(media, out, key);
    }
}

/// Handles the events of queued associations, once after every input. Their packets are sealed later, when the driver
/// polls for datagrams.
pub(crate) fn flush_sctp(media: &mut Media, out: &mut Out, now: Instant) {
    let mut at = 0;
    // A transport may have been closed since it was queued. Messages queue further associations, so the list grows.
    while let Some(&key) = out.queued_sctp.get(at) {
        drain_sctp_events(media, out, now, key);
        at += 1;
    }
    for key in out.queued_sctp.drain(..) {
        let Some(transport) = media.transports.get_mut(key) else { continue };
        transport.data.queued = false;
        if !std::mem::replace(&mut transport.data.sending, true) {
            out.sending_sctp.push_back(key);
        }
    }
}

/// Seals the next packet of the queued associations. Returns false if none has a packet.
pub(crate) fn seal_next_sctp(media: &mut Media, out: &mut Out, now: Instant) -> bool {
    while let Some(&key) = out.sending_sctp.front() {
        if seal_sctp(media, out, now, key) {
            return true;
        }
        out.sending_sctp.pop_front();
        if let Some(transport) = media.transports.get_mut(key) {
            transport.data.sending = false;
        }
    }
    false
}

fn drain_sctp_events(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    if let Some(sctp) = media.transports.get_mut(key).and_then(|transport| transport.data.sctp_mut()) {
        out.drops.add(DropReason::TooMuchWaits, sctp.take_refused());
    }
    while let Some(transport) = media.transports.get_mut(key)
        && let Some(sctp) = transport.data.sctp_mut()
        && let Some(event) = sctp.poll_event()
    {
        match event {
            sctp::Event::State(state) => {
                if state == SctpState::Connected
                    && let Some(negotiated) = sctp.negotiated()
                {
                    out.notify_transport(media, key, TransportEvent::SctpNegotiatedCapabilities(negotiated));
                }
                out.notify_transport(media, key, TransportEvent::SctpState(state));
            }
            sctp::Event::Message { stream, ppid, payload } => {
                let Some(&producer) = transport.data.stream_producers.get(&stream) else {
                    out.drops.count(DropReason::NoProducer);
                    continue;
                };
                let (subchannels, payload) = if transport.data.is_pipe() {
                    Subchannels::decode(payload)
                } else {
                    (Subchannels::default(), payload)
                };
                messages::distribute(media, out, now, producer, ppid, payload, &subchannels);
            }
            sctp::Event::MessageTooLong(_) => out.drops.count(DropReason::MessageTooLong),
            sctp::Event::StreamReset(stream) => {
                // As in mediasoup, the application is not notified, because its client notifies it.
                if transport.data.has_data_channels()
                    && let Some(&consumer) = transport.data.stream_consumers.get(&stream)
                {
                    data::close_data_consumer(media, out, now, consumer);
                }
            }
            sctp::Event::BufferedAmountLow(stream) => {
                if let Some(&consumer) = transport.data.stream_consumers.get(&stream) {
                    let amount = messages::buffered_amount(media, consumer);
                    messages::notify_data_consumer(
                        media,
                        out,
                        consumer,
                        DataConsumerEvent::BufferedAmountLow(amount),
                    );
                }
            }
        }
    }
}

/// Queues the next packet of an association. Returns false if it has none.
pub(crate) fn seal_sctp(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) -> bool {
    let Some(transport) = media.transports.get_mut(key) else { return false };
    let Some(sctp) = transport.data.sctp_mut() else { return false };
    let Some(packet) = sctp.poll_packet(now) else {
        // Sending may have freed buffer space, which causes events.
        let at = if sctp.has_events() { Some(now) } else { sctp.poll_timeout() };
        if let Some(at) = at {
            out.timers.arm(Timer::Sctp(key), at);
        }
        return false;
    };
    match &mut transport.link {
        Link::WebRtc(link) => match link.dtls.as_mut().map(|dtls| dtls.send(&packet)) {
            Some(Ok(())) => {
                dtls::drain_dtls(media, out, now, key);
            }
            // The packet is lost, as in a network, and the association retransmits it.
            None | Some(Err(DtlsError::NotConnected | DtlsError::SendQueueFull)) => {}
            Some(Err(error)) => {
                tracing::debug!(target: log::SCTP, %error, "an SCTP packet can't be sent")
            }
        },
        Link::Plain(_) | Link::Pipe(_) => {
            if let Some(Path::Network(tuple)) = transport.link.rtp_path() {
                transport.traffic.other_sent.add(now, 1, packet.len());
                out.control.queue(tuple, &packet);
            }
        }
        Link::Direct => {}
    }
    true
}

pub(crate) fn queue_sctp(media: &mut Media, out: &mut Out, key: TransportKey) {
    if let Some(transport) = media.transports.live_mut(key)
        && !std::mem::replace(&mut transport.data.queued, true)
    {
        out.queued_sctp.push(key);
    }
}
