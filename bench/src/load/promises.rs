//! What the README promises about load, measured in one session on one appliance: overhead, tails,
//! overload, accounting, accuracy. Each verdict says what was measured; a promise that is not kept
//! ends the program with a failure.

use clap::Args;

use super::{
    CAPACITY_S, Kept, Limits, Wrong, accuracy,
    arrivals::{Order, Pattern, Plan},
    finish,
    machine::Machine,
    mix::{Mix, What},
    own::{self, Needs, Where},
    queue::Service,
    report::{Page, Verdict},
    run::{Run, Session, Simulation},
};

/// Overhead of one verification at 70 % load, p99.
const OVERHEAD_US_MAX: u64 = 2_000;
/// p99.9 over p50 of constant-rate lanes at 80 %.
const CONSTANT_TAIL_MAX: f64 = 2.0;
/// The same under Poisson arrivals, over what the queue alone gives.
const POISSON_TAIL_MAX: f64 = 1.25;
/// Answered in time at 150 %, over the capacity.
const GOODPUT_MIN: f64 = 0.95;
/// Most growth of memory over a soak, first to last third.
const MEMORY_GROWTH_MAX: f64 = 1.02;
/// Most growth of p99 over a soak, first to last third.
const DRIFT_MAX: f64 = 1.1;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    kept: Kept,
    /// Seconds of each run.
    #[arg(long = "for", default_value_t = 120.0, value_name = "SECONDS")]
    seconds: f64,
    /// Seconds of warm-up before each.
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS")]
    warm_up: f64,
    /// Deadline of the requests of the overload run, in milliseconds.
    #[arg(long, default_value_t = 1_000, value_name = "MS")]
    overload_deadline_ms: u64,
    /// Parallel engine lines of the appliance, for the simulation of the queue.
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    servers: usize,
    /// Short runs, not held to the promises: proves that the measurement works.
    #[arg(long)]
    smoke: bool,
}

/// Runs all of it; true when every promise was kept.
///
/// # Errors
/// When the appliance does not answer or a file cannot be written.
pub(crate) fn run(asked: &Arguments) -> Result<bool, Wrong> {
    asked.kept.check()?;
    let place = &asked.place;
    let driven = own::drive(place, Needs::default())?;
    // The same appliance again, asked with a deadline that a queue can miss.
    let at = driven.questions.target.address;
    let hurried = place.running_at(at).within(asked.overload_deadline_ms);
    let pressed = own::drive(&hurried, Needs::default())?;
    let limits = Limits::measured(&driven, if asked.smoke { 1.0 } else { CAPACITY_S })?;
    let folder = asked.kept.out.as_path();
    let machine = Machine::here();
    let one = |name: &str, pattern: Pattern, load: f64| -> Result<(Run, Plan), Wrong> {
        let driven = if load > 1.0 { &pressed } else { &driven };
        let session = Session { place, driven, folder, machine: machine.clone() };
        let mix = Mix::only(What::Verify);
        let rate = load * limits.capacity_per_s;
        let plan = Plan::draw(&Order {
            pattern: &pattern,
            rate,
            seconds: if asked.smoke { 2.0 } else { asked.seconds },
            warm_up_s: if asked.smoke { 0.0 } else { asked.warm_up },
            lanes: place.lanes,
            mix: &mix,
            seed: place.seed,
        })?;
        let words = format!("{pattern:?} {rate:.2}/s, {:.0} % of capacity", load * 100.0);
        let name = format!("{}-{name}", asked.kept.name);
        Ok((session.run(&name, &words, &plan, 0.0)?, plan))
    };
    let (seventy, _) = one("poisson-70", Pattern::Poisson, 0.7)?;
    let (constant, _) = one("constant-80", Pattern::Constant, 0.8)?;
    let (mut poisson, plan) = one("poisson-80", Pattern::Poisson, 0.8)?;
    let service = Service::measured(asked.servers, limits.capacity_per_s, limits.alone_us);
    poisson.simulation = Some(Simulation::of(&plan, service, place.seed));
    let (overload, _) = one("overload-150", Pattern::Poisson, 1.5)?;
    let mut verdicts = vec![overhead(&seventy), constant_tail(&constant), poisson_tail(&poisson)];
    verdicts.extend(overloaded(&overload, limits.capacity_per_s));
    let runs = [&seventy, &constant, &poisson, &overload];
    verdicts.push(right(&runs));
    let checked = accuracy::run(&driven.questions, asked.kept.pairs.as_deref())?;
    verdicts.push(Verdict {
        what: "no wrong decision in the accuracy run".to_owned(),
        measured: checked.line(),
        kept: checked.is_right(),
    });
    let kept = asked.smoke || verdicts.iter().all(|verdict| verdict.kept);
    let mut runs = vec![seventy, constant, poisson, overload];
    runs.iter_mut().for_each(|run| run.accuracy = checked.clone());
    let title = asked.kept.name.clone();
    finish(&asked.kept, Page { title, runs, verdicts, ..Page::default() })?;
    Ok(kept)
}

fn overhead(run: &Run) -> Verdict {
    let us_p99 = run.figures.overhead.map(|held| held.us_p99);
    Verdict {
        what: format!("overhead p99 at 70 % load at most {:.1} ms", OVERHEAD_US_MAX as f64 / 1e3),
        measured: us_p99.map_or("no answer tells its stages".to_owned(), |us| {
            format!("{:.2} ms", us as f64 / 1e3)
        }),
        kept: us_p99.is_some_and(|us| us <= OVERHEAD_US_MAX),
    }
}

fn constant_tail(run: &Run) -> Verdict {
    let tail = run.figures.all().tail();
    Verdict {
        what: format!("constant lanes at 80 %: p99.9 / p50 at most {CONSTANT_TAIL_MAX}"),
        measured: format!("{tail:.2}"),
        kept: tail <= CONSTANT_TAIL_MAX,
    }
}

fn poisson_tail(run: &Run) -> Verdict {
    let tail = run.figures.all().tail();
    let alone = run.simulation.as_ref().map_or(f64::NAN, |simulation| simulation.plan.tail());
    Verdict {
        what: format!(
            "Poisson at 80 %: p99.9 / p50 at most {POISSON_TAIL_MAX} times what the queue alone gives"
        ),
        measured: format!("{tail:.2} against {alone:.2}: {:.2} times", tail / alone),
        kept: tail <= POISSON_TAIL_MAX * alone,
    }
}

fn overloaded(run: &Run, capacity_per_s: f64) -> [Verdict; 2] {
    let goodput = run.figures.answered_per_s / capacity_per_s;
    let counts = &run.figures.counts;
    let (nowhere, balanced) = unaccounted(run);
    [
        Verdict {
            what: format!(
                "150 % offered: goodput at least {:.0} % of capacity",
                GOODPUT_MIN * 100.0
            ),
            measured: format!("{:.1} %", goodput * 100.0),
            kept: goodput >= GOODPUT_MIN,
        },
        Verdict {
            what: "150 % offered: every request and every frame is accounted for".to_owned(),
            measured: format!(
                "{} offered = {} answered + {} late + {} shed; {} broken; frames unaccounted {nowhere}",
                counts.offered,
                counts.answered,
                counts.late,
                counts.shed(),
                counts.broken.values().sum::<u64>(),
            ),
            kept: counts.add_up() && counts.broken.is_empty() && balanced,
        },
    ]
}

/// Frames of which the appliance's books do not say what became of them, and whether there are
/// none. Books that cannot be read prove nothing.
fn unaccounted(run: &Run) -> (String, bool) {
    let Some(books) = run.books else {
        return ("unknown: the appliance's books are closed to us".to_owned(), false);
    };
    let nowhere = books.unaccounted();
    (nowhere.to_string(), nowhere == 0.0)
}

fn right(runs: &[&Run]) -> Verdict {
    let sum = |of: fn(&super::record::Counts) -> u64| -> u64 {
        runs.iter().map(|run| of(&run.figures.counts)).sum()
    };
    let (wrong, unlike) = (sum(|counts| counts.wrong), sum(|counts| counts.unlike));
    Verdict {
        what: "answers under load are those at rest".to_owned(),
        measured: format!("{wrong} wrong decisions, {unlike} other scores"),
        kept: wrong + unlike == 0,
    }
}

/// Whether a long run stayed as it began.
pub(crate) fn soak(run: &Run) -> Vec<Verdict> {
    let memory: Vec<f64> = run.figures.memory.iter().map(|(_, bytes)| *bytes as f64).collect();
    let p99: Vec<f64> = run.figures.timeline.iter().map(|second| second.us_p99 as f64).collect();
    let growth = |values: &[f64]| {
        let third = values.len() / 3;
        (third > 0).then(|| median(&values[values.len() - third..]) / median(&values[..third]))
    };
    let held = |what: String, value: Option<f64>, most: f64| Verdict {
        what,
        measured: value.map_or("too short to tell".to_owned(), |value| format!("{value:.3}")),
        kept: value.is_some_and(|value| value <= most),
    };
    let counts = &run.figures.counts;
    let (nowhere, balanced) = unaccounted(run);
    vec![
        held(
            format!("memory, last third over first: at most {MEMORY_GROWTH_MAX}"),
            growth(&memory),
            MEMORY_GROWTH_MAX,
        ),
        held(format!("p99, last third over first: at most {DRIFT_MAX}"), growth(&p99), DRIFT_MAX),
        Verdict {
            what: "no frame unaccounted for".to_owned(),
            measured: nowhere,
            kept: counts.add_up() && balanced,
        },
    ]
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        drive::Record,
        record::{Figures, Second},
        run::{Books, table},
    };

    fn run(us_p99: impl Fn(u64) -> u64, bytes: impl Fn(u64) -> u64, shed: f64) -> Run {
        let mut figures = Figures::of(&Record::default(), 1.0);
        let second = |at_s| Second {
            at_s,
            answered: 1,
            us_p50: 1,
            us_p99: us_p99(at_s),
            us_max: us_p99(at_s),
        };
        figures.timeline = (0..90).map(second).collect();
        figures.memory = (0..30).map(|at| (at * 5_000_000, bytes(at))).collect();
        let books = Books { frames_offered: 10.0, answered: 8.0, late: 1.0, shed };
        Run {
            name: "soak".to_owned(),
            when_utc_s: 0,
            command: Vec::new(),
            machine: Machine::here(),
            appliance: serde_json::Value::Null,
            schedule: String::new(),
            figures,
            books: Some(books),
            simulation: None,
            accuracy: accuracy::Checked::None { why: "a test".to_owned() },
        }
    }

    #[test]
    fn a_soak_that_grows_drifts_or_loses_is_told_apart() {
        let kept = |run: &Run| soak(run).iter().map(|verdict| verdict.kept).collect::<Vec<_>>();
        let steady = run(|_| 60_000, |_| 100_000_000, 1.0);
        assert_eq!(kept(&steady), [true, true, true]);
        let grows = run(|_| 60_000, |at| 100_000_000 + at * 1_000_000, 1.0);
        assert_eq!(kept(&grows), [false, true, true]);
        let drifts = run(|at_s| 60_000 + at_s * 500, |_| 100_000_000, 1.0);
        assert_eq!(kept(&drifts), [true, false, true]);
        let loses = run(|_| 60_000, |_| 100_000_000, 0.0);
        assert_eq!(kept(&loses), [true, true, false]);
    }

    #[test]
    fn a_report_without_an_accuracy_run_says_so_in_table_and_page() {
        let mut one = run(|_| 60_000, |_| 100_000_000, 1.0);
        let page = |run: &Run| Page { runs: vec![run.clone()], ..Page::default() }.html();
        for told in [table(&one), page(&one)] {
            assert!(told.contains("NO ACCURACY RUN") && told.contains("a test"), "{told}");
        }
        let report = serde_json::json!({ "genuine": 3, "impostor": 3, "data_set": "six" });
        one.accuracy = accuracy::Checked::Run { wrong_decisions: 1, report };
        for told in [table(&one), page(&one)] {
            let line = "accuracy: 1 wrong of 3 genuine and 3 impostor comparisons";
            assert!(told.contains(line) && !told.contains("NO ACCURACY RUN"), "{told}");
        }
    }

    #[test]
    fn books_that_cannot_be_read_keep_no_promise() {
        let kept = |run: &Run| [soak(run)[2].kept, overloaded(run, 0.0)[1].kept];
        let open = run(|_| 60_000, |_| 100_000_000, 1.0);
        assert_eq!(kept(&open), [true, true]);
        assert_eq!(kept(&run(|_| 60_000, |_| 100_000_000, 0.0)), [false, false], "a frame is lost");
        assert_eq!(kept(&Run { books: None, ..open }), [false, false]);
    }
}
