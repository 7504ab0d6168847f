//! Feedback to remote senders: NACK, PLI, FIR, transport-wide feedback, REMB.

use std::time::Instant;

use crate::api::{MediaTraceData, MediaTraceEvent, ProducerEvent};
use crate::keys::{ProducerKey, TransportKey};
use crate::media::producer::KeyFrameNeed;
use crate::worker::arena::Media;
use crate::worker::out::Out;
use crate::worker::rtcp::send;
use crate::worker::rtcp::send::{MAX_RTCP, REPORTER};
use crate::worker::timer::Timer;
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::rtcp::{
    FirEntry, TransportCcHeader, write_fir, write_nack, write_pli, write_remb, write_transport_cc,
};
use tureen_types::data_structures::TraceEventDirection;

/// Sends the NACKs and key frame requests of a Producer that are due.
pub(crate) fn poll_producer_feedback(media: &mut Media, out: &mut Out, now: Instant, key: ProducerKey) {
    let Some(producer) = media.producers.live_mut(key) else { return };
    let transport = producer.transport;
    let connected = media.transports.live(transport).is_some_and(|t| t.is_connected());
    let mut seqs = std::mem::take(&mut out.scratch.seqs);
    for index in 0..producer.streams.len() {
        let Some(producer) = media.producers.live_mut(key) else { break };
        let stream = &mut producer.streams[index];
        let ssrc = stream.stats.ssrc();
        let Some(nack) = &mut stream.nack else { continue };
        seqs.clear();
        nack.poll_nacks(now, &mut seqs);
        let lost_for_good = nack.needs_key_frame();
        if lost_for_good {
            producer.request_key_frame(now, ssrc, KeyFrameNeed::Decoder);
        }
        let stream = &mut producer.streams[index];
        if seqs.is_empty() || !connected {
            continue;
        }
        stream.requests.nacks += 1;
        stream.requests.nacked_packets += seqs.len() as u64;
        let traced = producer.trace.nack;
        send::with_rtcp(media, out, now, transport, |packet| write_nack(packet, REPORTER, ssrc, &seqs));
        if traced {
            trace_producer(media, out, now, key, MediaTraceData::Nack);
        }
    }
    out.scratch.seqs = seqs;
    while connected
        && let Some(producer) = media.producers.live_mut(key)
        && let Some(ssrc) = producer.key_frame_requests.poll_request()
    {
        let (traces_pli, traces_fir) = (producer.trace.pli, producer.trace.fir);
        let Some(stream) = producer.stream_by_ssrc(ssrc) else { continue };
        if stream.codec.fir && !stream.codec.pli {
            // RFC 5104 §4.3.1.1: each command increments the sequence number.
            let entry = FirEntry { ssrc, sequence_number: stream.requests.firs as u8 };
            stream.requests.firs += 1;
            send::with_rtcp(media, out, now, transport, |packet| write_fir(packet, REPORTER, &[entry]));
            if traces_fir {
                trace_producer(media, out, now, key, MediaTraceData::Fir(ssrc.0));
            }
            continue;
        }
        stream.requests.plis += 1;
        send::with_rtcp(media, out, now, transport, |packet| write_pli(packet, REPORTER, ssrc));
        if traces_pli {
            trace_producer(media, out, now, key, MediaTraceData::Pli(ssrc.0));
        }
    }
    let Some(producer) = media.producers.live(key) else { return };
    if let Some(at) = producer.nack_timeout() {
        out.timers.arm(Timer::Nack(key), at);
    }
    if let Some(at) = producer.key_frame_requests.poll_timeout() {
        out.timers.arm(Timer::KeyFrame(key), at);
    }
}

pub(crate) fn on_producer_timer(media: &mut Media, out: &mut Out, now: Instant, key: ProducerKey) {
    let Some(producer) = media.producers.live_mut(key) else { return };
    producer.handle_timeout(now);
    poll_producer_feedback(media, out, now, key);
}

pub(crate) fn on_transport_cc_timer(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let Some(transport) = media.transports.live_mut(key) else { return };
    let media_ssrc = transport.listener.ssrcs().next().map_or(REPORTER, |(ssrc, _)| ssrc);
    let Some(mut twcc) = transport.twcc.take() else { return };
    twcc.handle_timeout(now);
    while let Some(feedback) = twcc.poll_feedback() {
        let header = TransportCcHeader {
            sender_ssrc: REPORTER,
            media_ssrc,
            base_sequence_number: feedback.base_seq,
            reference_time: feedback.reference_time as i32,
            feedback_count: feedback.feedback_count,
        };
        send::with_rtcp(media, out, now, key, |packet| {
            let written = write_transport_cc(packet, &header, &feedback.statuses, MAX_RTCP);
            debug_assert_eq!(written, feedback.statuses.len(), "the receiver makes messages that fit");
        });
        if let Some(transport) = media.transports.live_mut(key) {
            let arrived = feedback.statuses.iter().flatten().count();
            transport.quality.loss_received.add(feedback.statuses.len(), arrived);
        }
    }
    if let Some(at) = twcc.poll_timeout() {
        out.timers.arm(Timer::TransportCc(key), at);
    }
    if let Some(transport) = media.transports.live_mut(key) {
        if let Some(bitrate) = transport.traffic.rtp_received.bitrate(now) {
            twcc.set_incoming_bitrate(bitrate);
        }
        transport.twcc = Some(twcc);
    }
}

/// Sends the bitrate limit or its removal to the remote endpoint by REMB, if due.
pub(crate) fn send_remb(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let Some(transport) = media.transports.live_mut(key) else { return };
    let Some(limit) = transport.poll_remb(now) else { return };
    let ssrcs: Vec<Ssrc> = transport.listener.ssrcs().map(|(ssrc, _)| ssrc).collect();
    send::with_rtcp(media, out, now, key, |packet| write_remb(packet, REPORTER, limit, &ssrcs));
}

fn trace_producer(media: &mut Media, out: &mut Out, now: Instant, key: ProducerKey, data: MediaTraceData) {
    let timestamp_ms = out.clock.unix_ms(now);
    let event = MediaTraceEvent { timestamp_ms, direction: TraceEventDirection::Out, data };
    out.notify_producer(media, key, ProducerEvent::Trace(event));
}
