// The values of one probe, a beat wide: written by the host while idle, read with every value beat.
//
// Level 1. Costs 512 · BEATS bits: memory in LUTs up to 64 beats. One clock to read.
`default_nettype none

module pc_probe_memory #(
    parameter int unsigned BEATS = 32  // beats of a probe, 2 and more
) (
    input  wire logic                         clk_i,
    input  wire logic                         write_i,
    input  wire logic [    $clog2(BEATS)-1:0] write_beat_i,
    input  wire logic [pc_pkg::BEAT_BITS-1:0] values_i,
    input  wire logic [    $clog2(BEATS)-1:0] read_beat_i,
    output wire logic [pc_pkg::BEAT_BITS-1:0] values_o
);
  logic [pc_pkg::BEAT_BITS-1:0] beats[0:BEATS-1];
  logic [pc_pkg::BEAT_BITS-1:0] values_q;

  always_ff @(posedge clk_i) begin
    if (write_i) beats[write_beat_i] <= values_i;
    values_q <= beats[read_beat_i];
  end

  assign values_o = values_q;

`ifndef SYNTHESIS
  // The beat that was written last is followed: it is read as it was written.
  bit is_written_q, is_read_q;
  logic [$clog2(BEATS)-1:0] written_beat_q;
  logic [pc_pkg::BEAT_BITS-1:0] written_q;
  always_ff @(posedge clk_i) begin
    if (write_i) begin
      is_written_q   <= 1'b1;
      written_beat_q <= write_beat_i;
      written_q      <= values_i;
    end
    is_read_q <= is_written_q && !write_i && read_beat_i == written_beat_q;
    a_write_stays_within_the_probe : assert (!write_i || 32'(write_beat_i) < BEATS);
    if (is_read_q) what_was_written_is_read : assert (values_q == written_q);
  end
`endif
endmodule

`default_nettype wire
