// `hw/PROTOCOL.md` once more, packet by packet, in plain loops: what the core's bench compares
// with. It shares nothing with the RTL and nothing with the appliance's twin.
#pragma once

#include <algorithm>

#include "card.hpp"

struct ProbeFacts {
    int32_t threshold;
    uint16_t norm;
    uint64_t class_bits;
    uint32_t group;
    bool group_any;
    int64_t now;
};

enum Fault { FAULT_KIND = 1, FAULT_LENGTH = 2, FAULT_ROWS = 4, FAULT_LAYOUT = 8, FAULT_ORDER = 16 };

class Model {
  public:
    Model(unsigned probes, unsigned best, unsigned probe_beats, unsigned tile_rows)
        : probes(probes), best(best), probe_beats(probe_beats), tile_rows(tile_rows) {
        wipe();
        clear();
    }

    unsigned hot_beats, cold_beats;
    uint32_t active;
    std::vector<ProbeFacts> facts;
    std::vector<std::vector<Beat>> values;
    uint32_t errors = 0;
    std::vector<StreamBeat> answers;

    void wipe() {
        hot_beats = cold_beats = 0;
        active = 0;
        facts.assign(probes, {});
        values.assign(probes, std::vector<Beat>(probe_beats, Beat{}));
        lists.assign(probes, {});
    }

    void clear() {
        counters.assign(probes, {});
        lists.assign(probes, {});
        rows_hot = rows_cold = 0;
        is_ordered = false;
    }

    // A whole packet, its last beat with `tlast`.
    void packet(const std::vector<Beat>& beats) {
        const Beat& header = beats[0];
        const uint8_t kind = byte_of(header, 0);
        const uint32_t fault = header_fault(header, kind, beats.size());
        errors |= fault;
        if (kind == 3) return finish();
        if (fault != 0) return;
        if (kind == 1) hot(beats);
        if (kind == 2) cold(beats);
    }

    // Beats of the packet that this header and the layout ask for.
    size_t beats_wanted(const Beat& header) const {
        if (byte_of(header, 0) == 2) return 1 + hot_beats + cold_beats;
        if (byte_of(header, 0) == 3) return 1;
        const uint32_t rows = header[1];
        const bool asks = (header[2] & 0xFFFF) != 0;
        return 1 + (asks ? (rows + 1) / 2 : 0) + (rows + 31) / 32 + size_t{rows} * hot_beats;
    }

    int32_t score(unsigned p, const Beat* row, unsigned beats) const {
        int64_t sum = 0;
        for (unsigned b = 0; b < beats; b++)
            for (unsigned v = 0; v < 64; v++)
                sum += static_cast<int8_t>(byte_of(row[b], v)) *
                       static_cast<int8_t>(byte_of(values[p][b], v));
        return static_cast<int32_t>(sum);
    }

  private:
    struct Counters {
        uint32_t ineligible, pruned, rescored, accepted;
    };
    struct Candidate {
        int32_t score;
        uint32_t row;
    };

    uint32_t header_fault(const Beat& header, uint8_t kind, size_t beats) const {
        if (kind < 1 || kind > 3) return FAULT_KIND;
        if (hot_beats == 0 || hot_beats + cold_beats > probe_beats) return FAULT_LAYOUT;
        if (kind == 1 && (header[1] == 0 || header[1] > tile_rows)) return FAULT_ROWS;
        if (kind == 2 && is_ordered && header[1] <= cold_row) return FAULT_ORDER;
        return (beats == 1) != (kind == 3) ? FAULT_LENGTH : 0;
    }

    // How many of the packet's beats stand before a fault of its length.
    size_t sound_beats(const std::vector<Beat>& beats) {
        const size_t wanted = beats_wanted(beats[0]);
        if (beats.size() == wanted) return wanted;
        errors |= FAULT_LENGTH;
        return std::min(beats.size(), wanted) - 1;
    }

    bool is_eligible(unsigned p, const Beat& pair, unsigned half) const {
        const uint32_t* row = pair.data() + 8 * half;
        const ProbeFacts& probe = facts[p];
        uint64_t class_bits;
        int64_t not_before, expiry;
        std::memcpy(&class_bits, row, 8);
        std::memcpy(&not_before, row + 2, 8);
        std::memcpy(&expiry, row + 4, 8);
        return (row[7] & 3) == 0 && (class_bits & probe.class_bits) != 0 &&
               (probe.group_any || probe.group == row[6]) && not_before <= probe.now &&
               probe.now < expiry;
    }

    void hot(const std::vector<Beat>& beats) {
        const size_t sound = sound_beats(beats);
        const uint32_t all = beats[0][0] >> 16, each = beats[0][2] & 0xFFFF, rows = beats[0][1];
        size_t at = 1 + (each != 0 ? (rows + 1) / 2 : 0);
        for (uint32_t first = 0; first < rows && at < sound; first += 32) {
            const Beat& norms = beats[at++];
            const uint32_t end = std::min(first + 32, rows);
            StreamBeat answer{Beat{}, end == rows};
            for (uint32_t row = first; row < end; row++, at += hot_beats) {
                if (at + hot_beats > sound) {
                    answer.last = true;
                    at = sound;
                    break;
                }
                rows_hot++;
                const auto norm = static_cast<uint16_t>(norms[row % 32 / 2] >> (16 * (row % 2)));
                for (unsigned p = 0; p < probes; p++) {
                    if ((active >> p & 1) == 0) continue;
                    const bool found =
                        (all >> p & 1) != 0 ||
                        ((each >> p & 1) != 0 && is_eligible(p, beats[1 + row / 2], row % 2));
                    const int64_t most = int64_t{score(p, &beats[at], hot_beats)} +
                                         int64_t{facts[p].norm} * norm;
                    if (!found) counters[p].ineligible++;
                    else if (most < facts[p].threshold) counters[p].pruned++;
                    else answer.beat[p] |= 1u << (row % 32);
                }
            }
            answers.push_back(answer);
        }
    }

    void cold(const std::vector<Beat>& beats) {
        cold_row = beats[0][1];
        is_ordered = true;
        if (sound_beats(beats) != beats.size()) return;
        const uint32_t want = beats[0][0] >> 16;
        rows_cold++;
        for (unsigned p = 0; p < probes; p++) {
            if ((active & want) >> p & 1) {
                counters[p].rescored++;
                const int32_t whole = score(p, &beats[1], hot_beats + cold_beats);
                if (whole >= facts[p].threshold) {
                    counters[p].accepted++;
                    keep(lists[p], {whole, cold_row});
                }
            }
        }
    }

    void keep(std::vector<Candidate>& list, Candidate candidate) const {
        const auto is_behind = [&](const Candidate& c) { return c.score < candidate.score; };
        const auto behind = std::find_if(list.begin(), list.end(), is_behind);
        list.insert(behind, candidate);
        if (list.size() > best) list.pop_back();
    }

    void finish() {
        const Beat head{0x454E4F44, probes | best << 16, rows_hot, rows_cold, errors};
        answers.push_back({head, false});
        for (unsigned p = 0; p < probes; p += 4) {
            StreamBeat answer{};
            for (unsigned q = p; q < std::min(p + 4, probes); q++)
                std::memcpy(answer.beat.data() + 4 * (q - p), &counters[q], 16);
            answers.push_back(answer);
        }
        for (unsigned p = 0; p < probes; p++) {
            for (unsigned k = 0; k < best; k += 8) {
                StreamBeat answer{{}, p + 1 == probes && k + 8 == best};
                for (unsigned i = 0; i < 8; i++) {
                    Candidate held{INT32_MIN, 0xFFFFFFFF};
                    if (k + i < lists[p].size()) held = lists[p][k + i];
                    answer.beat[2 * i] = static_cast<uint32_t>(held.score);
                    answer.beat[2 * i + 1] = held.row;
                }
                answers.push_back(answer);
            }
        }
    }

    unsigned probes, best, probe_beats, tile_rows;
    std::vector<Counters> counters;
    std::vector<std::vector<Candidate>> lists;
    uint32_t rows_hot, rows_cold, cold_row = 0;
    bool is_ordered;
};
