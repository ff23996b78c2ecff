//! Decoding against values worked out by hand, and against a network gone wrong.

use proptest::prelude::*;

use super::*;
use crate::ops::program::{ChannelOrder, Output};

const KINDS: [(&str, usize); 4] = [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)];

/// A program without steps: only the shapes of its outputs matter here.
fn program(h: usize, w: usize) -> Program {
    let mut buffers = vec![Shape { h, w, c: 3 }];
    let mut outputs = Vec::new();
    for (kind, c) in KINDS {
        for stride in STRIDES {
            outputs
                .push(Output { name: format!("{kind}_{stride}"), buffer: BufferId(buffers.len()) });
            buffers.push(Shape { h: h / stride, w: w / stride, c });
        }
    }
    Program {
        name: "detector".into(),
        input: BufferId(0),
        channels: ChannelOrder::Bgr,
        buffers,
        weights: Vec::new(),
        steps: Vec::new(),
        outputs,
    }
}

/// Outputs of a program, all zero.
fn silence(program: &Program) -> Vec<Vec<f32>> {
    program.outputs.iter().map(|output| vec![0.0; program.shape(output.buffer).len()]).collect()
}

fn index(program: &Program, name: &str) -> usize {
    program.outputs.iter().position(|output| output.name == name).expect("an output")
}

fn decode(program: &Program, outputs: &[Vec<f32>], w: u32, h: u32) -> Vec<Face> {
    let detector = Detector::for_program(program).expect("a detector");
    let mut faces = Vec::new();
    detector.decode(&|i| &outputs[i], w, h, &mut faces);
    faces
}

/// Puts a detection into cell (row, col) of a grid.
fn put(program: &Program, outputs: &mut [Vec<f32>], stride: usize, at: [usize; 2], cls: f32) {
    let columns = program.shape(program.input).w / stride;
    let cell = at[0] * columns + at[1];
    let mut set = |kind: &str, values: &[f32]| {
        let buffer = &mut outputs[index(program, &format!("{kind}_{stride}"))];
        buffer[cell * values.len()..][..values.len()].copy_from_slice(values);
    };
    set("cls", &[cls]);
    set("obj", &[1.0]);
    set("bbox", &[0.5, 0.25, 4.0_f32.ln(), 6.0_f32.ln()]);
    set("kps", &[-1.0, -1.5, 1.0, -1.5, 0.0, 0.0, -0.75, 1.0, 0.75, 1.0]);
}

#[track_caller]
fn assert_close(found: &[f32], wanted: &[f32]) {
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() < 1e-3, "{found}, wanted {wanted}");
    }
}

#[test]
fn a_cell_becomes_the_face_that_the_formula_gives() {
    let program = program(64, 96);
    for (stride, at) in [(8, [3, 5]), (16, [1, 2]), (32, [1, 2])] {
        let mut outputs = silence(&program);
        put(&program, &mut outputs, stride, at, 0.81);
        let faces = decode(&program, &outputs, 96, 64);
        assert_eq!(faces.len(), 1);
        let (row, column, s) = (at[0] as f32, at[1] as f32, stride as f32);
        let (cx, cy) = ((column + 0.5) * s, (row + 0.25) * s);
        assert_close(&faces[0].rect_px, &[cx - 2.0 * s, cy - 3.0 * s, 4.0 * s, 6.0 * s]);
        assert_close(&[faces[0].confidence], &[0.9]);
        assert_close(&faces[0].landmarks_px[0], &[(column - 1.0) * s, (row - 1.5) * s]);
        assert_close(&faces[0].landmarks_px[4], &[(column + 0.75) * s, (row + 1.0) * s]);
        assert_close(&[faces[0].inter_eye_px()], &[2.0 * s]);
    }
}

#[test]
fn faces_are_scaled_back_to_the_frame_and_stand_largest_first() {
    let program = program(64, 96);
    let mut outputs = silence(&program);
    put(&program, &mut outputs, 8, [6, 10], 1.0);
    put(&program, &mut outputs, 16, [1, 1], 0.8);
    // 300 x 110 shrinks by 96 / 300, to 96 x 35.2; the way back is 300 / 96 on both axes.
    let faces = decode(&program, &outputs, 300, 110);
    assert_eq!(faces.len(), 2);
    assert!(faces[0].area_px2() > faces[1].area_px2());
    let scale = 300.0 / 96.0;
    let (w, h) = (4.0 * 16.0 * scale, 6.0 * 16.0 * scale);
    assert_close(&faces[0].rect_px[2..], &[w, h]);
    assert_close(&faces[0].landmarks_px[2], &[16.0 * scale, 16.0 * scale]);
    // A frame that fits is not enlarged.
    let faces = decode(&program, &outputs, 50, 40);
    assert_close(&faces[0].rect_px[2..], &[64.0, 96.0]);
}

#[test]
fn weak_detections_are_dropped_and_strong_ones_clamped() {
    let program = program(64, 64);
    // √0.36 is 0.6: the last score that is a face.
    for (cls, count) in [(0.3599, 0), (0.3601, 1), (-3.0, 0), (f32::NAN, 0), (7.5, 1)] {
        let mut outputs = silence(&program);
        put(&program, &mut outputs, 8, [4, 4], cls);
        let faces = decode(&program, &outputs, 64, 64);
        assert_eq!(faces.len(), count, "cls {cls}");
        assert!(faces.iter().all(|face| face.confidence <= 1.0));
    }
}

#[test]
fn at_most_the_limit_of_faces_is_kept_and_nothing_is_allocated_again() {
    let program = program(640, 640);
    let mut outputs = silence(&program);
    for (row, column) in (0..10).flat_map(|row| (0..10).map(move |column| (row, column))) {
        put(&program, &mut outputs, 8, [4 + row * 7, 4 + column * 7], 0.9);
    }
    let detector = Detector::for_program(&program).expect("a detector");
    let mut faces = Vec::new();
    detector.decode(&|i| &outputs[i], 640, 640, &mut faces);
    assert_eq!(faces.len(), FACES_PER_FRAME_MAX);
    let capacity = faces.capacity();
    detector.decode(&|i| &outputs[i], 640, 640, &mut faces);
    assert_eq!((faces.len(), faces.capacity()), (FACES_PER_FRAME_MAX, capacity));
}

#[test]
fn a_network_that_is_no_face_detector_is_refused_by_name() {
    let mut without = program(64, 64);
    without.outputs.retain(|output| output.name != "kps_16");
    let refused = Detector::for_program(&without).expect_err("an output is missing");
    assert!(refused.to_string().contains("kps_16"), "{refused}");

    let mut small = program(64, 64);
    small.buffers[4].c = 2;
    assert!(matches!(
        Detector::for_program(&small),
        Err(FaceModelError::OutputSize { held: 128, needed: 64, .. })
    ));

    let odd = program(64, 72);
    assert!(matches!(Detector::for_program(&odd), Err(FaceModelError::Input { w: 72, .. })));
}

/// Numbers as a broken network gives them.
fn wild() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -8.0..8.0_f32,
        1 => prop::sample::select(vec![
            f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 88.0, -200.0, 1.0,
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_the_network_says_faces_are_finite_and_few(
        values in prop::collection::vec(wild(), 997),
        (w, h) in (1..5_000_u32, 1..5_000_u32),
    ) {
        let program = program(64, 96);
        let mut outputs = silence(&program);
        for (at, value) in outputs.iter_mut().flatten().enumerate() {
            *value = values[at % values.len()];
        }
        let faces = decode(&program, &outputs, w, h);
        prop_assert!(faces.len() <= FACES_PER_FRAME_MAX);
        for face in &faces {
            prop_assert!(face.is_finite(), "{:?}", face);
            prop_assert!((CONFIDENCE_MIN..=1.0).contains(&face.confidence));
        }
        prop_assert!(faces.is_sorted_by(|a, b| a.area_px2() >= b.area_px2()));
    }
}
