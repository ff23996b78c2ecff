//! Regions against the publisher's, crops against a slow cut and resize, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::{
    ops::{
        item::ItemMut,
        program::{BufferId, ChannelOrder, Output, Step},
        warp::warp,
    },
    types::FrameView,
};

/// A frame, a box and a scale, and the region that the publisher's Python gives for them (left,
/// top, width, height).
type Golden = ([u32; 2], [f32; 4], f64, [u32; 4]);

#[test]
fn regions_are_those_of_the_publisher() {
    let goldens: [Golden; 10] = [
        ([640, 480], [270.0, 180.0, 100.0, 130.0], 2.7, [185, 69, 271, 352]),
        ([640, 480], [270.0, 180.0, 100.0, 130.0], 4.0, [135, 0, 370, 480]),
        ([640, 480], [10.5, 8.25, 90.75, 121.5], 2.7, [0, 0, 246, 329]),
        ([640, 480], [560.0, 380.0, 95.0, 118.0], 2.7, [382, 160, 258, 320]),
        ([480, 640], [100.0, 150.0, 210.0, 280.0], 4.0, [0, 0, 480, 639]),
        ([1382, 1868], [413.91, 200.71, 609.74, 817.61], 2.7, [0, 0, 1382, 1852]),
        ([120, 900], [-12.5, 400.0, 130.0, 170.0], 2.7, [0, 407, 120, 156]),
        ([3, 2], [0.0, 0.0, 3.0, 2.0], 4.0, [0, 0, 3, 2]),
        ([1, 1], [0.0, 0.0, 1.0, 1.0], 2.7, [0, 0, 1, 1]),
        ([640, 480], [700.0, 500.0, 40.0, 40.0], 2.7, [531, 371, 109, 109]),
    ];
    for (frame_px, rect_px, scale, [left, top, width, height]) in goldens {
        let expected = Some(Region { left, top, width, height });
        assert_eq!(region(rect_px, frame_px, scale), expected, "{frame_px:?} {rect_px:?}");
    }
}

#[test]
fn what_is_no_box_has_no_region() {
    let sound = [10.0, 10.0, 20.0, 20.0];
    for (rect_px, frame_px, scale) in [
        ([10.0, 10.0, 0.0, 20.0], [64, 64], 2.7),
        ([10.0, 10.0, 20.0, -1.0], [64, 64], 2.7),
        ([f32::NAN, 10.0, 20.0, 20.0], [64, 64], 2.7),
        ([10.0, f32::INFINITY, 20.0, 20.0], [64, 64], 2.7),
        (sound, [0, 64], 2.7),
        (sound, [64, 64], 0.0),
        (sound, [64, 64], f64::NAN),
    ] {
        assert_eq!(region(rect_px, frame_px, scale), None, "{rect_px:?} {frame_px:?} {scale}");
    }
}

/// The publisher's way, slowly: cut the region out, then resize it bilinearly, repeating its
/// edge.
fn cut_and_resized(frame: FrameView<'_>, region: Region, [w, h]: [usize; 2]) -> Vec<f32> {
    let pixel = |x: usize, y: usize, colour: usize| {
        let (x, y) = (region.left as usize + x, region.top as usize + y);
        f64::from(frame.pixels()[(y * frame.width_px() as usize + x) * 3 + colour])
    };
    let near = |at: usize, size: usize, input: usize| {
        let source = (at as f64 + 0.5) * size as f64 / input as f64 - 0.5;
        let source = source.clamp(0.0, (size - 1) as f64);
        let below = source.floor();
        (below as usize, (below as usize + 1).min(size - 1), source - below)
    };
    let mut values = Vec::new();
    for y in 0..h {
        for x in 0..w {
            let (x0, x1, fx) = near(x, region.width as usize, w);
            let (y0, y1, fy) = near(y, region.height as usize, h);
            for colour in 0..3 {
                let row = |y| (1.0 - fx) * pixel(x0, y, colour) + fx * pixel(x1, y, colour);
                values.push(((1.0 - fy) * row(y0) + fy * row(y1)) as f32);
            }
        }
    }
    values
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(64)
    })]

    #[test]
    fn a_region_lies_in_its_frame_and_a_warp_of_it_is_a_cut_and_a_resize(
        frame_px in (40..160_u32, 40..160_u32),
        rect_px in (-30.0..150.0_f32, -30.0..150.0_f32, 4.0..120.0_f32, 4.0..120.0_f32),
        scale in 1.0..5.0_f64,
    ) {
        let (w, h) = frame_px;
        let held = region([rect_px.0, rect_px.1, rect_px.2, rect_px.3], [w, h], scale);
        let held = held.expect("a box");
        prop_assert!(held.width >= 1 && held.height >= 1);
        prop_assert!(held.left + held.width <= w && held.top + held.height <= h, "{:?}", held);
        let pixels: Vec<u8> =
            (0..w * h * 3).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let frame = FrameView::new(&pixels, w, h).expect("whole pixels");
        // Reduced, or at the region's own size: an enlargement differs at its rim.
        let input = [held.width.min(16) as usize, held.height.min(16) as usize];
        let shape = Shape { h: input[1], w: input[0], c: 3 };
        let mut out = vec![0.0; shape.len()];
        let map = to_frame(held, input);
        warp(frame, &map, ChannelOrder::Rgb, &mut ItemMut::new(shape, &mut out));
        for (held, wanted) in out.iter().zip(cut_and_resized(frame, held, input)) {
            // Coefficients are f32: a position is right to a thousandth of a pixel.
            prop_assert!((held - wanted).abs() < 0.05, "{} is not {}", held, wanted);
        }
    }
}

/// A network that could be run: one softmax.
fn program(input: Shape, classes: usize, op: Op) -> Program {
    Program {
        name: "scripted".into(),
        input: BufferId(0),
        channels: ChannelOrder::Bgr,
        buffers: vec![input, Shape { h: 1, w: 1, c: classes }],
        weights: Vec::new(),
        steps: vec![Step { op, inputs: vec![BufferId(0)], output: BufferId(1) }],
        outputs: vec![Output { name: "prob".into(), buffer: BufferId(1) }],
    }
}

const INPUT: Shape = Shape { h: 80, w: 60, c: 3 };

#[test]
fn networks_that_say_no_probability_are_refused() {
    let of = |program: &Program, scale, bona_fide| {
        AttackDetector::for_networks(&[AttackNetwork { program, scale, bona_fide }])
    };
    let sound = program(INPUT, 3, Op::Softmax);
    assert_eq!(of(&sound, 2.7, 1).expect("a detector").networks(), 1);
    let grey = program(Shape { c: 1, ..INPUT }, 3, Op::Softmax);
    assert!(matches!(of(&grey, 2.7, 1), Err(AttackModelError::Input { c: 1, .. })));
    for logits in [program(INPUT, 3, Op::Concat), program(INPUT, 1, Op::Softmax)] {
        assert!(matches!(of(&logits, 2.7, 0), Err(AttackModelError::Output { .. })));
    }
    assert!(matches!(of(&sound, 2.7, 3), Err(AttackModelError::Class { last: 2, .. })));
    for scale in [0.9, 16.1, f64::NAN] {
        assert!(matches!(of(&sound, scale, 1), Err(AttackModelError::Scale { .. })));
    }
    let network = AttackNetwork { program: &sound, scale: 2.7, bona_fide: 1 };
    let many = [network; ATTACK_NETWORKS_MAX + 1];
    for networks in [&many[..0], &many[..]] {
        let refused = AttackDetector::for_networks(networks);
        assert!(matches!(refused, Err(AttackModelError::Count { .. })));
    }
    AttackDetector::for_networks(&many[1..]).expect("as many as there may be");
}

#[test]
fn the_score_is_the_mean_of_what_is_not_bona_fide() {
    let sound = program(INPUT, 3, Op::Softmax);
    let network = |bona_fide| AttackNetwork { program: &sound, scale: 2.7, bona_fide };
    let detector = AttackDetector::for_networks(&[network(1), network(0)]).expect("two");
    let score = |one: [f32; 3], other: [f32; 3]| {
        let outputs = [one, other];
        detector.score(|network| &outputs[network])
    };
    assert_eq!(score([0.0, 1.0, 0.0], [1.0, 0.0, 0.0]), Some(0.0));
    assert_eq!(score([0.5, 0.25, 0.25], [0.75, 0.25, 0.0]), Some(0.5));
    assert_eq!(score([0.0, 0.0, 1.0], [0.0, 1.0, 0.0]), Some(1.0));
    for wrong in [f32::NAN, -0.1, 1.1, f32::INFINITY] {
        assert_eq!(score([0.0, wrong, 0.0], [1.0, 0.0, 0.0]), None, "{wrong}");
    }
    assert_eq!(detector.score(|_| &[]), None);
    let maps = detector.to_frame([10.0, 10.0, 20.0, 20.0], [100, 100]).expect("a box");
    assert_eq!(maps[0], maps[1]);
    assert_eq!(maps[2], ToFrame([0.0; 6]));
    assert_eq!(detector.to_frame([f32::NAN; 4], [100, 100]), None);
}
