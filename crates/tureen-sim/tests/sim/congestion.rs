//! The congestion control alone, on links of all kinds. `docs/congestion-control.md` has what comes of each.

use std::time::{Duration, Instant};

use tureen_sim::congestion::{Competition, Outcome, Scenario, run, scenarios};

/// Runs the scenarios whose names contain one of these, with a few seeds.
fn outcomes(names: &[&str]) -> Vec<(String, Outcome)> {
    let start = Instant::now();
    let chosen =
        scenarios().into_iter().filter(|scenario| names.iter().any(|name| scenario.name.contains(name)));
    let outcomes: Vec<_> = chosen
        .flat_map(|scenario| [1, 2, 3].map(|seed| (scenario.clone(), seed)))
        .map(|(scenario, seed)| (format!("{}, seed {seed}", scenario.name), run(start, &scenario, seed)))
        .collect();
    assert!(outcomes.len() >= 3 * names.len(), "no such scenario: {names:?}");
    outcomes
}

fn assert_all(names: &[&str], holds: impl Fn(&Outcome) -> bool) {
    for (name, outcome) in outcomes(names) {
        let Outcome { time_to_use, share, queue_delay_p95, loss_made, padding, switches, .. } = &outcome;
        assert!(
            holds(&outcome),
            "{name}: used after {time_to_use:?}, share {share:.2}, queue {queue_delay_p95:?}, loss {loss_made:.4}, \
             padding {padding:.3}, {switches} switches"
        );
    }
}

fn used_within(outcome: &Outcome, limit: Duration) -> bool {
    outcome.time_to_use.is_some_and(|time| time <= limit)
}

#[test]
fn fixed_links_are_used_soon_and_without_long_queues() {
    assert_all(&["0.3 Mbit/s", "1 Mbit/s", "5 Mbit/s", "20 Mbit/s"], |outcome| {
        let plain = !matches!(outcome.switches, 1..);
        !plain || used_within(outcome, Duration::from_secs(3)) && outcome.share > 0.6
    });
}

#[test]
fn drops_and_rises_of_the_capacity_are_followed() {
    assert_all(&["2 → 0.5", "0.5 → 2 Mbit/s", "3 → 0.7 → 3"], |outcome| {
        used_within(outcome, Duration::from_secs(5))
            && outcome.share > 0.8
            && outcome.queue_delay_p95 < Duration::from_millis(260)
            && outcome.loss_made < 0.02
    });
}

#[test]
fn loss_that_the_link_has_anyway_does_not_stop_the_sender() {
    assert_all(&["1 % loss", "2 % loss", "5 % loss", "10 % loss", "bursts"], |outcome| {
        outcome.share > 0.6 && outcome.loss_made < 0.01
    });
}

#[test]
fn jitter_is_not_taken_for_congestion() {
    assert_all(&["jitter"], |outcome| outcome.share > 0.6 && outcome.loss_made < 0.01);
}

#[test]
fn bufferbloat_is_not_caused() {
    assert_all(&["bufferbloat"], |outcome| {
        outcome.share > 0.75 && outcome.queue_delay_p95 < Duration::from_millis(200)
    });
}

#[test]
fn competitors_neither_starve_nor_are_starved() {
    let start = Instant::now();
    for scenario in scenarios().iter().filter(|s| !matches!(s.competition, Competition::None)) {
        let outcome = run(start, scenario, 1);
        let during = share_between(scenario, &outcome, 25..40);
        assert!((0.1..0.95).contains(&during), "{}: {during:.2} while there is another", scenario.name);
    }
}

/// Part of the whole link that was used in these seconds.
fn share_between(scenario: &Scenario, outcome: &Outcome, seconds: std::ops::Range<usize>) -> f64 {
    let rate = scenario.links[0].1.rate.expect("competition is for a rate").as_bps() as f64;
    let samples = &outcome.samples[seconds.start * 5..seconds.end * 5];
    samples.iter().map(|sample| sample.delivered).sum::<f64>() / samples.len() as f64 / rate
}

#[test]
fn capped_consumer_falls_to_the_layer_below_and_comes_back() {
    let start = Instant::now();
    let scenario = scenarios().into_iter().find(|s| s.name.contains("cap 500")).expect("in the list");
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
