//! Incoming RTCP: decryption, and handling of each packet of the compound.

use std::time::Instant;

use crate::api::{MediaTraceData, MediaTraceEvent};
use crate::keys::{ConsumerKey, TransportKey};
use crate::media::consumer::Retransmission;
use crate::transport::protection::Opener;
use crate::worker::arena::Media;
use crate::worker::drops::DropReason;
use crate::worker::forward::{bandwidth, key_frames};
use crate::worker::out::Out;
use crate::worker::paths::{Paths, ice};
use crate::worker::rtcp::reports;
use crate::worker::rtp;
use tureen_rtc::tuple::Tuple;
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::rtcp::{RtcpCompound, RtcpPacket};
use tureen_types::data_structures::TraceEventDirection;

pub(crate) fn handle_rtcp(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: &Tuple,
    data: &mut [u8],
) -> Result<(), DropReason> {
    let transport = media.transports.live_mut(key).ok_or(DropReason::UnknownTuple)?;
    let len = open_rtcp(&mut transport.opener, data)?;
    ice::on_authentic(media, paths, out, now, key, tuple);
    take_rtcp(media, paths, out, now, key, &data[..len])
}

/// Handles a decrypted compound packet.
pub(crate) fn take_rtcp(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    compound: &[u8],
) -> Result<(), DropReason> {
    let mut result = Ok(());
    let mut nameable = out.limits.nacked_packets_per_datagram;
    for packet in RtcpCompound::new(compound) {
        match packet {
            Ok(RtcpPacket::Nack(nack)) => {
                nameable -= on_nack(media, out, now, key, nack.media_ssrc, nack.lost(), nameable);
            }
            Ok(packet) => handle_rtcp_packet(media, paths, out, now, key, &packet),
            // The packets behind a malformed one are still handled, as far as its length field permits.
            Err(_) => result = Err(DropReason::MalformedRtcp),
        }
    }
    result
}

fn handle_rtcp_packet(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    packet: &RtcpPacket<'_>,
) {
    match packet {
        RtcpPacket::SenderReport(report) => {
            reports::on_sender_report(media, out, now, key, report);
            for block in report.reports {
                reports::on_report_block(media, out, now, key, &block);
            }
        }
        RtcpPacket::ReceiverReport(report) => {
            for block in report.reports {
                reports::on_report_block(media, out, now, key, &block);
            }
        }
        RtcpPacket::Pli(pli) => on_key_frame_request(media, out, now, key, pli.media_ssrc, false),
        RtcpPacket::Fir(fir) => {
            for entry in fir.entries {
                on_key_frame_request(media, out, now, key, entry.ssrc, true);
            }
        }
        RtcpPacket::TransportCc(feedback) => {
            bandwidth::on_transport_cc(media, paths, out, now, key, feedback)
        }
        RtcpPacket::Remb(remb) => bandwidth::on_remb(media, out, now, key, remb.bitrate),
        RtcpPacket::Xr(report) => reports::on_extended_report(media, out, now, key, report),
        RtcpPacket::Bye(bye) => bye.ssrcs.iter().for_each(|ssrc| on_bye(media, key, ssrc)),
        RtcpPacket::Nack(_) | RtcpPacket::Sdes(_) | RtcpPacket::Unknown { .. } => {}
    }
}

fn on_bye(media: &mut Media, key: TransportKey, ssrc: Ssrc) {
    let producer = media.transports.live(key).and_then(|transport| transport.listener.by_ssrc(ssrc));
    if let Some(producer) = producer.and_then(|producer| media.producers.live_mut(producer)) {
        producer.on_bye(ssrc);
    }
}

/// Handles at most `nameable` of the packets that a NACK names. Returns the number of handled ones.
fn on_nack(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    ssrc: Ssrc,
    lost: impl Iterator<Item = u16>,
    nameable: usize,
) -> usize {
    let Some(consumer_key) = consumer_by_ssrc(media, key, ssrc) else { return 0 };
    let Some(consumer) = media.consumers.live_mut(consumer_key) else { return 0 };
    let Some(producer) = media.producers.live(consumer.producer) else { return 0 };
    let Some(transport) = media.transports.live_mut(key) else { return 0 };
    let traffic = &transport.traffic;
    let sent = traffic.rtp_sent.packets() + traffic.rtx_sent.packets();
    let floor = out.limits.nacked_packets_per_second;
    let nameable = transport.feedback_budget.available(now, sent, floor).min(nameable);
    let mut lost = lost.peekable();
    let mut retransmissions = std::mem::take(&mut out.scratch.retransmissions);
    retransmissions.clear();
    let named =
        consumer.on_nack(now, ssrc, lost.by_ref().take(nameable), &producer.streams, &mut retransmissions);
    if named == nameable && lost.peek().is_some() {
        out.drops.count(DropReason::ExcessFeedback);
    }
    if let Some(transport) = media.transports.live_mut(key) {
        transport.feedback_budget.spend(named);
        let room =
            out.limits.retransmissions_by(&transport.link).saturating_sub(transport.retransmissions.len());
        out.drops.add(DropReason::RetransmissionsFull, retransmissions.len().saturating_sub(room) as u64);
        transport.retransmissions.extend(
            retransmissions
                .iter()
                .take(room)
                .map(|&retransmission: &Retransmission| (consumer_key, retransmission)),
        );
        if !transport.retransmissions.is_empty() {
            out.line.queue(key, transport);
        }
    }
    let trace = consumer.trace.nack;
    out.scratch.retransmissions = retransmissions;
    if trace && named > 0 {
        trace_consumer(media, out, now, consumer_key, MediaTraceData::Nack);
    }
    named
}

fn on_key_frame_request(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    ssrc: Ssrc,
    is_fir: bool,
) {
    let Some(consumer_key) = consumer_by_ssrc(media, key, ssrc) else { return };
    let Some(consumer) = media.consumers.live_mut(consumer_key) else { return };
    if let Some(send_stream) = consumer.send_stream_of(ssrc) {
        *if is_fir { &mut send_stream.stats.firs } else { &mut send_stream.stats.plis } += 1;
    }
    let traced = if is_fir { consumer.trace.fir } else { consumer.trace.pli };
    key_frames::request_key_frame(media, out, now, consumer_key);
    if traced {
        let data = if is_fir { MediaTraceData::Fir(ssrc.0) } else { MediaTraceData::Pli(ssrc.0) };
        trace_consumer(media, out, now, consumer_key, data);
    }
}

fn trace_consumer(media: &mut Media, out: &mut Out, now: Instant, key: ConsumerKey, data: MediaTraceData) {
    let timestamp_ms = out.clock.unix_ms(now);
    let event = MediaTraceEvent { timestamp_ms, direction: TraceEventDirection::In, data };
    out.notify_consumer(media, key, crate::api::ConsumerEvent::Trace(event));
}

/// Returns the Consumer that sends `ssrc` on a transport.
pub(crate) fn consumer_by_ssrc(media: &Media, key: TransportKey, ssrc: Ssrc) -> Option<ConsumerKey> {
    media.transports.live(key)?.consumer_of(ssrc)
}

/// Decrypts a compound RTCP packet in place. Returns its length without the SRTCP trailer.
pub(crate) fn open_rtcp(opener: &mut Option<Opener>, data: &mut [u8]) -> Result<usize, DropReason> {
    opener.as_mut().ok_or(DropReason::NoKeys)?.open_rtcp(data).map_err(rtp::drop_reason)
}
