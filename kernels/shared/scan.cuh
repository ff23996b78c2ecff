// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The memory-bound scan, for P probes at a time. A block of 256 threads takes strips of 512 rows in
// turn, two rows a thread; neighbouring threads read neighbouring rows of a quad. The rare
// survivors of the bound are finished by the whole warp, a quad a lane.

#pragma once

#include "score.cu"
#include "shared/candidates.cuh"

constexpr u32 STRIP_EACH = 2;
constexpr u32 STRIP_ROWS = STRIP_EACH * SEARCH_THREADS;

// Quads of a row under way at a time: fewer where more is done with each.
template <u32 P>
constexpr u32 SCAN_LOADS = P <= 2 ? 4 : 2;

// What a block of the scan knows.
template <u32 P>
struct Scan {
    const Search& search;
    Seat* seats;
    u64* keys;
    Crowd* crowd;
    // Hot values of the probes, those of one quad after each other.
    const uint4* values;
    u32 first;
    // Probes there are, of P.
    u32 live;
};

// One row of each lane: its number in the slot, whether there is one, and its norm.
struct Held {
    u32 row;
    bool there;
    u32 norm;
};

// Adds the cold products of the rows of the lanes in `waiting`, all lanes together for each.
INLINE i32 with_cold(const Search& search, const Piece& piece, u32 probe, u32 waiting, u32 row,
                     i32 hot) {
    const u32 lane = threadIdx.x % 32;
    const u64 quads = search.hot_quads + search.cold_quads;
    const uint4* values = search.values + probe * quads + search.hot_quads;
    while (waiting != 0) {
        const u32 next = static_cast<u32>(__ffs(static_cast<i32>(waiting))) - 1;
        waiting &= waiting - 1;
        const u64 at = static_cast<u64>(__shfl_sync(WARP, row, next)) * search.cold_quads;
        i32 sum = 0;
        for (u32 quad = lane; quad < search.cold_quads; quad += 32) {
            sum = score(piece.cold[at + quad], values[quad], sum);
        }
        sum = warp_sum(sum);
        hot += lane == next ? sum : 0;
    }
    return hot;
}

// One row of each lane for every probe. `asks` and `everybody`: a bit per probe.
template <u32 P>
INLINE void judge(const Scan<P>& scan, const Piece& piece, const Held& held, const i32 (&sums)[P],
                  u32 asks, u32 everybody, u32 round) {
    const Search& search = scan.search;
    const u32 lane = threadIdx.x % 32;
    Facts facts = {};
    if (asks != 0 && held.there) {
        facts = piece.facts[held.row];
    }
#pragma unroll
    for (u32 p = 0; p < P; p++) {
        if (p >= scan.live) {
            break;
        }
        Seat& seat = scan.seats[p];
        bool may = held.there;
        if ((everybody >> p & 1) == 0) {
            may = may && (asks >> p & 1) != 0 && is_eligible(seat, facts);
            const u32 out = __ballot_sync(WARP, held.there && !may);
            if (lane == 0 && out != 0) {
                atomicAdd(&seat.ineligible, static_cast<u32>(__popc(static_cast<i32>(out))));
            }
        }
        // At most twice 5,748 squared: it fits.
        const i32 most = sums[p] + static_cast<i32>(seat.rest_norm * held.norm);
        const bool survives = may && most >= seat.threshold;
        const u32 survivors = __ballot_sync(WARP, survives);
        if (survivors == 0) {
            continue;
        }
        i32 whole = sums[p];
        if (search.cold_quads > 0) {
            whole = with_cold(search, piece, scan.first + p, survivors, held.row, whole);
        }
        const bool is_accepted = survives && whole >= seat.threshold;
        const u32 accepted = __ballot_sync(WARP, is_accepted);
        if (lane == 0) {
            atomicAdd(&seat.rescored, static_cast<u32>(__popc(static_cast<i32>(survivors))));
            atomicAdd(&seat.accepted, static_cast<u32>(__popc(static_cast<i32>(accepted))));
        }
        if (is_accepted) {
            u64* list = list_of(search, scan.first + p, blockIdx.x);
            offer(seat, list, *scan.crowd, round, key_of(whole, piece.first_row + held.row));
        }
    }
}

// The hot products of two rows a thread with every probe.
template <u32 P>
INLINE void hot_products(const Scan<P>& scan, const Piece& piece, const Held (&held)[STRIP_EACH],
                         i32 (&sums)[STRIP_EACH][P]) {
    const u32 quads = scan.search.hot_quads;
    const u64 stride = scan.search.rows;
    const uint4* at[STRIP_EACH];
#pragma unroll
    for (u32 n = 0; n < STRIP_EACH; n++) {
        at[n] = piece.hot + (held[n].there ? held[n].row : 0);
    }
    const auto add = [&](const uint4 (&rows)[STRIP_EACH], u32 quad) {
#pragma unroll
        for (u32 p = 0; p < P; p++) {
            const uint4 value = scan.values[quad * P + p];
#pragma unroll
            for (u32 n = 0; n < STRIP_EACH; n++) {
                sums[n][p] = score(rows[n], value, sums[n][p]);
            }
        }
    };
    constexpr u32 LOADS = SCAN_LOADS<P>;
    u32 quad = 0;
#pragma unroll 1
    for (; quad + LOADS <= quads; quad += LOADS) {
        uint4 rows[LOADS][STRIP_EACH];
#pragma unroll
        for (u32 load = 0; load < LOADS; load++) {
#pragma unroll
            for (u32 n = 0; n < STRIP_EACH; n++) {
                rows[load][n] = read_once(at[n]);
                at[n] += stride;
            }
        }
#pragma unroll
        for (u32 load = 0; load < LOADS; load++) {
            add(rows[load], quad + load);
        }
    }
#pragma unroll 1
    for (; quad < quads; quad++) {
        uint4 rows[STRIP_EACH];
#pragma unroll
        for (u32 n = 0; n < STRIP_EACH; n++) {
            rows[n] = read_once(at[n]);
            at[n] += stride;
        }
        add(rows, quad);
    }
}

// One strip, whose first row is `begin`.
template <u32 P>
INLINE void scan_strip(const Scan<P>& scan, const Piece& piece, u32 begin, u32 round) {
    const u32 thread = threadIdx.x;
    const u32 lane = thread % 32;
    const Eligible code = lane < scan.live ? eligibility(scan.seats[lane], piece) : NOBODY;
    const u32 everybody = __ballot_sync(WARP, code == EVERYBODY);
    const u32 asks = __ballot_sync(WARP, code == ASK);
    if ((everybody | asks) == 0) {
        if (thread < scan.live) {
            atomicAdd(&scan.seats[thread].ineligible, min(STRIP_ROWS, piece.rows - begin));
        }
        return;
    }
    Held held[STRIP_EACH];
#pragma unroll
    for (u32 n = 0; n < STRIP_EACH; n++) {
        held[n].row = begin + thread + n * SEARCH_THREADS;
        held[n].there = held[n].row < piece.rows;
        held[n].norm = norms(scan.search, piece)[held[n].there ? held[n].row : 0];
    }
    i32 sums[STRIP_EACH][P] = {};
    hot_products(scan, piece, held, sums);
#pragma unroll
    for (u32 n = 0; n < STRIP_EACH; n++) {
        judge(scan, piece, held[n], sums[n], asks, everybody, round);
    }
}

template <u32 P>
INLINE void scan(const Search& search) {
    SHARED_ARENA(arena);
    u64* keys = reinterpret_cast<u64*>(arena);
    Crowd* crowd = reinterpret_cast<Crowd*>(arena + 8192);
    Seat* seats = reinterpret_cast<Seat*>(arena + 8208);
    uint4* values = reinterpret_cast<uint4*>(arena + 8208 + P * sizeof(Seat));
    const u32 thread = threadIdx.x;
    const u32 first = blockIdx.y * P;
    const u32 live = min(P, search.probe_count - first);
    if (thread < P) {
        take_seat(search, seats[thread], first + thread);
    }
    if (thread < 2) {
        crowd->round[thread] = 0;
    }
    const u64 quads = search.hot_quads + search.cold_quads;
    for (u32 at = thread; at < P * search.hot_quads; at += SEARCH_THREADS) {
        const u32 p = at % P;
        const u32 quad = at / P;
        values[at] = p < live ? search.values[(first + p) * quads + quad] : make_uint4(0, 0, 0, 0);
    }
    __syncthreads();
    bool keeps = false;
    for (u32 p = 0; p < live; p++) {
        keeps = keeps || seats[p].best > 0;
    }
    const Scan<P> own = {search, seats, keys, crowd, values, first, live};
    const u32 strips = (search.rows + STRIP_ROWS - 1) / STRIP_ROWS;
    const u32 units = search.piece_count * strips;
    u32 round = 0;
    for (u32 unit = blockIdx.x; unit < units; unit += gridDim.x) {
        const Piece& piece = search.pieces[unit / strips];
        const u32 begin = unit % strips * STRIP_ROWS;
        if (begin >= piece.rows) {
            continue;
        }
        round++;
        scan_strip(own, piece, begin, round);
        if (keeps) {
            __syncthreads();
            if (crowd->round[round % 2] == round) {
                weed_all(search, seats, first, live, CROWDED, keys);
            }
        }
    }
    leave_seats(search, seats, first, live, keys);
}
