//! From fused layers to the program: what no output needs is dropped, values and weights get their
//! numbers.

use std::sync::Arc;

use super::layer::{Act, Layer, LayerOp, Linear, Net, ValueId};
use crate::ops::program::{
    Activation, BufferId, ChannelOrder, Op, Output, Program, Shape, Step, WeightId,
};

/// Numbers everything.
pub(super) fn emit(mut net: Net, name: &str, channels: ChannelOrder) -> Program {
    drop_unread(&mut net);
    let mut emitting = Emitting {
        numbers: vec![None; net.shapes.len()],
        shapes: net.shapes,
        buffers: Vec::new(),
        weights: Vec::new(),
    };
    let input = emitting.buffer(net.input);
    let steps = net.layers.into_iter().map(|layer| emitting.step(layer)).collect();
    let output = |(name, value)| Output { name, buffer: emitting.buffer(value) };
    let outputs = net.outputs.into_iter().map(output).collect();
    let Emitting { buffers, weights, .. } = emitting;
    Program { name: name.to_owned(), input, channels, buffers, weights, steps, outputs }
}

/// Nodes that nothing needs are gone already; this drops layers that fusing left without a reader.
fn drop_unread(net: &mut Net) {
    let mut read = vec![false; net.shapes.len()];
    net.outputs.iter().for_each(|&(_, value)| read[value] = true);
    for layer in net.layers.iter().rev() {
        if read[layer.output] {
            layer.inputs.iter().for_each(|&input| read[input] = true);
        }
    }
    net.layers.retain(|layer| read[layer.output]);
}

struct Emitting {
    shapes: Vec<Shape>,
    /// By value: the buffer it got.
    numbers: Vec<Option<BufferId>>,
    buffers: Vec<Shape>,
    weights: Vec<Arc<[f32]>>,
}

impl Emitting {
    fn buffer(&mut self, value: ValueId) -> BufferId {
        if let Some(number) = self.numbers[value] {
            return number;
        }
        let number = BufferId(self.buffers.len());
        self.buffers.push(self.shapes[value]);
        self.numbers[value] = Some(number);
        number
    }

    fn weight(&mut self, values: impl Into<Arc<[f32]>>) -> WeightId {
        self.weights.push(values.into());
        WeightId(self.weights.len() - 1)
    }

    fn activation(&mut self, act: Act) -> Activation {
        match act {
            Act::Identity => Activation::Identity,
            Act::Prelu(slopes) => Activation::Prelu(self.weight(slopes)),
            Act::Relu => Activation::Relu,
            Act::Sigmoid => Activation::Sigmoid,
        }
    }

    fn linear(&mut self, linear: Linear) -> (WeightId, WeightId, Activation) {
        let weights = self.weight(linear.weights);
        let bias = self.weight(linear.bias);
        (weights, bias, self.activation(linear.act))
    }

    fn affine(&mut self, scale: Vec<f32>, shift: Vec<f32>, act: Act) -> Op {
        let scale = self.weight(scale);
        let shift = self.weight(shift);
        Op::Affine { scale, shift, activation: self.activation(act) }
    }

    fn step(&mut self, layer: Layer) -> Step {
        let inputs = layer.inputs.iter().map(|&input| self.buffer(input)).collect();
        let output = self.buffer(layer.output);
        let op = match layer.op {
            LayerOp::Activate(act) => {
                let channels = self.shapes[layer.output].c;
                self.affine(vec![1.0; channels], vec![0.0; channels], act)
            }
            LayerOp::Add(act) => Op::Add { activation: self.activation(act) },
            LayerOp::Affine { scale, shift, act } => self.affine(scale, shift, act),
            LayerOp::Concat => Op::Concat,
            LayerOp::Conv(window, linear) => {
                let (weights, bias, activation) = self.linear(linear);
                Op::Conv2d { window, weights, bias, activation }
            }
            LayerOp::Dense(linear) => {
                let (weights, bias, activation) = self.linear(linear);
                Op::Dense { weights, bias, activation }
            }
            LayerOp::Depthwise(window, linear) => {
                let (weights, bias, activation) = self.linear(linear);
                Op::Depthwise { window, weights, bias, activation }
            }
            LayerOp::GlobalAverage => Op::GlobalAverage,
            LayerOp::MaxPool(window) => Op::MaxPool { window },
            LayerOp::Scale => Op::Scale,
            LayerOp::Softmax => Op::Softmax,
            LayerOp::Upsample(factor) => Op::Upsample { factor },
        };
        Step { op, inputs, output }
    }
}
