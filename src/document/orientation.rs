//! The EXIF orientation: how a stored picture is turned to stand upright.
//!
//! Mirrors and half turns work in place. A quarter turn of a picture that is not square needs a
//! copy; the copy is wiped.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use zeroize::Zeroizing;

/// Longest EXIF block that is read: a JPEG segment cannot hold more, and a PNG has no reason to.
const EXIF_BYTES_MAX: usize = 65_535;

/// One of the eight ways in which rows and columns can be stored (EXIF tag 0x0112).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Orientation {
    /// Rows and columns are exchanged first …
    transposed: bool,
    /// … then every row is reversed …
    mirrored: bool,
    /// … then the order of the rows.
    flipped: bool,
}

/// The eight values of the tag, in order.
const TABLE: [Orientation; 8] = [
    Orientation { transposed: false, mirrored: false, flipped: false },
    Orientation { transposed: false, mirrored: true, flipped: false },
    Orientation { transposed: false, mirrored: true, flipped: true },
    Orientation { transposed: false, mirrored: false, flipped: true },
    Orientation { transposed: true, mirrored: false, flipped: false },
    Orientation { transposed: true, mirrored: true, flipped: false },
    Orientation { transposed: true, mirrored: true, flipped: true },
    Orientation { transposed: true, mirrored: false, flipped: true },
];

impl Orientation {
    /// As stored.
    pub(super) const UPRIGHT: Self = TABLE[0];

    /// From the tag's value; whatever is not 1 to 8 means "as stored", as viewers take it.
    pub(super) fn from_exif(value: u32) -> Self {
        let index = usize::try_from(value).ok().and_then(|value| value.checked_sub(1));
        index.and_then(|index| TABLE.get(index)).copied().unwrap_or(Self::UPRIGHT)
    }

    /// From an EXIF block (a TIFF structure, without the `Exif\0\0` that JPEG puts before it). An
    /// unreadable block turns nothing.
    pub(super) fn from_tiff(block: &[u8]) -> Self {
        if block.len() > EXIF_BYTES_MAX {
            return Self::UPRIGHT;
        }
        let Ok(exif) = exif::Reader::new().read_raw(block.to_vec()) else {
            return Self::UPRIGHT;
        };
        exif.get_field(exif::Tag::Orientation, exif::In::PRIMARY)
            .and_then(|field| field.value.get_uint(0))
            .map_or(Self::UPRIGHT, Self::from_exif)
    }

    /// The tag's value, 1 to 8.
    pub(super) fn exif(self) -> u8 {
        let value = (1..).zip(TABLE).find(|(_, row)| *row == self);
        value.map_or(1, |(value, _)| value)
    }

    /// Width and height once upright.
    pub(super) fn upright(self, width_px: u32, height_px: u32) -> (u32, u32) {
        if self.transposed { (height_px, width_px) } else { (width_px, height_px) }
    }

    /// Width and height as stored; the exchange is its own inverse.
    pub(super) fn stored(self, width_px: u32, height_px: u32) -> (u32, u32) {
        self.upright(width_px, height_px)
    }

    /// Turns packed RGB rows of `width_px` pixels upright.
    pub(super) fn apply(self, pixels: &mut [u8], width_px: usize) {
        let (pixels, _) = pixels.as_chunks_mut::<3>();
        if self.transposed {
            transpose(pixels, width_px);
        }
        let row_px = if self.transposed {
            pixels.len().checked_div(width_px).unwrap_or(0)
        } else {
            width_px
        };
        // Reversing everything reverses each row and their order; what is left is one of the two.
        if self.flipped {
            pixels.reverse();
        }
        if self.flipped != self.mirrored {
            pixels.chunks_exact_mut(row_px.max(1)).for_each(<[_]>::reverse);
        }
    }
}

fn transpose(pixels: &mut [[u8; 3]], width_px: usize) {
    let stored = Zeroizing::new(pixels.to_vec());
    // Upright row y is stored column y, top to bottom.
    let columns = (0..width_px).flat_map(|x| stored.iter().skip(x).step_by(width_px));
    pixels.iter_mut().zip(columns).for_each(|(upright, pixel)| *upright = *pixel);
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "the test's own small sizes"
)]
mod tests {
    use super::*;

    /// Where upright pixel (x, y) is stored, from the definition of the tag: what the 0th row and
    /// the 0th column of the stored picture are on screen.
    fn stored_at(value: u32, x: usize, y: usize, width: usize, height: usize) -> (usize, usize) {
        let (right, bottom) = (width - 1, height - 1);
        match value {
            1 => (x, y),                  // top, left
            2 => (right - x, y),          // top, right
            3 => (right - x, bottom - y), // bottom, right
            4 => (x, bottom - y),         // bottom, left
            5 => (y, x),                  // left, top
            6 => (y, bottom - x),         // right, top
            7 => (right - y, bottom - x), // right, bottom
            _ => (right - y, x),          // left, bottom
        }
    }

    #[test]
    fn all_eight_orientations_follow_the_tags_definition() {
        for (width, height) in [(5, 3), (3, 5), (4, 4), (1, 6), (1, 1)] {
            let stored: Vec<[u8; 3]> = (0..width * height).map(|i| [i as u8, 100, 200]).collect();
            for value in 1..=8 {
                let orientation = Orientation::from_exif(value);
                assert_eq!(u32::from(orientation.exif()), value);
                let mut pixels = stored.concat();
                orientation.apply(&mut pixels, width);
                let (w, h) = orientation.upright(width as u32, height as u32);
                for y in 0..h as usize {
                    for x in 0..w as usize {
                        let (sx, sy) = stored_at(value, x, y, width, height);
                        let at = (y * w as usize + x) * 3;
                        assert_eq!(
                            pixels[at..at + 3],
                            stored[sy * width + sx],
                            "value {value}, {width} x {height}, ({x}, {y})"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_an_orientation_turns_nothing() {
        for value in [0, 9, u32::MAX] {
            assert_eq!(Orientation::from_exif(value), Orientation::UPRIGHT);
        }
        assert_eq!(Orientation::from_tiff(b"II*\0"), Orientation::UPRIGHT);
        assert_eq!(Orientation::from_tiff(b""), Orientation::UPRIGHT);
    }
}
