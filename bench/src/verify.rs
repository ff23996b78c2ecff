//! `verify`: two 640 × 480 photographs through HTTP, beside the sum of the same steps in the
//! library alone. Both run in turn, in one run, with the same number of threads; their scores must
//! be equal before a time is taken.
//!
//! What the difference holds: the socket, the multipart body, the queue to the engine and back, the
//! policy, the audit (which is on disk before the answer leaves) and the answer's JSON.

use std::{
    error::Error,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::Args;
use portcullis::{
    backend::{Backend, Network, cpu::Cpu},
    config::Environment,
    document::image,
    face::{
        Face, align,
        quality::{judge, measure},
    },
    model::{Calibration, defaults},
    ops::{
        item::ItemMut,
        program::{ChannelOrder, Feed, Shape, ToFrame},
        score::score,
        warp::warp,
    },
    time::{Clock, SystemClock},
    types::{CaptureFact, Frame},
};
use serde_json::Value;

use crate::{
    finder::{Finder, HEIGHT_PX, WIDTH_PX, default_program, form},
    served::{Served, ask, median_us, release_binary},
};

/// What the README promises: p50 through HTTP over the sum of the steps.
const RATIO_MAX: f64 = 1.3;
/// Turns that are not counted.
const WARM_UP: usize = 3;

/// Options of `verify`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Verifications of each kind.
    #[arg(long, default_value_t = 50)]
    runs: usize,
    /// Compute threads of the engine.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Two photographs of faces; without them, the first two of `models fetch --photos`.
    #[arg(long, num_args = 2, value_names = ["PROBE", "REFERENCE"])]
    photos: Vec<PathBuf>,
    /// The binary; without it, the `portcullis` beside this program.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// One run, not held to the promise: proves that both ways give one score.
    #[arg(long)]
    smoke: bool,
}

/// Names of the steps, in order.
const STEPS: [&str; 5] = ["decode", "detect", "judge", "embed", "compare"];

/// Microseconds of each step, one entry per verification.
type Spent = [Vec<u64>; STEPS.len()];

/// The library's parts, by themselves.
struct Alone {
    clock: SystemClock,
    finder: Finder,
    embed: Box<dyn Network>,
    calibration: Calibration,
}

impl Alone {
    fn load(cache: &Path, threads: usize) -> Result<Self, Box<dyn Error>> {
        let embedder = default_program(cache, &defaults::EMBEDDER, ChannelOrder::Rgb, None)?;
        let cpu = Cpu::new(threads)?;
        Ok(Self {
            clock: SystemClock::start(),
            finder: Finder::load(cache, threads)?,
            embed: cpu.load(&embedder, 2)?,
            calibration: Calibration::sface_128(),
        })
    }

    /// Runs `step` and notes what it took.
    fn timed<T>(&mut self, took_us: &mut u64, step: impl FnOnce(&mut Self) -> T) -> T {
        let start_us = self.clock.monotonic_us();
        let done = step(self);
        *took_us += self.clock.monotonic_us() - start_us;
        done
    }

    fn judge(&self, frame: &Frame, face: &Face) -> Result<ToFrame, Box<dyn Error>> {
        let to_frame = align::to_frame(&face.landmarks_px)?;
        let shape = Shape { h: align::ALIGNED_PX, w: align::ALIGNED_PX, c: 3 };
        let mut aligned = vec![0.0; shape.len()];
        let out = &mut ItemMut::new(shape, &mut aligned);
        warp(frame.view(), &to_frame, ChannelOrder::Rgb, out);
        match judge(&measure(face, &aligned), &self.finder.rules) {
            CaptureFact::Usable => Ok(to_frame),
            fact => Err(format!("no usable face: {fact:?}").into()),
        }
    }

    /// One verification, step by step; its score.
    fn verify(&mut self, photos: [&[u8]; 2], spent: &mut Spent) -> Result<i32, Box<dyn Error>> {
        let mut took_us = [0; STEPS.len()];
        let mut frames = Vec::new();
        let mut maps = Vec::new();
        for photo in photos {
            let frame = self.timed(&mut took_us[0], |_| image::decode(photo))?;
            let face = self.timed(&mut took_us[1], |alone| alone.finder.find(&frame))?;
            maps.push(self.timed(&mut took_us[2], |alone| alone.judge(&frame, &face))?);
            frames.push(frame);
        }
        let feeds: Vec<Feed<'_>> = frames
            .iter()
            .zip(&maps)
            .map(|(frame, &to_frame)| Feed::Warp { frame: frame.view(), to_frame })
            .collect();
        self.timed(&mut took_us[3], |alone| alone.embed.run(&feeds))?;
        let found = self.timed(&mut took_us[4], |alone| {
            let template = |item| alone.calibration.template(alone.embed.output(0, item));
            Ok::<_, Box<dyn Error>>(score(template(0)?.values(), template(1)?.values()).0)
        })?;
        for (all, took_us) in spent.iter_mut().zip(took_us) {
            all.push(took_us);
        }
        Ok(found)
    }
}

/// One verification through HTTP; its score.
fn through_http(
    address: SocketAddr,
    (kind, body): &(String, Vec<u8>),
) -> Result<i32, Box<dyn Error>> {
    let answer = ask(address, "POST", "/v1/verify", &[("content-type", kind)], body)?;
    let text = String::from_utf8_lossy(&answer.body);
    if answer.status != 200 {
        return Err(format!("POST /v1/verify answered {}: {text}", answer.status).into());
    }
    let decision: Value = serde_json::from_slice(&answer.body)?;
    let score = decision["comparisons"][0]["score"].as_i64();
    let score = score.ok_or_else(|| format!("the answer holds no score: {text}"))?;
    Ok(i32::try_from(score)?)
}

/// The photographs named, or the first two that were fetched.
fn chosen(options: &Options, cache: &Path) -> io::Result<[PathBuf; 2]> {
    if let [probe, reference] = options.photos.as_slice() {
        return Ok([probe.clone(), reference.clone()]);
    }
    let folder = cache.join("photos");
    let mut found: Vec<PathBuf> =
        fs::read_dir(&folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.retain(|path| path.extension().is_some_and(|ending| ending == "jpg"));
    found.sort();
    match found.as_slice() {
        [probe, reference, ..] => Ok([probe.clone(), reference.clone()]),
        _ => Err(io::Error::other(format!(
            "{} holds no two photographs: portcullis models fetch --photos",
            folder.display()
        ))),
    }
}

/// Runs the measurement; true when the promise holds, or is not asked for.
///
/// # Errors
/// When an image, a model or the appliance fails, or the two ways disagree on the score.
pub(crate) fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let cache = Environment::of_process().cache_folder()?;
    let [probe, reference] = chosen(options, &cache)?;
    let mut alone = Alone::load(&cache, options.threads)?;
    let probe = alone.finder.photograph(&probe)?;
    let reference = alone.finder.photograph(&reference)?;
    let photos = [probe.as_slice(), reference.as_slice()];
    let binary = options.binary.clone().map_or_else(release_binary, Ok)?;
    let served = Served::start(&binary, options.threads)?;
    let fields = [("probe", photos[0]), ("reference", photos[1])];
    let form = form(&fields, &[("purpose", "evaluation")]);
    let mut http_us = Vec::new();
    let mut spent = Spent::default();
    let warm_up = if options.smoke { 0 } else { WARM_UP };
    let runs = if options.smoke { 1 } else { options.runs.max(1) };
    for turn in 0..warm_up + runs {
        let expected = alone.verify(photos, &mut spent)?;
        let start_us = alone.clock.monotonic_us();
        let score = through_http(served.address, &form)?;
        http_us.push(alone.clock.monotonic_us() - start_us);
        if score != expected {
            return Err(format!("HTTP scores {score}, the library alone {expected}").into());
        }
        if turn + 1 == warm_up {
            http_us.clear();
            spent = Spent::default();
        }
    }
    Ok(report(options, &mut http_us, &mut spent) || options.smoke)
}

fn report(options: &Options, http_us: &mut [u64], spent: &mut Spent) -> bool {
    let ms = |us: u64| us as f64 / 1e3;
    let http = median_us(http_us);
    let steps: Vec<u64> = spent.iter_mut().map(|all| median_us(all)).collect();
    let sum: u64 = steps.iter().sum();
    let ratio = http as f64 / sum.max(1) as f64;
    println!(
        "verify, two photographs of {WIDTH_PX} x {HEIGHT_PX}, {} runs each in turn, {} threads",
        http_us.len(),
        options.threads
    );
    for (name, us) in STEPS.iter().zip(&steps) {
        println!("  library  {name:<8} p50 {:8.2} ms", ms(*us));
    }
    println!("  library  sum      p50 {:8.2} ms", ms(sum));
    println!("  HTTP     whole    p50 {:8.2} ms", ms(http));
    println!("  ratio    {ratio:.2}   (promised: at most {RATIO_MAX})");
    ratio <= RATIO_MAX
}
