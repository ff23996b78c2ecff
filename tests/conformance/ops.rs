//! Every op of the table, alone, over many odd shapes and batches.

use portcullis::ops::{ALL, Class};

use crate::support::{
    dice::Dice,
    networks,
    oracle::{self, Closeness},
};

/// Cases per op: every channel count several times.
const CASES: usize = 36;
/// Largest batch.
const BATCH_MAX: usize = 5;

/// One test per op that is a step of a program, named as the op.
macro_rules! steps {
    ($($op:ident),* $(,)?) => {
        $(#[test]
        fn $op() {
            check(stringify!($op), networks::$op);
        })*
        const STEPS: &[&str] = &[$(stringify!($op)),*];
    };
}

steps! {
    activation,
    add,
    affine,
    concat,
    conv2d,
    dense,
    depthwise,
    global_average,
    max_pool,
    scale,
    softmax,
    upsample,
}

/// Ops that are not steps, and where they are held to their meaning: `fit` and `warp` in `feeds`,
/// `score` and `search` in `search`. `quantise` runs on the host only, through the calibration.
const ELSEWHERE: &[&str] = &["fit", "quantise", "score", "search", "warp"];

#[test]
fn every_op_of_the_table_has_cases() {
    let mut covered = [STEPS, ELSEWHERE].concat();
    covered.sort_unstable();
    let table: Vec<&str> = ALL.iter().map(|row| row.name).collect();
    assert_eq!(covered, table);
}

#[test]
fn steps_of_the_field_agree_in_every_batch_size() {
    let Some(backend) = super::backend("of the field") else { return };
    let dice = &mut Dice::thrown_for("of the field");
    for program in networks::of_the_field(dice) {
        let mut network = backend.load(&program, 4).expect("a sound program loads");
        oracle::poison(network.as_mut(), &program);
        for batch in [1, 4] {
            let inputs = oracle::inputs(dice, &program, batch);
            oracle::compare(network.as_mut(), &program, &inputs, Closeness::Op);
        }
    }
}

#[test]
fn a_dense_layer_of_many_megabytes_agrees() {
    let Some(backend) = super::backend("large dense") else { return };
    let dice = &mut Dice::thrown_for("large dense");
    let program = networks::large_dense(dice);
    let mut network = backend.load(&program, 3).expect("a sound program loads");
    for batch in [1, 3] {
        let inputs = oracle::inputs(dice, &program, batch);
        oracle::compare(network.as_mut(), &program, &inputs, Closeness::Halved);
    }
}

fn check(op: &str, draft: fn(&mut Dice, usize) -> portcullis::ops::program::Program) {
    let Some(backend) = super::backend(op) else { return };
    let dice = &mut Dice::thrown_for(op);
    let row = ALL.iter().find(|row| row.name == op).expect("a row of the table");
    let closeness = match row.class {
        Class::Exact => Closeness::Exact,
        Class::Network => Closeness::Op,
    };
    for number in 0..CASES {
        let program = draft(dice, number);
        let mut network = backend.load(&program, BATCH_MAX).expect("a sound program loads");
        oracle::poison(network.as_mut(), &program);
        let batch = 1 + dice.below(BATCH_MAX);
        let inputs = oracle::inputs(dice, &program, batch);
        oracle::compare(network.as_mut(), &program, &inputs, closeness);
    }
}
