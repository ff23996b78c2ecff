// The whole core against the model: random layouts, probes, galleries with ties and near misses,
// packets with every fault, stalls on both streams, resets in the middle, wipes; and one run
// without a stall that is held against the clocks that the README promises.
#include "Vpc_core.h"
#include "model.hpp"

namespace {
const unsigned PROBES = BENCH_PROBES, BEST = BENCH_BEST;
const unsigned PROBE_BEATS = 8, TILE_ROWS = 64;

class CoreBench {
  public:
    CoreBench(uint64_t seed)
        : random(seed), idle(random), pressure(random), model(PROBES, BEST, PROBE_BEATS, TILE_ROWS),
          seed(seed) {
        while (card.is_busy()) {
        }
        stall(true);
    }

    void round() {
        must(card.write(0x010, 1), "CLEAR while idle");
        model.clear();
        if (random.below(10) == 0) wipe();
        load();
        const uint64_t packets = random.below(30);
        for (uint64_t i = 0; i < packets; i++) {
            send(random.below(3) == 0 ? hot_packet() : cold_packet());
            if (random.below(8) == 0) busy_write();
            while (card.packets.size() > 200) card.clock();
        }
        if (random.below(12) == 0) return reset();
        if (random.below(3) == 0) {  // packets wait at the door until the answer is out
            send({finish_header()});
            for (uint64_t i = 1 + random.below(4); i > 0; i--) send(cold_packet());
        }
        send({finish_header()});
        settle();
        compare();
        if (random.below(8) == 0) {  // the lists are whole after they were read
            send({finish_header()});
            settle();
            compare();
        }
        forgive();
    }

    // No stalls: a beat each clock, and the last candidate soon after.
    void tight() {
        must(card.write(0x010, 3), "WIPE and CLEAR while idle");
        settle();
        model.wipe();
        model.clear();
        stall(false);
        load_layout(1, 2);
        load_probes();
        must(card.write(0x010, 1), "CLEAR while idle");
        std::vector<std::vector<Beat>> all;
        size_t beats = 0;
        for (unsigned i = 0; i < 40; i++) {
            all.push_back(i % 2 ? sound(hot_header()) : sound(cold_header()));
            beats += all.back().size();
        }
        all.push_back({finish_header()});
        for (const std::vector<Beat>& packet : all) send(packet);
        while (!card.packets.empty()) card.clock();
        const uint64_t answered = model.answers.size();
        while (card.answers.size() < answered && card.clocks < card.last_taken_clock + 1000)
            card.clock();
        const uint64_t latency = card.last_answer_clock - card.last_taken_clock;
        settle();
        const uint64_t cycles = card.read(0x030).word, taken = card.read(0x038).word;
        must(taken == beats + 1, "BEATS counts every beat");
        must(card.read(0x040).word == 0, "no beat waited");
        must(cycles <= taken + 200, "CYCLES is at most BEATS + 200");
        if (1 + (PROBES + 3) / 4 + PROBES * BEST / 8 <= 40)
            must(latency <= 64, "the last candidate comes at most 64 clocks after the last beat");
        compare();
        std::printf("  %llu beats in %llu clocks, last candidate %llu clocks after the last beat\n",
                    (unsigned long long)taken, (unsigned long long)cycles,
                    (unsigned long long)latency);
        stall(true);
    }

    uint64_t compared = 0;
    Card<Vpc_core> card;

    void must(bool holds, const char* what) {
        if (holds) return;
        std::fprintf(stderr, "FAILED: not so: %s; clock %llu, seed %llu\n", what,
                     (unsigned long long)card.clocks, (unsigned long long)seed);
        std::exit(1);
    }

  private:
    void stall(bool on) {
        card.idles = [this, on] { return on && idle.waits(); };
        card.presses = [this, on] { return on && pressure.waits(); };
    }

    void settle() {
        const uint64_t limit = card.clocks + 1'000'000;
        while (!card.packets.empty() || card.is_busy()) {
            card.clock();
            must(card.clocks < limit, "the core comes to rest");
        }
    }

    void wipe() {
        must(card.write(0x010, 2), "WIPE while idle");
        must(!card.write(0x010, 2), "WIPE during a wipe is refused");
        model.errors |= 64;
        settle();
        model.wipe();
        must(card.read(0x01C).word == 0 && card.read(0x020).word == 0, "a wipe zeroes the layout");
        must(card.read(0x200).word == 0, "a wipe zeroes the facts");
    }

    void reset() {
        for (uint64_t i = random.below(40); i > 0; i--) card.clock();
        card.drop_packets();  // as the shell's mover is stopped first
        must(card.write(0x010, 4), "RESET is always taken");
        settle();
        card.answers.clear();
        model.wipe();
        model.clear();
        model.errors = 0;
        model.answers.clear();
        must(card.read(0x018).word == 0, "RESET zeroes ERRORS");
        must(card.read(0x038).word == 0, "RESET zeroes BEATS");
    }

    // LAYOUT while busy is refused; between two packets the core may be idle, and then it is not.
    void busy_write() {
        if (!card.write(0x01C, model.hot_beats | model.cold_beats << 8)) model.errors |= 64;
    }

    void forgive() {
        must(card.read(0x018).word == model.errors, "ERRORS are those of the model");
        must(card.write(0x018, model.errors), "ERRORS can be cleared");
        model.errors = 0;
    }

    void compare() {
        must(card.is_handshake_kept(), "an offered answer stays until it is taken");
        must(card.answers.size() == model.answers.size(), "as many answers as the model's");
        for (size_t i = 0; i < card.answers.size(); i++) {
            const StreamBeat &held = card.answers[i], &wanted = model.answers[i];
            if (held.beat == wanted.beat && held.last == wanted.last) continue;
            for (unsigned w = 0; w < 16; w++)
                std::fprintf(stderr, "  answer %zu word %2u: %08x, must be %08x\n", i, w,
                             held.beat[w], wanted.beat[w]);
            must(false, "every answer is the model's");
        }
        compared += card.answers.size();
        card.answers.clear();
        model.answers.clear();
    }

    void load() {
        const unsigned hot = 1 + random.below(PROBE_BEATS);
        load_layout(hot, random.below(PROBE_BEATS - hot + 1));
        load_probes();
        if (random.below(25) == 0)
            load_layout(random.below(2) ? 0 : PROBE_BEATS, 1 + random.below(255));
    }

    void load_layout(unsigned hot, unsigned cold) {
        must(card.write(0x01C, hot | cold << 8), "LAYOUT while idle");
        model.hot_beats = hot;
        model.cold_beats = cold;
    }

    void load_probes() {
        model.active = random.below(4) == 0 ? random.word() & ((1u << PROBES) - 1)
                                            : (1u << PROBES) - 1;
        must(card.write(0x020, model.active), "ACTIVE while idle");
        groups = random.word() & ~3u;
        pool.clear();
        for (unsigned i = 0; i < 6; i++) pool.push_back(random_row());
        for (unsigned p = 0; p < PROBES; p++) {
            for (unsigned b = 0; b < PROBE_BEATS; b++) model.values[p][b] = random_values();
            store(p, 0, model.values[p]);
            ProbeFacts& facts = model.facts[p];
            const std::vector<Beat>& near = pool[random.below(pool.size())];
            facts.threshold = model.score(p, near.data(), model.hot_beats + model.cold_beats) +
                              static_cast<int32_t>(random.below(3)) - 1;
            if (random.below(6) == 0) facts.threshold = static_cast<int32_t>(random.word());
            if (random.below(6) == 0) facts.threshold = random.below(2) ? INT32_MIN : INT32_MAX;
            facts.norm = random.below(4) == 0 ? random.word() : random.below(300);
            facts.class_bits = 1ull << random.below(3) | (random.next() & ~7ull);
            facts.group = groups | random.below(3);
            facts.group_any = random.below(2);
            facts.now = static_cast<int64_t>(random.below(5)) - 2;
            const uint32_t words[] = {
                static_cast<uint32_t>(facts.threshold), facts.norm,
                static_cast<uint32_t>(facts.class_bits),
                static_cast<uint32_t>(facts.class_bits >> 32), facts.group, facts.group_any,
                static_cast<uint32_t>(facts.now), static_cast<uint32_t>(facts.now >> 32)};
            for (unsigned w = 0; w < 8; w++)
                must(card.write(0x200 + 0x20 * p + 4 * w, words[w]), "a fact while idle");
        }
        if (random.below(4) == 0) store(15, 0, {random_values()});
        if (random.below(4) == 0) store(0, 200, {random_values()});
    }

    void store(unsigned probe, unsigned beat, const std::vector<Beat>& values) {
        must(card.write(0x024, beat | probe << 8), "PROBE_ADDRESS while idle");
        for (const Beat& one : values)
            for (uint32_t word : one) must(card.write(0x028, word), "PROBE_DATA while idle");
    }

    Beat random_values() {
        Beat beat = random_beat(random);
        if (random.below(3) != 0)  // small values: scores that differ by little
            for (unsigned v = 0; v < 64; v++) put_byte(beat, v, byte_of(beat, v) % 3 - 1);
        if (random.below(20) == 0) beat.fill(random.below(2) ? 0x81818181 : 0x80808080);
        return beat;
    }

    std::vector<Beat> random_row() {
        std::vector<Beat> row;
        for (unsigned b = 0; b < PROBE_BEATS; b++) row.push_back(random_values());
        return row;
    }

    void send(const std::vector<Beat>& packet) {
        for (size_t i = 0; i < packet.size(); i++)
            card.packets.push_back({packet[i], i + 1 == packet.size()});
        model.packet(packet);
        order(packet[0]);
    }

    // Follows the rows of cold packets, so that most are in order.
    void order(const Beat& header) {
        if (byte_of(header, 0) == 2 && header[1] >= next_row) next_row = header[1] + 1;
        if (byte_of(header, 0) == 3) next_row = 0;
    }

    Beat hot_header() {
        uint32_t rows = 1 + random.below(TILE_ROWS);
        if (random.below(4) == 0) rows = 1 + random.below(3);
        Beat header = random_beat(random);
        header[0] = 1 | (random.word() & 0xFFFFFF00);
        header[1] = rows;
        if (random.below(2)) header[2] &= 0xFFFF0000;
        return header;
    }

    Beat cold_header() {
        Beat header = random_beat(random);
        header[0] = 2 | (random.word() & 0xFFFFFF00);
        header[1] = next_row + random.below(1u << random.below(12));
        return header;
    }

    Beat finish_header() {
        Beat header = random_beat(random);
        header[0] = 3 | (random.word() & 0xFFFFFF00);
        return header;
    }

    // A packet of the length that its header asks for.
    std::vector<Beat> sound(const Beat& header) {
        std::vector<Beat> packet{header};
        const size_t wanted = model.beats_wanted(header);
        const bool is_hot = byte_of(header, 0) == 1;
        const unsigned row_beats = is_hot ? model.hot_beats : model.hot_beats + model.cold_beats;
        size_t facts = 0;
        if (is_hot && (header[2] & 0xFFFF) != 0) facts = (header[1] + 1) / 2;
        while (packet.size() < 1 + facts) packet.push_back(facts_beat());
        uint32_t rows = 0;
        while (packet.size() < wanted) {
            if (is_hot && rows % 32 == 0) packet.push_back(norms_beat());
            const std::vector<Beat>& row = pool[random.below(pool.size())];
            for (unsigned b = 0; b < row_beats; b++)
                packet.push_back(random.below(4) == 0 ? random_values() : row[b % PROBE_BEATS]);
            rows++;
        }
        packet.resize(wanted);
        return packet;
    }

    Beat norms_beat() {
        Beat beat = random_beat(random);
        if (random.below(4) != 0)
            for (uint32_t& word : beat) word &= 0x003F003F;
        return beat;
    }

    Beat facts_beat() {
        Beat beat{};
        for (unsigned half = 0; half < 2; half++) {
            uint32_t* row = beat.data() + 8 * half;
            const uint64_t class_bits = 1ull << random.below(3);
            const auto not_before = static_cast<int64_t>(random.below(5)) - 4;
            const auto expiry = static_cast<int64_t>(random.below(5)) - 1;
            std::memcpy(row, &class_bits, 8);
            std::memcpy(row + 2, &not_before, 8);
            std::memcpy(row + 4, &expiry, 8);
            row[6] = groups | random.below(3);
            row[7] = random.below(6) == 0 ? random.word() : random.word() & ~3u;
        }
        return beat;
    }

    // Mostly sound; else too short, too long, of no kind, of too many rows.
    std::vector<Beat> hurt(std::vector<Beat> packet) {
        switch (random.below(12)) {
        case 0:
            packet.resize(1 + random.below(packet.size()));
            break;
        case 1:
            for (uint64_t i = 1 + random.below(5); i > 0; i--)
                packet.push_back(random_beat(random));
            break;
        case 2:
            if (random.below(3) == 0) packet[0][0] ^= 0xF0;
            break;
        case 3:
            if (random.below(3) == 0 && byte_of(packet[0], 0) == 1)
                packet[0][1] = random.below(2) ? 0 : TILE_ROWS + 1 + random.below(5);
            break;
        default:
            break;
        }
        return packet;
    }

    std::vector<Beat> hot_packet() { return hurt(sound(is_layout_sound() ? hot_header() : any())); }
    std::vector<Beat> cold_packet() {
        Beat header = is_layout_sound() ? cold_header() : any();
        if (random.below(20) == 0 && header[1] > 0) header[1] = random.below(header[1]);
        return hurt(sound(header));
    }

    // While the layout is wrong, any short packet is refused.
    Beat any() {
        Beat header = random_beat(random);
        header[0] = 2;
        return header;
    }

    bool is_layout_sound() const {
        return model.hot_beats > 0 && model.hot_beats + model.cold_beats <= PROBE_BEATS;
    }

    Random random;
    Stall idle, pressure;
    Model model;
    uint64_t seed;
    uint32_t next_row = 0;
    uint32_t groups = 0;  // what all groups of a search have in common
    std::vector<std::vector<Beat>> pool;
};
}  // namespace

int main(int argc, char** argv) {
    const uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 0) : 1;
    const uint64_t rounds = argc > 2 ? std::strtoull(argv[2], nullptr, 0) : 60;
    CoreBench bench(seed);
    for (uint64_t i = 0; i < rounds; i++) bench.round();
    bench.tight();
    bench.card.core.final();
#if VM_COVERAGE
    if (const char* path = std::getenv("BENCH_COVERAGE"))
        Verilated::threadContextp()->coveragep()->write(path);
#endif
    std::printf("%llu answers right in %llu clocks, seed %llu\n",
                (unsigned long long)bench.compared, (unsigned long long)bench.card.clocks,
                (unsigned long long)seed);
    return 0;
}
