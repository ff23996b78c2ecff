//! How much one core takes at once; what is beyond goes to another engine.

use super::packet::{PROBES_MAX, Shape};
use crate::limits::CANDIDATES_MAX;

/// Parameters that a core was built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Probes resident at once.
    pub probes: usize,
    /// Candidates kept for each.
    pub best: usize,
    /// Beats of a probe.
    pub probe_beats: usize,
    /// Rows of one hot packet.
    pub tile_rows: usize,
}

impl Sizes {
    /// What `make -C hw cosim` builds when nothing else is said.
    pub const DEFAULT: Self = Self { probes: 16, best: 16, probe_beats: 32, tile_rows: 1024 };

    /// Reads the words of `SIZES` and `CAPACITY`; `None` when no core of this protocol has them.
    #[must_use]
    pub fn of_registers(sizes: u32, capacity: u32) -> Option<Self> {
        let [probes, _, low, high] = sizes.to_le_bytes();
        let [beats_low, beats_high, rows_low, rows_high] = capacity.to_le_bytes();
        let half = |low, high| usize::from(u16::from_le_bytes([low, high]));
        let held = Self {
            probes: usize::from(probes),
            best: half(low, high),
            probe_beats: half(beats_low, beats_high),
            tile_rows: half(rows_low, rows_high),
        };
        held.is_sound().then_some(held)
    }

    /// The words of `SIZES` and `CAPACITY`.
    #[must_use]
    pub fn registers(self) -> [u32; 2] {
        let word = |low: usize, high: usize| (low as u32 & 0xffff) | (high as u32) << 16;
        [word(self.probes, self.best), word(self.probe_beats, self.tile_rows)]
    }

    /// Whether a core of this protocol may be built so.
    #[must_use]
    pub fn is_sound(self) -> bool {
        (1..=PROBES_MAX).contains(&self.probes)
            && (8..=CANDIDATES_MAX).contains(&self.best)
            && self.best.is_multiple_of(8)
            && (1..=64).contains(&self.probe_beats)
            && (32..=1024).contains(&self.tile_rows)
            && self.tile_rows.is_multiple_of(32)
    }

    /// Whether rows of `shape` fit a probe of this core.
    #[must_use]
    pub fn fits(self, shape: Shape) -> bool {
        shape.hot_dims > 0 && shape.beats() <= self.probe_beats
    }
}
