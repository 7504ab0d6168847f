//! Answers to requests.

use super::{
    ConsumerDump, ConsumerLayers, ConsumerScore, DataConsumerDump, DataConsumerStats, DataProducerDump,
    DataProducerStats, ProducerDump, RouterDump, RtpStreamStats, StreamType, TransportDump, TransportStats,
    WebRtcServerDump, WorkerDump,
};
use tureen_types::data_structures::{DtlsRole, IceParameters, TransportTuple};
use tureen_types::srtp_parameters::SrtpParameters;

/// What a request that was accepted returns.
#[derive(Clone, Debug)]
pub enum Response {
    /// Done; there is nothing to say.
    Done,
    /// Answer to `DumpWorker`.
    WorkerDump(WorkerDump),
    /// Answer to `WorkerDrops`; reasons that never happened are left out.
    WorkerDrops(Vec<(&'static str, u64)>),
    /// Answer to `DumpWebRtcServer`.
    WebRtcServerDump(WebRtcServerDump),
    /// Answer to `DumpRouter`.
    RouterDump(RouterDump),
    /// Answer to `ConnectWebRtcTransport`: the DTLS role taken.
    Connected {
        /// This side's role.
        dtls_local_role: DtlsRole,
    },
    /// Answer to `ConnectPlainTransport`.
    PlainConnected(PlainConnected),
    /// Answer to `ConnectPipeTransport`: the path.
    PipeConnected {
        /// From here to the other router's transport.
        tuple: TransportTuple,
    },
    /// Answer to `RestartIce`: the new credentials.
    IceParameters(IceParameters),
    /// Answer to `DumpTransport` and to every request that makes a transport.
    TransportDump(Box<TransportDump>),
    /// Answer to `TransportStats`.
    TransportStats(Box<TransportStats>),
    /// Answer to `Produce`.
    Produced {
        /// How its streams are structured.
        stream_type: StreamType,
    },
    /// Answer to `DumpProducer`.
    ProducerDump(Box<ProducerDump>),
    /// Answer to `ProducerStats` and `ConsumerStats`: one entry for each stream. A Consumer's own stream comes first,
    /// then that of its Producer.
    RtpStreamStats(Vec<RtpStreamStats>),
    /// Answer to `Consume`.
    Consumed(Consumed),
    /// Answer to `DumpConsumer`.
    ConsumerDump(Box<ConsumerDump>),
    /// Answer to `SetPreferredLayers`: the layers as they are taken; none for a type without layers.
    PreferredLayers(Option<ConsumerLayers>),
    /// Answer to `SetPriority`.
    Priority(u8),
    /// Answer to `DumpDataProducer` and `ProduceData`.
    DataProducerDump(Box<DataProducerDump>),
    /// Answer to `DataProducerStats`.
    DataProducerStats(DataProducerStats),
    /// Answer to `DumpDataConsumer` and `ConsumeData`.
    DataConsumerDump(Box<DataConsumerDump>),
    /// Answer to `DataConsumerStats`.
    DataConsumerStats(DataConsumerStats),
    /// Answer to `BufferedAmount` and `SendData`: how many bytes wait now.
    BufferedAmount(u32),
    /// Answer to `SetSubchannels`, `AddSubchannel` and `RemoveSubchannel`: those subscribed to now.
    Subchannels(Vec<u16>),
}

/// A PlainTransport that knows its remote side.
#[derive(Clone, Debug)]
pub struct PlainConnected {
    /// Path of RTP; without a remote side while `comedia` waits for the first packet.
    pub tuple: TransportTuple,
    /// Path of RTCP without `rtcp_mux`.
    pub rtcp_tuple: Option<TransportTuple>,
    /// This side's keys, with SRTP.
    pub srtp_parameters: Option<SrtpParameters>,
}

/// A Consumer as it was made.
#[derive(Clone, Debug)]
pub struct Consumed {
    /// Whether it was made paused.
    pub paused: bool,
    /// Whether its Producer is paused.
    pub producer_paused: bool,
    /// Its first score.
    pub score: ConsumerScore,
    /// The layers as they are taken.
    pub preferred_layers: Option<ConsumerLayers>,
}

/// Why a request was refused. Each text names the thing and the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No such object.
    #[error("{kind} not found [id:{id}]")]
    NotFound {
        /// What kind of object.
        kind: &'static str,
        /// The identifier asked for.
        id: String,
    },
    /// The identifier is taken.
    #[error("{kind} already exists [id:{id}]")]
    Duplicate {
        /// What kind of object.
        kind: &'static str,
        /// The identifier given.
        id: String,
    },
    /// A value that can't be right; the caller's fault (mediasoup `TypeError`).
    #[error("{0}")]
    Invalid(String),
    /// The state forbids it, or a limit or the operating system does (mediasoup `Error`).
    #[error("{0}")]
    Failed(String),
}
