// The core with few pins, to be placed and routed alone: its thousand inputs come from one shift
// register and its outputs go into another, so that every path begins and ends in a flip-flop. For
// measuring only; no card uses it.
`default_nettype none

module pc_core_fit #(
    parameter int unsigned PROBES = 2,  // as in pc_core
    parameter int unsigned BEST = 8,  // as in pc_core
    parameter bit PACKED = 1'b0  // as in pc_core
) (
    input  wire logic clk_i,
    input  wire logic rst_ni,
    input  wire logic bit_i,
    input  wire logic load_i,
    output wire logic bit_o
);
  localparam int unsigned INPUTS = 12 + 1 + 32 + 4 + 1 + 1 + 12 + 1 + 1 + 512 + 1 + 1 + 1;
  localparam int unsigned OUTPUTS = 1 + 1 + 2 + 1 + 1 + 32 + 2 + 1 + 1 + 512 + 1 + 1;

  logic [INPUTS-1:0] inputs_q;
  logic [OUTPUTS-1:0] outputs, outputs_q;
  logic rst_nq;

  always_ff @(posedge clk_i) begin
    rst_nq    <= rst_ni;
    inputs_q  <= {inputs_q[INPUTS-2:0], bit_i};
    outputs_q <= load_i ? outputs : {outputs_q[OUTPUTS-2:0], 1'b0};
  end
  assign bit_o = outputs_q[OUTPUTS-1];

  logic [11:0] awaddr, araddr;
  logic awvalid, wvalid, bready, arvalid, rready, tlast, tvalid, tready;
  logic [31:0] wdata;
  logic [3:0] wstrb;
  logic [511:0] tdata;
  assign {awaddr, awvalid, wdata, wstrb, wvalid, bready, araddr, arvalid, rready, tdata, tlast,
      tvalid, tready} = inputs_q;

  logic o_awready, o_wready, o_bvalid, o_arready, o_rvalid, o_tready, o_tlast, o_tvalid;
  logic [1:0] o_bresp, o_rresp;
  logic [31:0] o_rdata;
  logic [511:0] o_tdata;
  assign outputs = {o_awready, o_wready, o_bresp, o_bvalid, o_arready, o_rdata, o_rresp, o_rvalid,
      o_tready, o_tdata, o_tlast, o_tvalid};

  pc_core #(
      .PROBES(PROBES),
      .BEST  (BEST),
      .PACKED(PACKED)
  ) i_core (
      .clk_i,
      .rst_ni          (rst_nq),
      .s_axil_awaddr_i (awaddr),
      .s_axil_awvalid_i(awvalid),
      .s_axil_awready_o(o_awready),
      .s_axil_wdata_i  (wdata),
      .s_axil_wstrb_i  (wstrb),
      .s_axil_wvalid_i (wvalid),
      .s_axil_wready_o (o_wready),
      .s_axil_bresp_o  (o_bresp),
      .s_axil_bvalid_o (o_bvalid),
      .s_axil_bready_i (bready),
      .s_axil_araddr_i (araddr),
      .s_axil_arvalid_i(arvalid),
      .s_axil_arready_o(o_arready),
      .s_axil_rdata_o  (o_rdata),
      .s_axil_rresp_o  (o_rresp),
      .s_axil_rvalid_o (o_rvalid),
      .s_axil_rready_i (rready),
      .s_axis_tdata_i  (tdata),
      .s_axis_tlast_i  (tlast),
      .s_axis_tvalid_i (tvalid),
      .s_axis_tready_o (o_tready),
      .m_axis_tdata_o  (o_tdata),
      .m_axis_tlast_o  (o_tlast),
      .m_axis_tvalid_o (o_tvalid),
      .m_axis_tready_i (tready)
  );
endmodule

`default_nettype wire
