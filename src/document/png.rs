//! PNG (ISO/IEC 15948): our own walk over the chunks, then the `png` crate.
//!
//! ```text
//! 89 "PNG" 0D 0A 1A 0A │ len "IHDR" … crc │ len type … crc │ … │ 0 "IEND" crc
//! ```
//! The walk finds size, animation and orientation (the `eXIf` chunk may stand anywhere) and proves
//! that the file reaches `IEND`. Checksums are the crate's to verify.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::io::{Cursor, ErrorKind};

use png::{ColorType, Decoder, DecodingError, Limits, Reader, Transformations};
use zeroize::Zeroizing;

use super::{
    image::{BYTES_PER_PIXEL, ImageError, ImageKind},
    orientation::Orientation,
};
use crate::limits::IMAGE_BYTES_MAX;

/// The eight bytes every PNG begins with.
pub(super) const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// What the walk found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Stored width and height.
    pub(super) size_px: (u32, u32),
    /// How to turn it upright.
    pub(super) orientation: Orientation,
}

/// Walks from the signature to `IEND`.
pub(super) fn walk(bytes: &[u8]) -> Result<Layout, ImageError> {
    let mut rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    let first = next_chunk(&mut rest, bytes.len())?;
    let size_px = match (first.name, first.body.split_first_chunk()) {
        (b"IHDR", Some((width, body))) => {
            let Some((height, _)) = body.split_first_chunk() else {
                return Err(damaged("its header is too short"));
            };
            (u32::from_be_bytes(*width), u32::from_be_bytes(*height))
        }
        _ => return Err(damaged("its first chunk is not a header")),
    };
    let mut orientation = Orientation::UPRIGHT;
    loop {
        let chunk = next_chunk(&mut rest, bytes.len())?;
        match chunk.name {
            b"acTL" => return Err(ImageError::Animated),
            b"eXIf" => orientation = Orientation::from_tiff(chunk.body),
            b"IEND" => return Ok(Layout { size_px, orientation }),
            _ => {}
        }
    }
}

struct Chunk<'a> {
    name: &'a [u8; 4],
    body: &'a [u8],
}

fn next_chunk<'a>(rest: &mut &'a [u8], length: usize) -> Result<Chunk<'a>, ImageError> {
    let truncated = || ImageError::Truncated { kind: ImageKind::Png, at: length };
    let (size, tail) = rest.split_first_chunk().ok_or_else(truncated)?;
    let (name, tail) = tail.split_first_chunk().ok_or_else(truncated)?;
    let size = u32::from_be_bytes(*size) as usize;
    let (body, tail) = tail.split_at_checked(size).ok_or_else(truncated)?;
    let (_crc, tail) = tail.split_first_chunk::<4>().ok_or_else(truncated)?;
    *rest = tail;
    Ok(Chunk { name, body })
}

/// Decodes the stored picture into `pixels`, packed RGB, exactly its size.
pub(super) fn decode(bytes: &[u8], layout: &Layout, pixels: &mut [u8]) -> Result<(), ImageError> {
    let refused = |problem| explain(&problem, bytes.len());
    let limits = Limits { bytes: IMAGE_BYTES_MAX };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    // Text and colour profiles are compressed and of no use here: they are never inflated.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(refused)?;
    // Two readers of one header must agree, or the picture is not what was checked.
    if reader.info().size() != layout.size_px {
        return Err(damaged("its headers contradict each other"));
    }
    let (colour, _) = reader.output_color_type();
    if colour == ColorType::Rgb {
        return reader.next_frame(pixels).map(drop).map_err(refused);
    }
    if reader.info().interlaced {
        // Seven passes over the whole picture: it must be assembled before it can be expanded.
        let size = reader.output_buffer_size().ok_or_else(|| damaged("its size overflows"))?;
        let mut samples = Zeroizing::new(vec![0; size]);
        reader.next_frame(&mut samples).map_err(refused)?;
        expand(colour, &samples, pixels);
        return Ok(());
    }
    decode_rows(&mut reader, colour, layout.size_px.0, pixels).map_err(refused)
}

fn decode_rows(
    reader: &mut Reader<Cursor<&[u8]>>,
    colour: ColorType,
    width_px: u32,
    pixels: &mut [u8],
) -> Result<(), DecodingError> {
    let size = reader.output_line_size(width_px).ok_or(DecodingError::LimitsExceeded)?;
    let mut samples = Zeroizing::new(vec![0; size]);
    let row_bytes = (width_px as usize).saturating_mul(BYTES_PER_PIXEL);
    for row in pixels.chunks_exact_mut(row_bytes) {
        reader.read_row(&mut samples)?;
        expand(colour, &samples, row);
    }
    // One more, which is not there: it checks that the compressed data end where the picture does.
    reader.read_row(&mut samples).map(drop)
}

/// Greyscale to RGB, transparency onto white.
fn expand(colour: ColorType, samples: &[u8], pixels: &mut [u8]) {
    let (pixels, _) = pixels.as_chunks_mut::<BYTES_PER_PIXEL>();
    match colour {
        ColorType::Grayscale => {
            pixels.iter_mut().zip(samples).for_each(|(pixel, &grey)| *pixel = [grey; 3]);
        }
        ColorType::GrayscaleAlpha => {
            let (samples, _) = samples.as_chunks();
            for (pixel, &[grey, alpha]) in pixels.iter_mut().zip(samples) {
                *pixel = [on_white(grey, alpha); 3];
            }
        }
        ColorType::Rgba => {
            let (samples, _) = samples.as_chunks();
            for (pixel, &[red, green, blue, alpha]) in pixels.iter_mut().zip(samples) {
                *pixel = [red, green, blue].map(|value| on_white(value, alpha));
            }
        }
        // RGB is decoded in place; palettes were expanded by the transformation.
        ColorType::Rgb | ColorType::Indexed => {}
    }
}

/// `value` at opacity `alpha` over white, rounded to nearest.
fn on_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u16::from(value), u16::from(alpha));
    let sum = value
        .saturating_mul(alpha)
        .saturating_add(255_u16.saturating_mul(255_u16.saturating_sub(alpha)));
    u8::try_from(sum.saturating_add(127).wrapping_div(255)).unwrap_or(u8::MAX)
}

fn explain(problem: &DecodingError, length: usize) -> ImageError {
    match problem {
        DecodingError::IoError(problem) if problem.kind() == ErrorKind::UnexpectedEof => {
            ImageError::Truncated { kind: ImageKind::Png, at: length }
        }
        other => damaged(&other.to_string()),
    }
}

fn damaged(why: &str) -> ImageError {
    ImageError::Damaged { kind: ImageKind::Png, why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transparency_is_laid_on_white() {
        for value in 0..=255 {
            assert_eq!(on_white(value, 255), value);
            assert_eq!(on_white(value, 0), 255);
        }
        assert_eq!(on_white(0, 128), 127);
        assert_eq!(on_white(100, 51), 224);
    }
}
