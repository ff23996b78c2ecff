//! Passive authentication, against a state that the tests themselves are, against signatures that
//! OpenSSL made, and against the shared kit where it is present.

#[path = "authentication/bytes.rs"]
mod bytes;
#[path = "authentication/command.rs"]
mod command;
#[path = "common/mod.rs"]
mod common;
#[path = "common/issuer.rs"]
mod issuer;
#[path = "authentication/kit.rs"]
mod kit;
#[path = "document/memory.rs"]
#[allow(dead_code, reason = "shared with the tests of the other files; each uses its part")]
mod memory;
#[path = "common/places.rs"]
mod places;
#[path = "authentication/signatures.rs"]
mod signatures;
#[path = "authentication/trust.rs"]
mod trust;
#[path = "authentication/verdicts.rs"]
mod verdicts;
