//! One call of `search`, from joining a scan to its answer.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Bell, needle::Needle, parts::Bytes, stock::Stock};
use crate::{
    backend::{BackendError, cpu::NAME},
    ops::{
        search::{RowHit, RowHits},
        tile::TilePart,
    },
    types::Certificate,
};

/// A caller, its probes and what the threads have found for them.
pub(super) struct Rider {
    /// The generation that its answer names.
    pub(super) stock: Stock,
    /// Its probes.
    pub(super) needles: Vec<Needle>,
    /// Per thread, one per probe: no thread waits for another.
    pub(super) tallies: Vec<Mutex<Vec<RowHits>>>,
    /// Wakes it.
    pub(super) bell: Arc<dyn Bell>,
}

impl Rider {
    /// Ready to join.
    pub(super) fn new(
        stock: Stock,
        needles: Vec<Needle>,
        threads: usize,
        bell: Arc<dyn Bell>,
    ) -> Self {
        let blank = |needle: &Needle| RowHits {
            hits: Vec::with_capacity(needle.best),
            certificate: Certificate::default(),
        };
        let tallies =
            (0..threads).map(|_| Mutex::new(needles.iter().map(blank).collect())).collect();
        Self { stock, needles, tallies, bell }
    }

    /// What all threads have found together, with subjects, and proved to be complete.
    pub(super) fn answers(&self) -> Result<Vec<RowHits>, BackendError> {
        let set = self.stock.set();
        let whole = Certificate {
            generation: set.generation,
            rows_total: set.rows(),
            ..Certificate::default()
        };
        let mut answers: Vec<RowHits> = self
            .needles
            .iter()
            .map(|needle| RowHits { hits: Vec::with_capacity(needle.best), certificate: whole })
            .collect();
        for tallies in &self.tallies {
            let tallies = tallies.lock().unwrap_or_else(PoisonError::into_inner);
            for ((answer, tally), needle) in answers.iter_mut().zip(&*tallies).zip(&self.needles) {
                add(answer, tally, needle.best);
            }
        }
        for answer in &answers {
            let counts = answer.certificate;
            debug_assert!(counts.holds(), "{counts:?}");
            if !counts.holds() {
                let why = format!("a scan's counts do not add up: {counts:?}");
                return Err(BackendError::Lost { what: NAME, why });
            }
        }
        self.name_subjects(&mut answers)?;
        Ok(answers)
    }

    /// Fills in whose rows were found; a tile's row table is opened once.
    fn name_subjects(&self, answers: &mut [RowHits]) -> Result<(), BackendError> {
        let mut hits: Vec<&mut RowHit> =
            answers.iter_mut().flat_map(|answer| &mut answer.hits).collect();
        hits.sort_unstable_by_key(|hit| hit.row);
        let rows = self.stock.set().layout.rows as u64;
        let mut scratch = Bytes::default();
        for tile in hits.chunk_by_mut(|one, other| one.row / rows == other.row / rows) {
            let number = tile[0].row / rows;
            let mut table = self.stock.part(number as usize, TilePart::Rows, &mut scratch);
            let table = table.rows()?;
            for hit in tile {
                hit.subject = table[(hit.row % rows) as usize].subject;
            }
        }
        Ok(())
    }
}

fn add(answer: &mut RowHits, tally: &RowHits, best: usize) {
    let (sum, more) = (&mut answer.certificate, &tally.certificate);
    sum.ineligible += more.ineligible;
    sum.accepted += more.accepted;
    sum.pruned += more.pruned;
    sum.rescored += more.rescored;
    for &hit in &tally.hits {
        answer.keep(hit, best);
    }
}
