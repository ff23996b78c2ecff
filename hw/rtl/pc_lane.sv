// One probe's side of a row: its score, the bound, the verdict, the counters, the list and the
// survivors of the block. Each line of the op in `src/ops/search.rs` stands here once.
//
// Level 2 (pc_top_k). Costs a 16 × 16 bit multiplier for the bound, about 400 flip-flops and the
// list. Takes the beat's sum at stage 7; verdict at stage 10; block and counters at stage 11; list
// at stage 12.
`default_nettype none

module pc_lane #(
    parameter int unsigned BEST = 16  // candidates kept, a multiple of 8
) (
    input  wire logic               clk_i,
    input  wire logic               rst_ni,
    input  wire logic               clear_i,       // counters and list to their start
    input  wire logic               clear_list_i,
    // The probe.
    input  wire logic               active_i,
    input  wire logic signed [31:0] threshold_i,
    input  wire logic        [15:0] norm_i,
    // Stage 6: the row's norm.
    input  wire logic        [15:0] row_norm_i,
    // Stage 7: the beat.
    input  wire logic signed [21:0] sum_i,
    input  wire logic               first_i,       // of a row
    // Stage 10: the row.
    input  wire pc_pkg::op_t        op_i,
    input  wire pc_pkg::tag_t       tag_i,
    input  wire logic               eligible_i,    // hot: may be found; cold: is wanted
    // The ring of lists.
    input  wire logic               rotate_i,
    input  wire logic [pc_pkg::BEAT_BITS-1:0] chain_i,
    output wire logic [pc_pkg::BEAT_BITS-1:0] head_o,
    // Stage 11 and later.
    output wire logic [       31:0] survivors_o,
    output wire logic [      127:0] counters_o     // ineligible, pruned, rescored, accepted
);
  // Stage 8: 64 beats of |2^20| are at most 2^26; the product of the norms is not yet added.
  logic signed [27:0] score_8_q, score_9_q;
  logic [31:0] product_7_q, product_8_q;
  // Stage 9: what the whole score can be at most. Exact: below 2^32 + 2^26.
  logic signed [33:0] most_9_q;
  // Stage 10.
  logic is_below_q, reaches_q;
  logic signed [27:0] score_10_q;

  always_ff @(posedge clk_i) begin
    product_7_q <= 32'(norm_i) * 32'(row_norm_i);
    product_8_q <= product_7_q;
    score_8_q   <= (first_i ? 28'sd0 : score_8_q) + 28'(sum_i);
    most_9_q    <= 34'(score_8_q) + $signed({2'b00, product_8_q});
    score_9_q   <= score_8_q;
    is_below_q  <= most_9_q < 34'(threshold_i);
    reaches_q   <= 32'(score_9_q) >= threshold_i;
    score_10_q  <= score_9_q;
  end

  logic is_seen_hot, is_seen_cold;
  assign is_seen_hot  = active_i && op_i == pc_pkg::OP_VALUES && tag_i.last && !tag_i.is_cold;
  assign is_seen_cold = active_i && op_i == pc_pkg::OP_VALUES && tag_i.last && tag_i.is_cold;

  logic is_ineligible, is_pruned, is_survivor, is_rescored, is_accepted;
  assign is_ineligible = is_seen_hot && !eligible_i;
  assign is_pruned     = is_seen_hot && eligible_i && is_below_q;
  assign is_survivor   = is_seen_hot && eligible_i && !is_below_q;
  assign is_rescored   = is_seen_cold && eligible_i;
  assign is_accepted   = is_seen_cold && eligible_i && reaches_q;

  logic [31:0] ineligible_q, pruned_q, rescored_q, accepted_q, survivors_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      ineligible_q <= '0;
      pruned_q     <= '0;
      rescored_q   <= '0;
      accepted_q   <= '0;
    end else begin
      ineligible_q <= ineligible_q + 32'(is_ineligible);
      pruned_q     <= pruned_q + 32'(is_pruned);
      rescored_q   <= rescored_q + 32'(is_rescored);
      accepted_q   <= accepted_q + 32'(is_accepted);
    end
    if (!rst_ni || op_i == pc_pkg::OP_NORMS) survivors_q <= '0;
    else if (is_survivor) survivors_q[tag_i.row[4:0]] <= 1'b1;
  end

  pc_top_k #(
      .K(BEST)
  ) i_best (
      .clk_i,
      .rst_ni,
      .clear_i (clear_i || clear_list_i),
      .insert_i(is_accepted),
      .score_i (32'(score_10_q)),
      .row_i   (tag_i.row),
      .rotate_i,
      .chain_i,
      .head_o
  );

  assign survivors_o = survivors_q;
  assign counters_o  = {accepted_q, rescored_q, pruned_q, ineligible_q};

  // The rest of a row's tag is the results' business.
  logic unused;
  assign unused = &{1'b0, tag_i.first, tag_i.block_end, tag_i.packet_end};

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      a_hot_row_has_one_verdict :
      assert (2'(is_ineligible) + 2'(is_pruned) + 2'(is_survivor) == 2'(is_seen_hot));
      no_bound_is_below_the_score : assert (!(is_below_q && reaches_q));
      a_score_is_that_of_64_beats_at_most :
      assert (!(is_seen_hot || is_seen_cold)
          || (score_10_q >= -28'sd67108864 && score_10_q <= 28'sd67108864));
      only_rescored_rows_are_accepted : assert (accepted_q <= rescored_q);
    end
  end
`endif
endmodule

`default_nettype wire
