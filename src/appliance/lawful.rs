//! The law at this appliance: checked before the appliance is ready, remade when the site changes.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError},
};

use super::{Appliance, galleries::Kept, site::references_of};
use crate::{
    command::{Command, KeptBy, LaneCommand, ReferenceSource, Refusal, Request},
    limits::{GALLERY_ROWS_MAX, OWN_TEXT_BYTES_MAX},
    policy::{CaseFault, Law, LawError, SOURCES, Standing, check_cases},
    types::{
        Age, Assessment, Basis, Circumstances, Condition, EventImages, GalleryFact, GalleryId,
        Necessity, Notices, PersonFact, Place, Provenance, Reason, Region, Relation, Residents,
        SiteFacts, Stage, Storage,
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
    /// A text of the deployer's own cannot be read.
    #[error("{path} cannot be read: {why}; policy.own_texts names it")]
    Unreadable {
        /// Which.
        path: String,
        /// What the system said.
        why: io::Error,
    },
    /// A text of the deployer's own is too large.
    #[error("{path} has more than {most} bytes; policy.own_texts names it: split it")]
    TooLarge {
        /// Which.
        path: String,
        /// The limit.
        most: usize,
    },
}

/// The texts that are compiled in with the deployer's own (each its name and its rules), checked:
/// their words against the schema, their answers against their tables.
///
/// # Errors
/// [`UnlawfulError`], which says where.
pub fn law(own: &[(String, String)]) -> Result<Arc<Law>, UnlawfulError> {
    // The tables show what the texts of the house say; a deployer's forbid may well object to a
    // case.
    let house = house()?;
    if own.is_empty() { Ok(house) } else { Ok(Arc::new(Law::new(SOURCES, own)?)) }
}

/// The texts of the house, checked once in a process: they are part of it.
fn house() -> Result<Arc<Law>, UnlawfulError> {
    static HOUSE: OnceLock<Arc<Law>> = OnceLock::new();
    if let Some(house) = HOUSE.get() {
        return Ok(Arc::clone(house));
    }
    let house = Arc::new(Law::new(SOURCES, &[])?);
    let faults = SOURCES.iter().flat_map(|of| check_cases(&house, of.name, of.cases, None));
    let mut faults: Vec<CaseFault> = faults.collect();
    if !faults.is_empty() {
        let first = faults.swap_remove(0);
        return Err(UnlawfulError::Cases { first, more: faults.len() });
    }
    Ok(Arc::clone(HOUSE.get_or_init(|| house)))
}

/// Reads the deployer's own texts: the name of each, without its ending, and its rules.
///
/// # Errors
/// [`UnlawfulError::Unreadable`] or [`UnlawfulError::TooLarge`].
pub fn own_texts(paths: &[PathBuf]) -> Result<Vec<(String, String)>, UnlawfulError> {
    paths.iter().map(|path| own_text(path)).collect()
}

fn own_text(path: &Path) -> Result<(String, String), UnlawfulError> {
    let shown = path.display().to_string();
    let mut text = String::new();
    let most = OWN_TEXT_BYTES_MAX as u64 + 1;
    fs::File::open(path)
        .and_then(|file| io::Read::read_to_string(&mut io::Read::take(file, most), &mut text))
        .map_err(|why| UnlawfulError::Unreadable { path: shown.clone(), why })?;
    if text.len() > OWN_TEXT_BYTES_MAX {
        return Err(UnlawfulError::TooLarge { path: shown, most: OWN_TEXT_BYTES_MAX });
    }
    let name = path.file_stem().map_or(shown, |stem| stem.to_string_lossy().into_owned());
    Ok((name, text))
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
        // Nobody ordered a list here, and no two officers would confirm a hit of it.
        statute_cited: false,
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

    /// What the law asks about a request, as far as this appliance keeps a record of it. What it
    /// does not know it does not claim: a rule that needs a consent finds none.
    pub(super) fn circumstances(&self, request: &Request) -> Circumstances {
        if let Some(site) = &self.site {
            return self.circumstances_at(site, request);
        }
        Circumstances {
            gallery: self.gallery_fact(request),
            person: somebody(&request.command),
            ..Circumstances::default()
        }
    }

    /// The gallery that a request concerns; `None` where there is none, or none that is served: the
    /// act then says so by itself.
    fn gallery_fact(&self, request: &Request) -> Option<GalleryFact> {
        let name = request.command.gallery()?;
        let fact = |purpose, storage, subjects: u64| GalleryFact {
            purpose,
            storage,
            // Galleries are filled by enrolling here, and by files that an operator brings.
            provenance: Provenance::EnrolledHere,
            subjects: (bounded(subjects), bounded(GALLERY_ROWS_MAX)),
            entry_grounded: true,
        };
        if let Command::CreateGallery { kept_by, .. } = request.command {
            return Some(fact(Some(request.purpose), self.storage(kept_by), 0));
        }
        let purpose = self.galleries.purpose(name);
        match self.galleries.kept(name).ok()? {
            Kept::Searchable(gallery) => {
                Some(fact(purpose, self.storage(KeptBy::Custodian), gallery.stats().subjects))
            }
            Kept::ByHolders(records) => {
                Some(fact(purpose, Storage::HolderKey, records.held().live))
            }
            Kept::Unavailable(_) => None,
        }
    }

    /// How templates are kept. Without a folder the key is in memory and ends with the process.
    fn storage(&self, kept_by: KeptBy) -> Storage {
        match (kept_by, &self.galleries.place().folder) {
            (KeptBy::Holders, _) => Storage::HolderKey,
            (KeptBy::Custodian, None) => Storage::MemoryKeyDaily,
            (KeptBy::Custodian, Some(_)) => Storage::OperatorKey,
        }
    }

    /// Why a request is refused. That nobody could search a gallery of holders' records is told as
    /// what it is: no permission would help.
    pub(super) fn forbidden(
        standing: &Standing,
        gallery: Option<&GalleryId>,
        reasons: &[Reason],
    ) -> Refusal {
        match (reasons, gallery) {
            ([Reason { code: IDENTIFY_NOT_POSSIBLE, .. }], Some(gallery)) => {
                Refusal::IdentifyNotPossible { gallery: gallery.clone() }
            }
            _ => {
                let catalogue = standing.law().catalogue();
                let rulings = reasons.iter().map(|&reason| catalogue.explain(reason));
                Refusal::Forbidden(rulings.collect())
            }
        }
    }
}

/// The code of the rule that records under the holders' keys are not searched.
const IDENTIFY_NOT_POSSIBLE: &str = "IDENTIFY_NOT_POSSIBLE";

/// What a request alone tells of whom it is about.
fn somebody(command: &Command) -> Option<PersonFact> {
    let (references, third_country) = (references_of(command), is_third_country(command));
    if references.is_none() && !third_country {
        return None;
    }
    let references = references.unwrap_or_default();
    Some(PersonFact {
        age: Age::Unknown,
        relation: Relation::Independent,
        informed: false,
        alternative_live: false,
        card: is_card(references),
        carried: is_carried(references),
        one_person: true,
        third_country,
        second_reference: has_second(references),
        one_claim: is_one_claim(references),
    })
}

/// Whether the request says that the traveller is a third-country national.
pub(super) fn is_third_country(command: &Command) -> bool {
    matches!(
        command,
        Command::Verify { third_country: true, .. }
            | Command::Lane { command: LaneCommand::Open { third_country: true, .. }, .. }
    )
}

/// Whether there is a reference beside the chip's own: the photographs of a chip are one, and the
/// same chip twice is one, too.
pub(super) fn has_second(references: &[ReferenceSource]) -> bool {
    let is_chip = |held: &ReferenceSource| matches!(held, ReferenceSource::Dg2 { .. });
    references.len() > 1 && !references.iter().all(is_chip)
}

/// Whether the references name one enrolled person at most: a gallery's purpose and a person's
/// consent are looked at once.
pub(super) fn is_one_claim(references: &[ReferenceSource]) -> bool {
    let mut enrolled = references.iter().filter_map(|held| match held {
        ReferenceSource::Subject { gallery, subject }
        | ReferenceSource::Holder { gallery, subject, .. } => Some((gallery, *subject)),
        ReferenceSource::Image(_)
        | ReferenceSource::Dg2 { .. }
        | ReferenceSource::Template(_)
        | ReferenceSource::HolderToken(_) => None,
    });
    let Some(first) = enrolled.next() else { return true };
    enrolled.all(|other| other == first)
}

/// Whether a reference is one that is enrolled here, by its name: what a card says.
pub(super) fn is_card(references: &[ReferenceSource]) -> bool {
    references.iter().any(|held| matches!(held, ReferenceSource::Subject { .. }))
}

/// Whether a reference is in the traveller's own hands: a token, or a record by its secret.
pub(super) fn is_carried(references: &[ReferenceSource]) -> bool {
    references.iter().any(|held| {
        matches!(held, ReferenceSource::Holder { .. } | ReferenceSource::HolderToken(_))
    })
}

/// A count as the law compares it; more than it can count is as many as it can.
fn bounded(many: u64) -> u32 {
    u32::try_from(many).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_texts_forbid_and_are_named_where_they_fail() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("night.cedar");
        let own = |text: &str| {
            fs::write(&path, text).expect("written");
            law(&own_texts(std::slice::from_ref(&path))?)
        };
        let forbid = "@id(\"night\")\n@reason(\"CLOSED\")\n@sentence(\"The gate is closed.\")\n\
                      forbid (principal, action == Action::\"verify\", resource);";
        let lawful = own(forbid).expect("a forbid");
        let ruling = lawful.catalogue().ruling("CLOSED").expect("a sentence");
        assert_eq!(ruling.reason.text, "The gate is closed.");
        for (text, told) in [
            ("permit (principal, action, resource);", "may forbid, and nothing else"),
            ("forbid (principal, action, resource);", "needs a @reason"),
            ("@reason(\"ODD\") forbid (principal, action, resource);", "needs its @sentence"),
            ("forbid (principal, action", "night.cedar does not parse"),
            (
                "@reason(\"NO_LEGAL_BASIS\") forbid (principal, action, resource) \
                 when { context.site.colour == 3 };",
                "do not fit the schema",
            ),
        ] {
            let error = own(text).expect_err("no rule of a deployer").to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        fs::write(&path, "/".repeat(OWN_TEXT_BYTES_MAX + 1)).expect("written");
        let error = own_texts(&[path, folder.path().join("none")]).expect_err("too large");
        assert!(error.to_string().contains("split it"), "{error}");
    }
}
