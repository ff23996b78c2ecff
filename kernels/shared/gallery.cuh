// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A gallery and its probes as the search sees them. The host has twins, byte for byte; README.md
// says how planes lie. A slot's hot plane is word-major, sixteen values of a row to a quad: a warp
// of rows reads 512 bytes in a row, and eight rows of a quad are at once a matrix as the tensor
// cores take it, 128 bytes without a conflict of banks.

#pragma once

#include "shared/machine.cuh"

// ROW_RESTRICTED and ROW_VACANT of src/ops/tile.rs.
constexpr u32 HIDDEN = 3;

// What is asked about a row before it may be found.
struct alignas(16) Facts {
    u64 class_bits;
    i64 not_before_s;
    i64 expiry_s;
    u32 group;
    u32 flags;
};

// A stretch of rows in one slot, and what they have in common.
struct alignas(16) Piece {
    const uint4* hot;
    const uint4* cold;
    const Facts* facts;
    u64 class_bits_any;
    u64 class_bits_all;
    i64 not_before_s_max;
    i64 expiry_s_min;
    // In use.
    u32 rows;
    // Number of the first one in the generation.
    u32 first_row;
    u32 group;
    u32 has_group;
    u32 flags_any;
    u32 spare;
};

struct Probe {
    u64 class_bits;
    i64 now_s;
    i32 threshold;
    // Norm of its cold values, rounded up.
    u32 rest_norm;
    // Rows kept.
    u32 best;
    // 1 where only `group` is wanted.
    u32 has_group;
    u32 group;
    u32 spare[3];
};

struct Search {
    const Piece* pieces;
    const Probe* probes;
    const uint4* values;
    u64* lists;
    u32* tallies;
    u64* results;
    u32 piece_count;
    u32 probe_count;
    // Quads of a row's hot and cold values.
    u32 hot_quads;
    u32 cold_quads;
    // Rows of a slot, a multiple of 8.
    u32 rows;
    // Lists of one probe: blocks of the scan on x.
    u32 blocks;
    // Keys of one list.
    u32 list_pitch;
    u32 spare[3];
};

static_assert(sizeof(Facts) == 32, "the host's twin has 32 bytes");
static_assert(sizeof(Piece) == 80, "the host's twin has 80 bytes");
STANDS_AT(Piece, rows, 56);
static_assert(sizeof(Probe) == 48, "the host's twin has 48 bytes");
static_assert(sizeof(Search) == 88, "the host's twin has 88 bytes");
STANDS_AT(Search, piece_count, 48);

// What a block keeps of one probe in shared memory.
struct Seat {
    u64 class_bits;
    i64 now_s;
    i32 threshold;
    u32 rest_norm;
    u32 best;
    u32 has_group;
    u32 group;
    u32 ineligible;
    u32 accepted;
    u32 rescored;
    // A key must be larger to be among the best; see candidates.cuh.
    u64 last;
    // Keys in the list.
    u32 listed;
    u32 spare;
};

static_assert(sizeof(Seat) == 64, "counted in README.md");

// What a piece says about its rows and a probe.
enum Eligible : u32 { NOBODY, EVERYBODY, ASK };

// `eligibility` of src/ops/search.rs.
INLINE Eligible eligibility(const Seat& seat, const Piece& piece) {
    const bool one_group = piece.has_group != 0;
    const bool foreign = seat.has_group != 0 && one_group && piece.group != seat.group;
    if ((piece.class_bits_any & seat.class_bits) == 0 || foreign) {
        return NOBODY;
    }
    const bool all = (piece.flags_any & HIDDEN) == 0 &&
                     (piece.class_bits_all & seat.class_bits) != 0 &&
                     (seat.has_group == 0 || (one_group && piece.group == seat.group)) &&
                     piece.not_before_s_max <= seat.now_s && seat.now_s < piece.expiry_s_min;
    return all ? EVERYBODY : ASK;
}

// `eligible` of src/ops/search.rs.
INLINE bool is_eligible(const Seat& seat, const Facts& row) {
    return (row.flags & HIDDEN) == 0 && (row.class_bits & seat.class_bits) != 0 &&
           (seat.has_group == 0 || seat.group == row.group) && row.not_before_s <= seat.now_s &&
           seat.now_s < row.expiry_s;
}

// The norms of a piece's rows.
INLINE const u16* norms(const Search& search, const Piece& piece) {
    return reinterpret_cast<const u16*>(piece.hot +
                                        static_cast<u64>(search.hot_quads) * search.rows);
}

// Where the list of probe `p` that block `block` writes begins.
INLINE u64* list_of(const Search& search, u32 p, u32 block) {
    return search.lists + (static_cast<u64>(p) * search.blocks + block) * search.list_pitch;
}
