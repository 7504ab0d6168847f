//! The congestion control alone, over links of many kinds. `docs/congestion-control.md` has the results.
#![expect(clippy::disallowed_methods, reason = "virtual time begins now")]

use std::time::{Duration, Instant};

use tureen_sim::congestion::{Competition, Outcome, Scenario, run, scenarios};

/// Runs the chosen scenarios, each with several seeds.
fn assert_all(chosen: impl Fn(&str) -> bool, holds: impl Fn(&Outcome) -> bool) {
    let start = Instant::now();
    let chosen: Vec<_> = scenarios().into_iter().filter(|scenario| chosen(scenario.name)).collect();
    assert!(!chosen.is_empty());
    for (scenario, seed) in chosen.iter().flat_map(|scenario| [1, 2, 3].map(|seed| (scenario, seed))) {
        let outcome = run(start, scenario, seed);
        let Outcome { time_to_use, share, queue_delay_p95, queue_loss, padding, .. } = &outcome;
        assert!(
            holds(&outcome),
            "{}, seed {seed}: used after {time_to_use:?}, share {share:.2}, queue {queue_delay_p95:?}, \
             loss {queue_loss:.4}, padding {padding:.3}",
            scenario.name,
        );
    }
}

fn used_within(outcome: &Outcome, limit: Duration) -> bool {
    outcome.time_to_use.is_some_and(|time| time <= limit)
}

#[test]
fn constant_links_are_used_soon_and_without_long_queues() {
    let fixed = |name: &str| name.ends_with(" Mbit/s") && name.len() <= "0.3 Mbit/s".len();
    assert_all(fixed, |outcome| {
        used_within(outcome, Duration::from_secs(3))
            && outcome.share > 0.85
            && outcome.queue_delay_p95 < Duration::from_millis(250)
            && outcome.queue_loss < 0.01
            && outcome.padding < 0.03
    });
}

#[test]
fn changes_of_the_capacity_are_followed() {
    assert_all(
        |name| name.contains('→') && !name.contains("consumers"),
        |outcome| {
            used_within(outcome, Duration::from_secs(5))
                && outcome.share > 0.8
                && outcome.queue_delay_p95 < Duration::from_millis(260)
                && outcome.queue_loss < 0.02
        },
    );
}

#[test]
fn random_loss_does_not_stop_the_sender() {
    assert_all(|name| name.contains("loss"), |outcome| outcome.share > 0.6 && outcome.queue_loss < 0.01);
}

#[test]
fn jitter_is_not_mistaken_for_congestion() {
    assert_all(|name| name.contains("jitter"), |outcome| outcome.share > 0.6 && outcome.queue_loss < 0.01);
}

#[test]
fn bufferbloat_is_not_caused() {
    assert_all(
        |name| name.contains("bufferbloat"),
        |outcome| outcome.share > 0.75 && outcome.queue_delay_p95 < Duration::from_millis(200),
    );
}

#[test]
fn flow_and_competitors_share_the_link() {
    let start = Instant::now();
    for scenario in scenarios().iter().filter(|s| !matches!(s.competition, Competition::None)) {
        let outcome = run(start, scenario, 1);
        let during = share_between(scenario, &outcome, 25..40);
        assert!((0.1..0.95).contains(&during), "{}: {during:.2} with a competitor", scenario.name);
    }
}

#[test]
fn queue_of_a_competitor_is_drained() {
    let name = |name: &str| name.starts_with("1 Mbit/s of 2 taken");
    assert_all(name, |outcome| {
        let taken = &outcome.samples[24 * 5..40 * 5];
        let queue = taken.iter().map(|sample| sample.queue_ms).sum::<f64>() / taken.len() as f64;
        outcome.queue_loss < 0.008 && queue < 200.0
    });
}

/// Fraction of the whole link that was used in these seconds.
fn share_between(scenario: &Scenario, outcome: &Outcome, seconds: std::ops::Range<usize>) -> f64 {
    let rate = scenario.links[0].1.rate.expect("competition is for a rate").as_bps() as f64;
    let samples = &outcome.samples[seconds.start * 5..seconds.end * 5];
    samples.iter().map(|sample| sample.delivered).sum::<f64>() / samples.len() as f64 / rate
}

#[test]
fn consumer_on_a_limited_link_gets_a_lower_layer_and_recovers() {
    let start = Instant::now();
    let scenario = scenarios().into_iter().find(|s| s.name.contains("cap 500")).expect("the scenario exists");
    for seed in 1..=5 {
        let outcome = run(start, &scenario, seed);
        let mean = |seconds: std::ops::Range<usize>| {
            let samples = &outcome.samples[seconds.start * 5..seconds.end * 5];
            samples.iter().map(|sample| sample.delivered).sum::<f64>() / samples.len() as f64
        };
        assert!(mean(15..20) > 1.1e6, "seed {seed}: all of it before the cap, {}", mean(15..20));
        assert!(mean(25..40) > 350e3, "seed {seed}: the middle layer under the cap, {}", mean(25..40));
        assert!(mean(45..50) > 1.1e6, "seed {seed}: all of it again after 5 s, {}", mean(45..50));
        assert!(outcome.switches <= 12, "seed {seed}: {} switches", outcome.switches);
    }
}
