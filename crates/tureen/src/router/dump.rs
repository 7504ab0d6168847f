//! Dump of a Router.

use hash_hasher::{HashedMap, HashedSet};
use serde::{Deserialize, Serialize};
use tureen_engine::api;

use super::RouterId;
use crate::consumer::ConsumerId;
use crate::data_consumer::DataConsumerId;
use crate::data_producer::DataProducerId;
use crate::producer::ProducerId;
use crate::rtp_observer::RtpObserverId;
use crate::transport::TransportId;

/// State of a router.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(hidden)]
#[non_exhaustive]
pub struct RouterDump {
    /// Identifier of the router.
    pub id: RouterId,
    /// Producer that each consumer reads.
    pub map_consumer_id_producer_id: HashedMap<ConsumerId, ProducerId>,
    /// Consumers of each producer.
    pub map_producer_id_consumer_ids: HashedMap<ProducerId, HashedSet<ConsumerId>>,
    /// Data producer that each data consumer reads.
    pub map_data_consumer_id_data_producer_id: HashedMap<DataConsumerId, DataProducerId>,
    /// Data consumers of each data producer.
    pub map_data_producer_id_data_consumer_ids: HashedMap<DataProducerId, HashedSet<DataConsumerId>>,
    /// RTP observers of each producer.
    pub map_producer_id_observer_ids: HashedMap<ProducerId, HashedSet<RtpObserverId>>,
    /// RTP observers of the router.
    pub rtp_observer_ids: HashedSet<RtpObserverId>,
    /// Transports of the router.
    pub transport_ids: HashedSet<TransportId>,
}

impl From<api::RouterDump> for RouterDump {
    fn from(dump: api::RouterDump) -> Self {
        let map_producer_id_consumer_ids: HashedMap<ProducerId, HashedSet<ConsumerId>> = dump
            .producer_consumers
            .into_iter()
            .map(|(producer, consumers)| (producer.into(), consumers.into_iter().map(Into::into).collect()))
            .collect();
        let map_data_producer_id_data_consumer_ids: HashedMap<DataProducerId, HashedSet<DataConsumerId>> =
            dump.data_producer_consumers
                .into_iter()
                .map(|(producer, consumers)| {
                    (producer.into(), consumers.into_iter().map(Into::into).collect())
                })
                .collect();
        Self {
            id: dump.id.into(),
            map_consumer_id_producer_id: map_producer_id_consumer_ids
                .iter()
                .flat_map(|(producer, consumers)| consumers.iter().map(|consumer| (*consumer, *producer)))
                .collect(),
            map_producer_id_consumer_ids,
            map_data_consumer_id_data_producer_id: map_data_producer_id_data_consumer_ids
                .iter()
                .flat_map(|(producer, consumers)| consumers.iter().map(|consumer| (*consumer, *producer)))
                .collect(),
            map_data_producer_id_data_consumer_ids,
            map_producer_id_observer_ids: dump
                .producer_observers
                .into_iter()
                .map(|(producer, observers)| {
                    (producer.into(), observers.into_iter().map(Into::into).collect())
                })
                .collect(),
            rtp_observer_ids: dump.rtp_observer_ids.into_iter().map(Into::into).collect(),
            transport_ids: dump.transport_ids.into_iter().map(Into::into).collect(),
        }
    }
}
