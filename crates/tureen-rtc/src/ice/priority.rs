//! Candidate priorities, by mediasoup's numbers.

/// Local preference of the first listen info.
pub(crate) const DEFAULT_LOCAL_PREFERENCE: u16 = 10_000;

/// Decrement of the local preference for each further listen info.
pub(crate) const LOCAL_PREFERENCE_DECREMENT: u16 = 100;

/// Increment of the local preference for the protocol of `preferUdp` or `preferTcp`. mediasoup applies it to the
/// listen infos of a WebRtcServer; on a transport with its own sockets only their order counts.
pub(crate) const PREFERRED_PROTOCOL_INCREMENT: u16 = 1000;

/// Decrement of the priority for the candidate of an exposed internal address, relative to its announced address. It
/// applies to the priority, not to the local preference.
pub const EXPOSED_INTERNAL_IP_PRIORITY_DECREMENT: u32 = 1000;

/// Local preference of the candidate of listen info number `index` (from 0), raised if its protocol is `preferred`.
/// Stops at 0 where mediasoup's would wrap.
pub fn local_preference(index: usize, preferred: bool) -> u16 {
    let decrement = u16::try_from(index).unwrap_or(u16::MAX).saturating_mul(LOCAL_PREFERENCE_DECREMENT);
    let increment = if preferred { PREFERRED_PROTOCOL_INCREMENT } else { 0 };
    DEFAULT_LOCAL_PREFERENCE.saturating_sub(decrement) + increment
}

/// Priority of a candidate (RFC 8445 §5.1.2.1) with mediasoup's type preference.
pub fn candidate_priority(local_preference: u16) -> u32 {
    // RFC 8445 §5.1.2.1: 2^24 * type preference + 2^8 * local preference + 256 - component ID.
    (TYPE_PREFERENCE << 24) + (u32::from(local_preference) << 8) + (256 - COMPONENT)
}

/// Below the 126 that RFC 8445 recommends for host candidates, as in mediasoup, so that the peer's candidates sort
/// first.
const TYPE_PREFERENCE: u32 = 64;
/// Component of RTP and multiplexed RTCP.
const COMPONENT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_those_of_mediasoup() {
        // mediasoup's priorities in iceCandidates for a first and a second listen info, and with preferUdp.
        assert_eq!(candidate_priority(local_preference(0, false)), 1_076_302_079);
        assert_eq!(candidate_priority(local_preference(1, false)), 1_076_276_479);
        assert_eq!(candidate_priority(local_preference(0, true)), 1_076_558_079);
    }

    #[test]
    fn local_preference_stops_at_zero() {
        assert_eq!(local_preference(100, false), 0);
        assert_eq!(local_preference(usize::MAX, false), 0);
        assert_eq!(local_preference(usize::MAX, true), 1000);
    }

    #[test]
    fn priority_of_any_preference_is_in_range() {
        // RFC 8445 §5.1.2: a priority is between 1 and 2^31 - 1.
        assert!(candidate_priority(u16::MAX) < 1 << 31);
    }
}
