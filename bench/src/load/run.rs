//! One measured run, as it is kept: JSON with everything, `.hlog` beside it, a page to read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use portcullis::time::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Wrong,
    accuracy::Checked,
    arrivals::Plan,
    drive::{Drive, first_of, metrics},
    machine::Machine,
    own::{Driven, Where},
    queue::{Service, latencies_us, long_run_us},
    record::{Figures, Quantiles, read_log, write_log},
};

/// What a queue alone would have done with the same arrivals.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Simulation {
    pub(crate) servers: usize,
    pub(crate) occupied_us: f64,
    pub(crate) alone_us: f64,
    /// The very arrivals of this run.
    pub(crate) plan: Quantiles,
    /// A million arrivals at the same rate.
    pub(crate) long_run: Quantiles,
}

impl Simulation {
    /// Of `plan`'s counted arrivals; those that warm up fill the queue, as they did the appliance.
    pub(crate) fn of(plan: &Plan, service: Service, seed: u64) -> Self {
        let due = plan.arrivals.iter().map(|arrival| arrival.due_us as f64);
        let warm_up = plan.arrivals.len() - plan.counted();
        let whole = |us: f64| us.round() as u64;
        let same = latencies_us(due, service).into_iter().skip(warm_up).map(whole);
        let long = long_run_us(plan.rate(), service, seed).into_iter().map(whole);
        Self {
            servers: service.servers,
            occupied_us: service.occupied_us,
            alone_us: service.alone_us,
            plan: Quantiles::of_values(same),
            long_run: Quantiles::of_values(long),
        }
    }
}

/// The appliance's own books over one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Books {
    pub(crate) frames_offered: f64,
    pub(crate) answered: f64,
    pub(crate) late: f64,
    pub(crate) shed: f64,
}

impl Books {
    fn read(text: &str) -> Option<Self> {
        let frames =
            |fate: &str| first_of(text, &format!("portcullis_frames_total{{fate=\"{fate}\"}}"));
        Some(Self {
            frames_offered: first_of(text, "portcullis_frames_offered_total")?,
            answered: frames("answered")?,
            late: frames("late")?,
            shed: frames("shed")?,
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            frames_offered: self.frames_offered - before.frames_offered,
            answered: self.answered - before.answered,
            late: self.late - before.late,
            shed: self.shed - before.shed,
        }
    }

    /// Frames that came in and that no counter tells of.
    pub(crate) fn unaccounted(&self) -> f64 {
        self.frames_offered - self.answered - self.late - self.shed
    }
}

/// A run with its circumstances.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) when_utc_s: i64,
    pub(crate) command: Vec<String>,
    pub(crate) machine: Machine,
    pub(crate) appliance: Value,
    pub(crate) schedule: String,
    pub(crate) figures: Figures,
    /// The appliance's own books, where it lets us read them.
    pub(crate) books: Option<Books>,
    pub(crate) simulation: Option<Simulation>,
    /// Whether what the appliance answers is right.
    pub(crate) accuracy: Checked,
}

/// What runs of one session have in common.
pub(crate) struct Session<'a> {
    pub(crate) place: &'a Where,
    pub(crate) driven: &'a Driven,
    pub(crate) folder: &'a Path,
    pub(crate) machine: Machine,
}

impl Session<'_> {
    /// Drives `plan` and keeps its log; the JSON is written by [`Run::write`].
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn run(
        &self,
        name: &str,
        schedule: &str,
        plan: &Plan,
        frames_per_s: f64,
    ) -> Result<Run, Wrong> {
        let questions = &self.driven.questions;
        let books = || metrics(questions).as_deref().and_then(Books::read);
        let drive =
            Drive { questions, workers: self.place.workers, frames_per_s, live: !self.place.quiet };
        let when_utc_s = SystemClock::start().civil_s();
        let before = books();
        let record = drive.run(plan);
        let after = books();
        let plan_s = (plan.length_us - plan.warm_up_us) as f64 / 1e6;
        let figures = Figures::of(&record, plan_s);
        fs::create_dir_all(self.folder)?;
        let started_s = u64::try_from(when_utc_s).unwrap_or_default();
        write_log(&self.folder.join(format!("{name}.hlog")), &record, started_s)?;
        Ok(Run {
            name: name.to_owned(),
            when_utc_s,
            command: std::env::args().collect(),
            machine: self.machine.clone(),
            appliance: self.driven.version.clone(),
            schedule: schedule.to_owned(),
            figures,
            books: before.zip(after).map(|(before, after)| after.since(before)),
            simulation: None,
            accuracy: Checked::None { why: "it was not made yet".to_owned() },
        })
    }
}

impl Run {
    /// Writes the JSON beside the log.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf, Wrong> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("{}.json", self.name));
        fs::write(&path, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(path)
    }

    /// Reads what [`Run::write`] wrote.
    ///
    /// # Errors
    /// When the file is not one.
    pub(crate) fn read(path: &Path) -> Result<Self, Wrong> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let read = serde_json::from_str(&text);
        read.map_err(|error| format!("{} is no result: {error}", path.display()).into())
    }

    /// What several processes measured at the same time, as one run.
    ///
    /// # Errors
    /// When a result or its log is not there.
    pub(crate) fn merged(files: &[PathBuf], name: &str) -> Result<Self, Wrong> {
        let mut runs = Vec::new();
        for file in files {
            runs.push((Self::read(file)?, read_log(&file.with_extension("hlog"))?));
        }
        let parts: Vec<_> =
            runs.iter().map(|(run, log)| (run.figures.clone(), log.clone())).collect();
        let figures = Figures::merged(&parts)?;
        let (first, _) = runs.first().ok_or("nothing to merge")?;
        let accuracy = Checked::worst(runs.iter().map(|(run, _)| &run.accuracy));
        let schedules: Vec<&str> = runs.iter().map(|(run, _)| run.schedule.as_str()).collect();
        Ok(Self {
            name: name.to_owned(),
            schedule: format!("{} processes: {}", runs.len(), schedules.join("; ")),
            figures,
            // Each process saw all of the appliance's books; they cannot be added up.
            books: None,
            simulation: None,
            accuracy: accuracy.unwrap_or(&first.accuracy).clone(),
            ..first.clone()
        })
    }
}

/// The final table.
pub(crate) fn table(run: &Run) -> String {
    let figures = &run.figures;
    let counts = &figures.counts;
    let ms = |us: u64| us as f64 / 1e3;
    let mut out = format!(
        "\n{}: {}\n  offered {:.2}/s ({})   answered {:.2}/s ({})   late {}   shed {}   over {:.1} s\n",
        run.name,
        run.schedule,
        figures.offered_per_s,
        counts.offered,
        figures.answered_per_s,
        counts.answered,
        counts.late,
        counts.shed(),
        figures.seconds,
    );
    out += "  ms                        count      p50      p90      p99    p99.9      max\n";
    let row = |name: &str, q: &Quantiles| {
        format!(
            "  {name:<22} {:>8} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2}\n",
            q.count,
            ms(q.us_p50),
            ms(q.us_p90),
            ms(q.us_p99),
            ms(q.us_p999),
            ms(q.us_max)
        )
    };
    for (kind, quantiles) in &figures.corrected {
        out += &row(&format!("{kind}, corrected"), quantiles);
        if let Some(raw) = figures.raw.get(kind) {
            out += &row(&format!("{kind}, raw"), raw);
        }
    }
    for (stage, quantiles) in &figures.stages {
        out += &row(&format!("stage {stage}"), quantiles);
    }
    if let Some(overhead) = &figures.overhead {
        out += &row("overhead", overhead);
    }
    for (what, family) in
        [("shed", &counts.shed), ("refused", &counts.refused), ("broken", &counts.broken)]
    {
        for (reason, count) in family {
            out += &format!("  {what} {reason}: {count}\n");
        }
    }
    out + &remarks(run)
}

fn remarks(run: &Run) -> String {
    let counts = &run.figures.counts;
    let mut out = String::new();
    if counts.sent_late > 0 {
        out += &format!(
            "  {} were sent more than 1 ms late (no free worker, or a busy machine): the corrected \
             rows count from when they were due\n",
            counts.sent_late
        );
    }
    if counts.wrong + counts.unlike > 0 {
        out += &format!(
            "  {} decisions were WRONG, {} scores were not those at rest\n",
            counts.wrong, counts.unlike
        );
    }
    if run.figures.frames.0 > 0 {
        let (pushed, taken) = run.figures.frames;
        out += &format!("  simulated lanes pushed {pushed} frames, {taken} were taken\n");
    }
    if let Some(books) = &run.books {
        out += &format!(
            "  the appliance's books: {} frames = {} answered + {} late + {} shed; unaccounted {}\n",
            books.frames_offered,
            books.answered,
            books.late,
            books.shed,
            books.unaccounted()
        );
    }
    if let Some(simulation) = &run.simulation {
        out += &format!(
            "  M/D/{}: served in {:.2} ms, alone {:.2} ms: the same arrivals p50 {:.2} ms, p99.9 \
             {:.2} ms, ratio {:.2}; a million arrivals: ratio {:.2}; measured ratio {:.2}\n",
            simulation.servers,
            simulation.occupied_us / 1e3,
            simulation.alone_us / 1e3,
            simulation.plan.us_p50 as f64 / 1e3,
            simulation.plan.us_p999 as f64 / 1e3,
            simulation.plan.tail(),
            simulation.long_run.tail(),
            run.figures.all().tail(),
        );
    }
    out += &format!("  {}\n", run.accuracy.line());
    out
}
