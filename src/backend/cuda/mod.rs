//! `cuda`: an NVIDIA GPU from compute capability 7.5 on, with kernels of our own.
//!
//! ```text
//! Program ─► plan (launches) ─► network: a recording per batch size
//!                                  weights: halves and rows · feeds: pictures up
//! TileSource ─► search: pieces in slabs, scanned and merged on the device
//!                  └ kernels: text of kernels/ · layout: structs that both sides know
//!               device: chosen, opened, watched
//!                  └ compiler, cache: machine code, once · driver: every call
//! ```
//!
//! Nothing of CUDA is needed to build or to start: the driver and NVRTC are looked for when the
//! backend is made, and what is missing is an answer. Kernels are compiled for the GPU that is
//! found and kept on disk (`cache.rs`): those of the search when the backend is made, those of a
//! network when it is loaded, none while somebody waits for an answer. Networks are kept in half
//! precision with sums in f32 ([`super::Precision::Half`]); templates and scores are whole numbers,
//! here as everywhere.
//!
//! Invariant: search results are the oracle's, bit for bit. Nothing here ends the process when a
//! device fails (`device.rs`). Memory that held a face or a template is overwritten before it is
//! given out again, on the device and on the host (`driver`).
//!
//! What is absent: several devices at once; galleries that stay sealed in the device's memory;
//! `quantise`, which is defined by sums in f64 and stays on the host.

mod cache;
mod compiler;
mod device;
mod driver;
mod kernels;
mod layout;
mod network;
mod plan;
mod search;
pub mod timing;
mod weights;

use std::{fmt, path::PathBuf, sync::Arc};

use self::{device::Gpu, network::Loaded, search::Searcher};
use super::{
    Backend, BackendError, Description, Network, Pinned, Plaintext, Tiles, Unavailable, Wish,
};
use crate::ops::{
    program::Program,
    search::{Probe, RowHits},
    tile::TileSource,
};

/// Its name in [`super::FACTORIES`].
pub const NAME: &str = "cuda";

/// Which GPU is opened, and how it is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// A part of the GPU's name, in any case; empty for the best one.
    pub adapter: String,
    /// Where compiled kernels are kept; `None` for nowhere.
    pub kernels: Option<PathBuf>,
    /// Divide everything as finely as on the smallest device: pieces of a few rows, one item at a
    /// time.
    pub tight: bool,
}

/// The backend.
pub struct Cuda {
    gpu: Arc<Gpu>,
    searcher: Searcher,
}

impl fmt::Debug for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cuda").field("device", &self.gpu.about.name).finish_non_exhaustive()
    }
}

impl Cuda {
    /// Opens the GPU that is wished for, and makes every search ready, so that none that somebody
    /// waits for meets a compiler.
    ///
    /// # Errors
    /// [`Unavailable`] when the driver, NVRTC or a GPU that is new enough is missing, or the GPU
    /// does not search.
    pub fn new(wish: &Wish<'_>) -> Result<Self, Unavailable> {
        let (adapter, kernels) = (wish.adapter.to_owned(), wish.kernels.map(PathBuf::from));
        let made = Self::with(&Options { adapter, kernels, tight: false })?;
        made.searcher.warm_up().map_err(|error| Unavailable {
            what: NAME,
            why: format!("it cannot search: {error}"),
        })?;
        Ok(made)
    }

    /// As `options` say and not run yet, for tests and measurements.
    ///
    /// # Errors
    /// As [`Cuda::new`].
    pub fn with(options: &Options) -> Result<Self, Unavailable> {
        let gpu = Gpu::open(options)?;
        let searcher = Searcher::new(&gpu);
        Ok(Self { gpu, searcher })
    }

    /// Kernels that are compiled and loaded by now, each variant for itself.
    #[must_use]
    pub fn compiled(&self) -> usize {
        self.gpu.compiled()
    }

    /// Gives the GPU up, as a driver does that resets it: every verb answers
    /// [`BackendError::Lost`] from now on. For drills and tests.
    pub fn forsake(&self) {
        self.gpu.forsake();
    }
}

impl Backend for Cuda {
    fn describe(&self) -> Description {
        let about = &self.gpu.about;
        let [driver, compiler] = self.gpu.versions.map(|(major, minor)| format!("{major}.{minor}"));
        let kind = if about.is_integrated { ", integrated" } else { "" };
        Description {
            name: NAME,
            device: about.name.clone(),
            detail: format!(
                "compute capability {}.{}, {} multiprocessors, {} MiB{kind}; driver for CUDA \
                 {driver}, NVRTC {compiler}",
                about.major,
                about.minor,
                about.multiprocessors,
                about.memory_bytes >> 20
            ),
            threads: 1,
            missing: Vec::new(),
            plaintext: Plaintext::Device,
        }
    }

    fn load(&self, program: &Program, batch_max: usize) -> Result<Box<dyn Network>, BackendError> {
        program.check()?;
        if batch_max == 0 {
            return Err(BackendError::Batch { held: 0, most: batch_max });
        }
        self.gpu
            .guard(|| Ok(Box::new(Loaded::new(&self.gpu, program, batch_max)?) as Box<dyn Network>))
    }

    fn pin(&self, source: &Arc<dyn TileSource>) -> Result<Arc<dyn Pinned>, BackendError> {
        self.searcher.pin(source.as_ref())
    }

    fn search(&self, probes: &[Probe<'_>], tiles: &Tiles) -> Result<Vec<RowHits>, BackendError> {
        self.searcher.search(probes, tiles)
    }
}
