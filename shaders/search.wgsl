// SPDX-License-Identifier: MIT OR Apache-2.0
//
// search: hot plane, bound, cold plane and the best rows in one pass; no score is written to memory
// unless its row is among the best of its piece.
//
//     scan    one workgroup per piece, one lane per row, up to PROBES probes at a time:
//             eligible?  hot product  bound  cold product  threshold  ->  list of the piece
//     merge   one workgroup per probe: the lists of all pieces into the probe's result
//
// A list of candidates lies in workgroup memory, unordered, with room for the KEPT best and one
// more from every lane. When it holds more than KEPT it is weeded: each entry counts the entries
// before it, which is its place, and those whose place is beyond the best are dropped. From then on
// the last of the best keeps worse rows out. The order (score descending, then row ascending) has
// no ties, so places are unique, and the result does not depend on which lane came first.
//
// Bound of a scan with one probe: a row's hot values and norm are read once, 16 bytes a lane.

const WORKGROUP: u32 = 128u;
const LISTED: u32 = KEPT + WORKGROUP;
// Entries of a list that one lane places.
const SHARE: u32 = (LISTED + WORKGROUP - 1u) / WORKGROUP;
// Values of `Piece::eligible`.
const NOBODY: u32 = 0u;
const EVERYBODY: u32 = 1u;
// ROW_RESTRICTED and ROW_VACANT of src/ops/tile.rs.
const HIDDEN: u32 = 3u;
// Tallies of a probe.
const TALLIES: u32 = 3u;
const INELIGIBLE: u32 = 0u;
const ACCEPTED: u32 = 1u;
const RESCORED: u32 = 2u;

@group(0) @binding(0) var<uniform> search: Search;
@group(0) @binding(1) var<storage, read> hot: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> cold: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> facts: array<Facts>;
@group(0) @binding(4) var<storage, read> pieces: array<Piece>;
@group(0) @binding(5) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> lists: array<Hit>;
@group(0) @binding(7) var<storage, read_write> tallies: array<atomic<u32>>;
@group(0) @binding(8) var<storage, read_write> results: array<Hit>;

var<workgroup> held: array<Hit, PROBES * LISTED>;
var<workgroup> listed: array<atomic<u32>, PROBES>;
// The last of the best, and whether there is one.
var<workgroup> last: array<Hit, PROBES>;
var<workgroup> is_full: array<u32, PROBES>;
var<workgroup> counts: array<atomic<u32>, PROBES * TALLIES>;
// What all lanes must see alike.
var<workgroup> crowded: u32;
var<workgroup> length: u32;
var<workgroup> taken: atomic<u32>;

fn is_better(one: Hit, other: Hit) -> bool {
    return one.score > other.score || (one.score == other.score && one.row < other.row);
}

fn begin(lane: u32) {
    if lane < PROBES {
        atomicStore(&listed[lane], 0u);
        is_full[lane] = 0u;
    }
    if lane < PROBES * TALLIES {
        atomicStore(&counts[lane], 0u);
    }
    workgroupBarrier();
}

// Leaves no hit behind: what a workgroup shares outlives it, and on a simulated device lies in the
// process's own memory.
fn forget(lane: u32) {
    workgroupBarrier();
    for (var at = lane; at < PROBES * LISTED; at += WORKGROUP) {
        held[at] = Hit(0, 0u);
    }
}

// Takes a hit into the list of probe `p`, unless it cannot be among the best; says whether it did.
fn offer(p: u32, hit: Hit) -> bool {
    if is_full[p] == 1u && !is_better(hit, last[p]) {
        return false;
    }
    let at = atomicAdd(&listed[p], 1u);
    if at < LISTED {
        held[p * LISTED + at] = hit;
    }
    return true;
}

// Brings the list of probe `p` into order and drops what is not among its best.
fn order(p: u32, lane: u32) {
    if lane == 0u {
        length = min(atomicLoad(&listed[p]), LISTED);
    }
    let many = workgroupUniformLoad(&length);
    let best = search.probe[p].best;
    var mine: array<Hit, SHARE>;
    var place: array<u32, SHARE>;
    for (var n = 0u; n < SHARE; n++) {
        let at = lane + n * WORKGROUP;
        place[n] = LISTED;
        if at < many {
            mine[n] = held[p * LISTED + at];
            place[n] = 0u;
            for (var other = 0u; other < many; other++) {
                place[n] += select(0u, 1u, is_better(held[p * LISTED + other], mine[n]));
            }
        }
    }
    workgroupBarrier();
    for (var n = 0u; n < SHARE; n++) {
        if place[n] < best {
            held[p * LISTED + place[n]] = mine[n];
        }
    }
    workgroupBarrier();
    if lane == 0u {
        let kept = min(many, best);
        atomicStore(&listed[p], kept);
        if kept == best && best > 0u {
            is_full[p] = 1u;
            last[p] = held[p * LISTED + best - 1u];
        }
    }
    workgroupBarrier();
}

// Brings every list that is longer than `room` into order. Called after each lane has offered at
// most one hit to each probe, so that there is room for the next ones.
fn weed(lane: u32, room: u32) {
    workgroupBarrier();
    if lane == 0u {
        var longer = 0u;
        for (var p = 0u; p < PROBES; p++) {
            longer |= select(0u, 1u << p, atomicLoad(&listed[p]) > room);
        }
        crowded = longer;
    }
    let overfull = workgroupUniformLoad(&crowded);
    for (var p = 0u; p < PROBES; p++) {
        if (overfull & (1u << p)) != 0u {
            order(p, lane);
        }
    }
}

// a <= b, of 64-bit numbers.
fn is_at_most(a_high: i32, a_low: u32, b_high: i32, b_low: u32) -> bool {
    return a_high < b_high || (a_high == b_high && a_low <= b_low);
}

fn is_eligible(probe: Probe, row: Facts) -> bool {
    let classes = (row.class_low & probe.class_low) | (row.class_high & probe.class_high);
    let begun =
        is_at_most(row.not_before_high, row.not_before_low, probe.now_high, probe.now_low);
    let over = is_at_most(row.expiry_high, row.expiry_low, probe.now_high, probe.now_low);
    let wanted = probe.has_group == 0u || probe.group == row.group;
    return (row.flags & HIDDEN) == 0u && classes != 0u && wanted && begun && !over;
}

fn norm(slot: u32, row: u32) -> u32 {
    let slot_quads = search.hot_quads * search.rows + search.rows / 8u;
    let eight = hot[slot * slot_quads + search.hot_quads * search.rows + row / 8u];
    return (eight[row / 2u % 4u] >> (16u * (row % 2u))) & 0xffffu;
}

// One row for one probe, whose hot product is known.
fn judge(p: u32, piece: Piece, row: u32, hot_score: i32) {
    let probe = search.probe[p];
    let eligible = (piece.eligible >> (2u * p)) & 3u;
    if eligible != EVERYBODY {
        let asked = eligible != NOBODY;
        if !asked || !is_eligible(probe, facts[piece.slot * search.rows + row]) {
            atomicAdd(&counts[p * TALLIES + INELIGIBLE], 1u);
            return;
        }
    }
    // At most twice 5,748 squared: it fits.
    if hot_score + i32(probe.rest_norm * norm(piece.slot, row)) < probe.threshold {
        return;
    }
    atomicAdd(&counts[p * TALLIES + RESCORED], 1u);
    var whole = hot_score;
    let at = (piece.slot * search.rows + row) * search.cold_quads;
    let probe_at = p * (search.hot_quads + search.cold_quads) + search.hot_quads;
    for (var quad = 0u; quad < search.cold_quads; quad++) {
        whole += score(values[probe_at + quad], cold[at + quad]);
    }
    if whole < probe.threshold {
        return;
    }
    atomicAdd(&counts[p * TALLIES + ACCEPTED], 1u);
    if probe.best > 0u {
        _ = offer(p, Hit(whole, piece.first_row + row));
    }
}

@compute @workgroup_size(WORKGROUP)
fn scan(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let piece = pieces[group.x];
    let slot_quads = search.hot_quads * search.rows + search.rows / 8u;
    let quads = search.hot_quads + search.cold_quads;
    begin(lane);
    for (var first = 0u; first < piece.rows; first += WORKGROUP) {
        let row = first + lane;
        if row < piece.rows {
            var sums = array<i32, PROBES>();
            for (var quad = 0u; quad < search.hot_quads; quad++) {
                let held_values = hot[piece.slot * slot_quads + quad * search.rows + row];
                for (var p = 0u; p < PROBES; p++) {
                    sums[p] += score(values[p * quads + quad], held_values);
                }
            }
            for (var p = 0u; p < min(PROBES, search.probes); p++) {
                judge(p, piece, row, sums[p]);
            }
        }
        weed(lane, KEPT);
    }
    weed(lane, 0u);
    for (var p = 0u; p < PROBES; p++) {
        let kept = atomicLoad(&listed[p]);
        let list = (group.x * PROBES + p) * (KEPT + 1u);
        for (var at = lane; at < kept; at += WORKGROUP) {
            lists[list + 1u + at] = held[p * LISTED + at];
        }
        if lane == 0u {
            lists[list] = Hit(0, kept);
        }
    }
    if lane < PROBES * TALLIES {
        atomicAdd(&tallies[search.group * PROBES * TALLIES + lane], atomicLoad(&counts[lane]));
    }
    forget(lane);
}

@compute @workgroup_size(WORKGROUP)
fn merge(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let p = group.x;
    let result = (search.group * PROBES + p) * (KEPT + 1u);
    begin(lane);
    let before = results[result].row;
    for (var at = lane; at < before; at += WORKGROUP) {
        held[p * LISTED + at] = results[result + 1u + at];
    }
    if lane == 0u {
        atomicStore(&listed[p], before);
    }
    weed(lane, 0u);
    // Each lane walks down the list of its own piece, best first, until it is refused: what follows
    // is worse. 128 pieces at a time. As many may be offered next as were taken now.
    for (var first = 0u; first < search.pieces; first += WORKGROUP) {
        let piece = first + lane;
        let list = (piece * PROBES + p) * (KEPT + 1u);
        var waiting = 0u;
        if piece < search.pieces {
            waiting = lists[list].row;
        }
        var at = 0u;
        loop {
            if lane == 0u {
                atomicStore(&taken, 0u);
            }
            workgroupBarrier();
            if at < waiting {
                if offer(p, lists[list + 1u + at]) {
                    atomicAdd(&taken, 1u);
                } else {
                    waiting = 0u;
                }
            }
            at += 1u;
            workgroupBarrier();
            if lane == 0u {
                length = atomicLoad(&taken);
            }
            let many = workgroupUniformLoad(&length);
            if many == 0u {
                break;
            }
            weed(lane, LISTED - many);
        }
        // What is left of the room may be less than a whole round of the next pieces.
        weed(lane, KEPT);
    }
    weed(lane, 0u);
    let kept = atomicLoad(&listed[p]);
    for (var at = lane; at < kept; at += WORKGROUP) {
        results[result + 1u + at] = held[p * LISTED + at];
    }
    if lane == 0u {
        results[result] = Hit(0, kept);
    }
    forget(lane);
}
