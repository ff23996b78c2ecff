//! What host and kernels both know: the structs of `kernels/shared/`, byte for byte.
//!
//! Invariant: a kernel takes one struct by value. Its size is compared with the compiled kernel's
//! at every launch ([`super::driver::launch`]), its members with the text of the headers by the
//! test below. The facts of rows are those of both GPU backends ([`crate::backend::gpu::pack`]).

use bytemuck::{Pod, Zeroable};

/// `Job` of kernels/shared/job.cuh: what the kernel of a step is told. The first eleven are
/// addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Job {
    pub(super) input: u64,
    pub(super) second: u64,
    pub(super) weights: u64,
    pub(super) bias: u64,
    pub(super) scale: u64,
    pub(super) slopes: u64,
    pub(super) out: u64,
    pub(super) after_scale: u64,
    pub(super) after_shift: u64,
    pub(super) after: u64,
    pub(super) sums: u64,
    pub(super) items: u32,
    pub(super) in_h: u32,
    pub(super) in_w: u32,
    pub(super) in_c: u32,
    pub(super) out_h: u32,
    pub(super) out_w: u32,
    pub(super) out_c: u32,
    pub(super) kernel_h: u32,
    pub(super) kernel_w: u32,
    pub(super) stride_h: u32,
    pub(super) stride_w: u32,
    pub(super) pad_top: u32,
    pub(super) pad_left: u32,
    pub(super) curve: u32,
    pub(super) wide: u32,
    pub(super) extra: u32,
    pub(super) splits: u32,
    pub(super) spare: u32,
}

/// `Picture` of kernels/shared/picture.cuh: one frame, and how it becomes an item's input.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Picture {
    pub(super) pixels: u64,
    pub(super) out: u64,
    pub(super) item: u32,
    pub(super) first_row: u32,
    pub(super) rows: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) out_h: u32,
    pub(super) out_w: u32,
    pub(super) blue_first: u32,
    pub(super) new_h: u32,
    pub(super) new_w: u32,
    pub(super) input: u32,
    pub(super) frame: u32,
    pub(super) m0: f32,
    pub(super) m1: f32,
    pub(super) m2: f32,
    pub(super) m3: f32,
    pub(super) m4: f32,
    pub(super) m5: f32,
    pub(super) spare: [u32; 4],
}

/// `Piece` of kernels/shared/gallery.cuh: a stretch of rows of a resident set, and what the rows of
/// its tile have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Piece {
    pub(super) hot: u64,
    pub(super) cold: u64,
    pub(super) facts: u64,
    pub(super) class_bits_any: u64,
    pub(super) class_bits_all: u64,
    pub(super) not_before_s_max: i64,
    pub(super) expiry_s_min: i64,
    pub(super) rows: u32,
    pub(super) first_row: u32,
    pub(super) group: u32,
    pub(super) has_group: u32,
    pub(super) flags_any: u32,
    pub(super) spare: u32,
}

/// `Probe` of kernels/shared/gallery.cuh, without its template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Probe {
    pub(super) class_bits: u64,
    pub(super) now_s: i64,
    pub(super) threshold: i32,
    pub(super) rest_norm: u32,
    pub(super) best: u32,
    pub(super) has_group: u32,
    pub(super) group: u32,
    pub(super) spare: [u32; 3],
}

/// `Search` of kernels/shared/gallery.cuh: all probes over one table of pieces. The first six are
/// addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Search {
    pub(super) pieces: u64,
    pub(super) probes: u64,
    pub(super) values: u64,
    pub(super) lists: u64,
    pub(super) tallies: u64,
    pub(super) results: u64,
    pub(super) piece_count: u32,
    pub(super) probe_count: u32,
    pub(super) hot_quads: u32,
    pub(super) cold_quads: u32,
    pub(super) rows: u32,
    pub(super) blocks: u32,
    pub(super) list_pitch: u32,
    pub(super) spare: [u32; 3],
}
