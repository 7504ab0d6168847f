//! The samples that `moof` boxes describe (ISO/IEC 14496-12 §8.8).

use std::collections::VecDeque;

use mp4_atom::{Atom, Tfdt, Tfhd, Trun};

use super::boxes::{Boxes, children, decode};
use super::{MAX_DESCRIPTION_LEN, Place, Sample, SampleTrack};
use crate::error::{ContainerError, ErrorKind};
use crate::input::Input;

/// Samples that are held at most, while one track waits for its next fragment.
const MAX_SAMPLES: usize = 500_000;
/// Samples of a fragment, at most.
const MAX_FRAGMENT_SAMPLES: usize = 100_000;

/// Samples of the fragments that were read.
#[derive(Debug)]
pub(super) struct Fragments {
    /// Nothing in a file without fragments, and behind the last one.
    boxes: Option<Boxes>,
    tracks: Vec<Fragmented>,
}

#[derive(Debug, Default)]
struct Fragmented {
    samples: VecDeque<Sample>,
    decode_time: u64,
}

impl Fragments {
    /// Of a number of tracks, searched from a place in the file on.
    pub(super) fn new(from: Option<u64>, tracks: usize) -> Self {
        let boxes = from.map(|next| Boxes { next });
        Self { boxes, tracks: (0..tracks).map(|_| Fragmented::default()).collect() }
    }

    pub(super) fn peek(&self, track: usize) -> Option<Sample> {
        self.tracks[track].samples.front().copied()
    }

    pub(super) fn next(&mut self, track: usize) -> Option<Sample> {
        self.tracks[track].samples.pop_front()
    }

    /// Reads fragments until each track has samples, as far as there are.
    pub(super) fn fill(&mut self, input: &mut Input, sources: &[SampleTrack]) -> Result<(), ContainerError> {
        while let Some(boxes) = &mut self.boxes {
            let held: usize = self.tracks.iter().map(|track| track.samples.len()).sum();
            if held >= MAX_SAMPLES || self.tracks.iter().all(|track| !track.samples.is_empty()) {
                return Ok(());
            }
            match boxes.next(input)? {
                Some((kind, place)) if kind == *b"moof" => self.take_fragment(input, place, sources)?,
                Some(_) => {}
                None => self.boxes = None,
            }
        }
        Ok(())
    }

    fn take_fragment(
        &mut self,
        input: &mut Input,
        place: Place,
        sources: &[SampleTrack],
    ) -> Result<(), ContainerError> {
        input.go_to(place.body);
        let moof = input.piece(place.len, "the description of a fragment", MAX_DESCRIPTION_LEN)?;
        let malformed = |text| input.error_at(place.body, ErrorKind::Malformed(text));
        for (kind, traf) in children(&moof) {
            if kind != *b"traf" {
                continue;
            }
            let tfhd: Tfhd = decode(traf, b"tfhd")
                .map_err(malformed)?
                .ok_or_else(|| malformed("no tfhd box".to_owned()))?;
            let Some(at) = sources.iter().position(|source| source.id == tfhd.track_id) else { continue };
            self.tracks[at].take_runs(traf, &tfhd, &sources[at], place.at).map_err(malformed)?;
        }
        Ok(())
    }
}

impl Fragmented {
    fn take_runs(&mut self, traf: &[u8], tfhd: &Tfhd, source: &SampleTrack, moof: u64) -> Result<(), String> {
        if let Some(Tfdt { base_media_decode_time }) = decode(traf, b"tfdt")? {
            self.decode_time = base_media_decode_time;
        }
        let trex = source.defaults.as_ref();
        let duration = tfhd.default_sample_duration.or(trex.map(|trex| trex.default_sample_duration));
        let len = tfhd.default_sample_size.or(trex.map(|trex| trex.default_sample_size));
        // §8.8.7: without an offset in the file, the samples are counted from the start of the fragment.
        let base = tfhd.base_data_offset.unwrap_or(moof);
        let mut offset = base;
        let mut count = 0;
        for (kind, body) in children(traf) {
            if kind != *b"trun" {
                continue;
            }
            let run = Trun::decode_body(&mut &body[..]).map_err(|error| format!("trun box: {error}"))?;
            count += run.samples.len();
            if count > MAX_FRAGMENT_SAMPLES {
                return Err(format!("a fragment of {count} samples, more than {MAX_FRAGMENT_SAMPLES}"));
            }
            if let Some(by) = run.data_offset {
                offset =
                    base.checked_add_signed(by.into()).ok_or_else(|| format!("a data offset of {by}"))?;
            }
            for entry in &run.samples {
                let len = entry.size.or(len).unwrap_or(0);
                let duration = entry.duration.or(duration).unwrap_or(0);
                let (decode_time, composition) = (self.decode_time, entry.cts.unwrap_or(0));
                self.samples.push_back(Sample { offset, len, decode_time, duration, composition });
                offset = offset.saturating_add(len.into());
                self.decode_time = self.decode_time.saturating_add(duration.into());
            }
        }
        Ok(())
    }
}
