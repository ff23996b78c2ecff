//! Pictures at random that look like pictures to a network: large soft shapes under fine noise, in
//! 0..=255. White noise alone would drive all activations into one corner.

use portcullis::random::{Entropy, SeededEntropy};

/// Soft shapes of a picture.
const SHAPES: usize = 12;

/// `height` × `width` × 3 values, NHWC.
pub(crate) fn values(seed: u64, height: usize, width: usize) -> Vec<f32> {
    let entropy = SeededEntropy::new(seed);
    let unit = || {
        let mut bytes = [0; 4];
        entropy.fill(&mut bytes);
        u32::from_le_bytes(bytes) as f32 / u32::MAX as f32
    };
    let shapes: Vec<[f32; 6]> = (0..SHAPES)
        .map(|_| {
            let radius = 0.05 + 0.3 * unit();
            [unit(), unit(), radius, unit() - 0.5, unit() - 0.5, unit() - 0.5]
        })
        .collect();
    let mut values = Vec::with_capacity(height * width * 3);
    for y in 0..height {
        for x in 0..width {
            let (v, u) = (y as f32 / height as f32, x as f32 / width as f32);
            let mut pixel = [110.0_f32; 3];
            for [cx, cy, radius, red, green, blue] in &shapes {
                let distance = ((u - cx).powi(2) + (v - cy).powi(2)) / radius.powi(2);
                let weight = 160.0 * (-distance).exp();
                for (value, colour) in pixel.iter_mut().zip([red, green, blue]) {
                    *value += weight * colour;
                }
            }
            let noise = 12.0 * (unit() - 0.5);
            values.extend(pixel.map(|value| (value + noise).round().clamp(0.0, 255.0)));
        }
    }
    values
}

/// The same values in NCHW order.
pub(crate) fn planar(values: &[f32]) -> Vec<f32> {
    (0..3).flat_map(|c| values.iter().skip(c).step_by(3)).copied().collect()
}
