//! Timer queue of a worker. A timer costs nothing until it is due.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::hash::Hash;
use std::time::Instant;

use hashbrown::HashMap;

/// Timers ordered by time. Each timer has at most one time: arming it for an earlier one replaces it, and arming it for
/// a later one does nothing, because its owner arms it again when it fires.
#[derive(Debug)]
pub(crate) struct TimerQueue<T> {
    /// Includes replaced and disarmed entries, which differ from those in `armed` and are dropped on reaching the top.
    heap: BinaryHeap<Entry<T>>,
    armed: HashMap<T, (Instant, u64)>,
    next_id: u64,
}

/// Entry of the heap. Its order is reversed by time and then by age, because the heap returns the greatest entry first.
#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    at: Instant,
    id: u64,
    timer: T,
}

impl<T: Copy + Eq + Hash> TimerQueue<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), armed: HashMap::new(), next_id: 0 }
    }

    /// Makes `timer` fire at `at` or earlier.
    pub(crate) fn arm(&mut self, timer: T, at: Instant) {
        if self.armed.get(&timer).is_some_and(|&(armed, _)| armed <= at) {
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.armed.insert(timer, (at, id));
        self.heap.push(Entry { at, id, timer });
    }

    /// Cancels `timer`. Its heap entry is dropped later.
    pub(crate) fn disarm(&mut self, timer: T) {
        self.armed.remove(&timer);
    }

    /// Time at which the next timer fires.
    pub(crate) fn next_time(&mut self) -> Option<Instant> {
        while let Some(entry) = self.heap.peek() {
            if self.armed.get(&entry.timer).is_some_and(|&(_, id)| id == entry.id) {
                return Some(entry.at);
            }
            self.heap.pop();
        }
        None
    }

    /// Removes and returns a timer that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<T> {
        if self.next_time()? > now {
            return None;
        }
        let entry = self.heap.pop()?;
        self.armed.remove(&entry.timer);
        Some(entry.timer)
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.id).cmp(&(self.at, self.id))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<T> Eq for Entry<T> {}

impl<T: Copy + Eq + Hash> Default for TimerQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timers_fire_in_order_and_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut queue = TimerQueue::new();
        queue.arm("b", at(20));
        queue.arm("a", at(10));
        assert_eq!(queue.next_time(), Some(at(10)));
        assert_eq!(queue.pop(at(9)), None);
        assert_eq!(queue.pop(at(30)), Some("a"));
        assert_eq!(queue.pop(at(30)), Some("b"));
        assert_eq!(queue.pop(at(30)), None);
    }

    #[test]
    fn earlier_time_replaces_a_later_one() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut queue = TimerQueue::new();
        queue.arm("a", at(20));
        queue.arm("a", at(10));
        queue.arm("a", at(15));
        assert_eq!(queue.pop(at(10)), Some("a"));
        assert_eq!(queue.pop(at(30)), None);
    }

    #[test]
    fn disarmed_timer_does_not_fire() {
        let start = Instant::now();
        let mut queue = TimerQueue::new();
        queue.arm("a", start);
        queue.disarm("a");
        assert_eq!(queue.next_time(), None);
    }
}
