//! One suite for all backends: the same test bodies, mounted once per machine.
//!
//! A body asks `super::backend(…)` for the machine it is mounted on and compares what comes out
//! with the scalar meaning in `portcullis::ops`, or with a brute force written here. Inputs are
//! fresh at random; a failing test prints its seed, and `PORTCULLIS_SEED=<seed>` repeats the run.
//!
//! Invariant: every row of `backend::FACTORIES` is mounted, every row of `ops::ALL` has cases. A
//! machine that is not at hand is a counted skip, and a failure where `PORTCULLIS_REQUIRE` names
//! it.
#![allow(clippy::duplicate_mod, reason = "the suites are compiled once per backend, on purpose")]

mod common;
#[path = "conformance/support/mod.rs"]
mod support;

use portcullis::backend::FACTORIES;

/// Mounts every suite in `module`, on the machine that `$make` gives.
macro_rules! suites {
    ($module:ident, $name:expr, $make:expr) => {
        #[path = "conformance"]
        mod $module {
            use std::sync::Arc;

            fn backend(test: &str) -> Option<Arc<dyn portcullis::backend::Backend>> {
                crate::support::at_hand($name, test, $make)
            }

            mod feeds;
            mod limits;
            mod ops;
            mod programs;
            mod search;
        }
    };
}

/// Mounts every suite on the backend of that name in `FACTORIES`.
macro_rules! mount {
    ($($module:ident => $name:literal;)*) => {
        $(suites!($module, $name, crate::support::factory($name));)*
        const MOUNTED: &[&str] = &[$($name),*];
    };
}

mount! {
    on_cpu => "cpu";
    on_fpga => "fpga";
    on_reference => "reference";
    on_wgpu => "wgpu";
}

// The instruction sets that a better machine would leave untried; one thread, so that both ways of
// running are held to the suite.
suites!(on_cpu_avx2, "cpu-avx2", crate::support::isa(portcullis::backend::cpu::Isa::Avx2));
suites!(
    on_cpu_portable,
    "cpu-portable",
    crate::support::isa(portcullis::backend::cpu::Isa::Portable)
);

// A device without the product of four bytes, on which nothing fits in one piece: what that changes
// is the search, and how items follow each other. Steps are the same shaders as in `on_wgpu`.
#[cfg(feature = "wgpu")]
#[path = "conformance"]
mod on_wgpu_small {
    use std::sync::Arc;

    fn backend(test: &str) -> Option<Arc<dyn portcullis::backend::Backend>> {
        crate::support::at_hand("wgpu", test, crate::support::small_device())
    }

    mod feeds;
    mod search;
}

// What `on_fpga` hands to the engine beside the card (many probes, long lists), the twin answers
// here by itself.
#[path = "conformance"]
mod on_fpga_alone {
    use std::sync::Arc;

    fn backend(test: &str) -> Option<Arc<dyn portcullis::backend::Backend>> {
        crate::support::at_hand("fpga", test, crate::support::cards::twin_alone())
    }

    mod search;
}

// rustfmt does not look into macros: this names the suites for it, and compiles nothing.
#[cfg(any())]
#[path = "conformance"]
mod formatted {
    mod feeds;
    mod limits;
    mod ops;
    mod programs;
    mod search;
}

#[test]
fn every_backend_is_mounted_and_the_reference_comes_last() {
    let names: Vec<&str> = FACTORIES.iter().map(|factory| factory.name).collect();
    let unmounted: Vec<_> = names.iter().filter(|name| !MOUNTED.contains(name)).collect();
    assert!(unmounted.is_empty(), "add a `mount!` line for {unmounted:?}");
    assert_eq!(names.last(), Some(&"reference"), "what is always there is asked last");
}
