//! Presentation attack detection: what each network is shown of a frame, and what their answers say
//! together.
//!
//! ```text
//! face's box ─ region(scale) ─► whole pixels of the frame ─ to_frame ─► warp ─► network ─► p
//!                                                        score = 1 − mean over networks of p[bona fide]
//! ```
//! A network of this kind looks at the face *and* at what is around it: the edge of a sheet, the
//! frame of a screen, a hand. How much is around it is the network's scale: the region is so many
//! times as large as the face's box, about its middle, moved into the frame where it would leave it,
//! and shrunk where it does not fit. A frame that is hardly larger than the face shows the network
//! little of what it was trained to see.
//!
//! The score is that of BSI TR-03121 (PAD-3) and ISO/IEC 30107-3: 0 bona fide, 1 attack, never
//! binary. Fusing by the mean is what the networks' publisher does; no network may be left out.
//!
//! Source: Silent-Face-Anti-Spoofing (Minivision, Apache-2.0), of which the geometry here is the
//! same to the pixel. It differs in two things. The publisher's bilinear reduction rounds to 8 bits,
//! [`crate::ops::warp`] does not. And where a region is smaller than the network's input, so that it
//! is enlarged, the outermost half pixel of the input is mixed with the frame's pixel beyond the
//! region instead of being repeated.
//!
//! Invariant: a score is finite and in [0, 1]; networks that say anything else give none. Absent:
//! attacks by masks or morphs as classes of their own, and evidence over several frames.

use crate::{
    limits::ATTACK_NETWORKS_MAX,
    ops::program::{Op, Program, Shape, ToFrame},
};

/// Scales that a network may have.
const SCALE: std::ops::RangeInclusive<f32> = 1.0..=16.0;

/// Why networks are not a presentation attack detector that is understood here.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AttackModelError {
    /// None, or more than are run.
    #[error("{held} networks for presentation attack detection; 1 to {most} are run together")]
    Count {
        /// Networks given.
        held: usize,
        /// Most that are run.
        most: usize,
    },
    /// The scale is no size of a picture around a face.
    #[error("network {program} is to be shown {scale} times the face's box; {least} to {most} are")]
    Scale {
        /// The program's name.
        program: String,
        /// The scale given.
        scale: f32,
        /// Least.
        least: f32,
        /// Most.
        most: f32,
    },
    /// The input is no picture.
    #[error("network {program} takes {h} x {w} x {c}; a colour picture has three channels")]
    Input {
        /// The program's name.
        program: String,
        /// Height in pixels.
        h: usize,
        /// Width in pixels.
        w: usize,
        /// Channels.
        c: usize,
    },
    /// The answer is not one list of probabilities.
    #[error(
        "network {program} does not end in one softmax over classes: its answer is no probability"
    )]
    Output {
        /// The program's name.
        program: String,
    },
    /// The class that is bona fide is not among the classes.
    #[error("class {bona_fide} of network {program} is to be bona fide; it has classes 0 to {last}")]
    Class {
        /// The program's name.
        program: String,
        /// The class given.
        bona_fide: usize,
        /// The last class that it has.
        last: usize,
    },
}

/// A network with what its file does not say.
#[derive(Debug, Clone, Copy)]
pub struct AttackNetwork<'a> {
    /// The network; it takes BGR (see [`Program::channels`]) from 0 to 255.
    pub program: &'a Program,
    /// How many times the face's box it is shown.
    pub scale: f32,
    /// Which class is bona fide; all others are attacks.
    pub bona_fide: usize,
}

/// How a face is shown to one network.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Showing {
    scale: f32,
    input_w: usize,
    input_h: usize,
    bona_fide: usize,
}

/// How frames become the inputs of a detector's networks, and their outputs a score.
#[derive(Debug, Clone, PartialEq)]
pub struct AttackDetector {
    showings: Vec<Showing>,
}

impl AttackDetector {
    /// Checks that every network takes a picture and ends in probabilities.
    ///
    /// # Errors
    /// [`AttackModelError`], naming the network.
    pub fn for_networks(networks: &[AttackNetwork<'_>]) -> Result<Self, AttackModelError> {
        let (held, most) = (networks.len(), ATTACK_NETWORKS_MAX);
        if !(1..=most).contains(&held) {
            return Err(AttackModelError::Count { held, most });
        }
        let showings = networks.iter().map(Showing::of);
        Ok(Self { showings: showings.collect::<Result<_, _>>()? })
    }

    /// How many networks there are.
    #[must_use]
    pub fn networks(&self) -> usize {
        self.showings.len()
    }

    /// Where each network's input lies in a frame of `frame_px` (width, height) around the face in
    /// `rect_px`, in the order of the networks; `None` where the box is no box in that frame. Places
    /// beyond the last network hold maps of nothing.
    #[must_use]
    pub fn to_frame(
        &self,
        rect_px: [f32; 4],
        frame_px: [u32; 2],
    ) -> Option<[ToFrame; ATTACK_NETWORKS_MAX]> {
        let mut maps = [ToFrame([0.0; 6]); ATTACK_NETWORKS_MAX];
        for (map, showing) in maps.iter_mut().zip(&self.showings) {
            let region = region(rect_px, frame_px, showing.scale)?;
            *map = to_frame(region, [showing.input_w, showing.input_h]);
        }
        Some(maps)
    }

    /// The score of one face: `outputs(n)` is what network `n` answered. `None` where an answer is
    /// no probability.
    #[must_use]
    pub fn score<'o>(&self, outputs: impl Fn(usize) -> &'o [f32]) -> Option<f32> {
        let mut attack = 0.0;
        for (network, showing) in self.showings.iter().enumerate() {
            let bona_fide = *outputs(network).get(showing.bona_fide)?;
            if !(0.0..=1.0).contains(&bona_fide) {
                return None;
            }
            attack += 1.0 - f64::from(bona_fide);
        }
        Some((attack / self.showings.len() as f64) as f32)
    }
}

impl Showing {
    fn of(network: &AttackNetwork<'_>) -> Result<Self, AttackModelError> {
        let &AttackNetwork { program, scale, bona_fide } = network;
        let name = || program.name.clone();
        if !SCALE.contains(&scale) {
            let (least, most) = (*SCALE.start(), *SCALE.end());
            return Err(AttackModelError::Scale { program: name(), scale, least, most });
        }
        let Shape { h, w, c } = program.shape(program.input);
        if c != 3 || h == 0 || w == 0 {
            return Err(AttackModelError::Input { program: name(), h, w, c });
        }
        let [output] = &program.outputs[..] else {
            return Err(AttackModelError::Output { program: name() });
        };
        let mut last = program.steps.iter().filter(|step| step.output == output.buffer);
        let classes = program.shape(output.buffer);
        let ends_in_softmax = last.next_back().is_some_and(|step| matches!(step.op, Op::Softmax));
        if !ends_in_softmax || classes.h * classes.w != 1 || classes.c < 2 {
            return Err(AttackModelError::Output { program: name() });
        }
        if bona_fide >= classes.c {
            let last = classes.c - 1;
            return Err(AttackModelError::Class { program: name(), bona_fide, last });
        }
        Ok(Self { scale, input_w: w, input_h: h, bona_fide })
    }
}

/// Whole pixels of a frame; at least one, and all of them inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First column.
    pub left: u32,
    /// First row.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// `scale` times the box `rect_px` (left, top, width, height) of a frame of `frame_px` (width,
/// height): about the same middle, moved into the frame where it would leave it, and of a smaller
/// scale where it does not fit. `None` where the box or the frame has no area, or a number is not
/// finite.
#[must_use]
pub fn region(rect_px: [f32; 4], frame_px: [u32; 2], scale: f32) -> Option<Region> {
    let [left, top, width, height] = rect_px.map(f64::from);
    let finite = rect_px.iter().all(|value| value.is_finite()) && scale.is_finite();
    if !finite || width <= 0.0 || height <= 0.0 || scale <= 0.0 || frame_px.contains(&0) {
        return None;
    }
    // The last column and row: both ends of a region are pixels of it.
    let last = frame_px.map(|size| f64::from(size - 1));
    let scale = (last[1] / height).min((last[0] / width).min(f64::from(scale)));
    let [x0, x1] = moved_inside(left + width / 2.0, width * scale, last[0]);
    let [y0, y1] = moved_inside(top + height / 2.0, height * scale, last[1]);
    Some(Region { left: x0, top: y0, width: x1 - x0 + 1, height: y1 - y0 + 1 })
}

/// First and last pixel of what is `size` long about `middle`, moved into 0 to `last`.
fn moved_inside(middle: f64, size: f64, last: f64) -> [u32; 2] {
    let (mut from, mut to) = (middle - size / 2.0, middle + size / 2.0);
    if from < 0.0 {
        (from, to) = (0.0, to - from);
    }
    if to > last {
        (from, to) = (from - (to - last), last);
    }
    // Cut, not rounded, as the publisher does; the bounds hold a rounding error of the sums above.
    [from, to].map(|end| end.clamp(0.0, last) as u32)
}

/// The map of a bilinear resize of `region` to an input of `input_px` (width, height), pixel centres
/// on pixel centres: `source = (x + 1/2) · size / input − 1/2`.
#[must_use]
pub fn to_frame(region: Region, input_px: [usize; 2]) -> ToFrame {
    let along = |first: u32, size: u32, input: usize| {
        let step = f64::from(size) / input as f64;
        [step as f32, (f64::from(first) + 0.5 * step - 0.5) as f32]
    };
    let [step_x, first_x] = along(region.left, region.width, input_px[0]);
    let [step_y, first_y] = along(region.top, region.height, input_px[1]);
    ToFrame([step_x, 0.0, first_x, 0.0, step_y, first_y])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        ops::{
            item::ItemMut,
            program::{BufferId, ChannelOrder, Output, Step},
            warp::warp,
        },
        types::FrameView,
    };

    /// A frame, a box and a scale, and the region that the publisher's Python gives for them (left,
    /// top, width, height).
    type Golden = ([u32; 2], [f32; 4], f32, [u32; 4]);

    #[test]
    fn regions_are_those_of_the_publisher() {
        let goldens: [Golden; 10] = [
            ([640, 480], [270.0, 180.0, 100.0, 130.0], 2.7, [185, 69, 271, 352]),
            ([640, 480], [270.0, 180.0, 100.0, 130.0], 4.0, [135, 0, 370, 480]),
            ([640, 480], [10.5, 8.25, 90.75, 121.5], 2.7, [0, 0, 246, 329]),
            ([640, 480], [560.0, 380.0, 95.0, 118.0], 2.7, [382, 160, 258, 320]),
            ([480, 640], [100.0, 150.0, 210.0, 280.0], 4.0, [0, 0, 480, 639]),
            ([1382, 1868], [413.91, 200.71, 609.74, 817.61], 2.7, [0, 0, 1382, 1852]),
            ([120, 900], [-12.5, 400.0, 130.0, 170.0], 2.7, [0, 407, 120, 156]),
            ([3, 2], [0.0, 0.0, 3.0, 2.0], 4.0, [0, 0, 3, 2]),
            ([1, 1], [0.0, 0.0, 1.0, 1.0], 2.7, [0, 0, 1, 1]),
            ([640, 480], [700.0, 500.0, 40.0, 40.0], 2.7, [531, 371, 109, 109]),
        ];
        for (frame_px, rect_px, scale, [left, top, width, height]) in goldens {
            let expected = Some(Region { left, top, width, height });
            assert_eq!(region(rect_px, frame_px, scale), expected, "{frame_px:?} {rect_px:?}");
        }
    }

    #[test]
    fn what_is_no_box_has_no_region() {
        let sound = [10.0, 10.0, 20.0, 20.0];
        for (rect_px, frame_px, scale) in [
            ([10.0, 10.0, 0.0, 20.0], [64, 64], 2.7),
            ([10.0, 10.0, 20.0, -1.0], [64, 64], 2.7),
            ([f32::NAN, 10.0, 20.0, 20.0], [64, 64], 2.7),
            ([10.0, f32::INFINITY, 20.0, 20.0], [64, 64], 2.7),
            (sound, [0, 64], 2.7),
            (sound, [64, 64], 0.0),
            (sound, [64, 64], f32::NAN),
        ] {
            assert_eq!(region(rect_px, frame_px, scale), None, "{rect_px:?} {frame_px:?} {scale}");
        }
    }

    /// The publisher's way, slowly: cut the region out, then resize it bilinearly, repeating its
    /// edge.
    fn cut_and_resized(frame: FrameView<'_>, region: Region, [w, h]: [usize; 2]) -> Vec<f32> {
        let pixel = |x: usize, y: usize, colour: usize| {
            let (x, y) = (region.left as usize + x, region.top as usize + y);
            f64::from(frame.pixels()[(y * frame.width_px() as usize + x) * 3 + colour])
        };
        let near = |at: usize, size: usize, input: usize| {
            let source = (at as f64 + 0.5) * size as f64 / input as f64 - 0.5;
            let source = source.clamp(0.0, (size - 1) as f64);
            let below = source.floor();
            (below as usize, (below as usize + 1).min(size - 1), source - below)
        };
        let mut values = Vec::new();
        for y in 0..h {
            for x in 0..w {
                let (x0, x1, fx) = near(x, region.width as usize, w);
                let (y0, y1, fy) = near(y, region.height as usize, h);
                for colour in 0..3 {
                    let row = |y| (1.0 - fx) * pixel(x0, y, colour) + fx * pixel(x1, y, colour);
                    values.push(((1.0 - fy) * row(y0) + fy * row(y1)) as f32);
                }
            }
        }
        values
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(64)
        })]

        #[test]
        fn a_region_lies_in_its_frame_and_a_warp_of_it_is_a_cut_and_a_resize(
            frame_px in (40..160_u32, 40..160_u32),
            rect_px in (-30.0..150.0_f32, -30.0..150.0_f32, 4.0..120.0_f32, 4.0..120.0_f32),
            scale in 1.0..5.0_f32,
        ) {
            let (w, h) = frame_px;
            let held = region([rect_px.0, rect_px.1, rect_px.2, rect_px.3], [w, h], scale);
            let held = held.expect("a box");
            prop_assert!(held.width >= 1 && held.height >= 1);
            prop_assert!(held.left + held.width <= w && held.top + held.height <= h, "{:?}", held);
            let pixels: Vec<u8> =
                (0..w * h * 3).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let frame = FrameView::new(&pixels, w, h).expect("whole pixels");
            // Reduced, or at the region's own size: an enlargement differs at its rim.
            let input = [held.width.min(16) as usize, held.height.min(16) as usize];
            let shape = Shape { h: input[1], w: input[0], c: 3 };
            let mut out = vec![0.0; shape.len()];
            let map = to_frame(held, input);
            warp(frame, &map, ChannelOrder::Rgb, &mut ItemMut::new(shape, &mut out));
            for (held, wanted) in out.iter().zip(cut_and_resized(frame, held, input)) {
                // Coefficients are f32: a position is right to a thousandth of a pixel.
                prop_assert!((held - wanted).abs() < 0.05, "{} is not {}", held, wanted);
            }
        }
    }

    /// A network that could be run: one softmax.
    fn program(input: Shape, classes: usize, op: Op) -> Program {
        Program {
            name: "scripted".into(),
            input: BufferId(0),
            channels: ChannelOrder::Bgr,
            buffers: vec![input, Shape { h: 1, w: 1, c: classes }],
            weights: Vec::new(),
            steps: vec![Step { op, inputs: vec![BufferId(0)], output: BufferId(1) }],
            outputs: vec![Output { name: "prob".into(), buffer: BufferId(1) }],
        }
    }

    const INPUT: Shape = Shape { h: 80, w: 60, c: 3 };

    #[test]
    fn networks_that_say_no_probability_are_refused() {
        let of = |program: &Program, scale, bona_fide| {
            AttackDetector::for_networks(&[AttackNetwork { program, scale, bona_fide }])
        };
        let sound = program(INPUT, 3, Op::Softmax);
        assert_eq!(of(&sound, 2.7, 1).expect("a detector").networks(), 1);
        let grey = program(Shape { c: 1, ..INPUT }, 3, Op::Softmax);
        assert!(matches!(of(&grey, 2.7, 1), Err(AttackModelError::Input { c: 1, .. })));
        for logits in [program(INPUT, 3, Op::Concat), program(INPUT, 1, Op::Softmax)] {
            assert!(matches!(of(&logits, 2.7, 0), Err(AttackModelError::Output { .. })));
        }
        assert!(matches!(of(&sound, 2.7, 3), Err(AttackModelError::Class { last: 2, .. })));
        for scale in [0.9, 16.1, f32::NAN] {
            assert!(matches!(of(&sound, scale, 1), Err(AttackModelError::Scale { .. })));
        }
        let network = AttackNetwork { program: &sound, scale: 2.7, bona_fide: 1 };
        let many = vec![network; ATTACK_NETWORKS_MAX + 1];
        for networks in [&many[..0], &many[..]] {
            let refused = AttackDetector::for_networks(networks);
            assert!(matches!(refused, Err(AttackModelError::Count { .. })));
        }
        AttackDetector::for_networks(&many[1..]).expect("as many as there may be");
    }

    #[test]
    fn the_score_is_the_mean_of_what_is_not_bona_fide() {
        let sound = program(INPUT, 3, Op::Softmax);
        let network = |bona_fide| AttackNetwork { program: &sound, scale: 2.7, bona_fide };
        let detector = AttackDetector::for_networks(&[network(1), network(0)]).expect("two");
        let score = |one: [f32; 3], other: [f32; 3]| {
            let outputs = [one, other];
            detector.score(|network| &outputs[network])
        };
        assert_eq!(score([0.0, 1.0, 0.0], [1.0, 0.0, 0.0]), Some(0.0));
        assert_eq!(score([0.5, 0.25, 0.25], [0.75, 0.25, 0.0]), Some(0.5));
        assert_eq!(score([0.0, 0.0, 1.0], [0.0, 1.0, 0.0]), Some(1.0));
        for wrong in [f32::NAN, -0.1, 1.1, f32::INFINITY] {
            assert_eq!(score([0.0, wrong, 0.0], [1.0, 0.0, 0.0]), None, "{wrong}");
        }
        assert_eq!(detector.score(|_| &[]), None);
        let maps = detector.to_frame([10.0, 10.0, 20.0, 20.0], [100, 100]).expect("a box");
        assert_eq!(maps[0], maps[1]);
        assert_eq!(maps[2], ToFrame([0.0; 6]));
        assert_eq!(detector.to_frame([f32::NAN; 4], [100, 100]), None);
    }
}
