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
mod refusal;
mod service;
mod site;
mod transact;

use std::fmt;

pub use encoded::{EncodedFile, EncodedImage};
pub use keeping::{
    Erased, GalleryDescription, HOLDER_SECRET_BYTES, HolderSecret, KeptBy, PresentedToken,
};
pub use refusal::Refusal;
pub use service::{EngineVersion, Readiness, Service, Stranger, Version};
pub use site::{
    AgeClass, AuditEvent, Consent, DatedDuty, Entered, Given, Ground, HitStanding, Papers, Record,
    RelationClass, SiteDescription, SiteStep, Stand, SubjectExport, TakenBack, Vote, VoteRefused,
};
pub use transact::{
    Against, AtLane, Display, DisplayText, Ended, LaneCommand, Listener, RegisterError, Standing,
    display_texts,
};

use crate::types::{
    Action, Asked, Attack, Authenticity, Caller, Candidate, CaptureFact, Certificate, GalleryId,
    LaneId, Purpose, Score, Selection, SubjectId, Template, Threshold, TransactionId, Verdict,
};
pub use crate::{
    capture::{lane::Taken, push::PushRefused},
    face::{Face, FaceReport, Quality},
    gallery::Enrolment,
    meter::Offered,
    pipeline::Spent,
};

/// On what terms somebody is enrolled, as the caller says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Membership in up to 64 classes; at least one.
    pub class_bits: u64,
    /// A group such as a flight; zero is no group.
    pub group: u32,
    /// First second (civil, UTC) at which the references may be found; `None` for now.
    pub not_before_s: Option<i64>,
    /// First second at which they may not be found any more.
    pub expiry_s: i64,
}

impl Default for Terms {
    /// The first class, no group, from now on and without end.
    fn default() -> Self {
        Self { class_bits: 1, group: 0, not_before_s: None, expiry_s: i64::MAX }
    }
}

impl Terms {
    /// The terms of an enrolment at `now_s`. Without a begin of the caller's it is that second: it
    /// is by the begin that what is older than a retention period is erased.
    #[must_use]
    pub fn at(self, now_s: i64) -> Enrolment {
        let Self { class_bits, group, not_before_s, expiry_s } = self;
        Enrolment { class_bits, group, not_before_s: not_before_s.unwrap_or(now_s), expiry_s }
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
        terms: Terms,
        /// Consent, or the ground of an entry.
        papers: Papers,
    },
    /// Add a record that only its holder's secret opens, and that no search finds.
    EnrolHolder {
        /// Where.
        gallery: GalleryId,
        /// One picture.
        image: EncodedImage,
        /// When it may be used. Classes and groups are for searches, and none finds it.
        terms: Terms,
        /// Consent.
        papers: Papers,
    },
    /// Remove a subject, or a holder's record.
    Erase {
        /// Where.
        gallery: GalleryId,
        /// Who.
        subject: SubjectId,
    },
    /// Remove everybody whom somebody entered, such as one operator in one week.
    EraseEntered {
        /// Who.
        entered: Entered,
    },
    /// Remove everybody who is meant.
    EraseSelected {
        /// Where.
        gallery: GalleryId,
        /// Who.
        selection: Selection,
    },
    /// Tell a person what is held about that person.
    ExportSubject {
        /// Where.
        gallery: GalleryId,
        /// Who.
        subject: SubjectId,
    },
    /// Record a consent.
    GiveConsent {
        /// For which gallery.
        gallery: GalleryId,
        /// Whose.
        subject: SubjectId,
        /// What was given.
        given: Given,
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
        /// Consent.
        papers: Papers,
    },
    /// Do something with a transaction of a lane.
    Lane {
        /// Which lane, and which transaction, as the gate names it.
        at: AtLane,
        /// What.
        command: LaneCommand,
    },
    /// List whom somebody entered, for telling them.
    ListAffected {
        /// Who.
        entered: Entered,
    },
    /// Hand a frame of a lane over.
    PushFrame {
        /// The lane.
        lane: LaneId,
        /// The frame.
        frame: EncodedImage,
        /// What the detector named in the lane's configuration said of it.
        external_attack: Option<f32>,
        /// Its place in the account of frames; a refusal settles it, too.
        offered: Offered,
    },
    /// Tell how a hit of a watchlist stands.
    ReadHit {
        /// The search's name in the audit.
        hit: TransactionId,
    },
    /// List the hits of a watchlist that wait for somebody's answer.
    ListHits,
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
        terms: Terms,
        /// Consent, or the ground of an entry.
        papers: Papers,
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
    /// Take a step of the deployment.
    Step(SiteStep),
    /// Take a consent back: what is enrolled under it goes with it.
    TakeBack {
        /// For which gallery.
        gallery: GalleryId,
        /// Whose.
        subject: SubjectId,
        /// By withdrawal or objection.
        how: TakenBack,
    },
    /// Compare, 1:1 with each reference.
    Verify {
        /// The live capture.
        probe: EncodedImage,
        /// 1 to [`crate::limits::REFERENCES_MAX`] references.
        references: Vec<ReferenceSource>,
        /// At a border: the traveller is a third-country national.
        third_country: bool,
        /// An administrator's own false match rate.
        fmr: Option<f64>,
    },
    /// Confirm or reject a hit of a watchlist.
    Vote {
        /// The search's name in the audit.
        hit: TransactionId,
        /// Which.
        vote: Vote,
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
            Self::Erase { .. } => Action::Erase,
            Self::EraseEntered { .. } | Self::EraseSelected { .. } => Action::EraseMany,
            Self::ExportSubject { .. } => Action::ExportSubject,
            Self::GiveConsent { .. } => Action::GiveConsent,
            Self::Identify { .. } => Action::Identify,
            Self::IssueToken { .. } => Action::IssueToken,
            Self::Lane { command, .. } => match command {
                LaneCommand::Open { against: Against::References(_), .. } => Action::Verify,
                LaneCommand::Open { against: Against::Gallery { .. }, .. } => Action::Identify,
                LaneCommand::Read
                | LaneCommand::Watch(_)
                | LaneCommand::Cancel
                | LaneCommand::Left => Action::FollowTransaction,
                LaneCommand::Override => Action::Override,
            },
            Self::ListAffected { .. } => Action::ListAffected,
            Self::PushFrame { .. } => Action::PushFrame,
            Self::ListHits | Self::ReadHit { .. } => Action::ReadHit,
            Self::Regroup { .. } => Action::Regroup,
            Self::Replace { .. } => Action::Replace,
            Self::Restrict { .. } => Action::Restrict,
            Self::Step(SiteStep::Assess) => Action::Assess,
            Self::Step(SiteStep::Activate) => Action::Activate,
            Self::TakeBack { how: TakenBack::Withdrawn, .. } => Action::WithdrawConsent,
            Self::TakeBack { how: TakenBack::Objected, .. } => Action::Object,
            Self::Verify { .. } => Action::Verify,
            Self::Vote { .. } => Action::Confirm,
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
            | Self::ExportSubject { gallery, .. }
            | Self::GiveConsent { gallery, .. }
            | Self::Identify { gallery, .. }
            | Self::Regroup { gallery, .. }
            | Self::Replace { gallery, .. }
            | Self::Restrict { gallery, .. }
            | Self::TakeBack { gallery, .. } => Some(gallery),
            Self::EraseEntered { entered } | Self::ListAffected { entered } => {
                Some(&entered.gallery)
            }
            Self::Verify { references, .. } => gallery_of(references),
            Self::Lane { command: LaneCommand::Open { against, .. }, .. } => match against {
                Against::References(references) => gallery_of(references),
                Against::Gallery { gallery, .. } => Some(gallery),
            },
            Self::Embed { .. }
            | Self::IssueToken { .. }
            | Self::Lane { .. }
            | Self::ListHits
            | Self::PushFrame { .. }
            | Self::ReadHit { .. }
            | Self::Step(_)
            | Self::Vote { .. } => None,
        }
    }

    /// Whose references are compared with, where they are one enrolled person's. Holders' records
    /// are not told: nobody follows a traveller by one.
    #[must_use]
    pub fn subject(&self) -> Option<SubjectId> {
        let references = match self {
            Self::Verify { references, .. }
            | Self::Lane {
                command: LaneCommand::Open { against: Against::References(references), .. },
                ..
            } => references,
            _ => return None,
        };
        let mut enrolled = references.iter().filter_map(|held| match held {
            ReferenceSource::Subject { subject, .. } => Some(*subject),
            _ => None,
        });
        let first = enrolled.next()?;
        enrolled.all(|subject| subject == first).then_some(first)
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
            subject: self.command.subject(),
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
        /// Under which the consent to it is kept: its own number.
        subject: SubjectId,
        /// The token; it fits one QR code where templates have 128 dimensions.
        token: Vec<u8>,
        /// The face it was made of.
        face: Option<FaceReport>,
    },
    /// A gallery.
    Gallery(GalleryDescription),
    /// How a transaction of a lane stands.
    Transaction(Standing),
    /// A consent was recorded.
    ConsentKept {
        /// Its name in the audit.
        transaction: TransactionId,
        /// Whose.
        subject: SubjectId,
    },
    /// What is held about a person.
    Export(Box<SubjectExport>),
    /// Whom somebody entered.
    Affected {
        /// Its name in the audit.
        transaction: TransactionId,
        /// Each once.
        subjects: Vec<SubjectId>,
    },
    /// What the site is, after a step.
    Site(Box<SiteDescription>),
    /// How a hit stands.
    Hit(HitStanding),
    /// The hits that wait for somebody's answer.
    Hits(Vec<HitStanding>),
    /// A traveller was let in whom the machine referred.
    Overridden {
        /// The lane's transaction.
        transaction: TransactionId,
    },
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
}
