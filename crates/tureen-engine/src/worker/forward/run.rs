//! Sealing of a run: packets of equal size to one destination, directly into the driver's buffer.

use std::time::Instant;

use crate::api::{ConsumerEvent, TransportEvent};
use crate::io::Transmit;
use crate::keys::{ConsumerKey, ProducerKey};
use crate::media::consumer::Written;
use crate::media::consumer::rtp_send_stream::RtpSendStream;
use crate::media::producer::packet_buffer::PacketBuffer;
use crate::transport::TransportTraffic;
use crate::transport::link::Path;
use crate::transport::protection::Sealer;
use crate::worker::arena::Media;
use crate::worker::forward::egress::{HeaderArena, Origin, Planned, Purpose};
use crate::worker::forward::{Consumers, Forward, Producers};
use crate::worker::out::Out;
use crate::worker::paths::Paths;
use crate::worker::timer::Timer;
use tureen_rtc::wire::rtp::RtpHeader;
use tureen_types::data_structures::RtpPacketTraceInfo;

/// Maximum padding of a packet, in bytes, to the size of the others in its run. libwebrtc splits a frame into packets
/// that differ by one or two bytes, and segmentation offload needs equal sizes.
const MAX_PADDING: usize = 16;

/// Padding of each length: zeros, and the length as the last octet (RFC 3550 §5.1).
const PADDING: [[u8; MAX_PADDING]; MAX_PADDING + 1] = {
    let mut table = [[0; MAX_PADDING]; MAX_PADDING + 1];
    let mut len = 1;
    while len <= MAX_PADDING {
        table[len][len - 1] = len as u8;
        len += 1;
    }
    table
};

/// Maximum number of datagrams in one run (Linux: UDP_MAX_SEGMENTS is 64 on older kernels).
const MAX_SEGMENTS: usize = 64;

/// Seals as many packets of the plan as fit into one run: equal sizes, the last packet may be shorter.
pub(crate) fn seal_run(
    media: &mut Media,
    paths: &mut Paths,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
    buffer: &mut [u8],
) -> Option<Transmit> {
    let egress = &mut forward.egress;
    let planned_for =
        egress.planned_for.and_then(|(key, path)| Some((key, media.transports.live_mut(key)?, path)));
    let sealed_by = planned_for.filter(|(_, transport, _)| transport.sealer.is_some());
    let Some((key, transport, path)) = sealed_by else {
        // The transport was disconnected after it was planned.
        egress.next = egress.plan.len();
        return None;
    };
    let sealer = transport.sealer.as_ref()?;
    let plan = egress.plan.get(egress.next..).unwrap_or_default();
    let mut run = Run::new(sealer, path, plan, buffer);
    let mut control = transport.send_control.as_deref_mut().map(|control| control.start_run(now));
    let mut payloads = Payloads { producers: &media.producers, last: None };
    let mut tally = Tally::default();
    let mut traced = Vec::new();
    for planned in plan {
        let Some(padding) = run.admit(planned) else { break };
        // The plan advances even if the packet cannot be sealed.
        egress.next += 1;
        // The payload may have been evicted from the buffer since it was planned.
        let Some(payload) = payloads.get(planned) else { continue };
        let sealed = run.seal(planned, payload, padding, &egress.headers, &mut egress.joined);
        let Some(sealed) = sealed else { continue };
        if let Some(control) = &mut control {
            control.on_packet(planned.transport_seq, sealed);
        }
        tally.add(&mut media.consumers, now, planned, sealed);
        if planned.purpose == Purpose::Probe && transport.trace.probation {
            traced.push(probe_trace(planned, egress.headers.header(planned), sealed));
        }
    }
    let Run { len, segment_size, .. } = run;
    // Congestion control and statistics are updated once for each run.
    if let Some(control) = control {
        control.finish();
    }
    tally.finish(&mut media.consumers, now);
    if len == 0 {
        return None;
    }
    tally.count(&mut transport.traffic, now);
    if let Some(control) = &mut transport.send_control
        && let Some(at) = control.on_run_sent(now, tally.probe_bytes)
    {
        out.timers.arm(Timer::Congestion(key), at);
    }
    for info in traced {
        let timestamp_ms = out.clock.unix_ms(now);
        out.notify_transport(media, key, TransportEvent::Probation { timestamp_ms, info });
    }
    match path {
        Path::Network(tuple) => {
            let done = forward.egress.next == forward.egress.plan.len();
            let last = done && paths.sockets.is_exclusive(tuple.socket);
            Some(Transmit { tuple, len, segment_size: segment_size.min(len), control: false, last })
        }
        Path::Application => {
            let sealed = forward.egress.plan[..forward.egress.next].last()?;
            out.notify_consumer(media, sealed.origin.consumer, ConsumerEvent::Rtp(buffer[..len].to_vec()));
            None
        }
    }
}

/// Run that is being sealed.
struct Run<'a> {
    sealer: &'a Sealer,
    tag: usize,
    max_segments: usize,
    segment_size: usize,
    buffer: &'a mut [u8],
    /// Number of sealed bytes and packets.
    len: usize,
    count: usize,
    /// True if the last packet is shorter than a segment, which ends the run.
    ended: bool,
}

impl<'a> Run<'a> {
    fn new(sealer: &'a Sealer, path: Path, plan: &[Planned], buffer: &'a mut [u8]) -> Self {
        let tag = sealer.rtp_tag_len();
        // The application receives one packet at a time.
        let max_segments = if path == Path::Application { 1 } else { MAX_SEGMENTS };
        let segment_size = run_segment_size(plan, max_segments, tag, buffer.len());
        Self { sealer, tag, max_segments, segment_size, buffer, len: 0, count: 0, ended: false }
    }

    /// Padding with which a packet joins the run; `None` if the packet belongs to the next run.
    #[inline(always)]
    fn admit(&self, planned: &Planned) -> Option<usize> {
        let natural = planned.len + self.tag;
        if self.ended
            || self.count == self.max_segments
            || natural > self.segment_size && self.count > 0
            || self.len + self.segment_size.max(natural) > self.buffer.len()
        {
            return None;
        }
        let missing = self.segment_size.saturating_sub(natural);
        let can_grow = missing <= MAX_PADDING && planned.can_grow();
        Some(if can_grow { missing } else { 0 })
    }

    /// Seals a packet behind the previous ones. Returns its length; `None` if SRTP refuses the packet.
    #[inline(always)]
    fn seal(
        &mut self,
        planned: &Planned,
        payload: &[u8],
        padding: usize,
        headers: &HeaderArena,
        joined: &mut Vec<u8>,
    ) -> Option<usize> {
        let Written { ssrc, index, header_len, front_len, replaced, .. } = planned.written;
        let rest = &payload[replaced..];
        let space = &mut self.buffer[self.len..];
        headers.copy(planned.header_at, header_len, space);
        let front_at = planned.header_at + header_len;
        let front = &headers.bytes[front_at..front_at + front_len];
        let (front, rest) = match padding {
            0 => (front, rest),
            _ => {
                space[0] |= 0x20; // RFC 3550 §5.1: the padding bit; the last octet counts the padding.
                let payload = if front.is_empty() { rest } else { join(joined, front, rest) };
                (payload, &PADDING[padding][..padding])
            }
        };
        let sealed = self.sealer.seal_rtp_after_header(ssrc, index, header_len, front, rest, space).ok()?;
        debug_assert_eq!(sealed, planned.len + self.tag + padding, "runs are planned by exact lengths");
        self.len += sealed;
        self.count += 1;
        self.ended = sealed < self.segment_size;
        Some(sealed)
    }
}

/// Trace event of a probe packet.
fn probe_trace(planned: &Planned, header: &[u8], size: usize) -> RtpPacketTraceInfo {
    let parsed = RtpHeader::parse(header).ok();
    RtpPacketTraceInfo {
        payload_type: parsed.as_ref().map_or(0, |parsed| parsed.payload_type.0),
        sequence_number: planned.written.index as u16,
        timestamp: planned.written.timestamp,
        marker: false,
        ssrc: planned.written.ssrc.0,
        is_key_frame: false,
        size: size as u32,
        payload_size: (planned.payload_len + planned.written.front_len) as u32,
        spatial_layer: 0,
        temporal_layer: 0,
        mid: None,
        rid: None,
        rrid: None,
        wide_sequence_number: planned.transport_seq,
        is_rtx: planned.source.is_some(),
    }
}

/// Look-up of the payloads of planned packets. Most packets of a run have the same Producer stream, which is cached.
struct Payloads<'a> {
    producers: &'a Producers,
    last: Option<(ProducerKey, usize, &'a PacketBuffer)>,
}

impl<'a> Payloads<'a> {
    /// Payload of a packet, if the packet is still in the buffer.
    #[inline]
    fn get(&mut self, planned: &Planned) -> Option<&'a [u8]> {
        let Some(source) = planned.source else { return Some(&[]) };
        let Origin { producer, stream, .. } = planned.origin;
        let buffer = match self.last {
            Some((key, index, buffer)) if key == producer && index == stream => buffer,
            _ => {
                let buffer = &self.producers.live(producer)?.streams.get(stream)?.buffer;
                self.last = Some((producer, stream, buffer));
                buffer
            }
        };
        Some(buffer.get(source)?.payload)
    }
}

/// Segment size of a run: the size of the largest of the leading packets that can be padded to one size.
fn run_segment_size(plan: &[Planned], max_segments: usize, tag: usize, space: usize) -> usize {
    let Some(first) = plan.first() else { return 0 };
    let (mut smallest, mut largest) = (first.len, first.len);
    for planned in plan.iter().take(max_segments).skip(1) {
        let (low, high) = (smallest.min(planned.len), largest.max(planned.len));
        if high - low > MAX_PADDING || !planned.can_grow() || !first.can_grow() {
            break;
        }
        (smallest, largest) = (low, high);
    }
    (largest + tag).min(space)
}

/// Sums of the packets of one send stream in a run, so that its statistics are updated once for each run.
#[derive(Default)]
struct Tally {
    send_stream: Option<(ConsumerKey, usize)>,
    /// Sums of the current send stream.
    packets: u64,
    bytes: usize,
    payload_bytes: usize,
    timestamp: u32,
    /// Sums of the run; of media, only send streams that are finished.
    media_packets: u64,
    media_bytes: usize,
    retransmissions: u64,
    retransmission_bytes: usize,
    probe_bytes: usize,
}

impl Tally {
    #[inline]
    fn add(&mut self, consumers: &mut Consumers, now: Instant, planned: &Planned, sealed: usize) {
        let send_stream = (planned.origin.consumer, planned.origin.send_stream);
        if !matches!(planned.purpose, Purpose::Media | Purpose::RepeatableMedia) {
            return self.add_other(consumers, planned.purpose, send_stream, sealed);
        }
        if self.send_stream != Some(send_stream) {
            self.finish(consumers, now);
            self.send_stream = Some(send_stream);
        }
        self.packets += 1;
        self.bytes += sealed;
        self.payload_bytes += planned.payload_len;
        self.timestamp = planned.written.timestamp;
    }

    #[cold]
    fn add_other(
        &mut self,
        consumers: &mut Consumers,
        purpose: Purpose,
        send_stream: (ConsumerKey, usize),
        sealed: usize,
    ) {
        if purpose == Purpose::Probe {
            self.probe_bytes += sealed;
            return;
        }
        self.retransmissions += 1;
        self.retransmission_bytes += sealed;
        if let Some(send_stream) = send_stream_mut(consumers, send_stream) {
            send_stream.stats.on_retransmitted(sealed);
        }
    }

    /// Adds the run to the traffic of its transport.
    fn count(&self, traffic: &mut TransportTraffic, now: Instant) {
        if self.media_bytes > 0 {
            traffic.rtp_sent.add(now, self.media_packets, self.media_bytes);
        }
        if self.retransmission_bytes > 0 {
            traffic.rtx_sent.add(now, self.retransmissions, self.retransmission_bytes);
        }
    }

    /// Writes the sums of the current send stream to its statistics.
    fn finish(&mut self, consumers: &mut Consumers, now: Instant) {
        let Some(send_stream) = self.send_stream.take() else { return };
        if let Some(send_stream) = send_stream_mut(consumers, send_stream) {
            let (bytes, payload_bytes) = (self.bytes as u64, self.payload_bytes as u64);
            send_stream.stats.on_sent(now, self.packets, bytes, payload_bytes, self.timestamp);
        }
        self.media_packets += self.packets;
        self.media_bytes += self.bytes;
        (self.packets, self.bytes, self.payload_bytes) = (0, 0, 0);
    }
}

fn send_stream_mut(
    consumers: &mut Consumers,
    (key, send_stream): (ConsumerKey, usize),
) -> Option<&mut RtpSendStream> {
    consumers.live_mut(key)?.send_streams.get_mut(send_stream)
}

/// Joins the parts of a payload.
fn join<'a>(space: &'a mut Vec<u8>, front: &[u8], rest: &[u8]) -> &'a [u8] {
    space.clear();
    space.extend_from_slice(front);
    space.extend_from_slice(rest);
    space
}

#[cfg(test)]
mod tests {
    use super::*;
    use tureen_rtc::units::Ssrc;

    const TAG: usize = 16;
    const HEADER: usize = 24;

    fn plan(payloads: &[usize]) -> Vec<Planned> {
        let origin = Origin {
            consumer: ConsumerKey::default(),
            producer: ProducerKey::default(),
            stream: 0,
            send_stream: 0,
        };
        let written =
            Written { header_len: HEADER, front_len: 0, replaced: 0, ssrc: Ssrc(1), index: 0, timestamp: 0 };
        let planned = |&payload_len| Planned {
            origin,
            source: Some(0),
            header_at: 0,
            written,
            payload_len,
            len: HEADER + payload_len,
            purpose: Purpose::Media,
            transport_seq: None,
        };
        payloads.iter().map(planned).collect()
    }

    fn segment(payloads: &[usize]) -> usize {
        run_segment_size(&plan(payloads), MAX_SEGMENTS, TAG, 65_535) - HEADER - TAG
    }

    #[test]
    fn sizes_that_differ_by_a_byte_make_one_run_of_the_largest() {
        assert_eq!(segment(&[1200, 1201, 1200, 1201]), 1201);
    }

    #[test]
    fn packet_too_different_to_be_padded_does_not_set_the_size() {
        assert_eq!(segment(&[1200, 1201, 300, 1250]), 1201);
        assert_eq!(segment(&[300, 1200]), 300);
        assert_eq!(segment(&[1200, 1200 + MAX_PADDING]), 1200 + MAX_PADDING);
        assert_eq!(segment(&[1200, 1201 + MAX_PADDING]), 1200);
    }

    #[test]
    fn only_packets_that_are_sealed_once_are_padded_to_a_run() {
        for purpose in [Purpose::Retransmission, Purpose::RepeatableMedia, Purpose::Probe] {
            let mut plan = plan(&[1200, 1201]);
            plan[1].purpose = purpose;
            assert_eq!(
                run_segment_size(&plan, MAX_SEGMENTS, TAG, 65_535),
                HEADER + 1200 + TAG,
                "{purpose:?}"
            );
            plan.swap(0, 1);
            assert_eq!(
                run_segment_size(&plan, MAX_SEGMENTS, TAG, 65_535),
                HEADER + 1201 + TAG,
                "{purpose:?}"
            );
        }
    }

    #[test]
    fn padding_ends_with_its_count() {
        for len in 1..=MAX_PADDING {
            let padding = &PADDING[len][..len];
            assert_eq!(usize::from(padding[len - 1]), len);
            assert!(padding[..len - 1].iter().all(|&octet| octet == 0));
        }
    }
}
