// A value, STAGES clocks later. For what must arrive together with the slower thing beside it.
//
// Level 1. Costs WIDTH · STAGES flip-flops (on Xilinx shift registers in LUTs where not reset).
`default_nettype none

module pc_delay #(
    parameter int unsigned WIDTH = 8,  // bits
    parameter int unsigned STAGES = 2  // clocks, 1 and more
) (
    input  wire logic             clk_i,
    input  wire logic             rst_ni,
    input  wire logic [WIDTH-1:0] value_i,
    output wire logic [WIDTH-1:0] value_o
);
  logic [WIDTH*STAGES-1:0] line_q;

  if (STAGES == 1) begin : gen_one
    always_ff @(posedge clk_i) line_q <= rst_ni ? value_i : '0;
  end else begin : gen_many
    always_ff @(posedge clk_i) line_q <= rst_ni ? {line_q[WIDTH*(STAGES-1)-1:0], value_i} : '0;
  end

  assign value_o = line_q[WIDTH*STAGES-1-:WIDTH];

`ifndef SYNTHESIS
  // One value after another is followed: it comes out STAGES clocks later as it went in.
  localparam int unsigned CLOCK_BITS = $clog2(STAGES + 1);
  bit [CLOCK_BITS-1:0] clocks_q;  // since the followed value came; zero: none is followed
  logic [WIDTH-1:0] followed_q;
  logic is_out, follows;
  assign is_out  = clocks_q == CLOCK_BITS'(STAGES);
  assign follows = clocks_q == '0 || is_out;
  always_ff @(posedge clk_i) begin
    if (follows) followed_q <= value_i;
    if (!rst_ni) begin
      clocks_q <= '0;
    end else begin
      clocks_q <= follows ? CLOCK_BITS'(1) : clocks_q + 1'b1;
      if (is_out) what_went_in_comes_out : assert (value_o == followed_q);
    end
  end
`endif
endmodule

`default_nettype wire
