//! Ogg with Opus (RFC 3533, RFC 7845).

use std::collections::VecDeque;
use std::time::Duration;

use ogg::reading::{BasePacketReader, OggReadError, PageParser};
use tureen_rtc::wire::codecs::CodecKind;

use crate::codecs;
use crate::error::{ContainerError, ErrorKind};
use crate::input::Input;
use crate::source::{Frame, Profile, Reader, Track};

/// RFC 7845 §4: granule positions count samples of 48 kHz.
const RATE: u64 = 48_000;
/// Longest packet over several pages, in bytes. RFC 7845 §6 advises at least 61440 bytes for an audio packet; the
/// comment header may hold pictures.
const MAX_PACKET_LEN: usize = 4 << 20;
const PAGE_HEADER_LEN: usize = 27;

/// Longest hole between two pages, in samples: an hour. A later position is taken for an error.
const MAX_HOLE: u64 = 3600 * RATE;

/// The first Opus stream of a file, and those that are chained behind it.
pub(crate) struct OggOpus {
    input: Input,
    packets: BasePacketReader,
    tracks: [Track; 1],
    serial: u32,
    stage: Stage,
    /// Bytes of the packet that the last page did not end.
    unfinished: usize,
    /// Packets of the page that was read last.
    ready: VecDeque<Frame>,
    /// Samples until the next packet, counted from the first one of the file.
    samples: u64,
    /// What granule positions of the present stream exceed `samples` by; known behind its first page of audio.
    granule_offset: Option<u64>,
    pre_skip: u16,
}

impl std::fmt::Debug for OggOpus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OggOpus")
            .field("input", &self.input)
            .field("samples", &self.samples)
            .finish_non_exhaustive()
    }
}

/// What comes next in the stream (RFC 7845 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Another stream, chained behind the last one.
    Head,
    Comments,
    Audio,
}

/// What the header of a page states (RFC 3533 §6).
struct Page {
    at: u64,
    header: [u8; PAGE_HEADER_LEN],
    segments: Vec<u8>,
    body: Vec<u8>,
}

impl Page {
    fn begins_stream(&self) -> bool {
        self.header[5] & 0x02 != 0
    }

    fn ends_stream(&self) -> bool {
        self.header[5] & 0x04 != 0
    }

    /// Samples until the end of the last packet that ends in the page (RFC 7845 §4).
    fn granule(&self) -> Option<u64> {
        let [_, _, _, _, _, _, granule @ .., _, _, _, _, _, _, _, _, _, _, _, _, _] = self.header;
        Some(u64::from_le_bytes(granule)).filter(|&granule| granule != u64::MAX)
    }

    fn serial(&self) -> u32 {
        u32::from_le_bytes([self.header[14], self.header[15], self.header[16], self.header[17]])
    }
}

impl OggOpus {
    pub(crate) fn open(mut input: Input) -> Result<Self, ContainerError> {
        let (serial, head) = loop {
            if input.left() == 0 {
                return Err(input.error(ErrorKind::NoTrack(": no Opus stream begins in it".to_owned())));
            }
            let page = read_page(&mut input)?;
            if !page.begins_stream() {
                let text = ": none of its streams is Opus".to_owned();
                return Err(input.error_at(page.at, ErrorKind::NoTrack(text)));
            }
            if let Some(head) = page.body.strip_prefix(b"OpusHead") {
                break (
                    page.serial(),
                    Head::read(head).map_err(|text| input.error_at(page.at, ErrorKind::Malformed(text)))?,
                );
            }
        };
        let profile = Profile::Opus { channels: head.channels };
        let tracks = [Track { codec: CodecKind::Opus, profile, size: None, reorders: false }];
        input.go_to(0);
        Ok(Self {
            input,
            packets: BasePacketReader::new(),
            tracks,
            serial,
            stage: Stage::Head,
            unfinished: 0,
            ready: VecDeque::new(),
            samples: 0,
            granule_offset: None,
            pre_skip: head.pre_skip,
        })
    }

    /// Reads the next page of the stream and the packets that end in it. False at the end of the file.
    fn read_packets(&mut self) -> Result<bool, ContainerError> {
        if self.input.left() == 0 {
            return Ok(false);
        }
        let page = read_page(&mut self.input)?;
        if page.begins_stream() && self.stage == Stage::Head && page.body.starts_with(b"OpusHead") {
            self.serial = page.serial();
        }
        if page.serial() != self.serial {
            return Ok(true);
        }
        self.count_unfinished(&page)?;
        let (at, granule, ends) = (page.at, page.granule(), page.ends_stream());
        self.push(page)?;
        let mut audio = Vec::new();
        while let Some(packet) = self.packets.read_packet() {
            audio.extend(self.take_packet(at, packet.data)?);
        }
        self.schedule(at, granule, audio)?;
        if ends {
            self.stage = Stage::Head;
            self.granule_offset = None;
            self.packets = BasePacketReader::new();
            self.unfinished = 0;
        }
        Ok(true)
    }

    /// RFC 3533 §6: a segment of 255 bytes goes on in the next one.
    fn count_unfinished(&mut self, page: &Page) -> Result<(), ContainerError> {
        match page.segments.iter().rposition(|&len| len < 255) {
            Some(last) => self.unfinished = 255 * (page.segments.len() - last - 1),
            None => self.unfinished += 255 * page.segments.len(),
        }
        if self.unfinished > MAX_PACKET_LEN {
            let (claimed, limit) = (self.unfinished as u64, MAX_PACKET_LEN as u64);
            return Err(self
                .input
                .error_at(page.at, ErrorKind::TooLarge { what: "a packet", claimed, limit }));
        }
        Ok(())
    }

    fn push(&mut self, page: Page) -> Result<(), ContainerError> {
        let at = page.at;
        let pushed = PageParser::new(page.header).and_then(|(mut parser, _)| {
            parser.parse_segments(page.segments);
            let page = parser.parse_packet_data(page.body)?;
            self.packets.push_page(page)
        });
        pushed.map_err(|error| {
            let text = match error {
                OggReadError::HashMismatch(stated, found) => {
                    format!("a page with checksum {stated:08x}, but its bytes have {found:08x}")
                }
                OggReadError::InvalidStreamStructVer(version) => {
                    format!("a page of version {version}, not 0")
                }
                error => format!("a page that does not follow on the one before ({error})"),
            };
            self.input.error_at(at, ErrorKind::Malformed(text))
        })
    }

    /// Audio is returned with its duration.
    fn take_packet(
        &mut self,
        at: u64,
        packet: Vec<u8>,
    ) -> Result<Option<(Vec<u8>, Duration)>, ContainerError> {
        let malformed = |text| Err(ContainerError::new(self.input.name(), at, ErrorKind::Malformed(text)));
        match self.stage {
            Stage::Head => match packet.strip_prefix(b"OpusHead").map(Head::read) {
                Some(Ok(head)) => {
                    let profile = Profile::Opus { channels: head.channels };
                    if profile != self.tracks[0].profile {
                        return malformed(format!(
                            "a chained stream with {} channels, unlike the first",
                            head.channels
                        ));
                    }
                    self.stage = Stage::Comments;
                    Ok(None)
                }
                Some(Err(text)) => malformed(text),
                None => malformed("a stream that does not begin with an Opus header".to_owned()),
            },
            Stage::Comments => {
                self.stage = Stage::Audio;
                Ok(None)
            }
            Stage::Audio => match codecs::opus_duration(&packet) {
                Some(duration) => Ok(Some((packet, duration))),
                None => {
                    let first = packet.first().copied().unwrap_or(0);
                    malformed(format!("an Opus packet of {} bytes with TOC byte {first:02x}", packet.len()))
                }
            },
        }
    }

    /// Gives the packets of a page their times: behind the last one, or later by the hole that the granule position shows.
    fn schedule(
        &mut self,
        at: u64,
        granule: Option<u64>,
        audio: Vec<(Vec<u8>, Duration)>,
    ) -> Result<(), ContainerError> {
        let samples: u64 = audio.iter().map(|(_, duration)| samples_in(*duration)).sum();
        // The last page of a stream may end before its packets do, to trim them.
        let start = granule.filter(|_| samples > 0).map(|granule| granule.saturating_sub(samples));
        match (start, self.granule_offset) {
            (Some(start), None) => self.granule_offset = Some(start.wrapping_sub(self.samples)),
            (Some(start), Some(offset)) => {
                let hole = start.wrapping_sub(offset).saturating_sub(self.samples);
                // Positions that go back wrap around to a large hole.
                if (MAX_HOLE..u64::MAX / 2).contains(&hole) {
                    let text = format!("a page that begins {} s behind the one before", hole / RATE);
                    return Err(self.input.error_at(at, ErrorKind::Malformed(text)));
                }
                self.samples += if hole < MAX_HOLE { hole } else { 0 };
            }
            (None, _) => {}
        }
        for (data, duration) in audio {
            let time = time_of(self.samples);
            self.samples += samples_in(duration);
            let data = data.into();
            let codec = CodecKind::Opus;
            self.ready.push_back(Frame { track: 0, codec, data, time, duration, key_frame: true });
        }
        Ok(())
    }
}

/// How many samples last so long.
fn samples_in(duration: Duration) -> u64 {
    duration.as_micros() as u64 * (RATE / 1000) / 1000
}

impl Reader for OggOpus {
    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, ContainerError> {
        while self.ready.is_empty() {
            if !self.read_packets()? {
                return Ok(None);
            }
        }
        Ok(self.ready.pop_front())
    }

    /// RFC 7845 §4.2: the first samples are not played.
    fn origin(&self) -> Duration {
        time_of(self.pre_skip.into())
    }
}

fn time_of(samples: u64) -> Duration {
    let nanos = u128::from(samples) * 1_000_000_000 / u128::from(RATE);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// What is of interest of the identification header (RFC 7845 §5.1).
pub(crate) struct Head {
    pub(crate) channels: u8,
    pre_skip: u16,
}

impl Head {
    /// Reads what follows the magic signature.
    pub(crate) fn read(head: &[u8]) -> Result<Self, String> {
        let &[version, channels, p0, p1, _, _, _, _, _, _, family, ..] = head else {
            return Err(format!("an Opus header of {} bytes, which has at least 19", head.len() + 8));
        };
        Self::checked(version, channels, family, u16::from_le_bytes([p0, p1]))
    }

    /// Reads the content of a `dOps` box of MP4 (Opus in ISOBMFF §4.3.2), whose numbers are big endian.
    pub(crate) fn read_box(head: &[u8]) -> Result<Self, String> {
        let &[version, channels, p0, p1, _, _, _, _, _, _, family, ..] = head else {
            return Err(format!("a dOps box of {} bytes, which has at least 11", head.len()));
        };
        Self::checked(version, channels, family, u16::from_be_bytes([p0, p1]))
    }

    fn checked(version: u8, channels: u8, family: u8, pre_skip: u16) -> Result<Self, String> {
        if version > 15 {
            return Err(format!(
                "an Opus header of version {version}, which is not compatible with version 1"
            ));
        }
        if family != 0 || !(1..=2).contains(&channels) {
            return Err(format!(
                "Opus with {channels} channels of mapping family {family}, which is not mono or stereo"
            ));
        }
        Ok(Self { channels, pre_skip })
    }
}

fn read_page(input: &mut Input) -> Result<Page, ContainerError> {
    let at = input.position();
    let header: [u8; PAGE_HEADER_LEN] = input.array("the header of a page")?;
    if !header.starts_with(b"OggS") {
        let text = format!("{:02x?} where a page begins", &header[..4]);
        return Err(input.error_at(at, ErrorKind::Malformed(text)));
    }
    let segments = input.piece(header[26].into(), "the segment table of a page", 255)?;
    let len = segments.iter().map(|&len| u64::from(len)).sum();
    let body = input.piece(len, "a page", 255 * 255)?;
    Ok(Page { at, header, segments, body })
}
