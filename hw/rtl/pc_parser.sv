// Reads packets (`hw/PROTOCOL.md`, "Packets"): says of every beat what it is, and refuses what does
// not fit. Its outputs are stage 0 of the pipeline, which never stalls: a beat is only taken when
// its answer has room.
//
// Level 1. Costs one beat of flip-flops and about 150 more.
// Invariant: a block that was begun (norms taken) is ended, by its last row or by a flush, so that
// its room always comes back. The beat that shows a fault does nothing else.
`default_nettype none

module pc_parser #(
    parameter int unsigned PROBES = 16,  // probes resident, 1 to 16
    parameter int unsigned PROBE_BEATS = 32,  // beats of one probe
    parameter int unsigned TILE_ROWS = 1024  // rows of one hot packet, a multiple of 32
) (
    input  wire logic                            clk_i,
    input  wire logic                            rst_ni,
    input  wire logic                            clear_i,        // forgets the order of rows
    input  wire logic                            hold_i,         // takes nothing: a wipe
    input  wire logic [                     7:0] hot_beats_i,
    input  wire logic [                     7:0] cold_beats_i,
    input  wire logic [              PROBES-1:0] active_i,
    // Packets.
    input  wire logic [   pc_pkg::BEAT_BITS-1:0] beat_i,
    input  wire logic                            last_i,
    input  wire logic                            valid_i,
    output wire logic                            ready_o,
    // Room for the answer of one more block, and that it is taken.
    input  wire logic                            room_i,
    output wire logic                            room_take_o,
    // The answer to a finish packet is out: packets may follow.
    input  wire logic                            finished_i,
    // Stage 0.
    output wire pc_pkg::op_t                     op_o,
    output wire pc_pkg::tag_t                    tag_o,
    output wire logic [   pc_pkg::BEAT_BITS-1:0] beat_o,         // zero where there is no beat
    output wire logic [ $clog2(PROBE_BEATS)-1:0] probe_beat_o,   // of the probes, that it meets
    output wire logic [              PROBES-1:0] all_o,          // eligible whatever the facts say
    output wire logic [              PROBES-1:0] each_o,         // eligible if the facts say so
    output wire logic                            busy_o,         // a packet begun and not ended
    output wire logic [pc_pkg::FAULTS_COUNT-1:0] faults_o        // for one clock each
);
  typedef enum logic [2:0] {
    AT_HEADER,
    AT_FACTS,
    AT_NORMS,
    AT_ROWS,
    AT_COLD,
    AT_REST,  // of a faulty packet
    AT_ANSWER  // of a finish packet
  } state_e;

  state_e state_q, state_n;
  pc_pkg::op_t op_q, op_n;
  pc_pkg::tag_t tag_q, tag_n;
  logic [pc_pkg::BEAT_BITS-1:0] beat_q;
  logic [$clog2(PROBE_BEATS)-1:0] probe_beat_q;
  logic [PROBES-1:0] all_q, all_n, each_q, each_n;
  logic [pc_pkg::FAULTS_COUNT-1:0] faults_q, faults_n;

  logic [10:0] last_row_q, last_row_n;  // of the hot packet
  logic [10:0] row_q, row_n;  // of the tile that comes next; even while facts come
  logic [7:0] at_beat_q, at_beat_n;  // of the row that is under way
  logic [31:0] cold_row_q, cold_row_n;
  logic cold_seen_q, cold_seen_n;  // `cold_row_q` holds the row of an earlier header
  logic rest_q, rest_n;  // a finish packet goes on after its header
  logic take;

  // The header's fields.
  logic [7:0] kind;
  logic [PROBES-1:0] all;
  logic [15:0] each;  // whole: facts come when any bit of it is set
  logic [31:0] number;
  assign kind   = beat_i[7:0];
  assign all    = beat_i[16+:PROBES];
  assign number = beat_i[63:32];
  assign each   = beat_i[79:64];

  logic is_known, is_layout_sound, is_rows_sound, is_order_kept;
  assign is_known = kind == pc_pkg::KIND_HOT || kind == pc_pkg::KIND_COLD
      || kind == pc_pkg::KIND_FINISH;
  assign is_layout_sound =
      hot_beats_i != '0 && {1'b0, hot_beats_i} + {1'b0, cold_beats_i} <= 9'(PROBE_BEATS);
  assign is_rows_sound = number != '0 && number <= 32'(TILE_ROWS);
  assign is_order_kept = !cold_seen_q || number > cold_row_q;

  // The row under way. Its last beat is what the layout said a clock ago: when the header came.
  logic [7:0] last_hot_q, last_cold_q;
  always_ff @(posedge clk_i) begin
    last_hot_q  <= hot_beats_i - 8'd1;
    last_cold_q <= hot_beats_i + cold_beats_i - 8'd1;
  end
  logic ends_row_hot, ends_row_cold, ends_block, ends_packet;
  assign ends_row_hot  = at_beat_q == last_hot_q;
  assign ends_row_cold = at_beat_q == last_cold_q;
  assign ends_packet   = row_q == last_row_q;
  assign ends_block    = ends_packet || row_q[4:0] == 5'd31;

  assign ready_o = !hold_i && state_q != AT_ANSWER && (state_q != AT_NORMS || room_i);
  assign take    = valid_i && ready_o;

  always_comb begin
    state_n     = state_q;
    op_n        = pc_pkg::OP_NONE;
    tag_n       = '0;
    all_n       = all_q;
    each_n      = each_q;
    faults_n    = '0;
    last_row_n  = last_row_q;
    row_n       = row_q;
    at_beat_n   = at_beat_q;
    cold_row_n  = cold_row_q;
    cold_seen_n = cold_seen_q;
    rest_n      = rest_q;

    case (state_q)
      AT_HEADER:
      if (take) begin
        at_beat_n  = '0;
        row_n      = '0;
        last_row_n = number[10:0] - 11'd1;
        all_n      = all & active_i;
        each_n     = each[PROBES-1:0] & active_i;
        if (!is_known) begin
          faults_n[pc_pkg::ERROR_KIND] = 1'b1;
        end else if (!is_layout_sound) begin
          faults_n[pc_pkg::ERROR_LAYOUT] = 1'b1;
        end else if (kind == pc_pkg::KIND_HOT && !is_rows_sound) begin
          faults_n[pc_pkg::ERROR_ROWS] = 1'b1;
        end else if (kind == pc_pkg::KIND_COLD && !is_order_kept) begin
          faults_n[pc_pkg::ERROR_ORDER] = 1'b1;
        end else if (last_i != (kind == pc_pkg::KIND_FINISH)) begin
          faults_n[pc_pkg::ERROR_LENGTH] = 1'b1;
        end
        if (kind == pc_pkg::KIND_FINISH) begin
          op_n    = pc_pkg::OP_FINISH;
          state_n = AT_ANSWER;
          rest_n  = !last_i;
        end else if (faults_n != '0) begin
          state_n = last_i ? AT_HEADER : AT_REST;
        end else if (kind == pc_pkg::KIND_HOT) begin
          state_n = each != '0 ? AT_FACTS : AT_NORMS;
        end else begin
          state_n     = AT_COLD;
          each_n      = '0;
          cold_row_n  = number;
          cold_seen_n = 1'b1;
        end
      end

      AT_FACTS:
      if (take) begin
        tag_n.row = 32'(row_q);
        if (last_i) begin
          faults_n[pc_pkg::ERROR_LENGTH] = 1'b1;
          state_n = AT_HEADER;
        end else begin
          op_n = pc_pkg::OP_FACTS;
          if (row_q + 11'd1 >= last_row_q) begin
            row_n   = '0;
            state_n = AT_NORMS;
          end else begin
            row_n = row_q + 11'd2;
          end
        end
      end

      AT_NORMS:
      if (take) begin
        if (last_i) begin
          faults_n[pc_pkg::ERROR_LENGTH] = 1'b1;
          state_n = AT_HEADER;
        end else begin
          op_n    = pc_pkg::OP_NORMS;
          state_n = AT_ROWS;
        end
      end

      AT_ROWS:
      if (take) begin
        tag_n.row        = 32'(row_q);
        tag_n.first      = at_beat_q == '0;
        tag_n.last       = ends_row_hot;
        tag_n.block_end  = ends_row_hot && ends_block;
        tag_n.packet_end = ends_row_hot && ends_packet;
        if (last_i != tag_n.packet_end) begin
          faults_n[pc_pkg::ERROR_LENGTH] = 1'b1;
          op_n    = pc_pkg::OP_FLUSH;
          state_n = last_i ? AT_HEADER : AT_REST;
        end else begin
          op_n      = pc_pkg::OP_VALUES;
          at_beat_n = ends_row_hot ? '0 : at_beat_q + 8'd1;
          row_n     = ends_row_hot ? row_q + 11'd1 : row_q;
          if (last_i) state_n = AT_HEADER;
          else if (tag_n.block_end) state_n = AT_NORMS;
        end
      end

      AT_COLD:
      if (take) begin
        tag_n.is_cold = 1'b1;
        tag_n.row     = cold_row_q;
        tag_n.first   = at_beat_q == '0;
        tag_n.last    = ends_row_cold;
        at_beat_n     = at_beat_q + 8'd1;
        if (last_i != ends_row_cold) begin
          faults_n[pc_pkg::ERROR_LENGTH] = 1'b1;
          state_n = last_i ? AT_HEADER : AT_REST;
        end else begin
          op_n = pc_pkg::OP_VALUES;
          if (last_i) state_n = AT_HEADER;
        end
      end

      AT_REST: if (take && last_i) state_n = AT_HEADER;

      AT_ANSWER: if (finished_i) state_n = rest_q ? AT_REST : AT_HEADER;

      default: state_n = AT_HEADER;
    endcase

    if (clear_i) cold_seen_n = 1'b0;
  end

  assign room_take_o = op_n == pc_pkg::OP_NORMS;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q      <= AT_HEADER;
      op_q         <= pc_pkg::OP_NONE;
      faults_q     <= '0;
      cold_seen_q  <= 1'b0;
      beat_q       <= '0;
    end else begin
      state_q      <= state_n;
      op_q         <= op_n;
      faults_q     <= faults_n;
      cold_seen_q  <= cold_seen_n;
      beat_q       <= op_n == pc_pkg::OP_NONE ? '0 : beat_i;
    end
    tag_q        <= tag_n;
    all_q        <= all_n;
    each_q       <= each_n;
    last_row_q   <= last_row_n;
    row_q        <= row_n;
    at_beat_q    <= at_beat_n;
    probe_beat_q <= at_beat_q[$clog2(PROBE_BEATS)-1:0];
    cold_row_q   <= cold_row_n;
    rest_q       <= rest_n;
  end

  assign op_o         = op_q;
  assign tag_o        = tag_q;
  assign beat_o       = beat_q;
  assign probe_beat_o = probe_beat_q;
  assign all_o        = all_q;
  assign each_o       = each_q;
  assign faults_o     = faults_q;
  assign busy_o       = state_q != AT_HEADER;

`ifndef SYNTHESIS
  // Blocks whose room is taken and that have not ended: never two.
  logic begun_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      begun_q <= 1'b0;
    end else begin
      if (op_n == pc_pkg::OP_NORMS) begun_q <= 1'b1;
      else if (op_n == pc_pkg::OP_FLUSH || (op_n == pc_pkg::OP_VALUES && tag_n.block_end))
        begun_q <= 1'b0;
      a_block_begins_after_the_last_ended : assert (!(op_n == pc_pkg::OP_NORMS && begun_q));
      only_a_begun_block_ends :
      assert (begun_q || !(op_n == pc_pkg::OP_FLUSH
          || (op_n == pc_pkg::OP_VALUES && !tag_n.is_cold)));
      a_begun_block_is_under_way : assert (begun_q == (state_q == AT_ROWS));
      room_is_taken_only_where_it_is : assert (!room_take_o || room_i);
    end
  end
`endif
`ifdef FORMAL
`include "pc_parser_proof.svh"
`endif
endmodule

`default_nettype wire
