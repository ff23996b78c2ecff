//! BER-TLV (ISO/IEC 8825-1) as the files of a passport chip use it: definite lengths only.
//!
//! ```text
//! tag: 1 to 3 bytes │ length: 00–7F, 81 xx, 82 xxxx or 83 xxxxxx │ value
//! ```
//! The reader borrows and never allocates. It goes down only where its caller does, by a chain of
//! calls that is as deep as the standard is: an element nested a million times costs nothing but
//! the bytes it came in.
//!
//! Absent, because no chip's file may have it: indefinite lengths (`80`), lengths of more than
//! three bytes, tags of more than three bytes. Refused by name, so that nobody wonders.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use super::error::DocumentError;

/// Most bytes of a length, after its first.
const LENGTH_BYTES_MAX: usize = 3;
/// Most bytes of a tag.
const TAG_BYTES_MAX: usize = 3;

/// Which lengths are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// Any definite length: what surrounds a record is written by smart cards.
    Basic,
    /// The shortest length only: ISO/IEC 39794 is DER.
    Distinguished,
}

/// One element.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    /// Its tag, as the bytes stand: `7f61` is 0x7f61.
    pub(super) tag: u32,
    /// Where its tag stands in the file.
    pub(super) at: usize,
    /// Its contents.
    pub(super) value: &'a [u8],
    /// Where its contents begin in the file.
    pub(super) value_at: usize,
    rules: Rules,
}

impl<'a> Element<'a> {
    /// The elements inside.
    pub(super) fn inside(&self) -> Elements<'a> {
        Elements { bytes: self.value, at: 0, base: self.value_at, rules: self.rules }
    }

    /// The elements inside, under the rules of DER from here on.
    pub(super) fn inside_distinguished(&self) -> Elements<'a> {
        Elements { rules: Rules::Distinguished, ..self.inside() }
    }

    /// The contents as a number: of one or two bytes as they stand, not signed.
    pub(super) fn number(&self, what: &'static str) -> Result<u16, DocumentError> {
        match *self.value {
            [low] => Ok(low.into()),
            [high, low] => Ok(u16::from_be_bytes([high, low])),
            _ => Err(self.wrong_length(what, 2)),
        }
    }

    /// The contents as a non-negative INTEGER or ENUMERATED of ASN.1 that fits 16 bits.
    pub(super) fn integer(&self, what: &'static str) -> Result<u16, DocumentError> {
        let not_shortest = DocumentError::Encoding {
            at: self.at,
            encoding: "a number that is negative or longer than it need be",
        };
        match *self.value {
            [low @ ..=0x7f] => Ok(low.into()),
            [0, low @ 0x80..=0xff] => Ok(low.into()),
            [high @ 1..=0x7f, low] => Ok(u16::from_be_bytes([high, low])),
            [0, high @ 0x80..=0xff, low] => Ok(u16::from_be_bytes([high, low])),
            [] => Err(self.wrong_length(what, 1)),
            [0x80..=0xff, ..] | [0, ..] => Err(not_shortest),
            _ => Err(self.wrong_length(what, 2)),
        }
    }

    fn wrong_length(&self, what: &'static str, needed: u64) -> DocumentError {
        DocumentError::Inconsistent { what, stated: needed, held: self.value.len() as u64 }
    }
}

/// A row of elements, one after the other.
pub(super) struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
    base: usize,
    rules: Rules,
}

impl<'a> Elements<'a> {
    /// The elements of a whole file.
    pub(super) fn of_file(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, base: 0, rules: Rules::Basic }
    }

    /// Bytes that no element has taken yet.
    pub(super) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// The next element, whatever it is; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Element<'a>>, DocumentError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let at = self.base.saturating_add(self.at);
        let (tag, tail) = tag(rest, at)?;
        let (length, tail) = length(tail, at, self.rules)?;
        let Some((value, tail)) = tail.split_at_checked(length) else {
            let held = tail.len();
            return Err(DocumentError::Truncated { what: "element", at, needed: length, held });
        };
        self.at = self.bytes.len().saturating_sub(tail.len());
        let value_at = self.base.saturating_add(self.at.saturating_sub(length));
        Ok(Some(Element { tag, at, value, value_at, rules: self.rules }))
    }

    /// The next element, which must have this tag.
    pub(super) fn expect(
        &mut self,
        tag: u32,
        expected: &'static str,
    ) -> Result<Element<'a>, DocumentError> {
        match self.next()? {
            Some(element) if element.tag == tag => Ok(element),
            Some(Element { at, tag: found, .. }) => {
                Err(DocumentError::Unexpected { at, expected, found })
            }
            None => Err(DocumentError::Missing { what: expected }),
        }
    }

    /// Nothing may follow.
    pub(super) fn end(&self, what: &'static str) -> Result<(), DocumentError> {
        match self.left() {
            0 => Ok(()),
            bytes => Err(DocumentError::Trailing { what, bytes, most: 0 }),
        }
    }

    /// The elements with the tags of `wanted`, in any order, each at most once; others are passed
    /// over, as both standards ask of readers.
    pub(super) fn pick<const N: usize>(
        mut self,
        wanted: [(u32, &'static str); N],
    ) -> Result<[Option<Element<'a>>; N], DocumentError> {
        let mut found = [None; N];
        while let Some(element) = self.next()? {
            let places = wanted.iter().zip(&mut found);
            let place = places.into_iter().find(|((tag, _), _)| *tag == element.tag);
            if let Some(((_, what), place)) = place {
                if place.is_some() {
                    return Err(DocumentError::Repeated { what, at: element.at });
                }
                *place = Some(element);
            }
        }
        Ok(found)
    }
}

fn tag(bytes: &[u8], at: usize) -> Result<(u32, &[u8]), DocumentError> {
    let truncated = DocumentError::Truncated { what: "tag", at, needed: 2, held: bytes.len() };
    let (&first, mut tail) = bytes.split_first().ok_or(truncated.clone())?;
    let mut tag = u32::from(first);
    if first & 0x1f != 0x1f {
        return Ok((tag, tail));
    }
    for _ in 1..TAG_BYTES_MAX {
        let (&next, rest) = tail.split_first().ok_or(truncated.clone())?;
        (tag, tail) = (tag << 8 | u32::from(next), rest);
        if next & 0x80 == 0 {
            return Ok((tag, tail));
        }
    }
    Err(DocumentError::Encoding { at, encoding: "a tag of more than three bytes" })
}

fn length(bytes: &[u8], at: usize, rules: Rules) -> Result<(usize, &[u8]), DocumentError> {
    let truncated = |needed| DocumentError::Truncated { what: "length", at, needed, held: 0 };
    let (&first, tail) = bytes.split_first().ok_or(truncated(1))?;
    let count = usize::from(first & 0x7f);
    if first < 0x80 {
        return Ok((first.into(), tail));
    }
    if count == 0 {
        return Err(DocumentError::Encoding { at, encoding: "an indefinite length" });
    }
    if count > LENGTH_BYTES_MAX {
        let encoding = "a length of more than three bytes";
        return Err(DocumentError::Encoding { at, encoding });
    }
    let (digits, tail) = tail.split_at_checked(count).ok_or(truncated(count))?;
    let length = digits.iter().fold(0_usize, |sum, &digit| sum << 8 | usize::from(digit));
    let shortest = length >= 0x80 && digits.first() != Some(&0);
    if rules == Rules::Distinguished && !shortest {
        let encoding = "a length that is longer than it need be";
        return Err(DocumentError::Encoding { at, encoding });
    }
    Ok((length, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(bytes: &[u8]) -> Result<Option<(u32, usize)>, DocumentError> {
        let element = Elements::of_file(bytes).next()?;
        Ok(element.map(|element| (element.tag, element.value.len())))
    }

    fn encoding(bytes: &[u8]) -> &'static str {
        match first(bytes) {
            Err(DocumentError::Encoding { encoding, .. }) => encoding,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_definite_length_up_to_three_bytes() {
        for (head, length) in [
            (&[0x75, 0x03][..], 3),
            (&[0x7f, 0x61, 0x03], 3),
            (&[0x75, 0x81, 0x90], 0x90),
            (&[0x75, 0x82, 0x01, 0x00], 256),
            (&[0x75, 0x83, 0x00, 0x00, 0x01], 1),
        ] {
            let file = [head, &vec![0; length]].concat();
            assert_eq!(first(&file).expect("sound").expect("one").1, length);
            let cut = file.get(..file.len() - 1).expect("longer");
            assert!(matches!(first(cut), Err(DocumentError::Truncated { .. })), "{head:x?}");
        }
        assert_eq!(first(&[]).expect("none"), None);
    }

    #[test]
    fn what_no_chip_writes_is_refused_by_name() {
        assert_eq!(encoding(&[0x75, 0x80, 0, 0]), "an indefinite length");
        assert_eq!(
            encoding(&[0x75, 0x84, 0xff, 0xff, 0xff, 0xff]),
            "a length of more than three bytes"
        );
        assert_eq!(encoding(&[0x75, 0xff]), "a length of more than three bytes");
        assert_eq!(encoding(&[0x1f, 0xff, 0xff, 0x01, 0]), "a tag of more than three bytes");
    }

    #[test]
    fn der_takes_only_the_shortest_length() {
        let mut outer = Elements::of_file(&[0x65, 0x04, 0x80, 0x81, 0x01, 0x07]);
        let outer = outer.next().expect("sound").expect("one");
        assert!(outer.inside().next().is_ok());
        assert!(matches!(outer.inside_distinguished().next(), Err(DocumentError::Encoding { .. })));
    }

    #[test]
    fn numbers_are_taken_in_their_shortest_form() {
        let integer = |value: &[u8]| {
            let file = [&[0x80, u8::try_from(value.len()).expect("short")], value].concat();
            Elements::of_file(&file).next().expect("sound").expect("one").integer("number")
        };
        for (value, expected) in [
            (&[0][..], 0),
            (&[0x7f], 0x7f),
            (&[0, 0x80], 0x80),
            (&[0x07, 0xe3], 2019),
            (&[0, 0xff, 0xff], 0xffff),
        ] {
            assert_eq!(integer(value).expect("a number"), expected);
        }
        for value in [&[][..], &[0, 1], &[0x80], &[0, 0, 0x80], &[1, 0, 0]] {
            assert!(integer(value).is_err(), "{value:x?}");
        }
    }
}
