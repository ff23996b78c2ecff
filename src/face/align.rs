//! Alignment: the similarity (turn, scale, shift) that lays five landmarks onto the ArcFace
//! template.
//!
//! Umeyama's least-squares solution, in two dimensions, in closed form. With centred points as
//! complex numbers, landmarks `p` and template `q`, the map `q ≈ a·p + b` that minimises `Σ |q −
//! a·p − b|²` is
//!
//! ```text
//! a = Σ conj(p) q / Σ |p|²      b = mean(q) − a · mean(p)
//! ```
//! `a` is turn and scale in one number and cannot mirror, which is what Umeyama's determinant rule
//! is for. The warp needs the way back, from aligned pixel to frame: `p = (q − b) / a`.
//!
//! Source: S. Umeyama, "Least-squares estimation of transformation parameters between two point
//! patterns", IEEE PAMI 13(4), 1991; a test compares with its singular value form.

use crate::ops::program::ToFrame;

/// Edge of the aligned face in pixels.
pub const ALIGNED_PX: usize = 112;

/// Where the five landmarks lie on the aligned face, in pixels (InsightFace's ArcFace template):
/// image-left eye, image-right eye, nose tip, image-left and image-right mouth corner.
pub const TEMPLATE_PX: [[f32; 2]; 5] = [
    [38.2946, 51.6963],
    [73.5318, 51.5014],
    [56.0252, 71.7366],
    [41.5493, 92.3655],
    [70.7299, 92.2041],
];

/// Least part of the template's shape that landmarks must show: the correlation of the two point
/// sets. Real faces lie far above; a mirrored one (eyes exchanged) may lie below.
const RESEMBLANCE_MIN: f64 = 0.05;

/// Why landmarks cannot be aligned.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum AlignError {
    /// A coordinate is infinite or not a number.
    #[error("a landmark is not a finite number; the detector's output is unusable")]
    NotFinite,
    /// All five landmarks lie on one spot.
    #[error("the five landmarks lie within {spread_px} pixels of each other: that is no face")]
    OneSpot {
        /// Root mean square distance from their middle, in pixels.
        spread_px: f64,
    },
    /// No turn and scale brings them near the template.
    #[error(
        "the five landmarks resemble a face by {resemblance}, at least {RESEMBLANCE_MIN} needed"
    )]
    NoFace {
        /// Correlation with the template, 0 to 1.
        resemblance: f64,
    },
}

/// The map from the aligned face's pixels to the frame's.
///
/// # Errors
/// [`AlignError`] when the landmarks determine no such map.
pub fn to_frame(landmarks_px: &[[f32; 2]; 5]) -> Result<ToFrame, AlignError> {
    if !landmarks_px.as_flattened().iter().copied().all(f32::is_finite) {
        return Err(AlignError::NotFinite);
    }
    let (landmarks, p_mean) = centred(landmarks_px);
    let (template, q_mean) = centred(&TEMPLATE_PX);
    let p_power = power(&landmarks);
    let spread_px = (p_power / landmarks.len() as f64).sqrt();
    if spread_px < f64::from(f32::EPSILON) * (1.0 + p_mean[0].abs() + p_mean[1].abs()) {
        return Err(AlignError::OneSpot { spread_px });
    }
    let mut shared = [0.0; 2];
    for ([px, py], [qx, qy]) in landmarks.iter().zip(&template) {
        shared[0] += px * qx + py * qy;
        shared[1] += px * qy - py * qx;
    }
    let magnitude = shared[0].hypot(shared[1]);
    let resemblance = magnitude / (p_power * power(&template)).sqrt();
    if resemblance < RESEMBLANCE_MIN {
        return Err(AlignError::NoFace { resemblance });
    }
    // 1 / a = conj(shared) · Σ|p|² / |shared|²
    let [re, im] = shared.map(|part| part / magnitude * (p_power / magnitude));
    let back = [
        re,
        im,
        p_mean[0] - (re * q_mean[0] + im * q_mean[1]),
        -im,
        re,
        p_mean[1] - (re * q_mean[1] - im * q_mean[0]),
    ];
    Ok(ToFrame(back.map(|value| value as f32)))
}

/// Points relative to their middle, and the middle.
fn centred(points: &[[f32; 2]; 5]) -> ([[f64; 2]; 5], [f64; 2]) {
    let points = points.map(|point| point.map(f64::from));
    let mean = [0, 1].map(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / 5.0);
    (points.map(|[x, y]| [x - mean[0], y - mean[1]]), mean)
}

fn power(points: &[[f64; 2]; 5]) -> f64 {
    points.as_flattened().iter().map(|value| value * value).sum()
}

#[cfg(test)]
mod tests {
    use std::f32::consts::PI;

    use proptest::prelude::*;

    use super::*;

    /// Umeyama as printed: covariance, singular values, determinant rule; then inverted.
    fn by_singular_values(landmarks: &[[f32; 2]; 5]) -> [f64; 6] {
        let (p, p_mean) = centred(landmarks);
        let (q, q_mean) = centred(&TEMPLATE_PX);
        // cov = 1/n Σ q pᵀ
        let mut cov = [[0.0; 2]; 2];
        for (p, q) in p.iter().zip(&q) {
            for row in 0..2 {
                for column in 0..2 {
                    cov[row][column] += q[row] * p[column] / 5.0;
                }
            }
        }
        let (u, singular, v) = svd(cov);
        let det = |m: [[f64; 2]; 2]| m[0][0] * m[1][1] - m[0][1] * m[1][0];
        let sign = if det(cov) < 0.0 { -1.0 } else { 1.0 };
        // R = U diag(1, sign) Vᵀ, where cov has full rank.
        let mut turn = [[0.0; 2]; 2];
        for row in 0..2 {
            for column in 0..2 {
                turn[row][column] = u[row][0] * v[column][0] + sign * u[row][1] * v[column][1];
            }
        }
        assert!((det(turn) - 1.0).abs() < 1e-9, "a proper turn");
        let scale = (singular[0] + sign * singular[1]) / (power(&p) / 5.0);
        // p = Rᵀ (q − mean q) / scale + mean p
        let [m0, m1] = [turn[0][0] / scale, turn[1][0] / scale];
        let [m3, m4] = [turn[0][1] / scale, turn[1][1] / scale];
        let m2 = p_mean[0] - m0 * q_mean[0] - m1 * q_mean[1];
        let m5 = p_mean[1] - m3 * q_mean[0] - m4 * q_mean[1];
        [m0, m1, m2, m3, m4, m5]
    }

    /// Singular value decomposition of a 2 × 2 matrix of full rank: eigenvectors of mᵀm, then u = m
    /// v / σ.
    fn svd(m: [[f64; 2]; 2]) -> ([[f64; 2]; 2], [f64; 2], [[f64; 2]; 2]) {
        let a = m[0][0] * m[0][0] + m[1][0] * m[1][0];
        let b = m[0][0] * m[0][1] + m[1][0] * m[1][1];
        let d = m[0][1] * m[0][1] + m[1][1] * m[1][1];
        let angle = 0.5 * (2.0 * b).atan2(a - d);
        let (sin, cos) = angle.sin_cos();
        let v = [[cos, -sin], [sin, cos]];
        let mut u = [[0.0; 2]; 2];
        let mut singular = [0.0; 2];
        for axis in 0..2 {
            let image = [0, 1].map(|row| m[row][0] * v[0][axis] + m[row][1] * v[1][axis]);
            singular[axis] = image[0].hypot(image[1]);
            for row in 0..2 {
                u[row][axis] = image[row] / singular[axis];
            }
        }
        (u, singular, v)
    }

    fn apply(ToFrame(m): ToFrame, [x, y]: [f32; 2]) -> [f32; 2] {
        [m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]]
    }

    #[test]
    fn the_template_itself_is_not_moved() {
        let ToFrame(m) = to_frame(&TEMPLATE_PX).expect("a map");
        for (found, wanted) in m.iter().zip([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]) {
            assert!((found - wanted).abs() < 1e-5, "{m:?}");
        }
    }

    #[test]
    fn landmarks_that_determine_nothing_are_refused() {
        for spot in [[0.0, 0.0], [512.5, 300.25], [-1e6, 1e6]] {
            assert!(matches!(to_frame(&[spot; 5]), Err(AlignError::OneSpot { .. })), "{spot:?}");
        }
        let mut broken = TEMPLATE_PX;
        broken[3][1] = f32::INFINITY;
        assert_eq!(to_frame(&broken), Err(AlignError::NotFinite));
        // Corners of the template exchanged until no turn fits: a line across, twice.
        let cross = [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]];
        assert!(matches!(to_frame(&cross), Err(AlignError::NoFace { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn any_similarity_is_recovered(
            scale in 0.2..40.0_f32,
            angle in -PI..PI,
            shift in prop::array::uniform2(-2_000.0..2_000.0_f32),
        ) {
            let (sin, cos) = angle.sin_cos();
            let moved = TEMPLATE_PX.map(|[x, y]| [
                scale * (cos * x - sin * y) + shift[0],
                scale * (sin * x + cos * y) + shift[1],
            ]);
            let back = to_frame(&moved).expect("a map");
            let ToFrame(m) = back;
            for (found, wanted) in [(m[0], scale * cos), (m[3], scale * sin)] {
                prop_assert!((found - wanted).abs() < 1e-3 * scale, "{found}, wanted {wanted}");
            }
            for (point, moved) in TEMPLATE_PX.iter().zip(moved) {
                let found = apply(back, *point);
                let off = (found[0] - moved[0]).hypot(found[1] - moved[1]);
                prop_assert!(off < 1e-2 * scale.max(1.0), "{off} px off");
            }
        }

        #[test]
        fn the_closed_form_equals_the_singular_value_form(
            jitter in prop::array::uniform10(-12.0..12.0_f32),
            scale in 0.5..20.0_f32,
            angle in -PI..PI,
            mirrored in any::<bool>(),
        ) {
            let (sin, cos) = angle.sin_cos();
            let mut landmarks = TEMPLATE_PX;
            for (n, [x, y]) in landmarks.iter_mut().enumerate() {
                let side = if mirrored { 112.0 - *x } else { *x };
                let (a, b) = (side + jitter[2 * n], *y + jitter[2 * n + 1]);
                (*x, *y) = (scale * (cos * a - sin * b), scale * (sin * a + cos * b));
            }
            let Ok(ToFrame(closed)) = to_frame(&landmarks) else {
                prop_assert!(mirrored, "only a mirrored face may resemble none");
                return Ok(());
            };
            let printed = by_singular_values(&landmarks);
            for (found, wanted) in closed.iter().zip(printed) {
                prop_assert!(
                    (f64::from(*found) - wanted).abs() < 1e-3 * f64::from(scale).max(1.0),
                    "{:?} against {:?}", closed, printed
                );
            }
        }
    }
}
