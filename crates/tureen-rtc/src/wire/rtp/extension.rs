//! RTP header extensions: their negotiated ids, scopes and values.
//!
//! [`Extension`] lists all extensions, and `FORWARDED` those that are forwarded with the packet.

use std::num::NonZeroU8;
use std::ops::{Index, IndexMut};
use std::time::Duration;

use tureen_types::rtp_parameters::RtpHeaderExtensionParameters;
pub use tureen_types::rtp_parameters::RtpHeaderExtensionUri as Extension;

use crate::wire::rtcp::NtpTime;

/// Extensions that are forwarded with the packet. The others describe one hop, and are written by each sender.
pub(crate) const FORWARDED: [Extension; 7] = [
    Extension::SsrcAudioLevel,
    Extension::VideoOrientation,
    Extension::TimeOffset,
    Extension::AbsCaptureTime,
    Extension::PlayoutDelay,
    Extension::DependencyDescriptor,
    Extension::MediasoupPacketId,
];

/// Negotiated ids of one stream or transport, by extension (mediasoup's `HeaderExtensionIds`). `None` represents an
/// extension that was not negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionIds([Option<NonZeroU8>; Extension::ALL.len()]);

impl ExtensionIds {
    /// Ids of the header extensions in RTP parameters. Ids that RFC 8285 does not allow (0, above 255) count as not
    /// negotiated.
    pub fn new(extensions: &[RtpHeaderExtensionParameters]) -> Self {
        let mut ids = Self::default();
        for extension in extensions {
            ids[extension.uri] = u8::try_from(extension.id).ok().and_then(NonZeroU8::new);
        }
        ids
    }

    /// Returns the same ids with that of one extension replaced.
    #[must_use]
    pub const fn with(mut self, extension: Extension, id: Option<NonZeroU8>) -> Self {
        self.0[extension as usize] = id;
        self
    }

    /// Replaces the ids of the extensions that are negotiated in `newer`.
    pub fn update(&mut self, newer: &Self) {
        for (id, newer) in self.0.iter_mut().zip(newer.0) {
            *id = newer.or(*id);
        }
    }

    /// Forwarded extension with this id.
    #[inline]
    pub fn forwarded(&self, id: NonZeroU8) -> Option<Extension> {
        FORWARDED.iter().copied().find(|&extension| self[extension] == Some(id))
    }
}

impl Index<Extension> for ExtensionIds {
    type Output = Option<NonZeroU8>;

    #[inline]
    fn index(&self, extension: Extension) -> &Option<NonZeroU8> {
        &self.0[extension as usize]
    }
}

impl IndexMut<Extension> for ExtensionIds {
    fn index_mut(&mut self, extension: Extension) -> &mut Option<NonZeroU8> {
        &mut self.0[extension as usize]
    }
}

/// Value of an extension element; see [`super::RtpHeader::read`].
pub trait ExtensionValue<'a>: Sized {
    /// Parses the value; `None` if the length or content of `bytes` is invalid.
    fn read(bytes: &'a [u8]) -> Option<Self>;
}

/// A MID, RID or repaired RID: printable ASCII, 1–255 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaId<'a>(pub &'a str);

impl<'a> ExtensionValue<'a> for MediaId<'a> {
    /// The bytes from the first NUL on are ignored, because some senders pad with NULs to keep a constant length.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let text = bytes.split(|&byte| byte == 0).next()?;
        if text.is_empty() || !text.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        std::str::from_utf8(text).ok().map(MediaId)
    }
}

/// Time at which a packet left its sender: seconds as 6.18 fixed point, so that the value wraps every 64 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsSendTime(u32);

impl AbsSendTime {
    /// Creates the time from a raw 24-bit value; higher bits are cut off.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & 0x00ff_ffff)
    }

    /// Raw 24-bit value.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Converts the time since any fixed instant, rounded to the nearest 1/2¹⁸ of a second.
    pub fn from_duration(time: Duration) -> Self {
        let ticks = ((time.as_nanos() << 18) + 500_000_000) / 1_000_000_000;
        Self::from_bits(ticks as u32)
    }

    /// Time within the current period of 64 seconds.
    #[cfg(test)]
    fn to_duration(self) -> Duration {
        Duration::from_nanos((u64::from(self.0) * 1_000_000_000 + (1 << 17)) >> 18)
    }

    /// Extension value.
    pub fn to_bytes(self) -> [u8; 3] {
        let [_, bytes @ ..] = self.0.to_be_bytes();
        bytes
    }
}

impl ExtensionValue<'_> for AbsSendTime {
    fn read(bytes: &[u8]) -> Option<Self> {
        let &[high, middle, low] = bytes else { return None };
        Some(Self(u32::from_be_bytes([0, high, middle, low])))
    }
}

/// Sequence number over all packets of a transport (transport-wide congestion control).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportSequenceNumber(pub u16);

impl TransportSequenceNumber {
    /// Extension value.
    pub fn to_bytes(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }
}

impl ExtensionValue<'_> for TransportSequenceNumber {
    /// The second version of the extension appends a 16-bit feedback request, which is ignored.
    fn read(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [high, low] | [high, low, _, _] => Some(Self(u16::from_be_bytes([high, low]))),
            _ => None,
        }
    }
}

/// Loudness of the audio in a packet (RFC 6464).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// −dBov: 0 is the loudest, 127 is silence.
    pub level: u8,
    /// True if the sender has detected voice.
    pub voice: bool,
}

impl AudioLevel {
    /// Extension value; levels above 127 are cut to 127.
    pub fn to_bytes(self) -> [u8; 1] {
        [u8::from(self.voice) << 7 | self.level.min(127)]
    }
}

impl ExtensionValue<'_> for AudioLevel {
    /// RFC 6464 §3: in the two-byte form a padding byte may follow.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (&[byte] | &[byte, _]) = bytes else { return None };
        Some(Self { level: byte & 0x7f, voice: byte & 0x80 != 0 })
    }
}

/// Orientation by which a receiver rotates the picture before display (CVO, 3GPP TS 26.114 §7.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoOrientation {
    /// True for a back-facing camera; false for a front-facing or unknown one.
    pub back_camera: bool,
    /// True if the picture is mirrored horizontally.
    pub flip: bool,
    /// Clockwise rotation as the extension counts it: quarter turns, 0–3.
    pub quarter_turns: u8,
}

impl VideoOrientation {
    /// Rotation in degrees: 0, 90, 180 or 270.
    pub fn rotation(self) -> u16 {
        u16::from(self.quarter_turns & 3) * 90
    }

    /// Extension value.
    pub fn to_bytes(self) -> [u8; 1] {
        [u8::from(self.back_camera) << 3 | u8::from(self.flip) << 2 | self.quarter_turns & 3]
    }
}

impl ExtensionValue<'_> for VideoOrientation {
    fn read(bytes: &[u8]) -> Option<Self> {
        let &[byte] = bytes else { return None };
        Some(Self { back_camera: byte & 8 != 0, flip: byte & 4 != 0, quarter_turns: byte & 3 })
    }
}

/// Transmission time relative to the RTP timestamp, in units of the codec's clock rate, signed 24 bits (RFC 5450).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOffset(pub i32);

impl TimeOffset {
    /// Extension value: the low 24 bits.
    pub fn to_bytes(self) -> [u8; 3] {
        let [_, bytes @ ..] = self.0.to_be_bytes();
        bytes
    }
}

impl ExtensionValue<'_> for TimeOffset {
    fn read(bytes: &[u8]) -> Option<Self> {
        let &[high, middle, low] = bytes else { return None };
        Some(Self(i32::from_be_bytes([high, middle, low, 0]) >> 8))
    }
}

/// Time at which the media was captured, by the capturer's clock (abs-capture-time).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsCaptureTime {
    /// Capture time.
    pub timestamp: NtpTime,
    /// Offset that a mixer adds to its own clock to get the capturer's: signed 32.32 fixed point seconds.
    pub estimated_clock_offset: Option<i64>,
}

impl AbsCaptureTime {
    /// Writes the extension value at the start of `buffer` and returns it: 8 bytes, 16 with an offset.
    pub fn write(self, buffer: &mut [u8; 16]) -> &[u8] {
        let offset = self.estimated_clock_offset.unwrap_or_default() as u64;
        *buffer = (u128::from(self.timestamp.0) << 64 | u128::from(offset)).to_be_bytes();
        if self.estimated_clock_offset.is_some() { &buffer[..] } else { &buffer[..8] }
    }
}

impl ExtensionValue<'_> for AbsCaptureTime {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (timestamp, rest) = bytes.split_first_chunk()?;
        let estimated_clock_offset = match rest.len() {
            0 => None,
            _ => Some(i64::from_be_bytes(rest.try_into().ok()?)),
        };
        Some(Self { timestamp: NtpTime(u64::from_be_bytes(*timestamp)), estimated_clock_offset })
    }
}

/// Limits of the playout delay requested by the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayoutDelay {
    /// Minimum delay.
    pub min: Duration,
    /// Maximum delay.
    pub max: Duration,
}

impl PlayoutDelay {
    /// Largest delay that the extension can express: 40.95 seconds.
    pub const MAX: Duration = Duration::from_millis(4095 * 10);

    /// Extension value: 12 bits for each limit, in steps of 10 ms; longer delays are cut to [`Self::MAX`].
    pub fn to_bytes(self) -> [u8; 3] {
        let steps = |delay: Duration| (delay.min(Self::MAX).as_millis() / 10) as u32;
        let [_, bytes @ ..] = (steps(self.min) << 12 | steps(self.max)).to_be_bytes();
        bytes
    }
}

impl ExtensionValue<'_> for PlayoutDelay {
    /// A minimum above the maximum is invalid.
    fn read(bytes: &[u8]) -> Option<Self> {
        let &[high, middle, low] = bytes else { return None };
        let bits = u64::from(u32::from_be_bytes([0, high, middle, low]));
        let min = Duration::from_millis((bits >> 12) * 10);
        let max = Duration::from_millis((bits & 0xfff) * 10);
        (min <= max).then_some(Self { min, max })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::RtpHeader;
    use super::*;

    #[test]
    fn typed_values_are_read_by_negotiated_id() {
        let packet =
            [0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0, 2, 0x11, b'a', b'0', 0x32, 1, 2, 3, 0];
        let header = RtpHeader::parse(&packet).unwrap();
        let ids = ExtensionIds::default()
            .with(Extension::Mid, NonZeroU8::new(1))
            .with(Extension::RtpStreamId, NonZeroU8::new(2));
        assert_eq!(header.read(&packet, ids[Extension::Mid]), Some(MediaId("a0")));
        assert_eq!(header.read::<MediaId<'_>>(&packet, ids[Extension::RtpStreamId]), None, "absent");
        assert_eq!(header.read::<AbsSendTime>(&packet, ids[Extension::AbsSendTime]), None, "not negotiated");
        assert_eq!(header.read(&packet, NonZeroU8::new(3)), Some(AbsSendTime::from_bits(0x010203)));
        assert_eq!(header.read::<AudioLevel>(&packet, NonZeroU8::new(3)), None, "wrong length");
    }

    #[test]
    fn ids_table_is_compact() {
        assert_eq!(size_of::<ExtensionIds>(), 12);
    }

    #[test]
    fn ids_are_those_of_the_parameters() {
        let extension = |uri, id| RtpHeaderExtensionParameters { uri, id, encrypt: false };
        let ids = ExtensionIds::new(&[
            extension(Extension::Mid, 1),
            extension(Extension::PlayoutDelay, 0),
            extension(Extension::TimeOffset, 256),
        ]);
        assert_eq!(ids, ExtensionIds::default().with(Extension::Mid, NonZeroU8::new(1)));
    }

    #[test]
    fn newer_ids_replace_older_ones() {
        let id = NonZeroU8::new;
        let mut ids = ExtensionIds::default().with(Extension::Mid, id(1)).with(Extension::AbsSendTime, id(2));
        let newer = ExtensionIds::default().with(Extension::AbsSendTime, id(3));
        ids.update(&newer);
        assert_eq!(ids, newer.with(Extension::Mid, id(1)));
    }

    #[test]
    fn extensions_of_one_hop_are_not_forwarded() {
        let one_hop = [
            Extension::Mid,
            Extension::RtpStreamId,
            Extension::RepairRtpStreamId,
            Extension::AbsSendTime,
            Extension::TransportWideCcDraft01,
        ];
        let id = NonZeroU8::new(7).unwrap();
        for &extension in Extension::ALL {
            let ids = ExtensionIds::default().with(extension, Some(id));
            assert_eq!(ids.forwarded(id), Some(extension).filter(|extension| !one_hop.contains(extension)));
        }
    }

    #[test]
    fn media_ids_are_printable_and_end_at_nul() {
        assert_eq!(MediaId::read(b"video-1"), Some(MediaId("video-1")));
        assert_eq!(MediaId::read(b"r0\0\0"), Some(MediaId("r0")));
        for bad in [&b""[..], b"\0a", b"a b", b"\xc3\xa9", b"a\x07"] {
            assert_eq!(MediaId::read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn abs_send_time_is_six_eighteen_fixed_point_and_wraps_at_64_seconds() {
        assert_eq!(AbsSendTime::from_duration(Duration::from_secs(1)).to_bytes(), [0x04, 0, 0]);
        assert_eq!(AbsSendTime::from_duration(Duration::from_millis(500)).bits(), 1 << 17);
        assert_eq!(AbsSendTime::from_duration(Duration::from_secs(64)).bits(), 0);
        assert_eq!(AbsSendTime::from_duration(Duration::from_secs(65 + 64 * 1_000_000)).bits(), 1 << 18);
        assert_eq!(AbsSendTime::from_bits(0xffff_ffff).bits(), 0xff_ffff);
        assert_eq!(AbsSendTime::from_bits(3 << 17).to_duration(), Duration::from_millis(1500));
        // A nanosecond below the wrap rounds to zero.
        assert_eq!(AbsSendTime::from_duration(Duration::new(63, 999_999_999)).bits(), 0);
    }

    #[test]
    fn audio_level_has_voice_in_the_top_bit() {
        assert_eq!(AudioLevel::read(&[0x80 | 42]), Some(AudioLevel { level: 42, voice: true }));
        assert_eq!(AudioLevel::read(&[127]), Some(AudioLevel { level: 127, voice: false }));
        assert_eq!(AudioLevel { level: 200, voice: false }.to_bytes(), [127]);
    }

    #[test]
    fn video_orientation_bits() {
        let read = VideoOrientation::read(&[0b1110]).unwrap();
        assert_eq!(read, VideoOrientation { back_camera: true, flip: true, quarter_turns: 2 });
        assert_eq!(read.rotation(), 180);
        assert_eq!(VideoOrientation::read(&[3]).unwrap().rotation(), 270);
    }

    #[test]
    fn time_offset_is_signed() {
        assert_eq!(TimeOffset::read(&[0xff, 0xff, 0xfe]), Some(TimeOffset(-2)));
        assert_eq!(TimeOffset::read(&[0x7f, 0xff, 0xff]), Some(TimeOffset(0x7f_ffff)));
        assert_eq!(TimeOffset(-2).to_bytes(), [0xff, 0xff, 0xfe]);
    }

    #[test]
    fn capture_time_has_an_optional_offset() {
        let mut buffer = [0; 16];
        for (offset, len) in [(None, 8), (Some(-5), 16)] {
            let time =
                AbsCaptureTime { timestamp: NtpTime(0x0123_4567_89ab_cdef), estimated_clock_offset: offset };
            let bytes = time.write(&mut buffer);
            assert_eq!(bytes.len(), len);
            assert_eq!(AbsCaptureTime::read(bytes), Some(time));
        }
        assert_eq!(AbsCaptureTime::read(&[0; 12]), None);
    }

    #[test]
    fn playout_delay_is_in_steps_of_ten_milliseconds() {
        let delay = PlayoutDelay { min: Duration::from_millis(20), max: Duration::from_secs(60) };
        assert_eq!(delay.to_bytes(), [0x00, 0x2f, 0xff]);
        let read = PlayoutDelay::read(&[0x00, 0x2f, 0xff]).unwrap();
        assert_eq!((read.min, read.max), (Duration::from_millis(20), PlayoutDelay::MAX));
        assert_eq!(PlayoutDelay::read(&[0x00, 0x20, 0x01]), None, "minimum above maximum");
    }

    #[test]
    fn sequence_number_of_the_second_version_is_read() {
        assert_eq!(TransportSequenceNumber::read(&[1, 2]), Some(TransportSequenceNumber(0x0102)));
        assert_eq!(TransportSequenceNumber::read(&[1, 2, 0x80, 9]), Some(TransportSequenceNumber(0x0102)));
        assert_eq!(TransportSequenceNumber::read(&[1, 2, 3]), None);
    }

    proptest! {
        #[test]
        fn values_round_trip(bits: u32, short: u16, level in 0u8..128, voice: bool, turns in 0u8..4, flip: bool) {
            let time = AbsSendTime::from_bits(bits);
            prop_assert_eq!(AbsSendTime::read(&time.to_bytes()), Some(time));
            prop_assert_eq!(AbsSendTime::from_duration(time.to_duration()), time);
            let number = TransportSequenceNumber(short);
            prop_assert_eq!(TransportSequenceNumber::read(&number.to_bytes()), Some(number));
            let audio = AudioLevel { level, voice };
            prop_assert_eq!(AudioLevel::read(&audio.to_bytes()), Some(audio));
            let orientation = VideoOrientation { back_camera: voice, flip, quarter_turns: turns };
            prop_assert_eq!(VideoOrientation::read(&orientation.to_bytes()), Some(orientation));
            let offset = TimeOffset((bits as i32) >> 8);
            prop_assert_eq!(TimeOffset::read(&offset.to_bytes()), Some(offset));
        }

        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            let _ = MediaId::read(&bytes);
            let _ = AbsSendTime::read(&bytes);
            let _ = TransportSequenceNumber::read(&bytes);
            let _ = AudioLevel::read(&bytes);
            let _ = VideoOrientation::read(&bytes);
            let _ = TimeOffset::read(&bytes);
            let _ = AbsCaptureTime::read(&bytes);
            let _ = PlayoutDelay::read(&bytes);
        }
    }
}
