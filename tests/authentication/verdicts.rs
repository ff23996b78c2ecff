//! Every verdict, from a document that deserves it.

use portcullis::{
    document::authentication::{
        Authentication, DocumentFiles, Revocation, TrustStore, TrustStoreBuilder, authenticate,
    },
    types::{Authenticity, DocumentFault, Unchecked, Weakness, Weaknesses},
};

use crate::issuer::{self, Curves, DAY_S, Hashing, Key, NOW_S, State};

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
    let (csca, list) = (state.write_csca(), state.write_list());
    check(&mut state, &store(&[&csca, &list])).verdict
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
        State::new(
            Key::RsaPss(Box::new(rsa.clone())),
            Key::RsaPss(Box::new(rsa.clone())),
            Curves::Named,
        ),
        State::new(Key::OnlyPss(Box::new(rsa.clone())), Key::OnlyPss(Box::new(rsa)), Curves::Named),
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
        (Fault::MalformedDsCert, |state| {
            let twice = state.signer.extensions[0].clone();
            state.signer.extensions.push(twice);
        }),
        (Fault::DsCertExpired, |state| state.signer.validity_s[1] = NOW_S - 1),
        (Fault::DsCertNotYetValid, |state| state.signer.validity_s[0] = NOW_S + 1),
        (Fault::SignedOutsideValidity, |state| state.sod.signed_s = Some(NOW_S - 200 * DAY_S)),
        (Fault::AlgorithmUnsupported, |state| state.sod.hashing = Hashing::Sha3),
        (Fault::AlgorithmUnsupported, |state| state.sod.signer_hashing = Hashing::Sha3),
        (Fault::AlgorithmUnsupported, |state| state.signer.hashing = Hashing::Sha3),
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
fn a_signer_is_held_to_what_its_certificate_says() {
    use DocumentFault as Fault;
    type Change = fn(&mut State);
    let cases: &[(DocumentFault, Change)] = &[
        (Fault::DsKeyUsage, |state| state.signer.extensions[0] = issuer::usage(0x04)),
        (Fault::DsKeyUsage, |state| state.signer.extensions.push(issuer::authority())),
        (Fault::DsKeyUsage, |state| drop(state.signer.extensions.remove(0))),
        (Fault::DsKeyUsage, |state| {
            state.signer.extensions.push(issuer::purpose("2.23.136.1.1.3"));
        }),
        (Fault::DsKeyUsage, |state| {
            let mail = "1.3.6.1.5.5.7.3.4";
            state.signer.extensions.push(issuer::purpose(mail));
        }),
        (Fault::DsKeyUsage, |state| {
            state.signer.extensions.push(issuer::extension("1.2.3.4", true, &[5, 0]));
        }),
        (Fault::SignedOutsideValidity, |state| {
            let period_s = [NOW_S - 100 * DAY_S, NOW_S - 60 * DAY_S];
            state.signer.extensions.push(issuer::key_period(period_s));
        }),
        (Fault::SignedOutsideValidity, |state| {
            let period_s = [NOW_S - 40 * DAY_S, NOW_S];
            state.signer.extensions.push(issuer::key_period(period_s));
        }),
        (Fault::MalformedDsCert, |state| {
            state.signer.extensions.push(issuer::extension("2.5.29.16", false, &[5, 0]));
        }),
        (Fault::DocumentTypeMismatch, |state| {
            state.signer.extensions.push(issuer::document_types(&["ID", "PD"]));
        }),
    ];
    for (number, (fault, change)) in cases.iter().enumerate() {
        assert_eq!(changed(change), Authenticity::Invalid(*fault), "case {number}");
    }
}

#[test]
fn what_was_not_asked_is_not_answered() {
    let mut state = State::p256();
    let (sod, csca, list) = (state.write_sod(), state.write_csca(), state.write_list());
    let unchecked = |sod, store: &TrustStore| {
        let files = DocumentFiles { sod, dg1: None, dg2: &state.dg2 };
        authenticate(files, store, NOW_S).verdict
    };
    let absent = Authenticity::NotChecked(Unchecked::SodAbsent);
    assert_eq!(unchecked(None, &store(&[&csca])), absent);
    let untrusting = Authenticity::NotChecked(Unchecked::TrustStoreAbsent);
    assert_eq!(unchecked(Some(&sod), &TrustStore::default()), untrusting);
    // Neither a revocation list nor EF.DG1: both are told, and neither is taken for an answer.
    let unasked = Weaknesses::from(Weakness::CrlAbsent).with(Weakness::CountryNotCompared);
    assert_eq!(unchecked(Some(&sod), &store(&[&csca])), Authenticity::Weak(unasked));
    let country = Authenticity::Weak(Weakness::CountryNotCompared.into());
    assert_eq!(unchecked(Some(&sod), &store(&[&csca, &list])), country);
}

#[test]
fn sha_1_is_weak_wherever_a_document_rests_on_it() {
    type Change = fn(&mut State);
    let signature = Weaknesses::from(Weakness::Sha1Signature);
    let digest = Weaknesses::from(Weakness::Sha1Digest);
    let cases: [(Weaknesses, Change); 4] = [
        (signature, |state| state.sod.signer_hashing = Hashing::Sha1),
        (signature, |state| state.signer.hashing = Hashing::Sha1),
        (digest, |state| state.sod.hashing = Hashing::Sha1),
        (digest.with(Weakness::Sha1Signature), |state| {
            (state.sod.hashing, state.sod.signer_hashing) = (Hashing::Sha1, Hashing::Sha1);
        }),
    ];
    for (expected, change) in cases {
        assert_eq!(changed(change), Authenticity::Weak(expected));
        let rsa = Key::Rsa(Box::new(Key::rsa(2048, 3)));
        let mut state = State::new(Key::p256(1), rsa, Curves::Named);
        change(&mut state);
        assert_eq!(verdict(state), Authenticity::Weak(expected), "RSA");
    }
    // Nothing rests on the anchor's own signature but what the operator says anyway.
    assert_eq!(changed(|state| state.csca.hashing = Hashing::Sha1), Authenticity::Valid);
}

#[test]
fn a_key_for_pss_alone_verifies_nothing_else() {
    let rsa = Key::rsa(2048, 3);
    let of = |key| verdict(State::new(Key::p256(1), key, Curves::Named));
    assert_eq!(of(Key::Rsa(Box::new(rsa.clone()))), Authenticity::Valid);
    let refused = Authenticity::Invalid(DocumentFault::SodSignatureInvalid);
    assert_eq!(of(Key::FalsePss(Box::new(rsa))), refused);
}

#[test]
fn what_a_signers_certificate_may_say_it_may_say() {
    for change in [
        (|state: &mut State| state.signer.extensions.push(issuer::purpose("2.5.29.37.0")))
            as fn(&mut State),
        |state| state.signer.extensions.push(issuer::document_types(&["ID", "P"])),
        |state| state.signer.extensions.push(issuer::document_types(&["P<"])),
        |state| {
            let period_s = [NOW_S - 100 * DAY_S, NOW_S - 10 * DAY_S];
            state.signer.extensions.push(issuer::key_period(period_s));
        },
    ] {
        assert_eq!(changed(change), Authenticity::Valid);
    }
}

#[test]
fn what_a_chip_pads_a_file_with_is_not_hashed() {
    let mut state = State::p256();
    let (csca, list, sod) = (state.write_csca(), state.write_list(), state.write_sod());
    let store = store(&[&csca, &list]);
    let verdict = |padding: usize| {
        let padded = |file: &[u8]| [file, &vec![0; padding]].concat();
        let (dg1, dg2) = (padded(&state.dg1), padded(&state.dg2));
        let files = DocumentFiles { sod: Some(&sod), dg1: Some(&dg1), dg2: &dg2 };
        authenticate(files, &store, NOW_S).verdict
    };
    for padding in [0, 1, 8] {
        assert_eq!(verdict(padding), Authenticity::Valid, "{padding} octets");
    }
    let beyond = Authenticity::Invalid(DocumentFault::Dg2HashMismatch);
    assert_eq!(verdict(9), beyond, "as the reader of data groups refuses it");
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
    assert_eq!(verdict(state), Authenticity::Weak(Weakness::RsaShort.into()));
}
