//! What the machine could do at most, measured in the same run.

use portcullis::{
    backend::cpu::Cpu,
    ops::tile::{TilePart, TileSource},
};

use super::Scene;
use crate::{
    fail::Failure,
    spent::{Measured, nanoseconds},
};

/// Rounds of products: a few milliseconds.
const PRODUCT_ROUNDS: u64 = 500_000;

/// The ceilings of one number of threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ceiling {
    /// Bytes of the hot plane, norms included.
    pub(super) hot_bytes: u64,
    /// Milliseconds of a plain read of as many bytes.
    pub(super) read_ms: f64,
    /// Milliseconds that the products of the hot plane with one probe take from registers alone.
    pub(super) products_ms: f64,
}

/// Measures them.
pub(super) fn measure(scene: &Scene<'_>, threads: usize) -> Result<Ceiling, Failure> {
    let set = scene.plain.set();
    let hot_bytes: usize =
        set.tiles.iter().map(|tile| set.layout.part_bytes(TilePart::Hot, tile.rows)).sum();
    let cpu = Cpu::new(threads)?;
    let words = vec![1_u32; hot_bytes / size_of::<u32>()];
    let [mut reading, mut multiplying] = [Measured::default(), Measured::default()];
    let rounds = if scene.options.smoke { 1 } else { 2 * scene.options.rounds };
    reading.extend((0..rounds).map(|_| nanoseconds(|| cpu.read_words(&words))));
    let mut products = 1;
    multiplying
        .extend((0..rounds).map(|_| nanoseconds(|| products = cpu.int8_products(PRODUCT_ROUNDS))));
    let needed = set.rows() * set.layout.hot_dims as u64;
    Ok(Ceiling {
        hot_bytes: hot_bytes as u64,
        read_ms: reading.median_ms(),
        // What is possible, so the least.
        products_ms: multiplying.least_ms() * needed as f64 / products as f64,
    })
}
