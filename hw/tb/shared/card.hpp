// A core on a bench: the register bus and both streams, one clock at a time, with stalls where
// asked. What stands around the core on a card's shell is here plain queues.
#pragma once

#include <functional>

#include "bench.hpp"

struct StreamBeat {
    Beat beat;
    bool last;
};

template <class Core> class Card {
  public:
    Core core;
    uint64_t clocks = 0;
    uint64_t last_taken_clock = 0;   // when the newest packet beat was taken
    uint64_t last_answer_clock = 0;  // when the newest answer was
    std::deque<StreamBeat> packets;  // wait to be sent
    std::vector<StreamBeat> answers;
    // Asked each clock: whether a packet beat is held back, and whether answers are not taken.
    std::function<bool()> idles = [] { return false; };
    std::function<bool()> presses = [] { return false; };

    Card() {
        core.clk_i = 0;
        core.rst_ni = 0;
        core.s_axil_awvalid_i = 0;
        core.s_axil_wvalid_i = 0;
        core.s_axil_bready_i = 1;
        core.s_axil_arvalid_i = 0;
        core.s_axil_rready_i = 1;
        for (int i = 0; i < 4; i++) {
            core.s_axis_tvalid_i = 0;
            core.m_axis_tready_i = 0;
            edge();
        }
        core.rst_ni = 1;
    }

    // One clock with both streams moving. Whether a beat moved.
    bool clock() {
        if (!offered && !packets.empty() && !idles()) offered = true;
        core.s_axis_tvalid_i = offered;
        if (offered) {
            beat_into(core.s_axis_tdata_i, packets.front().beat);
            core.s_axis_tlast_i = packets.front().last;
        }
        core.m_axis_tready_i = !presses();
        core.eval();
        const bool sent = offered && core.s_axis_tready_o;
        const bool got = core.m_axis_tvalid_o && core.m_axis_tready_i;
        watch();
        if (got) {
            answers.push_back({beat_from(core.m_axis_tdata_o), core.m_axis_tlast_o != 0});
            last_answer_clock = clocks;
        }
        if (sent) {
            packets.pop_front();
            offered = false;
            last_taken_clock = clocks;
        }
        edge();
        return sent || got;
    }

    // Forgets what waits to be sent, as a shell does when the core is reset.
    void drop_packets() {
        packets.clear();
        offered = false;
        is_watched = false;
    }

    // Whether the core took it.
    bool write(uint32_t address, uint32_t word, uint32_t strobe = 15) {
        // RESET alone may withdraw an answer.
        const bool resets = address == 0x010 && (word & 4) != 0;
        core.s_axil_awaddr_i = address;
        core.s_axil_awvalid_i = 1;
        core.s_axil_wdata_i = word;
        core.s_axil_wstrb_i = strobe;
        core.s_axil_wvalid_i = 1;
        for (;;) {
            core.eval();
            const bool aw = core.s_axil_awready_o, w = core.s_axil_wready_o;
            const bool answered = core.s_axil_bvalid_o;
            const bool refused = core.s_axil_bresp_o != 0;
            clock();
            if (resets) is_watched = false;
            if (aw) core.s_axil_awvalid_i = 0;
            if (w) core.s_axil_wvalid_i = 0;
            if (answered) return !refused;
        }
    }

    struct Read {
        uint32_t word;
        bool taken;
    };

    Read read(uint32_t address) {
        core.s_axil_araddr_i = address;
        core.s_axil_arvalid_i = 1;
        for (;;) {
            core.eval();
            const bool ar = core.s_axil_arready_o, answered = core.s_axil_rvalid_o;
            const Read held{core.s_axil_rdata_o, core.s_axil_rresp_o == 0};
            clock();
            if (ar) core.s_axil_arvalid_i = 0;
            if (answered) return held;
        }
    }

    bool is_busy() { return (read(0x014).word & 1) != 0; }

    // Whether an answer that was offered and not taken ever changed.
    bool is_handshake_kept() const { return handshake_kept; }

  private:
    void edge() {
        core.clk_i = 1;
        core.eval();
        core.clk_i = 0;
        core.eval();
        clocks++;
    }

    void watch() {
        const StreamBeat now{beat_from(core.m_axis_tdata_o), core.m_axis_tlast_o != 0};
        if (is_watched)
            handshake_kept = handshake_kept && core.m_axis_tvalid_o && now.last == watched.last &&
                             now.beat == watched.beat;
        is_watched = core.m_axis_tvalid_o && !core.m_axis_tready_i;
        watched = now;
    }

    bool offered = false;
    bool is_watched = false, handshake_kept = true;
    StreamBeat watched{};
};
