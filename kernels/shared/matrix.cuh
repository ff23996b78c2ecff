// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The scan on tensor cores, for N probes at a time: a tile is 128 rows by N probes. The probes' hot
// values stay in shared memory; the rows' stream through three stages of eight quads, as they lie
// in the slot, which is as the tensor cores take them. A warp multiplies 16 N / 32 rows by 32
// probes.
//
// A sum begins at minus the threshold. So the bound says: a row survives where the sum plus the
// product of the norms is not negative, and the sign of the conjunction of all sums of a thread
// tells whether it has to look closer: one multiply-add and half a conjunction per score.

#pragma once

#include "score.cu"
#include "shared/candidates.cuh"

constexpr u32 TILE_ROWS = 128;
constexpr u32 CHUNK_QUADS = 8;
constexpr u32 QUAD_BYTES = 16;
constexpr u32 MATRIX_STAGES = 3;
constexpr u32 VALUES_BYTES = TILE_ROWS * CHUNK_QUADS * QUAD_BYTES;
constexpr u32 STAGE_BYTES = VALUES_BYTES + TILE_ROWS * 2;
constexpr u32 KEYS_AT = MATRIX_STAGES * STAGE_BYTES;
constexpr u32 CROWD_AT = KEYS_AT + 512 * 8;
constexpr u32 SEATS_AT = CROWD_AT + 16;
// Words of a bit per row.
constexpr u32 MASK_WORDS = TILE_ROWS / 32;
// Beyond every bound, which is at most 2^26.1: thresholds are cut to it, so that nothing overflows.
constexpr i32 THRESHOLD_MAX = 1 << 27;

// What a block knows.
template <u32 N>
struct Matrix {
    // A warp has 16 MT rows by 32 probes.
    static constexpr u32 MT = N / 32;

    const Search& search;
    u8* arena;
    Seat* seats;
    // Of each probe, which rows of the tile are eligible.
    u32* masks;
    // Hot values of the probes, word-major.
    u8* values;
    u32 first;
    u32 live;
    u32 chunks;
    u32 tiles;
    u32 units;

    INLINE Crowd& crowd() const {
        return *reinterpret_cast<Crowd*>(arena + CROWD_AT);
    }

    INLINE u64* keys() const {
        return reinterpret_cast<u64*>(arena + KEYS_AT);
    }

    INLINE u32 warp_row() const {
        return threadIdx.x / 32 / (N / 32) * (16 * MT);
    }

    INLINE u32 warp_probe() const {
        return threadIdx.x / 32 % (N / 32) * 32;
    }
};

// Where a tile lies: its piece, and its first row there.
struct Tile {
    const Piece* piece;
    u32 begin;
};

template <u32 N>
INLINE Tile tile_of(const Matrix<N>& own, u32 unit) {
    return Tile{own.search.pieces + unit / own.tiles, unit % own.tiles * TILE_ROWS};
}

// Whether some probe may find some row of the tile. Each warp asks on its own, and all get the same
// answer, so that what nobody wants is neither fetched nor multiplied, without a barrier.
template <u32 N>
INLINE bool is_wanted(const Matrix<N>& own, const Tile& tile) {
    bool some = false;
    if (tile.begin < tile.piece->rows) {
        for (u32 p = threadIdx.x % 32; p < own.live; p += 32) {
            some = some || eligibility(own.seats[p], *tile.piece) != NOBODY;
        }
    }
    return __ballot_sync(WARP, some) != 0;
}

// Begins the copies of eight quads of a tile; with the last of them come the norms.
template <u32 N>
INLINE void fetch_chunk(const Matrix<N>& own, const Tile& tile, u32 chunk, u8* stage) {
    const Search& search = own.search;
    const uint4* hot = tile.piece->hot;
    const u32 thread = threadIdx.x;
    const u32 row = tile.begin + thread % TILE_ROWS;
#pragma unroll
    for (u32 n = 0; n < VALUES_BYTES / QUAD_BYTES / SEARCH_THREADS; n++) {
        const u32 place = thread + n * SEARCH_THREADS;
        const u32 quad = chunk * CHUNK_QUADS + place / TILE_ROWS;
        const bool there = quad < search.hot_quads && row < search.rows;
        const u64 at = there ? static_cast<u64>(quad) * search.rows + row : 0;
        copy_sixteen(stage + place * QUAD_BYTES, hot + at, there);
    }
    if (chunk + 1 == own.chunks && thread < TILE_ROWS / 8) {
        const u32 eight = tile.begin + thread * 8;
        const bool there = eight < search.rows;
        const u16* from = norms(search, *tile.piece) + (there ? eight : 0);
        copy_sixteen(stage + VALUES_BYTES + thread * QUAD_BYTES, from, there);
    }
}

template <u32 N>
using Sums = i32[Matrix<N>::MT][4][4];

INLINE i32 cut_threshold(i32 threshold) {
    return max(-THRESHOLD_MAX, min(threshold, THRESHOLD_MAX));
}

// Every sum begins at minus the threshold of its probe.
template <u32 N>
INLINE void begin_sums(const Matrix<N>& own, Sums<N>& sums) {
    const u32 probe = own.warp_probe() + threadIdx.x % 4 * 2;
#pragma unroll
    for (u32 n = 0; n < 4; n++) {
#pragma unroll
        for (u32 j = 0; j < 2; j++) {
            const i32 begin = -cut_threshold(own.seats[probe + n * 8 + j].threshold);
#pragma unroll
            for (u32 m = 0; m < Matrix<N>::MT; m++) {
                sums[m][n][j] = begin;
                sums[m][n][j + 2] = begin;
            }
        }
    }
}

// Multiplies up to eight quads of the tile in `stage` with those of the probes from `first_quad`.
template <u32 N>
INLINE void multiply_chunk(const Matrix<N>& own, const u8* stage, u32 first_quad, Sums<N>& sums) {
    constexpr u32 MT = Matrix<N>::MT;
    const u32 lane = threadIdx.x % 32;
    const u32 pairs = (min(CHUNK_QUADS, own.search.hot_quads - first_quad) + 1) / 2;
    const u32 row = own.warp_row() + lane % 16;
    const u32 probe = own.warp_probe() + lane % 8 + lane / 16 * 8;
    const u8* rows = stage + (lane / 16 * TILE_ROWS + row) * QUAD_BYTES;
    const u8* probes = own.values + ((first_quad + lane / 8 % 2) * N + probe) * QUAD_BYTES;
#pragma unroll
    for (u32 pair = 0; pair < CHUNK_QUADS / 2; pair++) {
        if (pair >= pairs) {
            break;
        }
        u32 left[MT][4];
        u32 right[2][4];
#pragma unroll
        for (u32 m = 0; m < MT; m++) {
            load_matrices(left[m], rows + (2 * pair * TILE_ROWS + m * 16) * QUAD_BYTES);
        }
#pragma unroll
        for (u32 n = 0; n < 2; n++) {
            load_matrices(right[n], probes + (2 * pair * N + n * 16) * QUAD_BYTES);
        }
#pragma unroll
        for (u32 m = 0; m < MT; m++) {
#pragma unroll
            for (u32 n = 0; n < 4; n++) {
                multiply_bytes(sums[m][n], left[m], right[n / 2][n % 2 * 2],
                               right[n / 2][n % 2 * 2 + 1]);
            }
        }
    }
}

// Adds the product of the norms to every sum; tells whether one of this thread is not negative.
template <u32 N>
INLINE bool add_norms(const Matrix<N>& own, const u8* stage, Sums<N>& sums) {
    const u32 lane = threadIdx.x % 32;
    const u16* norm =
        reinterpret_cast<const u16*>(stage + VALUES_BYTES) + own.warp_row() + lane / 4;
    const u32 probe = own.warp_probe() + lane % 4 * 2;
    i32 all = -1;
#pragma unroll
    for (u32 n = 0; n < 4; n++) {
#pragma unroll
        for (u32 j = 0; j < 2; j++) {
            const i32 rest = static_cast<i32>(own.seats[probe + n * 8 + j].rest_norm);
#pragma unroll
            for (u32 m = 0; m < Matrix<N>::MT; m++) {
#pragma unroll
                for (u32 half = 0; half < 2; half++) {
                    sums[m][n][half * 2 + j] += rest * norm[m * 16 + half * 8];
                    all &= sums[m][n][half * 2 + j];
                }
            }
        }
    }
    return all >= 0;
}

// Which rows of the tile each probe may find; counts those that it may not. Each warp marks its
// share of the probes.
template <u32 N>
INLINE void mark(const Matrix<N>& own, const Tile& tile) {
    constexpr u32 SHARE = N / 8;
    const Piece& piece = *tile.piece;
    const u32 lane = threadIdx.x % 32;
    const u32 first = threadIdx.x / 32 * SHARE;
    const Eligible code = lane < SHARE ? eligibility(own.seats[first + lane], piece) : NOBODY;
    const bool asks = __ballot_sync(WARP, code == ASK) != 0;
#pragma unroll 1
    for (u32 word = 0; word < MASK_WORDS; word++) {
        const u32 row = tile.begin + word * 32 + lane;
        const bool there = row < piece.rows;
        Facts facts = {};
        if (asks && there) {
            facts = piece.facts[row];
        }
#pragma unroll 1
        for (u32 n = 0; n < SHARE; n++) {
            Seat& seat = own.seats[first + n];
            const u32 said = __shfl_sync(WARP, static_cast<u32>(code), n);
            const bool may =
                there && (said == EVERYBODY || (said == ASK && is_eligible(seat, facts)));
            const u32 found = __ballot_sync(WARP, may);
            const u32 out = __ballot_sync(WARP, there && !may);
            if (lane == 0) {
                own.masks[(first + n) * MASK_WORDS + word] = found;
                seat.ineligible += static_cast<u32>(__popc(static_cast<i32>(out)));
            }
        }
    }
}

// The whole product of one row and one probe, by all lanes.
INLINE i32 whole_score(const Search& search, const Piece& piece, u32 row, u32 probe) {
    const u32 quads = search.hot_quads + search.cold_quads;
    const uint4* values = search.values + static_cast<u64>(probe) * quads;
    i32 sum = 0;
    for (u32 quad = threadIdx.x % 32; quad < quads; quad += 32) {
        const uint4* at = quad < search.hot_quads
                              ? piece.hot + static_cast<u64>(quad) * search.rows + row
                              : piece.cold + static_cast<u64>(row) * search.cold_quads +
                                    (quad - search.hot_quads);
        sum = score(*at, values[quad], sum);
    }
    return warp_sum(sum);
}

// Finishes the survivors of a warp, one after the other: rare where the bound is any good.
template <u32 N>
INLINE void finish_survivors(const Matrix<N>& own, const Tile& tile, const Sums<N>& sums,
                             bool asks, u32 round) {
    const Piece& piece = *tile.piece;
    const u32 lane = threadIdx.x % 32;
    u64 waiting = 0;
#pragma unroll
    for (u32 m = 0; m < Matrix<N>::MT; m++) {
#pragma unroll
        for (u32 n = 0; n < 4; n++) {
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                waiting |= static_cast<u64>(sums[m][n][i] >= 0) << ((m * 4 + n) * 4 + i);
            }
        }
    }
    for (;;) {
        const u32 lanes = __ballot_sync(WARP, waiting != 0);
        if (lanes == 0) {
            return;
        }
        const u32 next = static_cast<u32>(__ffs(static_cast<i32>(lanes))) - 1;
        const u32 own_bit = static_cast<u32>(__ffsll(static_cast<i64>(waiting))) - 1;
        const u32 bit = __shfl_sync(WARP, own_bit, next);
        if (lane == next) {
            waiting &= waiting - 1;
        }
        const u32 within = own.warp_row() + bit / 16 * 16 + bit / 2 % 2 * 8 + next / 4;
        const u32 p = own.warp_probe() + bit / 4 % 4 * 8 + next % 4 * 2 + bit % 2;
        const u32 row = tile.begin + within;
        const u32 mask = asks ? own.masks[p * MASK_WORDS + within / 32] : WARP;
        if (row >= piece.rows || (mask >> within % 32 & 1) == 0) {
            continue;
        }
        const i32 whole = whole_score(own.search, piece, row, own.first + p);
        Seat& seat = own.seats[p];
        if (lane == 0) {
            atomicAdd(&seat.rescored, 1u);
            if (whole >= seat.threshold) {
                atomicAdd(&seat.accepted, 1u);
                u64* list = list_of(own.search, own.first + p, blockIdx.x);
                offer(seat, list, own.crowd(), round, key_of(whole, piece.first_row + row));
            }
        }
    }
}

// Takes the probes into shared memory.
template <u32 N>
INLINE void settle_in(const Matrix<N>& own) {
    const Search& search = own.search;
    const u32 thread = threadIdx.x;
    if (thread < N) {
        take_seat(search, own.seats[thread], own.first + thread);
    }
    if (thread < 2) {
        own.crowd().round[thread] = 0;
    }
    const u64 quads = search.hot_quads + search.cold_quads;
    const u32 even = (search.hot_quads + 1) & ~1u;
    for (u32 at = thread; at < N * even; at += SEARCH_THREADS) {
        const u32 quad = at / N;
        const bool there = quad < search.hot_quads && at % N < own.live;
        uint4 value = make_uint4(0, 0, 0, 0);
        if (there) {
            value = search.values[(own.first + at % N) * quads + quad];
        }
        *reinterpret_cast<uint4*>(own.values + at * QUAD_BYTES) = value;
    }
    __syncthreads();
}

template <u32 N>
INLINE void matrix(const Search& search) {
    SHARED_ARENA(arena);
    const u32 first = blockIdx.y * N;
    const u32 tiles = (search.rows + TILE_ROWS - 1) / TILE_ROWS;
    u8* masks = arena + SEATS_AT + N * sizeof(Seat);
    const Matrix<N> own = {
        search,
        arena,
        reinterpret_cast<Seat*>(arena + SEATS_AT),
        reinterpret_cast<u32*>(masks),
        masks + N * MASK_WORDS * 4,
        first,
        min(N, search.probe_count - first),
        (search.hot_quads + CHUNK_QUADS - 1) / CHUNK_QUADS,
        tiles,
        search.piece_count * tiles,
    };
    settle_in(own);
    u32 fetched = blockIdx.x;
    u32 fetched_chunk = 0;
    u32 into = 0;
    const auto fetch = [&]() {
        while (fetched_chunk == 0 && fetched < own.units &&
               !is_wanted(own, tile_of(own, fetched))) {
            fetched += gridDim.x;
        }
        if (fetched < own.units) {
            fetch_chunk(own, tile_of(own, fetched), fetched_chunk, arena + into * STAGE_BYTES);
            fetched_chunk++;
            if (fetched_chunk == own.chunks) {
                fetched_chunk = 0;
                fetched += gridDim.x;
            }
        }
        copies_commit();
        into = into + 1 == MATRIX_STAGES ? 0 : into + 1;
    };
    for (u32 ahead = 0; ahead + 1 < MATRIX_STAGES; ahead++) {
        fetch();
    }
    u32 from = 0;
    u32 round = 0;
#pragma unroll 1
    for (u32 unit = blockIdx.x; unit < own.units; unit += gridDim.x) {
        const Tile tile = tile_of(own, unit);
        if (!is_wanted(own, tile)) {
            if (threadIdx.x < own.live && tile.begin < tile.piece->rows) {
                own.seats[threadIdx.x].ineligible +=
                    min(TILE_ROWS, tile.piece->rows - tile.begin);
            }
            continue;
        }
        round++;
        Sums<N> sums;
        begin_sums(own, sums);
        const u8* stage = arena;
        bool asks = false;
#pragma unroll 1
        for (u32 chunk = 0; chunk < own.chunks; chunk++) {
            bool odd = false;
            if (chunk + 1 == own.chunks && threadIdx.x < own.live) {
                odd = eligibility(own.seats[threadIdx.x], *tile.piece) != EVERYBODY;
            }
            copies_wait<MATRIX_STAGES - 2>();
            asks = __syncthreads_or(odd) != 0;
            // What the former tile left too long.
            if (chunk == 0 && round > 1 && own.crowd().round[(round - 1) % 2] == round - 1) {
                weed_all(search, own.seats, first, own.live, CROWDED, own.keys());
            }
            fetch();
            stage = arena + from * STAGE_BYTES;
            multiply_chunk(own, stage, chunk * CHUNK_QUADS, sums);
            from = from + 1 == MATRIX_STAGES ? 0 : from + 1;
        }
        const bool survives = add_norms(own, stage, sums);
        if (asks) {
            mark(own, tile);
            __syncthreads();
        }
        if (__ballot_sync(WARP, survives) != 0) {
            finish_survivors(own, tile, sums, asks, round);
        }
    }
    copies_wait<0>();
    leave_seats(search, own.seats, first, own.live, own.keys());
}
