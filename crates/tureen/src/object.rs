//! Objects of the worker: their identity, their parent and how they are closed, alike for every kind.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use event_listener_primitives::{BagOnce, HandlerId};
use tureen_engine::api::{Request, Response};

use crate::data_structures::AppData;
use crate::router::Router;
use crate::threads::Channel;
use crate::transport::Transport;
use crate::worker::{RequestError, Worker};

/// Called once, when an object is closed.
pub(crate) type OnClose = Box<dyn FnOnce() + Send>;

/// The part of an object that does not depend on its kind.
///
/// An object is closed once: when its last handle is dropped, when its parent is closed, by its `close` method, or by the
/// worker.
pub(crate) struct Object<Id: ObjectId> {
    id: Id,
    app_data: AppData,
    closed: AtomicBool,
    on_close: BagOnce<OnClose>,
    on_parent_close: BagOnce<OnClose>,
    /// Keeps the callback of [`close_with_parent`] registered at the parent.
    parent_handler: OnceLock<HandlerId>,
    /// Kept open by the object.
    parent: Id::Parent,
}

/// The identifier of an object.
pub(crate) trait ObjectId: Copy + fmt::Debug + Send + Sync + 'static {
    /// The object that this one is closed with.
    type Parent: Parent;

    /// The request that closes the object in the worker.
    fn close_request(self) -> Request;

    /// Removes the object from the tables of its parents and of the dispatcher.
    fn withdraw(self, _parent: &Self::Parent) {}
}

/// An object that has children.
pub(crate) trait Parent: Send + Sync + 'static {
    fn worker(&self) -> &Worker;

    /// Calls `callback` when the parent is closed; at once if it is closed already.
    fn on_close(&self, callback: OnClose) -> HandlerId;
}

impl Parent for Worker {
    fn worker(&self) -> &Worker {
        self
    }

    fn on_close(&self, callback: OnClose) -> HandlerId {
        Self::on_close(self, callback)
    }
}

impl Parent for Router {
    fn worker(&self) -> &Worker {
        Self::worker(self)
    }

    fn on_close(&self, callback: OnClose) -> HandlerId {
        Self::on_close(self, callback)
    }
}

impl Parent for Arc<dyn Transport> {
    fn worker(&self) -> &Worker {
        self.router().worker()
    }

    fn on_close(&self, callback: OnClose) -> HandlerId {
        Transport::on_close(&**self, callback)
    }
}

impl<Id: ObjectId> Object<Id> {
    pub(crate) fn new(id: Id, app_data: AppData, parent: Id::Parent) -> Self {
        Self {
            id,
            app_data,
            closed: AtomicBool::new(false),
            on_close: BagOnce::default(),
            on_parent_close: BagOnce::default(),
            parent_handler: OnceLock::new(),
            parent,
        }
    }

    pub(crate) fn id(&self) -> Id {
        self.id
    }

    pub(crate) fn app_data(&self) -> &AppData {
        &self.app_data
    }

    pub(crate) fn parent(&self) -> &Id::Parent {
        &self.parent
    }

    pub(crate) fn worker(&self) -> &Worker {
        self.parent.worker()
    }

    pub(crate) fn channel(&self) -> &Channel {
        self.worker().channel()
    }

    /// Sends a request to the worker and waits for the response.
    pub(crate) async fn request(&self, request: Request) -> Result<Response, RequestError> {
        self.channel().request(request).await
    }

    pub(crate) fn closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Calls `callback` when the object is closed; at once if it is closed already.
    pub(crate) fn on_close(&self, callback: OnClose) -> HandlerId {
        let handler_id = self.on_close.add(callback);
        if self.closed() {
            self.on_close.call_simple();
        }
        handler_id
    }

    /// Calls `callback` when the parent is closed, before the object is.
    pub(crate) fn on_parent_close(&self, callback: OnClose) -> HandlerId {
        self.on_parent_close.add(callback)
    }

    /// Closes the object here and in the worker, if it is open.
    pub(crate) fn close(&self) {
        if self.close_here() {
            self.channel().close(self.id.close_request());
        }
    }

    /// Closes the object if it is open. The future completes when the worker has closed it, and at once if the object was
    /// closed before, because the worker serves requests in order.
    pub(crate) fn close_and_wait(&self) -> impl Future<Output = ()> + Send + use<Id> {
        let closing = self.close_here().then(|| self.channel().close_and_wait(self.id.close_request()));
        async move {
            if let Some(closing) = closing {
                closing.await;
            }
        }
    }

    /// Closes the object here only, because the worker has closed it. Returns false if it was closed before.
    pub(crate) fn close_here(&self) -> bool {
        let was_open = !self.closed.swap(true, Ordering::SeqCst);
        if was_open {
            // Before the callbacks, so that they don't find the object in the tables of its parents.
            self.id.withdraw(&self.parent);
            self.on_close.call_simple();
        }
        was_open
    }
}

impl<Id: ObjectId> Drop for Object<Id> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Registers `inner`'s object at its parent, to be closed when the parent is. The worker closes both with one request.
pub(crate) fn close_with_parent<Inner: Send + Sync + 'static, Id: ObjectId>(
    inner: &Arc<Inner>,
    object: fn(&Inner) -> &Object<Id>,
) {
    let weak = Arc::downgrade(inner);
    let handler_id = object(inner).parent.on_close(Box::new(move || {
        if let Some(inner) = weak.upgrade() {
            let object = object(&inner);
            object.on_parent_close.call_simple();
            object.close_here();
        }
    }));
    object(inner).parent_handler.get_or_init(|| handler_id);
}
