//! Requests of a peer: from protoo to the room, and back.

use serde_json::{Value, json};
use tureen::prelude::*;

use super::{
    message::{Refusal, Request},
    moderation,
    schema::{
        ConnectTransport, CreateTransport, DisplayName, Join, OfConsumer, OfDataConsumer, OfDataProducer,
        OfProducer, OfTransport, PreferredLayers, Prepare, Priority, Produce, ProduceData,
    },
};
use crate::{
    error::Error,
    room::Participant,
    signaling::json::{self, CreatedTransport, describe, read, write},
    tally::Shown,
};

/// Handles a request of `peer`.
pub(super) async fn handle(peer: Participant, request: Request) -> Result<Value, Refusal> {
    carry_out(&peer, request).await.map_err(|error| Refusal::from(&error))
}

async fn carry_out(peer: &Participant, request: Request) -> Result<Value, Error> {
    let Request { method, data, .. } = request;
    match method.as_str() {
        "getRouterRtpCapabilities" => return write(&peer.room().router().rtp_capabilities()),
        "createWebRtcTransport" => {
            let asked: CreateTransport = read(data)?;
            let transport = peer.create_webrtc_transport(asked.into()).await?;
            return write(&CreatedTransport::describe(&transport));
        }
        "connectWebRtcTransport" => {
            let ConnectTransport { transport_id, dtls_parameters } = read(data)?;
            peer.connect(transport_id, dtls_parameters).await?;
        }
        "restartIce" => {
            let OfTransport { transport_id } = read(data)?;
            return write(&peer.restart_ice(transport_id).await?);
        }
        "prepare" => {
            let Prepare { rtp_capabilities } = read(data)?;
            peer.prepare(rtp_capabilities)?;
        }
        "join" => {
            let asked: Join = read(data)?;
            let others: Vec<_> = peer.join(asked.into())?.iter().map(describe).collect();
            return Ok(json!({ "peers": others }));
        }
        "produce" => {
            let asked: Produce = read(data)?;
            return Ok(json!({ "id": peer.produce(asked.into()).await? }));
        }
        "produceData" => {
            let asked: ProduceData = read(data)?;
            return Ok(json!({ "id": peer.produce_data(asked.into()).await? }));
        }
        "closeProducer" => {
            let OfProducer { producer_id } = read(data)?;
            peer.close_producer(producer_id).await?;
        }
        "pauseProducer" => {
            let OfProducer { producer_id } = read(data)?;
            peer.joined_producer(producer_id)?.pause().await?;
        }
        "resumeProducer" => {
            let OfProducer { producer_id } = read(data)?;
            peer.resume_producer(producer_id).await?;
        }
        "pauseConsumer" => {
            let OfConsumer { consumer_id } = read(data)?;
            peer.joined_consumer(consumer_id)?.pause().await?;
        }
        "resumeConsumer" => {
            let OfConsumer { consumer_id } = read(data)?;
            peer.joined_consumer(consumer_id)?.resume().await?;
        }
        "requestConsumerKeyFrame" => {
            let OfConsumer { consumer_id } = read(data)?;
            peer.joined_consumer(consumer_id)?.request_key_frame().await?;
        }
        "setConsumerPreferredLayers" => {
            let PreferredLayers { consumer_id, layers } = read(data)?;
            peer.joined_consumer(consumer_id)?.set_preferred_layers(layers).await?;
        }
        "setConsumerPriority" => {
            let Priority { consumer_id, priority } = read(data)?;
            peer.joined_consumer(consumer_id)?.set_priority(priority).await?;
        }
        "changeDisplayName" => {
            let DisplayName { display_name } = read(data)?;
            peer.change_display_name(display_name)?;
        }
        // mediasoup-demo throttles the server's network for clients that know its secret; this server has none.
        "applyNetworkThrottle" | "resetNetworkThrottle" => return Err(Error::NoThrottling(method)),
        method if moderation::is_one(method) => return moderation::carry_out(peer, method, data).await,
        method => return statistics(peer, method, data).await,
    }
    Ok(json!({}))
}

/// Handles a request for statistics; any other method is unknown.
async fn statistics(peer: &Participant, method: &str, data: Value) -> Result<Value, Error> {
    match method {
        "getTransportStats" => {
            let OfTransport { transport_id } = read(data)?;
            let stats = peer.webrtc_transport(transport_id)?.get_stats().await.map_err(Error::Worker)?;
            json::transport_stats(&stats)
        }
        "getProducerStats" => {
            let OfProducer { producer_id } = read(data)?;
            let stats = peer.producer(producer_id)?.get_stats().await.map_err(Error::Worker)?;
            json::producer_stats(&stats)
        }
        "getConsumerStats" => {
            let OfConsumer { consumer_id } = read(data)?;
            let stats = peer.consumer(consumer_id)?.get_stats().await.map_err(Error::Worker)?;
            json::consumer_stats(&stats)
        }
        "getDataProducerStats" => {
            let OfDataProducer { data_producer_id } = read(data)?;
            let stats = peer.data_producer(data_producer_id)?.get_stats().await.map_err(Error::Worker)?;
            json::data_producer_stats(&stats)
        }
        "getDataConsumerStats" => {
            let OfDataConsumer { data_consumer_id } = read(data)?;
            let stats = peer.data_consumer(data_consumer_id)?.get_stats().await.map_err(Error::Worker)?;
            json::data_consumer_stats(&stats)
        }
        method => Err(Error::UnknownMethod(Shown(method).to_string())),
    }
}
