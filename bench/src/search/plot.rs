//! Latency against size and batch as SVG, on two logarithmic axes: text, lines and nothing else, so
//! that no plotting library is needed for one picture.

use std::fmt::Write;

use super::growth::Point;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 210.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 55.0;
/// One per number of dimensions.
const COLOURS: [&str; 4] = ["#0b6fb8", "#c2410c", "#15803d", "#7c3aed"];

/// A logarithmic axis over whole decades.
struct Axis {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let (least, most) = values
            .filter(|value| *value > 0.0)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
                (least.min(value), most.max(value))
            });
        let (from, to) = (least.log10().floor(), most.log10().ceil());
        Self { from, to: to.max(from + 1.0), start, end }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.max(f64::MIN_POSITIVE).log10() - self.from) / (self.to - self.from);
        self.start + share * (self.end - self.start)
    }

    fn decades(&self) -> impl Iterator<Item = i32> {
        self.from as i32..=self.to as i32
    }
}

/// One line of the picture.
struct Series {
    name: String,
    colour: &'static str,
    dashed: bool,
    points: Vec<(f64, f64)>,
}

fn series(points: &[Point]) -> Vec<Series> {
    let mut kinds: Vec<(usize, usize)> = points.iter().map(|p| (p.dims, p.batch)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut all = Vec::new();
    for (number, (dims, batch)) in kinds.into_iter().enumerate() {
        let own = points.iter().filter(|point| (point.dims, point.batch) == (dims, batch));
        let colour = COLOURS[number % COLOURS.len()];
        let line = |who: &str, dashed: bool, value: &dyn Fn(&Point) -> Option<f64>| Series {
            name: format!("{who}, {dims}-d, batch {batch}"),
            colour,
            dashed,
            points: own.clone().filter_map(|p| Some((p.rows as f64, value(p)?))).collect(),
        };
        all.push(line("portcullis", false, &|point| Some(point.ours_ms)));
        all.push(line("FAISS flat", true, &|point| point.flat_ms));
    }
    all.retain(|series| !series.points.is_empty());
    all
}

/// The picture; an empty frame without points.
pub(super) fn svg(points: &[Point]) -> String {
    let series = series(points);
    let all = || series.iter().flat_map(|series| &series.points);
    let x = Axis::over(all().map(|point| point.0), LEFT, WIDTH - RIGHT);
    let y = Axis::over(all().map(|point| point.1), HEIGHT - BOTTOM, TOP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    if !series.is_empty() {
        grid(&mut out, &x, &y);
    }
    for (number, series) in series.iter().enumerate() {
        draw(&mut out, series, number, &x, &y);
    }
    out.push_str("</svg>\n");
    out
}

fn grid(out: &mut String, x: &Axis, y: &Axis) {
    let (left, right, top, bottom) = (x.start, x.end, y.end, y.start);
    let mut put = |text: String| out.push_str(&text);
    for decade in x.decades() {
        let at = x.at(10_f64.powi(decade));
        put(format!("<path d=\"M{at:.1} {top}V{bottom}\" stroke=\"#ddd\"/>\n"));
        let below = bottom + 18.0;
        put(format!(
            "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{}</text>\n",
            ten(decade)
        ));
    }
    for decade in y.decades() {
        let at = y.at(10_f64.powi(decade));
        put(format!("<path d=\"M{left} {at:.1}H{right}\" stroke=\"#ddd\"/>\n"));
        let beside = left - 8.0;
        put(format!(
            "<text x=\"{beside}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            at + 4.0,
            ten(decade)
        ));
    }
    put(format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">rows</text>\n\
         <text x=\"{left}\" y=\"18\" text-anchor=\"middle\">ms per batch</text>\n",
        (left + right) / 2.0,
        HEIGHT - 12.0
    ));
}

/// A power of ten as people read it.
fn ten(decade: i32) -> String {
    match decade {
        0..=3 => format!("{}", 10_i64.pow(decade.unsigned_abs())),
        4..=5 => format!("{} k", 10_i64.pow(decade.unsigned_abs() - 3)),
        6..=9 => format!("{} M", 10_i64.pow(decade.unsigned_abs() - 6)),
        _ => format!("1e{decade}"),
    }
}

fn draw(out: &mut String, series: &Series, number: usize, x: &Axis, y: &Axis) {
    let mut path = String::new();
    for (at, &(rows, ms)) in series.points.iter().enumerate() {
        let verb = if at == 0 { 'M' } else { 'L' };
        // Writing to a string does not fail.
        let _ = write!(path, "{verb}{:.1} {:.1}", x.at(rows), y.at(ms));
    }
    let dash = if series.dashed { " stroke-dasharray=\"5 4\"" } else { "" };
    let colour = series.colour;
    let (from, to) = (WIDTH - RIGHT + 12.0, WIDTH - RIGHT + 36.0);
    let line = TOP + 12.0 + 20.0 * number as f64;
    let _ = write!(
        out,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>\n\
         <path d=\"M{from} {line}H{to}\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>\n\
         <text x=\"{}\" y=\"{}\">{}</text>\n",
        to + 6.0,
        line + 4.0,
        series.name,
    );
    for &(rows, ms) in &series.points {
        let (cx, cy) = (x.at(rows), y.at(ms));
        let _ = writeln!(out, "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3\" fill=\"{colour}\"/>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_lies_inside_the_frame() {
        let point = |rows, batch, ours_ms, flat_ms| Point {
            dims: 512,
            rows,
            batch,
            threads: 2,
            ours_ms,
            flat_ms,
        };
        let picture = svg(&[
            point(10_240, 1, 0.05, Some(1.0)),
            point(4_000_000, 1, 20.0, None),
            point(10_240, 64, 0.9, Some(30.0)),
        ]);
        assert_eq!(picture.matches("<circle").count(), 5);
        assert!(picture.contains("FAISS flat, 512-d, batch 64") && picture.contains("10 M"));
        for circle in picture.split("<circle ").skip(1) {
            let at = |name: &str| -> f64 {
                let (_, rest) = circle.split_once(name).expect("an attribute");
                rest.split('"').nth(1).and_then(|text| text.parse().ok()).expect("a number")
            };
            assert!((LEFT..=WIDTH - RIGHT).contains(&at("cx=")), "{circle}");
            assert!((TOP..=HEIGHT - BOTTOM).contains(&at("cy=")), "{circle}");
        }
        assert!(svg(&[]).ends_with("</svg>\n"));
    }
}
