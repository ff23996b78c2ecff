//! Throughput against latency: runs from little to too much, and the knee between.

use clap::Args;

use super::{
    CAPACITY_S, Kept, Limits, Wrong, accuracy,
    arrivals::{Order, Pattern, Plan},
    finish,
    machine::Machine,
    mix::{Mix, What},
    own::{self, Needs, Where},
    report::{Page, Step, knee},
    run::Session,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    kept: Kept,
    /// Shares of the measured capacity, one run each.
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = [0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 1.1, 1.25, 1.5]
    )]
    loads: Vec<f64>,
    /// Seconds of each run.
    #[arg(long = "for", default_value_t = 30.0, value_name = "SECONDS")]
    seconds: f64,
    /// Seconds of warm-up before each.
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    warm_up: f64,
    /// Evenly instead of by chance.
    #[arg(long)]
    constant: bool,
}

/// Runs the sweep.
///
/// # Errors
/// When the appliance does not answer or a file cannot be written.
pub(crate) fn run(asked: &Arguments) -> Result<(), Wrong> {
    asked.kept.check()?;
    let driven = own::drive(&asked.place, Needs::default())?;
    let limits = Limits::measured(&driven, CAPACITY_S)?;
    let folder = asked.kept.out.as_path();
    let session =
        Session { place: &asked.place, driven: &driven, folder, machine: Machine::here() };
    let pattern = if asked.constant { Pattern::Constant } else { Pattern::Poisson };
    let mix = Mix::only(What::Verify);
    let (mut runs, mut steps) = (Vec::new(), Vec::new());
    for load in &asked.loads {
        let rate = load * limits.capacity_per_s;
        let plan = Plan::draw(&Order {
            pattern: &pattern,
            rate,
            seconds: asked.seconds,
            warm_up_s: asked.warm_up,
            lanes: asked.place.lanes,
            mix: &mix,
            seed: asked.place.seed,
        })?;
        let name = format!("{}-{:03.0}", asked.kept.name, load * 100.0);
        let schedule = format!("{pattern:?} {rate:.2}/s, {:.0} % of capacity", load * 100.0);
        let run = session.run(&name, &schedule, &plan, 0.0)?;
        let all = run.figures.all();
        steps.push(Step {
            offered_per_s: run.figures.offered_per_s,
            answered_per_s: run.figures.answered_per_s,
            us_p50: all.us_p50,
            us_p99: all.us_p99,
        });
        runs.push(run);
    }
    let checked = accuracy::run(&driven.questions, asked.kept.pairs.as_deref())?;
    runs.iter_mut().for_each(|run| run.accuracy = checked.clone());
    println!("\n  offered/s  answered/s     p50 ms     p99 ms");
    for step in &steps {
        println!(
            "  {:>9.2} {:>11.2} {:>10.2} {:>10.2}",
            step.offered_per_s,
            step.answered_per_s,
            step.us_p50 as f64 / 1e3,
            step.us_p99 as f64 / 1e3
        );
    }
    match knee(&steps) {
        Some(at) => println!(
            "knee at {:.2} answered per second, p99 {:.2} ms: {:.0} % of the capacity",
            at.answered_per_s,
            at.us_p99 as f64 / 1e3,
            at.answered_per_s / limits.capacity_per_s * 100.0
        ),
        None => println!("no knee: the curve does not bend; go to higher --loads"),
    }
    finish(
        &asked.kept,
        Page { title: asked.kept.name.clone(), runs, sweep: steps, ..Page::default() },
    )
}
