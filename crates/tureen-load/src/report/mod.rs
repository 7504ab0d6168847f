//! The result of a run: JSON, HTML, lines of text.

mod html;
mod live;
mod plot;
mod summary;
#[cfg(test)]
mod tests;
mod thresholds;

use serde::{Deserialize, Serialize};

pub use self::live::{RoomLine, Snapshot};
pub use self::thresholds::{Thresholds, Verdict};
use crate::measure::{Point, Quantiles};
use crate::plan::Plan;

/// Version of the JSON form. It changes when a field changes its meaning or goes; new fields may come without.
pub const REPORT_VERSION: u32 = 1;

/// Rooms that a report lists, those with the longest delay (p99) first.
pub const MAX_ROOMS: usize = 1000;

/// The result of a run. Its JSON form is the report file; a field's unit is in its name or its documentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// Name and version of the program.
    pub tool: String,
    /// The server, without anything secret.
    pub url: String,
    /// When the run began, in seconds since the Unix epoch.
    pub started_at_unix_s: f64,
    /// How long it lasted, ramp-up included.
    pub duration_s: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// Rooms and peers.
    pub plan: Plan,
    /// What publishers send.
    pub media: MediaReport,
    /// Faults of the peers' network paths; null without any.
    pub network: Option<NetworkReport>,
    /// All rooms together.
    pub total: Totals,
    /// Times of joins.
    pub joins: JoinReport,
    /// The same totals of each room, those with the longest delay first, at most [`MAX_ROOMS`].
    pub rooms: Vec<RoomReport>,
    /// Values over time: at first of each second, of longer intervals where a run is long.
    pub series: Vec<Point>,
    /// Distribution of the one-way delay: milliseconds, and the share of frames that took at most as long.
    pub delay_curve: Vec<(f64, f64)>,
    /// What went wrong, and how often; the kinds of errors are bounded.
    pub errors: Vec<ErrorCount>,
    /// Thresholds, each kept or missed.
    pub thresholds: Vec<Verdict>,
    /// This process.
    pub load: LoadReport,
    /// The watched server process; null without one.
    pub server: Option<ServerReport>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As planned.
    Completed,
    /// By a signal.
    Interrupted,
    /// No peer was connected any more, and none could join.
    ServerLost,
}

/// What publishers send.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MediaReport {
    /// Bitrates of the encodings of simulcast video, lowest first.
    pub simulcast_bps: Vec<u64>,
    /// Bitrate of video in one encoding.
    pub video_bps: u64,
    /// Frames of video a second.
    pub frame_rate: u32,
    /// Bitrate of audio.
    pub audio_bps: u64,
}

/// Faults of the path of each transport, in each direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkReport {
    /// Share of datagrams that are lost.
    pub loss: f64,
    /// Delay.
    pub delay_ms: f64,
    /// Random delay on top, up to this.
    pub jitter_ms: f64,
    /// Bitrate of the path; null is no limit.
    pub rate_bps: Option<u64>,
    /// Seed of the accidents.
    pub seed: u64,
}

/// Sums and distributions of one room or of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Joins that were completed: signalling done, transports connected.
    pub joins_completed: u64,
    /// Joins that failed.
    pub joins_failed: u64,
    /// Peers that left as planned.
    pub left: u64,
    /// Peers that fell silent as planned.
    pub vanished: u64,
    /// Peers that lost their connections and came back as planned.
    pub reconnected: u64,
    /// Peers whose connection ended unplanned.
    pub lost_peers: u64,
    /// Consumers, over the whole run.
    pub consumers: u64,
    /// Frames of video and packets of audio that were sent.
    pub frames_sent: u64,
    /// Bytes of these.
    pub bytes_sent: u64,
    /// Frames that could not be sent: the thread's queue or the stream's buffer was full.
    pub frames_not_sent: u64,
    /// Whole frames of video and packets of audio that were received.
    pub frames: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Frames that were not as they were made, or not made by a load test.
    pub frames_unknown: u64,
    /// From the making of a frame to the arrival of its last packet, by the clock of this machine.
    pub delay: Quantiles,
    /// Packets of received streams that should have come.
    pub packets_expected: u64,
    /// Those of them that came neither at first nor by retransmission.
    pub packets_lost: u64,
    /// Those of them that came by retransmission.
    pub packets_repaired: u64,
    /// Packets named in NACK messages to the server, repetitions included.
    pub packets_nacked: u64,
    /// Key frames that were requested by the receivers.
    pub key_frames_requested: u64,
    /// Key frames that the server requested of the publishers.
    pub key_frames_asked_of_publishers: u64,
    /// Gaps between two frames of a video stream of at least max(3 × usual gap, usual gap + 150 ms).
    pub freezes: u64,
    /// Seconds of all these gaps.
    pub frozen_s: f64,
    /// Seconds of all video streams from their first to their last frame.
    pub video_s: f64,
}

impl Totals {
    /// Share of packets that did not arrive even by retransmission.
    pub fn loss(&self) -> f64 {
        self.packets_lost as f64 / self.packets_expected.max(1) as f64
    }

    /// Share of packets that did not arrive at first.
    pub fn loss_before_repair(&self) -> f64 {
        (self.packets_lost + self.packets_repaired) as f64 / self.packets_expected.max(1) as f64
    }
}

/// Times of joins, by phase. Each phase begins where the one before ends, `connected` and `first_frame` at the very start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JoinReport {
    /// TCP, TLS and WebSocket.
    pub websocket: Quantiles,
    /// Capabilities, creation of the transports, `join`.
    pub transports: Quantiles,
    /// ICE and DTLS of the transports that are used, their signalling included.
    pub ice_dtls: Quantiles,
    /// From the start until all transports that are used are connected.
    pub connected: Quantiles,
    /// From the start until the first frame of another peer was whole.
    pub first_frame: Quantiles,
}

/// One room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomReport {
    /// Its number, from 0.
    pub room: u32,
    /// Its totals.
    #[serde(flatten)]
    pub totals: Totals,
}

/// An error and how often it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCount {
    /// Its text.
    pub error: String,
    /// How often.
    pub count: u64,
}

/// The process of the load test itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// I/O threads.
    pub threads: usize,
    /// Processor time.
    pub cpu_s: f64,
    /// Largest resident memory in bytes; zero where the system does not tell.
    pub max_rss: u64,
    /// How much later than planned frames were made. If that is long, the load test or its machine is overloaded, and the
    /// other figures say more of that than of the server.
    pub lateness: Quantiles,
}

/// The watched server process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerReport {
    /// Its process id.
    pub pid: u32,
    /// Processor time during the run.
    pub cpu_s: f64,
    /// Processor time until the ramp-up was over.
    pub ramp_up_cpu_s: f64,
    /// Resident memory in bytes at the start.
    pub first_rss: u64,
    /// Largest resident memory in bytes.
    pub max_rss: u64,
    /// Resident memory in bytes at the end.
    pub last_rss: u64,
    /// Open file descriptors at the start.
    pub first_descriptors: u64,
    /// Open file descriptors at the end.
    pub last_descriptors: u64,
}

/// Why a report can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It is no JSON, or lacks something.
    #[error("not a report: {0}")]
    Json(#[from] serde_json::Error),
    /// It is of another version.
    #[error("report of version {0}, only {REPORT_VERSION} can be read")]
    Version(u64),
}

impl Report {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// See [`ReportError`].
    pub fn from_json(json: &str) -> Result<Self, ReportError> {
        let value: serde_json::Value = serde_json::from_str(json)?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version != u64::from(REPORT_VERSION) => Err(ReportError::Version(version)),
            _ => Ok(serde_json::from_value(value)?),
        }
    }

    /// The JSON form, indented.
    pub fn to_json(&self) -> String {
        let mut json =
            serde_json::to_string_pretty(self).expect("a report has no map with keys that are no texts");
        json.push('\n');
        json
    }

    /// A page that needs nothing else: styles and plots are in it, scripts there are none.
    pub fn to_html(&self) -> String {
        html::page(self)
    }

    /// A summary for the terminal.
    pub fn summary(&self) -> String {
        summary::summary(self)
    }

    /// Whether all thresholds were kept.
    pub fn passed(&self) -> bool {
        self.thresholds.iter().all(|verdict| verdict.passed)
    }
}
