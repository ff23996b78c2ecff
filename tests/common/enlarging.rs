//! The smallest network, for tests of what a device does with one.

#![allow(dead_code, reason = "a build without the feature of any device loads nothing")]

use portcullis::ops::program::{BufferId, ChannelOrder, Op, Output, Program, Shape, Step};

/// Gives its input, with every edge so many times as long.
pub(crate) fn enlarging(shape: Shape, factor: usize) -> Program {
    let enlarged = Shape { h: shape.h * factor, w: shape.w * factor, ..shape };
    Program {
        name: "enlarging".to_owned(),
        input: BufferId(0),
        channels: ChannelOrder::Rgb,
        buffers: vec![shape, enlarged],
        weights: Vec::new(),
        steps: vec![Step {
            op: Op::Upsample { factor },
            inputs: vec![BufferId(0)],
            output: BufferId(1),
        }],
        outputs: vec![Output { name: "out".to_owned(), buffer: BufferId(1) }],
    }
}
