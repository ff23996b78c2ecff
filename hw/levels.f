// The modules, the lower first: a module knows only those of lower levels. Read by Verilator, and by
// hw/Makefile, which wants a bench folder for each module that has behaviour.

// level 0: words
rtl/pc_pkg.sv

// level 1: know only the words
rtl/pc_delay.sv
rtl/pc_stream_register.sv
rtl/pc_stream_fifo.sv
rtl/pc_quad.sv
rtl/pc_probe_memory.sv
rtl/pc_eligibility.sv
rtl/pc_top_k.sv
rtl/pc_parser.sv
rtl/pc_axi_lite.sv
rtl/pc_registers.sv

// level 2: one side of the work
rtl/pc_dot_pair.sv
rtl/pc_facts.sv
rtl/pc_norms.sv
rtl/pc_lane.sv
rtl/pc_results.sv

// level 3: the engine
rtl/pc_core.sv
