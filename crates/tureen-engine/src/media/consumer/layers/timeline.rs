//! One line of RTP timestamps out of those of several streams.
//!
//! Each encoding of a simulcast has timestamps of its own. The one that is sent first is the reference; others are
//! shifted so that what was captured at the same instant has the same timestamp, by the sender's reports or
//! `abs-capture-time`. As in mediasoup, a stream that has not reported yet is not gone over to, unless the reference has died.
//! Where the sender has no clock, or not the same one for both streams, they are aligned by when their packets came.

use std::time::{Duration, Instant};

use super::stream_of;
use crate::media::producer::stream::ProducerStream;
use tureen_rtc::receive::recv_stream::RecvStreamStats;

/// The furthest that a switch may put off the picture without asking for another key frame first (mediasoup
/// `MaxExtraOffsetMs`).
const MAX_EXTRA_OFFSET: Duration = Duration::from_millis(75);

/// How far reports and arrivals may disagree about where a stream's timestamps belong. Encoders and pacers hold one layer up
/// for longer than another, but not by more than this for all of the time.
const MAX_DISAGREEMENT: Duration = Duration::from_millis(250);

/// The timestamps of one consumer stream.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Encoding of the stream by which others are aligned, and what is subtracted from its timestamps.
    reference: Option<(u8, u32)>,
    /// Highest timestamp sent, and when.
    sent: Option<(u32, Instant)>,
    /// A key frame was asked for because the last one would have put off the picture for too long.
    key_frame_requested: bool,
}

/// It can't be told where a stream's timestamps belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misaligned;

impl Timeline {
    /// Another encoding is aimed at. As long as nothing was sent it becomes the reference.
    pub(super) fn on_target(&mut self, encoding: u8) {
        if self.sent.is_none() {
            self.reference = Some((encoding, 0));
        }
    }

    /// A packet was sent.
    pub(super) fn on_sent(&mut self, now: Instant, timestamp: u32) {
        let highest = match self.sent {
            Some((highest, _)) if timestamp.wrapping_sub(highest) as i32 <= 0 => highest,
            _ => timestamp,
        };
        self.sent = Some((highest, now));
    }

    /// Whether packets of a stream could be given timestamps.
    pub(super) fn can_align(&self, streams: &[ProducerStream], stream: &ProducerStream) -> bool {
        let Some((reference, _)) = self.reference.filter(|_| self.sent.is_some()) else { return true };
        if usize::from(reference) == stream.encoding_idx {
            return true;
        }
        let newest = stream.stats.highest_timestamp().map(|(timestamp, _)| timestamp);
        newest.is_some_and(|timestamp| self.distance(streams, stream, timestamp).is_some())
            || is_dead(streams, reference)
    }

    /// What is to be subtracted from the timestamps of `streams[index]` from the packet with `timestamp` on.
    pub(super) fn align(
        &mut self,
        now: Instant,
        streams: &[ProducerStream],
        index: usize,
        timestamp: u32,
        switches: bool,
    ) -> Result<u32, Misaligned> {
        let stream = &streams[index];
        let encoding = stream.encoding_idx as u8;
        let Some((highest, sent_at)) = self.sent else {
            self.reference = Some((encoding, 0));
            return Ok(0);
        };
        let clock_rate = stream.codec.clock_rate;
        let mut offset = match self.reference {
            Some((reference, offset)) if reference == encoding => offset,
            Some((reference, offset)) => match self.distance(streams, stream, timestamp) {
                Some(distance) => distance.wrapping_add(offset),
                None if is_dead(streams, reference) => {
                    // As much later as time has passed is the best guess.
                    let elapsed =
                        ticks(now.saturating_duration_since(sent_at), clock_rate).clamp(1, i32::MAX as u32);
                    let offset = timestamp.wrapping_sub(highest).wrapping_sub(elapsed);
                    self.reference = Some((encoding, offset));
                    offset
                }
                None => return Err(Misaligned),
            },
            None => 0,
        };
        let ahead = timestamp.wrapping_sub(offset).wrapping_sub(highest) as i32;
        if switches && ahead <= 0 {
            // The key frame was captured before what was sent last: it must come after it all the same.
            let extra = ahead.unsigned_abs().wrapping_add(1);
            if extra > ticks(MAX_EXTRA_OFFSET, clock_rate) && !self.key_frame_requested {
                self.key_frame_requested = true;
                return Err(Misaligned);
            }
            offset = offset.wrapping_sub(extra);
        }
        self.key_frame_requested = false;
        Ok(offset)
    }

    /// The stream with this encoding is sent now, shifted by `offset`.
    pub(super) fn on_switched(&mut self, streams: &[ProducerStream], encoding: u8, offset: u32) {
        if self.reference.is_none_or(|(reference, _)| reference != encoding && is_dead(streams, reference)) {
            self.reference = Some((encoding, offset));
        }
    }

    /// How far the timestamps of a stream are ahead of those of the reference for the same instant: as reports tell it, if
    /// their packets came accordingly. A sender's clock may be set between the reports of two streams, or be none at all.
    fn distance(&self, streams: &[ProducerStream], stream: &ProducerStream, timestamp: u32) -> Option<u32> {
        let reference = &stream_of(streams, self.reference?.0)?.stats;
        let by_arrival = distance_by_arrival(reference, &stream.stats);
        let reported = distance_by_reports(reference, &stream.stats, timestamp);
        let Some(by_arrival) = by_arrival else { return reported };
        match reported {
            Some(reported) => {
                let off = reported.wrapping_sub(by_arrival).cast_signed().unsigned_abs();
                let is_likely = off <= ticks(MAX_DISAGREEMENT, stream.codec.clock_rate);
                Some(if is_likely { reported } else { by_arrival })
            }
            None => (reference.lacks_clock() || stream.stats.lacks_clock()).then_some(by_arrival),
        }
    }
}

fn distance_by_reports(reference: &RecvStreamStats, stream: &RecvStreamStats, timestamp: u32) -> Option<u32> {
    let (reference_timestamp, _) = reference.highest_timestamp()?;
    // Both by the same source: one is more exact than the other.
    let (reference_captured, captured) = reference
        .capture_ntp_by_extension(reference_timestamp)
        .zip(stream.capture_ntp_by_extension(timestamp))
        .or_else(|| reference.capture_ntp(reference_timestamp).zip(stream.capture_ntp(timestamp)))?;
    // 32.32 fixed point seconds.
    let later = i128::from(captured) - i128::from(reference_captured);
    let later = (later * i128::from(stream.clock_rate())) >> 32;
    Some(timestamp.wrapping_sub(later as u32).wrapping_sub(reference_timestamp))
}

fn distance_by_arrival(reference: &RecvStreamStats, stream: &RecvStreamStats) -> Option<u32> {
    let (reference_timestamp, reference_at) = reference.earliest_arrival()?;
    let (timestamp, at) = stream.earliest_arrival()?;
    let ahead = timestamp.wrapping_sub(reference_timestamp);
    let clock_rate = stream.clock_rate();
    Some(match at.checked_duration_since(reference_at) {
        Some(later) => ahead.wrapping_sub(ticks(later, clock_rate)),
        None => ahead.wrapping_add(ticks(reference_at - at, clock_rate)),
    })
}

fn is_dead(streams: &[ProducerStream], encoding: u8) -> bool {
    stream_of(streams, encoding).is_none_or(|stream| !stream.is_alive())
}

fn ticks(time: Duration, clock_rate: u32) -> u32 {
    u32::try_from(time.as_micros() * u128::from(clock_rate) / 1_000_000).unwrap_or(u32::MAX)
}
