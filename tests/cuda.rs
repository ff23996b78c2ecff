//! The CUDA backend where there is no GPU of NVIDIA's, and how it is asked for.
//!
//! What it computes is held to the conformance suite (`on_cuda`) and to tests/devices.rs; both are
//! counted skips without a GPU. What does not need one is tested beside the code.
#![cfg(feature = "cuda")]

mod common;

use std::path::Path;

use portcullis::backend::{
    Backend, FACTORIES, Wish,
    cuda::{Cuda, NAME, Options},
};

#[test]
fn what_is_missing_is_an_answer_that_names_it_each_time_it_is_asked() {
    for _ in 0..3 {
        let Err(unavailable) = Cuda::with(&Options::default()) else { return };
        assert_eq!(unavailable.what, NAME);
        // One of the three things that it needs, with what would help.
        let named = ["libcuda", "the driver", "NVRTC", "GPU"];
        let why = &unavailable.why;
        assert!(named.iter().any(|name| why.contains(name)), "{why}");
        assert!(!why.contains("panicked"), "{why}");
    }
}

#[test]
fn a_machine_without_it_goes_on_to_the_next_backend() {
    let place = |name| FACTORIES.iter().position(|factory| factory.name == name);
    assert_eq!(place(NAME), Some(0), "what is fastest is asked first");
    for by_name in [false, true] {
        let wish = Wish { by_name, ..Wish::named(1) };
        if let Err(unavailable) = (FACTORIES[0].make)(&wish) {
            assert_eq!(unavailable.what, NAME);
        }
    }
}

#[test]
fn a_gpu_is_taken_by_a_part_of_its_name_and_its_kernels_are_kept() {
    let test = "a_gpu_is_taken_by_a_part_of_its_name_and_its_kernels_are_kept";
    let folder = tempfile::tempdir().expect("a folder");
    let kernels = folder.path().join("kernels");
    let with = |adapter: &str, kernels: Option<&Path>| {
        Cuda::with(&Options {
            adapter: adapter.to_owned(),
            kernels: kernels.map(Path::to_owned),
            tight: false,
        })
    };
    let backend = match with("", Some(&kernels)) {
        Ok(backend) => backend,
        Err(unavailable) => return common::skip(test, NAME, &unavailable.to_string()),
    };
    let name = backend.describe().device;
    let part = name.chars().take(5).collect::<String>().to_uppercase();
    assert_eq!(with(&part, None).expect("the same one").describe().device, name);
    let unavailable = with("Difference Engine", None).expect_err("there is none");
    assert!(unavailable.why.contains("difference engine") && unavailable.why.contains(&name));
    // Every kernel compiles for this device, spills nothing, and is there at the next start.
    for (entry, _registers, spilled) in backend.resources().expect("every kernel compiles") {
        assert_eq!(spilled, 0, "{entry} spills registers");
    }
    let images = || -> Vec<String> {
        let entries = std::fs::read_dir(&kernels).expect("images are kept").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let kept = images().len();
    assert!(images().iter().any(|name| name.starts_with("shared-convert-")), "{:?}", images());
    with("", Some(&kernels)).expect("again").resources().expect("from the images");
    assert_eq!(images().len(), kept);
}
