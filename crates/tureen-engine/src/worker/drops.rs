//! What goes no further, by reason.

use crate::keys::TransportKey;
use crate::transport::protection::Opener;
use crate::worker::arena::Media;
use crate::worker::out::Out;

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
    OverRetransmissionBudget,
    /// The remote side sends many times the bitrate that it was told to send at most.
    IncomingBitrate,
    /// A STUN, DTLS, RTCP or SCTP datagram to be sent that found [`Limits::control_datagrams`](super::Limits) waiting.
    SendQueueFull,
    /// A retransmission that found [`Limits::pending_retransmissions`](super::Limits) waiting on its transport.
    RetransmissionsFull,
    /// A retransmission that would come too late, because its path keeps what it can't carry yet.
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

/// How much went no further, by reason.
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

/// What went no further since the start, by reason; reasons that never happened are left out.
pub(crate) fn all(media: &Media, out: &Out) -> Vec<(&'static str, u64)> {
    let mut drops = out.drops;
    let openers = media.transports.values().filter_map(|transport| transport.opener.as_ref());
    drops.add(DropReason::TooManyStreams, openers.map(Opener::evicted_streams).sum());
    drops.add(DropReason::SendQueueFull, out.control.refused());
    drops.named()
}

/// Keeps what a transport has counted, whose keys are about to go.
pub(crate) fn keep_counts(media: &mut Media, out: &mut Out, key: TransportKey) {
    if let Some(opener) = media.transports.live(key).and_then(|transport| transport.opener.as_ref()) {
        out.drops.add(DropReason::TooManyStreams, opener.evicted_streams());
    }
}
