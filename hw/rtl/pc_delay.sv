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
endmodule

`default_nettype wire
