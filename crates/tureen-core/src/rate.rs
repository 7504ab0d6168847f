//! Counters and windowed rates of what passes through a stream or a transport.

use std::time::{Duration, Instant};

use crate::units::Bitrate;

/// The window over which rates are measured unless told otherwise (mediasoup: `DefaultWindowSizeMs`).
pub const DEFAULT_RATE_WINDOW: Duration = Duration::from_millis(2500);

/// Into how many slots a window is split at most; also the memory bound of a [`RateMeter`].
const MAX_SLOTS: usize = 25;

/// How many packets and bytes have passed since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Counter {
    /// Counts one packet of `bytes`.
    pub fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

/// Rate of bytes and packets within a sliding window (mediasoup: `RateCalculator`).
///
/// The memory is fixed (25 slots, 400 bytes), recording a packet costs O(1) amortised and never more than one walk over
/// the slots. Rates refer to the period that the data in the window really spans, so that a young stream is
/// not reported as a fraction of its rate. There is no rate while there is nothing to divide by: no packet in
/// the window, all of them in one millisecond, or a single one while the window has not filled.
#[derive(Clone, Debug)]
pub struct RateMeter {
    window: Duration,
    slot_duration: Duration,
    slot_count: usize,
    slots: [Slot; MAX_SLOTS],
    newest: usize,
    /// When the newest slot starts; `None` before the first packet.
    newest_start: Option<Instant>,
    in_window: Slot,
    first: Option<Sample>,
    last_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    bytes: u64,
    packets: u32,
}

/// The packet at which the measured period starts.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    bytes: u64,
}

impl Default for RateMeter {
    fn default() -> Self {
        Self::new(DEFAULT_RATE_WINDOW)
    }
}

impl RateMeter {
    /// A meter of `window` (at least 1 ms, rounded down to whole milliseconds).
    ///
    /// A longer window smooths more and sees the end of a stream later; it does not cost more memory.
    pub fn new(window: Duration) -> Self {
        let window_ms = (window.as_millis() as u64).max(1);
        let slot_ms = window_ms.div_ceil(MAX_SLOTS as u64);
        Self {
            window: Duration::from_millis(window_ms),
            slot_duration: Duration::from_millis(slot_ms),
            slot_count: window_ms.div_ceil(slot_ms) as usize,
            slots: [Slot::default(); MAX_SLOTS],
            newest: 0,
            newest_start: None,
            in_window: Slot::default(),
            first: None,
            last_at: None,
        }
    }

    /// Records one packet of `bytes`.
    ///
    /// An instant before the newest slot counts as that slot's.
    pub fn add(&mut self, now: Instant, bytes: usize) {
        // A stream that merely sends less often than the window keeps its period; one that comes back after a
        // real pause starts a new one.
        let continues = self.in_window.packets != 0
            && self.last_at.is_some_and(|last| now.saturating_duration_since(last) < self.window * 3 / 2);
        self.slide(now);

        let bytes = bytes as u64;
        if self.first.is_none() || (self.in_window.packets == 0 && !continues) {
            self.first = Some(Sample { at: now, bytes });
        }
        for slot in [&mut self.slots[self.newest], &mut self.in_window] {
            slot.bytes += bytes;
            slot.packets = slot.packets.saturating_add(1);
        }
        self.last_at = Some(now);
    }

    /// Bits per second within the window that ends at `now`.
    pub fn bitrate(&mut self, now: Instant) -> Option<Bitrate> {
        let period = self.measured_period(now)?;
        let bytes = self.in_window.bytes
            - if period.anchored { self.first.map_or(0, |first| first.bytes) } else { 0 };
        Some(Bitrate::bps(per_second(bytes * 8, period.millis).round() as u64))
    }

    /// Packets per second within the window that ends at `now`.
    pub fn packet_rate(&mut self, now: Instant) -> Option<f64> {
        let period = self.measured_period(now)?;
        let packets = self.in_window.packets - u32::from(period.anchored);
        Some(per_second(u64::from(packets), period.millis))
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Self::new(self.window);
    }

    fn measured_period(&mut self, now: Instant) -> Option<Period> {
        self.slide(now);
        let first = self.first?;
        if self.in_window.packets == 0 {
            return None;
        }
        // The millisecond of the first packet counts, so that the period is never zero.
        let window_ms = self.window.as_millis() as u64;
        let millis = (now.saturating_duration_since(first.at).as_millis() as u64 + 1).min(window_ms);
        let full = millis == window_ms;
        if millis <= 1 || (self.in_window.packets <= 1 && !full) {
            return None;
        }
        // While the period starts at a packet it does not cover the time which that packet took to arrive.
        Some(Period { millis, anchored: !full })
    }

    /// Makes the slot of `now` the newest one and forgets those that left the window.
    fn slide(&mut self, now: Instant) {
        let Some(start) = self.newest_start else {
            self.newest_start = Some(now);
            return;
        };
        let elapsed = now.saturating_duration_since(start);
        if elapsed < self.slot_duration {
            return;
        }
        // Whole milliseconds are exact enough here and spare a division of 128 bits.
        let steps = elapsed.as_millis() as u64 / self.slot_duration.as_millis() as u64;
        if steps >= self.slot_count as u64 {
            self.slots = [Slot::default(); MAX_SLOTS];
            self.in_window = Slot::default();
            self.newest = 0;
            self.newest_start = Some(now);
            return;
        }
        let steps = steps as u32;
        for _ in 0..steps {
            self.newest = (self.newest + 1) % self.slot_count;
            let gone = std::mem::take(&mut self.slots[self.newest]);
            self.in_window.bytes -= gone.bytes;
            self.in_window.packets = self.in_window.packets.saturating_sub(gone.packets);
        }
        // By whole slots, not to `now`: otherwise the slots would stretch and the window with them.
        self.newest_start = Some(start + self.slot_duration * steps);
    }
}

struct Period {
    millis: u64,
    /// Whether the period starts at a packet that is still in the window.
    anchored: bool,
}

fn per_second(amount: u64, millis: u64) -> f64 {
    amount as f64 * 1000.0 / millis as f64
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn constant_stream_is_measured_exactly_once_the_window_is_full() {
        let t0 = Instant::now();
        let mut meter = RateMeter::default();
        for i in 0..500 {
            meter.add(t0 + ms(10 * i), 1000);
        }
        assert_eq!(meter.bitrate(t0 + ms(4999)), Some(Bitrate::kbps(800)));
        assert_eq!(meter.packet_rate(t0 + ms(4999)), Some(100.0));
    }

    #[test]
    fn young_stream_is_not_reported_as_a_fraction() {
        let t0 = Instant::now();
        let mut meter = RateMeter::default();
        for i in 0..11 {
            meter.add(t0 + ms(10 * i), 1000);
        }
        // Ten gaps of 10 ms, the first packet only starts the clock.
        let rate = meter.bitrate(t0 + ms(100)).unwrap().as_bps();
        assert_eq!(rate, (80_000f64 * 1000.0 / 101.0).round() as u64);
    }

    #[test]
    fn too_little_data_gives_no_rate() {
        let t0 = Instant::now();
        let mut meter = RateMeter::default();
        assert_eq!(meter.bitrate(t0), None);
        meter.add(t0, 100);
        assert_eq!(meter.bitrate(t0), None, "a single millisecond");
        assert_eq!(meter.bitrate(t0 + ms(500)), None, "a single packet");
        meter.add(t0 + ms(500), 100);
        assert!(meter.bitrate(t0 + ms(500)).is_some());
    }

    #[test]
    fn rate_ends_when_the_window_has_passed() {
        let t0 = Instant::now();
        let mut meter = RateMeter::default();
        for i in 0..100 {
            meter.add(t0 + ms(i * 10), 1200);
        }
        assert!(meter.bitrate(t0 + ms(3000)).is_some());
        assert_eq!(meter.bitrate(t0 + ms(990 + 2500 + 25)), None);
    }

    #[test]
    fn stream_after_a_pause_starts_a_new_period() {
        let t0 = Instant::now();
        let mut meter = RateMeter::default();
        meter.add(t0, 1200);
        meter.add(t0 + ms(10), 1200);
        let again = t0 + ms(60_000);
        meter.add(again, 1000);
        meter.add(again + ms(99), 1000);
        assert_eq!(meter.bitrate(again + ms(99)), Some(Bitrate::kbps(80)));
    }

    #[test]
    fn stream_slower_than_the_window_is_measured_over_the_window() {
        let t0 = Instant::now();
        let mut meter = RateMeter::default();
        for i in 0..10 {
            meter.add(t0 + ms(3000 * i), 2500);
        }
        assert_eq!(meter.bitrate(t0 + ms(27_000)), Some(Bitrate::bps(8000)));
    }

    #[test]
    fn time_running_backwards_is_harmless() {
        let t0 = Instant::now() + ms(10_000);
        let mut meter = RateMeter::default();
        meter.add(t0, 100);
        meter.add(t0 - ms(5000), 100);
        meter.add(t0 + ms(99), 100);
        assert_eq!(meter.bitrate(t0 + ms(99)), Some(Bitrate::kbps(16)));
    }

    #[test]
    fn window_of_another_length_is_kept() {
        let t0 = Instant::now();
        let mut meter = RateMeter::new(ms(6000));
        for i in 0..200 {
            meter.add(t0 + ms(i * 100), 100);
        }
        let rate = meter.bitrate(t0 + ms(19_950)).unwrap().as_bps();
        assert!((7_600..=8_100).contains(&rate), "{rate}");
    }
}
