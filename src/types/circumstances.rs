//! What the law asks about before anything is computed: the site, the caller, the gallery, the
//! person.
//!
//! The appliance gathers these from profile, consent register and galleries; the policy's texts
//! read them by the names that `policies/schema.cedarschema` gives them. Nothing here names a
//! person: who consented to what lies in the register, and only its answers come here.

/// Where the site stands. Skipping a step is refused by the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Being described.
    Draft,
    /// Its assessment is recorded and approved.
    Assessed,
    /// In use.
    Active,
}

/// Which family of law applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// GDPR, AI Act, EDPB.
    EuropeanUnion,
    /// PIPL, the provisions of the Supreme People's Court, the measures of CAC and MPS.
    China,
    /// Neither; the site's own forbids say what else holds.
    Elsewhere,
}

/// What kind of place it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A border crossing point.
    Border,
    /// Security, bag drop, boarding, lounge: the flow of passengers.
    AirportFlow,
    /// A park, a restaurant, an event: guests go out and come back.
    Leisure,
    /// Homes behind one door.
    Residence,
    /// A stadium or another place that a list keeps certain people from.
    Venue,
    /// One person's own device.
    Household,
}

/// Legal basis of the processing (GDPR Art. 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// None was stated.
    None,
    /// The person's consent.
    Consent,
    /// A task laid down by law.
    Law,
    /// A balance of interests.
    LegitimateInterests,
}

/// What lifts the ban on biometric data (GDPR Art. 9(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    None,
    /// Explicit consent, (a).
    ExplicitConsent,
    /// Substantial public interest laid down by law, (g); also a national rule on security or
    /// identity for which the processing is necessary.
    PublicInterest,
    /// A permission of the supervisory authority with its reference.
    Permission,
}

/// Everything the law asks about the site; from its profile and its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteFacts {
    /// Name of the profile.
    pub profile: String,
    /// Where it stands.
    pub stage: Stage,
    /// Which law.
    pub region: Region,
    /// What kind of place.
    pub place: Place,
    /// Art. 6.
    pub basis: Basis,
    /// Art. 9(2).
    pub condition: Condition,
    /// Camera surveillance is all that the basis covers.
    pub basis_is_surveillance: bool,
    /// Controller with its contact, and the supervisory authority for complaints.
    pub controller_named: bool,
    /// A document must be shown here anyway.
    pub identity_check_required: bool,
    /// Staff stand by each traveller: a desk, an evaluation.
    pub attended: bool,
    /// People who did not enrol pass the same cameras and are scanned.
    pub mixed_lanes: bool,
    /// The necessity assessment.
    pub necessity: Necessity,
    /// The assessment before use.
    pub assessment: Assessment,
    /// Notices and signs.
    pub notices: Notices,
    /// The operating window is open, and this profile seals it.
    pub sealed: bool,
    /// An audible or visible alarm is wired.
    pub alarms: bool,
    /// A configured model estimates race, sex, age, feelings or the like.
    pub estimates_attributes: bool,
    /// An endpoint outside the region is configured.
    pub third_country_endpoint: bool,
    /// Statute or decision that orders the list, and the authority that answers for it.
    pub statute_cited: bool,
    /// Law that finds confirmation by two persons disproportionate, with its reference.
    pub two_person_exemption: bool,
    /// Owners and residents.
    pub residents: Residents,
    /// Ways in without a face.
    pub alternatives: u32,
    /// How long the audit is kept.
    pub audit_kept_days: u32,
    /// Measured FNIR at the gallery's size, and the most that the profile allows, per million.
    pub fnir_ppm: (u32, u32),
    /// Longest that anybody is kept, and what the profile's law allows at most.
    pub kept_hours: (u32, u32),
    /// Images go with entry events, and a basis for that is stated.
    pub event_images: EventImages,
    /// A gallery may be searched together with another by name.
    pub cross_gallery_named: bool,
}

/// GDPR Art. 5(1)(c), 35(7)(b): is it needed, and what else would do?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Necessity {
    /// The assessment is recorded.
    pub recorded: bool,
    /// How many alternatives it weighs and rejects with a reason each.
    pub alternatives_weighed: u32,
    /// It finds that a less intrusive means would do.
    pub less_intrusive_exists: bool,
}

/// The assessment that precedes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assessment {
    /// Storage time, transfer and how matching works are written down, with approver and date.
    pub complete: bool,
    /// Its date lies before the first use.
    pub before_use: bool,
    /// Reference, date and version of the impact assessment.
    pub dpia: bool,
    /// Purpose, model and class of threshold are the ones that were assessed.
    pub current: bool,
}

/// What people are told before they meet a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notices {
    /// Languages the notice is there in, and how many the profile demands.
    pub languages: (u32, u32),
    /// Signs bear a pictogram.
    pub pictogram: bool,
    /// Somebody attested, with a date, that nobody reaches a camera without passing the signs.
    pub signage_attested: bool,
    /// There is a text to hand out or read aloud.
    pub handout: bool,
}

/// A residence: who decided, and on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Residents {
    /// Owners in all.
    pub owners: u32,
    /// Owners who approved.
    pub approving: u32,
    /// Clause of the property contract, or the consultation of the owners.
    pub agreed: bool,
    /// The expenses were published.
    pub expenses_published: bool,
}

/// Whether entry events carry an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventImages {
    /// They do not; the default.
    Off,
    /// They do, without a stated basis.
    WithoutBasis,
    /// They do, on a stated basis.
    WithBasis,
}

/// What the law asks about one request; `None` where it does not concern such a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Circumstances {
    /// The caller, beyond its role.
    pub caller: CallerFact,
    /// The gallery.
    pub gallery: Option<GalleryFact>,
    /// The person enrolled, or whose data are concerned.
    pub person: Option<PersonFact>,
    /// That person's consent, as the register knows it.
    pub consent: Option<ConsentFact>,
    /// An exemption that is invoked instead of a consent.
    pub exemption: Option<ExemptionFact>,
    /// The sensitive use that a purpose amounts to, if any.
    pub use_of: UseOf,
}

/// What is known of a caller beyond its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerFact {
    /// It presented a registered certificate or token.
    pub registered: bool,
    /// It is a machine, or a person whose training has not expired.
    pub trained: bool,
    /// It has already confirmed this very hit, or another caller who acts for the same person has.
    pub confirmed_before: bool,
}

impl Default for CallerFact {
    fn default() -> Self {
        Self { registered: true, trained: true, confirmed_before: false }
    }
}

/// How templates of a gallery are kept (EDPB Opinion 11/2024).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// The holder keeps the template; scenario 1.
    HolderTemplate,
    /// The holder keeps the key; scenario 2.
    HolderKey,
    /// The operator keeps the key; scenario 3.1.
    OperatorKey,
    /// A cloud keeps the key; scenario 3.2.
    CloudKey,
    /// The key is in memory and gone at closing.
    MemoryKeyDaily,
}

/// Where a gallery's faces come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// Enrolled here.
    EnrolledHere,
    /// Handed over by the authority that keeps the list.
    Authority,
    /// Taken from the internet.
    Scraped,
    /// Not known.
    Unknown,
}

/// A gallery, as the law sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GalleryFact {
    /// What it was made for; `None` where that is not recorded.
    pub purpose: Option<super::Purpose>,
    /// Who can open it.
    pub storage: Storage,
    /// Where its faces come from.
    pub provenance: Provenance,
    /// Subjects in it, and the most that its purpose allows.
    pub subjects: (u32, u32),
    /// The entry being written has a reason, an authority and an expiry.
    pub entry_grounded: bool,
}

/// How old a person is, as far as the law asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Nobody asked.
    Unknown,
    /// At or above the national limit.
    Adult,
    /// Below it: a guardian decides.
    Minor,
}

/// A dependence in which consent is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// None.
    Independent,
    /// Employee of the controller.
    Employee,
    /// Citizen before an authority.
    Authority,
}

/// The person, as far as the law asks. No name, no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PersonFact {
    /// Age class.
    pub age: Age,
    /// Dependence on the controller.
    pub relation: Relation,
    /// Met the notice before the camera, and was not taken from a passing stream.
    pub informed: bool,
    /// A way in without a face is live for this person, with the same rights.
    pub alternative_live: bool,
    /// Named whoever is enrolled here to be compared with, as a card does.
    pub card: bool,
    /// Brought what is in the holder's own hands: a token, or the secret of a record.
    pub carried: bool,
    /// All frames of the series show one person.
    pub one_person: bool,
    /// A third-country national at a border: a second reference is to be compared.
    pub third_country: bool,
    /// A second reference came with the request; the photographs of one chip are one.
    pub second_reference: bool,
    /// Of those who are enrolled the references name one at most.
    pub one_claim: bool,
}

/// A consent as the register knows it. A consent that the law counts as absent is still described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsentFact {
    /// Who, when, text version and hash, language and channel are all recorded.
    pub recorded: bool,
    /// An affirmative act: nothing was ticked beforehand.
    pub affirmative: bool,
    /// An alternative was offered.
    pub alternative_offered: bool,
    /// The purposes are exactly: face.
    pub face_alone: bool,
    /// It came bundled with other consents.
    pub bundled: bool,
    /// Service depended on it.
    pub conditional: bool,
    /// It was a general authorisation once and for all.
    pub blanket: bool,
    /// A guardian gave it.
    pub guardian: bool,
    /// It was withdrawn.
    pub withdrawn: bool,
}

/// Grounds on which a law lifts the need for consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExemptionFact {
    /// A ground that the law knows, and the authority that invokes it.
    pub grounded: bool,
    /// Now is between its start and its end.
    pub current: bool,
}

/// What a purpose amounts to beyond recognising a person. All but the first are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UseOf {
    /// Recognising a person.
    #[default]
    Recognition,
    /// Sorting people by what they are, or reading their feelings.
    Analysis,
}
