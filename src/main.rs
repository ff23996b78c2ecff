//! The `portcullis` binary: the allocator that forgets, and the command line.

use std::process::ExitCode;

use portcullis::{
    cli,
    config::Environment,
    keys::{process, wipe::WipingAllocator},
};

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

#[expect(clippy::print_stderr, reason = "before anything else could be set up to speak")]
fn main() -> ExitCode {
    // First of all: every verb may hold faces, templates or keys.
    if let Err(error) = process::harden() {
        eprintln!("portcullis: {error}");
        return ExitCode::from(2); // an error, and not "no match"
    }
    cli::run(std::env::args_os(), &Environment::of_process())
}
