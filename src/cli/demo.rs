//! `portcullis demo`: the whole appliance on one machine, with nobody's data but a few photographs.
//!
//! A gallery of synthetic templates and one enrolled real face; lane A, where the passport photo is
//! the traveller's; lane B, where it is somebody else's; and a search of the enrolled face. All of
//! them go through the API on loopback, as a gate controller's would.

mod board;
mod people;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};
use tokio::{sync::mpsc, time::MissedTickBehavior};

use super::{
    Ended, Failure, Outcome, Scene,
    client::{Client, Form},
    local, models,
    serve::{Host, told_to_stop},
    tell::{Ink, Tell},
};
use crate::{
    appliance::Appliance,
    config::{AttackChoice, AttackDetection, EngineName, Server, SiteChoice},
    gallery::{Gallery, synthetic},
    meter::{Meter, Stage},
    time::Clock,
};
use board::{Board, Event};
use people::People;

/// The gallery's name.
const GALLERY: &str = "demo";
/// Seed of the synthetic templates: the same gallery on every machine.
const SEED: u64 = 1;

/// Options.
#[derive(Args)]
pub(super) struct Arguments {
    /// Photographs of your own, named by person: anna1.jpg, anna2.jpg, ben.jpg. Needed are two of
    /// one person and one of another.
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    /// Stop by itself after so many seconds.
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Travellers per second on each lane.
    #[arg(long, default_value_t = 1.0, value_name = "PER_SECOND")]
    rate: f64,
    /// Synthetic templates in the gallery.
    #[arg(long, default_value_t = 100_000, value_name = "COUNT")]
    rows: u64,
    /// Who computes, instead of the configured one.
    #[arg(long)]
    engine: Option<EngineArgument>,
    /// Address and port of the API on this machine, instead of the configured ones.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

/// As `engine.name` in the configuration.
#[derive(Clone, Copy, ValueEnum)]
enum EngineArgument {
    Auto,
    Cpu,
    Cuda,
    Reference,
    Wgpu,
}

/// One of the three streams of requests.
#[derive(Clone)]
struct Lane {
    name: &'static str,
    path: String,
    fields: Vec<(&'static str, Arc<Vec<u8>>)>,
}

pub(super) fn run(arguments: &Arguments, scene: &mut Scene<'_>) -> Outcome {
    if !(arguments.rate > 0.0 && arguments.rate <= 100.0) {
        return Err(Failure::new("--rate takes more than 0 and at most 100 travellers per second"));
    }
    let folder = match &arguments.photos {
        Some(folder) => folder.clone(),
        None => models::photos_folder(scene.environment)?,
    };
    let people = People::of(&folder, arguments.photos.is_some())?;
    adapt(arguments, scene);
    let world = local::world();
    let (meter, clock) = (Arc::clone(&world.meter), Arc::clone(&world.clock));
    let tell = scene.tell;
    let host = Host::open(scene, world, |appliance| fill(appliance, arguments.rows, tell))?;
    let address = host.address;
    enrol(address, &people)?;
    introduce(address, arguments.rows, &people, tell);
    let lanes = lanes(&people)?;
    let period = Duration::from_secs_f64(1.0 / arguments.rate);
    let seconds = arguments.seconds;
    let board = host.run(replay(address, lanes, period, seconds, clock, tell))?;
    conclude(&board, &meter, tell);
    board.verdict()
}

fn adapt(arguments: &Arguments, scene: &mut Scene<'_>) {
    // A demonstration leaves nothing behind, opens nothing that is not its own, and is no site.
    scene.config.gallery = local::in_memory();
    scene.config.site = SiteChoice::default();
    scene.config.lane = Vec::new();
    let listen = scene.config.server.listen;
    scene.config.server = Server::default();
    if listen.ip().is_loopback() {
        scene.config.server.listen = listen;
    }
    // Its travellers are photographs, which a detector would rightly suspect; with the duty to
    // detect attacks and without a detector nobody would be admitted.
    scene.config.attack = AttackChoice::default();
    scene.config.policy.attack_detection = AttackDetection::NotRequired;
    if let Some(listen) = arguments.listen {
        scene.config.server.listen = listen;
    }
    match arguments.engine {
        Some(EngineArgument::Auto) => scene.config.engine.name = EngineName::Auto,
        Some(EngineArgument::Cpu) => scene.config.engine.name = EngineName::Cpu,
        Some(EngineArgument::Cuda) => scene.config.engine.name = EngineName::Cuda,
        Some(EngineArgument::Reference) => scene.config.engine.name = EngineName::Reference,
        Some(EngineArgument::Wgpu) => scene.config.engine.name = EngineName::Wgpu,
        None => {}
    }
}

fn fill(appliance: &Appliance, rows: u64, tell: Tell) -> Result<(), Failure> {
    let calibration = appliance.calibration();
    let gallery = Gallery::in_memory(calibration.kind(), calibration.layout());
    let bar = tell.progress("synthetic gallery", rows);
    synthetic::fill(&gallery, calibration, rows, SEED, &mut |done| bar.set_position(done))?;
    bar.finish_and_clear();
    Ok(appliance.install(GALLERY.parse()?, gallery)?)
}

fn enrol(address: SocketAddr, people: &People) -> Result<(), Failure> {
    let form = Form::new().text("purpose", "evaluation").file("image", &read(&people.passport)?);
    Client::at(address).post_form(&format!("/v1/galleries/{GALLERY}/subjects"), form)?;
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    Ok(local::image(path)?.bytes().to_vec())
}

fn lanes(people: &People) -> Result<Vec<Lane>, Failure> {
    let passport = Arc::new(read(&people.passport)?);
    let holder = Arc::new(read(&people.holder)?);
    let other = Arc::new(read(&people.other)?);
    let verify = |name, probe: &Arc<Vec<u8>>| Lane {
        name,
        path: "/v1/verify".to_owned(),
        fields: vec![("probe", Arc::clone(probe)), ("reference", Arc::clone(&passport))],
    };
    let search = Lane {
        name: "search",
        path: format!("/v1/galleries/{GALLERY}/identify"),
        fields: vec![("probe", Arc::clone(&holder))],
    };
    Ok(vec![verify("lane A", &holder), verify("lane B", &other), search])
}

/// Sends every lane's travellers, each when the one before has been answered, until it is enough.
async fn replay(
    address: SocketAddr,
    lanes: Vec<Lane>,
    period: Duration,
    seconds: Option<u64>,
    clock: Arc<dyn Clock>,
    tell: Tell,
) -> Board {
    let (sender, mut events) = mpsc::channel(64);
    for lane in lanes {
        tokio::spawn(travel(address, lane, period, Arc::clone(&clock), sender.clone()));
    }
    drop(sender);
    let mut board = Board::new(tell);
    let enough = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(enough);
    let told = told_to_stop();
    tokio::pin!(told);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => board.take(event),
                None => return board,
            },
            () = &mut enough => return board,
            () = &mut told => return board,
        }
    }
}

async fn travel(
    address: SocketAddr,
    lane: Lane,
    period: Duration,
    clock: Arc<dyn Clock>,
    events: mpsc::Sender<Event>,
) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (lane_now, clock) = (lane.clone(), Arc::clone(&clock));
        let asked = tokio::task::spawn_blocking(move || ask(address, &lane_now, &*clock));
        let Ok(event) = asked.await else { return };
        if events.send(event).await.is_err() {
            return; // the board is gone: it is enough
        }
    }
}

fn ask(address: SocketAddr, lane: &Lane, clock: &dyn Clock) -> Event {
    let mut form = Form::new().text("purpose", "evaluation");
    for (name, bytes) in &lane.fields {
        form = form.file(name, bytes);
    }
    let began_us = clock.monotonic_us();
    let answer = Client::at(address).post_form(&lane.path, form);
    let took_us = clock.monotonic_us().saturating_sub(began_us);
    Event { lane: lane.name, at_us: began_us, took_us, answer: answer.map_err(|e| e.to_string()) }
}

fn introduce(address: SocketAddr, rows: u64, people: &People, tell: Tell) {
    if tell.json {
        return;
    }
    let quoted = |path: &Path| format!("'@{}'", path.display().to_string().replace('\'', r"'\''"));
    let (holder, passport) = (quoted(&people.holder), quoted(&people.passport));
    let (holder, passport) = (field("probe", &holder), field("reference", &passport));
    let heading = |text: &str| tell.ink(Ink::Bold, text);
    tell.line(format!("{} http://{address}", heading("Portcullis runs at")));
    tell.line(format!("  gallery {GALLERY}: {rows} synthetic templates and one real face"));
    tell.line("  lane A: the passport photo is the traveller's; lane B: it is somebody else's");
    tell.line(tell.ink(
        Ink::Care,
        "  No presentation attack detection is configured here: outcomes are a demonstration, and \
         an\n  eGate would refer every traveller.",
    ));
    tell.line(heading("Try, in another terminal:"));
    tell.line(format!(
        "  curl -s http://{address}/v1/verify -F purpose=evaluation {holder} {passport}"
    ));
    tell.line(format!(
        "  curl -s http://{address}/v1/galleries/{GALLERY}/identify -F purpose=evaluation {holder}"
    ));
    tell.line(format!("  curl -s http://{address}/openapi.json    (every route)"));
    tell.line(format!("  curl -s http://{address}/metrics         (latencies, outcomes)"));
    tell.line(heading("Ctrl-C stops."));
    tell.line("");
}

fn field(name: &str, quoted: &str) -> String {
    format!("-F {name}={quoted}")
}

fn conclude(board: &Board, meter: &Meter, tell: Tell) {
    let latency = meter.latency(Stage::Transaction);
    if tell.json {
        tell.line(serde_json::json!({
            "decisions": board.decisions(), "errors": board.errors(),
            "us_p50": latency.us_p50, "us_p99": latency.us_p99,
        }));
        return;
    }
    tell.line("");
    tell.line(format!(
        "stopped after {} decisions and {} errors; in the appliance: p50 {:.1} ms, p99 {:.1} ms",
        board.decisions(),
        board.errors(),
        latency.us_p50 as f64 / 1e3,
        latency.us_p99 as f64 / 1e3,
    ));
}

impl Board {
    fn verdict(&self) -> Outcome {
        match self.last_error() {
            Some(error) if self.decisions() == 0 => Err(Failure::new(error)),
            _ => Ok(Ended::Done),
        }
    }
}
