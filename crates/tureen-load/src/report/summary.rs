//! The result of a run as lines of text.

use std::fmt::Write as _;

use super::{Outcome, Report};
use crate::measure::Quantiles;
use crate::units::{bitrate, bytes, count, milliseconds, percent};

/// Rows of names and values, as the terminal and the page show them.
pub(super) fn rows(report: &Report) -> Vec<(&'static str, String)> {
    let total = &report.total;
    let seconds = report.duration_s.max(1e-3);
    let mut rows = vec![
        ("joins", joins(report)),
        ("join time", quantiles(&report.joins.connected)),
        ("first frame", quantiles(&report.joins.first_frame)),
        ("one-way delay", quantiles(&total.delay)),
        (
            "loss",
            format!(
                "{} ({} before retransmission) of {} packets",
                percent(total.loss()),
                percent(total.loss_before_repair()),
                count(total.packets_expected)
            ),
        ),
        (
            "received",
            format!("{} in {} frames", bitrate(total.bytes as f64 * 8.0 / seconds), count(total.frames)),
        ),
        (
            "sent",
            format!(
                "{} in {} frames",
                bitrate(total.bytes_sent as f64 * 8.0 / seconds),
                count(total.frames_sent)
            ),
        ),
        ("NACKs", format!("{} packets", count(total.packets_nacked))),
        (
            "freezes",
            format!(
                "{}, {} of the time",
                count(total.freezes),
                percent(total.frozen_s / total.video_s.max(total.frozen_s).max(1e-9))
            ),
        ),
    ];
    rows.push((
        "this process",
        format!(
            "{:.2} cores, {} memory, frames late {}",
            report.load.cpu_s / seconds,
            bytes(report.load.max_rss as f64),
            quantiles(&report.load.lateness)
        ),
    ));
    if let Some(server) = &report.server {
        rows.push((
            "server",
            format!(
                "{:.2} cores, memory {} at first, {} at most, {} at last",
                server.cpu_s / seconds,
                bytes(server.first_rss as f64),
                bytes(server.max_rss as f64),
                bytes(server.last_rss as f64)
            ),
        ));
    }
    rows
}

fn joins(report: &Report) -> String {
    let total = &report.total;
    let mut text =
        format!("{} completed, {} failed", count(total.joins_completed), count(total.joins_failed));
    let others = [
        (total.left, "left"),
        (total.vanished, "vanished"),
        (total.reconnected, "reconnected"),
        (total.lost_peers, "lost"),
    ];
    for (number, what) in others.into_iter().filter(|(number, _)| *number > 0) {
        let _ = write!(text, ", {} {what}", count(number));
    }
    text
}

pub(super) fn quantiles(quantiles: &Quantiles) -> String {
    if quantiles.count == 0 {
        return "–".to_owned();
    }
    format!(
        "p50 {}, p95 {}, p99 {}, max {}",
        milliseconds(quantiles.p50_ms),
        milliseconds(quantiles.p95_ms),
        milliseconds(quantiles.p99_ms),
        milliseconds(quantiles.max_ms)
    )
}

/// How the run ended, if not as planned.
pub(super) fn ending(report: &Report) -> Option<&'static str> {
    match report.outcome {
        Outcome::Completed => None,
        Outcome::Interrupted => Some("The run was interrupted before its end."),
        Outcome::ServerLost => Some("The server was lost: no peer was connected, and none could join."),
    }
}

pub(super) fn summary(report: &Report) -> String {
    let plan = &report.plan;
    let mut text = format!(
        "\n{} rooms of {} peers ({} publishers) at {} for {:.0} s\n\n",
        plan.rooms, plan.peers, plan.publishers, report.url, report.duration_s
    );
    for (name, value) in rows(report) {
        let _ = writeln!(text, "  {name:<14} {value}");
    }
    if !report.errors.is_empty() {
        text.push_str("\nErrors:\n");
        for error in report.errors.iter().take(10) {
            let _ = writeln!(text, "  {} × {}", count(error.count), error.error);
        }
        if report.errors.len() > 10 {
            let _ = writeln!(text, "  and {} more kinds", report.errors.len() - 10);
        }
    }
    if !report.thresholds.is_empty() {
        text.push_str("\nThresholds:\n");
        for verdict in &report.thresholds {
            let _ = writeln!(text, "  {}", verdict.line());
        }
    }
    if let Some(ending) = ending(report) {
        let _ = writeln!(text, "\n{ending}");
    }
    text
}
