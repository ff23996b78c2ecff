//! How data group 2 is built: what readers tolerate, and what they do not.

use portcullis::{
    document::{
        dg2::{Dg2, RecordFormat, Wrapping},
        error::DocumentError,
        image::ImageKind,
    },
    limits::DOCUMENT_BYTES_MAX,
};

use crate::{
    dg2::{ENCODINGS, Encoding, Fac, block, dg2, element, format_header, head, iso39794, wrapped},
    memory::within,
};

/// What begins as a JPEG does; nothing here decodes it.
pub(crate) const IMAGE: &[u8] = b"\xff\xd8\xff\xe0 and so on";

#[track_caller]
pub(crate) fn code(file: &[u8]) -> &'static str {
    within(|| Dg2::read(file).expect_err("should be refused").code())
}

fn fac(change: impl FnOnce(&mut Fac<'_>)) -> Vec<u8> {
    let mut fac = Fac::new(&[IMAGE]);
    change(&mut fac);
    let record = element(0x5f2e, &[&fac.record()]);
    wrapped(1, &format_header(Encoding::Iso19794), &[record])
}

fn with_header(fields: &[&[u8]]) -> Vec<u8> {
    wrapped(1, &element(0xa1, fields), &[block(Encoding::Iso19794, IMAGE)])
}

#[test]
fn both_encodings_wrapped_and_bare() {
    for encoding in ENCODINGS {
        let file = dg2(encoding, &[IMAGE]);
        let read = Dg2::read(&file).expect("sound");
        assert_eq!((read.wrapping, read.instances), (Wrapping::DataGroup, 1));
        let portrait = read.portraits[0];
        assert_eq!((portrait.image, portrait.kind), (IMAGE, ImageKind::Jpeg));
        let bare = match encoding {
            Encoding::Iso19794 => Fac::new(&[IMAGE]).record(),
            Encoding::Iso39794 => iso39794(IMAGE, &[]),
        };
        let read = Dg2::read(&bare).expect("sound");
        assert_eq!((read.wrapping, read.portraits[0]), (Wrapping::BareRecord, portrait));
    }
}

#[test]
fn one_to_nine_instances() {
    for encoding in ENCODINGS {
        for count in [1, 2, 9] {
            let read = dg2(encoding, &vec![IMAGE; count]);
            let read = Dg2::read(&read).expect("sound");
            assert_eq!((read.instances, read.portraits.len()), (count, count));
        }
        assert_eq!(code(&dg2(encoding, &[])), "DOCUMENT_PORTRAIT_COUNT");
        assert_eq!(code(&dg2(encoding, &[IMAGE; 10])), "DOCUMENT_PORTRAIT_COUNT");
        let one = [block(encoding, IMAGE)];
        let header = format_header(encoding);
        assert_eq!(code(&wrapped(2, &header, &one)), "DOCUMENT_STRUCTURE", "one is missing");
        let two = [one[0].clone(), one[0].clone()];
        assert_eq!(code(&wrapped(1, &header, &two)), "DOCUMENT_TRAILING", "one too many");
    }
}

#[test]
fn a_record_of_several_images_counts_each() {
    let file = |images: &[&[u8]]| element(0x5f2e, &[&Fac::new(images).record()]);
    let header = format_header(Encoding::Iso19794);
    let read = wrapped(1, &header, &[file(&[IMAGE; 4])]);
    assert_eq!(Dg2::read(&read).expect("sound").portraits.len(), 4);
    let ten = [file(&[IMAGE; 5]), file(&[IMAGE; 5])];
    assert_eq!(code(&wrapped(2, &header, &ten)), "DOCUMENT_PORTRAIT_COUNT");
    for count in [0, 10, u16::MAX] {
        let file = fac(|fac| fac.count = Some(count));
        assert_eq!(code(&file), "DOCUMENT_PORTRAIT_COUNT", "{count}");
    }
    assert_eq!(code(&fac(|fac| fac.count = Some(2))), "DOCUMENT_TRUNCATED");
}

#[test]
fn header_fields_in_any_order_and_most_of_them_absent() {
    let (owner, format) = (element(0x87, &[&[1, 1]]), element(0x88, &[&[0, 8]]));
    let kind = element(0x81, &[&[2]]);
    let rest: Vec<u8> = [
        element(0x80, &[&[1, 1]]),
        element(0x82, &[&[0]]),
        element(0x83, &[&[0x20, 0x26, 1, 2, 3, 4, 5]]),
        element(0x85, &[&[0; 8]]),
        element(0x86, &[&[0; 4]]),
    ]
    .concat();
    for fields in [
        [&owner[..], &format, &[], &[]],
        [&format, &owner, &[], &[]],
        [&kind, &rest, &owner, &format],
        [&format, &rest, &kind, &owner],
    ] {
        let file = with_header(&fields);
        assert_eq!(Dg2::read(&file).expect("sound").portraits.len(), 1);
    }
    let finger = element(0x81, &[&[8]]);
    let fingers = element(0x88, &[&[0, 7]]);
    for (fields, expected) in [
        ([&owner[..], &[]], "DOCUMENT_STRUCTURE"),
        ([&format, &[]], "DOCUMENT_STRUCTURE"),
        ([&[&owner[..], &format].concat(), &finger], "DOCUMENT_FORMAT_UNKNOWN"),
        ([&owner, &fingers], "DOCUMENT_FORMAT_UNKNOWN"),
        ([&element(0x87, &[&[1, 2]]), &format], "DOCUMENT_FORMAT_UNKNOWN"),
        ([&[&owner[..], &owner].concat(), &format], "DOCUMENT_STRUCTURE"),
    ] {
        assert_eq!(code(&with_header(&fields)), expected, "{fields:x?}");
    }
    // The record and the header must mean the same standard.
    let crossed =
        wrapped(1, &format_header(Encoding::Iso39794), &[block(Encoding::Iso19794, IMAGE)]);
    assert_eq!(code(&crossed), "DOCUMENT_INCONSISTENT");
}

#[test]
fn the_three_headers_of_19794_and_no_other() {
    for version in [b"010", b"020", b"030"] {
        let file = fac(|fac| fac.version = version);
        let portrait = Dg2::read(&file).expect("sound").portraits[0];
        assert_eq!(portrait.format, RecordFormat::Iso19794 { version: *version });
        assert_eq!(portrait.image, IMAGE);
    }
    assert_eq!(code(&fac(|fac| fac.version = b"040")), "DOCUMENT_FORMAT_UNKNOWN");
    let points = fac(|fac| fac.points = 70);
    assert_eq!(Dg2::read(&points).expect("sound").portraits[0].image, IMAGE);
}

#[test]
fn the_signature_decides_and_headers_are_only_reported() {
    let file = fac(|fac| fac.stated = (1, 337, 449));
    let portrait = Dg2::read(&file).expect("sound").portraits[0];
    assert_eq!(portrait.kind, ImageKind::Jpeg);
    assert_eq!(portrait.stated_kind, Some(ImageKind::Jpeg2000));
    assert_eq!(portrait.stated_px, Some((337, 449)));
    for (image, expected) in [
        (b"\xff\xd8\xfe\xe0".as_slice(), "IMAGE_KIND_UNKNOWN"),
        (b"\x89PNG\r\n\x1a\n\0\0", "DOCUMENT_IMAGE_KIND"),
        (b"GIF89a", "IMAGE_KIND_UNSUPPORTED"),
        (b"\xff\xd8", "IMAGE_TRUNCATED"),
        (b"", "IMAGE_EMPTY"),
    ] {
        for encoding in ENCODINGS {
            assert_eq!(code(&dg2(encoding, &[image])), expected, "{image:x?}");
        }
    }
}

#[test]
fn up_to_eight_bytes_of_padding() {
    for encoding in ENCODINGS {
        let mut file = dg2(encoding, &[IMAGE]);
        file.extend([0; 8]);
        Dg2::read(&file).expect("padded");
        file.push(0);
        assert_eq!(code(&file), "DOCUMENT_TRAILING");
    }
    for (short, fits) in [(0, true), (-1, true), (-8, true), (-9, false), (1, false)] {
        let file = fac(|fac| fac.record_length = short);
        match Dg2::read(&file) {
            Ok(read) => assert!(fits && read.portraits[0].image == IMAGE, "{short}"),
            Err(error) => {
                assert!(!fits && matches!(error, DocumentError::Inconsistent { .. }), "{short}");
            }
        }
    }
    // A block that ends early leaves bytes of its image behind it.
    Dg2::read(&fac(|fac| fac.block_length = -8)).expect("eight bytes left over");
    assert_eq!(code(&fac(|fac| fac.block_length = -9)), "DOCUMENT_TRAILING");
    assert_eq!(code(&fac(|fac| fac.block_length = 1)), "DOCUMENT_TRUNCATED");
    let none = -(IMAGE.len() as i64);
    assert_eq!(code(&fac(|fac| fac.block_length = none)), "DOCUMENT_TRAILING");
    assert_eq!(code(&fac(|fac| fac.block_length = none - 1)), "DOCUMENT_INCONSISTENT");
}

#[test]
fn lengths_of_zero_one_and_the_most() {
    for (length, block) in [(0_i64, "DOCUMENT_INCONSISTENT"), (1, "DOCUMENT_INCONSISTENT")] {
        let record = Fac::new(&[IMAGE]).record().len() as i64;
        assert_eq!(code(&fac(|fac| fac.record_length = length - record)), "DOCUMENT_INCONSISTENT");
        let size = 32 + IMAGE.len() as i64;
        assert_eq!(code(&fac(|fac| fac.block_length = length - size)), block);
    }
    let most = i64::from(u32::MAX);
    let record = Fac::new(&[IMAGE]).record().len() as i64;
    assert_eq!(code(&fac(|fac| fac.record_length = most - record)), "DOCUMENT_INCONSISTENT");
    let size = 32 + IMAGE.len() as i64;
    assert_eq!(code(&fac(|fac| fac.block_length = most - size)), "DOCUMENT_TRUNCATED");
    // Every length of the elements around it, in turn.
    for encoding in ENCODINGS {
        let file = dg2(encoding, &[IMAGE]);
        for (at, tag) in [0x75, 0x7f61, 0x7f60].into_iter().scan(0, |from, tag| {
            let tag_bytes = head(tag);
            let found = file[*from..].windows(tag_bytes.len()).position(|held| held == tag_bytes);
            *from += found.expect("every tag is there");
            Some((*from + tag_bytes.len(), tag))
        }) {
            for wrong in [&[0][..], &[1], &[0x7f], &[0x80], &[0x81, 0xff], &[0x82, 0xff, 0xff]] {
                let changed = [&file[..at], wrong, &file[at + 1..]].concat();
                let refused = Dg2::read(&changed);
                assert!(refused.is_err(), "{tag:x} of length {wrong:x?}");
            }
            for most in [&[0x83, 0xff, 0xff, 0xff][..], &[0x84, 0xff, 0xff, 0xff, 0xff]] {
                let changed = [&file[..at], most, &file[at + 1..]].concat();
                assert!(["DOCUMENT_TRUNCATED", "DOCUMENT_ENCODING"].contains(&code(&changed)));
            }
        }
    }
}

#[test]
fn what_surrounds_a_record_may_be_any_definite_length_and_the_record_only_the_shortest() {
    let group = element(
        0x7f61,
        &[
            &element(0x02, &[&[1]]),
            &element(
                0x7f60,
                &[&format_header(Encoding::Iso19794), &block(Encoding::Iso19794, IMAGE)],
            ),
        ],
    );
    let long = [&[0x75, 0x83, 0, 0, group.len() as u8][..], &group].concat();
    Dg2::read(&long).expect("a long length");

    let inner = iso39794(IMAGE, &[]);
    let face = &inner[2..];
    let longer = [&[0xa1, 0x81, face.len() as u8][..], face].concat();
    Dg2::read(&longer).expect("around the record");
    let face = &face[2..];
    let longer = element(0xa1, &[&[0x65, 0x81, face.len() as u8], face]);
    assert_eq!(code(&longer), "DOCUMENT_ENCODING");
}

#[test]
fn extensions_of_39794_fall_back_and_are_passed_over() {
    let stated = |about: &[u8]| {
        let file = iso39794(IMAGE, about);
        Dg2::read(&file).expect("sound").portraits[0].stated_kind
    };
    let code_of = |code: u8| element(0xa0, &[&element(0x80, &[&[code]])]);
    assert_eq!(stated(&code_of(2)), Some(ImageKind::Jpeg));
    assert_eq!(stated(&code_of(3)), Some(ImageKind::Jpeg2000));
    assert_eq!(stated(&code_of(4)), Some(ImageKind::Jpeg2000));
    assert_eq!(stated(&code_of(77)), None, "a code of tomorrow");
    let fallback = element(0xa1, &[&element(0x80, &[&[2]]), &element(0xbf22, &[b"new"])]);
    assert_eq!(stated(&element(0xa0, &[&fallback])), Some(ImageKind::Jpeg));
    assert_eq!(stated(&element(0xa0, &[&element(0xa1, &[])])), None, "without a fallback");
    // Fields that are not known, and a size of 16 bits.
    let size = element(0xa7, &[&element(0x80, &[&[0x02, 0x3c]]), &element(0x81, &[&[0x02, 0xdb]])]);
    let about = [code_of(3), size, element(0xab, &[b"new"])].concat();
    let file = iso39794(IMAGE, &about);
    assert_eq!(Dg2::read(&file).expect("sound").portraits[0].stated_px, Some((572, 731)));

    // An extended representation holds no picture that is known.
    let representation = element(0xa1, &[&element(0xa1, &[b""])]);
    let face = |blocks: &[u8]| {
        let version = element(0xa0, &[&element(0x80, &[&[3]]), &element(0x81, &[&[7, 0xe3]])]);
        element(0xa1, &[&element(0x65, &[&version, &element(0xa1, &[blocks])])])
    };
    let block = element(0x30, &[&element(0x80, &[&[0]]), &representation]);
    assert_eq!(code(&face(&block)), "DOCUMENT_STRUCTURE");
    assert_eq!(code(&face(&[])), "DOCUMENT_PORTRAIT_COUNT");
}

#[test]
fn what_is_no_file_of_a_chip() {
    assert_eq!(code(&[]), "DOCUMENT_EMPTY");
    assert_eq!(code(b"\xff\xd8\xff\xe0"), "DOCUMENT_NOT_RECOGNISED");
    assert_eq!(code(b"FACE"), "DOCUMENT_NOT_RECOGNISED");
    assert_eq!(code(&vec![0x75; DOCUMENT_BYTES_MAX + 1]), "DOCUMENT_BYTES_TOO_MANY");
    assert_eq!(code(&[0x75, 0x80, 0, 0]), "DOCUMENT_ENCODING");
    let finger = element(0x63, &[b"fingers"]);
    assert_eq!(code(&finger), "DOCUMENT_NOT_RECOGNISED");
    // Header only, of a reader that accepts it; and the one of the field guide.
    let fields = "75207f611d0201017f6017a1038001005f2e0f46414300303130000000000f000100";
    let pairs = fields.as_bytes().chunks(2);
    let short: Vec<u8> = pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("text"), 16))
        .collect::<Result<_, _>>()
        .expect("digits");
    assert_eq!(code(&short), "DOCUMENT_STRUCTURE");
}

#[test]
fn nesting_bombs_cost_only_the_bytes_they_came_in() {
    for tag in [0x75_u8, 0xa1, 0x65, 0x30] {
        // As deep as the length of three bytes allows, and without any end.
        let mut deep = vec![0x02, 0x01, 0x01];
        while deep.len() < DOCUMENT_BYTES_MAX - 8 {
            let length = deep.len() as u32;
            let head = [&[tag, 0x83][..], &length.to_be_bytes()[1..]].concat();
            if deep.len() > 4_096 {
                // The rest of the file is heads alone.
                deep = [head.repeat(2_000), deep].concat();
            } else {
                deep = [head, deep].concat();
            }
        }
        deep.truncate(DOCUMENT_BYTES_MAX);
        code(&deep);
        code(&vec![tag; DOCUMENT_BYTES_MAX]);
        code(&[&[tag, 0x80][..]; 1000].concat());
    }
}

#[test]
fn every_truncation_is_refused() {
    for encoding in ENCODINGS {
        let file = dg2(encoding, &[IMAGE, IMAGE]);
        for length in 0..file.len() {
            code(&file[..length]);
        }
    }
}

#[test]
fn a_portrait_cannot_be_printed() {
    let file = dg2(Encoding::Iso19794, &[IMAGE]);
    let printed = format!("{:?}", Dg2::read(&file).expect("sound"));
    assert!(
        printed.contains("Portrait(14 bytes of JPEG, ISO/IEC 19794-5, version 010)"),
        "{printed}"
    );
    assert!(!printed.contains("255"));
}
