//! Nodes that keep every value in its place: normalisation, arithmetic with constants, gates,
//! activations, softmax.

use super::{Fault, Lowering, Order, View};
use crate::model::{
    error::Refusal,
    fold::axis_of,
    graph::Node,
    layer::{Act, LayerOp},
};

/// First operator set in which `Softmax` works along one axis instead of flattening.
const SOFTMAX_ALONG_AXIS: i64 = 13;
/// First operator set in which `Clip` takes its bounds as inputs.
const CLIP_BY_INPUT: i64 = 11;

impl Lowering {
    /// `BatchNormalization` with its stored statistics: a factor and a summand per channel.
    pub(super) fn normalise(&mut self, node: &Node) -> Result<(), Fault> {
        let view = self.view(node, 0)?;
        if node.int("training_mode", 0)? != 0 {
            return Err(Refusal::attribute("training_mode", 1, "0").into());
        }
        let channels = self.shape(&view).c;
        if self.channel_axis(&view) != Some(1) {
            return Err(Refusal::shapes(&view.dims, "channels in the second dimension").into());
        }
        let epsilon = f64::from(node.float("epsilon", 1e-5)?);
        let mut parts = Vec::with_capacity(4);
        for (index, what) in [(1, "scale"), (2, "shift"), (3, "mean"), (4, "variance")] {
            let (dims, values) = self.weights(node, index, what)?;
            if dims != [channels] {
                return Err(Refusal::shapes((dims, channels), "one value per channel").into());
            }
            parts.push(values);
        }
        let [gamma, beta, mean, variance] = parts.try_into().expect("four parts were pushed");
        let mut scale = Vec::with_capacity(channels);
        let mut shift = Vec::with_capacity(channels);
        for (((&gamma, &beta), &mean), &variance) in gamma.iter().zip(beta).zip(mean).zip(variance)
        {
            let factor = f64::from(gamma) / (f64::from(variance) + epsilon).sqrt();
            if !factor.is_finite() {
                return Err(Refusal::shapes(variance, "a variance above zero").into());
            }
            scale.push(single(factor));
            shift.push(single(f64::from(beta) - f64::from(mean) * factor));
        }
        self.affine(node, view, scale, shift)
    }

    fn affine(
        &mut self,
        node: &Node,
        view: View,
        scale: Vec<f32>,
        shift: Vec<f32>,
    ) -> Result<(), Fault> {
        let op = LayerOp::Affine { scale, shift, act: Act::Identity };
        let result = self.push_alike(op, vec![view.id], view)?;
        self.bind(node, result);
        Ok(())
    }

    /// `Add`, `Sub`, `Mul`, `Div`: with a constant, a sum of two values, or a gate.
    pub(super) fn arithmetic(&mut self, node: &Node) -> Result<(), Fault> {
        let fixed = |index: usize| {
            let name = node.inputs.get(index);
            name.is_some_and(|name| self.constants.contains_key(name))
        };
        if !fixed(0) && !fixed(1) {
            return self.of_two_values(node);
        }
        let (at, constant_at) = if fixed(1) { (0, 1) } else { (1, 0) };
        let view = self.view(node, at)?;
        let (dims, values) = self.weights(node, constant_at, "operand")?;
        let mut factors = self.per_channel(&view, dims, values)?;
        let channels = factors.len();
        let (scale, shift) = match (node.operator.as_str(), constant_at) {
            ("Add", _) => (vec![1.0; channels], factors),
            ("Mul", _) => (factors, vec![0.0; channels]),
            ("Sub", 1) => {
                factors.iter_mut().for_each(|value| *value = -*value);
                (vec![1.0; channels], factors)
            }
            ("Sub", _) => (vec![-1.0; channels], factors),
            ("Div", 1) if factors.iter().all(|&value| value.recip().is_finite()) => {
                factors.iter_mut().for_each(|value| *value = value.recip());
                (factors, vec![0.0; channels])
            }
            _ => return Err(Refusal::Computed { index: 1, what: "divisor other than zero" }.into()),
        };
        self.affine(node, view, scale, shift)
    }

    fn of_two_values(&mut self, node: &Node) -> Result<(), Fault> {
        let (first, second) = (self.view(node, 0)?, self.view(node, 1)?);
        let refused = || {
            Refusal::shapes((&first.dims, &second.dims), "equal dimensions, or a gate per channel")
        };
        let alike = first.dims == second.dims && self.shape(&first) == self.shape(&second);
        let result = match node.operator.as_str() {
            "Add" if alike && first.id == second.id => {
                let channels = self.shape(&first).c;
                return self.affine(node, first, vec![2.0; channels], vec![0.0; channels]);
            }
            "Add" if alike && self.lies(&second, first.order) => {
                self.push_alike(LayerOp::Add(Act::Identity), vec![first.id, second.id], first)?
            }
            "Mul" if self.gates(&first, &second) => {
                self.push_alike(LayerOp::Scale, vec![first.id, second.id], first)?
            }
            "Mul" if self.gates(&second, &first) => {
                self.push_alike(LayerOp::Scale, vec![second.id, first.id], second)?
            }
            "Add" | "Mul" => return Err(refused().into()),
            _ => return Err(Refusal::Computed { index: 1, what: "operand" }.into()),
        };
        self.bind(node, result);
        Ok(())
    }

    /// Whether `gate` is one value per channel of `view`.
    fn gates(&self, view: &View, gate: &View) -> bool {
        let (map, shape) = (self.shape(view), self.shape(gate));
        let mut expected = vec![1; view.dims.len()];
        let axis = self.channel_axis(view).and_then(|axis| expected.get_mut(axis));
        if let Some(channels) = axis {
            *channels = map.c;
        }
        shape.h == 1 && shape.w == 1 && shape.c == map.c && gate.dims == expected
    }

    /// `Relu`, `LeakyRelu`, `PRelu`, `Sigmoid`.
    pub(super) fn activate(&mut self, node: &Node) -> Result<(), Fault> {
        let view = self.view(node, 0)?;
        let act = match node.operator.as_str() {
            "Relu" => Act::Relu,
            "Sigmoid" => Act::Sigmoid,
            "LeakyRelu" => Act::Prelu(vec![node.float("alpha", 0.01)?; self.shape(&view).c]),
            _ => {
                let (dims, slopes) = self.weights(node, 1, "slope")?;
                Act::Prelu(self.per_channel(&view, dims, slopes)?)
            }
        };
        self.activated(node, view, act)
    }

    fn activated(&mut self, node: &Node, view: View, act: Act) -> Result<(), Fault> {
        let result = self.push_alike(LayerOp::Activate(act), vec![view.id], view)?;
        self.bind(node, result);
        Ok(())
    }

    /// `Clip` from zero up, which is `Relu`.
    pub(super) fn clip(&mut self, node: &Node) -> Result<(), Fault> {
        let view = self.view(node, 0)?;
        let bound = |index: usize, name: &'static str, open: f32| -> Result<f32, Refusal> {
            if self.opset < CLIP_BY_INPUT {
                return node.float(name, open);
            }
            let scalar = |tensor: &super::Tensor| {
                let held = tensor.values().type_name();
                tensor.scalar().ok_or(Refusal::Type { index, held, carried: "one FLOAT" })
            };
            self.constant(node, index, name)?.map_or(Ok(open), scalar)
        };
        let (least, most) = (bound(1, "min", f32::MIN)?, bound(2, "max", f32::MAX)?);
        if least != 0.0 {
            return Err(Refusal::attribute("min", least, "0").into());
        }
        if most < f32::MAX {
            return Err(Refusal::attribute("max", most, "none").into());
        }
        self.activated(node, view, Act::Relu)
    }

    /// `Cast` of the network's values to the type they have.
    pub(super) fn cast(&mut self, node: &Node) -> Result<(), Fault> {
        let view = self.view(node, 0)?;
        let to = node.int("to", 0)?;
        if to != 1 {
            return Err(Refusal::attribute("to", to, "1 (FLOAT)").into());
        }
        self.bind(node, view);
        Ok(())
    }

    /// `Softmax` over channels.
    pub(super) fn softmax(&mut self, node: &Node) -> Result<(), Fault> {
        let view = self.view(node, 0)?;
        let along = self.opset >= SOFTMAX_ALONG_AXIS;
        let stated = node.int("axis", if along { -1 } else { 1 })?;
        let axis = axis_of(stated, view.dims.len());
        // Older operator sets run over everything from the axis on.
        let behind = axis.and_then(|axis| view.dims.get(axis.saturating_add(1)..));
        let alone = along || behind.is_some_and(|dims| dims.iter().all(|&dim| dim == 1));
        if axis.is_none() || axis != self.channel_axis(&view) || !alone {
            return Err(Refusal::attribute("axis", stated, "the axis of channels").into());
        }
        let result = self.push_alike(LayerOp::Softmax, vec![view.id], view)?;
        self.bind(node, result);
        Ok(())
    }
}

impl View {
    /// Whether the file counts this buffer channel by channel.
    pub(super) fn by_channel(&self) -> bool {
        self.order == Order::Nchw
    }
}

/// Rounds a weight that was computed in double precision.
#[expect(clippy::cast_possible_truncation, reason = "rounding to the program's precision is meant")]
pub(in crate::model) fn single(value: f64) -> f32 {
    value as f32
}
