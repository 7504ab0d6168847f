//! Merges the RTP timestamps of several streams into one timeline.
//!
//! Each simulcast encoding has its own timestamps. The first one sent is the reference; others are shifted by their
//! sender reports or `abs-capture-time`, so that media captured at the same instant has the same timestamp. As in
//! mediasoup, a stream without a report is not switched to unless the reference has ended. If the sender has no clock,
//! or not the same clock for both streams, they are aligned by the arrival times of their packets.

use std::time::{Duration, Instant};

use super::stream_of;
use crate::media::producer::stream::ProducerStream;
use tureen_rtc::receive::recv_stream::RecvStreamStats;

/// Maximum delay of the picture that a switch may cause without another key frame request (mediasoup
/// `MaxExtraOffsetMs`).
const MAX_EXTRA_OFFSET: Duration = Duration::from_millis(75);

/// Maximum disagreement between reports and arrival times about the offset of a stream's timestamps. Encoders and
/// pacers may delay one layer longer than another, but not permanently by more than this.
const MAX_DISAGREEMENT: Duration = Duration::from_millis(250);

/// RTP timeline of one outgoing stream.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Encoding of the reference stream, and the offset subtracted from its timestamps.
    reference: Option<(u8, u32)>,
    /// Highest timestamp sent, and the time it was sent.
    sent: Option<(u32, Instant)>,
    /// True if a key frame was requested because the last one would have delayed the picture for too long.
    key_frame_requested: bool,
}

/// The offset of a stream's timestamps is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misaligned;

impl Timeline {
    /// Handles a new target encoding, which becomes the reference as long as nothing was sent.
    pub(super) fn on_target(&mut self, encoding: u8) {
        if self.sent.is_none() {
            self.reference = Some((encoding, 0));
        }
    }

    /// Records a sent packet.
    pub(super) fn on_sent(&mut self, now: Instant, timestamp: u32) {
        let highest = match self.sent {
            Some((highest, _)) if timestamp.wrapping_sub(highest) as i32 <= 0 => highest,
            _ => timestamp,
        };
        self.sent = Some((highest, now));
    }

    /// True if timestamps of a stream can be aligned.
    pub(super) fn can_align(&self, streams: &[ProducerStream], stream: &ProducerStream) -> bool {
        let Some((reference, _)) = self.reference.filter(|_| self.sent.is_some()) else { return true };
        if usize::from(reference) == stream.encoding_idx {
            return true;
        }
        let newest = stream.stats.highest_timestamp().map(|(timestamp, _)| timestamp);
        newest.is_some_and(|timestamp| self.distance(streams, stream, timestamp).is_some())
            || is_dead(streams, reference)
    }

    /// Offset to subtract from the timestamps of `streams[index]` from the packet with `timestamp` on.
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
                    // The elapsed time is the best estimate of the difference.
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
            // The key frame was captured before the last picture sent, but must have a later timestamp.
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

    /// Handles a switch to the stream with this encoding, shifted by `offset`.
    pub(super) fn on_switched(&mut self, streams: &[ProducerStream], encoding: u8, offset: u32) {
        if self.reference.is_none_or(|(reference, _)| reference != encoding && is_dead(streams, reference)) {
            self.reference = Some((encoding, offset));
        }
    }

    /// Distance of a stream's timestamps from those of the reference for the same instant. Reports determine the
    /// distance if the arrival times agree, because a sender may set its clock between the reports of two streams, or
    /// have no clock.
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
    // Both capture times must have the same source, because the sources differ in precision.
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
