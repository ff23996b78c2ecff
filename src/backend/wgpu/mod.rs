//! `wgpu`: any GPU with a Vulkan driver, and Mesa's lavapipe where there is none.
//!
//! ```text
//! Program ─► plan (slots, dispatches) ─► network: one submission per batch
//!                                           feed: pictures up · transfer: staging, readback
//! TileSource ─► search: pieces in slabs, scanned and merged on the device
//!                          └ shaders: text of shaders/ · layout: structs that both sides know
//!               device: chosen, opened, watched
//! ```
//!
//! Shaders are WGSL, compiled by the driver when they are first run and then kept: those of the
//! search run once when the backend is made, those of a network when it is loaded. They ask for no
//! feature of a device: half precision is a matter of storage alone; it is unpacked, and bytes are
//! multiplied, by the language's own functions or by an exact emulation.
//!
//! Invariant: search results are the oracle's, bit for bit; networks agree within the tolerance of
//! tests/conformance. Nothing here ends the process when a device fails (`device.rs`). No face,
//! template or key passes through memory of the driver stack that cannot be wiped (`transfer.rs`).
//!
//! What is absent: several devices at once; `quantise`, which is defined by sums in f64 that not
//! every device has and stays on the host.

mod device;
mod feed;
mod layout;
mod network;
mod plan;
mod search;
mod shaders;
mod transfer;
mod turns;
mod weights;

use std::{fmt, sync::Arc};

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
pub const NAME: &str = "wgpu";

/// Which device is opened, and how it is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// A part of the adapter's name, in any case; empty for the best one.
    pub adapter: String,
    /// Only a GPU with memory of its own: what is chosen without being asked for must be fast.
    pub only_discrete: bool,
    /// Leave the language's packed arithmetic alone, as on a device that lacks it.
    pub emulate: bool,
    /// Divide everything as finely as on the smallest device: pieces of a few rows, one item at a
    /// time.
    pub tight: bool,
}

/// The backend.
pub struct Wgpu {
    gpu: Arc<Gpu>,
    searcher: Searcher,
}

impl fmt::Debug for Wgpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wgpu").field("device", &self.gpu.about.name).finish_non_exhaustive()
    }
}

impl Wgpu {
    /// Opens the device that is wished for and runs every search that there is once, so that none
    /// that somebody waits for meets a compiler. An adapter that nobody named, for an engine that
    /// nobody named, must be a GPU with memory of its own.
    ///
    /// # Errors
    /// [`Unavailable`] when there is no such device, or it does not open, or does not search.
    pub fn new(wish: &Wish<'_>) -> Result<Self, Unavailable> {
        let only_discrete = !wish.by_name && wish.adapter.is_empty();
        let adapter = wish.adapter.to_owned();
        let made = Self::with(&Options { adapter, only_discrete, ..Options::default() })?;
        made.searcher.warm_up().map_err(|error| Unavailable {
            what: NAME,
            why: format!("it cannot search: {error}"),
        })?;
        Ok(made)
    }

    /// As `options` say and not run yet, for tests and measurements.
    ///
    /// # Errors
    /// As [`Wgpu::new`].
    pub fn with(options: &Options) -> Result<Self, Unavailable> {
        let gpu = Gpu::open(options)?;
        let searcher = Searcher::new(&gpu);
        Ok(Self { gpu, searcher })
    }

    /// Shaders that are compiled by now, each variant for itself.
    #[must_use]
    pub fn compiled(&self) -> usize {
        self.gpu.compiled()
    }

    /// Gives the device up, as a driver does that resets it: every verb answers
    /// [`BackendError::Lost`] from now on. For drills and tests.
    pub fn forsake(&self) {
        self.gpu.forsake();
    }
}

impl Backend for Wgpu {
    fn describe(&self) -> Description {
        let about = &self.gpu.about;
        let language = self.gpu.language;
        let product = if language.dot4 { "dot4I8Packed" } else { "emulated byte products" };
        let halves = if language.halves { "unpack2x16float" } else { "emulated halves" };
        Description {
            name: NAME,
            device: about.name.clone(),
            detail: format!(
                "{:?}, {} {}; {product}, {halves}",
                about.backend, about.driver, about.driver_info
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
