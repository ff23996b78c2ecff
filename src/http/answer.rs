//! What callers receive. The command line prints the same documents under `--json`.

mod keeping;
mod lane;
mod site;
mod transaction;

use base64::Engine;
use serde::Serialize;
use utoipa::ToSchema;

pub use keeping::{
    ChangedAnswer, ErasedAnswer, HolderEnrolledAnswer, ReplacedAnswer, TokenIssuedAnswer,
};
pub use lane::FrameTakenAnswer;
pub use site::{
    AffectedAnswer, ConsentAnswer, ConsentHeldAnswer, EventAnswer, ExportAnswer, HitAnswer,
    HitsAnswer, OverriddenAnswer, RecordAnswer, SiteAnswer,
};
pub use transaction::{
    DisplayName, DisplayTextAnswer, DisplayTextsAnswer, TransactionAnswer, TransactionState,
};

use super::{problem::ReasonText, request::KeysName};
use crate::{
    command::{Compared, Decision, EngineVersion, FaceReport, GalleryDescription, Spent, Version},
    types::{
        Attack, Authenticity, CaptureFact, Certificate, Outcome, Score, SubjectId, Template,
        Threshold, TransactionId, Weakness,
    },
};

/// What the gate does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeName {
    /// Open.
    Admit,
    /// Look again.
    Retry,
    /// Send the traveller to an officer.
    Refer,
}

/// What the capture of a face gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CaptureName {
    /// One face, usable.
    Usable,
    /// No face found.
    NoFace,
    /// Several faces of comparable size.
    SeveralFaces,
    /// The eyes are closer together than the limit.
    FaceTooSmall,
    /// The face leaves the frame or stands too far from its middle.
    OffCentre,
    /// Sharpness, exposure or pose is outside its limits.
    PoorQuality,
}

impl From<CaptureFact> for CaptureName {
    fn from(fact: CaptureFact) -> Self {
        match fact {
            CaptureFact::Usable => Self::Usable,
            CaptureFact::NoFace => Self::NoFace,
            CaptureFact::SeveralFaces => Self::SeveralFaces,
            CaptureFact::FaceTooSmall => Self::FaceTooSmall,
            CaptureFact::OffCentre => Self::OffCentre,
            CaptureFact::PoorQuality => Self::PoorQuality,
        }
    }
}

/// Whether a comparison matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ComparisonDecision {
    /// The score reached the threshold.
    Match,
    /// It did not.
    NoMatch,
    /// There was nothing to compare.
    NotCompared,
}

/// A threshold, never shown without where it comes from.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ThresholdAnswer {
    /// Scores at or above it match.
    pub score: i32,
    /// The same as similarity.
    pub similarity: f32,
    /// False match rate at this threshold, on the data set named in `basis`.
    pub fmr: f64,
    /// The data set the rate was measured on, with its size.
    pub basis: String,
}

/// The face that was used, in pixels of the upright picture.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FaceAnswer {
    /// Left, top, width, height.
    pub rect_px: [f32; 4],
    /// Image-left eye, image-right eye, nose tip, image-left and image-right mouth corner.
    pub landmarks_px: [[f32; 2]; 5],
    /// Detector confidence in [0, 1].
    pub confidence: f32,
    /// Distance between the eyes in pixels.
    pub inter_eye_px: f32,
    /// Variance of the Laplacian over the aligned face.
    pub sharpness: f32,
    /// Mean luminance of the aligned face in [0, 1].
    pub luminance_mean: f32,
    /// Share of aligned pixels that are nearly black or white.
    pub clipped_share: f32,
    /// Estimated yaw in degrees.
    pub yaw_deg: f32,
    /// Estimated pitch in degrees.
    pub pitch_deg: f32,
    /// Estimated roll in degrees.
    pub roll_deg: f32,
}

/// What a capture gave.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CaptureAnswer {
    /// Whether it was usable.
    pub status: CaptureName,
    /// The face, where one was found.
    pub face: Option<FaceAnswer>,
}

/// The presentation-attack result; never binary.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct AttackAnswer {
    /// Whether a detector ran.
    pub performed: bool,
    /// 0 bona fide, 1 attack.
    pub score: Option<f32>,
}

/// Whether a document's signer stands on its issuer's revocation list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationName {
    /// A list that is in force does not name it.
    NotRevoked,
    /// A list does not name it, but is past its next update.
    Stale,
    /// The newest list says more than is understood.
    Unusable,
    /// There is no list of the issuer.
    Absent,
}

/// What passive authentication said of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DocumentAnswer {
    /// `VALID`, `WEAK`, `INVALID` or `NOT_CHECKED`.
    #[schema(value_type = String)]
    pub verdict: &'static str,
    /// Why, as a stable code; of several weaknesses the worst; absent for a valid document.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reason: Option<&'static str>,
    /// Everything that makes it weak, as stable codes, the worst first; absent where nothing does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub weaknesses: Vec<&'static str>,
    /// Whether its signer was revoked, where it is `VALID` or `WEAK`; a revoked one is `INVALID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation: Option<RevocationName>,
    /// Whether its issuing state was compared with the signer's country, where it is `VALID` or
    /// `WEAK`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country_compared: Option<bool>,
}

impl From<Authenticity> for DocumentAnswer {
    fn from(authenticity: Authenticity) -> Self {
        let held = authenticity.weaknesses();
        let revocation = if held.contains(Weakness::CrlAbsent) {
            RevocationName::Absent
        } else if held.contains(Weakness::CrlUnusable) {
            RevocationName::Unusable
        } else if held.contains(Weakness::CrlStale) {
            RevocationName::Stale
        } else {
            RevocationName::NotRevoked
        };
        let is_genuine = matches!(authenticity, Authenticity::Valid | Authenticity::Weak(_));
        let country_compared = !held.contains(Weakness::CountryNotCompared);
        Self {
            verdict: authenticity.name(),
            reason: authenticity.code(),
            weaknesses: held.iter().map(|weakness| weakness.reason().0).collect(),
            revocation: is_genuine.then_some(revocation),
            country_compared: is_genuine.then_some(country_compared),
        }
    }
}

/// One comparison.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ComparisonAnswer {
    /// Number of the reference in the request, from 0.
    pub reference: usize,
    /// What the reference's capture gave.
    pub status: CaptureName,
    /// What passive authentication said, where the reference is a document's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<DocumentAnswer>,
    /// The face in it, where it is a picture and one was found.
    pub face: Option<FaceAnswer>,
    /// Whether it matched.
    pub decision: ComparisonDecision,
    /// The comparison score: an exact integer, the same on every engine.
    pub score: Option<i32>,
    /// The score, published as similarity.
    pub similarity: Option<f32>,
    /// What it was held against.
    pub threshold: ThresholdAnswer,
}

/// One candidate of a search.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CandidateAnswer {
    /// The enrolled subject.
    pub subject: String,
    /// Row of its best reference in the generation that was searched.
    pub row: u64,
    /// That reference's comparison score.
    pub score: i32,
    /// The score, published as similarity.
    pub similarity: f32,
}

/// What was done to reach the candidates: `pruned + rescored + ineligible = rowsTotal`.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateAnswer {
    /// Generation that was searched.
    pub generation: u64,
    /// Rows in it.
    pub rows_total: u64,
    /// Rows outside the scope or their validity.
    pub ineligible: u64,
    /// Eligible rows at or above the threshold, exact.
    pub accepted: u64,
    /// Eligible rows that a bound proved to be below it.
    pub pruned: u64,
    /// Eligible rows scored in full.
    pub rescored: u64,
}

/// Microseconds in each stage.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpentAnswer {
    /// Waiting for frame slots that others hold.
    pub slots_us: u64,
    /// Decoding.
    pub capture_us: u64,
    /// Waiting for an engine.
    pub batch_us: u64,
    /// Finding, judging, aligning.
    pub detect_us: u64,
    /// Presentation attack detection.
    pub attack_us: u64,
    /// Embedding.
    pub embed_us: u64,
    /// Waiting for the line that compares.
    pub handover_us: u64,
    /// Comparing or searching.
    pub search_us: u64,
    /// Deciding and writing the audit.
    pub decide_us: u64,
}

/// A verification or a search, decided.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DecisionAnswer {
    /// Its name in the audit.
    pub transaction: String,
    /// What the gate does.
    pub outcome: OutcomeName,
    /// Why; never empty.
    pub reasons: Vec<ReasonText>,
    /// What the live capture gave.
    pub probe: CaptureAnswer,
    /// The presentation-attack result.
    pub attack: AttackAnswer,
    /// What scores were held against.
    pub threshold: ThresholdAnswer,
    /// 1:1, in the order of the references; empty for staff where one of them is enrolled.
    pub comparisons: Vec<ComparisonAnswer>,
    /// 1:N, best first; empty for staff, and for everybody where the list is a watchlist.
    pub candidates: Vec<CandidateAnswer>,
    /// 1:N: what was done to reach the candidates.
    pub certificate: Option<CertificateAnswer>,
    /// 1:N: the gallery's generation.
    pub generation: Option<u64>,
    /// Where the time went.
    pub spent: SpentAnswer,
}

/// An enrolment.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EnrolledAnswer {
    /// Its name in the audit.
    pub transaction: String,
    /// Who: erase by this id.
    pub subject: String,
    /// The face of each reference.
    pub faces: Vec<FaceAnswer>,
    /// The gallery's generation that holds it.
    pub generation: u64,
}

/// A gallery.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct GalleryAnswer {
    /// Its name.
    pub gallery: String,
    /// Enrolled subjects; for records kept by holders, how many there are.
    pub subjects: u64,
    /// Rows that a search can find.
    pub rows: u64,
    /// Rows that hold nobody; the next enrolments fill them.
    pub vacant: u64,
    /// Who keeps the keys of its records.
    pub keys: KeysName,
    /// Grows with every update.
    pub generation: u64,
    /// Grows with every erasure; each has its own key.
    pub epoch: u64,
    /// Bytes of its medium.
    pub bytes: u64,
    /// `sealed`: opened tile by tile. `locked`: opened in locked memory.
    pub residency: &'static str,
    /// Who keeps its keys.
    pub custodian: CustodianAnswer,
    /// SHA-256 of the embedder's model file.
    pub model: String,
    /// SHA-256 of the calibration.
    pub calibration: String,
}

/// Who keeps a gallery's keys, and what their destruction is worth.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CustodianAnswer {
    /// `memory`, `file` or `pkcs11`.
    pub name: String,
    /// What the destruction of a key covers.
    pub destroys: String,
    /// What it does not cover.
    pub leaves: String,
}

/// A template handed out.
#[derive(Serialize, ToSchema)]
pub struct EmbeddedAnswer {
    /// Its name in the audit.
    pub transaction: String,
    /// The int8 values as base64, one byte each; a reference's `template` takes it as it is.
    pub template: TemplateAnswer,
    /// The face it was made of.
    pub face: Option<FaceAnswer>,
}

/// A template as a reference takes it.
#[derive(Serialize, ToSchema)]
pub struct TemplateAnswer {
    /// The int8 values as base64, one byte each.
    pub values: String,
    /// SHA-256 of the embedder's model file.
    pub model: String,
    /// SHA-256 of the calibration.
    pub calibration: String,
}

/// An engine at work.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EngineAnswer {
    /// Its backend.
    pub backend: &'static str,
    /// Its device, in words.
    pub device: String,
    /// Backends that were preferred and failed, the most preferred one first.
    pub passed_over: Vec<PassedOverAnswer>,
}

/// A preferred engine that is not at work.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PassedOverAnswer {
    /// Its backend.
    pub backend: &'static str,
    /// What it failed with.
    pub why: String,
}

/// What runs.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VersionAnswer {
    /// `portcullis`.
    pub product: &'static str,
    /// The package's version.
    pub version: &'static str,
    /// The API's version, as in its paths.
    pub api: &'static str,
    /// What runs the networks now.
    pub networks: EngineAnswer,
    /// What compares and searches now.
    pub search: EngineAnswer,
    /// SHA-256 of the embedder's model file.
    pub model: String,
    /// SHA-256 of the calibration.
    pub calibration: String,
    /// The data set that thresholds were measured on.
    pub basis: String,
    /// Whether a presentation attack detector is at work.
    pub attack_detection: bool,
}

impl From<&Threshold> for ThresholdAnswer {
    fn from(threshold: &Threshold) -> Self {
        Self {
            score: threshold.score.0,
            similarity: threshold.similarity,
            fmr: threshold.fmr,
            basis: threshold.basis.to_string(),
        }
    }
}

impl From<&FaceReport> for FaceAnswer {
    fn from(report: &FaceReport) -> Self {
        let FaceReport { face, quality } = report;
        Self {
            rect_px: face.rect_px,
            landmarks_px: face.landmarks_px,
            confidence: face.confidence,
            inter_eye_px: quality.inter_eye_px,
            sharpness: quality.sharpness,
            luminance_mean: quality.luminance_mean,
            clipped_share: quality.clipped_share,
            yaw_deg: quality.yaw_deg,
            pitch_deg: quality.pitch_deg,
            roll_deg: quality.roll_deg,
        }
    }
}

impl From<Certificate> for CertificateAnswer {
    fn from(held: Certificate) -> Self {
        Self {
            generation: held.generation,
            rows_total: held.rows_total,
            ineligible: held.ineligible,
            accepted: held.accepted,
            pruned: held.pruned,
            rescored: held.rescored,
        }
    }
}

impl From<Spent> for SpentAnswer {
    fn from(spent: Spent) -> Self {
        Self {
            slots_us: spent.slots_us,
            capture_us: spent.capture_us,
            batch_us: spent.batch_us,
            detect_us: spent.detect_us,
            attack_us: spent.attack_us,
            embed_us: spent.embed_us,
            handover_us: spent.handover_us,
            search_us: spent.search_us,
            decide_us: spent.decide_us,
        }
    }
}

impl From<Outcome> for OutcomeName {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Admit => Self::Admit,
            Outcome::Retry => Self::Retry,
            Outcome::Refer => Self::Refer,
        }
    }
}

impl From<Attack> for AttackAnswer {
    fn from(attack: Attack) -> Self {
        match attack {
            Attack::NotPerformed => Self { performed: false, score: None },
            Attack::Score(score) => Self { performed: true, score: Some(score) },
        }
    }
}

fn comparison(compared: &Compared, decision: &Decision) -> ComparisonAnswer {
    ComparisonAnswer {
        reference: compared.reference,
        status: compared.capture.into(),
        document: compared.document.map(DocumentAnswer::from),
        face: compared.face.as_ref().map(FaceAnswer::from),
        decision: match (compared.score, compared.matched) {
            (None, _) => ComparisonDecision::NotCompared,
            (Some(_), true) => ComparisonDecision::Match,
            (Some(_), false) => ComparisonDecision::NoMatch,
        },
        score: compared.score.map(|Score(score)| score),
        similarity: compared.score.map(|score| score.similarity(decision.scale)),
        threshold: ThresholdAnswer::from(&decision.threshold),
    }
}

impl From<&Decision> for DecisionAnswer {
    fn from(decision: &Decision) -> Self {
        let candidate = |held: &crate::types::Candidate| CandidateAnswer {
            subject: held.subject.to_string(),
            row: held.row,
            score: held.score.0,
            similarity: held.score.similarity(decision.scale),
        };
        Self {
            transaction: decision.transaction.to_string(),
            outcome: decision.verdict.outcome.into(),
            reasons: decision.verdict.reasons.iter().map(ReasonText::from).collect(),
            probe: CaptureAnswer {
                status: decision.probe.into(),
                face: decision.face.as_ref().map(FaceAnswer::from),
            },
            attack: decision.attack.into(),
            threshold: ThresholdAnswer::from(&decision.threshold),
            comparisons: decision
                .comparisons
                .iter()
                .map(|held| comparison(held, decision))
                .collect(),
            candidates: decision.candidates.iter().map(candidate).collect(),
            certificate: decision.certificate.map(CertificateAnswer::from),
            generation: decision.certificate.map(|held| held.generation),
            spent: decision.spent.into(),
        }
    }
}

impl From<&GalleryDescription> for GalleryAnswer {
    fn from(held: &GalleryDescription) -> Self {
        Self {
            gallery: held.gallery.to_string(),
            subjects: held.subjects,
            rows: held.rows,
            vacant: held.vacant,
            keys: held.kept_by.into(),
            generation: held.generation,
            epoch: held.epoch,
            bytes: held.bytes,
            residency: held.residency,
            custodian: CustodianAnswer {
                name: held.custodian.clone(),
                destroys: held.destroys.clone(),
                leaves: held.leaves.clone(),
            },
            model: held.kind.model.to_string(),
            calibration: held.kind.calibration.to_string(),
        }
    }
}

impl From<EngineVersion> for EngineAnswer {
    fn from(engine: EngineVersion) -> Self {
        let EngineVersion { backend, device, passed_over } = engine;
        let told = |(backend, why)| PassedOverAnswer { backend, why };
        Self { backend, device, passed_over: passed_over.into_iter().map(told).collect() }
    }
}

impl From<Version> for VersionAnswer {
    fn from(version: Version) -> Self {
        Self {
            product: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            api: "v1",
            networks: version.networks.into(),
            search: version.search.into(),
            model: version.kind.model.to_string(),
            calibration: version.kind.calibration.to_string(),
            basis: version.basis,
            attack_detection: version.attack_detection,
        }
    }
}

impl EmbeddedAnswer {
    /// The document of a template handed out.
    #[must_use]
    pub fn new(transaction: TransactionId, template: &Template, face: Option<&FaceReport>) -> Self {
        let bytes: &[u8] = bytemuck::cast_slice(template.values());
        let template = TemplateAnswer {
            values: base64::engine::general_purpose::STANDARD.encode(bytes),
            model: template.kind().model.to_string(),
            calibration: template.kind().calibration.to_string(),
        };
        let transaction = transaction.to_string();
        Self { transaction, template, face: face.map(FaceAnswer::from) }
    }
}

impl EnrolledAnswer {
    /// The document of an enrolment.
    #[must_use]
    pub fn new(
        transaction: TransactionId,
        subject: SubjectId,
        faces: &[FaceReport],
        generation: u64,
    ) -> Self {
        Self {
            transaction: transaction.to_string(),
            subject: subject.to_string(),
            faces: faces.iter().map(FaceAnswer::from).collect(),
            generation,
        }
    }
}
