//! The part of a transport that does not depend on its direction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::TryRngCore;
use rand::rngs::OsRng;
use tokio::sync::{Mutex, MutexGuard, oneshot};
use tureen_rtc::sctp::SctpOptions;
use tureen_types::data_structures::IceParameters;
use tureen_types::sctp_parameters::SctpParameters;

use super::handler::{RecvTransportHandler, SendTransportHandler, TransportHandler};
use super::options::{TransportOptions, resolve};
use super::state::{ConnectionState, TransportShared};
use super::stats::TransportStats;
use crate::io::client_io::{ClientIo, Closed, Command, IoThread, ObjectKey, PeerKey};
use crate::io::error::TransportError;
use crate::io::peer::{OpenPeer, Peer, Remote};
use crate::session::{Identity, SessionConfig, SessionError};

/// The application's handler, by direction.
#[derive(Clone)]
pub(super) enum Handler {
    Send(Arc<dyn SendTransportHandler>),
    Recv(Arc<dyn RecvTransportHandler>),
}

/// A transport, shared by its handles and by those of its producers and consumers.
pub(in crate::io) struct Base {
    io: ClientIo,
    key: PeerKey,
    thread: Arc<IoThread>,
    shared: Arc<TransportShared>,
    options: TransportOptions,
    /// The server's, by the options or the last restart.
    ice_parameters: parking_lot::Mutex<IceParameters>,
    identity: Identity,
    /// How far it is connected. Held by one request at a time, as mediasoup-client's queue of each transport does.
    phase: Mutex<Phase>,
    discarded: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The server's transport is not connected.
    New,
    /// The `connect` handler has succeeded.
    ServerConnected,
    /// The session is on its thread.
    Open,
}

/// A producer or consumer on the thread of a transport: closed when this is dropped.
pub(in crate::io) struct Registration {
    base: Arc<Base>,
    closed: Closed,
    discarded: AtomicBool,
}

/// Longest message that is received, in bytes: that of mediasoup.
const MAX_MESSAGE: u32 = 262_144;
/// Bytes that SCTP buffers in each direction.
const SCTP_BUFFER: u32 = 1 << 20;

impl Base {
    pub(super) fn new(io: &ClientIo, options: TransportOptions, handler: Handler) -> Arc<Self> {
        let (key, thread) = io.place();
        let identity = options.identity.clone().unwrap_or_else(|| io.identity().clone());
        let shared = Arc::new(TransportShared::new(options.id.clone(), handler));
        Arc::new(Self {
            io: io.clone(),
            key,
            thread,
            shared,
            ice_parameters: parking_lot::Mutex::new(options.ice_parameters.clone()),
            options,
            identity,
            phase: Mutex::new(Phase::New),
            discarded: AtomicBool::new(false),
        })
    }

    pub(super) fn options(&self) -> &TransportOptions {
        &self.options
    }

    pub(in crate::io) fn shared(&self) -> &Arc<TransportShared> {
        &self.shared
    }

    pub(in crate::io) fn next_object(&self) -> ObjectKey {
        self.io.next_object()
    }

    /// Waits for earlier requests of this transport, and connects it if that was not done.
    pub(super) async fn connected(&self) -> Result<MutexGuard<'_, Phase>, TransportError> {
        let mut phase = self.phase.lock().await;
        if self.shared.state().is_final() {
            return Err(TransportError::Closed);
        }
        if *phase != Phase::Open {
            let remotes = resolve(&self.options.ice_candidates).await?;
            if remotes.is_empty() {
                return Err(SessionError::NoCandidates.into());
            }
            if *phase == Phase::New {
                let handler = self.shared.handler().ok_or(TransportError::Closed)?;
                let parameters = self.identity.dtls_parameters(self.options.local_role());
                handler.transport().connect(parameters).await.map_err(TransportError::Connect)?;
                *phase = Phase::ServerConnected;
            }
            self.open(remotes).await?;
            *phase = Phase::Open;
        }
        Ok(phase)
    }

    pub(super) async fn restart_ice(&self, parameters: IceParameters) -> Result<(), TransportError> {
        let phase = self.phase.lock().await;
        if self.shared.state().is_final() {
            return Err(TransportError::Closed);
        }
        *self.ice_parameters.lock() = parameters.clone();
        if *phase == Phase::Open {
            self.call(move |peer, now| peer.restart_ice(now, &parameters)).await??;
        }
        Ok(())
    }

    pub(super) async fn stats(&self) -> Result<TransportStats, TransportError> {
        let state = self.shared.state();
        match self.call(|peer, _| peer.stats()).await {
            // Nothing is on the thread yet.
            Err(TransportError::Closed) if state == ConnectionState::New => Ok(TransportStats::new(state)),
            stats => stats,
        }
    }

    /// Has `work` done with the session on its thread, if there is one.
    pub(in crate::io) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Peer, std::time::Instant) -> T + Send + 'static,
    ) -> Result<T, TransportError> {
        self.thread.call(self.key, work).await
    }

    /// A command for its thread.
    pub(in crate::io) fn thread(&self) -> (&IoThread, PeerKey) {
        (&self.thread, self.key)
    }

    /// Closes it. Again does nothing.
    pub(super) fn close(&self) {
        self.shared.close();
        if !self.discarded.swap(true, Ordering::Relaxed) {
            self.thread.discard(self.key, Closed::Transport);
        }
    }

    async fn open(&self, remotes: Vec<Remote>) -> Result<(), TransportError> {
        let mut seed = [0; 32];
        OsRng
            .try_fill_bytes(&mut seed)
            .map_err(|error| TransportError::Socket(std::io::Error::other(error)))?;
        let options = &self.options;
        let cname = options.cname.clone().unwrap_or_else(|| hex(&seed[24..]));
        let config = SessionConfig {
            identity: self.identity.clone(),
            dtls_role: options.local_role(),
            remote_ice: self.ice_parameters.lock().clone(),
            candidates: Vec::new(),
            remote_dtls: options.dtls_parameters.clone(),
            cname,
            sctp: options.sctp_parameters.as_ref().map(sctp_options),
            seed,
        };
        let (reply, opened) = oneshot::channel();
        let streams = options.sctp_parameters.map_or(0, |sctp| sctp.mis);
        let open =
            OpenPeer { key: self.key, config, streams, remotes, shared: Arc::clone(&self.shared), reply };
        self.thread.send(Command::Open(Box::new(open))).await?;
        opened.await.map_err(|_| TransportError::Closed)?
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        self.close();
    }
}

impl Registration {
    /// Of an object that is about to be added. Made before, so that it is removed again if its future is dropped.
    pub(in crate::io) fn new(base: &Arc<Base>, closed: Closed) -> Self {
        Self { base: Arc::clone(base), closed, discarded: AtomicBool::new(false) }
    }

    pub(in crate::io) fn base(&self) -> &Arc<Base> {
        &self.base
    }

    /// Removes the object; false if that was done before.
    pub(in crate::io) fn discard(&self) -> bool {
        let first = !self.discarded.swap(true, Ordering::Relaxed);
        if first {
            let (thread, key) = self.base.thread();
            thread.discard(key, self.closed);
        }
        first
    }

    /// True once it was discarded, or the transport has come to its end.
    pub(in crate::io) fn is_closed(&self) -> bool {
        self.discarded.load(Ordering::Relaxed) || self.base.shared.state() == ConnectionState::Closed
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.discard();
    }
}

impl Handler {
    pub(super) fn transport(&self) -> &dyn TransportHandler {
        match self {
            Self::Send(handler) => &**handler,
            Self::Recv(handler) => &**handler,
        }
    }
}

/// Settings of our end of an association with the server's.
fn sctp_options(theirs: &SctpParameters) -> SctpOptions {
    SctpOptions {
        max_send_message_size: theirs.max_receive_message_size,
        max_receive_message_size: MAX_MESSAGE,
        send_buffer_size: SCTP_BUFFER,
        per_stream_send_queue_limit: SCTP_BUFFER,
        max_receiver_window_buffer_size: SCTP_BUFFER,
        default_buffered_amount_low_threshold: 0,
        outbound_streams: theirs.mis.max(1),
        inbound_streams: theirs.os.max(1),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
