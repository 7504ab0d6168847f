//! Tests of the library from an application's view.

mod data;
mod direct;
mod lifetimes;
mod media;
#[path = "../member/mod.rs"]
mod member;
mod network;
mod observers;
mod piping;
mod plain;
mod tcp;
mod transports;
mod workers;

use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU8, NonZeroU32};

use tureen::prelude::*;

/// ListenInfo of the loopback address.
fn listen_info(port: Option<u16>) -> ListenInfo {
    ListenInfo {
        protocol: Protocol::Udp,
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        announced_address: None,
        expose_internal_ip: false,
        port,
        port_range: None,
        flags: None,
        send_buffer_size: None,
        recv_buffer_size: None,
    }
}

fn transport_options() -> WebRtcTransportOptions {
    WebRtcTransportOptions::new(WebRtcTransportListenInfos::new(listen_info(None)))
}

fn server_options(port: Option<u16>) -> WebRtcServerOptions {
    WebRtcServerOptions::new(WebRtcServerListenInfos::new(listen_info(port)))
}

fn opus() -> RtpCodecCapability {
    RtpCodecCapability::Audio {
        mime_type: MimeTypeAudio::Opus,
        preferred_payload_type: Some(100),
        clock_rate: NonZeroU32::new(48000).unwrap(),
        channels: NonZeroU8::new(2).unwrap(),
        parameters: RtpCodecParametersParameters::from([("useinbandfec", 1_u32.into())]),
        rtcp_feedback: vec![],
    }
}

fn vp8() -> RtpCodecCapability {
    RtpCodecCapability::Video {
        mime_type: MimeTypeVideo::Vp8,
        preferred_payload_type: Some(101),
        clock_rate: NonZeroU32::new(90000).unwrap(),
        parameters: RtpCodecParametersParameters::default(),
        rtcp_feedback: vec![RtcpFeedback::Nack, RtcpFeedback::NackPli],
    }
}

/// RTP capabilities of a browser with both codecs.
fn capabilities() -> RtpCapabilities {
    let rtx = RtpCodecCapability::Video {
        mime_type: MimeTypeVideo::Rtx,
        preferred_payload_type: Some(102),
        clock_rate: NonZeroU32::new(90000).unwrap(),
        parameters: RtpCodecParametersParameters::from([("apt", 101_u32.into())]),
        rtcp_feedback: vec![],
    };
    RtpCapabilities { codecs: vec![opus(), vp8(), rtx], header_extensions: vec![] }
}

fn audio(mid: &str, ssrc: u32) -> ProducerOptions {
    let codec = RtpCodecParameters::Audio {
        mime_type: MimeTypeAudio::Opus,
        payload_type: 111,
        clock_rate: NonZeroU32::new(48000).unwrap(),
        channels: NonZeroU8::new(2).unwrap(),
        parameters: RtpCodecParametersParameters::from([
            ("useinbandfec", 1_u32.into()),
            ("usedtx", 1_u32.into()),
        ]),
        rtcp_feedback: vec![],
    };
    let encoding = RtpEncodingParameters { ssrc: Some(ssrc), ..RtpEncodingParameters::default() };
    let rtp_parameters = RtpParameters {
        mid: Some(mid.to_string()),
        codecs: vec![codec],
        encodings: vec![encoding],
        ..RtpParameters::default()
    };
    ProducerOptions::new(MediaKind::Audio, rtp_parameters)
}

fn video(mid: &str, ssrc: u32) -> ProducerOptions {
    let media = RtpCodecParameters::Video {
        mime_type: MimeTypeVideo::Vp8,
        payload_type: 96,
        clock_rate: NonZeroU32::new(90000).unwrap(),
        parameters: RtpCodecParametersParameters::default(),
        rtcp_feedback: vec![RtcpFeedback::Nack, RtcpFeedback::NackPli],
    };
    let rtx = RtpCodecParameters::Video {
        mime_type: MimeTypeVideo::Rtx,
        payload_type: 97,
        clock_rate: NonZeroU32::new(90000).unwrap(),
        parameters: RtpCodecParametersParameters::from([("apt", 96_u32.into())]),
        rtcp_feedback: vec![],
    };
    let encoding = RtpEncodingParameters {
        ssrc: Some(ssrc),
        rtx: Some(RtpEncodingParametersRtx { ssrc: ssrc + 1 }),
        ..RtpEncodingParameters::default()
    };
    let rtp_parameters = RtpParameters {
        mid: Some(mid.to_string()),
        codecs: vec![media, rtx],
        encodings: vec![encoding],
        ..RtpParameters::default()
    };
    ProducerOptions::new(MediaKind::Video, rtp_parameters)
}

/// A packet of Opus with payload type 111.
fn rtp(sequence_number: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 111];
    packet.extend(sequence_number.to_be_bytes());
    packet.extend((u32::from(sequence_number) * 960).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xf8, 1, 2, 3]);
    packet
}

async fn worker() -> Worker {
    WorkerManager::new().create_worker(WorkerSettings::default()).await.unwrap()
}

async fn router() -> Router {
    worker().await.create_router(RouterOptions::new(vec![opus(), vp8()])).await.unwrap()
}

/// A router and two transports on it.
async fn transports() -> (Router, WebRtcTransport, WebRtcTransport) {
    let router = router().await;
    let first = router.create_webrtc_transport(transport_options()).await.unwrap();
    let second = router.create_webrtc_transport(transport_options()).await.unwrap();
    (router, first, second)
}
