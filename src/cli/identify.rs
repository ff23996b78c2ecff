//! `portcullis identify PROBE`: 1:N, over a folder in this process or in a running appliance.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;

use super::{
    Ended, Failure, Outcome, Scene, client, local, table,
    tell::{Ink, Tell},
};
use crate::{
    command::{Answer, Command, Decision, KeptBy, Papers, Request, Scope, Service, Terms},
    http::answer::DecisionAnswer,
    types::{GalleryId, Purpose, SubjectId},
};

/// Files and options.
#[derive(Args)]
#[command(after_help = "Examples:\n  portcullis identify --gallery-dir photos/ probe.jpg\n  \
                        portcullis identify --gallery staff probe.jpg")]
pub(super) struct Arguments {
    /// The live capture: a JPEG, JPEG 2000 or PNG file.
    probe: PathBuf,
    /// Search among the photographs of this folder, one subject per file, enrolled in memory and
    /// forgotten afterwards.
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "gallery",
        required_unless_present = "gallery"
    )]
    gallery_dir: Option<PathBuf>,
    /// Search this gallery of a running appliance.
    #[arg(long, value_name = "NAME")]
    gallery: Option<String>,
    /// Candidates returned at most.
    #[arg(long, default_value_t = 10)]
    best: usize,
    #[command(flatten)]
    server: client::Address,
}

pub(super) fn run(arguments: &Arguments, scene: &Scene<'_>) -> Outcome {
    match (&arguments.gallery_dir, &arguments.gallery) {
        (Some(folder), _) => in_folder(arguments, folder, scene),
        (None, Some(gallery)) => in_appliance(arguments, gallery, scene),
        (None, None) => Err(Failure::new("name --gallery-dir DIR or --gallery NAME")),
    }
}

fn in_folder(arguments: &Arguments, folder: &std::path::Path, scene: &Scene<'_>) -> Outcome {
    let probe = local::image(&arguments.probe)?;
    let files = local::photographs(folder)?;
    let appliance = local::appliance(scene)?;
    let gallery: GalleryId = "folder".parse()?;
    let create = Command::CreateGallery { gallery: gallery.clone(), kept_by: KeptBy::default() };
    local::perform(&appliance, scene, Purpose::Evaluation, create)?;
    let mut names = BTreeMap::new();
    let bar = scene.tell.progress("enrolling", files.len() as u64);
    for file in files {
        let command = Command::Enrol {
            gallery: gallery.clone(),
            subject: None,
            images: vec![local::image(&file)?],
            terms: Terms::default(),
            papers: Papers::default(),
        };
        let request = Request {
            callers: local::callers(scene, "command-line"),
            purpose: Purpose::Evaluation,
            deadline_ms: None,
            command,
        };
        match appliance.execute(request) {
            Ok(Answer::Enrolled { subject, .. }) => drop(names.insert(subject, file)),
            Ok(_) => {}
            Err(refusal) => bar.suspend(|| {
                scene.tell.note(format!("skipped {}: {refusal}", file.display()));
            }),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if names.is_empty() {
        return Err(Failure::new("no photograph of the folder could be enrolled"));
    }
    let scope = Scope { class_bits: u64::MAX, group: None, best: arguments.best };
    let command = Command::Identify { gallery, probe, scope, fmr: None };
    let decision = local::decide(&appliance, scene, Purpose::Evaluation, command)?;
    tell(&decision, &names, scene.tell);
    Ok(if decision.candidates.is_empty() { Ended::NoMatch } else { Ended::Done })
}

fn tell(decision: &Decision, names: &BTreeMap<SubjectId, PathBuf>, tell: Tell) {
    let name = |subject: &SubjectId| names.get(subject).map(|path| path.display().to_string());
    if tell.json {
        let files: BTreeMap<_, _> = decision
            .candidates
            .iter()
            .map(|candidate| (candidate.subject.to_string(), name(&candidate.subject)))
            .collect();
        let decision = DecisionAnswer::from(decision);
        return tell.document(&serde_json::json!({ "decision": decision, "files": files }));
    }
    for candidate in &decision.candidates {
        let similarity = candidate.score.similarity(decision.scale);
        let found = tell.ink(Ink::Good, "candidate");
        tell.line(format!(
            "{found} {similarity:>7.4}  {}",
            name(&candidate.subject).unwrap_or_default()
        ));
    }
    if decision.candidates.is_empty() {
        tell.line(tell.ink(Ink::Bad, "no candidate"));
    }
    tell.line(table::threshold(&decision.threshold));
    if let Some(held) = decision.certificate {
        tell.line(format!(
            "searched {} references exhaustively: {} at or above the threshold, {} ineligible, {} \
             proved below it, {} scored in full",
            held.rows_total, held.accepted, held.ineligible, held.pruned, held.rescored
        ));
    }
    table::attack(decision.attack, tell);
    table::verdict(decision, tell);
}

fn in_appliance(arguments: &Arguments, gallery: &str, scene: &Scene<'_>) -> Outcome {
    let gallery: GalleryId = gallery.parse()?;
    let probe = local::image(&arguments.probe)?;
    let server = client::Client::new(&arguments.server, &scene.config)?;
    let best = arguments.best.to_string();
    let form = client::Form::new()
        .text("purpose", "evaluation")
        .text("best", &best)
        .file("probe", probe.bytes());
    let answer = server.post_form(&format!("/v1/galleries/{gallery}/identify"), form)?;
    let none = Vec::new();
    let candidates = answer["candidates"].as_array().unwrap_or(&none);
    if scene.tell.json {
        scene.tell.document(&answer);
    } else {
        for candidate in candidates {
            scene.tell.line(format!(
                "{} {:>7.4}  {}",
                scene.tell.ink(Ink::Good, "candidate"),
                candidate["similarity"].as_f64().unwrap_or_default(),
                candidate["subject"].as_str().unwrap_or_default()
            ));
        }
        if candidates.is_empty() {
            scene.tell.line(scene.tell.ink(Ink::Bad, "no candidate"));
        }
        client::tell_verdict(&answer, scene.tell);
    }
    Ok(if candidates.is_empty() { Ended::NoMatch } else { Ended::Done })
}
