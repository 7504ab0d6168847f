//! A transport on which the application sends.

use std::fmt;
use std::sync::Arc;

use event_listener_primitives::HandlerId;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use tureen_types::data_structures::{AppData, IceParameters};
use tureen_types::rtp_parameters::{MediaKind, RtpParameters};

use super::base::{Base, Handler, Registration};
use super::handler::{ProduceDataRequest, ProduceRequest, SendTransportHandler};
use super::options::TransportOptions;
use super::state::ConnectionState;
use super::stats::TransportStats;
use crate::io::client_io::{ClientIo, Closed};
use crate::io::data_producer::{DataProduceOptions, DataProducer, DataProducerShared, NewDataProducer};
use crate::io::error::TransportError;
use crate::io::peer::{self, Peer};
use crate::io::producer::{NewProducer, Producer, ProducerShared};
use crate::parameters::send_streams;
use crate::session::FailureReason;

/// A transport on which the application sends (mediasoup-client's `Transport` with direction `send`). A cheap clone.
///
/// It is closed when its last handle and those of its producers are dropped.
#[derive(Clone)]
pub struct SendTransport {
    base: Arc<Base>,
}

/// What to produce, by RTP parameters that the application has negotiated itself.
#[derive(Clone, Debug)]
pub struct ProduceRtpOptions {
    /// Audio or video.
    pub kind: MediaKind,
    /// What will be sent. Encodings without SSRC need a RID; they get random ones.
    pub rtp_parameters: RtpParameters,
    /// The application's own.
    pub app_data: AppData,
}

impl ProduceRtpOptions {
    /// Options without application data.
    pub fn new(kind: MediaKind, rtp_parameters: RtpParameters) -> Self {
        Self { kind, rtp_parameters, app_data: AppData::default() }
    }
}

impl SendTransport {
    /// A transport to the server's WebRtcTransport that `options` describe. It connects with the first producer.
    pub fn new(io: &ClientIo, options: TransportOptions, handler: Arc<dyn SendTransportHandler>) -> Self {
        Self { base: Base::new(io, options, Handler::Send(handler)) }
    }

    /// Produces by given RTP parameters: connects the transport if it is not connected yet, then calls the handler's
    /// [`produce`](SendTransportHandler::produce).
    ///
    /// # Errors
    /// See [`TransportError`]. Nothing is left of a producer that failed, or whose future was dropped, on this side.
    pub async fn produce_rtp(&self, options: ProduceRtpOptions) -> Result<Producer, TransportError> {
        let ProduceRtpOptions { kind, rtp_parameters, app_data } = options;
        // Parameters are checked before the application is asked for anything.
        let mut rng = StdRng::from_os_rng();
        let streams = send_streams(&rtp_parameters, &mut rng)?;
        let clock_rate = streams[0].clock_rate;
        let _turn = self.base.connected().await?;
        let key = self.base.next_object();
        let shared = Arc::new(ProducerShared::new(streams.len()));
        let registration = Registration::new(&self.base, Closed::Producer(key));
        let (theirs, parameters) = (Arc::clone(&shared), rtp_parameters.clone());
        let add = move |peer: &mut Peer, now| {
            let rtp_parameters = parameters;
            let new = peer::NewProducer { key, kind, rtp_parameters, streams, shared: theirs };
            peer.add_producer(now, new)
        };
        self.base.call(add).await??;

        let request =
            ProduceRequest { kind, rtp_parameters: rtp_parameters.clone(), app_data: app_data.clone() };
        let id = self.handler()?.produce(request).await.map_err(TransportError::Produce)?;
        let new = NewProducer {
            id,
            kind,
            rtp_parameters,
            app_data,
            registration,
            key,
            shared,
            clock_rate,
            first_timestamp: rng.random(),
        };
        Ok(Producer::new(new))
    }

    /// Produces on a data channel: connects the transport if it is not connected yet, then calls the handler's
    /// [`produce_data`](SendTransportHandler::produce_data).
    ///
    /// # Errors
    /// See [`TransportError`]. Nothing is left of a data producer that failed, or whose future was dropped, on this side.
    pub async fn produce_data(&self, options: DataProduceOptions) -> Result<DataProducer, TransportError> {
        let stream = options.stream()?;
        let sctp = self.base.options().sctp_parameters.ok_or(TransportError::NoSctp)?;
        let _turn = self.base.connected().await?;
        let key = self.base.next_object();
        let shared = Arc::new(DataProducerShared::default());
        let registration = Registration::new(&self.base, Closed::DataProducer(key));
        let theirs = Arc::clone(&shared);
        let stream = self.base.call(move |peer, _| peer.add_data_producer(key, stream, theirs)).await??;
        let request = ProduceDataRequest {
            sctp_stream_parameters: stream,
            label: options.label.clone(),
            protocol: options.protocol.clone(),
            app_data: options.app_data.clone(),
        };
        let id = self.handler()?.produce_data(request).await.map_err(TransportError::ProduceData)?;
        let max_message_size = sctp.max_receive_message_size as usize;
        let new = NewDataProducer { id, stream, options, registration, key, shared, max_message_size };
        Ok(DataProducer::new(new))
    }

    fn handler(&self) -> Result<Arc<dyn SendTransportHandler>, TransportError> {
        match self.base.shared().handler() {
            Some(Handler::Send(handler)) => Ok(handler),
            _ => Err(TransportError::Closed),
        }
    }
}

impl fmt::Debug for SendTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SendTransport").field(self.base.shared()).finish()
    }
}

super::common_methods!(SendTransport);
