//! A Producer that outlives its handle.

use super::Producer;
use crate::handles::NonClosing;

/// A producer that was piped to another router.
///
/// Dropping it does not close the producer, unlike dropping a [`Producer`]: the producer is closed with the one that it
/// was piped from. [`into_inner`](Self::into_inner) makes an ordinary producer of it.
#[derive(Debug)]
#[must_use]
pub struct PipedProducer {
    producer: NonClosing<Producer>,
}

impl PipedProducer {
    /// `on_drop` takes the handle, and keeps it for as long as the producer is to live.
    pub(crate) fn new(producer: Producer, on_drop: impl FnOnce(Producer) + Send + 'static) -> Self {
        Self { producer: NonClosing::new(producer, on_drop) }
    }

    /// The producer, which is closed when its last handle is dropped.
    pub fn into_inner(mut self) -> Producer {
        self.producer.release()
    }
}

impl Drop for PipedProducer {
    fn drop(&mut self) {
        self.producer.on_drop();
    }
}
