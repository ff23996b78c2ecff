//! `portcullis-load`: what an appliance does under load, measured so that nothing hides.
//!
//! The loop is open: arrivals have their times beforehand, and latency counts from there. Results
//! of several processes add up. Every report says on what machine it was taken, and whether the
//! answers were right. `bench/README.md` tells how to use it, and how to do the same with k6 and
//! vegeta.
#![allow(clippy::print_stdout, reason = "a measurement's report is its standard output")]

mod accuracy;
mod arrivals;
mod ask;
mod dice;
mod drive;
#[path = "../finder.rs"]
mod finder;
mod machine;
mod mix;
mod own;
mod peer;
mod plot;
mod promises;
mod queue;
mod record;
mod report;
mod run;
#[path = "../served.rs"]
#[expect(dead_code, reason = "`portcullis-bench` uses the rest of it")]
mod served;
mod sweep;
mod target;

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};
use portcullis::config::{Config, Environment};

use arrivals::{Order, Pattern, Plan, Steps};
use machine::Machine;
use mix::{Mix, What};
use own::{Driven, Needs, Where};
use queue::Service;
use report::Page;
use run::{Run, Session, Simulation, table};

/// What stops a measurement.
pub(crate) type Wrong = Box<dyn Error>;

/// Load for Portcullis, and for whoever speaks its API.
#[derive(Debug, Parser)]
#[command(name = "portcullis-load", version)]
struct Asked {
    #[command(subcommand)]
    what: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// One run of a plan.
    Run(Box<RunArguments>),
    /// Runs from little to too much load; finds the knee.
    Sweep(Box<sweep::Arguments>),
    /// Capacity, overhead, tails and overload, held against what the README promises.
    Promises(Box<promises::Arguments>),
    /// The same verifications by the Python server of bench/peers, side by side.
    Peer(Box<peer::Arguments>),
    /// Fill a synthetic gallery where a configuration keeps its galleries; no appliance may run.
    Gallery(GalleryArguments),
    /// What a queue alone would do: M/D/c.
    Simulate(SimulateArguments),
    /// Add up the results of several processes that ran at the same time.
    Merge(MergeArguments),
}

/// How arrivals are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// Evenly, lane after lane.
    Constant,
    /// By chance.
    Poisson,
    /// --steps, one after the other.
    Step,
    /// Evenly, and --burst-size more at once every --burst-every seconds.
    Burst,
    /// --flights, a schedule file.
    Flights,
}

/// When who comes, and what is kept of it.
#[derive(Debug, Clone, Args)]
struct Schedule {
    /// How arrivals are spread.
    #[arg(long, value_enum, default_value = "poisson")]
    arrivals: Shape,
    /// Arrivals per second.
    #[arg(long, default_value_t = 5.0)]
    rate: f64,
    /// In place of --rate: a share of the capacity, which is measured first.
    #[arg(long, value_name = "SHARE")]
    load: Option<f64>,
    /// RATE:SECONDS,RATE:SECONDS,…
    #[arg(long, default_value = "2:20,5:20,10:20")]
    steps: Steps,
    /// Seconds between two bursts.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    burst_every: f64,
    /// Arrivals of one burst.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    burst_size: usize,
    /// Flights: a file of lines `flight,at,passengers,spread_s`.
    #[arg(long, value_name = "FILE")]
    flights: Option<PathBuf>,
    /// How much faster than the schedule's own clock the day passes.
    #[arg(long, default_value_t = 1.0)]
    time_scale: f64,
    /// Seconds that are counted.
    #[arg(long = "for", default_value_t = 60.0, value_name = "SECONDS")]
    seconds: f64,
    /// Seconds before them that are not.
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS")]
    warm_up: f64,
    /// Shares of what is asked: verify=80,identify=15,transaction=0,enrol=3,erase=2.
    #[arg(long, default_value = "verify=1")]
    mix: Mix,
    /// With transactions: frames per second that each simulated lane pushes.
    #[arg(long, default_value_t = 10.0, value_name = "PER_SECOND")]
    frame_rate: f64,
    /// Frames that simulated lanes push come to be counted also without transactions.
    #[arg(long)]
    push_frames: bool,
}

#[derive(Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    schedule: Schedule,
    #[command(flatten)]
    kept: Kept,
    /// Parallel engine lines of the appliance, for the simulation of the queue.
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    servers: usize,
    /// Print what a queue alone would have done; needs the capacity, which is measured first.
    #[arg(long)]
    simulate: bool,
    /// Fail when memory grows, p99 drifts, or a frame is unaccounted for: a soak.
    #[arg(long)]
    soak: bool,
}

/// Where results go.
#[derive(Debug, Clone, Args)]
pub(crate) struct Kept {
    /// Folder of the results: NAME.json, NAME.hlog, NAME.html.
    #[arg(long, default_value = "load-results", value_name = "DIR")]
    out: PathBuf,
    /// Their name.
    #[arg(long, default_value = "run")]
    name: String,
    /// Labelled pairs (`file_a,file_b,same_person`) for the accuracy run; without it, every two of
    /// the photographs.
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
}

impl Kept {
    /// Whether everything can be read that will be asked for after the measurement.
    ///
    /// # Errors
    /// Naming what is not there.
    pub(crate) fn check(&self) -> Result<(), Wrong> {
        match &self.pairs {
            Some(pairs) if !pairs.is_file() => {
                Err(format!("--pairs {}: there is no such file", pairs.display()).into())
            }
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Args)]
struct GalleryArguments {
    /// The configuration file of the appliance that will serve it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its name.
    #[arg(long, default_value = "load")]
    gallery: String,
    /// People in it, 1,000 to 10,000,000.
    #[arg(long, default_value_t = 100_000, value_parser = own::people())]
    rows: u64,
    /// What they are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct SimulateArguments {
    /// Servers.
    #[arg(long, default_value_t = 1)]
    servers: usize,
    /// Answers per second at most.
    #[arg(long)]
    capacity: f64,
    /// Latency of one alone, in milliseconds; without it, the service time.
    #[arg(long, value_name = "MS")]
    alone_ms: Option<f64>,
    /// Shares of the capacity, one row each.
    #[arg(long, value_delimiter = ',', default_values_t = [0.5, 0.7, 0.8, 0.9, 0.95])]
    loads: Vec<f64>,
    /// What arrivals are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct MergeArguments {
    /// Their NAME.json; each NAME.hlog lies beside it.
    #[arg(required = true, value_name = "FILE")]
    results: Vec<PathBuf>,
    /// Folder of the merged result.
    #[arg(long, default_value = "load-results", value_name = "DIR")]
    out: PathBuf,
    /// Its name.
    #[arg(long, default_value = "merged")]
    name: String,
}

impl Schedule {
    fn pattern(&self) -> Result<Pattern, Wrong> {
        Ok(match self.arrivals {
            Shape::Constant => Pattern::Constant,
            Shape::Poisson => Pattern::Poisson,
            Shape::Step => Pattern::Step(self.steps.0.clone()),
            Shape::Burst if self.burst_every > 0.0 => {
                Pattern::Burst { every_s: self.burst_every, size: self.burst_size }
            }
            Shape::Burst => return Err("--burst-every takes more than 0 seconds".into()),
            Shape::Flights => {
                let file =
                    self.flights.as_ref().ok_or("--arrivals flights needs --flights FILE")?;
                Pattern::Flights(arrivals::flights(file, self.time_scale)?)
            }
        })
    }

    /// In words.
    fn words(&self, rate: f64) -> String {
        let how = match self.arrivals {
            Shape::Constant => format!("constant {rate:.2}/s"),
            Shape::Poisson => format!("Poisson {rate:.2}/s"),
            Shape::Step => format!("steps {:?}", self.steps.0),
            Shape::Burst => {
                format!("{rate:.2}/s and {} at once every {} s", self.burst_size, self.burst_every)
            }
            Shape::Flights => format!(
                "flights of {}, {} times as fast",
                self.flights.as_ref().map(|file| file.display().to_string()).unwrap_or_default(),
                self.time_scale
            ),
        };
        let load = self.load.map(|load| format!(", {:.0} % of capacity", load * 100.0));
        format!("{how}{}, mix {}", load.unwrap_or_default(), self.mix)
    }

    fn needs(&self) -> Needs {
        Needs {
            gallery: self.mix.needs_gallery(),
            lanes: self.mix.has(What::Transaction) || self.push_frames,
        }
    }
}

/// Latency at rest and capacity of an appliance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) alone_us: f64,
    pub(crate) capacity_per_s: f64,
}

impl Limits {
    /// Measures both, for verifications.
    ///
    /// # Errors
    /// When the appliance does not answer.
    pub(crate) fn measured(driven: &Driven, seconds: f64) -> Result<Self, Wrong> {
        let mut took = drive::at_rest(&driven.questions, 20)?;
        let alone_us = served::median_us(&mut took) as f64;
        // Enough that the engine never waits for a question, few enough that none is shed.
        let (capacity_per_s, _) = drive::saturate(&driven.questions, What::Verify, 16, seconds);
        if capacity_per_s <= 0.0 {
            return Err("nothing was answered while the capacity was measured".into());
        }
        println!(
            "alone {:.2} ms; capacity {capacity_per_s:.2} verifications per second",
            alone_us / 1e3
        );
        Ok(Self { alone_us, capacity_per_s })
    }
}

/// Seconds in which the capacity is measured.
const CAPACITY_S: f64 = 15.0;

fn one_run(asked: &RunArguments) -> Result<bool, Wrong> {
    asked.kept.check()?;
    let schedule = &asked.schedule;
    let driven = own::drive(&asked.place, schedule.needs())?;
    let limits = if asked.simulate || schedule.load.is_some() {
        Some(Limits::measured(&driven, CAPACITY_S)?)
    } else {
        None
    };
    let rate = match (schedule.load, limits) {
        (Some(load), Some(limits)) => load * limits.capacity_per_s,
        _ => schedule.rate,
    };
    let pattern = schedule.pattern()?;
    let plan = Plan::draw(&Order {
        pattern: &pattern,
        rate,
        seconds: schedule.seconds,
        warm_up_s: schedule.warm_up,
        lanes: asked.place.lanes,
        mix: &schedule.mix,
        seed: asked.place.seed,
    })?;
    let folder = asked.kept.out.as_path();
    let (driven, machine) = (&driven, Machine::here());
    let session = Session { place: &asked.place, driven, folder, machine };
    let lanes = schedule.needs().lanes;
    let frames_per_s = if lanes { schedule.frame_rate } else { 0.0 };
    let mut run = session.run(&asked.kept.name, &schedule.words(rate), &plan, frames_per_s)?;
    if let (true, Some(limits)) = (asked.simulate, limits) {
        let service = Service::measured(asked.servers, limits.capacity_per_s, limits.alone_us);
        run.simulation = Some(Simulation::of(&plan, service, asked.place.seed));
    }
    run.accuracy = accuracy::run(&driven.questions, asked.kept.pairs.as_deref())?;
    let verdicts = if asked.soak { promises::soak(&run) } else { Vec::new() };
    let kept = verdicts.iter().all(|verdict| verdict.kept);
    finish(
        &asked.kept,
        Page { title: asked.kept.name.clone(), runs: vec![run], verdicts, ..Page::default() },
    )?;
    Ok(kept)
}

/// Prints the tables and writes JSON and page.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn finish(kept: &Kept, page: Page) -> Result<(), Wrong> {
    for run in &page.runs {
        println!("{}", table(run));
        run.write(&kept.out)?;
    }
    for verdict in &page.verdicts {
        let word = if verdict.kept { "kept    " } else { "NOT KEPT" };
        println!("{word}  {}: {}", verdict.what, verdict.measured);
    }
    let path = kept.out.join(format!("{}.html", kept.name));
    page.write(&path)?;
    println!("written: {}", path.display());
    Ok(())
}

fn simulate(asked: &SimulateArguments) {
    let alone_us =
        asked.alone_ms.map_or(asked.servers as f64 * 1e6 / asked.capacity, |ms| ms * 1e3);
    let service = Service::measured(asked.servers, asked.capacity, alone_us);
    println!(
        "M/D/{}: each server is taken for {:.3} ms; {:.3} ms where nobody waits",
        service.servers,
        service.occupied_us / 1e3,
        alone_us / 1e3
    );
    println!("  load     p50 ms    p99 ms  p99.9 ms   p99.9/p50");
    for load in &asked.loads {
        let all = queue::long_run_us(load * asked.capacity, service, asked.seed);
        let held = record::Quantiles::of_values(all.into_iter().map(|us| us.round() as u64));
        println!(
            "  {load:<5} {:>9.2} {:>9.2} {:>9.2} {:>11.2}",
            held.us_p50 as f64 / 1e3,
            held.us_p99 as f64 / 1e3,
            held.us_p999 as f64 / 1e3,
            held.tail()
        );
    }
}

fn merge(asked: &MergeArguments) -> Result<(), Wrong> {
    let run = Run::merged(&asked.results, &asked.name)?;
    let kept = Kept { out: asked.out.clone(), name: asked.name.clone(), pairs: None };
    finish(&kept, Page { title: asked.name.clone(), runs: vec![run], ..Page::default() })
}

fn carry_out(asked: Asked) -> Result<bool, Wrong> {
    match asked.what {
        Verb::Run(asked) => one_run(&asked),
        Verb::Sweep(asked) => sweep::run(&asked).map(|()| true),
        Verb::Promises(asked) => promises::run(&asked),
        Verb::Peer(asked) => peer::run(&asked),
        Verb::Gallery(asked) => {
            let config = Config::load(asked.config.as_deref(), &Environment::of_process())?;
            own::gallery(&config, &asked.gallery, (asked.rows, asked.seed), false)?;
            Ok(true)
        }
        Verb::Simulate(asked) => {
            if !(asked.capacity > 0.0 && asked.servers > 0) {
                return Err("--capacity and --servers take more than 0".into());
            }
            simulate(&asked);
            Ok(true)
        }
        Verb::Merge(asked) => merge(&asked).map(|()| true),
    }
}

fn main() -> ExitCode {
    // What is measured is the appliance's latency, not how long this program waits for a core.
    portcullis::share::answer();
    match carry_out(Asked::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("portcullis-load: a promise is not kept on this machine");
            ExitCode::FAILURE
        }
        Err(wrong) => {
            println!("portcullis-load: {wrong}");
            ExitCode::FAILURE
        }
    }
}
