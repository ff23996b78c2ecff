//! What ships beside the binary: Prometheus rules, the Grafana dashboard, the systemd unit. Each is
//! held against what the appliance really exposes, and read by the program that it is meant for.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use portcullis::limits::{DRAIN_GRACE_MS, LANE_STOP_MS, LAST_MS_MAX, STOP_MS_MAX};
use serde_json::Value;

use crate::{
    common,
    telemetry::{Families, exercised, families, program, shown},
};

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

fn text(file: &str) -> String {
    let path = deploy(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every expression of the dashboard: panels, annotations, variables.
pub(crate) fn dashboard_expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&text("grafana/portcullis.json")).expect("JSON");
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    assert!(found.len() > 20, "a dashboard of {} expressions", found.len());
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match (name.as_str(), field) {
                    ("expr", Value::String(expression)) => found.push(expression.clone()),
                    _ => collect(field, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

/// The expressions of a file of rules, and the names that it records.
fn rules(file: &str) -> (String, BTreeSet<String>) {
    let text = text(file);
    let recorded = |line: &str| Some(line.trim().strip_prefix("- record: ")?.to_owned());
    let records = text.lines().filter_map(recorded).collect();
    (text, records)
}

/// Names of metrics in `text`, without those that a rule records.
fn named(text: &str, recorded: &BTreeSet<String>) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.split(|c: char| !is_name(c))
        .filter(|word| word.contains("portcullis_") && !recorded.contains(*word))
        .map(|word| {
            let endings = ["_bucket", "_count", "_sum"];
            endings.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()
        })
        .collect()
}

/// `label="value"`, `label!~"one|two"`: what selectors of `text` ask for.
fn selected(text: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('"') {
        let before = text[..at].trim_end_matches(['~', '=', '!']);
        if before.len() == at {
            continue;
        }
        let label: String = before
            .chars()
            .rev()
            .take_while(|c| c.is_ascii_lowercase() || *c == '_')
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect();
        let value = text[at + 1..].split('"').next().unwrap_or_default();
        found.push((label, value.split('|').map(str::to_owned).collect()));
    }
    found
}

/// Values of a label over all families; none for a label whose values are open.
fn values<'a>(families: &'a Families, label: &str) -> Option<BTreeSet<&'a str>> {
    let closed = ["stage", "lane_kind", "percentile", "outcome", "fate", "reason", "part", "state"];
    closed.contains(&label).then(|| {
        let labels = families.values().filter_map(|(_, labels)| labels.get(label));
        labels.flatten().map(String::as_str).collect()
    })
}

fn check(what: &str, text: &str, recorded: &BTreeSet<String>) {
    let families = families(&exercised().expose(0));
    for name in named(text, recorded) {
        assert!(families.contains_key(&name), "{what} names `{name}`, which is not declared");
    }
    for (label, asked) in selected(text) {
        let Some(values) = values(&families, &label) else { continue };
        for value in asked {
            assert!(values.contains(value.as_str()), "{what}: no {label} is `{value}`: {values:?}");
        }
    }
}

#[test]
fn the_dashboard_names_what_is_exposed() {
    for expression in dashboard_expressions() {
        assert!(!named(&expression, &BTreeSet::new()).is_empty() || expression.contains("up{"));
        check("the dashboard", &expression, &BTreeSet::new());
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let shown = dashboard_expressions().join(" ");
    for name in families(&exercised().expose(0)).keys() {
        assert!(shown.contains(name.as_str()), "`{name}` is on no panel");
    }
}

#[test]
fn the_rules_name_what_is_exposed() {
    let (recording, recorded) = rules("prometheus/recording.yml");
    assert!(recorded.len() >= 5, "{recorded:?}");
    check("recording.yml", &recording, &recorded);
    check("alerts.yml", &rules("prometheus/alerts.yml").0, &recorded);
}

#[test]
fn a_camera_that_films_nobody_loses_nothing() {
    let (recording, _) = rules("prometheus/recording.yml");
    for text in dashboard_expressions().into_iter().chain([recording]) {
        for (at, _) in text.match_indices("reason!") {
            let kept = &text[at..];
            assert!(
                kept.starts_with("reason!~\"newer|cancelled|no-traveller\""),
                "another share of lost frames than everywhere else: {kept}"
            );
        }
    }
}

#[test]
fn every_alert_has_a_test_in_which_it_fires() {
    let (alerts, _) = rules("prometheus/alerts.yml");
    let tests = text("prometheus/tests.yml");
    let names = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for name in names {
        let fires = tests.split("alertname: ").skip(1).any(|rest| {
            let own = rest.split("alertname: ").next().unwrap_or_default();
            rest.starts_with(name) && own.contains("exp_alerts:")
        });
        assert!(fires, "{name}: no test in deploy/prometheus/tests.yml lets it fire");
    }
}

#[test]
fn promtool_accepts_configuration_and_rules_and_their_tests_pass() {
    let test = "promtool_accepts_configuration_and_rules_and_their_tests_pass";
    let Some(promtool) = program(test, "promtool") else { return };
    for (arguments, file) in [
        (["check", "config"], "prometheus/prometheus.yml"),
        (["check", "rules"], "prometheus/recording.yml"),
        (["check", "rules"], "prometheus/alerts.yml"),
        (["test", "rules"], "prometheus/tests.yml"),
    ] {
        let output = Command::new(&promtool).args(arguments).arg(deploy(file)).output();
        let output = output.expect("promtool starts");
        assert!(output.status.success(), "{arguments:?} {file}: {}", shown(&output));
    }
}

/// The unit, with the binary of this build in its place.
fn unit(folder: &Path) -> PathBuf {
    let unit = text("systemd/portcullis.service");
    let installed = "/usr/local/bin/portcullis";
    assert!(unit.contains(installed), "the unit names the installed binary");
    let path = folder.join("portcullis.service");
    fs::write(&path, unit.replace(installed, env!("CARGO_BIN_EXE_portcullis"))).expect("written");
    path
}

#[test]
fn the_unit_has_more_patience_than_stopping_takes() {
    let unit = text("systemd/portcullis.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec="));
    let patience_s: u64 = line.expect("the unit sets it").parse().expect("seconds");
    let longest_ms = STOP_MS_MAX + DRAIN_GRACE_MS + LANE_STOP_MS + LAST_MS_MAX;
    assert!(patience_s * 1_000 > longest_ms, "killed before keys are zeroed");
}

#[test]
fn systemd_understands_the_unit() {
    let test = "systemd_understands_the_unit";
    let folder = tempfile::tempdir().expect("a folder");
    let unit = unit(folder.path());
    let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&unit).output() else {
        return common::skip(test, "systemd", "there is no systemd-analyze");
    };
    // Other units of the machine may have faults of their own.
    let told = shown(&output);
    let ours: Vec<&str> = told.lines().filter(|line| line.contains("portcullis")).collect();
    assert!(ours.is_empty() && output.status.success(), "{told}");
}

#[test]
fn the_unit_leaves_little_open() {
    let test = "the_unit_leaves_little_open";
    let folder = tempfile::tempdir().expect("a folder");
    let unit = unit(folder.path());
    let asked = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(&unit)
        .output();
    let Ok(output) = asked else {
        return common::skip(test, "systemd", "there is no systemd-analyze");
    };
    let told = shown(&output);
    if told.contains("unrecognized option") {
        return common::skip(test, "systemd", "this systemd-analyze rates no files");
    }
    // The exposure is in tenths: 20 is what systemd calls OK, 96 an unconfined service.
    assert!(output.status.success(), "{told}");
}
