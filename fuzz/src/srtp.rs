//! Fuzzing of SRTP: a sealed packet opens to its content, and no other packet opens.

use tureen_rtc::srtp::{SrtpOpener, SrtpSealer, SrtpSuite};
use tureen_rtc::wire::rtp::RtpHeader;

/// The first byte selects the suite. The rest is a packet, first of an attacker and then, sealed, of the peer.
pub fn fuzz_srtp(data: &[u8]) {
    let Some((&choice, packet)) = data.split_first() else { return };
    let suite = SrtpSuite::ALL[usize::from(choice) % SrtpSuite::ALL.len()];
    let (key, salt) = (vec![7; suite.key_len()], vec![9; suite.salt_len()]);
    let mut opener = SrtpOpener::new(suite, &key, &salt, 4).expect("keys of the suite's length");
    let mut sealer = SrtpSealer::new(suite, &key, &salt).expect("keys of the suite's length");

    assert!(opener.open_rtcp(&mut packet.to_vec()).is_err(), "RTCP was forged");
    let mut compound = packet.to_vec();
    if sealer.seal_rtcp(&mut compound).is_ok() {
        let len = opener.open_rtcp(&mut compound.clone()).expect("a sealed packet opens");
        assert_eq!(len, packet.len());
        assert!(opener.open_rtcp(&mut compound).is_err(), "RTCP was replayed");
    }

    let Ok(header) = RtpHeader::parse(packet) else { return };
    let (ssrc, seq, header_len) = (header.ssrc, header.sequence_number, header.len());
    assert!(opener.open_rtp(&mut packet.to_vec(), ssrc, seq, header_len).is_err(), "RTP was forged");
    let (head, payload) = packet.split_at(header_len);
    let (descriptor, rest) = payload.split_at(payload.len() / 3);
    let mut sealed = vec![0; packet.len() + suite.rtp_tag_len()];
    let sealed_len = sealer
        .seal_rtp(ssrc, u64::from(seq), head, descriptor, rest, &mut sealed)
        .expect("the buffer has room for the tag");
    assert_eq!(sealed_len, sealed.len());
    let mut opened = sealed.clone();
    let result = opener.open_rtp(&mut opened, ssrc, seq, header_len).expect("a sealed packet opens");
    assert_eq!(&opened[..result.len], packet);
    assert!(opener.open_rtp(&mut sealed, ssrc, seq, header_len).is_err(), "RTP was replayed");
}
