//! Half precision, for the weights of large dense layers: twice as many per byte that is read.

/// The nearest half-precision number to `value`, as bits; ties to even. `None` where it would not
/// be finite.
pub(super) fn half(value: f32) -> Option<u16> {
    let bits = value.to_bits();
    let sign = u16::try_from(bits >> 16 & 0x8000).expect("one bit of sixteen");
    let magnitude = f32::from_bits(bits & 0x7FFF_FFFF);
    // Adding 2^k rounds to a multiple of the last place that half precision has at that size:
    // 2^-24 below 2^-14, and 2^-10 of the leading power of two above.
    let exponent = i32::try_from(bits >> 23 & 0xFF).expect("eight bits") - 127;
    if exponent > 15 {
        return None;
    }
    let place = (exponent.max(-14) - 10 + 23) as f32;
    let round = place.exp2();
    let rounded = (magnitude + round) - round;
    let units = rounded / (exponent.max(-14) as f32 - 10.0).exp2();
    // 0 to 1023 below the smallest normal number, 1024 to 2048 above.
    let units = units as u16;
    let base = u16::try_from(exponent.max(-14) + 14).expect("0 to 29") << 10;
    let whole = base + units;
    (whole < 0x7C00).then_some(sign | whole)
}

/// `values`, two to a word, if every one of them has a half-precision neighbour.
pub(super) fn halves(values: &[f32]) -> Option<Vec<u32>> {
    let word = |pair: &[f32]| {
        let second = pair.get(1).copied().unwrap_or(0.0);
        Some(u32::from(half(pair[0])?) | u32::from(half(second)?) << 16)
    };
    values.chunks(2).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number that the bits stand for.
    fn widened(bits: u16) -> f32 {
        let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
        let (exponent, fraction) = (i32::from(bits >> 10 & 0x1F), f32::from(bits & 0x3FF));
        match exponent {
            0 => sign * fraction * (-24.0_f32).exp2(),
            _ => sign * (1024.0 + fraction) * ((exponent - 25) as f32).exp2(),
        }
    }

    #[test]
    fn every_half_comes_back_and_its_middle_goes_to_the_even_neighbour() {
        for bits in (0..0x7C00).chain(0x8000..0xFC00) {
            assert_eq!(half(widened(bits)), Some(bits));
        }
        for bits in 0..0x7BFF_u16 {
            let middle = (widened(bits) + widened(bits + 1)) / 2.0;
            assert_eq!(half(middle), Some(bits + bits % 2), "{bits:#x}");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_made_infinite() {
        assert_eq!(half(65_504.0), Some(0x7BFF));
        for value in [65_520.0, 1e9, f32::INFINITY, f32::NAN, -1e9] {
            assert_eq!(half(value), None);
        }
        assert_eq!(halves(&[1.0, 1e9]), None);
        assert_eq!(halves(&[1.0, -2.0, 0.5]), Some(vec![0xC000_3C00, 0x3800]));
    }
}
