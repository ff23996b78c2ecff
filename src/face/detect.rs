//! Decoding of YuNet (2023): an anchor-free detector with three grids.
//!
//! ```text
//! for stride s in 8, 16, 32; cell (row, col) of the grid input / s:
//!   score      = √(cls · obj), each first clamped to [0, 1]
//!   cx, cy     = (col + b0) · s, (row + b1) · s
//!   w, h       = e^b2 · s, e^b3 · s
//!   landmark n = ((col + k[2n]) · s, (row + k[2n + 1]) · s)
//! ```
//! Scores below 0.6 are dropped, overlaps above 0.3 suppressed, what is left is scaled back to the
//! frame. Outputs are named `cls_8` … `kps_32` and lie as NHWC.
//!
//! Source: OpenCV's `FaceDetectorYN`. It differs in one thing: OpenCV cuts boxes to whole pixels
//! before it compares them with each other, here they are compared as they are.

use super::{Face, nms};
use crate::{
    limits::{DETECTIONS_MAX, FACES_PER_FRAME_MAX},
    ops::{
        fit,
        program::{BufferId, Program, Shape},
    },
};

/// Strides of the three grids, in input pixels.
const STRIDES: [usize; 3] = [8, 16, 32];
/// Detections below it are dropped (OpenCV's and MODELS' working point).
const CONFIDENCE_MIN: f32 = 0.6;

/// Why a network is not a face detector that is understood here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaceModelError {
    /// An output that YuNet has is missing.
    #[error("detector {program} has no output {output}; a YuNet model (2023) is needed")]
    OutputMissing {
        /// The program's name.
        program: String,
        /// The output's name.
        output: String,
    },
    /// An output does not cover its grid.
    #[error("output {output} of detector {program} holds {held} values, its grid needs {needed}")]
    OutputSize {
        /// The program's name.
        program: String,
        /// The output's name.
        output: String,
        /// Values it holds.
        held: usize,
        /// Values that the grid needs.
        needed: usize,
    },
    /// The input is not three channels of a size that all grids divide.
    #[error(
        "detector {program} takes {h} x {w} x {c}; height and width must be multiples of 32, with \
         three channels"
    )]
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
}

/// One grid: where its four outputs stand among the program's.
#[derive(Debug, Clone, Copy)]
struct Grid {
    stride_px: usize,
    columns: usize,
    cls: usize,
    obj: usize,
    bbox: usize,
    kps: usize,
}

/// How the outputs of one detector become faces.
#[derive(Debug, Clone)]
pub struct Detector {
    input_w: usize,
    input_h: usize,
    grids: [Grid; 3],
    cells: usize,
}

impl Detector {
    /// Finds the outputs of `program` and checks that they fit its input.
    ///
    /// # Errors
    /// [`FaceModelError`], naming what is missing.
    pub fn for_program(program: &Program) -> Result<Self, FaceModelError> {
        let Shape { h, w, c } = program.shape(program.input);
        if c != 3 || h == 0 || w == 0 || !h.is_multiple_of(32) || !w.is_multiple_of(32) {
            return Err(FaceModelError::Input { program: program.name.clone(), h, w, c });
        }
        let mut grids = STRIDES.map(|stride_px| Grid {
            stride_px,
            columns: w / stride_px,
            cls: 0,
            obj: 0,
            bbox: 0,
            kps: 0,
        });
        for grid in &mut grids {
            let cells = grid.columns * (h / grid.stride_px);
            let find = |kind: &str, values: usize| {
                output(program, &format!("{kind}_{}", grid.stride_px), cells * values)
            };
            let (cls, obj) = (find("cls", 1)?, find("obj", 1)?);
            let (bbox, kps) = (find("bbox", 4)?, find("kps", 10)?);
            *grid = Grid { cls, obj, bbox, kps, ..*grid };
        }
        let cells = STRIDES.iter().map(|stride| (h / stride) * (w / stride)).sum();
        Ok(Self { input_w: w, input_h: h, grids, cells })
    }

    /// Replaces `faces` by the faces of one frame, largest first, in pixels of the frame.
    ///
    /// `outputs(i)` is output `i` of the program after a run on that frame through
    /// [`crate::ops::program::Feed::Fit`]. After the first call with one and the same `faces`,
    /// nothing is allocated.
    pub fn decode<'o>(
        &self,
        outputs: &dyn Fn(usize) -> &'o [f32],
        frame_width_px: u32,
        frame_height_px: u32,
        faces: &mut Vec<Face>,
    ) {
        faces.clear();
        faces.reserve(self.cells);
        for grid in &self.grids {
            grid.detections(outputs, faces);
        }
        nms::suppress(faces, DETECTIONS_MAX);
        let (width, height) = (frame_width_px as usize, frame_height_px as usize);
        let plan = fit::plan(width, height, self.input_w, self.input_h);
        faces.iter_mut().for_each(|face| face.enlarge(plan.scale()));
        faces.retain(Face::is_finite);
        faces.sort_unstable_by(|a, b| b.area_px2().total_cmp(&a.area_px2()));
        faces.truncate(FACES_PER_FRAME_MAX);
    }
}

impl Grid {
    fn detections<'o>(&self, outputs: &dyn Fn(usize) -> &'o [f32], faces: &mut Vec<Face>) {
        let (boxes, _) = outputs(self.bbox).as_chunks();
        let (points, _) = outputs(self.kps).as_chunks();
        let scores = outputs(self.cls).iter().zip(outputs(self.obj));
        let cells = scores.zip(boxes.iter().zip(points)).enumerate();
        for (cell, ((&cls, &obj), (rect, points))) in cells {
            let confidence = (cls.clamp(0.0, 1.0) * obj.clamp(0.0, 1.0)).sqrt();
            // Written so that a score that is not a number is dropped as well.
            if confidence >= CONFIDENCE_MIN {
                let (row, column) = (cell / self.columns, cell % self.columns);
                let face = self.face(row as f32, column as f32, rect, points, confidence);
                faces.extend(Some(face).filter(Face::is_finite));
            }
        }
    }

    fn face(
        &self,
        row: f32,
        column: f32,
        rect: &[f32; 4],
        points: &[f32; 10],
        confidence: f32,
    ) -> Face {
        let stride = self.stride_px as f32;
        let (cx, cy) = ((column + rect[0]) * stride, (row + rect[1]) * stride);
        let (w, h) = (rect[2].exp() * stride, rect[3].exp() * stride);
        let (points, _) = points.as_chunks::<2>();
        let mut landmarks_px = [[0.0; 2]; 5];
        for (landmark, [x, y]) in landmarks_px.iter_mut().zip(points) {
            *landmark = [(column + x) * stride, (row + y) * stride];
        }
        Face { rect_px: [cx - w / 2.0, cy - h / 2.0, w, h], landmarks_px, confidence }
    }
}

impl Face {
    /// Whether every coordinate is a number, and the box has an area that is one.
    fn is_finite(&self) -> bool {
        let numbers = self.rect_px.iter().chain(self.landmarks_px.as_flattened());
        numbers.copied().all(f32::is_finite) && self.area_px2().is_normal()
    }

    fn enlarge(&mut self, scale: f32) {
        let numbers = self.rect_px.iter_mut().chain(self.landmarks_px.as_flattened_mut());
        numbers.for_each(|number| *number *= scale);
    }
}

fn output(program: &Program, name: &str, needed: usize) -> Result<usize, FaceModelError> {
    let Some(index) = program.outputs.iter().position(|output| output.name == name) else {
        return Err(FaceModelError::OutputMissing {
            program: program.name.clone(),
            output: name.into(),
        });
    };
    let BufferId(buffer) = program.outputs[index].buffer;
    let held = program.buffers[buffer].len();
    if held != needed {
        return Err(FaceModelError::OutputSize {
            program: program.name.clone(),
            output: name.into(),
            held,
            needed,
        });
    }
    Ok(index)
}

#[cfg(test)]
mod tests;
