//! What turns an embedding into a template, and a false match rate into a threshold; one file per
//! embedder, bound to its model by hash.
//!
//! ```text
//! offset  size   what                                             all numbers little-endian
//!      0     8   magic "PCULSCAL"
//!      8     4   u32  version, 1
//!     12     4   u32  d: dimensions, 1 ..= DIMS_MAX
//!     16     4   u32  hot dimensions, 1 ..= d
//!     20     4   u32  t: threshold rows, 1 ..= 64
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
//! Assumptions: the hash says that the file is whole, not who made it; a deployer's calibration is
//! as trusted as the rest of the configuration. Sizes are checked before anything is computed from
//! them, and numbers before anything is allocated for them.
//!
//! Not here: how it is derived (`bench/calibration/derive.py`), and comparing templates (`ops`).

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::{
    limits,
    ops::{
        quantise::{QuantiseError, quantise},
        tile::TileLayout,
    },
    types::{Hash256, Score, Template, TemplateKind, Threshold},
};

const MAGIC: &[u8; 8] = b"PCULSCAL";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 88;
const ROW_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
const ROWS_MAX: u32 = 64;
const BASIS_BYTES_MAX: u32 = 4096;
const SCALE_MAX: f32 = 4096.0;
/// How far a product of two rotated axes may lie from 0 or 1: float32 rounding of 2048 terms.
const ORTHONORMAL_WITHIN: f32 = 1e-3;

/// The calibration of the default embedder, as shipped.
const SFACE_128: &[u8] = include_bytes!("sface_128.calibration");

/// Why bytes are not a calibration, or an embedding does not become a template.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// The basis is not one readable sentence.
    #[error("the calibration's basis (data set and sample size) is not plain UTF-8 text")]
    Basis,
    /// A bit was changed, or the file was cut.
    #[error("the calibration is damaged: its hash is {held}, it states {stated}; fetch it again")]
    Damaged {
        /// Hash at the end of the file.
        stated: Hash256,
        /// Hash of what stands before.
        held: Hash256,
    },
    /// An embedding that has no template.
    #[error(transparent)]
    Embedding(#[from] QuantiseError),
    /// A header field outside of what is allowed.
    #[error("the calibration's {field} is {held}; allowed: {least} to {most}")]
    Field {
        /// Which.
        field: &'static str,
        /// Value found.
        held: u32,
        /// Least allowed.
        least: u32,
        /// Most allowed.
        most: u32,
    },
    /// The file has not the length that its header needs.
    #[error("a calibration with this header has {expected} bytes, the file has {held}")]
    Length {
        /// Bytes needed.
        expected: usize,
        /// Bytes found.
        held: usize,
    },
    /// Not a calibration at all.
    #[error("not a calibration: it does not begin with \"PCULSCAL\"")]
    Magic,
    /// The model in use is another one.
    #[error("the calibration belongs to model {expected}, the embedder is {held}")]
    Model {
        /// The calibration's model.
        expected: Hash256,
        /// The model at hand.
        held: Hash256,
    },
    /// An infinite or undefined value.
    #[error("value {index} of the calibration's {part} is not a finite number")]
    NotFinite {
        /// Where.
        part: &'static str,
        /// Position.
        index: usize,
    },
    /// A covariance that is not one.
    #[error("the calibration's {part} is not a covariance: see row {row}")]
    Population {
        /// Which.
        part: &'static str,
        /// Row with a negative variance or without symmetry.
        row: usize,
    },
    /// Axes that are not orthonormal would change scores.
    #[error("rows {row} and {other} of the calibration's rotation are not orthonormal")]
    Rotation {
        /// One axis.
        row: usize,
        /// The other, or the same.
        other: usize,
    },
    /// The scale is not a number in range.
    #[error("the calibration's scale is {held}; allowed: 1 to 4096")]
    Scale {
        /// Value found.
        held: f32,
    },
    /// Rows must fall in rate and not fall in similarity.
    #[error("row {row} of the calibration's threshold table does not follow from the one before")]
    Threshold {
        /// The row.
        row: usize,
    },
    /// Another version of the format.
    #[error("calibration format {held}; this build reads format {VERSION}")]
    Version {
        /// Version found.
        held: u32,
    },
}

/// Why a threshold cannot be given.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ThresholdError {
    /// Not a rate.
    #[error("{held} is not a false match rate; give a number above 0 and below 1")]
    NotRate {
        /// What was asked.
        held: f64,
    },
    /// The sample behind the table is too small for it.
    #[error(
        "insufficient data for a false match rate of {held:e}: the calibration reaches {least:e} ({basis})"
    )]
    Unreached {
        /// What was asked.
        held: f64,
        /// The lowest rate of the table.
        least: f64,
        /// The data behind it.
        basis: Arc<str>,
    },
}

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
        let header = Header::parse(bytes)?;
        let (body, stated) = bytes.split_at(bytes.len().saturating_sub(HASH_BYTES));
        let held = Hash256::from_bytes(Sha256::digest(body).into());
        let stated = Hash256::from_bytes(stated.try_into().expect("the header checked the length"));
        if held != stated {
            return Err(CalibrationError::Damaged { stated, held });
        }
        let d = header.dims;
        let square = d.saturating_mul(d);
        let mut rest = Reader(body.get(HEADER_BYTES..).unwrap_or_default());
        let rows = threshold_rows(&mut rest, header.rows)?;
        let basis = basis(rest.bytes(header.basis_bytes))?;
        let rotation = rest.floats(square, "rotation")?;
        orthonormal(&rotation, d)?;
        let population = if header.population {
            Some(Population {
                mean: rest.floats(d, "mean")?,
                between: covariance(rest.floats(square, "between")?, d, "between-person")?,
                within: covariance(rest.floats(square, "within")?, d, "within-person")?,
            })
        } else {
            None
        };
        let dims = u16::try_from(d).expect("DIMS_MAX fits u16");
        let tile_rows = usize::try_from(limits::TILE_ROWS).expect("a tile fits memory");
        Ok(Self {
            kind: TemplateKind { model: header.model, calibration: held, dims },
            layout: TileLayout { dims: d, hot_dims: header.hot_dims, rows: tile_rows },
            scale: header.scale,
            rotation,
            rows,
            genuine: header.genuine,
            impostor: header.impostor,
            basis,
            population,
        })
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
        // Made at its final size: nothing is left behind by growing.
        let mut values = vec![0_i8; self.layout.dims].into_boxed_slice();
        if let Err(error) = quantise(embedding, &self.rotation, self.scale, &mut values) {
            values.zeroize();
            return Err(error.into());
        }
        let template = Template::new(values, self.kind);
        Ok(template.expect("the length is the kind's, and quantising never gives -128"))
    }

    /// The threshold for a false match rate of at most `fmr`: the row with the greatest rate that is
    /// not above it.
    ///
    /// # Errors
    /// [`ThresholdError`]; a rate that the sample does not support is refused, not extrapolated.
    pub fn threshold(&self, fmr: f64) -> Result<Threshold, ThresholdError> {
        if !(fmr > 0.0 && fmr < 1.0) {
            return Err(ThresholdError::NotRate { held: fmr });
        }
        let Some(row) = self.rows.iter().find(|row| row.fmr <= fmr) else {
            let least = self.rows.last().map_or(1.0, |row| row.fmr);
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

/// The fixed part, checked; its sizes add up to the file's length.
struct Header {
    dims: usize,
    hot_dims: usize,
    rows: usize,
    basis_bytes: usize,
    population: bool,
    scale: f32,
    model: Hash256,
    genuine: u64,
    impostor: u64,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, CalibrationError> {
        if bytes.get(..MAGIC.len()) != Some(MAGIC) {
            return Err(CalibrationError::Magic);
        }
        let held = bytes.len();
        let least = HEADER_BYTES.saturating_add(HASH_BYTES);
        if held < least {
            return Err(CalibrationError::Length { expected: least, held });
        }
        let mut rest = Reader(bytes.get(MAGIC.len()..).unwrap_or_default());
        let version = rest.u32();
        if version != VERSION {
            return Err(CalibrationError::Version { held: version });
        }
        let dims_max = u32::try_from(limits::DIMS_MAX).unwrap_or(u32::MAX);
        let dims = rest.field("number of dimensions", 1, dims_max)?;
        let hot_dims = rest.field("number of hot dimensions", 1, dims)?;
        let rows = rest.field("number of thresholds", 1, ROWS_MAX)?;
        let basis_bytes = rest.field("length of its basis", 1, BASIS_BYTES_MAX)?;
        let population = rest.field("population flag", 0, 1)? == 1;
        let scale = f32::from_bits(rest.u32());
        if !(1.0..=SCALE_MAX).contains(&scale) {
            return Err(CalibrationError::Scale { held: scale });
        }
        rest.field("reserved field", 0, 0)?;
        let model = Hash256::from_bytes(rest.array());
        let [genuine, impostor] = [rest.array(), rest.array()].map(u64::from_le_bytes);
        let size = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
        let header = Self {
            dims: size(dims),
            hot_dims: size(hot_dims),
            rows: size(rows),
            basis_bytes: size(basis_bytes),
            population,
            scale,
            model,
            genuine,
            impostor,
        };
        match header.length() {
            expected if expected == held => Ok(header),
            expected => Err(CalibrationError::Length { expected, held }),
        }
    }

    /// Bytes of the whole file. Every size has its limit by now: at most 2048² · 12 and small change.
    fn length(&self) -> usize {
        let square = self.dims.saturating_mul(self.dims);
        let population =
            if self.population { square.saturating_mul(2).saturating_add(self.dims) } else { 0 };
        let floats = square.saturating_add(population);
        HEADER_BYTES
            .saturating_add(self.rows.saturating_mul(ROW_BYTES))
            .saturating_add(self.basis_bytes)
            .saturating_add(floats.saturating_mul(4))
            .saturating_add(HASH_BYTES)
    }
}

/// What is left of the file. Its length was checked against the header, so a read never falls short;
/// if it did, it would give zeros.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at_checked(count).unwrap_or_default();
        self.0 = rest;
        head
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.bytes(N).try_into().unwrap_or([0; N])
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn field(
        &mut self,
        field: &'static str,
        least: u32,
        most: u32,
    ) -> Result<u32, CalibrationError> {
        let held = self.u32();
        if (least..=most).contains(&held) {
            Ok(held)
        } else {
            Err(CalibrationError::Field { field, held, least, most })
        }
    }

    fn floats(&mut self, count: usize, part: &'static str) -> Result<Box<[f32]>, CalibrationError> {
        let (whole, _) = self.bytes(count.saturating_mul(4)).as_chunks::<4>();
        let values: Box<[f32]> = whole.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(CalibrationError::NotFinite { part, index }),
            None => Ok(values),
        }
    }
}

fn threshold_rows(
    rest: &mut Reader<'_>,
    count: usize,
) -> Result<Vec<ThresholdRow>, CalibrationError> {
    let mut rows: Vec<ThresholdRow> = Vec::with_capacity(count);
    for index in 0..count {
        let fmr = f64::from_le_bytes(rest.array());
        let similarity = f32::from_le_bytes(rest.array());
        let reserved = rest.u32();
        let (before, least) = rows.last().map_or((1.0, -1.0), |row| (row.fmr, row.similarity));
        let follows = fmr > 0.0 && fmr < before && similarity >= least && similarity <= 1.0;
        if !follows || reserved != 0 {
            return Err(CalibrationError::Threshold { row: index });
        }
        rows.push(ThresholdRow { fmr, similarity });
    }
    Ok(rows)
}

fn basis(bytes: &[u8]) -> Result<Arc<str>, CalibrationError> {
    let text = std::str::from_utf8(bytes).map_err(|_| CalibrationError::Basis)?;
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(CalibrationError::Basis);
    }
    Ok(text.into())
}

fn orthonormal(rotation: &[f32], dims: usize) -> Result<(), CalibrationError> {
    for (row, axis) in rotation.chunks_exact(dims).enumerate() {
        for (other, with) in rotation.chunks_exact(dims).enumerate().skip(row) {
            let expected = if row == other { 1.0 } else { 0.0 };
            if (dot(axis, with) - expected).abs() > ORTHONORMAL_WITHIN {
                return Err(CalibrationError::Rotation { row, other });
            }
        }
    }
    Ok(())
}

fn covariance(
    values: Box<[f32]>,
    dims: usize,
    part: &'static str,
) -> Result<Box<[f32]>, CalibrationError> {
    for (row, line) in values.chunks_exact(dims).enumerate() {
        let column = values.iter().skip(row).step_by(dims);
        let symmetric = line.iter().zip(column).all(|(one, other)| (one - other).abs() <= 1e-6);
        if !symmetric || line.get(row).is_none_or(|&variance| variance < 0.0) {
            return Err(CalibrationError::Population { part, row });
        }
    }
    Ok(values)
}

/// A dot product in eight fixed lanes: the same on every machine, and fast on most.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let (blocks, rest) = one.as_chunks::<8>();
    let (other_blocks, other_rest) = other.as_chunks::<8>();
    let mut lanes = [0.0_f32; 8];
    for (block, other) in blocks.iter().zip(other_blocks) {
        for ((lane, value), other) in lanes.iter_mut().zip(block).zip(other) {
            *lane += value * other;
        }
    }
    let rest: f32 = rest.iter().zip(other_rest).map(|(value, other)| value * other).sum();
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
#[path = "calibration_tests.rs"]
mod tests;
