//! The CUDA kernels without a GPU: the very files of `kernels/`, compiled by a C++ compiler for a
//! host that plays the machine (`cuda_on_host/machine.hpp`), against the scalar oracle.
//!
//! What this proves: index arithmetic, tails, borders, bounds of memory, barriers that all threads
//! reach, lists and counts, in several orders of threads. What it does not: the instructions that
//! `kernels/shared/machine.cuh` wraps, the memory model of a device, and speed. That the kernels
//! compile for every architecture, without spills, is asked of NVRTC where its wheel is at hand.
//!
//! A machine without a C++ compiler skips, counted under `c++`; one without NVRTC under `nvrtc`.

mod common;
#[path = "conformance/support/mod.rs"]
#[allow(dead_code, reason = "the conformance suite uses the rest")]
mod support;

#[path = "cuda_on_host/device.rs"]
mod device;
#[path = "cuda_on_host/halves.rs"]
mod halves;
#[path = "cuda_on_host/layout.rs"]
mod layout;
#[path = "cuda_on_host/network.rs"]
mod network;
#[path = "cuda_on_host/pictures.rs"]
mod pictures;
#[path = "cuda_on_host/search.rs"]
mod search;
#[path = "cuda_on_host/sources.rs"]
mod sources;
