//! The accuracy run: labelled pairs through the very appliance that was loaded, at its own
//! threshold. A fast answer that is wrong is worth nothing, so every report says what this run came
//! to, or that there was none ([`Checked`]).
//!
//! Without a list of pairs it takes every two of the photographs that the load was made of: few,
//! but the ones that were sent.

use std::{fs, path::Path};

use portcullis::accuracy::{Report, Sample, rates::Lost};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ask::Questions;
use crate::{Wrong, finder::form, served::Answer};

/// Whether the answers of a run were checked, and what that came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Checked {
    /// They were.
    #[serde(rename_all = "camelCase")]
    Run {
        /// Decisions that were wrong at the threshold in use.
        wrong_decisions: u64,
        /// Rates, as [`Report`] has them.
        report: Value,
    },
    /// They were not.
    None {
        /// Why.
        why: String,
    },
}

impl Checked {
    /// One line for a table; loud where nothing was checked.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Run { wrong_decisions, report } => format!(
                "accuracy: {wrong_decisions} wrong of {} genuine and {} impostor comparisons at \
                 the threshold in use ({})",
                report["genuine"],
                report["impostor"],
                report["data_set"].as_str().unwrap_or("unnamed"),
            ),
            Self::None { why } => {
                format!("NO ACCURACY RUN: nothing says that these answers are right ({why})")
            }
        }
    }

    /// Whether answers were checked, and none was wrong.
    pub(crate) fn is_right(&self) -> bool {
        matches!(self, Self::Run { wrong_decisions: 0, .. })
    }

    /// Of what several processes found, the worst; none at all is worse than any.
    pub(crate) fn worst<'a>(all: impl Iterator<Item = &'a Self>) -> Option<&'a Self> {
        all.max_by_key(|one| match one {
            Self::Run { wrong_decisions, .. } => *wrong_decisions,
            Self::None { .. } => u64::MAX,
        })
    }
}

/// Comparisons so far.
#[derive(Default)]
struct Found {
    genuine: Vec<f64>,
    impostor: Vec<f64>,
    lost: Lost,
    wrong: u64,
    in_use: Option<(f64, f64)>,
}

impl Found {
    fn take(&mut self, document: &Value, same: bool) {
        let row = &document["comparisons"][0];
        let threshold = &document["threshold"];
        let in_use = threshold["fmr"].as_f64().zip(threshold["similarity"].as_f64());
        self.in_use = self.in_use.or(in_use);
        match row["similarity"].as_f64() {
            Some(similarity) => {
                self.wrong += u64::from((row["decision"] == "match") != same);
                if same { self.genuine.push(similarity) } else { self.impostor.push(similarity) }
            }
            None if same => self.lost.genuine += 1,
            None => self.lost.impostor += 1,
        }
    }

    fn checked(self, name: &str) -> Result<Checked, Wrong> {
        if self.genuine.len() + self.impostor.len() == 0 {
            return Err(format!("{name}: no comparison was made").into());
        }
        let sample = Sample::new(self.genuine, self.impostor, self.lost)?;
        let in_use: Vec<(f64, f64)> = self.in_use.into_iter().collect();
        let report = serde_json::to_value(Report::new(name, &sample, &in_use, None))?;
        Ok(Checked::Run { wrong_decisions: self.wrong, report })
    }
}

/// Sends every pair of `pairs` (`file_a,file_b,same_person`, files beside the list); without a
/// list, every two of the photographs. What stops the latter is told in place of a result.
///
/// # Errors
/// When the list does not read, a file is not there, or the appliance does not answer it.
pub(crate) fn run(questions: &Questions, pairs: Option<&Path>) -> Result<Checked, Wrong> {
    match pairs {
        Some(list) => of_list(questions, list),
        None => Ok(of_photographs(questions)
            .unwrap_or_else(|wrong| Checked::None { why: wrong.to_string() })),
    }
}

fn of_photographs(questions: &Questions) -> Result<Checked, Wrong> {
    let mut found = Found::default();
    for (number, pair) in questions.pairs().iter().enumerate() {
        found.take(&decided(&questions.verify(number)?)?, pair.genuine);
    }
    found.checked("the photographs of the load, each with each")
}

fn of_list(questions: &Questions, pairs: &Path) -> Result<Checked, Wrong> {
    let text = fs::read_to_string(pairs).map_err(|e| format!("{}: {e}", pairs.display()))?;
    let folder = pairs.parent().unwrap_or(Path::new("."));
    let mut found = Found::default();
    for (number, line) in (1..).zip(text.lines()).skip(1) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let [a, b, same, ..] = cells.as_slice() else {
            return Err(
                format!("{}:{number}: not file_a,file_b,same_person", pairs.display()).into()
            );
        };
        let same = matches!(*same, "1" | "true");
        found.take(&verify(questions, &folder.join(a), &folder.join(b))?, same);
    }
    found.checked(&pairs.display().to_string())
}

fn verify(questions: &Questions, probe: &Path, reference: &Path) -> Result<Value, Wrong> {
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let (probe, reference) = (read(probe)?, read(reference)?);
    let files = [("probe", probe.as_slice()), ("reference", reference.as_slice())];
    let (kind, body) = form(&files, &[("purpose", "evaluation")]);
    let mut headers = questions.headers();
    headers.retain(|(name, _)| *name != "portcullis-deadline-ms");
    headers.push(("content-type", &kind));
    decided(&questions.target.ask("POST", "/v1/verify", &headers, &body)?)
}

fn decided(answer: &Answer) -> Result<Value, Wrong> {
    let document: Value = serde_json::from_slice(&answer.body)?;
    if answer.status != 200 {
        return Err(format!("POST /v1/verify answered {}: {document}", answer.status).into());
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(decision: &str, similarity: f64) -> Value {
        serde_json::json!({
            "comparisons": [{ "decision": decision, "similarity": similarity }],
            "threshold": { "fmr": 1e-4, "similarity": 0.3 },
        })
    }

    #[test]
    fn a_wrong_decision_is_counted_and_told() {
        let mut found = Found::default();
        found.take(&comparison("match", 0.6), true);
        found.take(&comparison("match", 0.4), false);
        found.take(&serde_json::json!({ "comparisons": [{}] }), true);
        let checked = found.checked("two").expect("compared");
        let line = checked.line();
        assert!(line.contains("1 wrong of 1 genuine and 1 impostor"), "{line}");
        assert!(line.contains("(two)") && !checked.is_right(), "{line}");
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let report = serde_json::json!({ "genuine": 3 });
        let run = Checked::Run { wrong_decisions: 2, report };
        for checked in [run, Checked::None { why: "refused".to_owned() }] {
            let text = serde_json::to_string(&checked).expect("plain values");
            assert_eq!(serde_json::from_str::<Checked>(&text).expect("as written"), checked);
        }
    }

    #[test]
    fn what_was_not_checked_is_told_loudly_and_is_never_right() {
        let none = Checked::None { why: "refused".to_owned() };
        assert!(none.line().starts_with("NO ACCURACY RUN") && none.line().contains("refused"));
        assert!(!none.is_right());
        assert!(Found::default().checked("nothing").is_err(), "no pair is no accuracy run");
        let right = |wrong_decisions| Checked::Run { wrong_decisions, report: Value::Null };
        assert!(right(0).is_right());
        let all = [right(0), none.clone(), right(3)];
        assert_eq!(Checked::worst(all.iter()), Some(&none));
        assert_eq!(Checked::worst(all[..1].iter()), Some(&right(0)));
    }
}
