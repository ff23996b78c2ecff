  // What AXI asks of a slave, and that every request is answered once. Of the master only that a
  // channel which offers stays as it is until it is taken is not even assumed: the slave takes what
  // it sees in the clock in which it is ready.
  logic f_past;
  initial f_past = 1'b0;
  initial assume (!rst_ni);
  logic [2:0] f_aw, f_w, f_ar;  // taken, and not yet answered
  logic f_b, f_r;
  assign f_b = bvalid_o && bready_i;
  assign f_r = rvalid_o && rready_i;

  always_ff @(posedge clk_i) begin
    f_past <= 1'b1;
    if (!rst_ni) begin
      f_aw <= '0;
      f_w  <= '0;
      f_ar <= '0;
    end else begin
      f_aw <= f_aw + 3'(awvalid_i && awready_o) - 3'(f_b);
      f_w  <= f_w + 3'(wvalid_i && wready_o) - 3'(f_b);
      f_ar <= f_ar + 3'(arvalid_i && arready_o) - 3'(f_r);
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      // An answer belongs to a request, and a request waits or is answered.
      assert (f_aw == 3'(aw_held_q) + 3'(b_valid_q));
      assert (f_w == 3'(w_held_q) + 3'(b_valid_q));
      assert (f_ar == 3'(ar_held_q) + 3'(r_valid_q));
      assert (bresp_o[0] == 1'b0 && rresp_o[0] == 1'b0);
      if (write_o) assert (f_aw != '0 && f_w != '0);
      if (read_o) assert (f_ar != '0);
    end
    if (f_past && rst_ni && $past(rst_ni)) begin
      // An offered answer stays as it is until it is taken.
      if ($past(bvalid_o) && !$past(bready_i)) assert (bvalid_o && bresp_o == $past(bresp_o));
      if ($past(rvalid_o) && !$past(rready_i)) begin
        assert (rvalid_o && rresp_o == $past(rresp_o) && rdata_o == $past(rdata_o));
      end
      // The registers' word is the answer, in the next clock.
      if ($past(write_o)) assert (bvalid_o && bresp_o[1] == $past(write_refused_i));
      if ($past(read_o)) begin
        assert (rvalid_o && rdata_o == $past(read_word_i) && rresp_o[1] == $past(read_refused_i));
      end
      // Whole requests wait only for the master to take the answer before.
      if ($past(aw_held_q) && $past(w_held_q) && $past(bready_i)) assert (bvalid_o);
      if ($past(ar_held_q) && $past(rready_i)) assert (rvalid_o);
      // What was taken is what the registers see.
      if ($past(awvalid_i) && $past(awready_o)) assert (write_address_o == $past(awaddr_i));
      if ($past(arvalid_i) && $past(arready_o)) assert (read_address_o == $past(araddr_i));
      if ($past(wvalid_i) && $past(wready_o)) begin
        assert (write_word_o == $past(wdata_i) && write_strobe_o == $past(wstrb_i));
      end
      if ($past(aw_held_q) && !$past(write_o)) assert (write_address_o == $past(write_address_o));
      if ($past(w_held_q) && !$past(write_o)) assert (write_word_o == $past(write_word_o));
    end
    if (rst_ni) cover (aw_held_q && w_held_q && b_valid_q && !bready_i && r_valid_q && ar_held_q);
  end
