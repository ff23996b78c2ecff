//! The record of ISO/IEC 19794-5:2005, which most passports hold. Big-endian throughout.
//!
//! ```text
//!  0  4  "FAC\0"
//!  4  4  "010\0", "020\0" or "030\0"
//!  8  4  length of the record            within 8 bytes of what is there
//! 12  2  number of images                1 to 9
//! 14  3  certification, semantics        version 030 only
//! then for each image
//!  0  4  length of the block             32 + 8 n + image
//!  4  2  number of feature points n
//!  6 14  sex, colours, pose …            never read
//! 20 8n  feature points                  never read
//!  .  1  type of portrait                never read
//!  .  1  kind of image                   0 JPEG, 1 JPEG 2000; often wrong
//!  .  2  width                           often wrong
//!  .  2  height                          often wrong
//!  .  6  colour space, source, device, quality
//!  .     the image
//! ```
//! Absent: the blocks of the edition of 2011, which no passport may hold; such a record does not
//! begin an image where this layout has one, and is refused for it.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use super::{
    dg2::{RecordFormat, Stated, padding, portrait_count},
    error::DocumentError,
    image::ImageKind,
};
use crate::limits::DOCUMENT_TRAILING_BYTES_MAX;

const IDENTIFIER: [u8; 4] = *b"FAC\0";
/// Certification flag and temporal semantics.
const HEADER_030_EXTRA_BYTES: usize = 3;
/// After the number of feature points: sex, eye and hair colour, properties, expression, pose.
const PERSON_BYTES: usize = 14;
const FEATURE_POINT_BYTES: usize = 8;
/// After the height: colour space, source type, device type, quality.
const ORIGIN_BYTES: usize = 6;

/// The photographs of a record; `at` is where it begins in its file.
pub(super) fn read(record: &[u8], at: usize) -> Result<Vec<Stated<'_>>, DocumentError> {
    let mut fields = Fields { rest: record, end: at.saturating_add(record.len()) };
    let identifier: [u8; 4] = fields.take("record header")?;
    if identifier != IDENTIFIER {
        let (expected, [first, ..]) = ("record of ISO/IEC 19794-5", identifier);
        return Err(DocumentError::NotRecognised { expected, first });
    }
    let version = version(fields.take("version")?)?;
    record_length(u32::from_be_bytes(fields.take("record length")?), record.len())?;
    let images = portrait_count(u16::from_be_bytes(fields.take("number of images")?).into())?;
    if version == *b"030" {
        fields.skip(HEADER_030_EXTRA_BYTES, "record header")?;
    }
    let format = RecordFormat::Iso19794 { version };
    let stated = (0..images).map(|_| photograph(&mut fields, format));
    let stated = stated.collect::<Result<_, _>>()?;
    padding(fields.rest.len(), "last image of the record")?;
    Ok(stated)
}

fn version(found: [u8; 4]) -> Result<[u8; 3], DocumentError> {
    match &found {
        [digits @ .., 0] if matches!(digits, b"010" | b"020" | b"030") => Ok(*digits),
        _ => Err(DocumentError::FormatUnknown {
            what: "version of ISO/IEC 19794-5",
            found: u32::from_be_bytes(found),
        }),
    }
}

/// States have issued records whose length is 1 or 8 short of their data; none that is longer.
fn record_length(stated: u32, held: usize) -> Result<(), DocumentError> {
    let short = usize::try_from(stated).ok().and_then(|stated| held.checked_sub(stated));
    if short.is_none_or(|short| short > DOCUMENT_TRAILING_BYTES_MAX) {
        let what = "record length";
        return Err(DocumentError::Inconsistent { what, stated: stated.into(), held: held as u64 });
    }
    Ok(())
}

fn photograph<'a>(
    fields: &mut Fields<'a>,
    format: RecordFormat,
) -> Result<Stated<'a>, DocumentError> {
    let (began, at) = (fields.rest.len(), fields.at());
    let length = u32::from_be_bytes(fields.take("image block")?);
    let points = u16::from_be_bytes(fields.take("image block")?);
    fields.skip(PERSON_BYTES, "image block")?;
    fields.skip(usize::from(points).saturating_mul(FEATURE_POINT_BYTES), "feature points")?;
    let [_portrait, kind]: [u8; 2] = fields.take("image block")?;
    let width_px = u16::from_be_bytes(fields.take("image block")?);
    let height_px = u16::from_be_bytes(fields.take("image block")?);
    fields.skip(ORIGIN_BYTES, "image block")?;
    let header = began.saturating_sub(fields.rest.len());
    let image = usize::try_from(length).ok().and_then(|length| length.checked_sub(header));
    let Some(image) = image else {
        let what = "length of an image block";
        let (stated, held) = (length.into(), header as u64);
        return Err(DocumentError::Inconsistent { what, stated, held });
    };
    let held = fields.rest.len();
    let Some((image, rest)) = fields.rest.split_at_checked(image) else {
        return Err(DocumentError::Truncated { what: "image", at, needed: image, held });
    };
    fields.rest = rest;
    let kind = match kind {
        0 => Some(ImageKind::Jpeg),
        1 => Some(ImageKind::Jpeg2000),
        _ => None,
    };
    Ok(Stated { image, format, px: Some((width_px, height_px)), kind })
}

/// What is left of a record.
struct Fields<'a> {
    rest: &'a [u8],
    /// Where the record ends in its file.
    end: usize,
}

impl<'a> Fields<'a> {
    /// Where the next field stands in its file.
    fn at(&self) -> usize {
        self.end.saturating_sub(self.rest.len())
    }

    fn take<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DocumentError> {
        let (at, held) = (self.at(), self.rest.len());
        let Some((field, rest)) = self.rest.split_first_chunk() else {
            return Err(DocumentError::Truncated { what, at, needed: N, held });
        };
        self.rest = rest;
        Ok(*field)
    }

    fn skip(&mut self, bytes: usize, what: &'static str) -> Result<(), DocumentError> {
        let (at, held) = (self.at(), self.rest.len());
        let Some((_, rest)) = self.rest.split_at_checked(bytes) else {
            return Err(DocumentError::Truncated { what, at, needed: bytes, held });
        };
        self.rest = rest;
        Ok(())
    }
}
