//! Random operations against a map, with the gallery closed and opened again at random points:
//! what it holds, what it refuses, and what generations that somebody holds go on showing.

use std::sync::Arc;

use age::secrecy::ExposeSecret;
use portcullis::{gallery::Enrolment, ops::tile::TileSource};
use proptest::{prelude::*, test_runner::TestRunner};

use super::{
    disk::Disk,
    people::{Act, People, Reference, Seen, compare, seen},
    site::{Site, is_long},
};

/// Few enough that they meet each other again.
const SUBJECTS: u32 = 14;

/// One step of a test.
#[derive(Clone, Debug)]
enum Step {
    Act(Act),
    /// Closes the gallery and opens it again.
    Reopen,
    /// Carries it to another appliance: out sealed to a recipient, into an empty medium.
    Move,
    /// Holds the newest generation, as a running search does.
    Hold,
    LetGo,
    Verify,
}

fn enrolment() -> impl Strategy<Value = Enrolment> {
    (1..8_u64, 0..3_u32, 0..40_i64, 1..40_i64).prop_map(|(class_bits, group, begin, length)| {
        Enrolment { class_bits, group, not_before_s: begin, expiry_s: begin + length }
    })
}

fn references() -> impl Strategy<Value = Vec<Reference>> {
    (prop::collection::vec(any::<u64>(), 0..4), enrolment()).prop_map(|(seeds, enrolment)| {
        seeds.into_iter().map(|seed| Reference { seed, enrolment }).collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0..SUBJECTS;
    let newcomers = prop::collection::vec((number.clone(), references()), 1..5);
    let act = prop_oneof![
        10 => newcomers.prop_map(Act::Enrol),
        3 => (number.clone(), references()).prop_map(|(who, list)| Act::Replace(who, list)),
        2 => (number.clone(), any::<bool>()).prop_map(|(who, on)| Act::Restrict(who, on)),
        2 => (number.clone(), 0..3_u32).prop_map(|(who, group)| Act::Regroup(who, group)),
        5 => number.prop_map(Act::Erase),
        1 => Just(Act::EraseAll),
        1 => (0..80_i64).prop_map(Act::EraseExpired),
        1 => (0..3_u32).prop_map(Act::EraseGroup),
        1 => (0..8_u64).prop_map(Act::EraseClass),
        1 => (0..40_i64).prop_map(Act::EraseBegunBefore),
        1 => Just(Act::Compact),
        1 => Just(Act::Rotate),
        1 => Just(Act::Rekey),
    ];
    prop_oneof![
        20 => act.prop_map(Step::Act),
        2 => Just(Step::Reopen),
        1 => Just(Step::Move),
        1 => Just(Step::Hold),
        1 => Just(Step::LetGo),
        1 => Just(Step::Verify),
    ]
}

/// A generation in somebody's hands, and what it showed when it was taken.
type Held = (Arc<dyn TileSource>, Vec<Seen>);

fn run(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut disk = Disk::default();
    let mut gallery = Site::on(&disk).create().expect("a new gallery");
    let (mut people, mut held) = (People::default(), Vec::<Held>::new());
    let (mut generation, mut opened) = (gallery.stats().generation, 0);
    for step in steps {
        match step {
            Step::Act(act) => {
                let before = seen(gallery.source().as_ref()).expect("sound");
                let said = act.to_gallery(&gallery);
                let allowed = people.act(act);
                prop_assert_eq!(said.is_ok(), allowed, "{:?}: {:?}", act, said.err());
                if matches!(act, Act::Compact) {
                    let after = seen(gallery.source().as_ref()).expect("sound");
                    prop_assert_eq!(before, after, "rows keep their order");
                    prop_assert_eq!(gallery.stats().vacant, 0);
                }
            }
            Step::Reopen => {
                held.clear();
                drop(gallery);
                opened += 1;
                gallery = Site::seeded(&disk, opened).open().expect("it opens again");
            }
            Step::Move => {
                held.clear();
                let before = seen(gallery.source().as_ref()).expect("sound");
                let identity = age::x25519::Identity::generate();
                let mut sealed = Vec::new();
                let recipient = identity.to_public().to_string();
                gallery.export(&recipient, &mut sealed, &mut |_, _| {}).expect("exported");
                disk = Disk::default();
                opened += 1;
                let secret = identity.to_string();
                let site = Site::seeded(&disk, opened);
                gallery = site.import(&sealed, secret.expose_secret()).expect("imported");
                generation = 0;
                let after = seen(gallery.source().as_ref()).expect("sound");
                prop_assert_eq!(before, after, "rows keep their order");
            }
            Step::Hold => {
                let source = gallery.source();
                let shows = seen(source.as_ref()).expect("sound");
                held.push((source, shows));
            }
            Step::LetGo => drop(held.pop()),
            Step::Verify => {
                let report = gallery.verify(&mut |_, _| {}).expect("it can be verified");
                prop_assert!(report.faults.is_empty());
            }
        }
        let newest = gallery.stats().generation;
        prop_assert!(newest >= generation, "generations never go back");
        generation = newest;
        prop_assert_eq!(compare(&gallery, &people), Ok(()), "after {:?}", step);
        for (source, shows) in &held {
            let now = seen(source.as_ref()).map_err(TestCaseError::fail)?;
            prop_assert_eq!(&now, shows, "a held generation never changes");
        }
    }
    drop((held, gallery));
    let gallery = Site::on(&disk).open().expect("it opens again");
    prop_assert_eq!(compare(&gallery, &people), Ok(()));
    Ok(())
}

#[test]
fn it_holds_what_a_map_would_hold() {
    let config = ProptestConfig {
        cases: if is_long() { 5_000 } else { 60 },
        max_shrink_iters: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new(config);
    let steps = prop::collection::vec(step(), 1..60);
    runner.run(&steps, |steps| run(&steps)).unwrap_or_else(|fault| panic!("{fault}"));
}
