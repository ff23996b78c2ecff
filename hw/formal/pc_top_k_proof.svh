  // What the op means by a list: sorted by score, equal scores by row; whoever entered is in it or
  // was displaced by K better ones; whoever did not is not. Rows ascend, scores are not that of an
  // empty place, and candidates are two clocks apart: what the packets and the parser guarantee.
  // Reading (`rotate_i`) is left out: it moves the list and does not order it; the bench covers it.
  initial assume (!rst_ni);
  localparam logic [SCORE_BITS-1:0] F_NONE = {1'b1, {SCORE_BITS - 1{1'b0}}};
  localparam logic [ROW_BITS-1:0] F_NO_ROW = {ROW_BITS{1'b1}};

  logic f_any;  // a row was inserted since the clearing
  logic [ROW_BITS-1:0] f_row;  // the newest
  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) f_any <= 1'b0;
    else if (insert_i) begin
      f_any <= 1'b1;
      f_row <= row_i;
    end
  end
  always_comb begin
    assume (!rotate_i);
    assume (!(insert_i && waiting_q));
    assume (!insert_i || score_i != F_NONE);
    assume (!insert_i || row_i != F_NO_ROW);
    assume (!insert_i || !f_any || row_i > f_row);
  end

  // One entry, whichever: inserted or not since the clearing.
  (* anyconst *) logic [BITS-1:0] f_entry;
  logic f_entered;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) f_entered <= 1'b0;
    else if (insert_i && {row_i, score_i} == f_entry) f_entered <= 1'b1;
  end
  always_comb assume (f_entry[SCORE_BITS-1:0] != F_NONE && f_entry[BITS-1:SCORE_BITS] != F_NO_ROW);

  logic signed [SCORE_BITS-1:0] f_score, f_last_score, f_candidate_score;
  logic [ROW_BITS-1:0] f_last_row;
  logic [K-1:0] f_is_entry;
  assign f_score           = f_entry[SCORE_BITS-1:0];
  assign f_last_score      = places_q[BITS*(K-1)+:SCORE_BITS];
  assign f_last_row        = places_q[BITS*(K-1)+SCORE_BITS+:ROW_BITS];
  assign f_candidate_score = candidate_q[SCORE_BITS-1:0];

  for (genvar k = 0; k < K; k++) begin : gen_proof
    logic signed [SCORE_BITS-1:0] here;
    logic [ROW_BITS-1:0] here_row;
    assign here          = places_q[BITS*k+:SCORE_BITS];
    assign here_row      = places_q[BITS*k+SCORE_BITS+:ROW_BITS];
    assign f_is_entry[k] = places_q[BITS*k+:BITS] == f_entry;
    always_ff @(posedge clk_i) begin
      if (rst_ni) begin
        // Empty places are whole, and hold no row.
        assert ((here == $signed(F_NONE)) == (here_row == F_NO_ROW));
        // Rows of the list are not newer than the newest.
        if (here_row != F_NO_ROW) assert (f_any && here_row <= f_row);
        if (waiting_q) begin
          assert (stays_q[k] == (here >= f_candidate_score));
          if (here_row != F_NO_ROW) assert (here_row < candidate_q[BITS-1:SCORE_BITS]);
        end
      end
    end
    if (k > 0) begin : gen_order
      logic signed [SCORE_BITS-1:0] before;
      logic [ROW_BITS-1:0] before_row;
      assign before     = places_q[BITS*(k-1)+:SCORE_BITS];
      assign before_row = places_q[BITS*(k-1)+SCORE_BITS+:ROW_BITS];
      always_ff @(posedge clk_i) begin
        if (rst_ni) begin
          assert (before >= here);
          if (before == here && here_row != F_NO_ROW) assert (before_row < here_row);
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      if (waiting_q) begin
        assert (f_any && candidate_q[BITS-1:SCORE_BITS] == f_row);
        assert (candidate_q[SCORE_BITS-1:0] != F_NONE);
        assert (f_row != F_NO_ROW);
        if (candidate_q == f_entry) assert (f_entered);
      end
      // Nothing is invented.
      if (!f_entered) assert (f_is_entry == '0);
      // Nothing is lost.
      if (f_entered && !(waiting_q && candidate_q == f_entry)) begin
        assert (f_is_entry != '0 || f_last_score > f_score
            || (f_last_score == f_score && f_last_row < f_entry[BITS-1:SCORE_BITS]));
      end
      if (f_entered) assert (f_any && f_entry[BITS-1:SCORE_BITS] <= f_row);
      // A list that is full, and one that displaced, take too many clocks to search for; the
      // bench has them.
      cover (f_entered && f_is_entry[2] && !waiting_q);
    end
  end
