//! The planes of one tile, and a draft that copies a tile before it changes it.

use std::{collections::BTreeSet, sync::Arc};

use bytemuck::Zeroable;
use zeroize::optimization_barrier;

use crate::{
    ops::{
        score::rest_norm,
        tile::{Common, ROW_VACANT, Row, TileLayout, TilePart, TileRef},
    },
    types::Template,
};

/// Up to `layout.rows` references: hot plane, cold plane, row table. Zeroed when dropped.
pub(super) struct Tile {
    /// Room for a full tile from the start: growing would leave copies behind.
    hot: Vec<u8>,
    cold: Vec<u8>,
    /// Of the cold values, for the end of the hot part.
    norms: Vec<[u8; 2]>,
    rows: Vec<Row>,
    used: usize,
    content: u64,
    layout: TileLayout,
}

impl Tile {
    fn empty(layout: TileLayout, content: u64) -> Self {
        Self {
            hot: vec![0; layout.rows * layout.hot_dims],
            cold: vec![0; layout.part_bytes(TilePart::Cold, layout.rows)],
            norms: vec![[0; 2]; layout.rows],
            rows: vec![Row::zeroed(); layout.rows],
            used: 0,
            content,
            layout,
        }
    }

    /// The same rows under a new content number.
    fn copy(&self, content: u64) -> Self {
        let mut tile = Self::empty(self.layout, content);
        let used = self.used * self.layout.hot_dims;
        tile.hot[..used].copy_from_slice(&self.hot[..used]);
        let used = self.layout.part_bytes(TilePart::Cold, self.used);
        tile.cold[..used].copy_from_slice(&self.cold[..used]);
        tile.norms[..self.used].copy_from_slice(&self.norms[..self.used]);
        tile.rows[..self.used].copy_from_slice(&self.rows[..self.used]);
        tile.used = self.used;
        tile
    }

    pub(super) fn name(&self) -> TileRef {
        TileRef { rows: self.used, content: self.content, common: Common::of(self.rows()) }
    }

    pub(super) fn row(&self, row: usize) -> &Row {
        &self.rows[..self.used][row]
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows[..self.used]
    }

    /// Writes a part into `scratch`, which is of the part's size.
    pub(super) fn read(&self, part: TilePart, scratch: &mut [u8]) {
        match part {
            TilePart::Hot => {
                let (values, norms) = scratch.split_at_mut(self.used * self.layout.hot_dims);
                values.copy_from_slice(&self.hot[..values.len()]);
                norms.copy_from_slice(self.norms[..self.used].as_flattened());
            }
            TilePart::Cold => scratch.copy_from_slice(&self.cold[..scratch.len()]),
            TilePart::Rows => scratch.copy_from_slice(bytemuck::cast_slice(self.rows())),
        }
    }

    /// The int8 values of one row, hot then cold.
    pub(super) fn values(&self, row: usize) -> Box<[i8]> {
        let (hot, cold) = (self.layout.hot_dims, self.layout.dims - self.layout.hot_dims);
        let parts = [&self.hot[row * hot..][..hot], &self.cold[row * cold..][..cold]];
        let mut values = vec![0; self.layout.dims].into_boxed_slice();
        values[..hot].copy_from_slice(bytemuck::cast_slice(parts[0]));
        values[hot..].copy_from_slice(bytemuck::cast_slice(parts[1]));
        values
    }

    fn write(&mut self, row: usize, template: &Template, entry: Row) {
        let (hot, cold) = (self.layout.hot_dims, self.layout.dims - self.layout.hot_dims);
        let (first, rest) = template.values().split_at(hot);
        self.hot[row * hot..][..hot].copy_from_slice(bytemuck::cast_slice(first));
        self.cold[row * cold..][..cold].copy_from_slice(bytemuck::cast_slice(rest));
        let norm = u16::try_from(rest_norm(&template.values()[hot..])).expect("at most 5,748");
        self.norms[row] = norm.to_le_bytes();
        self.rows[row] = entry;
        self.used = self.used.max(row + 1);
    }

    fn vacate(&mut self, row: usize) {
        let (hot, cold) = (self.layout.hot_dims, self.layout.dims - self.layout.hot_dims);
        self.hot[row * hot..][..hot].fill(0);
        self.cold[row * cold..][..cold].fill(0);
        self.norms[row] = [0; 2];
        self.rows[row] = Row { flags: ROW_VACANT, ..Row::zeroed() };
    }
}

impl Drop for Tile {
    fn drop(&mut self) {
        self.hot.fill(0);
        self.cold.fill(0);
        self.norms.fill([0; 2]);
        self.rows.fill(Row::zeroed());
        optimization_barrier(self.hot.as_slice());
        optimization_barrier(self.cold.as_slice());
        optimization_barrier(self.norms.as_slice());
        optimization_barrier(self.rows.as_slice());
    }
}

/// The next generation in the making: shares every tile until it is changed.
pub(super) struct Draft {
    layout: TileLayout,
    tiles: Vec<Arc<Tile>>,
    /// Tiles that are this draft's own.
    own: BTreeSet<usize>,
    /// The next content number.
    content: u64,
}

impl Draft {
    pub(super) fn of(layout: TileLayout, tiles: &[Arc<Tile>], content: u64) -> Self {
        Self { layout, tiles: tiles.to_vec(), own: BTreeSet::new(), content }
    }

    pub(super) fn rows(&self) -> u64 {
        self.tiles.iter().map(|tile| tile.used as u64).sum()
    }

    pub(super) fn write(&mut self, row: u64, template: &Template, entry: Row) {
        let at = self.within(row);
        self.tile(row).write(at, template, entry);
    }

    pub(super) fn vacate(&mut self, row: u64) {
        let at = self.within(row);
        self.tile(row).vacate(at);
    }

    pub(super) fn flag(&mut self, row: u64, flags: u32) {
        let at = self.within(row);
        self.tile(row).rows[at].flags = flags;
    }

    /// The tiles and the next content number.
    pub(super) fn finish(self) -> (Vec<Arc<Tile>>, u64) {
        (self.tiles, self.content)
    }

    fn within(&self, row: u64) -> usize {
        (row % self.layout.rows as u64) as usize
    }

    /// The tile of `row` as this draft's own: made new behind the last, or copied once.
    fn tile(&mut self, row: u64) -> &mut Tile {
        let index = (row / self.layout.rows as u64) as usize;
        if index == self.tiles.len() {
            self.tiles.push(Arc::new(Tile::empty(self.layout, self.content)));
            self.own.insert(index);
            self.content += 1;
        } else if self.own.insert(index) {
            self.tiles[index] = Arc::new(self.tiles[index].copy(self.content));
            self.content += 1;
        }
        Arc::get_mut(&mut self.tiles[index]).expect("the draft's own tiles are not shared yet")
    }
}
