//! IVF: a header of 32 bytes, then each frame behind its length and time (as libvpx and libaom write it).

use std::time::Duration;

use tureen_rtc::wire::codecs::CodecKind;

use crate::MAX_FRAME_LEN;
use crate::codecs;
use crate::error::{ContainerError, ErrorKind};
use crate::input::Input;
use crate::source::{Frame, Reader, Track};

/// Time of a frame if the header states no usable time base, in nanoseconds.
const DEFAULT_DURATION: Duration = Duration::from_nanos(1_000_000_000 / 30);

#[derive(Debug)]
pub(crate) struct Ivf {
    input: Input,
    tracks: [Track; 1],
    /// Ticks a second, and how many of them one step of a time has.
    rate: u64,
    scale: u64,
    first: Option<u64>,
    /// The frame whose duration is known when the next one is.
    waiting: Option<Frame>,
    last_duration: Option<Duration>,
}

impl Ivf {
    pub(crate) fn open(mut input: Input) -> Result<Self, ContainerError> {
        let header: [u8; 32] = input.array("the header")?;
        let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let u32_at =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let malformed = |at, text| Err(ContainerError::new(input.name(), at, ErrorKind::Malformed(text)));
        let codec = match &header[8..12] {
            b"VP80" => CodecKind::Vp8,
            b"VP90" => CodecKind::Vp9,
            b"AV01" => CodecKind::Av1,
            other => {
                let codec = format!(": its codec is {}", other.escape_ascii());
                return Err(input.error_at(8, ErrorKind::NoTrack(codec)));
            }
        };
        let (header_len, rate, scale) = (u16_at(6), u32_at(16), u32_at(20));
        if header_len < 32 {
            return malformed(6, format!("a header of {header_len} bytes, which has at least 32"));
        }
        if rate == 0 || scale == 0 {
            return malformed(16, format!("a time base of {scale}/{rate} seconds"));
        }
        input.go_to(header_len.into());
        let size =
            Some((u16_at(12).into(), u16_at(14).into())).filter(|&(width, height)| width != 0 && height != 0);
        let profile = codecs::profile(codec, &first_frame(&mut input)?);
        input.go_to(header_len.into());
        let tracks = [Track { codec, profile, size, reorders: false }];
        let (rate, scale) = (rate.into(), scale.into());
        Ok(Self { input, tracks, rate, scale, first: None, waiting: None, last_duration: None })
    }

    fn read(&mut self) -> Result<Option<Frame>, ContainerError> {
        let (at, data, ticks) = loop {
            if self.input.left() == 0 {
                return Ok(None);
            }
            let at = self.input.position();
            match read_frame(&mut self.input)? {
                // Encoders write them for pictures that they dropped.
                (data, _) if data.is_empty() => {}
                (data, ticks) => break (at, data, ticks),
            }
        };
        let Some(ticks) = ticks.checked_sub(*self.first.get_or_insert(ticks)) else {
            let message = format!("a frame of time {ticks}, before the first one");
            return Err(self.input.error_at(at, ErrorKind::Malformed(message)));
        };
        let nanos = u128::from(ticks) * u128::from(self.scale) * 1_000_000_000 / u128::from(self.rate);
        let Ok(nanos) = u64::try_from(nanos) else {
            let message = format!("a frame of time {ticks}, which is centuries after the first one");
            return Err(self.input.error_at(at, ErrorKind::Malformed(message)));
        };
        let codec = self.tracks[0].codec;
        let key_frame = codecs::is_key_frame(codec, &data);
        let time = Duration::from_nanos(nanos);
        Ok(Some(Frame { track: 0, codec, data: data.into(), time, duration: Duration::ZERO, key_frame }))
    }
}

impl Reader for Ivf {
    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, ContainerError> {
        let mut frame = match self.waiting.take() {
            Some(frame) => frame,
            None => match self.read()? {
                Some(frame) => frame,
                None => return Ok(None),
            },
        };
        let place = self.input.position();
        self.waiting = self.read()?;
        if let Some(next) = &self.waiting {
            let Some(duration) = next.time.checked_sub(frame.time) else {
                let message = format!("a frame of time {:?} behind one of time {:?}", next.time, frame.time);
                return Err(self.input.error_at(place, ErrorKind::Malformed(message)));
            };
            self.last_duration = Some(duration);
        }
        frame.duration = self.last_duration.unwrap_or(DEFAULT_DURATION);
        Ok(Some(frame))
    }
}

fn first_frame(input: &mut Input) -> Result<Vec<u8>, ContainerError> {
    while input.left() > 0 {
        let (data, _) = read_frame(input)?;
        if !data.is_empty() {
            return Ok(data);
        }
    }
    Err(input.error(ErrorKind::Malformed("no frame".to_owned())))
}

fn read_frame(input: &mut Input) -> Result<(Vec<u8>, u64), ContainerError> {
    let [l0, l1, l2, l3, time @ ..]: [u8; 12] = input.array("the header of a frame")?;
    let len = u32::from_le_bytes([l0, l1, l2, l3]);
    Ok((input.piece(len.into(), "a frame", MAX_FRAME_LEN)?, u64::from_le_bytes(time)))
}
