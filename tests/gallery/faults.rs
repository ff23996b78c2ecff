//! A scripted day of a gallery, recorded once as a log of every call to the media and the vault:
//! whatever a power cut leaves of it, the gallery is as before or as after the operation that was
//! interrupted, never between, and who was erased does not come back.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
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
    crash::Crash,
    disk::{Call, Disk, Fault, Image, Moment},
    people::{Act, People, Reference, compare},
    site::{Site, is_long, no_key_before, spread, without_destroyed},
};

const ENROLS: u32 = 200;
const ERASES: u32 = 40;
const ROTATIONS: u32 = 10;

/// What is recorded once.
struct Recorded {
    log: Vec<Call>,
    acts: Vec<Act>,
    /// Who is enrolled after operation `i`, and in which epoch; operation 0 creates the gallery.
    states: Vec<People>,
    epochs: Vec<u64>,
}

/// The script: enrolments of one or two references, with erasures and rotations among them.
fn script() -> Vec<Act> {
    let mut random = ChaCha8Rng::seed_from_u64(42);
    let (mut enrols, mut erases, mut rotations) = (ENROLS, ERASES, ROTATIONS);
    let (mut acts, mut enrolled) = (Vec::new(), Vec::new());
    while enrols + erases + rotations > 0 {
        let drawn = random.next_u32() % (enrols + erases + rotations);
        if drawn < enrols || (enrolled.is_empty() && enrols > 0) {
            let number = ENROLS - enrols;
            let references = 1 + u64::from(random.next_u32() % 2);
            let reference = |more| Reference {
                seed: u64::from(number) * 10 + more,
                enrolment: Enrolment { group: number % 7, ..Enrolment::default() },
            };
            acts.push(Act::Enrol(vec![(number, (0..references).map(reference).collect())]));
            enrolled.push(number);
            enrols -= 1;
        } else if drawn < enrols + erases {
            let at = random.next_u32() as usize % enrolled.len();
            acts.push(Act::Erase(enrolled.swap_remove(at)));
            erases -= 1;
        } else {
            acts.push(Act::Rotate);
            rotations -= 1;
        }
    }
    acts
}

fn record() -> Recorded {
    let (disk, acts) = (Disk::default(), script());
    let site = Site::on(&disk);
    disk.mark(0, Moment::Began);
    let gallery = site.create().expect("a new gallery");
    disk.mark(0, Moment::Done);
    let mut people = People::default();
    let (mut states, mut epochs) = (vec![people.clone()], vec![site.epoch(&gallery)]);
    for (number, act) in (1..).zip(&acts) {
        disk.mark(number, Moment::Began);
        act.to_gallery(&gallery).expect("nothing fails yet");
        disk.mark(number, Moment::Done);
        assert!(people.act(act), "the script fits itself");
        states.push(people.clone());
        epochs.push(site.epoch(&gallery));
    }
    compare(&gallery, &people).expect("as the map has it");
    Recorded { log: disk.take_log(), acts, states, epochs }
}

impl Recorded {
    /// The states that may be found after `mark`; an empty list: there may be no gallery at all.
    fn allowed(&self, mark: Option<(usize, Moment)>) -> Vec<&People> {
        match mark {
            None | Some((0, Moment::Began)) => vec![],
            Some((number, Moment::Began)) => vec![&self.states[number - 1], &self.states[number]],
            Some((number, Moment::Done)) => vec![&self.states[number]],
        }
    }

    /// The epoch that was acknowledged at `mark`: what it destroyed is destroyed for good.
    fn epoch(&self, mark: Option<(usize, Moment)>) -> u64 {
        match mark {
            None | Some((0, Moment::Began)) => 0,
            Some((number, Moment::Began)) => self.epochs[number - 1],
            Some((number, Moment::Done)) => self.epochs[number],
        }
    }

    /// The disk whenever an operation was just acknowledged.
    fn acknowledged(&self) -> Vec<Crash> {
        let (mut crash, mut all) = (Crash::default(), Vec::new());
        for call in &self.log {
            crash.step(call);
            if matches!(call, Call::Mark(_, Moment::Done)) {
                all.push(crash.clone());
            }
        }
        all
    }
}

/// Opens the image: it must be one of `allowed`, and settled: nothing prepared is left, and of keys
/// there is just the one of its epoch.
fn check(image: &Image, allowed: &[&People]) -> Result<Disk, String> {
    let disk = Disk::of(image.clone());
    let site = Site::on(&disk);
    let gallery = match site.open() {
        Ok(gallery) => gallery,
        Err(_) if allowed.is_empty() => return Ok(disk),
        Err(error) => return Err(format!("does not open: {error}")),
    };
    let nobody = People::default();
    let allowed = if allowed.is_empty() { &[&nobody] } else { allowed };
    let mut differences = Vec::new();
    for people in allowed {
        match compare(&gallery, people) {
            Ok(()) => {
                site.settled(&gallery)?;
                drop(gallery);
                // Once more: what was put right stays so.
                let again = Site::on(&disk).open().map_err(|error| format!("again: {error}"))?;
                return compare(&again, people).map(|()| disk);
            }
            Err(difference) => differences.push(difference),
        }
    }
    Err(differences.join("; nor: "))
}

/// A fault found, with where.
type Faults = Mutex<BTreeMap<usize, String>>;

fn none(faults: Faults) {
    let faults = faults.into_inner().expect("no panic");
    let told: Vec<String> =
        faults.iter().map(|(at, fault)| format!("call {at}: {fault}")).collect();
    assert!(told.is_empty(), "{} faults:\n{}", told.len(), told[..told.len().min(20)].join("\n"));
}

/// How a log is cut into pieces that one thread walks.
const PIECE_CALLS: usize = 64;

#[test]
fn whatever_a_power_cut_leaves_it_is_before_or_after_and_never_between() {
    let recorded = record();
    let samples = if is_long() { 48 } else { 4 };
    let (faults, images) = (Faults::default(), AtomicUsize::new(0));
    let mut starts = vec![(Crash::default(), None)];
    let (mut crash, mut mark) = starts[0].clone();
    for (at, call) in (1..).zip(&recorded.log) {
        step(&mut crash, &mut mark, call);
        if at % PIECE_CALLS == 0 {
            starts.push((crash.clone(), mark));
        }
    }
    spread(starts.len(), |piece| {
        let (mut crash, mut mark) = starts[piece].clone();
        let mut seen = HashSet::new();
        let first = piece * PIECE_CALLS;
        for (at, call) in (first..).zip(&recorded.log[first..]).take(PIECE_CALLS) {
            step(&mut crash, &mut mark, call);
            for image in crash.images(at as u64, samples) {
                let mut hasher = DefaultHasher::new();
                (&image, mark.map(|(number, moment)| (number, moment == Moment::Done)))
                    .hash(&mut hasher);
                if !seen.insert(hasher.finish()) {
                    continue;
                }
                images.fetch_add(1, Ordering::Relaxed);
                let gone = no_key_before(recorded.epoch(mark), &image.vault);
                let checked = gone.and_then(|()| check(&image, &recorded.allowed(mark)).map(drop));
                if let Err(fault) = checked {
                    faults.lock().expect("no panic").insert(at, format!("{mark:?}: {fault}"));
                }
            }
        }
    });
    println!("{} calls, {} images opened", recorded.log.len(), images.into_inner());
    none(faults);
}

fn step(crash: &mut Crash, mark: &mut Option<(usize, Moment)>, call: &Call) {
    crash.step(call);
    if let Call::Mark(number, moment) = call {
        *mark = Some((*number, *moment));
    }
}

/// A power cut while the gallery puts itself right after a power cut.
#[test]
fn a_second_power_cut_while_it_recovers_changes_nothing() {
    let recorded = record();
    let faults = Faults::default();
    let (mut crash, mut mark) = (Crash::default(), None);
    let mut recoveries = Vec::new();
    for (at, call) in recorded.log.iter().enumerate() {
        step(&mut crash, &mut mark, call);
        if at % if is_long() { 1 } else { 5 } == 0 {
            recoveries.push((at, crash.whole(), mark));
        }
    }
    spread(recoveries.len(), |number| {
        let (at, image, mark) = &recoveries[number];
        let allowed = recorded.allowed(*mark);
        let fail = |fault| drop(faults.lock().expect("no panic").insert(*at, fault));
        let log = match check(image, &allowed) {
            Ok(disk) => disk.take_log(),
            Err(fault) => return fail(fault),
        };
        let mut crash = Crash::after(image);
        for call in log {
            crash.step(&call);
            for image in crash.images(*at as u64, 2) {
                if let Err(fault) = check(&image, &allowed) {
                    fail(format!("second cut: {fault}"));
                }
            }
        }
    });
    none(faults);
}

/// An operation that meets a fault: what it says, what it leaves, and what comes after.
fn meet(disk: &Disk, act: &Act, people: &People, call: u64, fault: Fault) -> Result<bool, String> {
    let site = Site::on(disk);
    let gallery = site.open().map_err(|error| error.to_string())?;
    let begun = disk.image();
    drop(disk.take_log());
    disk.fail_at(call, fault);
    let said = act.to_gallery(&gallery);
    if !disk.heal() {
        return said.map(|()| false).map_err(|error| format!("nothing failed, and yet: {error}"));
    }
    let mut after = people.clone();
    after.act(act);
    let mut allowed = if said.is_ok() { vec![after] } else { vec![people.clone(), after] };
    let refusal = said.as_ref().err().map_or_else(String::new, ToString::to_string);
    one_of(&gallery, &allowed).map_err(|difference| format!("live: {difference} ({refusal})"))?;

    // The process goes on: the next operation is done as asked, or refused.
    let next =
        Act::Enrol(vec![(9_999, vec![Reference { seed: 1, enrolment: Enrolment::default() }])]);
    if next.to_gallery(&gallery).is_ok() {
        for people in &mut allowed {
            people.act(&next);
        }
        one_of(&gallery, &allowed).map_err(|difference| format!("next: {difference}"))?;
    }
    let log = disk.take_log();
    let epoch = site.epoch(&gallery);
    let forgot = said.is_ok() && !matches!(act, Act::Enrol(_));
    drop(gallery);
    let mut crash = Crash::after(&begun);
    log.iter().for_each(|call| crash.step(call));
    let allowed: Vec<&People> = allowed.iter().collect();
    let after_a_cut = |crash: &Crash, when: &str| {
        for image in crash.images(call, 2) {
            if forgot {
                no_key_before(epoch, &image.vault).map_err(|key| format!("{when}: {key}"))?;
            }
            check(&image, &allowed).map_err(|found| format!("{refusal}: {when} {found}"))?;
        }
        Ok::<(), String>(())
    };
    after_a_cut(&crash, "after a power cut")?;
    drop(disk.take_log());

    // The same machine opens it again: it sees what the failed sync lost, until the power fails.
    let reopened = Site::on(disk).open().map_err(|error| format!("reopened: {error}"))?;
    drop(reopened);
    disk.take_log().iter().for_each(|call| crash.step(call));
    after_a_cut(&crash, "reopened, and after a power cut")?;
    Ok(true)
}

fn one_of(gallery: &Gallery, allowed: &[People]) -> Result<(), String> {
    let differences: Vec<String> =
        allowed.iter().filter_map(|people| compare(gallery, people).err()).collect();
    if differences.len() < allowed.len() { Ok(()) } else { Err(differences.join("; nor: ")) }
}

#[test]
fn a_full_or_failing_disk_leaves_it_before_or_after_and_what_follows_holds() {
    let recorded = record();
    let acknowledged = recorded.acknowledged();
    let (faults, met) = (Faults::default(), AtomicUsize::new(0));
    let every = if is_long() { 1 } else { 6 };
    spread(recorded.acts.len(), |number| {
        let act = &recorded.acts[number];
        if number % every != 0 && !matches!(act, Act::Rotate) {
            return;
        }
        let image = acknowledged[number].whole();
        for fault in [Fault::NoSpace, Fault::Device, Fault::Forgetful] {
            for call in 0.. {
                let disk = Disk::of(image.clone());
                match meet(&disk, act, &recorded.states[number], call, fault) {
                    Ok(true) => drop(met.fetch_add(1, Ordering::Relaxed)),
                    Ok(false) => break,
                    Err(told) => {
                        let told = format!("{act:?}, its call {call} fails with {fault:?}: {told}");
                        faults.lock().expect("no panic").insert(number, told);
                        break;
                    }
                }
            }
        }
    });
    println!("{} faults met", met.into_inner());
    none(faults);
}

#[test]
fn a_failing_disk_while_it_is_created_leaves_none_or_an_empty_one() {
    for fault in [Fault::NoSpace, Fault::Device, Fault::Forgetful] {
        for call in 0.. {
            let disk = Disk::default();
            let site = Site::on(&disk);
            disk.fail_at(call, fault);
            let said = site.create().map(drop);
            if !disk.heal() {
                said.expect("nothing failed");
                break;
            }
            let mut crash = Crash::default();
            disk.take_log().iter().for_each(|call| crash.step(call));
            let empty = People::default();
            let allowed: &[&People] = if said.is_ok() { &[&empty] } else { &[] };
            for image in crash.images(call, 4) {
                check(&image, allowed).unwrap_or_else(|told| panic!("{fault:?} at {call}: {told}"));
            }
        }
    }
}

/// What `portcullis-bench gallery` holds against the disk's own syncs.
#[test]
fn an_enrolment_waits_for_two_syncs_and_an_erasure_for_six_at_most() {
    let recorded = record();
    let mut syncs = vec![0_u32; recorded.acts.len() + 1];
    let mut at = 0;
    for call in &recorded.log {
        match call {
            Call::Mark(number, _) => at = *number,
            Call::MediaSync | Call::VaultSync(_) | Call::FolderSync => syncs[at] += 1,
            _ => {}
        }
    }
    for (act, syncs) in recorded.acts.iter().zip(&syncs[1..]) {
        match act {
            Act::Enrol(_) => assert_eq!(*syncs, 2, "the medium's and the standing's"),
            Act::Erase(_) => assert!(*syncs <= 6, "{syncs} syncs"),
            _ => {}
        }
    }
}

/// Whoever kept earlier copies of the file has noise: after an erasure none of them opens with
/// what the custodian still holds, whatever else of the vault was copied.
#[test]
fn after_an_erasure_no_earlier_copy_opens() {
    let recorded = record();
    let acknowledged = recorded.acknowledged();
    let images: Vec<Image> = acknowledged.iter().map(Crash::whole).collect();
    let erasures =
        recorded.acts.iter().enumerate().filter(|(_, act)| !matches!(act, Act::Enrol(_)));
    let erasures: Vec<usize> = erasures.map(|(number, _)| number + 1).collect();
    let faults = Faults::default();
    let tried = AtomicUsize::new(0);
    spread(erasures.len(), |number| {
        let erased = erasures[number];
        let now = &images[erased].vault;
        for (earlier, copy) in images[..erased].iter().enumerate().rev().take(60) {
            for vault in [now.clone(), without_destroyed(&copy.vault, now)] {
                let image = Image { media: copy.media.clone(), vault };
                tried.fetch_add(1, Ordering::Relaxed);
                if Site::on(&Disk::of(image)).open().is_ok() {
                    let told = format!("a copy from after operation {earlier} opens");
                    faults.lock().expect("no panic").insert(erased, told);
                }
            }
        }
    });
    println!("{} pairs of an old copy and a vault tried", tried.into_inner());
    none(faults);
}
