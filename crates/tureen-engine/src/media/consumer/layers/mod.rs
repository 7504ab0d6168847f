//! Layer selection of a consumer: the frames to forward, and their merge into one RTP stream.
//!
//! [`Layered`] serves simulcast and SVC. With simulcast each spatial layer is a stream of its own, and a switch to
//! another one requires a key frame of that; with SVC one stream contains all layers, and a `FrameSelector` drops
//! frames. Temporal layers are dropped the same way in both. Simple and pipe consumers have no layer selection.

mod numbers;
mod selector;
mod targets;
#[cfg(test)]
mod tests;
mod timeline;

use std::time::Instant;

use numbers::FrameNumbers;
use selector::{FrameSelector, Selected};
use timeline::{Misaligned, Timeline};

use crate::allocator::OperatingPoint;
use crate::api::ConsumerLayers;
use crate::media::consumer::sent_log::{SentLog, SentPacket};
use crate::media::consumer::seq_rewriter::{Mapped, SeqRewriter};
use crate::media::layers::Layers;
use crate::media::producer::frames::FrameInfo;
use crate::media::producer::packet_buffer::StoredPacket;
use crate::media::producer::stream::ProducerStream;
use tureen_rtc::units::{Bitrate, Ssrc};
use tureen_rtc::wire::codecs::CodecKind;

/// Numbers of layers available to a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerCounts {
    /// Number of spatial layers, or of simulcast encodings.
    pub(crate) spatial: u8,
    /// Number of temporal layers.
    pub(crate) temporal: u8,
}

impl LayerCounts {
    /// Limits preferred layers to the available ones; without a temporal layer the highest one is preferred.
    pub(crate) fn limit(self, wanted: ConsumerLayers) -> Layers {
        Layers {
            spatial: wanted.spatial_layer.min(self.spatial - 1),
            temporal: wanted.temporal_layer.unwrap_or(u8::MAX).min(self.temporal - 1),
        }
    }

    fn highest(self) -> Layers {
        Layers { spatial: self.spatial - 1, temporal: self.temporal - 1 }
    }
}

/// Decision on a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Forward the packet.
    Send {
        /// True if the stream starts, or switches to another source, with the packet.
        start: bool,
        /// Header values of the outgoing packet.
        sent: SentPacket,
    },
    /// Drop the packet.
    Drop,
    /// Drop the packet, because the stream can only start with a key frame.
    WaitForKeyFrame,
}

/// Layer selection of one consumer.
#[derive(Debug)]
pub(crate) struct Layered {
    simulcast: bool,
    /// True if the spatial layers of SVC depend on each other at key frames only.
    k_svc: bool,
    counts: LayerCounts,
    preferred: Layers,
    target: Option<Layers>,
    /// Layers being sent, as last reported.
    current: Option<Layers>,
    /// Encoding being sent.
    source: Option<u8>,
    sync_required: bool,
    /// First output number sent from that encoding.
    begun_with: u64,
    /// True if the link cannot carry that encoding: a lower one replaces it with the next key frame.
    leaves: bool,
    selector: FrameSelector,
    numbers: FrameNumbers,
    timeline: Timeline,
    epochs: Epochs,
    /// Sent packets, for retransmissions.
    pub(crate) log: SentLog,
    /// Highest output number sent. The rewriter may be ahead, because it reserves numbers for missing packets.
    newest: u64,
    /// True if the packet with that number had the marker bit, so that its frame is complete.
    frame_complete: bool,
    changed: bool,
    key_frame_wanted: bool,
    /// True if the bandwidth allocation selects the layers.
    allocated: bool,
}

/// Rewriting parameters of one source, from one switch to the next.
#[derive(Clone, Copy, Debug, Default)]
struct Epoch {
    id: u16,
    timestamp_offset: u32,
    /// Timestamp at which the next epoch starts.
    end: Option<u32>,
}

/// Latest epochs; late packets belong to earlier ones.
#[derive(Debug, Default)]
struct Epochs {
    last: [Epoch; 16],
    newest: u16,
}

impl Epochs {
    /// Starts an epoch with a packet of this timestamp and ends the previous epoch.
    fn start(&mut self, epoch: Epoch, timestamp: u32) {
        let before = epoch.id.wrapping_sub(1);
        let count = self.last.len();
        let slot = &mut self.last[usize::from(before) % count];
        if slot.id == before {
            slot.end = Some(timestamp);
        }
        self.last[usize::from(epoch.id) % count] = epoch;
        self.newest = epoch.id;
    }

    fn get(&self, id: u16) -> Option<&Epoch> {
        Some(&self.last[usize::from(id) % self.last.len()]).filter(|epoch| epoch.id == id)
    }
}

/// A packet with its source stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    /// Streams of the Producer.
    pub(crate) streams: &'a [ProducerStream],
    /// Index of the packet's stream.
    pub(crate) index: usize,
    pub(crate) packet: &'a StoredPacket<'a>,
}

impl Arrival<'_> {
    fn stream(&self) -> &ProducerStream {
        &self.streams[self.index]
    }

    fn encoding(&self) -> u8 {
        self.stream().encoding_idx as u8
    }
}

impl Layered {
    /// Creates the selection for these layers. `k_svc`: spatial layers depend on each other at key frames only.
    pub(crate) fn new(
        simulcast: bool,
        kind: CodecKind,
        counts: LayerCounts,
        k_svc: bool,
        preferred: Option<ConsumerLayers>,
        random: u64,
    ) -> Self {
        Self {
            simulcast,
            k_svc: k_svc && !simulcast,
            counts,
            preferred: preferred.map_or(counts.highest(), |wanted| counts.limit(wanted)),
            target: None,
            current: None,
            source: None,
            sync_required: true,
            begun_with: 0,
            leaves: false,
            selector: FrameSelector::new(k_svc && !simulcast),
            numbers: FrameNumbers::new(simulcast, kind, random),
            timeline: Timeline::default(),
            epochs: Epochs::default(),
            log: SentLog::default(),
            newest: 0,
            frame_complete: true,
            changed: false,
            key_frame_wanted: false,
            allocated: false,
        }
    }

    /// Preferred layers, limited to the available ones.
    pub(crate) fn preferred(&self) -> Layers {
        self.preferred
    }

    /// Target layers; `None` while nothing is to be sent.
    pub(crate) fn target(&self) -> Option<Layers> {
        self.target
    }

    /// Layers being sent.
    pub(crate) fn current(&self) -> Option<Layers> {
        self.current
    }

    /// Encoding being sent.
    pub(crate) fn source(&self) -> Option<u8> {
        self.source
    }

    /// Offset subtracted from the RTP timestamps of the encoding being sent.
    pub(crate) fn timestamp_offset(&self) -> u32 {
        self.epochs.get(self.epochs.newest).map_or(0, |epoch| epoch.timestamp_offset)
    }

    /// True if a retransmission of this output number is of little use: the consumer has switched to another encoding
    /// since, or is about to because the link cannot carry this one. The decoder resumes with the key frame of the
    /// other encoding.
    pub(crate) fn has_left(&self, output: u64) -> bool {
        self.leaves || output < self.begun_with
    }

    /// Sets the preferred layers and returns them limited to the available ones.
    pub(crate) fn set_preferred(&mut self, layers: ConsumerLayers) -> Layers {
        self.preferred = self.counts.limit(layers);
        self.preferred
    }

    /// Enables or disables layer selection by the bandwidth allocation, with [`Layered::apply`].
    pub(crate) fn allocate(&mut self, allocated: bool) {
        self.allocated = allocated;
    }

    /// True if the bandwidth allocation selects the layers.
    pub(crate) fn is_allocated(&self) -> bool {
        self.allocated
    }

    /// Makes the next packet a resynchronisation, which requires a key frame.
    pub(crate) fn require_sync(&mut self) {
        self.sync_required = true;
    }

    /// Handles a restart of a source stream: its earlier sequence numbers are invalid.
    pub(crate) fn on_restart(&mut self, encoding: u8, rewriter: &mut SeqRewriter) {
        rewriter.forget(encoding);
        self.numbers.forget(encoding);
        if self.source == Some(encoding) {
            self.sync_required = true;
        }
    }

    /// Stops sending: paused or disconnected.
    pub(crate) fn stop(&mut self) {
        self.set_target(None, false);
    }

    /// Targets the best available layers up to the preferred ones.
    pub(crate) fn aim(&mut self, streams: &[ProducerStream]) {
        self.set_target(self.best_layers(streams), false);
    }

    /// Sets the target layers, or none. `in_need`: the layers being sent exceed the link's capacity. A lower encoding
    /// cannot replace the current one before its next key frame; until then only the lowest temporal layer of the
    /// current encoding is sent, so that the link's queue stops growing.
    pub(crate) fn apply(&mut self, layers: Option<Layers>, in_need: bool) {
        self.set_target(layers, in_need);
    }

    /// Best available layers up to the preferred ones.
    pub(crate) fn best_layers(&self, streams: &[ProducerStream]) -> Option<Layers> {
        let mut best = None;
        for spatial in 0..self.counts.spatial {
            if !self.is_usable(streams, spatial) {
                continue;
            }
            if spatial > self.preferred.spatial && best.is_some() {
                break;
            }
            best = Some(spatial);
            if spatial >= self.preferred.spatial {
                break;
            }
        }
        let spatial = best?;
        let stream = stream_of(streams, self.encoding_of(spatial))?;
        let temporal_layers = stream.temporal_layers().min(self.counts.temporal).max(1);
        Some(Layers { spatial, temporal: self.preferred.temporal.min(temporal_layers - 1) })
    }

    /// Encoding that contains the best available layers.
    pub(crate) fn best_encoding(&self, streams: &[ProducerStream]) -> Option<u8> {
        self.best_layers(streams).map(|best| self.encoding_of(best.spatial))
    }

    /// Appends the operating points of the consumer, in ascending order up to the preferred layers (mediasoup
    /// `GetBitrateOptions`): the temporal layers of the lowest available spatial layer, then whole spatial layers.
    pub(crate) fn options(
        &self,
        now: Instant,
        streams: &mut [ProducerStream],
        out: &mut Vec<OperatingPoint>,
    ) {
        let first = out.len();
        for spatial in 0..self.counts.spatial {
            if !self.is_usable(streams, spatial) {
                continue;
            }
            if spatial > self.preferred.spatial && out.len() > first {
                break;
            }
            let lowest = out.len() == first;
            let encoding = self.encoding_of(spatial);
            let Some(stream) = streams.iter_mut().find(|s| s.encoding_idx == usize::from(encoding)) else {
                continue;
            };
            let inner = if self.simulcast { stream.spatial_layers().max(1) - 1 } else { spatial };
            let highest = self.preferred.temporal.min(stream.temporal_layers().max(1) - 1);
            let before = out.len();
            let mut reduced = None;
            for temporal in 0..=highest {
                let measured = stream.layers.bitrate(now, inner, temporal);
                let mut bitrate = measured.unwrap_or_else(|| stream.bitrate(now));
                if bitrate.is_zero() {
                    if !lowest || temporal > 0 {
                        break;
                    }
                    // The layer is active, but its bitrate is too low to measure.
                    bitrate = Bitrate::bps(1);
                }
                if !lowest {
                    out.truncate(before);
                }
                let below = reduced.replace(bitrate).unwrap_or(bitrate);
                out.push(OperatingPoint { layers: Layers { spatial, temporal }, bitrate, reduced: below });
            }
            if spatial >= self.preferred.spatial && out.len() > first {
                break;
            }
        }
    }

    /// Bitrate of the consumer with unlimited bandwidth: the maximum of its spatial layers, because the highest layer
    /// may have the lower bitrate while it starts.
    pub(crate) fn desired_bitrate(&self, now: Instant, streams: &mut [ProducerStream]) -> Bitrate {
        let most_of = |stream: &mut ProducerStream| {
            let inner = if self.simulcast { 1 } else { self.counts.spatial };
            let of_layer = |spatial| stream.layers.bitrate(now, spatial, self.counts.temporal - 1);
            let most = if self.k_svc { (0..inner).filter_map(of_layer).max() } else { None };
            most.unwrap_or_else(|| stream.stats.bitrate(now))
        };
        streams.iter_mut().map(most_of).max().unwrap_or(Bitrate::ZERO)
    }

    /// True if the consumer decides on packets of this encoding: the encoding is being sent, is the target, or may have
    /// late packets.
    pub(crate) fn reads(&self, encoding: u8, rewriter: &SeqRewriter) -> bool {
        self.source == Some(encoding)
            || self.target_encoding() == Some(encoding)
            || rewriter.remembers(encoding)
    }

    /// Encoding whose key frame is awaited.
    pub(crate) fn awaited(&self) -> Option<u8> {
        let target = self.target_encoding()?;
        (self.source != Some(target) || self.sync_required || self.selector.awaits_key_frame())
            .then_some(target)
    }

    /// Encodings whose key frames let a decoder resume.
    pub(crate) fn key_frame_sources(&self) -> impl Iterator<Item = u8> {
        let target = self.target_encoding();
        target.into_iter().chain(self.source.filter(|&source| Some(source) != target))
    }

    /// Layers being sent, if they changed since the last poll.
    pub(crate) fn poll_change(&mut self) -> Option<Option<Layers>> {
        std::mem::take(&mut self.changed).then_some(self.current)
    }

    /// Encoding to request a key frame for, if one was needed since the last poll.
    pub(crate) fn poll_key_frame_wanted(&mut self) -> Option<u8> {
        std::mem::take(&mut self.key_frame_wanted).then(|| self.target_encoding()).flatten()
    }

    /// Skips a packet with a payload type that the remote endpoint does not support.
    pub(crate) fn leave_out(&mut self, arrival: &Arrival<'_>, rewriter: &mut SeqRewriter) {
        if self.source == Some(arrival.encoding()) && !self.sync_required {
            rewriter.skip_of(arrival.encoding(), arrival.packet.info.seq);
        }
    }

    /// Decides on a packet. The caller passes each packet once, in order of arrival, because the decision advances the
    /// outgoing sequence numbers.
    pub(crate) fn decide(
        &mut self,
        now: Instant,
        arrival: &Arrival<'_>,
        rewriter: &mut SeqRewriter,
    ) -> Decision {
        let Some(wanted) = self.target_encoding() else { return Decision::Drop };
        let (encoding, info) = (arrival.encoding(), &arrival.packet.info);
        let is_source = self.source == Some(encoding);
        if (is_source && self.sync_required) || (!is_source && wanted == encoding) {
            if !info.key_frame {
                let late = self.decide_late(now, arrival, rewriter);
                return if late == Decision::Drop { Decision::WaitForKeyFrame } else { late };
            }
            return self.start(now, arrival, rewriter);
        }
        if !is_source {
            return self.decide_late(now, arrival, rewriter);
        }
        let Some(mapped) = rewriter.lookup(encoding, info.seq) else { return Decision::Drop };
        if mapped.late {
            return self.decide_late(now, arrival, rewriter);
        }
        if arrival.packet.payload.is_empty() {
            // Padding-only packets are the sender's bandwidth probes, which serve no purpose past this hop.
            rewriter.skip_of(encoding, info.seq);
            return Decision::Drop;
        }
        let Some(selected) = self.selector.select(arrival.packet, arrival.stream().frames.structure()) else {
            rewriter.skip_of(encoding, info.seq);
            self.numbers.skip(encoding, &info.frame);
            return Decision::Drop;
        };
        rewriter.set_limit(info.seq, selected.limit);
        self.send(now, arrival, rewriter, mapped.epoch, selected, false)
    }

    /// Decides on a packet received after later ones of its source: forwards the packet with its reserved number, or
    /// drops the packet and releases the number.
    fn decide_late(&mut self, now: Instant, arrival: &Arrival<'_>, rewriter: &mut SeqRewriter) -> Decision {
        let (encoding, info) = (arrival.encoding(), &arrival.packet.info);
        let mapped = rewriter.lookup(encoding, info.seq).filter(|mapped| mapped.late);
        let Some(Mapped { epoch, limit, .. }) = mapped else { return Decision::Drop };
        if arrival.packet.payload.is_empty() {
            rewriter.skip_of(encoding, info.seq);
            return Decision::Drop;
        }
        match self.selector.select_late(arrival.packet, limit) {
            Some(selected) => self.send(now, arrival, rewriter, epoch, selected, false),
            None => {
                rewriter.skip_of(encoding, info.seq);
                self.numbers.skip(encoding, &info.frame);
                Decision::Drop
            }
        }
    }

    /// Starts the stream, or switches the stream to another source, with a key frame.
    fn start(&mut self, now: Instant, arrival: &Arrival<'_>, rewriter: &mut SeqRewriter) -> Decision {
        let (encoding, info) = (arrival.encoding(), &arrival.packet.info);
        let switches = self.source != Some(encoding);
        // Frames after a late one were sent already: a start with the late one would send them again and reserve two
        // numbers for each packet still missing.
        let aligned = if rewriter.has_passed(encoding, info.seq) {
            Err(Misaligned)
        } else {
            self.timeline.align(now, arrival.streams, arrival.index, info.timestamp, switches)
        };
        let Ok(timestamp_offset) = aligned else {
            // The current source continues until a report arrives or a later key frame aligns. This key frame may have
            // a number reserved before the switch.
            self.key_frame_wanted = true;
            return self.decide_late(now, arrival, rewriter);
        };
        let target = self.target.unwrap_or_default();
        self.selector.restart(if self.simulcast { Layers { spatial: u8::MAX, ..target } } else { target });
        let Some(selected) = self.selector.select(arrival.packet, arrival.stream().frames.structure()) else {
            return Decision::Drop;
        };
        // A skipped number marks the frame as incomplete if the switch cut that frame off.
        let epoch = rewriter.switch(encoding, info.seq, u64::from(!self.frame_complete));
        rewriter.set_limit(info.seq, selected.limit);
        self.numbers.switch(encoding, &info.frame);
        let timestamp = info.timestamp.wrapping_sub(timestamp_offset);
        // The epoch starts before `send`, because `send` looks the epoch up.
        self.epochs.start(Epoch { id: epoch, timestamp_offset, end: None }, timestamp);
        self.timeline.on_switched(arrival.streams, encoding, timestamp_offset);
        self.source = Some(encoding);
        self.sync_required = false;
        self.send(now, arrival, rewriter, epoch, selected, true)
    }

    fn send(
        &mut self,
        now: Instant,
        arrival: &Arrival<'_>,
        rewriter: &mut SeqRewriter,
        epoch: u16,
        selected: Selected,
        start: bool,
    ) -> Decision {
        let (encoding, info) = (arrival.encoding(), &arrival.packet.info);
        let Some(&Epoch { timestamp_offset, end, .. }) = self.epochs.get(epoch) else {
            return Decision::Drop;
        };
        let timestamp = info.timestamp.wrapping_sub(timestamp_offset);
        // Late packets of the previous source are forwarded only if they are older than the switch.
        if end.is_some_and(|end| timestamp.wrapping_sub(end).cast_signed() >= 0) {
            return Decision::Drop;
        }
        let Some(output) = rewriter.forward_of(encoding, info.seq) else { return Decision::Drop };
        let newest = output > self.newest;
        let mut descriptor = self.numbers.rewrite(encoding, &info.frame, newest);
        if info.frame.is(FrameInfo::START) {
            descriptor.active_targets = selected.active_targets;
        }
        let sent = SentPacket {
            output,
            source: info.seq,
            stream: arrival.index as u8,
            timestamp,
            marker: info.marker || selected.last_of_picture,
            descriptor,
        };
        if start {
            (self.begun_with, self.leaves) = (output, false);
        }
        if newest {
            self.newest = output;
            self.frame_complete = sent.marker;
            self.timeline.on_sent(now, sent.timestamp);
            self.note_current(start, &selected);
        }
        self.log.push(now, sent);
        Decision::Send { start, sent }
    }

    fn note_current(&mut self, start: bool, selected: &Selected) {
        let spatial = if self.simulcast { self.source.unwrap_or(0) } else { selected.layers.spatial };
        let layers = Layers { spatial, temporal: selected.layers.temporal };
        if start || self.current != Some(layers) {
            self.changed |= self.current != Some(layers);
            self.current = Some(layers);
        }
    }

    fn set_target(&mut self, target: Option<Layers>, in_need: bool) {
        if self.target == target {
            return;
        }
        let leaves_for = self.target_encoding().filter(|_| self.leaves);
        self.target = target;
        self.leaves = false;
        let Some(layers) = target else {
            self.changed |= self.current.is_some();
            (self.current, self.source) = (None, None);
            self.sync_required = true;
            return;
        };
        let encoding = self.encoding_of(layers.spatial);
        self.timeline.on_target(encoding);
        if let Some(source) = self.source {
            // Other layers of the encoding that the consumer downgrades to are part of the same downgrade.
            let is_downgrade = in_need || leaves_for.is_some_and(|former| encoding <= former);
            self.leaves = is_downgrade && source > encoding;
            let temporal = if self.leaves { 0 } else { layers.temporal };
            self.selector.aim(if self.simulcast { Layers { spatial: u8::MAX, temporal } } else { layers });
        }
        if self.source != Some(encoding) || self.selector.awaits_key_frame() {
            self.key_frame_wanted = true;
        }
    }

    fn is_usable(&self, streams: &[ProducerStream], spatial: u8) -> bool {
        let encoding = self.encoding_of(spatial);
        let Some(stream) = stream_of(streams, encoding).filter(|stream| stream.is_alive()) else {
            return false;
        };
        if self.simulcast {
            self.timeline.can_align(streams, stream)
        } else {
            stream.layers.is_active(spatial)
        }
    }

    fn encoding_of(&self, spatial: u8) -> u8 {
        if self.simulcast { spatial } else { 0 }
    }

    fn target_encoding(&self) -> Option<u8> {
        self.target.map(|layers| self.encoding_of(layers.spatial))
    }
}

/// Stream of an encoding, if the stream has begun.
pub(crate) fn stream_of(streams: &[ProducerStream], encoding: u8) -> Option<&ProducerStream> {
    streams.iter().find(|stream| stream.encoding_idx == usize::from(encoding))
}

/// SSRC of an encoding's stream.
pub(crate) fn ssrc_of(streams: &[ProducerStream], encoding: u8) -> Option<Ssrc> {
    stream_of(streams, encoding).map(|stream| stream.stats.ssrc())
}
