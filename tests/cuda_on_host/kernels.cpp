// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The kernels as they stand, compiled for the host. A kernel that is missing here is noticed: the
// tests compare the names below with those of the files.

#include "machine.hpp"

#include "add.cu"
#include "affine.cu"
#include "concat.cu"
#include "conv2d.cu"
#include "dense.cu"
#include "depthwise.cu"
#include "fit.cu"
#include "global_average.cu"
#include "max_pool.cu"
#include "scale.cu"
#include "search.cu"
#include "shared/convert.cu"
#include "softmax.cu"
#include "upsample.cu"
#include "warp.cu"

#include "kernels.hpp"

// What an entry takes.
template <typename Argument>
Argument argument_of(void (*)(Argument));

#define ENTRY(entry)                                                                               \
    Entry {                                                                                        \
        #entry, sizeof(decltype(argument_of(entry))), [](const void* argument) {                   \
            entry(*static_cast<const decltype(argument_of(entry))*>(argument));                    \
        }                                                                                          \
    }

const Entry ENTRIES[] = {
    ENTRY(add),
    ENTRY(affine),
    ENTRY(concat),
    ENTRY(conv2d_128x128),
    ENTRY(conv2d_128x64),
    ENTRY(conv2d_64x64),
    ENTRY(conv2d_sum),
    ENTRY(dense_64x64),
    ENTRY(dense_sum),
    ENTRY(depthwise),
    ENTRY(fit),
    ENTRY(global_average),
    ENTRY(max_pool),
    ENTRY(narrow),
    ENTRY(scale),
    ENTRY(search_matrix_128),
    ENTRY(search_matrix_32),
    ENTRY(search_matrix_64),
    ENTRY(search_merge),
    ENTRY(search_scan_1),
    ENTRY(search_scan_2),
    ENTRY(search_scan_4),
    ENTRY(search_scan_8),
    ENTRY(softmax),
    ENTRY(upsample),
    ENTRY(warp),
    ENTRY(widen),
};

const std::size_t ENTRY_COUNT = sizeof(ENTRIES) / sizeof(ENTRIES[0]);
