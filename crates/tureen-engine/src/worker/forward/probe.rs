//! Probe packets: retransmissions, or padding only.

use std::num::NonZeroU8;

use crate::keys::ConsumerKey;
use crate::media::consumer::rtp_send_stream::write_filler;
use crate::media::consumer::{Consumer, HopByHopExtensions, Written};
use crate::transport::send_control::Probator;
use crate::worker::forward::egress::{Origin, Purpose};
use crate::worker::forward::plan::Planning;
use crate::worker::forward::{Consumers, Producers};
use tureen_rtc::wire::rtp::{Extension, ExtensionIds, RtpFields};

/// Minimum size of a probe burst, in bytes, for retransmissions; smaller bursts use padding, because retransmissions
/// would be too large.
pub(crate) const MIN_REPEATED: usize = 700;

/// Approximate size of header and tag of a padding packet.
const PROBE_OVERHEAD: usize = 48;

/// Maximum payload of the probator, because its packets are written into the space of headers.
const MAX_PROBATOR: usize = 400;

/// Plans the packets of a probe: retransmissions of recent packets where these are large enough, otherwise padding, on
/// a consumer's RTX stream or as mediasoup's probator.
pub(crate) fn plan_probe(
    planning: &mut Planning<'_>,
    keys: &[ConsumerKey],
    consumers: &mut Consumers,
    producers: &Producers,
) {
    let Some(control) = &mut planning.pacer.control else { return };
    let mut due = control.take_probe();
    if due == 0 {
        return;
    }
    let repeater = keys.iter().copied().find(|&key| consumers.live(key).is_some_and(Consumer::can_probe));
    let numbered =
        keys.iter().copied().find(|&key| consumers.live(key).is_some_and(Consumer::uses_transport_seq));
    while due > 0 {
        let sent = match repeater {
            Some(_) if due >= MIN_REPEATED => plan_repeat(planning, consumers, producers),
            _ => 0,
        };
        let sent = match (sent, repeater.or(numbered)) {
            (0, Some(key)) => plan_padding(planning, key, consumers, due),
            (sent, _) => sent,
        };
        if sent == 0 {
            return;
        }
        due = due.saturating_sub(sent);
    }
}

/// Plans a retransmission of a recent packet. Returns its length, zero if there is none.
fn plan_repeat(planning: &mut Planning<'_>, consumers: &mut Consumers, producers: &Producers) -> usize {
    let Some(recent) = planning.pacer.control.as_mut().and_then(|control| control.next_recent()) else {
        return 0;
    };
    let retransmission = recent.retransmission;
    let Some(consumer) = consumers.live_mut(recent.consumer).filter(|consumer| consumer.can_probe()) else {
        return 0;
    };
    let producer = consumer.producer;
    let stream = usize::from(retransmission.stream);
    let Some(source) = producers.live(producer).and_then(|p| p.streams.get(stream)) else { return 0 };
    let Some(packet) = source.buffer.get_recent(planning.now, retransmission.source) else { return 0 };
    let (hop, seq) = planning.hops.next(true);
    let written = consumer.write_retransmission_header(&packet, retransmission, hop, planning.egress.space());
    let origin = Origin {
        consumer: recent.consumer,
        producer,
        stream,
        send_stream: retransmission.send_stream.into(),
    };
    planning.egress.push(origin, Some(&packet), written, Purpose::Probe, seq)
}

/// Plans a padding packet. Returns its length, zero if no padding can be sent.
fn plan_padding(
    planning: &mut Planning<'_>,
    key: ConsumerKey,
    consumers: &mut Consumers,
    due: usize,
) -> usize {
    let Some(consumer) = consumers.live_mut(key) else { return 0 };
    let origin = Origin { consumer: key, producer: consumer.producer, stream: 0, send_stream: 0 };
    let (hop, seq) = planning.hops.next(true);
    let len = due.saturating_sub(PROBE_OVERHEAD);
    let written = if consumer.can_probe() {
        let padding = NonZeroU8::new(len.clamp(1, 255) as u8).unwrap_or(NonZeroU8::MIN);
        consumer.write_padding(padding, hop, planning.egress.space())
    } else {
        let Some(control) = &mut planning.pacer.control else { return 0 };
        let ids = consumer.header_ids();
        let len = len.clamp(1, MAX_PROBATOR);
        write_probator(control.probator(), ids, hop, len, planning.egress.space())
    };
    planning.egress.push(origin, None, written, Purpose::Probe, seq)
}

fn write_probator(
    probator: &mut Probator,
    ids: &ExtensionIds,
    hop: HopByHopExtensions,
    len: usize,
    space: &mut [u8],
) -> Option<Written> {
    let (index, timestamp) = probator.advance();
    let fields = RtpFields {
        marker: false,
        has_padding: false,
        payload_type: Probator::PAYLOAD_TYPE,
        sequence_number: index as u16,
        timestamp,
        ssrc: Probator::SSRC,
    };
    let mid = ids[Extension::Mid].map(|id| (id, Probator::MID.as_bytes()));
    let written = write_filler(space, &fields, ids, mid, hop, len).ok()?;
    Some(Written { index, ..written })
}
