//! `activation`: the elementwise function at the end of a step.
//!
//! ```text
//! identity  f(x) = x
//! prelu     f(x) = x < 0 ? slope[c] · x : x        one slope per channel
//! relu      f(x) = x < 0 ? 0 : x
//! sigmoid   f(x) = 1 / (1 + e^-x)
//! ```
//!
//! A NaN stays a NaN in all four: a broken network must not look like a calm one. Sigmoid is
//! computed in f64 and rounded once; for large |x| it saturates at 0 and 1 without overflow.
//! Source: ONNX operators PRelu, Relu and Sigmoid (opset 9 to 21).

use super::program::{Activation, Program};

/// An [`Activation`] with its weights looked up.
#[derive(Debug, Clone, Copy)]
pub enum Curve<'a> {
    /// The value itself.
    Identity,
    /// One slope per channel.
    Prelu(&'a [f32]),
    /// Negative values become zero.
    Relu,
    /// Into (0, 1).
    Sigmoid,
}

impl<'a> Curve<'a> {
    /// Looks up the weights of `activation`.
    #[must_use]
    pub fn of(program: &'a Program, activation: Activation) -> Self {
        match activation {
            Activation::Identity => Self::Identity,
            Activation::Prelu(slope) => Self::Prelu(program.weight(slope)),
            Activation::Relu => Self::Relu,
            Activation::Sigmoid => Self::Sigmoid,
        }
    }

    /// The function at `x`, a value of channel `c`.
    #[must_use]
    pub fn at(self, x: f64, c: usize) -> f32 {
        let y = match self {
            Self::Prelu(slope) if x < 0.0 => f64::from(slope[c]) * x,
            Self::Relu if x < 0.0 => 0.0,
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Identity | Self::Prelu(_) | Self::Relu => x,
        };
        y as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_curve_by_hand() {
        assert_eq!(Curve::Identity.at(-3.5, 0), -3.5);
        assert_eq!(Curve::Relu.at(-3.5, 0), 0.0);
        assert_eq!(Curve::Relu.at(3.5, 0), 3.5);
        let prelu = Curve::Prelu(&[0.5, -2.0]);
        assert_eq!((prelu.at(-3.0, 0), prelu.at(-3.0, 1), prelu.at(3.0, 1)), (-1.5, 6.0, 3.0));
        assert_eq!(Curve::Sigmoid.at(0.0, 0), 0.5);
        assert_eq!((Curve::Sigmoid.at(1e4, 0), Curve::Sigmoid.at(-1e4, 0)), (1.0, 0.0));
        assert!((Curve::Sigmoid.at(1.0, 0) - 0.731_058_6).abs() < 1e-7);
    }

    #[test]
    fn a_nan_is_never_hidden() {
        for curve in [Curve::Identity, Curve::Prelu(&[0.5]), Curve::Relu, Curve::Sigmoid] {
            assert!(curve.at(f64::NAN, 0).is_nan(), "{curve:?}");
        }
    }
}
