// Random accesses, named and not, whole and not, idle and busy, against a map of what the registers
// hold; stores to the probes' memories, wipes, errors and counters with them.
#include "Vpc_registers.h"
#include "bench.hpp"

namespace {
const unsigned PROBES = 16, BEST = 16, PROBE_BEATS = 32, TILE_ROWS = 1024;

class RegistersBench {
  public:
    RegistersBench(int argc, char** argv) : bench(argc, argv, 60'000) {}

    int run() {
        top().write_i = top().read_i = top().busy_i = top().faults_i = 0;
        top().beat_taken_i = top().beat_stalled_i = 0;
        bench.reset();
        wipe_left = PROBE_BEATS;
        is_resetting = is_clearing = true;
        settling = 1;
        wiped();
        for (uint64_t i = 0; i < bench.rounds; i++) {
            if (bench.random.below(40) == 0) busy = !busy;
            clock();
        }
        return bench.done("clocks of accesses", bench.rounds);
    }

  private:
    Vpc_registers& top() { return bench.top; }
    uint64_t below(uint64_t bound) { return bench.random.below(bound); }

    uint32_t some_address() {
        switch (below(8)) {
        case 0: return bench.random.word() & 0xFFF;
        case 1: return 0x200 + 4 * below(PROBES * 8);
        case 2: case 3: case 4: return 0x028;
        case 5: return 0x018 + 4 * below(4);
        default: return 4 * below(18);
        }
    }

    void clock() {
        const bool writes = bench.random.chance(100) && !was_write;
        const bool reads = bench.random.chance(100);
        was_write = writes;
        const uint32_t at = some_address(), from = some_address();
        uint32_t word = bench.random.word();
        if (at == 0x010) word = below(8) ? below(4) : below(8);
        if (at == 0x010 && below(4)) word &= ~2u;
        if (at == 0x024) word = below(3) ? below(PROBES) << 8 | below(PROBE_BEATS) : word;
        const uint32_t strobe = below(30) ? 15 : below(16);
        top().write_i = writes;
        top().write_address_i = at;
        top().write_word_i = word;
        top().write_strobe_i = strobe;
        top().read_i = reads;
        top().read_address_i = from;
        top().busy_i = busy;
        const uint32_t faults = below(40) ? 0 : below(32);
        top().faults_i = faults;
        top().beat_taken_i = busy && below(2);
        top().beat_stalled_i = below(3) == 0;
        bench.settle();

        bench.equal(uint32_t(top().wiping_o), wipe_left > 0, "wiping");
        expect_store();
        uint32_t new_errors = faults;
        if (reads) new_errors |= read(from);
        const bool all_busy = busy || wipe_left > 0 || settling > 0 || store_due;
        bool refused = false, is_reset = false;
        const bool was_due = store_due;
        store_due = false;
        if (settling > 0) settling--;
        if (is_clearing) cycles = beats = stalls = 0;
        else {
            cycles += busy || wipe_left > 0;
            beats += top().beat_taken_i;
            stalls += top().beat_stalled_i;
        }
        const bool was_clearing = is_clearing;
        is_clearing = false;
        const bool was_reset = is_resetting;
        is_resetting = false;
        if (wipe_left > 0) wiped(), wipe_left--;
        uint32_t cleared = 0;
        if (writes) {
            const uint32_t fault = write(at, word, strobe, all_busy, is_reset, cleared);
            refused = fault != 0;
            new_errors |= fault;
            bench.equal(bool(top().write_refused_o), refused, "the refusal of a write");
        }
        bench.equal(bool(top().clear_o), was_clearing, "CLEAR to the core");
        bench.equal(bool(top().abandon_o), was_reset, "RESET to the core");
        if (was_due) at_beat = (at_beat + 1) & 0xFF;
        errors = is_reset || was_reset ? 0 : (errors & ~cleared) | new_errors;
        bench.edge();
    }

    bool is_facts(uint32_t at) const { return at >= 0x200 && at < 0x200 + 0x20 * PROBES; }

    // The fault of a read: ADDRESS or none.
    uint32_t read(uint32_t from) {
        uint32_t wanted = 0;
        bool named = from % 4 == 0;
        const bool all_busy = busy || wipe_left > 0 || settling > 0 || store_due;
        switch (from) {
        case 0x000: wanted = 0x54524F50; break;
        case 0x004: wanted = 0x00010000; break;
        case 0x008: wanted = PROBES | BEST << 16; break;
        case 0x00C: wanted = PROBE_BEATS | TILE_ROWS << 16; break;
        case 0x010: case 0x028: break;
        case 0x014: wanted = all_busy | (errors != 0) << 1; break;
        case 0x018: wanted = errors; break;
        case 0x01C: wanted = layout; break;
        case 0x020: wanted = active; break;
        case 0x024: wanted = at_beat | at_probe << 8; break;
        case 0x030: wanted = cycles, cycles_high = cycles >> 32; break;
        case 0x034: wanted = cycles_high; break;
        case 0x038: wanted = beats, beats_high = beats >> 32; break;
        case 0x03C: wanted = beats_high; break;
        case 0x040: wanted = stalls; break;
        default:
            named = named && is_facts(from);
            if (named) wanted = facts[(from - 0x200) / 4];
        }
        bench.equal(bool(top().read_refused_o), !named, "the refusal of a read");
        if (named) bench.equal(uint32_t(top().read_word_o), wanted, "the word read");
        return named ? 0 : 32;
    }

    // The fault of a write; carries it out when there is none.
    uint32_t write(uint32_t at, uint32_t word, uint32_t strobe, bool all_busy, bool& is_reset,
                   uint32_t& cleared) {
        const bool named = at == 0x010 || at == 0x018 || at == 0x01C || at == 0x020 ||
                           at == 0x024 || at == 0x028 || (at % 4 == 0 && is_facts(at));
        if (!named || strobe != 15) return 32;
        if (at == 0x018) {
            cleared = word;
            return 0;
        }
        const bool harmless = at == 0x010 && (word & 4) != 0;
        if (all_busy && !harmless) return 64;
        switch (at) {
        case 0x010:
            is_reset = is_resetting = (word & 4) != 0;
            is_clearing = (word & 5) != 0;
            settling = is_clearing;
            if ((word & 6) != 0) wipe_left = PROBE_BEATS;
            break;
        case 0x01C: layout = word & 0xFFFF; break;
        case 0x020: active = word & 0xFFFF; break;
        case 0x024:
            at_beat = word & 0xFF;
            at_probe = word >> 8 & 15;
            at_word = 0;
            break;
        case 0x028:
            words[at_word++] = word;
            store_due = at_word == 16;
            at_word %= 16;
            break;
        default: {
            const unsigned field = (at - 0x200) / 4 % 8;
            if (field == 1) word &= 0xFFFF;
            if (field == 5) word &= 1;
            facts[(at - 0x200) / 4] = word;
        }
        }
        return 0;
    }

    // What goes to the probes' memories in this clock.
    void expect_store() {
        uint32_t wanted = 0;
        if (wipe_left > 0) wanted = (1u << PROBES) - 1;
        else if (store_due && at_beat < PROBE_BEATS) wanted = 1u << at_probe;
        bench.equal(uint32_t(top().store_o), wanted, "the memories written");
        if (wanted == 0) return;
        const Beat values = wipe_left > 0 ? Beat{} : words;
        bench.beats_equal(beat_from(top().store_values_o), values, "the beat written");
        const uint32_t beat = wipe_left > 0 ? PROBE_BEATS - wipe_left : at_beat;
        bench.equal(uint32_t(top().store_beat_o), beat, "where it is written");
    }

    void wiped() {
        layout = active = at_beat = at_probe = at_word = 0;
        facts.assign(PROBES * 8, 0);
        store_due = false;
    }

    Bench<Vpc_registers> bench;
    bool busy = false, was_write = false, store_due = false, is_clearing = false;
    bool is_resetting = false;
    unsigned wipe_left = 0, settling = 0;
    uint32_t errors = 0, layout = 0, active = 0, at_beat = 0, at_probe = 0, at_word = 0;
    uint64_t cycles = 0, beats = 0, stalls = 0;
    uint32_t cycles_high = 0, beats_high = 0;
    std::vector<uint32_t> facts;
    Beat words{};
};
}  // namespace

int main(int argc, char** argv) { return RegistersBench(argc, argv).run(); }
