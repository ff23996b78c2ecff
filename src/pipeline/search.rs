//! The search stage: 1:1 scores, and 1:N searches folded to subjects.
//!
//! Transactions that wait together and search the same generation share one scan. A scan begins
//! with the newest generation; when a newer one was published meanwhile it is repeated, a bounded
//! number of times, and an answer that is still stale says so.
//!
//! A sealed gallery is opened tile by tile; of one whose plaintext may lie in memory the engine
//! keeps a set of its own (`resident.rs`).
//!
//! A gallery may disguise its templates ([`TileSource::transform`]); probes go through the same
//! transform here, and nowhere else. A match line hands over every probe that waits, up to
//! [`crate::limits::SEARCH_PROBES_MAX`], so that a burst is one scan; and there are several lines
//! ([`crate::limits::MATCH_LINES`]), so that probes that come while it runs join it in the backend.

use std::sync::Arc;

use super::{
    job::{Found, Goal, Job},
    resident,
    searcher::Searcher,
};
use crate::{
    backend::{Backend, BackendError},
    limits::{CANDIDATES_MAX, REFERENCES_PER_SUBJECT_MAX},
    ops::{
        search::{Probe, RowHits},
        tile::TileSource,
    },
    types::{Candidate, EngineFact, Score, SubjectId, Template},
};

/// How often a scan is repeated because the gallery changed under it.
const RESCANS_MAX: usize = 2;

/// Compares; one per match line.
#[derive(Clone)]
pub(super) struct Search {
    searcher: Arc<Searcher>,
}

impl Search {
    pub(super) fn new(searcher: Searcher) -> Self {
        Self { searcher: Arc::new(searcher) }
    }

    /// Fills in scores and candidates of every job that is sound and has a probe template.
    pub(super) fn step(&self, now_s: i64, jobs: &mut [Job]) {
        let engine = self.searcher.engine();
        for job in jobs.iter_mut().filter(|job| is_ready(job)) {
            if matches!(job.goal, Goal::Verify { .. }) {
                compare(engine.as_ref(), job);
            }
        }
        while let Some(first) = jobs.iter().find_map(wanted) {
            let source = Arc::clone(first);
            let mut together: Vec<&mut Job> = jobs
                .iter_mut()
                .filter(|job| wanted(job).is_some_and(|other| same(other, &source)))
                .collect();
            let engine = self.searcher.engine();
            let scanned = scan(&engine, now_s, &source, &together).or_else(|error| {
                let next = self.searcher.after(&engine, error)?;
                scan(&next, now_s, &source, &together)
            });
            match scanned {
                Ok((found, current)) => {
                    for (job, hits) in together.iter_mut().zip(found) {
                        job.found = Some(fold(&job.goal, &hits, current));
                    }
                }
                Err(error) => {
                    tracing::error!(%error, travellers = together.len(), "a search is referred");
                    together.iter_mut().for_each(|job| job.fail(EngineFact::Lost));
                }
            }
        }
    }
}

/// Searches the newest generation for all of them; says whether it still is the newest.
fn scan(
    engine: &Arc<dyn Backend>,
    now_s: i64,
    source: &Arc<dyn TileSource>,
    jobs: &[&mut Job],
) -> Result<(Vec<RowHits>, bool), BackendError> {
    let mut source = source.newer().unwrap_or_else(|| Arc::clone(source));
    let mut rescans = 0;
    loop {
        let templates = disguised(source.as_ref(), jobs)?;
        let probes: Vec<Probe<'_>> = jobs
            .iter()
            .enumerate()
            .filter_map(|(at, job)| {
                let probe = probe(job, now_s)?;
                Some(Probe { template: templates.get(at).unwrap_or(probe.template), ..probe })
            })
            .collect();
        // Let go of before the generation is.
        let hits = engine.search(&probes, &resident::tiles(engine, &source)?)?;
        match source.newer() {
            Some(newer) if rescans < RESCANS_MAX => source = newer,
            newer => return Ok((hits, newer.is_none())),
        }
        rescans += 1;
    }
}

/// 1:1 with every reference that has a template of the probe's kind.
fn compare(engine: &dyn Backend, job: &mut Job) {
    let (probe, references) = job.samples.split_at(1);
    let Some(probe) = &probe[0].template else {
        return;
    };
    let against = |reference: &Template| -> Option<Score> {
        probe.kind().accept(reference.kind()).ok()?;
        Some(engine.score(probe, reference))
    };
    let scores = references.iter().map(|sample| sample.template().and_then(against));
    job.scores.clear();
    job.scores.extend(scores); // into the place that was set aside for them
}

fn is_ready(job: &Job) -> bool {
    job.engine == EngineFact::Sound && job.probe().template.is_some()
}

/// The generation that a job still has to search.
fn wanted(job: &Job) -> Option<&Arc<dyn TileSource>> {
    match &job.goal {
        Goal::Identify { tiles, .. } if is_ready(job) && job.found.is_none() => Some(tiles),
        Goal::Identify { .. } | Goal::Template | Goal::Reference | Goal::Verify { .. } => None,
    }
}

/// Two snapshots are one when they lie in one place; galleries may share generation numbers.
fn same(one: &Arc<dyn TileSource>, other: &Arc<dyn TileSource>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

/// The probes' templates as `source` disguises its own, one per job; none where it does not. They
/// are wiped when they are dropped, and made anew for each generation, since a gallery may change
/// its transform with one.
fn disguised(source: &dyn TileSource, jobs: &[&mut Job]) -> Result<Vec<Template>, BackendError> {
    let Some(transform) = source.transform() else {
        return Ok(Vec::new());
    };
    let disguise = |template: &Template| {
        // Foreign kinds are refused before the values are looked at: they may differ in length.
        source.set().kind.accept(template.kind())?;
        let mut values = vec![0; template.values().len()].into_boxed_slice();
        transform.apply(template.values(), &mut values);
        Ok(Template::new(values, *template.kind())?)
    };
    jobs.iter().filter_map(|job| job.probe().template.as_ref()).map(disguise).collect()
}

fn probe(job: &Job, now_s: i64) -> Option<Probe<'_>> {
    let Goal::Identify { threshold, doubt_from, best, class_bits, group, .. } = &job.goal else {
        return None;
    };
    // One subject may fill as many rows as it has references. At least one row is asked for: the
    // decision needs to know whether there is a candidate, also when none is to be returned.
    let best = (*best).max(1).saturating_mul(REFERENCES_PER_SUBJECT_MAX).min(CANDIDATES_MAX);
    Some(Probe {
        template: job.probe().template.as_ref()?,
        threshold: doubt_from.map_or(threshold.score, |from| from.min(threshold.score)),
        best,
        class_bits: *class_bits,
        group: *group,
        now_s,
    })
}

/// Rows to subjects: the best row speaks, so the order stays score descending, row ascending. Who
/// leaves a doubt is counted and not named.
fn fold(goal: &Goal, hits: &RowHits, current: bool) -> Found {
    let (wanted, from) = match goal {
        Goal::Identify { best, threshold, .. } => (*best, threshold.score),
        Goal::Template | Goal::Reference | Goal::Verify { .. } => (0, Score(i32::MAX)),
    };
    let mut candidates: Vec<Candidate> = Vec::with_capacity(hits.hits.len());
    for hit in &hits.hits {
        let subject = SubjectId::from_bytes(hit.subject);
        if candidates.iter().all(|candidate| candidate.subject != subject) {
            candidates.push(Candidate { subject, row: hit.row, score: hit.score });
        }
    }
    let found = candidates.len();
    candidates.retain(|candidate| candidate.score >= from);
    let count = |held: usize| u32::try_from(held).unwrap_or(u32::MAX);
    let (subjects, doubtful) = (count(candidates.len()), count(found - candidates.len()));
    candidates.truncate(wanted);
    Found { candidates, subjects, doubtful, certificate: hits.certificate, current }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ops::search::RowHit, types::Threshold};

    fn goal(best: usize) -> Goal {
        let kind = crate::types::TemplateKind {
            model: crate::types::Hash256::from_bytes([1; 32]),
            calibration: crate::types::Hash256::from_bytes([2; 32]),
            dims: 4,
        };
        let layout = crate::ops::tile::TileLayout { dims: 4, hot_dims: 4, rows: 8 };
        let threshold =
            Threshold { score: Score(1), similarity: 0.1, fmr: 1e-4, basis: "a test".into() };
        Goal::Identify {
            tiles: crate::gallery::Gallery::in_memory(kind, layout).source(),
            threshold,
            doubt_from: None,
            best,
            class_bits: 1,
            group: None,
        }
    }

    #[test]
    fn the_best_reference_speaks_for_a_subject() {
        let hit = |row, score, subject| RowHit { row, score: Score(score), subject: [subject; 16] };
        let hits = RowHits {
            hits: vec![hit(4, 90, 1), hit(2, 80, 2), hit(9, 80, 1), hit(1, 70, 3)],
            ..RowHits::default()
        };
        let rows = |found: &Found| found.candidates.iter().map(|c| c.row).collect::<Vec<_>>();
        let all = fold(&goal(9), &hits, true);
        assert_eq!((rows(&all), all.subjects), (vec![4, 2, 1], 3));
        let one = fold(&goal(1), &hits, true);
        assert_eq!((rows(&one), one.subjects), (vec![4], 3));
        let none = fold(&goal(0), &hits, false);
        assert_eq!((rows(&none), none.subjects, none.current), (vec![], 3, false));
    }
}
