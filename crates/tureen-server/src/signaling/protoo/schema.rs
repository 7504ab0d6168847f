//! The data of requests and notifications, as JSON has it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tureen::{
    consumer::{ConsumerScore, ConsumerType},
    plain_transport::PlainTransport,
    prelude::*,
    producer::ProducerScore,
    sctp_parameters::SctpParameters,
    srtp_parameters::SrtpParameters,
    types::data_structures::BweTraceInfo,
    webrtc_transport::WebRtcTransport,
};

use crate::signaling::json::{
    Candidate, Tuple, capabilities, read, remote_dtls, required_capabilities, rtp_parameters,
};

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateTransport {
    #[serde(default)]
    pub(crate) force_tcp: bool,
    #[serde(default)]
    pub(crate) consuming: bool,
    /// Its being there asks for SCTP; what is in it does not matter.
    #[serde(default)]
    pub(crate) sctp_capabilities: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreatedTransport<'a> {
    pub(crate) id: TransportId,
    pub(crate) ice_parameters: &'a IceParameters,
    pub(crate) ice_candidates: Vec<Candidate<'a>>,
    pub(crate) dtls_parameters: DtlsParameters,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sctp_parameters: Option<SctpParameters>,
}

impl<'a> CreatedTransport<'a> {
    pub(crate) fn describe(transport: &'a WebRtcTransport) -> Self {
        Self {
            id: transport.id(),
            ice_parameters: transport.ice_parameters(),
            ice_candidates: Candidate::all(transport.ice_candidates()),
            dtls_parameters: transport.dtls_parameters(),
            sctp_parameters: transport.sctp_parameters(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectTransport {
    pub(crate) transport_id: TransportId,
    #[serde(deserialize_with = "remote_dtls")]
    pub(crate) dtls_parameters: DtlsParameters,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfTransport {
    pub(crate) transport_id: TransportId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfProducer {
    pub(crate) producer_id: ProducerId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfConsumer {
    pub(crate) consumer_id: ConsumerId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Prepare {
    #[serde(deserialize_with = "required_capabilities")]
    pub(crate) rtp_capabilities: RtpCapabilities,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Join {
    pub(crate) display_name: String,
    pub(crate) device: Map<String, Value>,
    #[serde(default, deserialize_with = "capabilities")]
    pub(crate) rtp_capabilities: Option<RtpCapabilities>,
    /// Its being there says that the peer takes data.
    #[serde(default)]
    pub(crate) sctp_capabilities: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Produce {
    pub(crate) transport_id: TransportId,
    pub(crate) kind: MediaKind,
    pub(crate) rtp_parameters: RtpParameters,
    #[serde(default)]
    pub(crate) app_data: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProduceData {
    pub(crate) transport_id: TransportId,
    pub(crate) sctp_stream_parameters: StreamParameters,
    #[serde(default)]
    pub(crate) label: String,
    #[serde(default)]
    pub(crate) protocol: String,
    #[serde(default)]
    pub(crate) app_data: Option<Map<String, Value>>,
}

/// An SCTP stream as clients describe it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamParameters {
    stream_id: u16,
    /// Without it a stream is ordered, unless it is not reliable.
    #[serde(default)]
    ordered: Option<bool>,
    #[serde(default)]
    max_packet_life_time: Option<u16>,
    #[serde(default)]
    max_retransmits: Option<u16>,
}

impl From<StreamParameters> for SctpStreamParameters {
    fn from(asked: StreamParameters) -> Self {
        let StreamParameters { stream_id, ordered, max_packet_life_time, max_retransmits } = asked;
        let reliable = max_packet_life_time.is_none() && max_retransmits.is_none();
        Self { stream_id, ordered: ordered.unwrap_or(reliable), max_packet_life_time, max_retransmits }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfDataProducer {
    pub(crate) data_producer_id: DataProducerId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfDataConsumer {
    pub(crate) data_consumer_id: DataConsumerId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PreferredLayers {
    pub(crate) consumer_id: ConsumerId,
    #[serde(flatten)]
    pub(crate) layers: ConsumerLayers,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Priority {
    pub(crate) consumer_id: ConsumerId,
    pub(crate) priority: u8,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DisplayName {
    pub(crate) display_name: String,
}

/// A broadcaster as it introduces itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddBroadcaster {
    pub(crate) id: String,
    pub(crate) display_name: String,
    pub(crate) device: BroadcasterDevice,
    #[serde(default, deserialize_with = "capabilities")]
    pub(crate) rtp_capabilities: Option<RtpCapabilities>,
}

#[derive(Deserialize)]
pub(crate) struct BroadcasterDevice {
    name: String,
    #[serde(default)]
    version: Option<String>,
}

impl BroadcasterDevice {
    /// As other participants are told.
    pub(crate) fn describe(&self) -> Value {
        let version = self.version.as_deref().unwrap_or_default();
        json!({ "flag": "broadcaster", "name": self.name, "version": version })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateBroadcasterTransport {
    pub(crate) r#type: BroadcasterTransportKind,
    /// Plain transports: RTP and RTCP on one port.
    #[serde(default)]
    pub(crate) rtcp_mux: bool,
    /// Plain transports: the far end's address is that of its first packet.
    #[serde(default = "yes")]
    pub(crate) comedia: bool,
    #[serde(default)]
    pub(crate) sctp_capabilities: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BroadcasterTransportKind {
    Webrtc,
    Plain,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectBroadcasterTransport {
    #[serde(deserialize_with = "remote_dtls")]
    pub(crate) dtls_parameters: DtlsParameters,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProduceByBroadcaster {
    pub(crate) kind: MediaKind,
    pub(crate) rtp_parameters: RtpParameters,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProduceDataByBroadcaster {
    pub(crate) sctp_stream_parameters: StreamParameters,
    #[serde(default)]
    pub(crate) label: String,
    #[serde(default)]
    pub(crate) protocol: String,
    pub(crate) app_data: Option<Map<String, Value>>,
}

/// Where a broadcaster sends its RTP and RTCP.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreatedPlainTransport {
    id: TransportId,
    ip: String,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtcp_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sctp_parameters: Option<SctpParameters>,
}

impl CreatedPlainTransport {
    pub(crate) fn describe(transport: &PlainTransport) -> Self {
        let tuple = transport.tuple();
        Self {
            id: transport.id(),
            ip: tuple.local_address().clone(),
            port: tuple.local_port(),
            rtcp_port: transport.rtcp_tuple().map(|tuple| tuple.local_port()),
            sctp_parameters: transport.sctp_parameters(),
        }
    }
}

/// Both ends of a connected plain transport.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectedPlainTransport {
    pub(crate) tuple: Tuple,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rtcp_tuple: Option<Tuple>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) srtp_parameters: Option<SrtpParameters>,
}

/// What a broadcaster must know of its consumer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConsumedByBroadcaster<'a> {
    pub(crate) id: ConsumerId,
    pub(crate) producer_id: ProducerId,
    pub(crate) kind: MediaKind,
    #[serde(serialize_with = "rtp_parameters")]
    pub(crate) rtp_parameters: &'a RtpParameters,
    pub(crate) r#type: ConsumerType,
}

/// `newConsumer`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewConsumer<'a> {
    pub(crate) peer_id: &'a str,
    pub(crate) producer_id: ProducerId,
    pub(crate) id: ConsumerId,
    pub(crate) kind: MediaKind,
    #[serde(serialize_with = "rtp_parameters")]
    pub(crate) rtp_parameters: &'a RtpParameters,
    pub(crate) r#type: ConsumerType,
    pub(crate) app_data: &'a Map<String, Value>,
    pub(crate) producer_paused: bool,
}

/// What a client may answer to `newConsumer`. Clients of mediasoup-demo answer nothing.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewConsumerAnswer {
    /// The layers that it wants from the first picture on; else all.
    #[serde(default)]
    pub(crate) preferred_layers: Option<ConsumerLayers>,
}

impl NewConsumerAnswer {
    /// What can't be read is as good as nothing: the consumer is there all the same.
    pub(crate) fn read(data: Value) -> Self {
        read(data).unwrap_or_default()
    }
}

/// `newDataConsumer`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewDataConsumer<'a> {
    /// Null for the room's bot.
    pub(crate) peer_id: Option<&'a str>,
    pub(crate) data_producer_id: DataProducerId,
    pub(crate) id: DataConsumerId,
    pub(crate) sctp_stream_parameters: SctpStreamParameters,
    pub(crate) label: &'a str,
    pub(crate) protocol: &'a str,
    pub(crate) app_data: &'a Map<String, Value>,
}

/// `dataConsumerClosed`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AboutDataConsumer {
    pub(crate) data_consumer_id: DataConsumerId,
}

/// `producerScore`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProducerScores<'a> {
    pub(crate) producer_id: ProducerId,
    pub(crate) score: &'a [ProducerScore],
}

/// `consumerScore`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConsumerScores<'a> {
    pub(crate) consumer_id: ConsumerId,
    pub(crate) score: &'a ConsumerScore,
}

/// `consumerLayersChanged`; both layers are null where nothing is sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConsumerLayersChanged {
    pub(crate) consumer_id: ConsumerId,
    pub(crate) spatial_layer: Option<u8>,
    pub(crate) temporal_layer: Option<u8>,
}

/// `activeSpeaker`, with volumes in dBov.
#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(crate) enum ActiveSpeaker<'a> {
    Peer {
        peer_id: &'a str,
        volume: i8,
    },
    /// `peerId` is left out.
    Broadcaster {
        volume: i8,
    },
    /// `peerId` is null.
    Nobody {
        peer_id: (),
    },
}

/// `downlinkBwe`, all in bit/s.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DownlinkBwe {
    desired_bitrate: u64,
    /// In the Rust API of mediasoup the same as the desired one.
    effective_desired_bitrate: u64,
    available_bitrate: u64,
}

impl From<&BweTraceInfo> for DownlinkBwe {
    fn from(info: &BweTraceInfo) -> Self {
        Self {
            desired_bitrate: info.desired_bitrate,
            effective_desired_bitrate: info.desired_bitrate,
            available_bitrate: info.available_bitrate,
        }
    }
}

/// `consumerClosed`, `consumerPaused`, `consumerResumed`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AboutConsumer {
    pub(crate) consumer_id: ConsumerId,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::signaling::json::write;

    #[test]
    fn preferred_layers_may_leave_out_the_temporal_one() {
        let id = "00000000-0000-0000-0000-000000000001";
        let layers = |data| read::<PreferredLayers>(data).unwrap().layers;
        let without = layers(json!({"consumerId": id, "spatialLayer": 2}));
        assert_eq!(without, ConsumerLayers { spatial_layer: 2, temporal_layer: None });
        let with = layers(json!({"consumerId": id, "spatialLayer": 2, "temporalLayer": 1}));
        assert_eq!(with, ConsumerLayers { spatial_layer: 2, temporal_layer: Some(1) });
    }

    #[test]
    fn new_consumer_may_be_answered_by_nothing() {
        let layers = |data| NewConsumerAnswer::read(data).preferred_layers;
        for nothing in
            [Value::Null, json!({}), json!({"preferredLayers": null}), json!({"preferredLayers": 1})]
        {
            assert_eq!(layers(nothing), None);
        }
        let wanted = json!({"preferredLayers": {"spatialLayer": 1}});
        assert_eq!(layers(wanted), Some(ConsumerLayers { spatial_layer: 1, temporal_layer: None }));
    }

    #[test]
    fn silence_has_a_null_peer_and_no_volume() {
        let speaker = ActiveSpeaker::Peer { peer_id: "a", volume: -30 };
        assert_eq!(write(&speaker).unwrap(), json!({ "peerId": "a", "volume": -30 }));
        assert_eq!(write(&ActiveSpeaker::Broadcaster { volume: -30 }).unwrap(), json!({ "volume": -30 }));
        let silence = ActiveSpeaker::Nobody { peer_id: () };
        assert_eq!(write(&silence).unwrap(), json!({ "peerId": null }));
    }

    #[test]
    fn no_layers_are_two_nulls() {
        let changed = ConsumerLayersChanged {
            consumer_id: "00000000-0000-0000-0000-000000000001".parse().unwrap(),
            spatial_layer: None,
            temporal_layer: None,
        };
        let written = write(&changed).unwrap();
        assert_eq!(written["spatialLayer"], Value::Null);
        assert_eq!(written["temporalLayer"], Value::Null);
    }
}
