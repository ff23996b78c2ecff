//! Who takes over when an engine fails.
//!
//! A network that reports its device lost, or too small for what it is asked, is replaced within
//! the batch that noticed: the next engine is made ready on the engine line's own thread, and the
//! batch is tried once more on it. When none is left the last one is made anew, since a device may
//! come back. After a panic the networks are made anew on the engine at work: what a stack was
//! unwound out of is not trusted with the next face.
//!
//! Invariant: a batch is retried once; whoever is in it when that fails, too, is referred.

use std::sync::Arc;

use super::PassedOver;
use crate::backend::{Backend, BackendError, Engine};

/// Makes engines ready. Of what it makes, the engine line takes the networks; searches have
/// backends of their own in [`Standby`].
pub trait Supply: Send {
    /// The engine at work, made anew; `None` when that does not work.
    fn again(&mut self) -> Option<Engine>;

    /// The next engine, which is the one at work from now on; `None` when there is none left.
    fn next(&mut self) -> Option<Engine>;
}

/// Nobody: what fails stays as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Supply for Nobody {
    fn again(&mut self) -> Option<Engine> {
        None
    }

    fn next(&mut self) -> Option<Engine> {
        None
    }
}

/// Who takes over.
pub struct Standby {
    /// For networks.
    pub engines: Box<dyn Supply>,
    /// For searches and comparisons, the next one first; made when it is needed.
    pub searches: Box<dyn Iterator<Item = Arc<dyn Backend>> + Send>,
    /// Who has failed already, before the pipeline was there.
    pub passed_over: Vec<PassedOver>,
}

impl Default for Standby {
    fn default() -> Self {
        let searches = Box::new(std::iter::empty());
        Self { engines: Box::new(Nobody), searches, passed_over: Vec::new() }
    }
}

/// Whether the engine itself failed: it is gone, or has no memory for what it is asked. Another
/// error is of what it was given, and would be the same on the next engine.
pub(super) fn has_failed(error: &BackendError) -> bool {
    matches!(error, BackendError::Lost { .. } | BackendError::Full { .. })
}
