//! Incoming RTP: decryption, bitrate limit, dispatch to the Producer.

use std::time::Instant;

use crate::api::{MediaTraceData, MediaTraceEvent, ProducerEvent};
use crate::keys::{ProducerKey, TransportKey};
use crate::media::producer::stream::Ingest;
use crate::media::producer::{FoundBy, Handled, KeyFrameNeed};
use crate::transport::link::Link;
use crate::transport::protection::Opener;
use crate::transport::rtp_listener::Found;
use crate::worker::arena::Media;
use crate::worker::control::observers;
use crate::worker::drops::DropReason;
use crate::worker::forward::{Forward, bandwidth, layers};
use crate::worker::out::Out;
use crate::worker::paths::{Paths, ice};
use crate::worker::rtcp::feedback;
use crate::worker::scores;
use crate::worker::timer::Timer;
use tureen_rtc::log;
use tureen_rtc::srtp::SrtpError;
use tureen_rtc::tuple::Tuple;
use tureen_rtc::wire::rtp::extension::TransportSequenceNumber;
use tureen_rtc::wire::rtp::{Extension, RtpHeader};
use tureen_types::data_structures::TraceEventDirection;
use tureen_types::rtp_parameters::MediaKind;

pub(crate) fn handle_rtp(
    media: &mut Media,
    paths: &mut Paths,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: &Tuple,
    data: &mut [u8],
) -> Result<(), DropReason> {
    let transport = media.transports.live_mut(key).ok_or(DropReason::UnknownTuple)?;
    let (header, len) = open_rtp(&mut transport.opener, data)?;
    if let Link::WebRtc(link) = &mut transport.link
        && link.ice.handle_traffic(now, tuple)
    {
        ice::drain_ice(media, paths, out, now, key);
    }
    take_rtp(media, forward, out, now, key, &header, &data[..len])
}

/// Dispatches a decrypted packet to its Producer.
pub(crate) fn take_rtp(
    media: &mut Media,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    header: &RtpHeader,
    packet: &[u8],
) -> Result<(), DropReason> {
    let transport = media.transports.live_mut(key).ok_or(DropReason::UnknownTuple)?;
    if transport.policer().is_some() {
        // The limit applies before transport-wide feedback, so that a dropped packet is reported as lost.
        police(media, now, key, header, packet)?;
    }
    let transport = media.transports.live_mut(key).ok_or(DropReason::UnknownTuple)?;
    // Feedback covers every packet of the transport, so the packet is recorded before its Producer is looked up.
    let mut is_reported = false;
    if let Some(twcc) = &mut transport.twcc
        && let Some(seq) = header
            .read::<TransportSequenceNumber>(packet, transport.recv_ids[Extension::TransportWideCcDraft01])
    {
        is_reported = true;
        twcc.handle_packet(now, seq.0);
        if let Some(at) = twcc.poll_timeout() {
            out.timers.arm(Timer::TransportCc(key), at);
        }
    }
    let (producer_key, found_by) = match transport.listener.find(header, packet, &transport.recv_ids) {
        Found::Known(key) => (key, FoundBy::Ssrc),
        Found::Named(key) => (key, FoundBy::Name),
        // The only Producer on the port: its sender has restarted. An unproven tuple may be an attacker's, so its
        // packets are not matched this way.
        Found::Unnamed if transport.producers.len() == 1 && transport.link.is_proven_plain() => {
            (transport.producers[0], FoundBy::Elimination)
        }
        Found::Unnamed | Found::Unknown => return Err(DropReason::NoProducer),
    };
    if !is_reported && transport.estimates_incoming() {
        bandwidth::estimate_incoming(media, out, now, key, producer_key, header, packet);
    }
    produce_rtp(media, forward, out, now, producer_key, found_by, header, packet)
}

/// Drops a packet of a remote endpoint that ignores its maximum incoming bitrate. Transport-wide feedback reports the
/// packet as lost.
#[cold]
fn police(
    media: &mut Media,
    now: Instant,
    key: TransportKey,
    header: &RtpHeader,
    packet: &[u8],
) -> Result<(), DropReason> {
    let transport = media.transports.live_mut(key).ok_or(DropReason::UnknownTuple)?;
    let producer = transport.listener.by_ssrc(header.ssrc).and_then(|key| media.producers.live(key));
    let kind = producer.map_or(MediaKind::Video, |producer| producer.kind);
    let Some(policer) = transport.policer() else { return Ok(()) };
    if policer.admits(now, kind, packet.len()) {
        return Ok(());
    }
    if let Some(bytes) = policer.take_report(now) {
        tracing::warn!(
            target: log::RTP,
            transport = %transport.id, max_incoming_bitrate = transport.bitrates.max_incoming.as_bps(), bytes,
            "a remote side sends far more than it was told to: packets are dropped"
        );
    }
    Err(DropReason::IncomingBitrate)
}

/// Passes a packet to its Producer, and handles the resulting changes.
pub(crate) fn produce_rtp(
    media: &mut Media,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
    producer_key: ProducerKey,
    found_by: FoundBy,
    header: &RtpHeader,
    packet: &[u8],
) -> Result<(), DropReason> {
    let producer = media.producers.live_mut(producer_key).ok_or(DropReason::NoProducer)?;
    let transport = media.transports.live_mut(producer.transport).ok_or(DropReason::UnknownTuple)?;
    let streams_before = producer.streams.len();
    let handled = producer.handle_rtp(now, found_by, header, packet, &mut transport.clocks);
    let traffic = &mut transport.traffic;
    if handled.retransmission { &mut traffic.rtx_received } else { &mut traffic.rtp_received }.add(
        now,
        1,
        packet.len(),
    );
    // The SSRC is registered only after its Producer has accepted the packet as part of one of its streams.
    if found_by != FoundBy::Ssrc {
        if handled.stream.is_none() {
            return Err(DropReason::UnexpectedSsrc);
        }
        transport.listener.learn(header.ssrc, producer_key);
    }
    if let Some(before) = handled.replaced {
        transport.listener.forget(before, producer_key);
    }

    let begun =
        producer.streams.len() > streams_before || (handled.replaced.is_some() && !handled.retransmission);
    if begun && !producer.paused && producer.kind == MediaKind::Video {
        // The first received packet may be preceded by the key frame that decoders need.
        if !handled.taken.is_key_frame() && !producer.consumers.is_empty() {
            producer.request_key_frame(now, header.ssrc, KeyFrameNeed::Begun);
        }
    }
    // The key frame request above is feedback, so this check follows it.
    let feedback_due = producer.has_feedback(handled.stream);
    let Ingest::Stored { key_frame, layers_changed, .. } = handled.taken else {
        if feedback_due {
            feedback::poll_producer_feedback(media, out, now, producer_key);
        }
        if begun {
            scores::on_score_changed(media, out, now, producer_key);
        }
        return Err(DropReason::Discarded);
    };
    let layers_changed = layers_changed && producer.has_layers();
    let trace = producer.trace;
    let observed = !producer.observers.is_empty() && !producer.paused;
    // An undeclared payload type is queued too, because consumers skip its sequence number as they skip padding.
    if !std::mem::replace(&mut producer.queued, true) {
        forward.dirty_producers.push(producer_key);
    }
    if handled.undeclared {
        if feedback_due {
            feedback::poll_producer_feedback(media, out, now, producer_key);
        }
        return Err(DropReason::UndeclaredPayloadType);
    }
    if feedback_due {
        feedback::poll_producer_feedback(media, out, now, producer_key);
    }
    if layers_changed {
        layers::watch_layers(out, now, producer_key);
    }
    // A score change also updates the target layers, so a new stream needs no second update.
    if begun {
        scores::on_score_changed(media, out, now, producer_key);
    } else if layers_changed {
        layers::on_activity_changed(media, out, now, producer_key);
    }
    if observed {
        observers::observe_packet(media, now, producer_key, header, packet);
    }
    if let Some(orientation) = handled.orientation {
        out.notify_producer(media, producer_key, ProducerEvent::VideoOrientation(orientation));
    }
    if trace.rtp || (trace.key_frame && key_frame) {
        trace_rtp(media, out, now, producer_key, header, packet, &handled);
    }
    Ok(())
}

fn trace_rtp(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: ProducerKey,
    header: &RtpHeader,
    packet: &[u8],
    handled: &Handled,
) {
    let Some(producer) = media.producers.live(key) else { return };
    let info = producer.packet_trace(header, packet, handled);
    let key_frame = info.is_key_frame;
    let trace = producer.trace;
    let timestamp_ms = out.clock.unix_ms(now);
    let event = |data| MediaTraceEvent { timestamp_ms, direction: TraceEventDirection::In, data };
    if trace.key_frame && key_frame {
        out.notify_producer(media, key, ProducerEvent::Trace(event(MediaTraceData::KeyFrame(info.clone()))));
    }
    if trace.rtp {
        out.notify_producer(media, key, ProducerEvent::Trace(event(MediaTraceData::Rtp(info))));
    }
}

/// Decrypts an RTP packet in place. Returns its header, and its length without the SRTP tag.
pub(crate) fn open_rtp(
    opener: &mut Option<Opener>,
    data: &mut [u8],
) -> Result<(RtpHeader, usize), DropReason> {
    let header = RtpHeader::parse(data).map_err(|_| DropReason::MalformedRtp)?;
    let opener = opener.as_mut().ok_or(DropReason::NoKeys)?;
    let len =
        opener.open_rtp(data, header.ssrc, header.sequence_number, header.len()).map_err(drop_reason)?;
    Ok((header, len))
}

pub(crate) fn drop_reason(error: SrtpError) -> DropReason {
    match error {
        SrtpError::Replayed | SrtpError::TooOld => DropReason::Replayed,
        _ => DropReason::Unauthentic,
    }
}
