//! Galleries of people who do not exist, for demonstrations, tests and load: as many as wanted,
//! from one seed, spread like the embeddings that the calibration was measured on.
//!
//! Each person has one photograph here ([`People::strangers`]), which becomes a template like every
//! other; the calibration gives its statistics in the rotated space, where templates live. What a
//! synthetic gallery says about accuracy, and what not, stands with [`People`].

use super::{Enrolment, Gallery, GalleryError};
use crate::{
    model::{Calibration, CalibrationError, NotCovariance, People},
    random::SeededEntropy,
    types::SubjectId,
};

/// Persons per published generation.
const BLOCK_ROWS: usize = 4096;

/// Why no synthetic gallery was made.
#[derive(Debug, thiserror::Error)]
pub enum SyntheticError {
    /// The calibration carries no statistics.
    #[error(
        "the calibration has no population statistics; use one that has, or enrol real templates"
    )]
    NoPopulation,
    /// The statistics are not those of anything.
    #[error(transparent)]
    Covariance(#[from] NotCovariance),
    /// The statistics give embeddings that are none.
    #[error(transparent)]
    Embedding(#[from] CalibrationError),
    /// The gallery refused.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
}

/// Enrols `rows` synthetic persons with one reference each, and tells `progress` how many are in.
///
/// # Errors
/// [`SyntheticError`]; persons that were told of by `progress` then stay.
pub fn fill(
    gallery: &Gallery,
    calibration: &Calibration,
    rows: u64,
    seed: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<(), SyntheticError> {
    let people = People::new(calibration.population().ok_or(SyntheticError::NoPopulation)?)?;
    let entropy = SeededEntropy::new(seed);
    let mut samples = vec![0.0; BLOCK_ROWS * people.dims()];
    let mut done = 0;
    while done < rows {
        let block = usize::try_from(rows - done).unwrap_or(BLOCK_ROWS).min(BLOCK_ROWS);
        let samples = &mut samples[..block * people.dims()];
        people.strangers(&entropy, samples);
        let newcomers: Vec<_> = samples
            .chunks_exact(people.dims())
            .zip(done..)
            .map(|(sample, person)| {
                let template = calibration.rotated_template(sample)?;
                Ok((name(seed, person), vec![template], Enrolment::default()))
            })
            .collect::<Result<_, SyntheticError>>()?;
        gallery.enrol_all(&newcomers)?;
        done += block as u64;
        progress(done);
    }
    Ok(())
}

/// A subject id that says what it is: `synt`, the seed's last 32 bits, the person's number.
fn name(seed: u64, person: u64) -> SubjectId {
    let mut id = *b"synt\0\0\0\0\0\0\0\0\0\0\0\0";
    id[4..8].copy_from_slice(&seed.to_be_bytes()[4..]);
    id[8..].copy_from_slice(&person.to_be_bytes());
    SubjectId::from_bytes(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::score::score;

    fn filled(rows: u64, seed: u64, progress: &mut dyn FnMut(u64)) -> Gallery {
        let calibration = Calibration::sface_128();
        let gallery = Gallery::in_memory(calibration.kind(), calibration.layout());
        fill(&gallery, &calibration, rows, seed, progress).expect("room");
        gallery
    }

    /// Templates as they were enrolled: no two galleries store them alike.
    fn templates(gallery: &Gallery, seed: u64, persons: u64) -> Vec<Vec<i8>> {
        let of = |person| gallery.templates_of(name(seed, person), 0).expect("enrolled");
        (0..persons).map(|person| of(person)[0].values().to_vec()).collect()
    }

    #[test]
    fn one_seed_is_one_gallery() {
        let make = |seed| {
            let mut told = Vec::new();
            let gallery = filled(5_000, seed, &mut |done| told.push(done));
            assert_eq!(told, [4096, 5000]);
            assert_eq!(gallery.stats().subjects, 5_000);
            templates(&gallery, seed, 40)
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }

    #[test]
    fn strangers_score_low_and_nobody_is_out_of_range() {
        let rows = templates(&filled(128, 3, &mut |_| {}), 3, 128);
        assert!(!rows.concat().contains(&i8::MIN));
        let own = score(&rows[0], &rows[0]).0;
        let mean = rows[1..].iter().map(|row| score(&rows[0], row).0).sum::<i32>() / 127;
        let scale = Calibration::sface_128().scale();
        assert!(own as f32 > 0.7 * scale * scale && mean.abs() < own / 4, "{own}, {mean}");
    }
}
