//! What host and shaders both know: the structs of `shaders/shared/`, byte for byte.
//!
//! Invariant: every member is four bytes wide and stands at the same offset on both sides; the test
//! below asks naga for the offsets that the shaders have. Nothing else is shared by layout.

use bytemuck::{Pod, Zeroable};

/// `Job` of shaders/shared/job.wgsl: what the shader of a step is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Job {
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
    pub(super) residual: u32,
    pub(super) extra: u32,
    pub(super) items: u32,
}

/// `Picture` of shaders/shared/picture.wgsl: one frame, and how it becomes an item's input.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Picture {
    pub(super) begin: u32,
    pub(super) first_row: u32,
    pub(super) rows: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) out_h: u32,
    pub(super) out_w: u32,
    pub(super) item: u32,
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
    pub(super) spare: u32,
}

/// `Piece` of shaders/shared/gallery.wgsl: a stretch of rows that one workgroup scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Piece {
    pub(super) slot: u32,
    pub(super) rows: u32,
    pub(super) first_row: u32,
    pub(super) eligible: u32,
}

/// `Facts` of shaders/shared/gallery.wgsl: what is asked about a row. No subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Facts {
    pub(super) class_low: u32,
    pub(super) class_high: u32,
    pub(super) not_before_low: u32,
    pub(super) not_before_high: i32,
    pub(super) expiry_low: u32,
    pub(super) expiry_high: i32,
    pub(super) group: u32,
    pub(super) flags: u32,
}

/// `Probe` of shaders/shared/gallery.wgsl, without its template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Probe {
    pub(super) threshold: i32,
    pub(super) rest_norm: u32,
    pub(super) best: u32,
    pub(super) has_group: u32,
    pub(super) group: u32,
    pub(super) class_low: u32,
    pub(super) class_high: u32,
    pub(super) now_low: u32,
    pub(super) now_high: i32,
    pub(super) spare0: u32,
    pub(super) spare1: u32,
    pub(super) spare2: u32,
}

/// Most probes of one group.
pub(super) const GROUP_PROBES_MAX: usize = 8;

/// `Search` of shaders/shared/gallery.wgsl: one group of probes over one dispatch of pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Search {
    pub(super) hot_quads: u32,
    pub(super) cold_quads: u32,
    pub(super) rows: u32,
    pub(super) probes: u32,
    pub(super) pieces: u32,
    pub(super) group: u32,
    pub(super) spare0: u32,
    pub(super) spare1: u32,
    pub(super) probe: [Probe; GROUP_PROBES_MAX],
}

/// `Hit` of shaders/shared/gallery.wgsl.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Hit {
    pub(super) score: i32,
    pub(super) row: u32,
}

/// The upper half of a 64-bit number, with its sign.
pub(super) fn high(value: i64) -> i32 {
    i32::try_from(value >> 32).expect("32 bits are left")
}

/// The lower half of a 64-bit number's bits.
pub(super) fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).expect("32 bits are left")
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use ::wgpu::naga::{
        Handle, Module, Type, TypeInner,
        front::wgsl,
        proc::{GlobalCtx, Layouter},
    };

    use super::*;
    use crate::backend::wgpu::shaders::{Language, Shader};

    /// One struct: its name, its size, its members with their offsets.
    type Told = (String, u32, Vec<(String, u32)>);

    /// The structs that lie in what the host binds.
    fn bound(module: &Module) -> Vec<Handle<Type>> {
        let bound = module.global_variables.iter().filter(|(_, held)| held.binding.is_some());
        let mut open: Vec<Handle<Type>> = bound.map(|(_, held)| held.ty).collect();
        let mut structs = Vec::new();
        while let Some(handle) = open.pop() {
            match &module.types[handle].inner {
                TypeInner::Array { base, .. } => open.push(*base),
                TypeInner::Struct { members, .. } => {
                    open.extend(members.iter().map(|member| member.ty));
                    structs.push(handle);
                }
                _ => {}
            }
        }
        structs
    }

    /// Every struct that the host shares with a shader, as naga lays it out.
    fn reflected() -> Vec<Told> {
        let mut told = Vec::new();
        for shader in Shader::examples() {
            let source = shader.source(Language::default());
            let module = wgsl::parse_str(&source)
                .unwrap_or_else(|error| panic!("{}", error.emit_to_string(&source)));
            let mut layouter = Layouter::default();
            layouter
                .update(GlobalCtx {
                    types: &module.types,
                    constants: &module.constants,
                    overrides: &module.overrides,
                    global_expressions: &module.global_expressions,
                })
                .expect("every type has a size");
            for handle in bound(&module) {
                let ty = &module.types[handle];
                let (TypeInner::Struct { members, .. }, Some(name)) = (&ty.inner, &ty.name) else {
                    continue;
                };
                let members = members
                    .iter()
                    .map(|member| (member.name.clone().unwrap_or_default(), member.offset));
                told.push((name.clone(), layouter[handle].size, members.collect()));
            }
        }
        told.sort();
        told.dedup();
        told
    }

    macro_rules! twin {
        ($name:ident { $($member:ident),* $(,)? }) => {{
            // A member that is not named here does not compile.
            let $name { $($member: _),* } = $name::zeroed();
            let member = |name: &str, offset: usize| (name.to_owned(), offset as u32);
            let members = vec![$(member(stringify!($member), offset_of!($name, $member))),*];
            (stringify!($name).to_owned(), size_of::<$name>() as u32, members)
        }};
    }

    /// Those whose names come last.
    fn twins_of_the_search() -> Vec<Told> {
        vec![
            twin!(Probe {
                threshold,
                rest_norm,
                best,
                has_group,
                group,
                class_low,
                class_high,
                now_low,
                now_high,
                spare0,
                spare1,
                spare2,
            }),
            twin!(Search {
                hot_quads,
                cold_quads,
                rows,
                probes,
                pieces,
                group,
                spare0,
                spare1,
                probe,
            }),
        ]
    }

    #[test]
    fn host_and_shaders_lay_their_structs_out_alike() {
        let twins: Vec<Told> = vec![
            twin!(Facts {
                class_low,
                class_high,
                not_before_low,
                not_before_high,
                expiry_low,
                expiry_high,
                group,
                flags,
            }),
            twin!(Hit { score, row }),
            twin!(Job {
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
                residual,
                extra,
                items,
            }),
            twin!(Picture {
                begin,
                first_row,
                rows,
                width,
                height,
                out_h,
                out_w,
                item,
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
            }),
            twin!(Piece { slot, rows, first_row, eligible }),
        ];
        assert_eq!(reflected(), [twins, twins_of_the_search()].concat());
    }

    #[test]
    fn halves_of_long_numbers_come_back() {
        for value in [i64::MIN, -1, 0, 1, 1 << 31, 1 << 32, i64::MAX] {
            let (high, low) = (high(value), low(value.cast_unsigned()));
            assert_eq!((i64::from(high) << 32) | i64::from(low), value);
        }
    }
}
