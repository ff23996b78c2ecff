//! A file of templates: JSON lines, read as a stream.
//!
//! Memory holds one batch, however long the file. A batch is one generation: all of it is enrolled,
//! or none; a mistake is told with its line, with how many subjects stand enrolled before it, and
//! with the line to go on from.

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
    gallery::{Gallery, GalleryError, Newcomer},
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

/// Newcomers that become durable together, each with the line that it begins at.
#[derive(Default)]
struct Batch {
    newcomers: Vec<Newcomer>,
    lines: Vec<u64>,
}

/// What is wrong, and with which line.
struct Mistake {
    line: u64,
    why: String,
}

impl Batch {
    /// Adds what `line` says, to the newcomer before it where that is the same subject.
    fn join(
        &mut self,
        line: u64,
        (subject, template, terms): Read1,
        bench: &Bench<'_>,
    ) -> Result<(), Mistake> {
        match (self.newcomers.last_mut(), subject) {
            (Some((last, templates, held)), Some(subject))
                if *last == subject && *held == terms =>
            {
                let (held, most) = (templates.len(), REFERENCES_PER_SUBJECT_MAX);
                if held == most {
                    let error = GalleryError::References { subject, held, more: 1, most };
                    return Err(Mistake { line, why: error.to_string() });
                }
                templates.push(template);
            }
            _ => {
                let subject = subject.unwrap_or_else(|| bench.offline.subject());
                self.newcomers.push((subject, vec![template], terms));
                self.lines.push(line);
            }
        }
        Ok(())
    }

    /// Leaves the last newcomer for the next batch: its references belong into one generation.
    fn split_last(&mut self) -> Self {
        let from = self.lines.len().saturating_sub(1);
        Self { newcomers: self.newcomers.split_off(from), lines: self.lines.split_off(from) }
    }

    /// Enrols all of it, or nobody.
    fn enrol(&self, gallery: &Gallery, enrolled: &mut Enrolled) -> Result<(), Mistake> {
        let Some(&first) = self.lines.first() else { return Ok(()) };
        gallery.enrol_all(&self.newcomers).map_err(|error| {
            let of = match &error {
                GalleryError::References { subject, .. } => {
                    self.newcomers.iter().rposition(|(held, ..)| held == subject)
                }
                _ => None,
            };
            Mistake { line: of.map_or(first, |at| self.lines[at]), why: error.to_string() }
        })?;
        enrolled.subjects += self.newcomers.len() as u64;
        enrolled.references += self.newcomers.iter().map(|one| one.1.len() as u64).sum::<u64>();
        Ok(())
    }
}

/// The lines of a file of templates.
struct Lines<'a> {
    reader: BufReader<File>,
    shown: std::path::Display<'a>,
    line: Vec<u8>,
    number: u64,
}

impl Lines<'_> {
    /// Reads the next line, however many of its bytes are wanted; its bytes, none at the end.
    fn read(&mut self) -> Result<usize, Failure> {
        self.line.clear();
        let most = LINE_BYTES_MAX as u64 + 1;
        let read = (&mut self.reader).take(most).read_until(b'\n', &mut self.line);
        self.number += 1;
        let shown = &self.shown;
        read.map_err(|error| Failure::new(format!("{shown} cannot be read: {error}")))
    }
}

/// Enrols every template of a file, from its line `from_line` on.
pub(super) fn enrol(
    bench: &Bench<'_>,
    gallery: &Gallery,
    (path, from_line): (&Path, u64),
    terms: Enrolment,
) -> Result<Enrolled, Failure> {
    let shown = path.display();
    let unreadable = |error| Failure::new(format!("{shown} cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let bar = bench.scene.tell.progress("enrolling (bytes read)", bytes);
    let enrolled = bench.carried_out(Action::Enrol, || {
        let (reader, line) = (BufReader::new(file), Vec::with_capacity(LINE_BYTES_MAX));
        let mut lines = Lines { reader, shown: path.display(), line, number: 0 };
        let (mut batch, mut enrolled) = (Batch::default(), Enrolled::default());
        loop {
            let held = lines.read()?;
            bar.inc(held as u64);
            let is_end = held == 0;
            let taken = if is_end || lines.number >= from_line {
                take(&lines, terms, gallery, &mut batch, bench)
            } else {
                Ok(())
            };
            let resume = batch.lines.first().copied().unwrap_or(lines.number);
            // Not in the middle of a subject: its references belong into one generation.
            let done =
                taken.and_then(|()| match is_end || batch.newcomers.len() > BATCH_SUBJECTS {
                    true => {
                        let next = if is_end { Batch::default() } else { batch.split_last() };
                        std::mem::replace(&mut batch, next).enrol(gallery, &mut enrolled)
                    }
                    false => Ok(()),
                });
            done.map_err(|mistake| stopped(path, &mistake, resume, &enrolled))?;
            if is_end {
                return Ok(enrolled);
            }
        }
    })?;
    bar.finish_and_clear();
    if enrolled.subjects == 0 {
        return Err(Failure::new(format!("{shown} holds no template; nobody was enrolled")));
    }
    Ok(enrolled)
}

/// Adds the line that was just read to the batch.
fn take(
    lines: &Lines<'_>,
    terms: Enrolment,
    gallery: &Gallery,
    batch: &mut Batch,
    bench: &Bench<'_>,
) -> Result<(), Mistake> {
    let line = lines.number;
    if lines.line.len() > LINE_BYTES_MAX {
        let why = format!("the line is longer than {LINE_BYTES_MAX} bytes");
        return Err(Mistake { line, why });
    }
    if lines.line.trim_ascii().is_empty() {
        return Ok(());
    }
    let read = parse(&lines.line, terms, gallery.kind()).map_err(|why| Mistake { line, why })?;
    batch.join(line, read, bench)
}

/// What went wrong, who is enrolled all the same, and where to go on: a second run of the whole
/// file would give everybody of the first a second reference.
fn stopped(path: &Path, mistake: &Mistake, resume: u64, enrolled: &Enrolled) -> Failure {
    let (shown, Mistake { line, why }) = (path.display(), mistake);
    let next = match enrolled.subjects {
        0 => "nobody was enrolled; mend the file and run it again".to_owned(),
        subjects => format!(
            "{subjects} subjects of the lines before line {resume} are enrolled; mend the file and \
             go on with --from-line {resume}"
        ),
    };
    Failure::new(format!("{shown}:{line}: {why}; {next}"))
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
    terms.check().map_err(|error| error.to_string())?;
    Ok((subject, template, terms))
}
