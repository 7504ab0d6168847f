//! A room of mediasoup-demo: typed requests and events.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tureen_types::data_structures::{DtlsParameters, IceParameters};
use tureen_types::rtp_parameters::{RtpCapabilities, RtpCapabilitiesFinalized};

use super::message::Refusal;
use super::options::{ConnectError, PeerOptions};
use super::peer::{CloseReason, IncomingRequest, Peer, PeerEvent, PeerEvents, PeerStats, RequestError};
use super::schema::{
    ConsumerScore, CreateTransport, DownlinkBwe, Join, Layers, NewConsumer, NewDataConsumer, PeerInfo,
    Produce, ProduceData, ProducerScore,
};
use crate::signaling::{OpenError, TransportInfo, router_capabilities};

/// A peer's connection to a room. Cheap to clone; it is closed, and the peer leaves, when the last clone is dropped.
///
/// The order that works with all servers: [`router_rtp_capabilities`](Self::router_rtp_capabilities), load a
/// [`Device`](crate::device::Device), [`create_transport`](Self::create_transport) for each direction,
/// [`join`](Self::join), then produce; consumers come as events at any time after the join.
#[derive(Clone, Debug)]
pub struct Room {
    peer: Peer,
}

/// What happens in a room, in order. The events must be read as long as the room is used.
#[derive(Debug)]
pub struct RoomEvents {
    events: PeerEvents,
    url: RoomUrl,
}

/// What happens in a room.
#[derive(Debug)]
pub enum RoomEvent {
    /// Version of mediasoup, right after the connection.
    MediasoupVersion(String),
    /// A peer joined.
    NewPeer(PeerInfo),
    /// A peer left.
    PeerClosed {
        /// Its id.
        peer_id: String,
    },
    /// A peer has another name.
    PeerDisplayNameChanged {
        /// Its id.
        peer_id: String,
        /// The new name.
        display_name: String,
        /// The name that it had.
        old_display_name: String,
    },
    /// The server has made a consumer, which sends when it is accepted.
    NewConsumer(NewConsumer, Answer),
    /// The server has made a data consumer.
    NewDataConsumer(NewDataConsumer, Answer),
    /// The producer of a consumer was closed, and the consumer with it.
    ConsumerClosed(String),
    /// The producer of a consumer was paused.
    ConsumerPaused(String),
    /// The producer of a consumer was resumed.
    ConsumerResumed(String),
    /// The data producer of a data consumer was closed, and the data consumer with it.
    DataConsumerClosed(String),
    /// How well a consumer's stream arrives.
    ConsumerScore {
        /// The consumer.
        consumer_id: String,
        /// Its scores.
        score: ConsumerScore,
    },
    /// Which layers of a consumer are sent; `None`: nothing.
    ConsumerLayersChanged {
        /// The consumer.
        consumer_id: String,
        /// Its layers.
        layers: Option<Layers>,
    },
    /// How well a producer's streams arrive.
    ProducerScore {
        /// The producer.
        producer_id: String,
        /// Scores of its streams.
        score: Vec<ProducerScore>,
    },
    /// Who speaks loudest.
    ActiveSpeaker {
        /// The peer; `None`: nobody, or a broadcaster if there is a volume.
        peer_id: Option<String>,
        /// Its volume in dBov.
        volume: Option<i32>,
    },
    /// The server's estimate for this peer.
    DownlinkBwe(DownlinkBwe),
    /// A notification that this version does not know.
    Unknown {
        /// What it is about.
        method: String,
        /// Its data.
        data: Value,
    },
    /// The connection is lost, and is being made again: see [`PeerEvent::Disconnected`].
    Disconnected(CloseReason),
    /// An attempt to connect again failed.
    AttemptFailed(String),
    /// The connection is there again, without transports: the peer has to join anew.
    Reconnected,
    /// The end.
    Closed(CloseReason),
}

/// How a consumer is accepted or refused. One that is dropped refuses.
#[derive(Debug)]
pub struct Answer(IncomingRequest);

/// Why a request to a room failed.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// There is no good answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The answer is not what mediasoup-demo's servers send.
    #[error("the server's answer to {method} can't be read: {why}")]
    Answer {
        /// Method of the request.
        method: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// Where a room is.
#[derive(Clone, Debug)]
struct RoomUrl {
    server: String,
    room_id: String,
    peer_id: String,
}

impl Room {
    /// Connects to a room of the server at a URL like `https://host:4443` or `wss://host:4443`. A room that does not exist is
    /// made.
    ///
    /// Must be called in a tokio runtime, which the connection then runs on.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(
        server: &str,
        room_id: &str,
        peer_id: &str,
        options: PeerOptions,
    ) -> Result<(Self, RoomEvents), ConnectError> {
        let url = RoomUrl::new(server, room_id, peer_id)?;
        let (peer, events) = Peer::connect(&url.text(None), options).await?;
        Ok((Self { peer }, RoomEvents { events, url }))
    }

    /// Capabilities of the room's router, to load a [`Device`](crate::device::Device) with.
    ///
    /// # Errors
    /// See [`RoomError`]; the same with all other requests.
    pub async fn router_rtp_capabilities(&self) -> Result<RtpCapabilitiesFinalized, RoomError> {
        let method = "getRouterRtpCapabilities";
        let answer = self.peer.request(method, json!({})).await?;
        router_capabilities(answer).map_err(|why| RoomError::Answer { method, why })
    }

    /// Makes a transport on the server.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn create_transport(&self, options: &CreateTransport) -> Result<TransportInfo, RoomError> {
        self.ask("createWebRtcTransport", options).await
    }

    /// Connects a transport with the client's DTLS parameters.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn connect_transport(
        &self,
        transport_id: &str,
        dtls_parameters: &DtlsParameters,
    ) -> Result<(), RoomError> {
        let data = json!({ "transportId": transport_id, "dtlsParameters": dtls_parameters });
        self.tell("connectWebRtcTransport", data).await
    }

    /// Restarts ICE of a transport on the server, which has new ICE parameters.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn restart_ice(&self, transport_id: &str) -> Result<IceParameters, RoomError> {
        self.ask("restartIce", &json!({ "transportId": transport_id })).await
    }

    /// Lets the server make consumers before the join, so that media comes with it. Tureen's own.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn prepare(&self, rtp_capabilities: &RtpCapabilities) -> Result<(), RoomError> {
        self.tell("prepare", json!({ "rtpCapabilities": rtp_capabilities })).await
    }

    /// Joins the room. Returns who is there.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn join(&self, join: &Join) -> Result<Vec<PeerInfo>, RoomError> {
        #[derive(serde::Deserialize)]
        struct Joined {
            peers: Vec<PeerInfo>,
        }
        let Joined { peers } = self.ask("join", join).await?;
        Ok(peers)
    }

    /// Makes a producer. Returns its id.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn produce(&self, produce: &Produce) -> Result<String, RoomError> {
        self.make("produce", produce).await
    }

    /// Makes a data producer. Returns its id.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn produce_data(&self, produce: &ProduceData) -> Result<String, RoomError> {
        self.make("produceData", produce).await
    }

    /// Closes a producer.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn close_producer(&self, producer_id: &str) -> Result<(), RoomError> {
        self.tell("closeProducer", json!({ "producerId": producer_id })).await
    }

    /// Pauses a producer on the server.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn pause_producer(&self, producer_id: &str) -> Result<(), RoomError> {
        self.tell("pauseProducer", json!({ "producerId": producer_id })).await
    }

    /// Resumes a producer on the server.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn resume_producer(&self, producer_id: &str) -> Result<(), RoomError> {
        self.tell("resumeProducer", json!({ "producerId": producer_id })).await
    }

    /// Pauses a consumer on the server.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn pause_consumer(&self, consumer_id: &str) -> Result<(), RoomError> {
        self.tell("pauseConsumer", json!({ "consumerId": consumer_id })).await
    }

    /// Resumes a consumer on the server.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn resume_consumer(&self, consumer_id: &str) -> Result<(), RoomError> {
        self.tell("resumeConsumer", json!({ "consumerId": consumer_id })).await
    }

    /// Requests a key frame for a consumer.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn request_consumer_key_frame(&self, consumer_id: &str) -> Result<(), RoomError> {
        self.tell("requestConsumerKeyFrame", json!({ "consumerId": consumer_id })).await
    }

    /// Limits the layers of a consumer.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn set_consumer_preferred_layers(
        &self,
        consumer_id: &str,
        layers: Layers,
    ) -> Result<(), RoomError> {
        let Layers { spatial_layer, temporal_layer } = layers;
        let mut data = json!({ "consumerId": consumer_id, "spatialLayer": spatial_layer });
        if let Some(temporal_layer) = temporal_layer {
            data["temporalLayer"] = temporal_layer.into();
        }
        self.tell("setConsumerPreferredLayers", data).await
    }

    /// Sets the priority of a consumer, 1 to 255, by which bandwidth is shared out.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn set_consumer_priority(&self, consumer_id: &str, priority: u8) -> Result<(), RoomError> {
        self.tell("setConsumerPriority", json!({ "consumerId": consumer_id, "priority": priority })).await
    }

    /// Changes this peer's name for people.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn change_display_name(&self, display_name: &str) -> Result<(), RoomError> {
        self.tell("changeDisplayName", json!({ "displayName": display_name })).await
    }

    /// Statistics of a transport, as the server has them.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn transport_stats(&self, transport_id: &str) -> Result<Vec<Value>, RoomError> {
        self.ask("getTransportStats", &json!({ "transportId": transport_id })).await
    }

    /// Statistics of a producer, as the server has them.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn producer_stats(&self, producer_id: &str) -> Result<Vec<Value>, RoomError> {
        self.ask("getProducerStats", &json!({ "producerId": producer_id })).await
    }

    /// Statistics of a consumer, as the server has them.
    ///
    /// # Errors
    /// See [`RoomError`].
    pub async fn consumer_stats(&self, consumer_id: &str) -> Result<Vec<Value>, RoomError> {
        self.ask("getConsumerStats", &json!({ "consumerId": consumer_id })).await
    }

    /// The connection below, for requests of other servers.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Counters of the connection.
    pub fn stats(&self) -> PeerStats {
        self.peer.stats()
    }

    /// Leaves the room. [`RoomEvent::Closed`] follows when the server knows.
    pub fn close(&self) {
        self.peer.close();
    }

    async fn tell(&self, method: &str, data: Value) -> Result<(), RoomError> {
        self.peer.request(method, data).await?;
        Ok(())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        data: &impl Serialize,
    ) -> Result<T, RoomError> {
        let data = serde_json::to_value(data)
            .map_err(|why| RoomError::Answer { method, why: format!("the request has no JSON: {why}") })?;
        let answer = self.peer.request(method, data).await?;
        serde_json::from_value(answer).map_err(|why| RoomError::Answer { method, why: why.to_string() })
    }

    /// Sends a request whose answer is an id.
    async fn make(&self, method: &'static str, data: &impl Serialize) -> Result<String, RoomError> {
        #[derive(serde::Deserialize)]
        struct Made {
            id: String,
        }
        let Made { id } = self.ask(method, data).await?;
        Ok(id)
    }
}

impl RoomEvents {
    /// The next event; `None` after [`RoomEvent::Closed`].
    ///
    /// What can't be read is logged and passed over: a notification is ignored, a request is refused.
    pub async fn next(&mut self) -> Option<RoomEvent> {
        loop {
            let event = match self.events.next().await? {
                PeerEvent::Request(request) => read_request(request),
                PeerEvent::Notification { method, data } => self.read_notification(method, data),
                PeerEvent::Disconnected(reason) => Some(RoomEvent::Disconnected(reason)),
                PeerEvent::AttemptFailed(why) => Some(RoomEvent::AttemptFailed(why)),
                PeerEvent::Reconnected => Some(RoomEvent::Reconnected),
                PeerEvent::Closed(reason) => Some(RoomEvent::Closed(reason)),
            };
            if event.is_some() {
                return event;
            }
        }
    }

    fn read_notification(&self, method: String, data: Value) -> Option<RoomEvent> {
        if method == "mediasoup-version"
            && let Some(secret) = data["sessionSecret"].as_str()
            && let Err(error) = self.events.set_url(&self.url.text(Some(secret)))
        {
            tracing::warn!(%error, "the server's session secret can't be used");
        }
        match notification(&method, data) {
            Ok(event) => Some(event),
            Err(error) => {
                tracing::warn!(method, %error, "a notification of the server can't be read");
                None
            }
        }
    }
}

impl Answer {
    /// Accepts the consumer, which then sends.
    pub fn accept(self) {
        self.0.accept(json!({}));
    }

    /// Accepts the consumer with layers to begin with. Tureen's own: other servers begin with the highest.
    pub fn accept_with_layers(self, layers: Layers) {
        self.0.accept(json!({ "preferredLayers": layers }));
    }

    /// Refuses the consumer.
    pub fn reject(self, reason: impl fmt::Display) {
        self.0.reject(Refusal::new(500, reason.to_string()));
    }
}

impl RoomUrl {
    fn new(server: &str, room_id: &str, peer_id: &str) -> Result<Self, ConnectError> {
        let wrong = |why: &str| OpenError::Url { url: server.to_owned(), why: why.to_owned() };
        let (scheme, rest) = server.split_once("://").ok_or_else(|| wrong("the scheme is missing"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => "ws",
            "https" | "wss" => "wss",
            _ => return Err(wrong("the scheme is none of https, wss, http and ws").into()),
        };
        if rest.contains(['?', '#']) {
            return Err(wrong("room and peer are given apart from the URL").into());
        }
        if room_id.is_empty() || peer_id.is_empty() {
            return Err(wrong("the id of the room or of the peer is empty").into());
        }
        let slash = if rest.contains('/') { "" } else { "/" };
        let server = format!("{scheme}://{rest}{slash}");
        Ok(Self { server, room_id: room_id.to_owned(), peer_id: peer_id.to_owned() })
    }

    fn text(&self, session_secret: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("roomId", &self.room_id).append_pair("peerId", &self.peer_id);
        if let Some(secret) = session_secret {
            query.append_pair("sessionSecret", secret);
        }
        format!("{}?{}", self.server, query.finish())
    }
}

fn read_request(request: IncomingRequest) -> Option<RoomEvent> {
    let data = request.data.clone();
    let refusal = match request.method.as_str() {
        "newConsumer" => match serde_json::from_value(data) {
            Ok(consumer) => return Some(RoomEvent::NewConsumer(consumer, Answer(request))),
            Err(error) => Refusal::new(400, error.to_string()),
        },
        "newDataConsumer" => match serde_json::from_value(data) {
            Ok(consumer) => return Some(RoomEvent::NewDataConsumer(consumer, Answer(request))),
            Err(error) => Refusal::new(400, error.to_string()),
        },
        unknown => Refusal::new(500, format!("unknown request method {unknown:?}")),
    };
    tracing::warn!(method = request.method, %refusal, "a request of the server is refused");
    request.reject(refusal);
    None
}

fn notification(method: &str, mut data: Value) -> Result<RoomEvent, serde_json::Error> {
    let mut take = |name: &str| data.get_mut(name).map(Value::take).unwrap_or_default();
    let event = match method {
        "mediasoup-version" => RoomEvent::MediasoupVersion(serde_json::from_value(take("version"))?),
        "newPeer" => RoomEvent::NewPeer(serde_json::from_value(data)?),
        "peerClosed" => RoomEvent::PeerClosed { peer_id: serde_json::from_value(take("peerId"))? },
        "peerDisplayNameChanged" => RoomEvent::PeerDisplayNameChanged {
            peer_id: serde_json::from_value(take("peerId"))?,
            display_name: serde_json::from_value(take("displayName"))?,
            old_display_name: serde_json::from_value(take("oldDisplayName"))?,
        },
        "consumerClosed" => RoomEvent::ConsumerClosed(serde_json::from_value(take("consumerId"))?),
        "consumerPaused" => RoomEvent::ConsumerPaused(serde_json::from_value(take("consumerId"))?),
        "consumerResumed" => RoomEvent::ConsumerResumed(serde_json::from_value(take("consumerId"))?),
        "dataConsumerClosed" => {
            RoomEvent::DataConsumerClosed(serde_json::from_value(take("dataConsumerId"))?)
        }
        "consumerScore" => RoomEvent::ConsumerScore {
            consumer_id: serde_json::from_value(take("consumerId"))?,
            score: serde_json::from_value(take("score"))?,
        },
        "consumerLayersChanged" => {
            let consumer_id = serde_json::from_value(take("consumerId"))?;
            let spatial: Option<u8> = serde_json::from_value(take("spatialLayer"))?;
            let temporal_layer = serde_json::from_value(take("temporalLayer"))?;
            let layers = spatial.map(|spatial_layer| Layers { spatial_layer, temporal_layer });
            RoomEvent::ConsumerLayersChanged { consumer_id, layers }
        }
        "producerScore" => RoomEvent::ProducerScore {
            producer_id: serde_json::from_value(take("producerId"))?,
            score: serde_json::from_value(take("score"))?,
        },
        "activeSpeaker" => RoomEvent::ActiveSpeaker {
            peer_id: serde_json::from_value(take("peerId"))?,
            volume: serde_json::from_value(take("volume"))?,
        },
        "downlinkBwe" => RoomEvent::DownlinkBwe(serde_json::from_value(data)?),
        _ => RoomEvent::Unknown { method: method.to_owned(), data },
    };
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_those_of_the_demo() {
        let text = |server| RoomUrl::new(server, "r&1", "p é").map(|url| url.text(None));
        let expected = "wss://a:4443/?roomId=r%261&peerId=p+%C3%A9";
        for server in ["https://a:4443", "wss://a:4443/", "HTTPS://a:4443"] {
            assert_eq!(text(server).unwrap(), expected);
        }
        assert_eq!(text("http://a/b").unwrap(), "ws://a/b?roomId=r%261&peerId=p+%C3%A9");
        let secret = RoomUrl::new("ws://a", "r", "p").unwrap().text(Some("s=1"));
        assert_eq!(secret, "ws://a/?roomId=r&peerId=p&sessionSecret=s%3D1");
        for (wrong, part) in [
            ("a:4443", "scheme is missing"),
            ("ftp://a", "none of https"),
            ("https://a/?roomId=r", "apart from the URL"),
        ] {
            let error = text(wrong).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains(wrong), "{error}");
        }
        assert!(RoomUrl::new("https://a", "", "p").is_err() && RoomUrl::new("https://a", "r", "").is_err());
    }

    #[test]
    fn notifications_of_all_servers_are_read() {
        let read = |method: &str, data: Value| notification(method, data).unwrap();
        let RoomEvent::NewPeer(peer) = read("newPeer", json!({ "id": "a", "device": { "name": null } }))
        else {
            panic!()
        };
        assert_eq!((peer.id.as_str(), peer.display_name.as_str()), ("a", ""));
        let layers = |data| match read("consumerLayersChanged", data) {
            RoomEvent::ConsumerLayersChanged { layers, .. } => layers,
            other => panic!("{other:?}"),
        };
        let none = json!({ "consumerId": "c", "spatialLayer": null, "temporalLayer": null });
        assert_eq!(layers(none), None);
        let some = json!({ "consumerId": "c", "spatialLayer": 1, "temporalLayer": 2 });
        assert_eq!(layers(some), Some(Layers { spatial_layer: 1, temporal_layer: Some(2) }));
        let speaker = |data| match read("activeSpeaker", data) {
            RoomEvent::ActiveSpeaker { peer_id, volume } => (peer_id, volume),
            other => panic!("{other:?}"),
        };
        assert_eq!(speaker(json!({ "peerId": null })), (None, None));
        assert_eq!(speaker(json!({ "volume": -30 })), (None, Some(-30)));
        assert!(matches!(read("foo", Value::Null), RoomEvent::Unknown { .. }));
        for (method, data) in [
            ("consumerClosed", json!({})),
            ("consumerClosed", json!(7)),
            ("newPeer", Value::Null),
            ("producerScore", json!({ "producerId": "p", "score": [{ "ssrc": -1 }] })),
        ] {
            notification(method, data).unwrap_err();
        }
    }
}
