// Lists of random candidates with many equal scores against a sorted list, read out through the
// ring (here of one list), in the middle and at the end.
#include <algorithm>

#include "Vpc_top_k.h"
#include "bench.hpp"

namespace {
const unsigned K = 16;

struct Candidate {
    int32_t score;
    uint32_t row;
};

class List {
  public:
    explicit List(Bench<Vpc_top_k>& bench) : bench(bench) {}

    void clear() {
        bench.top.clear_i = 1;
        bench.edge();
        bench.top.clear_i = 0;
        held.clear();
        row = 0;
    }

    void insert(int32_t score) {
        bench.top.insert_i = 1;
        bench.top.score_i = static_cast<uint32_t>(score);
        bench.top.row_i = row;
        bench.edge();
        bench.top.insert_i = 0;
        bench.top.score_i = bench.random.word();
        bench.top.row_i = bench.random.word();
        bench.edge();
        while (bench.random.chance(80)) bench.edge();
        const auto behind = std::find_if(held.begin(), held.end(),
                                         [=](const Candidate& c) { return c.score < score; });
        held.insert(behind, {score, row});
        if (held.size() > K) held.pop_back();
        row += 1 + static_cast<uint32_t>(bench.random.below(3));
    }

    void read() {
        bench.settle();
        for (unsigned k = 0; k < K; k++) {
            const uint32_t* head = &bench.top.head_o[0] + 2 * (k % 8);
            const Candidate wanted = k < held.size() ? held[k] : Candidate{INT32_MIN, 0xFFFFFFFF};
            bench.equal(static_cast<int32_t>(head[0]), wanted.score, "a score in the list");
            bench.equal(head[1], wanted.row, "a row in the list");
            if (k % 8 == 7) rotate();
        }
    }

  private:
    void rotate() {
        while (bench.random.chance(60)) bench.edge();
        beat_into(bench.top.chain_i, beat_from(bench.top.head_o));
        bench.top.rotate_i = 1;
        bench.edge();
        bench.top.rotate_i = 0;
        bench.settle();
    }

    Bench<Vpc_top_k>& bench;
    std::vector<Candidate> held;
    uint32_t row = 0;
};
}  // namespace

int main(int argc, char** argv) {
    Bench<Vpc_top_k> bench(argc, argv, 3'000);
    bench.top.insert_i = 0;
    bench.top.rotate_i = 0;
    bench.top.clear_i = 0;
    bench.reset();
    List list(bench);
    uint64_t inserted = 0;
    for (uint64_t round = 0; round < bench.rounds; round++) {
        list.clear();
        const uint64_t count = bench.random.below(60);
        // Few different scores, or many; rising, so that each displaces, or any.
        const uint64_t kinds = 1 + bench.random.below(20);
        const bool wide = bench.random.chance(60), rises = bench.random.chance(40);
        for (uint64_t i = 0; i < count; i++, inserted++) {
            int32_t score = static_cast<int32_t>(bench.random.below(kinds)) - 10;
            if (wide) score = static_cast<int32_t>(bench.random.word() | 1);
            if (rises) score = static_cast<int32_t>(i);
            list.insert(score);
            if (bench.random.below(100) == 0) list.read();
        }
        list.read();
    }
    return bench.done("candidates", inserted);
}
