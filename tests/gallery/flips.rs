//! A file that was damaged, cut off, mixed up or put back: detected, named, no panic, and never
//! somebody else's rows.

use std::{
    fs,
    path::Path,
    ptr,
    sync::{Arc, Mutex},
};

use portcullis::{
    gallery::{Enrolment, Gallery, GalleryError, NodeError, survey},
    keys::{CustodyError, custodian::MemoryCustodian},
    random::SeededEntropy,
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{
    disk::{Disk, Files, Image},
    people::{Act, People, Reference, compare},
    site::{Site, spread},
};

/// Both superblocks, as the format draws them.
const SUPERBLOCKS_BYTES: usize = 2 * 4096;
/// Where extents begin at multiples of.
const UNIT_BYTES: usize = 64;
/// Flips beyond the exhaustive ones.
const SAMPLES: usize = 10_000;

/// What became of a damaged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The gallery does not open, and says why.
    Refused,
    /// It opens, and `verify` says what is wrong and where.
    Named,
    /// It opens, and everything is there and right: the damage hit free space.
    Harmless,
}

fn enrol(number: u32, references: u64) -> Act {
    let reference = |more| Reference {
        seed: u64::from(number) * 10 + more,
        enrolment: Enrolment { group: 1 + number % 3, ..Enrolment::default() },
    };
    Act::Enrol(vec![(number, (0..references).map(reference).collect())])
}

/// A gallery of `enrolled` people of whom one was erased; its image after every change.
fn history_of(seed: u64, enrolled: u32) -> (Vec<Image>, People) {
    let disk = Disk::default();
    let gallery = Site::seeded(&disk, seed).create().expect("a new gallery");
    let (mut people, mut images) = (People::default(), vec![disk.image()]);
    let mut acts: Vec<Act> = (0..enrolled).map(|number| enrol(number, 1)).collect();
    acts.push(Act::Erase(1));
    acts.push(enrol(1_000, 2));
    for act in &acts {
        act.to_gallery(&gallery).expect("nothing fails");
        assert!(people.act(act));
        images.push(disk.image());
    }
    (images, people)
}

fn newest_of(history: &[Image]) -> &Image {
    history.last().expect("it was created")
}

/// Opens a damaged file.
///
/// # Errors
/// When the damage goes unnoticed and is none: other rows are there than should be.
fn outcome(image: &Image, people: &People) -> Result<Outcome, String> {
    let gallery = match Site::on(&Disk::of(image.clone())).open() {
        Ok(gallery) => gallery,
        Err(error) if error.to_string().len() > 20 => return Ok(Outcome::Refused),
        Err(error) => return Err(format!("refused with nothing but {error:?}")),
    };
    let report = gallery.verify(&mut |_, _| {}).map_err(|error| error.to_string())?;
    match (compare(&gallery, people), report.faults.as_slice()) {
        (Ok(()), []) => Ok(Outcome::Harmless),
        (_, [_, ..]) => Ok(Outcome::Named),
        (Err(difference), []) => Err(format!("verified without a fault, and yet {difference}")),
    }
}

/// A sound file, and which of its bytes something answers for.
struct Sound<'a> {
    image: &'a Image,
    people: &'a People,
    /// For every byte of the file, whether `verify` holds it to a digest or a tag.
    held: Vec<bool>,
}

impl<'a> Sound<'a> {
    fn new(history: &'a [Image], people: &'a People) -> Self {
        let image = history.last().expect("it was created");
        let gallery = Site::on(&Disk::of(image.clone())).open().expect("sound");
        let report = gallery.verify(&mut |_, _| {}).expect("read");
        assert_eq!(report.faults, []);
        let mut held = vec![false; image.media.len()];
        for range in report.held {
            let [from, to] = [range.start, range.end].map(|at| usize::try_from(at).expect("small"));
            assert!(!held[from..to].contains(&true), "nothing lies over something else");
            held[from..to].fill(true);
        }
        assert!(held[..SUPERBLOCKS_BYTES].iter().all(|held| *held), "of superblocks all is held");
        Self { image, people, held }
    }

    /// Where the last byte ends that something answers for.
    fn end(&self) -> usize {
        self.held.iter().rposition(|held| *held).expect("the superblocks") + 1
    }

    /// Opens `count` damaged files of the same length, and holds each to what its damage hit: a
    /// changed byte that something answers for is found, and one that nothing answers for is not.
    /// Returns how many were refused, named, and harmless.
    fn holds(&self, count: usize, damage: impl Fn(usize) -> Image + Sync) -> [usize; 3] {
        let counts = Mutex::new([0; 3]);
        spread(count, |number| {
            let damaged = damage(number);
            assert_eq!(damaged.media.len(), self.held.len());
            let changed = self.image.media.iter().zip(&damaged.media).map(|(a, b)| a != b);
            let hit = changed.zip(&self.held).position(|(changed, held)| changed && *held);
            let outcome = outcome(&damaged, self.people);
            let outcome = outcome.unwrap_or_else(|fault| panic!("damage {number}: {fault}"));
            let found = outcome != Outcome::Harmless;
            assert_eq!(found, hit.is_some(), "damage {number}, at byte {hit:?}: {outcome:?}");
            counts.lock().expect("no panic")[outcome as usize] += 1;
        });
        counts.into_inner().expect("no panic")
    }

    fn flipped(&self, bit: usize) -> Image {
        let mut image = self.image.clone();
        image.media[bit / 8] ^= 1 << (bit % 8);
        image
    }
}

/// Superblocks and key tree are most of a small file: every single bit of all of it is flipped.
fn every_bit(history: &[Image], people: &People) {
    let sound = Sound::new(history, people);
    let bits = sound.held.len() * 8;
    let [refused, named, harmless] = sound.holds(bits, |bit| sound.flipped(bit));
    let unused = sound.held.iter().filter(|held| !**held).count();
    let told = [refused > 0, named > 0, harmless == 8 * unused];
    assert_eq!(told, [true; 3], "of {bits}: {refused} refused, {named} named, {harmless} harmless");
}

/// Both superblocks are of one epoch: the spare one is held to its stamp as well.
#[test]
fn every_flipped_bit_of_a_small_file_is_detected_or_hits_free_space() {
    let (history, people) = history_of(1, 3);
    every_bit(&history, &people);
}

/// The spare superblock is of an epoch whose key is destroyed.
#[test]
fn every_flipped_bit_is_detected_after_an_erasure_too() {
    let (mut history, mut people) = history_of(1, 2);
    let disk = Disk::of(history.last().expect("created").clone());
    let gallery = Site::seeded(&disk, 99).open().expect("sound");
    Act::Erase(0).to_gallery(&gallery).expect("nothing fails");
    assert!(people.act(&Act::Erase(0)));
    history.push(disk.image());
    every_bit(&history, &people);
}

/// The same by sample in a file of some hundred rows, most of which are templates.
#[test]
fn sampled_flips_anywhere_in_a_larger_file_are_detected_or_hit_free_space() {
    let (history, people) = history_of(2, 120);
    let sound = Sound::new(&history, &people);
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let extents_bits = 8 * (sound.held.len() - SUPERBLOCKS_BYTES);
    let bits: Vec<usize> = (0..SAMPLES)
        .map(|_| SUPERBLOCKS_BYTES * 8 + random.next_u32() as usize % extents_bits)
        .collect();
    let [refused, named, harmless] = sound.holds(bits.len(), |number| sound.flipped(bits[number]));
    println!("of {SAMPLES} flips {refused} were refused, {named} named, {harmless} harmless");
    assert!(refused > 0 && named > 0, "some hit the key tree, and some the tiles");
}

#[test]
fn a_file_cut_off_anywhere_is_refused_or_named() {
    let (history, people) = history_of(4, 3);
    let sound = Sound::new(&history, &people);
    let (bytes, end) = (sound.held.len(), sound.end());
    assert!(end < bytes, "control: some bytes at the end are unused");
    spread(bytes, |length| {
        let mut image = sound.image.clone();
        image.media.truncate(length);
        let outcome = outcome(&image, &people);
        let outcome = outcome.unwrap_or_else(|fault| panic!("cut to {length}: {fault}"));
        // Cut behind that, and the spare superblock may still miss what only it reaches.
        let is_found = outcome != Outcome::Harmless;
        assert!(is_found || length >= end, "{length} of {bytes} bytes, {end} in use: unnoticed");
        assert!(!is_found || length + 1 < bytes, "the last byte is nobody's: {outcome:?}");
    });
}

/// Extents of one gallery at the places of others: in the file itself, from an earlier generation
/// of it, and from another gallery with the same people in the same places.
#[test]
fn extents_at_the_place_of_others_are_refused() {
    let (own, people) = history_of(5, 20);
    let (others, _) = history_of(6, 20);
    let sound = Sound::new(&own, &people);
    for (whose, images) in [("another gallery", &others), ("an older generation", &own)] {
        let mut patches = patches(sound.image, images);
        // The spare superblock's place takes any that stood there before: nothing is lost by that.
        let spare = spare_of(sound.image);
        patches.retain(|(at, bytes)| !ptr::eq(images, &own) || *at != spare || bytes.len() < 4096);
        let told = sound.holds(patches.len(), |number| {
            let (at, bytes) = &patches[number];
            let mut image = sound.image.clone();
            let end = (at + bytes.len()).min(image.media.len());
            image.media[*at..end].copy_from_slice(&bytes[..end - at]);
            image
        });
        println!("patches of {whose}: {told:?} refused, named, harmless");
        assert!(told[0] > 0 && told[1] > 0, "the tree and the tiles of {whose}");
    }

    // Any two runs of one size changed about.
    let units = (sound.held.len() - SUPERBLOCKS_BYTES) / UNIT_BYTES;
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut below = |most: usize| random.next_u32() as usize % most;
    let swaps: Vec<[usize; 3]> = (0..2_000)
        .map(|_| {
            let run = 1 + below(16);
            [run, below(units - run), below(units - run)]
        })
        .collect();
    let told = sound.holds(swaps.len(), |number| {
        let [run, a, b] = swaps[number];
        let mut image = sound.image.clone();
        let at = |unit: usize| SUPERBLOCKS_BYTES + unit * UNIT_BYTES;
        for byte in 0..run.min(a.abs_diff(b)) * UNIT_BYTES {
            image.media.swap(at(a) + byte, at(b) + byte);
        }
        image
    });
    println!("of {} swaps {told:?} were refused, named, harmless", swaps.len());
    assert!(told[0] > 0 && told[1] > 0);
}

/// Where the superblock of the older generation begins.
fn spare_of(image: &Image) -> usize {
    const GENERATION_AT: usize = 40;
    let generation = |slot: usize| {
        let bytes = image.media[slot * 4096 + GENERATION_AT..].first_chunk().expect("a superblock");
        u64::from_le_bytes(*bytes)
    };
    if generation(0) < generation(1) { 0 } else { 4096 }
}

/// Where two files differ, in runs of units, with the bytes of the other.
fn patches(image: &Image, others: &[Image]) -> Vec<(usize, Vec<u8>)> {
    let mut patches = Vec::new();
    for other in others.iter().rev().take(8) {
        let units = |image: &Image| {
            let units = image.media.chunks(UNIT_BYTES).map(<[u8]>::to_vec);
            units.collect::<Vec<_>>()
        };
        let (own, foreign) = (units(image), units(other));
        for run in [1, 4, 16, 64] {
            for first in (0..own.len().min(foreign.len())).step_by(run) {
                let last = (first + run).min(own.len()).min(foreign.len());
                if own[first..last] != foreign[first..last] {
                    patches.push((first * UNIT_BYTES, foreign[first..last].concat()));
                }
            }
        }
    }
    patches
}

/// The message of a refusal, and the variant's name.
fn refusal(opened: Result<Gallery, GalleryError>) -> (String, String) {
    let error = opened.err().expect("refused");
    let variant = format!("{error:?}");
    (variant, error.to_string())
}

#[test]
fn an_older_copy_put_back_is_refused_by_name() {
    let (history, _) = history_of(8, 6);
    let newest = newest_of(&history);
    for older in &history[..history.len() - 1] {
        let image = Image { media: older.media.clone(), vault: newest.vault.clone() };
        let (variant, message) = refusal(Site::on(&Disk::of(image)).open());
        assert!(variant.contains("RolledBack"), "{variant}");
        assert!(message.contains("rolled back"), "{message}");
    }
}

#[test]
fn wrong_and_missing_keys_and_custodians_are_told_apart() {
    let (history, _) = history_of(9, 3);
    let image = newest_of(&history);
    let with = |vault: Files| Site::on(&Disk::of(Image { media: image.media.clone(), vault }));
    let key_of = |files: &Files| -> String {
        let is_key = |(name, content): &(&String, &Vec<u8>)| {
            name.ends_with(".key") && content.iter().any(|&byte| byte != 0)
        };
        files.iter().find(is_key).expect("one epoch").0.clone()
    };

    let mut missing = image.vault.clone();
    missing.remove(&key_of(&image.vault));
    let missing = refusal(with(missing).open());

    // The key of another gallery under the name of this one's.
    let (others, _) = history_of(10, 3);
    let foreign = &newest_of(&others).vault;
    let mut wrong = image.vault.clone();
    wrong.insert(key_of(&image.vault), foreign[&key_of(foreign)].clone());
    let wrong = refusal(with(wrong).open());

    let unknown = refusal(with(foreign.clone()).open());
    let entropy = Arc::new(SeededEntropy::new(1));
    let memory = Arc::new(MemoryCustodian::new(entropy));
    let other = refusal(with(image.vault.clone()).kept_by(memory).open());

    let all = [missing, wrong, unknown, other];
    let names = ["MissingKey", "Damaged", "UnknownGallery", "WrongCustodian"];
    for ((variant, message), name) in all.iter().zip(names) {
        println!("{name}: {message}");
        assert!(variant.contains(name), "{variant} should be {name}");
        assert!(says_what_to_do(message), "no next step: {message}");
    }
    let shapeless = CustodyError::NotWrapped { bytes: 3 }.to_string();
    assert!(says_what_to_do(&shapeless), "no next step: {shapeless}");
}

/// What an operator is told to do, in the words of the errors.
const STEPS: [&str; 5] = ["ask ", "name ", "put ", "restore", "use "];

/// Whether a message has a next step: a part of it, after a colon, a semicolon or a comma, begins
/// with one of [`STEPS`]. The marks alone say nothing; causes and places are told with them, too.
fn says_what_to_do(message: &str) -> bool {
    let parts = message.split([':', ';', ',']).skip(1).map(str::trim_start);
    parts
        .map(|part| part.strip_prefix("or ").unwrap_or(part))
        .any(|part| STEPS.iter().any(|step| part.starts_with(step)))
}

#[test]
fn a_message_without_a_next_step_is_told_from_one_with_it() {
    let without = ["3 bytes are no key: too short", "no key of epoch 3: it was used; or destroyed"];
    assert!(without.iter().all(|message| !says_what_to_do(message)));
    assert!(says_what_to_do("3 bytes are no key: the file is damaged; restore it"));
}

/// The fuzzer's seeds reach what they are meant to reach.
#[test]
fn the_seeds_of_the_fuzzer_are_read_as_their_names_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/gallery");
    let read = |name: &str| survey(&fs::read(folder.join(name)).expect("a seed"));
    assert_eq!((read("sound"), read("one-slot")), (Ok(1), Ok(1)));
    assert_eq!(read("too-many-rows"), Err(NodeError::Count));
    assert_eq!(read("too-many-tiles"), Err(NodeError::Count));
    for name in ["another-version", "cut-off", "leaf-outside", "part-outside", "root-outside"] {
        assert_eq!(read(name), Err(NodeError::Outside), "{name}");
    }
}
