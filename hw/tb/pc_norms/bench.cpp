// Blocks of rows of one beat and of several, with gaps, whole and broken off: the row's norm six
// clocks after its last beat.
#include "Vpc_norms.h"
#include "bench.hpp"

namespace {
enum Op { OP_NONE, OP_FACTS, OP_NORMS, OP_VALUES };
const unsigned LATER = 6;
}  // namespace

int main(int argc, char** argv) {
    Bench<Vpc_norms> bench(argc, argv, 3'000);
    Random& random = bench.random;
    std::deque<std::pair<bool, uint32_t>> line;
    uint64_t rows = 0;
    bench.top.op_i = OP_NONE;
    bench.reset();
    const auto clock = [&](Op op, bool last, const Beat& beat, uint32_t norm) {
        bench.top.op_i = op;
        bench.top.last_i = last;
        beat_into(bench.top.beat_i, beat);
        line.push_back({op == OP_VALUES && last, norm});
        bench.settle();
        if (line.size() == LATER + 1) {
            if (line.front().first)
                bench.equal(uint32_t(bench.top.norm_o), line.front().second, "the row's norm");
            line.pop_front();
        }
        bench.edge();
    };
    for (uint64_t block = 0; block < bench.rounds; block++) {
        const Beat norms = random_beat(random);
        const uint64_t count = random.below(4) ? 32 : random.below(32), beats = 1 + random.below(3);
        while (random.chance(40)) clock(OP_FACTS, random.below(2), random_beat(random), 0);
        clock(OP_NORMS, random.below(2), norms, 0);
        for (uint64_t row = 0; row < count; row++) {
            for (uint64_t b = 1; b <= beats; b++) {
                while (random.chance(30)) clock(OP_NONE, random.below(2), random_beat(random), 0);
                clock(OP_VALUES, b == beats, random_beat(random),
                      norms[row / 2] >> (16 * (row % 2)) & 0xFFFF);
            }
            rows++;
        }
    }
    return bench.done("norms", rows);
}
