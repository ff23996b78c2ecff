//! A traveller's way through the backend, one at a time: a crop goes up, an embedding comes down,
//! its template is searched for in a resident gallery, the best candidates come back.
//!
//! Timed by the host's clock, since the host has its part in it: it packs, waits, turns the
//! embedding into a template, and names who was found. Wiping comes after the answer and is not in
//! it. Crops are drawn and different, so that none is in a cache.

use std::sync::Arc;

use portcullis::{
    backend::{Backend, Network, Tiles, cuda::Cuda},
    ops::{
        program::{Feed, Program, ToFrame},
        search::RowHits,
        tile::TileSource,
    },
    random::{Entropy, SeededEntropy},
    types::{Frame, Score},
};

use super::{
    Figure,
    searches::{BEST, SEED, SIMILARITY},
};
use crate::{
    fail::Failure,
    search::{crowd::Crowd, plain::Plain, probes},
    spent::nanoseconds,
};

/// Different crops, in turn.
const CROPS: usize = 16;
/// Travellers before the first that is timed.
const WARM: usize = 20;
/// How much more often than anything else this is timed, for the sake of its tail.
const TIMES: usize = 10;

/// A face as a lane cuts it out of a frame, half as large again as what the network sees of it.
fn crop(entropy: &SeededEntropy, [h, w]: [usize; 2]) -> Frame {
    let (h, w) = (h * 3 / 2, w * 3 / 2);
    let mut pixels = vec![0; h * w * 3];
    entropy.fill(&mut pixels);
    let px = |length: usize| u32::try_from(length).expect("inputs are small");
    Frame::new(pixels, px(w), px(h)).expect("three bytes a pixel")
}

/// Times `program`, an embedder, before a search of `rows` rows.
pub(super) fn run(
    cuda: &Cuda,
    (name, program): (&str, &Program),
    rows: usize,
    rounds: usize,
) -> Result<Figure, Failure> {
    let dims = program.shape(program.outputs[0].buffer).len();
    let crowd = Crowd::new(dims, None, SEED)?;
    let source: Arc<dyn TileSource> = Arc::new(Plain::draw(&crowd, rows, None)?);
    let threshold = Score::at_least(SIMILARITY, crowd.calibration.scale());
    let tiles = Tiles::Pinned(cuda.pin(&source)?);
    let input = program.shape(program.input);
    let entropy = SeededEntropy::new(SEED);
    let crops: Vec<Frame> = (0..CROPS).map(|_| crop(&entropy, [input.h, input.w])).collect();
    // A little turned, as faces are, and within the crop.
    let (x, y) = (input.w as f32 / 4.0, input.h as f32 / 8.0);
    let to_frame = ToFrame([1.0, -0.1, x, 0.1, 1.0, y]);
    let pass = |network: &mut dyn Network, crop: &Frame| -> Result<Vec<RowHits>, Failure> {
        network.run(&[Feed::Warp { frame: crop.view(), to_frame }])?;
        let template = crowd.calibration.template(network.output(0, 0));
        let template = template.map_err(|error| Failure::Crowd(error.to_string()))?;
        let asked = probes(std::slice::from_ref(&template), threshold, BEST);
        Ok(cuda.search(&asked, &tiles)?)
    };
    let mut network = cuda.load(program, 1)?;
    let mut taken = Vec::with_capacity(rounds * TIMES);
    for round in 0..WARM + rounds * TIMES {
        let mut found = Ok(Vec::new());
        let spent = nanoseconds(|| found = pass(network.as_mut(), &crops[round % CROPS]));
        let rows_total = found?.first().map(|answer| answer.certificate.rows_total);
        if rows_total != Some(rows as u64) {
            return Err(Failure::Differs(format!("{name}: a search of {rows_total:?} rows")));
        }
        if round >= WARM {
            taken.push((spent as f64 / 1e6) as f32);
        }
        network.wipe();
    }
    let what = format!("crop to candidates, {name}, {rows} rows");
    Ok(Figure::of(what, taken, 1.0, "travellers"))
}
