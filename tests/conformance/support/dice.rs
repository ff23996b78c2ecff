//! Randomness of the suites: one seed per run, one stream per test.

use std::sync::OnceLock;

use portcullis::random::{Entropy, SeededEntropy, SystemEntropy};

/// Names the run to repeat.
const SEED_VARIABLE: &str = "PORTCULLIS_SEED";

/// A stream of choices.
pub(crate) struct Dice(SeededEntropy);

impl Dice {
    /// The stream of `test` in this run; its seed is printed where the test fails.
    #[expect(clippy::print_stdout, reason = "the test runner shows it where the test fails")]
    pub(crate) fn thrown_for(test: &str) -> Self {
        let seed = run_seed();
        println!("repeat with {SEED_VARIABLE}={seed}");
        let own = test
            .bytes()
            .fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Self(SeededEntropy::new(own))
    }

    /// A whole number below `most`.
    pub(crate) fn below(&mut self, most: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % most as u64).expect("below a usize")
    }

    /// A whole number of `from..=to`.
    pub(crate) fn within(&mut self, from: i64, to: i64) -> i64 {
        let span = usize::try_from(to - from + 1).expect("an ordered range");
        from + i64::try_from(self.below(span)).expect("below the span")
    }

    /// One of `choices`.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Heads.
    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Evenly spread over [-1, 1).
    pub(crate) fn unit(&mut self) -> f32 {
        self.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0
    }

    /// `count` values of [`Dice::unit`] times `scale`.
    pub(crate) fn units(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| self.unit() * scale).collect()
    }

    /// `count` bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill(&mut bytes);
        bytes
    }

    /// Nearly normal, mean 0 and variance 1: twelve even throws.
    pub(crate) fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() / 2.0
    }
}

#[expect(clippy::disallowed_methods, reason = "a test run is repeated by its environment")]
fn run_seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| match std::env::var(SEED_VARIABLE) {
        Ok(said) => said.parse().expect("PORTCULLIS_SEED is a whole number"),
        Err(_) => {
            let mut bytes = [0; 8];
            SystemEntropy.fill(&mut bytes);
            u64::from_le_bytes(bytes)
        }
    })
}
