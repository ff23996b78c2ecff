//! Moving a gallery to another appliance: a stream sealed to one recipient with age, and back.
//!
//! ```text
//! 0     magic "PORTCGEX"                       8
//! 8     version, 1; dims                   2 × 2
//! 12    hot dims, rows of a tile           2 × 4
//! 20    zero                                   4
//! 24    SHA-256 of model, of calibration  2 × 32
//! 88    references                             8
//! 96    one record per reference:
//!         0   the row, as in a row table      48
//!         48  its values, not disguised     dims
//! ```
//! Everything is little-endian, and all of it lies inside the age stream, which detects every
//! change and every truncation. Whoever imports makes a new file id, new keys and a new transform,
//! so that nothing in the new file compares with the old one.
//!
//! What is absent: proof of who wrote the stream. Anybody can seal to a recipient; who hands the
//! file over is the operator's to know. So every record is checked as any other reference is.

#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use std::{
    collections::HashSet,
    io::{self, BufReader, BufWriter, Read, Write},
    sync::Arc,
};

use age::x25519::{Identity, Recipient};
use bytemuck::Zeroable;
use zeroize::Zeroizing;

use super::{
    CarryError, Enrolment, Gallery, GalleryError, Means, Media, Newcomer, Settings, format::PARTS,
    plain::Plain, shelf::Snapshot,
};
use crate::{
    ops::tile::{ROW_RESTRICTED, ROW_VACANT, Row, TileLayout},
    types::{Hash256, SubjectId, Template, TemplateKind},
};

const MAGIC: [u8; 8] = *b"PORTCGEX";
const VERSION: u16 = 1;
const HEAD_BYTES: usize = 96;
/// References that become durable together.
const BATCH_ROWS: usize = 4096;
/// Bytes between the cipher of age and the file.
const BUFFER_BYTES: usize = 1 << 16;

fn stream(act: &'static str) -> impl Fn(io::Error) -> GalleryError {
    move |why| CarryError::Stream { act, why: why.to_string() }.into()
}

fn refused(record: u64, why: impl Into<String>) -> GalleryError {
    CarryError::Record { record, why: why.into() }.into()
}

impl Gallery {
    /// Writes every reference to `out`, sealed to `recipient` (`age1…`). `progress` is told
    /// references done and references in all. Returns how many there were.
    ///
    /// # Errors
    /// [`CarryError`], [`GalleryError::Tile`]; `out` then holds a stream that does not open.
    pub fn export(
        &self,
        recipient: &str,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<u64, GalleryError> {
        let recipient: Recipient = recipient.parse().map_err(|_| {
            CarryError::Identity("the recipient is not an age public key; it begins with age1")
        })?;
        let newest = self.shelf.newest();
        let encryptor =
            age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient));
        let encryptor = encryptor
            .map_err(|error| CarryError::Stream { act: "sealed", why: error.to_string() })?;
        let out = BufWriter::with_capacity(BUFFER_BYTES, out);
        let mut sealed = encryptor.wrap_output(out).map_err(stream("written"))?;
        let references = newest.counts.rows - newest.counts.vacant;
        sealed.write_all(&head(&newest, references)).map_err(stream("written"))?;
        let mut done = 0;
        let mut plain = Plain::empty(newest.set.layout);
        for tile in 0..newest.tiles.len() {
            newest.load(tile, &mut plain)?;
            done += export_tile(&newest, &plain, &mut sealed).map_err(stream("written"))?;
            progress(done, references);
        }
        let mut out = sealed.finish().map_err(stream("written"))?;
        out.flush().map_err(stream("written"))?;
        Ok(done)
    }

    /// Makes a new gallery on `media` of what [`Gallery::export`] wrote, opened with `identity`
    /// (`AGE-SECRET-KEY-1…`). `progress` as there.
    ///
    /// # Errors
    /// [`CarryError`] and as [`Gallery::create`] and [`Gallery::enrol_all`]; the keys of what was
    /// begun are then destroyed and the medium can be deleted.
    pub fn import(
        from: &mut dyn Read,
        identity: &str,
        media: Arc<dyn Media>,
        means: Means,
        settings: Settings,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, GalleryError> {
        let identity: Identity = identity.trim().parse().map_err(|_| {
            CarryError::Identity("the identity is not an age key; it begins with AGE-SECRET-KEY-1")
        })?;
        let opened =
            |error: age::DecryptError| CarryError::Stream { act: "opened", why: error.to_string() };
        let decryptor = age::Decryptor::new(BufReader::with_capacity(BUFFER_BYTES, from));
        let mut plain = decryptor
            .map_err(opened)?
            .decrypt(std::iter::once(&identity as &dyn age::Identity))
            .map_err(opened)?;
        let mut bytes = [0; HEAD_BYTES];
        plain.read_exact(&mut bytes).map_err(stream("read"))?;
        let (kind, layout, references) = parse_head(&bytes)?;
        if let Some(expected) = &settings.kind {
            expected.accept(&kind)?;
        }
        let gallery = Self::create(media, means, kind, layout, settings)?;
        match gallery.take_in(&mut plain, references, progress) {
            Ok(()) => Ok(gallery),
            Err(error) => {
                gallery.delete()?;
                Err(error)
            }
        }
    }

    fn take_in(
        &self,
        plain: &mut dyn Read,
        references: u64,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), GalleryError> {
        let mut done = 0;
        while done < references {
            let mut batch: Vec<Newcomer> = Vec::with_capacity(BATCH_ROWS);
            let mut restricted = HashSet::new();
            while batch.len() < BATCH_ROWS && done < references {
                let (newcomer, is_restricted) = self.read_record(plain, done)?;
                if is_restricted {
                    restricted.insert(newcomer.0);
                }
                batch.push(newcomer);
                done += 1;
            }
            self.enrol_batch(&batch, &restricted)?;
            progress(done, references);
        }
        match plain.read(&mut [0]).map_err(stream("read"))? {
            0 => Ok(()),
            _ => Err(refused(done, "is one more than its head counts")),
        }
    }

    fn read_record(
        &self,
        plain: &mut dyn Read,
        record: u64,
    ) -> Result<(Newcomer, bool), GalleryError> {
        let mut row = Row::zeroed();
        plain.read_exact(bytemuck::bytes_of_mut(&mut row)).map_err(stream("read"))?;
        let mut values = vec![0_i8; self.shelf.layout.dims].into_boxed_slice();
        plain.read_exact(bytemuck::cast_slice_mut(&mut values)).map_err(stream("read"))?;
        let template = Template::new(values, self.shelf.kind)
            .map_err(|error| refused(record, format!("is no template: {error}")))?;
        let Row { subject, class_bits, not_before_s, expiry_s, group, flags } = row;
        if flags & !ROW_RESTRICTED != 0 {
            return Err(refused(record, format!("has flags that no reference has: {flags:#x}")));
        }
        let enrolment = Enrolment { class_bits, group, not_before_s, expiry_s };
        let newcomer = (SubjectId::from_bytes(subject), vec![template], enrolment);
        Ok((newcomer, flags & ROW_RESTRICTED != 0))
    }
}

fn head(newest: &Snapshot, references: u64) -> Vec<u8> {
    let (kind, layout) = (&newest.set.kind, newest.set.layout);
    let mut head = MAGIC.to_vec();
    head.extend(VERSION.to_le_bytes());
    head.extend(kind.dims.to_le_bytes());
    for size in [layout.hot_dims, layout.rows] {
        head.extend(u32::try_from(size).expect("a layout is bounded").to_le_bytes());
    }
    head.extend([0; 4]);
    head.extend(kind.model.as_bytes());
    head.extend(kind.calibration.as_bytes());
    head.extend(references.to_le_bytes());
    head
}

fn parse_head(head: &[u8; HEAD_BYTES]) -> Result<(TemplateKind, TileLayout, u64), GalleryError> {
    fn field<const N: usize>(head: &[u8; HEAD_BYTES], at: usize) -> [u8; N] {
        *head[at..].first_chunk().expect("a head has all its fields")
    }
    if head[..8] != MAGIC || u16::from_le_bytes(field(head, 8)) != VERSION {
        return Err(refused(0, "does not follow a head that is known here"));
    }
    let kind = TemplateKind {
        model: Hash256::from_bytes(field(head, 24)),
        calibration: Hash256::from_bytes(field(head, 56)),
        dims: u16::from_le_bytes(field(head, 10)),
    };
    let size = |at| usize::try_from(u32::from_le_bytes(field(head, at))).unwrap_or(usize::MAX);
    let layout = TileLayout { dims: usize::from(kind.dims), hot_dims: size(12), rows: size(16) };
    Ok((kind, layout, u64::from_le_bytes(field(head, 88))))
}

/// Writes the references of one opened tile; returns how many.
fn export_tile(newest: &Snapshot, plain: &Plain, out: &mut dyn Write) -> io::Result<u64> {
    let dims = newest.set.layout.dims;
    let mut disguised = Zeroizing::new(vec![0; dims]);
    let mut values = Zeroizing::new(vec![0_i8; dims]);
    let mut done = 0;
    for (at, row) in plain.rows().iter().enumerate() {
        if row.flags & ROW_VACANT != 0 {
            continue;
        }
        plain.values(at, &mut disguised);
        newest.transform.undo(&disguised, &mut values);
        out.write_all(bytemuck::bytes_of(row))?;
        out.write_all(bytemuck::cast_slice(&values))?;
        done += 1;
    }
    Ok(done)
}

impl Snapshot {
    /// Opens a whole tile.
    pub(super) fn load(&self, tile: usize, plain: &mut Plain) -> Result<(), GalleryError> {
        plain.clear();
        let (layout, held) = (self.set.layout, &self.tiles[tile]);
        for part in PARTS {
            let mut bytes = Zeroizing::new(vec![0; layout.part_bytes(part, held.rows)]);
            self.reader.tile_part(layout, tile, part, held, &mut bytes)?;
            plain.load(part, &bytes, held.rows);
        }
        Ok(())
    }
}
