//! Reasons for drops, and their counters.

use crate::keys::TransportKey;
use crate::transport::protection::Opener;
use crate::worker::arena::Media;
use crate::worker::out::Out;

/// Reason for a drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The first bytes match no supported protocol.
    UnknownProtocol,
    /// Malformed STUN.
    MalformedStun,
    /// STUN that ICE refuses: unknown credentials, wrong integrity, or a role conflict.
    RefusedStun,
    /// A STUN USERNAME that belongs to no transport.
    UnknownUfrag,
    /// DTLS, RTP or RTCP from a tuple that ICE has not validated.
    UnknownTuple,
    /// Media that was received before DTLS has provided keys.
    NoKeys,
    /// Malformed RTP.
    MalformedRtp,
    /// Malformed RTCP.
    MalformedRtcp,
    /// SRTP authentication failed.
    Unauthentic,
    /// A replayed packet, or one too old for the replay window.
    Replayed,
    /// A remote endpoint uses more SSRCs than have SRTP state at a time, so that one of them was evicted. No packet is
    /// dropped.
    TooManyStreams,
    /// No Producer for this SSRC, MID or RID, or no DataProducer for this SCTP stream.
    NoProducer,
    /// A data message that is longer than the maximum message size.
    MessageTooLong,
    /// A new SSRC for a stream that is still active or that has changed its SSRC too often; or a packet that matches a
    /// Producer but none of its streams.
    UnexpectedSsrc,
    /// A payload type that was not negotiated. The sequence number of a packet with a known SSRC counts as received.
    UndeclaredPayloadType,
    /// An SCTP chunk beyond the number that may wait for missing ones; the remote endpoint retransmits it.
    TooMuchWaits,
    /// A sequence number out of range, an unrequested retransmission, or a full buffer.
    Discarded,
    /// A packet of the application for an entity that is not on a DirectTransport.
    NotDirect,
    /// A packet that is longer than the maximum packet size.
    TooLong,
    /// Feedback that names more packets, or is received more often, than the sent packets justify.
    ExcessFeedback,
    /// A consumer requests key frames more often than its limit allows; the last request is sent later.
    ExcessKeyFrameRequest,
    /// A retransmission beyond the transport's retransmission budget.
    OverRetransmissionBudget,
    /// The remote endpoint sends many times its maximum incoming bitrate.
    IncomingBitrate,
    /// A STUN, DTLS, RTCP or SCTP datagram beyond [`Limits::control_datagrams`](super::Limits) in the send queue.
    SendQueueFull,
    /// A retransmission beyond [`Limits::pending_retransmissions`](super::Limits) in the queue of its transport.
    RetransmissionsFull,
    /// A retransmission that would arrive too late, because the send queue of its path delays packets.
    LateRetransmission,
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
        (Self::OverRetransmissionBudget, "over-retransmission-budget"),
        (Self::IncomingBitrate, "incoming-bitrate"),
        (Self::SendQueueFull, "send-queue-full"),
        (Self::RetransmissionsFull, "retransmissions-full"),
        (Self::LateRetransmission, "late-retransmission"),
    ];
}

/// Number of drops, by reason.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    pub(crate) fn count(&mut self, reason: DropReason) {
        self.add(reason, 1);
    }

    pub(crate) fn add(&mut self, reason: DropReason, count: u64) {
        self.0[reason as usize] += count;
    }

    pub(crate) fn named(&self) -> Vec<(&'static str, u64)> {
        let all = DropReason::ALL.iter().map(|&(reason, name)| (name, self.0[reason as usize]));
        all.filter(|&(_, count)| count > 0).collect()
    }
}

/// Number of drops since the start, by reason; reasons without drops are omitted.
pub(crate) fn all(media: &Media, out: &Out) -> Vec<(&'static str, u64)> {
    let mut drops = out.drops;
    let openers = media.transports.values().filter_map(|transport| transport.opener.as_ref());
    drops.add(DropReason::TooManyStreams, openers.map(Opener::evicted_streams).sum());
    drops.add(DropReason::SendQueueFull, out.control.refused());
    drops.named()
}

/// Adds the counters of a transport to those of the worker, because its SRTP state is about to be discarded.
pub(crate) fn keep_counts(media: &mut Media, out: &mut Out, key: TransportKey) {
    if let Some(opener) = media.transports.live(key).and_then(|transport| transport.opener.as_ref()) {
        out.drops.add(DropReason::TooManyStreams, opener.evicted_streams());
    }
}
