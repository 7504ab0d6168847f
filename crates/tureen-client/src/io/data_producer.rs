//! Messages that the application sends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use event_listener_primitives::{Bag, HandlerId};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tureen_types::data_structures::AppData;
use tureen_types::sctp_parameters::SctpStreamParameters;

use super::client_io::{Command, ObjectKey};
use super::error::{SendFrameError, SendMessageError, TransportError};
use super::message::Message;
use super::peer::{MessageCommand, guarded};
use super::transport::Registration;

/// What to produce on a data channel.
#[derive(Clone, Debug)]
pub struct DataProduceOptions {
    /// Messages arrive reliably and in order. Only without the two limits below.
    pub ordered: bool,
    /// Milliseconds after which an unordered message is no longer retransmitted.
    pub max_packet_life_time: Option<u16>,
    /// Most retransmissions of an unordered message.
    pub max_retransmits: Option<u16>,
    /// Label of the channel.
    pub label: String,
    /// Subprotocol of the channel.
    pub protocol: String,
    /// The application's own.
    pub app_data: AppData,
}

impl Default for DataProduceOptions {
    fn default() -> Self {
        Self {
            ordered: true,
            max_packet_life_time: None,
            max_retransmits: None,
            label: String::new(),
            protocol: String::new(),
            app_data: AppData::default(),
        }
    }
}

impl DataProduceOptions {
    /// The stream parameters, without a stream yet. As in mediasoup-client, a limit makes the channel unordered.
    pub(super) fn stream(&self) -> Result<SctpStreamParameters, TransportError> {
        if let (Some(life_time), Some(retransmits)) = (self.max_packet_life_time, self.max_retransmits) {
            return Err(TransportError::TwoLimits(life_time, retransmits));
        }
        let limited = self.max_packet_life_time.is_some() || self.max_retransmits.is_some();
        Ok(SctpStreamParameters {
            stream_id: 0,
            ordered: self.ordered && !limited,
            max_packet_life_time: self.max_packet_life_time,
            max_retransmits: self.max_retransmits,
        })
    }
}

/// Counters of a data producer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataProducerStats {
    /// Messages given to SCTP.
    pub messages: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Messages that SCTP refused: too long, or the channel is closed.
    pub messages_refused: u64,
}

/// A data channel on which the application sends. A cheap clone.
///
/// It is closed when its last handle is dropped. Signalling of closing is the application's.
#[derive(Clone)]
pub struct DataProducer {
    inner: Arc<Inner>,
}

struct Inner {
    id: String,
    stream: SctpStreamParameters,
    label: String,
    protocol: String,
    app_data: AppData,
    registration: Registration,
    key: ObjectKey,
    shared: Arc<DataProducerShared>,
    max_message_size: usize,
}

/// The arguments of [`DataProducer::new`].
pub(super) struct NewDataProducer {
    pub(super) id: String,
    pub(super) stream: SctpStreamParameters,
    pub(super) options: DataProduceOptions,
    pub(super) registration: Registration,
    pub(super) key: ObjectKey,
    pub(super) shared: Arc<DataProducerShared>,
    pub(super) max_message_size: usize,
}

/// Bytes that may wait on one data producer before [`DataProducer::send`] waits.
pub const MAX_BUFFERED: usize = 1 << 20;

/// What the I/O thread knows of a data producer.
#[derive(Debug, Default)]
pub(super) struct DataProducerShared {
    /// Bytes that have not left yet, on their way to the I/O thread and there. One counter, because a reader of two would
    /// count a message twice on its way from one to the other.
    buffered: AtomicUsize,
    /// The part of `buffered` that has arrived at the I/O thread, which alone writes it.
    waiting: AtomicUsize,
    room: Notify,
    closed: AtomicBool,
    low_threshold: AtomicUsize,
    buffered_amount_low: Bag<Arc<dyn Fn() + Send + Sync>>,
    stats: Mutex<DataProducerStats>,
}

impl DataProducer {
    pub(super) fn new(new: NewDataProducer) -> Self {
        let DataProduceOptions { label, protocol, app_data, .. } = new.options;
        Self {
            inner: Arc::new(Inner {
                id: new.id,
                stream: new.stream,
                label,
                protocol,
                app_data,
                registration: new.registration,
                key: new.key,
                shared: new.shared,
                max_message_size: new.max_message_size,
            }),
        }
    }

    /// Its id on the server.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// SCTP stream, and how reliable it is.
    pub fn sctp_stream_parameters(&self) -> SctpStreamParameters {
        self.inner.stream
    }

    /// Label of the channel.
    pub fn label(&self) -> &str {
        &self.inner.label
    }

    /// Subprotocol of the channel.
    pub fn protocol(&self) -> &str {
        &self.inner.protocol
    }

    /// The application's own data, from the options.
    pub fn app_data(&self) -> &AppData {
        &self.inner.app_data
    }

    /// True if the data producer or its transport is closed, or the server has closed the channel.
    pub fn closed(&self) -> bool {
        self.inner.registration.is_closed() || self.inner.shared.closed.load(Ordering::Relaxed)
    }

    /// Bytes that have not left yet (`bufferedAmount` of WebRTC).
    pub fn buffered_amount(&self) -> usize {
        self.inner.shared.buffered()
    }

    /// Sends a message, waiting while [`MAX_BUFFERED`] bytes wait. A dropped future sends nothing.
    ///
    /// # Errors
    /// [`SendMessageError::TooLong`] or [`SendMessageError::Closed`].
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendMessageError> {
        let message = message.into();
        self.check(&message)?;
        let closed = Arc::clone(&self.inner.shared);
        loop {
            // Enabled before the check, so that no notification is missed.
            let mut room = std::pin::pin!(closed.room.notified());
            room.as_mut().enable();
            if self.closed() {
                return Err(SendMessageError::Closed);
            }
            if self.inner.shared.has_room(message.len()) {
                break;
            }
            room.await;
        }
        let command = self.command(message);
        let (thread, _) = self.inner.registration.base().thread();
        let len = command.1;
        let sent = thread.send(command.0).await;
        sent.map_err(|_| {
            self.inner.shared.buffered.fetch_sub(len, Ordering::Relaxed);
            SendMessageError::Closed
        })
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    /// See [`SendMessageError`].
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendMessageError> {
        let message = message.into();
        self.check(&message)?;
        if self.closed() {
            return Err(SendMessageError::Closed);
        }
        if !self.inner.shared.has_room(message.len()) {
            return Err(SendMessageError::BufferFull(self.buffered_amount()));
        }
        let (command, len) = self.command(message);
        let (thread, _) = self.inner.registration.base().thread();
        thread.try_send(command).map_err(|error| {
            self.inner.shared.buffered.fetch_sub(len, Ordering::Relaxed);
            match error {
                SendFrameError::QueueFull => SendMessageError::BufferFull(self.buffered_amount()),
                _ => SendMessageError::Closed,
            }
        })
    }

    /// Bytes at or below which [`on_buffered_amount_low`](Self::on_buffered_amount_low) is called. At first zero.
    pub fn set_buffered_amount_low_threshold(&self, bytes: usize) {
        self.inner.shared.low_threshold.store(bytes, Ordering::Relaxed);
    }

    /// Calls `callback` when the buffered amount falls to the threshold, on the I/O thread, until the returned id is
    /// dropped.
    #[must_use = "the callback is removed when the id is dropped"]
    pub fn on_buffered_amount_low(&self, callback: impl Fn() + Send + Sync + 'static) -> HandlerId {
        self.inner.shared.buffered_amount_low.add(Arc::new(callback))
    }

    /// Calls `callback` when the transport is closed (mediasoup-client's `transportclose`), until the returned id is
    /// dropped.
    #[must_use = "the callback is removed when the id is dropped"]
    pub fn on_transport_close(&self, callback: impl FnOnce() + Send + 'static) -> HandlerId {
        self.inner.registration.base().shared().on_close(Box::new(callback))
    }

    /// Counters.
    pub fn stats(&self) -> DataProducerStats {
        *self.inner.shared.stats.lock()
    }

    /// Closes the channel once what was sent has arrived (RFC 8831 §6.7).
    pub fn close(&self) {
        self.inner.registration.discard();
        self.inner.shared.room.notify_waiters();
    }

    fn check(&self, message: &Message) -> Result<(), SendMessageError> {
        let (len, max) = (message.len(), self.inner.max_message_size);
        if len > max { Err(SendMessageError::TooLong { len, max }) } else { Ok(()) }
    }

    fn command(&self, message: Message) -> (Command, usize) {
        let (ppid, payload) = message.into_sctp();
        let len = payload.len();
        self.inner.shared.buffered.fetch_add(len, Ordering::Relaxed);
        let (_, peer) = self.inner.registration.base().thread();
        let message = MessageCommand { producer: self.inner.key, ppid, payload };
        (Command::Message(peer, message), len)
    }
}

impl fmt::Debug for DataProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataProducer")
            .field("id", &self.inner.id)
            .field("stream", &self.inner.stream)
            .field("label", &self.inner.label)
            .field("closed", &self.closed())
            .finish_non_exhaustive()
    }
}

impl DataProducerShared {
    /// A message has come to the thread and waits there.
    pub(super) fn on_taken(&self, len: usize) {
        self.waiting.fetch_add(len, Ordering::Relaxed);
    }

    /// SCTP has taken a message, or has refused it.
    pub(super) fn on_given(&self, len: usize, taken: bool) {
        let mut stats = self.stats.lock();
        if taken {
            stats.messages += 1;
            stats.bytes += len as u64;
        } else {
            stats.messages_refused += 1;
        }
    }

    /// So many bytes wait on the thread now.
    pub(super) fn set_waiting(&self, bytes: usize) {
        let before = self.waiting.swap(bytes, Ordering::Relaxed);
        if bytes <= before {
            self.buffered.fetch_sub(before - bytes, Ordering::Relaxed);
        } else {
            self.buffered.fetch_add(bytes - before, Ordering::Relaxed);
        }
        if bytes < before {
            self.room.notify_waiters();
            let threshold = self.low_threshold.load(Ordering::Relaxed);
            if bytes <= threshold && before > threshold {
                guarded("buffered amount handler", || self.buffered_amount_low.call(|callback| callback()));
            }
        }
    }

    /// The channel is gone.
    pub(super) fn set_closed(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    fn buffered(&self) -> usize {
        self.buffered.load(Ordering::Relaxed)
    }

    /// A message longer than the bound has room when nothing else waits.
    fn has_room(&self, len: usize) -> bool {
        let buffered = self.buffered();
        buffered == 0 || buffered + len <= MAX_BUFFERED
    }
}
