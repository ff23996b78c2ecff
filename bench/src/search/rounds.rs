//! Everybody in turn, round by round, so that whatever else the machine does meets all alike.

use super::{Engine, Options, peers::Peers};
use crate::{
    fail::Failure,
    spent::{Measured, rest},
};

/// About how long one side's share of a round lasts.
const ROUND_MS: f64 = 200.0;
/// Most runs of a round.
const RUNS_MAX: usize = 50;
/// A side whose single run takes longer is timed in every third round only.
const SLOW_MS: f64 = 1_000.0;

/// One side and its measurements.
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) measured: Measured,
}

/// Names of our own sides.
pub(super) const LOCKED: &str = "portcullis";
pub(super) const SEALED: &str = "portcullis, sealed";

/// Whom a lane asks.
enum Side<'a> {
    Ours(&'a Engine<'a>),
    Peer(String),
}

/// Times all sides; ours first.
pub(super) fn measure(
    options: &Options,
    batch: usize,
    locked: &Engine<'_>,
    sealed: Option<&Engine<'_>>,
    mut peers: Option<&mut Peers>,
) -> Result<Vec<Lane>, Failure> {
    let names = peers.as_ref().map(|peers| peers.names.clone()).unwrap_or_default();
    let ours = [(LOCKED, Some(locked)), (SEALED, sealed)];
    let ours =
        ours.into_iter().filter_map(|(name, engine)| Some((name.to_owned(), Side::Ours(engine?))));
    let theirs = names.into_iter().map(|(name, _)| (name.clone(), Side::Peer(name)));
    let sides: Vec<(String, Side<'_>)> = ours.chain(theirs).collect();
    let mut once_ms = Vec::new();
    for (_, side) in &sides {
        let mut first = Measured::default();
        first.extend(time(side, &mut peers, [batch, 0, 1])?);
        once_ms.push(first.least_ms());
    }
    let mut lanes: Vec<Lane> = sides
        .iter()
        .map(|(name, _)| Lane { name: name.clone(), measured: Measured::default() })
        .collect();
    for round in 0..if options.smoke { 1 } else { options.rounds } {
        for (((_, side), lane), &once_ms) in sides.iter().zip(&mut lanes).zip(&once_ms) {
            let slow = once_ms > SLOW_MS;
            if slow && round % 3 != 0 {
                continue;
            }
            let runs = if options.smoke { 1 } else { (ROUND_MS / once_ms) as usize };
            let runs = runs.clamp(1, RUNS_MAX);
            rest();
            // The first run of a round wakes the threads up and does not count, unless it is slow.
            let spent =
                time(side, &mut peers, [batch, round * RUNS_MAX, runs + usize::from(!slow)])?;
            lane.measured.extend(spent.into_iter().skip(usize::from(!slow)));
        }
    }
    Ok(lanes)
}

fn time(
    side: &Side<'_>,
    peers: &mut Option<&mut Peers>,
    [batch, first, runs]: [usize; 3],
) -> Result<Vec<u64>, Failure> {
    match (side, peers) {
        (Side::Ours(engine), _) => engine.time(batch, first, runs),
        (Side::Peer(name), Some(peers)) => peers.time(name, batch, first, runs),
        (Side::Peer(name), None) => Err(Failure::Peer(format!("{name} is not there"))),
    }
}
