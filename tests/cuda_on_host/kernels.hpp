// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The entries of all kernels, by name.

#pragma once

#include <cstddef>

struct Entry {
    const char* name;
    // Bytes of its one argument.
    std::size_t bytes;
    void (*call)(const void* argument);
};

extern const Entry ENTRIES[];
extern const std::size_t ENTRY_COUNT;
