//! Model files: found, checked against what they should be, lowered.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::StartError;
use crate::{
    backend::{Backend, BackendError, Engine, Network},
    config::{self, AttackChoice, AttackDetectorName, ConfigError, Environment},
    face::attack::{AttackDetector, AttackNetwork},
    limits::{BATCH_FRAMES_MAX, MODEL_BYTES_MAX},
    model::{
        self, Calibration,
        defaults::{DETECTOR, DefaultModel, EMBEDDER, MINIFASNET},
    },
    ops::program::{ChannelOrder, Program},
    pipeline::AttackDetection,
    types::Hash256,
};

/// The networks and what belongs to them.
pub(super) struct Models {
    pub(super) detector: Program,
    pub(super) attack: AttackModels,
    pub(super) embedder: Program,
    pub(super) calibration: Calibration,
}

/// A network of the presentation attack detector, with what its file does not say.
pub struct AttackModel {
    program: Program,
    scale: f64,
    bona_fide: usize,
}

/// The networks of the configured presentation attack detector; none where none is configured.
pub struct AttackModels(Vec<AttackModel>);

/// Where default models lie.
///
/// # Errors
/// [`ConfigError::NoFolder`].
pub fn folder(environment: &Environment) -> Result<PathBuf, ConfigError> {
    Ok(environment.cache_folder()?.join("models"))
}

/// The file of `role`: the configured one, or the default one in the cache folder.
///
/// # Errors
/// [`ConfigError::NoFolder`].
pub fn path(
    configured: &Path,
    default: &DefaultModel,
    environment: &Environment,
) -> Result<PathBuf, ConfigError> {
    if configured.as_os_str().is_empty() {
        return Ok(folder(environment)?.join(default.file));
    }
    Ok(configured.to_owned())
}

/// The configured embedder's file, and its name for messages.
///
/// # Errors
/// [`StartError`].
pub fn embedder_bytes(
    keys: &config::Models,
    environment: &Environment,
) -> Result<(Vec<u8>, String), StartError> {
    let path = path(&keys.embedder, &EMBEDDER, environment)?;
    Ok((read(&path, &keys.embedder, &EMBEDDER, "embedder")?, shown(&path)))
}

/// The configured detector and embedder without a calibration: to derive one.
///
/// # Errors
/// [`StartError`].
pub fn uncalibrated(
    keys: &config::Models,
    environment: &Environment,
) -> Result<(Program, Program), StartError> {
    let (embedder, name) = embedder_bytes(keys, environment)?;
    let embedder = model::load(&embedder, &name, ChannelOrder::Rgb, None)?;
    Ok((detector(keys, environment)?, embedder))
}

/// The configured detector.
///
/// # Errors
/// [`StartError`].
pub fn detector(keys: &config::Models, environment: &Environment) -> Result<Program, StartError> {
    let path = path(&keys.detector, &DETECTOR, environment)?;
    let bytes = read(&path, &keys.detector, &DETECTOR, "detector")?;
    let input_px = Some([keys.detect_px, keys.detect_px]);
    Ok(model::load(&bytes, &shown(&path), ChannelOrder::Bgr, input_px)?)
}

/// A file of the configured presentation attack detector.
pub struct AttackFile {
    /// Where it should be.
    pub path: PathBuf,
    /// The SHA-256 that it must have, where one is set.
    pub expected: Option<Hash256>,
    scale: f64,
    bona_fide: usize,
}

/// The files of the configured presentation attack detector, in the order of its networks.
///
/// # Errors
/// [`ConfigError`].
pub fn attack_files(
    choice: &AttackChoice,
    environment: &Environment,
) -> Result<Vec<AttackFile>, ConfigError> {
    match choice.detector {
        AttackDetectorName::None => Ok(Vec::new()),
        AttackDetectorName::Minifasnet => {
            let folder = folder(environment)?;
            let file = |known: &model::defaults::DefaultAttackModel| AttackFile {
                path: folder.join(known.model.file),
                expected: Some(known.model.sha256),
                scale: known.scale,
                bona_fide: known.bona_fide,
            };
            Ok(MINIFASNET.iter().map(file).collect())
        }
        AttackDetectorName::Listed => {
            let file = |listed: &config::AttackNetworkFile| {
                let (path, expected) = (listed.file.clone(), listed.expected()?);
                let (scale, bona_fide) = (listed.scale, listed.bona_fide);
                Ok(AttackFile { path, expected, scale, bona_fide })
            };
            choice.network.iter().map(file).collect()
        }
    }
}

impl AttackFile {
    /// The file's bytes, once they are known to be the expected ones.
    ///
    /// # Errors
    /// [`StartError`], saying what to do.
    pub fn read(&self) -> Result<Vec<u8>, StartError> {
        if !self.path.exists() {
            return Err(StartError::AttackModelMissing { path: shown(&self.path) });
        }
        let bytes = read_bounded(&self.path)?;
        let held = Hash256::of(&bytes);
        match self.expected {
            Some(expected) if expected != held => {
                Err(StartError::AttackModelAltered { path: shown(&self.path), held, expected })
            }
            Some(_) | None => Ok(bytes),
        }
    }

    fn load(&self) -> Result<AttackModel, StartError> {
        let program = model::load(&self.read()?, &shown(&self.path), ChannelOrder::Bgr, None)?;
        Ok(AttackModel { program, scale: self.scale, bona_fide: self.bona_fide })
    }
}

impl AttackModels {
    /// Reads and lowers the configured detector's networks.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn load(choice: &AttackChoice, environment: &Environment) -> Result<Self, StartError> {
        let files = attack_files(choice, environment)?;
        Ok(Self(files.iter().map(AttackFile::load).collect::<Result<_, _>>()?))
    }

    /// How frames become the networks' inputs, and their outputs a score; `None` without networks.
    ///
    /// # Errors
    /// [`StartError::AttackModel`].
    pub fn detector(&self) -> Result<Option<AttackDetector>, StartError> {
        let networks: Vec<AttackNetwork<'_>> = self.0.iter().map(AttackModel::network).collect();
        if networks.is_empty() {
            return Ok(None);
        }
        Ok(Some(AttackDetector::for_networks(&networks)?))
    }

    /// The networks, ready on `backend` for batches of `batch_max` faces.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn networks(
        &self,
        backend: &dyn Backend,
        batch_max: usize,
    ) -> Result<Vec<Box<dyn Network>>, BackendError> {
        self.0.iter().map(|held| backend.load(&held.program, batch_max)).collect()
    }
}

impl AttackModel {
    fn network(&self) -> AttackNetwork<'_> {
        AttackNetwork { program: &self.program, scale: self.scale, bona_fide: self.bona_fide }
    }
}

impl Models {
    /// Every network, ready on `backend`.
    ///
    /// # Errors
    /// [`BackendError`].
    pub(super) fn engine(&self, backend: Arc<dyn Backend>) -> Result<Engine, BackendError> {
        Ok(Engine {
            networks: backend.describe(),
            detect: backend.load(&self.detector, BATCH_FRAMES_MAX)?,
            attack: self.attack.networks(&*backend, BATCH_FRAMES_MAX)?,
            embed: backend.load(&self.embedder, BATCH_FRAMES_MAX)?,
            search: backend,
        })
    }

    /// How presentation attack detection is carried out, where it is.
    ///
    /// # Errors
    /// [`StartError::AttackModel`].
    pub(super) fn attack_detection(
        &self,
        choice: &AttackChoice,
    ) -> Result<Option<AttackDetection>, StartError> {
        let enrolments = choice.enrolments;
        Ok(self.attack.detector()?.map(|detector| AttackDetection { detector, enrolments }))
    }

    pub(super) fn load(
        keys: &config::Models,
        attack: &AttackChoice,
        environment: &Environment,
    ) -> Result<Self, StartError> {
        let attack = AttackModels::load(attack, environment)?;
        let calibration = calibration(keys)?;
        // The two files are independent, and together they are most of a cold start.
        let (detector, embedder) = rayon::join(
            || detector(keys, environment),
            || {
                let (bytes, name) = embedder_bytes(keys, environment)?;
                calibration.accept_model(Hash256::of(&bytes)).map_err(|error| {
                    StartError::Calibration { path: calibration_name(keys), error }
                })?;
                let program = model::load(&bytes, &name, ChannelOrder::Rgb, None)?;
                let held = program.outputs.first().map_or(0, |row| program.shape(row.buffer).len());
                let expected = calibration.layout().dims;
                if held != expected {
                    return Err(StartError::Dimensions { path: name, held, expected });
                }
                Ok(program)
            },
        );
        Ok(Self { detector: detector?, attack, embedder: embedder?, calibration })
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn calibration_name(keys: &config::Models) -> String {
    if keys.calibration.as_os_str().is_empty() {
        "shipped for the default embedder (set models.calibration)".to_owned()
    } else {
        shown(&keys.calibration)
    }
}

/// The configured calibration, or the shipped one.
///
/// # Errors
/// [`StartError::Unreadable`] or [`StartError::Calibration`].
pub fn calibration(keys: &config::Models) -> Result<Calibration, StartError> {
    if keys.calibration.as_os_str().is_empty() {
        return Ok(Calibration::sface_128());
    }
    let bytes = read_bounded(&keys.calibration)?;
    Calibration::parse(&bytes)
        .map_err(|error| StartError::Calibration { path: calibration_name(keys), error })
}

fn read(
    path: &Path,
    configured: &Path,
    default: &DefaultModel,
    role: &'static str,
) -> Result<Vec<u8>, StartError> {
    if !path.exists() {
        return Err(StartError::ModelMissing { role, path: shown(path) });
    }
    let bytes = read_bounded(path)?;
    if configured.as_os_str().is_empty() {
        default
            .accept(&bytes)
            .map_err(|error| StartError::ModelCorrupted { path: shown(path), error })?;
    }
    Ok(bytes)
}

/// Reads a file that is not larger than a model may be; the size is asked before memory is taken.
fn read_bounded(path: &Path) -> Result<Vec<u8>, StartError> {
    let unreadable = |why: String| StartError::Unreadable { path: shown(path), why };
    let bytes = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if bytes > MODEL_BYTES_MAX {
        return Err(unreadable(format!("{bytes} bytes; at most {MODEL_BYTES_MAX} are read")));
    }
    std::fs::read(path).map_err(|error| unreadable(error.to_string()))
}
