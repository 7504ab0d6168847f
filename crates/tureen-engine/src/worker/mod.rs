//! The state machine of one worker thread.
//!
//! # Contract
//!
//! The driver passes in input with the current time: datagrams in batches ([`Worker::handle_datagrams`]), requests
//! ([`Worker::handle_request`]), packets of the application ([`Worker::handle_injection`]), results of socket commands
//! ([`Worker::handle_socket_bound`]) and the passing of time ([`Worker::handle_timeout`]). After each input the driver
//! drains, in this order:
//!
//! 1. [`Worker::poll_transmit`] until `None`: datagrams to send. Packets are sealed here, directly into the driver's
//!    buffer, one destination after the other. The packets of a batch must be drained before the next batch. Packets of
//!    a video frame may be delayed until the frame is complete ([`Limits::frame_coalescing`]).
//! 2. [`Worker::poll_output`] until `None`: socket commands, responses, notifications.
//! 3. [`Worker::poll_timeout`] once: time of the next call of `handle_timeout`.
//!
//! The same inputs and seed give the same outputs, bit for bit, except for values that the DTLS libraries choose
//! themselves.

mod arena;
mod connection;
mod control;
mod data;
mod drops;
mod forward;
mod ingress;
mod injection;
mod limits;
mod out;
mod paths;
mod rtcp;
mod rtp;
mod scores;
mod timer;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use data::association;
use rtcp::{feedback, reports};

pub use self::drops::DropReason;
pub use self::limits::Limits;
use crate::api::{Injection, Notification, Request, RequestError, RequestId, Response};
use crate::io::{Datagram, SocketCommand, Transmit};
use arena::Media;
use control::observers;
use forward::{Forward, backlog, bandwidth, coalesce, key_frames, layers};
use out::{Clock, Out};
use paths::{Paths, dtls, ice, sockets, tcp};
use timer::Timer;
use tureen_rtc::dtls::{Certificate, DtlsConfig, DtlsError, DtlsOptions};
use tureen_rtc::tuple::SocketId;

/// Settings of a worker.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The DTLS certificate of every transport.
    pub certificate: Certificate,
    /// DTLS settings.
    pub dtls: DtlsOptions,
    /// Bounds.
    pub limits: Limits,
    /// Seed of the worker's random generator: ICE credentials, first sequence numbers. Must be secret and unique
    /// outside simulations.
    pub seed: [u8; 32],
}

/// Output of a worker for its driver, apart from datagrams.
#[derive(Debug)]
pub enum Output {
    /// Command for the driver's sockets.
    Socket(SocketCommand),
    /// Result of a request.
    Response(RequestId, Result<Response, RequestError>),
    /// Event for the application.
    Notification(Notification),
}

/// State machine of one worker: routers with their transports, producers and consumers. The [module
/// documentation](self) describes how a driver uses this type.
///
/// Functions take the parts of a worker that they need as separate arguments, so that a signature shows the state that
/// a function may change.
#[derive(Debug)]
pub struct Worker {
    media: Media,
    paths: Paths,
    forward: Forward,
    out: Out,
}

impl Worker {
    /// Creates a worker without routers. `unix` is the time since the Unix epoch at `now`.
    ///
    /// # Errors
    /// DTLS options that cannot be met.
    pub fn new(config: WorkerConfig, now: Instant, unix: Duration) -> Result<Self, DtlsError> {
        Ok(Self {
            media: Media::default(),
            paths: Paths::new(DtlsConfig::new(config.certificate, config.dtls)?),
            forward: Forward::default(),
            out: Out::new(config.limits, config.seed, Clock::new(now, unix)),
        })
    }

    /// Handles a request. [`Worker::poll_output`] returns the response at once, or after the sockets of the request are
    /// bound.
    pub fn handle_request(&mut self, now: Instant, id: RequestId, request: Request) {
        let Self { media, paths, out, .. } = self;
        if let Some(result) = control::control(media, paths, out, now, id, request) {
            out.respond(id, result);
        }
        association::flush_sctp(media, out, now);
    }

    /// Handles the result of a [`SocketCommand`] that opens a socket: the bound address, or the error.
    pub fn handle_socket_bound(
        &mut self,
        now: Instant,
        socket: SocketId,
        result: Result<SocketAddr, String>,
    ) {
        let Self { media, paths, out, .. } = self;
        sockets::on_socket_bound(media, paths, out, now, socket, result);
    }

    /// Handles a batch of datagrams, decrypting them in place.
    pub fn handle_datagrams<'a>(&mut self, now: Instant, batch: impl Iterator<Item = Datagram<'a>>) {
        let Self { media, paths, forward, out } = self;
        ingress::handle_datagrams(media, paths, forward, out, now, batch);
        coalesce::queue_consumers(media, forward, out, now);
        association::flush_sctp(media, out, now);
    }

    /// Handles a packet or message that the application sends on a DirectTransport. No response is sent; an invalid
    /// packet is dropped and counted. The output must be drained before the next input, as for a batch of datagrams.
    pub fn handle_injection(&mut self, now: Instant, injection: Injection) {
        let Self { media, paths, forward, out } = self;
        injection::handle_injection(media, paths, forward, out, now, injection);
        coalesce::queue_consumers(media, forward, out, now);
        association::flush_sctp(media, out, now);
    }

    /// Handles a new connection to a TCP listener. Returns the identifier of the stream, or `None` if the driver has to
    /// close the connection at once, because the listener is closed or because the number of its streams, in total or
    /// of this remote address, reached its [`Limits`].
    pub fn handle_stream_opened(
        &mut self,
        now: Instant,
        listener: SocketId,
        remote: SocketAddr,
    ) -> Option<SocketId> {
        tcp::handle_stream_opened(&mut self.paths, &mut self.out, now, listener, remote)
    }

    /// Handles the end of a TCP stream.
    pub fn handle_stream_closed(&mut self, now: Instant, id: SocketId) {
        let Self { media, paths, out, .. } = self;
        tcp::handle_stream_closed(media, paths, out, now, id);
    }

    /// Handles a change of a TCP stream's send queue: `late` is true if the queue delays packets, false once the queue
    /// is empty. While the queue delays packets, the transport sends no video, because video would arrive too late to
    /// be played and would delay audio. Video restarts with a key frame.
    pub fn handle_stream_backlog(&mut self, now: Instant, id: SocketId, late: bool) {
        let Self { media, paths, out, .. } = self;
        tcp::handle_stream_backlog(media, paths, out, now, id, late);
    }

    /// Handles all expired timers.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Self { media, paths, forward, out } = self;
        while let Some(timer) = out.timers.pop(now) {
            match timer {
                Timer::Ice(key) => ice::on_ice_timer(media, paths, out, now, key),
                Timer::Stream(id) => tcp::on_stream_timer(paths, out, id),
                Timer::Dtls(key) => dtls::on_dtls_timer(media, out, now, key),
                Timer::Sctp(key) => association::on_sctp_timer(media, out, now, key),
                Timer::Reports(key) => reports::on_reports_timer(media, out, now, key),
                Timer::Backlog(key) => backlog::on_backlog_timer(media, out, now, key),
                Timer::Congestion(key) => bandwidth::on_congestion_timer(media, out, now, key),
                Timer::Frames => coalesce::queue_consumers(media, forward, out, now),
                Timer::TransportCc(key) => feedback::on_transport_cc_timer(media, out, now, key),
                Timer::Nack(key) | Timer::KeyFrame(key) => feedback::on_producer_timer(media, out, now, key),
                Timer::KeyFrameAllowed(key, cause) => {
                    key_frames::on_key_frame_allowed(media, out, now, key, cause)
                }
                Timer::LayerActivity(key) => layers::on_layer_activity_timer(media, out, now, key),
                Timer::Observer(key) => observers::on_observer_timer(media, out, now, key),
            }
        }
        association::flush_sctp(media, out, now);
    }

    /// Writes the next datagrams for one destination into `buffer`, which should hold 64 KiB or the packets of a few
    /// frames; 2 KiB is the minimum. `None` once everything is sent.
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        let Self { media, paths, forward, out } = self;
        forward::poll_transmit(media, paths, forward, out, now, buffer)
    }

    /// Returns the next output for the driver.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.poll()
    }

    /// Time of the next call of [`Worker::handle_timeout`].
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        self.out.timers.next_time()
    }

    /// Number of drops since the start, by reason; reasons without drops are omitted.
    pub fn drops(&self) -> Vec<(&'static str, u64)> {
        drops::all(&self.media, &self.out)
    }
}
