//! Where the time goes: every step alone, as a program of its own, on one thread.
//!
//! Alone means unfused: input and output of each step pass through memory, so the sum is more than
//! the network takes; the difference is what fusing saves.

use std::collections::BTreeMap;

use portcullis::{
    backend::{Backend, cpu::Cpu},
    ops::program::{BufferId, Feed, Op, Output, Program, Shape, Step, Window},
};

use crate::{
    fail::Failure,
    picture,
    spent::{Measured, nanoseconds},
};

/// Runs of each step.
const RUNS: usize = 15;

/// Prints one line per kind of step, the dearest first.
pub(crate) fn print(cpu: &Cpu, program: &Program, ceiling_gmacs: f64) -> Result<(), Failure> {
    let mut kinds: BTreeMap<String, (usize, u64, f64)> = BTreeMap::new();
    for step in &program.steps {
        let alone = alone(program, step);
        let ms = step_ms(cpu, &alone)?;
        let entry = kinds.entry(kind(program, step)).or_default();
        *entry = (entry.0 + 1, entry.1 + alone.macs(), entry.2 + ms);
    }
    let total: f64 = kinds.values().map(|(_, _, ms)| ms).sum();
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by(|a, b| b.1.2.total_cmp(&a.1.2));
    println!("\nwhere the time goes (each step alone, unfused, one thread; {total:.3} ms in all)");
    println!("| step | count | MMAC | ms | share | GMAC/s | of peak |");
    println!("|---|---|---|---|---|---|---|");
    for (kind, (count, macs, ms)) in kinds {
        let gmacs = macs as f64 / ms / 1e6;
        println!(
            "| {kind} | {count} | {:.1} | {ms:.3} | {:.0} % | {gmacs:.1} | {:.0} % |",
            macs as f64 / 1e6,
            100.0 * ms / total,
            100.0 * gmacs / ceiling_gmacs,
        );
    }
    Ok(())
}

/// The least time of a program of one step, without the copy of its answer: half of what a network
/// of nothing else spends, which copies once in and once out. The input is read from the caller row
/// by row.
pub(crate) fn step_ms(cpu: &Cpu, alone: &Program) -> Result<f64, Failure> {
    let shape = alone.shape(alone.outputs[0].buffer);
    let ms = least_ms(cpu, alone)? - least_ms(cpu, &copied(alone, shape))? / 2.0;
    Ok(ms.max(1e-3))
}

/// What kind of step it is: steps of one kind are bound by the same thing.
fn kind(program: &Program, step: &Step) -> String {
    let shape = program.shape(step.output);
    let windowed = |name: &str, window: Window| {
        let ([height, width], [stride, _]) = (window.kernel, window.stride);
        format!("{name} {height}x{width}/{stride}, {} px wide", shape.w)
    };
    match step.op {
        Op::Conv2d { window, .. } => windowed("conv2d", window),
        Op::Depthwise { window, .. } => windowed("depthwise", window),
        Op::MaxPool { window } => windowed("max_pool", window),
        Op::Add { .. } => "add".to_owned(),
        Op::Affine { .. } => "affine".to_owned(),
        Op::Concat => "concat".to_owned(),
        Op::Dense { .. } => "dense".to_owned(),
        Op::GlobalAverage => "global_average".to_owned(),
        Op::Scale => "scale".to_owned(),
        Op::Softmax => "softmax".to_owned(),
        Op::Upsample { .. } => "upsample".to_owned(),
    }
}

/// `step` as a program: its first input is fed, the others are the same buffer where they have its
/// shape, and left out where they may be.
fn alone(program: &Program, step: &Step) -> Program {
    let (input, output) = (program.shape(step.inputs[0]), program.shape(step.output));
    let like_first = |&&id: &&BufferId| program.shape(id) == input;
    let inputs = step.inputs.iter().filter(like_first).map(|_| BufferId(0)).collect();
    let one = Step { op: step.op, inputs, output: BufferId(1) };
    one_step(program, vec![input, output], vec![one], BufferId(1))
}

/// Nothing but the feed, and the output that is it.
fn copied(program: &Program, shape: Shape) -> Program {
    one_step(program, vec![shape], Vec::new(), BufferId(0))
}

fn one_step(program: &Program, buffers: Vec<Shape>, steps: Vec<Step>, out: BufferId) -> Program {
    let output = Output { name: "out".to_owned(), buffer: out };
    Program { input: BufferId(0), buffers, steps, outputs: vec![output], ..program.clone() }
}

/// The least time of a program on random values.
fn least_ms(cpu: &Cpu, program: &Program) -> Result<f64, Failure> {
    let mut network = cpu.load(program, 1)?;
    let shape = program.shape(program.input);
    let values: Vec<f32> = picture::values(7, shape.h, (shape.w * shape.c).div_ceil(3))
        .into_iter()
        .map(|value| value / 128.0 - 1.0)
        .take(shape.len())
        .collect();
    let feeds = [Feed::Tensor(&values)];
    let mut measured = Measured::default();
    for _ in 0..RUNS {
        let mut outcome = Ok(());
        let spent = nanoseconds(|| outcome = network.run(&feeds));
        outcome?;
        measured.extend([spent]);
    }
    Ok(measured.least_ms())
}
