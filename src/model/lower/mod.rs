//! From the nodes of a graph to the layers of a [`Net`]: one layer per node, or none where a node
//! only renames. Shapes are inferred here, values change from NCHW to NHWC, and weights with them.
//!
//! A buffer is NHWC; what the file means by its dimensions is kept beside it, in a [`View`]. So
//! `Flatten`, `Reshape` and `Transpose` move nothing: they change the view, and the operator that
//! reads it permutes its weights accordingly, or refuses.
//!
//! Not here: anything that joins two nodes; that is `fuse.rs`.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

mod arrange;
mod convolve;
mod dense;
mod elementwise;

use std::collections::HashMap;

pub(super) use elementwise::single;

use super::{
    error::{ModelError, OutputFlaw, Refusal},
    fold,
    graph::{Declared, Graph, Node},
    layer::{Layer, LayerOp, Net, ValueId},
    tensor::{Tensor, product},
};
use crate::{limits, ops::program::Shape};

/// How the values of a buffer follow each other in the file's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Channel by channel, as ONNX counts.
    Nchw,
    /// Position by position, as the buffer lies.
    Nhwc,
}

/// What the file means by a buffer.
#[derive(Debug, Clone)]
struct View {
    id: ValueId,
    /// With the batch, which is one here and the caller's later.
    dims: Vec<usize>,
    order: Order,
    /// Zeros that the next convolution has to assume around it: top, left, bottom, right. They are
    /// counted in `dims`, not in the buffer.
    pad: [usize; 4],
}

/// Why a node is not lowered.
enum Fault {
    Operator,
    Refusal(Refusal),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

struct Lowering {
    opset: i64,
    constants: HashMap<String, Tensor>,
    views: HashMap<String, View>,
    net: Net,
    /// Values of all buffers so far.
    values_total: usize,
}

/// Lowers an ordered graph. `input_px` replaces the input's height and width.
pub(super) fn lower(
    graph: Graph,
    input: &Declared,
    input_px: Option<[usize; 2]>,
) -> Result<Net, ModelError> {
    let Graph { file, opset, nodes, constants, outputs, .. } = graph;
    let mut lowering =
        Lowering { opset, constants, views: HashMap::new(), net: Net::default(), values_total: 0 };
    lowering.input(input, input_px, &file)?;
    for node in &nodes {
        lowering.node(node).map_err(|fault| named(fault, node, &file, input_px))?;
    }
    for output in outputs {
        let refused = |why| ModelError::Output { file: file.clone(), output: output.clone(), why };
        let Some(view) = lowering.views.get(&output) else {
            let constant = lowering.constants.contains_key(&output);
            let why = if constant { OutputFlaw::Constant } else { OutputFlaw::Undefined };
            return Err(refused(why));
        };
        if view.id == lowering.net.input {
            return Err(refused(OutputFlaw::Untouched));
        }
        if view.pad != [0; 4] {
            return Err(refused(OutputFlaw::Padded));
        }
        let shape = lowering.shape(view);
        // A map of its own four dimensions is given as the buffer lies; a flattened one would have
        // to be given channel by channel.
        if !lowering.lies(view, Order::Nhwc) && !is_map(view, shape) {
            return Err(refused(OutputFlaw::Flattened));
        }
        lowering.net.outputs.push((output, view.id));
    }
    Ok(lowering.net)
}

fn named(fault: Fault, node: &Node, file: &str, input_px: Option<[usize; 2]>) -> ModelError {
    let file = file.to_owned();
    let (node, operator) = (node.name.clone(), node.operator.clone());
    match (fault, input_px) {
        (Fault::Operator, _) => ModelError::Operator { file, node, operator },
        (Fault::Refusal(refusal @ Refusal::Shapes { .. }), Some([height_px, width_px])) => {
            let why = format!("node {node} ({operator}): {refusal}");
            ModelError::InputSize { file, height_px, width_px, why }
        }
        (Fault::Refusal(refusal), _) => {
            ModelError::Node { file, node, operator, refusal: Box::new(refusal) }
        }
    }
}

/// Whether `view` is the plain map of its buffer: batch, channels, height, width.
fn is_map(view: &View, shape: Shape) -> bool {
    let ordered = view.order == Order::Nchw || shape.c == 1 || (shape.h == 1 && shape.w == 1);
    let [top, left, bottom, right] = view.pad;
    let height = shape.h.saturating_add(top).saturating_add(bottom);
    let width = shape.w.saturating_add(left).saturating_add(right);
    ordered && view.dims == [1, shape.c, height, width]
}

impl Lowering {
    fn input(
        &mut self,
        declared: &Declared,
        input_px: Option<[usize; 2]>,
        file: &str,
    ) -> Result<(), ModelError> {
        let refused = || ModelError::InputShape {
            file: file.to_owned(),
            input: declared.name.clone(),
            held: format!("{:?}", declared.dims),
        };
        let &[_, first, second, third] = declared.dims.as_slice() else {
            return Err(refused());
        };
        // Exporters of TensorFlow keep pictures position by position: three channels at the end.
        let order = if third == Some(3) && first.is_none_or(|size| size > 4) {
            Order::Nhwc
        } else {
            Order::Nchw
        };
        let (c, mut h, mut w) = match order {
            Order::Nchw => (first, second, third),
            Order::Nhwc => (third, first, second),
        };
        if let Some([height_px, width_px]) = input_px {
            (h, w) = (Some(height_px), Some(width_px));
        }
        let (Some(h @ 1..), Some(w @ 1..), Some(c @ 1..)) = (h, w, c) else {
            return Err(refused());
        };
        let dims = match order {
            Order::Nchw => vec![1, c, h, w],
            Order::Nhwc => vec![1, h, w, c],
        };
        let id = self.value(Shape { h, w, c }).map_err(|_| ModelError::Buffers {
            file: file.to_owned(),
            held: product(&dims).unwrap_or(usize::MAX),
            most: limits::MODEL_BUFFER_VALUES_MAX,
        })?;
        self.net.input = id;
        self.views.insert(declared.name.clone(), View { id, dims, order, pad: [0; 4] });
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Result<(), Fault> {
        let read = || node.inputs.iter().filter(|input| !input.is_empty());
        if read().all(|input| self.constants.contains_key(input)) {
            let operands: Vec<_> =
                node.inputs.iter().map(|input| self.constants.get(input)).collect();
            let folded = fold::fold(node, &operands).ok_or(Fault::Operator)??;
            self.define(node, folded);
            return Ok(());
        }
        match node.operator.as_str() {
            "Add" | "Div" | "Mul" | "Sub" => self.arithmetic(node)?,
            "AveragePool" => self.average_pool(node)?,
            "BatchNormalization" => self.normalise(node)?,
            "Cast" => self.cast(node)?,
            "Clip" => self.clip(node)?,
            "Concat" => self.concat(node)?,
            "Conv" => self.convolve(node)?,
            "Dropout" | "Identity" => {
                let view = self.view(node, 0)?;
                self.bind(node, view);
            }
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => self.reshape(node)?,
            "Gemm" => self.gemm(node)?,
            "GlobalAveragePool" => self.global_average(node)?,
            "LeakyRelu" | "PRelu" | "Relu" | "Sigmoid" => self.activate(node)?,
            "MatMul" => self.matmul(node)?,
            "MaxPool" => self.max_pool(node)?,
            "Pad" => self.pad(node)?,
            "ReduceMean" => self.reduce_mean(node)?,
            "Resize" | "Upsample" => self.resize(node)?,
            "Shape" => {
                let dims = fold::shape(&self.view(node, 0)?.dims);
                self.define(node, dims);
            }
            "Softmax" => self.softmax(node)?,
            "Transpose" => self.transpose(node)?,
            _ => return Err(Fault::Operator),
        }
        Ok(())
    }

    /// Names a constant that was computed from constants.
    fn define(&mut self, node: &Node, tensor: Tensor) {
        if let Some(output) = node.outputs.first() {
            self.constants.insert(output.clone(), tensor);
        }
    }

    /// Names what a node gives.
    fn bind(&mut self, node: &Node, view: View) {
        if let Some(output) = node.outputs.first() {
            self.views.insert(output.clone(), view);
        }
    }

    /// Input `index`, which must depend on the network's input; its padding is taken up.
    fn padded_view(&self, node: &Node, index: usize) -> Result<View, Refusal> {
        let name = node.inputs.get(index).filter(|name| !name.is_empty());
        let name = name.ok_or(Refusal::Missing { index, what: "data" })?;
        if self.constants.contains_key(name) {
            return Err(Refusal::Fixed { index });
        }
        self.views.get(name).cloned().ok_or(Refusal::Second { index })
    }

    /// Input `index`, which must depend on the network's input and be a buffer as it lies.
    fn view(&self, node: &Node, index: usize) -> Result<View, Refusal> {
        let view = self.padded_view(node, index)?;
        if view.pad == [0; 4] { Ok(view) } else { Err(Refusal::Padding) }
    }

    /// Input `index` as a constant; `None` where it is left out.
    fn constant(
        &self,
        node: &Node,
        index: usize,
        what: &'static str,
    ) -> Result<Option<&Tensor>, Refusal> {
        match node.inputs.get(index).filter(|name| !name.is_empty()) {
            None => Ok(None),
            Some(name) => {
                self.constants.get(name).map(Some).ok_or(Refusal::Computed { index, what })
            }
        }
    }

    /// Input `index` as a float constant that must be there.
    fn weights(
        &self,
        node: &Node,
        index: usize,
        what: &'static str,
    ) -> Result<(&[usize], &[f32]), Refusal> {
        let tensor = self.constant(node, index, what)?.ok_or(Refusal::Missing { index, what })?;
        let held = tensor.values().type_name();
        let values = tensor.f32().ok_or(Refusal::Type { index, held, carried: "FLOAT" })?;
        Ok((tensor.dims(), values))
    }

    /// Whole numbers that older operator sets keep in an attribute, newer ones in input `index`.
    fn listed<'a>(
        &'a self,
        node: &'a Node,
        attribute: &'static str,
        index: usize,
    ) -> Result<Option<&'a [i64]>, Refusal> {
        match self.constant(node, index, attribute)? {
            None => node.ints(attribute),
            Some(tensor) => {
                let held = tensor.values().type_name();
                tensor.i64().map(Some).ok_or(Refusal::Type { index, held, carried: "INT64" })
            }
        }
    }

    fn shape(&self, view: &View) -> Shape {
        *self.net.shapes.get(view.id).expect("a view names a value that was made")
    }

    /// Whether the values of `view` follow each other in `order`, as far as it matters.
    fn lies(&self, view: &View, order: Order) -> bool {
        let Shape { h, w, c } = self.shape(view);
        view.order == order || c == 1 || (h == 1 && w == 1)
    }

    /// Input `index` as a plain map.
    fn map(&self, node: &Node, index: usize) -> Result<(View, Shape), Refusal> {
        let view = self.view(node, index)?;
        let shape = self.shape(&view);
        if is_map(&view, shape) {
            Ok((view, shape))
        } else {
            Err(Refusal::shapes(&view.dims, "batch, channels, height, width of one map"))
        }
    }

    /// The dimension of `view` that counts the channels of its buffer.
    fn channel_axis(&self, view: &View) -> Option<usize> {
        let Shape { h, w, c } = self.shape(view);
        let last = view.dims.len().checked_sub(1)?;
        if h == 1 && w == 1 {
            return view.dims.iter().skip(1).position(|&dim| dim == c)?.checked_add(1);
        }
        let axis = if view.order == Order::Nchw { 1 } else { last };
        let rows = view.dims.first() == Some(&1);
        (rows && view.dims.get(axis) == Some(&c)).then_some(axis)
    }

    /// A constant broadcast against `view`, as one value per channel.
    fn per_channel(
        &self,
        view: &View,
        dims: &[usize],
        values: &[f32],
    ) -> Result<Vec<f32>, Refusal> {
        let Shape { c, .. } = self.shape(view);
        if let [value] = values {
            return Ok(vec![*value; c]);
        }
        let refused = || Refusal::shapes((&view.dims, dims), "one value, or one per channel");
        let axis = self.channel_axis(view).ok_or_else(refused)?;
        // Broadcasting aligns the last dimensions.
        let lead = view.dims.len().checked_sub(dims.len()).ok_or_else(refused)?;
        let fits = dims
            .iter()
            .enumerate()
            .all(|(index, &dim)| dim == if index.checked_add(lead) == Some(axis) { c } else { 1 });
        if fits { Ok(values.to_vec()) } else { Err(refused()) }
    }

    /// A new value; refused where all values together would not fit the limit.
    fn value(&mut self, shape: Shape) -> Result<ValueId, Refusal> {
        let most = limits::MODEL_BUFFER_VALUES_MAX;
        let total = product(&[shape.h, shape.w, shape.c])
            .and_then(|values| values.checked_add(self.values_total))
            .filter(|&total| total <= most);
        let refused = || Refusal::Size { held: format!("{shape:?}"), most };
        self.values_total = total.ok_or_else(refused)?;
        if shape.is_empty() {
            return Err(Refusal::shapes(shape, "a result of at least one value"));
        }
        self.net.shapes.push(shape);
        Ok(self.net.shapes.len().saturating_sub(1))
    }

    /// Adds a layer whose result is a plain map.
    fn push_map(
        &mut self,
        op: LayerOp,
        inputs: Vec<ValueId>,
        shape: Shape,
    ) -> Result<View, Refusal> {
        let output = self.value(shape)?;
        self.net.layers.push(Layer { op, inputs, output });
        let dims = vec![1, shape.c, shape.h, shape.w];
        Ok(View { id: output, dims, order: Order::Nchw, pad: [0; 4] })
    }

    /// Adds a layer whose result is seen as its first input is.
    fn push_alike(
        &mut self,
        op: LayerOp,
        inputs: Vec<ValueId>,
        like: View,
    ) -> Result<View, Refusal> {
        let output = self.value(self.shape(&like))?;
        self.net.layers.push(Layer { op, inputs, output });
        Ok(View { id: output, ..like })
    }
}
