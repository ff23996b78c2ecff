//! Bearer tokens: who may speak to the appliance beyond its own loopback.
//!
//! The token file holds one caller per line, so that it can be reviewed and diffed:
//! ```text
//! # sha256 of the token                                            role     client   expiry (UTC)
//! 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 gate     lane-7   1893456000
//! ```
//! A caller that presents a client certificate (mutual TLS) is known by the hash of that
//! certificate, on a line of the same form. A token itself is 32 to 256 printable characters of the
//! caller's choosing; only its hash is kept. Every entry is compared in constant time, and all of
//! them are, so that the time of a refusal tells nothing.

use std::{fmt, path::Path};

use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::types::{Caller, ClientId, Hash256, Role};

/// Shortest token that is accepted, in bytes: 128 bits as hexadecimal digits.
const TOKEN_BYTES_MIN: usize = 32;
/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 256;

/// Why a token file is not usable. The operator must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error("the token file {path} cannot be read: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// A line is not `<sha256> <role> <client> <expiry>`.
    #[error(
        "{path}:{line}: {why}; a line is: <sha256 of the token, 64 hexadecimal digits> <role> \
         <client> <expiry in seconds UTC>"
    )]
    Line {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody could ever call.
    #[error("{path} holds no token: nobody could call; add a line per caller")]
    Empty {
        /// The file.
        path: String,
    },
}

/// Why a credential was refused. The caller must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// No `Authorization: Bearer …` header.
    #[error("this appliance wants a bearer token: send `Authorization: Bearer <token>`")]
    Missing,
    /// Not a token that is known here.
    #[error("the bearer token, or the client's certificate, is not known here")]
    Unknown,
    /// It was known until it expired.
    #[error("the credential has expired; ask the operator for a new one")]
    Expired,
}

/// One caller's entry.
#[derive(Clone)]
struct Entry {
    hash: Hash256,
    caller: Caller,
    expiry_s: i64,
}

/// Everybody who may call.
pub struct Tokens(Vec<Entry>);

impl Tokens {
    /// Reads `path`.
    ///
    /// # Errors
    /// [`TokenFileError`], naming the line.
    pub fn read(path: &Path) -> Result<Self, TokenFileError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| TokenFileError::Unreadable {
            path: shown.clone(),
            why: error.to_string(),
        })?;
        Self::parse(&text, &shown)
    }

    /// Parses the text of a token file; `path` is for messages.
    ///
    /// # Errors
    /// As [`Tokens::read`].
    pub fn parse(text: &str, path: &str) -> Result<Self, TokenFileError> {
        let mut entries: Vec<Entry> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let refuse =
                |why: String| TokenFileError::Line { path: path.to_owned(), line: at + 1, why };
            let entry = entry(line).map_err(refuse)?;
            if entries.iter().any(|known| known.hash == entry.hash) {
                return Err(refuse("this token was already given to another caller".to_owned()));
            }
            entries.push(entry);
        }
        if entries.is_empty() {
            return Err(TokenFileError::Empty { path: path.to_owned() });
        }
        Ok(Self(entries))
    }

    /// Who presents `authorization` (the header's value) at civil time `now_s`.
    ///
    /// # Errors
    /// [`TokenRefused`].
    pub fn caller(&self, authorization: Option<&[u8]>, now_s: i64) -> Result<Caller, TokenRefused> {
        let token = authorization.and_then(bearer).ok_or(TokenRefused::Missing)?;
        if !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&token.len()) {
            return Err(TokenRefused::Unknown);
        }
        self.caller_of(&Hash256::of(token), now_s)
    }

    /// Whose hash `presented` is, of a token or of a client's certificate, at civil time `now_s`.
    ///
    /// # Errors
    /// [`TokenRefused`].
    pub fn caller_of(&self, presented: &Hash256, now_s: i64) -> Result<Caller, TokenRefused> {
        let presented = presented.as_bytes();
        let mut found = u32::MAX;
        for (at, entry) in self.0.iter().enumerate() {
            let equal = presented.ct_eq(entry.hash.as_bytes());
            found.conditional_assign(&u32::try_from(at).unwrap_or(u32::MAX), equal);
        }
        let entry = self.0.get(found as usize).ok_or(TokenRefused::Unknown)?;
        if now_s >= entry.expiry_s {
            return Err(TokenRefused::Expired);
        }
        Ok(entry.caller.clone())
    }

    /// The role of each caller, those included whose credential has expired.
    pub fn roles(&self) -> impl Iterator<Item = Role> {
        self.0.iter().map(|entry| entry.caller.role)
    }

    /// How many callers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} callers)", self.0.len())
    }
}

fn entry(line: &str) -> Result<Entry, String> {
    let mut words = line.split_whitespace();
    let mut word = |what: &str| words.next().ok_or_else(|| format!("{what} is missing"));
    let hash = word("the hash")?.parse().map_err(|error| format!("{error}"))?;
    let role = role(word("the role")?)?;
    let client: ClientId = word("the client")?.parse().map_err(|error| format!("{error}"))?;
    let expiry = word("the expiry")?;
    let expiry_s = expiry.parse().map_err(|_| format!("the expiry {expiry} is not a number"))?;
    match words.next() {
        Some(more) => Err(format!("{more} stands after the expiry")),
        None => Ok(Entry { hash, caller: Caller { role, client }, expiry_s }),
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// The role called `name` in a token file and in the configuration.
///
/// # Errors
/// A sentence that lists the roles.
pub fn role(name: &str) -> Result<Role, String> {
    let known = ROLES.iter().find(|(known, _)| *known == name).map(|&(_, role)| role);
    known.ok_or_else(|| {
        let names: Vec<_> = ROLES.iter().map(|(known, _)| *known).collect();
        format!("{name} is no role; roles are {}", names.join(", "))
    })
}

const ROLES: [(&str, Role); 6] = [
    ("administrator", Role::Administrator),
    ("auditor", Role::Auditor),
    ("data-protection-officer", Role::DataProtectionOfficer),
    ("gate", Role::Gate),
    ("officer", Role::Officer),
    ("operator", Role::Operator),
];

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn line(token: &str, rest: &str) -> String {
        let hash = Hash256::of(token.as_bytes());
        format!("{hash} {rest}\n")
    }

    #[test]
    fn a_known_token_is_its_caller_until_it_expires() {
        let text = format!(
            "# callers\n{}{}",
            line("another token that is long enough", "operator desk 2000"),
            line(TOKEN, "gate lane-7 1000 # until the exercise is over"),
        );
        let tokens = Tokens::parse(&text, "tokens").expect("two callers");
        let header = format!("Bearer {TOKEN}");
        let caller = tokens.caller(Some(header.as_bytes()), 999).expect("known");
        assert_eq!((caller.role, caller.client.as_str()), (Role::Gate, "lane-7"));
        let lower = format!("bearer {TOKEN}");
        assert!(tokens.caller(Some(lower.as_bytes()), 0).is_ok(), "the scheme has no case");
        assert_eq!(tokens.caller(Some(header.as_bytes()), 1000), Err(TokenRefused::Expired));
        assert_eq!(tokens.caller(None, 0), Err(TokenRefused::Missing));
        assert_eq!(tokens.caller(Some(b"Basic abc"), 0), Err(TokenRefused::Missing));
        assert_eq!(tokens.caller(Some(b"Bearer short"), 0), Err(TokenRefused::Unknown));
        let wrong = format!("Bearer {}", TOKEN.replace('0', "1"));
        assert_eq!(tokens.caller(Some(wrong.as_bytes()), 0), Err(TokenRefused::Unknown));
        assert_eq!(format!("{tokens:?}"), "Tokens(2 callers)");
    }

    #[test]
    fn every_way_to_write_the_file_wrongly_names_its_line() {
        let good = line(TOKEN, "gate lane-7 1000");
        let cases = [
            ("abc gate lane-7 1000".to_owned(), "64 hexadecimal digits"),
            (line(TOKEN, "pilot lane-7 1000"), "pilot is no role"),
            (line(TOKEN, "gate Lane 1000"), "a client name must be"),
            (line(TOKEN, "gate lane-7 soon"), "soon is not a number"),
            (line(TOKEN, "gate lane-7"), "the expiry is missing"),
            (line(TOKEN, "gate lane-7 1 2"), "2 stands after the expiry"),
            (format!("{good}{good}"), "already given"),
        ];
        for (text, expected) in cases {
            let error = Tokens::parse(&text, "tokens").expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(matches!(Tokens::parse("# none\n", "t"), Err(TokenFileError::Empty { .. })));
    }
}
