// Every one of the 2^24 triples of a row's value and two probes' values passes each of the four
// places in turn, beside random neighbours; then the extremes together.
#include "Vpc_quad.h"
#include "bench.hpp"

namespace {
struct Sums {
    int32_t a, b;
};

int32_t signed18(uint32_t bits) { return static_cast<int32_t>(bits << 14) >> 14; }

Sums sums_of(uint32_t row, uint32_t a, uint32_t b) {
    Sums sums{0, 0};
    for (unsigned v = 0; v < 4; v++) {
        const auto x = static_cast<int8_t>(row >> (8 * v));
        sums.a += x * static_cast<int8_t>(a >> (8 * v));
        sums.b += x * static_cast<int8_t>(b >> (8 * v));
    }
    return sums;
}
}  // namespace

int main(int argc, char** argv) {
    // The short form walks every 16th triple.
    Bench<Vpc_quad> bench(argc, argv, 1 << 20);
    const uint64_t step = bench.rounds >= (1 << 24) ? 1 : (1 << 24) / bench.rounds;
    std::deque<Sums> line;
    const uint32_t extremes[] = {0x80808080, 0x7F7F7F7F, 0x81818181, 0, 0xFFFFFFFF, 0x80007F01};
    const uint64_t corners = 6 * 6 * 6;
    for (uint64_t i = 0; i < bench.rounds + corners + 3; i++) {
        uint32_t row, a, b;
        if (i < bench.rounds) {
            const uint64_t triple = i * step + bench.random.below(step);
            const unsigned at = 8 * (i & 3);
            const uint32_t hole = ~(0xFFu << at);
            row = (bench.random.word() & hole) | static_cast<uint32_t>(triple & 0xFF) << at;
            a = (bench.random.word() & hole) | static_cast<uint32_t>(triple >> 8 & 0xFF) << at;
            b = (bench.random.word() & hole) | static_cast<uint32_t>(triple >> 16 & 0xFF) << at;
        } else {
            const uint64_t corner = i % corners;
            row = extremes[corner % 6];
            a = extremes[corner / 6 % 6];
            b = extremes[corner / 36];
        }
        bench.top.row_i = row;
        bench.top.a_i = a;
        bench.top.b_i = b;
        line.push_back(sums_of(row, a, b));
        bench.settle();
        if (line.size() == 4) {
            bench.equal(signed18(bench.top.sum_a_o), line.front().a, "the first probe's sum");
            bench.equal(signed18(bench.top.sum_b_o), line.front().b, "the second probe's sum");
            line.pop_front();
        }
        bench.edge();
    }
    return bench.done("quads", bench.rounds + corners);
}
