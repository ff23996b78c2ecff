//! `embed` and `detect`: our CPU backend against onnxruntime, on the same model file, the same
//! values and the same number of threads.

use std::{fs, path::Path};

use portcullis::{
    backend::{
        Backend, Network,
        cpu::{Cpu, Isa},
        reference::Reference,
    },
    model,
    ops::program::{ChannelOrder, Feed, Program},
};

use crate::{
    Common, Detect, Embed,
    ceiling::{self, Ceiling},
    fail::Failure,
    peer::{Peer, Setting},
    picture, profile,
    spent::{Measured, nanoseconds, rest},
};

/// Agreement that every output must show before anything is timed.
const COSINE_LEAST: f64 = 0.9999;
/// Values closer than this agree whatever their cosine.
const VALUE_TOLERANCE: f32 = 1e-5;
/// About how long one side's share of a round lasts.
const ROUND_MS: f64 = 120.0;
/// Most runs of a round.
const RUNS_MAX: usize = 40;

/// One row of the table: a program, how many items of it, at which size.
struct Case<'a> {
    name: String,
    program: &'a Program,
    batch: usize,
    size_px: [usize; 2],
}

/// What the reference computes of one item: its number, its outputs.
type Expected = (usize, Vec<Vec<f32>>);

/// `portcullis-bench embed`.
pub(crate) fn embed(asked: &Embed) -> Result<(), Failure> {
    let program = load(&asked.common.model, ChannelOrder::Rgb, None)?;
    let shape = program.shape(program.input);
    let case = |&batch: &usize| Case {
        name: format!("batch {batch}"),
        program: &program,
        batch,
        size_px: [shape.h, shape.w],
    };
    table(&asked.common, &asked.batch.iter().map(case).collect::<Vec<_>>())
}

/// `portcullis-bench detect`.
pub(crate) fn detect(asked: &Detect) -> Result<(), Failure> {
    let programs = asked
        .sizes
        .iter()
        .map(|&size| load(&asked.common.model, ChannelOrder::Bgr, Some([size, size])))
        .collect::<Result<Vec<Program>, Failure>>()?;
    let case = |(&size, program)| Case {
        name: format!("{size} x {size}"),
        program,
        batch: 1,
        size_px: [size, size],
    };
    table(&asked.common, &asked.sizes.iter().zip(&programs).map(case).collect::<Vec<_>>())
}

fn load(
    path: &Path,
    channels: ChannelOrder,
    size_px: Option<[usize; 2]>,
) -> Result<Program, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::File(path.to_owned(), error))?;
    let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into());
    Ok(model::load(&bytes, &name, channels, size_px)?)
}

/// The backend that is asked for.
fn backend(common: &Common, threads: usize) -> Result<Cpu, Failure> {
    Ok(match common.isa {
        None => Cpu::new(threads)?,
        Some(name) => Cpu::with_isa(threads, Isa::from(name))?,
    })
}

fn table(common: &Common, cases: &[Case<'_>]) -> Result<(), Failure> {
    print_machine(common, &backend(common, 1)?);
    println!(
        "| {} | threads | ours ms (least) | ms / item | GMAC/s | of peak | onnxruntime ms (least) \
         | ratio (least) |",
        common.model.file_stem().unwrap_or_default().to_string_lossy()
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut notes = Vec::new();
    for case in cases {
        let inputs = inputs(case);
        let expected = expected(case, &inputs)?;
        for &threads in &common.threads {
            let cpu = backend(common, threads)?;
            let ceiling = ceiling::measure(&cpu, common.smoke);
            let cosine = row(common, case, &cpu, &ceiling, &inputs, &expected)?;
            let note = format!(
                "{}, {threads} threads: {:.1} G multiply-adds/s from registers, {:.1} GB/s read; \
                 least cosine with the reference {cosine:.9}",
                case.name, ceiling.gmacs, ceiling.gbytes
            );
            notes.push(note);
        }
    }
    println!("\nceilings and agreement, measured before each row:");
    for note in notes {
        println!("- {note}");
    }
    if common.profile {
        let cpu = backend(common, 1)?;
        let ceiling = ceiling::measure(&cpu, common.smoke);
        for case in cases.iter().take(if cases[0].batch == 1 { 1 } else { 0 }) {
            profile::print(&cpu, case.program, ceiling.gmacs)?;
        }
    }
    Ok(())
}

fn print_machine(common: &Common, cpu: &Cpu) {
    let facts = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = facts.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "processor: {} · {cores} cores · {} · rounds: {}{}\n",
        model.unwrap_or("unknown"),
        cpu.isa().name(),
        common.rounds,
        if common.smoke { " · smoke run, figures mean nothing" } else { "" },
    );
}

/// One picture per item, NHWC.
fn inputs(case: &Case<'_>) -> Vec<Vec<f32>> {
    let [height, width] = case.size_px;
    (0..case.batch).map(|item| picture::values(item as u64 + 1, height, width)).collect()
}

/// What the reference computes of the first and the last item: item, outputs.
fn expected(case: &Case<'_>, inputs: &[Vec<f32>]) -> Result<Vec<Expected>, Failure> {
    let mut network = Reference::new().load(case.program, 1)?;
    let mut items = vec![0, case.batch - 1];
    items.dedup();
    let mut expected = Vec::new();
    for item in items {
        network.run(&[Feed::Tensor(&inputs[item])])?;
        let outputs =
            (0..case.program.outputs.len()).map(|index| network.output(index, 0).to_vec());
        expected.push((item, outputs.collect()));
    }
    Ok(expected)
}

fn row(
    common: &Common,
    case: &Case<'_>,
    cpu: &Cpu,
    ceiling: &Ceiling,
    inputs: &[Vec<f32>],
    expected: &[Expected],
) -> Result<f64, Failure> {
    let mut network = cpu.load(case.program, case.batch)?;
    let mut least = 1.0_f64;
    let feeds: Vec<Feed<'_>> = inputs.iter().map(|values| Feed::Tensor(values)).collect();
    network.run(&feeds)?;
    for (item, outputs) in expected {
        for (index, values) in outputs.iter().enumerate() {
            let held = network.output(index, *item);
            least = least.min(agree("cpu with reference", index, held, values)?);
        }
    }
    let threads = cpu.describe().threads;
    let mut peer = start_peer(common, case, threads, inputs, expected)?;
    let (ours, theirs) = rounds(common, network.as_mut(), &feeds, peer.as_mut())?;
    let gmacs = (case.program.macs() * case.batch as u64) as f64 / ours.median_ms() / 1e6;
    let peers = match &peer {
        None => "- | -".to_owned(),
        Some(_) => format!(
            "{:.2} ({:.2}) | {:.2} ({:.2})",
            theirs.median_ms(),
            theirs.least_ms(),
            theirs.median_ms() / ours.median_ms(),
            theirs.least_ms() / ours.least_ms()
        ),
    };
    println!(
        "| {} | {threads} | {:.2} ({:.2}) | {:.2} | {gmacs:.1} | {:.0} % | {peers} |",
        case.name,
        ours.median_ms(),
        ours.least_ms(),
        ours.median_ms() / case.batch as f64,
        100.0 * gmacs / ceiling.gmacs,
    );
    Ok(least)
}

fn start_peer(
    common: &Common,
    case: &Case<'_>,
    threads: usize,
    inputs: &[Vec<f32>],
    expected: &[Expected],
) -> Result<Option<Peer>, Failure> {
    let Some(python) = &common.python else { return Ok(None) };
    let input: Vec<f32> = inputs.iter().flat_map(|values| picture::planar(values)).collect();
    let peer = Peer::start(&Setting {
        python,
        model: &common.model,
        threads,
        batch: case.batch,
        size_px: case.size_px,
        input: &input,
    })?;
    for (item, outputs) in expected {
        for (index, values) in outputs.iter().enumerate() {
            let held = peer.outputs.get(index).map_or(&[][..], Vec::as_slice);
            let held = held.get(item * values.len()..(item + 1) * values.len()).unwrap_or_default();
            agree(&format!("onnxruntime {} with reference", peer.version), index, held, values)?;
        }
    }
    Ok(Some(peer))
}

/// Times both sides in turn.
fn rounds(
    common: &Common,
    network: &mut dyn Network,
    feeds: &[Feed<'_>],
    mut peer: Option<&mut Peer>,
) -> Result<(Measured, Measured), Failure> {
    let mut outcome = Ok(());
    let once_ms = nanoseconds(|| outcome = network.run(feeds)) as f64 / 1e6;
    outcome?;
    let (count, runs) = if common.smoke {
        (1, 2)
    } else {
        (common.rounds, ((ROUND_MS / once_ms) as usize).clamp(1, RUNS_MAX))
    };
    let (mut ours, mut theirs) = (Measured::default(), Measured::default());
    for _ in 0..count {
        rest();
        network.run(feeds)?;
        for _ in 0..runs {
            let mut outcome = Ok(());
            let spent = nanoseconds(|| outcome = network.run(feeds));
            outcome?;
            ours.extend([spent]);
        }
        if let Some(peer) = &mut peer {
            rest();
            // The first run of a round wakes the threads up; on both sides it does not count.
            theirs.extend(peer.time(runs + 1)?.into_iter().skip(1));
        }
    }
    Ok((ours, theirs))
}

/// The cosine of two outputs; refuses them where they do not point the same way.
fn agree(who: &str, index: usize, held: &[f32], expected: &[f32]) -> Result<f64, Failure> {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    // Probabilities near zero point anywhere in single precision; as values they agree.
    let near = held.iter().zip(expected).all(|(a, b)| (a - b).abs() <= VALUE_TOLERANCE);
    let norms = (dot(held, held) * dot(expected, expected)).sqrt();
    let cosine = dot(held, expected) / norms;
    if held.len() == expected.len() && (cosine >= COSINE_LEAST || near) {
        return Ok(cosine);
    }
    let what = format!("{who}, output {index}");
    Err(Failure::Disagreement { what, cosine, least: COSINE_LEAST })
}
