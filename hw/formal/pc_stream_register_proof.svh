  // A beat is watched from when it is taken, whichever: it comes out after those that were there,
  // as it came.
  (* anyseq *) logic f_mark;
  logic f_watched, f_second;  // inside; behind another
  logic [WIDTH-1:0] f_beat;
  logic f_past, f_given;
  initial f_past = 1'b0;
  initial assume (!rst_ni);
  assign f_given = valid_o && ready_i;

  always_ff @(posedge clk_i) begin
    f_past <= 1'b1;
    if (!rst_ni) begin
      f_watched <= 1'b0;
      f_second  <= 1'b0;
    end else if (!f_watched) begin
      if (taken && f_mark) begin
        f_watched <= 1'b1;
        f_second  <= valid_o && !f_given;
        f_beat    <= beat_i;
      end
    end else if (f_given) begin
      f_watched <= f_second;
      f_second  <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      if (f_watched && !f_second) assert (valid_o && beat_o == f_beat);
      if (f_watched && f_second) assert (spare_valid_q && spare_q == f_beat);
      // It takes a beat whenever it has a place.
      assert (ready_o == !spare_valid_q);
    end
    if (f_past && rst_ni && $past(rst_ni) && $past(valid_o) && !$past(ready_i)) begin
      assert (valid_o);
      assert (beat_o == $past(beat_o));
    end
    if (rst_ni) cover (f_watched && f_second);
    if (f_past && rst_ni) cover ($past(f_watched) && $past(f_second) && !f_second);
  end
