//! An evaluation as a person reads it (a table) and as a program does (serde).

use std::fmt;

use serde::Serialize;

use super::{
    Identification, Rate, Sample, Support,
    identification::LostSearches,
    rates::{EqualError, Lost, rule_of_3},
};

/// False match rates for which a threshold is sought.
const FMR_TARGETS: [f64; 5] = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
/// False-positive identification rates for which a threshold is sought.
const FPIR_TARGETS: [f64; 5] = [0.1, 0.03, 0.01, 0.003, 0.001];

/// Everything that one evaluation can say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Name of the data set.
    pub data_set: String,
    /// Completed genuine comparisons.
    pub genuine: u64,
    /// Completed impostor comparisons.
    pub impostor: u64,
    /// Comparisons that could not be made.
    pub lost: Lost,
    /// Thresholds that this sample gives for a false match rate.
    pub at_fmr: Vec<TargetRow>,
    /// What this sample measures at the thresholds in use.
    pub in_use: Vec<InUseRow>,
    /// Where FMR and FNMR are equal; absent without comparisons of both kinds.
    pub equal_error: Option<EqualError>,
    /// The 1:N part, where one was run.
    pub identification: Option<IdentificationReport>,
}

/// A rate that was sought and the threshold that keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TargetRow {
    /// The rate sought: FMR, or FPIR for a search.
    pub target: f64,
    /// What the sample supports.
    pub support: Support,
    /// Trials that the rule of 3 asks for.
    pub trials_needed: u64,
    /// The threshold with its rates; absent where data are insufficient.
    pub found: Option<OperatingPoint>,
}

/// A threshold with the rates measured there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// Scores at or above it match.
    pub threshold: f64,
    /// FMR, or FPIR for a search.
    pub false_positive: MeasuredRate,
    /// FNMR, or FNIR for a search.
    pub false_negative: MeasuredRate,
}

/// A rate with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeasuredRate {
    /// Errors and trials.
    #[serde(flatten)]
    pub rate: Rate,
    /// The share; absent without a trial.
    pub value: Option<f64>,
    /// Wilson's 95 % interval; absent without a trial.
    pub interval_95: Option<[f64; 2]>,
}

/// A threshold in use, for example of the calibration, and what this sample says about it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct InUseRow {
    /// The FMR that it was chosen for, elsewhere.
    pub chosen_for_fmr: f64,
    /// The algorithm's rates here.
    pub point: OperatingPoint,
    /// False accept rate of the system: comparisons lost are in its trials.
    pub far: MeasuredRate,
    /// False reject rate of the system: comparisons lost are rejections.
    pub frr: MeasuredRate,
}

/// The 1:N part of a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IdentificationReport {
    /// Subjects in the gallery.
    pub gallery: u64,
    /// Completed searches of persons in the gallery.
    pub mated: u64,
    /// Completed searches of persons not in it.
    pub non_mated: u64,
    /// Searches that could not be made.
    pub lost: LostSearches,
    /// Thresholds that these searches give for a false-positive identification rate.
    pub at_fpir: Vec<TargetRow>,
    /// What they measure at the thresholds in use.
    pub in_use: Vec<OperatingPoint>,
}

impl Report {
    /// Draws up the report of `sample`, measured on `data_set`; `in_use` are thresholds with the
    /// FMR they were chosen for.
    #[must_use]
    pub fn new(
        data_set: &str,
        sample: &Sample,
        in_use: &[(f64, f64)],
        identification: Option<&Identification>,
    ) -> Self {
        let impostor = sample.impostor().len() as u64;
        let point = |threshold| OperatingPoint {
            threshold,
            false_positive: sample.fmr(threshold).into(),
            false_negative: sample.fnmr(threshold).into(),
        };
        let at_fmr = FMR_TARGETS
            .map(|fmr| TargetRow::new(fmr, impostor, sample.threshold_at_fmr(fmr).map(point)));
        let in_use_row = |&(chosen_for_fmr, threshold): &(f64, f64)| InUseRow {
            chosen_for_fmr,
            point: point(threshold),
            far: sample.far(threshold).into(),
            frr: sample.frr(threshold).into(),
        };
        Self {
            data_set: data_set.into(),
            genuine: sample.genuine().len() as u64,
            impostor,
            lost: sample.lost(),
            at_fmr: at_fmr.to_vec(),
            in_use: in_use.iter().map(in_use_row).collect(),
            equal_error: sample.equal_error(),
            identification: identification
                .map(|searches| IdentificationReport::new(searches, in_use)),
        }
    }
}

impl IdentificationReport {
    fn new(searches: &Identification, in_use: &[(f64, f64)]) -> Self {
        let point = |threshold| OperatingPoint {
            threshold,
            false_positive: searches.fpir(threshold).into(),
            false_negative: searches.fnir(threshold).into(),
        };
        let non_mated = searches.fpir(0.0).trials;
        let at_fpir = FPIR_TARGETS.map(|fpir| {
            TargetRow::new(fpir, non_mated, searches.threshold_at_fpir(fpir).map(point))
        });
        Self {
            gallery: searches.gallery(),
            mated: searches.fnir(0.0).trials,
            non_mated,
            lost: searches.lost(),
            at_fpir: at_fpir.to_vec(),
            in_use: in_use.iter().map(|&(_, threshold)| point(threshold)).collect(),
        }
    }
}

impl TargetRow {
    fn new(target: f64, trials: u64, found: Option<OperatingPoint>) -> Self {
        let (support, trials_needed) = (Support::of(target, trials), rule_of_3(target));
        Self { target, support, trials_needed, found }
    }
}

impl From<Rate> for MeasuredRate {
    fn from(rate: Rate) -> Self {
        Self { rate, value: rate.value(), interval_95: rate.interval_95() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Accuracy measured on {}", self.data_set)?;
        writeln!(
            f,
            "{} genuine and {} impostor comparisons; {} and {} more were lost to acquisition",
            self.genuine, self.impostor, self.lost.genuine, self.lost.impostor
        )?;
        match self.equal_error {
            Some(EqualError { rate, threshold }) => {
                writeln!(f, "EER {} % at threshold {threshold:.4}", Percent(rate))?;
            }
            None => writeln!(f, "EER: insufficient data")?,
        }
        writeln!(f, "\nThresholds for a false match rate, from this sample")?;
        table(f, "FMR", ["FMR", "FNMR"], &self.at_fmr, self.impostor, "impostor comparisons")?;
        if !self.in_use.is_empty() {
            writeln!(f, "\nThresholds in use, measured on this sample")?;
            writeln!(f, "  chosen for  threshold  {:28}{:28}{:10}FRR", "FMR", "FNMR", "FAR")?;
            for InUseRow { chosen_for_fmr, point, far, frr } in &self.in_use {
                let (fmr, fnmr) = (point.false_positive, point.false_negative);
                writeln!(
                    f,
                    "  {chosen_for_fmr:<12.0e}{:<11.4}{:28}{:28}{:10}{}",
                    point.threshold,
                    fmr.to_string(),
                    fnmr.to_string(),
                    far.share(),
                    frr.share()
                )?;
            }
        }
        if let Some(searches) = &self.identification {
            write!(f, "\n{searches}")?;
        }
        writeln!(f, "\nIntervals: 95 %, Wilson; comparisons that share a face are not independent.")
    }
}

impl fmt::Display for IdentificationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Identification in a gallery of {}: {} mated and {} non-mated searches; {} and {} more were \
             lost to acquisition",
            self.gallery, self.mated, self.non_mated, self.lost.mated, self.lost.non_mated
        )?;
        let rates = ["FPIR", "FNIR"];
        table(f, "FPIR", rates, &self.at_fpir, self.non_mated, "non-mated searches")?;
        for point in &self.in_use {
            writeln!(
                f,
                "  in use      {:<11.4}{:28}{}",
                point.threshold,
                point.false_positive.to_string(),
                point.false_negative
            )?;
        }
        Ok(())
    }
}

fn table(
    f: &mut fmt::Formatter<'_>,
    target: &str,
    [positive, negative]: [&str; 2],
    rows: &[TargetRow],
    trials: u64,
    what: &str,
) -> fmt::Result {
    writeln!(f, "  {target:12}threshold  {positive:28}{negative}")?;
    for row in rows {
        write!(f, "  {:<12}", row.target)?;
        match row.found {
            Some(point) => {
                let (positive, negative) = (point.false_positive, point.false_negative);
                write!(f, "{:<11.4}{:28}{negative}", point.threshold, positive.to_string())?;
                writeln!(f, "{}", if row.support == Support::Thin { "  (thin)" } else { "" })?;
            }
            None => {
                let needed = row.trials_needed;
                writeln!(f, "insufficient data: {trials} {what}, at least {needed} needed")?;
            }
        }
    }
    Ok(())
}

impl MeasuredRate {
    fn share(&self) -> String {
        self.value.map_or_else(|| "no trial".into(), |value| format!("{} %", Percent(value)))
    }
}

impl fmt::Display for MeasuredRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.value, self.interval_95) {
            (Some(value), Some([low, high])) => {
                write!(f, "{} % [{}, {}]", Percent(value), Percent(low), Percent(high))
            }
            _ => f.write_str("no trial"),
        }
    }
}

/// A share in per cent: two decimals, or three digits where it is small.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0 * 100.0;
        let zeros = if percent > 0.0 { -percent.log10().floor() } else { 0.0 };
        let decimals = (zeros.clamp(0.0, 6.0) as usize) + 2;
        write!(f, "{percent:.decimals$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(count: u32, offset: f64) -> Vec<f64> {
        (0..count).map(|i| offset + f64::from(i) / f64::from(count)).collect()
    }

    fn report() -> Report {
        let lost = Lost { genuine: 2, impostor: 1 };
        let sample = Sample::new(ramp(100, 0.7), ramp(4_000, 0.0), lost).expect("finite scores");
        let mated = [Some(0.9), Some(0.8), None];
        let lost = LostSearches { mated: 1, non_mated: 0 };
        let searches = Identification::new(3, &mated, ramp(50, 0.0), lost).expect("finite scores");
        Report::new("a ramp", &sample, &[(1e-4, 0.95)], Some(&searches))
    }

    #[test]
    fn the_table_shows_figures_and_says_where_there_are_none() {
        let text = report().to_string();
        for wanted in [
            "Accuracy measured on a ramp",
            "100 genuine and 4000 impostor comparisons; 2 and 1 more were lost to acquisition",
            "insufficient data: 4000 impostor comparisons, at least 30000 needed",
            "(thin)",
            "gallery of 3: 3 mated and 50 non-mated searches; 1 and 0 more were lost",
            "insufficient data: 50 non-mated searches, at least 300 needed",
            "Intervals: 95 %, Wilson",
        ] {
            assert!(text.contains(wanted), "{wanted} is missing from\n{text}");
        }
        assert_eq!(text.matches("insufficient data").count(), 3 + 4, "{text}");
    }

    #[test]
    fn rows_hold_what_the_sample_measures() {
        let report = report();
        let found = report.at_fmr[0].found.expect("1e-2 is supported");
        assert_eq!(found.false_positive.rate, Rate { errors: 40, trials: 4_000 });
        assert_eq!(found.false_negative.rate, Rate { errors: 29, trials: 100 });
        assert_eq!(report.at_fmr[0].support, Support::Sound);
        assert_eq!(report.at_fmr[1].support, Support::Thin);
        assert_eq!(report.at_fmr[2].found, None);
        let in_use = report.in_use[0];
        assert_eq!(in_use.point.false_negative.rate, Rate { errors: 25, trials: 100 });
        assert_eq!(in_use.frr.rate, Rate { errors: 27, trials: 102 });
        assert_eq!(in_use.far.rate, Rate { errors: 200, trials: 4_001 });
        let searches = report.identification.expect("a 1:N part");
        assert_eq!(searches.in_use[0].false_negative.rate, Rate { errors: 3, trials: 3 });
    }

    #[test]
    fn programs_read_the_same() {
        let json = serde_json::to_value(report()).expect("plain data");
        assert_eq!(json["data_set"], "a ramp");
        assert_eq!(json["lost"]["genuine"], 2);
        assert_eq!(json["at_fmr"][2]["support"], "insufficient");
        assert_eq!(json["at_fmr"][2]["trials_needed"], 30_000);
        assert!(json["at_fmr"][2]["found"].is_null());
        assert_eq!(json["in_use"][0]["point"]["false_negative"]["errors"], 25);
    }
}
