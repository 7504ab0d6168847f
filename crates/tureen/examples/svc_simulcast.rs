//! Video in layers: sends every endpoint its own video back, in the layers that it requests.
//!
//! Run `cargo run -p tureen --example svc_simulcast`, then let a page made with mediasoup-client open
//! `ws://127.0.0.1:3000/vp8` and produce with three encodings (simulcast), or `ws://127.0.0.1:3000/vp9` and produce
//! with one encoding of `scalabilityMode` `L3T3_KEY` (SVC). The messages are those of `echo.rs`, and:
//!
//! | from | action | content |
//! | --- | --- | --- |
//! | client | `ConsumerSetPreferredLayers` | highest requested layers; no answer |
//! | server | `ConsumerLayersChanged` | current layers, `null` for none |
//! | server | `ConsumerScore` | scores of the producer's layers and of the consumer's stream |

mod endpoint;

use std::num::NonZeroU32;

use endpoint::{Answer, Connection, Endpoint, Failure, Request};
use serde::Serialize;
use tokio::sync::mpsc;
use tureen::consumer::ConsumerScore;
use tureen::prelude::*;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let worker = WorkerManager::new().create_worker(WorkerSettings::default()).await?;
    endpoint::listen(move |codec, connection| serve(worker.clone(), codec, connection)).await
}

/// Messages to an endpoint about its consumers.
#[derive(Serialize)]
#[serde(tag = "action", rename_all_fields = "camelCase")]
enum ConsumerEvent {
    ConsumerLayersChanged { id: ConsumerId, layers: Option<ConsumerLayers> },
    ConsumerScore { id: ConsumerId, score: ConsumerScore },
}

async fn serve(worker: Worker, codec: String, mut connection: Connection) -> Result<(), Failure> {
    let router = worker.create_router(RouterOptions::new(vec![media_codec(&codec)?])).await?;
    let (mut endpoint, init) = Endpoint::new(&router).await?;
    connection.send(&init).await?;
    // Callbacks must not block. An event that does not fit into the queue is dropped; the next one of its kind replaces
    // it.
    let (sender, mut events) = mpsc::channel(64);
    loop {
        tokio::select! {
            request = connection.receive::<Request>() => {
                let Some(request) = request? else { return Ok(()) };
                let Some(answer) = endpoint.handle(request).await? else { continue };
                if let Answer::Consumed { id, .. } = &answer {
                    watch(&endpoint.consumers[id], &sender);
                }
                connection.send(&answer).await?;
            }
            Some(event) = events.recv() => connection.send(&event).await?,
        }
    }
}

/// Forwards a consumer's events.
fn watch(consumer: &Consumer, events: &mpsc::Sender<ConsumerEvent>) {
    let id = consumer.id();
    let sender = events.clone();
    consumer
        .on_layers_change(move |layers| {
            let _ = sender.try_send(ConsumerEvent::ConsumerLayersChanged { id, layers: *layers });
        })
        .detach();
    let sender = events.clone();
    consumer
        .on_score(move |score| {
            let _ = sender.try_send(ConsumerEvent::ConsumerScore { id, score: score.clone() });
        })
        .detach();
}

fn media_codec(name: &str) -> Result<RtpCodecCapability, Failure> {
    let mime_type = match name {
        "vp8" => MimeTypeVideo::Vp8,
        "vp9" => MimeTypeVideo::Vp9,
        "av1" => MimeTypeVideo::AV1,
        other => return Err(format!("{other} is no codec that has layers here").into()),
    };
    Ok(RtpCodecCapability::Video {
        mime_type,
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
    })
}
