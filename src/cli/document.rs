//! `portcullis document`: files of a passport chip, looked at without an appliance.
//!
//! `inspect` says how a file is built and whether its photographs decode. It prints nothing about
//! the holder; the machine readable zone only where `--mrz` asks for it. `extract` writes a
//! photograph to a file that only its owner may read, and never over another file.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Ended, Failure, Outcome, Scene, document_verify, local, tell::Tell};
use crate::{
    command::EncodedFile,
    document::{
        com::Com,
        dg1,
        dg2::{Dg2, Portrait, Wrapping},
        image::{self, ImageKind},
        mrz::Mrz,
    },
    time::{Clock, SystemClock},
    types::Frame,
};

/// What to do with a file of a passport chip.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Tell how a file of a passport chip is built, and whether its photographs decode.
    Inspect(Inspect),
    /// Write a photograph of a data group 2 to a file.
    Extract(Extract),
    /// Tell whether data groups are genuine: passive authentication.
    Verify(document_verify::Arguments),
}

/// What to look at.
#[derive(Args)]
pub(super) struct Inspect {
    /// EF.DG2, a bare record of ISO/IEC 19794-5 or 39794-5, EF.DG1 or EF.COM.
    file: PathBuf,
    /// Print the machine readable zone of an EF.DG1: personal data.
    #[arg(long)]
    mrz: bool,
}

/// What to write, and where.
#[derive(Args)]
pub(super) struct Extract {
    /// EF.DG2, or a bare record of ISO/IEC 19794-5 or 39794-5.
    file: PathBuf,
    /// Where the photograph goes; must not exist. The bytes are the document's own, so that the
    /// name must end in .jpg, .jp2 or .j2k, as they are.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Decode, and write a PNG.
    #[arg(long)]
    png: bool,
    /// Which photograph, from 0.
    #[arg(long, default_value_t = 0)]
    portrait: usize,
}

pub(super) fn run(verb: &Verb, scene: &Scene<'_>) -> Outcome {
    let tell = scene.tell;
    match verb {
        Verb::Verify(asked) => document_verify::run(asked, scene),
        Verb::Inspect(asked) => inspect(asked, tell),
        Verb::Extract(asked) => extract(asked, tell),
    }
}

fn inspect(asked: &Inspect, tell: Tell) -> Outcome {
    let file = local::file(&asked.file)?;
    let first = file.bytes().first().copied();
    if asked.mrz && first != Some(0x61) {
        return Err(Failure::new("--mrz is for an EF.DG1, which begins with byte 61"));
    }
    match first {
        Some(0x60) => inspect_com(&file, tell),
        Some(0x61) => inspect_dg1(&file, asked.mrz, tell),
        Some(0x77) => Err(Failure::new(
            "this is an EF.SOD, the signature: `portcullis document verify` checks it",
        )),
        _ => inspect_dg2(&file, tell),
    }
}

#[derive(Serialize)]
struct ComReport {
    kind: &'static str,
    lds_version: String,
    data_groups: Vec<u8>,
}

fn inspect_com(file: &EncodedFile, tell: Tell) -> Outcome {
    let com = Com::read(file.bytes())?;
    let lds_version = com.lds_version.escape_ascii().to_string();
    let report = ComReport { kind: "EF.COM", lds_version, data_groups: com.data_groups };
    if tell.json {
        tell.document(&report);
    } else {
        let groups: Vec<_> = report.data_groups.iter().map(ToString::to_string).collect();
        tell.line(format!("EF.COM, LDS version {}", report.lds_version));
        tell.line(format!("data groups {}", groups.join(", ")));
    }
    Ok(Ended::Done)
}

#[derive(Serialize)]
struct Dg1Report<'a> {
    kind: &'static str,
    format: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lines: Vec<&'a str>,
}

fn inspect_dg1(file: &EncodedFile, lines: bool, tell: Tell) -> Outcome {
    let zone: Mrz = dg1::read(file.bytes())?;
    let report = Dg1Report {
        kind: "EF.DG1",
        format: format!("{:?}", zone.format()).to_uppercase(),
        lines: if lines { zone.lines().collect() } else { Vec::new() },
    };
    if tell.json {
        tell.document(&report);
    } else {
        tell.line(format!("EF.DG1, format {}, every check digit fits", report.format));
        report.lines.iter().for_each(|line| tell.line(line));
    }
    Ok(Ended::Done)
}

#[derive(Serialize)]
struct Dg2Report {
    kind: &'static str,
    bytes: usize,
    instances: usize,
    portraits: Vec<PortraitReport>,
}

#[derive(Serialize)]
struct PortraitReport {
    format: String,
    image: String,
    image_bytes: usize,
    stated_image: Option<String>,
    stated_px: Option<(u16, u16)>,
    actual_px: Option<(u32, u32)>,
    decode_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn inspect_dg2(file: &EncodedFile, tell: Tell) -> Outcome {
    let dg2 = Dg2::read(file.bytes())?;
    let report = Dg2Report {
        kind: match dg2.wrapping {
            Wrapping::DataGroup => "EF.DG2",
            Wrapping::BareRecord => "a bare record",
        },
        bytes: file.bytes().len(),
        instances: dg2.instances,
        portraits: dg2.portraits.iter().map(examine).collect(),
    };
    if tell.json {
        tell.document(&report);
    } else {
        tell.line(format!(
            "{}, {} bytes, {} instance(s), {} photograph(s)",
            report.kind,
            report.bytes,
            report.instances,
            report.portraits.len()
        ));
        for (at, portrait) in report.portraits.iter().enumerate() {
            tell_portrait(at, portrait, tell);
        }
    }
    match report.portraits.iter().position(|portrait| portrait.error.is_some()) {
        Some(at) => Err(Failure::new(format!("photograph {at} cannot be decoded"))),
        None => Ok(Ended::Done),
    }
}

fn examine(portrait: &Portrait<'_>) -> PortraitReport {
    let clock = SystemClock::start();
    let decoded = image::decode(portrait.image);
    let decode_ms = clock.monotonic_us() as f64 / 1e3;
    let header = image::header(portrait.image).ok();
    PortraitReport {
        format: portrait.format.to_string(),
        image: portrait.kind.to_string(),
        image_bytes: portrait.image.len(),
        stated_image: portrait.stated_kind.map(|kind| kind.to_string()),
        stated_px: portrait.stated_px,
        actual_px: header.map(|header| (header.width_px, header.height_px)),
        decode_ms: decoded.is_ok().then_some(decode_ms),
        error: decoded.err().map(|error| error.to_string()),
    }
}

fn tell_portrait(at: usize, portrait: &PortraitReport, tell: Tell) {
    let size = |(width, height): (u32, u32)| format!("{width} x {height} pixels");
    let stated_px = portrait.stated_px.map(|(width, height)| (width.into(), height.into()));
    tell.line(format!("photograph {at}: {}", portrait.format));
    tell.line(format!(
        "  header  {}, {}",
        portrait.stated_image.as_deref().unwrap_or("states no kind"),
        stated_px.map_or_else(|| "states no size".into(), size),
    ));
    tell.line(format!(
        "  image   {}, {}, {} bytes",
        portrait.image,
        portrait.actual_px.map_or_else(|| "no size".into(), size),
        portrait.image_bytes
    ));
    let kinds = portrait.stated_image.as_ref().is_some_and(|stated| *stated != portrait.image);
    let sizes = stated_px.is_some() && portrait.actual_px.is_some();
    if kinds || (sizes && stated_px != portrait.actual_px) {
        tell.line(
            "  the header is wrong about the image, which some documents' are; the image counts",
        );
    }
    match (&portrait.error, portrait.decode_ms) {
        (Some(error), _) => tell.line(format!("  decodes no: {error}")),
        (None, decode_ms) => {
            tell.line(format!("  decodes yes, in {:.1} ms", decode_ms.unwrap_or_default()));
        }
    }
}

fn extract(asked: &Extract, tell: Tell) -> Outcome {
    let file = local::file(&asked.file)?;
    let dg2 = Dg2::read(file.bytes())?;
    let Some(portrait) = dg2.portraits.get(asked.portrait) else {
        let held = dg2.portraits.len();
        return Err(Failure::new(format!("the file has {held} photograph(s), counted from 0")));
    };
    let suffixes = suffixes(portrait, asked.png);
    let suffix = asked.output.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
    if !suffixes.iter().any(|known| suffix.eq_ignore_ascii_case(known)) {
        let text = format!("name the file .{}, which is what it will be", suffixes.join(" or ."));
        return Err(Failure::new(text));
    }
    if asked.png {
        write(&asked.output, &png_of(&image::decode(portrait.image)?)?)?;
    } else {
        write(&asked.output, portrait.image)?;
    }
    tell.note(format!("wrote {}: a face, and personal data", asked.output.display()));
    Ok(Ended::Done)
}

/// What the file may be called.
fn suffixes(portrait: &Portrait<'_>, png: bool) -> &'static [&'static str] {
    match portrait.kind {
        _ if png => &["png"],
        ImageKind::Jpeg => &["jpg", "jpeg"],
        ImageKind::Jpeg2000 if portrait.image.starts_with(b"\xff\x4f") => &["j2k", "j2c", "jpc"],
        ImageKind::Jpeg2000 => &["jp2"],
        ImageKind::Png => &["png"],
    }
}

fn png_of(frame: &Frame) -> Result<Vec<u8>, Failure> {
    let view = frame.view();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, view.width_px(), view.height_px());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(view.pixels())?;
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| Failure::new(format!("{} is not written: {error}", path.display())))
}
