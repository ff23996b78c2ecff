//! Data group 2 of a passport chip: the holder's photograph (ICAO Doc 9303-10).
//!
//! ```text
//! 75 │ 7F61 │ 02 01 nn                       instances, 1 to 9
//!           │ 7F60 │ A1   80 81 82 83 85 86  biometric header, any order, all optional but
//!           │      │      87 88              format owner and format type
//!           │      │ 5F2E or 7F2E            one record: ISO/IEC 19794-5 or 39794-5
//!           │ 7F60 …
//! ```
//! A bare record is read as well, as some document readers hand it out: `FAC\0` begins one of
//! 19794-5, `A1` one of 39794-5. Which standard a record follows is what it begins with; the kind
//! of its image is what *that* begins with. What headers say about either is reported, and never
//! believed: sizes and kinds are wrong in passports that are in circulation.
//!
//! Lengths are believed, and must agree: a record that is longer than its element, an image that is
//! longer than its block, or an element that another one cuts off is refused. Passed over are up to
//! [`DOCUMENT_TRAILING_BYTES_MAX`] bytes after the file or after a record.
//!
//! Absent on purpose: sex, eye and hair colour, height, expression, pose and landmarks. They are
//! personal data of no use in a comparison, so they are never read, and nothing here can hold them.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::fmt;

use super::{
    error::DocumentError,
    image::{self, ImageKind},
    iso19794, iso39794,
    tlv::{Element, Elements},
};
use crate::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_TRAILING_BYTES_MAX, PORTRAITS_MAX};

const DG2: u32 = 0x75;
const GROUP_TEMPLATE: u32 = 0x7f61;
const INSTANCE_COUNT: u32 = 0x02;
const INSTANCE: u32 = 0x7f60;
const HEADER: u32 = 0xa1;
const RECORD_19794: u32 = 0x5f2e;
const RECORD_39794: u32 = 0x7f2e;

/// Biometric type of a face; 0 is "no information given".
const TYPE_FACE: [u16; 2] = [0x00, 0x02];
/// Format owner ISO/IEC JTC 1/SC 37.
const OWNER_SC37: u16 = 0x0101;
const FORMAT_19794: u16 = 0x0008;
const FORMAT_39794: u16 = 0x002a;

/// What surrounds the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// The whole data group, as the chip holds it and as its hash is signed.
    DataGroup,
    /// One bare record.
    BareRecord,
}

/// Which standard a record follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordFormat {
    /// ISO/IEC 19794-5, with its version number: "010", "020" or "030".
    Iso19794 {
        /// The version.
        version: [u8; 3],
    },
    /// ISO/IEC 39794-5, with generation and year of its schema.
    Iso39794 {
        /// 3 or more.
        generation: u16,
        /// 2019 or later.
        year: u16,
    },
}

impl fmt::Display for RecordFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iso19794 { version } => {
                write!(f, "ISO/IEC 19794-5, version {}", version.escape_ascii())
            }
            Self::Iso39794 { generation, year } => {
                write!(f, "ISO/IEC 39794-5, generation {generation} of {year}")
            }
        }
    }
}

/// One photograph, with what its headers say about it. Its bytes cannot be printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Portrait<'a> {
    /// The encoded image.
    pub image: &'a [u8],
    /// Its kind, by signature.
    pub kind: ImageKind,
    /// The standard of its record.
    pub format: RecordFormat,
    /// Width and height that the record states, where it does; often wrong.
    pub stated_px: Option<(u16, u16)>,
    /// The kind of image that the record states, where it does; sometimes wrong.
    pub stated_kind: Option<ImageKind>,
}

impl fmt::Debug for Portrait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Portrait({} bytes of {}, {})", self.image.len(), self.kind, self.format)
    }
}

/// A data group 2 that was read: its photographs, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dg2<'a> {
    /// What surrounded the records.
    pub wrapping: Wrapping,
    /// Biometric instances; each may hold several photographs.
    pub instances: usize,
    /// 1 to [`PORTRAITS_MAX`] photographs.
    pub portraits: Vec<Portrait<'a>>,
}

/// A record's photograph before its image was looked at.
pub(super) struct Stated<'a> {
    pub(super) image: &'a [u8],
    pub(super) format: RecordFormat,
    pub(super) px: Option<(u16, u16)>,
    pub(super) kind: Option<ImageKind>,
}

impl<'a> Dg2<'a> {
    /// Reads a data group 2 or a bare record. Borrows every image and allocates no more than the
    /// list of them.
    ///
    /// # Errors
    /// [`DocumentError`]; a file that is returned has at least one photograph, and each begins as
    /// JPEG or JPEG 2000 does. Whether it decodes is for [`image::decode_into`] to tell.
    pub fn read(file: &'a [u8]) -> Result<Self, DocumentError> {
        if file.len() > DOCUMENT_BYTES_MAX {
            let most = DOCUMENT_BYTES_MAX;
            return Err(DocumentError::BytesTooMany { held: file.len(), most });
        }
        let (wrapping, instances, stated) = match file {
            [] => return Err(DocumentError::Empty),
            [0x75, ..] => {
                let (instances, stated) = data_group(file)?;
                (Wrapping::DataGroup, instances, stated)
            }
            [0xa1, ..] => {
                let block = Elements::of_file(file).next()?;
                let block = block.ok_or(DocumentError::Missing { what: "record" })?;
                padding(file.len().saturating_sub(end_of(&block)), "record")?;
                (Wrapping::BareRecord, 1, iso39794::read(&block)?)
            }
            [b'F', ..] => (Wrapping::BareRecord, 1, iso19794::read(file, 0)?),
            &[first, ..] => {
                let expected = "data group 2";
                return Err(DocumentError::NotRecognised { expected, first });
            }
        };
        let portraits = stated.into_iter().enumerate().map(|(at, stated)| seen(at, stated));
        Ok(Self { wrapping, instances, portraits: portraits.collect::<Result<_, _>>()? })
    }
}

/// Where an element ends in its file.
fn end_of(element: &Element<'_>) -> usize {
    element.value_at.saturating_add(element.value.len())
}

/// Accepts what chips are padded with.
pub(super) fn padding(bytes: usize, what: &'static str) -> Result<(), DocumentError> {
    let most = DOCUMENT_TRAILING_BYTES_MAX;
    if bytes > most {
        return Err(DocumentError::Trailing { what, bytes, most });
    }
    Ok(())
}

/// A count of photographs, within what a data group may have.
pub(super) fn portrait_count(count: u64) -> Result<usize, DocumentError> {
    let within = usize::try_from(count).ok().filter(|count| (1..=PORTRAITS_MAX).contains(count));
    within.ok_or(DocumentError::PortraitCount { count, most: PORTRAITS_MAX })
}

fn data_group(file: &[u8]) -> Result<(usize, Vec<Stated<'_>>), DocumentError> {
    let mut files = Elements::of_file(file);
    let group = files.expect(DG2, "data group 2")?;
    padding(files.left(), "data group")?;
    let mut inside = group.inside();
    let template = inside.expect(GROUP_TEMPLATE, "biometric information group template")?;
    inside.end("biometric information group template")?;
    let mut inside = template.inside();
    let count = inside.expect(INSTANCE_COUNT, "number of instances")?;
    let instances = portrait_count(count.number("length of the number of instances")?.into())?;
    let mut stated = Vec::new();
    for _ in 0..instances {
        let instance = inside.expect(INSTANCE, "biometric information template")?;
        stated.extend(record(&instance)?);
        portrait_count(stated.len() as u64)?;
    }
    inside.end("last biometric information template")?;
    Ok((instances, stated))
}

/// The record of one biometric information template.
fn record<'a>(instance: &Element<'a>) -> Result<Vec<Stated<'a>>, DocumentError> {
    let mut inside = instance.inside();
    let header = inside.expect(HEADER, "biometric header")?;
    let format = record_format(&header)?;
    let what = "biometric data block";
    let block = inside.next()?.ok_or(DocumentError::Missing { what })?;
    inside.end(what)?;
    let (held, photographs) = match block.tag {
        RECORD_19794 => (FORMAT_19794, iso19794::read(block.value, block.value_at)?),
        RECORD_39794 => {
            let mut inside = block.inside();
            let record = inside.expect(HEADER, "record of ISO/IEC 39794-5")?;
            padding(inside.left(), "record")?;
            (FORMAT_39794, iso39794::read(&record)?)
        }
        found => return Err(DocumentError::Unexpected { at: block.at, expected: what, found }),
    };
    if held != format {
        let what = "format type";
        return Err(DocumentError::Inconsistent { what, stated: format.into(), held: held.into() });
    }
    Ok(photographs)
}

/// The format type of a biometric header: its fields in any order, others passed over.
fn record_format(header: &Element<'_>) -> Result<u16, DocumentError> {
    let [kind, owner, format] = header.inside().pick([
        (0x81, "biometric type"),
        (0x87, "format owner"),
        (0x88, "format type"),
    ])?;
    if let Some(kind) = kind {
        let what = "biometric type";
        let found = kind.number(what)?;
        if !TYPE_FACE.contains(&found) {
            return Err(DocumentError::FormatUnknown { what, found: found.into() });
        }
    }
    let required = |field: Option<Element<'_>>, what, known: &[u16]| {
        let found = field.ok_or(DocumentError::Missing { what })?.number(what)?;
        if !known.contains(&found) {
            return Err(DocumentError::FormatUnknown { what, found: found.into() });
        }
        Ok(found)
    };
    required(owner, "format owner", &[OWNER_SC37])?;
    required(format, "format type", &[FORMAT_19794, FORMAT_39794])
}

/// Looks at the image: its signature alone decides what it is.
fn seen(portrait: usize, stated: Stated<'_>) -> Result<Portrait<'_>, DocumentError> {
    let Stated { image, format, px, kind: stated_kind } = stated;
    let kind = image::kind(image).map_err(|error| DocumentError::Image { portrait, error })?;
    match kind {
        ImageKind::Jpeg | ImageKind::Jpeg2000 => {
            Ok(Portrait { image, kind, format, stated_px: px, stated_kind })
        }
        ImageKind::Png => Err(DocumentError::ImageKind { portrait, kind }),
    }
}
