//! Our register blocks against faer, on the pointwise convolutions of an embedder: `pixels` ×
//! `depth` times `depth` × `channels`, one thread. Ours copy the left side in, add a bias and apply
//! PReLU; faer is timed bare, and with the same three things around it.

use std::sync::Arc;

use faer::{Accum, Mat, MatMut, MatRef, Par, linalg::matmul::matmul};
use portcullis::{
    backend::cpu::{Cpu, Isa},
    ops::program::{
        Activation, BufferId, ChannelOrder, Op, Output, Program, Shape, Step, WeightId, Window,
    },
};

use crate::{
    Products, ceiling,
    fail::Failure,
    picture, profile,
    spent::{Measured, nanoseconds},
};

/// Width of the square picture, depth and channels.
const SIZES: [[usize; 3]; 6] =
    [[112, 32, 64], [56, 64, 128], [56, 128, 128], [28, 256, 256], [14, 512, 512], [7, 1024, 1024]];
/// Products of each size; the least counts.
const REPEATS: usize = 25;

/// `portcullis-bench products`.
pub(crate) fn products(asked: &Products) -> Result<(), Failure> {
    let cpu = match asked.isa {
        None => Cpu::new(1)?,
        Some(name) => Cpu::with_isa(1, Isa::from(name))?,
    };
    let ceiling = ceiling::measure(&cpu, false);
    println!("{}, {:.1} G multiply-adds/s from registers\n", cpu.isa().name(), ceiling.gmacs);
    println!("| pixels x depth x channels | ours GMAC/s | faer, the same work | faer, bare |");
    println!("|---|---|---|---|");
    for [width, depth, channels] in SIZES {
        let program = pointwise(width, depth, channels);
        let ours = profile::step_ms(&cpu, &program)?;
        let [bare, same] = faer_ms(width * width, depth, channels);
        let gmacs = |ms: f64| program.macs() as f64 / ms / 1e6;
        println!(
            "| {} x {depth} x {channels} | {:.1} | {:.1} | {:.1} |",
            width * width,
            gmacs(ours),
            gmacs(same),
            gmacs(bare),
        );
    }
    Ok(())
}

fn values(count: usize) -> Vec<f32> {
    let picture = picture::values(3, 1, count.div_ceil(3));
    picture.into_iter().take(count).map(|value| value / 128.0 - 1.0).collect()
}

fn pointwise(width: usize, depth: usize, channels: usize) -> Program {
    let shape = |c| Shape { h: width, w: width, c };
    let weight = |count| Arc::from(values(count));
    let [weights, bias, slopes] = [0, 1, 2].map(WeightId);
    let window = Window { kernel: [1, 1], stride: [1, 1], pad: [0; 4] };
    let op = Op::Conv2d { window, weights, bias, activation: Activation::Prelu(slopes) };
    Program {
        name: "product".to_owned(),
        input: BufferId(0),
        channels: ChannelOrder::Rgb,
        buffers: vec![shape(depth), shape(channels)],
        weights: vec![weight(depth * channels), weight(channels), weight(channels)],
        steps: vec![Step { op, inputs: vec![BufferId(0)], output: BufferId(1) }],
        outputs: vec![Output { name: "product".to_owned(), buffer: BufferId(1) }],
    }
}

/// faer's product in milliseconds, row-major as our activations lie: bare, and with the left side
/// copied in, a bias and PReLU. Both layouts of the right side are tried; the better one counts.
fn faer_ms(pixels: usize, depth: usize, channels: usize) -> [f64; 2] {
    let (fed, right) = (values(pixels * depth), values(depth * channels));
    let bias = values(channels);
    let rows = MatRef::from_row_major_slice(&right, depth, channels);
    let columns = Mat::from_fn(depth, channels, |k, n| rows[(k, n)]);
    let mut left = vec![0.0_f32; pixels * depth];
    let mut out = vec![0.0_f32; pixels * channels];
    let (mut bare, mut same) = (Measured::default(), Measured::default());
    for right in [rows, columns.as_ref()] {
        for _ in 0..REPEATS {
            let copying = nanoseconds(|| left.copy_from_slice(&fed));
            let left = MatRef::from_row_major_slice(&left, pixels, depth);
            let to = MatMut::from_row_major_slice_mut(&mut out, pixels, channels);
            let product = nanoseconds(|| matmul(to, Accum::Replace, left, right, 1.0, Par::Seq));
            let finishing = nanoseconds(|| {
                for pixel in out.chunks_exact_mut(channels) {
                    for (value, bias) in pixel.iter_mut().zip(&bias) {
                        let sum = *value + bias;
                        *value = if sum < 0.0 { sum * bias } else { sum };
                    }
                }
            });
            bare.extend([product]);
            same.extend([copying + product + finishing]);
        }
    }
    [bare.least_ms(), same.least_ms()]
}
