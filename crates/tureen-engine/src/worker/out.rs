//! State that every function of a worker may use: outputs, timers, the clock, random numbers, drop counters, and the
//! queues of transports and associations with something to send.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use super::Output;
use crate::api::{
    ConsumerEvent, Notification, ProducerEvent, RequestError, RequestId, Response, TransportEvent,
};
use crate::io::{SocketCommand, Transmit};
use crate::keys::{ConsumerKey, ProducerKey, TransportKey};
use crate::media::consumer::Retransmission;
use crate::timers::TimerQueue;
use crate::transport::Transport;
use crate::worker::arena::Media;
use crate::worker::drops::Drops;
use crate::worker::limits::Limits;
use crate::worker::timer::Timer;
use tureen_rtc::tuple::Tuple;
use tureen_rtc::wire::rtcp::{NtpTime, ReportBlock};

/// See the [module documentation](self).
#[derive(Debug)]
pub(crate) struct Out {
    /// Outputs for the driver, in order.
    outputs: VecDeque<Output>,
    pub(crate) timers: TimerQueue<Timer>,
    pub(crate) clock: Clock,
    pub(crate) rng: StdRng,
    pub(crate) limits: Limits,
    pub(crate) drops: Drops,
    pub(crate) control: ControlQueue,
    pub(crate) line: Line,
    pub(crate) scratch: Scratch,
    /// Transports whose SCTP associations may have events.
    pub(crate) queued_sctp: Vec<TransportKey>,
    /// Transports whose SCTP associations may have packets to send.
    pub(crate) sending_sctp: VecDeque<TransportKey>,
}

impl Out {
    pub(crate) fn new(limits: Limits, seed: [u8; 32], clock: Clock) -> Self {
        Self {
            outputs: VecDeque::new(),
            timers: TimerQueue::new(),
            clock,
            rng: StdRng::from_seed(seed),
            control: ControlQueue::new(limits.control_datagrams),
            limits,
            drops: Drops::default(),
            line: Line::default(),
            scratch: Scratch::default(),
            queued_sctp: Vec::new(),
            sending_sctp: VecDeque::new(),
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn respond(&mut self, request: RequestId, result: Result<Response, RequestError>) {
        self.outputs.push_back(Output::Response(request, result));
    }

    pub(crate) fn command(&mut self, command: SocketCommand) {
        self.outputs.push_back(Output::Socket(command));
    }

    pub(crate) fn notify(&mut self, notification: Notification) {
        self.outputs.push_back(Output::Notification(notification));
    }

    pub(crate) fn notify_transport(&mut self, media: &Media, key: TransportKey, event: TransportEvent) {
        if let Some(transport) = media.transports.live(key) {
            self.notify(Notification::Transport(transport.id.clone(), event));
        }
    }

    pub(crate) fn notify_producer(&mut self, media: &Media, key: ProducerKey, event: ProducerEvent) {
        if let Some(producer) = media.producers.live(key) {
            self.notify(Notification::Producer(producer.id.clone(), event));
        }
    }

    pub(crate) fn notify_consumer(&mut self, media: &Media, key: ConsumerKey, event: ConsumerEvent) {
        if let Some(consumer) = media.consumers.live(key) {
            self.notify(Notification::Consumer(consumer.id.clone(), event));
        }
    }

    /// Arms a timer that may be late by up to [`RELAXED_GRID`].
    pub(crate) fn arm_relaxed(&mut self, timer: Timer, at: Instant) {
        self.timers.arm(timer, self.clock.on_grid(at));
    }

    pub(crate) fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }
}

/// Queue of complete datagrams to send: STUN, DTLS, RTCP and SCTP.
#[derive(Debug)]
pub(crate) struct ControlQueue {
    datagrams: VecDeque<(Tuple, Vec<u8>)>,
    /// Emptied buffers of `datagrams`, kept for reuse.
    spare: Vec<Vec<u8>>,
    max: usize,
    refused: u64,
}

impl ControlQueue {
    pub(crate) fn new(max: usize) -> Self {
        Self { datagrams: VecDeque::new(), spare: Vec::new(), max, refused: 0 }
    }

    /// Queues a complete datagram, or drops and counts the datagram if the queue is full.
    pub(crate) fn queue(&mut self, tuple: Tuple, datagram: &[u8]) {
        if self.datagrams.len() >= self.max {
            self.refused += 1;
            return;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(datagram);
        self.datagrams.push_back((tuple, buffer));
    }

    /// Number of datagrams dropped because the queue was full.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn pop(&mut self, buffer: &mut [u8]) -> Option<Transmit> {
        while let Some((tuple, datagram)) = self.datagrams.pop_front() {
            let len = datagram.len();
            let fits = buffer.get_mut(..len).map(|space| space.copy_from_slice(&datagram)).is_some();
            if self.spare.len() < 64 {
                self.spare.push(datagram);
            }
            if fits {
                return Some(Transmit { tuple, len, segment_size: len, control: true, last: false });
            }
        }
        None
    }
}

/// Queue of transports with media to send, in the order in which they are drained.
#[derive(Debug, Default)]
pub(crate) struct Line {
    transports: VecDeque<TransportKey>,
    /// Consumers that start with a stored key frame, and their transports.
    pub(crate) starting: Vec<(TransportKey, ConsumerKey)>,
}

impl Line {
    /// Queues a transport unless it is queued already.
    #[inline]
    pub(crate) fn queue(&mut self, key: TransportKey, transport: &mut Transport) {
        if !std::mem::replace(&mut transport.queued, true) {
            self.transports.push_back(key);
        }
    }

    /// Removes the transport at the front of the queue.
    pub(crate) fn pop(&mut self) -> Option<TransportKey> {
        self.transports.pop_front()
    }

    /// Removes a consumer of this transport that starts with a stored key frame.
    pub(crate) fn take_starting(&mut self, transport: TransportKey) -> Option<ConsumerKey> {
        let at = self.starting.iter().position(|&(of, _)| of == transport)?;
        Some(self.starting.swap_remove(at).1)
    }
}

/// Buffers that are reused.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) dtls: Vec<u8>,
    pub(crate) reply: Vec<u8>,
    pub(crate) rtcp: Vec<u8>,
    pub(crate) rtcp_part: Vec<u8>,
    pub(crate) seqs: Vec<u16>,
    pub(crate) retransmissions: Vec<Retransmission>,
    pub(crate) blocks: Vec<ReportBlock>,
}

/// Grid of relaxed timers. They fire together at multiples of this interval, so that a worker with hundreds of
/// transports wakes up once for all of them.
const RELAXED_GRID: Duration = Duration::from_millis(20);

/// Wall clock, derived from its value at a known instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    unix_at_start: Duration,
}

impl Clock {
    pub(crate) fn new(now: Instant, unix: Duration) -> Self {
        Self { started: now, unix_at_start: unix }
    }

    pub(crate) fn unix(&self, now: Instant) -> Duration {
        self.unix_at_start + now.saturating_duration_since(self.started)
    }

    pub(crate) fn ntp(&self, now: Instant) -> NtpTime {
        NtpTime::from_unix(self.unix(now))
    }

    pub(crate) fn unix_ms(&self, now: Instant) -> u64 {
        self.unix(now).as_millis() as u64
    }

    /// Returns the first instant after `at` on the grid of relaxed timers.
    pub(crate) fn on_grid(&self, at: Instant) -> Instant {
        let since_start = at.saturating_duration_since(self.started).as_millis() as u64;
        let grid = RELAXED_GRID.as_millis() as u64;
        self.started + Duration::from_millis((since_start / grid + 1) * grid)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for virtual time; nothing depends on which")]
mod tests {
    use super::*;

    #[test]
    fn relaxed_timers_of_one_stretch_fire_together_and_never_early() {
        let started = Instant::now();
        let clock = Clock { started, unix_at_start: Duration::ZERO };
        let at = |ms| started + Duration::from_millis(ms);
        let fired = [0, 7, 19, 20, 39].map(|ms| clock.on_grid(at(ms)));
        assert_eq!(fired, [at(20), at(20), at(20), at(40), at(40)]);
    }
}
