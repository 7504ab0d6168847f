//! Callbacks of a DataConsumer, and the worker's events that call them.

use std::borrow::Cow;
use std::sync::Arc;

use event_listener_primitives::{Bag, BagOnce, HandlerId};
use tureen_engine::api::{DataConsumerEvent, DataMessage};

use super::{DataConsumer, Inner, State};
use crate::data_structures::WebRtcMessage;
use crate::object::OnClose;
use crate::threads::Sink;

#[derive(Default)]
#[expect(clippy::type_complexity)]
pub(super) struct Handlers {
    message: Bag<Arc<dyn Fn(&WebRtcMessage<'_>) + Send + Sync>>,
    sctp_send_buffer_full: Bag<Arc<dyn Fn() + Send + Sync>>,
    buffered_amount_low: Bag<Arc<dyn Fn(u32) + Send + Sync>>,
    pause: Bag<Arc<dyn Fn() + Send + Sync>>,
    resume: Bag<Arc<dyn Fn() + Send + Sync>>,
    data_producer_pause: Bag<Arc<dyn Fn() + Send + Sync>>,
    data_producer_resume: Bag<Arc<dyn Fn() + Send + Sync>>,
    data_producer_close: BagOnce<OnClose>,
}

impl DataConsumer {
    /// Calls `callback` with each message. Of a data consumer on a DirectTransport only.
    pub fn on_message<F: Fn(&WebRtcMessage<'_>) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.message.add(Arc::new(callback))
    }

    /// Calls `callback` when a message is dropped because the SCTP send buffer is full.
    pub fn on_sctp_send_buffer_full<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.sctp_send_buffer_full.add(Arc::new(callback))
    }

    /// Calls `callback` with the buffered amount, in bytes, when it falls to the threshold or below; see
    /// [`set_buffered_amount_low_threshold`](Self::set_buffered_amount_low_threshold).
    pub fn on_buffered_amount_low<F: Fn(u32) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.buffered_amount_low.add(Arc::new(callback))
    }

    /// Calls `callback` when the data producer is closed for any reason, and the data consumer with it.
    pub fn on_data_producer_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.data_producer_close.add(Box::new(callback))
    }

    /// Calls `callback` when sending stops because the data consumer or its data producer is paused.
    pub fn on_pause<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.pause.add(Arc::new(callback))
    }

    /// Calls `callback` when neither the data consumer nor its data producer is paused any more.
    pub fn on_resume<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.resume.add(Arc::new(callback))
    }

    /// Calls `callback` when the data producer is paused.
    pub fn on_data_producer_pause<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.data_producer_pause.add(Arc::new(callback))
    }

    /// Calls `callback` when the data producer is resumed.
    pub fn on_data_producer_resume<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.data_producer_resume.add(Arc::new(callback))
    }
}

impl Inner {
    /// Applies `change` and calls the callbacks if the data consumer is now paused, or no longer paused, by itself or by
    /// its data producer.
    pub(super) fn change_pause(&self, change: impl FnOnce(&mut State)) {
        let (before, after) = {
            let mut state = self.state.lock();
            let before = state.paused || state.data_producer_paused;
            change(&mut state);
            (before, state.paused || state.data_producer_paused)
        };
        match (before, after) {
            (false, true) => self.handlers.pause.call_simple(),
            (true, false) => self.handlers.resume.call_simple(),
            _ => {}
        }
    }
}

impl Sink<DataConsumerEvent> for Inner {
    fn is_closed(&self) -> bool {
        self.object.closed()
    }

    fn on_event(&self, event: DataConsumerEvent) {
        match event {
            DataConsumerEvent::DataProducerPause => {
                self.handlers.data_producer_pause.call_simple();
                self.change_pause(|state| state.data_producer_paused = true);
            }
            DataConsumerEvent::DataProducerResume => {
                self.handlers.data_producer_resume.call_simple();
                self.change_pause(|state| state.data_producer_paused = false);
            }
            DataConsumerEvent::DataProducerClose => {
                if !self.object.closed() {
                    self.handlers.data_producer_close.call_simple();
                    self.object.close_here();
                }
            }
            DataConsumerEvent::SctpSendBufferFull => self.handlers.sctp_send_buffer_full.call_simple(),
            DataConsumerEvent::BufferedAmountLow(bytes) => {
                self.handlers.buffered_amount_low.call(|callback| callback(bytes));
            }
            DataConsumerEvent::Message(DataMessage { ppid, payload }) => {
                match WebRtcMessage::new(ppid, Cow::Owned(payload)) {
                    Ok(message) => self.handlers.message.call(|callback| callback(&message)),
                    // A debug line, because the remote peer may send any number of these.
                    Err(ppid) => tracing::debug!(id = %self.object.id(), ppid, "message of an unknown kind"),
                }
            }
        }
    }
}
