//! What comes in from the network: demultiplexing, ICE, DTLS, SRTP, and handing packets to producers.

use std::time::Instant;
use tureen_rtc::log;

use super::sockets::SocketOwner;
use super::{Timer, Worker};
use crate::api::{MediaTraceData, MediaTraceEvent, ProducerEvent, TransportEvent};
use crate::consumer::Resend;
use crate::io::Datagram;
use crate::keys::{ConsumerKey, ProducerKey, TransportKey};
use crate::producer::stream::Taken;
use crate::producer::{FoundBy, Handled};
use crate::transport::link::Link;
use crate::transport::protection::{Opener, Sealer};
use crate::transport::rtp_listener::Found;
use crate::transport::webrtc::ice_state;
use tureen_rtc::demux::{PacketKind, classify};
use tureen_rtc::dtls::{self, SrtpKeys};
use tureen_rtc::ice::{Hold, IceEvent, IceState, IceVerdict};
use tureen_rtc::srtp::{SrtpError, SrtpSealer};
use tureen_rtc::tuple::Tuple;
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::rtcp::{RtcpCompound, RtcpPacket};
use tureen_rtc::wire::rtp::RtpHeader;
use tureen_rtc::wire::rtp::extensions::TransportSequenceNumber;
use tureen_rtc::wire::stun::StunMessage;
use tureen_types::data_structures::{DtlsState, TraceEventDirection};
use tureen_types::rtp_parameters::MediaKind;

/// Why something that came in went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The first bytes are of no protocol that is spoken here.
    UnknownProtocol,
    /// Malformed STUN.
    MalformedStun,
    /// STUN that ICE refuses: no credentials of ours, wrong integrity, a conflict.
    RefusedStun,
    /// A STUN user name that no transport has.
    UnknownUfrag,
    /// DTLS, RTP or RTCP from a path that ICE has not validated.
    UnknownTuple,
    /// Media before DTLS has given keys.
    NoKeys,
    /// Malformed RTP.
    MalformedRtp,
    /// Malformed RTCP.
    MalformedRtcp,
    /// SRTP authentication failed.
    Unauthentic,
    /// Seen before, or too old to tell.
    Replayed,
    /// A remote side uses more SSRCs than are known at a time: one made room for another. No packet is dropped for that.
    TooManyStreams,
    /// No Producer for this SSRC, MID or RID, or no DataProducer for this stream.
    NoProducer,
    /// A data message longer than may be sent or taken.
    MessageTooLong,
    /// Another SSRC for a stream that still comes, or that has changed it too often; or a packet that names a Producer but
    /// none of its streams.
    UnexpectedSsrc,
    /// A payload type that was not negotiated. If the packet's SSRC is known its number counts as received.
    UndeclaredPayloadType,
    /// An SCTP chunk beyond what may wait for missing ones; the remote side sends it again.
    TooMuchWaits,
    /// A sequence number out of place, an unrequested retransmission, or a full buffer.
    Discarded,
    /// A packet of the application for something that is not on a DirectTransport.
    NotDirect,
    /// Longer than packets may be.
    TooLong,
    /// Feedback that names more, or comes more often, than what was sent gives reason to.
    ExcessFeedback,
    /// A consumer wants key frames more often than it may cause some; the last request is made good later.
    ExcessKeyFrameRequest,
    /// A packet that was to be sent again, beyond what may be spent on that.
    OverRepairBudget,
    /// The remote side sends many times the bitrate that it was told to send at most.
    IncomingBitrate,
    /// A STUN, DTLS, RTCP or SCTP datagram to be sent that found [`Limits::control_datagrams`](super::Limits) waiting.
    SendQueueFull,
    /// A retransmission that found [`Limits::pending_resends`](super::Limits) waiting on its transport.
    RetransmissionsFull,
}

impl DropReason {
    const ALL: &[(Self, &'static str)] = &[
        (Self::UnknownProtocol, "unknown-protocol"),
        (Self::MalformedStun, "malformed-stun"),
        (Self::RefusedStun, "refused-stun"),
        (Self::UnknownUfrag, "unknown-ufrag"),
        (Self::UnknownTuple, "unknown-tuple"),
        (Self::NoKeys, "no-keys"),
        (Self::MalformedRtp, "malformed-rtp"),
        (Self::MalformedRtcp, "malformed-rtcp"),
        (Self::Unauthentic, "unauthentic"),
        (Self::Replayed, "replayed"),
        (Self::TooManyStreams, "too-many-streams"),
        (Self::NoProducer, "no-producer"),
        (Self::MessageTooLong, "message-too-long"),
        (Self::UnexpectedSsrc, "unexpected-ssrc"),
        (Self::UndeclaredPayloadType, "undeclared-payload-type"),
        (Self::TooMuchWaits, "too-much-waits"),
        (Self::Discarded, "discarded"),
        (Self::NotDirect, "not-direct"),
        (Self::TooLong, "too-long"),
        (Self::ExcessFeedback, "excess-feedback"),
        (Self::ExcessKeyFrameRequest, "excess-key-frame-request"),
        (Self::OverRepairBudget, "over-repair-budget"),
        (Self::IncomingBitrate, "incoming-bitrate"),
        (Self::SendQueueFull, "send-queue-full"),
        (Self::RetransmissionsFull, "retransmissions-full"),
    ];
}

/// How much went no further, by reason.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    pub(super) fn count(&mut self, reason: DropReason) {
        self.add(reason, 1);
    }

    pub(super) fn add(&mut self, reason: DropReason, count: u64) {
        self.0[reason as usize] += count;
    }

    pub(super) fn named(&self) -> Vec<(&'static str, u64)> {
        let all = DropReason::ALL.iter().map(|&(reason, name)| (name, self.0[reason as usize]));
        all.filter(|&(_, count)| count > 0).collect()
    }
}

impl Worker {
    /// Takes a batch of datagrams, decrypting them in place.
    pub fn handle_datagrams<'a>(&mut self, now: Instant, batch: impl Iterator<Item = Datagram<'a>>) {
        for datagram in batch {
            if let Err(reason) = self.handle_datagram(now, datagram.tuple, datagram.data) {
                self.drops.count(reason);
            }
        }
        self.queue_consumers(now);
        self.flush_sctp(now);
    }

    /// What went no further since the start, by reason; reasons that never happened are left out.
    pub fn drops(&self) -> Vec<(&'static str, u64)> {
        let mut drops = self.drops;
        let openers = self.transports.values().filter_map(|transport| transport.opener.as_ref());
        drops.add(DropReason::TooManyStreams, openers.map(Opener::evicted_streams).sum());
        drops.add(DropReason::SendQueueFull, self.egress.refused_control);
        drops.named()
    }

    /// Keeps what a transport has counted, whose keys are about to go.
    pub(super) fn keep_counts(&mut self, key: TransportKey) {
        if let Some(opener) = self.transports.get(key).and_then(|transport| transport.opener.as_ref()) {
            self.drops.add(DropReason::TooManyStreams, opener.evicted_streams());
        }
    }

    fn handle_datagram(&mut self, now: Instant, tuple: Tuple, data: &mut [u8]) -> Result<(), DropReason> {
        let kind = classify(data);
        let Some(&key) = self.tuples.get(&tuple) else {
            return self.handle_from_unknown(now, tuple, kind, data);
        };
        let transport = self.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
        match (kind, &mut transport.link) {
            (PacketKind::Stun, Link::WebRtc(_)) => return self.handle_stun(now, key, tuple, data),
            (PacketKind::Dtls, Link::WebRtc(link)) => link.handle_dtls(now, tuple, data),
            (PacketKind::Rtp | PacketKind::Rtcp, Link::Plain(link)) if !link.takes(kind, tuple) => {
                return Err(DropReason::UnknownTuple);
            }
            (PacketKind::Rtp | PacketKind::Rtcp, _) => {}
            (_, Link::Plain(_) | Link::Pipe(_)) if transport.data.is_for_sctp(data) => {
                transport.traffic.received.add(now, 1, data.len());
                let is_waiting = transport.link.is_waiting(tuple.socket);
                self.handle_sctp(now, key, data);
                if is_waiting {
                    self.prove_by_sctp(key, tuple);
                }
                return Ok(());
            }
            _ => return Err(DropReason::UnknownProtocol),
        }
        transport.traffic.received.add(now, 1, data.len());
        if transport.link.is_waiting(tuple.socket) {
            return self.handle_media_without_proof(now, key, &tuple, kind, data);
        }
        match kind {
            PacketKind::Rtp => self.handle_rtp(now, key, &tuple, data),
            PacketKind::Rtcp => self.handle_rtcp(now, key, &tuple, data),
            _ => {
                self.drain_ice(now, key);
                if self.drain_dtls(now, key) {
                    self.on_authentic(now, key, &tuple);
                }
                Ok(())
            }
        }
    }

    /// A datagram from a path that no transport has: a connectivity check, the first packet of a PlainTransport with
    /// `comedia`, or nothing of ours.
    fn handle_from_unknown(
        &mut self,
        now: Instant,
        tuple: Tuple,
        kind: PacketKind,
        data: &mut [u8],
    ) -> Result<(), DropReason> {
        if let Some(&key) = self.latching.get(&tuple.socket) {
            if self.confirm_awaited(now, key, tuple) {
                return self.handle_datagram(now, tuple, data);
            }
            return self.handle_first_packet(now, key, tuple, kind, data);
        }
        match kind {
            PacketKind::Stun => {
                let message = StunMessage::parse(data).map_err(|_| DropReason::MalformedStun)?;
                let key = self.transport_of_stun(tuple, &message).ok_or(DropReason::UnknownUfrag)?;
                self.handle_stun_message(now, key, tuple, None, &message, data.len())
            }
            PacketKind::Unknown => Err(DropReason::UnknownProtocol),
            _ => Err(DropReason::UnknownTuple),
        }
    }

    /// STUN from a path that `key` has. On a shared socket USERNAME may name another transport all the same: of a client
    /// that has one port for several, or has begun anew.
    fn handle_stun(
        &mut self,
        now: Instant,
        key: TransportKey,
        tuple: Tuple,
        data: &[u8],
    ) -> Result<(), DropReason> {
        let message = StunMessage::parse(data).map_err(|_| DropReason::MalformedStun)?;
        match self.transport_of_stun(tuple, &message) {
            Some(claimant) if claimant != key => {
                self.handle_stun_message(now, claimant, tuple, Some(key), &message, data.len())
            }
            _ => self.handle_stun_message(now, key, tuple, None, &message, data.len()),
        }
    }

    /// STUN for the transport `key`. If another one has the path, it is the `holder`.
    fn handle_stun_message(
        &mut self,
        now: Instant,
        key: TransportKey,
        tuple: Tuple,
        holder: Option<TransportKey>,
        message: &StunMessage<'_>,
        received: usize,
    ) -> Result<(), DropReason> {
        let holding = holder.and_then(|holder| self.transports.get(holder)?.link.webrtc());
        let hold = holding.map_or(Hold::Quiet, |link| link.ice.hold(now, &tuple));
        let transport = self.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
        let Some(link) = transport.link.webrtc_mut() else { return Err(DropReason::UnknownProtocol) };
        let mut reply = std::mem::take(&mut self.scratch.reply);
        reply.clear();
        let verdict = link.ice.handle_contested_stun(now, tuple, hold, message, &mut reply);
        transport.traffic.received.add(now, 1, received);
        if !reply.is_empty() {
            transport.traffic.other_sent.add(now, 1, reply.len());
            self.egress.queue_control(tuple, &reply);
        }
        self.scratch.reply = reply;
        self.drain_ice(now, key);
        // Only now that the path is the other transport's, so that a TCP stream stays open.
        if let Some(holder) = holder.filter(|_| verdict == IceVerdict::Accepted) {
            self.lose_path(now, holder, tuple);
        }
        match verdict {
            IceVerdict::Accepted | IceVerdict::Answered | IceVerdict::Indication => Ok(()),
            IceVerdict::Discarded(_) => Err(DropReason::RefusedStun),
        }
    }

    /// Another transport has taken over a path.
    fn lose_path(&mut self, now: Instant, key: TransportKey, tuple: Tuple) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let Some(link) = transport.link.webrtc_mut() else { return };
        link.ice.remove_tuple(now, &tuple);
        tracing::debug!(
            target: log::ICE,
            transport = %transport.id,
            remote = %tuple.remote,
            "path taken over by another transport of the same remote address"
        );
        self.drain_ice(now, key);
    }

    /// An authenticated packet has come by this path.
    #[inline]
    fn on_authentic(&mut self, now: Instant, key: TransportKey, tuple: &Tuple) {
        let link = self.transports.get_mut(key).and_then(|transport| transport.link.webrtc_mut());
        if link.is_some_and(|link| link.ice.handle_traffic(now, tuple)) {
            self.drain_ice(now, key);
        }
    }

    /// The transport that a connectivity check is for: the socket's owner or, on a shared socket, the one whose user name
    /// comes first in USERNAME (RFC 8445 §7.2.2).
    fn transport_of_stun(&self, tuple: Tuple, message: &StunMessage<'_>) -> Option<TransportKey> {
        match &self.sockets.get(tuple.socket)?.owner {
            SocketOwner::Transport(key) => Some(*key),
            SocketOwner::WebRtcServer(id) => {
                let (ufrag, _) = message.username()?.split_once(':')?;
                self.servers.get(id)?.ufrags.get(ufrag).copied()
            }
        }
    }

    /// Acts on what ICE has to say.
    pub(super) fn drain_ice(&mut self, now: Instant, key: TransportKey) {
        while let Some(transport) = self.transports.get_mut(key)
            && let Some(event) = transport.link.webrtc_mut().and_then(|link| link.ice.poll_event())
        {
            match event {
                IceEvent::TupleAdded(tuple) => {
                    self.tuples.insert(tuple, key);
                    self.on_path_checked(tuple);
                }
                IceEvent::TupleRemoved(tuple) => {
                    if self.tuples.get(&tuple) == Some(&key) {
                        self.tuples.remove(&tuple);
                        self.on_path_removed(tuple);
                    }
                }
                IceEvent::SelectedTupleChanged(tuple) => {
                    self.forget_backlog(now, key);
                    let tuple = self.sockets.api_tuple(tuple);
                    self.notify_transport(key, TransportEvent::IceSelectedTuple(tuple));
                }
                IceEvent::StateChanged(state) => self.on_ice_state(now, key, state),
                IceEvent::UsernameFragmentRetired(ufrag) => self.retire_ufrag(key, &ufrag),
            }
        }
        let link = self.transports.get(key).and_then(|t| t.link.webrtc());
        if let Some(at) = link.and_then(|link| link.ice.poll_timeout()) {
            self.timers.arm(Timer::Ice(key), at);
        }
    }

    fn on_ice_state(&mut self, now: Instant, key: TransportKey, state: IceState) {
        self.notify_transport(key, TransportEvent::IceState(ice_state(state)));
        let Some(transport) = self.transports.get_mut(key) else { return };
        match state {
            IceState::Connected | IceState::Completed => {
                if transport.link.webrtc_mut().is_some_and(|link| link.may_start_dtls(now)) {
                    self.on_dtls_started(now, key);
                } else if transport.is_connected() && !transport.flowing {
                    // Back after a disconnection.
                    self.on_transport_connected(now, key);
                }
            }
            IceState::Disconnected => self.on_transport_disconnected(key),
            IceState::New | IceState::Closed => {}
        }
    }

    pub(super) fn on_ice_timer(&mut self, now: Instant, key: TransportKey) {
        let Some(link) = self.transports.get_mut(key).and_then(|t| t.link.webrtc_mut()) else { return };
        link.ice.handle_timeout(now);
        self.drain_ice(now, key);
    }

    pub(super) fn on_dtls_timer(&mut self, now: Instant, key: TransportKey) {
        let link = self.transports.get_mut(key).and_then(|t| t.link.webrtc_mut());
        let Some(dtls) = link.and_then(|link| link.dtls.as_mut()) else { return };
        dtls.handle_timeout(now);
        self.drain_dtls(now, key);
    }

    /// DTLS has begun (or failed to).
    pub(super) fn on_dtls_started(&mut self, now: Instant, key: TransportKey) {
        let Some(link) = self.transports.get(key).and_then(|t| t.link.webrtc()) else { return };
        let state = link.dtls_state;
        self.notify_transport(key, TransportEvent::DtlsState { state, remote_certificate: None });
        self.drain_dtls(now, key);
    }

    /// Acts on what DTLS has to say. True if there was authenticated data.
    pub(super) fn drain_dtls(&mut self, now: Instant, key: TransportKey) -> bool {
        let mut has_data = false;
        let mut buffer = std::mem::take(&mut self.scratch.dtls);
        while let Some(transport) = self.transports.get_mut(key)
            && let Link::WebRtc(link) = &mut transport.link
            && let Some(dtls) = link.dtls.as_mut()
        {
            match dtls.poll_output(&mut buffer) {
                dtls::Output::Datagram(datagram) => {
                    if let Some(tuple) = link.ice.selected_tuple() {
                        transport.traffic.other_sent.add(now, 1, datagram.len());
                        self.egress.queue_control(tuple, datagram);
                    }
                }
                dtls::Output::Connected { srtp, remote_certificate_pem } => {
                    let state = match srtp.as_ref().map(srtp_pair) {
                        Some(Ok((sealer, mut opener))) => {
                            opener.set_max_streams(self.limits.srtp_streams_per_transport);
                            transport.sealer = Some(sealer);
                            transport.opener = Some(opener);
                            DtlsState::Connected
                        }
                        // A session for data alone.
                        None if transport.data.sctp().is_some() => DtlsState::Connected,
                        // RFC 5764 §4.1: without a common SRTP profile there is no media, and nothing else is wanted.
                        None | Some(Err(_)) => DtlsState::Failed,
                    };
                    link.dtls_state = state;
                    let has_media = transport.sealer.is_some();
                    let certificate = (state == DtlsState::Connected).then_some(remote_certificate_pem);
                    self.notify_transport(
                        key,
                        TransportEvent::DtlsState { state, remote_certificate: certificate },
                    );
                    if state == DtlsState::Connected {
                        if has_media {
                            self.on_transport_connected(now, key);
                        } else {
                            self.start_sctp(now, key);
                        }
                    }
                }
                dtls::Output::ApplicationData(packet) => {
                    has_data = true;
                    self.handle_sctp(now, key, packet);
                }
                dtls::Output::Failed(error) => {
                    tracing::warn!(target: log::DTLS, transport = %transport.id, %error, "DTLS failed");
                    self.end_dtls(key, DtlsState::Failed);
                    break;
                }
                dtls::Output::Closed => {
                    self.end_dtls(key, DtlsState::Closed);
                    break;
                }
                dtls::Output::Idle { timeout } => {
                    if let Some(at) = timeout {
                        self.timers.arm(Timer::Dtls(key), at);
                    }
                    break;
                }
            }
        }
        self.scratch.dtls = buffer;
        has_data
    }

    fn end_dtls(&mut self, key: TransportKey, state: DtlsState) {
        self.keep_counts(key);
        let Some(transport) = self.transports.get_mut(key) else { return };
        if let Some(link) = transport.link.webrtc_mut() {
            link.dtls = None;
            link.dtls_state = state;
        }
        transport.opener = None;
        transport.sealer = None;
        self.notify_transport(key, TransportEvent::DtlsState { state, remote_certificate: None });
        self.end_sctp(key);
        self.on_transport_disconnected(key);
    }

    /// Media can flow (again): consumers start with key frames, reports begin.
    pub(super) fn on_transport_connected(&mut self, now: Instant, key: TransportKey) {
        self.timers.arm(Timer::Reports(key), now + super::reports::FIRST_INTERVAL);
        let Some(transport) = self.transports.get_mut(key) else { return };
        transport.flowing = true;
        self.may_control_sending(now, key);
        let Some(transport) = self.transports.get(key) else { return };
        for consumer in transport.consumers.clone() {
            self.start_consumer(now, consumer);
        }
        let producers = self.transports.get(key).map(|t| t.producers.clone()).unwrap_or_default();
        for producer in producers {
            self.poll_producer_feedback(now, producer);
        }
        self.start_sctp(now, key);
    }

    pub(super) fn on_transport_disconnected(&mut self, key: TransportKey) {
        self.timers.disarm(Timer::Reports(key));
        self.pause_send_control(key);
        let Some(transport) = self.transports.get_mut(key) else { return };
        transport.flowing = false;
        transport.resends.clear();
        for &consumer in &transport.consumers {
            if let Some(consumer) = self.consumers.get_mut(consumer) {
                consumer.require_sync();
            }
        }
        for consumer in transport.consumers.clone() {
            self.stop_layers(consumer);
        }
    }

    pub(super) fn handle_rtp(
        &mut self,
        now: Instant,
        key: TransportKey,
        tuple: &Tuple,
        data: &mut [u8],
    ) -> Result<(), DropReason> {
        let transport = self.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
        let (header, len) = open_rtp(&mut transport.opener, data)?;
        if let Link::WebRtc(link) = &mut transport.link
            && link.ice.handle_traffic(now, tuple)
        {
            self.drain_ice(now, key);
        }
        self.take_rtp(now, key, &header, &data[..len])
    }

    /// Finds the Producer of an opened packet and hands it over.
    pub(super) fn take_rtp(
        &mut self,
        now: Instant,
        key: TransportKey,
        header: &RtpHeader,
        packet: &[u8],
    ) -> Result<(), DropReason> {
        let transport = self.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
        if transport.policer.is_some() {
            self.police(now, key, header, packet)?;
        }
        let transport = self.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
        let mut is_reported = false;
        if let Some(twcc) = &mut transport.twcc
            && let Some(seq) =
                header.read::<TransportSequenceNumber>(packet, transport.recv_ids.transport_wide_cc)
        {
            is_reported = true;
            twcc.handle_packet(now, seq.0);
            if let Some(at) = twcc.poll_timeout() {
                self.timers.arm(Timer::TransportCc(key), at);
            }
        }
        let (producer_key, found_by) = match transport.listener.find(header, packet, &transport.recv_ids) {
            Found::Known(key) => (key, FoundBy::Ssrc),
            Found::Named(key) => (key, FoundBy::Name),
            // Alone on a port: its sender has restarted. Not by a path that may be a stranger's.
            Found::Unnamed if transport.producers.len() == 1 && transport.link.is_proven_plain() => {
                (transport.producers[0], FoundBy::Elimination)
            }
            Found::Unnamed | Found::Unknown => return Err(DropReason::NoProducer),
        };
        if !is_reported && transport.receive_side.is_some() {
            self.estimate_incoming(now, key, producer_key, header, packet);
        }
        self.produce_rtp(now, producer_key, found_by, header, packet)
    }

    /// Refuses a packet of a remote side that ignores its limit. Feedback tells that it was lost.
    #[cold]
    fn police(
        &mut self,
        now: Instant,
        key: TransportKey,
        header: &RtpHeader,
        packet: &[u8],
    ) -> Result<(), DropReason> {
        let transport = self.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
        let Some(policer) = &mut transport.policer else { return Ok(()) };
        let producer = transport.listener.by_ssrc(header.ssrc).and_then(|key| self.producers.get(key));
        let kind = producer.map_or(MediaKind::Video, |producer| producer.kind);
        if policer.admits(now, kind, packet.len()) {
            return Ok(());
        }
        if let Some(bytes) = policer.take_report(now) {
            tracing::warn!(
                target: log::RTP,
                transport = %transport.id, max_incoming_bitrate = transport.bitrates.max_incoming.as_bps(), bytes,
                "a remote side sends far more than it was told to: packets are dropped"
            );
        }
        Err(DropReason::IncomingBitrate)
    }

    /// Hands a packet to its Producer.
    pub(super) fn produce_rtp(
        &mut self,
        now: Instant,
        producer_key: ProducerKey,
        found_by: FoundBy,
        header: &RtpHeader,
        packet: &[u8],
    ) -> Result<(), DropReason> {
        let producer = self.producers.get_mut(producer_key).ok_or(DropReason::NoProducer)?;
        let transport = self.transports.get_mut(producer.transport).ok_or(DropReason::UnknownTuple)?;
        let streams_before = producer.streams.len();
        let handled = producer.handle_rtp(now, found_by, header, packet, &mut transport.clocks);
        let traffic = &mut transport.traffic;
        if handled.retransmission { &mut traffic.rtx_received } else { &mut traffic.rtp_received }.add(
            now,
            1,
            packet.len(),
        );
        if found_by != FoundBy::Ssrc {
            if handled.stream.is_none() {
                return Err(DropReason::UnexpectedSsrc);
            }
            transport.listener.learn(header.ssrc, producer_key);
        }
        if let Some(before) = handled.replaced {
            transport.listener.forget(before, producer_key);
        }

        let begun = producer.streams.len() > streams_before
            || (handled.replaced.is_some() && !handled.retransmission);
        if begun && !producer.paused && producer.kind == MediaKind::Video {
            // What came before the first packet we saw may be the key frame that decoders need.
            if !handled.taken.is_key_frame() && !producer.consumers.is_empty() {
                producer.key_frame_requests.force(now, header.ssrc);
            }
        }
        let feedback_due = producer.has_feedback(handled.stream);
        let Taken::Stored { key_frame, layers_changed, .. } = handled.taken else {
            if feedback_due {
                self.poll_producer_feedback(now, producer_key);
            }
            if begun {
                self.on_score_changed(now, producer_key);
            }
            return Err(DropReason::Discarded);
        };
        let layers_changed = layers_changed && producer.has_layers();
        let trace = producer.trace;
        let observed = !producer.observers.is_empty() && !producer.paused;
        if !std::mem::replace(&mut producer.queued, true) {
            self.dirty_producers.push(producer_key);
        }
        if handled.undeclared {
            if feedback_due {
                self.poll_producer_feedback(now, producer_key);
            }
            return Err(DropReason::UndeclaredPayloadType);
        }
        if feedback_due {
            self.poll_producer_feedback(now, producer_key);
        }
        if layers_changed {
            self.watch_layers(now, producer_key);
        }
        if begun {
            self.on_score_changed(now, producer_key);
        } else if layers_changed {
            self.on_activity_changed(now, producer_key);
        }
        if observed {
            self.observe_packet(now, producer_key, header, packet);
        }
        if let Some(orientation) = handled.orientation {
            self.notify_producer(producer_key, ProducerEvent::VideoOrientation(orientation));
        }
        if trace.rtp || (trace.key_frame && key_frame) {
            self.trace_rtp(now, producer_key, header, packet, &handled);
        }
        Ok(())
    }

    fn trace_rtp(
        &mut self,
        now: Instant,
        key: ProducerKey,
        header: &RtpHeader,
        packet: &[u8],
        handled: &Handled,
    ) {
        let Some(producer) = self.producers.get(key) else { return };
        let info = producer.packet_trace(header, packet, handled);
        let key_frame = info.is_key_frame;
        let trace = producer.trace;
        let timestamp_ms = self.clock.unix_ms(now);
        let event = |data| MediaTraceEvent { timestamp_ms, direction: TraceEventDirection::In, data };
        if trace.key_frame && key_frame {
            self.notify_producer(key, ProducerEvent::Trace(event(MediaTraceData::KeyFrame(info.clone()))));
        }
        if trace.rtp {
            self.notify_producer(key, ProducerEvent::Trace(event(MediaTraceData::Rtp(info))));
        }
    }

    pub(super) fn handle_rtcp(
        &mut self,
        now: Instant,
        key: TransportKey,
        tuple: &Tuple,
        data: &mut [u8],
    ) -> Result<(), DropReason> {
        let transport = self.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
        let len = open_rtcp(&mut transport.opener, data)?;
        self.on_authentic(now, key, tuple);
        self.take_rtcp(now, key, &data[..len])
    }

    /// Acts on an opened compound packet.
    pub(super) fn take_rtcp(
        &mut self,
        now: Instant,
        key: TransportKey,
        compound: &[u8],
    ) -> Result<(), DropReason> {
        let mut result = Ok(());
        let mut nameable = self.limits.nacked_packets_per_datagram;
        for packet in RtcpCompound::new(compound) {
            match packet {
                Ok(RtcpPacket::Nack(nack)) => {
                    nameable -= self.on_nack(now, key, nack.media_ssrc, nack.lost(), nameable);
                }
                Ok(packet) => self.handle_rtcp_packet(now, key, &packet),
                // What comes behind it counts, as far as its length tells where that is.
                Err(_) => result = Err(DropReason::MalformedRtcp),
            }
        }
        result
    }

    fn handle_rtcp_packet(&mut self, now: Instant, key: TransportKey, packet: &RtcpPacket<'_>) {
        match packet {
            RtcpPacket::SenderReport(report) => {
                self.on_sender_report(now, key, report);
                for block in report.reports {
                    self.on_report_block(now, key, &block);
                }
            }
            RtcpPacket::ReceiverReport(report) => {
                for block in report.reports {
                    self.on_report_block(now, key, &block);
                }
            }
            RtcpPacket::Pli(pli) => self.on_key_frame_request(now, key, pli.media_ssrc, false),
            RtcpPacket::Fir(fir) => {
                for entry in fir.entries {
                    self.on_key_frame_request(now, key, entry.ssrc, true);
                }
            }
            RtcpPacket::TransportCc(feedback) => self.on_transport_cc(now, key, feedback),
            RtcpPacket::Remb(remb) => self.on_remb(now, key, remb.bitrate),
            RtcpPacket::Xr(report) => self.on_extended_report(now, key, report),
            RtcpPacket::Bye(bye) => bye.ssrcs.iter().for_each(|ssrc| self.on_bye(key, ssrc)),
            RtcpPacket::Nack(_) | RtcpPacket::Sdes(_) | RtcpPacket::Unknown { .. } => {}
        }
    }

    fn on_bye(&mut self, key: TransportKey, ssrc: Ssrc) {
        let producer = self.transports.get(key).and_then(|transport| transport.listener.by_ssrc(ssrc));
        if let Some(producer) = producer.and_then(|producer| self.producers.get_mut(producer)) {
            producer.on_bye(ssrc);
        }
    }

    /// Looks at `nameable` of the packets at most, and gives how many it has looked at.
    fn on_nack(
        &mut self,
        now: Instant,
        key: TransportKey,
        ssrc: Ssrc,
        lost: impl Iterator<Item = u16>,
        nameable: usize,
    ) -> usize {
        let Some(consumer_key) = self.consumer_by_ssrc(key, ssrc) else { return 0 };
        let Some(consumer) = self.consumers.get_mut(consumer_key) else { return 0 };
        let Some(producer) = self.producers.get(consumer.producer) else { return 0 };
        let Some(transport) = self.transports.get_mut(key) else { return 0 };
        let traffic = &transport.traffic;
        let sent = traffic.rtp_sent.packets() + traffic.rtx_sent.packets();
        let floor = self.limits.nacked_packets_per_second;
        let nameable = transport.feedback_budget.available(now, sent, floor).min(nameable);
        let mut lost = lost.peekable();
        let mut resends = std::mem::take(&mut self.scratch.resends);
        resends.clear();
        let named =
            consumer.on_nack(now, ssrc, lost.by_ref().take(nameable), &producer.streams, &mut resends);
        if named == nameable && lost.peek().is_some() {
            self.drops.count(DropReason::ExcessFeedback);
        }
        if let Some(transport) = self.transports.get_mut(key) {
            transport.feedback_budget.spend(named);
            let room = self.limits.resends_by(&transport.link).saturating_sub(transport.resends.len());
            self.drops.add(DropReason::RetransmissionsFull, resends.len().saturating_sub(room) as u64);
            transport
                .resends
                .extend(resends.iter().take(room).map(|&resend: &Resend| (consumer_key, resend)));
            if !transport.resends.is_empty() {
                self.egress.queue_transport(key, transport);
            }
        }
        let trace = consumer.trace.nack;
        self.scratch.resends = resends;
        if trace && named > 0 {
            self.trace_consumer(now, consumer_key, MediaTraceData::Nack);
        }
        named
    }

    fn on_key_frame_request(&mut self, now: Instant, key: TransportKey, ssrc: Ssrc, is_fir: bool) {
        let Some(consumer_key) = self.consumer_by_ssrc(key, ssrc) else { return };
        let Some(consumer) = self.consumers.get_mut(consumer_key) else { return };
        if let Some(outlet) = consumer.outlet_of(ssrc) {
            *if is_fir { &mut outlet.stream.firs } else { &mut outlet.stream.plis } += 1;
        }
        let traced = if is_fir { consumer.trace.fir } else { consumer.trace.pli };
        self.request_key_frame(now, consumer_key);
        if traced {
            let data = if is_fir { MediaTraceData::Fir(ssrc.0) } else { MediaTraceData::Pli(ssrc.0) };
            self.trace_consumer(now, consumer_key, data);
        }
    }

    fn trace_consumer(&mut self, now: Instant, key: ConsumerKey, data: MediaTraceData) {
        let timestamp_ms = self.clock.unix_ms(now);
        let event = MediaTraceEvent { timestamp_ms, direction: TraceEventDirection::In, data };
        self.notify_consumer(key, crate::api::ConsumerEvent::Trace(event));
    }

    /// The Consumer that sends `ssrc` on a transport.
    pub(super) fn consumer_by_ssrc(&self, key: TransportKey, ssrc: Ssrc) -> Option<ConsumerKey> {
        self.transports.get(key)?.ssrc_consumers.get(&ssrc).copied()
    }
}

fn srtp_pair(keys: &SrtpKeys) -> Result<(Sealer, Opener), SrtpError> {
    let sealer = SrtpSealer::new(keys.suite, &keys.local.key, &keys.local.salt)?;
    let opener = Opener::srtp(keys.suite, &keys.remote.key, &keys.remote.salt)?;
    Ok((Sealer::Srtp(sealer), opener))
}

/// Opens an RTP packet in place: its header, and its length without what protection added.
pub(super) fn open_rtp(
    opener: &mut Option<Opener>,
    data: &mut [u8],
) -> Result<(RtpHeader, usize), DropReason> {
    let header = RtpHeader::parse(data).map_err(|_| DropReason::MalformedRtp)?;
    let opener = opener.as_mut().ok_or(DropReason::NoKeys)?;
    let len =
        opener.open_rtp(data, header.ssrc, header.sequence_number, header.len()).map_err(drop_reason)?;
    Ok((header, len))
}

/// Opens a compound RTCP packet in place: its length without what protection added.
pub(super) fn open_rtcp(opener: &mut Option<Opener>, data: &mut [u8]) -> Result<usize, DropReason> {
    opener.as_mut().ok_or(DropReason::NoKeys)?.open_rtcp(data).map_err(drop_reason)
}

fn drop_reason(error: SrtpError) -> DropReason {
    match error {
        SrtpError::Replayed | SrtpError::TooOld => DropReason::Replayed,
        _ => DropReason::Unauthentic,
    }
}
