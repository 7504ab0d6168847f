//! A DataProducer that outlives its handle.

use super::DataProducer;

/// A data producer that was piped to another router. Unlike a [`DataProducer`] it is not closed on drop, but with the
/// data producer that it was piped from; [`into_inner`](Self::into_inner) makes it an ordinary one.
#[derive(Debug)]
#[must_use]
pub struct NonClosingDataProducer {
    data_producer: DataProducer,
    on_drop: Option<OnDrop>,
}

struct OnDrop(Box<dyn FnOnce(DataProducer) + Send>);

impl NonClosingDataProducer {
    /// `on_drop` is given the last handle, to keep it for as long as the data producer shall live.
    pub(crate) fn new(
        data_producer: DataProducer,
        on_drop: impl FnOnce(DataProducer) + Send + 'static,
    ) -> Self {
        Self { data_producer, on_drop: Some(OnDrop(Box::new(on_drop))) }
    }

    /// The data producer, which is closed on drop.
    pub fn into_inner(mut self) -> DataProducer {
        self.on_drop = None;
        self.data_producer.clone()
    }
}

impl Drop for NonClosingDataProducer {
    fn drop(&mut self) {
        if let Some(OnDrop(on_drop)) = self.on_drop.take() {
            on_drop(self.data_producer.clone());
        }
    }
}

impl std::fmt::Debug for OnDrop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnDrop")
    }
}
