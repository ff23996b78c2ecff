// Blocks and finishes as stage 10 shows them, each block with its room taken some clocks before,
// under back-pressure: every answer in order, nothing lost, room never overdrawn.
#include "Vpc_results.h"
#include "bench.hpp"

namespace {
const unsigned PROBES = 16, BEST = 16;
const unsigned PIPELINE = 11;  // clocks from the room's taking to stage 10, at the least
enum Op { OP_NONE, OP_FACTS, OP_NORMS, OP_VALUES, OP_FLUSH, OP_FINISH };

struct Step {
    Op op = OP_NONE;
    bool cold = false, last = false, block_end = false, packet_end = false;
    bool takes = false;
};

struct Answer {
    Beat beat;
    bool last;
};

class ResultsBench {
  public:
    ResultsBench(int argc, char** argv)
        : bench(argc, argv, 40'000), pressure(bench.random), line(PIPELINE) {}

    int run() {
        top().clear_i = top().room_take_i = top().op_i = top().ready_i = 0;
        bench.reset();
        while (answered < bench.rounds) clock(plan());
        while (!answers.empty()) clock({});
        for (int i = 0; i < 40; i++) clock({});
        bench.check(!top().busy_o, "busy with nothing to say");
        bench.check(top().room_o, "no room after all was said");
        return bench.done("answers", answered);
    }

  private:
    Vpc_results& top() { return bench.top; }
    uint64_t below(uint64_t bound) { return bench.random.below(bound); }

    // What enters the pipeline in this clock.
    Step plan() {
        Step step;
        if (finishing || below(5) == 0) return step;
        bench.settle();
        if (rows_left == 0 && below(60) == 0) {
            step.op = OP_FINISH;
            finishing = true;
        } else if (rows_left == 0 && below(4) == 0) {
            step.op = OP_VALUES;
            step.cold = step.last = true;
        } else if (rows_left == 0) {
            if (!top().room_o) return step;
            step.op = OP_NORMS;
            step.takes = true;
            rows_left = below(3) ? 1 + below(3) : 1 + below(32);
        } else if (below(30) == 0) {
            step.op = OP_FLUSH;
            rows_left = 0;
        } else {
            step.op = OP_VALUES;
            step.last = below(3) != 0;
            if (step.last) rows_left--;
            step.block_end = step.last && rows_left == 0;
            step.packet_end = step.block_end && below(2);
        }
        return step;
    }

    void clock(const Step& step) {
        line.push_back(step);
        const Step now = line.front();
        line.pop_front();
        top().room_take_i = step.takes;
        top().op_i = now.op;
        top().tag_i = uint64_t{now.cold} << 36 | uint64_t{now.last} << 34 |
                        uint64_t{now.block_end} << 33 | uint64_t{now.packet_end} << 32;
        // Stage 11: the survivors of the block that stage 10 ended in the clock before.
        Beat survivors = random_beat(bench.random);
        for (unsigned w = 0; w < PROBES; w++) top().survivors_i[w] = survivors[w];
        if (is_block) answers.push_back({survivors, is_end});
        is_block = now.op == OP_FLUSH || (now.op == OP_VALUES && now.block_end);
        is_end = now.op == OP_FLUSH || now.packet_end;
        if (now.op == OP_VALUES && now.last) (now.cold ? rows_cold : rows_hot)++;
        if (now.op == OP_FINISH) finish();
        beat_into(top().head_i, heads.empty() ? Beat{} : heads.front());
        top().ready_i = !pressure.waits();
        bench.settle();
        if (top().rotate_o) {
            bench.check(!heads.empty(), "the lists turn too far");
            heads.pop_front();
        }
        if (top().finished_o) {
            bench.check(heads.empty(), "finished before the lists were out");
            finishing = false;
        }
        bench.check(!watched || (top().valid_o && beat_from(top().beat_o) == shown),
                    "an offered answer was withdrawn or changed");
        watched = top().valid_o && !top().ready_i;
        shown = beat_from(top().beat_o);
        if (top().valid_o && top().ready_i) {
            bench.check(!answers.empty(), "an answer that was not given");
            bench.beats_equal(shown, answers.front().beat, "the answer");
            bench.equal(bool(top().last_o), answers.front().last, "its last");
            answers.pop_front();
            answered++;
        }
        bench.edge();
    }

    void finish() {
        const uint32_t errors = bench.random.word() & 0x7F;
        top().errors_i = errors;
        const Beat head{0x454E4F44, PROBES | BEST << 16, rows_hot, rows_cold, errors};
        answers.push_back({head, false});
        for (unsigned b = 0; b < PROBES / 4; b++) {
            const Beat counters = random_beat(bench.random);
            for (unsigned w = 0; w < 16; w++) top().counters_i[16 * b + w] = counters[w];
            answers.push_back({counters, false});
        }
        for (unsigned b = 0; b < PROBES * BEST / 8; b++) {
            heads.push_back(random_beat(bench.random));
            answers.push_back({heads.back(), b + 1 == PROBES * BEST / 8});
        }
    }

    Bench<Vpc_results> bench;
    Stall pressure;
    std::deque<Step> line;
    std::deque<Answer> answers;
    std::deque<Beat> heads;
    uint64_t rows_left = 0, answered = 0;
    uint32_t rows_hot = 0, rows_cold = 0;
    bool finishing = false, is_block = false, is_end = false, watched = false;
    Beat shown{};
};
}  // namespace

int main(int argc, char** argv) { return ResultsBench(argc, argv).run(); }
