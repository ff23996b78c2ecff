//! A stream of JPEG pictures, cut into pictures.
//!
//! ```text
//! … │FF D8│FF E0 len len … │FF DB len len … │FF DA len len … │ coded data, FF 00, FF D0–D7 … │FF
//! D9│ …
//!     SOI   segment, skipped by its length     SOS, skipped     until a marker that is none    
//! EOI
//! ```
//!
//! A picture begins at a start marker and is followed segment by segment, so that a thumbnail
//! inside one is no picture of its own. What stands between pictures (the boundaries of a multipart
//! stream) is passed over, and after damage the cut begins anew at the next start marker. Whether a
//! picture decodes is asked of the decoder, when somebody wants it.
//!
//! Invariant: no more is kept than one picture within the limit; whatever the bytes, each is looked
//! at once. Absent on purpose: containers (AVI, Matroska), motion JPEG of two fields.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use zeroize::{Zeroize, Zeroizing};

/// Capacity that is set aside for the first picture.
const PICTURE_BYTES_FIRST: usize = 64 * 1024;

/// What the last bytes made of the stream.
#[derive(Debug)]
pub enum Cut {
    /// Every byte was looked at, and no picture is whole.
    More,
    /// A picture is whole; the rest of the bytes was not looked at.
    Picture(Vec<u8>),
    /// A picture has more bytes than one may have and is left out; the rest was not looked at.
    TooLarge,
    /// So many bytes without a picture that this is no such stream.
    Foreign,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Looking for a start marker; whether the last byte was FF.
    Between { ff: bool },
    /// Inside a picture, a marker is due; whether its FF was there.
    Marker { ff: bool },
    /// The first byte of a segment's length is due; whether coded data follow it.
    LengthHigh { scan: bool },
    /// The second one is.
    LengthLow { high: u8, scan: bool },
    /// That many bytes of a segment are left.
    Segment { left: u16, scan: bool },
    /// Coded data; whether the last byte was FF.
    Scan { ff: bool },
}

/// Cuts a stream.
pub struct Splitter {
    state: State,
    picture: Zeroizing<Vec<u8>>,
    picture_bytes_max: usize,
    /// Bytes since the last picture.
    fruitless: usize,
}

impl Splitter {
    /// A cut into pictures of at most `picture_bytes_max` bytes.
    #[must_use]
    pub fn new(picture_bytes_max: usize) -> Self {
        let picture = Zeroizing::new(Vec::with_capacity(PICTURE_BYTES_FIRST));
        Self { state: State::Between { ff: false }, picture, picture_bytes_max, fruitless: 0 }
    }

    /// Looks at `bytes` until a picture is whole; says how many it looked at.
    pub fn push(&mut self, bytes: &[u8]) -> (usize, Cut) {
        let mut seen = 0;
        while let Some(rest) = bytes.get(seen..).filter(|rest| !rest.is_empty()) {
            let stride = self.stride(rest);
            let (run, _) = rest.split_at(stride);
            if self.state != (State::Between { ff: false }) {
                self.picture.extend_from_slice(run);
            }
            seen = seen.saturating_add(stride);
            self.fruitless = self.fruitless.saturating_add(stride);
            let is_whole = self.step(run);
            if self.picture.len() > self.picture_bytes_max {
                self.forget();
                return (seen, Cut::TooLarge);
            }
            if is_whole {
                return (seen, Cut::Picture(self.take()));
            }
            if self.fruitless > self.picture_bytes_max.saturating_mul(2) {
                self.forget();
                self.fruitless = 0;
                return (seen, Cut::Foreign);
            }
        }
        (seen, Cut::More)
    }

    /// How many of `rest`, which is not empty, can be looked at in one go: runs that cannot change
    /// the state, or one byte.
    fn stride(&self, rest: &[u8]) -> usize {
        let until_ff = || rest.iter().position(|&byte| byte == 0xFF).unwrap_or(rest.len());
        let run = match self.state {
            State::Between { ff: false } | State::Scan { ff: false } => until_ff(),
            State::Segment { left, .. } => rest.len().min(usize::from(left)),
            _ => 1,
        };
        run.max(1)
    }

    /// Looks at a run; whether it ends a picture.
    fn step(&mut self, run: &[u8]) -> bool {
        let last = run.last().copied().unwrap_or_default();
        self.state = match self.state {
            State::Between { ff: false } => {
                if last == 0xFF {
                    self.picture.push(last);
                }
                State::Between { ff: last == 0xFF }
            }
            State::Between { ff: true } => match last {
                0xD8 => State::Marker { ff: false },
                0xFF => {
                    self.picture.truncate(1); // fill bytes before a marker
                    State::Between { ff: true }
                }
                _ => return self.begin_anew(),
            },
            State::Marker { ff: false } if last == 0xFF => State::Marker { ff: true },
            State::Marker { ff: false } => return self.begin_anew(),
            State::Marker { ff: true } => return self.marker(last),
            State::LengthHigh { scan } => State::LengthLow { high: last, scan },
            State::LengthLow { high, scan } => {
                match u16::from_be_bytes([high, last]).checked_sub(2) {
                    None => return self.begin_anew(), // a length counts its own two bytes
                    Some(0) => after(scan),
                    Some(left) => State::Segment { left, scan },
                }
            }
            State::Segment { left, scan } => {
                let run = u16::try_from(run.len()).unwrap_or(left);
                match left.saturating_sub(run) {
                    0 => after(scan),
                    left => State::Segment { left, scan },
                }
            }
            State::Scan { ff: false } => State::Scan { ff: last == 0xFF },
            State::Scan { ff: true } => match last {
                0x00 | 0xD0..=0xD7 => State::Scan { ff: false }, // a coded FF, or a restart
                0xFF => State::Scan { ff: true },
                marker => return self.marker(marker),
            },
        };
        false
    }

    /// A marker inside a picture; whether it ends it.
    fn marker(&mut self, marker: u8) -> bool {
        self.state = match marker {
            0xD9 => return true,
            0xFF => State::Marker { ff: true },
            0x01 | 0xD0..=0xD7 => State::Marker { ff: false }, // stand alone
            0xD8 => {
                // The picture before was cut off; this is the next one's beginning.
                self.picture.zeroize();
                self.picture.extend_from_slice(&[0xFF, 0xD8]);
                State::Marker { ff: false }
            }
            0xDA => State::LengthHigh { scan: true },
            0x00 => return self.begin_anew(),
            _ => State::LengthHigh { scan: false },
        };
        false
    }

    fn begin_anew(&mut self) -> bool {
        self.forget();
        false
    }

    fn forget(&mut self) {
        self.picture.zeroize();
        self.state = State::Between { ff: false };
    }

    fn take(&mut self) -> Vec<u8> {
        self.state = State::Between { ff: false };
        self.fruitless = 0;
        // The next picture will be about as large.
        let next = Vec::with_capacity(self.picture.len());
        std::mem::replace(&mut *self.picture, next)
    }
}

fn after(scan: bool) -> State {
    if scan { State::Scan { ff: false } } else { State::Marker { ff: false } }
}

impl std::fmt::Debug for Splitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Splitter({} bytes of a picture)", self.picture.len())
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests run with overflow checks")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A picture in form: one segment with a thumbnail's markers in it, coded data with a coded FF
    /// and a restart.
    fn picture(mark: u8) -> Vec<u8> {
        let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xE1, 0, 8, 0xFF, 0xD8, 0xFF, 0xD9, mark, mark];
        bytes.extend([0xFF, 0xFF, 0xDA, 0, 3, 1, mark, 0xFF, 0x00, 0xFF, 0xD3, mark, 0xFF, 0xD9]);
        bytes
    }

    fn all(splitter: &mut Splitter, mut bytes: &[u8], chunk: usize) -> Vec<Vec<u8>> {
        let mut pictures = Vec::new();
        while !bytes.is_empty() {
            let now = &bytes[..chunk.min(bytes.len())];
            let (seen, cut) = splitter.push(now);
            match cut {
                Cut::Picture(picture) => pictures.push(picture),
                Cut::More => assert_eq!(seen, now.len()),
                Cut::TooLarge | Cut::Foreign => {}
            }
            bytes = &bytes[seen..];
        }
        pictures
    }

    #[test]
    fn pictures_come_out_whole_whatever_stands_between_and_however_they_arrive() {
        let mut stream = b"--boundary\r\nContent-Type: image/jpeg\r\n\r\n".to_vec();
        stream.extend(picture(1));
        stream.extend(b"\r\n--boundary\xFF\xFF");
        stream.extend(picture(2));
        stream.extend(picture(3));
        for chunk in [1, 2, 3, 7, 1000] {
            let cut = all(&mut Splitter::new(1000), &stream, chunk);
            assert_eq!(cut, [picture(1), picture(2), picture(3)], "in pieces of {chunk}");
        }
    }

    #[test]
    fn a_picture_that_is_cut_off_costs_itself_alone() {
        for keep in 1..picture(1).len() - 1 {
            let mut stream = picture(1)[..keep].to_vec();
            // Enough that a segment with a torn length has swallowed all that a picture may have.
            (2..61).for_each(|mark| stream.extend(picture(mark)));
            let cut = all(&mut Splitter::new(1000), &stream, 64);
            assert!(cut.contains(&picture(60)), "cut at {keep}: {} pictures", cut.len());
            for whole in cut {
                assert!(whole.starts_with(&[0xFF, 0xD8]) && whole.ends_with(&[0xFF, 0xD9]));
            }
        }
    }

    #[test]
    fn one_that_is_too_large_is_left_out_and_a_foreign_stream_is_told() {
        let mut splitter = Splitter::new(64);
        let mut stream = vec![0xFF, 0xD8, 0xFF, 0xDA, 0, 2];
        stream.resize(100, 5);
        let (seen, cut) = splitter.push(&stream);
        assert!(matches!(cut, Cut::TooLarge) && seen <= 100, "{seen}");
        stream.extend(picture(1));
        assert_eq!(all(&mut splitter, &stream[seen..], 1000), [picture(1)]);
        let (_, cut) = Splitter::new(64).push(&[9; 200]);
        assert!(matches!(cut, Cut::Foreign), "{cut:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at_once_and_kept_within_the_limit(
            bytes in prop::collection::vec(
                prop_oneof![3 => Just(0xFF_u8), 1 => Just(0xD8), 1 => Just(0xD9), 3 => any::<u8>()],
                0..600,
            ),
            chunk in 1..90_usize,
        ) {
            let mut splitter = Splitter::new(50);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (seen, cut) = splitter.push(&rest[..chunk.min(rest.len())]);
                prop_assert!((1..=chunk).contains(&seen));
                prop_assert!(splitter.picture.len() <= 50);
                if let Cut::Picture(picture) = cut {
                    prop_assert!(picture.starts_with(&[0xFF, 0xD8]));
                    prop_assert!(picture.ends_with(&[0xFF, 0xD9]));
                    prop_assert!(picture.len() <= 50);
                }
                rest = &rest[seen..];
            }
        }
    }
}
