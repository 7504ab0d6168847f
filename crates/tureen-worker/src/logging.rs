//! The log: lines of `tracing`, filtered by mediasoup's levels and tags, for the parent.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tureen_driver::log::{LogFilter, WorkerLogLevel, WorkerLogTag};

use crate::dialect::LogSettings;

/// Maximum of lines that wait to be sent. Further ones are dropped and counted.
const MAX_LINES: usize = 1024;
/// Longest line, in bytes. Longer ones are cut off.
const MAX_LINE: usize = 4096;

/// Collects lines. Cheap to clone; all clones share one log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    filter: LogFilter,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    queue: VecDeque<String>,
    dropped: u64,
}

impl Default for Shared {
    fn default() -> Self {
        Self { filter: LogFilter::new(WorkerLogLevel::default(), &[]), lines: Mutex::default() }
    }
}

impl Log {
    /// Changes the filter for lines from now on. Unknown tags are ignored, as in mediasoup.
    ///
    /// # Errors
    /// A text that names an invalid level. Nothing changes then.
    pub fn set(&self, settings: &LogSettings) -> Result<(), String> {
        let level = match &settings.level {
            Some(level) => Some(level.parse().map_err(|_| format!("invalid value '{level}' for logLevel"))?),
            None => None,
        };
        let tags: Option<Vec<WorkerLogTag>> =
            settings.tags.as_ref().map(|tags| tags.iter().filter_map(|tag| tag.parse().ok()).collect());
        self.shared.filter.update(level, tags.as_deref());
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    /// The next line to send. Its first letter is its level.
    pub fn take(&self) -> Option<String> {
        let mut lines = self.lines();
        match lines.queue.pop_front() {
            None if lines.dropped > 0 => {
                Some(format!("W{} lines of the log were dropped", std::mem::take(&mut lines.dropped)))
            }
            line => line,
        }
    }

    fn push(&self, mut line: String) {
        if line.len() > MAX_LINE {
            let boundary = (0..=MAX_LINE).rev().find(|&index| line.is_char_boundary(index));
            line.truncate(boundary.unwrap_or(0));
        }
        let mut lines = self.lines();
        if lines.queue.len() < MAX_LINES {
            lines.queue.push_back(line);
        } else {
            lines.dropped += 1;
        }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.shared.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() != Level::TRACE && self.shared.filter.allows(metadata)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = match *event.metadata().level() {
            Level::ERROR => 'E',
            Level::WARN => 'W',
            _ => 'D',
        };
        let mut line =
            Line { text: format!("{level}{} |", event.metadata().target()), fields: String::new() };
        event.record(&mut line);
        if !line.fields.is_empty() {
            line.text.push_str(" [");
            line.text.push_str(&line.fields);
            line.text.push(']');
        }
        self.push(line.text);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Formats an event as text.
struct Line {
    text: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String fails only if a value's own format does.
        let _ = if field.name() == "message" {
            write!(self.text, " {value:?}")
        } else {
            let comma = if self.fields.is_empty() { "" } else { ", " };
            write!(self.fields, "{comma}{}:{value:?}", field.name())
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use tureen_rtc::log::{DTLS, ICE};

    use super::*;

    fn log(level: &str, tags: &[&str]) -> Log {
        let log = Log::default();
        let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        log.set(&LogSettings { level: Some(level.to_owned()), tags: Some(tags) }).unwrap();
        log
    }

    fn speak() {
        tracing::error!(target: ICE, port = 7, "bad");
        tracing::warn!(target: ICE, text = "a b", "odd");
        tracing::debug!(target: ICE, "fine");
        tracing::debug!(target: DTLS, "secret");
        tracing::trace!(target: ICE, "too much");
    }

    fn lines(log: &Log) -> Vec<String> {
        std::iter::from_fn(|| log.take()).collect()
    }

    #[test]
    fn level_and_tag_filter_log_lines() {
        let all = ["Etureen::ice | bad [port:7]", "Wtureen::ice | odd [text:a b]", "Dtureen::ice | fine"];
        for (level, tags, kept) in [
            ("none", &["ice"][..], 0),
            ("error", &["ice"], 1),
            ("warn", &["ice"], 2),
            ("DEBUG", &["ice"], 3),
            ("debug", &["bwe", "nonsense"], 1),
        ] {
            let log = log(level, tags);
            tracing::subscriber::with_default(log.clone(), speak);
            assert_eq!(lines(&log), all[..kept], "{level} {tags:?}");
        }
    }

    #[test]
    fn settings_that_are_not_given_are_kept() {
        let log = log("debug", &["ice"]);
        log.set(&LogSettings { level: Some("warn".to_owned()), tags: None }).unwrap();
        tracing::subscriber::with_default(log.clone(), speak);
        assert_eq!(lines(&log).len(), 2);
    }

    #[test]
    fn unknown_level_is_named_and_changes_nothing() {
        let log = log("warn", &["ice"]);
        let error = log.set(&LogSettings { level: Some("chicken".to_owned()), tags: Some(vec![]) });
        assert_eq!(error.unwrap_err(), "invalid value 'chicken' for logLevel");
        tracing::subscriber::with_default(log.clone(), speak);
        assert_eq!(lines(&log).len(), 2);
    }

    #[test]
    fn full_log_drops_lines_and_reports_their_number() {
        let log = Log::default();
        for _ in 0..MAX_LINES + 3 {
            log.push("Dline".to_owned());
        }
        let lines = lines(&log);
        assert_eq!(lines.len(), MAX_LINES + 1);
        assert_eq!(lines[MAX_LINES], "W3 lines of the log were dropped");
    }

    #[test]
    fn long_line_is_cut_at_a_character() {
        let log = Log::default();
        log.push("é".repeat(MAX_LINE));
        assert_eq!(log.take().unwrap().len(), MAX_LINE);
    }
}
