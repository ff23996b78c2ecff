//! Presentation attack detection: what each network is shown of a frame, and what their answers say
//! together.
//!
//! ```text
//! face's box ─ region(scale) ─► whole pixels of the frame ─ to_frame ─► warp ─► network ─► p
//!                                               score = 1 − mean over networks of p[bona fide]
//! ```
//! A network of this kind looks at the face *and* at what is around it: the edge of a sheet, the
//! frame of a screen, a hand. How much is around it is the network's scale: the region is so many
//! times as large as the face's box, about its middle, moved into the frame where it would leave
//! it, and shrunk where it does not fit. A frame that is hardly larger than the face shows the
//! network little of what it was trained to see.
//!
//! The score is that of BSI TR-03121 (PAD-3) and ISO/IEC 30107-3: 0 bona fide, 1 attack, never
//! binary. Fusing by the mean is what the networks' publisher does; no network may be left out.
//!
//! Source: Silent-Face-Anti-Spoofing (Minivision, Apache-2.0), of which the geometry here is the
//! same to the pixel. It differs in two things. The publisher's bilinear reduction rounds to 8
//! bits, [`crate::ops::warp`] does not. And where a region is smaller than the network's input, so
//! that it is enlarged, the outermost half pixel of the input is mixed with the frame's pixel
//! beyond the region instead of being repeated.
//!
//! Invariant: a score is finite and in [0, 1]; networks that say anything else give none. Absent:
//! attacks by masks or morphs as classes of their own, and evidence over several frames.

use crate::{
    limits::ATTACK_NETWORKS_MAX,
    ops::program::{Op, Program, Shape, ToFrame},
};

/// Scales that a network may have.
const SCALE: std::ops::RangeInclusive<f64> = 1.0..=16.0;

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
        scale: f64,
        /// Least.
        least: f64,
        /// Most.
        most: f64,
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
    #[error(
        "class {bona_fide} of network {program} is to be bona fide; it has classes 0 to {last}"
    )]
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
    pub scale: f64,
    /// Which class is bona fide; all others are attacks.
    pub bona_fide: usize,
}

/// How a face is shown to one network.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Showing {
    scale: f64,
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
    /// `rect_px`, in the order of the networks; `None` where the box is no box in that frame.
    /// Places beyond the last network hold maps of nothing.
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
pub fn region(rect_px: [f32; 4], frame_px: [u32; 2], scale: f64) -> Option<Region> {
    let [left, top, width, height] = rect_px.map(f64::from);
    let finite = rect_px.iter().all(|value| value.is_finite()) && scale.is_finite();
    if !finite || width <= 0.0 || height <= 0.0 || scale <= 0.0 || frame_px.contains(&0) {
        return None;
    }
    // The last column and row: both ends of a region are pixels of it.
    let last = frame_px.map(|size| f64::from(size - 1));
    let scale = (last[1] / height).min((last[0] / width).min(scale));
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

/// The map of a bilinear resize of `region` to an input of `input_px` (width, height), pixel
/// centres on pixel centres: `source = (x + 1/2) · size / input − 1/2`.
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
mod tests;
