// 64 products for two probes, a new beat each clock, five clocks later; extremes among random
// beats.
#include "Vpc_dot_pair.h"
#include "bench.hpp"

namespace {
struct Sums {
    int32_t a, b;
};

int32_t signed22(uint32_t bits) { return static_cast<int32_t>(bits << 10) >> 10; }

int32_t dot(const Beat& x, const Beat& y) {
    int32_t sum = 0;
    for (unsigned v = 0; v < 64; v++)
        sum += static_cast<int8_t>(byte_of(x, v)) * static_cast<int8_t>(byte_of(y, v));
    return sum;
}

Beat some_beat(Random& random) {
    if (random.below(4) != 0) return random_beat(random);
    const uint32_t kinds[] = {0x80808080, 0x7F7F7F7F, 0x81818181, 0, 0xFFFFFFFF};
    Beat beat;
    beat.fill(kinds[random.below(5)]);
    return beat;
}
}  // namespace

int main(int argc, char** argv) {
    Bench<Vpc_dot_pair> bench(argc, argv, 30'000);
    std::deque<Sums> line;
    for (uint64_t i = 0; i < bench.rounds + 5; i++) {
        const Beat row = some_beat(bench.random);
        const Beat a = some_beat(bench.random);
        const Beat b = some_beat(bench.random);
        beat_into(bench.top.row_i, row);
        beat_into(bench.top.a_i, a);
        beat_into(bench.top.b_i, b);
        line.push_back({dot(row, a), dot(row, b)});
        bench.settle();
        if (line.size() == 6) {
            bench.equal(signed22(bench.top.sum_a_o), line.front().a, "the first probe's sum");
            bench.equal(signed22(bench.top.sum_b_o), line.front().b, "the second probe's sum");
            line.pop_front();
        }
        bench.edge();
    }
    return bench.done("beats", bench.rounds);
}
