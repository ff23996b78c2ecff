//! Distinguished names: compared, and asked for their country.
//!
//! Two comparisons. *The same* is for the name by which EF.SOD points at a certificate beside it:
//! attribute by attribute, byte by byte, only `PrintableString` and `UTF8String` counting as one
//! kind of text. *Alike* is for finding the CSCA of a document signer, which a signature then
//! proves: letters' case and surplus spaces are ignored as well, because states write their own
//! names differently from one certificate to the next.

use der::{Tag, asn1::ObjectIdentifier};

use super::asn1::{Element, Malformed};

const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6");

/// A distinguished name; borrows from its bytes.
#[derive(Clone)]
pub(super) struct Name<'a> {
    raw: &'a [u8],
    attributes: Vec<(ObjectIdentifier, Tag, &'a [u8])>,
}

impl<'a> Name<'a> {
    pub(super) fn read(element: Element<'a>) -> Result<Self, Malformed> {
        let mut relative = element.walk(Tag::Sequence)?;
        let mut attributes = Vec::new();
        while !relative.is_at_end() {
            let mut set = relative.next()?.walk(Tag::Set)?;
            while !set.is_at_end() {
                let mut attribute = set.sequence()?;
                let identifier = attribute.identifier()?;
                let value = attribute.next()?;
                attribute.end()?;
                let tag =
                    if value.tag == Tag::PrintableString { Tag::Utf8String } else { value.tag };
                attributes.push((identifier, tag, value.value));
            }
        }
        Ok(Self { raw: element.raw, attributes })
    }

    /// Whether both say the same, in `PrintableString` or `UTF8String`.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.raw == other.raw || self.attributes == other.attributes
    }

    /// A form that is equal for names that are alike.
    pub(super) fn folded(&self) -> Box<[u8]> {
        let mut folded = Vec::with_capacity(self.raw.len());
        for (identifier, _, value) in &self.attributes {
            folded.extend_from_slice(identifier.as_bytes());
            folded.push(0);
            let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            for word in words {
                folded.extend(word.iter().map(u8::to_ascii_lowercase));
                folded.push(b' ');
            }
            folded.push(0);
        }
        folded.into()
    }

    /// The two letters of its country, in capitals.
    pub(super) fn country(&self) -> Option<[u8; 2]> {
        let mut countries = self.attributes.iter().filter(|(held, ..)| *held == COUNTRY);
        let (_, _, value) = countries.next()?;
        let letters: [u8; 2] = (*value).try_into().ok()?;
        letters.iter().all(u8::is_ascii_alphabetic).then(|| letters.map(|l| l.to_ascii_uppercase()))
    }
}
