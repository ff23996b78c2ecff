//! A constant of a model file: dimensions and values, together and consistent.
//!
//! Invariant: the product of `dims` is the number of values; it was computed without overflow.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::sync::Arc;

/// Values of one type. Quantised bytes stay bytes: they are read once, when they are dequantised.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    F32(Vec<f32>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    I8(Vec<i8>),
    U8(Vec<u8>),
}

impl Values {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::U8(values) => values.len(),
        }
    }

    /// The ONNX name of the type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::F32(_) => "FLOAT",
            Self::I32(_) => "INT32",
            Self::I64(_) => "INT64",
            Self::I8(_) => "INT8",
            Self::U8(_) => "UINT8",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    dims: Vec<usize>,
    /// Shared: a tensor is renamed and reshaped more often than it is read.
    values: Arc<Values>,
}

/// The product of `dims`, or `None` where it does not fit.
pub(super) fn product(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1_usize, |count, &dim| count.checked_mul(dim))
}

impl Tensor {
    /// `None` unless `values` are as many as `dims` say.
    pub(super) fn new(dims: Vec<usize>, values: Values) -> Option<Self> {
        (product(&dims) == Some(values.len())).then(|| Self { dims, values: Arc::new(values) })
    }

    pub(super) fn whole_numbers(values: Vec<i64>) -> Self {
        Self { dims: vec![values.len()], values: Arc::new(Values::I64(values)) }
    }

    pub(super) fn dims(&self) -> &[usize] {
        &self.dims
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn f32(&self) -> Option<&[f32]> {
        match &*self.values {
            Values::F32(values) => Some(values),
            _ => None,
        }
    }

    pub(super) fn i64(&self) -> Option<&[i64]> {
        match &*self.values {
            Values::I64(values) => Some(values),
            _ => None,
        }
    }

    /// The only value of a float tensor of one element.
    pub(super) fn scalar(&self) -> Option<f32> {
        match self.f32() {
            Some([value]) => Some(*value),
            _ => None,
        }
    }

    /// The same values under other dimensions of the same count.
    pub(super) fn reshaped(&self, dims: Vec<usize>) -> Option<Self> {
        let fits = product(&dims) == Some(self.len());
        fits.then(|| Self { dims, values: Arc::clone(&self.values) })
    }
}
