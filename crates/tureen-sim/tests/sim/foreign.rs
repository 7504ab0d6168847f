//! A remote side without ICE and DTLS: its media, packet by packet.

use serde_json::json;
use tureen_core::api::TransportId;
use tureen_core::types::data_structures::{ListenInfo, Protocol};
use tureen_core::types::rtp_parameters::{MediaKind, RtpParameters};
use tureen_sim::{Call, Produced};

/// SSRC of [`audio`].
pub(crate) const SSRC: u32 = 77;

/// A socket of the engine.
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

/// A Producer for [`audio`].
pub(crate) fn produce_audio(call: &mut Call, transport: TransportId) -> Produced {
    let parameters: RtpParameters = serde_json::from_value(json!({
        "codecs": [{ "mimeType": "audio/opus", "payloadType": 100, "clockRate": 48000, "channels": 2,
                     "parameters": {}, "rtcpFeedback": [] }],
        "encodings": [{ "ssrc": SSRC }],
        "headerExtensions": [],
        "rtcp": { "cname": "foreign" },
    }))
    .unwrap();
    call.produce_on(transport, MediaKind::Audio, parameters)
}

/// The RTP packet number `number` of an Opus stream.
pub(crate) fn audio(number: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 100];
    packet.extend(number.to_be_bytes());
    packet.extend((u32::from(number) * 960).to_be_bytes());
    packet.extend(SSRC.to_be_bytes());
    packet.extend([0x78; 60]);
    packet
}
