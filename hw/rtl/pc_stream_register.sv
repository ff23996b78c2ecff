// Cuts a stream in two: every output and `ready_o` come from flip-flops, and yet a beat passes each
// clock. Two places: the second takes the beat that was already on its way when the reader stopped.
//
// Level 1. Costs 2 · WIDTH flip-flops. Invariant: a place that holds no beat holds zeros, so that
// no template lingers at the door.
`default_nettype none

module pc_stream_register #(
    parameter int unsigned WIDTH = 8  // bits of a beat
) (
    input  wire logic             clk_i,
    input  wire logic             rst_ni,
    input  wire logic [WIDTH-1:0] beat_i,
    input  wire logic             valid_i,
    output wire logic             ready_o,
    output wire logic [WIDTH-1:0] beat_o,
    output wire logic             valid_o,
    input  wire logic             ready_i
);
  logic [WIDTH-1:0] front_q, spare_q;
  logic front_valid_q, spare_valid_q;
  logic taken, moving;

  assign ready_o = !spare_valid_q;
  assign beat_o  = front_q;
  assign valid_o = front_valid_q;
  assign taken   = valid_i && ready_o;
  assign moving  = ready_i || !front_valid_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      front_q       <= '0;
      front_valid_q <= 1'b0;
      spare_q       <= '0;
      spare_valid_q <= 1'b0;
    end else if (moving) begin
      front_q       <= spare_valid_q ? spare_q : (taken ? beat_i : '0);
      front_valid_q <= spare_valid_q || taken;
      spare_q       <= '0;
      spare_valid_q <= 1'b0;
    end else if (taken) begin
      spare_q       <= beat_i;
      spare_valid_q <= 1'b1;
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      spare_only_behind_front : assert (!spare_valid_q || front_valid_q);
      empty_places_hold_zeros :
      assert ((front_valid_q || front_q == '0) && (spare_valid_q || spare_q == '0));
    end
  end
`endif
`ifdef FORMAL
`include "pc_stream_register_proof.svh"
`endif
endmodule

`default_nettype wire
