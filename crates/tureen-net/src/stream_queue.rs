//! Send queue of a TCP stream: frames, of which old ones can be dropped.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::framing::{self, PREFIX};

/// Memory that an empty queue keeps, in bytes.
const KEPT: usize = 16 << 10;

/// Frames in the order of sending. A frame that was sent in part is always sent to its end.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    /// Consecutive frames, of which the first `sent` bytes were sent.
    bytes: Vec<u8>,
    sent: usize,
    frames: VecDeque<Frame>,
    /// Sent bytes of the first frame.
    begun: usize,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Bytes of the frame with its prefix.
    len: usize,
    since: Instant,
    essential: bool,
}

impl SendQueue {
    /// Bytes that wait to be sent.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Time that the first frame has waited.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        self.frames.front().map_or(Duration::ZERO, |frame| now.saturating_duration_since(frame.since))
    }

    /// Appends a frame, unless more than `limit` bytes would wait then. Returns true if the frame was appended.
    pub(crate) fn push(&mut self, now: Instant, datagram: &[u8], essential: bool, limit: usize) -> bool {
        let len = PREFIX + datagram.len();
        if self.len() + len > limit {
            return false;
        }
        framing::push(&mut self.bytes, datagram);
        self.frames.push_back(Frame { len, since: now, essential });
        true
    }

    /// The next bytes to send, at most `max`.
    pub(crate) fn next(&self, max: usize) -> &[u8] {
        let end = self.bytes.len().min(self.sent.saturating_add(max));
        &self.bytes[self.sent..end]
    }

    /// Removes the first `len` bytes, which were sent.
    pub(crate) fn on_sent(&mut self, len: usize) {
        self.sent += len;
        self.begun += len;
        while let Some(first) = self.frames.front().filter(|first| first.len <= self.begun) {
            self.begun -= first.len;
            self.frames.pop_front();
        }
        if self.frames.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT);
            self.sent = 0;
        } else if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Drops frames that have waited longer than `limit`, except essential ones and one that was sent in part.
    /// Returns how many.
    pub(crate) fn drop_late(&mut self, now: Instant, limit: Duration) -> usize {
        let begun = usize::from(self.begun > 0);
        let is_late = |frame: &Frame| now.saturating_duration_since(frame.since) > limit;
        if !self.frames.iter().skip(begun).take_while(|frame| is_late(frame)).any(|frame| !frame.essential) {
            return 0;
        }
        let before = self.frames.len();
        let (mut from, mut to, mut index) = (self.sent, self.sent, 0);
        let (bytes, begun_bytes) = (&mut self.bytes, self.begun);
        self.frames.retain(|frame| {
            let len = if index == 0 { frame.len - begun_bytes } else { frame.len };
            let keep = index < begun || frame.essential || !is_late(frame);
            if keep {
                bytes.copy_within(from..from + len, to);
                to += len;
            }
            from += len;
            index += 1;
            keep
        });
        self.bytes.truncate(to);
        before - self.frames.len()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const LIMIT: Duration = Duration::from_millis(500);

    /// Sends everything in steps of `step` bytes, and returns it.
    fn drain(queue: &mut SendQueue, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !queue.is_empty() {
            let part = queue.next(step).to_vec();
            queue.on_sent(part.len());
            all.extend(part);
        }
        assert_eq!(queue.len(), 0);
        all
    }

    /// Frames of the datagrams `[1]`, `[2, 2]`, … at 100 ms each; those of even length are essential.
    fn filled(now: Instant, count: u8) -> SendQueue {
        let mut queue = SendQueue::default();
        for number in 1..=count {
            let datagram = vec![number; number.into()];
            assert!(queue.push(now + 100 * MS * number.into(), &datagram, number % 2 == 0, 1000));
        }
        queue
    }

    fn framed(numbers: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        numbers.iter().for_each(|&number| framing::push(&mut bytes, &vec![number; number.into()]));
        bytes
    }

    #[test]
    fn partial_writes_keep_the_order() {
        let now = Instant::now();
        for step in 1..20 {
            assert_eq!(drain(&mut filled(now, 5), step), framed(&[1, 2, 3, 4, 5]), "{step} bytes at a time");
        }
    }

    #[test]
    fn late_frames_are_dropped_except_for_essential_ones() {
        let now = Instant::now();
        let mut queue = filled(now, 9);
        assert_eq!(queue.age(now + 300 * MS), 200 * MS);
        assert_eq!(queue.drop_late(now + 600 * MS, LIMIT), 0);
        assert_eq!(queue.drop_late(now + 1050 * MS, LIMIT), 3, "1, 3 and 5");
        assert_eq!(queue.drop_late(now + 1050 * MS, LIMIT), 0);
        assert_eq!(drain(&mut queue, 7), framed(&[2, 4, 6, 7, 8, 9]));
    }

    #[test]
    fn started_frame_is_completed() {
        let now = Instant::now();
        let mut queue = filled(now, 7);
        let mut sent = queue.next(4).to_vec();
        queue.on_sent(4);
        // The first frame and one byte of the second.
        sent.extend(queue.next(6));
        queue.on_sent(6);
        let dropped = queue.drop_late(now + 10_000 * MS, LIMIT);
        sent.extend(drain(&mut queue, 100));
        assert_eq!((dropped, sent), (2, framed(&[1, 2, 3, 4, 6])), "3 had begun, 5 and 7 had not");
    }

    #[test]
    fn bytes_are_bounded_too() {
        let now = Instant::now();
        let mut queue = SendQueue::default();
        assert!(queue.push(now, &[0; 60], false, 100));
        assert!(!queue.push(now, &[0; 60], false, 100) && queue.push(now, &[0; 60], true, 200));
        assert_eq!(queue.len(), 124);
    }
}
