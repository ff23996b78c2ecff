//! Identifiers. None of them names a person; all of them are safe to write into a log.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 32 (or 64) lowercase hexadecimal digits.
    #[error("{what} must be {digits} hexadecimal digits")]
    NotHex {
        /// Which identifier.
        what: &'static str,
        /// How many digits it has.
        digits: usize,
    },
    /// A name outside `[a-z0-9][a-z0-9_-]{0,62}`.
    #[error(
        "{what} must be 1 to 63 characters of a-z, 0-9, '-' and '_', beginning with a letter or digit"
    )]
    NotName {
        /// Which identifier.
        what: &'static str,
    },
}

fn from_hex<const N: usize>(text: &str, what: &'static str) -> Result<[u8; N], IdError> {
    let refused = IdError::NotHex { what, digits: N * 2 };
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return Err(refused);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16).ok_or_else(|| refused.clone())?;
        let low = char::from(pair[1]).to_digit(16).ok_or_else(|| refused.clone())?;
        *byte = u8::try_from(high * 16 + low).expect("two hexadecimal digits fit a byte");
    }
    Ok(bytes)
}

macro_rules! hex_id {
    ($name:ident, $bytes:literal, $what:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// From raw bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                from_hex(text, $what).map(Self)
            }
        }
    };
}

hex_id!(
    SubjectId,
    16,
    "a subject id",
    "An enrolled subject: 128 opaque bits, never a document number."
);
hex_id!(
    TransactionId,
    16,
    "a transaction id",
    "One passage through the pipeline: 128 random bits."
);
hex_id!(Hash256, 32, "a SHA-256 hash", "A SHA-256 hash: of a file, a picture, a text.");

impl Hash256 {
    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

macro_rules! name_id {
    ($name:ident, $what:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let first = text
                    .bytes()
                    .next()
                    .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
                let rest = text.bytes().all(|b| {
                    b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_'
                });
                if first && rest && text.len() <= 63 {
                    Ok(Self(text.into()))
                } else {
                    Err(IdError::NotName { what: $what })
                }
            }
        }
    };
}

name_id!(
    ClientId,
    "a client name",
    "Who calls: a gate controller, a desk, a tool. Never a traveller."
);
name_id!(GalleryId, "a gallery name", "A gallery, as it appears in a path of the API.");
name_id!(LaneId, "a lane name", "A lane: one camera and one gate.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_own_text() {
        let id = SubjectId::from_bytes(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse::<SubjectId>(), Ok(id));
        assert!("xyz".parse::<SubjectId>().is_err());
        assert!("-lane".parse::<LaneId>().is_err());
        assert!("Flight".parse::<GalleryId>().is_err());
        assert_eq!("kl-0893".parse::<GalleryId>().expect("a name").as_str(), "kl-0893");
    }

    #[test]
    fn a_hash_is_the_one_of_fips_180() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Hash256::of(b"abc").to_string(), abc);
    }
}
