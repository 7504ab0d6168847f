//! Wrap-around arithmetic. Sequence numbers and timestamps are extended to 64 bits where they enter the engine, so that
//! all other code compares plain integers.

/// Extends 16-bit RTP sequence numbers to 64 bits.
///
/// The first number is placed one cycle up (`65536 + n`), so that packets reordered before it still have a position.
/// RFC 3550 §A.1 calls the high bits "cycles"; RFC 3711 §3.3.1 calls them the rollover counter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SeqExtender {
    highest: Option<u64>,
}

impl SeqExtender {
    /// Creates an extender without a sequence number yet.
    pub(crate) const fn new() -> Self {
        Self { highest: None }
    }

    /// Extends `seq` relative to the highest number so far, without updating that.
    pub(crate) fn peek(&self, seq: u16) -> u64 {
        let Some(highest) = self.highest else {
            return 0x1_0000 + u64::from(seq);
        };
        let ahead = seq.wrapping_sub(highest as u16) as i16;
        highest.saturating_add_signed(i64::from(ahead))
    }

    /// Extends `seq`, and advances the highest number if `seq` is ahead.
    pub(crate) fn extend(&mut self, seq: u16) -> u64 {
        let extended = self.peek(seq);
        self.highest = Some(self.highest.map_or(extended, |h| h.max(extended)));
        extended
    }

    /// Highest extended number so far.
    pub(crate) fn highest(&self) -> Option<u64> {
        self.highest
    }
}

/// Extends 32-bit RTP timestamps to 64 bits, as `SeqExtender` does for sequence numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimestampExtender {
    highest: Option<u64>,
}

impl TimestampExtender {
    /// Creates an extender without a timestamp yet.
    pub const fn new() -> Self {
        Self { highest: None }
    }

    /// Extends `timestamp`, and advances the highest one if `timestamp` is ahead.
    pub fn extend(&mut self, timestamp: u32) -> u64 {
        let extended = match self.highest {
            None => 0x1_0000_0000 + u64::from(timestamp),
            Some(highest) => {
                let ahead = timestamp.wrapping_sub(highest as u32) as i32;
                highest.saturating_add_signed(i64::from(ahead))
            }
        };
        self.highest = Some(self.highest.map_or(extended, |h| h.max(extended)));
        extended
    }
}

/// Set of extended numbers that remembers those less than 128 behind the highest one.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecentSet {
    highest: u64,
    /// Bit n represents `highest - n`.
    bits: u128,
}

impl RecentSet {
    /// True if the number is remembered.
    pub fn contains(&self, number: u64) -> bool {
        let behind = self.highest.wrapping_sub(number);
        behind < u128::BITS.into() && self.bits >> behind & 1 == 1
    }

    /// Adds a number unless it is 128 or more behind the highest one.
    pub fn insert(&mut self, number: u64) {
        let shifted =
            |bits: u128, by: u64| u32::try_from(by).ok().and_then(|by| bits.checked_shl(by)).unwrap_or(0);
        if self.bits == 0 || number > self.highest {
            self.bits = shifted(self.bits, number.wrapping_sub(self.highest)) | 1;
            self.highest = number;
        } else {
            self.bits |= shifted(1, self.highest - number);
        }
    }
}

/// Set of the numbers seen among the last [`SeenWindow::LEN`] extended ones.
#[derive(Debug)]
pub struct SeenWindow {
    /// One above the highest number seen.
    end: u64,
    bits: [u64; Self::LEN as usize / 64],
}

impl Default for SeenWindow {
    fn default() -> Self {
        Self { end: 0, bits: [0; Self::LEN as usize / 64] }
    }
}

impl SeenWindow {
    /// Size of the window in numbers; each takes one bit.
    pub const LEN: u64 = 4096;

    /// Adds `seq` and returns true if it is new. A number behind the window counts as seen.
    pub fn insert(&mut self, seq: u64) -> bool {
        if self.end == 0 || seq >= self.end + Self::LEN {
            *self = Self { end: seq, ..Self::default() };
        }
        while self.end <= seq {
            let (word, bit) = Self::place(self.end);
            self.bits[word] &= !bit;
            self.end += 1;
        }
        if seq + Self::LEN < self.end {
            return false;
        }
        let (word, bit) = Self::place(seq);
        let new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        new
    }

    fn place(seq: u64) -> (usize, u64) {
        ((seq % Self::LEN / 64) as usize, 1 << (seq % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_survive_the_wrap() {
        let mut e = TimestampExtender::new();
        assert_eq!(e.extend(u32::MAX - 10), 0x1_0000_0000 + u64::from(u32::MAX - 10));
        assert_eq!(e.extend(5), 0x2_0000_0005);
        assert_eq!(e.extend(u32::MAX), 0x1_ffff_ffff);
    }

    #[test]
    fn window_accepts_each_number_once() {
        let mut window = SeenWindow::default();
        for seq in [65_536, 65_540, 65_537, 65_535, 65_538] {
            assert!(window.insert(seq), "{seq}");
            assert!(!window.insert(seq), "{seq} again");
        }
    }

    #[test]
    fn window_rejects_numbers_below_it() {
        let mut window = SeenWindow::default();
        assert!(window.insert(70_000));
        assert!(window.insert(70_000 + SeenWindow::LEN - 1));
        assert!(!window.insert(70_000), "just inside, and seen");
        assert!(window.insert(70_000 + SeenWindow::LEN));
        assert!(!window.insert(70_000), "behind");
        assert!(window.insert(70_001), "the oldest inside");
        assert!(window.insert(900_000), "a jump starts over");
        assert!(!window.insert(900_000));
        assert!(window.insert(899_999));
    }

    #[test]
    fn sequence_numbers_survive_the_wrap() {
        let mut e = SeqExtender::new();
        assert_eq!(e.extend(65534), 0x1_0000 + 65534);
        assert_eq!(e.extend(1), 0x2_0001);
        assert_eq!(e.extend(65535), 0x1_ffff, "late packet of the old cycle");
        assert_eq!(e.extend(2), 0x2_0002);
        assert_eq!(e.highest(), Some(0x2_0002));
    }

    #[test]
    fn packet_before_the_first_has_a_number() {
        let mut e = SeqExtender::new();
        assert_eq!(e.extend(0), 0x1_0000);
        assert_eq!(e.extend(65535), 0xffff);
    }

    #[test]
    fn half_the_space_ahead_counts_as_behind() {
        let mut e = SeqExtender::new();
        e.extend(0);
        assert_eq!(e.peek(0x7fff), 0x1_7fff);
        assert_eq!(e.peek(0x8000), 0x8000);
    }

    #[test]
    fn recent_numbers_are_remembered() {
        let mut set = RecentSet::default();
        for number in [1000, 1002, 1001, 1100] {
            set.insert(number);
        }
        assert!([1000, 1001, 1002, 1100].into_iter().all(|n| set.contains(n)));
        assert!(!set.contains(1003) && !set.contains(1101) && !set.contains(900));
        set.insert(1129);
        assert!(set.contains(1129) && set.contains(1002) && !set.contains(1000));
        set.insert(900);
        assert!(!set.contains(900));
        set.insert(u64::MAX);
        assert!(set.contains(u64::MAX) && !set.contains(1129));
    }
}
