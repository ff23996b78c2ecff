//! Small handmade graphs through the whole loader, and the lowering of the default models.

mod build;

use build::{Build, int, ints, tensor, text, value};
use rten_onnx::onnx::{AttributeProto, DataLocation, DataType, TensorProto};

use super::*;
use crate::ops::program::{Activation, Op, Shape, Step, Window};

fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|index| index as f32 + 1.0).collect()
}

fn only_step(program: &Program) -> &Step {
    assert_eq!(program.steps.len(), 1, "{:?}", program.steps);
    &program.steps[0]
}

const POINT: Window = Window { kernel: [1, 1], stride: [1, 1], pad: [0; 4] };

#[test]
fn convolution_weights_are_permuted_and_everything_after_it_is_fused() {
    // Two filters of 1 × 2 over two channels; batch norm with scale 2 and shift 1 − 2 · 3; PReLU.
    let program = Build::new(&[-1, 2, 4, 4])
        .floats("w", &[2, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
        .floats("g", &[2], &[2.0, 2.0])
        .floats("b", &[2], &[1.0, 1.0])
        .floats("m", &[2], &[3.0, 3.0])
        .floats("v", &[2], &[1.0, 1.0])
        .floats("slope", &[2, 1, 1], &[0.25, 0.5])
        .node("Conv", &["x", "w"], "c")
        .node("BatchNormalization", &["c", "g", "b", "m", "v"], "n")
        .with(AttributeProto {
            name: Some("epsilon".to_owned()),
            f: Some(0.0),
            ..AttributeProto::default()
        })
        .node("PRelu", &["n", "slope"], "y")
        .program();
    let step = only_step(&program);
    let Op::Conv2d { window, weights, bias, activation: Activation::Prelu(slope) } = step.op else {
        panic!("{:?}", step.op)
    };
    assert_eq!(window, Window { kernel: [1, 2], ..POINT });
    // [kw][c_in][c_out], doubled.
    assert_eq!(program.weight(weights), [2.0, 10.0, 6.0, 14.0, 4.0, 12.0, 8.0, 16.0]);
    assert_eq!(program.weight(bias), [-5.0, -5.0]);
    assert_eq!(program.weight(slope), [0.25, 0.5]);
    assert_eq!(program.shape(program.outputs[0].buffer), Shape { h: 4, w: 3, c: 2 });
}

#[test]
fn a_shift_stays_in_front_of_zero_padding_and_goes_into_weights_elsewhere() {
    let net = |pads: &[i64]| {
        Build::new(&[1, 1, 4, 4])
            .floats("half", &[1], &[127.5])
            .floats("step", &[], &[0.0078125])
            .floats("w", &[1, 1, 3, 3], &[1.0; 9])
            .node("Sub", &["x", "half"], "s")
            .node("Mul", &["s", "step"], "m")
            .node("Conv", &["m", "w"], "y")
            .with(ints("pads", pads))
            .program()
    };
    let padded = net(&[1, 1, 1, 1]);
    assert_eq!(padded.steps.len(), 2);
    let Op::Affine { scale, shift, .. } = padded.steps[0].op else { panic!("an affine first") };
    assert_eq!(padded.weight(scale), [0.0078125]);
    assert_eq!(padded.weight(shift), [-127.5 * 0.0078125]);
    let tight = net(&[0, 0, 0, 0]);
    let Op::Depthwise { bias, .. } = only_step(&tight).op else { panic!("one filter per channel") };
    assert_eq!(tight.weight(bias), [-127.5 * 0.0078125 * 9.0]);
}

#[test]
fn a_residual_joins_the_later_convolution_unless_somebody_else_reads_it() {
    let net = || {
        Build::new(&[1, 2, 3, 3])
            .floats("w", &[2, 2, 1, 1], &ramp(4))
            .node("Conv", &["x", "w"], "short")
            .node("Conv", &["short", "w"], "long")
            .node("Add", &["short", "long"], "sum")
            .node("Relu", &["sum"], "y")
    };
    let program = net().program();
    assert_eq!(program.steps.len(), 2);
    let last = &program.steps[1];
    assert!(matches!(last.op, Op::Conv2d { activation: Activation::Relu, .. }));
    assert_eq!(last.inputs, [program.steps[0].output, program.steps[0].output]);
    let mut watched = net();
    watched.graph.output.push(value("long", &[-1]));
    let program = watched.program();
    assert_eq!(program.steps.len(), 3);
    assert!(matches!(program.steps[2].op, Op::Add { activation: Activation::Relu }));
}

#[test]
fn dense_weights_follow_the_buffer_and_take_up_what_surrounds_them() {
    // Two channels of 1 × 2, flattened channel by channel; batch norm in front, sum behind.
    let net = |by_output: bool| {
        let (dims, weights) =
            if by_output { ([1, 4], [1.0, 2.0, 3.0, 4.0]) } else { ([4, 1], [1.0, 2.0, 3.0, 4.0]) };
        Build::new(&[1, 2, 1, 2])
            .floats("k", &[2, 1, 1], &[10.0, 100.0])
            .floats("w", &dims, &weights)
            .floats("b", &[1], &[5.0])
            .node("Add", &["x", "k"], "shifted")
            .node("Flatten", &["shifted"], "flat")
            .node("Gemm", &["flat", "w"], "g")
            .with(int("transB", i64::from(by_output)))
            .node("Add", &["g", "b"], "y")
            .program()
    };
    for program in [net(true), net(false)] {
        let Op::Dense { weights, bias, .. } = only_step(&program).op else { panic!("dense") };
        assert_eq!(program.weight(weights), [1.0, 3.0, 2.0, 4.0]);
        // (1 + 2) · 10 + (3 + 4) · 100 + 5
        assert_eq!(program.weight(bias), [735.0]);
    }
}

#[test]
fn block_quantised_weights_are_exact() {
    // Three rows of five in blocks of two along axis 1: the last block is short.
    let scales = [1.0, 2.0, 4.0, 0.5, 0.25, 0.125, 3.0, 5.0, 7.0];
    let zeros: [i8; 9] = [0, 1, 2, -1, -2, -3, 127, -128, 0];
    let q: [i8; 15] = [1, 2, 3, 4, 5, -128, 127, 0, 1, 2, 10, 20, 30, 40, 50];
    let program = Build::new(&[1, 5, 1, 1])
        .opset(21)
        .bytes_i8("q", &[3, 5], &q)
        .floats("s", &[3, 3], &scales)
        .bytes_i8("z", &[3, 3], &zeros)
        .longs("shape", &[3, 5, 1, -1])
        .node("DequantizeLinear", &["q", "s", "z"], "d")
        .with(int("axis", 1))
        .with(int("block_size", 2))
        .node("Reshape", &["d", "shape"], "w")
        .node("Conv", &["x", "w"], "y")
        .program();
    let weight = |row: usize, column: usize| {
        let block = row * 3 + column / 2;
        (f32::from(q[row * 5 + column]) - f32::from(zeros[block])) * scales[block]
    };
    let expected: Vec<f32> = (0..15).map(|at| weight(at % 3, at / 3)).collect();
    assert_eq!(program.weights[0].to_vec(), expected);
}

#[test]
fn other_ways_of_quantising() {
    let net = |axis: i64, block: i64, dims: &[i64], scales: &[f32]| {
        Build::new(&[1, 2, 1, 1])
            .opset(21)
            .bytes_i8("q", &[2, 2, 1, 1], &[1, 2, 3, 4])
            .floats("s", dims, scales)
            .node("DequantizeLinear", &["q", "s"], "w")
            .with(int("axis", axis))
            .with(int("block_size", block))
            .node("Conv", &["x", "w"], "y")
    };
    let weights = |build: Build| build.program().weights[0].to_vec();
    // One scale is per tensor, even where the file states a block size.
    assert_eq!(weights(net(0, 64, &[1], &[2.0])), [2.0, 6.0, 4.0, 8.0]);
    assert_eq!(weights(net(0, 0, &[2], &[1.0, 10.0])), [1.0, 30.0, 2.0, 40.0]);
    assert_eq!(weights(net(1, 0, &[2], &[1.0, 10.0])), [1.0, 3.0, 20.0, 40.0]);
    // Blocks along the first axis: scales lie over the second.
    assert_eq!(weights(net(0, 2, &[1, 2, 1, 1], &[1.0, 10.0])), [1.0, 3.0, 20.0, 40.0]);
    let refused = net(1, 3, &[2, 2, 1, 1], &[1.0; 4]).refused();
    assert!(refused.contains("DequantizeLinear_w") && refused.contains("per block"), "{refused}");
}

#[test]
fn detector_heads_are_buffers_as_they_lie() {
    let program = Build::new(&[1, 3, 4, 4])
        .floats("w", &[2, 3, 1, 1], &ramp(6))
        .longs("rows", &[1, -1, 2])
        .node("Conv", &["x", "w"], "c")
        .node("Transpose", &["c"], "t")
        .with(ints("perm", &[0, 2, 3, 1]))
        .node("Reshape", &["t", "rows"], "r")
        .node("Sigmoid", &["r"], "y")
        .program();
    let step = only_step(&program);
    assert!(matches!(step.op, Op::Conv2d { activation: Activation::Sigmoid, .. }));
    assert_eq!(program.shape(step.output), Shape { h: 4, w: 4, c: 2 });
}

#[test]
fn squeeze_and_excite_pooling_concat_upsample_and_softmax() {
    let program = Build::new(&[1, 2, 4, 4])
        .floats("w", &[2, 2, 1, 1], &ramp(4))
        .floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0])
        .floats("roi", &[0], &[])
        .node("GlobalAveragePool", &["x"], "mean")
        .node("Conv", &["mean", "w"], "c")
        .node("Sigmoid", &["c"], "gate")
        .node("Mul", &["gate", "x"], "gated")
        .node("MaxPool", &["gated"], "small")
        .with(ints("kernel_shape", &[2, 2]))
        .with(ints("strides", &[2, 2]))
        .node("Resize", &["small", "roi", "scales"], "large")
        .with(text("coordinate_transformation_mode", "asymmetric"))
        .with(text("nearest_mode", "floor"))
        .node("Concat", &["x", "large"], "both")
        .with(int("axis", 1))
        .node("Softmax", &["both"], "y")
        .with(int("axis", 1))
        .program();
    let ops: Vec<_> = program.steps.iter().map(|step| step.op).collect();
    assert!(matches!(
        ops[..],
        [
            Op::GlobalAverage,
            Op::Conv2d { activation: Activation::Sigmoid, .. },
            Op::Scale,
            Op::MaxPool { .. },
            Op::Upsample { factor: 2 },
            Op::Concat,
            Op::Softmax
        ]
    ));
    assert_eq!(program.steps[2].inputs[0], program.input, "the map first, then the gate");
    assert_eq!(program.shape(program.outputs[0].buffer), Shape { h: 4, w: 4, c: 4 });
}

#[test]
fn padding_goes_into_the_convolution_and_wider_channels_become_one() {
    let program = Build::new(&[1, 1, 4, 4])
        .floats("w", &[2, 1, 3, 3], &ramp(18))
        .longs("around", &[0, 0, 0, 0, 0, 0, 1, 1])
        .longs("behind", &[0, 0, 0, 0, 0, 1, 0, 0])
        .node("Pad", &["x", "around"], "p")
        .node("Conv", &["p", "w"], "c")
        .with(ints("strides", &[2, 2]))
        .node("Pad", &["c", "behind"], "y")
        .program();
    let Op::Conv2d { window, .. } = program.steps[0].op else { panic!("a convolution") };
    assert_eq!(window.pad, [0, 0, 1, 1]);
    let Op::Conv2d { weights, .. } = program.steps[1].op else { panic!("a convolution") };
    assert_eq!(program.weight(weights), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    let stray = Build::new(&[1, 1, 4, 4])
        .longs("around", &[0, 0, 1, 1, 0, 0, 1, 1])
        .node("Pad", &["x", "around"], "p")
        .node("Relu", &["p"], "y")
        .refused();
    assert!(stray.contains("Relu_y") && stray.contains("padding"), "{stray}");
}

#[test]
fn shapes_that_exporters_compute_are_folded() {
    let program = Build::new(&[-1, 2, 2, 2])
        .longs("zero", &[0])
        .longs("rest", &[-1])
        .floats("w", &[3, 8], &ramp(24))
        .node("Shape", &["x"], "dims")
        .node("Gather", &["dims", "zero"], "batch")
        .node("Concat", &["batch", "rest"], "target")
        .with(int("axis", 0))
        .node("Reshape", &["x", "target"], "flat")
        .node("Gemm", &["flat", "w"], "y")
        .with(int("transB", 1))
        .program();
    let Op::Dense { weights, .. } = only_step(&program).op else { panic!("dense") };
    assert_eq!(program.weight(weights)[..3], [1.0, 9.0, 17.0]);
    assert_eq!(program.weight(weights)[3..6], [5.0, 13.0, 21.0], "second channel, first position");
}

#[test]
fn unknown_operators_are_named_with_node_and_file() {
    let refused = Build::new(&[1, 1, 2, 2]).node("Einsum", &["x"], "y").load();
    let expected = ModelError::Operator {
        file: "tiny.onnx".to_owned(),
        node: "Einsum_y".to_owned(),
        operator: "Einsum".to_owned(),
    };
    assert_eq!(refused.expect_err("a refusal"), expected);
}

#[test]
fn forms_that_are_not_carried_are_named() {
    let conv = |group: i64, dims: &[i64]| {
        let count = usize::try_from(dims.iter().product::<i64>()).expect("small");
        Build::new(&[1, 4, 4, 4])
            .floats("w", dims, &ramp(count))
            .node("Conv", &["x", "w"], "y")
            .with(int("group", group))
    };
    assert!(conv(2, &[4, 2, 1, 1]).refused().contains("attribute group is 2"));
    assert!(conv(1, &[4, 3, 1, 1]).refused().contains("as many channels as weights"));
    assert!(conv(1, &[4, 4, 5, 5]).refused().contains("a window that fits the map"));
    let dilated = conv(1, &[4, 4, 1, 1]).with(ints("dilations", &[2, 2]));
    assert!(dilated.refused().contains("dilations"));
    let negative = conv(1, &[4, 4, 1, 1]).with(ints("pads", &[0, 0, -1, 0]));
    assert!(negative.refused().contains("attribute pads"));
    let slope =
        Build::new(&[1, 4, 4, 4]).floats("s", &[4], &ramp(4)).node("PRelu", &["x", "s"], "y");
    assert!(slope.refused().contains("one per channel"), "ONNX aligns [4] with the width");
    let ceil = Build::new(&[1, 1, 5, 5])
        .node("MaxPool", &["x"], "y")
        .with(ints("kernel_shape", &[2, 2]))
        .with(ints("strides", &[2, 2]))
        .with(int("ceil_mode", 1));
    assert!(ceil.refused().contains("ceil_mode"));
    let corners = Build::new(&[1, 1, 2, 2])
        .floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0])
        .node("Resize", &["x", "", "scales"], "y")
        .with(text("coordinate_transformation_mode", "align_corners"));
    assert!(corners.refused().contains("align_corners"));
    let flat = Build::new(&[1, 2, 2, 2]).node("Relu", &["x"], "r").node("Flatten", &["r"], "y");
    assert!(flat.refused().contains("channel by channel"));
}

#[test]
fn files_that_are_not_models_are_refused() {
    let load = |bytes: &[u8]| load(bytes, "tiny.onnx", ChannelOrder::Rgb, None);
    assert!(matches!(load(b""), Err(ModelError::Opset { held: 0, .. })));
    assert!(matches!(load(b"not a model"), Err(ModelError::Wire { .. })));
    let whole = Build::new(&[1, 1, 2, 2]).node("Relu", &["x"], "y");
    assert!(matches!(whole.opset(8).load(), Err(ModelError::Opset { held: 8, .. })));
    let bytes = Build::new(&[1, 1, 2, 2]).node("Relu", &["x"], "y").bytes();
    for length in 1..bytes.len() {
        assert!(load(&bytes[..length]).is_err(), "cut to {length} bytes");
    }
}

#[test]
fn tensors_that_lie_are_refused() {
    let with = |dims: &[i64], floats: usize| {
        Build::new(&[1, 1, 2, 2])
            .floats("w", dims, &ramp(floats))
            .node("Conv", &["x", "w"], "y")
            .load()
            .expect_err("a refusal")
    };
    let flaw = |error| match error {
        ModelError::Tensor { why, .. } => why,
        other => panic!("{other}"),
    };
    assert!(matches!(flaw(with(&[1, 1, 3, 3], 8)), TensorFlaw::Count { needed: 9, .. }));
    assert!(matches!(flaw(with(&[-1, 1, 3, 3], 9)), TensorFlaw::Dims { .. }));
    assert!(matches!(flaw(with(&[1 << 40, 1 << 40, 3, 3], 9)), TensorFlaw::Dims { .. }));
    let nan = Build::new(&[1, 1, 2, 2])
        .floats("w", &[1, 1, 1, 1], &[f32::NAN])
        .node("Conv", &["x", "w"], "y")
        .load();
    assert_eq!(flaw(nan.expect_err("a refusal")), TensorFlaw::NotFinite { index: 0 });
    let mut outside = Build::new(&[1, 1, 2, 2]).node("Relu", &["x"], "y");
    let location = Some(DataLocation::EXTERNAL);
    let proto = tensor("w", &[1], DataType::FLOAT);
    outside.graph.initializer.push(TensorProto { data_location: location, ..proto });
    assert!(matches!(outside.load(), Err(ModelError::External { .. })));
}

#[test]
fn sizes_are_limited_before_anything_is_allocated() {
    let huge = Build::new(&[1, 3, 1 << 30, 1 << 30]).node("Relu", &["x"], "y").load();
    assert!(matches!(huge, Err(ModelError::Buffers { .. })));
    let grown = Build::new(&[1, 1, 8192, 8192])
        .floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0])
        .node("Upsample", &["x", "scales"], "y")
        .opset(9);
    assert!(grown.refused().contains("more than the limit"));
    let open = Build::new(&[1, 3, -1, -1]).node("Relu", &["x"], "y");
    assert!(matches!(open.load(), Err(ModelError::InputShape { .. })));
}

#[test]
fn a_configured_size_must_suit_the_network() {
    let bytes = Build::new(&[1, 1, 8, 8])
        .floats("w", &[1, 1, 2, 2], &[1.0; 4])
        .node("Conv", &["x", "w"], "y")
        .with(ints("strides", &[2, 2]))
        .bytes();
    let sized = |px| load(&bytes, "tiny.onnx", ChannelOrder::Bgr, Some(px));
    let program = sized([6, 10]).expect("a program");
    assert_eq!(program.shape(program.outputs[0].buffer), Shape { h: 3, w: 5, c: 1 });
    assert!(matches!(sized([7, 10]), Err(ModelError::InputSize { .. })));
    assert!(matches!(sized([1, 1]), Err(ModelError::InputSize { .. })));
    assert!(matches!(sized([0, 8]), Err(ModelError::InputShape { .. })));
}

/// A network with every kind of field that the format has, small enough to damage thoroughly.
fn busy() -> Vec<u8> {
    Build::new(&[-1, 2, 4, 4])
        .opset(21)
        .bytes_i8("q", &[4, 2], &[1, 2, 3, 4, 5, 6, 7, 8])
        .floats("s", &[4, 1], &ramp(4))
        .longs("shape", &[4, 2, 1, 1])
        .floats("slope", &[4, 1, 1], &ramp(4))
        .floats("fc", &[2, 64], &ramp(128))
        .node("DequantizeLinear", &["q", "s"], "d")
        .with(int("axis", 1))
        .with(int("block_size", 2))
        .node("Reshape", &["d", "shape"], "w")
        .node("Conv", &["x", "w"], "c")
        .with(ints("pads", &[0, 0, 0, 0]))
        .node("PRelu", &["c", "slope"], "p")
        .node("Flatten", &["p"], "f")
        .node("Gemm", &["f", "fc"], "y")
        .with(int("transB", 1))
        .bytes()
}

proptest::proptest! {
    #[test]
    fn no_damage_to_a_file_panics(
        flips in proptest::collection::vec((0..10_000_usize, 0..8_u8), 1..6),
        cut in 0..10_000_usize,
    ) {
        let mut bytes = busy();
        for (at, bit) in flips {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }
        let cut = cut % bytes.len();
        let _ = load(&bytes, "damaged.onnx", ChannelOrder::Rgb, None);
        let _ = load(&bytes[..cut], "damaged.onnx", ChannelOrder::Rgb, Some([8, 8]));
    }
}
