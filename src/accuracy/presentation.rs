//! ISO/IEC 30107-3 statistics of presentation attack detection: APCER, BPCER, APNRR, BPNRR.
//!
//! A presentation is classified as an attack when its score is **at or above** the threshold.
//!
//! * APCER: share of attack presentations that pass as bona fide, for **one** species of attack
//!   instruments at a time (print, replay, …). A detector is as good as its worst species; a mean
//!   over species is no figure of the standard and is not computed.
//! * BPCER: share of bona fide presentations that are classified as attacks.
//! * APNRR, BPNRR: presentations that the system did not respond to, here because no usable face
//!   was found. They are told beside the rates and enter none of them.
//! * BPCER at an APCER: at the highest threshold that keeps the APCER of every species at or below
//!   it. Offered only where every species has at least 3 / APCER presentations (the rule of 3).
//!
//! Absent: the half of the sum of both (ACER), which the standard withdrew; the impostor attack
//! presentation rates of a whole system (IAPAR), which need its comparison subsystem.

use std::fmt;

use serde::Serialize;

use super::rates::{Rate, SampleError, THRESHOLD_STEPS, rule_of_3, sorted};

/// The rates at which the standard's reports usually tell the BPCER (BPCER10, BPCER20, BPCER100).
const APCERS: [f64; 3] = [0.1, 0.05, 0.01];

/// Presentations of one kind: bona fide ones, or those with one species of attack instruments.
#[derive(Debug, Clone, PartialEq)]
pub struct Presentations {
    name: String,
    scores: Vec<f64>,
    unanswered: u64,
}

impl Presentations {
    /// Takes the scores (0 bona fide, 1 attack) in any order, and how many presentations gave none.
    ///
    /// # Errors
    /// [`SampleError`] when a score is not finite.
    pub fn new(name: &str, scores: Vec<f64>, unanswered: u64) -> Result<Self, SampleError> {
        let scores = sorted(scores, "presentation")?;
        Ok(Self { name: name.to_owned(), scores, unanswered })
    }

    /// What they are.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Presentations without a score, of all (APNRR or BPNRR).
    #[must_use]
    pub fn non_response(&self) -> Rate {
        let trials = self.scores.len() as u64 + self.unanswered;
        Rate { errors: self.unanswered, trials }
    }

    /// Classified as attacks at `threshold`.
    #[must_use]
    pub fn as_attack(&self, threshold: f64) -> Rate {
        let below = self.scores.partition_point(|&score| score < threshold) as u64;
        let trials = self.scores.len() as u64;
        Rate { errors: trials - below, trials }
    }

    /// Classified as bona fide at `threshold`.
    #[must_use]
    pub fn as_bona_fide(&self, threshold: f64) -> Rate {
        let Rate { errors, trials } = self.as_attack(threshold);
        Rate { errors: trials - errors, trials }
    }

    /// The highest threshold at which at most a share of `apcer` passes; `None` where there are too
    /// few presentations to speak about that rate.
    fn threshold_at(&self, apcer: f64) -> Option<f64> {
        let trials = self.scores.len() as u64;
        if trials < rule_of_3(apcer) {
            return None;
        }
        // A rate such as 0.05 is not a binary number; a millionth of a trial is no reason for less.
        let may_pass = (apcer * trials as f64 + 1e-6).floor() as usize;
        let highest = self.scores.get(may_pass).copied().unwrap_or(1.0);
        Some((highest * THRESHOLD_STEPS).floor() / THRESHOLD_STEPS)
    }
}

/// APCER of one species, or what is known of bona fide presentations.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassRow {
    /// The species, or the name of the bona fide set.
    pub name: String,
    /// Presentations that were classified wrongly (APCER or BPCER).
    pub classification_error: Rate,
    /// Presentations that were not classified (APNRR or BPNRR).
    pub non_response: Rate,
}

/// BPCER where no species passes more often than a given rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkingPoint {
    /// The APCER that no species exceeds.
    pub apcer: f64,
    /// Where that is; `None` where a species has too few presentations to say.
    pub found: Option<FoundPoint>,
}

/// A threshold and its BPCER.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundPoint {
    /// The threshold.
    pub threshold: f64,
    /// Bona fide presentations that are classified as attacks there.
    pub bpcer: Rate,
}

/// What an evaluation says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PresentationReport {
    /// The threshold that the rates below hold at.
    pub threshold: f64,
    /// Bona fide presentations: BPCER and BPNRR.
    pub bona_fide: ClassRow,
    /// Each species: APCER and APNRR.
    pub attacks: Vec<ClassRow>,
    /// The species with the highest APCER; `None` where no attack was scored.
    pub worst: Option<String>,
    /// BPCER at an APCER of 10 %, 5 % and 1 % of the worst species.
    pub working_points: Vec<WorkingPoint>,
}

impl PresentationReport {
    /// The rates at `threshold`, and the threshold's alternatives.
    #[must_use]
    pub fn new(bona_fide: &Presentations, attacks: &[Presentations], threshold: f64) -> Self {
        let row = |held: &Presentations, classification_error| ClassRow {
            name: held.name.clone(),
            classification_error,
            non_response: held.non_response(),
        };
        let species = attacks.iter().map(|held| row(held, held.as_bona_fide(threshold)));
        let species: Vec<ClassRow> = species.collect();
        let apcer = |row: &ClassRow| row.classification_error.value();
        let worst = species.iter().filter(|row| apcer(row).is_some());
        let worst = worst
            .max_by(|a, b| apcer(a).unwrap_or_default().total_cmp(&apcer(b).unwrap_or_default()));
        let working_points = APCERS.map(|apcer| {
            let thresholds: Option<Vec<f64>> =
                attacks.iter().map(|held| held.threshold_at(apcer)).collect();
            let lowest = thresholds.and_then(|held| held.into_iter().min_by(f64::total_cmp));
            let found = lowest
                .map(|threshold| FoundPoint { threshold, bpcer: bona_fide.as_attack(threshold) });
            WorkingPoint { apcer, found }
        });
        Self {
            threshold,
            bona_fide: row(bona_fide, bona_fide.as_attack(threshold)),
            worst: worst.map(|row| row.name.clone()),
            attacks: species,
            working_points: working_points.to_vec(),
        }
    }
}

impl fmt::Display for PresentationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "at a threshold of {:.4} (a score at or above it is an attack):",
            self.threshold
        )?;
        let row = |row: &ClassRow, error: &str, non_response: &str| {
            format!(
                "  {error} {:<24} {}; {non_response} {}",
                row.name,
                shown(row.classification_error),
                shown(row.non_response)
            )
        };
        writeln!(f, "{}", row(&self.bona_fide, "BPCER", "BPNRR"))?;
        for species in &self.attacks {
            writeln!(f, "{}", row(species, "APCER", "APNRR"))?;
        }
        match &self.worst {
            Some(worst) => {
                writeln!(f, "  the worst species is {worst}; its APCER is the detector's")?
            }
            None => writeln!(f, "  no attack was scored: nothing is known of the APCER")?,
        }
        for point in &self.working_points {
            let apcer = point.apcer * 100.0;
            match point.found {
                Some(FoundPoint { threshold, bpcer }) => writeln!(
                    f,
                    "BPCER at an APCER of {apcer} %: {} at a threshold of {threshold:.4}",
                    shown(bpcer)
                )?,
                None => writeln!(
                    f,
                    "BPCER at an APCER of {apcer} %: insufficient data, every species needs {} \
                     presentations",
                    rule_of_3(point.apcer)
                )?,
            }
        }
        write!(
            f,
            "Intervals are Wilson's, 95 %, and take presentations as independent; those of one \
             person or one instrument are not."
        )
    }
}

/// A rate with its interval and its counts.
fn shown(rate: Rate) -> String {
    match (rate.value(), rate.interval_95()) {
        (Some(value), Some([low, high])) => format!(
            "{:.2} % [{:.2}, {:.2}] ({} of {})",
            value * 100.0,
            low * 100.0,
            high * 100.0,
            rate.errors,
            rate.trials
        ),
        _ => "no presentation".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(name: &str, count: usize, unanswered: u64) -> Presentations {
        // 0, 1 / count, …: one score in each step.
        let scores = (0..count).map(|at| at as f64 / count as f64).collect();
        Presentations::new(name, scores, unanswered).expect("finite")
    }

    #[test]
    fn a_score_at_the_threshold_is_an_attack() {
        let held = Presentations::new("print", vec![0.5, 0.2, 0.9], 1).expect("finite");
        assert_eq!(held.as_attack(0.5), Rate { errors: 2, trials: 3 });
        assert_eq!(held.as_bona_fide(0.5), Rate { errors: 1, trials: 3 });
        assert_eq!(held.as_bona_fide(0.50001), Rate { errors: 2, trials: 3 });
        assert_eq!(held.non_response(), Rate { errors: 1, trials: 4 });
        assert!(Presentations::new("print", vec![f64::NAN], 0).is_err());
    }

    #[test]
    fn the_worst_species_speaks_for_the_detector() {
        let bona_fide = Presentations::new("live", vec![0.1, 0.2, 0.6, 0.4], 0).expect("finite");
        let print = Presentations::new("print", vec![0.9; 4], 0).expect("finite");
        let replay = Presentations::new("replay", vec![0.9, 0.4], 0).expect("finite");
        let mask = Presentations::new("mask", Vec::new(), 3).expect("finite");
        let report = PresentationReport::new(&bona_fide, &[print, replay, mask], 0.5);
        assert_eq!(report.worst.as_deref(), Some("replay"));
        assert_eq!(report.bona_fide.classification_error, Rate { errors: 1, trials: 4 });
        assert_eq!(report.attacks[1].classification_error, Rate { errors: 1, trials: 2 });
        assert!(report.working_points.iter().all(|point| point.found.is_none()), "too few to say");
        let text = report.to_string();
        for part in ["APCER replay", "50.00 %", "insufficient data", "APNRR 100.00 %"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let none = PresentationReport::new(&bona_fide, &[], 0.5);
        assert!(none.to_string().contains("nothing is known"), "{none}");
    }

    #[test]
    fn working_points_keep_every_species_within_the_rate() {
        let (bona_fide, print) = (spread("live", 1_000, 0), spread("print", 300, 0));
        let easy = Presentations::new("easy", vec![0.99; 300], 0).expect("finite");
        let report = PresentationReport::new(&bona_fide, &[print.clone(), easy.clone()], 0.5);
        for (point, apcer) in report.working_points.iter().zip(APCERS) {
            let found = point.found.expect("300 presentations speak about 1 %");
            for species in [&print, &easy] {
                let held = species.as_bona_fide(found.threshold).value().expect("trials");
                assert!(held <= apcer, "{held} at {}", found.threshold);
            }
            // One step higher, more of the worst species would pass.
            let beyond = print.as_bona_fide(found.threshold + 0.004).value().expect("trials");
            assert!(beyond > apcer, "{beyond} is still within {apcer}");
            assert_eq!(found.bpcer, bona_fide.as_attack(found.threshold));
        }
        let few = spread("few", 59, 0);
        let report = PresentationReport::new(&bona_fide, &[few], 0.5);
        let offered = report.working_points.iter().map(|point| point.found.is_some());
        assert_eq!(offered.collect::<Vec<_>>(), [true, false, false], "59 of the 60 for 5 %");
    }
}
