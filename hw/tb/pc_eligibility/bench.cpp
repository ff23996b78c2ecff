// The five sides of eligibility, each near its edge, two clocks later.
#include "Vpc_eligibility.h"
#include "bench.hpp"

int main(int argc, char** argv) {
    Bench<Vpc_eligibility> bench(argc, argv, 200'000);
    Random& random = bench.random;
    std::deque<bool> line;
    uint64_t found = 0;
    for (uint64_t i = 0; i < bench.rounds + 2; i++) {
        const auto now = static_cast<int64_t>(random.next());
        // Around now, far away, and across the sign.
        const auto time = [&] {
            const uint64_t kind = random.below(8);
            if (kind == 0) return static_cast<int64_t>(random.next());
            if (kind == 1) return INT64_MIN;
            if (kind == 2) return INT64_MAX;
            return static_cast<int64_t>(static_cast<uint64_t>(now) + random.below(3) - 1);
        };
        const int64_t not_before = time(), expiry = time();
        const uint64_t one = 1ull << random.below(64);
        const uint64_t row_class = random.chance(200) ? one : random.next();
        const uint64_t probe_class = random.chance(200) ? one << random.below(2) : random.next();
        const uint32_t group = random.word();
        const uint32_t asked = random.chance(200) ? group : group ^ (1u << random.below(32));
        const bool any = random.chance(60);
        const uint32_t flags = (random.word() & ~3u) | (random.chance(30) ? random.below(4) : 0);

        uint32_t* facts = &bench.top.facts_i[0];
        std::memcpy(facts, &row_class, 8);
        std::memcpy(facts + 2, &not_before, 8);
        std::memcpy(facts + 4, &expiry, 8);
        facts[6] = group;
        facts[7] = flags;
        bench.top.class_i = probe_class;
        bench.top.group_i = asked;
        bench.top.group_any_i = any;
        bench.top.now_i = static_cast<uint64_t>(now);
        line.push_back((flags & 3) == 0 && (row_class & probe_class) != 0 &&
                       (any || asked == group) && not_before <= now && now < expiry);
        bench.settle();
        if (line.size() == 3) {
            found += line.front();
            bench.equal(bool(bench.top.eligible_o), line.front(), "eligible");
            line.pop_front();
        }
        bench.edge();
    }
    bench.check(found > bench.rounds / 50, "hardly a row was eligible: the bench proves nothing");
    return bench.done("rows", bench.rounds);
}
