//! Which face of a frame is the traveller's, and the rules it must meet.
//!
//! Two presets: [`FaceRules::still`] for photographs (references, enrolment, files), and
//! [`FaceRules::egate`] for the live picture of an eGate. A deployment may take either as a base
//! and change single limits; each one is public and has a unit.

use super::Face;
use crate::types::CaptureFact;

/// What a face must be like to be used. Limits themselves are allowed values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceRules {
    /// Least distance between the eyes in pixels.
    pub inter_eye_px_min: f32,
    /// A second face with this share of the largest one's area, or more, makes it uncertain who is
    /// meant.
    pub rival_area_share: f32,
    /// Least share of the face's box that lies inside the frame.
    pub inside_share_min: f32,
    /// Where the middle between the eyes may lie, as shares of the frame's width.
    pub centre_x: [f32; 2],
    /// The same, as shares of the frame's height from its top.
    pub centre_y: [f32; 2],
    /// Least sharpness in squared grey levels.
    pub sharpness_min: f32,
    /// Bounds of the mean luminance, in [0, 1].
    pub luminance_mean: [f32; 2],
    /// Largest share of clipped pixels.
    pub clipped_share_max: f32,
    /// Largest turn to either side in degrees.
    pub yaw_deg_max: f32,
    /// Largest turn up or down in degrees.
    pub pitch_deg_max: f32,
    /// Largest tilt to either shoulder in degrees.
    pub roll_deg_max: f32,
}

impl FaceRules {
    /// For photographs: whoever is largest, wherever they stand, if the networks can work with it.
    ///
    /// * Eyes 35 px apart at least: that is their distance on the aligned 112 × 112 face
    ///   ([`super::align::TEMPLATE_PX`]); below it the warp enlarges, and detail would be made up.
    /// * A second face of half the largest one's area makes it uncertain who is meant.
    /// * Four fifths of the face lie in the picture.
    /// * Quality limits keep out what hardly shows a face (blurred beyond use, black, white, in
    ///   profile), not what is merely poor: a reference cannot be taken again. Sharpness 6 is a
    ///   blur of 2 px on the aligned face; over 25 press photographs (sharpness 860 to 5,750 as they
    ///   are) it lowered a face's similarity to itself to 0.85 on average with the default embedder,
    ///   3 px to 0.69.
    #[must_use]
    pub const fn still() -> Self {
        Self {
            inter_eye_px_min: 35.0,
            rival_area_share: 0.5,
            inside_share_min: 0.8,
            centre_x: [0.0, 1.0],
            centre_y: [0.0, 1.0],
            sharpness_min: 6.0,
            luminance_mean: [0.08, 0.92],
            clipped_share_max: 0.6,
            yaw_deg_max: 45.0,
            pitch_deg_max: 40.0,
            roll_deg_max: 45.0,
        }
    }

    /// For the live picture of an eGate (BSI TR-03121-3-1, application profile ABC).
    ///
    /// * BIP-1: eyes 120 px apart at least.
    /// * QA-1: head roll ±8°; the face's middle at 0.45 to 0.55 of the width and 0.3 to 0.5 of the
    ///   height, for cameras that deliver the portrait crop the profile asks for.
    /// * QA-1 asks for yaw and pitch within ±5°. Five landmarks tell yaw to about ±5° and pitch to
    ///   about ±8° ([`super::quality`]), so the limits here are the profile's plus that uncertainty:
    ///   a picture within the profile is not refused, and conformity with it is not proved.
    /// * Sharpness 40 is a blur of 1 px on the aligned face: similarity to itself 0.97, measured as
    ///   in [`FaceRules::still`].
    /// * One traveller stands in the mantrap (ACQ-3): a second face of a quarter of the area, half
    ///   as tall, is somebody else's.
    #[must_use]
    pub const fn egate() -> Self {
        Self {
            inter_eye_px_min: 120.0,
            rival_area_share: 0.25,
            inside_share_min: 0.95,
            centre_x: [0.45, 0.55],
            centre_y: [0.3, 0.5],
            sharpness_min: 40.0,
            luminance_mean: [0.2, 0.8],
            clipped_share_max: 0.3,
            yaw_deg_max: 10.0,
            pitch_deg_max: 13.0,
            roll_deg_max: 8.0,
        }
    }
}

/// Chooses the largest face of a frame of `frame_width_px` × `frame_height_px`, in any order given.
///
/// # Errors
/// The capture fact that says why there is none to use: [`CaptureFact::NoFace`], then
/// [`CaptureFact::SeveralFaces`], [`CaptureFact::FaceTooSmall`], [`CaptureFact::OffCentre`].
pub fn select(
    faces: &[Face],
    frame_width_px: u32,
    frame_height_px: u32,
    rules: &FaceRules,
) -> Result<Face, CaptureFact> {
    let largest = (0..faces.len())
        .max_by(|&a, &b| faces[a].area_px2().total_cmp(&faces[b].area_px2()))
        .ok_or(CaptureFact::NoFace)?;
    let face = faces[largest];
    let rival_px2 = face.area_px2() * rules.rival_area_share;
    let others = faces.iter().enumerate().filter(|(index, _)| *index != largest);
    if others.into_iter().any(|(_, other)| other.area_px2() >= rival_px2) {
        return Err(CaptureFact::SeveralFaces);
    }
    // Written so that a face that is not a number is refused as well.
    if !(rules.inter_eye_px_min..).contains(&face.inter_eye_px()) {
        return Err(CaptureFact::FaceTooSmall);
    }
    if !stands_well(&face, [frame_width_px as f32, frame_height_px as f32], rules) {
        return Err(CaptureFact::OffCentre);
    }
    Ok(face)
}

fn stands_well(face: &Face, frame_px: [f32; 2], rules: &FaceRules) -> bool {
    let [left, right, ..] = face.landmarks_px;
    let within = |axis: usize, [from, to]: [f32; 2]| {
        let middle = (left[axis] + right[axis]) / 2.0 / frame_px[axis];
        (from..=to).contains(&middle)
    };
    let inside = |axis: usize| {
        let (from, size) = (face.rect_px[axis], face.rect_px[axis + 2]);
        ((from + size).min(frame_px[axis]) - from.max(0.0)).max(0.0) / size
    };
    within(0, rules.centre_x)
        && within(1, rules.centre_y)
        && inside(0) * inside(1) >= rules.inside_share_min
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A face whose eyes are `eyes` apart and whose eye line's middle is at (x, y).
    fn face(x: f32, y: f32, eyes: f32) -> Face {
        let rect_px = [x - eyes, y - eyes, 2.0 * eyes, 3.0 * eyes];
        let half = eyes / 2.0;
        let landmarks_px = [
            [x - half, y],
            [x + half, y],
            [x, y + half],
            [x - 0.4 * eyes, y + eyes],
            [x + 0.4 * eyes, y + eyes],
        ];
        Face { rect_px, landmarks_px, confidence: 0.9 }
    }

    #[test]
    fn the_largest_face_is_taken_in_whatever_order() {
        let rules = FaceRules::still();
        let (large, small) = (face(500.0, 400.0, 100.0), face(200.0, 300.0, 60.0));
        assert_eq!(select(&[small, large], 1000, 1000, &rules), Ok(large));
        assert_eq!(select(&[large, small], 1000, 1000, &rules), Ok(large));
        assert_eq!(select(&[], 1000, 1000, &rules), Err(CaptureFact::NoFace));
    }

    #[test]
    fn a_rival_makes_it_uncertain_at_the_share_itself() {
        let rules = FaceRules { rival_area_share: 0.25, ..FaceRules::still() };
        let large = face(500.0, 400.0, 100.0);
        let half_as_tall = face(100.0, 300.0, 50.0);
        let several = Err(CaptureFact::SeveralFaces);
        assert_eq!(select(&[large, half_as_tall], 1000, 1000, &rules), several);
        assert_eq!(select(&[large, large], 1000, 1000, &rules), several);
        let smaller = face(100.0, 300.0, 49.0);
        assert_eq!(select(&[large, smaller], 1000, 1000, &rules), Ok(large));
    }

    #[test]
    fn the_egate_asks_for_120_px_between_the_eyes() {
        let rules = FaceRules::egate();
        let enough = face(400.0, 400.0, 120.0);
        assert_eq!(select(&[enough], 800, 1000, &rules), Ok(enough));
        let small = face(400.0, 400.0, 119.0);
        assert_eq!(select(&[small], 800, 1000, &rules), Err(CaptureFact::FaceTooSmall));
        assert_eq!(select(&[small], 800, 1000, &FaceRules::still()), Ok(small));
    }

    #[test]
    fn faces_aside_or_cut_by_the_edge_are_off_centre() {
        let (egate, still) = (FaceRules::egate(), FaceRules::still());
        let off_centre = Err(CaptureFact::OffCentre);
        for aside in [face(500.0, 400.0, 120.0), face(400.0, 700.0, 120.0)] {
            assert_eq!(select(&[aside], 800, 1000, &egate), off_centre);
            assert_eq!(select(&[aside], 800, 1000, &still), Ok(aside));
        }
        // A third of the face is beyond the right edge.
        let cut = face(960.0, 400.0, 120.0);
        assert_eq!(select(&[cut], 1000, 1000, &still), off_centre);
        assert_eq!(select(&[face(2000.0, 400.0, 120.0)], 1000, 1000, &still), off_centre);
    }

    #[test]
    fn landmarks_that_are_no_numbers_are_refused() {
        let mut broken = face(500.0, 400.0, 100.0);
        broken.landmarks_px[0][0] = f32::NAN;
        let rules = FaceRules::still();
        assert_eq!(select(&[broken], 1000, 1000, &rules), Err(CaptureFact::FaceTooSmall));
    }
}
