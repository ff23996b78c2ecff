// What was written last is read, one clock later; a beat read while it is written may be either.
#include "Vpc_probe_memory.h"
#include "bench.hpp"

int main(int argc, char** argv) {
    Bench<Vpc_probe_memory> bench(argc, argv, 20'000);
    const unsigned beats = 32;
    std::vector<Beat> held(beats);
    for (unsigned i = 0; i < beats; i++) {
        held[i].fill(0);
        bench.top.write_i = 1;
        bench.top.write_beat_i = i;
        beat_into(bench.top.values_i, held[i]);
        bench.edge();
    }
    for (uint64_t i = 0; i < bench.rounds; i++) {
        const unsigned read = bench.random.below(beats), write = bench.random.below(beats);
        const bool writes = bench.random.chance(100) && write != read;
        const Beat values = random_beat(bench.random);
        bench.top.write_i = writes;
        bench.top.write_beat_i = write;
        beat_into(bench.top.values_i, values);
        bench.top.read_beat_i = read;
        bench.edge();
        bench.beats_equal(beat_from(bench.top.values_o), held[read], "the beat");
        if (writes) held[write] = values;
    }
    return bench.done("reads", bench.rounds);
}
