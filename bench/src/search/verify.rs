//! Our own answers, before anything is timed: against the scalar meaning, and against each other.

use portcullis::{
    limits::CANDIDATES_MAX,
    ops::{
        search::{RowHits, scan},
        tile::TileSource,
    },
    types::Template,
};

use super::{Engine, Scene, probes};
use crate::fail::Failure;

/// Probes that the oracle answers as well; it is a plain loop.
const ORACLE_PROBES: usize = 4;

/// Answers of `engine` to all probes, `moved` into its gallery's own space, with as many candidates
/// as a search returns. The first are the oracle's over the rows as they were drawn; one by one and
/// all together they are the same; every certificate holds.
pub(super) fn against_the_oracle(
    scene: &Scene<'_>,
    engine: &Engine<'_>,
    moved: &[Template],
) -> Result<Vec<RowHits>, Failure> {
    let wide = probes(moved, scene.threshold, CANDIDATES_MAX);
    let answers = engine.backend.search(&wide, &engine.tiles)?;
    let few = ORACLE_PROBES.min(wide.len());
    let drawn = probes(&scene.drawn.templates[..few], scene.threshold, CANDIDATES_MAX);
    let oracle =
        scan(&drawn, scene.plain.as_ref()).map_err(|error| Failure::Backend(error.into()))?;
    equal("our engine and the oracle", &answers[..few], &oracle, CANDIDATES_MAX)?;
    for &batch in &scene.options.batch {
        equal("batches of our engine", &engine.answers(batch)?, &answers, scene.options.best)?;
    }
    let mates = scene.drawn.mates.iter().zip(&answers);
    let found = mates.clone().filter(|(mate, answer)| {
        mate.is_some_and(|row| answer.hits.first().is_some_and(|hit| hit.row == row))
    });
    let (found, all) = (found.count(), mates.filter(|(mate, _)| mate.is_some()).count());
    println!("- {found} of {all} mated probes have their mate first");
    Ok(answers)
}

/// Refuses answers whose first `best` hits or counts differ, and certificates that do not hold.
pub(crate) fn equal(
    who: &str,
    held: &[RowHits],
    expected: &[RowHits],
    best: usize,
) -> Result<(), Failure> {
    for (probe, (held, expected)) in held.iter().zip(expected).enumerate() {
        let rows = |answer: &RowHits| -> Vec<(u64, i32)> {
            answer.hits.iter().take(best).map(|hit| (hit.row, hit.score.0)).collect()
        };
        let counts = |answer: &RowHits| {
            let held = answer.certificate;
            (held.rows_total, held.ineligible, held.accepted)
        };
        let same = rows(held) == rows(expected) && counts(held) == counts(expected);
        if !same || !held.certificate.holds() {
            return Err(Failure::Differs(format!("{who}, probe {probe}: answers differ")));
        }
    }
    Ok(())
}

/// The probes in the space of a gallery that keeps its rows in one of its own.
pub(super) fn moved(scene: &Scene<'_>, source: &dyn TileSource) -> Result<Vec<Template>, Failure> {
    let kind = scene.crowd.calibration.kind();
    let moved = scene.drawn.templates.iter().map(|template| {
        let mut values = template.values().to_vec();
        if let Some(transform) = source.transform() {
            transform.apply(template.values(), &mut values);
        }
        Template::new(values.into(), kind).map_err(|error| Failure::Crowd(error.to_string()))
    });
    moved.collect()
}
