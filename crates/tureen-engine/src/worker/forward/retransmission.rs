//! What a transport sends again: asked for, lost by feedback, or ahead of time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::keys::ConsumerKey;
use crate::media::consumer::Resend;
use crate::media::consumer::sent_log::SentPacket;
use crate::transport::Meter;
use crate::transport::repairs::{Repair, RepairBudget};
use crate::transport::send_control::{Recent, SendControl};
use crate::worker::forward::egress::{Origin, Purpose};
use crate::worker::forward::plan::Planning;
use crate::worker::forward::{Consumers, Producers, plan};
use tureen_rtc::units::Bitrate;
use tureen_types::rtp_parameters::MediaKind;

/// What may be sent again.
pub(crate) struct RepairAllowance<'a> {
    budget: &'a mut RepairBudget,
    rate: Bitrate,
    pub(crate) refused: u64,
}

impl<'a> RepairAllowance<'a> {
    /// Of a transport whose `control` is this. That costs nothing while there is nothing to be sent again.
    pub(crate) fn new(
        now: Instant,
        budget: &'a mut RepairBudget,
        control: Option<&SendControl>,
        media: &mut Meter,
        floor: Bitrate,
        is_asked: bool,
    ) -> Self {
        let has_copies = control.is_some_and(|control| control.repairs.next_copy_at().is_some());
        let rate = if is_asked || has_copies {
            let media = media.bitrate(now).unwrap_or(Bitrate::ZERO);
            RepairBudget::rate(control.map(SendControl::repair_rate), media, floor)
        } else {
            Bitrate::ZERO
        };
        Self { budget, rate, refused: 0 }
    }

    fn spend(&mut self, now: Instant, bytes: usize, repair: Repair) -> bool {
        let spent = self.budget.spend(now, self.rate, bytes, repair);
        self.refused += u64::from(!spent && repair == Repair::Lost);
        spent
    }
}

/// What a path has dropped that keeps what it can't carry yet was late then already.
const MAX_AGE: Duration = Duration::from_millis(500);

/// Drops what such a path is asked for and would come too late: old packets, and video while it waits anyway, because it
/// goes on with a key frame. Gives how many.
pub(crate) fn drop_late(
    now: Instant,
    holds_video: bool,
    resends: &mut VecDeque<(ConsumerKey, Resend)>,
    consumers: &Consumers,
    producers: &Producers,
) -> usize {
    let is_of_use = |&(key, resend): &(ConsumerKey, Resend)| {
        let consumer = consumers.live(key)?;
        let stream = producers.live(consumer.producer)?.streams.get(usize::from(resend.stream))?;
        let age = now.saturating_duration_since(stream.buffer.get(resend.source)?.received_at);
        Some(age <= MAX_AGE && !(holds_video && consumer.kind == MediaKind::Video))
    };
    let before = resends.len();
    resends.retain(|resend| is_of_use(resend).unwrap_or(false));
    before - resends.len()
}

/// What to send again of a packet that is sent.
pub(crate) fn recent(origin: Origin, sent: &SentPacket) -> Recent {
    let Origin { consumer, stream, outlet, .. } = origin;
    let (outlet, stream) = (outlet as u8, stream as u8);
    Recent { consumer, resend: Resend { outlet, stream, source: sent.source, output: sent.output } }
}

/// Plans copies of repairs, as far as the line still bears them.
pub(crate) fn plan_copies(planning: &mut Planning<'_>, consumers: &mut Consumers, producers: &Producers) {
    while let Some(control) = &mut planning.gate.control
        && let Some(packet) = control.repairs.take_copy(planning.now)
    {
        if planning.repairs_ahead {
            plan_resend(planning, packet, Repair::Copy, consumers, producers);
        }
    }
}

/// Plans a packet that is sent again, if it is still there and may be repeated.
pub(crate) fn plan_resend(
    planning: &mut Planning<'_>,
    packet: Recent,
    repair: Repair,
    consumers: &mut Consumers,
    producers: &Producers,
) {
    let Recent { consumer: key, resend } = packet;
    let Some(consumer) = consumers.live_mut(key) else { return };
    let Some(producer) = producers.live(consumer.producer) else { return };
    let Some(stream) = producer.streams.get(usize::from(resend.stream)) else { return };
    let Some(packet) = stream.buffer.get_recent(planning.now, resend.source) else { return };
    let now = planning.now;
    if !planning.repairs.spend(now, packet.payload.len(), repair) {
        return;
    }
    if let Some(control) = &mut planning.gate.control
        && repair == Repair::Lost
        && planning.repairs_ahead
        && consumer.has_rtx(resend.outlet)
    {
        control.repairs.copy_later(now, Recent { consumer: key, resend });
    }
    let (hop, seq) = planning.hops.next(consumer.uses_transport_seq());
    let written = consumer.write_resend_header(&packet, resend, hop, planning.egress.space());
    // Without RTX it is repeated as it was, number and all.
    let seq = seq.filter(|_| consumer.has_rtx(resend.outlet));
    let origin = Origin {
        consumer: key,
        producer: consumer.producer,
        stream: resend.stream.into(),
        outlet: resend.outlet.into(),
    };
    if consumer.traces_packets() {
        plan::trace(planning.egress, consumer, origin, &packet, written, hop, true);
    }
    planning.egress.push(origin, Some(&packet), written, Purpose::Resend, seq);
}
