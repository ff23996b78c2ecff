// The register map of `hw/PROTOCOL.md`: identity, probes and their facts, control, sticky errors
// and the clocks. Says no to what the map does not name and to what would change a search under
// way.
//
// Level 1. Costs about 240 flip-flops per probe, 700 more, and the choice among all words on
// reading.
// Invariant: a refused access changes nothing but `ERRORS`.
`default_nettype none

module pc_registers #(
    parameter int unsigned PROBES = 16,  // probes resident, 1 to 16
    parameter int unsigned BEST = 16,  // candidates kept per probe
    parameter int unsigned PROBE_BEATS = 32,  // beats of one probe, 2 to 64
    parameter int unsigned TILE_ROWS = 1024  // rows of one hot packet
) (
    input  wire logic                             clk_i,
    input  wire logic                             rst_ni,
    // The bus, from `pc_axi_lite`.
    input  wire logic                             write_i,
    input  wire logic [                     11:0] write_address_i,
    input  wire logic [                     31:0] write_word_i,
    input  wire logic [                      3:0] write_strobe_i,
    output wire logic                             write_refused_o,
    input  wire logic                             read_i,
    input  wire logic [                     11:0] read_address_i,
    output wire logic [                     31:0] read_word_o,
    output wire logic                             read_refused_o,
    // The core.
    input  wire logic                             busy_i,           // beyond a wipe
    input  wire logic                             beat_taken_i,
    input  wire logic                             beat_stalled_i,
    input  wire logic [ pc_pkg::FAULTS_COUNT-1:0] faults_i,
    output wire logic                             abandon_o,        // for one clock: RESET
    output wire logic                             clear_o,          // for one clock: CLEAR
    output wire logic                             wiping_o,         // lists are cleared meanwhile
    output wire logic [ pc_pkg::ERRORS_COUNT-1:0] errors_o,
    output wire logic [                      7:0] hot_beats_o,
    output wire logic [                      7:0] cold_beats_o,
    output wire logic [               PROBES-1:0] active_o,
    output wire logic [            32*PROBES-1:0] threshold_o,
    output wire logic [            16*PROBES-1:0] norm_o,
    output wire logic [            64*PROBES-1:0] class_o,
    output wire logic [            32*PROBES-1:0] group_o,
    output wire logic [               PROBES-1:0] group_any_o,
    output wire logic [            64*PROBES-1:0] now_o,
    // The probes' memories.
    output wire logic [               PROBES-1:0] store_o,
    output wire logic [$clog2(PROBE_BEATS)-1:0]   store_beat_o,
    output wire logic [    pc_pkg::BEAT_BITS-1:0] store_values_o
);
  localparam logic [11:0] IDENTITY = 12'h000;
  localparam logic [11:0] VERSION = 12'h004;
  localparam logic [11:0] SIZES = 12'h008;
  localparam logic [11:0] CAPACITY = 12'h00C;
  localparam logic [11:0] CONTROL = 12'h010;
  localparam logic [11:0] STATUS = 12'h014;
  localparam logic [11:0] ERRORS = 12'h018;
  localparam logic [11:0] LAYOUT = 12'h01C;
  localparam logic [11:0] ACTIVE = 12'h020;
  localparam logic [11:0] PROBE_ADDRESS = 12'h024;
  localparam logic [11:0] PROBE_DATA = 12'h028;
  localparam logic [11:0] CYCLES_LOW = 12'h030;
  localparam logic [11:0] CYCLES_HIGH = 12'h034;
  localparam logic [11:0] BEATS_LOW = 12'h038;
  localparam logic [11:0] BEATS_HIGH = 12'h03C;
  localparam logic [11:0] STALLS = 12'h040;

  localparam int unsigned ADDRESS_BITS = $clog2(PROBE_BEATS);

  // What is written.
  logic [pc_pkg::ERRORS_COUNT-1:0] errors_q;
  logic [15:0] layout_q;
  logic [PROBES-1:0] active_q, group_any_q;
  logic [32*PROBES-1:0] threshold_q, group_q;
  logic [16*PROBES-1:0] norm_q;
  logic [64*PROBES-1:0] class_q, now_q;
  logic [7:0] at_beat_q;
  logic [3:0] at_probe_q, at_word_q;
  logic [pc_pkg::BEAT_BITS-1:0] words_q;  // the beat that is being written, newest word on top
  logic store_q, clear_q, abandon_q, wiping_q;
  logic [ADDRESS_BITS-1:0] wipe_beat_q;

  // What is counted.
  logic [63:0] cycles_q, beats_q;
  logic [31:0] cycles_high_q, beats_high_q, stalls_q;

  logic busy;
  assign busy = busy_i || wiping_q || abandon_q || clear_q || store_q;

  // Whose facts an address names.
  logic [3:0] write_probe, read_probe;
  logic write_is_facts, read_is_facts;
  assign write_probe    = write_address_i[8:5];
  assign read_probe     = read_address_i[8:5];
  assign write_is_facts = write_address_i[11:9] == 3'd1 && {1'b0, write_probe} < 5'(PROBES);
  assign read_is_facts  = read_address_i[11:9] == 3'd1 && {1'b0, read_probe} < 5'(PROBES);

  // A write is taken, or refused for one of two reasons.
  logic is_writable, wants_idle, is_write_wrong, is_write_busy, writes;
  always_comb begin
    is_writable = write_is_facts;
    wants_idle  = 1'b1;
    case (write_address_i)
      CONTROL: begin
        is_writable = 1'b1;
        wants_idle  = !write_word_i[2];
      end
      ERRORS: begin
        is_writable = 1'b1;
        wants_idle  = 1'b0;
      end
      LAYOUT, ACTIVE, PROBE_ADDRESS, PROBE_DATA: is_writable = 1'b1;
      default: ;
    endcase
    // A probe's eight facts fill its 32 bytes: every word of them is named.
    if (write_strobe_i != 4'b1111 || write_address_i[1:0] != 2'b00) is_writable = 1'b0;
  end
  assign is_write_wrong  = write_i && !is_writable;
  assign is_write_busy   = write_i && is_writable && wants_idle && busy;
  assign writes          = write_i && is_writable && !(wants_idle && busy);
  assign write_refused_o = is_write_wrong || is_write_busy;

  logic is_control, resets, wipes, clears;
  assign is_control = writes && write_address_i == CONTROL;
  assign resets     = is_control && write_word_i[2];
  assign wipes      = is_control && write_word_i[1];
  assign clears     = is_control && write_word_i[0];

  logic [pc_pkg::ERRORS_COUNT-1:0] errors_new, errors_old;
  always_comb begin
    errors_new = '0;
    errors_new[pc_pkg::FAULTS_COUNT-1:0] = faults_i;
    errors_new[pc_pkg::ERROR_ADDRESS] = is_write_wrong || (read_i && read_refused_o);
    errors_new[pc_pkg::ERROR_BUSY_WRITE] = is_write_busy;
    errors_old = errors_q;
    if (writes && write_address_i == ERRORS)
      errors_old = errors_q & ~write_word_i[pc_pkg::ERRORS_COUNT-1:0];
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      errors_q    <= '0;
      abandon_q   <= 1'b1;
      clear_q     <= 1'b1;
      store_q     <= 1'b0;
      wiping_q    <= 1'b1;
      wipe_beat_q <= '0;
    end else begin
      // An abandoned packet's last fault may still be on its way for one clock.
      errors_q  <= (resets || abandon_q) ? '0 : errors_old | errors_new;
      abandon_q <= resets;
      clear_q   <= resets || clears;
      store_q   <= writes && write_address_i == PROBE_DATA && at_word_q == 4'd15;
      if (resets || wipes) begin
        wiping_q    <= 1'b1;
        wipe_beat_q <= '0;
      end else if (wiping_q) begin
        wiping_q    <= wipe_beat_q != ADDRESS_BITS'(PROBE_BEATS - 1);
        wipe_beat_q <= wipe_beat_q + 1'b1;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (wiping_q) begin
      layout_q    <= '0;
      active_q    <= '0;
      at_beat_q   <= '0;
      at_probe_q  <= '0;
      at_word_q   <= '0;
      words_q     <= '0;
      threshold_q <= '0;
      norm_q      <= '0;
      class_q     <= '0;
      group_q     <= '0;
      group_any_q <= '0;
      now_q       <= '0;
    end else begin
      if (store_q) at_beat_q <= at_beat_q + 8'd1;
      if (writes) begin
        case (write_address_i)
          LAYOUT: layout_q <= write_word_i[15:0];
          ACTIVE: active_q <= write_word_i[PROBES-1:0];
          PROBE_ADDRESS: begin
            at_beat_q  <= write_word_i[7:0];
            at_probe_q <= write_word_i[11:8];
            at_word_q  <= '0;
          end
          PROBE_DATA: begin
            words_q   <= {write_word_i, words_q[pc_pkg::BEAT_BITS-1:32]};
            at_word_q <= at_word_q + 4'd1;
          end
          default: ;
        endcase
      end
      for (int unsigned p = 0; p < PROBES; p++) begin
        if (writes && write_is_facts && write_probe == 4'(p)) begin
          case (write_address_i[4:2])
            3'd0: threshold_q[32*p+:32] <= write_word_i;
            3'd1: norm_q[16*p+:16] <= write_word_i[15:0];
            3'd2: class_q[64*p+:32] <= write_word_i;
            3'd3: class_q[64*p+32+:32] <= write_word_i;
            3'd4: group_q[32*p+:32] <= write_word_i;
            3'd5: group_any_q[p] <= write_word_i[0];
            3'd6: now_q[64*p+:32] <= write_word_i;
            default: now_q[64*p+32+:32] <= write_word_i;
          endcase
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_q) begin
      cycles_q <= '0;
      beats_q  <= '0;
      stalls_q <= '0;
    end else begin
      cycles_q <= cycles_q + 64'(busy_i || wiping_q);
      beats_q  <= beats_q + 64'(beat_taken_i);
      if (beat_stalled_i && !(&stalls_q)) stalls_q <= stalls_q + 32'd1;
    end
    if (!rst_ni) begin
      cycles_high_q <= '0;
      beats_high_q  <= '0;
    end else if (read_i) begin
      if (read_address_i == CYCLES_LOW) cycles_high_q <= cycles_q[63:32];
      if (read_address_i == BEATS_LOW) beats_high_q <= beats_q[63:32];
    end
  end

  // Reading.
  logic [31:0] fact, word;
  always_comb begin
    fact = '0;
    for (int unsigned p = 0; p < PROBES; p++) begin
      if (read_probe == 4'(p)) begin
        case (read_address_i[4:2])
          3'd0: fact = threshold_q[32*p+:32];
          3'd1: fact = {16'd0, norm_q[16*p+:16]};
          3'd2: fact = class_q[64*p+:32];
          3'd3: fact = class_q[64*p+32+:32];
          3'd4: fact = group_q[32*p+:32];
          3'd5: fact = {31'd0, group_any_q[p]};
          3'd6: fact = now_q[64*p+:32];
          default: fact = now_q[64*p+32+:32];
        endcase
      end
    end
  end

  logic is_readable;
  always_comb begin
    is_readable = 1'b1;
    case (read_address_i)
      IDENTITY: word = pc_pkg::IDENTITY;
      VERSION: word = pc_pkg::VERSION;
      SIZES: word = {16'(BEST), 8'd0, 8'(PROBES)};
      CAPACITY: word = {16'(TILE_ROWS), 16'(PROBE_BEATS)};
      CONTROL, PROBE_DATA: word = '0;  // only written
      STATUS: word = {30'd0, errors_q != '0, busy};
      ERRORS: word = 32'(errors_q);
      LAYOUT: word = {16'd0, layout_q};
      ACTIVE: word = 32'(active_q);
      PROBE_ADDRESS: word = {20'd0, at_probe_q, at_beat_q};
      CYCLES_LOW: word = cycles_q[31:0];
      CYCLES_HIGH: word = cycles_high_q;
      BEATS_LOW: word = beats_q[31:0];
      BEATS_HIGH: word = beats_high_q;
      STALLS: word = stalls_q;
      default: begin
        is_readable = read_is_facts && read_address_i[1:0] == 2'b00;
        word = is_readable ? fact : '0;
      end
    endcase
  end
  assign read_word_o    = word;
  assign read_refused_o = !is_readable;

  // A whole beat goes to its probe's memory; a wipe goes to all.
  logic is_kept;
  assign is_kept = 9'(at_beat_q) < 9'(PROBE_BEATS);
  for (genvar p = 0; p < PROBES; p++) begin : gen_store
    assign store_o[p] = wiping_q || (store_q && is_kept && at_probe_q == 4'(p));
  end
  assign store_beat_o   = wiping_q ? wipe_beat_q : at_beat_q[ADDRESS_BITS-1:0];
  assign store_values_o = wiping_q ? '0 : words_q;

  assign abandon_o    = abandon_q;
  assign clear_o      = clear_q;
  assign wiping_o     = wiping_q;
  assign errors_o     = errors_q;
  assign hot_beats_o  = layout_q[7:0];
  assign cold_beats_o = layout_q[15:8];
  assign active_o     = active_q;
  assign threshold_o  = threshold_q;
  assign norm_o       = norm_q;
  assign class_o      = class_q;
  assign group_o      = group_q;
  assign group_any_o  = group_any_q;
  assign now_o        = now_q;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      clear_and_abandon_come_together : assert (!abandon_q || clear_q);
    end
  end
`endif
endmodule

`default_nettype wire
