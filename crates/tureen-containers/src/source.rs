//! One interface over all formats.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tureen_rtc::wire::codecs::CodecKind;

use crate::error::{ContainerError, ErrorKind};
use crate::input::Input;
use crate::{annexb, ivf, matroska, mp4, ogg};

/// How a file holds its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Frames of VP8, VP9 or AV1 behind one another, each with length and time.
    Ivf,
    /// Pages of Opus packets (RFC 3533, RFC 7845).
    Ogg,
    /// H264 or H265 in the byte stream format of annex B.
    AnnexB,
    /// Matroska and WebM (RFC 9559).
    Matroska,
    /// MP4 and QuickTime (ISO/IEC 14496-12).
    Mp4,
}

/// What is known of a track besides its frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its codec.
    pub codec: CodecKind,
    /// Which part of the codec a decoder must know.
    pub profile: Profile,
    /// Width and height in pixels, where the file or the stream states them.
    pub size: Option<(u32, u32)>,
    /// The pictures are stored in another order than they are shown (B-frames). WebRTC shows them as they are sent.
    pub reorders: bool,
}

/// Part of a codec that a decoder must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The codec has one only, or the file does not state it.
    Unknown,
    /// `profile-id` of VP9, 0 to 3.
    Vp9(u8),
    /// `profile-level-id` of H264: profile_idc, constraint flags, level_idc.
    H264([u8; 3]),
    /// `profile-id`, `tier-flag` and `level-id` of H265.
    H265 {
        /// 1 is Main, 2 is Main 10.
        profile: u8,
        /// True for the high tier.
        high_tier: bool,
        /// 30 times the level.
        level: u8,
    },
    /// `profile`, `level-idx` and `tier` of AV1.
    Av1 {
        /// 0 is Main.
        profile: u8,
        /// As AV1 §A.3 counts them: 0 is level 2.0.
        level: u8,
        /// True for the high tier.
        high_tier: bool,
    },
    /// Channels of Opus: 1 or 2.
    Opus {
        /// How many.
        channels: u8,
    },
}

/// An encoded frame of video, or a packet of audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its track, as an index into [`Source::tracks`].
    pub track: usize,
    /// The codec of the track.
    pub codec: CodecKind,
    /// The encoded bytes; never empty.
    pub data: Bytes,
    /// When it is due, counted from the earliest frame of the file. It grows from frame to frame of a track.
    pub time: Duration,
    /// Until the next frame of its track is due.
    pub duration: Duration,
    /// A decoder can begin with it. True for each packet of audio.
    pub key_frame: bool,
}

/// How to read what a file does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// Frames a second of an H264 or H265 byte stream, in place of what the stream states. Other formats have times.
    pub frame_rate: Option<f64>,
}

/// A file and the place in it.
#[derive(Debug)]
pub struct Source {
    /// Stays at the start.
    input: Input,
    options: Options,
    format: Format,
    reader: Box<dyn Reader>,
    /// Time of the last frame of each track.
    last: Vec<Option<Duration>>,
}

/// Least step between the times of two frames of a track: each needs an RTP timestamp of its own.
const MIN_STEP: Duration = Duration::from_millis(1);

/// Frames in a row without anything to send, at most. A table of some bytes can describe billions of them.
const MAX_EMPTY_FRAMES: usize = 10_000;

/// What a format does.
pub(crate) trait Reader: std::fmt::Debug + Send {
    fn tracks(&self) -> &[Track];
    fn next_frame(&mut self) -> Result<Option<Frame>, ContainerError>;
    /// Time at which the presentation begins, where earlier frames only prepare the decoder.
    fn origin(&self) -> Duration {
        Duration::ZERO
    }
}

/// Opens a file. Its content counts, not its name.
///
/// # Errors
/// The file cannot be read, is of no known format, or has no track in a codec of WebRTC.
pub fn open(path: impl AsRef<Path>) -> Result<Source, ContainerError> {
    open_with(path, Options::default())
}

/// [`open`] with options.
///
/// # Errors
/// Those of [`open`].
pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Source, ContainerError> {
    Source::new(Input::open(path.as_ref())?, options)
}

/// Reads a file that is in memory; `name` stands in errors.
///
/// # Errors
/// Those of [`open`].
pub fn read(name: &str, bytes: Bytes, options: Options) -> Result<Source, ContainerError> {
    Source::new(Input::memory(name, bytes), options)
}

impl Source {
    fn new(mut input: Input, options: Options) -> Result<Self, ContainerError> {
        let format = recognise(&mut input)?;
        let reader = reader(format, input.again()?, options)?;
        let last = vec![None; reader.tracks().len()];
        Ok(Self { input, options, format, reader, last })
    }

    /// How the file holds its frames.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The tracks in codecs of WebRTC; at least one. Frames of others are skipped.
    pub fn tracks(&self) -> &[Track] {
        self.reader.tracks()
    }

    /// Time at which the presentation begins: [`Frame::time`] counts from the earliest frame, and audio may begin with
    /// packets that only prepare the decoder. Files that belong together are aligned at it.
    pub fn origin(&self) -> Duration {
        self.reader.origin()
    }

    /// The next frame in the order of time; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or contradicts its format. The same place is not read again: go back to the start.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ContainerError> {
        for _ in 0..MAX_EMPTY_FRAMES {
            match self.reader.next_frame()? {
                Some(frame) if frame.data.is_empty() => {}
                Some(mut frame) => {
                    let last = &mut self.last[frame.track];
                    // Pictures that are not shown (VP8's alternative references) have the time of the next one.
                    frame.time = last.map_or(frame.time, |last| frame.time.max(last + MIN_STEP));
                    *last = Some(frame.time);
                    return Ok(Some(frame));
                }
                None => return Ok(None),
            }
        }
        let text = format!("{MAX_EMPTY_FRAMES} frames in a row that have nothing to send");
        Err(ContainerError::new(self.input.name(), None, ErrorKind::Malformed(text)))
    }

    /// Skips frames of all tracks until a key frame of `track`; `None` if there is none before the end.
    ///
    /// # Errors
    /// Those of [`next_frame`](Self::next_frame).
    pub fn next_key_frame(&mut self, track: usize) -> Result<Option<Frame>, ContainerError> {
        while let Some(frame) = self.next_frame()? {
            if frame.track == track && frame.key_frame {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Goes back to the start.
    ///
    /// # Errors
    /// Those of [`open`], if the file has changed.
    pub fn rewind(&mut self) -> Result<(), ContainerError> {
        let reader = reader(self.format, self.input.again()?, self.options)?;
        if reader.tracks() != self.reader.tracks() {
            let message = "the tracks are others than before: the file was replaced".to_owned();
            return Err(self.input.error(ErrorKind::Malformed(message)));
        }
        self.reader = reader;
        self.last.fill(None);
        Ok(())
    }
}

fn recognise(input: &mut Input) -> Result<Format, ContainerError> {
    let start = input.peek(4096)?;
    Ok(match &start[..] {
        [b'D', b'K', b'I', b'F', ..] => Format::Ivf,
        [b'O', b'g', b'g', b'S', ..] => Format::Ogg,
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Format::Matroska,
        start if mp4::recognise(start) => Format::Mp4,
        start if annexb::recognise(start).is_some() => Format::AnnexB,
        start => {
            let first = start.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
            let first = if first.is_empty() { "its end".to_owned() } else { first };
            return Err(input.error(ErrorKind::UnknownFormat(first)));
        }
    })
}

fn reader(format: Format, input: Input, options: Options) -> Result<Box<dyn Reader>, ContainerError> {
    Ok(match format {
        Format::Ivf => Box::new(ivf::Ivf::open(input)?),
        Format::Ogg => Box::new(ogg::OggOpus::open(input)?),
        Format::AnnexB => Box::new(annexb::ByteStream::open(input, options)?),
        Format::Matroska => Box::new(matroska::Matroska::open(input)?),
        Format::Mp4 => Box::new(mp4::Mp4::open(input)?),
    })
}
