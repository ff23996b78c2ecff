//! What passive authentication found out about a travel document's data groups.
//!
//! The codes are the contract; they are what the API, the audit and an integrator's kit speak.

use std::fmt;

/// The verdict on one document. Never a `bool`: that nothing was checked and that the check failed
/// are different facts, and only a policy may treat them alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Authenticity {
    /// Nothing was proved either way.
    NotChecked(Unchecked),
    /// Signed by a document signer of a trusted state, and nothing was changed.
    Valid,
    /// As [`Self::Valid`], with properties each of which a policy must accept by name; never none.
    Weak(Weaknesses),
    /// It must not be relied on.
    Invalid(DocumentFault),
}

impl Authenticity {
    /// `VALID`, `WEAK`, `INVALID` or `NOT_CHECKED`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotChecked(_) => "NOT_CHECKED",
            Self::Valid => "VALID",
            Self::Weak(_) => "WEAK",
            Self::Invalid(_) => "INVALID",
        }
    }

    /// Whether it must not be relied on.
    #[must_use]
    pub fn is_invalid(self) -> bool {
        matches!(self, Self::Invalid(_))
    }

    /// What makes it weak.
    #[must_use]
    pub fn weaknesses(self) -> Weaknesses {
        match self {
            Self::Weak(held) => held,
            Self::NotChecked(_) | Self::Valid | Self::Invalid(_) => Weaknesses::NONE,
        }
    }

    /// Why, as a stable code; a valid document needs no reason.
    #[must_use]
    pub fn code(self) -> Option<&'static str> {
        self.reason().map(|(code, _)| code)
    }

    /// Why, as a stable code with its plain sentence; of several weaknesses the worst.
    #[must_use]
    pub fn reason(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::NotChecked(why) => Some(why.reason()),
            Self::Valid => None,
            Self::Weak(held) => held.iter().next().map(Weakness::reason),
            Self::Invalid(fault) => Some(fault.reason()),
        }
    }
}

impl fmt::Display for Authenticity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            Some(code) => write!(f, "{} ({code})", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($variant:ident: $code:literal, $text:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $(#[doc = $text] $variant,)+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its stable code, with its plain sentence.
            #[must_use]
            pub const fn reason(self) -> (&'static str, &'static str) {
                match self { $(Self::$variant => ($code, $text),)+ }
            }
        }
    };
}

reasons! {
    /// Why nothing was checked.
    Unchecked {
        SodAbsent: "SOD_ABSENT", "No EF.SOD came with the data group.";
        TrustStoreAbsent: "TRUST_STORE_ABSENT", "No trusted country certificates are configured.";
    }
}

reasons! {
    /// A property of a genuine document that has become doubtful. Ordered: the first is the worst.
    Weakness {
        Sha1Signature: "SHA1_SIGNATURE", "A signature of the document rests on SHA-1.";
        Sha1Digest: "SHA1_DIGEST", "The data groups are protected by SHA-1.";
        RsaShort: "RSA_KEY_SHORT", "An RSA key of the document has fewer than 2048 bits.";
        CrlAbsent: "CRL_ABSENT", "There is no revocation list of the issuer.";
        CrlUnusable: "CRL_UNUSABLE",
            "The issuer's newest revocation list says more than is understood here.";
        CrlStale: "CRL_STALE", "The issuer's revocation list is past its next update.";
        CountryNotCompared: "COUNTRY_NOT_COMPARED",
            "Without data group 1 the issuing state was not compared with the signer's country.";
    }
}

/// A set of weaknesses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Weaknesses(u8);

// One bit each.
const _: () = assert!(Weakness::ALL.len() <= u8::BITS as usize);

impl Weaknesses {
    /// No weakness.
    pub const NONE: Self = Self(0);

    /// The same set with one more.
    #[must_use]
    pub const fn with(self, weakness: Weakness) -> Self {
        Self(self.0 | (1 << weakness as u8))
    }

    /// Those that are not among `accepted`.
    #[must_use]
    pub const fn without(self, accepted: Self) -> Self {
        Self(self.0 & !accepted.0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `weakness` is one of them.
    #[must_use]
    pub const fn contains(self, weakness: Weakness) -> bool {
        self.0 & (1 << weakness as u8) != 0
    }

    /// All of them, the worst first.
    pub fn iter(self) -> impl Iterator<Item = Weakness> {
        Weakness::ALL.iter().copied().filter(move |&weakness| self.contains(weakness))
    }
}

impl From<Weakness> for Weaknesses {
    fn from(weakness: Weakness) -> Self {
        Self::NONE.with(weakness)
    }
}

impl FromIterator<Weakness> for Weaknesses {
    fn from_iter<I: IntoIterator<Item = Weakness>>(weaknesses: I) -> Self {
        weaknesses.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Weaknesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

reasons! {
    /// Why a document must not be relied on.
    DocumentFault {
        MalformedSod: "MALFORMED_SOD", "EF.SOD cannot be read.";
        WrongContentType: "WRONG_CONTENT_TYPE", "EF.SOD signs something else than data groups.";
        AlgorithmUnsupported: "ALGORITHM_UNSUPPORTED",
            "A signature or digest algorithm of the document is not accepted.";
        KeyUnsupported: "KEY_UNSUPPORTED",
            "A public key of the document is on no accepted curve or of no accepted size.";
        MessageDigestMismatch: "MESSAGE_DIGEST_MISMATCH",
            "The list of data group hashes is not the one that was signed.";
        SodSignatureInvalid: "SOD_SIGNATURE_INVALID", "The signature of EF.SOD is wrong.";
        MalformedDsCert: "MALFORMED_DS_CERT", "The document signer's certificate cannot be read.";
        DsCertAbsent: "DS_CERT_ABSENT", "EF.SOD does not hold the certificate of its signer.";
        NoTrustAnchor: "NO_TRUST_ANCHOR",
            "No trusted country certificate has signed the document signer's.";
        DsKeyUsage: "DS_KEY_USAGE", "The signer's certificate is not one for signing documents.";
        DocumentTypeMismatch: "DOCUMENT_TYPE_MISMATCH",
            "The signer's certificate is not one for this type of document.";
        DsCertNotYetValid: "DS_CERT_NOT_YET_VALID",
            "The document signer's certificate is not valid yet.";
        DsCertExpired: "DS_CERT_EXPIRED", "The document signer's certificate has expired.";
        SignedOutsideValidity: "SIGNED_OUTSIDE_VALIDITY",
            "The document was signed outside the validity of its signer's certificate or key.";
        CscaCertExpired: "CSCA_CERT_EXPIRED", "The country's certificate has expired.";
        CscaCertNotYetValid: "CSCA_CERT_NOT_YET_VALID",
            "The signer's certificate begins before the country's own.";
        DsCertRevoked: "DS_CERT_REVOKED", "The document signer's certificate was revoked.";
        CscaCertRevoked: "CSCA_CERT_REVOKED", "The country's certificate was revoked.";
        Dg1NotInSod: "DG1_NOT_IN_SOD", "EF.SOD does not list data group 1.";
        Dg2NotInSod: "DG2_NOT_IN_SOD", "EF.SOD does not list data group 2.";
        Dg1HashMismatch: "DG1_HASH_MISMATCH", "Data group 1 is not the one that was signed.";
        Dg2HashMismatch: "DG2_HASH_MISMATCH", "Data group 2 is not the one that was signed.";
        MalformedDg1: "MALFORMED_DG1", "Data group 1 holds no machine readable zone.";
        CountryMismatch: "COUNTRY_MISMATCH",
            "The issuing state of the document is not the one that signed it.";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unlike_one_another_and_written_in_capitals() {
        let codes: Vec<&str> = (Unchecked::ALL.iter().map(|held| held.reason().0))
            .chain(Weakness::ALL.iter().map(|held| held.reason().0))
            .chain(DocumentFault::ALL.iter().map(|held| held.reason().0))
            .collect();
        assert_eq!(codes.iter().collect::<HashSet<_>>().len(), codes.len());
        let fits = |code: &str| code.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
        assert!(codes.iter().all(|code| fits(code)), "{codes:?}");
        assert_eq!(Authenticity::Valid.to_string(), "VALID");
        let expired = Authenticity::Invalid(DocumentFault::DsCertExpired);
        assert_eq!(expired.to_string(), "INVALID (DS_CERT_EXPIRED)");
    }

    #[test]
    fn a_set_of_weaknesses_names_the_worst_first() {
        let all: Weaknesses = Weakness::ALL.iter().rev().copied().collect();
        assert_eq!(all.iter().collect::<Vec<_>>(), Weakness::ALL);
        let two = Weaknesses::from(Weakness::CrlStale).with(Weakness::Sha1Digest);
        assert_eq!(Authenticity::Weak(two).to_string(), "WEAK (SHA1_DIGEST)");
        let rest = two.without(Weakness::Sha1Digest.into());
        assert_eq!(rest, Weaknesses::from(Weakness::CrlStale));
        assert!(rest.without(all).is_empty() && !rest.is_empty());
        assert!(!rest.contains(Weakness::Sha1Digest));
    }
}
