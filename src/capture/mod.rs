//! Where pictures come from, and how they get into a slot.
//!
//! | source | file | frames come |
//! |---|---|---|
//! | `http` | `push.rs` | in requests of a gate controller |
//! | `directory` | `directory.rs` | from photographs, at a set rate |
//! | `command` | `command.rs` | from a program's standard output: MJPEG (`mjpeg.rs`) or raw RGB |
//!
//! A [`Source`] yields pictures when they are due; what time it is comes in by argument. `lane.rs`
//! keeps the newest one for whoever looks, `supervise.rs` says when a failed source is tried again,
//! `keeper.rs` turns the two by hand or, in `runner.rs`, on a thread per lane. The API's own
//! requests need no lane: their pictures go through [`take`].
//!
//! Invariant: encoded bytes are zeroed when they are dropped, as far as they are this module's; a
//! slot never holds a picture that was not decoded whole; a source that fails is no reason for
//! anything but waiting: it opens no gate and closes none.

pub mod command;
pub mod directory;
pub mod keeper;
pub mod lane;
pub mod mjpeg;
pub mod push;
pub mod runner;
mod supervise;

use std::{io, path::PathBuf, sync::Arc};

use zeroize::Zeroizing;

use crate::{
    document::image::{self, ImageError},
    pipeline::slot::{CaptureError, Captured, SlotPool},
    share::unhurried,
    time::Clock,
};

/// How the bytes of a picture are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A JPEG, JPEG 2000 or PNG file.
    Encoded,
    /// Packed 8-bit RGB, top row first: `width_px × height_px × 3` bytes.
    Rgb {
        /// Width in pixels.
        width_px: u32,
        /// Height in pixels.
        height_px: u32,
    },
}

/// A picture on its way to a slot.
pub struct Encoded {
    bytes: Zeroizing<Vec<u8>>,
    form: Form,
}

impl Encoded {
    /// The bytes of a JPEG, JPEG 2000 or PNG file.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: Zeroizing::new(bytes), form: Form::Encoded }
    }

    /// Packed RGB pixels.
    ///
    /// # Panics
    /// When there are not exactly `width_px × height_px × 3` bytes: whoever cut them knows.
    #[must_use]
    pub fn rgb(bytes: Vec<u8>, width_px: u32, height_px: u32) -> Self {
        let pixels = (width_px as usize).checked_mul(height_px as usize);
        let needed = pixels.and_then(|pixels| pixels.checked_mul(3));
        assert_eq!(Some(bytes.len()), needed, "a raw frame is cut at its length");
        Self { bytes: Zeroizing::new(bytes), form: Form::Rgb { width_px, height_px } }
    }

    /// The bytes as they arrived.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoded({} bytes)", self.bytes.len())
    }
}

/// What a source has at this moment.
#[derive(Debug)]
pub enum Arrival {
    /// A picture.
    Picture(Encoded),
    /// Nothing yet; ask again at this time, which may be now.
    NotBefore(u64),
    /// Nothing any more.
    End,
}

/// Why a source has no picture although one was due.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceFault {
    /// A file or folder could not be read.
    #[error("{path} could not be read: {kind}", path = path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
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
    /// The program could not be started.
    #[error("{program} could not be started: {kind}; run it by hand as this user")]
    NotStarted {
        /// Its name, without arguments: those may hold a camera's password.
        program: String,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The program ended, and cameras do not end.
    #[error(
        "{program} ended with {status}; run it by hand to read what it says",
        status = status_text(*.status)
    )]
    Ended {
        /// Its name.
        program: String,
        /// Its exit status; `None` where a signal ended it.
        status: Option<i32>,
    },
    /// The program runs and delivers nothing.
    #[error("{program} delivered no whole frame for {silence_ms} ms")]
    Silent {
        /// Its name.
        program: String,
        /// How long.
        silence_ms: u64,
    },
    /// The program's output is not the stream that the configuration promises.
    #[error("{program} writes no MJPEG: no picture in {bytes} bytes; check `format` of the lane")]
    Foreign {
        /// Its name.
        program: String,
        /// Bytes without a picture.
        bytes: usize,
    },
    /// A picture of the stream that is larger than any may be; the stream goes on after it.
    #[error("a frame has more than {most} bytes")]
    FrameTooLarge {
        /// The limit.
        most: usize,
    },
    /// The program's output could not be read.
    #[error("what {program} writes could not be read: {kind}")]
    Broken {
        /// Its name.
        program: String,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The source came to its end.
    #[error("the source has no more pictures")]
    Over,
    /// The source panicked.
    #[error("the source failed by a fault of the appliance; the log holds more")]
    Panicked,
}

fn status_text(status: Option<i32>) -> String {
    status.map_or_else(|| "a signal".to_owned(), |status| format!("status {status}"))
}

impl SourceFault {
    /// Whether only one picture is lost and the source goes on with the next.
    #[must_use]
    pub fn spares_source(&self) -> bool {
        match self {
            Self::Unreadable { .. } | Self::TooLarge { .. } | Self::FrameTooLarge { .. } => true,
            Self::Empty { .. }
            | Self::NotStarted { .. }
            | Self::Ended { .. }
            | Self::Silent { .. }
            | Self::Foreign { .. }
            | Self::Broken { .. }
            | Self::Over
            | Self::Panicked => false,
        }
    }

    /// What happened, in words that name neither a path nor a program: `/readyz` needs no
    /// credential.
    #[must_use]
    pub fn what(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "its photographs cannot be read",
            Self::Empty { .. } => "its folder holds no photograph",
            Self::TooLarge { .. } | Self::FrameTooLarge { .. } => "its pictures are too large",
            Self::NotStarted { .. } => "its program does not start",
            Self::Ended { .. } => "its program ended",
            Self::Silent { .. } => "its program delivers no frame",
            Self::Foreign { .. } => "its program writes another format",
            Self::Broken { .. } => "its program's output cannot be read",
            Self::Over => "it has no more pictures",
            Self::Panicked => "it failed by a fault of the appliance",
        }
    }
}

/// A camera, or something that stands in for one. Dropping it frees what it holds.
pub trait Source: Send {
    /// What has arrived at `now_us`. A source that reads a device may wait for it, but no longer
    /// than a few hundred milliseconds: whoever asks may have to stop.
    ///
    /// # Errors
    /// [`SourceFault`]; where it spares the source, the next call goes on with the next picture.
    fn next(&mut self, now_us: u64) -> Result<Arrival, SourceFault>;
}

/// Decodes the bytes of a file into a free slot.
///
/// # Errors
/// `Busy` when every slot is taken, `Fill` when the bytes are not a picture that may be decoded.
pub fn take(
    bytes: &[u8],
    slots: &Arc<SlotPool>,
    clock: &dyn Clock,
) -> Result<Captured, CaptureError<ImageError>> {
    let began_us = clock.monotonic_us();
    let captured = slots.capture(|pixels| unhurried(|| image::decode_into(bytes, pixels)))?;
    Ok(captured.timed(clock.monotonic_us().saturating_sub(began_us)))
}

/// Puts a picture into a free slot.
fn decode(
    picture: &Encoded,
    slots: &Arc<SlotPool>,
    clock: &dyn Clock,
) -> Result<Captured, CaptureError<ImageError>> {
    let bytes = picture.bytes();
    let Form::Rgb { width_px, height_px } = picture.form else {
        return take(bytes, slots, clock);
    };
    let began_us = clock.monotonic_us();
    let captured = slots.capture(|pixels| {
        // One that does not fit is refused by the extent that is reported.
        if let Some(place) = pixels.get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
        }
        Ok((width_px, height_px))
    })?;
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

    #[test]
    fn raw_pixels_are_copied_whole_or_not_at_all() {
        let slots = SlotPool::new(1, 12);
        let clock = SimulatedClock::at(0);
        let frame = decode(&Encoded::rgb(vec![7; 12], 2, 2), &slots, &clock).expect("it fits");
        assert_eq!(frame.view().pixels(), [7; 12]);
        drop(frame);
        let refused = decode(&Encoded::rgb(vec![7; 15], 5, 1), &slots, &clock).unwrap_err();
        assert!(matches!(refused, CaptureError::Extent { .. }), "{refused}");
        assert_eq!((slots.free(), slots.residue_bytes()), (1, 0));
    }

    #[test]
    fn no_open_word_about_a_fault_names_a_path_or_a_program() {
        let program = "secret".to_owned();
        let path = PathBuf::from("/secret");
        for fault in [
            SourceFault::Unreadable { path: path.clone(), kind: io::ErrorKind::NotFound },
            SourceFault::Empty { path: path.clone() },
            SourceFault::TooLarge { path, held: 2, most: 1 },
            SourceFault::NotStarted { program: program.clone(), kind: io::ErrorKind::NotFound },
            SourceFault::Ended { program: program.clone(), status: Some(1) },
            SourceFault::Silent { program: program.clone(), silence_ms: 1 },
            SourceFault::Foreign { program: program.clone(), bytes: 1 },
            SourceFault::Broken { program, kind: io::ErrorKind::Other },
        ] {
            assert!(!fault.what().contains("secret"), "{fault}");
            assert!(fault.to_string().contains("secret"), "the log does: {fault}");
        }
    }
}
