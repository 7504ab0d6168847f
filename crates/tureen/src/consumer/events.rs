//! Callbacks of a Consumer, and the worker's events that call them.

use std::sync::Arc;

use event_listener_primitives::{Bag, BagOnce, HandlerId};
use tureen_engine::api::ConsumerEvent;

use super::{Consumer, ConsumerLayers, ConsumerScore, ConsumerTraceEventData, Inner};
use crate::object::OnClose;
use crate::threads::Sink;

#[derive(Default)]
#[expect(clippy::type_complexity)]
pub(super) struct Handlers {
    pause: Bag<Arc<dyn Fn() + Send + Sync>>,
    resume: Bag<Arc<dyn Fn() + Send + Sync>>,
    producer_pause: Bag<Arc<dyn Fn() + Send + Sync>>,
    producer_resume: Bag<Arc<dyn Fn() + Send + Sync>>,
    score: Bag<Arc<dyn Fn(&ConsumerScore) + Send + Sync>, ConsumerScore>,
    layers_change: Bag<Arc<dyn Fn(&Option<ConsumerLayers>) + Send + Sync>, Option<ConsumerLayers>>,
    trace: Bag<Arc<dyn Fn(&ConsumerTraceEventData) + Send + Sync>, ConsumerTraceEventData>,
    rtp: Bag<Arc<dyn Fn(&[u8]) + Send + Sync>>,
    producer_close: BagOnce<OnClose>,
}

impl Consumer {
    /// Calls `callback` with each RTP packet. Of a consumer on a DirectTransport only.
    pub fn on_rtp<F: Fn(&[u8]) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.rtp.add(Arc::new(callback))
    }

    /// Calls `callback` when sending stops because the consumer or its producer is paused.
    pub fn on_pause<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.pause.add(Arc::new(callback))
    }

    /// Calls `callback` when neither the consumer nor its producer is paused any more.
    pub fn on_resume<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.resume.add(Arc::new(callback))
    }

    /// Calls `callback` when the producer is paused.
    pub fn on_producer_pause<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.producer_pause.add(Arc::new(callback))
    }

    /// Calls `callback` when the producer is resumed.
    pub fn on_producer_resume<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.producer_resume.add(Arc::new(callback))
    }

    /// Calls `callback` when the score of the consumer or of its producer changes.
    pub fn on_score<F: Fn(&ConsumerScore) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.score.add(Arc::new(callback))
    }

    /// Calls `callback` when other layers are sent, or none: because the consumer or its producer is paused, because the
    /// producer sends nothing, or because the bandwidth does not suffice for the lowest layers.
    pub fn on_layers_change<F: Fn(&Option<ConsumerLayers>) + Send + Sync + 'static>(
        &self,
        callback: F,
    ) -> HandlerId {
        self.inner.handlers.layers_change.add(Arc::new(callback))
    }

    /// Calls `callback` with each trace event; see [`Consumer::enable_trace_event`].
    pub fn on_trace<F: Fn(&ConsumerTraceEventData) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.trace.add(Arc::new(callback))
    }

    /// Calls `callback` when the producer is closed for any reason, and the consumer with it.
    pub fn on_producer_close<F: FnOnce() + Send + 'static>(&self, callback: F) -> HandlerId {
        self.inner.handlers.producer_close.add(Box::new(callback))
    }
}

impl Inner {
    /// Calls the callbacks for the result of [`Self::change_pause`].
    pub(super) fn call_pause(&self, change: Option<bool>) {
        match change {
            Some(true) => self.handlers.pause.call_simple(),
            Some(false) => self.handlers.resume.call_simple(),
            None => {}
        }
    }
}

impl Sink<ConsumerEvent> for Inner {
    fn is_closed(&self) -> bool {
        self.object.closed()
    }

    fn on_event(&self, event: ConsumerEvent) {
        match event {
            ConsumerEvent::ProducerPause => {
                let change = self.change_pause(|state| state.producer_paused = true);
                self.handlers.producer_pause.call_simple();
                self.call_pause(change);
            }
            ConsumerEvent::ProducerResume => {
                let change = self.change_pause(|state| state.producer_paused = false);
                self.handlers.producer_resume.call_simple();
                self.call_pause(change);
            }
            ConsumerEvent::ProducerClose => {
                if !self.object.closed() {
                    self.handlers.producer_close.call_simple();
                    self.object.close_here();
                }
            }
            ConsumerEvent::Score(score) => {
                let score = ConsumerScore::from(score);
                self.state.lock().score = score.clone();
                self.handlers.score.call_simple(&score);
            }
            ConsumerEvent::LayersChange(layers) => {
                let layers = layers.map(Into::into);
                self.state.lock().current_layers = layers;
                self.handlers.layers_change.call_simple(&layers);
            }
            ConsumerEvent::Rtp(packet) => self.handlers.rtp.call(|callback| callback(&packet)),
            ConsumerEvent::Trace(event) => {
                if let Some(event) = ConsumerTraceEventData::from_core(event) {
                    self.handlers.trace.call_simple(&event);
                }
            }
        }
    }
}
