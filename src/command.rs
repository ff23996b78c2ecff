//! The appliance's public interface, as values: a [`Request`] in, an [`Answer`] or a [`Refusal`]
//! out.
//!
//! The HTTP edge and the command line both make requests; [`Service`] carries them out. A decision
//! is an [`Answer`], whatever its outcome; a [`Refusal`] means that nothing was decided.
//!
//! Invariant: a request carries no threshold. It may name a false match rate, and only an
//! administrator's is heard.

mod encoded;
mod keeping;
mod service;
mod transact;

use std::fmt;

pub use encoded::{EncodedFile, EncodedImage};
pub use keeping::{
    Erased, GalleryDescription, HOLDER_SECRET_BYTES, HolderSecret, KeptBy, PresentedToken,
};
pub use service::{Readiness, Service, Version};
pub use transact::{
    Against, AtLane, Display, DisplayText, Ended, LaneCommand, Listener, RegisterError, Standing,
    display_texts,
};

pub use crate::{
    capture::{lane::Taken, push::PushRefused},
    face::{Face, FaceReport, Quality},
    gallery::Enrolment,
    pipeline::Spent,
};
use crate::{
    document::{error::DocumentError, image::ImageError},
    gallery::GalleryError,
    keys::holder::{
        TokenError,
        record::{RecordRefused, RecordsError},
    },
    types::{
        Action, Asked, Attack, Authenticity, Caller, Candidate, CaptureFact, Certificate,
        GalleryId, LaneId, Purpose, Reason, Score, Selection, SubjectId, Template, TemplateError,
        Threshold, TransactionId, Verdict,
    },
};

/// What a probe is held against, as the caller names it.
#[derive(Debug)]
pub enum ReferenceSource {
    /// A picture.
    Image(EncodedImage),
    /// Data group 2 of a passport chip. Each of its photographs is a reference: the issuing state
    /// signed all of them as the holder's, and Doc 9303 prefers none.
    Dg2 {
        /// EF.DG2, or a bare record of ISO/IEC 19794-5 or 39794-5.
        file: EncodedFile,
        /// EF.SOD, the issuing state's signature; without it the document is not checked.
        sod: Option<EncodedFile>,
        /// EF.DG1, whose issuing state must be the one that signed. Nothing else of it is read.
        dg1: Option<EncodedFile>,
    },
    /// Every reference of an enrolled subject.
    Subject {
        /// Where it is enrolled.
        gallery: GalleryId,
        /// Who.
        subject: SubjectId,
    },
    /// A template that the caller kept.
    Template(Template),
    /// A holder's record: the traveller presents its name and the secret that opens it.
    Holder {
        /// Where it is kept.
        gallery: GalleryId,
        /// Its name.
        subject: SubjectId,
        /// What opens it.
        secret: HolderSecret,
    },
    /// A template that the traveller carries.
    HolderToken(PresentedToken),
}

/// What a search is limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Only rows that share a class bit.
    pub class_bits: u64,
    /// Only rows of this group.
    pub group: Option<u32>,
    /// Candidates returned at most.
    pub best: usize,
}

/// What is to be done.
#[derive(Debug)]
pub enum Command {
    /// Make an empty gallery.
    CreateGallery {
        /// Its name.
        gallery: GalleryId,
        /// Who keeps the keys of its records.
        kept_by: KeptBy,
    },
    /// Erase a gallery and everybody in it.
    DeleteGallery {
        /// Its name.
        gallery: GalleryId,
    },
    /// Its size and generation.
    DescribeGallery {
        /// Its name.
        gallery: GalleryId,
    },
    /// Hand out the template of a picture.
    Embed {
        /// The picture.
        image: EncodedImage,
    },
    /// Add a subject.
    Enrol {
        /// Where.
        gallery: GalleryId,
        /// Who; a new random id where absent.
        subject: Option<SubjectId>,
        /// 1 to [`crate::limits::REFERENCES_PER_SUBJECT_MAX`] pictures.
        images: Vec<EncodedImage>,
        /// Classes, group, validity.
        terms: Enrolment,
    },
    /// Add a record that only its holder's secret opens, and that no search finds.
    EnrolHolder {
        /// Where.
        gallery: GalleryId,
        /// One picture.
        image: EncodedImage,
        /// When it may be used. Classes and groups are for searches, and none finds it.
        terms: Enrolment,
    },
    /// Remove a subject, or a holder's record.
    Erase {
        /// Where.
        gallery: GalleryId,
        /// Who.
        subject: SubjectId,
    },
    /// Remove everybody who is meant.
    EraseSelected {
        /// Where.
        gallery: GalleryId,
        /// Who.
        selection: Selection,
    },
    /// Search, 1:N.
    Identify {
        /// Where.
        gallery: GalleryId,
        /// The live capture.
        probe: EncodedImage,
        /// Among whom.
        scope: Scope,
        /// An administrator's own false match rate.
        fmr: Option<f64>,
    },
    /// Make a token of a picture, for the traveller in it.
    IssueToken {
        /// The picture.
        image: EncodedImage,
        /// First second (civil, UTC) at which it is accepted; `None` for now.
        not_before_s: Option<i64>,
        /// First second at which it is not accepted any more.
        expiry_s: i64,
    },
    /// Do something with a transaction of a lane.
    Lane {
        /// Which lane, and which transaction, as the gate names it.
        at: AtLane,
        /// What.
        command: LaneCommand,
    },
    /// Hand a frame of a lane over.
    PushFrame {
        /// The lane.
        lane: LaneId,
        /// The frame.
        frame: EncodedImage,
        /// What the detector named in the lane's configuration said of it.
        external_attack: Option<f32>,
    },
    /// Move a subject to another group.
    Regroup {
        /// Where.
        gallery: GalleryId,
        /// Who.
        subject: SubjectId,
        /// The group; zero is none.
        group: u32,
    },
    /// Put new references in the place of a subject's old ones, which are erased.
    Replace {
        /// Where.
        gallery: GalleryId,
        /// Who.
        subject: SubjectId,
        /// 1 to [`crate::limits::REFERENCES_PER_SUBJECT_MAX`] pictures.
        images: Vec<EncodedImage>,
        /// Classes, group, validity.
        terms: Enrolment,
    },
    /// Keep a subject out of every search and comparison, or lift that again.
    Restrict {
        /// Where.
        gallery: GalleryId,
        /// Who.
        subject: SubjectId,
        /// Whether it is kept out.
        restricted: bool,
    },
    /// Compare, 1:1 with each reference.
    Verify {
        /// The live capture.
        probe: EncodedImage,
        /// 1 to [`crate::limits::REFERENCES_MAX`] references.
        references: Vec<ReferenceSource>,
        /// An administrator's own false match rate.
        fmr: Option<f64>,
    },
}

impl Command {
    /// What the policy is asked about.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::CreateGallery { .. } => Action::CreateGallery,
            Self::DeleteGallery { .. } => Action::DeleteGallery,
            Self::DescribeGallery { .. } => Action::DescribeGallery,
            Self::Embed { .. } => Action::Embed,
            Self::Enrol { .. } | Self::EnrolHolder { .. } => Action::Enrol,
            Self::Erase { .. } | Self::EraseSelected { .. } => Action::Erase,
            Self::Identify { .. } => Action::Identify,
            Self::IssueToken { .. } => Action::IssueToken,
            Self::Lane { command, .. } => match command {
                LaneCommand::Open { against: Against::References(_), .. } => Action::Verify,
                LaneCommand::Open { against: Against::Gallery { .. }, .. } => Action::Identify,
                LaneCommand::Read
                | LaneCommand::Watch(_)
                | LaneCommand::Cancel
                | LaneCommand::Left => Action::FollowTransaction,
            },
            Self::PushFrame { .. } => Action::PushFrame,
            Self::Regroup { .. } => Action::Regroup,
            Self::Replace { .. } => Action::Replace,
            Self::Restrict { .. } => Action::Restrict,
            Self::Verify { .. } => Action::Verify,
        }
    }

    /// In which gallery, where there is one.
    #[must_use]
    pub fn gallery(&self) -> Option<&GalleryId> {
        match self {
            Self::CreateGallery { gallery, .. }
            | Self::DeleteGallery { gallery }
            | Self::DescribeGallery { gallery }
            | Self::Enrol { gallery, .. }
            | Self::EnrolHolder { gallery, .. }
            | Self::Erase { gallery, .. }
            | Self::EraseSelected { gallery, .. }
            | Self::Identify { gallery, .. }
            | Self::Regroup { gallery, .. }
            | Self::Replace { gallery, .. }
            | Self::Restrict { gallery, .. } => Some(gallery),
            Self::Verify { references, .. } => gallery_of(references),
            Self::Lane { command: LaneCommand::Open { against, .. }, .. } => match against {
                Against::References(references) => gallery_of(references),
                Against::Gallery { gallery, .. } => Some(gallery),
            },
            Self::Embed { .. }
            | Self::IssueToken { .. }
            | Self::Lane { .. }
            | Self::PushFrame { .. } => None,
        }
    }

    /// At which lane, where there is one.
    #[must_use]
    pub fn at_lane(&self) -> Option<&AtLane> {
        match self {
            Self::Lane { at, .. } => Some(at),
            _ => None,
        }
    }
}

/// The gallery that references are taken from, where there is one.
fn gallery_of(references: &[ReferenceSource]) -> Option<&GalleryId> {
    references.iter().find_map(|held| match held {
        ReferenceSource::Subject { gallery, .. } | ReferenceSource::Holder { gallery, .. } => {
            Some(gallery)
        }
        ReferenceSource::Image(_)
        | ReferenceSource::Dg2 { .. }
        | ReferenceSource::Template(_)
        | ReferenceSource::HolderToken(_) => None,
    })
}

/// A command with who asks, why, and until when.
#[derive(Debug)]
pub struct Request {
    /// Who, in each of the roles it holds; the first that the policy permits is the one that acts
    /// and that the audit names.
    pub callers: Vec<Caller>,
    /// Why.
    pub purpose: Purpose,
    /// Time it may take, in milliseconds; `None` for the configured one.
    pub deadline_ms: Option<u64>,
    /// What.
    pub command: Command,
}

impl Request {
    /// What the policy is asked about `caller`.
    #[must_use]
    pub fn asked(&self, caller: &Caller) -> Asked {
        Asked {
            caller: caller.clone(),
            action: self.command.action(),
            purpose: self.purpose,
            gallery: self.command.gallery().cloned(),
            at_lane: self.command.at_lane().cloned(),
        }
    }
}

/// One comparison, with the reference it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Number of the reference in the request, from 0; a subject's references share one, and so do
    /// the photographs of a data group 2.
    pub reference: usize,
    /// What the reference's capture gave; a template counts as usable.
    pub capture: CaptureFact,
    /// What passive authentication said, where the reference is a document's.
    pub document: Option<Authenticity>,
    /// The face in it, where it is a picture and one was found.
    pub face: Option<FaceReport>,
    /// The score, where there was something to compare.
    pub score: Option<Score>,
    /// Whether it reached the threshold.
    pub matched: bool,
}

/// A verification or a search, decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Its name in the audit.
    pub transaction: TransactionId,
    /// What the gate does, and why.
    pub verdict: Verdict,
    /// What the live capture gave.
    pub probe: CaptureFact,
    /// The face in it, where one was found.
    pub face: Option<FaceReport>,
    /// The presentation-attack result.
    pub attack: Attack,
    /// What scores were held against.
    pub threshold: Threshold,
    /// Published similarity is `score / scale²`.
    pub scale: f32,
    /// 1:1.
    pub comparisons: Vec<Compared>,
    /// 1:N, best first.
    pub candidates: Vec<Candidate>,
    /// 1:N: what was done to reach the candidates.
    pub certificate: Option<Certificate>,
    /// Where the time went.
    pub spent: Spent,
}

/// What was done.
#[derive(Debug)]
pub enum Answer {
    /// A verification or a search.
    Decision(Box<Decision>),
    /// A template, for an administrator.
    Embedded {
        /// Its name in the audit.
        transaction: TransactionId,
        /// The template.
        template: Template,
        /// The face it was made of.
        face: Option<FaceReport>,
    },
    /// A subject was added.
    Enrolled {
        /// Its name in the audit.
        transaction: TransactionId,
        /// Who.
        subject: SubjectId,
        /// The face of each reference.
        faces: Vec<FaceReport>,
        /// The gallery's generation that holds it.
        generation: u64,
    },
    /// A record was added; its secret is told this once.
    HolderEnrolled {
        /// Its name in the audit.
        transaction: TransactionId,
        /// The record's name.
        subject: SubjectId,
        /// What opens it; nobody but the traveller keeps it.
        secret: HolderSecret,
        /// The face it was made of.
        face: Option<FaceReport>,
    },
    /// A subject, a selection or a gallery is gone.
    Erased(Erased),
    /// A subject is kept in another way than before.
    Changed {
        /// Its name in the audit.
        transaction: TransactionId,
        /// Who.
        subject: SubjectId,
        /// The gallery's generation in which it holds.
        generation: u64,
    },
    /// A subject has new references, and its old ones are gone.
    Replaced {
        /// The face of each reference.
        faces: Vec<FaceReport>,
        /// What became of the old ones.
        erased: Erased,
    },
    /// A token, for the traveller to carry.
    TokenIssued {
        /// Its name in the audit.
        transaction: TransactionId,
        /// The token; it fits one QR code where templates have 128 dimensions.
        token: Vec<u8>,
        /// The face it was made of.
        face: Option<FaceReport>,
    },
    /// A gallery.
    Gallery(GalleryDescription),
    /// How a transaction of a lane stands.
    Transaction(Standing),
    /// A lane has the frame.
    FrameTaken {
        /// The lane.
        lane: LaneId,
        /// What became of it.
        taken: Taken,
    },
}

/// Which picture of a request is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The live capture.
    Probe,
    /// Reference number n, from 0.
    Reference(usize),
    /// Picture number n of an enrolment, from 0.
    Image(usize),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probe => f.write_str("the probe"),
            Self::Reference(at) => write!(f, "references[{at}]"),
            Self::Image(at) => write!(f, "images[{at}]"),
        }
    }
}

/// Why nothing was decided. Each has one stable code ([`Refusal::code`]).
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    // The caller must change the request.
    /// The picture cannot be read.
    #[error("{part}: {error}")]
    Image {
        /// Which picture.
        part: Part,
        /// Why not.
        error: ImageError,
    },
    /// The file of a passport chip cannot be read.
    #[error("{part}: {error}")]
    Document {
        /// Which reference.
        part: Part,
        /// Why not.
        error: DocumentError,
    },
    /// The picture shows no usable face, and the act needs one.
    #[error("{part} shows no usable face: {}", capture_text(*.capture))]
    Capture {
        /// Which picture.
        part: Part,
        /// What was found instead.
        capture: CaptureFact,
    },
    /// The template belongs to another model or calibration, or is none.
    #[error("{part}: {error}")]
    Template {
        /// Which reference.
        part: Part,
        /// Why not.
        error: TemplateError,
    },
    /// None, or more than one verification takes.
    #[error(
        "{held} references; a verification takes 1 to {most}, and each reference of an enrolled \
         subject and each photograph of a data group 2 counts"
    )]
    References {
        /// How many there are.
        held: usize,
        /// How many there may be.
        most: usize,
    },
    /// None, or more than one enrolment takes.
    #[error("{held} images; an enrolment takes 1 to {most}")]
    Images {
        /// How many there are.
        held: usize,
        /// How many there may be.
        most: usize,
    },
    /// Zero, or more candidates than a search returns.
    #[error("{held} candidates asked for; a search returns 1 to {most}")]
    Candidates {
        /// How many were asked for.
        held: usize,
        /// How many there may be.
        most: usize,
    },
    /// A deadline of zero or beyond the limit.
    #[error("a deadline of {held_ms} ms; it may be 1 to {most_ms} ms")]
    Deadline {
        /// What was asked.
        held_ms: u64,
        /// The limit.
        most_ms: u64,
    },
    /// A rate that the calibration's table does not reach.
    #[error("false match rate {fmr}: {why}")]
    Fmr {
        /// What was asked.
        fmr: f64,
        /// What the table reaches.
        why: String,
    },
    /// No such gallery.
    #[error("there is no gallery {gallery}")]
    UnknownGallery {
        /// Its name.
        gallery: GalleryId,
    },
    /// No such lane.
    #[error("there is no lane {lane}; the configuration's [[lane]] tables name them")]
    UnknownLane {
        /// Its name.
        lane: LaneId,
    },
    /// The lane does not take the frame.
    #[error(transparent)]
    Push(#[from] PushRefused),
    /// The name is taken.
    #[error("gallery {gallery} exists already")]
    GalleryExists {
        /// Its name.
        gallery: GalleryId,
    },
    /// The gallery does not take or hold what was asked for.
    #[error("gallery {gallery}: {error}")]
    Gallery {
        /// Where.
        gallery: GalleryId,
        /// Why not.
        error: GalleryError,
    },
    /// The gallery is named, and cannot be used.
    #[error("gallery {gallery} is not served: {why}")]
    GalleryUnavailable {
        /// Its name.
        gallery: GalleryId,
        /// Why not, and what the operator does next.
        why: String,
    },
    /// The act needs a gallery whose records are kept by others than this one's are.
    #[error("gallery {gallery} {why}")]
    GalleryKind {
        /// Its name.
        gallery: GalleryId,
        /// What it keeps, and which endpoint does what was meant.
        why: &'static str,
    },
    /// A search over records that only their holders can open.
    #[error(
        "gallery {gallery} holds records that only their holders can open, and no searchable row: \
         a search of it is not possible by construction; verify 1:1 with the record's id and secret"
    )]
    IdentifyNotPossible {
        /// Its name.
        gallery: GalleryId,
    },
    /// The token cannot be made as asked, or is not accepted here.
    #[error("{part}: {error}")]
    HolderToken {
        /// Which reference, or which picture.
        part: Part,
        /// Why not.
        error: TokenError,
    },
    /// Tokens need keys.
    #[error(
        "this appliance has no keys for holder tokens; the operator may make them with `portcullis \
         token keygen` and set holder.issuer_key (to issue) or holder.reader_keys (to accept)"
    )]
    TokensDisabled,
    /// No record was opened; for an unknown id and a wrong secret there is one answer.
    #[error("gallery {gallery}: {error}")]
    HolderRecord {
        /// Where.
        gallery: GalleryId,
        /// Why not.
        error: RecordRefused,
    },
    /// The file of holders' records does not take what was asked for.
    #[error("gallery {gallery}: {error}")]
    HolderRecords {
        /// Where.
        gallery: GalleryId,
        /// Why not.
        error: RecordsError,
    },
    /// The transaction is not opened, or not found.
    #[error(transparent)]
    Transaction(#[from] RegisterError),
    // The caller may not.
    /// The policy does not allow it.
    #[error("not permitted: {}", reasons_text(.0))]
    Forbidden(Vec<Reason>),
    /// Only administrators choose a rate.
    #[error(
        "only an administrator may name a false match rate; leave `fmr` out to use the configured \
         one"
    )]
    FmrReserved,
    /// Templates are not handed out here.
    #[error("handing out templates is switched off; the operator may set policy.embed_enabled")]
    EmbedDisabled,
    // The operator must act.
    /// As many galleries as an appliance holds.
    #[error("the appliance holds {most} galleries, as many as it may; delete one first")]
    GalleriesFull {
        /// The limit.
        most: usize,
    },
    /// The audit cannot be written; nothing is answered until it can.
    #[error("the audit could not be written; nothing is answered until it can")]
    Audit,
    // Try again.
    /// Everything that can be worked on at once is being worked on.
    #[error("busy: every slot is taken; try again")]
    Busy,
    /// With what lies ahead of it, the answer would come too late: nothing was computed.
    #[error(
        "an answer needs about {needed_ms} ms now, more than the deadline of {deadline_ms} ms \
         leaves; try again in {retry_after_s} s"
    )]
    TooLate {
        /// What it would need.
        needed_ms: u64,
        /// The deadline.
        deadline_ms: u64,
        /// When what is too much has been worked off.
        retry_after_s: u64,
    },
    /// The answer came too late.
    #[error("no answer within the deadline of {deadline_ms} ms")]
    Late {
        /// The deadline.
        deadline_ms: u64,
    },
    /// Erased for everything new; a search that began before still holds an older generation.
    #[error("erased for every new search, but one that began before still runs: {why}")]
    ErasurePending {
        /// What holds it.
        why: String,
    },
    /// As many as may watch one transaction do.
    #[error("{most} callers watch this transaction, as many as may; read it instead")]
    WatchersFull {
        /// The limit.
        most: usize,
    },
    /// The appliance is starting or stopping.
    #[error("the appliance is not ready: {why}")]
    NotReady {
        /// What it waits for.
        why: &'static str,
    },
    // A fault of the appliance.
    /// The gallery's medium, its keys or its file failed; it is as it was, unless `why` says more.
    #[error("gallery {gallery}: {why}")]
    GalleryFault {
        /// Where.
        gallery: GalleryId,
        /// What failed, and what to do next.
        why: String,
    },
    /// An engine failed, or a stage panicked.
    #[error("the appliance failed: {what}; the log holds more")]
    Fault {
        /// Which part.
        what: &'static str,
    },
}

fn template_code(error: &TemplateError) -> &'static str {
    match error {
        TemplateError::Length { .. } => "TEMPLATE_LENGTH",
        TemplateError::OutOfRange { .. } => "TEMPLATE_OUT_OF_RANGE",
        TemplateError::ForeignModel { .. } => "TEMPLATE_FOREIGN_MODEL",
        TemplateError::ForeignCalibration { .. } => "TEMPLATE_FOREIGN_CALIBRATION",
    }
}

fn records_code(error: &RecordsError) -> &'static str {
    match error {
        RecordsError::Template(error) => template_code(error),
        RecordsError::Full => "GALLERY_FULL",
        RecordsError::Validity { .. } => "VALIDITY_EMPTY",
        _ => "GALLERY_FAULT",
    }
}

fn capture_text(capture: CaptureFact) -> &'static str {
    match capture {
        CaptureFact::Usable => "usable",
        CaptureFact::NoFace => "no face was found",
        CaptureFact::SeveralFaces => "several faces of comparable size",
        CaptureFact::FaceTooSmall => "the eyes are too close together; come closer",
        CaptureFact::OffCentre => "the face leaves the picture or stands too far from its middle",
        CaptureFact::PoorQuality => "sharpness, exposure or pose is outside its limits",
    }
}

fn reasons_text(reasons: &[Reason]) -> String {
    let texts: Vec<_> = reasons.iter().map(|reason| reason.text).collect();
    texts.join(" ")
}

impl Refusal {
    /// What a gallery refused.
    pub(crate) fn of_gallery(name: &GalleryId, error: GalleryError) -> Self {
        Self::Gallery { gallery: name.clone(), error }
    }

    /// What a file of holders' records refused.
    pub(crate) fn of_records(name: &GalleryId, error: RecordsError) -> Self {
        Self::HolderRecords { gallery: name.clone(), error }
    }

    /// The stable code: the contract with integrators, never translated, never reused.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Image { error, .. } => error.code(),
            Self::Document { error, .. } => error.code(),
            Self::Capture { capture, .. } => match capture {
                CaptureFact::Usable | CaptureFact::PoorQuality => "CAPTURE_POOR_QUALITY",
                CaptureFact::NoFace => "CAPTURE_NO_FACE",
                CaptureFact::SeveralFaces => "CAPTURE_SEVERAL_FACES",
                CaptureFact::FaceTooSmall => "CAPTURE_FACE_TOO_SMALL",
                CaptureFact::OffCentre => "CAPTURE_OFF_CENTRE",
            },
            Self::Template { error, .. } => template_code(error),
            Self::References { .. } => "REFERENCES_COUNT",
            Self::Images { .. } => "IMAGES_COUNT",
            Self::Candidates { .. } => "CANDIDATES_COUNT",
            Self::Deadline { .. } => "DEADLINE_OUT_OF_RANGE",
            Self::Fmr { .. } => "FMR_NOT_CALIBRATED",
            Self::UnknownGallery { .. } => "GALLERY_UNKNOWN",
            Self::UnknownLane { .. } => "LANE_UNKNOWN",
            Self::Push(refused) => match refused {
                PushRefused::NotPushed { .. } => "LANE_NOT_PUSHED",
                PushRefused::Image(error) => error.code(),
                PushRefused::DetectorUnknown { .. } => "ATTACK_DETECTOR_UNKNOWN",
                PushRefused::DetectorScore { .. } => "ATTACK_SCORE_INVALID",
                PushRefused::Stopping => "NOT_READY",
            },
            Self::GalleryExists { .. } => "GALLERY_EXISTS",
            Self::Gallery { error, .. } => match error {
                GalleryError::NoClass => "CLASSES_EMPTY",
                GalleryError::NoTemplate => "IMAGES_COUNT",
                GalleryError::Validity { .. } => "VALIDITY_EMPTY",
                GalleryError::References { .. } => "SUBJECT_FULL",
                GalleryError::Full { .. } => "GALLERY_FULL",
                GalleryError::Kind(error) => template_code(error),
                GalleryError::UnknownSubject { .. } => "SUBJECT_UNKNOWN",
                GalleryError::Restricted { .. } => "SUBJECT_RESTRICTED",
                GalleryError::NotValid { .. } => "SUBJECT_NOT_VALID",
                GalleryError::NotDestroyed { .. } => "ERASURE_PENDING",
                _ => "GALLERY_FAULT",
            },
            Self::HolderRecord { error, .. } => match error {
                RecordRefused::NotOpened => "HOLDER_UNOPENED",
                RecordRefused::NotYetValid { .. } | RecordRefused::Expired { .. } => {
                    "SUBJECT_NOT_VALID"
                }
                RecordRefused::Records(error) => records_code(error),
            },
            Self::HolderRecords { error, .. } => records_code(error),
            Self::GalleryUnavailable { .. } => "GALLERY_UNAVAILABLE",
            Self::GalleryKind { .. } => "GALLERY_KIND",
            Self::IdentifyNotPossible { .. } => "IDENTIFY_NOT_POSSIBLE",
            Self::HolderToken { .. } => "HOLDER_TOKEN_REFUSED",
            Self::TokensDisabled => "TOKENS_DISABLED",
            Self::Transaction(error) => match error {
                RegisterError::OtherLane { .. } => "TRANSACTION_OTHER_LANE",
                RegisterError::LaneOccupied { .. } => "LANE_OCCUPIED",
                RegisterError::NoRetry { .. } => "RETRY_NOT_OFFERED",
                RegisterError::Unknown { .. } => "TRANSACTION_UNKNOWN",
                RegisterError::Journal(_) => "JOURNAL_UNAVAILABLE",
            },
            Self::WatchersFull { .. } => "WATCHERS_FULL",
            Self::Forbidden(_) => "FORBIDDEN",
            Self::FmrReserved => "FMR_RESERVED",
            Self::EmbedDisabled => "EMBED_DISABLED",
            Self::GalleriesFull { .. } => "GALLERIES_FULL",
            Self::Audit => "AUDIT_UNAVAILABLE",
            Self::Busy => "BUSY",
            Self::TooLate { .. } => "DEADLINE_UNMEETABLE",
            Self::Late { .. } => "DEADLINE_PASSED",
            Self::ErasurePending { .. } => "ERASURE_PENDING",
            Self::NotReady { .. } => "NOT_READY",
            Self::GalleryFault { .. } => "GALLERY_FAULT",
            Self::Fault { .. } => "FAULT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_cannot_be_printed() {
        let image = EncodedImage::new(vec![231; 3]);
        assert_eq!(format!("{image:?}"), "EncodedImage(3 bytes)");
        let file = EncodedFile::new(vec![231; 3]);
        assert_eq!(format!("{file:?}"), "EncodedFile(3 bytes)");
    }

    #[test]
    fn every_refusal_says_what_to_do_about_it() {
        let refusal = Refusal::Capture { part: Part::Image(1), capture: CaptureFact::NoFace };
        assert_eq!(refusal.code(), "CAPTURE_NO_FACE");
        assert_eq!(refusal.to_string(), "images[1] shows no usable face: no face was found");
        assert!(Refusal::FmrReserved.to_string().contains("leave `fmr` out"));
    }
}
