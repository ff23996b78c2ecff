//! JPEG 2000: what is decoded, to the last bit, and what is refused before a decoder runs.

use portcullis::{
    document::{
        dg2::Dg2,
        image::{self, ImageError, ImageKind},
    },
    limits::{JPEG2000_BLOCKS_MAX, JPEG2000_PIXELS_MAX},
};

use crate::{
    dg2::{ENCODINGS, dg2},
    jpeg2000::{Jpeg2000, boxed, file, segment},
    memory::{BYTES_MAX, peak_of, within},
};

/// Detail in every block, and no symmetry.
pub(crate) fn sample(x: usize, y: usize, component: usize) -> u8 {
    let wave = (x * 7 + y * 3 * (component + 1)) % 251;
    (wave ^ (x / 9 * y / 5) & 31) as u8
}

#[track_caller]
fn code(bytes: &[u8]) -> &'static str {
    let header = image::header(bytes).expect_err("refused on the header").code();
    assert_eq!(within(|| image::decode(bytes).expect_err("refused")).code(), header);
    header
}

#[track_caller]
fn assert_exact(bytes: &[u8], stated: &Jpeg2000) {
    let header = image::header(bytes).expect("a header");
    let size = (stated.width as u32, stated.height as u32);
    assert_eq!(
        (header.kind, header.width_px, header.height_px),
        (ImageKind::Jpeg2000, size.0, size.1)
    );
    let frame = within(|| image::decode(bytes)).expect("decodes");
    for (at, pixel) in frame.view().pixels().chunks(3).enumerate() {
        let (x, y) = (at % stated.width, at / stated.width);
        for (component, &value) in pixel.iter().enumerate() {
            let of = if stated.components == 1 { 0 } else { component };
            assert_eq!(value, sample(x, y, of), "({x}, {y}, {component})");
        }
    }
}

#[test]
fn file_and_codestream_come_back_to_the_last_bit() {
    for (width, height) in [(1, 1), (5, 3), (64, 64), (65, 64), (130, 200), (413, 531)] {
        for stated in [Jpeg2000::colour(width, height), Jpeg2000::grey(width, height)] {
            assert_exact(&stated.file(sample), &stated);
            assert_exact(&stated.codestream(sample), &stated);
        }
    }
}

#[test]
fn in_both_encodings_of_data_group_2() {
    let stated = Jpeg2000::colour(70, 90);
    let picture = stated.file(sample);
    for encoding in ENCODINGS {
        let file = dg2(encoding, &[&picture]);
        let read = Dg2::read(&file).expect("sound");
        assert_eq!(read.portraits[0].kind, ImageKind::Jpeg2000);
        assert_exact(read.portraits[0].image, &stated);
        for length in 0..file.len() {
            assert!(Dg2::read(&file[..length]).is_err(), "{length}");
        }
    }
}

#[test]
fn every_truncation_is_refused_by_type() {
    let stated = Jpeg2000::colour(33, 17);
    for whole in [stated.file(sample), stated.codestream(sample)] {
        for length in 0..whole.len() {
            let error = within(|| image::decode(&whole[..length])).expect_err("cut off");
            let code = error.code();
            let fits = ["IMAGE_TRUNCATED", "IMAGE_DAMAGED", "IMAGE_EMPTY"].contains(&code);
            assert!(fits, "{length}: {error}");
        }
    }
}

/// A codestream whose size is `change`d: fields as they stand, then the components.
fn sized(change: impl FnOnce(&mut [u32; 8])) -> Vec<u8> {
    let stated = Jpeg2000::colour(8, 8);
    let mut bytes = stated.codestream(sample);
    let mut fields = [8, 8, 0, 0, 8, 8, 0, 0];
    change(&mut fields);
    for (at, field) in fields.into_iter().enumerate() {
        bytes[8 + 4 * at..12 + 4 * at].copy_from_slice(&field.to_be_bytes());
    }
    bytes
}

#[test]
fn sizes_are_refused_on_the_header() {
    let huge =
        sized(|size| (size[0], size[1], size[4], size[5]) = (60_000, 60_000, 60_000, 60_000));
    let (refused, peak) = peak_of(|| image::decode(&huge).expect_err("too large"));
    assert!(matches!(refused, ImageError::TooLarge { width_px: 60_000, height_px: 60_000, .. }));
    assert!(peak < 4_096, "{peak} bytes for a header");
    let as_file = file(&Jpeg2000::colour(60_000, 60_000), 16, &huge);
    assert_eq!(code(&as_file), "IMAGE_TOO_LARGE");
    for encoding in ENCODINGS {
        let group = dg2(encoding, &[&as_file]);
        let read = Dg2::read(&group).expect("the file is sound, its picture is not");
        assert_eq!(code(read.portraits[0].image), "IMAGE_TOO_LARGE");
    }
    for (change, expected) in [
        ((u32::MAX, u32::MAX, 0, u32::MAX), "IMAGE_TOO_LARGE"),
        ((16_384, 16_384, 0, 16_384), "IMAGE_TOO_LARGE"),
        ((1_601, 1_200, 0, 1_601), "IMAGE_TOO_LARGE"),
        ((0, 8, 0, 8), "IMAGE_NO_AREA"),
        ((8, 8, 8, 8), "IMAGE_NO_AREA"),
        ((8, 8, 9, 8), "IMAGE_NO_AREA"),
        ((40_000, 8, 39_990, 40_000), "IMAGE_CODING_UNSUPPORTED"),
        ((8, 8, 0, 0), "IMAGE_DAMAGED"),
        ((1_600, 1_200, 0, 1), "IMAGE_CODING_UNSUPPORTED"),
        ((1_600, 1_200, 0, 40), "IMAGE_CODING_UNSUPPORTED"),
    ] {
        let (width, height, left, tile) = change;
        let bytes = sized(|size| {
            (size[0], size[1], size[2]) = (width, height, left);
            (size[4], size[5]) = (tile, tile);
        });
        assert_eq!(code(&bytes), expected, "{change:?}");
    }
    assert_eq!(code(&sized(|size| size[6] = 1)), "IMAGE_DAMAGED", "a tile beside the picture");
}

#[test]
fn headers_that_ask_for_too_much_are_refused() {
    let plain = Jpeg2000::colour(1_200, 1_600);
    // One block's worth of data stands for all: the header is refused first.
    let asks = |stated: Jpeg2000| {
        let mut bytes = stated.main_header();
        segment(&mut bytes, 0x90, &[0, 0, 0, 0, 0, 15, 0, 1]);
        bytes.extend([0xff, 0x93, 0, 0xff, 0xd9]);
        bytes
    };
    for (stated, expected) in [
        (Jpeg2000 { levels: 11, ..plain }, "IMAGE_CODING_UNSUPPORTED"),
        (Jpeg2000 { levels: 255, ..plain }, "IMAGE_CODING_UNSUPPORTED"),
        (Jpeg2000 { layers: 0, ..plain }, "IMAGE_CODING_UNSUPPORTED"),
        (Jpeg2000 { layers: 33, ..plain }, "IMAGE_CODING_UNSUPPORTED"),
        (Jpeg2000 { layers: u16::MAX, ..plain }, "IMAGE_CODING_UNSUPPORTED"),
        (Jpeg2000 { block: (0, 0), ..plain }, "IMAGE_CODING_UNSUPPORTED"),
        (Jpeg2000 { block: (2, 2), layers: 32, ..plain }, "IMAGE_CODING_UNSUPPORTED"),
        (Jpeg2000 { block: (9, 0), ..plain }, "IMAGE_DAMAGED"),
        (Jpeg2000 { block: (5, 5), ..plain }, "IMAGE_DAMAGED"),
        (Jpeg2000 { quantisation: (7 << 5, 31 << 3), ..plain }, "IMAGE_CODING_UNSUPPORTED"),
    ] {
        assert_eq!(code(&asks(stated)), expected, "{stated:?}");
    }
    for (marker, body, expected) in [
        (0x5f, &[0; 7][..], "IMAGE_CODING_UNSUPPORTED"),
        (0x60, &[0, 0], "IMAGE_CODING_UNSUPPORTED"),
        (0x50, &[0; 4], "IMAGE_CODING_UNSUPPORTED"),
        (0x5e, &[0, 0, 37], "IMAGE_CODING_UNSUPPORTED"),
        (0x77, &[], "IMAGE_DAMAGED"),
        // Precincts of one sample, for one component.
        (0x53, &[0, 1, 0, 4, 4, 0, 1, 0x00], "IMAGE_CODING_UNSUPPORTED"),
        (0x53, &[0, 1, 1, 4, 4, 0, 1, 0xff, 0x00], "IMAGE_DAMAGED"),
    ] {
        let mut bytes = plain.main_header();
        segment(&mut bytes, marker, body);
        // A tile-part may bring the same: its header is read as well.
        let mut late = plain.main_header();
        for bytes in [&mut bytes, &mut late] {
            segment(bytes, 0x90, &[0, 0, 0, 0, 0, 0, 0, 1]);
        }
        segment(&mut late, marker, body);
        for mut bytes in [bytes, late] {
            bytes.extend([0xff, 0x93, 0, 0xff, 0xd9]);
            assert_eq!(code(&bytes), expected, "{marker:x}");
        }
    }
}

#[test]
fn colours_and_depths_that_are_not_portraits_are_refused_by_name() {
    let stated = Jpeg2000::colour(8, 8);
    let stream = stated.codestream(sample);
    let component = |at: usize, value: u8| {
        let mut bytes = stream.clone();
        bytes[42 + at] = value;
        bytes
    };
    assert_eq!(code(&component(0, 0x87)), "IMAGE_CODING_UNSUPPORTED", "one signed");
    assert_eq!(code(&component(1, 2)), "IMAGE_CODING_UNSUPPORTED", "luma halved");
    assert_eq!(code(&component(1, 0)), "IMAGE_CODING_UNSUPPORTED");
    for depth in [0, 37, 0x87] {
        let mut bytes = stream.clone();
        (0..3).for_each(|of| bytes[42 + 3 * of] = depth);
        assert_eq!(code(&bytes), "IMAGE_CODING_UNSUPPORTED", "{depth}");
    }
    let four = Jpeg2000 { components: 4, ..stated }.codestream(|x, y, of| sample(x, y, of % 3));
    assert_eq!(code(&four), "IMAGE_COLOUR_UNSUPPORTED");
    for space in [12, 14, 17, 99] {
        assert_eq!(code(&file(&stated, space, &stream)), "IMAGE_COLOUR_UNSUPPORTED", "{space}");
    }
    for name in [b"pclr", b"cmap"] {
        let header = boxed(b"jp2h", &[boxed(b"ihdr", &[0; 14]), boxed(name, &[0; 8])].concat());
        let with = [&stated.file(sample)[..32], &header, &boxed(b"jp2c", &stream)].concat();
        assert_eq!(code(&with), "IMAGE_COLOUR_UNSUPPORTED");
    }
}

#[test]
fn luma_and_chroma_become_colours() {
    let stated = Jpeg2000::colour(16, 16);
    let grey = stated.codestream(|x, _, component| if component == 0 { x as u8 * 16 } else { 128 });
    let frame = image::decode(&file(&stated, 18, &grey)).expect("decodes");
    for (at, pixel) in frame.view().pixels().chunks(3).enumerate() {
        assert_eq!(pixel, [(at % 16) as u8 * 16; 3]);
    }
    let red = stated.codestream(|_, _, component| [76, 85, 255][component]);
    let frame = image::decode(&file(&stated, 18, &red)).expect("decodes");
    let [red, green, blue] = frame.view().pixels()[..3] else { panic!("a pixel") };
    assert!(red >= 250 && green <= 4 && blue <= 4, "{red} {green} {blue}");
}

#[test]
fn the_largest_portrait_stays_within_its_memory() {
    let stated = Jpeg2000::colour(1_200, 1_600);
    assert_eq!(stated.width * stated.height, JPEG2000_PIXELS_MAX);
    let bytes = stated.codestream(|x, y, _| ((x ^ y) & 0x80) as u8);
    let mut pixels = vec![0; JPEG2000_PIXELS_MAX * 3];
    let (decoded, peak) = peak_of(|| image::decode_into(&bytes, &mut pixels));
    decoded.expect("decodes");
    assert!(peak <= BYTES_MAX, "{peak}");
    // As many blocks as are allowed, none with data.
    let empty = Jpeg2000 { block: (1, 1), ..Jpeg2000::colour(1_024, 1_024) };
    let records = 3 * 2 * (1_024 / 8) * (1_024 / 8);
    assert!(records < JPEG2000_BLOCKS_MAX);
    let mut bytes = empty.main_header();
    segment(&mut bytes, 0x90, &[0, 0, 0, 0, 0, 17, 0, 1]);
    bytes.extend([0xff, 0x93, 0, 0, 0, 0xff, 0xd9]);
    let (decoded, peak) = peak_of(|| image::decode_into(&bytes, &mut pixels));
    assert!(peak <= BYTES_MAX, "{peak}: {decoded:?}");
}
