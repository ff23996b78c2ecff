//! Galleries that are closed and opened again: what they hold, what is refused, and why.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    tests::{self, LAYOUT, enrol, found, kind, means, rows, subject, template},
    *,
};
use crate::{
    keys::{
        CustodyError,
        custodian::{FileCustodian, MemoryCustodian, refusing::Refusing},
    },
    ops::tile::{TileLayout, TilePart},
    random::SystemEntropy,
    types::Hash256,
};

/// A gallery of `subjects` on a medium of its own.
fn made(subjects: u8) -> (MemoryMedia, Means, Gallery) {
    let (media, means) = (MemoryMedia::new(), means());
    let on = Arc::new(media.clone());
    let gallery = Gallery::create(on, means.clone(), kind(), LAYOUT, Settings::default());
    let gallery = gallery.expect("created");
    for number in 0..subjects {
        enrol(&gallery, number);
    }
    (media, means, gallery)
}

fn open(bytes: &[u8], means: &Means) -> Result<Gallery, GalleryError> {
    let media = Arc::new(MemoryMedia::of(bytes));
    Gallery::open(media, means.clone(), Settings::default())
}

fn refused(bytes: &[u8], means: &Means) -> OpenError {
    match open(bytes, means) {
        Err(GalleryError::Open(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened"),
    }
}

/// Whether a search for subject `number` finds it.
fn finds(gallery: &Gallery, number: u8) -> bool {
    found(gallery, number as i8 + 1).contains(&subject(number))
}

#[test]
fn a_gallery_is_the_same_after_it_was_closed() {
    let (media, means, gallery) = made(7);
    gallery.erase(subject(3)).expect("enrolled").wait(Duration::ZERO).expect("free");
    gallery.restrict(subject(5), true).expect("enrolled");
    gallery.regroup(subject(6), 77).expect("enrolled");
    let (before, stats) = (rows(gallery.source().as_ref()), gallery.stats());
    drop(gallery);
    let gallery = open(&media.bytes(), &means).expect("opened");
    assert_eq!(rows(gallery.source().as_ref()), before);
    assert_eq!((gallery.stats().generation, gallery.stats().subjects), (10, 6));
    assert_eq!(gallery.stats().rows, stats.rows);
    assert_eq!(gallery.records_of(subject(6)).expect("enrolled")[0].enrolment.group, 77);
    assert!(finds(&gallery, 1));
    enrol(&gallery, 9);
    assert!(gallery.verify(&mut |_, _| {}).expect("read").faults.is_empty());
}

#[test]
fn a_copy_of_an_open_gallery_is_refused_and_destroys_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, copy) = (folder.path().join("staff.gallery"), folder.path().join("copy.gallery"));
    // Each process has a custodian of its own over the same keys.
    let means = || {
        let entropy = Arc::new(SystemEntropy);
        let keys = folder.path().join("keys");
        let custodian = FileCustodian::open(&keys, None, Arc::clone(&entropy) as _).expect("keys");
        Means { custodian: Arc::new(custodian), entropy, ..means() }
    };
    let media = Arc::new(FileMedia::create(&path).expect("created"));
    let gallery = Gallery::create(media, means(), kind(), LAYOUT, Settings::default());
    let gallery = gallery.expect("created");
    enrol(&gallery, 1);
    fs::copy(&path, &copy).expect("copied");
    let open = |path| {
        let media = Arc::new(FileMedia::open(path).expect("a file of its own"));
        Gallery::open(media, means(), Settings::default())
    };
    let Err(GalleryError::Open(OpenError::Custody(error))) = open(&copy) else {
        panic!("a second hand on the same keys")
    };
    assert!(matches!(error, CustodyError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("copy"), "{error}");
    enrol(&gallery, 2);
    drop(gallery);
    assert!(matches!(open(&copy), Err(GalleryError::Open(OpenError::RolledBack { .. }))));
    let gallery = open(&path).expect("the newest is nobody's now");
    assert!(finds(&gallery, 1) && finds(&gallery, 2));
}

#[test]
fn a_gallery_at_its_limit_fills_every_vacant_row_and_grows_no_further() {
    // A tile of which an eighth is two rows: one vacant row alone is not worth writing it.
    let layout = TileLayout { rows: 16, ..LAYOUT };
    let settings = Settings { rows_max: 32, ..Settings::default() };
    let media = Arc::new(MemoryMedia::new());
    let gallery = Gallery::create(media, means(), kind(), layout, settings).expect("created");
    (0..32).for_each(|number| enrol(&gallery, number));
    for number in [3, 20] {
        drop(gallery.erase(subject(number)).expect("enrolled"));
    }
    let newcomer = |number: u8| (subject(number), vec![template(1)], Enrolment::default());
    let full = gallery.enrol_all(&[newcomer(40), newcomer(41), newcomer(42)]);
    assert!(matches!(full, Err(GalleryError::Full { held: 30, more: 3, most: 32 })));
    gallery.enrol_all(&[newcomer(40), newcomer(41)]).expect("two rows are vacant");
    let stats = gallery.stats();
    assert_eq!((stats.rows, stats.vacant, stats.subjects), (32, 0, 32));
}

#[test]
fn a_key_that_was_left_is_destroyed_when_the_erasure_is_asked_for_again() {
    let custodian = Arc::new(Refusing::over(MemoryCustodian::new(Arc::new(SystemEntropy))));
    let means = Means { custodian: Arc::clone(&custodian) as _, ..means() };
    let media = Arc::new(MemoryMedia::new());
    let gallery = Gallery::create(media, means, kind(), LAYOUT, Settings::default());
    let gallery = gallery.expect("created");
    (0..4).for_each(|number| enrol(&gallery, number));
    custodian.destroys.store(true, Ordering::SeqCst);
    let left = |told: Result<Erasure, GalleryError>| match told {
        Err(GalleryError::NotDestroyed { epoch, generation, .. }) => (epoch, generation),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("destroyed"),
    };
    assert_eq!(left(gallery.erase(subject(2))), (1, 5));
    assert!(!finds(&gallery, 2), "its row is gone all the same");
    // Not `UnknownSubject`: whoever asked is owed the destruction.
    assert_eq!(left(gallery.erase(subject(2))), (1, 5));
    assert!(gallery.settle().is_err());
    assert!(gallery.erase_group(77).is_err(), "nor is any other erasure done before it");
    custodian.destroys.store(false, Ordering::SeqCst);
    let erasure = gallery.erase(subject(2)).expect("destroyed at last");
    erasure.wait(Duration::ZERO).expect("nobody holds it");
    let receipt = erasure.receipt();
    assert_eq!((receipt.rows, receipt.generation, receipt.epoch_destroyed), (1, 5, 1));
    assert_eq!(receipt.subjects, [subject(2)]);
    let again = gallery.erase(subject(2));
    assert!(matches!(again, Err(GalleryError::UnknownSubject { .. })), "answered once");

    // Nobody asks again: the receipt is handed to whoever keeps the house.
    custodian.destroys.store(true, Ordering::SeqCst);
    assert_eq!(left(gallery.erase(subject(3))), (2, 6));
    custodian.destroys.store(false, Ordering::SeqCst);
    let receipts = gallery.settle().expect("destroyed");
    assert_eq!(receipts.len(), 1);
    assert_eq!((&receipts[0].subjects[..], receipts[0].epoch_destroyed), (&[subject(3)][..], 2));
    assert!(gallery.settle().expect("nothing is left").is_empty());
}

/// A medium of which one read is refused, as a failing sector is.
struct Unreadable {
    inner: MemoryMedia,
    left: AtomicU64,
}

impl Media for Unreadable {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        const EIO: i32 = 5;
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.inner.read(at, bytes)
    }
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write(at, bytes)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
}

#[test]
fn a_read_that_fails_while_it_opens_gives_up_no_generation() {
    let custodian = Arc::new(Refusing::over(MemoryCustodian::new(Arc::new(SystemEntropy))));
    let means = Means { custodian: Arc::clone(&custodian) as _, ..means() };
    let media = MemoryMedia::new();
    let on = Arc::new(media.clone());
    let gallery = Gallery::create(on, means.clone(), kind(), LAYOUT, Settings::default());
    let gallery = gallery.expect("created");
    (0..4).for_each(|number| enrol(&gallery, number));
    // Whole on the medium, announced, and not committed: of this the next opening decides.
    custodian.commits.store(true, Ordering::SeqCst);
    assert!(matches!(gallery.erase(subject(1)), Err(GalleryError::Unknown { .. })));
    custodian.commits.store(false, Ordering::SeqCst);
    drop(gallery);
    let mut refused = 0;
    let gallery = loop {
        let left = AtomicU64::new(refused + 1);
        let media = Arc::new(Unreadable { inner: media.clone(), left });
        match Gallery::open(media, means.clone(), Settings::default()) {
            Ok(gallery) => break gallery,
            Err(GalleryError::Open(OpenError::Medium { act: "read" | "made durable", .. })) => {}
            Err(error) => panic!("read {refused}: {error}"),
        }
        refused += 1;
    };
    assert!(refused > 5, "{refused} reads were refused");
    // The medium that fails its next read would fail the search's.
    drop(gallery);
    let gallery = Gallery::open(Arc::new(media), means, Settings::default()).expect("opened");
    assert!(!finds(&gallery, 1), "the erasure was durable, and stands");
    assert_eq!(gallery.epoch(), 2);
}

#[test]
fn who_is_in_damaged_tiles_can_be_given_up_so_that_the_rest_can_be_changed() {
    let (media, means, gallery) = made(7);
    // One reference more, in another tile than the first.
    gallery.enrol(subject(3), vec![template(50)], Enrolment::default()).expect("room");
    let place = |tile: usize, part| gallery.shelf.newest().tiles[tile].part(part).extent.place;
    let (rows, plane) = (place(0, TilePart::Rows), place(1, TilePart::Cold));
    drop(gallery);
    let gallery = open(&media.bytes(), &means).expect("opened");
    assert!(gallery.erase_damaged(&mut |_, _| {}).expect("read").is_none(), "every tile opens");
    drop(gallery);
    for at in [rows.at, plane.at] {
        let mut byte = [0];
        media.read(at, &mut byte).expect("within");
        media.write(at, &[byte[0] ^ 1]).expect("within");
    }
    let media = Arc::new(media);
    let gallery = Gallery::open(Arc::clone(&media) as _, means.clone(), Settings::default());
    let gallery = gallery.expect("no tile is needed to open it");
    let refused = gallery.enrol(subject(9), vec![template(9)], Enrolment::default());
    assert!(matches!(refused, Err(GalleryError::Tile(_))), "one row table is in everybody's way");
    let mut told = Vec::new();
    let erasure = gallery.erase_damaged(&mut |done, all| told.push((done, all))).expect("erased");
    let erasure = erasure.expect("two tiles are damaged");
    assert_eq!(told, [(1, 3), (2, 3), (3, 3)]);
    // Of the first tile nobody knows who they were; 3 has a row left, 4 and 5 have none.
    let receipt = erasure.receipt();
    assert_eq!((receipt.rows, &receipt.gone[..]), (6, &[subject(4), subject(5)][..]));
    assert_eq!(receipt.subjects, [subject(3), subject(4), subject(5)]);
    assert_eq!(erasure.receipt().epoch_destroyed, 1);
    assert_eq!((gallery.stats().subjects, gallery.stats().vacant), (2, 6));
    assert!(gallery.verify(&mut |_, _| {}).expect("read").faults.is_empty());
    enrol(&gallery, 9);
    drop(gallery.erase(subject(6)).expect("enrolled"));
    drop(gallery);
    let gallery = open(&media.bytes(), &means).expect("opened");
    assert_eq!(gallery.records_of(subject(3)).expect("one is left").len(), 1);
    assert!(finds(&gallery, 9) && !finds(&gallery, 0));
}

#[test]
fn an_erased_row_is_in_no_older_copy_that_still_opens() {
    let (media, means, gallery) = made(5);
    let before = media.bytes();
    let erasure = gallery.erase(subject(2)).expect("enrolled");
    let receipt = erasure.receipt();
    assert_eq!((receipt.epoch_destroyed, receipt.at_s, receipt.custodian), (1, 1_000, "memory"));
    assert!(matches!(refused(&before, &means), OpenError::RolledBack { .. }));
    // Even with a custodian that would believe in it: the epoch's key is gone.
    let slots = open::Slots::read(&MemoryMedia::of(&before)).expect("read");
    for (_, superblock) in slots.held() {
        let bound = format::Superblock::wrap_bound(&gallery.file(), 1);
        let opened = means.custodian.unwrap(&gallery.file(), 1, &superblock.wrapped, &bound);
        assert!(opened.is_err());
    }
}

#[test]
fn an_older_copy_within_an_epoch_is_a_rollback_too() {
    let (media, means, gallery) = made(2);
    let before = media.bytes();
    enrol(&gallery, 2);
    let error = refused(&before, &means);
    let OpenError::RolledBack { held, newest } = error else { panic!("{error}") };
    assert_eq!((held.generation, newest.generation), (2, 3));
}

#[test]
fn what_is_not_this_gallery_is_refused_by_name() {
    let (media, means, gallery) = made(3);
    let bytes = media.bytes();
    drop(gallery);
    let stranger = tests::means();
    assert!(matches!(refused(&bytes, &stranger), OpenError::UnknownGallery { .. }));
    assert!(matches!(refused(&bytes[..8191], &means), OpenError::Short { bytes: 8191 }));
    assert!(matches!(refused(&[0; 8192], &means), OpenError::Unfinished));
    assert!(matches!(refused(&[7; 8192], &means), OpenError::NoSuperblock { .. }));
    let settings = Settings {
        kind: Some(TemplateKind { model: Hash256::from_bytes([9; 32]), ..kind() }),
        ..Settings::default()
    };
    let media = Arc::new(MemoryMedia::of(&bytes));
    let error = Gallery::open(media, stranger, settings).err().expect("refused");
    assert!(matches!(error, GalleryError::Open(OpenError::Kind(_))), "before any key: {error}");
    let other = made(3).0.bytes();
    let mixed = [&bytes[..4096], &other[4096..]].concat();
    assert!(matches!(refused(&mixed, &means), OpenError::TwoGalleries));
    let mut cut = bytes.clone();
    for len in (0..bytes.len()).step_by(97) {
        cut.truncate(bytes.len() - len);
        if let Ok(gallery) = open(&cut, &means) {
            assert!(gallery.verify(&mut |_, _| {}).expect("read").faults.is_empty(), "{len}");
        }
    }
}

/// Whoever can write the file can write that: numbers that nobody stamped are not gone on from.
#[test]
fn a_forged_head_beside_the_newest_changes_nothing() {
    let (media, means, gallery) = made(2);
    let spare = writer::other(gallery.shelf.writer().slot);
    let slots = open::Slots::read(&media).expect("read");
    let (_, held) = slots.held().find(|(slot, _)| *slot == spare).expect("two generations");
    let head = Head { epoch: u64::MAX, generation: u64::MAX, ..held.head };
    let forged = format::Superblock { head, ..held.clone() }.encode(&[9; 32]);
    drop(gallery);
    media.write(spare as u64 * 4096, &forged).expect("within");
    let gallery = open(&media.bytes(), &means).expect("the newest is whole");
    enrol(&gallery, 5);
    drop(gallery.erase(subject(1)).expect("enrolled"));
    assert_eq!((gallery.stats().generation, gallery.epoch()), (4, 2));
}

#[test]
fn damage_is_found_by_verify_and_named() {
    let (media, _, gallery) = made(7);
    let tile = &gallery.shelf.newest().tiles[1];
    let place = tile.part(TilePart::Rows).extent.place;
    media.write(place.at + 3, &[0xA5]).expect("within");
    let report = gallery.verify(&mut |_, _| {}).expect("read");
    let [Fault::Part { tile: 1, part: TilePart::Rows, at, .. }] = report.faults[..] else {
        panic!("{:?}", report.faults)
    };
    assert_eq!((at, report.parts, report.tiles), (place.at, 8, 3));
    let leaf = gallery.shelf.writer().leaves[0].extent.place;
    media.write(leaf.at, &[0xA5; 2]).expect("within");
    let report = gallery.verify(&mut |_, _| {}).expect("read");
    assert!(matches!(report.faults[0], Fault::Node { node: Node::Leaf(0), .. }));
}

#[test]
fn replacing_is_an_erasure_and_keeps_a_restriction() {
    let (_, _, gallery) = made(4);
    gallery.restrict(subject(1), true).expect("enrolled");
    let erasure = gallery
        .replace(subject(1), vec![template(50), template(51)], Enrolment::default())
        .expect("replaced");
    assert_eq!((erasure.rows(), &erasure.receipt().subjects[..]), (1, &[subject(1)][..]));
    assert!(erasure.receipt().gone.is_empty(), "somebody is still enrolled");
    assert_eq!(gallery.epoch(), 2);
    let records = gallery.records_of(subject(1)).expect("enrolled");
    assert!(records.len() == 2 && records.iter().all(|record| record.restricted));
    gallery.restrict(subject(1), false).expect("enrolled");
    let held = gallery.templates_of(subject(1), 0).expect("two");
    assert!(held.iter().zip([50, 51]).all(|(held, seed)| held.values() == template(seed).values()));
    assert_eq!(gallery.stats().subjects, 4);
}

#[test]
fn groups_classes_and_times_are_erased_and_nobody_else() {
    let (_, _, gallery) = made(2);
    let flight = Enrolment { group: 5, class_bits: 4, not_before_s: 50, ..Enrolment::default() };
    for number in 10..15 {
        gallery.enrol(subject(number), vec![template(9)], flight).expect("room");
    }
    gallery.enrol(subject(10), vec![template(8)], Enrolment::default()).expect("room");
    assert!(gallery.erase_group(6).expect("nobody").is_none());
    let erasure = gallery.erase_group(5).expect("erased").expect("five");
    let gone: Vec<_> = (11..15).map(subject).collect();
    assert_eq!((erasure.rows(), &erasure.receipt().gone), (5, &gone));
    assert_eq!(erasure.receipt().subjects.len(), 5, "and one who has another reference");
    assert_eq!(gallery.stats().subjects, 3);
    gallery.enrol(subject(20), vec![template(7)], flight).expect("room");
    assert_eq!(gallery.erase_class(4).expect("erased").expect("one").rows(), 1);
    let rest = gallery.erase_begun_before(0).expect("erased").expect("those without a begin");
    assert_eq!((rest.rows(), gallery.stats().subjects), (3, 0));
    assert!(gallery.verify(&mut |_, _| {}).expect("read").faults.is_empty());
}

#[test]
fn compacting_keeps_the_order_and_gives_the_rows_back() {
    let (media, means, gallery) = made(11);
    for number in [0, 4, 5, 9] {
        drop(gallery.erase(subject(number)).expect("enrolled"));
    }
    assert_eq!(gallery.compact(&mut |_, _| {}).expect("compacted"), 4);
    let order = |gallery: &Gallery| -> Vec<u8> {
        rows(gallery.source().as_ref()).iter().map(|(row, _)| row.subject[0]).collect()
    };
    assert_eq!(order(&gallery), [1, 2, 3, 6, 7, 8, 10]);
    assert_eq!((gallery.stats().rows, gallery.stats().vacant), (7, 0));
    assert_eq!(gallery.compact(&mut |_, _| {}).expect("nothing to do"), 0);
    assert!(finds(&gallery, 8));
    assert_eq!(gallery.records_of(subject(10)).expect("enrolled")[0].row, 6);
    let gallery = open(&media.bytes(), &means).expect("opened");
    assert_eq!(order(&gallery), [1, 2, 3, 6, 7, 8, 10]);
}

#[test]
fn a_new_epoch_writes_no_tile_and_a_new_transform_writes_all() {
    let (media, means, gallery) = made(8);
    let (before, written) = (rows(gallery.source().as_ref()), gallery.written());
    let raw = |gallery: &Gallery| {
        let mut plane = vec![0; LAYOUT.part_bytes(TilePart::Hot, 3)];
        gallery.source().open(0, TilePart::Hot, &mut plane).expect("a tile");
        plane
    };
    let disguised = raw(&gallery);
    gallery.rotate().expect("rotated");
    assert_eq!((gallery.epoch(), gallery.written().tile_bytes), (2, written.tile_bytes));
    assert_eq!(raw(&gallery), disguised);
    let mut told = Vec::new();
    drop(gallery.rekey(&mut |done, all| told.push((done, all))).expect("renewed"));
    assert_eq!((told, gallery.epoch()), (vec![(1, 3), (2, 3), (3, 3)], 3));
    assert_eq!(rows(gallery.source().as_ref()), before);
    let reopened = open(&media.bytes(), &means).expect("opened");
    assert_eq!(rows(reopened.source().as_ref()), before);
    assert_eq!(raw(&reopened), raw(&gallery));
}

#[test]
fn resident_tiles_are_served_in_place_and_change_with_the_gallery() {
    let (media, means, gallery) = made(5);
    drop(gallery);
    let settings = Settings { residency: Residency::Locked, ..Settings::default() };
    let gallery = match Gallery::open(Arc::new(media), means, settings) {
        Err(GalleryError::Open(OpenError::Memory(error))) => {
            assert!(error.to_string().contains("ulimit"), "{error}");
            return;
        }
        opened => opened.expect("opened"),
    };
    enrol(&gallery, 5);
    drop(gallery.erase(subject(1)).expect("enrolled"));
    let source = gallery.source();
    for tile in 0..2 {
        for part in [TilePart::Hot, TilePart::Cold, TilePart::Rows] {
            let resident = source.resident(tile, part).expect("resident");
            let mut opened = vec![0; resident.len()];
            source.open(tile, part, &mut opened).expect("a tile");
            assert_eq!(resident, opened);
        }
    }
    assert!(finds(&gallery, 5) && !finds(&gallery, 1));
    assert!(
        gallery.stats().locked && gallery.verify(&mut |_, _| {}).expect("read").faults.is_empty()
    );
}

#[test]
fn a_gallery_moves_to_another_appliance() {
    let (_, _, gallery) = made(5);
    gallery.restrict(subject(2), true).expect("enrolled");
    drop(gallery.erase(subject(3)).expect("enrolled"));
    let identity = age::x25519::Identity::generate();
    let mut stream = Vec::new();
    let recipient = identity.to_public().to_string();
    assert_eq!(gallery.export(&recipient, &mut stream, &mut |_, _| {}).expect("exported"), 4);
    use age::secrecy::ExposeSecret;
    let secret = identity.to_string();
    let import = |stream: &[u8]| {
        let media = Arc::new(MemoryMedia::new());
        let settings = Settings::default();
        let secret = secret.expose_secret();
        Gallery::import(&mut &*stream, secret, media, means(), settings, &mut |_, _| {})
    };
    let moved = import(&stream).expect("imported");
    assert_ne!(moved.file(), gallery.file());
    let seen = |gallery: &Gallery| {
        let mut seen = rows(gallery.source().as_ref());
        seen.retain(|(row, _)| row.subject != [0; 16] || row.flags == 0);
        seen
    };
    assert_eq!(seen(&moved), seen(&gallery));
    stream.truncate(stream.len() - 20);
    assert!(matches!(import(&stream), Err(GalleryError::Carry(_))));
    let refused = gallery.export("age1nobody", &mut Vec::new(), &mut |_, _| {});
    assert!(matches!(refused, Err(GalleryError::Carry(CarryError::Identity(_)))));
}

/// A medium that refuses the `n`th write or sync.
struct Failing {
    inner: MemoryMedia,
    left: AtomicU64,
}

impl Failing {
    fn step(&self) -> io::Result<()> {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Media for Failing {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read(at, bytes)
    }
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        self.inner.write(at, bytes)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.step()
    }
}

#[test]
fn a_refused_write_leaves_the_gallery_as_it_was_or_asks_to_open_it_again() {
    // Per erase: three parts, a leaf, a root, the superblock, the sync.
    for fails_at in 1..=7 {
        let (memory, means, gallery) = made(5);
        drop(gallery);
        let media = Arc::new(Failing { inner: memory.clone(), left: AtomicU64::new(u64::MAX) });
        let opened = Gallery::open(media.clone(), means.clone(), Settings::default());
        let gallery = opened.expect("opened");
        media.left.store(fails_at, Ordering::SeqCst);
        let error = gallery.erase(subject(1)).expect_err("refused");
        assert_eq!(gallery.stats().subjects, 5);
        assert!(finds(&gallery, 1));
        if fails_at <= 5 {
            assert!(matches!(error, GalleryError::Medium { .. }), "{fails_at}: {error}");
            drop(gallery.erase(subject(1)).expect("there is room again"));
            assert_eq!(gallery.stats().subjects, 4);
        } else {
            assert!(matches!(error, GalleryError::Unknown { .. }), "{fails_at}: {error}");
            let again = gallery.enrol(subject(9), vec![template(9)], Enrolment::default());
            assert!(matches!(again, Err(GalleryError::Unknown { .. })));
        }
        drop(gallery);
        let gallery = open(&memory.bytes(), &means).expect("opened");
        let subjects = gallery.stats().subjects;
        assert!(subjects == 4 || (fails_at > 5 && subjects == 5), "{fails_at}: {subjects}");
        assert!(gallery.verify(&mut |_, _| {}).expect("read").faults.is_empty());
    }
}
