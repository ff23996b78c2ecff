//! Comparison scores and thresholds.

use std::sync::Arc;

/// A comparison score: the exact int8·int8 → i32 dot product of two templates.
///
/// Every engine computes the same integer. Published as `similarity = score / S²`, where `S` is
/// the calibration's scale; similarity approximates the cosine, in [-1, 1] up to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(pub i32);

impl Score {
    /// The published form: `score / scale²`.
    #[must_use]
    pub fn similarity(self, scale: f32) -> f32 {
        (f64::from(self.0) / (f64::from(scale) * f64::from(scale))) as f32
    }

    /// The smallest score whose similarity is at least `similarity`.
    #[must_use]
    pub fn at_least(similarity: f64, scale: f32) -> Self {
        let exact = (similarity * f64::from(scale) * f64::from(scale)).ceil();
        Self(exact.clamp(f64::from(i32::MIN), f64::from(i32::MAX)) as i32)
    }
}

/// A decision threshold and where it comes from; the two are never shown apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// Scores at or above this are a match.
    pub score: Score,
    /// The same, published.
    pub similarity: f32,
    /// False match rate at this threshold on the calibration's data set.
    pub fmr: f64,
    /// The data set the rate was measured on, with its size, as one sentence.
    pub basis: Arc<str>,
}
