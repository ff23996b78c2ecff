//! One tile as plaintext, while the writer changes it.
//!
//! Invariant: it has room for a full tile from the start, because growing would leave copies
//! behind, and it is zero when it is dropped or loaded anew.

use bytemuck::Zeroable;
use zeroize::Zeroize;

use crate::ops::{
    score::rest_norm,
    tile::{Common, ROW_VACANT, Row, TileLayout, TilePart},
};

/// Up to `layout.rows` references: hot plane, cold plane, norms, row table.
pub(super) struct Plain {
    hot: Vec<i8>,
    cold: Vec<i8>,
    /// Of the cold values, for the end of the hot part.
    norms: Vec<[u8; 2]>,
    rows: Vec<Row>,
    used: usize,
    layout: TileLayout,
}

impl Plain {
    /// No rows.
    pub(super) fn empty(layout: TileLayout) -> Self {
        Self {
            hot: vec![0; layout.rows * layout.hot_dims],
            cold: vec![0; layout.rows * (layout.dims - layout.hot_dims)],
            norms: vec![[0; 2]; layout.rows],
            rows: vec![Row::zeroed(); layout.rows],
            used: 0,
            layout,
        }
    }

    /// Forgets what it held.
    pub(super) fn clear(&mut self) {
        self.hot.as_mut_slice().zeroize();
        self.cold.as_mut_slice().zeroize();
        self.norms.as_flattened_mut().zeroize();
        bytemuck::cast_slice_mut::<Row, u8>(&mut self.rows).zeroize();
        self.used = 0;
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows[..self.used]
    }

    pub(super) fn in_common(&self) -> Common {
        Common::of(self.rows())
    }

    pub(super) fn vacant(&self) -> usize {
        self.rows().iter().filter(|row| row.flags & ROW_VACANT != 0).count()
    }

    /// Takes over an opened part of a tile of `used` rows.
    pub(super) fn load(&mut self, part: TilePart, bytes: &[u8], used: usize) {
        self.used = used;
        match part {
            TilePart::Hot => {
                let (values, norms) = self.layout.split_hot(bytes, used);
                self.hot[..values.len()].copy_from_slice(values);
                self.norms[..used].copy_from_slice(norms);
            }
            TilePart::Cold => {
                self.cold[..bytes.len()].copy_from_slice(bytemuck::cast_slice(bytes));
            }
            TilePart::Rows => {
                let rows = &mut self.rows[..used];
                bytemuck::cast_slice_mut::<Row, u8>(rows).copy_from_slice(bytes);
            }
        }
    }

    /// Adds the bytes of a part to `bytes`.
    pub(super) fn store(&self, part: TilePart, bytes: &mut Vec<u8>) {
        match part {
            TilePart::Hot => {
                let values = &self.hot[..self.used * self.layout.hot_dims];
                bytes.extend_from_slice(bytemuck::cast_slice(values));
                bytes.extend_from_slice(self.norms[..self.used].as_flattened());
            }
            TilePart::Cold => {
                let values = &self.cold[..self.used * self.cold_dims()];
                bytes.extend_from_slice(bytemuck::cast_slice(values));
            }
            TilePart::Rows => bytes.extend_from_slice(bytemuck::cast_slice(self.rows())),
        }
    }

    fn cold_dims(&self) -> usize {
        self.layout.dims - self.layout.hot_dims
    }

    /// The values of one row, hot then cold, into `values`.
    pub(super) fn values(&self, row: usize, values: &mut [i8]) {
        let (hot, cold) = values.split_at_mut(self.layout.hot_dims);
        hot.copy_from_slice(&self.hot[row * hot.len()..][..hot.len()]);
        cold.copy_from_slice(&self.cold[row * cold.len()..][..cold.len()]);
    }

    /// Writes a row and its values, which are in the gallery's own space.
    pub(super) fn write(&mut self, row: usize, values: &[i8], record: Row) {
        let (hot, cold) = values.split_at(self.layout.hot_dims);
        self.hot[row * hot.len()..][..hot.len()].copy_from_slice(hot);
        self.cold[row * cold.len()..][..cold.len()].copy_from_slice(cold);
        let norm = u16::try_from(rest_norm(cold)).expect("at most 5,748");
        self.norms[row] = norm.to_le_bytes();
        self.rows[row] = record;
        self.used = self.used.max(row + 1);
    }

    /// The record of a row, to be changed.
    pub(super) fn row_mut(&mut self, row: usize) -> &mut Row {
        &mut self.rows[..self.used][row]
    }

    pub(super) fn vacate(&mut self, row: usize) {
        let (hot, cold) = (self.layout.hot_dims, self.cold_dims());
        self.hot[row * hot..][..hot].fill(0);
        self.cold[row * cold..][..cold].fill(0);
        self.norms[row] = [0; 2];
        self.rows[row] = Row { flags: ROW_VACANT, ..Row::zeroed() };
    }

    /// Makes it `rows` rows of nobody's.
    pub(super) fn vacate_all(&mut self, rows: usize) {
        self.clear();
        self.used = rows;
        self.rows[..rows].fill(Row { flags: ROW_VACANT, ..Row::zeroed() });
    }

    /// What no row may be: a value of −128, or a vacant row that is not zero. The first that is.
    pub(super) fn fault(&self) -> Option<(usize, &'static str)> {
        let (hot, cold) = (self.layout.hot_dims, self.cold_dims());
        self.rows().iter().enumerate().find_map(|(at, row)| {
            let hot = &self.hot[at * hot..][..hot];
            let cold = &self.cold[at * cold..][..cold];
            let norm = u32::from(u16::from_le_bytes(self.norms[at]));
            if hot.iter().chain(cold).any(|&value| value == i8::MIN) {
                Some((at, "holds the value -128"))
            } else if norm != rest_norm(cold) {
                Some((at, "holds a norm that is not that of its values"))
            } else if row.flags & ROW_VACANT != 0
                && (hot.iter().chain(cold).any(|&value| value != 0) || row.subject != [0; 16])
            {
                Some((at, "is vacant and not zero"))
            } else {
                None
            }
        })
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.clear();
    }
}
