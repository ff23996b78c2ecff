// The norm of a row's cold values: keeps a block's 32 norms and hands them out row by row.
//
// Level 2 (pc_delay). Costs 512 flip-flops and some. Stage 0 to stage STAGE_SUM − 1, so that its
// product with a probe's norm meets the row's score.
// Invariant: the norms of a block come before its rows and are all used or thrown away.
`default_nettype none

module pc_norms (
    input  wire logic                         clk_i,
    input  wire logic                         rst_ni,
    // Stage 0.
    input  wire pc_pkg::op_t                  op_i,
    input  wire logic                         last_i,  // last beat of a row
    input  wire logic [pc_pkg::BEAT_BITS-1:0] beat_i,
    // Stage STAGE_SUM − 1.
    output wire logic [                 15:0] norm_o
);
  logic [pc_pkg::BEAT_BITS-1:0] norms_q;  // stage 1; the next row's in the low bits
  logic row_ends_q;  // stage 1

  always_ff @(posedge clk_i) begin
    row_ends_q <= rst_ni && op_i == pc_pkg::OP_VALUES && last_i;
    if (!rst_ni) norms_q <= '0;
    else if (op_i == pc_pkg::OP_NORMS) norms_q <= beat_i;
    else if (row_ends_q) norms_q <= {16'd0, norms_q[pc_pkg::BEAT_BITS-1:16]};
  end

  pc_delay #(
      .WIDTH (16),
      .STAGES(pc_pkg::STAGE_SUM - 2)
  ) i_norm (
      .clk_i,
      .rst_ni,
      .value_i(norms_q[15:0]),
      .value_o(norm_o)
  );

`ifndef SYNTHESIS
  // Norms that no row has used yet.
  bit [5:0] left_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) left_q <= '0;
    else if (op_i == pc_pkg::OP_NORMS) left_q <= 6'd32;
    else if (row_ends_q && left_q != '0) left_q <= left_q - 6'd1;
    if (rst_ni) used_norms_are_gone : assert (left_q != '0 || norms_q == '0);
  end
`endif
endmodule

`default_nettype wire
