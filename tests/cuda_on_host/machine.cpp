// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The machine behind machine.hpp: fibres, collectives, guarded memory; and the pipe through which
// the tests use it as they would use a device (see `serve`).

#include "machine.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include "kernels.hpp"

namespace host {

Launch launch;

namespace {

constexpr std::size_t STACK_BYTES = 64 * 1024;
constexpr std::size_t PAGE = 4096;
constexpr std::size_t SHARED_BYTES_MAX = 227 * 1024;
constexpr unsigned LANES = 32;

#if defined(__x86_64__)
// Where a fibre stands: its stack pointer, with what a function must preserve on top.
struct Context {
    void* stack;
};

extern "C" void fibre_switch(void** save, void* load);
asm(R"(
.text
.globl fibre_switch
.type fibre_switch, @function
fibre_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size fibre_switch, .-fibre_switch
)");

void change(Context& from, Context& to) {
    fibre_switch(&from.stack, to.stack);
}

void prepare(Context& context, unsigned char* stack, void (*entry)()) {
    void** top = reinterpret_cast<void**>(stack + STACK_BYTES);
    // As if called: the return address stands eight bytes below an alignment of sixteen.
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(entry);
    for (int saved = 0; saved < 6; saved++) {
        *--top = nullptr;
    }
    context.stack = top;
}
#else
struct Context {
    ucontext_t held;
};

void change(Context& from, Context& to) {
    swapcontext(&from.held, &to.held);
}

void prepare(Context& context, unsigned char* stack, void (*entry)()) {
    getcontext(&context.held);
    context.held.uc_stack.ss_sp = stack;
    context.held.uc_stack.ss_size = STACK_BYTES;
    context.held.uc_link = nullptr;
    makecontext(&context.held, entry, 0);
}
#endif

enum class State { Ready, InWarp, AtBarrier, Done };

struct Copy {
    void* to;
    const void* from;
    bool there;
    unsigned group;
};

struct Fibre {
    Context context;
    unsigned char* stack;
    State state;
    Index index;
    unsigned number;
    Collective collective;
    Exchange exchange;
    bool predicate;
    std::deque<Copy> copies;
    unsigned groups;
};

std::vector<Fibre> fibres;
std::vector<unsigned> arrived_in_warp;
unsigned arrived_at_barrier;
unsigned barrier_sum;
unsigned done;
Fibre* running;
Context scheduler;
unsigned char* shared_end;
unsigned char* shared_begin;
Entry entry;
const void* argument;
std::string launched;

// The reason why the run cannot go on; the process ends, the caller reads it.
void say(const std::string& what) {
    std::fprintf(stderr, "cuda_on_host: %s, block (%u, %u, %u): %s\n", launched.c_str(),
                 launch.at.x, launch.at.y, launch.at.z, what.c_str());
    std::fflush(stderr);
}

void suspend() {
    Fibre* own = running;
    change(own->context, scheduler);
}

void run_fibre() {
    Fibre* own = running;
    entry.call(argument);
    if (own->groups > 0 && !own->copies.empty()) {
        fail("a thread ends with copies under way");
    }
    own->state = State::Done;
    done++;
    suspend();
    std::abort();
}

// What the lanes of a warp take away from a collective that all have reached.
void complete(Fibre* lanes) {
    const Collective collective = lanes[0].collective;
    for (unsigned l = 0; l < LANES; l++) {
        if (lanes[l].collective != collective) {
            fail("lanes of one warp in different collectives");
        }
    }
    switch (collective) {
    case Collective::Sync:
        break;
    case Collective::Ballot: {
        unsigned votes = 0;
        for (unsigned l = 0; l < LANES; l++) {
            votes |= lanes[l].exchange.in[0] << l;
        }
        for (unsigned l = 0; l < LANES; l++) {
            lanes[l].exchange.out[0] = votes;
        }
        break;
    }
    case Collective::Shuffle:
    case Collective::ShuffleXor:
        for (unsigned l = 0; l < LANES; l++) {
            const unsigned told = lanes[l].exchange.in[1];
            const unsigned from = collective == Collective::Shuffle ? told : l ^ told;
            lanes[l].exchange.out[0] = lanes[from % LANES].exchange.in[0];
        }
        break;
    case Collective::LoadMatrices:
        for (unsigned matrix = 0; matrix < 4; matrix++) {
            for (unsigned l = 0; l < LANES; l++) {
                const auto* row = static_cast<const unsigned char*>(
                    lanes[matrix * 8 + l / 4].exchange.address);
                if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0 || row < shared_begin ||
                    row + 16 > shared_end) {
                    fail("a row of a matrix that is not in shared memory, on sixteen bytes");
                }
                std::memcpy(&lanes[l].exchange.out[matrix], row + l % 4 * 4, 4);
            }
        }
        break;
    case Collective::MultiplyBytes:
    case Collective::MultiplyHalves: {
        // The tiles as numbers: a[row][k], b[k][column].
        const bool halves = collective == Collective::MultiplyHalves;
        const unsigned depth = halves ? 16 : 32;
        const unsigned each = halves ? 2 : 4;
        const auto element = [&](unsigned word, unsigned n) -> double {
            if (halves) {
                return float_of(static_cast<std::uint16_t>(word >> (16 * n)));
            }
            return static_cast<std::int8_t>(word >> (8 * n));
        };
        double a[16][32];
        double b[32][8];
        for (unsigned l = 0; l < LANES; l++) {
            for (unsigned n = 0; n < each; n++) {
                const unsigned k = l % 4 * each + n;
                const unsigned* in = lanes[l].exchange.in;
                for (unsigned half = 0; half < 2; half++) {
                    a[l / 4][k + half * depth / 2] = element(in[half * 2], n);
                    a[l / 4 + 8][k + half * depth / 2] = element(in[half * 2 + 1], n);
                    b[k + half * depth / 2][l / 4] = element(in[4 + half], n);
                }
            }
        }
        for (unsigned l = 0; l < LANES; l++) {
            for (unsigned i = 0; i < 4; i++) {
                const unsigned row = l / 4 + i / 2 * 8;
                const unsigned column = l % 4 * 2 + i % 2;
                double sum = 0;
                for (unsigned k = 0; k < depth; k++) {
                    sum += a[row][k] * b[k][column];
                }
                const unsigned before = lanes[l].exchange.in[6 + i];
                lanes[l].exchange.out[i] =
                    halves ? bits_of(static_cast<float>(value_of(before) + sum))
                           : static_cast<unsigned>(static_cast<std::int32_t>(before) +
                                                   static_cast<std::int32_t>(sum));
            }
        }
        break;
    }
    }
}

// The caller's order: 0 and 1, ascending and descending, all threads abreast; everything else is
// the seed of orders drawn anew, in which a warp runs on alone until it must wait for others.
constexpr std::uint64_t DESCENDING = 1;
constexpr std::uint64_t DRAWN = 2;

// The order of warps, or of lanes, in the next pass.
void shuffle_order(std::vector<unsigned>& order, std::uint64_t& seed) {
    if (seed < DRAWN) {
        return;
    }
    for (std::size_t last = order.size() - 1; last > 0; last--) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        std::swap(order[last], order[(seed >> 33) % (last + 1)]);
    }
    seed |= DRAWN;
}

std::vector<unsigned> numbers(unsigned count, std::uint64_t seed) {
    std::vector<unsigned> order;
    for (unsigned number = 0; number < count; number++) {
        order.push_back(seed == DESCENDING ? count - 1 - number : number);
    }
    return order;
}

// Runs every lane of a warp that can run, once; whether there was one.
bool run_lanes(unsigned warp, const std::vector<unsigned>& lanes) {
    bool moved = false;
    for (unsigned lane : lanes) {
        Fibre& fibre = fibres[warp * LANES + lane];
        if (fibre.state == State::Ready) {
            moved = true;
            running = &fibre;
            change(scheduler, running->context);
        }
    }
    return moved;
}

void run_block(std::uint64_t& seed) {
    const unsigned threads = static_cast<unsigned>(fibres.size());
    std::memset(shared_begin, 0xa5, static_cast<std::size_t>(shared_end - shared_begin));
    std::fill(arrived_in_warp.begin(), arrived_in_warp.end(), 0u);
    arrived_at_barrier = barrier_sum = done = 0;
    for (unsigned number = 0; number < threads; number++) {
        Fibre& fibre = fibres[number];
        fibre.state = State::Ready;
        fibre.number = number;
        fibre.index = {number % launch.block.x, number / launch.block.x % launch.block.y,
                       number / launch.block.x / launch.block.y};
        fibre.copies.clear();
        fibre.groups = 0;
        prepare(fibre.context, fibre.stack, run_fibre);
    }
    const bool alone = seed >= DRAWN;
    std::vector<unsigned> warps = numbers(threads / LANES, seed);
    std::vector<unsigned> lanes = numbers(LANES, seed);
    while (done < threads) {
        shuffle_order(warps, seed);
        shuffle_order(lanes, seed);
        bool moved = false;
        for (unsigned warp : warps) {
            while (run_lanes(warp, lanes)) {
                moved = true;
                if (!alone) {
                    break;
                }
            }
        }
        if (!moved) {
            fail("threads wait for others that have ended or wait elsewhere");
        }
    }
}

unsigned char* pages(std::size_t bytes) {
    void* held = mmap(nullptr, bytes + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                      -1, 0);
    if (held == MAP_FAILED) {
        std::perror("cuda_on_host: mmap");
        std::exit(3);
    }
    mprotect(static_cast<unsigned char*>(held) + bytes, PAGE, PROT_NONE);
    return static_cast<unsigned char*>(held);
}

std::size_t whole_pages(std::size_t bytes) {
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

} // namespace

const Index& thread() {
    return running->index;
}

unsigned char* arena() {
    return shared_begin;
}

Exchange& exchange() {
    return running->exchange;
}

void meet(Collective collective) {
    Fibre* own = running;
    const unsigned warp = own->number / LANES;
    own->collective = collective;
    arrived_in_warp[warp]++;
    if (arrived_in_warp[warp] < LANES) {
        own->state = State::InWarp;
        suspend();
        return;
    }
    arrived_in_warp[warp] = 0;
    Fibre* lanes = &fibres[warp * LANES];
    complete(lanes);
    for (unsigned l = 0; l < LANES; l++) {
        lanes[l].state = State::Ready;
    }
}

unsigned barrier(bool predicate) {
    Fibre* own = running;
    own->predicate = predicate;
    arrived_at_barrier++;
    if (arrived_at_barrier < fibres.size()) {
        own->state = State::AtBarrier;
        suspend();
        return own->exchange.out[3];
    }
    arrived_at_barrier = 0;
    unsigned sum = 0;
    for (const Fibre& fibre : fibres) {
        sum += fibre.predicate ? 1 : 0;
    }
    for (Fibre& fibre : fibres) {
        fibre.state = State::Ready;
        fibre.exchange.out[3] = sum;
    }
    return sum;
}

void copy_later(void* to, const void* from, bool there) {
    const auto* begin = static_cast<unsigned char*>(to);
    if (begin < shared_begin || begin + 16 > shared_end ||
        reinterpret_cast<std::uintptr_t>(to) % 16 != 0 ||
        reinterpret_cast<std::uintptr_t>(from) % 16 != 0) {
        fail("a copy that is not into shared memory, from and to sixteen bytes");
    }
    running->copies.push_back({to, from, there, running->groups});
}

void close_copies() {
    running->groups++;
}

void wait_copies(unsigned pending) {
    std::deque<Copy>& copies = running->copies;
    while (!copies.empty() && copies.front().group + pending < running->groups) {
        const Copy& copy = copies.front();
        if (copy.there) {
            std::memcpy(copy.to, copy.from, 16);
        } else {
            std::memset(copy.to, 0, 16);
        }
        copies.pop_front();
    }
}

void fail(const char* what) {
    say(what);
    std::_Exit(4);
}

float float_of(std::uint16_t half) {
    const unsigned sign = (half & 0x8000u) << 16;
    const unsigned exponent = half >> 10 & 31;
    const unsigned fraction = half & 1023;
    if (exponent == 31) {
        return value_of(sign | 0x7f800000u | fraction << 13);
    }
    const float size = exponent == 0
                           ? std::ldexp(static_cast<float>(fraction), -24)
                           : std::ldexp(static_cast<float>(fraction + 1024),
                                        static_cast<int>(exponent) - 25);
    return sign != 0 ? -size : size;
}

std::uint16_t half_of(float value) {
    const unsigned bits = bits_of(value);
    const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000u);
    const float size = std::fabs(value);
    if (std::isnan(value)) {
        return static_cast<std::uint16_t>(sign | 0x7fffu);
    }
    if (size >= 65520.0f) {
        return static_cast<std::uint16_t>(sign | 0x7c00u);
    }
    int exponent;
    std::frexp(size, &exponent);
    // Units in the last place: 2^-24 for what is subnormal. The sum rounds to an even neighbour.
    const int unit = std::max(exponent - 11, -24);
    const auto units = static_cast<unsigned>(std::nearbyint(std::ldexp(size, -unit)));
    if (size == 0.0f || units == 0) {
        return sign;
    }
    // A carry into the exponent is the next power of two, as it should be.
    const unsigned base = units < 1024 ? 0u : static_cast<unsigned>(unit + 24) << 10;
    return static_cast<std::uint16_t>(sign | (base + units));
}

namespace {

// Runs a grid; what it says on a failure goes to the error stream, and the process ends.
void run(const Entry& found, Index grid, Index block, std::size_t shared, std::uint64_t seed,
         const void* told) {
    const std::size_t threads = static_cast<std::size_t>(block.x) * block.y * block.z;
    if (threads == 0 || threads > 1024 || threads % LANES != 0 || shared > SHARED_BYTES_MAX ||
        shared % 16 != 0) {
        fail("a block or a shared memory that no device has");
    }
    entry = found;
    argument = told;
    launch.grid = grid;
    launch.block = block;
    shared_begin = shared_end - shared;
    while (fibres.size() < threads) {
        fibres.push_back(Fibre{});
        fibres.back().stack = pages(STACK_BYTES);
    }
    std::vector<Fibre> spare(std::make_move_iterator(fibres.begin() + static_cast<long>(threads)),
                             std::make_move_iterator(fibres.end()));
    fibres.resize(threads);
    arrived_in_warp.assign(threads / LANES, 0);
    for (unsigned z = 0; z < grid.z; z++) {
        for (unsigned y = 0; y < grid.y; y++) {
            for (unsigned x = 0; x < grid.x; x++) {
                launch.at = {x, y, z};
                run_block(seed);
            }
        }
    }
    for (Fibre& fibre : spare) {
        fibres.push_back(std::move(fibre));
    }
}

void take(void* to, std::size_t bytes) {
    if (std::fread(to, 1, bytes, stdin) != bytes) {
        std::exit(0);
    }
}

template <typename T>
T take() {
    T value;
    take(&value, sizeof(value));
    return value;
}

void give(const void* from, std::size_t bytes) {
    if (std::fwrite(from, 1, bytes, stdout) != bytes) {
        std::exit(3);
    }
}

// One request after the other, all numbers little-endian:
//     A bytes:u64                  ->  address:u64; ends at a page that cannot be touched, rubbish
//     F address:u64                ->  1
//     W address:u64 n:u64 bytes    ->  1
//     R address:u64 n:u64          ->  n bytes
//     N                            ->  n:u32, then the names of all entries, each ended by a zero
//     L name ended by a zero, grid 3 x u32, block 3 x u32, shared:u32, order:u64, n:u32, argument
//                                  ->  1
// A launch that fails says why on the error stream and ends the process.
void serve() {
    std::map<std::uint64_t, std::size_t> held;
    for (;;) {
        const char request = take<char>();
        if (request == 'A') {
            const auto bytes = take<std::uint64_t>();
            const std::size_t whole = whole_pages(bytes);
            unsigned char* begin = pages(whole);
            std::memset(begin, 0x5a, whole);
            // On sixteen bytes, as a device gives it; so up to fifteen beyond the end are not seen.
            const std::size_t ahead = (whole - bytes) / 16 * 16;
            const auto address = reinterpret_cast<std::uint64_t>(begin + ahead);
            held[address] = whole;
            give(&address, sizeof(address));
        } else if (request == 'F') {
            const auto address = take<std::uint64_t>();
            const auto found = held.find(address);
            if (found == held.end()) {
                fail("memory that was not taken is given back");
            }
            munmap(reinterpret_cast<void*>(address / PAGE * PAGE), found->second + PAGE);
            held.erase(found);
            give("\1", 1);
        } else if (request == 'W') {
            const auto address = take<std::uint64_t>();
            const auto bytes = take<std::uint64_t>();
            take(reinterpret_cast<void*>(address), bytes);
            give("\1", 1);
        } else if (request == 'R') {
            const auto address = take<std::uint64_t>();
            const auto bytes = take<std::uint64_t>();
            give(reinterpret_cast<const void*>(address), bytes);
        } else if (request == 'N') {
            const auto count = static_cast<std::uint32_t>(ENTRY_COUNT);
            give(&count, sizeof(count));
            for (std::size_t n = 0; n < ENTRY_COUNT; n++) {
                give(ENTRIES[n].name, std::strlen(ENTRIES[n].name) + 1);
            }
        } else if (request == 'L') {
            launched.clear();
            for (char next = take<char>(); next != 0; next = take<char>()) {
                launched.push_back(next);
            }
            const auto grid = take<Index>();
            const auto block = take<Index>();
            const auto shared = take<std::uint32_t>();
            const auto order = take<std::uint64_t>();
            const auto bytes = take<std::uint32_t>();
            alignas(16) unsigned char told[256];
            if (bytes > sizeof(told)) {
                fail("an argument that no entry takes");
            }
            take(told, bytes);
            const Entry* found = std::find_if(ENTRIES, ENTRIES + ENTRY_COUNT, [](const Entry& one) {
                return launched == one.name;
            });
            if (found == ENTRIES + ENTRY_COUNT || found->bytes != bytes) {
                fail("there is no such entry, or it takes another argument");
            }
            run(*found, grid, block, shared, order, told);
            give("\1", 1);
        } else {
            fail("a request that is none");
        }
        std::fflush(stdout);
    }
}

} // namespace

} // namespace host

int main() {
    unsigned char* begin = host::pages(host::whole_pages(host::SHARED_BYTES_MAX));
    host::shared_end = begin + host::whole_pages(host::SHARED_BYTES_MAX);
    host::launched = "(no launch)";
    host::serve();
}
