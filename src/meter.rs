//! Every metric of the appliance, declared once. Names keep Prometheus base units; no label carries
//! an identifier, a score or a secret of a lane: labels are the variants of the enums here, stable
//! codes of the API, and the words in which a backend describes its device.
//!
//! `recorder.rs` keeps latencies: one HDR histogram per stage, lane kind and recording thread,
//! which are added up when somebody reads. `exposition.rs` makes Prometheus families of them:
//! classic buckets, and quantiles of the last minutes. `offered.rs` keeps the account of frames,
//! and `account.rs` reads it back.
//!
//! Invariant: what happens to a frame is recorded without a lock and, once a thread has recorded a
//! series, without an allocation; a reader delays nobody who records. (A refusal's code is looked
//! up under a read lock: it is an answer without a decision.)
//!
//! Absent on purpose: a global registry. Whoever records is handed the one [`Meter`]. Absent, too:
//! native histograms, which the text exposition cannot carry.

mod account;
mod exposition;
mod offered;
mod recorder;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use prometheus::{
    Encoder, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};

use crate::types::Outcome;
pub use account::FrameAccount;
use exposition::Windows;
pub use offered::Offered;
pub use recorder::LATENCY_US_MAX;
use recorder::Recorder;

/// One row of what is measured.
struct Family {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
}

const fn family(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Family {
    Family { name, help, labels }
}

const STAGE_SECONDS: Family = family(
    "portcullis_stage_seconds",
    "Time that one request, or one frame of a lane, spent in a stage; passage: one traveller.",
    &["stage", "lane_kind"],
);
const STAGE_PERCENTILE_SECONDS: Family = family(
    "portcullis_stage_percentile_seconds",
    "Percentile of the time spent in a stage over the last five minutes, from an HDR histogram.",
    &["stage", "lane_kind", "percentile"],
);
const STAGE_MAX_SECONDS: Family = family(
    "portcullis_stage_max_seconds",
    "Longest time spent in a stage over the last five minutes, from an HDR histogram.",
    &["stage", "lane_kind"],
);
const OUTCOMES: Family = family("portcullis_outcomes_total", "Decisions by outcome.", &["outcome"]);
const ATTACKS: Family = family(
    "portcullis_attack_detections_total",
    "Usable probes by what presentation attack detection came to.",
    &["finding"],
);
const REFUSALS: Family = family(
    "portcullis_refusals_total",
    "Requests answered without a decision, by problem code.",
    &["code"],
);
const BY_HAND: Family = family(
    "portcullis_by_hand_seconds",
    "Time from the referral of a lane's traveller until a person let the traveller in.",
    &[],
);
/// Bounds of its buckets, in seconds: a person at a booth takes some ten of them, and a queue
/// before the booth many minutes.
const BY_HAND_BOUNDS_S: [f64; 10] = [5., 10., 20., 30., 60., 120., 300., 600., 1_200., 3_600.];
const HANDSHAKE_FAILURES: Family = family(
    "portcullis_handshake_failures_total",
    "TLS handshakes that came to nothing, by reason.",
    &["reason"],
);
const FRAMES_OFFERED: Family = family(
    "portcullis_frames_offered_total",
    "Frames that came in; each is later counted once by its fate.",
    &[],
);
const FRAMES: Family =
    family("portcullis_frames_total", "Frames by what became of them.", &["fate"]);
const SHEDS: Family = family(
    "portcullis_sheds_total",
    "Frames given up before they were worked on, by reason.",
    &["reason"],
);
const RESTARTS: Family =
    family("portcullis_restarts_total", "Parts that were started anew after a failure.", &["part"]);
const ENTRY_EVENTS: Family = family(
    "portcullis_entry_events_total",
    "Entry events of a residence, by what became of them.",
    &["fate"],
);
const ENTRY_EVENT_FAILURES: Family = family(
    "portcullis_entry_event_failures_total",
    "Attempts to send an entry event that its receiver did not take.",
    &[],
);
const ENTRY_EVENTS_WAITING: Family =
    family("portcullis_entry_events_waiting", "Entry events that wait for their receiver.", &[]);
const CONSENTS: Family = family(
    "portcullis_consents",
    "Consents in the register, those that are over and kept as a proof included.",
    &[],
);
const GALLERY_ROWS: Family =
    family("portcullis_gallery_rows", "Rows over all galleries, by state.", &["state"]);
const GALLERY_BYTES: Family =
    family("portcullis_gallery_bytes", "Bytes of all gallery files.", &[]);
const GALLERIES: Family =
    family("portcullis_galleries", "Galleries, by whether they are served.", &["state"]);
const SLOTS: Family =
    family("portcullis_slots", "Frame slots, by whether a frame lies in them.", &["state"]);
const DEVICE: Family = family(
    "portcullis_device_info",
    "Always 1; who computes now, in its labels.",
    &["part", "backend", "device", "detail"],
);
const DEVICE_THREADS: Family =
    family("portcullis_device_threads", "Compute threads of an engine on the host.", &["part"]);
const ENGINES_PASSED_OVER: Family = family(
    "portcullis_engines_passed_over",
    "Preferred engines that failed, at the start or since; 0 while the preferred one is at work.",
    &["part"],
);
const TURN_SECONDS: Family = family(
    "portcullis_turn_seconds",
    "Whole seconds that the longest turn of the pipeline under way has taken.",
    &[],
);
const MEMORY_BYTES: Family =
    family("portcullis_memory_resident_bytes", "Memory of the process that is resident.", &[]);
const BUILD: Family = family(
    "portcullis_build_info",
    "Always 1; what was built, in its labels.",
    &["version", "arch", "os"],
);

/// An enum whose variants are values of one label.
macro_rules! labels {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$what])* $variant,)+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$variant),+];

            /// The value of the label.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }
    };
}

labels! {
    /// The stages of the pipeline, waiting and computing apart, and two wholes: of what is judged,
    /// and of who is judged by it.
    Stage {
        /// Waiting: for slots that the frames of others hold until an engine has seen them.
        Slots = "slots",
        /// Computing: decoding into a slot.
        Capture = "capture",
        /// Waiting: for an engine, before detection and again before embedding.
        Batch = "batch",
        /// Computing: finding, judging, aligning.
        Detect = "detect",
        /// Computing: presentation attack detection.
        Attack = "attack",
        /// Computing: embedding.
        Embed = "embed",
        /// Waiting: from the last template to the line that compares.
        Handover = "handover",
        /// Computing: comparing or searching.
        Search = "search",
        /// Computing: deciding and auditing.
        Decide = "decide",
        /// From the order to the reply: one request of the API, or one frame of a lane. What
        /// prepares a reference for a lane's transaction decides nothing and is not in it.
        Transaction = "transaction",
        /// One traveller at a lane: from the gate's opening of the transaction until its outcome is
        /// told, however many frames were judged.
        Passage = "passage",
    }
}

labels! {
    /// Where frames came from.
    LaneKind {
        /// A request of the API, without a lane.
        Request = "request",
        /// A lane whose gate controller pushes frames.
        Http = "http",
        /// A lane that replays a folder.
        Directory = "directory",
        /// A lane that reads a program's output.
        Command = "command",
    }
}

labels! {
    /// What became of a frame that was offered and not shed; with [`Meter::shed`], each is counted
    /// once.
    Fate {
        /// Its transaction was answered in time.
        Answered = "answered",
        /// Its transaction was answered, after its deadline.
        Late = "late",
    }
}

labels! {
    /// Why a frame was given up before it was worked on.
    Shed {
        /// As many transactions as there may be were in flight.
        Busy = "busy",
        /// No frame slot was free.
        NoSlot = "no-slot",
        /// Its deadline could not have been met.
        TooLate = "too-late",
        /// It came over a lane that nobody looked at.
        NoTraveller = "no-traveller",
        /// A newer frame of the same lane took its place.
        Newer = "newer",
        /// It is not a picture that may be decoded.
        Unreadable = "unreadable",
        /// Its request was refused for another reason.
        Refused = "refused",
        /// Its transaction was cancelled, or the traveller left.
        Cancelled = "cancelled",
        /// The appliance was stopping.
        Stopping = "stopping",
    }
}

labels! {
    /// Why a TLS handshake came to nothing.
    HandshakeFault {
        /// The client's certificate is signed by nobody who is trusted, has expired, or is not its
        /// own.
        Certificate = "certificate",
        /// It took too long.
        Late = "late",
        /// Anything else: another protocol, no version or cipher in common, a client that left.
        Broken = "broken",
    }
}

labels! {
    /// What presentation attack detection came to for one usable probe.
    AttackFinding {
        /// No detector looked at it.
        NotPerformed = "not-performed",
        /// A score below the policy's threshold.
        Passed = "passed",
        /// A score that the policy objects to.
        Suspected = "suspected",
    }
}

labels! {
    /// What was started anew after a failure.
    Part {
        /// The source of a lane.
        Source = "source",
        /// A stage of the pipeline that panicked.
        Stage = "stage",
        /// An engine that failed and was replaced by the next one.
        Engine = "engine",
    }
}

labels! {
    /// What an engine does.
    EnginePart {
        /// Detection, presentation attack detection and embedding.
        Networks = "networks",
        /// Comparisons and searches.
        Search = "search",
    }
}

labels! {
    /// What became of an entry event. What is queued is delivered later.
    EventFate {
        /// It is in the queue, durably.
        Queued = "queued",
        /// Its receiver has it.
        Delivered = "delivered",
        /// The queue did not take it: it stands in the audit alone.
        Unqueued = "unqueued",
    }
}

labels! {
    /// What a row of a gallery holds.
    RowState {
        /// Somebody who can be found.
        Searchable = "searchable",
        /// A place that an erasure left, to be filled by the next enrolment.
        Vacant = "vacant",
        /// A record that only its holder opens.
        Holders = "holders",
    }
}

labels! {
    /// Whether a gallery is in use.
    GalleryState {
        /// It is served.
        Served = "served",
        /// It did not open; `/readyz` names it with the reason.
        Unavailable = "unavailable",
    }
}

labels! {
    /// A place in a pool of fixed size.
    Place {
        /// Taken.
        Taken = "taken",
        /// Free.
        Free = "free",
    }
}

/// Quantiles of one stage since the start, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// How many were recorded.
    pub count: u64,
    /// Median.
    pub us_p50: u64,
    /// 90th percentile.
    pub us_p90: u64,
    /// 99th percentile.
    pub us_p99: u64,
    /// 99.9th percentile.
    pub us_p999: u64,
    /// Largest.
    pub us_max: u64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            us_p50: histogram.value_at_quantile(0.50),
            us_p90: histogram.value_at_quantile(0.90),
            us_p99: histogram.value_at_quantile(0.99),
            us_p999: histogram.value_at_quantile(0.999),
            us_max: histogram.max(),
        }
    }
}

/// The meters, handed to whoever records.
pub struct Meter {
    registry: Registry,
    stages: Recorder,
    windows: Windows,
    outcomes: [IntCounter; Outcomes::ALL.len()],
    by_hand: prometheus::Histogram,
    attacks: [IntCounter; AttackFinding::ALL.len()],
    refusals: IntCounterVec,
    handshake_failures: [IntCounter; HandshakeFault::ALL.len()],
    offered: IntCounter,
    frames: [IntCounter; Fate::ALL.len()],
    frames_shed: IntCounter,
    sheds: [IntCounter; Shed::ALL.len()],
    restarts: [IntCounter; Part::ALL.len()],
    entry_events: [IntCounter; EventFate::ALL.len()],
    entry_event_failures: IntCounter,
    entry_events_waiting: IntGauge,
    consents: IntGauge,
    gallery_rows: [IntGauge; RowState::ALL.len()],
    gallery_bytes: IntGauge,
    galleries: [IntGauge; GalleryState::ALL.len()],
    slots: [IntGauge; Place::ALL.len()],
    device: IntGaugeVec,
    /// The labels of `device`, by [`EnginePart`]; none before somebody was told of.
    devices: Mutex<[Option<[String; 4]>; EnginePart::ALL.len()]>,
    device_threads: [IntGauge; EnginePart::ALL.len()],
    engines_passed_over: [IntGauge; EnginePart::ALL.len()],
    memory_bytes: IntGauge,
    turn_s: IntGauge,
}

labels! {
    /// [`Outcome`] as a label.
    Outcomes {
        /// The gate opens.
        Admit = "admit",
        /// Another frame.
        Retry = "retry",
        /// An officer.
        Refer = "refer",
    }
}

const DECLARED: &str = "metric names are constants of this file, each registered once";

/// Declares families and resolves their children, so that recording looks nothing up.
struct Declaring(Registry);

impl Declaring {
    fn register<C: Collector + Clone + 'static>(&self, collector: prometheus::Result<C>) -> C {
        let collector = collector.expect(DECLARED);
        self.0.register(Box::new(collector.clone())).expect(DECLARED);
        collector
    }

    fn counter_family(&self, row: &Family) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(row.name, row.help), row.labels))
    }

    fn gauge_family(&self, row: &Family) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(row.name, row.help), row.labels))
    }

    fn counters<const N: usize>(&self, row: &Family, values: [&str; N]) -> [IntCounter; N] {
        let family = self.counter_family(row);
        values.map(|value| family.with_label_values(&[value]))
    }

    fn gauges<const N: usize>(&self, row: &Family, values: [&str; N]) -> [IntGauge; N] {
        let family = self.gauge_family(row);
        values.map(|value| family.with_label_values(&[value]))
    }

    fn counter(&self, row: &Family) -> IntCounter {
        self.register(IntCounter::new(row.name, row.help))
    }

    fn histogram(&self, row: &Family, bounds: &[f64]) -> prometheus::Histogram {
        let told = HistogramOpts::new(row.name, row.help).buckets(bounds.to_vec());
        self.register(prometheus::Histogram::with_opts(told))
    }

    fn gauge(&self, row: &Family) -> IntGauge {
        self.register(IntGauge::new(row.name, row.help))
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

impl Meter {
    /// Declares everything.
    #[must_use]
    pub fn new() -> Self {
        let declaring = Declaring(Registry::new());
        let built = [env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS];
        declaring.gauge_family(&BUILD).with_label_values(&built).set(1);
        let fates = [Fate::Answered.name(), Fate::Late.name(), "shed"];
        let [answered, late, frames_shed] = declaring.counters(&FRAMES, fates);
        Self {
            stages: Recorder::default(),
            windows: Windows::default(),
            outcomes: declaring.counters(&OUTCOMES, Outcomes::ALL.map(Outcomes::name)),
            by_hand: declaring.histogram(&BY_HAND, &BY_HAND_BOUNDS_S),
            attacks: declaring.counters(&ATTACKS, AttackFinding::ALL.map(AttackFinding::name)),
            refusals: declaring.counter_family(&REFUSALS),
            handshake_failures: declaring
                .counters(&HANDSHAKE_FAILURES, HandshakeFault::ALL.map(HandshakeFault::name)),
            offered: declaring.counter(&FRAMES_OFFERED),
            frames: [answered, late],
            frames_shed,
            sheds: declaring.counters(&SHEDS, Shed::ALL.map(Shed::name)),
            restarts: declaring.counters(&RESTARTS, Part::ALL.map(Part::name)),
            entry_events: declaring.counters(&ENTRY_EVENTS, EventFate::ALL.map(EventFate::name)),
            entry_event_failures: declaring.counter(&ENTRY_EVENT_FAILURES),
            entry_events_waiting: declaring.gauge(&ENTRY_EVENTS_WAITING),
            consents: declaring.gauge(&CONSENTS),
            gallery_rows: declaring.gauges(&GALLERY_ROWS, RowState::ALL.map(RowState::name)),
            gallery_bytes: declaring.gauge(&GALLERY_BYTES),
            galleries: declaring.gauges(&GALLERIES, GalleryState::ALL.map(GalleryState::name)),
            slots: declaring.gauges(&SLOTS, Place::ALL.map(Place::name)),
            device: declaring.gauge_family(&DEVICE),
            devices: Mutex::default(),
            device_threads: declaring
                .gauges(&DEVICE_THREADS, EnginePart::ALL.map(EnginePart::name)),
            engines_passed_over: declaring
                .gauges(&ENGINES_PASSED_OVER, EnginePart::ALL.map(EnginePart::name)),
            memory_bytes: declaring.gauge(&MEMORY_BYTES),
            turn_s: declaring.gauge(&TURN_SECONDS),
            registry: declaring.0,
        }
    }

    /// Records that something from a lane of this kind spent `us` microseconds in `stage`.
    pub fn stage(&self, stage: Stage, lane: LaneKind, us: u64) {
        self.stages.record(stage, lane, us);
    }

    /// Counts a decision.
    pub fn outcome(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Admit => Outcomes::Admit,
            Outcome::Retry => Outcomes::Retry,
            Outcome::Refer => Outcomes::Refer,
        };
        self.outcomes[outcome as usize].inc();
    }

    /// Records that a person took `us` microseconds over a traveller whom the machine referred.
    pub fn by_hand(&self, us: u64) {
        self.by_hand.observe(Duration::from_micros(us).as_secs_f64());
    }

    /// Counts a usable probe by what presentation attack detection came to.
    pub fn attack(&self, finding: AttackFinding) {
        self.attacks[finding as usize].inc();
    }

    /// Counts a request that got a problem document; `code` is one of the API's stable codes.
    pub fn refusal(&self, code: &'static str) {
        self.refusals.with_label_values(&[code]).inc();
    }

    /// Counts a TLS handshake that came to nothing.
    pub fn handshake_failed(&self, fault: HandshakeFault) {
        self.handshake_failures[fault as usize].inc();
    }

    /// Counts frames that came in, before anything is known of their fate.
    pub fn offered(&self, frames: u64) {
        self.offered.inc_by(frames);
    }

    /// Counts a frame that was worked on, by its fate.
    pub fn frame(&self, fate: Fate) {
        self.frames[fate as usize].inc();
    }

    /// Counts a frame that was given up, with the reason.
    pub fn shed(&self, reason: Shed) {
        self.frames_shed.inc();
        self.sheds[reason as usize].inc();
    }

    /// Counts a part that was started anew.
    pub fn restart(&self, part: Part) {
        self.restarts[part as usize].inc();
    }

    /// Counts an entry event by what became of it.
    pub fn entry_event(&self, fate: EventFate) {
        self.entry_events[fate as usize].inc();
    }

    /// Counts an attempt to send an entry event that failed.
    pub fn entry_event_failed(&self) {
        self.entry_event_failures.inc();
    }

    /// Sets how many entry events wait for their receiver.
    pub fn entry_events_waiting(&self, events: u64) {
        set(&self.entry_events_waiting, events);
    }

    /// Sets how many consents the register holds.
    pub fn consents(&self, held: u64) {
        set(&self.consents, held);
    }

    /// Sets the number of rows of a kind.
    pub fn gallery_rows(&self, state: RowState, rows: u64) {
        set(&self.gallery_rows[state as usize], rows);
    }

    /// Sets the bytes of all gallery files.
    pub fn gallery_bytes(&self, bytes: u64) {
        set(&self.gallery_bytes, bytes);
    }

    /// Sets the number of galleries that are served, or are not.
    pub fn galleries(&self, state: GalleryState, count: u64) {
        set(&self.galleries[state as usize], count);
    }

    /// Sets how many frame slots are taken, and how many are free.
    pub fn slots(&self, taken: u64, free: u64) {
        set(&self.slots[Place::Taken as usize], taken);
        set(&self.slots[Place::Free as usize], free);
    }

    /// Says who does `part`: its backend, its device with what is known of that, and its threads on
    /// the host; whoever did it before is forgotten.
    pub fn device(&self, part: EnginePart, backend: &str, about: [&str; 2], threads: u64) {
        let labels = [part.name(), backend, about[0], about[1]].map(str::to_owned);
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = devices[part as usize].replace(labels.clone()) {
            // It was set when it was noted.
            let _ = self.device.remove_label_values(&before);
        }
        self.device.with_label_values(&labels).set(1);
        set(&self.device_threads[part as usize], threads);
    }

    /// Sets how many engines that were preferred for `part` have failed.
    pub fn engines_passed_over(&self, part: EnginePart, engines: u64) {
        set(&self.engines_passed_over[part as usize], engines);
    }

    /// Sets the resident memory of the process.
    pub fn memory_bytes(&self, bytes: u64) {
        set(&self.memory_bytes, bytes);
    }

    /// Sets what the longest turn of the pipeline under way has taken, in whole seconds.
    pub fn turn_s(&self, seconds: u64) {
        set(&self.turn_s, seconds);
    }

    /// Quantiles of a stage so far, over all kinds of lanes.
    #[must_use]
    pub fn latency(&self, stage: Stage) -> Latency {
        let mut all = recorder::histogram();
        for lane in LaneKind::ALL {
            self.stages.merged(stage, lane).add_to(&mut all);
        }
        Latency::of(&all)
    }

    /// The text exposition, at `now_us` on a clock that does not go back.
    #[must_use]
    pub fn expose(&self, now_us: u64) -> String {
        let mut families = self.registry.gather();
        families.extend(self.windows.families(&self.stages, now_us));
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text).expect("declared metrics encode");
        String::from_utf8(text).expect("names, help and labels are UTF-8")
    }
}

fn set(gauge: &IntGauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests;
