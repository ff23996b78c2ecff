// Hot packets as stage 0 shows them: facts, then rows with gaps; which probes may find each row,
// three clocks after its beat. Packets follow each other closely, so that old facts must not answer
// for new.
#include "Vpc_facts.h"
#include "bench.hpp"

namespace {
const unsigned PROBES = 16, TILE_ROWS = 1024;
enum Op { OP_NONE, OP_FACTS, OP_NORMS, OP_VALUES };

struct Probe {
    uint64_t class_bits;
    uint32_t group;
    bool group_any;
    int64_t now;
};

class FactsBench {
  public:
    FactsBench(int argc, char** argv) : bench(argc, argv, 400) {}

    int run() {
        bench.top.op_i = OP_NONE;
        bench.reset();
        for (uint64_t i = 0; i < bench.rounds; i++) packet();
        for (int i = 0; i < 4; i++) clock(OP_NONE, 0, Beat{});
        bench.check(found > 0 && found < rows * PROBES, "all or none were found: proves nothing");
        return bench.done("rows", rows);
    }

  private:
    void packet() {
        Random& random = bench.random;
        some_group = random.word();
        for (unsigned p = 0; p < PROBES; p++) {
            probes[p] = {1ull << random.below(64) | 1ull << random.below(4), near_group(),
                         random.below(3) == 0, int64_t(random.below(9)) - 4};
            bench.top.class_i[2 * p] = uint32_t(probes[p].class_bits);
            bench.top.class_i[2 * p + 1] = uint32_t(probes[p].class_bits >> 32);
            bench.top.group_i[p] = probes[p].group;
            bench.top.now_i[2 * p] = uint32_t(probes[p].now);
            bench.top.now_i[2 * p + 1] = uint32_t(probes[p].now >> 32);
        }
        uint32_t any = 0;
        for (unsigned p = 0; p < PROBES; p++) any |= uint32_t{probes[p].group_any} << p;
        bench.top.group_any_i = any;
        all = random.word() & random.word() & 0xFFFF;
        each = random.word() & 0xFFFF;
        const unsigned count = 1 + random.below(random.below(10) ? 20 : TILE_ROWS);
        eligible.assign(count + 1, 0);
        for (unsigned row = 0; row < count; row += 2) {
            const Beat beat = facts(row);
            clock(OP_FACTS, row, beat);
            while (random.chance(40)) clock(OP_NONE, random.below(TILE_ROWS), Beat{});
        }
        for (unsigned row = 0; row < count; row++) {
            if (row % 32 == 0) clock(OP_NORMS, 0, random_beat(random));
            clock(OP_VALUES, row, random_beat(random));
            while (random.chance(40)) clock(OP_NONE, random.below(TILE_ROWS), Beat{});
        }
        rows += count;
        // The probes' facts change only while the core is idle.
        for (int i = 0; i < 4; i++) clock(OP_NONE, 0, Beat{});
    }

    // Groups that differ in any one bit, or not.
    uint32_t near_group() {
        const uint32_t other = 1u << bench.random.below(32);
        return bench.random.below(3) ? some_group : some_group ^ other;
    }

    Beat facts(unsigned first) {
        Random& random = bench.random;
        Beat beat{};
        for (unsigned half = 0; half < 2; half++) {
            uint32_t* row = beat.data() + 8 * half;
            const uint64_t class_bits = 1ull << random.below(64) | 1ull << random.below(4);
            const int64_t begin = int64_t(random.below(9)) - 6, end = int64_t(random.below(9)) - 2;
            std::memcpy(row, &class_bits, 8);
            std::memcpy(row + 2, &begin, 8);
            std::memcpy(row + 4, &end, 8);
            row[6] = near_group();
            row[7] = (random.word() & ~3u) | (random.below(5) ? 0 : random.below(4));
            if (first + half >= eligible.size()) continue;
            for (unsigned p = 0; p < PROBES; p++) {
                const Probe& probe = probes[p];
                const bool is = (row[7] & 3) == 0 && (class_bits & probe.class_bits) != 0 &&
                                (probe.group_any || probe.group == row[6]) &&
                                begin <= probe.now && probe.now < end;
                eligible[first + half] |= uint32_t{is} << p;
            }
        }
        return beat;
    }

    void clock(Op op, uint32_t row, const Beat& beat) {
        bench.top.op_i = op;
        bench.top.row_i = row;
        bench.top.all_i = all;
        bench.top.each_i = each;
        beat_into(bench.top.beat_i, beat);
        const bool seen = op == OP_VALUES;
        const uint32_t wanted = seen ? all | (each & eligible[row]) : 0;
        line.push_back({seen, wanted});
        bench.settle();
        if (line.size() == 4) {
            if (line.front().first) {
                bench.equal(uint32_t(bench.top.eligible_o), line.front().second, "who may find");
                for (unsigned p = 0; p < PROBES; p++) found += line.front().second >> p & 1;
            }
            line.pop_front();
        }
        bench.edge();
    }

    Bench<Vpc_facts> bench;
    Probe probes[PROBES];
    uint32_t all = 0, each = 0, some_group = 0;
    uint64_t rows = 0, found = 0;
    std::vector<uint32_t> eligible;
    std::deque<std::pair<bool, uint32_t>> line;
};
}  // namespace

int main(int argc, char** argv) { return FactsBench(argc, argv).run(); }
