//! A probe as the scan holds it: copied once when its caller joins, wiped when the caller leaves.

use zeroize::{Zeroize, Zeroizing};

use super::lanes::Lanes;
use crate::{
    ops::{
        score::rest_norm,
        search::Probe,
        tile::{TileLayout, TileSet},
    },
    types::{Score, Template, TemplateError},
};

/// Thresholds beyond are as good as at this: no bound reaches it, and sums stay within i32 (see
/// `lanes.rs`).
const THRESHOLD_MOST: i32 = 1 << 28;

/// One probe of one caller, in the form that the kernels read.
pub(super) struct Needle {
    template: Template,
    threshold: Score,
    /// Rows kept.
    pub(super) best: usize,
    class_bits: u64,
    group: Option<u32>,
    now_s: i64,
    hot_dims: usize,
    /// Packed hot values.
    pub(super) words: Zeroizing<Vec<u32>>,
    /// Packed cold values.
    pub(super) cold_words: Zeroizing<Vec<u32>>,
    /// What takes the shift of packed cold rows off a sum.
    pub(super) cold_start: i32,
    /// Where a row's sum begins: with it, a bound that reaches the threshold is not negative.
    pub(super) start: i32,
    /// Norm of the cold values, rounded up.
    pub(super) rest: i32,
    /// The threshold, clamped.
    pub(super) needed: i32,
}

impl Needle {
    /// Copies `probe`, which was admitted to `set`.
    pub(super) fn new<L: Lanes>(probe: &Probe<'_>, set: &TileSet) -> Result<Self, TemplateError> {
        let values = probe.template.values();
        let TileLayout { hot_dims, .. } = set.layout;
        let (hot, cold) = values.split_at(hot_dims);
        let needed = probe.threshold.0.clamp(-THRESHOLD_MOST, THRESHOLD_MOST);
        let sum = |values: &[i8]| values.iter().map(|&value| i32::from(value)).sum::<i32>();
        Ok(Self {
            template: Template::new(values.into(), *probe.template.kind())?,
            threshold: probe.threshold,
            best: probe.best,
            class_bits: probe.class_bits,
            group: probe.group,
            now_s: probe.now_s,
            hot_dims,
            words: packed::<L>(hot),
            cold_words: packed::<L>(cold),
            cold_start: -L::SHIFT * sum(cold),
            start: -needed - L::SHIFT * sum(hot),
            rest: rest_norm(cold).cast_signed(),
            needed,
        })
    }

    /// The probe again.
    pub(super) fn probe(&self) -> Probe<'_> {
        Probe {
            template: &self.template,
            threshold: self.threshold,
            best: self.best,
            class_bits: self.class_bits,
            group: self.group,
            now_s: self.now_s,
        }
    }

    /// The values of the hot plane.
    pub(super) fn hot(&self) -> &[i8] {
        &self.template.values()[..self.hot_dims]
    }

    /// The values that are not in the hot plane.
    pub(super) fn cold(&self) -> &[i8] {
        &self.template.values()[self.hot_dims..]
    }

    /// What a score must reach.
    pub(super) fn threshold(&self) -> Score {
        self.threshold
    }

    /// Whether the same rows are eligible for both.
    pub(super) fn asks_as(&self, other: &Needle) -> bool {
        (self.class_bits, self.group, self.now_s) == (other.class_bits, other.group, other.now_s)
    }
}

/// Values as the kernels read them.
fn packed<L: Lanes>(values: &[i8]) -> Zeroizing<Vec<u32>> {
    let mut words = Zeroizing::new(Vec::with_capacity(values.len().div_ceil(4) * L::SPREAD));
    for chunk in values.chunks(4) {
        let mut group = [0; 4];
        group[..chunk.len()].copy_from_slice(chunk);
        L::spread(group, &mut words);
        group.zeroize();
    }
    words
}
