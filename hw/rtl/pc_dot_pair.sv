// One beat of a row against the same beat of two probes: Σ over 64 int8 values of row·a and of
// row·b.
//
// Level 2 (pc_quad). Costs 64 multipliers packed, 128 single (see `pc_quad`), and two trees of 18
// to 22 bit adders. Five clocks from operands to sums: factors, products, sums of 4, of 16, of 64.
`default_nettype none

module pc_dot_pair #(
    parameter bit PACKED = 1'b1  // two products per multiplier
) (
    input  wire logic                               clk_i,
    input  wire logic        [pc_pkg::BEAT_BITS-1:0] row_i,
    input  wire logic        [pc_pkg::BEAT_BITS-1:0] a_i,
    input  wire logic        [pc_pkg::BEAT_BITS-1:0] b_i,
    output wire logic signed [                 21:0] sum_a_o,
    output wire logic signed [                 21:0] sum_b_o
);
  // |64 · 128 · 128| = 2^20, which as 2^20 (not only as −2^20) needs 22 bits.
  logic signed [21:0] sum_a_q, sum_b_q;

  for (genvar s = 0; s < 4; s++) begin : gen_sixteen
    logic signed [19:0] part_a_q, part_b_q;
    for (genvar f = 0; f < 4; f++) begin : gen_four
      localparam int unsigned AT = 128 * s + 32 * f;
      logic signed [17:0] sum_a, sum_b;
      pc_quad #(
          .PACKED(PACKED)
      ) i_quad (
          .clk_i,
          .row_i  (row_i[AT+:32]),
          .a_i    (a_i[AT+:32]),
          .b_i    (b_i[AT+:32]),
          .sum_a_o(sum_a),
          .sum_b_o(sum_b)
      );
    end
    always_ff @(posedge clk_i) begin
      part_a_q <= (20'(gen_four[0].sum_a) + 20'(gen_four[1].sum_a))
          + (20'(gen_four[2].sum_a) + 20'(gen_four[3].sum_a));
      part_b_q <= (20'(gen_four[0].sum_b) + 20'(gen_four[1].sum_b))
          + (20'(gen_four[2].sum_b) + 20'(gen_four[3].sum_b));
    end
  end

  always_ff @(posedge clk_i) begin
    sum_a_q <= (22'(gen_sixteen[0].part_a_q) + 22'(gen_sixteen[1].part_a_q))
        + (22'(gen_sixteen[2].part_a_q) + 22'(gen_sixteen[3].part_a_q));
    sum_b_q <= (22'(gen_sixteen[0].part_b_q) + 22'(gen_sixteen[1].part_b_q))
        + (22'(gen_sixteen[2].part_b_q) + 22'(gen_sixteen[3].part_b_q));
  end

  assign sum_a_o = sum_a_q;
  assign sum_b_o = sum_b_q;

`ifndef SYNTHESIS
  // By clocks since: the row's values were zeros; both probes' values were the same.
  bit [4:0] silent_q, alike_q;
  always_ff @(posedge clk_i) begin
    silent_q <= {silent_q[3:0], row_i == '0};
    alike_q  <= {alike_q[3:0], a_i == b_i};
    zeros_leave_nothing_behind :
    assert (!silent_q[4] || (sum_a_o == '0 && sum_b_o == '0));
    equal_probes_have_equal_sums : assert (!alike_q[4] || sum_a_o == sum_b_o);
  end
`endif
endmodule

`default_nettype wire
