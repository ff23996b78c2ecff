//! What turns an embedding into a template, and a false match rate into a threshold; one file per
//! embedder, bound to its model by hash.
//!
//! ```text
//! offset  size   what                                             all numbers little-endian
//!      0     8   magic "PCULSCAL"
//!      8     4   u32  version, 1
//!     12     4   u32  d: dimensions, 1 ..= DIMS_MAX
//!     16     4   u32  hot dimensions, 1 ..= d
//!     20     4   u32  t: threshold rows, 0 ..= 64; 0: no labelled data, no threshold by rate
//!     24     4   u32  b: bytes of the basis, 1 ..= 4096
//!     28     4   u32  population: 0 absent, 1 present
//!     32     4   f32  scale S, 1 ..= 4096
//!     36     4   u32  zero
//!     40    32   SHA-256 of the model file
//!     72     8   u64  genuine comparisons behind the thresholds
//!     80     8   u64  impostor comparisons behind the thresholds
//!     88    16t  rows: f64 false match rate (falling), f32 similarity (not falling), u32 zero
//!      …     b   basis: one sentence in UTF-8, data set and sample size
//!      …  4d·d   f32  rotation, row i = rotated axis i; orthonormal
//!      …    4d   f32  population mean            ┐
//!      …  4d·d   f32  covariance between persons  ├ only where present; in the rotated space
//!      …  4d·d   f32  covariance within a person  ┘
//!      …    32   SHA-256 of everything before: the calibration's own hash
//! ```
//!
//! Assumptions about the file: the hash says that it is whole, not who made it; a deployer's
//! calibration is as trusted as the rest of the configuration. Sizes are checked before anything is
//! computed from them, and numbers before anything is allocated for them.
//!
//! How it is derived stands with [`super::Statistics`]; [`Draft`] writes it. Not here: comparing
//! templates (`ops`).

mod draft;
mod error;
mod format;
mod people;

use std::sync::Arc;

use zeroize::Zeroize;

pub use draft::Draft;
pub use error::{CalibrationError, ThresholdError};
pub use people::{NotCovariance, People};

use crate::{
    ops::{
        quantise::{QuantiseError, quantise, quantise_rotated},
        tile::TileLayout,
    },
    types::{Hash256, Score, Template, TemplateKind, Threshold},
};

/// The calibration of the default embedder, as shipped.
const SFACE_128: &[u8] = include_bytes!("sface_128.calibration");

/// One measured point: at `similarity`, the share `fmr` of non-mated pairs matches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThresholdRow {
    /// False match rate.
    pub fmr: f64,
    /// Comparison score, published form.
    pub similarity: f32,
}

/// Second-order statistics of unit-norm embeddings in the rotated space, from which synthetic
/// galleries are drawn. No face can be recovered from them.
#[derive(Clone)]
pub struct Population {
    /// Mean embedding, `d` values.
    pub mean: Box<[f32]>,
    /// Covariance of persons, `d × d`, row-major.
    pub between: Box<[f32]>,
    /// Covariance of one person's photographs, `d × d`, row-major.
    pub within: Box<[f32]>,
}

/// How embeddings of one model become templates. Immutable once parsed.
pub struct Calibration {
    kind: TemplateKind,
    layout: TileLayout,
    scale: f32,
    rotation: Box<[f32]>,
    rows: Vec<ThresholdRow>,
    genuine: u64,
    impostor: u64,
    basis: Arc<str>,
    population: Option<Population>,
}

impl Calibration {
    /// Reads a calibration file.
    ///
    /// # Errors
    /// [`CalibrationError`], one variant per way of being wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, CalibrationError> {
        format::parse(bytes)
    }

    /// The calibration of the default embedder.
    #[must_use]
    pub fn sface_128() -> Self {
        Self::parse(SFACE_128).expect("the shipped calibration is parsed by a test")
    }

    /// Model and calibration hash of every template made here.
    #[must_use]
    pub fn kind(&self) -> TemplateKind {
        self.kind
    }

    /// Sizes of a gallery tile of such templates.
    #[must_use]
    pub fn layout(&self) -> TileLayout {
        self.layout
    }

    /// The scale `S`: similarity is `score / S²`.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// `d × d`, row-major; row `i` is the `i`-th rotated axis.
    #[must_use]
    pub fn rotation(&self) -> &[f32] {
        &self.rotation
    }

    /// The threshold table, rates falling.
    #[must_use]
    pub fn thresholds(&self) -> &[ThresholdRow] {
        &self.rows
    }

    /// Genuine and impostor comparisons behind the table.
    #[must_use]
    pub fn comparisons(&self) -> (u64, u64) {
        (self.genuine, self.impostor)
    }

    /// Data set and sample size behind the table; shown wherever a threshold is.
    #[must_use]
    pub fn basis(&self) -> &str {
        &self.basis
    }

    /// Statistics for synthetic galleries, where the file has them.
    #[must_use]
    pub fn population(&self) -> Option<&Population> {
        self.population.as_ref()
    }

    /// Refuses an embedder that this calibration was not made for.
    ///
    /// # Errors
    /// [`CalibrationError::Model`].
    pub fn accept_model(&self, held: Hash256) -> Result<(), CalibrationError> {
        let expected = self.kind.model;
        if held == expected { Ok(()) } else { Err(CalibrationError::Model { expected, held }) }
    }

    /// Normalises, rotates, scales and rounds an embedding ([`quantise()`] says how). Scratch is
    /// wiped; the embedding is the caller's to wipe.
    ///
    /// # Errors
    /// [`CalibrationError::Embedding`].
    pub fn template(&self, embedding: &[f32]) -> Result<Template, CalibrationError> {
        self.made(|values| quantise(embedding, &self.rotation, self.scale, values))
    }

    /// As [`Calibration::template`], for an embedding that stands in the rotated space already: of
    /// [`People`] that are drawn from [`Calibration::population`].
    ///
    /// # Errors
    /// [`CalibrationError::Embedding`].
    pub fn rotated_template(&self, rotated: &[f32]) -> Result<Template, CalibrationError> {
        self.made(|values| quantise_rotated(rotated, self.scale, values))
    }

    /// A template of zeros that matches nobody, for [`Calibration::fill`] to fill later.
    #[must_use]
    pub fn blank(&self) -> Template {
        let values = vec![0_i8; self.layout.dims].into_boxed_slice();
        Template::new(values, self.kind).expect("the length is the kind's, and zero is in range")
    }

    /// As [`Calibration::template`], into a place that [`Calibration::blank`] set aside: nothing is
    /// allocated. On an error the place is all zeros.
    ///
    /// # Errors
    /// [`CalibrationError::Embedding`].
    pub fn fill(&self, embedding: &[f32], place: &mut Template) -> Result<(), CalibrationError> {
        place.refill(self.kind, |values| {
            quantise(embedding, &self.rotation, self.scale, values).map_err(CalibrationError::from)
        })
    }

    fn made(
        &self,
        quantised: impl FnOnce(&mut [i8]) -> Result<(), QuantiseError>,
    ) -> Result<Template, CalibrationError> {
        // Made at its final size: nothing is left behind by growing.
        let mut values = vec![0_i8; self.layout.dims].into_boxed_slice();
        if let Err(error) = quantised(&mut values) {
            values.zeroize();
            return Err(error.into());
        }
        let template = Template::new(values, self.kind);
        Ok(template.expect("the length is the kind's, and quantising never gives -128"))
    }

    /// The threshold for a false match rate of at most `fmr`: the row with the greatest rate that
    /// is not above it.
    ///
    /// # Errors
    /// [`ThresholdError`]; a rate that the sample does not support is refused, not extrapolated.
    pub fn threshold(&self, fmr: f64) -> Result<Threshold, ThresholdError> {
        if !(fmr > 0.0 && fmr < 1.0) {
            return Err(ThresholdError::NotRate { held: fmr });
        }
        let Some(row) = self.rows.iter().find(|row| row.fmr <= fmr) else {
            let Some(least) = self.rows.last().map(|row| row.fmr) else {
                return Err(ThresholdError::NoTable { basis: self.basis.clone() });
            };
            return Err(ThresholdError::Unreached { held: fmr, least, basis: self.basis.clone() });
        };
        Ok(Threshold {
            score: self.score_of(row.similarity),
            similarity: row.similarity,
            fmr: row.fmr,
            basis: self.basis.clone(),
        })
    }

    /// The least score that is published as `similarity` or more, so that what is shown and what is
    /// decided never disagree: `similarity` itself is rounded to single precision.
    fn score_of(&self, similarity: f32) -> Score {
        let above = Score::at_least(f64::from(similarity), self.scale);
        let below = Score(above.0.saturating_sub(1));
        if below.similarity(self.scale) >= similarity { below } else { above }
    }
}

impl std::fmt::Debug for Calibration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calibration").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Population {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Population({} dimensions)", self.mean.len())
    }
}

#[cfg(test)]
mod tests;
