//! Quality of one face: cheap measures from five landmarks and the aligned 112 × 112 crop.
//!
//! | measure | unit | ISO/IEC 29794-5 counterpart | how |
//! |---|---|---|---|
//! | `inter_eye_px` | pixels | inter-eye distance | between the eye landmarks |
//! | `sharpness` | grey levels² | sharpness | variance of the Laplacian (0 1 0 / 1 −4 1 / 0 1 0) |
//! | `luminance_mean` | 0 to 1 | luminance mean, under- and over-exposure prevention | mean of Y |
//! | `clipped_share` | 0 to 1 | dynamic range | share of Y below 8 or above 247 |
//! | `yaw_deg`, `pitch_deg`, `roll_deg` | degrees | head pose | from the landmarks, below |
//!
//! Luminance is `Y = 0.2126 R + 0.7152 G + 0.0722 B` (Rec. 709) of the coded values. Parts of the
//! crop that lie outside the frame are black and count as clipped.
//!
//! Pose: the eye line gives roll. In coordinates turned back by roll, with the eyes' distance as
//! unit, a nose tip that stands `d` in front of the face's plane moves by `d · tan(angle)` against
//! the axis from between the eyes to between the mouth corners: sideways for yaw, along it for
//! pitch.
//!
//! ```text
//! yaw   = atan((nose_x − axis_x at the nose) / d)
//! pitch = atan((nose_y / mouth_y − neutral) · mouth_y / d)
//! ```
//! `d` = 0.55 eye distances, from an inter-pupillary distance of 63 mm and a nose tip about 35 mm
//! in front of the eyes; `neutral` = 0.60, the median of this detector's landmarks over 25 press
//! photographs of people looking at the camera. Noses and faces differ: expect yaw to ±5° and pitch
//! to ±8° between people, and less beyond 30°. Good enough to refuse a profile, not to prove
//! frontality.
//!
//! Absent: the unified quality score, and all measures that need a segmentation (background, head
//! coverings, glasses, expression).

use super::{Face, FaceRules, Quality, align::ALIGNED_PX};
use crate::types::CaptureFact;

/// Nose tip in front of the eyes, in eye distances.
const NOSE_DEPTH: f32 = 0.55;
/// Where the nose tip stands between the eye line (0) and the mouth line (1) of a frontal face.
const NOSE_NEUTRAL: f32 = 0.60;
/// Y below or above these shows nothing any more.
const CLIPPED_BELOW: f32 = 8.0;
const CLIPPED_ABOVE: f32 = 247.0;

/// Measures one face.
///
/// `aligned_rgb_112` is its aligned crop, 112 × 112 RGB, 0 to 255, as the embedder sees it. A slice
/// of another length measures as black: no rule accepts that.
#[must_use]
pub fn measure(face: &Face, aligned_rgb_112: &[f32]) -> Quality {
    let pose = pose(&face.landmarks_px);
    let crop = Crop::new(aligned_rgb_112);
    let (luminance_mean, clipped_share) = crop.exposure();
    Quality {
        inter_eye_px: face.inter_eye_px(),
        sharpness: crop.sharpness(),
        luminance_mean,
        clipped_share,
        yaw_deg: pose.yaw_deg,
        pitch_deg: pose.pitch_deg,
        roll_deg: pose.roll_deg,
    }
}

/// Holds measures against the rules: [`CaptureFact::Usable`], [`CaptureFact::FaceTooSmall`] or
/// [`CaptureFact::PoorQuality`]. A measure that is not a number meets no rule.
#[must_use]
pub fn judge(quality: &Quality, rules: &FaceRules) -> CaptureFact {
    if !(rules.inter_eye_px_min..).contains(&quality.inter_eye_px) {
        return CaptureFact::FaceTooSmall;
    }
    let [darkest, brightest] = rules.luminance_mean;
    let good = quality.sharpness >= rules.sharpness_min
        && (darkest..=brightest).contains(&quality.luminance_mean)
        && quality.clipped_share <= rules.clipped_share_max
        && quality.yaw_deg.abs() <= rules.yaw_deg_max
        && quality.pitch_deg.abs() <= rules.pitch_deg_max
        && quality.roll_deg.abs() <= rules.roll_deg_max;
    if good { CaptureFact::Usable } else { CaptureFact::PoorQuality }
}

struct Pose {
    yaw_deg: f32,
    pitch_deg: f32,
    roll_deg: f32,
}

fn pose(landmarks_px: &[[f32; 2]; 5]) -> Pose {
    let [left_eye, right_eye, nose, left_mouth, right_mouth] = *landmarks_px;
    let middle = |a: [f32; 2], b: [f32; 2]| [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
    let eyes = middle(left_eye, right_eye);
    let line = [right_eye[0] - left_eye[0], right_eye[1] - left_eye[1]];
    let length = line[0].hypot(line[1]);
    // Along and across the eye line, in eye distances.
    let turned = |point: [f32; 2]| {
        let from = [point[0] - eyes[0], point[1] - eyes[1]];
        let along = from[0] * line[0] + from[1] * line[1];
        let across = from[1] * line[0] - from[0] * line[1];
        [along / (length * length), across / (length * length)]
    };
    let nose = turned(nose);
    let mouth = turned(middle(left_mouth, right_mouth));
    let down = nose[1] / mouth[1];
    Pose {
        yaw_deg: ((nose[0] - mouth[0] * down) / NOSE_DEPTH).atan().to_degrees(),
        pitch_deg: ((down - NOSE_NEUTRAL) * mouth[1] / NOSE_DEPTH).atan().to_degrees(),
        roll_deg: line[1].atan2(line[0]).to_degrees(),
    }
}

/// The aligned crop, read as luminance; nothing is copied.
struct Crop<'a> {
    pixels: &'a [[f32; 3]],
}

impl<'a> Crop<'a> {
    fn new(rgb: &'a [f32]) -> Self {
        let (pixels, rest) = rgb.as_chunks();
        let whole = pixels.len() == ALIGNED_PX * ALIGNED_PX && rest.is_empty();
        Self { pixels: if whole { pixels } else { &[] } }
    }

    fn luminance(&self, x: usize, y: usize) -> f32 {
        luminance(&self.pixels[y * ALIGNED_PX + x])
    }

    /// Variance of the Laplacian, without the outermost pixels.
    fn sharpness(&self) -> f32 {
        if self.pixels.is_empty() {
            return 0.0;
        }
        let inner = 1..ALIGNED_PX - 1;
        let cells = inner.clone().flat_map(|y| inner.clone().map(move |x| (x, y)));
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for (x, y) in cells {
            let around = self.luminance(x - 1, y)
                + self.luminance(x + 1, y)
                + self.luminance(x, y - 1)
                + self.luminance(x, y + 1);
            let laplacian = f64::from(around - 4.0 * self.luminance(x, y));
            sum += laplacian;
            squares += laplacian * laplacian;
            count += 1.0;
        }
        let mean = sum / count;
        (squares / count - mean * mean) as f32
    }

    /// Mean luminance in [0, 1], and the share of pixels that are clipped.
    fn exposure(&self) -> (f32, f32) {
        if self.pixels.is_empty() {
            return (0.0, 1.0);
        }
        let (mut sum, mut clipped) = (0.0, 0);
        for y in self.pixels.iter().map(luminance) {
            sum += f64::from(y);
            clipped += usize::from(!(CLIPPED_BELOW..=CLIPPED_ABOVE).contains(&y));
        }
        let count = self.pixels.len() as f64;
        ((sum / count / 255.0) as f32, (clipped as f64 / count) as f32)
    }
}

fn luminance([red, green, blue]: &[f32; 3]) -> f32 {
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::align::TEMPLATE_PX;

    const PIXELS: usize = ALIGNED_PX * ALIGNED_PX;

    fn crop(y_of: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        (0..PIXELS).flat_map(|i| [y_of(i % ALIGNED_PX, i / ALIGNED_PX); 3]).collect()
    }

    fn face(landmarks_px: [[f32; 2]; 5]) -> Face {
        Face { rect_px: [0.0, 0.0, 112.0, 112.0], landmarks_px, confidence: 0.9 }
    }

    /// Five points of a head in eye distances (x right, y down, z towards the camera), turned by
    /// yaw, then pitch, then roll, and seen from afar.
    fn seen(yaw: f32, pitch: f32, roll: f32) -> [[f32; 2]; 5] {
        let mouth_y = 1.0;
        let head = [
            [-0.5, 0.0, 0.0],
            [0.5, 0.0, 0.0],
            [0.0, NOSE_NEUTRAL * mouth_y, NOSE_DEPTH],
            [-0.4, mouth_y, 0.0],
            [0.4, mouth_y, 0.0],
        ];
        let [yaw, pitch, roll] = [yaw, pitch, roll].map(f32::to_radians);
        head.map(|[x, y, z]: [f32; 3]| {
            let (x, z) = (x * yaw.cos() + z * yaw.sin(), z * yaw.cos() - x * yaw.sin());
            let y = y * pitch.cos() + z * pitch.sin();
            let (x, y) = (x * roll.cos() - y * roll.sin(), x * roll.sin() + y * roll.cos());
            [300.0 + 80.0 * x, 200.0 + 80.0 * y]
        })
    }

    #[test]
    fn pose_is_recovered_for_a_head_of_the_assumed_shape() {
        for roll in [-20.0, 0.0, 35.0] {
            for yaw in [-25.0, -10.0, 0.0, 10.0, 25.0] {
                let pose = pose(&seen(yaw, 0.0, roll));
                // The eye distance itself shrinks with yaw: tan becomes sin / cos², 3° at 25°.
                assert!((pose.yaw_deg - yaw).abs() < 3.5, "yaw {yaw}: {}", pose.yaw_deg);
                assert!((pose.roll_deg - roll).abs() < 0.1, "roll {roll}: {}", pose.roll_deg);
            }
            for pitch in [-20.0, -5.0, 0.0, 5.0, 20.0] {
                let pose = pose(&seen(0.0, pitch, roll));
                assert!((pose.pitch_deg - pitch).abs() < 3.5, "pitch {pitch}: {}", pose.pitch_deg);
                assert!(pose.yaw_deg.abs() < 0.1);
            }
        }
    }

    #[test]
    fn signs_are_those_of_the_documentation() {
        // Nose towards the image's right, nose down, image-right eye lower.
        assert!(pose(&seen(10.0, 0.0, 0.0)).yaw_deg > 0.0);
        assert!(pose(&seen(0.0, 10.0, 0.0)).pitch_deg > 0.0);
        assert!(
            pose(&[[0.0, 0.0], [10.0, 2.0], [5.0, 6.0], [1.0, 10.0], [9.0, 11.0]]).roll_deg > 0.0
        );
    }

    #[test]
    fn exposure_is_the_mean_and_the_clipped_share() {
        let half = crop(|x, _| if x < ALIGNED_PX / 2 { 0.0 } else { 102.0 });
        let quality = measure(&face(TEMPLATE_PX), &half);
        assert!((quality.luminance_mean - 0.2).abs() < 1e-4);
        assert!((quality.clipped_share - 0.5).abs() < 1e-6);
        let white = measure(&face(TEMPLATE_PX), &crop(|_, _| 255.0));
        assert!((white.luminance_mean - 1.0).abs() < 1e-5);
        assert_eq!(white.clipped_share, 1.0);
        // Green weighs most.
        let green: Vec<f32> = (0..PIXELS).flat_map(|_| [0.0, 255.0, 0.0]).collect();
        assert!((measure(&face(TEMPLATE_PX), &green).luminance_mean - 0.7152).abs() < 1e-4);
    }

    #[test]
    fn sharpness_is_the_variance_of_the_laplacian() {
        let flat = measure(&face(TEMPLATE_PX), &crop(|_, _| 90.0));
        assert_eq!(flat.sharpness, 0.0);
        // A ramp has no second derivative; a chessboard of ±10 has ±80 everywhere: 6,400.
        let ramp = measure(&face(TEMPLATE_PX), &crop(|x, y| (x + y) as f32));
        assert!(ramp.sharpness < 1e-3);
        let board = crop(|x, y| if (x + y).is_multiple_of(2) { 100.0 } else { 120.0 });
        let board = measure(&face(TEMPLATE_PX), &board);
        assert!((board.sharpness - 6_400.0).abs() < 1.0, "{}", board.sharpness);
    }

    #[test]
    fn every_limit_is_judged_and_no_number_meets_none() {
        let rules = FaceRules::egate();
        let good = Quality {
            inter_eye_px: 120.0,
            sharpness: rules.sharpness_min,
            luminance_mean: 0.5,
            clipped_share: 0.1,
            yaw_deg: -rules.yaw_deg_max,
            pitch_deg: rules.pitch_deg_max,
            roll_deg: -rules.roll_deg_max,
        };
        assert_eq!(judge(&good, &rules), CaptureFact::Usable);
        let small = Quality { inter_eye_px: 119.9, ..good };
        assert_eq!(judge(&small, &rules), CaptureFact::FaceTooSmall);
        let poor = [
            Quality { sharpness: rules.sharpness_min - 0.1, ..good },
            Quality { luminance_mean: 0.1, ..good },
            Quality { luminance_mean: 0.9, ..good },
            Quality { clipped_share: 0.31, ..good },
            Quality { yaw_deg: 10.1, ..good },
            Quality { pitch_deg: -13.1, ..good },
            Quality { roll_deg: 8.1, ..good },
            Quality { yaw_deg: f32::NAN, ..good },
            Quality { sharpness: f32::NAN, ..good },
        ];
        for quality in poor {
            assert_eq!(judge(&quality, &rules), CaptureFact::PoorQuality, "{quality:?}");
        }
    }

    #[test]
    fn a_crop_of_another_size_is_never_usable() {
        for length in [0, 3, PIXELS * 3 - 1, PIXELS * 3 + 3] {
            let quality = measure(&face(TEMPLATE_PX), &vec![128.0; length]);
            assert_eq!(judge(&quality, &FaceRules::still()), CaptureFact::PoorQuality);
        }
    }
}
