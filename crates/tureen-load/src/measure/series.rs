//! Measures over time, in bounded memory.

use serde::{Deserialize, Serialize};

/// Values of one interval of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// End of the interval, in seconds since the start of the run.
    pub at_s: f64,
    /// Peers that have joined, at the end of the interval.
    pub peers: f64,
    /// Consumers, at the end of the interval.
    pub consumers: f64,
    /// Payload received, in bits a second.
    pub received_bps: f64,
    /// Payload sent, in bits a second.
    pub sent_bps: f64,
    /// One-way delay of frames, in milliseconds.
    pub delay_p50_ms: f64,
    /// As above.
    pub delay_p95_ms: f64,
    /// As above.
    pub delay_p99_ms: f64,
    /// Share of the expected packets that did not arrive even by retransmission, from 0 to 1.
    pub loss: f64,
    /// Packets asked for again, a second.
    pub nacks_per_s: f64,
    /// Freezes that ended, a second.
    pub freezes_per_s: f64,
    /// Joins that were completed, a second.
    pub joins_per_s: f64,
    /// 99 % of the frames were made at most this late, in milliseconds. Above a few, the load test itself is overloaded.
    pub lateness_p99_ms: f64,
    /// Processor time of this process, in cores.
    pub cpu: f64,
    /// Processor time of the watched server process, in cores; zero without one.
    pub server_cpu: f64,
    /// Resident memory of the watched server process, in bytes; zero without one.
    pub server_rss: f64,
}

/// Points at even distances. When there are too many, each two become one and the distance doubles.
#[derive(Clone, Debug)]
pub struct Series {
    points: Vec<Point>,
    /// Points given that make one of `points`.
    per_point: usize,
    /// Points given that do not make one yet.
    pending: Vec<Point>,
    max_points: usize,
}

impl Series {
    /// A series of at most `max_points`, at least two.
    pub fn new(max_points: usize) -> Self {
        Self { points: Vec::new(), per_point: 1, pending: Vec::new(), max_points: max_points.max(2) }
    }

    /// Adds the values of the next interval.
    pub fn push(&mut self, point: Point) {
        self.pending.push(point);
        if self.pending.len() < self.per_point {
            return;
        }
        self.points.push(merged(&self.pending));
        self.pending.clear();
        if self.points.len() >= self.max_points {
            self.points = self.points.chunks(2).map(merged).collect();
            self.per_point *= 2;
        }
    }

    /// All points, that of an unfinished interval included.
    pub fn points(&self) -> Vec<Point> {
        let unfinished = (!self.pending.is_empty()).then(|| merged(&self.pending));
        self.points.iter().copied().chain(unfinished).collect()
    }
}

/// One point for several of equal length: counts of the last, means of rates, the largest of quantiles and memory.
fn merged(points: &[Point]) -> Point {
    let Some(last) = points.last() else { return Point::default() };
    let mean = |value: fn(&Point) -> f64| points.iter().map(value).sum::<f64>() / points.len() as f64;
    let max = |value: fn(&Point) -> f64| points.iter().map(value).fold(0.0, f64::max);
    Point {
        at_s: last.at_s,
        peers: last.peers,
        consumers: last.consumers,
        received_bps: mean(|point| point.received_bps),
        sent_bps: mean(|point| point.sent_bps),
        delay_p50_ms: max(|point| point.delay_p50_ms),
        delay_p95_ms: max(|point| point.delay_p95_ms),
        delay_p99_ms: max(|point| point.delay_p99_ms),
        loss: mean(|point| point.loss),
        nacks_per_s: mean(|point| point.nacks_per_s),
        freezes_per_s: mean(|point| point.freezes_per_s),
        joins_per_s: mean(|point| point.joins_per_s),
        lateness_p99_ms: max(|point| point.lateness_p99_ms),
        cpu: mean(|point| point.cpu),
        server_cpu: mean(|point| point.server_cpu),
        server_rss: max(|point| point.server_rss),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(seconds: u32, max_points: usize) -> Vec<Point> {
        let mut series = Series::new(max_points);
        for second in 1..=seconds {
            let value = f64::from(second);
            series.push(Point {
                at_s: value,
                peers: value,
                received_bps: 100.0,
                delay_p99_ms: if second == 37 { 500.0 } else { 5.0 },
                ..Point::default()
            });
        }
        series.points()
    }

    #[test]
    fn short_runs_keep_every_second() {
        let points = series(50, 100);
        assert_eq!(points.len(), 50);
        assert!(points.iter().zip(1..).all(|(point, second)| point.at_s == f64::from(second)));
    }

    #[test]
    fn long_runs_stay_bounded_and_keep_their_peaks() {
        for seconds in [99, 100, 101, 1000, 86_400] {
            let points = series(seconds, 100);
            assert!((50..=100).contains(&points.len()), "{} points for {seconds} s", points.len());
            assert_eq!(points.last().unwrap().at_s, f64::from(seconds));
            assert!(points.iter().any(|point| point.delay_p99_ms == 500.0), "{seconds} s");
            assert!(points.iter().all(|point| point.received_bps == 100.0), "{seconds} s");
            assert!(points.is_sorted_by(|a, b| a.at_s < b.at_s));
        }
    }
}
