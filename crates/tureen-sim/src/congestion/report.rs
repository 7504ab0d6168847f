//! The page about the congestion control: a table of all scenarios, and plots.

use std::fmt::Write;
use std::time::Duration;

use super::svg::{Line, Plot};
use super::{Outcome, Scenario};

/// The table, a row for each scenario.
pub fn table(outcomes: &[(Scenario, Outcome)]) -> String {
    let mut table = String::from(
        "| link | 85 % used after | share used | queue p95 | loss made | padding | switches |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (scenario, outcome) in outcomes {
        let Cells { time, share, queue, loss, padding, switches } = Cells::new(outcome);
        let name = scenario.name;
        writeln!(table, "| {name} | {time} | {share} | {queue} | {loss} | {padding} | {switches} |")
            .expect("strings take everything");
    }
    table
}

/// A table of two congestion controls side by side, each given by its outcomes with several seeds: cells have the median
/// of the first, then that of the second.
pub fn comparison(outcomes: &[(Scenario, [Vec<Outcome>; 2])]) -> String {
    let mut table = String::from(
        "| link | 85 % used after | share used | queue p95 | loss made | padding |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (scenario, sides) in outcomes {
        let [ours, theirs] = sides.each_ref().map(|outcomes| Cells::new(&median(outcomes)));
        writeln!(
            table,
            "| {} | {} / {} | {} / {} | {} / {} | {} / {} | {} / {} |",
            scenario.name,
            ours.time,
            theirs.time,
            ours.share,
            theirs.share,
            ours.queue,
            theirs.queue,
            ours.loss,
            theirs.loss,
            ours.padding,
            theirs.padding,
        )
        .expect("strings take everything");
    }
    table
}

/// What the tables say of an outcome.
struct Cells {
    time: String,
    share: String,
    queue: String,
    loss: String,
    padding: String,
    switches: u32,
}

impl Cells {
    fn new(outcome: &Outcome) -> Self {
        let time = outcome.time_to_use;
        Self {
            time: time.map_or("–".to_owned(), |time| format!("{:.1} s", time.as_secs_f64())),
            share: format!("{:.0} %", outcome.share * 100.0),
            queue: format!("{} ms", outcome.queue_delay_p95.as_millis()),
            loss: format!("{:.2} %", outcome.loss_made * 100.0),
            padding: format!("{:.1} %", outcome.padding * 100.0),
            switches: outcome.switches,
        }
    }
}

/// The median of each figure; the samples are those of nobody.
fn median(outcomes: &[Outcome]) -> Outcome {
    fn of<T: PartialOrd>(outcomes: &[Outcome], figure: impl Fn(&Outcome) -> T) -> T {
        let mut figures: Vec<_> = outcomes.iter().map(figure).collect();
        figures.sort_by(|a, b| a.partial_cmp(b).expect("figures are no NaN"));
        figures.swap_remove(figures.len() / 2)
    }
    Outcome {
        samples: Vec::new(),
        // Never is later than ever.
        time_to_use: Some(of(outcomes, |o| o.time_to_use.unwrap_or(Duration::MAX)))
            .filter(|&time| time != Duration::MAX),
        share: of(outcomes, |o| o.share),
        queue_delay_p95: of(outcomes, |o| o.queue_delay_p95),
        loss_made: of(outcomes, |o| o.loss_made),
        padding: of(outcomes, |o| o.padding),
        switches: of(outcomes, |o| o.switches),
    }
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
