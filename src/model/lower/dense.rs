//! `Gemm` and `MatMul`: weights become `[in][out]`, with `in` counted as the buffer lies.

use std::sync::Arc;

use super::{Fault, Lowering, Order, View};
use crate::{
    model::{
        error::Refusal,
        graph::Node,
        layer::{Act, LayerOp, Linear},
        permute::{by_position, rows_by_position},
    },
    ops::program::Shape,
};

/// A weight matrix as the file has it.
struct Matrix<'a> {
    values: &'a [f32],
    inputs: usize,
    outputs: usize,
    /// One row per output instead of one per input.
    by_output: bool,
    factor: f32,
}

impl Lowering {
    /// `alpha · x · W + beta · C`.
    pub(super) fn gemm(&mut self, node: &Node) -> Result<(), Fault> {
        let view = self.view(node, 0)?;
        if node.int("transA", 0)? != 0 {
            return Err(Refusal::attribute("transA", 1, "0").into());
        }
        let by_output = node.int("transB", 0)? != 0;
        let factor = node.float("alpha", 1.0)?;
        let (dims, values) = self.weights(node, 1, "weights")?;
        let &[rows, columns] = dims else {
            return Err(Refusal::shapes(dims, "a matrix").into());
        };
        let (inputs, outputs) = if by_output { (columns, rows) } else { (rows, columns) };
        let matrix = Matrix { values, inputs, outputs, by_output, factor };
        if view.dims != [1, inputs] {
            return Err(
                Refusal::shapes((&view.dims, dims), "one row, as long as the matrix").into()
            );
        }
        let weights = self.arranged(&view, &matrix)?;
        let beta = node.float("beta", 1.0)?;
        let bias = match self.constant(node, 2, "bias")? {
            None => vec![0.0; outputs],
            Some(_) => {
                let (dims, values) = self.weights(node, 2, "bias")?;
                if dims.len() > 2 || !matches!(values.len(), len if len == 1 || len == outputs) {
                    return Err(Refusal::shapes((dims, outputs), "one value per output").into());
                }
                let every = values.iter().cycle().take(outputs);
                every.map(|value| value * beta).collect()
            }
        };
        self.dense(node, &view, vec![1, outputs], Linear { weights, bias, act: Act::Identity })
    }

    /// `x · W`; a bias follows as an `Add`, which is fused later.
    pub(super) fn matmul(&mut self, node: &Node) -> Result<(), Fault> {
        let view = self.view(node, 0)?;
        let (dims, values) = self.weights(node, 1, "weights")?;
        let &[inputs, outputs] = dims else {
            return Err(Refusal::shapes(dims, "a matrix").into());
        };
        let mut result = view.dims.clone();
        let last = result.pop();
        if last != Some(inputs) || result.iter().any(|&dim| dim != 1) {
            return Err(
                Refusal::shapes((&view.dims, dims), "one row, as long as the matrix").into()
            );
        }
        result.push(outputs);
        let matrix = Matrix { values, inputs, outputs, by_output: false, factor: 1.0 };
        let weights = self.arranged(&view, &matrix)?;
        let bias = vec![0.0; outputs];
        self.dense(node, &view, result, Linear { weights, bias, act: Act::Identity })
    }

    fn dense(
        &mut self,
        node: &Node,
        view: &View,
        dims: Vec<usize>,
        linear: Linear,
    ) -> Result<(), Fault> {
        let shape = Shape { h: 1, w: 1, c: linear.bias.len() };
        let result = self.push_map(LayerOp::Dense(linear), vec![view.id], shape)?;
        self.bind(node, View { dims, ..result });
        Ok(())
    }

    /// The matrix as `[in][out]`, its inputs in the order of the buffer.
    fn arranged(&self, view: &View, matrix: &Matrix<'_>) -> Result<Arc<[f32]>, Refusal> {
        let &Matrix { values, inputs, outputs, by_output, factor } = matrix;
        let Shape { h, w, c } = self.shape(view);
        let positions = h.saturating_mul(w);
        if outputs == 0 || positions.checked_mul(c) != Some(inputs) {
            return Err(Refusal::shapes((inputs, outputs), "a matrix that is not empty"));
        }
        let (channels, positions) =
            if self.lies(view, Order::Nhwc) { (inputs, 1) } else { (c, positions) };
        let arranged = if by_output {
            by_position(values, channels, positions, factor)
        } else {
            rows_by_position(values, channels, positions, factor)
        };
        Ok(arranged)
    }
}
