//! Rows of an activation, as the row kernels see them.

use super::memory::Layout;

/// Most input rows that one strip of output rows reads.
pub(super) const REACH_MAX: usize = 40;

/// Consecutive input rows, with their padding; rows above or below the picture are a row of zeros.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// Row `i` of the reach; the first `count` are set.
    pub(super) rows: [&'a [f32]; REACH_MAX],
    /// Whether row `i` lies in the picture.
    pub(super) inside: [bool; REACH_MAX],
    /// How each of them lies.
    pub(super) layout: &'a Layout,
}

impl<'a> Rows<'a> {
    /// No row yet.
    #[inline(always)]
    pub(super) fn none(layout: &'a Layout) -> Self {
        Self { rows: [&[]; REACH_MAX], inside: [false; REACH_MAX], layout }
    }

    /// Row `i` from pixel `-left` on, for a window that is padded by `left`.
    #[inline(always)]
    pub(super) fn padded(&self, i: usize, left: usize) -> &'a [f32] {
        &self.rows[i][(self.layout.left - left) * self.layout.shape.c..]
    }

    /// The pixels of row `i`, without padding.
    #[inline(always)]
    pub(super) fn pixels(&self, i: usize) -> &'a [f32] {
        &self.rows[i][self.layout.start()..self.layout.end()]
    }
}

/// Output rows, one after the other, each as its layout says.
pub(super) struct OutRows<'a> {
    /// The rows, with their padding.
    pub(super) values: &'a mut [f32],
    /// How each lies.
    pub(super) layout: &'a Layout,
}

impl OutRows<'_> {
    /// The pixels of row `i`, without padding.
    pub(super) fn pixels(&mut self, i: usize) -> &mut [f32] {
        let at = i * self.layout.pitch;
        &mut self.values[at + self.layout.start()..at + self.layout.end()]
    }
}
