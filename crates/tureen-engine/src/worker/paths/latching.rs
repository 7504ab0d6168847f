//! Latching of a PlainTransport with `comedia` onto the source of received packets, provisional until a packet proves
//! to be from the remote endpoint.

use std::time::Instant;

use crate::api::TransportEvent;
use crate::keys::TransportKey;
use crate::transport::link::Link;
use crate::transport::plain::Evidence;
use crate::worker::arena::Media;
use crate::worker::data::association;
use crate::worker::drops::DropReason;
use crate::worker::forward::Forward;
use crate::worker::out::Out;
use crate::worker::paths::Paths;
use crate::worker::rtcp::incoming;
use crate::worker::{connection, rtp};
use tureen_rtc::demux::PacketKind;
use tureen_rtc::sctp;
use tureen_rtc::tuple::Tuple;
use tureen_rtc::wire::rtcp::RtcpCompound;
use tureen_rtc::wire::rtp::RtpHeader;
use tureen_types::data_structures::SctpState;

/// Handles a packet from an unknown tuple to a PlainTransport with `comedia` whose remote endpoint is not proven yet.
/// The tuple of the first valid packet is used until a packet proves the remote endpoint: by SRTP, by a Producer or
/// Consumer that the packet belongs to, or by an SCTP association. The tuple never changes after the proof.
pub(crate) fn handle_first_packet(
    media: &mut Media,
    paths: &mut Paths,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: Tuple,
    kind: PacketKind,
    data: &mut [u8],
) -> Result<(), DropReason> {
    let received = data.len();
    let transport = media.transports.live_mut(key).ok_or(DropReason::UnknownTuple)?;
    let Link::Plain(link) = &mut transport.link else { return Err(DropReason::UnknownTuple) };
    let has_srtp = link.has_srtp();
    match kind {
        PacketKind::Rtp | PacketKind::Rtcp if !link.may_latch(kind, tuple.socket) => {
            Err(DropReason::UnknownTuple)
        }
        PacketKind::Rtp => {
            let (header, len) = rtp::open_rtp(&mut transport.opener, data)?;
            let packet = &data[..len];
            let is_proof = has_srtp || transport.has_producer_of(&header, packet);
            latch(media, paths, out, now, key, tuple, received, media_evidence(is_proof))?;
            rtp::take_rtp(media, forward, out, now, key, &header, packet)
        }
        PacketKind::Rtcp => {
            let len = incoming::open_rtcp(&mut transport.opener, data)?;
            let mut packets = RtcpCompound::new(&data[..len]).peekable();
            if packets.peek().is_none() || packets.any(|packet| packet.is_err()) {
                return Err(DropReason::MalformedRtcp);
            }
            let is_proof = has_srtp || transport.is_proof(&tuple, &data[..len]);
            latch(media, paths, out, now, key, tuple, received, media_evidence(is_proof))?;
            incoming::take_rtcp(media, paths, out, now, key, &data[..len])
        }
        // SCTP proves nothing, so it does not determine the destination of SRTP.
        _ if has_srtp || !link.may_latch(PacketKind::Rtp, tuple.socket) => Err(DropReason::UnknownTuple),
        _ if transport.data.is_for_sctp(data) && sctp::is_valid(data) => {
            latch(media, paths, out, now, key, tuple, received, Evidence::Sctp)?;
            association::handle_sctp(media, out, now, key, data);
            prove_by_sctp(media, paths, key, tuple);
            Ok(())
        }
        _ => Err(DropReason::UnknownProtocol),
    }
}

/// Latches a PlainTransport onto a tuple, if the packet from that tuple is better evidence of the remote endpoint than
/// the previous one.
fn latch(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: Tuple,
    received: usize,
    evidence: Evidence,
) -> Result<(), DropReason> {
    let transport = media.transports.live_mut(key).ok_or(DropReason::UnknownTuple)?;
    let Link::Plain(link) = &mut transport.link else { return Err(DropReason::UnknownTuple) };
    if !link.is_better(tuple.socket, evidence) {
        return Err(DropReason::UnknownTuple);
    }
    let former = link.latch(tuple, evidence);
    let is_rtcp = Some(tuple.socket) == link.rtcp_socket;
    transport.traffic.received.add(now, 1, received);
    if evidence == Evidence::Proof {
        paths.latching.remove(&tuple.socket);
    }
    if let Some(former) = former {
        paths.tuples.remove(&former);
    }
    paths.tuples.insert(tuple, key);
    let tuple = paths.sockets.api_tuple(tuple);
    let event = if is_rtcp { TransportEvent::RtcpTuple(tuple) } else { TransportEvent::Tuple(tuple) };
    out.notify_transport(media, key, event);
    if !is_rtcp {
        if former.is_some() {
            // Consumers restart, because the receiver is another one.
            connection::on_transport_disconnected(media, out, key);
        }
        connection::on_transport_connected(media, out, now, key);
    }
    Ok(())
}

/// Records the proof that a tuple is the remote endpoint's.
fn prove_path(media: &mut Media, paths: &mut Paths, key: TransportKey, tuple: Tuple) {
    if let Some(Link::Plain(link)) = media.transports.live_mut(key).map(|transport| &mut transport.link) {
        link.prove(tuple.socket);
        paths.latching.remove(&tuple.socket);
    }
}

pub(crate) fn prove_by_sctp(media: &mut Media, paths: &mut Paths, key: TransportKey, tuple: Tuple) {
    let sctp = media.transports.live(key).and_then(|transport| transport.data.sctp());
    if sctp.is_some_and(|sctp| sctp.state() == SctpState::Connected) {
        prove_path(media, paths, key, tuple);
    }
}

/// Handles media from a tuple that was latched without proof, which this packet may provide.
#[cold]
pub(crate) fn handle_media_without_proof(
    media: &mut Media,
    paths: &mut Paths,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: &Tuple,
    kind: PacketKind,
    data: &mut [u8],
) -> Result<(), DropReason> {
    // The packet is not encrypted, because SRTP would have been the proof.
    let transport = media.transports.live(key).ok_or(DropReason::UnknownTuple)?;
    if kind == PacketKind::Rtp {
        let header = RtpHeader::parse(data).map_err(|_| DropReason::MalformedRtp)?;
        if transport.has_producer_of(&header, data) {
            prove_path(media, paths, key, *tuple);
        }
        return rtp::handle_rtp(media, paths, forward, out, now, key, tuple, data);
    }
    if transport.is_proof(tuple, data) {
        prove_path(media, paths, key, *tuple);
    }
    incoming::handle_rtcp(media, paths, out, now, key, tuple, data)
}

fn media_evidence(is_proof: bool) -> Evidence {
    if is_proof { Evidence::Proof } else { Evidence::Media }
}
