//! What is refused, and that a refusal harms nothing; what is wiped; what a backend says of itself.

use portcullis::{
    backend::{BackendError, FACTORIES, Network},
    ops::{
        ALL,
        program::{BufferId, Feed, Program, Shape, ToFrame},
    },
    types::Frame,
};

use crate::support::{
    dice::Dice,
    networks::{CHANNELS, Draft},
    oracle::{self, Closeness},
};

const SHAPE: Shape = Shape { h: 4, w: 3, c: 4 };
const VALUES: usize = 48;

/// Two outputs: all of a small network and its middle.
fn network_of_two(dice: &mut Dice) -> Program {
    let mut draft = Draft::new("two", SHAPE);
    let middle = draft.affine(dice, BufferId(0));
    let last = draft.dense(dice, middle, 7);
    draft.finish(&[last, middle])
}

#[test]
fn batches_of_none_and_of_too_many_are_refused_and_harm_nothing() {
    let Some(backend) = super::backend("batch limits") else { return };
    let dice = &mut Dice::thrown_for("batch limits");
    let program = network_of_two(dice);
    let mut network = backend.load(&program, 3).expect("a sound program loads");
    assert_eq!(network.batch_max(), 3);
    let values = [0.5; VALUES];
    for held in [0, 4] {
        let refused = network.run(&vec![Feed::Tensor(&values); held]);
        assert_eq!(refused, Err(BackendError::Batch { held, most: 3 }));
    }
    let inputs = oracle::inputs(dice, &program, 3);
    oracle::compare(network.as_mut(), &program, &inputs, Closeness::Network);
    assert!(backend.load(&program, 0).is_err(), "a network of no items computes nothing");
}

#[test]
fn wrong_tensors_are_refused_by_item_and_harm_nothing() {
    let Some(backend) = super::backend("tensor limits") else { return };
    let dice = &mut Dice::thrown_for("tensor limits");
    let program = network_of_two(dice);
    let mut network = backend.load(&program, 3).expect("a sound program loads");
    let (right, wrong) = ([0.5; VALUES], [0.5; VALUES + 1]);
    for held in [0, 1, VALUES - 1, VALUES + 1] {
        let refused = network.run(&[Feed::Tensor(&right), Feed::Tensor(&wrong[..held])]);
        assert_eq!(refused, Err(BackendError::Input { item: 1, needed: VALUES, held }));
    }
    let inputs = oracle::inputs(dice, &program, 2);
    oracle::compare(network.as_mut(), &program, &inputs, Closeness::Network);
}

#[test]
fn pictures_are_refused_where_the_input_has_not_three_channels() {
    let Some(backend) = super::backend("picture limits") else { return };
    let frame = Frame::new(vec![9; 12], 2, 2).expect("four pixels");
    let frame = frame.view();
    let to_frame = ToFrame([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    for c in CHANNELS {
        let program = Draft::new("picture", Shape { c, ..SHAPE }).finish(&[BufferId(0)]);
        let mut network = backend.load(&program, 1).expect("a sound program loads");
        for feed in [Feed::Fit { frame }, Feed::Warp { frame, to_frame }] {
            let expected = match c {
                3 => Ok(()),
                channels => Err(BackendError::Picture { item: 0, channels }),
            };
            assert_eq!(network.run(&[feed]), expected);
        }
    }
}

fn all_outputs(network: &dyn Network, outputs: usize, items: usize) -> Vec<f32> {
    let each = (0..items).flat_map(|item| (0..outputs).map(move |index| (index, item)));
    each.flat_map(|(index, item)| network.output(index, item)).copied().collect()
}

#[test]
fn wiping_leaves_zeros_and_a_network_that_still_works() {
    let Some(backend) = super::backend("wipe") else { return };
    let dice = &mut Dice::thrown_for("wipe");
    let program = network_of_two(dice);
    let mut network = backend.load(&program, 3).expect("a sound program loads");
    for _ in 0..2 {
        let inputs = oracle::inputs(dice, &program, 3);
        oracle::compare(network.as_mut(), &program, &inputs, Closeness::Network);
        assert!(all_outputs(network.as_ref(), 2, 3).iter().any(|&value| value != 0.0));
        network.wipe();
        assert!(all_outputs(network.as_ref(), 2, 3).iter().all(|value| value.to_bits() == 0));
    }
}

#[test]
fn a_backend_describes_itself_in_the_words_of_the_tables() {
    let Some(backend) = super::backend("describe") else { return };
    let said = backend.describe();
    assert!(FACTORIES.iter().any(|factory| factory.name == said.name), "{said:?}");
    assert!(said.threads >= 1 && !said.device.is_empty(), "{said:?}");
    for missing in said.missing {
        assert!(ALL.iter().any(|row| row.name == missing), "{missing} is no op");
    }
}
