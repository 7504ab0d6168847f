//! Observer that determines the dominant speaker (mediasoup `ActiveSpeakerObserver`).
//!
//! The method is that of Volfin and Cohen, "Dominant speaker identification for multipoint videoconferencing", Computer
//! Speech & Language 27 (2013), with audio levels of a header extension (RFC 6464) as its input. The method evaluates
//! three time spans: the present, the last tenth of a second, and the last second. Therefore it follows a change of
//! speakers quickly and ignores short sounds such as a cough.
//!
//! ```text
//! levels      50 of 20 ms       ▁▁▂▇▇█▆▇▁▁▇▇█▇▆▁▁…   without the background noise
//! immediate   50, 0 to 12       level in steps of 10
//! medium      10, 0 to  5       number of loud ones of five immediate values
//! long         1, 0 to 10       number of loud ones of ten medium values
//! ```
//!
//! The newest value of each time span becomes a score: the ratio of its likelihood as speech to its likelihood as
//! noise. A speaker replaces the dominant one if its scores exceed those of the dominant one by certain factors.

use std::array;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::api::ActiveSpeakerOptions;
use crate::keys::ProducerKey;
use tureen_rtc::wire::rtp::extension::AudioLevel;

/// Determines the dominant speaker among its producers at intervals until it is paused.
///
/// Packets are passed to [`handle_packet`](Self::handle_packet); a new dominant speaker is returned by
/// [`handle_timeout`](Self::handle_timeout), which must be called at [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub(crate) struct ActiveSpeakerObserver {
    interval: Duration,
    speakers: HashMap<ProducerKey, Speaker>,
    dominant: Option<ProducerKey>,
    /// Time of the next decision; `None` while paused.
    due_at: Option<Instant>,
}

impl ActiveSpeakerObserver {
    /// Shortest time between two decisions.
    pub(crate) const MIN_INTERVAL: Duration = Duration::from_millis(100);
    /// Longest time between two decisions.
    pub(crate) const MAX_INTERVAL: Duration = Duration::from_secs(5);

    /// Creates an observer without producers. The interval is limited to [`Self::MIN_INTERVAL`] and
    /// [`Self::MAX_INTERVAL`].
    pub(crate) fn new(now: Instant, options: ActiveSpeakerOptions) -> Self {
        let interval = options.interval.clamp(Self::MIN_INTERVAL, Self::MAX_INTERVAL);
        Self { interval, speakers: HashMap::new(), dominant: None, due_at: Some(now + interval) }
    }

    pub(crate) fn producers(&self) -> impl Iterator<Item = ProducerKey> {
        self.speakers.keys().copied()
    }

    /// Observes a producer. Returns false if it was observed already.
    pub(crate) fn add_producer(&mut self, now: Instant, producer: ProducerKey, paused: bool) -> bool {
        self.speakers.try_insert(producer, Speaker::new(now, paused)).is_ok()
    }

    /// Removes a producer. If it was the dominant speaker, returns its successor.
    pub(crate) fn remove_producer(&mut self, now: Instant, producer: ProducerKey) -> Option<ProducerKey> {
        self.speakers.remove(&producer);
        if self.dominant != Some(producer) {
            return None;
        }
        // Cleared before the decision, because the removed producer cannot be the incumbent.
        self.dominant = None;
        self.decide(now)
    }

    /// Handles the pause of a producer, which then cannot become the dominant speaker but may remain so.
    pub(crate) fn producer_paused(&mut self, producer: ProducerKey) {
        if let Some(speaker) = self.speakers.get_mut(&producer) {
            speaker.paused = true;
        }
    }

    pub(crate) fn producer_resumed(&mut self, producer: ProducerKey) {
        if let Some(speaker) = self.speakers.get_mut(&producer) {
            speaker.paused = false;
        }
    }

    /// Adds the level of a packet.
    pub(crate) fn handle_packet(&mut self, now: Instant, producer: ProducerKey, level: AudioLevel) {
        if self.is_paused() {
            return;
        }
        if let Some(speaker) = self.speakers.get_mut(&producer) {
            speaker.handle_volume(now, MAX_VOLUME.saturating_sub(level.level));
        }
    }

    /// Time of the next decision; `None` while paused.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due_at
    }

    /// Determines the dominant speaker if the interval has ended, and returns it if it has changed. There is a dominant
    /// speaker as long as there are producers.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<ProducerKey> {
        if self.due_at.is_none_or(|at| now < at) {
            return None;
        }
        self.due_at = Some(now + self.interval);
        self.decide(now)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.due_at.is_none()
    }

    /// Ignores all levels until the observer is resumed.
    pub(crate) fn pause(&mut self) {
        self.due_at = None;
    }

    /// Begins a new interval if the observer is paused.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.due_at.get_or_insert(now + self.interval);
    }

    fn decide(&mut self, now: Instant) -> Option<ProducerKey> {
        // The gaps of all producers are filled first, because the scores depend on volumes up to `now`.
        for speaker in self.speakers.values_mut() {
            speaker.fill_gap(now);
        }
        // A producer is always dominant. The least key is used first, so that the same input gives the same output.
        let incumbent = self.dominant.or_else(|| self.speakers.keys().min().copied())?;
        let scores = self.speakers.get(&incumbent)?.scores();
        let lead = |(&key, speaker): (&ProducerKey, &Speaker)| {
            let may_lead = key != incumbent && !speaker.paused;
            may_lead.then(|| speaker.scores().lead_over(&scores)).flatten().map(|lead| (lead, key))
        };
        let successor = self
            .speakers
            .iter()
            .filter_map(lead)
            .max_by(|(a, a_key), (b, b_key)| a.total_cmp(b).then(b_key.cmp(a_key)))
            .map_or(incumbent, |(_, key)| key);
        (self.dominant.replace(successor) != Some(successor)).then_some(successor)
    }
}

/// A producer and its volumes in the last second.
#[derive(Debug)]
struct Speaker {
    paused: bool,
    volumes: Volumes,
    noise: NoiseFloor,
    heard_at: Instant,
}

/// Maximum volume. Volumes are 127 − (−dBov), so that 0 is silence.
const MAX_VOLUME: u8 = 127;
/// Time represented by one volume.
const VOLUME_TIME_MS: u128 = 20;
/// Time without a packet after which a producer counts as silent, for discontinuous transmission.
const SILENT_AFTER: Duration = Duration::from_millis(40);

impl Speaker {
    fn new(now: Instant, paused: bool) -> Self {
        Self { paused, volumes: Volumes::default(), noise: NoiseFloor::default(), heard_at: now }
    }

    /// Adds the volume for the time since the last call.
    fn handle_volume(&mut self, now: Instant, volume: u8) {
        let elapsed = now.saturating_duration_since(self.heard_at).as_millis();
        self.heard_at = self.heard_at.max(now);
        let times = (elapsed / VOLUME_TIME_MS).clamp(1, Volumes::COUNT as u128);
        (0..times).for_each(|_| self.volumes.push(volume));
        self.noise.handle_volume(volume);
    }

    fn fill_gap(&mut self, now: Instant) {
        if now.saturating_duration_since(self.heard_at) > SILENT_AFTER {
            self.handle_volume(now, 0);
        }
    }

    fn scores(&self) -> Scores {
        let noise = self.noise.volume.saturating_add(Scores::STEP);
        let immediates: [u8; Volumes::COUNT] = array::from_fn(|ago| {
            let volume = self.volumes.ago(ago);
            if volume < noise { 0 } else { volume / Scores::STEP }
        });
        let (immediates_of_medium, _) = immediates.as_chunks::<{ Scores::IMMEDIATE_PER_MEDIUM }>();
        let mut long = 0;
        for &immediates in immediates_of_medium {
            long += u8::from(medium(immediates) > Scores::LOUD_MEDIUM);
        }
        Scores {
            immediate: score(immediates[0], 13, 0.78),
            medium: score(medium(immediates_of_medium[0]), 5, 24.0),
            long: score(long, 10, 47.0),
        }
    }
}

/// Ring of the last volumes.
#[derive(Debug)]
struct Volumes {
    ring: [u8; Self::COUNT],
    next: usize,
}

impl Volumes {
    /// Number of volumes in one second.
    const COUNT: usize = Scores::MEDIUM_COUNT * Scores::IMMEDIATE_PER_MEDIUM;

    fn push(&mut self, volume: u8) {
        self.ring[self.next] = volume;
        self.next = (self.next + 1) % Self::COUNT;
    }

    /// Volume that was added `count` volumes before the newest one.
    fn ago(&self, count: usize) -> u8 {
        self.ring[(self.next + Self::COUNT - 1 - count) % Self::COUNT]
    }
}

impl Default for Volumes {
    fn default() -> Self {
        Self { ring: [0; Self::COUNT], next: 0 }
    }
}

/// Background noise: the minimum volume. It falls at once and rises slowly.
#[derive(Debug, Default)]
struct NoiseFloor {
    /// 0 before the first volume.
    volume: u8,
    /// Minimum volume of this window, which is not below `volume`.
    next: Option<u8>,
    window: u32,
}

impl NoiseFloor {
    /// Number of volumes after which the noise floor may rise: 15 s.
    const WINDOW: u32 = 750;

    fn handle_volume(&mut self, volume: u8) {
        if volume == 0 {
            return;
        }
        if self.volume == 0 || volume < self.volume {
            *self = Self { volume, next: None, window: 0 };
            return;
        }
        let next = self.next.map_or(volume, |next| next.min(volume));
        self.next = Some(next);
        self.window += 1;
        if self.window >= Self::WINDOW {
            // The geometric mean, rounded down.
            let mean = (u32::from(self.volume) * u32::from(next)).isqrt();
            let volume = u8::try_from(mean).expect("the mean of two volumes is one");
            *self = Self { volume, next: None, window: 0 };
        }
    }
}

/// Likelihood of a producer's sound as speech relative to noise, over three time spans. Never below [`MIN_SCORE`].
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scores {
    immediate: f64,
    medium: f64,
    long: f64,
}

const MIN_SCORE: f64 = 1e-10;

impl Scores {
    /// Step in which volumes are counted.
    const STEP: u8 = MAX_VOLUME.div_ceil(13);
    const IMMEDIATE_PER_MEDIUM: usize = 5;
    const MEDIUM_COUNT: usize = 10;
    /// Immediate values above this one are counted in the medium value.
    const LOUD_IMMEDIATE: u8 = 7;
    /// Medium values above this one are counted in the long value.
    const LOUD_MEDIUM: u8 = 4;

    /// Lead of these scores over those of the dominant speaker in the medium time span, if all three leads exceed the
    /// thresholds C1, C2 and C3 of the paper.
    fn lead_over(&self, dominant: &Self) -> Option<f64> {
        let immediate = (self.immediate / dominant.immediate).ln();
        let medium = (self.medium / dominant.medium).ln();
        let long = (self.long / dominant.long).ln();
        (immediate > 3.0 && medium > 2.0 && long > 0.0).then_some(medium)
    }
}

/// Logarithm of the likelihood of `value` by chance (binomial with p = ½ of `max`) relative to that of speech
/// (exponential with `lambda`).
fn score(value: u8, max: u8, lambda: f64) -> f64 {
    let chance = binomial(max, value).ln() + f64::from(max) * 0.5_f64.ln();
    (chance - lambda.ln() + lambda * f64::from(value)).max(MIN_SCORE)
}

/// Binomial coefficient, n over k.
fn binomial(n: u8, k: u8) -> f64 {
    (1..=k).fold(1.0, |product, i| product * f64::from(n - k + i) / f64::from(i))
}

/// Number of loud values among these immediate ones.
fn medium(immediates: [u8; Scores::IMMEDIATE_PER_MEDIUM]) -> u8 {
    immediates.iter().fold(0, |count, &value| count + u8::from(value > Scores::LOUD_IMMEDIATE))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(300);
    const PACKET: Duration = Duration::from_millis(20);
    /// −dBov of a quiet room, which is sent all the time.
    const ROOM: u8 = 90;
    const VOICE: u8 = 25;

    struct Meeting {
        observer: ActiveSpeakerObserver,
        members: [ProducerKey; 3],
        now: Instant,
        /// Dominant speakers returned by the observer.
        dominant: Vec<ProducerKey>,
    }

    impl Meeting {
        fn new() -> Self {
            let now = Instant::now();
            let mut observer = ActiveSpeakerObserver::new(now, ActiveSpeakerOptions { interval: INTERVAL });
            let mut keys = SlotMap::<ProducerKey, ()>::with_key();
            let members = [(); 3].map(|()| keys.insert(()));
            for key in members {
                assert!(observer.add_producer(now, key, false));
            }
            Self { observer, members, now, dominant: Vec::new() }
        }

        /// Sends a packet of each member every 20 ms with the given levels; `None` sends no packet.
        fn hear(&mut self, time: Duration, levels: [Option<u8>; 3]) -> Vec<ProducerKey> {
            let known = self.dominant.len();
            let end = self.now + time;
            while self.now < end {
                self.now += PACKET;
                for (member, level) in self.members.into_iter().zip(levels) {
                    if let Some(level) = level {
                        self.observer.handle_packet(self.now, member, AudioLevel { level, voice: true });
                    }
                }
                self.dominant.extend(self.observer.handle_timeout(self.now));
            }
            self.dominant[known..].to_vec()
        }

        fn speak(&mut self, time: Duration, member: usize) -> Vec<ProducerKey> {
            let mut levels = [Some(ROOM); 3];
            levels[member] = Some(VOICE);
            self.hear(time, levels)
        }

        fn be_quiet(&mut self, time: Duration) -> Vec<ProducerKey> {
            self.hear(time, [Some(ROOM); 3])
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_speaker_is_dominant_from_the_first_interval_on() {
        let mut meeting = Meeting::new();
        assert_eq!(meeting.be_quiet(INTERVAL - PACKET), []);
        assert_eq!(meeting.be_quiet(PACKET), [meeting.members[0]]);
        assert_eq!(meeting.be_quiet(5 * SECOND), []);
    }

    #[test]
    fn speaker_takes_over_within_a_second_and_stays_while_silent() {
        let mut meeting = Meeting::new();
        meeting.be_quiet(SECOND);
        for member in [1, 2, 0, 1] {
            assert_eq!(meeting.speak(SECOND, member), [meeting.members[member]]);
            assert_eq!(meeting.be_quiet(3 * SECOND), []);
        }
    }

    #[test]
    fn short_noise_changes_nothing() {
        let mut meeting = Meeting::new();
        meeting.be_quiet(SECOND);
        assert_eq!(meeting.speak(2 * SECOND, 0), []);
        for _ in 0..5 {
            assert_eq!(meeting.speak(Duration::from_millis(60), 1), []);
            assert_eq!(meeting.be_quiet(SECOND), []);
        }
    }

    #[test]
    fn interruption_does_not_take_over_while_the_other_speaks() {
        let mut meeting = Meeting::new();
        meeting.be_quiet(SECOND);
        meeting.speak(SECOND, 1);
        assert_eq!(meeting.hear(3 * SECOND, [Some(ROOM), Some(VOICE), Some(VOICE)]), []);
        assert_eq!(meeting.speak(SECOND + INTERVAL, 2), [meeting.members[2]]);
    }

    #[test]
    fn constant_noise_is_not_speech() {
        let mut meeting = Meeting::new();
        // A fan, immediately as loud as a voice, and a microphone that sends silence.
        assert_eq!(meeting.hear(20 * SECOND, [Some(127), Some(VOICE), Some(127)]), [meeting.members[0]]);
    }

    #[test]
    fn speaker_with_discontinuous_transmission_is_silent_between_packets() {
        let mut meeting = Meeting::new();
        meeting.be_quiet(SECOND);
        meeting.speak(SECOND, 1);
        // The dominant speaker sends no packets any more, so the other one takes over as from a silent speaker.
        assert_eq!(meeting.hear(2 * SECOND, [Some(ROOM), None, Some(VOICE)]), [meeting.members[2]]);
    }

    #[test]
    fn packets_of_sixty_milliseconds_count_three_times() {
        let now = Instant::now();
        let mut speaker = Speaker::new(now, false);
        speaker.handle_volume(now + 3 * PACKET, 100);
        assert_eq!(array::from_fn(|ago| speaker.volumes.ago(ago)), [100, 100, 100, 0]);
        speaker.handle_volume(now + 1000 * PACKET, 50);
        assert_eq!(speaker.volumes.ring, [50; Volumes::COUNT]);
    }

    #[test]
    fn paused_producer_can_only_stay_dominant() {
        let mut meeting = Meeting::new();
        meeting.be_quiet(SECOND);
        meeting.observer.producer_paused(meeting.members[1]);
        assert_eq!(meeting.speak(2 * SECOND, 1), []);
        meeting.observer.producer_resumed(meeting.members[1]);
        assert_eq!(meeting.speak(INTERVAL, 1), [meeting.members[1]]);
        meeting.observer.producer_paused(meeting.members[1]);
        assert_eq!(meeting.be_quiet(2 * SECOND), []);
    }

    #[test]
    fn removed_dominant_speaker_is_replaced_at_once() {
        let mut meeting = Meeting::new();
        let [a, b, c] = meeting.members;
        meeting.be_quiet(SECOND);
        meeting.speak(SECOND, 1);
        assert_eq!(meeting.observer.remove_producer(meeting.now, c), None);
        assert_eq!(meeting.observer.remove_producer(meeting.now, b), Some(a));
        assert_eq!(meeting.observer.remove_producer(meeting.now, a), None);
        assert_eq!(meeting.be_quiet(SECOND), []);
        assert_eq!(meeting.observer.producers().count(), 0);
    }

    #[test]
    fn paused_observer_ignores_levels_and_reports_nothing() {
        let mut meeting = Meeting::new();
        meeting.be_quiet(SECOND);
        meeting.observer.pause();
        assert!(meeting.observer.is_paused());
        assert_eq!(meeting.speak(SECOND, 1), []);
        meeting.observer.resume(meeting.now);
        assert_eq!(meeting.observer.poll_timeout(), Some(meeting.now + INTERVAL));
        assert_eq!(meeting.be_quiet(SECOND), [], "that was while it was paused");
        assert_eq!(meeting.speak(SECOND, 1), [meeting.members[1]]);
    }

    #[test]
    fn producer_added_twice_is_observed_once() {
        let mut meeting = Meeting::new();
        assert!(!meeting.observer.add_producer(meeting.now, meeting.members[0], true));
        meeting.be_quiet(SECOND);
        meeting.speak(SECOND, 1);
        assert_eq!(meeting.speak(2 * SECOND, 0), [meeting.members[0]], "and is not paused by that");
    }

    #[test]
    fn interval_is_clamped() {
        let now = Instant::now();
        for (interval, taken) in [(0, 100), (100, 100), (300, 300), (60_000, 5000)] {
            let options = ActiveSpeakerOptions { interval: Duration::from_millis(interval) };
            let observer = ActiveSpeakerObserver::new(now, options);
            assert_eq!(observer.poll_timeout(), Some(now + Duration::from_millis(taken)));
        }
    }

    #[test]
    fn noise_floor_falls_at_once_and_rises_after_a_window() {
        let mut noise = NoiseFloor::default();
        noise.handle_volume(0);
        assert_eq!(noise.volume, 0);
        noise.handle_volume(100);
        noise.handle_volume(40);
        assert_eq!(noise.volume, 40);
        (1..NoiseFloor::WINDOW).for_each(|_| noise.handle_volume(90));
        assert_eq!(noise.volume, 40);
        noise.handle_volume(95);
        assert_eq!(noise.volume, 60, "the root of 40 · 90");
    }

    #[test]
    fn scores_match_the_published_algorithm() {
        // ln(13 over 12) + 13 ln ½ − ln 0.78 + 0.78 · 12
        assert!((score(12, 13, 0.78) - 3.1625).abs() < 1e-3);
        // 5 ln ½ − ln 24 + 24 · 5
        assert!((score(5, 5, 24.0) - 113.3562).abs() < 1e-3);
        for (max, lambda) in [(13, 0.78), (5, 24.0), (10, 47.0)] {
            assert_eq!(score(0, max, lambda), MIN_SCORE);
        }
        let row: Vec<f64> = (0..=5).map(|k| binomial(5, k)).collect();
        assert_eq!(row, [1.0, 5.0, 10.0, 10.0, 5.0, 1.0]);
    }

    #[test]
    fn extreme_volumes_are_in_range() {
        let now = Instant::now();
        let mut speaker = Speaker::new(now, false);
        (0..100).for_each(|_| speaker.handle_volume(now, MAX_VOLUME));
        assert_eq!(speaker.scores().immediate, MIN_SCORE, "the loudest sound, but without end");
    }
}
