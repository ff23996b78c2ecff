//! `portcullis doctor`: what this machine has, and why something is not available.

mod keeping;

use std::{fs, net::TcpListener, path::Path, sync::Arc};

use serde::Serialize;

use super::{
    Config, ConfigError, Ended, Failure, Outcome, document_verify, models,
    tell::{Ink, Tell},
};
use crate::{
    appliance,
    backend::{Backend, FACTORIES, Plaintext, Wish},
    config::{AttackDetection, AttackDetectorName, Environment},
    document::authentication::StoreSummary,
    keys::process,
    model::defaults::{DETECTOR, EMBEDDER},
    time::{Clock, SystemClock},
    types::Hash256,
};

/// One thing that was looked at.
#[derive(Serialize)]
struct Finding {
    /// What.
    topic: &'static str,
    /// Which of its kind.
    name: String,
    /// Whether the appliance would run with it.
    ok: bool,
    /// What was found, or what to do.
    detail: String,
}

impl Finding {
    fn new(topic: &'static str, name: impl Into<String>, state: Result<String, String>) -> Self {
        let ok = state.is_ok();
        let detail = state.unwrap_or_else(|why| why);
        Self { topic, name: name.into(), ok, detail }
    }
}

pub(super) fn run(
    loaded: Result<Config, ConfigError>,
    environment: &Environment,
    tell: Tell,
) -> Outcome {
    let mut findings = Vec::new();
    findings.push(Finding::new(
        "configuration",
        "in force",
        loaded.as_ref().map(|_| "valid".to_owned()).map_err(ToString::to_string),
    ));
    let config = loaded.unwrap_or_default();
    backends(&config, &mut findings);
    processor(&mut findings);
    memory(&mut findings);
    model_files(&config, environment, &mut findings);
    attack_detector(&config, environment, &mut findings);
    trust(&config, &mut findings);
    places(&config, environment, &mut findings);
    keeping::look(&config, environment, &mut findings);
    if tell.json {
        tell.document(&findings);
    } else {
        for finding in &findings {
            let mark =
                if finding.ok { tell.ink(Ink::Good, "ok  ") } else { tell.ink(Ink::Care, "look") };
            tell.line(format!(
                "{mark} {:<14} {:<44} {}",
                finding.topic, finding.name, finding.detail
            ));
        }
    }
    let needed = ["configuration", "model", "audit", "engine", "documents", "gallery", "custodian"];
    match findings.iter().find(|finding| !finding.ok && needed.contains(&finding.topic)) {
        None => Ok(Ended::Done),
        Some(finding) => Err(Failure::new(format!(
            "the appliance would not start: {} {}: {}",
            finding.topic, finding.name, finding.detail
        ))),
    }
}

fn backends(config: &Config, findings: &mut Vec<Finding>) {
    for factory in FACTORIES {
        let wish = Wish { threads: 1, gives_way: false, ..appliance::wish(config, true) };
        let made = (factory.make)(&wish);
        let state = made
            .map(|backend| {
                let held = backend.describe();
                let missing = held.missing.join(", ");
                let missing =
                    if missing.is_empty() { String::new() } else { format!("; missing {missing}") };
                format!("{}, {}{missing}", held.device, held.detail)
            })
            .map_err(|unavailable| unavailable.why);
        findings.push(Finding::new("backend", factory.name, state));
    }
    let chosen = appliance::on_engine(config, |backend| Ok(Arc::clone(backend)));
    let told = |backend: &Arc<dyn Backend>| {
        let held = backend.describe();
        format!("{} with {} threads", held.name, held.threads)
    };
    let state = chosen.as_ref().map(told).map_err(ToString::to_string);
    findings.push(Finding::new("engine", "chosen by engine.name", state));
    let searches = chosen
        .and_then(|backend| appliance::search_engine(config, backend))
        .map(|engine| {
            let held = engine.describe();
            let kept = match held.plaintext {
                Plaintext::Host => "locked memory of this process",
                Plaintext::Device => "the device's memory",
            };
            format!("{}; keeps galleries of the locked residency in {kept}", held.device)
        })
        .map_err(|error| error.to_string());
    findings.push(Finding::new("engine", "chosen by engine.search", searches));
}

fn processor(findings: &mut Vec<Finding>) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let detail = format!("{threads} threads, {}", features());
    findings.push(Finding::new("processor", std::env::consts::ARCH, Ok(detail)));
}

#[cfg(target_arch = "x86_64")]
fn features() -> String {
    let known = [
        ("sse4.2", std::is_x86_feature_detected!("sse4.2")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("fma", std::is_x86_feature_detected!("fma")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ("avx512bw", std::is_x86_feature_detected!("avx512bw")),
        ("avx512vnni", std::is_x86_feature_detected!("avx512vnni")),
    ];
    let names: Vec<_> = known.iter().map(|(name, on)| format!("{name} {}", yes(*on))).collect();
    names.join(", ")
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> String {
    "features are told by the backend".to_owned()
}

#[cfg(target_arch = "x86_64")]
fn yes(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

fn memory(findings: &mut Vec<Finding>) {
    let told = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = told.lines().find(|line| line.starts_with(name))?;
        Some(line.split_whitespace().skip(1).collect::<Vec<_>>().join(" "))
    };
    let held = match (field("MemTotal:"), field("MemAvailable:")) {
        (Some(total), Some(available)) => Ok(format!("{total}, {available} available")),
        _ => Err("this system does not tell (/proc/meminfo)".to_owned()),
    };
    findings.push(Finding::new("memory", "total", held));
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let locked = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"));
    let locked = locked.map(|rest| rest.split_whitespace().next().unwrap_or_default().to_owned());
    let locked = locked.map(|bytes| format!("{bytes} bytes may be locked (soft limit)"));
    let unknown = || "this system does not tell (/proc/self/limits)".to_owned();
    findings.push(Finding::new("memory", "locked", locked.ok_or_else(unknown)));
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let state = if swaps.lines().count() > 1 {
        Err("on: pages with faces may reach a disk; switch it off or encrypt it".to_owned())
    } else {
        Ok("off".to_owned())
    };
    findings.push(Finding::new("memory", "swap", state));
    findings.push(Finding::new("memory", "core dumps", core_dumps()));
}

/// Whether this process could be dumped or read by another; every verb begins by switching it off.
fn core_dumps() -> Result<String, String> {
    match process::exposure() {
        Ok(exposure) if exposure.is_none() => {
            Ok("off, and no other process of this user can attach".to_owned())
        }
        Ok(exposure) => Err(format!("possible: {exposure:?}")),
        Err(error) => Err(error.to_string()),
    }
}

fn model_files(config: &Config, environment: &Environment, findings: &mut Vec<Finding>) {
    let configured = [&config.models.detector, &config.models.embedder];
    for (model, configured) in [&DETECTOR, &EMBEDDER].into_iter().zip(configured) {
        if configured.as_os_str().is_empty() {
            let state = models::state(model, environment).map_err(|lacking| lacking.why);
            let detail = state.map(|()| format!("as published, sha256 {}", model.sha256));
            findings.push(Finding::new("model", model.file, detail));
            continue;
        }
        let read = fs::read(configured).map_err(|error| error.to_string());
        let state = read.map(|bytes| format!("sha256 {}", Hash256::of(&bytes)));
        findings.push(Finding::new("model", configured.display().to_string(), state));
    }
}

/// Presentation attack detection: which networks, and whether they are the expected ones.
fn attack_detector(config: &Config, environment: &Environment, findings: &mut Vec<Finding>) {
    if config.attack.detector == AttackDetectorName::None {
        let state = match config.policy.attack_detection {
            AttackDetection::NotRequired => Ok("none; not required either".to_owned()),
            AttackDetection::Required => {
                Err("none: no gate opens here unless its lane names a detector; set \
                     attack.detector"
                    .to_owned())
            }
        };
        findings.push(Finding::new("attack", "attack.detector", state));
        return;
    }
    match appliance::models::attack_files(&config.attack, environment) {
        Err(error) => {
            findings.push(Finding::new("model", "attack.detector", Err(error.to_string())))
        }
        Ok(files) => {
            for file in files {
                let name = file.path.display().to_string();
                let known = if file.expected.is_some() { "as expected" } else { "not pinned" };
                let state = file.read().map_err(|error| error.to_string());
                let state = state.map(|bytes| format!("{known}, sha256 {}", Hash256::of(&bytes)));
                findings.push(Finding::new("model", name, state));
            }
        }
    }
    let lowered = appliance::models::AttackModels::load(&config.attack, environment);
    let state = lowered.and_then(|models| models.detector()).map_err(|error| error.to_string());
    let state = state.map(|detector| {
        let networks = detector.map_or(0, |held| held.networks());
        let threshold = config.policy.attack_threshold;
        format!("{networks} networks, suspected from a score of {threshold}")
    });
    findings.push(Finding::new("model", "attack.detector", state));
}

/// Country certificates: how many, which end soon, how old the revocation lists are.
fn trust(config: &Config, findings: &mut Vec<Finding>) {
    let path = &config.documents.trust_store;
    if path.as_os_str().is_empty() {
        let why = "none: no document can be authenticated; set documents.trust_store".to_owned();
        findings.push(Finding::new("trust store", "documents.trust_store", Err(why)));
        return;
    }
    let name = path.display().to_string();
    match appliance::trust::trust_store([path.as_path()]) {
        Err(error) => findings.push(Finding::new("documents", name, Err(error.to_string()))),
        Ok(store) => {
            let summary = store.summary(SystemClock::start().civil_s());
            findings.push(Finding::new("trust store", name.as_str(), anchors(&summary)));
            findings.push(Finding::new("trust store", "revocation lists", lists(&summary)));
        }
    }
}

fn anchors(held: &StoreSummary) -> Result<String, String> {
    let next = held.next_expiry_s.map_or_else(|| "never".to_owned(), document_verify::day);
    let told = format!(
        "{} certificates of {} countries, {} expired, the next on {next}; not used: {} that are no \
         authority, {} not understood, {} with nothing trusted behind them, {} master lists",
        held.anchors,
        held.countries,
        held.expired,
        held.refused.not_authorities,
        held.refused.unusable,
        held.refused.unlinked,
        held.refused.master_lists,
    );
    if held.anchors == held.expired { Err(told) } else { Ok(told) }
}

fn lists(held: &StoreSummary) -> Result<String, String> {
    let oldest = held.oldest_list_s.map_or_else(|| "none".to_owned(), document_verify::day);
    let told = format!(
        "{} in use, the oldest of {oldest}; {} past their next update, {} that clear nobody as they \
         say more than is understood, {} not usable",
        held.lists, held.lists_stale, held.lists_unusable, held.refused.lists
    );
    let faults = held.lists_stale + held.lists_unusable + held.refused.lists;
    let sound = held.lists > 0 && faults == 0;
    if sound { Ok(told) } else { Err(told) }
}

fn places(config: &Config, environment: &Environment, findings: &mut Vec<Finding>) {
    let audit = appliance::audit_path(config, environment);
    let (name, state) = match audit {
        Ok(path) => (path.display().to_string(), writable(&path)),
        Err(error) => ("audit.path".to_owned(), Err(error.to_string())),
    };
    findings.push(Finding::new("audit", name, state));
    let listen = config.server.listen;
    let free = TcpListener::bind(listen).map(|_| "free".to_owned());
    let free = free.map_err(|error| format!("{error}; `serve` could not listen there now"));
    findings.push(Finding::new("port", listen.to_string(), free));
}

/// Whether the audit could be appended to, without making it.
fn writable(path: &Path) -> Result<String, String> {
    if path.exists() {
        let opened = fs::OpenOptions::new().append(true).open(path);
        return opened.map(|_| "can be appended to".to_owned()).map_err(|error| error.to_string());
    }
    let existing = path.ancestors().skip(1).find(|folder| folder.exists());
    let folder = existing.ok_or_else(|| "no folder above it exists".to_owned())?;
    let held = fs::metadata(folder).map_err(|error| error.to_string())?;
    if held.permissions().readonly() {
        return Err(format!("{} cannot be written; set audit.path", folder.display()));
    }
    Ok("will be made".to_owned())
}
