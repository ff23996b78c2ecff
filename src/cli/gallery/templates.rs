//! A file of templates: JSON lines, read as a stream.
//!
//! Memory holds one batch, however long the file. A batch is one generation: all of it is enrolled,
//! or none; a mistake is told with its line, and with how many subjects stand enrolled before it.

use std::{
    borrow::Cow,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::{Bench, Failure};
use crate::{
    command::Enrolment,
    gallery::{Gallery, Newcomer},
    limits::{DIMS_MAX, REFERENCES_PER_SUBJECT_MAX},
    types::{Action, Hash256, SubjectId, Template, TemplateKind},
};

/// Longest line: a template of the most dimensions as base64, and the rest.
const LINE_BYTES_MAX: usize = DIMS_MAX * 4 / 3 + 4096;
/// Subjects of one batch.
const BATCH_SUBJECTS: usize = 8192;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow, default)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow)]
    template: LineTemplate<'a>,
    #[serde(default)]
    classes: Option<Vec<u8>>,
    #[serde(default)]
    group: Option<u32>,
    #[serde(default, rename = "notBefore")]
    not_before: Option<i64>,
    #[serde(default)]
    expiry: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineTemplate<'a> {
    #[serde(borrow)]
    values: Cow<'a, str>,
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    calibration: Cow<'a, str>,
}

/// What was enrolled.
#[derive(Default)]
pub(super) struct Enrolled {
    pub(super) subjects: u64,
    pub(super) references: u64,
}

/// One line, read: who (`None` for somebody new), what, on which terms.
type Read1 = (Option<SubjectId>, Template, Enrolment);

/// Enrols every template of `path`.
pub(super) fn enrol(
    bench: &Bench<'_>,
    gallery: &Gallery,
    path: &Path,
    terms: Enrolment,
) -> Result<Enrolled, Failure> {
    let shown = path.display();
    let unreadable = |error| Failure::new(format!("{shown} cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let bar = bench.scene.tell.progress("enrolling (bytes read)", bytes);
    let ordered = bench.offline.ordered(&bench.located, Action::Enrol, (None, None))?;
    let mut reader = BufReader::new(file);
    let (mut line, mut number) = (Vec::with_capacity(LINE_BYTES_MAX), 0_u64);
    let (mut batch, mut enrolled): (Vec<Newcomer>, _) = (Vec::new(), Enrolled::default());
    loop {
        line.clear();
        let most = LINE_BYTES_MAX as u64 + 1;
        let held = (&mut reader).take(most).read_until(b'\n', &mut line).map_err(unreadable)?;
        number += 1;
        let at = |why: String, enrolled: &Enrolled| {
            Failure::new(format!(
                "{shown}:{number}: {why}; {} subjects of the lines before are enrolled",
                enrolled.subjects
            ))
        };
        if held > LINE_BYTES_MAX {
            let why = format!("the line is longer than {LINE_BYTES_MAX} bytes");
            return Err(at(why, &enrolled));
        }
        bar.inc(held as u64);
        let is_end = held == 0;
        if !is_end && !line.trim_ascii().is_empty() {
            let read = parse(&line, terms, gallery.kind()).map_err(|why| at(why, &enrolled))?;
            join(&mut batch, read, bench);
        }
        // Not in the middle of a subject: its references belong into one generation.
        if is_end || batch.len() > BATCH_SUBJECTS {
            let next = if is_end { None } else { batch.pop() };
            if !batch.is_empty() {
                let told = gallery.enrol_all(&batch);
                told.map_err(|error| at(error.to_string(), &enrolled))?;
                enrolled.subjects += batch.len() as u64;
                enrolled.references += batch.iter().map(|one| one.1.len() as u64).sum::<u64>();
            }
            batch.clear();
            batch.extend(next);
        }
        if is_end {
            break;
        }
    }
    bar.finish_and_clear();
    bench.offline.done(ordered, None)?;
    if enrolled.subjects == 0 {
        return Err(Failure::new(format!("{shown} holds no template; nobody was enrolled")));
    }
    Ok(enrolled)
}

fn join(batch: &mut Vec<Newcomer>, (subject, template, terms): Read1, bench: &Bench<'_>) {
    match (batch.last_mut(), subject) {
        (Some((last, templates, held)), Some(subject))
            if *last == subject
                && *held == terms
                && templates.len() < REFERENCES_PER_SUBJECT_MAX =>
        {
            templates.push(template);
        }
        _ => {
            let subject = subject.unwrap_or_else(|| bench.offline.subject());
            batch.push((subject, vec![template], terms));
        }
    }
}

/// Reads one line; the message of a mistake holds nothing of a template.
fn parse(line: &[u8], terms: Enrolment, kind: &TemplateKind) -> Result<Read1, String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| {
        let category = match error.classify() {
            serde_json::error::Category::Data => "not the JSON of a template line",
            _ => "not well-formed JSON",
        };
        format!("{category}, at column {}", error.column())
    })?;
    let hash = |text: &str| text.parse::<Hash256>().map_err(|error| error.to_string());
    let subject = line.subject.as_deref().map(str::parse).transpose();
    let subject: Option<SubjectId> = subject.map_err(|error| format!("subject: {error}"))?;
    let bytes = STANDARD.decode(line.template.values.as_bytes());
    let bytes = bytes.map_err(|_| "template.values is not base64".to_owned())?;
    let held = TemplateKind {
        model: hash(&line.template.model)?,
        calibration: hash(&line.template.calibration)?,
        dims: u16::try_from(bytes.len())
            .map_err(|_| "template.values is no template".to_owned())?,
    };
    kind.accept(&held).map_err(|error| error.to_string())?;
    let values: Box<[i8]> = bytes.iter().map(|&byte| byte.cast_signed()).collect();
    let template = Template::new(values, held).map_err(|error| error.to_string())?;
    let class_bits = match line.classes {
        None => terms.class_bits,
        Some(classes) => classes.iter().try_fold(0_u64, |bits, &class| {
            let bit = 1_u64.checked_shl(u32::from(class));
            bit.map(|bit| bits | bit).ok_or_else(|| format!("class {class} is not one of 0 to 63"))
        })?,
    };
    let terms = Enrolment {
        class_bits,
        group: line.group.unwrap_or(terms.group),
        not_before_s: line.not_before.unwrap_or(terms.not_before_s),
        expiry_s: line.expiry.unwrap_or(terms.expiry_s),
    };
    Ok((subject, template, terms))
}
