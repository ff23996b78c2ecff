//! What a reference or a probe arrives as: an encoded image, later a data group of a passport.
//!
//! Bytes from outside enter the product here and nowhere else, so every parser below checks a size
//! before it computes or allocates with it.
//!
//! Invariant: nothing is allocated for a picture before its header was found to be within
//! [`crate::limits`].

pub mod authentication;
pub mod image;

mod jpeg;
mod orientation;
mod png;
