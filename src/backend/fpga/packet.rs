//! Packets and rows as beats: what the core is streamed (`hw/PROTOCOL.md` has the pictures).
//!
//! Invariant: every function appends whole beats, padded with zeros; what it appends to is scratch
//! of the caller, who wipes it.

use crate::ops::{
    search::{Eligible, Probe, eligibility},
    tile::{Common, Row, TileLayout},
};

/// Bytes of a beat.
pub const BEAT_BYTES: usize = 64;
/// One beat of 512 bits.
pub type Beat = [u8; BEAT_BYTES];
/// Rows of a block: one norm each in one beat, one bit each in a result.
pub const BLOCK_ROWS: usize = 32;
/// Rows whose facts fill a beat.
pub const FACTS_ROWS: usize = 2;
/// Bytes of a row's facts: its record without the subject.
pub const FACTS_BYTES: usize = BEAT_BYTES / FACTS_ROWS;
/// Most probes that the packets have a bit for.
pub const PROBES_MAX: usize = 16;

/// Kind of a packet that tests every row.
pub const KIND_HOT: u8 = 1;
/// Kind of a packet that finishes one row.
pub const KIND_COLD: u8 = 2;
/// Kind of a packet that asks for the answer.
pub const KIND_FINISH: u8 = 3;

/// How many beats a row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Hot values.
    pub hot_dims: usize,
    /// Cold values.
    pub cold_dims: usize,
}

impl Shape {
    /// Of the rows of a tile.
    #[must_use]
    pub fn of(layout: TileLayout) -> Self {
        Self { hot_dims: layout.hot_dims, cold_dims: layout.dims - layout.hot_dims }
    }

    /// Beats of the hot values.
    #[must_use]
    pub fn hot_beats(self) -> usize {
        self.hot_dims.div_ceil(BEAT_BYTES)
    }

    /// Beats of the cold values.
    #[must_use]
    pub fn cold_beats(self) -> usize {
        self.cold_dims.div_ceil(BEAT_BYTES)
    }

    /// Beats of both.
    #[must_use]
    pub fn beats(self) -> usize {
        self.hot_beats() + self.cold_beats()
    }

    /// Beats of the blocks of `rows` rows.
    #[must_use]
    pub fn block_beats(self, rows: usize) -> usize {
        rows.div_ceil(BLOCK_ROWS) + rows * self.hot_beats()
    }

    /// First beat of row `row`, from the first of its blocks.
    #[must_use]
    pub fn hot_row_at(self, row: usize) -> usize {
        row / BLOCK_ROWS + 1 + row * self.hot_beats()
    }
}

/// Which probes may find the rows of a packet: all of them, or whether each row must be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Masks {
    /// Probes that may find every row.
    pub all: u16,
    /// Probes that ask each row's facts.
    pub each: u16,
}

impl Masks {
    /// What a tile's rows have in common says about each probe.
    #[must_use]
    pub fn of(probes: &[Probe<'_>], common: &Common) -> Self {
        let mut masks = Self::default();
        for (number, probe) in probes.iter().enumerate() {
            match eligibility(probe, common) {
                Eligible::All => masks.all |= 1 << number,
                Eligible::Each => masks.each |= 1 << number,
                Eligible::None => {}
            }
        }
        masks
    }

    /// Whether nobody may find anything.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.all | self.each == 0
    }
}

/// The header of a hot packet of `rows` rows.
#[must_use]
pub fn hot_header(rows: u32, masks: Masks) -> Beat {
    let mut beat = [0; BEAT_BYTES];
    beat[0] = KIND_HOT;
    beat[2..4].copy_from_slice(&masks.all.to_le_bytes());
    beat[4..8].copy_from_slice(&rows.to_le_bytes());
    beat[8..10].copy_from_slice(&masks.each.to_le_bytes());
    beat
}

/// The header of a cold packet: row `row`, finished for the probes of `want`.
#[must_use]
pub fn cold_header(row: u32, want: u16) -> Beat {
    let mut beat = [0; BEAT_BYTES];
    beat[0] = KIND_COLD;
    beat[2..4].copy_from_slice(&want.to_le_bytes());
    beat[4..8].copy_from_slice(&row.to_le_bytes());
    beat
}

/// The packet that asks for the answer.
#[must_use]
pub fn finish() -> Beat {
    let mut beat = [0; BEAT_BYTES];
    beat[0] = KIND_FINISH;
    beat
}

/// Appends the facts of `rows`, two rows a beat.
pub fn push_facts(rows: &[Row], to: &mut Vec<Beat>) {
    for pair in rows.chunks(FACTS_ROWS) {
        let mut beat = [0; BEAT_BYTES];
        for (place, row) in beat.chunks_exact_mut(FACTS_BYTES).zip(pair) {
            place[0..8].copy_from_slice(&row.class_bits.to_le_bytes());
            place[8..16].copy_from_slice(&row.not_before_s.to_le_bytes());
            place[16..24].copy_from_slice(&row.expiry_s.to_le_bytes());
            place[24..28].copy_from_slice(&row.group.to_le_bytes());
            place[28..32].copy_from_slice(&row.flags.to_le_bytes());
        }
        to.push(beat);
    }
}

/// Appends the blocks of a packet's rows: norms, then values, 32 rows at a time.
///
/// # Panics
/// When there are not `hot_dims` values for each norm.
pub fn push_blocks(values: &[i8], norms: &[[u8; 2]], shape: Shape, to: &mut Vec<Beat>) {
    assert_eq!(values.len(), norms.len() * shape.hot_dims, "a norm for each row");
    let blocks = values.chunks(shape.hot_dims * BLOCK_ROWS).zip(norms.chunks(BLOCK_ROWS));
    for (values, norms) in blocks {
        let mut beat = [0; BEAT_BYTES];
        beat[..norms.len() * 2].copy_from_slice(norms.as_flattened());
        to.push(beat);
        for row in values.chunks_exact(shape.hot_dims) {
            push_values(row, to);
        }
    }
}

/// Appends the values of one part of a row or a probe.
pub fn push_values(values: &[i8], to: &mut Vec<Beat>) {
    for chunk in values.chunks(BEAT_BYTES) {
        let mut beat = [0; BEAT_BYTES];
        beat[..chunk.len()].copy_from_slice(bytemuck::cast_slice(chunk));
        to.push(beat);
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    #[test]
    fn blocks_stand_where_their_rows_are_said_to_be() {
        for (hot_dims, rows) in [(1, 1), (64, 32), (65, 33), (128, 100)] {
            let shape = Shape { hot_dims, cold_dims: 0 };
            let values: Vec<i8> =
                (0..rows).flat_map(|row| vec![(row % 100) as i8 + 1; hot_dims]).collect();
            let norms: Vec<[u8; 2]> = (0..rows).map(|row| [row as u8, 9]).collect();
            let mut beats = Vec::new();
            push_blocks(&values, &norms, shape, &mut beats);
            assert_eq!(beats.len(), shape.block_beats(rows));
            for row in 0..rows {
                let first = &beats[shape.hot_row_at(row)];
                assert_eq!(usize::from(first[0]), row % 100 + 1);
                let norms = &beats[shape.hot_row_at(row / BLOCK_ROWS * BLOCK_ROWS) - 1];
                assert_eq!(usize::from(norms[row % BLOCK_ROWS * 2]), row);
                let last = &beats[shape.hot_row_at(row) + shape.hot_beats() - 1];
                assert!(last[(hot_dims - 1) % 64 + 1..].iter().all(|&byte| byte == 0));
            }
        }
    }

    #[test]
    fn facts_are_the_record_without_the_subject() {
        let row = Row {
            subject: [9; 16],
            class_bits: 0x0102_0304_0506_0708,
            not_before_s: -2,
            expiry_s: i64::MAX,
            group: 7,
            flags: 3,
        };
        let mut beats = Vec::new();
        push_facts(&[Row::zeroed(), row, row], &mut beats);
        assert_eq!(beats.len(), 2);
        assert_eq!(beats[0][..32], [0; 32]);
        assert_eq!(&beats[0][32..], &bytemuck::bytes_of(&row)[16..], "a little-endian host");
        assert_eq!(beats[1][..32], beats[0][32..]);
        assert_eq!(beats[1][32..], [0; 32]);
    }
}
