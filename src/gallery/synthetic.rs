//! Galleries of people who do not exist, for demonstrations, tests and load: as many as wanted,
//! from one seed, spread like the embeddings that the calibration was measured on.
//!
//! Source: the usual two-covariance model. A person is a draw from N(mean, between), a photograph
//! of that person another from N(0, within); the sum is normalised, scaled and rounded like every
//! template. Each person has one photograph here, so the two draws are one from N(mean, between +
//! within). The calibration gives these statistics in the rotated space, where templates live.
//!
//! A normal draw is a sum of sixteen random bytes, centred and scaled: whole numbers only, so that
//! one seed gives the same draws on every machine, and close enough to normal (excess kurtosis
//! -0.075) because the covariance then mixes a hundred of them. The matrix product is f32 and may
//! differ in the last bit between machines; a value that lay on the edge of rounding may then
//! differ by one.
//!
//! Strangers are more alike here than in the calibration's own table: with the default calibration
//! 8.7e-3 of 4 million comparisons reach the threshold of FMR 1e-3. The statistics count a person
//! once per photograph, so that a few with many photographs widen the leading axes. A synthetic
//! gallery is therefore a hard one; no accuracy may be read from it.
//!
//! Absent on purpose: any path from a real face. Statistics go in, nobody comes out.

use faer::{Accum, Mat, MatMut, MatRef, Par, Side, linalg::matmul::matmul};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{Enrolment, Gallery, GalleryError};
use crate::{
    model::Calibration,
    types::{SubjectId, Template, TemplateKind},
};

/// Persons per published generation.
const BLOCK_ROWS: usize = 4096;
/// Random bytes whose sum is one normal draw.
const DRAW_BYTES: usize = 16;
/// Mean of that sum.
const DRAW_MEAN: f32 = 127.5 * DRAW_BYTES as f32;
/// Its standard deviation: 4 · √((256² − 1) / 12).
const DRAW_DEVIATION: f32 = 295.600_6;
/// How often a covariance that rounding left slightly indefinite is lifted, tenfold each time.
const JITTERS_MAX: u32 = 6;

/// Why no synthetic gallery was made.
#[derive(Debug, thiserror::Error)]
pub enum SyntheticError {
    /// The calibration carries no statistics.
    #[error(
        "the calibration has no population statistics; use one that has, or enrol real templates"
    )]
    NoPopulation,
    /// The statistics are not those of anything.
    #[error("the calibration's covariances are not positive definite; its file is damaged")]
    Covariance,
    /// The gallery refused.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
}

/// Enrols `rows` synthetic persons with one reference each, and tells `progress` how many are in.
///
/// # Errors
/// [`SyntheticError`]; persons that were told of by `progress` then stay.
pub fn fill(
    gallery: &Gallery,
    calibration: &Calibration,
    rows: u64,
    seed: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<(), SyntheticError> {
    let population = calibration.population().ok_or(SyntheticError::NoPopulation)?;
    let (between, within) = (&population.between, &population.within);
    let spread = Spread::new(&population.mean, between, within, calibration.scale())?;
    spread.fill(gallery, rows, seed, progress)
}

/// The statistics, ready to be drawn from.
struct Spread {
    mean: Vec<f32>,
    /// Lower Cholesky factor of the whole covariance.
    factor: Mat<f32>,
    scale: f32,
}

impl Spread {
    fn new(
        mean: &[f32],
        between: &[f32],
        within: &[f32],
        scale: f32,
    ) -> Result<Self, SyntheticError> {
        let dims = mean.len();
        if [between, within].iter().any(|matrix| matrix.len() != dims * dims) {
            return Err(SyntheticError::Covariance);
        }
        let at = |i: usize, j: usize| f64::from(between[i * dims + j] + within[i * dims + j]);
        let covariance = Mat::from_fn(dims, dims, |i, j| 0.5 * (at(i, j) + at(j, i)));
        let variance = (0..dims).map(|i| covariance[(i, i)]).sum::<f64>() / dims as f64;
        for attempt in 0..=JITTERS_MAX {
            let lift = if attempt == 0 { 0.0 } else { 1e-10 * 10_f64.powi(attempt as i32) };
            let lifted = Mat::from_fn(dims, dims, |i, j| {
                covariance[(i, j)] + if i == j { lift * variance } else { 0.0 }
            });
            if let Ok(found) = lifted.llt(Side::Lower) {
                let lower = found.L();
                let factor = Mat::from_fn(dims, dims, |i, j| lower[(i, j)] as f32);
                return Ok(Self { mean: mean.to_vec(), factor, scale });
            }
        }
        Err(SyntheticError::Covariance)
    }

    fn fill(
        &self,
        gallery: &Gallery,
        rows: u64,
        seed: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), SyntheticError> {
        let dims = self.mean.len();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = vec![0; BLOCK_ROWS * dims * DRAW_BYTES];
        let mut draws = vec![0.0; BLOCK_ROWS * dims];
        let mut samples = vec![0.0; BLOCK_ROWS * dims];
        let mut done = 0;
        while done < rows {
            let block = usize::try_from(rows - done).unwrap_or(BLOCK_ROWS).min(BLOCK_ROWS);
            let values = block * dims;
            random.fill_bytes(&mut bytes[..values * DRAW_BYTES]);
            normal(&bytes[..values * DRAW_BYTES], &mut draws[..values]);
            self.mix(&draws[..values], &mut samples[..values]);
            let newcomers: Vec<_> = samples[..values]
                .chunks_exact(dims)
                .zip(done..)
                .map(|(sample, person)| {
                    let template = template(sample, self.scale, gallery.kind())?;
                    Ok((name(seed, person), vec![template], Enrolment::default()))
                })
                .collect::<Result<_, GalleryError>>()?;
            gallery.enrol_all(&newcomers)?;
            done += block as u64;
            progress(done);
        }
        Ok(())
    }

    /// `sample = mean + factor · draw`, for every column at once.
    fn mix(&self, draws: &[f32], samples: &mut [f32]) {
        let dims = self.mean.len();
        let persons = draws.len() / dims;
        for sample in samples.chunks_exact_mut(dims) {
            sample.copy_from_slice(&self.mean);
        }
        matmul(
            MatMut::from_column_major_slice_mut(samples, dims, persons),
            Accum::Add,
            self.factor.as_ref(),
            MatRef::from_column_major_slice(draws, dims, persons),
            1.0,
            Par::Seq,
        );
    }
}

fn normal(bytes: &[u8], draws: &mut [f32]) {
    for (draw, bytes) in draws.iter_mut().zip(bytes.chunks_exact(DRAW_BYTES)) {
        let sum: u16 = bytes.iter().copied().map(u16::from).sum();
        *draw = (f32::from(sum) - DRAW_MEAN) / DRAW_DEVIATION;
    }
}

/// As a real embedding becomes a template, without the rotation that was already done.
fn template(sample: &[f32], scale: f32, kind: &TemplateKind) -> Result<Template, GalleryError> {
    let norm = sample.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
    let factor = f64::from(scale) / norm.max(f64::MIN_POSITIVE);
    let round = |&value: &f32| (f64::from(value) * factor).round().clamp(-127.0, 127.0) as i8;
    Ok(Template::new(sample.iter().map(round).collect(), *kind)?)
}

/// A subject id that says what it is: `synt`, the seed's last 32 bits, the person's number.
fn name(seed: u64, person: u64) -> SubjectId {
    let mut id = *b"synt\0\0\0\0\0\0\0\0\0\0\0\0";
    id[4..8].copy_from_slice(&seed.to_be_bytes()[4..]);
    id[8..].copy_from_slice(&person.to_be_bytes());
    SubjectId::from_bytes(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ops::{
            score::score,
            tile::{TileLayout, TilePart},
        },
        types::Hash256,
    };

    const DIMS: usize = 32;

    fn gallery() -> Gallery {
        let kind = TemplateKind {
            model: Hash256::from_bytes([1; 32]),
            calibration: Hash256::from_bytes([2; 32]),
            dims: DIMS as u16,
        };
        Gallery::new(kind, TileLayout { dims: DIMS, hot_dims: 24, rows: 128 })
    }

    /// Falling variances and one correlated pair, as after a rotation.
    fn spread() -> Spread {
        let mut between = vec![0.0; DIMS * DIMS];
        for i in 0..DIMS {
            between[i * DIMS + i] = 0.05 / (i + 1) as f32;
        }
        between[1] = 0.01;
        between[DIMS] = 0.01;
        let within = between.iter().map(|value| 0.3 * value).collect::<Vec<_>>();
        Spread::new(&[0.01; DIMS], &between, &within, 127.0).expect("a covariance")
    }

    fn plane(gallery: &Gallery, tile: usize) -> Vec<u8> {
        let source = gallery.source();
        let rows = source.set().tiles[tile].rows;
        let mut plane = vec![0; source.set().layout.part_bytes(TilePart::Hot, rows)];
        source.open(tile, TilePart::Hot, &mut plane).expect("a tile");
        plane
    }

    #[test]
    fn one_seed_is_one_gallery() {
        let make = |seed| {
            let gallery = gallery();
            let mut told = Vec::new();
            spread().fill(&gallery, 5_000, seed, &mut |done| told.push(done)).expect("room");
            assert_eq!(told, [4096, 5000]);
            assert_eq!(gallery.stats().subjects, 5_000);
            plane(&gallery, 3)
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }

    #[test]
    fn samples_have_the_covariance_they_were_asked_for() {
        let spread = spread();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let persons = 40_000;
        let mut bytes = vec![0; persons * DIMS * DRAW_BYTES];
        random.fill_bytes(&mut bytes);
        let mut draws = vec![0.0; persons * DIMS];
        normal(&bytes, &mut draws);
        let mut samples = vec![0.0; persons * DIMS];
        spread.mix(&draws, &mut samples);
        let covariance = |i: usize, j: usize| {
            let sum: f32 = samples.chunks_exact(DIMS).map(|s| (s[i] - 0.01) * (s[j] - 0.01)).sum();
            sum / persons as f32
        };
        assert!((covariance(0, 0) / 0.065 - 1.0).abs() < 0.03, "{}", covariance(0, 0));
        assert!((covariance(0, 1) / 0.013 - 1.0).abs() < 0.1, "{}", covariance(0, 1));
        assert!(covariance(5, 6).abs() < 3e-4, "{}", covariance(5, 6));
    }

    #[test]
    fn strangers_score_low_and_nobody_is_out_of_range() {
        let gallery = gallery();
        spread().fill(&gallery, 128, 3, &mut |_| {}).expect("room");
        let plane = plane(&gallery, 0);
        let values: &[i8] = bytemuck::cast_slice(&plane);
        assert!(!values.contains(&i8::MIN));
        let rows: Vec<&[i8]> = values.chunks_exact(24).collect();
        let own = score(rows[0], rows[0]).0;
        let mean = rows[1..].iter().map(|row| score(rows[0], row).0).sum::<i32>() / 127;
        assert!(own > 14_000 && mean.abs() < own / 4, "own {own}, strangers {mean}");
    }

    #[test]
    fn statistics_of_nothing_are_refused() {
        let negative = vec![-1.0; DIMS * DIMS];
        let refused = Spread::new(&[0.0; DIMS], &negative, &negative, 127.0);
        assert!(matches!(refused, Err(SyntheticError::Covariance)));
    }
}
