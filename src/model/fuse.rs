//! Layers that can be one step become one: factors and summands go into weights, activations and
//! residuals to the end of the step that feeds them.
//!
//! Every rewrite is exact in real numbers; what is computed in double precision is rounded once. A
//! summand is never moved in front of a convolution that pads with zeros: at the borders it would
//! be missing. So the `(x − 127.5) / 128` of a network stays what it is, one `Affine`.
//!
//! Invariant: a value that something else reads, or that is an output, is still computed.

use super::{
    layer::{Act, Layer, LayerOp, Linear, Net, ValueId},
    lower::single,
    permute::only,
};

/// Fuses until nothing fits any more; one pass in computing order suffices, because each layer is
/// joined to what stands before it.
pub(super) fn fuse(net: &mut Net) {
    let mut fusing = Fusing::new(net);
    for place in 0..fusing.layers.len() {
        fusing.feed_scale_into_weights(place);
        fusing.join(place);
    }
    let layers = fusing.layers.into_iter().flatten().collect();
    net.outputs = fusing.outputs;
    net.layers = layers;
}

struct Fusing {
    layers: Vec<Option<Layer>>,
    /// By value: the place of the layer that writes it.
    writers: Vec<Option<usize>>,
    /// By value: how often it is read, outputs included.
    reads: Vec<usize>,
    outputs: Vec<(String, ValueId)>,
}

impl Fusing {
    fn new(net: &mut Net) -> Self {
        let layers: Vec<_> = std::mem::take(&mut net.layers).into_iter().map(Some).collect();
        let outputs = std::mem::take(&mut net.outputs);
        let mut writers = vec![None; net.shapes.len()];
        let mut reads = vec![0; net.shapes.len()];
        for (place, layer) in layers.iter().flatten().enumerate() {
            writers[layer.output] = Some(place);
            layer.inputs.iter().for_each(|&input| reads[input] += 1);
        }
        outputs.iter().for_each(|&(_, value)| reads[value] += 1);
        Self { layers, writers, reads, outputs }
    }

    /// The place of the layer that writes `value`, if nothing but one reader needs that value.
    fn only_for_me(&self, value: ValueId) -> Option<usize> {
        if self.reads[value] == 1 { self.writers[value] } else { None }
    }

    fn layer(&self, place: usize) -> &Layer {
        self.layers[place].as_ref().expect("`writers` names layers that are still there")
    }

    /// Lets the layer at `earlier`, already changed, write what the layer at `place` wrote.
    fn absorb(&mut self, earlier: usize, place: usize) {
        let absorbed = self.layers[place].take().expect("the caller looked at it");
        self.writers[absorbed.output] = Some(earlier);
        let layer = self.layers[earlier].as_mut().expect("`writers` names layers that are there");
        layer.output = absorbed.output;
    }

    /// Joins an `Affine` in front of the layer at `place` into its weights, where that is exact.
    fn feed_scale_into_weights(&mut self, place: usize) {
        let Some(layer) = &self.layers[place] else { return };
        let Some(before) = layer.inputs.first().and_then(|&input| self.only_for_me(input)) else {
            return;
        };
        let LayerOp::Affine { scale, shift, act: Act::Identity } = &self.layer(before).op else {
            return;
        };
        let unshifted = shift.iter().all(|&shift| shift == 0.0);
        let exact = match &layer.op {
            LayerOp::Conv(window, _) | LayerOp::Depthwise(window, _) => {
                unshifted || window.pad == [0; 4]
            }
            LayerOp::Dense(_) => true,
            _ => false,
        };
        if !exact {
            return;
        }
        let (scale, shift) = (scale.clone(), shift.clone());
        let fed = self.layers[before].take().expect("`only_for_me` names layers that are there");
        let layer = self.layers[place].as_mut().expect("looked at above");
        layer.inputs[0] = fed.inputs[0];
        match &mut layer.op {
            LayerOp::Conv(_, linear) | LayerOp::Dense(linear) => feed(linear, &scale, &shift),
            LayerOp::Depthwise(_, linear) => feed_depthwise(linear, &scale, &shift),
            _ => {}
        }
    }

    /// Joins the layer at `place` to the one before it.
    fn join(&mut self, place: usize) {
        let Some(layer) = &self.layers[place] else { return };
        match &layer.op {
            LayerOp::Activate(act) => self.join_activation(place, layer.inputs[0], act.clone()),
            LayerOp::Affine { scale, shift, act: Act::Identity } => {
                self.join_affine(place, layer.inputs[0], scale.clone(), shift.clone());
            }
            LayerOp::Add(Act::Identity) => self.join_residual(place),
            _ => {}
        }
    }

    fn join_activation(&mut self, place: usize, input: ValueId, wanted: Act) {
        let Some(before) = self.only_for_me(input) else { return };
        let layer =
            self.layers[before].as_mut().expect("`only_for_me` names layers that are there");
        let act = match &mut layer.op {
            LayerOp::Add(act) | LayerOp::Affine { act, .. } => act,
            LayerOp::Conv(_, linear) | LayerOp::Dense(linear) | LayerOp::Depthwise(_, linear) => {
                &mut linear.act
            }
            _ => return,
        };
        if *act == Act::Identity {
            *act = wanted;
            self.absorb(before, place);
        }
    }

    fn join_affine(&mut self, place: usize, input: ValueId, scale: Vec<f32>, shift: Vec<f32>) {
        let Some(before) = self.only_for_me(input) else { return };
        let layer =
            self.layers[before].as_mut().expect("`only_for_me` names layers that are there");
        let residual = layer.inputs.len() > 1;
        match &mut layer.op {
            LayerOp::Affine { scale: first, shift: second, act: Act::Identity } => {
                for (at, (scale, shift)) in scale.iter().zip(&shift).enumerate() {
                    second[at] = single(multiply_add(second[at], *scale, *shift));
                    first[at] *= scale;
                }
            }
            LayerOp::Conv(_, linear) | LayerOp::Dense(linear) | LayerOp::Depthwise(_, linear)
                if linear.act == Act::Identity && !residual =>
            {
                // Output channels are the innermost dimension of all three.
                for row in only(&mut linear.weights).chunks_exact_mut(scale.len()) {
                    row.iter_mut().zip(&scale).for_each(|(weight, scale)| *weight *= scale);
                }
                for (bias, (scale, shift)) in linear.bias.iter_mut().zip(scale.iter().zip(&shift)) {
                    *bias = single(multiply_add(*bias, *scale, *shift));
                }
            }
            _ => return,
        }
        self.absorb(before, place);
    }

    /// Makes an `Add` the residual of a convolution that feeds only it: the later one of two, so
    /// that the other operand is there when it runs.
    fn join_residual(&mut self, place: usize) {
        let inputs = self.layer(place).inputs.clone();
        let convolution = |&side: &usize| {
            let before = self.only_for_me(inputs[side])?;
            let layer = self.layer(before);
            let fits = match &layer.op {
                LayerOp::Conv(_, linear) | LayerOp::Depthwise(_, linear) => {
                    linear.act == Act::Identity && layer.inputs.len() == 1
                }
                _ => false,
            };
            fits.then_some((before, side))
        };
        let Some((before, side)) = [0, 1].iter().filter_map(convolution).max() else { return };
        // It moves to the place of the sum: only there are both operands known.
        let mut layer = self.layers[before].take().expect("`only_for_me` names layers there are");
        let sum = self.layers[place].take().expect("looked at above");
        layer.inputs.push(inputs[1 - side]);
        layer.output = sum.output;
        self.layers[place] = Some(layer);
    }
}

/// `value · scale + shift` in double precision.
fn multiply_add(value: f32, scale: f32, shift: f32) -> f64 {
    f64::from(value) * f64::from(scale) + f64::from(shift)
}

/// Weights `[…][in][out]` take up a factor and a summand per input channel.
fn feed(linear: &mut Linear, scale: &[f32], shift: &[f32]) {
    let outputs = linear.bias.len();
    let mut added = vec![0.0_f64; outputs];
    let per_channel = scale.iter().zip(shift).cycle();
    for (row, (&scale, &shift)) in
        only(&mut linear.weights).chunks_exact_mut(outputs).zip(per_channel)
    {
        for (weight, added) in row.iter_mut().zip(&mut added) {
            *added += f64::from(*weight) * f64::from(shift);
            *weight *= scale;
        }
    }
    for (bias, added) in linear.bias.iter_mut().zip(added) {
        *bias = single(f64::from(*bias) + added);
    }
}

/// As [`feed`], with one filter per channel: weights `[kh][kw][c]`.
fn feed_depthwise(linear: &mut Linear, scale: &[f32], shift: &[f32]) {
    for row in only(&mut linear.weights).chunks_exact_mut(scale.len()) {
        for (at, weight) in row.iter_mut().enumerate() {
            linear.bias[at] = single(multiply_add(*weight, shift[at], linear.bias[at]));
            *weight *= scale[at];
        }
    }
}
