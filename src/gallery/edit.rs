//! Changes of rows: which tiles they touch, and how they are carried out tile by tile.
//!
//! A change is planned against the newest generation (the writer's lock is held, so that it stays
//! the newest) and then carried out in ascending order of tiles, one tile in memory at a time.

use std::{collections::BTreeMap, sync::Arc};

use zeroize::Zeroizing;

use super::{
    Enrolment, GalleryError,
    format::PARTS,
    plain::Plain,
    shelf::{IndexUpdate, Shelf, Snapshot},
    writer::{Change, Committed, Forget, Writer},
};
use crate::{
    ops::{
        tile::{ROW_RESTRICTED, ROW_VACANT, Row, TilePart},
        transform::SignedPermutation,
    },
    types::{SubjectId, Template},
};

/// What happens to one row.
pub(super) enum Edit<'a> {
    Write { record: Row, template: &'a Template },
    Vacate,
    Restrict(bool),
    Regroup(u32),
    EndBy(i64),
}

/// Edits by tile and by row within it.
#[derive(Default)]
pub(super) struct Plan<'a> {
    edits: BTreeMap<usize, BTreeMap<usize, Edit<'a>>>,
    taken: Vec<(SubjectId, u64)>,
    given: Vec<(SubjectId, u64)>,
    rows_per_tile: u64,
}

impl<'a> Plan<'a> {
    pub(super) fn new(shelf: &Shelf) -> Self {
        Self { rows_per_tile: shelf.layout.rows as u64, ..Self::default() }
    }

    fn edit(&mut self, row: u64, edit: Edit<'a>) {
        let (tile, at) = ((row / self.rows_per_tile) as usize, (row % self.rows_per_tile) as usize);
        self.edits.entry(tile).or_default().insert(at, edit);
    }

    /// `row`, which was `subject`'s, is nobody's any more.
    pub(super) fn vacate(&mut self, subject: SubjectId, row: u64) {
        self.taken.push((subject, row));
        self.edit(row, Edit::Vacate);
    }

    /// `row`, which was nobody's or has just been vacated, is a reference.
    pub(super) fn write(&mut self, row: u64, record: Row, template: &'a Template) {
        self.given.push((SubjectId::from_bytes(record.subject), row));
        self.edit(row, Edit::Write { record, template });
    }

    pub(super) fn restrict(&mut self, row: u64, restricted: bool) {
        self.edit(row, Edit::Restrict(restricted));
    }

    pub(super) fn regroup(&mut self, row: u64, group: u32) {
        self.edit(row, Edit::Regroup(group));
    }

    pub(super) fn end_by(&mut self, row: u64, second: i64) {
        self.edit(row, Edit::EndBy(second));
    }

    /// Rows that are taken from somebody.
    pub(super) fn taken(&self) -> &[(SubjectId, u64)] {
        &self.taken
    }

    /// Carries the plan out. `subjects` is how many there are afterwards. Answers, too, the first
    /// generation that held one of the rows that were taken.
    pub(super) fn carry_out(
        self,
        shelf: &Arc<Shelf>,
        writer: &mut Writer,
        forget: Forget,
        subjects: u64,
    ) -> Result<(Committed, u64), GalleryError> {
        let mut change = Change::begin(shelf, writer, forget)?;
        let since = self.taken.iter().map(|&(_, row)| change.recent().since(row)).min();
        change.counts.subjects = subjects;
        let mut plain = Plain::empty(shelf.layout);
        let mut values = Zeroizing::new(vec![0; shelf.layout.dims]);
        for (tile, edits) in &self.edits {
            if *tile < change.tiles.len() {
                change.load(*tile, &mut plain)?;
            } else {
                plain.clear();
            }
            let mut parts: &[_] = &[TilePart::Rows]; // all that a change of records alone touches
            for (&at, edit) in edits {
                if apply(edit, at, &mut plain, change.transform(), &mut values) {
                    parts = &PARTS;
                }
            }
            change.write(*tile, &plain, parts)?;
        }
        plain.clear();
        let mut given: Vec<u64> = self.given.iter().map(|&(_, row)| row).collect();
        given.sort_unstable();
        let update = IndexUpdate::Rows { taken: self.taken, given: self.given };
        Ok((change.commit(update, &given)?, since.unwrap_or(0)))
    }
}

/// Changes one row of an opened tile; true when more than its record changed.
fn apply(
    edit: &Edit<'_>,
    at: usize,
    plain: &mut Plain,
    transform: &SignedPermutation,
    values: &mut [i8],
) -> bool {
    match edit {
        Edit::Write { record, template } => {
            transform.apply(template.values(), values);
            plain.write(at, values, *record);
            return true;
        }
        Edit::Vacate => {
            plain.vacate(at);
            return true;
        }
        Edit::Restrict(true) => plain.row_mut(at).flags |= ROW_RESTRICTED,
        Edit::Restrict(false) => plain.row_mut(at).flags &= !ROW_RESTRICTED,
        Edit::Regroup(group) => plain.row_mut(at).group = *group,
        Edit::EndBy(second) => {
            let row = plain.row_mut(at);
            row.expiry_s = row.expiry_s.min(*second);
            row.not_before_s = row.not_before_s.min(row.expiry_s.saturating_sub(1));
        }
    }
    false
}

/// Which rows the next references get: vacant ones, then new ones behind the last.
///
/// A tile with few vacant rows is left alone while many references are to be placed, because every
/// touched tile is written whole: at most eight times as much is written as is enrolled. Not so
/// where the rows behind the last would not do: then every vacant row is taken first, because a
/// gallery never has more rows than its limit, vacant ones included.
pub(super) struct Places<'a> {
    snapshot: &'a Snapshot,
    /// Vacant rows of a tile that make it worth filling up.
    worth: u64,
    tile: usize,
    left: u64,
    vacant: std::vec::IntoIter<u64>,
    end: u64,
    table: Vec<Row>,
}

/// A tile is filled up when at least this part of it is vacant, or all that is needed fits.
const WORTH_FILLING: u64 = 8;

impl<'a> Places<'a> {
    /// Places for `needed` references in a gallery of at most `most` rows.
    pub(super) fn new(snapshot: &'a Snapshot, needed: u64, most: u64) -> Self {
        let (end, table) = (snapshot.counts.rows, Vec::new());
        let worth = match end.saturating_add(needed) > most {
            true => 1,
            false => (snapshot.set.layout.rows as u64 / WORTH_FILLING).max(1),
        };
        Self { snapshot, worth, tile: 0, left: needed, vacant: Vec::new().into_iter(), end, table }
    }

    /// The next place.
    pub(super) fn take(&mut self) -> Result<u64, GalleryError> {
        loop {
            if let Some(row) = self.vacant.next() {
                self.left = self.left.saturating_sub(1);
                return Ok(row);
            }
            let Some(tile) = self.next_tile() else { break };
            self.snapshot.table(tile, &mut self.table)?;
            let first = tile as u64 * self.snapshot.set.layout.rows as u64;
            let rows = (first..).zip(&self.table);
            let vacant = rows.filter(|(_, record)| record.flags & ROW_VACANT != 0);
            self.vacant = vacant.map(|(row, _)| row).collect::<Vec<_>>().into_iter();
        }
        self.left = self.left.saturating_sub(1);
        self.end += 1;
        Ok(self.end - 1)
    }

    /// The next tile that is worth filling.
    fn next_tile(&mut self) -> Option<usize> {
        let enough = self.worth.min(self.left).max(1);
        let rest = self.snapshot.tiles.get(self.tile..)?;
        let found = rest.iter().position(|tile| tile.vacant as u64 >= enough);
        let tile = self.tile + found?;
        self.tile = tile + 1;
        Some(tile)
    }
}

/// The record of a reference.
pub(super) fn record(subject: SubjectId, enrolment: &Enrolment, flags: u32) -> Row {
    Row {
        subject: *subject.as_bytes(),
        class_bits: enrolment.class_bits,
        not_before_s: enrolment.not_before_s,
        expiry_s: enrolment.expiry_s,
        group: enrolment.group,
        flags,
    }
}
