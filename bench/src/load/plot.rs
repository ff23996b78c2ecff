//! Plots as SVG inside the report: lines, text and nothing else. No script runs in the page, and
//! nothing is fetched.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 50.0;
const COLOURS: [&str; 6] = ["#0b6fb8", "#c2410c", "#15803d", "#7c3aed", "#b45309", "#475569"];

/// How one axis is divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scale {
    Linear,
    /// In decades.
    Log,
    /// Quantiles: 0.9, 0.99 and 0.999 are as far from each other as they are in nines.
    Nines,
}

impl Scale {
    fn of(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.max(1e-9).log10(),
            Self::Nines => -(1.0 - value).max(1e-7).log10(),
        }
    }
}

/// One axis of a plot.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) title: &'static str,
    pub(crate) scale: Scale,
}

/// One line of a plot.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) dashed: bool,
}

/// A plot; `marks` are vertical lines with a word each.
#[derive(Debug, Clone)]
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
    pub(crate) marks: Vec<(f64, String)>,
}

/// Where values of an axis fall on the page.
struct Span {
    scale: Scale,
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Span {
    fn over(values: impl Iterator<Item = f64>, scale: Scale, start: f64, end: f64) -> Self {
        let (least, most) = values
            .filter(|value| value.is_finite())
            .map(|value| scale.of(value))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), value| (a.min(value), b.max(value)));
        let (from, to) = match scale {
            Scale::Linear => (least.min(0.0), most * 1.05),
            Scale::Log => (least.floor(), most.ceil()),
            Scale::Nines => (0.0, most.ceil()),
        };
        let from = if from.is_finite() { from } else { 0.0 };
        let to = if to.is_finite() && to > from { to } else { from + 1.0 };
        Self { scale, from, to, start, end }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (self.scale.of(value) - self.from) / (self.to - self.from);
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// Values with their words, where lines of the grid are drawn.
    fn ticks(&self) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Log => (self.from as i32..=self.to as i32)
                .map(|decade| 10_f64.powi(decade))
                .map(|value| (value, short(value)))
                .collect(),
            Scale::Nines => (0..=self.to as i32)
                .map(|nines| 1.0 - 10_f64.powi(-nines))
                .map(|quantile| (quantile, format!("{} %", short(quantile * 100.0))))
                .collect(),
            Scale::Linear => {
                let raw = (self.to - self.from) / 6.0;
                let decade = 10_f64.powf(raw.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].iter().map(|by| by * decade);
                let step = step.into_iter().find(|step| *step >= raw).unwrap_or(raw);
                let first = (self.from / step).ceil() as i64;
                let last = (self.to / step).floor() as i64;
                (first..=last).map(|at| at as f64 * step).map(|v| (v, short(v))).collect()
            }
        }
    }
}

/// A number in few digits.
fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Text that is safe between tags.
pub(crate) fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Plot {
    /// The picture.
    pub(crate) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let marks = self.marks.iter().map(|mark| mark.0);
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let x = Span::over(points().map(|p| p.0).chain(marks), self.x.scale, LEFT, right);
        let y = Span::over(points().map(|p| p.1), self.y.scale, bottom, TOP);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\
             <title>{}</title>\n",
            plain(&self.title)
        );
        self.grid(&mut out, &x, &y);
        for (at, name) in &self.marks {
            let at = x.at(*at);
            // Writing to a string does not fail.
            let _ = writeln!(
                out,
                "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#b91c1c\" stroke-dasharray=\"2 3\"/>\
                 <text x=\"{:.1}\" y=\"{}\" fill=\"#b91c1c\">{}</text>",
                at + 4.0,
                TOP + 12.0,
                plain(name)
            );
        }
        for (number, line) in self.lines.iter().enumerate() {
            draw(&mut out, line, number, &x, &y);
        }
        out.push_str("</svg>\n");
        out
    }

    fn grid(&self, out: &mut String, x: &Span, y: &Span) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for (value, word) in x.ticks() {
            let at = x.at(value);
            let _ = writeln!(
                out,
                "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#e5e7eb\"/>\
                 <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{word}</text>",
                bottom + 16.0
            );
        }
        for (value, word) in y.ticks() {
            let at = y.at(value);
            let _ = writeln!(
                out,
                "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#e5e7eb\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{word}</text>",
                LEFT - 6.0,
                at + 4.0
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text x=\"{LEFT}\" y=\"14\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(LEFT, right),
            HEIGHT - 12.0,
            self.x.title,
            self.y.title
        );
    }
}

fn draw(out: &mut String, line: &Line, number: usize, x: &Span, y: &Span) {
    let colour = COLOURS[number % COLOURS.len()];
    let dash = if line.dashed { " stroke-dasharray=\"5 4\"" } else { "" };
    let mut path = String::new();
    let held = line.points.iter().filter(|point| point.0.is_finite() && point.1.is_finite());
    for (at, point) in held.enumerate() {
        let verb = if at == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{verb}{:.1} {:.1}", x.at(point.0), y.at(point.1));
    }
    let (from, level) = (WIDTH - RIGHT + 12.0, TOP + 10.0 + 18.0 * number as f64);
    let _ = writeln!(
        out,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"{dash}/>\
         <path d=\"M{from} {level}h22\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>\
         <text x=\"{}\" y=\"{}\">{}</text>",
        from + 28.0,
        level + 4.0,
        plain(&line.name)
    );
    if line.points.len() <= 40 {
        for point in &line.points {
            let (cx, cy) = (x.at(point.0), y.at(point.1));
            let _ = writeln!(
                out,
                "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"2.6\" fill=\"{colour}\"/>"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_lies_in_the_frame_and_words_are_escaped() {
        let plot = Plot {
            title: "a < b".to_owned(),
            x: Axis { title: "quantile", scale: Scale::Nines },
            y: Axis { title: "ms", scale: Scale::Log },
            lines: vec![Line {
                name: "\"quoted\" & more".to_owned(),
                points: vec![(0.0, 0.4), (0.5, 1.0), (0.999, 90.0), (1.0, 4_000.0)],
                dashed: true,
            }],
            marks: vec![(0.9, "knee".to_owned())],
        };
        let picture = plot.svg();
        assert!(picture.contains("<title>a &lt; b</title>"));
        assert!(picture.contains("&quot;quoted&quot; &amp; more") && picture.contains("99.9 %"));
        assert_eq!(picture.matches("<circle").count(), 4);
        for circle in picture.split("<circle ").skip(1) {
            let at = |name: &str| -> f64 {
                let (_, rest) = circle.split_once(name).expect("an attribute");
                rest.split('"').nth(1).and_then(|text| text.parse().ok()).expect("a number")
            };
            assert!((LEFT..=WIDTH - RIGHT).contains(&at("cx=")), "{circle}");
            assert!((TOP..=HEIGHT - BOTTOM).contains(&at("cy=")), "{circle}");
        }
        let empty = Plot { lines: Vec::new(), marks: Vec::new(), ..plot };
        assert!(empty.svg().ends_with("</svg>\n"));
    }

    #[test]
    fn ticks_are_round_numbers() {
        let span = Span::over([0.0, 97.0].into_iter(), Scale::Linear, 0.0, 1.0);
        let words: Vec<String> = span.ticks().into_iter().map(|(_, word)| word).collect();
        assert_eq!(words, ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(
            (short(0.25), short(1_000.0), short(99.9)),
            ("0.25".into(), "1000".into(), "99.9".into())
        );
    }
}
