//! What is asked and what was found: the whole input of the policy.

use super::{
    Authenticity, ClientId, GalleryId, LaneId, Obligations, Score, SubjectId, TransactionId,
};

/// What a caller is, as its credential says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sets thresholds, manages galleries, may embed where that is switched on.
    Administrator,
    /// Reads the audit; starts nothing.
    Auditor,
    /// Answers for data subjects' rights.
    DataProtectionOfficer,
    /// A gate controller: verifies and identifies, sees outcomes.
    Gate,
    /// A border guard: confirms, overrides, refuses.
    Officer,
    /// Runs the appliance: enrols, erases, watches.
    Operator,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its role.
    pub role: Role,
    /// Its name in the configuration; never a traveller.
    pub client: ClientId,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Action {
    /// Bring the site from assessed into use.
    Activate,
    /// Record that the site was assessed, or open the assessment anew.
    Assess,
    /// Present a credential; refused to whoever has none that counts, and asked by nobody else.
    Authenticate,
    /// Set the false match rate that thresholds follow.
    ChangeThreshold,
    /// Change anything else of a running site.
    Configure,
    /// Confirm or reject a watchlist hit, by one of two persons.
    Confirm,
    /// Make a gallery.
    CreateGallery,
    /// Erase a gallery and everybody in it.
    DeleteGallery,
    /// Read a gallery's size and generation.
    DescribeGallery,
    /// Return a template to the caller.
    Embed,
    /// Add a subject to a gallery.
    Enrol,
    /// Remove a subject from a gallery.
    Erase,
    /// Remove everybody whom a selection names, or whom somebody entered.
    EraseMany,
    /// Write a gallery out for another appliance; offline only.
    ExportGallery,
    /// Hand a person what is held about that person (GDPR Art. 15, 20).
    ExportSubject,
    /// Read, watch or end a transaction of a lane.
    FollowTransaction,
    /// Record a consent.
    GiveConsent,
    /// Search a gallery, 1:N.
    Identify,
    /// Hand the traveller's own template to the traveller, signed and sealed.
    IssueToken,
    /// List the subjects who must be notified, by reference (GDPR Art. 33, 34).
    ListAffected,
    /// Record an objection (GDPR Art. 21).
    Object,
    /// Let a guest in whom the machine referred; only ever in the guest's favour.
    Override,
    /// Hand a lane's frame over.
    PushFrame,
    /// Read or export the audit.
    ReadAudit,
    /// Read how a watchlist hit stands, and whom it found.
    ReadHit,
    /// Move a subject to another group.
    Regroup,
    /// Put new references in the place of a subject's old ones (GDPR Art. 16).
    Replace,
    /// Keep a subject without using it, or lift that again (GDPR Art. 18).
    Restrict,
    /// Begin a new epoch, or draw a new transform; offline only.
    RotateKeys,
    /// Compare with named references, 1:1.
    Verify,
    /// Withdraw a consent; the template goes with it.
    WithdrawConsent,
}

impl Action {
    /// Every action, in order.
    pub const ALL: &[Self] = &[
        Self::Activate,
        Self::Assess,
        Self::Authenticate,
        Self::ChangeThreshold,
        Self::Configure,
        Self::Confirm,
        Self::CreateGallery,
        Self::DeleteGallery,
        Self::DescribeGallery,
        Self::Embed,
        Self::Enrol,
        Self::Erase,
        Self::EraseMany,
        Self::ExportGallery,
        Self::ExportSubject,
        Self::FollowTransaction,
        Self::GiveConsent,
        Self::Identify,
        Self::IssueToken,
        Self::ListAffected,
        Self::Object,
        Self::Override,
        Self::PushFrame,
        Self::ReadAudit,
        Self::ReadHit,
        Self::Regroup,
        Self::Replace,
        Self::Restrict,
        Self::RotateKeys,
        Self::Verify,
        Self::WithdrawConsent,
    ];

    /// Its name in the policy's texts and in the audit.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Assess => "assess",
            Self::Authenticate => "authenticate",
            Self::ChangeThreshold => "change_threshold",
            Self::Configure => "configure",
            Self::Confirm => "confirm",
            Self::CreateGallery => "create_gallery",
            Self::DeleteGallery => "delete_gallery",
            Self::DescribeGallery => "describe_gallery",
            Self::Embed => "embed",
            Self::Enrol => "enrol",
            Self::Erase => "erase",
            Self::EraseMany => "erase_many",
            Self::ExportGallery => "export_gallery",
            Self::ExportSubject => "export_subject",
            Self::FollowTransaction => "follow_transaction",
            Self::GiveConsent => "give_consent",
            Self::Identify => "identify",
            Self::IssueToken => "issue_token",
            Self::ListAffected => "list_affected",
            Self::Object => "object",
            Self::Override => "override",
            Self::PushFrame => "push_frame",
            Self::ReadAudit => "read_audit",
            Self::ReadHit => "read_hit",
            Self::Regroup => "regroup",
            Self::Replace => "replace",
            Self::Restrict => "restrict",
            Self::RotateKeys => "rotate_keys",
            Self::Verify => "verify",
            Self::WithdrawConsent => "withdraw_consent",
        }
    }
}

/// Why it is done. A request without a purpose is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Entry to a site or a building.
    AccessControl,
    /// Passage to an aircraft.
    Boarding,
    /// Border checks on persons.
    BorderControl,
    /// Measuring the appliance itself, with people who agreed to that.
    Evaluation,
    /// A list of persons kept on a statutory basis.
    Watchlist,
}

impl Purpose {
    /// Every purpose, in order.
    pub const ALL: &[Self] = &[
        Self::AccessControl,
        Self::Boarding,
        Self::BorderControl,
        Self::Evaluation,
        Self::Watchlist,
    ];

    /// Its name in the policy's texts and in the audit.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccessControl => "access_control",
            Self::Boarding => "boarding",
            Self::BorderControl => "border_control",
            Self::Evaluation => "evaluation",
            Self::Watchlist => "watchlist",
        }
    }
}

/// Whom an erasure concerns where it names no subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Everybody in the gallery.
    Everybody,
    /// Every subject that is in one of these classes.
    Classes(u64),
    /// Every reference whose validity began before this second (civil, UTC).
    EnrolledBefore(i64),
    /// Every reference whose validity has ended.
    Expired,
    /// Every subject of this group, such as a flight.
    Group(u32),
}

/// A transaction of a lane, where something is asked for the sake of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtLane {
    /// The lane.
    pub lane: LaneId,
    /// The transaction, by the name that the gate gave it.
    pub transaction: TransactionId,
}

/// A request before anything is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who.
    pub caller: Caller,
    /// What.
    pub action: Action,
    /// Why.
    pub purpose: Purpose,
    /// In which gallery, where there is one.
    pub gallery: Option<GalleryId>,
    /// At which lane, where there is one.
    pub at_lane: Option<AtLane>,
    /// The enrolled person whom it is about, where it is about one alone.
    pub subject: Option<SubjectId>,
}

/// The policy's answer to [`Asked`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// It may be done, and this is owed with it.
    Granted(Obligations),
    /// It may not.
    Refused {
        /// Why, as stable codes; never empty.
        reasons: Vec<super::Reason>,
        /// What is owed because it was asked, such as an alert.
        owed: Obligations,
    },
}

/// Result of presentation attack detection on the frame that was compared.
///
/// Scores lie in [0, 1]: 0 bona fide, 1 attack (BSI TR-03121, PAD-3). Never binary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Attack {
    /// No detector ran.
    NotPerformed,
    /// A detector ran.
    Score(f32),
}

/// What the capture of one face gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureFact {
    /// One face, usable.
    Usable,
    /// No face found.
    NoFace,
    /// Several faces of comparable size: it is not certain who stands there.
    SeveralFaces,
    /// The eyes are closer together than the limit.
    FaceTooSmall,
    /// The face leaves the frame or stands too far from its middle.
    OffCentre,
    /// Sharpness, exposure or pose is outside its limits.
    PoorQuality,
}

/// One comparison of the probe with one reference.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonFact {
    /// What the reference's own capture gave; a template counts as usable.
    pub reference: CaptureFact,
    /// What passive authentication said of the document that the reference comes from; `None` for a
    /// reference that is no document's.
    pub document: Option<Authenticity>,
    /// The comparison score; `None` when there was nothing to compare.
    pub score: Option<Score>,
    /// The threshold it was held against.
    pub threshold: Score,
}

/// What a 1:N search gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentificationFact {
    /// Subjects at or above the threshold in the candidate list.
    pub candidates: u32,
    /// Subjects below the threshold and within the band of doubt, where the site has one.
    pub doubtful: u32,
    /// Whether the generation searched was the newest when the answer was formed.
    pub current: bool,
}

/// Whether the machine did its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineFact {
    /// Every stage answered in time.
    Sound,
    /// The deadline passed first.
    Late,
    /// An engine was lost and none took over.
    Lost,
}

/// Everything the decision may depend on. No image, no template, no name.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// What was asked.
    pub asked: Asked,
    /// What the permission was granted with.
    pub owed: Obligations,
    /// The live capture.
    pub probe: CaptureFact,
    /// Its presentation-attack result.
    pub attack: Attack,
    /// 1:1 comparisons, one per reference; empty for a search.
    pub comparisons: Vec<ComparisonFact>,
    /// The 1:N answer; `None` for a verification.
    pub identification: Option<IdentificationFact>,
    /// Whether the machine did its part.
    pub engine: EngineFact,
}
