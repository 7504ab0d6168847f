//! The result of a run as one page.

use std::fmt::Write as _;

use super::plot::{Line, Plot};
use super::summary::{ending, rows};
use super::{JoinReport, Report, RoomReport};
use crate::measure::{Point, Quantiles};
use crate::units::{bitrate, count, milliseconds, percent};

/// Rooms in the page's table. The JSON report has more.
const ROOMS_SHOWN: usize = 50;
/// Errors in the page's table.
const ERRORS_SHOWN: usize = 50;

const STYLE: &str = include_str!("style.css");

pub(super) fn page(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Load test of {url}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        url = escaped(&report.url)
    );
    header(&mut page, report);
    tiles(&mut page, report);
    thresholds(&mut page, report);
    plots(&mut page, report);
    summary(&mut page, report);
    joins(&mut page, &report.joins);
    rooms(&mut page, &report.rooms);
    errors(&mut page, report);
    setup(&mut page, report);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// Text with the characters that mean something in HTML replaced.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn header(page: &mut String, report: &Report) {
    let plan = &report.plan;
    let (class, verdict) = match (report.thresholds.is_empty(), report.passed()) {
        (true, _) => ("none", "no thresholds"),
        (false, true) => ("kept", "all thresholds kept"),
        (false, false) => ("missed", "a threshold was missed"),
    };
    let _ = writeln!(
        page,
        "<header>\n<h1>Load test</h1>\n<p class=\"verdict {class}\">{verdict}</p>\n<p>{} rooms of {} peers, {} of them \
         publishers, at <b>{}</b> for {}.</p>",
        count(plan.rooms.into()),
        plan.peers,
        plan.publishers,
        escaped(&report.url),
        milliseconds(report.duration_s * 1000.0),
    );
    if let Some(ending) = ending(report) {
        let _ = writeln!(page, "<p class=\"warning\">{ending}</p>");
    }
    if report.load.lateness.p99_ms > 10.0 {
        let _ = writeln!(
            page,
            "<p class=\"warning\">The load test made frames up to {} late (p99): it or its machine was overloaded, and \
             the figures say more of that than of the server.</p>",
            milliseconds(report.load.lateness.p99_ms)
        );
    }
    page.push_str("</header>\n");
}

fn tiles(page: &mut String, report: &Report) {
    let total = &report.total;
    let or_none = |quantiles: &Quantiles, value: f64| {
        if quantiles.count == 0 { "–".to_owned() } else { milliseconds(value) }
    };
    let received = total.bytes as f64 * 8.0 / report.duration_s.max(1e-3);
    let tiles = [
        ("one-way delay, p99", or_none(&total.delay, total.delay.p99_ms)),
        ("loss", percent(total.loss())),
        ("join time, p99", or_none(&report.joins.connected, report.joins.connected.p99_ms)),
        ("freezes", count(total.freezes)),
        ("received", bitrate(received)),
        ("joins", count(total.joins_completed)),
    ];
    page.push_str("<section class=\"tiles\">\n");
    for (name, value) in tiles {
        let _ = writeln!(page, "<div><b>{value}</b><span>{name}</span></div>");
    }
    page.push_str("</section>\n");
}

fn thresholds(page: &mut String, report: &Report) {
    if report.thresholds.is_empty() {
        return;
    }
    page.push_str("<section>\n<h2>Thresholds</h2>\n<ul class=\"thresholds\">\n");
    for verdict in &report.thresholds {
        let class = if verdict.passed { "kept" } else { "missed" };
        let _ = writeln!(page, "<li class=\"{class}\">{}</li>", escaped(&verdict.line()));
    }
    page.push_str("</ul>\n</section>\n");
}

fn plots(page: &mut String, report: &Report) {
    let series = &report.series;
    let line = |name: &'static str, value: fn(&Point) -> f64| Line {
        name,
        points: series.iter().map(|point| (point.at_s, value(point))).collect(),
    };
    let limit_of = |name: &str| {
        let verdict = report.thresholds.iter().find(|verdict| verdict.threshold == name);
        verdict.map(|verdict| (verdict.limit, "limit of p99"))
    };
    page.push_str("<section class=\"plots\">\n");
    let mut figure = |title: &str, x_axis: &str, y_axis: &str, lines: Vec<Line<'_>>, limit, log_x| {
        let plot = Plot { label: title, x_axis, y_axis, lines, limit, log_x };
        let _ = write!(page, "<figure>\n<figcaption>{title}</figcaption>\n{}</figure>\n", plot.to_html());
    };
    let mut over_time = |title: &str, y_axis: &str, lines: Vec<Line<'_>>, limit| {
        figure(title, "time in s", y_axis, lines, limit, false);
    };
    let delays = vec![
        line("p50", |point| point.delay_p50_ms),
        line("p95", |point| point.delay_p95_ms),
        line("p99", |point| point.delay_p99_ms),
    ];
    over_time("One-way delay of frames", "ms", delays, limit_of("max-delay-p99"));
    let rates =
        vec![line("received", |point| point.received_bps / 1e6), line("sent", |point| point.sent_bps / 1e6)];
    over_time("Bitrate", "Mbit/s", rates, None);
    let people = vec![line("peers", |point| point.peers), line("consumers", |point| point.consumers)];
    over_time("Peers and consumers", "number", people, None);
    over_time("Loss after retransmission", "%", vec![line("loss", |point| point.loss * 100.0)], None);
    let repairs = vec![
        line("packets asked for by NACK", |point| point.nacks_per_s),
        line("freezes", |point| point.freezes_per_s),
        line("joins", |point| point.joins_per_s),
    ];
    over_time("Events", "a second", repairs, None);
    let mut cores = vec![line("load test", |point| point.cpu)];
    if report.server.is_some() {
        cores.push(line("server", |point| point.server_cpu));
    }
    over_time("Processor time", "cores", cores, None);
    let lateness = vec![line("p99", |point| point.lateness_p99_ms)];
    over_time("Lateness of the load test itself", "ms", lateness, None);
    if report.server.is_some() {
        let memory = vec![line("resident", |point| point.server_rss / f64::from(1 << 20))];
        over_time("Memory of the server", "MiB", memory, None);
    }
    let curve = report.delay_curve.iter().map(|(ms, share)| (*ms, share * 100.0)).collect();
    let curve = vec![Line { name: "frames", points: curve }];
    figure("Distribution of the one-way delay", "ms, logarithmic", "% of frames at most", curve, None, true);
    page.push_str("</section>\n");
}

fn summary(page: &mut String, report: &Report) {
    page.push_str("<section>\n<h2>Summary</h2>\n<table class=\"summary\">\n");
    for (name, value) in rows(report) {
        let _ = writeln!(page, "<tr><th>{name}</th><td>{}</td></tr>", escaped(&value));
    }
    page.push_str("</table>\n</section>\n");
}

fn joins(page: &mut String, joins: &JoinReport) {
    page.push_str(
        "<section>\n<h2>Joins by phase</h2>\n<table>\n<tr><th>phase</th><th>joins</th><th>p50</th><th>p95</th>\
         <th>p99</th><th>max</th></tr>\n",
    );
    let phases = [
        ("TCP, TLS and WebSocket", &joins.websocket),
        ("capabilities, transports, join", &joins.transports),
        ("ICE and DTLS", &joins.ice_dtls),
        ("from the start until connected", &joins.connected),
        ("from the start until the first frame", &joins.first_frame),
    ];
    for (name, quantiles) in phases {
        let _ =
            writeln!(page, "<tr><th>{name}</th><td>{}</td>{}</tr>", count(quantiles.count), cells(quantiles));
    }
    page.push_str("</table>\n</section>\n");
}

fn cells(quantiles: &Quantiles) -> String {
    let values = [quantiles.p50_ms, quantiles.p95_ms, quantiles.p99_ms, quantiles.max_ms];
    let text = |value| if quantiles.count == 0 { "–".to_owned() } else { milliseconds(value) };
    values.map(|value| format!("<td>{}</td>", text(value))).concat()
}

fn rooms(page: &mut String, rooms: &[RoomReport]) {
    page.push_str(
        "<section>\n<h2>Rooms</h2>\n<table>\n<tr><th>room</th><th>joins</th><th>frames</th><th>delay p50</th><th>p95</th>\
         <th>p99</th><th>max</th><th>loss</th><th>freezes</th></tr>\n",
    );
    for RoomReport { room, totals } in rooms.iter().take(ROOMS_SHOWN) {
        let _ = writeln!(
            page,
            "<tr><th>{room}</th><td>{}</td><td>{}</td>{}<td>{}</td><td>{}</td></tr>",
            count(totals.joins_completed),
            count(totals.frames),
            cells(&totals.delay),
            percent(totals.loss()),
            count(totals.freezes),
        );
    }
    page.push_str("</table>\n");
    if rooms.len() > ROOMS_SHOWN {
        let _ = writeln!(page, "<p>The {ROOMS_SHOWN} rooms with the longest delay of {}.</p>", rooms.len());
    }
    page.push_str("</section>\n");
}

fn errors(page: &mut String, report: &Report) {
    if report.errors.is_empty() {
        return;
    }
    page.push_str("<section>\n<h2>Errors</h2>\n<table>\n<tr><th>error</th><th>times</th></tr>\n");
    for error in report.errors.iter().take(ERRORS_SHOWN) {
        let text = escaped(&error.error);
        let _ = writeln!(page, "<tr><th>{text}</th><td>{}</td></tr>", count(error.count));
    }
    page.push_str("</table>\n</section>\n");
}

fn setup(page: &mut String, report: &Report) {
    let setup = serde_json::json!({
        "plan": report.plan,
        "media": report.media,
        "network": report.network,
        "threads": report.load.threads,
        "started_at_unix_s": report.started_at_unix_s,
        "tool": report.tool,
    });
    let text = serde_json::to_string_pretty(&setup).unwrap_or_default();
    let _ = writeln!(
        page,
        "<section>\n<details><summary>Setup</summary>\n<pre>{}</pre>\n</details>\n\
         <p class=\"note\">Delays are from the making of a frame to the arrival of its last packet, by one machine's clock. A \
         freeze is a gap between two frames of at least max(3 × usual gap, usual gap + 150 ms).</p>\n</section>",
        escaped(&text)
    );
}
