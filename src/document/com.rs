//! EF.COM of a passport chip: which data groups it has (ICAO Doc 9303-10).
//!
//! ```text
//! 60 │ 5F01 LDS version "0107" │ 5F36 Unicode version "040000" │ 5C tags of the data groups
//! ```
//! Invariant: nothing of it is signed. It tells a reader what to look for, and proves nothing; the
//! list that counts is the one of hashes in EF.SOD.

use super::{
    dg2::padding,
    error::DocumentError,
    tlv::{Element, Elements},
};
use crate::limits::DOCUMENT_BYTES_MAX;

/// Tags of data groups 1 to 16, in order.
const DATA_GROUP_TAGS: [u8; 16] = [
    0x61, 0x75, 0x63, 0x76, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70,
];

/// What EF.COM says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Com {
    /// Version of the logical data structure, such as "0107".
    pub lds_version: [u8; 4],
    /// Version of Unicode, such as "040000".
    pub unicode_version: [u8; 6],
    /// Numbers of the data groups, 1 to 16, in the order of the list.
    pub data_groups: Vec<u8>,
}

impl Com {
    /// Reads EF.COM.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn read(file: &[u8]) -> Result<Self, DocumentError> {
        if file.len() > DOCUMENT_BYTES_MAX {
            let most = DOCUMENT_BYTES_MAX;
            return Err(DocumentError::BytesTooMany { held: file.len(), most });
        }
        if file.is_empty() {
            return Err(DocumentError::Empty);
        }
        let mut files = Elements::of_file(file);
        let com = files.expect(0x60, "EF.COM")?;
        padding(files.left(), "EF.COM")?;
        let [lds, unicode, list] = com.inside().pick([
            (0x5f01, "LDS version"),
            (0x5f36, "Unicode version"),
            (0x5c, "list of data groups"),
        ])?;
        let list = list.ok_or(DocumentError::Missing { what: "list of data groups" })?;
        let numbers = list.value.iter().map(|&tag| number(tag)).collect::<Result<Vec<_>, _>>()?;
        if numbers.len() > DATA_GROUP_TAGS.len() {
            let (what, found) = ("number of data groups", numbers.len() as u64);
            return Err(DocumentError::OutOfRange { what, found });
        }
        Ok(Self {
            lds_version: digits(lds, "LDS version")?,
            unicode_version: digits(unicode, "Unicode version")?,
            data_groups: numbers,
        })
    }
}

/// Number of the data group that `tag` begins.
fn number(tag: u8) -> Result<u8, DocumentError> {
    let found = (1..).zip(DATA_GROUP_TAGS).find(|(_, known)| *known == tag);
    found.map(|(number, _)| number).ok_or(DocumentError::OutOfRange {
        what: "tag in the list of data groups",
        found: tag.into(),
    })
}

fn digits<const N: usize>(
    field: Option<Element<'_>>,
    what: &'static str,
) -> Result<[u8; N], DocumentError> {
    let field = field.ok_or(DocumentError::Missing { what })?;
    let digits: [u8; N] = field.value.try_into().map_err(|_| DocumentError::Inconsistent {
        what,
        stated: N as u64,
        held: field.value.len() as u64,
    })?;
    match digits.iter().find(|digit| !digit.is_ascii_digit()) {
        Some(&found) => Err(DocumentError::OutOfRange { what, found: found.into() }),
        None => Ok(digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &[u8] = b"\x60\x16\x5f\x01\x040107\x5f\x36\x06040000\x5c\x04\x61\x75\x63\x6e";

    #[test]
    fn a_sound_file_lists_its_data_groups() {
        let com = Com::read(SOUND).expect("sound");
        assert_eq!(com.data_groups, [1, 2, 3, 14]);
        assert_eq!((&com.lds_version, &com.unicode_version), (b"0107", b"040000"));
    }

    #[test]
    fn every_truncation_and_a_foreign_tag_are_refused() {
        for length in 0..SOUND.len() {
            Com::read(SOUND.get(..length).expect("shorter")).expect_err("cut off");
        }
        let mut foreign = SOUND.to_vec();
        *foreign.last_mut().expect("not empty") = 0x60;
        assert_eq!(Com::read(&foreign).expect_err("foreign").code(), "DOCUMENT_STRUCTURE");
    }
}
