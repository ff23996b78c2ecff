//! JPEG (ITU-T T.81): our own walk over the markers, then zune-jpeg in strict mode.
//!
//! The walk finds size, colour and orientation without decoding, and proves that the file reaches
//! its end marker: a decoder that meets the end of its input fills the rest with grey, and grey
//! would be judged as a picture.
//!
//! ```text
//! FFD8 │ FFxx len … │ FFxx len … │ FFDA len … coded data (FF00, FFD0–D7 inside) │ … │ FFD9
//! SOI    segments: APPn, DQT, DHT, SOFn     SOS: one scan                     more   EOI
//! ```

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use zune_jpeg::{
    JpegDecoder,
    errors::DecodeErrors,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use super::{
    image::{ImageError, ImageKind},
    orientation::Orientation,
};
use crate::limits::{FRAME_EDGE_PX_MAX, IMAGE_SCANS_MAX};

const EXIF_PREFIX: &[u8] = b"Exif\0\0";
const ADOBE_PREFIX: &[u8] = b"Adobe";
/// Offset of the colour transform in an Adobe segment; 2 means YCCK.
const ADOBE_TRANSFORM_AT: usize = 11;
const ADOBE_YCCK: u8 = 2;

/// What the walk found before the first scan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Stored width and height.
    pub(super) size_px: (u32, u32),
    /// How to turn it upright.
    pub(super) orientation: Orientation,
    /// Where the first scan's marker stands.
    scan_at: usize,
}

/// Reads everything before the first scan.
pub(super) fn walk(bytes: &[u8]) -> Result<Layout, ImageError> {
    let mut segments = Segments { bytes, at: 2 };
    let (mut frame, mut orientation, mut ycck) = (None, None, false);
    loop {
        let segment = segments.next()?;
        match segment.marker {
            0xda => {
                let frame: Frame = frame.ok_or_else(|| damaged("a scan comes before its frame"))?;
                frame.check_colour(ycck)?;
                return Ok(Layout {
                    size_px: frame.size_px,
                    orientation: orientation.unwrap_or(Orientation::UPRIGHT),
                    scan_at: segment.at,
                });
            }
            0xd9 => return Err(damaged("it ends before its first scan")),
            0xe1 if orientation.is_none() => {
                orientation = segment.body.strip_prefix(EXIF_PREFIX).map(Orientation::from_tiff);
            }
            0xee if segment.body.starts_with(ADOBE_PREFIX) => {
                ycck = segment.body.get(ADOBE_TRANSFORM_AT) == Some(&ADOBE_YCCK);
            }
            0xc4 | 0xc8 | 0xcc => {}
            0xc0..=0xcf if frame.is_some() => return Err(damaged("it has two frame headers")),
            0xc0..=0xcf => frame = Some(Frame::read(&segment)?),
            _ => {}
        }
    }
}

/// Decodes the stored picture into `pixels`, packed RGB, exactly its size.
pub(super) fn decode(bytes: &[u8], layout: &Layout, pixels: &mut [u8]) -> Result<(), ImageError> {
    reaches_its_end(bytes, layout.scan_at)?;
    let edge_px_max = FRAME_EDGE_PX_MAX as usize;
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(edge_px_max)
        .set_max_height(edge_px_max)
        .jpeg_set_max_scans(IMAGE_SCANS_MAX)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let refused = |problem| explain(&problem, bytes.len());
    decoder.decode_headers().map_err(refused)?;
    // Two readers of one header must agree, or the picture is not what was checked.
    if decoder.output_buffer_size() != Some(pixels.len()) {
        return Err(damaged("its headers contradict each other"));
    }
    decoder.decode_into(pixels).map_err(refused)
}

fn explain(problem: &DecodeErrors, length: usize) -> ImageError {
    match problem {
        DecodeErrors::ExhaustedData => ImageError::Truncated { kind: ImageKind::Jpeg, at: length },
        other => damaged(&other.to_string()),
    }
}

fn damaged(why: &str) -> ImageError {
    ImageError::Damaged { kind: ImageKind::Jpeg, why: why.into() }
}

/// Walks from the first scan to the end marker, over coded data and the segments between scans.
fn reaches_its_end(bytes: &[u8], scan_at: usize) -> Result<(), ImageError> {
    let mut segments = Segments { bytes, at: scan_at };
    loop {
        match segments.next()?.marker {
            0xd9 => return Ok(()),
            0xda => segments.skip_coded(),
            _ => {}
        }
    }
}

/// The frame header (SOF).
struct Frame {
    size_px: (u32, u32),
    components: u8,
}

impl Frame {
    fn read(segment: &Segment<'_>) -> Result<Self, ImageError> {
        if let Some(coding) = unsupported_coding(segment.marker) {
            return Err(ImageError::CodingUnsupported { kind: ImageKind::Jpeg, coding });
        }
        let Some(&[bits, h1, h0, w1, w0, components]) = segment.body.first_chunk() else {
            return Err(damaged("its frame header is too short"));
        };
        if bits != 8 {
            let coding = "samples of more than 8 bits";
            return Err(ImageError::CodingUnsupported { kind: ImageKind::Jpeg, coding });
        }
        let size_px = (u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into());
        Ok(Self { size_px, components })
    }

    fn check_colour(&self, ycck: bool) -> Result<(), ImageError> {
        let colour = match self.components {
            1 | 3 => return Ok(()),
            4 if ycck => "YCCK (four colours of print)",
            4 => "CMYK (four colours of print)",
            _ => "neither greyscale nor of three colours",
        };
        Err(ImageError::ColourUnsupported { kind: ImageKind::Jpeg, colour })
    }
}

/// Names the coding process of a frame header that is not baseline, extended or progressive
/// Huffman.
fn unsupported_coding(marker: u8) -> Option<&'static str> {
    match marker {
        0xc0..=0xc2 => None,
        0xc3 => Some("lossless coding"),
        0xc5..=0xc7 => Some("hierarchical coding"),
        _ => Some("arithmetic coding"),
    }
}

/// One marker with what belongs to it.
struct Segment<'a> {
    marker: u8,
    /// Where its `FF` stands.
    at: usize,
    /// Without marker and length.
    body: &'a [u8],
}

struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    fn next(&mut self) -> Result<Segment<'a>, ImageError> {
        let truncated = ImageError::Truncated { kind: ImageKind::Jpeg, at: self.bytes.len() };
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        // A marker may be preceded by any number of FF fill bytes.
        let fill = rest.iter().take_while(|&&byte| byte == 0xff).count();
        let Some((&marker, tail)) = rest.get(fill..).and_then(<[u8]>::split_first) else {
            return Err(truncated);
        };
        if fill == 0 || marker == 0 {
            return Err(damaged(&format!("byte {} should begin a marker", self.at)));
        }
        let at = self.at;
        self.at = self.bytes.len().saturating_sub(tail.len());
        // These stand alone; every other marker is followed by its length.
        if matches!(marker, 0x01 | 0xd0..=0xd9) {
            return Ok(Segment { marker, at, body: &[] });
        }
        let Some((length, _)) = tail.split_first_chunk() else {
            return Err(truncated);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length < 2 {
            return Err(damaged(&format!("the segment at byte {at} is shorter than its length")));
        }
        let body = tail.get(2..length).ok_or(truncated)?;
        self.at = self.at.saturating_add(length);
        Ok(Segment { marker, at, body })
    }

    /// Moves to the marker that ends the coded data of a scan.
    fn skip_coded(&mut self) {
        while let Some(rest) = self.bytes.get(self.at..).filter(|rest| !rest.is_empty()) {
            let Some(step) = rest.iter().position(|&byte| byte == 0xff) else {
                self.at = self.bytes.len();
                return;
            };
            let after = rest.iter().skip(step).find(|&&byte| byte != 0xff);
            self.at = self.at.saturating_add(step);
            match after {
                // A stuffed FF, or a restart marker: still coded data.
                Some(0 | 0xd0..=0xd7) => self.at = self.at.saturating_add(1),
                _ => return,
            }
        }
    }
}
