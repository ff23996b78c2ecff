//! Weights as the kernels read them (kernels/README.md): halves in rows of whole stages for the
//! products, f32 with the pitch of the channels for everything else.
//!
//! They are the model's, not a traveller's: nothing here is wiped.

use bytemuck::cast_slice;

use crate::backend::gpu::half::half;

/// Channels of a position as they lie in memory: whole runs of eight.
pub(super) fn pitch(channels: usize) -> usize {
    channels.next_multiple_of(8)
}

/// Depth that a product takes at a time.
pub(super) const DEPTH: usize = 32;

/// How a weight is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// f32, a row of channels for each tap; one row for a bias.
    Rows { taps: usize, channels: usize },
    /// Half precision, a row of depth for each output: taps of `inputs` channels.
    Product { taps: usize, inputs: usize, outputs: usize },
}

impl Form {
    /// One value per channel.
    pub(super) fn channels(channels: usize) -> Self {
        Self::Rows { taps: 1, channels }
    }

    /// Values that it is made of.
    fn values(self) -> usize {
        match self {
            Self::Rows { taps, channels } => taps * channels,
            Self::Product { taps, inputs, outputs } => taps * inputs * outputs,
        }
    }

    /// `values` in this form, as bytes.
    pub(super) fn of(self, values: &[f32]) -> Result<Vec<u8>, String> {
        assert_eq!(values.len(), self.values(), "a checked program's weights fit their step");
        match self {
            Self::Rows { channels, .. } => {
                let pitch = pitch(channels);
                let mut rows = Vec::with_capacity(values.len() / channels.max(1) * pitch);
                for row in values.chunks_exact(channels.max(1)) {
                    rows.extend_from_slice(row);
                    rows.resize(rows.len().next_multiple_of(pitch), 0.0);
                }
                Ok(cast_slice(&rows).to_vec())
            }
            Self::Product { taps, inputs, outputs } => {
                let row = (taps * pitch(inputs)).next_multiple_of(DEPTH);
                let mut halves = vec![0_u16; pitch(outputs) * row];
                // `[tap][input][output]`, as programs have it.
                for (number, values) in values.chunks_exact(outputs).enumerate() {
                    let k = number / inputs * pitch(inputs) + number % inputs;
                    for (output, &value) in values.iter().enumerate() {
                        halves[output * row + k] = half(value).ok_or_else(|| {
                            format!("a weight of {value}; half precision ends at 65,504")
                        })?;
                    }
                }
                Ok(cast_slice(&halves).to_vec())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_has_a_row_per_output_and_a_pitch_per_tap() {
        // Two taps of three inputs, two outputs: input `i` of tap `t` weighs `10 t + i` for the
        // first output and one hundred more for the second.
        let value = |at: usize| (at / 6 * 10 + at / 2 % 3 + at % 2 * 100) as f32;
        let values: Vec<f32> = (0..12).map(value).collect();
        let bytes = Form::Product { taps: 2, inputs: 3, outputs: 2 }.of(&values).expect("small");
        let halves: &[u16] = cast_slice(&bytes);
        assert_eq!(halves.len(), 8 * 32);
        let expected = |output: usize, k: usize| match (output < 2, k < 16 && k % 8 < 3) {
            (true, true) => half((k / 8 * 10 + k % 8 + output * 100) as f32),
            _ => Some(0),
        };
        for (at, &held) in halves.iter().enumerate() {
            assert_eq!(Some(held), expected(at / 32, at % 32), "{at}");
        }
    }

    #[test]
    fn rows_are_filled_up_with_zeros() {
        let bytes = Form::Rows { taps: 2, channels: 3 }.of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let bytes = bytes.expect("f32 as they are");
        let rows: &[f32] = cast_slice(&bytes);
        let (none, first) = ([0.0; 5], [1.0, 2.0, 3.0]);
        assert_eq!(rows, [&first[..], &none, &[4.0, 5.0, 6.0], &none].concat());
        assert_eq!(Form::channels(9).of(&[1.0; 9]).expect("f32").len(), 16 * 4);
    }

    #[test]
    fn what_half_precision_does_not_hold_is_refused() {
        for value in [1e6, f32::NAN, f32::NEG_INFINITY] {
            let refused = Form::Product { taps: 1, inputs: 1, outputs: 1 }.of(&[value]);
            assert!(refused.is_err(), "{value}");
        }
    }
}
