//! Faces in a frame: found, chosen, aligned, judged. Pure arithmetic over a detector's outputs.
//!
//! ```text
//! detector outputs ─ Detector::decode ─► faces ─ select ─► face ─ align::to_frame ─► warp
//!                                                           ├─ quality::measure ─ judge ─► usable?
//!                                                           └─ attack::region ─► what attack
//!                                                              detection is shown, and its score
//! ```
//! Coordinates are pixels of the frame, x to the right, y down, (0, 0) the corner at the top left.
//!
//! Invariant: whatever the network returns (NaN, infinities, thousands of boxes), what leaves here
//! is finite, and there are at most [`crate::limits::FACES_PER_FRAME_MAX`] faces. Absent: tracking
//! over frames, a learned quality score, head pose by a network of its own.

pub mod align;
pub mod attack;
mod detect;
mod nms;
pub mod quality;
mod select;

pub use detect::{Detector, FaceModelError};
pub use select::{FaceRules, select};

/// A face as the detector gives it, in pixels of the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// Left, top, width, height; may reach outside the frame.
    pub rect_px: [f32; 4],
    /// Image-left eye, image-right eye, nose tip, image-left and image-right mouth corner.
    pub landmarks_px: [[f32; 2]; 5],
    /// Detector confidence in [0, 1].
    pub confidence: f32,
}

impl Face {
    /// Area of the box in square pixels.
    #[must_use]
    pub fn area_px2(&self) -> f32 {
        self.rect_px[2] * self.rect_px[3]
    }

    /// Distance between the two eye landmarks in pixels (inter-eye distance, BSI TR-03121 BIP-1).
    #[must_use]
    pub fn inter_eye_px(&self) -> f32 {
        let [left, right, ..] = self.landmarks_px;
        (right[0] - left[0]).hypot(right[1] - left[1])
    }
}

/// What is told about the face that was used. No pixel, no template.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceReport {
    /// The face.
    pub face: Face,
    /// Its quality measures.
    pub quality: Quality,
}

/// Quality measures of one face; each names its ISO/IEC 29794-5 counterpart.
///
/// The standard maps its native measures to integers 0 to 100; these are native measures, in their
/// own units, and make no claim of conformity. How each is computed: [`quality`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quality {
    /// Distance between the eyes in pixels of the frame ("inter-eye distance").
    pub inter_eye_px: f32,
    /// Variance of the Laplacian over the aligned face, in squared grey levels ("sharpness").
    pub sharpness: f32,
    /// Mean luminance of the aligned face in [0, 1] ("luminance mean"; "under-exposure prevention"
    /// and "over-exposure prevention").
    pub luminance_mean: f32,
    /// Share of aligned pixels that are nearly black or white, in [0, 1] ("dynamic range").
    pub clipped_share: f32,
    /// Estimated from landmarks, degrees ("head pose: yaw"); positive towards the image's right.
    pub yaw_deg: f32,
    /// Estimated from landmarks, degrees ("head pose: pitch"); positive downwards.
    pub pitch_deg: f32,
    /// Estimated from landmarks, degrees ("head pose: roll"); positive clockwise.
    pub roll_deg: f32,
}
