//! The gallery against a plain map, and what its generations promise.

use std::{collections::HashMap, sync::Arc, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    keys::custodian::MemoryCustodian,
    ops::{
        score::rest_norm,
        search::{Probe, scan},
        tile::{ROW_RESTRICTED, ROW_VACANT, Row, TileLayout, TilePart, TileSource},
    },
    random::{Entropy, SystemEntropy},
    time::SimulatedClock,
    types::{Hash256, Score, SubjectId, Template, TemplateKind},
};

pub(super) const LAYOUT: TileLayout = TileLayout { dims: 6, hot_dims: 4, rows: 3 };

pub(super) fn kind() -> TemplateKind {
    TemplateKind {
        model: Hash256::from_bytes([1; 32]),
        calibration: Hash256::from_bytes([2; 32]),
        dims: 6,
    }
}

pub(super) fn template(seed: i8) -> Template {
    let values = (1..=6).map(|at| seed.wrapping_mul(at).max(-127)).collect();
    Template::new(values, kind()).expect("six values")
}

pub(super) fn subject(number: u8) -> SubjectId {
    SubjectId::from_bytes([number; 16])
}

/// Memory, chance and a clock that stands.
pub(super) fn means() -> Means {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let custodian = Arc::new(MemoryCustodian::new(Arc::clone(&entropy)));
    Means { custodian, entropy, clock: Arc::new(SimulatedClock::at(1_000)) }
}

fn gallery_of(subjects: u8) -> Gallery {
    let gallery = Gallery::in_memory(kind(), LAYOUT);
    for number in 0..subjects {
        enrol(&gallery, number);
    }
    gallery
}

pub(super) fn enrol(gallery: &Gallery, number: u8) {
    let templates = vec![template(number as i8 + 1)];
    gallery.enrol(subject(number), templates, Enrolment::default()).expect("room");
}

fn open(source: &dyn TileSource, tile: usize, part: TilePart) -> Vec<u8> {
    let set = source.set();
    let mut scratch = vec![0; set.layout.part_bytes(part, set.tiles[tile].rows)];
    source.open(tile, part, &mut scratch).expect("a tile");
    scratch
}

/// A row with its values.
pub(super) type Seen = (Row, Vec<i8>);

/// Every row, with its values as they were enrolled.
pub(super) fn rows(source: &dyn TileSource) -> Vec<Seen> {
    let set = source.set();
    let transform = source.transform().expect("every gallery has one");
    let mut all = Vec::new();
    for tile in 0..set.tiles.len() {
        let table = open(source, tile, TilePart::Rows);
        let (hot, cold) = (open(source, tile, TilePart::Hot), open(source, tile, TilePart::Cold));
        for (at, row) in table.chunks_exact(size_of::<Row>()).enumerate() {
            let values = hot[at * 4..][..4].iter().chain(&cold[at * 2..][..2]);
            let disguised: Vec<i8> = values.map(|&byte| byte as i8).collect();
            let mut values = vec![0; disguised.len()];
            transform.undo(&disguised, &mut values);
            all.push((bytemuck::pod_read_unaligned::<Row>(row), values));
        }
    }
    all
}

/// The norm of every row's cold values.
fn norms(source: &dyn TileSource) -> Vec<u32> {
    let set = source.set();
    let mut all = Vec::new();
    for (tile, held) in set.tiles.iter().enumerate() {
        let hot = open(source, tile, TilePart::Hot);
        let (_, norms) = set.layout.split_hot(&hot, held.rows);
        all.extend(norms.iter().map(|&norm| u32::from(u16::from_le_bytes(norm))));
    }
    all
}

/// A probe's template in the gallery's own space, as the search stage hands it on.
fn disguised(source: &dyn TileSource, seed: i8) -> Template {
    let mut values = vec![0; 6].into_boxed_slice();
    source.transform().expect("a transform").apply(template(seed).values(), &mut values);
    Template::new(values, kind()).expect("six values")
}

pub(super) fn found(gallery: &Gallery, seed: i8) -> Vec<SubjectId> {
    let source = gallery.source();
    let template = disguised(source.as_ref(), seed);
    let own = crate::ops::score::score(template.values(), template.values());
    let probe = Probe {
        template: &template,
        threshold: own,
        best: 9,
        class_bits: 1,
        group: None,
        now_s: 0,
    };
    let hits = scan(&[probe], source.as_ref()).expect("a search");
    hits[0].hits.iter().map(|hit| SubjectId::from_bytes(hit.subject)).collect()
}

#[test]
fn the_enrolled_are_found_by_the_next_scan_and_the_erased_are_not() {
    let gallery = gallery_of(5);
    assert!(found(&gallery, 3).contains(&subject(2)));
    gallery
        .erase(subject(2))
        .expect("enrolled")
        .wait(Duration::ZERO)
        .expect("nobody else holds it");
    assert!(!found(&gallery, 3).contains(&subject(2)));
    let stats = gallery.stats();
    assert_eq!((stats.rows, stats.vacant, stats.subjects, stats.generation), (5, 1, 4, 6));
}

#[test]
fn an_untouched_tile_keeps_its_content_and_a_changed_one_does_not() {
    let gallery = gallery_of(7);
    let before = gallery.source();
    let erasure = gallery.erase(subject(4)).expect("enrolled");
    let after = gallery.source();
    let content = |source: &Arc<dyn TileSource>| -> Vec<u64> {
        source.set().tiles.iter().map(|tile| tile.content).collect()
    };
    let (old, new) = (content(&before), content(&after));
    assert_eq!((old[0], old[2]), (new[0], new[2]));
    assert!(!old.contains(&new[1]), "{old:?} {new:?}");
    assert!(!erasure.is_complete());
}

#[test]
fn an_erased_row_is_vacant_and_zero_and_serves_again() {
    let gallery = gallery_of(4);
    assert_eq!(gallery.erase(subject(1)).expect("enrolled").rows(), 1);
    let (row, values) = rows(gallery.source().as_ref()).swap_remove(1);
    assert_eq!((row.flags, row.subject, values), (ROW_VACANT, [0; 16], vec![0; 6]));
    enrol(&gallery, 9);
    let (row, values) = rows(gallery.source().as_ref()).swap_remove(1);
    assert_eq!((row.flags, row.subject), (0, [9; 16]));
    assert_eq!(norms(gallery.source().as_ref())[1], rest_norm(&values[4..]));
    assert_eq!(gallery.stats().rows, 4);
}

#[test]
fn an_erasure_waits_for_whoever_still_searches() {
    let gallery = gallery_of(3);
    let searching = gallery.source();
    let erasure = gallery.erase(subject(0)).expect("enrolled");
    assert_eq!(erasure.wait(Duration::from_millis(1)), Err(StillHeld { holders: 1 }));
    assert_eq!(rows(searching.as_ref())[0].0.subject, [0; 16], "a running scan keeps its set");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| erasure.wait(Duration::from_secs(60)));
        drop(searching);
        assert_eq!(waits.join().expect("no panic"), Ok(()));
    });
    assert!(erasure.is_complete());
}

#[test]
fn a_generation_from_before_the_enrolment_does_not_hold_up_the_erasure() {
    let gallery = gallery_of(3);
    let ancient = gallery.source();
    enrol(&gallery, 7);
    let erasure = gallery.erase(subject(7)).expect("enrolled");
    assert!(erasure.is_complete());
    assert_eq!(ancient.set().rows(), 3);
}

#[test]
fn a_source_names_its_successor_until_the_gallery_is_gone() {
    let gallery = gallery_of(1);
    let source = gallery.source();
    assert!(source.newer().is_none());
    enrol(&gallery, 1);
    assert_eq!(source.newer().expect("a newer one").set().generation, 2);
    drop(gallery);
    assert!(source.newer().is_none());
    assert_eq!(rows(source.as_ref()).len(), 1, "still readable");
}

#[test]
fn restricted_subjects_stay_but_are_neither_searched_nor_compared() {
    let gallery = gallery_of(2);
    gallery.restrict(subject(1), true).expect("enrolled");
    assert_eq!(rows(gallery.source().as_ref())[1].0.flags, ROW_RESTRICTED);
    assert!(!found(&gallery, 2).contains(&subject(1)));
    let refused = gallery.templates_of(subject(1), 0).unwrap_err();
    assert!(matches!(refused, GalleryError::Restricted { subject } if subject == self::subject(1)));
    enrol(&gallery, 1);
    assert_eq!(rows(gallery.source().as_ref())[2].0.flags, ROW_RESTRICTED, "also what is added");
    gallery.restrict(subject(1), false).expect("enrolled");
    assert!(found(&gallery, 2).contains(&subject(1)));
    assert_eq!(gallery.templates_of(subject(1), 0).expect("two references").len(), 2);
}

#[test]
fn validity_bounds_comparison_and_expiry_erases() {
    let gallery = gallery_of(1);
    let valid = Enrolment { not_before_s: 10, expiry_s: 20, ..Enrolment::default() };
    gallery.enrol(subject(5), vec![template(5)], valid).expect("room");
    let refused = |now_s| gallery.templates_of(subject(5), now_s).err();
    assert!(refused(10).is_none());
    assert!(matches!(refused(9), Some(GalleryError::NotValid { .. })));
    assert!(matches!(refused(20), Some(GalleryError::NotValid { .. })));

    assert!(gallery.erase_expired(19).expect("nothing to do").is_none());
    let erasure = gallery.erase_expired(20).expect("erased").expect("one has expired");
    assert_eq!((erasure.rows(), erasure.is_complete()), (1, true));
    assert_eq!(erasure.receipt().subjects, [subject(5)]);
    assert!(matches!(refused(10), Some(GalleryError::UnknownSubject { .. })));
    assert_eq!(gallery.stats().subjects, 1);
}

#[test]
fn erasing_everybody_leaves_no_row() {
    let gallery = gallery_of(5);
    let erasure = gallery.erase_all().expect("erased");
    assert_eq!((erasure.rows(), erasure.is_complete()), (5, true));
    assert_eq!(erasure.receipt().subjects.len(), 5);
    let stats = gallery.stats();
    assert_eq!((stats.subjects, stats.rows, stats.generation), (0, 0, 6));
    assert!(rows(gallery.source().as_ref()).is_empty());
    enrol(&gallery, 3);
    assert_eq!(found(&gallery, 4), [subject(3)]);
}

#[test]
fn what_cannot_be_enrolled_is_refused_and_changes_nothing() {
    let settings = Settings { rows_max: 3, ..Settings::default() };
    let media = Arc::new(MemoryMedia::new());
    let gallery = Gallery::create(media, means(), kind(), LAYOUT, settings).expect("room");
    enrol(&gallery, 0);
    let enrol = |number: u8, templates: Vec<Template>, enrolment: Enrolment| {
        gallery.enrol(subject(number), templates, enrolment).unwrap_err()
    };
    let plain = Enrolment::default();
    assert!(matches!(enrol(1, vec![], plain), GalleryError::NoTemplate));
    let classless = Enrolment { class_bits: 0, ..plain };
    assert!(matches!(enrol(1, vec![template(1)], classless), GalleryError::NoClass));
    let backwards = Enrolment { not_before_s: 5, expiry_s: 5, ..plain };
    assert!(matches!(enrol(1, vec![template(1)], backwards), GalleryError::Validity { .. }));
    let five = (0..5).map(template).collect();
    let refused = enrol(1, five, plain);
    assert!(matches!(refused, GalleryError::References { held: 0, more: 5, most: 4, .. }));
    let three = (0..3).map(template).collect();
    let refused = enrol(1, three, plain);
    assert!(matches!(refused, GalleryError::Full { held: 1, more: 3, most: 3 }));
    let foreign = TemplateKind { calibration: Hash256::from_bytes([9; 32]), ..kind() };
    let foreign = Template::new(Box::new([1; 6]), foreign).expect("six values");
    assert!(matches!(enrol(1, vec![template(1), foreign], plain), GalleryError::Kind(_)));
    let refused = gallery.erase(subject(1)).unwrap_err();
    assert!(matches!(refused, GalleryError::UnknownSubject { .. }));
    assert_eq!((gallery.stats().generation, gallery.stats().rows), (1, 1));
}

#[derive(Debug, Clone)]
enum Act {
    Enrol { number: u8, references: u8 },
    Erase { number: u8 },
    Hold,
    LetGo,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..6_u8, 1..3_u8).prop_map(|(number, references)| Act::Enrol { number, references }),
        3 => (0..6_u8).prop_map(|number| Act::Erase { number }),
        1 => Just(Act::Hold),
        1 => Just(Act::LetGo),
    ]
}

proptest! {
    #[test]
    fn it_holds_what_a_map_would_hold(acts in prop::collection::vec(act(), 1..60)) {
        let gallery = Gallery::in_memory(kind(), LAYOUT);
        let mut map: HashMap<SubjectId, usize> = HashMap::new();
        let mut held: Vec<(Arc<dyn TileSource>, Vec<Seen>)> = Vec::new();
        for act in acts {
            match act {
                Act::Enrol { number, references } => {
                    let templates = (0..references).map(|_| template(number as i8)).collect();
                    let count = map.get(&subject(number)).copied().unwrap_or_default();
                    let fits = count + usize::from(references) <= 4;
                    let done = gallery.enrol(subject(number), templates, Enrolment::default());
                    prop_assert_eq!(done.is_ok(), fits);
                    if fits {
                        *map.entry(subject(number)).or_default() += usize::from(references);
                    }
                }
                Act::Erase { number } => {
                    let rows = gallery.erase(subject(number)).map(|erasure| erasure.rows()).ok();
                    let expected = map.remove(&subject(number)).map(|count| count as u64);
                    prop_assert_eq!(rows, expected);
                }
                Act::Hold => {
                    let source = gallery.source();
                    let seen = rows(source.as_ref());
                    held.push((source, seen));
                }
                Act::LetGo => { held.pop(); }
            }
            let mut counted: HashMap<SubjectId, usize> = HashMap::new();
            for (row, values) in rows(gallery.source().as_ref()) {
                if row.flags == ROW_VACANT {
                    prop_assert!(values.iter().all(|&value| value == 0));
                } else {
                    *counted.entry(SubjectId::from_bytes(row.subject)).or_default() += 1;
                    let expected = template(row.subject[0] as i8);
                    prop_assert_eq!(&values[..], expected.values());
                }
            }
            prop_assert_eq!(&counted, &map);
            prop_assert_eq!(gallery.stats().subjects, map.len() as u64);
            for (source, seen) in &held {
                prop_assert_eq!(&rows(source.as_ref()), seen, "a held generation never changes");
            }
        }
    }
}

#[test]
fn a_threshold_below_everything_counts_everybody() {
    let gallery = gallery_of(7);
    let template = disguised(gallery.source().as_ref(), 1);
    let probe = Probe {
        template: &template,
        threshold: Score(i32::MIN),
        best: 3,
        class_bits: 1,
        group: None,
        now_s: 0,
    };
    let hits = scan(&[probe], gallery.source().as_ref()).expect("a search");
    assert_eq!((hits[0].hits.len(), hits[0].certificate.accepted), (3, 7));
    assert!(hits[0].certificate.holds());
}

#[test]
fn gdpr_17_who_will_leave_is_known_before_an_erasure_and_is_who_left() {
    use crate::types::Selection;
    let terms = |group, class_bits, span: std::ops::Range<i64>| Enrolment {
        class_bits,
        group,
        not_before_s: span.start,
        expiry_s: span.end,
    };
    for (selection, expected) in [
        (Selection::Everybody, vec![1, 2, 3]),
        (Selection::Group(7), vec![1]),
        (Selection::Classes(2), vec![3]),
        (Selection::EnrolledBefore(50), vec![1]),
        (Selection::Expired, vec![1]),
        (Selection::Group(9), vec![]),
    ] {
        let gallery = Gallery::in_memory(kind(), LAYOUT);
        let enrol = |number, terms| {
            gallery.enrol(subject(number), vec![template(1)], terms).expect("room");
        };
        enrol(1, terms(7, 1, 0..100));
        // One of two references stays in each case but the first, and so does the subject.
        enrol(2, terms(7, 1, 0..100));
        enrol(2, terms(0, 1, 60..i64::MAX));
        enrol(3, terms(0, 2, 60..i64::MAX));
        let expected: Vec<SubjectId> = expected.into_iter().map(subject).collect();
        let mut leaving = gallery.leaving(selection, 100).expect("whole tiles");
        leaving.sort_unstable();
        assert_eq!(leaving, expected, "{selection:?}");
        let erasure = match selection {
            Selection::Everybody => gallery.erase_all().map(Some),
            Selection::Group(group) => gallery.erase_group(group),
            Selection::Classes(class_bits) => gallery.erase_class(class_bits),
            Selection::EnrolledBefore(second) => gallery.erase_begun_before(second),
            Selection::Expired => gallery.erase_expired(100),
        };
        let erasure = erasure.expect("memory takes it");
        let gone = erasure.map(|erasure| erasure.receipt().gone.clone()).unwrap_or_default();
        assert_eq!(gone, expected, "{selection:?}");
    }
}

#[test]
fn a_reference_ends_earlier_where_it_is_told_to_and_never_later() {
    let gallery = Gallery::in_memory(kind(), LAYOUT);
    for (not_before_s, expiry_s) in [(0, 100), (0, 40), (70, i64::MAX)] {
        let terms = Enrolment { not_before_s, expiry_s, ..Enrolment::default() };
        gallery.enrol(subject(1), vec![template(1)], terms).expect("room");
    }
    enrol(&gallery, 2);
    gallery.end_by(subject(1), 50).expect("enrolled");
    let spans = |number| -> Vec<(i64, i64)> {
        let held = gallery.records_of(subject(number)).expect("enrolled");
        held.iter().map(|held| (held.enrolment.not_before_s, held.enrolment.expiry_s)).collect()
    };
    assert_eq!(spans(1), [(0, 50), (0, 40), (49, 50)]);
    assert_eq!(spans(2), [(i64::MIN, i64::MAX)]);
    let gone = gallery.erase_expired(50).expect("memory takes it").expect("somebody");
    assert_eq!(gone.receipt().gone, [subject(1)]);
    assert!(gallery.end_by(subject(1), 50).is_err());
}
