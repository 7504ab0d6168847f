//! H264 and H265 in the byte stream format: NAL units behind start codes (H.264 annex B, H.265 annex B).

use std::io::Read;
use std::time::Duration;

use tureen_rtc::wire::codecs::CodecKind;

use crate::MAX_FRAME_LEN;
use crate::error::{ContainerError, ErrorKind};
use crate::input::Input;
use crate::nal::{self, AccessUnit, ParameterSets, Role};
use crate::parameter_sets::{self, Sps};
use crate::source::{Frame, Options, Reader, Track};

const CHUNK_LEN: usize = 64 * 1024;
/// Frames a second that may be asked for.
const FRAME_RATES: std::ops::RangeInclusive<f64> = 0.1..=1000.0;
/// NAL units in front of the first sequence parameter set, at most.
const MAX_UNITS_BEFORE_SPS: usize = 10_000;

/// The codec of a file that begins like this; nothing if it is no byte stream.
pub(crate) fn recognise(start: &[u8]) -> Option<CodecKind> {
    let first = start.iter().position(|&byte| byte != 0)?;
    if first < 2 || start[first] != 1 {
        return None;
    }
    let &[high, low, ..] = &start[first + 1..] else { return None };
    // H.265 §7.3.1.2: VPS, SPS, access unit delimiter or supplemental information of layer 0. As headers of H264 these
    // bytes are of types and priorities that no stream begins with.
    if high & 0x81 == 0 && matches!(high >> 1, 32 | 33 | 35 | 39) && low & 0xf8 == 0 && low & 0x07 != 0 {
        return Some(CodecKind::H265);
    }
    // H.264 §7.3.1: slices, supplemental information, parameter sets or an access unit delimiter.
    (high & 0x80 == 0 && matches!(high & 0x1f, 1 | 5..=9)).then_some(CodecKind::H264)
}

#[derive(Debug)]
pub(crate) struct ByteStream {
    units: Units,
    tracks: [Track; 1],
    frame_rate: f64,
    sets: ParameterSets,
    unit: AccessUnit,
    frames: u64,
}

impl ByteStream {
    pub(crate) fn open(mut input: Input, options: Options) -> Result<Self, ContainerError> {
        let start = input.peek(CHUNK_LEN)?;
        let codec = recognise(&start).ok_or_else(|| {
            input.error(ErrorKind::Malformed("no H264 or H265 NAL unit at its start".to_owned()))
        })?;
        let sps = first_sps(codec, &mut Units::new(input.again()?))?;
        let frame_rate = match options.frame_rate.or(sps.frame_rate) {
            Some(rate) if FRAME_RATES.contains(&rate) => rate,
            Some(rate) => {
                return Err(
                    input.error(ErrorKind::Malformed(format!("a frame rate of {rate}, not 0.1 to 1000")))
                );
            }
            None => return Err(input.error(ErrorKind::NoFrameRate)),
        };
        let tracks = [Track { codec, profile: sps.profile, size: sps.size, reorders: sps.reorders }];
        let (sets, unit) = (ParameterSets::default(), AccessUnit::default());
        Ok(Self { units: Units::new(input.again()?), tracks, frame_rate, sets, unit, frames: 0 })
    }

    /// The access unit that is complete.
    fn finish(&mut self) -> Frame {
        let codec = self.tracks[0].codec;
        let (data, key_frame) = self.unit.finish(codec, &self.sets);
        let time = |frames: u64| Duration::from_secs_f64(frames as f64 / self.frame_rate);
        let start = time(self.frames);
        let duration = time(self.frames + 1) - start;
        self.frames += 1;
        Frame { track: 0, codec, data: data.into(), time: start, duration, key_frame }
    }
}

impl Reader for ByteStream {
    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, ContainerError> {
        let codec = self.tracks[0].codec;
        while let Some((at, unit)) = self.units.next()? {
            let role = self.units.role(codec, at, unit.clone())?;
            let frame = self.unit.ends_before(role).then(|| self.finish());
            let unit = &self.units.buffer[unit];
            if let Role::ParameterSet { kind, id } = role
                && !self.sets.insert(kind, id, unit)
            {
                let text = "more parameter sets than any stream needs".to_owned();
                return Err(self.units.input.error_at(at, ErrorKind::Malformed(text)));
            }
            self.unit.push(role, unit);
            let claimed = self.unit.len() as u64;
            if claimed > MAX_FRAME_LEN {
                let kind = ErrorKind::TooLarge { what: "an access unit", claimed, limit: MAX_FRAME_LEN };
                return Err(self.units.input.error_at(at, kind));
            }
            if frame.is_some() {
                return Ok(frame);
            }
        }
        Ok(self.unit.has_slice().then(|| self.finish()))
    }
}

fn first_sps(codec: CodecKind, units: &mut Units) -> Result<Sps, ContainerError> {
    for _ in 0..MAX_UNITS_BEFORE_SPS {
        let Some((at, unit)) = units.next()? else { break };
        if let Role::ParameterSet { kind: 1, .. } = units.role(codec, at, unit.clone())? {
            let text = || "a sequence parameter set that cannot be read".to_owned();
            let sps = parameter_sets::sps(codec, &units.buffer[unit]);
            return sps.ok_or_else(|| units.input.error_at(at, ErrorKind::Malformed(text())));
        }
    }
    let text = format!("no sequence parameter set in the {codec:?} stream");
    Err(units.input.error(ErrorKind::Malformed(text)))
}

/// The NAL units of a file, one after the other.
#[derive(Debug)]
struct Units {
    input: Input,
    buffer: Vec<u8>,
    /// Place of the buffer in the file.
    offset: u64,
    /// Where in the buffer the next NAL unit begins, behind its start code.
    start: Option<usize>,
    /// The buffer holds no start code before this place.
    searched: usize,
}

impl Units {
    fn new(input: Input) -> Self {
        Self { input, buffer: Vec::new(), offset: 0, start: None, searched: 0 }
    }

    /// The next NAL unit: its place in the file and in the buffer.
    fn next(&mut self) -> Result<Option<(u64, std::ops::Range<usize>)>, ContainerError> {
        loop {
            if let Some(at) = find_start_code(&self.buffer, self.searched) {
                let unit = self.start.replace(at + 3).map(|start| start..at);
                self.searched = at + 3;
                if let Some(unit) = unit.and_then(|unit| self.trimmed(unit)) {
                    return Ok(Some(unit));
                }
                continue;
            }
            self.searched = self.buffer.len().saturating_sub(2).max(self.searched.min(self.buffer.len()));
            if !self.read()? {
                let last = self.start.take().map(|start| start..self.buffer.len());
                return Ok(last.and_then(|unit| self.trimmed(unit)));
            }
        }
    }

    /// Without the zeros behind it, which are of the stream (H.264 §7.4.1). `None` if nothing remains.
    fn trimmed(&self, unit: std::ops::Range<usize>) -> Option<(u64, std::ops::Range<usize>)> {
        let last = self.buffer[unit.clone()].iter().rposition(|&byte| byte != 0)?;
        Some((self.offset + unit.start as u64, unit.start..unit.start + last + 1))
    }

    /// Appends what follows in the file. False at its end.
    fn read(&mut self) -> Result<bool, ContainerError> {
        let done = self.start.unwrap_or(self.searched);
        self.buffer.drain(..done);
        self.offset += done as u64;
        self.searched -= done;
        self.start = self.start.map(|_| 0);
        let (claimed, limit) = (self.buffer.len() as u64, MAX_FRAME_LEN);
        if claimed > limit {
            return Err(self
                .input
                .error_at(self.offset, ErrorKind::TooLarge { what: "a NAL unit", claimed, limit }));
        }
        let before = self.buffer.len();
        let read = Read::take(&mut self.input, CHUNK_LEN as u64).read_to_end(&mut self.buffer);
        read.map_err(|error| self.input.error(error))?;
        Ok(self.buffer.len() > before)
    }

    fn role(&self, codec: CodecKind, at: u64, unit: std::ops::Range<usize>) -> Result<Role, ContainerError> {
        let unit = &self.buffer[unit];
        nal::role(codec, unit).ok_or_else(|| {
            let first = unit.first().copied().unwrap_or(0);
            let text = format!("an {codec:?} NAL unit of {} bytes that begins with {first:02x}", unit.len());
            self.input.error_at(at, ErrorKind::Malformed(text))
        })
    }
}

/// Where the first `00 00 01` at or behind `from` begins.
fn find_start_code(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 2;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            0 => at += 1,
            1 if bytes[at - 1] == 0 && bytes[at - 2] == 0 => return Some(at - 2),
            _ => at += 3,
        }
    }
    None
}
