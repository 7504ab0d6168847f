//! Simulations of the congestion control alone: an encoder or a server's consumers, for a minute over a bottleneck.
//!
//! [`scenarios`] lists the links, [`run`] runs one scenario, and [`report`] writes the results as a page with plots:
//! `cargo run --release -p tureen-sim --example congestion`. [`run_with`] can run libwebrtc's congestion control
//! instead.

mod competitor;
mod controller;
mod flow;
mod reference;
pub mod report;
mod scenarios;
mod svg;

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use tureen_rtc::units::Bitrate;

use competitor::{Constant, Tcp};
pub use controller::Algorithm;
pub use flow::{ConsumerSource, Source};
use flow::{Flow, FlowStats};
pub use scenarios::scenarios;
use tureen_client::link::{Link, LinkConfig, Loss};

/// Time between samples of an [`Outcome`].
pub const SAMPLE: Duration = Duration::from_millis(200);
/// Fraction of a link's capacity from which on the link counts as used.
const USED: f64 = 0.85;

/// A simulation's settings.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Name in the tables.
    pub name: &'static str,
    /// Settings of the link, each from this second on.
    pub links: Vec<(u64, LinkConfig)>,
    /// Duration in seconds.
    pub seconds: u64,
    /// Source of the media.
    pub source: Source,
    /// Competing traffic.
    pub competition: Competition,
    /// True if the page contains a plot of the scenario.
    pub plotted: bool,
}

/// Competing traffic on the link.
#[derive(Clone, Debug)]
pub enum Competition {
    /// No competing traffic.
    None,
    /// Stream of a constant bitrate.
    Constant {
        /// Bitrate.
        rate: Bitrate,
        /// Seconds in which it is sent.
        on: Range<u64>,
    },
    /// TCP connection that takes as much as it can.
    Tcp {
        /// Seconds in which it is active.
        on: Range<u64>,
    },
    /// Second flow with the same source and the same congestion control.
    Same {
        /// Second at which it starts.
        from: u64,
    },
}

/// Results of a scenario.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Samples, one for each [`SAMPLE`].
    pub samples: Vec<Sample>,
    /// Time from the last change of the link until 85 % of its capacity were used for 600 ms, including these.
    pub time_to_use: Option<Duration>,
    /// Fraction of the capacity that is used from the fifth second on. Losses of the link and constant competing
    /// traffic are subtracted from the capacity.
    pub share: f64,
    /// 95th percentile of the queueing delay.
    pub queue_delay_p95: Duration,
    /// Fraction of packets that were dropped because the queue was full.
    pub queue_loss: f64,
    /// Fraction of bytes that were padding.
    pub padding: f64,
    /// Number of times that consumers changed their encoding.
    pub switches: u32,
}

/// Measurements of one [`SAMPLE`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Capacity of the link in bit/s.
    pub available: f64,
    /// Target bitrate at the end of the sample, in bit/s.
    pub target: f64,
    /// Bitrate of arriving packets in bit/s.
    pub delivered: f64,
    /// Queueing delay at the end of the sample, in milliseconds.
    pub queue_ms: f64,
}

/// Runs a scenario with Tureen's congestion control.
pub fn run(start: Instant, scenario: &Scenario, seed: u64) -> Outcome {
    run_with(start, scenario, &Algorithm::Tureen, seed).expect("only other programs fail")
}

/// Runs a scenario with a given congestion control. Fails if that is a program that cannot be run or gives an invalid
/// answer.
pub fn run_with(
    start: Instant,
    scenario: &Scenario,
    algorithm: &Algorithm,
    seed: u64,
) -> io::Result<Outcome> {
    let back = scenario.links[0].1.delay;
    let mut link = Link::new(scenario.links[0].1.clone(), seed);
    let mut flow = Flow::new(start, scenario.source.clone(), algorithm, seed)?;
    let mut competitors = Competitors::new(start, &scenario.competition, algorithm);
    let mut samples = Vec::new();
    for millis in 0..scenario.seconds * 1000 {
        let now = start + Duration::from_millis(millis);
        for (second, config) in &scenario.links[1..] {
            if millis == second * 1000 {
                link.configure(config.clone());
            }
        }
        competitors.step(now, millis / 1000, &mut link, back, seed)?;
        flow.step(now, &mut link, back)?;
        if (millis + 1) % SAMPLE.as_millis() as u64 == 0 {
            samples.push(Sample {
                available: available(scenario, millis / 1000),
                target: flow.controller.target().as_bps() as f64,
                delivered: std::mem::take(&mut flow.stats.arrived) as f64 * 8.0 / SAMPLE.as_secs_f64(),
                queue_ms: link.backlog(now).as_secs_f64() * 1000.0,
            });
        }
    }
    Ok(Outcome::new(scenario, samples, flow.stats))
}

/// Capacity of the link in a given second, in bit/s.
fn available(scenario: &Scenario, second: u64) -> f64 {
    let link = scenario.links.iter().rev().find(|(from, _)| *from <= second).map(|(_, link)| link);
    let Some(link) = link else { return 0.0 };
    let rate = link.rate.map_or(0.0, |rate| rate.as_bps() as f64);
    let loss = match link.loss {
        Loss::Random(loss) => loss,
        Loss::Bursts { begin, end } => begin / (begin + end),
    };
    let taken = match &scenario.competition {
        Competition::Constant { rate, on } if on.contains(&second) => rate.as_bps() as f64,
        _ => 0.0,
    };
    (rate - taken) * (1.0 - loss)
}

struct Competitors {
    competition: Competition,
    algorithm: Algorithm,
    constant: Option<Constant>,
    tcp: Option<Tcp>,
    same: Option<Flow>,
}

impl Competitors {
    fn new(now: Instant, competition: &Competition, algorithm: &Algorithm) -> Self {
        let mut all = Self {
            competition: competition.clone(),
            algorithm: algorithm.clone(),
            constant: None,
            tcp: None,
            same: None,
        };
        match competition {
            Competition::Constant { rate, .. } => all.constant = Some(Constant::new(now, *rate)),
            Competition::Tcp { .. } => all.tcp = Some(Tcp::new(now)),
            Competition::None | Competition::Same { .. } => {}
        }
        all
    }

    fn step(
        &mut self,
        now: Instant,
        second: u64,
        link: &mut Link,
        back: Duration,
        seed: u64,
    ) -> io::Result<()> {
        match &self.competition {
            Competition::Constant { on, .. } => {
                if let Some(constant) = &mut self.constant {
                    constant.step(now, on.contains(&second), link);
                }
            }
            Competition::Tcp { on } => {
                if let Some(tcp) = &mut self.tcp {
                    tcp.step(now, on.contains(&second), link, back);
                }
            }
            Competition::Same { from } if second >= *from => {
                let flow = match &mut self.same {
                    Some(flow) => flow,
                    none => {
                        let source = Source::Encoder(Bitrate::mbps(30));
                        none.insert(Flow::new(now, source, &self.algorithm, seed + 1)?)
                    }
                };
                flow.step(now, link, back)?;
            }
            Competition::None | Competition::Same { .. } => {}
        }
        Ok(())
    }
}

impl Outcome {
    fn new(scenario: &Scenario, samples: Vec<Sample>, mut stats: FlowStats) -> Self {
        let last_change = scenario.links.last().map_or(0, |(second, _)| *second);
        let wanted = wanted(scenario);
        let per_second = (Duration::from_secs(1).as_millis() / SAMPLE.as_millis()) as usize;
        const WINDOW: usize = 3;
        let from = last_change as usize * per_second;
        let uses = |window: &[Sample]| {
            let sum = |of: fn(&Sample) -> f64| window.iter().map(of).sum::<f64>();
            sum(|s| s.delivered) >= USED * sum(|s| s.available).min(wanted * window.len() as f64)
        };
        let time_to_use = samples[from..]
            .windows(WINDOW)
            .position(uses)
            .map(|position| SAMPLE * (position + WINDOW) as u32);
        let steady = &samples[5 * per_second..];
        let delivered: f64 = steady.iter().map(|s| s.delivered.min(s.available * 2.0)).sum();
        let available: f64 = steady.iter().map(|s| s.available.min(wanted)).sum();
        stats.queue_delays.sort_by(f32::total_cmp);
        let p95 = stats.queue_delays.get(stats.queue_delays.len() * 95 / 100).copied().unwrap_or(0.0);
        Self {
            samples,
            time_to_use,
            share: delivered / available,
            queue_delay_p95: Duration::from_secs_f32(p95 / 1000.0),
            queue_loss: stats.queue_dropped as f64 / stats.sent.max(1) as f64,
            padding: stats.padding as f64 / stats.bytes.max(1) as f64,
            switches: stats.switches,
        }
    }
}

/// Highest bitrate that the source can send, in bit/s.
fn wanted(scenario: &Scenario) -> f64 {
    match &scenario.source {
        Source::Encoder(max) => max.as_bps() as f64,
        Source::Consumers(consumers) => {
            let kbps: u64 = consumers.iter().filter_map(|consumer| consumer.encodings.last()).sum();
            // With headers below RTP, and audio.
            kbps as f64 * 1024.0 + 43_200.0
        }
    }
}
