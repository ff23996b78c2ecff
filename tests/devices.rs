//! What the conformance suite cannot ask of every backend, of those with memory of their own: what
//! happens when the device is lost, what generations share, searches at the same time.
//!
//! `on_wgpu` runs on any Vulkan device, Mesa's lavapipe included, `on_cuda` on a GPU of NVIDIA's;
//! without one each test is a counted skip.
#![allow(clippy::duplicate_mod, reason = "the suite is compiled once per backend, on purpose")]

mod common;
#[path = "conformance/support/dice.rs"]
#[allow(dead_code, reason = "shared with the conformance suite; each uses its part")]
mod dice;
#[path = "common/enlarging.rs"]
mod enlarging;

#[cfg(feature = "cuda")]
#[path = "devices"]
mod on_cuda {
    use portcullis::backend::cuda::{Cuda, NAME, Options};

    /// The device, or `None` after a counted skip.
    fn device(test: &str, tight: bool) -> Option<Cuda> {
        match Cuda::with(&Options { tight, ..Options::default() }) {
            Ok(backend) => Some(backend),
            Err(unavailable) => {
                crate::common::skip(test, NAME, &unavailable.to_string());
                None
            }
        }
    }

    fn forsake(backend: &Cuda) {
        backend.forsake();
    }

    mod suite;
}

#[cfg(feature = "wgpu")]
#[path = "devices"]
mod on_wgpu {
    use portcullis::backend::wgpu::{NAME, Options, Wgpu};

    /// The device, or `None` after a counted skip.
    fn device(test: &str, tight: bool) -> Option<Wgpu> {
        match Wgpu::with(&Options { tight, ..Options::default() }) {
            Ok(backend) => Some(backend),
            Err(unavailable) => {
                crate::common::skip(test, NAME, &unavailable.to_string());
                None
            }
        }
    }

    fn forsake(backend: &Wgpu) {
        backend.forsake();
    }

    mod suite;
}
