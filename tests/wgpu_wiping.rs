//! A device's memory, and what it shares with the host, holds nothing of a face or a template when
//! a batch was wiped, a search has answered and a pinned set was let go.
//!
//! On Mesa's lavapipe the device's memory is this process's own, so that a sweep over it sees
//! everything; controls show that it does. On a GPU it sees the host's side alone.
#![cfg(all(feature = "wgpu", target_os = "linux"))]

mod common;
#[path = "common/enlarging.rs"]
mod enlarging;

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    sync::Arc,
};

use bytemuck::{Zeroable, bytes_of};
use enlarging::enlarging;
use portcullis::{
    backend::{
        Backend, Tiles,
        wgpu::{Options, Wgpu},
    },
    keys::wipe::WipingAllocator,
    ops::{
        program::{Feed, Program, Shape, ToFrame},
        score::rest_norm,
        search::Probe,
        tile::{Common, Row, TileError, TileLayout, TilePart, TileRef, TileSet, TileSource},
    },
    types::{Frame, Hash256, Score, Template, TemplateKind},
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// Keeps a needle from being found in this test's own notes.
const MASK: u8 = 0x5A;
const NEEDLE_BYTES: usize = 40;
const WINDOW_BYTES: usize = 1 << 20;
const KIND: TemplateKind = TemplateKind {
    model: Hash256::from_bytes([5; 32]),
    calibration: Hash256::from_bytes([6; 32]),
    dims: 128,
};
const LAYOUT: TileLayout = TileLayout { dims: 128, hot_dims: 32, rows: 64 };

/// Where the process's memory holds the bytes that `masked` hides.
fn places(masked: &[u8], window: &mut [u8]) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux");
    let memory = File::open("/proc/self/mem").expect("Linux");
    let own = window.as_ptr() as u64..window.as_ptr() as u64 + window.len() as u64;
    let mut found = 0;
    for line in maps.lines() {
        let Some((from, to)) = region(line) else { continue };
        let mut at = from;
        while at < to {
            let wanted = usize::try_from(to - at).expect("a window").min(window.len());
            // A page may have gone since the map was read.
            let Ok(read) = memory.read_at(&mut window[..wanted], at) else { break };
            let starts = 0..(read + 1).saturating_sub(masked.len());
            found += starts
                .filter(|&start| window[start] == masked[0] ^ MASK)
                .filter(|&start| !own.contains(&(at + start as u64)))
                .filter(|&start| window[start..].iter().zip(masked).all(|(a, b)| a ^ MASK == *b))
                .count();
            if read <= masked.len() {
                break;
            }
            at += (read - masked.len()) as u64 + 1;
        }
    }
    window.fill(0);
    found
}

fn region(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_whitespace();
    let (from, to) = fields.next()?.split_once('-')?;
    let writable = fields.next()?.starts_with("rw");
    let kernel = line.contains("[v");
    let parse = |text| u64::from_str_radix(text, 16).ok();
    (writable && !kernel).then_some((parse(from)?, parse(to)?))
}

fn masked(bytes: &[u8]) -> Vec<u8> {
    bytes[..NEEDLE_BYTES].iter().map(|byte| byte ^ MASK).collect()
}

/// A network that gives its input.
fn mirror() -> Program {
    enlarging(Shape { h: 64, w: 64, c: 3 }, 1)
}

/// Rows that are kept masked, so that only what was opened can be found.
struct Masked {
    set: TileSet,
    rows: Vec<[u8; 128]>,
}

fn row(number: usize) -> Row {
    let mut subject = [0; 16];
    subject[..8].copy_from_slice(&(number as u64).to_le_bytes());
    Row { subject, class_bits: 1, expiry_s: i64::MAX, ..Row::zeroed() }
}

impl Masked {
    fn drawn(count: usize) -> Self {
        let mut stream = ChaCha8Rng::seed_from_u64(77);
        let mut rows = vec![[0; 128]; count];
        for row in &mut rows {
            stream.fill_bytes(row);
            // Never −128.
            row.iter_mut().for_each(|byte| *byte = (*byte & 0x3F) ^ MASK);
        }
        let common = Common::of(&[row(0)]);
        let tile = |number: usize| {
            let rows = LAYOUT.rows.min(count - number * LAYOUT.rows);
            TileRef { rows, content: number as u64, common }
        };
        let tiles = (0..count.div_ceil(LAYOUT.rows)).map(tile).collect();
        Self { set: TileSet { generation: 1, kind: KIND, layout: LAYOUT, tiles }, rows }
    }

    /// A row as a template.
    fn template(&self, row: usize) -> Template {
        let values = self.rows[row].map(|byte| (byte ^ MASK).cast_signed());
        Template::new(values.into(), KIND).expect("values in ±127")
    }
}

impl TileSource for Masked {
    fn set(&self) -> &TileSet {
        &self.set
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        let first = tile * LAYOUT.rows;
        let rows = &self.rows[first..][..self.set.tiles[tile].rows];
        let hot = LAYOUT.hot_dims;
        match part {
            TilePart::Hot => {
                let (values, norms) = scratch.split_at_mut(rows.len() * hot);
                for (row, (to, norm)) in
                    rows.iter().zip(values.chunks_mut(hot).zip(norms.chunks_mut(2)))
                {
                    to.iter_mut().zip(row).for_each(|(to, byte)| *to = byte ^ MASK);
                    let cold: Vec<i8> =
                        row[hot..].iter().map(|byte| (byte ^ MASK).cast_signed()).collect();
                    let rest = u16::try_from(rest_norm(&cold)).expect("it fits");
                    norm.copy_from_slice(&rest.to_le_bytes());
                }
            }
            TilePart::Cold => {
                for (to, row) in scratch.chunks_mut(LAYOUT.dims - hot).zip(rows) {
                    to.iter_mut().zip(&row[hot..]).for_each(|(to, byte)| *to = byte ^ MASK);
                }
            }
            TilePart::Rows => {
                for (at, to) in scratch.chunks_mut(size_of::<Row>()).enumerate() {
                    to.copy_from_slice(bytes_of(&row(first + at)));
                }
            }
        }
        Ok(())
    }
}

/// The `best` rows that are most like the needle's row, with their scores.
fn search(backend: &Wgpu, tiles: &Tiles, best: usize) -> Vec<(i32, u64)> {
    let template = Masked::drawn(200).template(70);
    let (template, threshold, group) = (&template, Score(1), None);
    let probe = Probe { template, threshold, best, class_bits: 1, group, now_s: 5 };
    let answers = backend.search(&[probe], tiles).expect("it is searched");
    answers[0].hits.iter().map(|hit| (hit.score.0, hit.row)).collect()
}

/// On a device that takes one item at a time, the second one needs more room than the first.
fn nothing_is_left_of_a_flight_before_a_larger_one(window: &mut [u8]) {
    let options = Options { tight: true, ..Options::default() };
    let backend = Wgpu::with(&options).expect("it was there before");
    let mut network = backend.load(&mirror(), 2).expect("it runs here");
    let needle = {
        let mut pixels = vec![0; 100 * 100 * 3];
        ChaCha8Rng::seed_from_u64(98).fill_bytes(&mut pixels);
        let needle = masked(&pixels[100 * 3 * 50..]);
        let small = Frame::new(pixels, 100, 100).expect("its pixels");
        let large = Frame::new(vec![0; 800 * 600 * 3], 800, 600).expect("its pixels");
        let feeds = [Feed::Fit { frame: small.view() }, Feed::Fit { frame: large.view() }];
        network.run(&feeds).expect("two pictures");
        needle
    };
    network.wipe();
    assert_eq!(places(&needle, window), 0, "pixels are left of a flight before a larger one");
}

#[test]
fn nothing_is_left_on_the_device_or_on_the_way_to_it() {
    let test = "nothing_is_left_on_the_device_or_on_the_way_to_it";
    let backend = match Wgpu::with(&Options::default()) {
        Ok(backend) => backend,
        Err(unavailable) => return common::skip(test, "wgpu", &unavailable.to_string()),
    };
    let sees_device = backend.describe().device.contains("llvmpipe");
    let mut window = vec![0; WINDOW_BYTES];

    let mut network = backend.load(&mirror(), 2).expect("it runs here");
    let needle = {
        let mut pixels = vec![0; 300 * 200 * 3];
        ChaCha8Rng::seed_from_u64(99).fill_bytes(&mut pixels);
        let needle = masked(&pixels[300 * 3 * 90..]);
        let frame = Frame::new(pixels, 300, 200).expect("its pixels");
        let to_frame = ToFrame([1.0, 0.0, 20.0, 0.0, 1.0, 60.0]);
        let feeds =
            [Feed::Fit { frame: frame.view() }, Feed::Warp { frame: frame.view(), to_frame }];
        network.begin(&feeds).expect("two pictures");
        needle
    };
    let held = places(&needle, &mut window);
    assert!(held >= 1 || !sees_device, "the sweep sees what goes up to the device");
    network.finish().expect("two pictures");
    assert_eq!(places(&needle, &mut window), 0, "pixels are left after a batch has landed");
    network.wipe();
    drop(network);
    nothing_is_left_of_a_flight_before_a_larger_one(&mut window);

    let rows = Masked::drawn(200);
    let needle: Vec<u8> = rows.rows[70][LAYOUT.hot_dims..][..NEEDLE_BYTES].to_vec();
    let source: Arc<dyn TileSource> = Arc::new(rows);
    let ask = |tiles: &Tiles| assert_eq!(search(&backend, tiles, 3)[0].1, 70);
    // What came back: five hits as the device writes them, the best one first.
    let hits: Vec<u8> = {
        let found = search(&backend, &Tiles::Source(Arc::clone(&source)), 5);
        let words = found.iter().flat_map(|&(score, row)| {
            [score.to_le_bytes(), u32::try_from(row).expect("few rows").to_le_bytes()]
        });
        words.flatten().map(|byte| byte ^ MASK).collect()
    };
    assert_eq!(hits.len(), NEEDLE_BYTES);
    assert_eq!(places(&hits, &mut window), 0, "scores are left after a search");
    ask(&Tiles::Source(Arc::clone(&source)));
    assert_eq!(places(&needle, &mut window), 0, "templates are left after a search of a source");
    let pinned = backend.pin(&source).expect("it opens");
    let held = places(&needle, &mut window);
    assert!(held == 1 || !sees_device, "a pinned row lies on the device once, not {held} times");
    ask(&Tiles::Pinned(Arc::clone(&pinned)));
    assert!(places(&needle, &mut window) <= 1, "a search leaves nothing beside the pinned row");
    drop(pinned);
    assert_eq!(places(&needle, &mut window), 0, "templates are left after a set was let go");
}
