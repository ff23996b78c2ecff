//! Holder templates (EDPB Opinion 11/2024, scenario 1): the template is in the traveller's hands,
//! as a QR code or in a wallet, and nowhere else.
//!
//! A token is COSE (RFC 9052): a COSE_Encrypt0 around a COSE_Sign1, in the order *sign, then
//! encrypt*, so that nobody can put another signature on a ciphertext.
//! ```text
//! COSE_Encrypt0 (tag 16)
//!   protected    {1: 3 (A256GCM), 4: hint (4 bytes of the issuer's id), 5: nonce (12)}
//!   unprotected  {}
//!   ciphertext   COSE_Sign1 (no tag)
//!                  protected    {1: -8 (EdDSA)}
//!                  unprotected  {}
//!                  payload      [template, kind hint (4), not before, lifetime in s, purpose]
//!                  signature    Ed25519
//! bound to the seal        "portcullis holder token 1"
//! bound to the signature   "portcullis holder template 1" ‖ model hash ‖ calibration hash ‖ dims
//! ```
//! The hashes of model and calibration are signed and not carried: the gate knows its own, and a
//! token of another model does not verify. Four bytes of them are carried so that this can be said.
//!
//! **Sealed with the appliance's key, not with a secret of the holder.** A QR code is photographed
//! as easily as it is shown, and a secret printed beside the ciphertext protects nothing. Sealed to
//! the gates, a lost or copied token tells its finder nothing about the face. The price: the
//! operator could open any token that is shown to it. It keeps none.
//!
//! Invariant: a byte of a template is looked at only after seal, signature, model, time and purpose
//! were found right; every bit of a token is under the seal or refused for its form. Nothing here
//! touches a disk.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use coset::{
    CborSerializable, CoseEncrypt0, CoseEncrypt0Builder, CoseSign1, CoseSign1Builder, Header,
    HeaderBuilder, TaggedCborSerializable, cbor::value::Value, iana,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::issuer::{IssuerId, IssuerKey, ReaderKey};
use crate::{
    keys::aead::{self, NONCE_BYTES, TAG_BYTES},
    random::Entropy,
    types::{Purpose, Template, TemplateError, TemplateKind},
};

/// Bytes of a token's own number.
pub const TOKEN_NUMBER_BYTES: usize = NONCE_BYTES;

/// Longest token: what a QR code of version 40, level L, holds.
pub const TOKEN_BYTES_MAX: usize = 2953;

const SEAL_TEXT: &[u8] = b"portcullis holder token 1";
const SIGNED_TEXT: &[u8] = b"portcullis holder template 1";
const HINT_BYTES: usize = 4;
const FIELDS: usize = 5;

/// When and for what a token may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First second (civil, UTC) at which it counts.
    pub not_before_s: i64,
    /// First second at which it no longer does.
    pub expiry_s: i64,
    /// The one purpose it was issued for.
    pub purpose: Purpose,
}

/// A token that was found right: a reference for one comparison.
pub struct HolderTemplate {
    /// The reference.
    pub template: Template,
    /// When and for what.
    pub validity: Validity,
    /// Who issued it.
    pub issuer: IssuerId,
    /// The token's own number, safe to log: a token that was reported lost can be refused by it.
    pub token: [u8; NONCE_BYTES],
}

/// Why a token was not issued or not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// More than a QR code holds.
    #[error("a holder template has at most {TOKEN_BYTES_MAX} bytes, this has {bytes}")]
    TooLong {
        /// Bytes given.
        bytes: usize,
    },
    /// Not a token.
    #[error("these bytes are no holder template: {why}")]
    Malformed {
        /// What does not fit.
        why: &'static str,
    },
    /// An issuer that this gate does not know.
    #[error("the holder template is of an issuer that is not accepted here (key id {hint}…)")]
    ForeignIssuer {
        /// The first bytes of the issuer's id.
        hint: String,
    },
    /// It is not what the issuer sealed and signed.
    #[error("the holder template is altered, or sealed for other gates")]
    Altered,
    /// It belongs to another model or calibration.
    #[error("the holder template is of another model or calibration ({held}… is not {expected}…)")]
    ForeignKind {
        /// What is in use: the hint of model and calibration.
        expected: String,
        /// The token's.
        held: String,
    },
    /// Its time has not come.
    #[error("the holder template is valid from second {not_before_s} (UTC), it is {now_s}")]
    NotYetValid {
        /// Begin.
        not_before_s: i64,
        /// Now.
        now_s: i64,
    },
    /// Its time is over.
    #[error("the holder template expired at second {expiry_s} (UTC)")]
    Expired {
        /// End.
        expiry_s: i64,
    },
    /// It was issued for something else.
    #[error("the holder template was issued for {held:?}, not for {asked:?}")]
    ForeignPurpose {
        /// What it was issued for.
        held: Purpose,
        /// What it was shown for.
        asked: Purpose,
    },
    /// A validity that no token can have.
    #[error("a holder template cannot be valid from second {not_before_s} until before {expiry_s}")]
    Validity {
        /// Begin.
        not_before_s: i64,
        /// End.
        expiry_s: i64,
    },
    /// What it carries is no template.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl IssuerKey {
    /// Issues a token for `template`.
    ///
    /// # Errors
    /// [`TokenError::Validity`] or [`TokenError::TooLong`].
    pub fn issue(
        &self,
        template: &Template,
        validity: Validity,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, TokenError> {
        let Validity { not_before_s, expiry_s, purpose } = validity;
        let lifetime_s = expiry_s.checked_sub(not_before_s).filter(|&lifetime_s| lifetime_s > 0);
        let (Some(lifetime_s), 0..) = (lifetime_s, not_before_s) else {
            return Err(TokenError::Validity { not_before_s, expiry_s });
        };
        let values = template.values().iter().map(|value| value.cast_unsigned()).collect();
        let payload = Value::Array(vec![
            Value::Bytes(values),
            Value::Bytes(kind_hint(template.kind()).to_vec()),
            Value::from(not_before_s),
            Value::from(lifetime_s),
            Value::from(purpose_number(purpose)),
        ]);
        let mut payload = Plain(encoded(payload));
        let mut signed = CoseSign1Builder::new()
            .protected(HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).build())
            .payload(std::mem::take(&mut payload.0))
            .create_signature(&signed_text(template.kind()), |text| self.sign(text).to_vec())
            .build();
        let plain = signed.clone().to_vec();
        signed.payload.zeroize();
        let plain = Plain(plain.expect("what was built here has a form"));
        let token = sealed(self.id(), self.sealing(), &plain.0, entropy);
        match token.len() {
            ..=TOKEN_BYTES_MAX => Ok(token),
            bytes => Err(TokenError::TooLong { bytes }),
        }
    }
}

impl ReaderKey {
    /// Seals `inner` as a token would be, without signing it: what somebody could make who stole a
    /// gate's key. It exists for tests of the refusal; no gate accepts it.
    #[must_use]
    pub fn seal_unsigned(&self, inner: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        sealed(self.id(), self.sealing(), inner, entropy)
    }
}

/// Opens `token`, of one of `issuers`, for a comparison under `kind` at `now_s` for `purpose`.
///
/// # Errors
/// [`TokenError`]; nothing of the template is then left.
pub fn open(
    token: &[u8],
    issuers: &[ReaderKey],
    kind: &TemplateKind,
    purpose: Purpose,
    now_s: i64,
) -> Result<HolderTemplate, TokenError> {
    let outer = outer(token)?;
    let (hint, nonce) = outer_parameters(&outer)?;
    let mut known =
        issuers.iter().filter(|issuer| issuer.id().as_bytes().starts_with(hint)).peekable();
    if known.peek().is_none() {
        return Err(TokenError::ForeignIssuer { hint: hex(hint) });
    }
    for issuer in known {
        let Some(plain) = unsealed(&outer, nonce, issuer) else { continue };
        let Claims { values, validity, .. } = verified(&plain.0, issuer, kind)?;
        validity.admits(purpose, now_s)?;
        let values = values.0.iter().map(|value| value.cast_signed()).collect();
        let template = Template::new(values, *kind)?;
        return Ok(HolderTemplate { template, validity, issuer: issuer.id(), token: *nonce });
    }
    Err(TokenError::Altered)
}

/// The token's own number, as [`HolderTemplate::token`] has it. Nothing of it is believed yet.
///
/// # Errors
/// [`TokenError`].
pub fn number(token: &[u8]) -> Result<[u8; TOKEN_NUMBER_BYTES], TokenError> {
    let outer = outer(token)?;
    outer_parameters(&outer).map(|(_, nonce)| *nonce)
}

impl Validity {
    fn admits(&self, asked: Purpose, now_s: i64) -> Result<(), TokenError> {
        let Validity { not_before_s, expiry_s, purpose: held } = *self;
        if now_s < not_before_s {
            Err(TokenError::NotYetValid { not_before_s, now_s })
        } else if now_s >= expiry_s {
            Err(TokenError::Expired { expiry_s })
        } else if held != asked {
            Err(TokenError::ForeignPurpose { held, asked })
        } else {
            Ok(())
        }
    }
}

/// Bytes that were sealed; wiped when dropped.
struct Plain(Vec<u8>);

impl Drop for Plain {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

fn malformed(why: &'static str) -> TokenError {
    TokenError::Malformed { why }
}

/// The outer structure, in the one form that is written.
fn outer(token: &[u8]) -> Result<CoseEncrypt0, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::TooLong { bytes: token.len() });
    }
    let outer = CoseEncrypt0::from_tagged_slice(token);
    let outer = outer.map_err(|_| malformed("it is no COSE_Encrypt0"))?;
    let again = outer.clone().to_tagged_vec();
    if again.ok().as_deref() != Some(token) {
        return Err(malformed("it is not written in the shortest form"));
    }
    if !outer.unprotected.is_empty() {
        return Err(malformed("it has a header that is not protected"));
    }
    Ok(outer)
}

fn outer_parameters(
    outer: &CoseEncrypt0,
) -> Result<(&[u8; HINT_BYTES], &[u8; NONCE_BYTES]), TokenError> {
    let header = &outer.protected.header;
    let hint = header.key_id.as_slice().try_into();
    let hint = hint.map_err(|_| malformed("its key id has another length"))?;
    let nonce = header.iv.as_slice().try_into();
    let nonce = nonce.map_err(|_| malformed("its nonce has another length"))?;
    let expected = outer_header(hint, nonce);
    if *header != expected {
        return Err(malformed("its header names another algorithm, or more than it should"));
    }
    Ok((hint, nonce))
}

fn outer_header(hint: &[u8; HINT_BYTES], nonce: &[u8; NONCE_BYTES]) -> Header {
    HeaderBuilder::new()
        .algorithm(iana::Algorithm::A256GCM)
        .key_id(hint.to_vec())
        .iv(nonce.to_vec())
        .build()
}

fn sealed(
    issuer: IssuerId,
    sealing: &crate::keys::Key,
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Vec<u8> {
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill(&mut nonce);
    let hint = issuer.as_bytes().first_chunk().expect("an id has eight bytes");
    CoseEncrypt0Builder::new()
        .protected(outer_header(hint, &nonce))
        .create_ciphertext(plain, SEAL_TEXT, |plain, bound| {
            let mut bytes = plain.to_vec();
            let tag = aead::seal(sealing.expose(), &nonce, bound, &mut bytes);
            bytes.extend(tag);
            bytes
        })
        .build()
        .to_tagged_vec()
        .expect("what was built here has a form")
}

fn unsealed(outer: &CoseEncrypt0, nonce: &[u8; NONCE_BYTES], issuer: &ReaderKey) -> Option<Plain> {
    let plain = outer.decrypt_ciphertext(
        SEAL_TEXT,
        || aead::NotOpened,
        |sealed, bound| {
            let (bytes, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(aead::NotOpened)?;
            let mut bytes = bytes.to_vec();
            aead::open(issuer.sealing().expose(), nonce, bound, &mut bytes, tag).map(|()| bytes)
        },
    );
    plain.ok().map(Plain)
}

/// The signed part: signature first, then what it says.
fn verified(plain: &[u8], issuer: &ReaderKey, kind: &TemplateKind) -> Result<Claims, TokenError> {
    let signed = CoseSign1::from_slice(plain);
    let mut signed = signed.map_err(|_| malformed("what it seals is no COSE_Sign1"))?;
    let mut payload = Plain(signed.payload.clone().unwrap_or_default());
    let is_signed = signed.verify_signature(&signed_text(kind), |signature, text| {
        issuer.verifies(text, signature).then_some(()).ok_or(())
    });
    signed.payload.zeroize();
    let claims = claims(&payload.0);
    payload.0.zeroize();
    let claims = claims?;
    let expected = kind_hint(kind);
    if claims.kind != expected {
        let (expected, held) = (hex(&expected), hex(&claims.kind));
        return Err(TokenError::ForeignKind { expected, held });
    }
    let algorithm = HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).build();
    if is_signed.is_err() || signed.protected.header != algorithm || !signed.unprotected.is_empty()
    {
        return Err(TokenError::Altered);
    }
    Ok(claims)
}

/// What a token says about itself.
struct Claims {
    values: Plain,
    kind: [u8; HINT_BYTES],
    validity: Validity,
}

fn claims(payload: &[u8]) -> Result<Claims, TokenError> {
    let value = Value::from_slice(payload).map_err(|_| malformed("its payload is no CBOR"))?;
    let Value::Array(fields) = value else { return Err(malformed("its payload is no array")) };
    let fields = <[Value; FIELDS]>::try_from(fields);
    let fields = fields.map_err(|_| malformed("its payload has another number of fields"))?;
    let [values, kind, not_before_s, lifetime_s, purpose] = fields;
    let values = values.into_bytes().map_err(|_| malformed("its template is no bytes"))?;
    let values = Plain(values);
    let kind = kind.into_bytes().ok().and_then(|kind| kind.try_into().ok());
    let kind = kind.ok_or_else(|| malformed("its model is named in another way"))?;
    let number = |value: Value| {
        let number = value.into_integer().ok().and_then(|number| i64::try_from(number).ok());
        number.filter(|&number| number >= 0).ok_or_else(|| malformed("a number is out of range"))
    };
    let (not_before_s, lifetime_s) = (number(not_before_s)?, number(lifetime_s)?);
    let expiry_s = not_before_s.checked_add(lifetime_s);
    let expiry_s = expiry_s.ok_or_else(|| malformed("it would expire after the end of time"))?;
    let purpose = number(purpose)?;
    let purpose = PURPOSES.into_iter().find(|&known| purpose_number(known) == purpose);
    let purpose = purpose.ok_or_else(|| malformed("its purpose is not known"))?;
    Ok(Claims { values, kind, validity: Validity { not_before_s, expiry_s, purpose } })
}

fn encoded(value: Value) -> Vec<u8> {
    value.to_vec().expect("a writer in memory never fails")
}

fn signed_text(kind: &TemplateKind) -> Vec<u8> {
    let (model, calibration) = (kind.model.as_bytes(), kind.calibration.as_bytes());
    [SIGNED_TEXT, model, calibration, &kind.dims.to_le_bytes()].concat()
}

/// Enough of model and calibration to name a mismatch; the signature covers all of them.
fn kind_hint(kind: &TemplateKind) -> [u8; HINT_BYTES] {
    let hash = Sha256::digest(signed_text(kind));
    *hash.first_chunk().expect("a hash has 32 bytes")
}

const PURPOSES: [Purpose; 5] = [
    Purpose::AccessControl,
    Purpose::Boarding,
    Purpose::BorderControl,
    Purpose::Evaluation,
    Purpose::Watchlist,
];

/// The number of a purpose in a token; never reused.
fn purpose_number(purpose: Purpose) -> i64 {
    match purpose {
        Purpose::AccessControl => 1,
        Purpose::Boarding => 2,
        Purpose::BorderControl => 3,
        Purpose::Evaluation => 4,
        Purpose::Watchlist => 5,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
