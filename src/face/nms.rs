//! Non-maximum suppression: of boxes that overlap, the most confident stays.
//!
//! Greedy, in place, without allocation: the boxes that stay are collected at the front, and each
//! next one is held against them.

use super::Face;

/// Boxes that share more than this of their union are one face.
const OVERLAP_MAX: f32 = 0.3;

/// Leaves the boxes that stay, most confident first; looks at the `most` most confident ones.
///
/// Boxes of equal confidence are ordered by position, so that the outcome does not depend on the
/// order in which they came.
pub(super) fn suppress(faces: &mut Vec<Face>, most: usize) {
    faces.sort_unstable_by(|a, b| {
        let by_confidence = b.confidence.total_cmp(&a.confidence);
        let top = || a.rect_px[1].total_cmp(&b.rect_px[1]);
        let left = || a.rect_px[0].total_cmp(&b.rect_px[0]);
        by_confidence.then_with(top).then_with(left)
    });
    faces.truncate(most);
    let mut kept = 0;
    for next in 0..faces.len() {
        let face = faces[next];
        if faces[..kept].iter().all(|stays| overlap(stays, &face) <= OVERLAP_MAX) {
            faces[kept] = face;
            kept += 1;
        }
    }
    faces.truncate(kept);
}

/// Intersection over union of two boxes with areas above zero; 0 to 1.
fn overlap(a: &Face, b: &Face) -> f32 {
    let along = |axis: usize| {
        let end = |face: &Face| face.rect_px[axis] + face.rect_px[axis + 2];
        let shared = end(a).min(end(b)) - a.rect_px[axis].max(b.rect_px[axis]);
        shared.max(0.0)
    };
    let shared = along(0) * along(1);
    // The sum of two areas may overflow; the quotient is then 0, and both boxes stay.
    shared / (a.area_px2() + b.area_px2() - shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(rect_px: [f32; 4], confidence: f32) -> Face {
        Face { rect_px, landmarks_px: [[0.0; 2]; 5], confidence }
    }

    fn kept(faces: &[Face]) -> Vec<f32> {
        let mut faces = faces.to_vec();
        suppress(&mut faces, 100);
        faces.iter().map(|face| face.confidence).collect()
    }

    #[test]
    fn overlap_is_intersection_over_union() {
        let square = face([0.0, 0.0, 10.0, 10.0], 1.0);
        assert_eq!(overlap(&square, &square), 1.0);
        assert_eq!(overlap(&square, &face([5.0, 0.0, 10.0, 10.0], 1.0)), 50.0 / 150.0);
        assert_eq!(overlap(&square, &face([20.0, 0.0, 10.0, 10.0], 1.0)), 0.0);
        assert_eq!(overlap(&square, &face([-5.0, -5.0, 20.0, 20.0], 1.0)), 0.25);
    }

    #[test]
    fn the_most_confident_of_overlapping_boxes_stays() {
        let left = face([0.0, 0.0, 10.0, 10.0], 0.7);
        let shifted = face([2.0, 0.0, 10.0, 10.0], 0.9);
        let apart = face([40.0, 0.0, 10.0, 10.0], 0.8);
        assert_eq!(kept(&[left, shifted, apart]), [0.9, 0.8]);
        // A chain: the middle one suppresses both ends, which do not overlap each other enough.
        let chain = [0.0, 4.0, 8.0].map(|x| face([x, 0.0, 10.0, 10.0], 0.7));
        assert_eq!(kept(&[chain[0], Face { confidence: 0.9, ..chain[1] }, chain[2]]), [0.9]);
        assert_eq!(kept(&[Face { confidence: 0.9, ..chain[0] }, chain[1], chain[2]]), [0.9, 0.7]);
        assert_eq!(kept(&[]), [0.0; 0]);
    }

    #[test]
    fn at_the_limit_of_overlap_both_stay() {
        // 6 shared of 20: exactly 0.3.
        let a = face([0.0, 0.0, 13.0, 1.0], 0.9);
        let b = face([7.0, 0.0, 13.0, 1.0], 0.8);
        assert_eq!(kept(&[a, b]).len(), 2);
    }

    #[test]
    fn the_outcome_does_not_depend_on_the_order_given() {
        let boxes: Vec<Face> = (0..60)
            .map(|i| {
                let (x, y) = ((i * 37 % 50) as f32, (i * 23 % 40) as f32);
                face([x, y, 12.0, 9.0], 0.6 + (i % 3) as f32 / 10.0)
            })
            .collect();
        let mut forward = boxes.clone();
        let mut backward: Vec<Face> = boxes.into_iter().rev().collect();
        suppress(&mut forward, 100);
        suppress(&mut backward, 100);
        assert_eq!(forward, backward);
        for (i, a) in forward.iter().enumerate() {
            assert!(forward[..i].iter().all(|b| overlap(a, b) <= OVERLAP_MAX));
        }
    }
}
