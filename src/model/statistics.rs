//! From second-order statistics of embeddings to a calibration: rotation, scale and plane split.
//!
//! ```text
//! rotation   eigenvectors of E[x xᵀ], falling eigenvalue; an eigenvector's sign is arbitrary: its
//!            largest component (the first of equals) is positive, so that one input gives one file
//! scale S    the largest multiple of 8 at which a normal model of each rotated dimension (its
//!            mean, its variance) expects less than 1e-4 of all values beyond ±127
//! split K    fewest bytes moved per row: K + 2 (the norm), and for each row that survives the
//!            bound its cold values in whole pairs of cache lines; among splits within 5 % of the
//!            fewest the largest K, because survivors also cost arithmetic and scattered reads
//! ```
//!
//! Why these: with the axes in this order the first ones hold most of the energy of every dot
//! product, which is what the bound of [`crate::ops::search`] lives on. A larger S rounds more
//! finely (a similarity carries an error of about `0.29 · √2 / S`), a smaller one saturates less.
//!
//! Absent on purpose: thresholds. They need labelled comparisons, not moments.

mod npz;

use faer::{Mat, Side};

use super::calibration::Population;

/// Share of values that may be expected to saturate.
const SATURATED_SHARE_MAX: f64 = 1e-4;
/// Steps and end of the scale.
const SCALE_STEP: u32 = 8;
const SCALE_MAX: u32 = 4096;
/// Steps of the plane split: what the vector units take at once.
const SPLIT_STEP: usize = 16;
/// Memory moves lines of 64 bytes, and fetches their neighbours along.
const FETCHED_BYTES: usize = 128;
/// Splits this close to the fewest bytes are as good.
const BYTES_SLACK: f64 = 1.05;

/// Why statistics are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatisticsError {
    /// The file is not an archive of arrays.
    #[error("not an .npz archive of float arrays: {why}")]
    Archive {
        /// What is wrong.
        why: &'static str,
    },
    /// An array is missing.
    #[error("the archive has no array {name:?}; it needs mean (d) and second_moment (d × d)")]
    Missing {
        /// Which.
        name: &'static str,
    },
    /// An array has another form than it must have.
    #[error("array {name:?} has the shape {held:?}, needed is {needed:?}")]
    Shape {
        /// Which.
        name: &'static str,
        /// Its sizes.
        held: Vec<usize>,
        /// What they must be.
        needed: Vec<usize>,
    },
    /// An array holds what is no number, or is no moment of unit vectors.
    #[error("{name:?} is not a second-order statistic of unit-norm embeddings: {why}")]
    Moment {
        /// Which.
        name: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// Embeddings that are none, or of different lengths.
    #[error("embedding {index} has no direction or another length than the first")]
    Embedding {
        /// Which one.
        index: usize,
    },
    /// No axes were found: the moments are damaged.
    #[error("the second moment has no eigenvectors; its values are damaged")]
    Eigen,
}

/// Moments of unit-norm embeddings, in the embedder's own space.
pub struct Statistics {
    mean: Vec<f64>,
    /// E[x xᵀ], `d × d`, symmetric.
    second_moment: Vec<f64>,
    /// Pooled within-person covariance, where persons are known.
    within: Option<Vec<f64>>,
}

/// The same in the rotated space, with the rotation.
pub struct Rotated {
    /// `d × d`, row-major; row `i` is the `i`-th axis.
    pub rotation: Box<[f32]>,
    /// Energy of each axis, falling; together 1.
    pub energy: Vec<f64>,
    /// Mean along each axis.
    pub mean: Vec<f64>,
    /// What synthetic people are drawn from; without known persons, nobody is photographed twice
    /// and `within` is zero.
    pub population: Population,
    /// Whether persons were known.
    pub persons_known: bool,
}

/// One row of the table from which K is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// Dimensions of the hot plane.
    pub hot_dims: usize,
    /// Share of the energy in them.
    pub energy: f64,
    /// Share of non-mated rows that the bound does not prune.
    pub survivors: f64,
    /// Bytes moved per row and probe.
    pub bytes: f64,
}

impl Statistics {
    /// Of `embeddings` of any length; `person` labels them where persons are known.
    ///
    /// # Errors
    /// [`StatisticsError::Embedding`].
    pub fn of(embeddings: &[&[f32]], person: Option<&[usize]>) -> Result<Self, StatisticsError> {
        let dims = embeddings.first().map_or(0, |first| first.len());
        let unit = embeddings
            .iter()
            .enumerate()
            .map(|(index, embedding)| {
                direction(embedding, dims).ok_or(StatisticsError::Embedding { index })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let count = unit.len().max(1) as f64;
        let mean = (0..dims).map(|i| unit.iter().map(|x| x[i]).sum::<f64>() / count).collect();
        let matrix = Mat::from_fn(dims, unit.len(), |i, n| unit[n][i]);
        let product = &matrix * matrix.transpose();
        let second_moment = row_major(dims, |i, j| product[(i, j)] / count);
        let within = person.and_then(|person| within(&unit, person, dims));
        Ok(Self { mean, second_moment, within })
    }

    /// Reads an `.npz` archive: `mean` (d), `second_moment` (d × d) and, where persons were known,
    /// `within_covariance` (d × d); float32 or float64, C order, stored or deflated.
    ///
    /// # Errors
    /// [`StatisticsError`], one variant per way of being wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatisticsError> {
        npz::parse(bytes)
    }

    /// Dimensions of the embeddings.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.mean.len()
    }

    /// Turns the axes into the order of their energy.
    ///
    /// # Errors
    /// [`StatisticsError::Eigen`].
    pub fn rotated(&self) -> Result<Rotated, StatisticsError> {
        let d = self.dims();
        let moment = square(d, &self.second_moment);
        let found = moment.self_adjoint_eigen(Side::Lower).map_err(|_| StatisticsError::Eigen)?;
        let (vectors, values) = (found.U(), found.S().column_vector());
        // faer gives eigenvalues not falling; column `d - 1 - i` is the axis `i`.
        let axes = Mat::from_fn(d, d, |i, j| {
            let column = vectors.col(d - 1 - i);
            sign((0..d).map(|at| column[at])) * column[j]
        });
        let energy = (0..d).map(|i| values[d - 1 - i].max(0.0)).collect();
        let mean: Vec<f64> =
            (0..d).map(|i| (0..d).map(|j| axes[(i, j)] * self.mean[j]).sum()).collect();
        let turned = |matrix: &[f64]| &axes * square(d, matrix) * axes.transpose();
        let total = turned(&self.second_moment);
        let within = self.within.as_ref().map(|within| turned(within));
        let inside = |i: usize, j: usize| within.as_ref().map_or(0.0, |within| within[(i, j)]);
        let symmetric = |of: &dyn Fn(usize, usize) -> f64| -> Box<[f32]> {
            let mean = |i, j| (0.5 * (of(i, j) + of(j, i))) as f32;
            // A variance that rounding left below zero is none.
            (0..d * d)
                .map(|at| (at / d, at % d))
                .map(|(i, j)| if i == j { mean(i, j).max(0.0) } else { mean(i, j) })
                .collect()
        };
        let population = Population {
            mean: mean.iter().map(|&value| value as f32).collect(),
            between: symmetric(&|i, j| total[(i, j)] - mean[i] * mean[j] - inside(i, j)),
            within: symmetric(&inside),
        };
        let rotation = (0..d * d).map(|at| axes[(at / d, at % d)] as f32).collect();
        Ok(Rotated { rotation, energy, mean, population, persons_known: self.within.is_some() })
    }
}

impl Rotated {
    /// The scale S by the rule above, and the share of values that it expects to saturate.
    #[must_use]
    pub fn scale(&self) -> (f32, f64) {
        let mut scale = SCALE_STEP;
        while scale + SCALE_STEP <= SCALE_MAX
            && self.saturated_share(f64::from(scale + SCALE_STEP)) < SATURATED_SHARE_MAX
        {
            scale += SCALE_STEP;
        }
        (scale as f32, self.saturated_share(f64::from(scale)))
    }

    /// Share of values that are expected beyond ±127 at `scale`.
    #[must_use]
    pub fn saturated_share(&self, scale: f64) -> f64 {
        let edge = 127.5 / scale;
        let beyond = |(mean, energy): (&f64, &f64)| {
            let deviation = (energy - mean * mean).max(f64::MIN_POSITIVE).sqrt();
            tail((edge - mean) / deviation) + tail((edge + mean) / deviation)
        };
        let sum: f64 = self.mean.iter().zip(&self.energy).map(beyond).sum();
        sum / self.mean.len() as f64
    }

    /// Every split, for non-mated `pairs` of rotated unit vectors and a comparison score
    /// `threshold`, and which of them is the best. None without dimensions.
    #[must_use]
    pub fn splits(
        &self,
        pairs: &[(&[f32], &[f32])],
        threshold: f64,
    ) -> (Vec<Split>, Option<Split>) {
        let d = self.mean.len();
        let whole: f64 = self.energy.iter().sum();
        let steps = (1..=d / SPLIT_STEP).map(|step| step * SPLIT_STEP);
        let splits: Vec<Split> = steps
            .chain((!d.is_multiple_of(SPLIT_STEP)).then_some(d))
            .map(|hot_dims| {
                let kept = pairs.iter().filter(|(a, b)| bound(a, b, hot_dims) >= threshold);
                let survivors = kept.count() as f64 / pairs.len().max(1) as f64;
                let fetched = (d - hot_dims).next_multiple_of(FETCHED_BYTES);
                let norm = if hot_dims < d { size_of::<u16>() } else { 0 };
                Split {
                    hot_dims,
                    energy: self.energy[..hot_dims].iter().sum::<f64>() / whole,
                    survivors,
                    bytes: (hot_dims + norm) as f64 + survivors * fetched as f64,
                }
            })
            .collect();
        let fewest = splits.iter().map(|split| split.bytes).fold(f64::INFINITY, f64::min);
        let best = splits.iter().rfind(|split| split.bytes <= fewest * BYTES_SLACK).copied();
        (splits, best)
    }
}

/// What `ops::search` prunes by, in floating point: hot product and norms of the rest.
fn bound(a: &[f32], b: &[f32], hot_dims: usize) -> f64 {
    let dot = |a: &[f32], b: &[f32]| f64::from(a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>());
    let ((a_hot, a_rest), (b_hot, b_rest)) = (a.split_at(hot_dims), b.split_at(hot_dims));
    dot(a_hot, b_hot) + (dot(a_rest, a_rest) * dot(b_rest, b_rest)).sqrt()
}

/// `embedding` at length 1; `None` where it has no direction or not `dims` values.
fn direction(embedding: &[f32], dims: usize) -> Option<Vec<f64>> {
    let norm = embedding.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let sound = embedding.len() == dims && norm.is_finite() && norm > 0.0;
    sound.then(|| embedding.iter().map(|&x| f64::from(x) / norm).collect())
}

/// Pooled covariance of embeddings around their person's mean; `None` where nobody is there twice.
fn within(unit: &[Vec<f64>], person: &[usize], dims: usize) -> Option<Vec<f64>> {
    let persons = person.iter().max().map_or(0, |most| most + 1);
    let mut sums = vec![(0.0, vec![0.0; dims]); persons];
    for (x, &who) in unit.iter().zip(person) {
        let (count, sum) = &mut sums[who];
        *count += 1.0;
        sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
    }
    let seen = sums.iter().filter(|(count, _)| *count > 0.0).count();
    // Each person's mean costs one degree of freedom.
    let freedom = unit.len().checked_sub(seen).filter(|&freedom| freedom > 0)? as f64;
    let apart = Mat::from_fn(dims, unit.len(), |i, n| {
        let (count, sum) = &sums[person[n]];
        unit[n][i] - sum[i] / count
    });
    let product = &apart * apart.transpose();
    Some(row_major(dims, |i, j| product[(i, j)] / freedom))
}

/// The sign of the largest component, the first of equals.
fn sign(values: impl Iterator<Item = f64>) -> f64 {
    let largest = values.fold(0.0_f64, |held, x| if x.abs() > held.abs() { x } else { held });
    if largest < 0.0 { -1.0 } else { 1.0 }
}

/// Share of a normal distribution beyond `z` deviations.
fn tail(z: f64) -> f64 {
    0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
}

fn square(d: usize, values: &[f64]) -> Mat<f64> {
    Mat::from_fn(d, d, |i, j| 0.5 * (values[i * d + j] + values[j * d + i]))
}

fn row_major(d: usize, value: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    (0..d * d).map(|at| value(at / d, at % d)).collect()
}

#[cfg(test)]
mod tests;
