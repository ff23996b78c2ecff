//! `[engine]`: who computes, and who searches galleries.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Environment};
use crate::limits::ENGINE_THREADS_MAX;

/// `[engine]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineChoice {
    /// Which backend.
    pub name: EngineName,
    /// A part of the name of the device that `cuda` or `wgpu` opens; empty for the best one.
    pub adapter: String,
    /// Where kernels compiled for `cuda` are kept; empty for the cache folder.
    pub kernel_cache: PathBuf,
    /// Compute threads; 0 for one per core.
    pub threads: usize,
    /// How they stand to the appliance's other threads.
    pub compute: ComputeClass,
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
    /// Kernels on an NVIDIA GPU.
    Cuda,
    /// Plain loops; the oracle.
    Reference,
    /// Any GPU with a Vulkan driver.
    Wgpu,
}

/// How compute threads stand to the threads that read, decode, decide and answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComputeClass {
    /// They give way at once, and starve for nobody.
    #[default]
    Background,
    /// They share the processor evenly.
    Equal,
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
    /// Fills in what depends on where the appliance runs.
    pub(super) fn placed(&mut self, environment: &Environment) {
        // Without a cache folder nothing is kept, and kernels are compiled at every start.
        if let (true, Ok(cache)) =
            (self.kernel_cache.as_os_str().is_empty(), environment.cache_folder())
        {
            self.kernel_cache = cache.join("kernels");
        }
    }

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
