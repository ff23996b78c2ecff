//! `quantise`: from an embedding to the int8 values of a template.
//!
//! ```text
//! n    = ‖e‖
//! t[i] = saturate( round( S · Σ j  rotation[i][j] · e[j] / n ) )
//! ```
//!
//! `round` takes a half away from zero, `saturate` clamps to ±127.
//!
//! Shapes: embedding d; rotation d × d, row-major, row i is the i-th rotated axis; template d.
//! Sums run over j upwards in f64, so that one embedding gives one template on every machine; a
//! twin that cannot do so stays missing. −128 never occurs, so that a sign can always be flipped.
//! An embedding of length zero, or with a value that is not finite, has no direction and is
//! refused: it must not become a template that resembles everybody or nobody.
//! Nothing is kept: there is no scratch to wipe.
//! Source: uniform scalar quantisation after a principal-axes rotation; what rotation and scale are
//! for stands in `crate::model`, with the calibration.

/// Why an embedding has no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantiseError {
    /// The lengths of embedding, rotation and template do not fit.
    #[error(
        "{embedding} embedding values do not fit {rotation} rotation and {template} template values"
    )]
    Length {
        /// Values of the embedding.
        embedding: usize,
        /// Values of the rotation.
        rotation: usize,
        /// Values of the template.
        template: usize,
    },
    /// A value is not a finite number: the network failed.
    #[error("value {index} of the embedding is not a finite number")]
    NotFinite {
        /// Which one.
        index: usize,
    },
    /// Every value is zero: it points nowhere.
    #[error("the embedding is zero")]
    Zero,
}

/// The op. On an error the template is all zeros.
///
/// # Errors
/// [`QuantiseError`].
pub fn quantise(
    embedding: &[f32],
    rotation: &[f32],
    scale: f32,
    template: &mut [i8],
) -> Result<(), QuantiseError> {
    template.fill(0);
    let d = embedding.len();
    if rotation.len() != d * d || template.len() != d {
        let (rotation, template) = (rotation.len(), template.len());
        return Err(QuantiseError::Length { embedding: d, rotation, template });
    }
    let norm = norm(embedding)?;
    for i in 0..d {
        let mut along = 0.0;
        for j in 0..d {
            along += f64::from(rotation[i * d + j]) * f64::from(embedding[j]);
        }
        template[i] = saturate(f64::from(scale) * along / norm);
    }
    Ok(())
}

/// The op for an embedding that stands in the rotated space already, as those of synthetic people
/// do. On an error the template is all zeros.
///
/// # Errors
/// [`QuantiseError`].
pub fn quantise_rotated(
    rotated: &[f32],
    scale: f32,
    template: &mut [i8],
) -> Result<(), QuantiseError> {
    template.fill(0);
    if template.len() != rotated.len() {
        let (embedding, template) = (rotated.len(), template.len());
        return Err(QuantiseError::Length { embedding, rotation: 0, template });
    }
    let norm = norm(rotated)?;
    for i in 0..rotated.len() {
        template[i] = saturate(f64::from(scale) * f64::from(rotated[i]) / norm);
    }
    Ok(())
}

fn norm(embedding: &[f32]) -> Result<f64, QuantiseError> {
    if let Some(index) = embedding.iter().position(|value| !value.is_finite()) {
        return Err(QuantiseError::NotFinite { index });
    }
    let squares = embedding.iter().map(|&value| f64::from(value) * f64::from(value));
    let norm = squares.sum::<f64>().sqrt();
    if norm == 0.0 { Err(QuantiseError::Zero) } else { Ok(norm) }
}

fn saturate(scaled: f64) -> i8 {
    scaled.round().clamp(-127.0, 127.0) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantised(
        embedding: &[f32],
        rotation: &[f32],
        scale: f32,
    ) -> Result<Vec<i8>, QuantiseError> {
        let mut template = vec![99; embedding.len()];
        quantise(embedding, rotation, scale, &mut template).map(|()| template)
    }

    const STILL: [f32; 4] = [1.0, 0.0, 0.0, 1.0];

    #[test]
    fn length_is_taken_out_and_the_rotation_applied() {
        assert_eq!(quantised(&[3.0, 4.0], &STILL, 100.0), Ok(vec![60, 80]));
        assert_eq!(quantised(&[3e-30, 4e-30], &STILL, 100.0), Ok(vec![60, 80]));
        assert_eq!(quantised(&[3.0, 4.0], &[0.0, 1.0, -1.0, 0.0], 100.0), Ok(vec![80, -60]));
    }

    #[test]
    fn what_is_rotated_already_is_only_scaled_and_rounded() {
        let mut template = [99; 2];
        assert_eq!(quantise_rotated(&[3.0, -4.0], 100.0, &mut template), Ok(()));
        assert_eq!(template, [60, -80]);
        assert_eq!(quantise_rotated(&[0.0; 2], 100.0, &mut template), Err(QuantiseError::Zero));
        assert_eq!(template, [0; 2]);
        assert!(quantise_rotated(&[1.0; 3], 100.0, &mut template).is_err());
    }

    #[test]
    fn halves_go_away_from_zero_and_127_is_the_most() {
        assert_eq!(quantised(&[1.0, 0.0], &[0.5, 0.0, -0.5, 0.0], 5.0), Ok(vec![3, -3]));
        assert_eq!(quantised(&[1.0, 0.0], &[1.0, 0.0, -1.0, 0.0], 1e6), Ok(vec![127, -127]));
    }

    #[test]
    fn what_has_no_direction_has_no_template() {
        assert_eq!(quantised(&[0.0, -0.0], &STILL, 100.0), Err(QuantiseError::Zero));
        let nan = Err(QuantiseError::NotFinite { index: 1 });
        assert_eq!(quantised(&[1.0, f32::NAN], &STILL, 100.0), nan);
        assert_eq!(quantised(&[1.0, f32::INFINITY], &STILL, 100.0), nan);
        let mut template = [7; 2];
        assert!(quantise(&[1.0, 2.0], &STILL[..3], 1.0, &mut template).is_err());
        assert_eq!(template, [0; 2]);
    }
}
