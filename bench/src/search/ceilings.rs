//! What the machine could do at most: lanes beside the searches, timed in the same rounds.
//!
//! A read of the hot plane's bytes, the products of a scan from registers alone, and the cipher
//! over the bytes that a sealed search opens. A machine's memory and clock swing from one minute to
//! the next; a ceiling that was measured before or after the searches is one of another minute.

use std::sync::Arc;

use portcullis::{
    backend::cpu::Cpu,
    ops::tile::{TilePart, TileSource},
};

use super::{
    Scene,
    sealed::{self, Opened},
};
use crate::{fail::Failure, spent::nanoseconds};

/// Rounds of products: a few milliseconds.
const PRODUCT_ROUNDS: u64 = 500_000;

/// What one number of threads is held against.
pub(super) struct Ceilings {
    cpu: Arc<Cpu>,
    words: Vec<u32>,
    threads: usize,
    /// Products of one run of [`Ceiling::Products`].
    run_products: u64,
    /// Products of the hot plane with one probe.
    plane_products: u64,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ceiling {
    /// A plain read of as many bytes as the hot plane has.
    Read,
    /// A fixed number of products from registers alone.
    Products,
    /// The cipher over what was opened.
    Cipher(Opened),
}

impl Ceiling {
    /// The lane's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => READ,
            Self::Products => PRODUCTS,
            Self::Cipher(_) => CIPHER,
        }
    }
}

/// Names of the lanes.
pub(super) const READ: &str = "plain read of the hot plane";
pub(super) const PRODUCTS: &str = "products from registers";
pub(super) const CIPHER: &str = "the cipher alone";

impl Ceilings {
    /// Sets their memory aside.
    pub(super) fn new(scene: &Scene<'_>, threads: usize) -> Result<Self, Failure> {
        let set = scene.plain.set();
        let hot_bytes: usize =
            set.tiles.iter().map(|tile| set.layout.part_bytes(TilePart::Hot, tile.rows)).sum();
        let cpu = Arc::new(Cpu::new(threads)?);
        let run_products = cpu.int8_products(PRODUCT_ROUNDS);
        Ok(Self {
            cpu,
            words: vec![1; hot_bytes / size_of::<u32>()],
            threads,
            run_products,
            plane_products: set.rows() * set.layout.hot_dims as u64,
        })
    }

    /// Bytes of the hot plane, norms included.
    pub(super) fn hot_bytes(&self) -> u64 {
        (self.words.len() * size_of::<u32>()) as u64
    }

    /// By what a run of [`Ceiling::Products`] is multiplied to be the hot plane with one probe.
    pub(super) fn plane_runs(&self) -> f64 {
        self.plane_products as f64 / self.run_products as f64
    }

    /// Nanoseconds of `runs` runs.
    pub(super) fn time(&self, ceiling: Ceiling, runs: usize) -> Result<Vec<u64>, Failure> {
        let once = || match ceiling {
            Ceiling::Read => Ok(nanoseconds(|| self.cpu.read_words(&self.words))),
            Ceiling::Products => Ok(nanoseconds(|| {
                std::hint::black_box(self.cpu.int8_products(PRODUCT_ROUNDS));
            })),
            Ceiling::Cipher(opened) => sealed::cipher(opened, self.threads),
        };
        (0..runs).map(|_| once()).collect()
    }
}
