//! The page: what was measured, on what, and the plots. One file, no script, nothing fetched.

use std::{fmt::Write, fs, path::Path};

use super::{
    Wrong,
    accuracy::Checked,
    plot::{Axis, Line, Plot, Scale, plain},
    run::{Run, table},
};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;\
    padding:0 1rem;color:#111}pre{background:#f6f7f9;padding:1rem;overflow-x:auto;font-size:13px}\
    svg{width:100%;height:auto;font:12px system-ui,sans-serif}table{border-collapse:collapse}\
    td,th{padding:.2rem .8rem .2rem 0;text-align:left;border-bottom:1px solid #e5e7eb}\
    .kept{color:#15803d}.missed{color:#b91c1c}";

/// One step of a sweep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    pub(crate) offered_per_s: f64,
    pub(crate) answered_per_s: f64,
    pub(crate) us_p50: u64,
    pub(crate) us_p99: u64,
}

/// A promise, and whether it was kept here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) measured: String,
    pub(crate) kept: bool,
}

/// What stands on the page beside the runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) runs: Vec<Run>,
    pub(crate) sweep: Vec<Step>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// The step at which latency begins to leave: the one farthest below the straight line from the
/// first step to the last, both axes scaled to one (the "kneedle" of Satopaa et al., 2011). None
/// where the curve does not bend.
pub(crate) fn knee(steps: &[Step]) -> Option<Step> {
    let (first, last) = (steps.first()?, steps.last()?);
    let width = last.answered_per_s.max(first.answered_per_s) - first.answered_per_s;
    let top = steps.iter().map(|step| step.us_p99).max()?;
    let height = top.saturating_sub(first.us_p99) as f64;
    if width <= 0.0 || height <= 0.0 {
        return None;
    }
    let below = |step: &Step| {
        let x = (step.answered_per_s - first.answered_per_s) / width;
        let y = step.us_p99.saturating_sub(first.us_p99) as f64 / height;
        x - y
    };
    let best = steps.iter().max_by(|a, b| below(a).total_cmp(&below(b)))?;
    (below(best) > 0.05).then_some(*best)
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}

fn percentiles(run: &Run) -> Plot {
    let line = |name: &str, curve: &[(f64, u64)], dashed| Line {
        name: name.to_owned(),
        points: curve.iter().map(|&(quantile, us)| (quantile, ms(us))).collect(),
        dashed,
    };
    Plot {
        title: format!("{}: percentiles", run.name),
        x: Axis { title: "percentile", scale: Scale::Nines },
        y: Axis { title: "ms", scale: Scale::Log },
        lines: vec![
            line("from intended start", &run.figures.curve, false),
            line("from real start", &run.figures.curve_raw, true),
        ],
        marks: Vec::new(),
    }
}

fn over_time(run: &Run) -> Plot {
    let line = |name: &str, value: &dyn Fn(&super::record::Second) -> f64, dashed| Line {
        name: name.to_owned(),
        points: run.figures.timeline.iter().map(|s| (s.at_s as f64, value(s))).collect(),
        dashed,
    };
    Plot {
        title: format!("{}: latency over time", run.name),
        x: Axis { title: "seconds", scale: Scale::Linear },
        y: Axis { title: "ms", scale: Scale::Log },
        lines: vec![
            line("p50", &|s| ms(s.us_p50), false),
            line("p99", &|s| ms(s.us_p99), false),
            line("max", &|s| ms(s.us_max), true),
        ],
        marks: Vec::new(),
    }
}

fn memory(run: &Run) -> Option<Plot> {
    let held = &run.figures.memory;
    (held.len() > 1).then(|| Plot {
        title: format!("{}: resident memory", run.name),
        x: Axis { title: "seconds", scale: Scale::Linear },
        y: Axis { title: "MiB", scale: Scale::Linear },
        lines: vec![Line {
            name: "resident".to_owned(),
            points: held
                .iter()
                .map(|&(at_us, bytes)| (at_us as f64 / 1e6, bytes as f64 / f64::from(1 << 20)))
                .collect(),
            dashed: false,
        }],
        marks: Vec::new(),
    })
}

fn sweep(steps: &[Step]) -> Plot {
    let line = |name: &str, value: &dyn Fn(&Step) -> u64| Line {
        name: name.to_owned(),
        points: steps.iter().map(|step| (step.answered_per_s, ms(value(step)))).collect(),
        dashed: false,
    };
    let mark = |step: Step| (step.answered_per_s, format!("knee: {:.1}/s", step.answered_per_s));
    Plot {
        title: "Throughput against latency".to_owned(),
        x: Axis { title: "answered per second", scale: Scale::Linear },
        y: Axis { title: "ms", scale: Scale::Log },
        lines: vec![line("p50", &|step| step.us_p50), line("p99", &|step| step.us_p99)],
        marks: knee(steps).map(mark).into_iter().collect(),
    }
}

impl Page {
    pub(crate) fn html(&self) -> String {
        let title = plain(&self.title);
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
        );
        // Writing to a string does not fail.
        if let Some(run) = self.runs.first() {
            let _ = writeln!(
                out,
                "<p>{}</p>\n<p>Appliance: <code>{}</code></p>\n<p>Command: <code>{}</code></p>",
                plain(&run.machine.line()),
                plain(&run.appliance.to_string()),
                plain(&run.command.join(" "))
            );
        }
        out += "<p>Latency is measured from the intended start of each request, so that a stalled \
                appliance is not spared by a generator that waits for it; the raw figure, from the \
                real start, stands beside it.</p>\n";
        out += &self.accuracy();
        if !self.verdicts.is_empty() {
            out +=
                "<h2>Promises</h2>\n<table><tr><th>promise</th><th>measured</th><th></th></tr>\n";
            for verdict in &self.verdicts {
                let (class, word) =
                    if verdict.kept { ("kept", "kept") } else { ("missed", "NOT kept") };
                let _ = writeln!(
                    out,
                    "<tr><td>{}</td><td>{}</td><td class=\"{class}\">{word}</td></tr>",
                    plain(&verdict.what),
                    plain(&verdict.measured)
                );
            }
            out += "</table>\n";
        }
        if self.sweep.len() > 1 {
            out += "<h2>Throughput against latency</h2>\n";
            out += &sweep(&self.sweep).svg();
        }
        for run in &self.runs {
            let _ = writeln!(
                out,
                "<h2>{}</h2>\n<pre>{}</pre>\n{}{}{}",
                plain(&run.name),
                plain(table(run).trim()),
                percentiles(run).svg(),
                over_time(run).svg(),
                memory(run).map(|plot| plot.svg()).unwrap_or_default()
            );
        }
        out + "</body></html>\n"
    }

    /// Whether the answers were right: above every figure, once for all runs of one appliance.
    fn accuracy(&self) -> String {
        let Some(checked) = Checked::worst(self.runs.iter().map(|run| &run.accuracy)) else {
            return String::new();
        };
        let class = if checked.is_right() { "kept" } else { "missed" };
        let mut out = format!("<p class=\"{class}\">{}</p>\n", plain(&checked.line()));
        if let Checked::Run { report, .. } = checked {
            let text = serde_json::to_string_pretty(report).unwrap_or_default();
            out += "<details><summary>The accuracy run</summary>\n<pre>";
            out += &plain(&text);
            out += "</pre></details>\n";
        }
        out
    }

    /// Writes the page.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Wrong> {
        fs::write(path, self.html()).map_err(|e| format!("{}: {e}", path.display()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(answered_per_s: f64, us_p99: u64) -> Step {
        Step { offered_per_s: answered_per_s, answered_per_s, us_p50: us_p99 / 2, us_p99 }
    }

    #[test]
    fn the_knee_is_where_the_curve_leaves() {
        let bent = [(5.0, 50), (10.0, 52), (15.0, 58), (20.0, 80), (22.0, 400), (22.1, 4_000)];
        let steps: Vec<Step> = bent.map(|(rate, p99)| step(rate, p99 * 1_000)).to_vec();
        assert_eq!(knee(&steps).map(|step| step.answered_per_s), Some(22.0));
        let straight: Vec<Step> = (1..6).map(|at| step(f64::from(at), 1_000 * at as u64)).collect();
        assert_eq!(knee(&straight), None);
        assert_eq!(knee(&[]), None);
    }

    #[test]
    fn the_page_carries_no_script_and_escapes_what_it_shows() {
        let verdict = Verdict { what: "a < b".into(), measured: "1 & 2".into(), kept: false };
        let page = Page {
            title: "<script>".to_owned(),
            verdicts: vec![verdict],
            sweep: vec![step(1.0, 1_000), step(2.0, 9_000)],
            ..Page::default()
        };
        let html = page.html();
        assert!(
            !html.contains("<script") && html.contains("a &lt; b") && html.contains("NOT kept")
        );
        assert!(html.contains("<svg") && html.ends_with("</html>\n"));
    }
}
