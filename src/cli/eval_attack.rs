//! `portcullis eval-attack`: what the configured presentation attack detector is worth on labelled
//! pictures, by the rules of [`crate::accuracy::presentation`].
//!
//! A folder of bona fide captures, and a folder with one folder per species of attack instruments.
//! Every picture passes the detector alone, without comparison or policy. Pictures without a usable
//! face are counted as not responded to, never dropped in silence.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Ended, Failure, Outcome, Scene, finder::Finder, local};
use crate::{
    accuracy::presentation::{PresentationReport, Presentations},
    appliance::{
        self,
        models::{self, AttackModels},
    },
    backend::Network,
    document::image,
    face::attack::AttackDetector,
    ops::program::Feed,
};

/// Folders and options.
#[derive(Args)]
pub(super) struct Arguments {
    /// A folder of bona fide captures: living people in front of the camera.
    bona_fide: PathBuf,
    /// A folder with one folder per species of attack instruments, or of one species' pictures.
    attacks: PathBuf,
    /// Another threshold than the configured one.
    #[arg(long)]
    threshold: Option<f64>,
}

pub(super) fn run(arguments: &Arguments, scene: &Scene<'_>) -> Outcome {
    let threshold = arguments.threshold.unwrap_or(f64::from(scene.config.policy.attack_threshold));
    if !(threshold > 0.0 && threshold <= 1.0) {
        return Err(Failure::new("a threshold is above 0 and at most 1"));
    }
    let bona_fide = local::photographs(&arguments.bona_fide)?;
    let species = species(&arguments.attacks)?;
    let mut judge = Judge::load(scene)?;
    let count = bona_fide.len() + species.iter().map(|(_, files)| files.len()).sum::<usize>();
    let bar = scene.tell.progress("scoring", count as u64);
    let mut score = |name: &str, files: &[PathBuf]| -> Result<Presentations, Failure> {
        let (mut scores, mut unanswered) = (Vec::new(), 0);
        for file in files {
            match judge.score(file) {
                Ok(score) => scores.push(f64::from(score)),
                Err(Failure(why)) => {
                    unanswered += 1;
                    let text = format!("no response to {}: {why}", file.display());
                    bar.suspend(|| scene.tell.note(text));
                }
            }
            bar.inc(1);
        }
        Ok(Presentations::new(name, scores, unanswered)?)
    };
    let bona_fide = score(&named(&arguments.bona_fide), &bona_fide)?;
    let attacks = species.iter().map(|(name, files)| score(name, files));
    let attacks = attacks.collect::<Result<Vec<_>, _>>()?;
    bar.finish_and_clear();
    let report = PresentationReport::new(&bona_fide, &attacks, threshold);
    if scene.tell.json {
        scene.tell.document(&report);
    } else {
        scene.tell.line(report);
    }
    Ok(Ended::Done)
}

/// Each species with its pictures.
fn species(folder: &Path) -> Result<Vec<(String, Vec<PathBuf>)>, Failure> {
    let unreadable = |error| Failure::new(format!("{} cannot be read: {error}", folder.display()));
    let entries: Result<Vec<_>, _> = fs::read_dir(folder).map_err(unreadable)?.collect();
    let mut folders: Vec<PathBuf> =
        entries.map_err(unreadable)?.iter().map(fs::DirEntry::path).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    if folders.is_empty() {
        folders.push(folder.to_owned());
    }
    folders.iter().map(|path| Ok((named(path), local::photographs(path)?))).collect()
}

/// The last part of a path.
fn named(path: &Path) -> String {
    let whole = path.display().to_string();
    path.file_name().map_or(whole, |name| name.to_string_lossy().into_owned())
}

/// The configured face detector and presentation attack detector.
struct Judge {
    finder: Finder,
    detector: AttackDetector,
    networks: Vec<Box<dyn Network>>,
}

impl Judge {
    fn load(scene: &Scene<'_>) -> Result<Self, Failure> {
        let attack = AttackModels::load(&scene.config.attack, scene.environment)?;
        let Some(detector) = attack.detector()? else {
            return Err(Failure::new(
                "no presentation attack detector is configured: set attack.detector (`portcullis \
                 config` explains it)",
            ));
        };
        let faces = models::detector(&scene.config.models, scene.environment)?;
        let (networks, detect) = appliance::on_engine(&scene.config, |backend| {
            Ok((attack.networks(backend.as_ref(), 1)?, backend.load(&faces, 1)?))
        })?;
        Ok(Self { finder: Finder::new(&faces, detect)?, detector, networks })
    }

    fn score(&mut self, file: &Path) -> Result<f32, Failure> {
        let frame = image::decode(local::image(file)?.bytes())?;
        let view = frame.view();
        let (face, _) = self.finder.find(view)?;
        let frame_px = [view.width_px(), view.height_px()];
        let shown = self.detector.to_frame(face.rect_px, frame_px);
        let shown = shown.ok_or_else(|| Failure::new("the face has no area"))?;
        for (network, &to_frame) in self.networks.iter_mut().zip(&shown) {
            network.run(&[Feed::Warp { frame: view, to_frame }])?;
        }
        let networks = &self.networks;
        let score = self.detector.score(|network| networks[network].output(0, 0));
        self.networks.iter_mut().for_each(|network| network.wipe());
        score.ok_or_else(|| Failure::new("a network's answer is no probability"))
    }
}
