//! The law at this appliance: checked before the appliance is ready, remade when the site changes.

use std::sync::{Arc, PoisonError};

use super::Appliance;
use crate::{
    command::Request,
    policy::{CaseFault, Law, LawError, SOURCES, Standing, check_cases},
    types::{
        Assessment, Basis, Circumstances, Condition, EventImages, Necessity, Notices, Place, Region,
        Residents, SiteFacts, Stage,
    },
};

/// Why the law cannot be applied. The appliance is not ready while there is one.
#[derive(Debug, thiserror::Error)]
pub enum UnlawfulError {
    /// The texts are not well-formed.
    #[error(transparent)]
    Texts(#[from] LawError),
    /// The texts do not say what their tables of cases say.
    #[error("{first}; {more} further cases fail")]
    Cases {
        /// The first of them.
        first: CaseFault,
        /// How many more there are.
        more: usize,
    },
}

/// The texts that are compiled in with the deployer's own, checked: their words against the schema,
/// their answers against their tables.
///
/// # Errors
/// [`UnlawfulError`], which says where.
pub fn law(own: &[(String, String)]) -> Result<Arc<Law>, UnlawfulError> {
    // The tables show what the texts of the house say; a deployer's forbid may well object to a case.
    let house = Arc::new(Law::new(SOURCES, &[])?);
    let faults = SOURCES.iter().flat_map(|of| check_cases(&house, of.name, of.cases, None));
    let mut faults: Vec<CaseFault> = faults.collect();
    if !faults.is_empty() {
        let first = faults.swap_remove(0);
        return Err(UnlawfulError::Cases { first, more: faults.len() });
    }
    if own.is_empty() { Ok(house) } else { Ok(Arc::new(Law::new(SOURCES, own)?)) }
}

/// The site of an appliance for which no profile is chosen: a desk with staff, for evaluation.
#[must_use]
pub fn evaluation_desk() -> SiteFacts {
    SiteFacts {
        profile: "none".to_owned(),
        stage: Stage::Active,
        region: Region::Elsewhere,
        place: Place::Venue,
        basis: Basis::None,
        condition: Condition::None,
        basis_is_surveillance: false,
        controller_named: true,
        identity_check_required: true,
        attended: true,
        mixed_lanes: false,
        necessity: Necessity {
            recorded: true,
            alternatives_weighed: 1,
            less_intrusive_exists: false,
        },
        assessment: Assessment { complete: true, before_use: true, dpia: true, current: true },
        notices: Notices {
            languages: (1, 1),
            pictogram: true,
            signage_attested: true,
            handout: true,
        },
        sealed: false,
        alarms: false,
        estimates_attributes: false,
        third_country_endpoint: false,
        statute_cited: true,
        two_person_exemption: false,
        residents: Residents { owners: 0, approving: 0, agreed: false, expenses_published: false },
        alternatives: 1,
        audit_kept_days: 365,
        fnir_ppm: (0, 0),
        kept_hours: (0, 0),
        event_images: EventImages::Off,
        cross_gallery_named: false,
    }
}

impl Appliance {
    /// The law as it stands at this moment.
    pub(super) fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.standing.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Applies the law to the site as it is from now on: another stage, a window that opens.
    ///
    /// # Errors
    /// [`LawError::Site`]; the law stands as before.
    pub fn site_is(&self, site: &SiteFacts) -> Result<(), LawError> {
        let standing = Standing::new(Arc::clone(self.standing().law()), site)?;
        *self.standing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(standing);
        Ok(())
    }

    /// What the law asks about a request, as far as this appliance keeps a record of it.
    #[expect(clippy::unused_self, reason = "records of galleries and consents are the appliance's")]
    pub(super) fn circumstances(&self, _request: &Request) -> Circumstances {
        Circumstances::default()
    }
}
