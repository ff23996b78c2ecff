//! `search`: exact 1:N on the CPU against FAISS, USearch and NumPy; the cost of a sealed gallery;
//! how cost grows; and one comparison 1:1.
//!
//! Ours is a gallery in locked memory, pinned by the CPU backend, as the appliance searches it; and
//! beside it the same gallery sealed. Everybody searches the same rows with the same probes and the
//! same number of threads for the best k at or above the same threshold, and every answer is
//! verified before a clock runs: ours against the scalar oracle, the peers' against ours
//! (`peers.rs` says what equal means), and the exact number of accepted rows, which only we give
//! with every answer, against FAISS's range search. Then all are timed in turn, round by round, and
//! the medians are divided.
//!
//! The machine's own ceilings are lanes of the same rounds: a plain read of the bytes that the hot
//! plane has, what registers alone can do, and the cipher alone.

mod ceilings;
pub(crate) mod crowd;
mod growth;
mod one_to_one;
mod peers;
pub(crate) mod plain;
mod plot;
mod report;
mod rounds;
mod sealed;
mod survivors;
pub(crate) mod verify;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use portcullis::{
    backend::{Backend, Tiles, cpu::Cpu},
    gallery::Gallery,
    ops::{
        search::{Probe, RowHits},
        tile::TileSource,
    },
    types::{Score, Template},
};

use crate::fail::Failure;
use ceilings::{Ceiling, Ceilings};
use crowd::{Crowd, Probes};
use peers::{Asked, Peers};
use plain::Plain;
use report::{Report, Setting};
use rounds::Beside;
use sealed::Galleries;

/// Options of `search`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Dimensions of a template: 128, 512 or both.
    #[arg(long, value_delimiter = ',', default_values_t = [512, 128])]
    dims: Vec<usize>,
    /// Rows of the gallery.
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// Probes searched together.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64])]
    batch: Vec<usize>,
    /// Compute threads.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// Candidates kept.
    #[arg(long, default_value_t = 10)]
    best: usize,
    /// Least similarity of a candidate. About FMR 1e-4 of the default calibration without it.
    #[arg(long, default_value_t = 0.425)]
    threshold: f64,
    /// Dimensions of the hot plane, instead of the calibration's.
    #[arg(long)]
    hot_dims: Option<usize>,
    /// A Python with bench/peers/search-requirements.txt installed; without it, no peers.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Peers to run, instead of all.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Do not time the sealed gallery.
    #[arg(long)]
    no_sealed: bool,
    /// Sizes of the growth table; 0 for none.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000, 4_000_000])]
    growth: Vec<usize>,
    /// Interleaved rounds.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// One number from which everybody is drawn.
    #[arg(long, default_value_t = 20_261_122)]
    seed: u64,
    /// Where the rows are written for the peers: one byte per value.
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
    /// Where search.md, search.json and search.svg are written; without it, nowhere.
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
    /// One short round: proves that answers agree, measures nothing worth keeping.
    #[arg(long)]
    smoke: bool,
}

/// Searches of one kind, ready to be repeated.
struct Engine<'a> {
    backend: Arc<dyn Backend>,
    tiles: Tiles,
    probes: Vec<Probe<'a>>,
}

impl Engine<'_> {
    /// Answers to all probes, `batch` at a time.
    fn answers(&self, batch: usize) -> Result<Vec<RowHits>, Failure> {
        let mut answers = Vec::with_capacity(self.probes.len());
        for probes in self.probes.chunks(batch.max(1)) {
            answers.extend(self.backend.search(probes, &self.tiles)?);
        }
        Ok(answers)
    }

    /// Nanoseconds of `runs` searches, from the `first` batch on.
    fn time(&self, batch: usize, first: usize, runs: usize) -> Result<Vec<u64>, Failure> {
        let mut spent = Vec::with_capacity(runs);
        for run in 0..runs {
            let at = (first + run) * batch % (self.probes.len() - batch + 1);
            let mut outcome = Ok(Vec::new());
            let probes = &self.probes[at..at + batch];
            spent.push(crate::spent::nanoseconds(|| {
                outcome = self.backend.search(probes, &self.tiles);
            }));
            outcome?;
        }
        Ok(spent)
    }
}

pub(crate) fn probes(templates: &[Template], threshold: Score, best: usize) -> Vec<Probe<'_>> {
    let probe =
        |template| Probe { template, threshold, best, class_bits: 1, group: None, now_s: 0 };
    templates.iter().map(probe).collect()
}

/// Everything of one number of dimensions.
struct Scene<'a> {
    options: &'a Options,
    crowd: Crowd,
    plain: Arc<Plain>,
    drawn: Probes,
    threshold: Score,
    folder: PathBuf,
}

/// Runs it; true when every promise that was measured is kept, or none is asked for.
pub(crate) fn run(options: &Options) -> Result<bool, Failure> {
    if options.batch.iter().chain(&options.threads).any(|&count| count == 0) {
        return Err(Failure::Crowd("a batch and a pool have at least one member".to_owned()));
    }
    let mut report = Report::new(options, &machine(options)?);
    report.say_machine();
    for &dims in &options.dims {
        let folder = Scratch::new(options.scratch.as_deref())?;
        let scene = Scene::new(options, dims, &folder.0)?;
        report.begin(&scene);
        survivors::print(&scene, &mut report)?;
        let galleries = Galleries::new(&scene.crowd, options.rows, options.smoke)?;
        for &threads in &options.threads {
            threads_of(&scene, threads, &galleries, &mut report)?;
        }
        growth::measure(&scene, &galleries, &mut report)?;
    }
    for &dims in &options.dims {
        one_to_one::measure(dims, options, &mut report)?;
    }
    report.end();
    if let Some(folder) = &options.report {
        report.write(folder)?;
    }
    Ok(options.smoke || report.kept())
}

fn machine(options: &Options) -> Result<portcullis::backend::Description, Failure> {
    Ok(Cpu::new(options.threads.iter().copied().max().unwrap_or(1))?.describe())
}

impl<'a> Scene<'a> {
    fn new(options: &'a Options, dims: usize, folder: &Path) -> Result<Self, Failure> {
        let crowd = Crowd::new(dims, options.hot_dims, options.seed)?;
        let npy = options.python.is_some().then(|| folder.join("rows.npy"));
        let plain = Arc::new(Plain::draw(&crowd, options.rows, npy.as_deref())?);
        let most = options.batch.iter().copied().max().unwrap_or(1);
        let drawn = crowd.probes(options.rows, most)?;
        let threshold = Score::at_least(options.threshold, crowd.calibration.scale());
        Ok(Self { options, crowd, plain, drawn, threshold, folder: folder.to_owned() })
    }
}

/// A gallery, and the probes in its own space.
struct Held {
    source: Arc<dyn TileSource>,
    moved: Vec<Template>,
    is_locked: bool,
}

impl Held {
    fn new(scene: &Scene<'_>, gallery: &Gallery) -> Result<Self, Failure> {
        let source = gallery.source();
        let moved = verify::moved(scene, source.as_ref())?;
        Ok(Self { source, moved, is_locked: gallery.stats().locked })
    }

    /// The engine over it, as the appliance searches it: pinned where plaintext may lie in memory,
    /// else tile by tile.
    fn engine(&self, scene: &Scene<'_>, threads: usize) -> Result<Engine<'_>, Failure> {
        let backend: Arc<dyn Backend> = Arc::new(Cpu::new(threads)?);
        self.engine_on(backend, scene)
    }

    fn engine_on(
        &self,
        backend: Arc<dyn Backend>,
        scene: &Scene<'_>,
    ) -> Result<Engine<'_>, Failure> {
        let tiles = if self.is_locked {
            let set = backend.pin(&self.source)?;
            if !set.is_locked() && !scene.options.smoke {
                let why = "the lock limit is too low to pin it: raise RLIMIT_MEMLOCK";
                return Err(Failure::Crowd(why.to_owned()));
            }
            Tiles::Pinned(set)
        } else {
            Tiles::Source(Arc::clone(&self.source))
        };
        let probes = probes(&self.moved, scene.threshold, scene.options.best);
        Ok(Engine { backend, tiles, probes })
    }
}

/// One number of threads: verified, then timed, batch by batch.
fn threads_of(
    scene: &Scene<'_>,
    threads: usize,
    galleries: &Galleries,
    report: &mut Report,
) -> Result<(), Failure> {
    let options = scene.options;
    let held = Held::new(scene, &galleries.locked)?;
    let locked = held.engine(scene, threads)?;
    let ours = verify::against_the_oracle(scene, &locked, &held.moved)?;
    let held = match options.no_sealed {
        true => None,
        false => Some(Held::new(scene, &galleries.sealed)?),
    };
    let on_the_same = |held| Held::engine_on(held, Arc::clone(&locked.backend), scene);
    let sealed = held.as_ref().map(on_the_same).transpose()?;
    if let Some(engine) = &sealed {
        let answers = engine.answers(options.batch[0])?;
        verify::equal("the sealed gallery", &answers, &ours, options.best)?;
    }
    let mut peers = start_peers(scene, threads, &ours)?;
    let ceilings = Ceilings::new(scene, threads)?;
    for &batch in &options.batch {
        if let Some(peers) = &mut peers {
            let names = peers.names.clone();
            for (name, _) in &names {
                peers.verify(name, batch, scene.threshold.0, &ours)?;
            }
        }
        let opened = sealed.as_ref().map(|engine| opened(engine, batch)).transpose()?;
        let wanted = [Ceiling::Read, Ceiling::Products].into_iter();
        let beside = Beside {
            sealed: sealed.as_ref(),
            ceilings: Some((&ceilings, wanted.chain(opened.map(Ceiling::Cipher)).collect())),
            peers: peers.as_mut(),
        };
        let lanes = rounds::measure(options, batch, &locked, beside)?;
        report.add(&Setting { scene, threads, batch, lanes, ceilings: &ceilings, opened });
    }
    Ok(())
}

fn start_peers(
    scene: &Scene<'_>,
    threads: usize,
    ours: &[RowHits],
) -> Result<Option<Peers>, Failure> {
    let Some(python) = &scene.options.python else { return Ok(None) };
    let asked = Asked {
        python,
        folder: &scene.folder,
        rows: scene.options.rows,
        threads,
        best: scene.options.best,
        only: &scene.options.peers,
    };
    let mut peers = Peers::start(&asked, &scene.drawn.templates)?;
    peers.verify_accepted(scene.threshold.0, ours)?;
    Ok(Some(peers))
}

/// What one batch opens of the sealed gallery.
fn opened(engine: &Engine<'_>, batch: usize) -> Result<sealed::Opened, Failure> {
    let Tiles::Source(source) = &engine.tiles else {
        return Ok(sealed::Opened { bytes: 0, pieces: 0 });
    };
    let counted = Arc::new(sealed::Counted::new(Arc::clone(source)));
    let tiles = Tiles::Source(Arc::clone(&counted) as Arc<dyn TileSource>);
    engine.backend.search(&engine.probes[..batch], &tiles)?;
    Ok(counted.opened())
}

/// A folder for the peers' files, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(below: Option<&Path>) -> Result<Self, Failure> {
        let below = below.map_or_else(std::env::temp_dir, Path::to_owned);
        let folder = below.join(format!("portcullis-bench-search-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| Failure::File(folder.clone(), error))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What remains are people who do not exist; a folder that cannot be removed harms nothing.
        let _ = fs::remove_dir_all(&self.0);
    }
}
