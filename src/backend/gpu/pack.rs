//! Tiles as devices read them (shaders/shared/gallery.wgsl, kernels/README.md), cut into pieces of
//! few rows.
//!
//! A piece is what one group of lanes scans; a tile of many rows becomes several. Values are padded
//! with zeros to whole elements of sixteen, which changes no product.
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use bytemuck::{Pod, Zeroable, bytes_of};

use crate::ops::tile::{Row, TileLayout};

/// Values of one element.
const QUAD: usize = 16;
/// Norms of one element.
const NORMS: usize = 8;
/// Most rows of a piece; tiles of the product have as many.
pub(in crate::backend) const PIECE_ROWS_MAX: usize = 1024;
/// Rows of a piece where everything is divided finely.
const PIECE_ROWS_TIGHT: usize = 8;

/// `Facts` of shaders/shared/gallery.wgsl and of the kernels: what is asked about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub(in crate::backend) struct Facts {
    pub(in crate::backend) class_low: u32,
    pub(in crate::backend) class_high: u32,
    pub(in crate::backend) not_before_low: u32,
    pub(in crate::backend) not_before_high: i32,
    pub(in crate::backend) expiry_low: u32,
    pub(in crate::backend) expiry_high: i32,
    pub(in crate::backend) group: u32,
    pub(in crate::backend) flags: u32,
}

/// The upper half of a 64-bit number, with its sign.
pub(in crate::backend) fn high(value: i64) -> i32 {
    i32::try_from(value >> 32).expect("32 bits are left")
}

/// The lower half of a 64-bit number's bits.
pub(in crate::backend) fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).expect("32 bits are left")
}

/// Sizes of a slot, which holds one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend) struct SlotShape {
    /// Values of a row in each plane.
    hot_dims: usize,
    cold_dims: usize,
    /// Rows of a slot, a multiple of eight.
    pub(in crate::backend) rows: usize,
}

/// A stretch of the rows of one tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend) struct Stretch {
    /// First row within the tile.
    pub(in crate::backend) first: usize,
    /// Rows.
    pub(in crate::backend) rows: usize,
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "a layout is bounded by the limits of a gallery"
)]
impl SlotShape {
    /// The slots of a layout.
    pub(in crate::backend) fn of(layout: TileLayout, tight: bool) -> Self {
        let most = if tight { PIECE_ROWS_TIGHT } else { PIECE_ROWS_MAX };
        let rows = layout.rows.clamp(1, most).next_multiple_of(NORMS);
        Self { hot_dims: layout.hot_dims, cold_dims: layout.dims - layout.hot_dims, rows }
    }

    /// Elements of a row's hot values.
    pub(in crate::backend) fn hot_quads(&self) -> usize {
        self.hot_dims.div_ceil(QUAD)
    }

    /// Elements of a row's cold values.
    pub(in crate::backend) fn cold_quads(&self) -> usize {
        self.cold_dims.div_ceil(QUAD)
    }

    /// Bytes of a slot's hot values and norms.
    pub(in crate::backend) fn hot_bytes(&self) -> usize {
        (self.hot_quads() * self.rows + self.rows / NORMS) * QUAD
    }

    /// Bytes of a slot's cold values.
    pub(in crate::backend) fn cold_bytes(&self) -> usize {
        self.cold_quads() * self.rows * QUAD
    }

    /// Bytes of a slot's facts.
    pub(in crate::backend) fn facts_bytes(&self) -> usize {
        self.rows * size_of::<Facts>()
    }

    /// Bytes of a slot in all planes.
    pub(in crate::backend) fn bytes(&self) -> usize {
        self.hot_bytes() + self.cold_bytes() + self.facts_bytes()
    }

    /// The pieces of a tile of `rows` rows.
    pub(in crate::backend) fn stretches(
        &self,
        rows: usize,
    ) -> impl Iterator<Item = Stretch> + use<> {
        let most = self.rows;
        (0..rows).step_by(most).map(move |first| Stretch { first, rows: most.min(rows - first) })
    }

    /// Writes the hot values and norms of a stretch into `slot`, which is all zeros.
    pub(in crate::backend) fn pack_hot(
        &self,
        stretch: Stretch,
        values: &[i8],
        norms: &[[u8; 2]],
        slot: &mut [u8],
    ) {
        let values: &[u8] = bytemuck::cast_slice(values);
        let (planes, tail) = slot.split_at_mut(self.hot_quads() * self.rows * QUAD);
        for row in 0..stretch.rows {
            let from = &values[(stretch.first + row) * self.hot_dims..][..self.hot_dims];
            for (quad, sixteen) in from.chunks(QUAD).enumerate() {
                let at = (quad * self.rows + row) * QUAD;
                planes[at..at + sixteen.len()].copy_from_slice(sixteen);
            }
        }
        let norms = &norms[stretch.first..][..stretch.rows];
        tail[..norms.len() * 2].copy_from_slice(bytemuck::cast_slice(norms));
    }

    /// Writes the cold values of a stretch into `slot`, which is all zeros.
    pub(in crate::backend) fn pack_cold(&self, stretch: Stretch, values: &[u8], slot: &mut [u8]) {
        if self.cold_dims == 0 {
            return;
        }
        let rows = values.chunks_exact(self.cold_dims).skip(stretch.first).take(stretch.rows);
        for (to, from) in slot.chunks_exact_mut(self.cold_quads() * QUAD).zip(rows) {
            to[..from.len()].copy_from_slice(from);
        }
    }

    /// Writes the facts of a stretch into `slot`.
    pub(in crate::backend) fn pack_facts(&self, stretch: Stretch, rows: &[Row], slot: &mut [u8]) {
        let rows = &rows[stretch.first..][..stretch.rows];
        for (to, row) in slot.chunks_exact_mut(size_of::<Facts>()).zip(rows) {
            to.copy_from_slice(bytes_of(&facts(row)));
        }
    }

    /// A template as the shaders read it: hot elements, then cold ones.
    pub(in crate::backend) fn pack_probe(&self, values: &[i8], packed: &mut [u8]) {
        let values: &[u8] = bytemuck::cast_slice(values);
        let (hot, cold) = values.split_at(self.hot_dims);
        packed[..hot.len()].copy_from_slice(hot);
        let begin = self.hot_quads() * QUAD;
        packed[begin..begin + cold.len()].copy_from_slice(cold);
    }

    /// Bytes of a packed template.
    pub(in crate::backend) fn probe_bytes(&self) -> usize {
        (self.hot_quads() + self.cold_quads()) * QUAD
    }
}

fn facts(row: &Row) -> Facts {
    Facts {
        class_low: low(row.class_bits),
        class_high: low(row.class_bits >> 32),
        not_before_low: low(row.not_before_s.cast_unsigned()),
        not_before_high: high(row.not_before_s),
        expiry_low: low(row.expiry_s.cast_unsigned()),
        expiry_high: high(row.expiry_s),
        group: row.group,
        flags: row.flags,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: TileLayout = TileLayout { dims: 19, hot_dims: 17, rows: 3 };

    #[test]
    fn halves_of_long_numbers_come_back() {
        for value in [i64::MIN, -1, 0, 1, 1 << 31, 1 << 32, i64::MAX] {
            let (high, low) = (high(value), low(value.cast_unsigned()));
            assert_eq!((i64::from(high) << 32) | i64::from(low), value);
        }
    }

    #[test]
    fn hot_values_stand_by_element_and_norms_after_them() {
        let shape = SlotShape::of(LAYOUT, false);
        assert_eq!((shape.rows, shape.hot_quads(), shape.cold_quads()), (8, 2, 1));
        let values: Vec<i8> = (1..=51).collect();
        let norms = [[1, 2], [3, 4], [5, 6]];
        let mut slot = vec![0; shape.hot_bytes()];
        shape.pack_hot(Stretch { first: 1, rows: 2 }, &values, &norms, &mut slot);
        assert_eq!(slot[..16], (18..34).collect::<Vec<u8>>());
        assert_eq!(slot[16..32], (35..51).collect::<Vec<u8>>());
        assert_eq!((slot[8 * 16], slot[9 * 16], slot[9 * 16 + 1]), (34, 51, 0));
        assert_eq!(slot[16 * 16..][..5], [3, 4, 5, 6, 0]);
    }

    #[test]
    fn cold_values_stand_by_row() {
        let shape = SlotShape::of(LAYOUT, false);
        let mut slot = vec![0; shape.cold_bytes()];
        shape.pack_cold(Stretch { first: 1, rows: 2 }, &[1, 2, 3, 4, 5, 6], &mut slot);
        assert_eq!((slot[0], slot[1], slot[16], slot[17], slot[32]), (3, 4, 5, 6, 0));
    }

    #[test]
    fn a_tile_is_cut_into_pieces_without_rest() {
        let shape = SlotShape::of(TileLayout { rows: 2500, ..LAYOUT }, false);
        let cut: Vec<_> = shape.stretches(2500).map(|piece| (piece.first, piece.rows)).collect();
        assert_eq!(cut, [(0, 1024), (1024, 1024), (2048, 452)]);
        assert_eq!(shape.stretches(0).count(), 0);
        let tight = SlotShape::of(LAYOUT, true);
        assert_eq!(tight.stretches(17).count(), 3);
    }
}
