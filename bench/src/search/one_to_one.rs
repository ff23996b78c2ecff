//! One comparison, 1:1, by the engine that searches, as the appliance compares.

use std::hint::black_box;

use portcullis::{
    backend::{Backend, cpu::Cpu},
    types::Template,
};

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
    // Behind the trait, as the appliance holds it.
    let engine: Box<dyn Backend> = Box::new(Cpu::new(1)?);
    let crowd = Crowd::new(dims, None, options.seed)?;
    let probes = crowd.probes(TEMPLATES, TEMPLATES)?;
    let at = |number: usize| -> &Template { &probes.templates[number % TEMPLATES] };
    let mut measured = Measured::default();
    for _ in 0..if options.smoke { 1 } else { options.rounds } {
        let spent = nanoseconds(|| {
            for number in 0..COMPARISONS {
                let (probe, reference) = (at(number), at(7 * number + 1));
                black_box(engine.score(black_box(probe), black_box(reference)));
            }
        });
        measured.extend([spent]);
    }
    report.one_to_one(dims, measured.median_ms() * 1e6 / COMPARISONS as f64);
    Ok(())
}
