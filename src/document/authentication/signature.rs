//! The verifier: the one file that knows the libraries. Keys and signatures in, true or false out.
//!
//! RSA is RustCrypto's `rsa`; the curves are RustCrypto's `p256`, `p384`, `p521`, `bp256`, `bp384`
//! and our constants of brainpoolP512r1 over the same `primeorder`, all verified by the one generic
//! `ecdsa`. docs/notes/passive-authentication.md weighs the alternatives.
//!
//! Sizes: RSA from 1024 to 6144 bits (the largest CSCA key of a national master list); what is
//! shorter than 2048 is verified and called short, so that the policy decides about genuine old
//! documents; below 1024 anybody can sign.
//!
//! Invariant: nothing here is secret, and no private key ever exists.

use std::fmt;

use der::{Tag, asn1::ObjectIdentifier};
use ecdsa::EcdsaCurve;
use elliptic_curve::{
    AffinePoint, CurveArithmetic, FieldBytes, FieldBytesSize, PublicKey as Point,
    sec1::{FromSec1Point, ModulusSize, ToSec1Point},
};
use rsa::{
    BoxedUint, Pkcs1v15Sign, Pss, RsaPublicKey,
    traits::{PublicKeyParts, SignatureScheme},
};
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::{
    asn1::{Element, Malformed, context},
    brainpool512::BrainpoolP512r1,
    curve::Curve,
    hash::{Digested, Hash, end_after_null},
};
use crate::limits::{RSA_BITS_MAX, RSA_BITS_MIN};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

const TABLE: [(ObjectIdentifier, Scheme); 10] = [
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5"), Scheme::Pkcs1(Hash::Sha1)),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.14"), Scheme::Pkcs1(Hash::Sha224)),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"), Scheme::Pkcs1(Hash::Sha256)),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"), Scheme::Pkcs1(Hash::Sha384)),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"), Scheme::Pkcs1(Hash::Sha512)),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"), Scheme::Ecdsa(Hash::Sha1)),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.1"), Scheme::Ecdsa(Hash::Sha224)),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"), Scheme::Ecdsa(Hash::Sha256)),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"), Scheme::Ecdsa(Hash::Sha384)),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4"), Scheme::Ecdsa(Hash::Sha512)),
];

/// How a signature is made of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Pkcs1(Hash),
    Pss { hash: Hash, salt_bytes: usize },
    Ecdsa(Hash),
}

impl Scheme {
    /// Reads an `AlgorithmIdentifier`; `None` is one that is not accepted. CMS lets a signer say
    /// only `rsaEncryption` and leave the digest to its own field, which is `digest` here.
    pub(super) fn read(
        algorithm: Element<'_>,
        digest: Option<Hash>,
    ) -> Result<Option<Self>, Malformed> {
        let mut walk = algorithm.walk(Tag::Sequence)?;
        let identifier = walk.identifier()?;
        if identifier == RSA_PSS {
            let parameters = walk.optional(Tag::Sequence)?;
            walk.end()?;
            return parameters.map_or(Ok(None), pss);
        }
        end_after_null(walk)?;
        if identifier == RSA {
            return Ok(digest.map(Self::Pkcs1));
        }
        Ok(TABLE.iter().find(|(held, _)| *held == identifier).map(|&(_, scheme)| scheme))
    }

    pub(super) fn hash(self) -> Hash {
        match self {
            Self::Pkcs1(hash) | Self::Pss { hash, .. } | Self::Ecdsa(hash) => hash,
        }
    }
}

/// `RSASSA-PSS-params`. Absent fields mean SHA-1 and 20 octets, as the standard has it. A mask made
/// with another digest than the message's, which the standards advise against, is not accepted.
fn pss(parameters: Element<'_>) -> Result<Option<Scheme>, Malformed> {
    let mut walk = parameters.walk(Tag::Sequence)?;
    let hash = match walk.optional(context(0))? {
        Some(held) => Hash::read(Element::whole(held.value)?)?,
        None => Some(Hash::Sha1),
    };
    let mask = match walk.optional(context(1))? {
        Some(held) => {
            let mut mask = Element::whole(held.value)?.walk(Tag::Sequence)?;
            let identifier = mask.identifier()?;
            let hash = Hash::read(mask.next()?)?;
            mask.end()?;
            hash.filter(|_| identifier == MGF1)
        }
        None => Some(Hash::Sha1),
    };
    let salt_bytes = match walk.optional(context(2))? {
        Some(held) => usize::from(Element::whole(held.value)?.small()?),
        None => 20,
    };
    let trailer = match walk.optional(context(3))? {
        Some(held) => Element::whole(held.value)?.small()?,
        None => 1,
    };
    walk.end()?;
    let agreed = hash.filter(|_| mask == hash && trailer == 1);
    Ok(agreed.map(|hash| Scheme::Pss { hash, salt_bytes }))
}

/// A public key that signatures can be verified with.
#[derive(Clone)]
pub(super) enum PublicKey {
    /// For either kind of RSA signature.
    Rsa(RsaPublicKey),
    /// For PSS alone, as its identifier says; and where it says so, with this digest alone and no
    /// shorter salt (RFC 4055, 1.2).
    RsaPss(RsaPublicKey, Option<(Hash, usize)>),
    P256(Point<p256::NistP256>),
    P384(Point<p384::NistP384>),
    P521(Point<p521::NistP521>),
    Brainpool256(Point<bp256::BrainpoolP256r1>),
    Brainpool384(Point<bp384::BrainpoolP384r1>),
    Brainpool512(Point<BrainpoolP512r1>),
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo`; `None` is a key that is not accepted: another kind, another
    /// curve, another size, a point beside its curve.
    pub(super) fn read(spki: Element<'_>) -> Result<Option<Self>, Malformed> {
        let mut walk = spki.walk(Tag::Sequence)?;
        let algorithm = walk.take(Tag::Sequence)?;
        let bits = walk.next()?.bit_octets()?;
        walk.end()?;
        let mut algorithm = algorithm.walk(Tag::Sequence)?;
        let identifier = algorithm.identifier()?;
        if identifier == EC_PUBLIC_KEY {
            let curve = Curve::read(algorithm.next()?)?;
            algorithm.end()?;
            return Ok(curve.and_then(|curve| Self::on(curve, bits)));
        }
        if identifier == RSA {
            return Ok(rsa_key(bits)?.map(Self::Rsa));
        }
        if identifier == RSA_PSS {
            let bound = match algorithm.optional(Tag::Sequence)? {
                Some(parameters) => match pss(parameters)? {
                    Some(Scheme::Pss { hash, salt_bytes }) => Some((hash, salt_bytes)),
                    _ => return Ok(None),
                },
                None => None,
            };
            algorithm.end()?;
            return Ok(rsa_key(bits)?.map(|key| Self::RsaPss(key, bound)));
        }
        Ok(None)
    }

    fn on(curve: Curve, bytes: &[u8]) -> Option<Self> {
        match curve {
            Curve::P256 => point(bytes).map(Self::P256),
            Curve::P384 => point(bytes).map(Self::P384),
            Curve::P521 => point(bytes).map(Self::P521),
            Curve::Brainpool256 => point(bytes).map(Self::Brainpool256),
            Curve::Brainpool384 => point(bytes).map(Self::Brainpool384),
            Curve::Brainpool512 => point(bytes).map(Self::Brainpool512),
        }
    }

    /// Whether it is an RSA key of fewer than 2048 bits.
    pub(super) fn is_short(&self) -> bool {
        let (Self::Rsa(key) | Self::RsaPss(key, _)) = self else { return false };
        key.n().bits_vartime() < 2048
    }

    /// Whether `signature` is this key's over `message`.
    pub(super) fn verifies(&self, scheme: Scheme, message: &[u8], signature: &[u8]) -> bool {
        let digest = scheme.hash().of(message);
        match (self, scheme) {
            (Self::Rsa(key), Scheme::Pkcs1(hash)) => pkcs1_verifies(key, hash, &digest, signature),
            (Self::Rsa(key), Scheme::Pss { hash, salt_bytes }) => {
                pss_verifies(key, hash, salt_bytes, &digest, signature)
            }
            (Self::RsaPss(key, bound), Scheme::Pss { hash, salt_bytes }) => {
                bound.is_none_or(|(only, least)| hash == only && salt_bytes >= least)
                    && pss_verifies(key, hash, salt_bytes, &digest, signature)
            }
            (Self::P256(key), Scheme::Ecdsa(_)) => ecdsa_verifies(key, &digest, signature),
            (Self::P384(key), Scheme::Ecdsa(_)) => ecdsa_verifies(key, &digest, signature),
            (Self::P521(key), Scheme::Ecdsa(_)) => ecdsa_verifies(key, &digest, signature),
            (Self::Brainpool256(key), Scheme::Ecdsa(_)) => ecdsa_verifies(key, &digest, signature),
            (Self::Brainpool384(key), Scheme::Ecdsa(_)) => ecdsa_verifies(key, &digest, signature),
            (Self::Brainpool512(key), Scheme::Ecdsa(_)) => ecdsa_verifies(key, &digest, signature),
            (Self::Rsa(_) | Self::RsaPss(..), Scheme::Ecdsa(_)) => false,
            (_, Scheme::Pkcs1(_) | Scheme::Pss { .. }) => false,
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(key) => write!(f, "RSA, {} bits", key.n().bits_vartime()),
            Self::RsaPss(key, _) => write!(f, "RSA for PSS, {} bits", key.n().bits_vartime()),
            Self::P256(_) => f.write_str("P-256"),
            Self::P384(_) => f.write_str("P-384"),
            Self::P521(_) => f.write_str("P-521"),
            Self::Brainpool256(_) => f.write_str("brainpoolP256r1"),
            Self::Brainpool384(_) => f.write_str("brainpoolP384r1"),
            Self::Brainpool512(_) => f.write_str("brainpoolP512r1"),
        }
    }
}

/// `RSAPublicKey`.
fn rsa_key(bytes: &[u8]) -> Result<Option<RsaPublicKey>, Malformed> {
    let mut walk = Element::whole(bytes)?.walk(Tag::Sequence)?;
    let (modulus, exponent) = (walk.next()?.unsigned()?, walk.next()?.unsigned()?);
    walk.end()?;
    // Before any arithmetic: a modulus as long as the file would cost its square.
    if modulus.len() > RSA_BITS_MAX.div_ceil(8) || exponent.len() > 8 {
        return Ok(None);
    }
    let modulus = BoxedUint::from_be_slice_vartime(modulus);
    let exponent = BoxedUint::from_be_slice_vartime(exponent);
    let key = RsaPublicKey::new_with_size_limits(modulus, exponent, RSA_BITS_MIN..=RSA_BITS_MAX);
    Ok(key.ok())
}

/// An uncompressed point on the curve.
fn point<C>(bytes: &[u8]) -> Option<Point<C>>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    bytes.first().filter(|&&form| form == 4)?;
    Point::from_sec1_bytes(bytes).ok()
}

fn pkcs1_verifies(key: &RsaPublicKey, hash: Hash, digest: &Digested, signature: &[u8]) -> bool {
    let scheme = match hash {
        Hash::Sha1 => Pkcs1v15Sign::new::<sha1::Sha1>(),
        Hash::Sha224 => Pkcs1v15Sign::new::<Sha224>(),
        Hash::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
        Hash::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
        Hash::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
    };
    scheme.verify(key, digest.as_bytes(), signature).is_ok()
}

fn pss_verifies(
    key: &RsaPublicKey,
    hash: Hash,
    salt_bytes: usize,
    digest: &Digested,
    signature: &[u8],
) -> bool {
    let digest = digest.as_bytes();
    let verified = match hash {
        Hash::Sha1 => Pss::<sha1::Sha1>::new_with_salt(salt_bytes).verify(key, digest, signature),
        Hash::Sha224 => Pss::<Sha224>::new_with_salt(salt_bytes).verify(key, digest, signature),
        Hash::Sha256 => Pss::<Sha256>::new_with_salt(salt_bytes).verify(key, digest, signature),
        Hash::Sha384 => Pss::<Sha384>::new_with_salt(salt_bytes).verify(key, digest, signature),
        Hash::Sha512 => Pss::<Sha512>::new_with_salt(salt_bytes).verify(key, digest, signature),
    };
    verified.is_ok()
}

fn ecdsa_verifies<C>(key: &Point<C>, digest: &Digested, signature: &[u8]) -> bool
where
    C: EcdsaCurve + CurveArithmetic,
{
    let Some((r, s)) = halves(signature) else { return false };
    let (Some(r), Some(s)) = (padded::<C>(r), padded::<C>(s)) else { return false };
    let Ok(signature) = ecdsa::Signature::<C>::from_scalars(r, s) else { return false };
    let key = key.to_projective();
    ecdsa::hazmat::verify_prehashed::<C>(&key, digest.as_bytes(), &signature).is_ok()
}

/// `Ecdsa-Sig-Value`, strictly DER: one signature has one encoding.
fn halves(signature: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut walk = Element::whole(signature).ok()?.walk(Tag::Sequence).ok()?;
    let halves = (walk.next().ok()?.unsigned().ok()?, walk.next().ok()?.unsigned().ok()?);
    walk.end().ok()?;
    Some(halves)
}

fn padded<C: elliptic_curve::Curve>(number: &[u8]) -> Option<FieldBytes<C>> {
    let mut bytes = FieldBytes::<C>::default();
    let begin = bytes.len().checked_sub(number.len())?;
    bytes[begin..].copy_from_slice(number);
    Some(bytes)
}
