//! The HTTP API of mediasoup-demo for broadcasters, which are participants without a WebSocket.

mod http;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tureen_types::data_structures::DtlsParameters;
use tureen_types::rtp_parameters::{MediaKind, RtpCapabilities, RtpCapabilitiesFinalized, RtpParameters};
use tureen_types::sctp_parameters::SctpStreamParameters;

use self::http::HttpServer;
use crate::device::SctpCapabilities;
use crate::signaling::{ConsumerType, DeviceInfo, OpenError, TlsOptions, TransportInfo, router_capabilities};

pub use self::http::HttpError;

/// A server with the HTTP API of mediasoup-demo.
#[derive(Clone, Debug)]
pub struct BroadcasterServer {
    http: HttpServer,
}

/// A broadcaster in a room. Cheap enough to clone.
///
/// It stays in the room when it is dropped: [`leave`](Self::leave) takes it out. A Tureen server also takes it out when
/// nothing is heard of it for some time: neither requests nor media.
#[derive(Clone, Debug)]
pub struct Broadcaster {
    http: HttpServer,
    path: String,
}

/// How a broadcaster introduces itself.
#[derive(Clone, Debug)]
pub struct Enter {
    /// Id, unique in the room.
    pub id: String,
    /// Name for people.
    pub display_name: String,
    /// What it runs on; the flag is always `broadcaster`.
    pub device: DeviceInfo,
    /// What it can receive; `None`: it only sends, and is told of nobody.
    pub rtp_capabilities: Option<RtpCapabilities>,
}

/// A peer of the room with producers that the broadcaster can consume.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BroadcasterPeer {
    /// Id.
    pub id: String,
    /// Name for people.
    #[serde(default)]
    pub display_name: String,
    /// What it runs on.
    #[serde(default)]
    pub device: DeviceInfo,
    /// What it sends.
    #[serde(default)]
    pub producers: Vec<PeerProducer>,
}

/// A producer of a [`BroadcasterPeer`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PeerProducer {
    /// Id.
    pub id: String,
    /// Media kind.
    pub kind: MediaKind,
}

/// A consumer that was made for a broadcaster.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BroadcasterConsumer {
    /// Id.
    pub id: String,
    /// Its producer.
    pub producer_id: String,
    /// Media kind.
    pub kind: MediaKind,
    /// What will be received.
    pub rtp_parameters: RtpParameters,
    /// Its kind.
    pub r#type: ConsumerType,
}

/// A data consumer that was made for a broadcaster.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BroadcasterDataConsumer {
    /// Id.
    pub id: String,
    /// SCTP stream.
    #[serde(default)]
    pub stream_id: Option<u16>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum BroadcasterError {
    /// There is no good answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The answer is not what mediasoup-demo's servers send.
    #[error("the server's answer to {what} can't be read: {why}")]
    Answer {
        /// Method and path.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Longest time that a call may take.
const TIMEOUT: Duration = Duration::from_secs(20);

impl BroadcasterServer {
    /// The server at a URL like `https://host:4443`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`OpenError::Url`].
    pub fn new(url: &str, tls: TlsOptions) -> Result<Self, OpenError> {
        Ok(Self { http: HttpServer::new(url, tls, TIMEOUT)? })
    }

    /// Capabilities of a room's router, to load a [`Device`](crate::device::Device) with. A room that does not exist is made.
    ///
    /// # Errors
    /// See [`BroadcasterError`]; the same with all other calls.
    pub async fn router_rtp_capabilities(
        &self,
        room_id: &str,
    ) -> Result<RtpCapabilitiesFinalized, BroadcasterError> {
        let path = format!("/rooms/{}", escaped(room_id));
        let data = read(&path, self.http.call(Method::GET, &path, None).await?)?;
        router_capabilities(data).map_err(|why| BroadcasterError::Answer { what: path, why })
    }

    /// Enters a room. Returns who is there, if the broadcaster can receive.
    ///
    /// # Errors
    /// See [`BroadcasterError`].
    pub async fn enter(
        &self,
        room_id: &str,
        enter: &Enter,
    ) -> Result<(Broadcaster, Vec<BroadcasterPeer>), BroadcasterError> {
        #[derive(Deserialize)]
        struct Entered {
            #[serde(default)]
            peers: Vec<BroadcasterPeer>,
        }
        let Enter { id, display_name, device, rtp_capabilities } = enter;
        let mut body = json!({ "id": id, "displayName": display_name, "device": device });
        if let Some(rtp_capabilities) = rtp_capabilities {
            body["rtpCapabilities"] = json!(rtp_capabilities);
        }
        let path = format!("/rooms/{}/broadcasters", escaped(room_id));
        let Entered { peers } = read(&path, self.http.call(Method::POST, &path, Some(body)).await?)?;
        let path = format!("{path}/{}", escaped(id));
        Ok((Broadcaster { http: self.http.clone(), path }, peers))
    }
}

impl Broadcaster {
    /// Leaves the room.
    ///
    /// # Errors
    /// See [`BroadcasterError`].
    pub async fn leave(&self) -> Result<(), BroadcasterError> {
        self.http.call(Method::DELETE, &self.path, None).await?;
        Ok(())
    }

    /// Shows the server that the broadcaster is there still. Tureen's own.
    ///
    /// # Errors
    /// See [`BroadcasterError`].
    pub async fn renew(&self) -> Result<(), BroadcasterError> {
        self.http.call(Method::GET, &self.path, None).await?;
        Ok(())
    }

    /// Makes a WebRTC transport on the server.
    ///
    /// # Errors
    /// See [`BroadcasterError`].
    pub async fn create_transport(
        &self,
        sctp_capabilities: Option<SctpCapabilities>,
    ) -> Result<TransportInfo, BroadcasterError> {
        let mut body = json!({ "type": "webrtc" });
        if let Some(capabilities) = sctp_capabilities {
            body["sctpCapabilities"] = json!(capabilities);
        }
        self.post("/transports", body).await
    }

    /// Connects a transport with the client's DTLS parameters.
    ///
    /// # Errors
    /// See [`BroadcasterError`].
    pub async fn connect_transport(
        &self,
        transport_id: &str,
        dtls_parameters: &DtlsParameters,
    ) -> Result<(), BroadcasterError> {
        let path = format!("{}/transports/{}/connect", self.path, escaped(transport_id));
        self.http.call(Method::POST, &path, Some(json!({ "dtlsParameters": dtls_parameters }))).await?;
        Ok(())
    }

    /// Makes a producer. Returns its id.
    ///
    /// # Errors
    /// See [`BroadcasterError`].
    pub async fn produce(
        &self,
        transport_id: &str,
        kind: MediaKind,
        rtp_parameters: &RtpParameters,
    ) -> Result<String, BroadcasterError> {
        let path = format!("/transports/{}/producers", escaped(transport_id));
        let Made { id } = self.post(&path, json!({ "kind": kind, "rtpParameters": rtp_parameters })).await?;
        Ok(id)
    }

    /// Makes a consumer, which sends at once.
    ///
    /// # Errors
    /// See [`BroadcasterError`].
    pub async fn consume(
        &self,
        transport_id: &str,
        producer_id: &str,
    ) -> Result<BroadcasterConsumer, BroadcasterError> {
        let (transport, producer) = (escaped(transport_id), escaped(producer_id));
        self.post(&format!("/transports/{transport}/consume?producerId={producer}"), json!({})).await
    }

    /// Makes a data producer. Returns its id.
    ///
    /// # Errors
    /// See [`BroadcasterError`].
    pub async fn produce_data(
        &self,
        transport_id: &str,
        sctp_stream_parameters: &SctpStreamParameters,
        label: &str,
        protocol: &str,
        app_data: Value,
    ) -> Result<String, BroadcasterError> {
        let path = format!("/transports/{}/produce/data", escaped(transport_id));
        let body = json!({
            "sctpStreamParameters": sctp_stream_parameters,
            "label": label,
            "protocol": protocol,
            "appData": app_data,
        });
        let Made { id } = self.post(&path, body).await?;
        Ok(id)
    }

    /// Makes a data consumer.
    ///
    /// # Errors
    /// See [`BroadcasterError`].
    pub async fn consume_data(
        &self,
        transport_id: &str,
        data_producer_id: &str,
    ) -> Result<BroadcasterDataConsumer, BroadcasterError> {
        let path = format!("/transports/{}/consume/data", escaped(transport_id));
        self.post(&path, json!({ "dataProducerId": data_producer_id })).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: Value) -> Result<T, BroadcasterError> {
        let path = format!("{}{path}", self.path);
        read(&path, self.http.call(Method::POST, &path, Some(body)).await?)
    }
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

fn read<T: DeserializeOwned>(what: &str, answer: Bytes) -> Result<T, BroadcasterError> {
    serde_json::from_slice(&answer)
        .map_err(|why| BroadcasterError::Answer { what: what.to_owned(), why: why.to_string() })
}

fn escaped(segment: &str) -> String {
    utf8_percent_encode(segment, NON_ALPHANUMERIC).to_string()
}
