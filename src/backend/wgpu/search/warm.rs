//! Every scan and every merge once, before somebody waits for an answer: drivers compile a shader
//! when it is first run.

use std::sync::Arc;

use super::Searcher;
use crate::{
    backend::{BackendError, Tiles},
    limits::CANDIDATES_MAX,
    ops::{
        search::Probe,
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
/// Probes that one variant or another takes at a time.
const PROBES: [usize; 4] = [1, 2, 4, 8];

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

impl Searcher {
    /// Runs every variant of the search's shaders.
    pub(in crate::backend::wgpu) fn warm_up(&self) -> Result<(), BackendError> {
        let row: Row = bytemuck::Zeroable::zeroed();
        let tiles = [TileRef { rows: 1, content: 0, common: Common::of(&[row]) }];
        let set = TileSet { generation: 0, kind: KIND, layout: LAYOUT, tiles: tiles.into() };
        let tiles = Tiles::Source(Arc::new(Nobody(set)));
        let template = Template::new([1; LAYOUT.dims].into(), KIND)?;
        for best in [1, CANDIDATES_MAX] {
            for probes in PROBES {
                let probe = || Probe {
                    template: &template,
                    threshold: Score(0),
                    best,
                    class_bits: 0,
                    group: None,
                    now_s: 0,
                };
                let probes: Vec<Probe<'_>> = std::iter::repeat_with(probe).take(probes).collect();
                self.search(&probes, &tiles)?;
            }
        }
        Ok(())
    }
}
