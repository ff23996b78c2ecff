//! The appliance's public interface, as values: a [`Request`] in, an [`Answer`] or a [`Refusal`]
//! out.
//!
//! The HTTP edge and the command line both make requests; [`Service`] carries them out. A decision
//! is an [`Answer`], whatever its outcome; a [`Refusal`] means that nothing was decided.
//!
//! Invariant: a request carries no threshold. It may name a false match rate, and only an
//! administrator's is heard.

use std::fmt;

use crate::{
    document::{error::DocumentError, image::ImageError},
    gallery::GalleryError,
    types::{
        Action, Asked, Attack, Caller, Candidate, CaptureFact, Certificate, GalleryId, Purpose,
        Reason, Score, SubjectId, Template, TemplateError, TemplateKind, Threshold, TransactionId,
        Verdict,
    },
};
pub use crate::{
    face::{Face, FaceReport, Quality},
    gallery::Enrolment,
    pipeline::Spent,
};

/// An encoded picture as it arrived. Its bytes cannot be printed; the process allocator wipes them.
pub struct EncodedImage(Vec<u8>);

impl EncodedImage {
    /// Takes the bytes of a JPEG, JPEG 2000 or PNG file.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for EncodedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedImage({} bytes)", self.0.len())
    }
}

/// A file of a passport chip as it arrived. Its bytes cannot be printed; the process allocator
/// wipes them.
pub struct EncodedFile(Vec<u8>);

impl EncodedFile {
    /// Takes the bytes of the file.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for EncodedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedFile({} bytes)", self.0.len())
    }
}

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
    /// A kind that this appliance knows by name and cannot read yet.
    Unsupported(UnsupportedReference),
}

/// Kinds of reference that are named in the API and answered 501.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsupportedReference {
    /// A template sealed to a secret that the traveller carries.
    HolderToken,
}

impl UnsupportedReference {
    /// The member's name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HolderToken => "holderToken",
        }
    }
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
    /// Remove a subject.
    Erase {
        /// Where.
        gallery: GalleryId,
        /// Who.
        subject: SubjectId,
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
            Self::Enrol { .. } => Action::Enrol,
            Self::Erase { .. } => Action::Erase,
            Self::Identify { .. } => Action::Identify,
            Self::Verify { .. } => Action::Verify,
        }
    }

    /// In which gallery, where there is one.
    #[must_use]
    pub fn gallery(&self) -> Option<&GalleryId> {
        match self {
            Self::CreateGallery { gallery }
            | Self::DeleteGallery { gallery }
            | Self::DescribeGallery { gallery }
            | Self::Enrol { gallery, .. }
            | Self::Erase { gallery, .. }
            | Self::Identify { gallery, .. } => Some(gallery),
            Self::Verify { references, .. } => references.iter().find_map(|held| match held {
                ReferenceSource::Subject { gallery, .. } => Some(gallery),
                ReferenceSource::Image(_)
                | ReferenceSource::Dg2 { .. }
                | ReferenceSource::Template(_)
                | ReferenceSource::Unsupported(_) => None,
            }),
            Self::Embed { .. } => None,
        }
    }
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

/// A gallery, from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GalleryDescription {
    /// Its name.
    pub gallery: GalleryId,
    /// Enrolled subjects.
    pub subjects: u64,
    /// Rows that a search can find.
    pub rows: u64,
    /// Grows with every update.
    pub generation: u64,
    /// Model and calibration of its templates.
    pub kind: TemplateKind,
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
    /// A subject or a gallery is gone.
    Erased {
        /// Its name in the audit.
        transaction: TransactionId,
    },
    /// A gallery.
    Gallery(GalleryDescription),
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
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
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
    /// A kind of reference that is not read yet.
    #[error(
        "{part}: `{}` references are not read by this version; send an image, a template or a \
         gallery subject",
        .kind.name()
    )]
    UnsupportedReference {
        /// Which reference.
        part: Part,
        /// Its kind.
        kind: UnsupportedReference,
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
    /// The answer would come too late, or came too late.
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
    /// The appliance is starting or stopping.
    #[error("the appliance is not ready: {why}")]
    NotReady {
        /// What it waits for.
        why: &'static str,
    },
    // A fault of the appliance.
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
            Self::UnsupportedReference { .. } => "UNSUPPORTED_REFERENCE",
            Self::References { .. } => "REFERENCES_COUNT",
            Self::Images { .. } => "IMAGES_COUNT",
            Self::Candidates { .. } => "CANDIDATES_COUNT",
            Self::Deadline { .. } => "DEADLINE_OUT_OF_RANGE",
            Self::Fmr { .. } => "FMR_NOT_CALIBRATED",
            Self::UnknownGallery { .. } => "GALLERY_UNKNOWN",
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
            },
            Self::Forbidden(_) => "FORBIDDEN",
            Self::FmrReserved => "FMR_RESERVED",
            Self::EmbedDisabled => "EMBED_DISABLED",
            Self::GalleriesFull { .. } => "GALLERIES_FULL",
            Self::Audit => "AUDIT_UNAVAILABLE",
            Self::Busy => "BUSY",
            Self::Late { .. } => "DEADLINE_PASSED",
            Self::ErasurePending { .. } => "ERASURE_PENDING",
            Self::NotReady { .. } => "NOT_READY",
            Self::Fault { .. } => "FAULT",
        }
    }
}

/// How far the appliance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It answers.
    Ready,
    /// It does not answer now; why.
    NotReady(&'static str),
}

/// What runs, for `/v1/version` and for a report of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Name of the backend at work.
    pub backend: &'static str,
    /// Its device, in words.
    pub device: String,
    /// Model and calibration of templates.
    pub kind: TemplateKind,
    /// The data set that thresholds were measured on.
    pub basis: String,
    /// Whether a presentation attack detector is at work.
    pub attack_detection: bool,
}

/// What carries out requests. The appliance is one; a test may bring another.
pub trait Service: Send + Sync + 'static {
    /// Carries out `request`; blocks until it is answered.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was decided.
    fn execute(&self, request: Request) -> Result<Answer, Refusal>;

    /// Whether it would answer now.
    fn readiness(&self) -> Readiness;

    /// What runs.
    fn version(&self) -> Version;

    /// Does what is due without being asked: erases what has expired. Called about once a minute.
    fn housekeep(&self);
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
