// Packets of every kind and with every fault, stalls at the door, no room for answers now and then,
// a finish that takes its time: every operation of stage 0 against the list that the packet should
// give.
#include "Vpc_parser.h"
#include "bench.hpp"

namespace {
const unsigned PROBE_BEATS = 32, TILE_ROWS = 1024;
enum Op { OP_NONE, OP_FACTS, OP_NORMS, OP_VALUES, OP_FLUSH, OP_FINISH };
enum Fault { KIND = 1, LENGTH = 2, ROWS = 4, LAYOUT = 8, ORDER = 16 };

struct Event {
    Op op;
    uint64_t tag;  // as `pc_pkg::tag_t`
    uint32_t probe_beat, all, each;
    Beat beat;
};

uint64_t tag(bool cold, bool first, bool last, bool block_end, bool packet_end, uint32_t row) {
    return uint64_t{cold} << 36 | uint64_t{first} << 35 | uint64_t{last} << 34 |
           uint64_t{block_end} << 33 | uint64_t{packet_end} << 32 | row;
}

struct Sent {
    Beat beat;
    bool last;
};

class ParserBench {
  public:
    ParserBench(int argc, char** argv) : bench(argc, argv, 3'000), idle(bench.random) {}

    int run() {
        top().valid_i = top().clear_i = top().hold_i = top().finished_i = top().room_i = 0;
        top().hot_beats_i = top().cold_beats_i = 0;
        bench.reset();
        for (uint64_t i = 0; i < bench.rounds; i++) {
            setup();
            packet();
            play();
        }
        return bench.done("packets", bench.rounds);
    }

  private:
    Vpc_parser& top() { return bench.top; }
    uint64_t below(uint64_t bound) { return bench.random.below(bound); }

    void setup() {
        if (below(20) == 0) {
            top().clear_i = 1;
            bench.edge();
            top().clear_i = 0;
            is_ordered = false;
        }
        hot = 1 + below(below(4) ? 3 : PROBE_BEATS);
        cold = below(PROBE_BEATS - hot + 1);
        if (below(15) == 0) (below(2) ? hot = 0 : cold = PROBE_BEATS + 1 - hot + below(200));
        top().hot_beats_i = hot;
        top().cold_beats_i = cold;
        active = bench.random.word() & 0xFFFF;
        top().active_i = active;
    }

    // One packet, and what it must give.
    void packet() {
        Beat header = random_beat(bench.random);
        static const uint8_t kinds[] = {1, 1, 1, 2, 2, 2, 3};
        uint8_t kind = kinds[below(7)];
        if (below(20) == 0) kind = below(256);
        put_byte(header, 0, kind);
        if (kind == 1) header[1] = below(30) ? 1 + below(below(6) ? 70 : 1024) : below(2) * 1025;
        if (kind == 2) header[1] = below(15) ? cold_row + 1 + below(9) : below(cold_row + 2);
        if (below(2)) header[2] &= 0xFFFF0000;
        sent.assign(1, {header, false});

        uint32_t fault = 0;
        if (kind < 1 || kind > 3) fault = KIND;
        else if (hot == 0 || hot + cold > PROBE_BEATS) fault = LAYOUT;
        else if (kind == 1 && (header[1] == 0 || header[1] > TILE_ROWS)) fault = ROWS;
        else if (kind == 2 && is_ordered && header[1] <= cold_row) fault = ORDER;

        const uint64_t hurt = below(8);
        const bool lone = hurt == 7 ? below(4) == 0 : kind == 3;  // `tlast` on the header
        if (fault == 0 && lone != (kind == 3)) fault = LENGTH;
        faults |= fault;
        if (kind == 3) expect(OP_FINISH, 0, header, 0);
        if (kind == 3 || fault != 0) {
            if (!lone) pad(1 + below(5));
            sent.back().last = true;
            return;
        }
        if (kind == 1) hot_packet(header, hurt);
        else cold_packet(header, hurt);
    }

    void expect(Op op, uint64_t tag, const Beat& beat, uint32_t at_beat) {
        events.push_back({op, tag, at_beat, all, each, beat});
    }

    void pad(uint64_t beats) {
        while (beats-- > 0) sent.push_back({random_beat(bench.random), false});
    }

    // Cuts or stretches to a faulty length; how many beats stand before the fault.
    size_t sound_beats(uint64_t hurt) {
        const size_t wanted = sent.size();
        if (hurt == 0 && wanted > 2) sent.resize(2 + below(wanted - 2));
        if (hurt == 1) pad(1 + below(3));
        sent.back().last = true;
        if (sent.size() == wanted) return wanted;
        faults |= LENGTH;
        return std::min(sent.size(), wanted) - 1;
    }

    void hot_packet(const Beat& header, uint64_t hurt) {
        const uint32_t rows = header[1];
        const uint32_t asks = header[2] & 0xFFFF;
        all = header[0] >> 16 & active;
        each = asks & active;
        const size_t facts = asks ? (rows + 1) / 2 : 0;
        pad(facts + (rows + 31) / 32 + size_t{rows} * hot);
        const size_t sound = sound_beats(hurt);
        size_t at = 1;
        for (size_t i = 0; i < facts && at < sound; i++, at++)
            expect(OP_FACTS, tag(0, 0, 0, 0, 0, 2 * i), sent[at].beat, 0);
        for (uint32_t row = 0; row < rows; row++) {
            if (row % 32 == 0) {
                if (at >= sound) return;  // nothing is begun, so nothing is flushed
                expect(OP_NORMS, 0, sent[at].beat, 0);
                at++;
            }
            for (unsigned b = 0; b < hot; b++, at++) {
                const bool last = b + 1 == hot, packet_end = last && row + 1 == rows;
                const bool block_end = last && (row % 32 == 31 || row + 1 == rows);
                const uint64_t held = tag(0, b == 0, last, block_end, packet_end, row);
                if (at >= sound) {
                    expect(OP_FLUSH, held, sent[at].beat, b);
                    return;
                }
                expect(OP_VALUES, held, sent[at].beat, b);
            }
        }
    }

    void cold_packet(const Beat& header, uint64_t hurt) {
        cold_row = header[1];
        is_ordered = true;
        all = header[0] >> 16 & active;
        each = 0;
        pad(hot + cold);
        const size_t sound = sound_beats(hurt);
        for (unsigned b = 0; b + 1 < sound; b++)
            expect(OP_VALUES, tag(1, b == 0, b + 1 == hot + cold, 0, 0, cold_row),
                   sent[b + 1].beat, b);
    }

    // Sends the packet and watches stage 0 until all of it came.
    void play() {
        size_t at = 0;
        bool offered = false, ended = false;
        uint32_t seen = 0, answer = 0;
        for (unsigned rest = 0; rest < 3;) {
            if (!offered && at < sent.size() && !idle.waits()) offered = true;
            top().valid_i = offered;
            if (offered) {
                beat_into(top().beat_i, sent[at].beat);
                top().last_i = sent[at].last;
            }
            top().room_i = !bench.random.chance(100);
            top().hold_i = bench.random.chance(10);
            top().finished_i = answer == 1;
            if (answer > 0) answer--;
            bench.settle();
            if (offered && top().ready_o) {
                offered = false;
                ended = sent[at].last;
                at++;
            }
            bench.edge();
            seen |= top().faults_o;
            if (top().op_o != OP_NONE) {
                see();
                if (top().op_o == OP_FINISH) answer = 2 + below(20);
            } else {
                bench.beats_equal(beat_from(top().beat_o), Beat{}, "stage 0 without a beat");
            }
            if (ended && answer == 0 && at == sent.size()) rest++;
        }
        top().finished_i = 0;
        bench.check(events.empty(), "an operation is missing");
        bench.equal(seen, faults, "the faults told");
        bench.check(!top().busy_o, "the parser is busy after a packet");
        faults = 0;
    }

    void see() {
        bench.check(!events.empty(), "an operation too many");
        const Event event = events.front();
        events.pop_front();
        bench.equal(unsigned(top().op_o), unsigned(event.op), "the operation");
        bench.beats_equal(beat_from(top().beat_o), event.beat, "the beat");
        if (event.op == OP_FINISH || event.op == OP_NORMS) return;
        bench.equal(uint64_t(top().tag_o), event.tag, "the tag");
        bench.equal(uint32_t(top().all_o), event.all, "the mask of all");
        bench.equal(uint32_t(top().each_o), event.each, "the mask of each");
        if (event.op == OP_VALUES)
            bench.equal(uint32_t(top().probe_beat_o), event.probe_beat, "the probes' beat");
    }

    Bench<Vpc_parser> bench;
    Stall idle;
    unsigned hot = 1, cold = 0;
    uint32_t active = 0, all = 0, each = 0, faults = 0, cold_row = 0;
    bool is_ordered = false;
    std::vector<Sent> sent;
    std::deque<Event> events;
};
}  // namespace

int main(int argc, char** argv) { return ParserBench(argc, argv).run(); }
