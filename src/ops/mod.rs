//! The meaning of everything that is computed: one plain scalar function per file, over one item.
//!
//! Why plain: a reader checks these index loops by eye, line for line beside the kernel, shader or
//! RTL unit of the same name. Nothing here is tuned; speed is the backends' matter. Sums are taken
//! in f64, so that an oracle's own rounding never decides a comparison; the order of a sum is free
//! for a backend, and tests/conformance holds it to the tolerance of the op's [`Class`].
//!
//! Invariant: no I/O, no threads, no clock, no state (a [`residence`] is its generation's); a
//! function writes every value of its output and nothing else. What is not here: batches (a backend
//! loops or fuses over items) and memory planning.
//!
//! Beside the ops stand the words they share: [`item`] (one buffer), [`program`] and [`check`] (a
//! network as data, and whether it is one), [`step`] (from a step to its function), [`tile`],
//! [`residence`] and [`transform`].

pub mod activation;
pub mod add;
pub mod affine;
pub mod check;
pub mod concat;
pub mod conv2d;
pub mod dense;
pub mod depthwise;
pub mod fit;
pub mod global_average;
pub mod item;
pub mod max_pool;
pub mod program;
pub mod quantise;
pub mod residence;
pub mod scale;
pub mod score;
pub mod search;
pub mod softmax;
pub mod step;
pub mod tile;
pub mod transform;
pub mod upsample;
pub mod warp;

/// How closely a backend must agree with the function in the op's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Bit for bit: integers, or values that are only moved or compared.
    Exact,
    /// Within the tolerance that tests/conformance names: f32 sums in another order.
    Network,
}

/// Whether a twin of the op exists in `kernels/` (CUDA) or `shaders/` (WGSL).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twin {
    /// `kernels/<name>.cu` or `shaders/<name>.wgsl` is there.
    Present,
    /// It is not; a backend that needs it lists the op in `Description::missing`.
    Missing,
}

/// One op as the table knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpRow {
    /// Name of its file here, of its kernel and of its shader.
    pub name: &'static str,
    /// How closely backends agree.
    pub class: Class,
    /// The CUDA twin.
    pub kernel: Twin,
    /// The WGSL twin.
    pub shader: Twin,
}

impl OpRow {
    const fn new(name: &'static str, class: Class) -> Self {
        Self { name, class, kernel: Twin::Missing, shader: Twin::Missing }
    }

    const fn with_kernel(self) -> Self {
        Self { kernel: Twin::Present, ..self }
    }

    const fn with_shader(self) -> Self {
        Self { shader: Twin::Present, ..self }
    }
}

/// Every op, by name. tests/tidy compares the twins with the folders `kernels/` and `shaders/`, and
/// tests/conformance has a case for every row: neither can be forgotten.
pub const ALL: &[OpRow] = &[
    OpRow::new("activation", Class::Network).with_kernel().with_shader(),
    OpRow::new("add", Class::Network).with_kernel().with_shader(),
    OpRow::new("affine", Class::Network).with_kernel().with_shader(),
    OpRow::new("concat", Class::Exact).with_kernel().with_shader(),
    OpRow::new("conv2d", Class::Network).with_kernel().with_shader(),
    OpRow::new("dense", Class::Network).with_kernel().with_shader(),
    OpRow::new("depthwise", Class::Network).with_kernel().with_shader(),
    OpRow::new("fit", Class::Exact).with_kernel().with_shader(),
    OpRow::new("global_average", Class::Network).with_kernel().with_shader(),
    OpRow::new("max_pool", Class::Exact).with_kernel().with_shader(),
    OpRow::new("quantise", Class::Exact),
    OpRow::new("scale", Class::Network).with_kernel().with_shader(),
    OpRow::new("score", Class::Exact).with_kernel().with_shader(),
    OpRow::new("search", Class::Exact).with_kernel().with_shader(),
    OpRow::new("softmax", Class::Network).with_kernel().with_shader(),
    OpRow::new("upsample", Class::Exact).with_kernel().with_shader(),
    OpRow::new("warp", Class::Network).with_kernel().with_shader(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_order_of_name() {
        assert!(ALL.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
