// Rows as the stages show them to one probe: sums at stage 7, the norm a clock before, the
// verdict's operands three clocks after. Survivors of each block, counters and list against plain
// loops; scores at the threshold, one below and one above; bounds at the end of what 34 bits hold.
#include <algorithm>

#include "Vpc_lane.h"
#include "bench.hpp"

namespace {
const unsigned BEST = 16;
enum Op { OP_NONE, OP_FACTS, OP_NORMS, OP_VALUES, OP_FLUSH, OP_FINISH };

// What stages 6 to 10 show of one beat.
struct Step {
    Op op = OP_NONE;
    bool cold = false, first = false, last = false, eligible = false;
    int32_t sum = 0;
    uint16_t norm = 0;
    uint32_t row = 0;
};

struct Candidate {
    int32_t score;
    uint32_t row;
};

class LaneBench {
  public:
    LaneBench(int argc, char** argv) : bench(argc, argv, 800) {}

    int run() {
        top().clear_i = top().clear_list_i = top().rotate_i = 0;
        bench.reset();
        for (uint64_t i = 0; i < bench.rounds; i++) search();
        return bench.done("rows", rows);
    }

  private:
    Vpc_lane& top() { return bench.top; }
    uint64_t below(uint64_t bound) { return bench.random.below(bound); }

    void search() {
        top().clear_i = 1;
        bench.edge();
        top().clear_i = 0;
        std::memset(counters, 0, sizeof counters);
        list.clear();
        active = below(10) != 0;
        threshold = static_cast<int32_t>(below(2000)) - 1000;
        if (below(5) == 0) threshold = static_cast<int32_t>(bench.random.word());
        if (below(5) == 0) threshold = below(2) ? INT32_MIN : INT32_MAX;
        norm = below(3) ? below(200) : bench.random.word();
        if (below(5) == 0) norm = 0xFFFF;
        top().active_i = active;
        top().threshold_i = static_cast<uint32_t>(threshold);
        top().norm_i = norm;
        uint32_t cold_row = 0;
        for (uint64_t i = below(12); i > 0; i--) {
            if (below(2)) {
                block();
            } else {
                for (uint64_t n = 1 + below(10); n > 0; n--) {
                    while (bench.random.chance(60)) clock({});
                    clock({});  // the packet's header
                    cold_row += 1 + below(1 + (bench.random.word() >> below(32)));
                    row(true, cold_row);
                }
            }
        }
        for (int i = 0; i < 8; i++) clock({});
        compare();
    }

    void block() {
        Step norms;
        norms.op = OP_NORMS;
        clock(norms);
        const uint64_t count = 1 + below(32);
        survivors_next = 0;
        for (uint64_t r = 0; r < count; r++) row(false, r);
        for (int i = 0; i < 6; i++) clock({});
        bench.equal(uint32_t(top().survivors_o), survivors_next, "the survivors");
    }

    void row(bool cold, uint32_t number) {
        const uint64_t beats = 1 + below(3);
        const int64_t row_norm = below(3) ? below(200) : bench.random.word() & 0xFFFF;
        // Aim at the threshold, by what the beats can reach.
        int64_t aim = int64_t{threshold} + static_cast<int64_t>(below(5)) - 2;
        if (!cold) aim -= row_norm * norm;
        if (below(3) == 0) aim = static_cast<int32_t>(bench.random.word()) >> below(16);
        int64_t score = 0;
        Step step;
        step.op = OP_VALUES;
        step.cold = cold;
        step.row = number;
        step.eligible = below(6) != 0;
        for (uint64_t b = 0; b < beats; b++) {
            while (bench.random.chance(20)) clock({});
            const int64_t most = 1 << 20;
            const auto any = static_cast<int64_t>(below(4000)) - 2000;
            const int64_t left = b + 1 == beats ? aim - score : any;
            step.sum = static_cast<int32_t>(std::max(-most, std::min(most, left)));
            score += step.sum;
            step.first = b == 0;
            step.last = b + 1 == beats;
            step.norm = step.last ? row_norm : bench.random.word();
            clock(step);
        }
        rows++;
        if (!active) return;
        if (cold) {
            if (!step.eligible) return;
            counters[2]++;
            if (score < threshold) return;
            counters[3]++;
            const Candidate mine{static_cast<int32_t>(score), number};
            list.insert(std::find_if(list.begin(), list.end(),
                                     [&](const Candidate& c) { return c.score < mine.score; }),
                        mine);
            if (list.size() > BEST) list.pop_back();
        } else if (!step.eligible) {
            counters[0]++;
        } else if (score + row_norm * norm < threshold) {
            counters[1]++;
        } else {
            survivors_next |= 1u << number;
        }
    }

    // One clock: the beat reaches stage 6 now, stage 7 in the next clock, stage 10 three later.
    void clock(const Step& step) {
        line.push_front(step);
        if (line.size() > 5) line.pop_back();
        const auto at = [&](unsigned stage) {
            return stage - 6 < line.size() ? line[stage - 6] : Step{};
        };
        top().row_norm_i = at(6).norm;
        top().sum_i = static_cast<uint32_t>(at(7).sum) & 0x3FFFFF;
        top().first_i = at(7).first;
        const Step verdict = at(10);
        top().op_i = verdict.op;
        top().tag_i = uint64_t{verdict.cold} << 36 | uint64_t{verdict.first} << 35 |
                      uint64_t{verdict.last} << 34 | (bench.random.next() & 3) << 32 | verdict.row;
        top().eligible_i = verdict.eligible;
        bench.settle();
        bench.edge();
    }

    void compare() {
        bench.settle();
        for (unsigned c = 0; c < 4; c++)
            bench.equal(uint32_t(top().counters_o[c]), counters[c], "a counter");
        for (unsigned k = 0; k < BEST; k++) {
            const uint32_t* head = &top().head_o[0] + 2 * (k % 8);
            const Candidate wanted = k < list.size() ? list[k] : Candidate{INT32_MIN, 0xFFFFFFFF};
            bench.equal(static_cast<int32_t>(head[0]), wanted.score, "a score in the list");
            bench.equal(head[1], wanted.row, "a row in the list");
            if (k % 8 != 7) continue;
            beat_into(top().chain_i, beat_from(top().head_o));
            top().rotate_i = 1;
            bench.edge();
            top().rotate_i = 0;
            bench.settle();
        }
    }

    Bench<Vpc_lane> bench;
    std::deque<Step> line;
    std::vector<Candidate> list;
    uint32_t counters[4] = {};
    uint32_t survivors_next = 0;
    bool active = false;
    int32_t threshold = 0;
    uint16_t norm = 0;
    uint64_t rows = 0;
};
}  // namespace

int main(int argc, char** argv) { return LaneBench(argc, argv).run(); }
