//! Attacks on tokens, key files and records.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    HolderRecords, HolderSecret, IdentifyNotPossible, IssuerKey, ReaderKey, RecordId,
    RecordRefused, RecordsError, TokenError, Validity,
    token::{self, TOKEN_BYTES_MAX},
};
use crate::{
    keys::{
        aead,
        custodian::vault::{Contended, FolderVault, Lock, MemoryVault, Vault, VaultError},
    },
    random::{Entropy, SeededEntropy, SystemEntropy},
    types::{Hash256, Purpose, Template, TemplateKind},
};

fn kind(dims: u16) -> TemplateKind {
    let (model, calibration) = (Hash256::from_bytes([1; 32]), Hash256::from_bytes([2; 32]));
    TemplateKind { model, calibration, dims }
}

fn template(kind: TemplateKind) -> Template {
    let mut bytes = vec![0; usize::from(kind.dims)];
    SeededEntropy::new(5).fill(&mut bytes);
    let values = bytes.iter().map(|byte| byte.cast_signed().max(-127)).collect();
    Template::new(values, kind).expect("a template")
}

const VALIDITY: Validity =
    Validity { not_before_s: 1_900_000_000, expiry_s: 1_900_086_400, purpose: Purpose::Boarding };
const NOW_S: i64 = 1_900_000_100;

fn issuer(seed: u64) -> IssuerKey {
    IssuerKey::random(&SeededEntropy::new(seed)).expect("a key")
}

fn issued(dims: u16) -> (Vec<u8>, [ReaderKey; 1]) {
    let issuer = issuer(1);
    let token = issuer.issue(&template(kind(dims)), VALIDITY, &SystemEntropy).expect("issued");
    (token, [issuer.reader().expect("a key")])
}

fn refused(token: &[u8], readers: &[ReaderKey]) -> TokenError {
    let opened = token::open(token, readers, &kind(128), Purpose::Boarding, NOW_S);
    opened.err().expect("refused")
}

#[test]
fn a_token_of_128_dimensions_fits_a_qr_code_of_version_10() {
    // Bytes of a QR code, level L (ISO/IEC 18004, table 7): version 10, 18, 26, 40.
    for (dims, most) in [(128, 271), (512, 718), (1024, 1367), (2048, TOKEN_BYTES_MAX)] {
        let (token, readers) = issued(dims);
        println!("holder template of {dims} dimensions: {} bytes", token.len());
        assert!(token.len() <= most, "{dims}: {} bytes", token.len());
        let opened = token::open(&token, &readers, &kind(dims), Purpose::Boarding, NOW_S);
        let opened = opened.expect("right");
        assert_eq!(opened.template.values(), template(kind(dims)).values());
        assert_eq!((opened.validity, opened.issuer), (VALIDITY, readers[0].id()));
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let (token, readers) = issued(128);
    for bit in 0..token.len() * 8 {
        let mut flipped = token.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = refused(&flipped, &readers);
        let named = matches!(
            error,
            TokenError::Altered | TokenError::Malformed { .. } | TokenError::ForeignIssuer { .. }
        );
        assert!(named, "bit {bit}: {error}");
    }
    for bytes in 0..token.len() {
        assert!(matches!(refused(&token[..bytes], &readers), TokenError::Malformed { .. }));
    }
    let longer = [&token[..], &[0]].concat();
    assert!(matches!(refused(&longer, &readers), TokenError::Malformed { .. }));
    let huge = vec![0; TOKEN_BYTES_MAX + 1];
    assert_eq!(refused(&huge, &readers), TokenError::TooLong { bytes: TOKEN_BYTES_MAX + 1 });
}

#[test]
fn time_purpose_model_and_issuer_are_refused_by_name() {
    let (token, readers) = issued(128);
    let open = |kind, purpose, now_s| {
        token::open(&token, &readers, &kind, purpose, now_s).err().expect("refused")
    };
    let early = open(kind(128), Purpose::Boarding, VALIDITY.not_before_s - 1);
    assert!(matches!(early, TokenError::NotYetValid { .. }));
    let late = open(kind(128), Purpose::Boarding, VALIDITY.expiry_s);
    assert!(matches!(late, TokenError::Expired { .. }));
    let other = open(kind(128), Purpose::BorderControl, NOW_S);
    assert!(matches!(other, TokenError::ForeignPurpose { held: Purpose::Boarding, .. }));
    let model = TemplateKind { model: Hash256::from_bytes([9; 32]), ..kind(128) };
    let calibration = TemplateKind { calibration: Hash256::from_bytes([9; 32]), ..kind(128) };
    for foreign in [model, calibration, kind(64)] {
        let error = open(foreign, Purpose::Boarding, NOW_S);
        assert!(matches!(error, TokenError::ForeignKind { .. }), "{error}");
    }
    let strangers = [issuer(2).reader().expect("a key")];
    assert!(matches!(refused(&token, &strangers), TokenError::ForeignIssuer { .. }));
    assert!(matches!(refused(&token, &[]), TokenError::ForeignIssuer { .. }));
    let both = [issuer(2).reader().expect("a key"), issuer(1).reader().expect("a key")];
    assert!(token::open(&token, &both, &kind(128), Purpose::Boarding, NOW_S).is_ok());
}

#[test]
fn a_gate_cannot_issue_and_a_stolen_sealing_key_signs_nothing() {
    let issuer = issuer(1);
    let reader = [issuer.reader().expect("a key")];
    let token = issuer.issue(&template(kind(128)), VALIDITY, &SystemEntropy).expect("issued");
    // What a thief of a gate's key can do: open a token, change it, seal it again.
    let inner = inner(&token, &issuer);
    let resealed = reader[0].seal_unsigned(&inner, &SystemEntropy);
    assert!(token::open(&resealed, &reader, &kind(128), Purpose::Boarding, NOW_S).is_ok());
    for bit in 0..inner.len() * 8 {
        let mut altered = inner.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let error = refused(&reader[0].seal_unsigned(&altered, &SystemEntropy), &reader);
        let named = matches!(
            error,
            TokenError::Altered | TokenError::Malformed { .. } | TokenError::ForeignKind { .. }
        );
        assert!(named, "bit {bit}: {error}");
    }
    for bytes in 0..inner.len() {
        refused(&reader[0].seal_unsigned(&inner[..bytes], &SystemEntropy), &reader);
    }
}

/// What a token seals, taken out with the issuer's key: the last byte strings of the outer form.
fn inner(token: &[u8], issuer: &IssuerKey) -> Vec<u8> {
    use coset::{CoseEncrypt0, TaggedCborSerializable};
    let outer = CoseEncrypt0::from_tagged_slice(token).expect("a token");
    let nonce: [u8; 12] = outer.protected.header.iv[..].try_into().expect("a nonce");
    outer
        .decrypt_ciphertext(
            b"portcullis holder token 1",
            || aead::NotOpened,
            |sealed, bound| {
                let (bytes, tag) = sealed.split_last_chunk::<16>().expect("a tag");
                let mut bytes = bytes.to_vec();
                let key = issuer.sealing().expose();
                aead::open(key, &nonce, bound, &mut bytes, tag).map(|()| bytes)
            },
        )
        .expect("opened")
}

#[test]
fn impossible_validities_are_not_issued() {
    let issuer = issuer(1);
    for (not_before_s, expiry_s) in [(5, 5), (6, 5), (-1, 5), (i64::MIN, i64::MAX)] {
        let validity = Validity { not_before_s, expiry_s, purpose: Purpose::Boarding };
        let refused = issuer.issue(&template(kind(128)), validity, &SystemEntropy).err();
        assert_eq!(refused, Some(TokenError::Validity { not_before_s, expiry_s }));
    }
}

#[test]
fn key_files_are_private_and_every_flipped_bit_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (desk, gate) = (folder.path().join("issuer.key"), folder.path().join("reader.key"));
    let issuer = issuer(3);
    issuer.write(&desk).expect("written");
    issuer.reader().expect("a key").write(&gate).expect("written");
    assert!(issuer.write(&desk).is_err(), "never written over");
    assert_eq!(IssuerKey::read(&desk).expect("read").id(), issuer.id());
    let reader = ReaderKey::read(&gate).expect("read");
    assert!(reader.describe().contains(&issuer.id().to_string()));
    let token = IssuerKey::read(&desk).expect("read");
    let token = token.issue(&template(kind(128)), VALIDITY, &SystemEntropy).expect("issued");
    assert!(token::open(&token, &[reader], &kind(128), Purpose::Boarding, NOW_S).is_ok());
    assert!(ReaderKey::read(&desk).is_err() && IssuerKey::read(&gate).is_err(), "roles are apart");

    let whole = fs::read(&desk).expect("read");
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&desk, &flipped).expect("written");
        assert!(IssuerKey::read(&desk).is_err(), "bit {bit}");
    }
    for bytes in [&whole[..111], &[&whole[..], &[0]].concat()] {
        fs::write(&desk, bytes).expect("written");
        assert!(IssuerKey::read(&desk).is_err());
    }
    fs::set_permissions(&gate, fs::Permissions::from_mode(0o640)).expect("set");
    let open = ReaderKey::read(&gate).err().expect("refused").to_string();
    assert!(open.contains("0640") && open.contains("0600"), "{open}");
}

/// A vault that counts what is read.
#[derive(Default)]
struct Counted {
    vault: MemoryVault,
    reads: AtomicU64,
    read_bytes: AtomicU64,
}

impl Vault for Counted {
    fn place(&self) -> String {
        self.vault.place()
    }
    fn list(&self) -> Result<Vec<String>, VaultError> {
        self.vault.list()
    }
    fn read(&self, name: &str, at: u64, bytes: &mut [u8]) -> Result<Option<usize>, VaultError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.read_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.vault.read(name, at, bytes)
    }
    fn create(&self, name: &str) -> Result<(), VaultError> {
        self.vault.create(name)
    }
    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> Result<(), VaultError> {
        self.vault.write(name, at, bytes)
    }
    fn sync(&self, name: &str) -> Result<(), VaultError> {
        self.vault.sync(name)
    }
    fn unlink(&self, name: &str) -> Result<(), VaultError> {
        self.vault.unlink(name)
    }
    fn sync_names(&self) -> Result<(), VaultError> {
        self.vault.sync_names()
    }
    fn lock(&self, name: &str, contended: Contended) -> Result<Option<Lock>, VaultError> {
        self.vault.lock(name, contended)
    }
}

fn records(vault: Arc<dyn Vault>) -> Result<HolderRecords, RecordsError> {
    HolderRecords::open(vault, "lane", kind(128), Arc::new(SystemEntropy))
}

fn other_secret(seed: u64) -> HolderSecret {
    HolderSecret::random(&SeededEntropy::new(seed)).expect("a secret")
}

#[test]
fn unknown_ids_and_wrong_secrets_are_one_answer_after_the_same_work() {
    let vault = Arc::new(Counted::default());
    let store = records(Arc::clone(&vault) as _).expect("made");
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(store.enrol(&template(kind(128)), 10, 20).expect("kept"));
    }
    let work = |id: RecordId, secret: &HolderSecret, now_s| {
        let count = || {
            let (reads, bytes) = (&vault.reads, &vault.read_bytes);
            let opened = aead::opened_by_this_thread();
            (reads.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed), opened)
        };
        let before = count();
        let answer = store.reference(id, secret, now_s);
        let after = count();
        (answer, (after.0 - before.0, after.1 - before.1, after.2 - before.2))
    };
    let (id, secret) = &held[2];
    let (right, right_work) = work(*id, secret, 15);
    assert_eq!(right.expect("opened").values(), template(kind(128)).values());
    assert_eq!((right_work.0, right_work.2), (1, 1), "one read, one opening");
    let unknown = RecordId::from_bytes([7; 16]);
    let (foreign_id, _) = &held[3];
    for (id, secret) in [
        (unknown, secret),
        (unknown, &other_secret(1)),
        (*id, &other_secret(1)),
        (*foreign_id, secret),
    ] {
        let (answer, this_work) = work(id, secret, 15);
        let error = answer.expect_err("refused");
        assert!(matches!(error, RecordRefused::NotOpened));
        let told = "no record opens with this id and this secret: present both as they were handed \
                    out, or enrol the traveller again";
        assert_eq!(error.to_string(), told);
        assert_eq!(this_work, right_work);
    }
    let (early, early_work) = work(*id, secret, 9);
    assert!(matches!(early, Err(RecordRefused::NotYetValid { not_before_s: 10 })));
    let (late, _) = work(*id, secret, 20);
    assert!(matches!(late, Err(RecordRefused::Expired { expiry_s: 20 })));
    assert_eq!(early_work, right_work);
    let (late, _) = work(*id, &other_secret(1), 20);
    assert!(matches!(late, Err(RecordRefused::NotOpened)), "only its holder learns that");
    let empty = records(Arc::new(MemoryVault::default())).expect("made");
    assert!(matches!(empty.reference(*id, secret, 15), Err(RecordRefused::NotOpened)));
    assert_eq!(IdentifyNotPossible::CODE, "IDENTIFY_NOT_POSSIBLE");
}

#[test]
fn records_survive_a_restart_and_are_erased_for_good() {
    let vault = Arc::new(MemoryVault::default());
    let store = records(Arc::clone(&vault) as _).expect("made");
    let kept: Vec<_> =
        (0..70).map(|at| store.enrol(&template(kind(128)), 0, 100 + at).expect("kept")).collect();
    drop(store);
    let store = records(Arc::clone(&vault) as _).expect("opened");
    assert_eq!((store.held().live, store.held().damaged, store.held().slots), (70, 0, 128));
    let (id, secret) = &kept[0];
    assert!(store.reference(*id, secret, 1).is_ok());
    assert!(store.erase(*id).expect("erased"));
    assert!(!store.erase(*id).expect("not there"));
    assert!(matches!(store.reference(*id, secret, 1), Err(RecordRefused::NotOpened)));
    let file = &vault.image()["lane.records"];
    assert!(!file.windows(16).any(|window| window == id.as_bytes()), "not even its id");
    assert_eq!(store.erase_expired(130).expect("erased"), 30);
    assert_eq!(store.held().live, 39);
    let other = HolderRecords::open(vault, "lane", kind(64), Arc::new(SystemEntropy));
    assert!(matches!(other.err().expect("refused"), RecordsError::Template(_)));
    let foreign = store.enrol(&template(kind(64)), 0, 1).err().expect("refused");
    assert!(matches!(foreign, RecordsError::Template(_)));
    let backwards = store.enrol(&template(kind(128)), 5, 5).err().expect("refused");
    assert!(matches!(backwards, RecordsError::Validity { .. }));
}

#[test]
fn every_flipped_bit_of_a_record_is_noticed_and_a_torn_one_is_nobodys() {
    let vault = Arc::new(MemoryVault::default());
    let store = records(Arc::clone(&vault) as _).expect("made");
    let (id, secret) = store.enrol(&template(kind(128)), 0, 100).expect("kept");
    drop(store);
    let image: BTreeMap<_, _> = vault.image();
    let whole = &image["lane.records"];
    let slot_bytes = 256;
    for bit in (0..128 * 8).chain(4096 * 8..(4096 + slot_bytes) * 8) {
        let mut file = whole.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        let image = [("lane.records".to_owned(), file)].into();
        match records(Arc::new(MemoryVault::of(image))) {
            Err(error) => assert!(
                matches!(error, RecordsError::Damaged { .. } | RecordsError::Template(_)),
                "{error}"
            ),
            Ok(store) if store.held().damaged == 0 => {
                // The padding of a slot holds nothing.
                let opened = store.reference(id, &secret, 1);
                assert!(opened.is_ok(), "bit {bit}");
            }
            Ok(store) => {
                assert_eq!((store.held().live, store.held().damaged), (0, 1), "bit {bit}");
                let answer = store.reference(id, &secret, 1);
                assert!(matches!(answer, Err(RecordRefused::NotOpened)), "bit {bit}");
                assert_eq!(store.clear_damaged().expect("cleared"), 1);
            }
        }
    }
    for bytes in 0..slot_bytes {
        let mut file = whole.clone();
        file[4096 + bytes..4096 + slot_bytes].fill(0);
        let image = [("lane.records".to_owned(), file)].into();
        let store = records(Arc::new(MemoryVault::of(image))).expect("opened");
        assert!(store.held().live == 0 || bytes > 216, "{bytes} bytes of a slot");
    }
}

#[test]
fn a_file_of_records_has_one_user() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lane, other) = (HolderRecords::file_name("lane"), HolderRecords::file_name("other"));
    let first = FolderVault::open_alone(folder.path(), &lane).expect("free");
    let second = FolderVault::open_alone(folder.path(), &lane);
    assert!(matches!(second, Err(VaultError::InUse { .. })));
    drop(FolderVault::open_alone(folder.path(), &other).expect("another file is free"));

    let store = records(Arc::new(first)).expect("made in the file that was locked");
    assert!(matches!(FolderVault::open_alone(folder.path(), &lane), Err(VaultError::InUse { .. })));
    drop(store);
    drop(FolderVault::open_alone(folder.path(), &lane).expect("free again"));
}
