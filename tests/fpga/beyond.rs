//! What a core cannot take goes to the engine beside it, whole; and `describe` says what that is.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use portcullis::{
    backend::{
        Backend, BackendError, Description, Network, Pinned, Plaintext, Tiles,
        fpga::{Fpga, sizes::Sizes, soft::Soft},
        reference::Reference,
    },
    ops::{
        program::Program,
        search::{Probe, RowHits, scan},
        tile::{TileLayout, TileSource},
    },
};

use crate::support::{
    dice::Dice,
    gallery::{Gallery, Query, Spread},
};

/// The reference, and how often it was asked.
#[derive(Default)]
struct Counted {
    searches: AtomicUsize,
    pins: AtomicUsize,
}

impl Backend for Counted {
    fn describe(&self) -> Description {
        Reference.describe()
    }

    fn load(&self, program: &Program, batch_max: usize) -> Result<Box<dyn Network>, BackendError> {
        Reference.load(program, batch_max)
    }

    fn pin(&self, source: &Arc<dyn TileSource>) -> Result<Arc<dyn Pinned>, BackendError> {
        self.pins.fetch_add(1, Ordering::Relaxed);
        Reference.pin(source)
    }

    fn search(&self, probes: &[Probe<'_>], tiles: &Tiles) -> Result<Vec<RowHits>, BackendError> {
        self.searches.fetch_add(1, Ordering::Relaxed);
        Reference.search(probes, tiles)
    }
}

const SIZES: Sizes = Sizes { probes: 2, best: 8, probe_beats: 2, tile_rows: 64 };

/// Searches pinned and not; gives how often the other engine searched and pinned.
fn asked(layout: TileLayout, probes: usize, best: usize, memory_beats: u32) -> (usize, usize) {
    let dice = &mut Dice::thrown_for("beyond");
    let beside = Arc::new(Counted::default());
    let card = Box::new(Soft::new(SIZES, memory_beats));
    let elsewhere: Arc<dyn Backend> = Arc::<Counted>::clone(&beside);
    let fpga = Fpga::new(card, elsewhere).expect("a core of this protocol");
    let gallery = Gallery::filled(dice, layout, 90, Spread::Isotropic);
    let source: Arc<dyn TileSource> = Arc::new(gallery);
    let queries: Vec<Query> =
        (0..probes).map(|_| Query::whole(&vec![1; layout.dims], 0, best)).collect();
    let probes: Vec<_> = queries.iter().map(Query::probe).collect();
    let truth = scan(&probes, source.as_ref()).expect("every tile opens");
    let pinned = Tiles::Pinned(fpga.pin(&source).expect("every tile opens"));
    for tiles in [Tiles::Source(source), pinned] {
        assert_eq!(fpga.search(&probes, &tiles).as_ref(), Ok(&truth));
    }
    (beside.searches.load(Ordering::Relaxed), beside.pins.load(Ordering::Relaxed))
}

#[test]
fn what_is_beyond_the_core_goes_to_the_engine_beside_it() {
    let fits = TileLayout { dims: 100, hot_dims: 64, rows: 40 };
    let long_rows = TileLayout { dims: 129, hot_dims: 64, rows: 40 };
    assert_eq!(asked(fits, 2, 8, 1 << 12), (0, 0), "what fits stays");
    assert_eq!(asked(fits, 3, 8, 1 << 12), (2, 0), "a probe too many");
    assert_eq!(asked(fits, 2, 9, 1 << 12), (2, 0), "a candidate too many");
    assert_eq!(asked(long_rows, 2, 8, 1 << 12), (2, 1), "rows too long");
    assert_eq!(asked(fits, 2, 8, 100), (1, 1), "no room in card memory: pinned elsewhere");
}

#[test]
fn a_card_says_what_it_takes_and_where_templates_lie() {
    let fpga = Fpga::new(Box::new(Soft::new(SIZES, 0)), Arc::new(Reference)).expect("a core");
    let said = fpga.describe();
    assert_eq!((said.name, said.plaintext), ("fpga", Plaintext::Host));
    for words in ["2 probes", "128 values", "best 8 rows", "reference", "plaintext"] {
        assert!(said.detail.contains(words), "{words}: {}", said.detail);
    }
    assert!(said.device.contains("no card"), "{}", said.device);
    assert!(!said.missing.contains(&"search") && said.missing.contains(&"conv2d"));
}
