//! Where the remote side of a PlainTransport with `comedia` is: latched on what it sends, provisionally until a packet proves
//! to be its own.

use std::time::Instant;

use super::Worker;
use super::ingress::{DropReason, open_rtcp, open_rtp};
use crate::api::TransportEvent;
use crate::keys::TransportKey;
use crate::transport::link::Link;
use crate::transport::plain::Evidence;
use tureen_rtc::demux::PacketKind;
use tureen_rtc::sctp;
use tureen_rtc::tuple::Tuple;
use tureen_rtc::wire::rtcp::RtcpCompound;
use tureen_rtc::wire::rtp::RtpHeader;
use tureen_types::data_structures::SctpState;

impl Worker {
    /// A packet to a PlainTransport with `comedia` that waits for its remote side, from elsewhere than from where it seems
    /// to be. The first valid packet tells where that is, until one proves it: by SRTP, by a Producer or Consumer that it
    /// is for, or by an SCTP association. The path never changes after that.
    pub(super) fn handle_first_packet(
        &mut self,
        now: Instant,
        key: TransportKey,
        tuple: Tuple,
        kind: PacketKind,
        data: &mut [u8],
    ) -> Result<(), DropReason> {
        let received = data.len();
        let transport = self.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
        let Link::Plain(link) = &mut transport.link else { return Err(DropReason::UnknownTuple) };
        let has_srtp = link.has_srtp();
        match kind {
            PacketKind::Rtp | PacketKind::Rtcp if !link.may_latch(kind, tuple.socket) => {
                Err(DropReason::UnknownTuple)
            }
            PacketKind::Rtp => {
                let (header, len) = open_rtp(&mut transport.opener, data)?;
                let packet = &data[..len];
                let is_proof = has_srtp || transport.has_producer_of(&header, packet);
                self.latch(now, key, tuple, received, media_evidence(is_proof))?;
                self.take_rtp(now, key, &header, packet)
            }
            PacketKind::Rtcp => {
                let len = open_rtcp(&mut transport.opener, data)?;
                let mut packets = RtcpCompound::new(&data[..len]).peekable();
                if packets.peek().is_none() || packets.any(|packet| packet.is_err()) {
                    return Err(DropReason::MalformedRtcp);
                }
                let is_proof = has_srtp || transport.is_proof(&tuple, &data[..len]);
                self.latch(now, key, tuple, received, media_evidence(is_proof))?;
                self.take_rtcp(now, key, &data[..len])
            }
            // SCTP proves nothing, so it does not tell where SRTP goes.
            _ if has_srtp || !link.may_latch(PacketKind::Rtp, tuple.socket) => Err(DropReason::UnknownTuple),
            _ if transport.data.is_for_sctp(data) && sctp::is_valid(data) => {
                self.latch(now, key, tuple, received, Evidence::Sctp)?;
                self.handle_sctp(now, key, data);
                self.prove_by_sctp(key, tuple);
                Ok(())
            }
            _ => Err(DropReason::UnknownProtocol),
        }
    }

    /// Makes a path that of a PlainTransport, if the packet that came by it tells better where the remote side is than what
    /// came before.
    fn latch(
        &mut self,
        now: Instant,
        key: TransportKey,
        tuple: Tuple,
        received: usize,
        evidence: Evidence,
    ) -> Result<(), DropReason> {
        let transport = self.transports.get_mut(key).ok_or(DropReason::UnknownTuple)?;
        let Link::Plain(link) = &mut transport.link else { return Err(DropReason::UnknownTuple) };
        if !link.is_better(tuple.socket, evidence) {
            return Err(DropReason::UnknownTuple);
        }
        let former = link.latch(tuple, evidence);
        let is_rtcp = Some(tuple.socket) == link.rtcp_socket;
        transport.traffic.received.add(now, 1, received);
        if evidence == Evidence::Proof {
            self.latching.remove(&tuple.socket);
        }
        if let Some(former) = former {
            self.tuples.remove(&former);
        }
        self.tuples.insert(tuple, key);
        let tuple = self.sockets.api_tuple(tuple);
        let event = if is_rtcp { TransportEvent::RtcpTuple(tuple) } else { TransportEvent::Tuple(tuple) };
        self.notify_transport(key, event);
        if !is_rtcp {
            if former.is_some() {
                // Consumers begin anew for another receiver.
                self.on_transport_disconnected(key);
            }
            self.on_transport_connected(now, key);
        }
        Ok(())
    }

    /// The path of a PlainTransport has proved to be the remote side's.
    fn prove_path(&mut self, key: TransportKey, tuple: Tuple) {
        if let Some(Link::Plain(link)) = self.transports.get_mut(key).map(|transport| &mut transport.link) {
            link.prove(tuple.socket);
            self.latching.remove(&tuple.socket);
        }
    }

    pub(super) fn prove_by_sctp(&mut self, key: TransportKey, tuple: Tuple) {
        let sctp = self.transports.get(key).and_then(|transport| transport.data.sctp());
        if sctp.is_some_and(|sctp| sctp.state() == SctpState::Connected) {
            self.prove_path(key, tuple);
        }
    }

    /// Media by a path of a PlainTransport that was latched without proof: this may be it.
    #[cold]
    pub(super) fn handle_media_without_proof(
        &mut self,
        now: Instant,
        key: TransportKey,
        tuple: &Tuple,
        kind: PacketKind,
        data: &mut [u8],
    ) -> Result<(), DropReason> {
        // Without SRTP, which would be proof, nothing has to be opened.
        let transport = self.transports.get(key).ok_or(DropReason::UnknownTuple)?;
        if kind == PacketKind::Rtp {
            let header = RtpHeader::parse(data).map_err(|_| DropReason::MalformedRtp)?;
            if transport.has_producer_of(&header, data) {
                self.prove_path(key, *tuple);
            }
            return self.handle_rtp(now, key, tuple, data);
        }
        if transport.is_proof(tuple, data) {
            self.prove_path(key, *tuple);
        }
        self.handle_rtcp(now, key, tuple, data)
    }
}

fn media_evidence(is_proof: bool) -> Evidence {
    if is_proof { Evidence::Proof } else { Evidence::Media }
}
