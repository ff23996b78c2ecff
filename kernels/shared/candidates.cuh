// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The best rows of a block, probe by probe, exactly.
//
// A hit is one 64-bit key that compares as hits do: score descending, then row ascending, the
// better hit the larger key. No two rows have one key, and 0 is no hit, so an order never has ties,
// and the result does not depend on which thread came first.
//
// A list lies in device memory, owned by one block, unordered. Whatever beats the last of the best
// is appended; a list that has grown past CROWDED is weeded between two rounds: sorted in shared
// memory and cut to the best. A round appends at most as many keys as the list has room beyond
// CROWDED, so nothing is ever lost. `Seat::last` is 0 until the list is full, and all ones where
// none is kept.

#pragma once

#include "shared/gallery.cuh"

// CANDIDATES_MAX of src/limits.rs: keys that every list has room for before a round.
constexpr u32 CROWDED = 256;
constexpr u32 SEARCH_THREADS = 256;
constexpr u64 NO_KEY = 0;
constexpr u64 NONE_KEPT = ~static_cast<u64>(0);

INLINE u64 key_of(i32 score, u32 row) {
    return static_cast<u64>(static_cast<u32>(score) ^ 0x80000000u) << 32 | (0xffffffffu - row);
}

// Remembers in which round a list became crowded, for two rounds at a time: what is read after a
// round's barrier is not written again before the next one.
struct Crowd {
    u32 round[2];
};

// Appends a key, unless it cannot be among the best. `round` counts from 1.
INLINE void offer(Seat& seat, u64* list, Crowd& crowd, u32 round, u64 key) {
    if (key <= seat.last) {
        return;
    }
    const u32 at = atomicAdd(&seat.listed, 1u);
    list[at] = key;
    if (at >= CROWDED) {
        crowd.round[round % 2] = round;
    }
}

// Sorts `count` keys, a power of two, in descending order.
INLINE void sort(u64* keys, u32 count) {
    for (u32 size = 2; size <= count; size *= 2) {
        for (u32 stride = size / 2; stride > 0; stride /= 2) {
            for (u32 pair = threadIdx.x; pair < count / 2; pair += SEARCH_THREADS) {
                const u32 low = 2 * pair - (pair & (stride - 1));
                const u64 one = keys[low];
                const u64 other = keys[low + stride];
                const bool descending = (low & size) == 0;
                if ((one < other) == descending) {
                    keys[low] = other;
                    keys[low + stride] = one;
                }
            }
            __syncthreads();
        }
    }
}

// The smallest power of two that is at least `count`, and at least 2.
INLINE u32 power_above(u32 count) {
    return count <= 2 ? 2 : 1u << (32 - __clz(static_cast<i32>(count - 1)));
}

// Brings a list into order and cuts it to the best. Called by the whole block, after a barrier.
INLINE void weed(Seat& seat, u64* list, u64* keys) {
    const u32 listed = seat.listed;
    const u32 count = power_above(listed);
    for (u32 at = threadIdx.x; at < count; at += SEARCH_THREADS) {
        keys[at] = at < listed ? list[at] : NO_KEY;
    }
    __syncthreads();
    sort(keys, count);
    const u32 kept = min(listed, seat.best);
    for (u32 at = threadIdx.x; at < kept; at += SEARCH_THREADS) {
        list[at] = keys[at];
    }
    if (threadIdx.x == 0 && kept > 0) {
        seat.listed = kept;
        seat.last = kept == seat.best ? keys[kept - 1] : NO_KEY;
    }
    __syncthreads();
}

// Weeds every list that is longer than `room`. Called by the whole block, after a barrier, and ends
// with one: whoever goes on lifts `listed` again, which a slower warp must have read before, or it
// would weed a list that the others do not.
INLINE void weed_all(const Search& search, Seat* seats, u32 first, u32 probes, u32 room,
                     u64* keys) {
    for (u32 p = 0; p < probes; p++) {
        if (seats[p].listed > room) {
            weed(seats[p], list_of(search, first + p, blockIdx.x), keys);
        }
    }
    __syncthreads();
}

// Takes a probe into shared memory, or an empty place that accepts nothing.
INLINE void take_seat(const Search& search, Seat& seat, u32 p) {
    Probe probe = {};
    probe.threshold = 0x7fffffff;
    if (p < search.probe_count) {
        probe = search.probes[p];
    }
    seat.class_bits = probe.class_bits;
    seat.now_s = probe.now_s;
    seat.threshold = probe.threshold;
    seat.rest_norm = probe.rest_norm;
    seat.best = probe.best;
    seat.has_group = probe.has_group;
    seat.group = probe.group;
    seat.ineligible = seat.accepted = seat.rescored = 0;
    seat.last = probe.best == 0 ? NONE_KEPT : NO_KEY;
    seat.listed = 0;
    seat.spare = 0;
}

// Ends all lists, in order and behind each a key that is none, and adds up what was counted.
INLINE void leave_seats(const Search& search, Seat* seats, u32 first, u32 probes, u64* keys) {
    __syncthreads();
    weed_all(search, seats, first, probes, 0, keys);
    for (u32 p = threadIdx.x; p < probes; p += SEARCH_THREADS) {
        const Seat& seat = seats[p];
        list_of(search, first + p, blockIdx.x)[seat.listed] = NO_KEY;
        u32* tallies = search.tallies + static_cast<u64>(first + p) * 4;
        if (seat.ineligible > 0) {
            atomicAdd(tallies, seat.ineligible);
        }
        if (seat.accepted > 0) {
            atomicAdd(tallies + 1, seat.accepted);
        }
        if (seat.rescored > 0) {
            atomicAdd(tallies + 2, seat.rescored);
        }
    }
}
