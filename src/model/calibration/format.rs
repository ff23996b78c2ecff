//! The bytes of a calibration file, in the order of the picture in `calibration.rs`.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use super::{Calibration, CalibrationError, Population, ThresholdRow};
use crate::{
    limits,
    ops::tile::TileLayout,
    types::{Hash256, TemplateKind},
};

pub(super) const MAGIC: &[u8; 8] = b"PCULSCAL";
pub(super) const VERSION: u32 = 1;
const HEADER_BYTES: usize = 88;
const ROW_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
pub(super) const ROWS_MAX: u32 = 64;
pub(super) const BASIS_BYTES_MAX: u32 = 4096;
const SCALE_MAX: f32 = 4096.0;
/// How far a product of two rotated axes may lie from 0 or 1: float32 rounding of 2048 terms.
const ORTHONORMAL_WITHIN: f32 = 1e-3;

/// Reads a whole file: header, hash, then each part.
pub(super) fn parse(bytes: &[u8]) -> Result<Calibration, CalibrationError> {
    let header = Header::parse(bytes)?;
    let (body, stated) = bytes.split_at(bytes.len().saturating_sub(HASH_BYTES));
    let held = Hash256::of(body);
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
    Ok(Calibration {
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
        let rows = rest.field("number of thresholds", 0, ROWS_MAX)?;
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

    /// Bytes of the whole file. Every size has its limit by now: 2048² · 12 and small change.
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

/// What is left of the file. Its length was checked against the header, so a read never falls
/// short; if it did, it would give zeros.
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
