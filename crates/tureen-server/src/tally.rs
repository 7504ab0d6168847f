//! Counters of refused input, which a log line tells the operator from time to time.

use std::{
    fmt::{self, Write as _},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tracing::warn;

use crate::bucket::Bucket;

/// Between two lines with the totals.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Log lines that clients can cause: so many a second, and so many at once.
const LINES_PER_SECOND: f64 = 10.0;
const LINES_AT_ONCE: f64 = 200.0;

/// Refusals and losses of clients by a limit of the configuration.
macro_rules! denied {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Denied { $($(#[$doc])* $variant,)* }

        /// Names in the log, in the order of the variants.
        const NAMES: &[&str] = &[$($name,)*];
    };
}

denied! {
    /// A log line was left out because clients caused too many.
    LogLine => "log_lines_left_out",
    /// `limits.max_queued_messages`, `limits.max_queued_bytes`, or a write that took `timeouts.write_s`.
    SlowReader => "slow_readers_closed",
    /// `limits.max_requests_per_s`, `limits.max_received_bytes_per_s`: reading paused.
    Throttled => "readings_paused",
    /// Somebody came with the id of a participant that is there and alive.
    PlaceKept => "places_kept",
    /// `Origin` of a page that may not use the server.
    Origin => "foreign_origins",
    /// With `[auth]`: no access token.
    TokenMissing => "tokens_missing",
    /// No JWT, or longer than `auth.max_token_bytes`.
    TokenUnreadable => "tokens_unreadable",
    /// A token by an algorithm that no key here is for.
    TokenAlgorithm => "tokens_by_other_algorithms",
    /// A token by a key that is not known.
    TokenKey => "tokens_by_unknown_keys",
    TokenSignature => "tokens_with_wrong_signature",
    /// A token that has expired, or never does, or is not valid yet.
    TokenTime => "tokens_out_of_time",
    /// A token with wrong claims, or of another issuer or audience.
    TokenClaims => "tokens_with_wrong_claims",
    TokenRevoked => "tokens_revoked",
    /// A good token for something else: another room or identity, or without the right that was needed.
    TokenScope => "tokens_for_something_else",
    /// A right that the participant's token does not give.
    Right => "rights_refused",
    /// `limits.max_broadcasters`, `limits.max_broadcasters_per_address`.
    Broadcaster => "broadcasters_refused",
    /// `timeouts.broadcaster_s`: nothing was heard of a broadcaster.
    BroadcasterExpired => "broadcasters_expired",
    /// `limits.max_transports_per_peer`, `max_producers_per_peer`, `max_data_producers_per_peer`,
    /// `max_consumers_per_broadcaster`.
    ParticipantLimit => "participant_limits_reached",
    /// `limits.max_plain_sockets`.
    PlainSocket => "plain_sockets_refused",
    /// `limits.max_consumers_per_room`, `limits.max_consumers_per_worker`.
    Consumer => "consumers_left_out",
    /// `limits.max_data_consumers_per_peer`.
    DataConsumer => "data_consumers_left_out",
    /// `limits.max_connections_per_address`.
    Connection => "connections_refused",
    /// `limits.max_requests_per_address_per_s`.
    HttpRate => "http_requests_refused",
    /// A request that took longer than its time-out to come, or an answer to be taken.
    SlowRequest => "slow_requests",
    /// A text or frame that is no protoo message.
    BadMessage => "bad_messages",
}

/// The counters of one server.
#[derive(Debug)]
pub(crate) struct Tally {
    counts: [AtomicU64; NAMES.len()],
    lines: Mutex<Bucket>,
}

impl Tally {
    /// Makes the counters; a task reports them for as long as they live.
    pub(crate) fn start() -> Arc<Self> {
        let tally = Arc::new(Self::new());
        tokio::spawn(report(Arc::downgrade(&tally)));
        tally
    }

    fn new() -> Self {
        Self {
            counts: Default::default(),
            lines: Mutex::new(Bucket::new(LINES_PER_SECOND, LINES_AT_ONCE, Instant::now())),
        }
    }

    /// Counters that nobody reports.
    #[cfg(test)]
    pub(crate) fn for_test() -> Arc<Self> {
        Arc::new(Self::new())
    }

    /// Counts one more.
    pub(crate) fn count(&self, denied: Denied) {
        self.counts[denied as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Count so far.
    #[cfg(test)]
    pub(crate) fn counted(&self, denied: Denied) -> u64 {
        self.counts[denied as usize].load(Ordering::Relaxed)
    }

    /// True if one more log line that a client causes may be written. A line that may not is counted.
    pub(crate) fn may_log(&self) -> bool {
        let may = self.lines.lock().unwrap_or_else(PoisonError::into_inner).try_take(1.0, Instant::now());
        if !may {
            self.count(Denied::LogLine);
        }
        may
    }

    /// All counters that are not zero.
    fn totals(&self) -> String {
        let mut text = String::new();
        for (name, count) in NAMES.iter().zip(&self.counts) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                let _ = write!(text, "{}{name}={count}", if text.is_empty() { "" } else { " " });
            }
        }
        text
    }
}

async fn report(tally: Weak<Tally>) {
    let mut told = String::new();
    loop {
        tokio::time::sleep(REPORT_EVERY).await;
        let Some(tally) = tally.upgrade() else { return };
        let totals = tally.totals();
        if totals != told {
            warn!("refused so far: {totals}");
            told = totals;
        }
    }
}

/// A client's text for a log line: cut, and without control characters.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

/// Longest part of a client's text in a log line (characters).
const SHOWN: usize = 64;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for char in chars.by_ref().take(SHOWN) {
            match is_unprintable(char) {
                true => write!(f, "{}", char.escape_unicode())?,
                false => f.write_char(char)?,
            }
        }
        if chars.next().is_some() { f.write_char('…') } else { Ok(()) }
    }
}

/// Control characters, and those that change the direction or the lines of a text.
fn is_unprintable(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn log_lines_of_clients_are_limited_and_the_rest_is_counted() {
        let tally = Tally::for_test();
        let written = (0..1000).filter(|_| tally.may_log()).count();
        assert_eq!(written, 200);
        assert_eq!(tally.totals(), "log_lines_left_out=800");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((0..1000).filter(|_| tally.may_log()).count(), 10);
    }

    #[test]
    fn texts_of_clients_are_truncated_and_without_control_characters() {
        assert_eq!(Shown("Zoë").to_string(), "Zoë");
        assert_eq!(Shown("a\nWARN b\u{1b}[31m\u{202e}").to_string(), "a\\u{a}WARN b\\u{1b}[31m\\u{202e}");
        let long = "é".repeat(1000);
        assert_eq!(Shown(&long).to_string(), format!("{}…", "é".repeat(64)));
    }
}
