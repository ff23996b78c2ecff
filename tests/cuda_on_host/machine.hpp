// SPDX-License-Identifier: MIT OR Apache-2.0
//
// CUDA's words on the host, so that the kernels compile with a C++ compiler as they stand. Threads
// of a block are fibres of one thread of the system; a collective suspends a fibre until all that
// take part have arrived. What the kernels take from kernels/shared/machine.cuh on a device, they
// take from here.
//
// Stricter than a device where that finds mistakes: shared memory begins as rubbish for every block
// and ends at a page that cannot be touched; an asynchronous copy happens as late as it may; the
// order of threads is the caller's choice; a collective that not all lanes reach ends the run.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define ON_HOST 1
#define __device__
#define __forceinline__ inline
#define __global__
#define __launch_bounds__(...)

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

struct alignas(16) float4 {
    float x, y, z, w;
};

inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return uint4{x, y, z, w};
}

inline float4 make_float4(float x, float y, float z, float w) {
    return float4{x, y, z, w};
}

namespace host {

struct Index {
    unsigned x, y, z;
};

// The grid that runs, and the block that is at work.
struct Launch {
    Index grid;
    Index block;
    Index at;
};

// What lanes of a warp do together.
enum class Collective : unsigned {
    Ballot,
    LoadMatrices,
    MultiplyBytes,
    MultiplyHalves,
    Shuffle,
    ShuffleXor,
    Sync,
};

// What a lane brings to a collective, and what it takes away.
struct Exchange {
    unsigned in[12];
    const void* address;
    unsigned out[4];
};

extern Launch launch;

// Index of the running fibre in its block.
const Index& thread();
// Shared memory of the block at work.
unsigned char* arena();
// What the running lane brings; `meet` returns when all lanes of its warp brought the same.
Exchange& exchange();
void meet(Collective collective);
// Waits for the whole block; the sum of all predicates.
unsigned barrier(bool predicate);
void copy_later(void* to, const void* from, bool there);
void close_copies();
void wait_copies(unsigned pending);
// Ends the run with a message.
[[noreturn]] void fail(const char* what);

float float_of(std::uint16_t half);
std::uint16_t half_of(float value);

inline unsigned bits_of(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
}

inline float value_of(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

template <typename T>
T shuffle(Collective collective, unsigned mask, T value, unsigned lane) {
    static_assert(sizeof(T) == 4, "words are shuffled");
    if (mask != 0xffffffffu) {
        fail("a shuffle without all lanes");
    }
    std::memcpy(&exchange().in[0], &value, sizeof(value));
    exchange().in[1] = lane;
    meet(collective);
    std::memcpy(&value, &exchange().out[0], sizeof(value));
    return value;
}

} // namespace host

#define threadIdx (host::thread())
#define blockIdx (host::launch.at)
#define blockDim (host::launch.block)
#define gridDim (host::launch.grid)

inline void __syncthreads() {
    host::barrier(false);
}

inline int __syncthreads_or(int predicate) {
    return host::barrier(predicate != 0) != 0 ? 1 : 0;
}

inline int __syncthreads_count(int predicate) {
    return static_cast<int>(host::barrier(predicate != 0));
}

inline void __syncwarp() {
    host::meet(host::Collective::Sync);
}

inline unsigned __ballot_sync(unsigned mask, int predicate) {
    if (mask != 0xffffffffu) {
        host::fail("a ballot without all lanes");
    }
    host::exchange().in[0] = predicate != 0 ? 1 : 0;
    host::meet(host::Collective::Ballot);
    return host::exchange().out[0];
}

template <typename T>
T __shfl_sync(unsigned mask, T value, unsigned lane) {
    return host::shuffle(host::Collective::Shuffle, mask, value, lane);
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, unsigned reach) {
    return host::shuffle(host::Collective::ShuffleXor, mask, value, reach);
}

inline unsigned atomicAdd(unsigned* at, unsigned value) {
    const unsigned before = *at;
    *at = before + value;
    return before;
}

inline int __dp4a(int a, int b, int sum) {
    for (int shift = 0; shift < 32; shift += 8) {
        const int left = static_cast<std::int8_t>(static_cast<unsigned>(a) >> shift);
        const int right = static_cast<std::int8_t>(static_cast<unsigned>(b) >> shift);
        sum += left * right;
    }
    return sum;
}

inline int __popc(unsigned word) {
    return __builtin_popcount(word);
}

inline int __ffs(int word) {
    return __builtin_ffs(word);
}

inline int __ffsll(long long word) {
    return __builtin_ffsll(word);
}

inline int __clz(int word) {
    return word == 0 ? 32 : __builtin_clz(static_cast<unsigned>(word));
}

inline float __int_as_float(int bits) {
    return host::value_of(static_cast<unsigned>(bits));
}

inline unsigned min(unsigned a, unsigned b) {
    return a < b ? a : b;
}

inline unsigned max(unsigned a, unsigned b) {
    return a < b ? b : a;
}

inline int min(int a, int b) {
    return a < b ? a : b;
}

inline int max(int a, int b) {
    return a < b ? b : a;
}

// The wrappers of kernels/shared/machine.cuh.

#define STANDS_AT(type, member, offset)                                                            \
    static_assert(offsetof(type, member) == (offset), "README.md says where it stands")

#define SHARED_ARENA(name) unsigned char* name = host::arena()

#ifndef STAGES_ON_HOST
#define STAGES_ON_HOST 4
#endif
constexpr unsigned CONV_STAGES = STAGES_ON_HOST;

inline float from_half(unsigned short bits) {
    return host::float_of(bits);
}

inline unsigned short to_half(float value) {
    return host::half_of(value);
}

inline uint4 read_once(const uint4* at) {
    return *at;
}

inline void load_matrices(unsigned (&words)[4], const void* row) {
    host::exchange().address = row;
    host::meet(host::Collective::LoadMatrices);
    std::memcpy(words, host::exchange().out, sizeof(words));
}

inline void bring_tiles(const unsigned (&a)[4], unsigned b0, unsigned b1) {
    host::Exchange& own = host::exchange();
    std::memcpy(own.in, a, sizeof(a));
    own.in[4] = b0;
    own.in[5] = b1;
}

inline void multiply_halves(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    bring_tiles(a, b0, b1);
    std::memcpy(&host::exchange().in[6], sums, sizeof(sums));
    host::meet(host::Collective::MultiplyHalves);
    std::memcpy(sums, host::exchange().out, sizeof(sums));
}

inline void multiply_bytes(int (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    bring_tiles(a, b0, b1);
    std::memcpy(&host::exchange().in[6], sums, sizeof(sums));
    host::meet(host::Collective::MultiplyBytes);
    std::memcpy(sums, host::exchange().out, sizeof(sums));
}

inline void copy_sixteen(void* to, const void* from, bool there) {
    host::copy_later(to, from, there);
}

inline void copies_commit() {
    host::close_copies();
}

template <unsigned PENDING>
inline void copies_wait() {
    host::wait_copies(PENDING);
}
