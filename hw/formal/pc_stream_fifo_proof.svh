  // One beat is watched, whichever: it stands in its place until it is given, and is given as it
  // came. As this holds for each, none is lost, doubled or changed, and they keep their order.
  (* anyconst *) logic [PLACE_BITS:0] f_at;
  logic f_held;
  logic [WIDTH-1:0] f_beat;
  logic [PLACE_BITS:0] f_before;
  logic f_past;
  initial f_past = 1'b0;
  initial assume (!rst_ni);
  assign f_before = f_at - read_q;

  always_ff @(posedge clk_i) begin
    f_past <= 1'b1;
    if (!rst_ni) begin
      f_held <= 1'b0;
    end else begin
      if (push && written_q == f_at) begin
        f_held <= 1'b1;
        f_beat <= beat_i;
      end
      if (pop && read_q == f_at) f_held <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      assert (f_held == (f_before < held));
      if (f_held) assert (places[f_at[PLACE_BITS-1:0]] == f_beat);
      if (f_held && read_q == f_at) assert (valid_o && beat_o == f_beat);
      assert (valid_o == (held != '0));
      assert (ready_o == (held != (PLACE_BITS + 1)'(DEPTH)));
    end
    // The handshake: an offered beat stays as it is until it is taken.
    if (f_past && rst_ni && $past(rst_ni) && $past(valid_o) && !$past(ready_i)) begin
      assert (valid_o);
      assert (beat_o == $past(beat_o));
    end
    if (rst_ni) cover (!ready_o && ready_i);
    if (f_past && rst_ni) cover ($past(f_held) && !f_held && read_q[PLACE_BITS]);
  end
