//! The ICE-lite agent of one transport (mediasoup's IceServer).

use crate::log;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::tuple::Tuple;
use crate::wire::stun::{BINDING, StunClass, StunMessage, StunWriter};

use super::IceCredentials;

/// Settings of an [`IceServer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IceConfig {
    /// How long a path may be without a valid check before nothing is sent by it any more; without another path the peer
    /// counts as gone then (RFC 7675; mediasoup's `iceConsentTimeout`). In [`CONSENT_TIMEOUTS`]. `None`: never.
    pub consent_timeout: Option<Duration>,
    /// How many paths to the peer are known at a time, at least 2. Each costs some 50 bytes here and an entry in the
    /// transport's table of tuples.
    pub max_tuples: usize,
}

impl Default for IceConfig {
    fn default() -> Self {
        Self { consent_timeout: Some(DEFAULT_CONSENT_TIMEOUT), max_tuples: 8 }
    }
}

/// What a consent timeout may be. Peers check every 5 s (RFC 7675 §5.1), so that less would take a few lost checks for
/// their end.
pub const CONSENT_TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(60);
/// Default of mediasoup, and of RFC 7675 §5.1.
pub(crate) const DEFAULT_CONSENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The consent timeout of mediasoup's `iceConsentTimeout`: 0 is off, and what is outside of [`CONSENT_TIMEOUTS`] is brought
/// into it with a warning, as mediasoup does.
pub fn consent_timeout_from_seconds(seconds: u8) -> Option<Duration> {
    let asked = Duration::from_secs(seconds.into());
    if asked.is_zero() || CONSENT_TIMEOUTS.contains(&asked) {
        return (!asked.is_zero()).then_some(asked);
    }
    let taken = asked.clamp(*CONSENT_TIMEOUTS.start(), *CONSENT_TIMEOUTS.end());
    tracing::warn!(target: log::ICE, "iceConsentTimeout is 10 to 60 s or 0: {asked:?} is taken for {taken:?}");
    Some(taken)
}

/// State of an [`IceServer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IceState {
    /// No valid check yet.
    New,
    /// There is a selected tuple, which the peer has not nominated.
    Connected,
    /// The peer has nominated a tuple.
    Completed,
    /// Consent timed out or the last tuple went away. A valid check connects again.
    Disconnected,
    /// The end: nothing is answered any more.
    Closed,
}

/// What came of a STUN message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IceVerdict {
    /// A valid check; it was answered and its tuple is known now.
    Accepted,
    /// A valid check that was answered, but its tuple remains with the transport that has it: see
    /// [`IceServer::handle_contested_stun`].
    Answered,
    /// A Binding indication: a keepalive that proves nothing and changes nothing (RFC 8445 §11).
    Indication,
    /// Nothing has changed. There may be an error response all the same.
    Discarded(StunDiscard),
}

/// Why a STUN message was discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StunDiscard {
    /// A response, but a lite agent asks nothing.
    UnexpectedResponse,
    /// Not the Binding method (400).
    UnknownMethod,
    /// No FINGERPRINT (400).
    MissingFingerprint,
    /// No readable USERNAME or no MESSAGE-INTEGRITY (400).
    MissingCredentials,
    /// USERNAME begins with another ufrag (401).
    UnknownUsername,
    /// MESSAGE-INTEGRITY was made with another password (401).
    WrongIntegrity,
    /// It has comprehension-required attributes that we don't know (420).
    UnknownAttributes,
    /// No PRIORITY (400).
    MissingPriority,
    /// The peer says that it is controlled, which we are always (487).
    RoleConflict,
    /// A transaction id that came from another tuple before: somebody repeats what was overheard. Not answered.
    Replayed,
    /// The caller has left so many events unread that no more are made.
    EventBacklog,
    /// The agent is closed.
    Closed,
}

/// What the transport must know, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IceEvent {
    /// Packets from this tuple are ours from now on.
    TupleAdded(Tuple),
    /// Packets from this tuple are ours no more.
    TupleRemoved(Tuple),
    /// What is sent goes to this tuple from now on.
    SelectedTupleChanged(Tuple),
    /// The state is another.
    StateChanged(IceState),
    /// Checks with this local ufrag are ours no more: the peer has followed a restart, or a further restart or the end
    /// has come.
    UsernameFragmentRetired(String),
}

/// How firmly a transport holds a tuple that a check for another transport came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// Neither checks nor media came from it for some seconds, or the transport does not have it.
    Quiet,
    /// It was checked lately.
    Checked,
    /// Authenticated packets come from it.
    Live,
}

/// A tuple that a valid check has come from.
#[derive(Clone, Copy, Debug)]
struct Path {
    tuple: Tuple,
    /// When its last valid check came: the peer's consent to be sent to is for a path (RFC 7675 §5.1).
    checked: Instant,
}

/// The ICE-lite agent of one transport: answers connectivity checks, knows the tuples that may carry media and
/// selects the one to send to.
///
/// Sans-IO: after each call that takes `&mut self`, drain [`poll_event`](Self::poll_event), and see to it that
/// [`handle_timeout`](Self::handle_timeout) is called when [`poll_timeout`](Self::poll_timeout) says.
#[derive(Debug)]
pub struct IceServer {
    local: IceCredentials,
    /// What was in force before a restart that the peer has not followed yet.
    old: Option<IceCredentials>,
    config: IceConfig,
    state: IceState,
    /// The oldest first, no two of one tuple.
    paths: Vec<Path>,
    /// One of `paths`; there is one exactly in `Connected` and `Completed`.
    selected: Option<Tuple>,
    /// When an authenticated packet last came by the selected tuple, or when it was selected.
    traffic: Option<Instant>,
    /// Whether such a packet has come by it at all.
    has_traffic: bool,
    /// Transaction ids of the latest valid checks with the tuples that they came from.
    transactions: VecDeque<(TransactionId, Tuple)>,
    /// The highest NOMINATION with the credentials that the peer uses, or since a loss of the connection.
    nomination: u32,
    consent_deadline: Option<Instant>,
    events: VecDeque<IceEvent>,
}

impl IceServer {
    /// A new agent, known to the peer by `local`.
    pub fn new(local: IceCredentials, config: IceConfig) -> Self {
        let config = IceConfig { max_tuples: config.max_tuples.max(2), ..config };
        Self {
            local,
            old: None,
            config,
            state: IceState::New,
            paths: Vec::with_capacity(config.max_tuples + 1),
            selected: None,
            traffic: None,
            has_traffic: false,
            transactions: VecDeque::new(),
            nomination: 0,
            consent_deadline: None,
            events: VecDeque::new(),
        }
    }

    /// What the peer shall use, since the last restart if there was one.
    pub fn local_credentials(&self) -> &IceCredentials {
        &self.local
    }

    /// Whether `ufrag` is ours: the current one, or the one before a restart that the peer has not followed yet.
    #[cfg(test)]
    fn matches_ufrag(&self, ufrag: &str) -> bool {
        self.credentials_of(ufrag).is_some()
    }

    /// The state.
    pub fn state(&self) -> IceState {
        self.state
    }

    /// The tuple to send to: there is one in states `Connected` and `Completed`.
    pub fn selected_tuple(&self) -> Option<Tuple> {
        self.selected
    }

    /// All tuples known, the oldest first.
    pub fn tuples(&self) -> impl Iterator<Item = Tuple> {
        self.paths.iter().map(|path| path.tuple)
    }

    /// Whether DTLS, RTP and RTCP may come from `tuple`: a valid check has.
    pub fn accepts(&self, tuple: &Tuple) -> bool {
        self.selected.as_ref() == Some(tuple) || self.paths.iter().any(|path| path.tuple == *tuple)
    }

    /// How firmly this transport holds `tuple`.
    pub fn hold(&self, now: Instant, tuple: &Tuple) -> Hold {
        let Some(path) = self.paths.iter().find(|path| path.tuple == *tuple) else { return Hold::Quiet };
        let is_within = |at: Instant, time| now.saturating_duration_since(at) < time;
        if self.selected == Some(*tuple)
            && self.has_traffic
            && self.traffic.is_some_and(|at| is_within(at, LIVE))
        {
            return Hold::Live;
        }
        if is_within(path.checked, QUIET) { Hold::Checked } else { Hold::Quiet }
    }

    /// Takes a STUN message that came from `tuple`. If there is something to answer, it is appended to `reply` and goes
    /// back to `tuple`; before the request is authenticated that is never longer than the request.
    pub fn handle_stun(
        &mut self,
        now: Instant,
        tuple: Tuple,
        message: &StunMessage<'_>,
        reply: &mut Vec<u8>,
    ) -> IceVerdict {
        self.handle_contested_stun(now, tuple, Hold::Quiet, message, reply)
    }

    /// Like [`handle_stun`](Self::handle_stun), for a tuple that another transport holds as `held` says: a client with
    /// one port for several transports, or one that has begun anew. The tuple can carry media of one transport only. A
    /// check that nominates it takes it, unless authenticated packets of the other transport come from it; any other
    /// valid check takes a quiet one. Otherwise the verdict is [`IceVerdict::Answered`].
    ///
    /// The caller removes the tuple from the other transport if the verdict is [`IceVerdict::Accepted`].
    pub fn handle_contested_stun(
        &mut self,
        now: Instant,
        tuple: Tuple,
        held: Hold,
        message: &StunMessage<'_>,
        reply: &mut Vec<u8>,
    ) -> IceVerdict {
        if self.state == IceState::Closed {
            return IceVerdict::Discarded(StunDiscard::Closed);
        }
        if self.events.len() > EVENTS_PER_TUPLE * self.config.max_tuples {
            return IceVerdict::Discarded(StunDiscard::EventBacklog);
        }
        match message.class() {
            StunClass::Request => match self.answer(tuple, message, reply) {
                Ok(generation) => {
                    let takes = match held {
                        Hold::Quiet => true,
                        Hold::Checked => asks_to_nominate(message),
                        Hold::Live => false,
                    };
                    if !takes {
                        return IceVerdict::Answered;
                    }
                    self.on_valid_check(now, tuple, message, generation);
                    IceVerdict::Accepted
                }
                Err(reason) => IceVerdict::Discarded(reason),
            },
            StunClass::Indication => IceVerdict::Indication,
            StunClass::SuccessResponse | StunClass::ErrorResponse => {
                IceVerdict::Discarded(StunDiscard::UnexpectedResponse)
            }
        }
    }

    /// Selects `tuple` because the peer's DTLS handshake comes from there, nominated or not (mediasoup's
    /// MayForceSelectedTuple). Does nothing if it is not known or nothing is connected.
    pub fn force_selected_tuple(&mut self, now: Instant, tuple: Tuple) {
        if self.selected.is_some() && self.accepts(&tuple) {
            self.select(now, tuple);
        }
    }

    /// An authenticated packet has come by `tuple`. A peer sends by one path at a time, so if it comes by another than
    /// the selected one, and nothing came by that one for a while, the peer has moved (a NAT gave it another port)
    /// without saying so. True if `tuple` is selected for that now.
    #[inline]
    pub fn handle_traffic(&mut self, now: Instant, tuple: &Tuple) -> bool {
        if self.selected.as_ref() == Some(tuple) {
            self.traffic = Some(now);
            self.has_traffic = true;
            return false;
        }
        self.on_other_traffic(now, tuple)
    }

    /// Forgets `tuple`, e.g. because its TCP connection has closed. If it was the selected one, the one that was checked
    /// last is selected and the peer gets a new consent time to show up there; without another one the state is
    /// `Disconnected`.
    pub fn remove_tuple(&mut self, now: Instant, tuple: &Tuple) {
        let Some(at) = self.paths.iter().position(|path| path.tuple == *tuple) else { return };
        self.remove_path(at);
        if self.selected.as_ref() == Some(tuple) {
            self.selected = None;
            self.select_latest(now);
            self.renew_consent(now);
        }
    }

    /// Takes new credentials (mediasoup's `restartIce`). The old ones remain valid until the first check with the new
    /// ones. State and tuples remain, and the peer gets a new consent time.
    pub fn restart(&mut self, now: Instant, new: IceCredentials) {
        if self.state == IceState::Closed {
            return;
        }
        self.retire_old();
        self.old = Some(std::mem::replace(&mut self.local, new));
        self.renew_consent(now);
    }

    /// Ends it all: removes tuples and ufrags. No message is answered afterwards.
    pub fn close(&mut self) {
        if self.state == IceState::Closed {
            return;
        }
        self.retire_old();
        self.events.push_back(IceEvent::UsernameFragmentRetired(self.local.username_fragment.clone()));
        self.remove_all_paths();
        self.consent_deadline = None;
        self.set_state(IceState::Closed);
    }

    /// The next event, if any.
    pub fn poll_event(&mut self) -> Option<IceEvent> {
        self.events.pop_front()
    }

    /// When the peer's consent ends.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.consent_deadline
    }

    /// Acts on what [`poll_timeout`](Self::poll_timeout) announced, if it is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(timeout) = self.config.consent_timeout else { return };
        if self.consent_deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        // RFC 7675 §5.1: without consent, data MUST NOT be sent any more by this path; there may be consent for others.
        let has_expired = |path: &Path| path.checked + timeout <= now;
        while let Some(at) = self.paths.iter().position(has_expired) {
            self.remove_path(at);
        }
        self.selected = None;
        self.select_latest(now);
    }

    /// Validates a request and writes the response to it.
    fn answer(
        &self,
        tuple: Tuple,
        request: &StunMessage<'_>,
        reply: &mut Vec<u8>,
    ) -> Result<Generation, StunDiscard> {
        let (generation, credentials) = self
            .authenticate(request)
            .inspect_err(|reason| write_unauthenticated_error(reply, request, *reason))?;
        // RFC 8489 §9.1.3: the response to an authenticated request is protected with the same password.
        let password = credentials.password.as_bytes();
        check_authenticated(request)
            .inspect_err(|reason| write_error(reply, request, *reason, Some(password)))?;
        let id = request.transaction_id();
        if self.transactions.iter().any(|(known, from)| *known == id && *from != tuple) {
            return Err(StunDiscard::Replayed);
        }
        // A dual-stack socket shows IPv4 peers as ::ffff:a.b.c.d; what the peer compares with is a.b.c.d.
        let mut mapped = tuple.remote;
        mapped.set_ip(mapped.ip().to_canonical());
        StunWriter::success_response(reply, request)
            .xor_mapped_address(mapped)
            .finish_with_integrity(password);
        Ok(generation)
    }

    fn authenticate(&self, request: &StunMessage<'_>) -> Result<(Generation, &IceCredentials), StunDiscard> {
        if request.method() != BINDING {
            return Err(StunDiscard::UnknownMethod);
        }
        // RFC 8489 §7: FINGERPRINT tells STUN from what else comes to the same port; mediasoup insists on it too.
        if !request.has_fingerprint() {
            return Err(StunDiscard::MissingFingerprint);
        }
        // RFC 8489 §9.1.3: 400 without MESSAGE-INTEGRITY or USERNAME, 401 if either is not valid.
        let username = request.username().filter(|_| request.has_integrity());
        let username = username.ok_or(StunDiscard::MissingCredentials)?;
        let (ufrag, _) = username.split_once(':').ok_or(StunDiscard::UnknownUsername)?;
        let (generation, credentials) = self.credentials_of(ufrag).ok_or(StunDiscard::UnknownUsername)?;
        if !request.check_integrity(credentials.password.as_bytes()) {
            return Err(StunDiscard::WrongIntegrity);
        }
        Ok((generation, credentials))
    }

    fn credentials_of(&self, ufrag: &str) -> Option<(Generation, &IceCredentials)> {
        let candidates = [(Generation::Current, Some(&self.local)), (Generation::Old, self.old.as_ref())];
        candidates
            .into_iter()
            .filter_map(|(generation, credentials)| Some((generation, credentials?)))
            .find(|(_, credentials)| self.state != IceState::Closed && credentials.username_fragment == ufrag)
    }

    fn on_valid_check(
        &mut self,
        now: Instant,
        tuple: Tuple,
        request: &StunMessage<'_>,
        generation: Generation,
    ) {
        if generation == Generation::Current && self.old.is_some() {
            // The peer has followed the restart. Its nominations may begin anew only now: checks with the old
            // credentials that were still on their way carry old numbers.
            self.retire_old();
            self.nomination = 0;
        }
        let is_repeated = !self.remember_transaction(request.transaction_id(), tuple);
        self.renew_path(now, tuple);
        // A repeated check may be an old one that somebody has overheard: it must not undo a later nomination.
        if !is_repeated && self.is_nominating(request) {
            self.select(now, tuple);
            self.set_state(IceState::Completed);
        } else if self.selected.is_none() {
            self.select(now, tuple);
            self.set_state(IceState::Connected);
        } else if self.is_selected_quiet(now) {
            self.select(now, tuple);
        }
        self.update_deadline();
    }

    /// Keeps the id of a valid check. False if it was known.
    fn remember_transaction(&mut self, id: TransactionId, tuple: Tuple) -> bool {
        if self.transactions.iter().any(|(known, _)| *known == id) {
            return false;
        }
        if self.transactions.len() == MAX_TRANSACTIONS {
            self.transactions.pop_front();
        }
        self.transactions.push_back((id, tuple));
        true
    }

    /// Whether neither checks nor authenticated packets come by the selected tuple.
    fn is_selected_quiet(&self, now: Instant) -> bool {
        let heard = self.selected_checked().max(self.traffic);
        heard.is_none_or(|at| now.saturating_duration_since(at) >= QUIET)
    }

    #[cold]
    fn on_other_traffic(&mut self, now: Instant, tuple: &Tuple) -> bool {
        let has_moved = self.traffic.is_some_and(|at| now.saturating_duration_since(at) >= MOVED);
        if has_moved && self.selected.is_some() && self.accepts(tuple) {
            self.select(now, *tuple);
            self.has_traffic = true;
            return true;
        }
        false
    }

    /// Whether the check selects its tuple. A NOMINATION decides alone, and only the highest so far counts: a check
    /// that was overtaken by a newer nomination must not undo it. Without one, every USE-CANDIDATE counts, so that
    /// aggressive nomination follows the latest.
    fn is_nominating(&mut self, request: &StunMessage<'_>) -> bool {
        // Zero says that the pair is not nominated, as if the attribute were absent.
        match request.nomination().filter(|nomination| *nomination > 0) {
            Some(nomination) if nomination >= self.nomination => {
                self.nomination = nomination;
                true
            }
            Some(_) => false,
            None => request.use_candidate(),
        }
    }

    /// A valid check has come from `tuple`.
    fn renew_path(&mut self, now: Instant, tuple: Tuple) {
        if let Some(path) = self.paths.iter_mut().find(|path| path.tuple == tuple) {
            path.checked = now;
            return;
        }
        self.paths.push(Path { tuple, checked: now });
        self.events.push_back(IceEvent::TupleAdded(tuple));
        if self.paths.len() > self.config.max_tuples {
            let others = self.paths.iter().enumerate();
            let others = others.filter(|(_, path)| path.tuple != tuple && Some(path.tuple) != self.selected);
            let (evicted, _) = others
                .min_by_key(|(_, path)| path.checked)
                .expect("of three or more tuples, one is neither new nor selected");
            self.remove_path(evicted);
        }
    }

    fn remove_path(&mut self, at: usize) {
        let path = self.paths.remove(at);
        self.events.push_back(IceEvent::TupleRemoved(path.tuple));
    }

    fn remove_all_paths(&mut self) {
        self.selected = None;
        self.events.extend(self.paths.drain(..).map(|path| IceEvent::TupleRemoved(path.tuple)));
    }

    /// Nothing is selected any more: selects the tuple that was checked last.
    fn select_latest(&mut self, now: Instant) {
        match self.paths.iter().max_by_key(|path| path.checked).map(|path| path.tuple) {
            Some(next) => self.select(now, next),
            None => self.disconnect(),
        }
    }

    fn select(&mut self, now: Instant, tuple: Tuple) {
        if self.selected == Some(tuple) {
            return;
        }
        self.selected = Some(tuple);
        self.traffic = Some(now);
        self.has_traffic = false;
        self.update_deadline();
        // Of two changes in a row only the second one matters; forced selections can't fill the queue.
        if let Some(IceEvent::SelectedTupleChanged(last)) = self.events.back_mut() {
            *last = tuple;
        } else {
            self.events.push_back(IceEvent::SelectedTupleChanged(tuple));
        }
    }

    fn disconnect(&mut self) {
        self.nomination = 0;
        self.consent_deadline = None;
        self.set_state(IceState::Disconnected);
    }

    fn set_state(&mut self, state: IceState) {
        if self.state != state {
            self.state = state;
            self.events.push_back(IceEvent::StateChanged(state));
        }
    }

    /// Gives the peer another consent time on the selected tuple, as if a check had come.
    fn renew_consent(&mut self, now: Instant) {
        let selected = self.selected;
        if let Some(path) = self.paths.iter_mut().find(|path| Some(path.tuple) == selected) {
            path.checked = now;
        }
        self.update_deadline();
    }

    fn update_deadline(&mut self) {
        self.consent_deadline =
            self.selected_checked().zip(self.config.consent_timeout).map(|(at, time)| at + time);
    }

    /// When the selected tuple was last checked.
    fn selected_checked(&self) -> Option<Instant> {
        self.paths.iter().find(|path| Some(path.tuple) == self.selected).map(|path| path.checked)
    }

    fn retire_old(&mut self) {
        if let Some(old) = self.old.take() {
            self.events.push_back(IceEvent::UsernameFragmentRetired(old.username_fragment));
        }
    }
}

/// A path without checks and packets for this long is left for one that is checked. Consent is checked every 4 to 6 s
/// (RFC 7675 §5.1; libwebrtc 2.5 s, pion 2 s), so that of two living paths neither gets there.
const QUIET: Duration = Duration::from_secs(7);
/// Packets that come by another path than the selected one, and none by that, for this long show that the peer has moved.
/// More than what is still on its way when a peer changes paths.
const MOVED: Duration = Duration::from_secs(2);
/// Authenticated packets within this time show that a path is in use.
const LIVE: Duration = Duration::from_secs(1);

type TransactionId = [u8; 12];
/// How many transaction ids are remembered. At a check every 2.5 s some 160 s.
const MAX_TRANSACTIONS: usize = 64;

/// A check makes at most five events. A caller that drains after each call never has more than that, or than a removal
/// of all tuples makes; the limit is for one that doesn't.
const EVENTS_PER_TUPLE: usize = 4;

/// Which credentials a request was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    Current,
    Old,
}

impl StunDiscard {
    /// ERROR-CODE of the response, if there is one.
    fn error(self) -> Option<(u16, &'static str)> {
        match self {
            Self::UnknownMethod
            | Self::MissingFingerprint
            | Self::MissingCredentials
            | Self::MissingPriority => Some((400, "Bad Request")),
            Self::UnknownUsername | Self::WrongIntegrity => Some((401, "Unauthorized")),
            Self::UnknownAttributes => Some((420, "Unknown Attribute")),
            Self::RoleConflict => Some((487, "Role Conflict")),
            Self::UnexpectedResponse | Self::Replayed | Self::EventBacklog | Self::Closed => None,
        }
    }
}

/// Whether the check would select its tuple if nothing newer did.
fn asks_to_nominate(request: &StunMessage<'_>) -> bool {
    request.use_candidate() || request.nomination().is_some_and(|nomination| nomination > 0)
}

/// What is left to check of a request whose sender is known.
fn check_authenticated(request: &StunMessage<'_>) -> Result<(), StunDiscard> {
    if request.unknown_comprehension_required().next().is_some() {
        return Err(StunDiscard::UnknownAttributes);
    }
    // RFC 8445 §7.1.1: the PRIORITY attribute MUST be included in a Binding request.
    if request.priority().is_none() {
        return Err(StunDiscard::MissingPriority);
    }
    // RFC 8445 §6.1.1: the full agent is controlling whenever the other one is lite.
    if request.ice_controlled().is_some() {
        return Err(StunDiscard::RoleConflict);
    }
    Ok(())
}

fn write_error(reply: &mut Vec<u8>, request: &StunMessage<'_>, reason: StunDiscard, password: Option<&[u8]>) {
    let Some((code, phrase)) = reason.error() else { return };
    let mut writer = StunWriter::error_response(reply, request, code, phrase);
    if reason == StunDiscard::UnknownAttributes {
        writer = writer.unknown_attributes(request.unknown_comprehension_required());
    }
    match password {
        Some(password) => writer.finish_with_integrity(password),
        None => writer.finish(),
    }
}

/// Anyone can send what is answered here with anyone's source address, so the answer must not amplify it.
fn write_unauthenticated_error(reply: &mut Vec<u8>, request: &StunMessage<'_>, reason: StunDiscard) {
    let start = reply.len();
    write_error(reply, request, reason, None);
    if reply.len() - start > request.as_bytes().len() {
        reply.truncate(start);
    }
}

#[cfg(test)]
mod tests;
