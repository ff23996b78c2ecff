// The handshakes of an AXI4-Lite slave, and nothing else: turns them into a write and a read that
// are each answered in the clock in which they are asked.
//
// Level 1. Costs about 120 flip-flops. Address and data of a write may come in either order; one
// write and one read may be under way at once.
// Invariant (proved): a channel that offers stays as it is until it is taken; every request is
// answered once, and nothing that was not asked.
`default_nettype none

module pc_axi_lite #(
    parameter int unsigned ADDRESS_BITS = 12  // bits of an address
) (
    input  wire logic                    clk_i,
    input  wire logic                    rst_ni,
    // The bus.
    input  wire logic [ADDRESS_BITS-1:0] awaddr_i,
    input  wire logic                    awvalid_i,
    output wire logic                    awready_o,
    input  wire logic [            31:0] wdata_i,
    input  wire logic [             3:0] wstrb_i,
    input  wire logic                    wvalid_i,
    output wire logic                    wready_o,
    output wire logic [             1:0] bresp_o,
    output wire logic                    bvalid_o,
    input  wire logic                    bready_i,
    input  wire logic [ADDRESS_BITS-1:0] araddr_i,
    input  wire logic                    arvalid_i,
    output wire logic                    arready_o,
    output wire logic [            31:0] rdata_o,
    output wire logic [             1:0] rresp_o,
    output wire logic                    rvalid_o,
    input  wire logic                    rready_i,
    // The registers.
    output wire logic                    write_o,
    output wire logic [ADDRESS_BITS-1:0] write_address_o,
    output wire logic [            31:0] write_word_o,
    output wire logic [             3:0] write_strobe_o,
    input  wire logic                    write_refused_i,
    output wire logic                    read_o,
    output wire logic [ADDRESS_BITS-1:0] read_address_o,
    input  wire logic [            31:0] read_word_i,
    input  wire logic                    read_refused_i
);
  logic aw_held_q, w_held_q, b_valid_q, b_refused_q;
  logic [ADDRESS_BITS-1:0] aw_address_q;
  logic [31:0] w_word_q;
  logic [3:0] w_strobe_q;

  assign awready_o       = !aw_held_q;
  assign wready_o        = !w_held_q;
  assign bvalid_o        = b_valid_q;
  assign bresp_o         = {b_refused_q, 1'b0};  // SLVERR or OKAY
  assign write_o         = aw_held_q && w_held_q && (!b_valid_q || bready_i);
  assign write_address_o = aw_address_q;
  assign write_word_o    = w_word_q;
  assign write_strobe_o  = w_strobe_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      aw_held_q   <= 1'b0;
      w_held_q    <= 1'b0;
      b_valid_q   <= 1'b0;
      b_refused_q <= 1'b0;
    end else begin
      if (write_o) begin
        aw_held_q   <= 1'b0;
        w_held_q    <= 1'b0;
        b_valid_q   <= 1'b1;
        b_refused_q <= write_refused_i;
      end else if (bready_i) begin
        b_valid_q <= 1'b0;
      end
      if (awvalid_i && awready_o) aw_held_q <= 1'b1;
      if (wvalid_i && wready_o) w_held_q <= 1'b1;
    end
    if (awvalid_i && awready_o) aw_address_q <= awaddr_i;
    if (wvalid_i && wready_o) begin
      w_word_q   <= wdata_i;
      w_strobe_q <= wstrb_i;
    end
  end

  logic ar_held_q, r_valid_q, r_refused_q;
  logic [ADDRESS_BITS-1:0] ar_address_q;
  logic [31:0] r_word_q;

  assign arready_o      = !ar_held_q;
  assign rvalid_o       = r_valid_q;
  assign rdata_o        = r_word_q;
  assign rresp_o        = {r_refused_q, 1'b0};
  assign read_o         = ar_held_q && (!r_valid_q || rready_i);
  assign read_address_o = ar_address_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      ar_held_q   <= 1'b0;
      r_valid_q   <= 1'b0;
      r_refused_q <= 1'b0;
      r_word_q    <= '0;
    end else begin
      if (read_o) begin
        ar_held_q   <= 1'b0;
        r_valid_q   <= 1'b1;
        r_refused_q <= read_refused_i;
        r_word_q    <= read_word_i;
      end else if (rready_i) begin
        r_valid_q <= 1'b0;
      end
      if (arvalid_i && arready_o) ar_held_q <= 1'b1;
    end
    if (arvalid_i && arready_o) ar_address_q <= araddr_i;
  end

`ifndef SYNTHESIS
  // Answers that were offered in the clock before and not taken.
  logic b_waits_q, r_waits_q;
  logic [1:0] b_shown_q;
  logic [33:0] r_shown_q;
  always_ff @(posedge clk_i) begin
    b_waits_q <= rst_ni && bvalid_o && !bready_i;
    r_waits_q <= rst_ni && rvalid_o && !rready_i;
    b_shown_q <= bresp_o;
    r_shown_q <= {rresp_o, rdata_o};
    if (rst_ni) begin
      an_answer_to_a_write_stays : assert (!b_waits_q || (bvalid_o && bresp_o == b_shown_q));
      an_answer_to_a_read_stays :
      assert (!r_waits_q || (rvalid_o && {rresp_o, rdata_o} == r_shown_q));
    end
  end
`endif
`ifdef FORMAL
`include "pc_axi_lite_proof.svh"
`endif
endmodule

`default_nettype wire
