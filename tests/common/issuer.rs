//! A state that issues passports: a CSCA, a document signer, EF.SOD over data groups, revocation
//! lists. Everything is written here octet by octet, so that a test can also write it wrong.

#![allow(dead_code, unreachable_pub, reason = "a module of several test targets")]

use ecdsa::EcdsaCurve;
use elliptic_curve::{
    AffinePoint, Curve, CurveArithmetic, FieldBytesSize, SecretKey,
    sec1::{FromSec1Point, ModulusSize, ToSec1Point},
};
use rsa::{Pkcs1v15Sign, Pss, RsaPrivateKey, traits::PublicKeyParts};
use sha2::{Digest, Sha256};

/// One element.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match content.len() {
        length @ 0..0x80 => bytes.push(length as u8),
        length @ 0x80..0x100 => bytes.extend([0x81, length as u8]),
        length => bytes.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    bytes.extend_from_slice(content);
    bytes
}

pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub fn set(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x31, &parts.concat())
}

pub fn oid(text: &str) -> Vec<u8> {
    tlv(6, der::asn1::ObjectIdentifier::new(text).expect("an identifier").as_bytes())
}

pub fn unsigned(magnitude: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = magnitude.iter().copied().skip_while(|&digit| digit == 0).collect();
    let sign: &[u8] = if digits.first().is_none_or(|&first| first > 127) { &[0] } else { &[] };
    tlv(2, &[sign, &digits].concat())
}

fn bits(octets: &[u8]) -> Vec<u8> {
    tlv(3, &[&[0], octets].concat())
}

/// `GeneralizedTime` of seconds since 1970.
pub fn time(at_s: i64) -> Vec<u8> {
    let since = std::time::Duration::from_secs(at_s.try_into().expect("after 1970"));
    let at = der::DateTime::from_unix_duration(since).expect("before 10000").to_string();
    let digits: String = at.chars().filter(char::is_ascii_digit).collect();
    tlv(0x18, format!("{digits}Z").as_bytes())
}

pub fn name(country: &str, common: &str) -> Vec<u8> {
    let attribute =
        |id: &str, tag, text: &str| set(&[&sequence(&[&oid(id), &tlv(tag, text.as_bytes())])]);
    sequence(&[&attribute("2.5.4.6", 0x13, country), &attribute("2.5.4.3", 0x0c, common)])
}

/// A private key, made from a number.
pub enum Key {
    P256(SecretKey<p256::NistP256>),
    P384(SecretKey<p384::NistP384>),
    P521(SecretKey<p521::NistP521>),
    Brainpool256(SecretKey<bp256::BrainpoolP256r1>),
    Brainpool384(SecretKey<bp384::BrainpoolP384r1>),
    Rsa(Box<RsaPrivateKey>),
    RsaPss(Box<RsaPrivateKey>),
    /// As [`Self::RsaPss`], with a key whose own identifier says so.
    OnlyPss(Box<RsaPrivateKey>),
    /// A key that says to be for PSS alone, and signs otherwise.
    FalsePss(Box<RsaPrivateKey>),
}

/// What a signature or a list of hashes is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hashing {
    Sha1,
    Sha256,
    /// SHA3-256, which no reader of passports accepts; its name alone, over another digest.
    Sha3,
}

impl Hashing {
    fn of(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => sha1::Sha1::digest(message).to_vec(),
            Self::Sha256 | Self::Sha3 => Sha256::digest(message).to_vec(),
        }
    }

    fn identifier(self) -> Vec<u8> {
        oid(match self {
            Self::Sha1 => "1.3.14.3.2.26",
            Self::Sha256 => "2.16.840.1.101.3.4.2.1",
            Self::Sha3 => "2.16.840.1.101.3.4.2.8",
        })
    }
}

/// Named, or spelled out as CSCA keys mostly are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Curves {
    Named,
    Explicit,
}

fn secret<C: CurveArithmetic>(seed: u8) -> SecretKey<C> {
    let mut bytes = elliptic_curve::FieldBytes::<C>::default();
    let digest = Sha256::digest([seed]);
    // The top octets stay zero: the number is below every order.
    let begin = bytes.len() - 31;
    bytes[begin..].copy_from_slice(&digest[1..]);
    SecretKey::from_slice(&bytes).expect("neither zero nor beyond the order")
}

fn public<C>(key: &SecretKey<C>) -> Vec<u8>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    use elliptic_curve::sec1::ToSec1Point as _;
    key.public_key().to_sec1_point(false).as_bytes().to_vec()
}

fn sign_on<C>(key: &SecretKey<C>, digest: &[u8]) -> Vec<u8>
where
    C: EcdsaCurve + CurveArithmetic + Curve,
{
    let scalar = key.to_nonzero_scalar();
    let (signature, _) = ecdsa::hazmat::sign_prehashed_rfc6979::<C, Sha256>(&scalar, digest, &[]);
    let (r, s) = signature.split_bytes();
    sequence(&[&unsigned(&r), &unsigned(&s)])
}

impl Key {
    pub fn p256(seed: u8) -> Self {
        Self::P256(secret(seed))
    }

    pub fn brainpool256(seed: u8) -> Self {
        Self::Brainpool256(secret(seed))
    }

    pub fn rsa(bits: usize, seed: u8) -> RsaPrivateKey {
        use rand_chacha::rand_core::SeedableRng;
        let mut random = rand_chacha::ChaCha20Rng::from_seed([seed; 32]);
        RsaPrivateKey::new(&mut random, bits).expect("a key")
    }

    /// `SubjectPublicKeyInfo`.
    pub fn spki(&self, curves: Curves) -> Vec<u8> {
        let (named, explicit, point) = match self {
            Self::P256(key) => ("1.2.840.10045.3.1.7", &P256, public(key)),
            Self::P384(key) => ("1.3.132.0.34", &P256, public(key)),
            Self::P521(key) => ("1.3.132.0.35", &P256, public(key)),
            Self::Brainpool256(key) => ("1.3.36.3.3.2.8.1.1.7", &BRAINPOOL256, public(key)),
            Self::Brainpool384(key) => ("1.3.36.3.3.2.8.1.1.11", &BRAINPOOL256, public(key)),
            Self::Rsa(key) | Self::RsaPss(key) | Self::OnlyPss(key) | Self::FalsePss(key) => {
                let modulus = unsigned(&key.n().to_be_bytes());
                let body = sequence(&[&modulus, &unsigned(&key.e().to_be_bytes())]);
                let algorithm = match self {
                    Self::OnlyPss(_) => self.algorithm(Hashing::Sha256),
                    Self::FalsePss(_) => sequence(&[&oid("1.2.840.113549.1.1.10")]),
                    _ => sequence(&[&oid("1.2.840.113549.1.1.1"), &tlv(5, &[])]),
                };
                return sequence(&[&algorithm, &bits(&body)]);
            }
        };
        let parameters = match curves {
            Curves::Named => oid(named),
            Curves::Explicit => explicit.write(),
        };
        sequence(&[&sequence(&[&oid("1.2.840.10045.2.1"), &parameters]), &bits(&point)])
    }

    /// `AlgorithmIdentifier` of its signatures; with PSS always over SHA-256.
    pub fn algorithm(&self, hashing: Hashing) -> Vec<u8> {
        let null = tlv(5, &[]);
        match self {
            Self::Rsa(_) | Self::FalsePss(_) => {
                let identifier = match hashing {
                    Hashing::Sha1 => "1.2.840.113549.1.1.5",
                    Hashing::Sha256 => "1.2.840.113549.1.1.11",
                    Hashing::Sha3 => "2.16.840.1.101.3.4.3.14",
                };
                sequence(&[&oid(identifier), &null])
            }
            Self::RsaPss(_) | Self::OnlyPss(_) => {
                let sha256 = sequence(&[&oid("2.16.840.1.101.3.4.2.1"), &null]);
                let mask = sequence(&[&oid("1.2.840.113549.1.1.8"), &sha256]);
                let salt = tlv(0xa2, &tlv(2, &[32]));
                let parameters = sequence(&[&tlv(0xa0, &sha256), &tlv(0xa1, &mask), &salt]);
                sequence(&[&oid("1.2.840.113549.1.1.10"), &parameters])
            }
            _ => sequence(&[&oid(match hashing {
                Hashing::Sha1 => "1.2.840.10045.4.1",
                Hashing::Sha256 => "1.2.840.10045.4.3.2",
                Hashing::Sha3 => "2.16.840.1.101.3.4.3.10",
            })]),
        }
    }

    fn sign(&self, hashing: Hashing, message: &[u8]) -> Vec<u8> {
        let digest = &hashing.of(message);
        match self {
            Self::P256(key) => sign_on(key, digest),
            Self::P384(key) => sign_on(key, digest),
            Self::P521(key) => sign_on(key, digest),
            Self::Brainpool256(key) => sign_on(key, digest),
            Self::Brainpool384(key) => sign_on(key, digest),
            Self::Rsa(key) | Self::FalsePss(key) => {
                let scheme = match hashing {
                    Hashing::Sha1 => Pkcs1v15Sign::new::<sha1::Sha1>(),
                    Hashing::Sha256 | Hashing::Sha3 => Pkcs1v15Sign::new::<Sha256>(),
                };
                key.sign(scheme, digest).expect("a signature")
            }
            Self::RsaPss(key) | Self::OnlyPss(key) => {
                use rand_chacha::rand_core::SeedableRng;
                let mut random = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
                let scheme = Pss::<Sha256>::new();
                key.sign_with_rng(&mut random, scheme, digest).expect("a signature")
            }
        }
    }
}

/// Domain parameters, spelled out.
#[derive(Clone)]
pub struct Domain {
    pub prime: Vec<u8>,
    pub a: Vec<u8>,
    pub b: Vec<u8>,
    pub base: Vec<u8>,
    pub order: Vec<u8>,
    pub cofactor: Vec<u8>,
}

struct Spelled([&'static str; 5]);

const P256: Spelled = Spelled([
    "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
    "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc",
    "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
     4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
]);
const BRAINPOOL256: Spelled = Spelled([
    "a9fb57dba1eea9bc3e660a909d838d726e3bf623d52620282013481d1f6e5377",
    "7d5a0975fc2c3057eef67530417affe7fb8055c126dc5c6ce94a4b44f330b5d9",
    "26dc5c6ce94a4b44f330b5d9bbd77cbf958416295cf7e1ce6bccdc18ff8c07b6",
    "048bd2aeb9cb7e57cb2c4b482ffc81b7afb9de27e1e3bd23c23a4453bd9ace3262\
     547ef835c3dac4fd97f8461a14611dc9c27745132ded8e545c1d54c72f046997",
    "a9fb57dba1eea9bc3e660a909d838d718c397aa3b561a6f7901e0e82974856a7",
]);

impl Spelled {
    fn domain(&self) -> Domain {
        let octets = |hex: &str| -> Vec<u8> {
            let pairs = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).expect("ASCII"));
            pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
        };
        let [prime, a, b, base, order] = self.0.map(octets);
        Domain { prime, a, b, base, order, cofactor: vec![1] }
    }

    fn write(&self) -> Vec<u8> {
        self.domain().write()
    }
}

impl Domain {
    pub fn p256() -> Self {
        P256.domain()
    }

    /// `SpecifiedECDomain`.
    pub fn write(&self) -> Vec<u8> {
        let field = sequence(&[&oid("1.2.840.10045.1.1"), &unsigned(&self.prime)]);
        let coefficients = sequence(&[&tlv(4, &self.a), &tlv(4, &self.b)]);
        let (base, order) = (tlv(4, &self.base), unsigned(&self.order));
        sequence(&[&tlv(2, &[1]), &field, &coefficients, &base, &order, &unsigned(&self.cofactor)])
    }
}

/// What a certificate says.
#[derive(Clone)]
pub struct Certified {
    pub serial: u8,
    pub issuer: Vec<u8>,
    pub subject: Vec<u8>,
    pub validity_s: [i64; 2],
    /// `SubjectPublicKeyInfo`.
    pub key: Vec<u8>,
    pub extensions: Vec<Vec<u8>>,
    /// What its signature is made with.
    pub hashing: Hashing,
}

pub fn extension(id: &str, critical: bool, content: &[u8]) -> Vec<u8> {
    let critical = if critical { tlv(1, &[0xff]) } else { Vec::new() };
    sequence(&[&oid(id), &critical, &tlv(4, content)])
}

/// `KeyUsage`: digitalSignature 0x80, keyCertSign 0x04, cRLSign 0x02.
pub fn usage(octet: u8) -> Vec<u8> {
    extension("2.5.29.15", true, &tlv(3, &[octet.trailing_zeros() as u8, octet]))
}

pub fn authority() -> Vec<u8> {
    extension("2.5.29.19", true, &sequence(&[&tlv(1, &[0xff]), &tlv(2, &[0])]))
}

pub fn key_identifier(id: &[u8]) -> Vec<u8> {
    extension("2.5.29.14", false, &tlv(4, id))
}

pub fn authority_key(id: &[u8]) -> Vec<u8> {
    extension("2.5.29.35", false, &sequence(&[&tlv(0x80, id)]))
}

pub fn purpose(id: &str) -> Vec<u8> {
    extension("2.5.29.37", true, &sequence(&[&oid(id)]))
}

/// `PrivateKeyUsagePeriod`.
pub fn key_period(period_s: [i64; 2]) -> Vec<u8> {
    let [from, to] = period_s.map(|at_s| time(at_s)[2..].to_vec());
    extension("2.5.29.16", false, &sequence(&[&tlv(0x80, &from), &tlv(0x81, &to)]))
}

/// `DocumentTypeList`.
pub fn document_types(types: &[&str]) -> Vec<u8> {
    let types: Vec<_> = types.iter().map(|held| tlv(0x13, held.as_bytes())).collect();
    let types = sequence(&[&tlv(2, &[0]), &tlv(0x31, &types.concat())]);
    extension("2.23.136.1.1.6.2", false, &types)
}

impl Certified {
    pub fn sign(&self, signer: &Key) -> Vec<u8> {
        let extensions: Vec<&[u8]> = self.extensions.iter().map(Vec::as_slice).collect();
        let [begin_s, end_s] = self.validity_s;
        let body = sequence(&[
            &tlv(0xa0, &tlv(2, &[2])),
            &tlv(2, &[self.serial]),
            &signer.algorithm(self.hashing),
            &self.issuer,
            &sequence(&[&time(begin_s), &time(end_s)]),
            &self.subject,
            &self.key,
            &tlv(0xa3, &sequence(&extensions)),
        ]);
        signed(&body, signer, self.hashing)
    }
}

/// The shape of everything that X.509 signs.
pub fn signed(body: &[u8], signer: &Key, hashing: Hashing) -> Vec<u8> {
    let signature = bits(&signer.sign(hashing, body));
    sequence(&[body, &signer.algorithm(hashing), &signature])
}

/// A revocation list.
pub fn revocation_list(issuer: &[u8], window_s: [i64; 2], serials: &[u8], signer: &Key) -> Vec<u8> {
    let entries: Vec<_> = serials.iter().map(|&serial| (serial, Vec::new())).collect();
    revocation_list_with(issuer, window_s, &entries, &[], signer)
}

/// `IssuingDistributionPoint`, critical: a list of part of what its issuer has revoked.
pub fn distribution_point() -> Vec<u8> {
    extension("2.5.29.28", true, &sequence(&[&tlv(0x81, &[0xff])]))
}

/// `CertificateIssuer` of an entry, critical: this and what follows is somebody else's.
pub fn certificate_issuer() -> Vec<u8> {
    extension("2.5.29.29", true, &sequence(&[&tlv(0x82, b"another")]))
}

/// A revocation list whose entries, and which itself, have extensions.
pub fn revocation_list_with(
    issuer: &[u8],
    [this_s, next_s]: [i64; 2],
    entries: &[(u8, Vec<u8>)],
    extensions: &[&[u8]],
    signer: &Key,
) -> Vec<u8> {
    let entry = |(serial, extensions): &(u8, Vec<u8>)| {
        let more =
            if extensions.is_empty() { Vec::new() } else { sequence(&[extensions.as_slice()]) };
        sequence(&[&tlv(2, &[*serial]), &time(this_s), &more])
    };
    let entries: Vec<Vec<u8>> = entries.iter().map(entry).collect();
    let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let list = if entries.is_empty() { Vec::new() } else { sequence(&entries) };
    let more = if extensions.is_empty() { Vec::new() } else { tlv(0xa0, &sequence(extensions)) };
    let body = sequence(&[
        &tlv(2, &[1]),
        &signer.algorithm(Hashing::Sha256),
        issuer,
        &time(this_s),
        &time(next_s),
        &list,
        &more,
    ]);
    signed(&body, signer, Hashing::Sha256)
}

/// What EF.SOD says; every field can be made wrong.
pub struct Sod {
    pub certificate: Vec<u8>,
    pub issuer: Vec<u8>,
    pub serial: u8,
    pub content_type: &'static str,
    pub lds_version: u8,
    pub groups: Vec<(u8, Vec<u8>)>,
    pub signed_s: Option<i64>,
    /// What the data groups are hashed with.
    pub hashing: Hashing,
    /// What the signature is made with.
    pub signer_hashing: Hashing,
    /// Changes the content after its digest was taken.
    pub swap_content: bool,
    pub tag: u8,
}

impl Sod {
    pub fn content(&self) -> Vec<u8> {
        let algorithm = sequence(&[&self.hashing.identifier(), &tlv(5, &[])]);
        let hashes: Vec<Vec<u8>> = (self.groups.iter())
            .map(|(number, bytes)| {
                sequence(&[&tlv(2, &[*number]), &tlv(4, &self.hashing.of(bytes))])
            })
            .collect();
        let hashes: Vec<&[u8]> = hashes.iter().map(Vec::as_slice).collect();
        let version = match self.lds_version {
            0 => Vec::new(),
            _ => sequence(&[&tlv(0x13, b"0108"), &tlv(0x13, b"040000")]),
        };
        sequence(&[&tlv(2, &[self.lds_version]), &algorithm, &sequence(&hashes), &version])
    }

    pub fn sign(&self, signer: &Key) -> Vec<u8> {
        tlv(self.tag, &self.sign_bare(signer, &self.content()))
    }

    /// `ContentInfo` around `content`.
    pub fn sign_bare(&self, signer: &Key, content: &[u8]) -> Vec<u8> {
        let hashing = self.signer_hashing;
        let algorithm = sequence(&[&hashing.identifier()]);
        let attribute = |id: &str, value: &[u8]| sequence(&[&oid(id), &set(&[value])]);
        let mut attributes = attribute("1.2.840.113549.1.9.3", &oid(self.content_type));
        if let Some(signed_s) = self.signed_s {
            attributes.extend(attribute("1.2.840.113549.1.9.5", &time(signed_s)));
        }
        let digest = tlv(4, &hashing.of(content));
        attributes.extend(attribute("1.2.840.113549.1.9.4", &digest));
        let mut content = content.to_vec();
        if self.swap_content {
            *content.last_mut().expect("a content") ^= 1;
        }
        let signer_info = sequence(&[
            &tlv(2, &[1]),
            &sequence(&[&self.issuer, &tlv(2, &[self.serial])]),
            &algorithm,
            &tlv(0xa0, &attributes),
            &signer.algorithm(hashing),
            &tlv(4, &signer.sign(hashing, &tlv(0x31, &attributes))),
        ]);
        let body = sequence(&[
            &tlv(2, &[3]),
            &set(&[&algorithm]),
            &sequence(&[&oid(self.content_type), &tlv(0xa0, &tlv(4, &content))]),
            &tlv(0xa0, &self.certificate),
            &set(&[&signer_info]),
        ]);
        sequence(&[&oid("1.2.840.113549.1.7.2"), &tlv(0xa0, &body)])
    }
}

/// 2026-11-23, when the tests' documents are read.
pub const NOW_S: i64 = 1_795_392_000;
pub const DAY_S: i64 = 24 * 60 * 60;

/// A state with its CSCA and one document signer, and a document of it.
pub struct State {
    pub csca_key: Key,
    pub signer_key: Key,
    pub csca: Certified,
    pub signer: Certified,
    pub sod: Sod,
    pub dg1: Vec<u8>,
    pub dg2: Vec<u8>,
}

/// EF.DG1 of a specimen that `issuer` (three characters) issued.
pub fn dg1(issuer: &str) -> Vec<u8> {
    let first = format!("P<{issuer}SPECIMEN<<ANNA");
    let second = format!("L898902C36{issuer}7408122F1204159ZE184226B<<<<<10");
    let zone = format!("{first:<<44}{second}");
    tlv(0x61, &[&[0x5f, 0x1f][..], &[zone.len() as u8], zone.as_bytes()].concat())
}

impl State {
    /// A sound one.
    pub fn new(csca_key: Key, signer_key: Key, curves: Curves) -> Self {
        let (root, own) = (name("UT", "CSCA"), name("UT", "DS"));
        let csca = Certified {
            serial: 1,
            issuer: root.clone(),
            subject: root.clone(),
            validity_s: [NOW_S - 1000 * DAY_S, NOW_S + 5000 * DAY_S],
            key: csca_key.spki(curves),
            extensions: vec![usage(0x06), authority(), key_identifier(&[1; 20])],
            hashing: Hashing::Sha256,
        };
        let signer = Certified {
            serial: 2,
            issuer: root.clone(),
            subject: own,
            validity_s: [NOW_S - 100 * DAY_S, NOW_S + 3900 * DAY_S],
            key: signer_key.spki(curves),
            extensions: vec![usage(0x80), authority_key(&[1; 20]), key_identifier(&[2; 20])],
            hashing: Hashing::Sha256,
        };
        let (dg1, dg2) = (dg1("UTO"), tlv(0x75, b"a photograph, for all that EF.SOD knows"));
        let sod = Sod {
            certificate: Vec::new(),
            issuer: root,
            serial: 2,
            content_type: "2.23.136.1.1.1",
            lds_version: 0,
            groups: vec![(1, dg1.clone()), (2, dg2.clone())],
            signed_s: Some(NOW_S - 50 * DAY_S),
            hashing: Hashing::Sha256,
            signer_hashing: Hashing::Sha256,
            swap_content: false,
            tag: 0x77,
        };
        Self { csca_key, signer_key, csca, signer, sod, dg1, dg2 }
    }

    /// A sound one on P-256, the one that most tests change.
    pub fn p256() -> Self {
        Self::new(Key::p256(1), Key::p256(2), Curves::Explicit)
    }

    /// EF.SOD, with the signer's certificate as it now is.
    pub fn write_sod(&mut self) -> Vec<u8> {
        self.sod.certificate = self.signer.sign(&self.csca_key);
        self.sod.sign(&self.signer_key)
    }

    pub fn write_csca(&self) -> Vec<u8> {
        self.csca.sign(&self.csca_key)
    }

    /// A revocation list that names neither its own certificates nor the signer's.
    pub fn write_list(&self) -> Vec<u8> {
        let window_s = [NOW_S - 2 * DAY_S, NOW_S + 30 * DAY_S];
        revocation_list(&self.csca.subject, window_s, &[7], &self.csca_key)
    }
}
