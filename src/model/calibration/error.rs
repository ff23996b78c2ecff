//! Why a calibration is refused, an embedding has no template, or a threshold cannot be given.

use std::sync::Arc;

use super::format::VERSION;
use crate::{ops::quantise::QuantiseError, types::Hash256};

/// Why bytes are not a calibration, or an embedding does not become a template.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CalibrationError {
    /// The basis is not one readable sentence.
    #[error("the calibration's basis (data set and sample size) is not plain UTF-8 text")]
    Basis,
    /// A bit was changed, or the file was cut.
    #[error("the calibration is damaged: its hash is {held}, it states {stated}; fetch it again")]
    Damaged {
        /// Hash at the end of the file.
        stated: Hash256,
        /// Hash of what stands before.
        held: Hash256,
    },
    /// An embedding that has no template.
    #[error(transparent)]
    Embedding(#[from] QuantiseError),
    /// A header field outside of what is allowed.
    #[error("the calibration's {field} is {held}; allowed: {least} to {most}")]
    Field {
        /// Which.
        field: &'static str,
        /// Value found.
        held: u32,
        /// Least allowed.
        least: u32,
        /// Most allowed.
        most: u32,
    },
    /// The file has not the length that its header needs.
    #[error("a calibration with this header has {expected} bytes, the file has {held}")]
    Length {
        /// Bytes needed.
        expected: usize,
        /// Bytes found.
        held: usize,
    },
    /// Not a calibration at all.
    #[error("not a calibration: it does not begin with \"PCULSCAL\"")]
    Magic,
    /// The model in use is another one.
    #[error("the calibration belongs to model {expected}, the embedder is {held}")]
    Model {
        /// The calibration's model.
        expected: Hash256,
        /// The model at hand.
        held: Hash256,
    },
    /// An infinite or undefined value.
    #[error("value {index} of the calibration's {part} is not a finite number")]
    NotFinite {
        /// Where.
        part: &'static str,
        /// Position.
        index: usize,
    },
    /// A covariance that is not one.
    #[error("the calibration's {part} is not a covariance: see row {row}")]
    Population {
        /// Which.
        part: &'static str,
        /// Row with a negative variance or without symmetry.
        row: usize,
    },
    /// Axes that are not orthonormal would change scores.
    #[error("rows {row} and {other} of the calibration's rotation are not orthonormal")]
    Rotation {
        /// One axis.
        row: usize,
        /// The other, or the same.
        other: usize,
    },
    /// The scale is not a number in range.
    #[error("the calibration's scale is {held}; allowed: 1 to 4096")]
    Scale {
        /// Value found.
        held: f32,
    },
    /// Rows must fall in rate and not fall in similarity.
    #[error("row {row} of the calibration's threshold table does not follow from the one before")]
    Threshold {
        /// The row.
        row: usize,
    },
    /// Another version of the format.
    #[error("calibration format {held}; this build reads format {VERSION}")]
    Version {
        /// Version found.
        held: u32,
    },
}

/// Why a threshold cannot be given.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ThresholdError {
    /// The calibration was derived without labelled photographs.
    #[error(
        "the calibration has no threshold table ({basis}); run `portcullis calibrate` on labelled \
         photographs, one folder per person"
    )]
    NoTable {
        /// What it says about its data.
        basis: Arc<str>,
    },
    /// Not a rate.
    #[error("{held} is not a false match rate; give a number above 0 and below 1")]
    NotRate {
        /// What was asked.
        held: f64,
    },
    /// The sample behind the table is too small for it.
    #[error(
        "insufficient data for a false match rate of {held:e}: the calibration reaches {least:e} \
         ({basis})"
    )]
    Unreached {
        /// What was asked.
        held: f64,
        /// The lowest rate of the table.
        least: f64,
        /// The data behind it.
        basis: Arc<str>,
    },
}
