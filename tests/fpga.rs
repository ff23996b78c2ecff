//! The search engine in hardware, without hardware: the twin against the oracle, every transport
//! against the twin, card memory after an erasure, and the Verilated RTL where it can be built.
//!
//! `cases` makes galleries whose scores and bounds lie at the thresholds; everything else searches
//! them. The RTL is built by `make -C hw cosim`, here and not by a build script; where Verilator is
//! not installed that is a counted skip under the key `verilator`.

mod common;
#[path = "conformance/support/mod.rs"]
#[allow(dead_code, reason = "the conformance suite uses the rest")]
mod support;

#[path = "fpga/beyond.rs"]
mod beyond;
#[path = "fpga/cases.rs"]
mod cases;
#[path = "fpga/cosim.rs"]
mod cosim;
#[path = "fpga/erasure.rs"]
mod erasure;
#[path = "fpga/faults.rs"]
mod faults;
#[path = "fpga/oracle.rs"]
mod oracle;
#[path = "fpga/recorder.rs"]
mod recorder;
#[path = "fpga/server.rs"]
mod server;
#[path = "fpga/shell.rs"]
mod shell;
#[path = "fpga/transports.rs"]
mod transports;
