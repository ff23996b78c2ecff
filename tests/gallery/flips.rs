//! A file that was damaged, cut off, mixed up or put back: detected, named, no panic, and never
//! somebody else's rows.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use portcullis::gallery::{Enrolment, Gallery};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{
    disk::{Disk, Image},
    people::{Act, People, Reference, compare},
    site::{Site, is_long},
    spread::spread,
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

/// A gallery of `enrolled` people of whom one was erased, with its image whenever something changed.
fn history(seed: u64, enrolled: u32) -> (Vec<Image>, People) {
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

fn newest(history: &[Image]) -> &Image {
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

/// A file of a few rows is superblocks and key tree for the most part: every one of its bits.
#[test]
fn every_flipped_bit_of_a_small_file_is_detected_or_hits_free_space() {
    let (history, people) = history(1, 3);
    let image = newest(&history);
    let free = free_bytes(image);
    let bits = image.media.len() * 8;
    let step = if is_long() { 1 } else { 3 }; // coprime to 8: every byte, and every place in a byte
    let outcomes =
        outcomes(bits.div_ceil(step), &people, |number| flipped(image, number * step));
    let harmless: Vec<usize> = outcomes
        .iter()
        .filter(|(_, outcome)| **outcome == Outcome::Harmless)
        .map(|(number, _)| number * step / 8)
        .collect();
    println!(
        "{} bits of {} bytes: {} refused, {} named by verify, {} harmless in free space",
        outcomes.len(),
        image.media.len(),
        count(&outcomes, Outcome::Refused),
        count(&outcomes, Outcome::Named),
        harmless.len(),
    );
    for byte in harmless {
        assert!(free[byte], "a flip in byte {byte} went unnoticed, and the byte is in use");
    }
}

/// Which bytes are free, found without knowing the format: a byte is in use if the gallery does not
/// stand its being overwritten with either 0 or 255.
fn free_bytes(image: &Image) -> Vec<bool> {
    let gallery = Site::on(&Disk::of(image.clone())).open().expect("sound");
    let told = usize::try_from(gallery.stats().bytes_free).expect("small");
    let in_use = gallery.extents();
    let mut free = vec![true; image.media.len()];
    free[..SUPERBLOCKS_BYTES].fill(false);
    for (at, bytes) in in_use {
        let at = usize::try_from(at).expect("small");
        free[at..at + usize::try_from(bytes).expect("small")].fill(false);
    }
    let padding = free.iter().filter(|free| **free).count().checked_sub(told);
    assert!(padding.is_some_and(|padding| padding < in_use_max(image)), "{told} bytes free");
    free
}
