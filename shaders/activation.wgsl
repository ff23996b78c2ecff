// SPDX-License-Identifier: MIT OR Apache-2.0
//
// activation: the elementwise function at the end of a step; a part of the shaders that end so.
// A NaN stays a NaN: every comparison with it is false, and the value itself is what is left.

const IDENTITY: u32 = 0u;
const PRELU: u32 = 1u;
const RELU: u32 = 2u;
const SIGMOID: u32 = 3u;

// Where the slope of channel `c` stands; without slopes there is one value, never used.
fn slope_at(c: u32) -> u32 {
    return select(0u, c, job.curve == PRELU);
}

fn activation(x: f32, slope: f32) -> f32 {
    switch job.curve {
        case PRELU: {
            return select(x, slope * x, x < 0.0);
        }
        case RELU: {
            return select(x, 0.0, x < 0.0);
        }
        case SIGMOID: {
            return 1.0 / (1.0 + exp(-x));
        }
        default: {
            return x;
        }
    }
}
