//! Keys of the worker's arenas: cheap to copy, never reused for another object.

slotmap::new_key_type! {
    pub(crate) struct TransportKey;
    pub(crate) struct ProducerKey;
    pub(crate) struct ConsumerKey;
    pub(crate) struct ObserverKey;
    pub(crate) struct DataProducerKey;
    pub(crate) struct DataConsumerKey;
}
