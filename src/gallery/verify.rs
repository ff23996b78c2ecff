//! Reading everything: every tag is checked, and everything that is said twice is compared.

use std::{collections::hash_map::RandomState, fmt, hash::BuildHasher, iter, ops::Range};

use zeroize::Zeroizing;

use super::{
    Gallery, GalleryError, OpenError, crypt,
    error::Node,
    format::{self, EXTENTS_AT, PARTS, Slot},
    open::{Slots, stand_of},
    plain::Plain,
    shelf::Snapshot,
    tree::Unopened,
    writer::{Writer, other},
};
use crate::{
    keys::Stand,
    limits::REFERENCES_PER_SUBJECT_MAX,
    ops::tile::{Common, ROW_VACANT, TilePart},
};

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A superblock.
    Superblock {
        /// Its slot.
        slot: usize,
        /// What is wrong.
        why: String,
    },
    /// A node of the key tree.
    Node {
        /// Which.
        node: Node,
        /// What is wrong.
        why: String,
    },
    /// A part of a tile does not open.
    Part {
        /// The tile.
        tile: usize,
        /// Its part.
        part: TilePart,
        /// Byte of the file at which it lies.
        at: u64,
        /// What is wrong.
        why: String,
    },
    /// A row that opened, but is not what a row may be.
    Row {
        /// The row.
        row: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// The key tree says something else about a tile than its rows do.
    Summary {
        /// The tile.
        tile: usize,
    },
    /// The root's counts are not those of the rows.
    Counts {
        /// Subjects that the root counts.
        held: u64,
        /// Subjects that have rows.
        found: u64,
    },
    /// Subjects with more references than one may have.
    References {
        /// How many such subjects.
        subjects: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock { slot, why } => write!(f, "the superblock in slot {slot} {why}"),
            Self::Node { node, why } => write!(f, "{node} {why}"),
            Self::Part { tile, part, at, why } => {
                write!(f, "part {part:?} of tile {tile} at byte {at} {why}")
            }
            Self::Row { row, why } => write!(f, "row {row} {why}"),
            Self::Summary { tile } => {
                write!(f, "the key tree says something else about tile {tile} than its rows do")
            }
            Self::Counts { held, found } => {
                write!(f, "the root counts {held} subjects and {found} have rows")
            }
            Self::References { subjects } => write!(
                f,
                "{subjects} subjects have more than {REFERENCES_PER_SUBJECT_MAX} references"
            ),
        }
    }
}

/// What was read, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The generation that was read.
    pub generation: u64,
    /// Tiles.
    pub tiles: u64,
    /// Parts of tiles that opened.
    pub parts: u64,
    /// Rows that hold somebody.
    pub rows: u64,
    /// The bytes of the medium that were held to a digest or a tag, in ascending order: a change of
    /// any of them is a fault, and what lies between is free, padding, or of the generation before.
    pub held: Vec<Range<u64>>,
    /// Everything that is wrong; empty when all is well.
    pub faults: Vec<Fault>,
}

impl Gallery {
    /// Reads the superblocks, the key tree and every tile from the medium, and checks every tag.
    /// `progress` is told tiles done and tiles in all. Changes may go on meanwhile; what is
    /// verified is the generation at the begin.
    ///
    /// # Errors
    /// [`OpenError::Medium`] when the superblocks cannot be read at all; what is damaged is in the
    /// report.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Report, GalleryError> {
        let writer = self.shelf.writer();
        let newest = self.shelf.newest();
        let generation = newest.set.generation;
        let tiles = newest.tiles.len() as u64;
        let held = held(&writer, &newest);
        let mut report = Report { generation, tiles, parts: 0, rows: 0, held, faults: Vec::new() };
        self.verify_tree(&writer, &newest, &mut report.faults)?;
        drop(writer);
        let mut subjects = Subjects::default();
        let mut plain = Plain::empty(self.shelf.layout);
        for tile in 0..newest.tiles.len() {
            verify_tile(&newest, tile, &mut plain, &mut subjects, &mut report);
            progress(tile as u64 + 1, tiles);
        }
        if report.faults.is_empty() {
            let (found, crowded) = subjects.count();
            if found != newest.counts.subjects {
                report.faults.push(Fault::Counts { held: newest.counts.subjects, found });
            }
            if crowded > 0 {
                report.faults.push(Fault::References { subjects: crowded });
            }
        }
        Ok(report)
    }

    fn verify_tree(
        &self,
        writer: &Writer,
        newest: &Snapshot,
        faults: &mut Vec<Fault>,
    ) -> Result<(), OpenError> {
        let slots = Slots::read(&*writer.disk.media)?;
        let stand = Stand { epoch: writer.epoch.number, generation: newest.set.generation };
        let slot = writer.slot;
        let mut fault = |slot, why: &str| {
            faults.push(Fault::Superblock { slot, why: why.to_owned() });
        };
        match &slots.slots[slot] {
            Slot::Held(held) if stand_of(&held.head) != stand => {
                fault(slot, "is not that of the newest generation");
            }
            Slot::Held(_)
                if !format::is_stamped(&slots.blocks[slot], writer.epoch.key.expose()) =>
            {
                fault(slot, "does not carry the stamp of its key");
            }
            Slot::Held(held) => self.verify_nodes(writer, held, slots.len, faults),
            Slot::Broken(why) => fault(slot, &format!("cannot be used: {why}")),
            Slot::Blank | Slot::Foreign { .. } => fault(slot, "is not a superblock of this format"),
        }
        // The other one is no longer needed, and the next change writes it anew; damage to it is a
        // sign of a failing medium all the same. The key of an epoch before is destroyed, and with
        // it the means to check a stamp of that epoch.
        let spare = other(slot);
        let why = match &slots.slots[spare] {
            Slot::Broken(why) => format!("(the spare one) cannot be used: {why}"),
            Slot::Held(held)
                if held.head.epoch == writer.epoch.number
                    && !format::is_stamped(&slots.blocks[spare], writer.epoch.key.expose()) =>
            {
                "(the spare one) does not carry the stamp of its key".to_owned()
            }
            Slot::Held(_) | Slot::Blank | Slot::Foreign { .. } => return Ok(()),
        };
        faults.push(Fault::Superblock { slot: spare, why });
        Ok(())
    }

    fn verify_nodes(
        &self,
        writer: &Writer,
        held: &format::Superblock,
        len: u64,
        faults: &mut Vec<Fault>,
    ) {
        let reader = writer.disk.reader();
        let mut key = Zeroizing::new([0; 32]);
        crypt::root_key(writer.epoch.key.expose(), &held.salt, &mut key);
        let bound = format::root_bound(&self.shelf.file, held.head.generation, held.head.epoch);
        let root = reader.node(held.root, &key, &bound).map_err(|why| told(&why));
        let root = root.and_then(|root| {
            let head = format::decode_root(&root, &self.shelf.kind);
            head.map(|_| ()).map_err(|why| why.to_string())
        });
        if let Err(why) = root {
            faults.push(Fault::Node { node: Node::Root, why });
        }
        for (number, leaf) in writer.leaves.iter().enumerate() {
            let bound = format::leaf_bound(&self.shelf.file, number, leaf.epoch);
            let opened = reader.leaf(leaf.extent.place, &leaf.key, &bound);
            let checked = opened.map_err(|why| told(&why)).and_then(|mut leaf| {
                let mut tiles = format::decode_leaf(&mut leaf, self.shelf.layout, len);
                tiles.try_for_each(|tile| tile.map(drop)).map_err(|why| why.to_string())
            });
            if let Err(why) = checked {
                faults.push(Fault::Node { node: Node::Leaf(number), why });
            }
        }
    }
}

/// Both superblocks, and every extent of the newest generation.
fn held(writer: &Writer, newest: &Snapshot) -> Vec<Range<u64>> {
    let leaves = writer.leaves.iter().map(|leaf| leaf.extent.place);
    let parts = newest.tiles.iter().flat_map(|tile| &tile.parts).map(|part| part.extent.place);
    let extents = leaves.chain(parts).chain([writer.root.place]);
    let extents = extents.map(|place| place.at..place.at + place.bytes);
    let mut held: Vec<_> = iter::once(0..EXTENTS_AT).chain(extents).collect();
    held.sort_unstable_by_key(|range| range.start);
    held
}

fn told(why: &Unopened) -> String {
    match why {
        Unopened::Io(error) => format!("cannot be read: {error}"),
        Unopened::Tag => "does not open: it is damaged or was swapped".to_owned(),
    }
}

fn verify_tile(
    newest: &Snapshot,
    tile: usize,
    plain: &mut Plain,
    subjects: &mut Subjects,
    report: &mut Report,
) {
    plain.clear();
    let held = &newest.tiles[tile];
    let layout = newest.set.layout;
    let mut whole = true;
    for part in PARTS {
        let mut bytes = Zeroizing::new(vec![0; layout.part_bytes(part, held.rows)]);
        // Not through `open`: where tiles are resident, that would not read the medium.
        match newest.reader.part(tile, part, held.part(part), &mut bytes) {
            Ok(()) => {
                plain.load(part, &bytes, held.rows);
                report.parts += 1;
            }
            Err(why) => {
                let (at, why) = (held.part(part).extent.place.at, told(&why));
                report.faults.push(Fault::Part { tile, part, at, why });
                whole = false;
            }
        }
    }
    if !whole {
        return;
    }
    if let Some((at, why)) = plain.fault() {
        let row = tile as u64 * layout.rows as u64 + at as u64;
        report.faults.push(Fault::Row { row, why });
    }
    if Common::of(plain.rows()) != held.common || plain.vacant() != held.vacant {
        report.faults.push(Fault::Summary { tile });
    }
    for row in plain.rows() {
        if row.flags & ROW_VACANT == 0 {
            report.rows += 1;
            subjects.note(&row.subject);
        }
    }
}

/// Who has how many rows: 64 keyed bits per row, so that ten million rows take 80 MB.
#[derive(Default)]
struct Subjects {
    hasher: RandomState,
    seen: Vec<u64>,
}

impl Subjects {
    fn note(&mut self, subject: &[u8; 16]) {
        self.seen.push(self.hasher.hash_one(subject));
    }

    /// Subjects, and how many of them have too many rows.
    fn count(mut self) -> (u64, u64) {
        self.seen.sort_unstable();
        let runs = self.seen.chunk_by(|a, b| a == b);
        runs.fold((0, 0), |(all, crowded), run| {
            (all + 1, crowded + u64::from(run.len() > REFERENCES_PER_SUBJECT_MAX))
        })
    }
}
