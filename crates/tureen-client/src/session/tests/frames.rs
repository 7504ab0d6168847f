//! Sending and receiving of whole frames by a session.

use tureen_rtc::units::PayloadType;
use tureen_rtc::wire::codecs::CodecKind;
use tureen_rtc::wire::rtcp::{NtpTime, RtcpPacket, SenderInfo, write_sender_report};

use super::*;
use crate::frames::{FrameAssembler, FrameError, OutgoingFrame};
use crate::jitter::ReceivedFrame;

impl Peer {
    fn send_media(&mut self, index: u64, timestamp: u32, marker: bool, payload: &[u8]) {
        self.send_media_of(96, index, timestamp, marker, payload);
    }

    fn send_media_of(&mut self, payload_type: u8, index: u64, timestamp: u32, marker: bool, payload: &[u8]) {
        let fields = RtpFields {
            marker,
            has_padding: false,
            payload_type: PayloadType(payload_type),
            sequence_number: index as u16,
            timestamp,
            ssrc: Ssrc(SSRC),
        };
        let mut header = [0; 64];
        let len = RtpHeaderWriter::new(&mut header, &fields).unwrap().finish().unwrap().len;
        let mut datagram = vec![0; 1500];
        let sealer = &self.srtp.as_ref().unwrap().sealer;
        let len = sealer.seal_rtp(Ssrc(SSRC), index, &header[..len], &[], payload, &mut datagram).unwrap();
        self.session.handle_datagram(self.now, server_address(), &mut datagram[..len]);
        self.exchange();
    }

    fn poll_frames(&mut self) -> Vec<(ReceivedFrame, Vec<u8>)> {
        let mut data = Vec::new();
        let frames = std::iter::from_fn(|| {
            let (ssrc, frame) = self.session.poll_frame(self.now, &mut data)?;
            assert_eq!(ssrc, SSRC);
            Some((frame, data.clone()))
        });
        let frames = frames.collect();
        self.exchange();
        frames
    }

    /// The frames that are due after some time.
    fn run_frames(&mut self, time: Duration) -> Vec<(ReceivedFrame, Vec<u8>)> {
        self.run(time);
        self.poll_frames()
    }

    fn took_pli(&mut self) -> bool {
        self.take_rtcp(|packet| matches!(packet, RtcpPacket::Pli(pli) if pli.media_ssrc.0 == SSRC))
    }
}

#[test]
fn frame_is_sent_in_packets_with_one_marker_bit() {
    let mut peer = Peer::connected(Role::Client);
    let config = SendStreamConfig {
        max_frame_payload: 200,
        ..SendStreamConfig::new(SSRC, 96, 90_000).with_frames(CodecKind::Vp8)
    };
    peer.session.add_send_stream(config).unwrap();
    let data = [&[0x10][..], &[7; 899]].concat();
    let info = peer.session.send_frame(peer.now, SSRC, &OutgoingFrame::new(&data, 7000)).unwrap();
    assert!(info.key_frame);
    peer.exchange();
    let markers: Vec<bool> = peer.rtp.iter().map(|(header, _)| header.marker).collect();
    assert_eq!(markers, [false, false, false, false, true]);
    let payloads = peer.rtp.iter().map(|(header, packet)| &packet[header.len()..]);
    let mut out = Vec::new();
    FrameAssembler::new(CodecKind::Vp8).unwrap().assemble(payloads, &mut out).unwrap();
    assert_eq!(out, data);
}

#[test]
fn frame_that_does_not_fit_is_not_sent_in_part() {
    let mut peer = Peer::connected(Role::Client);
    let config = SendStreamConfig {
        max_frame_payload: 100,
        buffered_packets: 16,
        ..SendStreamConfig::new(SSRC, 96, 90_000).with_frames(CodecKind::Vp8)
    };
    peer.session.add_send_stream(config).unwrap();
    let [small, large] = [&[0x11; 900][..], &[0x11; 1700]];
    let mut send = |data| peer.session.send_frame(peer.now, SSRC, &OutgoingFrame::new(data, 0)).map(|_| ());
    assert_eq!(send(large), Err(SessionError::FrameTooLong { packets: 18, buffered: 16 }));
    assert_eq!(send(small), Ok(()));
    assert_eq!(send(small), Err(SessionError::Backlog));
    assert_eq!(send(&[]), Err(FrameError::Empty(CodecKind::Vp8).into()));
    peer.exchange();
    assert_eq!(peer.rtp.len(), 10);
}

#[test]
fn video_frame_of_many_packets_is_sent_without_rtx() {
    let mut peer = Peer::connected(Role::Client);
    let config = SendStreamConfig::new(SSRC, 96, 90_000).with_frames(CodecKind::Vp8);
    assert_eq!(config.clone().with_frames(CodecKind::Opus).buffered_packets, 512, "never lowered");
    assert_eq!(SendStreamConfig::new(1, 96, 48_000).with_frames(CodecKind::Opus).buffered_packets, 64);
    peer.session.add_send_stream(config).unwrap();
    let data = vec![0x10; 100_000];
    peer.session.send_frame(peer.now, SSRC, &OutgoingFrame::new(&data, 0)).unwrap();
    peer.exchange();
    assert_eq!(peer.rtp.len(), 92);
}

#[test]
fn packets_of_another_payload_type_are_no_frames() {
    let mut peer = Peer::connected(Role::Client);
    let config = RecvStreamConfig::new(SSRC, 96, 48_000).with_frames(CodecKind::Opus);
    peer.session.add_recv_stream(config).unwrap();
    peer.send_media(100, 960, true, &[0x78, 1]);
    peer.send_media_of(13, 101, 1920, true, &[0x78, 2]);
    peer.send_media(102, 2880, true, &[0x78, 3]);
    let frames = peer.run_frames(Duration::from_secs(2));
    let data: Vec<&[u8]> = frames.iter().map(|(_, data)| data.as_slice()).collect();
    assert_eq!(data, [[0x78, 1], [0x78, 3]]);
    assert!(!frames[1].0.after_loss, "nothing is missing");
    assert_eq!(peer.session.frame_stats(SSRC).unwrap().malformed, 0);
}

#[test]
fn streams_without_a_codec_have_no_frames() {
    let mut peer = Peer::connected(Role::Client);
    let unsupported = SessionError::Frame(FrameError::UnsupportedCodec(CodecKind::Other));
    peer.session.add_send_stream(SendStreamConfig::new(SSRC, 96, 90_000)).unwrap();
    let sent = peer.session.send_frame(peer.now, SSRC, &OutgoingFrame::new(&[1], 0));
    assert_eq!(sent, Err(unsupported.clone()));
    let config = RecvStreamConfig::new(77, 96, 90_000).with_frames(CodecKind::Other);
    assert_eq!(peer.session.add_recv_stream(config), Err(unsupported));
    peer.session.add_recv_stream(RecvStreamConfig::new(77, 96, 90_000)).unwrap();
    assert_eq!(peer.session.frame_stats(77), None);
}

#[test]
fn received_frames_are_whole_and_have_a_capture_time() {
    let mut peer = Peer::connected(Role::Client);
    let config = RecvStreamConfig::new(SSRC, 96, 90_000).with_frames(CodecKind::Vp8);
    peer.session.add_recv_stream(config).unwrap();
    let ntp_time = NtpTime::from_unix(UNIX);
    peer.send_media(65_535, 9000, false, &[0x90, 0x80, 1, 0x10, 5]);
    assert_eq!(peer.poll_frames(), []);
    peer.send_rtcp(|out| {
        let info = SenderInfo { ntp_time, rtp_timestamp: 0, packet_count: 1, octet_count: 1 };
        write_sender_report(out, Ssrc(SSRC), &info, &[]);
    });
    peer.send_media(65_536, 9000, true, &[0x80, 0x80, 1, 6]);
    let [(frame, data)] = &peer.poll_frames()[..] else { panic!("one frame") };
    assert_eq!((frame.info.key_frame, frame.timestamp, data.as_slice()), (true, 9000, &[0x10, 5, 6][..]));
    let captured = frame.capture_time.unwrap();
    assert!(captured.abs_diff(UNIX + Duration::from_millis(100)) < Duration::from_micros(1));
    assert_eq!(peer.session.frame_stats(SSRC).unwrap().key_frames, 1);
}

#[test]
fn frames_without_a_key_frame_cause_a_key_frame_request() {
    let mut peer = Peer::connected(Role::Client);
    let config = RecvStreamConfig::new(SSRC, 96, 90_000).with_frames(CodecKind::Vp8);
    peer.session.add_recv_stream(config).unwrap();
    peer.send_media(100, 9000, true, &[0x90, 0x80, 1, 0x11, 5]);
    assert!(!peer.took_pli());
    assert_eq!(peer.poll_frames(), []);
    assert!(peer.took_pli());
    peer.send_media(101, 12_000, true, &[0x90, 0x80, 2, 0x11, 5]);
    assert_eq!(peer.poll_frames(), []);
    assert!(!peer.took_pli(), "the last request is too recent");
    assert_eq!(peer.session.recv_stats(SSRC).unwrap().plis, 1);
}

#[test]
fn due_frame_that_is_not_polled_needs_no_timeout() {
    let mut peer = Peer::connected(Role::Client);
    let config = RecvStreamConfig::new(SSRC, 96, 48_000).with_frames(CodecKind::Opus);
    peer.session.add_recv_stream(config).unwrap();
    peer.send_media(100, 9000, true, &[0x78, 5]);
    assert!(peer.session.poll_timeout().unwrap() > peer.now);
    peer.run(Duration::from_secs(2));
    assert_eq!(peer.poll_frames().len(), 1);
    // A stream can be removed while it holds frames.
    peer.send_media(101, 9960, true, &[0x78, 5]);
    peer.session.remove_recv_stream(SSRC).unwrap();
    assert_eq!(peer.poll_frames(), []);
}
