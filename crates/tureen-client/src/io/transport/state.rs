//! The state of a transport that both its handles and its I/O thread know.

use std::fmt;
use std::sync::OnceLock;

use event_listener_primitives::{BagOnce, HandlerId};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::base::Handler;
use crate::io::peer::guarded;
use crate::session::FailureReason;

/// State of a transport's connection (`RTCPeerConnectionState` of WebRTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// Nothing was produced or consumed yet.
    New,
    /// ICE or DTLS is under way.
    Connecting,
    /// Media flows.
    Connected,
    /// The server's consent has expired; `restart_ice` may help.
    Disconnected,
    /// ICE or DTLS has failed. The transport is of no use any more.
    Failed,
    /// The application has closed the transport, or the server has closed DTLS.
    Closed,
}

impl ConnectionState {
    /// True for `Failed` and `Closed`, which no other state follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Closed)
    }
}

/// Called once, when something is closed.
type OnClose = Box<dyn FnOnce() + Send>;

/// The shared state.
pub(in crate::io) struct TransportShared {
    id: String,
    state: watch::Sender<ConnectionState>,
    /// Until the transport is closed.
    handler: Mutex<Option<Handler>>,
    on_close: BagOnce<OnClose>,
    failure: OnceLock<FailureReason>,
}

impl TransportShared {
    pub(super) fn new(id: String, handler: Handler) -> Self {
        let state = watch::Sender::new(ConnectionState::New);
        let (handler, failure) = (Mutex::new(Some(handler)), OnceLock::new());
        Self { id, state, handler, on_close: BagOnce::default(), failure }
    }

    pub(in crate::io) fn id(&self) -> &str {
        &self.id
    }

    pub(in crate::io) fn state(&self) -> ConnectionState {
        *self.state.borrow()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<ConnectionState> {
        self.state.subscribe()
    }

    pub(super) fn failure(&self) -> Option<&FailureReason> {
        self.failure.get()
    }

    pub(super) fn handler(&self) -> Option<Handler> {
        self.handler.lock().clone()
    }

    /// Calls `callback` when the transport is closed.
    pub(in crate::io) fn on_close(&self, callback: OnClose) -> HandlerId {
        let id = self.on_close.add(callback);
        if self.state() == ConnectionState::Closed {
            self.on_close.call_simple();
        }
        id
    }

    /// Changes the state and tells the handler, on the I/O thread.
    pub(in crate::io) fn set_state(&self, state: ConnectionState) {
        if !self.change(state) {
            return;
        }
        if let Some(handler) = self.handler() {
            guarded("connection state handler", || handler.transport().on_connection_state_change(state));
        }
        if state == ConnectionState::Closed {
            self.release();
        }
    }

    pub(in crate::io) fn set_failed(&self, reason: FailureReason) {
        self.failure.get_or_init(|| reason);
        self.set_state(ConnectionState::Failed);
    }

    /// The session is gone from its thread.
    pub(in crate::io) fn set_ended(&self) {
        if !self.state().is_final() {
            self.set_state(ConnectionState::Closed);
        }
    }

    /// The application closes the transport; false if it is closed already. The handler is not told.
    pub(super) fn close(&self) -> bool {
        let changed = self.change(ConnectionState::Closed);
        if changed {
            self.release();
        }
        changed
    }

    /// True if that is a change. A failed transport can still be closed.
    fn change(&self, state: ConnectionState) -> bool {
        self.state.send_if_modified(|current| {
            let changes = *current != state
                && *current != ConnectionState::Closed
                && (*current != ConnectionState::Failed || state == ConnectionState::Closed);
            if changes {
                *current = state;
            }
            changes
        })
    }

    fn release(&self) {
        drop(self.handler.lock().take());
        guarded("close handler", || self.on_close.call_simple());
    }
}

impl fmt::Debug for TransportShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportShared")
            .field("id", &self.id)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
