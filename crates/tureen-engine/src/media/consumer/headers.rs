//! RTP header extensions of a consumer's packets, and the template for most of the headers.

use std::num::NonZeroU8;

use crate::media::consumer::sent_log::DescriptorRewrite;
use crate::media::producer::packet_buffer::StoredPacket;
use tureen_rtc::units::{PayloadType, Ssrc};
use tureen_rtc::wire::codecs::dependency_descriptor::{self, Change};
use tureen_rtc::wire::rtp::extension::{AbsSendTime, TransportSequenceNumber};
use tureen_rtc::wire::rtp::{
    Extension, ExtensionIds, ExtensionSlot, RtpFields, RtpHeaderWriter, RtpWriteError,
};

/// Maximum length of a header extension value.
const MAX_ELEMENT: usize = 255;

/// Header extension values that differ for each transmission of a packet.
#[derive(Clone, Copy, Debug)]
pub struct HopByHopExtensions {
    /// Time of transmission, abs-send-time.
    pub abs_send_time: AbsSendTime,
    /// Transport-wide sequence number.
    pub transport_seq: TransportSequenceNumber,
}

impl HopByHopExtensions {
    /// Zeros, to be overwritten later.
    pub const NONE: Self =
        Self { abs_send_time: AbsSendTime::from_bits(0), transport_seq: TransportSequenceNumber(0) };

    /// Creates the values for a packet that is sent now.
    pub fn new(abs_send_time: AbsSendTime, transport_seq: TransportSequenceNumber) -> Self {
        Self { abs_send_time, transport_seq }
    }
}

/// Header settings of all streams of a consumer. They never change.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct HeaderSettings {
    mid: Option<(NonZeroU8, Box<[u8]>)>,
    ids: ExtensionIds,
    /// Template for packets without forwarded extensions; `None` if their headers are too long.
    template: Option<HeaderTemplate>,
}

impl HeaderSettings {
    /// Creates the settings from the negotiated ids and the MID, if any.
    pub(crate) fn new(ids: ExtensionIds, mid: Option<&str>) -> Self {
        let mid = ids[Extension::Mid].zip(mid.map(|mid| Box::from(mid.as_bytes())));
        let template = HeaderTemplate::new(&ids, borrowed(&mid));
        Self { ids, mid, template }
    }

    /// Negotiated ids.
    pub(crate) fn ids(&self) -> &ExtensionIds {
        &self.ids
    }

    /// Id and value of the MID extension.
    pub(crate) fn mid(&self) -> Option<(NonZeroU8, &[u8])> {
        borrowed(&self.mid)
    }

    /// Writes the header of a Producer's packet and returns its length. Forwarded extensions come first, followed by
    /// the hop-by-hop ones. Up to [`HeaderTemplate::MAX_LEN`] bytes of the buffer are overwritten, even if the header
    /// is shorter.
    ///
    /// # Errors
    /// The buffer is too small for the header.
    #[inline(always)]
    pub(crate) fn write(
        &self,
        packet: &StoredPacket<'_>,
        rewrite: &DescriptorRewrite,
        fields: &RtpFields,
        hop: HopByHopExtensions,
        buffer: &mut [u8],
    ) -> Result<usize, RtpWriteError> {
        if let Some(template) = &self.template
            && packet.elements().all(|(extension, _)| self.ids[extension].is_none())
            && let Some(len) = template.write(fields, hop, buffer)
        {
            return Ok(len);
        }
        self.write_by_elements(packet, rewrite, fields, hop, buffer)
    }

    fn write_by_elements(
        &self,
        packet: &StoredPacket<'_>,
        rewrite: &DescriptorRewrite,
        fields: &RtpFields,
        hop: HopByHopExtensions,
        buffer: &mut [u8],
    ) -> Result<usize, RtpWriteError> {
        let mut writer = RtpHeaderWriter::new(buffer, fields)?;
        for (extension, value) in packet.elements() {
            let Some(id) = self.ids[extension] else { continue };
            if extension == Extension::DependencyDescriptor && *rewrite != DescriptorRewrite::default() {
                let mut space = [0; MAX_ELEMENT];
                writer.push(id.get(), rewritten_dependencies(value, rewrite, &mut space))?;
            } else {
                writer.push(id.get(), value)?;
            }
        }
        push_hop_by_hop(&mut writer, &self.ids, self.mid(), hop)?;
        Ok(writer.finish()?.len)
    }
}

/// Header of a packet with hop-by-hop extensions only, written once by [`RtpHeaderWriter`]. Each packet copies the
/// header and overwrites the values that differ, because that is faster than to write the whole header.
#[derive(Debug)]
pub struct HeaderTemplate {
    bytes: [u8; Self::MAX_LEN],
    len: usize,
    slots: HopSlots<usize>,
}

impl HeaderTemplate {
    /// Maximum length of a header from a template: enough for a MID of eight characters with abs-send-time and the
    /// transport-wide sequence number. The copy has this constant length, because the compiler reduces that to two
    /// moves.
    pub const MAX_LEN: usize = 32;

    /// Creates the template for these extensions; `None` if their header is too long.
    pub fn new(ids: &ExtensionIds, mid: Option<(NonZeroU8, &[u8])>) -> Option<Self> {
        let fields = RtpFields {
            marker: false,
            has_padding: false,
            payload_type: PayloadType(0),
            sequence_number: 0,
            timestamp: 0,
            ssrc: Ssrc(0),
        };
        let mut bytes = [0; Self::MAX_LEN];
        let mut writer = RtpHeaderWriter::new(&mut bytes, &fields).ok()?;
        let slots = push_hop_by_hop(&mut writer, ids, mid, HopByHopExtensions::NONE).ok()?;
        let header = writer.finish().ok()?;
        let slots = HopSlots {
            abs_send_time: slots.abs_send_time.map(|slot| header.offset_of(slot)),
            transport_seq: slots.transport_seq.map(|slot| header.offset_of(slot)),
        };
        Some(Self { bytes, len: header.len, slots })
    }

    /// Writes a header and returns its length. [`MAX_LEN`](Self::MAX_LEN) bytes of the buffer are overwritten; `None`
    /// if the buffer is shorter than that.
    #[inline(always)]
    pub fn write(&self, fields: &RtpFields, hop: HopByHopExtensions, buffer: &mut [u8]) -> Option<usize> {
        let out: &mut [u8; Self::MAX_LEN] = buffer.first_chunk_mut()?;
        *out = self.bytes;
        fields.write(out.first_chunk_mut()?);
        // `fields` do not contain the extension bit, so the template's first byte adds that after the fields are
        // written.
        out[0] |= self.bytes[0];
        if let Some(at) = self.slots.abs_send_time {
            out[at..at + 3].copy_from_slice(&hop.abs_send_time.to_bytes());
        }
        if let Some(at) = self.slots.transport_seq {
            out[at..at + 2].copy_from_slice(&hop.transport_seq.to_bytes());
        }
        Some(self.len)
    }
}

/// Positions of the [`HopByHopExtensions`] in a header.
#[derive(Debug)]
pub(super) struct HopSlots<T> {
    abs_send_time: Option<T>,
    transport_seq: Option<T>,
}

/// Writes the hop-by-hop extensions, which come last.
pub(super) fn push_hop_by_hop(
    writer: &mut RtpHeaderWriter<'_>,
    ids: &ExtensionIds,
    mid: Option<(NonZeroU8, &[u8])>,
    hop: HopByHopExtensions,
) -> Result<HopSlots<ExtensionSlot>, RtpWriteError> {
    if let Some((id, mid)) = mid {
        writer.push(id.get(), mid)?;
    }
    let mut push =
        |id: Option<NonZeroU8>, value: &[u8]| id.map(|id| writer.push(id.get(), value)).transpose();
    Ok(HopSlots {
        abs_send_time: push(ids[Extension::AbsSendTime], &hop.abs_send_time.to_bytes())?,
        transport_seq: push(ids[Extension::TransportWideCcDraft01], &hop.transport_seq.to_bytes())?,
    })
}

fn borrowed(mid: &Option<(NonZeroU8, Box<[u8]>)>) -> Option<(NonZeroU8, &[u8])> {
    mid.as_ref().map(|(id, mid)| (*id, &mid[..]))
}

/// Rewrites a dependency descriptor for this consumer; returns the original if the descriptor cannot be parsed.
fn rewritten_dependencies<'a>(value: &'a [u8], rewrite: &DescriptorRewrite, space: &'a mut [u8]) -> &'a [u8] {
    let change = Change { frame_number: rewrite.number, active_targets: rewrite.active_targets };
    dependency_descriptor::rewrite(value, &change, space).unwrap_or(value)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::option::weighted;
    use proptest::prelude::*;

    use super::*;
    use crate::media::producer::frames::FrameInfo;
    use crate::media::producer::packet_buffer::{PacketBuffer, PacketBufferConfig, PacketInfo};
    use tureen_rtc::wire::rtp::RtpHeader;

    /// A buffer with packet 1, which has these extensions.
    fn stored(elements: &[(Extension, Vec<u8>)]) -> PacketBuffer {
        let config =
            PacketBufferConfig { initial_bytes: 4096, max_bytes: 65536, retention: Duration::from_secs(1) };
        let info = PacketInfo {
            seq: 1,
            timestamp: 0,
            marker: false,
            payload_type: 96,
            key_frame: false,
            frame: FrameInfo::default(),
        };
        let mut buffer = PacketBuffer::new(config);
        let elements = elements.iter().map(|(kind, value)| (*kind, &value[..]));
        assert!(buffer.insert(Instant::now(), info, elements, b"payload"));
        buffer
    }

    fn id(id: u8) -> Option<NonZeroU8> {
        NonZeroU8::new(id)
    }

    fn browser_ids() -> ExtensionIds {
        ExtensionIds::default()
            .with(Extension::Mid, id(1))
            .with(Extension::AbsSendTime, id(4))
            .with(Extension::TransportWideCcDraft01, id(5))
    }

    const FIELDS: RtpFields = RtpFields {
        marker: true,
        has_padding: false,
        payload_type: PayloadType(96),
        sequence_number: 0x0102,
        timestamp: 0x03040506,
        ssrc: Ssrc(0x0708090a),
    };

    const HOP: HopByHopExtensions = HopByHopExtensions {
        abs_send_time: AbsSendTime::from_bits(0x111213),
        transport_seq: TransportSequenceNumber(0x1415),
    };

    #[test]
    fn template_writes_the_changing_fields() {
        let settings = HeaderSettings::new(browser_ids(), Some("7"));
        let mut buffer = [0xff; 32];
        let len = settings.template.expect("short").write(&FIELDS, HOP, &mut buffer).unwrap();
        let fixed = [0x90, 0xe0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xbe, 0xde, 0, 3];
        let elements = [0x10, b'7', 0x42, 0x11, 0x12, 0x13, 0x51, 0x14, 0x15, 0, 0, 0];
        assert_eq!(buffer[..len], [&fixed[..], &elements].concat());
    }

    #[test]
    fn mid_of_eight_characters_is_the_longest_in_a_template() {
        let template = |mid| HeaderSettings::new(browser_ids(), Some(mid)).template;
        assert_eq!(template("12345678").map(|template| template.len), Some(HeaderTemplate::MAX_LEN));
        assert!(template("123456789").is_none());
    }

    #[test]
    fn extension_that_was_not_negotiated_is_left_out() {
        let kind = Extension::SsrcAudioLevel;
        let buffer = stored(&[(kind, vec![0x30])]);
        let packet = buffer.get(1).unwrap();
        for (negotiated, expected) in [(None, None), (id(9), Some(&[0x30][..]))] {
            let ids = browser_ids().with(kind, negotiated);
            let settings = HeaderSettings::new(ids, Some("0"));
            let mut out = [0; 64];
            let len = settings.write(&packet, &DescriptorRewrite::default(), &FIELDS, HOP, &mut out).unwrap();
            let header = RtpHeader::parse(&out[..len]).unwrap();
            assert_eq!(header.extension(&out, 9), expected);
            assert_eq!(header.extension(&out, 5), Some(&[0x14, 0x15][..]));
        }
    }

    fn any_id() -> impl Strategy<Value = Option<NonZeroU8>> {
        // Most ids are small; those above 14 take the two-byte form.
        weighted(0.7, prop_oneof![4 => 1u8..15, 1 => 15u8..]).prop_map(|id| id.and_then(NonZeroU8::new))
    }

    prop_compose! {
        fn any_settings()(
            mid in any_id(),
            abs_send_time in any_id(),
            transport_wide_cc in any_id(),
            ssrc_audio_level in any_id(),
            dependency_descriptor in any_id(),
            name in weighted(0.8, "[0-9a-z]{1,12}"),
        ) -> HeaderSettings {
            let ids = ExtensionIds::default()
                .with(Extension::Mid, mid)
                .with(Extension::AbsSendTime, abs_send_time)
                .with(Extension::TransportWideCcDraft01, transport_wide_cc)
                .with(Extension::SsrcAudioLevel, ssrc_audio_level)
                .with(Extension::DependencyDescriptor, dependency_descriptor);
            HeaderSettings::new(ids, name.as_deref())
        }
    }

    prop_compose! {
        fn any_fields()(
            (marker, has_padding) in any::<(bool, bool)>(),
            payload_type in 0u8..128,
            (sequence_number, timestamp, ssrc) in any::<(u16, u32, u32)>(),
        ) -> RtpFields {
            RtpFields {
                marker,
                has_padding,
                payload_type: PayloadType(payload_type),
                sequence_number,
                timestamp,
                ssrc: Ssrc(ssrc),
            }
        }
    }

    fn any_elements() -> impl Strategy<Value = Vec<(Extension, Vec<u8>)>> {
        let kind = prop::sample::select(vec![
            Extension::SsrcAudioLevel,
            Extension::DependencyDescriptor,
            Extension::PlayoutDelay,
        ]);
        prop::collection::vec((kind, prop::collection::vec(any::<u8>(), 1..20)), 0..3)
    }

    proptest! {
        #[test]
        fn template_header_equals_the_general_writer(
            settings in any_settings(),
            fields in any_fields(),
            elements in any_elements(),
            (send_time, transport_seq) in (0u32..1 << 24, any::<u16>()),
            space in 0usize..100,
        ) {
            let hop =
                HopByHopExtensions::new(AbsSendTime::from_bits(send_time), TransportSequenceNumber(transport_seq));
            let stored = stored(&elements);
            let packet = stored.get(1).unwrap();
            let rewrite = DescriptorRewrite::default();
            let (mut one, mut other) = (vec![0xff; space], vec![0xaa; space]);
            let len = settings.write(&packet, &rewrite, &fields, hop, &mut one);
            prop_assert_eq!(len, settings.write_by_elements(&packet, &rewrite, &fields, hop, &mut other));
            if let Ok(len) = len {
                prop_assert_eq!(&one[..len], &other[..len]);
            }
        }
    }
}
