//! One comparison, 1:1: the same op, alone.

use std::hint::black_box;

use portcullis::{ops::score::score, types::Template};

use super::{Options, crowd::Crowd, report::Report};
use crate::{
    fail::Failure,
    spent::{Measured, nanoseconds},
};

/// Templates that take turns: more than a first-level cache holds.
const TEMPLATES: usize = 512;
/// Comparisons of one measurement.
const COMPARISONS: usize = 100_000;

/// Times it.
pub(super) fn measure(dims: usize, options: &Options, report: &mut Report) -> Result<(), Failure> {
    let crowd = Crowd::new(dims, None, options.seed)?;
    let probes = crowd.probes(TEMPLATES, TEMPLATES)?;
    let at = |number: usize| -> &Template { &probes.templates[number % TEMPLATES] };
    let mut measured = Measured::default();
    for _ in 0..if options.smoke { 1 } else { options.rounds } {
        let spent = nanoseconds(|| {
            for number in 0..COMPARISONS {
                let (probe, reference) = (at(number), at(7 * number + 1));
                black_box(score(black_box(probe.values()), black_box(reference.values())));
            }
        });
        measured.extend([spent]);
    }
    report.one_to_one(dims, measured.median_ms() * 1e6 / COMPARISONS as f64);
    Ok(())
}
