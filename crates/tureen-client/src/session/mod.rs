//! Client side of one WebRTC transport.

mod config;
mod data;
mod estimate;
mod frames;
mod media;
mod reports;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hashbrown::HashMap;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tureen_rtc::bwe::BweConfig;
use tureen_rtc::demux::{PacketKind, classify};
use tureen_rtc::dtls::{self, Dtls, DtlsError, Fingerprint, Role, SrtpKeys};
use tureen_rtc::ice::IceCredentials;
use tureen_rtc::receive::twcc_receiver::TwccReceiver;
use tureen_rtc::sctp::{Sctp, SctpState};
use tureen_rtc::srtp::{SrtpError, SrtpOpener, SrtpSealer, SrtpSuite};
use tureen_rtc::units::{Bitrate, Ssrc};
use tureen_rtc::wire::rtcp::{NtpTime, RtcpCompound};
use tureen_rtc::wire::stun::StunMessage;
use tureen_types::data_structures::{DtlsParameters, IceParameters};

pub use self::config::{Identity, SessionConfig, SessionError};
use self::config::{credentials, parameters};
use self::estimate::Estimate;
use self::reports::ReferenceTime;
use crate::frames::Payloads;
use crate::ice::{IceAgent, IceAgentState};
use crate::recv_stream::{ReceivedRtp, RecvStream};
use crate::send_stream::SendStream;

/// Remote endpoint of one WebRtcTransport.
///
/// Sans-IO: pass datagrams to [`handle_datagram`](Self::handle_datagram), and call
/// [`handle_timeout`](Self::handle_timeout) when a timeout has expired. After both, and after every call that sends,
/// drain [`poll_frame`](Self::poll_frame), [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event),
/// then call [`poll_timeout`](Self::poll_timeout) for the next timeout.
///
/// ICE starts in [`new`](Self::new). Media flows after [`Event::Connected`]; streams can be added earlier. In steady
/// state neither sending nor receiving packets allocates; sending a frame of H264, H265 or AV1 allocates a list of its
/// parts.
#[derive(Debug)]
pub struct Session {
    now: Instant,
    clock: Clock,
    rng: StdRng,
    identity: Identity,
    dtls_role: Role,
    remote_fingerprint: Fingerprint,
    cname: Box<str>,
    ice: IceAgent,
    ice_state: IceAgentState,
    dtls: Option<Dtls>,
    dtls_timeout: Option<Instant>,
    srtp: Option<Srtp>,
    sctp: Option<Sctp>,
    /// Application data received over DTLS by a session without SCTP.
    application_data: VecDeque<Vec<u8>>,
    ended: bool,
    /// SSRC of RTCP packets of a session without outgoing streams.
    reporter: Ssrc,
    send: Vec<SendStream>,
    recv: Vec<RecvStream>,
    /// Index in `recv` of the stream of each SSRC.
    recv_index: HashMap<Ssrc, usize>,
    /// Queued media packets: SSRC of the stream, index of the packet.
    queue: VecDeque<(Ssrc, u64)>,
    /// Audio in line, which is neither paced nor waits for video, once there is an estimate.
    audio_queue: VecDeque<(Ssrc, u64)>,
    /// Queued retransmissions, in the same form.
    resends: VecDeque<(Ssrc, u64)>,
    next_transport_seq: u16,
    twcc: TwccReceiver,
    twcc_id: Option<std::num::NonZeroU8>,
    reports_at: Option<Instant>,
    reference_time: Option<ReferenceTime>,
    rtt: Option<Duration>,
    /// Limit of the server's last REMB; zero is no limit.
    remb: Bitrate,
    estimate_config: Option<BweConfig>,
    desired_bitrate: Bitrate,
    estimate: Option<Box<Estimate>>,
    control: ControlQueue,
    events: VecDeque<Event>,
    dropped: u64,
    scratch: Scratch,
}

/// Event of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server has answered an ICE check from this address, to which all packets are sent from now on. Repeated
    /// after an ICE restart.
    IceConnected(SocketAddr),
    /// The server's consent has expired (RFC 7675). Nothing is sent until [`Session::restart_ice`].
    IceDisconnected,
    /// DTLS is connected, and media flows.
    Connected(SrtpSuite),
    /// The server requests a key frame of this outgoing stream.
    KeyFrameRequested {
        /// Its SSRC.
        ssrc: u32,
    },
    /// SCTP has changed its state. Data channels work while it is connected.
    Sctp(SctpState),
    /// A message was received on a data channel.
    Message {
        /// Its stream.
        stream: u16,
        /// Payload protocol identifier (RFC 8831 §8).
        ppid: u32,
        /// Its bytes.
        payload: Bytes,
    },
    /// The server has closed the data channel of this stream.
    StreamReset(u16),
    /// What may be sent by the estimate has changed; see [`Session::estimate_bitrate`].
    TargetBitrate(Bitrate),
    /// The buffered amount of this stream has fallen to its threshold or below.
    BufferedAmountLow(u16),
    /// The session has failed and ended.
    Failed(FailureReason),
    /// The session has ended, because the server closed DTLS or [`Session::close`] was called.
    Closed,
}

/// Reason of a failed session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailureReason {
    /// No ICE candidate has answered.
    #[error("no ICE candidate of the server has answered")]
    Ice,
    /// DTLS failed.
    #[error(transparent)]
    Dtls(#[from] DtlsError),
    /// The server negotiated no SRTP protection profile.
    #[error("the server negotiated no SRTP protection profile")]
    NoSrtp,
    /// The negotiated SRTP keys are invalid.
    #[error(transparent)]
    Srtp(#[from] SrtpError),
}

/// Content of a received datagram, as far as the caller needs it.
#[derive(Debug)]
pub enum Received<'a> {
    /// Nothing for the caller: the session has handled the datagram or dropped it.
    Nothing,
    /// A media packet.
    Rtp(ReceivedRtp<'a>),
    /// Decrypted RTCP, for callers that need more than the session. The session has handled it already.
    Rtcp(RtcpCompound<'a>),
}

/// Number of incoming SSRCs, including those of retransmissions.
const MAX_STREAMS: usize = 1024;
/// Number of received DTLS messages that wait for [`Session::poll_application_data`].
const MAX_APPLICATION_DATA: usize = 256;
/// Number of STUN, DTLS and RTCP datagrams that can be queued.
const MAX_CONTROL: usize = 256;

#[derive(Debug)]
struct Srtp {
    opener: SrtpOpener,
    sealer: SrtpSealer,
}

/// Conversion of instants to wall clock time.
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
}

/// Queue of complete datagrams; its buffers are reused.
#[derive(Debug, Default)]
struct ControlQueue {
    waiting: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

impl ControlQueue {
    /// Queues a datagram. Returns false if the queue is full.
    fn push(&mut self, datagram: &[u8]) -> bool {
        if self.waiting.len() == MAX_CONTROL {
            return false;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(datagram);
        self.waiting.push_back(buffer);
        true
    }

    /// Replaces `out` by the next datagram. Returns false if there is none.
    fn pop(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(next) = self.waiting.pop_front() else { return false };
        self.spare.push(std::mem::replace(out, next));
        true
    }
}

/// Buffers that are reused.
#[derive(Debug, Default)]
struct Scratch {
    dtls: Vec<u8>,
    rtcp: Vec<u8>,
    seqs: Vec<u16>,
    payloads: Payloads,
    blocks: Vec<tureen_rtc::wire::rtcp::ReportBlock>,
}

impl Session {
    /// Creates a session and starts ICE. `unix` is the time since the Unix epoch at `now`.
    ///
    /// # Errors
    /// The server's parameters are invalid; the error names them.
    pub fn new(config: SessionConfig, now: Instant, unix: Duration) -> Result<Self, SessionError> {
        let mut rng = StdRng::from_seed(config.seed);
        let remote_fingerprint = config::strongest_fingerprint(&config.remote_dtls)?;
        let local = IceCredentials::generate(&mut rng);
        let remote = credentials(&config.remote_ice);
        if config.candidates.is_empty() {
            return Err(SessionError::NoCandidates);
        }
        let ice = IceAgent::new(local, remote, &config.candidates, now, &mut rng)?;
        let sctp = config.sctp.map(|options| Sctp::new(options, &rng.random(), now));
        let mut session = Self {
            now,
            clock: Clock { started: now, unix_at_start: unix },
            identity: config.identity,
            dtls_role: config.dtls_role,
            remote_fingerprint,
            cname: config.cname.into(),
            ice_state: ice.state(),
            ice,
            dtls: None,
            dtls_timeout: None,
            srtp: None,
            sctp,
            application_data: VecDeque::new(),
            ended: false,
            reporter: Ssrc(rng.random()),
            send: Vec::new(),
            recv: Vec::new(),
            recv_index: HashMap::new(),
            queue: VecDeque::new(),
            audio_queue: VecDeque::new(),
            resends: VecDeque::new(),
            next_transport_seq: 0,
            twcc: TwccReceiver::new(),
            twcc_id: None,
            reports_at: None,
            reference_time: None,
            rtt: None,
            remb: Bitrate::default(),
            estimate_config: None,
            desired_bitrate: Bitrate::ZERO,
            estimate: None,
            control: ControlQueue::default(),
            events: VecDeque::new(),
            dropped: 0,
            scratch: Scratch::default(),
            rng,
        };
        if session.dtls_role == Role::Server {
            // The server may send its ClientHello as soon as it has received a check, before its answer arrives here.
            session.start_dtls();
        }
        Ok(session)
    }

    /// Local ICE parameters, for the server's transport.
    pub fn ice_parameters(&self) -> IceParameters {
        parameters(self.ice.local_credentials())
    }

    /// Local fingerprints and role, for `connect` of the server's transport.
    pub fn dtls_parameters(&self) -> DtlsParameters {
        self.identity.dtls_parameters(self.dtls_role)
    }

    /// True if DTLS is connected and a path to the server is known, so that media flows.
    pub fn is_connected(&self) -> bool {
        !self.ended && self.srtp.is_some() && self.ice.selected().is_some()
    }

    /// Where the server is reached now.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.ice.selected()
    }

    /// Round trip time to the server by the last reports; `None` before the first one.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Highest bitrate that the server wants to receive, by its last REMB (draft-alvestrand-rmcat-remb). `None` if it
    /// has set no limit, or has lifted it by a REMB of zero, which libwebrtc reads the same way.
    ///
    /// The session does not enforce the limit; the caller adapts its bitrate.
    pub fn max_outgoing_bitrate(&self) -> Option<Bitrate> {
        (!self.remb.is_zero()).then_some(self.remb)
    }

    /// Number of dropped datagrams: malformed, unauthentic, of an unknown stream or from an unknown address.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Restarts ICE with the server's new ICE parameters. Media uses the old path until a new one answers.
    /// [`Session::ice_parameters`] changes too.
    ///
    /// # Errors
    /// [`SessionError::NoCandidates`], [`SessionError::Ice`] or, after the end of the session, [`SessionError::Ended`].
    pub fn restart_ice(
        &mut self,
        now: Instant,
        remote: &IceParameters,
        candidates: &[SocketAddr],
    ) -> Result<(), SessionError> {
        if self.ended {
            return Err(SessionError::Ended);
        }
        if candidates.is_empty() {
            return Err(SessionError::NoCandidates);
        }
        self.now = now;
        let local = IceCredentials::generate(&mut self.rng);
        self.ice.restart(local, credentials(remote), candidates, now, &mut self.rng)?;
        self.ice_state = self.ice.state();
        Ok(())
    }

    /// The path to `address` is gone, as a TCP connection is that was closed. If it is the one in use, the session is
    /// disconnected as when consent expires.
    pub fn lose_path(&mut self, now: Instant, address: SocketAddr) {
        self.now = now;
        if !self.ended {
            self.ice.lose_path(address);
            self.follow_ice();
        }
    }

    /// Handles a received datagram, which is decrypted in place.
    pub fn handle_datagram<'a>(
        &mut self,
        now: Instant,
        from: SocketAddr,
        data: &'a mut [u8],
    ) -> Received<'a> {
        self.now = now;
        let received = match classify(data) {
            _ if self.ended => None,
            PacketKind::Stun => self.handle_stun(from, data).map(|()| Received::Nothing),
            PacketKind::Dtls => self.handle_dtls(from, data).map(|()| Received::Nothing),
            PacketKind::Rtp => self.handle_rtp(data),
            PacketKind::Rtcp => self.handle_rtcp(data).map(Received::Rtcp),
            PacketKind::Unknown => None,
        };
        received.unwrap_or_else(|| {
            self.dropped += 1;
            Received::Nothing
        })
    }

    /// Handles all timeouts that have expired at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.ended {
            return;
        }
        self.ice.handle_timeout(now, &mut self.rng);
        self.follow_ice();
        if self.dtls_timeout.is_some_and(|at| at <= now) {
            self.dtls_timeout = None;
            if let Some(dtls) = &mut self.dtls {
                dtls.handle_timeout(now);
            }
            self.drain_dtls();
        }
        if let Some(sctp) = &mut self.sctp
            && sctp.poll_timeout().is_some_and(|at| at <= now)
        {
            sctp.handle_timeout(now);
            self.drain_sctp();
        }
        self.handle_media_timeout();
    }

    /// Time of the next [`handle_timeout`](Self::handle_timeout); `None` after the end of the session.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let sctp = self.sctp.as_ref().and_then(Sctp::poll_timeout);
        let timeouts = [self.ice.poll_timeout(), self.dtls_timeout, sctp, self.media_timeout()];
        timeouts.into_iter().flatten().min()
    }

    /// Replaces `out` by the next datagram to send and returns its destination.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<SocketAddr> {
        if let Some(to) = self.ice.poll_transmit(out) {
            return Some(to);
        }
        let Some(to) = self.ice.selected() else {
            // A DTLS handshake that the server started waits for a path. With SRTP connected, everything queued is
            // discarded, because it would be outdated.
            while self.srtp.is_some() && (self.control.pop(out) || self.write_media(out)) {}
            return None;
        };
        loop {
            if self.control.pop(out) {
                return Some(to);
            }
            if !self.queue_sctp_packet() {
                return self.write_media(out).then_some(to);
            }
        }
    }

    /// Next event; `None` if there is none.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Ends the session. A connected DTLS sends an alert to the server, so [`poll_transmit`](Self::poll_transmit) must
    /// be drained once more.
    pub fn close(&mut self, now: Instant) {
        self.now = now;
        if self.ended {
            return;
        }
        self.close_sctp();
        if let Some(dtls) = &mut self.dtls {
            dtls.close();
        }
        self.drain_dtls();
        self.end(Event::Closed);
    }

    fn handle_stun(&mut self, from: SocketAddr, data: &[u8]) -> Option<()> {
        let message = StunMessage::parse(data).ok()?;
        let of_use = self.ice.handle_stun(self.now, from, &message, &mut self.rng);
        self.follow_ice();
        of_use.then_some(())
    }

    /// Reports changes of the ICE state, and starts DTLS when a path is known.
    fn follow_ice(&mut self) {
        let (old, new) = (self.ice_state, self.ice.state());
        self.ice_state = new;
        match new {
            _ if new == old => {}
            IceAgentState::Connected | IceAgentState::Completed => {
                let was_connected = matches!(old, IceAgentState::Connected | IceAgentState::Completed);
                if let Some(address) = self.ice.selected().filter(|_| !was_connected) {
                    self.events.push_back(Event::IceConnected(address));
                }
                if self.dtls.is_none() {
                    self.start_dtls();
                }
            }
            IceAgentState::Disconnected => self.events.push_back(Event::IceDisconnected),
            IceAgentState::Failed => self.end(Event::Failed(FailureReason::Ice)),
            IceAgentState::Checking => {}
        }
    }

    fn start_dtls(&mut self) {
        match Dtls::new(self.identity.dtls_config(), self.dtls_role, self.remote_fingerprint, self.now) {
            Ok(dtls) => {
                self.dtls = Some(dtls);
                self.drain_dtls();
            }
            Err(error) => self.end(Event::Failed(error.into())),
        }
    }

    fn handle_dtls(&mut self, from: SocketAddr, data: &[u8]) -> Option<()> {
        // DTLS may come from a candidate that has not answered a check yet.
        if !self.ice.is_candidate(from) && self.ice.selected() != Some(from) {
            return None;
        }
        self.ice.handle_traffic(self.now, from);
        self.dtls.as_mut()?.handle_datagram(self.now, data);
        self.drain_dtls();
        self.drain_sctp();
        Some(())
    }

    /// Sends DTLS's datagrams, and handles its other outputs.
    fn drain_dtls(&mut self) {
        let mut buffer = std::mem::take(&mut self.scratch.dtls);
        while let Some(dtls) = &mut self.dtls {
            match dtls.poll_output(&mut buffer) {
                dtls::Output::Datagram(datagram) => {
                    self.control.push(datagram);
                }
                dtls::Output::Connected { srtp: Some(keys), .. } => match Srtp::new(&keys) {
                    Ok(srtp) => {
                        self.srtp = Some(srtp);
                        self.events.push_back(Event::Connected(keys.suite));
                        self.start_reports();
                        self.start_estimate();
                        self.start_sctp();
                    }
                    Err(error) => self.end(Event::Failed(error.into())),
                },
                // RFC 5764 §4.1: without a common profile there is no media.
                dtls::Output::Connected { srtp: None, .. } => self.end(Event::Failed(FailureReason::NoSrtp)),
                dtls::Output::ApplicationData(packet) => {
                    if let Some(sctp) = &mut self.sctp {
                        sctp.handle_packet(self.now, packet);
                    } else if self.application_data.len() < MAX_APPLICATION_DATA {
                        self.application_data.push_back(packet.to_vec());
                    }
                }
                dtls::Output::Failed(error) => self.end(Event::Failed(error.into())),
                dtls::Output::Closed => self.end(Event::Closed),
                dtls::Output::Idle { timeout } => {
                    self.dtls_timeout = timeout;
                    break;
                }
            }
        }
        self.scratch.dtls = buffer;
    }

    /// Ends the session. Queued DTLS alerts are still sent.
    fn end(&mut self, event: Event) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.dtls = None;
        self.srtp = None;
        self.sctp = None;
        self.estimate = None;
        self.queue.clear();
        self.audio_queue.clear();
        self.resends.clear();
        self.events.push_back(event);
    }
}

impl Srtp {
    fn new(keys: &SrtpKeys) -> Result<Self, SrtpError> {
        Ok(Self {
            opener: SrtpOpener::new(keys.suite, &keys.remote.key, &keys.remote.salt, MAX_STREAMS)?,
            sealer: SrtpSealer::new(keys.suite, &keys.local.key, &keys.local.salt)?,
        })
    }
}
