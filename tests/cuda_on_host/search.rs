//! The search: hits, order and the whole certificate against a brute force, on every path, with any
//! number of blocks, in one window or in two.

use portcullis::{
    limits::CANDIDATES_MAX,
    ops::{
        score::rest_norm,
        tile::{Common, ROW_RESTRICTED, TileLayout, TileSource},
    },
};

use crate::{
    device::{Device, Extent},
    layout::{Facts, Piece, Probe, Search},
    support::{
        dice::Dice,
        gallery::{Gallery, Query, SPREADS, Spread, brute_force, norm_rounded_up, values},
    },
};
/// Values of a quad.
const QUAD: usize = 16;

/// One way to scan: its entry, probes a pass, keys of a list, and shared bytes besides those of the
/// probes and for each of them.
struct Path {
    entry: &'static str,
    probes: usize,
    list_pitch: u32,
    fixed: usize,
    each: usize,
    paired: bool,
}

impl Path {
    const fn scan(entry: &'static str, probes: usize) -> Self {
        Self { entry, probes, list_pitch: 768, fixed: 8208, each: 64, paired: false }
    }

    const fn matrix(entry: &'static str, probes: usize) -> Self {
        Self { entry, probes, list_pitch: 384, fixed: 54_032, each: 80, paired: true }
    }

    fn shared_bytes(&self, hot_quads: usize) -> usize {
        let quads = if self.paired { hot_quads.next_multiple_of(2) } else { hot_quads };
        self.fixed + self.probes * (self.each + QUAD * quads)
    }
}

const PATHS: [Path; 7] = [
    Path::scan("search_scan_1", 1),
    Path::scan("search_scan_2", 2),
    Path::scan("search_scan_4", 4),
    Path::scan("search_scan_8", 8),
    Path::matrix("search_matrix_32", 32),
    Path::matrix("search_matrix_64", 64),
    Path::matrix("search_matrix_128", 128),
];

/// Small tiles and odd widths; one whole plane, one value hot, one value cold; more than a chunk of
/// quads; more rows than a strip or a tile of the product.
const LAYOUTS: [TileLayout; 9] = [
    TileLayout { dims: 128, hot_dims: 32, rows: 16 },
    TileLayout { dims: 128, hot_dims: 128, rows: 8 },
    TileLayout { dims: 7, hot_dims: 3, rows: 5 },
    TileLayout { dims: 33, hot_dims: 16, rows: 1 },
    TileLayout { dims: 65, hot_dims: 1, rows: 64 },
    TileLayout { dims: 512, hot_dims: 128, rows: 33 },
    TileLayout { dims: 300, hot_dims: 290, rows: 130 },
    TileLayout { dims: 24, hot_dims: 9, rows: 700 },
    TileLayout { dims: 700, hot_dims: 40, rows: 300 },
];

/// A gallery on the machine: pieces of at most `rows` rows.
struct Resident {
    layout: TileLayout,
    rows: usize,
    pieces: Vec<Piece>,
    held: Vec<u64>,
}

fn quads(dims: usize) -> usize {
    dims.div_ceil(QUAD)
}

impl Resident {
    fn of(device: &mut Device, gallery: &Gallery) -> Self {
        let layout = gallery.layout();
        let rows = layout.rows.next_multiple_of(8);
        let mut resident = Self { layout, rows, pieces: Vec::new(), held: Vec::new() };
        for (tile, held) in gallery.set().tiles.iter().enumerate() {
            let first = tile * layout.rows;
            let members = &gallery.rows[first..first + held.rows];
            let common = Common::of(&members.iter().map(|(row, _)| *row).collect::<Vec<_>>());
            let mut hot = vec![0_u8; (quads(layout.hot_dims) * QUAD + 2) * rows];
            let mut cold = vec![0_u8; quads(layout.dims - layout.hot_dims) * QUAD * rows];
            let mut facts = vec![Facts::default(); rows];
            let norms_at = quads(layout.hot_dims) * rows * QUAD;
            for (at, (row, template)) in members.iter().enumerate() {
                let (near, rest) = template.split_at(layout.hot_dims);
                for (n, value) in near.iter().enumerate() {
                    hot[(n / QUAD * rows + at) * QUAD + n % QUAD] = value.cast_unsigned();
                }
                for (n, value) in rest.iter().enumerate() {
                    cold[at * quads(rest.len()) * QUAD + n] = value.cast_unsigned();
                }
                let norm = norm_rounded_up(rest) as u16;
                hot[norms_at + at * 2..][..2].copy_from_slice(&norm.to_le_bytes());
                facts[at] = Facts {
                    class_bits: row.class_bits,
                    not_before_s: row.not_before_s,
                    expiry_s: row.expiry_s,
                    group: row.group,
                    flags: row.flags,
                };
            }
            resident.pieces.push(Piece {
                hot: device.hold(&hot),
                cold: device.hold(&cold),
                facts: device.hold(&facts),
                class_bits_any: common.class_bits_any,
                class_bits_all: common.class_bits_all,
                not_before_s_max: common.not_before_s_max,
                expiry_s_min: common.expiry_s_min,
                rows: held.rows as u32,
                first_row: first as u32,
                group: common.group.unwrap_or(0),
                has_group: u32::from(common.group.is_some()),
                flags_any: common.flags_any,
                spare: 0,
            });
            let piece = resident.pieces[tile];
            resident.held.extend([piece.hot, piece.cold, piece.facts]);
        }
        resident
    }

    fn free(self, device: &mut Device) {
        self.held.into_iter().for_each(|address| device.free(address));
    }
}

fn probe(query: &Query, layout: TileLayout) -> Probe {
    Probe {
        class_bits: query.class_bits,
        now_s: query.now_s,
        threshold: query.threshold,
        rest_norm: rest_norm(&query.template.values()[layout.hot_dims..]),
        best: query.best as u32,
        has_group: u32::from(query.group.is_some()),
        group: query.group.unwrap_or(0),
        spare: [0; 3],
    }
}

/// The templates of all probes: hot quads, then cold ones.
fn packed(queries: &[Query], layout: TileLayout) -> Vec<u8> {
    let mut packed = Vec::new();
    for query in queries {
        let values = query.template.values();
        for plane in [&values[..layout.hot_dims], &values[layout.hot_dims..]] {
            packed.extend(plane.iter().map(|value| value.cast_unsigned()));
            packed.resize(packed.len().next_multiple_of(QUAD), 0);
        }
    }
    packed
}

/// What the machine says to one probe.
struct Answer {
    hits: Vec<(u64, i64)>,
    tallies: [u32; 4],
}

/// Searches on one path with `blocks` blocks and the pieces cut into `windows` runs.
fn search(
    device: &mut Device,
    resident: &Resident,
    queries: &[Query],
    path: &Path,
    [blocks, windows]: [usize; 2],
) -> Vec<Answer> {
    let layout = resident.layout;
    let count = queries.len();
    let probes: Vec<Probe> = queries.iter().map(|query| probe(query, layout)).collect();
    let hot_quads = quads(layout.hot_dims);
    let mut told = Search {
        probes: device.hold(&probes),
        values: device.hold(&packed(queries, layout)),
        lists: device.take(count * blocks * path.list_pitch as usize * 8),
        tallies: device.hold(&vec![0_u32; count * 4]),
        results: device.hold(&vec![0_u64; count * CANDIDATES_MAX]),
        probe_count: count as u32,
        hot_quads: hot_quads as u32,
        cold_quads: quads(layout.dims - layout.hot_dims) as u32,
        rows: resident.rows as u32,
        blocks: blocks as u32,
        list_pitch: path.list_pitch,
        ..Search::default()
    };
    let shared = path.shared_bytes(hot_quads);
    let groups = count.div_ceil(path.probes) as u32;
    let run = resident.pieces.len().div_ceil(windows).max(1);
    for pieces in resident.pieces.chunks(run) {
        told.pieces = device.hold(pieces);
        told.piece_count = pieces.len() as u32;
        let grid = Extent(blocks as u32, groups, 1);
        device.launch(path.entry, grid, Extent(256, 1, 1), shared, &told);
        let grid = Extent(count as u32, 1, 1);
        device.launch("search_merge", grid, Extent(256, 1, 1), 8448, &told);
        device.free(told.pieces);
    }
    let keys: Vec<u64> = device.read(told.results, count * CANDIDATES_MAX);
    let tallies: Vec<[u32; 4]> = device.read(told.tallies, count);
    for address in [told.probes, told.values, told.lists, told.tallies, told.results] {
        device.free(address);
    }
    let hit = |key: &u64| {
        let score = ((key >> 32) as u32 ^ 0x8000_0000).cast_signed();
        (u64::from(u32::MAX - *key as u32), i64::from(score))
    };
    let answer = |(keys, tallies): (&[u64], [u32; 4])| {
        let held = keys.iter().position(|&key| key == 0).unwrap_or(keys.len());
        assert!(keys[held..].iter().all(|&key| key == 0), "nothing stands behind the end");
        Answer { hits: keys[..held].iter().map(hit).collect(), tallies }
    };
    keys.chunks(CANDIDATES_MAX).zip(tallies).map(answer).collect()
}

/// Searches as drawn, and compares with the definition.
fn check(device: &mut Device, dice: &mut Dice, gallery: &Gallery, queries: &[Query], path: &Path) {
    let resident = Resident::of(device, gallery);
    let shape = [dice.pick(&[1, 2, 3, 5]), dice.pick(&[1, 1, 2])];
    let answers = search(device, &resident, queries, path, shape);
    resident.free(device);
    for (query, answer) in queries.iter().zip(answers) {
        let truth = brute_force(gallery, query);
        let told =
            format!("{}, {shape:?}, {:?}, {:?}", path.entry, gallery.layout(), query.probe());
        let hits: Vec<_> = truth.hits.iter().map(|&(row, score, _)| (row, score)).collect();
        assert_eq!(answer.hits, hits, "{told}");
        let total = gallery.rows.len() as u64;
        let rescored = total - truth.ineligible - truth.pruned;
        let counts = answer.tallies.map(u64::from);
        assert_eq!(counts, [truth.ineligible, truth.accepted, rescored, 0], "{told}");
    }
}

/// Thresholds from far below to far above every score, and right at scores that occur.
fn threshold(dice: &mut Dice, gallery: &Gallery, probe: &[i8]) -> i32 {
    let far = [i32::MIN, -1_000_000, 0, 1, 20_000, i32::MAX];
    if gallery.rows.is_empty() || dice.below(3) == 0 {
        return dice.pick(&far);
    }
    let (_, row) = &gallery.rows[dice.below(gallery.rows.len())];
    let products = probe.iter().zip(row).map(|(&a, &b)| i32::from(a) * i32::from(b));
    products.sum::<i32>() + dice.pick(&[-1, 0, 0, 1])
}

/// As many queries as `count`, about one of the rows or nobody.
fn queries(
    dice: &mut Dice,
    gallery: &Gallery,
    spread: Spread,
    count: usize,
    asks: bool,
) -> Vec<Query> {
    let layout = gallery.layout();
    let one = |dice: &mut Dice| {
        let values = match gallery.rows.first() {
            Some((_, row)) if dice.coin() => row.clone(),
            _ => values(dice, layout, spread),
        };
        let best = dice.pick(&[0, 1, 2, 7, 40, CANDIDATES_MAX]);
        let whole = Query::whole(&values, threshold(dice, gallery, &values), best);
        if !asks {
            return whole;
        }
        let class_bits = dice.pick(&[0, 1, 2, 1 << 63, u64::MAX]);
        Query { class_bits, group: dice.pick(&[None, None, Some(0), Some(7)]), ..whole }
    };
    (0..count).map(|_| one(dice)).collect()
}

/// Every layout, spread and size on one path.
fn every_gallery(path: &Path) {
    let test = path.entry;
    let Some(mut device) = Device::start(test, 4) else { return };
    let dice = &mut Dice::thrown_for(test);
    for layout in LAYOUTS {
        for spread in SPREADS {
            let tile = layout.rows;
            let rows = dice.pick(&[0, 1, tile - 1, tile, tile + 1, 3 * tile + 2]);
            let mut gallery = Gallery::filled(dice, layout, rows, spread);
            let asks = dice.coin();
            if asks {
                gallery.mix_eligibility(dice);
            }
            let count = dice.pick(&[1, path.probes.div_ceil(2), path.probes, path.probes + 1]);
            let queries = queries(dice, &gallery, spread, count.min(40), asks);
            check(&mut device, dice, &gallery, &queries, path);
        }
    }
}

macro_rules! paths {
    ($($name:ident => $path:literal),* $(,)?) => {
        $(#[test]
        fn $name() {
            every_gallery(&PATHS[$path]);
        })*
    };
}

paths! {
    scan_of_one => 0,
    scan_of_two => 1,
    scan_of_four => 2,
    scan_of_eight => 3,
    matrix_of_32 => 4,
    matrix_of_64 => 5,
    matrix_of_128 => 6,
}

#[test]
fn each_fact_alone_decides_who_is_eligible() {
    let Some(mut device) = Device::start("facts", 4) else { return };
    let dice = &mut Dice::thrown_for("facts");
    let layout = TileLayout { dims: 24, hot_dims: 9, rows: 50 };
    for fact in 0..5 {
        for path in &PATHS {
            let mut gallery = Gallery::filled(dice, layout, 130, Spread::Concentrated);
            for (row, _) in &mut gallery.rows {
                match fact {
                    0 => row.class_bits = dice.pick(&[1, 1, 3]),
                    1 => row.group = dice.pick(&[7, 7, 0]),
                    2 => row.flags = dice.pick(&[0, 0, ROW_RESTRICTED]),
                    3 => row.not_before_s = dice.pick(&[i64::MIN, 1000, 1001]),
                    _ => row.expiry_s = dice.pick(&[i64::MAX, 1000, 1001]),
                }
            }
            // Now and then nobody may be found by anybody.
            let classes: &[u64] = if dice.below(3) == 0 { &[4] } else { &[2, 3, 1] };
            let query = |dice: &mut Dice| {
                let probe = values(dice, layout, Spread::Concentrated);
                let best = dice.pick(&[0, 3]);
                let whole = Query::whole(&probe, threshold(dice, &gallery, &probe), best);
                let group = (fact == 1).then_some(7);
                Query { class_bits: dice.pick(classes), group, ..whole }
            };
            let queries: Vec<Query> = (0..6).map(|_| query(dice)).collect();
            check(&mut device, dice, &gallery, &queries, path);
        }
    }
}

#[test]
fn lists_that_overflow_again_and_again_keep_the_best() {
    let Some(mut device) = Device::start("overflow", 4) else { return };
    let dice = &mut Dice::thrown_for("overflow");
    let layout = TileLayout { dims: 16, hot_dims: 8, rows: 1024 };
    for spread in [Spread::Isotropic, Spread::Equal, Spread::Duplicates] {
        let gallery = Gallery::filled(dice, layout, 3000, spread);
        for path in &PATHS {
            let queries: Vec<Query> = [1, 255, CANDIDATES_MAX, 0]
                .into_iter()
                .map(|best| {
                    let values = values(dice, layout, spread);
                    Query::whole(&values, i32::MIN, best)
                })
                .collect();
            check(&mut device, dice, &gallery, &queries, path);
        }
    }
}

#[test]
fn a_list_that_fills_up_right_after_another_was_weeded_loses_nothing() {
    let Some(mut device) = Device::start("weeding", 4) else { return };
    let dice = &mut Dice::thrown_for("weeding");
    let layout = TileLayout { dims: 16, hot_dims: 8, rows: 1024 };
    let (near, far) = (vec![100_i8; 16], vec![-100_i8; 16]);
    for path in &PATHS {
        // Everybody is of the first probe's list, which is too long after the first strip, or the
        // third tile. The second probe's is nearly so, and passes the mark with the next rows of
        // any warp, while others may still look whether they have to weed it.
        let nobody_until = if path.paired { 384 } else { 512 };
        let is_near = |row: usize| row < 250 || row >= nobody_until;
        let row = |row| if is_near(row) { near.clone() } else { far.clone() };
        let gallery = Gallery::of(dice, layout, (0..2048).map(row).collect());
        let queries = [i32::MIN, 1].map(|threshold| Query::whole(&near, threshold, CANDIDATES_MAX));
        let resident = Resident::of(&mut device, &gallery);
        // The order of warps is drawn anew each time; one in three runs a warp on alone.
        for _ in 0..12 {
            let answers = search(&mut device, &resident, &queries, path, [1, 1]);
            for (query, answer) in queries.iter().zip(answers) {
                let truth = brute_force(&gallery, query);
                let hits: Vec<_> = truth.hits.iter().map(|&(row, score, _)| (row, score)).collect();
                assert_eq!(answer.hits, hits, "{}", path.entry);
                assert_eq!(u64::from(answer.tallies[1]), truth.accepted, "{}", path.entry);
            }
        }
        resident.free(&mut device);
    }
}

#[test]
fn the_largest_templates_do_not_overflow() {
    let Some(mut device) = Device::start("extremes", 4) else { return };
    let dice = &mut Dice::thrown_for("extremes");
    for hot_dims in [2048, 1024, 16] {
        let layout = TileLayout { dims: 2048, hot_dims, rows: 8 };
        let gallery = Gallery::filled(dice, layout, 11, Spread::Extremes);
        for path in &PATHS {
            // What no block of any device has room for is not asked of one.
            if path.shared_bytes(quads(hot_dims)) > 227 * 1024 {
                continue;
            }
            let queries = queries(dice, &gallery, Spread::Extremes, 5, false);
            check(&mut device, dice, &gallery, &queries, path);
        }
    }
}
