//! Callbacks of a Producer, and the worker's events that call them.

use std::sync::Arc;

use event_listener_primitives::{Bag, HandlerId};
use tureen_engine::api::ProducerEvent;

use super::{Inner, Producer, ProducerScore, ProducerTraceEventData, ProducerVideoOrientation};
use crate::threads::Sink;

#[derive(Default)]
#[expect(clippy::type_complexity)]
pub(super) struct Handlers {
    pub(super) pause: Bag<Arc<dyn Fn() + Send + Sync>>,
    pub(super) resume: Bag<Arc<dyn Fn() + Send + Sync>>,
    score: Bag<Arc<dyn Fn(&[ProducerScore]) + Send + Sync>>,
    video_orientation_change: Bag<Arc<dyn Fn(ProducerVideoOrientation) + Send + Sync>>,
    trace: Bag<Arc<dyn Fn(&ProducerTraceEventData) + Send + Sync>, ProducerTraceEventData>,
}

impl Producer {
    /// Calls `callback` when the score of a stream changes.
    pub fn on_score<F: Fn(&[ProducerScore]) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.score.add(Arc::new(callback))
    }

    /// Calls `callback` when the camera is turned. Needs the header extension `urn:3gpp:video-orientation`.
    pub fn on_video_orientation_change<F: Fn(ProducerVideoOrientation) + Send + Sync + 'static>(
        &self,
        callback: F,
    ) -> HandlerId {
        self.inner().handlers.video_orientation_change.add(Arc::new(callback))
    }

    /// Calls `callback` when the producer is paused.
    pub fn on_pause<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.pause.add(Arc::new(callback))
    }

    /// Calls `callback` when the producer is resumed.
    pub fn on_resume<F: Fn() + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.resume.add(Arc::new(callback))
    }

    /// Calls `callback` with each trace event; see [`Producer::enable_trace_event`].
    pub fn on_trace<F: Fn(&ProducerTraceEventData) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner().handlers.trace.add(Arc::new(callback))
    }
}

impl Sink<ProducerEvent> for Inner {
    fn is_closed(&self) -> bool {
        self.object.closed()
    }

    fn on_event(&self, event: ProducerEvent) {
        match event {
            ProducerEvent::Score(scores) => {
                let scores: Vec<ProducerScore> = scores.into_iter().map(Into::into).collect();
                self.score.lock().clone_from(&scores);
                self.handlers.score.call(|callback| callback(&scores));
            }
            ProducerEvent::VideoOrientation(orientation) => {
                let orientation = orientation.into();
                self.handlers.video_orientation_change.call(|callback| callback(orientation));
            }
            ProducerEvent::Trace(event) => self.handlers.trace.call_simple(&event.into()),
        }
    }
}
