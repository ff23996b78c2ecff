//! What every custodian owes a gallery: one suite, mounted once per custodian.

#![allow(unreachable_pub, reason = "a module of several test targets")]

use portcullis::{
    keys::{
        Custodian, CustodyError, Key, Stand,
        custodian::{Standing, WRAPPED_BYTES},
    },
    random::SeededEntropy,
};

pub const FILE: [u8; 16] = *b"the first file's";
pub const OTHER: [u8; 16] = *b"another file's  ";

pub fn stand(epoch: u64, generation: u64) -> Stand {
    Stand { epoch, generation }
}

/// A change of epoch, as a gallery does it.
pub fn change(custodian: &dyn Custodian, file: &[u8; 16], stand: Stand) {
    custodian.prepare(file, stand).expect("prepared");
    custodian.commit(file, stand).expect("committed");
    custodian.destroy(file, stand.epoch - 1).expect("destroyed");
}

pub fn every_promise(custodian: &dyn Custodian) {
    standings(custodian);
    wrapping(custodian);
    altered(custodian);
    changes_that_are_given_up(custodian);
    destruction(custodian);
    forgetting(custodian);
    claiming(custodian);
    let told = custodian.describe();
    assert!(!told.covers.is_empty() && !told.does_not_cover.is_empty() && !told.place.is_empty());
}

/// One opening at a time, where a gallery can have two: not in one process's memory.
fn claiming(custodian: &dyn Custodian) {
    change(custodian, &FILE, stand(1, 1));
    let first = custodian.claim(&FILE).expect("nobody has it");
    if custodian.describe().name != "memory" {
        let second = custodian.claim(&FILE).err().expect("it is taken");
        assert!(matches!(second, CustodyError::InUse { .. }), "{second}");
    }
    drop(custodian.claim(&OTHER).expect("another gallery is another's"));
    drop(first);
    drop(custodian.claim(&FILE).expect("free again"));
    custodian.forget(&FILE).expect("forgotten");
}

fn standings(custodian: &dyn Custodian) {
    let newest = |what| custodian.newest(&FILE).expect(what);
    assert_eq!(newest("an unknown gallery"), Standing::default());
    let refused = custodian.commit(&FILE, stand(1, 1));
    assert!(matches!(refused, Err(CustodyError::UnknownGallery { .. })));
    custodian.prepare(&FILE, stand(1, 1)).expect("prepared");
    assert_eq!(newest("prepared"), Standing { committed: None, prepared: Some(stand(1, 1)) });
    custodian.commit(&FILE, stand(1, 1)).expect("committed");
    assert_eq!(newest("committed"), Standing { committed: Some(stand(1, 1)), prepared: None });
    custodian.commit(&FILE, stand(1, 1)).expect("said twice");
    custodian.commit(&FILE, stand(1, 2)).expect("within the epoch");
    for wrong in [stand(0, 3), stand(1, 2), stand(2, 1)] {
        let refused = custodian.prepare(&FILE, wrong);
        assert!(matches!(refused, Err(CustodyError::OutOfOrder { .. })), "{wrong:?}");
    }
    for wrong in [stand(1, 1), stand(2, 3)] {
        let refused = custodian.commit(&FILE, wrong);
        assert!(matches!(refused, Err(CustodyError::OutOfOrder { .. })), "{wrong:?}");
    }
    assert_eq!(newest("as before").committed, Some(stand(1, 2)));
    custodian.forget(&FILE).expect("forgotten");
}

fn wrapping(custodian: &dyn Custodian) {
    let entropy = SeededEntropy::new(1);
    let key = Key::random(&entropy).expect("a key");
    let refused = custodian.wrap(&FILE, 1, &key, b"bound");
    assert!(matches!(refused, Err(CustodyError::UnknownGallery { .. })));
    change(custodian, &FILE, stand(1, 1));
    let wrapped = custodian.wrap(&FILE, 1, &key, b"bound").expect("wrapped");
    assert_eq!(wrapped.len(), WRAPPED_BYTES);
    assert!(!wrapped.windows(8).any(|window| key.expose().starts_with(window)));
    let again = custodian.wrap(&FILE, 1, &key, b"bound").expect("wrapped");
    assert_ne!(again, wrapped, "a fresh nonce");
    for wrapped in [wrapped, again] {
        let opened = custodian.unwrap(&FILE, 1, &wrapped, b"bound").expect("opened");
        assert_eq!(opened.expose(), key.expose());
    }
}

fn altered(custodian: &dyn Custodian) {
    let entropy = SeededEntropy::new(2);
    let key = Key::random(&entropy).expect("a key");
    change(custodian, &OTHER, stand(1, 1));
    let wrapped = custodian.wrap(&FILE, 1, &key, b"bound").expect("wrapped");
    let wrong = |file: &[u8; 16], wrapped: &[u8], bound: &[u8]| {
        custodian.unwrap(file, 1, wrapped, bound).err().expect("refused")
    };
    assert!(matches!(wrong(&FILE, &wrapped, b"other"), CustodyError::WrongKey { epoch: 1, .. }));
    assert!(matches!(wrong(&OTHER, &wrapped, b"bound"), CustodyError::WrongKey { .. }));
    let short = wrong(&FILE, &wrapped[1..], b"bound");
    assert!(matches!(short, CustodyError::NotWrapped { bytes: 63 }));
    for bit in 0..WRAPPED_BYTES * 8 {
        let mut flipped = wrapped.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = wrong(&FILE, &flipped, b"bound");
        let named = match bit / 8 {
            0 => matches!(
                error,
                CustodyError::WrongCustodian { .. } | CustodyError::NotWrapped { .. }
            ),
            1..4 => matches!(error, CustodyError::NotWrapped { .. }),
            _ => matches!(error, CustodyError::WrongKey { .. }),
        };
        assert!(named, "bit {bit}: {error}");
    }
}

fn changes_that_are_given_up(custodian: &dyn Custodian) {
    let key = Key::random(&SeededEntropy::new(3)).expect("a key");
    // Announced, and then something else happened within the epoch.
    custodian.prepare(&FILE, stand(2, 2)).expect("prepared");
    let in_force = custodian.wrap(&FILE, 1, &key, b"").expect("wrapped");
    custodian.destroy(&FILE, 2).expect("it came to nothing");
    assert!(custodian.unwrap(&FILE, 1, &in_force, b"").is_ok(), "the key in force stays");
    custodian.prepare(&FILE, stand(2, 2)).expect("announced anew, with a key of its own");
    assert!(custodian.wrap(&FILE, 2, &key, b"").is_ok());
    custodian.commit(&FILE, stand(1, 2)).expect("within the epoch");
    custodian.prepare(&FILE, stand(2, 3)).expect("prepared");
    let wrapped = custodian.wrap(&FILE, 2, &key, b"").expect("wrapped");
    custodian.prepare(&FILE, stand(2, 4)).expect("the same epoch again");
    assert!(custodian.unwrap(&FILE, 2, &wrapped, b"").is_ok(), "its key is kept");
    custodian.commit(&FILE, stand(1, 5)).expect("within the committed epoch");
    let gone = custodian.unwrap(&FILE, 2, &wrapped, b"");
    assert!(matches!(gone, Err(CustodyError::MissingKey { epoch: 2, .. })), "given up");
    // The epoch is used after all, with a key of its own.
    change(custodian, &FILE, stand(2, 6));
    let refused = custodian.unwrap(&FILE, 2, &wrapped, b"");
    assert!(matches!(refused, Err(CustodyError::WrongKey { .. })), "another key");
}

fn destruction(custodian: &dyn Custodian) {
    let key = Key::random(&SeededEntropy::new(4)).expect("a key");
    let old = custodian.wrap(&FILE, 2, &key, b"").expect("wrapped");
    custodian.prepare(&FILE, stand(3, 7)).expect("prepared");
    assert!(custodian.unwrap(&FILE, 2, &old, b"").is_ok(), "until the change is committed");
    let new = custodian.wrap(&FILE, 3, &key, b"").expect("wrapped");
    custodian.commit(&FILE, stand(3, 7)).expect("committed");
    custodian.destroy(&FILE, 2).expect("destroyed");
    custodian.destroy(&FILE, 2).expect("destroyed twice");
    let gone = custodian.unwrap(&FILE, 2, &old, b"");
    assert!(matches!(gone, Err(CustodyError::MissingKey { epoch: 2, .. })));
    assert!(custodian.unwrap(&FILE, 3, &new, b"").is_ok(), "its own epoch's");
    for generation in 8..30 {
        change(custodian, &FILE, stand(generation - 4, generation));
    }
    let refused = custodian.prepare(&FILE, stand(3, 99));
    assert!(matches!(refused, Err(CustodyError::OutOfOrder { .. })), "a destroyed epoch");
    // A key that a crash left behind goes with the next destruction.
    custodian.prepare(&FILE, stand(30, 40)).expect("prepared");
    custodian.commit(&FILE, stand(30, 40)).expect("committed, and not destroyed");
    change(custodian, &FILE, stand(31, 41));
    let gone = custodian.wrap(&FILE, 25, &key, b"");
    assert!(matches!(gone, Err(CustodyError::MissingKey { epoch: 25, .. })));
}

fn forgetting(custodian: &dyn Custodian) {
    custodian.forget(&FILE).expect("forgotten");
    custodian.forget(&FILE).expect("forgotten twice");
    assert_eq!(custodian.newest(&FILE).expect("unknown"), Standing::default());
    assert_eq!(custodian.newest(&OTHER).expect("known").committed, Some(stand(1, 1)), "untouched");
    let key = Key::random(&SeededEntropy::new(5)).expect("a key");
    let refused = custodian.wrap(&FILE, 31, &key, b"");
    assert!(matches!(refused, Err(CustodyError::UnknownGallery { .. })));
    assert!(custodian.wrap(&OTHER, 1, &key, b"").is_ok());
    custodian.forget(&OTHER).expect("forgotten");
}
