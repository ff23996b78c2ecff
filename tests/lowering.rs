//! The default models through the loader: a golden of what is left after fusing. A change here is a
//! change of what every backend computes.

mod common;
#[path = "common/models.rs"]
mod models;

use portcullis::{
    model::{self, defaults},
    ops::program::{Activation, ChannelOrder, Op, Program},
    time::{Clock, SystemClock},
    types::Hash256,
};

fn count(program: &Program, wanted: impl Fn(&Op) -> bool) -> usize {
    program.steps.iter().filter(|step| wanted(&step.op)).count()
}

#[test]
fn the_default_embedder_is_27_convolutions_and_one_product() {
    let name = "the_default_embedder_is_27_convolutions_and_one_product";
    let Some((_, bytes)) = models::cached(name, &defaults::EMBEDDER) else { return };
    defaults::EMBEDDER.accept(&bytes).expect("the published file");
    assert_eq!(Hash256::of(&bytes), defaults::EMBEDDER.sha256);
    let clock = SystemClock::start();
    let program =
        model::load(&bytes, "sface", ChannelOrder::Rgb, None).expect("the default model loads");
    println!("loaded in {} us", clock.monotonic_us());
    assert_eq!(program.steps.len(), 29);
    assert!(matches!(program.steps[0].op, Op::Affine { activation: Activation::Identity, .. }));
    assert_eq!(count(&program, |op| matches!(op, Op::Affine { .. })), 1);
    let convolution = |op: &Op| match op {
        Op::Conv2d { activation, .. } | Op::Depthwise { activation, .. } => {
            matches!(activation, Activation::Prelu(_))
        }
        _ => false,
    };
    assert_eq!(count(&program, convolution), 27);
    assert_eq!(count(&program, |op| matches!(op, Op::Depthwise { .. })), 13);
    assert!(matches!(program.steps[28].op, Op::Dense { activation: Activation::Identity, .. }));
    assert_eq!(program.macs() / 1_000_000, 574);
    assert_eq!(program.shape(program.outputs[0].buffer).len(), 128);
}

#[test]
fn the_default_detector_has_twelve_outputs_at_any_multiple_of_32() {
    let name = "the_default_detector_has_twelve_outputs_at_any_multiple_of_32";
    let Some((_, bytes)) = models::cached(name, &defaults::DETECTOR) else { return };
    defaults::DETECTOR.accept(&bytes).expect("the published file");
    let load = |px| model::load(&bytes, "yunet", ChannelOrder::Bgr, px);
    let program = load(None).expect("the default model loads");
    assert_eq!(program.macs() / 1_000_000, 344);
    // 53 convolutions, four pools, two enlargements, two sums that other heads also read.
    assert_eq!(count(&program, |op| matches!(op, Op::Conv2d { .. } | Op::Depthwise { .. })), 53);
    assert_eq!(count(&program, |op| matches!(op, Op::MaxPool { .. })), 4);
    assert_eq!(count(&program, |op| matches!(op, Op::Upsample { factor: 2 })), 2);
    assert_eq!(count(&program, |op| matches!(op, Op::Add { .. })), 2);
    assert_eq!(program.steps.len(), 61);
    let sizes: Vec<_> = program.outputs.iter().map(|output| program.shape(output.buffer)).collect();
    assert_eq!(sizes.len(), 12);
    let [cls_8, bbox_32] = ["cls_8", "bbox_32"].map(|wanted| {
        let position = program.outputs.iter().position(|output| output.name == wanted);
        sizes[position.expect("an output of that name")]
    });
    assert_eq!((cls_8.h, cls_8.w, cls_8.c), (80, 80, 1));
    assert_eq!((bbox_32.h, bbox_32.w, bbox_32.c), (20, 20, 4));
    assert_eq!(load(Some([320, 256])).expect("multiples of 32").macs() / 1_000_000, 68);
    for px in [[330, 320], [336, 320], [639, 639], [8, 8]] {
        let refused = load(Some(px)).expect_err("not a multiple of 32");
        assert!(matches!(refused, model::ModelError::InputSize { .. }), "{refused}");
    }
}
