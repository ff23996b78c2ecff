//! `[engine]`: who computes, and who searches galleries.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::limits::ENGINE_THREADS_MAX;

/// `[engine]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineChoice {
    /// Which backend.
    pub name: EngineName,
    /// A part of the name of the device that `wgpu` opens; empty for the best one.
    pub adapter: String,
    /// Compute threads; 0 for one per core.
    pub threads: usize,
    /// Who searches galleries.
    pub search: SearchEngine,
    /// The card's mapped registers; empty for none.
    pub fpga_card: PathBuf,
}

/// Which backend computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineName {
    /// The fastest that is available.
    #[default]
    Auto,
    /// The processor's vector units.
    Cpu,
    /// Plain loops; the oracle.
    Reference,
    /// Any GPU with a Vulkan driver.
    Wgpu,
}

/// Who searches galleries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SearchEngine {
    /// The backend that computes everything else.
    #[default]
    Same,
    /// A card in this machine.
    Fpga,
    /// The card's exact twin in software, for trials.
    FpgaTwin,
}

impl EngineChoice {
    /// Refuses what cannot be.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, value: String, why: String| Err(ConfigError::Value { key, value, why });
        if self.threads > ENGINE_THREADS_MAX {
            let why = format!("at most {ENGINE_THREADS_MAX}; 0 for one per core");
            return refuse("engine.threads", self.threads.to_string(), why);
        }
        let is_named = !self.fpga_card.as_os_str().is_empty();
        if is_named != (self.search == SearchEngine::Fpga) {
            let card = self.fpga_card.display().to_string();
            let why = "a path with engine.search = \"fpga\", and only then".to_owned();
            return refuse("engine.fpga_card", card, why);
        }
        Ok(())
    }
}
