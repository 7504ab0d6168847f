//! Round trip time and loss of the path to the remote endpoint, for statistics.

use std::time::Duration;

/// Weight of a new measurement (mediasoup `WeightFactor`).
const ROUND_TRIP_WEIGHT: f32 = 0.3;

/// Factor by which each feedback, received some ten times a second, reduces the weight of earlier ones in the loss.
const LOSS_MEMORY: f64 = 0.9;

/// Smoothed round trip time and loss of a transport.
#[derive(Debug, Default)]
pub(crate) struct PathQuality {
    round_trip_ms: Option<f32>,
    /// Loss of received packets, by their transport-wide sequence numbers.
    pub(crate) loss_received: LossShare,
    /// Loss of sent packets, by the remote endpoint's transport-wide feedback.
    pub(crate) loss_sent: LossShare,
}

impl PathQuality {
    /// Adds a round trip time from a report.
    pub(crate) fn add_round_trip(&mut self, measured: Duration) {
        let measured = measured.as_secs_f32() * 1000.0;
        let before = self.round_trip_ms.unwrap_or(measured);
        self.round_trip_ms = Some(before + (measured - before) * ROUND_TRIP_WEIGHT);
    }

    /// Round trip time in ms, once measured.
    pub(crate) fn round_trip_ms(&self) -> Option<f32> {
        self.round_trip_ms
    }
}

/// Fraction of recent packets lost.
#[derive(Debug, Default)]
pub(crate) struct LossShare {
    lost: f64,
    sent: f64,
}

impl LossShare {
    /// Adds a sequence of `sent` packets, of which `arrived` were received.
    pub(crate) fn add(&mut self, sent: usize, arrived: usize) {
        self.sent = self.sent * LOSS_MEMORY + sent as f64;
        self.lost = self.lost * LOSS_MEMORY + sent.saturating_sub(arrived) as f64;
    }

    /// Fraction lost, 0 to 1; `None` before the first feedback.
    pub(crate) fn read(&self) -> Option<f64> {
        (self.sent > 0.0).then(|| self.lost / self.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_a_fraction_of_recent_packets() {
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
