//! A presentation attack detector that always says the same.

use portcullis::{
    backend::{BackendError, Network},
    ops::program::Feed,
    pipeline::AttackDetection,
};

use crate::scene::attack_detector;

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
    let networks: Vec<Box<dyn Network>> = vec![Box::new(Steady([attack, 1.0 - attack]))];
    (networks, AttackDetection { detector: attack_detector(), enrolments: false })
}
