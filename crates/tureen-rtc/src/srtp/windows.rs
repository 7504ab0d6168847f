//! Replay windows of the SSRCs that a remote side uses: bounded, and with a way out for the silent ones.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::SrtpError;
use super::replay::ReplayWindow;
use crate::units::Ssrc;

/// How many SSRCs without a window are remembered by their highest index, for each SSRC that has one.
const REMEMBERED: usize = 16;

/// The windows of one direction and kind of packet.
///
/// When there are as many as there may be, the SSRC that has been silent longest gives its window to a new one; streams
/// that have ended go first. Of those its highest index is kept (12 bytes), because the rollover counter belongs to SSRC
/// and key (RFC 3711 §3.2.3): should the SSRC come back, it goes on in the right cycle, and nothing that came before is
/// taken for new. Sixteen times as many SSRCs are remembered so; the one that was given up first is forgotten then. Should
/// a remote side that has used so many SSRCs since come back to it, its packets are taken from the first cycle on again,
/// and whoever recorded packets of that cycle can replay them, once each. Nothing else follows from it: what is sealed
/// never depends on what is here.
#[derive(Debug)]
pub(super) struct Windows<const WORDS: usize> {
    max: usize,
    windows: HashMap<Ssrc, Entry<WORDS>>,
    /// Highest index, and when it was given up.
    remembered: HashMap<Ssrc, (u64, u64)>,
    /// In the order in which they were given up, and when; those that came back are in here still.
    given_up: VecDeque<(Ssrc, u64)>,
    /// Counts what happens to windows.
    clock: u64,
    evicted: u64,
}

#[derive(Debug)]
struct Entry<const WORDS: usize> {
    window: ReplayWindow<WORDS>,
    /// When a packet was accepted last; zero for a stream that has ended.
    used: u64,
}

impl<const WORDS: usize> Windows<WORDS> {
    /// With `max` windows at most.
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

    /// Changes how many there may be. None is given up at once.
    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max.max(1);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.windows.len()
    }

    /// How many were given to other SSRCs.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Opens a packet by `open`, which gets its index, and moves the window only if that succeeds. `index_after` tells the
    /// index from the highest one so far, if there is one.
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
        // An SSRC without a window: its first packet must be newer than all that its evicted window had accepted.
        let highest = self.remembered.get(&ssrc).map(|&(highest, _)| highest);
        let index = index_after(highest)?;
        if highest.is_some_and(|highest| index <= highest) {
            return Err(SrtpError::TooOld);
        }
        let opened = open(index)?;
        self.begin(ssrc, highest, index);
        Ok((index, opened))
    }

    /// A stream has ended: it makes room before others do.
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
    fn longest_silent_gives_way() {
        let mut windows = windows();
        for (ssrc, index) in [(1, 10), (2, 20), (1, 11), (3, 30)] {
            assert_eq!(take(&mut windows, ssrc, index), Ok(()));
        }
        assert!(windows.windows.contains_key(&Ssrc(1)) && windows.windows.contains_key(&Ssrc(3)));
        assert_eq!((windows.len(), windows.evicted()), (2, 1));
    }

    #[test]
    fn ended_stream_gives_way_first_and_keeps_its_window_until_then() {
        let mut windows = windows();
        take(&mut windows, 1, 10).unwrap();
        take(&mut windows, 2, 20).unwrap();
        windows.end(Ssrc(2));
        assert_eq!(take(&mut windows, 2, 20), Err(SrtpError::Replayed));
        take(&mut windows, 3, 30).unwrap();
        assert!(windows.windows.contains_key(&Ssrc(1)) && !windows.windows.contains_key(&Ssrc(2)));
    }

    #[test]
    fn ssrc_that_comes_back_goes_on_and_nothing_of_before_is_new() {
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
    fn memory_is_bounded_whatever_comes() {
        let mut windows = windows();
        for ssrc in 0..1000 {
            take(&mut windows, ssrc, 7).unwrap();
        }
        assert_eq!((windows.len(), windows.remembered.len()), (2, 2 * REMEMBERED));
        assert_eq!(take(&mut windows, 0, 7), Ok(()), "forgotten");
        assert_eq!(take(&mut windows, 990, 7), Err(SrtpError::TooOld), "remembered");
    }
}
