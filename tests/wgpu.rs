//! Which device the wgpu backend opens, and what it refuses of a simulated one.
//!
//! Runs on any Vulkan device, Mesa's lavapipe included; without one each test is a counted skip.
#![cfg(feature = "wgpu")]

mod common;

use portcullis::{
    backend::{
        Backend, BackendError, FACTORIES, Wish,
        wgpu::{Options, Wgpu},
    },
    ops::program::{BufferId, ChannelOrder, Feed, Op, Output, Program, Shape, Step},
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
    let unasked = (factory.make)(&Wish { threads: 1, adapter: "", kernels: None, by_name: false });
    if backend.describe().device.contains("llvmpipe") {
        let why = unasked.err().expect("lavapipe is a processor").why;
        assert!(why.contains("llvmpipe") && why.contains("engine.name"), "{why}");
    }
    let asked = (factory.make)(&Wish { threads: 1, adapter: "", kernels: None, by_name: true });
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
