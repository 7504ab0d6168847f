//! The data of protoo requests and notifications.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use tureen::{
    consumer::{ConsumerScore, ConsumerType},
    prelude::*,
    producer::ProducerScore,
    types::data_structures::BweTraceInfo,
};

use crate::{
    opaque::Opaque,
    room::{self, Acceptance, Profile, Speaker, WebRtcRequest},
    signaling::json::{
        StreamParameters, capabilities, read, remote_dtls, required_capabilities, rtp_parameters,
    },
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateTransport {
    #[serde(default)]
    pub(crate) force_tcp: bool,
    #[serde(default)]
    pub(crate) consuming: bool,
    /// Requests SCTP; the content is ignored.
    #[serde(default)]
    pub(crate) sctp_capabilities: Option<Value>,
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
    /// True if the peer receives data; the content is ignored.
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

/// `newConsumer`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewConsumerData<'a> {
    pub(crate) peer_id: &'a str,
    pub(crate) producer_id: ProducerId,
    pub(crate) id: ConsumerId,
    pub(crate) kind: MediaKind,
    #[serde(serialize_with = "rtp_parameters")]
    pub(crate) rtp_parameters: &'a RtpParameters,
    pub(crate) r#type: ConsumerType,
    pub(crate) app_data: AppDataOfPeer<'a>,
    pub(crate) producer_paused: bool,
}

/// The response of a client to `newConsumer` or `newDataConsumer`. Clients of mediasoup-demo send no data.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConsumerAccepted {
    /// Layers from the first frame on; `None` requests all layers.
    #[serde(default)]
    pub(crate) preferred_layers: Option<ConsumerLayers>,
}

impl ConsumerAccepted {
    /// Invalid data counts as missing, because the consumer exists already.
    pub(crate) fn read(data: Value) -> Self {
        read(data).unwrap_or_default()
    }
}

/// `newDataConsumer`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewDataConsumerData<'a> {
    /// Null for the room's bot.
    pub(crate) peer_id: Option<&'a str>,
    pub(crate) data_producer_id: DataProducerId,
    pub(crate) id: DataConsumerId,
    pub(crate) sctp_stream_parameters: SctpStreamParameters,
    pub(crate) label: &'a str,
    pub(crate) protocol: &'a str,
    pub(crate) app_data: &'a Opaque,
}

/// `appData` of a producer, with the id of its peer.
pub(crate) struct AppDataOfPeer<'a> {
    pub(crate) app_data: &'a Opaque,
    pub(crate) peer_id: Option<&'a str>,
}

impl Serialize for AppDataOfPeer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(peer_id) = self.peer_id else { return self.app_data.serialize(serializer) };
        let mut members = self.app_data.members().clone();
        members.insert("peerId".to_owned(), peer_id.into());
        members.serialize(serializer)
    }
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

/// `consumerLayersChanged`; both layers are null if nothing is sent.
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

impl<'a> From<&'a Speaker> for ActiveSpeaker<'a> {
    fn from(speaker: &'a Speaker) -> Self {
        match *speaker {
            Speaker::Peer { ref peer_id, volume } => Self::Peer { peer_id, volume },
            Speaker::Broadcaster { volume } => Self::Broadcaster { volume },
            Speaker::Nobody => Self::Nobody { peer_id: () },
        }
    }
}

/// `downlinkBwe`, all in bit/s.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DownlinkBwe {
    desired_bitrate: u64,
    /// Equal to the desired bitrate in mediasoup's Rust API.
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

impl From<CreateTransport> for WebRtcRequest {
    fn from(asked: CreateTransport) -> Self {
        let CreateTransport { force_tcp, consuming, sctp_capabilities } = asked;
        Self { force_tcp, consuming, with_sctp: sctp_capabilities.is_some() }
    }
}

impl From<Join> for Profile {
    fn from(asked: Join) -> Self {
        Self {
            display_name: asked.display_name,
            device: asked.device.into(),
            rtp_capabilities: asked.rtp_capabilities,
            wants_data: asked.sctp_capabilities.is_some(),
        }
    }
}

impl From<Produce> for room::Produce {
    fn from(asked: Produce) -> Self {
        let Produce { transport_id, kind, rtp_parameters, app_data } = asked;
        Self { transport_id, kind, rtp_parameters, app_data: app_data.unwrap_or_default().into() }
    }
}

impl From<ProduceData> for room::ProduceData {
    fn from(asked: ProduceData) -> Self {
        let ProduceData { transport_id, sctp_stream_parameters, label, protocol, app_data } = asked;
        Self {
            transport_id,
            sctp_stream_parameters: sctp_stream_parameters.into(),
            label,
            protocol,
            app_data: app_data.unwrap_or_default().into(),
        }
    }
}

impl From<ConsumerAccepted> for Acceptance {
    fn from(accepted: ConsumerAccepted) -> Self {
        Self { preferred_layers: accepted.preferred_layers }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
    fn new_consumer_may_have_an_empty_response() {
        let layers = |data| ConsumerAccepted::read(data).preferred_layers;
        for nothing in
            [Value::Null, json!({}), json!({"preferredLayers": null}), json!({"preferredLayers": 1})]
        {
            assert_eq!(layers(nothing), None);
        }
        let wanted = json!({"preferredLayers": {"spatialLayer": 1}});
        assert_eq!(layers(wanted), Some(ConsumerLayers { spatial_layer: 1, temporal_layer: None }));
    }
}
