//! The machine readable zone, on the specimens of ICAO Doc 9303.

use portcullis::document::{
    dg1,
    error::{DocumentError, MrzProblem},
    mrz::{Day, Mrz, MrzDate, MrzFormat, Sex},
};

use crate::dg2::element;

const TD3: &str = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\
                   L898902C36UTO7408122F1204159ZE184226B<<<<<10";
const TD2: &str = "I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\
                   D231458907UTO7408122F1204159<<<<<<<6";
const TD1: &str = "I<UTOD231458907<<<<<<<<<<<<<<<7408122F1204159UTO<<<<<<<<<<<6\
                   ERIKSSON<<ANNA<MARIA<<<<<<<<<<";
/// With a document number of twelve characters, of Doc 9303-5.
const TD1_LONG: &str = "I<UTOD23145890<7349<<<<<<<<<<<3407127M9507122UTO<<<<<<<<<<<2\
                        STEVENSON<<PETER<JOHN<<<<<<<<<";

fn group(zone: &str) -> Vec<u8> {
    element(0x61, &[&element(0x5f1f, &[zone.as_bytes()])])
}

#[test]
fn the_three_formats() {
    for (zone, format, number, lines) in [
        (TD3, MrzFormat::Td3, "L898902C3", 2),
        (TD2, MrzFormat::Td2, "D23145890", 2),
        (TD1, MrzFormat::Td1, "D23145890", 3),
    ] {
        let mrz = dg1::read(&group(zone)).expect("a specimen");
        assert_eq!((mrz.format(), mrz.document_number().as_str()), (format, number));
        assert_eq!((mrz.issuing_state(), mrz.nationality()), ("UTO", "UTO"));
        let (surname, given) = mrz.names();
        assert_eq!((surname.as_str(), given.as_str()), ("ERIKSSON", "ANNA MARIA"));
        let date = |date: MrzDate| (date.year, date.month, date.day);
        assert_eq!(date(mrz.birth()), (Some(74), Some(8), Some(12)));
        assert_eq!(date(mrz.expiry()), (Some(12), Some(4), Some(15)));
        assert!(mrz.sex() == Sex::Female);
        assert_eq!(mrz.lines().collect::<String>(), zone);
        assert_eq!(mrz.lines().count(), lines);
    }
    let mrz = Mrz::read(TD3.as_bytes()).expect("a specimen");
    assert_eq!((mrz.document_code(), mrz.optional()), ("P", ["ZE184226B", ""]));
}

#[test]
fn a_long_document_number_goes_on_in_the_optional_data() {
    let mrz = Mrz::read(TD1_LONG.as_bytes()).expect("a specimen");
    assert_eq!(mrz.document_number().as_str(), "D23145890734");
    let mut wrong = TD1_LONG.as_bytes().to_vec();
    wrong[16] = b'4';
    assert!(matches!(Mrz::read(&wrong), Err(MrzProblem::CheckDigit { field: "document number" })));
}

#[test]
fn every_check_digit_is_held() {
    for (zone, at, field) in [
        (TD3, 53, "document number"),
        (TD3, 63, "date of birth"),
        (TD3, 71, "date of expiry"),
        (TD3, 86, "personal number"),
        (TD3, 87, "whole zone"),
        (TD2, 45, "document number"),
        (TD2, 55, "date of birth"),
        (TD2, 63, "date of expiry"),
        (TD2, 71, "whole zone"),
        (TD1, 14, "document number"),
        (TD1, 36, "date of birth"),
        (TD1, 44, "date of expiry"),
        (TD1, 59, "whole zone"),
    ] {
        let mut wrong = zone.as_bytes().to_vec();
        wrong[at] = if wrong[at] == b'9' { b'0' } else { wrong[at] + 1 };
        let refused = Mrz::read(&wrong).expect_err("a wrong digit");
        assert_eq!(refused, MrzProblem::CheckDigit { field }, "{at}");
    }
    // A character of the optional data is in the composite digit alone.
    let mut wrong = TD1.as_bytes().to_vec();
    wrong[50] = b'7';
    assert_eq!(
        Mrz::read(&wrong).expect_err("wrong"),
        MrzProblem::CheckDigit { field: "whole zone" }
    );
}

#[test]
fn what_is_no_zone() {
    for (zone, problem) in
        [(&TD3[1..], MrzProblem::Length { held: 87 }), ("", MrzProblem::Length { held: 0 })]
    {
        let refused = dg1::read(&group(zone)).expect_err("no zone");
        assert_eq!(refused, DocumentError::Mrz { problem });
    }
    let lower = TD3.replacen("ANNA", "Anna", 1);
    assert_eq!(Mrz::read(lower.as_bytes()).expect_err("lower"), MrzProblem::Character { at: 16 });
    let whole = group(TD3);
    for length in 0..whole.len() {
        dg1::read(&whole[..length]).expect_err("cut off");
    }
}

#[test]
fn the_century_is_settled_against_a_day() {
    let date = |year, month, day| MrzDate { year, month, day };
    let today = Day { year: 2026, month: 11, day: 22 };
    let birth = |year| date(Some(year), Some(11), Some(22)).birth_year(today);
    assert_eq!((birth(26), birth(27), birth(0)), (Some(2026), Some(1927), Some(2000)));
    let tomorrow = date(Some(26), Some(11), Some(23));
    assert_eq!(tomorrow.birth_year(today), Some(1926), "nobody is born tomorrow");
    assert_eq!(date(Some(26), None, None).birth_year(today), Some(2026));
    assert_eq!(date(None, None, None).birth_year(today), None);
    let expiry = |year| date(Some(year), Some(1), Some(1)).expiry_year(today);
    assert_eq!((expiry(26), expiry(75), expiry(76)), (Some(2026), Some(2075), Some(1976)));
    assert_eq!((expiry(99), expiry(0)), (Some(1999), Some(2000)));
    let turn = Day { year: 1999, month: 12, day: 31 };
    assert_eq!(date(Some(5), Some(1), Some(1)).expiry_year(turn), Some(2005));
    assert_eq!(date(Some(0), Some(1), Some(1)).birth_year(turn), Some(1900));
}

#[test]
fn a_zone_cannot_be_printed() {
    let mrz = Mrz::read(TD3.as_bytes()).expect("a specimen");
    assert_eq!(format!("{mrz:?}"), "Mrz(Td3)");
    let mut wrong = TD3.as_bytes().to_vec();
    wrong[53] = b'0';
    let told = Mrz::read(&wrong).expect_err("wrong").to_string();
    assert!(!told.contains("L898902C3"), "{told}");
}
