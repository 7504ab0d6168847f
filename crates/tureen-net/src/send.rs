//! Sending: a queue of runs, and the system calls that send it.

use std::net::SocketAddr;
use std::{io, slice};

use crate::net::{NetConfig, Socket, Sockets};
use crate::stats::NetStats;
use crate::sys;

/// Maximum of datagrams in one GSO message: UDP_MAX_SEGMENTS of Linux before 6.9.
pub(crate) const MAX_SEGMENTS: usize = 64;

/// Maximum of bytes in one GSO message: the UDP payload of an IPv6 packet of 65535 bytes.
pub(crate) const MAX_RUN_BYTES: usize = 65_535 - 40 - 8;

/// Datagrams for one destination, consecutive in the queue's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    token: u32,
    pub(crate) destination: SocketAddr,
    pub(crate) start: usize,
    pub(crate) len: usize,
    /// Size of each datagram but the last, which may be shorter. At least 1.
    pub(crate) segment_size: usize,
}

/// The queue of runs.
#[derive(Debug)]
pub(crate) struct Sender {
    memory: Box<[u8]>,
    used: usize,
    slot_size: usize,
    runs: Vec<Run>,
    max_runs: usize,
}

impl Run {
    pub(crate) fn segments(&self) -> usize {
        self.len.div_ceil(self.segment_size)
    }

    /// The datagrams as runs of one datagram each.
    fn split(self) -> impl Iterator<Item = Run> {
        (0..self.len).step_by(self.segment_size).map(move |offset| {
            let len = self.segment_size.min(self.len - offset);
            Run { start: self.start + offset, len, segment_size: len, ..self }
        })
    }

    /// Appends `next` if the two make a valid run.
    fn join(&mut self, next: &Run) -> bool {
        let fits = self.token == next.token
            && self.destination == next.destination
            && self.start + self.len == next.start
            && self.len.is_multiple_of(self.segment_size)
            && (next.segment_size == self.segment_size
                || next.len < self.segment_size && next.segments() == 1)
            && self.segments() + next.segments() <= MAX_SEGMENTS
            && self.len + next.len <= MAX_RUN_BYTES;
        if fits {
            self.len += next.len;
        }
        fits
    }
}

impl Sender {
    pub(crate) fn new(config: &NetConfig) -> Self {
        Self {
            memory: vec![0; config.send_memory].into_boxed_slice(),
            used: 0,
            slot_size: config.slot_size,
            runs: Vec::with_capacity(config.send_batch),
            max_runs: config.send_batch,
        }
    }

    /// True if a slot and a run of it fit without a flush.
    pub(crate) fn has_room(&self) -> bool {
        self.runs.len() < self.max_runs && self.memory.len() - self.used >= self.slot_size
    }

    /// Free memory for the next commit.
    pub(crate) fn slot(&mut self) -> &mut [u8] {
        &mut self.memory[self.used..][..self.slot_size]
    }

    /// Queues the start of the slot. Calls `send` when the queue is full.
    pub(crate) fn commit(
        &mut self,
        token: u32,
        destination: SocketAddr,
        len: usize,
        segment_size: usize,
        mut send: impl FnMut(&[Run], &[u8]),
    ) {
        assert!(len <= self.slot_size, "{len} bytes committed of a slot of {}", self.slot_size);
        let end = self.used + len;
        let segment_size = if segment_size == 0 { len } else { segment_size.min(len) };
        while self.used < end {
            let longest = (MAX_RUN_BYTES / segment_size).clamp(1, MAX_SEGMENTS) * segment_size;
            let len = longest.min(end - self.used);
            let run = Run { token, destination, start: self.used, len, segment_size: segment_size.min(len) };
            self.used += len;
            if self.runs.last_mut().is_some_and(|last| last.join(&run)) {
                continue;
            }
            if self.runs.len() == self.max_runs {
                send(&self.runs, &self.memory);
                self.runs.clear();
            }
            self.runs.push(run);
        }
    }

    /// Sends all runs and starts again at the beginning of the memory.
    pub(crate) fn flush(&mut self, sockets: &mut Sockets, scratch: &mut sys::Scratch, stats: &mut NetStats) {
        if !self.runs.is_empty() {
            send_runs(&self.runs, &self.memory, sockets, scratch, stats);
            self.runs.clear();
        }
        self.used = 0;
    }
}

/// Sends `runs` in order, consecutive ones of one socket by one call.
pub(crate) fn send_runs(
    runs: &[Run],
    memory: &[u8],
    sockets: &mut Sockets,
    scratch: &mut sys::Scratch,
    stats: &mut NetStats,
) {
    for runs in runs.chunk_by(|a, b| a.token == b.token) {
        match sockets.get_mut(&runs[0].token) {
            Some(socket) => SocketSend { socket, memory, scratch, stats }.send(runs),
            None => stats.dropped_no_socket += datagrams(runs),
        }
    }
}

/// State of sending runs on one socket.
struct SocketSend<'a> {
    socket: &'a mut Socket,
    memory: &'a [u8],
    scratch: &'a mut sys::Scratch,
    stats: &'a mut NetStats,
}

/// Result of a system call for the messages that it was given.
enum Verdict {
    /// Number of messages accepted, from the first on.
    Sent(usize),
    /// The send buffer is full.
    Full,
    /// The kernel cannot send the first message, a run, as one message.
    NotAsOne,
    /// The kernel refuses the first message.
    Refused,
}

impl SocketSend<'_> {
    fn send(&mut self, runs: &[Run]) {
        if self.socket.gso {
            self.send_messages(runs);
        } else {
            self.send_split(runs);
        }
    }

    /// Sends each run as one message. False if the send buffer is full and the rest was dropped.
    fn send_messages(&mut self, mut runs: &[Run]) -> bool {
        while let Some((first, others)) = runs.split_first() {
            match self.call(runs) {
                Verdict::Sent(count) => {
                    let (sent, rest) = runs.split_at(count);
                    for run in sent {
                        self.stats.record_sent(run.segments(), run.len);
                    }
                    runs = rest;
                }
                Verdict::Full => {
                    self.stats.dropped_send_buffer_full += datagrams(runs);
                    return false;
                }
                Verdict::NotAsOne if !self.socket.gso => return self.send_split(runs),
                Verdict::NotAsOne => {
                    if !self.send_split(slice::from_ref(first)) {
                        self.stats.dropped_send_buffer_full += datagrams(others);
                        return false;
                    }
                    runs = others;
                }
                Verdict::Refused => {
                    self.stats.dropped_send_error += first.segments() as u64;
                    runs = others;
                }
            }
        }
        true
    }

    /// Sends each datagram as a message of its own. False if the send buffer is full and the rest was dropped.
    fn send_split(&mut self, runs: &[Run]) -> bool {
        let mut singles = runs.iter().copied().flat_map(Run::split);
        let mut batch = [runs[0]; sys::MAX_BATCH];
        loop {
            // The slots first, because `zip` must take a datagram only if there is a slot.
            let count = batch.iter_mut().zip(&mut singles).map(|(slot, single)| *slot = single).count();
            if count == 0 {
                return true;
            }
            if !self.send_messages(&batch[..count]) {
                self.stats.dropped_send_buffer_full += singles.count() as u64;
                return false;
            }
        }
    }

    fn call(&mut self, runs: &[Run]) -> Verdict {
        let runs = &runs[..runs.len().min(sys::MAX_BATCH)];
        let error = loop {
            let calls = &mut self.stats.send_calls;
            match sys::send(&self.socket.udp, self.socket.ipv6, self.scratch, self.memory, runs, calls) {
                Ok(count) => return Verdict::Sent(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
        };
        if sys::is_buffer_full(&error) {
            return Verdict::Full;
        }
        if runs[0].segments() > 1 && sys::refuses_gso(&error) {
            if sys::lacks_gso(&error) {
                tracing::debug!(%error, "the network device can't send with GSO, from now on without");
                self.socket.gso = false;
            }
            self.stats.gso_fallbacks += 1;
            return Verdict::NotAsOne;
        }
        tracing::trace!(destination = %runs[0].destination, %error, "send refused");
        Verdict::Refused
    }
}

fn datagrams(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.segments() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: ([u8; 4], u16) = ([127, 0, 0, 1], 5000);

    fn sender(send_batch: usize) -> Sender {
        Sender::new(&NetConfig { send_batch, ..NetConfig::default() })
    }

    fn commit(sender: &mut Sender, len: usize, segment_size: usize) -> usize {
        let mut sent = 0;
        sender.commit(1, PEER.into(), len, segment_size, |runs, _| sent += runs.len());
        sent
    }

    fn queued(sender: &Sender) -> Vec<(usize, usize, usize)> {
        sender.runs.iter().map(|run| (run.start, run.len, run.segment_size)).collect()
    }

    #[test]
    fn consecutive_datagrams_join_until_a_shorter_one_ends_the_run() {
        let mut sender = sender(64);
        for len in [100, 100, 99, 99, 100] {
            commit(&mut sender, len, 0);
        }
        assert_eq!(queued(&sender), [(0, 299, 100), (299, 99, 99), (398, 100, 100)]);
    }

    #[test]
    fn runs_join_only_for_the_same_path_and_size() {
        let mut sender = sender(64);
        commit(&mut sender, 200, 100);
        commit(&mut sender, 250, 100);
        commit(&mut sender, 100, 100);
        sender.commit(2, PEER.into(), 100, 100, |_, _| {});
        sender.commit(2, ([127, 0, 0, 2], 5000).into(), 100, 100, |_, _| {});
        assert_eq!(queued(&sender), [(0, 450, 100), (450, 100, 100), (550, 100, 100), (650, 100, 100)]);
    }

    #[test]
    fn long_commits_are_cut_at_the_kernels_limits() {
        let mut sender = sender(64);
        commit(&mut sender, 6_500, 100);
        assert_eq!(queued(&sender), [(0, 6_400, 100), (6_400, 100, 100)]);
        commit(&mut sender, 64_500, 1_500);
        commit(&mut sender, 1_500, 1_500);
        assert_eq!(queued(&sender)[2..], [(6_500, 64_500, 1_500), (71_000, 1_500, 1_500)]);
    }

    #[test]
    fn full_queue_is_sent_and_the_new_run_stays() {
        let mut sender = sender(2);
        assert_eq!(commit(&mut sender, 10, 0), 0);
        assert_eq!(commit(&mut sender, 20, 0), 0);
        assert!(!sender.has_room());
        assert_eq!(commit(&mut sender, 30, 0), 2);
        assert_eq!(queued(&sender), [(30, 30, 30)]);
    }

    #[test]
    fn splitting_a_run_gives_its_datagrams() {
        let mut sender = sender(1);
        commit(&mut sender, 250, 100);
        let split: Vec<_> = sender.runs[0].split().map(|run| (run.start, run.len)).collect();
        assert_eq!(split, [(0, 100), (100, 100), (200, 50)]);
    }
}
