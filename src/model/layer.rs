//! What a node becomes before it becomes a step: an operation with its own weights, so that weights
//! can still be folded into each other.
//!
//! Twin of [`crate::ops::program::Op`], plus the two that never reach a program: `Activate` (fused,
//! or else an `Affine` of ones and zeros).

use std::sync::Arc;

use crate::ops::program::{Shape, Window};

/// Index into [`Net::shapes`].
pub(super) type ValueId = usize;

/// [`crate::ops::program::Activation`] with its weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    Identity,
    Prelu(Vec<f32>),
    Relu,
    Sigmoid,
}

/// Weights in the order of the program, bias of one value per output channel, and the end of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Linear {
    pub(super) weights: Arc<[f32]>,
    pub(super) bias: Vec<f32>,
    pub(super) act: Act,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum LayerOp {
    Activate(Act),
    Add(Act),
    Affine {
        scale: Vec<f32>,
        shift: Vec<f32>,
        act: Act,
    },
    Concat,
    /// A second input is the residual.
    Conv(Window, Linear),
    Dense(Linear),
    /// A second input is the residual.
    Depthwise(Window, Linear),
    GlobalAverage,
    MaxPool(Window),
    Scale,
    Softmax,
    Upsample(usize),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layer {
    pub(super) op: LayerOp,
    pub(super) inputs: Vec<ValueId>,
    pub(super) output: ValueId,
}

/// Layers in computing order over numbered values; each value is written at most once.
#[derive(Debug, Default)]
pub(super) struct Net {
    pub(super) shapes: Vec<Shape>,
    pub(super) layers: Vec<Layer>,
    pub(super) input: ValueId,
    pub(super) outputs: Vec<(String, ValueId)>,
}
