//! Line plots as inline SVG. Colours are CSS variables of the page, so that they follow its light or dark scheme.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;
/// Grid lines at most.
const MAX_TICKS: f64 = 6.0;

/// A plot of some lines over one axis.
pub(super) struct Plot<'a> {
    /// What is seen, for those who hear the page.
    pub(super) label: &'a str,
    /// Name and unit of the horizontal axis.
    pub(super) x_axis: &'a str,
    /// Unit of the vertical axis.
    pub(super) y_axis: &'a str,
    /// Lines, the first in the first colour.
    pub(super) lines: Vec<Line<'a>>,
    /// A horizontal line with a name, such as a threshold.
    pub(super) limit: Option<(f64, &'a str)>,
    /// The horizontal axis is logarithmic.
    pub(super) log_x: bool,
}

/// One line.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<(f64, f64)>,
}

/// Values of an axis and where they are drawn.
struct Scale {
    from: f64,
    to: f64,
    /// Where `from` and `to` are.
    start: f64,
    end: f64,
    log: bool,
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        let place = |value: f64| if self.log { value.max(1e-9).log10() } else { value };
        let (from, to) = (place(self.from), place(self.to));
        let share = if to > from { ((place(value) - from) / (to - from)).clamp(0.0, 1.0) } else { 0.0 };
        self.start + share * (self.end - self.start)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let powers = self.from.log10().floor() as i32..=self.to.log10().ceil() as i32;
            let ticks = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)));
            let ticks: Vec<_> = ticks.filter(|tick| (self.from..=self.to).contains(tick)).collect();
            // Only powers of ten if there are many.
            let is_power = |tick: &f64| (tick.log10() - tick.log10().round()).abs() < 1e-9;
            return if ticks.len() > 10 { ticks.into_iter().filter(is_power).collect() } else { ticks };
        }
        let step = step(self.to - self.from);
        let first = (self.from / step).ceil() as i64;
        (first..).map(|tick| tick as f64 * step).take_while(|tick| *tick <= self.to + step * 1e-6).collect()
    }
}

/// A round distance of grid lines.
fn step(span: f64) -> f64 {
    let rough = (span / MAX_TICKS).max(1e-9);
    let power = 10_f64.powf(rough.log10().floor());
    let digits = [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| digit * power >= rough * 0.999);
    digits.unwrap_or(10.0) * power
}

/// A label of a grid line, as short as its step allows.
fn tick_label(value: f64, step: f64) -> String {
    let decimals = if step >= 1.0 { 0 } else { (-step.log10()).ceil().clamp(0.0, 6.0) as usize };
    format!("{value:.decimals$}")
}

impl Plot<'_> {
    /// The plot with its legend.
    pub(super) fn to_html(&self) -> String {
        let (x, y) = self.scales();
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            super::html::escaped(self.label)
        );
        self.grid(&mut svg, &x, &y);
        for (index, line) in self.lines.iter().enumerate() {
            let mut path = String::new();
            for (at, (px, py)) in line.points.iter().enumerate() {
                let letter = if at == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{letter}{:.1} {:.1}", x.at(*px), y.at(*py));
            }
            if !path.is_empty() {
                let _ = writeln!(svg, "<path class=\"line c{}\" d=\"{path}\"/>", index % 4);
            }
        }
        if let Some((limit, name)) = self.limit {
            let at = y.at(limit);
            let right = WIDTH - RIGHT;
            let _ = writeln!(
                svg,
                "<path class=\"limit\" d=\"M{LEFT} {at:.1}H{right}\"/><text class=\"limit\" x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{}</text>",
                right - 4.0,
                if at < TOP + 14.0 { at + 14.0 } else { at - 5.0 },
                super::html::escaped(name)
            );
        }
        svg.push_str("</svg>\n");
        if self.lines.len() > 1 {
            svg.push_str("<p class=\"legend\">");
            for (index, line) in self.lines.iter().enumerate() {
                let name = super::html::escaped(line.name);
                let _ = write!(svg, "<span class=\"c{}\"><i></i>{name}</span> ", index % 4);
            }
            svg.push_str("</p>\n");
        }
        svg
    }

    fn scales(&self) -> (Scale, Scale) {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x_max = points().map(|(x, _)| *x).fold(0.0, f64::max);
        let x_min = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
        let highest = points().map(|(_, y)| *y).chain(self.limit.map(|(limit, _)| limit)).fold(0.0, f64::max);
        let y_step = step(highest.max(1e-6));
        let y_max = (highest.max(1e-6) / y_step).ceil() * y_step;
        let from = match (self.log_x, x_min.is_finite()) {
            (true, true) => x_min.max(1e-3),
            (true, false) => 0.1,
            (false, _) => 0.0,
        };
        let to = if x_max > from { x_max } else { from + 1.0 };
        let x = Scale { from, to, start: LEFT, end: WIDTH - RIGHT, log: self.log_x };
        let y = Scale { from: 0.0, to: y_max, start: HEIGHT - BOTTOM, end: TOP, log: false };
        (x, y)
    }

    fn grid(&self, svg: &mut String, x: &Scale, y: &Scale) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let y_step = step(y.to - y.from);
        for tick in y.ticks() {
            let at = y.at(tick);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                at + 4.0,
                tick_label(tick, y_step)
            );
        }
        let x_step = step(x.to - x.from);
        for tick in x.ticks() {
            let at = x.at(tick);
            let label = if x.log { format!("{tick}") } else { tick_label(tick, x_step) };
            let _ = writeln!(
                svg,
                "<path class=\"tick\" d=\"M{at:.1} {bottom}v5\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                bottom + 18.0
            );
        }
        let middle = (TOP + bottom) / 2.0;
        let _ = writeln!(
            svg,
            "<path class=\"axis\" d=\"M{LEFT} {bottom}H{right}\"/>\
             <text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text class=\"axis\" transform=\"translate(14 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 6.0,
            super::html::escaped(self.x_axis),
            super::html::escaped(self.y_axis)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(from: f64, to: f64, log: bool) -> Scale {
        Scale { from, to, start: 0.0, end: 100.0, log }
    }

    #[test]
    fn grid_lines_are_round_and_few() {
        for (to, expected) in [(0.03, 0.005), (7.0, 2.0), (60.0, 10.0), (59.0, 10.0), (12_345.0, 5000.0)] {
            assert!((step(to) - expected).abs() < expected * 1e-6, "{to}: {}", step(to));
            assert!((2..=8).contains(&scale(0.0, to, false).ticks().len()), "{to}");
        }
        assert_eq!([tick_label(0.005, 0.005), tick_label(2000.0, 1000.0)], ["0.005", "2000"]);
    }

    #[test]
    fn logarithmic_axes_have_grid_lines_too() {
        assert_eq!(scale(0.5, 3.0, true).ticks(), [0.5, 1.0, 2.0]);
        assert_eq!(scale(0.01, 1000.0, true).ticks().len(), 6);
        let scale = scale(0.1, 1000.0, true);
        assert!((scale.at(10.0) - 50.0).abs() < 1e-6);
    }

    #[test]
    fn odd_data_makes_no_odd_numbers() {
        let lines = [vec![], vec![(0.0, 0.0)], vec![(5.0, 1e12), (5.0, 0.0)]];
        for points in lines {
            for log_x in [false, true] {
                let lines =
                    vec![Line { name: "a<b", points: points.clone() }, Line { name: "b", points: vec![] }];
                let plot = Plot {
                    label: "\"x\"",
                    x_axis: "s",
                    y_axis: "ms",
                    lines,
                    limit: Some((1.0, "limit")),
                    log_x,
                };
                let html = plot.to_html();
                assert!(!html.contains("NaN") && !html.contains("inf") && !html.contains("a<b"), "{html}");
            }
        }
    }
}
