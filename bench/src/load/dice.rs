//! Chance from a seed: the same arrivals, mixes and pairs on every machine.

use portcullis::random::{Entropy, SeededEntropy};

/// Draws from one seed.
pub(crate) struct Dice(SeededEntropy);

impl Dice {
    /// The stream of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    /// At least 0, less than 1.
    pub(crate) fn unit(&self) -> f64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Time to the next of events that come by chance, `rate` of them in one unit of time.
    pub(crate) fn gap(&self, rate: f64) -> f64 {
        -(1.0 - self.unit()).ln() / rate
    }
}
