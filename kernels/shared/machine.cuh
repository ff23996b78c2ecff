// SPDX-License-Identifier: MIT OR Apache-2.0
//
// What the kernels ask of the machine beyond the language: tensor cores, asynchronous copies, half
// precision. These wrappers are the only lines that the host does not run: where ON_HOST is
// defined, tests/cuda_on_host/ has put functions of the same names and meanings in their place, and
// everything outside this file is compiled as it stands.
//
// No header of CUDA is needed: NVRTC alone compiles all of it.

#pragma once

typedef signed char i8;
typedef unsigned char u8;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

#define INLINE __device__ __forceinline__

// All lanes of a warp: every collective below and in the kernels is asked for by all of them.
constexpr u32 WARP = 0xffffffffu;

#ifndef ON_HOST

// That a member stands where README.md says. NVRTC has no `offsetof`: the host asks for both.
#define STANDS_AT(type, member, offset) static_assert(sizeof(type) > (offset), "it is within")

// All shared memory is dynamic: how much there is stands in README.md beside each entry.
extern __shared__ __align__(16) u8 shared_bytes[];
#define SHARED_ARENA(name) u8* name = shared_bytes

// Stages of a pipeline of asynchronous copies; without them two are as good as more.
#if __CUDA_ARCH__ >= 800
constexpr u32 CONV_STAGES = 4;
#else
constexpr u32 CONV_STAGES = 2;
#endif

INLINE u32 shared_address(const void* at) {
    return static_cast<u32>(__cvta_generic_to_shared(at));
}

// Half precision, as its bits.
INLINE float from_half(u16 bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

// To the nearest, a half to the even neighbour; what is too large becomes an infinity.
INLINE u16 to_half(float value) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

// Sixteen bytes that are read once: past the first cache.
INLINE uint4 read_once(const uint4* at) {
    uint4 value;
    asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
        : "l"(at));
    return value;
}

// Four matrices of eight rows of sixteen bytes from shared memory. Lane `l` names row `l % 8` of
// matrix `l / 8`, and gets bytes `4 (l % 4)` to `4 (l % 4) + 3` of row `l / 4` of each.
INLINE void load_matrices(u32 (&words)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// sums += a * b over 16 rows, 8 columns and a depth of 16 halves; f32 sums. Lane `l` holds the sums
// of row `l / 4` (0, 1) and `l / 4 + 8` (2, 3) at columns `2 (l % 4)` and `2 (l % 4) + 1`.
INLINE void multiply_halves(float (&sums)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(b0));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}

// The same of signed bytes over a depth of 32, with exact i32 sums.
INLINE void multiply_bytes(i32 (&sums)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    // Eight rows and a depth of sixteen at a time.
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
#pragma unroll
        for (u32 depth = 0; depth < 2; depth++) {
            asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 "
                         "{%0, %1}, {%2}, {%3}, {%0, %1};"
                         : "+r"(sums[2 * half]), "+r"(sums[2 * half + 1])
                         : "r"(a[half + 2 * depth]), "r"(depth == 0 ? b0 : b1));
        }
    }
#endif
}

// Begins a copy of sixteen bytes into shared memory; zeros where they are not `there`, and then
// `from` is not read. What was begun is there after `copies_wait`, for the thread that began it,
// and after a barrier for all.
INLINE void copy_sixteen(void* to, const void* from, bool there) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
                 "l"(from), "r"(there ? 16 : 0)
                 : "memory");
#else
    uint4 value = make_uint4(0, 0, 0, 0);
    if (there) {
        value = *static_cast<const uint4*>(from);
    }
    *static_cast<uint4*>(to) = value;
#endif
}

// Closes a group of copies.
INLINE void copies_commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most the newest `PENDING` groups of this thread are under way.
template <u32 PENDING>
INLINE void copies_wait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
#endif
}

#endif // ON_HOST

// The sum over all lanes of a warp, for each of them.
INLINE i32 warp_sum(i32 value) {
#pragma unroll
    for (u32 reach = 16; reach > 0; reach /= 2) {
        value += __shfl_xor_sync(WARP, value, reach);
    }
    return value;
}

INLINE float warp_sum(float value) {
#pragma unroll
    for (u32 reach = 16; reach > 0; reach /= 2) {
        value += __shfl_xor_sync(WARP, value, reach);
    }
    return value;
}
