//! Latencies as Prometheus families: classic buckets and exact quantiles.
//!
//! Buckets count from the start, as Prometheus wants them; a bound that falls inside a counter of
//! the HDR histogram takes the whole counter, which is one part in 1,024. Quantiles are of the last
//! five minutes: a reading keeps what had been counted by then, at most once a minute, and later
//! ones subtract it. Where nobody has read for longer, they reach back to the last reading that is
//! old enough, or to the start.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use prometheus::proto::{Bucket, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::{
    Family, LATENCY_US_MAX, LaneKind, STAGE_MAX_SECONDS, STAGE_PERCENTILE_SECONDS, STAGE_SECONDS,
    Stage,
    recorder::{self, Counts, Recorder},
};

/// Bounds of the classic buckets in microseconds, from 50 µs to 10 s: three to four per decade, and
/// closer where a gate's answer lies.
const BUCKETS_US: [u64; 20] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 30_000, 50_000, 75_000, 100_000,
    150_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
];
/// The percentiles, as values of their label. (A label `quantile` belongs to summaries alone.)
const QUANTILES: [(&str, f64); 4] = [("50", 0.5), ("90", 0.9), ("99", 0.99), ("99.9", 0.999)];
/// Time that quantiles look back.
const WINDOW_US: u64 = 5 * 60 * 1_000_000;
/// Least time between two readings that are kept.
const STEP_US: u64 = 60 * 1_000_000;

/// What was counted at earlier readings, oldest first.
#[derive(Default)]
pub(super) struct Windows(Mutex<VecDeque<Reading>>);

struct Reading {
    at_us: u64,
    counts: Vec<Counts>,
}

impl Windows {
    /// The families of all latencies at `now_us`.
    pub(super) fn families(&self, recorder: &Recorder, now_us: u64) -> Vec<MetricFamily> {
        let series = || Stage::ALL.into_iter().flat_map(|s| LaneKind::ALL.map(|lane| (s, lane)));
        let counts: Vec<Counts> =
            series().map(|(stage, lane)| recorder.merged(stage, lane)).collect();
        let recent = self.recent(&counts, now_us);
        let (mut buckets, mut quantiles, mut longest) = (Vec::new(), Vec::new(), Vec::new());
        for (((stage, lane), counts), recent) in series().zip(&counts).zip(&recent) {
            if counts.is_empty() {
                continue;
            }
            let values = [stage.name(), lane.name()];
            buckets.push(classic(counts, labels(&STAGE_SECONDS, &values)));
            let mut exact = recorder::histogram();
            recent.add_to(&mut exact);
            let seconds = |us: u64| if recent.is_empty() { f64::NAN } else { us as f64 / 1e6 };
            for (name, quantile) in QUANTILES {
                let labels = labels(&STAGE_PERCENTILE_SECONDS, &[values[0], values[1], name]);
                quantiles.push(gauge(seconds(exact.value_at_quantile(quantile)), labels));
            }
            longest.push(gauge(seconds(exact.max()), labels(&STAGE_MAX_SECONDS, &values)));
        }
        let families = [
            family(&STAGE_SECONDS, MetricType::HISTOGRAM, buckets),
            family(&STAGE_PERCENTILE_SECONDS, MetricType::GAUGE, quantiles),
            family(&STAGE_MAX_SECONDS, MetricType::GAUGE, longest),
        ];
        families.into_iter().filter(|family| !family.get_metric().is_empty()).collect()
    }

    /// What was counted within the window; keeps `counts` for later readings.
    fn recent(&self, counts: &[Counts], now_us: u64) -> Vec<Counts> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The oldest stays as long as the one after it is too young to bound the window.
        while kept.get(1).is_some_and(|next| next.at_us.saturating_add(WINDOW_US) <= now_us) {
            kept.pop_front();
        }
        let none = Counts::default();
        let bound = kept.front().filter(|oldest| oldest.at_us.saturating_add(WINDOW_US) <= now_us);
        let before = |at: usize| bound.map_or(&none, |oldest| &oldest.counts[at]);
        let recent = counts.iter().enumerate().map(|(at, all)| all.since(before(at))).collect();
        if kept.back().is_none_or(|last| last.at_us.saturating_add(STEP_US) <= now_us) {
            kept.push_back(Reading { at_us: now_us, counts: counts.to_vec() });
        }
        recent
    }
}

fn labels(row: &Family, values: &[&str]) -> Vec<LabelPair> {
    let pair = |(name, value): (&&str, &&str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    row.labels.iter().zip(values).map(pair).collect()
}

fn classic(counts: &Counts, labels: Vec<LabelPair>) -> Metric {
    let buckets = BUCKETS_US.map(|bound_us| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound_us as f64 / 1e6);
        bucket.set_cumulative_count(counts.up_to(bound_us));
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.to_vec());
    histogram.set_sample_count(counts.up_to(LATENCY_US_MAX));
    histogram.set_sample_sum(counts.sum_us as f64 / 1e6);
    let mut metric = Metric::from_label(labels);
    metric.set_histogram(histogram);
    metric
}

fn gauge(value: f64, labels: Vec<LabelPair>) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::from_label(labels);
    metric.set_gauge(gauge);
    metric
}

fn family(row: &Family, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(row.name.to_owned());
    family.set_help(row.help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}
