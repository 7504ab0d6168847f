//! A router, and transports of the native client to it.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU8, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tureen::data_structures::DtlsState;
use tureen::prelude::*;
use tureen_client::io::{
    BoxError, ClientIo, ClientIoConfig, ConnectionState, ConsumeOptions, ProduceDataRequest, ProduceRequest,
    RecvTransportHandler, SendTransportHandler, TransportHandler, TransportOptions,
};

/// The bound of a wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test in a tokio runtime, with a bound.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("it takes too long") });
}

pub(crate) fn client_io() -> ClientIo {
    ClientIo::new(ClientIoConfig::default()).unwrap()
}

/// A worker with a router.
pub(crate) async fn router() -> Router {
    let worker = WorkerManager::new().create_worker(WorkerSettings::default()).await.unwrap();
    worker.create_router(RouterOptions::new(vec![opus(), vp8()])).await.unwrap()
}

/// Waits until the handshake is finished at the server, which is after it is finished at the client.
pub(crate) async fn dtls_connected(server: &WebRtcTransport) {
    let (changed, mut changes) = tokio::sync::mpsc::unbounded_channel();
    let _handler = server.on_dtls_state_change(move |state| _ = changed.send(state));
    while server.dtls_state() != DtlsState::Connected {
        changes.recv().await.expect("the transport tells its states");
    }
}

pub(crate) fn listen_info(ip: IpAddr) -> ListenInfo {
    ListenInfo {
        protocol: Protocol::Udp,
        ip,
        announced_address: None,
        expose_internal_ip: false,
        port: None,
        port_range: None,
        flags: None,
        send_buffer_size: None,
        recv_buffer_size: None,
    }
}

pub(crate) async fn server_transport(router: &Router) -> WebRtcTransport {
    server_transport_on(router, vec![listen_info(Ipv4Addr::LOCALHOST.into())]).await
}

pub(crate) async fn server_transport_on(router: &Router, mut infos: Vec<ListenInfo>) -> WebRtcTransport {
    let mut listen_infos = WebRtcTransportListenInfos::new(infos.remove(0));
    for info in infos {
        listen_infos = listen_infos.insert(info);
    }
    let mut options = WebRtcTransportOptions::new(listen_infos);
    options.enable_sctp = true;
    router.create_webrtc_transport(options).await.unwrap()
}

pub(crate) fn options_of(transport: &WebRtcTransport) -> TransportOptions {
    let (ice, candidates) = (transport.ice_parameters(), transport.ice_candidates());
    let mut options = TransportOptions::new(
        transport.id().to_string(),
        ice.clone(),
        candidates.clone(),
        transport.dtls_parameters(),
    );
    options.sctp_parameters = transport.sctp_parameters();
    options
}

/// Signalling within the process, which remembers what it was asked for.
pub(crate) struct Signalling {
    transport: WebRtcTransport,
    log: tokio::sync::watch::Sender<Vec<String>>,
    /// Producers of the server, kept open.
    pub(crate) producers: Mutex<Vec<Producer>>,
    pub(crate) data_producers: Mutex<Vec<DataProducer>>,
}

impl Signalling {
    pub(crate) fn new(transport: &WebRtcTransport) -> Arc<Self> {
        let log = tokio::sync::watch::Sender::default();
        let (producers, data_producers) = (Mutex::default(), Mutex::default());
        Arc::new(Self { transport: transport.clone(), log, producers, data_producers })
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// Waits until `line` was logged.
    pub(crate) async fn logged(&self, line: &str) {
        self.log.subscribe().wait_for(|log| log.iter().any(|other| other == line)).await.unwrap();
    }

    fn note(&self, line: impl Into<String>) {
        self.log.send_modify(|log| log.push(line.into()));
    }
}

#[async_trait]
impl TransportHandler for Signalling {
    async fn connect(&self, dtls_parameters: DtlsParameters) -> Result<(), BoxError> {
        self.note("connect");
        self.transport.connect(WebRtcTransportRemoteParameters { dtls_parameters }).await?;
        Ok(())
    }

    fn on_connection_state_change(&self, state: ConnectionState) {
        self.note(format!("{state:?}"));
    }
}

#[async_trait]
impl SendTransportHandler for Signalling {
    async fn produce(&self, request: ProduceRequest) -> Result<String, BoxError> {
        self.note("produce");
        let options = ProducerOptions::new(request.kind, request.rtp_parameters);
        let producer = self.transport.produce(options).await?;
        let id = producer.id().to_string();
        self.producers.lock().push(producer);
        Ok(id)
    }

    async fn produce_data(&self, request: ProduceDataRequest) -> Result<String, BoxError> {
        self.note("produce_data");
        let mut options = DataProducerOptions::new_sctp(request.sctp_stream_parameters);
        (options.label, options.protocol) = (request.label, request.protocol);
        let producer = self.transport.produce_data(options).await?;
        let id = producer.id().to_string();
        self.data_producers.lock().push(producer);
        Ok(id)
    }
}

impl RecvTransportHandler for Signalling {}

/// A consumer of the server, paused, and what the client needs of it.
pub(crate) async fn server_consumer(
    transport: &WebRtcTransport,
    producer: &str,
) -> (Consumer, ConsumeOptions) {
    let mut options = ConsumerOptions::new(producer.parse().unwrap(), capabilities());
    options.paused = true;
    let consumer = transport.consume(options).await.unwrap();
    let options = ConsumeOptions::new(
        consumer.id().to_string(),
        producer,
        consumer.kind(),
        consumer.rtp_parameters().clone(),
    );
    (consumer, options)
}

fn opus() -> RtpCodecCapability {
    RtpCodecCapability::Audio {
        mime_type: MimeTypeAudio::Opus,
        preferred_payload_type: Some(100),
        clock_rate: NonZeroU32::new(48000).unwrap(),
        channels: NonZeroU8::new(2).unwrap(),
        parameters: RtpCodecParametersParameters::default(),
        rtcp_feedback: vec![],
    }
}

fn vp8() -> RtpCodecCapability {
    RtpCodecCapability::Video {
        mime_type: MimeTypeVideo::Vp8,
        preferred_payload_type: Some(101),
        clock_rate: NonZeroU32::new(90000).unwrap(),
        parameters: RtpCodecParametersParameters::default(),
        rtcp_feedback: vec![RtcpFeedback::Nack, RtcpFeedback::NackPli, RtcpFeedback::TransportCc],
    }
}

pub(crate) fn capabilities() -> RtpCapabilities {
    let rtx = RtpCodecCapability::Video {
        mime_type: MimeTypeVideo::Rtx,
        preferred_payload_type: Some(102),
        clock_rate: NonZeroU32::new(90000).unwrap(),
        parameters: RtpCodecParametersParameters::from([("apt", 101_u32.into())]),
        rtcp_feedback: vec![],
    };
    RtpCapabilities { codecs: vec![opus(), vp8(), rtx], header_extensions: vec![] }
}

pub(crate) fn audio_parameters(mid: &str, ssrc: u32) -> RtpParameters {
    let codec = RtpCodecParameters::Audio {
        mime_type: MimeTypeAudio::Opus,
        payload_type: 111,
        clock_rate: NonZeroU32::new(48000).unwrap(),
        channels: NonZeroU8::new(2).unwrap(),
        parameters: RtpCodecParametersParameters::default(),
        rtcp_feedback: vec![],
    };
    let encoding = RtpEncodingParameters { ssrc: Some(ssrc), ..RtpEncodingParameters::default() };
    RtpParameters {
        mid: Some(mid.to_string()),
        codecs: vec![codec],
        encodings: vec![encoding],
        ..RtpParameters::default()
    }
}

pub(crate) fn video_parameters(mid: &str, encodings: Vec<RtpEncodingParameters>) -> RtpParameters {
    let media = RtpCodecParameters::Video {
        mime_type: MimeTypeVideo::Vp8,
        payload_type: 96,
        clock_rate: NonZeroU32::new(90000).unwrap(),
        parameters: RtpCodecParametersParameters::default(),
        rtcp_feedback: vec![RtcpFeedback::Nack, RtcpFeedback::NackPli, RtcpFeedback::TransportCc],
    };
    let rtx = RtpCodecParameters::Video {
        mime_type: MimeTypeVideo::Rtx,
        payload_type: 97,
        clock_rate: NonZeroU32::new(90000).unwrap(),
        parameters: RtpCodecParametersParameters::from([("apt", 96_u32.into())]),
        rtcp_feedback: vec![],
    };
    RtpParameters {
        mid: Some(mid.to_string()),
        codecs: vec![media, rtx],
        encodings,
        ..RtpParameters::default()
    }
}

pub(crate) fn video_encoding(ssrc: u32) -> RtpEncodingParameters {
    RtpEncodingParameters {
        ssrc: Some(ssrc),
        rtx: Some(RtpEncodingParametersRtx { ssrc: ssrc + 1 }),
        ..RtpEncodingParameters::default()
    }
}

/// A VP8 frame of `len` bytes that says its number.
pub(crate) fn vp8_frame(number: u32, len: usize, key_frame: bool) -> Vec<u8> {
    // RFC 6386 §9.1: frame tag; a key frame goes on with a start code and its size.
    let mut frame = vec![u8::from(!key_frame), 0, 0];
    if key_frame {
        frame.extend([0x9d, 0x01, 0x2a, 64, 1, 240, 0]);
    }
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..len).map(|at| at as u8));
    frame
}

/// The number of a [`vp8_frame`], if it is whole.
pub(crate) fn vp8_number(frame: &[u8]) -> Option<u32> {
    let at = if frame[0] & 1 == 0 { 10 } else { 3 };
    let number = u32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?);
    let rest = frame.iter().enumerate().skip(at + 4);
    rest.into_iter().all(|(at, byte)| *byte == at as u8).then_some(number)
}

#[test]
fn frames_say_their_number() {
    for key_frame in [true, false] {
        assert_eq!(vp8_number(&vp8_frame(77, 3000, key_frame)), Some(77));
    }
}
