//! A Producer that outlives its handle.

use super::Producer;

/// A producer that was piped to another router. Unlike a [`Producer`] it is not closed on drop, but with the producer
/// that it was piped from; [`into_inner`](Self::into_inner) makes it an ordinary one.
#[derive(Debug)]
#[must_use]
pub struct PipedProducer {
    producer: Producer,
    on_drop: Option<OnDrop>,
}

struct OnDrop(Box<dyn FnOnce(Producer) + Send>);

impl PipedProducer {
    /// `on_drop` is given the last handle, to keep it for as long as the producer shall live.
    pub(crate) fn new(producer: Producer, on_drop: impl FnOnce(Producer) + Send + 'static) -> Self {
        Self { producer, on_drop: Some(OnDrop(Box::new(on_drop))) }
    }

    /// The producer, which is closed on drop.
    pub fn into_inner(mut self) -> Producer {
        self.on_drop = None;
        self.producer.clone()
    }
}

impl Drop for PipedProducer {
    fn drop(&mut self) {
        if let Some(OnDrop(on_drop)) = self.on_drop.take() {
            on_drop(self.producer.clone());
        }
    }
}

impl std::fmt::Debug for OnDrop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnDrop")
    }
}
