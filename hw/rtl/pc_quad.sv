// Four int8 products for each of two probes, summed: x·a and x·b over four values of one row.
//
// Level 1. PACKED = 1: both products come from one wide multiplier (a DSP48E2: 27 × 18 bits), as
//   (a·2^18 + b) · x = (a·x)·2^18 + b·x
// where four b·x fit the 18 low bits (|4 · 128 · 128| = 2^16 < 2^17), and when their sum is
// negative it has borrowed one from above, which is given back. 4 multipliers. PACKED = 0: one
// multiplier for each product, for parts with narrow ones (ECP5: 18 × 18 bits). 8 multipliers. Both
// give the same numbers.
//
// Three clocks from operands to sums: factors, products, their sums. A factor's flip-flop stands
// where its multiplier does: on UltraScale+ it can be the multiplier's own (A for the pair, B for
// the row's value), and the pair's addition has a clock of its own; on ECP5 it takes the way across
// the die out of the multiplication. No reset and no enable, as those registers want it.
`default_nettype none

module pc_quad #(
    parameter bit PACKED = 1'b1  // two products per multiplier
) (
    input  wire logic               clk_i,
    input  wire logic        [31:0] row_i,   // four int8 values of the row
    input  wire logic        [31:0] a_i,     // of the first probe
    input  wire logic        [31:0] b_i,     // of the second
    output wire logic signed [17:0] sum_a_o,
    output wire logic signed [17:0] sum_b_o
);
  if (PACKED) begin : gen_packed
    logic signed [35:0] sum_q;

    for (genvar v = 0; v < 4; v++) begin : gen_value
      logic signed [26:0] pair_q;
      logic signed [34:0] product_q;
      logic signed [7:0] row_q, a, b;
      assign a = a_i[8*v+:8];
      assign b = b_i[8*v+:8];
      always_ff @(posedge clk_i) begin
        row_q     <= row_i[8*v+:8];
        pair_q    <= 27'($signed({a, 18'd0})) + 27'(b);
        product_q <= 35'(pair_q) * 35'(row_q);
      end
    end

    always_ff @(posedge clk_i) begin
      sum_q <= (36'(gen_value[0].product_q) + 36'(gen_value[1].product_q))
          + (36'(gen_value[2].product_q) + 36'(gen_value[3].product_q));
    end

    assign sum_b_o = sum_q[17:0];
    assign sum_a_o = sum_q[35:18] + {17'd0, sum_q[17]};
  end else begin : gen_single
    logic signed [17:0] sum_a_q, sum_b_q;

    for (genvar v = 0; v < 4; v++) begin : gen_value
      logic signed [7:0] row_q, a_q, b_q;
      logic signed [15:0] product_a_q, product_b_q;
      always_ff @(posedge clk_i) begin
        row_q       <= row_i[8*v+:8];
        a_q         <= a_i[8*v+:8];
        b_q         <= b_i[8*v+:8];
        product_a_q <= 16'(a_q) * 16'(row_q);
        product_b_q <= 16'(b_q) * 16'(row_q);
      end
    end

    always_ff @(posedge clk_i) begin
      sum_a_q <= (18'(gen_value[0].product_a_q) + 18'(gen_value[1].product_a_q))
          + (18'(gen_value[2].product_a_q) + 18'(gen_value[3].product_a_q));
      sum_b_q <= (18'(gen_value[0].product_b_q) + 18'(gen_value[1].product_b_q))
          + (18'(gen_value[2].product_b_q) + 18'(gen_value[3].product_b_q));
    end

    assign sum_a_o = sum_a_q;
    assign sum_b_o = sum_b_q;
  end

`ifndef SYNTHESIS
  // Whatever was multiplied before, zeros leave zeros.
  bit [2:0] silent_q;  // by clocks since: the row's values were zeros
  always_ff @(posedge clk_i) begin
    silent_q <= {silent_q[1:0], row_i == '0};
    zeros_leave_nothing_behind :
    assert (!silent_q[2] || (sum_a_o == '0 && sum_b_o == '0));
  end
`endif
endmodule

`default_nettype wire
