//! `portcullis-bench`: the appliance's parts against their peers, in one run on one machine.
//!
//! Every measurement first proves that both sides compute the same thing, then times them in
//! interleaved rounds, and holds the result against the machine's own ceilings, measured in the
//! same run. Figures of different machines or runs are not to be compared; ratios are.
#![allow(clippy::print_stdout, reason = "a benchmark's report is its standard output")]

mod authenticity;
mod ceiling;
mod document;
mod fail;
mod finder;
mod gallery;
mod law;
mod networks;
mod peer;
mod picture;
mod products;
mod profile;
mod search;
mod served;
mod spent;
mod start;
mod talk;
mod verify;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};
use portcullis::backend::cpu::Isa;

/// Benchmarks of Portcullis against its peers.
#[derive(Debug, Parser)]
#[command(name = "portcullis-bench", version)]
struct Asked {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// An embedder: one aligned face of 112 × 112 per item.
    Embed(Embed),
    /// A detector at one or several input sizes.
    Detect(Detect),
    /// A passport's photograph, from the chip's bytes to pixels.
    Document(document::Options),
    /// Cold start of the release binary, and its size.
    Start(start::Options),
    /// Two photographs through HTTP, beside the same steps in the library alone.
    Verify(verify::Options),
    /// The encrypted gallery on a disk: opening, enrolling, erasing, resident memory.
    Gallery(gallery::Options),
    /// A decision of the law as text.
    Law(law::Options),
    /// Matrix products of an embedder's sizes: our register blocks against faer, one thread.
    Products(Products),
    /// Exact 1:N search against FAISS, USearch and NumPy; sealed galleries; growth; 1:1.
    Search(search::Options),
}

/// What both networks' benchmarks take.
#[derive(Debug, Args)]
struct Common {
    /// The model, an ONNX file.
    #[arg(long)]
    model: PathBuf,
    /// Compute threads, one row of the table each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// A Python with bench/peers/requirements.txt installed; without it there is no peer column.
    #[arg(long)]
    python: Option<PathBuf>,
    /// The instruction set; the best of the machine without it.
    #[arg(long)]
    isa: Option<IsaName>,
    /// Interleaved rounds.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Also print where the time goes: every kind of step alone, unfused, on one thread.
    #[arg(long)]
    profile: bool,
    /// A few runs only: proves that the benchmark works, measures nothing worth keeping.
    #[arg(long)]
    smoke: bool,
}

#[derive(Debug, Args)]
struct Embed {
    #[command(flatten)]
    common: Common,
    /// Items per run, one row of the table each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    batch: Vec<usize>,
}

#[derive(Debug, Args)]
struct Detect {
    #[command(flatten)]
    common: Common,
    /// Input heights and widths in pixels, one row of the table each.
    #[arg(long, value_delimiter = ',', default_values_t = [320, 640])]
    sizes: Vec<usize>,
}

#[derive(Debug, Args)]
struct Products {
    /// The instruction set; the best of the machine without it. faer picks its own.
    #[arg(long)]
    isa: Option<IsaName>,
}

/// [`Isa`] as an argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum IsaName {
    Avx2,
    Avx512,
    Neon,
    Portable,
}

impl From<IsaName> for Isa {
    fn from(name: IsaName) -> Self {
        match name {
            IsaName::Avx2 => Self::Avx2,
            IsaName::Avx512 => Self::Avx512,
            IsaName::Neon => Self::Neon,
            IsaName::Portable => Self::Portable,
        }
    }
}

fn main() -> ExitCode {
    let outcome = match Asked::parse().what {
        What::Embed(asked) => networks::embed(&asked).map(|()| true).map_err(|why| why.to_string()),
        What::Detect(asked) => {
            networks::detect(&asked).map(|()| true).map_err(|why| why.to_string())
        }
        What::Document(asked) => document::run(&asked).map_err(|why| why.to_string()),
        What::Start(asked) => start::run(&asked).map_err(|why| why.to_string()),
        What::Verify(asked) => verify::run(&asked).map_err(|why| why.to_string()),
        What::Law(asked) => law::run(&asked).map_err(|why| why.to_string()),
        What::Gallery(asked) => gallery::run(&asked).map_err(|why| why.to_string()),
        What::Products(asked) => {
            products::products(&asked).map(|()| true).map_err(|why| why.to_string())
        }
        What::Search(asked) => search::run(&asked).map_err(|why| why.to_string()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("portcullis-bench: a promise of the README is not kept on this machine");
            ExitCode::FAILURE
        }
        Err(failure) => {
            println!("portcullis-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}
