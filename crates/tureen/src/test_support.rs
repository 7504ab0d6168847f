//! Fixtures of the unit tests.

use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU8, NonZeroU32};

use crate::prelude::*;

/// A socket on the loopback address.
pub(crate) fn listen_info(port: Option<u16>) -> ListenInfo {
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

pub(crate) fn opus() -> Vec<RtpCodecCapability> {
    vec![RtpCodecCapability::Audio {
        mime_type: MimeTypeAudio::Opus,
        preferred_payload_type: Some(100),
        clock_rate: NonZeroU32::new(48000).unwrap(),
        channels: NonZeroU8::new(2).unwrap(),
        parameters: RtpCodecParametersParameters::default(),
        rtcp_feedback: vec![],
    }]
}

pub(crate) fn audio_producer() -> ProducerOptions {
    let codec = RtpCodecParameters::Audio {
        mime_type: MimeTypeAudio::Opus,
        payload_type: 111,
        clock_rate: NonZeroU32::new(48000).unwrap(),
        channels: NonZeroU8::new(2).unwrap(),
        parameters: RtpCodecParametersParameters::default(),
        rtcp_feedback: vec![],
    };
    let rtp_parameters =
        RtpParameters { mid: Some("AUDIO".to_string()), codecs: vec![codec], ..RtpParameters::default() };
    ProducerOptions::new(MediaKind::Audio, rtp_parameters)
}

pub(crate) async fn worker() -> Worker {
    WorkerManager::new().create_worker(WorkerSettings::default()).await.unwrap()
}

/// A worker with a router, two transports, and audio from one to the other.
pub(crate) struct Call {
    pub(crate) worker: Worker,
    pub(crate) router: Router,
    pub(crate) transports: [WebRtcTransport; 2],
    pub(crate) producer: Producer,
    pub(crate) consumer: Consumer,
}

impl Call {
    pub(crate) async fn new() -> Self {
        let worker = worker().await;
        let router = worker.create_router(RouterOptions::new(opus())).await.unwrap();
        let options = WebRtcTransportOptions::new(WebRtcTransportListenInfos::new(listen_info(None)));
        let transports = [
            router.create_webrtc_transport(options.clone()).await.unwrap(),
            router.create_webrtc_transport(options).await.unwrap(),
        ];
        let producer = transports[0].produce(audio_producer()).await.unwrap();
        let capabilities = RtpCapabilities { codecs: opus(), ..RtpCapabilities::default() };
        let consumer =
            transports[1].consume(ConsumerOptions::new(producer.id(), capabilities)).await.unwrap();
        Self { worker, router, transports, producer, consumer }
    }
}
