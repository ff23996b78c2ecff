//! The engine that searches, for every match line, and who takes over when it fails.
//!
//! Invariant: an engine that fails is replaced once, whichever lines were searching with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{desk::Desk, standby::has_failed};
use crate::{
    backend::{Backend, BackendError},
    meter::{EnginePart, Part},
};

/// Shared by all match lines.
pub(super) struct Searcher {
    line_up: Mutex<LineUp>,
    desk: Arc<Desk>,
}

struct LineUp {
    at_work: Arc<dyn Backend>,
    /// Who takes over, the next one first.
    standby: Box<dyn Iterator<Item = Arc<dyn Backend>> + Send>,
}

impl Searcher {
    pub(super) fn new(
        at_work: Arc<dyn Backend>,
        standby: Box<dyn Iterator<Item = Arc<dyn Backend>> + Send>,
        desk: Arc<Desk>,
    ) -> Self {
        Self { line_up: Mutex::new(LineUp { at_work, standby }), desk }
    }

    /// The engine at work.
    pub(super) fn engine(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.held().at_work)
    }

    /// Who is at work after `lost` answered with `error`: the next engine, or the one that another
    /// line has put to work since.
    ///
    /// # Errors
    /// `error`, when the engine has not failed, or when there is nobody after it.
    pub(super) fn after(
        &self,
        lost: &Arc<dyn Backend>,
        error: BackendError,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        if !has_failed(&error) {
            return Err(error);
        }
        let mut line_up = self.held();
        if std::ptr::addr_eq(Arc::as_ptr(&line_up.at_work), Arc::as_ptr(lost)) {
            let Some(next) = line_up.standby.next() else { return Err(error) };
            tracing::error!(%error, "a search engine failed; the next one takes over");
            self.desk.at_work.takes_over(EnginePart::Search, next.describe(), &error.to_string());
            line_up.at_work = next;
            self.desk.meter.restart(Part::Engine);
        }
        Ok(Arc::clone(&line_up.at_work))
    }

    fn held(&self) -> MutexGuard<'_, LineUp> {
        // A standby that panicked while it was made left the line-up as it was.
        self.line_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
