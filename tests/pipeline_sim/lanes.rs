//! Cameras of the simulation: each delivers pictures, nothing, something else, or fails.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use portcullis::{
    capture::{
        Arrival, Encoded, Source, SourceFault,
        keeper::{Keeper, Open},
        lane::{Frame, Lane, LaneTerms, Tap},
    },
    meter::LaneKind,
    time::{Clock, SimulatedClock},
};

use crate::scene::{Dice, EDGE_PX, PICTURE_BYTES, Scene, Shows, paint};

/// A camera that a seed drives.
struct Camera {
    dice: Dice,
    faulty: bool,
}

impl Source for Camera {
    fn next(&mut self, now_us: u64) -> Result<Arrival, SourceFault> {
        let person = self.dice.below(super::PERSONS) as u8;
        match self.dice.below(if self.faulty { 24 } else { 16 }) {
            0..=3 => Ok(Arrival::NotBefore(now_us + u64::from(self.dice.below(30_000)))),
            4..=13 => Ok(Arrival::Picture(picture(Shows::Face, person))),
            14 => Ok(Arrival::Picture(picture(Shows::Spoof, person))),
            15 | 16 => Ok(Arrival::Picture(picture(Shows::Nobody, person))),
            17 => Ok(Arrival::Picture(picture(Shows::EmbedPanics, person))),
            18 => Ok(Arrival::Picture(Encoded::new(b"no picture at all".to_vec()))),
            19 => Err(SourceFault::FrameTooLarge { most: 1 }),
            20 => Ok(Arrival::End),
            21 => panic!("as the seed says"),
            _ => Err(SourceFault::Silent { program: "camera".into(), silence_ms: 1 }),
        }
    }
}

fn picture(shows: Shows, person: u8) -> Encoded {
    let mut pixels = vec![0; PICTURE_BYTES];
    paint(&mut pixels, shows, person);
    Encoded::rgb(pixels, EDGE_PX, EDGE_PX)
}

/// A lane with its camera, and perhaps a traveller.
pub(crate) struct Gate {
    pub(crate) lane: Arc<Lane>,
    keeper: Keeper,
    tap: Option<Tap>,
    /// How often a tap was told of something.
    woken: Arc<AtomicU64>,
    sequence: u64,
}

impl Gate {
    pub(crate) fn new(scene: &Scene, clock: &Arc<SimulatedClock>, seed: u64, faulty: bool) -> Self {
        let terms = LaneTerms {
            name: "gate-1".parse().expect("a name"),
            kind: LaneKind::Command,
            deadline_ms: 1_000,
            external_detector: None,
        };
        let clock = Arc::clone(clock) as Arc<dyn Clock>;
        let (slots, meter) = (Arc::clone(&scene.slots), Arc::clone(&scene.meter));
        let lane = Lane::new(terms, slots, Arc::clone(&clock), meter);
        let cameras = Dice::new(seed ^ 5);
        let open: Open = Box::new(move |_| {
            if faulty && cameras.happens(64) {
                let kind = std::io::ErrorKind::NotFound;
                return Err(SourceFault::NotStarted { program: "camera".into(), kind });
            }
            let dice = Dice::new(u64::from(cameras.roll()));
            Ok(Box::new(Camera { dice, faulty }))
        });
        let keeper = Keeper::new(Arc::clone(&lane), open, clock);
        Self { lane, keeper, tap: None, woken: Arc::default(), sequence: 0 }
    }

    /// The camera's turn.
    pub(crate) fn turn(&mut self) {
        let (frames, woken) = (self.lane.status().frames, self.woken.load(Ordering::SeqCst));
        self.keeper.turn();
        let status = self.lane.status();
        let delivered = status.frames - frames;
        let heard = self.woken.load(Ordering::SeqCst) - woken;
        assert!(delivered <= 1, "one picture a turn");
        assert_eq!(status.tapped, self.tap.is_some());
        // A picture that did not come whole is counted, and nobody is woken for it.
        assert!(self.tap.is_some() || heard == 0, "nobody looks");
    }

    /// A traveller comes, or leaves.
    pub(crate) fn traveller(&mut self) {
        if self.tap.take().is_none() {
            let woken = Arc::clone(&self.woken);
            let wake = Arc::new(move || {
                woken.fetch_add(1, Ordering::SeqCst);
            });
            let tap = self.lane.tap(wake).expect("the traveller before has left");
            assert!(tap.newest().is_none(), "nothing is kept from before");
            assert!(self.lane.tap(Arc::new(|| {})).is_err(), "one traveller at a time");
            self.tap = Some(tap);
        }
    }

    /// The newest frame for the traveller, if there is one.
    pub(crate) fn look(&mut self) -> Option<Frame> {
        let frame = self.tap.as_ref()?.newest()?;
        assert!(frame.sequence > self.sequence, "frames do not come twice, nor out of order");
        self.sequence = frame.sequence;
        Some(frame)
    }
}
