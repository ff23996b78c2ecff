//! Encoded photographs: JPEG and PNG in, packed upright 8-bit RGB out.
//!
//! A picture's kind is what its first bytes say, never a file name or a content type. The header is
//! read first, by a walk of our own that allocates nothing; only then does the decoder see the
//! bytes. The decoder writes straight into the caller's slot. What it needs besides (rows, the copy
//! that a quarter turn takes) is wiped; a decoder's own inner buffers are wiped by the process
//! allocator.
//!
//! Decided here, so that nobody has to guess:
//! * the EXIF orientation is applied: detector and officer see the same upright picture;
//! * greyscale and palettes are expanded; 16-bit PNG is reduced to its high byte (the networks were
//!   trained on 8 bits, and a scanner's 16-bit picture is as good a photograph as any);
//! * transparency is laid on white, as on paper: what is compared is what a person would see;
//! * JPEG 2000, which most passports hold, is decoded as a file (JP2) and as a bare codestream, up
//!   to the size of the largest portrait; samples of more than 8 bits are scaled to 8;
//! * CMYK, YCCK, animations, arithmetic and lossless coding and 12-bit JPEG are refused by name:
//!   converting them needs a colour profile or a choice of frame, and a guess could change a face;
//! * a JPEG or JPEG 2000 that does not reach its end marker is truncated, and so is a PNG without
//!   `IEND`; a truncated picture is an error, never a grey filler.
//!
//! Absent: colour management (profiles and gamma are ignored, as by the models' training). A JPEG
//! whose coded data were shortened *and* closed with a proper end marker cannot be told from a
//! picture with a flat lower part, and is decoded as one.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use zeroize::Zeroize;

use super::{jpeg, jpeg2000, orientation::Orientation, png};
use crate::{
    limits::{FRAME_EDGE_PX_MAX, FRAME_PIXELS_MAX, IMAGE_BYTES_MAX, JPEG2000_PIXELS_MAX},
    types::Frame,
};

/// Bytes of one RGB pixel.
pub(super) const BYTES_PER_PIXEL: usize = 3;

/// A kind of picture that is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// Baseline or progressive JPEG, 8 bits, greyscale or colour.
    Jpeg,
    /// JPEG 2000, file or bare codestream, greyscale or colour.
    Jpeg2000,
    /// PNG, not animated.
    Png,
}

/// A kind of picture that is recognised and refused by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignKind {
    /// AV1 still picture.
    Avif,
    /// Windows bitmap.
    Bmp,
    /// Graphics Interchange Format.
    Gif,
    /// High efficiency image, as telephones write it.
    Heic,
    /// JPEG XL, container or bare codestream.
    JpegXl,
    /// A document, not a picture.
    Pdf,
    /// Tagged image file.
    Tiff,
    /// WebP.
    WebP,
}

/// What the header of a picture says, once it was found acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageHeader {
    /// The kind, by signature.
    pub kind: ImageKind,
    /// Width of the upright picture in pixels: what decoding returns.
    pub width_px: u32,
    /// Height of the upright picture in pixels.
    pub height_px: u32,
    /// EXIF orientation 1 to 8; 1 where there is none.
    pub orientation: u8,
}

impl ImageHeader {
    /// Bytes of the decoded picture.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        (self.width_px as usize)
            .saturating_mul(self.height_px as usize)
            .saturating_mul(BYTES_PER_PIXEL)
    }
}

/// Why bytes did not become a picture. The code is the contract, the text is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// No bytes at all.
    #[error("the image is empty; send a JPEG, JPEG 2000 or PNG photograph")]
    Empty,
    /// More bytes than one encoded image may have.
    #[error("the image has {held} bytes, at most {most} are taken; send a smaller photograph")]
    BytesTooMany {
        /// Bytes given.
        held: usize,
        /// The limit.
        most: usize,
    },
    /// No signature that is known.
    #[error("the bytes are no image that is known; send a JPEG, JPEG 2000 or PNG photograph")]
    KindUnknown,
    /// A known kind that is not decoded.
    #[error("the image is {kind}, which is not decoded; convert it to JPEG or PNG")]
    KindUnsupported {
        /// Which.
        kind: ForeignKind,
    },
    /// The file stops before its end.
    #[error("the {kind} image stops at byte {at}, before its end; send the whole file")]
    Truncated {
        /// Kind of the image.
        kind: ImageKind,
        /// Where it stops.
        at: usize,
    },
    /// The file contradicts its own format.
    #[error("the {kind} image is damaged: {why}; send the original file")]
    Damaged {
        /// Kind of the image.
        kind: ImageKind,
        /// What was found.
        why: String,
    },
    /// A way of coding that is not decoded.
    #[error("the {kind} image uses {coding}; save it as baseline or progressive 8-bit JPEG")]
    CodingUnsupported {
        /// Kind of the image.
        kind: ImageKind,
        /// Which way.
        coding: &'static str,
    },
    /// A colour space that is not converted.
    #[error("the {kind} image is {colour}; convert it to RGB or greyscale")]
    ColourUnsupported {
        /// Kind of the image.
        kind: ImageKind,
        /// Which colour space.
        colour: &'static str,
    },
    /// A picture that moves.
    #[error("the PNG image is animated; send one photograph")]
    Animated,
    /// Width or height is zero.
    #[error("the {kind} image is {width_px} x {height_px} pixels and has no area")]
    NoArea {
        /// Kind of the image.
        kind: ImageKind,
        /// Width in pixels.
        width_px: u32,
        /// Height in pixels.
        height_px: u32,
    },
    /// Too many pixels, or too long an edge; found on the header.
    #[error(
        "the image is {width_px} x {height_px} pixels; at most {pixels_max} pixels and {edge_px_max} \
         along an edge are decoded: send a smaller photograph"
    )]
    TooLarge {
        /// Width in pixels.
        width_px: u32,
        /// Height in pixels.
        height_px: u32,
        /// Most pixels.
        pixels_max: usize,
        /// Longest edge.
        edge_px_max: u32,
    },
    /// The memory given for the pixels is too small; a fault of the caller, not of the image.
    #[error("the decoded image needs {needed} bytes, the slot holds {held}")]
    SlotTooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        held: usize,
    },
}

impl ImageError {
    /// The stable code of this error, for the API and the log.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "IMAGE_EMPTY",
            Self::BytesTooMany { .. } => "IMAGE_BYTES_TOO_MANY",
            Self::KindUnknown => "IMAGE_KIND_UNKNOWN",
            Self::KindUnsupported { .. } => "IMAGE_KIND_UNSUPPORTED",
            Self::Truncated { .. } => "IMAGE_TRUNCATED",
            Self::Damaged { .. } => "IMAGE_DAMAGED",
            Self::CodingUnsupported { .. } => "IMAGE_CODING_UNSUPPORTED",
            Self::ColourUnsupported { .. } => "IMAGE_COLOUR_UNSUPPORTED",
            Self::Animated => "IMAGE_ANIMATED",
            Self::NoArea { .. } => "IMAGE_NO_AREA",
            Self::TooLarge { .. } => "IMAGE_TOO_LARGE",
            Self::SlotTooSmall { .. } => "IMAGE_SLOT_TOO_SMALL",
        }
    }
}

/// Reads the header: kind, size, orientation. Allocates nothing that grows with the picture.
///
/// # Errors
/// [`ImageError`]; a header that is returned is within every limit.
pub fn header(bytes: &[u8]) -> Result<ImageHeader, ImageError> {
    read(bytes).map(|(header, _)| header)
}

/// Decodes into the first `width · height · 3` bytes of `pixels`, upright packed RGB, and returns
/// width and height in pixels. When decoding fails, whatever was written is zeroed.
///
/// # Errors
/// [`ImageError`].
pub fn decode_into(bytes: &[u8], pixels: &mut [u8]) -> Result<(u32, u32), ImageError> {
    let (header, layout) = read(bytes)?;
    let (needed, held) = (header.frame_bytes(), pixels.len());
    let Some(frame) = pixels.get_mut(..needed) else {
        return Err(ImageError::SlotTooSmall { needed, held });
    };
    let decoded = contained(header.kind, || match layout {
        Layout::Jpeg(layout) => jpeg::decode(bytes, &layout, frame),
        Layout::Jpeg2000(layout) => jpeg2000::decode(bytes, &layout, frame),
        Layout::Png(layout) => png::decode(bytes, &layout, frame),
    });
    if let Err(problem) = decoded {
        frame.zeroize();
        return Err(problem);
    }
    let orientation = Orientation::from_exif(u32::from(header.orientation));
    let (stored_width_px, _) = orientation.stored(header.width_px, header.height_px);
    orientation.apply(frame, stored_width_px as usize);
    Ok((header.width_px, header.height_px))
}

/// Decodes into a frame of its own; for files and tests. The frame path uses [`decode_into`].
///
/// # Errors
/// [`ImageError`].
pub fn decode(bytes: &[u8]) -> Result<Frame, ImageError> {
    let header = header(bytes)?;
    let mut pixels = vec![0; header.frame_bytes()];
    let (width_px, height_px) = decode_into(bytes, &mut pixels)?;
    Ok(Frame::new(pixels, width_px, height_px).expect("the header's area is not zero"))
}

/// What a walk over a file found; `decode` works from it.
enum Layout {
    Jpeg(jpeg::Layout),
    Jpeg2000(jpeg2000::Layout),
    Png(png::Layout),
}

fn read(bytes: &[u8]) -> Result<(ImageHeader, Layout), ImageError> {
    if bytes.len() > IMAGE_BYTES_MAX {
        return Err(ImageError::BytesTooMany { held: bytes.len(), most: IMAGE_BYTES_MAX });
    }
    let kind = kind(bytes)?;
    let (stored, orientation, layout) = match kind {
        ImageKind::Jpeg => {
            let layout = jpeg::walk(bytes)?;
            (layout.size_px, layout.orientation, Layout::Jpeg(layout))
        }
        ImageKind::Jpeg2000 => {
            let layout = jpeg2000::walk(bytes)?;
            (layout.size_px, Orientation::UPRIGHT, Layout::Jpeg2000(layout))
        }
        ImageKind::Png => {
            let layout = png::walk(bytes)?;
            (layout.size_px, layout.orientation, Layout::Png(layout))
        }
    };
    check_size(kind, stored)?;
    let (width_px, height_px) = orientation.upright(stored.0, stored.1);
    let header = ImageHeader { kind, width_px, height_px, orientation: orientation.exif() };
    Ok((header, layout))
}

/// Holds a size against the limits of its kind.
pub(super) fn check_size(
    kind: ImageKind,
    (width_px, height_px): (u32, u32),
) -> Result<(), ImageError> {
    if width_px == 0 || height_px == 0 {
        return Err(ImageError::NoArea { kind, width_px, height_px });
    }
    let pixels_max = match kind {
        ImageKind::Jpeg | ImageKind::Png => FRAME_PIXELS_MAX,
        ImageKind::Jpeg2000 => JPEG2000_PIXELS_MAX,
    };
    let pixels = u64::from(width_px).saturating_mul(u64::from(height_px));
    if width_px.max(height_px) > FRAME_EDGE_PX_MAX || pixels > pixels_max as u64 {
        return Err(ImageError::TooLarge {
            width_px,
            height_px,
            pixels_max,
            edge_px_max: FRAME_EDGE_PX_MAX,
        });
    }
    Ok(())
}

/// Runs a decoder that others wrote over bytes that others sent: if it panics, this picture is
/// refused and the stage lives on.
fn contained(
    kind: ImageKind,
    decode: impl FnOnce() -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    // What the closure can leave half-written is the frame, and that is wiped on every error.
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| {
        Err(ImageError::Damaged { kind, why: "the decoder gave up on it".into() })
    })
}

const JPEG_SIGNATURE: &[u8] = b"\xff\xd8\xff";

/// The kind of a picture, by its signature alone.
///
/// # Errors
/// [`ImageError::Empty`], [`ImageError::Truncated`], [`ImageError::KindUnsupported`] or
/// [`ImageError::KindUnknown`].
pub fn kind(bytes: &[u8]) -> Result<ImageKind, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    for (kind, signature) in [
        (ImageKind::Jpeg, JPEG_SIGNATURE),
        (ImageKind::Jpeg2000, jpeg2000::FILE_SIGNATURE.as_slice()),
        (ImageKind::Jpeg2000, jpeg2000::CODESTREAM_SIGNATURE.as_slice()),
        (ImageKind::Png, png::SIGNATURE.as_slice()),
    ] {
        if bytes.starts_with(signature) {
            return Ok(kind);
        }
        if signature.starts_with(bytes) {
            return Err(ImageError::Truncated { kind, at: bytes.len() });
        }
    }
    Err(match foreign(bytes) {
        Some(kind) => ImageError::KindUnsupported { kind },
        None => ImageError::KindUnknown,
    })
}

/// Signature, where it begins, what it means; the first that fits speaks.
const FOREIGN: &[(usize, &[u8], ForeignKind)] = &[
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", ForeignKind::JpegXl),
    (0, b"\xff\x0a", ForeignKind::JpegXl),
    (0, b"GIF87a", ForeignKind::Gif),
    (0, b"GIF89a", ForeignKind::Gif),
    (0, b"II*\0", ForeignKind::Tiff),
    (0, b"MM\0*", ForeignKind::Tiff),
    (0, b"%PDF-", ForeignKind::Pdf),
    (0, b"BM", ForeignKind::Bmp),
    (4, b"ftypavif", ForeignKind::Avif),
    (4, b"ftypavis", ForeignKind::Avif),
    (4, b"ftyphei", ForeignKind::Heic),
    (4, b"ftyphev", ForeignKind::Heic),
    (4, b"ftypmif1", ForeignKind::Heic),
    (4, b"ftypmsf1", ForeignKind::Heic),
    (8, b"WEBP", ForeignKind::WebP),
];

fn foreign(bytes: &[u8]) -> Option<ForeignKind> {
    let row = FOREIGN.iter().find(|(at, signature, _)| {
        bytes.get(*at..).is_some_and(|rest| rest.starts_with(signature))
    })?;
    Some(row.2)
}

impl fmt::Display for ImageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Jpeg2000 => "JPEG 2000",
            Self::Png => "PNG",
        })
    }
}

impl fmt::Display for ForeignKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avif => "AVIF",
            Self::Bmp => "a Windows bitmap (BMP)",
            Self::Gif => "GIF",
            Self::Heic => "HEIC",
            Self::JpegXl => "JPEG XL",
            Self::Pdf => "a PDF document",
            Self::Tiff => "TIFF",
            Self::WebP => "WebP",
        })
    }
}
