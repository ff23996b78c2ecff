//! Network files in, [`Program`] out; and what belongs to a model: its calibration.
//!
//! A file goes through seven hands, each a module:
//!
//! | module | from | to | refuses |
//! |---|---|---|---|
//! | `wire` | bytes | the same bytes | what would harm the parser |
//! | `onnx` | bytes | `graph::Graph` | wrong versions, external and inconsistent weights |
//! | `graph` | nodes in any order | needed nodes, in order | cycles, holes, second inputs |
//! | `fold` | nodes over constants | constants | forms that exporters do not write |
//! | `lower` | nodes | layers, shapes inferred, NHWC | unknown operators, by name |
//! | `fuse` | layers | fewer layers, exactly equal in real numbers | nothing |
//! | `emit` | layers | [`Program`], checked | contradictions (a bug here) |
//!
//! Invariant: no byte sequence panics, hangs, or allocates more than a fixed multiple of its own
//! size and of [`crate::limits::MODEL_BUFFER_VALUES_MAX`].
//!
//! Not here: where files come from (`cli` fetches them), and running anything.

mod calibration;
pub mod defaults;
mod dequantize;
mod emit;
mod error;
mod fold;
mod fuse;
mod graph;
mod layer;
mod lower;
mod onnx;
mod permute;
mod statistics;
mod tensor;
mod wire;

#[cfg(test)]
mod tests;

pub use calibration::{
    Calibration, CalibrationError, Draft, NotCovariance, People, Population, ThresholdError,
    ThresholdRow,
};
pub use error::{ModelError, OutputFlaw, Refusal, TensorFlaw};
pub use statistics::{Rotated, Split, Statistics, StatisticsError};
pub use wire::{WireError, WireFlaw};

use crate::ops::program::{ChannelOrder, Program};

/// Lowers an ONNX file into a program.
///
/// `name` is the file's name, for messages and [`Program::name`]. `input_px` replaces the height
/// and width of the input, for networks that work at several sizes; it must divide evenly down to
/// every output.
///
/// # Errors
/// [`ModelError`], naming the file and, where there is one, the node and its operator.
pub fn load(
    bytes: &[u8],
    name: &str,
    channels: ChannelOrder,
    input_px: Option<[usize; 2]>,
) -> Result<Program, ModelError> {
    let mut graph = onnx::parse(bytes, name)?;
    let input = graph.order()?;
    let mut net = lower::lower(graph, &input, input_px)?;
    fuse::fuse(&mut net);
    let program = emit::emit(net, name, channels);
    program.check().map_err(ModelError::Program)?;
    if let Some([height_px, width_px]) = input_px {
        suits(&program, height_px, width_px)?;
    }
    Ok(program)
}

/// Refuses a configured size that the network's strides do not divide: positions of an output would
/// no longer stand for equal squares of the picture.
fn suits(program: &Program, height_px: usize, width_px: usize) -> Result<(), ModelError> {
    for output in &program.outputs {
        let shape = program.shape(output.buffer);
        if !height_px.is_multiple_of(shape.h) || !width_px.is_multiple_of(shape.w) {
            return Err(ModelError::InputSize {
                file: program.name.clone(),
                height_px,
                width_px,
                why: format!("output {} has {} × {} positions", output.name, shape.h, shape.w),
            });
        }
    }
    Ok(())
}
