//! Opus packet structure (RFC 6716 §3).

/// Fields of the first bytes of an Opus packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Mode, bandwidth and frame size, 0–31.
    pub config: u8,
    /// True for two channels.
    pub stereo: bool,
    /// Frame count code: 0 one frame, 1 two of equal size, 2 two of different sizes, 3 any number.
    pub code: u8,
    /// True if the packet contains no audio: discontinuous transmission (RFC 6716 §2.1.9).
    pub dtx: bool,
}

/// Parses the TOC byte of an RTP payload.
pub fn parse(payload: &[u8]) -> Option<Descriptor> {
    let &toc = payload.first()?;
    let code = toc & 0x03;
    let dtx = match (code, payload.len()) {
        (0 | 1, len) => len == 1,
        // RFC 6716 §3.2.4: a code 2 packet has at least a length byte; without more bytes both frames are empty.
        (2, 1) => return None,
        (2, len) => len == 2,
        // RFC 6716 §3.2.5: a code 3 packet has at least a frame count byte.
        (_, 1) => return None,
        _ => false,
    };
    Some(Descriptor { config: toc >> 3, stereo: toc & 0x04 != 0, code, dtx })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toc_byte_is_read() {
        let d = parse(&[0b0111_1100, 1, 2]).unwrap();
        assert_eq!(d, Descriptor { config: 15, stereo: true, code: 0, dtx: false });
    }

    #[test]
    fn packets_without_audio_are_dtx() {
        for (payload, dtx) in [
            (&[0x78][..], true),
            (&[0x79], true),
            (&[0x78, 0], false),
            (&[0x7a, 0], true),
            (&[0x7a, 1, 0], false),
            (&[0x7b, 0], false),
        ] {
            assert_eq!(parse(payload).unwrap().dtx, dtx, "{payload:?}");
        }
    }

    #[test]
    fn packets_shorter_than_their_code_needs_are_malformed() {
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[0x7a]), None);
        assert_eq!(parse(&[0x7b]), None);
    }
}
