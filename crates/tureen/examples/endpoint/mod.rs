//! Code that the larger examples share: an endpoint's pair of transports, and its messages over a WebSocket. `echo.rs`
//! contains the same in one file.
//!
//! Messages are JSON objects whose kind is `action`. `echo.rs` has a table of them.

use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};

use axum::extract::Path;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tureen::prelude::*;

/// Error that ends an endpoint.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Serves WebSockets at `ws://127.0.0.1:3000/NAME`, each by a call of `serve` with the name. The command line may
/// contain another address; port 0 selects a free port.
pub(crate) async fn listen<F, Serving>(serve: F) -> Result<(), Failure>
where
    F: Fn(String, Connection) -> Serving + Clone + Send + Sync + 'static,
    Serving: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let accept = async move |Path(name): Path<String>, upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(async move |socket| {
            if let Err(error) = serve(name, Connection(socket)).await {
                eprintln!("endpoint failed: {error}");
            }
        })
    };
    let app = axum::Router::new().route("/{name}", any(accept));
    let address = std::env::args().nth(1);
    let listener = tokio::net::TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on ws://{}/NAME", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// The WebSocket of an endpoint.
pub(crate) struct Connection(WebSocket);

impl Connection {
    pub(crate) async fn send(&mut self, message: &impl Serialize) -> Result<(), Failure> {
        Ok(self.0.send(Message::text(serde_json::to_string(message)?)).await?)
    }

    /// Next message; `None` after the last one.
    pub(crate) async fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        while let Some(message) = self.0.recv().await {
            if let Message::Text(text) = message? {
                return Ok(Some(serde_json::from_str(&text)?));
            }
        }
        Ok(None)
    }
}

/// Requests of an endpoint.
#[derive(Deserialize)]
#[serde(tag = "action", rename_all_fields = "camelCase")]
pub(crate) enum Request {
    Init { rtp_capabilities: RtpCapabilities },
    ConnectProducerTransport { dtls_parameters: DtlsParameters },
    ConnectConsumerTransport { dtls_parameters: DtlsParameters },
    Produce { kind: MediaKind, rtp_parameters: RtpParameters },
    Consume { producer_id: ProducerId },
    ConsumerResume { id: ConsumerId },
    ConsumerSetPreferredLayers { id: ConsumerId, preferred_layers: ConsumerLayers },
}

/// Responses to an endpoint, and the first message to it.
#[derive(Serialize)]
#[serde(tag = "action", rename_all_fields = "camelCase")]
pub(crate) enum Answer {
    Init {
        router_rtp_capabilities: RtpCapabilitiesFinalized,
        producer_transport_options: TransportOptions,
        consumer_transport_options: TransportOptions,
    },
    ConnectedProducerTransport,
    ConnectedConsumerTransport,
    Produced {
        id: ProducerId,
    },
    Consumed {
        id: ConsumerId,
        producer_id: ProducerId,
        kind: MediaKind,
        rtp_parameters: RtpParameters,
    },
}

/// Options of mediasoup-client for its side of a transport.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransportOptions {
    id: TransportId,
    dtls_parameters: DtlsParameters,
    ice_candidates: Vec<IceCandidate>,
    ice_parameters: IceParameters,
}

impl From<&WebRtcTransport> for TransportOptions {
    fn from(transport: &WebRtcTransport) -> Self {
        Self {
            id: transport.id(),
            dtls_parameters: transport.dtls_parameters(),
            ice_candidates: transport.ice_candidates().clone(),
            ice_parameters: transport.ice_parameters().clone(),
        }
    }
}

/// One endpoint. Dropping it closes all its objects.
pub(crate) struct Endpoint {
    rtp_capabilities: Option<RtpCapabilities>,
    pub(crate) producer_transport: WebRtcTransport,
    consumer_transport: WebRtcTransport,
    pub(crate) producers: HashMap<ProducerId, Producer>,
    pub(crate) consumers: HashMap<ConsumerId, Consumer>,
}

impl Endpoint {
    /// Creates the transports of the endpoint, and the first message to it.
    pub(crate) async fn new(router: &Router) -> Result<(Self, Answer), Failure> {
        let endpoint = Self {
            rtp_capabilities: None,
            producer_transport: router.create_webrtc_transport(transport_options()).await?,
            consumer_transport: router.create_webrtc_transport(transport_options()).await?,
            producers: HashMap::new(),
            consumers: HashMap::new(),
        };
        let init = Answer::Init {
            router_rtp_capabilities: router.rtp_capabilities(),
            producer_transport_options: (&endpoint.producer_transport).into(),
            consumer_transport_options: (&endpoint.consumer_transport).into(),
        };
        Ok((endpoint, init))
    }

    /// Carries out a request.
    pub(crate) async fn handle(&mut self, request: Request) -> Result<Option<Answer>, Failure> {
        match request {
            Request::Init { rtp_capabilities } => self.rtp_capabilities = Some(rtp_capabilities),
            Request::ConnectProducerTransport { dtls_parameters } => {
                self.producer_transport.connect(WebRtcTransportRemoteParameters { dtls_parameters }).await?;
                return Ok(Some(Answer::ConnectedProducerTransport));
            }
            Request::ConnectConsumerTransport { dtls_parameters } => {
                self.consumer_transport.connect(WebRtcTransportRemoteParameters { dtls_parameters }).await?;
                return Ok(Some(Answer::ConnectedConsumerTransport));
            }
            Request::Produce { kind, rtp_parameters } => {
                let options = ProducerOptions::new(kind, rtp_parameters);
                let producer = self.producer_transport.produce(options).await?;
                let id = producer.id();
                self.producers.insert(id, producer);
                return Ok(Some(Answer::Produced { id }));
            }
            Request::Consume { producer_id } => return Ok(Some(self.consume(producer_id).await?)),
            Request::ConsumerResume { id } => self.consumer(id)?.resume().await?,
            Request::ConsumerSetPreferredLayers { id, preferred_layers } => {
                self.consumer(id)?.set_preferred_layers(preferred_layers).await?;
            }
        }
        Ok(None)
    }

    async fn consume(&mut self, producer_id: ProducerId) -> Result<Answer, Failure> {
        let rtp_capabilities = self.rtp_capabilities.clone().ok_or("Consume came before Init")?;
        let mut options = ConsumerOptions::new(producer_id, rtp_capabilities);
        // It is resumed when the client is ready, so that the first key frame is not lost.
        options.paused = true;
        let consumer = self.consumer_transport.consume(options).await?;
        let answer = Answer::Consumed {
            id: consumer.id(),
            producer_id,
            kind: consumer.kind(),
            rtp_parameters: consumer.rtp_parameters().clone(),
        };
        self.consumers.insert(consumer.id(), consumer);
        Ok(answer)
    }

    fn consumer(&self, id: ConsumerId) -> Result<&Consumer, Failure> {
        self.consumers.get(&id).ok_or_else(|| format!("there is no consumer {id}").into())
    }
}

/// ListenInfo of the loopback address.
pub(crate) fn listen_info() -> ListenInfo {
    ListenInfo {
        protocol: Protocol::Udp,
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        announced_address: None,
        expose_internal_ip: false,
        port: None,
        port_range: None,
        flags: None,
        send_buffer_size: None,
        recv_buffer_size: None,
    }
}

fn transport_options() -> WebRtcTransportOptions {
    WebRtcTransportOptions::new(WebRtcTransportListenInfos::new(listen_info()))
}
