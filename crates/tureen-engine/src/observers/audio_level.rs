//! Observer of audio levels (mediasoup `AudioLevelObserver`).
//!
//! The levels are those of a header extension (RFC 6464) written by the senders; nothing is decoded.

use std::cmp::Reverse;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::api::RequestError;
use crate::keys::ProducerKey;
use tureen_rtc::wire::rtp::extension::AudioLevel;

/// Options of an AudioLevelObserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevelOptions {
    /// Maximum number of producers in a report.
    pub max_entries: NonZeroU16,
    /// Minimum average level that is reported, −127 to 0 dBov.
    pub threshold: i8,
    /// Time between two reports; limited to [`AudioLevelOptions::MIN_INTERVAL`] and
    /// [`AudioLevelOptions::MAX_INTERVAL`].
    pub interval: Duration,
}

impl AudioLevelOptions {
    /// Shortest time between two reports.
    pub const MIN_INTERVAL: Duration = Duration::from_millis(250);
    /// Longest time between two reports.
    pub const MAX_INTERVAL: Duration = Duration::from_secs(5);
}

/// Report on one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AudioReport {
    /// The loudest producers with their average levels in dBov, −127 to 0, the loudest first. Never empty.
    Volumes(Vec<(ProducerKey, i8)>),
    /// No producer has reached the threshold. Reported once, until a producer reaches the threshold again.
    Silence,
}

/// Averages the audio levels of its producers over successive intervals until it is paused.
///
/// Packets are passed to [`handle_packet`](Self::handle_packet); reports are returned by
/// [`handle_timeout`](Self::handle_timeout), which must be called at [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub(crate) struct AudioLevelObserver {
    options: AudioLevelOptions,
    producers: HashMap<ProducerKey, Levels>,
    silent: bool,
    /// End of the interval; `None` while paused.
    ends_at: Option<Instant>,
}

/// Levels of one producer in this interval.
#[derive(Debug, Default)]
struct Levels {
    /// Sum of the values of the extension, which are −dBov.
    sum: u64,
    count: u64,
}

/// Minimum number of packets of a producer in an interval. A producer with fewer is left out of the report.
const MIN_PACKETS: u64 = 10;

impl AudioLevelObserver {
    /// Creates an observer without producers; the first interval begins now.
    ///
    /// # Errors
    /// A threshold above 0 dBov.
    pub(crate) fn new(now: Instant, options: AudioLevelOptions) -> Result<Self, RequestError> {
        if options.threshold > 0 {
            return Err(RequestError::Invalid(format!("invalid threshold value {}", options.threshold)));
        }
        let interval =
            options.interval.clamp(AudioLevelOptions::MIN_INTERVAL, AudioLevelOptions::MAX_INTERVAL);
        let options = AudioLevelOptions { interval, ..options };
        Ok(Self { options, producers: HashMap::new(), silent: true, ends_at: Some(now + interval) })
    }

    pub(crate) fn producers(&self) -> impl Iterator<Item = ProducerKey> {
        self.producers.keys().copied()
    }

    /// Observes a producer. Returns false if it was observed already.
    pub(crate) fn add_producer(&mut self, producer: ProducerKey) -> bool {
        self.producers.try_insert(producer, Levels::default()).is_ok()
    }

    /// Removes a producer and its levels.
    pub(crate) fn remove_producer(&mut self, producer: ProducerKey) {
        self.producers.remove(&producer);
    }

    /// Discards the levels of a producer in this interval because it was paused.
    pub(crate) fn producer_paused(&mut self, producer: ProducerKey) {
        if let Some(levels) = self.producers.get_mut(&producer) {
            *levels = Levels::default();
        }
    }

    /// Adds the level of a packet.
    pub(crate) fn handle_packet(&mut self, producer: ProducerKey, level: AudioLevel) {
        if self.is_paused() {
            return;
        }
        if let Some(levels) = self.producers.get_mut(&producer) {
            levels.sum += u64::from(level.level);
            levels.count += 1;
        }
    }

    /// End of the interval; `None` while paused.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.ends_at
    }

    /// Returns the report on the interval if it has ended, and begins the next one.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<AudioReport> {
        if self.ends_at.is_none_or(|at| now < at) {
            return None;
        }
        self.ends_at = Some(now + self.options.interval);
        let mut volumes: Vec<_> = self
            .producers
            .iter()
            .filter_map(|(&key, levels)| Some((key, levels.average()?)))
            .filter(|&(_, volume)| volume >= self.options.threshold)
            .collect();
        // Reset before the return below, because each interval starts without levels.
        self.forget_levels();
        if volumes.is_empty() {
            return self.fall_silent();
        }
        // The key is compared too, so that the same input gives the same output.
        volumes.sort_unstable_by_key(|&(key, volume)| (Reverse(volume), key));
        volumes.truncate(usize::from(self.options.max_entries.get()));
        self.silent = false;
        Some(AudioReport::Volumes(volumes))
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.ends_at.is_none()
    }

    /// Pauses the observer, which reports silence if a producer was reported before.
    pub(crate) fn pause(&mut self) -> Option<AudioReport> {
        self.ends_at = None;
        self.forget_levels();
        self.fall_silent()
    }

    /// Begins a new interval if the observer is paused.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.ends_at.get_or_insert(now + self.options.interval);
    }

    fn fall_silent(&mut self) -> Option<AudioReport> {
        (!std::mem::replace(&mut self.silent, true)).then_some(AudioReport::Silence)
    }

    fn forget_levels(&mut self) {
        for levels in self.producers.values_mut() {
            *levels = Levels::default();
        }
    }
}

impl Levels {
    /// Average level in dBov, rounded towards 0 as in mediasoup. `None` for too few packets.
    fn average(&self) -> Option<i8> {
        let level = (self.count >= MIN_PACKETS).then(|| self.sum / self.count)?;
        Some(-i8::try_from(level).expect("levels are at most 127"))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(800);

    fn options(max_entries: u16) -> AudioLevelOptions {
        let max_entries = NonZeroU16::new(max_entries).unwrap();
        AudioLevelOptions { max_entries, threshold: -80, interval: INTERVAL }
    }

    /// An observer of three producers.
    fn observer(max_entries: u16) -> (AudioLevelObserver, [ProducerKey; 3], Instant) {
        let now = Instant::now();
        let mut observer = AudioLevelObserver::new(now, options(max_entries)).unwrap();
        let mut keys = SlotMap::<ProducerKey, ()>::with_key();
        let keys = [(); 3].map(|()| keys.insert(()));
        for key in keys {
            assert!(observer.add_producer(key));
        }
        (observer, keys, now)
    }

    fn hear(observer: &mut AudioLevelObserver, producer: ProducerKey, level: u8, packets: usize) {
        for _ in 0..packets {
            observer.handle_packet(producer, AudioLevel { level, voice: true });
        }
    }

    #[test]
    fn loudest_producers_come_first_up_to_the_maximum() {
        let (mut observer, [a, b, c], start) = observer(2);
        hear(&mut observer, a, 40, 40);
        hear(&mut observer, b, 30, 40);
        hear(&mut observer, c, 20, 40);
        let report = observer.handle_timeout(start + INTERVAL);
        assert_eq!(report, Some(AudioReport::Volumes(vec![(c, -20), (b, -30)])));
    }

    #[test]
    fn equally_loud_producers_have_a_fixed_order() {
        let (mut observer, [a, b, c], start) = observer(3);
        for key in [c, a, b] {
            hear(&mut observer, key, 25, 40);
        }
        let report = observer.handle_timeout(start + INTERVAL);
        assert_eq!(report, Some(AudioReport::Volumes(vec![(a, -25), (b, -25), (c, -25)])));
    }

    #[test]
    fn levels_are_averaged_within_the_interval_only() {
        let (mut observer, [a, ..], start) = observer(1);
        hear(&mut observer, a, 0, 15);
        hear(&mut observer, a, 127, 5);
        assert_eq!(observer.handle_timeout(start + INTERVAL - Duration::from_nanos(1)), None);
        // 635 / 20 = 31.75
        let report = observer.handle_timeout(start + INTERVAL);
        assert_eq!(report, Some(AudioReport::Volumes(vec![(a, -31)])));
        hear(&mut observer, a, 60, 20);
        let report = observer.handle_timeout(start + 2 * INTERVAL);
        assert_eq!(report, Some(AudioReport::Volumes(vec![(a, -60)])));
    }

    #[test]
    fn extreme_levels_are_in_range() {
        let now = Instant::now();
        let options = AudioLevelOptions { threshold: -127, ..options(2) };
        let mut observer = AudioLevelObserver::new(now, options).unwrap();
        let mut keys = SlotMap::<ProducerKey, ()>::with_key();
        let (loud, still) = (keys.insert(()), keys.insert(()));
        for (key, level) in [(still, 127), (loud, 0)] {
            observer.add_producer(key);
            hear(&mut observer, key, level, 1000);
        }
        let report = observer.handle_timeout(now + INTERVAL);
        assert_eq!(report, Some(AudioReport::Volumes(vec![(loud, 0), (still, -127)])));
    }

    #[test]
    fn fewer_than_ten_packets_are_ignored() {
        let (mut observer, [a, b, _], start) = observer(2);
        hear(&mut observer, a, 10, 9);
        hear(&mut observer, b, 50, 10);
        let report = observer.handle_timeout(start + INTERVAL);
        assert_eq!(report, Some(AudioReport::Volumes(vec![(b, -50)])));
    }

    #[test]
    fn threshold_is_inclusive() {
        let (mut observer, [a, b, _], start) = observer(2);
        hear(&mut observer, a, 81, 20);
        hear(&mut observer, b, 80, 20);
        let report = observer.handle_timeout(start + INTERVAL);
        assert_eq!(report, Some(AudioReport::Volumes(vec![(b, -80)])));
    }

    #[test]
    fn silence_is_reported_once_and_only_after_sound() {
        let (mut observer, [a, ..], start) = observer(1);
        assert_eq!(observer.handle_timeout(start + INTERVAL), None);
        hear(&mut observer, a, 20, 20);
        assert!(matches!(observer.handle_timeout(start + 2 * INTERVAL), Some(AudioReport::Volumes(_))));
        hear(&mut observer, a, 127, 20);
        assert_eq!(observer.handle_timeout(start + 3 * INTERVAL), Some(AudioReport::Silence));
        assert_eq!(observer.handle_timeout(start + 4 * INTERVAL), None);
    }

    #[test]
    fn paused_observer_ignores_levels() {
        let (mut observer, [a, ..], start) = observer(1);
        hear(&mut observer, a, 20, 20);
        observer.handle_timeout(start + INTERVAL).unwrap();
        assert_eq!(observer.pause(), Some(AudioReport::Silence));
        assert_eq!(observer.pause(), None);
        assert_eq!(observer.poll_timeout(), None);
        hear(&mut observer, a, 20, 20);

        let resumed_at = start + 10 * INTERVAL;
        observer.resume(resumed_at);
        observer.resume(resumed_at + INTERVAL / 2);
        assert_eq!(observer.poll_timeout(), Some(resumed_at + INTERVAL));
        assert_eq!(observer.handle_timeout(resumed_at + INTERVAL), None, "that was while it was paused");
    }

    #[test]
    fn removed_and_paused_producers_are_forgotten() {
        let (mut observer, [a, b, c], start) = observer(3);
        for key in [a, b, c] {
            hear(&mut observer, key, 20, 20);
        }
        observer.remove_producer(a);
        observer.producer_paused(b);
        hear(&mut observer, a, 20, 20);
        let report = observer.handle_timeout(start + INTERVAL);
        assert_eq!(report, Some(AudioReport::Volumes(vec![(c, -20)])));
        hear(&mut observer, b, 20, 20);
        let report = observer.handle_timeout(start + 2 * INTERVAL);
        assert_eq!(report, Some(AudioReport::Volumes(vec![(b, -20)])), "it was resumed");
    }

    #[test]
    fn producer_added_twice_is_observed_once() {
        let (mut observer, [a, ..], start) = observer(3);
        hear(&mut observer, a, 20, 20);
        assert!(!observer.add_producer(a));
        let report = observer.handle_timeout(start + INTERVAL);
        assert_eq!(report, Some(AudioReport::Volumes(vec![(a, -20)])), "and nothing is forgotten by that");
    }

    #[test]
    fn interval_is_clamped_and_a_threshold_above_zero_refused() {
        let now = Instant::now();
        for (interval, taken) in [(0, 250), (250, 250), (800, 800), (60_000, 5000)] {
            let options = AudioLevelOptions { interval: Duration::from_millis(interval), ..options(1) };
            let observer = AudioLevelObserver::new(now, options).unwrap();
            assert_eq!(observer.poll_timeout(), Some(now + Duration::from_millis(taken)));
        }
        let error = AudioLevelObserver::new(now, AudioLevelOptions { threshold: 1, ..options(1) });
        assert_eq!(error.unwrap_err().to_string(), "invalid threshold value 1");
    }
}
