//! Messages that the application receives.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_listener_primitives::HandlerId;
use tureen_types::data_structures::AppData;
use tureen_types::sctp_parameters::SctpStreamParameters;

use super::client_io::ObjectKey;
use super::error::TransportError;
use super::message::{Message, MessageQueue, MessageSink};
use super::transport::Registration;

/// What to consume: the server's DataConsumer.
#[derive(Clone, Debug)]
pub struct DataConsumeOptions {
    /// Its id.
    pub id: String,
    /// Id of its DataProducer.
    pub data_producer_id: String,
    /// Its SCTP stream.
    pub sctp_stream_parameters: SctpStreamParameters,
    /// Label of the channel.
    pub label: String,
    /// Subprotocol of the channel.
    pub protocol: String,
    /// The application's own.
    pub app_data: AppData,
}

/// A data channel on which the application receives. A cheap clone.
///
/// It is closed when its last handle is dropped. Signalling of closing is the application's.
#[derive(Clone)]
pub struct DataConsumer {
    inner: Arc<Inner>,
}

struct Inner {
    options: DataConsumeOptions,
    registration: Registration,
    key: ObjectKey,
    queue: MessageQueue,
    /// The server has closed the channel.
    closed: Arc<AtomicBool>,
}

impl DataConsumer {
    pub(super) fn new(
        options: DataConsumeOptions,
        registration: Registration,
        key: ObjectKey,
        queue: MessageQueue,
        closed: Arc<AtomicBool>,
    ) -> Self {
        Self { inner: Arc::new(Inner { options, registration, key, queue, closed }) }
    }

    /// Its id on the server.
    pub fn id(&self) -> &str {
        &self.inner.options.id
    }

    /// Id of its DataProducer on the server.
    pub fn data_producer_id(&self) -> &str {
        &self.inner.options.data_producer_id
    }

    /// SCTP stream, and how reliable it is.
    pub fn sctp_stream_parameters(&self) -> SctpStreamParameters {
        self.inner.options.sctp_stream_parameters
    }

    /// Label of the channel.
    pub fn label(&self) -> &str {
        &self.inner.options.label
    }

    /// Subprotocol of the channel.
    pub fn protocol(&self) -> &str {
        &self.inner.options.protocol
    }

    /// The application's own data, from the options.
    pub fn app_data(&self) -> &AppData {
        &self.inner.options.app_data
    }

    /// True if the data consumer or its transport is closed, or the server has closed the channel.
    pub fn closed(&self) -> bool {
        self.inner.registration.is_closed() || self.inner.closed.load(Ordering::Relaxed)
    }

    /// The next message; `None` when no more can come: the data consumer or its transport is closed, or messages go to a
    /// sink. Several calls at once take turns; a dropped one takes nothing.
    ///
    /// At most 1024 messages or 4 MiB wait. Messages beyond that are dropped and counted
    /// ([`messages_dropped`](Self::messages_dropped)).
    pub async fn next_message(&self) -> Option<Message> {
        self.inner.queue.next().await
    }

    /// Messages that were dropped because [`next_message`](Self::next_message) was not called in time.
    pub fn messages_dropped(&self) -> u64 {
        self.inner.queue.dropped()
    }

    /// Gives the messages to `sink` on the I/O thread from now on. [`next_message`](Self::next_message) ends with those
    /// that waited.
    ///
    /// # Errors
    /// [`TransportError::Closed`].
    pub async fn set_sink(&self, sink: Box<dyn MessageSink>) -> Result<(), TransportError> {
        let key = self.inner.key;
        self.inner.registration.base().call(move |peer, _| peer.set_message_sink(key, sink)).await
    }

    /// Calls `callback` when the transport is closed (mediasoup-client's `transportclose`), until the returned id is
    /// dropped.
    #[must_use = "the callback is removed when the id is dropped"]
    pub fn on_transport_close(&self, callback: impl FnOnce() + Send + 'static) -> HandlerId {
        self.inner.registration.base().shared().on_close(Box::new(callback))
    }

    /// Closes the channel.
    pub fn close(&self) {
        self.inner.registration.discard();
    }
}

impl fmt::Debug for DataConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataConsumer")
            .field("options", &self.inner.options)
            .field("closed", &self.closed())
            .finish_non_exhaustive()
    }
}
