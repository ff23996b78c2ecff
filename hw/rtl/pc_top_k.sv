// The best K candidates of one probe: score descending, and among equal scores the one that came
// first stays ahead. As rows come in ascending order that is the order of `src/ops/search.rs`.
//
// Level 1. Costs per place 64 flip-flops, one signed comparison and a three-way choice. Two clocks
// per candidate: hold it against every place, then move what stands below it down by one. So
// candidates are at least two clocks apart, which the packets guarantee: a row has a header and a
// beat of values.
//
// Reading: the first eight places stand at `head_o`; `rotate_i` moves all up by eight and takes
// `chain_i` in at the end. The lists of all probes form one ring, so that a list that was read to
// its end is whole again.
//
// Invariant (proved): sorted, stable, and nothing is lost but what K better ones displaced.
`default_nettype none

module pc_top_k #(
    parameter int unsigned K = 16,  // places, a multiple of 8
    parameter int unsigned SCORE_BITS = 32,  // bits; fewer only in the proof
    parameter int unsigned ROW_BITS = 32  // bits; fewer only in the proof
) (
    input  wire logic                                   clk_i,
    input  wire logic                                   rst_ni,
    input  wire logic                                   clear_i,
    input  wire logic                                   insert_i,
    input  wire logic signed [          SCORE_BITS-1:0] score_i,
    input  wire logic        [            ROW_BITS-1:0] row_i,
    input  wire logic                                   rotate_i,
    input  wire logic        [8*(ROW_BITS+SCORE_BITS)-1:0] chain_i,
    output wire logic        [8*(ROW_BITS+SCORE_BITS)-1:0] head_o
);
  localparam int unsigned BITS = ROW_BITS + SCORE_BITS;
  localparam logic [BITS-1:0] EMPTY = {{ROW_BITS{1'b1}}, 1'b1, {SCORE_BITS - 1{1'b0}}};

  logic [BITS*K-1:0] places_q, places_rotated;
  logic [K-1:0] stays_q;  // the place is at least as good as the waiting candidate
  logic waiting_q;
  logic [BITS-1:0] candidate_q;

  if (K == 8) begin : gen_one_head
    assign places_rotated = chain_i;
  end else begin : gen_many_heads
    assign places_rotated = {chain_i, places_q[BITS*K-1:8*BITS]};
  end

  for (genvar k = 0; k < K; k++) begin : gen_place
    logic signed [SCORE_BITS-1:0] score;
    logic [BITS-1:0] above;
    logic enters;
    assign score = places_q[BITS*k+:SCORE_BITS];
    if (k == 0) begin : gen_first
      assign enters = 1'b1;
      assign above  = candidate_q;
    end else begin : gen_next
      assign enters = stays_q[k-1];
      assign above  = places_q[BITS*(k-1)+:BITS];
    end
    always_ff @(posedge clk_i) begin
      stays_q[k] <= score >= score_i;
      if (!rst_ni || clear_i) places_q[BITS*k+:BITS] <= EMPTY;
      else if (rotate_i) places_q[BITS*k+:BITS] <= places_rotated[BITS*k+:BITS];
      else if (waiting_q && !stays_q[k]) places_q[BITS*k+:BITS] <= enters ? candidate_q : above;
    end
  end

  always_ff @(posedge clk_i) begin
    waiting_q   <= rst_ni && !clear_i && insert_i;
    candidate_q <= {row_i, score_i};
  end

  assign head_o = places_q[8*BITS-1:0];

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      candidates_are_two_clocks_apart : assert (!(waiting_q && insert_i));
      a_candidate_never_meets_reading : assert (!(rotate_i && (waiting_q || insert_i)));
    end
  end
`endif
`ifdef FORMAL
`include "pc_top_k_proof.svh"
`endif
endmodule

`default_nettype wire
