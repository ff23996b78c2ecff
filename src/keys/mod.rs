//! Secrets, and memory that forgets.
//!
//! [`wipe`] is the process allocator: what it frees is zero first, so that a request body, a
//! decoder's scratch or a template leaves nothing behind in memory that is used again.
//! [`secret`] holds what a caller proves itself with.
//!
//! Invariant: nothing here can be printed; a bearer token is kept only as its SHA-256.

pub mod secret;
pub mod wipe;
