//! Why nothing was decided: every refusal with its text and its stable code.

use super::{Part, PushRefused, RegisterError, VoteRefused};
use crate::{
    document::{error::DocumentError, image::ImageError},
    gallery::GalleryError,
    keys::holder::{
        TokenError,
        record::{RecordRefused, RecordsError},
    },
    policy::Ruling,
    profile::StepRefused,
    types::{CaptureFact, GalleryId, LaneId, TemplateError, TransactionId},
};

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
    #[error("not permitted: {}", rulings_text(.0))]
    Forbidden(Vec<Ruling>),
    /// What was asked for belongs to a profile.
    #[error(
        "this appliance is used as an evaluation desk; the operator may choose a profile (site.profile)"
    )]
    NoSite,
    /// The step of the deployment is not taken.
    #[error(transparent)]
    Step(#[from] StepRefused),
    /// The register of consents.
    #[error(transparent)]
    Consents(#[from] crate::register::RegisterError),
    /// The vote does not count.
    #[error(transparent)]
    Vote(#[from] VoteRefused),
    /// It ended in the traveller's favour or has not ended, or a person's word is not enough.
    #[error(
        "there is nothing to override: {transaction} was not referred since the appliance started, \
         was overridden before, or rests on a document that failed its check"
    )]
    NotReferred {
        /// The lane's transaction.
        transaction: TransactionId,
    },
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

fn gallery_code(error: &GalleryError) -> &'static str {
    match error {
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
    }
}

fn vote_code(refused: VoteRefused) -> &'static str {
    match refused {
        VoteRefused::Unknown => "HIT_UNKNOWN",
        VoteRefused::SamePerson => "HIT_SAME_PERSON",
        VoteRefused::Untrained => "HIT_UNTRAINED",
        VoteRefused::Settled => "HIT_SETTLED",
    }
}

fn push_code(refused: &PushRefused) -> &'static str {
    match refused {
        PushRefused::NotPushed { .. } => "LANE_NOT_PUSHED",
        PushRefused::Image(error) => error.code(),
        PushRefused::DetectorUnknown { .. } => "ATTACK_DETECTOR_UNKNOWN",
        PushRefused::DetectorScore { .. } => "ATTACK_SCORE_INVALID",
        PushRefused::Stopping => "NOT_READY",
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

fn rulings_text(rulings: &[Ruling]) -> String {
    let texts: Vec<_> = rulings.iter().map(|ruling| ruling.reason.text).collect();
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
            Self::Push(refused) => push_code(refused),
            Self::GalleryExists { .. } => "GALLERY_EXISTS",
            Self::Gallery { error, .. } => gallery_code(error),
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
            Self::NoSite => "SITE_NONE",
            Self::Step(StepRefused::Incomplete { .. }) => "PROFILE_INCOMPLETE",
            Self::Step(StepRefused::NotAssessed) => "SITE_NOT_ASSESSED",
            Self::Step(StepRefused::Dated) => "ASSESSMENT_DATED",
            Self::Consents(crate::register::RegisterError::Full) => "REGISTER_FULL",
            Self::Consents(_) => "REGISTER_FAULT",
            Self::Vote(refused) => vote_code(*refused),
            Self::NotReferred { .. } => "TRANSACTION_NOT_REFERRED",
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
    fn every_refusal_says_what_to_do_about_it() {
        let refusal = Refusal::Capture { part: Part::Image(1), capture: CaptureFact::NoFace };
        assert_eq!(refusal.code(), "CAPTURE_NO_FACE");
        assert_eq!(refusal.to_string(), "images[1] shows no usable face: no face was found");
        assert!(Refusal::FmrReserved.to_string().contains("leave `fmr` out"));
    }
}
