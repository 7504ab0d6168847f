//! Demultiplexing of STUN, DTLS, RTP and RTCP by a datagram's first bytes (RFC 7983).

/// Kind of a packet on a multiplexed transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketKind {
    /// STUN: ICE connectivity checks and consent (RFC 8489).
    Stun,
    /// A DTLS record (RFC 6347, RFC 9147).
    Dtls,
    /// RTP or SRTP (RFC 3550, RFC 3711).
    Rtp,
    /// RTCP or SRTCP.
    Rtcp,
    /// Any other protocol, or too short for the protocol of its first byte.
    Unknown,
}

/// Classifies `datagram` (RFC 7983 §7) by its first two bytes and its length only, so a result other than `Unknown`
/// selects the parser and does not mean that the datagram is valid.
///
/// ```text
///                  +----------------+
///                  |        [0..3] -+--> STUN
///                  |                |
///                  |      [16..19] -+--> ZRTP
///                  |                |
///    packet   -->  |      [20..63] -+--> DTLS
///                  |                |
///                  |      [64..79] -+--> TURN channel
///                  |                |
///                  |    [128..191] -+--> RTP/RTCP
///                  +----------------+
/// ```
pub fn classify(datagram: &[u8]) -> PacketKind {
    let (first, second) = match *datagram {
        [first, second, ..] => (first, second),
        _ => return PacketKind::Unknown,
    };
    let (kind, minimum) = match first {
        0..=3 => (PacketKind::Stun, STUN_HEADER_LEN),
        20..=63 => (PacketKind::Dtls, DTLS_HEADER_LEN),
        // RFC 5761 §4: RTCP packet types are in 192..=223, so RTP payload types with the marker bit must not be.
        128..=191 if (192..=223).contains(&second) => (PacketKind::Rtcp, RTCP_HEADER_LEN),
        128..=191 => (PacketKind::Rtp, RTP_HEADER_LEN),
        _ => return PacketKind::Unknown,
    };
    if datagram.len() >= minimum { kind } else { PacketKind::Unknown }
}

const STUN_HEADER_LEN: usize = 20;
/// A DTLS 1.3 record may have a unified header of two bytes, but even then carries a tag of at least 16 bytes.
const DTLS_HEADER_LEN: usize = 13;
const RTP_HEADER_LEN: usize = 12;
/// Length of the common header alone, because reduced-size RTCP (RFC 5506) may begin with any packet type.
const RTCP_HEADER_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(first: u8, second: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        bytes[0] = first;
        bytes[1] = second;
        bytes
    }

    #[test]
    fn first_byte_follows_the_chart_of_rfc_7983() {
        for first in 0..=255 {
            let expected = match first {
                0..=3 => PacketKind::Stun,
                20..=63 => PacketKind::Dtls,
                128..=191 => PacketKind::Rtp,
                _ => PacketKind::Unknown,
            };
            assert_eq!(classify(&datagram(first, 96, 100)), expected, "first byte {first}");
        }
    }

    #[test]
    fn second_byte_distinguishes_rtcp_from_rtp() {
        for second in 0..=255 {
            let expected = if (192..=223).contains(&second) { PacketKind::Rtcp } else { PacketKind::Rtp };
            assert_eq!(classify(&datagram(0x80, second, 12)), expected, "second byte {second}");
        }
    }

    #[test]
    fn packets_below_their_header_size_are_unknown() {
        for (first, second, minimum, kind) in [
            (0, 1, 20, PacketKind::Stun),
            (22, 254, 13, PacketKind::Dtls),
            (0x80, 96, 12, PacketKind::Rtp),
            (0x80, 200, 4, PacketKind::Rtcp),
        ] {
            assert_eq!(classify(&datagram(first, second, minimum)), kind);
            assert_eq!(classify(&datagram(first, second, minimum - 1)), PacketKind::Unknown, "{kind:?}");
        }
        assert_eq!(classify(&[]), PacketKind::Unknown);
        assert_eq!(classify(&[0]), PacketKind::Unknown);
    }
}
