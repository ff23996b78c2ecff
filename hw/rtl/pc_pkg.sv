// Words that every module of the search engine uses: the numbers of `hw/PROTOCOL.md`, and what a
// beat is called once the parser has read it.
//
// Level 0: knows nothing else.
`default_nettype none

package pc_pkg;
  localparam int unsigned BEAT_BITS = 512; // one beat of either stream
  localparam int unsigned FACTS_BITS = 256; // facts of one row, two rows a beat
  localparam int unsigned ENTRIES_PER_BEAT = 8; // candidates of one result beat

  // The first byte of a packet's header.
  localparam logic [7:0] KIND_HOT = 8'd1;
  localparam logic [7:0] KIND_COLD = 8'd2;
  localparam logic [7:0] KIND_FINISH = 8'd3;

  // Bits of `ERRORS`; the packet faults come first, in the order in which a header is checked.
  localparam int unsigned ERROR_KIND = 0;
  localparam int unsigned ERROR_LENGTH = 1;
  localparam int unsigned ERROR_ROWS = 2;
  localparam int unsigned ERROR_LAYOUT = 3;
  localparam int unsigned ERROR_ORDER = 4;
  localparam int unsigned ERROR_ADDRESS = 5;
  localparam int unsigned ERROR_BUSY_WRITE = 6;
  localparam int unsigned ERRORS_COUNT = 7;
  localparam int unsigned FAULTS_COUNT = 5; // those that a packet can have

  localparam logic [31:0] IDENTITY = 32'h5452_4F50; // `PORT`
  localparam logic [31:0] VERSION = {16'd1, 16'd0};
  localparam logic [31:0] DONE = 32'h454E_4F44; // `DONE`, begins the answer to a finish packet


  // What travels down the pipeline with a beat.
  typedef logic [2:0] op_t;
  localparam op_t OP_NONE = 3'd0;  // no beat
  localparam op_t OP_FACTS = 3'd1;  // facts of two rows
  localparam op_t OP_NORMS = 3'd2;  // norms of a block: the block begins
  localparam op_t OP_VALUES = 3'd3;  // values of a row
  localparam op_t OP_FLUSH = 3'd4;  // the packet is faulty: the block that was begun ends here
  localparam op_t OP_FINISH = 3'd5;  // the search ends

  typedef struct packed {
    logic is_cold;  // of a cold packet
    logic first;  // first beat of a row
    logic last;  // last beat of a row: the row is seen
    logic block_end;  // with `last`: last row of a block
    logic packet_end;  // with `block_end`: last row of a packet
    logic [31:0] row;  // cold: row in the generation; hot: row in the tile
  } tag_t;

  // Clocks between the stages that the modules of the pipeline meet at. Stage 0 is the parser's
  // output.
  localparam int unsigned STAGE_OPERANDS = 2; // probe and row values stand side by side
  localparam int unsigned STAGE_ELIGIBLE = 3; // eligibility is known
  localparam int unsigned STAGE_SUM = 7; // the beat's 64 products are one sum
  localparam int unsigned STAGE_VERDICT = 10; // the row's score was held against the threshold
endpackage

`default_nettype wire
