//! The way to a core and the memory beside it: a small trait with three transports.
//!
//! [`super::soft`] is the twin in this process, [`super::pipe`] a simulation of the RTL in another,
//! [`super::mapped`] a card in this machine. The driver knows none of them apart.
//!
//! Invariant: a transport hides queues and waiting, never a fault: what was not taken, came short
//! or never came is a [`CardError`], within a bounded time or number of tries.

use std::ops::Range;

use super::{answer::ResultBeat, packet::Beat};
use crate::backend::Plaintext;

/// Why a card did not do what it was asked; it is lost then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// `SLVERR`.
    #[error("the core refused an access to register {register:#05x}")]
    Refused {
        /// Which.
        register: u16,
    },
    /// Nothing moved for too long.
    #[error("nothing moved any more while {doing}")]
    Stuck {
        /// What was waited for.
        doing: &'static str,
    },
    /// A place that the card's memory does not have.
    #[error("beats {from} to {to} are outside the card's memory of {beats} beats")]
    Outside {
        /// First beat.
        from: u32,
        /// The beat after the last.
        to: u32,
        /// Beats there are.
        beats: u32,
    },
    /// The other end is gone.
    #[error("the way to the card is closed: {why}")]
    Closed {
        /// What the system said.
        why: String,
    },
    /// The other end does not speak the protocol.
    #[error("the card does not speak this protocol: {why}")]
    Foreign {
        /// What it said instead.
        why: String,
    },
}

/// One card. Whoever has it has it alone.
pub trait Card: Send {
    /// The device, in words.
    fn device(&self) -> String;

    /// Where its memory is.
    fn plaintext(&self) -> Plaintext;

    /// Reads a register of the core.
    ///
    /// # Errors
    /// [`CardError`].
    fn read(&mut self, register: u16) -> Result<u32, CardError>;

    /// Writes registers of the core, in order.
    ///
    /// # Errors
    /// [`CardError`]; those before the first that was refused are written.
    fn write(&mut self, words: &[(u16, u32)]) -> Result<(), CardError>;

    /// Streams beats; `last` marks the last of them as the last of a packet.
    ///
    /// # Errors
    /// [`CardError`].
    fn stream(&mut self, beats: &[Beat], last: bool) -> Result<(), CardError>;

    /// Streams beats of the card's own memory.
    ///
    /// # Errors
    /// [`CardError`].
    fn play(&mut self, place: Range<u32>, last: bool) -> Result<(), CardError>;

    /// Appends the next `count` result beats, waiting for them.
    ///
    /// # Errors
    /// [`CardError`].
    fn results(&mut self, count: usize, to: &mut Vec<ResultBeat>) -> Result<(), CardError>;

    /// Beats of the card's memory.
    fn memory_beats(&self) -> u32;

    /// Writes into the card's memory.
    ///
    /// # Errors
    /// [`CardError`].
    fn store(&mut self, at: u32, beats: &[Beat]) -> Result<(), CardError>;

    /// Zeroes a part of the card's memory.
    ///
    /// # Errors
    /// [`CardError`]; what lay there may then still be there.
    fn erase(&mut self, place: Range<u32>) -> Result<(), CardError>;

    /// Appends what lies in the card's memory; erasure is held to it.
    ///
    /// # Errors
    /// [`CardError`].
    fn look(&mut self, place: Range<u32>, to: &mut Vec<Beat>) -> Result<(), CardError>;
}

/// Refuses a place that a memory of `beats` beats does not have.
///
/// # Errors
/// [`CardError::Outside`].
pub fn within(place: &Range<u32>, beats: u32) -> Result<(), CardError> {
    if place.start > place.end || place.end > beats {
        return Err(CardError::Outside { from: place.start, to: place.end, beats });
    }
    Ok(())
}
