//! What is said: as it is found on standard output, and at the end as Markdown, JSON and a plot.

use std::{fs, path::Path};

use portcullis::{backend::Description, ops::tile::TileLayout};
use serde_json::{Value, json};

use super::{
    Options, Scene,
    ceilings::{CIPHER, Ceilings, PRODUCTS, READ},
    growth::Point,
    plot,
    rounds::{Kind, LOCKED, Lane, SEALED},
    sealed::Opened,
};
use crate::fail::Failure;

/// Sealed over locked and cipher, at most.
const SEALED_RATIO_MAX: f64 = 1.15;
/// Time of a plain read over ours at batch 1, at least.
const READ_SHARE_MIN: f64 = 0.80;
/// Time of the products from registers over ours in batches, at least.
const PRODUCTS_SHARE_MIN: f64 = 0.85;
/// One comparison, at most.
const ONE_TO_ONE_NS_MAX: f64 = 1_000.0;
/// Rows at which the ratios are promised.
const PROMISED_ROWS: usize = 1_000_000;
/// Time per row of a larger gallery over that of one of [`PROMISED_ROWS`], at most: linear, with
/// room for what two measurements of one thing differ.
const GROWTH_MAX: f64 = 1.1;

/// One table row's facts: who was timed where, and the ceilings beside.
pub(super) struct Setting<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) threads: usize,
    pub(super) batch: usize,
    pub(super) lanes: Vec<Lane>,
    pub(super) ceilings: &'a Ceilings,
    /// What the sealed gallery opened.
    pub(super) opened: Option<Opened>,
}

impl Setting<'_> {
    fn lane(&self, name: &str) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.name == name)
    }

    /// The median of a lane, in milliseconds.
    fn ms(&self, name: &str) -> f64 {
        self.lane(name).map_or(f64::NAN, |lane| lane.measured.median_ms())
    }

    /// The least of a lane, in milliseconds: to be divided by a least, never by a median.
    fn least_ms(&self, name: &str) -> f64 {
        self.lane(name).map_or(f64::NAN, |lane| lane.measured.least_ms())
    }
}

/// The report in the making.
pub(super) struct Report {
    text: String,
    records: Vec<Value>,
    points: Vec<Point>,
    machine: Value,
    rows: usize,
    smoke: bool,
    kept: bool,
}

impl Report {
    pub(super) fn new(options: &Options, description: &Description) -> Self {
        let facts = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            facts.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let machine = json!({
            "processor": model.unwrap_or("unknown"),
            "cores": cores,
            "engine": description.detail,
            "rounds": options.rounds,
            "seed": options.seed,
        });
        Self {
            text: String::new(),
            records: Vec::new(),
            points: Vec::new(),
            machine,
            rows: options.rows,
            smoke: options.smoke,
            kept: true,
        }
    }

    fn line(&mut self, line: impl AsRef<str>) {
        println!("{}", line.as_ref());
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    /// Whether every promise that was measured is kept.
    pub(super) fn kept(&self) -> bool {
        self.kept
    }

    pub(super) fn say_machine(&mut self) {
        let text = |key: &str| self.machine[key].to_string().replace('"', "");
        let line = format!(
            "processor: {} · {} cores · {} · {} interleaved rounds, medians{}",
            text("processor"),
            text("cores"),
            text("engine"),
            text("rounds"),
            if self.smoke { " · smoke run, figures mean nothing" } else { "" },
        );
        self.line("# Exact 1:N search, side by side\n");
        self.line(line);
    }

    pub(super) fn begin(&mut self, scene: &Scene<'_>) {
        let layout = scene.crowd.calibration.layout();
        let (rows, source) = (scene.options.rows, scene.crowd.source);
        self.line(format!(
            "\n## {} dimensions, {rows} rows\n\nDrawn from {source}; scale {}, hot plane {}; \
             {} probes, every second one mated; the best {} at or above {:.3}.\n",
            layout.dims,
            scene.crowd.calibration.scale(),
            layout.hot_dims,
            scene.drawn.templates.len(),
            scene.options.best,
            scene.options.threshold,
        ));
    }

    pub(super) fn survivors(
        &mut self,
        layout: TileLayout,
        threshold: f64,
        share: f64,
        photographs: Option<f64>,
    ) {
        let beside = photographs.map_or_else(String::new, |photographs| {
            format!(" (photographs: {:.2} %)", 100.0 * photographs)
        });
        self.line(format!(
            "- {:.3} % of the rows survive the bound at {threshold:.3}{beside}",
            100.0 * share
        ));
        self.records.push(json!({
            "what": "survivors", "dims": layout.dims, "hot_dims": layout.hot_dims,
            "threshold": threshold, "share": share, "photographs": photographs,
        }));
    }

    /// One setting: a table of everybody, then what the ceilings say.
    pub(super) fn add(&mut self, setting: &Setting<'_>) {
        let (batch, threads) = (setting.batch, setting.threads);
        let dims = setting.scene.crowd.dims();
        let ours = setting.ms(LOCKED);
        self.line(format!("\nBatch {batch}, {threads} threads:\n"));
        self.line("| who | ms (least) | ms per probe | over ours |\n|---|---|---|---|");
        for lane in setting.lanes.iter().filter(|lane| lane.kind != Kind::Ceiling) {
            let (median, least) = (lane.measured.median_ms(), lane.measured.least_ms());
            self.line(format!(
                "| {} | {median:.3} ({least:.3}) | {:.4} | {:.2} |",
                lane.name,
                median / batch as f64,
                median / ours,
            ));
            self.records.push(json!({
                "what": "search", "who": lane.name, "dims": dims, "rows": self.rows,
                "batch": batch, "threads": threads, "median_ms": median, "least_ms": least,
            }));
        }
        self.line("");
        self.against_peers(setting, ours);
        self.against_ceilings(setting, ours);
    }

    fn against_peers(&mut self, setting: &Setting<'_>, ours: f64) {
        let flat = |lane: &&Lane| lane.name == "faiss-flat";
        let peer = |lane: &&Lane| lane.kind == Kind::Peer;
        let dims = setting.scene.crowd.dims();
        // At batch 1 against FAISS's flat index, as it comes; in batches against whoever is best.
        let (against, least) = match (setting.batch, dims) {
            (1, 512) => (setting.lanes.iter().find(flat), Some(12.0)),
            (1, 128) => (setting.lanes.iter().find(flat), Some(4.0)),
            (_, dims) => {
                let best = setting
                    .lanes
                    .iter()
                    .filter(peer)
                    .min_by(|a, b| a.measured.median_ms().total_cmp(&b.measured.median_ms()));
                let least = [(512, 7.0), (128, 3.0)].into_iter().find(|row| row.0 == dims);
                (best, least.filter(|_| setting.batch >= 64).map(|row| row.1))
            }
        };
        let Some(against) = against else { return };
        let ratio = against.measured.median_ms() / ours;
        let name = &against.name;
        match least.filter(|_| self.rows == PROMISED_ROWS) {
            Some(least) => self.promise(&format!("{ratio:.2} × {name}"), ratio >= least, least),
            None => self.line(format!("- {ratio:.2} × {name}")),
        }
    }

    fn against_ceilings(&mut self, setting: &Setting<'_>, ours: f64) {
        let (hot_bytes, read_ms) = (setting.ceilings.hot_bytes(), setting.ms(READ));
        let (least, read_least_ms) = (setting.least_ms(LOCKED), setting.least_ms(READ));
        let products = [setting.ms(PRODUCTS), setting.least_ms(PRODUCTS)]
            .map(|ms| ms * setting.ceilings.plane_runs());
        self.against_registers(setting.batch, products, [ours, least]);
        let share = read_ms / ours;
        let gigabytes = hot_bytes as f64 / read_ms / 1e6;
        let said = format!(
            "a plain read of the {:.1} MB of the hot plane takes {read_ms:.3} ms ({gigabytes:.1} GB/s): \
             {:.0} % of our time (least of least: {:.0} %)",
            hot_bytes as f64 / 1e6,
            100.0 * share,
            100.0 * read_least_ms / least
        );
        if setting.batch == 1 && self.rows == PROMISED_ROWS {
            self.promise(&said, share >= READ_SHARE_MIN, READ_SHARE_MIN);
        } else {
            self.line(format!("- {said}"));
        }
        self.records.push(json!({
            "what": "ceilings", "dims": setting.scene.crowd.dims(), "batch": setting.batch,
            "threads": setting.threads, "hot_bytes": hot_bytes,
            "read_ms": read_ms, "read_least_ms": read_least_ms,
            "products_ms": products[0], "products_least_ms": products[1],
        }));
        self.against_cipher(setting, ours);
    }

    fn against_cipher(&mut self, setting: &Setting<'_>, ours: f64) {
        let Some(opened) = setting.opened else { return };
        let (sealed, cipher_ms) = (setting.ms(SEALED), setting.ms(CIPHER));
        let ratio = sealed / (ours + cipher_ms);
        let said = format!(
            "sealed: {:.1} MB opened in {} pieces, the cipher alone {cipher_ms:.3} ms; \
             {ratio:.2} × (locked + cipher)",
            opened.bytes as f64 / 1e6,
            opened.pieces,
        );
        self.records.push(json!({
            "what": "sealed", "dims": setting.scene.crowd.dims(), "batch": setting.batch,
            "threads": setting.threads, "cipher_ms": cipher_ms,
            "cipher_least_ms": setting.least_ms(CIPHER), "opened_bytes": opened.bytes,
            "sealed_ratio": ratio,
        }));
        if setting.batch >= 64 && self.rows == PROMISED_ROWS {
            self.promise(&said, ratio <= SEALED_RATIO_MAX, SEALED_RATIO_MAX);
        } else {
            self.line(format!("- {said}"));
        }
    }

    /// `products` are those of one probe; of both, the median and the least.
    fn against_registers(&mut self, batch: usize, products: [f64; 2], [ours, least]: [f64; 2]) {
        let [products_ms, products_least_ms] = products.map(|ms| ms * batch as f64);
        let share = products_ms / ours;
        let said = format!(
            "the hot plane's products from registers alone take {products_ms:.3} ms: {:.0} % of our \
             time (least of least: {:.0} %)",
            100.0 * share,
            100.0 * products_least_ms / least
        );
        if batch >= 64 && self.rows == PROMISED_ROWS {
            self.promise(&said, share >= PRODUCTS_SHARE_MIN, PRODUCTS_SHARE_MIN);
        } else {
            self.line(format!("- {said}"));
        }
    }

    fn promise(&mut self, said: &str, kept: bool, bound: f64) {
        self.kept &= kept;
        self.line(format!("- {said}; promised {bound}: {}", if kept { "kept" } else { "MISSED" }));
    }

    pub(super) fn growth(&mut self, point: Point) {
        let first = self.points.last().is_none_or(|last| last.dims != point.dims);
        if first {
            self.line(format!("\nGrowth, {} threads:\n", point.threads));
            self.line("| rows | batch | ms | ns per row and probe | FAISS flat, its better path |");
            self.line("|---|---|---|---|---|");
        }
        let each = point.row_ns();
        let flat = point.flat_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}"));
        self.line(format!(
            "| {} | {} | {:.3} | {each:.3} | {flat} |",
            point.rows, point.batch, point.ours_ms
        ));
        self.records.push(json!({
            "what": "growth", "dims": point.dims, "rows": point.rows, "batch": point.batch,
            "threads": point.threads, "median_ms": point.ours_ms, "faiss_flat_ms": point.flat_ms,
        }));
        self.points.push(point);
    }

    /// After the last size of `dims`: whether cost grows as the rows do, and no faster.
    pub(super) fn grown(&mut self, dims: usize) {
        let promised = PROMISED_ROWS as u64;
        let points: Vec<Point> =
            self.points.iter().filter(|point| point.dims == dims).cloned().collect();
        self.line("");
        for point in points.iter().filter(|point| point.rows > promised) {
            let least = points.iter().find(|at| at.rows == promised && at.batch == point.batch);
            let Some(least) = least else { continue };
            let ratio = point.row_ns() / least.row_ns();
            let said = format!(
                "batch {}: a row of {} costs {ratio:.2} × what one of {promised} costs",
                point.batch, point.rows
            );
            self.promise(&said, ratio <= GROWTH_MAX, GROWTH_MAX);
        }
    }

    pub(super) fn one_to_one(&mut self, dims: usize, nanoseconds: f64) {
        self.line("");
        let said = format!("1:1, {dims} dimensions: {nanoseconds:.0} ns");
        self.promise(&said, nanoseconds < ONE_TO_ONE_NS_MAX, ONE_TO_ONE_NS_MAX);
        self.records.push(json!({ "what": "one_to_one", "dims": dims, "median_ns": nanoseconds }));
    }

    pub(super) fn end(&mut self) {
        self.line(
            "\nEvery answer was verified before it was timed: ours against the scalar oracle, the \
             peers' scores and rows against ours, the accepted rows against a range search.",
        );
    }

    /// Writes search.md, search.json and search.svg.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Failure> {
        fs::create_dir_all(folder).map_err(|error| Failure::File(folder.to_owned(), error))?;
        let document = json!({
            "machine": self.machine, "smoke": self.smoke, "records": self.records,
        });
        let files = [
            ("search.md", self.text.clone()),
            ("search.json", format!("{document:#}\n")),
            ("search.svg", plot::svg(&self.points)),
        ];
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|error| Failure::File(path, error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the promises are kept when a search of so many rows takes so many milliseconds.
    fn kept(batch: usize, sizes: [(u64, f64); 3]) -> (bool, String) {
        let mut report = Report {
            text: String::new(),
            records: Vec::new(),
            points: Vec::new(),
            machine: Value::Null,
            rows: PROMISED_ROWS,
            smoke: false,
            kept: true,
        };
        for (rows, ours_ms) in sizes {
            report.growth(Point { dims: 512, rows, batch, threads: 2, ours_ms, flat_ms: None });
        }
        report.grown(512);
        (report.kept(), report.text)
    }

    #[test]
    fn cost_that_grows_faster_than_the_rows_is_missed_and_shown() {
        // Small galleries cost more per row, and are promised nothing.
        let (linear, _) = kept(64, [(10_000, 1.0), (1_000_000, 20.0), (4_000_000, 84.0)]);
        assert!(linear, "1.05 ×");
        let (kept, text) = kept(1, [(100_000, 0.3), (1_000_000, 4.5), (4_000_000, 23.4)]);
        assert!(!kept, "1.30 ×");
        assert!(text.contains("costs 1.30 × what one of 1000000 costs; promised 1.1: MISSED"));
    }
}
