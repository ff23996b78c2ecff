//! `portcullis gallery …`: work on a gallery's file while no appliance serves it.
//!
//! A gallery is named as the appliance names it, or by the path of its file. A file that an
//! appliance holds is refused with that process's id: stop it, or use its API. What is done here is
//! in the audit as well. With `site.profile` set, whatever puts references in, takes them out or
//! hands them out is the appliance's alone: no law is asked here.

mod carry;
mod change;
mod enrol;
mod look;
mod templates;

use clap::{Args, Subcommand};

use super::{Ended, Failure, Outcome, Scene, local};
use crate::{
    appliance::offline::{Located, Offline},
    gallery::{Gallery, GalleryError, Receipt, Residency},
    types::{Action, Selection, SubjectId},
};

/// What to do with a gallery's file.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Make an empty gallery.
    Create(Target),
    /// Open a gallery and tell how long that took: the proof that file, keys and lock limit fit.
    Open(look::OpenArguments),
    /// Add subjects: from photographs, or from templates.
    Enrol(enrol::Arguments),
    /// Erase subjects, a group, classes, what began before a time, what has expired, or everybody.
    Erase(change::EraseArguments),
    /// Keep a subject out of every search and comparison (GDPR Art. 18), or lift that.
    Restrict(change::RestrictArguments),
    /// Move a subject to another group.
    Regroup(change::RegroupArguments),
    /// Read every tile, check every tag; exit code 2 when anything is wrong.
    Verify(Target),
    /// Erase whoever is in tiles that do not open, so that everybody else can be changed again.
    Mend(Target),
    /// Tell how much a gallery holds, and what destroying its keys covers.
    Stats(Target),
    /// Let rows that hold nobody fall away.
    Compact(Target),
    /// Begin a new epoch: the key of the old one is destroyed, and older copies of the file with
    /// it.
    Rotate(Target),
    /// Draw a new transform and write every template anew: templates of before do not compare.
    Rekey(Target),
    /// Destroy every key of a gallery, and remove its file: nobody in it, and no copy of it, can be
    /// read any more.
    Delete(Target),
    /// Write a gallery to a file that only the recipient's age key opens.
    Export(carry::ExportArguments),
    /// Make a gallery of an exported file.
    Import(carry::ImportArguments),
}

/// Which gallery.
#[derive(Args)]
pub(super) struct Target {
    /// Name of the gallery (in gallery.directory), or the path of its file.
    #[arg(value_name = "GALLERY")]
    gallery: String,
}

/// The workplace with one gallery of it located.
struct Bench<'a> {
    offline: Offline,
    located: Located,
    scene: &'a Scene<'a>,
}

impl<'a> Bench<'a> {
    fn new(target: &Target, scene: &'a Scene<'a>) -> Result<Self, Failure> {
        let offline = Offline::open(&scene.config, scene.environment, local::world())?;
        let located = offline.locate(&target.gallery)?;
        Ok(Self { offline, located, scene })
    }

    fn gallery(&self, residency: Option<Residency>) -> Result<Gallery, Failure> {
        let opened = self
            .shown("opening", |progress| self.offline.gallery(&self.located, residency, progress));
        Ok(opened?)
    }

    /// What a gallery answered, with its file's name where it refused.
    fn told<T>(&self, told: Result<T, GalleryError>) -> Result<T, Failure> {
        Ok(told.map_err(|error| self.offline.failed(&self.located, error))?)
    }

    /// Does one act between its order and its result in the audit; `receipt` finds what was erased
    /// in what the act answered.
    fn audited<T>(
        &self,
        action: Action,
        meant: (Option<SubjectId>, Option<Selection>),
        act: impl FnOnce() -> Result<T, GalleryError>,
        receipt: impl FnOnce(&T) -> Option<&Receipt>,
    ) -> Result<T, Failure> {
        let ordered = self.offline.ordered(&self.located, action, meant)?;
        match act() {
            Ok(done) => {
                self.offline.done(ordered, receipt(&done))?;
                Ok(done)
            }
            Err(error) => {
                self.offline.not_done(ordered, &error);
                Err(self.offline.failed(&self.located, error).into())
            }
        }
    }

    /// Does one act that erases nothing and is more than a call of a gallery (files are made or
    /// read as well) between its order and its result in the audit.
    fn carried_out<T>(
        &self,
        action: Action,
        act: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let ordered = self.offline.ordered(&self.located, action, (None, None))?;
        match act() {
            Ok(done) => {
                self.offline.done(ordered, None)?;
                Ok(done)
            }
            Err(failure) => {
                self.offline.stopped(ordered, &failure.0);
                Err(failure)
            }
        }
    }

    /// Runs `work` under a progress bar on standard error.
    fn shown<T>(&self, what: &'static str, work: impl FnOnce(&mut dyn FnMut(u64, u64)) -> T) -> T {
        let bar = self.scene.tell.progress(what, 0);
        let done = work(&mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        done
    }
}

/// What a site does in its appliance alone.
struct Barred<'a> {
    target: &'a Target,
    action: Action,
    instead: &'static str,
}

impl Verb {
    /// Whether the verb is barred at a site: it puts references in, takes them out, hands them out
    /// or makes others find them. Looking and keys are not, nor is `mend`: what it erases nobody
    /// can read any more, and no call of the API does it.
    fn barred(&self) -> Option<Barred<'_>> {
        let (target, action, instead) = match self {
            Self::Create(target) => {
                (target, Action::CreateGallery, "ask the appliance: POST /v1/galleries")
            }
            Self::Enrol(enrol::Arguments { target, .. }) => {
                (target, Action::Enrol, "ask the appliance: POST /v1/galleries/{gallery}/subjects")
            }
            Self::Erase(change::EraseArguments { target, .. }) => (
                target,
                Action::Erase,
                "ask the appliance: DELETE /v1/galleries/{gallery}/subjects/{subject}, or POST \
                 /v1/galleries/{gallery}/erase for many",
            ),
            Self::Restrict(change::RestrictArguments { target, .. }) => (
                target,
                Action::Restrict,
                "ask the appliance: PUT /v1/galleries/{gallery}/subjects/{subject}/restriction",
            ),
            Self::Regroup(change::RegroupArguments { target, .. }) => (
                target,
                Action::Regroup,
                "ask the appliance: PUT /v1/galleries/{gallery}/subjects/{subject}/group",
            ),
            Self::Delete(target) => {
                (target, Action::DeleteGallery, "ask the appliance: DELETE /v1/galleries/{gallery}")
            }
            Self::Export(carry::ExportArguments { target, .. }) => (
                target,
                Action::ExportGallery,
                "two persons must order an export, and a command line is one: no call hands out a \
                 site's references",
            ),
            Self::Import(carry::ImportArguments { target, .. }) => (
                target,
                Action::CreateGallery,
                "whoever is to be found here is enrolled here, with consent or ground: POST \
                 /v1/galleries/{gallery}/subjects",
            ),
            Self::Open(_)
            | Self::Verify(_)
            | Self::Mend(_)
            | Self::Stats(_)
            | Self::Compact(_)
            | Self::Rotate(_)
            | Self::Rekey(_) => return None,
        };
        Some(Barred { target, action, instead })
    }
}

/// Refuses what a site does in its appliance alone.
fn allowed(verb: &Verb, scene: &Scene<'_>) -> Result<(), Failure> {
    let barred = verb.barred().filter(|_| scene.config.site.is_chosen());
    let Some(Barred { target, action, instead }) = barred else { return Ok(()) };
    let bench = Bench::new(target, scene)?;
    Err(bench.offline.refuse(&bench.located, action, instead).into())
}

pub(super) fn run(verb: &Verb, scene: &Scene<'_>) -> Outcome {
    allowed(verb, scene)?;
    match verb {
        Verb::Create(target) => create(&Bench::new(target, scene)?),
        Verb::Open(arguments) => look::open(arguments, scene),
        Verb::Enrol(arguments) => enrol::run(arguments, scene),
        Verb::Erase(arguments) => change::erase(arguments, scene),
        Verb::Restrict(arguments) => change::restrict(arguments, scene),
        Verb::Regroup(arguments) => change::regroup(arguments, scene),
        Verb::Verify(target) => look::verify(&Bench::new(target, scene)?),
        Verb::Mend(target) => change::mend(&Bench::new(target, scene)?),
        Verb::Stats(target) => look::stats(&Bench::new(target, scene)?),
        Verb::Compact(target) => change::compact(&Bench::new(target, scene)?),
        Verb::Rotate(target) => change::rotate(&Bench::new(target, scene)?),
        Verb::Rekey(target) => change::rekey(&Bench::new(target, scene)?),
        Verb::Delete(target) => change::delete(&Bench::new(target, scene)?),
        Verb::Export(arguments) => carry::export(arguments, scene),
        Verb::Import(arguments) => carry::import(arguments, scene),
    }
}

fn create(bench: &Bench<'_>) -> Outcome {
    let make = || bench.offline.create(&bench.located).map_err(Failure::from);
    let gallery = bench.carried_out(Action::CreateGallery, make)?;
    let tell = bench.scene.tell;
    let path = bench.located.path.display();
    if tell.json {
        tell.document(&serde_json::json!({
            "gallery": bench.located.name.as_str(),
            "path": path.to_string(),
            "generation": gallery.stats().generation,
        }));
    } else {
        tell.line(format!("created {path}"));
        tell.line(look::custody(bench));
    }
    Ok(Ended::Done)
}
