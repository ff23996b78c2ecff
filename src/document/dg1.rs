//! Data group 1 of a passport chip: its machine readable zone (ICAO Doc 9303-10).
//!
//! ```text
//! 61 │ 5F1F │ 90, 72 or 88 characters, no line breaks
//! ```

use super::{
    dg2::padding,
    error::{DocumentError, MrzProblem},
    mrz::Mrz,
    tlv::Elements,
};
use crate::limits::DOCUMENT_BYTES_MAX;

/// Reads data group 1.
///
/// # Errors
/// [`DocumentError`]; every check digit of what is returned fits.
pub fn read(file: &[u8]) -> Result<Mrz, DocumentError> {
    if file.len() > DOCUMENT_BYTES_MAX {
        return Err(DocumentError::BytesTooMany { held: file.len(), most: DOCUMENT_BYTES_MAX });
    }
    if file.is_empty() {
        return Err(DocumentError::Empty);
    }
    let mut files = Elements::of_file(file);
    let group = files.expect(0x61, "data group 1")?;
    padding(files.left(), "data group")?;
    let mut inside = group.inside();
    let zone = inside.expect(0x5f1f, "machine readable zone")?;
    inside.end("machine readable zone")?;
    Mrz::read(zone.value).map_err(|problem: MrzProblem| DocumentError::Mrz { problem })
}
