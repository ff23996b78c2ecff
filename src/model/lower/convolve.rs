//! Nodes with a window: `Conv`, `MaxPool`, averages, and the padding that belongs to them.

use super::{Fault, Lowering, View, is_map};
use crate::{
    limits,
    model::{
        error::Refusal,
        fold,
        graph::Node,
        layer::{Act, LayerOp, Linear},
        permute::{by_position, only, zeros},
    },
    ops::program::{Shape, Window},
};

/// Largest kernel edge, stride or padding: far beyond any face network, and safe to add up.
const WINDOW_MAX: i64 = 4096;

impl Lowering {
    /// `Conv` of one group, or with one filter per channel.
    pub(super) fn convolve(&mut self, node: &Node) -> Result<(), Fault> {
        let view = self.padded_view(node, 0)?;
        let shape = self.shape(&view);
        if !is_map(&view, shape) {
            return Err(Refusal::shapes(&view.dims, "batch, channels, height, width").into());
        }
        let (dims, weights) = self.weights(node, 1, "weights")?;
        let &[c_out, c_in, kernel_h, kernel_w] = dims else {
            return Err(Refusal::shapes(dims, "four dimensions of weights").into());
        };
        let group = node.int("group", 1)?;
        let depthwise = usize::try_from(group) == Ok(shape.c) && c_in == 1 && c_out == shape.c;
        if !depthwise && group != 1 {
            return Err(Refusal::attribute("group", group, "1, or one filter per channel").into());
        }
        if !depthwise && c_in != shape.c {
            return Err(Refusal::shapes((&view.dims, dims), "as many channels as weights").into());
        }
        let kernel = [kernel_h, kernel_w];
        if let Some(stated) = node.ints("kernel_shape")?
            && sizes(stated).as_deref() != Some(&kernel)
        {
            return Err(Refusal::shapes((stated, dims), "the kernel of the weights").into());
        }
        let window = window(node, shape, kernel, view.pad)?;
        // One filter per channel is one input channel.
        let weights = by_position(weights, c_in, kernel_h.saturating_mul(kernel_w), 1.0);
        let bias = match self.constant(node, 2, "bias")? {
            None => vec![0.0; c_out],
            Some(_) => {
                let (dims, bias) = self.weights(node, 2, "bias")?;
                if dims != [c_out] {
                    return Err(Refusal::shapes((dims, c_out), "one value per filter").into());
                }
                bias.to_vec()
            }
        };
        let linear = Linear { weights, bias, act: Act::Identity };
        let op = if depthwise {
            LayerOp::Depthwise(window, linear)
        } else {
            LayerOp::Conv(window, linear)
        };
        let [h, w] = window.output(shape.h, shape.w);
        let result = self.push_map(op, vec![view.id], Shape { h, w, c: c_out })?;
        self.bind(node, result);
        Ok(())
    }

    /// `MaxPool`, where rounding up would give the same size.
    pub(super) fn max_pool(&mut self, node: &Node) -> Result<(), Fault> {
        let (view, shape) = self.map(node, 0)?;
        let (window, [h, w]) = pool_window(node, shape)?;
        let shape = Shape { h, w, c: shape.c };
        let result = self.push_map(LayerOp::MaxPool(window), vec![view.id], shape)?;
        self.bind(node, result);
        Ok(())
    }

    /// `AveragePool` over the whole map.
    pub(super) fn average_pool(&mut self, node: &Node) -> Result<(), Fault> {
        let (_, shape) = self.map(node, 0)?;
        let (window, output) = pool_window(node, shape)?;
        if window.kernel != [shape.h, shape.w] || window.pad != [0; 4] || output != [1, 1] {
            let refused = Refusal::attribute("kernel_shape", window.kernel, "the whole map");
            return Err(refused.into());
        }
        self.global_average(node)
    }

    pub(super) fn global_average(&mut self, node: &Node) -> Result<(), Fault> {
        let (view, shape) = self.map(node, 0)?;
        let shape = Shape { h: 1, w: 1, c: shape.c };
        let result = self.push_map(LayerOp::GlobalAverage, vec![view.id], shape)?;
        self.bind(node, result);
        Ok(())
    }

    /// `ReduceMean` over height and width.
    pub(super) fn reduce_mean(&mut self, node: &Node) -> Result<(), Fault> {
        let (_, shape) = self.map(node, 0)?;
        let axes = self.listed(node, "axes", 1)?.unwrap_or_default();
        let mut places: Vec<_> = axes.iter().map(|&axis| fold::axis_of(axis, 4)).collect();
        places.sort_unstable();
        if places != [Some(2), Some(3)] {
            return Err(Refusal::attribute("axes", axes, "height and width").into());
        }
        self.global_average(node)?;
        if node.int("keepdims", 1)? == 0 {
            let flat = node.outputs.first().and_then(|output| self.views.get_mut(output));
            flat.into_iter().for_each(|view| view.dims = vec![1, shape.c]);
        }
        Ok(())
    }

    /// `Pad` with zeros: around the map, for the next convolution to take up; or behind the
    /// channels, which is exactly a convolution with ones on its diagonal.
    pub(super) fn pad(&mut self, node: &Node) -> Result<(), Fault> {
        let (view, shape) = self.map(node, 0)?;
        let mode = node.text("mode", "constant")?;
        if mode != "constant" {
            return Err(Refusal::attribute("mode", mode, "constant").into());
        }
        let value = match self.constant(node, 2, "value")? {
            Some(tensor) => tensor.scalar().unwrap_or(f32::NAN),
            None => node.float("value", 0.0)?,
        };
        if value != 0.0 {
            return Err(Refusal::attribute("value", value, "0").into());
        }
        if self.constant(node, 3, "axes")?.is_some() {
            return Err(Refusal::attribute("axes", "stated", "all").into());
        }
        let pads = self.listed(node, "pads", 1)?.unwrap_or_default();
        let refused = || Refusal::attribute("pads", pads, "around the map, or behind the channels");
        let pads_of = sizes(pads).ok_or_else(refused)?;
        let &[0, 0, top, left, 0, behind, bottom, right] = pads_of.as_slice() else {
            return Err(refused().into());
        };
        let around = [top, left, bottom, right];
        if behind != 0 && around != [0; 4] {
            return Err(refused().into());
        }
        let result = if behind == 0 {
            let dims = vec![
                1,
                shape.c,
                shape.h.saturating_add(top).saturating_add(bottom),
                shape.w.saturating_add(left).saturating_add(right),
            ];
            View { dims, pad: around, ..view }
        } else {
            self.widened(&view, shape, behind)?
        };
        self.bind(node, result);
        Ok(())
    }

    fn widened(&mut self, view: &View, shape: Shape, behind: usize) -> Result<View, Refusal> {
        let c_out = shape.c.saturating_add(behind);
        let most = limits::MODEL_BUFFER_VALUES_MAX;
        let square = shape.c.checked_mul(c_out).filter(|&values| values <= most);
        let refused = || Refusal::Size { held: format!("{} × {c_out}", shape.c), most };
        let mut weights = zeros(square.ok_or_else(refused)?);
        only(&mut weights).iter_mut().step_by(c_out.saturating_add(1)).for_each(|one| *one = 1.0);
        let linear = Linear { weights, bias: vec![0.0; c_out], act: Act::Identity };
        let window = Window { kernel: [1, 1], stride: [1, 1], pad: [0; 4] };
        let wide = Shape { c: c_out, ..shape };
        self.push_map(LayerOp::Conv(window, linear), vec![view.id], wide)
    }
}

/// Whole numbers from zero to [`WINDOW_MAX`].
fn sizes(values: &[i64]) -> Option<Vec<usize>> {
    let within =
        values.iter().map(|&value| usize::try_from(value).ok().filter(|_| value <= WINDOW_MAX));
    within.collect()
}

/// Two whole numbers of an attribute, each at least one.
fn pair(node: &Node, name: &'static str, default: [usize; 2]) -> Result<[usize; 2], Refusal> {
    let Some(stated) = node.ints(name)? else { return Ok(default) };
    match sizes(stated).as_deref() {
        Some(&[vertical @ (1..), horizontal @ (1..)]) => Ok([vertical, horizontal]),
        _ => Err(Refusal::attribute(name, stated, "two numbers from 1 to 4096")),
    }
}

/// The window of a node over a map of `shape` that already has `around` zeros around it.
fn window(
    node: &Node,
    shape: Shape,
    kernel: [usize; 2],
    around: [usize; 4],
) -> Result<Window, Refusal> {
    let dilation = pair(node, "dilations", [1, 1])?;
    if dilation != [1, 1] {
        return Err(Refusal::attribute("dilations", dilation, "1, 1"));
    }
    let edge_max = usize::try_from(WINDOW_MAX).unwrap_or(usize::MAX);
    if kernel.iter().any(|edge| !(1..=edge_max).contains(edge)) {
        return Err(Refusal::attribute("kernel_shape", kernel, "two numbers from 1 to 4096"));
    }
    let stride = pair(node, "strides", [1, 1])?;
    let own = match node.text("auto_pad", "NOTSET")? {
        "NOTSET" => {
            let stated = node.ints("pads")?.unwrap_or(&[0; 4]);
            let carried = "four numbers from 0 to 4096";
            let refused = || Refusal::attribute("pads", stated, carried);
            <[usize; 4]>::try_from(sizes(stated).ok_or_else(refused)?).map_err(|_| refused())?
        }
        "VALID" => [0; 4],
        mode @ ("SAME_UPPER" | "SAME_LOWER") if around == [0; 4] => {
            let upper = mode == "SAME_UPPER";
            let [top, bottom] = same(shape.h, kernel[0], stride[0], upper);
            let [left, right] = same(shape.w, kernel[1], stride[1], upper);
            [top, left, bottom, right]
        }
        mode => return Err(Refusal::attribute("auto_pad", mode, "NOTSET, VALID, SAME_*")),
    };
    let mut pad = own;
    pad.iter_mut().zip(around).for_each(|(own, around)| *own = own.saturating_add(around));
    let window = Window { kernel, stride, pad };
    if window.output(shape.h, shape.w).contains(&0) {
        return Err(Refusal::shapes((shape, window), "a window that fits the map"));
    }
    Ok(window)
}

/// Padding before and after, so that the result has `size / stride` positions, rounded up.
fn same(size: usize, kernel: usize, stride: usize, upper: bool) -> [usize; 2] {
    let last = size.div_ceil(stride).saturating_sub(1).saturating_mul(stride);
    let total = last.saturating_add(kernel).saturating_sub(size);
    let (less, more) = (total / 2, total.div_ceil(2));
    if upper { [less, more] } else { [more, less] }
}

/// The window of a pooling node, and the size of what it gives.
fn pool_window(node: &Node, shape: Shape) -> Result<(Window, [usize; 2]), Refusal> {
    let kernel = pair(node, "kernel_shape", [0, 0])?;
    let window = window(node, shape, kernel, [0; 4])?;
    let [top, left, bottom, right] = window.pad;
    if top.max(bottom) >= kernel[0] || left.max(right) >= kernel[1] {
        return Err(Refusal::attribute("pads", window.pad, "less than the kernel"));
    }
    let left_over = |size: usize, before: usize, after: usize, axis: usize| {
        let room = size.saturating_add(before).saturating_add(after).saturating_sub(kernel[axis]);
        room.checked_rem(window.stride[axis]) != Some(0)
    };
    let uneven = left_over(shape.h, top, bottom, 0) || left_over(shape.w, left, right, 1);
    if node.int("ceil_mode", 0)? != 0 && uneven {
        return Err(Refusal::attribute("ceil_mode", 1, "0, or a window that divides the map"));
    }
    Ok((window, window.output(shape.h, shape.w)))
}
