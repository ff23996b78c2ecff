//! Who is trusted: roots, links, namesakes, revocation, and the forms that files come in.

use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis::{
    document::authentication::{Revocation, TrustFileError, TrustStoreBuilder},
    types::{Authenticity, DocumentFault, Weakness},
};

use crate::{
    issuer::{self, Certified, Curves, DAY_S, Hashing, Key, NOW_S, Sod, State},
    verdicts::{check, store},
};

#[test]
fn of_two_namesakes_the_one_that_signed_is_found() {
    let mut state = State::p256();
    let mut other = state.csca.clone();
    other.key = Key::p256(7).spki(Curves::Explicit);
    // With and without key identifiers that would tell them apart.
    for identifier in [[1; 20], [8; 20]] {
        other.extensions[2] = issuer::key_identifier(&identifier);
        let other = other.sign(&Key::p256(7));
        let (csca, list) = (state.write_csca(), state.write_list());
        let found = check(&mut state, &store(&[&other, &csca, &list]));
        assert_eq!(found.verdict, Authenticity::Valid);
        let found = check(&mut state, &store(&[&other]));
        assert_eq!(found.verdict, Authenticity::Invalid(DocumentFault::NoTrustAnchor));
    }
}

#[test]
fn a_name_may_be_written_differently_where_a_signature_proves_it() {
    let mut state = State::p256();
    state.csca.subject = issuer::name("UT", "  cscA ");
    state.csca.issuer = state.csca.subject.clone();
    state.signer.extensions.remove(1);
    let (csca, list) = (state.write_csca(), state.write_list());
    assert_eq!(check(&mut state, &store(&[&csca, &list])).verdict, Authenticity::Valid);
}

#[test]
fn a_list_under_the_anchors_own_name_is_the_issuers() {
    let mut state = State::p256();
    // Found by its key identifier: a state that has changed its name.
    state.signer.issuer = issuer::name("UT", "Country signing authority");
    state.sod.issuer = state.signer.issuer.clone();
    let (csca, list) = (state.write_csca(), state.write_list());
    assert_eq!(check(&mut state, &store(&[&csca, &list])).verdict, Authenticity::Valid);
    let window = [NOW_S - DAY_S, NOW_S + DAY_S];
    let list = issuer::revocation_list(&state.csca.subject, window, &[2], &state.csca_key);
    let revoked = Authenticity::Invalid(DocumentFault::DsCertRevoked);
    assert_eq!(check(&mut state, &store(&[&csca, &list])).verdict, revoked);
    let absent = Authenticity::Weak(Weakness::CrlAbsent.into());
    assert_eq!(check(&mut state, &store(&[&csca])).verdict, absent);
}

#[test]
fn whoever_withdraws_one_certificate_of_a_key_withdraws_the_key() {
    let mut state = State::p256();
    let mut again = state.csca.clone();
    again.serial = 9;
    let (csca, again) = (state.write_csca(), again.sign(&state.csca_key));
    let window = [NOW_S - DAY_S, NOW_S + DAY_S];
    for (serial, expected) in [
        (8, Authenticity::Valid),
        (1, Authenticity::Invalid(DocumentFault::CscaCertRevoked)),
        (9, Authenticity::Invalid(DocumentFault::CscaCertRevoked)),
    ] {
        let root = &state.csca.subject;
        let list = issuer::revocation_list(root, window, &[serial], &state.csca_key);
        let found = check(&mut state, &store(&[&csca, &again, &list]));
        assert_eq!(found.verdict, expected, "serial {serial}");
    }
}

#[test]
fn a_link_carries_trust_from_the_old_key_to_the_new() {
    let mut state = State::p256();
    let old = Key::p256(20);
    let mut root = state.csca.clone();
    root.key = old.spki(Curves::Explicit);
    root.extensions[2] = issuer::key_identifier(&[9; 20]);
    let root = root.sign(&old);
    let (link, list) = (state.csca.sign(&old), state.write_list());
    assert_eq!(check(&mut state, &store(&[&link, &root, &list])).verdict, Authenticity::Valid);
    let alone = store(&[&link]);
    assert!(alone.is_empty(), "nothing stands behind it");
    assert_eq!(alone.summary(NOW_S).refused.unlinked, 1);
}

#[test]
fn no_country_vouches_for_another() {
    let mut foreign = State::p256();
    let own = foreign.write_csca();
    foreign.csca.subject = issuer::name("NL", "CSCA");
    foreign.csca.serial = 3;
    foreign.csca.key = Key::p256(21).spki(Curves::Explicit);
    let link = foreign.csca.sign(&foreign.csca_key);
    let held = store(&[&own, &link]).summary(NOW_S);
    assert_eq!((held.anchors, held.refused.unlinked), (1, 1));
    foreign.csca.subject = issuer::name("UT", "CSCA of the next years");
    let link = foreign.csca.sign(&foreign.csca_key);
    assert_eq!(store(&[&own, &link]).summary(NOW_S).anchors, 2);
}

#[test]
fn what_is_no_authority_is_no_anchor() {
    let mut state = State::p256();
    state.csca.extensions.remove(1);
    let held = store(&[&state.write_csca()]);
    assert!(held.is_empty());
    assert_eq!(held.summary(NOW_S).refused.not_authorities, 1);
    let mut state = State::p256();
    state.csca.extensions[0] = issuer::usage(0x80);
    assert_eq!(store(&[&state.write_csca()]).summary(NOW_S).refused.unusable, 1);
    let mut forged = State::p256().write_csca();
    *forged.last_mut().expect("octets") ^= 1;
    assert!(store(&[&forged]).is_empty(), "its own signature does not hold");
}

#[test]
fn revocation_is_the_issuers_word_and_ages() {
    let mut state = State::p256();
    let csca = state.write_csca();
    let root = state.csca.subject.clone();
    let list = |window, serials: &[u8], key| issuer::revocation_list(&root, window, serials, key);
    let fresh = [NOW_S - DAY_S, NOW_S + 30 * DAY_S];
    let stale = [NOW_S - 60 * DAY_S, NOW_S - DAY_S];
    let own = Key::p256(1);
    let verdict = |state: &mut State, lists: &[&[u8]]| {
        let files: Vec<&[u8]> = [&[csca.as_slice()][..], lists].concat();
        check(state, &store(&files))
    };
    let found = verdict(&mut state, &[&list(fresh, &[7], &own)]);
    assert_eq!(found.verdict, Authenticity::Valid);
    assert_eq!(found.signer.expect("a signer").revocation, Revocation::NotRevoked);
    let revoked = Authenticity::Invalid(DocumentFault::DsCertRevoked);
    assert_eq!(verdict(&mut state, &[&list(fresh, &[7, 2], &own)]).verdict, revoked);
    assert_eq!(verdict(&mut state, &[&list(stale, &[2], &own)]).verdict, revoked, "however old");
    let country = Authenticity::Invalid(DocumentFault::CscaCertRevoked);
    assert_eq!(verdict(&mut state, &[&list(fresh, &[1], &own)]).verdict, country);
    let weak = Authenticity::Weak(Weakness::CrlStale.into());
    assert_eq!(verdict(&mut state, &[&list(stale, &[], &own)]).verdict, weak);
    let newest = verdict(&mut state, &[&list(stale, &[2], &own), &list(fresh, &[], &own)]);
    assert_eq!(newest.verdict, Authenticity::Valid, "the newest list counts");
    let foreign = list(fresh, &[2], &Key::p256(30));
    let absent = Authenticity::Weak(Weakness::CrlAbsent.into());
    assert_eq!(verdict(&mut state, &[&foreign]).verdict, absent, "nobody's list");
    assert_eq!(verdict(&mut state, &[]).verdict, absent);
    assert_eq!(store(&[&csca, &foreign]).summary(NOW_S).refused.lists, 1);
}

#[test]
fn a_list_that_says_more_than_is_understood_clears_nobody() {
    let mut state = State::p256();
    let csca = state.write_csca();
    let root = state.csca.subject.clone();
    let own = Key::p256(1);
    let fresh = [NOW_S - DAY_S, NOW_S + 30 * DAY_S];
    let partial = |entries: &[(u8, Vec<u8>)]| {
        let point = issuer::distribution_point();
        issuer::revocation_list_with(&root, fresh, entries, &[&point], &own)
    };
    let plain = |serial| (serial, Vec::new());
    let mut verdict = |lists: &[&[u8]]| {
        let files: Vec<&[u8]> = [&[csca.as_slice()][..], lists].concat();
        check(&mut state, &store(&files)).verdict
    };
    let unusable = Authenticity::Weak(Weakness::CrlUnusable.into());
    let revoked = Authenticity::Invalid(DocumentFault::DsCertRevoked);
    assert_eq!(verdict(&[&partial(&[plain(7)])]), unusable);
    assert_eq!(verdict(&[&partial(&[plain(2)])]), revoked, "whom it names it does revoke");
    // An entry of another issuer, and those after it.
    let indirect = [plain(7), (8, issuer::certificate_issuer()), plain(2)];
    let indirect = issuer::revocation_list_with(&root, fresh, &indirect, &[], &own);
    assert_eq!(verdict(&[&indirect]), unusable);
    // What an older, whole list revoked stays revoked, in whatever order the files come.
    let earlier = [NOW_S - 9 * DAY_S, NOW_S + DAY_S];
    let older = issuer::revocation_list(&root, earlier, &[2], &own);
    let newer = partial(&[plain(7)]);
    assert_eq!(verdict(&[&older, &newer]), revoked);
    assert_eq!(verdict(&[&newer, &older]), revoked);
    let held = store(&[&csca, &newer]).summary(NOW_S);
    assert_eq!((held.lists, held.lists_unusable, held.refused.lists), (1, 1, 0));
}

#[test]
fn one_states_mistake_in_a_directory_is_counted_and_takes_nothing_from_the_others() {
    let mut state = State::p256();
    let (csca, list) = (state.write_csca(), state.write_list());
    let mut forged = master_list(&state, Some("2.23.136.1.1.3"));
    *forged.last_mut().expect("octets") ^= 1;
    state.sod.signer_hashing = Hashing::Sha3;
    let unsupported = master_list(&state, Some("2.23.136.1.1.3"));
    state.sod.signer_hashing = Hashing::Sha256;
    let ldif = [
        ldif("pkdMasterListContent", &forged),
        ldif("CscaMasterListData", &unsupported),
        ldif("certificateRevocationList;binary", &[0x30, 0x00]),
        ldif("userCertificate;binary", b"none"),
        ldif("cACertificate;binary", &csca),
        ldif("certificateRevocationList;binary", &list),
    ];
    let store = store(&[ldif.concat().as_bytes()]);
    assert_eq!(check(&mut state, &store).verdict, Authenticity::Valid);
    let refused = store.summary(NOW_S).refused;
    assert_eq!((refused.master_lists, refused.lists, refused.unusable), (2, 1, 1));
    // The same master list as a file of its own: the operator named it, and is told.
    let error = TrustStoreBuilder::default().add(&unsupported).expect_err("not verified");
    let fault = DocumentFault::AlgorithmUnsupported;
    assert_eq!(error, TrustFileError::MasterListSignature { fault });
}

fn folded(text: &str) -> String {
    let rows: Vec<&str> =
        text.as_bytes().chunks(60).map(|row| str::from_utf8(row).expect("ASCII")).collect();
    rows.join("\n ")
}

/// One entry of the public key directory.
fn ldif(attribute: &str, bytes: &[u8]) -> String {
    let value = folded(&STANDARD.encode(bytes));
    format!("version: 1\n\ndn: c=UT,dc=data\nobjectClass: top\n{attribute}:: {value}\n\n")
}

/// `CscaMasterList` of one certificate, signed by a master list signer of that country.
fn master_list(state: &State, purpose: Option<&str>) -> Vec<u8> {
    let mut signer = state.signer.clone();
    signer.extensions.extend(purpose.map(issuer::purpose));
    master_list_by(state, &signer, None)
}

fn master_list_by(state: &State, signer: &Certified, signed_s: Option<i64>) -> Vec<u8> {
    let csca = state.write_csca();
    let content = issuer::sequence(&[&issuer::tlv(2, &[0]), &issuer::set(&[&csca])]);
    let sod = Sod {
        certificate: signer.sign(&state.csca_key),
        issuer: state.csca.subject.clone(),
        serial: 2,
        content_type: "2.23.136.1.1.2",
        lds_version: 0,
        groups: Vec::new(),
        signed_s,
        hashing: Hashing::Sha256,
        signer_hashing: state.sod.signer_hashing,
        swap_content: false,
        tag: 0,
    };
    sod.sign_bare(&state.signer_key, &content)
}

#[test]
fn certificates_come_in_every_form() {
    let mut state = State::p256();
    let csca = state.write_csca();
    let base64 = STANDARD.encode(&csca);
    let pem = format!(
        "# from the embassy\n-----BEGIN CERTIFICATE-----\n{base64}\n\
                       -----END CERTIFICATE-----\n"
    );
    let list = master_list(&state, Some("2.23.136.1.1.3"));
    let one = ldif("cACertificate;binary", &csca);
    let many = ldif("pkdMasterListContent", &list);
    let forms: [&[u8]; 5] = [&csca, pem.as_bytes(), &list, one.as_bytes(), many.as_bytes()];
    let revoked = state.write_list();
    for (number, form) in forms.iter().enumerate() {
        let verdict = check(&mut state, &store(&[form, &revoked])).verdict;
        assert_eq!(verdict, Authenticity::Valid, "form {number}");
    }
    let both = store(&forms);
    assert_eq!(both.summary(NOW_S).anchors, 1, "one certificate, however often it comes");
}

#[test]
fn files_that_are_none_are_refused_by_name() {
    let state = State::p256();
    let mut forged = master_list(&state, Some("2.23.136.1.1.3"));
    *forged.last_mut().expect("octets") ^= 1;
    type Expected = fn(&TrustFileError) -> bool;
    let cases: [(Vec<u8>, Expected); 8] = [
        (Vec::new(), |error| *error == TrustFileError::Empty),
        (b"hello".to_vec(), |error| *error == TrustFileError::Unknown { first: b'h' }),
        (vec![0x30, 0x80, 0, 0], |error| *error == TrustFileError::Unknown { first: 0x30 }),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n".to_vec(), |error| {
            *error == TrustFileError::PemUnfinished { line: 1 }
        }),
        (b"\n-----BEGIN X-----\n*\n-----END X-----\n".to_vec(), |error| {
            *error == TrustFileError::Base64 { line: 2 }
        }),
        (b"dn: x\ncACertificate:: *\n".to_vec(), |error| {
            *error == TrustFileError::Base64 { line: 2 }
        }),
        (forged, |error| matches!(error, TrustFileError::MasterListSignature { .. })),
        (master_list(&state, None), |error| *error == TrustFileError::MasterListSigner),
    ];
    for (number, (file, expected)) in cases.iter().enumerate() {
        let error = TrustStoreBuilder::default().add(file).expect_err("no certificates");
        assert!(expected(&error), "case {number}: {error:?}");
    }
}

#[test]
fn a_master_lists_signer_is_held_to_its_certificate() {
    let state = State::p256();
    let mut signer = state.signer.clone();
    signer.extensions.push(issuer::purpose("2.23.136.1.1.3"));
    let read = |signer: &Certified, signed_s| {
        TrustStoreBuilder::default().add(&master_list_by(&state, signer, signed_s))
    };
    assert_eq!(read(&signer, None), Ok(()));
    assert_eq!(read(&signer, Some(NOW_S)), Ok(()));
    let fault = DocumentFault::SignedOutsideValidity;
    let outside = Err(TrustFileError::MasterListSignature { fault });
    for signed_s in [signer.validity_s[0] - 1, signer.validity_s[1] + 1] {
        assert_eq!(read(&signer, Some(signed_s)), outside);
    }
    for usage in [None, Some(0x04)] {
        let mut other = signer.clone();
        other.extensions.remove(0);
        other.extensions.extend(usage.map(issuer::usage));
        assert_eq!(read(&other, None), Err(TrustFileError::MasterListSigner), "{usage:?}");
    }
}

#[test]
fn a_summary_counts_what_an_operator_asks() {
    let state = State::p256();
    let list = issuer::revocation_list(
        &state.csca.subject,
        [NOW_S - 9 * DAY_S, NOW_S - DAY_S],
        &[],
        &state.csca_key,
    );
    let held = store(&[&state.write_csca(), &list]).summary(NOW_S);
    assert_eq!((held.anchors, held.countries, held.expired), (1, 1, 0));
    assert_eq!(held.next_expiry_s, Some(NOW_S + 5000 * DAY_S));
    assert_eq!((held.lists, held.lists_stale), (1, 1));
    assert_eq!(held.oldest_list_s, Some(NOW_S - 9 * DAY_S));
}
