//! A presentation attack detector that always says the same.

use portcullis::{
    backend::{BackendError, Network},
    face::attack::{AttackDetector, AttackNetwork},
    ops::program::{BufferId, ChannelOrder, Feed, Op, Output, Program, Shape, Step},
    pipeline::AttackDetection,
};

/// A network whose answer is its only weight.
struct Steady([f32; 2]);

impl Network for Steady {
    fn batch_max(&self) -> usize {
        4
    }

    fn run(&mut self, _feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        Ok(())
    }

    fn output(&self, _index: usize, _item: usize) -> &[f32] {
        &self.0
    }

    fn wipe(&mut self) {}
}

/// A detector of one network that gives every face the score `attack`.
pub(crate) fn detector(attack: f32) -> (Vec<Box<dyn Network>>, AttackDetection) {
    let output = BufferId(1);
    let program = Program {
        name: "steady".into(),
        input: BufferId(0),
        channels: ChannelOrder::Bgr,
        buffers: vec![Shape { h: 80, w: 80, c: 3 }, Shape { h: 1, w: 1, c: 2 }],
        weights: Vec::new(),
        steps: vec![Step { op: Op::Softmax, inputs: vec![BufferId(0)], output }],
        outputs: vec![Output { name: "classes".into(), buffer: output }],
    };
    let network = AttackNetwork { program: &program, scale: 2.7, bona_fide: 1 };
    let detector = AttackDetector::for_networks(&[network]).expect("ends in probabilities");
    let networks: Vec<Box<dyn Network>> = vec![Box::new(Steady([attack, 1.0 - attack]))];
    (networks, AttackDetection { detector, enrolments: false })
}
