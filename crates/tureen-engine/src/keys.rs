//! Keys of the worker's arenas: cheap to copy, never reused for another object.

slotmap::new_key_type! {
    /// A transport.
    pub struct TransportKey;
    /// A Producer.
    pub struct ProducerKey;
    /// A Consumer.
    pub struct ConsumerKey;
    /// An RTP observer.
    pub struct ObserverKey;
    /// A DataProducer.
    pub struct DataProducerKey;
    /// A DataConsumer.
    pub struct DataConsumerKey;
}
