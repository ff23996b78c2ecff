//! `score`: the comparison score of two templates, and the norm that bounds a part of it.
//!
//! ```text
//! score(a, b)  = Σ i  a[i] · b[i]          exact, in i32
//! rest_norm(x) = ⌈ √ Σ i  x[i]² ⌉          exact, in whole numbers
//! ```
//!
//! Shapes: two slices of one length, at most [`crate::limits::DIMS_MAX`] values each in ±127; the
//! sum then fits i32. By Cauchy and Schwarz `score(a, b) ≤ rest_norm(a) · rest_norm(b)`, and as
//! both norms are rounded up this holds without any floating point.

use crate::types::Score;

/// The op.
///
/// # Panics
/// When the lengths differ: a shortened comparison must never look like a score.
#[must_use]
pub fn score(a: &[i8], b: &[i8]) -> Score {
    assert_eq!(a.len(), b.len(), "only templates of one kind are compared");
    let mut sum = 0;
    for i in 0..a.len() {
        sum += i32::from(a[i]) * i32::from(b[i]);
    }
    Score(sum)
}

/// Norm of the values, rounded up: of a row's cold values in the hot part, and of a probe's. At
/// most 5,748 for [`crate::limits::DIMS_MAX`] values, so that it fits u16.
#[must_use]
pub fn rest_norm(values: &[i8]) -> u32 {
    let squares: u32 = values.iter().map(|&value| u32::from(value.unsigned_abs()).pow(2)).sum();
    let floor = squares.isqrt();
    if floor * floor == squares { floor } else { floor + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_summed_exactly() {
        assert_eq!(score(&[1, -2, 127], &[3, 4, 127]), Score(3 - 8 + 16_129));
        assert_eq!(score(&[], &[]), Score(0));
        assert_eq!(score(&[127; 2048], &[-127; 2048]), Score(-33_032_192));
    }

    #[test]
    #[should_panic(expected = "one kind")]
    fn a_shorter_template_is_not_compared() {
        let _ = score(&[1, 2], &[1]);
    }

    #[test]
    fn norms_are_rounded_up_and_exact_at_squares() {
        assert_eq!((rest_norm(&[]), rest_norm(&[0]), rest_norm(&[3, -4])), (0, 0, 5));
        assert_eq!((rest_norm(&[1, 1]), rest_norm(&[127; 2048])), (2, 5748));
    }
}
