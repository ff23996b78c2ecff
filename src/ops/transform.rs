//! `transform`: a gallery's own signed permutation of template values (ISO/IEC 24745
//! renewability).
//!
//! ```text
//! y[i] = sign[i] · x[from[i]]       from permutes the hot plane and the cold plane each in itself
//! ```
//!
//! Applied to both sides of a comparison it leaves every sum of products exactly as it was, plane
//! by plane, and so it does the norms: scores, bounds and certificates do not change. Templates of
//! two galleries with different seeds do not compare. That is unlinkability under encryption, not
//! encryption: who knows pairs of values before and after learns the permutation.
//!
//! Invariant: values stay in ±127 (−128 never occurs, so that every sign can be flipped). The
//! permutation is as secret as its seed: it is wiped when dropped and cannot be printed.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use zeroize::Zeroize;

use super::tile::TileLayout;

/// One gallery's transform.
pub struct SignedPermutation {
    /// Which value comes to place `i`.
    from: Box<[u16]>,
    /// 1 or −1.
    sign: Box<[i8]>,
}

impl SignedPermutation {
    /// The transform of `seed`, which is 32 secret bytes: ChaCha20's stream shuffles each plane
    /// (Fisher and Yates) and then draws the signs.
    #[must_use]
    pub fn derive(seed: &[u8; 32], layout: TileLayout) -> Self {
        let mut stream = ChaCha20Rng::from_seed(*seed);
        let mut from: Box<[u16]> =
            (0..layout.dims).map(|at| u16::try_from(at).expect("at most 2048 dims")).collect();
        let (hot, cold) = from.split_at_mut(layout.hot_dims);
        shuffle(hot, &mut stream);
        shuffle(cold, &mut stream);
        let sign = (0..layout.dims).map(|_| if stream.next_u32() & 1 == 0 { 1 } else { -1 });
        Self { from, sign: sign.collect() }
    }

    /// Writes the disguised values of `plain` into `disguised`.
    ///
    /// # Panics
    /// When a length is not that of the layout.
    pub fn apply(&self, plain: &[i8], disguised: &mut [i8]) {
        assert_eq!((plain.len(), disguised.len()), (self.from.len(), self.from.len()));
        for ((to, &from), sign) in disguised.iter_mut().zip(&self.from).zip(&self.sign) {
            *to = sign * plain[usize::from(from)];
        }
    }

    /// Writes the plain values of `disguised` into `plain`.
    ///
    /// # Panics
    /// As [`Self::apply`].
    pub fn undo(&self, disguised: &[i8], plain: &mut [i8]) {
        assert_eq!((plain.len(), disguised.len()), (self.from.len(), self.from.len()));
        for ((value, &from), sign) in disguised.iter().zip(&self.from).zip(&self.sign) {
            plain[usize::from(from)] = sign * value;
        }
    }
}

impl Drop for SignedPermutation {
    fn drop(&mut self) {
        self.from.zeroize();
        self.sign.zeroize();
    }
}

fn shuffle(places: &mut [u16], stream: &mut ChaCha20Rng) {
    for last in (1..places.len()).rev() {
        places.swap(last, below(stream, last + 1));
    }
}

/// A number below `count`, each as likely: draws that would favour some are thrown away.
fn below(stream: &mut ChaCha20Rng, count: usize) -> usize {
    let count = u32::try_from(count).expect("at most 2048 dims");
    let fair = u32::MAX - u32::MAX % count;
    loop {
        let drawn = stream.next_u32();
        if drawn < fair {
            return (drawn % count) as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::score::{rest_norm, score};

    const LAYOUT: TileLayout = TileLayout { dims: 128, hot_dims: 96, rows: 4 };

    fn values(seed: u64) -> Vec<i8> {
        let mut stream = ChaCha20Rng::seed_from_u64(seed);
        (0..LAYOUT.dims).map(|_| (stream.next_u32() % 255) as i16 - 127).map(|x| x as i8).collect()
    }

    fn through(transform: &SignedPermutation, plain: &[i8]) -> Vec<i8> {
        let mut disguised = vec![0; plain.len()];
        transform.apply(plain, &mut disguised);
        disguised
    }

    #[test]
    fn scores_and_norms_of_each_plane_stay_exactly_as_they_were() {
        let transform = SignedPermutation::derive(&[7; 32], LAYOUT);
        for seed in 0..50 {
            let (a, b) = (values(seed), values(seed + 1000));
            let (disguised_a, disguised_b) = (through(&transform, &a), through(&transform, &b));
            assert_ne!(a, disguised_a);
            let hot = LAYOUT.hot_dims;
            for plane in [0..hot, hot..LAYOUT.dims] {
                let plain = score(&a[plane.clone()], &b[plane.clone()]);
                let disguised = score(&disguised_a[plane.clone()], &disguised_b[plane.clone()]);
                assert_eq!(plain, disguised);
                assert_eq!(rest_norm(&a[plane.clone()]), rest_norm(&disguised_a[plane]));
            }
            let mut back = vec![0; a.len()];
            transform.undo(&disguised_a, &mut back);
            assert_eq!(a, back);
        }
    }

    #[test]
    fn two_seeds_do_not_compare() {
        let one = SignedPermutation::derive(&[1; 32], LAYOUT);
        let other = SignedPermutation::derive(&[2; 32], LAYOUT);
        let mut worst = 0.0_f64;
        for seed in 0..50 {
            let plain = values(seed);
            let same = f64::from(score(&plain, &plain).0);
            let crossed = score(&through(&one, &plain), &through(&other, &plain));
            worst = worst.max(f64::from(crossed.0).abs() / same);
        }
        assert!(worst < 0.6, "one face in two galleries scores {worst} of its own score");
    }
}
