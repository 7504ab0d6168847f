//! How the objects behind handles are closed: the same for objects of every kind.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use event_listener_primitives::{BagOnce, HandlerId};
use tureen_engine::api::Request;

use crate::driver::Channel;
use crate::worker::Worker;

/// Called once, when something is closed.
pub(crate) type OnClose = Box<dyn FnOnce() + Send>;

/// Whether an object is closed, and who wants to know.
#[derive(Default)]
pub(crate) struct Lifetime {
    closed: AtomicBool,
    close: BagOnce<OnClose>,
    parent_close: BagOnce<OnClose>,
    /// Keeps [`close_with_parent`] registered.
    with_parent: OnceLock<HandlerId>,
}

impl Lifetime {
    pub(crate) fn closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// `callback` is called when the object is closed for whatever reason; at once if it is closed already.
    pub(crate) fn on_close(&self, callback: OnClose) -> HandlerId {
        let handler_id = self.close.add(callback);
        if self.closed() {
            self.close.call_simple();
        }
        handler_id
    }

    /// `callback` is called when what the object is part of is closed, before the object is.
    pub(crate) fn on_parent_close(&self, callback: OnClose) -> HandlerId {
        self.parent_close.add(callback)
    }
}

/// Like a flag: whether it is closed.
impl fmt::Debug for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.closed().fmt(f)
    }
}

/// An object in the worker that has handles here. It is closed once: with its last handle, with what it is part of, or
/// because the worker says so.
pub(crate) trait WorkerObject: Send + Sync + 'static {
    fn lifetime(&self) -> &Lifetime;

    fn worker(&self) -> &Worker;

    /// What closes it in the worker.
    fn close_request(&self) -> Request;

    /// The way to its worker.
    fn channel(&self) -> &Channel {
        self.worker().channel()
    }

    /// Takes it out of what knows it here. Comes before [`Lifetime::on_close`].
    fn withdraw(&self) {}

    /// Closes it if it is open. `tell_worker` is false where the worker knows.
    fn close(&self, tell_worker: bool) {
        if self.close_here() && tell_worker {
            self.channel().close(self.close_request());
        }
    }

    /// Closes it if it is open, whoever has handles of it. The future is done when the worker has closed it; at once if it was
    /// closed before, as then the worker serves nothing that is asked later before that.
    fn close_and_wait(&self) -> impl Future<Output = ()> + Send + use<Self> {
        let closing = self.close_here().then(|| self.channel().close_and_wait(self.close_request()));
        async move {
            if let Some(closing) = closing {
                closing.await;
            }
        }
    }

    /// Marks it as closed and tells everybody here. False if it was closed already.
    fn close_here(&self) -> bool {
        let was_open = !self.lifetime().closed.swap(true, Ordering::SeqCst);
        if was_open {
            self.withdraw();
            self.lifetime().close.call_simple();
        }
        was_open
    }
}

/// Closes `object` of a handle's `inner` when what it is part of is closed, with which the worker closes it too.
/// `on_parent_close` registers a callback for that.
pub(crate) fn close_with_parent<Inner: Send + Sync + 'static, Object: WorkerObject>(
    inner: &Arc<Inner>,
    object: fn(&Inner) -> &Object,
    on_parent_close: impl FnOnce(OnClose) -> HandlerId,
) {
    let weak = Arc::downgrade(inner);
    let handler_id = on_parent_close(Box::new(move || {
        if let Some(inner) = weak.upgrade() {
            let object = object(&inner);
            object.lifetime().parent_close.call_simple();
            object.close(false);
        }
    }));
    object(inner).lifetime().with_parent.get_or_init(|| handler_id);
}
