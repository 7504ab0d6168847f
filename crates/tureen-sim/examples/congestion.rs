//! Simulates the congestion control on all links, prints the table and, given a directory, writes it there as
//! `congestion-control.md` between two marks, with its plots:
//! `cargo run --release -p tureen-sim --example congestion -- docs`.
#![allow(clippy::disallowed_methods, reason = "virtual time begins now")]

use std::path::PathBuf;
use std::time::Instant;
use std::{env, fs, io};

use tureen_sim::congestion::{report, run, scenarios};

const SEED: u64 = 7;
const BEGIN: &str = "<!-- written by the example \"congestion\" of tureen-sim -->\n";
const END: &str = "<!-- end -->";

fn main() -> io::Result<()> {
    let start = Instant::now();
    let outcomes: Vec<_> = scenarios()
        .into_iter()
        .map(|scenario| {
            let outcome = run(start, &scenario, SEED);
            (scenario, outcome)
        })
        .collect();
    let mut page = report::table(&outcomes);
    print!("{page}");
    let Some(directory) = env::args_os().nth(1).map(PathBuf::from) else { return Ok(()) };
    let plots = directory.join("congestion-control");
    fs::create_dir_all(&plots)?;
    for (scenario, outcome) in outcomes.iter().filter(|(scenario, _)| scenario.plotted) {
        let name = report::plot_name(scenario);
        fs::write(plots.join(&name), report::plot(scenario, outcome))?;
        page.push_str(&format!("\n![{}](congestion-control/{name})\n", scenario.name));
    }
    let path = directory.join("congestion-control.md");
    let text = fs::read_to_string(&path)?;
    let missing = || io::Error::other("the page has no marks");
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    fs::write(&path, format!("{before}{BEGIN}\n{page}\n{END}{after}"))
}
