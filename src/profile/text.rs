//! A profile as its text has it. Every table and every key of `profiles/*.toml` stands here, with
//! what it means; an unknown one is refused.

use serde::Deserialize;

use crate::types::{self, Hash256};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident => $into:path { $($variant:ident => $held:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[expect(missing_docs, reason = "each is documented where it is translated to")]
        pub enum $name { $($variant,)+ }

        impl From<$name> for $into {
            fn from(word: $name) -> Self {
                match word { $($name::$variant => Self::$held,)+ }
            }
        }
    };
}

words! {
    /// [`types::Purpose`].
    PurposeWord => types::Purpose {
        AccessControl => AccessControl,
        Boarding => Boarding,
        BorderControl => BorderControl,
        Evaluation => Evaluation,
        Watchlist => Watchlist,
    }
}
words! {
    /// [`types::Region`].
    RegionWord => types::Region {
        EuropeanUnion => EuropeanUnion,
        China => China,
        Elsewhere => Elsewhere,
    }
}
words! {
    /// [`types::Place`].
    PlaceWord => types::Place {
        Border => Border,
        AirportFlow => AirportFlow,
        Leisure => Leisure,
        Residence => Residence,
        Venue => Venue,
        Household => Household,
    }
}
words! {
    /// [`types::Basis`].
    BasisWord => types::Basis {
        None => None,
        Consent => Consent,
        Law => Law,
        LegitimateInterests => LegitimateInterests,
    }
}
words! {
    /// [`types::Condition`].
    ConditionWord => types::Condition {
        None => None,
        ExplicitConsent => ExplicitConsent,
        PublicInterest => PublicInterest,
        Permission => Permission,
    }
}
words! {
    /// [`types::Storage`]. Left out where nothing is stored.
    StorageWord => types::Storage {
        HolderTemplate => HolderTemplate,
        HolderKey => HolderKey,
        OperatorKey => OperatorKey,
        CloudKey => CloudKey,
        MemoryKeyDaily => MemoryKeyDaily,
    }
}
words! {
    /// [`types::Provenance`].
    ProvenanceWord => types::Provenance {
        EnrolledHere => EnrolledHere,
        Authority => Authority,
        Scraped => Scraped,
        Unknown => Unknown,
    }
}

impl BasisWord {
    /// Its name in the profile and in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Consent => "consent",
            Self::Law => "law",
            Self::LegitimateInterests => "legitimate-interests",
        }
    }
}

/// A step of the processing, each with its own purpose in the record of processing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Taking pictures.
    Capture,
    /// Making a template of them.
    Template,
    /// Comparing templates.
    Match,
}

/// A whole profile.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// One sentence.
    pub title: String,
    /// Historical: kept to show how a system worked, and no basis under the GDPR.
    #[serde(default)]
    pub historical: bool,
    /// Which law.
    pub region: RegionWord,
    /// What kind of place.
    pub place: PlaceWord,
    /// Who answers for it.
    pub controller: Controller,
    /// Why it may be.
    pub legal: Legal,
    /// Whether it is needed.
    pub necessity: Necessity,
    /// The impact assessment.
    pub dpia: Dpia,
    /// The assessment before use.
    pub assessment: Assessment,
    /// What people are told.
    pub notices: Notices,
    /// How long.
    pub retention: Retention,
    /// Ways in without a face.
    pub alternatives: Alternatives,
    /// Cameras.
    #[serde(default)]
    pub capture: Capture,
    /// Persons who search and confirm.
    #[serde(default)]
    pub officers: Officers,
    /// Opening hours, where there are some.
    pub window: Option<Window>,
    /// Events to a management system, where there are some.
    pub events: Option<Events>,
    /// A list of persons, where it is one.
    pub watchlist: Option<Watchlist>,
    /// Homes behind one door, where it is that.
    pub residence: Option<Residence>,
    /// An exemption from consent, where one is invoked.
    pub exemption: Option<Exemption>,
    /// SHA-256 of the text.
    #[serde(skip, default = "no_hash")]
    pub text_hash: Hash256,
}

fn no_hash() -> Hash256 {
    Hash256::from_bytes([0; 32])
}

/// Who answers for the site, and who answers for them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// Name.
    pub name: String,
    /// Where questions go first.
    pub contact: String,
    /// Where complaints go.
    pub authority: String,
}

/// Purpose and basis.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Legal {
    /// What requests must name.
    pub purpose: PurposeWord,
    /// GDPR Art. 6.
    pub basis: BasisWord,
    /// GDPR Art. 9(2).
    pub condition: ConditionWord,
    /// Statute, permission or consent text that they rest on.
    pub reference: String,
    /// SHA-256 of each text that a consent is given under, one for each language and version; a
    /// consent under another text counts as none.
    #[serde(default)]
    pub consent_texts: Vec<String>,
    /// The basis covers camera surveillance alone.
    #[serde(default)]
    pub surveillance_only: bool,
    /// Where the filing with the authority is recorded, once it is made; empty before.
    #[serde(default)]
    pub filing: String,
    /// Each step with a purpose of its own.
    pub steps: Vec<Step>,
    /// A document must be shown here anyway.
    #[serde(default)]
    pub identity_check_required: bool,
    /// Law that finds confirmation by two persons disproportionate; empty for none.
    #[serde(default)]
    pub two_person_exemption: String,
}

/// GDPR Art. 35(7)(b).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Necessity {
    /// It finds that a less intrusive means would do.
    pub less_intrusive_exists: bool,
    /// What was weighed instead.
    #[serde(default)]
    pub weighed: Vec<Weighed>,
}

/// An alternative, and why it does not do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weighed {
    /// What.
    pub means: String,
    /// Why it fails.
    pub fails_because: String,
}

/// The impact assessment (GDPR Art. 35).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dpia {
    /// Where it is filed.
    pub reference: String,
    /// Which version.
    pub version: String,
    /// Of which day, `2026-01-31`.
    pub date: String,
}

/// What must be written down before use (IMY DI-2020-2719).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assessment {
    /// How long data are kept.
    pub retention: String,
    /// Whether any leave for a third country.
    pub transfer: String,
    /// How matching works.
    pub matching: String,
    /// Who approved it.
    pub approver: String,
    /// On which day.
    pub date: String,
}

/// What people are told before they meet a camera.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notices {
    /// Languages (ISO 639) of the signs.
    pub languages: Vec<String>,
    /// How many there must be.
    pub languages_min: u32,
    /// The signs' pictogram; empty for none.
    pub pictogram: String,
    /// Who attested that nobody reaches a camera without having met the signs.
    pub signage_attested_by: String,
    /// On which day.
    pub signage_attested_on: String,
    /// The text to hand out or read aloud: a file or a reference.
    pub handout: String,
}

/// How long things are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Who can open what is stored; left out where nothing is.
    pub storage: Option<StorageWord>,
    /// Galleries of a site whose day ends everything: made, empty, at each start.
    #[serde(default)]
    pub galleries: Vec<String>,
    /// Longest that a token counts which a traveller carries, in hours; left out for `kept_hours`.
    pub token_hours: Option<u32>,
    /// Where faces come from; left out where none are stored.
    pub provenance: Option<ProvenanceWord>,
    /// Longest that anybody is kept, in hours; 0 where nobody is.
    pub kept_hours: u32,
    /// Longest that a minor is kept, in hours; left out for `kept_hours`.
    pub minor_kept_hours: Option<u32>,
    /// What the profile's law allows at most, in hours.
    pub kept_hours_max: u32,
    /// How long the audit is kept, in days.
    pub audit_days: u32,
    /// How long the proof of a consent is kept that is over, in days; left out for as long as the
    /// audit (GDPR Art. 7(1) and 17(3)(e)).
    pub consent_days: Option<u32>,
    /// Most persons at once, those included who carry a token; 0 where nobody is stored.
    pub subjects_max: u32,
    /// Most that FNIR may be at that size, per million; 0 where nobody is searched for.
    #[serde(default)]
    pub fnir_ppm_max: u32,
    /// FNIR measured at that size (`portcullis eval`), per million.
    pub fnir_ppm_measured: Option<u32>,
}

impl Retention {
    /// How long the proof of a consent is kept that is over, in days.
    #[must_use]
    pub fn proof_days(&self) -> u32 {
        self.consent_days.unwrap_or(self.audit_days)
    }
}

/// Ways in without a face.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alternatives {
    /// Each in words.
    pub routes: Vec<String>,
    /// They open the same doors at the same hours.
    pub same_rights: bool,
}

/// Cameras.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capture {
    /// Zones (lanes) that enrol; none of them matches.
    pub enrol_zones: Vec<String>,
    /// Zones (lanes) that match, and no other does; empty for every lane.
    pub match_zones: Vec<String>,
    /// Pictures of one person that an enrolment may bring, each a reference; 0 for as many as fit.
    pub series_frames_max: u32,
    /// False match rate from which on a search leaves a doubt, which is in the guest's favour; left
    /// out for none.
    pub doubt_fmr: Option<f64>,
    /// Staff stand by each traveller, as at a desk.
    pub attended: bool,
    /// Nobody stands there: consent cannot be had.
    pub unattended: bool,
    /// People who did not enrol pass the same cameras and are scanned.
    pub mixed_lanes: bool,
    /// Audible or visible alarms.
    pub alarms: bool,
}

/// Persons who search and confirm.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Officers {
    /// Search, enrolment and confirmation need training that has not expired; they do unless a
    /// profile says otherwise.
    pub training_required: bool,
    /// Persons who confirm a hit separately.
    pub confirmations: u32,
}

impl Default for Officers {
    fn default() -> Self {
        Self { training_required: true, confirmations: 0 }
    }
}

/// Opening hours.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Time zone, such as `Europe/Copenhagen`.
    pub zone: String,
    /// `10:00`.
    pub opens: String,
    /// `23:00`; not after `opens` for the next day.
    pub closes: String,
    /// While it is open nobody looks at or changes what is stored.
    pub seals: bool,
}

/// Events to a management system.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Where they are sent; a name or address on the site's own network. Empty: nowhere.
    pub webhook: String,
    /// Whether an image goes along.
    #[serde(default)]
    pub image: bool,
    /// On which basis; empty for none.
    #[serde(default)]
    pub image_basis: String,
}

/// A list of persons.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watchlist {
    /// What orders it.
    pub statute: String,
    /// Who answers for it.
    pub authority: String,
    /// Where and when it may be used, such as home matches.
    pub scope: String,
}

/// Homes behind one door.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residence {
    /// Owners in all.
    pub owners: u32,
    /// Owners who approved.
    pub approving: u32,
    /// Clause of the property contract, or record of the consultation.
    pub agreement: String,
    /// Where the expenses were published.
    pub expenses_notice: String,
    /// A card selects the reference, and the face is compared with it alone.
    pub card_and_face: bool,
}

/// An exemption from consent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exemption {
    /// `emergency`, `public-security` or `news`.
    pub ground: String,
    /// Who invokes it.
    pub authority: String,
    /// First day.
    pub starts: String,
    /// First day after it.
    pub ends: String,
}
