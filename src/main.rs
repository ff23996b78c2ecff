//! The `portcullis` binary: the allocator that forgets, and the command line.

use std::process::ExitCode;

use portcullis::{cli, config::Environment, keys::wipe::WipingAllocator};

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), &Environment::of_process())
}
