//! Samples of MP4 and blocks of Matroska, made into frames: both hold each codec in the same way.

use bytes::Bytes;
use mp4_atom::{Atom, Avcc, Hvcc};
use tureen_rtc::wire::codecs::CodecKind;

use crate::codecs;
use crate::nal::{self, AccessUnit, ParameterSets, Role};
use crate::parameter_sets::{self, Sps};
use crate::source::Profile;

/// How the samples of a track become frames.
#[derive(Debug)]
pub(crate) enum Samples {
    /// VP8, VP9 and Opus: a sample is a frame.
    Frames(CodecKind),
    /// H264 and H265: NAL units behind their lengths (ISO/IEC 14496-15 §5.3.3).
    Units {
        codec: CodecKind,
        /// Bytes of each length, 1 to 4.
        length_size: usize,
        sets: ParameterSets,
        unit: AccessUnit,
    },
    /// AV1: temporal units without delimiters.
    Av1 {
        /// The sequence header is there.
        config_obus: Vec<u8>,
    },
}

impl Samples {
    /// H264 with the content of `avcC` (ISO/IEC 14496-15 §5.3.3.1).
    pub(crate) fn h264(config: &[u8]) -> Result<Self, String> {
        let config = Avcc::decode_body(&mut &config[..]).map_err(|error| format!("avcC: {error}"))?;
        let sets = config.sequence_parameter_sets.iter().chain(&config.picture_parameter_sets);
        Self::units(CodecKind::H264, config.length_size.into(), sets.map(|set| &set[..]))
    }

    /// H265 with the content of `hvcC` (ISO/IEC 14496-15 §8.3.3.1).
    pub(crate) fn h265(config: &[u8]) -> Result<Self, String> {
        let config = Hvcc::decode_body(&mut &config[..]).map_err(|error| format!("hvcC: {error}"))?;
        let sets = config.arrays.iter().flat_map(|array| &array.nalus).map(|set| &set[..]);
        Self::units(CodecKind::H265, usize::from(config.length_size_minus_one) + 1, sets)
    }

    fn units<'a>(
        codec: CodecKind,
        length_size: usize,
        units: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, String> {
        let mut sets = ParameterSets::default();
        for unit in units {
            match nal::role(codec, unit) {
                Some(Role::ParameterSet { kind, id }) if sets.insert(kind, id, unit) => {}
                Some(Role::ParameterSet { .. }) => {
                    return Err("more parameter sets than any stream needs".to_owned());
                }
                Some(_) => {}
                None => return Err(format!("a parameter set of {} bytes that cannot be read", unit.len())),
            }
        }
        Ok(Self::Units { codec, length_size, sets, unit: AccessUnit::default() })
    }

    /// AV1 with the content of `av1C` (AV1 in ISOBMFF §2.3.3): four bytes, then OBUs.
    pub(crate) fn av1(config: &[u8]) -> Self {
        Self::Av1 { config_obus: config.get(4..).unwrap_or_default().to_vec() }
    }

    /// What the configuration states of the stream.
    pub(crate) fn sps(&self) -> Option<Sps> {
        match self {
            Self::Units { codec, sets, .. } => parameter_sets::sps(*codec, sets.sps()?),
            Self::Frames(_) | Self::Av1 { .. } => None,
        }
    }

    pub(crate) fn codec(&self) -> CodecKind {
        match self {
            Self::Frames(codec) | Self::Units { codec, .. } => *codec,
            Self::Av1 { .. } => CodecKind::Av1,
        }
    }

    /// The profile that the configuration or else the first frame states.
    pub(crate) fn profile(&self, first: &[u8]) -> Profile {
        match self {
            Self::Units { .. } => self.sps().map_or(Profile::Unknown, |sps| sps.profile),
            Self::Frames(codec) => codecs::profile(*codec, first),
            Self::Av1 { config_obus } => match codecs::profile(CodecKind::Av1, first) {
                Profile::Unknown => codecs::profile(CodecKind::Av1, config_obus),
                profile => profile,
            },
        }
    }

    /// The frame of a sample, and whether it is a key frame. Empty if nothing of it has to be sent.
    pub(crate) fn frame(&mut self, sample: Vec<u8>) -> Result<(Bytes, bool), String> {
        let data = match self {
            Self::Frames(CodecKind::Opus) if codecs::opus_duration(&sample).is_none() => {
                let first = sample.first().copied().unwrap_or(0);
                return Err(format!("an Opus packet of {} bytes with TOC byte {first:02x}", sample.len()));
            }
            Self::Frames(_) => sample,
            Self::Av1 { config_obus } => codecs::av1_temporal_unit(config_obus, &sample),
            Self::Units { codec, length_size, sets, unit } => {
                add_units(*codec, *length_size, &sample, sets, unit)?;
                let (data, key) = unit.finish(*codec, sets);
                return Ok((data.into(), key));
            }
        };
        let key = codecs::is_key_frame(self.codec(), &data);
        Ok((data.into(), key))
    }
}

fn add_units(
    codec: CodecKind,
    length_size: usize,
    sample: &[u8],
    sets: &mut ParameterSets,
    access_unit: &mut AccessUnit,
) -> Result<(), String> {
    *access_unit = AccessUnit::default();
    let mut rest = sample;
    while !rest.is_empty() {
        let at = sample.len() - rest.len();
        let cut_off = || format!("a NAL unit {at} bytes into a sample of {}, longer than it", sample.len());
        let (len, after) = rest.split_at_checked(length_size).ok_or_else(cut_off)?;
        let len = len.iter().fold(0, |len, &byte| len << 8 | usize::from(byte));
        let (unit, after) = after.split_at_checked(len).ok_or_else(cut_off)?;
        rest = after;
        if unit.is_empty() {
            continue;
        }
        let role = nal::role(codec, unit).ok_or_else(|| {
            format!("an {codec:?} NAL unit of {len} bytes that begins with {:02x}", unit[0])
        })?;
        if let Role::ParameterSet { kind, id } = role
            && !sets.insert(kind, id, unit)
        {
            return Err("more parameter sets than any stream needs".to_owned());
        }
        access_unit.push(role, unit);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: [u8; 8] = [0x67, 0x42, 0xc0, 0x1f, 0xda, 0x02, 0x80, 0xf6];
    const PPS: [u8; 3] = [0x68, 0xce, 0x3c];

    fn avcc() -> Vec<u8> {
        let mut config = vec![1, 0x42, 0xc0, 0x1f, 0xfd, 0xe1, 0, 8];
        config.extend_from_slice(&SPS);
        config.extend_from_slice(&[1, 0, 3]);
        config.extend_from_slice(&PPS);
        config
    }

    #[test]
    fn parameter_sets_are_put_in_front_of_key_frames() {
        let mut samples = Samples::h264(&avcc()).unwrap();
        let (frame, key) = samples.frame(vec![0, 2, 0x65, 0x88]).unwrap();
        let mut expected = vec![0, 0, 0, 1];
        expected.extend_from_slice(&SPS);
        expected.extend_from_slice(&[0, 0, 0, 1]);
        expected.extend_from_slice(&PPS);
        expected.extend_from_slice(&[0, 0, 0, 1, 0x65, 0x88]);
        assert_eq!((&frame[..], key), (&expected[..], true));
        let (frame, key) = samples.frame(vec![0, 2, 0x41, 0x9a]).unwrap();
        assert_eq!((&frame[..], key), (&[0, 0, 0, 1, 0x41, 0x9a][..], false));
    }

    #[test]
    fn a_sample_that_ends_too_early_is_named() {
        let mut samples = Samples::h264(&avcc()).unwrap();
        let error = samples.frame(vec![0, 2, 0x41, 0x9a, 0, 9, 0x41]).unwrap_err();
        assert_eq!(error, "a NAL unit 4 bytes into a sample of 7, longer than it");
        let error = samples.frame(vec![0, 2, 0x41]).unwrap_err();
        assert_eq!(error, "a NAL unit 0 bytes into a sample of 3, longer than it");
        assert!(samples.frame(vec![0, 2, 0x41, 0x9a]).is_ok(), "the next one is whole");
    }

    #[test]
    fn configurations_that_end_too_early_are_errors() {
        for len in 0..avcc().len() - 1 {
            assert!(Samples::h264(&avcc()[..len]).is_err(), "{len}");
        }
        assert!(Samples::h265(&[1; 22]).is_err());
    }
}
