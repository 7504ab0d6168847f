//! The samples that a `stbl` box describes (ISO/IEC 14496-12 §8.6 and §8.7), one after the other.

use mp4_atom::{Co64, Ctts, CttsEntry, Stco, Stsc, StscEntry, Stsz, StszSamples, Stts, SttsEntry};

use super::Sample;
use super::boxes::decode;

/// Tables, and the place in each of them.
#[derive(Debug)]
pub(super) struct Tables {
    durations: Vec<SttsEntry>,
    compositions: Vec<CttsEntry>,
    chunks: Vec<StscEntry>,
    offsets: Vec<u64>,
    sizes: StszSamples,
    sample: u32,
    decode_time: u64,
    duration: Place,
    composition: Place,
    /// The chunk, which run of chunks it belongs to, which of its samples is next, and where that is.
    chunk: usize,
    run: usize,
    in_chunk: u32,
    next_offset: Option<u64>,
}

/// An entry of a table, and how many samples of it are done.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    entry: usize,
    done: u32,
}

impl Place {
    /// Goes on by a sample. `count` tells how many an entry has.
    fn advance(&mut self, count: impl Fn(usize) -> Option<u32>) {
        self.done += 1;
        while count(self.entry).is_some_and(|count| self.done >= count) {
            self.entry += 1;
            self.done = 0;
        }
    }

    fn skip_empty(&mut self, count: impl Fn(usize) -> Option<u32>) {
        while count(self.entry) == Some(0) {
            self.entry += 1;
        }
    }
}

impl Tables {
    pub(super) fn read(stbl: &[u8]) -> Result<Self, String> {
        let Stts { entries: durations } = decode(stbl, b"stts")?.ok_or("no stts box")?;
        let Stsc { entries: chunks } = decode(stbl, b"stsc")?.ok_or("no stsc box")?;
        let Stsz { samples: sizes } = decode(stbl, b"stsz")?.ok_or("no stsz box")?;
        let compositions = decode::<Ctts>(stbl, b"ctts")?.map(|ctts| ctts.entries).unwrap_or_default();
        let offsets = match (decode::<Stco>(stbl, b"stco")?, decode::<Co64>(stbl, b"co64")?) {
            (Some(stco), _) => stco.entries.into_iter().map(u64::from).collect(),
            (None, Some(co64)) => co64.entries,
            (None, None) => Vec::new(),
        };
        let mut tables = Self {
            durations,
            compositions,
            chunks,
            offsets,
            sizes,
            sample: 0,
            decode_time: 0,
            duration: Place::default(),
            composition: Place::default(),
            chunk: 0,
            run: 0,
            in_chunk: 0,
            next_offset: None,
        };
        tables.duration.skip_empty(|entry| tables.durations.get(entry).map(|entry| entry.sample_count));
        tables.composition.skip_empty(|entry| tables.compositions.get(entry).map(|entry| entry.sample_count));
        tables.enter_chunk();
        Ok(tables)
    }

    /// True if pictures are shown in another order than they are stored.
    pub(super) fn reorders(&self) -> bool {
        self.compositions.windows(2).any(|pair| pair[0].sample_offset != pair[1].sample_offset)
    }

    /// The next sample, which stays the next one.
    pub(super) fn peek(&self) -> Option<Sample> {
        Some(Sample {
            offset: self.next_offset?,
            len: self.len_of(self.sample)?,
            decode_time: self.decode_time,
            duration: self.durations.get(self.duration.entry).map_or(0, |entry| entry.sample_delta),
            composition: self.compositions.get(self.composition.entry).map_or(0, |entry| entry.sample_offset),
        })
    }

    /// The next sample.
    pub(super) fn next(&mut self) -> Option<Sample> {
        let sample = self.peek()?;
        self.sample += 1;
        self.decode_time = self.decode_time.saturating_add(sample.duration.into());
        self.duration.advance(|entry| self.durations.get(entry).map(|entry| entry.sample_count));
        self.composition.advance(|entry| self.compositions.get(entry).map(|entry| entry.sample_count));
        self.in_chunk += 1;
        if self.in_chunk < self.chunks.get(self.run).map_or(0, |run| run.samples_per_chunk) {
            self.next_offset = sample.offset.checked_add(sample.len.into());
        } else {
            self.chunk += 1;
            self.enter_chunk();
        }
        Some(sample)
    }

    /// Goes to the first sample of the chunk, or of a later one if it has none.
    fn enter_chunk(&mut self) {
        self.in_chunk = 0;
        loop {
            // §8.7.4: a run of chunks begins with a number, counted from 1.
            while self
                .chunks
                .get(self.run + 1)
                .is_some_and(|next| next.first_chunk as usize <= self.chunk + 1)
            {
                self.run += 1;
            }
            self.next_offset = self.offsets.get(self.chunk).copied();
            let empty = self.chunks.get(self.run).is_none_or(|run| run.samples_per_chunk == 0);
            if !empty || self.next_offset.is_none() {
                return;
            }
            self.chunk += 1;
        }
    }

    fn len_of(&self, sample: u32) -> Option<u32> {
        match &self.sizes {
            StszSamples::Identical { count, size } => (sample < *count).then_some(*size),
            StszSamples::Different { sizes } => sizes.get(sample as usize).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(kind: &[u8; 4], values: &[u32]) -> Vec<u8> {
        let mut bytes = (12 + 4 * values.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend(values.iter().flat_map(|value| value.to_be_bytes()));
        bytes
    }

    #[test]
    fn samples_lie_behind_one_another_in_their_chunks() {
        let stbl = [
            table(b"stts", &[3, 0, 9, 2, 10, 3, 20]),
            table(b"ctts", &[2, 4, 5, 1, 7]),
            // Two samples in each of the first two chunks, one in the third.
            table(b"stsc", &[2, 1, 2, 1, 3, 1, 1]),
            table(b"stsz", &[0, 5, 100, 101, 102, 103, 104]),
            table(b"stco", &[3, 1000, 2000, 3000]),
        ];
        let mut tables = Tables::read(&stbl.concat()).unwrap();
        assert!(tables.reorders());
        let sample = |offset, len, decode_time, duration, composition| {
            Some(Sample { offset, len, decode_time, duration, composition })
        };
        assert_eq!(tables.next(), sample(1000, 100, 0, 10, 5));
        assert_eq!(tables.next(), sample(1100, 101, 10, 10, 5));
        assert_eq!(tables.peek(), sample(2000, 102, 20, 20, 5));
        assert_eq!(tables.next(), sample(2000, 102, 20, 20, 5));
        assert_eq!(tables.next(), sample(2102, 103, 40, 20, 5));
        assert_eq!(tables.next(), sample(3000, 104, 60, 20, 7));
        assert_eq!(tables.next(), None);
    }

    #[test]
    fn empty_runs_of_chunks_end() {
        let stbl = [
            table(b"stts", &[1, 1, 1]),
            table(b"stsc", &[1, 1, 0, 1]),
            table(b"stsz", &[7, u32::MAX]),
            table(b"stco", &[2, 1, 2]),
        ];
        assert_eq!(Tables::read(&stbl.concat()).unwrap().next(), None);
        assert!(Tables::read(&stbl[1..].concat()).unwrap_err().contains("stts"));
    }
}
