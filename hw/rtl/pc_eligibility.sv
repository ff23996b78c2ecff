// Whether one row may be found by one probe, by the facts of both (`eligible` in
// `src/ops/search.rs`): neither restricted nor vacant, a class in common, the group asked for, and
// the time within the row's validity.
//
// Level 1. Costs about 250 LUTs (two 64-bit comparisons, 64 ANDs, a 32-bit equality). Two clocks:
// the comparisons, then their conjunction.
`default_nettype none

module pc_eligibility (
    input  wire logic                                clk_i,
    input  wire logic        [pc_pkg::FACTS_BITS-1:0] facts_i,     // of the row
    input  wire logic        [                  63:0] class_i,     // of the probe, and all below
    input  wire logic        [                  31:0] group_i,
    input  wire logic                                 group_any_i,
    input  wire logic signed [                  63:0] now_i,
    output wire logic                                 eligible_o
);
  logic [63:0] row_class;
  logic signed [63:0] row_not_before, row_expiry;
  logic [31:0] row_group, row_flags;
  assign {row_flags, row_group, row_expiry, row_not_before, row_class} = facts_i;

  logic open_q, class_q, group_q, begun_q, valid_q, eligible_q;

  always_ff @(posedge clk_i) begin
    open_q     <= row_flags[1:0] == 2'b00;
    class_q    <= (row_class & class_i) != '0;
    group_q    <= group_any_i || group_i == row_group;
    begun_q    <= row_not_before <= now_i;
    valid_q    <= now_i < row_expiry;
    eligible_q <= open_q && class_q && group_q && begun_q && valid_q;
  end

  assign eligible_o = eligible_q;

  // Flags beyond restricted and vacant are not this engine's business (`ops::tile::Row`).
  logic unused;
  assign unused = &{1'b0, row_flags[31:2]};

`ifndef SYNTHESIS
  // What shuts a row off whatever the other side asks: its flags, no class, no time that is valid.
  bit shut_1_q, shut_2_q;
  always_ff @(posedge clk_i) begin
    shut_1_q <= row_flags[0] || row_flags[1] || row_class == '0 || class_i == '0
        || row_expiry <= row_not_before;
    shut_2_q <= shut_1_q;
    a_row_that_is_shut_is_never_eligible : assert (!(shut_2_q && eligible_q));
  end
`endif
endmodule

`default_nettype wire
