//! One queue of timers for a worker. A timer costs nothing while it is not due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::Hash;
use std::time::Instant;

use hashbrown::HashMap;

/// Timers by their time. Each timer has at most one time; arming it for an earlier one replaces it, arming it for a
/// later one does nothing: its owner looks again when it fires.
#[derive(Debug)]
pub struct TimerQueue<T> {
    heap: BinaryHeap<Reverse<(Instant, u64)>>,
    timers: HashMap<u64, T>,
    armed: HashMap<T, (Instant, u64)>,
    next_id: u64,
}

impl<T: Copy + Eq + Hash> TimerQueue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), timers: HashMap::new(), armed: HashMap::new(), next_id: 0 }
    }

    /// Makes `timer` fire at `at` or before.
    pub fn arm(&mut self, timer: T, at: Instant) {
        if let Some(&(armed, id)) = self.armed.get(&timer) {
            if armed <= at {
                return;
            }
            self.timers.remove(&id);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.armed.insert(timer, (at, id));
        self.timers.insert(id, timer);
        self.heap.push(Reverse((at, id)));
    }

    /// Forgets `timer`.
    pub fn disarm(&mut self, timer: T) {
        if let Some((_, id)) = self.armed.remove(&timer) {
            self.timers.remove(&id);
        }
    }

    /// When the next timer fires.
    pub fn next_time(&mut self) -> Option<Instant> {
        while let Some(&Reverse((at, id))) = self.heap.peek() {
            if self.timers.contains_key(&id) {
                return Some(at);
            }
            self.heap.pop();
        }
        None
    }

    /// Takes a timer that is due.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        if self.next_time()? > now {
            return None;
        }
        let Reverse((_, id)) = self.heap.pop()?;
        let timer = self.timers.remove(&id)?;
        self.armed.remove(&timer);
        Some(timer)
    }
}

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
