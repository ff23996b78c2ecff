//! What is answered when who is enrolled has changed.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use utoipa::ToSchema;

use super::FaceAnswer;
use crate::{
    command::{Erased, FaceReport, HolderSecret},
    types::{SubjectId, TransactionId},
};

/// The receipt of an erasure.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErasedAnswer {
    /// Its name in the audit, which holds the same.
    pub transaction: String,
    /// In which gallery.
    pub gallery: String,
    /// Whom it named, where it named somebody.
    pub subject: Option<String>,
    /// References that were erased; null where the gallery could not be read any more.
    pub rows: Option<u64>,
    /// First generation without them.
    pub generation: u64,
    /// Every key up to this epoch's was destroyed with them. Null where the gallery went as a
    /// whole, with every key it ever had, or where nothing was there to erase.
    pub epoch_destroyed: Option<u64>,
    /// Who held the key.
    pub custodian: String,
    /// When, in seconds UTC.
    pub at: i64,
}

/// A subject that is kept in another way than before.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChangedAnswer {
    /// Its name in the audit.
    pub transaction: String,
    /// Who.
    pub subject: String,
    /// The gallery's generation in which it holds.
    pub generation: u64,
}

/// A subject with new references.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReplacedAnswer {
    /// The face of each new reference.
    pub faces: Vec<FaceAnswer>,
    /// The receipt for the old ones.
    pub erased: ErasedAnswer,
}

/// A record that only its holder can open. The secret stands here and nowhere else; the process
/// allocator wipes this text and what was serialised of it.
#[derive(Serialize, ToSchema)]
pub struct HolderEnrolledAnswer {
    /// Its name in the audit.
    pub transaction: String,
    /// The record's name: public, and worth nothing without the secret.
    pub subject: String,
    /// 32 bytes as base64: what the traveller carries. Keep no copy.
    #[schema(content_encoding = "base64")]
    pub secret: String,
    /// The face it was made of.
    pub face: Option<FaceAnswer>,
}

/// A token for the traveller to carry.
#[derive(Serialize, ToSchema)]
pub struct TokenIssuedAnswer {
    /// Its name in the audit.
    pub transaction: String,
    /// Under which the consent to it is kept, where the site has a profile: the subject of
    /// `/v1/galleries/holder-tokens/subjects/{subject}/consent`.
    pub subject: String,
    /// The token as base64, as a reference's `holderToken` takes it. For a QR code, decode it and
    /// write the bytes: they fit one of version 10 where templates have 128 dimensions.
    #[schema(content_encoding = "base64")]
    pub token: String,
    /// Its bytes, decoded.
    pub bytes: usize,
    /// The face it was made of.
    pub face: Option<FaceAnswer>,
}

impl From<&Erased> for ErasedAnswer {
    fn from(held: &Erased) -> Self {
        Self {
            transaction: held.transaction.to_string(),
            gallery: held.gallery.to_string(),
            subject: held.subject.map(|subject| subject.to_string()),
            rows: held.rows,
            generation: held.generation,
            epoch_destroyed: held.epoch_destroyed,
            custodian: held.custodian.clone(),
            at: held.at_s,
        }
    }
}

impl ChangedAnswer {
    /// The document of a change.
    #[must_use]
    pub fn new(transaction: TransactionId, subject: SubjectId, generation: u64) -> Self {
        Self { transaction: transaction.to_string(), subject: subject.to_string(), generation }
    }
}

impl ReplacedAnswer {
    /// The document of a replacement.
    #[must_use]
    pub fn new(faces: &[FaceReport], erased: &Erased) -> Self {
        Self { faces: faces.iter().map(FaceAnswer::from).collect(), erased: erased.into() }
    }
}

impl HolderEnrolledAnswer {
    /// The document of a holder's record, with its secret.
    #[must_use]
    pub fn new(
        transaction: TransactionId,
        subject: SubjectId,
        secret: &HolderSecret,
        face: Option<&FaceReport>,
    ) -> Self {
        Self {
            transaction: transaction.to_string(),
            subject: subject.to_string(),
            secret: STANDARD.encode(secret.expose()),
            face: face.map(FaceAnswer::from),
        }
    }
}

impl TokenIssuedAnswer {
    /// The document of a token.
    #[must_use]
    pub fn new(
        (transaction, subject): (TransactionId, SubjectId),
        token: &[u8],
        face: Option<&FaceReport>,
    ) -> Self {
        Self {
            transaction: transaction.to_string(),
            subject: subject.to_string(),
            token: STANDARD.encode(token),
            bytes: token.len(),
            face: face.map(FaceAnswer::from),
        }
    }
}
