//! Creation of data producers and data consumers on a transport.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tureen_engine::api::{self, ConsumeData, DataTransport, ProduceData, Request, Response};

use super::{Kind, TransportBase};
use crate::data_consumer::{DataConsumer, DataConsumerId, DataConsumerOptions};
use crate::data_producer::{DataProducer, DataProducerId, DataProducerOptions};
use crate::threads::CloseOnDrop;
use crate::transport::{ConsumeDataError, ProduceDataError, Transport};
use crate::worker::RequestError;

impl TransportBase {
    /// Creates a data producer. It keeps `transport`, a handle of this transport.
    pub(crate) async fn produce_data(
        &self,
        transport: Arc<dyn Transport>,
        options: DataProducerOptions,
    ) -> Result<DataProducer, ProduceDataError> {
        let DataProducerOptions { id, sctp_stream_parameters, label, protocol, paused, app_data } = options;
        if let Some(id) = id
            && self.router().data_producer(&id).is_some()
        {
            return Err(ProduceDataError::AlreadyExists(id));
        }
        let way = match (self.kind, sctp_stream_parameters) {
            (Kind::Direct, parameters) => {
                if parameters.is_some() {
                    tracing::warn!("a direct transport has no use for SCTP stream parameters");
                }
                DataTransport::Direct
            }
            (_, Some(parameters)) => DataTransport::Sctp(parameters),
            (_, None) => return Err(ProduceDataError::SctpStreamParametersRequired),
        };

        let id = id.unwrap_or_else(DataProducerId::new);
        let guard = CloseOnDrop::new(self.object.channel(), Request::CloseDataProducer(id.into()));
        let request = Request::ProduceData(ProduceData {
            transport_id: self.id().into(),
            id: id.into(),
            transport: way,
            label,
            protocol,
            paused,
        });
        let made = match self.object.channel().request(request).await {
            Ok(Response::DataProducerDump(made)) => *made,
            Ok(other) => return Err(ProduceDataError::Request(RequestError::unexpected(&other))),
            Err(error) => {
                // Disarmed, because the id may be that of another data producer, which stays open.
                guard.disarm();
                return Err(ProduceDataError::Request(error));
            }
        };
        let data_producer = DataProducer::new(made, app_data, transport);
        guard.disarm();
        self.router().add_data_producer(&data_producer);
        self.handlers.new_data_producer.call_simple(&data_producer);
        Ok(data_producer)
    }

    /// Creates a data consumer. It keeps `transport`, a handle of this transport.
    pub(crate) async fn consume_data(
        &self,
        transport: Arc<dyn Transport>,
        options: DataConsumerOptions,
    ) -> Result<DataConsumer, ConsumeDataError> {
        let data_producer_id = options.data_producer_id;
        let data_producer = self
            .router()
            .data_producer(&data_producer_id)
            .ok_or(ConsumeDataError::DataProducerNotFound(data_producer_id))?;
        let stream = match self.kind {
            Kind::Direct => {
                if options.is_for_sctp() {
                    tracing::warn!("a direct transport has no use for options of SCTP streams");
                }
                None
            }
            _ => Some(self.stream_ids.take().ok_or(ConsumeDataError::NoSctpStreamId)?),
        };
        let way = match &stream {
            Some(stream) => {
                let producer = data_producer.sctp_stream_parameters();
                DataTransport::Sctp(options.stream(stream.id, producer))
            }
            None => DataTransport::Direct,
        };
        let DataConsumerOptions { paused, subchannels, app_data, .. } = options;

        let id = DataConsumerId::new();
        let guard = CloseOnDrop::new(self.object.channel(), Request::CloseDataConsumer(id.into()));
        let events = self.router().worker().dispatcher().hold(api::DataConsumerId::from(id));
        let request = Request::ConsumeData(ConsumeData {
            transport_id: self.id().into(),
            data_producer_id: data_producer_id.into(),
            id: id.into(),
            transport: way,
            label: data_producer.label().clone(),
            protocol: data_producer.protocol().clone(),
            paused,
            subchannels: subchannels.unwrap_or_default(),
        });
        let made = match self.object.channel().request(request).await.map_err(ConsumeDataError::Request)? {
            Response::DataConsumerDump(made) => *made,
            other => return Err(ConsumeDataError::Request(RequestError::unexpected(&other))),
        };
        let data_consumer = DataConsumer::new(made, app_data, transport);
        guard.disarm();
        // The stream id is in use until the data consumer is closed.
        data_consumer.on_close(move || drop(stream)).detach();
        self.handlers.new_data_consumer.call_simple(&data_consumer);
        events.deliver_to(data_consumer.sink());
        Ok(data_consumer)
    }
}

/// SCTP stream ids in use by the data consumers of one transport. They are allocated in turn, so that the id of a
/// closed stream is reused as late as possible.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamIds {
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    ids: HashSet<u16>,
    next: u16,
}

/// A stream id in use. Dropping it frees the id.
#[derive(Debug)]
struct Stream {
    id: u16,
    ids: StreamIds,
}

impl StreamIds {
    /// An association has 65535 streams (RFC 9260 §3.3.2).
    const COUNT: u16 = u16::MAX;

    fn take(&self) -> Option<Stream> {
        let mut taken = self.taken.lock();
        if taken.ids.len() >= usize::from(Self::COUNT) {
            return None;
        }
        let mut id = taken.next;
        while !taken.ids.insert(id) {
            id = (id + 1) % Self::COUNT;
        }
        taken.next = (id + 1) % Self::COUNT;
        drop(taken);
        Some(Stream { id, ids: self.clone() })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.ids.taken.lock().ids.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_ids_are_allocated_in_turn_and_released() {
        let ids = StreamIds::default();
        let (first, second) = (ids.take().unwrap(), ids.take().unwrap());
        assert_eq!((first.id, second.id), (0, 1));
        drop(first);
        assert_eq!(ids.take().unwrap().id, 2);
        assert_eq!(ids.take().unwrap().id, 3);
        ids.taken.lock().next = 65534;
        let last = ids.take().unwrap();
        assert_eq!((last.id, ids.take().unwrap().id), (65534, 0));
        assert_eq!(ids.take().unwrap().id, 2, "1 is taken");
    }

    #[test]
    fn there_are_65535_streams() {
        let ids = StreamIds::default();
        let mut streams: Vec<_> = std::iter::from_fn(|| ids.take()).collect();
        assert_eq!(streams.len(), 65535);
        streams.remove(1000);
        assert_eq!(ids.take().unwrap().id, 1000);
    }
}
