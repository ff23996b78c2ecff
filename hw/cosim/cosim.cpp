// The simulated card on a pipe, as `hw/PROTOCOL.md` draws it: the Verilated core with a shell
// around it (card memory, a mover, queues of any length). Reads requests from standard input,
// writes replies to standard output.
//
//   cosim                  serves the pipe until it ends
//   cosim --play FILE      runs a file of vectors and compares every answer; with --tight also the
//                          clocks: at most BEATS + 200 per search, and the last answer at most
//                          64 after the last beat
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "Vpc_core.h"
#include "card.hpp"

namespace {
const uint64_t MEMORY_BEATS = 1 << 20;  // 64 MiB
const uint32_t COUNT_MAX = 1 << 20;
const uint64_t STUCK_CLOCKS = 1'000'000;
const size_t HEAD_BYTES = 16;

enum Operation : uint8_t {
    READ = 1, WRITE, STREAM, RESULTS, STORE, ERASE, PLAY, LOOK, STALLS, MEMORY
};
enum Status : uint8_t { DONE = 0, UNKNOWN, MALFORMED, STUCK, SLVERR };

struct Request {
    uint8_t operation;
    uint8_t flags;
    uint32_t count;
    uint64_t address;
    std::vector<uint8_t> payload;
};

struct Reply {
    Status status = DONE;
    uint32_t count = 0;
    std::vector<uint8_t> payload;
};

template <class T> T little(const uint8_t* bytes) {
    T value = 0;
    for (size_t i = 0; i < sizeof(T); i++) value |= static_cast<T>(bytes[i]) << (8 * i);
    return value;
}

void append(std::vector<uint8_t>& out, const Beat& beat) {
    for (unsigned i = 0; i < 64; i++) out.push_back(byte_of(beat, i));
}

Beat beat_at(const std::vector<uint8_t>& bytes, size_t at) {
    Beat beat;
    for (unsigned w = 0; w < 16; w++) beat[w] = little<uint32_t>(&bytes[at + 4 * w]);
    return beat;
}

// Bytes of a request's payload.
size_t payload_bytes(uint8_t operation, uint32_t count) {
    if (operation == WRITE) return size_t{count} * 8;
    if (operation == STREAM || operation == STORE) return size_t{count} * 64;
    return 0;
}

bool is_known(uint8_t operation) { return operation >= READ && operation <= MEMORY; }

class Shell {
  public:
    Shell() : memory(MEMORY_BEATS) {}

    Reply answer(const Request& request) {
        switch (request.operation) {
        case READ: return read(request);
        case WRITE: return write(request);
        case STREAM: return stream(request);
        case RESULTS: return results();
        case STORE: return store(request);
        case ERASE: return erase(request);
        case PLAY: return play(request);
        case LOOK: return look(request);
        case STALLS: return stalls(request);
        default: return {DONE, static_cast<uint32_t>(MEMORY_BEATS), {}};
        }
    }

    uint64_t clocks() const { return card.clocks; }
    uint32_t word(uint32_t address) { return card.read(address).word; }
    // From the newest beat that was taken to the newest answer; zero when the answer was before.
    uint64_t latency() const {
        return card.last_answer_clock - std::min(card.last_answer_clock, card.last_taken_clock);
    }

  private:
    Reply read(const Request& request) {
        const auto held = card.read(static_cast<uint32_t>(request.address) & 0xFFF);
        if (request.address > 0xFFF) return {SLVERR, 0, {}};
        if (!held.taken) return {SLVERR, 0, {}};
        Reply reply{DONE, 4, {}};
        for (unsigned i = 0; i < 4; i++) reply.payload.push_back(held.word >> (8 * i) & 0xFF);
        return reply;
    }

    Reply write(const Request& request) {
        for (uint32_t i = 0; i < request.count; i++) {
            const uint8_t* at = &request.payload[size_t{i} * 8];
            const auto address = little<uint32_t>(at);
            const auto value = little<uint32_t>(at + 4);
            // What stands behind the core is emptied with it.
            if (address == 0x010 && (value & 4) != 0) {
                card.drop_packets();
                if (card.write(address, value)) card.answers.clear();
                continue;
            }
            if (address > 0xFFF || !card.write(address, value)) return {SLVERR, 0, {}};
        }
        return {};
    }

    Reply stream(const Request& request) {
        for (uint32_t i = 0; i < request.count; i++)
            card.packets.push_back({beat_at(request.payload, size_t{i} * 64), false});
        return send(request);
    }

    Reply play(const Request& request) {
        if (!is_inside(request)) return {MALFORMED, 0, {}};
        for (uint32_t i = 0; i < request.count; i++)
            card.packets.push_back({memory[request.address / 64 + i], false});
        return send(request);
    }

    // Runs the clock until every waiting beat is taken.
    Reply send(const Request& request) {
        if (request.count > 0) card.packets.back().last = (request.flags & 1) != 0;
        uint64_t still = 0;
        while (!card.packets.empty()) {
            still = card.clock() ? 0 : still + 1;
            if (still == STUCK_CLOCKS) {
                card.drop_packets();
                return {STUCK, 0, {}};
            }
        }
        return {};
    }

    Reply results() {
        uint64_t still = 0;
        while (card.is_busy()) {
            still = card.clock() ? 0 : still + 1;
            if (still == STUCK_CLOCKS) return {STUCK, 0, {}};
        }
        Reply reply{DONE, static_cast<uint32_t>(card.answers.size()), {}};
        reply.payload.reserve(card.answers.size() * 65);
        for (const StreamBeat& answer : card.answers) append(reply.payload, answer.beat);
        for (const StreamBeat& answer : card.answers) reply.payload.push_back(answer.last);
        card.answers.clear();
        return reply;
    }

    Reply store(const Request& request) {
        if (!is_inside(request)) return {MALFORMED, 0, {}};
        for (uint32_t i = 0; i < request.count; i++)
            memory[request.address / 64 + i] = beat_at(request.payload, size_t{i} * 64);
        return {};
    }

    Reply erase(const Request& request) {
        if (!is_inside(request)) return {MALFORMED, 0, {}};
        for (uint32_t i = 0; i < request.count; i++) memory[request.address / 64 + i] = Beat{};
        return {};
    }

    Reply look(const Request& request) {
        if (!is_inside(request)) return {MALFORMED, 0, {}};
        Reply reply{DONE, request.count, {}};
        for (uint32_t i = 0; i < request.count; i++)
            append(reply.payload, memory[request.address / 64 + i]);
        return reply;
    }

    Reply stalls(const Request& request) {
        const unsigned idle = request.count & 0xFF, pressure = request.count >> 8 & 0xFF;
        chance = std::make_unique<Random>(request.address);
        card.idles = [this, idle] { return idle != 0 && chance->chance(idle); };
        card.presses = [this, pressure] { return pressure != 0 && chance->chance(pressure); };
        return {};
    }

    static bool is_inside(const Request& request) {
        const uint64_t first = request.address / 64;
        return request.address % 64 == 0 && first <= MEMORY_BEATS &&
               request.count <= MEMORY_BEATS - first;
    }

    Card<Vpc_core> card;
    std::vector<Beat> memory;
    std::unique_ptr<Random> chance;
};

// Whole reads, or the end.
class Input {
  public:
    explicit Input(FILE* file) : file(file) {}

    bool bytes(std::vector<uint8_t>& into, size_t count) {
        into.resize(count);
        return count == 0 || std::fread(into.data(), 1, count, file) == count;
    }

    // Whether there was one; `refusal` says why it cannot be carried out.
    bool request(Request& request, Status& refusal) {
        std::vector<uint8_t> head;
        if (!bytes(head, HEAD_BYTES)) return false;
        request.operation = head[0];
        request.flags = head[1];
        request.count = little<uint32_t>(&head[4]);
        request.address = little<uint64_t>(&head[8]);
        request.payload.clear();
        refusal = DONE;
        if (!is_known(request.operation)) refusal = UNKNOWN;
        // The stall chances use the count's bits for themselves, below the limit.
        else if (request.count > COUNT_MAX) refusal = MALFORMED;
        if (refusal != DONE) return true;
        return bytes(request.payload, payload_bytes(request.operation, request.count));
    }

  private:
    FILE* file;
};

void put(uint8_t operation, const Reply& reply, uint64_t clocks) {
    std::vector<uint8_t> head(HEAD_BYTES, 0);
    head[0] = operation;
    head[1] = reply.status;
    for (unsigned i = 0; i < 4; i++) head[4 + i] = reply.count >> (8 * i) & 0xFF;
    for (unsigned i = 0; i < 8; i++) head[8 + i] = clocks >> (8 * i) & 0xFF;
    std::fwrite(head.data(), 1, head.size(), stdout);
    std::fwrite(reply.payload.data(), 1, reply.payload.size(), stdout);
    std::fflush(stdout);
}

int serve() {
    Shell shell;
    Input input(stdin);
    Request request;
    Status refusal;
    while (input.request(request, refusal)) {
        if (refusal != DONE) {
            put(request.operation, {refusal, 0, {}}, shell.clocks());
            std::fprintf(stderr, "cosim: operation %u with count %u cannot be read on\n",
                         request.operation, request.count);
            return 1;
        }
        put(request.operation, shell.answer(request), shell.clocks());
    }
    return 0;
}

int fail(const char* what, uint64_t number) {
    std::fprintf(stderr, "cosim: FAILED: request %llu: %s\n", (unsigned long long)number, what);
    return 1;
}

// Compares the answers with the reply frame that follows in the file.
bool is_expected(const Reply& reply, Input& input) {
    std::vector<uint8_t> head, payload;
    if (!input.bytes(head, HEAD_BYTES) || head[0] != RESULTS) return false;
    const auto count = little<uint32_t>(&head[4]);
    if (count > COUNT_MAX || !input.bytes(payload, size_t{count} * 65)) return false;
    if (count == reply.count && payload == reply.payload) return true;
    std::fprintf(stderr, "cosim: %u answers, the file has %u\n", reply.count, count);
    for (size_t i = 0; i < payload.size() && i < reply.payload.size(); i++) {
        if (payload[i] == reply.payload[i]) continue;
        std::fprintf(stderr, "cosim: answer %zu byte %zu: %02x, must be %02x\n", i / 64, i % 64,
                     reply.payload[i], payload[i]);
        break;
    }
    return false;
}

int play(const char* path, bool tight) {
    FILE* file = std::fopen(path, "rb");
    if (file == nullptr) {
        std::fprintf(stderr, "cosim: cannot open %s\n", path);
        return 2;
    }
    Shell shell;
    Input input(file);
    Request request;
    Status refusal;
    uint64_t number = 0, answers = 0, beats = 0, cycles = 0, cycles_over = 0, latency = 0;
    for (; input.request(request, refusal); number++) {
        if (refusal != DONE) return fail("cannot be read on", number);
        const Reply reply = shell.answer(request);
        if (reply.status != DONE) return fail("was refused or stands still", number);
        if (request.operation != RESULTS) continue;
        if (!is_expected(reply, input)) return fail("other answers than the file's", number);
        answers += reply.count;
        if (reply.count > 0) latency = std::max(latency, shell.latency());
        beats = shell.word(0x038);
        cycles = shell.word(0x030);
        cycles_over = cycles > beats ? std::max(cycles_over, cycles - beats) : cycles_over;
        if (tight && cycles > beats + 200) return fail("more clocks than BEATS + 200", number);
        if (tight && latency > 64) return fail("an answer later than 64 clocks", number);
    }
    const bool is_whole = std::feof(file) != 0;
    std::fclose(file);
    if (!is_whole || answers == 0) return fail("the file ends early or holds no answers", number);
    std::printf("%llu requests, %llu answers right; last search %llu beats in %llu clocks, "
                "never more than %llu over, no answer later than %llu\n",
                (unsigned long long)number, (unsigned long long)answers,
                (unsigned long long)beats, (unsigned long long)cycles,
                (unsigned long long)cycles_over, (unsigned long long)latency);
    return 0;
}
}  // namespace

int main(int argc, char** argv) {
    if (argc == 1) return serve();
    if (argc >= 3 && std::strcmp(argv[1], "--play") == 0)
        return play(argv[2], argc > 3 && std::strcmp(argv[3], "--tight") == 0);
    std::fprintf(stderr, "usage: cosim [--play FILE [--tight]]\n");
    return 2;
}
