//! Every way in which a calibration file can be wrong, and what a sound one does.
#![allow(clippy::arithmetic_side_effects, reason = "tests run with overflow checks")]

use proptest::prelude::*;

use sha2::{Digest, Sha256};

use super::{format::MAGIC, *};
use crate::limits::TILE_ROWS;

/// A calibration of two dimensions, part by part, so that each can be wrong.
struct Parts {
    magic: [u8; 8],
    header: [u32; 6],
    scale: f32,
    reserved: u32,
    rows: Vec<(f64, f32, u32)>,
    basis: Vec<u8>,
    floats: Vec<f32>,
}

impl Parts {
    fn sound() -> Self {
        let basis = b"Twelve photographs of nobody, 3 genuine and 4 impostor comparisons".to_vec();
        let basis_bytes = u32::try_from(basis.len()).expect("short");
        Self {
            magic: *MAGIC,
            header: [1, 2, 1, 2, basis_bytes, 1],
            scale: 100.0,
            reserved: 0,
            rows: vec![(1e-2, 0.25, 0), (1e-3, 0.5, 0)],
            basis,
            // A quarter turn; mean; two covariances.
            floats: vec![
                0.0, 1.0, -1.0, 0.0, 0.5, 0.0, 0.75, 0.125, 0.125, 0.25, 0.5, 0.0, 0.0, 0.5,
            ],
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_vec();
        self.header.iter().for_each(|field| bytes.extend(field.to_le_bytes()));
        bytes.extend(self.scale.to_le_bytes());
        bytes.extend(self.reserved.to_le_bytes());
        bytes.extend([7; 32]);
        bytes.extend(3_u64.to_le_bytes());
        bytes.extend(4_u64.to_le_bytes());
        for (fmr, similarity, reserved) in &self.rows {
            bytes.extend(fmr.to_le_bytes());
            bytes.extend(similarity.to_le_bytes());
            bytes.extend(reserved.to_le_bytes());
        }
        bytes.extend(&self.basis);
        self.floats.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        let hash: [u8; 32] = Sha256::digest(&bytes).into();
        bytes.extend(hash);
        bytes
    }

    fn refused(&self) -> CalibrationError {
        Calibration::parse(&self.bytes()).expect_err("a flawed calibration")
    }
}

fn flawed(flaw: impl FnOnce(&mut Parts)) -> CalibrationError {
    let mut parts = Parts::sound();
    flaw(&mut parts);
    parts.refused()
}

#[test]
fn a_sound_file_gives_back_what_it_holds() {
    let bytes = Parts::sound().bytes();
    let calibration = Calibration::parse(&bytes).expect("a sound calibration");
    assert_eq!(calibration.kind().model, Hash256::from_bytes([7; 32]));
    assert_eq!(calibration.kind().calibration.as_bytes()[..], bytes[bytes.len() - 32..]);
    assert_eq!(calibration.layout(), TileLayout { dims: 2, hot_dims: 1, rows: TILE_ROWS as usize });
    assert_eq!(calibration.rotation(), [0.0, 1.0, -1.0, 0.0]);
    assert_eq!(calibration.comparisons(), (3, 4));
    assert!(calibration.basis().starts_with("Twelve photographs"));
    let population = calibration.population().expect("a population");
    assert_eq!(population.mean[..], [0.5, 0.0]);
    assert_eq!(population.between[..], [0.75, 0.125, 0.125, 0.25]);
    let mut alone = Parts::sound();
    alone.header[5] = 0;
    alone.floats.truncate(4);
    let calibration = Calibration::parse(&alone.bytes()).expect("a sound calibration");
    assert!(calibration.population().is_none());
}

#[test]
fn every_header_field_is_refused_by_name() {
    assert_eq!(flawed(|parts| parts.magic[0] = b'X'), CalibrationError::Magic);
    assert_eq!(flawed(|parts| parts.header[0] = 2), CalibrationError::Version { held: 2 });
    let field = |at: usize, held: u32| match flawed(|parts| parts.header[at] = held) {
        CalibrationError::Field { field, held: seen, .. } if seen == held => field,
        other => panic!("{other}"),
    };
    assert_eq!(field(1, 0), "number of dimensions");
    assert_eq!(field(1, u32::MAX), "number of dimensions");
    assert_eq!(field(2, 0), "number of hot dimensions");
    assert_eq!(field(2, 3), "number of hot dimensions");
    assert_eq!(field(3, 65), "number of thresholds");
    assert_eq!(field(4, 0), "length of its basis");
    assert_eq!(field(4, 4097), "length of its basis");
    assert_eq!(field(5, 2), "population flag");
    for scale in [0.0, 0.5, -1.0, 5000.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(flawed(|parts| parts.scale = scale), CalibrationError::Scale { .. }));
    }
    let reserved = flawed(|parts| parts.reserved = 1);
    assert!(matches!(reserved, CalibrationError::Field { field: "reserved field", .. }));
}

#[test]
fn a_file_of_another_length_is_refused_before_it_is_hashed() {
    let bytes = Parts::sound().bytes();
    let refused = |bytes: &[u8]| Calibration::parse(bytes).expect_err("another length");
    assert_eq!(refused(b""), CalibrationError::Magic);
    for length in [8, 87, 119, bytes.len() - 1] {
        assert!(matches!(refused(&bytes[..length]), CalibrationError::Length { .. }), "{length}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(refused(&longer), CalibrationError::Length { .. }));
    // The largest file that a header can ask for is computed, not allocated.
    let large = flawed(|parts| parts.header[1] = 2048);
    let expected = 88 + 32 + 66 + 4 * (3 * 2048 * 2048 + 2048) + 32;
    assert!(matches!(large, CalibrationError::Length { expected: asked, .. } if asked == expected));
}

#[test]
fn a_changed_bit_is_damage() {
    let mut bytes = Parts::sound().bytes();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    assert!(matches!(Calibration::parse(&bytes), Err(CalibrationError::Damaged { .. })));
    bytes[middle] ^= 1;
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert!(matches!(Calibration::parse(&bytes), Err(CalibrationError::Damaged { .. })));
}

#[test]
fn tables_and_texts_that_make_no_sense_are_refused() {
    let row = |at: usize, row: (f64, f32, u32)| flawed(|parts| parts.rows[at] = row);
    assert_eq!(row(0, (0.0, 0.25, 0)), CalibrationError::Threshold { row: 0 });
    assert_eq!(row(0, (1.0, 0.25, 0)), CalibrationError::Threshold { row: 0 });
    assert_eq!(row(0, (f64::NAN, 0.25, 0)), CalibrationError::Threshold { row: 0 });
    assert_eq!(row(1, (1e-2, 0.5, 0)), CalibrationError::Threshold { row: 1 });
    assert_eq!(row(1, (1e-3, 0.2, 0)), CalibrationError::Threshold { row: 1 });
    assert_eq!(row(1, (1e-3, 1.5, 0)), CalibrationError::Threshold { row: 1 });
    assert_eq!(row(1, (1e-3, f32::NAN, 0)), CalibrationError::Threshold { row: 1 });
    assert_eq!(row(1, (1e-3, 0.5, 9)), CalibrationError::Threshold { row: 1 });
    let basis = |byte: u8| flawed(|parts| parts.basis.fill(byte));
    assert_eq!(basis(0xff), CalibrationError::Basis);
    assert_eq!(basis(b'\n'), CalibrationError::Basis);
    assert_eq!(basis(b' '), CalibrationError::Basis);
}

#[test]
fn a_rotation_must_rotate_and_a_covariance_must_be_one() {
    let float = |at: usize, value: f32| flawed(|parts| parts.floats[at] = value);
    assert_eq!(float(1, 0.9), CalibrationError::Rotation { row: 0, other: 0 });
    assert_eq!(float(0, 0.1), CalibrationError::Rotation { row: 0, other: 0 });
    assert_eq!(float(3, 0.1), CalibrationError::Rotation { row: 0, other: 1 });
    let not_finite = |at, part, index| {
        assert_eq!(float(at, f32::NAN), CalibrationError::NotFinite { part, index });
    };
    not_finite(2, "rotation", 2);
    not_finite(5, "mean", 1);
    not_finite(6, "between", 0);
    not_finite(13, "within", 3);
    let population = |part, row| CalibrationError::Population { part, row };
    assert_eq!(float(7, 0.5), population("between-person", 0));
    assert_eq!(float(13, -0.5), population("within-person", 1));
}

#[test]
fn an_embedding_becomes_its_direction_rotated_and_rounded() {
    let calibration = Calibration::parse(&Parts::sound().bytes()).expect("a sound calibration");
    let values = |embedding: [f32; 2]| {
        calibration.template(&embedding).expect("a template").values().to_vec()
    };
    assert_eq!(values([3.0, 4.0]), [80, -60]);
    assert_eq!(values([3e30, 4e30]), [80, -60], "length does not matter");
    assert_eq!(values([3e-30, -4e-30]), [-80, -60]);
    let mut fine = Parts::sound();
    fine.scale = 1000.0;
    let fine = Calibration::parse(&fine.bytes()).expect("a sound calibration");
    let template = fine.template(&[3.0, 4.0]).expect("a template");
    assert_eq!(template.values(), [127, -127], "saturated, never -128");
    assert_eq!(*template.kind(), fine.kind());
    for refused in [&[0.0, 0.0][..], &[f32::NAN, 1.0], &[1.0, f32::INFINITY], &[1.0]] {
        let refused = calibration.template(refused).expect_err("no direction");
        assert!(matches!(refused, CalibrationError::Embedding(_)));
    }
}

#[test]
fn thresholds_are_chosen_by_rate_and_never_extrapolated() {
    let calibration = Calibration::parse(&Parts::sound().bytes()).expect("a sound calibration");
    let exact = calibration.threshold(1e-3).expect("a row");
    assert_eq!((exact.similarity, exact.fmr, exact.score), (0.5, 1e-3, Score(5000)));
    assert_eq!(&*exact.basis, calibration.basis());
    // Between two rows, the stricter one holds.
    assert_eq!(calibration.threshold(5e-3).expect("a row").fmr, 1e-3);
    assert_eq!(calibration.threshold(0.5).expect("a row").fmr, 1e-2);
    let refused = calibration.threshold(1e-4).expect_err("beyond the sample");
    assert!(refused.to_string().contains("insufficient data"), "{refused}");
    for rate in [0.0, 1.0, -1e-3, f64::NAN, f64::INFINITY] {
        let refused = calibration.threshold(rate);
        assert!(matches!(refused, Err(ThresholdError::NotRate { .. })));
    }
}

#[test]
fn without_a_table_there_is_no_threshold() {
    let mut bare = Parts::sound();
    bare.rows.clear();
    bare.header[3] = 0;
    let calibration = Calibration::parse(&bare.bytes()).expect("a table is not needed");
    let refused = calibration.threshold(1e-2).expect_err("no table");
    assert!(matches!(refused, ThresholdError::NoTable { .. }), "{refused}");
}

#[test]
fn a_draft_is_written_as_it_is_read() {
    let bytes = Parts::sound().bytes();
    let read = Calibration::parse(&bytes).expect("a sound calibration");
    let draft = Draft {
        model: read.kind().model,
        hot_dims: 1,
        scale: read.scale(),
        rotation: read.rotation().into(),
        rows: read.thresholds().to_vec(),
        comparisons: read.comparisons(),
        basis: read.basis().to_owned(),
        population: read.population().cloned(),
    };
    let (written, again) = draft.encode().expect("what was read can be written");
    assert_eq!(written, bytes);
    assert_eq!(again.kind(), read.kind());
    let refused = Draft { hot_dims: 3, ..draft }.encode();
    assert!(matches!(refused, Err(CalibrationError::Field { held: 3, .. })));
}

#[test]
fn the_shipped_calibration_is_sound_and_says_what_it_rests_on() {
    let calibration = Calibration::sface_128();
    assert_eq!(
        calibration.layout(),
        TileLayout { dims: 128, hot_dims: 96, rows: TILE_ROWS as usize }
    );
    assert_eq!(calibration.scale(), 200.0);
    let threshold = calibration.threshold(1e-4).expect("in the table");
    assert_eq!((threshold.similarity, threshold.score), (0.425, Score(17000)));
    assert!(calibration.threshold(1e-7).is_err());
    let basis = calibration.basis();
    assert!(basis.contains("Labeled Faces in the Wild") && basis.contains("87,307,271"), "{basis}");
    assert!(basis.contains("not passport against live capture"), "{basis}");
    let population = calibration.population().expect("a population");
    let variance: f32 = population.between.iter().step_by(129).sum::<f32>()
        + population.within.iter().step_by(129).sum::<f32>();
    let mean: f32 = population.mean.iter().map(|value| value * value).sum();
    assert!((variance + mean - 1.0).abs() < 1e-3, "embeddings have unit length: {variance} {mean}");
    // Axes by falling energy: that is what the hot plane lives on.
    let energy = |axis: usize| {
        let at = axis * 129;
        population.between[at] + population.within[at] + population.mean[axis].powi(2)
    };
    assert!((1..128).all(|axis| energy(axis) <= energy(axis - 1) + 1e-6));
}

#[test]
fn another_model_is_refused_by_name() {
    let calibration = Calibration::sface_128();
    assert_eq!(calibration.accept_model(calibration.kind().model), Ok(()));
    let other = calibration.accept_model(Hash256::from_bytes([1; 32]));
    assert!(matches!(other, Err(CalibrationError::Model { .. })));
}

proptest! {
    #[test]
    fn no_damage_panics(
        flips in prop::collection::vec((0..10_000_usize, 0..8_u8), 1..6),
        cut in 0..10_000_usize,
        mend in any::<bool>(),
    ) {
        let mut bytes = Parts::sound().bytes();
        for (at, bit) in flips {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        bytes.truncate(bytes.len().saturating_sub(cut % 64));
        if mend && bytes.len() > 32 {
            // With a true hash, so that what lies behind the hash is reached.
            let body = bytes.len() - 32;
            let hash: [u8; 32] = Sha256::digest(&bytes[..body]).into();
            bytes[body..].copy_from_slice(&hash);
        }
        if let Ok(calibration) = Calibration::parse(&bytes) {
            let _ = calibration.template(&[1.0, 2.0]);
            let _ = calibration.threshold(1e-2);
        }
    }
}
