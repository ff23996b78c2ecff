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

/// The ceilings of one number of threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ceiling {
    /// Bytes of the hot plane, norms included.
    pub(super) hot_bytes: u64,
    /// Milliseconds of a plain read of as many bytes.
    pub(super) read_ms: f64,
}

/// Measures them.
pub(super) fn measure(scene: &Scene<'_>, threads: usize) -> Result<Ceiling, Failure> {
    let set = scene.plain.set();
    let hot_bytes: usize =
        set.tiles.iter().map(|tile| set.layout.part_bytes(TilePart::Hot, tile.rows)).sum();
    let cpu = Cpu::new(threads)?;
    let values = vec![1.0_f32; hot_bytes / size_of::<f32>()];
    let mut reading = Measured::default();
    let rounds = if scene.options.smoke { 1 } else { 2 * scene.options.rounds };
    reading.extend((0..rounds).map(|_| nanoseconds(|| cpu.read(&values))));
    Ok(Ceiling { hot_bytes: hot_bytes as u64, read_ms: reading.median_ms() })
}
