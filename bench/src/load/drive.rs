//! Sends a plan, and measures.
//!
//! A worker takes the next arrival, sleeps until it is due, sends it and waits for the answer. As
//! long as a worker is free when an arrival is due, the loop is open: nothing that the appliance
//! does delays what is sent next. When all workers wait, an arrival is sent late, and its latency
//! still counts from when it was due: that is the correction for coordinated omission. The raw
//! latency, from when it was sent, is kept beside it, so that everybody can see what the correction
//! is worth.
//!
//! Each worker keeps its own samples; nothing is shared on the way but the number of the next
//! arrival and the counters of the live line.

use std::{
    io::Write,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use portcullis::{
    meter::{LaneKind, Meter, Stage},
    time::{Clock, SystemClock},
};

use super::{
    arrivals::Plan,
    ask::{Fate, Questions, STAGES, Said},
    mix::What,
};

/// Pause between two looks at the appliance's memory.
const LOOK_US: u64 = 5_000_000;
/// Longest single sleep, so that nobody sleeps through the end.
const NAP: Duration = Duration::from_millis(200);

/// One arrival and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// When it should have been sent, in microseconds from the start of the plan.
    pub(crate) due_us: u64,
    /// How much later it was sent.
    pub(crate) late_us: u64,
    /// From then to the last byte of the answer.
    pub(crate) took_us: u64,
    pub(crate) what: What,
    pub(crate) fate: Fate,
    pub(crate) wrong: bool,
    pub(crate) unlike: bool,
    pub(crate) spent_us: Option<[u32; STAGES.len()]>,
}

impl Sample {
    /// From the intended start.
    pub(crate) fn corrected_us(&self) -> u64 {
        self.late_us + self.took_us
    }

    /// What is neither decoding, nor waiting for an engine, nor a network, nor a search.
    pub(crate) fn overhead_us(&self) -> Option<u64> {
        self.spent_us.map(|spent_us| self.took_us.saturating_sub(Said::work_us(&spent_us)))
    }
}

/// What one run gave.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Counted arrivals, in the order of their times.
    pub(crate) samples: Vec<Sample>,
    /// Arrivals that warmed up.
    pub(crate) warm_up: usize,
    /// From the first counted arrival's time to the last answer, in microseconds.
    pub(crate) wall_us: u64,
    /// Resident memory of the appliance: when, and how much.
    pub(crate) memory: Vec<(u64, u64)>,
    /// Frames that simulated lanes pushed, and how many of them were taken.
    pub(crate) frames: (u64, u64),
}

/// How it is driven.
pub(crate) struct Drive<'a> {
    pub(crate) questions: &'a Questions,
    /// Most requests in flight.
    pub(crate) workers: usize,
    /// Frames per second that each simulated lane pushes; none without transactions.
    pub(crate) frames_per_s: f64,
    /// Show a line that lives.
    pub(crate) live: bool,
}

/// What all threads see.
struct Shared<'a> {
    plan: &'a Plan,
    clock: SystemClock,
    next: AtomicUsize,
    over: AtomicBool,
    /// The appliance's own recorder: no lock between workers and the live line.
    meter: Meter,
    counts: [AtomicUsize; 3],
}

impl Drive<'_> {
    /// Sends `plan` and waits for every answer.
    pub(crate) fn run(&self, plan: &Plan) -> Record {
        let shared = Shared {
            plan,
            clock: SystemClock::start(),
            next: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            meter: Meter::new(),
            counts: Default::default(),
        };
        let mut record = Record::default();
        thread::scope(|scope| {
            let shared = &shared;
            let watcher = scope.spawn(move || self.watch(shared));
            let lanes: Vec<_> = if self.frames_per_s > 0.0 {
                let frames = self.questions.frames.iter();
                frames.map(|frame| scope.spawn(move || self.push(shared, frame))).collect()
            } else {
                Vec::new()
            };
            let workers: Vec<_> =
                (0..self.workers).map(|_| scope.spawn(move || self.work(shared))).collect();
            for worker in workers {
                let (samples, warm_up) = worker.join().unwrap_or_default();
                record.samples.extend(samples);
                record.warm_up += warm_up;
            }
            shared.over.store(true, Ordering::Release);
            for lane in lanes {
                let (pushed, taken) = lane.join().unwrap_or_default();
                record.frames = (record.frames.0 + pushed, record.frames.1 + taken);
            }
            record.memory = watcher.join().unwrap_or_default();
        });
        record.samples.sort_by_key(|sample| sample.due_us);
        let ends = record.samples.iter().map(|sample| sample.due_us + sample.corrected_us());
        record.wall_us = ends.max().unwrap_or(0).saturating_sub(plan.warm_up_us);
        record
    }

    fn work(&self, shared: &Shared<'_>) -> (Vec<Sample>, usize) {
        let (mut samples, mut warm_up) = (Vec::new(), 0);
        loop {
            let number = shared.next.fetch_add(1, Ordering::Relaxed);
            let Some(arrival) = shared.plan.arrivals.get(number) else {
                return (samples, warm_up);
            };
            sleep_until(&shared.clock, arrival.due_us);
            let sent_us = shared.clock.monotonic_us();
            let (answer, asked) = self.questions.send(arrival.what, arrival.lane);
            let done_us = shared.clock.monotonic_us();
            let mut said = self.questions.read(answer, asked);
            let late_us = sent_us.saturating_sub(arrival.due_us);
            let took_us = done_us - sent_us;
            said.fate = said.fate.by(late_us + took_us, self.questions.deadline_us);
            let counted = match said.fate {
                Fate::Answered => 0,
                Fate::Late | Fate::Shed(_) => 1,
                Fate::Refused(_) | Fate::Broken(_) => 2,
            };
            shared.counts[counted].fetch_add(1, Ordering::Relaxed);
            shared.meter.stage(Stage::Transaction, LaneKind::Request, late_us + took_us);
            if arrival.due_us < shared.plan.warm_up_us {
                warm_up += 1;
                continue;
            }
            let Said { fate, spent_us, wrong, unlike } = said;
            let (due_us, what) = (arrival.due_us, arrival.what);
            samples.push(Sample { due_us, late_us, took_us, what, fate, wrong, unlike, spent_us });
        }
    }

    /// One simulated camera: the same photograph at a fixed rate, until the plan is over.
    fn push(&self, shared: &Shared<'_>, request: &[u8]) -> (u64, u64) {
        let period_us = (1e6 / self.frames_per_s) as u64;
        let (mut pushed, mut taken) = (0, 0);
        while !shared.over.load(Ordering::Acquire) {
            sleep_until(&shared.clock, pushed * period_us);
            pushed += 1;
            let answer = self.questions.target.exchange(request);
            taken += u64::from(answer.is_ok_and(|answer| answer.status < 300));
        }
        (pushed, taken)
    }

    /// Shows the line that lives, and looks at the appliance's memory now and then.
    fn watch(&self, shared: &Shared<'_>) -> Vec<(u64, u64)> {
        let mut memory = Vec::new();
        let (mut look_us, mut second) = (0, 1);
        while !shared.over.load(Ordering::Acquire) {
            let now_us = shared.clock.monotonic_us();
            if now_us >= look_us {
                look_us = now_us + LOOK_US;
                if let Some(bytes) =
                    gauge(self.questions, "portcullis_memory_resident_bytes").map(|b| b as u64)
                {
                    memory.push((now_us, bytes));
                }
            }
            if self.live && now_us >= second * 1_000_000 {
                second = now_us / 1_000_000 + 1;
                shared.tell(now_us);
            }
            thread::park_timeout(NAP);
        }
        if self.live {
            // What fails is a terminal that is gone; the report is written all the same.
            let _ = writeln!(std::io::stderr());
        }
        memory
    }
}

impl Shared<'_> {
    fn tell(&self, now_us: u64) {
        let [answered, lost, failed] = [0, 1, 2].map(|at| self.counts[at].load(Ordering::Relaxed));
        let due = self.plan.arrivals.partition_point(|arrival| arrival.due_us <= now_us);
        let latency = self.meter.latency(Stage::Transaction);
        let ms = |us: u64| us as f64 / 1e3;
        let phase = if now_us < self.plan.warm_up_us { " warm-up" } else { "" };
        let _ = write!(
            std::io::stderr(),
            "\r{:6.0} of {:.0} s{phase}  due {due}  answered {answered}  shed or late {lost}  \
             failed {failed}  in flight {}  p50 {:.1} ms  p99 {:.1} ms  max {:.1} ms   ",
            now_us as f64 / 1e6,
            self.plan.length_us as f64 / 1e6,
            due.saturating_sub(answered + lost + failed),
            ms(latency.us_p50),
            ms(latency.us_p99),
            ms(latency.us_max),
        );
        let _ = std::io::stderr().flush();
    }
}

/// The first sample of `series` on the appliance's `/metrics`.
pub(crate) fn gauge(questions: &Questions, series: &str) -> Option<f64> {
    let text = metrics(questions)?;
    first_of(&text, series)
}

/// The text of the appliance's `/metrics`, where it has one and lets us read it.
pub(crate) fn metrics(questions: &Questions) -> Option<String> {
    let answer = questions.target.ask("GET", "/metrics", &questions.headers(), &[]).ok()?;
    (answer.status == 200).then(|| String::from_utf8_lossy(&answer.body).into_owned())
}

/// The value of the first line that begins with `series`.
pub(crate) fn first_of(text: &str, series: &str) -> Option<f64> {
    text.lines().find(|line| line.starts_with(series))?.rsplit(' ').next()?.parse().ok()
}

/// Sleeps until the plan's clock says so.
#[expect(clippy::disallowed_methods, reason = "an open loop sends when its plan says")]
fn sleep_until(clock: &SystemClock, due_us: u64) {
    loop {
        let now_us = clock.monotonic_us();
        if now_us >= due_us {
            return;
        }
        thread::sleep(Duration::from_micros(due_us - now_us));
    }
}

/// As many requests as `workers` can have answered one after the other, for so long: what the
/// appliance can do at most. Gives answers per second, and the latency of each.
pub(crate) fn saturate(
    questions: &Questions,
    what: What,
    workers: usize,
    seconds: f64,
) -> (f64, Vec<u64>) {
    let clock = SystemClock::start();
    let (begin_us, end_us) = ((seconds * 0.2e6) as u64, (seconds * 1.2e6) as u64);
    let work = || {
        let mut took = Vec::new();
        loop {
            let sent_us = clock.monotonic_us();
            if sent_us >= end_us {
                return took;
            }
            let (answer, asked) = questions.send(what, 0);
            let done_us = clock.monotonic_us();
            let fate =
                questions.read(answer, asked).fate.by(done_us - sent_us, questions.deadline_us);
            let answered = fate == Fate::Answered;
            if answered && (begin_us..end_us).contains(&done_us) {
                took.push(done_us - sent_us);
            }
        }
    };
    let took: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    (took.len() as f64 / seconds, took)
}

/// One after the other, with nothing else to do: `runs` answers, their latencies, and every pair's
/// score at rest.
///
/// # Errors
/// What the first that was not answered said.
pub(crate) fn at_rest(questions: &Questions, runs: usize) -> Result<Vec<u64>, String> {
    let clock = SystemClock::start();
    let mut took = Vec::new();
    for _ in 0..runs.max(questions.pairs().len()) {
        let sent_us = clock.monotonic_us();
        let (answer, asked) = questions.send(What::Verify, 0);
        let done_us = clock.monotonic_us();
        match questions.read(answer, asked).fate {
            Fate::Answered => took.push(done_us - sent_us),
            other => return Err(format!("a verification at rest: {other:?}")),
        }
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::{Ipv4Addr, TcpListener},
    };

    use super::*;
    use crate::{
        arrivals::{Order, Pattern},
        ask::Material,
        mix::Mix,
        record::Figures,
    };

    const STALL: Duration = Duration::from_millis(400);
    const ARRIVALS: usize = 20;

    /// Answers `count` requests one after the other; the first takes its time.
    #[expect(clippy::disallowed_methods, reason = "a stall is what this server is for")]
    fn stalls_once(listener: &TcpListener, count: usize) {
        for number in 0..count {
            let (mut stream, _) = listener.accept().expect("a request");
            let mut request = [0; 8192];
            let held = stream.read(&mut request).expect("sent");
            assert!(held > 0);
            if number == 0 {
                thread::sleep(STALL);
            }
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(answer.as_bytes()).expect("read");
        }
    }

    /// What `ARRIVALS` in a fifth of a second come to while the appliance stalls, each with so long
    /// a deadline.
    fn stalled(deadline_ms: u64) -> Record {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let questions = Questions::of(&Material {
            target: listener.local_addr().expect("bound").into(),
            token: None,
            deadline_ms,
            attack_score: None,
            gallery: "load",
            photographs: &[(vec![1], 0)],
            lanes: &[],
        });
        let mix = Mix::only(What::Identify);
        let plan = Plan::draw(&Order {
            pattern: &Pattern::Constant,
            rate: 100.0,
            seconds: ARRIVALS as f64 / 100.0,
            warm_up_s: 0.0,
            lanes: 1,
            mix: &mix,
            seed: 1,
        })
        .expect("a plan");
        let drive = Drive { questions: &questions, workers: 1, frames_per_s: 0.0, live: false };
        thread::scope(|scope| {
            // One more: the watcher asks for /metrics when it begins.
            scope.spawn(|| stalls_once(&listener, ARRIVALS + 1));
            drive.run(&plan)
        })
    }

    #[test]
    fn what_comes_after_its_deadline_is_no_goodput_whatever_the_appliance_says() {
        // Every answer is a 200; who was due before the stall's last 50 ms has waited too long.
        let record = stalled(50);
        let figures = Figures::of(&record, 0.2);
        let counts = &figures.counts;
        let in_time = record.samples.iter().filter(|sample| sample.corrected_us() <= 50_000);
        assert_eq!(counts.answered, in_time.count() as u64);
        assert_eq!(counts.answered + counts.late, ARRIVALS as u64);
        assert!(counts.late > 0 && counts.add_up(), "{counts:?}");
        assert!((figures.answered_per_s * figures.seconds - counts.answered as f64).abs() < 1e-6);
    }

    #[test]
    fn one_stall_is_charged_to_everybody_who_came_meanwhile() {
        let record = stalled(60_000);
        assert_eq!(record.samples.len(), ARRIVALS);
        let figures = Figures::of(&record, 0.2);
        assert_eq!(figures.counts.answered, ARRIVALS as u64);
        // With one worker nobody is sent before the stall is over, and each is charged for it from
        // when it was due. The watcher may be the one who is stalled; then everybody waits with it.
        let stall_us = STALL.as_micros() as u64;
        for sample in &record.samples {
            assert!(
                sample.corrected_us() + sample.due_us >= stall_us,
                "due at {} us, answered {} us later",
                sample.due_us,
                sample.corrected_us()
            );
        }
        let raw: u64 = record.samples.iter().map(|sample| sample.took_us).sum();
        let corrected: u64 = record.samples.iter().map(Sample::corrected_us).sum();
        assert!(corrected > raw, "the correction must show: {corrected} us against {raw} us");
    }

    #[test]
    fn a_gauge_is_read_from_the_exposition() {
        let text = "# TYPE a gauge\na{state=\"taken\"} 3\nab 4\n";
        assert_eq!(first_of(text, "a{state=\"taken\"}"), Some(3.0));
        assert_eq!(first_of(text, "ab"), Some(4.0));
        assert_eq!(first_of(text, "c"), None);
    }
}
