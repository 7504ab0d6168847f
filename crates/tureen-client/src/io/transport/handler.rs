//! What a transport asks of the application's signalling.

use async_trait::async_trait;
use tureen_types::data_structures::{AppData, DtlsParameters};
use tureen_types::rtp_parameters::{MediaKind, RtpParameters};
use tureen_types::sctp_parameters::SctpStreamParameters;

use super::state::ConnectionState;
use crate::io::error::BoxError;

/// Events of both kinds of transport (mediasoup-client's `connect` and `connectionstatechange`).
///
/// A transport keeps its handler until it is closed. A handler that holds the transport keeps it open.
#[async_trait]
pub trait TransportHandler: Send + Sync + 'static {
    /// The server's transport is to be connected with these parameters. Called once, before anything is produced or
    /// consumed; again if it failed or if the future that called it was dropped. Connecting begins when it has returned.
    ///
    /// # Errors
    /// Those of signalling. What was asked of the transport fails with
    /// [`TransportError::Connect`](crate::io::TransportError::Connect).
    async fn connect(&self, dtls_parameters: DtlsParameters) -> Result<(), BoxError>;

    /// The state of the connection has changed. Called on the I/O thread; not for
    /// [`close`](super::SendTransport::close).
    fn on_connection_state_change(&self, _state: ConnectionState) {}
}

/// Events of a [`SendTransport`](super::SendTransport).
#[async_trait]
pub trait SendTransportHandler: TransportHandler {
    /// A producer is to be created on the server (mediasoup-client's `produce`). Returns its id.
    ///
    /// # Errors
    /// Those of signalling. The producer is not made; `produce` fails with
    /// [`TransportError::Produce`](crate::io::TransportError::Produce).
    async fn produce(&self, request: ProduceRequest) -> Result<String, BoxError>;

    /// A data producer is to be created on the server (mediasoup-client's `producedata`). Returns its id.
    ///
    /// # Errors
    /// Those of signalling. The data producer is not made; `produce_data` fails with
    /// [`TransportError::ProduceData`](crate::io::TransportError::ProduceData). The default refuses.
    async fn produce_data(&self, request: ProduceDataRequest) -> Result<String, BoxError> {
        Err(format!("no handler for data producer {:?}", request.label).into())
    }
}

/// Events of a [`RecvTransport`](super::RecvTransport).
pub trait RecvTransportHandler: TransportHandler {}

/// A data producer to be created on the server.
#[derive(Clone, Debug)]
pub struct ProduceDataRequest {
    /// SCTP stream, and how reliable it is.
    pub sctp_stream_parameters: SctpStreamParameters,
    /// Label of the channel.
    pub label: String,
    /// Subprotocol of the channel.
    pub protocol: String,
    /// The application's, from `produce_data`.
    pub app_data: AppData,
}

/// A producer to be created on the server.
#[derive(Clone, Debug)]
pub struct ProduceRequest {
    /// Audio or video.
    pub kind: MediaKind,
    /// What will be sent.
    pub rtp_parameters: RtpParameters,
    /// The application's, from `produce`.
    pub app_data: AppData,
}
