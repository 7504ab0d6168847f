//! What a transport in line sends: each of its consumers decides on the packets of the batch and writes their headers.

use std::time::Instant;

use super::egress::{Egress, Origin};
use super::{Clock, Output, Worker};
use crate::api::{ConsumerEvent, MediaTraceData, MediaTraceEvent, Notification, StreamType};
use crate::consumer::layers::{Arrival, Decision, ssrc_of};
use crate::consumer::{Consumer, HopValues, Verdict, Written, unchanged};
use crate::keys::ProducerKey;
use crate::producer::Producer;
use crate::producer::packet_buffer::StoredPacket;
use crate::types::data_structures::TraceEventDirection;
use crate::units::Ssrc;
use crate::wire::rtp::extensions::{AbsSendTime, TransportSequenceNumber};

/// Values of the packets that one transport sends.
struct Hops {
    abs_send_time: AbsSendTime,
    next_transport_seq: u16,
}

impl Hops {
    fn new(clock: &Clock, now: Instant, next_transport_seq: u16) -> Self {
        Self { abs_send_time: AbsSendTime::from_duration(clock.unix(now)), next_transport_seq }
    }

    fn next(&mut self, consumer: &Consumer) -> HopValues {
        let transport_seq = TransportSequenceNumber(self.next_transport_seq);
        self.next_transport_seq =
            self.next_transport_seq.wrapping_add(u16::from(consumer.uses_transport_seq()));
        HopValues::new(self.abs_send_time, transport_seq)
    }
}

impl Worker {
    /// Decides what the next transport in line sends and writes the headers. False when none is in line.
    pub(super) fn plan_next_transport(&mut self, now: Instant) -> bool {
        let egress = &mut self.egress;
        let Some(key) = egress.start_plan() else { return false };
        let Some(transport) = self.transports.get_mut(key) else { return true };
        transport.queued = false;
        let Some(path) = transport.rtp_path() else {
            transport.dirty.clear();
            transport.resends.clear();
            return true;
        };
        egress.planned_for = Some((key, path));
        let mut hops = Hops::new(&self.clock, now, transport.next_transport_seq);
        for consumer_key in transport.dirty.drain(..) {
            let Some(consumer) = self.consumers.get_mut(consumer_key) else { continue };
            let Some(producer) = self.producers.get(consumer.producer) else { continue };
            for stream in &producer.streams {
                if stream.restarted_at.is_some_and(|restart| stream.arrivals.contains(&restart)) {
                    consumer.on_restart(stream.encoding_idx);
                }
            }
            let origin = Origin { consumer: consumer_key, producer: consumer.producer, stream: 0, outlet: 0 };
            match consumer.stream_type {
                StreamType::Simple => plan_stream(egress, consumer, producer, origin, &mut hops),
                StreamType::Pipe => {
                    for (index, stream) in producer.streams.iter().enumerate() {
                        if !stream.arrivals.is_empty() && stream.encoding_idx < consumer.outlets.len() {
                            let origin = Origin { stream: index, outlet: stream.encoding_idx, ..origin };
                            plan_stream(egress, consumer, producer, origin, &mut hops);
                        }
                    }
                }
                StreamType::Simulcast | StreamType::Svc => {
                    plan_layers(now, egress, consumer, producer, origin, &mut hops);
                    let (consumer_id, layers) = (&consumer.id, consumer.layers.as_mut());
                    let Some(layers) = layers else { continue };
                    if let Some(current) = layers.poll_change() {
                        let event = ConsumerEvent::LayersChange(current.map(Into::into));
                        self.outputs.push_back(Output::Notification(Notification::Consumer(
                            consumer_id.clone(),
                            event,
                        )));
                    }
                    if let Some(ssrc) =
                        layers.poll_key_frame_wanted().and_then(|e| ssrc_of(&producer.streams, e))
                    {
                        egress.key_frames_wanted.push((consumer.producer, ssrc));
                    }
                }
            }
        }
        while let Some((consumer_key, resend)) = transport.resends.pop_front() {
            let Some(consumer) = self.consumers.get_mut(consumer_key) else { continue };
            let Some(producer) = self.producers.get(consumer.producer) else { continue };
            let Some(stream) = producer.streams.get(usize::from(resend.stream)) else { continue };
            let Some(packet) = stream.buffer.get_recent(now, resend.source) else { continue };
            let hop = hops.next(consumer);
            let written = consumer.write_resend_header(&packet, resend, hop, egress.space());
            let origin = Origin {
                consumer: consumer_key,
                producer: consumer.producer,
                stream: resend.stream.into(),
                outlet: resend.outlet.into(),
            };
            trace(egress, consumer, origin, &packet, written, hop, true);
            egress.push(origin, &packet, written, true);
        }
        transport.next_transport_seq = hops.next_transport_seq;
        self.request_wanted_key_frames(now);
        self.emit_packet_traces(now);
        true
    }

    fn emit_packet_traces(&mut self, now: Instant) {
        if self.egress.traces.is_empty() {
            return;
        }
        let timestamp_ms = self.clock.unix_ms(now);
        let event = |data| MediaTraceEvent { timestamp_ms, direction: TraceEventDirection::Out, data };
        let mut traces = std::mem::take(&mut self.egress.traces);
        for (key, info) in traces.drain(..) {
            let Some(wanted) = self.consumers.get(key).map(|consumer| consumer.trace) else { continue };
            if wanted.key_frame && info.is_key_frame {
                let data = MediaTraceData::KeyFrame(info.clone());
                self.notify_consumer(key, ConsumerEvent::Trace(event(data)));
            }
            if wanted.rtp {
                self.notify_consumer(key, ConsumerEvent::Trace(event(MediaTraceData::Rtp(info))));
            }
        }
        self.egress.traces = traces;
    }

    fn request_wanted_key_frames(&mut self, now: Instant) {
        while let Some((key, ssrc)) = self.egress.key_frames_wanted.pop() {
            self.request_key_frame_of(now, key, ssrc);
        }
    }

    /// Asks a Producer for a key frame of one stream.
    pub(super) fn request_key_frame_of(&mut self, now: Instant, key: ProducerKey, ssrc: Ssrc) {
        let Some(producer) = self.producers.get_mut(key) else { return };
        producer.request_key_frame(now, ssrc);
        self.poll_producer_feedback(now, key);
    }
}

/// Notes a packet if its consumer traces packets.
fn trace(
    egress: &mut Egress,
    consumer: &Consumer,
    origin: Origin,
    packet: &StoredPacket<'_>,
    written: Option<Written>,
    hop: HopValues,
    is_rtx: bool,
) {
    if consumer.traces_packets()
        && let Some(written) = written
    {
        egress.traces.push((origin.consumer, consumer.packet_trace(packet, &written, hop, is_rtx)));
    }
}

/// Plans what a consumer without layers sends of one stream.
fn plan_stream(
    egress: &mut Egress,
    consumer: &mut Consumer,
    producer: &Producer,
    origin: Origin,
    hops: &mut Hops,
) {
    let Some(stream) = producer.streams.get(origin.stream) else { return };
    let mut plan = |consumer: &mut Consumer, source: u64| {
        let packet = stream.buffer.get(source)?;
        let verdict = consumer.decide(origin.outlet, &packet);
        if let Verdict::Start(output) | Verdict::Forward(output) = verdict {
            let hop = hops.next(consumer);
            let sent = unchanged(&packet, output);
            let written = consumer.write_header(origin.outlet, &packet, &sent, hop, egress.space());
            trace(egress, consumer, origin, &packet, written, hop, false);
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

/// Plans what a consumer with layers sends. The stream that it sends now comes first, so that its frame is complete when
/// a key frame of another stream in the same batch takes over.
fn plan_layers(
    now: Instant,
    egress: &mut Egress,
    consumer: &mut Consumer,
    producer: &Producer,
    origin: Origin,
    hops: &mut Hops,
) {
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
        let mut plan = |consumer: &mut Consumer, source: u64| {
            let packet = stream.buffer.get(source)?;
            let arrival = Arrival { streams: &producer.streams, index, packet: &packet };
            let Decision::Send { start, sent } = consumer.decide_layered(now, &arrival) else { return None };
            let hop = hops.next(consumer);
            let written = consumer.write_header(0, &packet, &sent, hop, egress.space());
            trace(egress, consumer, origin, &packet, written, hop, false);
            egress.push(origin, &packet, written, false);
            Some(start)
        };
        for (position, &source) in stream.arrivals.iter().enumerate() {
            if plan(consumer, source) == Some(true) {
                // What of the key frame came before its first packet was left to wait.
                for overtaker in stream.overtakers(source, &stream.arrivals[position + 1..]) {
                    plan(consumer, overtaker);
                }
            }
        }
    }
}
