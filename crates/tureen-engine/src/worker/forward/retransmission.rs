//! Retransmissions of a transport: requested by NACK, reported as lost by feedback, or proactive.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::keys::ConsumerKey;
use crate::media::consumer::Retransmission;
use crate::media::consumer::sent_log::SentPacket;
use crate::transport::Meter;
use crate::transport::retransmission::{RetransmissionBudget, RetransmissionCause};
use crate::transport::send_control::{SendControl, SentPacketRef};
use crate::worker::forward::egress::{Origin, Purpose};
use crate::worker::forward::plan::Planning;
use crate::worker::forward::{Consumers, Producers, plan};
use tureen_rtc::units::Bitrate;
use tureen_types::rtp_parameters::MediaKind;

/// Retransmission budget of one plan.
pub(crate) struct RetransmissionAllowance<'a> {
    budget: &'a mut RetransmissionBudget,
    rate: Bitrate,
    pub(crate) refused: u64,
}

impl<'a> RetransmissionAllowance<'a> {
    /// Creates the allowance of a transport with congestion control `control`. The rate is only computed if there are
    /// packets to retransmit.
    pub(crate) fn new(
        now: Instant,
        budget: &'a mut RetransmissionBudget,
        control: Option<&SendControl>,
        media: &mut Meter,
        floor: Bitrate,
        is_asked: bool,
    ) -> Self {
        let has_duplicates = control.is_some_and(SendControl::has_duplicates);
        let rate = if is_asked || has_duplicates {
            let media = media.bitrate(now).unwrap_or(Bitrate::ZERO);
            RetransmissionBudget::rate(control.map(SendControl::retransmission_rate), media, floor)
        } else {
            Bitrate::ZERO
        };
        Self { budget, rate, refused: 0 }
    }

    fn spend(&mut self, now: Instant, bytes: usize, cause: RetransmissionCause) -> bool {
        let spent = self.budget.spend(now, self.rate, bytes, cause);
        self.refused += u64::from(!spent && cause != RetransmissionCause::Duplicate);
        spent
    }
}

/// Maximum age of a retransmission on a path with a backlog. The path delays packets instead of losing them, so a
/// packet that it did drop was already late.
const MAX_AGE: Duration = Duration::from_millis(500);

/// Drops retransmissions that would arrive too late on a path with a backlog: old packets, and video while no video is
/// sent, because video restarts with a key frame. Returns the number of dropped retransmissions.
pub(crate) fn drop_late(
    now: Instant,
    holds_video: bool,
    retransmissions: &mut VecDeque<(ConsumerKey, Retransmission)>,
    consumers: &Consumers,
    producers: &Producers,
) -> usize {
    let is_of_use = |&(key, retransmission): &(ConsumerKey, Retransmission)| {
        let consumer = consumers.live(key)?;
        let stream = producers.live(consumer.producer)?.streams.get(usize::from(retransmission.stream))?;
        let age = now.saturating_duration_since(stream.buffer.get(retransmission.source)?.received_at);
        Some(age <= MAX_AGE && !(holds_video && consumer.kind == MediaKind::Video))
    };
    let before = retransmissions.len();
    retransmissions.retain(|retransmission| is_of_use(retransmission).unwrap_or(false));
    before - retransmissions.len()
}

/// Reference to a sent packet, for its retransmission.
pub(crate) fn sent_packet_ref(origin: Origin, sent: &SentPacket) -> SentPacketRef {
    let Origin { consumer, stream, send_stream, .. } = origin;
    let (send_stream, stream) = (send_stream as u8, stream as u8);
    SentPacketRef {
        consumer,
        retransmission: Retransmission { send_stream, stream, source: sent.source, output: sent.output },
    }
}

/// Plans duplicate retransmissions while proactive retransmission is on.
pub(crate) fn plan_duplicates(planning: &mut Planning<'_>, consumers: &mut Consumers, producers: &Producers) {
    while let Some(control) = &mut planning.pacer.control
        && let Some(packet) = control.take_duplicate(planning.now)
    {
        if planning.retransmits_proactively {
            plan_retransmission(planning, packet, RetransmissionCause::Duplicate, consumers, producers);
        }
    }
}

/// Plans a retransmission, if the packet is still in the buffer and within the budget.
pub(crate) fn plan_retransmission(
    planning: &mut Planning<'_>,
    packet: SentPacketRef,
    cause: RetransmissionCause,
    consumers: &mut Consumers,
    producers: &Producers,
) {
    let SentPacketRef { consumer: key, retransmission } = packet;
    let Some(consumer) = consumers.live_mut(key) else { return };
    let Some(producer) = producers.live(consumer.producer) else { return };
    let Some(stream) = producer.streams.get(usize::from(retransmission.stream)) else { return };
    let Some(packet) = stream.buffer.get_recent(planning.now, retransmission.source) else { return };
    let now = planning.now;
    let is_left = consumer.layers.as_ref().is_some_and(|layers| layers.has_left(retransmission.output));
    let cause = if cause == RetransmissionCause::Lost && is_left { RetransmissionCause::Left } else { cause };
    if !planning.retransmissions.spend(now, packet.payload.len(), cause) {
        return;
    }
    if let Some(control) = &mut planning.pacer.control
        && cause == RetransmissionCause::Lost
        && planning.retransmits_proactively
        && consumer.has_rtx(retransmission.send_stream)
    {
        control.duplicate_later(now, SentPacketRef { consumer: key, retransmission });
    }
    let (hop, seq) = planning.hops.next(consumer.uses_transport_seq());
    let written = consumer.write_retransmission_header(&packet, retransmission, hop, planning.egress.space());
    // Without RTX the packet is repeated with its original transport-wide sequence number.
    let seq = seq.filter(|_| consumer.has_rtx(retransmission.send_stream));
    let origin = Origin {
        consumer: key,
        producer: consumer.producer,
        stream: retransmission.stream.into(),
        send_stream: retransmission.send_stream.into(),
    };
    if consumer.traces_packets() {
        plan::trace(planning.egress, consumer, origin, &packet, written, hop, true);
    }
    planning.egress.push(origin, Some(&packet), written, Purpose::Retransmission, seq);
}
