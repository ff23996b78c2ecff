//! The detection error trade-off curve as an SVG picture of its own: FNMR over FMR on probit axes.
//!
//! Probit axes (the normal quantile of a rate) spread small rates apart and turn curves of normally
//! distributed scores into straight lines. A rate of nothing has no place on them: it is drawn on
//! the lower edge, one decade below one error in the sample.

use std::fmt::Write as _;

use super::{Sample, rates::EqualError};

/// Picture and plot, in SVG units.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 700.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 730.0;
const TOP: f64 = 80.0;
const BOTTOM: f64 = 620.0;
/// Points closer than this to the last one drawn are left out.
const POINT_GAP: f64 = 0.5;
/// Largest rate on either axis.
const RATE_MAX: f64 = 0.5;
/// Rates that are labelled.
const TICKS: [(f64, &str); 10] = [
    (1e-7, "0.00001 %"),
    (1e-6, "0.0001 %"),
    (1e-5, "0.001 %"),
    (1e-4, "0.01 %"),
    (1e-3, "0.1 %"),
    (1e-2, "1 %"),
    (0.05, "5 %"),
    (0.1, "10 %"),
    (0.2, "20 %"),
    (0.5, "50 %"),
];

/// Draws the curve of `sample`, measured on the data set `name`.
///
/// The text is one well-formed SVG document without scripts, fonts or links. Without comparisons of
/// both kinds it says so in place of a curve.
#[must_use]
pub fn svg(name: &str, sample: &Sample) -> String {
    let axes =
        Axes { fmr_min: least(sample.impostor().len()), fnmr_min: least(sample.genuine().len()) };
    let mut out = String::new();
    draw(&mut out, &axes, name, sample).expect("writing to a string does not fail");
    out
}

fn draw(out: &mut String, axes: &Axes, name: &str, sample: &Sample) -> std::fmt::Result {
    let name = escaped(name);
    let (genuine, impostor, lost) =
        (sample.genuine().len(), sample.impostor().len(), sample.lost());
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>DET curve: {name}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"34\" font-size=\"18\">DET curve: {name}</text>\n\
         <text x=\"{LEFT}\" y=\"58\" fill=\"#444444\">{genuine} genuine and {impostor} impostor \
         comparisons; {} and {} more were lost to acquisition</text>",
        lost.genuine, lost.impostor
    )?;
    grid(out, axes)?;
    match sample.equal_error() {
        Some(equal) => curve(out, axes, sample, equal)?,
        None => writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">insufficient data</text>",
            f64::midpoint(LEFT, RIGHT),
            f64::midpoint(TOP, BOTTOM)
        )?,
    }
    writeln!(out, "</svg>")
}

fn grid(out: &mut String, axes: &Axes) -> std::fmt::Result {
    writeln!(out, "<g stroke=\"#dddddd\" fill=\"none\">")?;
    for (rate, _) in TICKS {
        if rate >= axes.fmr_min {
            let x = axes.x(rate);
            writeln!(out, "<path d=\"M{x:.2} {TOP}V{BOTTOM}\"/>")?;
        }
        if rate >= axes.fnmr_min {
            let y = axes.y(rate);
            writeln!(out, "<path d=\"M{LEFT} {y:.2}H{RIGHT}\"/>")?;
        }
    }
    writeln!(out, "</g>\n<g fill=\"#222222\">")?;
    for (rate, label) in TICKS {
        if rate >= axes.fmr_min {
            let (x, y) = (axes.x(rate), BOTTOM + 20.0);
            writeln!(out, "<text x=\"{x:.2}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>")?;
        }
        if rate >= axes.fnmr_min {
            let (x, y) = (LEFT - 8.0, axes.y(rate) + 4.0);
            writeln!(out, "<text x=\"{x}\" y=\"{y:.2}\" text-anchor=\"end\">{label}</text>")?;
        }
    }
    let (across, down) = (f64::midpoint(LEFT, RIGHT), f64::midpoint(TOP, BOTTOM));
    writeln!(
        out,
        "<text x=\"{across}\" y=\"{}\" text-anchor=\"middle\">false match rate (FMR)</text>\n\
         <text x=\"18\" y=\"{down}\" text-anchor=\"middle\" transform=\"rotate(-90 18 {down})\">false \
         non-match rate (FNMR)</text>\n\
         <text x=\"{LEFT}\" y=\"{}\" fill=\"#444444\">Probit axes. A rate of 0 is drawn on the lower \
         edge.</text>\n</g>",
        BOTTOM + 44.0,
        BOTTOM + 68.0
    )?;
    writeln!(
        out,
        "<rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#222222\"/>",
        RIGHT - LEFT,
        BOTTOM - TOP
    )
}

fn curve(out: &mut String, axes: &Axes, sample: &Sample, equal: EqualError) -> std::fmt::Result {
    let least = axes.fmr_min.max(axes.fnmr_min);
    writeln!(
        out,
        "<path d=\"M{:.2} {:.2}L{:.2} {:.2}\" stroke=\"#999999\" stroke-dasharray=\"4 4\"/>",
        axes.x(least),
        axes.y(least),
        axes.x(RATE_MAX),
        axes.y(RATE_MAX)
    )?;
    write!(out, "<polyline fill=\"none\" stroke=\"#0b5394\" stroke-width=\"2\" points=\"")?;
    let mut drawn: Option<(f64, f64)> = None;
    let mut last = None;
    for point in sample.points() {
        let at = (axes.x(point.fmr), axes.y(point.fnmr));
        last = Some(at);
        if drawn.is_none_or(|(x, y)| (at.0 - x).hypot(at.1 - y) >= POINT_GAP) {
            write!(out, "{:.2},{:.2} ", at.0, at.1)?;
            drawn = Some(at);
        }
    }
    if let Some((x, y)) = last {
        write!(out, "{x:.2},{y:.2}")?;
    }
    let (x, y) = (axes.x(equal.rate), axes.y(equal.rate));
    writeln!(
        out,
        "\"/>\n<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"4\" fill=\"#0b5394\"/>\n\
         <text x=\"{:.2}\" y=\"{:.2}\" text-anchor=\"end\">EER {:.2} % at threshold {:.4}</text>",
        RIGHT - 10.0,
        BOTTOM - 14.0,
        equal.rate * 100.0,
        equal.threshold
    )
}

/// The smallest rate drawn for so many trials: the decade below one error.
fn least(trials: usize) -> f64 {
    let decade = (trials.max(1) as f64).log10().floor() as i32 + 1;
    10_f64.powi(-decade.clamp(2, 7))
}

struct Axes {
    fmr_min: f64,
    fnmr_min: f64,
}

impl Axes {
    fn x(&self, fmr: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * along(fmr, self.fmr_min)
    }

    fn y(&self, fnmr: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * along(fnmr, self.fnmr_min)
    }
}

/// Where a rate lies between `least` (0) and the largest one drawn (1).
fn along(rate: f64, least: f64) -> f64 {
    let from = normal_quantile(least);
    (normal_quantile(rate.clamp(least, RATE_MAX)) - from) / (normal_quantile(RATE_MAX) - from)
}

/// The standard normal quantile of `p` in (0, 0.5].
///
/// Source: P. J. Acklam's rational approximation; relative error below 1.2e-9.
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    let polynomial = |coefficients: &[f64], x: f64| {
        coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
    };
    if p < 0.024_25 {
        let q = (-2.0 * p.ln()).sqrt();
        polynomial(&C, q) / polynomial(&D, q)
    } else {
        let q = p - 0.5;
        let r = q * q;
        q * polynomial(&A, r) / polynomial(&B, r)
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Not allowed in XML in any form.
            character if character.is_control() => out.push(' '),
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accuracy::rates::Lost;

    /// The standard normal distribution function, by Simpson's rule from far below.
    fn normal(z: f64) -> f64 {
        let (from, steps) = (-12.0, 20_000);
        let width = (z - from) / f64::from(steps);
        let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let sum: f64 = (0..=steps)
            .map(|i| {
                let weight = if i == 0 || i == steps { 1.0 } else { 2.0 + 2.0 * f64::from(i % 2) };
                weight * density(from + width * f64::from(i))
            })
            .sum();
        sum * width / 3.0
    }

    /// The rate at a place between 0 and 1 along an axis.
    fn rate(along: f64, least: f64) -> f64 {
        let from = normal_quantile(least);
        normal(from + along * (normal_quantile(RATE_MAX) - from))
    }

    fn sample() -> Sample {
        let spread = |count: i32, offset: f64| {
            (0..count).map(|i| offset + f64::from(i * 7_919 % count) / f64::from(count)).collect()
        };
        let lost = Lost { genuine: 3, impostor: 4 };
        Sample::new(spread(400, 0.6), spread(2_000, 0.0), lost).expect("finite scores")
    }

    /// Every tag that opens closes, in order; no bare ampersand.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (inside, _) = tag.split_once('>').expect("a tag ends");
            if let Some(name) = inside.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !inside.ends_with('/') {
                open.push(inside.split_whitespace().next().expect("a name"));
            }
            assert_eq!(inside.matches('"').count() % 2, 0, "{inside}");
        }
        assert!(open.is_empty(), "{open:?}");
        for after in svg.split('&').skip(1) {
            assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|name| after.starts_with(name)));
        }
    }

    #[test]
    fn quantiles_are_those_of_the_normal_distribution() {
        for (p, z) in
            [(0.5, 0.0), (0.1, -1.281_551_566), (0.01, -2.326_347_874), (1e-6, -4.753_424_309)]
        {
            assert!((normal_quantile(p) - z).abs() < 1e-7, "{p}");
            assert!((normal(z) / p - 1.0).abs() < 1e-6, "{p}");
        }
    }

    #[test]
    fn the_numbers_drawn_are_the_samples_own() {
        let sample = sample();
        let text = svg("drawn \"numbers\" <&>", &sample);
        assert_well_formed(&text);
        assert!(text.contains("400 genuine and 2000 impostor comparisons; 3 and 4 more were lost"));
        assert!(text.contains("drawn &quot;numbers&quot; &lt;&amp;&gt;"));
        let (_, rest) = text.split_once("points=\"").expect("a curve");
        let (points, _) = rest.split_once('"').expect("its end");
        let axes = Axes { fmr_min: 1e-4, fnmr_min: 1e-3 };
        let mut read = 0;
        for point in points.split_whitespace() {
            let (x, y) = point.split_once(',').expect("two numbers");
            let (x, y): (f64, f64) = (x.parse().expect("x"), y.parse().expect("y"));
            assert!((LEFT..=RIGHT).contains(&x) && (TOP..=BOTTOM).contains(&y));
            let fmr = rate((x - LEFT) / (RIGHT - LEFT), axes.fmr_min);
            let fnmr = rate((BOTTOM - y) / (BOTTOM - TOP), axes.fnmr_min);
            // On this sample FMR = 1 - t and FNMR = t - 0.6, wherever neither is cut off.
            if fmr < 0.39 && fnmr > 0.01 && fnmr < 0.39 {
                assert!((fmr + fnmr - 0.4).abs() < 0.005, "{fmr} {fnmr}");
                read += 1;
            }
        }
        assert!(read > 50, "only {read} points");
        let equal = sample.equal_error().expect("both kinds");
        assert!((equal.rate - 0.2).abs() < 0.005);
        assert!(text.contains("EER 20.") || text.contains("EER 19.9"));
    }

    #[test]
    fn nothing_to_draw_is_said() {
        let empty = Sample::new(vec![], vec![0.1], Lost::default()).expect("finite scores");
        let text = svg("empty", &empty);
        assert_well_formed(&text);
        assert!(text.contains("insufficient data"));
        let apart = Sample::new(vec![0.9; 38], vec![0.1; 262], Lost::default());
        assert_well_formed(&svg("apart", &apart.expect("finite scores")));
    }
}
