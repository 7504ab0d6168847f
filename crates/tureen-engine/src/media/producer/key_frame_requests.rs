//! Merges the key frame requests of many consumers into few requests to the sender (mediasoup:
//! `KeyFrameRequestManager`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tureen_rtc::units::Ssrc;

/// Time that a requested key frame is awaited (mediasoup: `KeyFrameRetransmissionWaitMs`).
const KEY_FRAME_WAIT: Duration = Duration::from_millis(1000);

/// Time after which an unanswered request is repeated first. libwebrtc ignores requests within 300 ms of the last one
/// that it answered, so a request may be received and ignored; a repetition after that time is answered.
const FIRST_WAIT: Duration = Duration::from_millis(350);

/// Key frame requests of one producer, for each of its streams.
///
/// While a requested key frame is awaited (1 s), further requests are merged into its two retries: one after 350 ms, or
/// two round trips if that is more, and one at the end. A retry is sent if the key frame has not arrived by then,
/// because the request may have been lost or ignored. A `delay` (mediasoup: `keyFrameRequestDelay`) also keeps at least
/// that time between two requests and before the first retry, even if key frames arrive in between: it protects a
/// sender from consumers that are created and closed often, at the price of a later first picture for some of them.
///
/// After any call, drain [`poll_request`](Self::poll_request) and call [`poll_timeout`](Self::poll_timeout). One entry
/// is kept for each SSRC with a pending request; callers pass only SSRCs of the producer's own streams.
#[derive(Debug)]
pub(crate) struct KeyFrameRequests {
    delay: Duration,
    round_trip: Duration,
    streams: Vec<Stream>,
    ready: VecDeque<Ssrc>,
}

#[derive(Debug)]
struct Stream {
    ssrc: Ssrc,
    awaited: Option<Awaited>,
    delayed: Option<Delayed>,
}

/// A key frame was requested and has not arrived yet.
#[derive(Debug)]
struct Awaited {
    until: Instant,
    /// End of the wait after the first retry.
    last_until: Option<Instant>,
    retry: bool,
}

impl Awaited {
    /// State of a request sent now, with its first retry after `first_wait`.
    fn new(now: Instant, first_wait: Duration) -> Self {
        let last_until = now + KEY_FRAME_WAIT;
        if first_wait < KEY_FRAME_WAIT {
            Self { until: now + first_wait, last_until: Some(last_until), retry: true }
        } else {
            Self { until: last_until, last_until: None, retry: true }
        }
    }
}

/// A request was sent recently, so that the next one is delayed.
#[derive(Debug)]
struct Delayed {
    until: Instant,
    requested: bool,
}

impl KeyFrameRequests {
    /// Creates the state with `delay` as the minimum time between two requests for one stream; zero for none.
    pub(crate) fn new(delay: Duration) -> Self {
        Self { delay, round_trip: Duration::ZERO, streams: Vec::new(), ready: VecDeque::new() }
    }

    /// Sets the round trip time to the sender, the minimum time of its answer.
    pub(crate) fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = round_trip;
    }

    /// Requests a key frame of `ssrc` for a consumer.
    pub(crate) fn request(&mut self, now: Instant, ssrc: Ssrc) {
        let (delay, first_wait) = (self.delay, self.first_wait());
        let stream = self.stream(ssrc);
        if !delay.is_zero() {
            if let Some(delayed) = &mut stream.delayed {
                delayed.requested = true;
                return;
            }
            stream.delayed = Some(Delayed { until: now + delay, requested: false });
        }
        if let Some(awaited) = &mut stream.awaited {
            awaited.retry = true;
            return;
        }
        stream.awaited = Some(Awaited::new(now, first_wait));
        self.send(ssrc);
    }

    /// Requests a key frame of `ssrc` at once, even if one is awaited or delayed.
    pub(crate) fn force(&mut self, now: Instant, ssrc: Ssrc) {
        let (delay, first_wait) = (self.delay, self.first_wait());
        let stream = self.stream(ssrc);
        if !delay.is_zero() {
            stream.delayed = Some(Delayed { until: now + delay, requested: false });
        }
        stream.awaited = Some(Awaited::new(now, first_wait));
        self.send(ssrc);
    }

    /// Handles a key frame of `ssrc`: none is awaited any more. Requests held back by the delay stay.
    pub(crate) fn key_frame_received(&mut self, ssrc: Ssrc) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc == ssrc) {
            stream.awaited = None;
            self.forget_idle();
        }
    }

    /// Next stream for which to send a key frame request (PLI or FIR), if any.
    pub(crate) fn poll_request(&mut self) -> Option<Ssrc> {
        self.ready.pop_front()
    }

    /// True if a key frame request for `ssrc` is pending, so that another one is merged into it.
    pub(crate) fn is_under_way(&self, ssrc: Ssrc) -> bool {
        self.streams.iter().any(|stream| stream.ssrc == ssrc)
    }

    /// True if there is a request to poll.
    pub(crate) fn has_requests(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Time of the next call of [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.streams
            .iter()
            .flat_map(|s| [s.awaited.as_ref().map(|a| a.until), s.delayed.as_ref().map(|d| d.until)])
            .flatten()
            .min()
    }

    /// Repeats unanswered requests and sends delayed ones.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for index in 0..self.streams.len() {
            let stream = &mut self.streams[index];
            let ssrc = stream.ssrc;
            if let Some(delayed) = stream.delayed.take_if(|delayed| delayed.until <= now)
                && delayed.requested
            {
                self.request(now, ssrc);
            }
            let stream = &mut self.streams[index];
            if let Some(awaited) = stream.awaited.take_if(|awaited| awaited.until <= now)
                && awaited.retry
            {
                // Best effort: no repetition after the last retry.
                let again = awaited.last_until.filter(|until| *until > now);
                let until = again.unwrap_or(now + KEY_FRAME_WAIT);
                stream.awaited = Some(Awaited { until, last_until: None, retry: again.is_some() });
                self.send(ssrc);
            }
        }
        self.forget_idle();
    }

    fn first_wait(&self) -> Duration {
        FIRST_WAIT.max(self.round_trip * 2).max(self.delay)
    }

    fn stream(&mut self, ssrc: Ssrc) -> &mut Stream {
        let index = self.streams.iter().position(|stream| stream.ssrc == ssrc).unwrap_or_else(|| {
            self.streams.push(Stream { ssrc, awaited: None, delayed: None });
            self.streams.len() - 1
        });
        &mut self.streams[index]
    }

    fn send(&mut self, ssrc: Ssrc) {
        if !self.ready.contains(&ssrc) {
            self.ready.push_back(ssrc);
        }
    }

    fn forget_idle(&mut self) {
        self.streams.retain(|stream| stream.awaited.is_some() || stream.delayed.is_some());
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const A: Ssrc = Ssrc(1);
    const B: Ssrc = Ssrc(2);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn sent(requests: &mut KeyFrameRequests) -> Vec<Ssrc> {
        std::iter::from_fn(|| requests.poll_request()).collect()
    }

    /// Advances from wake-up to wake-up until `end`; returns the requests sent, with their times in ms after `start`.
    fn run(requests: &mut KeyFrameRequests, start: Instant, end: Duration) -> Vec<(u128, Ssrc)> {
        let mut log = Vec::new();
        while let Some(at) = requests.poll_timeout().filter(|at| *at <= start + end) {
            requests.handle_timeout(at);
            log.extend(sent(requests).into_iter().map(|ssrc| ((at - start).as_millis(), ssrc)));
        }
        log
    }

    #[test]
    fn requests_of_many_consumers_are_merged_into_one_with_retries() {
        let t0 = Instant::now();
        let mut requests = KeyFrameRequests::new(Duration::ZERO);
        for i in 0..20 {
            requests.request(t0 + ms(i), A);
        }
        assert_eq!(sent(&mut requests), [A]);
        assert_eq!(run(&mut requests, t0, ms(10_000)), [(350, A), (1000, A)]);
        assert_eq!(requests.poll_timeout(), None);
    }

    #[test]
    fn unanswered_request_is_repeated_soon_and_once_more() {
        let t0 = Instant::now();
        let mut requests = KeyFrameRequests::new(Duration::ZERO);
        requests.request(t0, A);
        assert_eq!(sent(&mut requests), [A]);
        assert_eq!(run(&mut requests, t0, ms(10_000)), [(350, A), (1000, A)]);
    }

    #[test]
    fn arrived_key_frame_cancels_the_retry() {
        let t0 = Instant::now();
        let mut requests = KeyFrameRequests::new(Duration::ZERO);
        requests.request(t0, A);
        requests.request(t0, A);
        sent(&mut requests);
        requests.key_frame_received(A);
        requests.key_frame_received(B);
        assert_eq!(requests.poll_timeout(), None);
        requests.request(t0 + ms(5), A);
        assert_eq!(sent(&mut requests), [A], "the next request goes out at once");
    }

    #[test]
    fn streams_do_not_disturb_each_other() {
        let t0 = Instant::now();
        let mut requests = KeyFrameRequests::new(Duration::ZERO);
        requests.request(t0, A);
        requests.request(t0 + ms(100), B);
        requests.request(t0 + ms(200), B);
        assert_eq!(sent(&mut requests), [A, B]);
        assert_eq!(run(&mut requests, t0, ms(10_000)), [(350, A), (450, B), (1000, A), (1100, B)]);
    }

    #[test]
    fn delay_postpones_requests_even_if_key_frames_arrive() {
        let t0 = Instant::now();
        let mut requests = KeyFrameRequests::new(ms(3000));
        requests.request(t0, A);
        assert_eq!(sent(&mut requests), [A]);
        requests.key_frame_received(A);
        requests.request(t0 + ms(500), A);
        requests.request(t0 + ms(600), A);
        assert!(sent(&mut requests).is_empty());
        assert_eq!(run(&mut requests, t0, ms(20_000)), [(3000, A), (4000, A)]);
    }

    #[test]
    fn delay_without_further_requests_sends_the_retry_alone() {
        let t0 = Instant::now();
        let mut requests = KeyFrameRequests::new(ms(500));
        requests.request(t0, A);
        sent(&mut requests);
        assert_eq!(run(&mut requests, t0, ms(20_000)), [(500, A), (1000, A)]);
        assert_eq!(requests.poll_timeout(), None);
    }

    #[test]
    fn first_retry_waits_for_two_round_trips_and_is_none_where_they_take_too_long() {
        let t0 = Instant::now();
        for (round_trip, expected) in [(200, vec![(400, A), (1000, A)]), (600, vec![(1000, A)])] {
            let mut requests = KeyFrameRequests::new(Duration::ZERO);
            requests.set_round_trip(ms(round_trip));
            requests.request(t0, A);
            sent(&mut requests);
            assert_eq!(run(&mut requests, t0, ms(10_000)), expected);
        }
    }

    #[test]
    fn request_during_the_wait_for_a_key_frame_becomes_its_retry() {
        let t0 = Instant::now();
        let mut requests = KeyFrameRequests::new(ms(400));
        requests.request(t0, A);
        requests.request(t0 + ms(100), A);
        assert_eq!(sent(&mut requests), [A]);
        assert_eq!(run(&mut requests, t0, ms(20_000)), [(400, A), (1000, A)]);
    }

    #[test]
    fn forced_request_goes_out_at_once_and_restarts_both_clocks() {
        let t0 = Instant::now();
        let mut requests = KeyFrameRequests::new(ms(2000));
        requests.request(t0, A);
        sent(&mut requests);
        requests.force(t0 + ms(900), A);
        assert_eq!(sent(&mut requests), [A]);
        requests.request(t0 + ms(2500), A);
        assert_eq!(run(&mut requests, t0, ms(20_000)), [(1900, A), (2900, A)]);
    }

    #[test]
    fn late_wake_up_sends_one_request() {
        let t0 = Instant::now();
        let mut requests = KeyFrameRequests::new(ms(400));
        requests.request(t0, A);
        requests.request(t0 + ms(1), A);
        sent(&mut requests);
        requests.handle_timeout(t0 + ms(60_000));
        assert_eq!(sent(&mut requests), [A]);
    }
}
