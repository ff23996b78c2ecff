//! Nodes that only rename, join or enlarge: `Reshape` and its kin, `Transpose`, `Concat`, `Resize`.

use super::{Fault, Lowering, Order, View};
use crate::{
    model::{
        error::Refusal,
        fold::{self, axis_of},
        graph::Node,
        layer::LayerOp,
    },
    ops::program::Shape,
};

/// First operator set whose `Resize` states how coordinates are mapped.
const RESIZE_BY_MODE: i64 = 11;
/// Largest factor of an enlargement.
const FACTOR_MAX: usize = 64;

impl Lowering {
    /// `Flatten`, `Reshape`, `Squeeze`, `Unsqueeze`: the same values under other dimensions.
    pub(super) fn reshape(&mut self, node: &Node) -> Result<(), Fault> {
        let view = self.view(node, 0)?;
        let dims = match node.operator.as_str() {
            "Flatten" => fold::flat_dims(node, &view.dims)?,
            "Reshape" => {
                let target = self.listed(node, "shape", 1)?;
                let target = target.ok_or(Refusal::Missing { index: 1, what: "shape" })?;
                fold::target_dims(node, &view.dims, target)?
            }
            _ => fold::squeezed_dims(node, &view.dims, self.listed(node, "axes", 1)?)?,
        };
        if dims.first() != Some(&1) {
            return Err(
                Refusal::shapes((&view.dims, dims), "the batch in the first dimension").into()
            );
        }
        self.bind(node, View { dims, ..view });
        Ok(())
    }

    /// `Transpose` between the two orders of a map.
    pub(super) fn transpose(&mut self, node: &Node) -> Result<(), Fault> {
        let view = self.view(node, 0)?;
        let Shape { h, w, c } = self.shape(&view);
        let perm = node.ints("perm")?.unwrap_or_default();
        let by_channel = view.dims == [1, c, h, w] && self.lies(&view, Order::Nchw);
        let by_position = view.dims == [1, h, w, c] && self.lies(&view, Order::Nhwc);
        let result = match perm {
            [0, 2, 3, 1] if by_channel => {
                View { dims: vec![1, h, w, c], order: Order::Nhwc, ..view }
            }
            [0, 3, 1, 2] if by_position => {
                View { dims: vec![1, c, h, w], order: Order::Nchw, ..view }
            }
            _ => {
                return Err(
                    Refusal::shapes((&view.dims, perm), "0, 2, 3, 1 of a map, or back").into()
                );
            }
        };
        self.bind(node, result);
        Ok(())
    }

    /// `Concat` of channels.
    pub(super) fn concat(&mut self, node: &Node) -> Result<(), Fault> {
        let stated = node.int("axis", 1)?;
        let first = self.view(node, 0)?;
        let mut joined = self.shape(&first);
        let mut ids = vec![first.id];
        let axis = axis_of(stated, first.dims.len());
        if axis.is_none() || axis != self.channel_axis(&first) {
            return Err(Refusal::attribute("axis", stated, "the axis of channels").into());
        }
        for index in 1..node.inputs.len() {
            let next = self.view(node, index)?;
            let shape = self.shape(&next);
            let alike = shape.h == joined.h && shape.w == joined.w;
            let seen_alike = next.dims.len() == first.dims.len()
                && self.channel_axis(&next) == axis
                && next.by_channel() == first.by_channel();
            if !alike || !seen_alike {
                return Err(Refusal::shapes((&first.dims, &next.dims), "maps of one size").into());
            }
            joined.c = joined.c.saturating_add(shape.c);
            ids.push(next.id);
        }
        let mut dims = first.dims.clone();
        axis.and_then(|axis| dims.get_mut(axis)).into_iter().for_each(|dim| *dim = joined.c);
        let result = self.push_map(LayerOp::Concat, ids, joined)?;
        self.bind(node, View { dims, order: first.order, ..result });
        Ok(())
    }

    /// `Resize` (or `Upsample`) to a whole multiple, nearest neighbour, where the file's way of
    /// counting coordinates repeats every position exactly.
    pub(super) fn resize(&mut self, node: &Node) -> Result<(), Fault> {
        let (view, shape) = self.map(node, 0)?;
        let mode = node.text("mode", "nearest")?;
        if mode != "nearest" {
            return Err(Refusal::attribute("mode", mode, "nearest").into());
        }
        let factor = self.factor(node, shape)?;
        if !repeats(node, self.opset, factor)? {
            let held = node.text("coordinate_transformation_mode", "half_pixel")?;
            let carried = "one that repeats every position exactly";
            let refused = Refusal::attribute("coordinate_transformation_mode", held, carried);
            return Err(refused.into());
        }
        let enlarged = Shape {
            h: shape.h.saturating_mul(factor),
            w: shape.w.saturating_mul(factor),
            c: shape.c,
        };
        let result = self.push_map(LayerOp::Upsample(factor), vec![view.id], enlarged)?;
        self.bind(node, result);
        Ok(())
    }

    fn factor(&self, node: &Node, shape: Shape) -> Result<usize, Refusal> {
        let scales_at = if self.opset < RESIZE_BY_MODE { 1 } else { 2 };
        let scales = self.constant(node, scales_at, "scales")?.filter(|scales| scales.len() > 0);
        let sizes = self.constant(node, 3, "sizes")?.filter(|sizes| sizes.len() > 0);
        let attribute = node.floats("scales")?;
        let whole = |scale: f32| (1..=FACTOR_MAX).find(|&factor| factor as f32 == scale);
        let refused = |held: String| Refusal::Shapes {
            held,
            needed: "one whole factor up to 64 for height and width",
        };
        if let Some(sizes) = sizes {
            let held = format!("{sizes:?}");
            let size = |index: usize| {
                sizes.i64().and_then(|sizes| usize::try_from(*sizes.get(index)?).ok())
            };
            let found = (1..=FACTOR_MAX).find(|&factor| {
                size(2) == shape.h.checked_mul(factor) && size(3) == shape.w.checked_mul(factor)
            });
            return found.ok_or_else(|| refused(held));
        }
        let scales = scales.and_then(super::Tensor::f32).or(attribute);
        match scales {
            Some(&[1.0, 1.0, height, width]) if height == width => {
                whole(height).ok_or_else(|| refused(format!("{scales:?}")))
            }
            _ => Err(refused(format!("{scales:?}"))),
        }
    }
}

/// Whether nearest-neighbour enlargement by `factor` gives position `x / factor` for every `x`.
///
/// With `x = q·f + r`: asymmetric coordinates are `q + r/f`, exact when rounded down, and when
/// rounded half down up to a factor of two. Half-pixel ones are `q + (r + ½)/f − ½`, always within
/// half a position of `q`, exact when rounded to the nearest.
fn repeats(node: &Node, opset: i64, factor: usize) -> Result<bool, Refusal> {
    if factor == 1 || opset < RESIZE_BY_MODE {
        return Ok(true);
    }
    let mode = node.text("coordinate_transformation_mode", "half_pixel")?;
    let nearest = node.text("nearest_mode", "round_prefer_floor")?;
    Ok(match (mode, nearest) {
        ("asymmetric", "floor") => true,
        ("asymmetric", "round_prefer_floor") => factor <= 2,
        ("half_pixel" | "pytorch_half_pixel", "round_prefer_floor" | "round_prefer_ceil") => true,
        _ => false,
    })
}
