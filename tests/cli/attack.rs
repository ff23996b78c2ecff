//! Presentation attack detection on the command line: bringing the networks, looking at them,
//! measuring them.

use std::fs;

use portcullis::model::defaults::MINIFASNET;

use super::{Home, Ran, common, faces, places, shown};

/// The published networks, from the shared folder.
fn networks(test: &str) -> Option<Vec<std::path::PathBuf>> {
    let folder = places::shared().map(|shared| shared.join("data/models"));
    let files = MINIFASNET.map(|known| Some(folder.clone()?.join(known.model.file)));
    let found: Option<Vec<_>> = files.into_iter().collect();
    let found = found.filter(|files| files.iter().all(|file| file.is_file()));
    if found.is_none() {
        common::skip(test, "shared", "the attack detector's networks are not there");
    }
    found
}

fn with_detector(home: &Home, arguments: &[&str]) -> Ran {
    let mut command = home.command(arguments);
    command.env("PORTCULLIS_ATTACK_DETECTOR", "minifasnet");
    Ran::of(command.output().expect("starts"))
}

#[test]
fn a_detector_is_brought_checked_and_told() {
    let test = "a_detector_is_brought_checked_and_told";
    let Some(networks) = networks(test) else { return };
    let home = Home::new();
    let stranger = home.write("own.onnx", b"not a known model");
    home.run(&["models", "add", shown(&stranger)]).fails_with(&["own.onnx", "SHA-256", "config"]);
    let doctor = with_detector(&home, &["doctor"]);
    assert_eq!(doctor.code, 2, "{}", doctor.err);
    assert!(doctor.out.contains("is not there: bring the file"), "{}", doctor.out);
    let listed = home.run(&["models", "list"]);
    for part in ["attack detector", "no package index", "models add", "2.7 times"] {
        assert!(listed.ends(0).contains(part), "{part} is missing from {}", listed.out);
    }
    // Under any name, and all or none.
    let renamed = home.write("a.bin", fs::read(&networks[0]).expect("a network"));
    let both = ["models", "add", shown(&renamed), shown(&stranger)];
    home.run(&both).fails_with(&["own.onnx"]);
    assert!(!home.path(".cache/portcullis/models").join(MINIFASNET[0].model.file).exists());
    let added = home.run(&["models", "add", shown(&renamed), shown(&networks[1])]);
    assert!(added.ends(0).contains(MINIFASNET[1].model.file), "{}", added.out);
    // The appliance would not start for want of its other models; the detector itself is sound.
    let doctor = with_detector(&home, &["doctor", "--json"]);
    for part in ["as expected", "2 networks, suspected from a score of 0.5"] {
        assert!(doctor.out.contains(part), "{part} is missing from {}", doctor.out);
    }
    let kept = home.path(".cache/portcullis/models").join(MINIFASNET[0].model.file);
    fs::write(&kept, b"altered").expect("written");
    assert!(with_detector(&home, &["doctor", "--json"]).out.contains("expected 3771912a"));
    home.run(&["models", "verify"]).fails_with(&["models add"]);
}

#[test]
fn a_detector_is_measured_in_the_terms_of_its_standard() {
    let test = "a_detector_is_measured_in_the_terms_of_its_standard";
    let Some(networks) = networks(test) else { return };
    let Some(home) = Home::new().with_models(test) else { return };
    let Some(faces) = faces(test) else { return };
    let folders = [home.path("live"), home.path("attacks")];
    let measure = ["eval-attack", shown(&folders[0]), shown(&folders[1])];
    for (to, photograph) in [
        ("live/1.jpg", "img3.jpg"),
        ("live/2.jpg", "img12.jpg"),
        ("attacks/print/1.jpg", "img3.jpg"),
        ("attacks/replay/1.jpg", "img12.jpg"),
    ] {
        home.write(to, fs::read(faces.join(photograph)).expect("a photograph"));
    }
    home.write("attacks/replay/2.png", b"not a picture");
    home.run(&measure).fails_with(&["attack.detector"]);
    home.run(&["models", "add", shown(&networks[0]), shown(&networks[1])]).ends(0);
    let text = with_detector(&home, &measure);
    for part in ["BPCER live", "APCER print", "APCER replay", "(1 of 2)", "insufficient data"] {
        assert!(text.ends(0).contains(part), "{part} is missing from {}", text.out);
    }
    assert!(text.err.contains("no response to"), "{}", text.err);
    let told = with_detector(&home, &[&measure[..], &["--threshold", "1.0", "--json"]].concat());
    let told: serde_json::Value = serde_json::from_str(told.ends(0)).expect("JSON");
    assert_eq!(told["bonaFide"]["classificationError"]["trials"], 2);
    // The same pictures in both folders: what is suspected among one is not passed among the other.
    let wrong = |row: &serde_json::Value| row["classificationError"]["errors"].as_u64();
    let passed: u64 = told["attacks"].as_array().expect("two").iter().filter_map(wrong).sum();
    assert_eq!(wrong(&told["bonaFide"]).expect("a count") + passed, 2, "{told:#}");
    assert_eq!(told["attacks"][1]["nonResponse"]["errors"], 1);
}
