//! Piping: producers of one router become producers of another one too.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use async_lock::Mutex as AsyncMutex;
use parking_lot::Mutex;
use thiserror::Error;

use super::{Router, RouterId};
use crate::consumer::{Consumer, ConsumerOptions};
use crate::data_consumer::{DataConsumer, DataConsumerOptions};
use crate::data_producer::{DataProducerId, DataProducerOptions, NonClosingDataProducer};
use crate::data_structures::{ListenInfo, Protocol};
use crate::pipe_transport::{
    PipeTransport, PipeTransportOptions, PipeTransportRemoteParameters, WeakPipeTransport,
};
use crate::producer::{PipedProducer, ProducerId, ProducerOptions};
use crate::rtp_parameters::RtpCapabilities;
use crate::sctp_parameters::SctpZeroChecksum;
use crate::transport::{ConsumeDataError, ConsumeError, ProduceDataError, ProduceError, Transport, sctp};
use crate::worker::RequestError;

/// Options for piping to another router of this process.
///
/// One pair of pipe transports connects two routers. Between the transports is a queue in memory that holds up to
/// [`NetConfig::pipe_queue`](tureen_net::NetConfig::pipe_queue) bytes in each direction; packets beyond that are
/// dropped. All options but `router` and `keep_id` therefore only have an effect in the call that creates the pair.
#[derive(Debug)]
pub struct PipeToRouterOptions {
    /// Router to pipe to.
    pub router: Router,
    /// Keep the producer's id in the other router, which must then be of another worker. Default true.
    pub keep_id: bool,
    listen_info: ListenInfo,
    /// Enable SCTP for data channels. Default true.
    pub enable_sctp: bool,
    /// Largest message that a data consumer sends, in bytes. Default 262144.
    pub max_send_message_size: u32,
    /// Largest message that a data producer accepts, in bytes. Default 262144.
    pub max_receive_message_size: u32,
    /// Bytes that may wait to be sent on all SCTP streams together. Default 2000000.
    pub sctp_send_buffer_size: u32,
    /// Bytes that may wait to be sent on one SCTP stream. Default 2000000.
    pub sctp_per_stream_send_queue_limit: u32,
    /// SCTP receive window in bytes, at least 65536. Should be somewhat larger than the largest message. Default
    /// 5242880.
    pub sctp_max_receiver_window_buffer_size: u32,
    /// Buffered amount, in bytes, that counts as low for data consumers without a threshold of their own. Default
    /// 1024.
    pub sctp_default_stream_buffered_amount_low_threshold: u32,
    /// Error detection that replaces the SCTP checksum (RFC 9653). Has no effect yet, because checksums are always
    /// sent and verified. Default [`SctpZeroChecksum::TrustedNetwork`].
    pub sctp_zero_checksum: SctpZeroChecksum,
    /// Retransmit lost packets. Default false.
    pub enable_rtx: bool,
    /// Enable SRTP. Default false.
    pub enable_srtp: bool,
}

impl PipeToRouterOptions {
    /// Options for piping to the given router.
    #[must_use]
    pub fn new(router: Router) -> Self {
        Self {
            router,
            keep_id: true,
            listen_info: ListenInfo {
                protocol: Protocol::Udp,
                ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
                announced_address: None,
                expose_internal_ip: false,
                port: None,
                port_range: None,
                flags: None,
                send_buffer_size: None,
                recv_buffer_size: None,
            },
            enable_sctp: true,
            max_send_message_size: sctp::MAX_MESSAGE_SIZE,
            max_receive_message_size: sctp::MAX_MESSAGE_SIZE,
            sctp_send_buffer_size: sctp::SEND_BUFFER_SIZE,
            sctp_per_stream_send_queue_limit: sctp::SEND_BUFFER_SIZE,
            sctp_max_receiver_window_buffer_size: sctp::RECEIVER_WINDOW,
            sctp_default_stream_buffered_amount_low_threshold: sctp::BUFFERED_AMOUNT_LOW_THRESHOLD,
            sctp_zero_checksum: SctpZeroChecksum::TrustedNetwork,
            enable_rtx: false,
            enable_srtp: false,
        }
    }

    fn transport_options(&self) -> PipeTransportOptions {
        let mut options = PipeTransportOptions::new(self.listen_info.clone());
        options.enable_sctp = self.enable_sctp;
        options.max_send_message_size = self.max_send_message_size;
        options.max_receive_message_size = self.max_receive_message_size;
        options.sctp_send_buffer_size = self.sctp_send_buffer_size;
        options.sctp_per_stream_send_queue_limit = self.sctp_per_stream_send_queue_limit;
        options.sctp_max_receiver_window_buffer_size = self.sctp_max_receiver_window_buffer_size;
        options.sctp_default_stream_buffered_amount_low_threshold =
            self.sctp_default_stream_buffered_amount_low_threshold;
        options.sctp_zero_checksum = self.sctp_zero_checksum;
        options.enable_rtx = self.enable_rtx;
        options.enable_srtp = self.enable_srtp;
        options
    }
}

/// A producer that was piped to another router. Dropping this does not end the piping, which ends when the producer
/// is closed; see [`PipedProducer`].
#[derive(Debug)]
pub struct PipeProducerToRouterPair {
    /// Consumer that sends the producer's media to the other router. It lives as long as `pipe_producer`.
    pub pipe_consumer: Consumer,
    /// Producer in the other router.
    pub pipe_producer: PipedProducer,
}

/// A data producer that was piped to another router. Dropping this does not end the piping, which ends when the data
/// producer is closed; see [`NonClosingDataProducer`].
#[derive(Debug)]
pub struct PipeDataProducerToRouterPair {
    /// Data consumer that sends the messages to the other router. It lives as long as `pipe_data_producer`.
    pub pipe_data_consumer: DataConsumer,
    /// Data producer in the other router.
    pub pipe_data_producer: NonClosingDataProducer,
}

/// Error of [`Router::pipe_producer_to_router`].
#[derive(Debug, Error)]
pub enum PipeProducerToRouterError {
    /// The destination is this router, which cannot have a second producer with the id.
    #[error("Destination router must be different")]
    SameRouter,
    /// The router has no producer with this id.
    #[error("Producer with id \"{0}\" not found")]
    ProducerNotFound(ProducerId),
    /// The pipe transports could not be created or connected.
    #[error("Failed to create or connect Pipe transport: \"{0}\"")]
    TransportFailed(#[from] RequestError),
    /// The pipe consumer could not be created.
    #[error("Failed to consume: \"{0}\"")]
    ConsumeFailed(#[from] ConsumeError),
    /// The pipe producer could not be created.
    #[error("Failed to produce: \"{0}\"")]
    ProduceFailed(#[from] ProduceError),
}

/// Error of [`Router::pipe_data_producer_to_router`].
#[derive(Debug, Error)]
pub enum PipeDataProducerToRouterError {
    /// The destination is this router, which cannot have a second data producer with the id.
    #[error("Destination router must be different")]
    SameRouter,
    /// The router has no data producer with this id.
    #[error("Data producer with id \"{0}\" not found")]
    DataProducerNotFound(DataProducerId),
    /// The pipe transports could not be created or connected.
    #[error("Failed to create or connect Pipe transport: \"{0}\"")]
    TransportFailed(#[from] RequestError),
    /// The pipe data consumer could not be created.
    #[error("Failed to consume: \"{0}\"")]
    ConsumeFailed(#[from] ConsumeDataError),
    /// The pipe data producer could not be created.
    #[error("Failed to produce: \"{0}\"")]
    ProduceFailed(#[from] ProduceDataError),
}

impl Router {
    /// Pipes a producer of this router to another one, which may be of another worker and so use another CPU core.
    /// The piped producer is paused, resumed and closed with the original.
    ///
    /// # Errors
    /// The router has no such producer, its id is in use in the other worker, or a worker refuses a request.
    ///
    /// # Examples
    /// ```
    /// use tureen::prelude::*;
    ///
    /// # async fn f(router: Router, other: Router, producer: Producer) -> Result<(), Box<dyn std::error::Error>> {
    /// // From now on transports of `other` can consume the producer, by the same id.
    /// router.pipe_producer_to_router(producer.id(), PipeToRouterOptions::new(other)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn pipe_producer_to_router(
        &self,
        producer_id: ProducerId,
        pipe_to_router_options: PipeToRouterOptions,
    ) -> Result<PipeProducerToRouterPair, PipeProducerToRouterError> {
        let keep_id = pipe_to_router_options.keep_id;
        if keep_id && pipe_to_router_options.router.id() == self.id() {
            return Err(PipeProducerToRouterError::SameRouter);
        }
        let producer =
            self.producer(&producer_id).ok_or(PipeProducerToRouterError::ProducerNotFound(producer_id))?;
        let pipe = self.pipe_to(&pipe_to_router_options).await?;

        let options = ConsumerOptions::new(producer_id, RtpCapabilities::default());
        let pipe_consumer = pipe.local.consume(options).await?;
        let mut options = ProducerOptions::new_pipe_transport(
            if keep_id { producer_id } else { ProducerId::new() },
            pipe_consumer.kind(),
            pipe_consumer.rtp_parameters().clone(),
        );
        options.paused = pipe_consumer.producer_paused();
        options.app_data = producer.app_data().clone();
        let pipe_producer = pipe.remote.produce(options).await?;

        let weak = pipe_producer.downgrade();
        pipe_consumer
            .on_close(move || {
                if let Some(pipe_producer) = weak.upgrade() {
                    pipe_producer.close_now();
                }
            })
            .detach();
        let weak = pipe_producer.downgrade();
        pipe_consumer
            .on_pause(move || {
                if let Some(pipe_producer) = weak.upgrade() {
                    pipe_producer.pause_now();
                }
            })
            .detach();
        let weak = pipe_producer.downgrade();
        pipe_consumer
            .on_resume(move || {
                if let Some(pipe_producer) = weak.upgrade() {
                    pipe_producer.resume_now();
                }
            })
            .detach();
        // Kept open until the piped producer is closed.
        let kept = pipe_consumer.clone();
        pipe_producer.on_close(move || drop(kept)).detach();

        let weak = producer.downgrade();
        let pipe_producer = PipedProducer::new(pipe_producer, move |pipe_producer| {
            if let Some(producer) = weak.upgrade() {
                producer.on_close(move || pipe_producer.close_now()).detach();
            }
        });
        Ok(PipeProducerToRouterPair { pipe_consumer, pipe_producer })
    }

    /// Pipes a data producer of this router to another one, which may be of another worker. The piped data producer
    /// is closed with the original.
    ///
    /// # Errors
    /// The router has no such data producer, its id is in use in the other worker, or a worker refuses a request.
    pub async fn pipe_data_producer_to_router(
        &self,
        data_producer_id: DataProducerId,
        pipe_to_router_options: PipeToRouterOptions,
    ) -> Result<PipeDataProducerToRouterPair, PipeDataProducerToRouterError> {
        let keep_id = pipe_to_router_options.keep_id;
        if keep_id && pipe_to_router_options.router.id() == self.id() {
            return Err(PipeDataProducerToRouterError::SameRouter);
        }
        let data_producer = self
            .data_producer(&data_producer_id)
            .ok_or(PipeDataProducerToRouterError::DataProducerNotFound(data_producer_id))?;
        let pipe = self.pipe_to(&pipe_to_router_options).await?;

        let options = DataConsumerOptions::new_sctp(data_producer_id);
        let pipe_data_consumer = pipe.local.consume_data(options).await?;
        let stream = pipe_data_consumer
            .sctp_stream_parameters()
            .expect("data consumers on pipe transports have a stream");
        let id = if keep_id { data_producer_id } else { DataProducerId::new() };
        let mut options = DataProducerOptions::new_pipe_transport(id, stream);
        options.label.clone_from(data_producer.label());
        options.protocol.clone_from(data_producer.protocol());
        options.app_data = data_producer.app_data().clone();
        let pipe_data_producer = pipe.remote.produce_data(options).await?;

        let weak = pipe_data_producer.downgrade();
        pipe_data_consumer
            .on_close(move || {
                if let Some(pipe_data_producer) = weak.upgrade() {
                    pipe_data_producer.close_now();
                }
            })
            .detach();
        // Kept open until the piped producer is closed.
        let kept = pipe_data_consumer.clone();
        pipe_data_producer.on_close(move || drop(kept)).detach();

        let weak = data_producer.downgrade();
        let pipe_data_producer = NonClosingDataProducer::new(pipe_data_producer, move |pipe_data_producer| {
            if let Some(data_producer) = weak.upgrade() {
                data_producer.on_close(move || pipe_data_producer.close_now()).detach();
            }
        });
        Ok(PipeDataProducerToRouterPair { pipe_data_consumer, pipe_data_producer })
    }

    /// The pipe to another router. Creates it if there is none.
    async fn pipe_to(&self, options: &PipeToRouterOptions) -> Result<Pipe, RequestError> {
        let remote = &options.router;
        // Locked while the pipe is being created: concurrent calls wait for it.
        let entry = Arc::clone(self.inner.pipes.lock().entry(remote.id()).or_default());
        let mut entry = entry.lock().await;
        if let Some(pipe) = entry.as_ref().and_then(WeakPipe::upgrade) {
            return Ok(pipe);
        }
        let pipe = Pipe::connect(self, remote, options.transport_options()).await?;
        for transport in [&pipe.local, &pipe.remote] {
            let (pipes, remote_id) = (Arc::clone(&self.inner.pipes), remote.id());
            transport.on_close(Box::new(move || drop(pipes.lock().remove(&remote_id)))).detach();
        }
        *entry = Some(pipe.downgrade());
        Ok(pipe)
    }
}

/// Pipes to other routers, by the router at the other end.
pub(super) type Pipes = Arc<Mutex<HashMap<RouterId, Arc<AsyncMutex<Option<WeakPipe>>>>>>;

/// Connected transports of two routers. Consumers and producers on them keep them open.
struct Pipe {
    local: PipeTransport,
    remote: PipeTransport,
}

pub(super) struct WeakPipe {
    local: WeakPipeTransport,
    remote: WeakPipeTransport,
}

impl Pipe {
    async fn connect(
        local: &Router,
        remote: &Router,
        options: PipeTransportOptions,
    ) -> Result<Self, RequestError> {
        let [near, far] = [next_address(options.listen_info.ip), next_address(options.listen_info.ip)];
        let (near, far) = tureen_net::pipe(near, far);
        let local = local.create_pipe_transport_on(options.clone(), Some(near)).await?;
        let remote = remote.create_pipe_transport_on(options, Some(far)).await?;
        local.connect(parameters_of(&remote)).await?;
        remote.connect(parameters_of(&local)).await?;
        Ok(Self { local, remote })
    }

    fn downgrade(&self) -> WeakPipe {
        WeakPipe { local: self.local.downgrade(), remote: self.remote.downgrade() }
    }
}

impl WeakPipe {
    fn upgrade(&self) -> Option<Pipe> {
        let pipe = Pipe { local: self.local.upgrade()?, remote: self.remote.upgrade()? };
        (!pipe.local.closed() && !pipe.remote.closed()).then_some(pipe)
    }
}

/// Address that names an end of an in-process pipe, like a socket's. Nothing is bound to it.
fn next_address(ip: IpAddr) -> SocketAddr {
    static PORT: AtomicU16 = AtomicU16::new(1);
    SocketAddr::new(ip, PORT.fetch_add(1, Ordering::Relaxed).max(1))
}

/// Remote parameters for the other end of a pipe.
fn parameters_of(transport: &PipeTransport) -> PipeTransportRemoteParameters {
    let tuple = transport.tuple();
    PipeTransportRemoteParameters {
        ip: tuple.local_address().parse().expect("pipes announce no address other than their own"),
        port: tuple.local_port(),
        srtp_parameters: transport.srtp_parameters(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use futures_lite::future::block_on;

    use super::*;
    use crate::router::RouterOptions;
    use crate::test_support::{Call, opus, worker};

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A call whose audio is piped to a router of another worker.
    async fn piped() -> (Call, Router, PipeProducerToRouterPair) {
        let call = Call::new().await;
        let there = worker().await.create_router(RouterOptions::new(opus())).await.unwrap();
        let options = PipeToRouterOptions::new(there.clone());
        let pair = call.router.pipe_producer_to_router(call.producer.id(), options).await.unwrap();
        (call, there, pair)
    }

    #[test]
    fn death_of_the_consuming_worker_allows_piping_again() {
        block_on(async {
            let (call, there, pair) = piped().await;
            let (closed, is_closed) = mpsc::channel();
            pair.pipe_consumer.on_close(move || closed.send(()).unwrap()).detach();
            let piped = pair.pipe_producer.into_inner();
            drop(pair.pipe_consumer);
            there.worker().panic();
            is_closed.recv_timeout(PATIENCE).unwrap();
            assert!(piped.closed() && !call.producer.closed());

            let there = worker().await.create_router(RouterOptions::new(opus())).await.unwrap();
            let options = PipeToRouterOptions::new(there);
            assert!(call.router.pipe_producer_to_router(call.producer.id(), options).await.is_ok());
        });
    }

    #[test]
    fn death_of_the_producing_worker_closes_the_piped_producer() {
        block_on(async {
            let (call, there, pair) = piped().await;
            let piped = pair.pipe_producer.into_inner();
            let (closed, is_closed) = mpsc::channel();
            piped.on_close(move || closed.send(()).unwrap()).detach();
            call.worker.panic();
            is_closed.recv_timeout(PATIENCE).unwrap();
            assert!(piped.closed() && !there.closed());
        });
    }
}
