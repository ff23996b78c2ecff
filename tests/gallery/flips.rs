//! A file that was damaged, cut off, mixed up or put back: detected, named, no panic, and never
//! somebody else's rows.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use portcullis::{
    gallery::{Enrolment, Gallery, GalleryError, NodeError, survey},
    keys::custodian::MemoryCustodian,
    random::SeededEntropy,
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{
    disk::{Disk, Files, Image},
    people::{Act, People, Reference, compare},
    site::{Site, is_long, spread},
};

/// Both superblocks, as the format draws them.
const SUPERBLOCKS_BYTES: usize = 2 * 4096;
/// Where extents begin at multiples of.
const UNIT_BYTES: usize = 64;
/// Flips beyond the exhaustive ones.
const SAMPLES: usize = 10_000;

/// What became of a damaged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// The outcome of every damage, by its number.
fn outcomes(
    count: usize,
    people: &People,
    damage: impl Fn(usize) -> Image + Sync,
) -> BTreeMap<usize, Outcome> {
    let found = Mutex::new(BTreeMap::new());
    spread(count, |number| {
        let outcome = outcome(&damage(number), people);
        found.lock().expect("no panic").insert(number, outcome);
    });
    let found = found.into_inner().expect("no panic").into_iter();
    let told = |(number, outcome): (usize, Result<_, String>)| {
        let outcome = outcome.unwrap_or_else(|fault| panic!("damage {number}: {fault}"));
        (number, outcome)
    };
    found.map(told).collect()
}

fn count(outcomes: &BTreeMap<usize, Outcome>, wanted: Outcome) -> usize {
    outcomes.values().filter(|outcome| **outcome == wanted).count()
}

fn flipped(image: &Image, bit: usize) -> Image {
    let mut image = image.clone();
    image.media[bit / 8] ^= 1 << (bit % 8);
    image
}

/// Bytes that no part of the newest generation lies in: free ones, padding between extents, and
/// what only the generation before it reaches, which the older superblock keeps from being reused.
fn unused_bytes_max(history: &[Image]) -> usize {
    let [.., before, newest] = history else { panic!("two generations at least") };
    let stats = Site::on(&Disk::of(newest.clone())).open().expect("sound").stats();
    let tiles = usize::try_from(stats.tiles).expect("few");
    let extents = 2 * (3 * tiles + tiles.div_ceil(64) + 1);
    // What the older generation alone reaches is no more than what the newest wrote anew.
    let changed = |(a, b): (&u8, &u8)| a != b;
    let written = before.media.iter().zip(&newest.media).filter(|pair| changed(*pair)).count()
        + newest.media.len().saturating_sub(before.media.len());
    let in_use = usize::try_from(stats.bytes - stats.bytes_free).expect("small");
    newest.media.len() - in_use + extents * UNIT_BYTES + written
}

/// Superblocks and key tree are most of a small file: every single bit of all of it is flipped.
#[test]
fn every_flipped_bit_of_a_small_file_is_detected_or_hits_free_space() {
    let (history, people) = history_of(1, 3);
    let image = newest_of(&history);
    let step = if is_long() { 1 } else { 3 }; // odd: every byte, and every place in a byte
    let bits = image.media.len() * 8 / step;
    let outcomes = outcomes(bits, &people, |number| flipped(image, number * step));
    let mut harmless: Vec<usize> = outcomes
        .iter()
        .filter(|(_, outcome)| **outcome == Outcome::Harmless)
        .map(|(number, _)| number * step / 8)
        .collect();
    harmless.dedup();
    println!(
        "{bits} bits of {} bytes: {} refused, {} named by verify, {} unused bytes",
        image.media.len(),
        count(&outcomes, Outcome::Refused),
        count(&outcomes, Outcome::Named),
        harmless.len(),
    );
    let in_superblocks = harmless.iter().filter(|byte| **byte < SUPERBLOCKS_BYTES).count();
    assert_eq!(in_superblocks, 0, "bytes of the superblocks in which a flip went unnoticed");
    let most = unused_bytes_max(&history);
    assert!(harmless.len() <= most, "{} bytes went unnoticed, {most} are unused", harmless.len());
}

/// The same by sample in a file of some hundred rows, most of which are templates.
#[test]
fn sampled_flips_anywhere_in_a_larger_file_are_detected_or_hit_free_space() {
    let (history, people) = history_of(2, 120);
    let image = newest_of(&history);
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let bits: Vec<usize> = (0..SAMPLES)
        .map(|_| SUPERBLOCKS_BYTES * 8 + random.next_u32() as usize % (8 * extents_bytes(image)))
        .collect();
    let outcomes = outcomes(bits.len(), &people, |number| flipped(image, bits[number]));
    let harmless = count(&outcomes, Outcome::Harmless);
    let (unused, all) = (unused_bytes_max(&history), extents_bytes(image));
    println!("{harmless} of {SAMPLES} flips were harmless; {unused} of {all} bytes are unused");
    // Four standard deviations of a sample of this size are two hundredths.
    let share = harmless as f64 / SAMPLES as f64;
    assert!(share <= unused as f64 / all as f64 + 0.02, "{share} of the flips went unnoticed");
}

fn extents_bytes(image: &Image) -> usize {
    image.media.len() - SUPERBLOCKS_BYTES
}

#[test]
fn a_file_cut_off_anywhere_is_refused_or_named() {
    let (history, people) = history_of(4, 3);
    let image = newest_of(&history);
    let step = if is_long() { 1 } else { 5 };
    let lengths = image.media.len() / step;
    let outcomes = outcomes(lengths, &people, |number| {
        let mut image = image.clone();
        image.media.truncate(number * step);
        image
    });
    let harmless: Vec<usize> = outcomes
        .iter()
        .filter(|(_, outcome)| **outcome == Outcome::Harmless)
        .map(|(number, _)| image.media.len() - number * step)
        .collect();
    let most = unused_bytes_max(&history);
    assert!(
        harmless.iter().all(|lost| *lost <= most),
        "{} of {} lengths went unnoticed, and at most {most} bytes at the end are unused",
        harmless.len(),
        lengths
    );
}

/// Extents of one gallery at the places of others: in the file itself, from an earlier generation
/// of it, and from another gallery with the same people in the same places.
#[test]
fn extents_at_the_place_of_others_are_refused() {
    let (own, people) = history_of(5, 20);
    let (others, _) = history_of(6, 20);
    let image = newest_of(&own);
    let stolen = outcomes_of_patches(image, &people, &patches(image, &others));
    assert!(count(&stolen, Outcome::Harmless) < stolen.len() / 2, "some of it is in use");
    let older = outcomes_of_patches(image, &people, &patches(image, &own));
    assert!(older.values().any(|outcome| *outcome != Outcome::Harmless), "some of it is in use");

    // Any two runs of one size changed about; where both are in use it shows.
    let units = extents_bytes(image) / UNIT_BYTES;
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut below = |most: usize| random.next_u32() as usize % most;
    let swaps: Vec<[usize; 3]> = (0..2_000)
        .map(|_| {
            let run = 1 + below(16);
            [run, below(units - run), below(units - run)]
        })
        .collect();
    let swapped = outcomes(swaps.len(), &people, |number| {
        let [run, a, b] = swaps[number];
        let mut image = image.clone();
        let at = |unit: usize| SUPERBLOCKS_BYTES + unit * UNIT_BYTES;
        for byte in 0..run.min(a.abs_diff(b)) * UNIT_BYTES {
            image.media.swap(at(a) + byte, at(b) + byte);
        }
        image
    });
    println!(
        "of {} swaps {} were refused, {} named by verify",
        swapped.len(),
        count(&swapped, Outcome::Refused),
        count(&swapped, Outcome::Named)
    );
    assert!(count(&swapped, Outcome::Harmless) < swapped.len() / 2);
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

fn outcomes_of_patches(
    image: &Image,
    people: &People,
    patches: &[(usize, Vec<u8>)],
) -> BTreeMap<usize, Outcome> {
    outcomes(patches.len(), people, |number| {
        let (at, bytes) = &patches[number];
        let mut image = image.clone();
        let end = (at + bytes.len()).min(image.media.len());
        image.media[*at..end].copy_from_slice(&bytes[..end - at]);
        image
    })
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
        assert!(message.contains(": "), "says what to do: {message}");
    }
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
