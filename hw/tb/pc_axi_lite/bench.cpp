// Writes and reads with every channel stalling on its own: each is answered once, in order, with
// what the registers said; an answer that is offered stays.
#include "Vpc_axi_lite.h"
#include "bench.hpp"

namespace {
// What the registers behind the bus say; refuses some addresses.
bool is_refused(uint32_t address) { return (address * 2654435761u >> 28) < 4; }

struct Access {
    uint32_t address, word, strobe;
};

// One channel that the bench drives.
struct Channel {
    Channel(Random& random) : idle(random) {}
    Stall idle;
    uint64_t sent = 0;
    bool offered = false;
};
}  // namespace

int main(int argc, char** argv) {
    Bench<Vpc_axi_lite> bench(argc, argv, 40'000);
    Vpc_axi_lite& top = bench.top;
    Random& random = bench.random;
    Channel aw(random), w(random), ar(random);
    Stall b_presses(random), r_presses(random);
    std::deque<Access> writes, reads;    // asked on the bus, not yet seen by the registers
    std::deque<bool> b_wanted;           // refused or not
    std::deque<std::pair<uint32_t, bool>> r_wanted;
    std::vector<Access> plan;
    uint64_t write_count = 0, read_count = 0;
    bool b_watched = false, r_watched = false;
    uint32_t b_shown = 0, r_shown = 0, r_shown_resp = 0;
    top.awvalid_i = top.wvalid_i = top.arvalid_i = top.bready_i = top.rready_i = 0;
    bench.reset();
    for (uint64_t i = 0; i < bench.rounds + 1; i++)
        plan.push_back({random.word() & 0xFFF, random.word(), random.word() & 15});
    uint32_t read_address = 0;

    while (write_count < bench.rounds || read_count < bench.rounds) {
        if (!aw.offered && aw.sent < bench.rounds && !aw.idle.waits()) aw.offered = true;
        if (!w.offered && w.sent < bench.rounds && !w.idle.waits()) w.offered = true;
        if (!ar.offered && ar.sent < bench.rounds && !ar.idle.waits()) {
            ar.offered = true;
            read_address = random.word() & 0xFFF;
        }
        top.awvalid_i = aw.offered;
        top.awaddr_i = aw.offered ? plan[aw.sent].address : random.word() & 0xFFF;
        top.wvalid_i = w.offered;
        top.wdata_i = w.offered ? plan[w.sent].word : random.word();
        top.wstrb_i = w.offered ? plan[w.sent].strobe : random.word() & 15;
        top.arvalid_i = ar.offered;
        top.araddr_i = ar.offered ? read_address : random.word() & 0xFFF;
        top.bready_i = !b_presses.waits();
        top.rready_i = !r_presses.waits();
        bench.settle();
        // The registers answer within the clock.
        top.write_refused_i = is_refused(top.write_address_o);
        top.read_refused_i = is_refused(top.read_address_o);
        top.read_word_i = top.read_address_o * 0x9E3779B1u;
        bench.settle();

        bench.check(!b_watched || (top.bvalid_o && top.bresp_o == b_shown),
                    "a write's answer was withdrawn or changed");
        bench.check(!r_watched || (top.rvalid_o && top.rdata_o == r_shown &&
                                   top.rresp_o == r_shown_resp),
                    "a read's answer was withdrawn or changed");
        b_watched = top.bvalid_o && !top.bready_i;
        b_shown = top.bresp_o;
        r_watched = top.rvalid_o && !top.rready_i;
        r_shown = top.rdata_o;
        r_shown_resp = top.rresp_o;
        if (top.bvalid_o && top.bready_i) {
            bench.check(!b_wanted.empty(), "an answer to no write");
            bench.equal(top.bresp_o == 2, b_wanted.front(), "the write's answer");
            b_wanted.pop_front();
            write_count++;
        }
        if (top.rvalid_o && top.rready_i) {
            bench.check(!r_wanted.empty(), "an answer to no read");
            bench.equal(uint32_t(top.rdata_o), r_wanted.front().first, "the word read");
            bench.equal(top.rresp_o == 2, r_wanted.front().second, "the read's answer");
            r_wanted.pop_front();
            read_count++;
        }
        if (top.write_o) {
            const Access& wanted = plan[writes.size() ? writes.front().address : 0];
            bench.check(!writes.empty(), "a write that was not asked");
            bench.equal(uint32_t(top.write_address_o), wanted.address, "the written address");
            bench.equal(uint32_t(top.write_word_o), wanted.word, "the written word");
            bench.equal(uint32_t(top.write_strobe_o), wanted.strobe, "the written bytes");
            b_wanted.push_back(is_refused(wanted.address));
            writes.pop_front();
        }
        if (top.read_o) {
            bench.check(!reads.empty(), "a read that was not asked");
            const uint32_t wanted = reads.front().address;
            bench.equal(uint32_t(top.read_address_o), wanted, "the read address");
            r_wanted.push_back({wanted * 0x9E3779B1u, is_refused(wanted)});
            reads.pop_front();
        }
        if (top.awvalid_i && top.awready_o) aw.offered = false, aw.sent++;
        if (top.wvalid_i && top.wready_o) w.offered = false, w.sent++;
        // A write is asked when both its halves were taken; `address` is its number in the plan.
        static uint64_t asked = 0;
        if (asked < std::min(aw.sent, w.sent)) writes.push_back({uint32_t(asked++), 0, 0});
        if (top.arvalid_i && top.arready_o) {
            reads.push_back({read_address, 0, 0});
            ar.offered = false;
            ar.sent++;
        }
        bench.edge();
    }
    return bench.done("writes and as many reads", write_count);
}
