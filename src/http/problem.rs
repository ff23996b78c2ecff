//! Problem documents (RFC 9457): what a request is answered with when nothing was decided.
//!
//! [`PROBLEMS`] is the contract: every code with its status and its title. `type` is a URN made of
//! the code, so that no host is named and nothing must be reachable to understand an error.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    command::Refusal,
    policy::{Language, Ruling},
    types::Reason,
};

/// Seconds after which a busy appliance is worth asking again, where nobody knows better.
const RETRY_AFTER_S: u64 = 1;

/// Every code of the API: code, status, title. Codes are never reused.
pub const PROBLEMS: &[(&str, u16, &str)] = &[
    ("ASSESSMENT_DATED", 409, "The assessment lies after its use"),
    ("ATTACK_DETECTOR_UNKNOWN", 409, "The lane has no attack detector of its own"),
    ("ATTACK_SCORE_INVALID", 422, "Not an attack score"),
    ("AUDIT_UNAVAILABLE", 503, "The audit cannot be written"),
    ("BASE64_INVALID", 400, "Not base64"),
    ("BODY_INCOMPLETE", 400, "The body ended early"),
    ("BODY_TOO_LARGE", 413, "The body is too large"),
    ("BODY_TOO_SLOW", 408, "The body took too long"),
    ("BUSY", 503, "Busy"),
    ("CANDIDATES_COUNT", 422, "Not a number of candidates"),
    ("CAPTURE_FACE_TOO_SMALL", 422, "The face is too small"),
    ("CAPTURE_NO_FACE", 422, "No face"),
    ("CAPTURE_OFF_CENTRE", 422, "The face is off centre"),
    ("CAPTURE_POOR_QUALITY", 422, "Poor quality"),
    ("CAPTURE_SEVERAL_FACES", 422, "Several faces"),
    ("CLASSES_EMPTY", 422, "No class"),
    ("CONTENT_TYPE_UNSUPPORTED", 415, "Content type not supported"),
    ("DEADLINE_INVALID", 400, "Not a deadline"),
    ("DEADLINE_OUT_OF_RANGE", 422, "Deadline out of range"),
    ("DEADLINE_PASSED", 504, "Deadline passed"),
    ("DEADLINE_UNMEETABLE", 503, "The deadline cannot be met"),
    ("DOCUMENT_BYTES_TOO_MANY", 413, "The document's file has too many bytes"),
    ("DOCUMENT_EMPTY", 422, "The document's file is empty"),
    ("DOCUMENT_ENCODING", 422, "The document's file is not encoded as it must be"),
    ("DOCUMENT_FORMAT_UNKNOWN", 415, "Not a face in a format that is read"),
    ("DOCUMENT_IMAGE_KIND", 415, "Not a kind of image that a document holds"),
    ("DOCUMENT_INCONSISTENT", 422, "The document's file contradicts itself"),
    ("DOCUMENT_MRZ", 422, "Not a machine readable zone"),
    ("DOCUMENT_NOT_RECOGNISED", 415, "Not a file of a passport chip"),
    ("DOCUMENT_PORTRAIT_COUNT", 422, "Not a number of photographs"),
    ("DOCUMENT_STRUCTURE", 422, "The document's file is not built as it must be"),
    ("DOCUMENT_TRAILING", 422, "Something follows the document's file"),
    ("DOCUMENT_TRUNCATED", 422, "The document's file is cut off"),
    ("EMBED_DISABLED", 403, "Handing out templates is switched off"),
    ("ERASURE_PENDING", 503, "Erased, but a search still runs"),
    ("FAULT", 500, "The appliance failed"),
    ("FIELD_INVALID", 400, "A field is invalid"),
    ("FMR_NOT_CALIBRATED", 422, "The calibration does not reach this rate"),
    ("FMR_RESERVED", 403, "Rates are an administrator's to choose"),
    ("FORBIDDEN", 403, "Not permitted"),
    ("GALLERIES_FULL", 409, "No room for another gallery"),
    ("GALLERY_EXISTS", 409, "The gallery exists"),
    ("GALLERY_FAULT", 500, "The gallery failed"),
    ("GALLERY_FULL", 409, "No room in the gallery"),
    ("GALLERY_KIND", 409, "The gallery keeps another kind of record"),
    ("GALLERY_UNAVAILABLE", 503, "The gallery is not served"),
    ("GALLERY_UNKNOWN", 404, "No such gallery"),
    ("HIT_SAME_PERSON", 409, "This person has answered"),
    ("HIT_SETTLED", 409, "The hit is settled"),
    ("HIT_UNKNOWN", 404, "No such hit"),
    ("HIT_UNTRAINED", 403, "No training that counts"),
    ("HOLDER_TOKEN_REFUSED", 422, "The holder token is refused"),
    ("HOLDER_UNOPENED", 404, "No record opens"),
    ("IDENTIFIER_INVALID", 400, "Not an identifier"),
    ("IDENTIFY_NOT_POSSIBLE", 409, "A search is not possible"),
    ("IMAGES_COUNT", 422, "Not a number of images"),
    ("IMAGE_ANIMATED", 415, "The image is animated"),
    ("IMAGE_BYTES_TOO_MANY", 413, "The image has too many bytes"),
    ("IMAGE_CODING_UNSUPPORTED", 415, "The image's coding is not supported"),
    ("IMAGE_COLOUR_UNSUPPORTED", 415, "The image's colour space is not supported"),
    ("IMAGE_DAMAGED", 422, "The image is damaged"),
    ("IMAGE_EMPTY", 422, "The image is empty"),
    ("IMAGE_KIND_UNKNOWN", 415, "Not an image"),
    ("IMAGE_KIND_UNSUPPORTED", 415, "The kind of image is not supported"),
    ("IMAGE_NO_AREA", 422, "The image has no area"),
    ("IMAGE_SLOT_TOO_SMALL", 500, "The appliance failed"),
    ("IMAGE_TOO_LARGE", 422, "The image has too many pixels"),
    ("IMAGE_TRUNCATED", 422, "The image is truncated"),
    ("JOURNAL_UNAVAILABLE", 503, "Transactions cannot be remembered"),
    ("JSON_INVALID", 400, "Not the JSON that this endpoint takes"),
    ("LANE_NOT_PUSHED", 409, "The lane takes no pushed frames"),
    ("LANE_OCCUPIED", 409, "Somebody stands at the lane"),
    ("LANE_UNKNOWN", 404, "No such lane"),
    ("METHOD_NOT_ALLOWED", 405, "Method not allowed"),
    ("MULTIPART_INVALID", 400, "Not the multipart form that this endpoint takes"),
    ("NOT_READY", 503, "Not ready"),
    ("PROFILE_INCOMPLETE", 409, "The profile is not complete"),
    ("PURPOSE_MISSING", 400, "A purpose is needed"),
    ("REFERENCES_COUNT", 422, "Not a number of references"),
    ("REFERENCE_INVALID", 400, "Not a reference"),
    ("REGISTER_FAULT", 500, "The register failed"),
    ("REGISTER_FULL", 409, "No room in the register"),
    ("RETRY_NOT_OFFERED", 409, "No further attempt"),
    ("ROUTE_UNKNOWN", 404, "No such route"),
    ("SITE_NONE", 409, "No profile is chosen"),
    ("SITE_NOT_ASSESSED", 409, "The site was not assessed"),
    ("SUBJECT_ENDED_MEANWHILE", 409, "Erased or withdrawn meanwhile"),
    ("SUBJECT_FULL", 409, "No room for another reference"),
    ("SUBJECT_NOT_VALID", 409, "The subject is outside its validity"),
    ("SUBJECT_RESTRICTED", 409, "The subject is restricted"),
    ("SUBJECT_UNKNOWN", 404, "No such subject"),
    ("TEMPLATE_FOREIGN_CALIBRATION", 409, "A template of another calibration"),
    ("TEMPLATE_FOREIGN_MODEL", 409, "A template of another model"),
    ("TEMPLATE_LENGTH", 422, "Not a template"),
    ("TEMPLATE_OUT_OF_RANGE", 422, "Not a template"),
    ("TOKENS_DISABLED", 501, "No issuer of holder tokens"),
    ("TOKEN_EXPIRED", 401, "The token has expired"),
    ("TOKEN_MISSING", 401, "A token is needed"),
    ("TOKEN_UNKNOWN", 401, "The token is not known"),
    ("TRANSACTION_NOT_REFERRED", 409, "Nothing to override"),
    ("TRANSACTION_OTHER_LANE", 409, "The transaction is another lane's"),
    ("TRANSACTION_UNKNOWN", 404, "No such transaction"),
    ("VALIDITY_EMPTY", 422, "The validity is empty"),
    ("WATCHERS_FULL", 503, "Enough callers watch"),
];

/// The body of every answer that decides nothing.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDocument {
    /// `urn:portcullis:problem:` and the code in lower case.
    #[serde(rename = "type")]
    kind: String,
    /// What kind of problem it is; the same for every occurrence.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened here, and what to do next.
    detail: String,
    /// The stable code: branch on this.
    code: &'static str,
    /// Why the law as text refused; for code FORBIDDEN.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<RulingText>,
}

/// A reason of the policy.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct ReasonText {
    /// Stable code.
    pub code: &'static str,
    /// One sentence for an operator.
    pub text: &'static str,
}

impl From<&Reason> for ReasonText {
    fn from(reason: &Reason) -> Self {
        Self { code: reason.code, text: reason.text }
    }
}

/// A reason for which the law refuses, to be told to whoever stands there.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RulingText {
    /// Stable code.
    code: &'static str,
    /// The legal source; absent for a rule of the deployer's own that names none.
    #[serde(skip_serializing_if = "str::is_empty")]
    source: &'static str,
    /// The article; absent likewise.
    #[serde(skip_serializing_if = "str::is_empty")]
    article: &'static str,
    /// One sentence in English.
    text: &'static str,
    /// The sentence by language: en, nl, da, sv and zh (BCP 47).
    sentences: BTreeMap<&'static str, &'static str>,
}

impl From<&Ruling> for RulingText {
    fn from(ruling: &Ruling) -> Self {
        let told = |&language: &Language| (language.tag(), ruling.sentence(language));
        Self {
            code: ruling.reason.code,
            source: ruling.source,
            article: ruling.article,
            text: ruling.reason.text,
            sentences: Language::ALL.iter().map(told).collect(),
        }
    }
}

/// The code of a problem, left on its response for the meter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted(pub(super) &'static str);

/// A problem on its way out.
#[derive(Debug)]
pub struct Problem {
    code: &'static str,
    status: StatusCode,
    title: &'static str,
    detail: String,
    reasons: Vec<RulingText>,
    retry_after_s: u64,
}

impl Problem {
    /// The problem `code` of [`PROBLEMS`], here because of `detail`.
    #[must_use]
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        let row = PROBLEMS.iter().find(|row| row.0 == code);
        let &(code, status, title) = row.unwrap_or(&("FAULT", 500, "The appliance failed"));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (detail, retry_after_s) = (detail.into(), RETRY_AFTER_S);
        Self { code, status, title, detail, reasons: Vec::new(), retry_after_s }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let mut problem = Self::new(refusal.code(), refusal.to_string());
        match &refusal {
            Refusal::Forbidden(rulings) => {
                problem.reasons = rulings.iter().map(RulingText::from).collect();
            }
            Refusal::TooLate { retry_after_s, .. } => problem.retry_after_s = *retry_after_s,
            _ => {}
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = ProblemDocument {
            kind: format!("urn:portcullis:problem:{}", self.code.to_ascii_lowercase()),
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code,
            reasons: self.reasons,
        };
        let mut response = (self.status, Json(document)).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after_s));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Counted(self.code));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        command::{PushRefused, RegisterError},
        document::{
            error::{DocumentError, MrzProblem},
            image::{ImageError, ImageKind},
        },
        transaction::journal::JournalError,
        types::{CaptureFact, LaneId, TemplateError, TransactionId},
    };

    #[test]
    fn the_table_is_sorted_and_every_code_stands_once() {
        assert!(PROBLEMS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    fn documents() -> [DocumentError; 13] {
        let (what, at) = ("element", 0);
        [
            DocumentError::Empty,
            DocumentError::BytesTooMany { held: 2, most: 1 },
            DocumentError::NotRecognised { expected: what, first: 0 },
            DocumentError::Truncated { what, at, needed: 2, held: 1 },
            DocumentError::Encoding { at, encoding: what },
            DocumentError::Unexpected { at, expected: what, found: 0 },
            DocumentError::Inconsistent { what, stated: 1, held: 2 },
            DocumentError::Trailing { what, bytes: 9, most: 8 },
            DocumentError::FormatUnknown { what, found: 0 },
            DocumentError::PortraitCount { count: 0, most: 9 },
            DocumentError::Image { portrait: 0, error: ImageError::Empty },
            DocumentError::ImageKind { portrait: 0, kind: ImageKind::Png },
            DocumentError::Mrz { problem: MrzProblem::Length { held: 0 } },
        ]
    }

    fn registers(lane: &LaneId) -> [RegisterError; 5] {
        let transaction = TransactionId::from_bytes([0; 16]);
        let journal = JournalError { place: String::new(), act: "", why: String::new() };
        [
            RegisterError::OtherLane { transaction, lane: lane.clone() },
            RegisterError::LaneOccupied { lane: lane.clone() },
            RegisterError::NoRetry { earlier: transaction },
            RegisterError::Unknown { transaction },
            RegisterError::Journal(journal),
        ]
    }

    fn of_site() -> [Refusal; 11] {
        use crate::{command::VoteRefused, profile::StepRefused};
        [
            Refusal::NoSite,
            Refusal::Step(StepRefused::Incomplete { faults: Vec::new() }),
            Refusal::Step(StepRefused::NotAssessed),
            Refusal::Step(StepRefused::Dated),
            Refusal::Consents(crate::register::RegisterError::Full),
            Refusal::Consents(crate::register::RegisterError::EndedMeanwhile),
            Refusal::Consents(crate::register::RegisterError::Damaged { table: "consents" }),
            Refusal::Vote(VoteRefused::Unknown),
            Refusal::Vote(VoteRefused::Untrained),
            Refusal::Vote(VoteRefused::Settled),
            Refusal::NotReferred { transaction: TransactionId::from_bytes([0; 16]) },
        ]
    }

    fn pushes(lane: &LaneId) -> [PushRefused; 5] {
        [
            PushRefused::NotPushed { lane: lane.clone(), source_kind: "directory" },
            PushRefused::Image(ImageError::Empty),
            PushRefused::DetectorUnknown { lane: lane.clone() },
            PushRefused::DetectorScore { score: 2.0 },
            PushRefused::Stopping,
        ]
    }

    #[test]
    fn every_refusal_has_a_row() {
        use crate::{command::Part, gallery::GalleryError};
        let lane: LaneId = "gate-1".parse().expect("a name");
        let gallery: crate::types::GalleryId = "g".parse().expect("a name");
        let subject = crate::types::SubjectId::from_bytes([0; 16]);
        let part = Part::Probe;
        let captures = [
            CaptureFact::NoFace,
            CaptureFact::SeveralFaces,
            CaptureFact::FaceTooSmall,
            CaptureFact::OffCentre,
            CaptureFact::PoorQuality,
        ];
        let mut refusals = vec![
            Refusal::Template { part, error: TemplateError::OutOfRange { index: 0 } },
            Refusal::Template { part, error: TemplateError::Length { expected: 1, held: 2 } },
            Refusal::TokensDisabled,
            Refusal::IdentifyNotPossible { gallery: gallery.clone() },
            Refusal::GalleryKind { gallery: gallery.clone(), why: "" },
            Refusal::GalleryUnavailable { gallery: gallery.clone(), why: String::new() },
            Refusal::GalleryFault { gallery: gallery.clone(), why: String::new() },
            Refusal::References { held: 0, most: 8 },
            Refusal::Images { held: 0, most: 4 },
            Refusal::Candidates { held: 0, most: 256 },
            Refusal::Deadline { held_ms: 0, most_ms: 1 },
            Refusal::Fmr { fmr: 1e-9, why: String::new() },
            Refusal::UnknownGallery { gallery: gallery.clone() },
            Refusal::GalleryExists { gallery: gallery.clone() },
            Refusal::Forbidden(Vec::new()),
            Refusal::FmrReserved,
            Refusal::EmbedDisabled,
            Refusal::GalleriesFull { most: 1 },
            Refusal::ErasurePending { why: String::new() },
            Refusal::Audit,
            Refusal::Busy,
            Refusal::TooLate { needed_ms: 2, deadline_ms: 1, retry_after_s: 1 },
            Refusal::UnknownLane { lane: lane.clone() },
            Refusal::Late { deadline_ms: 1 },
            Refusal::NotReady { why: "starting" },
            Refusal::Fault { what: "a stage" },
            Refusal::WatchersFull { most: 1 },
        ];
        refusals.extend(registers(&lane).map(Refusal::from));
        refusals.extend(of_site());
        refusals.extend(captures.map(|capture| Refusal::Capture { part, capture }));
        refusals.extend(documents().map(|error| Refusal::Document { part, error }));
        let errors = [
            GalleryError::NoClass,
            GalleryError::NoTemplate,
            GalleryError::Validity { not_before_s: 2, expiry_s: 1 },
            GalleryError::References { subject, held: 4, more: 1, most: 4 },
            GalleryError::Full { held: 1, more: 1, most: 1 },
            GalleryError::UnknownSubject { subject },
            GalleryError::Restricted { subject },
            GalleryError::NotValid { subject },
        ];
        refusals.extend(pushes(&lane).map(Refusal::Push));
        let inside = |error| Refusal::Gallery { gallery: gallery.clone(), error };
        refusals.extend(errors.map(inside));
        for refusal in refusals {
            let code = refusal.code();
            assert!(PROBLEMS.iter().any(|row| row.0 == code), "{code} has no row");
        }
    }

    #[test]
    fn a_problem_is_rfc_9457() {
        let response = Problem::from(Refusal::Busy).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        let later = Refusal::TooLate { needed_ms: 9_000, deadline_ms: 1_000, retry_after_s: 8 };
        let response = Problem::from(later).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "8");
    }
}
