//! Plan of a queued transport: each of its consumers decides on the packets of the batch and writes their headers.

use std::time::Instant;

use crate::api::{ConsumerEvent, MediaTraceData, MediaTraceEvent, Notification, StreamType};
use crate::keys::ConsumerKey;
use crate::media::consumer::layers::{Arrival, Decision, ssrc_of};
use crate::media::consumer::sent_log::SentPacket;
use crate::media::consumer::{Consumer, HopByHopExtensions, Verdict, Written, unchanged};
use crate::media::producer::Producer;
use crate::media::producer::packet_buffer::StoredPacket;
use crate::media::producer::stream::ProducerStream;
use crate::transport::retransmission::RetransmissionCause;
use crate::transport::send_control::{PacedPacket, SendControl, SentPacketRef};
use crate::worker::arena::Media;
use crate::worker::drops::DropReason;
use crate::worker::forward::egress::{Egress, Origin, Purpose};
use crate::worker::forward::key_frames::KeyFrameCause;
use crate::worker::forward::probe::MIN_REPEATED;
use crate::worker::forward::retransmission::RetransmissionAllowance;
use crate::worker::forward::{Consumers, Forward, Producers, bandwidth, key_frames, probe, retransmission};
use crate::worker::out::{Clock, Out};
use tureen_rtc::wire::rtp::extension::{AbsSendTime, TransportSequenceNumber};
use tureen_types::data_structures::TraceEventDirection;
use tureen_types::rtp_parameters::MediaKind;

/// Hop-by-hop header extension values of the packets that one transport sends.
pub(crate) struct Hops {
    abs_send_time: AbsSendTime,
    next_transport_seq: u16,
}

impl Hops {
    pub(crate) fn new(clock: &Clock, now: Instant, next_transport_seq: u16) -> Self {
        Self { abs_send_time: AbsSendTime::from_duration(clock.unix(now)), next_transport_seq }
    }

    /// Returns the values of the next packet, and its transport-wide sequence number if the packet has one.
    pub(crate) fn next(&mut self, uses_transport_seq: bool) -> (HopByHopExtensions, Option<u16>) {
        let seq = self.next_transport_seq;
        self.next_transport_seq = seq.wrapping_add(u16::from(uses_transport_seq));
        let hop = HopByHopExtensions::new(self.abs_send_time, TransportSequenceNumber(seq));
        (hop, uses_transport_seq.then_some(seq))
    }
}

/// Pacer of a plan: media packets pass or are queued. Without congestion control every packet passes.
pub(crate) struct PacerQueue {
    pub(crate) control: Option<Box<SendControl>>,
    allowance: usize,
}

impl PacerQueue {
    pub(crate) fn new(now: Instant, mut control: Option<Box<SendControl>>) -> Self {
        let allowance = control.as_mut().map_or(usize::MAX, |control| control.allowance(now));
        Self { control, allowance }
    }

    /// True if a packet of this kind has to be queued. Audio always passes.
    #[inline]
    fn is_shut(&self, kind: MediaKind) -> bool {
        match &self.control {
            None => false,
            Some(control) => {
                control.is_adaptive()
                    && kind == MediaKind::Video
                    && (self.allowance == 0 || control.has_held())
            }
        }
    }

    /// Charges a packet that passes to the allowance.
    #[inline]
    fn pass(&mut self, len: usize) {
        self.allowance = self.allowance.saturating_sub(len);
    }
}

/// State that the packets of one plan share.
pub(crate) struct Planning<'a> {
    pub(crate) now: Instant,
    pub(crate) egress: &'a mut Egress,
    pub(crate) hops: Hops,
    pub(crate) pacer: PacerQueue,
    /// True once a packet was recorded that probes can retransmit.
    remembered: bool,
    /// True if every packet is recorded, because it may have to be retransmitted ([`SendControl::is_far_and_lossy`]).
    remembers_all: bool,
    /// True if lost packets are retransmitted before they are requested ([`SendControl::retransmits_proactively`]).
    pub(crate) retransmits_proactively: bool,
    pub(crate) retransmissions: RetransmissionAllowance<'a>,
}

impl<'a> Planning<'a> {
    pub(crate) fn new(
        now: Instant,
        egress: &'a mut Egress,
        hops: Hops,
        pacer: PacerQueue,
        retransmissions: RetransmissionAllowance<'a>,
    ) -> Self {
        let remembers_all = pacer.control.as_ref().is_some_and(|control| control.is_far_and_lossy());
        Self {
            now,
            egress,
            hops,
            pacer,
            remembered: false,
            remembers_all,
            retransmits_proactively: false,
            retransmissions,
        }
    }

    // From here to the bytes of the header everything is inlined into one function, so that arguments stay in
    // registers. This saves a fifth of the instructions of planning, and the compiler does not inline these functions
    // by itself.

    /// Plans a packet that is to be forwarded, or queues the packet for the pacer.
    #[inline(always)]
    fn send(
        &mut self,
        consumer: &mut Consumer,
        origin: Origin,
        packet: &StoredPacket<'_>,
        sent: &SentPacket,
    ) {
        if self.pacer.is_shut(consumer.kind)
            && let Some(control) = &mut self.pacer.control
        {
            let Origin { consumer: key, producer, stream, send_stream } = origin;
            let held =
                PacedPacket { consumer: key, producer, stream, send_stream, sent: *sent, since: self.now };
            if control.hold(held) {
                return;
            }
        }
        self.send_now(consumer, origin, packet, sent);
    }

    #[inline(always)]
    fn send_now(
        &mut self,
        consumer: &mut Consumer,
        origin: Origin,
        packet: &StoredPacket<'_>,
        sent: &SentPacket,
    ) {
        let (hop, seq) = self.hops.next(consumer.uses_transport_seq());
        let written = consumer.write_header(origin.send_stream, packet, sent, hop, self.egress.space());
        if consumer.traces_packets() {
            trace(self.egress, consumer, origin, packet, written, hop, false);
        }
        let purpose = match consumer.repeats_exactly(origin.send_stream) {
            true => Purpose::RepeatableMedia,
            false => Purpose::Media,
        };
        let len = self.egress.push(origin, Some(packet), written, purpose, seq);
        self.pacer.pass(len);
        if len >= MIN_REPEATED
            && !self.remembered
            && let Some(control) = &mut self.pacer.control
            && control.is_adaptive()
        {
            // One packet of each plan is enough for probes.
            self.remembered = true;
            control.remember(retransmission::sent_packet_ref(origin, sent));
        }
        if self.remembers_all && consumer.has_rtx(origin.send_stream as u8) {
            self.prepare_retransmission(consumer, origin, sent, seq);
        }
    }

    /// Records a sent packet, to retransmit it when feedback reports it as lost. A packet that is already late is
    /// also duplicated, because a further loss would delay it even more.
    fn prepare_retransmission(
        &mut self,
        consumer: &Consumer,
        origin: Origin,
        sent: &SentPacket,
        transport_seq: Option<u16>,
    ) {
        let Some(control) = &mut self.pacer.control else { return };
        if let Some(seq) = transport_seq {
            control.note_sent(seq, retransmission::sent_packet_ref(origin, sent));
        }
        if self.retransmits_proactively && consumer.is_late(origin.send_stream, sent) {
            control.duplicate_later(self.now, retransmission::sent_packet_ref(origin, sent));
        }
    }
}

/// Plans the packets of the next queued transport and writes their headers. Returns false if no transport is queued.
pub(crate) fn plan_next_transport(
    media: &mut Media,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
) -> bool {
    let egress = &mut forward.egress;
    egress.start_plan();
    let Some(key) = out.line.pop() else { return false };
    // The transport may have been closed since it was queued.
    let Some(transport) = media.transports.get_mut(key) else { return true };
    transport.queued = false;
    let Some(path) = transport.rtp_path() else {
        transport.dirty.clear();
        transport.retransmissions.clear();
        return true;
    };
    egress.planned_for = Some((key, path));
    let (consumers, producers) = (&mut media.consumers, &media.producers);
    let hops = Hops::new(&out.clock, now, transport.next_transport_seq);
    let pacer = PacerQueue::new(now, transport.send_control.take());
    let holds_video = transport.holds_video();
    if transport.backlog.is_some() {
        let late =
            retransmission::drop_late(now, holds_video, &mut transport.retransmissions, consumers, producers);
        out.drops.add(DropReason::LateRetransmission, late as u64);
    }
    let retransmissions = RetransmissionAllowance::new(
        now,
        &mut transport.retransmission_budget,
        pacer.control.as_deref(),
        &mut transport.traffic.rtp_sent,
        out.limits.retransmission_floor,
        !transport.retransmissions.is_empty(),
    );
    let mut planning = Planning::new(now, egress, hops, pacer, retransmissions);
    // Paced packets are planned first, because they precede the packets of this batch.
    plan_paced(&mut planning, consumers, producers);
    // Proactive retransmission is off while packets are held, so this check follows their release.
    planning.retransmits_proactively =
        planning.pacer.control.as_ref().is_some_and(|control| control.retransmits_proactively());
    // A starting consumer sends its stored key frame before the packets of this batch.
    while let Some(consumer_key) = out.line.take_starting(key) {
        let Some(consumer) = consumers.live_mut(consumer_key) else { continue };
        let Some(producer) = producers.live(consumer.producer) else { continue };
        plan_backlog(&mut planning, consumer_key, consumer, producer);
        report_layers(planning.egress, out, consumer_key, consumer, producer);
    }
    for consumer_key in transport.dirty.drain(..) {
        let Some(consumer) = consumers.live_mut(consumer_key) else { continue };
        let Some(producer) = producers.live(consumer.producer) else { continue };
        if holds_video && consumer.kind == MediaKind::Video {
            plan_frame_end(&mut planning, consumer_key, consumer, producer);
            continue;
        }
        plan_consumer(&mut planning, consumer_key, consumer, producer);
        report_layers(planning.egress, out, consumer_key, consumer, producer);
    }
    for (consumer_key, retransmission) in transport.retransmissions.drain(..) {
        let packet = SentPacketRef { consumer: consumer_key, retransmission };
        retransmission::plan_retransmission(
            &mut planning,
            packet,
            RetransmissionCause::Lost,
            consumers,
            producers,
        );
    }
    retransmission::plan_duplicates(&mut planning, consumers, producers);
    if holds_video && let Some(control) = &mut planning.pacer.control {
        control.take_probe();
    }
    probe::plan_probe(&mut planning, &transport.consumers, consumers, producers);
    out.drops.add(DropReason::OverRetransmissionBudget, planning.retransmissions.refused);
    transport.next_transport_seq = planning.hops.next_transport_seq;
    // Congestion control is put back first, because the time of its timer depends on the pacer's queue.
    transport.send_control = planning.pacer.control;
    if transport.send_control.as_ref().is_some_and(|control| control.is_waiting()) {
        bandwidth::arm_congestion(media, out, now, key);
    }
    // Key frames are requested after planning, because a request needs all of `media`.
    request_wanted_key_frames(media, forward, out, now);
    emit_packet_traces(media, forward, out, now);
    true
}

fn emit_packet_traces(media: &mut Media, forward: &mut Forward, out: &mut Out, now: Instant) {
    if forward.egress.traces.is_empty() {
        return;
    }
    let timestamp_ms = out.clock.unix_ms(now);
    let event = |data| MediaTraceEvent { timestamp_ms, direction: TraceEventDirection::Out, data };
    let mut traces = std::mem::take(&mut forward.egress.traces);
    for (key, info) in traces.drain(..) {
        let Some(wanted) = media.consumers.live(key).map(|consumer| consumer.trace) else { continue };
        if wanted.key_frame && info.is_key_frame {
            let data = MediaTraceData::KeyFrame(info.clone());
            out.notify_consumer(media, key, ConsumerEvent::Trace(event(data)));
        }
        if wanted.rtp {
            out.notify_consumer(media, key, ConsumerEvent::Trace(event(MediaTraceData::Rtp(info))));
        }
    }
    forward.egress.traces = traces;
}

fn request_wanted_key_frames(media: &mut Media, forward: &mut Forward, out: &mut Out, now: Instant) {
    while let Some((key, ssrc)) = forward.egress.key_frames_wanted.pop() {
        key_frames::cause_key_frames(media, out, now, key, KeyFrameCause::Switch, &[ssrc]);
    }
}

/// Plans the packets that the pacer has queued, as far as its allowance permits.
fn plan_paced(planning: &mut Planning<'_>, consumers: &mut Consumers, producers: &Producers) {
    while let Some(control) = &mut planning.pacer.control
        && let Some(held) = control.release(planning.now, planning.pacer.allowance)
    {
        let Some(consumer) = consumers.live_mut(held.consumer) else { continue };
        let Some(stream) = producers.live(held.producer).and_then(|p| p.streams.get(held.stream)) else {
            continue;
        };
        let Some(packet) = stream.buffer.get(held.sent.source) else { continue };
        let PacedPacket { consumer: key, producer, stream, send_stream, sent, .. } = held;
        planning.send_now(consumer, Origin { consumer: key, producer, stream, send_stream }, &packet, &sent);
    }
}

/// Plans the packets that a consumer sends of those that its Producer received in this batch.
fn plan_consumer(
    planning: &mut Planning<'_>,
    key: ConsumerKey,
    consumer: &mut Consumer,
    producer: &Producer,
) {
    // Restarts are handled before packets, because the sequence numbers of a restarted stream start anew.
    for stream in &producer.streams {
        if stream.restarted_at.is_some_and(|restart| stream.arrivals.contains(&restart)) {
            consumer.on_restart(stream.encoding_idx);
        }
    }
    let origin = Origin { consumer: key, producer: consumer.producer, stream: 0, send_stream: 0 };
    match consumer.stream_type {
        StreamType::Simple => plan_stream(planning, consumer, producer, origin),
        StreamType::Pipe => {
            for (index, stream) in producer.streams.iter().enumerate() {
                if !stream.arrivals.is_empty() && stream.encoding_idx < consumer.send_streams.len() {
                    let origin = Origin { stream: index, send_stream: stream.encoding_idx, ..origin };
                    plan_stream(planning, consumer, producer, origin);
                }
            }
        }
        StreamType::Simulcast | StreamType::Svc => plan_layers(planning, consumer, producer, origin),
    }
}

/// Plans the rest of the frame that a consumer has started to send, while no new frame may be started, because an
/// incomplete frame cannot be decoded. With layers the end of the frame is not known, so the rest is left out.
fn plan_frame_end(
    planning: &mut Planning<'_>,
    key: ConsumerKey,
    consumer: &mut Consumer,
    producer: &Producer,
) {
    if consumer.stream_type == StreamType::Simple
        && let Some(stream) = producer.streams.first()
        && let send_stream = &consumer.send_streams[0]
        && !send_stream.sync_required
        && send_stream.stats.sent().packets > 0
    {
        let timestamp = send_stream.stats.last_timestamp();
        let origin = Origin { consumer: key, producer: consumer.producer, stream: 0, send_stream: 0 };
        for &source in &stream.arrivals {
            let of_frame = stream.buffer.get(source).is_some_and(|packet| packet.info.timestamp == timestamp);
            if !of_frame {
                consumer.require_sync();
                return;
            }
            plan_packet(planning, consumer, stream, origin, source);
        }
        return;
    }
    consumer.require_sync();
}

/// Plans the start of a consumer that has sent nothing yet: a stored key frame, and the packets since.
fn plan_backlog(planning: &mut Planning<'_>, key: ConsumerKey, consumer: &mut Consumer, producer: &Producer) {
    let Some(index) = consumer.awaited_stream(&producer.streams) else { return };
    let stream = &producer.streams[index];
    let origin = Origin { consumer: key, producer: consumer.producer, stream: index, send_stream: 0 };
    for source in stream.backlog(planning.now) {
        match consumer.layers {
            Some(_) => plan_layered_packet(planning, consumer, producer, origin, source),
            None => plan_packet(planning, consumer, stream, origin, source),
        };
    }
}

/// Notifies the application of a consumer's new layers, and requests the key frame that a switch to the target layers
/// needs.
fn report_layers(
    egress: &mut Egress,
    out: &mut Out,
    key: ConsumerKey,
    consumer: &mut Consumer,
    producer: &Producer,
) {
    let Some(layers) = &mut consumer.layers else { return };
    if let Some(current) = layers.poll_change() {
        let event = ConsumerEvent::LayersChange(current.map(Into::into));
        out.notify(Notification::Consumer(consumer.id.clone(), event));
    }
    if let Some(encoding) = layers.poll_key_frame_wanted()
        && let Some(ssrc) = ssrc_of(&producer.streams, encoding)
    {
        egress.key_frames_wanted.push((key, ssrc));
    }
}

/// Records a packet of a consumer with packet traces.
#[cold]
pub(crate) fn trace(
    egress: &mut Egress,
    consumer: &Consumer,
    origin: Origin,
    packet: &StoredPacket<'_>,
    written: Option<Written>,
    hop: HopByHopExtensions,
    is_rtx: bool,
) {
    if let Some(written) = written {
        egress.traces.push((origin.consumer, consumer.packet_trace(packet, &written, hop, is_rtx)));
    }
}

/// Plans the packets that a consumer without layers sends of one stream.
fn plan_stream(planning: &mut Planning<'_>, consumer: &mut Consumer, producer: &Producer, origin: Origin) {
    let Some(stream) = producer.streams.get(origin.stream) else { return };
    plan_arrivals(stream, |source| plan_packet(planning, consumer, stream, origin, source));
}

/// Plans the packets of a consumer with layers. The current stream comes first, so that its frame is complete when a
/// key frame of another stream in the same batch takes over.
fn plan_layers(planning: &mut Planning<'_>, consumer: &mut Consumer, producer: &Producer, origin: Origin) {
    let source = consumer.layers.as_ref().and_then(|layers| layers.source()).map(usize::from);
    let is_source = |&index: &usize| Some(producer.streams[index].encoding_idx) == source;
    let indices = 0..producer.streams.len();
    let ordered = indices.clone().filter(is_source).chain(indices.filter(|index| !is_source(index)));
    for index in ordered {
        let stream = &producer.streams[index];
        if stream.arrivals.is_empty() || !consumer.reads(stream.encoding_idx) {
            continue;
        }
        let origin = Origin { stream: index, ..origin };
        plan_arrivals(stream, |source| plan_layered_packet(planning, consumer, producer, origin, source));
    }
}

/// Plans the packets of this batch with `plan`, which returns true if the consumer starts with the packet.
fn plan_arrivals(stream: &ProducerStream, mut plan: impl FnMut(u64) -> bool) {
    for (position, &source) in stream.arrivals.iter().enumerate() {
        if plan(source) {
            // Packets of the key frame that were received before its first packet have not been sent yet.
            for overtaker in stream.overtakers(source, &stream.arrivals[position + 1..]) {
                plan(overtaker);
            }
        }
    }
}

/// Decides on a packet for a consumer without layers. True if its stream starts with this packet.
fn plan_packet(
    planning: &mut Planning<'_>,
    consumer: &mut Consumer,
    stream: &ProducerStream,
    origin: Origin,
    source: u64,
) -> bool {
    let Some(packet) = stream.buffer.get(source) else { return false };
    let verdict = consumer.decide(origin.send_stream, &packet);
    if let Verdict::Start(output) | Verdict::Forward(output) = verdict {
        planning.send(consumer, origin, &packet, &unchanged(&packet, output));
    }
    matches!(verdict, Verdict::Start(_))
}

/// Decides on a packet for a consumer with layers. True if its stream starts with this packet.
fn plan_layered_packet(
    planning: &mut Planning<'_>,
    consumer: &mut Consumer,
    producer: &Producer,
    origin: Origin,
    source: u64,
) -> bool {
    let index = origin.stream;
    let Some(packet) = producer.streams[index].buffer.get(source) else { return false };
    let arrival = Arrival { streams: &producer.streams, index, packet: &packet };
    let Decision::Send { start, sent } = consumer.decide_layered(planning.now, &arrival) else {
        return false;
    };
    planning.send(consumer, origin, &packet, &sent);
    start
}
