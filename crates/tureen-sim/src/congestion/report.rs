//! Tables and plots of the page about congestion control.

use std::fmt::Write;
use std::time::Duration;

use super::svg::{Line, Plot};
use super::{Outcome, Scenario};

/// Table with a row for each scenario.
pub fn table(outcomes: &[(Scenario, Outcome)]) -> String {
    let mut table = String::from(
        "| link | 85 % used after | share used | queue p95 | loss made | padding | switches |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (scenario, outcome) in outcomes {
        let Cells { time, share, queue, loss, padding, switches } = Cells::new(outcome);
        let name = scenario.name;
        writeln!(table, "| {name} | {time} | {share} | {queue} | {loss} | {padding} | {switches} |")
            .expect("writing to a string never fails");
    }
    table
}

/// Table that compares two congestion controls. The outcomes of each are of several seeds; a cell contains the first
/// one's median, then the second one's.
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
        .expect("writing to a string never fails");
    }
    table
}

/// Cells of a row, from one outcome.
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
            loss: format!("{:.2} %", outcome.queue_loss * 100.0),
            padding: format!("{:.1} %", outcome.padding * 100.0),
            switches: outcome.switches,
        }
    }
}

/// Outcome with the median of each figure, and without samples.
fn median(outcomes: &[Outcome]) -> Outcome {
    fn of<T: PartialOrd>(outcomes: &[Outcome], figure: impl Fn(&Outcome) -> T) -> T {
        let mut figures: Vec<_> = outcomes.iter().map(figure).collect();
        figures.sort_by(|a, b| a.partial_cmp(b).expect("figures are no NaN"));
        figures.swap_remove(figures.len() / 2)
    }
    Outcome {
        samples: Vec::new(),
        // A flow that never uses the link sorts last.
        time_to_use: Some(of(outcomes, |o| o.time_to_use.unwrap_or(Duration::MAX)))
            .filter(|&time| time != Duration::MAX),
        share: of(outcomes, |o| o.share),
        queue_delay_p95: of(outcomes, |o| o.queue_delay_p95),
        queue_loss: of(outcomes, |o| o.queue_loss),
        padding: of(outcomes, |o| o.padding),
        switches: of(outcomes, |o| o.switches),
    }
}

/// File name of a scenario's plot.
pub fn plot_name(scenario: &Scenario) -> String {
    let words = scenario.name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    format!("{}.svg", words.collect::<Vec<_>>().join("-").to_lowercase())
}

/// Plot of a scenario as SVG.
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
