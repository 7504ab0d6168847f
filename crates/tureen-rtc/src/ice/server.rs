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
    /// Time without a valid check after which a path has no consent and is removed. Without another path the peer
    /// counts as disconnected (RFC 7675; mediasoup's `iceConsentTimeout`). In [`CONSENT_TIMEOUTS`]; `None` disables
    /// it.
    pub consent_timeout: Option<Duration>,
    /// Most paths to the peer, at least 2. Each costs about 50 bytes here and an entry in the transport's table of
    /// tuples.
    pub max_tuples: usize,
}

impl Default for IceConfig {
    fn default() -> Self {
        Self { consent_timeout: Some(DEFAULT_CONSENT_TIMEOUT), max_tuples: 8 }
    }
}

/// Valid range of the consent timeout. Peers check every 5 s (RFC 7675 §5.1), so a shorter one would expire after a
/// few lost checks.
pub const CONSENT_TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(60);
/// Default of mediasoup, and of RFC 7675 §5.1.
pub(crate) const DEFAULT_CONSENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Converts mediasoup's `iceConsentTimeout`: 0 disables it, and values outside of [`CONSENT_TIMEOUTS`] are clamped
/// with a warning.
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
    /// A tuple is selected, but the peer has not nominated it.
    Connected,
    /// The peer has nominated a tuple.
    Completed,
    /// Consent expired or the last tuple was removed. A valid check reconnects.
    Disconnected,
    /// Closed: no message is answered.
    Closed,
}

/// Result of a STUN message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IceVerdict {
    /// A valid check. It was answered, and its tuple is known.
    Accepted,
    /// A valid check that was answered, while its tuple stays with another transport: see
    /// [`IceServer::handle_contested_stun`].
    Answered,
    /// A Binding indication: a keepalive without effect (RFC 8445 §11).
    Indication,
    /// The message had no effect. An error response may have been written.
    Discarded(StunDiscard),
}

/// Why a STUN message was discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StunDiscard {
    /// A response, although a lite agent sends no requests.
    UnexpectedResponse,
    /// Not the Binding method (400).
    UnknownMethod,
    /// No FINGERPRINT (400).
    MissingFingerprint,
    /// No readable USERNAME or no MESSAGE-INTEGRITY (400).
    MissingCredentials,
    /// USERNAME has an unknown ufrag (401).
    UnknownUsername,
    /// MESSAGE-INTEGRITY does not match the password (401).
    WrongIntegrity,
    /// It has unknown comprehension-required attributes (420).
    UnknownAttributes,
    /// No PRIORITY (400).
    MissingPriority,
    /// The peer claims to be controlled, which a lite agent always is (487).
    RoleConflict,
    /// Its transaction id came from another tuple before, so it is a replay. Not answered.
    Replayed,
    /// The caller has left too many events unread.
    EventBacklog,
    /// The agent is closed.
    Closed,
}

/// Events for the transport, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IceEvent {
    /// Packets of this tuple belong to the transport from now on.
    TupleAdded(Tuple),
    /// Packets of this tuple no longer belong to the transport.
    TupleRemoved(Tuple),
    /// Packets are sent to this tuple from now on.
    SelectedTupleChanged(Tuple),
    /// The state changed.
    StateChanged(IceState),
    /// This local ufrag is no longer valid: the peer has followed a restart, or another restart or the end has
    /// replaced it.
    UsernameFragmentRetired(String),
}

/// Activity of a tuple at the transport that has it, when a check for another transport comes from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// No check and no media for some seconds, or the tuple is unknown.
    Quiet,
    /// A recent check.
    Checked,
    /// Recent authenticated packets.
    Live,
}

/// A tuple with a valid check.
#[derive(Clone, Copy, Debug)]
struct Path {
    tuple: Tuple,
    /// Time of its last valid check. Consent is per path (RFC 7675 §5.1).
    checked: Instant,
}

/// The ICE-lite agent of one transport: it answers connectivity checks, holds the tuples that may carry media and
/// selects the one to send to.
///
/// Sans-IO: after each call that takes `&mut self`, the caller drains [`poll_event`](Self::poll_event), and calls
/// [`handle_timeout`](Self::handle_timeout) at the time of [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct IceServer {
    local: IceCredentials,
    /// Credentials before a restart that the peer has not followed yet.
    old: Option<IceCredentials>,
    config: IceConfig,
    state: IceState,
    /// Oldest first, one for each tuple.
    paths: Vec<Path>,
    /// One of `paths`; set exactly in `Connected` and `Completed`.
    selected: Option<Tuple>,
    /// Time of the last authenticated packet on the selected tuple, or of its selection.
    traffic: Option<Instant>,
    /// True once an authenticated packet came on the selected tuple.
    has_traffic: bool,
    /// Transaction ids of recent valid checks, with their tuples.
    transactions: VecDeque<(TransactionId, Tuple)>,
    /// Highest NOMINATION under the current credentials, since the last disconnection.
    nomination: u32,
    consent_deadline: Option<Instant>,
    events: VecDeque<IceEvent>,
}

impl IceServer {
    /// A new agent with the credentials `local`.
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

    /// Current credentials: those of the last restart, if there was one.
    pub fn local_credentials(&self) -> &IceCredentials {
        &self.local
    }

    /// True for the current ufrag, and for the one before a restart that the peer has not followed yet.
    #[cfg(test)]
    fn matches_ufrag(&self, ufrag: &str) -> bool {
        self.credentials_of(ufrag).is_some()
    }

    /// The current state.
    pub fn state(&self) -> IceState {
        self.state
    }

    /// The tuple to send to, in states `Connected` and `Completed`.
    pub fn selected_tuple(&self) -> Option<Tuple> {
        self.selected
    }

    /// All known tuples, oldest first.
    pub fn tuples(&self) -> impl Iterator<Item = Tuple> {
        self.paths.iter().map(|path| path.tuple)
    }

    /// True if a valid check came from `tuple`, so that DTLS, RTP and RTCP are accepted.
    pub fn accepts(&self, tuple: &Tuple) -> bool {
        self.selected.as_ref() == Some(tuple) || self.paths.iter().any(|path| path.tuple == *tuple)
    }

    /// Activity of `tuple` at this transport.
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

    /// Handles a STUN message from `tuple`. A response to `tuple` is appended to `reply`; before authentication it is
    /// never longer than the request.
    pub fn handle_stun(
        &mut self,
        now: Instant,
        tuple: Tuple,
        message: &StunMessage<'_>,
        reply: &mut Vec<u8>,
    ) -> IceVerdict {
        self.handle_contested_stun(now, tuple, Hold::Quiet, message, reply)
    }

    /// Like [`handle_stun`](Self::handle_stun), for a tuple that another transport holds with the activity `held`: a
    /// client uses one port for several transports, or has reconnected. A tuple carries media of one transport only. A
    /// nominating check takes it over, unless the other transport receives authenticated packets from it; any other
    /// valid check takes over a quiet tuple. Otherwise the verdict is [`IceVerdict::Answered`].
    ///
    /// On [`IceVerdict::Accepted`] the caller removes the tuple from the other transport.
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
        // Only requests can change the state: an indication is unauthenticated, and a lite agent expects no responses.
        match message.class() {
            StunClass::Request => match self.answer(tuple, message, reply) {
                Ok(generation) => {
                    // The response is written in any case, because the check is valid. Only the tuple's owner depends
                    // on its activity.
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

    /// Selects `tuple` because the peer's DTLS handshake comes from it, nominated or not (mediasoup's
    /// MayForceSelectedTuple). No effect if it is unknown or nothing is connected.
    pub fn force_selected_tuple(&mut self, now: Instant, tuple: Tuple) {
        if self.selected.is_some() && self.accepts(&tuple) {
            self.select(now, tuple);
        }
    }

    /// Handles an authenticated packet from `tuple`. A peer sends on one path at a time, so packets on another path
    /// while the selected one is silent show that the peer has moved, for example because a NAT changed its port.
    /// Returns true if `tuple` is selected for that reason.
    #[inline]
    pub fn handle_traffic(&mut self, now: Instant, tuple: &Tuple) -> bool {
        if self.selected.as_ref() == Some(tuple) {
            self.traffic = Some(now);
            self.has_traffic = true;
            return false;
        }
        self.on_other_traffic(now, tuple)
    }

    /// Removes `tuple`, for example because its TCP connection was closed. If it was selected, the most recently
    /// checked tuple is selected with a new consent time; without another tuple the state is `Disconnected`.
    pub fn remove_tuple(&mut self, now: Instant, tuple: &Tuple) {
        let Some(at) = self.paths.iter().position(|path| path.tuple == *tuple) else { return };
        self.remove_path(at);
        if self.selected.as_ref() == Some(tuple) {
            self.selected = None;
            self.select_latest(now);
            self.renew_consent(now);
        }
    }

    /// Replaces the credentials (mediasoup's `restartIce`). The old ones stay valid until the first check with the new
    /// ones. State and tuples stay, and the consent time starts anew.
    pub fn restart(&mut self, now: Instant, new: IceCredentials) {
        if self.state == IceState::Closed {
            return;
        }
        self.retire_old();
        self.old = Some(std::mem::replace(&mut self.local, new));
        self.renew_consent(now);
    }

    /// Closes the agent: removes tuples and ufrags.
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

    /// Time at which consent expires.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.consent_deadline
    }

    /// Expires consent, if due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(timeout) = self.config.consent_timeout else { return };
        if self.consent_deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        // RFC 7675 §5.1: without consent no data may be sent on a path; other paths may still have consent.
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
        // A dual-stack socket reports IPv4 peers as ::ffff:a.b.c.d; the peer compares with a.b.c.d.
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
        // RFC 8489 §7: FINGERPRINT distinguishes STUN from other protocols on the same port; mediasoup requires it
        // too.
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
            // The peer has followed the restart. Its NOMINATION values may start anew only now, because late checks
            // with the old credentials carry old values.
            self.retire_old();
            self.nomination = 0;
        }
        let is_repeated = !self.remember_transaction(request.transaction_id(), tuple);
        self.renew_path(now, tuple);
        // A repeated check may be a replay, which must not undo a later nomination.
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

    /// Records the transaction id of a valid check. Returns false if it is known.
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

    /// True if the selected tuple has neither recent checks nor recent packets.
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

    /// True if the check selects its tuple. With NOMINATION only the highest value so far counts, because a check
    /// overtaken by a newer nomination must not undo it. Without NOMINATION every USE-CANDIDATE counts, so that
    /// aggressive nomination selects the latest.
    fn is_nominating(&mut self, request: &StunMessage<'_>) -> bool {
        // Zero means "not nominated", as if the attribute were absent.
        match request.nomination().filter(|nomination| *nomination > 0) {
            Some(nomination) if nomination >= self.nomination => {
                self.nomination = nomination;
                true
            }
            Some(_) => false,
            None => request.use_candidate(),
        }
    }

    /// Records a valid check from `tuple`.
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

    /// Selects the most recently checked tuple after the selected one was removed.
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
        // Consecutive changes are merged, so that forced selections cannot fill the queue.
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

    /// Renews consent on the selected tuple, as a check would.
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

    /// Time of the last check on the selected tuple.
    fn selected_checked(&self) -> Option<Instant> {
        self.paths.iter().find(|path| Some(path.tuple) == self.selected).map(|path| path.checked)
    }

    fn retire_old(&mut self) {
        if let Some(old) = self.old.take() {
            self.events.push_back(IceEvent::UsernameFragmentRetired(old.username_fragment));
        }
    }
}

/// A path without checks and packets for this time is replaced by one that is checked. Peers check every 4 to 6 s (RFC
/// 7675 §5.1; libwebrtc 2.5 s, pion 2 s), so no living path reaches it.
const QUIET: Duration = Duration::from_secs(7);
/// Packets on another path, and none on the selected one, for this time show that the peer has moved. It exceeds the
/// time that packets are in flight when a peer changes paths.
const MOVED: Duration = Duration::from_secs(2);
/// Authenticated packets within this time show that a path is in use.
const LIVE: Duration = Duration::from_secs(1);

type TransactionId = [u8; 12];
/// Transaction ids kept: about 160 s at a check every 2.5 s.
const MAX_TRANSACTIONS: usize = 64;

/// Event limit for each tuple. A check makes at most five events, and a caller that drains after each call never
/// reaches the limit.
const EVENTS_PER_TUPLE: usize = 4;

/// Credentials of a request: current, or those before a restart.
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

/// True if the check asks to select its tuple.
fn asks_to_nominate(request: &StunMessage<'_>) -> bool {
    request.use_candidate() || request.nomination().is_some_and(|nomination| nomination > 0)
}

/// Remaining checks of an authenticated request.
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

/// Writes an error response to an unauthenticated request, whose source address may be forged: the response must not
/// be longer than the request.
fn write_unauthenticated_error(reply: &mut Vec<u8>, request: &StunMessage<'_>, reason: StunDiscard) {
    let start = reply.len();
    write_error(reply, request, reason, None);
    if reply.len() - start > request.as_bytes().len() {
        reply.truncate(start);
    }
}

#[cfg(test)]
mod tests;
