// SPDX-License-Identifier: MIT OR Apache-2.0
//
// search: hot plane, bound, cold plane and the best rows in one pass; no score is written to memory
// unless its row is among the best of its block.
//
//     search_scan_P     few probes: a thread per row, sixteen bytes a load, up to eight loads under
//                       way; every row is read once for P probes (shared/scan.cuh)
//     search_matrix_N   many probes: 128 rows by N probes a tile on tensor cores, the probes at
//                       rest in shared memory, rows streaming past (shared/matrix.cuh)
//     search_merge      a block per probe: the lists of all blocks into the probe's result
//
// Both scans count and keep the same: ineligible before the bound, accepted and rescored by the
// threshold alone. So answers and certificates are the oracle's bit for bit, on either path.
//
// Bound: the bytes of hot plane and norms for few probes; for many, 2 * rows * probes * hot
// dimensions operations, and one multiply-add and half a logical operation per score beside them.
//
// Registers: search_scan_1 80, search_scan_2 128, search_scan_4 128, search_scan_8 128
// Registers: search_matrix_32 128, search_matrix_64 128, search_matrix_128 128, search_merge 64

#include "shared/matrix.cuh"
#include "shared/scan.cuh"

extern "C" __global__ void __launch_bounds__(256, 3) search_scan_1(const Search search) {
    scan<1>(search);
}

extern "C" __global__ void __launch_bounds__(256, 2) search_scan_2(const Search search) {
    scan<2>(search);
}

extern "C" __global__ void __launch_bounds__(256, 2) search_scan_4(const Search search) {
    scan<4>(search);
}

extern "C" __global__ void __launch_bounds__(256, 2) search_scan_8(const Search search) {
    scan<8>(search);
}

extern "C" __global__ void __launch_bounds__(256, 2) search_matrix_32(const Search search) {
    matrix<32>(search);
}

extern "C" __global__ void __launch_bounds__(256, 2) search_matrix_64(const Search search) {
    matrix<64>(search);
}

extern "C" __global__ void __launch_bounds__(256, 2) search_matrix_128(const Search search) {
    matrix<128>(search);
}

// What a merge shares.
struct Merged {
    u64 last;
    u32 listed;
    u32 spare;
};

// Sorts what is there and cuts it to the best. Called by the whole block, after a barrier.
INLINE void settle(Merged& merged, u64* keys, u32 best) {
    const u32 listed = merged.listed;
    const u32 count = power_above(listed);
    for (u32 at = listed + threadIdx.x; at < count; at += SEARCH_THREADS) {
        keys[at] = NO_KEY;
    }
    __syncthreads();
    sort(keys, count);
    if (threadIdx.x == 0) {
        merged.listed = min(listed, best);
        merged.last = listed >= best ? keys[best - 1] : NO_KEY;
    }
    __syncthreads();
}

extern "C" __global__ void __launch_bounds__(256) search_merge(const Search search) {
    SHARED_ARENA(arena);
    u64* keys = reinterpret_cast<u64*>(arena);
    Merged& merged = *reinterpret_cast<Merged*>(arena + 8192);
    const u32 thread = threadIdx.x;
    const u32 best = search.probes[blockIdx.x].best;
    if (best == 0) {
        return;
    }
    // What former windows found.
    u64* result = search.results + static_cast<u64>(blockIdx.x) * CROWDED;
    const u64 held = result[thread];
    keys[thread] = held;
    const u32 before = __syncthreads_count(held != NO_KEY);
    if (thread == 0) {
        merged.listed = before;
        merged.last = before >= best ? keys[best - 1] : NO_KEY;
    }
    __syncthreads();
    // Each thread walks down one list, best first, until it is refused: what follows is worse.
    for (u32 base = 0; base < search.blocks; base += SEARCH_THREADS) {
        bool waiting = base + thread < search.blocks;
        const u64* list = list_of(search, blockIdx.x, waiting ? base + thread : 0);
        for (;;) {
            const u64 key = waiting ? *list : NO_KEY;
            list++;
            waiting = waiting && key > merged.last;
            if (!__syncthreads_or(waiting)) {
                break;
            }
            if (waiting) {
                keys[atomicAdd(&merged.listed, 1u)] = key;
            }
            __syncthreads();
            // At most 256 more may come with the next round.
            if (merged.listed > best) {
                settle(merged, keys, best);
            }
        }
        __syncthreads();
    }
    settle(merged, keys, best);
    result[thread] = thread < merged.listed ? keys[thread] : NO_KEY;
}
