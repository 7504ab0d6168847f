//! Selection of the frames of a stream with dependency descriptors (RTP Payload Format For AV1, appendix A).
//!
//! The descriptor lists for each decode target the frames it needs and the frames at which a receiver can switch to it.
//! The rule is the same for every scalability mode, key and shifted ones included.

use std::sync::Arc;

use super::Layers;
use super::selector::Selected;
use crate::media::producer::frames::FrameInfo;
use crate::media::producer::packet_buffer::StoredPacket;
use tureen_rtc::seq::RecentSet;
use tureen_rtc::wire::codecs::dependency_descriptor::{Descriptor, Structure};
use tureen_rtc::wire::rtp::Extension;

/// Selects the frames of one decode target.
#[derive(Debug, Default)]
pub(super) struct TargetSelector {
    wanted: Layers,
    structure: Option<Arc<Structure>>,
    /// Decode target of the wanted layers.
    wanted_target: u8,
    /// Decode target being sent, once a key frame of it was sent.
    current: Option<u8>,
    /// Fields of `Selected` that are the same for all frames of the target.
    facts: TargetFacts,
    /// Decode target nearest to the wanted one that needs no key frame, because all its frames are sent already.
    nearest: u8,
    /// Timestamp of the picture being sent.
    picture: Option<u32>,
    picture_complete: bool,
    decided: RecentSet,
    sent: RecentSet,
}

/// Layers of a decode target, and the targets that remain decodable if not all of them do.
#[derive(Clone, Copy, Debug, Default)]
struct TargetFacts {
    layers: Layers,
    active_targets: Option<(u8, u32)>,
}

impl TargetFacts {
    fn new(structure: &Structure, target: u8) -> Self {
        let (spatial, temporal) = structure.layers_of(target);
        let mask = structure.targets_within(target);
        let partly = mask.count_ones() < u32::from(structure.decode_targets());
        let active_targets = partly.then_some((structure.decode_targets(), mask));
        Self { layers: Layers { spatial, temporal }, active_targets }
    }
}

impl TargetSelector {
    pub(super) fn restart(&mut self, wanted: Layers) {
        self.current = None;
        self.aim(wanted);
    }

    pub(super) fn aim(&mut self, wanted: Layers) {
        self.wanted = wanted;
        let Some(structure) = &self.structure else { return };
        self.wanted_target = structure.target_for(wanted.spatial, wanted.temporal);
        let Some(current) = self.current else { return };
        let (spatial, temporal) = structure.layers_of(current);
        let lower = structure.target_for(spatial.min(wanted.spatial), temporal.min(wanted.temporal));
        self.nearest = if structure.is_part_of(lower, current) { lower } else { current };
    }

    pub(super) fn awaits_key_frame(&self) -> bool {
        let (Some(current), Some(structure)) = (self.current, &self.structure) else { return true };
        self.nearest != self.wanted_target
            && structure.layers_of(current).0 != structure.layers_of(self.wanted_target).0
    }

    pub(super) fn select(
        &mut self,
        packet: &StoredPacket<'_>,
        structure: Option<&Arc<Structure>>,
    ) -> Option<Selected> {
        let frame = &packet.info.frame;
        if !frame.is(FrameInfo::HAS_TARGETS) {
            return None;
        }
        if packet.info.key_frame {
            // The structure is set before `aim`, because `aim` looks the decode target up in the structure.
            self.structure = structure.cloned();
            self.aim(self.wanted);
            self.go_over(self.wanted_target);
            (self.decided, self.sent) = (RecentSet::default(), RecentSet::default());
        }
        if !self.decided.contains(frame.number.into()) {
            self.decided.insert(frame.number.into());
            let starts_picture = self.picture.replace(packet.info.timestamp) != Some(packet.info.timestamp);
            self.picture_complete &= !starts_picture;
            // A picture that was ended by its marker gets no further layer.
            let may_switch = self.current != Some(self.wanted_target) && !self.picture_complete;
            if may_switch && self.can_switch(packet) {
                self.go_over(self.wanted_target);
            } else if starts_picture && self.current != Some(self.nearest) {
                self.go_over(self.nearest);
            }
            if frame.present >> self.current? & 1 == 1 {
                self.sent.insert(frame.number.into());
            }
        }
        if !self.sent.contains(frame.number.into()) {
            return None;
        }
        let selected = selected(frame, self.current?, self.facts);
        self.picture_complete |= selected.last_of_picture;
        Some(selected)
    }

    pub(super) fn select_late(&self, frame: &FrameInfo, limit: u8) -> Option<Selected> {
        let number = frame.number.into();
        let left_out = self.decided.contains(number) && !self.sent.contains(number);
        let is_part = frame.is(FrameInfo::HAS_TARGETS) && !left_out && frame.present >> (limit & 31) & 1 == 1;
        let structure = self.structure.as_deref().filter(|_| is_part)?;
        Some(selected(frame, limit, TargetFacts::new(structure, limit & 31)))
    }

    /// True if the wanted target can be switched to with this frame: the frame is a switch point, and all frames that
    /// it refers to were sent.
    fn can_switch(&self, packet: &StoredPacket<'_>) -> bool {
        let frame = &packet.info.frame;
        if frame.switch >> self.wanted_target & 1 == 0 || !frame.is(FrameInfo::START) {
            return false;
        }
        let mut elements = packet.elements();
        let value = elements.find(|(kind, _)| *kind == Extension::DependencyDescriptor);
        let descriptor = value.and_then(|(_, value)| Descriptor::parse(value, self.structure.as_deref()));
        let sent = |difference: u16| self.sent.contains(frame.number.wrapping_sub(difference.into()).into());
        descriptor.is_some_and(|descriptor| descriptor.dependencies.iter().all(sent))
    }

    fn go_over(&mut self, target: u8) {
        (self.current, self.nearest) = (Some(target), target);
        let structure = self.structure.as_deref();
        self.facts = structure.map(|s| TargetFacts::new(s, target)).unwrap_or_default();
    }
}

fn selected(frame: &FrameInfo, target: u8, facts: TargetFacts) -> Selected {
    Selected {
        layers: facts.layers,
        limit: target,
        last_of_picture: frame.is(FrameInfo::END) && frame.spatial_layer == facts.layers.spatial,
        active_targets: facts.active_targets,
    }
}
