//! Keys of the worker's arenas: cheap to copy, never reused for another object.

slotmap::new_key_type! {
    /// A transport.
    pub(crate) struct TransportKey;
    /// A Producer.
    pub(crate) struct ProducerKey;
    /// A Consumer.
    pub(crate) struct ConsumerKey;
    /// An RTP observer.
    pub(crate) struct ObserverKey;
    /// A DataProducer.
    pub(crate) struct DataProducerKey;
    /// A DataConsumer.
    pub(crate) struct DataConsumerKey;
}
