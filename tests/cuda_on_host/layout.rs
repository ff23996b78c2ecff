//! What the kernels are told, byte for byte as kernels/README.md has it; the kernels' own
//! assertions hold the other side.

use bytemuck::{Pod, Zeroable};

#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Job {
    pub(crate) input: u64,
    pub(crate) second: u64,
    pub(crate) weights: u64,
    pub(crate) bias: u64,
    pub(crate) scale: u64,
    pub(crate) slopes: u64,
    pub(crate) out: u64,
    pub(crate) after_scale: u64,
    pub(crate) after_shift: u64,
    pub(crate) after: u64,
    pub(crate) sums: u64,
    pub(crate) items: u32,
    pub(crate) in_h: u32,
    pub(crate) in_w: u32,
    pub(crate) in_c: u32,
    pub(crate) out_h: u32,
    pub(crate) out_w: u32,
    pub(crate) out_c: u32,
    pub(crate) kernel_h: u32,
    pub(crate) kernel_w: u32,
    pub(crate) stride_h: u32,
    pub(crate) stride_w: u32,
    pub(crate) pad_top: u32,
    pub(crate) pad_left: u32,
    pub(crate) curve: u32,
    pub(crate) wide: u32,
    pub(crate) extra: u32,
    pub(crate) splits: u32,
    pub(crate) spare: u32,
}

#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Picture {
    pub(crate) pixels: u64,
    pub(crate) out: u64,
    pub(crate) item: u32,
    pub(crate) first_row: u32,
    pub(crate) rows: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) out_h: u32,
    pub(crate) out_w: u32,
    pub(crate) blue_first: u32,
    pub(crate) new_h: u32,
    pub(crate) new_w: u32,
    pub(crate) input: u32,
    pub(crate) frame: u32,
    pub(crate) m: [f32; 6],
    pub(crate) spare: [u32; 4],
}

#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Facts {
    pub(crate) class_bits: u64,
    pub(crate) not_before_s: i64,
    pub(crate) expiry_s: i64,
    pub(crate) group: u32,
    pub(crate) flags: u32,
}

#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Piece {
    pub(crate) hot: u64,
    pub(crate) cold: u64,
    pub(crate) facts: u64,
    pub(crate) class_bits_any: u64,
    pub(crate) class_bits_all: u64,
    pub(crate) not_before_s_max: i64,
    pub(crate) expiry_s_min: i64,
    pub(crate) rows: u32,
    pub(crate) first_row: u32,
    pub(crate) group: u32,
    pub(crate) has_group: u32,
    pub(crate) flags_any: u32,
    pub(crate) spare: u32,
}

#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Probe {
    pub(crate) class_bits: u64,
    pub(crate) now_s: i64,
    pub(crate) threshold: i32,
    pub(crate) rest_norm: u32,
    pub(crate) best: u32,
    pub(crate) has_group: u32,
    pub(crate) group: u32,
    pub(crate) spare: [u32; 3],
}

#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Search {
    pub(crate) pieces: u64,
    pub(crate) probes: u64,
    pub(crate) values: u64,
    pub(crate) lists: u64,
    pub(crate) tallies: u64,
    pub(crate) results: u64,
    pub(crate) piece_count: u32,
    pub(crate) probe_count: u32,
    pub(crate) hot_quads: u32,
    pub(crate) cold_quads: u32,
    pub(crate) rows: u32,
    pub(crate) blocks: u32,
    pub(crate) list_pitch: u32,
    pub(crate) spare: [u32; 3],
}
