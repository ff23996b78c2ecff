//! The account of frames, read back: what came in is what was answered, late, shed or is in flight.

use super::{Fate, Meter, Shed};

/// Every frame since the start, by what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrameAccount {
    /// Frames that came in.
    pub offered: u64,
    /// Frames whose transaction was answered in time.
    pub answered: u64,
    /// Frames whose transaction was answered late.
    pub late: u64,
    /// Frames that were given up, in the order of [`Shed::ALL`].
    pub sheds: [u64; Shed::ALL.len()],
}

impl FrameAccount {
    /// Frames given up for `reason`.
    #[must_use]
    pub fn shed(&self, reason: Shed) -> u64 {
        self.sheds[reason as usize]
    }

    /// Frames whose fate is open: nothing but what is in flight, and zero at rest.
    ///
    /// # Panics
    /// When more fates are known than frames came in: the account is broken.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        let settled = self.answered + self.late + self.sheds.iter().sum::<u64>();
        self.offered.checked_sub(settled).expect("a frame is offered before its fate is known")
    }
}

impl Meter {
    /// The account of frames so far. While frames are in flight the counters are read one after the
    /// other, fates first, so that none is known of a frame that is not counted yet.
    #[must_use]
    pub fn account(&self) -> FrameAccount {
        let sheds = Shed::ALL.map(|reason| self.sheds[reason as usize].get());
        let [answered, late] = Fate::ALL.map(|fate| self.frames[fate as usize].get());
        FrameAccount { offered: self.offered.get(), answered, late, sheds }
    }
}
