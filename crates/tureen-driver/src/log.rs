//! mediasoup's log levels and tags, and the targets of the lines that each tag selects.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;
use tracing::{Level, Metadata};
use tureen_rtc::log;

/// Minimum severity of a worker's log lines.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum WorkerLogLevel {
    /// All lines.
    Debug,
    /// Warnings and errors.
    Warn,
    /// Errors.
    #[default]
    Error,
    /// No lines.
    None,
}

/// Tag of a worker's log lines.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerLogTag {
    /// Versions, configuration, process.
    Info,
    /// ICE.
    Ice,
    /// DTLS.
    Dtls,
    /// RTP.
    Rtp,
    /// SRTP.
    Srtp,
    /// RTCP.
    Rtcp,
    /// Retransmissions and key frame requests.
    Rtx,
    /// Bandwidth estimation.
    Bwe,
    /// Scores of producers and consumers.
    Score,
    /// Simulcast.
    Simulcast,
    /// Scalable video coding.
    Svc,
    /// SCTP.
    Sctp,
    /// Messages of data channels.
    Message,
}

/// Every tag with its name and the target of its lines.
const TAGS: [(WorkerLogTag, &str, Option<&str>); 13] = {
    use WorkerLogTag::*;
    [
        // Always logged: lines about the process and its sockets have no tag.
        (Info, "info", None),
        (Ice, "ice", Some(log::ICE)),
        (Dtls, "dtls", Some(log::DTLS)),
        (Rtp, "rtp", Some(log::RTP)),
        // No line has these tags today.
        (Srtp, "srtp", None),
        (Rtcp, "rtcp", None),
        (Rtx, "rtx", None),
        (Bwe, "bwe", None),
        (Score, "score", None),
        (Simulcast, "simulcast", None),
        (Svc, "svc", None),
        (Sctp, "sctp", Some(log::SCTP)),
        (Message, "message", None),
    ]
};

impl FromStr for WorkerLogLevel {
    type Err = UnknownName;

    /// Parses mediasoup's name of a level, in any case.
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name.to_ascii_lowercase().as_str() {
            "debug" => Ok(Self::Debug),
            "warn" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            "none" => Ok(Self::None),
            _ => Err(UnknownName),
        }
    }
}

impl FromStr for WorkerLogTag {
    type Err = UnknownName;

    /// Parses mediasoup's name of a tag.
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        TAGS.iter().find(|(_, known, _)| *known == name).map(|(tag, ..)| *tag).ok_or(UnknownName)
    }
}

/// A name that is neither a level nor a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownName;

/// Filter for the log lines of one worker. Any thread may change it at any time.
#[derive(Debug)]
pub struct LogFilter {
    /// The level in the lowest bits, and above it one bit for each tag.
    packed: AtomicU32,
}

const LEVEL_BITS: u32 = 2;
const LEVEL_MASK: u32 = (1 << LEVEL_BITS) - 1;

impl LogFilter {
    /// A filter for lines of at least `level`. Warnings and debug lines with a tag also need one of `tags`.
    pub fn new(level: WorkerLogLevel, tags: &[WorkerLogTag]) -> Self {
        Self { packed: AtomicU32::new(level as u32 | tag_bits(tags)) }
    }

    /// Changes the given settings, for every line from now on.
    pub fn update(&self, level: Option<WorkerLogLevel>, tags: Option<&[WorkerLogTag]>) {
        let change = |packed| {
            let level = level.map_or(packed & LEVEL_MASK, |level| level as u32);
            let tags = tags.map_or(packed & !LEVEL_MASK, tag_bits);
            Some(level | tags)
        };
        // Never fails, because the closure always returns a value.
        let _ = self.packed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// True if a line passes. Like mediasoup's `MS_ERROR`, `MS_WARN_TAG` and `MS_DEBUG_TAG`: errors have no tag, and
    /// for lines without a tag only the level counts.
    pub fn allows(&self, line: &Metadata<'_>) -> bool {
        let packed = self.packed.load(Ordering::Relaxed);
        let severity = match *line.level() {
            Level::ERROR => WorkerLogLevel::Error,
            Level::WARN => WorkerLogLevel::Warn,
            _ => WorkerLogLevel::Debug,
        };
        if packed & LEVEL_MASK > severity as u32 {
            return false;
        }
        let tags = tags_of(line.target());
        severity == WorkerLogLevel::Error || tags == 0 || packed & tags != 0
    }
}

fn tag_bits(tags: &[WorkerLogTag]) -> u32 {
    tags.iter().fold(0, |bits, tag| bits | 1 << (LEVEL_BITS + *tag as u32))
}

/// The tags of lines with this target.
fn tags_of(target: &str) -> u32 {
    TAGS.iter()
        .filter(|(.., about)| *about == Some(target))
        .fold(0, |bits, (tag, ..)| bits | tag_bits(&[*tag]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_tag_of_their_target() {
        assert_eq!(tags_of(log::ICE), tag_bits(&[WorkerLogTag::Ice]));
        assert_eq!(tags_of(log::SCTP), tag_bits(&[WorkerLogTag::Sctp]));
        assert_eq!(tags_of("tureen_net::net"), 0);
        assert_eq!(tags_of("my_application::rtp"), 0);
    }

    #[test]
    fn names_are_those_of_the_library() {
        for (index, (tag, name, _)) in TAGS.iter().enumerate() {
            assert_eq!((*tag as usize, name.parse()), (index, Ok(*tag)));
            assert_eq!(format!("{tag:?}").to_lowercase(), *name);
        }
        assert_eq!("WARN".parse(), Ok(WorkerLogLevel::Warn));
        assert_eq!("chicken".parse::<WorkerLogLevel>(), Err(UnknownName));
        assert_eq!("chicken".parse::<WorkerLogTag>(), Err(UnknownName));
    }
}
