// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A gallery and its probes as the search sees them. Twins of the structs of the same names in
// src/backend/wgpu/layout.rs; a test reflects both.
//
// Rows lie in slots of `Search::rows` rows each. A slot's hot plane is word-major, sixteen values
// of a row to an element, so that neighbouring lanes read neighbouring elements; after it come the
// norms, eight to an element. Its cold plane is row-major, since few rows of it are read.

// A stretch of rows to be scanned by one workgroup.
struct Piece {
    // Slot it lies in.
    slot: u32,
    // Rows in use.
    rows: u32,
    // Number of its first row in the generation.
    first_row: u32,
    // Two bits per probe: NOBODY, EVERYBODY or ASK of its rows are eligible.
    eligible: u32,
}

// What is asked about a row before it may be found; 64-bit numbers in two words.
struct Facts {
    class_low: u32,
    class_high: u32,
    not_before_low: u32,
    not_before_high: i32,
    expiry_low: u32,
    expiry_high: i32,
    group: u32,
    flags: u32,
}

struct Probe {
    threshold: i32,
    // Norm of its cold values, rounded up.
    rest_norm: u32,
    // Rows kept.
    best: u32,
    // 1 where only `group` is wanted.
    has_group: u32,
    group: u32,
    class_low: u32,
    class_high: u32,
    now_low: u32,
    now_high: i32,
    spare0: u32,
    spare1: u32,
    spare2: u32,
}

struct Search {
    // Elements of a row's hot and cold values.
    hot_quads: u32,
    cold_quads: u32,
    // Rows of a slot, a multiple of 8.
    rows: u32,
    // Probes of this group.
    probes: u32,
    // Pieces of this dispatch.
    pieces: u32,
    // Number of the group: where its tallies and results stand.
    group: u32,
    spare0: u32,
    spare1: u32,
    probe: array<Probe, 8>,
}

// A row that was found. The first of a list holds the list's length in `row`.
struct Hit {
    score: i32,
    row: u32,
}
