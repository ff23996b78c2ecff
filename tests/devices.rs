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
    use portcullis::backend::{
        Unavailable, Wish,
        cuda::{Cuda, NAME, Options},
    };

    /// The device, or `None` after a counted skip.
    fn device(test: &str, tight: bool) -> Option<Cuda> {
        or_skip(test, Cuda::with(&Options { tight, ..Options::default() }))
    }

    /// The device as the appliance makes it, or `None` after a counted skip.
    fn made(test: &str) -> Option<Cuda> {
        or_skip(test, Cuda::new(&Wish::named(1)))
    }

    fn or_skip(test: &str, made: Result<Cuda, Unavailable>) -> Option<Cuda> {
        let skip = |why: &Unavailable| crate::common::skip(test, NAME, &why.to_string());
        made.inspect_err(skip).ok()
    }

    fn compiled(backend: &Cuda) -> usize {
        backend.compiled()
    }

    fn forsake(backend: &Cuda) {
        backend.forsake();
    }

    mod suite;
}

#[cfg(feature = "wgpu")]
#[path = "devices"]
mod on_wgpu {
    use portcullis::backend::{
        Unavailable, Wish,
        wgpu::{NAME, Options, Wgpu},
    };

    /// The device, or `None` after a counted skip.
    fn device(test: &str, tight: bool) -> Option<Wgpu> {
        or_skip(test, Wgpu::with(&Options { tight, ..Options::default() }))
    }

    /// The device as the appliance makes it, or `None` after a counted skip.
    fn made(test: &str) -> Option<Wgpu> {
        or_skip(test, Wgpu::new(&Wish::named(1)))
    }

    fn or_skip(test: &str, made: Result<Wgpu, Unavailable>) -> Option<Wgpu> {
        let skip = |why: &Unavailable| crate::common::skip(test, NAME, &why.to_string());
        made.inspect_err(skip).ok()
    }

    fn compiled(backend: &Wgpu) -> usize {
        backend.compiled()
    }

    fn forsake(backend: &Wgpu) {
        backend.forsake();
    }

    mod suite;
}
