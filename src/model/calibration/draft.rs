//! Writing a calibration file.

use sha2::{Digest, Sha256};

use super::{
    Calibration, CalibrationError, Population, ThresholdRow,
    format::{MAGIC, VERSION},
};
use crate::types::Hash256;

/// What a calibration file is written from. Checks are the reader's: [`Draft::encode`] gives only
/// what [`Calibration::parse`] accepts.
#[derive(Clone)]
pub struct Draft {
    /// Hash of the model file.
    pub model: Hash256,
    /// Plane split: dimensions of the hot plane.
    pub hot_dims: usize,
    /// The scale S.
    pub scale: f32,
    /// `d × d`, row-major; row `i` is the `i`-th rotated axis.
    pub rotation: Box<[f32]>,
    /// Rates falling; empty where no labelled data stand behind the calibration.
    pub rows: Vec<ThresholdRow>,
    /// Genuine and impostor comparisons behind the rows.
    pub comparisons: (u64, u64),
    /// Data set and sample size, one sentence.
    pub basis: String,
    /// Statistics in the rotated space.
    pub population: Option<Population>,
}

impl Draft {
    /// The bytes of the file, and what they say.
    ///
    /// # Errors
    /// [`CalibrationError`]: what the reader would refuse.
    pub fn encode(&self) -> Result<(Vec<u8>, Calibration), CalibrationError> {
        let mut bytes = MAGIC.to_vec();
        let dims = self.rotation.len().isqrt();
        let counts = [dims, self.hot_dims, self.rows.len(), self.basis.len()];
        bytes.extend(VERSION.to_le_bytes());
        for count in counts {
            // What does not fit is out of every bound of the reader, which then refuses it by name.
            bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        }
        bytes.extend(u32::from(self.population.is_some()).to_le_bytes());
        bytes.extend(self.scale.to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(self.model.as_bytes());
        bytes.extend(self.comparisons.0.to_le_bytes());
        bytes.extend(self.comparisons.1.to_le_bytes());
        for row in &self.rows {
            bytes.extend(row.fmr.to_le_bytes());
            bytes.extend(row.similarity.to_le_bytes());
            bytes.extend(0_u32.to_le_bytes());
        }
        bytes.extend(self.basis.as_bytes());
        let population = self.population.iter();
        let parts = population.flat_map(|held| [&held.mean, &held.between, &held.within]);
        for part in [&self.rotation].into_iter().chain(parts) {
            bytes.extend(part.iter().flat_map(|value| value.to_le_bytes()));
        }
        let hash: [u8; 32] = Sha256::digest(&bytes).into();
        bytes.extend(hash);
        let read = Calibration::parse(&bytes)?;
        Ok((bytes, read))
    }
}
