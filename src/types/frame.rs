//! A decoded picture: packed 8-bit RGB, row-major, top row first.

use std::fmt;

use zeroize::Zeroize;

/// Bytes of one RGB pixel.
const BYTES_PER_PIXEL: usize = 3;

/// A borrowed picture; what detection, alignment and quality read.
///
/// `pixels.len() == width_px * height_px * 3` always holds.
#[derive(Clone, Copy)]
pub struct FrameView<'a> {
    pixels: &'a [u8],
    width_px: u32,
    height_px: u32,
}

/// Why bytes cannot be seen as a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Width or height is zero.
    #[error("a frame of {width_px} x {height_px} pixels has no area")]
    Empty {
        /// Width in pixels.
        width_px: u32,
        /// Height in pixels.
        height_px: u32,
    },
    /// The buffer does not hold exactly width × height RGB pixels.
    #[error("{width_px} x {height_px} RGB pixels need {needed} bytes, the buffer holds {held}")]
    Length {
        /// Width in pixels.
        width_px: u32,
        /// Height in pixels.
        height_px: u32,
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        held: usize,
    },
}

impl<'a> FrameView<'a> {
    /// Sees `pixels` as `width_px` × `height_px` RGB.
    ///
    /// # Errors
    /// [`FrameError`] when the area is empty or the length is not exact.
    pub fn new(pixels: &'a [u8], width_px: u32, height_px: u32) -> Result<Self, FrameError> {
        if width_px == 0 || height_px == 0 {
            return Err(FrameError::Empty { width_px, height_px });
        }
        let needed = width_px as usize * height_px as usize * BYTES_PER_PIXEL;
        if pixels.len() != needed {
            return Err(FrameError::Length { width_px, height_px, needed, held: pixels.len() });
        }
        Ok(Self { pixels, width_px, height_px })
    }

    /// The packed RGB bytes.
    #[must_use]
    pub fn pixels(&self) -> &'a [u8] {
        self.pixels
    }

    /// Width in pixels, at least 1.
    #[must_use]
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// Height in pixels, at least 1.
    #[must_use]
    pub fn height_px(&self) -> u32 {
        self.height_px
    }
}

impl fmt::Debug for FrameView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameView({} x {} px)", self.width_px, self.height_px)
    }
}

/// An owned picture; zeroed when dropped. Files and tests use it, the frame path uses slots.
///
/// A frame cannot be cloned, and its pixels cannot be printed:
/// ```compile_fail
/// let frame = portcullis::types::Frame::new(vec![0; 3], 1, 1).unwrap();
/// let copy = frame.clone();
/// ```
pub struct Frame {
    pixels: Vec<u8>,
    width_px: u32,
    height_px: u32,
}

impl Frame {
    /// Takes `pixels` as `width_px` × `height_px` packed RGB.
    ///
    /// # Errors
    /// As [`FrameView::new`].
    pub fn new(pixels: Vec<u8>, width_px: u32, height_px: u32) -> Result<Self, FrameError> {
        FrameView::new(&pixels, width_px, height_px)?;
        Ok(Self { pixels, width_px, height_px })
    }

    /// The picture, borrowed.
    #[must_use]
    pub fn view(&self) -> FrameView<'_> {
        FrameView { pixels: &self.pixels, width_px: self.width_px, height_px: self.height_px }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} x {} px)", self.width_px, self.height_px)
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.pixels.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_holds_exactly_its_pixels() {
        assert_eq!(
            FrameView::new(&[0; 5], 1, 2).unwrap_err(),
            FrameError::Length { width_px: 1, height_px: 2, needed: 6, held: 5 }
        );
        assert_eq!(
            FrameView::new(&[], 0, 2).unwrap_err(),
            FrameError::Empty { width_px: 0, height_px: 2 }
        );
    }

    #[test]
    fn debug_shows_the_size_and_no_pixel() {
        let frame = Frame::new(vec![231; 12], 2, 2).expect("four pixels");
        assert_eq!(format!("{frame:?} {:?}", frame.view()), "Frame(2 x 2 px) FrameView(2 x 2 px)");
    }
}
