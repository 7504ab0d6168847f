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

mod congestion;
mod control;
mod data;
mod direct;
mod egress;
mod gathering;
mod ingress;
mod latching;
mod layers;
mod observers;
mod parameters;
mod planning;
mod reports;
mod router;
mod server;
mod sockets;
mod starting;
mod stats;
mod streams;
mod transports;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use slotmap::SlotMap;

use crate::api::{
    ConsumerEvent, ConsumerId, DataConsumerId, DataProducerId, Notification, ProducerEvent, ProducerId,
    Request, RequestError, RequestId, Response, RouterId, RtpObserverId, TransportEvent, TransportId,
    WebRtcServerId,
};
use crate::consumer::{Consumer, Resend};
use crate::data::{DataConsumer, DataProducer};
use crate::io::SocketCommand;
use crate::keys::{ConsumerKey, DataConsumerKey, DataProducerKey, ObserverKey, ProducerKey, TransportKey};
use crate::producer::Producer;
use crate::timers::TimerQueue;
use crate::transport::Transport;
use crate::transport::link::Link;
use egress::Egress;
pub use ingress::DropReason;
use observers::RtpObserver;
use router::Router;
use server::WebRtcServer;
use sockets::Sockets;
use starting::KeyFrameCause;
use tureen_rtc::dtls::{Certificate, DtlsConfig, DtlsError, DtlsOptions};
use tureen_rtc::tuple::{SocketId, Tuple};
use tureen_rtc::units::Bitrate;
use tureen_rtc::wire::rtcp::{NtpTime, ReportBlock};

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

/// Bounds of a worker. What passes one is refused or dropped, counted and named.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Paths that one transport keeps (mediasoup: 8).
    pub tuples_per_transport: usize,
    /// TCP streams that one listener holds; each costs about 500 bytes here and up to a frame and a send queue in the
    /// driver.
    pub streams_per_listener: usize,
    /// TCP streams of one remote address (IPv6: of 64 bits of it) on one listener that have not had a connectivity check
    /// yet. Those that have are bounded by `tuples_per_transport`.
    pub unchecked_streams_per_address: usize,
    /// Such streams of all addresses: beyond it the oldest is closed, so that who has many addresses can't keep clients
    /// out.
    pub unchecked_streams_per_listener: usize,
    /// Streams that one client may send on its WebRtcTransport; each costs about 4 KB and its retransmission buffer.
    pub streams_per_transport: usize,
    /// The same for links that the application has made between servers: Pipe-, Plain- and DirectTransports. A pipe carries
    /// all streams of a room, a gateway those of all its callers (mediasoup has no bound).
    pub streams_per_link: usize,
    /// SSRCs of a remote side whose SRTP state is known at a time, of RTP and apart from them of RTCP, RTX included: some 170
    /// bytes each, and up to 16 times as many that were known before at 28 bytes. Beyond it the one that has been silent
    /// longest makes room; should it come back, what was reordered is lost. Twice `streams_per_transport` at least.
    pub srtp_streams_per_transport: usize,
    /// As `srtp_streams_per_transport`, for a PipeTransport, which carries what whole rooms send.
    pub srtp_streams_per_pipe: usize,
    /// SSRCs that one transport with SRTP may have sent and sends no more. They are remembered, at some 28 bytes each, so
    /// that a consumer with one of them goes on where it ended: no index may be used twice under one key. Beyond it no
    /// consumer is made on the transport.
    pub ended_streams_per_transport: usize,
    /// Bytes of the retransmission buffer of one video stream. At 2.5 Mbit/s the default of 2 MiB holds six seconds.
    pub retransmission_bytes: usize,
    /// How long a packet can be asked for again (mediasoup: 2 s).
    pub retransmission_age: Duration,
    /// How often streams of a Producer may go on with another SSRC at once; once more each second. Each time its consumers
    /// need a key frame.
    pub ssrc_changes: u32,
    /// Datagrams other than media (STUN, DTLS, RTCP) that wait to be sent.
    pub control_datagrams: usize,
    /// Retransmissions that wait on one transport.
    pub pending_resends: usize,
    /// The same on a link between servers, as in `streams_per_link`.
    pub pending_resends_per_link: usize,
    /// Between two key frames that one consumer causes by PLI, FIR, a request of the application or being resumed; the first
    /// one comes at once. While it keeps asking earlier the interval doubles. A request that another consumer has made
    /// already costs nothing, and pipe consumers, which speak for many, are not bounded (mediasoup has no such bound).
    pub key_frame_interval: Duration,
    /// The longest of such intervals.
    pub key_frame_interval_max: Duration,
    /// As `key_frame_interval`, for key frames to go over to other layers with.
    pub layer_switch_interval: Duration,
    /// What one transport may send again in any case, in bits per second; beyond it as much again as it sends of media, and
    /// 30 % of the estimate where there is one.
    pub repair_floor: Bitrate,
    /// Packets that the NACKs of one datagram may name (as many as mediasoup and libwebrtc have missing at a time).
    pub nacked_packets_per_datagram: usize,
    /// Packets that a remote side may name in NACKs in one second, besides two for each packet that it is sent. What goes
    /// beyond is not looked at.
    pub nacked_packets_per_second: usize,
    /// Between two report blocks of a remote side about one stream; what comes earlier is not looked at. Each may change a
    /// score, which is told to the application.
    pub report_block_interval: Duration,
    /// How long the packets of a video frame may wait for its last one, zero for not at all. A frame that leaves as a whole
    /// costs little more than one packet; it is late by this much at most, and only if its last packet is lost or late.
    pub frame_gathering: Duration,
    /// The multiple of a transport's `maxIncomingBitrate` from which on packets of its remote side are dropped, zero for never:
    /// video first, audio last. mediasoup only tells senders; one that knows nothing of that is not hurt by a large one.
    pub incoming_bitrate_margin: u32,
    /// How long a remote side may send more than that allows, twice as much for instance, before packets are dropped.
    pub incoming_bitrate_burst: Duration,
    /// How long a remote side may take to bring an SCTP state cookie back (RFC 9260 §16: 60 s). Whoever overheard one can
    /// repeat it for so long; a remote side whose round trip takes longer never connects.
    pub sctp_cookie_lifetime: Duration,
    /// Data messages and beginnings of messages that may wait, in one association, for what is missing before them; each
    /// costs some 200 bytes beside its own, which the receive window bounds. A chunk beyond that is dropped and counted,
    /// and the remote side sends it again: few make small messages slow where packets are lost.
    pub sctp_incoming_pieces: usize,
    /// Data messages that may wait to be sent in one association, beside `sctpSendBufferSize`; each costs some 100 bytes
    /// beside its own. What is more is refused as by a full buffer.
    pub sctp_outgoing_messages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tuples_per_transport: 8,
            streams_per_listener: 8192,
            unchecked_streams_per_address: 64,
            unchecked_streams_per_listener: 1024,
            streams_per_transport: 128,
            streams_per_link: 65_536,
            srtp_streams_per_transport: 256,
            srtp_streams_per_pipe: 8192,
            ended_streams_per_transport: 1 << 18,
            retransmission_bytes: 2 << 20,
            retransmission_age: Duration::from_secs(2),
            ssrc_changes: 8,
            control_datagrams: 4096,
            pending_resends: 512,
            pending_resends_per_link: 16_384,
            key_frame_interval: Duration::from_secs(1),
            key_frame_interval_max: Duration::from_secs(8),
            layer_switch_interval: Duration::from_millis(250),
            repair_floor: Bitrate::kbps(256),
            nacked_packets_per_datagram: 1000,
            nacked_packets_per_second: 500,
            report_block_interval: Duration::from_millis(20),
            frame_gathering: Duration::from_millis(1),
            incoming_bitrate_margin: 4,
            incoming_bitrate_burst: Duration::from_secs(5),
            sctp_cookie_lifetime: tureen_rtc::sctp::COOKIE_LIFETIME,
            sctp_incoming_pieces: tureen_rtc::sctp::INCOMING_PIECES,
            sctp_outgoing_messages: tureen_rtc::sctp::OUTGOING_MESSAGES,
        }
    }
}

impl Limits {
    /// Streams that may come by a link.
    pub(crate) fn streams_by(&self, link: &Link) -> usize {
        if link.is_between_servers() { self.streams_per_link } else { self.streams_per_transport }
    }

    /// SSRCs whose SRTP state is known at a time, where so many streams are declared: a link between servers has room for all
    /// of them and their retransmissions.
    pub(crate) fn srtp_streams_by(&self, link: &Link, declared: usize) -> usize {
        match link {
            Link::Pipe(_) => self.srtp_streams_per_pipe.max(2 * declared),
            Link::Plain(_) => self.srtp_streams_per_transport.max(2 * declared),
            Link::WebRtc(_) | Link::Direct => self.srtp_streams_per_transport,
        }
    }

    /// Retransmissions that may wait to leave by a link.
    pub(crate) fn resends_by(&self, link: &Link) -> usize {
        if link.is_between_servers() { self.pending_resends_per_link } else { self.pending_resends }
    }
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

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Timer {
    /// The remote side's consent is to be checked (RFC 7675).
    Ice(TransportKey),
    /// A TCP stream must have had a connectivity check by now.
    Stream(SocketId),
    /// A DTLS flight is to be sent again, or the handshake has taken too long.
    Dtls(TransportKey),
    /// SCTP is to send again, or has waited long enough.
    Sctp(TransportKey),
    /// Sender and receiver reports are due.
    Reports(TransportKey),
    /// Transport-wide feedback is due.
    TransportCc(TransportKey),
    /// What waits on a transport's path may be gone: its video may go on.
    Backlog(TransportKey),
    /// The congestion control of a transport is due: its estimate, a probe, or packets that wait.
    Congestion(TransportKey),
    /// Packets have waited long enough for the rest of their frame.
    Frames,
    /// Lost packets are to be asked for again.
    Nack(ProducerKey),
    /// A key frame did not come, or may be asked for again.
    KeyFrame(ProducerKey),
    /// A consumer may cause a key frame again.
    KeyFrameAllowed(ConsumerKey, KeyFrameCause),
    /// Streams and layers of a Producer may have ended.
    LayerActivity(ProducerKey),
    /// An interval of an RTP observer has ended.
    Observer(ObserverKey),
}

/// One worker: routers with their transports, producers and consumers. See the [module documentation](self) for how it
/// is driven.
#[derive(Debug)]
pub struct Worker {
    dtls_config: Arc<DtlsConfig>,
    limits: Limits,
    rng: StdRng,
    clock: Clock,
    servers: HashMap<WebRtcServerId, WebRtcServer>,
    routers: HashMap<RouterId, Router>,
    transports: SlotMap<TransportKey, Transport>,
    producers: SlotMap<ProducerKey, Producer>,
    consumers: SlotMap<ConsumerKey, Consumer>,
    observers: SlotMap<ObserverKey, RtpObserver>,
    transport_ids: HashMap<TransportId, TransportKey>,
    producer_ids: HashMap<ProducerId, ProducerKey>,
    consumer_ids: HashMap<ConsumerId, ConsumerKey>,
    observer_ids: HashMap<RtpObserverId, ObserverKey>,
    data_producers: SlotMap<DataProducerKey, DataProducer>,
    data_consumers: SlotMap<DataConsumerKey, DataConsumer>,
    data_producer_ids: HashMap<DataProducerId, DataProducerKey>,
    data_consumer_ids: HashMap<DataConsumerId, DataConsumerKey>,
    /// Transports whose associations may have something to say.
    queued_sctp: Vec<TransportKey>,
    /// Transports whose associations may have something to send.
    sending_sctp: VecDeque<TransportKey>,
    sockets: Sockets,
    /// Transports whose sockets are not all bound yet.
    pending_transports: HashMap<TransportKey, server::Pending>,
    /// Sockets of PlainTransports with `comedia` that wait for their first packet.
    latching: HashMap<SocketId, TransportKey>,
    /// Paths whose transport is known: ICE has validated them, or they were given or latched.
    tuples: HashMap<Tuple, TransportKey, foldhash::fast::RandomState>,
    timers: TimerQueue<Timer>,
    outputs: VecDeque<Output>,
    egress: Egress,
    /// Producers with packets of this batch, or of a frame that is not complete.
    dirty_producers: Vec<ProducerKey>,
    drops: ingress::Drops,
    scratch: Scratch,
}

/// Buffers that are kept to be used again.
#[derive(Debug, Default)]
struct Scratch {
    dtls: Vec<u8>,
    reply: Vec<u8>,
    rtcp: Vec<u8>,
    rtcp_part: Vec<u8>,
    seqs: Vec<u16>,
    resends: Vec<Resend>,
    blocks: Vec<ReportBlock>,
}

/// Timers for which it does not matter when exactly they fire do so together, on a grid, so that a worker with hundreds of
/// transports wakes up once for all of them.
const RELAXED_GRID: Duration = Duration::from_millis(20);

/// The wall clock at a known instant.
#[derive(Clone, Copy, Debug)]
struct Clock {
    started: Instant,
    unix_at_start: Duration,
}

impl Clock {
    fn unix(&self, now: Instant) -> Duration {
        self.unix_at_start + now.saturating_duration_since(self.started)
    }

    fn ntp(&self, now: Instant) -> NtpTime {
        NtpTime::from_unix(self.unix(now))
    }

    fn unix_ms(&self, now: Instant) -> u64 {
        self.unix(now).as_millis() as u64
    }

    /// The first instant after `at` on the grid of relaxed timers.
    fn on_grid(&self, at: Instant) -> Instant {
        let since_start = at.saturating_duration_since(self.started).as_millis() as u64;
        let grid = RELAXED_GRID.as_millis() as u64;
        self.started + Duration::from_millis((since_start / grid + 1) * grid)
    }
}

impl Worker {
    /// A worker without routers. `unix` is the time since the Unix epoch at `now`.
    ///
    /// # Errors
    /// DTLS options that can't be met.
    pub fn new(config: WorkerConfig, now: Instant, unix: Duration) -> Result<Self, DtlsError> {
        Ok(Self {
            dtls_config: Arc::new(DtlsConfig::new(config.certificate, config.dtls)?),
            egress: Egress::new(config.limits.control_datagrams),
            limits: config.limits,
            rng: StdRng::from_seed(config.seed),
            clock: Clock { started: now, unix_at_start: unix },
            servers: HashMap::new(),
            routers: HashMap::new(),
            transports: SlotMap::with_key(),
            producers: SlotMap::with_key(),
            consumers: SlotMap::with_key(),
            observers: SlotMap::with_key(),
            transport_ids: HashMap::new(),
            producer_ids: HashMap::new(),
            consumer_ids: HashMap::new(),
            observer_ids: HashMap::new(),
            data_producers: SlotMap::with_key(),
            data_consumers: SlotMap::with_key(),
            data_producer_ids: HashMap::new(),
            data_consumer_ids: HashMap::new(),
            queued_sctp: Vec::new(),
            sending_sctp: VecDeque::new(),
            sockets: Sockets::default(),
            pending_transports: HashMap::new(),
            latching: HashMap::new(),
            tuples: HashMap::default(),
            timers: TimerQueue::new(),
            outputs: VecDeque::new(),
            dirty_producers: Vec::new(),
            drops: ingress::Drops::default(),
            scratch: Scratch::default(),
        })
    }

    /// Takes a request. Its response comes out of [`Worker::poll_output`], at once or when sockets are bound.
    pub fn handle_request(&mut self, now: Instant, id: RequestId, request: Request) {
        if let Some(result) = self.control(now, id, request) {
            self.outputs.push_back(Output::Response(id, result));
        }
        self.flush_sctp(now);
    }

    /// The driver's answer to every [`SocketCommand`] that opens one: the address bound, or why not.
    pub fn handle_socket_bound(
        &mut self,
        now: Instant,
        socket: SocketId,
        result: Result<std::net::SocketAddr, String>,
    ) {
        self.on_socket_bound(now, socket, result);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Ice(key) => self.on_ice_timer(now, key),
                Timer::Stream(id) => self.on_stream_timer(id),
                Timer::Dtls(key) => self.on_dtls_timer(now, key),
                Timer::Sctp(key) => self.on_sctp_timer(now, key),
                Timer::Reports(key) => self.on_reports_timer(now, key),
                Timer::Backlog(key) => self.on_backlog_timer(now, key),
                Timer::Congestion(key) => self.on_congestion_timer(now, key),
                Timer::Frames => self.queue_consumers(now),
                Timer::TransportCc(key) => self.on_transport_cc_timer(now, key),
                Timer::Nack(key) | Timer::KeyFrame(key) => self.on_producer_timer(now, key),
                Timer::KeyFrameAllowed(key, cause) => self.on_key_frame_allowed(now, key, cause),
                Timer::LayerActivity(key) => self.on_layer_activity_timer(now, key),
                Timer::Observer(key) => self.on_observer_timer(now, key),
            }
        }
        self.flush_sctp(now);
    }

    /// Arms a timer that may be late by up to [`RELAXED_GRID`].
    fn arm_relaxed(&mut self, timer: Timer, at: Instant) {
        self.timers.arm(timer, self.clock.on_grid(at));
    }

    /// When [`Worker::handle_timeout`] should be called next.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        self.timers.next_time()
    }

    /// The next thing for the driver to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn notify_transport(&mut self, key: TransportKey, event: TransportEvent) {
        if let Some(transport) = self.transports.get(key) {
            let notification = Notification::Transport(transport.id.clone(), event);
            self.outputs.push_back(Output::Notification(notification));
        }
    }

    fn notify_producer(&mut self, key: ProducerKey, event: ProducerEvent) {
        if let Some(producer) = self.producers.get(key) {
            let notification = Notification::Producer(producer.id.clone(), event);
            self.outputs.push_back(Output::Notification(notification));
        }
    }

    fn notify_consumer(&mut self, key: ConsumerKey, event: ConsumerEvent) {
        if let Some(consumer) = self.consumers.get(key) {
            let notification = Notification::Consumer(consumer.id.clone(), event);
            self.outputs.push_back(Output::Notification(notification));
        }
    }

    fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for virtual time; nothing depends on which")]
mod tests {
    use super::*;

    #[test]
    fn relaxed_timers_of_one_stretch_fire_together_and_never_early() {
        let started = Instant::now();
        let clock = Clock { started, unix_at_start: Duration::ZERO };
        let at = |ms| started + Duration::from_millis(ms);
        let fired = [0, 7, 19, 20, 39].map(|ms| clock.on_grid(at(ms)));
        assert_eq!(fired, [at(20), at(20), at(20), at(40), at(40)]);
    }
}
