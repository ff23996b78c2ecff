// Keeps up to DEPTH beats in their order. A beat passes each clock, in and out, at any fill.
//
// Level 1. Costs WIDTH · DEPTH bits of memory in LUTs and some 4 · log2 DEPTH flip-flops.
// Absent: any count for others to see; who may write is counted where it is decided (`pc_results`).
`default_nettype none

module pc_stream_fifo #(
    parameter int unsigned WIDTH = 8,  // bits of a beat
    parameter int unsigned DEPTH = 16  // beats, a power of two, 2 and more
) (
    input  wire logic             clk_i,
    input  wire logic             rst_ni,
    input  wire logic [WIDTH-1:0] beat_i,
    input  wire logic             valid_i,
    output wire logic             ready_o,
    output wire logic [WIDTH-1:0] beat_o,
    output wire logic             valid_o,
    input  wire logic             ready_i
`ifdef FORMAL
    ,output wire logic [$clog2(DEPTH):0] f_held_o  // beats held, for proofs of whoever uses it
`endif
);
  localparam int unsigned PLACE_BITS = $clog2(DEPTH);

  logic [WIDTH-1:0] places [0:DEPTH-1];
  // One bit more than a place needs tells full from empty.
  logic [PLACE_BITS:0] written_q, read_q;
  logic push, pop;

  assign ready_o = written_q != {~read_q[PLACE_BITS], read_q[PLACE_BITS-1:0]};
  assign valid_o = written_q != read_q;
  assign beat_o  = places[read_q[PLACE_BITS-1:0]];
  assign push    = valid_i && ready_o;
  assign pop     = valid_o && ready_i;

  always_ff @(posedge clk_i) begin
    if (push) places[written_q[PLACE_BITS-1:0]] <= beat_i;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      written_q <= '0;
      read_q    <= '0;
    end else begin
      if (push) written_q <= written_q + 1'b1;
      if (pop) read_q <= read_q + 1'b1;
    end
  end

`ifndef SYNTHESIS
  logic [PLACE_BITS:0] held;
  assign held = written_q - read_q;
`ifdef FORMAL
  assign f_held_o = held;
`endif
  always_ff @(posedge clk_i) begin
    if (rst_ni) never_more_than_depth : assert (held <= (PLACE_BITS + 1)'(DEPTH));
  end
`endif
`ifdef FORMAL
`include "pc_stream_fifo_proof.svh"
`endif
endmodule

`default_nettype wire
