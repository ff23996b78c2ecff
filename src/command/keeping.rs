//! What is asked of a gallery, and what is told about one.

use std::fmt;

use crate::{
    keys::{LockError, holder},
    types::{GalleryId, SubjectId, TemplateKind, TransactionId},
};

/// Bytes of the secret of a holder's record.
pub const HOLDER_SECRET_BYTES: usize = 32;

/// The secret that opens a holder's record: the traveller carries it, the appliance forgets it.
pub struct HolderSecret(pub(crate) holder::HolderSecret);

impl HolderSecret {
    /// What a traveller presented; the caller's copy is wiped.
    ///
    /// # Errors
    /// [`LockError`]: no locked memory for it.
    pub fn new(bytes: &mut [u8; HOLDER_SECRET_BYTES]) -> Result<Self, LockError> {
        holder::HolderSecret::from_bytes(bytes).map(Self)
    }

    /// The bytes, for the one answer that carries them.
    #[must_use]
    pub fn expose(&self) -> &[u8; HOLDER_SECRET_BYTES] {
        self.0.expose()
    }
}

impl fmt::Debug for HolderSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HolderSecret(32 bytes)")
    }
}

/// Who keeps the keys of a gallery's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum KeptBy {
    /// The appliance's custodian: the records can be searched.
    #[default]
    Custodian,
    /// Each record's own holder: no search is possible.
    Holders,
}

/// A holder's token as it was presented: signed and sealed, and not believed yet.
pub struct PresentedToken(Vec<u8>);

impl PresentedToken {
    /// Takes the bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PresentedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PresentedToken({} bytes)", self.0.len())
    }
}

/// What an erasure destroyed: the evidence for the data subject, and for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// Its name in the audit.
    pub transaction: TransactionId,
    /// In which gallery.
    pub gallery: GalleryId,
    /// Whom it named, where it named somebody.
    pub subject: Option<SubjectId>,
    /// References that were erased; `None` where the gallery could not be read any more.
    pub rows: Option<u64>,
    /// First generation without them.
    pub generation: u64,
    /// Every key up to this epoch's was destroyed with them; `None` where the gallery went as a
    /// whole, with every key it ever had, or where nothing was there to erase.
    pub epoch_destroyed: Option<u64>,
    /// Who held the key.
    pub custodian: String,
    /// Civil time of the destruction in seconds, UTC.
    pub at_s: i64,
}

/// A gallery, from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GalleryDescription {
    /// Its name.
    pub gallery: GalleryId,
    /// Enrolled subjects; for records kept by holders, how many there are.
    pub subjects: u64,
    /// Rows that a search can find.
    pub rows: u64,
    /// Rows that hold nobody; the next enrolments fill them.
    pub vacant: u64,
    /// Who keeps the keys of its records.
    pub kept_by: KeptBy,
    /// Grows with every update.
    pub generation: u64,
    /// Grows with every erasure; each has its own key.
    pub epoch: u64,
    /// Bytes of its medium.
    pub bytes: u64,
    /// `sealed` or `locked`, where templates lie once opened.
    pub residency: &'static str,
    /// Who keeps its keys.
    pub custodian: String,
    /// What the destruction of a key covers.
    pub destroys: String,
    /// What it does not cover.
    pub leaves: String,
    /// Model and calibration of its templates.
    pub kind: TemplateKind,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_taken_not_copied_and_cannot_be_printed() {
        let mut bytes = [7; HOLDER_SECRET_BYTES];
        let secret = HolderSecret::new(&mut bytes).expect("a page can be locked");
        assert_eq!((bytes, secret.expose()), ([0; 32], &[7; 32]));
        assert_eq!(format!("{secret:?}"), "HolderSecret(32 bytes)");
        assert_eq!(format!("{:?}", PresentedToken::new(vec![7; 5])), "PresentedToken(5 bytes)");
    }
}
