//! Walking DER where it lies: every element keeps its own bytes, because a signature is over bytes
//! as they were written, not over what somebody else would have written.
//!
//! Tags, lengths and primitive values are decoded by RustCrypto's `der` under DER rules: an
//! indefinite length, a length that is not the shortest or that leaves its parent, and an integer
//! with needless zeros are errors. Nothing is copied and nothing recurses: how deep a walk goes is
//! how deep the caller's code descends, so nesting in the input costs nothing.

use der::{
    AnyRef, Decode, Reader, SliceReader, Tag, TagNumber, Tagged,
    asn1::{BitStringRef, GeneralizedTime, IntRef, ObjectIdentifier, UintRef, UtcTime},
};

/// Bytes that are not the DER that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the DER that belongs there: {what}")]
pub struct Malformed {
    /// What is wrong, or what was being read.
    pub what: &'static str,
}

pub(super) fn malformed(what: &'static str) -> Malformed {
    Malformed { what }
}

/// `[number]`, constructed.
pub(super) const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

/// `[number]`, primitive.
pub(super) const fn context_primitive(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: false, number: TagNumber(number) }
}

/// `[APPLICATION number]`, constructed.
pub(super) const fn application(number: u32) -> Tag {
    Tag::Application { constructed: true, number: TagNumber(number) }
}

/// One element: its content, and all of it with tag and length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: Tag,
    pub(super) value: &'a [u8],
    pub(super) raw: &'a [u8],
}

impl<'a> Element<'a> {
    /// The one element that `bytes` are.
    pub(super) fn whole(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut walk = Walk::over(bytes)?;
        let element = walk.next()?;
        walk.end()?;
        Ok(element)
    }

    /// Walks over what it contains.
    pub(super) fn walk(&self, tag: Tag) -> Result<Walk<'a>, Malformed> {
        if self.tag == tag { Walk::over(self.value) } else { Err(malformed("another tag")) }
    }

    pub(super) fn malformed(&self, what: &'static str) -> Malformed {
        malformed(what)
    }

    fn decode<T: Decode<'a>>(&self, what: &'static str) -> Result<T, Malformed> {
        T::from_der(self.raw).map_err(|_| malformed(what))
    }

    pub(super) fn identifier(&self) -> Result<ObjectIdentifier, Malformed> {
        self.decode("an object identifier")
    }

    /// The magnitude of a number that is not negative, without leading zeros.
    pub(super) fn unsigned(&self) -> Result<&'a [u8], Malformed> {
        self.decode::<UintRef<'a>>("a number that is not negative").map(|held| held.as_bytes())
    }

    /// The octets of an integer as they stand; serial numbers may be negative in the field.
    pub(super) fn integer(&self) -> Result<&'a [u8], Malformed> {
        self.decode::<IntRef<'a>>("an integer")?;
        Ok(self.value)
    }

    pub(super) fn small(&self) -> Result<u8, Malformed> {
        self.decode("a small number")
    }

    pub(super) fn boolean(&self) -> Result<bool, Malformed> {
        self.decode("a truth value")
    }

    pub(super) fn octets(&self) -> Result<&'a [u8], Malformed> {
        if self.tag == Tag::OctetString {
            Ok(self.value)
        } else {
            Err(malformed("octets expected"))
        }
    }

    /// The octets of a bit string without unused bits, as keys and signatures are.
    pub(super) fn bit_octets(&self) -> Result<&'a [u8], Malformed> {
        let bits: BitStringRef<'a> = self.decode("a bit string")?;
        bits.as_bytes().ok_or(malformed("a bit string of whole octets expected"))
    }

    /// The first 16 bits of a bit string of named bits, bit 0 highest; later ones are not looked
    /// at.
    pub(super) fn named_bits(&self) -> Result<u16, Malformed> {
        let bits: BitStringRef<'a> = self.decode("named bits")?;
        let mut octets = bits.raw_bytes().iter().copied();
        let first = octets.next().unwrap_or_default();
        Ok(u16::from_be_bytes([first, octets.next().unwrap_or_default()]))
    }

    /// Seconds since 1970.
    pub(super) fn time_s(&self) -> Result<i64, Malformed> {
        let since = match self.tag {
            Tag::UtcTime => self.decode::<UtcTime>("a UTCTime")?.to_unix_duration(),
            Tag::GeneralizedTime => {
                self.decode::<GeneralizedTime>("a GeneralizedTime")?.to_unix_duration()
            }
            _ => return Err(malformed("a time expected")),
        };
        i64::try_from(since.as_secs()).map_err(|_| malformed("a time far away"))
    }
}

/// Seconds since 1970 of the content of a GeneralizedTime that stands under another tag.
pub(super) fn generalized_time_s(content: &[u8]) -> Result<i64, Malformed> {
    let length = u8::try_from(content.len()).map_err(|_| malformed("a GeneralizedTime"))?;
    let raw = [&[0x18, length & 0x7f][..], content].concat();
    Element::whole(&raw)?.time_s()
}

/// A walk over elements that stand one after the other.
#[derive(Debug, Clone)]
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    reader: SliceReader<'a>,
}

impl<'a> Walk<'a> {
    pub(super) fn over(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let reader = SliceReader::new(bytes).map_err(|_| malformed("too many bytes"))?;
        Ok(Self { bytes, reader })
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.position()).unwrap_or(self.bytes.len())
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.reader.is_finished()
    }

    pub(super) fn next(&mut self) -> Result<Element<'a>, Malformed> {
        let begin = self.position();
        let any = AnyRef::decode(&mut self.reader).map_err(|_| malformed("tag, length, value"))?;
        let raw = self.bytes.get(begin..self.position()).ok_or(malformed("an element"))?;
        Ok(Element { tag: any.tag(), value: any.value(), raw })
    }

    /// The next element, which must have this tag.
    pub(super) fn take(&mut self, tag: Tag) -> Result<Element<'a>, Malformed> {
        let element = self.next()?;
        if element.tag == tag { Ok(element) } else { Err(malformed("another tag")) }
    }

    /// The next element if it has this tag.
    pub(super) fn optional(&mut self, tag: Tag) -> Result<Option<Element<'a>>, Malformed> {
        if self.is_at_end() {
            return Ok(None);
        }
        let mut ahead = self.clone();
        let element = ahead.next()?;
        if element.tag != tag {
            return Ok(None);
        }
        *self = ahead;
        Ok(Some(element))
    }

    /// A walk over the content of the next element, which must be a SEQUENCE.
    pub(super) fn sequence(&mut self) -> Result<Walk<'a>, Malformed> {
        Walk::over(self.take(Tag::Sequence)?.value)
    }

    pub(super) fn identifier(&mut self) -> Result<ObjectIdentifier, Malformed> {
        self.next()?.identifier()
    }

    pub(super) fn end(self) -> Result<(), Malformed> {
        if self.is_at_end() { Ok(()) } else { Err(malformed("something follows the end")) }
    }
}
