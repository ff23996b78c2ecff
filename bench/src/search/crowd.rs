//! Galleries of people who do not exist, at the size of a border: the rows of a generation and
//! probes for it, block by block, so that any part can be made again without the rest.
//!
//! 128 dimensions: the calibration that the appliance ships, with both covariances. 512 dimensions:
//! `bench/calibration/mobilefacenet_512.spectrum` (made by `spectrum.py` beside it), three numbers
//! per dimension in the rotated space. Both are second-order statistics of photographs; the scale
//! follows the rule of `portcullis calibrate`. A gallery drawn from them is a little harder than
//! photographs are: more rows survive the bound (the report prints both).

use std::num::NonZeroUsize;

use portcullis::{
    model::{Calibration, CalibrationError, Draft, People, Population, Rotated},
    ops::quantise::quantise_rotated,
    random::SeededEntropy,
    types::{Hash256, Template},
};

use crate::fail::Failure;

const SPECTRUM_512: &str = include_str!("../../calibration/mobilefacenet_512.spectrum");

/// People of one block: what is drawn from one seed.
pub(super) const BLOCK: usize = 512;

/// What a draw is for; each has random numbers of its own.
#[derive(Clone, Copy)]
enum Stream {
    Persons,
    References,
    Probes,
    Strangers,
}

/// Probes, and who of them is enrolled.
pub(crate) struct Probes {
    pub(crate) templates: Vec<Template>,
    /// The mate's row; `None` for a stranger.
    pub(super) mates: Vec<Option<u64>>,
}

/// Everybody, from one seed.
pub(crate) struct Crowd {
    pub(crate) calibration: Calibration,
    /// In words: whose statistics.
    pub(super) source: &'static str,
    people: People,
    seed: u64,
}

impl Crowd {
    /// People with embeddings of `dims` dimensions; `hot_dims` replaces the split where given.
    pub(crate) fn new(dims: usize, hot_dims: Option<usize>, seed: u64) -> Result<Self, Failure> {
        let (calibration, source) = match dims {
            128 => (shipped(hot_dims)?, "the shipped calibration (SFace)"),
            512 => (of_spectrum(SPECTRUM_512, hot_dims)?, "the spectrum of a MobileFaceNet"),
            _ => {
                let why = format!("there are statistics for 128 and 512 dimensions, not {dims}");
                return Err(Failure::Crowd(why));
            }
        };
        let population = calibration.population().ok_or_else(|| no("no population"))?;
        let people = People::new(population).map_err(|error| no(&error.to_string()))?;
        Ok(Self { calibration, source, people, seed })
    }

    pub(super) fn dims(&self) -> usize {
        self.people.dims()
    }

    fn entropy(&self, stream: Stream, block: usize) -> SeededEntropy {
        // Far enough apart: each is the seed of a cipher.
        SeededEntropy::new(self.seed ^ ((block as u64) << 8) ^ ((stream as u64) << 56))
    }

    fn persons(&self, block: usize) -> Vec<f32> {
        let mut persons = vec![0.0; BLOCK * self.dims()];
        self.people.persons(&self.entropy(Stream::Persons, block), &mut persons);
        persons
    }

    /// The templates of a block's people, row after row; the same whoever asks for it.
    fn block(&self, block: usize) -> Result<Vec<i8>, Failure> {
        let persons = self.persons(block);
        let mut samples = vec![0.0; persons.len()];
        let entropy = self.entropy(Stream::References, block);
        self.people.photographs(&entropy, &persons, &mut samples);
        let mut values = vec![0; samples.len()];
        let rows = samples.chunks_exact(self.dims()).zip(values.chunks_exact_mut(self.dims()));
        for (sample, values) in rows {
            quantise_rotated(sample, self.calibration.scale(), values)
                .map_err(|error| no(&error.to_string()))?;
        }
        Ok(values)
    }

    /// Hands the first `rows` rows on in order, at most [`BLOCK`] at a time; blocks are drawn on
    /// every core.
    pub(super) fn rows(
        &self,
        rows: usize,
        take: &mut dyn FnMut(&[i8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut left = rows;
        let blocks = rows.div_ceil(BLOCK);
        for first in (0..blocks).step_by(cores) {
            let drawn: Vec<Result<Vec<i8>, Failure>> = std::thread::scope(|scope| {
                let threads: Vec<_> = (first..blocks.min(first + cores))
                    .map(|block| scope.spawn(move || self.block(block)))
                    .collect();
                let lost = |_| Err(no("a thread that draws people ended"));
                threads.into_iter().map(|thread| thread.join().unwrap_or_else(lost)).collect()
            });
            for block in drawn {
                let block = block?;
                let held = left.min(BLOCK);
                take(&block[..held * self.dims()])?;
                left -= held;
            }
        }
        Ok(())
    }

    /// `count` probes for a gallery of `rows` rows: every second is a further photograph of
    /// somebody who is enrolled, evenly spread; the others are strangers.
    pub(crate) fn probes(&self, rows: usize, count: usize) -> Result<Probes, Failure> {
        let dims = self.dims();
        let mut strangers = vec![0.0; count * dims];
        self.people.strangers(&self.entropy(Stream::Strangers, 0), &mut strangers);
        let mut probes = Probes { templates: Vec::new(), mates: Vec::new() };
        for (probe, stranger) in strangers.chunks_exact(dims).enumerate() {
            let mate = (probe % 2 == 0 && rows > 0).then(|| probe * rows / count);
            let rotated = match mate {
                Some(row) => self.again(row, probe),
                None => stranger.to_vec(),
            };
            let template = self.calibration.rotated_template(&rotated);
            probes.templates.push(template.map_err(|error| no(&error.to_string()))?);
            probes.mates.push(mate.map(|row| row as u64));
        }
        Ok(probes)
    }

    /// Another photograph of the person of `row`.
    fn again(&self, row: usize, probe: usize) -> Vec<f32> {
        let dims = self.dims();
        let persons = self.persons(row / BLOCK);
        let mut photograph = vec![0.0; dims];
        let person = &persons[row % BLOCK * dims..][..dims];
        self.people.photographs(&self.entropy(Stream::Probes, probe), person, &mut photograph);
        photograph
    }
}

fn no(why: &str) -> Failure {
    Failure::Crowd(why.to_owned())
}

fn refused(error: CalibrationError) -> Failure {
    no(&error.to_string())
}

/// The shipped calibration, with another split where one is given.
fn shipped(hot_dims: Option<usize>) -> Result<Calibration, Failure> {
    let shipped = Calibration::sface_128();
    let Some(hot_dims) = hot_dims else { return Ok(shipped) };
    let draft = Draft {
        model: shipped.kind().model,
        hot_dims,
        scale: shipped.scale(),
        rotation: shipped.rotation().into(),
        rows: shipped.thresholds().to_vec(),
        comparisons: shipped.comparisons(),
        basis: shipped.basis().to_owned(),
        population: shipped.population().cloned(),
    };
    Ok(draft.encode().map_err(refused)?.1)
}

/// A calibration of a spectrum: the axes are the rotated ones already.
fn of_spectrum(text: &str, hot_dims: Option<usize>) -> Result<Calibration, Failure> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut rows = Vec::new();
    let (mut model, mut hot, mut dims) = ("", 0, 0);
    for line in lines {
        match line.split_once(' ').unwrap_or_default() {
            ("model", hash) => model = hash,
            ("dims", count) => dims = count.parse().unwrap_or(0),
            ("hot", count) => hot = count.parse().unwrap_or(0),
            _ => {
                let values: Vec<f64> = line.split(' ').filter_map(|x| x.parse().ok()).collect();
                rows.push(<[f64; 3]>::try_from(values).map_err(|_| no("a spectrum is damaged"))?);
            }
        }
    }
    if rows.len() != dims {
        return Err(no("a spectrum is cut short"));
    }
    let diagonal = |value: &dyn Fn(&[f64; 3]) -> f64| -> Box<[f32]> {
        let mut matrix = vec![0.0; dims * dims];
        rows.iter().enumerate().for_each(|(i, row)| matrix[i * (dims + 1)] = value(row) as f32);
        matrix.into()
    };
    let rotated = Rotated {
        rotation: diagonal(&|_| 1.0),
        energy: rows.iter().map(|[energy, _, _]| *energy).collect(),
        mean: rows.iter().map(|[_, mean, _]| *mean).collect(),
        population: Population {
            mean: rows.iter().map(|[_, mean, _]| *mean as f32).collect(),
            between: diagonal(&|[energy, mean, within]| (energy - mean * mean - within).max(0.0)),
            within: diagonal(&|[_, _, within]| *within),
        },
        persons_known: true,
    };
    let draft = Draft {
        model: hash(model)?,
        hot_dims: hot_dims.unwrap_or(hot),
        scale: rotated.scale().0,
        rotation: rotated.rotation.clone(),
        rows: Vec::new(),
        comparisons: (0, 0),
        basis: "synthetic people of a benchmark; no labelled photographs".to_owned(),
        population: Some(rotated.population),
    };
    Ok(draft.encode().map_err(refused)?.1)
}

fn hash(text: &str) -> Result<Hash256, Failure> {
    text.parse().map_err(|_| no("the model of a spectrum is not a hash"))
}
