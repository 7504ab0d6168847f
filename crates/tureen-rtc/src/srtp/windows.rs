//! Replay windows of the SSRCs that a remote endpoint uses, bounded by eviction of the SSRC that has been silent
//! longest.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::SrtpError;
use super::replay::ReplayWindow;
use crate::units::Ssrc;

/// Number of evicted SSRCs whose highest index is remembered, per SSRC with a window.
const REMEMBERED: usize = 16;

/// Replay windows of one direction and kind of packet.
///
/// At the maximum number of windows the SSRC that has been silent longest is evicted in favour of a new one; ended
/// streams are evicted first. The highest index of an evicted SSRC is kept (12 bytes), because the rollover counter
/// belongs to SSRC and key (RFC 3711 §3.2.3): if the SSRC is used again, its packets are placed in the right cycle, and
/// no earlier packet is accepted as new. Sixteen times as many evicted SSRCs are remembered as there are windows;
/// beyond that the one evicted first is forgotten. If the remote endpoint then uses a forgotten SSRC again, its packets
/// start at the first cycle, and an attacker with recorded packets of that cycle can replay each of them once. Sealing
/// is not affected, because it never depends on these windows.
#[derive(Debug)]
pub(super) struct Windows<const WORDS: usize> {
    max: usize,
    windows: HashMap<Ssrc, Entry<WORDS>>,
    /// Highest index, and the clock value of the eviction.
    remembered: HashMap<Ssrc, (u64, u64)>,
    /// Evicted SSRCs in the order of eviction, with its clock value. SSRCs that were used again since are still
    /// included.
    given_up: VecDeque<(Ssrc, u64)>,
    /// Number of calls of `open`, used as the clock of accepted packets and evictions.
    clock: u64,
    evicted: u64,
}

#[derive(Debug)]
struct Entry<const WORDS: usize> {
    window: ReplayWindow<WORDS>,
    /// Clock value of the packet accepted last; zero for a stream that has ended.
    used: u64,
}

impl<const WORDS: usize> Windows<WORDS> {
    /// Creates an empty set of at most `max` windows.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: max.max(1),
            windows: HashMap::new(),
            remembered: HashMap::new(),
            given_up: VecDeque::new(),
            clock: 0,
            evicted: 0,
        }
    }

    /// Changes the maximum. Surplus windows are not evicted at once.
    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max.max(1);
    }

    /// Number of windows.
    pub(super) fn len(&self) -> usize {
        self.windows.len()
    }

    /// Number of windows evicted in favour of other SSRCs.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Opens a packet by `open`, which is passed the packet index, and advances the window only if that succeeds.
    /// `index_after` estimates the index from the highest one so far, if there is one.
    pub(super) fn open<T>(
        &mut self,
        ssrc: Ssrc,
        index_after: impl FnOnce(Option<u64>) -> Result<u64, SrtpError>,
        open: impl FnOnce(u64) -> Result<T, SrtpError>,
    ) -> Result<(u64, T), SrtpError> {
        self.clock += 1;
        if let Some(entry) = self.windows.get_mut(&ssrc) {
            let index = index_after(Some(entry.window.highest()))?;
            entry.window.check(index)?;
            let opened = open(index)?;
            entry.window.accept(index);
            entry.used = self.clock;
            return Ok((index, opened));
        }
        // The first packet of an SSRC without a window must be newer than all packets accepted by its evicted window.
        let highest = self.remembered.get(&ssrc).map(|&(highest, _)| highest);
        let index = index_after(highest)?;
        if highest.is_some_and(|highest| index <= highest) {
            return Err(SrtpError::TooOld);
        }
        let opened = open(index)?;
        self.begin(ssrc, highest, index);
        Ok((index, opened))
    }

    /// Marks a stream as ended, so that it is evicted before other streams.
    pub(super) fn end(&mut self, ssrc: Ssrc) {
        if let Some(entry) = self.windows.get_mut(&ssrc) {
            entry.used = 0;
        }
    }

    #[cold]
    fn begin(&mut self, ssrc: Ssrc, highest: Option<u64>, index: u64) {
        if self.windows.len() >= self.max {
            self.evict();
        }
        let window = match highest {
            Some(highest) => {
                let mut window = ReplayWindow::full_up_to(highest);
                window.accept(index);
                window
            }
            None => ReplayWindow::starting_at(index),
        };
        self.remembered.remove(&ssrc);
        self.windows.insert(ssrc, Entry { window, used: self.clock });
    }

    fn evict(&mut self) {
        let Some(ssrc) = self.windows.iter().min_by_key(|(_, entry)| entry.used).map(|(&ssrc, _)| ssrc)
        else {
            return;
        };
        let Some(entry) = self.windows.remove(&ssrc) else { return };
        self.evicted += 1;
        if self.given_up.len() >= self.max * REMEMBERED
            && let Some((oldest, since)) = self.given_up.pop_front()
            && self.remembered.get(&oldest).is_some_and(|&(_, at)| at == since)
        {
            self.remembered.remove(&oldest);
        }
        self.remembered.insert(ssrc, (entry.window.highest(), self.clock));
        self.given_up.push_back((ssrc, self.clock));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two windows of 64 packets.
    fn windows() -> Windows<1> {
        Windows::new(2)
    }

    fn take(windows: &mut Windows<1>, ssrc: u32, index: u64) -> Result<(), SrtpError> {
        windows.open(Ssrc(ssrc), |_| Ok(index), |_| Ok(())).map(|_| ())
    }

    #[test]
    fn longest_silent_stream_is_evicted() {
        let mut windows = windows();
        for (ssrc, index) in [(1, 10), (2, 20), (1, 11), (3, 30)] {
            assert_eq!(take(&mut windows, ssrc, index), Ok(()));
        }
        assert!(windows.windows.contains_key(&Ssrc(1)) && windows.windows.contains_key(&Ssrc(3)));
        assert_eq!((windows.len(), windows.evicted()), (2, 1));
    }

    #[test]
    fn ended_stream_is_evicted_first_and_keeps_its_window_until_then() {
        let mut windows = windows();
        take(&mut windows, 1, 10).unwrap();
        take(&mut windows, 2, 20).unwrap();
        windows.end(Ssrc(2));
        assert_eq!(take(&mut windows, 2, 20), Err(SrtpError::Replayed));
        take(&mut windows, 3, 30).unwrap();
        assert!(windows.windows.contains_key(&Ssrc(1)) && !windows.windows.contains_key(&Ssrc(2)));
    }

    #[test]
    fn returning_ssrc_continues_and_rejects_earlier_packets() {
        let mut windows = windows();
        for (ssrc, index) in [(1, 0x2_0005), (2, 20), (3, 30)] {
            take(&mut windows, ssrc, index).unwrap();
        }
        let seen = std::cell::Cell::new(None);
        let replayed = |highest| {
            seen.set(highest);
            Ok(0x2_0004)
        };
        let opened = windows.open(Ssrc(1), replayed, |_| Ok(()));
        assert_eq!((opened, seen.get()), (Err(SrtpError::TooOld), Some(0x2_0005)));
        assert_eq!(take(&mut windows, 1, 0x2_0005), Err(SrtpError::TooOld));
        assert_eq!(take(&mut windows, 1, 0x2_0007), Ok(()));
        assert_eq!(take(&mut windows, 1, 0x2_0004), Err(SrtpError::Replayed));
        assert_eq!(take(&mut windows, 1, 0x2_0006), Ok(()), "it was never seen");
        assert_eq!(take(&mut windows, 1, 0x2_0006), Err(SrtpError::Replayed));
    }

    #[test]
    fn forged_packets_make_no_room_for_themselves() {
        let mut windows = windows();
        take(&mut windows, 1, 10).unwrap();
        take(&mut windows, 2, 20).unwrap();
        for ssrc in 3..100 {
            let forged =
                windows.open(Ssrc(ssrc), |_| Ok(1), |_| Err::<(), _>(SrtpError::AuthenticationFailed));
            assert_eq!(forged, Err(SrtpError::AuthenticationFailed));
        }
        assert_eq!((windows.len(), windows.evicted(), windows.remembered.len()), (2, 0, 0));
    }

    #[test]
    fn memory_is_bounded_for_arbitrary_packets() {
        let mut windows = windows();
        for ssrc in 0..1000 {
            take(&mut windows, ssrc, 7).unwrap();
        }
        assert_eq!((windows.len(), windows.remembered.len()), (2, 2 * REMEMBERED));
        assert_eq!(take(&mut windows, 0, 7), Ok(()), "forgotten");
        assert_eq!(take(&mut windows, 990, 7), Err(SrtpError::TooOld), "remembered");
    }
}
