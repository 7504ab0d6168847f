//! RTP packets and Producers of a remote endpoint without ICE and DTLS.

use serde_json::{Value, json};
use tureen_engine::api::TransportId;
use tureen_rtc::wire::rtp::extension::AbsCaptureTime;
use tureen_sim::{Call, Produced};
use tureen_types::data_structures::{ListenInfo, Protocol};
use tureen_types::rtp_parameters::{MediaKind, RtpParameters};

/// SSRC of [`audio`].
pub(crate) const SSRC: u32 = 77;

/// ListenInfo of a UDP socket of the engine.
pub(crate) fn listen_info() -> ListenInfo {
    ListenInfo {
        protocol: Protocol::Udp,
        ip: [10, 0, 0, 1].into(),
        announced_address: None,
        expose_internal_ip: false,
        port: None,
        port_range: None,
        flags: None,
        send_buffer_size: None,
        recv_buffer_size: None,
    }
}

/// Creates a Producer for [`audio`].
pub(crate) fn produce_audio(call: &mut Call, transport: TransportId) -> Produced {
    produce(call, transport, &json!([]))
}

/// Creates a Producer for [`timed_audio`].
pub(crate) fn produce_timed_audio(call: &mut Call, transport: TransportId) -> Produced {
    let uri = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";
    produce(call, transport, &json!([{ "uri": uri, "id": 5 }]))
}

/// Creates a video Producer whose sender supports FIR but not PLI. Its packets are those of [`audio`].
pub(crate) fn produce_video_with_fir(call: &mut Call, transport: TransportId) -> Produced {
    let parameters: RtpParameters = serde_json::from_value(json!({
        "codecs": [{ "mimeType": "video/VP8", "payloadType": 100, "clockRate": 90000, "parameters": {},
                     "rtcpFeedback": [{ "type": "ccm", "parameter": "fir" }] }],
        "encodings": [{ "ssrc": SSRC }],
        "headerExtensions": [],
        "rtcp": { "cname": "raw_rtp" },
    }))
    .unwrap();
    call.produce_on(transport, MediaKind::Video, parameters)
}

fn produce(call: &mut Call, transport: TransportId, header_extensions: &Value) -> Produced {
    let parameters: RtpParameters = serde_json::from_value(json!({
        "codecs": [{ "mimeType": "audio/opus", "payloadType": 100, "clockRate": 48000, "channels": 2,
                     "parameters": {}, "rtcpFeedback": [] }],
        "encodings": [{ "ssrc": SSRC }],
        "headerExtensions": header_extensions,
        "rtcp": { "cname": "raw_rtp" },
    }))
    .unwrap();
    call.produce_on(transport, MediaKind::Audio, parameters)
}

/// RTP packet of an Opus stream with this sequence number.
pub(crate) fn audio(number: u16) -> Vec<u8> {
    packet(number, &[])
}

/// Like [`audio`], with an abs-capture-time extension.
pub(crate) fn timed_audio(number: u16, captured: AbsCaptureTime) -> Vec<u8> {
    let mut space = [0; 16];
    let value = captured.write(&mut space);
    // RFC 8285 §4.2: the one-byte form, padded to whole words.
    let mut extension = vec![0xbe, 0xde, 0, 0, 5 << 4 | (value.len() - 1) as u8];
    extension.extend(value);
    extension.resize(extension.len().next_multiple_of(4), 0);
    extension[3] = (extension.len() / 4 - 1) as u8;
    packet(number, &extension)
}

fn packet(number: u16, extension: &[u8]) -> Vec<u8> {
    let mut packet = vec![if extension.is_empty() { 0x80 } else { 0x90 }, 100];
    packet.extend(number.to_be_bytes());
    packet.extend((u32::from(number) * 960).to_be_bytes());
    packet.extend(SSRC.to_be_bytes());
    packet.extend(extension);
    packet.extend([0x78; 60]);
    packet
}
