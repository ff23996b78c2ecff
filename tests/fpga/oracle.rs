//! The twin is the oracle: hits, order and every counter.

use portcullis::{
    backend::fpga::{sizes::Sizes, soft::Soft},
    ops::tile::TileLayout,
};

use crate::{
    cases::{case, expect_oracle, layout},
    support::{
        cards::{LONG_LISTS, alone},
        dice::Dice,
    },
};

#[test]
fn the_twin_is_the_oracle_to_the_last_counter() {
    let dice = &mut Dice::thrown_for("the twin is the oracle");
    let seeds = if std::env::var_os("PORTCULLIS_LONG").is_some() { 20_000 } else { 600 };
    let small = Sizes { probes: 3, best: 8, probe_beats: 8, tile_rows: 32 };
    let (roomy, tight) = (alone(Soft::new(LONG_LISTS, 1 << 16)), alone(Soft::new(small, 1 << 16)));
    for number in 0..seeds {
        let (fpga, sizes) = if dice.coin() { (&roomy, LONG_LISTS) } else { (&tight, small) };
        let (layout, rows) = (layout(dice), dice.below(150));
        let probes = 1 + dice.below(sizes.probes);
        let case = case(dice, layout, rows, probes, sizes.best);
        expect_oracle(fpga, &case, &format!("case {number}, {layout:?}, {rows} rows"));
    }
}

#[test]
fn tiles_longer_than_a_packet_and_galleries_of_many_packets() {
    let dice = &mut Dice::thrown_for("long tiles");
    let sizes = Sizes { probes: 16, best: 16, probe_beats: 4, tile_rows: 32 };
    let fpga = alone(Soft::new(sizes, 1 << 20));
    // More packets than are streamed ahead of their results.
    for (rows, count) in [(1024, 9000), (33, 700)] {
        let layout = TileLayout { dims: 20, hot_dims: 12, rows };
        let case = case(dice, layout, count, 16, 16);
        expect_oracle(&fpga, &case, &format!("{count} rows in tiles of {rows}"));
    }
}
