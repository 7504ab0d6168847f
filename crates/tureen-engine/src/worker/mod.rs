//! The state machine of one worker thread.
//!
//! # Contract
//!
//! The driver gives input with the current time: datagrams in batches ([`Worker::handle_datagrams`]), requests
//! ([`Worker::handle_request`]), packets of the application ([`Worker::handle_injection`]), answers to socket commands
//! ([`Worker::handle_socket_bound`]) and the passing of time ([`Worker::handle_timeout`]). After each input it drains, in this order:
//!
//! 1. [`Worker::poll_transmit`] until `None`: datagrams to send. Packets are sealed here, straight into the driver's
//!    buffer, one destination after the other; what came in with a batch must be drained before the next batch. Packets
//!    of a video frame may be kept back until the frame is complete ([`Limits::frame_gathering`]).
//! 2. [`Worker::poll_output`] until `None`: socket commands, responses, notifications.
//! 3. [`Worker::poll_timeout`] once: when to call `handle_timeout` next.
//!
//! The same inputs and seed give the same outputs, bit for bit, but for what the DTLS libraries choose themselves.

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

/// What a worker says to its driver, apart from datagrams.
#[derive(Debug)]
pub enum Output {
    /// Do this with a socket.
    Socket(SocketCommand),
    /// The answer to a request.
    Response(RequestId, Result<Response, RequestError>),
    /// An event.
    Notification(Notification),
}

/// One worker: routers with their transports, producers and consumers. See the [module documentation](self) for how it
/// is driven.
///
/// Its parts go by name to the functions that need them, so that a signature says what a function may touch.
#[derive(Debug)]
pub struct Worker {
    media: Media,
    paths: Paths,
    forward: Forward,
    out: Out,
}

impl Worker {
    /// A worker without routers. `unix` is the time since the Unix epoch at `now`.
    ///
    /// # Errors
    /// DTLS options that can't be met.
    pub fn new(config: WorkerConfig, now: Instant, unix: Duration) -> Result<Self, DtlsError> {
        Ok(Self {
            media: Media::default(),
            paths: Paths::new(DtlsConfig::new(config.certificate, config.dtls)?),
            forward: Forward::default(),
            out: Out::new(config.limits, config.seed, Clock::new(now, unix)),
        })
    }

    /// Takes a request. Its response comes out of [`Worker::poll_output`], at once or when sockets are bound.
    pub fn handle_request(&mut self, now: Instant, id: RequestId, request: Request) {
        let Self { media, paths, out, .. } = self;
        if let Some(result) = control::control(media, paths, out, now, id, request) {
            out.respond(id, result);
        }
        association::flush_sctp(media, out, now);
    }

    /// The driver's answer to every [`SocketCommand`] that opens one: the address bound, or why not.
    pub fn handle_socket_bound(
        &mut self,
        now: Instant,
        socket: SocketId,
        result: Result<SocketAddr, String>,
    ) {
        let Self { media, paths, out, .. } = self;
        sockets::on_socket_bound(media, paths, out, now, socket, result);
    }

    /// Takes a batch of datagrams, decrypting them in place.
    pub fn handle_datagrams<'a>(&mut self, now: Instant, batch: impl Iterator<Item = Datagram<'a>>) {
        let Self { media, paths, forward, out } = self;
        ingress::handle_datagrams(media, paths, forward, out, now, batch);
        coalesce::queue_consumers(media, forward, out, now);
        association::flush_sctp(media, out, now);
    }

    /// Takes what the application sends on a DirectTransport. There is no answer; what can't be used is dropped and
    /// counted. What comes out of it must be drained before the next input, as for a batch of datagrams.
    pub fn handle_injection(&mut self, now: Instant, injection: Injection) {
        let Self { media, paths, forward, out } = self;
        injection::handle_injection(media, paths, forward, out, now, injection);
        coalesce::queue_consumers(media, forward, out, now);
        association::flush_sctp(media, out, now);
    }

    /// Somebody has connected to a TCP listener. Returns the stream's name, or `None` if it is to be closed at once: the
    /// listener is gone, or has as many streams as [`Limits`] allows, in all or of that address.
    pub fn handle_stream_opened(
        &mut self,
        now: Instant,
        listener: SocketId,
        remote: SocketAddr,
    ) -> Option<SocketId> {
        tcp::handle_stream_opened(&mut self.paths, &mut self.out, now, listener, remote)
    }

    /// A TCP stream has ended.
    pub fn handle_stream_closed(&mut self, now: Instant, id: SocketId) {
        let Self { media, paths, out, .. } = self;
        tcp::handle_stream_closed(media, paths, out, now, id);
    }

    /// What waits to be sent by a TCP stream is late, or all of it was sent. Until it is, its transport's video waits, so
    /// that nothing comes late that could not be of use any more, and audio has room; then it goes on with a key frame.
    pub fn handle_stream_backlog(&mut self, now: Instant, id: SocketId, late: bool) {
        let Self { media, paths, out, .. } = self;
        tcp::handle_stream_backlog(media, paths, out, now, id, late);
    }

    /// Does what is due.
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

    /// Writes the next datagrams for one destination into `buffer`, which should hold 64 KiB or a few frames' worth of
    /// packets; 2 KiB are the least that works. `None` when everything is sent.
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        let Self { media, paths, forward, out } = self;
        forward::poll_transmit(media, paths, forward, out, now, buffer)
    }

    /// The next thing for the driver to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.poll()
    }

    /// When [`Worker::handle_timeout`] should be called next.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        self.out.timers.next_time()
    }

    /// What went no further since the start, by reason; reasons that never happened are left out.
    pub fn drops(&self) -> Vec<(&'static str, u64)> {
        drops::all(&self.media, &self.out)
    }
}
