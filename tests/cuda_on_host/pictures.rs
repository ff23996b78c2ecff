//! Whole frames and warped crops as inputs: `fit` bit for bit, `warp` within half precision.

use portcullis::{
    ops::{
        fit::{fit, plan},
        item::ItemMut,
        program::{ChannelOrder, Shape, ToFrame},
        warp::warp,
    },
    types::Frame,
};

use crate::{
    device::{Device, Extent},
    halves::single,
    layout::Picture,
    support::dice::Dice,
};

const INPUTS: [[usize; 2]; 6] = [[1, 1], [1, 7], [8, 8], [9, 5], [32, 24], [40, 40]];
const FRAMES: [[usize; 2]; 9] =
    [[1, 1], [1, 2], [1, 90], [90, 1], [8, 8], [17, 15], [31, 64], [97, 113], [240, 320]];
/// Items of the batch that the pictures are written into.
const ITEMS: usize = 3;

/// One picture in the middle of a batch.
struct Case {
    frame: Frame,
    size: [usize; 2],
    input: Shape,
    channels: ChannelOrder,
}

impl Case {
    fn drawn(dice: &mut Dice, input: [usize; 2], [h, w]: [usize; 2]) -> Self {
        let frame = Frame::new(dice.bytes(h * w * 3), w as u32, h as u32).expect("its pixels");
        let channels = dice.pick(&[ChannelOrder::Bgr, ChannelOrder::Rgb]);
        Self { frame, size: [h, w], input: Shape { h: input[0], w: input[1], c: 3 }, channels }
    }

    /// Runs `entry` with the rows `first` to `end`; the item's values, and nothing around it.
    fn run(&self, device: &mut Device, entry: &str, told: Picture, rows: [usize; 2]) -> Vec<f32> {
        let width = self.size[1];
        let pixels = &self.frame.view().pixels()[rows[0] * width * 3..rows[1] * width * 3];
        // One byte further, so that nothing leans on an alignment.
        let shifted: Vec<u8> = [0].into_iter().chain(pixels.iter().copied()).collect();
        let held = device.hold(&shifted);
        let values = self.input.h * self.input.w * 8;
        let out = device.take(ITEMS * values * 2);
        let picture = Picture {
            pixels: held + 1,
            out,
            item: 1,
            first_row: rows[0] as u32,
            rows: (rows[1] - rows[0]) as u32,
            width: width as u32,
            height: self.size[0] as u32,
            out_h: self.input.h as u32,
            out_w: self.input.w as u32,
            blue_first: u32::from(matches!(self.channels, ChannelOrder::Bgr)),
            ..told
        };
        let grid = Extent(self.input.w.div_ceil(32) as u32, self.input.h.div_ceil(8) as u32, 1);
        device.launch(entry, grid, Extent(32, 8, 1), 0, &picture);
        let all: Vec<u16> = device.read(out, ITEMS * values);
        device.free(held);
        device.free(out);
        let around = all[..values].iter().chain(&all[2 * values..]);
        assert!(around.copied().all(|untouched| untouched == 0x5a5a), "other items stay");
        let mut item = Vec::new();
        for position in all[values..2 * values].chunks(8) {
            assert_eq!(position[3..], [0; 5]);
            item.extend(position[..3].iter().map(|&bits| single(bits)));
        }
        item
    }
}

#[test]
fn a_fitted_frame_is_the_oracles_bit_for_bit() {
    let Some(mut device) = Device::start("fit", 4) else { return };
    let dice = &mut Dice::thrown_for("fit");
    for input in INPUTS {
        for size in FRAMES {
            let case = Case::drawn(dice, input, size);
            let fitted = plan(size[1], size[0], input[1], input[0]);
            let told = Picture {
                new_h: fitted.new_h as u32,
                new_w: fitted.new_w as u32,
                input: fitted.input as u32,
                frame: fitted.frame as u32,
                ..Picture::default()
            };
            let mut expected = vec![f32::NAN; case.input.len()];
            let mut out = ItemMut::new(case.input, &mut expected);
            fit(case.frame.view(), case.channels, &mut out);
            let held = case.run(&mut device, "fit", told, [0, size[0]]);
            assert_eq!(held, expected, "{size:?} into {input:?}");
        }
    }
}

#[test]
fn a_warped_crop_is_the_oracles_within_half_precision() {
    let Some(mut device) = Device::start("warp", 4) else { return };
    let dice = &mut Dice::thrown_for("warp");
    for input in INPUTS {
        for size in FRAMES {
            let case = Case::drawn(dice, input, size);
            let (angle, scale) = (dice.unit() * 3.2, (dice.unit() * 2.0).exp());
            let (sin, cos) = (angle.sin() * scale, angle.cos() * scale);
            let away = |dice: &mut Dice, side: usize| side as f32 * (0.5 + dice.unit());
            let (x, y) = (away(dice, size[1]), away(dice, size[0]));
            let mut m = [cos, -sin, x, sin, cos, y];
            if dice.below(12) == 0 {
                m[2] = dice.pick(&[f32::NAN, f32::INFINITY, -1e30]);
            }
            let mut expected = vec![f32::NAN; case.input.len()];
            let mut out = ItemMut::new(case.input, &mut expected);
            warp(case.frame.view(), &ToFrame(m), case.channels, &mut out);
            let told = Picture { m, ..Picture::default() };
            let held = case.run(&mut device, "warp", told, [0, size[0]]);
            for (held, expected) in held.iter().zip(&expected) {
                let close = (held - expected).abs() <= expected.abs() / 2048.0 + 1e-4;
                assert!(close, "{held}, not {expected}: {m:?}, {size:?} into {input:?}");
            }
        }
    }
}

#[test]
fn rows_that_are_not_there_are_black() {
    let Some(mut device) = Device::start("rows", 4) else { return };
    let dice = &mut Dice::thrown_for("rows");
    let mut case = Case::drawn(dice, [8, 8], [17, 15]);
    let told = Picture { m: [1.0, 0.0, 2.0, 0.0, 1.0, 1.0], ..Picture::default() };
    let held = case.run(&mut device, "warp", told, [3, 7]);
    let mut pixels = case.frame.view().pixels().to_vec();
    for (at, pixel) in pixels.iter_mut().enumerate() {
        if !(3..7).contains(&(at / 45)) {
            *pixel = 0;
        }
    }
    case.frame = Frame::new(pixels, 15, 17).expect("its pixels");
    assert_eq!(held, case.run(&mut device, "warp", told, [0, 17]));
}
