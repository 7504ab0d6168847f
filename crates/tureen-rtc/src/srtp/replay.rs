use super::SrtpError;

/// Set of the received indices among the last `WORDS * 64` (RFC 3711 §3.3.2).
///
/// The set is a ring of bits: index `i` has bit `i % (WORDS * 64)`. [`check`](Self::check) never changes the ring;
/// [`accept`](Self::accept) is for authenticated packets only.
#[derive(Clone, Debug)]
pub(super) struct ReplayWindow<const WORDS: usize> {
    highest: u64,
    seen: [u64; WORDS],
}

impl<const WORDS: usize> ReplayWindow<WORDS> {
    /// Number of indices that the window spans, including the highest one.
    pub(super) const SIZE: u64 = WORDS as u64 * 64;

    /// Creates a window in which only `index` was received.
    pub(super) fn starting_at(index: u64) -> Self {
        let mut window = Self { highest: index, seen: [0; WORDS] };
        window.mark(index);
        window
    }

    /// Creates a window in which all indices up to `highest` were received.
    pub(super) fn full_up_to(highest: u64) -> Self {
        Self { highest, seen: [u64::MAX; WORDS] }
    }

    /// Highest index accepted.
    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// Checks that a packet of `index` may be new; fails with `Replayed` or `TooOld`.
    pub(super) fn check(&self, index: u64) -> Result<(), SrtpError> {
        if index > self.highest {
            Ok(())
        } else if self.highest - index >= Self::SIZE {
            Err(SrtpError::TooOld)
        } else if self.seen[Self::word(index)] & Self::bit(index) != 0 {
            Err(SrtpError::Replayed)
        } else {
            Ok(())
        }
    }

    /// Records an index that passed [`check`](Self::check) and whose packet is authentic.
    pub(super) fn accept(&mut self, index: u64) {
        if index > self.highest {
            if index - self.highest >= Self::SIZE {
                self.seen = [0; WORDS];
            } else {
                // Cleared because the ring still has the bits of the indices one window size before.
                for skipped in self.highest + 1..index {
                    self.seen[Self::word(skipped)] &= !Self::bit(skipped);
                }
            }
            self.highest = index;
        }
        self.mark(index);
    }

    fn mark(&mut self, index: u64) {
        self.seen[Self::word(index)] |= Self::bit(index);
    }

    fn word(index: u64) -> usize {
        (index / 64 % WORDS as u64) as usize
    }

    fn bit(index: u64) -> u64 {
        1 << (index % 64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    type Window = ReplayWindow<2>;

    #[test]
    fn a_packet_is_accepted_once() {
        let mut window = Window::starting_at(1000);
        assert_eq!(window.check(1000), Err(SrtpError::Replayed));
        for index in [1001, 1005, 1003, 999, 1200] {
            assert_eq!(window.check(index), Ok(()));
            window.accept(index);
            assert_eq!(window.check(index), Err(SrtpError::Replayed));
        }
    }

    #[test]
    fn the_oldest_index_of_the_window_counts_and_the_one_before_it_does_not() {
        let window = Window::starting_at(1000);
        assert_eq!(window.check(1000 - 127), Ok(()));
        assert_eq!(window.check(1000 - 128), Err(SrtpError::TooOld));
    }

    #[test]
    fn indices_skipped_by_a_jump_are_still_open() {
        for jump in [1, 2, 63, 64, 65, 127, 128, 129, 100_000] {
            let mut window = Window::starting_at(500);
            for index in 373..500 {
                window.accept(index);
            }
            window.accept(500 + jump);
            for index in (500 + jump).saturating_sub(127)..500 + jump {
                let expected = if index <= 500 { Err(SrtpError::Replayed) } else { Ok(()) };
                assert_eq!(window.check(index), expected, "jump {jump}, index {index}");
            }
        }
    }

    #[test]
    fn check_does_not_move_the_window() {
        let window = Window::starting_at(7);
        assert_eq!(window.check(u64::MAX), Ok(()));
        assert_eq!(window.highest(), 7);
        assert_eq!(window.check(6), Ok(()));
    }

    proptest! {
        #[test]
        fn window_agrees_with_a_set(start in 0u64..1000, steps in prop::collection::vec(-200i64..200, 1..400)) {
            let mut window = Window::starting_at(start);
            let mut seen = HashSet::from([start]);
            let mut highest = start;
            for step in steps {
                let index = highest.saturating_add_signed(step);
                let expected = if highest.saturating_sub(index) >= Window::SIZE {
                    Err(SrtpError::TooOld)
                } else if seen.contains(&index) {
                    Err(SrtpError::Replayed)
                } else {
                    Ok(())
                };
                prop_assert_eq!(window.check(index), expected);
                if expected.is_ok() {
                    window.accept(index);
                    seen.insert(index);
                    highest = highest.max(index);
                }
            }
        }
    }
}
