//! Stream resets (RFC 6525), which close data channels (RFC 8831 §6.7).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::wire::{ReConfig, ResetRequest, reconfig_response, reset_request};

/// Streams in one request; others wait for the next one.
const MAX_STREAMS_IN_REQUEST: usize = 256;
/// Retransmissions of a request.
const MAX_RETRANSMISSIONS: u32 = 10;
/// Time to wait for the peer's reset before a stream is used again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Results of a request (RFC 6525 §4.4).
mod result {
    pub(super) const NOTHING_TO_DO: u32 = 0;
    pub(super) const PERFORMED: u32 = 1;
    pub(super) const DENIED: u32 = 2;
    pub(super) const IN_PROGRESS_ALREADY: u32 = 4;
    pub(super) const BAD_SEQUENCE_NUMBER: u32 = 5;
    pub(super) const IN_PROGRESS: u32 = 6;
}

/// Requests of the peer.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Sequence number of its next request.
    next: u32,
    /// Result of its last request.
    last_result: Option<u32>,
    /// A request that waits for chunks: its last TSN, and its streams.
    pending: Option<(u32, Vec<u16>)>,
}

impl Incoming {
    /// `first`: the peer's first TSN.
    pub(super) fn new(first: u32) -> Self {
        Self { next: first, last_result: None, pending: None }
    }

    /// Handles a request parameter. Returns the response, and the streams that the peer has reset now; an empty list
    /// means all.
    pub(super) fn handle(
        &mut self,
        request: &ReConfig<'_>,
        has_all_up_to: impl Fn(u32) -> bool,
    ) -> Option<(Vec<u8>, Option<Vec<u16>>)> {
        let (number, result, streams) = match request {
            ReConfig::Reset(request) => {
                let (result, streams) = self.judge(request, has_all_up_to);
                (request.number, result, streams)
            }
            ReConfig::Other(number) => (*number, result::DENIED, None),
            ReConfig::Response { .. } => return None,
        };
        Some((reconfig_response(number, result), streams))
    }

    fn judge(
        &mut self,
        request: &ResetRequest<'_>,
        has_all_up_to: impl Fn(u32) -> bool,
    ) -> (u32, Option<Vec<u16>>) {
        if request.number.wrapping_add(1) == self.next {
            // A repeated request, whose response was lost.
            return (self.last_result.unwrap_or(result::BAD_SEQUENCE_NUMBER), None);
        }
        if request.number != self.next {
            return (result::BAD_SEQUENCE_NUMBER, None);
        }
        // A repeated request keeps its first content.
        let (last, streams) =
            self.pending.take().unwrap_or_else(|| (request.last_tsn, request.streams().collect()));
        if !has_all_up_to(last) {
            self.pending = Some((last, streams));
            return (result::IN_PROGRESS, None);
        }
        self.next = self.next.wrapping_add(1);
        self.last_result = Some(result::PERFORMED);
        (result::PERFORMED, Some(streams))
    }

    /// The response to a waiting request, and its streams, once all its chunks have arrived.
    pub(super) fn poll(&mut self, has_all_up_to: impl Fn(u32) -> bool) -> Option<(Vec<u8>, Vec<u16>)> {
        let (_, streams) = self.pending.take_if(|(last, _)| has_all_up_to(*last))?;
        let response = reconfig_response(self.next, result::PERFORMED);
        self.next = self.next.wrapping_add(1);
        self.last_result = Some(result::PERFORMED);
        Some((response, streams))
    }

    /// Sequence number of the peer's last request.
    fn last(&self) -> u32 {
        self.next.wrapping_sub(1)
    }
}

/// Requests to the peer.
#[derive(Debug)]
pub(super) struct Outgoing {
    next: u32,
    /// Streams to reset once all their data is acknowledged.
    waiting: BTreeSet<u16>,
    /// True if some of them may be ready.
    look_again: bool,
    active: Option<Request>,
    /// Streams whose reset is not complete.
    closing: BTreeMap<u16, Closing>,
    /// Streams that wait for the peer's reset, by deadline.
    expiring: BTreeSet<(Instant, u16)>,
    /// True if streams have become usable since the last query.
    unblocked: bool,
}

#[derive(Debug)]
struct Request {
    number: u32,
    streams: Vec<u16>,
    parameter: Vec<u8>,
    /// Time of the next transmission, and their number.
    at: Instant,
    sent: u32,
}

#[derive(Clone, Copy, Debug)]
struct Closing {
    /// The peer's direction is reset or unused.
    theirs: bool,
    /// The local direction is reset.
    ours: bool,
    until: Instant,
}

impl Outgoing {
    /// `first`: the local first TSN.
    pub(super) fn new(first: u32) -> Self {
        Self {
            next: first,
            waiting: BTreeSet::new(),
            look_again: false,
            active: None,
            closing: BTreeMap::new(),
            expiring: BTreeSet::new(),
            unblocked: true,
        }
    }

    /// Resets the local direction of a stream. `theirs`: the peer's direction is reset already.
    pub(super) fn reset(&mut self, now: Instant, stream: u16, theirs: bool) {
        let closing = Closing { theirs, ours: false, until: now + PATIENCE };
        self.closing.insert(stream, closing);
        self.waiting.insert(stream);
        self.look_again = true;
    }

    /// New data was acknowledged: some streams may be ready.
    pub(super) fn look_again(&mut self) {
        self.look_again = true;
    }

    /// True if nothing may be sent on the stream.
    pub(super) fn blocks(&self, stream: u16) -> bool {
        self.closing.contains_key(&stream)
    }

    /// Records the peer's reset. Returns true if the local direction is being reset too.
    pub(super) fn on_reset_by_peer(&mut self, stream: u16) -> bool {
        let Some(closing) = self.closing.get_mut(&stream) else { return false };
        closing.theirs = true;
        if closing.ours {
            self.expiring.remove(&(closing.until, stream));
            self.unblock(stream);
        }
        true
    }

    /// Handles a response. Returns its streams if the peer has performed the reset.
    pub(super) fn handle_response(&mut self, now: Instant, number: u32, result: u32) -> Vec<u16> {
        let Some(request) = self.active.take_if(|request| request.number == number) else {
            return Vec::new();
        };
        match result {
            result::IN_PROGRESS | result::IN_PROGRESS_ALREADY => {
                // RFC 6525 §5.2.7, H2: the request is repeated, which is no retransmission.
                let at = now + PATIENCE / 4;
                self.active = Some(Request { at, sent: 1, ..request });
                Vec::new()
            }
            result::NOTHING_TO_DO | result::PERFORMED => {
                self.end(&request.streams);
                request.streams
            }
            _ => {
                self.end(&request.streams);
                Vec::new()
            }
        }
    }

    /// The parameter to send now. `is_clear`: all data of a stream is acknowledged. `timeout`: retransmission timeout;
    /// `last_tsn`: last TSN sent.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        timeout: Duration,
        last_tsn: u32,
        incoming: &Incoming,
        is_clear: impl Fn(u16) -> bool,
    ) -> Option<&[u8]> {
        if self.active.is_none() && std::mem::take(&mut self.look_again) {
            let clear = self.waiting.iter().copied().filter(|&stream| is_clear(stream));
            let streams: Vec<u16> = clear.take(MAX_STREAMS_IN_REQUEST).collect();
            if !streams.is_empty() {
                for stream in &streams {
                    self.waiting.remove(stream);
                }
                let parameter = reset_request(self.next, incoming.last(), last_tsn, &streams);
                self.active = Some(Request { number: self.next, streams, parameter, at: now, sent: 0 });
                self.next = self.next.wrapping_add(1);
                self.look_again = !self.waiting.is_empty();
            }
        }
        if self.active.as_ref().is_some_and(|request| request.at <= now && request.sent > MAX_RETRANSMISSIONS)
            && let Some(request) = self.active.take()
        {
            self.end(&request.streams);
        }
        let request = self.active.as_mut().filter(|request| request.at <= now)?;
        request.at = now + timeout * (1 << request.sent.min(5));
        request.sent += 1;
        Some(&request.parameter)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(until, stream)) = self.expiring.first()
            && until <= now
        {
            self.expiring.pop_first();
            self.unblock(stream);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let expiring = self.expiring.first().map(|&(until, _)| until);
        expiring.into_iter().chain(self.active.as_ref().map(|request| request.at)).min()
    }

    /// True if streams have become usable since the last call.
    pub(super) fn take_unblocked(&mut self) -> bool {
        std::mem::take(&mut self.unblocked)
    }

    fn unblock(&mut self, stream: u16) {
        self.closing.remove(&stream);
        self.unblocked = true;
    }

    /// Ends a request that was answered or given up; in the latter case numbering continues.
    fn end(&mut self, streams: &[u16]) {
        self.look_again = true;
        for &stream in streams {
            let Some(closing) = self.closing.get_mut(&stream) else { continue };
            closing.ours = true;
            if closing.theirs {
                self.unblock(stream);
            } else {
                self.expiring.insert((closing.until, stream));
            }
        }
    }
}
