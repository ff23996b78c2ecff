//! The record of ISO/IEC 39794-5, as the application profile of ICAO has it: ASN.1 in DER, with
//! implicit tags.
//!
//! ```text
//! A1 │ 65 │ A0  80 generation  81 year
//!    │    │ A1 │ 30 │ 80 number
//!    │    │    │    │ A1 │ A0 │ A0 │ 80 image
//!    │    │    │    │    │    │    │ A1  A0 format  …  A7 (80 width, 81 height)  …
//!    │    │    │    │    │    │    │ A2 …
//!    │    │    │    │ A2 … A9            never read: capture, quality, identity, landmarks
//! ```
//! Two ways in which the schema grows are followed everywhere: fields that are not known are passed
//! over, and a choice that was extended (`A1` in place of `A0`) counts as what it falls back to, or
//! as nothing where it has no fallback. An image representation that is itself an extension holds
//! no 2-D picture, and is refused.
//!
//! The layout makes use of the schema of ISO/IEC 39794-5 within modifications permitted in that
//! standard.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use super::{
    dg2::{RecordFormat, Stated, portrait_count},
    error::DocumentError,
    image::ImageKind,
    tlv::Element,
};

/// `FaceImageDataBlock ::= [APPLICATION 5] SEQUENCE`.
const FACE_IMAGE_DATA_BLOCK: u32 = 0x65;
const SEQUENCE: u32 = 0x30;
/// Generations that the standard numbers from.
const GENERATION_MIN: u16 = 3;
const YEAR_MIN: u16 = 2019;

/// Codes of `ImageDataFormat`.
const JPEG: u16 = 2;
const JPEG2000_LOSSY: u16 = 3;
const JPEG2000_LOSSLESS: u16 = 4;

/// The photographs of a record, whose outermost element `A1` is given.
pub(super) fn read<'a>(record: &Element<'a>) -> Result<Vec<Stated<'a>>, DocumentError> {
    let mut inside = record.inside_distinguished();
    let block = inside.expect(FACE_IMAGE_DATA_BLOCK, "face image data block")?;
    inside.end("face image data block")?;
    let [version, blocks] =
        block.inside().pick([(0xa0, "version block"), (0xa1, "representation blocks")])?;
    let format = version_of(&required(version, "version block")?)?;
    let mut blocks = required(blocks, "representation blocks")?.inside();
    let mut stated = Vec::new();
    while let Some(representation) = blocks.next()? {
        if representation.tag != SEQUENCE {
            let (at, found) = (representation.at, representation.tag);
            return Err(DocumentError::Unexpected { at, expected: "representation block", found });
        }
        portrait_count((stated.len() as u64).saturating_add(1))?;
        stated.push(photograph(&representation, format)?);
    }
    portrait_count(stated.len() as u64)?;
    Ok(stated)
}

fn required<'a>(
    field: Option<Element<'a>>,
    what: &'static str,
) -> Result<Element<'a>, DocumentError> {
    field.ok_or(DocumentError::Missing { what })
}

fn version_of(block: &Element<'_>) -> Result<RecordFormat, DocumentError> {
    let [generation, year] = block.inside().pick([(0x80, "generation"), (0x81, "year")])?;
    let generation = required(generation, "generation")?.integer("generation")?;
    let year = required(year, "year")?.integer("year")?;
    for (what, found, least) in
        [("generation", generation, GENERATION_MIN), ("year", year, YEAR_MIN)]
    {
        if found < least {
            return Err(DocumentError::OutOfRange { what, found: found.into() });
        }
    }
    Ok(RecordFormat::Iso39794 { generation, year })
}

/// `RepresentationBlock`: the number, and the image representation, of which `base` is the choice
/// that is known.
fn photograph<'a>(
    representation: &Element<'a>,
    format: RecordFormat,
) -> Result<Stated<'a>, DocumentError> {
    let [number, image] = representation
        .inside()
        .pick([(0x80, "representation number"), (0xa1, "image representation")])?;
    required(number, "representation number")?;
    // ImageRepresentation, base; ImageRepresentationBase, 2-D block.
    let mut choice = required(image, "image representation")?.inside();
    let base = choice.expect(0xa0, "known image representation")?;
    choice.end("image representation")?;
    let mut choice = base.inside();
    let block = choice.expect(0xa0, "2-D image representation")?;
    choice.end("2-D image representation")?;
    let [data, about] =
        block.inside().pick([(0x80, "image"), (0xa1, "image information block")])?;
    let data = required(data, "image")?;
    let about = required(about, "image information block")?;
    let [kind, size] =
        about.inside().pick([(0xa0, "image data format"), (0xa7, "image size block")])?;
    let kind = kind_of(&required(kind, "image data format")?)?;
    let px = size.map(|size| size_of(&size)).transpose()?;
    Ok(Stated { image: data.value, format, px, kind })
}

fn size_of(block: &Element<'_>) -> Result<(u16, u16), DocumentError> {
    let [width, height] = block.inside().pick([(0x80, "width"), (0x81, "height")])?;
    Ok((
        required(width, "width")?.integer("width")?,
        required(height, "height")?.integer("height")?,
    ))
}

/// A choice of `code` and `extensionBlock`. An extension falls back where it says to what; a code
/// that is not known says nothing, and the image speaks for itself.
fn kind_of(choice: &Element<'_>) -> Result<Option<ImageKind>, DocumentError> {
    let what = "image data format";
    let [code, extension] = choice.inside().pick([(0x80, what), (0xa1, what)])?;
    let code = match (code, extension) {
        (Some(code), None) => Some(code),
        (None, Some(extension)) => extension.inside().pick([(0x80, "fallback")])?[0],
        (Some(_), Some(both)) => {
            return Err(DocumentError::Repeated { what, at: both.at });
        }
        (None, None) => return Err(DocumentError::Missing { what }),
    };
    Ok(match code.map(|code| code.integer(what)).transpose()? {
        Some(JPEG) => Some(ImageKind::Jpeg),
        Some(JPEG2000_LOSSY | JPEG2000_LOSSLESS) => Some(ImageKind::Jpeg2000),
        _ => None,
    })
}
