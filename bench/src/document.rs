//! `document`: a passport's data group 2 from bytes to upright pixels, on one thread: reading the
//! file, walking over its picture, decoding into memory that is there already, as in a frame slot.
//!
//! Without a file it measures a JPEG of its own making; the promise is about a JPEG 2000 of about
//! 15 kB, as chips hold it, and needs one: `--dg2 FILE`.

use std::{fs, io, path::PathBuf};

use clap::Args;
use portcullis::{
    document::{
        dg2::Dg2,
        image::{self, ImageKind},
    },
    limits::SLOT_BYTES,
};

use crate::{
    authenticity, picture,
    spent::{Measured, nanoseconds},
};

/// What the README promises of a JPEG 2000 photograph of 15 kB.
const DECODE_MS_MAX: f64 = 15.0;
/// Size of the photograph of our own, that of most chips'.
const OWN_PX: (u16, u16) = (413, 531);
const OWN_QUALITY: u8 = 60;

/// Options of `document`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// An EF.DG2 or a bare record; may be given several times.
    #[arg(long, value_name = "FILE")]
    dg2: Vec<PathBuf>,
    /// How often each is read.
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// A few rounds, not held to the promise: proves that the measurement works.
    #[arg(long)]
    smoke: bool,
}

/// Runs the measurement; true when the promise holds for every JPEG 2000, or none is asked for.
///
/// # Errors
/// When a file cannot be read or does not decode.
pub(crate) fn run(options: &Options) -> io::Result<bool> {
    let mut files = vec![("a JPEG of our own".to_owned(), own()?)];
    for path in &options.dg2 {
        files.push((path.display().to_string(), fs::read(path)?));
    }
    let rounds = if options.smoke { 3 } else { options.rounds.max(1) };
    let mut slot = vec![0; SLOT_BYTES];
    let mut kept = true;
    println!("document, one thread, {rounds} rounds");
    for (name, file) in &files {
        let row = measure(file, &mut slot, rounds)?;
        let promised = row.kind == ImageKind::Jpeg2000;
        println!(
            "  {:<9} {:>6} bytes {:>5} x {:<5} read {:>7.4} ms   read + decode {:>6.2} ms (least \
             {:.2}){}   {name}",
            row.kind.to_string(),
            file.len(),
            row.size_px.0,
            row.size_px.1,
            row.read.median_ms(),
            row.whole.median_ms(),
            row.whole.least_ms(),
            if promised {
                format!("   promised: at most {DECODE_MS_MAX} ms")
            } else {
                String::new()
            },
        );
        kept &= !promised || row.whole.median_ms() <= DECODE_MS_MAX;
    }
    kept &= authenticity::run(rounds)?;
    Ok(options.smoke || kept)
}

struct Row {
    kind: ImageKind,
    size_px: (u32, u32),
    read: Measured,
    whole: Measured,
}

fn measure(file: &[u8], slot: &mut [u8], rounds: usize) -> io::Result<Row> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    // First that it is right: every photograph decodes, to the size that its header says.
    let read = Dg2::read(file).map_err(|error| invalid(error.to_string()))?;
    let [portrait, ..] = read.portraits.as_slice() else {
        return Err(invalid("no photograph".into()));
    };
    let size_px = image::decode_into(portrait.image, slot).map_err(|e| invalid(e.to_string()))?;
    let (mut reads, mut wholes) = (Measured::default(), Measured::default());
    for _ in 0..rounds {
        reads.extend([nanoseconds(|| drop(std::hint::black_box(Dg2::read(file))))]);
        wholes.extend([nanoseconds(|| {
            let read = Dg2::read(file);
            let first = read.iter().flat_map(|read| &read.portraits).next();
            let decoded = first.map(|portrait| image::decode_into(portrait.image, slot));
            let _checked_before = std::hint::black_box(decoded);
        })]);
    }
    Ok(Row { kind: portrait.kind, size_px, read: reads, whole: wholes })
}

/// A bare record of ISO/IEC 19794-5 around a JPEG.
fn own() -> io::Result<Vec<u8>> {
    let (width, height) = OWN_PX;
    let values = picture::values(7, height.into(), width.into());
    let pixels: Vec<u8> = values.iter().map(|&value| value as u8).collect();
    let mut jpeg = Vec::new();
    jpeg_encoder::Encoder::new(&mut jpeg, OWN_QUALITY)
        .encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb)
        .map_err(io::Error::other)?;
    let block = u32::try_from(32 + jpeg.len()).map_err(io::Error::other)?;
    let mut record = b"FAC\x00010\x00".to_vec();
    record.extend((14 + block).to_be_bytes());
    record.extend(1_u16.to_be_bytes());
    record.extend(block.to_be_bytes());
    // No feature points, and nothing said of a person or of the image: it speaks for itself.
    record.resize(14 + 32, 0);
    record.extend(jpeg);
    Ok(record)
}
