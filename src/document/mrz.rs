//! The machine readable zone (ICAO Doc 9303-3 to -6): its three formats, every check digit held.
//!
//! ```text
//! TD1, 3 × 30  kk sss nnnnnnnnn c oooooooooooooooo
//!              bbbbbb c x eeeeee c ttt ooooooooooo C      C over the rest of lines 1 and 2
//!              names
//! TD2, 2 × 36  kk sss names
//!              nnnnnnnnn c ttt bbbbbb c x eeeeee c ooooooo C
//! TD3, 2 × 44  kk sss names
//!              nnnnnnnnn c ttt bbbbbb c x eeeeee c oooooooooooooo c C
//! k kind  s issuing state  n number  c check digit  b birth  x sex  e expiry  t nationality
//! o optional data  C composite check digit
//! ```
//! A check digit is the sum of its characters' values (digits as they are, A to Z 10 to 35, `<` 0)
//! times 7, 3, 1, 7, 3, 1 …, modulo 10.
//!
//! A year has two digits, and Doc 9303 leaves the century to the reader. [`MrzDate`] keeps the
//! digits; the century is settled against a day that the caller names, as time comes in by
//! argument: nobody was born after it, and no document expires 50 years from it or more.
//!
//! Invariant: the zone is personal data. It lies in one buffer that is wiped when dropped; it
//! cannot be cloned, printed or compared, and no error quotes it.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::arithmetic_side_effects)]

use std::{fmt, ops::Range};

use zeroize::Zeroizing;

use super::error::MrzProblem;

const FILLER: u8 = b'<';

/// The three formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MrzFormat {
    /// Cards: three lines of 30.
    Td1,
    /// Larger cards and visas: two lines of 36.
    Td2,
    /// Passports: two lines of 44.
    Td3,
}

/// Where the fields of a format stand.
struct Places {
    line: usize,
    number: Range<usize>,
    birth: Range<usize>,
    expiry: Range<usize>,
    sex: usize,
    nationality: Range<usize>,
    names: Range<usize>,
    optional: [Range<usize>; 2],
    /// What the composite check digit is computed over, and where it stands.
    composite: &'static [Range<usize>],
    composite_at: usize,
}

impl MrzFormat {
    fn places(self) -> Places {
        match self {
            Self::Td1 => Places {
                line: 30,
                number: 5..14,
                birth: 30..36,
                expiry: 38..44,
                sex: 37,
                nationality: 45..48,
                names: 60..90,
                optional: [15..30, 48..59],
                composite: &[5..30, 30..37, 38..45, 48..59],
                composite_at: 59,
            },
            Self::Td2 => Places {
                line: 36,
                number: 36..45,
                birth: 49..55,
                expiry: 57..63,
                sex: 56,
                nationality: 46..49,
                names: 5..36,
                optional: [64..71, 71..71],
                composite: &[36..46, 49..56, 57..71],
                composite_at: 71,
            },
            Self::Td3 => Places {
                line: 44,
                number: 44..53,
                birth: 57..63,
                expiry: 65..71,
                sex: 64,
                nationality: 54..57,
                names: 5..44,
                optional: [72..86, 86..86],
                composite: &[44..54, 57..64, 65..87],
                composite_at: 87,
            },
        }
    }
}

/// What the zone says of the holder's sex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// `F`.
    Female,
    /// `M`.
    Male,
    /// `<`.
    Unspecified,
}

/// A day of the calendar, in full.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    /// Year, such as 2026.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

/// A date of the zone. Of a date of birth, day, month and even the year may be unknown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MrzDate {
    /// The last two digits.
    pub year: Option<u8>,
    /// 1 to 12.
    pub month: Option<u8>,
    /// 1 to 31.
    pub day: Option<u8>,
}

impl MrzDate {
    fn read(field: &[u8], name: &'static str) -> Result<Self, MrzProblem> {
        let invalid = MrzProblem::Field { field: name };
        let (pairs, _) = field.as_chunks::<2>();
        let &[year, month, day] = pairs else { return Err(invalid) };
        let part = |pair: [u8; 2], allowed: Range<u8>| match pair {
            [FILLER, FILLER] => Ok(None),
            [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
                let value = (tens & 0x0f).saturating_mul(10).saturating_add(ones & 0x0f);
                Some(value).filter(|value| allowed.contains(value)).map(Some).ok_or(invalid)
            }
            _ => Err(invalid),
        };
        Ok(Self { year: part(year, 0..100)?, month: part(month, 1..13)?, day: part(day, 1..32)? })
    }

    /// The year of a birth: the latest that has these digits and is not after `today`.
    #[must_use]
    pub fn birth_year(self, today: Day) -> Option<u16> {
        let digits = u16::from(self.year?);
        let this_century = today.year.saturating_sub(today.year % 100).saturating_add(digits);
        // An unknown month or day is taken as early as it can be: born by today, if at all.
        let born =
            Day { year: this_century, month: self.month.unwrap_or(1), day: self.day.unwrap_or(1) };
        Some(if born > today { this_century.saturating_sub(100) } else { this_century })
    }

    /// The year of an expiry: the one that has these digits and is less than 50 years from
    /// `today`, or 50 years before it.
    #[must_use]
    pub fn expiry_year(self, today: Day) -> Option<u16> {
        let digits = u16::from(self.year?);
        let first = today.year.saturating_sub(50);
        let past = digits.saturating_add(100).saturating_sub(first % 100) % 100;
        Some(first.saturating_add(past))
    }
}

/// A machine readable zone whose check digits all fit.
pub struct Mrz {
    format: MrzFormat,
    text: Zeroizing<Vec<u8>>,
    /// Where the document's number goes on in the optional data, where it is longer than its field.
    number_rest: Range<usize>,
    birth: MrzDate,
    expiry: MrzDate,
    sex: Sex,
}

impl fmt::Debug for Mrz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mrz({:?})", self.format)
    }
}

impl Mrz {
    /// Reads a zone without line breaks.
    ///
    /// # Errors
    /// [`MrzProblem`].
    pub fn read(zone: &[u8]) -> Result<Self, MrzProblem> {
        let format = match zone.len() {
            90 => MrzFormat::Td1,
            72 => MrzFormat::Td2,
            88 => MrzFormat::Td3,
            held => return Err(MrzProblem::Length { held }),
        };
        let foreign = |&byte: &u8| !matches!(byte, FILLER | b'0'..=b'9' | b'A'..=b'Z');
        if let Some(at) = zone.iter().position(foreign) {
            return Err(MrzProblem::Character { at });
        }
        let places = format.places();
        let number_rest = check_digits(zone, format, &places)?;
        let sex = match zone.get(places.sex) {
            Some(b'F') => Sex::Female,
            Some(b'M') => Sex::Male,
            Some(&FILLER) => Sex::Unspecified,
            _ => return Err(MrzProblem::Field { field: "sex" }),
        };
        let birth = MrzDate::read(slice(zone, &places.birth), "date of birth")?;
        let expiry = MrzDate::read(slice(zone, &places.expiry), "date of expiry")?;
        if !slice(zone, &(0..1)).first().is_some_and(u8::is_ascii_uppercase) {
            return Err(MrzProblem::Field { field: "kind of document" });
        }
        let text = Zeroizing::new(zone.to_vec());
        Ok(Self { format, text, number_rest, birth, expiry, sex })
    }

    /// Which of the three formats.
    #[must_use]
    pub fn format(&self) -> MrzFormat {
        self.format
    }

    /// The lines as they are printed in the document.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.chunks(self.format.places().line).map(text)
    }

    /// Kind of document, such as `P`.
    #[must_use]
    pub fn document_code(&self) -> &str {
        self.field(&(0..2))
    }

    /// Issuing state or organisation, such as `UTO`; Germany's is `D`.
    #[must_use]
    pub fn issuing_state(&self) -> &str {
        self.field(&(2..5))
    }

    /// Number of the document.
    #[must_use]
    pub fn document_number(&self) -> Zeroizing<String> {
        let first = self.field(&self.format.places().number);
        Zeroizing::new([first, self.field(&self.number_rest)].concat())
    }

    /// Nationality of the holder, such as `UTO`.
    #[must_use]
    pub fn nationality(&self) -> &str {
        self.field(&self.format.places().nationality)
    }

    /// Date of birth.
    #[must_use]
    pub fn birth(&self) -> MrzDate {
        self.birth
    }

    /// Date of expiry.
    #[must_use]
    pub fn expiry(&self) -> MrzDate {
        self.expiry
    }

    /// Sex.
    #[must_use]
    pub fn sex(&self) -> Sex {
        self.sex
    }

    /// Primary and secondary identifier (surname and given names), with spaces for fillers. Long
    /// names are cut off in the zone itself.
    #[must_use]
    pub fn names(&self) -> (Zeroizing<String>, Zeroizing<String>) {
        let names = self.field(&self.format.places().names);
        let (surname, given) = names.split_once("<<").unwrap_or((names, ""));
        let spaced = |name: &str| Zeroizing::new(name.trim_matches('<').replace('<', " "));
        (spaced(surname), spaced(given))
    }

    /// Optional data, at the issuing state's choice, without its fillers.
    #[must_use]
    pub fn optional(&self) -> [&str; 2] {
        self.format.places().optional.map(|field| self.field(&field))
    }

    /// A field without the fillers at its end.
    fn field(&self, place: &Range<usize>) -> &str {
        text(slice(&self.text, place)).trim_end_matches('<')
    }
}

fn slice<'a>(zone: &'a [u8], place: &Range<usize>) -> &'a [u8] {
    zone.get(place.clone()).unwrap_or_default()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Holds every check digit; where the number of the document goes on.
fn check_digits(
    zone: &[u8],
    format: MrzFormat,
    places: &Places,
) -> Result<Range<usize>, MrzProblem> {
    let digit_at = |at: usize| zone.get(at).copied().unwrap_or(FILLER);
    let check = |field, place: &Range<usize>| {
        let fits = digit_at(place.end) == check_digit(slice(zone, place));
        if fits { Ok(()) } else { Err(MrzProblem::CheckDigit { field }) }
    };
    let number_rest = if digit_at(places.number.end) == FILLER && format != MrzFormat::Td3 {
        long_number(zone, places)?
    } else {
        check("document number", &places.number)?;
        0..0
    };
    check("date of birth", &places.birth)?;
    check("date of expiry", &places.expiry)?;
    if format == MrzFormat::Td3 {
        let [personal, _] = &places.optional;
        let empty = slice(zone, personal).iter().all(|&byte| byte == FILLER);
        // An empty field may have no check digit.
        if !(empty && digit_at(personal.end) == FILLER) {
            check("personal number", personal)?;
        }
    }
    let composite: Zeroizing<Vec<u8>> = Zeroizing::new(
        places.composite.iter().flat_map(|place| slice(zone, place)).copied().collect(),
    );
    if digit_at(places.composite_at) != check_digit(&composite) {
        return Err(MrzProblem::CheckDigit { field: "whole zone" });
    }
    Ok(number_rest)
}

/// A number of more than nine characters: a filler in place of its check digit, and the rest with
/// the check digit at the beginning of the optional data.
fn long_number(zone: &[u8], places: &Places) -> Result<Range<usize>, MrzProblem> {
    let [optional, _] = &places.optional;
    let held = slice(zone, optional);
    let length = held.iter().position(|&byte| byte == FILLER).unwrap_or(held.len());
    let problem = MrzProblem::CheckDigit { field: "document number" };
    let (Some((&digit, rest)), Some(rest_length)) =
        (held.get(..length).and_then(<[u8]>::split_last), length.checked_sub(1))
    else {
        return Err(problem);
    };
    let number = Zeroizing::new([slice(zone, &places.number), rest].concat());
    if digit != check_digit(&number) {
        return Err(problem);
    }
    Ok(optional.start..optional.start.saturating_add(rest_length))
}

fn check_digit(characters: &[u8]) -> u8 {
    let weighted = characters.iter().zip([7_u32, 3, 1].into_iter().cycle());
    let sum = weighted.fold(0_u32, |sum, (&character, weight)| {
        let value = match character {
            b'0'..=b'9' => character.saturating_sub(b'0'),
            b'A'..=b'Z' => character.saturating_sub(b'A').saturating_add(10),
            _ => 0,
        };
        sum.saturating_add(u32::from(value).saturating_mul(weight))
    });
    b'0'.saturating_add(u8::try_from(sum % 10).unwrap_or(0))
}
