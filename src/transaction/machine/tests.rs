//! The machine against tables, and against everything that a seed can make happen.

use proptest::prelude::*;

use super::*;
use crate::{
    face::{Face, FaceReport, Quality},
    pipeline::Spent,
    types::{Obligation, Reason, TransactionId, Verdict},
};

const DEADLINE_US: u64 = 8_000_000;

fn machine(may_retry: bool) -> Machine {
    Machine::new(Terms { opened_us: 0, deadline_us: DEADLINE_US, may_retry })
}

/// A judged frame; `sharpness` makes it better or worse than another.
fn reply(outcome: Outcome, code: &'static str, probe: CaptureFact, sharpness: f32) -> Box<Reply> {
    let quality = Quality { inter_eye_px: 120.0, sharpness, ..Quality::default() };
    let face = Face { rect_px: [0.0; 4], landmarks_px: [[0.0; 2]; 5], confidence: 0.9 };
    Box::new(Reply {
        transaction: TransactionId::from_bytes([sharpness as u8; 16]),
        verdict: Verdict {
            outcome,
            reasons: [Reason { code, text: "A sentence." }].into_iter().collect(),
            obligations: [Obligation::EraseProbe].into_iter().collect(),
        },
        probe,
        face: Some(FaceReport { face, quality }),
        attack: Attack::Score(0.1),
        comparisons: Vec::new(),
        candidates: Vec::new(),
        certificate: None,
        template: None,
        spent: Spent::default(),
        late: false,
    })
}

fn admitted() -> Box<Reply> {
    reply(Outcome::Admit, "ALL_REFERENCES_MATCH", CaptureFact::Usable, 100.0)
}

fn below(sharpness: f32) -> Box<Reply> {
    reply(Outcome::Refer, "SCORE_BELOW_THRESHOLD", CaptureFact::Usable, sharpness)
}

fn unusable(probe: CaptureFact) -> Box<Reply> {
    reply(Outcome::Retry, "POOR_CAPTURE", probe, 10.0)
}

/// A frame arrives, is taken and judged.
fn judged(machine: &mut Machine, now_us: u64, reply: Box<Reply>) -> Step {
    assert!(matches!(machine.step(now_us, Event::Frame), Step::Judge), "a frame is judged");
    machine.step(now_us, Event::Judged(reply))
}

#[track_caller]
fn closed(step: Step) -> Box<Closing> {
    match step {
        Step::Close(closing) => closing,
        Step::Judge => panic!("it wants another frame"),
        Step::Wait { until_us } => panic!("it waits until {until_us}"),
    }
}

#[track_caller]
fn ended(step: Step, ended: Ended, outcome: Outcome, codes: &[&str], display: Display) {
    let closing = closed(step);
    assert_eq!((closing.ended, closing.outcome), (ended, outcome));
    assert_eq!(closing.reasons, codes);
    assert_eq!(closing.display, display);
}

#[test]
fn an_admitted_frame_opens_at_once() {
    let mut machine = machine(true);
    assert_eq!(machine.display(), Display::LookAtCamera);
    let step = judged(&mut machine, 1_000_000, admitted());
    let codes = ["ALL_REFERENCES_MATCH"];
    ended(step, Ended::Decided, Outcome::Admit, &codes, Display::GoAhead);
}

#[test]
fn nobody_is_admitted_untested_whatever_the_policy_says() {
    for attack in [Attack::NotPerformed, Attack::Score(f32::NAN), Attack::Score(1.5)] {
        let mut machine = machine(true);
        let untested = Box::new(Reply { attack, ..*admitted() });
        let step = judged(&mut machine, 1, untested);
        let codes = ["ATTACK_DETECTION_NOT_PERFORMED"];
        ended(step, Ended::Decided, Outcome::Refer, &codes, Display::AskOfficer);
    }
}

#[test]
fn a_suspected_attack_and_every_other_final_reason_refer_at_once() {
    for code in ["ATTACK_SUSPECTED", "NO_FACE_IN_REFERENCE", "ENGINE_LOST", "WATCHLIST_CANDIDATE"] {
        let step =
            judged(&mut machine(true), 1, reply(Outcome::Refer, code, CaptureFact::Usable, 1.0));
        ended(step, Ended::Decided, Outcome::Refer, &[code], Display::AskOfficer);
    }
    let mut both = below(1.0);
    both.verdict.reasons.push(Reason { code: "ATTACK_SUSPECTED", text: "A sentence." });
    let step = judged(&mut machine(true), 1, both);
    let codes = ["SCORE_BELOW_THRESHOLD", "ATTACK_SUSPECTED"];
    ended(step, Ended::Decided, Outcome::Refer, &codes, Display::AskOfficer);
}

#[test]
fn the_best_frame_by_quality_is_what_a_referral_rests_on() {
    let mut machine = machine(true);
    for sharpness in [40.0, 90.0, 20.0] {
        assert!(matches!(judged(&mut machine, 1_000, below(sharpness)), Step::Wait { .. }));
    }
    let closing = closed(machine.step(DEADLINE_US, Event::Tick));
    assert_eq!((closing.ended, closing.outcome), (Ended::TimedOut, Outcome::Refer));
    assert_eq!(closing.reasons, ["SCORE_BELOW_THRESHOLD"]);
    let chosen = closing.chosen.expect("a frame was compared");
    assert_eq!(chosen.transaction, TransactionId::from_bytes([90; 16]));
}

#[test]
fn a_better_frame_may_still_open() {
    let mut machine = machine(true);
    assert!(matches!(judged(&mut machine, 1_000, below(10.0)), Step::Wait { .. }));
    let closing = closed(judged(&mut machine, 2_000, admitted()));
    assert_eq!(closing.outcome, Outcome::Admit);
}

#[test]
fn comparisons_of_one_traveller_are_bounded() {
    let mut machine = machine(true);
    for number in 1..COMPARISONS_MAX {
        let step = judged(&mut machine, u64::from(number), below(10.0));
        assert!(matches!(step, Step::Wait { .. }), "comparison {number}");
    }
    let closing = closed(judged(&mut machine, 1_000, below(10.0)));
    assert_eq!((closing.ended, closing.outcome), (Ended::Decided, Outcome::Refer));
}

#[test]
fn only_unusable_frames_are_retried_while_attempts_are_left() {
    for (capture, display) in [
        (CaptureFact::NoFace, Display::LookAtCamera),
        (CaptureFact::SeveralFaces, Display::OnePerson),
        (CaptureFact::FaceTooSmall, Display::ComeCloser),
        (CaptureFact::OffCentre, Display::StandInMiddle),
        (CaptureFact::PoorQuality, Display::HoldStill),
    ] {
        let (mut first, mut last) = (machine(true), machine(false));
        for machine in [&mut first, &mut last] {
            let step = judged(machine, 1_000_000, unusable(capture));
            assert!(matches!(step, Step::Wait { until_us: DEADLINE_US }));
            assert_eq!(machine.display(), display, "the display says what to do");
        }
        let step = first.step(DEADLINE_US, Event::Tick);
        ended(step, Ended::TimedOut, Outcome::Retry, &["POOR_CAPTURE"], display);
        let codes = ["POOR_CAPTURE", "ATTEMPTS_EXHAUSTED"];
        let step = last.step(DEADLINE_US, Event::Tick);
        ended(step, Ended::TimedOut, Outcome::Refer, &codes, Display::AskOfficer);
    }
}

#[test]
fn without_a_frame_or_without_its_answer_an_officer_decides() {
    let step = machine(true).step(DEADLINE_US, Event::Tick);
    ended(step, Ended::TimedOut, Outcome::Refer, &["NO_FRAME"], Display::AskOfficer);
    let mut hanging = machine(true);
    assert!(matches!(hanging.step(1, Event::Frame), Step::Judge));
    let step = hanging.step(DEADLINE_US, Event::Tick);
    ended(step, Ended::TimedOut, Outcome::Refer, &["ENGINE_LATE"], Display::AskOfficer);
}

#[test]
fn frames_that_nobody_took_are_not_frames_that_never_came() {
    for (number, code) in ["BUSY", "DEADLINE_UNMEETABLE"].into_iter().enumerate() {
        let mut refused = machine(true);
        assert!(matches!(refused.step(1, Event::Frame), Step::Judge));
        let waits = refused.step(2, Event::NotTaken(Some(code)));
        assert!(matches!(waits, Step::Wait { .. }));
        // Asked again there is none: why the last one was not taken stands.
        let again = refused.step(2 + JUDGE_AGAIN_US, Event::Tick);
        assert!(matches!(again, Step::Judge));
        let waits = refused.step(3 + JUDGE_AGAIN_US, Event::NotTaken(None));
        assert!(matches!(waits, Step::Wait { .. }));
        if number == 0 {
            let step = refused.step(DEADLINE_US, Event::Tick);
            ended(step, Ended::TimedOut, Outcome::Refer, &[code], Display::AskOfficer);
            continue;
        }
        // One that was judged after all says more.
        let step = judged(&mut refused, 4 * JUDGE_AGAIN_US, below(1.0));
        assert!(matches!(step, Step::Wait { .. }));
        let step = refused.step(DEADLINE_US, Event::Tick);
        let codes = ["SCORE_BELOW_THRESHOLD"];
        ended(step, Ended::TimedOut, Outcome::Refer, &codes, Display::AskOfficer);
    }
}

#[test]
fn an_answer_after_the_deadline_opens_nothing() {
    let mut machine = machine(true);
    assert!(matches!(machine.step(1, Event::Frame), Step::Judge));
    let closing = closed(machine.step(DEADLINE_US, Event::Judged(admitted())));
    assert_eq!((closing.ended, closing.outcome), (Ended::TimedOut, Outcome::Refer));
}

#[test]
fn whoever_ends_it_ends_it_with_an_officer() {
    for (told, how, code) in [
        (Told::Cancel, Ended::Cancelled, "TRANSACTION_CANCELLED"),
        (Told::Left, Ended::Left, "TRAVELLER_LEFT"),
        (Told::Stop, Ended::Interrupted, "APPLIANCE_STOPPING"),
    ] {
        let step = machine(true).step(1, Event::Told(told));
        ended(step, how, Outcome::Refer, &[code], Display::AskOfficer);
    }
    let step = machine(true).step(1, Event::Impossible("SUBJECT_UNKNOWN"));
    ended(step, Ended::Decided, Outcome::Refer, &["SUBJECT_UNKNOWN"], Display::AskOfficer);
}

#[test]
fn one_frame_is_judged_at_a_time_and_none_too_late() {
    let mut machine = machine(true);
    assert!(matches!(machine.step(1, Event::Frame), Step::Judge));
    assert!(matches!(machine.step(2, Event::Frame), Step::Wait { .. }), "one is being judged");
    let next = machine.step(3, Event::Judged(below(1.0)));
    assert!(matches!(next, Step::Judge), "the one that came meanwhile");
    let waits = machine.step(4, Event::NotTaken(None));
    let Step::Wait { until_us } = waits else { panic!("nobody takes one now") };
    assert_eq!(until_us, 4 + JUDGE_AGAIN_US);
    assert!(matches!(machine.step(until_us, Event::Tick), Step::Judge));
    assert!(matches!(machine.step(until_us, Event::Judged(below(1.0))), Step::Wait { .. }));
    let late = machine.step(machine.frame_deadline_us(), Event::Frame);
    assert!(matches!(late, Step::Wait { until_us: DEADLINE_US }), "its reply would come too late");
}

#[test]
fn a_display_does_not_flicker() {
    let mut machine = machine(true);
    let mut show = |now_us, capture| {
        let step = judged(&mut machine, now_us, unusable(capture));
        assert!(matches!(step, Step::Wait { .. }));
        machine.display()
    };
    let at_us = GUIDANCE_HOLD_US;
    assert_eq!(show(at_us, CaptureFact::FaceTooSmall), Display::ComeCloser);
    assert_eq!(show(at_us + 1, CaptureFact::OffCentre), Display::ComeCloser, "too soon");
    assert_eq!(show(2 * at_us, CaptureFact::OffCentre), Display::StandInMiddle);
}

/// What may happen, drawn.
fn happening() -> impl Strategy<Value = (u64, u8, bool, u8)> {
    (0..700_000_u64, 0..12_u8, any::<bool>(), 1..100_u8)
}

fn event(kind: u8, is_tested: bool, sharpness: u8) -> Event {
    let attack = if is_tested { Attack::Score(0.2) } else { Attack::NotPerformed };
    let with = |reply: Box<Reply>| Event::Judged(Box::new(Reply { attack, ..*reply }));
    let sharpness = f32::from(sharpness);
    match kind {
        0 => with(admitted()),
        1 | 2 => with(below(sharpness)),
        3 => with(unusable(CaptureFact::OffCentre)),
        4 => with(reply(Outcome::Refer, "ENGINE_LOST", CaptureFact::Usable, sharpness)),
        5 => Event::NotTaken(is_tested.then_some("BUSY")),
        6 => Event::Told(Told::Left),
        7 => Event::Impossible("SUBJECT_UNKNOWN"),
        8 | 9 => Event::Frame,
        _ => Event::Tick,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_always_ends_in_time_and_admits_only_what_was_admitted_and_tested(
        happenings in prop::collection::vec(happening(), 0..60),
        may_retry in any::<bool>(),
    ) {
        let mut machine = machine(may_retry);
        let (mut now_us, mut judging) = (0, false);
        let mut happenings = happenings.into_iter();
        loop {
            let (kind, is_tested, sharpness) = match happenings.next() {
                Some((after_us, kind, is_tested, sharpness)) => {
                    now_us += after_us;
                    (kind, is_tested, sharpness)
                }
                None => {
                    now_us = now_us.max(DEADLINE_US);
                    (255, false, 1)
                }
            };
            // A reply, or a refusal to take a frame, comes only for a frame that was asked for.
            if kind <= 5 && !judging {
                continue;
            }
            judging &= kind > 5;
            let may_admit = kind == 0 && is_tested && now_us < DEADLINE_US;
            match machine.step(now_us, event(kind, is_tested, sharpness)) {
                Step::Judge => {
                    prop_assert!(!judging, "one at a time");
                    prop_assert!(now_us < DEADLINE_US);
                    judging = true;
                }
                Step::Wait { until_us } => {
                    prop_assert!((now_us..=DEADLINE_US).contains(&until_us));
                    prop_assert!(now_us < DEADLINE_US, "it has ended by its deadline");
                }
                Step::Close(closing) => {
                    prop_assert!(!closing.reasons.is_empty());
                    prop_assert_eq!(closing.outcome == Outcome::Admit, may_admit);
                    prop_assert!(closing.outcome != Outcome::Retry || may_retry);
                    let says_go = closing.display == Display::GoAhead;
                    prop_assert_eq!(says_go, closing.outcome == Outcome::Admit);
                    break;
                }
            }
        }
    }
}
