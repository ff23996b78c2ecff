//! The `.npz` archive of NumPy, as far as statistics need it.
//!
//! ```text
//! archive   ZIP: local files, then the central directory, then its end record (22 bytes and a
//!           comment), which is searched from the back
//! member    NAME.npy: stored (method 0) or deflated (8)
//! .npy      "\x93NUMPY", version 1 to 3, header length u16 (1) or u32 (2, 3), a Python dictionary
//!           literal with descr ('<f4' or '<f8'), fortran_order (False), shape; then the values
//! ```
//!
//! Everything is found through the central directory; sizes are checked before anything is taken
//! from them, and inflating stops at the size of the largest array that is allowed. Not here:
//! ZIP64, encryption, pickled objects, checksums (a damaged moment is refused by what it must
//! satisfy).

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::io::Read;

use flate2::read::DeflateDecoder;

use super::{Statistics, StatisticsError};
use crate::limits::DIMS_MAX;

const END_MAGIC: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const COMMENT_BYTES_MAX: usize = 65_535;
const ENTRY_MAGIC: &[u8] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
const LOCAL_MAGIC: &[u8] = b"PK\x03\x04";
const LOCAL_BYTES: usize = 30;
const ARRAY_MAGIC: &[u8] = b"\x93NUMPY";
/// Longest header of an array; NumPy writes about a hundred bytes.
const HEADER_BYTES_MAX: usize = 4096;
/// A matrix of f64 with its header.
const MEMBER_BYTES_MAX: usize = DIMS_MAX * DIMS_MAX * 8 + HEADER_BYTES_MAX;
/// How far sums of unit vectors may lie from what they must be: float32 rounding.
const MOMENT_WITHIN: f64 = 1e-3;

fn broken(why: &'static str) -> StatisticsError {
    StatisticsError::Archive { why }
}

/// Reads the three arrays and checks that they are moments of unit vectors.
pub(super) fn parse(bytes: &[u8]) -> Result<Statistics, StatisticsError> {
    let mean = Array::find(bytes, "mean")?.ok_or(StatisticsError::Missing { name: "mean" })?;
    let d = mean.shape.first().copied().unwrap_or(0);
    if mean.shape.len() != 1 || !(1..=DIMS_MAX).contains(&d) {
        let needed = vec![DIMS_MAX];
        return Err(StatisticsError::Shape { name: "mean", held: mean.shape, needed });
    }
    let square = |name: &'static str| match Array::find(bytes, name)? {
        Some(array) if array.shape != [d, d] => {
            Err(StatisticsError::Shape { name, held: array.shape, needed: vec![d, d] })
        }
        Some(array) => covariance(name, array.values, d).map(Some),
        None => Ok(None),
    };
    let name = "second_moment";
    let second_moment = square(name)?.ok_or(StatisticsError::Missing { name })?;
    let trace: f64 = second_moment.iter().step_by(d.saturating_add(1)).sum();
    if (trace - 1.0).abs() > MOMENT_WITHIN {
        let why = "its trace, the mean squared length, is not 1";
        return Err(StatisticsError::Moment { name, why });
    }
    let length: f64 = mean.values.iter().map(|value| value * value).sum();
    // Not finite is not at most 1 either.
    if !matches!(length.partial_cmp(&(1.0 + MOMENT_WITHIN)), Some(std::cmp::Ordering::Less)) {
        let why = "its length is not below 1";
        return Err(StatisticsError::Moment { name: "mean", why });
    }
    Ok(Statistics { mean: mean.values, second_moment, within: square("within_covariance")? })
}

/// Refuses what is not finite, not symmetric, or has a negative variance.
fn covariance(name: &'static str, values: Vec<f64>, d: usize) -> Result<Vec<f64>, StatisticsError> {
    for (row, line) in values.chunks_exact(d).enumerate() {
        let column = values.iter().skip(row).step_by(d);
        // A comparison with what is no number is false.
        let symmetric = line.iter().zip(column).all(|(a, b)| (a - b).abs() <= MOMENT_WITHIN);
        if !symmetric {
            return Err(StatisticsError::Moment { name, why: "it is not symmetric and finite" });
        }
        if line.get(row).is_none_or(|&variance| variance < 0.0) {
            return Err(StatisticsError::Moment { name, why: "it has a negative variance" });
        }
    }
    Ok(values)
}

struct Array {
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Array {
    /// The array of that name; `None` where the archive has no such member.
    fn find(archive: &[u8], name: &str) -> Result<Option<Self>, StatisticsError> {
        match member(archive, &format!("{name}.npy"))? {
            Some(bytes) => Self::parse(&bytes).map(Some),
            None => Ok(None),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, StatisticsError> {
        let mut rest = Reader(bytes);
        if rest.take(ARRAY_MAGIC.len())? != ARRAY_MAGIC {
            return Err(broken("a member is not a NumPy array"));
        }
        let version = rest.take(2)?;
        let header = if version.first() == Some(&1) { rest.u16()? } else { rest.u32()? };
        if header > HEADER_BYTES_MAX {
            return Err(broken("the header of an array is too long"));
        }
        let header = std::str::from_utf8(rest.take(header)?)
            .map_err(|_| broken("the header of an array is not text"))?;
        let shape = shape(header)?;
        let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
        let count = count
            .filter(|&count| count <= DIMS_MAX.saturating_mul(DIMS_MAX))
            .ok_or_else(|| broken("an array is larger than any statistic"))?;
        let values = if header.contains("'<f4'") {
            let (values, _) = rest.take(count.saturating_mul(4))?.as_chunks::<4>();
            values.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect()
        } else if header.contains("'<f8'") {
            let (values, _) = rest.take(count.saturating_mul(8))?.as_chunks::<8>();
            values.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
        } else {
            return Err(broken("an array is not of little-endian float32 or float64"));
        };
        Ok(Self { shape, values })
    }
}

/// The sizes in `{…, 'fortran_order': False, 'shape': (3, 4), }`.
fn shape(header: &str) -> Result<Vec<usize>, StatisticsError> {
    if !header.contains("'fortran_order': False") {
        return Err(broken("an array is not in C order"));
    }
    let inside = header.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')'));
    let (sizes, _) = inside.ok_or_else(|| broken("the header of an array has no shape"))?;
    let sizes = sizes.split(',').map(str::trim).filter(|size| !size.is_empty());
    sizes
        .map(|size| size.parse().map_err(|_| broken("the shape of an array is not made of sizes")))
        .collect()
}

/// The bytes of the member `name`, inflated.
fn member(archive: &[u8], name: &str) -> Result<Option<Vec<u8>>, StatisticsError> {
    let from = archive.len().saturating_sub(END_BYTES.saturating_add(COMMENT_BYTES_MAX));
    let end = archive.get(from..).and_then(|tail| {
        let at = tail.windows(END_MAGIC.len()).rposition(|window| window == END_MAGIC)?;
        tail.get(at..)
    });
    let mut end = Reader(end.ok_or_else(|| broken("it has no central directory"))?);
    end.take(10)?;
    let entries = end.u16()?;
    end.take(4)?;
    let directory = end.u32()?;
    let mut rest = Reader(archive.get(directory..).unwrap_or_default());
    for _ in 0..entries {
        let mut entry = Reader(rest.take(ENTRY_BYTES)?);
        if entry.take(ENTRY_MAGIC.len())? != ENTRY_MAGIC {
            return Err(broken("its central directory is damaged"));
        }
        entry.take(6)?;
        let method = entry.u16()?;
        entry.take(8)?;
        let (packed, size) = (entry.u32()?, entry.u32()?);
        let (name_bytes, extra, comment) = (entry.u16()?, entry.u16()?, entry.u16()?);
        entry.take(8)?;
        let local = entry.u32()?;
        let held = rest.take(name_bytes)?;
        rest.take(extra)?;
        rest.take(comment)?;
        if held == name.as_bytes() {
            return unpack(archive.get(local..).unwrap_or_default(), method, packed, size)
                .map(Some);
        }
    }
    Ok(None)
}

/// One member from its local header on.
fn unpack(
    local: &[u8],
    method: usize,
    packed: usize,
    size: usize,
) -> Result<Vec<u8>, StatisticsError> {
    if size > MEMBER_BYTES_MAX {
        return Err(broken("a member is larger than any statistic"));
    }
    let mut rest = Reader(local);
    let mut header = Reader(rest.take(LOCAL_BYTES)?);
    if header.take(LOCAL_MAGIC.len())? != LOCAL_MAGIC {
        return Err(broken("a member is not where the central directory says"));
    }
    header.take(22)?;
    let (name, extra) = (header.u16()?, header.u16()?);
    rest.take(name)?;
    rest.take(extra)?;
    let bytes = rest.take(packed)?;
    match method {
        0 => Ok(bytes.to_vec()),
        8 => {
            let mut inflated = Vec::new();
            let bound = u64::try_from(size).unwrap_or(u64::MAX);
            DeflateDecoder::new(bytes)
                .take(bound)
                .read_to_end(&mut inflated)
                .map_err(|_| broken("a member does not inflate"))?;
            Ok(inflated)
        }
        _ => Err(broken("a member is neither stored nor deflated")),
    }
}

/// What is left to read; every read is checked.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], StatisticsError> {
        let cut = self.0.split_at_checked(count);
        let (head, rest) = cut.ok_or_else(|| broken("it is cut short"))?;
        self.0 = rest;
        Ok(head)
    }

    fn u16(&mut self) -> Result<usize, StatisticsError> {
        let bytes = self.take(2)?.try_into().unwrap_or_default();
        Ok(usize::from(u16::from_le_bytes(bytes)))
    }

    fn u32(&mut self) -> Result<usize, StatisticsError> {
        let bytes = self.take(4)?.try_into().unwrap_or_default();
        Ok(usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX))
    }
}
