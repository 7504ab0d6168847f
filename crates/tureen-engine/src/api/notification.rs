//! Notifications of a worker.

use super::{
    ConsumerId, ConsumerLayers, ConsumerScore, DataConsumerId, DataMessage, ProducerId, ProducerScore,
    RtpObserverId, TransportId,
};
use tureen_rtc::wire::rtp::extension::VideoOrientation;
use tureen_types::data_structures::{
    DtlsState, IceState, RtpPacketTraceInfo, SctpState, SrTraceInfo, TraceEventDirection, TransportTuple,
};
use tureen_types::sctp_parameters::SctpNegotiatedCapabilities;

/// An event of one object. The response to the request that created the object always precedes its events.
#[derive(Clone, Debug)]
pub enum Notification {
    /// An event of a transport.
    Transport(TransportId, TransportEvent),
    /// An event of a Producer.
    Producer(ProducerId, ProducerEvent),
    /// An event of a Consumer.
    Consumer(ConsumerId, ConsumerEvent),
    /// An event of a DataConsumer.
    DataConsumer(DataConsumerId, DataConsumerEvent),
    /// An event of an RTP observer.
    RtpObserver(RtpObserverId, RtpObserverEvent),
}

/// Events of a transport.
#[derive(Clone, Debug)]
pub enum TransportEvent {
    /// The ICE state changed.
    IceState(IceState),
    /// The selected tuple changed.
    IceSelectedTuple(TransportTuple),
    /// The DTLS state changed. `Connected` includes the remote certificate in PEM.
    DtlsState {
        /// New state.
        state: DtlsState,
        /// Remote certificate in PEM, once received.
        remote_certificate: Option<String>,
    },
    /// The WebRtcServer of the transport was closed, and the transport with it.
    ListenServerClosed,
    /// The remote RTP address of a PlainTransport with `comedia` was learned.
    Tuple(TransportTuple),
    /// The remote RTCP address of a PlainTransport with `comedia` was learned.
    RtcpTuple(TransportTuple),
    /// The SCTP state changed.
    SctpState(SctpState),
    /// The SCTP capabilities were negotiated.
    SctpNegotiatedCapabilities(SctpNegotiatedCapabilities),
    /// An RTCP packet for the application on a DirectTransport.
    Rtcp(Vec<u8>),
    /// A probation packet was sent (trace `probation`).
    Probation {
        /// Time of the worker's clock in milliseconds.
        timestamp_ms: u64,
        /// Traced packet.
        info: RtpPacketTraceInfo,
    },
    /// The outgoing estimate changed (trace `bwe`).
    Bwe {
        /// Time of the worker's clock in milliseconds.
        timestamp_ms: u64,
        /// Estimate and limits.
        info: BweInfo,
    },
}

/// State of the congestion control for sending. All values are in bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BweInfo {
    /// Feedback that the estimate is made from.
    pub source: BweSource,
    /// Bitrate that the consumers would use without a limit.
    pub desired_bitrate: u64,
    /// The desired bitrate, smoothed (mediasoup's "effective desired bitrate").
    pub effective_desired_bitrate: u64,
    /// Lower limit.
    pub min_bitrate: u64,
    /// Upper limit.
    pub max_bitrate: u64,
    /// Initial estimate.
    pub start_bitrate: u64,
    /// Maximum bitrate of padding.
    pub max_padding_bitrate: u64,
    /// The estimate.
    pub available_bitrate: u64,
}

/// Feedback that congestion control uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BweSource {
    /// Transport-wide feedback.
    TransportCc,
    /// The receiver's estimate (REMB).
    Remb,
}

/// Events of a Producer.
#[derive(Clone, Debug)]
pub enum ProducerEvent {
    /// The score of a stream changed.
    Score(Vec<ProducerScore>),
    /// The video orientation changed.
    VideoOrientation(VideoOrientation),
    /// A traced event.
    Trace(MediaTraceEvent),
}

/// Events of a Consumer.
#[derive(Clone, Debug)]
pub enum ConsumerEvent {
    /// Its Producer was paused.
    ProducerPause,
    /// Its Producer was resumed.
    ProducerResume,
    /// Its Producer was closed, and the Consumer with it.
    ProducerClose,
    /// The score of the Consumer or its Producer changed.
    Score(ConsumerScore),
    /// The layers that are sent changed; `None` means that none are sent.
    LayersChange(Option<ConsumerLayers>),
    /// A traced event.
    Trace(MediaTraceEvent),
    /// An RTP packet for the application on a DirectTransport.
    Rtp(Vec<u8>),
}

/// Events of a DataConsumer.
#[derive(Clone, Debug)]
pub enum DataConsumerEvent {
    /// Its DataProducer was paused.
    DataProducerPause,
    /// Its DataProducer was resumed.
    DataProducerResume,
    /// Its DataProducer was closed, and the DataConsumer with it.
    DataProducerClose,
    /// A message was dropped because the send buffer is full.
    SctpSendBufferFull,
    /// The number of buffered bytes fell to the threshold or below.
    BufferedAmountLow(u32),
    /// A message for the application on a DirectTransport.
    Message(DataMessage),
}

/// Events of an RTP observer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RtpObserverEvent {
    /// The loudest producers with their average levels in dBov, −127 to 0, the loudest first (AudioLevelObserver).
    Volumes(Vec<(ProducerId, i8)>),
    /// No producer reaches the threshold any more (AudioLevelObserver).
    Silence,
    /// The dominant speaker changed (ActiveSpeakerObserver).
    DominantSpeaker(ProducerId),
}

/// One traced event of a Producer or Consumer.
#[derive(Clone, Debug)]
pub struct MediaTraceEvent {
    /// Time of the worker's clock in milliseconds.
    pub timestamp_ms: u64,
    /// Direction of the packet or message.
    pub direction: TraceEventDirection,
    /// Kind of the event and its data.
    pub data: MediaTraceData,
}

/// Kind of a trace event and its data.
#[derive(Clone, Debug)]
pub enum MediaTraceData {
    /// An RTP packet.
    Rtp(RtpPacketTraceInfo),
    /// An RTP packet that starts a key frame.
    KeyFrame(RtpPacketTraceInfo),
    /// A NACK.
    Nack,
    /// A picture loss indication for this SSRC.
    Pli(u32),
    /// A full intra request for this SSRC.
    Fir(u32),
    /// A sender report.
    Sr(SrTraceInfo),
}
