//! A DataProducer that outlives its handle.

use super::DataProducer;
use crate::handles::NonClosing;

/// A data producer that was piped to another router.
///
/// Dropping it does not close the data producer, unlike dropping a [`DataProducer`]: the data producer is closed with
/// the one that it was piped from. [`into_inner`](Self::into_inner) makes an ordinary data producer of it.
#[derive(Debug)]
#[must_use]
pub struct NonClosingDataProducer {
    data_producer: NonClosing<DataProducer>,
}

impl NonClosingDataProducer {
    /// `on_drop` takes the handle, and keeps it for as long as the data producer is to live.
    pub(crate) fn new(
        data_producer: DataProducer,
        on_drop: impl FnOnce(DataProducer) + Send + 'static,
    ) -> Self {
        Self { data_producer: NonClosing::new(data_producer, on_drop) }
    }

    /// The data producer, which is closed when its last handle is dropped.
    pub fn into_inner(mut self) -> DataProducer {
        self.data_producer.release()
    }
}

impl Drop for NonClosingDataProducer {
    fn drop(&mut self) {
        self.data_producer.on_drop();
    }
}
