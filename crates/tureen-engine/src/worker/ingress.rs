//! What comes in from the network: demultiplexing, ICE, DTLS, SRTP, and handing packets to producers.

use std::time::Instant;

use super::arena::Media;
use super::drops::DropReason;
use super::egress::Forward;
use super::out::Out;
use super::paths::Paths;
use super::sockets::SocketOwner;
use super::timer::Timer;
use super::{congestion, data, drops, latching, layers, observers, reports, starting, streams, transports};
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
use tureen_rtc::log;
use tureen_rtc::srtp::{SrtpError, SrtpSealer};
use tureen_rtc::tuple::Tuple;
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::rtcp::{RtcpCompound, RtcpPacket};
use tureen_rtc::wire::rtp::RtpHeader;
use tureen_rtc::wire::rtp::extensions::TransportSequenceNumber;
use tureen_rtc::wire::stun::StunMessage;
use tureen_types::data_structures::{DtlsState, TraceEventDirection};
use tureen_types::rtp_parameters::MediaKind;

/// Takes a batch of datagrams, decrypting them in place.
pub(super) fn handle_datagrams<'a>(
    media: &mut Media,
    paths: &mut Paths,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
    batch: impl Iterator<Item = Datagram<'a>>,
) {
    for datagram in batch {
        if let Err(reason) = handle_datagram(media, paths, forward, out, now, datagram.tuple, datagram.data) {
            out.drops.count(reason);
        }
    }
}

fn handle_datagram(
    media: &mut Media,
    paths: &mut Paths,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
    tuple: Tuple,
    data: &mut [u8],
) -> Result<(), DropReason> {
    let kind = classify(data);
    let Some(&key) = paths.tuples.get(&tuple) else {
        return handle_from_unknown(media, paths, forward, out, now, tuple, kind, data);
    };
    let transport = media.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
    match (kind, &mut transport.link) {
        (PacketKind::Stun, Link::WebRtc(_)) => return handle_stun(media, paths, out, now, key, tuple, data),
        (PacketKind::Dtls, Link::WebRtc(link)) => link.handle_dtls(now, tuple, data),
        (PacketKind::Rtp | PacketKind::Rtcp, Link::Plain(link)) if !link.takes(kind, tuple) => {
            return Err(DropReason::UnknownTuple);
        }
        (PacketKind::Rtp | PacketKind::Rtcp, _) => {}
        (_, Link::Plain(_) | Link::Pipe(_)) if transport.data.is_for_sctp(data) => {
            transport.traffic.received.add(now, 1, data.len());
            let is_waiting = transport.link.is_waiting(tuple.socket);
            data::handle_sctp(media, out, now, key, data);
            if is_waiting {
                latching::prove_by_sctp(media, paths, key, tuple);
            }
            return Ok(());
        }
        _ => return Err(DropReason::UnknownProtocol),
    }
    transport.traffic.received.add(now, 1, data.len());
    if transport.link.is_waiting(tuple.socket) {
        return latching::handle_media_without_proof(
            media, paths, forward, out, now, key, &tuple, kind, data,
        );
    }
    match kind {
        PacketKind::Rtp => handle_rtp(media, paths, forward, out, now, key, &tuple, data),
        PacketKind::Rtcp => handle_rtcp(media, paths, out, now, key, &tuple, data),
        _ => {
            drain_ice(media, paths, out, now, key);
            if drain_dtls(media, out, now, key) {
                on_authentic(media, paths, out, now, key, &tuple);
            }
            Ok(())
        }
    }
}

/// A datagram from a path that no transport has: a connectivity check, the first packet of a PlainTransport with
/// `comedia`, or nothing of ours.
fn handle_from_unknown(
    media: &mut Media,
    paths: &mut Paths,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
    tuple: Tuple,
    kind: PacketKind,
    data: &mut [u8],
) -> Result<(), DropReason> {
    if let Some(&key) = paths.latching.get(&tuple.socket) {
        if transports::confirm_awaited(media, paths, out, now, key, tuple) {
            return handle_datagram(media, paths, forward, out, now, tuple, data);
        }
        return latching::handle_first_packet(media, paths, forward, out, now, key, tuple, kind, data);
    }
    match kind {
        PacketKind::Stun => {
            let message = StunMessage::parse(data).map_err(|_| DropReason::MalformedStun)?;
            let key = transport_of_stun(paths, tuple, &message).ok_or(DropReason::UnknownUfrag)?;
            handle_stun_message(media, paths, out, now, key, tuple, None, &message, data.len())
        }
        PacketKind::Unknown => Err(DropReason::UnknownProtocol),
        _ => Err(DropReason::UnknownTuple),
    }
}

/// STUN from a path that `key` has. On a shared socket USERNAME may name another transport all the same: of a client
/// that has one port for several, or has begun anew.
fn handle_stun(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: Tuple,
    data: &[u8],
) -> Result<(), DropReason> {
    let message = StunMessage::parse(data).map_err(|_| DropReason::MalformedStun)?;
    match transport_of_stun(paths, tuple, &message) {
        Some(claimant) if claimant != key => {
            handle_stun_message(media, paths, out, now, claimant, tuple, Some(key), &message, data.len())
        }
        _ => handle_stun_message(media, paths, out, now, key, tuple, None, &message, data.len()),
    }
}

/// STUN for the transport `key`. If another one has the path, it is the `holder`.
fn handle_stun_message(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: Tuple,
    holder: Option<TransportKey>,
    message: &StunMessage<'_>,
    received: usize,
) -> Result<(), DropReason> {
    let holding = holder.and_then(|holder| media.transports.get(holder)?.link.webrtc());
    let hold = holding.map_or(Hold::Quiet, |link| link.ice.hold(now, &tuple));
    let transport = media.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
    let Some(link) = transport.link.webrtc_mut() else { return Err(DropReason::UnknownProtocol) };
    let mut reply = std::mem::take(&mut out.scratch.reply);
    reply.clear();
    let verdict = link.ice.handle_contested_stun(now, tuple, hold, message, &mut reply);
    transport.traffic.received.add(now, 1, received);
    if !reply.is_empty() {
        transport.traffic.other_sent.add(now, 1, reply.len());
        out.control.queue(tuple, &reply);
    }
    out.scratch.reply = reply;
    drain_ice(media, paths, out, now, key);
    // Only now that the path is the other transport's, so that a TCP stream stays open.
    if let Some(holder) = holder.filter(|_| verdict == IceVerdict::Accepted) {
        lose_path(media, paths, out, now, holder, tuple);
    }
    match verdict {
        IceVerdict::Accepted | IceVerdict::Answered | IceVerdict::Indication => Ok(()),
        IceVerdict::Discarded(_) => Err(DropReason::RefusedStun),
    }
}

/// Another transport has taken over a path.
fn lose_path(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: Tuple,
) {
    let Some(transport) = media.transports.get_mut(key) else { return };
    let Some(link) = transport.link.webrtc_mut() else { return };
    link.ice.remove_tuple(now, &tuple);
    tracing::debug!(
        target: log::ICE,
        transport = %transport.id,
        remote = %tuple.remote,
        "path taken over by another transport of the same remote address"
    );
    drain_ice(media, paths, out, now, key);
}

/// An authenticated packet has come by this path.
#[inline]
fn on_authentic(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: &Tuple,
) {
    let link = media.transports.get_mut(key).and_then(|transport| transport.link.webrtc_mut());
    if link.is_some_and(|link| link.ice.handle_traffic(now, tuple)) {
        drain_ice(media, paths, out, now, key);
    }
}

/// The transport that a connectivity check is for: the socket's owner or, on a shared socket, the one whose user name
/// comes first in USERNAME (RFC 8445 §7.2.2).
fn transport_of_stun(paths: &Paths, tuple: Tuple, message: &StunMessage<'_>) -> Option<TransportKey> {
    match &paths.sockets.get(tuple.socket)?.owner {
        SocketOwner::Transport(key) => Some(*key),
        SocketOwner::WebRtcServer(id) => {
            let (ufrag, _) = message.username()?.split_once(':')?;
            paths.servers.get(id)?.ufrags.get(ufrag).copied()
        }
    }
}

/// Acts on what ICE has to say.
pub(super) fn drain_ice(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
) {
    while let Some(transport) = media.transports.get_mut(key)
        && let Some(event) = transport.link.webrtc_mut().and_then(|link| link.ice.poll_event())
    {
        match event {
            IceEvent::TupleAdded(tuple) => {
                paths.tuples.insert(tuple, key);
                streams::on_path_checked(paths, out, tuple);
            }
            IceEvent::TupleRemoved(tuple) => {
                if paths.tuples.get(&tuple) == Some(&key) {
                    paths.tuples.remove(&tuple);
                    streams::on_path_removed(paths, out, tuple);
                }
            }
            IceEvent::SelectedTupleChanged(tuple) => {
                streams::forget_backlog(media, out, now, key);
                let tuple = paths.sockets.api_tuple(tuple);
                out.notify_transport(media, key, TransportEvent::IceSelectedTuple(tuple));
            }
            IceEvent::StateChanged(state) => on_ice_state(media, out, now, key, state),
            IceEvent::UsernameFragmentRetired(ufrag) => transports::retire_ufrag(media, paths, key, &ufrag),
        }
    }
    let link = media.transports.get(key).and_then(|t| t.link.webrtc());
    if let Some(at) = link.and_then(|link| link.ice.poll_timeout()) {
        out.timers.arm(Timer::Ice(key), at);
    }
}

fn on_ice_state(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey, state: IceState) {
    out.notify_transport(media, key, TransportEvent::IceState(ice_state(state)));
    let Some(transport) = media.transports.get_mut(key) else { return };
    match state {
        IceState::Connected | IceState::Completed => {
            if transport.link.webrtc_mut().is_some_and(|link| link.may_start_dtls(now)) {
                on_dtls_started(media, out, now, key);
            } else if transport.is_connected() && !transport.flowing {
                // Back after a disconnection.
                on_transport_connected(media, out, now, key);
            }
        }
        IceState::Disconnected => on_transport_disconnected(media, out, key),
        IceState::New | IceState::Closed => {}
    }
}

pub(super) fn on_ice_timer(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
) {
    let Some(link) = media.transports.get_mut(key).and_then(|t| t.link.webrtc_mut()) else { return };
    link.ice.handle_timeout(now);
    drain_ice(media, paths, out, now, key);
}

pub(super) fn on_dtls_timer(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let link = media.transports.get_mut(key).and_then(|t| t.link.webrtc_mut());
    let Some(dtls) = link.and_then(|link| link.dtls.as_mut()) else { return };
    dtls.handle_timeout(now);
    drain_dtls(media, out, now, key);
}

/// DTLS has begun (or failed to).
pub(super) fn on_dtls_started(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let Some(link) = media.transports.get(key).and_then(|t| t.link.webrtc()) else { return };
    let state = link.dtls_state;
    out.notify_transport(media, key, TransportEvent::DtlsState { state, remote_certificate: None });
    drain_dtls(media, out, now, key);
}

/// Acts on what DTLS has to say. True if there was authenticated data.
pub(super) fn drain_dtls(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) -> bool {
    let mut has_data = false;
    let mut buffer = std::mem::take(&mut out.scratch.dtls);
    while let Some(transport) = media.transports.get_mut(key)
        && let Link::WebRtc(link) = &mut transport.link
        && let Some(dtls) = link.dtls.as_mut()
    {
        match dtls.poll_output(&mut buffer) {
            dtls::Output::Datagram(datagram) => {
                if let Some(tuple) = link.ice.selected_tuple() {
                    transport.traffic.other_sent.add(now, 1, datagram.len());
                    out.control.queue(tuple, datagram);
                }
            }
            dtls::Output::Connected { srtp, remote_certificate_pem } => {
                let state = match srtp.as_ref().map(srtp_pair) {
                    Some(Ok((sealer, mut opener))) => {
                        opener.set_max_streams(out.limits.srtp_streams_per_transport);
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
                out.notify_transport(
                    media,
                    key,
                    TransportEvent::DtlsState { state, remote_certificate: certificate },
                );
                if state == DtlsState::Connected {
                    if has_media {
                        on_transport_connected(media, out, now, key);
                    } else {
                        data::start_sctp(media, out, now, key);
                    }
                }
            }
            dtls::Output::ApplicationData(packet) => {
                has_data = true;
                data::handle_sctp(media, out, now, key, packet);
            }
            dtls::Output::Failed(error) => {
                tracing::warn!(target: log::DTLS, transport = %transport.id, %error, "DTLS failed");
                end_dtls(media, out, key, DtlsState::Failed);
                break;
            }
            dtls::Output::Closed => {
                end_dtls(media, out, key, DtlsState::Closed);
                break;
            }
            dtls::Output::Idle { timeout } => {
                if let Some(at) = timeout {
                    out.timers.arm(Timer::Dtls(key), at);
                }
                break;
            }
        }
    }
    out.scratch.dtls = buffer;
    has_data
}

fn end_dtls(media: &mut Media, out: &mut Out, key: TransportKey, state: DtlsState) {
    drops::keep_counts(media, out, key);
    let Some(transport) = media.transports.get_mut(key) else { return };
    if let Some(link) = transport.link.webrtc_mut() {
        link.dtls = None;
        link.dtls_state = state;
    }
    transport.opener = None;
    transport.sealer = None;
    out.notify_transport(media, key, TransportEvent::DtlsState { state, remote_certificate: None });
    data::end_sctp(media, out, key);
    on_transport_disconnected(media, out, key);
}

/// Media can flow (again): consumers start with key frames, reports begin.
pub(super) fn on_transport_connected(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    out.timers.arm(Timer::Reports(key), now + super::reports::FIRST_INTERVAL);
    let Some(transport) = media.transports.get_mut(key) else { return };
    transport.flowing = true;
    congestion::may_control_sending(media, out, now, key);
    let Some(transport) = media.transports.get(key) else { return };
    for consumer in transport.consumers.clone() {
        starting::start_consumer(media, out, now, consumer);
    }
    let producers = media.transports.get(key).map(|t| t.producers.clone()).unwrap_or_default();
    for producer in producers {
        reports::poll_producer_feedback(media, out, now, producer);
    }
    data::start_sctp(media, out, now, key);
}

pub(super) fn on_transport_disconnected(media: &mut Media, out: &mut Out, key: TransportKey) {
    out.timers.disarm(Timer::Reports(key));
    congestion::pause_send_control(media, out, key);
    let Some(transport) = media.transports.get_mut(key) else { return };
    transport.flowing = false;
    transport.resends.clear();
    for &consumer in &transport.consumers {
        if let Some(consumer) = media.consumers.get_mut(consumer) {
            consumer.require_sync();
        }
    }
    for consumer in transport.consumers.clone() {
        layers::stop_layers(media, out, consumer);
    }
}

pub(super) fn handle_rtp(
    media: &mut Media,
    paths: &mut Paths,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: &Tuple,
    data: &mut [u8],
) -> Result<(), DropReason> {
    let transport = media.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
    let (header, len) = open_rtp(&mut transport.opener, data)?;
    if let Link::WebRtc(link) = &mut transport.link
        && link.ice.handle_traffic(now, tuple)
    {
        drain_ice(media, paths, out, now, key);
    }
    take_rtp(media, forward, out, now, key, &header, &data[..len])
}

/// Finds the Producer of an opened packet and hands it over.
pub(super) fn take_rtp(
    media: &mut Media,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    header: &RtpHeader,
    packet: &[u8],
) -> Result<(), DropReason> {
    let transport = media.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
    if transport.policer.is_some() {
        police(media, now, key, header, packet)?;
    }
    let transport = media.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
    let mut is_reported = false;
    if let Some(twcc) = &mut transport.twcc
        && let Some(seq) =
            header.read::<TransportSequenceNumber>(packet, transport.recv_ids.transport_wide_cc)
    {
        is_reported = true;
        twcc.handle_packet(now, seq.0);
        if let Some(at) = twcc.poll_timeout() {
            out.timers.arm(Timer::TransportCc(key), at);
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
        congestion::estimate_incoming(media, out, now, key, producer_key, header, packet);
    }
    produce_rtp(media, forward, out, now, producer_key, found_by, header, packet)
}

/// Refuses a packet of a remote side that ignores its limit. Feedback tells that it was lost.
#[cold]
fn police(
    media: &mut Media,
    now: Instant,
    key: TransportKey,
    header: &RtpHeader,
    packet: &[u8],
) -> Result<(), DropReason> {
    let transport = media.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
    let Some(policer) = &mut transport.policer else { return Ok(()) };
    let producer = transport.listener.by_ssrc(header.ssrc).and_then(|key| media.producers.get(key));
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
    media: &mut Media,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
    producer_key: ProducerKey,
    found_by: FoundBy,
    header: &RtpHeader,
    packet: &[u8],
) -> Result<(), DropReason> {
    let producer = media.producers.get_mut(producer_key).ok_or(DropReason::NoProducer)?;
    let transport = media.transports.get_mut(producer.transport).ok_or(DropReason::UnknownTuple)?;
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

    let begun =
        producer.streams.len() > streams_before || (handled.replaced.is_some() && !handled.retransmission);
    if begun && !producer.paused && producer.kind == MediaKind::Video {
        // What came before the first packet we saw may be the key frame that decoders need.
        if !handled.taken.is_key_frame() && !producer.consumers.is_empty() {
            producer.key_frame_requests.force(now, header.ssrc);
        }
    }
    let feedback_due = producer.has_feedback(handled.stream);
    let Taken::Stored { key_frame, layers_changed, .. } = handled.taken else {
        if feedback_due {
            reports::poll_producer_feedback(media, out, now, producer_key);
        }
        if begun {
            reports::on_score_changed(media, out, now, producer_key);
        }
        return Err(DropReason::Discarded);
    };
    let layers_changed = layers_changed && producer.has_layers();
    let trace = producer.trace;
    let observed = !producer.observers.is_empty() && !producer.paused;
    if !std::mem::replace(&mut producer.queued, true) {
        forward.dirty_producers.push(producer_key);
    }
    if handled.undeclared {
        if feedback_due {
            reports::poll_producer_feedback(media, out, now, producer_key);
        }
        return Err(DropReason::UndeclaredPayloadType);
    }
    if feedback_due {
        reports::poll_producer_feedback(media, out, now, producer_key);
    }
    if layers_changed {
        layers::watch_layers(out, now, producer_key);
    }
    if begun {
        reports::on_score_changed(media, out, now, producer_key);
    } else if layers_changed {
        layers::on_activity_changed(media, out, now, producer_key);
    }
    if observed {
        observers::observe_packet(media, now, producer_key, header, packet);
    }
    if let Some(orientation) = handled.orientation {
        out.notify_producer(media, producer_key, ProducerEvent::VideoOrientation(orientation));
    }
    if trace.rtp || (trace.key_frame && key_frame) {
        trace_rtp(media, out, now, producer_key, header, packet, &handled);
    }
    Ok(())
}

fn trace_rtp(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: ProducerKey,
    header: &RtpHeader,
    packet: &[u8],
    handled: &Handled,
) {
    let Some(producer) = media.producers.get(key) else { return };
    let info = producer.packet_trace(header, packet, handled);
    let key_frame = info.is_key_frame;
    let trace = producer.trace;
    let timestamp_ms = out.clock.unix_ms(now);
    let event = |data| MediaTraceEvent { timestamp_ms, direction: TraceEventDirection::In, data };
    if trace.key_frame && key_frame {
        out.notify_producer(media, key, ProducerEvent::Trace(event(MediaTraceData::KeyFrame(info.clone()))));
    }
    if trace.rtp {
        out.notify_producer(media, key, ProducerEvent::Trace(event(MediaTraceData::Rtp(info))));
    }
}

pub(super) fn handle_rtcp(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: &Tuple,
    data: &mut [u8],
) -> Result<(), DropReason> {
    let transport = media.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
    let len = open_rtcp(&mut transport.opener, data)?;
    on_authentic(media, paths, out, now, key, tuple);
    take_rtcp(media, paths, out, now, key, &data[..len])
}

/// Acts on an opened compound packet.
pub(super) fn take_rtcp(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    compound: &[u8],
) -> Result<(), DropReason> {
    let mut result = Ok(());
    let mut nameable = out.limits.nacked_packets_per_datagram;
    for packet in RtcpCompound::new(compound) {
        match packet {
            Ok(RtcpPacket::Nack(nack)) => {
                nameable -= on_nack(media, out, now, key, nack.media_ssrc, nack.lost(), nameable);
            }
            Ok(packet) => handle_rtcp_packet(media, paths, out, now, key, &packet),
            // What comes behind it counts, as far as its length tells where that is.
            Err(_) => result = Err(DropReason::MalformedRtcp),
        }
    }
    result
}

fn handle_rtcp_packet(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    packet: &RtcpPacket<'_>,
) {
    match packet {
        RtcpPacket::SenderReport(report) => {
            reports::on_sender_report(media, out, now, key, report);
            for block in report.reports {
                reports::on_report_block(media, out, now, key, &block);
            }
        }
        RtcpPacket::ReceiverReport(report) => {
            for block in report.reports {
                reports::on_report_block(media, out, now, key, &block);
            }
        }
        RtcpPacket::Pli(pli) => on_key_frame_request(media, out, now, key, pli.media_ssrc, false),
        RtcpPacket::Fir(fir) => {
            for entry in fir.entries {
                on_key_frame_request(media, out, now, key, entry.ssrc, true);
            }
        }
        RtcpPacket::TransportCc(feedback) => {
            congestion::on_transport_cc(media, paths, out, now, key, feedback)
        }
        RtcpPacket::Remb(remb) => congestion::on_remb(media, out, now, key, remb.bitrate),
        RtcpPacket::Xr(report) => reports::on_extended_report(media, out, now, key, report),
        RtcpPacket::Bye(bye) => bye.ssrcs.iter().for_each(|ssrc| on_bye(media, key, ssrc)),
        RtcpPacket::Nack(_) | RtcpPacket::Sdes(_) | RtcpPacket::Unknown { .. } => {}
    }
}

fn on_bye(media: &mut Media, key: TransportKey, ssrc: Ssrc) {
    let producer = media.transports.get(key).and_then(|transport| transport.listener.by_ssrc(ssrc));
    if let Some(producer) = producer.and_then(|producer| media.producers.get_mut(producer)) {
        producer.on_bye(ssrc);
    }
}

/// Looks at `nameable` of the packets at most, and gives how many it has looked at.
fn on_nack(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    ssrc: Ssrc,
    lost: impl Iterator<Item = u16>,
    nameable: usize,
) -> usize {
    let Some(consumer_key) = consumer_by_ssrc(media, key, ssrc) else { return 0 };
    let Some(consumer) = media.consumers.get_mut(consumer_key) else { return 0 };
    let Some(producer) = media.producers.get(consumer.producer) else { return 0 };
    let Some(transport) = media.transports.get_mut(key) else { return 0 };
    let traffic = &transport.traffic;
    let sent = traffic.rtp_sent.packets() + traffic.rtx_sent.packets();
    let floor = out.limits.nacked_packets_per_second;
    let nameable = transport.feedback_budget.available(now, sent, floor).min(nameable);
    let mut lost = lost.peekable();
    let mut resends = std::mem::take(&mut out.scratch.resends);
    resends.clear();
    let named = consumer.on_nack(now, ssrc, lost.by_ref().take(nameable), &producer.streams, &mut resends);
    if named == nameable && lost.peek().is_some() {
        out.drops.count(DropReason::ExcessFeedback);
    }
    if let Some(transport) = media.transports.get_mut(key) {
        transport.feedback_budget.spend(named);
        let room = out.limits.resends_by(&transport.link).saturating_sub(transport.resends.len());
        out.drops.add(DropReason::RetransmissionsFull, resends.len().saturating_sub(room) as u64);
        transport.resends.extend(resends.iter().take(room).map(|&resend: &Resend| (consumer_key, resend)));
        if !transport.resends.is_empty() {
            out.line.queue(key, transport);
        }
    }
    let trace = consumer.trace.nack;
    out.scratch.resends = resends;
    if trace && named > 0 {
        trace_consumer(media, out, now, consumer_key, MediaTraceData::Nack);
    }
    named
}

fn on_key_frame_request(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    ssrc: Ssrc,
    is_fir: bool,
) {
    let Some(consumer_key) = consumer_by_ssrc(media, key, ssrc) else { return };
    let Some(consumer) = media.consumers.get_mut(consumer_key) else { return };
    if let Some(outlet) = consumer.outlet_of(ssrc) {
        *if is_fir { &mut outlet.stream.firs } else { &mut outlet.stream.plis } += 1;
    }
    let traced = if is_fir { consumer.trace.fir } else { consumer.trace.pli };
    starting::request_key_frame(media, out, now, consumer_key);
    if traced {
        let data = if is_fir { MediaTraceData::Fir(ssrc.0) } else { MediaTraceData::Pli(ssrc.0) };
        trace_consumer(media, out, now, consumer_key, data);
    }
}

fn trace_consumer(media: &mut Media, out: &mut Out, now: Instant, key: ConsumerKey, data: MediaTraceData) {
    let timestamp_ms = out.clock.unix_ms(now);
    let event = MediaTraceEvent { timestamp_ms, direction: TraceEventDirection::In, data };
    out.notify_consumer(media, key, crate::api::ConsumerEvent::Trace(event));
}

/// The Consumer that sends `ssrc` on a transport.
pub(super) fn consumer_by_ssrc(media: &Media, key: TransportKey, ssrc: Ssrc) -> Option<ConsumerKey> {
    media.transports.get(key)?.ssrc_consumers.get(&ssrc).copied()
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
