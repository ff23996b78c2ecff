//! Where the parts of a tile lie in a card's memory.
//!
//! ```text
//! packet 0: facts | blocks · packet 1: facts | blocks · … · cold values, row after row
//! ```
//!
//! Facts stand right before the blocks, so that a packet that needs them is one run, and one that
//! does not is the end of that run.

use std::ops::Range;

use super::packet::{Beat, FACTS_ROWS, Shape, push_blocks, push_facts, push_values};
use crate::ops::tile::Row;

/// Of a tile with `rows` rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) shape: Shape,
    pub(super) rows: usize,
    /// Most rows of a packet.
    pub(super) packet_rows: usize,
}

impl Plan {
    fn facts_beats(rows: usize) -> usize {
        rows.div_ceil(FACTS_ROWS)
    }

    /// Beats of facts and blocks of `rows` rows.
    fn hot_beats(&self, rows: usize) -> usize {
        Self::facts_beats(rows) + self.shape.block_beats(rows)
    }

    /// First beat of the packet whose first row is `row`.
    fn packet_at(&self, row: usize) -> usize {
        row / self.packet_rows * self.hot_beats(self.packet_rows)
    }

    /// First beat of the cold values.
    fn cold_at(&self) -> usize {
        let whole = self.rows / self.packet_rows * self.packet_rows;
        self.packet_at(whole) + self.hot_beats(self.rows - whole)
    }

    /// Beats in all.
    pub(super) fn beats(&self) -> u32 {
        (self.cold_at() + self.rows * self.shape.cold_beats()) as u32
    }

    /// Rows of each packet.
    pub(super) fn packets(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let Self { rows, packet_rows, .. } = *self;
        (0..rows).step_by(packet_rows).map(move |from| from..(from + packet_rows).min(rows))
    }

    /// The beats of a packet after its header.
    pub(super) fn packet_beats(&self, packet: Range<usize>, with_facts: bool) -> Range<u32> {
        let at = self.packet_at(packet.start);
        let spared = if with_facts { 0 } else { Self::facts_beats(packet.len()) };
        (at + spared) as u32..(at + self.hot_beats(packet.len())) as u32
    }

    /// The beats of a row's hot and cold values.
    pub(super) fn row_beats(&self, row: usize) -> (Range<u32>, Range<u32>) {
        let first = row / self.packet_rows * self.packet_rows;
        let length = self.packet_rows.min(self.rows - first);
        let blocks = self.packet_at(first) + Self::facts_beats(length);
        let hot = (blocks + self.shape.hot_row_at(row - first)) as u32;
        let cold = (self.cold_at() + row * self.shape.cold_beats()) as u32;
        (hot..hot + self.shape.hot_beats() as u32, cold..cold + self.shape.cold_beats() as u32)
    }

    /// Appends the tile as it lies in memory.
    ///
    /// # Panics
    /// When the parts are not those of `rows` rows.
    pub(super) fn push(
        &self,
        (values, norms): (&[i8], &[[u8; 2]]),
        cold: &[i8],
        table: &[Row],
        to: &mut Vec<Beat>,
    ) {
        let Shape { hot_dims, cold_dims } = self.shape;
        for rows in self.packets() {
            push_facts(&table[rows.clone()], to);
            let own = &values[rows.start * hot_dims..rows.end * hot_dims];
            push_blocks(own, &norms[rows], self.shape, to);
        }
        if cold_dims > 0 {
            cold.chunks_exact(cold_dims).for_each(|row| push_values(row, to));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    #[test]
    fn every_row_lies_where_the_plan_says() {
        for (rows, hot_dims, cold_dims) in [(1, 64, 64), (70, 100, 30), (64, 5, 0), (33, 65, 200)] {
            let shape = Shape { hot_dims, cold_dims };
            let plan = Plan { shape, rows, packet_rows: 32 };
            let hot: Vec<i8> = (0..rows).flat_map(|row| vec![row as i8 + 1; hot_dims]).collect();
            let cold: Vec<i8> =
                (0..rows).flat_map(|row| vec![-(row as i8) - 1; cold_dims]).collect();
            let norms = vec![[7, 7]; rows];
            let table = vec![Row { flags: 0x0505_0505, ..Row::zeroed() }; rows];
            let mut beats = Vec::new();
            plan.push((&hot, &norms), &cold, &table, &mut beats);
            assert_eq!(beats.len(), plan.beats() as usize);
            for row in 0..rows {
                let (hot, cold) = plan.row_beats(row);
                assert_eq!(beats[hot.start as usize][0], row as u8 + 1);
                assert_eq!(hot.len(), shape.hot_beats());
                assert_eq!(cold.len(), shape.cold_beats());
                if cold_dims > 0 {
                    assert_eq!(beats[cold.start as usize][0].cast_signed(), -(row as i8) - 1);
                }
            }
            for packet in plan.packets() {
                let with = plan.packet_beats(packet.clone(), true);
                let without = plan.packet_beats(packet, false);
                assert_eq!(beats[with.start as usize][28], 5, "facts come first");
                assert_eq!(beats[without.start as usize][0], 7, "then norms");
                assert_eq!(with.end, without.end);
            }
        }
    }
}
