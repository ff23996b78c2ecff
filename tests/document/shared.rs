//! Real files of chips, where the folder of test data is there: two specimens, the worked example
//! of Doc 9303, and files that must be refused.

use std::{fs, path::PathBuf};

use portcullis::document::{
    com::Com,
    dg1,
    dg2::{Dg2, RecordFormat, Wrapping},
    image::{self, ImageKind},
    mrz::MrzFormat,
};

use crate::{common::skip, memory::within, places, structure::code};

fn sample(test: &str, path: &str) -> Option<Vec<u8>> {
    let folder: Option<PathBuf> = places::shared().map(|shared| shared.join("data/dg2"));
    let Some(folder) = folder.filter(|folder| folder.is_dir()) else {
        skip(test, "shared", "no folder of test data");
        return None;
    };
    let path = folder.join(path);
    Some(fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

const ICAO: &str = "icao/DG2_silver_mandatory_fields.dat";
const BSI: &str = "jmrtd/bsi2008/Datagroup2.bin";
const DOC_9303: &str = "gmrtd/ICAO9303p10_worked_example_DG2.bin";

#[test]
fn specimens_decode_and_their_headers_are_not_believed() {
    let test = "specimens_decode_and_their_headers_are_not_believed";
    let iso19794 = RecordFormat::Iso19794 { version: *b"010" };
    let iso39794 = RecordFormat::Iso39794 { generation: 3, year: 2019 };
    for (path, format, kind, stated_kind, stated_px, size) in [
        (ICAO, iso39794, ImageKind::Jpeg2000, Some(ImageKind::Jpeg2000), None, (413, 531)),
        (
            BSI,
            iso19794,
            ImageKind::Jpeg2000,
            Some(ImageKind::Jpeg2000),
            Some((337, 449)),
            (413, 531),
        ),
        (
            DOC_9303,
            iso19794,
            ImageKind::Jpeg,
            Some(ImageKind::Jpeg2000),
            Some((148, 70)),
            (148, 70),
        ),
    ] {
        let Some(file) = sample(test, path) else { return };
        let read = Dg2::read(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!((read.wrapping, read.instances), (Wrapping::DataGroup, 1), "{path}");
        let portrait = read.portraits[0];
        assert_eq!((portrait.format, portrait.kind), (format, kind), "{path}");
        assert_eq!(portrait.stated_kind, stated_kind, "{path}");
        assert_eq!(portrait.stated_px, stated_px, "{path}");
        let frame = within(|| image::decode(portrait.image)).expect(path);
        assert_eq!((frame.view().width_px(), frame.view().height_px()), size, "{path}");
    }
}

#[test]
fn a_record_without_its_data_group_reads_the_same() {
    let test = "a_record_without_its_data_group_reads_the_same";
    for (path, begin) in [(ICAO, &[0xa1, 0x82, 0x3a][..]), (BSI, b"FAC\0")] {
        let Some(file) = sample(test, path) else { return };
        let at = file.windows(begin.len()).position(|held| held == begin).expect("a record");
        let (whole, bare) = (Dg2::read(&file), Dg2::read(&file[at..]));
        let (whole, bare) = (whole.expect("sound"), bare.expect("sound"));
        assert_eq!(bare.wrapping, Wrapping::BareRecord);
        assert_eq!(bare.portraits, whole.portraits);
    }
}

#[test]
fn a_destroyed_image_is_refused() {
    let test = "a_destroyed_image_is_refused";
    let Some(file) = sample(test, "gmrtd/ISO19794_Test2_Data_InvalidImage.bin") else { return };
    assert_eq!(code(&file), "IMAGE_KIND_UNKNOWN");
    let Some(mut file) = sample(test, ICAO) else { return };
    let at = file.windows(4).position(|held| held == b"jP  ").expect("a signature");
    file[at] = 0;
    assert_eq!(code(&file), "IMAGE_KIND_UNKNOWN");
}

#[test]
fn every_truncation_of_every_specimen_is_refused() {
    let test = "every_truncation_of_every_specimen_is_refused";
    for path in [ICAO, BSI, DOC_9303] {
        let Some(file) = sample(test, path) else { return };
        within(|| {
            for length in 0..file.len() {
                assert!(Dg2::read(&file[..length]).is_err(), "{path}, {length} bytes");
            }
        });
        // The picture alone: the walk finds the end missing, without decoding.
        let read = Dg2::read(&file).expect("sound");
        let picture = read.portraits[0].image;
        for length in 0..picture.len() {
            let cut = &picture[..length];
            assert!(image::decode(cut).is_err(), "{path}, {length} bytes of the picture");
        }
    }
}

#[test]
fn the_other_files_of_a_specimen() {
    let test = "the_other_files_of_a_specimen";
    let Some(file) = sample(test, "jmrtd/bsi2008/EF_COM.bin") else { return };
    assert_eq!(Com::read(&file).expect("sound").data_groups, [1, 2, 3, 14]);
    let Some(file) = sample(test, "jmrtd/bsi2008/Datagroup1.bin") else { return };
    let zone = dg1::read(&file).expect("sound");
    assert_eq!((zone.format(), zone.issuing_state()), (MrzFormat::Td3, "D"));
    let Some(file) = sample(test, "jmrtd/bsi2008/Datagroup3.bin") else { return };
    assert_eq!(code(&file), "DOCUMENT_NOT_RECOGNISED", "fingerprints are not read");
}
