//! Who computes: few verbs, many machines.
//!
//! `describe` · `load` (program + weights → [`Network`]) · `run` ([`Network::run`]) · `pin` / unpin
//! (make a tile set resident; dropping [`Pinned`] unpins) · `search`.
//!
//! Invariant: nothing here knows `gallery` or `model`; they meet in [`crate::ops`].

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod fpga;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod gpu;
pub mod reference;
#[cfg(feature = "wgpu")]
pub mod wgpu;

use std::{any::Any, fmt, path::Path, sync::Arc};

use crate::{
    ops::{
        check::ProgramError,
        program::{Feed, Program},
        score::score,
        search::{Probe, RowHits, SearchError},
        tile::{TileError, TileSource},
    },
    types::{Score, Template, TemplateError},
};

/// Why a backend is not at hand. An answer, not an error: the next one is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is unavailable: {why}")]
pub struct Unavailable {
    /// The backend or the part of it that is missing.
    pub what: &'static str,
    /// What was found instead, and what would help.
    pub why: String,
}

/// Where plaintext templates lie while a backend searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plaintext {
    /// In the process's memory.
    Host,
    /// In the memory of a device as well, where a set is pinned.
    Device,
}

/// What a backend is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `reference`, `cpu`, …
    pub name: &'static str,
    /// The device, in words.
    pub device: String,
    /// Instruction set or driver in use.
    pub detail: String,
    /// Compute threads on the host.
    pub threads: usize,
    /// Ops of [`crate::ops::ALL`] that this backend does not carry.
    pub missing: Vec<&'static str>,
    /// Where plaintext templates may lie.
    pub plaintext: Plaintext,
}

/// Why a backend did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// More items than the network was loaded for, or none.
    #[error("a batch of {held} items; this network takes 1 to {most}")]
    Batch {
        /// Items given.
        held: usize,
        /// Items it was loaded for.
        most: usize,
    },
    /// A tensor of the wrong length.
    #[error("item {item} has {held} values, the network takes {needed}")]
    Input {
        /// Which item.
        item: usize,
        /// Values needed.
        needed: usize,
        /// Values given.
        held: usize,
    },
    /// The program is not one that this backend can run.
    #[error("program {program}, step {step}: {why}")]
    Program {
        /// The program's name.
        program: String,
        /// Number of the step.
        step: usize,
        /// What is wrong.
        why: String,
    },
    /// More candidates asked for than a search returns.
    #[error("{held} candidates asked for; a search returns at most {most}")]
    Candidates {
        /// Asked for.
        held: usize,
        /// The limit.
        most: usize,
    },
    /// A picture was fed to a network whose input does not have three channels.
    #[error(
        "item {item} is a picture, this network's input has {channels} channels: feed a tensor"
    )]
    Picture {
        /// Which item.
        item: usize,
        /// Channels of the network's input.
        channels: usize,
    },
    /// The pinned set belongs to another backend.
    #[error("generation {generation} is pinned on another backend; {what} searches its own sets")]
    ForeignSet {
        /// The backend that was asked.
        what: &'static str,
        /// The set's generation.
        generation: u64,
    },
    /// The program is not well formed; no backend can run it.
    #[error(transparent)]
    Malformed(#[from] ProgramError),
    /// The probe is not of the gallery's kind.
    #[error(transparent)]
    Kind(#[from] TemplateError),
    /// A tile did not open.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// A device's memory does not hold it; the backend is as sound as before.
    #[error("{what}: {why}")]
    Full {
        /// The backend.
        what: &'static str,
        /// What there is, and how much would fit.
        why: String,
    },
    /// The device is gone; the next engine must take over.
    #[error("{what} was lost: {why}")]
    Lost {
        /// The backend.
        what: &'static str,
        /// What it said.
        why: String,
    },
}

impl From<SearchError> for BackendError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Candidates { held, most } => Self::Candidates { held, most },
            SearchError::Kind(kind) => Self::Kind(kind),
            SearchError::Tile(tile) => Self::Tile(tile),
        }
    }
}

/// How closely a network's values are kept between its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// f32.
    Single,
    /// Inputs, weights of products and what lies between steps in half precision, sums in f32.
    Half,
}

/// A program made ready on one backend, with its buffers. Not shared: one owner runs it.
pub trait Network: Send {
    /// Items it was loaded for.
    fn batch_max(&self) -> usize;

    /// How closely its values are kept.
    fn precision(&self) -> Precision {
        Precision::Single
    }

    /// Runs a batch of 1 to `batch_max` items, when none is under way.
    ///
    /// # Errors
    /// [`BackendError`]; outputs are then meaningless.
    fn run(&mut self, feeds: &[Feed<'_>]) -> Result<(), BackendError>;

    /// Batches that may be under way at once. Where they are two, the next one goes up while the
    /// machine computes the one before.
    fn depth(&self) -> usize {
        1
    }

    /// Hands a batch over, of which nothing is read any more when this returns. Outputs of earlier
    /// batches are not to be read any more.
    ///
    /// # Errors
    /// As [`Network::run`]; the batch is not under way then.
    ///
    /// # Panics
    /// When as many are under way as may be.
    fn begin(&mut self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        self.run(feeds)
    }

    /// Waits for the oldest batch that was begun; outputs are its own from now on.
    ///
    /// # Errors
    /// As [`Network::run`]; the batch is not under way any more.
    fn finish(&mut self) -> Result<(), BackendError> {
        Ok(())
    }

    /// Output `index` of item `item` of the last run, NHWC.
    fn output(&self, index: usize, item: usize) -> &[f32];

    /// Zeroes every buffer that held pixels or an embedding; what is under way is given up.
    fn wipe(&mut self);
}

/// A tile set held resident; dropping it releases and wipes what no other set shares.
///
/// `Any`, because a backend must recognise its own sets among those it is handed.
pub trait Pinned: Any + Send + Sync {
    /// The generation held.
    fn generation(&self) -> u64;

    /// Whether all of it lies in memory that is never swapped. Where the system refuses to lock so
    /// much (`RLIMIT_MEMLOCK`), a set is resident all the same; who needs it locked asks, and drops
    /// it.
    fn is_locked(&self) -> bool {
        false
    }
}

/// What a search runs over.
#[derive(Clone)]
pub enum Tiles {
    /// A resident set, of the same backend.
    Pinned(Arc<dyn Pinned>),
    /// A source; tiles are opened one at a time and wiped.
    Source(Arc<dyn TileSource>),
}

impl fmt::Debug for Tiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned(set) => write!(f, "Pinned(generation {})", set.generation()),
            Self::Source(source) => write!(f, "Source(generation {})", source.set().generation),
        }
    }
}

/// What the configuration says of the machine that it wants; a backend reads what concerns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish<'a> {
    /// Compute threads on the host.
    pub threads: usize,
    /// Whether they give way at once to every other thread.
    pub gives_way: bool,
    /// A part of the name of a device; empty for the best one.
    pub adapter: &'a str,
    /// Where kernels that were compiled for this machine are kept; `None` for nowhere.
    pub kernels: Option<&'a Path>,
    /// Whether this backend was asked for by its name. One that is slow on what it finds here says
    /// that it is unavailable to who did not.
    pub by_name: bool,
}

impl Wish<'static> {
    /// A backend that was asked for by its name, with that many compute threads on the host that
    /// share it evenly, and nothing else said.
    #[must_use]
    pub const fn named(threads: usize) -> Self {
        Self { threads, gives_way: false, adapter: "", kernels: None, by_name: true }
    }
}

/// How a backend comes into being: one line of [`FACTORIES`].
#[derive(Clone, Copy)]
pub struct Factory {
    /// As in [`Description::name`].
    pub name: &'static str,
    /// Makes it, or says why it is not at hand.
    pub make: fn(wish: &Wish<'_>) -> Result<Arc<dyn Backend>, Unavailable>,
}

/// Every backend of this build, the preferred one first; `reference` is always there and last.
pub const FACTORIES: &[Factory] = &[
    #[cfg(feature = "cuda")]
    Factory { name: cuda::NAME, make: |wish| Ok(Arc::new(cuda::Cuda::new(wish)?)) },
    #[cfg(feature = "wgpu")]
    Factory { name: wgpu::NAME, make: |wish| Ok(Arc::new(wgpu::Wgpu::new(wish)?)) },
    Factory { name: cpu::NAME, make: |wish| Ok(Arc::new(cpu::Cpu::wished(wish)?)) },
    // Without a card it is the twin: exact, and slow; a card is named in the configuration.
    Factory {
        name: fpga::NAME,
        make: |wish| Ok(Arc::new(fpga::Fpga::twin(Arc::new(cpu::Cpu::wished(wish)?))?)),
    },
    Factory { name: reference::NAME, make: |_wish| Ok(Arc::new(reference::Reference::new())) },
];

/// A machine that computes.
pub trait Backend: Send + Sync {
    /// What it is; cheap.
    fn describe(&self) -> Description;

    /// Makes `program` ready for batches of up to `batch_max` items.
    ///
    /// # Errors
    /// [`BackendError::Program`] when it cannot run here.
    fn load(&self, program: &Program, batch_max: usize) -> Result<Box<dyn Network>, BackendError>;

    /// Makes a generation resident.
    ///
    /// # Errors
    /// [`BackendError::Tile`] when a tile does not open, `Lost` when the device is gone.
    fn pin(&self, source: &Arc<dyn TileSource>) -> Result<Arc<dyn Pinned>, BackendError>;

    /// Searches every row for every probe; answers stand in the order of `probes`.
    ///
    /// # Errors
    /// [`BackendError`]; there are then no partial answers.
    fn search(&self, probes: &[Probe<'_>], tiles: &Tiles) -> Result<Vec<RowHits>, BackendError>;

    /// 1:1, the comparison score of two templates of one kind: [`crate::ops::score::score`], which
    /// an implementation may only make faster.
    ///
    /// # Panics
    /// When they have not one length; whoever compares has asked `TemplateKind::accept` first.
    fn score(&self, a: &Template, b: &Template) -> Score {
        score(a.values(), b.values())
    }
}

/// The machines at work: a struct with public fields, so that one may embed while another searches.
pub struct Engine {
    /// What runs the networks.
    pub networks: Description,
    /// Finds faces.
    pub detect: Box<dyn Network>,
    /// Judge together whether a face is presented by a living traveller, each from a region of its
    /// own around the face; empty where no presentation attack detection is configured.
    pub attack: Vec<Box<dyn Network>>,
    /// Turns an aligned face into an embedding.
    pub embed: Box<dyn Network>,
    /// Compares.
    pub search: Arc<dyn Backend>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("networks", &self.networks)
            .field("search", &self.search.describe())
            .finish_non_exhaustive()
    }
}
