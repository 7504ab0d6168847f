//! Controlling ICE agent for an ICE-lite server (RFC 8445), with consent checks (RFC 7675).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::{Rng, RngCore};
use tureen_rtc::ice::IceCredentials;
use tureen_rtc::wire::stun::{BINDING, StunClass, StunError, StunMessage, StunWriter};

/// Number of remote candidates that are checked; further ones are ignored.
pub const MAX_CANDIDATES: usize = 16;

/// State of an [`IceAgent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IceAgentState {
    /// No candidate has answered since the start or the last restart.
    Checking,
    /// A candidate has answered, but not the nomination yet.
    Connected,
    /// The server has confirmed the nominated path.
    Completed,
    /// The server's consent has expired. Nothing may be sent until a [restart](IceAgent::restart).
    Disconnected,
    /// No candidate has answered in time. Only a [restart](IceAgent::restart) can reconnect.
    Failed,
}

/// Controlling agent of an ICE session with a lite agent, which answers checks and sends none.
///
/// Candidates are checked in the given order, one every 50 ms, and the first one that answers is nominated. After that,
/// consent is checked every 4 to 6 seconds; it expires 30 seconds after the last answer.
///
/// Sans-IO: after [`handle_stun`](Self::handle_stun) and [`handle_timeout`](Self::handle_timeout), drain
/// [`poll_transmit`](Self::poll_transmit), read [`state`](Self::state), and call [`poll_timeout`](Self::poll_timeout)
/// for the next timeout.
#[derive(Debug)]
pub struct IceAgent {
    local: IceCredentials,
    remote: IceCredentials,
    tie_breaker: u64,
    state: IceAgentState,
    candidates: Vec<Candidate>,
    /// Time from which on the next waiting candidate may be checked.
    next_check: Option<Instant>,
    selected: Option<SocketAddr>,
    /// Time of the next consent check.
    next_consent_check: Option<Instant>,
    consent_expires: Option<Instant>,
    /// Consent checks without an answer yet, the oldest first.
    consent_checks: VecDeque<TransactionId>,
    outgoing: VecDeque<Outgoing>,
}

type TransactionId = [u8; 12];

#[derive(Debug)]
struct Candidate {
    address: SocketAddr,
    check: Check,
}

/// Progress of a candidate's check.
#[derive(Debug)]
enum Check {
    Waiting,
    InProgress(Transaction),
    Done,
}

/// Request that is retransmitted until it is answered.
#[derive(Clone, Copy, Debug)]
struct Transaction {
    id: TransactionId,
    nominates: bool,
    requests: u32,
    sent_at: Instant,
    /// Time of the next retransmission or, after the last one, of giving up.
    due: Instant,
}

#[derive(Debug)]
struct Outgoing {
    to: SocketAddr,
    id: TransactionId,
    nominates: bool,
}

/// RFC 8445 §14.2: Ta, the interval between new checks.
const PACE: Duration = Duration::from_millis(50);
/// RFC 8489 §6.2.1: initial retransmission time-out.
const INITIAL_RTO: Duration = Duration::from_millis(500);
/// RFC 8489 §6.2.1: Rc, the number of transmissions of a request.
const MAX_REQUESTS: u32 = 7;
/// RFC 8489 §6.2.1: Rm, the wait after the last transmission in initial time-outs.
const LAST_WAIT: u32 = 16;
/// RFC 7675 §5.1: mean interval of consent checks.
const CONSENT_INTERVAL: Duration = Duration::from_secs(5);
/// RFC 7675 §5.1: "consent expires after 30 seconds".
const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Number of consent checks whose answers are accepted: all that are sent before consent expires.
const MAX_CONSENT_CHECKS: usize = 8;
/// RFC 8445 §5.1.2.1 with a peer-reflexive type preference of 110, the highest local preference and component 1.
const PRIORITY: u32 = (110 << 24) + (65_535 << 8) + 255;

impl IceAgent {
    /// Creates an agent and starts to check the first [`MAX_CANDIDATES`] of `candidates`, which are in order of
    /// preference.
    ///
    /// # Errors
    /// [`StunError::MalformedAttribute`] if both user name fragments together are longer than 512 bytes.
    pub fn new(
        local: IceCredentials,
        remote: IceCredentials,
        candidates: &[SocketAddr],
        now: Instant,
        rng: &mut impl RngCore,
    ) -> Result<Self, StunError> {
        let mut agent = Self {
            local,
            remote,
            tie_breaker: rng.next_u64(),
            state: IceAgentState::Checking,
            candidates: Vec::new(),
            next_check: None,
            selected: None,
            next_consent_check: None,
            consent_expires: None,
            consent_checks: VecDeque::new(),
            outgoing: VecDeque::new(),
        };
        agent.start_checks(candidates, now, rng)?;
        Ok(agent)
    }

    /// Our credentials.
    pub fn local_credentials(&self) -> &IceCredentials {
        &self.local
    }

    /// The state.
    pub fn state(&self) -> IceAgentState {
        self.state
    }

    /// Address to send to: known from the first answer, kept during a restart, and lost when consent expires.
    pub fn selected(&self) -> Option<SocketAddr> {
        self.selected
    }

    /// True if `address` is one of the server's candidates.
    pub fn is_candidate(&self, address: SocketAddr) -> bool {
        self.candidates.iter().any(|candidate| candidate.address == address)
    }

    /// Restarts ICE with new credentials on both sides (RFC 8445 §9). The selected path stays in use until another one
    /// answers.
    ///
    /// # Errors
    /// As for [`IceAgent::new`]; the agent is unchanged then.
    pub fn restart(
        &mut self,
        local: IceCredentials,
        remote: IceCredentials,
        candidates: &[SocketAddr],
        now: Instant,
        rng: &mut impl RngCore,
    ) -> Result<(), StunError> {
        let old = (std::mem::replace(&mut self.local, local), std::mem::replace(&mut self.remote, remote));
        self.start_checks(candidates, now, rng).inspect_err(|_| (self.local, self.remote) = old)
    }

    /// Handles a STUN message. Returns true if it is the authentic answer to a pending check.
    pub fn handle_stun(
        &mut self,
        now: Instant,
        from: SocketAddr,
        message: &StunMessage<'_>,
        rng: &mut impl RngCore,
    ) -> bool {
        let success = match message.class() {
            StunClass::SuccessResponse => true,
            StunClass::ErrorResponse => false,
            // A lite agent sends no checks.
            StunClass::Request | StunClass::Indication => return false,
        };
        // RFC 8489 §9.1.4: an answer without valid MESSAGE-INTEGRITY is ignored.
        if message.method() != BINDING || !message.check_integrity(self.remote.password.as_bytes()) {
            return false;
        }
        let id = message.transaction_id();
        if let Some(at) = self.consent_checks.iter().position(|check| *check == id) {
            // RFC 7675 §5.1: consent is renewed only by a valid response from the selected address.
            if !success || self.selected != Some(from) {
                return false;
            }
            self.consent_checks.drain(..=at);
            self.consent_expires = Some(now + CONSENT_TIMEOUT);
            return true;
        }
        // RFC 8445 §7.2.5.2.1: the response must come from the address to which the request was sent.
        let Some(at) = self.candidates.iter().position(|c| c.address == from && c.check.is_open(id)) else {
            return false;
        };
        let Check::InProgress(check) = std::mem::replace(&mut self.candidates[at].check, Check::Done) else {
            return false;
        };
        if success {
            self.on_success(at, check.nominates, now, rng);
        } else {
            self.fail_if_all_checks_are_done();
        }
        true
    }

    /// Handles the arrival of a datagram other than STUN from `from`. If the check of this address is still pending,
    /// its answer was lost, so that the request is retransmitted at once, but at most every 50 ms.
    pub fn handle_traffic(&mut self, now: Instant, from: SocketAddr) {
        let Some(candidate) = self.candidates.iter_mut().find(|c| c.address == from) else { return };
        if let Check::InProgress(check) = &mut candidate.check
            && now.saturating_duration_since(check.sent_at) >= PACE
        {
            check.sent_at = now;
            self.outgoing.push_back(Outgoing { to: from, id: check.id, nominates: check.nominates });
        }
    }

    /// The path to `address` is gone. If it is selected, nothing may be sent until a [restart](Self::restart); checks of
    /// it go on.
    pub fn lose_path(&mut self, address: SocketAddr) {
        if self.selected == Some(address) {
            self.expire();
        }
    }

    /// Starts, retransmits and gives up checks that are due.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut impl RngCore) {
        self.repeat_checks(now);
        if self.next_check.is_some_and(|at| at <= now) {
            self.start_next_check(now, rng);
        }
        self.fail_if_all_checks_are_done();
        if self.consent_expires.is_some_and(|at| at <= now) {
            self.expire();
        }
        if self.next_consent_check.is_some_and(|at| at <= now) {
            self.send_consent_check(now, rng);
        }
    }

    /// Time of the next [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        let checks = self.candidates.iter().filter_map(|candidate| match candidate.check {
            Check::InProgress(check) => Some(check.due),
            Check::Waiting | Check::Done => None,
        });
        checks.chain(self.next_check).chain(self.next_consent_check).chain(self.consent_expires).min()
    }

    /// Replaces `out` by the next request to send and returns its destination.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<SocketAddr> {
        let Outgoing { to, id, nominates } = self.outgoing.pop_front()?;
        out.clear();
        let request = StunWriter::new(out, StunClass::Request, BINDING, id)
            .username(&self.username())
            .expect("its length was checked when the checks began")
            .priority(PRIORITY)
            .ice_controlling(self.tie_breaker);
        let request = if nominates { request.use_candidate() } else { request };
        request.finish_with_integrity(self.remote.password.as_bytes());
        Some(to)
    }

    fn start_checks(
        &mut self,
        candidates: &[SocketAddr],
        now: Instant,
        rng: &mut impl RngCore,
    ) -> Result<(), StunError> {
        let mut probe = Vec::new();
        StunWriter::new(&mut probe, StunClass::Request, BINDING, [0; 12])
            .username(&self.username())?
            .finish();
        let candidates = candidates.iter().take(MAX_CANDIDATES);
        self.candidates = candidates.map(|&address| Candidate { address, check: Check::Waiting }).collect();
        self.state = IceAgentState::Checking;
        self.outgoing.clear();
        self.consent_checks.clear();
        self.next_consent_check = None;
        self.next_check = Some(now);
        self.handle_timeout(now, rng);
        Ok(())
    }

    fn username(&self) -> String {
        // RFC 8445 §7.2.2: the peer's user name fragment, a colon, the local one.
        format!("{}:{}", self.remote.username_fragment, self.local.username_fragment)
    }

    fn on_success(&mut self, at: usize, nominated: bool, now: Instant, rng: &mut impl RngCore) {
        let address = self.candidates[at].address;
        self.selected = Some(address);
        self.next_check = None;
        self.consent_expires = Some(now + CONSENT_TIMEOUT);
        self.next_consent_check.get_or_insert_with(|| now + consent_interval(rng));
        // The first path that answers is selected, and all other checks end.
        for candidate in &mut self.candidates {
            candidate.check = Check::Done;
        }
        self.outgoing.clear();
        if nominated {
            self.state = IceAgentState::Completed;
        } else {
            self.state = IceAgentState::Connected;
            self.start_check(at, true, now, rng);
        }
    }

    fn start_next_check(&mut self, now: Instant, rng: &mut impl RngCore) {
        let waiting = self.candidates.iter().position(|candidate| matches!(candidate.check, Check::Waiting));
        self.next_check = waiting.map(|_| now + PACE);
        if let Some(at) = waiting {
            // RFC 8445 §8.1.1: a check with USE-CANDIDATE nominates. A single candidate is nominated by its first
            // check.
            let nominates = self.candidates.len() == 1;
            self.start_check(at, nominates, now, rng);
        }
    }

    fn start_check(&mut self, at: usize, nominates: bool, now: Instant, rng: &mut impl RngCore) {
        let id = rng.random();
        let candidate = &mut self.candidates[at];
        let check = Transaction { id, nominates, requests: 1, sent_at: now, due: now + INITIAL_RTO };
        candidate.check = Check::InProgress(check);
        self.outgoing.push_back(Outgoing { to: candidate.address, id, nominates });
    }

    fn repeat_checks(&mut self, now: Instant) {
        for candidate in &mut self.candidates {
            let Check::InProgress(check) = &mut candidate.check else { continue };
            if check.due > now {
                continue;
            }
            if check.requests == MAX_REQUESTS {
                candidate.check = Check::Done;
                continue;
            }
            check.requests += 1;
            check.sent_at = now;
            check.due = now
                + match check.requests {
                    MAX_REQUESTS => INITIAL_RTO * LAST_WAIT,
                    requests => INITIAL_RTO * 2_u32.pow(requests - 1),
                };
            let Transaction { id, nominates, .. } = *check;
            if !self.outgoing.iter().any(|outgoing| outgoing.id == id) {
                self.outgoing.push_back(Outgoing { to: candidate.address, id, nominates });
            }
        }
    }

    fn fail_if_all_checks_are_done(&mut self) {
        let over = self.candidates.iter().all(|candidate| matches!(candidate.check, Check::Done));
        if over && self.state == IceAgentState::Checking {
            self.state = IceAgentState::Failed;
            self.next_check = None;
        }
    }

    fn send_consent_check(&mut self, now: Instant, rng: &mut impl RngCore) {
        self.next_consent_check = self.selected.map(|_| now + consent_interval(rng));
        let Some(to) = self.selected else { return };
        let id = rng.random();
        if self.consent_checks.len() == MAX_CONSENT_CHECKS {
            self.consent_checks.pop_front();
        }
        self.consent_checks.push_back(id);
        // USE-CANDIDATE makes a server follow at once to a new local address, as after the loss of a NAT binding.
        self.outgoing.push_back(Outgoing { to, id, nominates: true });
    }

    fn expire(&mut self) {
        // RFC 7675 §5.1: "the endpoint MUST cease transmission" on that path.
        self.selected = None;
        self.consent_expires = None;
        self.next_consent_check = None;
        self.consent_checks.clear();
        if self.state != IceAgentState::Checking {
            self.state = IceAgentState::Disconnected;
            self.candidates.iter_mut().for_each(|candidate| candidate.check = Check::Done);
            self.outgoing.clear();
        }
    }
}

impl Check {
    fn is_open(&self, id: TransactionId) -> bool {
        matches!(self, Check::InProgress(check) if check.id == id)
    }
}

/// RFC 7675 §5.1: the interval is randomised between 0.8 and 1.2 times the mean.
fn consent_interval(rng: &mut impl RngCore) -> Duration {
    CONSENT_INTERVAL.mul_f64(rng.random_range(0.8..=1.2))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use tureen_rtc::ice::{IceConfig, IceServer, IceState};
    use tureen_rtc::tuple::{SocketId, Tuple};

    use super::*;

    struct Bench {
        agent: IceAgent,
        server: IceServer,
        rng: StdRng,
        now: Instant,
        /// Addresses of servers that answer.
        alive: Vec<SocketAddr>,
        /// Sent requests: destination, and true for a nomination.
        sent: Vec<(SocketAddr, bool)>,
    }

    impl Bench {
        fn new(candidates: &[SocketAddr], alive: &[SocketAddr]) -> Self {
            let mut rng = StdRng::seed_from_u64(7);
            let [local, remote] = std::array::from_fn(|_| IceCredentials::generate(&mut rng));
            let now = Instant::now();
            let agent = IceAgent::new(local, remote.clone(), candidates, now, &mut rng).unwrap();
            let server = IceServer::new(remote, IceConfig::default());
            Self { agent, server, rng, now, alive: alive.to_vec(), sent: Vec::new() }
        }

        /// Delivers the agent's requests to the servers that answer, and their answers to the agent.
        fn exchange(&mut self) {
            let mut request = Vec::new();
            while let Some(to) = self.agent.poll_transmit(&mut request) {
                let message = StunMessage::parse(&request).unwrap();
                self.sent.push((to, message.use_candidate()));
                if self.alive.contains(&to) {
                    let tuple = Tuple { socket: SocketId(0), remote: address(9999) };
                    let mut reply = Vec::new();
                    self.server.handle_stun(self.now, tuple, &message, &mut reply);
                    let reply = StunMessage::parse(&reply).unwrap();
                    assert!(self.agent.handle_stun(self.now, to, &reply, &mut self.rng));
                }
            }
            while self.server.poll_event().is_some() {}
        }

        /// Advances time by `time` and handles every timeout.
        fn run(&mut self, time: Duration) {
            let end = self.now + time;
            self.exchange();
            while let Some(at) = self.agent.poll_timeout().filter(|&at| at <= end) {
                self.now = at.max(self.now);
                self.agent.handle_timeout(self.now, &mut self.rng);
                self.exchange();
            }
            self.now = end;
        }
    }

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn only_candidate_is_nominated_at_once() {
        let mut bench = Bench::new(&[address(1)], &[address(1)]);
        bench.exchange();
        assert_eq!(bench.sent, [(address(1), true)]);
        assert_eq!(bench.agent.state(), IceAgentState::Completed);
        assert_eq!(bench.agent.selected(), Some(address(1)));
        assert_eq!(bench.server.state(), IceState::Completed);
    }

    #[test]
    fn first_candidate_that_answers_is_nominated() {
        let mut bench = Bench::new(&[address(1), address(2), address(3)], &[address(2), address(3)]);
        bench.run(Duration::from_millis(400));
        assert_eq!(bench.sent, [(address(1), false), (address(2), false), (address(2), true)]);
        assert_eq!(bench.agent.state(), IceAgentState::Completed);
        assert_eq!(bench.agent.selected(), Some(address(2)));
    }

    #[test]
    fn unanswered_checks_are_retransmitted_with_backoff_then_given_up() {
        let mut bench = Bench::new(&[address(1)], &[]);
        let start = bench.now;
        let mut times = Vec::new();
        while let Some(at) = bench.agent.poll_timeout() {
            let before = bench.sent.len();
            bench.exchange();
            if bench.sent.len() > before {
                times.push(bench.now.duration_since(start).as_millis());
            }
            bench.now = at;
            bench.agent.handle_timeout(at, &mut bench.rng);
        }
        // RFC 8489 §6.2.1 lists these times.
        assert_eq!(times, [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
        assert_eq!(bench.now.duration_since(start).as_millis(), 39_500);
        assert_eq!(bench.agent.state(), IceAgentState::Failed);
    }

    #[test]
    fn consent_is_checked_at_random_intervals_and_expires() {
        let mut bench = Bench::new(&[address(1)], &[address(1)]);
        bench.run(Duration::from_secs(60));
        let checks = bench.sent.len();
        assert!((10..=15).contains(&checks), "{checks} checks in a minute");
        assert_eq!(bench.agent.state(), IceAgentState::Completed);
        assert_eq!(bench.server.state(), IceState::Completed);

        bench.alive.clear();
        bench.run(Duration::from_secs(23));
        assert!(bench.agent.selected().is_some(), "the last consent was at most six seconds old");
        bench.run(Duration::from_secs(8));
        assert_eq!(bench.agent.state(), IceAgentState::Disconnected);
        assert_eq!(bench.agent.selected(), None);
        let sent = bench.sent.len();
        bench.run(Duration::from_secs(60));
        assert_eq!(bench.sent.len(), sent, "nothing is sent without consent");
    }

    #[test]
    fn restart_reconnects_after_consent_was_lost() {
        let mut bench = Bench::new(&[address(1)], &[address(1)]);
        bench.exchange();
        bench.alive.clear();
        bench.run(Duration::from_secs(40));
        assert_eq!(bench.agent.state(), IceAgentState::Disconnected);

        bench.alive.push(address(1));
        let [local, remote] = std::array::from_fn(|_| IceCredentials::generate(&mut bench.rng));
        bench.server.restart(bench.now, remote.clone());
        bench.agent.restart(local, remote, &[address(1)], bench.now, &mut bench.rng).unwrap();
        bench.exchange();
        assert_eq!(bench.agent.state(), IceAgentState::Completed);
        assert_eq!(bench.server.state(), IceState::Completed);
    }

    #[test]
    fn restart_keeps_the_path_until_another_answers() {
        let mut bench = Bench::new(&[address(1)], &[address(1), address(2)]);
        bench.exchange();
        let [local, remote] = std::array::from_fn(|_| IceCredentials::generate(&mut bench.rng));
        bench.server.restart(bench.now, remote.clone());
        bench.agent.restart(local, remote, &[address(2)], bench.now, &mut bench.rng).unwrap();
        assert_eq!(bench.agent.selected(), Some(address(1)));
        bench.exchange();
        assert_eq!(bench.agent.selected(), Some(address(2)));
    }

    #[test]
    fn only_authentic_answers_from_the_right_address_count() {
        let mut bench = Bench::new(&[address(1)], &[]);
        let mut request = Vec::new();
        bench.agent.poll_transmit(&mut request).unwrap();
        let request = StunMessage::parse(&request).unwrap();
        let answer = |class, id, password: &str| {
            let mut answer = Vec::new();
            StunWriter::new(&mut answer, class, BINDING, id).finish_with_integrity(password.as_bytes());
            answer
        };
        let (id, password) = (request.transaction_id(), bench.agent.remote.password.clone());
        let success = StunClass::SuccessResponse;
        for (from, bytes) in [
            (address(2), answer(success, id, &password)),
            (address(1), answer(success, [9; 12], &password)),
            (address(1), answer(success, id, "another password")),
            (address(1), answer(StunClass::Request, id, &password)),
        ] {
            let message = StunMessage::parse(&bytes).unwrap();
            assert!(!bench.agent.handle_stun(bench.now, from, &message, &mut bench.rng));
            assert_eq!(bench.agent.state(), IceAgentState::Checking);
        }
        let bytes = answer(success, id, &password);
        let message = StunMessage::parse(&bytes).unwrap();
        assert!(bench.agent.handle_stun(bench.now, address(1), &message, &mut bench.rng));
        assert_eq!(bench.agent.state(), IceAgentState::Completed);
    }

    #[test]
    fn authentic_error_ends_the_check() {
        let mut bench = Bench::new(&[address(1)], &[]);
        let mut request = Vec::new();
        bench.agent.poll_transmit(&mut request).unwrap();
        let request = StunMessage::parse(&request).unwrap();
        let mut reply = Vec::new();
        StunWriter::error_response(&mut reply, &request, 487, "Role Conflict")
            .finish_with_integrity(bench.agent.remote.password.as_bytes());
        let reply = StunMessage::parse(&reply).unwrap();
        assert!(bench.agent.handle_stun(bench.now, address(1), &reply, &mut bench.rng));
        assert_eq!(bench.agent.state(), IceAgentState::Failed);
    }

    #[test]
    fn traffic_of_the_server_triggers_a_retransmission_of_its_check() {
        let mut bench = Bench::new(&[address(1)], &[]);
        bench.exchange();
        bench.alive.push(address(1));
        for (wait, sent) in [(10, 1), (40, 2), (0, 2), (100, 2)] {
            bench.now += Duration::from_millis(wait);
            bench.agent.handle_traffic(bench.now, address(2));
            bench.agent.handle_traffic(bench.now, address(1));
            bench.exchange();
            assert_eq!(bench.sent.len(), sent, "after {wait} ms");
        }
        assert_eq!(bench.agent.state(), IceAgentState::Completed);
    }

    #[test]
    fn too_long_user_names_are_refused() {
        let mut rng = StdRng::seed_from_u64(1);
        let local = IceCredentials::generate(&mut rng);
        let remote = IceCredentials { username_fragment: "x".repeat(500), password: "p".to_owned() };
        assert!(IceAgent::new(local, remote, &[address(1)], Instant::now(), &mut rng).is_err());
    }
}
