//! Queues of datagrams between two workers of one process.
//!
//! A pipe behaves like two connected UDP sockets and is used by the same calls. Sending copies a run into memory that
//! the other side reads. The other worker is woken once per flush, and without a system call while it is busy.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::receive::{Batch, Message};
use crate::stats::NetStats;
use crate::waker::Waker;

/// One end of a pipe, for [`Net::adopt_pipe`](crate::Net::adopt_pipe). Dropping it closes it: the other end still
/// receives earlier datagrams, and cannot send any more.
pub struct PipeEnd {
    local: SocketAddr,
    remote: SocketAddr,
    outgoing: Arc<Direction>,
    incoming: Arc<Direction>,
}

/// Creates a pipe. The addresses are the source addresses of the datagrams of either end; nothing is bound to them.
#[must_use]
pub fn pipe(first: SocketAddr, second: SocketAddr) -> (PipeEnd, PipeEnd) {
    let (there, back) = (Arc::new(Direction::default()), Arc::new(Direction::default()));
    (
        PipeEnd { local: first, remote: second, outgoing: Arc::clone(&there), incoming: Arc::clone(&back) },
        PipeEnd { local: second, remote: first, outgoing: back, incoming: there },
    )
}

/// One direction of a pipe.
#[derive(Default)]
struct Direction {
    state: Mutex<DirectionState>,
}

#[derive(Default)]
struct DirectionState {
    parcel: Parcel,
    reader: Reader,
    /// True if the reader was woken for the parcel.
    announced: bool,
}

#[derive(Default)]
enum Reader {
    /// The reader has not adopted its end yet. Sent datagrams wait.
    #[default]
    Expected,
    Present {
        bell: Arc<Doorbell>,
        token: u32,
    },
    Gone,
}

/// Consecutive runs of datagrams.
#[derive(Default)]
struct Parcel {
    bytes: Vec<u8>,
    messages: Vec<Message>,
}

/// Tokens of this worker's readable pipes, written by other workers.
struct Doorbell {
    tokens: Mutex<Vec<u32>>,
    waker: Waker,
}

/// The pipes of a worker.
pub(crate) struct Pipes {
    /// Bytes that may wait in each direction.
    limit: usize,
    bell: Arc<Doorbell>,
    pipes: HashMap<u32, Pipe>,
    /// Pipes that were sent on since the last flush.
    dirty: Vec<u32>,
}

struct Pipe {
    end: PipeEnd,
    /// Parcel taken from the other side. Its memory is exchanged for the parcel after the next.
    inbox: Parcel,
    /// Messages of the parcel that were received.
    received: usize,
    /// Message at which the current batch ends.
    batch_end: usize,
    dirty: bool,
}

/// Weight of a run in addition to its bytes.
const RUN_OVERHEAD: usize = size_of::<Message>();

/// Bytes of one batch, so that pipes and sockets take turns.
const BATCH_BYTES: usize = 128 << 10;

impl Pipes {
    pub(crate) fn new(limit: usize, waker: Waker) -> Self {
        let bell = Doorbell { tokens: Mutex::default(), waker };
        Self { limit, bell: Arc::new(bell), pipes: HashMap::new(), dirty: Vec::new() }
    }

    pub(crate) fn contains(&self, token: u32) -> bool {
        // Early return, because most workers have no pipes.
        !self.pipes.is_empty() && self.pipes.contains_key(&token)
    }

    /// Adopts an end. Returns its address, and true if there is something to receive already.
    pub(crate) fn add(&mut self, token: u32, end: PipeEnd) -> (SocketAddr, bool) {
        let address = end.local;
        let waiting = end.incoming.open(Arc::clone(&self.bell), token);
        let pipe = Pipe { end, inbox: Parcel::default(), received: 0, batch_end: 0, dirty: false };
        self.pipes.insert(token, pipe);
        (address, waiting)
    }

    pub(crate) fn close(&mut self, token: u32) {
        self.pipes.remove(&token);
    }

    /// Sends the datagrams of a commit. Datagrams beyond the limit are dropped; `essential` ones have twice the room.
    pub(crate) fn send(
        &mut self,
        token: u32,
        run: &[u8],
        segment_size: usize,
        essential: bool,
        stats: &mut NetStats,
    ) {
        let Some(pipe) = self.pipes.get_mut(&token) else { return };
        let segment_size = if segment_size == 0 { run.len() } else { segment_size.min(run.len()) }.max(1);
        let datagrams = run.len().div_ceil(segment_size).max(1);
        let limit = if essential { 2 * self.limit } else { self.limit };
        let Some(taken) = pipe.end.outgoing.push(pipe.end.local, run, segment_size, limit) else {
            stats.dropped_send_error += datagrams as u64;
            return;
        };
        stats.dropped_send_buffer_full += (datagrams - taken) as u64;
        if taken > 0 {
            stats.record_sent(taken, run.len().min(taken * segment_size));
            if !std::mem::replace(&mut pipe.dirty, true) {
                self.dirty.push(token);
            }
        }
    }

    /// Wakes the workers that were sent to.
    pub(crate) fn flush(&mut self) {
        for token in self.dirty.drain(..) {
            if let Some(pipe) = self.pipes.get_mut(&token) {
                pipe.dirty = false;
                pipe.end.outgoing.announce();
            }
        }
    }

    /// The pipes with something to receive, after a wake.
    pub(crate) fn answer(&self, mut on_ready: impl FnMut(u32)) {
        if !self.pipes.is_empty() {
            self.bell.tokens.lock().drain(..).for_each(&mut on_ready);
        }
    }

    /// Prepares the next batch of a pipe for [`batch`](Self::batch). `None` if there is nothing to receive, otherwise
    /// true if more is left.
    pub(crate) fn receive(&mut self, token: u32, stats: &mut NetStats) -> Option<bool> {
        let pipe = self.pipes.get_mut(&token)?;
        if pipe.batch_end == pipe.inbox.messages.len() {
            pipe.inbox.clear();
            pipe.end.incoming.exchange(&mut pipe.inbox);
            pipe.batch_end = 0;
        }
        pipe.received = pipe.batch_end;
        let mut bytes = 0;
        for message in &pipe.inbox.messages[pipe.received..] {
            if bytes >= BATCH_BYTES {
                break;
            }
            bytes += message.len;
            pipe.batch_end += 1;
            stats.datagrams_in += message.len.div_ceil(message.segment_size).max(1) as u64;
        }
        stats.bytes_in += bytes as u64;
        (pipe.batch_end > pipe.received).then_some(pipe.batch_end < pipe.inbox.messages.len())
    }

    /// The batch of the last [`receive`](Self::receive).
    pub(crate) fn batch(&mut self, token: u32) -> Option<Batch<'_>> {
        let pipe = self.pipes.get_mut(&token)?;
        let messages = &pipe.inbox.messages[pipe.received..pipe.batch_end];
        Some(Batch::new(token, messages, &mut pipe.inbox.bytes))
    }
}

impl Direction {
    /// Marks the reader as present. Returns true if something waits for it.
    fn open(&self, bell: Arc<Doorbell>, token: u32) -> bool {
        let mut direction = self.state.lock();
        direction.reader = Reader::Present { bell, token };
        direction.announced = !direction.parcel.messages.is_empty();
        direction.announced
    }

    /// Appends the datagrams of a run that there is room for. Returns their number; `None` without a reader.
    fn push(&self, source: SocketAddr, run: &[u8], segment_size: usize, limit: usize) -> Option<usize> {
        let mut direction = self.state.lock();
        if matches!(direction.reader, Reader::Gone) {
            return None;
        }
        let parcel = &mut direction.parcel;
        let room = limit.checked_sub(parcel.weight() + RUN_OVERHEAD);
        let len = match room {
            Some(room) if run.len() <= room => run.len(),
            Some(room) if room >= segment_size => room / segment_size * segment_size,
            _ => return Some(0),
        };
        let start = parcel.bytes.len();
        parcel.bytes.extend_from_slice(&run[..len]);
        parcel.messages.push(Message { start, len, segment_size, source });
        Some(len.div_ceil(segment_size).max(1))
    }

    /// Wakes the reader if there is something new.
    fn announce(&self) {
        let mut direction = self.state.lock();
        if direction.announced || direction.parcel.messages.is_empty() {
            return;
        }
        if let Reader::Present { bell, token } = &direction.reader {
            let (bell, token) = (Arc::clone(bell), *token);
            direction.announced = true;
            drop(direction); // Unlocked first, because the reader needs it as soon as it is awake.
            bell.ring(token);
        }
    }

    /// Takes the sent parcel in exchange for an empty one.
    fn exchange(&self, empty: &mut Parcel) {
        let mut direction = self.state.lock();
        direction.announced = false;
        std::mem::swap(&mut direction.parcel, empty);
    }

    /// Marks the reader as gone.
    fn close(&self) {
        let mut direction = self.state.lock();
        direction.reader = Reader::Gone;
        direction.parcel = Parcel::default();
    }
}

impl Parcel {
    fn weight(&self) -> usize {
        self.bytes.len() + self.messages.len() * RUN_OVERHEAD
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
    }
}

impl Doorbell {
    fn ring(&self, token: u32) {
        self.tokens.lock().push(token);
        self.waker.wake();
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.outgoing.announce();
        self.incoming.close();
    }
}

impl fmt::Debug for PipeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeEnd")
            .field("local", &self.local)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Pipes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipes").field("pipes", &self.pipes.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::{Net, NetConfig};

    const NEAR: ([u8; 4], u16) = ([127, 0, 0, 1], 1);
    const FAR: ([u8; 4], u16) = ([127, 0, 0, 1], 2);
    /// Limit of a wait for something that must happen.
    const FAILURE: Duration = Duration::from_secs(10);

    /// Two networks with a pipe, which has the token 7 in both.
    fn connected(pipe_queue: usize) -> (Net, Net) {
        let net = || Net::new(NetConfig { pipe_queue, ..NetConfig::default() }).unwrap();
        let (mut here, mut there) = (net(), net());
        let (near, far) = pipe(NEAR.into(), FAR.into());
        assert_eq!(here.adopt_pipe(7, near).unwrap(), NEAR.into());
        assert_eq!(there.adopt_pipe(7, far).unwrap(), FAR.into());
        (here, there)
    }

    fn commit(net: &mut Net, data: &[u8], segment_size: usize) {
        net.send_slot()[..data.len()].copy_from_slice(data);
        net.commit(7, FAR.into(), data.len(), segment_size);
    }

    /// Receives everything that waits.
    fn receive(net: &mut Net) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        while let Some(batch) = net.receive() {
            datagrams.extend(batch.map(|datagram| {
                assert_eq!((datagram.token, datagram.source), (7, NEAR.into()));
                datagram.data.to_vec()
            }));
        }
        datagrams
    }

    #[test]
    fn sleeping_worker_is_woken_by_a_datagram() {
        let (mut here, mut there) = connected(1000);
        let receiver = thread::spawn(move || {
            loop {
                assert!(there.wait(Some(FAILURE)).unwrap(), "it was not woken");
                let datagrams = receive(&mut there);
                if !datagrams.is_empty() {
                    return datagrams;
                }
            }
        });
        commit(&mut here, &[1, 2, 3, 4, 5], 2);
        here.flush();
        assert_eq!(receiver.join().unwrap(), [vec![1, 2], vec![3, 4], vec![5]]);
        assert_eq!(here.stats().send_calls, 0);
    }

    #[test]
    fn one_flush_wakes_once() {
        let (mut here, mut there) = connected(1 << 20);
        for _ in 0..2 {
            (0..100).for_each(|i| commit(&mut here, &[i; 1200], 0));
            assert!(!there.wait(Some(Duration::ZERO)).unwrap(), "before the flush");
            here.flush();
            here.flush();
            assert!(there.wait(Some(FAILURE)).unwrap());
            assert_eq!(receive(&mut there).len(), 100);
        }
        assert_eq!(there.stats().wakes, 2);
        assert_eq!((there.stats().datagrams_in, there.stats().bytes_in), (200, 240_000));
    }

    #[test]
    fn datagrams_without_room_are_dropped_and_counted() {
        let (mut here, mut there) = connected(1000 + RUN_OVERHEAD);
        commit(&mut here, &[1; 1500], 300);
        assert_eq!((here.stats().datagrams_out, here.stats().dropped_send_buffer_full), (3, 2));
        commit(&mut here, &[2; 10], 0);
        assert_eq!(here.stats().dropped_send_buffer_full, 2, "a small one finds room");
        here.send_slot()[..100].fill(3);
        here.commit_control(7, FAR.into(), 100);
        assert_eq!(here.stats().dropped_send_buffer_full, 2, "there is room for control datagrams");

        here.flush();
        there.wait(Some(FAILURE)).unwrap();
        let sizes: Vec<usize> = receive(&mut there).iter().map(Vec::len).collect();
        assert_eq!(sizes, [300, 300, 300, 10, 100]);
        commit(&mut here, &[4; 900], 300);
        assert_eq!(here.stats().datagrams_out, 8, "there is room again");
    }

    #[test]
    fn large_parcels_are_received_in_batches() {
        let (mut here, mut there) = connected(1 << 20);
        (0..300_u16).for_each(|i| commit(&mut here, &[&i.to_be_bytes()[..], &[0; 998]].concat(), 0));
        here.flush();
        there.wait(Some(FAILURE)).unwrap();
        assert_eq!(there.receive().unwrap().count(), BATCH_BYTES.div_ceil(1000));
        assert!(there.wait(None).is_ok(), "it does not block while there is more");
        let rest = receive(&mut there);
        assert_eq!(rest.len(), 300 - BATCH_BYTES.div_ceil(1000));
        assert_eq!(rest.last().unwrap()[..2], 299_u16.to_be_bytes());
    }

    #[test]
    fn datagrams_sent_before_the_other_end_is_adopted_arrive() {
        let net = || Net::new(NetConfig::default()).unwrap();
        let (mut here, mut there) = (net(), net());
        let (near, far) = pipe(NEAR.into(), FAR.into());
        here.adopt_pipe(7, near).unwrap();
        commit(&mut here, b"early", 0);
        here.flush();
        there.adopt_pipe(7, far).unwrap();
        assert_eq!(receive(&mut there), [b"early"]);
        commit(&mut here, b"late", 0);
        here.flush();
        assert!(there.wait(Some(FAILURE)).unwrap());
        assert_eq!(receive(&mut there), [b"late"]);
    }

    #[test]
    fn closed_end_delivers_sent_datagrams_and_accepts_no_more() {
        let (mut here, mut there) = connected(1000);
        commit(&mut here, b"last words", 0);
        drop(here);
        there.wait(Some(FAILURE)).unwrap();
        assert_eq!(receive(&mut there), [b"last words"]);
        commit(&mut there, b"too late", 4);
        assert_eq!(there.stats().dropped_send_error, 2);
        there.close(7);
        commit(&mut there, b"no socket", 0);
        there.flush();
        assert_eq!(there.stats().dropped_no_socket, 1);
    }

    #[test]
    fn both_ends_may_belong_to_one_worker() {
        let mut net = Net::new(NetConfig::default()).unwrap();
        let (near, far) = pipe(FAR.into(), NEAR.into());
        net.adopt_pipe(7, near).unwrap();
        assert_eq!(net.adopt_pipe(7, far).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
        let (near, far) = pipe(NEAR.into(), FAR.into());
        net.adopt_pipe(8, near).unwrap();
        net.close(7);
        net.adopt_pipe(7, far).unwrap();
        net.send_slot()[..4].copy_from_slice(b"self");
        net.commit(8, FAR.into(), 4, 0);
        assert!(net.wait(Some(FAILURE)).unwrap());
        assert_eq!(receive(&mut net), [b"self"]);
    }
}
