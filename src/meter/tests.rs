//! What is recorded comes out, to the digit that is promised.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use proptest::prelude::*;

use super::{
    recorder::{highest_us, histogram},
    *,
};

const MINUTE_US: u64 = 60_000_000;

/// The value of the one sample whose line begins with `series`.
fn sample(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(series));
    let line = line.unwrap_or_else(|| panic!("no {series} in {text}"));
    line.rsplit(' ').next().expect("a value").parse().expect("a number")
}

#[test]
fn what_is_recorded_is_exposed() {
    let meter = Meter::new();
    meter.stage(Stage::Embed, LaneKind::Http, 1_500);
    meter.outcome(Outcome::Refer);
    meter.offered(3);
    meter.frame(Fate::Late);
    meter.shed(Shed::Busy);
    meter.shed(Shed::TooLate);
    meter.restart(Part::Engine);
    meter.device(EnginePart::Search, "cpu", ["a \"quoted\" device", "avx2"], 2);
    let text = meter.expose(0);
    for (series, value) in [
        ("portcullis_stage_seconds_count{stage=\"embed\",lane_kind=\"http\"}", 1.0),
        ("portcullis_stage_seconds_sum{stage=\"embed\",lane_kind=\"http\"}", 0.0015),
        ("portcullis_outcomes_total{outcome=\"refer\"}", 1.0),
        ("portcullis_outcomes_total{outcome=\"admit\"}", 0.0),
        ("portcullis_frames_offered_total", 3.0),
        ("portcullis_frames_total{fate=\"late\"}", 1.0),
        ("portcullis_frames_total{fate=\"shed\"}", 2.0),
        ("portcullis_sheds_total{reason=\"busy\"}", 1.0),
        ("portcullis_sheds_total{reason=\"too-late\"}", 1.0),
        ("portcullis_restarts_total{part=\"engine\"}", 1.0),
        ("portcullis_device_threads{part=\"search\"}", 2.0),
    ] {
        let held = sample(&text, series);
        assert!((held - value).abs() < 1e-9, "{series} is {held}, not {value}");
    }
    assert!(text.contains("device=\"a \\\"quoted\\\" device\""), "{text}");
    assert!(!text.contains("stage=\"search\""), "a stage that never ran has no series: {text}");
    let latency = meter.latency(Stage::Embed);
    assert_eq!(latency.count, 1);
    assert!((1_499..=1_501).contains(&latency.us_p50), "{latency:?}");
}

proptest! {
    /// Merged counters are the histogram that would have recorded the values itself.
    #[test]
    fn the_geometry_is_that_of_an_hdr_histogram(
        values in proptest::collection::vec(0..2 * LATENCY_US_MAX, 1..200),
    ) {
        let recorder = Recorder::default();
        let mut alone = histogram();
        for &us in &values {
            recorder.record(Stage::Search, LaneKind::Command, us);
            alone.saturating_record(us.min(LATENCY_US_MAX));
        }
        let counts = recorder.merged(Stage::Search, LaneKind::Command);
        for (us, count) in counts.iter() {
            prop_assert_eq!(alone.count_at(us), count);
            prop_assert_eq!(alone.highest_equivalent(us), us);
        }
        let mut merged = histogram();
        counts.add_to(&mut merged);
        prop_assert_eq!(merged.len(), alone.len());
        for quantile in [0.0, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let (ours, theirs) =
                (merged.value_at_quantile(quantile), alone.value_at_quantile(quantile));
            prop_assert_eq!(alone.highest_equivalent(ours), alone.highest_equivalent(theirs));
        }
    }

    /// What a reading does not see again is what came before it.
    #[test]
    fn two_readings_add_up(
        before in proptest::collection::vec(0..LATENCY_US_MAX, 0..50),
        after in proptest::collection::vec(0..LATENCY_US_MAX, 0..50),
    ) {
        let of = |values: &[&[u64]]| {
            let recorder = Recorder::default();
            for &us in values.iter().copied().flatten() {
                recorder.record(Stage::Batch, LaneKind::Request, us);
            }
            recorder.merged(Stage::Batch, LaneKind::Request)
        };
        prop_assert_eq!(of(&[&before, &after]).since(&of(&[&before])), of(&[&after]));
    }
}

#[test]
fn counters_meet_without_a_gap() {
    let mut next = 0;
    for index in 0..20_000 {
        let highest = highest_us(index);
        assert!(highest >= next, "counter {index} ends at {highest}, before {next}");
        next = highest + 1;
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "threads are what this test is about")]
fn nothing_is_lost_between_threads_and_a_reader() {
    const THREADS: u64 = 12; // more than there are groups
    const EACH: u64 = 20_000;
    let meter = Arc::new(Meter::new());
    let ended = Arc::new(AtomicBool::new(false));
    let reader = {
        let (meter, ended) = (Arc::clone(&meter), Arc::clone(&ended));
        std::thread::spawn(move || {
            let mut seen = 0;
            while !ended.load(Ordering::Acquire) {
                let count = meter.latency(Stage::Detect).count;
                assert!(count >= seen, "a reading went back from {seen} to {count}");
                seen = count;
            }
        })
    };
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let meter = Arc::clone(&meter);
            std::thread::spawn(move || {
                for turn in 0..EACH {
                    meter.stage(Stage::Detect, LaneKind::Directory, thread * 1_000 + turn);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("recorded");
    }
    ended.store(true, Ordering::Release);
    reader.join().expect("read");
    assert_eq!(meter.latency(Stage::Detect).count, THREADS * EACH);
    let text = meter.expose(0);
    let sum_us: u64 = (0..THREADS).map(|thread| thread * 1_000 * EACH).sum::<u64>()
        + THREADS * EACH * (EACH - 1) / 2;
    let held = sample(&text, "portcullis_stage_seconds_sum{stage=\"detect\"");
    assert!((held - sum_us as f64 / 1e6).abs() < 1e-6, "{held}");
}

#[test]
fn classic_buckets_cumulate_and_end_in_the_count() {
    let meter = Meter::new();
    for us in [1, 50, 51, 9_999, 10_000, 10_100, 30_000_000] {
        meter.stage(Stage::Transaction, LaneKind::Request, us);
    }
    let text = meter.expose(0);
    let bucket = |bound: &str| {
        let series = format!(
            "portcullis_stage_seconds_bucket{{stage=\"transaction\",lane_kind=\"request\",le=\"{bound}\"}}"
        );
        sample(&text, &series)
    };
    for (bound, expected) in
        [("0.00005", 2.0), ("0.0001", 3.0), ("0.005", 3.0), ("0.01", 5.0), ("0.02", 6.0)]
    {
        assert!((bucket(bound) - expected).abs() < 0.5, "{bound}: {}", bucket(bound));
    }
    assert!((bucket("10") - 6.0).abs() < 0.5 && (bucket("+Inf") - 7.0).abs() < 0.5);
}

#[test]
fn quantiles_forget_what_is_older_than_the_window() {
    let meter = Meter::new();
    let p99 = |now_us| {
        let text = meter.expose(now_us);
        sample(
            &text,
            "portcullis_stage_percentile_seconds{stage=\"decide\",lane_kind=\"request\",percentile=\"99\"}",
        )
    };
    meter.stage(Stage::Decide, LaneKind::Request, 2_000_000);
    assert!((p99(0) - 2.0).abs() < 0.01);
    meter.stage(Stage::Decide, LaneKind::Request, 1_000);
    assert!((p99(MINUTE_US) - 2.0).abs() < 0.01, "four minutes to go");
    assert!((p99(5 * MINUTE_US) - 0.001).abs() < 1e-5, "the slow one is out of the window");
    assert!(p99(12 * MINUTE_US).is_nan(), "nothing happened in the window");
    let text = meter.expose(12 * MINUTE_US);
    let longest = "portcullis_stage_max_seconds{stage=\"decide\",lane_kind=\"request\"}";
    assert!(sample(&text, longest).is_nan());
    let count = "portcullis_stage_seconds_count{stage=\"decide\",lane_kind=\"request\"}";
    assert!((sample(&text, count) - 2.0).abs() < 0.5, "the histogram forgets nothing");
}

#[test]
fn no_label_but_the_declared_ones() {
    let meter = Meter::new();
    for stage in Stage::ALL {
        for lane in LaneKind::ALL {
            meter.stage(stage, lane, 1);
        }
    }
    meter.refusal("BUSY");
    meter.device(EnginePart::Networks, "cpu", ["device", "detail"], 1);
    let declared = [
        "stage",
        "lane_kind",
        "percentile",
        "le",
        "outcome",
        "finding",
        "code",
        "fate",
        "reason",
        "part",
        "state",
        "version",
        "arch",
        "os",
        "backend",
        "device",
        "detail",
    ];
    for line in meter.expose(0).lines().filter(|line| !line.starts_with('#')) {
        let labels = line.split_once('{').map_or("", |(_, rest)| rest);
        for label in labels.split("=\"").filter_map(|part| part.rsplit(['{', ',', '"']).next()) {
            let is_name = label.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            assert!(!is_name || label.is_empty() || declared.contains(&label), "{label} in {line}");
        }
    }
}
