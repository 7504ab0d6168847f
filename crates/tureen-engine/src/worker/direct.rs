//! What the application itself puts into a worker, by DirectTransports.

use std::time::Instant;

use super::Worker;
use super::ingress::DropReason;
use crate::api::{Injection, ProducerId, TransportId};
use crate::producer::FoundBy;
use crate::transport::link::Link;
use tureen_rtc::wire::rtcp::RtcpCompound;
use tureen_rtc::wire::rtp::RtpHeader;

/// Longest RTP or RTCP packet of the application (mediasoup: 2048).
const MAX_PACKET: usize = 2048;

impl Worker {
    /// Takes what the application sends on a DirectTransport. There is no answer; what can't be used is dropped and
    /// counted. What comes out of it must be drained before the next input, as for a batch of datagrams.
    pub fn handle_injection(&mut self, now: Instant, injection: Injection) {
        let taken = match injection {
            Injection::Rtp(producer, packet) => self.inject_rtp(now, &producer, &packet),
            Injection::Rtcp(transport, packet) => self.inject_rtcp(now, &transport, &packet),
            Injection::Data(producer, publication) => self.publish(now, &producer, publication),
        };
        if let Err(reason) = taken {
            self.drops.count(reason);
        }
        self.queue_consumers(now);
        self.flush_sctp(now);
    }

    fn inject_rtp(&mut self, now: Instant, id: &ProducerId, packet: &[u8]) -> Result<(), DropReason> {
        let key = self.find_producer(id).map_err(|_| DropReason::NoProducer)?;
        let transport = self.producers.get(key).and_then(|p| self.transports.get_mut(p.transport));
        let transport = transport.filter(|t| matches!(t.link, Link::Direct)).ok_or(DropReason::NotDirect)?;
        transport.traffic.received.add(now, 1, packet.len());
        if packet.len() > MAX_PACKET {
            return Err(DropReason::TooLong);
        }
        let header = RtpHeader::parse(packet).map_err(|_| DropReason::MalformedRtp)?;
        self.produce_rtp(now, key, FoundBy::Name, &header, packet)
    }

    fn inject_rtcp(&mut self, now: Instant, id: &TransportId, packet: &[u8]) -> Result<(), DropReason> {
        let key = self.find_transport(id).map_err(|_| DropReason::NotDirect)?;
        let transport = self.transports.get_mut(key).filter(|t| matches!(t.link, Link::Direct));
        let transport = transport.ok_or(DropReason::NotDirect)?;
        transport.traffic.received.add(now, 1, packet.len());
        if packet.len() > MAX_PACKET {
            return Err(DropReason::TooLong);
        }
        if RtcpCompound::new(packet).any(|packet| packet.is_err()) {
            return Err(DropReason::MalformedRtcp);
        }
        self.take_rtcp(now, key, packet)
    }
}
