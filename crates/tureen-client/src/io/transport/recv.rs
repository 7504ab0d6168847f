//! A transport on which the application receives.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use event_listener_primitives::HandlerId;
use tokio::sync::watch;
use tureen_types::data_structures::{AppData, IceParameters};
use tureen_types::rtp_parameters::MediaKind;

use super::base::{Base, Handler, Registration};
use super::handler::RecvTransportHandler;
use super::options::TransportOptions;
use super::state::ConnectionState;
use super::stats::TransportStats;
use crate::io::client_io::{ClientIo, Closed};
use crate::io::consumer::{ConsumeOptions, Consumer};
use crate::io::data_consumer::{DataConsumeOptions, DataConsumer};
use crate::io::error::TransportError;
use crate::io::message::{DataSink, message_queue};
use crate::io::peer::Peer;
use crate::io::sink::{Sink, frame_queue};
use crate::parameters::recv_stream;
use crate::session::FailureReason;

/// A transport on which the application receives (mediasoup-client's `Transport` with direction `recv`). A cheap clone.
///
/// It is closed when its last handle and those of its consumers are dropped.
#[derive(Clone)]
pub struct RecvTransport {
    base: Arc<Base>,
}

impl RecvTransport {
    /// A transport to the server's WebRtcTransport that `options` describe. It connects with the first consumer.
    pub fn new(io: &ClientIo, options: TransportOptions, handler: Arc<dyn RecvTransportHandler>) -> Self {
        Self { base: Base::new(io, options, Handler::Recv(handler)) }
    }

    /// Receives what a Consumer of the server sends. The server's Consumer should be paused until this has returned, so
    /// that no packet comes before its stream is known.
    ///
    /// # Errors
    /// See [`TransportError`]. Nothing is left of a consumer that failed, or whose future was dropped, on this side.
    pub async fn consume(&self, options: ConsumeOptions) -> Result<Consumer, TransportError> {
        let stream = recv_stream(&options.rtp_parameters, options.max_frame_delay)?;
        let _turn = self.base.connected().await?;
        let key = self.base.next_object();
        let registration = Registration::new(&self.base, Closed::Consumer(key));
        let (queue_sink, queue) = frame_queue(options.kind == MediaKind::Video);
        let ConsumeOptions { sink, .. } = options;
        let sink = sink.map_or(Sink::Queue(queue_sink), Sink::Application);
        self.base.call(move |peer, _| peer.add_consumer(key, stream, sink)).await??;
        let ConsumeOptions { id, producer_id, kind, rtp_parameters, app_data, .. } = options;
        Ok(Consumer::new(id, producer_id, kind, rtp_parameters, app_data, registration, key, queue))
    }
}

impl RecvTransport {
    /// Receives what a DataConsumer of the server sends.
    ///
    /// # Errors
    /// See [`TransportError`]. Nothing is left of a data consumer that failed, or whose future was dropped, on this side.
    pub async fn consume_data(&self, options: DataConsumeOptions) -> Result<DataConsumer, TransportError> {
        if self.base.options().sctp_parameters.is_none() {
            return Err(TransportError::NoSctp);
        }
        let _turn = self.base.connected().await?;
        let key = self.base.next_object();
        let registration = Registration::new(&self.base, Closed::DataConsumer(key));
        let (sink, queue) = message_queue();
        let closed = Arc::new(AtomicBool::new(false));
        let (theirs, stream) = (Arc::clone(&closed), options.sctp_stream_parameters.stream_id);
        let add =
            move |peer: &mut Peer, _| peer.add_data_consumer(key, stream, DataSink::Queue(sink), theirs);
        self.base.call(add).await??;
        Ok(DataConsumer::new(options, registration, key, queue, closed))
    }
}

impl fmt::Debug for RecvTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecvTransport").field(self.base.shared()).finish()
    }
}

super::common_methods!(RecvTransport);
