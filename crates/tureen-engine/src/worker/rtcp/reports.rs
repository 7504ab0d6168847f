//! Sender and receiver reports, incoming and outgoing.

use std::time::{Duration, Instant};

use rand::Rng;

use crate::api::{MediaTraceData, MediaTraceEvent, ProducerEvent};
use crate::keys::{ConsumerKey, ProducerKey, TransportKey};
use crate::worker::arena::Media;
use crate::worker::drops::DropReason;
use crate::worker::forward::{Consumers, bandwidth, layers};
use crate::worker::out::Out;
use crate::worker::rtcp::send::REPORTER;
use crate::worker::rtcp::{feedback, incoming, send};
use crate::worker::scores;
use crate::worker::timer::Timer;
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::rtcp::{
    DlrrEntry, NtpTime, ReportBlock, SenderInfo, SenderReport, Xr, XrBlock, write_receiver_report,
    write_sdes_cname, write_sender_report, write_xr_rrtr,
};
use tureen_types::data_structures::{SrTraceInfo, TraceEventDirection};
use tureen_types::rtp_parameters::MediaKind;

/// Time from the connection to the first report; short, so that receivers can synchronise audio and video early.
pub(crate) const FIRST_INTERVAL: Duration = Duration::from_millis(200);

/// Interval of reports on a transport with video (mediasoup `MaxVideoIntervalMs`); varied by ±50% (RFC 3550 §6.2).
const VIDEO_INTERVAL: Duration = Duration::from_millis(1000);

/// Interval of reports on a transport with audio only (mediasoup `MaxAudioIntervalMs`).
const AUDIO_INTERVAL: Duration = Duration::from_millis(5000);

/// Maximum delay between capture and reception of media, in 32.32 fixed point seconds.
const MAX_CAPTURE_DELAY: i64 = 5 << 32;

/// Maximum time by which the capture of media may seem later than its reception, because a sender's clock is not known
/// more accurately.
const MAX_CLOCK_ERROR: i64 = 1 << 31;

/// Sends the sender and receiver reports of a transport.
pub(crate) fn on_reports_timer(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let Some(transport) = media.transports.live(key) else { return };
    if !transport.is_connected() {
        return;
    }
    let (producers, consumers) = (transport.producers.len(), transport.consumers.len());
    let mut packet = std::mem::take(&mut out.scratch.rtcp);
    packet.clear();
    let mut has_video = false;
    for index in 0..consumers {
        let consumer = media.transports[key].consumers[index];
        has_video |= media.consumers.live(consumer).is_some_and(|c| c.kind == MediaKind::Video);
        report_consumer(media, out, now, consumer, &mut packet);
        send::send_full(media, out, now, key, &mut packet);
    }
    let mut blocks = std::mem::take(&mut out.scratch.blocks);
    blocks.clear();
    for index in 0..producers {
        let producer = media.transports[key].producers[index];
        has_video |= media.producers.live(producer).is_some_and(|p| p.kind == MediaKind::Video);
        report_producer(media, now, producer, &mut blocks);
    }
    if !blocks.is_empty() {
        write_receiver_report(&mut packet, REPORTER, &blocks);
        write_xr_rrtr(&mut packet, REPORTER, out.clock.ntp(now));
    }
    send::send_rtcp(media, out, now, key, &mut packet);
    out.scratch.rtcp = packet;
    out.scratch.blocks = blocks;
    feedback::send_remb(media, out, now, key);
    for index in 0..producers {
        scores::update_producer_score(media, out, now, media.transports[key].producers[index]);
    }
    let interval = if has_video { VIDEO_INTERVAL } else { AUDIO_INTERVAL };
    let interval = interval.mul_f64(out.rng.random_range(0.5..1.5));
    out.arm_relaxed(Timer::Reports(key), now + interval);
}

fn report_consumer(media: &mut Media, out: &mut Out, now: Instant, key: ConsumerKey, packet: &mut Vec<u8>) {
    let ntp = out.clock.ntp(now);
    let Some(consumer) = media.consumers.live(key) else { return };
    if !consumer.is_active() {
        return;
    }
    let Some(producer) = media.producers.live(consumer.producer) else { return };
    let transport = media.transports.live(consumer.transport);
    let answer = transport.and_then(|transport| transport.delay_since_reference_time(now));
    let clock = media.transports.live(producer.transport).and_then(|t| t.clocks.get(producer.cname()));
    for (index, send_stream) in consumer.send_streams.iter().enumerate() {
        let ssrc = send_stream.stats.ssrc;
        let Some((stream, offset)) = consumer.shown(index, &producer.streams) else { continue };
        let Some((timestamp, seen_at)) = stream.stats.highest_timestamp() else { continue };
        let captured = clock.and_then(|clock| clock.captured_at(&stream.stats, timestamp));
        let seen = out.clock.ntp(seen_at);
        // A sender whose clock was set may report an impossible capture time.
        let captured = captured.filter(|captured| is_capture_of(*captured, seen)).unwrap_or(seen);
        let captured = (captured, timestamp.wrapping_sub(offset));
        let Some(report) = send_stream.stats.sender_report(now, ntp, captured) else { continue };
        let info = SenderInfo {
            ntp_time: report.ntp,
            rtp_timestamp: report.rtp_timestamp,
            packet_count: report.packet_count,
            octet_count: report.octet_count,
        };
        write_sender_report(packet, ssrc, &info, &[]);
        write_sdes_cname(packet, &[(ssrc, consumer.cname().as_bytes())]);
        if let Some(entry) = answer {
            tureen_rtc::wire::rtcp::write_xr_dlrr(packet, ssrc, &[entry]);
        }
    }
}

fn report_producer(media: &mut Media, now: Instant, key: ProducerKey, blocks: &mut Vec<ReportBlock>) {
    let Some(producer) = media.producers.live_mut(key) else { return };
    let consumers = &media.consumers;
    for stream in &mut producer.streams {
        // As in mediasoup: a sender with in-band FEC is reported the loss of its worst receiver.
        let worst = match stream.codec.in_band_fec {
            true => worst_remote_loss(consumers, &producer.consumers, stream.encoding_idx),
            false => 0,
        };
        blocks.push(wire_block(&stream.stats.report(now, worst)));
        if let Some(rtx) = &mut stream.rtx
            && rtx.packets() > 0
        {
            blocks.push(wire_block(&rtx.report(now)));
        }
    }
}

pub(crate) fn on_sender_report(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    report: &SenderReport<'_>,
) {
    let Some(transport) = media.transports.live_mut(key) else { return };
    let Some(producer_key) = transport.listener.by_ssrc(report.sender_ssrc) else { return };
    let Some(producer) = media.producers.live_mut(producer_key) else { return };
    let info = report.info;
    let ntp = out.clock.ntp(now);
    let mut alignable = false;
    for stream in &mut producer.streams {
        if stream.stats.ssrc() == report.sender_ssrc {
            let was_alignable = stream.is_alignable();
            stream.handle_sender_report(now, info.ntp_time.0, info.rtp_timestamp);
            alignable |= !was_alignable && stream.is_alignable();
            let cname = producer.rtp_parameters.rtcp.cname.as_deref().unwrap_or_default();
            if let Some(clock) = transport.clocks.get_mut(cname) {
                clock.on_sender_report(now, ntp, &stream.stats);
            }
        } else if let Some(rtx) = &mut stream.rtx
            && rtx.ssrc() == report.sender_ssrc
        {
            rtx.handle_sender_report(now, info.ntp_time.0, info.rtp_timestamp);
        }
    }
    if producer.trace.sr {
        let data = MediaTraceData::Sr(SrTraceInfo {
            ssrc: report.sender_ssrc.0,
            ntp_sec: info.ntp_time.seconds(),
            ntp_frac: info.ntp_time.fraction(),
            rtp_ts: info.rtp_timestamp,
            packet_count: info.packet_count,
            octet_count: info.octet_count,
        });
        let event = MediaTraceEvent {
            timestamp_ms: out.clock.unix_ms(now),
            direction: TraceEventDirection::In,
            data,
        };
        out.notify_producer(media, producer_key, ProducerEvent::Trace(event));
    }
    if alignable {
        // The stream can now be aligned with others.
        layers::aim_consumers(media, out, now, producer_key);
    }
}

pub(crate) fn on_report_block(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    block: &ReportBlock,
) {
    let ntp = out.clock.ntp(now);
    let Some(consumer_key) = incoming::consumer_by_ssrc(media, key, block.ssrc) else { return };
    let Some(consumer) = media.consumers.live_mut(consumer_key) else { return };
    let Some(send_stream) = consumer.send_stream_of(block.ssrc) else { return }; // About retransmissions.
    if !send_stream.stats.admit_report(now, out.limits.report_block_interval) {
        out.drops.count(DropReason::ExcessFeedback);
        return;
    }
    let round_trip = consumer.on_receiver_report(ntp, block);
    let scores = media.producers.live(consumer.producer).map(|p| p.encoding_scores()).unwrap_or_default();
    scores::update_consumer_score(media, out, consumer_key, &scores);
    on_round_trip(media, key, round_trip);
    bandwidth::on_loss_report(media, now, key, consumer_key, block.ssrc);
}

pub(crate) fn on_extended_report(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    report: &Xr<'_>,
) {
    for block in report.blocks() {
        match block {
            XrBlock::ReceiverReferenceTime(ntp) => {
                if let Some(transport) = media.transports.live_mut(key) {
                    transport.on_reference_time(now, report.sender_ssrc, ntp);
                }
            }
            XrBlock::DelaySinceLastRr(entries) => {
                for entry in entries {
                    on_dlrr(media, out, now, key, report.sender_ssrc, &entry);
                }
            }
            XrBlock::Unknown { .. } => {}
        }
    }
}

/// Handles the answer to our receiver reference time, which yields the round trip time to the remote sender.
fn on_dlrr(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    sender: Ssrc,
    entry: &DlrrEntry,
) {
    let compact = out.clock.ntp(now).compact();
    let Some(producer) = media.transports.live(key).and_then(|t| t.listener.by_ssrc(sender)) else {
        return;
    };
    let Some(producer) = media.producers.live_mut(producer) else { return };
    let Some(stream) = producer.stream_by_ssrc(sender) else { return };
    let Some(rtt) = stream.stats.handle_dlrr(compact, entry.last_reference_time, entry.delay) else {
        return;
    };
    if let Some(nack) = &mut stream.nack {
        nack.set_rtt(rtt);
    }
    producer.key_frame_requests.set_round_trip(rtt);
    on_round_trip(media, key, Some(rtt));
}

fn on_round_trip(media: &mut Media, key: TransportKey, measured: Option<Duration>) {
    if let Some((transport, measured)) = media.transports.live_mut(key).zip(measured) {
        transport.quality.add_round_trip(measured);
    }
}

/// Maximum fraction of an encoding's packets that a receiver reports as lost, in 1/256.
fn worst_remote_loss(consumers: &Consumers, keys: &[ConsumerKey], encoding: usize) -> u8 {
    let active = keys.iter().filter_map(|&key| consumers.live(key)).filter(|consumer| consumer.is_active());
    active.filter_map(|consumer| consumer.remote_loss(encoding)).max().unwrap_or(0)
}

/// True if media received at `seen` can have been captured at `captured`: before, and at most the delay of encoders,
/// pacers and networks earlier. Clocks are accurate to about 100 ms.
fn is_capture_of(captured: NtpTime, seen: NtpTime) -> bool {
    let held_up = seen.since(captured);
    (-MAX_CLOCK_ERROR..=MAX_CAPTURE_DELAY).contains(&held_up)
}

fn wire_block(block: &tureen_rtc::receive::recv_stream::ReportBlock) -> ReportBlock {
    ReportBlock {
        ssrc: block.ssrc,
        fraction_lost: block.fraction_lost,
        total_lost: block.total_lost,
        highest_sequence_number: block.extended_highest_seq,
        jitter: block.jitter,
        last_sender_report: block.last_sr,
        delay_since_last_sender_report: block.delay_since_last_sr,
    }
}
