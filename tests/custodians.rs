//! The custodians in memory and in files: the contract of all, and what a folder adds: permissions,
//! passphrases, damage, and power cuts at every moment.

mod common;
#[path = "custodians/contract.rs"]
mod contract;
#[path = "custodians/power.rs"]
mod power;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::{Arc, Barrier},
    thread,
};

use contract::{FILE, OTHER, change, stand};
use portcullis::{
    keys::{
        Custodian, CustodyError, Key, Phrase,
        custodian::{FileCustodian, MemoryCustodian, Standing, vault::MemoryVault},
        phrase::PhraseError,
    },
    random::{SeededEntropy, SystemEntropy},
};

type Image = BTreeMap<String, Vec<u8>>;

fn phrase(text: &str) -> Phrase {
    Phrase::take(text.to_owned()).expect("a phrase")
}

fn at(folder: &Path, passphrase: Option<&Phrase>) -> Result<FileCustodian, CustodyError> {
    FileCustodian::open(folder, passphrase, Arc::new(SystemEntropy))
}

fn over(image: &Image) -> FileCustodian {
    let vault = Arc::new(MemoryVault::of(image.clone()));
    FileCustodian::over(vault, None, Arc::new(SeededEntropy::new(9))).expect("opened")
}

fn refusal<T>(answer: Result<T, CustodyError>) -> CustodyError {
    answer.err().expect("refused")
}

#[test]
fn memory_keeps_every_promise() {
    contract::every_promise(&MemoryCustodian::new(Arc::new(SystemEntropy)));
}

#[test]
fn a_folder_keeps_every_promise() {
    let folder = tempfile::tempdir().expect("a folder");
    contract::every_promise(&at(&folder.path().join("keys"), None).expect("made"));
}

#[test]
fn a_folder_under_a_passphrase_keeps_every_promise_and_no_plain_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    let right = phrase("correct horse battery staple\n");
    contract::every_promise(&at(&keys, Some(&right)).expect("made"));

    let custodian = at(&keys, Some(&right)).expect("opened again");
    change(&custodian, &FILE, stand(1, 1));
    let key = Key::random(&SystemEntropy).expect("a key");
    let wrapped = custodian.wrap(&FILE, 1, &key, b"").expect("wrapped");
    let again = at(&keys, Some(&right)).expect("opened again");
    assert!(again.unwrap(&FILE, 1, &wrapped, b"").is_ok(), "after a restart");
    assert!(again.describe().place.ends_with("under a passphrase"));

    let wrong = refusal(at(&keys, Some(&phrase("correct horse battery stable"))));
    assert!(matches!(wrong, CustodyError::PassphraseWrong { .. }), "{wrong}");
    assert!(matches!(refusal(at(&keys, None)), CustodyError::Passphrase { .. }));
    let guard = keys.join("guard.age");
    let text = fs::read(&guard).expect("a guard");
    fs::write(&guard, &text[..60]).expect("torn");
    let damaged = refusal(at(&keys, Some(&right))).to_string();
    assert!(damaged.contains("damaged guard.age"), "{damaged}");

    let plain = folder.path().join("plain");
    change(&at(&plain, None).expect("made"), &FILE, stand(1, 1));
    let refused = refusal(at(&plain, Some(&right))).to_string();
    assert!(refused.contains("not under a passphrase"), "{refused}");
}

/// Two processes at their first start: were each to make a guard of its own, the keys of the one
/// whose file the other wrote over would be lost with its process.
#[test]
fn two_that_set_a_folder_up_at_once_have_one_guard() {
    for _ in 0..4 {
        let folder = tempfile::tempdir().expect("a folder");
        let right = phrase("correct horse battery staple\n");
        let start = Barrier::new(2);
        let open = |file: &[u8; 16]| {
            start.wait();
            let custodian = at(folder.path(), Some(&right)).expect("opened");
            change(&custodian, file, stand(1, 1));
        };
        thread::scope(|scope| {
            scope.spawn(|| open(&FILE));
            scope.spawn(|| open(&OTHER));
        });
        let restarted = at(folder.path(), Some(&right)).expect("opened again");
        let key = Key::random(&SystemEntropy).expect("a key");
        for file in [&FILE, &OTHER] {
            restarted.wrap(file, 1, &key, b"").expect("its key is under the guard that is left");
        }
    }
}

#[test]
fn keys_outlive_the_process_in_files_and_not_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = Key::random(&SystemEntropy).expect("a key");
    let first = at(folder.path(), None).expect("opened");
    change(&first, &FILE, stand(7, 3));
    let wrapped = first.wrap(&FILE, 7, &key, b"x").expect("wrapped");
    drop(first);
    let second = at(folder.path(), None).expect("opened again");
    assert_eq!(second.newest(&FILE).expect("known").committed, Some(stand(7, 3)));
    let opened = second.unwrap(&FILE, 7, &wrapped, b"x").expect("opened");
    assert_eq!(opened.expose(), key.expose());

    let memory = MemoryCustodian::new(Arc::new(SystemEntropy));
    let foreign = refusal(memory.unwrap(&FILE, 7, &wrapped, b"x"));
    assert!(matches!(foreign, CustodyError::WrongCustodian { asked: "memory", held: "file" }));
    let elsewhere = tempfile::tempdir().expect("a folder");
    let other = at(elsewhere.path(), None).expect("opened");
    let unknown = refusal(other.unwrap(&FILE, 7, &wrapped, b"x"));
    assert!(matches!(unknown, CustodyError::UnknownGallery { .. }));
}

/// The mode of every file below `folder`.
fn modes(folder: &Path) -> Vec<u32> {
    let mode = |entry: std::io::Result<fs::DirEntry>| {
        entry.and_then(|entry| entry.metadata()).expect("an entry").permissions().mode() & 0o777
    };
    fs::read_dir(folder).expect("a folder").map(mode).collect()
}

#[test]
fn nobody_else_can_read_a_key_and_what_others_could_read_is_refused() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("keys");
    let custodian = at(&folder, None).expect("made");
    change(&custodian, &FILE, stand(1, 1));
    let made = fs::metadata(&folder).expect("made").permissions().mode() & 0o777;
    assert_eq!(made, 0o700);
    let modes = modes(&folder);
    assert!(modes.len() > 2 && modes.iter().all(|&mode| mode == 0o600), "{modes:?}");

    let hex: String = FILE.iter().map(|byte| format!("{byte:02x}")).collect();
    let file = folder.join(format!("{hex}.1.key"));
    let key = Key::random(&SystemEntropy).expect("a key");
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    };
    for mode in [0o640, 0o604, 0o660, 0o700 | 0o001] {
        set(&file, mode);
        let refused = refusal(custodian.wrap(&FILE, 1, &key, b""));
        assert!(matches!(refused, CustodyError::Permissions { want: 0o600, .. }), "{refused}");
        assert!(refused.to_string().contains(&format!("mode {mode:04o}")), "{refused}");
    }
    set(&file, 0o600);
    assert!(custodian.wrap(&FILE, 1, &key, b"").is_ok());
    let aside = folder.join("aside");
    fs::rename(&file, &aside).expect("moved");
    symlink(&aside, &file).expect("linked");
    let refused = refusal(custodian.wrap(&FILE, 1, &key, b""));
    assert!(matches!(refused, CustodyError::Storage { .. }), "a link is not followed: {refused}");
    set(&folder, 0o770);
    assert!(matches!(refusal(at(&folder, None)), CustodyError::Permissions { want: 0o700, .. }));
}

#[test]
fn a_key_of_another_user_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let custodian = at(folder.path(), None).expect("opened");
    change(&custodian, &FILE, stand(1, 1));
    let standing = folder.path().read_dir().expect("a folder").filter_map(Result::ok);
    let standing = standing
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "standing"));
    if std::os::unix::fs::chown(standing.expect("a standing"), Some(12_345), None).is_err() {
        common::skip("a_key_of_another_user_is_refused", "root", "only root gives files away");
        return;
    }
    let refused = refusal(custodian.newest(&FILE));
    assert!(refused.to_string().contains("belongs to user 12345"), "{refused}");
}

/// A gallery that was changed a few times, and what its custodian's files then are.
fn grown() -> (Image, Vec<u8>, Key) {
    let vault = Arc::new(MemoryVault::default());
    let entropy = Arc::new(SeededEntropy::new(8));
    let custodian = FileCustodian::over(Arc::clone(&vault) as _, None, entropy).expect("opened");
    for step in 1..4 {
        change(&custodian, &FILE, stand(step, step));
    }
    custodian.commit(&FILE, stand(3, 4)).expect("within the epoch");
    let key = Key::random(&SystemEntropy).expect("a key");
    let wrapped = custodian.wrap(&FILE, 3, &key, b"").expect("wrapped");
    (vault.image(), wrapped, key)
}

#[test]
fn every_flipped_bit_of_every_file_is_named_or_changes_nothing() {
    let (image, wrapped, key) = grown();
    let (mut named, mut harmless) = (0, 0);
    for (name, bytes) in &image {
        for bit in 0..bytes.len() * 8 {
            // Between the two slots of a standing there is nothing; some of it is enough.
            if name.ends_with(".standing") && (128..4096).contains(&(bit / 8)) && bit % 61 != 0 {
                continue;
            }
            let mut image = image.clone();
            image.get_mut(name).expect("a file")[bit / 8] ^= 1 << (bit % 8);
            let custodian = over(&image);
            // Of a standing there are two copies.
            let newest = custodian.newest(&FILE).expect("one slot is whole");
            assert_eq!(newest.committed, Some(stand(3, 4)), "{name} bit {bit}");
            match custodian.unwrap(&FILE, 3, &wrapped, b"") {
                Ok(opened) => {
                    harmless += 1;
                    assert_eq!(opened.expose(), key.expose());
                }
                Err(error) => {
                    named += 1;
                    assert!(name.ends_with(".3.key"), "{name} bit {bit}");
                    assert!(matches!(error, CustodyError::Damaged { .. }), "{error}");
                }
            }
        }
    }
    assert_eq!(named, 136 * 8, "every bit of the key file matters");
    assert!(harmless > 0);
}

#[test]
fn truncated_files_are_named_and_a_lost_slot_falls_back_to_the_one_before() {
    let (image, wrapped, _) = grown();
    for (name, bytes) in &image {
        for length in 0..bytes.len() {
            let mut image = image.clone();
            image.get_mut(name).expect("a file").truncate(length);
            let custodian = over(&image);
            let newest = custodian.newest(&FILE);
            let unwrapped = custodian.unwrap(&FILE, 3, &wrapped, b"");
            if name.ends_with(".3.key") {
                assert!(unwrapped.is_err(), "{length} bytes of a key");
            }
            if let Err(error) = newest {
                assert!(matches!(error, CustodyError::Damaged { .. }), "{name} {length}: {error}");
            }
        }
    }
    let mut gone = image.clone();
    gone.retain(|name, _| !name.ends_with(".standing"));
    assert_eq!(over(&gone).newest(&FILE).expect("unknown"), Standing::default());
}

#[test]
fn swapped_key_files_are_named() {
    let (image, wrapped, _) = grown();
    let mut swapped = image.clone();
    let name = |epoch: u64| {
        let hex: String = FILE.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{hex}.{epoch}.key")
    };
    swapped.insert(name(4), image[&name(3)].clone());
    let error =
        refusal(over(&swapped).wrap(&FILE, 4, &Key::random(&SystemEntropy).expect("a key"), b""));
    assert!(error.to_string().contains("another epoch's"), "{error}");
    assert!(over(&swapped).unwrap(&FILE, 3, &wrapped, b"").is_ok());
}

#[test]
fn a_destroyed_key_is_nowhere_in_the_folder() {
    let vault = Arc::new(MemoryVault::default());
    let entropy = Arc::new(SeededEntropy::new(8));
    let custodian = FileCustodian::over(Arc::clone(&vault) as _, None, entropy).expect("opened");
    change(&custodian, &FILE, stand(1, 1));
    let keys = |image: &Image| {
        let keys = image.values().filter(|bytes| bytes.starts_with(b"PCULEKEY"));
        keys.map(|bytes| bytes[56..88].to_vec()).collect::<Vec<_>>()
    };
    let first = keys(&vault.image());
    assert_eq!(first.len(), 1);
    change(&custodian, &FILE, stand(2, 2));
    let image = vault.image();
    assert_eq!(keys(&image).len(), 1, "one per live epoch");
    assert!(!image.values().any(|bytes| bytes.windows(32).any(|window| window == first[0])));
    custodian.forget(&FILE).expect("forgotten");
    assert!(vault.image().is_empty(), "{:?}", vault.image().keys());
}

#[test]
fn phrases_come_from_private_files_and_have_a_length() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pin");
    assert!(matches!(Phrase::read(&path), Err(PhraseError::File { .. })));
    fs::write(&path, "1234\r\n").expect("written");
    let open_to_others = Phrase::read(&path).err().expect("mode 0644 or so").to_string();
    assert!(open_to_others.contains("mode"), "{open_to_others}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
    assert_eq!(Phrase::read(&path).expect("private").expose(), "1234");
    fs::write(&path, "x".repeat(1025)).expect("written");
    assert!(matches!(Phrase::read(&path), Err(PhraseError::Length { bytes: 1025 })));
    fs::write(&path, [0xff, b'\n']).expect("written");
    assert!(matches!(Phrase::read(&path), Err(PhraseError::NotText)));
    assert!(matches!(Phrase::take("\n".to_owned()), Err(PhraseError::Length { bytes: 0 })));
}
