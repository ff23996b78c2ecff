//! Nodes over constants, computed when the model is loaded.
//!
//! Carried: what exporters leave between a weight and its user (`Constant`, `DequantizeLinear`,
//! `Reshape`, `Transpose`, `Cast`, …) and the small whole-number arithmetic by which they rebuild a
//! shape (`Gather`, `Concat`, `Slice`, …). Not here: float arithmetic on constants; an exporter
//! that leaves it has not folded its own graph, and is told so by the operator's name.
//!
//! Invariant: a result is never larger than four bytes per byte of the file.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use super::{
    dequantize,
    error::Refusal,
    graph::Node,
    tensor::{Tensor, Values, product},
};

/// Inputs of a node that are all constant; `None` is an input left out.
pub(super) type Operands<'a> = [Option<&'a Tensor>];

/// The node's value, or `None` where the operator is not one that is folded.
pub(super) fn fold(node: &Node, operands: &Operands<'_>) -> Option<Result<Tensor, Refusal>> {
    Some(match node.operator.as_str() {
        "Cast" => cast(node, operands),
        "Concat" => concat(node, operands),
        "Constant" => constant(node),
        "DequantizeLinear" => dequantize::fold(node, operands),
        "Dropout" | "Identity" => operand(operands, 0, "data").cloned(),
        "Flatten" => flatten(node, operands),
        "Gather" => gather(node, operands),
        "Reshape" => reshape(node, operands),
        "Shape" => operand(operands, 0, "data").map(|tensor| shape(tensor.dims())),
        "Slice" => slice(node, operands),
        "Squeeze" | "Unsqueeze" => squeeze(node, operands),
        "Transpose" => transpose(node, operands),
        _ => return None,
    })
}

pub(super) fn operand<'a>(
    operands: &Operands<'a>,
    index: usize,
    what: &'static str,
) -> Result<&'a Tensor, Refusal> {
    operands.get(index).copied().flatten().ok_or(Refusal::Missing { index, what })
}

/// The whole numbers of an operand.
pub(super) fn numbers<'a>(
    operands: &Operands<'a>,
    index: usize,
    what: &'static str,
) -> Result<&'a [i64], Refusal> {
    let tensor = operand(operands, index, what)?;
    let held = tensor.values().type_name();
    tensor.i64().ok_or(Refusal::Type { index, held, carried: "INT64" })
}

/// The whole numbers that older operator sets keep in an attribute, newer ones in an input.
pub(super) fn listed<'a>(
    node: &'a Node,
    attribute: &'static str,
    operands: &Operands<'a>,
    index: usize,
) -> Result<Option<&'a [i64]>, Refusal> {
    match operands.get(index).copied().flatten() {
        Some(_) => numbers(operands, index, attribute).map(Some),
        None => node.ints(attribute),
    }
}

/// An axis as the standard counts it: from the end where negative.
pub(super) fn axis_of(axis: i64, rank: usize) -> Option<usize> {
    let from_end = i64::try_from(rank).ok().filter(|_| axis < 0).unwrap_or(0);
    usize::try_from(axis.checked_add(from_end)?).ok().filter(|&axis| axis < rank)
}

fn constant(node: &Node) -> Result<Tensor, Refusal> {
    if let Some(tensor) = node.tensor("value")? {
        return Ok(tensor.clone());
    }
    if let Some(values) = node.floats("value_floats")? {
        return Ok(vector(Values::F32(values.to_vec())));
    }
    if let Some(values) = node.ints("value_ints")? {
        return Ok(vector(Values::I64(values.to_vec())));
    }
    let named = |name| node.attributes.iter().any(|(key, _)| key == name);
    let single = if named("value_float") {
        Values::F32(vec![node.float("value_float", 0.0)?])
    } else if named("value_int") {
        Values::I64(vec![node.int("value_int", 0)?])
    } else {
        return Err(Refusal::Missing { index: 0, what: "value" });
    };
    Ok(Tensor::new(Vec::new(), single).expect("one value has no dimensions"))
}

/// What `Shape` says of `dims`.
pub(super) fn shape(dims: &[usize]) -> Tensor {
    let sizes = dims.iter().map(|&dim| i64::try_from(dim).unwrap_or(i64::MAX));
    Tensor::whole_numbers(sizes.collect())
}

fn vector(values: Values) -> Tensor {
    Tensor::new(vec![values.len()], values).expect("one dimension of as many values")
}

fn cast(node: &Node, operands: &Operands<'_>) -> Result<Tensor, Refusal> {
    const FLOAT: i64 = 1;
    const INT64: i64 = 7;
    let tensor = operand(operands, 0, "data")?;
    let to = node.int("to", 0)?;
    match (tensor.values(), to) {
        (Values::F32(_), FLOAT) | (Values::I64(_), INT64) => Ok(tensor.clone()),
        (Values::I32(values), INT64) => {
            let values = values.iter().map(|&value| i64::from(value)).collect();
            Ok(Tensor::new(tensor.dims().to_vec(), Values::I64(values))
                .expect("as many values as before"))
        }
        _ => Err(Refusal::attribute("to", to, "the same type, or INT32 to INT64")),
    }
}

fn concat(node: &Node, operands: &Operands<'_>) -> Result<Tensor, Refusal> {
    let mut values = Vec::new();
    for index in 0..operands.len() {
        let part = operand(operands, index, "part")?;
        if part.dims().len() != 1 || axis_of(node.int("axis", 0)?, 1) != Some(0) {
            return Err(Refusal::shapes(part.dims(), "constants are joined in one dimension"));
        }
        values.extend_from_slice(numbers(operands, index, "part")?);
    }
    Ok(Tensor::whole_numbers(values))
}

fn gather(node: &Node, operands: &Operands<'_>) -> Result<Tensor, Refusal> {
    let values = numbers(operands, 0, "data")?;
    let indices = operand(operands, 1, "indices")?;
    if operand(operands, 0, "data")?.dims().len() != 1 || node.int("axis", 0)? != 0 {
        return Err(Refusal::shapes(node.int("axis", 0)?, "one dimension, axis 0"));
    }
    let mut gathered = Vec::with_capacity(indices.len());
    for &index in numbers(operands, 1, "indices")? {
        let place = axis_of(index, values.len()).and_then(|place| values.get(place));
        gathered.push(*place.ok_or_else(|| Refusal::shapes(index, "an index within the data"))?);
    }
    Ok(Tensor::new(indices.dims().to_vec(), Values::I64(gathered)).expect("one per index"))
}

fn slice(node: &Node, operands: &Operands<'_>) -> Result<Tensor, Refusal> {
    let values = numbers(operands, 0, "data")?;
    let refused = || Refusal::shapes(values.len(), "one dimension, one start, one end, step 1");
    let (Some([start]), Some([end])) =
        (listed(node, "starts", operands, 1)?, listed(node, "ends", operands, 2)?)
    else {
        return Err(refused());
    };
    let axes = listed(node, "axes", operands, 3)?.unwrap_or(&[0]);
    let steps = if operands.len() > 4 { numbers(operands, 4, "steps")? } else { &[1] };
    if operand(operands, 0, "data")?.dims().len() != 1 || axes != [0] || steps != [1] {
        return Err(refused());
    }
    let clamp = |place: i64| {
        let length = i64::try_from(values.len()).unwrap_or(i64::MAX);
        let place = if place < 0 { place.saturating_add(length) } else { place };
        usize::try_from(place.clamp(0, length)).unwrap_or(0)
    };
    let kept = values.get(clamp(*start)..clamp(*end)).unwrap_or_default();
    Ok(Tensor::whole_numbers(kept.to_vec()))
}

fn flatten(node: &Node, operands: &Operands<'_>) -> Result<Tensor, Refusal> {
    let tensor = operand(operands, 0, "data")?;
    let dims = flat_dims(node, tensor.dims())?;
    resized(tensor, dims)
}

/// The two dimensions that `Flatten` leaves.
pub(super) fn flat_dims(node: &Node, dims: &[usize]) -> Result<Vec<usize>, Refusal> {
    let axis = node.int("axis", 1)?;
    // The end itself is allowed: everything is then in the first dimension.
    let at = axis_of(axis, dims.len().saturating_add(1));
    let halves = at.and_then(|at| dims.split_at_checked(at));
    let halves = halves.and_then(|(rows, columns)| Some(vec![product(rows)?, product(columns)?]));
    halves.ok_or_else(|| Refusal::attribute("axis", axis, "an axis of the input"))
}

fn reshape(node: &Node, operands: &Operands<'_>) -> Result<Tensor, Refusal> {
    let tensor = operand(operands, 0, "data")?;
    let target = numbers(operands, 1, "shape")?;
    let dims = target_dims(node, tensor.dims(), target)?;
    resized(tensor, dims)
}

fn resized(tensor: &Tensor, dims: Vec<usize>) -> Result<Tensor, Refusal> {
    let refused = Refusal::shapes((tensor.dims(), &dims), "as many values as before");
    tensor.reshaped(dims).ok_or(refused)
}

/// The dimensions that `Reshape` asks for: 0 keeps one, −1 takes what is left.
pub(super) fn target_dims(
    node: &Node,
    dims: &[usize],
    target: &[i64],
) -> Result<Vec<usize>, Refusal> {
    let refused = || Refusal::shapes((dims, target), "as many values as before");
    if node.int("allowzero", 0)? != 0 && target.contains(&0) {
        return Err(Refusal::attribute("allowzero", 1, "0"));
    }
    let mut known = Vec::with_capacity(target.len());
    let mut open = None;
    for (index, &size) in target.iter().enumerate() {
        known.push(match size {
            -1 if open.is_none() => {
                open = Some(index);
                1
            }
            0 => *dims.get(index).ok_or_else(refused)?,
            size => usize::try_from(size).map_err(|_| refused())?,
        });
    }
    let (have, rest) = (product(dims).ok_or_else(refused)?, product(&known).ok_or_else(refused)?);
    if let Some(index) = open {
        let size = have.checked_div(rest).ok_or_else(refused)?;
        *known.get_mut(index).ok_or_else(refused)? = size;
    }
    if product(&known) == Some(have) { Ok(known) } else { Err(refused()) }
}

fn squeeze(node: &Node, operands: &Operands<'_>) -> Result<Tensor, Refusal> {
    let tensor = operand(operands, 0, "data")?;
    let axes = listed(node, "axes", operands, 1)?;
    let dims = squeezed_dims(node, tensor.dims(), axes)?;
    resized(tensor, dims)
}

/// The dimensions that `Squeeze` or `Unsqueeze` leaves.
pub(super) fn squeezed_dims(
    node: &Node,
    dims: &[usize],
    axes: Option<&[i64]>,
) -> Result<Vec<usize>, Refusal> {
    let refused = || Refusal::shapes((dims, axes), "axes of size one");
    if node.operator == "Squeeze" {
        let Some(axes) = axes else {
            return Ok(dims.iter().copied().filter(|&dim| dim != 1).collect());
        };
        let places: Option<Vec<_>> = axes.iter().map(|&axis| axis_of(axis, dims.len())).collect();
        let places = places.ok_or_else(refused)?;
        if places.iter().any(|&place| dims.get(place) != Some(&1)) {
            return Err(refused());
        }
        let kept = dims.iter().enumerate().filter(|(index, _)| !places.contains(index));
        return Ok(kept.map(|(_, &dim)| dim).collect());
    }
    let axes = axes.ok_or(Refusal::Missing { index: 1, what: "axes" })?;
    let rank = dims.len().saturating_add(axes.len());
    let places: Option<Vec<_>> = axes.iter().map(|&axis| axis_of(axis, rank)).collect();
    let places = places.ok_or_else(refused)?;
    let mut left = dims.iter();
    let grown =
        (0..rank).map(|index| if places.contains(&index) { Some(1) } else { left.next().copied() });
    let grown: Option<Vec<_>> = grown.collect();
    grown.filter(|_| left.next().is_none()).ok_or_else(refused)
}

/// Two dimensions only: weights of a `Gemm` that an exporter left transposed.
fn transpose(node: &Node, operands: &Operands<'_>) -> Result<Tensor, Refusal> {
    let tensor = operand(operands, 0, "data")?;
    let perm = node.ints("perm")?.unwrap_or(&[1, 0]);
    let (Some(values), &[rows, columns], [1, 0]) = (tensor.f32(), tensor.dims(), perm) else {
        return Err(Refusal::shapes((tensor.dims(), perm), "a FLOAT constant of two dimensions"));
    };
    let mut turned = Vec::with_capacity(values.len());
    for column in 0..columns {
        turned.extend(values.iter().skip(column).step_by(columns.max(1)));
    }
    Ok(Tensor::new(vec![columns, rows], Values::F32(turned)).expect("as many values as before"))
}
