//! `[attack]`: which presentation attack detector is at work, and its networks.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::types::Hash256;

/// `[attack]`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttackChoice {
    /// Which detector.
    pub detector: AttackDetectorName,
    /// Whether pictures that people are enrolled from are tested too.
    pub enrolments: bool,
    /// Detector `listed`: its networks.
    pub network: Vec<AttackNetworkFile>,
}

/// `[[attack.network]]`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AttackNetworkFile {
    /// ONNX file.
    pub file: PathBuf,
    /// How many times the face's box it is shown.
    pub scale: f64,
    /// Which class is bona fide.
    #[serde(default = "AttackNetworkFile::bona_fide_default")]
    pub bona_fide: usize,
    /// SHA-256 that the file must have; empty for any.
    #[serde(default)]
    pub sha256: String,
}

/// Who judges whether a face is presented by a living traveller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttackDetectorName {
    /// Nobody.
    #[default]
    None,
    /// MiniFASNetV2 and MiniFASNetV1SE, from the cache folder.
    Minifasnet,
    /// The networks of `[[attack.network]]`.
    Listed,
}

impl AttackNetworkFile {
    fn bona_fide_default() -> usize {
        1
    }

    /// The hash that the file must have, where one is set.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn expected(&self) -> Result<Option<Hash256>, ConfigError> {
        if self.sha256.is_empty() {
            return Ok(None);
        }
        let wrong = |_| ConfigError::Value {
            key: "attack.network.sha256",
            value: self.sha256.clone(),
            why: "a SHA-256 has 64 hexadecimal digits".to_owned(),
        };
        self.sha256.parse().map(Some).map_err(wrong)
    }
}

impl AttackChoice {
    /// Networks are listed where they are used.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, value: String, why: &str| {
            Err(ConfigError::Value { key, value, why: why.to_owned() })
        };
        let held = self.network.len();
        match self.detector {
            AttackDetectorName::Listed if held == 0 => {
                let why = "needs at least one table [[attack.network]]";
                return refuse("attack.detector", "listed".to_owned(), why);
            }
            AttackDetectorName::None | AttackDetectorName::Minifasnet if held > 0 => {
                let why = "belong to detector = \"listed\", which is not chosen";
                return refuse("attack.network", format!("{held} tables"), why);
            }
            _ => {}
        }
        self.network.iter().try_for_each(|network| network.expected().map(drop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn networks_are_listed_where_they_are_used() {
        let with = |more: &str| Config::parse(&format!("[attack]\n{more}"), "a.toml");
        let one = "[[attack.network]]\nfile = \"a.onnx\"\nscale = 2.7\n";
        let listed = with(&format!("detector = \"listed\"\n{one}")).expect("known keys");
        assert_eq!(listed.check(), Ok(()));
        assert_eq!((listed.attack.network[0].bona_fide, listed.attack.network[0].scale), (1, 2.7));
        for (text, key) in [
            ("detector = \"listed\"".to_owned(), "attack.detector"),
            (one.to_owned(), "attack.network"),
            (format!("detector = \"minifasnet\"\n{one}"), "attack.network"),
            (format!("detector = \"listed\"\n{one}sha256 = \"12\""), "attack.network.sha256"),
        ] {
            match with(&text).expect("known keys").check() {
                Err(ConfigError::Value { key: found, .. }) => assert_eq!(found, key, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        with("[[attack.network]]\nfile = \"a.onnx\"").expect_err("a network without its scale");
    }
}
