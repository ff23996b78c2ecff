//! The accuracy run: labelled pairs through the very appliance that was loaded, at its own
//! threshold. A fast answer that is wrong is worth nothing, so no report stands without this one.

use std::{fs, path::Path};

use portcullis::accuracy::{Report, Sample, rates::Lost};
use serde_json::Value;

use super::ask::Questions;
use crate::{Wrong, finder::form, served::ask};

/// What the run gave.
pub(crate) struct Accuracy {
    pub(crate) report: Report,
    /// Decisions that were wrong at the threshold in use.
    pub(crate) wrong: u64,
}

impl Accuracy {
    /// For the JSON.
    pub(crate) fn document(&self) -> Value {
        let report = serde_json::to_value(&self.report).unwrap_or(Value::Null);
        serde_json::json!({ "wrongDecisions": self.wrong, "report": report })
    }
}

/// Sends every pair of `pairs` (`file_a,file_b,same_person`, files beside the list).
///
/// # Errors
/// When the list does not read, a file is not there, or the appliance does not answer.
pub(crate) fn run(questions: &Questions, pairs: &Path) -> Result<Accuracy, Wrong> {
    let text = fs::read_to_string(pairs).map_err(|e| format!("{}: {e}", pairs.display()))?;
    let folder = pairs.parent().unwrap_or(Path::new("."));
    let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
    let mut lost = Lost { genuine: 0, impostor: 0 };
    let (mut wrong, mut in_use) = (0, None);
    for (number, line) in (1..).zip(text.lines()).skip(1) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let [a, b, same, ..] = cells.as_slice() else {
            return Err(
                format!("{}:{number}: not file_a,file_b,same_person", pairs.display()).into()
            );
        };
        let same = matches!(*same, "1" | "true");
        let document = verify(questions, &folder.join(a), &folder.join(b))?;
        let row = &document["comparisons"][0];
        let threshold = &document["threshold"];
        in_use = in_use.or(threshold["fmr"].as_f64().zip(threshold["similarity"].as_f64()));
        match row["similarity"].as_f64() {
            Some(similarity) => {
                wrong += u64::from((row["decision"] == "match") != same);
                if same { genuine.push(similarity) } else { impostor.push(similarity) }
            }
            None if same => lost.genuine += 1,
            None => lost.impostor += 1,
        }
    }
    let sample = Sample::new(genuine, impostor, lost)?;
    let in_use: Vec<(f64, f64)> = in_use.into_iter().collect();
    let name = pairs.display().to_string();
    Ok(Accuracy { report: Report::new(&name, &sample, &in_use, None), wrong })
}

fn verify(questions: &Questions, probe: &Path, reference: &Path) -> Result<Value, Wrong> {
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let (probe, reference) = (read(probe)?, read(reference)?);
    let files = [("probe", probe.as_slice()), ("reference", reference.as_slice())];
    let (kind, body) = form(&files, &[("purpose", "evaluation")]);
    let mut headers = questions.headers();
    headers.retain(|(name, _)| *name != "portcullis-deadline-ms");
    headers.push(("content-type", &kind));
    let answer = ask(questions.address, "POST", "/v1/verify", &headers, &body)?;
    let document: Value = serde_json::from_slice(&answer.body)?;
    if answer.status != 200 {
        return Err(format!("POST /v1/verify answered {}: {document}", answer.status).into());
    }
    Ok(document)
}
