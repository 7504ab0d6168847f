//! Requests of the parent.

use std::num::NonZeroU16;
use std::time::Duration;

use serde::Deserialize;
use tureen_engine::api::AudioLevelOptions;
use tureen_engine::api::{
    ActiveSpeakerOptions, Consume, ConsumeData, ConsumerLayers, CreateActiveSpeakerObserver,
    CreateAudioLevelObserver, CreateWebRtcServer, DataTransport, MediaTrace, Produce, ProduceData, Request,
    StreamType, TransportTrace,
};
use tureen_rtc::units::Bitrate;
use tureen_types::rtp_parameters::MediaKind;

use super::message::{Message, read_data};
use super::rtp::{Encoding, Mapping, RtpParameters, StreamTypeName};
use super::transport::{Connect, DirectOptions, PipeOptions, PlainOptions, ServerOptions, WebRtcOptions};
use super::{Generation, list};
use crate::dialect::{Call, LogSettings};
use crate::parts::{Parse, invalid, read_stream_parameters};

/// Content of a request.
pub(super) fn read(message: Message, generation: Generation) -> Parse<Call> {
    use Request as R;

    let Message { method, ids, data } = message;
    let method = method.as_str();

    /// The data, which must have all fields that the method needs.
    macro_rules! data {
        ($data:ty) => {
            read_data::<$data>(method, data)?
        };
    }

    Ok(Call::Engine(match method {
        "worker.getResourceUsage" => return Ok(Call::ResourceUsage),
        "worker.updateSettings" => {
            let Settings { log_level, log_tags } = data!(Settings);
            return Ok(Call::UpdateSettings(LogSettings { level: log_level, tags: log_tags }));
        }
        "worker.dump" => R::DumpWorker,
        "worker.createWebRtcServer" => {
            let listen_infos = data!(ServerOptions).read()?;
            R::CreateWebRtcServer(CreateWebRtcServer { id: ids.server()?, listen_infos })
        }
        "webRtcServer.close" | "worker.closeWebRtcServer" => R::CloseWebRtcServer(ids.server()?),
        "webRtcServer.dump" => R::DumpWebRtcServer(ids.server()?),
        "worker.createRouter" => R::CreateRouter(ids.router()?),
        "router.close" | "worker.closeRouter" => R::CloseRouter(ids.router()?),

        "router.dump" => R::DumpRouter(ids.router()?),
        "router.createWebRtcTransport" => {
            R::CreateWebRtcTransport(data!(WebRtcOptions).read(ids.router()?, ids.transport()?, None)?)
        }
        "router.createWebRtcTransportWithServer" => {
            let server = Some(ids.server()?);
            R::CreateWebRtcTransport(data!(WebRtcOptions).read(ids.router()?, ids.transport()?, server)?)
        }
        "router.createPlainTransport" => {
            R::CreatePlainTransport(data!(PlainOptions).read(ids.router()?, ids.transport()?)?)
        }
        "router.createPipeTransport" => {
            R::CreatePipeTransport(data!(PipeOptions).read(ids.router()?, ids.transport()?, generation)?)
        }
        "router.createDirectTransport" => {
            R::CreateDirectTransport(data!(DirectOptions).read(ids.router()?, ids.transport()?))
        }
        "router.createActiveSpeakerObserver" => {
            let interval = Duration::from_millis(data!(ActiveSpeaker).interval.into());
            R::CreateActiveSpeakerObserver(CreateActiveSpeakerObserver {
                router_id: ids.router()?,
                id: ids.observer()?,
                options: ActiveSpeakerOptions { interval },
            })
        }
        "router.createAudioLevelObserver" => {
            let AudioLevel { max_entries, threshold, interval } = data!(AudioLevel);
            let interval = Duration::from_millis(interval.into());
            R::CreateAudioLevelObserver(CreateAudioLevelObserver {
                router_id: ids.router()?,
                id: ids.observer()?,
                options: AudioLevelOptions { max_entries, threshold, interval },
            })
        }

        "transport.close" | "router.closeTransport" => R::CloseTransport(ids.transport()?),
        "transport.dump" => R::DumpTransport(ids.transport()?),
        "transport.getStats" => R::TransportStats(ids.transport()?),
        "transport.connect" => R::ConnectTransport(ids.transport()?, data!(Connect).read()?),
        "transport.restartIce" => R::RestartIce(ids.transport()?),
        "transport.setMaxIncomingBitrate" => {
            R::SetMaxIncomingBitrate(ids.transport()?, Bitrate::bps(data!(Limit).bitrate))
        }
        "transport.setMaxOutgoingBitrate" => {
            R::SetMaxOutgoingBitrate(ids.transport()?, Bitrate::bps(data!(Limit).bitrate))
        }
        "transport.setMinOutgoingBitrate" => {
            R::SetMinOutgoingBitrate(ids.transport()?, Bitrate::bps(data!(Limit).bitrate))
        }
        "transport.enableTraceEvent" => {
            let traced = data!(Trace);
            let trace = TransportTrace { probation: traced.has("probation"), bwe: traced.has("bwe") };
            R::EnableTransportTrace(ids.transport()?, trace)
        }
        "transport.produce" => {
            let options = data!(ProduceOptions);
            R::Produce(Produce {
                transport_id: ids.transport()?,
                id: ids.producer()?,
                kind: options.kind,
                rtp_parameters: options.rtp_parameters.read()?,
                rtp_mapping: options.rtp_mapping.read(),
                paused: options.paused,
                key_frame_request_delay: Duration::from_millis(options.key_frame_request_delay.into()),
                enable_packet_id: false,
            })
        }
        "transport.consume" => {
            let options = data!(ConsumeOptions);
            R::Consume(Box::new(Consume {
                transport_id: ids.transport()?,
                producer_id: ids.producer()?,
                id: ids.consumer()?,
                kind: options.kind,
                rtp_parameters: options.rtp_parameters.read()?,
                stream_type: options.stream_type,
                consumable_rtp_encodings: list(options.consumable_rtp_encodings, Encoding::read),
                paused: options.paused,
                preferred_layers: options.preferred_layers.map(Into::into),
                ignore_dtx: options.ignore_dtx,
            }))
        }
        "transport.produceData" => {
            let options = data!(DataOptions);
            R::ProduceData(ProduceData {
                transport_id: ids.transport()?,
                id: ids.data_producer()?,
                transport: options.transport()?,
                label: options.label,
                protocol: options.protocol,
                paused: false,
            })
        }
        "transport.consumeData" => {
            let options = data!(DataOptions);
            R::ConsumeData(ConsumeData {
                transport_id: ids.transport()?,
                data_producer_id: ids.data_producer()?,
                id: ids.data_consumer()?,
                transport: options.transport()?,
                label: options.label,
                protocol: options.protocol,
                paused: false,
                subchannels: Vec::new(),
            })
        }

        "producer.close" | "transport.closeProducer" => R::CloseProducer(ids.producer()?),
        "producer.dump" => R::DumpProducer(ids.producer()?),
        "producer.getStats" => R::ProducerStats(ids.producer()?),
        "producer.pause" => R::PauseProducer(ids.producer()?),
        "producer.resume" => R::ResumeProducer(ids.producer()?),
        "producer.enableTraceEvent" => R::EnableProducerTrace(ids.producer()?, data!(Trace).of_media()),

        "consumer.close" | "transport.closeConsumer" => R::CloseConsumer(ids.consumer()?),
        "consumer.dump" => R::DumpConsumer(ids.consumer()?),
        "consumer.getStats" => R::ConsumerStats(ids.consumer()?),
        "consumer.pause" => R::PauseConsumer(ids.consumer()?),
        "consumer.resume" => R::ResumeConsumer(ids.consumer()?),
        "consumer.setPreferredLayers" => R::SetPreferredLayers(ids.consumer()?, data!(Layers).into()),
        "consumer.setPriority" => R::SetPriority(ids.consumer()?, data!(Priority).priority),
        "consumer.requestKeyFrame" => R::RequestKeyFrame(ids.consumer()?),
        "consumer.enableTraceEvent" => R::EnableConsumerTrace(ids.consumer()?, data!(Trace).of_media()),

        "dataProducer.close" | "transport.closeDataProducer" => R::CloseDataProducer(ids.data_producer()?),
        "dataProducer.dump" => R::DumpDataProducer(ids.data_producer()?),
        "dataProducer.getStats" => R::DataProducerStats(ids.data_producer()?),

        "dataConsumer.close" | "transport.closeDataConsumer" => R::CloseDataConsumer(ids.data_consumer()?),
        "dataConsumer.dump" => R::DumpDataConsumer(ids.data_consumer()?),
        "dataConsumer.getStats" => R::DataConsumerStats(ids.data_consumer()?),
        "dataConsumer.getBufferedAmount" => R::BufferedAmount(ids.data_consumer()?),
        "dataConsumer.setBufferedAmountLowThreshold" => {
            R::SetBufferedAmountLowThreshold(ids.data_consumer()?, data!(Threshold).threshold)
        }

        "rtpObserver.close" | "router.closeRtpObserver" => R::CloseRtpObserver(ids.observer()?),
        "rtpObserver.pause" => R::PauseRtpObserver(ids.observer()?),
        "rtpObserver.resume" => R::ResumeRtpObserver(ids.observer()?),
        "rtpObserver.addProducer" => R::RtpObserverAddProducer(ids.observer()?, ids.producer()?),
        "rtpObserver.removeProducer" => R::RtpObserverRemoveProducer(ids.observer()?, ids.producer()?),

        _ => return Err(invalid(format!("unknown method {method:?}"))),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    log_level: Option<String>,
    log_tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct ActiveSpeaker {
    interval: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AudioLevel {
    max_entries: NonZeroU16,
    threshold: i8,
    interval: u32,
}

#[derive(Deserialize)]
struct Limit {
    bitrate: u64,
}

#[derive(Deserialize)]
struct Priority {
    priority: u8,
}

#[derive(Deserialize)]
struct Threshold {
    threshold: u32,
}

/// Unknown types are ignored, as in mediasoup.
#[derive(Deserialize)]
struct Trace {
    types: Vec<String>,
}

impl Trace {
    fn has(&self, name: &str) -> bool {
        self.types.iter().any(|kind| kind == name)
    }

    fn of_media(&self) -> MediaTrace {
        MediaTrace {
            rtp: self.has("rtp"),
            key_frame: self.has("keyframe"),
            nack: self.has("nack"),
            pli: self.has("pli"),
            fir: self.has("fir"),
            // Never requested by these versions.
            sr: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProduceOptions {
    kind: MediaKind,
    rtp_parameters: RtpParameters,
    rtp_mapping: Mapping,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    key_frame_request_delay: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConsumeOptions {
    kind: MediaKind,
    rtp_parameters: RtpParameters,
    #[serde(rename = "type", with = "StreamTypeName")]
    stream_type: StreamType,
    consumable_rtp_encodings: Vec<Encoding>,
    #[serde(default)]
    paused: bool,
    preferred_layers: Option<Layers>,
    #[serde(default)]
    ignore_dtx: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layers {
    spatial_layer: u8,
    temporal_layer: Option<u8>,
}

impl From<Layers> for ConsumerLayers {
    fn from(Layers { spatial_layer, temporal_layer }: Layers) -> Self {
        Self { spatial_layer, temporal_layer }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DataOptions {
    /// Since 3.6, with DirectTransports.
    r#type: Option<DataType>,
    sctp_stream_parameters: Option<StreamParameters>,
    #[serde(default)]
    label: String,
    #[serde(default)]
    protocol: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum DataType {
    Sctp,
    Direct,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamParameters {
    stream_id: u16,
    ordered: Option<bool>,
    max_packet_life_time: Option<u16>,
    max_retransmits: Option<u16>,
}

impl DataOptions {
    fn transport(&self) -> Parse<DataTransport> {
        match (&self.r#type, &self.sctp_stream_parameters) {
            (Some(DataType::Direct), _) => Ok(DataTransport::Direct),
            (_, Some(stream)) => Ok(DataTransport::Sctp(read_stream_parameters(
                stream.stream_id,
                stream.ordered,
                stream.max_packet_life_time,
                stream.max_retransmits,
            ))),
            (_, None) => Err(invalid("missing sctpStreamParameters")),
        }
    }
}
