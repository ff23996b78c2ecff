//! What a reference or a probe arrives as: an encoded image, or the files of a passport chip.
//!
//! Bytes from outside enter the product here and nowhere else, so every parser below checks a size
//! before it computes or allocates with it.
//!
//! Invariant: nothing is allocated for a picture before its header was found to be within
//! [`crate::limits`].

pub mod authentication;
pub mod com;
pub mod dg1;
pub mod dg2;
pub mod error;
pub mod image;
pub mod mrz;

mod codestream;
mod iso19794;
mod iso39794;
mod jpeg;
mod jpeg2000;
mod orientation;
mod png;
mod tlv;
