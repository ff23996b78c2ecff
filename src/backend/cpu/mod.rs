//! `cpu`: the host's vector units.
//!
//! ```text
//! Program ─► plan (merge siblings, fuse, lay out) ─► Loaded: memory and packed weights
//!                                                     │ run: all threads, stage by stage
//!      rows through rings: image · conv · depthwise · pool2d · elementwise
//!                            └ register blocks: gemm ─► Simd (avx512 · avx2 · neon · portable)
//! ```
//!
//! Invariant: the instruction set is detected once, when the backend is made, and every kernel is
//! compiled for it as a whole; nothing is detected per call. All memory of a network is allocated
//! when it is loaded (a run with several threads still lets the thread pool post its jobs). Results
//! do not depend on the number of threads or on the batch, bit for bit; they do depend on the
//! instruction set, within the tolerance of the networks.

mod barrier;
mod ceiling;
mod chain;
mod conv;
mod curve;
mod dense;
mod depthwise;
mod elementwise;
mod fuse;
mod gemm;
mod image;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod islands;
mod memory;
mod network;
mod plan;
mod pool;
mod pool2d;
mod portable;
mod rows;
pub mod search;
mod siblings;
mod vector;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use std::sync::Arc;

#[cfg(target_arch = "aarch64")]
use self::neon::Neon;
#[cfg(target_arch = "x86_64")]
use self::{avx2::Avx2, avx512::Avx512};
use self::{
    network::Loaded,
    plan::{Target, plan},
    pool::Pool,
    portable::Portable,
    search::{Crew, Scans},
    vector::Simd,
};
use super::{
    Backend, BackendError, Description, Network, Pinned, Plaintext, Tiles, Unavailable, Wish,
};
use crate::{
    ops::{
        program::Program,
        search::{Probe, RowHits},
        tile::TileSource,
    },
    types::{Score, Template},
};

/// Its name in [`super::FACTORIES`].
pub const NAME: &str = "cpu";

/// An instruction set that the kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// AVX2 with FMA and F16C.
    Avx2,
    /// AVX-512F.
    Avx512,
    /// Advanced SIMD of aarch64.
    Neon,
    /// Plain Rust.
    Portable,
}

impl Isa {
    /// All, the preferred one first.
    pub const ALL: [Isa; 4] = [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable];

    /// As shown to people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx2 => "AVX2",
            Self::Avx512 => "AVX-512",
            Self::Neon => "NEON",
            Self::Portable => "portable",
        }
    }
}

/// A detected instruction set; holding one proves that it is there.
#[derive(Debug, Clone, Copy)]
enum Detected {
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    Portable(Portable),
}

impl Detected {
    fn of(isa: Isa) -> Option<Self> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Avx512::detect().map(Self::Avx512),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Neon::detect().map(Self::Neon),
            Isa::Portable => Portable::detect().map(Self::Portable),
            #[expect(unreachable_patterns, reason = "each machine has only some of the sets")]
            Isa::Avx2 | Isa::Avx512 | Isa::Neon => None,
        }
    }
}

/// Evaluates an expression with `$simd` bound to the detected set.
macro_rules! with_simd {
    ($detected:expr, $simd:ident => $work:expr) => {
        match $detected {
            #[cfg(target_arch = "x86_64")]
            Detected::Avx2($simd) => $work,
            #[cfg(target_arch = "x86_64")]
            Detected::Avx512($simd) => $work,
            #[cfg(target_arch = "aarch64")]
            Detected::Neon($simd) => $work,
            Detected::Portable($simd) => $work,
        }
    };
}

/// The backend.
#[derive(Debug)]
pub struct Cpu {
    isa: Isa,
    detected: Detected,
    pool: Arc<Pool>,
    scans: Scans,
}

/// The best instruction set of this machine.
fn best() -> Isa {
    let best = Isa::ALL.into_iter().find(|&isa| Detected::of(isa).is_some());
    best.unwrap_or(Isa::Portable)
}

impl Cpu {
    /// The best instruction set of this machine, with the compute threads that are wished for.
    ///
    /// # Errors
    /// As [`Cpu::new`].
    pub fn wished(wish: &Wish<'_>) -> Result<Self, Unavailable> {
        Self::on(best(), Pool::new(wish.threads, wish.gives_way)?)
    }

    /// The best instruction set of this machine, with `threads` compute threads.
    ///
    /// # Errors
    /// [`Unavailable`] when the number of threads is out of range or they cannot be started.
    pub fn new(threads: usize) -> Result<Self, Unavailable> {
        Self::with_isa(threads, best())
    }

    /// A given instruction set, for tests and measurements.
    ///
    /// # Errors
    /// As [`Cpu::new`]; and when this machine does not have `isa`.
    pub fn with_isa(threads: usize, isa: Isa) -> Result<Self, Unavailable> {
        Self::on(isa, Pool::new(threads, false)?)
    }

    fn on(isa: Isa, pool: Pool) -> Result<Self, Unavailable> {
        let detected = Detected::of(isa).ok_or_else(|| Unavailable {
            what: NAME,
            why: format!("this processor does not have {}", isa.name()),
        })?;
        let pool = Arc::new(pool);
        let crew: Arc<dyn Crew> = Arc::<Pool>::clone(&pool);
        Ok(Self { isa, detected, pool, scans: Scans::new(isa, crew) })
    }

    /// The instruction set in use.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Runs `rounds` rounds of register-only multiply-adds on every thread and gives their number:
    /// the ceiling that a measurement is held against.
    #[must_use]
    pub fn multiply_adds(&self, rounds: u64) -> u64 {
        with_simd!(self.detected, simd => ceiling::multiply_adds(simd, &self.pool, rounds))
    }

    /// Reads `values` once, with all threads: the other ceiling.
    pub fn read(&self, values: &[f32]) {
        with_simd!(self.detected, simd => ceiling::read(simd, &self.pool, values));
    }

    /// As [`Cpu::multiply_adds`], of the int8 products that a search is made of; gives the number
    /// of products of two bytes.
    #[must_use]
    pub fn int8_products(&self, rounds: u64) -> u64 {
        self.scans.products(&self.pool, rounds)
    }

    /// Reads `words` once, with all threads, as a search with one probe would at best.
    pub fn read_words(&self, words: &[u32]) {
        self.scans.read(&self.pool, words);
    }

    /// The instruction set of the search, as shown to people.
    #[must_use]
    pub fn search_set(&self) -> &'static str {
        self.scans.set_name()
    }

    fn load_for<S: Simd>(
        &self,
        simd: S,
        program: &Program,
        batch_max: usize,
    ) -> Result<Box<dyn Network>, BackendError> {
        let target = Target { lanes: S::LANES, threads: self.pool.threads() };
        let plan = plan(program, batch_max, target).map_err(|refused| BackendError::Program {
            program: program.name.clone(),
            step: refused.step,
            why: refused.why,
        })?;
        Ok(Box::new(Loaded::new(simd, program, plan, Arc::clone(&self.pool), batch_max)))
    }
}

impl Backend for Cpu {
    fn describe(&self) -> Description {
        Description {
            name: NAME,
            device: "host processor".to_owned(),
            detail: self.isa.name().to_owned(),
            threads: self.pool.threads(),
            missing: Vec::new(),
            plaintext: Plaintext::Host,
        }
    }

    fn load(&self, program: &Program, batch_max: usize) -> Result<Box<dyn Network>, BackendError> {
        program.check()?;
        if batch_max == 0 {
            return Err(BackendError::Batch { held: 0, most: batch_max });
        }
        with_simd!(self.detected, simd => self.load_for(simd, program, batch_max))
    }

    fn pin(&self, source: &Arc<dyn TileSource>) -> Result<Arc<dyn Pinned>, BackendError> {
        self.scans.pin(source)
    }

    fn search(&self, probes: &[Probe<'_>], tiles: &Tiles) -> Result<Vec<RowHits>, BackendError> {
        self.scans.search(probes, tiles)
    }

    fn score(&self, a: &Template, b: &Template) -> Score {
        self.scans.score(a.values(), b.values())
    }
}
