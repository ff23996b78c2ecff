//! Every verdict, from a document that deserves it.

use portcullis::{
    document::authentication::{
        Authentication, DocumentFiles, Revocation, TrustStore, TrustStoreBuilder, authenticate,
    },
    types::{Authenticity, DocumentFault, Unchecked, Weakness},
};

use crate::issuer::{self, Curves, DAY_S, Key, NOW_S, State};

pub(crate) fn store(files: &[&[u8]]) -> TrustStore {
    let mut builder = TrustStoreBuilder::default();
    for file in files {
        builder.add(file).expect("a file of certificates");
    }
    builder.build()
}

pub(crate) fn check(state: &mut State, store: &TrustStore) -> Authentication {
    let sod = state.write_sod();
    let files = DocumentFiles { sod: Some(&sod), dg1: Some(&state.dg1), dg2: &state.dg2 };
    authenticate(files, store, NOW_S)
}

fn verdict(mut state: State) -> Authenticity {
    let csca = state.write_csca();
    check(&mut state, &store(&[&csca])).verdict
}

fn changed(change: impl FnOnce(&mut State)) -> Authenticity {
    let mut state = State::p256();
    change(&mut state);
    verdict(state)
}

#[test]
fn a_genuine_document_is_valid_whatever_its_keys_are() {
    let rsa = Key::rsa(2048, 3);
    let states = [
        State::new(Key::p256(1), Key::p256(2), Curves::Named),
        State::new(Key::p256(1), Key::p256(2), Curves::Explicit),
        State::new(Key::brainpool256(1), Key::brainpool256(2), Curves::Explicit),
        State::new(Key::brainpool256(1), Key::p256(2), Curves::Explicit),
        State::new(Key::Rsa(Box::new(rsa.clone())), Key::p256(2), Curves::Explicit),
        State::new(Key::p256(1), Key::Rsa(Box::new(rsa.clone())), Curves::Named),
        State::new(Key::RsaPss(Box::new(rsa.clone())), Key::RsaPss(Box::new(rsa)), Curves::Named),
    ];
    for state in states {
        assert_eq!(verdict(state), Authenticity::Valid);
    }
    assert_eq!(changed(|state| state.sod.lds_version = 1), Authenticity::Valid);
    assert_eq!(changed(|state| state.sod.signed_s = None), Authenticity::Valid);
}

#[test]
fn what_is_known_about_the_signer_is_told() {
    let mut state = State::p256();
    let csca = state.write_csca();
    let signer = check(&mut state, &store(&[&csca])).signer.expect("a trusted signer");
    assert_eq!(signer.country, Some(*b"UT"));
    assert_eq!(signer.revocation, Revocation::Unknown);
    assert_eq!(signer.data_groups, [1, 2]);
    assert!(signer.country_compared && signer.signed_s == Some(NOW_S - 50 * DAY_S));
}

#[test]
fn each_fault_has_its_reason() {
    use DocumentFault as Fault;
    type Change = fn(&mut State);
    let cases: &[(DocumentFault, Change)] = &[
        (Fault::MalformedSod, |state| state.sod.tag = 0x76),
        (Fault::MalformedSod, |state| state.sod.lds_version = 2),
        (Fault::MalformedSod, |state| state.sod.groups.push((1, vec![1]))),
        (Fault::MalformedSod, |state| state.sod.groups.push((17, vec![1]))),
        (Fault::WrongContentType, |state| state.sod.content_type = "1.2.840.113549.1.7.1"),
        (Fault::MessageDigestMismatch, |state| state.sod.swap_content = true),
        (Fault::SodSignatureInvalid, |state| state.signer.key = Key::p256(9).spki(Curves::Named)),
        (Fault::DsCertAbsent, |state| state.sod.serial = 3),
        (Fault::DsCertAbsent, |state| state.sod.issuer = issuer::name("UT", "csca")),
        (Fault::DsKeyUsage, |state| state.signer.extensions[0] = issuer::usage(0x04)),
        (Fault::DsKeyUsage, |state| state.signer.extensions.push(issuer::authority())),
        (Fault::DsKeyUsage, |state| {
            state.signer.extensions.push(issuer::purpose("2.23.136.1.1.3"));
        }),
        (Fault::DsKeyUsage, |state| {
            state.signer.extensions.push(issuer::extension("1.2.3.4", true, &[5, 0]));
        }),
        (Fault::MalformedDsCert, |state| {
            let twice = state.signer.extensions[0].clone();
            state.signer.extensions.push(twice);
        }),
        (Fault::DsCertExpired, |state| state.signer.validity_s[1] = NOW_S - 1),
        (Fault::DsCertNotYetValid, |state| state.signer.validity_s[0] = NOW_S + 1),
        (Fault::SignedOutsideValidity, |state| state.sod.signed_s = Some(NOW_S - 200 * DAY_S)),
        (Fault::CscaCertExpired, |state| state.csca.validity_s[1] = NOW_S - 1),
        (Fault::CscaCertNotYetValid, |state| state.csca.validity_s[0] = NOW_S - 99 * DAY_S),
        (Fault::Dg1HashMismatch, |state| state.dg1[40] ^= 1),
        (Fault::Dg2HashMismatch, |state| state.dg2[10] ^= 1),
        (Fault::Dg1NotInSod, |state| drop(state.sod.groups.remove(0))),
        (Fault::Dg2NotInSod, |state| drop(state.sod.groups.remove(1))),
        (Fault::CountryMismatch, |state| {
            state.dg1 = issuer::dg1("NLD");
            state.sod.groups[0].1 = state.dg1.clone();
        }),
        (Fault::CountryMismatch, |state| state.signer.subject = issuer::name("NL", "DS")),
        (Fault::MalformedDg1, |state| {
            state.dg1 = issuer::tlv(0x61, &[0x5f, 0x1f, 1, b'P']);
            state.sod.groups[0].1 = state.dg1.clone();
        }),
        (Fault::NoTrustAnchor, |state| {
            state.signer.issuer = issuer::name("UT", "Other");
            state.sod.issuer = state.signer.issuer.clone();
            state.signer.extensions.remove(1);
        }),
    ];
    for (number, (fault, change)) in cases.iter().enumerate() {
        assert_eq!(changed(change), Authenticity::Invalid(*fault), "case {number}");
    }
}

#[test]
fn what_was_not_asked_is_not_answered() {
    let mut state = State::p256();
    let (sod, csca) = (state.write_sod(), state.write_csca());
    let unchecked = |sod, store: &TrustStore| {
        let files = DocumentFiles { sod, dg1: None, dg2: &state.dg2 };
        authenticate(files, store, NOW_S).verdict
    };
    let absent = Authenticity::NotChecked(Unchecked::SodAbsent);
    assert_eq!(unchecked(None, &store(&[&csca])), absent);
    let untrusting = Authenticity::NotChecked(Unchecked::TrustStoreAbsent);
    assert_eq!(unchecked(Some(&sod), &TrustStore::default()), untrusting);
    assert_eq!(unchecked(Some(&sod), &store(&[&csca])), Authenticity::Valid, "without DG1");
}

#[test]
fn only_the_six_curves_are_computed_on() {
    type Change = fn(&mut issuer::Domain);
    let changes: &[Change] = &[
        |domain| *domain.prime.last_mut().expect("octets") ^= 2,
        |domain| *domain.a.last_mut().expect("octets") ^= 1,
        |domain| *domain.b.last_mut().expect("octets") ^= 1,
        |domain| domain.base[1] ^= 1,
        |domain| domain.base[40] ^= 1,
        |domain| *domain.order.last_mut().expect("octets") ^= 2,
        |domain| domain.cofactor = vec![2],
    ];
    let with = |domain: &issuer::Domain| {
        changed(|state| {
            let spki = state.signer_key.spki(Curves::Named);
            let point = &spki[spki.len() - 68..];
            let algorithm = [issuer::oid("1.2.840.10045.2.1"), domain.write()].concat();
            state.signer.key = issuer::sequence(&[&issuer::tlv(0x30, &algorithm), point]);
        })
    };
    assert_eq!(with(&issuer::Domain::p256()), Authenticity::Valid);
    for (number, change) in changes.iter().enumerate() {
        let mut domain = issuer::Domain::p256();
        change(&mut domain);
        let refused = Authenticity::Invalid(DocumentFault::KeyUnsupported);
        assert_eq!(with(&domain), refused, "field {number}");
    }
}

#[test]
fn a_short_rsa_key_is_weak_and_named() {
    let rsa = Key::Rsa(Box::new(Key::rsa(1024, 4)));
    let state = State::new(Key::p256(1), rsa, Curves::Named);
    assert_eq!(verdict(state), Authenticity::Weak(Weakness::RsaShort));
}
