//! Packets and messages of the application, received through DirectTransports.

use std::time::Instant;

use crate::api::{Injection, ProducerId, TransportId};
use crate::media::producer::FoundBy;
use crate::transport::link::Link;
use crate::worker::arena::Media;
use crate::worker::data::messages;
use crate::worker::drops::DropReason;
use crate::worker::forward::Forward;
use crate::worker::out::Out;
use crate::worker::paths::Paths;
use crate::worker::rtcp::incoming;
use crate::worker::rtp;
use tureen_rtc::wire::rtcp::RtcpCompound;
use tureen_rtc::wire::rtp::RtpHeader;

/// Maximum length of an RTP or RTCP packet of the application (mediasoup: 2048).
const MAX_PACKET: usize = 2048;

/// Handles a packet or message that the application sends on a DirectTransport. No response is sent; an invalid packet
/// is dropped and counted. The output must be drained before the next input, as for a batch of datagrams.
pub(crate) fn handle_injection(
    media: &mut Media,
    paths: &mut Paths,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
    injection: Injection,
) {
    let taken = match injection {
        Injection::Rtp(producer, packet) => inject_rtp(media, forward, out, now, &producer, &packet),
        Injection::Rtcp(transport, packet) => inject_rtcp(media, paths, out, now, &transport, &packet),
        Injection::Data(producer, publication) => messages::publish(media, out, now, &producer, publication),
    };
    if let Err(reason) = taken {
        out.drops.count(reason);
    }
}

fn inject_rtp(
    media: &mut Media,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
    id: &ProducerId,
    packet: &[u8],
) -> Result<(), DropReason> {
    let key = media.producers.find(id).map_err(|_| DropReason::NoProducer)?;
    let transport = media.producers.live(key).and_then(|p| media.transports.live_mut(p.transport));
    let transport = transport.filter(|t| matches!(t.link, Link::Direct)).ok_or(DropReason::NotDirect)?;
    transport.traffic.received.add(now, 1, packet.len());
    if packet.len() > MAX_PACKET {
        return Err(DropReason::TooLong);
    }
    let header = RtpHeader::parse(packet).map_err(|_| DropReason::MalformedRtp)?;
    rtp::produce_rtp(media, forward, out, now, key, FoundBy::Name, &header, packet)
}

fn inject_rtcp(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    id: &TransportId,
    packet: &[u8],
) -> Result<(), DropReason> {
    let key = media.transports.find(id).map_err(|_| DropReason::NotDirect)?;
    let transport = media.transports.live_mut(key).filter(|t| matches!(t.link, Link::Direct));
    let transport = transport.ok_or(DropReason::NotDirect)?;
    transport.traffic.received.add(now, 1, packet.len());
    if packet.len() > MAX_PACKET {
        return Err(DropReason::TooLong);
    }
    if RtcpCompound::new(packet).any(|packet| packet.is_err()) {
        return Err(DropReason::MalformedRtcp);
    }
    incoming::take_rtcp(media, paths, out, now, key, packet)
}
