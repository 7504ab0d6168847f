//! Incoming datagrams: the transport and the protocol that each belongs to.

use std::time::Instant;

use crate::io::Datagram;
use crate::transport::link::Link;
use crate::worker::arena::Media;
use crate::worker::control::transports;
use crate::worker::data::association;
use crate::worker::drops::DropReason;
use crate::worker::forward::Forward;
use crate::worker::out::Out;
use crate::worker::paths::{Paths, dtls, ice, latching};
use crate::worker::rtcp::incoming;
use crate::worker::rtp;
use tureen_rtc::demux::{PacketKind, classify};
use tureen_rtc::tuple::Tuple;
use tureen_rtc::wire::stun::StunMessage;

/// Handles a batch of datagrams, decrypting them in place.
pub(crate) fn handle_datagrams<'a>(
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
    let transport = media.transports.live_mut(key).ok_or(DropReason::UnknownTuple)?;
    match (kind, &mut transport.link) {
        (PacketKind::Stun, Link::WebRtc(_)) => {
            return ice::handle_stun(media, paths, out, now, key, tuple, data);
        }
        (PacketKind::Dtls, Link::WebRtc(link)) => link.handle_dtls(now, tuple, data),
        (PacketKind::Rtp | PacketKind::Rtcp, Link::Plain(link)) if !link.takes(kind, tuple) => {
            return Err(DropReason::UnknownTuple);
        }
        (PacketKind::Rtp | PacketKind::Rtcp, _) => {}
        (_, Link::Plain(_) | Link::Pipe(_)) if transport.data.is_for_sctp(data) => {
            transport.traffic.received.add(now, 1, data.len());
            let is_waiting = transport.link.is_waiting(tuple.socket);
            association::handle_sctp(media, out, now, key, data);
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
        PacketKind::Rtp => rtp::handle_rtp(media, paths, forward, out, now, key, &tuple, data),
        PacketKind::Rtcp => incoming::handle_rtcp(media, paths, out, now, key, &tuple, data),
        _ => {
            ice::drain_ice(media, paths, out, now, key);
            if dtls::drain_dtls(media, out, now, key) {
                ice::on_authentic(media, paths, out, now, key, &tuple);
            }
            Ok(())
        }
    }
}

/// Handles a datagram from a tuple that belongs to no transport: a connectivity check, the first packet of a
/// PlainTransport with `comedia`, or an unrelated datagram.
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
            let key = ice::transport_of_stun(paths, tuple, &message).ok_or(DropReason::UnknownUfrag)?;
            ice::handle_stun_message(media, paths, out, now, key, tuple, None, &message, data.len())
        }
        PacketKind::Unknown => Err(DropReason::UnknownProtocol),
        _ => Err(DropReason::UnknownTuple),
    }
}
