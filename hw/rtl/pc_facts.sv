// Which probes may find a row: reads facts beats (two rows each), keeps one bit per row and probe
// for the packet under way, and tells them with the last beat of the row.
//
// Level 2 (pc_eligibility, pc_delay). Costs 2 · PROBES comparisons of facts and TILE_ROWS · PROBES
// bits of memory. Stage 0 to stage 3.
// Invariant: bits are written and read at the same stage, so that a row meets the facts that came
// before it, and those of the next packet come after it.
`default_nettype none

module pc_facts #(
    parameter int unsigned PROBES = 16,  // probes resident
    parameter int unsigned TILE_ROWS = 1024  // rows of one hot packet, a multiple of 32
) (
    input  wire logic                         clk_i,
    input  wire logic                         rst_ni,
    // Stage 0.
    input  wire pc_pkg::op_t                  op_i,
    input  wire logic [                 31:0] row_i,       // row of the tile
    input  wire logic [pc_pkg::BEAT_BITS-1:0] beat_i,
    input  wire logic [           PROBES-1:0] all_i,
    input  wire logic [           PROBES-1:0] each_i,
    // The probes' facts.
    input  wire logic [        64*PROBES-1:0] class_i,
    input  wire logic [        32*PROBES-1:0] group_i,
    input  wire logic [           PROBES-1:0] group_any_i,
    input  wire logic [        64*PROBES-1:0] now_i,
    // Stage 3.
    output wire logic [           PROBES-1:0] eligible_o
);
  localparam int unsigned PAIR_BITS = $clog2(TILE_ROWS / 2);

  logic [2*PROBES-1:0] eligible;  // stage 2: of the beat's first row below, of its second above
  for (genvar p = 0; p < PROBES; p++) begin : gen_probe
    for (genvar r = 0; r < 2; r++) begin : gen_row
      pc_eligibility i_eligibility (
          .clk_i,
          .facts_i    (beat_i[pc_pkg::FACTS_BITS*r+:pc_pkg::FACTS_BITS]),
          .class_i    (class_i[64*p+:64]),
          .group_i    (group_i[32*p+:32]),
          .group_any_i(group_any_i[p]),
          .now_i      (now_i[64*p+:64]),
          .eligible_o (eligible[PROBES*r+p])
      );
    end
  end

  logic is_facts;  // stage 2
  logic [PAIR_BITS:0] row;  // stage 2
  pc_delay #(
      .WIDTH (PAIR_BITS + 2),
      .STAGES(2)
  ) i_row (
      .clk_i,
      .rst_ni,
      .value_i({op_i == pc_pkg::OP_FACTS, row_i[PAIR_BITS:0]}),
      .value_o({is_facts, row})
  );

  // Too deep for memory in LUTs.
  (* ram_style = "block" *) logic [2*PROBES-1:0] pairs[0:TILE_ROWS/2-1];
  logic [2*PROBES-1:0] pair_q;
  logic is_second_q;
  always_ff @(posedge clk_i) begin
    if (is_facts) pairs[row[PAIR_BITS:1]] <= eligible;
    pair_q      <= pairs[row[PAIR_BITS:1]];
    is_second_q <= row[0];
  end

  logic [PROBES-1:0] all, each;  // stage 3
  pc_delay #(
      .WIDTH (2 * PROBES),
      .STAGES(pc_pkg::STAGE_ELIGIBLE)
  ) i_masks (
      .clk_i,
      .rst_ni,
      .value_i({all_i, each_i}),
      .value_o({all, each})
  );

  assign eligible_o = all
      | (each & (is_second_q ? pair_q[2*PROBES-1:PROBES] : pair_q[PROBES-1:0]));

  // A tile has few rows.
  logic unused;
  assign unused = &{1'b0, row_i[31:PAIR_BITS+1]};

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      facts_are_of_two_rows_of_the_tile :
      assert (op_i != pc_pkg::OP_FACTS || (row_i < 32'(TILE_ROWS) && !row_i[0]));
      a_probe_that_did_not_ask_finds_nothing : assert ((eligible_o & ~(all | each)) == '0);
    end
  end
`endif
endmodule

`default_nettype wire
