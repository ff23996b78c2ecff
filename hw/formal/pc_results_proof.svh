  // The books on room: what is free, what waits and what is promised are always DEPTH, so that an
  // answer never finds the queue full. Assumed of the parser: a block takes room only where there
  // is some, passes once, and nothing passes between a finish and its end.
  initial assume (!rst_ni);
  logic [ROOM_BITS-1:0] f_due;  // blocks begun that have not passed stage 10
  logic f_finishing;  // a finish packet is under way
  logic f_ends;
  assign f_ends = op_i == pc_pkg::OP_FLUSH || (is_row && tag_i.block_end);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      f_due       <= '0;
      f_finishing <= 1'b0;
    end else begin
      f_due <= f_due + ROOM_BITS'(room_take_i) - ROOM_BITS'(f_ends);
      if (op_i == pc_pkg::OP_FINISH) f_finishing <= 1'b1;
      else if (finished_o) f_finishing <= 1'b0;
    end
  end
  always_comb begin
    assume (!room_take_i || room_o);
    assume (!f_ends || f_due != '0);
    assume (op_i != pc_pkg::OP_FINISH || (f_due == '0 && !room_take_i));
    assume (!f_finishing || (!room_take_i && op_i == pc_pkg::OP_NONE));
  end

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      assert ({1'b0, room_q} + {1'b0, ROOM_BITS'(f_held)} + {1'b0, f_due}
          + (ROOM_BITS + 1)'(is_block_q) == (ROOM_BITS + 1)'(DEPTH));
      assert (f_finishing == (is_finish_q || state_q != SENDS_BLOCKS));
      if (f_finishing) assert (f_due == '0);
      if (state_q != SENDS_BLOCKS) assert (!is_finish_q);
      assert (state_q != SENDS_LISTS || list_beat_q < LIST_BITS'(LIST_BEATS));
      assert (state_q != SENDS_COUNTERS || 3'(counter_beat_q) < 3'(COUNTER_BEATS));
      if (state_q == SENDS_HEAD) assert (counter_beat_q == '0);
      if (state_q == SENDS_HEAD || state_q == SENDS_COUNTERS) assert (list_beat_q == '0);
      cover (finished_o);
      cover (is_block_q && !has_room);
    end
  end
