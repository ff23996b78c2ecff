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

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;
    use crate::backend::gpu::pack::Facts;

    const HEADERS: [&str; 3] = [
        include_str!("../../../kernels/shared/gallery.cuh"),
        include_str!("../../../kernels/shared/job.cuh"),
        include_str!("../../../kernels/shared/picture.cuh"),
    ];

    /// Size and alignment of a member's type.
    fn bytes_of_type(ty: &str) -> usize {
        match ty.trim_start_matches("const ") {
            pointer if pointer.ends_with('*') => 8,
            "u64" | "i64" => 8,
            "u32" | "i32" | "float" => 4,
            other => panic!("a type of no known size: {other}"),
        }
    }

    /// Names and offsets of the members of the struct of that name in the headers, and its size.
    fn told(name: &str) -> (Vec<(String, usize)>, usize) {
        let texts = || HEADERS.iter().flat_map(|text| text.split("\nstruct ").skip(1));
        let headed = texts().map(|text| text.split_once(" {").expect("a body"));
        let mut found = headed.filter(|(head, _)| head.rsplit(' ').next() == Some(name));
        let (head, rest) = found.next().expect("the headers have it");
        let body = rest.split("};").next().expect("it ends");
        let aligned = head.strip_prefix("alignas(").and_then(|rest| rest.split(')').next());
        let aligned = aligned.map_or(1, |bytes| bytes.parse().expect("a number"));
        let (mut members, mut at, mut widest) = (Vec::new(), 0_usize, aligned);
        for line in body.lines().map(str::trim) {
            let Some(member) = line.strip_suffix(';').filter(|line| !line.starts_with("//")) else {
                continue;
            };
            let (ty, name) = member.rsplit_once(' ').expect("a type and a name");
            let (name, many) = match name.split_once('[') {
                None => (name, 1),
                Some((name, many)) => (name, many.trim_end_matches(']').parse().expect("a number")),
            };
            let bytes = bytes_of_type(ty);
            at = at.next_multiple_of(bytes);
            members.push((name.to_owned(), at));
            (at, widest) = (at + bytes * many, widest.max(bytes));
        }
        (members, at.next_multiple_of(widest))
    }

    macro_rules! assert_twin {
        ($name:ident { $($member:ident),* $(,)? }) => {{
            // A member that is not named here does not compile.
            let $name { $($member: _),* } = $name::zeroed();
            let held = vec![$((stringify!($member).to_owned(), offset_of!($name, $member))),*];
            assert_eq!((held, size_of::<$name>()), told(stringify!($name)));
        }};
    }

    #[test]
    fn what_a_step_is_told_lies_alike_on_both_sides() {
        assert_twin!(Job {
            input,
            second,
            weights,
            bias,
            scale,
            slopes,
            out,
            after_scale,
            after_shift,
            after,
            sums,
            items,
            in_h,
            in_w,
            in_c,
            out_h,
            out_w,
            out_c,
            kernel_h,
            kernel_w,
            stride_h,
            stride_w,
            pad_top,
            pad_left,
            curve,
            wide,
            extra,
            splits,
            spare,
        });
        assert_twin!(Picture {
            pixels,
            out,
            item,
            first_row,
            rows,
            width,
            height,
            out_h,
            out_w,
            blue_first,
            new_h,
            new_w,
            input,
            frame,
            m0,
            m1,
            m2,
            m3,
            m4,
            m5,
            spare,
        });
    }

    #[test]
    fn galleries_and_probes_lie_alike_on_both_sides() {
        assert_twin!(Piece {
            hot,
            cold,
            facts,
            class_bits_any,
            class_bits_all,
            not_before_s_max,
            expiry_s_min,
            rows,
            first_row,
            group,
            has_group,
            flags_any,
            spare,
        });
        assert_twin!(Probe {
            class_bits,
            now_s,
            threshold,
            rest_norm,
            best,
            has_group,
            group,
            spare,
        });
        assert_twin!(Search {
            pieces,
            probes,
            values,
            lists,
            tallies,
            results,
            piece_count,
            probe_count,
            hot_quads,
            cold_quads,
            rows,
            blocks,
            list_pitch,
            spare,
        });
        // The same bytes in halves: a kernel reads 64 bits at once.
        let (members, bytes) = told("Facts");
        let held = [
            ("class_bits", offset_of!(Facts, class_low)),
            ("not_before_s", offset_of!(Facts, not_before_low)),
            ("expiry_s", offset_of!(Facts, expiry_low)),
            ("group", offset_of!(Facts, group)),
            ("flags", offset_of!(Facts, flags)),
        ];
        assert_eq!(
            (bytes, members),
            (size_of::<Facts>(), held.map(|(n, at)| (n.into(), at)).into())
        );
    }
}
