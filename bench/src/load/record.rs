//! From samples to figures: counts that add up, histograms, a timeline; and files of them that
//! other processes' results can be added to.
//!
//! The `.hlog` is HdrHistogram's interval log (V2, compressed), which its other tools read: one
//! interval per second and kind, in microseconds, tagged `verify` (from the intended start) and
//! `verify-raw` (from the real one).

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use hdrhistogram::{
    Histogram,
    serialization::{
        Deserializer, V2DeflateSerializer,
        interval_log::{IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag},
    },
};
use serde::{Deserialize, Serialize};

use super::{
    ask::{Fate, STAGES},
    drive::{Record, Sample},
};

/// Longest latency that is told apart: two minutes, twice the longest deadline.
const LATENCY_US_MAX: u64 = 120_000_000;
/// Ending of the tags of raw latencies.
const RAW: &str = "-raw";

/// An empty histogram of three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LATENCY_US_MAX, 3).expect("three digits of two minutes fit")
}

/// Quantiles in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    pub(crate) count: u64,
    pub(crate) us_mean: f64,
    pub(crate) us_p50: u64,
    pub(crate) us_p90: u64,
    pub(crate) us_p99: u64,
    pub(crate) us_p999: u64,
    pub(crate) us_max: u64,
}

impl Quantiles {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            count: histogram.len(),
            us_mean: histogram.mean(),
            us_p50: at(0.5),
            us_p90: at(0.9),
            us_p99: at(0.99),
            us_p999: at(0.999),
            us_max: histogram.max(),
        }
    }

    /// Of plain values.
    pub(crate) fn of_values(values: impl IntoIterator<Item = u64>) -> Self {
        let mut all = histogram();
        values.into_iter().for_each(|us| all.saturating_record(us));
        Self::of(&all)
    }

    /// The tail as a multiple of the middle.
    pub(crate) fn tail(&self) -> f64 {
        self.us_p999 as f64 / self.us_p50.max(1) as f64
    }
}

/// What became of the counted arrivals; every one is in exactly one place.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) offered: u64,
    pub(crate) answered: u64,
    pub(crate) late: u64,
    pub(crate) shed: BTreeMap<String, u64>,
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) broken: BTreeMap<String, u64>,
    /// Of the answered and the late: decided otherwise than the photographs want.
    pub(crate) wrong: u64,
    /// Of the answered and the late: another score than at rest.
    pub(crate) unlike: u64,
    /// Sent more than a millisecond after they were due: every worker was waiting, or the machine
    /// had other work.
    pub(crate) sent_late: u64,
}

impl Counts {
    fn take(&mut self, sample: &Sample) {
        self.offered += 1;
        let (family, name) = match &sample.fate {
            Fate::Answered => {
                self.answered += 1;
                (None, "")
            }
            Fate::Late => {
                self.late += 1;
                (None, "")
            }
            Fate::Shed(code) => (Some(&mut self.shed), code.as_str()),
            Fate::Refused(code) => (Some(&mut self.refused), code.as_str()),
            Fate::Broken(what) => (Some(&mut self.broken), what.as_str()),
        };
        if let Some(family) = family {
            *family.entry(name.to_owned()).or_default() += 1;
        }
        self.wrong += u64::from(sample.wrong);
        self.unlike += u64::from(sample.unlike);
        self.sent_late += u64::from(sample.late_us > 1_000);
    }

    /// Whether every arrival is somewhere, once.
    pub(crate) fn add_up(&self) -> bool {
        let sum = |family: &BTreeMap<String, u64>| family.values().sum::<u64>();
        let placed = sum(&self.shed) + sum(&self.refused) + sum(&self.broken);
        self.offered == self.answered + self.late + placed
    }

    /// Shed, for all reasons.
    pub(crate) fn shed(&self) -> u64 {
        self.shed.values().sum()
    }

    fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.answered += other.answered;
        self.late += other.late;
        self.wrong += other.wrong;
        self.unlike += other.unlike;
        self.sent_late += other.sent_late;
        for (mine, theirs) in [
            (&mut self.shed, &other.shed),
            (&mut self.refused, &other.refused),
            (&mut self.broken, &other.broken),
        ] {
            for (name, count) in theirs {
                *mine.entry(name.clone()).or_default() += count;
            }
        }
    }
}

/// One second of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Second {
    pub(crate) at_s: u64,
    pub(crate) answered: u64,
    pub(crate) us_p50: u64,
    pub(crate) us_p99: u64,
    pub(crate) us_max: u64,
}

/// The figures of one run, or of several processes' runs together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) counts: Counts,
    /// From the first counted arrival to the end of the plan, or of the last answer.
    pub(crate) seconds: f64,
    pub(crate) offered_per_s: f64,
    pub(crate) answered_per_s: f64,
    /// By kind, and `all`: from the intended start.
    pub(crate) corrected: BTreeMap<String, Quantiles>,
    /// By kind, and `all`: from the real start.
    pub(crate) raw: BTreeMap<String, Quantiles>,
    /// Everything together: quantile and microseconds, from the intended and the real start.
    pub(crate) curve: Vec<(f64, u64)>,
    pub(crate) curve_raw: Vec<(f64, u64)>,
    /// What is neither decoding, nor waiting for an engine, nor a network, nor a search.
    pub(crate) overhead: Option<Quantiles>,
    /// Stages as the answers tell them.
    pub(crate) stages: BTreeMap<String, Quantiles>,
    pub(crate) timeline: Vec<Second>,
    /// Resident memory of the appliance: microseconds, bytes.
    pub(crate) memory: Vec<(u64, u64)>,
    /// Frames that simulated lanes pushed, and that were taken.
    pub(crate) frames: (u64, u64),
}

/// Histograms by tag.
pub(crate) type Tagged = BTreeMap<String, Histogram<u64>>;

/// Latencies of what was answered, in time or late: who was turned away at once did not wait.
fn waited(sample: &&Sample) -> bool {
    matches!(sample.fate, Fate::Answered | Fate::Late)
}

fn tagged<'a>(samples: impl Iterator<Item = &'a Sample>) -> Tagged {
    let mut all = Tagged::new();
    for sample in samples.filter(waited) {
        let name = sample.what.name();
        let mut put = |tag: String, us| {
            all.entry(tag).or_insert_with(histogram).saturating_record(us);
        };
        put(name.to_owned(), sample.corrected_us());
        put(format!("{name}{RAW}"), sample.took_us);
    }
    all
}

/// Quantiles by kind, and the curve of all of them.
type Kinds = (BTreeMap<String, Quantiles>, Vec<(f64, u64)>);

fn by_kind(tagged: &Tagged, raw: bool) -> Kinds {
    let mut every = histogram();
    let mut kinds = BTreeMap::new();
    for (tag, one) in tagged.iter().filter(|(tag, _)| tag.ends_with(RAW) == raw) {
        every.add(one).expect("histograms of one size add up");
        kinds.insert(tag.trim_end_matches(RAW).to_owned(), Quantiles::of(one));
    }
    kinds.insert("all".to_owned(), Quantiles::of(&every));
    (kinds, curve(&every))
}

/// Quantiles at even steps of their nines, to the last one that a sample carries.
fn curve(histogram: &Histogram<u64>) -> Vec<(f64, u64)> {
    let nines = (histogram.len().max(1) as f64).log10();
    let steps = (nines * 12.0).floor() as i32;
    let quantile = |step: i32| 1.0 - 10_f64.powf(-f64::from(step) / 12.0);
    (0..=steps).map(quantile).map(|at| (at, histogram.value_at_quantile(at))).collect()
}

impl Figures {
    /// Of what was recorded in a plan of `plan_s` counted seconds.
    pub(crate) fn of(record: &Record, plan_s: f64) -> Self {
        let mut counts = Counts::default();
        record.samples.iter().for_each(|sample| counts.take(sample));
        let seconds = plan_s.max(record.wall_us as f64 / 1e6);
        let tagged = tagged(record.samples.iter());
        let overhead: Vec<u64> = record.samples.iter().filter_map(Sample::overhead_us).collect();
        let mut stages = BTreeMap::new();
        for (at, stage) in STAGES.into_iter().enumerate() {
            let spent = record.samples.iter().filter_map(|sample| sample.spent_us);
            let held = Quantiles::of_values(spent.map(|spent_us| u64::from(spent_us[at])));
            if held.count > 0 {
                stages.insert(stage.trim_end_matches("Us").to_owned(), held);
            }
        }
        let (corrected, curve) = by_kind(&tagged, false);
        let (raw, curve_raw) = by_kind(&tagged, true);
        Self {
            offered_per_s: counts.offered as f64 / plan_s,
            answered_per_s: counts.answered as f64 / seconds,
            corrected,
            raw,
            curve,
            curve_raw,
            overhead: (!overhead.is_empty()).then(|| Quantiles::of_values(overhead)),
            stages,
            timeline: timeline(&record.samples),
            memory: record.memory.clone(),
            frames: record.frames,
            counts,
            seconds,
        }
    }

    /// Everything together, from the intended start.
    pub(crate) fn all(&self) -> Quantiles {
        self.corrected.get("all").copied().unwrap_or_default()
    }

    /// Adds up what several processes measured at the same time.
    ///
    /// # Errors
    /// Without any.
    pub(crate) fn merged(parts: &[(Self, Tagged)]) -> Result<Self, String> {
        let (first, rest) = parts.split_first().ok_or("nothing to merge")?;
        let (mut whole, mut tagged) = first.clone();
        for (figures, histograms) in rest {
            whole.counts.add(&figures.counts);
            whole.seconds = whole.seconds.max(figures.seconds);
            whole.offered_per_s += figures.offered_per_s;
            whole.frames.0 += figures.frames.0;
            whole.frames.1 += figures.frames.1;
            for (tag, one) in histograms {
                let mine = tagged.entry(tag.clone()).or_insert_with(histogram);
                mine.add(one).map_err(|error| format!("{tag}: {error:?}"))?;
            }
        }
        whole.answered_per_s = whole.counts.answered as f64 / whole.seconds;
        (whole.corrected, whole.curve) = by_kind(&tagged, false);
        (whole.raw, whole.curve_raw) = by_kind(&tagged, true);
        // Quantiles cannot be added up; only what has a histogram in the log is kept.
        if !rest.is_empty() {
            whole.overhead = None;
            whole.stages.clear();
            whole.timeline.clear();
            whole.memory.clear();
        }
        Ok(whole)
    }
}

fn timeline(samples: &[Sample]) -> Vec<Second> {
    let mut seconds: BTreeMap<u64, Histogram<u64>> = BTreeMap::new();
    for sample in samples.iter().filter(waited) {
        let of_second = seconds.entry(sample.due_us / 1_000_000).or_insert_with(histogram);
        of_second.saturating_record(sample.corrected_us());
    }
    let second = |(at_s, held): (u64, Histogram<u64>)| Second {
        at_s,
        answered: held.len(),
        us_p50: held.value_at_quantile(0.5),
        us_p99: held.value_at_quantile(0.99),
        us_max: held.max(),
    };
    seconds.into_iter().map(second).collect()
}

/// Writes the interval log.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_log(path: &Path, record: &Record, started_s: u64) -> Result<(), String> {
    let refuse = |error: &dyn std::fmt::Debug| format!("{}: {error:?}", path.display());
    let mut seconds: BTreeMap<u64, Vec<&Sample>> = BTreeMap::new();
    for sample in &record.samples {
        seconds.entry(sample.due_us / 1_000_000).or_default().push(sample);
    }
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let start = UNIX_EPOCH + Duration::from_secs(started_s);
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("portcullis-load; values in microseconds, the maximum column in milliseconds")
        .with_start_time(start)
        .with_base_time(start)
        .with_max_value_divisor(1_000.0)
        .begin_log_with(&mut bytes, &mut serializer)
        .map_err(|error| refuse(&error))?;
    for (at_s, samples) in seconds {
        for (tag, held) in tagged(samples.into_iter()) {
            let (at, length) = (Duration::from_secs(at_s), Duration::from_secs(1));
            log.write_histogram(&held, at, length, Tag::new(&tag))
                .map_err(|error| refuse(&error))?;
        }
    }
    let written = fs::File::create(path).and_then(|mut file| file.write_all(&bytes));
    written.map_err(|error| refuse(&error))
}

/// Reads an interval log, added up over its time.
///
/// # Errors
/// When the file cannot be read, or is no interval log of ours.
pub(crate) fn read_log(path: &Path) -> Result<Tagged, String> {
    let refuse = |why: String| format!("{}: {why}", path.display());
    let bytes = fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let mut deserializer = Deserializer::new();
    let mut all = Tagged::new();
    for entry in IntervalLogIterator::new(&bytes) {
        let entry = entry.map_err(|error| refuse(format!("no interval log: {error:?}")))?;
        let LogEntry::Interval(interval) = entry else { continue };
        let tag = interval.tag().map_or("all", |tag| tag.as_str()).to_owned();
        let encoded = base64(interval.encoded_histogram())
            .ok_or_else(|| refuse("an interval is no base64".to_owned()))?;
        let held: Histogram<u64> = deserializer
            .deserialize(&mut encoded.as_slice())
            .map_err(|error| refuse(format!("an interval holds no histogram: {error:?}")))?;
        let mine = all.entry(tag).or_insert_with(histogram);
        mine.add(held).map_err(|error| refuse(format!("{error:?}")))?;
    }
    Ok(all)
}

/// The bytes of a base64 text.
fn base64(text: &str) -> Option<Vec<u8>> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::What;

    fn sample(due_us: u64, late_us: u64, took_us: u64, what: What, fate: Fate) -> Sample {
        let (wrong, unlike, spent_us) = (false, false, None);
        Sample { due_us, late_us, took_us, what, fate, wrong, unlike, spent_us }
    }

    fn record() -> Record {
        let mut samples: Vec<Sample> = (0..3_000)
            .map(|at| sample(at * 1_000, 0, 10_000 + at, What::Verify, Fate::Answered))
            .collect();
        // A stall of a second: sent late, answered quickly.
        samples.push(sample(3_000_000, 1_000_000, 5_000, What::Identify, Fate::Answered));
        samples.push(sample(3_100_000, 0, 700, What::Verify, Fate::Shed("BUSY".to_owned())));
        samples.push(sample(3_200_000, 0, 900_000, What::Verify, Fate::Late));
        samples.push(sample(3_300_000, 0, 1, What::Verify, Fate::Refused("X".to_owned())));
        samples.push(sample(3_400_000, 0, 1, What::Verify, Fate::Broken("reset".to_owned())));
        Record { samples, wall_us: 4_100_000, ..Record::default() }
    }

    #[test]
    fn every_arrival_is_counted_once_and_a_stall_is_seen() {
        let figures = Figures::of(&record(), 4.0);
        assert_eq!(figures.counts.offered, 3_005);
        assert_eq!((figures.counts.answered, figures.counts.late), (3_001, 1));
        assert!(figures.counts.add_up());
        assert_eq!(figures.counts.sent_late, 1);
        let identify = (&figures.corrected["identify"], &figures.raw["identify"]);
        assert!(identify.0.us_p50 >= 1_004_000 && identify.1.us_p50 <= 5_010);
        assert_eq!(figures.all().count, 3_002, "who was turned away did not wait");
        assert_eq!(figures.timeline.len(), 4);
        assert!((figures.seconds - 4.1).abs() < 1e-9);
    }

    #[test]
    fn two_processes_results_add_up_to_one() {
        let folder = std::env::temp_dir().join(format!("portcullis-load-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let whole = record();
        let mut halves = [Record::default(), Record::default()];
        for (at, sample) in whole.samples.iter().enumerate() {
            halves[at % 2].samples.push(sample.clone());
        }
        let parts: Vec<(Figures, Tagged)> = halves
            .iter()
            .enumerate()
            .map(|(at, half)| {
                let path = folder.join(format!("{at}.hlog"));
                write_log(&path, half, 1_700_000_000).expect("written");
                (Figures::of(half, 4.0), read_log(&path).expect("read"))
            })
            .collect();
        let (merged, alone) = (Figures::merged(&parts).expect("two"), Figures::of(&whole, 4.0));
        fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(merged.counts, alone.counts);
        assert_eq!(merged.raw["verify"].us_p99, alone.raw["verify"].us_p99);
        for (kind, quantiles) in &alone.corrected {
            let held = &merged.corrected[kind];
            assert_eq!((held.count, held.us_p999), (quantiles.count, quantiles.us_p999), "{kind}");
        }
        assert!((merged.offered_per_s - alone.offered_per_s).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let path = std::env::temp_dir().join(format!("no-log-{}.hlog", std::process::id()));
        fs::write(&path, "Tag=a,0.100,1.000,2.000,!!!\n").expect("written");
        let why = read_log(&path).expect_err("no histogram");
        fs::remove_file(&path).expect("removed");
        assert!(why.contains("interval"), "{why}");
    }
}
