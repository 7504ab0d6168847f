//! Responses and events for the parent.

use serde::Serialize;
use tureen_engine::api::{
    BweInfo, BweSource, ConsumerEvent, ConsumerId, DataConsumerEvent, DataConsumerId, DataProducerId,
    ProducerEvent, ProducerId, Response, RouterDump, RouterId, RtpObserverEvent, RtpObserverId, StreamType,
    TransportEvent, TransportId, WebRtcServerId, WorkerDump,
};
use tureen_net::ResourceUsage;
use tureen_types::data_structures::{
    DtlsRole, DtlsState, IceParameters, IceState, SctpState, TraceEventDirection,
};

use super::media::{
    Consumer, DataConsumer, DataProducer, DataStats, Layers, NewConsumer, PacketTrace, Producer, Score,
    StreamScore, StreamStats, Trace,
};
use super::rtp::StreamTypeName;
use super::transport::{Connected, Dump, ServerDump, Stats, Tuple};
use super::{Generation, Local, Table, list};

/// Data of a response.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Body {
    Worker(Worker),
    ResourceUsage(Usage),
    WebRtcServer(ServerDump),
    Router(Router),
    #[serde(rename_all = "camelCase")]
    Dtls {
        dtls_local_role: DtlsRole,
    },
    Connected(Connected),
    PipeConnected {
        tuple: Tuple,
    },
    #[serde(rename_all = "camelCase")]
    Ice {
        ice_parameters: IceParameters,
    },
    Transport(Box<Dump>),
    TransportStats([Box<Stats>; 1]),
    Produced {
        #[serde(rename = "type", with = "StreamTypeName")]
        stream_type: StreamType,
    },
    Producer(Box<Producer>),
    StreamStats(Vec<StreamStats>),
    Consumed(NewConsumer),
    Consumer(Box<Consumer>),
    Layers(Layers),
    Priority {
        priority: u8,
    },
    DataProducer(DataProducer),
    DataConsumer(DataConsumer),
    DataStats([DataStats; 1]),
    #[serde(rename_all = "camelCase")]
    BufferedAmount {
        buffered_amount: u32,
    },
}

impl Body {
    /// `None` if the response has no data.
    pub(super) fn new(from: Response, generation: Generation, pid: u32) -> Option<Self> {
        use Response as R;
        Some(match from {
            // Never requested by these versions.
            R::Done | R::WorkerDrops(_) | R::Subchannels(_) | R::PreferredLayers(None) => return None,
            R::WorkerDump(dump) => Self::Worker(Worker::new(dump, generation, pid)),
            R::WebRtcServerDump(dump) => Self::WebRtcServer(dump.into()),
            R::RouterDump(dump) => Self::Router(dump.into()),
            R::Connected { dtls_local_role } => Self::Dtls { dtls_local_role },
            R::PlainConnected(connected) => Self::Connected(connected.into()),
            R::PipeConnected { tuple } => Self::PipeConnected { tuple: tuple.into() },
            R::IceParameters(ice_parameters) => Self::Ice { ice_parameters },
            R::TransportDump(dump) => Self::Transport(Box::new(Dump::new(*dump, generation))),
            R::TransportStats(stats) => Self::TransportStats([Box::new((*stats).into())]),
            R::Produced { stream_type } => Self::Produced { stream_type },
            R::ProducerDump(dump) => Self::Producer(Box::new((*dump).into())),
            R::RtpStreamStats(stats) => Self::StreamStats(list(stats, StreamStats::from)),
            R::Consumed(consumed) => Self::Consumed(NewConsumer::new(consumed, generation)),
            R::ConsumerDump(dump) => Self::Consumer(Box::new((*dump).into())),
            R::PreferredLayers(Some(layers)) => Self::Layers(layers.into()),
            R::Priority(priority) => Self::Priority { priority },
            R::DataProducerDump(dump) => Self::DataProducer(DataProducer::new(*dump, generation)),
            R::DataProducerStats(stats) => Self::DataStats([DataStats::of_producer(stats)]),
            R::DataConsumerDump(dump) => Self::DataConsumer(DataConsumer::new(*dump, generation)),
            R::DataConsumerStats(stats) => Self::DataStats([DataStats::of_consumer(stats, generation)]),
            R::BufferedAmount(buffered_amount) => Self::BufferedAmount { buffered_amount },
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Worker {
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    web_rtc_server_ids: Option<Vec<WebRtcServerId>>,
    router_ids: Vec<RouterId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_message_handlers: Option<Handlers>,
}

/// Objects that take requests and notifications.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Handlers {
    channel_request_handlers: Vec<String>,
    payload_channel_request_handlers: Vec<String>,
    payload_channel_notification_handlers: Vec<String>,
}

impl Worker {
    fn new(from: WorkerDump, generation: Generation, pid: u32) -> Self {
        let servers = from.webrtc_server_ids;
        let handlers = (generation >= Generation::V3_10_6).then(|| {
            let mut requests = texts(&servers);
            requests.extend(texts(&from.router_ids));
            requests.extend(texts(&from.transport_ids));
            requests.extend(texts(&from.producer_ids));
            requests.extend(texts(&from.consumer_ids));
            requests.extend(texts(&from.rtp_observer_ids));
            requests.extend(texts(&from.data_producer_ids));
            requests.extend(texts(&from.data_consumer_ids));
            let mut notifications = texts(&from.transport_ids);
            notifications.extend(texts(&from.producer_ids));
            notifications.extend(texts(&from.data_producer_ids));
            Handlers {
                channel_request_handlers: requests,
                payload_channel_request_handlers: texts(&from.data_consumer_ids),
                payload_channel_notification_handlers: notifications,
            }
        });
        Self {
            pid,
            web_rtc_server_ids: (generation >= Generation::V3_9).then_some(servers),
            router_ids: from.router_ids,
            channel_message_handlers: handlers,
        }
    }
}

fn texts<T: Clone + Into<String>>(ids: &[T]) -> Vec<String> {
    ids.iter().cloned().map(Into::into).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Router {
    id: RouterId,
    transport_ids: Vec<TransportId>,
    rtp_observer_ids: Vec<RtpObserverId>,
    map_consumer_id_producer_id: Table<ConsumerId, Local<ProducerId>>,
    map_producer_id_consumer_ids: Table<Local<ProducerId>, Vec<ConsumerId>>,
    map_producer_id_observer_ids: Table<Local<ProducerId>, Vec<RtpObserverId>>,
    map_data_consumer_id_data_producer_id: Table<DataConsumerId, Local<DataProducerId>>,
    map_data_producer_id_data_consumer_ids: Table<Local<DataProducerId>, Vec<DataConsumerId>>,
}

impl From<RouterDump> for Router {
    fn from(from: RouterDump) -> Self {
        fn named<K, V>(map: Vec<(K, V)>) -> Table<Local<K>, V> {
            Table(list(map, |(key, values)| (Local(key), values)))
        }
        fn turned<K: Clone, V: Clone>(map: &[(K, Vec<V>)]) -> Table<V, Local<K>> {
            let pairs = map.iter().flat_map(|(key, values)| values.iter().map(move |value| (value, key)));
            Table(pairs.map(|(value, key)| (value.clone(), Local(key.clone()))).collect())
        }
        Self {
            id: from.id,
            transport_ids: from.transport_ids,
            rtp_observer_ids: from.rtp_observer_ids,
            map_consumer_id_producer_id: turned(&from.producer_consumers),
            map_producer_id_consumer_ids: named(from.producer_consumers),
            map_producer_id_observer_ids: named(from.producer_observers),
            map_data_consumer_id_data_producer_id: turned(&from.data_producer_consumers),
            map_data_producer_id_data_consumer_ids: named(from.data_producer_consumers),
        }
    }
}

/// Resource usage of the process, by the names of `getrusage`.
#[derive(Serialize)]
pub(super) struct Usage {
    ru_utime: u64,
    ru_stime: u64,
    ru_maxrss: u64,
    ru_ixrss: u64,
    ru_idrss: u64,
    ru_isrss: u64,
    ru_minflt: u64,
    ru_majflt: u64,
    ru_nswap: u64,
    ru_inblock: u64,
    ru_oublock: u64,
    ru_msgsnd: u64,
    ru_msgrcv: u64,
    ru_nsignals: u64,
    ru_nvcsw: u64,
    ru_nivcsw: u64,
}

impl From<ResourceUsage> for Usage {
    fn from(from: ResourceUsage) -> Self {
        Self {
            ru_utime: from.user_time_ms,
            ru_stime: from.system_time_ms,
            ru_maxrss: from.max_rss,
            ru_ixrss: from.shared_memory,
            ru_idrss: from.unshared_data,
            ru_isrss: from.unshared_stack,
            ru_minflt: from.minor_faults,
            ru_majflt: from.major_faults,
            ru_nswap: from.swaps,
            ru_inblock: from.block_inputs,
            ru_oublock: from.block_outputs,
            ru_msgsnd: from.messages_sent,
            ru_msgrcv: from.messages_received,
            ru_nsignals: from.signals,
            ru_nvcsw: from.voluntary_switches,
            ru_nivcsw: from.involuntary_switches,
        }
    }
}

/// An event.
pub(super) struct Event {
    pub(super) name: &'static str,
    pub(super) data: Option<EventData>,
    /// Payload that follows on the payload channel. The event then goes there too.
    pub(super) payload: Option<Vec<u8>>,
}

/// Data of an event.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum EventData {
    #[serde(rename_all = "camelCase")]
    IceState {
        ice_state: IceState,
    },
    #[serde(rename_all = "camelCase")]
    SelectedTuple {
        ice_selected_tuple: Tuple,
    },
    #[serde(rename_all = "camelCase")]
    DtlsState {
        dtls_state: DtlsState,
        #[serde(skip_serializing_if = "Option::is_none")]
        dtls_remote_cert: Option<String>,
    },
    #[serde(rename_all = "camelCase")]
    SctpState {
        sctp_state: SctpState,
    },
    Tuple {
        tuple: Tuple,
    },
    #[serde(rename_all = "camelCase")]
    RtcpTuple {
        rtcp_tuple: Tuple,
    },
    TransportTrace(TransportTrace),
    StreamScores(Vec<StreamScore>),
    VideoOrientation {
        camera: bool,
        flip: bool,
        rotation: u16,
    },
    Trace(Trace),
    Score(Score),
    /// `null` if nothing is sent.
    Layers(Option<Layers>),
    #[serde(rename_all = "camelCase")]
    BufferedAmount {
        buffered_amount: u32,
    },
    Message {
        ppid: u32,
    },
    Volumes(Vec<Volume>),
    #[serde(rename_all = "camelCase")]
    Speaker {
        producer_id: Local<ProducerId>,
    },
}

impl Event {
    fn new(name: &'static str, data: EventData) -> Self {
        Self { name, data: Some(data), payload: None }
    }

    fn bare(name: &'static str) -> Self {
        Self { name, data: None, payload: None }
    }

    fn with_payload(name: &'static str, data: Option<EventData>, payload: Vec<u8>) -> Self {
        Self { name, data, payload: Some(payload) }
    }

    /// `None` for an event that the library does not know.
    pub(super) fn of_transport(from: TransportEvent) -> Option<Self> {
        use TransportEvent as E;
        Some(match from {
            E::IceState(ice_state) => Self::new("icestatechange", EventData::IceState { ice_state }),
            E::IceSelectedTuple(tuple) => {
                let ice_selected_tuple = tuple.into();
                Self::new("iceselectedtuplechange", EventData::SelectedTuple { ice_selected_tuple })
            }
            E::DtlsState { state, remote_certificate } => Self::new(
                "dtlsstatechange",
                EventData::DtlsState { dtls_state: state, dtls_remote_cert: remote_certificate },
            ),
            E::Tuple(tuple) => Self::new("tuple", EventData::Tuple { tuple: tuple.into() }),
            E::RtcpTuple(tuple) => Self::new("rtcptuple", EventData::RtcpTuple { rtcp_tuple: tuple.into() }),
            E::SctpState(sctp_state) => Self::new("sctpstatechange", EventData::SctpState { sctp_state }),
            E::Rtcp(packet) => Self::with_payload("rtcp", None, packet),
            E::Probation { timestamp_ms, info } => {
                TransportTrace::event(timestamp_ms, TransportTraceData::Probation(info.into()))
            }
            E::Bwe { timestamp_ms, info } => {
                TransportTrace::event(timestamp_ms, TransportTraceData::Bwe(info.into()))
            }
            // Left out, because the library keeps the transports of a WebRtcServer itself.
            E::ListenServerClosed | E::SctpNegotiatedCapabilities(_) => return None,
        })
    }

    pub(super) fn of_producer(from: ProducerEvent, generation: Generation) -> Self {
        match from {
            ProducerEvent::Score(scores) => {
                let scores = list(scores, |score| StreamScore::new(score, generation));
                Self::new("score", EventData::StreamScores(scores))
            }
            ProducerEvent::VideoOrientation(orientation) => Self::new(
                "videoorientationchange",
                EventData::VideoOrientation {
                    camera: orientation.back_camera,
                    flip: orientation.flip,
                    rotation: orientation.rotation(),
                },
            ),
            ProducerEvent::Trace(trace) => Self::new("trace", EventData::Trace(trace.into())),
        }
    }

    pub(super) fn of_consumer(from: ConsumerEvent, generation: Generation) -> Self {
        match from {
            ConsumerEvent::ProducerPause => Self::bare("producerpause"),
            ConsumerEvent::ProducerResume => Self::bare("producerresume"),
            ConsumerEvent::ProducerClose => Self::bare("producerclose"),
            ConsumerEvent::Score(score) => {
                Self::new("score", EventData::Score(Score::new(score, generation)))
            }
            ConsumerEvent::LayersChange(layers) => {
                Self::new("layerschange", EventData::Layers(layers.map(Into::into)))
            }
            ConsumerEvent::Trace(trace) => Self::new("trace", EventData::Trace(trace.into())),
            ConsumerEvent::Rtp(packet) => Self::with_payload("rtp", None, packet),
        }
    }

    /// `None` for an event that the library does not know.
    pub(super) fn of_data_consumer(from: DataConsumerEvent) -> Option<Self> {
        Some(match from {
            // Never happens, because these versions cannot pause a DataProducer.
            DataConsumerEvent::DataProducerPause | DataConsumerEvent::DataProducerResume => return None,
            DataConsumerEvent::DataProducerClose => Self::bare("dataproducerclose"),
            DataConsumerEvent::SctpSendBufferFull => Self::bare("sctpsendbufferfull"),
            DataConsumerEvent::BufferedAmountLow(buffered_amount) => {
                Self::new("bufferedamountlow", EventData::BufferedAmount { buffered_amount })
            }
            DataConsumerEvent::Message(message) => {
                let data = EventData::Message { ppid: message.ppid };
                Self::with_payload("message", Some(data), message.payload)
            }
        })
    }

    pub(super) fn of_observer(from: RtpObserverEvent) -> Self {
        match from {
            RtpObserverEvent::Volumes(volumes) => {
                let volumes = list(volumes, |(id, volume)| Volume { producer_id: Local(id), volume });
                Self::new("volumes", EventData::Volumes(volumes))
            }
            RtpObserverEvent::Silence => Self::bare("silence"),
            RtpObserverEvent::DominantSpeaker(id) => {
                Self::new("dominantspeaker", EventData::Speaker { producer_id: Local(id) })
            }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Volume {
    producer_id: Local<ProducerId>,
    volume: i8,
}

/// A trace event of a transport.
#[derive(Serialize)]
pub(super) struct TransportTrace {
    #[serde(flatten)]
    data: TransportTraceData,
    timestamp: u64,
    direction: TraceEventDirection,
}

#[derive(Serialize)]
#[serde(tag = "type", content = "info", rename_all = "lowercase")]
enum TransportTraceData {
    Probation(PacketTrace),
    Bwe(Bwe),
}

impl TransportTrace {
    fn event(timestamp: u64, data: TransportTraceData) -> Event {
        let trace = Self { data, timestamp, direction: TraceEventDirection::Out };
        Event::new("trace", EventData::TransportTrace(trace))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bwe {
    r#type: &'static str,
    desired_bitrate: u64,
    effective_desired_bitrate: u64,
    min_bitrate: u64,
    max_bitrate: u64,
    start_bitrate: u64,
    max_padding_bitrate: u64,
    available_bitrate: u64,
}

impl From<BweInfo> for Bwe {
    fn from(from: BweInfo) -> Self {
        Self {
            r#type: match from.source {
                BweSource::TransportCc => "transport-cc",
                BweSource::Remb => "remb",
            },
            desired_bitrate: from.desired_bitrate,
            effective_desired_bitrate: from.effective_desired_bitrate,
            min_bitrate: from.min_bitrate,
            max_bitrate: from.max_bitrate,
            start_bitrate: from.start_bitrate,
            max_padding_bitrate: from.max_padding_bitrate,
            available_bitrate: from.available_bitrate,
        }
    }
}
