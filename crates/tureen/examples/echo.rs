//! Sends every endpoint its own audio and video back: the smallest application with all parts of signalling.
//!
//! Run `cargo run -p tureen --example echo`, then let a page made with mediasoup-client open `ws://127.0.0.1:3000/ws`.
//! The command line may contain another address, as in `--example echo -- 127.0.0.1:4000`. The script of such a page is
//! `tests/browser/lib/example-client.js`. The messages are JSON objects whose kind is `action`. The server sends the
//! first one:
//!
//! | from | action | content |
//! | --- | --- | --- |
//! | server | `Init` | the router's RTP capabilities and both transports, for the client's `Device` |
//! | client | `Init` | the client's RTP capabilities |
//! | client | `ConnectProducerTransport`, `ConnectConsumerTransport` | DTLS parameters; the answer has the same action |
//! | client | `Produce` | media; the answer `Produced` has its id |
//! | client | `Consume` | producer to send back; the answer `Consumed` has the consumer's parameters |
//! | client | `ConsumerResume` | the client is ready to receive; no answer |
//!
//! Closing the WebSocket drops the handles, which closes all objects.

use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU8, NonZeroU32};

use axum::Router as HttpRouter;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use serde::{Deserialize, Serialize};
use tureen::prelude::*;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let worker = WorkerManager::new().create_worker(WorkerSettings::default()).await?;
    let app = HttpRouter::new().route("/ws", any(accept)).with_state(worker);
    let address = std::env::args().nth(1);
    let listener = tokio::net::TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on ws://{}/ws", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn accept(State(worker): State<Worker>, upgrade: WebSocketUpgrade) -> axum::response::Response {
    upgrade.on_upgrade(async move |socket| {
        if let Err(error) = serve(worker, socket).await {
            eprintln!("endpoint failed: {error}");
        }
    })
}

/// Messages of the client.
#[derive(Deserialize)]
#[serde(tag = "action")]
enum ClientMessage {
    #[serde(rename_all = "camelCase")]
    Init { rtp_capabilities: RtpCapabilities },
    #[serde(rename_all = "camelCase")]
    ConnectProducerTransport { dtls_parameters: DtlsParameters },
    #[serde(rename_all = "camelCase")]
    ConnectConsumerTransport { dtls_parameters: DtlsParameters },
    #[serde(rename_all = "camelCase")]
    Produce { kind: MediaKind, rtp_parameters: RtpParameters },
    #[serde(rename_all = "camelCase")]
    Consume { producer_id: ProducerId },
    #[serde(rename_all = "camelCase")]
    ConsumerResume { id: ConsumerId },
}

/// Messages of the server.
#[derive(Serialize)]
#[serde(tag = "action")]
enum ServerMessage {
    #[serde(rename_all = "camelCase")]
    Init {
        router_rtp_capabilities: RtpCapabilitiesFinalized,
        producer_transport_options: TransportOptions,
        consumer_transport_options: TransportOptions,
    },
    ConnectedProducerTransport,
    ConnectedConsumerTransport,
    #[serde(rename_all = "camelCase")]
    Produced {
        id: ProducerId,
    },
    #[serde(rename_all = "camelCase")]
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
struct TransportOptions {
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

/// One endpoint, with a separate router.
struct Endpoint {
    rtp_capabilities: Option<RtpCapabilities>,
    producer_transport: WebRtcTransport,
    consumer_transport: WebRtcTransport,
    producers: Vec<Producer>,
    consumers: HashMap<ConsumerId, Consumer>,
}

async fn serve(worker: Worker, mut socket: WebSocket) -> Result<(), Box<dyn Error + Send + Sync>> {
    let router = worker.create_router(RouterOptions::new(media_codecs())).await?;
    let mut endpoint = Endpoint {
        rtp_capabilities: None,
        producer_transport: router.create_webrtc_transport(transport_options()).await?,
        consumer_transport: router.create_webrtc_transport(transport_options()).await?,
        producers: Vec::new(),
        consumers: HashMap::new(),
    };
    let init = ServerMessage::Init {
        router_rtp_capabilities: router.rtp_capabilities(),
        producer_transport_options: (&endpoint.producer_transport).into(),
        consumer_transport_options: (&endpoint.consumer_transport).into(),
    };
    socket.send(Message::text(serde_json::to_string(&init)?)).await?;

    while let Some(message) = socket.recv().await {
        let Message::Text(text) = message? else { continue };
        if let Some(answer) = endpoint.handle(serde_json::from_str(&text)?).await? {
            socket.send(Message::text(serde_json::to_string(&answer)?)).await?;
        }
    }
    Ok(())
}

impl Endpoint {
    async fn handle(
        &mut self,
        message: ClientMessage,
    ) -> Result<Option<ServerMessage>, Box<dyn Error + Send + Sync>> {
        match message {
            ClientMessage::Init { rtp_capabilities } => {
                self.rtp_capabilities = Some(rtp_capabilities);
                Ok(None)
            }
            ClientMessage::ConnectProducerTransport { dtls_parameters } => {
                self.producer_transport.connect(WebRtcTransportRemoteParameters { dtls_parameters }).await?;
                Ok(Some(ServerMessage::ConnectedProducerTransport))
            }
            ClientMessage::ConnectConsumerTransport { dtls_parameters } => {
                self.consumer_transport.connect(WebRtcTransportRemoteParameters { dtls_parameters }).await?;
                Ok(Some(ServerMessage::ConnectedConsumerTransport))
            }
            ClientMessage::Produce { kind, rtp_parameters } => {
                let options = ProducerOptions::new(kind, rtp_parameters);
                let producer = self.producer_transport.produce(options).await?;
                let id = producer.id();
                self.producers.push(producer);
                Ok(Some(ServerMessage::Produced { id }))
            }
            ClientMessage::Consume { producer_id } => {
                let rtp_capabilities = self.rtp_capabilities.clone().ok_or("Consume came before Init")?;
                let mut options = ConsumerOptions::new(producer_id, rtp_capabilities);
                // It is resumed when the client is ready, so that the first key frame is not lost.
                options.paused = true;
                let consumer = self.consumer_transport.consume(options).await?;
                let answer = ServerMessage::Consumed {
                    id: consumer.id(),
                    producer_id,
                    kind: consumer.kind(),
                    rtp_parameters: consumer.rtp_parameters().clone(),
                };
                self.consumers.insert(consumer.id(), consumer);
                Ok(Some(answer))
            }
            ClientMessage::ConsumerResume { id } => {
                self.consumers.get(&id).ok_or("ConsumerResume of no consumer")?.resume().await?;
                Ok(None)
            }
        }
    }
}

fn media_codecs() -> Vec<RtpCodecCapability> {
    vec![
        RtpCodecCapability::Audio {
            mime_type: MimeTypeAudio::Opus,
            preferred_payload_type: None,
            clock_rate: NonZeroU32::new(48000).expect("not zero"),
            channels: NonZeroU8::new(2).expect("not zero"),
            parameters: RtpCodecParametersParameters::from([("useinbandfec", 1_u32.into())]),
            rtcp_feedback: vec![RtcpFeedback::TransportCc],
        },
        RtpCodecCapability::Video {
            mime_type: MimeTypeVideo::Vp8,
            preferred_payload_type: None,
            clock_rate: NonZeroU32::new(90000).expect("not zero"),
            parameters: RtpCodecParametersParameters::default(),
            rtcp_feedback: vec![
                RtcpFeedback::Nack,
                RtcpFeedback::NackPli,
                RtcpFeedback::CcmFir,
                RtcpFeedback::GoogRemb,
                RtcpFeedback::TransportCc,
            ],
        },
    ]
}

fn transport_options() -> WebRtcTransportOptions {
    WebRtcTransportOptions::new(WebRtcTransportListenInfos::new(ListenInfo {
        protocol: Protocol::Udp,
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        announced_address: None,
        expose_internal_ip: false,
        port: None,
        port_range: None,
        flags: None,
        send_buffer_size: None,
        recv_buffer_size: None,
    }))
}
