//! Which rows were given out so recently that somebody still holds a generation from before: an
//! erasure of such a row need not wait for those.
//!
//! Kept as runs, and only for as long as an older generation is held, so that it stays small: one
//! run per batch of newcomers.

/// A run of rows and the first generation that held them.
struct Run {
    first: u64,
    end: u64,
    generation: u64,
}

#[derive(Default)]
pub(super) struct Recent {
    runs: Vec<Run>,
}

impl Recent {
    /// Notes rows that `generation` gave out, in ascending order.
    pub(super) fn note(&mut self, rows: impl Iterator<Item = u64>, generation: u64) {
        for row in rows {
            match self.runs.last_mut() {
                Some(run) if run.end == row && run.generation == generation => run.end += 1,
                _ => self.runs.push(Run { first: row, end: row + 1, generation }),
            }
        }
    }

    /// Forgets what does not matter any more: nobody holds a generation before `oldest`.
    pub(super) fn prune(&mut self, oldest: u64) {
        self.runs.retain(|run| run.generation > oldest);
    }

    /// Forgets everything: rows have moved.
    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }

    /// A generation before which nobody held the row.
    pub(super) fn since(&self, row: u64) -> u64 {
        let holds = |run: &&Run| (run.first..run.end).contains(&row);
        self.runs.iter().rev().find(holds).map_or(0, |run| run.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_giving_counts_until_nobody_holds_an_older_generation() {
        let mut recent = Recent::default();
        recent.note(5..9, 3);
        recent.note([2, 6].into_iter(), 7);
        assert_eq!([2, 5, 6, 9].map(|row| recent.since(row)), [7, 3, 7, 0]);
        recent.prune(3);
        assert_eq!([2, 5, 6].map(|row| recent.since(row)), [7, 0, 7]);
        recent.clear();
        assert_eq!(recent.since(6), 0);
    }
}
