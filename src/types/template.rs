//! A template: the only thing that is compared.

use std::fmt;

use zeroize::Zeroize;

use super::Hash256;

/// Which model and calibration a template belongs to; templates of different kinds never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TemplateKind {
    /// SHA-256 of the embedder's model file.
    pub model: Hash256,
    /// SHA-256 of the calibration (rotation, scale, plane split).
    pub calibration: Hash256,
    /// Number of int8 values.
    pub dims: u16,
}

/// Why bytes are not a template, or two templates cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The number of values is not the kind's.
    #[error("a template of this calibration has {expected} values, got {held}")]
    Length {
        /// Values expected.
        expected: usize,
        /// Values given.
        held: usize,
    },
    /// −128 is refused on every import, so that a sign can always be flipped.
    #[error("template value {index} is -128; values lie in -127..=127")]
    OutOfRange {
        /// Position of the value.
        index: usize,
    },
    /// The templates come from different models.
    #[error("template of model {held} cannot be compared under model {expected}")]
    ForeignModel {
        /// The model in use.
        expected: Hash256,
        /// The template's model.
        held: Hash256,
    },
    /// The templates come from different calibrations of one model.
    #[error("template of calibration {held} cannot be compared under calibration {expected}")]
    ForeignCalibration {
        /// The calibration in use.
        expected: Hash256,
        /// The template's calibration.
        held: Hash256,
    },
}

impl TemplateKind {
    /// Refuses `held` unless it is this very kind, naming what differs.
    ///
    /// # Errors
    /// [`TemplateError::ForeignModel`], [`TemplateError::ForeignCalibration`] or
    /// [`TemplateError::Length`].
    pub fn accept(&self, held: &TemplateKind) -> Result<(), TemplateError> {
        if held.model != self.model {
            return Err(TemplateError::ForeignModel { expected: self.model, held: held.model });
        }
        if held.calibration != self.calibration {
            return Err(TemplateError::ForeignCalibration {
                expected: self.calibration,
                held: held.calibration,
            });
        }
        if held.dims != self.dims {
            return Err(TemplateError::Length {
                expected: usize::from(self.dims),
                held: usize::from(held.dims),
            });
        }
        Ok(())
    }
}

/// The unit-norm embedding, rotated by the calibration, scaled and rounded to int8 in ±127.
///
/// Zeroed when dropped. It can be neither cloned nor printed:
/// ```compile_fail
/// fn copy(template: &portcullis::types::Template) -> portcullis::types::Template {
///     template.clone()
/// }
/// ```
/// ```compile_fail
/// fn leak(template: &portcullis::types::Template) -> String {
///     serde_json::to_string(template).unwrap()
/// }
/// ```
pub struct Template {
    values: Box<[i8]>,
    kind: TemplateKind,
}

impl Template {
    /// Takes `values` as a template of `kind`.
    ///
    /// # Errors
    /// [`TemplateError::Length`] or [`TemplateError::OutOfRange`]; the values are then wiped.
    pub fn new(mut values: Box<[i8]>, kind: TemplateKind) -> Result<Self, TemplateError> {
        let problem = if values.len() != usize::from(kind.dims) {
            Some(TemplateError::Length { expected: usize::from(kind.dims), held: values.len() })
        } else {
            let at = values.iter().position(|&value| value == i8::MIN);
            at.map(|index| TemplateError::OutOfRange { index })
        };
        match problem {
            Some(problem) => {
                values.zeroize();
                Err(problem)
            }
            None => Ok(Self { values, kind }),
        }
    }

    /// Makes the template anew in its place, as one of `kind`, which has as many values. `make`
    /// writes all of them in ±127; where it fails the template is all zeros, and matches nobody.
    ///
    /// # Errors
    /// What `make` says.
    ///
    /// # Panics
    /// When `kind` has another number of values, or `make` writes −128: mistakes of the caller.
    pub fn refill<E>(
        &mut self,
        kind: TemplateKind,
        make: impl FnOnce(&mut [i8]) -> Result<(), E>,
    ) -> Result<(), E> {
        assert_eq!(self.values.len(), usize::from(kind.dims), "a template keeps its size");
        self.kind = kind;
        let made = make(&mut self.values);
        if made.is_err() {
            self.values.zeroize();
        }
        assert!(!self.values.contains(&i8::MIN), "values lie in ±127");
        made
    }

    /// The int8 values, `kind.dims` of them, each in ±127.
    #[must_use]
    pub fn values(&self) -> &[i8] {
        &self.values
    }

    /// Model and calibration.
    #[must_use]
    pub fn kind(&self) -> &TemplateKind {
        &self.kind
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({} values)", self.values.len())
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind() -> TemplateKind {
        TemplateKind {
            model: Hash256::from_bytes([1; 32]),
            calibration: Hash256::from_bytes([2; 32]),
            dims: 2,
        }
    }

    #[test]
    fn minus_128_and_wrong_lengths_are_refused() {
        let refused = Template::new(Box::new([0, -128]), kind()).unwrap_err();
        assert_eq!(refused, TemplateError::OutOfRange { index: 1 });
        let refused = Template::new(Box::new([0]), kind()).unwrap_err();
        assert_eq!(refused, TemplateError::Length { expected: 2, held: 1 });
    }

    #[test]
    fn foreign_kinds_are_refused_by_name() {
        let model = TemplateKind { model: Hash256::from_bytes([9; 32]), ..kind() };
        assert!(matches!(kind().accept(&model), Err(TemplateError::ForeignModel { .. })));
        let calibration = TemplateKind { calibration: Hash256::from_bytes([9; 32]), ..kind() };
        assert!(matches!(
            kind().accept(&calibration),
            Err(TemplateError::ForeignCalibration { .. })
        ));
        assert_eq!(kind().accept(&kind()), Ok(()));
    }

    #[test]
    fn debug_shows_no_value() {
        let template = Template::new(Box::new([77, -77]), kind()).expect("a template");
        assert_eq!(format!("{template:?}"), "Template(2 values)");
    }
}
