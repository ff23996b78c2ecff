//! Everybody in turn, round by round, so that whatever else the machine does meets all alike: our
//! own sides, the peers, and the ceilings that both are held against.

use super::{
    Engine, Options,
    ceilings::{Ceiling, Ceilings},
    peers::Peers,
};
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

/// What a lane is measured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Our own search.
    Ours,
    /// Somebody else's.
    Peer,
    /// What the machine could do at most.
    Ceiling,
}

/// One side and its measurements.
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) measured: Measured,
}

/// Names of our own sides.
pub(super) const LOCKED: &str = "portcullis";
pub(super) const SEALED: &str = "portcullis, sealed";

/// Who is timed beside the locked gallery.
#[derive(Default)]
pub(super) struct Beside<'a> {
    pub(super) sealed: Option<&'a Engine<'a>>,
    pub(super) ceilings: Option<(&'a Ceilings, Vec<Ceiling>)>,
    pub(super) peers: Option<&'a mut Peers>,
}

/// Whom a lane asks.
enum Side<'a> {
    Ours(&'a Engine<'a>),
    Ceiling(&'a Ceilings, Ceiling),
    Peer(String),
}

/// Times all sides; ours first.
pub(super) fn measure(
    options: &Options,
    batch: usize,
    locked: &Engine<'_>,
    beside: Beside<'_>,
) -> Result<Vec<Lane>, Failure> {
    let Beside { sealed, ceilings, mut peers } = beside;
    let mut sides = vec![(Side::Ours(locked), LOCKED.to_owned())];
    sides.extend(sealed.map(|sealed| (Side::Ours(sealed), SEALED.to_owned())));
    if let Some((ceilings, wanted)) = &ceilings {
        let each = |&one: &Ceiling| (Side::Ceiling(ceilings, one), one.name().to_owned());
        sides.extend(wanted.iter().map(each));
    }
    let names = peers.as_ref().map(|peers| peers.names.clone()).unwrap_or_default();
    sides.extend(names.into_iter().map(|(name, _)| (Side::Peer(name.clone()), name)));
    let mut lanes = Vec::with_capacity(sides.len());
    let mut once_ms = Vec::with_capacity(sides.len());
    for (side, name) in &sides {
        let mut first = Measured::default();
        first.extend(time(side, &mut peers, [batch, 0, 1])?);
        once_ms.push(first.least_ms());
        let kind = match side {
            Side::Ours(_) => Kind::Ours,
            Side::Ceiling(..) => Kind::Ceiling,
            Side::Peer(_) => Kind::Peer,
        };
        lanes.push(Lane { name: name.clone(), kind, measured: Measured::default() });
    }
    for round in 0..if options.smoke { 1 } else { options.rounds } {
        for (((side, _), lane), &once_ms) in sides.iter().zip(&mut lanes).zip(&once_ms) {
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
        (Side::Ceiling(ceilings, ceiling), _) => ceilings.time(*ceiling, runs),
        (Side::Peer(name), Some(peers)) => peers.time(name, batch, first, runs),
        (Side::Peer(name), None) => Err(Failure::Peer(format!("{name} is not there"))),
    }
}
