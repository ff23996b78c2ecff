// The search engine: packets in, answers out, as `hw/PROTOCOL.md` says and `src/ops/search.rs`
// means.
//
//   packets ─► pc_stream_register ─► pc_parser ─┬─► pc_facts ──────────► eligible ─┐
//                                    (stage 0)  ├─► pc_norms ──────► norm ─┐       │
//                                               └─► pc_probe_memory ─► pc_dot_pair ─► pc_lane ×P
//   AXI4-Lite ─► pc_axi_lite ─► pc_registers        (2)                (7)     (10) │   (12)
//   answers ◄─────────────────────────────────────────────────── pc_results ◄───────┘
//
// Level 3. The pipeline takes a beat each clock and never stalls: a block is only begun when its
// answer has a place (`pc_results`), so back-pressure stops the parser and nothing else.
//
// Absent: clock crossings, memory controllers, the bus to the host; a card's shell brings them.
`default_nettype none

module pc_core #(
    // Probes resident, 1 to 16. Each: 64 int8 products (32 DSP48E2 packed) and a list.
    parameter int unsigned PROBES = 16,
    // Candidates kept per probe, a multiple of 8, at most 256. Each: 64 flip-flops and a
    // comparison, per probe.
    parameter int unsigned BEST = 16,
    // Beats of one probe (64 values each), 2 to 64. Each: 512 bits of memory per probe.
    parameter int unsigned PROBE_BEATS = 32,
    // Rows of one hot packet, a multiple of 32, at most 1,024. Each: a bit of memory per probe.
    parameter int unsigned TILE_ROWS = 1024,
    // Two products per multiplier; see `pc_quad`. 0 for parts with narrow multipliers.
    parameter bit PACKED = 1'b1,
    // Answers that wait for the reader, a power of two. Each: 513 bits of memory. Sixteen cover the
    // pipeline, so that blocks of a row each still pass without a bubble.
    parameter int unsigned ANSWERS = 16
) (
    input  wire logic                         clk_i,
    input  wire logic                         rst_ni,
    // Registers, AXI4-Lite.
    input  wire logic [                 11:0] s_axil_awaddr_i,
    input  wire logic                         s_axil_awvalid_i,
    output wire logic                         s_axil_awready_o,
    input  wire logic [                 31:0] s_axil_wdata_i,
    input  wire logic [                  3:0] s_axil_wstrb_i,
    input  wire logic                         s_axil_wvalid_i,
    output wire logic                         s_axil_wready_o,
    output wire logic [                  1:0] s_axil_bresp_o,
    output wire logic                         s_axil_bvalid_o,
    input  wire logic                         s_axil_bready_i,
    input  wire logic [                 11:0] s_axil_araddr_i,
    input  wire logic                         s_axil_arvalid_i,
    output wire logic                         s_axil_arready_o,
    output wire logic [                 31:0] s_axil_rdata_o,
    output wire logic [                  1:0] s_axil_rresp_o,
    output wire logic                         s_axil_rvalid_o,
    input  wire logic                         s_axil_rready_i,
    // Packets, AXI4-Stream.
    input  wire logic [pc_pkg::BEAT_BITS-1:0] s_axis_tdata_i,
    input  wire logic                         s_axis_tlast_i,
    input  wire logic                         s_axis_tvalid_i,
    output wire logic                         s_axis_tready_o,
    // Answers, AXI4-Stream.
    output wire logic [pc_pkg::BEAT_BITS-1:0] m_axis_tdata_o,
    output wire logic                         m_axis_tlast_o,
    output wire logic                         m_axis_tvalid_o,
    input  wire logic                         m_axis_tready_i
);
  localparam int unsigned PAIRS = (PROBES + 1) / 2;
  localparam int unsigned BEAT_ADDRESS_BITS = $clog2(PROBE_BEATS);
  localparam int unsigned STAGES = pc_pkg::STAGE_VERDICT + 3;  // until the list is settled

  // Registers.
  logic write, write_refused, read, read_refused;
  logic [11:0] write_address, read_address;
  logic [31:0] write_word, read_word;
  logic [3:0] write_strobe;
  logic abandon, clear, wiping, busy, beat_taken, beat_stalled;
  logic [pc_pkg::FAULTS_COUNT-1:0] faults;
  logic [pc_pkg::ERRORS_COUNT-1:0] errors;
  logic [7:0] hot_beats, cold_beats;
  logic [PROBES-1:0] active, group_any, store;
  logic [32*PROBES-1:0] threshold, group;
  logic [16*PROBES-1:0] norm;
  logic [64*PROBES-1:0] class_bits, now;
  logic [BEAT_ADDRESS_BITS-1:0] store_beat;
  logic [pc_pkg::BEAT_BITS-1:0] store_values;

  pc_axi_lite #(
      .ADDRESS_BITS(12)
  ) i_axi_lite (
      .clk_i,
      .rst_ni,
      .awaddr_i       (s_axil_awaddr_i),
      .awvalid_i      (s_axil_awvalid_i),
      .awready_o      (s_axil_awready_o),
      .wdata_i        (s_axil_wdata_i),
      .wstrb_i        (s_axil_wstrb_i),
      .wvalid_i       (s_axil_wvalid_i),
      .wready_o       (s_axil_wready_o),
      .bresp_o        (s_axil_bresp_o),
      .bvalid_o       (s_axil_bvalid_o),
      .bready_i       (s_axil_bready_i),
      .araddr_i       (s_axil_araddr_i),
      .arvalid_i      (s_axil_arvalid_i),
      .arready_o      (s_axil_arready_o),
      .rdata_o        (s_axil_rdata_o),
      .rresp_o        (s_axil_rresp_o),
      .rvalid_o       (s_axil_rvalid_o),
      .rready_i       (s_axil_rready_i),
      .write_o        (write),
      .write_address_o(write_address),
      .write_word_o   (write_word),
      .write_strobe_o (write_strobe),
      .write_refused_i(write_refused),
      .read_o         (read),
      .read_address_o (read_address),
      .read_word_i    (read_word),
      .read_refused_i (read_refused)
  );

  pc_registers #(
      .PROBES     (PROBES),
      .BEST       (BEST),
      .PROBE_BEATS(PROBE_BEATS),
      .TILE_ROWS  (TILE_ROWS)
  ) i_registers (
      .clk_i,
      .rst_ni,
      .write_i        (write),
      .write_address_i(write_address),
      .write_word_i   (write_word),
      .write_strobe_i (write_strobe),
      .write_refused_o(write_refused),
      .read_i         (read),
      .read_address_i (read_address),
      .read_word_o    (read_word),
      .read_refused_o (read_refused),
      .busy_i         (busy),
      .beat_taken_i   (beat_taken),
      .beat_stalled_i (beat_stalled),
      .faults_i       (faults),
      .abandon_o      (abandon),
      .clear_o        (clear),
      .wiping_o       (wiping),
      .errors_o       (errors),
      .hot_beats_o    (hot_beats),
      .cold_beats_o   (cold_beats),
      .active_o       (active),
      .threshold_o    (threshold),
      .norm_o         (norm),
      .class_o        (class_bits),
      .group_o        (group),
      .group_any_o    (group_any),
      .now_o          (now),
      .store_o        (store),
      .store_beat_o   (store_beat),
      .store_values_o (store_values)
  );

  // Everything on the packets' way begins anew when a search is abandoned. A reset of thousands of
  // flip-flops comes itself from one, so it ends a clock after the core's own; the door is closed
  // until then.
  logic rst_way_n;
  assign rst_way_n = !abandon;

  // Packets.
  logic [pc_pkg::BEAT_BITS-1:0] packet_beat;
  logic packet_last, packet_valid, packet_ready, door_ready;
  assign s_axis_tready_o = door_ready && !abandon;
  assign beat_taken      = s_axis_tvalid_i && s_axis_tready_o;
  assign beat_stalled    = s_axis_tvalid_i && !s_axis_tready_o;

  pc_stream_register #(
      .WIDTH(pc_pkg::BEAT_BITS + 1)
  ) i_door (
      .clk_i,
      .rst_ni (rst_way_n),
      .beat_i ({s_axis_tlast_i, s_axis_tdata_i}),
      .valid_i(s_axis_tvalid_i),
      .ready_o(door_ready),
      .beat_o ({packet_last, packet_beat}),
      .valid_o(packet_valid),
      .ready_i(packet_ready)
  );

  // Stage 0.
  pc_pkg::op_t op;
  pc_pkg::tag_t tag;
  logic [pc_pkg::BEAT_BITS-1:0] beat;
  logic [BEAT_ADDRESS_BITS-1:0] probe_beat;
  logic [PROBES-1:0] all, each;
  logic room, room_take, finished, parser_busy;

  pc_parser #(
      .PROBES     (PROBES),
      .PROBE_BEATS(PROBE_BEATS),
      .TILE_ROWS  (TILE_ROWS)
  ) i_parser (
      .clk_i,
      .rst_ni      (rst_way_n),
      .clear_i     (clear),
      .hold_i      (wiping),
      .hot_beats_i (hot_beats),
      .cold_beats_i(cold_beats),
      .active_i    (active),
      .beat_i      (packet_beat),
      .last_i      (packet_last),
      .valid_i     (packet_valid),
      .ready_o     (packet_ready),
      .room_i      (room),
      .room_take_o (room_take),
      .finished_i  (finished),
      .op_o        (op),
      .tag_o       (tag),
      .beat_o      (beat),
      .probe_beat_o(probe_beat),
      .all_o       (all),
      .each_o      (each),
      .busy_o      (parser_busy),
      .faults_o    (faults)
  );

  // What the stages know of the beat.
  logic first_sum;
  pc_pkg::op_t op_verdict;
  pc_pkg::tag_t tag_verdict;
  pc_delay #(
      .WIDTH (1),
      .STAGES(pc_pkg::STAGE_SUM)
  ) i_first (
      .clk_i,
      .rst_ni (rst_way_n),
      .value_i(tag.first),
      .value_o(first_sum)
  );
  pc_delay #(
      .WIDTH ($bits(op) + $bits(tag)),
      .STAGES(pc_pkg::STAGE_VERDICT)
  ) i_tag (
      .clk_i,
      .rst_ni (rst_way_n),
      .value_i({op, tag}),
      .value_o({op_verdict, tag_verdict})
  );

  logic [STAGES-1:0] under_way_q;
  always_ff @(posedge clk_i) begin
    under_way_q <= rst_way_n ? {under_way_q[STAGES-2:0], op != pc_pkg::OP_NONE} : '0;
  end

  // Eligibility and the row's norm.
  logic [PROBES-1:0] eligible_early, eligible;
  logic [15:0] row_norm;
  pc_facts #(
      .PROBES   (PROBES),
      .TILE_ROWS(TILE_ROWS)
  ) i_facts (
      .clk_i,
      .rst_ni     (rst_way_n),
      .op_i       (op),
      .row_i      (tag.row),
      .beat_i     (beat),
      .all_i      (all),
      .each_i     (each),
      .class_i    (class_bits),
      .group_i    (group),
      .group_any_i(group_any),
      .now_i      (now),
      .eligible_o (eligible_early)
  );
  pc_delay #(
      .WIDTH (PROBES),
      .STAGES(pc_pkg::STAGE_VERDICT - pc_pkg::STAGE_ELIGIBLE)
  ) i_eligible (
      .clk_i,
      .rst_ni (rst_way_n),
      .value_i(eligible_early),
      .value_o(eligible)
  );
  pc_norms i_norms (
      .clk_i,
      .rst_ni(rst_way_n),
      .op_i  (op),
      .last_i(tag.last),
      .beat_i(beat),
      .norm_o(row_norm)
  );

  // The row's values, beside the probes' at stage 2. Only values: facts and norms are not
  // multiplied.
  logic [pc_pkg::BEAT_BITS-1:0] row_values;
  pc_delay #(
      .WIDTH (pc_pkg::BEAT_BITS),
      .STAGES(pc_pkg::STAGE_OPERANDS)
  ) i_row_values (
      .clk_i,
      .rst_ni (rst_way_n),
      .value_i(op == pc_pkg::OP_VALUES ? beat : '0),
      .value_o(row_values)
  );

  // Probes, two by two.
  logic rotate;
  logic [pc_pkg::BEAT_BITS*PROBES-1:0] heads;
  logic [32*PROBES-1:0] survivors;
  logic [128*PROBES-1:0] counters;

  for (genvar d = 0; d < PAIRS; d++) begin : gen_pair
    logic [2*pc_pkg::BEAT_BITS-1:0] values;  // of the first probe below, of the second above
    logic [43:0] sums;

    for (genvar s = 0; s < 2; s++) begin : gen_side
      localparam int unsigned PROBE = 2 * d + s;
      if (PROBE < PROBES) begin : gen_probe
        logic [pc_pkg::BEAT_BITS-1:0] stored, values_q;
        pc_probe_memory #(
            .BEATS(PROBE_BEATS)
        ) i_memory (
            .clk_i,
            .write_i     (store[PROBE]),
            .write_beat_i(store_beat),
            .values_i    (store_values),
            .read_beat_i (probe_beat),
            .values_o    (stored)
        );
        always_ff @(posedge clk_i) values_q <= stored;
        assign values[pc_pkg::BEAT_BITS*s+:pc_pkg::BEAT_BITS] = values_q;

        pc_lane #(
            .BEST(BEST)
        ) i_lane (
            .clk_i,
            .rst_ni      (rst_way_n),
            .clear_i     (clear),
            .clear_list_i(wiping),
            .active_i    (active[PROBE]),
            .threshold_i (threshold[32*PROBE+:32]),
            .norm_i      (norm[16*PROBE+:16]),
            .row_norm_i  (row_norm),
            .sum_i       (sums[22*s+:22]),
            .first_i     (first_sum),
            .op_i        (op_verdict),
            .tag_i       (tag_verdict),
            .eligible_i  (eligible[PROBE]),
            .rotate_i    (rotate),
            .chain_i     (heads[pc_pkg::BEAT_BITS*((PROBE+1)%PROBES)+:pc_pkg::BEAT_BITS]),
            .head_o      (heads[pc_pkg::BEAT_BITS*PROBE+:pc_pkg::BEAT_BITS]),
            .survivors_o (survivors[32*PROBE+:32]),
            .counters_o  (counters[128*PROBE+:128])
        );
      end else begin : gen_none
        // An odd number of probes: the last pair has one.
        assign values[pc_pkg::BEAT_BITS*s+:pc_pkg::BEAT_BITS] = '0;
        logic unused;
        assign unused = &{1'b0, sums[22*s+:22]};
      end
    end

    pc_dot_pair #(
        .PACKED(PACKED)
    ) i_dots (
        .clk_i,
        .row_i  (row_values),
        .a_i    (values[pc_pkg::BEAT_BITS-1:0]),
        .b_i    (values[2*pc_pkg::BEAT_BITS-1:pc_pkg::BEAT_BITS]),
        .sum_a_o(sums[21:0]),
        .sum_b_o(sums[43:22])
    );
  end

  // Answers.
  logic results_busy;
  pc_results #(
      .PROBES(PROBES),
      .BEST  (BEST),
      .DEPTH (ANSWERS)
  ) i_results (
      .clk_i,
      .rst_ni     (rst_way_n),
      .clear_i    (clear),
      .room_o     (room),
      .room_take_i(room_take),
      .op_i       (op_verdict),
      .tag_i      (tag_verdict),
      .survivors_i(survivors),
      .counters_i (counters),
      .errors_i   (errors),
      .head_i     (heads[pc_pkg::BEAT_BITS-1:0]),
      .rotate_o   (rotate),
      .finished_o (finished),
      .busy_o     (results_busy),
      .beat_o     (m_axis_tdata_o),
      .last_o     (m_axis_tlast_o),
      .valid_o    (m_axis_tvalid_o),
      .ready_i    (m_axis_tready_i)
  );

  // From a flip-flop, as every write asks it. It falls a clock late, and never rises late: what is
  // busy in the next clock is so now, or is the beat that is now taken.
  logic busy_q;
  always_ff @(posedge clk_i) begin
    busy_q <= rst_way_n && (beat_taken || packet_valid || parser_busy || op != pc_pkg::OP_NONE
        || under_way_q != '0 || results_busy);
  end
  assign busy = busy_q;

`ifndef SYNTHESIS
  // The newest cold row that came to its verdict since CLEAR. A packet that comes in the very clock
  // of a CLEAR is neither before it nor after: its order is not looked at.
  bit cold_seen_q, is_apart_q;
  logic [31:0] cold_row_q;
  logic is_cold_row, is_at_rest;
  assign is_cold_row = op_verdict == pc_pkg::OP_VALUES && tag_verdict.last && tag_verdict.is_cold;
  assign is_at_rest  = op == pc_pkg::OP_NONE && under_way_q == '0;
  always_ff @(posedge clk_i) begin
    if (is_cold_row) cold_row_q <= tag_verdict.row;
    if (!rst_way_n || clear) begin
      cold_seen_q <= 1'b0;
      is_apart_q  <= !rst_way_n || !packet_valid;
    end else if (is_cold_row) begin
      cold_seen_q <= 1'b1;
    end
    if (rst_way_n) begin
      busy_never_rises_late :
      assert (busy || (is_at_rest && !packet_valid && !parser_busy && !results_busy));
      nothing_changes_under_a_beat : assert (is_at_rest || (store == '0 && !clear));
      values_meet_a_beat_of_the_probe :
      assert (op != pc_pkg::OP_VALUES || 32'(probe_beat) < PROBE_BEATS);
      cold_rows_ascend :
      assert (!is_cold_row || !cold_seen_q || !is_apart_q || tag_verdict.row > cold_row_q);
    end
  end
`endif
endmodule

`default_nettype wire
