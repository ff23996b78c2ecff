// The bench of everything that takes a stream and gives the same stream: beats in order, none lost,
// none doubled, an offered beat unchanged until it is taken; stalls on both sides all the while.
#pragma once

#include "bench.hpp"

template <class Module> int stream_bench(int argc, char** argv, uint64_t mask) {
    Bench<Module> bench(argc, argv, 100'000);
    Module& top = bench.top;
    Stall idle(bench.random), pressure(bench.random);
    std::deque<uint64_t> held;
    uint64_t taken = 0;
    bool offered = false, watched = false;
    uint64_t offer = 0, shown = 0;

    top.valid_i = 0;
    top.ready_i = 0;
    bench.reset();
    while (taken < bench.rounds) {
        if (bench.random.below(20'000) == 0) {
            // A reset in the middle empties it.
            bench.reset();
            bench.check(!top.valid_o, "a beat survived the reset");
            held.clear();
            offered = watched = false;
        }
        if (!offered && !idle.waits()) {
            offered = true;
            offer = bench.random.next() & mask;
        }
        top.valid_i = offered;
        top.beat_i = offered ? offer : bench.random.next() & mask;
        top.ready_i = !pressure.waits();
        bench.settle();
        if (watched) {
            bench.check(top.valid_o, "an offered beat was withdrawn");
            bench.equal(static_cast<uint64_t>(top.beat_o), shown, "an offered beat, changed,");
        }
        watched = top.valid_o && !top.ready_i;
        shown = top.beat_o;
        if (top.valid_o && top.ready_i) {
            bench.check(!held.empty(), "a beat came out that never went in");
            bench.equal(static_cast<uint64_t>(top.beat_o), held.front(), "the beat");
            held.pop_front();
            taken++;
        }
        if (top.valid_i && top.ready_o) {
            held.push_back(offer);
            offered = false;
        }
        bench.edge();
    }
    return bench.done("beats", taken);
}
