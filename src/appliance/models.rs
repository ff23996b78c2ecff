//! Model files: found, checked against what they should be, lowered.

use std::path::{Path, PathBuf};

use super::StartError;
use crate::{
    config::{self, ConfigError, Environment},
    limits::MODEL_BYTES_MAX,
    model::{
        self, Calibration,
        defaults::{DETECTOR, DefaultModel, EMBEDDER},
    },
    ops::program::{ChannelOrder, Program},
};

/// The networks and what belongs to them.
pub(super) struct Models {
    pub(super) detector: Program,
    pub(super) embedder: Program,
    pub(super) calibration: Calibration,
}

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

fn detector(keys: &config::Models, environment: &Environment) -> Result<Program, StartError> {
    let path = path(&keys.detector, &DETECTOR, environment)?;
    let bytes = read(&path, &keys.detector, &DETECTOR, "detector")?;
    let input_px = Some([keys.detect_px, keys.detect_px]);
    Ok(model::load(&bytes, &shown(&path), ChannelOrder::Bgr, input_px)?)
}

impl Models {
    pub(super) fn load(
        keys: &config::Models,
        environment: &Environment,
    ) -> Result<Self, StartError> {
        let calibration = calibration(keys)?;
        // The two files are independent, and together they are most of a cold start.
        let (detector, embedder) = rayon::join(
            || detector(keys, environment),
            || {
                let (bytes, name) = embedder_bytes(keys, environment)?;
                calibration.accept_model(model::hash(&bytes)).map_err(|error| {
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
        Ok(Self { detector: detector?, embedder: embedder?, calibration })
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
