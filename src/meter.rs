//! Every metric of the appliance, declared once. Names keep Prometheus base units; no label carries
//! an identifier or a score.

use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// Seconds in each stage, from 50 µs to 10 s.
const STAGE_BUCKETS_S: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0,
];

/// Longest latency a histogram tells apart, in microseconds (one minute).
const LATENCY_US_MAX: u64 = 60_000_000;

/// The stages of the pipeline, and the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Decoding into a slot.
    Capture,
    /// Waiting for an engine.
    Batch,
    /// Finding, judging, aligning.
    Detect,
    /// Presentation attack detection.
    Attack,
    /// Embedding.
    Embed,
    /// Comparing or searching.
    Search,
    /// Deciding and auditing.
    Decide,
    /// From the order to the reply.
    Transaction,
}

impl Stage {
    /// All of them, in the order of the pipeline.
    pub const ALL: [Self; 8] = [
        Self::Capture,
        Self::Batch,
        Self::Detect,
        Self::Attack,
        Self::Embed,
        Self::Search,
        Self::Decide,
        Self::Transaction,
    ];

    /// The label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Batch => "batch",
            Self::Detect => "detect",
            Self::Attack => "attack",
            Self::Embed => "embed",
            Self::Search => "search",
            Self::Decide => "decide",
            Self::Transaction => "transaction",
        }
    }
}

/// What presentation attack detection came to for one usable probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttackFinding {
    /// No detector looked at it.
    NotPerformed,
    /// A score below the policy's threshold.
    Passed,
    /// A score that the policy objects to.
    Suspected,
}

impl AttackFinding {
    /// The label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotPerformed => "not-performed",
            Self::Passed => "passed",
            Self::Suspected => "suspected",
        }
    }
}

/// Quantiles of one stage, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// How many were recorded.
    pub count: u64,
    /// Median.
    pub us_p50: u64,
    /// 99th percentile.
    pub us_p99: u64,
    /// Largest.
    pub us_max: u64,
}

/// The meters, handed to whoever records; there is no global.
pub struct Meter {
    registry: Registry,
    stages: HistogramVec,
    outcomes: IntCounterVec,
    attacks: IntCounterVec,
    refusals: IntCounterVec,
    frames: IntCounterVec,
    gallery_rows: IntGaugeVec,
    gallery_bytes: IntGauge,
    galleries: IntGaugeVec,
    exact: [Mutex<Histogram<u64>>; Stage::ALL.len()],
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
        let declared = "metric names are constants of this file";
        let stages = HistogramVec::new(
            HistogramOpts::new("portcullis_stage_seconds", "Time spent in a pipeline stage.")
                .buckets(STAGE_BUCKETS_S.to_vec()),
            &["stage"],
        )
        .expect(declared);
        let counter = |name: &str, help: &str, label: &str| {
            IntCounterVec::new(Opts::new(name, help), &[label]).expect(declared)
        };
        let outcomes = counter("portcullis_outcomes_total", "Decisions by outcome.", "outcome");
        let attacks = counter(
            "portcullis_attack_detections_total",
            "Usable probes by what presentation attack detection came to.",
            "finding",
        );
        let refusals = counter(
            "portcullis_refusals_total",
            "Requests answered without a decision, by problem code.",
            "code",
        );
        let frames = counter("portcullis_frames_total", "Frames by what became of them.", "fate");
        let gauge = |name: &str, help: &str| {
            IntGaugeVec::new(Opts::new(name, help), &["state"]).expect(declared)
        };
        let gallery_rows = gauge("portcullis_gallery_rows", "Rows over all galleries, by state.");
        let galleries = gauge("portcullis_galleries", "Galleries, by whether they are served.");
        let gallery_bytes =
            IntGauge::new("portcullis_gallery_bytes", "Bytes of all gallery files.")
                .expect(declared);
        let registry = Registry::new();
        for collector in [
            Box::new(stages.clone()) as Box<dyn prometheus::core::Collector>,
            Box::new(outcomes.clone()),
            Box::new(attacks.clone()),
            Box::new(refusals.clone()),
            Box::new(frames.clone()),
            Box::new(gallery_rows.clone()),
            Box::new(gallery_bytes.clone()),
            Box::new(galleries.clone()),
        ] {
            registry.register(collector).expect(declared);
        }
        let exact = Stage::ALL.map(|_| {
            Mutex::new(Histogram::new_with_max(LATENCY_US_MAX, 3).expect("three digits fit"))
        });
        Self {
            registry,
            stages,
            outcomes,
            attacks,
            refusals,
            frames,
            gallery_rows,
            gallery_bytes,
            galleries,
            exact,
        }
    }

    /// Records `us` microseconds in `stage`.
    pub fn stage_us(&self, stage: Stage, us: u64) {
        self.stages.with_label_values(&[stage.name()]).observe(us as f64 / 1e6);
        let mut exact = self.exact[stage as usize].lock().unwrap_or_else(PoisonError::into_inner);
        exact.saturating_record(us);
    }

    /// Counts a decision.
    pub fn outcome(&self, outcome: crate::types::Outcome) {
        let label = match outcome {
            crate::types::Outcome::Admit => "admit",
            crate::types::Outcome::Retry => "retry",
            crate::types::Outcome::Refer => "refer",
        };
        self.outcomes.with_label_values(&[label]).inc();
    }

    /// Counts a usable probe by what presentation attack detection came to.
    pub fn attack(&self, finding: AttackFinding) {
        self.attacks.with_label_values(&[finding.name()]).inc();
    }

    /// Counts a request that got a problem document; `code` is one of the API's stable codes.
    pub fn refusal(&self, code: &'static str) {
        self.refusals.with_label_values(&[code]).inc();
    }

    /// Counts a frame by its fate: `answered`, `late`, `shed`.
    pub fn frame(&self, fate: &'static str) {
        self.frames.with_label_values(&[fate]).inc();
    }

    /// Sets the number of rows in `state`: `searchable`, `vacant`, or `holders` for records that
    /// only their holders open.
    pub fn gallery_rows(&self, state: &'static str, rows: u64) {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        self.gallery_rows.with_label_values(&[state]).set(rows);
    }

    /// Sets the bytes of all gallery files.
    pub fn gallery_bytes(&self, bytes: u64) {
        self.gallery_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Sets the number of galleries in `state`: `served` or `unavailable`.
    pub fn galleries(&self, state: &'static str, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.galleries.with_label_values(&[state]).set(count);
    }

    /// Quantiles of a stage so far.
    #[must_use]
    pub fn latency(&self, stage: Stage) -> Latency {
        let exact = self.exact[stage as usize].lock().unwrap_or_else(PoisonError::into_inner);
        Latency {
            count: exact.len(),
            us_p50: exact.value_at_quantile(0.50),
            us_p99: exact.value_at_quantile(0.99),
            us_max: exact.max(),
        }
    }

    /// The text exposition.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("declared metrics encode");
        String::from_utf8(text).expect("the exposition is ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_exposed() {
        let meter = Meter::new();
        meter.stage_us(Stage::Embed, 1_500);
        meter.outcome(crate::types::Outcome::Refer);
        let text = meter.expose();
        assert!(text.contains("portcullis_stage_seconds_count{stage=\"embed\"} 1"), "{text}");
        assert!(text.contains("portcullis_outcomes_total{outcome=\"refer\"} 1"), "{text}");
        let latency = meter.latency(Stage::Embed);
        assert_eq!(latency.count, 1);
        assert!((1_499..=1_501).contains(&latency.us_p50), "{latency:?}");
    }
}
