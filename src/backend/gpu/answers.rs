//! Whose rows were found: a device is not told subjects, the host fills them in.

use bytemuck::{Zeroable, cast_slice_mut};

use crate::ops::{
    search::{RowHit, RowHits},
    tile::{Row, TileError, TilePart, TileSource},
};

/// Calls `name` once for every tile of `rows` rows in which something was found, with its hits and
/// their rows within the tile.
pub(in crate::backend) fn by_tile<E>(
    answers: &mut [RowHits],
    rows: usize,
    mut name: impl FnMut(usize, &mut [(usize, &mut RowHit)]) -> Result<(), E>,
) -> Result<(), E> {
    let rows = rows as u64;
    let within = |hit: &RowHit| (hit.row % rows) as usize;
    let mut hits: Vec<(usize, &mut RowHit)> = answers
        .iter_mut()
        .flat_map(|answer| &mut answer.hits)
        .map(|hit| (within(hit), hit))
        .collect();
    hits.sort_unstable_by_key(|(_, hit)| hit.row);
    let same = |one: &(usize, &mut RowHit), other: &(usize, &mut RowHit)| {
        one.1.row / rows == other.1.row / rows
    };
    hits.chunk_by_mut(same)
        .try_for_each(|of_tile| name((of_tile[0].1.row / rows) as usize, of_tile))
}

/// Fills in the subjects of `hits` from the row table of `tile`.
pub(in crate::backend) fn from_source(
    source: &dyn TileSource,
    tile: usize,
    hits: &mut [(usize, &mut RowHit)],
) -> Result<(), TileError> {
    let mut table = vec![Row::zeroed(); source.set().tiles[tile].rows];
    source.open(tile, TilePart::Rows, cast_slice_mut(&mut table))?;
    for (row, hit) in hits {
        hit.subject = table[*row].subject;
    }
    Ok(())
}

/// Whose the rows of a tile are.
pub(in crate::backend) fn subjects(
    source: &dyn TileSource,
    tile: usize,
) -> Result<Vec<[u8; 16]>, TileError> {
    let mut table = vec![Row::zeroed(); source.set().tiles[tile].rows];
    source.open(tile, TilePart::Rows, cast_slice_mut(&mut table))?;
    Ok(table.iter().map(|row| row.subject).collect())
}
