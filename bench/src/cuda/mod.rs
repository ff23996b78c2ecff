//! `cuda`: every variant of the kernels on an NVIDIA GPU, checked, then timed by the device's own
//! marks, in one call; what it measures goes to a JSON file that `bench/device/run.sh` sets beside
//! PyTorch on the same machine.
//!
//! Nothing is timed that was not checked in the same run: searches against the scalar oracle, bit
//! for bit; networks against the CPU backend, by their cosine. Ceilings (a copy within the device)
//! are measured beside what is held against them. Galleries and networks lie on the device several
//! times over and are used in turn, so that no cache keeps one. What a traveller waits for, from a
//! crop to candidates, is timed by the host's clock.

mod drawn;
mod iresnet;
mod searches;
mod transit;

use std::{collections::BTreeMap, fs, path::PathBuf};

use clap::Args;
use portcullis::{
    backend::{
        Backend,
        cpu::Cpu,
        cuda::{Cuda, Options as DeviceOptions},
    },
    model,
    ops::program::{ChannelOrder, Feed, Program},
    random::SeededEntropy,
};
use serde::Serialize;

use self::drawn::Drawn;
use crate::fail::Failure;

/// Cosine that an embedding in half precision must have with the CPU's.
const COSINE_LEAST: f64 = 0.999;
/// Height and width of a detector's input.
const DETECTED_PX: [usize; 2] = [640, 640];
/// Bytes of a copy: far more than any cache holds.
const COPY_BYTES: usize = 2 << 30;

/// Options of `cuda`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// A part of the GPU's name; the best one without it.
    #[arg(long, default_value = "")]
    adapter: String,
    /// Where compiled kernels are kept; nowhere without it.
    #[arg(long)]
    kernels: Option<PathBuf>,
    /// Rows of the smaller gallery; the larger has ten times as many.
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// The embedder that the appliance ships, an ONNX file; without it networks made here alone.
    #[arg(long)]
    model: Option<PathBuf>,
    /// The detector that the appliance ships, an ONNX file; none is timed without it.
    #[arg(long)]
    detector: Option<PathBuf>,
    /// Items of a batch, a measurement each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256])]
    batch: Vec<usize>,
    /// Timed rounds of everything.
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// Where the figures go.
    #[arg(long)]
    json: Option<PathBuf>,
    /// A few rounds over little: proves that answers agree, measures nothing worth keeping.
    #[arg(long)]
    smoke: bool,
}

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    pub(crate) what: String,
    /// Milliseconds: the middle one, and the one that 99 % do not exceed.
    pub(crate) median_ms: f64,
    pub(crate) p99_ms: f64,
    /// What was moved or done, in bytes, comparisons or items.
    pub(crate) amount: f64,
    pub(crate) unit: &'static str,
}

/// What a run found.
#[derive(Debug, Serialize)]
struct Report {
    device: String,
    detail: String,
    rounds: usize,
    is_smoke: bool,
    /// Registers of a thread, and bytes spilled, of each kernel.
    kernels: Vec<(&'static str, i32, i32)>,
    checks: Vec<String>,
    /// What was timed as a network, by name.
    networks: BTreeMap<String, Drawn>,
    figures: Vec<Figure>,
}

/// A network that is measured.
struct Case {
    name: String,
    program: Program,
    /// Whether the CPU takes long over one item.
    is_heavy: bool,
    /// Whether a traveller's way through it is timed as well: it gives embeddings.
    embeds: bool,
}

impl Figure {
    /// Of so many milliseconds each.
    pub(crate) fn of(what: String, mut taken: Vec<f32>, amount: f64, unit: &'static str) -> Self {
        taken.sort_unstable_by(f32::total_cmp);
        let at = |percent: usize| {
            let place = (taken.len() * percent).div_ceil(100).max(1) - 1;
            taken.get(place).map_or(f64::NAN, |&ms| f64::from(ms))
        };
        Self { what, median_ms: at(50), p99_ms: at(99), amount, unit }
    }

    fn rate(&self) -> f64 {
        self.amount / self.median_ms * 1e3
    }
}

/// Runs it; true when everything agreed.
pub(crate) fn run(options: &Options) -> Result<bool, Failure> {
    let (adapter, kernels) = (options.adapter.clone(), options.kernels.clone());
    let cuda = Cuda::with(&DeviceOptions { adapter, kernels, tight: false })?;
    let described = cuda.describe();
    println!("device: {}; {}", described.device, described.detail);
    let rounds = if options.smoke { 3 } else { options.rounds };
    let mut report = Report {
        device: described.device,
        detail: described.detail,
        rounds,
        is_smoke: options.smoke,
        kernels: cuda.resources()?,
        checks: Vec::new(),
        networks: BTreeMap::new(),
        figures: Vec::new(),
    };
    let bytes = if options.smoke { COPY_BYTES / 64 } else { COPY_BYTES };
    let taken = cuda.copies_ms(bytes, rounds)?;
    report.figures.push(Figure::of("copy".to_owned(), taken, 2.0 * bytes as f64, "bytes"));
    let rows = if options.smoke { options.rows.min(20_000) } else { options.rows };
    searches::run(&cuda, rows, rounds, &mut report.checks, &mut report.figures)?;
    for case in cases(options)? {
        network(&cuda, options, &case, rounds, &mut report)?;
        if case.embeds {
            let figure = transit::run(&cuda, (&case.name, &case.program), rows, rounds)?;
            report.figures.push(figure);
        }
        report.networks.insert(case.name, Drawn::of(&case.program));
    }
    print(&report);
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&report).expect("a report is plain");
        fs::write(path, text).map_err(|error| Failure::File(path.clone(), error))?;
    }
    Ok(true)
}

/// Networks that are measured.
fn cases(options: &Options) -> Result<Vec<Case>, Failure> {
    let mut all = Vec::new();
    let read = |path: &PathBuf| fs::read(path).map_err(|error| Failure::File(path.clone(), error));
    if let Some(path) = &options.model {
        let program = model::load(&read(path)?, "shipped", ChannelOrder::Rgb, None)?;
        let name = "shipped embedder".to_owned();
        all.push(Case { name, program, is_heavy: false, embeds: true });
    }
    if let Some(path) = &options.detector {
        let size = Some(DETECTED_PX);
        let program = model::load(&read(path)?, "detector", ChannelOrder::Bgr, size)?;
        let name = "shipped detector".to_owned();
        all.push(Case { name, program, is_heavy: false, embeds: false });
    }
    let depths: &[usize] = if options.smoke { &[18] } else { &[50, 100] };
    for &depth in depths {
        let (name, program) = (format!("iresnet{depth}"), iresnet::program(depth));
        // Of the large ones the smaller is enough.
        all.push(Case { name, program, is_heavy: true, embeds: depth < 100 });
    }
    Ok(all)
}

/// Checks one network against the CPU, and times its batches.
fn network(
    cuda: &Cuda,
    options: &Options,
    Case { name, program, is_heavy, .. }: &Case,
    rounds: usize,
    report: &mut Report,
) -> Result<(), Failure> {
    let values = program.shape(program.input).len();
    let entropy = SeededEntropy::new(7);
    let largest = options.batch.iter().copied().max().unwrap_or(1);
    let batches: &[usize] = if options.smoke { &[2] } else { &options.batch };
    let many = if options.smoke { 2 } else { largest };
    let inputs: Vec<Vec<f32>> = (0..many).map(|_| iresnet::picture(&entropy, values)).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let few = if *is_heavy { 2 } else { 4.min(many) };
    let cosine = agreement(cuda, &Cpu::new(threads)?, program, &inputs[..few])?;
    if cosine < COSINE_LEAST {
        let what = format!("{name} on the GPU with the CPU");
        return Err(Failure::Disagreement { what, cosine, least: COSINE_LEAST });
    }
    report.checks.push(format!("{name}: least cosine with the CPU {cosine:.6}"));
    for &batch in batches {
        let taken = cuda.batches_ms(program, &inputs[..batch.min(many)], rounds)?;
        let what = format!("{name}, batch {batch}");
        report.figures.push(Figure::of(what, taken, batch as f64, "faces"));
    }
    Ok(())
}

/// The least cosine of any output of any item.
fn agreement(
    cuda: &Cuda,
    cpu: &Cpu,
    program: &Program,
    inputs: &[Vec<f32>],
) -> Result<f64, Failure> {
    let feeds: Vec<Feed<'_>> = inputs.iter().map(|input| Feed::Tensor(input)).collect();
    let mut held = cuda.load(program, feeds.len())?;
    let mut expected = cpu.load(program, feeds.len())?;
    held.run(&feeds)?;
    expected.run(&feeds)?;
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let pairs = (0..program.outputs.len()).flat_map(|out| (0..inputs.len()).map(move |i| (out, i)));
    let cosines = pairs.map(|(output, item)| {
        let (a, b) = (held.output(output, item), expected.output(output, item));
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    });
    // A value that is no number is the worst of all.
    Ok(cosines.fold(1.0, |least: f64, one| if one < least || one.is_nan() { one } else { least }))
}

fn print(report: &Report) {
    for check in &report.checks {
        println!("- checked: {check}");
    }
    for (kernel, registers, spilled) in &report.kernels {
        println!("- {kernel}: {registers} registers, {spilled} bytes spilled");
    }
    println!("\n| what | median ms | p99 ms | per second |");
    println!("|---|---|---|---|");
    for figure in &report.figures {
        let Figure { what, median_ms, p99_ms, unit, .. } = figure;
        let rate = figure.rate();
        println!("| {what} | {median_ms:.4} | {p99_ms:.4} | {rate:.4e} {unit} |");
    }
}
