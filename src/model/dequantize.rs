//! `DequantizeLinear` over constants, block-quantised ones included.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use super::{
    error::Refusal,
    fold::{Operands, axis_of, operand},
    graph::Node,
    tensor::{Tensor, Values, product},
};

/// How scales and zero points lie over the values: `outer` rows of blocks of `block` values along
/// the axis (the last may be shorter), each of `inner` neighbours with scales of their own. A block
/// of zero means one scale per position of the axis.
struct Blocks {
    outer: usize,
    axis: usize,
    inner: usize,
    block: usize,
}

/// `(q − z) · s`, exactly, per tensor, per axis or per block of an axis (operator set 21).
///
/// One scale alone is per tensor whatever `block_size` says: the default detector's biases carry
/// both, which the standard does not define and stock runtimes refuse.
pub(super) fn fold(node: &Node, operands: &Operands<'_>) -> Result<Tensor, Refusal> {
    let tensor = operand(operands, 0, "quantised values")?;
    let scale = operand(operands, 1, "scales")?;
    let held = scale.values().type_name();
    let scales = scale.f32().ok_or(Refusal::Type { index: 1, held, carried: "FLOAT" })?;
    let zeros = match operands.get(2).copied().flatten() {
        None => vec![0; scales.len()],
        Some(zero) => {
            if zero.len() != scales.len() {
                return Err(Refusal::shapes((scale.dims(), zero.dims()), "a zero point per scale"));
            }
            quantised(zero, 2)?
        }
    };
    let blocks = blocks(node, tensor.dims(), scale.dims())?;
    let values = match tensor.values() {
        Values::I8(values) => spread(values, &blocks, scales, &zeros),
        Values::U8(values) => spread(values, &blocks, scales, &zeros),
        Values::I32(values) => spread(values, &blocks, scales, &zeros),
        other => {
            let held = other.type_name();
            return Err(Refusal::Type { index: 0, held, carried: "INT8, UINT8, INT32" });
        }
    };
    let refused = Refusal::shapes((tensor.dims(), scale.dims()), "a scale for every value");
    Tensor::new(tensor.dims().to_vec(), Values::F32(values)).ok_or(refused)
}

fn quantised(tensor: &Tensor, index: usize) -> Result<Vec<i32>, Refusal> {
    match tensor.values() {
        Values::I8(values) => Ok(values.iter().map(|&value| value.into()).collect()),
        Values::U8(values) => Ok(values.iter().map(|&value| value.into()).collect()),
        Values::I32(values) => Ok(values.clone()),
        other => {
            let held = other.type_name();
            Err(Refusal::Type { index, held, carried: "INT8, UINT8, INT32" })
        }
    }
}

fn blocks(node: &Node, dims: &[usize], scales: &[usize]) -> Result<Blocks, Refusal> {
    let refused = || Refusal::shapes((dims, scales), "scales per tensor, per axis or per block");
    if product(scales) == Some(1) {
        let inner = product(dims).ok_or_else(refused)?;
        return Ok(Blocks { outer: 1, axis: 1, inner: 1, block: 1 }.whole(inner));
    }
    let at = axis_of(node.int("axis", 1)?, dims.len()).ok_or_else(refused)?;
    let block = usize::try_from(node.int("block_size", 0)?).map_err(|_| refused())?;
    let axis = *dims.get(at).ok_or_else(refused)?;
    let outer = dims.get(..at).and_then(product).ok_or_else(refused)?;
    let inner = dims.get(at.saturating_add(1)..).and_then(product).ok_or_else(refused)?;
    if block == 0 {
        // One scale per position of the axis, shared by everything before and behind it.
        if scales != [axis] {
            return Err(refused());
        }
        return Ok(Blocks { outer, axis, inner, block: 0 });
    }
    let mut expected = dims.to_vec();
    *expected.get_mut(at).ok_or_else(refused)? = axis.div_ceil(block);
    if scales != expected {
        return Err(refused());
    }
    Ok(Blocks { outer, axis, inner, block })
}

impl Blocks {
    /// One block over `values` values.
    fn whole(self, values: usize) -> Self {
        Self { axis: values, block: values.max(1), ..self }
    }
}

fn spread<T: Copy + Into<i32>>(
    values: &[T],
    blocks: &Blocks,
    scales: &[f32],
    zeros: &[i32],
) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    let mut put = |run: &[T], scale: f32, zero: i32| {
        #[expect(
            clippy::cast_precision_loss,
            reason = "the standard defines the product in float; differences of bytes are exact"
        )]
        out.extend(run.iter().map(|&value| value.into().wrapping_sub(zero) as f32 * scale));
    };
    let inner = blocks.inner.max(1);
    if blocks.block == 0 {
        let of_axis = scales.iter().zip(zeros);
        let runs = values.chunks_exact(inner).zip(of_axis.cycle());
        runs.for_each(|(run, (&scale, &zero))| put(run, scale, zero));
        return out;
    }
    let per_row = blocks.axis.div_ceil(blocks.block).saturating_mul(inner).max(1);
    let row_values = blocks.axis.saturating_mul(inner).max(1);
    let block_values = blocks.block.saturating_mul(inner);
    let rows = values.chunks_exact(row_values).take(blocks.outer);
    let factors = scales.chunks_exact(per_row).zip(zeros.chunks_exact(per_row));
    for (row, (scales, zeros)) in rows.zip(factors) {
        let factors = scales.chunks_exact(inner).zip(zeros.chunks_exact(inner));
        for (block, (scales, zeros)) in row.chunks(block_values).zip(factors) {
            match (scales, zeros) {
                (&[scale], &[zero]) => put(block, scale, zero),
                _ => {
                    for (index, value) in block.iter().enumerate() {
                        let lane = index.checked_rem(inner).unwrap_or(0);
                        let factor = scales.get(lane).zip(zeros.get(lane));
                        factor.iter().for_each(|&(&scale, &zero)| {
                            put(std::slice::from_ref(value), scale, zero)
                        });
                    }
                }
            }
        }
    }
    out
}
