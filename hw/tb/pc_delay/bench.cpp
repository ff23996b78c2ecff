// What goes in comes out two clocks later, and zeros after a reset.
#include "Vpc_delay.h"
#include "bench.hpp"

int main(int argc, char** argv) {
    Bench<Vpc_delay> bench(argc, argv, 10'000);
    bench.reset();
    std::deque<uint8_t> line(2, 0);
    for (uint64_t i = 0; i < bench.rounds; i++) {
        if (bench.random.below(500) == 0) {
            bench.reset();
            line.assign(2, 0);
        }
        bench.top.value_i = static_cast<uint8_t>(bench.random.next());
        line.push_back(bench.top.value_i);
        bench.settle();
        bench.equal(bench.top.value_o, line.front(), "the value");
        line.pop_front();
        bench.edge();
    }
    return bench.done("values", bench.rounds);
}
