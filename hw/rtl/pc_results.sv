// Answers: a beat of survivors for each block, and to a finish packet the head, the counters and
// the candidates. Keeps the books on the room of the result stream, so that the pipeline need not
// stall.
//
// Level 2 (pc_stream_fifo). Costs DEPTH beats of memory in LUTs and the choice among four sources.
// Invariant: beats held and beats promised are at most DEPTH; answers leave in the order of
// packets.
`default_nettype none

module pc_results #(
    parameter int unsigned PROBES = 16,  // probes resident
    parameter int unsigned BEST = 16,  // candidates per probe, a multiple of 8
    parameter int unsigned DEPTH = 16  // beats that wait for the reader, a power of two
) (
    input  wire logic                              clk_i,
    input  wire logic                              rst_ni,
    input  wire logic                              clear_i,      // the rows seen, to zero
    // Room: one answer's is taken with a block's norms.
    output wire logic                              room_o,
    input  wire logic                              room_take_i,
    // Stage 10, for the rows seen; stage 11 for blocks and finish.
    input  wire pc_pkg::op_t                       op_i,
    input  wire pc_pkg::tag_t                      tag_i,
    input  wire logic [             32*PROBES-1:0] survivors_i,  // stage 11
    input  wire logic [            128*PROBES-1:0] counters_i,
    input  wire logic [pc_pkg::ERRORS_COUNT-1:0] errors_i,
    // The ring of lists.
    input  wire logic [     pc_pkg::BEAT_BITS-1:0] head_i,
    output wire logic                              rotate_o,
    // The answer to a finish packet is out; and whether anything waits.
    output wire logic                              finished_o,
    output wire logic                              busy_o,
    // Results.
    output wire logic [     pc_pkg::BEAT_BITS-1:0] beat_o,
    output wire logic                              last_o,
    output wire logic                              valid_o,
    input  wire logic                              ready_i
);
  localparam int unsigned COUNTER_BEATS = (PROBES + 3) / 4;
  localparam int unsigned LIST_BEATS = PROBES * BEST / pc_pkg::ENTRIES_PER_BEAT;
  localparam int unsigned ROOM_BITS = $clog2(DEPTH + 1);
  localparam int unsigned LIST_BITS = $clog2(LIST_BEATS + 1);

  typedef enum logic [1:0] {
    SENDS_BLOCKS,
    SENDS_HEAD,
    SENDS_COUNTERS,
    SENDS_LISTS
  } state_e;

  state_e state_q, state_n;
  logic [1:0] counter_beat_q, counter_beat_n;
  logic [LIST_BITS-1:0] list_beat_q, list_beat_n;
  logic is_block_q, is_finish_q, is_packet_end_q;  // stage 11
  logic [31:0] rows_hot_q, rows_cold_q;
  logic [ROOM_BITS-1:0] room_q;

  logic is_row;
  assign is_row = op_i == pc_pkg::OP_VALUES && tag_i.last;

  always_ff @(posedge clk_i) begin
    is_block_q <= rst_ni && (op_i == pc_pkg::OP_FLUSH || (is_row && tag_i.block_end));
    is_finish_q <= rst_ni && op_i == pc_pkg::OP_FINISH;
    is_packet_end_q <= op_i == pc_pkg::OP_FLUSH || tag_i.packet_end;
    if (!rst_ni || clear_i) begin
      rows_hot_q  <= '0;
      rows_cold_q <= '0;
    end else begin
      rows_hot_q  <= rows_hot_q + 32'(is_row && !tag_i.is_cold);
      rows_cold_q <= rows_cold_q + 32'(is_row && tag_i.is_cold);
    end
  end

  // The four sources of a beat.
  logic [pc_pkg::BEAT_BITS-1:0] block, head, counters, beat;
  logic [128*4*COUNTER_BEATS-1:0] counters_padded;
  assign block = pc_pkg::BEAT_BITS'(survivors_i);
  assign head = pc_pkg::BEAT_BITS'({
    32'(errors_i), rows_cold_q, rows_hot_q, 16'(BEST), 16'(PROBES), pc_pkg::DONE
  });
  assign counters_padded = (128 * 4 * COUNTER_BEATS)'(counters_i);
  if (COUNTER_BEATS == 1) begin : gen_one_beat
    assign counters = counters_padded;
  end else begin : gen_beats
    assign counters = counters_padded[pc_pkg::BEAT_BITS*counter_beat_q+:pc_pkg::BEAT_BITS];
  end

  logic push, is_last, ready;  // into the queue
  logic has_room;
  assign has_room = room_q != '0;

  always_comb begin
    state_n        = state_q;
    counter_beat_n = counter_beat_q;
    list_beat_n    = list_beat_q;
    push           = 1'b0;
    is_last        = 1'b0;
    beat           = block;
    case (state_q)
      SENDS_BLOCKS: begin
        push        = is_block_q;
        is_last     = is_packet_end_q;
        counter_beat_n = '0;
        list_beat_n = '0;
        if (is_finish_q) state_n = SENDS_HEAD;
      end
      SENDS_HEAD: begin
        beat = head;
        push = has_room;
        if (push) state_n = SENDS_COUNTERS;
      end
      SENDS_COUNTERS: begin
        beat = counters;
        push = has_room;
        if (push) begin
          counter_beat_n = counter_beat_q + 2'd1;
          if (counter_beat_q == 2'(COUNTER_BEATS - 1)) state_n = SENDS_LISTS;
        end
      end
      default: begin
        beat    = head_i;
        push    = has_room;
        is_last = list_beat_q == LIST_BITS'(LIST_BEATS - 1);
        if (push) begin
          list_beat_n = list_beat_q + 1'b1;
          if (is_last) state_n = SENDS_BLOCKS;
        end
      end
    endcase
  end

  assign rotate_o   = state_q == SENDS_LISTS && push;
  assign finished_o = rotate_o && is_last;

  // A block's room was taken with its norms; the other beats take theirs as they come.
  logic takes, gives;
  assign takes = room_take_i || (push && state_q != SENDS_BLOCKS);
  assign gives = valid_o && ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q        <= SENDS_BLOCKS;
      counter_beat_q <= '0;
      list_beat_q    <= '0;
      room_q         <= ROOM_BITS'(DEPTH);
    end else begin
      state_q        <= state_n;
      counter_beat_q <= counter_beat_n;
      list_beat_q    <= list_beat_n;
      room_q         <= room_q + ROOM_BITS'(gives) - ROOM_BITS'(takes);
    end
  end

`ifdef FORMAL
  logic [$clog2(DEPTH):0] f_held;
`endif
  pc_stream_fifo #(
      .WIDTH(pc_pkg::BEAT_BITS + 1),
      .DEPTH(DEPTH)
  ) i_queue (
      .clk_i,
      .rst_ni,
      .beat_i ({is_last, beat}),
      .valid_i(push),
      .ready_o(ready),
      .beat_o ({last_o, beat_o}),
      .valid_o,
      .ready_i
`ifdef FORMAL
      ,.f_held_o(f_held)
`endif
  );

  assign room_o = has_room;
  assign busy_o = state_q != SENDS_BLOCKS || valid_o;

  // What only rows of the pipeline need.
  logic unused;
  assign unused = &{1'b0, tag_i.first, tag_i.row, ready};

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      nothing_is_lost : assert (!push || ready);
      room_is_never_overdrawn : assert (!takes || has_room);
      room_is_never_overpaid : assert (!gives || takes || room_q != ROOM_BITS'(DEPTH));
      no_block_during_a_finish : assert (state_q == SENDS_BLOCKS || !is_block_q);
    end
  end
`endif
`ifdef FORMAL
`include "pc_results_proof.svh"
`endif
endmodule

`default_nettype wire
