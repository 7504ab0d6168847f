//! Simulates the congestion control in all scenarios and prints the table. Given a directory, it also writes the table
//! between two marks of `congestion-control.md` there, and the plots: `cargo run --release -p tureen-sim --example
//! congestion -- docs`.
//!
//! With `--reference target/reference-gcc`, which `scripts/reference-gcc` builds, it also writes a table that compares
//! Tureen's congestion control with libwebrtc's.
#![allow(clippy::disallowed_methods, reason = "virtual time begins now")]

use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{env, fs, io};

use tureen_sim::congestion::{Algorithm, report, run, run_with, scenarios};

const SEED: u64 = 7;
/// Seeds of the comparison, which contains medians over them.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=5;
const BEGIN: &str = "<!-- written by the example \"congestion\" of tureen-sim -->\n";
const BEGIN_COMPARISON: &str = "<!-- written by the same example with --reference -->\n";
const END: &str = "<!-- end -->";

fn main() -> io::Result<()> {
    let start = Instant::now();
    let (directory, reference) = arguments()?;
    let outcomes: Vec<_> = scenarios()
        .into_iter()
        .map(|scenario| {
            let outcome = run(start, &scenario, SEED);
            (scenario, outcome)
        })
        .collect();
    let mut page = report::table(&outcomes);
    print!("{page}");
    let comparison = reference.map(|program| compare(start, program)).transpose()?;
    if let Some(comparison) = &comparison {
        print!("\n{comparison}");
    }
    let Some(directory) = directory else { return Ok(()) };
    let plots = directory.join("congestion-control");
    fs::create_dir_all(&plots)?;
    for (scenario, outcome) in outcomes.iter().filter(|(scenario, _)| scenario.plotted) {
        let name = report::plot_name(scenario);
        fs::write(plots.join(&name), report::plot(scenario, outcome))?;
        page.push_str(&format!("\n![{}](congestion-control/{name})\n", scenario.name));
    }
    let path = directory.join("congestion-control.md");
    replace(&path, BEGIN, &page)?;
    match comparison {
        Some(comparison) => replace(&path, BEGIN_COMPARISON, &comparison),
        None => {
            eprintln!("The comparison was left as it is: it needs --reference.");
            Ok(())
        }
    }
}

/// Directory and program, from the command line.
fn arguments() -> io::Result<(Option<PathBuf>, Option<PathBuf>)> {
    let (mut directory, mut reference) = (None, None);
    let mut arguments = env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--reference" {
            let program = arguments.next().ok_or_else(|| io::Error::other("--reference needs a program"))?;
            reference = Some(program.into());
        } else {
            directory = Some(argument.into());
        }
    }
    Ok((directory, reference))
}

/// Runs all scenarios with both congestion controls and returns the table.
fn compare(start: Instant, program: PathBuf) -> io::Result<String> {
    let algorithms = [Algorithm::Tureen, Algorithm::Reference(program)];
    let mut rows = Vec::new();
    for scenario in scenarios() {
        let mut sides = [Vec::new(), Vec::new()];
        for (side, algorithm) in sides.iter_mut().zip(&algorithms) {
            for seed in SEEDS {
                side.push(run_with(start, &scenario, algorithm, seed)?);
            }
        }
        rows.push((scenario, sides));
    }
    Ok(report::comparison(&rows))
}

/// Replaces the text between a mark and the following end mark.
fn replace(path: &Path, begin: &str, content: &str) -> io::Result<()> {
    let text = fs::read_to_string(path)?;
    let missing = || io::Error::other("the page has no marks");
    let (before, rest) = text.split_once(begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    fs::write(path, format!("{before}{begin}\n{content}\n{END}{after}"))
}
