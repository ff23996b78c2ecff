// What every bench shares: the clock, seeded randomness, random stalls, checks that say where and
// with which seed, and coverage written at the end.
//
// A bench is `int main` that makes a `Bench<V…>`, drives the inputs, calls `settle()` to let
// outputs follow, looks at them, and calls `edge()`. Usage of each bench: [seed [rounds]].
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "verilated.h"
#if VM_COVERAGE
#include "verilated_cov.h"
#endif

// SplitMix64: every value from one seed.
class Random {
  public:
    explicit Random(uint64_t seed) : state(seed) {}
    uint64_t next() {
        uint64_t z = (state += 0x9E3779B97F4A7C15u);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    uint32_t word() { return static_cast<uint32_t>(next() >> 32); }
    // Below `bound`, which is not zero.
    uint64_t below(uint64_t bound) { return next() % bound; }
    bool chance(unsigned in_256) { return below(256) < in_256; }

  private:
    uint64_t state;
};

// How often something waits, in 256 per clock; changes now and then, so that long runs without a
// stall and long standstills both come up.
class Stall {
  public:
    Stall(Random& random) : random(random) {}
    bool waits() {
        if (left == 0) {
            static const unsigned kinds[] = {0, 0, 25, 128, 230, 250};
            chance = kinds[random.below(6)];
            left = 1 + random.below(200);
        }
        left--;
        return random.chance(chance);
    }

  private:
    Random& random;
    unsigned chance = 0;
    uint64_t left = 0;
};

using Beat = std::array<uint32_t, 16>;  // byte 0 of the beat is the low byte of word 0

inline uint8_t byte_of(const Beat& beat, unsigned at) {
    return static_cast<uint8_t>(beat[at / 4] >> (8 * (at % 4)));
}

inline void put_byte(Beat& beat, unsigned at, uint8_t value) {
    beat[at / 4] &= ~(0xFFu << (8 * (at % 4)));
    beat[at / 4] |= static_cast<uint32_t>(value) << (8 * (at % 4));
}

template <class Wide> Beat beat_from(const Wide& wide) {
    Beat beat;
    for (unsigned w = 0; w < 16; w++) beat[w] = wide[w];
    return beat;
}

template <class Wide> void beat_into(Wide& wide, const Beat& beat) {
    for (unsigned w = 0; w < 16; w++) wide[w] = beat[w];
}

inline Beat random_beat(Random& random) {
    Beat beat;
    for (uint32_t& word : beat) word = random.word();
    return beat;
}

template <class Module> class Bench {
  public:
    Module top;
    Random random;
    uint64_t clocks = 0;
    uint64_t rounds;

    Bench(int argc, char** argv, uint64_t rounds_default)
        : random(argc > 1 ? std::strtoull(argv[1], nullptr, 0) : 1),
          rounds(argc > 2 ? std::strtoull(argv[2], nullptr, 0) : rounds_default),
          seed(argc > 1 ? argv[1] : "1") {
        top.clk_i = 0;
    }

    // Lets outputs follow the inputs, before the clock's edge.
    void settle() { top.eval(); }

    void edge() {
        top.clk_i = 1;
        top.eval();
        top.clk_i = 0;
        top.eval();
        clocks++;
    }

    // Some clocks in reset; only for modules that have one.
    void reset() {
        top.rst_ni = 0;
        for (int i = 0; i < 3; i++) edge();
        top.rst_ni = 1;
        settle();
    }

    // Ends the bench with a message when `holds` is false.
    void check(bool holds, const char* what) {
        if (holds) return;
        std::fprintf(stderr, "FAILED: %s, clock %llu, seed %s\n", what,
                     static_cast<unsigned long long>(clocks), seed.c_str());
        std::exit(1);
    }

    template <class A, class B> void equal(const A& held, const B& wanted, const char* what) {
        if (held == static_cast<A>(wanted)) return;
        std::fprintf(stderr, "FAILED: %s is %lld, must be %lld, clock %llu, seed %s\n", what,
                     static_cast<long long>(held), static_cast<long long>(wanted),
                     static_cast<unsigned long long>(clocks), seed.c_str());
        std::exit(1);
    }

    void beats_equal(const Beat& held, const Beat& wanted, const char* what) {
        if (held == wanted) return;
        std::fprintf(stderr, "FAILED: %s, clock %llu, seed %s\n", what,
                     static_cast<unsigned long long>(clocks), seed.c_str());
        for (unsigned w = 0; w < 16; w++)
            std::fprintf(stderr, "  word %2u: %08x, must be %08x\n", w, held[w], wanted[w]);
        std::exit(1);
    }

    // Writes coverage where it was asked for and says what was done. The exit status.
    int done(const char* what, uint64_t count) {
        top.final();
#if VM_COVERAGE
        if (const char* path = std::getenv("BENCH_COVERAGE"))
            Verilated::threadContextp()->coveragep()->write(path);
#endif
        std::printf("%llu %s right in %llu clocks, seed %s\n",
                    static_cast<unsigned long long>(count), what,
                    static_cast<unsigned long long>(clocks), seed.c_str());
        return 0;
    }

  private:
    std::string seed;
};
