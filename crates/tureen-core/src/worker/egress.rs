//! What goes out: transports with something to send are drained one after the other, each packet sealed once, straight
//! into the driver's buffer.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use super::Worker;
use crate::api::ConsumerEvent;
use crate::consumer::{Consumer, HopValues, Verdict, Written};
use crate::io::{Transmit, Tuple};
use crate::keys::{ConsumerKey, ProducerKey, TransportKey};
use crate::producer::packet_buffer::StoredPacket;
use crate::transport::link::Path;
use crate::wire::rtp::extensions::{AbsSendTime, TransportSequenceNumber};

/// Longest header that is written: fixed part, and extensions with a large dependency descriptor.
const MAX_HEADER: usize = 512;

/// Packets of a run may be padded by this many bytes to the same size. libwebrtc splits a frame into packets that differ
/// by one byte or two, and segmentation offload wants equal sizes.
const MAX_PADDING: usize = 16;

/// Padding of each length: zeros that end with their count (RFC 3550 §5.1).
const PADDING: [[u8; MAX_PADDING]; MAX_PADDING + 1] = {
    let mut table = [[0; MAX_PADDING]; MAX_PADDING + 1];
    let mut len = 1;
    while len <= MAX_PADDING {
        table[len][len - 1] = len as u8;
        len += 1;
    }
    table
};

/// Datagrams in one run (Linux: UDP_MAX_SEGMENTS is 64 on older kernels).
const MAX_SEGMENTS: usize = 64;

/// Queues of the sending side.
#[derive(Debug)]
pub(super) struct Egress {
    /// STUN, DTLS and RTCP.
    control: VecDeque<(Tuple, Vec<u8>)>,
    /// Emptied buffers of `control`.
    spare: Vec<Vec<u8>>,
    max_control: usize,
    /// Transports in line.
    transports: VecDeque<TransportKey>,
    /// What the transport at the front sends, in order.
    plan: Vec<Planned>,
    next: usize,
    planned_for: Option<(TransportKey, Path)>,
    /// Headers of the plan.
    headers: HeaderArena,
    /// Producers whose packets of this batch are being sent.
    producers: Vec<ProducerKey>,
}

/// Written headers, one behind the other; the memory is kept from one transport to the next.
#[derive(Debug, Default)]
struct HeaderArena {
    bytes: Vec<u8>,
    used: usize,
}

impl HeaderArena {
    /// Where the next header goes.
    fn space(&mut self) -> &mut [u8] {
        let end = self.used + MAX_HEADER;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.used..end]
    }

    /// Keeps the first `len` bytes of the space.
    fn take(&mut self, len: usize) -> Range<usize> {
        let start = self.used;
        self.used += len;
        start..self.used
    }
}

/// Whose packet it is.
#[derive(Clone, Copy, Debug)]
struct Origin {
    consumer: ConsumerKey,
    producer: ProducerKey,
    stream: usize,
}

/// A packet about to be sealed.
#[derive(Clone, Debug)]
struct Planned {
    origin: Origin,
    source: u64,
    header: Range<usize>,
    payload_len: usize,
    written: Written,
    resend: bool,
}

impl Planned {
    fn len(&self, tag: usize) -> usize {
        let original_seq = if self.written.original_seq.is_some() { 2 } else { 0 };
        self.header.len() + original_seq + self.payload_len + tag
    }
}

impl Egress {
    pub(super) fn new(max_control: usize) -> Self {
        Self {
            control: VecDeque::new(),
            spare: Vec::new(),
            max_control,
            transports: VecDeque::new(),
            plan: Vec::new(),
            next: 0,
            planned_for: None,
            headers: HeaderArena::default(),
            producers: Vec::new(),
        }
    }

    /// Puts a finished datagram in line; dropped when too many wait.
    pub(super) fn queue_control(&mut self, tuple: Tuple, datagram: &[u8]) {
        if self.control.len() >= self.max_control {
            return;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(datagram);
        self.control.push_back((tuple, buffer));
    }

    pub(super) fn queue_transport(&mut self, transport: TransportKey) {
        self.transports.push_back(transport);
    }

    /// Notes the producers whose batch ends when everything is drained.
    pub(super) fn producers_to_end(&mut self, producers: &mut Vec<ProducerKey>) {
        self.producers.append(producers);
    }

    /// Adds a packet to the plan, unless its header could not be written.
    fn push(&mut self, origin: Origin, packet: &StoredPacket<'_>, written: Option<Written>, resend: bool) {
        let Some(written) = written else { return };
        self.plan.push(Planned {
            origin,
            source: packet.info.seq,
            header: self.headers.take(written.header_len),
            payload_len: packet.payload.len(),
            written,
            resend,
        });
    }

    fn pop_control(&mut self, buffer: &mut [u8]) -> Option<Transmit> {
        while let Some((tuple, datagram)) = self.control.pop_front() {
            let len = datagram.len();
            let fits = buffer.get_mut(..len).map(|space| space.copy_from_slice(&datagram)).is_some();
            if self.spare.len() < 64 {
                self.spare.push(datagram);
            }
            if fits {
                return Some(Transmit { tuple, len, segment_size: len });
            }
        }
        None
    }
}

impl Worker {
    /// Writes the next datagrams for one destination into `buffer`, which should hold 64 KiB or a few frames' worth of
    /// packets; 2 KiB are the least that works. `None` when everything is sent.
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        if let Some(transmit) = self.egress.pop_control(buffer) {
            return Some(transmit);
        }
        loop {
            if self.egress.next < self.egress.plan.len() {
                if let Some(transmit) = self.seal_run(now, buffer) {
                    return Some(transmit);
                }
            } else if !self.plan_next_transport(now) {
                self.end_batch();
                return None;
            }
        }
    }

    /// Decides what the next transport in line sends and writes the headers. False when none is in line.
    fn plan_next_transport(&mut self, now: Instant) -> bool {
        let egress = &mut self.egress;
        egress.plan.clear();
        egress.headers.used = 0;
        egress.next = 0;
        egress.planned_for = None;
        let Some(key) = egress.transports.pop_front() else { return false };
        let Some(transport) = self.transports.get_mut(key) else { return true };
        transport.queued = false;
        let Some(path) = transport.rtp_path() else {
            transport.dirty.clear();
            transport.resends.clear();
            return true;
        };
        egress.planned_for = Some((key, path));
        let abs_send_time = AbsSendTime::from_duration(self.clock.unix(now));
        let mut next_transport_seq = transport.next_transport_seq;
        let mut hop = |uses: bool| {
            let transport_seq = TransportSequenceNumber(next_transport_seq);
            next_transport_seq = next_transport_seq.wrapping_add(u16::from(uses));
            HopValues::new(abs_send_time, transport_seq)
        };
        for consumer_key in transport.dirty.drain(..) {
            let Some(consumer) = self.consumers.get_mut(consumer_key) else { continue };
            let Some(producer) = self.producers.get(consumer.producer) else { continue };
            let Some((index, stream)) = producer.streams.iter().enumerate().next() else { continue };
            let origin = Origin { consumer: consumer_key, producer: consumer.producer, stream: index };
            if stream.restarted_at.is_some_and(|restart| stream.arrivals.contains(&restart)) {
                consumer.require_sync();
            }
            let mut plan = |consumer: &mut Consumer, source: u64| {
                let packet = stream.buffer.get(source)?;
                let verdict = consumer.decide(&packet);
                if let Verdict::Start(output) | Verdict::Forward(output) = verdict {
                    let hop = hop(consumer.uses_transport_seq());
                    let written = consumer.write_header(&packet, output, hop, egress.headers.space()).ok();
                    egress.push(origin, &packet, written, false);
                }
                Some(verdict)
            };
            for (position, &source) in stream.arrivals.iter().enumerate() {
                if let Some(Verdict::Start(_)) = plan(consumer, source) {
                    // What of the key frame came before its first packet was left to wait.
                    for overtaker in stream.overtakers(source, &stream.arrivals[position + 1..]) {
                        plan(consumer, overtaker);
                    }
                }
            }
        }
        while let Some((consumer_key, resend)) = transport.resends.pop_front() {
            let Some(consumer) = self.consumers.get_mut(consumer_key) else { continue };
            let Some(producer) = self.producers.get(consumer.producer) else { continue };
            let Some((index, stream)) = producer.streams.iter().enumerate().next() else { continue };
            let Some(packet) = stream.buffer.get_recent(now, resend.source) else { continue };
            let hop = hop(consumer.uses_transport_seq());
            let written = consumer.write_resend_header(&packet, resend, hop, egress.headers.space());
            let origin = Origin { consumer: consumer_key, producer: consumer.producer, stream: index };
            egress.push(origin, &packet, written, true);
        }
        transport.next_transport_seq = next_transport_seq;
        true
    }

    /// Seals as many packets of the plan as make one run: equal sizes, the last one may be shorter.
    fn seal_run(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        let egress = &mut self.egress;
        let planned_for =
            egress.planned_for.and_then(|(key, path)| Some((self.transports.get_mut(key)?, path)));
        let Some((transport, path)) = planned_for else {
            egress.next = egress.plan.len();
            return None;
        };
        let Some(sealer) = &transport.sealer else {
            egress.next = egress.plan.len();
            return None;
        };
        let tag = sealer.rtp_tag_len();
        // The application gets packet by packet.
        let max_segments = if path == Path::Application { 1 } else { MAX_SEGMENTS };
        let segment_size = run_segment_size(&egress.plan[egress.next..], max_segments, tag, buffer.len());
        let (mut len, mut count) = (0, 0);
        let mut sealed_for = None;
        let mut tally = Tally::default();
        while let Some(planned) = egress.plan.get(egress.next) {
            let natural = planned.len(tag);
            let last = natural < segment_size && (planned.resend || segment_size - natural > MAX_PADDING);
            if count == max_segments
                || natural > segment_size && count > 0
                || len + segment_size.max(natural) > buffer.len()
            {
                break;
            }
            egress.next += 1;
            let padding =
                if natural < segment_size && !last && !planned.resend { segment_size - natural } else { 0 };
            let Some(packet) = self
                .producers
                .get(planned.origin.producer)
                .and_then(|producer| producer.streams.get(planned.origin.stream))
                .and_then(|stream| stream.buffer.get(planned.source))
            else {
                continue;
            };
            let header = &egress.headers.bytes[planned.header.clone()];
            let out = &mut buffer[len..];
            out[..header.len()].copy_from_slice(header);
            let original_seq = planned.written.original_seq.unwrap_or_default().to_be_bytes();
            let (front, rest) = match planned.written.original_seq {
                Some(_) => (&original_seq[..], packet.payload),
                None if padding == 0 => (&[][..], packet.payload),
                None => {
                    out[0] |= 0x20; // RFC 3550 §5.1: the padding bit; the last octet counts the padding.
                    (packet.payload, &PADDING[padding][..padding])
                }
            };
            let Written { ssrc, index, .. } = planned.written;
            let sealed = sealer.seal_rtp_after_header(ssrc, index, header.len(), front, rest, out);
            let Ok(sealed) = sealed else { continue };
            debug_assert_eq!(sealed, natural + padding, "runs are planned by exact lengths");
            len += sealed;
            count += 1;
            sealed_for = Some(planned.origin.consumer);
            tally.add(&mut self.consumers, now, planned, sealed, packet.info.timestamp);
            if last {
                break;
            }
        }
        tally.finish(&mut self.consumers, now);
        if len == 0 {
            return None;
        }
        let traffic = &mut transport.traffic;
        traffic.sent.add(now, count as u64, len);
        if tally.media_bytes > 0 {
            traffic.rtp_sent.add(now, count as u64 - tally.resends, tally.media_bytes);
        }
        if tally.resend_bytes > 0 {
            traffic.rtx_sent.add(now, tally.resends, tally.resend_bytes);
        }
        match path {
            Path::Network(tuple) => Some(Transmit { tuple, len, segment_size: segment_size.min(len) }),
            Path::Application => {
                self.notify_consumer(sealed_for?, ConsumerEvent::Rtp(buffer[..len].to_vec()));
                None
            }
        }
    }

    /// Everything of the batch is sent: its packets may give way to new ones.
    fn end_batch(&mut self) {
        for key in self.egress.producers.drain(..) {
            let Some(producer) = self.producers.get_mut(key) else { continue };
            producer.queued = false;
            for stream in &mut producer.streams {
                stream.end_batch();
            }
        }
    }
}

/// The size of a run's segments: the largest of the leading packets that can be padded to one size.
fn run_segment_size(plan: &[Planned], max_segments: usize, tag: usize, space: usize) -> usize {
    let Some(first) = plan.first() else { return 0 };
    let (mut smallest, mut largest) = (first.len(tag), first.len(tag));
    for planned in plan.iter().take(max_segments).skip(1) {
        let len = planned.len(tag);
        let (low, high) = (smallest.min(len), largest.max(len));
        if high - low > MAX_PADDING || planned.resend || plan[0].resend {
            break;
        }
        (smallest, largest) = (low, high);
    }
    largest.min(space)
}

/// Adds up what a run holds of one consumer, so that its statistics are written once a run.
#[derive(Default)]
struct Tally {
    consumer: Option<ConsumerKey>,
    packets: u64,
    bytes: u64,
    payload_bytes: u64,
    timestamp: u32,
    resends: u64,
    media_bytes: usize,
    resend_bytes: usize,
}

type Consumers = slotmap::SlotMap<ConsumerKey, Consumer>;

impl Tally {
    fn add(
        &mut self,
        consumers: &mut Consumers,
        now: Instant,
        planned: &Planned,
        sealed: usize,
        timestamp: u32,
    ) {
        if planned.resend {
            self.resends += 1;
            self.resend_bytes += sealed;
            if let Some(consumer) = consumers.get_mut(planned.origin.consumer) {
                consumer.stream.on_retransmitted(sealed);
            }
            return;
        }
        if self.consumer != Some(planned.origin.consumer) {
            self.finish(consumers, now);
            self.consumer = Some(planned.origin.consumer);
        }
        self.packets += 1;
        self.bytes += sealed as u64;
        self.payload_bytes += planned.payload_len as u64;
        self.media_bytes += sealed;
        self.timestamp = timestamp;
    }

    fn finish(&mut self, consumers: &mut Consumers, now: Instant) {
        if let Some(consumer) = self.consumer.take().and_then(|key| consumers.get_mut(key)) {
            consumer.stream.on_sent(now, self.packets, self.bytes, self.payload_bytes, self.timestamp);
        }
        (self.packets, self.bytes, self.payload_bytes) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Ssrc;

    const TAG: usize = 16;
    const HEADER: usize = 24;

    fn plan(payloads: &[usize]) -> Vec<Planned> {
        let origin = Origin { consumer: ConsumerKey::default(), producer: ProducerKey::default(), stream: 0 };
        let written = Written { header_len: HEADER, ssrc: Ssrc(1), index: 0, original_seq: None };
        let planned = |&payload_len| Planned {
            origin,
            source: 0,
            header: 0..HEADER,
            payload_len,
            written,
            resend: false,
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
    fn retransmission_is_never_padded_to_a_run() {
        let mut plan = plan(&[1200, 1201]);
        plan[1].resend = true;
        assert_eq!(run_segment_size(&plan, MAX_SEGMENTS, TAG, 65_535), HEADER + 1200 + TAG);
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
