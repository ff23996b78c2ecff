//! Error rates of a 1:N search: FPIR and FNIR at a threshold, over a split into gallery and probes.

use std::collections::HashMap;

use super::rates::{Rate, SampleError, at_or_above, sorted, threshold_at};

/// A split of labelled pictures into a gallery and probes; positions among the labels given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    /// Enrolled: the first picture of everybody who has several.
    pub gallery: Vec<usize>,
    /// Their other pictures: each should find its mate.
    pub mated: Vec<usize>,
    /// The pictures of everybody who has one only: none should find anybody.
    pub non_mated: Vec<usize>,
}

/// Splits pictures by whom they show, in the order given, so that a run can be repeated.
#[must_use]
pub fn split<Label: std::hash::Hash + Eq>(labels: &[Label]) -> Split {
    let mut pictures: HashMap<&Label, (usize, usize)> = HashMap::new();
    for (index, label) in labels.iter().enumerate() {
        pictures.entry(label).or_insert((index, 0)).1 += 1;
    }
    let mut split = Split::default();
    for (index, label) in labels.iter().enumerate() {
        match pictures[label] {
            (_, 1) => split.non_mated.push(index),
            (first, _) if first == index => split.gallery.push(index),
            _ => split.mated.push(index),
        }
    }
    split
}

/// Searches that could not be made, because the probe gave no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct LostSearches {
    /// Of persons in the gallery; also those whose reference could not be enrolled.
    pub mated: u64,
    /// Of persons not in the gallery.
    pub non_mated: u64,
}

/// Scores of the searches of one gallery.
#[derive(Debug, Clone, PartialEq)]
pub struct Identification {
    gallery: u64,
    mated: Vec<f64>,
    unlisted: u64,
    non_mated: Vec<f64>,
    lost: LostSearches,
}

impl Identification {
    /// Takes, for a gallery of `gallery` subjects, the score of the mate in each mated search
    /// (`None` where the candidate list did not hold the mate) and the best score of anybody in
    /// each non-mated search.
    ///
    /// # Errors
    /// [`SampleError`] when a score is not finite.
    pub fn new(
        gallery: u64,
        mated: &[Option<f64>],
        non_mated: Vec<f64>,
        lost: LostSearches,
    ) -> Result<Self, SampleError> {
        let listed: Vec<f64> = mated.iter().flatten().copied().collect();
        Ok(Self {
            gallery,
            unlisted: (mated.len() - listed.len()) as u64,
            mated: sorted(listed, "mated")?,
            non_mated: sorted(non_mated, "non-mated")?,
            lost,
        })
    }

    /// Subjects in the gallery.
    #[must_use]
    pub fn gallery(&self) -> u64 {
        self.gallery
    }

    /// Searches that could not be made.
    #[must_use]
    pub fn lost(&self) -> LostSearches {
        self.lost
    }

    /// False-negative identification rate: mated searches whose mate is missing at `threshold`.
    #[must_use]
    pub fn fnir(&self, threshold: f64) -> Rate {
        let Rate { errors: found, trials } = at_or_above(&self.mated, threshold);
        let trials = trials + self.unlisted;
        Rate { errors: trials - found, trials }
    }

    /// False-positive identification rate: non-mated searches that return anybody at `threshold`.
    #[must_use]
    pub fn fpir(&self, threshold: f64) -> Rate {
        at_or_above(&self.non_mated, threshold)
    }

    /// The least threshold at which the FPIR is at most `fpir`; `None` where there are too few
    /// non-mated searches to say.
    #[must_use]
    pub fn threshold_at_fpir(&self, fpir: f64) -> Option<f64> {
        threshold_at(&self.non_mated, fpir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_with_several_pictures_is_enrolled_once() {
        let split = split(&["a", "b", "a", "c", "a", "d", "d"]);
        assert_eq!(split.gallery, [0, 5]);
        assert_eq!(split.mated, [2, 4, 6]);
        assert_eq!(split.non_mated, [1, 3]);
        assert_eq!(super::split::<u8>(&[]), Split::default());
    }

    #[test]
    fn misses_are_mates_below_the_threshold_or_not_listed() {
        let lost = LostSearches { mated: 1, non_mated: 0 };
        let mated = [Some(0.7), None, Some(0.4), Some(0.5)];
        let searches = Identification::new(2, &mated, vec![0.1, 0.6], lost).expect("finite scores");
        assert_eq!(searches.fnir(0.5), Rate { errors: 2, trials: 4 });
        assert_eq!(searches.fpir(0.5), Rate { errors: 1, trials: 2 });
        assert_eq!(searches.fpir(0.61), Rate { errors: 0, trials: 2 });
        assert_eq!(searches.lost(), lost);
    }

    #[test]
    fn a_threshold_for_an_fpir_needs_enough_non_mated_searches() {
        let scores: Vec<f64> = (0..1_000).map(|i| f64::from(i) / 1_000.0).collect();
        let searches = Identification::new(10, &[Some(0.999)], scores, LostSearches::default())
            .expect("finite scores");
        assert_eq!(searches.threshold_at_fpir(0.001), None);
        let threshold = searches.threshold_at_fpir(0.01).expect("1,000 searches");
        assert_eq!(searches.fpir(threshold), Rate { errors: 10, trials: 1_000 });
        assert_eq!(searches.fnir(threshold), Rate { errors: 0, trials: 1 });
    }
}
