//! `portcullis models add`: files that somebody brought, recognised by what they hold.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Workplace, keep, prepare};
use crate::{
    appliance::models::folder,
    cli::{Ended, Failure, Outcome, Scene},
    limits::MODEL_BYTES_MAX,
    model::defaults::KNOWN,
    types::Hash256,
};

/// Recognises each file, and then places them all or none.
pub(super) fn run(files: &[PathBuf], scene: &Scene<'_>) -> Outcome {
    let mut known = Vec::new();
    for file in files {
        let bytes = read(file)?;
        let held = Hash256::of(&bytes);
        let Some(model) = KNOWN.iter().find(|model| model.sha256 == held) else {
            return Err(Failure::new(format!(
                "{} has SHA-256 {held}, which is no model that `portcullis models list` knows; name \
                 a model of your own in the configuration (`portcullis config`)",
                file.display()
            )));
        };
        known.push((model, bytes));
    }
    let target = folder(scene.environment)?;
    prepare(&target)?;
    let work = Workplace::inside(&target)?;
    for (model, bytes) in known {
        let kept = keep(&bytes, &work.0, &target.join(model.file))?;
        if scene.tell.json {
            let (kept, role) = (kept.display().to_string(), model.role.to_string());
            scene.tell.document(&serde_json::json!({ "added": kept, "role": role }));
        } else {
            scene.tell.line(format!("{}: {}", model.role, kept.display()));
        }
    }
    Ok(Ended::Done)
}

/// A file that is not larger than a model may be; the size is asked before memory is taken.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |error| Failure::new(format!("{} cannot be read: {error}", file.display()));
    let held = fs::metadata(file).map_err(unreadable)?.len();
    if held > MODEL_BYTES_MAX {
        let shown = file.display();
        let text = format!("{shown} has {held} bytes; a model has at most {MODEL_BYTES_MAX}");
        return Err(Failure::new(text));
    }
    fs::read(file).map_err(unreadable)
}
