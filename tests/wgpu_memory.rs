//! A gallery that the device's memory does not hold is refused with how much of it would fit, and
//! the device goes on.
//!
//! On Mesa's lavapipe the device's memory is this process's own, so that a limit on the process's
//! address space is a driver that runs out of memory. It holds for the whole process: this file has
//! one test.
#![cfg(all(feature = "wgpu", target_os = "linux"))]

mod common;
#[path = "common/enlarging.rs"]
mod enlarging;

use std::{fs, sync::Arc};

use enlarging::enlarging;
use portcullis::{
    backend::{
        Backend, BackendError, Tiles,
        wgpu::{Options, Wgpu},
    },
    ops::{
        program::{Feed, Shape},
        search::Probe,
        tile::{Common, Row, TileError, TileLayout, TilePart, TileRef, TileSet, TileSource},
    },
    types::{Hash256, Score, Template, TemplateKind},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const DIMS: usize = 512;
const HOT_DIMS: usize = 128;
const LAYOUT: TileLayout = TileLayout { dims: DIMS, hot_dims: HOT_DIMS, rows: 4096 };
const KIND: TemplateKind = TemplateKind {
    model: Hash256::from_bytes([5; 32]),
    calibration: Hash256::from_bytes([6; 32]),
    dims: 512,
};
/// What the process may still take: far less than a slab of slots.
const MARGIN_BYTES: u64 = 64 << 20;

fn row() -> Row {
    Row { class_bits: 1, expiry_s: i64::MAX, ..bytemuck::Zeroable::zeroed() }
}

/// So many tiles of rows that are all ones.
struct Ones(TileSet);

impl Ones {
    fn source(tiles: usize, rows: usize) -> Arc<dyn TileSource> {
        let common = Common::of(&[row()]);
        let tile = |number| TileRef { rows, content: number as u64, common };
        let tiles = (0..tiles).map(tile).collect();
        Arc::new(Self(TileSet { generation: 1, kind: KIND, layout: LAYOUT, tiles }))
    }
}

impl TileSource for Ones {
    fn set(&self) -> &TileSet {
        &self.0
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        scratch.fill(1);
        let rows = self.0.tiles[tile].rows;
        match part {
            TilePart::Hot => {
                let norm = portcullis::ops::score::rest_norm(&[1; DIMS - HOT_DIMS]);
                let norm = u16::try_from(norm).expect("it fits").to_le_bytes();
                let norms = &mut scratch[rows * LAYOUT.hot_dims..];
                norms.chunks_mut(2).for_each(|to| to.copy_from_slice(&norm));
            }
            TilePart::Cold => {}
            TilePart::Rows => {
                let row = row();
                let rows = scratch.chunks_mut(size_of::<Row>());
                rows.for_each(|to| to.copy_from_slice(bytemuck::bytes_of(&row)));
            }
        }
        Ok(())
    }
}

/// Bytes of address space that the process has taken.
fn taken_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("Linux");
    let kib = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
    kib << 10
}

/// What `work` comes to while the process may take no more than [`MARGIN_BYTES`].
fn confined<T>(work: impl FnOnce() -> T) -> T {
    let before = getrlimit(Resource::As);
    let current = Some(taken_bytes() + MARGIN_BYTES);
    setrlimit(Resource::As, Rlimit { current, maximum: before.maximum }).expect("a lower limit");
    let done = work();
    setrlimit(Resource::As, before).expect("the limit of before");
    done
}

fn search(backend: &Wgpu, tiles: &Tiles) {
    let template = Template::new(vec![1; DIMS].into(), KIND).expect("values in ±127");
    let (threshold, group) = (Score(1), None);
    let probe = Probe { template: &template, threshold, best: 3, class_bits: 1, group, now_s: 5 };
    let answers = backend.search(&[probe], tiles).expect("it is searched");
    assert_eq!(answers[0].hits.len(), 3);
    assert_eq!(answers[0].hits[0].score, Score(512));
}

#[test]
fn a_gallery_that_does_not_fit_is_refused_and_the_device_goes_on() {
    let test = "a_gallery_that_does_not_fit_is_refused_and_the_device_goes_on";
    let backend = match Wgpu::with(&Options::default()) {
        Ok(backend) => backend,
        Err(unavailable) => return common::skip(test, "wgpu", &unavailable.to_string()),
    };
    if !backend.describe().device.contains("llvmpipe") {
        return common::skip(test, "lavapipe", "this device's memory is not the process's");
    }
    let mirror = enlarging(Shape { h: 2, w: 2, c: 3 }, 1);
    let mut network = backend.load(&mirror, 1).expect("it runs here");
    let small = Ones::source(1, 8);
    search(&backend, &Tiles::Source(Arc::clone(&small)));
    // Two GiB.
    let large = Ones::source(1024, LAYOUT.rows);
    let refused = confined(|| backend.pin(&large).map(|_| ()));
    let why = match refused {
        Err(BackendError::Full { what: "wgpu", why }) => why,
        other => panic!("{other:?}"),
    };
    let fit = why.split(' ').next().expect("a number").parse::<u64>().expect("a number");
    assert!(why.contains("of the gallery's 4194304 templates would fit"), "{why}");
    assert!(fit < large.set().rows(), "{why}");
    // Nothing of it is left, and neither networks nor searches are the worse for it.
    let pinned = backend.pin(&small).expect("it fits");
    search(&backend, &Tiles::Pinned(pinned));
    search(&backend, &Tiles::Source(small));
    network.run(&[Feed::Tensor(&[0.5; 12])]).expect("a tensor is fed");
    assert_eq!(network.output(0, 0), [0.5; 12]);
    backend.load(&mirror, 2).expect("it runs here");
}
