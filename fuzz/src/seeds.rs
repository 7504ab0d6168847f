//! Valid inputs from which fuzzing starts, made by the engine's own writers.

use tureen_rtc::dtls::{Dtls, Output, Role};
use tureen_rtc::srtp::SrtpSuite;
use tureen_rtc::units::{Bitrate, PayloadType, Ssrc};
use tureen_rtc::wire::rtcp::{
    DlrrEntry, FirEntry, NtpTime, ReportBlock, SenderInfo, TransportCcHeader, write_bye, write_fir,
    write_nack, write_pli, write_receiver_report, write_remb, write_sdes_cname, write_sender_report,
    write_transport_cc, write_xr_dlrr, write_xr_rrtr,
};
use tureen_rtc::wire::rtp::{RtpFields, RtpHeaderWriter};
use tureen_rtc::wire::stun::{StunClass, StunWriter};

use crate::dtls::{CONFIG, fingerprint};
use crate::script::push_step;
use crate::worker::{consumer_ssrcs, operation};

const AUDIO: Ssrc = Ssrc(1001);
const VIDEO: Ssrc = Ssrc(2001);
const VIDEO_RTX: Ssrc = Ssrc(2002);

/// RTP payloads of each kind that the parsers of codecs distinguish.
const PAYLOADS: [&[u8]; 15] = [
    // VP8: a key frame of 640×480, then an inter frame with picture id, TL0PICIDX, TID and KEYIDX.
    &[0x10, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01, 0x00],
    &[0x90, 0xf0, 0x80, 0x01, 0x02, 0x60, 0x11, 0x00, 0x00],
    // VP9: flexible mode with scalability structure; then an inter picture with references.
    &[0x9a, 0x81, 0x02, 0x00, 0x28, 0x02, 0x80, 0x01, 0xe0, 0x01, 0x00, 0x55],
    &[0xf9, 0x83, 0x04, 0x22, 0x05, 0x03, 0x06, 0x77],
    // VP9: a key frame of one packet.
    &[0x8c, 0x81, 0x03, 0x82, 0x49, 0x83],
    // H.264: SPS, STAP-A with SPS and PPS, FU-A of an IDR slice, IDR slice of one packet.
    &[0x67, 0x42, 0xe0, 0x1f, 0x8c, 0x8d, 0x40],
    &[0x78, 0x00, 0x04, 0x67, 0x42, 0xe0, 0x1f, 0x00, 0x04, 0x68, 0xce, 0x3c, 0x80],
    &[0x7c, 0x85, 0x88, 0x84, 0x00],
    &[0x65, 0x88, 0x84, 0x01],
    // H.265: aggregation of VPS and SPS, fragment of an IDR picture, IDR picture of one packet.
    &[0x60, 0x01, 0x00, 0x03, 0x40, 0x01, 0x0c, 0x00, 0x03, 0x42, 0x01, 0x01],
    &[0x62, 0x01, 0x93, 0xaf, 0x08],
    &[0x26, 0x01, 0xaf, 0x08],
    // AV1: aggregation header N with a sequence header OBU and a frame; the same with a key frame that is shown.
    &[0x28, 0x0a, 0x0b, 0x00, 0x00, 0x00, 0x24, 0xcf, 0x7f, 0x0d, 0xbf, 0xff, 0x30, 0x08],
    &[0x28, 0x02, 0x08, 0x00, 0x30, 0x10, 0x05],
    // Opus: a frame of comfort noise.
    &[0xf8, 0xff, 0xfe],
];

/// Dependency descriptor of a key frame with two spatial and two temporal layers.
const DEPENDENCY_DESCRIPTOR: [u8; 15] =
    [0xc0, 0x00, 0x07, 0x80, 0x03, 0x67, 0xaf, 0x23, 0x0a, 0x02, 0x8a, 0x28, 0xc1, 0x18, 0x00];

/// Seeds for [`fuzz_stun`](crate::fuzz_stun).
pub fn stun() -> Vec<Vec<u8>> {
    let mut request = Vec::new();
    StunWriter::new(&mut request, StunClass::Request, 1, [3; 12])
        .username("local:remote")
        .expect("a short user name")
        .priority(0x6e00_01ff)
        .ice_controlling(1)
        .use_candidate()
        .nomination(2)
        .finish_with_integrity(b"password");
    let mut response = Vec::new();
    StunWriter::new(&mut response, StunClass::SuccessResponse, 1, [3; 12])
        .xor_mapped_address(([192, 0, 2, 1], 32853).into())
        .xor_mapped_address(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 32853).into())
        .software("tureen")
        .finish_with_integrity(b"password");
    let mut error = Vec::new();
    StunWriter::new(&mut error, StunClass::ErrorResponse, 1, [3; 12])
        .error_code(420, "Unknown Attribute")
        .unknown_attributes([0x7fff, 0x30])
        .finish();
    vec![request, response, error]
}

/// Seeds for [`fuzz_rtp`](crate::fuzz_rtp).
pub fn rtp() -> Vec<Vec<u8>> {
    let mut packets =
        vec![packet(VIDEO, 96, 65535, 90000, PAYLOADS[0]), packet(AUDIO, 111, 1, 960, PAYLOADS[10])];
    let two_byte_extensions = [
        0x92, 0xe0, 0x00, 0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x04, 0x00,
        0x00, 0x00, 0x05, 0x10, 0x00, 0x00, 0x03, 0x01, 0x01, 0x31, 0x00, 0x20, 0x04, 0x01, 0x02, 0x03, 0x04,
        0x00, 0x00, 0x77,
    ];
    let padded =
        [0xa0, 0x60, 0x00, 0x02, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x03, 0x55, 0x00, 0x00, 0x03];
    packets.extend([two_byte_extensions.to_vec(), padded.to_vec()]);
    packets
}

/// Seeds for [`fuzz_rtcp`](crate::fuzz_rtcp).
pub fn rtcp() -> Vec<Vec<u8>> {
    let mut reports = Vec::new();
    write_sender_report(&mut reports, VIDEO, &sender_info(), &[report_block(AUDIO)]);
    write_sdes_cname(&mut reports, &[(VIDEO, b"peer")]);
    write_xr_rrtr(&mut reports, VIDEO, NtpTime(9 << 32));
    let entry = DlrrEntry { ssrc: AUDIO, last_reference_time: 5, delay: 6 };
    write_xr_dlrr(&mut reports, VIDEO, &[entry]);
    let mut feedback = Vec::new();
    write_receiver_report(&mut feedback, Ssrc(1), &[report_block(AUDIO), report_block(VIDEO)]);
    write_nack(&mut feedback, Ssrc(1), VIDEO, &[7, 8, 24, 65535]);
    write_pli(&mut feedback, Ssrc(1), VIDEO);
    write_fir(&mut feedback, Ssrc(1), &[FirEntry { ssrc: VIDEO, sequence_number: 3 }]);
    write_remb(&mut feedback, Ssrc(1), Bitrate::kbps(600), &[VIDEO]);
    let mut bye = Vec::new();
    write_bye(&mut bye, &[AUDIO, VIDEO]);
    vec![reports, feedback, transport_cc(VIDEO), bye]
}

/// Seeds for [`fuzz_codecs`](crate::fuzz_codecs).
pub fn codecs() -> Vec<Vec<u8>> {
    let mut seeds = PAYLOADS.map(<[u8]>::to_vec).to_vec();
    seeds.push(DEPENDENCY_DESCRIPTOR.to_vec());
    seeds
}

/// Seeds for [`fuzz_frames`](crate::fuzz_frames): each payload as a frame of each codec, with and without marker bit.
pub fn frames() -> Vec<Vec<u8>> {
    let scripts = (0..6).flat_map(|codec| {
        PAYLOADS.map(|payload| {
            let mut script = vec![codec];
            push_step(&mut script, 0, payload);
            push_step(&mut script, 1, payload);
            push_step(&mut script, 2, payload);
            // As packets: the next sequence number, a new timestamp, 33 ms later.
            for operation in [0, 1, 1] {
                push_step(&mut script, operation, &[&[0x10, operation * 3, 33], payload].concat());
            }
            script
        })
    });
    scripts.collect()
}

/// Seeds for [`fuzz_ivf`](crate::fuzz_ivf).
pub fn ivf() -> Vec<Vec<u8>> {
    vec![
        include_bytes!("../../crates/tureen-containers/tests/files/vp8.ivf").to_vec(),
        include_bytes!("../../crates/tureen-containers/tests/files/vp9.ivf").to_vec(),
        include_bytes!("../../crates/tureen-containers/tests/files/av1.ivf").to_vec(),
    ]
}

/// Seeds for [`fuzz_ogg`](crate::fuzz_ogg).
pub fn ogg() -> Vec<Vec<u8>> {
    vec![include_bytes!("../../crates/tureen-containers/tests/files/opus.ogg").to_vec()]
}

/// Seeds for [`fuzz_annexb`](crate::fuzz_annexb).
pub fn annexb() -> Vec<Vec<u8>> {
    vec![
        include_bytes!("../../crates/tureen-containers/tests/files/h264.h264").to_vec(),
        include_bytes!("../../crates/tureen-containers/tests/files/h265.h265").to_vec(),
    ]
}

/// Seeds for [`fuzz_matroska`](crate::fuzz_matroska).
pub fn matroska() -> Vec<Vec<u8>> {
    vec![
        include_bytes!("../../crates/tureen-containers/tests/files/vp8-opus.webm").to_vec(),
        include_bytes!("../../crates/tureen-containers/tests/files/av1.mkv").to_vec(),
        include_bytes!("../../crates/tureen-containers/tests/files/h264-opus.mkv").to_vec(),
        include_bytes!("../../crates/tureen-containers/tests/files/h265.mkv").to_vec(),
        include_bytes!("../../crates/tureen-containers/tests/files/b-frames.mkv").to_vec(),
    ]
}

/// Seeds for [`fuzz_mp4`](crate::fuzz_mp4).
pub fn mp4() -> Vec<Vec<u8>> {
    vec![
        include_bytes!("../../crates/tureen-containers/tests/files/h264-opus.mp4").to_vec(),
        include_bytes!("../../crates/tureen-containers/tests/files/h264-opus-fragmented.mp4").to_vec(),
        include_bytes!("../../crates/tureen-containers/tests/files/h265.mp4").to_vec(),
        include_bytes!("../../crates/tureen-containers/tests/files/av1.mp4").to_vec(),
        include_bytes!("../../crates/tureen-containers/tests/files/b-frames.mp4").to_vec(),
    ]
}

/// Seeds for [`fuzz_srtp`](crate::fuzz_srtp).
pub fn srtp() -> Vec<Vec<u8>> {
    let packets = [rtp(), rtcp()].concat();
    (0..)
        .take(SrtpSuite::ALL.len())
        .flat_map(|suite: u8| packets.iter().map(move |packet| [&[suite], packet.as_slice()].concat()))
        .collect()
}

/// Seeds for [`fuzz_dtls_datagram`](crate::fuzz_dtls_datagram): both directions of a handshake.
pub fn dtls_datagram() -> Vec<Vec<u8>> {
    let now = crate::origin();
    let mut ends = [Role::Server, Role::Client]
        .map(|role| Dtls::new(&CONFIG, role, fingerprint(), now).expect("it starts"));
    // Script for each association, with the datagrams that it receives. The first operation is its role.
    let mut scripts = [Vec::new(), Vec::new()];
    let mut buffer = Vec::new();
    for turn in 0..20 {
        let [speaker, listener] = [(turn + 1) % 2, turn % 2];
        loop {
            match ends[speaker].poll_output(&mut buffer) {
                Output::Datagram(datagram) => {
                    push_step(&mut scripts[listener], listener as u8, datagram);
                    let datagram = datagram.to_vec();
                    ends[listener].handle_datagram(now, &datagram);
                }
                Output::Idle { .. } => break,
                _ => {}
            }
        }
    }
    scripts.to_vec()
}

/// Seeds for [`fuzz_sctp`](crate::fuzz_sctp).
pub fn sctp() -> Vec<Vec<u8>> {
    vec![crate::sctp::seed()]
}

/// Seeds for [`fuzz_worker_datagrams`](crate::fuzz_worker_datagrams): calls of a few frames.
pub fn worker_datagrams() -> Vec<Vec<u8>> {
    let [audio_consumer, video_consumer] = consumer_ssrcs();
    let mut call = Vec::new();
    for frame in 0..4_u16 {
        let payload = PAYLOADS[usize::from(frame > 0)];
        push_step(
            &mut call,
            operation::RTP,
            &packet(VIDEO, 96, 100 + 2 * frame, 3000 * u32::from(frame), payload),
        );
        push_step(
            &mut call,
            operation::RTP,
            &packet(AUDIO, 111, frame, 960 * u32::from(frame), PAYLOADS[10]),
        );
        push_step(&mut call, operation::WAIT, &[0, 33]);
    }
    let mut reports = Vec::new();
    write_sender_report(&mut reports, VIDEO, &sender_info(), &[report_block(video_consumer)]);
    write_sdes_cname(&mut reports, &[(VIDEO, b"peer")]);
    push_step(&mut call, operation::RTCP, &reports);
    let lost = [&101_u16.to_be_bytes(), PAYLOADS[1]].concat();
    push_step(&mut call, operation::RTP, &packet(VIDEO_RTX, 97, 9, 3000, &lost));
    push_step(&mut call, operation::WAIT, &[0x04, 0x00]);
    for request in 0..21 {
        push_step(&mut call, operation::REQUEST, &[request, request & 1]);
    }

    let mut feedback = call[..call.len() / 2].to_vec();
    for ssrc in [audio_consumer, video_consumer] {
        let mut compound = Vec::new();
        write_receiver_report(&mut compound, Ssrc(1), &[report_block(ssrc)]);
        write_nack(&mut compound, Ssrc(1), ssrc, &[0, 1, 2]);
        write_pli(&mut compound, Ssrc(1), ssrc);
        write_fir(&mut compound, Ssrc(1), &[FirEntry { ssrc, sequence_number: 1 }]);
        write_remb(&mut compound, Ssrc(1), Bitrate::kbps(300), &[ssrc]);
        push_step(&mut feedback, operation::RTCP, &compound);
        push_step(&mut feedback, operation::RTCP, &transport_cc(ssrc));
    }
    push_step(&mut feedback, operation::WAIT, &[0x10, 0x00]);

    let mut network = Vec::new();
    for datagram in [stun(), rtp(), dtls_datagram()].concat().iter().filter(|datagram| datagram.len() < 65536)
    {
        push_step(&mut network, operation::RAW, datagram);
        push_step(&mut network, operation::STRANGER, datagram);
    }
    push_step(&mut network, operation::CHECK, &[1]);
    push_step(&mut network, operation::APPLICATION_DATA, b"not SCTP");
    push_step(&mut network, operation::CHECK, &[2]);
    push_step(&mut network, operation::WAIT, &[0xff, 0xff]);
    vec![call, feedback, network]
}

/// Seeds for [`fuzz_channel`](crate::fuzz_channel).
pub fn channel() -> Vec<Vec<u8>> {
    vec![crate::channel::messages::all()]
}

/// Seeds for [`fuzz_channel_json`](crate::fuzz_channel_json).
pub fn channel_json() -> Vec<Vec<u8>> {
    vec![crate::channel::messages::recorded()]
}

fn packet(ssrc: Ssrc, payload_type: u8, sequence_number: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let fields = RtpFields {
        marker: true,
        has_padding: false,
        payload_type: PayloadType(payload_type),
        sequence_number,
        timestamp,
        ssrc,
    };
    let mut buffer = [0; 128];
    let header = RtpHeaderWriter::new(&mut buffer, &fields).and_then(|mut writer| {
        writer.push(1, if payload_type == 111 { b"0" } else { b"1" })?;
        writer.push(5, &sequence_number.to_be_bytes())?;
        writer.finish()
    });
    let len = header.expect("128 bytes hold the header").len;
    [&buffer[..len], payload].concat()
}

fn transport_cc(media_ssrc: Ssrc) -> Vec<u8> {
    let mut feedback = Vec::new();
    let header = TransportCcHeader {
        sender_ssrc: Ssrc(1),
        media_ssrc,
        base_sequence_number: 65530,
        reference_time: 17,
        feedback_count: 3,
    };
    let statuses = [Some(4), None, None, Some(-300), Some(20), None, Some(1), Some(2), Some(3)];
    write_transport_cc(&mut feedback, &header, &statuses, 1200);
    feedback
}

fn sender_info() -> SenderInfo {
    SenderInfo { ntp_time: NtpTime(9 << 32), rtp_timestamp: 3000, packet_count: 4, octet_count: 400 }
}

fn report_block(ssrc: Ssrc) -> ReportBlock {
    ReportBlock {
        ssrc,
        fraction_lost: 5,
        total_lost: -1,
        highest_sequence_number: 0x1_0007,
        jitter: 11,
        last_sender_report: 0,
        delay_since_last_sender_report: 0,
    }
}
