//! Error rates of a 1:1 comparison at a threshold, and thresholds for a rate.

use serde::Serialize;

/// Thresholds are multiples of 1 / this.
pub(super) const THRESHOLD_STEPS: f64 = 10_000.0;
/// The 97.5th percentile of the standard normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;

/// So many errors in so many trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// Trials that went wrong.
    pub errors: u64,
    /// All trials.
    pub trials: u64,
}

impl Rate {
    /// The share, `None` without a trial.
    #[must_use]
    pub fn value(self) -> Option<f64> {
        (self.trials > 0).then(|| self.errors as f64 / self.trials as f64)
    }

    /// Wilson's 95 % interval, `None` without a trial.
    #[must_use]
    pub fn interval_95(self) -> Option<[f64; 2]> {
        let (share, n) = (self.value()?, self.trials as f64);
        let z2 = Z_95 * Z_95;
        let middle = share + z2 / (2.0 * n);
        let half = Z_95 * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
        let whole = 1.0 + z2 / n;
        // At the ends the formula gives 0 and 1 up to rounding.
        let low = if self.errors == 0 { 0.0 } else { (middle - half) / whole };
        let high = if self.errors == self.trials { 1.0 } else { (middle + half) / whole };
        Some([low, high])
    }
}

/// How well a sample supports a statement about a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// Fewer than 3 / rate trials: nothing can be said.
    Insufficient,
    /// At least 3 / rate, fewer than 30 / rate: a figure, but a thin one.
    Thin,
    /// At least 30 / rate.
    Sound,
}

impl Support {
    /// What `trials` support about `rate`.
    #[must_use]
    pub fn of(rate: f64, trials: u64) -> Self {
        if trials < trials_needed(3.0, rate) {
            Self::Insufficient
        } else if trials < trials_needed(30.0, rate) {
            Self::Thin
        } else {
            Self::Sound
        }
    }
}

/// Trials that the rule of 3 asks for.
#[must_use]
pub fn rule_of_3(rate: f64) -> u64 {
    trials_needed(3.0, rate)
}

fn trials_needed(rule: f64, rate: f64) -> u64 {
    // A rate such as 1e-3 is not a binary number; a millionth of a trial is no reason for one more.
    (rule / rate - 1e-6).ceil() as u64
}

/// Why scores are not a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// A score is not a number or infinite.
    #[error("{kind} score {index} is not a finite number")]
    NotFinite {
        /// `genuine`, `impostor`, `mated`, `non-mated` or `presentation`.
        kind: &'static str,
        /// Position among the scores of that kind.
        index: usize,
    },
}

/// Comparisons that could not be made, because a picture gave no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Lost {
    /// Of the same person with themselves.
    pub genuine: u64,
    /// Of different persons.
    pub impostor: u64,
}

/// Scores of one evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    genuine: Vec<f64>,
    impostor: Vec<f64>,
    lost: Lost,
}

/// The point where FMR and FNMR are equal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EqualError {
    /// The common rate, interpolated.
    pub rate: f64,
    /// The threshold at or just above the crossing.
    pub threshold: f64,
}

impl Sample {
    /// Takes the scores of completed comparisons, in any order, and the count of those lost.
    ///
    /// # Errors
    /// [`SampleError`] when a score is not finite.
    pub fn new(genuine: Vec<f64>, impostor: Vec<f64>, lost: Lost) -> Result<Self, SampleError> {
        let (genuine, impostor) = (sorted(genuine, "genuine")?, sorted(impostor, "impostor")?);
        Ok(Self { genuine, impostor, lost })
    }

    /// Scores of genuine comparisons, ascending.
    #[must_use]
    pub fn genuine(&self) -> &[f64] {
        &self.genuine
    }

    /// Scores of impostor comparisons, ascending.
    #[must_use]
    pub fn impostor(&self) -> &[f64] {
        &self.impostor
    }

    /// Comparisons that could not be made.
    #[must_use]
    pub fn lost(&self) -> Lost {
        self.lost
    }

    /// False match rate: completed impostor comparisons at or above `threshold`.
    #[must_use]
    pub fn fmr(&self, threshold: f64) -> Rate {
        at_or_above(&self.impostor, threshold)
    }

    /// False non-match rate: completed genuine comparisons below `threshold`.
    #[must_use]
    pub fn fnmr(&self, threshold: f64) -> Rate {
        let Rate { errors: matches, trials } = at_or_above(&self.genuine, threshold);
        Rate { errors: trials - matches, trials }
    }

    /// False accept rate of the system: as FMR, over all impostor attempts, lost ones included.
    #[must_use]
    pub fn far(&self, threshold: f64) -> Rate {
        let fmr = self.fmr(threshold);
        Rate { trials: fmr.trials + self.lost.impostor, ..fmr }
    }

    /// False reject rate of the system: a genuine attempt that was lost is a rejection.
    #[must_use]
    pub fn frr(&self, threshold: f64) -> Rate {
        let (fnmr, lost) = (self.fnmr(threshold), self.lost.genuine);
        Rate { errors: fnmr.errors + lost, trials: fnmr.trials + lost }
    }

    /// The least threshold at which the FMR is at most `fmr`; `None` where the impostor comparisons
    /// are too few to say ([`Support::Insufficient`]) or `fmr` is not between 0 and 1.
    #[must_use]
    pub fn threshold_at_fmr(&self, fmr: f64) -> Option<f64> {
        threshold_at(&self.impostor, fmr)
    }

    /// The equal error rate, `None` unless there are comparisons of both kinds.
    ///
    /// Rates are taken just above every score that occurs; between the last point where FNMR < FMR
    /// and the first where FNMR ≥ FMR the curve is a straight line, and the rate is where that line
    /// meets FMR = FNMR.
    #[must_use]
    pub fn equal_error(&self) -> Option<EqualError> {
        if self.genuine.is_empty() || self.impostor.is_empty() {
            return None;
        }
        let mut before = (1.0, 0.0);
        for point in self.points() {
            let (fmr, fnmr) = (point.fmr, point.fnmr);
            if fnmr >= fmr {
                let (gap_before, gap_after) = (before.0 - before.1, fnmr - fmr);
                let along = gap_before / (gap_before + gap_after);
                let rate = before.1 + along * (fnmr - before.1);
                return Some(EqualError { rate, threshold: just_above(point.score) });
            }
            before = (fmr, fnmr);
        }
        None
    }

    /// Rates just above every distinct score, ascending.
    pub(super) fn points(&self) -> impl Iterator<Item = Point> + '_ {
        let mut scores: Vec<f64> = self.genuine.iter().chain(&self.impostor).copied().collect();
        scores.sort_unstable_by(f64::total_cmp);
        scores.dedup();
        scores.into_iter().map(|score| Point {
            score,
            fmr: 1.0 - at_or_below(&self.impostor, score),
            fnmr: at_or_below(&self.genuine, score),
        })
    }
}

/// Rates for a threshold just above a score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) score: f64,
    pub(super) fmr: f64,
    pub(super) fnmr: f64,
}

pub(super) fn sorted(mut scores: Vec<f64>, kind: &'static str) -> Result<Vec<f64>, SampleError> {
    if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
        return Err(SampleError::NotFinite { kind, index });
    }
    scores.sort_unstable_by(f64::total_cmp);
    Ok(scores)
}

/// Of ascending `scores`, how many are at or above `threshold`.
pub(super) fn at_or_above(scores: &[f64], threshold: f64) -> Rate {
    let below = scores.partition_point(|&score| score < threshold);
    Rate { errors: (scores.len() - below) as u64, trials: scores.len() as u64 }
}

/// The least threshold that at most `rate` of the ascending `scores` reach.
pub(super) fn threshold_at(scores: &[f64], rate: f64) -> Option<f64> {
    if !(rate > 0.0 && rate < 1.0)
        || Support::of(rate, scores.len() as u64) == Support::Insufficient
    {
        return None;
    }
    let allowed = (rate * scores.len() as f64 + 1e-9) as usize;
    // One more than allowed would reach a threshold at this score, so it lies just above.
    scores.iter().rev().nth(allowed).map(|&score| just_above(score))
}

/// The least threshold of four decimals that `score` does not reach.
fn just_above(score: f64) -> f64 {
    let at = (score * THRESHOLD_STEPS).floor() / THRESHOLD_STEPS;
    if at > score { at } else { ((score * THRESHOLD_STEPS).floor() + 1.0) / THRESHOLD_STEPS }
}

fn at_or_below(scores: &[f64], score: f64) -> f64 {
    scores.partition_point(|&other| other <= score) as f64 / scores.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(genuine: &[f64], impostor: &[f64]) -> Sample {
        Sample::new(genuine.to_vec(), impostor.to_vec(), Lost::default()).expect("finite scores")
    }

    /// 0.000, 0.001 … below 1.
    fn ramp(count: usize) -> Vec<f64> {
        (0..count).map(|i| i as f64 / count as f64).collect()
    }

    #[test]
    fn a_score_at_the_threshold_is_a_match() {
        let sample = sample(&[0.5, 0.4, 0.6], &[0.1, 0.5]);
        assert_eq!(sample.fmr(0.5), Rate { errors: 1, trials: 2 });
        assert_eq!(sample.fnmr(0.5), Rate { errors: 1, trials: 3 });
        assert_eq!(sample.fmr(0.500_1), Rate { errors: 0, trials: 2 });
        assert_eq!(sample.fnmr(-1.0), Rate { errors: 0, trials: 3 });
    }

    #[test]
    fn what_was_lost_counts_in_the_systems_rates_only() {
        let lost = Lost { genuine: 2, impostor: 5 };
        let sample = Sample::new(vec![0.9, 0.1], vec![0.1, 0.8], lost).expect("finite scores");
        assert_eq!(sample.fnmr(0.5), Rate { errors: 1, trials: 2 });
        assert_eq!(sample.frr(0.5), Rate { errors: 3, trials: 4 });
        assert_eq!(sample.fmr(0.5), Rate { errors: 1, trials: 2 });
        assert_eq!(sample.far(0.5), Rate { errors: 1, trials: 7 });
    }

    #[test]
    fn a_threshold_keeps_its_fmr_and_the_next_lower_one_does_not() {
        let sample = sample(&[0.9], &ramp(1_000));
        for fmr in [0.5, 0.1, 0.01, 0.003] {
            let threshold = sample.threshold_at_fmr(fmr).expect("enough comparisons");
            assert!(sample.fmr(threshold).value().expect("trials") <= fmr);
            let lower = threshold - 1.0 / THRESHOLD_STEPS;
            assert!(sample.fmr(lower).value().expect("trials") > fmr, "{fmr}: {threshold}");
        }
        assert_eq!(sample.threshold_at_fmr(0.01), Some(0.989_1));
        for nonsense in [0.0, 1.0, -1.0, f64::NAN] {
            assert_eq!(sample.threshold_at_fmr(nonsense), None);
        }
    }

    #[test]
    fn equal_scores_at_the_threshold_are_all_kept_out() {
        let sample = sample(&[0.9], &[0.3; 400]);
        let threshold = sample.threshold_at_fmr(0.01).expect("enough comparisons");
        assert_eq!(sample.fmr(threshold), Rate { errors: 0, trials: 400 });
        assert_eq!(threshold, 0.300_1);
    }

    #[test]
    fn the_rules_of_3_and_30_decide_what_may_be_said() {
        for (fmr, needed) in [(1e-2, 300), (1e-3, 3_000), (1e-4, 30_000), (1e-6, 3_000_000)] {
            assert_eq!(rule_of_3(fmr), needed);
            assert_eq!(Support::of(fmr, needed - 1), Support::Insufficient);
            assert_eq!(Support::of(fmr, needed), Support::Thin);
            assert_eq!(Support::of(fmr, needed * 10 - 1), Support::Thin);
            assert_eq!(Support::of(fmr, needed * 10), Support::Sound);
        }
        assert_eq!(sample(&[0.9], &ramp(299)).threshold_at_fmr(1e-2), None);
        assert!(sample(&[0.9], &ramp(300)).threshold_at_fmr(1e-2).is_some());
    }

    #[test]
    fn equal_error_is_interpolated_on_the_curve() {
        // Apart: nothing is wrong between them.
        let apart = sample(&[0.8, 0.9], &[0.1, 0.2]).equal_error().expect("both kinds");
        assert_eq!((apart.rate, apart.threshold), (0.0, 0.200_1));
        // Exchanged: everything is wrong.
        assert_eq!(sample(&[0.1], &[0.9]).equal_error().expect("both kinds").rate, 1.0);
        // The same scores on both sides: a coin.
        let coin = sample(&ramp(100), &ramp(100)).equal_error().expect("both kinds");
        assert!((coin.rate - 0.5).abs() < 1e-12);
        // One of four genuine below, one of two impostors above: from (1/2, 0) to (1/2, 1/4) to
        // (0, 1/4); FNMR passes FMR on the last stretch, at 1/4.
        let mixed = sample(&[0.3, 0.7, 0.8, 0.9], &[0.1, 0.5]).equal_error().expect("both kinds");
        assert_eq!((mixed.rate, mixed.threshold), (0.25, 0.500_1));
        // From (1/2, 0) straight to (0, 1): they meet at 1/3.
        let slanted = sample(&[0.5], &[0.1, 0.5]).equal_error().expect("both kinds");
        assert!((slanted.rate - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(sample(&[], &[0.1]).equal_error(), None);
        assert_eq!(sample(&[0.1], &[]).equal_error(), None);
    }

    #[test]
    fn intervals_are_wilsons() {
        let [low, high] = Rate { errors: 0, trials: 100 }.interval_95().expect("trials");
        assert_eq!(low, 0.0);
        assert!((high - 0.036_994).abs() < 1e-5, "{high}");
        let [low, high] = Rate { errors: 10, trials: 100 }.interval_95().expect("trials");
        assert!((low - 0.055_229).abs() < 1e-5 && (high - 0.174_366).abs() < 1e-5, "{low} {high}");
        assert_eq!(Rate { errors: 0, trials: 0 }.value(), None);
    }

    #[test]
    fn scores_that_are_no_numbers_are_refused() {
        assert_eq!(
            Sample::new(vec![0.1, f64::NAN], vec![], Lost::default()),
            Err(SampleError::NotFinite { kind: "genuine", index: 1 })
        );
    }
}
