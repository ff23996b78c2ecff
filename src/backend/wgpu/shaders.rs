//! The shaders of this backend: their text, what they are bound to, and their variants.
//!
//! A shader is a file of `shaders/`, named as its op, after the shared parts that it uses. Variants
//! differ by constants that are written in front of the text, so that the compiler sees them as
//! such: there is no second copy of a loop, and no branch on them at run time.

/// A part of a shader's text.
macro_rules! part {
    ($name:literal) => {
        include_str!(concat!("../../../shaders/", $name, ".wgsl"))
    };
}

/// One compiled program of the device: a shader and what its variants are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Shader {
    Add,
    Affine,
    Concat,
    Conv2d {
        /// 1 × 1, stride 1, no padding.
        pointwise: bool,
    },
    Dense {
        /// Weights in half precision.
        halved: bool,
    },
    Depthwise,
    Fit {
        /// A workgroup per pixel of the input, for frames that are far larger.
        divided: bool,
    },
    GlobalAverage,
    MaxPool,
    /// The lists of all pieces into the results.
    Merge(Lists),
    Scale,
    /// One pass over the pieces.
    Scan(Lists),
    Softmax,
    Upsample,
    Warp,
}

/// The language's packed arithmetic, as far as a device has it. What it lacks is emulated exactly.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Language {
    /// The product of four bytes.
    pub(super) dot4: bool,
    /// Two numbers of half precision out of a word.
    pub(super) halves: bool,
}

/// Candidate lists in workgroup memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Lists {
    /// Probes at a time.
    pub(super) probes: usize,
    /// Longest list that is kept.
    pub(super) kept: usize,
}

/// Lanes of a workgroup of the search.
#[cfg(test)]
pub(super) const SEARCH_LANES: usize = 128;

impl Lists {
    /// What lists of `best` entries for `probes` probes need, in a workgroup memory of at least 16
    /// KiB, which every adapter has: 12 KiB of hits at most.
    pub(super) fn of(probes: usize, best: usize) -> Self {
        let (kept, most) = if best <= 64 { (64, 8) } else { (256, 4) };
        let probes = probes.clamp(1, most).next_power_of_two();
        Self { probes, kept }
    }

    /// Entries of one list in memory: its length, then its hits.
    pub(super) fn entries(self) -> usize {
        self.kept + 1
    }
}

impl Shader {
    /// Every shader in at least one variant.
    #[cfg(test)]
    pub(super) fn examples() -> Vec<Self> {
        let lists = Lists { probes: 8, kept: 64 };
        let mut all = vec![Self::Add, Self::Affine, Self::Concat, Self::Depthwise];
        all.extend([false, true].map(|divided| Self::Fit { divided }));
        all.extend([false, true].map(|pointwise| Self::Conv2d { pointwise }));
        all.extend([false, true].map(|halved| Self::Dense { halved }));
        all.extend([Self::GlobalAverage, Self::MaxPool, Self::Merge(lists), Self::Scale]);
        all.extend([Self::Scan(lists), Self::Softmax, Self::Upsample, Self::Warp]);
        all
    }

    /// Its op.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Affine => "affine",
            Self::Concat => "concat",
            Self::Conv2d { .. } => "conv2d",
            Self::Dense { .. } => "dense",
            Self::Depthwise => "depthwise",
            Self::Fit { .. } => "fit",
            Self::GlobalAverage => "global_average",
            Self::MaxPool => "max_pool",
            Self::Merge(_) | Self::Scan(_) => "search",
            Self::Scale => "scale",
            Self::Softmax => "softmax",
            Self::Upsample => "upsample",
            Self::Warp => "warp",
        }
    }

    /// The entry point.
    pub(super) fn entry(self) -> &'static str {
        match self {
            Self::Fit { divided: true } => "divide",
            Self::Merge(_) => "merge",
            Self::Scan(_) => "scan",
            _ => "main",
        }
    }

    /// Buffers after the uniform one: how many are only read, and how many are written.
    pub(super) fn bindings(self) -> (u32, u32) {
        match self {
            Self::Concat
            | Self::Fit { .. }
            | Self::GlobalAverage
            | Self::MaxPool
            | Self::Softmax
            | Self::Upsample
            | Self::Warp => (1, 1),
            Self::Scale => (2, 1),
            Self::Add => (3, 1),
            Self::Affine | Self::Dense { .. } => (4, 1),
            Self::Conv2d { .. } | Self::Depthwise => (5, 1),
            Self::Merge(_) | Self::Scan(_) => (5, 3),
        }
    }

    /// Its whole text, for a device that speaks `language`.
    pub(super) fn source(self, language: Language) -> String {
        let dot4 = match language.dot4 {
            true => part!("shared/dot4_native"),
            false => part!("shared/dot4_emulated"),
        };
        let halves = match language.halves {
            true => part!("shared/halves_native"),
            false => part!("shared/halves_emulated"),
        };
        let job = part!("shared/job");
        let picture = part!("shared/picture");
        let curve = part!("activation");
        let parts: &[&str] = match self {
            Self::Add => &[job, curve, part!("add")],
            Self::Affine => &[job, curve, part!("affine")],
            Self::Concat => &[job, part!("concat")],
            Self::Conv2d { .. } => &[job, curve, part!("conv2d")],
            Self::Dense { .. } => &[job, curve, halves, part!("dense")],
            Self::Depthwise => &[job, curve, part!("depthwise")],
            Self::Fit { .. } => &[picture, part!("fit")],
            Self::GlobalAverage => &[job, part!("global_average")],
            Self::MaxPool => &[job, part!("max_pool")],
            Self::Merge(_) | Self::Scan(_) => {
                &[dot4, part!("score"), part!("shared/gallery"), part!("search")]
            }
            Self::Scale => &[job, part!("scale")],
            Self::Softmax => &[job, part!("softmax")],
            Self::Upsample => &[job, part!("upsample")],
            Self::Warp => &[picture, part!("warp")],
        };
        let mut text = self.constants();
        for part in parts {
            text.push_str(part);
            text.push('\n');
        }
        text
    }

    /// What is written in front of the text.
    fn constants(self) -> String {
        match self {
            Self::Conv2d { pointwise } => format!("const POINTWISE: bool = {pointwise};\n"),
            Self::Dense { halved } => format!("const HALVED: bool = {halved};\n"),
            Self::Merge(lists) | Self::Scan(lists) => {
                let Lists { probes, kept } = lists;
                format!("const PROBES: u32 = {probes}u;\nconst KEPT: u32 = {kept}u;\n")
            }
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ::wgpu::naga::{
        front::wgsl,
        valid::{Capabilities, ValidationFlags, Validator},
    };

    use super::*;
    use crate::limits::CANDIDATES_MAX;

    #[test]
    fn every_shader_is_valid_and_needs_no_more_than_the_language_says() {
        for shader in Shader::examples() {
            for has_all in [false, true] {
                let source = shader.source(Language { dot4: has_all, halves: has_all });
                let module = wgsl::parse_str(&source)
                    .unwrap_or_else(|error| panic!("{}", error.emit_to_string(&source)));
                let granted = if has_all {
                    Capabilities::SHADER_FLOAT16_IN_FLOAT32
                } else {
                    Capabilities::empty()
                };
                let mut validator = Validator::new(ValidationFlags::all(), granted);
                let valid = validator.validate(&module);
                valid.unwrap_or_else(|error| panic!("{}", error.emit_to_string(&source)));
                let entries: Vec<_> = module.entry_points.iter().map(|e| e.name.as_str()).collect();
                assert!(entries.contains(&shader.entry()), "{shader:?}: {entries:?}");
                let (read, written) = shader.bindings();
                let bound = module.global_variables.iter().filter(|(_, v)| v.binding.is_some());
                assert_eq!(bound.count(), (1 + read + written) as usize, "{shader:?}");
            }
        }
    }

    #[test]
    fn the_smallest_workgroup_memory_holds_the_lists() {
        const GUARANTEED_BYTES: usize = 16 * 1024;
        for best in [0, 1, 64, 65, CANDIDATES_MAX] {
            for probes in [1, 2, 3, 8, 64] {
                let lists = Lists::of(probes, best);
                assert!(lists.kept >= best && lists.probes >= 1, "{lists:?}");
                let hits = lists.probes * (lists.kept + SEARCH_LANES) * 8;
                assert!(hits + 1024 <= GUARANTEED_BYTES, "{lists:?}");
            }
        }
    }
}
