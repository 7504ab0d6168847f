//! Transports: send and receive media over the network or to the application.

pub(crate) mod backlog;
pub(crate) mod feedback_budget;
pub(crate) mod link;
pub(crate) mod path_quality;
pub(crate) mod pipe;
pub(crate) mod plain;
pub(crate) mod policer;
pub mod protection;
pub(crate) mod remb;
pub(crate) mod retransmission;
pub(crate) mod rtp_listener;
pub(crate) mod send_control;
pub(crate) mod webrtc;

use std::collections::VecDeque;
use std::time::Instant;

use backlog::Backlog;
use feedback_budget::FeedbackBudget;
use hashbrown::HashMap;
use link::{Link, Path};
use path_quality::PathQuality;
use policer::Policer;
use protection::{Opener, Sealer};
use remb::RembSchedule;
use retransmission::RetransmissionBudget;
use rtp_listener::{Found, RtpListener};
use send_control::{Feedback, Probator, SendControl};
use smallvec::SmallVec;

use crate::api::{RequestError, RouterId, TransportId, TransportTrace};
use crate::data::DataSide;
use crate::keys::{ConsumerKey, ProducerKey};
use crate::media::consumer::{Consumer, Retransmission};
use crate::media::producer::capture_clock::CaptureClocks;
use crate::worker::Limits;
use tureen_rtc::bwe::ReceiveSide;
use tureen_rtc::rate::{Counter, DEFAULT_RATE_WINDOW, RateMeter};
use tureen_rtc::receive::twcc_receiver::TwccReceiver;
use tureen_rtc::tuple::Tuple;
use tureen_rtc::units::{Bitrate, Ssrc};
use tureen_rtc::wire::rtcp::{DlrrEntry, NtpTime, RtcpCompound, RtcpPacket, duration_to_compact};
use tureen_rtc::wire::rtp::extension::AbsSendTime;
use tureen_rtc::wire::rtp::{Extension, ExtensionIds, RtpHeader};

/// One transport: the part common to all kinds, and its link.
///
/// The fields that every run of packets touches are last, as in [`Consumer`] and for the same reason.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Transport {
    pub(crate) id: TransportId,
    pub(crate) router: RouterId,
    pub(crate) producers: Vec<ProducerKey>,
    pub(crate) consumers: Vec<ConsumerKey>,
    /// Assigns incoming packets to Producers.
    pub(crate) listener: RtpListener<ProducerKey>,
    /// Ids of the header extensions of incoming packets.
    pub(crate) recv_ids: ExtensionIds,
    /// Capture clocks of the remote senders.
    pub(crate) clocks: CaptureClocks,
    /// Consumers by the SSRCs they send, RTX included.
    ssrc_consumers: HashMap<Ssrc, ConsumerKey>,
    /// Opens incoming packets; `None` until keys are available.
    pub(crate) opener: Option<Opener>,
    /// Congestion control feedback for the remote endpoint: the union of all that its producers ever negotiated.
    recv_feedback: Feedback,
    /// Transport-wide feedback for the remote endpoint, once any congestion control feedback is negotiated.
    pub(crate) twcc: Option<TwccReceiver>,
    /// Enforces the maximum incoming bitrate, if there is one.
    policer: Option<Box<Policer>>,
    /// Bandwidth estimate for a video sender without transport-wide feedback, once one has negotiated REMB.
    receive_side: Option<Box<ReceiveSide>>,
    /// SCTP data channels.
    pub(crate) data: DataSide,
    /// Bitrate limits.
    pub(crate) bitrates: Bitrates,
    /// Schedule of REMBs with the maximum incoming bitrate.
    remb: RembSchedule,
    /// Round trip time and loss.
    pub(crate) quality: PathQuality,
    /// Counts and rates of traffic.
    pub(crate) traffic: TransportTraffic,
    /// Last reference time received: its SSRC, its value and its arrival time (RFC 3611 §4.4).
    reference_time: Option<(Ssrc, NtpTime, Instant)>,
    /// Number of packets the remote endpoint may still request by NACK.
    pub(crate) feedback_budget: FeedbackBudget,
    /// Budget of retransmissions.
    pub(crate) retransmission_budget: RetransmissionBudget,
    /// Requested retransmissions, not sent yet.
    pub(crate) retransmissions: VecDeque<(ConsumerKey, Retransmission)>,
    /// Consumers with packets to send after this batch.
    pub(crate) dirty: SmallVec<[ConsumerKey; 2]>,
    /// Congestion control, once consumers have negotiated feedback and media can flow.
    pub(crate) send_control: Option<Box<SendControl>>,
    /// Backlog of the path, if that is a TCP connection with queued data that is late.
    pub(crate) backlog: Option<Box<Backlog>>,
    /// Connection to the remote endpoint.
    pub(crate) link: Link,
    /// Seals outgoing packets; `None` until keys are available.
    pub(crate) sealer: Option<Sealer>,
    /// Next transport-wide sequence number.
    pub(crate) next_transport_seq: u16,
    /// True if queued to be drained.
    pub(crate) queued: bool,
    /// True if media flows: consumers were started since the last disconnection.
    pub(crate) flowing: bool,
    /// Enabled trace events.
    pub(crate) trace: TransportTrace,
}

/// Bitrate limits of a transport; zero is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bitrates {
    /// Initial estimate of the outgoing bitrate.
    pub(crate) initial_outgoing: Bitrate,
    /// Maximum bitrate from the remote endpoint.
    pub(crate) max_incoming: Bitrate,
    /// Maximum bitrate to the remote endpoint.
    pub(crate) max_outgoing: Bitrate,
    /// Minimum estimate of the outgoing bitrate.
    pub(crate) min_outgoing: Bitrate,
}

impl Bitrates {
    /// Sets the maximum outgoing bitrate.
    ///
    /// # Errors
    /// `Failed` below the minimum.
    pub(crate) fn set_max_outgoing(&mut self, bitrate: Bitrate) -> Result<(), RequestError> {
        if !bitrate.is_zero() && bitrate < self.min_outgoing {
            let (max, min) = (bitrate.as_bps(), self.min_outgoing.as_bps());
            let text = format!("maximum outgoing bitrate {max} is below the minimum, {min}");
            return Err(RequestError::Failed(text));
        }
        self.max_outgoing = bitrate;
        Ok(())
    }

    /// Sets the minimum estimate of the outgoing bitrate.
    ///
    /// # Errors
    /// `Failed` above the maximum.
    pub(crate) fn set_min_outgoing(&mut self, bitrate: Bitrate) -> Result<(), RequestError> {
        if !self.max_outgoing.is_zero() && bitrate > self.max_outgoing {
            let (min, max) = (bitrate.as_bps(), self.max_outgoing.as_bps());
            let text = format!("minimum outgoing bitrate {min} is above the maximum, {max}");
            return Err(RequestError::Failed(text));
        }
        self.min_outgoing = bitrate;
        Ok(())
    }
}

/// Traffic of a transport.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct TransportTraffic {
    /// All received packets.
    pub(crate) received: Meter,
    /// Sent packets that are not media, retransmissions or probes.
    pub(crate) other_sent: Meter,
    /// Received media.
    pub(crate) rtp_received: Meter,
    /// Received retransmissions.
    pub(crate) rtx_received: Meter,
    /// Sent retransmissions.
    pub(crate) rtx_sent: Meter,
    /// Sent media.
    pub(crate) rtp_sent: Meter,
}

/// Packet and byte counts with a rate.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Meter {
    rate: RateMeter,
    counter: Counter,
}

impl Meter {
    fn new() -> Self {
        Self { counter: Counter::default(), rate: RateMeter::new(DEFAULT_RATE_WINDOW) }
    }

    /// Counts `packets` with `bytes` in total.
    pub(crate) fn add(&mut self, now: Instant, packets: u64, bytes: usize) {
        self.counter.packets += packets;
        self.counter.bytes += bytes as u64;
        self.rate.add(now, bytes);
    }

    /// Number of packets.
    pub(crate) fn packets(&self) -> u64 {
        self.counter.packets
    }

    /// Current bitrate; `None` if unknown.
    pub(crate) fn bitrate(&mut self, now: Instant) -> Option<Bitrate> {
        self.rate.bitrate(now)
    }

    /// Number of bytes and current bitrate.
    pub(crate) fn read(&mut self, now: Instant) -> crate::api::Traffic {
        let bitrate = self.bitrate(now).map_or(0, Bitrate::as_bps);
        crate::api::Traffic { bytes: self.counter.bytes, bitrate }
    }
}

impl TransportTraffic {
    fn new() -> Self {
        Self {
            received: Meter::new(),
            other_sent: Meter::new(),
            rtp_received: Meter::new(),
            rtp_sent: Meter::new(),
            rtx_received: Meter::new(),
            rtx_sent: Meter::new(),
        }
    }
}

impl Transport {
    /// Creates a transport without producers and consumers.
    pub(crate) fn new(
        id: TransportId,
        router: RouterId,
        link: Link,
        bitrates: Bitrates,
        data: DataSide,
    ) -> Self {
        Self {
            id,
            router,
            link,
            producers: Vec::new(),
            consumers: Vec::new(),
            listener: RtpListener::new(),
            recv_ids: ExtensionIds::default(),
            clocks: CaptureClocks::default(),
            ssrc_consumers: HashMap::new(),
            opener: None,
            sealer: None,
            recv_feedback: Feedback::default(),
            twcc: None,
            receive_side: None,
            policer: None,
            data,
            dirty: SmallVec::new(),
            queued: false,
            flowing: false,
            reference_time: None,
            feedback_budget: FeedbackBudget::new(),
            retransmission_budget: RetransmissionBudget::default(),
            retransmissions: VecDeque::new(),
            next_transport_seq: 1,
            trace: TransportTrace::default(),
            bitrates,
            remb: RembSchedule::default(),
            traffic: TransportTraffic::new(),
            send_control: None,
            backlog: None,
            quality: PathQuality::default(),
        }
    }

    /// True if media can flow: a path exists, and keys if needed.
    pub(crate) fn is_connected(&self) -> bool {
        self.rtp_path().is_some()
    }

    /// Path for outgoing RTP, if RTP can be sent.
    pub(crate) fn rtp_path(&self) -> Option<Path> {
        self.link.rtp_path().filter(|_| self.sealer.is_some())
    }

    /// True if video is held back because data on the path is late.
    pub(crate) fn holds_video(&self) -> bool {
        self.backlog.as_ref().is_some_and(|backlog| backlog.holds())
    }

    /// True if RTCP without SRTP from `tuple` comes from the remote endpoint: `tuple` is the known RTP path and has a
    /// port of its own, or else the RTCP concerns a stream of this transport.
    pub(crate) fn is_proof(&self, tuple: &Tuple, compound: &[u8]) -> bool {
        let rtp = match &self.link {
            Link::Plain(link) if link.rtcp_socket == Some(tuple.socket) => link.proven_tuple(),
            _ => None,
        };
        rtp.map_or_else(|| self.concerns(compound), |rtp| rtp.remote.ip() == tuple.remote.ip())
    }

    /// True if the packet's SSRC, MID or RID identifies a Producer.
    pub(crate) fn has_producer_of(&self, header: &RtpHeader, packet: &[u8]) -> bool {
        let found = self.listener.find(header, packet, &self.recv_ids);
        matches!(found, Found::Known(_) | Found::Named(_))
    }

    /// True if RTCP comes from the sender of a Producer or concerns a Consumer.
    fn concerns(&self, compound: &[u8]) -> bool {
        let is_sender = |ssrc| self.listener.by_ssrc(ssrc).is_some();
        let is_ours = |ssrc| self.ssrc_consumers.contains_key(&ssrc);
        let mut packets = RtcpCompound::new(compound);
        packets.any(|packet| match packet {
            Ok(RtcpPacket::SenderReport(report)) => {
                is_sender(report.sender_ssrc) || report.reports.into_iter().any(|block| is_ours(block.ssrc))
            }
            Ok(RtcpPacket::ReceiverReport(report)) => {
                is_sender(report.sender_ssrc) || report.reports.into_iter().any(|block| is_ours(block.ssrc))
            }
            Ok(RtcpPacket::Sdes(sdes)) => sdes.chunks().any(|chunk| is_sender(chunk.ssrc)),
            Ok(RtcpPacket::Bye(bye)) => bye.ssrcs.into_iter().any(is_sender),
            Ok(RtcpPacket::Nack(nack)) => is_ours(nack.media_ssrc),
            Ok(RtcpPacket::Pli(pli)) => is_ours(pli.media_ssrc),
            Ok(RtcpPacket::Fir(fir)) => fir.entries.into_iter().any(|entry| is_ours(entry.ssrc)),
            Ok(RtcpPacket::Remb(remb)) => remb.ssrcs.into_iter().any(is_ours),
            Ok(RtcpPacket::TransportCc(feedback)) => is_ours(feedback.header.media_ssrc),
            _ => false,
        })
    }

    /// Consumer that sends `ssrc`, RTX included.
    pub(crate) fn consumer_of(&self, ssrc: Ssrc) -> Option<ConsumerKey> {
        self.ssrc_consumers.get(&ssrc).copied()
    }

    /// Adds a consumer that sends `ssrcs`.
    pub(crate) fn add_consumer(&mut self, key: ConsumerKey, ssrcs: impl IntoIterator<Item = Ssrc>) {
        self.ssrc_consumers.extend(ssrcs.into_iter().map(|ssrc| (ssrc, key)));
        self.consumers.push(key);
    }

    /// Removes a consumer, its requested retransmissions and its packets in queues. The sealer goes on knowing which
    /// indices of its streams are used.
    pub(crate) fn remove_consumer(&mut self, key: ConsumerKey, consumer: &Consumer) {
        self.consumers.retain(|&other| other != key);
        self.ssrc_consumers.retain(|_, &mut other| other != key);
        self.dirty.retain(|other| *other != key);
        self.retransmissions.retain(|&(other, _)| other != key);
        if let Some(sealer) = &mut self.sealer {
            consumer.used_indices().for_each(|(ssrc, next)| sealer.end_stream(ssrc, next));
        }
        if let Some(control) = &mut self.send_control {
            control.forget(key);
        }
    }

    /// Sets the maximum incoming bitrate, of which REMB tells the remote endpoint; zero removes it. It is enforced
    /// where congestion is controlled, with the margin and the burst of `limits`.
    pub(crate) fn set_max_incoming(&mut self, now: Instant, bitrate: Bitrate, limits: &Limits) {
        self.bitrates.max_incoming = bitrate;
        self.remb.set_limit(bitrate);
        if self.link.controls_congestion() {
            let (margin, burst) = (limits.incoming_bitrate_margin, limits.incoming_bitrate_burst);
            self.policer = Policer::new(now, bitrate, margin, burst).map(Box::new);
        }
    }

    /// Enforcement of the maximum incoming bitrate, if there is one.
    #[inline]
    pub(crate) fn policer(&mut self) -> Option<&mut Policer> {
        self.policer.as_deref_mut()
    }

    /// Bitrate to send by REMB now: a change of the limit or of the estimate. `None` if nothing is due, or the remote
    /// endpoint sends nothing or has not negotiated REMB.
    pub(crate) fn poll_remb(&mut self, now: Instant) -> Option<Bitrate> {
        if !self.recv_feedback.remb || self.producers.is_empty() || !self.is_connected() {
            return None;
        }
        let estimate = self.incoming_estimate(now);
        self.remb.poll(now, estimate)
    }

    /// True if the incoming bandwidth is estimated here, because a video sender gets no transport-wide feedback.
    #[inline]
    pub(crate) fn estimates_incoming(&self) -> bool {
        self.receive_side.is_some()
    }

    /// Updates the estimate of the incoming bandwidth with a packet. True if it has changed by much.
    pub(crate) fn update_incoming_estimate(
        &mut self,
        now: Instant,
        header: &RtpHeader,
        packet: &[u8],
    ) -> bool {
        let id = self.recv_ids[Extension::AbsSendTime];
        self.receive_side.as_mut().is_some_and(|side| {
            header
                .read::<AbsSendTime>(packet, id)
                .is_some_and(|sent| side.handle_packet(now, sent, packet.len()))
        })
    }

    /// Sets the sealer and the opener for all packets from now on.
    pub(crate) fn set_protection(&mut self, sealer: Sealer, opener: Opener) {
        self.sealer = Some(sealer);
        self.opener = Some(opener);
    }

    /// Adds the feedback that a new Producer negotiated, which stays until the transport closes (mediasoup
    /// `MayCreateReceiverTransportCongestionController`).
    pub(crate) fn learn_feedback(&mut self, now: Instant, negotiated: Feedback) {
        if self.link.controls_congestion() {
            self.recv_feedback = self.recv_feedback.with(negotiated);
        }
        if self.recv_feedback.any() && self.twcc.is_none() {
            self.twcc = Some(TwccReceiver::new());
        }
        let only_remb = negotiated.remb && !negotiated.transport_cc;
        if self.recv_feedback.remb && only_remb && self.receive_side.is_none() {
            self.receive_side = Some(Box::new(ReceiveSide::new(now)));
        }
    }

    /// Checks that a new Consumer may send its SSRCs on this transport.
    ///
    /// # Errors
    /// An SSRC belongs to another Consumer, occurs twice or is that of probes; or too many SSRCs were sent since the
    /// transport was created.
    pub(crate) fn check_new_ssrcs(&self, consumer: &Consumer, max_ended: usize) -> Result<(), RequestError> {
        let failed = |text: String| Err(RequestError::Failed(text));
        if self.sealer.as_ref().is_some_and(|sealer| sealer.ended_streams() >= max_ended) {
            return failed(format!(
                "transport {} has sent {max_ended} SSRCs that have ended, the most that are remembered",
                self.id
            ));
        }
        for (index, ssrc) in consumer.ssrcs().enumerate() {
            if self.ssrc_consumers.contains_key(&ssrc) {
                return failed(format!("ssrc {ssrc} is already sent on transport {}", self.id));
            }
            // Two streams with the same SSRC would seal different packets with the same nonce.
            if consumer.ssrcs().take(index).any(|other| other == ssrc) {
                let id = &consumer.id;
                return Err(RequestError::Invalid(format!("ssrc {ssrc} is twice in consumer {id}")));
            }
            if ssrc == Probator::SSRC && self.link.controls_congestion() {
                return Err(RequestError::Invalid(format!("ssrc {ssrc} is that of bandwidth probes")));
            }
        }
        Ok(())
    }

    /// Records a reference time that has arrived (RFC 3611 §4.4).
    pub(crate) fn on_reference_time(&mut self, now: Instant, sender: Ssrc, time: NtpTime) {
        self.reference_time = Some((sender, time, now));
    }

    /// Reply to the last reference time (RFC 3611 §4.5).
    pub(crate) fn delay_since_reference_time(&self, now: Instant) -> Option<DlrrEntry> {
        let (ssrc, reference, at) = self.reference_time?;
        let delay = duration_to_compact(now.saturating_duration_since(at));
        Some(DlrrEntry { ssrc, last_reference_time: reference.compact(), delay })
    }

    /// Bandwidth estimate for the remote endpoint, if that gets no transport-wide feedback.
    pub(crate) fn incoming_estimate(&self, now: Instant) -> Option<Bitrate> {
        self.receive_side.as_ref().and_then(|side| side.estimate(now))
    }

    /// Adds the header extension ids of a new Producer (mediasoup: the ids of the last Producer take precedence).
    pub(crate) fn learn_extension_ids(&mut self, ids: &ExtensionIds) {
        self.recv_ids.update(ids);
    }
}
