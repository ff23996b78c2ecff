//! What is driven: an appliance that runs already, or one of our own for the length of the
//! measurement, with a synthetic gallery; and the photographs that it is sent.

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, builder::RangedU64ValueParser, value_parser};
use portcullis::{
    appliance::{World, models, offline::Offline},
    config::{Config, Environment},
    gallery::synthetic,
    limits::DEADLINE_MS_DEFAULT,
    meter::Meter,
    random::SystemEntropy,
    time::SystemClock,
};
use serde_json::Value;

use super::{
    ask::{Material, Questions},
    target::Target,
};
use crate::{
    Wrong,
    finder::Finder,
    served::{Served, release_binary},
};

/// How many people a synthetic gallery may have: fewer are no work for a search, and a gallery has
/// room for more, but nobody waits until they are drawn.
pub(crate) fn people() -> RangedU64ValueParser<u64> {
    value_parser!(u64).range(1_000..=10_000_000)
}

/// Which appliance, and what it is sent.
#[derive(Debug, Clone, Args)]
pub(crate) struct Where {
    /// A running appliance, such as 127.0.0.1:8460; without it one of our own is started.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) server: Option<SocketAddr>,
    /// Speak TLS to it, and trust whom a certificate of this PEM file signed.
    #[arg(long, value_name = "FILE", requires = "server")]
    ca: Option<PathBuf>,
    /// The name in its certificate; without it, its address.
    #[arg(long, value_name = "NAME", requires = "ca")]
    server_name: Option<String>,
    /// File that holds the bearer token, where the appliance wants one.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The binary of our own appliance; without it, the `portcullis` beside this program.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Compute threads of our own appliance; 0 for one per core.
    #[arg(long, default_value_t = 0)]
    pub(crate) threads: usize,
    /// Photographs, named by person (anna1.jpg, anna2.jpg, ben.jpg); without it, those of `models
    /// fetch --photos`. Each is cut to 640 x 480 around its face.
    #[arg(long, value_name = "DIR")]
    photos: Option<PathBuf>,
    /// Send the photographs as they are.
    #[arg(long)]
    uncut: bool,
    /// The gallery that is searched, enrolled into and erased from.
    #[arg(long, default_value = "load", value_name = "NAME")]
    gallery: String,
    /// Synthetic people in the gallery of our own appliance, 1,000 to 10,000,000.
    #[arg(long, default_value_t = 10_000, value_name = "COUNT", value_parser = people())]
    pub(crate) rows: u64,
    /// What everything random is drawn from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Deadline of each request in milliseconds: it is told to the appliance, and an answer that
    /// comes after it, on the clock here and from when it was due, is late.
    #[arg(long, value_name = "MS", default_value_t = DEADLINE_MS_DEFAULT)]
    pub(crate) deadline_ms: u64,
    /// What the attack detector of the lanes' cameras would say of each frame, 0 to 1, for lanes of
    /// --server that name one; our own appliance's do, and hear 0.
    #[arg(long, value_name = "SCORE")]
    attack_score: Option<f32>,
    /// Most requests in flight.
    #[arg(long, default_value_t = 128)]
    pub(crate) workers: usize,
    /// Simulated lanes.
    #[arg(long, default_value_t = 4)]
    pub(crate) lanes: u16,
    /// Say nothing while it runs.
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl Where {
    /// The same questions to one that runs already.
    pub(crate) fn running_at(&self, address: SocketAddr) -> Self {
        Self { server: Some(address), ..self.clone() }
    }

    /// The same questions to a peer on this machine.
    pub(crate) fn peer_at(&self, address: SocketAddr) -> Self {
        Self { ca: None, server_name: None, ..self.running_at(address) }
    }

    /// The same questions in more of a hurry.
    pub(crate) fn within(&self, deadline_ms: u64) -> Self {
        Self { deadline_ms, ..self.clone() }
    }

    fn target(&self, address: SocketAddr) -> Result<Target, Wrong> {
        match &self.ca {
            None => Ok(address.into()),
            Some(ca) => Target::trusting(address, ca, self.server_name.as_deref()),
        }
    }
}

/// What is needed of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Needs {
    pub(crate) gallery: bool,
    pub(crate) lanes: bool,
}

/// An appliance with its questions.
pub(crate) struct Driven {
    pub(crate) questions: Questions,
    /// What it says of itself.
    pub(crate) version: Value,
    /// Our own; it ends with this.
    _served: Option<Served>,
}

/// Finds or starts the appliance and makes the questions.
///
/// # Errors
/// When it does not start, does not answer, or there are no two usable photographs.
pub(crate) fn drive(place: &Where, needs: Needs) -> Result<Driven, Wrong> {
    let photographs = photographs(place)?;
    let lanes: Vec<String> = (1..=place.lanes.max(1)).map(|lane| format!("lane-{lane}")).collect();
    let lanes = if needs.lanes { lanes } else { Vec::new() };
    let (served, address) = match place.server {
        Some(address) => (None, address),
        None => {
            let served = start(place, needs, &lanes)?;
            let address = served.address;
            (Some(served), address)
        }
    };
    let token = match &place.token_file {
        None => None,
        Some(path) => Some(read_text(path)?.trim().to_owned()),
    };
    let questions = Questions::of(&Material {
        target: place.target(address)?,
        token: token.as_deref(),
        deadline_ms: place.deadline_ms,
        // Of our own lanes' cameras it is known what stands before them: a person.
        attack_score: place.attack_score.or(served.is_some().then_some(0.0)),
        gallery: &place.gallery,
        photographs: &photographs,
        lanes: &lanes,
    });
    let answer = questions
        .target
        .ask("GET", "/v1/version", &questions.headers(), &[])
        .map_err(|error| format!("{address} does not answer: {error}"))?;
    let version = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    if answer.status != 200 {
        return Err(format!("{address}: /v1/version answered {}: {version}", answer.status).into());
    }
    if needs.gallery && served.is_some() {
        // Somebody whom a search should find; a gallery of somebody else's is left as it is.
        questions.settle()?;
    }
    Ok(Driven { questions, version, _served: served })
}

fn read_text(path: &Path) -> Result<String, Wrong> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Each photograph with the number of its person.
fn photographs(place: &Where) -> Result<Vec<(Vec<u8>, usize)>, Wrong> {
    let cache = Environment::of_process().cache_folder()?;
    let folder = place.photos.clone().unwrap_or_else(|| cache.join("photos"));
    let shown = folder.display();
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .map_err(|error| format!("{shown}: {error}: portcullis models fetch --photos"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension().is_some_and(|end| ["jpg", "jpeg", "png"].iter().any(|e| end == *e))
        })
        .collect();
    files.sort();
    let mut finder = if place.uncut { None } else { Some(Finder::load(&cache, 1)?) };
    let (mut found, mut people): (Vec<(Vec<u8>, usize)>, Vec<String>) = Default::default();
    for file in &files {
        let cut = match &mut finder {
            Some(finder) => finder.photograph(file),
            None => fs::read(file).map_err(Into::into),
        };
        let photo = cut.map_err(|error| format!("{}: {error}", file.display()))?;
        let person = person(file);
        let known = people.iter().position(|name| *name == person).unwrap_or_else(|| {
            people.push(person);
            people.len() - 1
        });
        found.push((photo, known));
    }
    if found.len() < 2 {
        return Err(format!("{shown} holds no two photographs").into());
    }
    Ok(found)
}

/// `anna2.jpg` shows `anna`.
fn person(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let stem = stem.unwrap_or_default();
    stem.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '_' | '-')).to_owned()
}

/// The configuration of our own appliance, beneath `folder`.
fn configuration(place: &Where, folder: &Path, lanes: &[String]) -> String {
    let at = |name: &str| format!("{:?}", folder.join(name).display().to_string());
    // A gate is shown whom its search found.
    let mut text = format!(
        "[server]\nlocal_roles = [\"gate\", \"operator\", \"administrator\"]\n\n\
         [engine]\nthreads = {}\n\n[policy]\nattack_detection = \"not-required\"\n\
         document_authentication = \"not-required\"\n\n[audit]\npath = {}\n\n\
         [gallery]\ndirectory = {}\nkey_directory = {}\n\n[log]\nlevel = \"error\"\n",
        place.threads,
        at("audit.jsonl"),
        at("galleries"),
        at("keys"),
    );
    if !lanes.is_empty() {
        text.push_str("\n[site]\nevaluation_lanes = true\n");
    }
    for lane in lanes {
        // Without a detector nobody is admitted at a lane: its answers would all be one.
        text.push_str(&format!(
            "\n[[lane]]\nname = {lane:?}\nsource = \"http\"\n\
             external_detector = \"portcullis-load\"\n"
        ));
    }
    text
}

fn start(place: &Where, needs: Needs, lanes: &[String]) -> Result<Served, Wrong> {
    let binary = place.binary.clone().map_or_else(release_binary, Ok)?;
    let mut trouble: Option<Wrong> = None;
    let served = Served::start_with(&binary, |command, folder| {
        let file = folder.join("config.toml");
        let text = configuration(place, folder, lanes);
        fs::write(&file, &text)?;
        if needs.gallery
            && let Err(wrong) = fill(place, &text, &file)
        {
            let told = io::Error::other(wrong.to_string());
            trouble = Some(wrong);
            return Err(told);
        }
        command.arg("--config").arg(&file).arg("serve");
        Ok(())
    });
    match (served, trouble) {
        (_, Some(wrong)) => Err(wrong),
        (served, None) => Ok(served?),
    }
}

/// Makes the synthetic gallery of a configuration whose appliance does not run yet.
fn fill(place: &Where, text: &str, file: &Path) -> Result<(), Wrong> {
    let config = Config::parse(text, &file.display().to_string())?;
    gallery(&config, &place.gallery, (place.rows, place.seed), place.quiet)
}

/// Makes a synthetic gallery where `config` keeps its galleries.
///
/// # Errors
/// When it is there already, or does not fit.
pub(crate) fn gallery(
    config: &Config,
    name: &str,
    (rows, seed): (u64, u64),
    quiet: bool,
) -> Result<(), Wrong> {
    let world = World {
        clock: Arc::new(SystemClock::start()),
        entropy: Arc::new(SystemEntropy),
        meter: Arc::new(Meter::new()),
    };
    let offline = Offline::open(config, &Environment::of_process(), world)?;
    let located = offline.locate(name)?;
    let gallery = offline.create(&located)?;
    let calibration = models::calibration(&config.models)?;
    let mut told = 0;
    synthetic::fill(&gallery, &calibration, rows, seed, &mut |done| {
        if !quiet && done * 100 / rows.max(1) > told {
            told = done * 100 / rows.max(1);
            // A terminal that is gone stops nothing.
            let _ = write!(io::stderr(), "\rsynthetic gallery: {told} % of {rows}   ");
        }
    })?;
    if !quiet {
        let _ = writeln!(io::stderr());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_configuration_is_one_and_its_lanes_name_a_detector() {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            place: Where,
        }
        let place = Line::try_parse_from(["load"]).expect("defaults").place;
        let lanes = ["lane-1".to_owned(), "lane-2".to_owned()];
        let text = configuration(&place, Path::new("state"), &lanes);
        let config = Config::parse(&text, "ours").expect("a configuration");
        config.check().expect("it may start");
        assert!(config.lane.iter().all(|lane| !lane.external_detector.is_empty()));
        assert_eq!((config.lane.len(), place.deadline_ms), (2, DEADLINE_MS_DEFAULT));
        for wrong in [&["load", "--ca", "x"][..], &["load", "--server-name", "x"]] {
            assert!(Line::try_parse_from(wrong).is_err(), "{wrong:?}: of which server?");
        }
        for (rows, takes) in
            [("999", false), ("1000", true), ("10000000", true), ("10000001", false)]
        {
            assert_eq!(Line::try_parse_from(["load", "--rows", rows]).is_ok(), takes, "{rows}");
        }
    }

    #[test]
    fn people_are_told_by_the_names_of_their_photographs() {
        for (file, who) in [("anna1.jpg", "anna"), ("x/anna_02.jpg", "anna"), ("ben.png", "ben")] {
            assert_eq!(person(Path::new(file)), who);
        }
    }
}
