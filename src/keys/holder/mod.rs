//! What the traveller holds: templates and secrets that the appliance does not keep.
//!
//! The European Data Protection Board (Opinion 11/2024 on facial recognition at airports) finds two
//! ways of storing compatible with the GDPR: the template is in the traveller's hands alone
//! (scenario 1, [`token`] with the keys of [`issuer`]), or it is stored centrally and sealed to a
//! secret that only the traveller has (scenario 2, [`record`]).
//!
//! Invariant: neither can be searched. A token is presented and compared one to one; a record opens
//! only with its holder's secret, so that asking who somebody is, over such records, is not a
//! question that can be put to them.

pub mod issuer;
pub mod record;
#[cfg(test)]
mod tests;
pub mod token;

pub use issuer::{IssuerError, IssuerId, IssuerKey, ReaderKey};
pub use record::{
    HolderRecords, HolderSecret, IdentifyNotPossible, RecordId, RecordRefused, RecordsError,
};
pub use token::{HolderTemplate, TokenError, Validity};
