use std::fmt;

use super::cipher::{Cipher, RTCP_HEADER_LEN, rtcp_sender};
use super::kdf::{SessionKeys, Usage};
use super::windows::Windows;
use super::{SrtpError, SrtpSuite};
use crate::units::Ssrc;

/// Number of packets by which an RTP packet may lag behind the newest one of its SSRC (mediasoup's libsrtp setting).
/// Each costs one bit per SSRC.
pub(crate) const RTP_REPLAY_WINDOW: usize = 1024;

/// As [`RTP_REPLAY_WINDOW`], for RTCP.
pub(crate) const RTCP_REPLAY_WINDOW: usize = 128;

/// An authenticated and decrypted RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedRtp {
    /// Length of header and payload. The bytes of the tag behind them are not valid.
    pub len: usize,
    /// The 48-bit packet index: rollover counter << 16 | sequence number.
    pub index: u64,
}

/// Authenticates and decrypts the packets that a transport receives.
///
/// The state of an SSRC is created by its first authentic packet and updated by authentic packets only. The number of
/// SSRCs is bounded, separately for RTP and RTCP; beyond the bound the SSRC that has been silent longest is evicted.
pub struct SrtpOpener {
    suite: SrtpSuite,
    rtp: Cipher,
    rtcp: Cipher,
    rtp_windows: Windows<{ RTP_REPLAY_WINDOW / 64 }>,
    rtcp_windows: Windows<{ RTCP_REPLAY_WINDOW / 64 }>,
}

impl SrtpOpener {
    /// Creates an opener from the peer's master key and salt.
    ///
    /// `max_streams` bounds the number of SSRCs with a replay window, separately for RTP and RTCP. Each costs some 170
    /// bytes, and each of up to 16 evicted SSRCs per window some 28.
    ///
    /// Fails with [`SrtpError::BadKeyLength`] when the length of key or salt is not that of `suite`.
    pub fn new(suite: SrtpSuite, key: &[u8], salt: &[u8], max_streams: usize) -> Result<Self, SrtpError> {
        let rtp = SessionKeys::derive(suite, Usage::Rtp, key, salt)?;
        let rtcp = SessionKeys::derive(suite, Usage::Rtcp, key, salt)?;
        Self::from_session_keys(suite, &rtp, &rtcp, max_streams)
    }

    /// Crypto suite of the session.
    pub fn suite(&self) -> SrtpSuite {
        self.suite
    }

    /// Opens an RTP packet in place. `ssrc`, `seq` and `header_len` (with CSRCs and extension) are those of its header.
    ///
    /// Replayed and too old packets are rejected before any cryptography. After [`SrtpError::AuthenticationFailed`] the
    /// payload is not valid; after any other error the packet is unchanged.
    pub fn open_rtp(
        &mut self,
        packet: &mut [u8],
        ssrc: Ssrc,
        seq: u16,
        header_len: usize,
    ) -> Result<OpenedRtp, SrtpError> {
        let max_header_len = packet.len().checked_sub(self.suite.rtp_tag_len()).ok_or(SrtpError::TooShort)?;
        if header_len > max_header_len {
            return Err(SrtpError::TooShort);
        }
        // RFC 3711 §3.3.1: the rollover counter begins at zero.
        let index_after = |highest: Option<u64>| match highest {
            Some(highest) => estimate_index(highest, seq),
            None => Ok(u64::from(seq)),
        };
        let rtp = &self.rtp;
        let open = |index| rtp.open_rtp(ssrc, index, header_len, packet);
        // The window checks for replay before decryption and advances only after authentication.
        let (index, len) = self.rtp_windows.open(ssrc, index_after, open)?;
        Ok(OpenedRtp { len, index })
    }

    /// Opens a compound RTCP packet in place and returns its length without tag and ESRTCP word.
    ///
    /// The rules are those of [`open_rtp`](Self::open_rtp); in addition the E bit must be set.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        if packet.len() < RTCP_HEADER_LEN + self.suite.rtcp_overhead() {
            return Err(SrtpError::TooShort);
        }
        let ssrc = rtcp_sender(packet).ok_or(SrtpError::TooShort)?;
        let (encrypted, index) = self.rtcp.rtcp_index(packet).ok_or(SrtpError::TooShort)?;
        if !encrypted {
            return Err(SrtpError::NotEncrypted);
        }
        let rtcp = &self.rtcp;
        let opened =
            self.rtcp_windows.open(ssrc, |_| Ok(index.into()), |_| rtcp.open_rtcp(ssrc, index, packet));
        opened.map(|(_, len)| len)
    }

    /// Changes the maximum number of SSRCs.
    pub fn set_max_streams(&mut self, max_streams: usize) {
        self.rtp_windows.set_max(max_streams);
        self.rtcp_windows.set_max(max_streams);
    }

    /// Marks the stream with this SSRC as ended, so that its state is evicted before that of other streams. The state
    /// is kept until then because the SSRC may be used again, and its rollover counter continues (RFC 3711 §3.2.3: it
    /// belongs to SSRC and key).
    pub fn end_stream(&mut self, ssrc: Ssrc) {
        self.rtp_windows.end(ssrc);
        self.rtcp_windows.end(ssrc);
    }

    /// Number of evictions of an SSRC in favour of another one.
    pub fn evicted_streams(&self) -> u64 {
        self.rtp_windows.evicted() + self.rtcp_windows.evicted()
    }

    fn from_session_keys(
        suite: SrtpSuite,
        rtp: &SessionKeys,
        rtcp: &SessionKeys,
        max_streams: usize,
    ) -> Result<Self, SrtpError> {
        Ok(Self {
            suite,
            rtp: Cipher::new(suite, Usage::Rtp, rtp)?,
            rtcp: Cipher::new(suite, Usage::Rtcp, rtcp)?,
            rtp_windows: Windows::new(max_streams),
            rtcp_windows: Windows::new(max_streams),
        })
    }
}

impl fmt::Debug for SrtpOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpOpener")
            .field("suite", &self.suite)
            .field("rtp_streams", &self.rtp_windows.len())
            .field("rtcp_streams", &self.rtcp_windows.len())
            .finish_non_exhaustive()
    }
}

/// Estimates the index of `seq` from the highest authentic one (RFC 3711 §3.3.1 and appendix A).
fn estimate_index(highest: u64, seq: u16) -> Result<u64, SrtpError> {
    let (roc, last) = (highest >> 16, i32::from(highest as u16));
    let ahead = i32::from(seq) - last;
    let roc = if last < 0x8000 && ahead > 0x8000 {
        // No cycle precedes cycle 0, so there a long jump can only be a jump forward.
        roc.saturating_sub(1)
    } else if last >= 0x8000 && ahead < -0x8000 {
        roc + 1
    } else {
        roc
    };
    let index = roc << 16 | u64::from(seq);
    if index >> 48 == 0 { Ok(index) } else { Err(SrtpError::IndexExhausted) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::srtp::SrtpSealer;
    use crate::srtp::cipher::tests::hex;

    const MAX_STREAMS: usize = 4;
    const SSRC: Ssrc = Ssrc(0xcafe_babe);

    fn pair(suite: SrtpSuite) -> (SrtpSealer, SrtpOpener) {
        let key: Vec<u8> = (0..suite.key_len() as u8).collect();
        let salt: Vec<u8> = (100..100 + suite.salt_len() as u8).collect();
        let sealer = SrtpSealer::new(suite, &key, &salt).unwrap();
        (sealer, SrtpOpener::new(suite, &key, &salt, MAX_STREAMS).unwrap())
    }

    /// A bare header of 12 bytes.
    fn header(ssrc: Ssrc, seq: u16) -> Vec<u8> {
        let mut header = vec![0x80, 96];
        header.extend(seq.to_be_bytes());
        header.extend(90_000u32.to_be_bytes());
        header.extend(ssrc.0.to_be_bytes());
        header
    }

    /// A sealed packet with a payload of 20 bytes.
    fn sealed(sealer: &SrtpSealer, ssrc: Ssrc, index: u64) -> Vec<u8> {
        let mut out = [0; 100];
        let len = sealer.seal_rtp(ssrc, index, &header(ssrc, index as u16), &[7; 3], &[8; 17], &mut out);
        out[..len.unwrap()].to_vec()
    }

    /// Seals the packet of `index`, opens it, and returns the estimated index or the error.
    fn deliver(sealer: &SrtpSealer, opener: &mut SrtpOpener, index: u64) -> Result<u64, SrtpError> {
        let mut packet = sealed(sealer, SSRC, index);
        let opened = opener.open_rtp(&mut packet, SSRC, index as u16, 12)?;
        assert_eq!(packet[12..15], [7; 3]);
        assert_eq!(packet[15..opened.len], [8; 17]);
        Ok(opened.index)
    }

    fn sealed_rtcp(sealer: &mut SrtpSealer, ssrc: Ssrc) -> Vec<u8> {
        let mut packet = vec![0x80, 201, 0, 4];
        packet.extend(ssrc.0.to_be_bytes());
        packet.extend([9; 12]);
        sealer.seal_rtcp(&mut packet).unwrap();
        packet
    }

    #[test]
    fn rfc7714_vectors_open() {
        let mut keys = SessionKeys { key: [0; 32], salt: [0; 14], auth: [0; 20] };
        keys.key.copy_from_slice(&hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"));
        keys.salt[..12].copy_from_slice(b"Quid pro quo");
        for (suite, rtp, rtcp) in [
            (
                SrtpSuite::AeadAes128Gcm,
                "8040f17b8041f8d35501a0b2 f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf
                 8833 899d7f27beb16a9152cf765ee4390cce",
                "81c8000d4d617273 63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded
                 0bb9275b c84aa45896cf4d2fc5abf87245d9eade 800005d4",
            ),
            (
                SrtpSuite::AeadAes256Gcm,
                "8040f17b8041f8d35501a0b2 32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799
                 b87b 7aa3db36dfffd6b0f9bb7878d7a76c13",
                "81c8000d4d617273 d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de047
                 6f1b6fad 1d1eb30c4446839f57ff6f6cb26ac3be 800005d4",
            ),
        ] {
            let mut opener = SrtpOpener::from_session_keys(suite, &keys, &keys, 1).unwrap();
            let mut packet = hex(rtp);
            let opened = opener.open_rtp(&mut packet, Ssrc(0x5501_a0b2), 0xf17b, 12).unwrap();
            assert_eq!(&packet[12..opened.len], b"Gallia est omnis divisa in partes tres");
            let mut packet = hex(rtcp);
            let len = opener.open_rtcp(&mut packet).unwrap();
            let report = "4e5450314e545032525450200000042a0000e9304c756e61 deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
            assert_eq!(packet[8..len], hex(report));
        }
    }

    #[test]
    fn rollover_counter_follows_the_sequence_number() {
        for suite in SrtpSuite::ALL {
            let (sealer, mut opener) = pair(suite);
            // Each packet arrives as far as half a cycle ahead; three cycles.
            for index in (10..200_000).step_by(30_000) {
                assert_eq!(deliver(&sealer, &mut opener, index), Ok(index), "{suite}");
            }
        }
    }

    #[test]
    fn packets_reordered_across_the_wrap_find_their_cycle() {
        for suite in SrtpSuite::ALL {
            let (sealer, mut opener) = pair(suite);
            for index in [0xfff0, 0x1_0002, 0xffff, 0x1_0000, 0xfffe, 0x1_0001, 0x1_0003] {
                assert_eq!(deliver(&sealer, &mut opener, index), Ok(index), "{suite}");
                assert_eq!(deliver(&sealer, &mut opener, index), Err(SrtpError::Replayed), "{suite}");
            }
        }
    }

    #[test]
    fn index_estimate_is_the_nearest() {
        assert_eq!(estimate_index(0x5_0000, 0x8000), Ok(0x5_8000), "half a cycle ahead is ahead");
        assert_eq!(estimate_index(0x5_0000, 0x8001), Ok(0x4_8001));
        assert_eq!(estimate_index(0x5_ffff, 0x0000), Ok(0x6_0000));
        assert_eq!(estimate_index(0x5_8000, 0x0000), Ok(0x5_0000), "half a cycle behind is behind");
        assert_eq!(estimate_index(0x5_8001, 0x0000), Ok(0x6_0000));
        assert_eq!(estimate_index(0x5_1234, 0x1234), Ok(0x5_1234));
    }

    #[test]
    fn no_index_before_the_first_cycle_or_after_the_last() {
        assert_eq!(estimate_index(0x0003, 0xfffe), Ok(0xfffe));
        assert_eq!(estimate_index(0xffff_ffff_fff0, 3), Err(SrtpError::IndexExhausted));
    }

    #[test]
    fn replay_window_edges() {
        let (sealer, mut opener) = pair(SrtpSuite::AeadAes128Gcm);
        let newest = 70_000;
        assert_eq!(deliver(&sealer, &mut opener, 60_000), Ok(60_000));
        assert_eq!(deliver(&sealer, &mut opener, newest), Ok(newest));
        let oldest = newest - RTP_REPLAY_WINDOW as u64 + 1;
        assert_eq!(deliver(&sealer, &mut opener, oldest - 1), Err(SrtpError::TooOld));
        assert_eq!(deliver(&sealer, &mut opener, oldest), Ok(oldest));
        assert_eq!(deliver(&sealer, &mut opener, oldest), Err(SrtpError::Replayed));
        assert_eq!(deliver(&sealer, &mut opener, newest), Err(SrtpError::Replayed));
    }

    #[test]
    fn replayed_packet_is_dropped_before_decryption() {
        for suite in SrtpSuite::ALL {
            let (sealer, mut opener) = pair(suite);
            let packet = sealed(&sealer, SSRC, 5);
            opener.open_rtp(&mut packet.clone(), SSRC, 5, 12).unwrap();
            let mut replay = packet.clone();
            assert_eq!(opener.open_rtp(&mut replay, SSRC, 5, 12), Err(SrtpError::Replayed));
            assert_eq!(replay, packet);
        }
    }

    #[test]
    fn forged_packet_does_not_move_the_window_or_the_rollover_counter() {
        for suite in SrtpSuite::ALL {
            let (sealer, mut opener) = pair(suite);
            assert_eq!(deliver(&sealer, &mut opener, 100), Ok(100));
            // A long jump, a jump over the wrap and the very next packet.
            for seq in [30_000, 0x7fff, 65_000, 101] {
                let mut forged = header(SSRC, seq);
                forged.extend([0x55; 60]);
                let opened = opener.open_rtp(&mut forged, SSRC, seq, 12);
                assert_eq!(opened, Err(SrtpError::AuthenticationFailed), "{suite}");
            }
            for index in 1..=200 {
                let expected = if index == 100 { Err(SrtpError::Replayed) } else { Ok(index) };
                assert_eq!(deliver(&sealer, &mut opener, index), expected, "{suite}");
            }
        }
    }

    #[test]
    fn forged_packet_creates_no_state() {
        for suite in SrtpSuite::ALL {
            let (sealer, mut opener) = pair(suite);
            for ssrc in 0..100 {
                let mut forged = header(Ssrc(ssrc), 1);
                forged.extend([0x55; 60]);
                assert_eq!(
                    opener.open_rtp(&mut forged, Ssrc(ssrc), 1, 12),
                    Err(SrtpError::AuthenticationFailed)
                );
                let mut forged = vec![0x80; 60];
                forged[4..8].copy_from_slice(&ssrc.to_be_bytes());
                forged[60 - suite.rtcp_overhead()..].fill(0x80);
                assert_eq!(opener.open_rtcp(&mut forged), Err(SrtpError::AuthenticationFailed));
            }
            assert_eq!((opener.rtp_windows.len(), opener.rtcp_windows.len()), (0, 0));
            assert_eq!(deliver(&sealer, &mut opener, 1), Ok(1));
        }
    }

    #[test]
    fn tampering_with_any_byte_fails() {
        for suite in SrtpSuite::ALL {
            let (mut sealer, mut opener) = pair(suite);
            let packet = sealed(&sealer, SSRC, 5);
            for position in 0..packet.len() {
                let mut tampered = packet.clone();
                tampered[position] ^= 1;
                assert_eq!(
                    opener.open_rtp(&mut tampered, SSRC, 5, 12),
                    Err(SrtpError::AuthenticationFailed),
                    "{suite}, byte {position}"
                );
            }
            assert!(opener.open_rtp(&mut packet.clone(), SSRC, 5, 12).is_ok());

            let packet = sealed_rtcp(&mut sealer, SSRC);
            for position in 0..packet.len() {
                let mut tampered = packet.clone();
                tampered[position] ^= 1;
                assert_eq!(
                    opener.open_rtcp(&mut tampered),
                    Err(SrtpError::AuthenticationFailed),
                    "{suite}, byte {position}"
                );
            }
            assert!(opener.open_rtcp(&mut packet.clone()).is_ok());
        }
    }

    #[test]
    fn other_key_other_ssrc_or_other_cycle_fails() {
        for suite in SrtpSuite::ALL {
            let (sealer, mut opener) = pair(suite);
            let fail = Err(SrtpError::AuthenticationFailed);
            let mut packet = sealed(&sealer, SSRC, 0x1_0005);
            assert_eq!(opener.open_rtp(&mut packet, SSRC, 5, 12), fail, "rollover counter 1 of a new SSRC");
            let other =
                SrtpSealer::new(suite, &vec![9; suite.key_len()], &vec![9; suite.salt_len()]).unwrap();
            assert_eq!(opener.open_rtp(&mut sealed(&other, SSRC, 5), SSRC, 5, 12), fail);
            // AES-CM authenticates the SSRC as part of the header, so only AES-GCM uses the caller's `ssrc` argument.
            if matches!(suite, SrtpSuite::AeadAes128Gcm | SrtpSuite::AeadAes256Gcm) {
                assert_eq!(opener.open_rtp(&mut sealed(&sealer, SSRC, 5), Ssrc(1), 5, 12), fail);
            }
        }
    }

    #[test]
    fn new_streams_are_opened_whatever_came_before() {
        for suite in SrtpSuite::ALL {
            let (mut sealer, mut opener) = pair(suite);
            let mut open = |opener: &mut SrtpOpener, ssrc: u32| {
                let rtp = opener.open_rtp(&mut sealed(&sealer, Ssrc(ssrc), 5), Ssrc(ssrc), 5, 12).map(|_| ());
                let rtcp = opener.open_rtcp(&mut sealed_rtcp(&mut sealer, Ssrc(ssrc))).map(|_| ());
                (rtp, rtcp)
            };
            let many = 100 * MAX_STREAMS as u32;
            for ssrc in 0..many {
                assert_eq!(open(&mut opener, ssrc), (Ok(()), Ok(())), "{ssrc}");
            }
            assert_eq!((opener.rtp_windows.len(), opener.rtcp_windows.len()), (MAX_STREAMS, MAX_STREAMS));
            assert_eq!(opener.evicted_streams(), 2 * (u64::from(many) - MAX_STREAMS as u64));
        }
    }

    #[test]
    fn ended_stream_continues_in_its_cycle() {
        for suite in SrtpSuite::ALL {
            let (sealer, mut opener) = pair(suite);
            for index in (0..0x3_0000).step_by(0x4000) {
                deliver(&sealer, &mut opener, index).unwrap();
            }
            opener.end_stream(SSRC);
            let last = 0x2_c000;
            assert_eq!(deliver(&sealer, &mut opener, last), Err(SrtpError::Replayed), "{suite}");
            assert_eq!(deliver(&sealer, &mut opener, last + 1), Ok(last + 1), "{suite}");
            opener.end_stream(SSRC);
            for other in 0..MAX_STREAMS as u32 {
                let mut packet = sealed(&sealer, Ssrc(other), 5);
                opener.open_rtp(&mut packet, Ssrc(other), 5, 12).unwrap();
            }
            assert_eq!(deliver(&sealer, &mut opener, last), Err(SrtpError::TooOld), "{suite}: it made room");
            assert_eq!(deliver(&sealer, &mut opener, last + 3), Ok(last + 3), "{suite}");
        }
    }

    #[test]
    fn short_packets_are_refused() {
        for suite in SrtpSuite::ALL {
            let (mut sealer, mut opener) = pair(suite);
            for len in 0..12 + suite.rtp_tag_len() {
                assert_eq!(opener.open_rtp(&mut vec![0x80; len], SSRC, 1, 12), Err(SrtpError::TooShort));
            }
            let mut packet = sealed(&sealer, SSRC, 5);
            let too_long = packet.len() - suite.rtp_tag_len() + 1;
            assert_eq!(opener.open_rtp(&mut packet, SSRC, 5, too_long), Err(SrtpError::TooShort));
            assert_eq!(opener.open_rtp(&mut packet, SSRC, 5, usize::MAX), Err(SrtpError::TooShort));

            for len in 0..8 + suite.rtcp_overhead() {
                assert_eq!(opener.open_rtcp(&mut vec![0x80; len]), Err(SrtpError::TooShort));
            }
            let mut shortest = vec![0x80; 8];
            sealer.seal_rtcp(&mut shortest).unwrap();
            assert_eq!(opener.open_rtcp(&mut shortest), Ok(8));
        }
    }

    #[test]
    fn rtcp_is_opened_once_in_any_order_within_the_window() {
        for suite in SrtpSuite::ALL {
            let (mut sealer, mut opener) = pair(suite);
            let packets: Vec<_> = (0..=RTCP_REPLAY_WINDOW).map(|_| sealed_rtcp(&mut sealer, SSRC)).collect();
            for packet in packets[1..].iter().rev() {
                let mut opened = packet.clone();
                let len = opener.open_rtcp(&mut opened).unwrap();
                assert_eq!(opened[8..len], [9; 12]);
                assert_eq!(opener.open_rtcp(&mut packet.clone()), Err(SrtpError::Replayed));
            }
            assert_eq!(opener.open_rtcp(&mut packets[0].clone()), Err(SrtpError::TooOld));
        }
    }

    #[test]
    fn unencrypted_rtcp_is_refused() {
        for suite in SrtpSuite::ALL {
            let (mut sealer, mut opener) = pair(suite);
            let mut packet = sealed_rtcp(&mut sealer, SSRC);
            let e_bit_at = match suite.rtcp_overhead() {
                20 => packet.len() - 4,
                _ => packet.len() - 14,
            };
            packet[e_bit_at] &= 0x7f;
            assert_eq!(opener.open_rtcp(&mut packet), Err(SrtpError::NotEncrypted));
        }
    }

    #[test]
    fn csrcs_and_header_extension_stay_clear_and_authentic() {
        for suite in SrtpSuite::ALL {
            let (sealer, mut opener) = pair(suite);
            let mut head = header(SSRC, 77);
            head[0] |= 0x10 | 2;
            head.extend([1, 2, 3, 4, 5, 6, 7, 8]);
            head.extend([0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
            let mut out = [0; 200];
            let len = sealer.seal_rtp(SSRC, 77, &head, &[], b"payload", &mut out).unwrap();
            assert_eq!(out[..head.len()], head);
            assert_ne!(&out[head.len()..][..7], b"payload");

            let mut tampered = out;
            tampered[head.len() - 3] ^= 0x80;
            let result = opener.open_rtp(&mut tampered[..len], SSRC, 77, head.len());
            assert_eq!(result, Err(SrtpError::AuthenticationFailed));
            let opened = opener.open_rtp(&mut out[..len], SSRC, 77, head.len()).unwrap();
            assert_eq!(out[..head.len()], head);
            assert_eq!(&out[head.len()..opened.len], b"payload");
        }
    }

    proptest! {
        #[test]
        fn sealed_rtp_opens(
            suite in prop::sample::select(SrtpSuite::ALL.to_vec()),
            descriptor in prop::collection::vec(any::<u8>(), 0..20),
            rest in prop::collection::vec(any::<u8>(), 0..1500),
            extension in prop::collection::vec(any::<u8>(), 0..60),
            seq: u16,
            ssrc: u32,
        ) {
            let (sealer, mut opener) = pair(suite);
            let ssrc = Ssrc(ssrc);
            let mut head = header(ssrc, seq);
            head.extend(&extension);
            let mut out = vec![0; 2000];
            let len = sealer.seal_rtp(ssrc, seq.into(), &head, &descriptor, &rest, &mut out).unwrap();
            let opened = opener.open_rtp(&mut out[..len], ssrc, seq, head.len()).unwrap();
            prop_assert_eq!(opened, OpenedRtp { len: len - suite.rtp_tag_len(), index: seq.into() });
            prop_assert_eq!(&out[..opened.len], [head, descriptor, rest].concat());
        }

        #[test]
        fn sealed_rtcp_opens(
            suite in prop::sample::select(SrtpSuite::ALL.to_vec()),
            packet in prop::collection::vec(any::<u8>(), 8..1500),
        ) {
            let (mut sealer, mut opener) = pair(suite);
            let mut sealed = packet.clone();
            sealer.seal_rtcp(&mut sealed).unwrap();
            prop_assert_eq!(sealed.len(), packet.len() + suite.rtcp_overhead());
            let len = opener.open_rtcp(&mut sealed).unwrap();
            prop_assert_eq!(&sealed[..len], packet);
        }

        #[test]
        fn garbage_never_panics_and_never_opens(
            suite in prop::sample::select(SrtpSuite::ALL.to_vec()),
            mut packet in prop::collection::vec(any::<u8>(), 0..100),
            header_len in 0usize..120,
            seq: u16,
        ) {
            let (_, mut opener) = pair(suite);
            prop_assert!(opener.open_rtp(&mut packet, SSRC, seq, header_len).is_err());
            prop_assert!(opener.open_rtcp(&mut packet).is_err());
        }
    }
}
