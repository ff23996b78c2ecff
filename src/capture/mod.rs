//! Where pictures come from, and how they get into a slot.
//!
//! A [`Source`] yields encoded pictures when they are due; what time it is comes in by argument.
//! The API needs none: it is handed pictures, and calls [`take`] with them as a source's reader
//! does.
//!
//! Invariant: encoded bytes are zeroed when they are dropped, as far as they are this module's; a
//! slot never holds a picture that was not decoded whole.

pub mod directory;

use std::{io, path::PathBuf, sync::Arc};

use zeroize::Zeroizing;

use crate::{
    document::image::{self, ImageError},
    pipeline::slot::{CaptureError, Captured, SlotPool},
    time::Clock,
};

/// An encoded picture on its way to a slot.
pub struct Encoded {
    /// What to call it in a table: a file's name, a frame's number.
    pub name: String,
    /// JPEG, JPEG 2000 or PNG.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// What a source has at this moment.
pub enum Arrival {
    /// A picture.
    Picture(Encoded),
    /// Nothing yet; ask again at this time.
    NotBefore(u64),
    /// Nothing any more.
    End,
}

/// Why a source has no picture although one was due. The next call goes on with the next one.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file or folder could not be read.
    #[error("{path} could not be read: {why}", path = path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// A folder without a photograph.
    #[error("{path} holds no .jpg, .jpeg or .png file", path = path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// A file that is larger than any photograph may be.
    #[error("{path} has {held} bytes; an image may have {most}", path = path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its size.
        held: u64,
        /// The limit.
        most: usize,
    },
}

/// A camera, or something that stands in for one.
pub trait Source: Send {
    /// What has arrived at `now_us`.
    ///
    /// # Errors
    /// [`SourceError`] for this picture; the source goes on.
    fn next(&mut self, now_us: u64) -> Result<Arrival, SourceError>;
}

/// Decodes `bytes` into a free slot.
///
/// # Errors
/// `Busy` when every slot is taken, `Fill` when the bytes are not a picture that may be decoded.
pub fn take(
    bytes: &[u8],
    slots: &Arc<SlotPool>,
    clock: &dyn Clock,
) -> Result<Captured, CaptureError<ImageError>> {
    let began_us = clock.monotonic_us();
    let captured = slots.capture(|pixels| image::decode_into(bytes, pixels))?;
    Ok(captured.timed(clock.monotonic_us().saturating_sub(began_us)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SimulatedClock;

    #[test]
    fn what_is_not_a_picture_frees_its_slot() {
        let slots = SlotPool::new(1, 64);
        let clock = SimulatedClock::at(0);
        let refused = take(b"not a picture", &slots, &clock).unwrap_err();
        assert!(matches!(refused, CaptureError::Fill(_)), "{refused}");
        assert_eq!((slots.free(), slots.residue_bytes()), (1, 0));
    }
}
