//! How good the way to the remote side is, as statistics tell it.

use std::time::Duration;

/// What a measurement counts against those before it (mediasoup `WeightFactor`).
const ROUND_TRIP_WEIGHT: f32 = 0.3;

/// What is left of a feedback's share in the loss when the next one comes; they come some ten times a second.
const LOSS_MEMORY: f64 = 0.9;

/// Round trip time and loss of a transport, smoothed.
#[derive(Debug, Default)]
pub(crate) struct PathQuality {
    round_trip_ms: Option<f32>,
    /// Of the remote side's packets, by the transport-wide numbers that came.
    pub(crate) loss_received: LossShare,
    /// Of ours, by the remote side's transport-wide feedback.
    pub(crate) loss_sent: LossShare,
}

impl PathQuality {
    /// A report told the round trip time.
    pub(crate) fn add_round_trip(&mut self, measured: Duration) {
        let measured = measured.as_secs_f32() * 1000.0;
        let before = self.round_trip_ms.unwrap_or(measured);
        self.round_trip_ms = Some(before + (measured - before) * ROUND_TRIP_WEIGHT);
    }

    /// Milliseconds there and back, once measured.
    pub(crate) fn round_trip_ms(&self) -> Option<f32> {
        self.round_trip_ms
    }
}

/// Part of recent packets that was lost.
#[derive(Debug, Default)]
pub(crate) struct LossShare {
    lost: f64,
    sent: f64,
}

impl LossShare {
    /// Of `sent` packets in a row, `arrived` did.
    pub(crate) fn add(&mut self, sent: usize, arrived: usize) {
        self.sent = self.sent * LOSS_MEMORY + sent as f64;
        self.lost = self.lost * LOSS_MEMORY + sent.saturating_sub(arrived) as f64;
    }

    /// 0 to 1; nothing before the first feedback.
    pub(crate) fn read(&self) -> Option<f64> {
        (self.sent > 0.0).then(|| self.lost / self.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_a_share_of_recent_packets() {
        let mut share = LossShare::default();
        assert_eq!(share.read(), None);
        share.add(10, 9);
        assert_eq!(share.read(), Some(0.1));
        for _ in 0..100 {
            share.add(20, 20);
        }
        assert!(share.read().is_some_and(|loss| loss < 0.001));
    }

    #[test]
    fn round_trip_follows_the_measurements() {
        let mut quality = PathQuality::default();
        assert_eq!(quality.round_trip_ms(), None);
        quality.add_round_trip(Duration::from_millis(100));
        assert_eq!(quality.round_trip_ms(), Some(100.0));
        for _ in 0..20 {
            quality.add_round_trip(Duration::from_millis(200));
        }
        assert!(quality.round_trip_ms().is_some_and(|ms| (199.0..=200.0).contains(&ms)));
    }
}
