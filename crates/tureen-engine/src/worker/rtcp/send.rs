//! Outgoing RTCP: split if too long, encrypted, queued.

use std::time::Instant;

use crate::api::TransportEvent;
use crate::keys::TransportKey;
use crate::transport::link::Path;
use crate::worker::arena::Media;
use crate::worker::out::Out;
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::rtcp::CompoundParts;

/// Maximum length of an RTCP datagram before encryption, which fits every path.
pub(crate) const MAX_RTCP: usize = 1200;

/// Sender SSRC of receiver reports and feedback (as in mediasoup).
pub(crate) const REPORTER: Ssrc = Ssrc(0);

/// Sends a compound packet, in several datagrams if it is too long for one.
pub(crate) fn send_rtcp(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    compound: &mut Vec<u8>,
) {
    if compound.len() <= MAX_RTCP {
        return send_datagram(media, out, now, key, compound);
    }
    let mut part = std::mem::take(&mut out.scratch.rtcp_part);
    let mut parts = CompoundParts::new(compound, MAX_RTCP);
    while parts.next_into(&mut part) {
        send_datagram(media, out, now, key, &mut part);
    }
    out.scratch.rtcp_part = part;
}

/// Encrypts an RTCP packet and queues the datagram. The packet is dropped if there are no keys or no path.
fn send_datagram(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey, packet: &mut Vec<u8>) {
    let Some(transport) = media.transports.live_mut(key) else { return };
    let Some(path) = transport.link.rtcp_path() else { return };
    let Some(sealer) = &mut transport.sealer else { return };
    if packet.is_empty() || sealer.seal_rtcp(packet).is_err() {
        return;
    }
    transport.traffic.other_sent.add(now, 1, packet.len());
    match path {
        Path::Network(tuple) => out.control.queue(tuple, packet),
        Path::Application => out.notify_transport(media, key, TransportEvent::Rtcp(packet.clone())),
    }
}

/// Sends one RTCP packet that `write` writes.
pub(crate) fn with_rtcp(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let mut packet = std::mem::take(&mut out.scratch.rtcp);
    packet.clear();
    write(&mut packet);
    send_rtcp(media, out, now, key, &mut packet);
    out.scratch.rtcp = packet;
}

/// Sends the collected reports if the next one might not fit.
pub(crate) fn send_full(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    packet: &mut Vec<u8>,
) {
    if packet.len() > MAX_RTCP - 200 {
        send_rtcp(media, out, now, key, packet);
        packet.clear();
    }
}
