//! MP4 and QuickTime (ISO/IEC 14496-12), also in fragments.

mod boxes;
mod fragments;
mod tables;

use std::time::Duration;

use mp4_atom::{Atom, Elst, Mdhd, Mvhd, Trex};
use tureen_rtc::wire::codecs::CodecKind;

use self::boxes::{Boxes, children, find};
use self::fragments::Fragments;
use self::tables::Tables;
use crate::codecs;
use crate::error::{ContainerError, ErrorKind};
use crate::input::Input;
use crate::samples::Samples;
use crate::source::{Frame, Profile, Reader, Track};
use crate::{MAX_FRAME_LEN, ogg};

/// Longest description of a file (`moov`, `moof`), in bytes: about four million samples.
const MAX_DESCRIPTION_LEN: u64 = 32 << 20;
/// Tracks of a file, at most.
const MAX_TRACKS: usize = 64;

/// True for the first bytes of a file of this format: a box of a kind that files begin with.
pub(crate) fn recognise(start: &[u8]) -> bool {
    start.get(4..8).is_some_and(|kind| {
        matches!(
            kind,
            b"ftyp" | b"styp" | b"moov" | b"moof" | b"mdat" | b"free" | b"skip" | b"wide" | b"pnot"
        )
    })
}

/// Where a sample is and when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    offset: u64,
    len: u32,
    /// In steps of the track's time.
    decode_time: u64,
    duration: u32,
    /// What is added to show the picture.
    composition: i64,
}

#[derive(Debug)]
pub(crate) struct Mp4 {
    input: Input,
    tracks: Vec<Track>,
    sources: Vec<SampleTrack>,
    fragments: Fragments,
    origin: Duration,
    /// Added to all times, so that the earliest is zero.
    shift: i128,
}

#[derive(Debug)]
struct SampleTrack {
    id: u32,
    samples: Samples,
    tables: Tables,
    /// Steps of time a second.
    timescale: u32,
    /// Nanoseconds between the first decoding time and the presentation, by edit list and composition.
    delay: i128,
    /// What fragments do not repeat.
    defaults: Option<Trex>,
}

impl Mp4 {
    pub(crate) fn open(mut input: Input) -> Result<Self, ContainerError> {
        let moov_at = find_moov(&mut input)?;
        let moov = input.piece(moov_at.len, "the description of the file", MAX_DESCRIPTION_LEN)?;
        let malformed = |text: String| input.error_at(moov_at.body, ErrorKind::Malformed(text));
        let (mut tracks, mut sources, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (kind, body) in children(&moov) {
            if kind != *b"trak" {
                continue;
            }
            match sample_track(body, &moov).map_err(malformed)? {
                Ok((track, source)) => {
                    tracks.push(track);
                    sources.push(source);
                }
                Err(codec) => others.push(codec),
            }
            if tracks.len() + others.len() > MAX_TRACKS {
                return Err(malformed(format!("more than {MAX_TRACKS} tracks")));
            }
        }
        if tracks.is_empty() {
            let codecs =
                if others.is_empty() { String::new() } else { format!(", only {}", others.join(", ")) };
            return Err(input.error_at(moov_at.body, ErrorKind::NoTrack(codecs)));
        }
        let fragments = Fragments::new(find(&moov, b"mvex").map(|_| 0), sources.len());
        let mut this = Self { input, tracks, sources, fragments, origin: Duration::ZERO, shift: 0 };
        this.look_ahead()?;
        Ok(this)
    }

    /// Finds what only samples tell: where time begins, and the profile of VP9.
    fn look_ahead(&mut self) -> Result<(), ContainerError> {
        let mut earliest: Option<i128> = None;
        for at in 0..self.sources.len() {
            let Some(sample) = self.peek(at)? else { continue };
            let source = &mut self.sources[at];
            source.delay += nanos(sample.composition.into(), source.timescale);
            let start = nanos(sample.decode_time.into(), source.timescale) + source.delay;
            earliest = Some(earliest.map_or(start, |earliest| earliest.min(start)));
            if self.tracks[at].profile == Profile::Unknown {
                let first = self.read(at, sample)?;
                self.tracks[at].profile = self.sources[at].samples.profile(&first);
            }
        }
        let earliest = earliest.unwrap_or(0);
        self.shift = -earliest;
        self.origin = duration(-earliest.min(0));
        Ok(())
    }

    fn peek(&mut self, at: usize) -> Result<Option<Sample>, ContainerError> {
        if let Some(sample) = self.sources[at].tables.peek() {
            return Ok(Some(sample));
        }
        self.fragments.fill(&mut self.input, &self.sources)?;
        Ok(self.fragments.peek(at))
    }

    fn read(&mut self, at: usize, sample: Sample) -> Result<Vec<u8>, ContainerError> {
        let place = sample.offset;
        if place > self.input.len() {
            let text = format!("track {}: a sample at byte {place}, behind the end", self.sources[at].id);
            return Err(self.input.error(ErrorKind::Malformed(text)));
        }
        self.input.go_to(place);
        self.input.piece(sample.len.into(), "a sample", MAX_FRAME_LEN)
    }
}

impl Reader for Mp4 {
    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, ContainerError> {
        let mut next: Option<(i128, usize, Sample)> = None;
        for at in 0..self.sources.len() {
            let Some(sample) = self.peek(at)? else { continue };
            let source = &self.sources[at];
            let time = nanos(sample.decode_time.into(), source.timescale) + source.delay;
            if next.is_none_or(|(earliest, ..)| time < earliest) {
                next = Some((time, at, sample));
            }
        }
        let Some((time, at, sample)) = next else { return Ok(None) };
        if self.sources[at].tables.next().is_none() {
            self.fragments.next(at);
        }
        let bytes = self.read(at, sample)?;
        let source = &mut self.sources[at];
        let codec = source.samples.codec();
        let (data, key_frame) = source.samples.frame(bytes).map_err(|text| {
            let text = format!("track {}: {text}", source.id);
            self.input.error_at(sample.offset, ErrorKind::Malformed(text))
        })?;
        let stated = duration(nanos(sample.duration.into(), source.timescale));
        let duration_of_packet = Some(codec).filter(|&codec| codec == CodecKind::Opus);
        let length = duration_of_packet.and_then(|_| codecs::opus_duration(&data)).unwrap_or(stated);
        let time = duration(time + self.shift);
        Ok(Some(Frame { track: at, codec, data, time, duration: length, key_frame }))
    }

    fn origin(&self) -> Duration {
        self.origin
    }
}

/// Where a box begins, and place and length of its content.
#[derive(Clone, Copy)]
struct Place {
    at: u64,
    body: u64,
    len: u64,
}

fn find_moov(input: &mut Input) -> Result<Place, ContainerError> {
    let mut boxes = Boxes::default();
    while let Some((kind, place)) = boxes.next(input)? {
        if kind == *b"moov" {
            input.go_to(place.body);
            return Ok(place);
        }
    }
    Err(input.error(ErrorKind::Malformed("no moov box, which describes the tracks".to_owned())))
}

/// Reads a `trak` box. The inner error is a codec that WebRTC does not have.
fn sample_track(trak: &[u8], moov: &[u8]) -> Result<Result<(Track, SampleTrack), String>, String> {
    let mdia = find(trak, b"mdia").ok_or("a track without mdia box")?;
    let minf = find(mdia, b"minf").ok_or("a track without minf box")?;
    let stbl = find(minf, b"stbl").ok_or("a track without stbl box")?;
    let tkhd = find(trak, b"tkhd").ok_or("a track without tkhd box")?;
    // ISO/IEC 14496-12 §8.3.2: version 1 has times of eight bytes in front of the identifier.
    let id_at = if tkhd.first() == Some(&1) { 20 } else { 12 };
    let id = tkhd.get(id_at..id_at + 4).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes);
    let id = id.ok_or("a tkhd box that is cut off")?;
    let context = |text: String| format!("track {id}: {text}");
    let Mdhd { timescale, .. } =
        boxes::decode(mdia, b"mdhd").map_err(context)?.ok_or(context("no mdhd box".to_owned()))?;
    if timescale == 0 {
        return Err(context("a time scale of 0".to_owned()));
    }
    let entry = find(stbl, b"stsd").and_then(|stsd| children(stsd.get(8..)?).next());
    let (kind, entry) = entry.ok_or(context("no sample description".to_owned()))?;
    let Some((samples, size, profile)) = description(kind, entry).map_err(context)? else {
        return Ok(Err(kind.escape_ascii().to_string()));
    };
    let tables = Tables::read(stbl).map_err(context)?;
    let sps = samples.sps();
    let reorders = tables.reorders() || sps.is_some_and(|sps| sps.reorders);
    let profile = sps.map_or(profile, |sps| sps.profile);
    let track = Track { codec: samples.codec(), profile, size, reorders };
    let mvex = find(moov, b"mvex").unwrap_or_default();
    let defaults = children(mvex)
        .filter(|(kind, _)| kind == b"trex")
        .filter_map(|(_, body)| Trex::decode_body(&mut &body[..]).ok())
        .find(|trex| trex.track_id == id);
    let delay = edit_delay(trak, moov, timescale).map_err(context)?;
    Ok(Ok((track, SampleTrack { id, samples, tables, timescale, delay, defaults })))
}

/// Codec, size and profile of a sample entry; nothing for a codec that WebRTC does not have.
#[expect(clippy::type_complexity, reason = "one caller takes it apart")]
fn description(
    kind: [u8; 4],
    entry: &[u8],
) -> Result<Option<(Samples, Option<(u32, u32)>, Profile)>, String> {
    // ISO/IEC 14496-12 §12.1.3, §12.2.3: what all entries of video and of audio begin with.
    let (visual, audio) = (entry.get(78..).unwrap_or_default(), entry.get(28..).unwrap_or_default());
    let size = || match *entry {
        [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, w0, w1, h0, h1, ..] => {
            Some((u16::from_be_bytes([w0, w1]).into(), u16::from_be_bytes([h0, h1]).into()))
        }
        _ => None,
    };
    let config = |name: &[u8; 4]| {
        find(visual, name).ok_or_else(|| format!("a description without {} box", name.escape_ascii()))
    };
    Ok(Some(match &kind {
        b"avc1" | b"avc3" => (Samples::h264(config(b"avcC")?)?, size(), Profile::Unknown),
        b"hvc1" | b"hev1" => (Samples::h265(config(b"hvcC")?)?, size(), Profile::Unknown),
        b"vp08" => (Samples::Frames(CodecKind::Vp8), size(), Profile::Unknown),
        b"vp09" => (Samples::Frames(CodecKind::Vp9), size(), Profile::Unknown),
        b"av01" => (Samples::av1(config(b"av1C")?), size(), Profile::Unknown),
        b"Opus" => {
            let head = find(audio, b"dOps").ok_or("a description of Opus without dOps box")?;
            let head = ogg::Head::read_box(head)?;
            (Samples::Frames(CodecKind::Opus), None, Profile::Opus { channels: head.channels })
        }
        _ => return Ok(None),
    }))
}

/// Nanoseconds by which an edit list delays a track (ISO/IEC 14496-12 §8.6.6); negative if it skips its beginning.
fn edit_delay(trak: &[u8], moov: &[u8], timescale: u32) -> Result<i128, String> {
    let Some(edts) = find(trak, b"edts") else { return Ok(0) };
    let Some(Elst { entries }) = boxes::decode(edts, b"elst")? else { return Ok(0) };
    let mvhd: Option<Mvhd> = boxes::decode(moov, b"mvhd")?;
    let movie_scale = mvhd.map_or(0, |mvhd| mvhd.timescale).max(1);
    let mut delay = 0;
    for entry in entries {
        match entry.media_time {
            None => delay += nanos(entry.segment_duration.into(), movie_scale),
            Some(start) => return Ok(delay - nanos(start.into(), timescale)),
        }
    }
    Ok(delay)
}

fn nanos(steps: i128, timescale: u32) -> i128 {
    steps * 1_000_000_000 / i128::from(timescale)
}

/// Of nanoseconds; none is negative, and none longer than five centuries.
fn duration(nanos: i128) -> Duration {
    Duration::from_nanos(nanos.clamp(0, u64::MAX.into()) as u64)
}
