  // From reset; what is asserted stands at the foot of the module itself.
  initial assume (!rst_ni);
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      cover (op_q == pc_pkg::OP_FLUSH);
      cover (op_q == pc_pkg::OP_FINISH);
    end
  end
