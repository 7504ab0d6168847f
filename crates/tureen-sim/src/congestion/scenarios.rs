//! Scenarios of the congestion control.

use std::time::Duration;

use tureen_rtc::units::Bitrate;

use super::flow::{ConsumerSource, Source};
use super::{Competition, Scenario};
use tureen_client::link::{LinkConfig, Loss};

const DELAY: Duration = Duration::from_millis(25);

/// Link with this rate, a delay of 25 ms in each direction, and a queue of 300 ms.
fn link(kbps: u64) -> LinkConfig {
    let rate = Bitrate::kbps(kbps);
    LinkConfig {
        rate: Some(rate),
        queue: rate.bytes_in(Duration::from_millis(300)).max(6000) as usize,
        ..LinkConfig::with_delay(DELAY)
    }
}

fn scenario(name: &'static str, link: LinkConfig) -> Scenario {
    Scenario {
        name,
        links: vec![(0, link)],
        seconds: 60,
        source: Source::Encoder(Bitrate::mbps(30)),
        competition: Competition::None,
        plotted: false,
    }
}

/// Scenario whose link changes its rate at the given seconds.
fn steps(name: &'static str, rates: &[(u64, u64)]) -> Scenario {
    let links = rates.iter().map(|&(second, kbps)| (second, link(kbps))).collect();
    Scenario { links, plotted: true, ..scenario(name, link(1000)) }
}

fn consumers(weights: &[u8]) -> Source {
    let consumer = |&weight| ConsumerSource { weight, encodings: vec![100, 400, 1200] };
    Source::Consumers(weights.iter().map(consumer).collect())
}

/// All scenarios, in the order of the table.
pub fn scenarios() -> Vec<Scenario> {
    let lossy = |percent: f64| LinkConfig { loss: Loss::Random(percent / 100.0), ..link(2000) };
    let jittery =
        |millis, reorder| LinkConfig { jitter: Duration::from_millis(millis), reorder, ..link(2000) };
    let queue = |kbps, millis| LinkConfig {
        queue: Bitrate::kbps(kbps).bytes_in(Duration::from_millis(millis)) as usize,
        ..link(kbps)
    };
    vec![
        scenario("0.3 Mbit/s", link(300)),
        scenario("0.5 Mbit/s", link(500)),
        Scenario { plotted: true, ..scenario("1 Mbit/s", link(1000)) },
        scenario("2 Mbit/s", link(2000)),
        scenario("5 Mbit/s", link(5000)),
        scenario("10 Mbit/s", link(10_000)),
        Scenario { plotted: true, ..scenario("20 Mbit/s", link(20_000)) },
        steps("2 → 0.5 Mbit/s", &[(0, 2000), (20, 500)]),
        steps("0.5 → 2 Mbit/s", &[(0, 500), (20, 2000)]),
        steps("3 → 0.7 → 3 Mbit/s", &[(0, 3000), (20, 700), (40, 3000)]),
        steps("5 → 1 → 5 → 2 Mbit/s", &[(0, 5000), (15, 1000), (30, 5000), (45, 2000)]),
        scenario("1 % loss", lossy(1.0)),
        scenario("2 % loss", lossy(2.0)),
        Scenario { plotted: true, ..scenario("5 % loss", lossy(5.0)) },
        scenario("10 % loss", lossy(10.0)),
        scenario(
            "loss in bursts of 5",
            LinkConfig { loss: Loss::Bursts { begin: 0.004, end: 0.2 }, ..link(2000) },
        ),
        scenario("10 ms jitter", jittery(10, false)),
        scenario("30 ms jitter", jittery(30, false)),
        scenario("20 ms jitter, reordered", jittery(20, true)),
        Scenario { plotted: true, ..scenario("bufferbloat: 1 Mbit/s, 2 s queue", queue(1000, 2000)) },
        scenario("short queue: 2 Mbit/s, 50 ms", queue(2000, 50)),
        Scenario {
            competition: Competition::Constant { rate: Bitrate::kbps(1000), on: 20..40 },
            plotted: true,
            ..scenario("1 Mbit/s of 2 taken, 20–40 s", link(2000))
        },
        Scenario {
            competition: Competition::Tcp { on: 20..40 },
            plotted: true,
            ..scenario("TCP download on 3 Mbit/s, 20–40 s", link(3000))
        },
        Scenario {
            competition: Competition::Same { from: 20 },
            plotted: true,
            ..scenario("second call on 3 Mbit/s from 20 s", link(3000))
        },
        Scenario {
            source: consumers(&[1]),
            plotted: true,
            ..steps("consumer of 100/400/1200, cap 500, 20–40 s", &[(0, 5000), (20, 500), (40, 5000)])
        },
        Scenario {
            source: consumers(&[1, 2, 4]),
            plotted: true,
            ..steps("3 consumers, priority 1, 2, 4; 2 → 1 Mbit/s", &[(0, 2000), (30, 1000)])
        },
    ]
}
