//! The shared kit: documents and country certificates that another program made.

use std::{fs, path::Path};

use portcullis::{
    document::authentication::{DocumentFiles, authenticate},
    types::{Authenticity, DocumentFault, Weakness},
};
use serde_json::Value;

use crate::{common::skip, issuer::NOW_S, places, verdicts::store};

fn read(folder: &Path, name: &Value) -> Option<Vec<u8>> {
    let name = name.as_str()?;
    Some(fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}")))
}

#[test]
fn every_case_of_the_kit_gets_its_verdict() {
    const TEST: &str = "every_case_of_the_kit_gets_its_verdict";
    let Some(folder) = places::shared().map(|held| held.join("data/pa_kit")) else {
        return skip(TEST, "shared", "the shared folder with data/pa_kit is not there");
    };
    let manifest = fs::read(folder.join("manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let cases = manifest["cases"].as_array().expect("cases");
    assert!(!cases.is_empty());
    for case in cases {
        let anchors = case["trust_anchors"].as_array().expect("anchors").iter();
        let mut files: Vec<Vec<u8>> = anchors.filter_map(|name| read(&folder, name)).collect();
        files.extend(read(&folder, &case["crl"]));
        let store = store(&files.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let sod = read(&folder, &case["sod"]);
        let dg1 = read(&folder, &case["dg1"]);
        let dg2 = read(&folder, &case["dg2"]).expect("data group 2");
        let files = DocumentFiles { sod: sod.as_deref(), dg1: dg1.as_deref(), dg2: &dg2 };
        let found = authenticate(files, &store, NOW_S).verdict;
        let name = &case["name"];
        let code = case["reason"].as_str();
        match case["expect"].as_str().expect("a verdict") {
            // The kit calls a document valid that it has no revocation list for; here that is the
            // one reservation.
            "valid" if case["crl"].is_null() => {
                assert_eq!(found, Authenticity::Weak(Weakness::CrlAbsent.into()), "{name}");
            }
            "valid" => assert_eq!(found, Authenticity::Valid, "{name}"),
            "invalid" => assert_eq!((found.name(), found.code()), ("INVALID", code), "{name}"),
            _ => assert_eq!((found.name(), found.code()), ("WEAK", code), "{name}"),
        }
    }
}

#[test]
fn a_specimen_on_a_curve_of_224_bits_is_refused_by_name() {
    const TEST: &str = "a_specimen_on_a_curve_of_224_bits_is_refused_by_name";
    let Some(folder) = places::shared().map(|held| held.join("data/dg2/jmrtd/bsi2008")) else {
        return skip(TEST, "shared", "the shared folder with data/dg2 is not there");
    };
    let file = |name: &str| fs::read(folder.join(name)).expect("a specimen's file");
    let (sod, dg1, dg2) = (file("EF_SOD.bin"), file("Datagroup1.bin"), file("Datagroup2.bin"));
    let mut state = crate::issuer::State::p256();
    let _sod = state.write_sod();
    let store = store(&[&state.write_csca()]);
    let files = DocumentFiles { sod: Some(&sod), dg1: Some(&dg1), dg2: &dg2 };
    let refused = Authenticity::Invalid(DocumentFault::KeyUnsupported);
    assert_eq!(authenticate(files, &store, NOW_S).verdict, refused);
}
