//! Line plots as SVG, for the page about congestion control.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const PANEL: f64 = 190.0;
const GAP: f64 = 28.0;
const LOWER: f64 = 80.0;
const BOTTOM: f64 = 30.0;

pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) colour: &'a str,
    pub(super) values: Vec<f64>,
    /// True if the area below the line is filled.
    pub(super) filled: bool,
}

/// Plot of two panels over one time axis: several lines in the upper one, one line in the lower one.
pub(super) struct Plot<'a> {
    pub(super) title: &'a str,
    pub(super) seconds: f64,
    pub(super) unit: &'a str,
    pub(super) upper: Vec<Line<'a>>,
    pub(super) lower: Line<'a>,
    pub(super) lower_unit: &'a str,
}

impl Plot<'_> {
    /// Renders the plot as an SVG file.
    pub(super) fn to_svg(&self) -> String {
        let height = TOP + PANEL + GAP + LOWER + BOTTOM;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"18\" font-size=\"14\">{}</text>\n",
            self.title
        );
        self.legend(&mut svg);
        let highest = |lines: &mut dyn Iterator<Item = &f64>| lines.fold(0.0, |a: f64, &b| a.max(b));
        let upper_max = nice(highest(&mut self.upper.iter().flat_map(|line| &line.values)));
        let lower_max = nice(highest(&mut self.lower.values.iter()).max(10.0));
        self.panel(&mut svg, TOP, PANEL, upper_max, self.unit, &self.upper);
        let lower_top = TOP + PANEL + GAP;
        self.panel(&mut svg, lower_top, LOWER, lower_max, self.lower_unit, std::slice::from_ref(&self.lower));
        for second in (0..=self.seconds as u32).step_by(10) {
            let x = self.x(f64::from(second));
            let y = lower_top + LOWER + 18.0;
            put(
                &mut svg,
                format_args!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{second} s</text>"),
            );
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn legend(&self, svg: &mut String) {
        let mut x = WIDTH - RIGHT;
        for line in self.upper.iter().chain([&self.lower]).rev() {
            x -= 7.0 * line.name.chars().count() as f64 + 22.0;
            let Line { name, colour, .. } = line;
            put(svg, format_args!("<rect x=\"{x}\" y=\"9\" width=\"10\" height=\"10\" fill=\"{colour}\"/>"));
            put(svg, format_args!("<text x=\"{}\" y=\"18\" fill=\"#444\">{name}</text>", x + 14.0));
        }
    }

    fn panel(&self, svg: &mut String, top: f64, height: f64, max: f64, unit: &str, lines: &[Line<'_>]) {
        let y = |value: f64| top + height * (1.0 - value.min(max) / max);
        for part in 0..=2 {
            let value = max * f64::from(part) / 2.0;
            let (at, right) = (y(value), WIDTH - RIGHT);
            put(svg, format_args!("<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\" fill=\"none\"/>"));
            let (x, base) = (LEFT - 6.0, at + 4.0);
            put(
                svg,
                format_args!(
                    "<text x=\"{x}\" y=\"{base:.1}\" text-anchor=\"end\" fill=\"#444\">{value}</text>"
                ),
            );
        }
        let (x, above) = (LEFT - 6.0, top - 8.0);
        put(
            svg,
            format_args!("<text x=\"{x}\" y=\"{above}\" text-anchor=\"end\" fill=\"#444\">{unit}</text>"),
        );
        for line in lines {
            let step = self.seconds / line.values.len().max(1) as f64;
            let mut path = String::new();
            for (i, &value) in line.values.iter().enumerate() {
                let command = if i == 0 { 'M' } else { 'L' };
                let x = self.x(step * (i as f64 + 1.0));
                write!(path, "{command}{x:.1} {:.1}", y(value)).expect("writing to a string never fails");
            }
            let colour = line.colour;
            if line.filled {
                let (first, last, base) = (self.x(step), self.x(self.seconds), y(0.0));
                put(
                    svg,
                    format_args!(
                        "<path d=\"{path}L{last:.1} {base}L{first:.1} {base}Z\" fill=\"{colour}\"/>"
                    ),
                );
            } else {
                put(
                    svg,
                    format_args!(
                        "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"1.5\" fill=\"none\"/>"
                    ),
                );
            }
        }
    }

    fn x(&self, second: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * second / self.seconds
    }
}

fn put(svg: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(svg, "{element}").expect("writing to a string never fails");
}

/// Next larger number of the form 1, 2 or 5 times a power of ten.
fn nice(value: f64) -> f64 {
    let power = 10f64.powf(value.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|&nice| nice >= value)
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([0.3, 1.0, 1.1, 4.9, 730.0].map(nice), [0.5, 1.0, 2.0, 5.0, 1000.0]);
    }

    #[test]
    fn every_line_is_inside_the_picture() {
        let line = |name, filled| Line { name, colour: "#123", values: vec![1.0, 3.0, 2.0], filled };
        let plot = Plot {
            title: "a",
            seconds: 60.0,
            unit: "Mbit/s",
            upper: vec![line("b", true), line("c", false)],
            lower: line("d", false),
            lower_unit: "ms",
        };
        let svg = plot.to_svg();
        assert_eq!(svg.matches("<path d=\"M2").count() + svg.matches("<path d=\"M289").count(), 3, "{svg}");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}
