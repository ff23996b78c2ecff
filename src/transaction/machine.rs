//! When to judge a frame, when to end, and how. Pure: what happened and what time it is go in, what
//! follows comes out.
//!
//! ```text
//!            Frame ──► Judge ──► Judged: Admit ───────────────────────────► decided: Admit
//!   open ──►   ▲                 Judged: Refer that no frame can change ──► decided: Refer
//!              │                 Judged: Refer that a better frame may ──► keep the best one
//!              └──── next ◄───── Judged: Retry ──► tell the display what to do
//!   deadline ──► a best frame: Refer with its reasons
//!                only unusable ones: Retry while attempts are left, then Refer
//!                none: Refer, with why none was taken
//!   cancelled, left, impossible ──► Refer
//! ```
//!
//! A suspected presentation attack ends the transaction: an attacker must not be able to hold
//! pictures up until one of them passes, and a border guard checks after an alarm (BSI TR-03121).
//!
//! How often one traveller is compared is bounded ([`COMPARISONS_MAX`]), because each comparison is
//! a chance of a false match: over a transaction the false match rate is at most that many times
//! the rate of one comparison.
//!
//! Invariant: Admit comes only from a frame that the policy admitted, whose own attack result is a
//! score, before the deadline; [`Machine::step`] closes once.

use crate::{
    face::Quality,
    limits::{COMPARISONS_MAX, GUIDANCE_HOLD_US, JUDGE_AGAIN_US, REPLY_MARGIN_US},
    pipeline::Reply,
    transaction::Display,
    types::{Attack, CaptureFact, Hash256, Outcome},
};

/// Codes of referrals that a better frame may change. Whatever else refers is final.
const BETTER_FRAME_MAY_HELP: [&str; 3] =
    ["GALLERY_CHANGED", "NO_CANDIDATE", "SCORE_BELOW_THRESHOLD"];

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// A frame, or what was to be compared with, decided.
    Decided,
    /// The time was up.
    TimedOut,
    /// Somebody cancelled it.
    Cancelled,
    /// The traveller left.
    Left,
    /// The appliance stopped, restarted or failed before it was decided.
    Interrupted,
}

impl Ended {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Decided, Self::TimedOut, Self::Cancelled, Self::Left, Self::Interrupted];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decided => "decided",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
            Self::Left => "left",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What happens to a transaction.
pub enum Event {
    /// A frame may wait at the lane.
    Frame,
    /// There was none after all; or nobody takes one now, for this stable code.
    NotTaken(Option<&'static str>),
    /// The frame that was handed in has been judged.
    Judged(Box<Reply>),
    /// Nothing can be judged any more, for this stable code; an officer decides.
    Impossible(&'static str),
    /// Somebody ended it.
    Told(Told),
    /// Time has passed.
    Tick,
}

/// Who can end a transaction from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The gate, or an officer.
    Cancel,
    /// A sensor of the gate: nobody stands there any more.
    Left,
    /// The appliance is stopping.
    Stop,
}

/// What whoever turns the machine does next.
pub enum Step {
    /// Take the newest frame and hand it in; then tell what became of it.
    Judge,
    /// Nothing before this time, or before something happens.
    Wait {
        /// On the appliance's clock.
        until_us: u64,
    },
    /// It is over.
    Close(Box<Closing>),
}

/// How it ended, and on what.
pub struct Closing {
    /// How.
    pub ended: Ended,
    /// What the gate does.
    pub outcome: Outcome,
    /// Why, as stable codes; never empty.
    pub reasons: Vec<&'static str>,
    /// What a display shows.
    pub display: Display,
    /// The frame that it rests on: the one that decided, or the best.
    pub chosen: Option<Box<Reply>>,
    /// SHA-256 of that frame as it arrived, where the tap took it.
    pub input: Option<Hash256>,
}

impl Closing {
    /// An officer decides, for this stable code; no frame says why.
    #[must_use]
    pub fn refer(ended: Ended, code: &'static str) -> Box<Self> {
        Box::new(Self {
            ended,
            outcome: Outcome::Refer,
            reasons: vec![code],
            display: Display::AskOfficer,
            chosen: None,
            input: None,
        })
    }
}

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// When it opened, on the appliance's clock.
    pub opened_us: u64,
    /// When it ends at the latest.
    pub deadline_us: u64,
    /// Whether the traveller may try again afterwards.
    pub may_retry: bool,
}

/// One transaction, open.
pub struct Machine {
    terms: Terms,
    frame_waits: bool,
    judging: bool,
    /// Why the last frame that was handed in was not taken.
    refused: Option<&'static str>,
    /// Not before this time is another frame asked for.
    again_us: u64,
    comparisons: u32,
    /// The best frame that was compared and did not decide.
    best: Option<Box<Reply>>,
    /// The last frame that could not be used.
    unusable: Option<Box<Reply>>,
    display: Display,
    display_since_us: u64,
}

impl Machine {
    /// Opens.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            frame_waits: false,
            judging: false,
            refused: None,
            again_us: 0,
            comparisons: 0,
            best: None,
            unusable: None,
            display: Display::LookAtCamera,
            display_since_us: terms.opened_us,
        }
    }

    /// What a display shows while it is open.
    #[must_use]
    pub fn display(&self) -> Display {
        self.display
    }

    /// Deadline of a frame that is handed in now: early enough for its reply to arrive.
    #[must_use]
    pub fn frame_deadline_us(&self) -> u64 {
        self.terms.deadline_us.saturating_sub(REPLY_MARGIN_US)
    }

    /// Something happened, or time has passed. Not called again after [`Step::Close`].
    #[must_use]
    pub fn step(&mut self, now_us: u64, event: Event) -> Step {
        let late = now_us >= self.terms.deadline_us;
        match event {
            Event::Told(told) => return Step::Close(Closing::refer(told.into(), told.code())),
            Event::Impossible(code) => return Step::Close(Closing::refer(Ended::Decided, code)),
            // What comes after the deadline was promised to nobody.
            Event::Judged(_) if late => {}
            Event::Judged(reply) => {
                (self.judging, self.refused) = (false, None);
                if let Some(step) = self.weigh(now_us, reply) {
                    return step;
                }
            }
            Event::NotTaken(why) => {
                self.judging = false;
                self.refused = why.or(self.refused);
                self.frame_waits = true;
                self.again_us = now_us.saturating_add(JUDGE_AGAIN_US);
            }
            Event::Frame => self.frame_waits = true,
            Event::Tick => {}
        }
        if late {
            return self.timed_out();
        }
        self.next(now_us)
    }

    fn next(&mut self, now_us: u64) -> Step {
        let wanted = self.frame_waits && !self.judging && now_us < self.frame_deadline_us();
        if wanted && now_us >= self.again_us {
            self.frame_waits = false;
            self.judging = true;
            return Step::Judge;
        }
        let until_us = if wanted { self.again_us } else { self.terms.deadline_us };
        Step::Wait { until_us: until_us.min(self.terms.deadline_us) }
    }

    /// What a judged frame changes; `Some` when it decides.
    fn weigh(&mut self, now_us: u64, reply: Box<Reply>) -> Option<Step> {
        match reply.verdict.outcome {
            Outcome::Admit if !is_tested(reply.attack) => {
                let codes = vec!["ATTACK_DETECTION_NOT_PERFORMED"];
                Some(ends(Ended::Decided, Outcome::Refer, codes, Some(reply)))
            }
            Outcome::Admit => Some(decides(Outcome::Admit, reply)),
            Outcome::Retry => {
                self.guide(now_us, Display::of_capture(reply.probe));
                self.unusable = Some(reply);
                None
            }
            Outcome::Refer if !may_change(&reply) => Some(decides(Outcome::Refer, reply)),
            Outcome::Refer => {
                self.comparisons += 1;
                self.guide(now_us, Display::HoldStill);
                self.keep_better(reply);
                if self.comparisons < COMPARISONS_MAX {
                    return None;
                }
                let best = self.best.take()?;
                Some(decides(Outcome::Refer, best))
            }
        }
    }

    /// The better of two frames by quality; of equals the later one.
    fn keep_better(&mut self, reply: Box<Reply>) {
        let is_better = self.best.as_ref().is_none_or(|best| rank(&reply) >= rank(best));
        if is_better {
            self.best = Some(reply);
        }
    }

    /// Tells the display something else, unless it has just changed: a text that flickers is not
    /// read.
    fn guide(&mut self, now_us: u64, display: Display) {
        let stood_us = now_us.saturating_sub(self.display_since_us);
        if display != self.display && stood_us >= GUIDANCE_HOLD_US {
            self.display = display;
            self.display_since_us = now_us;
        }
    }

    fn timed_out(&mut self) -> Step {
        let ended = Ended::TimedOut;
        if let Some(best) = self.best.take() {
            return ends(ended, Outcome::Refer, codes(&best), Some(best));
        }
        let Some(unusable) = self.unusable.take() else {
            // A frame that is still being judged was late. Without one, the appliance took none of
            // those that came, or the lane gave none: an operator looks for these in two places.
            let not_taken = self.refused.unwrap_or("NO_FRAME");
            let code = if self.judging { "ENGINE_LATE" } else { not_taken };
            return Step::Close(Closing::refer(ended, code));
        };
        let mut reasons = codes(&unusable);
        if self.terms.may_retry {
            return ends(ended, Outcome::Retry, reasons, Some(unusable));
        }
        reasons.push("ATTEMPTS_EXHAUSTED");
        ends(ended, Outcome::Refer, reasons, Some(unusable))
    }
}

fn decides(outcome: Outcome, reply: Box<Reply>) -> Step {
    ends(Ended::Decided, outcome, codes(&reply), Some(reply))
}

fn ends(
    ended: Ended,
    outcome: Outcome,
    reasons: Vec<&'static str>,
    chosen: Option<Box<Reply>>,
) -> Step {
    let probe = chosen.as_ref().map_or(CaptureFact::NoFace, |reply| reply.probe);
    let display = Display::of_outcome(outcome, Display::of_capture(probe));
    Step::Close(Box::new(Closing { ended, outcome, reasons, display, chosen, input: None }))
}

impl Told {
    fn code(self) -> &'static str {
        match self {
            Self::Cancel => "TRANSACTION_CANCELLED",
            Self::Left => "TRAVELLER_LEFT",
            Self::Stop => "APPLIANCE_STOPPING",
        }
    }
}

impl From<Told> for Ended {
    fn from(told: Told) -> Self {
        match told {
            Told::Cancel => Self::Cancelled,
            Told::Left => Self::Left,
            Told::Stop => Self::Interrupted,
        }
    }
}

fn codes(reply: &Reply) -> Vec<&'static str> {
    reply.verdict.reasons.iter().map(|reason| reason.code).collect()
}

/// At a lane nobody is admitted untested, whatever the policy asks of a supervised desk.
fn is_tested(attack: Attack) -> bool {
    matches!(attack, Attack::Score(score) if (0.0..=1.0).contains(&score))
}

fn may_change(reply: &Reply) -> bool {
    let reasons = &reply.verdict.reasons;
    !reasons.is_empty() && reasons.iter().all(|reason| BETTER_FRAME_MAY_HELP.contains(&reason.code))
}

/// One number per frame, greater for a better one, from measures that do not know the reference
/// (BSI TR-03121 QA-3). Every frame that is ranked is usable, so each factor tells better from
/// good: how frontal, how large, how sharp, how well exposed.
fn rank(reply: &Reply) -> f32 {
    /// Distance between the eyes beyond which more pixels tell nothing more.
    const INTER_EYE_PX: f32 = 120.0;
    /// Sharpness at which half of what can be gained is gained.
    const SHARPNESS_HALF: f32 = 100.0;
    let Some(face) = &reply.face else { return 0.0 };
    let Quality { inter_eye_px, sharpness, clipped_share, yaw_deg, pitch_deg, roll_deg, .. } =
        face.quality;
    let frontal: f32 =
        [yaw_deg, pitch_deg, roll_deg].iter().map(|angle| angle.to_radians().cos()).product();
    let large = (inter_eye_px / INTER_EYE_PX).clamp(0.0, 1.0);
    let sharp = sharpness.max(0.0) / (sharpness.max(0.0) + SHARPNESS_HALF);
    let exposed = 1.0 - clipped_share.clamp(0.0, 1.0);
    let rank = frontal.max(0.0) * large * sharp * exposed;
    if rank.is_finite() { rank } else { 0.0 }
}

#[cfg(test)]
mod tests;
