//! The page about the congestion control: a table of all scenarios, and plots.

use std::fmt::Write;

use super::svg::{Line, Plot};
use super::{Outcome, Scenario};

/// The table, a row for each scenario.
pub fn table(outcomes: &[(Scenario, Outcome)]) -> String {
    let mut table = String::from(
        "| link | 85 % used after | share used | queue p95 | loss made | padding | switches |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (scenario, outcome) in outcomes {
        let time =
            outcome.time_to_use.map_or("–".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()));
        writeln!(
            table,
            "| {} | {time} | {:.0} % | {} ms | {:.2} % | {:.1} % | {} |",
            scenario.name,
            outcome.share * 100.0,
            outcome.queue_delay_p95.as_millis(),
            outcome.loss_made * 100.0,
            outcome.padding * 100.0,
            outcome.switches,
        )
        .expect("strings take everything");
    }
    table
}

/// The file name of a scenario's plot.
pub fn plot_name(scenario: &Scenario) -> String {
    let words = scenario.name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    format!("{}.svg", words.collect::<Vec<_>>().join("-").to_lowercase())
}

/// A scenario's plot.
pub fn plot(scenario: &Scenario, outcome: &Outcome) -> String {
    let values = |of: fn(&super::Sample) -> f64| outcome.samples.iter().map(of).collect::<Vec<_>>();
    let line = |name, colour, values, filled| Line { name, colour, values, filled };
    let plot = Plot {
        title: scenario.name,
        seconds: scenario.seconds as f64,
        unit: "Mbit/s",
        upper: vec![
            line("link", "#e4e9f2", values(|s| s.available / 1e6), true),
            line("delivered", "#2a9d5c", values(|s| s.delivered / 1e6), false),
            line("target", "#2b6cd4", values(|s| s.target / 1e6), false),
        ],
        lower: line("queue", "#d1495b", values(|s| s.queue_ms), false),
        lower_unit: "ms",
    };
    plot.to_svg()
}
