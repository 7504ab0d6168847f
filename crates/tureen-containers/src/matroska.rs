//! Matroska and WebM (RFC 9559).

use std::time::Duration;

use matroska_demuxer::{ContentCompAlgo, ContentEncodingValue, DemuxError, MatroskaFile, TrackEntry};
use tureen_rtc::wire::codecs::CodecKind;

use crate::MAX_FRAME_LEN;
use crate::error::{ContainerError, ErrorKind};
use crate::input::{Guard, Input};
use crate::interleave::Interleave;
use crate::samples::Samples;
use crate::source::{Frame, Profile, Reader, Track};
use crate::{codecs, ogg};

pub(crate) struct Matroska {
    name: std::sync::Arc<str>,
    guard: std::sync::Arc<Guard>,
    file: MatroskaFile<Input>,
    block: matroska_demuxer::Frame,
    /// Nanoseconds of one step of a block's time.
    scale: u64,
    tracks: Vec<Track>,
    sources: Vec<BlockTrack>,
    interleave: Interleave,
    /// Longest delay of a codec. It is added to all times, so that none is negative.
    shift: Duration,
    /// Time of the earliest frame.
    base: Duration,
    origin: Duration,
}

/// What is needed for the blocks of a track.
#[derive(Debug)]
struct BlockTrack {
    number: u64,
    samples: Samples,
    /// Bytes that were cut off each block (RFC 9559 §5.1.4.1.31.6, header stripping).
    stripped: Vec<u8>,
    /// RFC 9559 §5.1.4.1.25: how much earlier a block is due than it says.
    delay: Duration,
    default_duration: Option<Duration>,
}

impl std::fmt::Debug for Matroska {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matroska")
            .field("name", &self.name)
            .field("tracks", &self.sources)
            .finish_non_exhaustive()
    }
}

impl Matroska {
    pub(crate) fn open(mut input: Input) -> Result<Self, ContainerError> {
        let name = std::sync::Arc::clone(input.name());
        let guard = input.guarded();
        let file = caught(|| MatroskaFile::open(input)).map_err(|error| demux_error(&name, &guard, error))?;
        let (mut tracks, mut sources, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for entry in file.tracks() {
            match block_track(entry) {
                Ok(Some(source)) => {
                    let size = entry.video().map(|video| (video.pixel_width(), video.pixel_height()));
                    let size = size.and_then(|(width, height)| {
                        Some((u32::try_from(width.get()).ok()?, u32::try_from(height.get()).ok()?))
                    });
                    tracks.push(Track {
                        codec: source.samples.codec(),
                        profile: Profile::Unknown,
                        size,
                        reorders: false,
                    });
                    sources.push(source);
                }
                Ok(None) => others.push(entry.codec_id().escape_debug().to_string()),
                Err(text) => {
                    let text = format!("track {}: {text}", entry.track_number());
                    return Err(ContainerError::new(&name, None, ErrorKind::Malformed(text)));
                }
            }
        }
        if tracks.is_empty() {
            let codecs =
                if others.is_empty() { String::new() } else { format!(", only {}", others.join(", ")) };
            return Err(ContainerError::new(&name, None, ErrorKind::NoTrack(codecs)));
        }
        let shift = sources.iter().map(|source| source.delay).max().unwrap_or_default();
        let mut this = Self {
            name,
            guard,
            scale: file.info().timestamp_scale().get(),
            file,
            block: matroska_demuxer::Frame::default(),
            interleave: Interleave::new(tracks.iter().map(|track| track.codec)),
            tracks,
            sources,
            shift,
            base: Duration::ZERO,
            origin: Duration::ZERO,
        };
        this.fill()?;
        this.look_ahead();
        Ok(this)
    }

    /// Finds what only frames tell: where time begins, profiles, reordering.
    fn look_ahead(&mut self) {
        let firsts = || {
            (0..self.tracks.len())
                .filter_map(|at| Some((at, self.interleave.held(at).map(|frame| frame.time).min()?)))
        };
        let base = firsts().map(|(_, time)| time).min().unwrap_or_default();
        let presented = firsts().map(|(at, time)| time + self.sources[at].delay).min().unwrap_or_default();
        // All times have the shift in them, that of the presentation too.
        (self.base, self.origin) = (base, presented.saturating_sub(base));
        for at in 0..self.tracks.len() {
            let samples = &self.sources[at].samples;
            let first = self.interleave.held(at).next().map(|frame| &frame.data[..]);
            let profile = match samples.codec() {
                CodecKind::Opus => Profile::Opus { channels: self.channels(at) },
                _ => samples.profile(first.unwrap_or_default()),
            };
            let times = || self.interleave.held(at).map(|frame| frame.time);
            let falls = times().zip(times().skip(1)).any(|(time, next)| next < time);
            let reorders = falls || samples.sps().is_some_and(|sps| sps.reorders);
            (self.tracks[at].profile, self.tracks[at].reorders) = (profile, reorders);
        }
    }

    fn channels(&self, at: usize) -> u8 {
        let number = self.sources[at].number;
        let entry = self.file.tracks().iter().find(|entry| entry.track_number().get() == number);
        let channels = entry.and_then(TrackEntry::audio).map_or(1, |audio| audio.channels().get());
        channels.try_into().unwrap_or(u8::MAX)
    }

    fn fill(&mut self) -> Result<(), ContainerError> {
        while self.interleave.wants_more() {
            self.block.duration = None;
            self.guard.renew();
            match caught(|| self.file.next_frame(&mut self.block)) {
                Ok(true) => self.take_block()?,
                Ok(false) => match self.guard.trouble() {
                    Some(text) => {
                        return Err(ContainerError::new(&self.name, None, ErrorKind::Malformed(text)));
                    }
                    None => self.interleave.end(),
                },
                Err(error) => return Err(demux_error(&self.name, &self.guard, error)),
            }
        }
        Ok(())
    }

    fn take_block(&mut self) -> Result<(), ContainerError> {
        let number = self.block.track;
        let Some(at) = self.sources.iter().position(|source| source.number == number) else { return Ok(()) };
        let source = &mut self.sources[at];
        let malformed = |text: String| {
            let text = format!("track {number}, time {}: {text}", self.block.timestamp);
            ContainerError::new(&self.name, None, ErrorKind::Malformed(text))
        };
        let mut sample = source.stripped.clone();
        sample.append(&mut self.block.data);
        if sample.len() as u64 > MAX_FRAME_LEN {
            let (what, claimed) = ("a block", sample.len() as u64);
            return Err(ContainerError::new(
                &self.name,
                None,
                ErrorKind::TooLarge { what, claimed, limit: MAX_FRAME_LEN },
            ));
        }
        let nanos = |steps: u64| steps.checked_mul(self.scale).map(Duration::from_nanos);
        let time = nanos(self.block.timestamp).and_then(|time| time.checked_add(self.shift - source.delay));
        let time = time.ok_or_else(|| malformed("centuries after the start".to_owned()))?;
        let (data, key_frame) = source.samples.frame(sample).map_err(malformed)?;
        let codec = source.samples.codec();
        let duration = match codec {
            CodecKind::Opus => codecs::opus_duration(&data),
            _ => self.block.duration.and_then(nanos).or(source.default_duration),
        };
        let duration = duration.unwrap_or_default();
        self.interleave.push(Frame { track: at, codec, data, time, duration, key_frame });
        Ok(())
    }
}

impl Reader for Matroska {
    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, ContainerError> {
        self.fill()?;
        let frame = self.interleave.pop();
        Ok(frame.map(|frame| Frame { time: frame.time.saturating_sub(self.base), ..frame }))
    }

    fn origin(&self) -> Duration {
        self.origin
    }
}

/// `None` for a codec that WebRTC does not have.
fn block_track(entry: &TrackEntry) -> Result<Option<BlockTrack>, String> {
    let private = entry.codec_private().unwrap_or_default();
    let samples = match entry.codec_id() {
        "V_VP8" => Samples::Frames(CodecKind::Vp8),
        "V_VP9" => Samples::Frames(CodecKind::Vp9),
        "V_AV1" => Samples::av1(private),
        "V_MPEG4/ISO/AVC" => Samples::h264(private)?,
        "V_MPEGH/ISO/HEVC" => Samples::h265(private)?,
        "A_OPUS" => {
            if let Some(head) = private.strip_prefix(b"OpusHead") {
                ogg::Head::read(head)?;
            }
            Samples::Frames(CodecKind::Opus)
        }
        _ => return Ok(None),
    };
    let mut stripped = Vec::new();
    for encoding in entry.content_encodings().unwrap_or_default() {
        match encoding.encoding() {
            ContentEncodingValue::Compression(compression)
                if matches!(compression.algo(), ContentCompAlgo::Stripping) =>
            {
                stripped.splice(0..0, compression.settings().unwrap_or_default().iter().copied());
            }
            other => return Err(format!("compressed or encrypted blocks ({other:?})")),
        }
    }
    Ok(Some(BlockTrack {
        number: entry.track_number().get(),
        samples,
        stripped,
        delay: Duration::from_nanos(entry.codec_delay().unwrap_or(0)).min(MAX_DELAY),
        default_duration: entry.default_duration().map(|nanos| Duration::from_nanos(nanos.get())),
    }))
}

/// Delays of Opus are of some milliseconds.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// Runs the demuxer, whose sums of times and places overflow in files that are made for that: builds that check sums panic.
fn caught<T>(read: impl FnOnce() -> Result<T, DemuxError>) -> Result<T, Option<DemuxError>> {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    result.map_err(|_| None)?.map_err(Some)
}

fn demux_error(name: &std::sync::Arc<str>, guard: &Guard, error: Option<DemuxError>) -> ContainerError {
    let text = match (guard.trouble(), error) {
        (Some(trouble), _) => trouble,
        (None, None) => "a time or place that no number holds".to_owned(),
        (None, Some(error)) => match std::error::Error::source(&error) {
            Some(source) => source.to_string(),
            None => error.to_string(),
        },
    };
    ContainerError::new(name, None, ErrorKind::Malformed(text))
}
