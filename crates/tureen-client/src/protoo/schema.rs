//! The data of mediasoup-demo's requests and notifications, as a client has them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tureen_types::rtp_parameters::{MediaKind, RtpCapabilities, RtpParameters};
use tureen_types::sctp_parameters::SctpStreamParameters;

use crate::device::SctpCapabilities;
use crate::signaling::{ConsumerType, DeviceInfo};

/// Another participant of the room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerInfo {
    /// Id, unique in the room.
    pub id: String,
    /// Name for people.
    #[serde(default)]
    pub display_name: String,
    /// What it runs on.
    #[serde(default)]
    pub device: DeviceInfo,
}

/// A transport to be made on the server.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateTransport {
    /// Offers TCP candidates only.
    pub force_tcp: bool,
    /// The client sends by it.
    pub producing: bool,
    /// The client receives by it.
    pub consuming: bool,
    /// Enables data channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sctp_capabilities: Option<SctpCapabilities>,
}

/// What a peer joins with.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Join {
    /// Name for people.
    pub display_name: String,
    /// What it runs on.
    pub device: DeviceInfo,
    /// What it can receive; `None`: no consumers are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtp_capabilities: Option<RtpCapabilities>,
    /// It takes data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sctp_capabilities: Option<SctpCapabilities>,
}

/// A producer to be made on the server.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Produce {
    /// The transport.
    pub transport_id: String,
    /// Media kind.
    pub kind: MediaKind,
    /// What will be sent.
    pub rtp_parameters: RtpParameters,
    /// An object of the application, which others get.
    pub app_data: Value,
}

/// A data producer to be made on the server.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProduceData {
    /// The transport.
    pub transport_id: String,
    /// Stream, order and reliability.
    pub sctp_stream_parameters: SctpStreamParameters,
    /// Label. The room's servers know `chat` and `bot`.
    pub label: String,
    /// Subprotocol.
    pub protocol: String,
    /// An object of the application, which others get.
    pub app_data: Value,
}

/// Layers of a consumer, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layers {
    /// Spatial layer.
    pub spatial_layer: u8,
    /// Temporal layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temporal_layer: Option<u8>,
}

/// A consumer that the server has made for this peer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewConsumer {
    /// Who sends it.
    pub peer_id: String,
    /// Its producer.
    pub producer_id: String,
    /// Its id.
    pub id: String,
    /// Media kind.
    pub kind: MediaKind,
    /// What will be received.
    pub rtp_parameters: RtpParameters,
    /// Its kind.
    pub r#type: ConsumerType,
    /// The producer's application data.
    #[serde(default)]
    pub app_data: Value,
    /// True if the producer is paused.
    #[serde(default)]
    pub producer_paused: bool,
}

/// A data consumer that the server has made for this peer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewDataConsumer {
    /// Who sends it; `None` for the room's bot.
    #[serde(default)]
    pub peer_id: Option<String>,
    /// Its data producer.
    pub data_producer_id: String,
    /// Its id.
    pub id: String,
    /// Stream, order and reliability.
    pub sctp_stream_parameters: SctpStreamParameters,
    /// Label.
    #[serde(default)]
    pub label: String,
    /// Subprotocol.
    #[serde(default)]
    pub protocol: String,
    /// The data producer's application data.
    #[serde(default)]
    pub app_data: Value,
}

/// Score of one stream of a producer, from 0 (nothing comes) to 10 (all of it).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProducerScore {
    /// Index of the encoding.
    #[serde(default)]
    pub encoding_idx: u32,
    /// SSRC.
    pub ssrc: u32,
    /// RTP stream id.
    #[serde(default)]
    pub rid: Option<String>,
    /// Score.
    pub score: u8,
}

/// Scores of a consumer, from 0 (nothing comes) to 10 (all of it).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerScore {
    /// Of the stream to this peer.
    pub score: u8,
    /// Of the producer's stream that is sent on.
    pub producer_score: u8,
    /// Of all streams of the producer.
    #[serde(default)]
    pub producer_scores: Vec<u8>,
}

/// Bandwidth of a transport to this peer, in bit/s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DownlinkBwe {
    /// What all consumers together would take.
    pub desired_bitrate: u64,
    /// What of it can be used.
    pub effective_desired_bitrate: u64,
    /// What there is, by the server's estimate.
    pub available_bitrate: u64,
}
