use super::*;
use crate::measure::Durations;
use std::time::Duration;

/// A report of a minute with something in each field.
fn report() -> Report {
    let mut delay = Durations::default();
    (1..2000).for_each(|step| delay.record(Duration::from_micros(step * step / 100)));
    let totals = Totals {
        joins_completed: 12,
        frames: 1999,
        bytes: 5_000_000,
        delay: delay.quantiles(),
        packets_expected: 10_000,
        packets_lost: 3,
        packets_repaired: 97,
        ..Totals::default()
    };
    let series = (1..=60).map(|second| Point {
        at_s: f64::from(second),
        peers: f64::from(second.min(12)),
        received_bps: 1e6 * f64::from(second),
        delay_p99_ms: f64::from(second % 7),
        ..Point::default()
    });
    let verdict = |threshold: &str, limit, measured: Option<f64>, passed| Verdict {
        threshold: threshold.to_owned(),
        limit,
        measured,
        passed,
    };
    Report {
        version: REPORT_VERSION,
        tool: "tureen load 0".to_owned(),
        url: "https://a.example/<script>alert(1)</script>".to_owned(),
        started_at_unix_s: 1.7e9,
        duration_s: 60.0,
        outcome: Outcome::Interrupted,
        plan: Plan::default(),
        media: MediaReport::default(),
        network: Some(NetworkReport::default()),
        total: totals.clone(),
        joins: JoinReport { connected: delay.quantiles(), ..JoinReport::default() },
        rooms: (0..70).map(|room| RoomReport { room, totals: totals.clone() }).collect(),
        series: series.collect(),
        delay_curve: delay.curve(),
        errors: vec![ErrorCount { error: "<img src=x onerror=alert(1)>".to_owned(), count: 3 }],
        thresholds: vec![
            verdict("max-loss", 0.01, Some(0.0003), true),
            verdict("max-delay-p99", 1.0, None, false),
        ],
        load: LoadReport::default(),
        server: Some(ServerReport::default()),
    }
}

#[test]
fn json_is_read_back() {
    let report = report();
    let again = Report::from_json(&report.to_json()).unwrap();
    assert_eq!((again.outcome, &again.total.frames), (report.outcome, &report.total.frames));
    assert_eq!((again.rooms.len(), again.series.len(), &again.errors), (70, 60, &report.errors));
    assert_eq!(again.plan, report.plan);
    assert!(!again.passed());
}

#[test]
fn what_is_no_report_is_refused() {
    for text in ["", "{}", "[]", "{\"version\":1}", "nonsense"] {
        assert!(matches!(Report::from_json(text), Err(ReportError::Json(_))), "{text}");
    }
    let later = report().to_json().replacen("\"version\": 1", "\"version\": 2", 1);
    assert_eq!(Report::from_json(&later).unwrap_err().to_string(), "report of version 2, only 1 can be read");
}

#[test]
fn texts_of_servers_are_no_html() {
    let html = report().to_html();
    assert!(!html.contains("<script") && !html.contains("<img"), "escaped");
    assert!(html.contains("&lt;img src=x") && html.contains("&lt;script&gt;"));
}

#[test]
fn the_page_needs_nothing_else_and_shows_everything() {
    let html = report().to_html();
    for part in ["src=", "href=", "@import", "url("] {
        assert!(!html.replace("img src=x", "").contains(part), "{part}");
    }
    for part in [
        "a threshold was missed",
        "interrupted before its end",
        "The 50 rooms with the longest delay of 70",
        "nothing was measured",
        "One-way delay of frames",
        "prefers-color-scheme: dark",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("NaN") && !html.contains(">inf"));
}

#[test]
fn the_summary_names_thresholds_errors_and_units() {
    let summary = report().summary();
    for part in
        ["MISSED: --max-delay-p99", "3 × <img", "0.030 %", "12 completed", "1.00 % before retransmission"]
    {
        assert!(summary.contains(part), "{part}:\n{summary}");
    }
}
