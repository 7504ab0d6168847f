//! What a worker says by itself.

use super::{
    ConsumerId, ConsumerLayers, ConsumerScore, DataConsumerId, DataMessage, ProducerId, ProducerScore,
    RtpObserverId, TransportId,
};
use tureen_rtc::wire::rtp::extension::VideoOrientation;
use tureen_types::data_structures::{
    DtlsState, IceState, RtpPacketTraceInfo, SctpState, SrTraceInfo, TraceEventDirection, TransportTuple,
};
use tureen_types::sctp_parameters::SctpNegotiatedCapabilities;

/// An event of one object. A response to the request that made the object always comes first.
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
    /// ICE changed state.
    IceState(IceState),
    /// Media now goes to another address.
    IceSelectedTuple(TransportTuple),
    /// DTLS changed state. With `Connected` comes the remote certificate in PEM.
    DtlsState {
        /// The new state.
        state: DtlsState,
        /// The remote certificate in PEM, once known.
        remote_certificate: Option<String>,
    },
    /// The WebRtcServer under the transport was closed, and the transport with it.
    ListenServerClosed,
    /// RTP of a PlainTransport with `comedia` comes from here.
    Tuple(TransportTuple),
    /// RTCP of a PlainTransport with `comedia` comes from here.
    RtcpTuple(TransportTuple),
    /// SCTP changed state.
    SctpState(SctpState),
    /// What both SCTP sides agreed on.
    SctpNegotiatedCapabilities(SctpNegotiatedCapabilities),
    /// An RTCP packet for the application at the far end of a DirectTransport.
    Rtcp(Vec<u8>),
    /// A probation packet was sent (trace `probation`).
    Probation {
        /// Milliseconds of the worker's clock.
        timestamp_ms: u64,
        /// The packet.
        info: RtpPacketTraceInfo,
    },
    /// The outgoing estimate changed (trace `bwe`).
    Bwe {
        /// Milliseconds of the worker's clock.
        timestamp_ms: u64,
        /// The figures.
        info: BweInfo,
    },
}

/// What the sending side's congestion control thinks. All figures are in bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BweInfo {
    /// Where its knowledge comes from.
    pub source: BweSource,
    /// What the consumers would like to send.
    pub desired_bitrate: u64,
    /// The same, smoothed (mediasoup's "effective desired bitrate").
    pub effective_desired_bitrate: u64,
    /// Floor.
    pub min_bitrate: u64,
    /// Ceiling.
    pub max_bitrate: u64,
    /// Where it began.
    pub start_bitrate: u64,
    /// Most that is spent on padding.
    pub max_padding_bitrate: u64,
    /// The estimate.
    pub available_bitrate: u64,
}

/// What congestion control learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BweSource {
    /// Transport-wide feedback.
    TransportCc,
    /// The receiver's own estimate (REMB).
    Remb,
}

/// Events of a Producer.
#[derive(Clone, Debug)]
pub enum ProducerEvent {
    /// A stream's score changed.
    Score(Vec<ProducerScore>),
    /// The camera was turned.
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
    /// Its or its Producer's score changed.
    Score(ConsumerScore),
    /// Other layers are sent now; `None` is nothing.
    LayersChange(Option<ConsumerLayers>),
    /// A traced event.
    Trace(MediaTraceEvent),
    /// An RTP packet for the application at the far end of a DirectTransport.
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
    /// A message was dropped because too much waits to be sent.
    SctpSendBufferFull,
    /// The bytes that wait to be sent fell to the threshold or below.
    BufferedAmountLow(u32),
    /// A message for the application at the far end of a DirectTransport.
    Message(DataMessage),
}

/// Events of an RTP observer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RtpObserverEvent {
    /// The loudest producers with their average levels in dBov, −127 to 0, the loudest first (AudioLevelObserver).
    Volumes(Vec<(ProducerId, i8)>),
    /// Nobody is loud enough any more (AudioLevelObserver).
    Silence,
    /// Who speaks now (ActiveSpeakerObserver).
    DominantSpeaker(ProducerId),
}

/// One traced event of a Producer or Consumer.
#[derive(Clone, Debug)]
pub struct MediaTraceEvent {
    /// Milliseconds of the worker's clock.
    pub timestamp_ms: u64,
    /// In from the network or out to it.
    pub direction: TraceEventDirection,
    /// What happened.
    pub data: MediaTraceData,
}

/// What a trace event of media is about.
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
