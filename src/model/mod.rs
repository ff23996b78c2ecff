//! Network files in, [`crate::ops::program::Program`] out; and what belongs to a model: its calibration.
