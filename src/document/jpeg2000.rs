//! JPEG 2000 (ISO/IEC 15444-1): our own walk over boxes and markers, then hayro-jpeg2000 in strict
//! mode.
//!
//! ```text
//! JP2:  0000000C "jP  " 0D0A870A │ ftyp │ jp2h ( ihdr │ colr … ) │ jp2c ( codestream ) │ …
//! bare: the codestream, FF4F FF51 … FFD9
//! ```
//! The decoder is given the codestream alone, so that one reader of boxes decides: ours. What the
//! codestream may cost is settled by `codestream.rs` before the decoder runs. The decoder has no
//! `unsafe` of its own; if it panics all the same, `image::decode_into` refuses the picture.
//!
//! Decided here: size, depth and number of components are the codestream's, whatever `ihdr` says;
//! an ICC profile is passed over, as in JPEG and PNG; greyscale is expanded; samples of 9 to 16
//! bits are scaled to 8. Refused by name: palettes, opacity, colour spaces beyond greyscale, sRGB
//! and sYCC.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use hayro_jpeg2000::{DecodeError, DecodeSettings, DecoderContext, Image};
use zeroize::Zeroizing;

use super::{
    codestream::{self, Codestream, Sampling},
    image::{BYTES_PER_PIXEL, ImageError, ImageKind},
};

/// The twelve bytes every JP2 file begins with.
pub(super) const FILE_SIGNATURE: [u8; 12] = *b"\0\0\0\x0cjP  \r\n\x87\n";
/// The four bytes every codestream begins with: SOC, SIZ.
pub(super) const CODESTREAM_SIGNATURE: [u8; 4] = *b"\xff\x4f\xff\x51";

/// Enumerated colour spaces of a `colr` box.
const COLOUR_SRGB: u32 = 16;
const COLOUR_GREY: u32 = 17;
const COLOUR_SYCC: u32 = 18;

/// What the walk found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Width and height.
    pub(super) size_px: (u32, u32),
    /// Where the codestream begins and ends.
    from: usize,
    to: usize,
    /// Greyscale has one component, colour three.
    grey: bool,
    /// Luma and chroma of equal size, which the decoder hands out as they are.
    convert: bool,
}

/// Walks from the signature to the end of the codestream.
pub(super) fn walk(bytes: &[u8]) -> Result<Layout, ImageError> {
    let (from, held, colour) = if bytes.starts_with(&FILE_SIGNATURE) {
        let file = boxes(bytes)?;
        (file.codestream_at, file.codestream, file.colour)
    } else {
        (0, bytes, None)
    };
    let Codestream { size_px, sampling, length } = codestream::walk(held, from)?;
    let luma_chroma = colour == Some(Colour::Sycc);
    let (grey, convert) = match (sampling, colour) {
        (Sampling::Grey, None | Some(Colour::Grey | Colour::Profile)) => (true, false),
        (Sampling::Colour, None | Some(Colour::Srgb | Colour::Profile)) => (false, false),
        (Sampling::Colour, Some(Colour::Sycc)) => (false, true),
        // Smaller chroma: the decoder takes it for luma and chroma, as every writer does.
        (Sampling::SmallChroma, _) if luma_chroma || colour.is_none() => (false, false),
        _ => return Err(colour_refused("of a colour space that does not fit its components")),
    };
    Ok(Layout { size_px, from, to: from.saturating_add(length), grey, convert })
}

/// Decodes the picture into `pixels`, packed RGB, exactly its size.
pub(super) fn decode(bytes: &[u8], layout: &Layout, pixels: &mut [u8]) -> Result<(), ImageError> {
    let settings = DecodeSettings { strict: true, ..DecodeSettings::default() };
    let codestream = bytes.get(layout.from..layout.to).unwrap_or_default();
    let image = Image::new(codestream, &settings).map_err(explain)?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(explain)?;
    let samples = pixels.len().checked_div(BYTES_PER_PIXEL).unwrap_or(0);
    let components = if layout.grey { 1 } else { BYTES_PER_PIXEL };
    // Two readers of one header must agree, or the picture is not what was checked.
    if (image.width(), image.height()) != layout.size_px
        || decoded.components().len() != components
        || decoded.components().iter().any(|component| component.samples().len() != samples)
    {
        return Err(damaged("its headers contradict each other"));
    }
    if layout.grey {
        let mut grey = Zeroizing::new(vec![0; samples]);
        decoded.store_u8_into(&mut grey);
        let (pixels, _) = pixels.as_chunks_mut::<BYTES_PER_PIXEL>();
        pixels.iter_mut().zip(grey.iter()).for_each(|(pixel, &grey)| *pixel = [grey; 3]);
        return Ok(());
    }
    decoded.store_u8_into(pixels);
    if layout.convert {
        let (pixels, _) = pixels.as_chunks_mut::<BYTES_PER_PIXEL>();
        pixels.iter_mut().for_each(|pixel| *pixel = rgb_of(*pixel));
    }
    Ok(())
}

/// sYCC to sRGB (ISO/IEC 15444-1, and as JFIF has it).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=255 just before"
)]
fn rgb_of([luma, blue, red]: [u8; 3]) -> [u8; 3] {
    let (luma, blue, red) = (f32::from(luma), f32::from(blue) - 128.0, f32::from(red) - 128.0);
    [luma + 1.402 * red, luma - 0.344_136 * blue - 0.714_136 * red, luma + 1.772 * blue]
        .map(|value| value.round().clamp(0.0, 255.0) as u8)
}

fn explain(problem: DecodeError) -> ImageError {
    damaged(&problem.to_string())
}

pub(super) fn damaged(why: &str) -> ImageError {
    ImageError::Damaged { kind: ImageKind::Jpeg2000, why: why.into() }
}

fn colour_refused(colour: &'static str) -> ImageError {
    ImageError::ColourUnsupported { kind: ImageKind::Jpeg2000, colour }
}

/// What a `colr` box says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Grey,
    Srgb,
    Sycc,
    /// Described by a profile, which is passed over.
    Profile,
}

/// What the boxes of a file hold.
struct File<'a> {
    codestream: &'a [u8],
    codestream_at: usize,
    colour: Option<Colour>,
}

fn boxes(bytes: &[u8]) -> Result<File<'_>, ImageError> {
    let mut rest = Boxes { bytes, at: FILE_SIGNATURE.len() };
    let mut header = None;
    loop {
        let Some(found) = rest.next()? else {
            return Err(damaged("it holds no codestream"));
        };
        match &found.name {
            b"jp2h" if header.is_none() => header = Some(colour(found.body)?),
            // Whatever follows the first codestream is of no interest to a reader.
            b"jp2c" => {
                let Some(colour) = header else {
                    return Err(damaged("its codestream comes before its header"));
                };
                return Ok(File { codestream: found.body, codestream_at: found.body_at, colour });
            }
            _ => {}
        }
    }
}

/// The first colour specification that is understood; the standard tells readers to take it.
fn colour(header: &[u8]) -> Result<Option<Colour>, ImageError> {
    let mut rest = Boxes { bytes: header, at: 0 };
    let (mut colour, mut refused) = (None, None);
    while let Some(found) = rest.next()? {
        match &found.name {
            b"pclr" | b"cmap" => return Err(colour_refused("made of a palette")),
            b"cdef" => check_channels(found.body)?,
            b"colr" if colour.is_none() => match colour_of(found.body) {
                Ok(understood) => colour = Some(understood),
                Err(problem) => refused = Some(problem),
            },
            _ => {}
        }
    }
    match (colour, refused) {
        (None, Some(problem)) => Err(problem),
        (colour, _) => Ok(colour),
    }
}

fn colour_of(body: &[u8]) -> Result<Colour, ImageError> {
    match body {
        [1, _, _, space @ ..] => {
            match space.first_chunk().map(|space| u32::from_be_bytes(*space)) {
                Some(COLOUR_SRGB) => Ok(Colour::Srgb),
                Some(COLOUR_GREY) => Ok(Colour::Grey),
                Some(COLOUR_SYCC) => Ok(Colour::Sycc),
                Some(_) => Err(colour_refused("neither greyscale nor sRGB nor sYCC")),
                None => Err(damaged("its colour specification is too short")),
            }
        }
        [2 | 3, _, _, ..] => Ok(Colour::Profile),
        _ => Err(colour_refused("of an unknown colour specification")),
    }
}

/// Every channel must be a colour, in the order of the components.
fn check_channels(body: &[u8]) -> Result<(), ImageError> {
    let (_, channels) = body.split_at_checked(2).unwrap_or_default();
    let (channels, _) = channels.as_chunks::<6>();
    for &[_, number, _, kind, _, colour] in channels {
        if kind != 0 {
            return Err(colour_refused("partly transparent"));
        }
        if colour != 0 && colour != number.saturating_add(1) {
            return Err(colour_refused("stored with its colours in another order"));
        }
    }
    Ok(())
}

/// One box.
struct Found<'a> {
    name: [u8; 4],
    body: &'a [u8],
    body_at: usize,
}

/// A row of boxes.
struct Boxes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Boxes<'a> {
    fn next(&mut self) -> Result<Option<Found<'a>>, ImageError> {
        let truncated =
            || ImageError::Truncated { kind: ImageKind::Jpeg2000, at: self.bytes.len() };
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let (length, tail) = rest.split_first_chunk().ok_or_else(truncated)?;
        let (name, tail) = tail.split_first_chunk().ok_or_else(truncated)?;
        let (length, tail) = match u32::from_be_bytes(*length) {
            // To the end of the file.
            0 => (tail.len(), tail),
            // Eight more bytes tell the length.
            1 => {
                let (length, tail) = tail.split_first_chunk().ok_or_else(truncated)?;
                let length = u64::from_be_bytes(*length).checked_sub(16);
                (length.and_then(|length| usize::try_from(length).ok()).ok_or_else(short)?, tail)
            }
            length => (length.checked_sub(8).ok_or_else(short)? as usize, tail),
        };
        let (body, tail) = tail.split_at_checked(length).ok_or_else(truncated)?;
        self.at = self.bytes.len().saturating_sub(tail.len());
        Ok(Some(Found { name: *name, body, body_at: self.at.saturating_sub(length) }))
    }
}

fn short() -> ImageError {
    damaged("a box is shorter than its own head")
}
