//! A live capture that cannot be used is taken again; the lane, not this rule, counts how often.

use crate::{
    policy::guards::Finding,
    types::{CaptureFact, Facts, Outcome},
};

const NO_FACE: Finding =
    Finding::new(Outcome::Retry, "NO_FACE", "No face was found in the live image.");
const SEVERAL_FACES: Finding = Finding::new(
    Outcome::Retry,
    "SEVERAL_FACES",
    "Several faces were found; one traveller at a time.",
);
const FACE_TOO_SMALL: Finding = Finding::new(
    Outcome::Retry,
    "FACE_TOO_SMALL",
    "The face is too small; the traveller should step closer.",
);
const OFF_CENTRE: Finding =
    Finding::new(Outcome::Retry, "OFF_CENTRE", "The face is not in the middle of the image.");
const POOR_QUALITY: Finding = Finding::new(
    Outcome::Retry,
    "POOR_QUALITY",
    "Sharpness, exposure or pose of the live image is outside its limits.",
);

pub(in crate::policy) fn consider(facts: &Facts) -> Option<Finding> {
    match facts.probe {
        CaptureFact::Usable => None,
        CaptureFact::NoFace => Some(NO_FACE),
        CaptureFact::SeveralFaces => Some(SEVERAL_FACES),
        CaptureFact::FaceTooSmall => Some(FACE_TOO_SMALL),
        CaptureFact::OffCentre => Some(OFF_CENTRE),
        CaptureFact::PoorQuality => Some(POOR_QUALITY),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::cases, *};

    #[test]
    fn table() {
        for (probe, expected) in [
            (CaptureFact::Usable, None),
            (CaptureFact::NoFace, Some(NO_FACE)),
            (CaptureFact::SeveralFaces, Some(SEVERAL_FACES)),
            (CaptureFact::FaceTooSmall, Some(FACE_TOO_SMALL)),
            (CaptureFact::OffCentre, Some(OFF_CENTRE)),
            (CaptureFact::PoorQuality, Some(POOR_QUALITY)),
        ] {
            let facts = Facts { probe, ..cases::verification(&[Some(10)]) };
            assert_eq!(consider(&facts), expected, "{probe:?}");
        }
    }
}
