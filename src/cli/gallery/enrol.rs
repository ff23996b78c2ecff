//! `gallery enrol`: subjects from photographs, through the models, or from templates.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Bench, Ended, Failure, Outcome, Scene, Target, templates};
use crate::{
    cli::local,
    command::{Answer, Command, Papers, Refusal, Request, Service, Terms},
    limits::REFERENCES_PER_SUBJECT_MAX,
    types::{Action, Purpose},
};

/// Whom to enrol, and on what terms.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("source").required(true))]
#[command(after_help = "A templates file has one JSON object per line:\n  \
    {\"subject\":\"<32 hexadecimal digits>\",\"template\":{\"values\":\"<base64>\",\
    \"model\":\"<sha256>\",\"calibration\":\"<sha256>\"}}\n\
    with `template` as POST /v1/embed hands it out, and classes, group, notBefore, expiry where \
    they differ from the options. Neighbouring lines of one subject are its references.")]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    pub(super) target: Target,
    /// Photographs: each file of the folder is a subject; each folder in it is one, too, with up to
    /// 4 photographs.
    #[arg(long, value_name = "DIR", group = "source")]
    images: Option<PathBuf>,
    /// Templates: a file of JSON lines.
    #[arg(long, value_name = "FILE", group = "source")]
    templates: Option<PathBuf>,
    /// Begin at this line of the templates: where an earlier run has stopped, as it said.
    #[arg(long, value_name = "LINE", default_value_t = 1, requires = "templates")]
    from_line: u64,
    /// Make the gallery first where it is not there.
    #[arg(long)]
    create: bool,
    /// Classes they are in, 0 to 63, such as 0,3.
    #[arg(long, value_name = "CLASSES", value_delimiter = ',', default_value = "0",
        value_parser = clap::value_parser!(u8).range(0..64))]
    classes: Vec<u8>,
    /// A group such as a flight; 0 for none.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    group: u32,
    /// First second (UTC) at which they may be found; without it, now.
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    not_before: Option<i64>,
    /// First second (UTC) at which they may not be found any more; without it, never.
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    expiry: Option<i64>,
}

impl Arguments {
    fn terms(&self) -> Terms {
        Terms {
            class_bits: self.classes.iter().fold(0, |bits, class| bits | 1 << class),
            group: self.group,
            not_before_s: self.not_before,
            expiry_s: self.expiry.unwrap_or(i64::MAX),
        }
    }
}

pub(super) fn run(arguments: &Arguments, scene: &Scene<'_>) -> Outcome {
    let bench = Bench::new(&arguments.target, scene)?;
    if arguments.create && !bench.located.path.exists() {
        let create = || bench.offline.create(&bench.located).map_err(Failure::from);
        drop(bench.carried_out(Action::CreateGallery, create)?);
    }
    match (&arguments.images, &arguments.templates) {
        (Some(folder), _) => from_images(arguments, folder, bench),
        (None, Some(file)) => {
            let gallery = bench.gallery(None)?;
            let terms = arguments.terms().at(bench.offline.now_s());
            let from = (file.as_path(), arguments.from_line);
            let enrolled = templates::enrol(&bench, &gallery, from, terms)?;
            tell(&bench, enrolled.subjects, enrolled.references, &[]);
            Ok(Ended::Done)
        }
        (None, None) => Err(Failure::new("name --images DIR or --templates FILE")),
    }
}

/// The photographs of each subject: a file alone, or a folder's.
fn subjects(folder: &Path) -> Result<Vec<Vec<PathBuf>>, Failure> {
    let unreadable = |error| Failure::new(format!("{} cannot be read: {error}", folder.display()));
    let mut subjects = Vec::new();
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    match local::photographs(folder) {
        Ok(files) => subjects.extend(files.into_iter().map(|file| vec![file])),
        Err(failure) if folders.is_empty() => return Err(failure),
        Err(_) => {}
    }
    for folder in folders {
        let files = local::photographs(&folder)?;
        if files.len() > REFERENCES_PER_SUBJECT_MAX {
            return Err(Failure::new(format!(
                "{} holds {} photographs; a subject has at most {REFERENCES_PER_SUBJECT_MAX}",
                folder.display(),
                files.len()
            )));
        }
        subjects.push(files);
    }
    Ok(subjects)
}

/// Through an appliance of this process that serves this gallery alone: the same detection, the
/// same rules for a usable face and the same audit as an enrolment by the API.
fn from_images(arguments: &Arguments, folder: &Path, bench: Bench<'_>) -> Outcome {
    let subjects = subjects(folder)?;
    let appliance = local::appliance(bench.scene)?;
    let name = bench.located.name.clone();
    appliance.install(name.clone(), bench.gallery(None)?)?;
    let tell_by = bench.scene.tell;
    let bar = tell_by.progress("enrolling", subjects.len() as u64);
    let (mut enrolled, mut references, mut skipped) = (0_u64, 0_u64, Vec::new());
    for files in &subjects {
        let images: Result<Vec<_>, Failure> = files.iter().map(|file| local::image(file)).collect();
        let command = Command::Enrol {
            gallery: name.clone(),
            subject: None,
            images: images?,
            terms: arguments.terms(),
            papers: Papers::default(),
        };
        let callers = local::callers(bench.scene, "command-line");
        let purpose = Purpose::Evaluation;
        let request = Request { callers, purpose, deadline_ms: None, command };
        let file = files.first().map(|file| file.display().to_string()).unwrap_or_default();
        match appliance.execute(request) {
            Ok(Answer::Enrolled { subject, .. }) => {
                enrolled += 1;
                references += files.len() as u64;
                bar.suspend(|| {
                    if !tell_by.json {
                        tell_by.line(format!("{subject}  {file}"));
                    }
                });
            }
            Ok(_) => {}
            Err(refusal @ (Refusal::Image { .. } | Refusal::Capture { .. })) => {
                bar.suspend(|| tell_by.note(format!("skipped {file}: {refusal}")));
                skipped.push(file);
            }
            // Anything else is not about the photograph: the next one would meet it as well.
            Err(refusal) => return Err(refusal.into()),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    appliance.stop();
    if enrolled == 0 {
        return Err(Failure::new("no photograph of the folder could be enrolled"));
    }
    tell(&bench, enrolled, references, &skipped);
    Ok(Ended::Done)
}

fn tell(bench: &Bench<'_>, subjects: u64, references: u64, skipped: &[String]) {
    let tell = bench.scene.tell;
    let name = bench.located.name.as_str();
    if tell.json {
        tell.document(&serde_json::json!({
            "gallery": name,
            "subjects": subjects,
            "references": references,
            "skipped": skipped,
        }));
    } else {
        let skipped = match skipped.len() {
            0 => String::new(),
            count => format!("; {count} were skipped"),
        };
        tell.line(format!(
            "enrolled {subjects} subjects with {references} references in {name}{skipped}"
        ));
    }
}
