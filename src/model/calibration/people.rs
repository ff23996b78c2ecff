//! People who do not exist, drawn from the statistics of an embedder, and photographs of them.
//!
//! Source: the usual two-covariance model. A person is a draw from N(mean, between), a photograph
//! of that person adds a draw from N(0, within); two photographs of one person are a mated pair.
//!
//! A normal draw is a sum of sixteen random bytes, centred and scaled: whole numbers only, so that
//! one seed gives the same draws on every machine, and close enough to normal (excess kurtosis
//! -0.075) because the covariance then mixes a hundred of them. The matrix product is f32 and may
//! differ in the last bit between machines; a value that lay on the edge of rounding may then
//! differ by one.
//!
//! Strangers are more alike here than in the calibration's own table: with the default calibration
//! 8.7e-3 of 4 million comparisons reach the threshold of FMR 1e-3. The statistics count a person
//! once per photograph, so that a few with many photographs widen the leading axes. Synthetic
//! people are therefore a hard gallery; no accuracy of an embedder may be read from them.
//!
//! Absent on purpose: any path from a real face. Statistics go in, nobody comes out.

use faer::{Accum, Mat, MatMut, MatRef, Par, Side, linalg::matmul::matmul};

use super::Population;
use crate::random::Entropy;

/// Random bytes whose sum is one normal draw.
const DRAW_BYTES: usize = 16;
/// Mean of that sum.
const DRAW_MEAN: f32 = 127.5 * DRAW_BYTES as f32;
/// Its standard deviation: 4 · √((256² − 1) / 12).
const DRAW_DEVIATION: f32 = 295.600_6;
/// How often a covariance that rounding left slightly indefinite is lifted, tenfold each time: from
/// 1e-9 to 1e-2 of the mean variance.
const JITTERS_MAX: u32 = 8;
/// People drawn in one go: random bytes and draws stay in the cache.
const BLOCK: usize = 256;

/// The statistics are not those of anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the calibration's covariances are not positive definite; its file is damaged")]
pub struct NotCovariance;

/// Statistics, ready to be drawn from.
pub struct People {
    mean: Box<[f32]>,
    /// Lower Cholesky factors.
    between: Mat<f32>,
    within: Mat<f32>,
    /// Of the sum: a person and a photograph in one draw.
    both: Mat<f32>,
}

impl People {
    /// Prepares `population`.
    ///
    /// # Errors
    /// [`NotCovariance`].
    pub fn new(population: &Population) -> Result<Self, NotCovariance> {
        let dims = population.mean.len();
        let (between, within) = (&population.between, &population.within);
        if [between, within].iter().any(|matrix| matrix.len() != dims * dims) {
            return Err(NotCovariance);
        }
        let of = |matrix: &[f32], at: usize| f64::from(matrix[at]);
        Ok(Self {
            mean: population.mean.clone(),
            between: factor(dims, &|at| of(between, at))?,
            within: factor(dims, &|at| of(within, at))?,
            both: factor(dims, &|at| of(between, at) + of(within, at))?,
        })
    }

    /// Values of one embedding.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.mean.len()
    }

    /// Fills `persons` with people, without a photograph yet: what stays the same of each.
    pub fn persons(&self, entropy: &dyn Entropy, persons: &mut [f32]) {
        self.draw(entropy, &self.between, persons, &|_| &self.mean);
    }

    /// One photograph of each of `persons`; not normalised, as an embedder gives it.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn photographs(&self, entropy: &dyn Entropy, persons: &[f32], photographs: &mut [f32]) {
        assert_eq!(persons.len(), photographs.len(), "one photograph of each person");
        let dims = self.dims();
        self.draw(entropy, &self.within, photographs, &|at| &persons[at * dims..][..dims]);
    }

    /// One photograph each of people who are not photographed again: persons and photographs in one
    /// draw.
    pub fn strangers(&self, entropy: &dyn Entropy, photographs: &mut [f32]) {
        self.draw(entropy, &self.both, photographs, &|_| &self.mean);
    }

    /// `sample = centre + factor · draw`, many at once.
    fn draw<'a>(
        &'a self,
        entropy: &dyn Entropy,
        factor: &Mat<f32>,
        samples: &mut [f32],
        centre: &dyn Fn(usize) -> &'a [f32],
    ) {
        let dims = self.dims();
        let mut bytes = vec![0; BLOCK.min(samples.len() / dims) * dims * DRAW_BYTES];
        let mut draws = vec![0.0; bytes.len() / DRAW_BYTES];
        for (block, samples) in samples.chunks_mut(BLOCK * dims).enumerate() {
            let bytes = &mut bytes[..samples.len() * DRAW_BYTES];
            let draws = &mut draws[..samples.len()];
            entropy.fill(bytes);
            normal(bytes, draws);
            for (at, sample) in samples.chunks_exact_mut(dims).enumerate() {
                sample.copy_from_slice(centre(block * BLOCK + at));
            }
            let count = samples.len() / dims;
            matmul(
                MatMut::from_column_major_slice_mut(samples, dims, count),
                Accum::Add,
                factor.as_ref(),
                MatRef::from_column_major_slice(draws, dims, count),
                1.0,
                Par::Seq,
            );
        }
    }
}

/// The lower Cholesky factor of a covariance, lifted a little where rounding left it indefinite.
fn factor(dims: usize, value: &dyn Fn(usize) -> f64) -> Result<Mat<f32>, NotCovariance> {
    let covariance =
        Mat::from_fn(dims, dims, |i, j| 0.5 * (value(i * dims + j) + value(j * dims + i)));
    let variance = (0..dims).map(|i| covariance[(i, i)]).sum::<f64>() / dims as f64;
    for attempt in 0..=JITTERS_MAX {
        let lift = if attempt == 0 { 0.0 } else { 1e-10 * 10_f64.powi(attempt.cast_signed()) };
        let lifted = Mat::from_fn(dims, dims, |i, j| {
            covariance[(i, j)] + if i == j { lift * variance } else { 0.0 }
        });
        if let Ok(found) = lifted.llt(Side::Lower) {
            let lower = found.L();
            return Ok(Mat::from_fn(dims, dims, |i, j| lower[(i, j)] as f32));
        }
    }
    Err(NotCovariance)
}

fn normal(bytes: &[u8], draws: &mut [f32]) {
    for (draw, bytes) in draws.iter_mut().zip(bytes.as_chunks::<DRAW_BYTES>().0) {
        let sum: u16 = bytes.iter().copied().map(u16::from).sum();
        *draw = (f32::from(sum) - DRAW_MEAN) / DRAW_DEVIATION;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededEntropy;

    const DIMS: usize = 32;

    /// Falling variances and one correlated pair, as after a rotation.
    fn population() -> Population {
        let mut between = vec![0.0; DIMS * DIMS];
        for i in 0..DIMS {
            between[i * DIMS + i] = 0.05 / (i + 1) as f32;
        }
        between[1] = 0.01;
        between[DIMS] = 0.01;
        let within = between.iter().map(|value| 0.3 * value).collect();
        Population { mean: [0.01; DIMS].into(), between: between.into(), within }
    }

    fn people() -> People {
        People::new(&population()).expect("a covariance")
    }

    fn covariance(a: &[f32], b: &[f32], [i, j]: [usize; 2]) -> f32 {
        let rows = a.chunks_exact(DIMS).zip(b.chunks_exact(DIMS));
        let sum: f32 = rows.map(|(a, b)| (a[i] - 0.01) * (b[j] - 0.01)).sum();
        sum / (a.len() / DIMS) as f32
    }

    #[test]
    fn strangers_have_the_covariance_they_were_asked_for() {
        let mut samples = vec![0.0; 40_000 * DIMS];
        people().strangers(&SeededEntropy::new(1), &mut samples);
        let held = |at| covariance(&samples, &samples, at);
        assert!((held([0, 0]) / 0.065 - 1.0).abs() < 0.03, "{}", held([0, 0]));
        assert!((held([0, 1]) / 0.013 - 1.0).abs() < 0.1, "{}", held([0, 1]));
        assert!(held([5, 6]).abs() < 3e-4, "{}", held([5, 6]));
    }

    #[test]
    fn two_photographs_of_a_person_share_what_is_between_persons() {
        let (people, entropy) = (people(), SeededEntropy::new(2));
        let mut persons = vec![0.0; 40_000 * DIMS];
        people.persons(&entropy, &mut persons);
        let [mut one, mut other] = [persons.clone(), persons.clone()];
        people.photographs(&entropy, &persons, &mut one);
        people.photographs(&entropy, &persons, &mut other);
        let (within, across) = (covariance(&one, &one, [0, 0]), covariance(&one, &other, [0, 0]));
        assert!((within / 0.065 - 1.0).abs() < 0.03, "{within}");
        assert!((across / 0.05 - 1.0).abs() < 0.03, "{across}");
    }

    #[test]
    fn one_seed_is_one_crowd_however_it_is_cut() {
        let draw = |seed, count: usize| {
            let mut samples = vec![0.0; count * DIMS];
            people().strangers(&SeededEntropy::new(seed), &mut samples);
            samples
        };
        assert_eq!(draw(7, 300), draw(7, 300));
        assert_eq!(draw(7, 300)[..256 * DIMS], draw(7, 256));
        assert_ne!(draw(7, 3), draw(8, 3));
    }

    #[test]
    fn statistics_of_nothing_are_refused() {
        let negative: Box<[f32]> = vec![-1.0; DIMS * DIMS].into();
        let nothing = Population { between: negative.clone(), within: negative, ..population() };
        assert!(matches!(People::new(&nothing), Err(NotCovariance)));
    }
}
