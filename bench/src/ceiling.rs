//! What the machine could do at most, measured in the same run.

use portcullis::backend::cpu::Cpu;

use crate::spent::{Measured, nanoseconds};

/// Rounds of multiply-adds: about a millisecond, too short to be interrupted every time.
const ROUNDS: u64 = 300_000;
/// Values that are read: far more than any core's own cache.
const VALUES: usize = 64 << 20;

/// The ceilings of one number of threads.
pub(crate) struct Ceiling {
    /// Multiply-accumulates per second, in billions.
    pub(crate) gmacs: f64,
    /// Bytes read per second, in billions.
    pub(crate) gbytes: f64,
}

/// Measures both; the best of several, because a ceiling is what is possible.
pub(crate) fn measure(cpu: &Cpu, smoke: bool) -> Ceiling {
    let (repeats, rounds, values) =
        if smoke { (2, ROUNDS / 50, VALUES / 64) } else { (20, ROUNDS, VALUES) };
    let mut multiplying = Measured::default();
    let mut macs = 0;
    multiplying.extend((0..repeats).map(|_| nanoseconds(|| macs = cpu.multiply_adds(rounds))));
    let values = vec![1.0_f32; values];
    let mut reading = Measured::default();
    reading.extend((0..repeats).map(|_| nanoseconds(|| cpu.read(&values))));
    Ceiling {
        gmacs: macs as f64 / multiplying.least_ms() / 1e6,
        gbytes: size_of_val(values.as_slice()) as f64 / reading.least_ms() / 1e6,
    }
}
