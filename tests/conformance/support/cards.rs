//! Cards for the suites: the engine beside them that must not be asked, and one that hands over
//! long requests in parts, so that a card and not its neighbour answers them.

use std::sync::Arc;

use portcullis::{
    backend::{
        Backend, BackendError, Description, Network, Pinned, Plaintext, Tiles,
        fpga::{Fpga, card::Card, sizes::Sizes, soft::Soft},
    },
    ops::{
        program::Program,
        search::{Probe, RowHits},
        tile::TileSource,
    },
};

use super::Made;

/// The longest lists that a search may ask for.
pub(crate) const LONG_LISTS: Sizes = Sizes { best: 256, ..Sizes::DEFAULT };

/// The engine beside a card that is expected to answer by itself.
pub(crate) struct Nobody;

impl Backend for Nobody {
    fn describe(&self) -> Description {
        Description {
            name: "nobody",
            device: "none".to_owned(),
            detail: String::new(),
            threads: 1,
            missing: Vec::new(),
            plaintext: Plaintext::Host,
        }
    }

    fn load(&self, _: &Program, _: usize) -> Result<Box<dyn Network>, BackendError> {
        panic!("a network was handed on")
    }

    fn pin(&self, _: &Arc<dyn TileSource>) -> Result<Arc<dyn Pinned>, BackendError> {
        panic!("a set was handed on")
    }

    fn search(&self, _: &[Probe<'_>], _: &Tiles) -> Result<Vec<RowHits>, BackendError> {
        panic!("a search was handed on")
    }
}

/// Hands over as many probes at once as the card takes.
struct Parted(Fpga);

impl Backend for Parted {
    fn describe(&self) -> Description {
        self.0.describe()
    }

    fn load(&self, program: &Program, batch_max: usize) -> Result<Box<dyn Network>, BackendError> {
        self.0.load(program, batch_max)
    }

    fn pin(&self, source: &Arc<dyn TileSource>) -> Result<Arc<dyn Pinned>, BackendError> {
        self.0.pin(source)
    }

    fn search(&self, probes: &[Probe<'_>], tiles: &Tiles) -> Result<Vec<RowHits>, BackendError> {
        let parts = probes.chunks(self.0.sizes().probes).map(|few| self.0.search(few, tiles));
        Ok(parts.collect::<Result<Vec<_>, _>>()?.concat())
    }
}

/// A card that answers every search by itself.
pub(crate) fn alone(card: impl Card + 'static) -> Fpga {
    Fpga::new(Box::new(card), Arc::new(Nobody)).expect("a core of this protocol")
}

/// The twin, alone, with lists as long as they may be.
pub(crate) fn twin_alone() -> Made {
    Ok(Arc::new(Parted(alone(Soft::new(LONG_LISTS, 1 << 20)))))
}
