//! Which frames of a Producer with layers a consumer gets, and how they are made one stream.
//!
//! [`Layered`] serves both kinds of layers. In a simulcast each spatial layer is a stream of its own, and going over to
//! another one takes a key frame of it; with SVC all layers are in one stream, and a `FrameSelector` leaves frames out.
//! Both leave out temporal layers the same way. Simple and pipe consumers have none of this.

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

/// What a consumer's layers are chosen from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerCounts {
    /// Spatial layers, or simulcast encodings.
    pub(crate) spatial: u8,
    /// Temporal layers.
    pub(crate) temporal: u8,
}

impl LayerCounts {
    /// Wanted layers as they are taken: not above those there are; without a temporal layer the highest.
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

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Send it like this.
    Send {
        /// The stream starts, or goes over to another source, with it.
        start: bool,
        /// How.
        sent: SentPacket,
    },
    /// Leave it out.
    Drop,
    /// Leave it out; the stream can only start with a key frame.
    WaitForKeyFrame,
}

/// The layers of one consumer.
#[derive(Debug)]
pub(crate) struct Layered {
    simulcast: bool,
    /// Spatial layers of SVC depend on each other at key frames only.
    k_svc: bool,
    counts: LayerCounts,
    preferred: Layers,
    target: Option<Layers>,
    /// Layers sent now, as last told.
    current: Option<Layers>,
    /// Encoding that is sent.
    source: Option<u8>,
    sync_required: bool,
    /// The number with which that encoding was begun.
    begun_with: u64,
    /// The link does not carry that encoding: a lower one takes over as soon as a key frame of it comes.
    leaves: bool,
    selector: FrameSelector,
    numbers: FrameNumbers,
    timeline: Timeline,
    epochs: Epochs,
    /// What was sent, to be repeated.
    pub(crate) log: SentLog,
    /// The highest number sent. The rewriter may be ahead of it, where it keeps numbers for what is missing.
    newest: u64,
    /// The packet sent with that number bore the marker: its frame is complete.
    frame_complete: bool,
    changed: bool,
    key_frame_wanted: bool,
    /// Layers are chosen by bandwidth.
    allocated: bool,
}

/// How packets of one source are rewritten, from one switch to the next.
#[derive(Clone, Copy, Debug, Default)]
struct Epoch {
    id: u16,
    timestamp_offset: u32,
    /// Timestamp with which the next epoch starts.
    end: Option<u32>,
}

/// The last epochs: late packets belong to earlier ones.
#[derive(Debug, Default)]
struct Epochs {
    last: [Epoch; 16],
    newest: u16,
}

impl Epochs {
    /// Starts an epoch with a packet of this timestamp, and ends the one before.
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

/// One packet and where it comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    /// Streams of the Producer.
    pub(crate) streams: &'a [ProducerStream],
    /// Which of them.
    pub(crate) index: usize,
    /// The packet.
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
    /// For a consumer of this many layers. `k_svc`: spatial layers depend on each other at key frames only.
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

    /// Layers wanted.
    pub(crate) fn preferred(&self) -> Layers {
        self.preferred
    }

    /// Layers aimed at.
    pub(crate) fn target(&self) -> Option<Layers> {
        self.target
    }

    /// Layers sent.
    pub(crate) fn current(&self) -> Option<Layers> {
        self.current
    }

    /// Encoding whose packets are sent.
    pub(crate) fn source(&self) -> Option<u8> {
        self.source
    }

    /// What is subtracted from the RTP timestamps of the encoding that is sent.
    pub(crate) fn timestamp_offset(&self) -> u32 {
        self.epochs.get(self.epochs.newest).map_or(0, |epoch| epoch.timestamp_offset)
    }

    /// Whether what was sent with this number is of little use by now: another encoding was gone over to since, or is about
    /// to be because the link does not carry this one. A decoder goes on with the key frame of the other one.
    pub(crate) fn has_left(&self, output: u64) -> bool {
        self.leaves || output < self.begun_with
    }

    /// Chooses the layers wanted.
    pub(crate) fn set_preferred(&mut self, layers: ConsumerLayers) -> Layers {
        self.preferred = self.counts.limit(layers);
        self.preferred
    }

    /// From now on bandwidth decides on the layers, by [`Layered::apply`].
    pub(crate) fn allocate(&mut self, allocated: bool) {
        self.allocated = allocated;
    }

    /// Whether bandwidth decides on the layers.
    pub(crate) fn is_allocated(&self) -> bool {
        self.allocated
    }

    /// The next packet starts anew, with a key frame.
    pub(crate) fn require_sync(&mut self) {
        self.sync_required = true;
    }

    /// A source stream has started anew: its numbers mean nothing any more.
    pub(crate) fn on_restart(&mut self, encoding: u8, rewriter: &mut SeqRewriter) {
        rewriter.forget(encoding);
        self.numbers.forget(encoding);
        if self.source == Some(encoding) {
            self.sync_required = true;
        }
    }

    /// Nothing is sent any more: paused or disconnected.
    pub(crate) fn stop(&mut self) {
        self.set_target(None, false);
    }

    /// Aims at the best of the preferred layers that are there.
    pub(crate) fn aim(&mut self, streams: &[ProducerStream]) {
        self.set_target(self.best_layers(streams), false);
    }

    /// Aims at these layers, or at none. `in_need`: what is sent now is more than the link carries. A lower encoding can't
    /// take over before a key frame of it has come; until then the one that is sent goes on with its lowest temporal layer
    /// alone, so that the link's queue does not grow further.
    pub(crate) fn apply(&mut self, layers: Option<Layers>, in_need: bool) {
        self.set_target(layers, in_need);
    }

    /// The preferred layers as far as they are there.
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

    /// The encoding with those layers.
    pub(crate) fn best_encoding(&self, streams: &[ProducerStream]) -> Option<u8> {
        self.best_layers(streams).map(|best| self.encoding_of(best.spatial))
    }

    /// Appends the points at which the consumer can run, from nothing up to the preferred layers (mediasoup
    /// `GetBitrateOptions`): temporal layers of the lowest spatial layer there is, then whole spatial layers.
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
                    // It comes, however seldom.
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

    /// What the consumer would take if bandwidth were no matter: the most that one of its spatial layers takes, which is
    /// not always the highest one while that has just begun.
    pub(crate) fn desired_bitrate(&self, now: Instant, streams: &mut [ProducerStream]) -> Bitrate {
        let most_of = |stream: &mut ProducerStream| {
            let inner = if self.simulcast { 1 } else { self.counts.spatial };
            let of_layer = |spatial| stream.layers.bitrate(now, spatial, self.counts.temporal - 1);
            let most = if self.k_svc { (0..inner).filter_map(of_layer).max() } else { None };
            most.unwrap_or_else(|| stream.stats.bitrate(now))
        };
        streams.iter_mut().map(most_of).max().unwrap_or(Bitrate::ZERO)
    }

    /// Whether a stream's packets are to be decided on: it is sent, aimed at, or late packets of it may come.
    pub(crate) fn reads(&self, encoding: u8, rewriter: &SeqRewriter) -> bool {
        self.source == Some(encoding)
            || self.target_encoding() == Some(encoding)
            || rewriter.remembers(encoding)
    }

    /// Encoding of which a key frame is awaited.
    pub(crate) fn awaited(&self) -> Option<u8> {
        let target = self.target_encoding()?;
        (self.source != Some(target) || self.sync_required || self.selector.awaits_key_frame())
            .then_some(target)
    }

    /// Encodings of which a decoder that lost its way needs a key frame.
    pub(crate) fn key_frame_sources(&self) -> impl Iterator<Item = u8> {
        let target = self.target_encoding();
        target.into_iter().chain(self.source.filter(|&source| Some(source) != target))
    }

    /// Layers that changed since the last time, if they did.
    pub(crate) fn poll_change(&mut self) -> Option<Option<Layers>> {
        std::mem::take(&mut self.changed).then_some(self.current)
    }

    /// Encoding of which a key frame shall be requested, if one shall since the last time.
    pub(crate) fn poll_key_frame_wanted(&mut self) -> Option<u8> {
        std::mem::take(&mut self.key_frame_wanted).then(|| self.target_encoding()).flatten()
    }

    /// A packet that this consumer's remote side can't take.
    pub(crate) fn leave_out(&mut self, arrival: &Arrival<'_>, rewriter: &mut SeqRewriter) {
        if self.source == Some(arrival.encoding()) && !self.sync_required {
            rewriter.skip_of(arrival.encoding(), arrival.packet.info.seq);
        }
    }

    /// Decides what to do with a packet. Each packet is decided once, in order of arrival.
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
            // Padding of the sender's bandwidth probes is of no use further on.
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

    /// A packet that comes after later ones of its source leaves with the number that was left free for it, or gives it
    /// back.
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

    /// A key frame of the source that is to be sent: the stream starts, or goes over to it.
    fn start(&mut self, now: Instant, arrival: &Arrival<'_>, rewriter: &mut SeqRewriter) -> Decision {
        let (encoding, info) = (arrival.encoding(), &arrival.packet.info);
        let switches = self.source != Some(encoding);
        // Frames behind a late one were sent already: to start with it would show them again, and leave two places for
        // each packet that is still missing.
        let aligned = if rewriter.has_passed(encoding, info.seq) {
            Err(Misaligned)
        } else {
            self.timeline.align(now, arrival.streams, arrival.index, info.timestamp, switches)
        };
        let Ok(timestamp_offset) = aligned else {
            // What is sent now goes on; a report or a later key frame will do. This one may have a place in what was
            // sent before.
            self.key_frame_wanted = true;
            return self.decide_late(now, arrival, rewriter);
        };
        let target = self.target.unwrap_or_default();
        self.selector.restart(if self.simulcast { Layers { spatial: u8::MAX, ..target } } else { target });
        let Some(selected) = self.selector.select(arrival.packet, arrival.stream().frames.structure()) else {
            return Decision::Drop;
        };
        // A frame that was cut off is seen to be incomplete by a number left out.
        let epoch = rewriter.switch(encoding, info.seq, u64::from(!self.frame_complete));
        rewriter.set_limit(info.seq, selected.limit);
        self.numbers.switch(encoding, &info.frame);
        let timestamp = info.timestamp.wrapping_sub(timestamp_offset);
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
        // The rest of what was sent when the stream went over may come late, but nothing that is newer than the switch.
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
            self.leaves = in_need && source > encoding;
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

/// The stream of an encoding, once it has begun.
pub(crate) fn stream_of(streams: &[ProducerStream], encoding: u8) -> Option<&ProducerStream> {
    streams.iter().find(|stream| stream.encoding_idx == usize::from(encoding))
}

/// SSRC of an encoding's stream.
pub(crate) fn ssrc_of(streams: &[ProducerStream], encoding: u8) -> Option<Ssrc> {
    stream_of(streams, encoding).map(|stream| stream.stats.ssrc())
}
