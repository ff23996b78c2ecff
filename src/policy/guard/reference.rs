//! Every reference must be usable. Looking again at the traveller does not mend the photograph in a
//! document, so a person takes over.

use crate::{
    policy::guards::Finding,
    types::{CaptureFact, Facts, Outcome},
};

const NO_FACE: Finding =
    Finding::new(Outcome::Refer, "NO_FACE_IN_REFERENCE", "No face was found in a reference image.");
const SEVERAL_FACES: Finding = Finding::new(
    Outcome::Refer,
    "SEVERAL_FACES_IN_REFERENCE",
    "Several faces were found in a reference image.",
);
const UNUSABLE: Finding = Finding::new(
    Outcome::Refer,
    "REFERENCE_UNUSABLE",
    "Size, place or quality of the face in a reference image is outside its limits.",
);

pub(in crate::policy) fn consider(facts: &Facts) -> Option<Finding> {
    facts.comparisons.iter().find_map(|comparison| match comparison.reference {
        CaptureFact::Usable => None,
        CaptureFact::NoFace => Some(NO_FACE),
        CaptureFact::SeveralFaces => Some(SEVERAL_FACES),
        CaptureFact::FaceTooSmall | CaptureFact::OffCentre | CaptureFact::PoorQuality => {
            Some(UNUSABLE)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{super::cases, *};

    #[test]
    fn table() {
        for (reference, expected) in [
            (CaptureFact::Usable, None),
            (CaptureFact::NoFace, Some(NO_FACE)),
            (CaptureFact::SeveralFaces, Some(SEVERAL_FACES)),
            (CaptureFact::FaceTooSmall, Some(UNUSABLE)),
            (CaptureFact::OffCentre, Some(UNUSABLE)),
            (CaptureFact::PoorQuality, Some(UNUSABLE)),
        ] {
            let mut facts = cases::verification(&[Some(10), Some(10)]);
            facts.comparisons[1].reference = reference;
            assert_eq!(consider(&facts), expected, "{reference:?}");
        }
    }
}
