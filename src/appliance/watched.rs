//! The audit, with a memory of whether it could be written, and of what it still owes.

use std::{
    collections::VecDeque,
    slice,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    audit::{AuditEntry, AuditError, AuditEvent, AuditSink, AuditStand, Entered, Erased},
    limits::AUDIT_OWED_MAX,
    types::{GalleryId, SubjectId},
};

/// Writes through to another sink.
pub(super) struct Watched {
    sink: Arc<dyn AuditSink>,
    broken: AtomicBool,
    /// Results of acts that could not be undone when they could not be written, oldest first.
    owed: Mutex<VecDeque<AuditEntry>>,
}

impl Watched {
    pub(super) fn new(sink: Arc<dyn AuditSink>) -> Self {
        Self { sink, broken: AtomicBool::new(false), owed: Mutex::default() }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    /// Writes `entry` now, or as soon as anything can be written: what it tells has happened and
    /// cannot be taken back. What is owed is told in the log, and lost with the process.
    pub(super) fn must_hold(&self, entry: AuditEntry) {
        let mut owed = self.owed();
        owed.push_back(entry);
        self.pay(&mut owed);
        if owed.len() > AUDIT_OWED_MAX {
            let lost = owed.pop_front().map(|entry| entry.transaction);
            tracing::error!(?lost, "the audit owes more than it can remember");
        }
    }

    /// Writes what is owed, where that is possible again.
    pub(super) fn catch_up(&self) {
        self.pay(&mut self.owed());
    }

    fn owed(&self) -> MutexGuard<'_, VecDeque<AuditEntry>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pay(&self, owed: &mut VecDeque<AuditEntry>) {
        while let Some(entry) = owed.front() {
            if self.pass_on(slice::from_ref(entry)).is_err() {
                let (transaction, count) = (entry.transaction, owed.len());
                tracing::error!(%transaction, count, "done, and not in the audit yet");
                return;
            }
            owed.pop_front();
        }
    }

    fn pass_on(&self, entries: &[AuditEntry]) -> Result<(), AuditError> {
        let recorded = self.sink.record(entries);
        if let Err(error) = &recorded {
            tracing::error!(%error, "audit");
        }
        self.broken.store(recorded.is_err(), Ordering::SeqCst);
        recorded
    }
}

impl AuditSink for Watched {
    /// What is owed goes first: the audit tells things in the order in which they happened.
    fn record(&self, entries: &[AuditEntry]) -> Result<(), AuditError> {
        let mut owed = self.owed();
        self.pay(&mut owed);
        drop(owed);
        self.pass_on(entries)
    }

    fn seal(&self) -> Result<(), AuditError> {
        self.sink.seal()
    }

    fn entered(&self, meant: &Entered) -> Result<Vec<SubjectId>, AuditError> {
        self.sink.entered(meant)
    }

    fn about(
        &self,
        gallery: &GalleryId,
        subject: SubjectId,
    ) -> Result<Vec<AuditEvent>, AuditError> {
        self.sink.about(gallery, subject)
    }

    fn stand(&self) -> AuditStand {
        self.sink.stand()
    }

    fn goes_on_from(&self, stand: &AuditStand) -> Result<bool, AuditError> {
        self.sink.goes_on_from(stand)
    }

    fn erased(&self, since: u64) -> Result<Erased, AuditError> {
        self.sink.erased(since)
    }

    fn prune(&self, before_s: i64, now_s: i64) -> Result<(), AuditError> {
        self.sink.prune(before_s, now_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Action, TransactionId};

    /// A disk that fills up and is made room on.
    #[derive(Default)]
    struct Disk {
        full: AtomicBool,
        lines: Mutex<Vec<&'static str>>,
    }

    impl AuditSink for Disk {
        fn record(&self, entries: &[AuditEntry]) -> Result<(), AuditError> {
            if self.full.load(Ordering::SeqCst) {
                return Err(AuditError { place: "disk".into(), why: "full".into() });
            }
            let lines = entries.iter().map(|entry| entry.reasons[0]);
            self.lines.lock().expect("no panic").extend(lines);
            Ok(())
        }
    }

    fn entry(reason: &'static str) -> AuditEntry {
        AuditEntry::of(TransactionId::from_bytes([0; 16]), 0, Action::Erase, vec![reason])
    }

    #[test]
    fn what_is_owed_is_written_first_and_once() {
        let disk = Arc::new(Disk::default());
        let audit = Watched::new(Arc::clone(&disk) as Arc<dyn AuditSink>);
        audit.record(&[entry("ordered")]).expect("room");
        disk.full.store(true, Ordering::SeqCst);
        audit.must_hold(entry("erased"));
        assert!(audit.is_broken());
        assert!(audit.record(&[entry("refused")]).is_err());
        disk.full.store(false, Ordering::SeqCst);
        audit.record(&[entry("next")]).expect("room");
        audit.catch_up();
        assert!(!audit.is_broken());
        assert_eq!(*disk.lines.lock().expect("no panic"), ["ordered", "erased", "next"]);
    }
}
