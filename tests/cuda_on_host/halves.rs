//! Half precision in Rust: written apart from what the host's machine does, so that one finds the
//! other's mistakes.

/// The nearest half, a tie to the even one.
pub(crate) fn half(value: f32) -> u16 {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let size = f64::from(value.abs());
    if size.is_nan() {
        return sign | 0x7e00;
    }
    // Steps between neighbours around `size`, whose number is its bits.
    let mut step = 2.0_f64.powi(-24);
    let mut bits = 0_u32;
    while size >= step * 2048.0 && bits < 0x7c00 {
        step *= 2.0;
        bits += 0x400;
    }
    let bits = bits + (size / step).round_ties_even().min(4096.0) as u32;
    sign | u16::try_from(bits.min(0x7c00)).expect("16 bits")
}

/// The value of a half.
pub(crate) fn single(half: u16) -> f32 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (half >> 10 & 31, f32::from(half & 1023));
    sign * match exponent {
        0 => fraction * 2.0_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2.0_f32.powi(i32::from(exponent) - 25),
    }
}

/// What is left of a value in half precision.
pub(crate) fn rounded(value: f32) -> f32 {
    single(half(value))
}

#[test]
fn every_half_is_itself_and_ties_go_to_the_even_neighbour() {
    for bits in 0..0x7c00_u16 {
        assert_eq!(half(single(bits)), bits, "{bits:#x}");
        let middle = (single(bits) + single(bits + 1)) / 2.0;
        if bits < 0x7bff {
            assert_eq!(half(middle), bits + bits % 2, "between {bits:#x} and the next");
        }
    }
    assert_eq!((half(65_519.0), half(65_520.0), half(-1e30)), (0x7bff, 0x7c00, 0xfc00));
    assert_eq!((half(-0.0), half(1e-9)), (0x8000, 0));
    assert!(single(half(f32::NAN)).is_nan());
}
