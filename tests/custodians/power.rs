//! The power goes at every moment: every write of the file custodian is recorded, and every image
//! that a disk may then hold is opened.
//!
//! A disk holds, per file, what was synced, and of the writes after that any part of any subset;
//! per name, what was synced, and any subset of what was created and removed after.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use portcullis::{
    keys::{
        Custodian, CustodyError, Stand,
        custodian::{
            FileCustodian, Standing,
            vault::{Contended, Lock, MemoryVault, Vault, VaultError},
        },
    },
    random::SeededEntropy,
};

use super::{
    Image,
    contract::{FILE, stand},
};

/// One call that changes a disk.
#[derive(Clone)]
enum Call {
    Create(String),
    Write(String, u64, Vec<u8>),
    Sync(String),
    Unlink(String),
    SyncNames,
}

/// A vault in memory that remembers its calls.
#[derive(Default)]
struct Recorder {
    vault: MemoryVault,
    calls: Mutex<Vec<Call>>,
}

impl Recorder {
    fn note(&self, call: Call) {
        self.calls.lock().expect("not poisoned").push(call);
    }
}

impl Vault for Recorder {
    fn place(&self) -> String {
        self.vault.place()
    }

    fn list(&self) -> Result<Vec<String>, VaultError> {
        self.vault.list()
    }

    fn read(&self, name: &str, at: u64, bytes: &mut [u8]) -> Result<Option<usize>, VaultError> {
        self.vault.read(name, at, bytes)
    }

    fn create(&self, name: &str) -> Result<(), VaultError> {
        self.note(Call::Create(name.to_owned()));
        self.vault.create(name)
    }

    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> Result<(), VaultError> {
        self.note(Call::Write(name.to_owned(), at, bytes.to_vec()));
        self.vault.write(name, at, bytes)
    }

    fn sync(&self, name: &str) -> Result<(), VaultError> {
        self.note(Call::Sync(name.to_owned()));
        self.vault.sync(name)
    }

    fn unlink(&self, name: &str) -> Result<(), VaultError> {
        self.note(Call::Unlink(name.to_owned()));
        self.vault.unlink(name)
    }

    fn sync_names(&self) -> Result<(), VaultError> {
        self.note(Call::SyncNames);
        self.vault.sync_names()
    }

    fn lock(&self, name: &str, contended: Contended) -> Result<Option<Lock>, VaultError> {
        self.vault.lock(name, contended)
    }
}

/// What reached the disk of the writes that were not synced.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Lost,
    Whole,
    /// The first half.
    Torn,
    /// Every second write.
    Odd,
}

/// One file as a disk has it.
#[derive(Default, Clone)]
struct Disk {
    named: bool,
    exists: bool,
    synced: Vec<u8>,
    pending: Vec<(u64, Vec<u8>)>,
}

fn put(bytes: &mut Vec<u8>, at: u64, more: &[u8]) {
    let at = usize::try_from(at).expect("small");
    bytes.resize(bytes.len().max(at + more.len()), 0);
    bytes[at..at + more.len()].copy_from_slice(more);
}

/// The image after `calls`, if what was not synced met `writes` and `names`.
fn image(calls: &[Call], writes: Fate, names: Fate) -> Image {
    let mut files: BTreeMap<String, Disk> = BTreeMap::new();
    for call in calls {
        match call.clone() {
            Call::Create(name) => files.entry(name).or_default().exists = true,
            Call::Write(name, at, bytes) => {
                files.get_mut(&name).expect("created").pending.push((at, bytes));
            }
            Call::Sync(name) => {
                let file = files.get_mut(&name).expect("created");
                for (at, bytes) in std::mem::take(&mut file.pending) {
                    put(&mut file.synced, at, &bytes);
                }
            }
            Call::Unlink(name) => files.entry(name).or_default().exists = false,
            Call::SyncNames => files.values_mut().for_each(|file| file.named = file.exists),
        }
    }
    let mut image = Image::new();
    for (at, (name, mut file)) in files.into_iter().enumerate() {
        let is_there = match names {
            Fate::Lost => file.named,
            Fate::Whole => file.exists,
            Fate::Torn | Fate::Odd => {
                if at % 2 == 0 {
                    file.named
                } else {
                    file.exists
                }
            }
        };
        for (nth, (at, bytes)) in file.pending.drain(..).enumerate() {
            match writes {
                Fate::Lost => {}
                Fate::Whole => put(&mut file.synced, at, &bytes),
                Fate::Torn => put(&mut file.synced, at, &bytes[..bytes.len() / 2]),
                Fate::Odd if nth % 2 == 1 => put(&mut file.synced, at, &bytes),
                Fate::Odd => {}
            }
        }
        if is_there {
            image.insert(name, file.synced);
        }
    }
    image
}

/// What the gallery knew when the power went.
#[derive(Default, Clone)]
struct Known {
    calls: usize,
    /// The newest stand whose `commit` returned.
    committed: Option<Stand>,
    /// The stand whose `prepare` returned last, with a key wrapped under it.
    prepared: Option<Stand>,
    /// A stand that an interrupted call may have made.
    under_way: Option<Stand>,
    /// Epochs whose `destroy` returned.
    destroyed: u64,
}

/// A gallery's life: changes of epoch, changes within one, some given up.
fn life() -> (Vec<Call>, Vec<Known>) {
    let recorder = Arc::new(Recorder::default());
    let entropy = Arc::new(SeededEntropy::new(77));
    let custodian = FileCustodian::over(Arc::clone(&recorder) as _, None, entropy).expect("opened");
    let mut history = vec![Known::default()];
    let mut known = Known::default();
    let mut step = |known: &mut Known, act: &dyn Fn(), done: &dyn Fn(&mut Known)| {
        act();
        // While the call ran, the old knowledge held.
        known.calls = recorder.calls.lock().expect("not poisoned").len();
        history.push(known.clone());
        done(known);
        known.under_way = None;
        history.push(known.clone());
    };
    let (mut epoch, mut generation) = (0, 0);
    for round in 0..14 {
        generation += 1;
        if round % 5 == 3 {
            let next = stand(epoch, generation);
            known.under_way = Some(next);
            step(&mut known, &|| custodian.commit(&FILE, next).expect("committed"), &|known| {
                known.committed = Some(next);
                known.prepared = None;
            });
            continue;
        }
        let next = stand(epoch + 1, generation);
        known.under_way = Some(next);
        step(&mut known, &|| custodian.prepare(&FILE, next).expect("prepared"), &|known| {
            known.prepared = Some(next);
        });
        if round % 5 == 2 {
            continue;
        }
        known.under_way = Some(next);
        step(&mut known, &|| custodian.commit(&FILE, next).expect("committed"), &|known| {
            known.committed = Some(next);
            known.prepared = None;
        });
        step(&mut known, &|| custodian.destroy(&FILE, epoch).expect("destroyed"), &|known| {
            known.destroyed = epoch;
        });
        epoch += 1;
    }
    let calls = recorder.calls.lock().expect("not poisoned").clone();
    (calls, history)
}

#[test]
fn after_any_power_cut_the_gallery_opens_and_no_destroyed_key_is_back() {
    const FATES: [Fate; 4] = [Fate::Lost, Fate::Whole, Fate::Torn, Fate::Odd];
    let (calls, history) = life();
    let mut images = 0;
    for moment in 0..=calls.len() {
        // What had returned by then.
        let known = history.iter().rfind(|known| known.calls <= moment).expect("the beginning");
        let next = history.iter().find(|known| known.calls > moment);
        let under_way = next.and_then(|next| next.under_way);
        for writes in FATES {
            for names in FATES {
                let image = image(&calls[..moment], writes, names);
                check(&image, known, under_way, moment);
                images += 1;
            }
        }
    }
    assert!(images > 1_000, "{images} images");
}

fn check(image: &Image, known: &Known, under_way: Option<Stand>, moment: usize) {
    let custodian = super::over(image);
    let newest = match custodian.newest(&FILE) {
        Ok(newest) => newest,
        // Before the very first `prepare` returned, nobody was told that there is a gallery.
        Err(CustodyError::Damaged { .. })
            if known.prepared.is_none() && known.committed.is_none() =>
        {
            return;
        }
        Err(error) => panic!("call {moment}: {error}"),
    };
    let accepts = |wanted: Option<Stand>, newest: Standing| {
        wanted.is_none() || newest.committed == wanted || newest.prepared == wanted
    };
    // A stand whose superblock may be on the disk is accepted, and nothing older than the newest.
    let newer = under_way.filter(|stand| accepts(Some(*stand), newest));
    if newer.is_none() {
        assert!(accepts(known.committed, newest), "call {moment}: {newest:?}");
        assert!(accepts(known.prepared, newest), "call {moment}: {newest:?}");
    }
    for (name, bytes) in image {
        let epoch = name.strip_suffix(".key").and_then(|rest| rest.rsplit('.').next());
        if let Some(epoch) = epoch.and_then(|digits| digits.parse::<u64>().ok()) {
            let is_blank = bytes.iter().all(|&byte| byte == 0);
            assert!(is_blank || epoch > known.destroyed, "call {moment}: {name} is back");
        }
    }
    // Work goes on, whatever was left.
    let held = newest.prepared.or(newest.committed);
    let before = held.unwrap_or(stand(0, 0));
    let next = stand(before.epoch + 1, before.generation + 1);
    custodian.prepare(&FILE, next).expect("prepared");
    custodian.commit(&FILE, next).expect("committed");
    custodian.destroy(&FILE, before.epoch).expect("destroyed");
    assert_eq!(custodian.newest(&FILE).expect("known").committed, Some(next), "call {moment}");
}
