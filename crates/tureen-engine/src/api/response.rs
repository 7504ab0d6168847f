//! Responses to requests.

use super::{
    ConsumerDump, ConsumerLayers, ConsumerScore, DataConsumerDump, DataConsumerStats, DataProducerDump,
    DataProducerStats, ProducerDump, RouterDump, RtpStreamStats, StreamType, TransportDump, TransportStats,
    WebRtcServerDump, WorkerDump,
};
use tureen_types::data_structures::{DtlsRole, IceParameters, TransportTuple};
use tureen_types::srtp_parameters::SrtpParameters;

/// Result of an accepted request.
#[derive(Clone, Debug)]
pub enum Response {
    /// Response without data.
    Done,
    /// Response to `DumpWorker`.
    WorkerDump(WorkerDump),
    /// Response to `WorkerDrops`; reasons with a count of zero are left out.
    WorkerDrops(Vec<(&'static str, u64)>),
    /// Response to `DumpWebRtcServer`.
    WebRtcServerDump(WebRtcServerDump),
    /// Response to `DumpRouter`.
    RouterDump(RouterDump),
    /// Response to `ConnectWebRtcTransport`.
    Connected {
        /// Local DTLS role.
        dtls_local_role: DtlsRole,
    },
    /// Response to `ConnectPlainTransport`.
    PlainConnected(PlainConnected),
    /// Response to `ConnectPipeTransport`.
    PipeConnected {
        /// Local address and that of the other router's transport.
        tuple: TransportTuple,
    },
    /// Response to `RestartIce`: the new credentials.
    IceParameters(IceParameters),
    /// Response to `DumpTransport` and to every request that creates a transport.
    TransportDump(Box<TransportDump>),
    /// Response to `TransportStats`.
    TransportStats(Box<TransportStats>),
    /// Response to `Produce`.
    Produced {
        /// Structure of its streams.
        stream_type: StreamType,
    },
    /// Response to `DumpProducer`.
    ProducerDump(Box<ProducerDump>),
    /// Response to `ProducerStats` and `ConsumerStats`: one entry for each stream. A Consumer's own stream is listed
    /// first, then that of its Producer.
    RtpStreamStats(Vec<RtpStreamStats>),
    /// Response to `Consume`.
    Consumed(Consumed),
    /// Response to `DumpConsumer`.
    ConsumerDump(Box<ConsumerDump>),
    /// Response to `SetPreferredLayers`: the layers in effect; `None` for a type without layers.
    PreferredLayers(Option<ConsumerLayers>),
    /// Response to `SetPriority`.
    Priority(u8),
    /// Response to `DumpDataProducer` and `ProduceData`.
    DataProducerDump(Box<DataProducerDump>),
    /// Response to `DataProducerStats`.
    DataProducerStats(DataProducerStats),
    /// Response to `DumpDataConsumer` and `ConsumeData`.
    DataConsumerDump(Box<DataConsumerDump>),
    /// Response to `DataConsumerStats`.
    DataConsumerStats(DataConsumerStats),
    /// Response to `BufferedAmount` and `SendData`: the number of bytes queued for sending.
    BufferedAmount(u32),
    /// Response to `SetSubchannels`, `AddSubchannel` and `RemoveSubchannel`: the current subscriptions.
    Subchannels(Vec<u16>),
}

/// Addresses and keys of a connected PlainTransport.
#[derive(Clone, Debug)]
pub struct PlainConnected {
    /// Local and remote address of RTP; without the remote one while `comedia` waits for the first packet.
    pub tuple: TransportTuple,
    /// Local and remote address of RTCP without `rtcp_mux`.
    pub rtcp_tuple: Option<TransportTuple>,
    /// Local SRTP keys, if SRTP is used.
    pub srtp_parameters: Option<SrtpParameters>,
}

/// Initial state of a Consumer.
#[derive(Clone, Debug)]
pub struct Consumed {
    /// True if it was created paused.
    pub paused: bool,
    /// True if its Producer is paused.
    pub producer_paused: bool,
    /// Initial score.
    pub score: ConsumerScore,
    /// Preferred layers in effect.
    pub preferred_layers: Option<ConsumerLayers>,
}

/// Reason why a request was rejected. Each text contains the object and the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No object has the identifier.
    #[error("{kind} not found [id:{id}]")]
    NotFound {
        /// Kind of object.
        kind: &'static str,
        /// Identifier in the request.
        id: String,
    },
    /// Another object has the identifier.
    #[error("{kind} already exists [id:{id}]")]
    Duplicate {
        /// Kind of object.
        kind: &'static str,
        /// Identifier in the request.
        id: String,
    },
    /// An invalid value; the caller's fault (mediasoup `TypeError`).
    #[error("{0}")]
    Invalid(String),
    /// Rejected because of the state of an object, a limit or the operating system (mediasoup `Error`).
    #[error("{0}")]
    Failed(String),
}
