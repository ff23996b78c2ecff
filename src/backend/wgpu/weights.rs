//! Weights as the shaders read them: padded to whole tiles, halved where they are many.
//!
//! They are the model's, not a traveller's: nothing here is wiped.

use std::collections::{HashMap, hash_map::Entry};

use ::wgpu::{Buffer, BufferUsages};
use bytemuck::cast_slice;

use super::{
    device::Gpu,
    plan::{CONV_CHANNELS, CONV_DEPTH, DENSE_OUTPUTS, Dispatch},
    shaders::Shader,
};
use crate::{
    backend::{BackendError, gpu::half::half},
    ops::program::{Program, WeightId},
};

/// Why a weight does not lie on the device.
pub(super) enum Unfit {
    /// No device of this kind would take it.
    Form(String),
    /// This one did not.
    Device(BackendError),
}

impl From<BackendError> for Unfit {
    fn from(error: BackendError) -> Self {
        Self::Device(error)
    }
}

/// Every weight of one network on the device.
pub(super) struct Weights {
    plain: HashMap<WeightId, Buffer>,
}

impl Weights {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { plain: HashMap::new() }
    }

    /// A weight as it is.
    pub(super) fn plain(
        &mut self,
        gpu: &Gpu,
        program: &Program,
        weight: WeightId,
    ) -> Result<&Buffer, Unfit> {
        let values = program.weight(weight);
        fits(gpu, size_of_val(values))?;
        let held: &Buffer = match self.plain.entry(weight) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(place) => {
                place.insert(gpu.constant("weights", cast_slice(values), BufferUsages::STORAGE)?)
            }
        };
        Ok(held)
    }
}

/// A weight as the shader of `dispatch` wants it.
pub(super) fn packed(
    gpu: &Gpu,
    program: &Program,
    weight: WeightId,
    dispatch: &Dispatch,
) -> Result<Buffer, Unfit> {
    let values = program.weight(weight);
    let outputs = dispatch.job.out_c as usize;
    let words: Vec<u32> = match dispatch.shader {
        Shader::Dense { halved } => {
            let rows = padded(values, outputs, DENSE_OUTPUTS, 1);
            match halves(&rows).filter(|_| halved) {
                Some(words) => words,
                None => cast_slice(&rows).to_vec(),
            }
        }
        _ => cast_slice(&padded(values, outputs, CONV_CHANNELS, CONV_DEPTH)).to_vec(),
    };
    fits(gpu, size_of_val(&words[..]))?;
    Ok(gpu.constant("weights", cast_slice(&words), BufferUsages::STORAGE)?)
}

fn fits(gpu: &Gpu, bytes: usize) -> Result<(), Unfit> {
    let most = gpu.binding_bytes_max();
    if bytes as u64 <= most {
        return Ok(());
    }
    Err(Unfit::Form(format!(
        "{bytes} bytes of weights; a shader on this device sees at most {most}"
    )))
}

/// `values`, rows of `columns`, with zeros up to multiples of `columns_of` and `rows_of`.
fn padded(values: &[f32], columns: usize, columns_of: usize, rows_of: usize) -> Vec<f32> {
    let pitch = columns.next_multiple_of(columns_of);
    let rows = (values.len() / columns).next_multiple_of(rows_of);
    let mut padded = vec![0.0; rows * pitch];
    for (to, from) in padded.chunks_exact_mut(pitch).zip(values.chunks_exact(columns)) {
        to[..columns].copy_from_slice(from);
    }
    padded
}

/// `values`, two to a word, if every one of them has a half-precision neighbour.
fn halves(values: &[f32]) -> Option<Vec<u32>> {
    let word = |pair: &[f32]| {
        let second = pair.get(1).copied().unwrap_or(0.0);
        Some(u32::from(half(pair[0])?) | u32::from(half(second)?) << 16)
    };
    values.chunks(2).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns_are_filled_up_with_zeros() {
        let whole = [1.0, 2.0, 0.0, 3.0, 4.0, 0.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(padded(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3, 2), whole);
    }

    #[test]
    fn two_halves_make_a_word() {
        assert_eq!(halves(&[1.0, 1e9]), None);
        assert_eq!(halves(&[1.0, -2.0, 0.5]), Some(vec![0xC000_3C00, 0x3800]));
    }
}
