//! The same verifications by a Python server (FastAPI, OpenCV, onnxruntime, the same two models),
//! on the same machine, in the same run, in turn. bench/peers/verify_server.py is what it runs;
//! its packages are pinned beside it.
//!
//! Before anybody is timed both must find the same similarity for every pair of photographs, and
//! must decide each pair rightly. The peer may choose: it is run with each setting of processes and
//! threads that is asked for, and its best one counts.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use clap::Args;
use portcullis::{
    config::Environment,
    model::defaults,
    time::{Clock, SystemClock},
};
use serde_json::{Value, json};

use super::{
    Wrong,
    ask::{Asked, Fate},
    drive,
    machine::Machine,
    mix::What,
    own::{self, Driven, Needs, Where},
};
use crate::served::{ask, median_us};

/// What the README promises.
const RATIO_MIN: f64 = 2.0;
/// Most difference of two similarities of the same pair.
const SIMILARITY_GAP_MAX: f64 = 0.02;
/// Longest wait for the peer to import and load.
const READY_US_MAX: u64 = 120_000_000;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Where,
    /// A Python with bench/peers/verify-requirements.txt installed.
    #[arg(long, value_name = "FILE")]
    python: PathBuf,
    /// Settings of the peer: processes x threads of each.
    #[arg(long, value_delimiter = ',', default_values_t = ["1x2".to_owned(), "2x1".to_owned()])]
    settings: Vec<String>,
    /// Turns of each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each turn.
    #[arg(long = "for", default_value_t = 10.0, value_name = "SECONDS")]
    seconds: f64,
    /// Requests at once.
    #[arg(long, default_value_t = 8)]
    at_once: usize,
    /// Where the figures are written, as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Short turns, not held to the promise: proves that the measurement works.
    #[arg(long)]
    smoke: bool,
}

/// A running peer; it ends when it is dropped.
struct Peer {
    process: Child,
    address: SocketAddr,
    setting: String,
}

impl Peer {
    fn start(asked: &Arguments, setting: &str) -> Result<Self, Wrong> {
        let (processes, threads) = setting
            .split_once('x')
            .ok_or_else(|| format!("{setting} is not PROCESSESxTHREADS, such as 1x2"))?;
        let cache = Environment::of_process().cache_folder()?.join("models");
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/verify_server.py");
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let process = Command::new(&asked.python)
            .arg(script)
            .args(["--port", &address.port().to_string()])
            .args(["--processes", processes, "--threads", threads])
            .arg("--detector")
            .arg(cache.join(defaults::DETECTOR.file))
            .arg("--embedder")
            .arg(cache.join(defaults::EMBEDDER.file))
            .env("PYTHONDONTWRITEBYTECODE", "1") // nothing is left beside the script
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", asked.python.display()))?;
        let mut peer = Self { process, address, setting: setting.to_owned() };
        let clock = SystemClock::start();
        while !ask(address, "GET", "/readyz", &[], &[]).is_ok_and(|answer| answer.status == 200) {
            if let Some(status) = peer.process.try_wait()? {
                return Err(format!("the peer ended: {status}; its complaint stands above").into());
            }
            if clock.monotonic_us() > READY_US_MAX {
                return Err("the peer is not ready".into());
            }
            thread::park_timeout(Duration::from_millis(50));
        }
        Ok(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Its worker processes end with it: asked politely first, so that it can tell them.
        let asked = Command::new("kill").arg(self.process.id().to_string()).status();
        if asked.is_ok_and(|status| status.success()) {
            drop(self.process.wait());
        } else {
            drop(self.process.kill());
            drop(self.process.wait());
        }
    }
}

/// The similarity of every pair, one after the other.
fn similarities(driven: &Driven) -> Result<Vec<f64>, Wrong> {
    let mut found = Vec::new();
    for pair in driven.questions.pairs() {
        let (answer, asked) = driven.questions.send(What::Verify, 0);
        let answer = answer?;
        let document: Value = serde_json::from_slice(&answer.body)?;
        let similarity = document["comparisons"][0]["similarity"].as_f64();
        let Asked::Pair(_) = asked else { return Err("another question was sent".into()) };
        let said = driven.questions.read(Ok(answer), asked);
        if said.fate != Fate::Answered || said.wrong {
            return Err(format!("a pair (genuine: {}) came to {document}", pair.genuine).into());
        }
        found.push(similarity.ok_or("an answer holds no similarity")?);
    }
    Ok(found)
}

/// Runs both in turn; true when the promise holds, or is not asked for.
///
/// # Errors
/// When one of them does not start or answer, or they do not agree.
pub(crate) fn run(asked: &Arguments) -> Result<bool, Wrong> {
    let ours = own::drive(&asked.place, Needs::default())?;
    let peers: Vec<Peer> = asked
        .settings
        .iter()
        .map(|setting| Peer::start(asked, setting))
        .collect::<Result<_, Wrong>>()?;
    let mut driven = vec![("portcullis".to_owned(), ours)];
    for peer in &peers {
        let place = asked.place.peer_at(peer.address);
        driven.push((format!("python {}", peer.setting), own::drive(&place, Needs::default())?));
    }
    let expected = similarities(&driven[0].1)?;
    let mut gap_max = 0.0_f64;
    for (name, other) in &driven[1..] {
        for (ours, theirs) in expected.iter().zip(similarities(other)?) {
            gap_max = gap_max.max((ours - theirs).abs());
            if gap_max > SIMILARITY_GAP_MAX {
                return Err(format!(
                    "{name} finds {theirs} where we find {ours}: not the same work"
                )
                .into());
            }
        }
    }
    let (rounds, seconds) = if asked.smoke { (1, 1.0) } else { (asked.rounds, asked.seconds) };
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); driven.len()];
    let mut took: Vec<Vec<u64>> = vec![Vec::new(); driven.len()];
    for _ in 0..rounds {
        for (at, (_, one)) in driven.iter().enumerate() {
            let (rate, us) = drive::saturate(&one.questions, What::Verify, asked.at_once, seconds);
            rates[at].push(rate);
            took[at].extend(us);
        }
    }
    report(asked, &driven, rates, took, gap_max)
}

fn report(
    asked: &Arguments,
    driven: &[(String, Driven)],
    mut rates: Vec<Vec<f64>>,
    mut took: Vec<Vec<u64>>,
    gap_max: f64,
) -> Result<bool, Wrong> {
    let machine = Machine::here();
    println!("{}", machine.line());
    println!("similarities differ by {gap_max:.4} at most");
    // Whoever decided a pair wrongly was not timed at all.
    let pairs = driven[0].1.questions.pairs().len();
    println!(
        "accuracy: 0 wrong of {pairs} pairs of photographs, by each, before anybody was timed"
    );
    let mut rows = Vec::new();
    for (at, (name, one)) in driven.iter().enumerate() {
        rates[at].sort_by(f64::total_cmp);
        let per_s = rates[at][rates[at].len() / 2];
        let p50 = median_us(&mut took[at]) as f64 / 1e3;
        println!("  {name:<14} {per_s:>8.2} verifications per second   p50 {p50:>8.2} ms");
        rows.push(json!({
            "name": name, "perSecond": per_s, "rounds": rates[at], "msP50": p50,
            "version": one.version,
        }));
    }
    let per_s = |row: &Value| row["perSecond"].as_f64().unwrap_or(0.0);
    let best = rows[1..].iter().map(per_s).fold(0.0, f64::max);
    let ratio = per_s(&rows[0]) / best;
    println!("  ratio to the best of the peer {ratio:.2}   (promised: at least {RATIO_MIN})");
    if let Some(out) = &asked.out {
        let document = json!({
            "machine": machine, "atOnce": asked.at_once, "rows": rows, "ratio": ratio,
            "similarityGapMax": gap_max, "accuracy": { "pairs": pairs, "wrongDecisions": 0 },
        });
        fs::write(out, serde_json::to_string_pretty(&document)? + "\n")?;
    }
    Ok(asked.smoke || ratio >= RATIO_MIN)
}
