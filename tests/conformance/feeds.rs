//! What a network is fed: tensors, whole frames, warped crops, alone and in one batch.

use portcullis::{
    ops::{
        fit::fit,
        item::ItemMut,
        program::{BufferId, ChannelOrder, Feed, Program, Shape, ToFrame},
        warp::warp,
    },
    types::Frame,
};

use crate::support::{
    dice::Dice,
    networks::Draft,
    oracle::{assert_close, kept, kept_tolerance, poison},
};

/// Inputs and frames, rows × columns: equal, smaller, larger, thin, single pixels, ratios that are
/// whole and that are not.
const INPUTS: [[usize; 2]; 7] = [[1, 1], [1, 7], [8, 8], [9, 5], [16, 16], [32, 24], [112, 112]];
const FRAMES: [[u32; 2]; 14] = [
    [1, 1],
    [1, 2],
    [2, 1],
    [1, 90],
    [90, 1],
    [3, 3],
    [8, 8],
    [9, 8],
    [16, 16],
    [17, 15],
    [31, 64],
    [48, 48],
    [97, 113],
    [240, 320],
];

/// Gives its input, untouched: one enlargement by one.
fn mirror(shape: Shape, channels: ChannelOrder) -> Program {
    let mut draft = Draft::new("mirror", shape);
    let output = draft.upsample(BufferId(0), 1);
    Program { channels, ..draft.finish(&[output]) }
}

fn frame(dice: &mut Dice, [h, w]: [u32; 2]) -> Frame {
    let pixels = dice.bytes(h as usize * w as usize * 3);
    Frame::new(pixels, w, h).expect("exactly its pixels")
}

/// Turned, shrunk or enlarged, shifted, sometimes mirrored, sometimes far outside.
fn placement(dice: &mut Dice, [h, w]: [u32; 2]) -> ToFrame {
    let (angle, size) = (dice.unit() * 3.2, (dice.unit() * 2.0).exp());
    let (sin, cos) = ((angle.sin() * size), (angle.cos() * size));
    let mirrored = if dice.below(4) == 0 { -1.0 } else { 1.0 };
    let away = if dice.below(8) == 0 { 4.0 } else { 0.6 };
    let (x, y) = (w as f32 * (0.5 + dice.unit() * away), h as f32 * (0.5 + dice.unit() * away));
    ToFrame([cos * mirrored, -sin, x, sin * mirrored, cos, y])
}

fn fitted(frame: &Frame, program: &Program) -> Vec<f32> {
    let shape = program.shape(program.input);
    let mut values = vec![f32::NAN; shape.len()];
    fit(frame.view(), program.channels, &mut ItemMut::new(shape, &mut values));
    values
}

fn warped(frame: &Frame, to_frame: &ToFrame, program: &Program) -> Vec<f32> {
    let shape = program.shape(program.input);
    let mut values = vec![f32::NAN; shape.len()];
    warp(frame.view(), to_frame, program.channels, &mut ItemMut::new(shape, &mut values));
    values
}

/// Half the range of values per pixel of position, for positions and blends computed in f32: three
/// roundings of the largest term on either axis.
fn warp_tolerance(to_frame: &ToFrame, shape: Shape) -> f32 {
    let m = to_frame.0.map(f32::abs);
    let (x, y) = (shape.w as f32, shape.h as f32);
    let largest = (m[0] * x + m[1] * y + m[2]).max(m[3] * x + m[4] * y + m[5]);
    255.0 * (2.0 * 3.0 * largest + 4.0) * f32::EPSILON
}

#[test]
fn frames_are_fitted_bit_for_bit() {
    let Some(backend) = super::backend("fit") else { return };
    let dice = &mut Dice::thrown_for("fit");
    for [h, w] in INPUTS {
        let channels = dice.pick(&[ChannelOrder::Bgr, ChannelOrder::Rgb]);
        let program = mirror(Shape { h, w, c: 3 }, channels);
        let mut network = backend.load(&program, 1).expect("a sound program loads");
        for size in FRAMES {
            poison(network.as_mut(), &program);
            let frame = frame(dice, size);
            network.run(&[Feed::Fit { frame: frame.view() }]).expect("a frame is fed");
            let what = format!("frame {size:?} in {h} x {w}");
            assert_close(network.output(0, 0), &fitted(&frame, &program), 0.0, &what, &program);
        }
    }
}

#[test]
fn bright_frames_of_many_pixels_do_not_overflow() {
    let Some(backend) = super::backend("bright") else { return };
    let program = mirror(Shape { h: 1, w: 1, c: 3 }, ChannelOrder::Rgb);
    let mut network = backend.load(&program, 1).expect("a sound program loads");
    let white = Frame::new(vec![255; 2000 * 1500 * 3], 2000, 1500).expect("three megapixels");
    network.run(&[Feed::Fit { frame: white.view() }]).expect("a frame is fed");
    assert_eq!(network.output(0, 0), [255.0; 3]);
}

#[test]
fn crops_are_warped_closely() {
    let Some(backend) = super::backend("warp") else { return };
    let dice = &mut Dice::thrown_for("warp");
    for [h, w] in INPUTS {
        let shape = Shape { h, w, c: 3 };
        let channels = dice.pick(&[ChannelOrder::Bgr, ChannelOrder::Rgb]);
        let program = mirror(shape, channels);
        let mut network = backend.load(&program, 1).expect("a sound program loads");
        for size in FRAMES {
            poison(network.as_mut(), &program);
            let frame = frame(dice, size);
            let to_frame = placement(dice, size);
            network.run(&[Feed::Warp { frame: frame.view(), to_frame }]).expect("a crop is fed");
            let expected = warped(&frame, &to_frame, &program);
            let what = format!("frame {size:?} by {to_frame:?}");
            let tolerance =
                warp_tolerance(&to_frame, shape) + kept_tolerance(network.as_ref(), 255.0);
            assert_close(network.output(0, 0), &expected, tolerance, &what, &program);
        }
    }
}

#[test]
fn whole_positions_are_copied_and_nowhere_is_black() {
    let Some(backend) = super::backend("warp edges") else { return };
    let dice = &mut Dice::thrown_for("warp edges");
    let shape = Shape { h: 6, w: 5, c: 3 };
    let program = mirror(shape, ChannelOrder::Rgb);
    let mut network = backend.load(&program, 1).expect("a sound program loads");
    let frame = frame(dice, [4, 4]);
    let whole = [[1.0, 0.0, -1.0, 0.0, 1.0, -1.0], [0.0, 1.0, -2.0, 1.0, 0.0, 1.0]];
    let nowhere =
        [[f32::NAN; 6], [f32::INFINITY; 6], [f32::NEG_INFINITY; 6], [3e38; 6], [-1e10; 6]];
    for m in whole.into_iter().chain(nowhere) {
        poison(network.as_mut(), &program);
        let to_frame = ToFrame(m);
        network.run(&[Feed::Warp { frame: frame.view(), to_frame }]).expect("a crop is fed");
        let expected = warped(&frame, &to_frame, &program);
        let black = expected.iter().all(|&value| value == 0.0);
        assert_eq!(black, nowhere.iter().any(|n| n.map(f32::to_bits) == m.map(f32::to_bits)));
        assert_close(network.output(0, 0), &expected, 0.0, &format!("{m:?}"), &program);
    }
}

#[test]
fn one_batch_may_mix_every_kind_of_feed() {
    let Some(backend) = super::backend("mixed feeds") else { return };
    let dice = &mut Dice::thrown_for("mixed feeds");
    let shape = Shape { h: 12, w: 10, c: 3 };
    let program = mirror(shape, ChannelOrder::Bgr);
    let mut network = backend.load(&program, 5).expect("a sound program loads");
    for _ in 0..6 {
        poison(network.as_mut(), &program);
        let sizes = [0; 4].map(|_: usize| dice.pick(&FRAMES));
        let frames = sizes.map(|size| frame(dice, size));
        let to_frame = placement(dice, sizes[1]);
        let tensor = dice.units(shape.len(), 300.0);
        let feeds = [
            Feed::Fit { frame: frames[0].view() },
            Feed::Warp { frame: frames[1].view(), to_frame },
            Feed::Tensor(&tensor),
            Feed::Fit { frame: frames[2].view() },
        ];
        network.run(&feeds).expect("four items");
        let tolerance = warp_tolerance(&to_frame, shape) + kept_tolerance(network.as_ref(), 255.0);
        let expected = [
            (fitted(&frames[0], &program), 0.0),
            (warped(&frames[1], &to_frame, &program), tolerance),
            (kept(network.as_ref(), &tensor), 0.0),
            (fitted(&frames[2], &program), 0.0),
        ];
        for (item, (expected, tolerance)) in expected.iter().enumerate() {
            let what = format!("item {item} of {sizes:?}");
            assert_close(network.output(0, item), expected, *tolerance, &what, &program);
        }
    }
}
