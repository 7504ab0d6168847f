//! The run while it lasts, for a terminal or for lines in a log.

use std::fmt::Write as _;
use std::time::Duration;

use crate::measure::{Point, Quantiles};
use crate::units::{bitrate, count, milliseconds, percent};

/// A run at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Since the start.
    pub elapsed: Duration,
    /// When it ends, since the start.
    pub end: Duration,
    /// All peers are not there yet.
    pub ramp_up: bool,
    /// Peers that are connected.
    pub peers: u64,
    /// Peers that are joining.
    pub joining: u64,
    /// Seats of all rooms.
    pub seats: u64,
    /// Joins that were completed, since the start.
    pub joins_completed: u64,
    /// Joins that failed, since the start.
    pub joins_failed: u64,
    /// Peers that were lost, since the start.
    pub lost_peers: u64,
    /// Loss after retransmission, since the start.
    pub loss: f64,
    /// Freezes, since the start.
    pub freezes: u64,
    /// One-way delay, since the start.
    pub delay: Quantiles,
    /// Time of joins, since the start.
    pub join: Quantiles,
    /// The last second.
    pub point: Point,
    /// Rooms in the last second, those with the longest delay first; not all of them.
    pub rooms: Vec<RoomLine>,
}

/// A room in the last second.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoomLine {
    /// Its number.
    pub room: u32,
    /// Peers that are connected.
    pub peers: u64,
    /// Payload received, in bits a second.
    pub received_bps: f64,
    /// One-way delay.
    pub delay: Quantiles,
    /// Freezes.
    pub freezes: u64,
}

impl Snapshot {
    /// One line, for a log.
    pub fn line(&self) -> String {
        let point = &self.point;
        format!(
            "{} peers {}/{} failed {} lost {} received {} sent {} delay p50 {} p99 {} loss {} nacks {:.0}/s freezes {} \
             join p99 {} cpu {:.2}",
            clock(self.elapsed),
            self.peers,
            self.seats,
            self.joins_failed,
            self.lost_peers,
            bitrate(point.received_bps),
            bitrate(point.sent_bps),
            milliseconds(point.delay_p50_ms),
            milliseconds(point.delay_p99_ms),
            percent(self.loss),
            point.nacks_per_s,
            self.freezes,
            milliseconds(self.join.p99_ms),
            point.cpu,
        )
    }

    /// A table of at most `height` lines of at most `width` characters. Each line ends with a line feed.
    pub fn table(&self, width: usize, height: usize) -> String {
        let point = &self.point;
        let phase = if self.ramp_up { "ramp-up" } else { "load" };
        let quantiles = |q: &Quantiles| match q.count {
            0 => "–".to_owned(),
            _ => format!("p50 {:>9}   p95 {:>9}   p99 {:>9}", ms(q.p50_ms), ms(q.p95_ms), ms(q.p99_ms)),
        };
        let second = Quantiles {
            count: u64::from(point.delay_p99_ms > 0.0),
            p50_ms: point.delay_p50_ms,
            p95_ms: point.delay_p95_ms,
            p99_ms: point.delay_p99_ms,
            max_ms: 0.0,
        };
        let mut lines = vec![
            format!("  {} of {}   {phase}", clock(self.elapsed), clock(self.end)),
            String::new(),
            format!(
                "  peers      {} of {}, {} joining, {} failed, {} lost",
                self.peers, self.seats, self.joining, self.joins_failed, self.lost_peers
            ),
            format!("  consumers  {:.0}", point.consumers),
            format!(
                "  bitrate    received {:>11}   sent {:>11}",
                bitrate(point.received_bps),
                bitrate(point.sent_bps)
            ),
            format!("  delay      {}   last second", quantiles(&second)),
            format!("             {}   whole run", quantiles(&self.delay)),
            format!("  join       {}", quantiles(&self.join)),
            format!(
                "  loss       {} after retransmission, {:.0} NACKs/s, {} freezes",
                percent(self.loss),
                point.nacks_per_s,
                count(self.freezes)
            ),
            format!(
                "  load test  {:.2} cores, frames late {} (p99)",
                point.cpu,
                milliseconds(point.lateness_p99_ms)
            ),
            String::new(),
            "  room   peers      received        p50        p95        p99  freezes".to_owned(),
        ];
        lines.extend(self.rooms.iter().map(|line| {
            format!(
                "  {:<6}{:>6}{:>14}{:>11}{:>11}{:>11}{:>9}",
                line.room,
                line.peers,
                bitrate(line.received_bps),
                ms(line.delay.p50_ms),
                ms(line.delay.p95_ms),
                ms(line.delay.p99_ms),
                line.freezes
            )
        }));
        let mut text = String::new();
        for line in lines.iter().take(height) {
            let cut: String = line.chars().take(width).collect();
            let _ = writeln!(text, "{}", cut.trim_end());
        }
        text
    }
}

fn ms(value: f64) -> String {
    milliseconds(value)
}

/// Minutes and seconds, with hours if there are any.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes:02}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let delay = Quantiles { count: 9, p50_ms: 1.5, p95_ms: 12.0, p99_ms: 1500.0, max_ms: 2000.0 };
        let point =
            Point { received_bps: 123e6, delay_p50_ms: 1.5, delay_p99_ms: 1500.0, ..Point::default() };
        let room = RoomLine { room: 3, peers: 8, received_bps: 5e6, delay, freezes: 2 };
        Snapshot {
            elapsed: Duration::from_secs(75),
            end: Duration::from_secs(3700),
            peers: 79,
            seats: 80,
            delay,
            point,
            rooms: vec![room; 30],
            ..Snapshot::default()
        }
    }

    #[test]
    fn tables_fit_the_terminal() {
        for (width, height) in [(0, 0), (1, 1), (20, 5), (80, 24), (200, 100)] {
            let table = snapshot().table(width, height);
            assert!(table.lines().count() <= height, "{height} lines");
            assert!(table.lines().all(|line| line.chars().count() <= width), "{width} columns:\n{table}");
        }
        let table = snapshot().table(80, 24);
        for part in ["01:15 of 1:01:40", "79 of 80", "123 Mbit/s", "1.50 s"] {
            assert!(table.contains(part), "{part}:\n{table}");
        }
    }

    #[test]
    fn a_line_is_one_line() {
        let line = snapshot().line();
        assert!(!line.contains('\n') && line.starts_with("01:15 peers 79/80"), "{line}");
    }
}
