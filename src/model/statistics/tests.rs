//! Rotation, scale and split by hand, and every way in which an archive can be wrong.
#![allow(clippy::arithmetic_side_effects, reason = "tests run with overflow checks")]

use proptest::prelude::*;

use super::*;

/// Name, shape and values of an array.
type Member<'a> = (&'a str, &'a str, &'a [f64]);

/// A stored archive of named arrays, as `numpy.savez` writes it.
fn archive(members: &[Member<'_>]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, shape, values) in members {
        let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut array = b"\x93NUMPY\x01\x00".to_vec();
        array.extend(u16::try_from(header.len()).expect("short").to_le_bytes());
        array.extend(header.as_bytes());
        array.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let name = format!("{name}.npy");
        let size = u32::try_from(array.len()).expect("short").to_le_bytes();
        let name_bytes = u16::try_from(name.len()).expect("short").to_le_bytes();
        let at = u32::try_from(bytes.len()).expect("short").to_le_bytes();
        directory.extend([&b"PK\x01\x02"[..], &[0; 16], &size, &size, &name_bytes].concat());
        directory.extend([&[0; 12][..], &at, name.as_bytes()].concat());
        let local = [&b"PK\x03\x04"[..], &[0; 14], &size, &size, &name_bytes, &[0; 2]].concat();
        bytes.extend([&local, name.as_bytes(), &array].concat());
    }
    let at = u32::try_from(bytes.len()).expect("short").to_le_bytes();
    let size = u32::try_from(directory.len()).expect("short").to_le_bytes();
    let count = u16::try_from(members.len()).expect("few").to_le_bytes();
    bytes.extend(&directory);
    bytes.extend([&b"PK\x05\x06"[..], &[0; 4], &count, &count, &size, &at, &[0; 2]].concat());
    bytes
}

const MEAN: [f64; 2] = [0.1, 0.2];
/// Energies 0.8 and 0.2 along the diagonals.
const MOMENT: [f64; 4] = [0.5, 0.3, 0.3, 0.5];
const WITHIN: [f64; 4] = [0.1, 0.0, 0.0, 0.1];

fn sound() -> Vec<u8> {
    archive(&[
        ("mean", "(2,)", &MEAN),
        ("second_moment", "(2, 2)", &MOMENT),
        ("within_covariance", "(2, 2)", &WITHIN),
    ])
}

fn close(held: &[f32], expected: &[f64]) -> bool {
    held.len() == expected.len()
        && held.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6)
}

#[test]
fn axes_fall_in_energy_and_their_largest_component_is_positive() {
    let rotated = Statistics::parse(&sound()).expect("sound").rotated().expect("axes");
    let half = std::f64::consts::FRAC_1_SQRT_2;
    assert!(close(&rotated.rotation[..2], &[half, half]), "{:?}", rotated.rotation);
    assert!((rotated.rotation[2] + rotated.rotation[3]).abs() < 1e-6);
    assert!((rotated.energy[0] - 0.8).abs() < 1e-9 && (rotated.energy[1] - 0.2).abs() < 1e-9);
    // Total variance minus what is within a person.
    let first = 0.8 - (0.3 * half).powi(2) - 0.1;
    assert!((f64::from(rotated.population.between[0]) - first).abs() < 1e-6);
    assert!(rotated.persons_known && close(&rotated.population.within, &WITHIN));
}

#[test]
fn embeddings_and_their_archive_say_the_same() {
    let embeddings: [&[f32]; 4] = [&[3.0, 4.0], &[0.6, 0.8], &[0.0, 2.0], &[1.0, 0.0]];
    let held = Statistics::of(&embeddings, Some(&[0, 0, 1, 2])).expect("directions");
    assert!((held.mean[0] - 0.55).abs() < 1e-7 && (held.mean[1] - 0.65).abs() < 1e-7);
    assert!((held.second_moment[0] - (0.72 + 1.0) / 4.0).abs() < 1e-7);
    // The one person with two photographs has twice the same.
    assert!(held.within.expect("a pair").iter().all(|value| value.abs() < 1e-9));
    let alone = Statistics::of(&embeddings, Some(&[0, 1, 2, 3])).expect("directions");
    assert!(alone.within.is_none(), "nobody is there twice");
    let refused = Statistics::of(&[&[1.0, 0.0], &[0.0, 0.0]], None);
    assert!(matches!(refused, Err(StatisticsError::Embedding { index: 1 })));
}

#[test]
fn the_scale_is_as_large_as_saturation_allows() {
    let rotated = Statistics::parse(&sound()).expect("sound").rotated().expect("axes");
    let (scale, share) = rotated.scale();
    assert!(share < SATURATED_SHARE_MAX && scale % 8.0 == 0.0);
    assert!(rotated.saturated_share(f64::from(scale) + 8.0) >= SATURATED_SHARE_MAX);
}

#[test]
fn the_split_counts_bytes_and_survivors() {
    let mut statistics =
        Statistics { mean: vec![0.0; 32], second_moment: vec![0.0; 1024], within: None };
    for i in 0..32 {
        statistics.second_moment[i * 33] = if i < 16 { 0.06 } else { 0.0025 };
    }
    let rotated = statistics.rotated().expect("axes");
    let axis = |at: usize| (0..32).map(|i| f32::from(u8::from(i == at))).collect::<Vec<_>>();
    // One pair is decided by the first half, the other only by the second.
    let (first, other, last) = (axis(0), axis(1), axis(31));
    let pairs: [(&[f32], &[f32]); 2] = [(&first, &other), (&last, &last)];
    let (splits, best) = rotated.splits(&pairs, 0.5);
    let found: Vec<_> = splits.iter().map(|s| (s.hot_dims, s.survivors, s.bytes)).collect();
    assert_eq!(found, [(16, 0.5, 18.0 + 64.0), (32, 0.5, 32.0)]);
    assert!((splits[0].energy - 0.96).abs() < 1e-9);
    assert_eq!(best.map(|split| split.hot_dims), Some(32));
}

#[test]
fn every_flaw_of_an_archive_is_refused_by_name() {
    let refused = |members: &[Member<'_>]| match Statistics::parse(&archive(members)) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("a flawed archive"),
    };
    let mean = ("mean", "(2,)", &MEAN[..]);
    let cases: [(&[Member<'_>], &str); 7] = [
        (&[("second_moment", "(2, 2)", &MOMENT)], "no array \"mean\""),
        (&[mean], "no array \"second_moment\""),
        (&[mean, ("second_moment", "(4,)", &MOMENT)], "has the shape [4]"),
        (&[mean, ("second_moment", "(2, 2)", &MOMENT[..3])], "cut short"),
        (&[mean, ("second_moment", "(2, 2)", &[0.5, 0.3, 0.1, 0.5])], "not symmetric"),
        (&[mean, ("second_moment", "(2, 2)", &[0.5, f64::NAN, f64::NAN, 0.5])], "not symmetric"),
        (&[mean, ("second_moment", "(2, 2)", &[0.9, 0.3, 0.3, 0.5])], "trace"),
    ];
    for (members, expected) in cases {
        let said = refused(members);
        assert!(said.contains(expected), "{said}");
    }
    let negative: &[f64] = &[-0.1, 0.0, 0.0, 0.1];
    let moment = ("second_moment", "(2, 2)", &MOMENT[..]);
    assert!(
        refused(&[mean, moment, ("within_covariance", "(2, 2)", negative)]).contains("negative")
    );
    assert!(refused(&[("mean", "(2,)", &[2.0, 0.0]), moment]).contains("length"));
    for bytes in [&b""[..], b"PK\x05\x06", &sound()[..200]] {
        assert!(matches!(Statistics::parse(bytes), Err(StatisticsError::Archive { .. })));
    }
}

proptest! {
    #[test]
    fn no_damage_panics(flips in prop::collection::vec((0..2_000_usize, any::<u8>()), 1..8)) {
        let mut bytes = sound();
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if let Ok(statistics) = Statistics::parse(&bytes) {
            let _ = statistics.rotated();
        }
    }
}
