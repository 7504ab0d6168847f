//! Counters and windowed rates of packets.

use std::time::{Duration, Instant};

use crate::units::Bitrate;

/// Default window of a rate (mediasoup: `DefaultWindowSizeMs`).
pub const DEFAULT_RATE_WINDOW: Duration = Duration::from_millis(2500);

/// Maximum number of slots of a window, which bounds the memory of a [`RateMeter`].
const MAX_SLOTS: usize = 25;

/// Total of packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Number of packets.
    pub packets: u64,
    /// Number of bytes.
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
/// Memory is fixed (25 slots, 200 bytes); recording a packet costs O(1) amortised and at most one pass over the slots.
/// A rate is relative to the time that the data in the window spans, so that a young stream is not reported below its
/// rate. No rate is reported without a time span: when no packet is in the window, when all of them are in one
/// millisecond, or when there is a single one before the window has filled.
/// one before the window has filled.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct RateMeter {
    /// Slots of the window other than the newest one.
    slots: [Slot; MAX_SLOTS],
    first: Option<Sample>,
    // The fields that each call uses fill one cache line, because with hundreds of streams none stays cached between
    // packets.
    /// Sums of `slots`.
    bytes_before: u64,
    packets_before: u32,
    newest: u8,
    slot_count: u8,
    window_ms: u32,
    slot_ms: u32,
    /// Bytes and packets since `newest_start`.
    newest_slot: Slot,
    /// Start of the newest slot; `None` before the first packet.
    newest_start: Option<Instant>,
    last_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    bytes: u32,
    packets: u32,
}

/// First packet of the measured period.
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
    /// Creates a meter with a window of at least 1 ms and at most 49 days, in whole milliseconds.
    ///
    /// A longer window smooths more and reacts later to the end of a stream; it costs no more memory.
    pub fn new(window: Duration) -> Self {
        let window_ms = u32::try_from(window.as_millis()).unwrap_or(u32::MAX).max(1);
        let slot_ms = window_ms.div_ceil(MAX_SLOTS as u32);
        Self {
            window_ms,
            slot_ms,
            slot_count: window_ms.div_ceil(slot_ms) as u8,
            newest: 0,
            newest_start: None,
            last_at: None,
            bytes_before: 0,
            packets_before: 0,
            newest_slot: Slot::default(),
            first: None,
            slots: [Slot::default(); MAX_SLOTS],
        }
    }

    /// Records one packet of `bytes`. A packet with an instant before the newest slot is counted in that slot.
    pub fn add(&mut self, now: Instant, bytes: usize) {
        let was_empty = self.packets_in_window() == 0;
        self.slide(now);

        if self.packets_in_window() == 0 {
            // A stream that sends less often than the window keeps its period; after a pause of 1.5 windows a new
            // period starts.
            let is_over = |last: Instant| ms(now, last) >= u64::from(self.window_ms) * 3 / 2;
            let continues = !was_empty && !self.last_at.is_none_or(is_over);
            if self.first.is_none() || !continues {
                self.first = Some(Sample { at: now, bytes: bytes as u64 });
            }
        }
        let slot = &mut self.newest_slot;
        // Bytes beyond a slot's range are dropped, so that the sum stays consistent.
        let counted = u32::try_from(bytes).unwrap_or(u32::MAX).min(u32::MAX - slot.bytes);
        slot.bytes += counted;
        slot.packets = slot.packets.saturating_add(1);
        self.last_at = Some(now);
    }

    /// Bits per second within the window that ends at `now`.
    pub fn bitrate(&mut self, now: Instant) -> Option<Bitrate> {
        let period = self.measured_period(now)?;
        let bytes = self.bytes_before + u64::from(self.newest_slot.bytes)
            - if period.anchored { self.first.map_or(0, |first| first.bytes) } else { 0 };
        Some(Bitrate::bps(per_second(bytes * 8, period.millis).round() as u64))
    }

    /// Removes all packets from the window.
    pub fn reset(&mut self) {
        *self = Self::new(Duration::from_millis(self.window_ms.into()));
    }

    fn packets_in_window(&self) -> u32 {
        self.packets_before.saturating_add(self.newest_slot.packets)
    }

    fn measured_period(&mut self, now: Instant) -> Option<Period> {
        self.slide(now);
        let first = self.first?;
        if self.packets_in_window() == 0 {
            return None;
        }
        // The millisecond of the first packet is included, so that the period is never zero.
        let window_ms = u64::from(self.window_ms);
        let millis = (ms(now, first.at) + 1).min(window_ms);
        let full = millis == window_ms;
        if millis <= 1 || (self.packets_in_window() <= 1 && !full) {
            return None;
        }
        // A period that starts at a packet does not include the time before that packet.
        Some(Period { millis, anchored: !full })
    }

    /// Moves the window to `now` and drops expired slots.
    fn slide(&mut self, now: Instant) {
        let Some(start) = self.newest_start else {
            self.newest_start = Some(now);
            return;
        };
        let steps = ms(now, start) / u64::from(self.slot_ms);
        if steps == 0 {
            return;
        }
        if steps >= u64::from(self.slot_count) {
            self.slots = [Slot::default(); MAX_SLOTS];
            (self.bytes_before, self.packets_before) = (0, 0);
            (self.newest, self.newest_slot) = (0, Slot::default());
            self.newest_start = Some(now);
            return;
        }
        for _ in 0..steps {
            let over = std::mem::take(&mut self.newest_slot);
            self.slots[usize::from(self.newest)] = over;
            self.newest = (self.newest + 1) % self.slot_count;
            let gone = std::mem::take(&mut self.slots[usize::from(self.newest)]);
            self.bytes_before = self.bytes_before + u64::from(over.bytes) - u64::from(gone.bytes);
            self.packets_before =
                self.packets_before.saturating_add(over.packets).saturating_sub(gone.packets);
        }
        // Moved by whole slots, because moving to `now` would stretch the slots and the window.
        self.newest_start = Some(start + Duration::from_millis(steps * u64::from(self.slot_ms)));
    }
}

/// Whole milliseconds from one instant to a later one.
fn ms(later: Instant, earlier: Instant) -> u64 {
    later.saturating_duration_since(earlier).as_millis() as u64
}

struct Period {
    millis: u64,
    /// True if the period starts at a packet that is still in the window.
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
