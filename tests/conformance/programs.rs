//! Whole networks: graphs with branches, buffers that live long, outputs from anywhere.

use std::sync::Arc;

use portcullis::{
    backend::BackendError,
    ops::program::{BufferId, Feed, Op, Program, Shape, WeightId, Window},
};

use crate::support::{
    dice::Dice,
    networks::{self, Draft},
    oracle::{self, Closeness},
};

const GRAPHS: usize = 60;

#[test]
fn graphs_at_random_agree_with_the_ops() {
    let Some(backend) = super::backend("graphs") else { return };
    let dice = &mut Dice::thrown_for("graphs");
    for _ in 0..GRAPHS {
        let program = networks::graph(dice);
        let batch_max = 1 + dice.below(4);
        let mut network = backend.load(&program, batch_max).expect("a sound program loads");
        oracle::poison(network.as_mut(), &program);
        for batch in [batch_max, 1] {
            let inputs = oracle::inputs(dice, &program, batch);
            oracle::compare(network.as_mut(), &program, &inputs, Closeness::Network);
        }
    }
}

/// Two residual blocks, a squeeze-and-excitation gate, a dense head: what embedders are made of.
fn embedder(dice: &mut Dice) -> Program {
    let same = Window { kernel: [3, 3], stride: [1, 1], pad: [1; 4] };
    let half = Window { kernel: [3, 3], stride: [2, 2], pad: [1; 4] };
    let point = Window { kernel: [1, 1], stride: [2, 2], pad: [0; 4] };
    let mut draft = Draft::new("embedder", Shape { h: 28, w: 28, c: 3 });
    let normed = draft.affine(dice, BufferId(0));
    let stem = draft.conv2d(dice, normed, same, 16, None);
    let inner = draft.conv2d(dice, stem, same, 16, None);
    let first = draft.conv2d(dice, inner, same, 16, Some(stem));
    let shortcut = draft.conv2d(dice, first, point, 24, None);
    let wide = draft.depthwise(dice, first, half, None);
    let second = draft.conv2d(dice, wide, Window { stride: [1, 1], ..point }, 24, Some(shortcut));
    let mean = draft.global_average(second);
    let gate = draft.dense(dice, mean, 24);
    let gated = draft.scale(second, gate);
    let embedding = draft.dense(dice, gated, 128);
    draft.finish(&[embedding])
}

/// A pyramid with three heads: what detectors are made of.
fn detector(dice: &mut Dice) -> Program {
    let point = Window { kernel: [1, 1], stride: [1, 1], pad: [0; 4] };
    let around = Window { kernel: [3, 3], stride: [1, 1], pad: [1; 4] };
    let half = Window { kernel: [2, 2], stride: [2, 2], pad: [0; 4] };
    let mut draft = Draft::new("detector", Shape { h: 32, w: 24, c: 3 });
    let stem = Window { stride: [2, 2], ..around };
    let fine = draft.conv2d(dice, BufferId(0), stem, 16, None);
    let fine = draft.conv2d(dice, fine, point, 32, None);
    let fine = draft.depthwise(dice, fine, around, None);
    let coarse = draft.max_pool(fine, half);
    let coarse = draft.conv2d(dice, coarse, point, 32, None);
    let coarse = draft.depthwise(dice, coarse, around, None);
    let enlarged = draft.upsample(coarse, 2);
    let merged = draft.add(dice, fine, enlarged);
    let fine_head = draft.conv2d(dice, merged, point, 14, None);
    let coarse_head = draft.conv2d(dice, coarse, point, 14, None);
    let shares = draft.softmax(coarse_head);
    draft.finish(&[fine_head, coarse_head, shares])
}

#[test]
fn embedders_and_detectors_agree_in_every_batch_size() {
    let Some(backend) = super::backend("shapes of the field") else { return };
    let dice = &mut Dice::thrown_for("shapes of the field");
    for program in [embedder(dice), detector(dice)] {
        let mut network = backend.load(&program, 5).expect("a sound program loads");
        oracle::poison(network.as_mut(), &program);
        for batch in [5, 1, 3, 2, 4] {
            let inputs = oracle::inputs(dice, &program, batch);
            oracle::compare(network.as_mut(), &program, &inputs, Closeness::Network);
        }
    }
}

#[test]
fn the_same_input_gives_the_same_bits() {
    let Some(backend) = super::backend("same bits") else { return };
    let dice = &mut Dice::thrown_for("same bits");
    let program = embedder(dice);
    let inputs = oracle::inputs(dice, &program, 2);
    let feeds = [Feed::Tensor(&inputs[0]), Feed::Tensor(&inputs[1])];
    let mut bits = Vec::new();
    for _ in 0..2 {
        let mut network = backend.load(&program, 2).expect("a sound program loads");
        for _ in 0..2 {
            network.run(&feeds).expect("two items");
            let both = [network.output(0, 0), network.output(0, 1)].concat();
            bits.push(both.iter().map(|value| value.to_bits()).collect::<Vec<u32>>());
        }
    }
    assert!(bits.windows(2).all(|pair| pair[0] == pair[1]), "evidence must be reproducible");
}

#[test]
fn an_input_and_one_buffer_twice_may_be_outputs() {
    let Some(backend) = super::backend("unusual outputs") else { return };
    let dice = &mut Dice::thrown_for("unusual outputs");
    let mut draft = Draft::new("twice", Shape { h: 3, w: 2, c: 5 });
    let large = draft.upsample(BufferId(0), 2);
    let twice = draft.finish(&[large, BufferId(0), large]);
    let nothing = Draft::new("nothing", Shape { h: 3, w: 2, c: 5 }).finish(&[BufferId(0)]);
    for program in [twice, nothing] {
        let mut network = backend.load(&program, 2).expect("a sound program loads");
        let inputs = oracle::inputs(dice, &program, 2);
        oracle::compare(network.as_mut(), &program, &inputs, Closeness::Exact);
    }
}

#[test]
fn networks_share_nothing_and_may_move_to_another_thread() {
    let Some(backend) = super::backend("two networks") else { return };
    let dice = &mut Dice::thrown_for("two networks");
    let program = detector(dice);
    let inputs = oracle::inputs(dice, &program, 1);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let mut network = backend.load(&program, 1).expect("a sound program loads");
            let (program, inputs) = (&program, &inputs);
            scope.spawn(move || {
                for _ in 0..3 {
                    oracle::compare(network.as_mut(), program, inputs, Closeness::Network);
                }
            });
        }
    });
}

#[test]
fn malformed_programs_are_refused_before_anything_runs() {
    let Some(backend) = super::backend("malformed") else { return };
    let dice = &mut Dice::thrown_for("malformed");
    let sound = embedder(dice);
    let changes: [fn(&mut Program); 8] = [
        |program| program.input = BufferId(99),
        |program| program.outputs.clear(),
        |program| program.outputs[0].buffer = BufferId(99),
        |program| program.buffers[1].c += 1,
        |program| program.steps[2].inputs[0] = program.steps[2].output,
        |program| program.steps[3].inputs.push(BufferId(0)),
        |program| program.weights[0] = Arc::from([1.0]),
        |program| match &mut program.steps[1].op {
            Op::Conv2d { weights, .. } => *weights = WeightId(99),
            other => panic!("the stem is a convolution, not {other:?}"),
        },
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut program = sound.clone();
        change(&mut program);
        let refused = backend.load(&program, 1).err();
        let named =
            matches!(refused, Some(BackendError::Malformed(_) | BackendError::Program { .. }));
        assert!(named, "change {number}: {refused:?}");
    }
}
