//! The meaning of everything that is computed: one scalar function per op. Kernels, shaders and RTL
//! are twins of these files, by name.

pub mod program;
pub mod search;
pub mod tile;
