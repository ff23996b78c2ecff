//! Probes as the shaders read them: groups that share one pass, and what is asked of each piece.

use bytemuck::bytes_of;
use zeroize::Zeroizing;

use super::pack::{SlotShape, Stretch};
use crate::{
    backend::wgpu::{
        layout::{Piece, Probe as Told, Search, high, low},
        shaders::Lists,
    },
    ops::{
        score::rest_norm,
        search::{Eligible, Probe, eligibility},
        tile::TileSet,
    },
};

/// A piece of a tile and the slot that it lies in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) tile: usize,
    pub(super) stretch: Stretch,
    pub(super) slot: usize,
}

/// A number of the gallery as the shaders have it.
fn word(value: usize) -> u32 {
    u32::try_from(value).expect("galleries are bounded far below 2^32 rows")
}

/// What the shader is told of `probes`, which are one group of number `group`, over `pieces`
/// pieces.
pub(super) fn search(
    shape: SlotShape,
    probes: &[Probe<'_>],
    group: usize,
    pieces: usize,
    hot_dims: usize,
) -> Search {
    let mut told = Search {
        hot_quads: word(shape.hot_quads()),
        cold_quads: word(shape.cold_quads()),
        rows: word(shape.rows),
        probes: word(probes.len()),
        pieces: word(pieces),
        group: word(group),
        ..Search::default()
    };
    for (to, probe) in told.probe.iter_mut().zip(probes) {
        *to = Told {
            threshold: probe.threshold.0,
            rest_norm: rest_norm(&probe.template.values()[hot_dims..]),
            best: word(probe.best),
            has_group: u32::from(probe.group.is_some()),
            group: probe.group.unwrap_or(0),
            class_low: low(probe.class_bits),
            class_high: low(probe.class_bits >> 32),
            now_low: low(probe.now_s.cast_unsigned()),
            now_high: high(probe.now_s),
            ..Told::default()
        };
    }
    told
}

/// The templates of one group, padded to `lists.probes`.
pub(super) fn values(shape: SlotShape, probes: &[Probe<'_>], lists: Lists) -> Zeroizing<Vec<u8>> {
    let bytes = shape.probe_bytes();
    let mut packed = Zeroizing::new(vec![0; bytes * lists.probes]);
    for (to, probe) in packed.chunks_exact_mut(bytes.max(1)).zip(probes) {
        shape.pack_probe(probe.template.values(), to);
    }
    packed
}

/// The code of search.wgsl for what a tile's rows have in common.
fn code(eligible: Eligible) -> u32 {
    match eligible {
        Eligible::None => 0,
        Eligible::All => 1,
        Eligible::Each => 2,
    }
}

/// Whether some probe must ask the rows of `tile` one by one.
pub(super) fn must_ask(set: &TileSet, tile: usize, probes: &[Probe<'_>]) -> bool {
    let common = &set.tiles[tile].common;
    probes.iter().any(|probe| eligibility(probe, common) == Eligible::Each)
}

/// Appends the pieces at `places` to `told`, with what one group asks of each.
pub(super) fn pieces(set: &TileSet, places: &[Place], probes: &[Probe<'_>], told: &mut Vec<u8>) {
    for place in places {
        let common = &set.tiles[place.tile].common;
        let codes = (0..).zip(probes).map(|(p, probe)| code(eligibility(probe, common)) << (2 * p));
        let piece = Piece {
            slot: word(place.slot),
            rows: word(place.stretch.rows),
            first_row: word(place.tile * set.layout.rows + place.stretch.first),
            eligible: codes.fold(0, |all, code| all | code),
        };
        told.extend_from_slice(bytes_of(&piece));
    }
}
