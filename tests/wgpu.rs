//! Which device the wgpu backend opens, and what it refuses of a simulated one.
//!
//! Runs on any Vulkan device, Mesa's lavapipe included; without one each test is a counted skip.
#![cfg(feature = "wgpu")]

mod common;

use std::sync::Arc;

use portcullis::{
    backend::{
        Backend, BackendError, FACTORIES, Wish,
        wgpu::{Options, Wgpu},
    },
    ops::program::{
        Activation, BufferId, ChannelOrder, Feed, Op, Output, Program, Shape, Step, WeightId,
    },
};

/// The device with these options, or `None` after a counted skip.
fn device(test: &str, options: &Options) -> Option<Wgpu> {
    match Wgpu::with(options) {
        Ok(backend) => Some(backend),
        Err(unavailable) => {
            common::skip(test, "wgpu", &unavailable.to_string());
            None
        }
    }
}

#[test]
fn an_adapter_is_taken_by_a_part_of_its_name() {
    let test = "an_adapter_is_taken_by_a_part_of_its_name";
    let Some(backend) = device(test, &Options::default()) else { return };
    let name = backend.describe().device;
    let part = name.chars().take(5).collect::<String>().to_uppercase();
    let named = Options { adapter: part, ..Options::default() };
    assert_eq!(device(test, &named).expect("the same one").describe().device, name);
    let absent = Options { adapter: "Difference Engine".to_owned(), ..Options::default() };
    let unavailable = Wgpu::with(&absent).expect_err("there is none");
    assert!(unavailable.why.contains("Difference Engine") && unavailable.why.contains(&name));
}

#[test]
fn nobody_is_given_a_simulated_device_unasked() {
    let test = "nobody_is_given_a_simulated_device_unasked";
    let Some(backend) = device(test, &Options::default()) else { return };
    let factory = FACTORIES.iter().find(|factory| factory.name == "wgpu").expect("it is built");
    let unasked = (factory.make)(&Wish { by_name: false, ..Wish::named(1) });
    if backend.describe().device.contains("llvmpipe") {
        let why = unasked.err().expect("lavapipe is a processor").why;
        assert!(why.contains("llvmpipe") && why.contains("engine.name"), "{why}");
    }
    let asked = (factory.make)(&Wish::named(1));
    assert!(asked.is_ok());
}

#[test]
fn a_loop_that_the_device_would_end_is_refused_or_whole() {
    let test = "a_loop_that_the_device_would_end_is_refused_or_whole";
    let Some(backend) = device(test, &Options::default()) else { return };
    let average = |edge| Program {
        name: "average".to_owned(),
        input: BufferId(0),
        channels: ChannelOrder::Rgb,
        weights: Vec::new(),
        outputs: vec![Output { name: "out".to_owned(), buffer: BufferId(1) }],
        buffers: vec![Shape { h: edge, w: edge, c: 3 }, Shape { h: 1, w: 1, c: 3 }],
        steps: vec![Step { op: Op::GlobalAverage, inputs: vec![BufferId(0)], output: BufferId(1) }],
    };
    // 65,025 turns are taken everywhere; 90,000 by a GPU.
    for edge in [255, 300] {
        let mut network = match backend.load(&average(edge), 1) {
            Ok(network) => network,
            Err(BackendError::Program { step: 0, why, .. }) if edge == 300 => {
                assert!(backend.describe().device.contains("llvmpipe"), "{why}");
                assert!(why.contains("90000 turns"), "{why}");
                continue;
            }
            Err(error) => panic!("{edge}: {error}"),
        };
        // All in the last line: what an ended lane would never come to.
        let mut values = vec![0.0; edge * edge * 3];
        let last = values.len() - edge * 3;
        values[last..].fill(edge as f32);
        network.run(&[Feed::Tensor(&values)]).expect("a tensor is fed");
        assert_eq!(network.output(0, 0), [1.0; 3]);
    }
}

/// Every finite number of half precision, widened.
fn halves() -> Vec<f32> {
    let widened = |bits: u16| {
        let (exponent, fraction) = (i32::from(bits >> 10 & 0x1F), f32::from(bits & 0x3FF));
        let magnitude = match exponent {
            0 => fraction * (-24.0_f32).exp2(),
            _ => (1024.0 + fraction) * ((exponent - 25) as f32).exp2(),
        };
        if bits & 0x8000 == 0 { magnitude } else { -magnitude }
    };
    (0..=u16::MAX).filter(|bits| bits & 0x7C00 != 0x7C00).map(widened).collect()
}

#[test]
fn weights_in_half_precision_are_exact_unpacked_or_emulated() {
    let test = "weights_in_half_precision_are_exact_unpacked_or_emulated";
    const INPUTS: usize = 67;
    let halves = halves();
    // A layer so large that its weights are halved; only the last input meets any.
    let mut weights = vec![0.0; INPUTS * halves.len()];
    weights[(INPUTS - 1) * halves.len()..].copy_from_slice(&halves);
    assert!(size_of_val(&weights[..]) >= 16 << 20);
    let dense =
        Op::Dense { weights: WeightId(0), bias: WeightId(1), activation: Activation::Identity };
    let program = Program {
        name: "halves".to_owned(),
        buffers: vec![Shape { h: 1, w: 1, c: INPUTS }, Shape { h: 1, w: 1, c: halves.len() }],
        weights: vec![Arc::from(weights), Arc::from(vec![0.0; halves.len()])],
        steps: vec![Step { op: dense, inputs: vec![BufferId(0)], output: BufferId(1) }],
        input: BufferId(0),
        channels: ChannelOrder::Rgb,
        outputs: vec![Output { name: "out".to_owned(), buffer: BufferId(1) }],
    };
    for emulate in [false, true] {
        let Some(backend) = device(test, &Options { emulate, ..Options::default() }) else {
            return;
        };
        let mut network = backend.load(&program, 1).expect("it runs here");
        let mut input = [0.0; INPUTS];
        input[INPUTS - 1] = 1.0;
        network.run(&[Feed::Tensor(&input)]).expect("a tensor is fed");
        let detail = backend.describe().detail;
        for (held, half) in network.output(0, 0).iter().zip(&halves) {
            assert_eq!(held, half, "{detail}");
        }
    }
}
