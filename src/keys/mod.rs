//! Secrets, and memory that forgets.
//!
//! [`wipe`] is the process allocator: what it frees is zero first, so that a request body, a
//! decoder's scratch or a template leaves nothing behind in memory that is used again.
//! [`memory`] holds a key in locked pages, [`arena`] many, [`aead`] uses them without leaving them
//! on the stack. [`custodian`] keeps the key of each epoch of a gallery, and destroys it for ever.
//! [`holder`] is for what the traveller keeps instead of the appliance.
//! [`process`] keeps core dumps and other processes out.
//! [`secret`] holds what a caller proves itself with, [`signing`] what the audit is signed with.
//!
//! Invariant: nothing here can be printed; a bearer token is kept only as its SHA-256.

pub mod aead;
pub mod arena;
pub mod custodian;
pub mod holder;
pub mod memory;
pub mod phrase;
pub mod process;
pub mod secret;
pub mod signing;
#[cfg(test)]
mod tests_arena;
pub mod wipe;

pub use arena::{KeyArena, KeySlot};
pub use custodian::{Custodian, CustodyError, Stand, Standing};
pub use holder::{HolderRecords, HolderSecret, IssuerKey, ReaderKey};
pub use memory::{Key, LockError};
pub use phrase::Phrase;
pub use signing::SigningKey;
