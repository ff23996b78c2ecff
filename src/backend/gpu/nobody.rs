//! A gallery in which nobody is, to be searched before somebody waits for an answer: drivers
//! compile and load a program when it is first run.

use std::sync::Arc;

use crate::{
    backend::{BackendError, Tiles},
    ops::{
        search::{Probe, RowHits},
        tile::{Common, Row, TileError, TileLayout, TilePart, TileRef, TileSet, TileSource},
    },
    types::{Hash256, Score, Template, TemplateKind},
};

const LAYOUT: TileLayout = TileLayout { dims: 16, hot_dims: 8, rows: 1 };
const KIND: TemplateKind = TemplateKind {
    model: Hash256::from_bytes([0; 32]),
    calibration: Hash256::from_bytes([0; 32]),
    dims: 16,
};

/// One row of zeros, which is nobody's.
struct Nobody(TileSet);

impl TileSource for Nobody {
    fn set(&self) -> &TileSet {
        &self.0
    }

    fn open(&self, _tile: usize, _part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        scratch.fill(0);
        Ok(())
    }
}

/// Searches it by `search`, once for each of `asked`: so many probes, for so many of the best.
pub(in crate::backend) fn search_nobody(
    asked: impl IntoIterator<Item = (usize, usize)>,
    mut search: impl FnMut(&[Probe<'_>], &Tiles) -> Result<Vec<RowHits>, BackendError>,
) -> Result<(), BackendError> {
    let row: Row = bytemuck::Zeroable::zeroed();
    let tiles = [TileRef { rows: 1, content: 0, common: Common::of(&[row]) }];
    let set = TileSet { generation: 0, kind: KIND, layout: LAYOUT, tiles: tiles.into() };
    let tiles = Tiles::Source(Arc::new(Nobody(set)));
    let template = Template::new([1; LAYOUT.dims].into(), KIND)?;
    for (probes, best) in asked {
        let probe = || Probe {
            template: &template,
            threshold: Score(0),
            best,
            class_bits: 0,
            group: None,
            now_s: 0,
        };
        let probes: Vec<Probe<'_>> = std::iter::repeat_with(probe).take(probes).collect();
        search(&probes, &tiles)?;
    }
    Ok(())
}
