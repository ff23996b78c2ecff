//! Encoded images from outside: what is decoded, what is refused and by which code, and that no
//! bytes whatever panic or take memory without bound.

mod common;
#[path = "common/jpeg.rs"]
mod jpeg;
#[path = "common/places.rs"]
mod places;
#[path = "common/png.rs"]
mod png;

use std::{fs, path::Path};

use jpeg::Jpeg;
use png::Png;
use portcullis::document::image::{self, ImageError, ImageKind};
use proptest::prelude::*;

/// A smooth picture without symmetry, so that a turn or an exchange of channels is seen.
fn grey(x: usize, y: usize) -> u8 {
    (40 + x * 5 + y * 3).min(235) as u8
}

fn colour(x: usize, y: usize) -> [u8; 3] {
    [grey(x, y), (200 - (x * 4).min(150)) as u8, (60 + (y * 6).min(150)) as u8]
}

fn ycbcr([red, green, blue]: [u8; 3], component: usize) -> u8 {
    let (r, g, b) = (f64::from(red), f64::from(green), f64::from(blue));
    let value = match component {
        0 => 0.299 * r + 0.587 * g + 0.114 * b,
        1 => 128.0 - 0.168_736 * r - 0.331_264 * g + 0.5 * b,
        _ => 128.0 + 0.5 * r - 0.418_688 * g - 0.081_312 * b,
    };
    value.round().clamp(0.0, 255.0) as u8
}

fn jpeg_of(jpeg: Jpeg) -> Vec<u8> {
    jpeg.encode(|x, y, component| ycbcr(colour(x, y), component))
}

fn rgb_rows(width: usize, height: usize) -> Vec<Vec<u8>> {
    (0..height).map(|y| (0..width).flat_map(|x| colour(x, y)).collect()).collect()
}

fn png_of(width: usize, height: usize) -> Vec<u8> {
    Png::new(width as u32, height as u32, 8, png::RGB, false).rows(&rgb_rows(width, height)).end()
}

fn code(bytes: &[u8]) -> &'static str {
    image::decode(bytes).expect_err("the image should be refused").code()
}

/// Asserts that `bytes` decode to `expected(x, y)` within `tolerance` levels.
#[track_caller]
fn assert_picture(
    bytes: &[u8],
    (width, height): (usize, usize),
    tolerance: u8,
    expected: impl Fn(usize, usize) -> [u8; 3],
) {
    let frame = image::decode(bytes).expect("the image decodes");
    let view = frame.view();
    assert_eq!((view.width_px() as usize, view.height_px() as usize), (width, height));
    for (at, pixel) in view.pixels().chunks(3).enumerate() {
        let (x, y) = (at % width, at / width);
        for (found, wanted) in pixel.iter().zip(expected(x, y)) {
            assert!(found.abs_diff(wanted) <= tolerance, "({x}, {y}): {found}, wanted {wanted}");
        }
    }
}

#[test]
fn jpeg_in_every_form_that_is_taken() {
    for (width, height) in [(1, 1), (8, 8), (17, 23), (40, 9)] {
        for progressive in [false, true] {
            let plain = Jpeg { progressive, ..Jpeg::colour(width, height) };
            assert_picture(&jpeg_of(plain), (width, height), 3, colour);
            let monochrome = Jpeg { components: 1, ..plain };
            let bytes = monochrome.encode(|x, y, _| grey(x, y));
            assert_picture(&bytes, (width, height), 2, |x, y| [grey(x, y); 3]);
        }
        let restarts = Jpeg { restart: 2, ..Jpeg::colour(width, height) };
        assert_picture(&jpeg_of(restarts), (width, height), 3, colour);
    }
}

#[test]
fn png_in_every_form_that_is_taken() {
    let (w, h) = (13_usize, 11_usize);
    let size = (w as u32, h as u32);
    let make = |depth, kind, interlaced| Png::new(size.0, size.1, depth, kind, interlaced);
    let rows = |pixel: &dyn Fn(usize, usize) -> Vec<u8>| -> Vec<Vec<u8>> {
        (0..h).map(|y| (0..w).flat_map(|x| pixel(x, y)).collect()).collect()
    };
    let check = |png: Png, expected: &dyn Fn(usize, usize) -> [u8; 3]| {
        assert_picture(&png.end(), (w, h), 0, expected);
    };

    let rgb = rgb_rows(w, h);
    check(make(8, png::RGB, false).rows(&rgb), &colour);
    check(make(8, png::RGB, true).interlaced(&rgb, 3), &colour);

    let wide = rows(&|x, y| colour(x, y).into_iter().flat_map(|value| [value, 0xff]).collect());
    check(make(16, png::RGB, false).rows(&wide), &colour);
    check(make(16, png::RGB, true).interlaced(&wide, 6), &colour);

    let single = rows(&|x, y| vec![grey(x, y)]);
    check(make(8, png::GREY, false).rows(&single), &|x, y| [grey(x, y); 3]);
    check(make(8, png::GREY, true).interlaced(&single, 1), &|x, y| [grey(x, y); 3]);
    let wide = rows(&|x, y| vec![grey(x, y), 7]);
    check(make(16, png::GREY, false).rows(&wide), &|x, y| [grey(x, y); 3]);

    // One bit per pixel: eight pixels to a byte, columns alternate.
    let bits = vec![vec![0b0101_0101, 0b0101_0000]; h];
    check(make(1, png::GREY, false).rows(&bits), &|x, _| [if x % 2 == 0 { 0 } else { 255 }; 3]);

    let palette = [10, 20, 30, 200, 100, 50];
    let indices = rows(&|x, y| vec![((x + y) % 2) as u8]);
    let of =
        |x: usize, y: usize| if (x + y).is_multiple_of(2) { [10, 20, 30] } else { [200, 100, 50] };
    check(make(8, png::PALETTE, false).chunk(b"PLTE", &palette).rows(&indices), &of);
    check(make(8, png::PALETTE, true).chunk(b"PLTE", &palette).interlaced(&indices, 1), &of);
    // The second entry of the palette is transparent: white shows.
    let through = make(8, png::PALETTE, false).chunk(b"PLTE", &palette).chunk(b"tRNS", &[255, 0]);
    check(through.rows(&indices), &|x, y| {
        if (x + y).is_multiple_of(2) { [10, 20, 30] } else { [255; 3] }
    });
}

#[test]
fn transparent_png_is_laid_on_white() {
    let over = |value: u8, alpha: u8| {
        let (value, alpha) = (f64::from(value), f64::from(alpha) / 255.0);
        (value * alpha + 255.0 * (1.0 - alpha)).round() as u8
    };
    let alpha = |x: usize| (x * 20) as u8;
    let rows = |pixel: &dyn Fn(usize, usize) -> Vec<u8>| -> Vec<Vec<u8>> {
        (0..9).map(|y| (0..12).flat_map(|x| pixel(x, y)).collect()).collect()
    };
    let rgba = rows(&|x, y| [colour(x, y).to_vec(), vec![alpha(x)]].concat());
    let expected = |x: usize, y: usize| colour(x, y).map(|value| over(value, alpha(x)));
    let png = Png::new(12, 9, 8, png::RGBA, false).rows(&rgba).end();
    assert_picture(&png, (12, 9), 1, expected);
    let png = Png::new(12, 9, 8, png::RGBA, true).interlaced(&rgba, 4).end();
    assert_picture(&png, (12, 9), 1, expected);
    let grey_alpha = rows(&|x, y| vec![grey(x, y), alpha(x)]);
    let png = Png::new(12, 9, 8, png::GREY_ALPHA, false).rows(&grey_alpha).end();
    assert_picture(&png, (12, 9), 1, |x, y| [over(grey(x, y), alpha(x)); 3]);
}

/// Where upright (x, y) is stored, for a stored picture of `w` × `h`.
fn stored_at(value: u16, x: usize, y: usize, w: usize, h: usize) -> (usize, usize) {
    match value {
        2 => (w - 1 - x, y),
        3 => (w - 1 - x, h - 1 - y),
        4 => (x, h - 1 - y),
        5 => (y, x),
        6 => (y, h - 1 - x),
        7 => (w - 1 - y, h - 1 - x),
        8 => (w - 1 - y, x),
        _ => (x, y),
    }
}

#[test]
fn the_exif_orientation_is_applied() {
    let (w, h) = (24_usize, 15_usize);
    for value in 0..=9 {
        let upright = if (5..=8).contains(&value) { (h, w) } else { (w, h) };
        let expected = |x, y| {
            let (x, y) = stored_at(value, x, y, w, h);
            colour(x, y)
        };
        let jpeg = jpeg_of(Jpeg { orientation: Some(value), ..Jpeg::colour(w, h) });
        assert_picture(&jpeg, upright, 3, expected);
        let head = Png::new(w as u32, h as u32, 8, png::RGB, false);
        let before = head.chunk(b"eXIf", &jpeg::exif(value)).rows(&rgb_rows(w, h)).end();
        assert_picture(&before, upright, 0, expected);
        let head = Png::new(w as u32, h as u32, 8, png::RGB, false);
        let after = head.rows(&rgb_rows(w, h)).chunk(b"eXIf", &jpeg::exif(value)).end();
        assert_picture(&after, upright, 0, expected);

        let header = image::header(&jpeg).expect("a header");
        assert_eq!(header.kind, ImageKind::Jpeg);
        assert_eq!((header.width_px as usize, header.height_px as usize), upright);
        let named = if (1..=8).contains(&value) { value as u8 } else { 1 };
        assert_eq!(header.orientation, named);
    }
}

#[test]
fn kinds_are_told_by_signature_and_foreign_ones_refused_by_name() {
    for (bytes, name) in [
        (b"RIFF\x10\0\0\0WEBPVP8 ".as_slice(), "WebP"),
        (b"GIF89a\x01\0\x01\0", "GIF"),
        (b"BM\x46\0\0\0", "BMP"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "AVIF"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"%PDF-1.7\n", "PDF"),
    ] {
        let refused = image::header(bytes).expect_err(name);
        assert_eq!(refused.code(), "IMAGE_KIND_UNSUPPORTED");
        assert!(refused.to_string().contains(name), "{refused} should name {name}");
    }
    for bytes in [b"hello, world".as_slice(), b"\0\x01", &[0; 4096]] {
        assert_eq!(code(bytes), "IMAGE_KIND_UNKNOWN");
    }
    assert_eq!(code(b""), "IMAGE_EMPTY");
}

#[test]
fn colours_codings_and_animations_that_are_not_decoded_are_named() {
    let cmyk = Jpeg { components: 4, ..Jpeg::colour(8, 8) }.encode(|_, _, _| 100);
    let refused = image::decode(&cmyk).expect_err("CMYK");
    assert_eq!(refused.code(), "IMAGE_COLOUR_UNSUPPORTED");
    assert!(refused.to_string().contains("CMYK"), "{refused}");
    // The same with the segment by which Adobe says "YCCK".
    let mut ycck = vec![0xff, 0xd8];
    jpeg::segment(&mut ycck, 0xee, b"Adobe\0\x64\0\0\0\0\x02");
    ycck.extend(&cmyk[2..]);
    assert!(image::decode(&ycck).expect_err("YCCK").to_string().contains("YCCK"));

    for (marker, name) in [(0xc3, "lossless"), (0xc9, "arithmetic"), (0xc5, "hierarchical")] {
        let mut bytes = jpeg_of(Jpeg::colour(8, 8));
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
        bytes[frame + 1] = marker;
        let refused = image::decode(&bytes).expect_err(name);
        assert_eq!(refused.code(), "IMAGE_CODING_UNSUPPORTED");
        assert!(refused.to_string().contains(name), "{refused}");
    }
    let mut twelve_bits = jpeg_of(Jpeg::colour(8, 8));
    let frame = twelve_bits.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
    twelve_bits[frame + 4] = 12;
    assert_eq!(code(&twelve_bits), "IMAGE_CODING_UNSUPPORTED");

    let animated = Png::new(2, 2, 8, png::RGB, false)
        .chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0])
        .rows(&rgb_rows(2, 2))
        .end();
    assert_eq!(code(&animated), "IMAGE_ANIMATED");
}

/// Peak of the process's address space in kilobytes; a large allocation shows here even untouched.
fn address_space_peak_kb() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmPeak:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn sizes_are_refused_on_the_header_before_anything_is_allocated() {
    let before_kb = address_space_peak_kb();
    let resize = |bytes: &mut Vec<u8>, width: u16, height: u16| {
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
        bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
        bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    };
    for (width, height) in [(20_000, 20_000), (16_384, 16_384), (16_385, 1), (4_001, 3_000)] {
        let png = Png::new(width, height, 8, png::RGB, false).rows(&rgb_rows(2, 2)).end();
        assert_eq!(code(&png), "IMAGE_TOO_LARGE", "{width} x {height}");
        let mut jpeg = jpeg_of(Jpeg::colour(8, 8));
        resize(&mut jpeg, width as u16, height as u16);
        assert_eq!(code(&jpeg), "IMAGE_TOO_LARGE", "{width} x {height}");
    }
    let huge = Png::new(u32::MAX, u32::MAX, 8, png::RGB, false).rows(&rgb_rows(2, 2)).end();
    assert_eq!(code(&huge), "IMAGE_TOO_LARGE");
    for (width, height) in [(0, 0), (0, 5), (5, 0)] {
        let png = Png::new(width, height, 8, png::RGB, false).rows(&rgb_rows(2, 2)).end();
        assert_eq!(code(&png), "IMAGE_NO_AREA");
        let mut jpeg = jpeg_of(Jpeg::colour(8, 8));
        resize(&mut jpeg, width as u16, height as u16);
        assert_eq!(code(&jpeg), "IMAGE_NO_AREA");
    }
    let mut oversized = png_of(4, 4);
    oversized.resize(portcullis::limits::IMAGE_BYTES_MAX + 1, 0);
    assert_eq!(code(&oversized), "IMAGE_BYTES_TOO_MANY");
    // 20,000 x 20,000 RGB would be 1.2 GB; threads of other tests may map some tens of megabytes.
    if let (Some(before_kb), Some(after_kb)) = (before_kb, address_space_peak_kb()) {
        assert!(after_kb - before_kb < 600_000, "{before_kb} kB grew to {after_kb} kB");
    }
}

#[test]
fn every_truncation_is_an_error_and_never_a_grey_filler() {
    let wholes = [
        jpeg_of(Jpeg::colour(24, 17)),
        jpeg_of(Jpeg { progressive: true, ..Jpeg::colour(24, 17) }),
        jpeg_of(Jpeg { restart: 1, orientation: Some(6), ..Jpeg::colour(24, 17) }),
        png_of(24, 17),
        Png::new(9, 9, 8, png::GREY, true).interlaced(&vec![vec![9; 9]; 9], 1).end(),
    ];
    for whole in wholes {
        assert!(image::decode(&whole).is_ok());
        for length in 1..whole.len() {
            let refused = image::decode(&whole[..length]).expect_err("a truncated image");
            assert_eq!(refused.code(), "IMAGE_TRUNCATED", "{length} of {}: {refused}", whole.len());
        }
    }
}

#[test]
fn a_png_whose_rows_run_out_is_an_error() {
    let short = Png::new(4, 4, 8, png::RGB, false).rows(&rgb_rows(4, 2)).end();
    assert_eq!(code(&short), "IMAGE_DAMAGED");
    let none = Png::new(4, 4, 8, png::RGB, false).end();
    assert_eq!(code(&none), "IMAGE_DAMAGED");
    let unfinished = Png::new(4, 4, 8, png::RGB, false).rows(&rgb_rows(4, 4)).unfinished();
    assert_eq!(code(&unfinished), "IMAGE_TRUNCATED");
    let mut flipped = png_of(4, 4);
    flipped[60] ^= 0x10;
    assert_eq!(code(&flipped), "IMAGE_DAMAGED");
}

#[test]
fn a_slot_is_filled_from_its_start_and_wiped_when_decoding_fails() {
    let mut slot = vec![0xaa; 4 * 4 * 3 + 5];
    assert_eq!(image::decode_into(&png_of(4, 4), &mut slot), Ok((4, 4)));
    assert_eq!(slot[..48], rgb_rows(4, 4).concat());
    assert_eq!(slot[48..], [0xaa; 5], "what lies behind the picture is not touched");

    let mut damaged = png_of(4, 4);
    // The checksum at the end of the coded rows.
    let at = damaged.len() - 13;
    damaged[at] ^= 1;
    assert!(image::decode_into(&damaged, &mut slot).is_err());
    assert_eq!(slot[..48], [0; 48], "half a picture must not stay in the slot");

    let mut small = [0xaa; 47];
    assert_eq!(
        image::decode_into(&png_of(4, 4), &mut small),
        Err(ImageError::SlotTooSmall { needed: 48, held: 47 })
    );
}

/// The fuzzer's seeds are whole pictures: what it changes in them is past the headers, too.
#[test]
fn the_seeds_of_the_fuzzer_decode() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/image");
    let read = |name: &str| fs::read(folder.join(name)).expect("a seed");
    for name in ["baseline.jpg", "progressive.jpg", "rgb.png"] {
        let frame = image::decode(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let view = frame.view();
        assert_eq!((view.width_px(), view.height_px()), (9, 7), "{name}");
    }
    // One set of coefficients in two codings.
    let decode = |name: &str| image::decode(&read(name)).expect("it decodes");
    let (baseline, progressive) = (decode("baseline.jpg"), decode("progressive.jpg"));
    for (one, other) in baseline.view().pixels().iter().zip(progressive.view().pixels()) {
        assert!(one.abs_diff(*other) <= 2, "{one} and {other}");
    }
}

#[test]
fn photographs_of_cameras_and_agencies_decode() {
    let test = "photographs_of_cameras_and_agencies_decode";
    let Some(faces) = places::shared().map(|shared| shared.join("data/faces")) else {
        return common::skip(test, "shared", "no folder of test data");
    };
    let mut decoded = 0;
    for entry in fs::read_dir(&faces).expect("data/faces can be read") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "jpg") {
            let bytes = fs::read(&path).expect("a photograph");
            let header = image::header(&bytes).expect("a header");
            let frame = image::decode(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(frame.view().pixels().len(), header.frame_bytes());
            decoded += 1;
        }
    }
    assert_eq!(decoded, 25);
}

fn samples() -> impl Strategy<Value = Vec<u8>> {
    let jpeg = Jpeg::colour(33, 20);
    prop::sample::select(vec![
        jpeg_of(jpeg),
        jpeg_of(Jpeg { progressive: true, ..jpeg }),
        jpeg_of(Jpeg { restart: 3, orientation: Some(8), ..jpeg }),
        Jpeg { components: 1, ..jpeg }.encode(|x, y, _| grey(x, y)),
        png_of(20, 12),
        Png::new(20, 12, 8, png::RGB, true).interlaced(&rgb_rows(20, 12), 3).end(),
        Png::new(9, 9, 8, png::PALETTE, false)
            .chunk(b"eXIf", &jpeg::exif(5))
            .chunk(b"PLTE", &[1, 2, 3, 4, 5, 6])
            .rows(&vec![vec![1; 9]; 9])
            .end(),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn flipped_bytes_never_panic_and_never_change_the_size_found(
        whole in samples(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = whole;
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        match (image::header(&bytes), image::decode(&bytes)) {
            (Ok(header), Ok(frame)) => {
                let view = frame.view();
                let size = (view.width_px(), view.height_px());
                prop_assert_eq!((header.width_px, header.height_px), size);
            }
            (Err(first), Err(second)) => prop_assert_eq!(first.code(), second.code()),
            (Err(refused), Ok(_)) => {
                prop_assert!(false, "decoded what its header refused: {}", refused);
            }
            (Ok(_), Err(_)) => {}
        }
    }

    #[test]
    fn arbitrary_bytes_behind_a_signature_never_panic(
        jpeg in any::<bool>(),
        tail in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let signature: &[u8] = if jpeg { b"\xff\xd8\xff" } else { b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" };
        let bytes = [signature, &tail].concat();
        if let Ok(frame) = image::decode(&bytes) {
            prop_assert!(frame.view().pixels().len() <= portcullis::limits::SLOT_BYTES);
        }
    }
}
