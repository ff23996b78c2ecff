//! Erasures: rows go, and with them the key that could open any older copy of the file.

use std::collections::HashSet;

use bytemuck::Zeroable;
use zeroize::{Zeroize, Zeroizing};

use super::{
    Erasure, Gallery, GalleryError,
    edit::Plan,
    format::PARTS,
    plain::Plain,
    shelf::{IndexUpdate, Snapshot},
    writer::{Change, Forget},
};
use crate::{
    ops::tile::{Common, ROW_VACANT, Row, TilePart},
    types::{Selection, SubjectId},
};

/// Which rows an erasure takes.
enum Choice {
    Everybody,
    Expired { now_s: i64 },
    Group(u32),
    Class(u64),
    BegunBefore(i64),
}

impl Choice {
    fn of(selection: Selection, now_s: i64) -> Self {
        match selection {
            Selection::Everybody => Self::Everybody,
            Selection::Classes(class_bits) => Self::Class(class_bits),
            Selection::EnrolledBefore(second) => Self::BegunBefore(second),
            Selection::Expired => Self::Expired { now_s },
            Selection::Group(group) => Self::Group(group),
        }
    }

    fn takes(&self, row: &Row) -> bool {
        if row.flags & ROW_VACANT != 0 {
            return false;
        }
        match *self {
            Self::Everybody => true,
            Self::Expired { now_s } => row.expiry_s <= now_s,
            Self::Group(group) => row.group == group,
            Self::Class(class_bits) => row.class_bits & class_bits != 0,
            Self::BegunBefore(second) => row.not_before_s < second,
        }
    }

    /// Whether a tile can hold such a row, so that its row table must be asked.
    fn may_take(&self, common: &Common) -> bool {
        match *self {
            Self::Everybody | Self::BegunBefore(_) => true,
            Self::Expired { now_s } => common.expiry_s_min <= now_s,
            Self::Group(group) => common.group.is_none_or(|held| held == group),
            Self::Class(class_bits) => common.class_bits_any & class_bits != 0,
        }
    }
}

/// Which tiles open, and who is in them.
#[derive(Default)]
struct Survey {
    damaged: Vec<usize>,
    /// Whoever has a row in a tile of which all opens.
    whole: HashSet<SubjectId>,
    /// Whoever has a row in one of which only the row table does.
    broken: HashSet<SubjectId>,
}

impl Survey {
    /// Reads a tile from the medium, also where it is resident.
    fn take_in(&mut self, newest: &Snapshot, tile: usize) {
        let held = &newest.tiles[tile];
        let mut table = vec![Row::zeroed(); held.rows];
        let opens =
            |part, bytes: &mut [u8]| newest.reader.part(tile, part, held.part(part), bytes).is_ok();
        let is_table_whole = opens(TilePart::Rows, bytemuck::cast_slice_mut(&mut table));
        let are_planes_whole = [TilePart::Hot, TilePart::Cold].into_iter().all(|part| {
            let mut plane =
                Zeroizing::new(vec![0_u8; newest.set.layout.part_bytes(part, held.rows)]);
            opens(part, &mut plane)
        });
        if is_table_whole {
            let into = if are_planes_whole { &mut self.whole } else { &mut self.broken };
            let rows = table.iter().filter(|row| row.flags & ROW_VACANT == 0);
            into.extend(rows.map(|row| SubjectId::from_bytes(row.subject)));
        }
        if !(is_table_whole && are_planes_whole) {
            self.damaged.push(tile);
        }
        bytemuck::cast_slice_mut::<Row, u8>(&mut table).zeroize();
    }
}

impl Gallery {
    /// Removes `subject`. When this returns, its rows are in no search that begins, and neither in
    /// the file nor in any older copy of it; [`Erasure::wait`] tells when no running search holds
    /// them.
    ///
    /// Where an earlier call has removed the rows and could not destroy their key, this one does,
    /// and answers with the receipt that was due then.
    ///
    /// # Errors
    /// [`GalleryError::UnknownSubject`], and what the medium and the custodian answer.
    pub fn erase(&self, subject: SubjectId) -> Result<Erasure, GalleryError> {
        let mut writer = self.shelf.writer();
        self.settle_by(&mut writer)?;
        let (rows, newest) = match self.rows_of(subject) {
            Err(GalleryError::UnknownSubject { .. }) => {
                let due = writer.settled.iter().position(|due| due.gone == [subject]);
                let due = due.ok_or(GalleryError::UnknownSubject { subject })?;
                return Ok(self.held_by(0, writer.settled.swap_remove(due)));
            }
            found => found?,
        };
        let mut plan = Plan::new(&self.shelf);
        for (row, _) in rows {
            plan.vacate(subject, row);
        }
        let subjects = newest.counts.subjects - 1;
        drop(newest);
        self.erased(&mut writer, plan, subjects, vec![subject])
    }

    /// Removes everybody, and gives back the rows.
    ///
    /// # Errors
    /// What the medium and the custodian answer.
    pub fn erase_all(&self) -> Result<Erasure, GalleryError> {
        let mut writer = self.shelf.writer();
        self.settle_by(&mut writer)?;
        let taken = self.chosen(&Choice::Everybody)?;
        let whose: Vec<SubjectId> = taken.iter().map(|&(subject, _)| subject).collect();
        let mut change = Change::begin(&self.shelf, &mut writer, Forget::Before)?;
        change.counts.subjects = 0;
        change.truncate(0);
        let done = change.commit(IndexUpdate::Anew, &[]).map(|done| (done, 0));
        self.erasure(&mut writer, done, taken.len() as u64, [whose.clone(), whose])
    }

    /// Removes whoever is in tiles that do not open, so that everybody else can be changed again: a
    /// row table that does not open is in the way of every change that must look a subject up.
    /// `None` when every tile opens. The receipt names those whose row table opened; who was in a
    /// row table that does not open, nobody can tell. `progress` is told
    /// tiles read and tiles in all.
    ///
    /// # Errors
    /// What the medium and the custodian answer.
    pub fn erase_damaged(
        &self,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<Erasure>, GalleryError> {
        let mut writer = self.shelf.writer();
        self.settle_by(&mut writer)?;
        let newest = self.shelf.newest();
        let mut survey = Survey::default();
        for tile in 0..newest.tiles.len() {
            survey.take_in(&newest, tile);
            progress(tile as u64 + 1, newest.tiles.len() as u64);
        }
        if survey.damaged.is_empty() {
            return Ok(None);
        }
        let mut change = Change::begin(&self.shelf, &mut writer, Forget::Before)?;
        let mut plain = Plain::empty(self.shelf.layout);
        let mut rows = 0;
        for &tile in &survey.damaged {
            let held = &newest.tiles[tile];
            rows += (held.rows - held.vacant) as u64;
            plain.vacate_all(held.rows);
            change.write(tile, &plain, &PARTS)?;
        }
        change.counts.subjects = survey.whole.len() as u64;
        let done = change.commit(IndexUpdate::Anew, &[]).map(|done| (done, 0));
        let gone = survey.broken.difference(&survey.whole).copied().collect();
        let whose = survey.broken.into_iter().collect();
        self.erasure(&mut writer, done, rows, [whose, gone]).map(Some)
    }

    /// Removes every reference whose validity has ended at `now_s`, and with them subjects without
    /// any other. `None` when there is none.
    ///
    /// # Errors
    /// What the medium and the custodian answer.
    pub fn erase_expired(&self, now_s: i64) -> Result<Option<Erasure>, GalleryError> {
        self.erase_chosen(&Choice::Expired { now_s })
    }

    /// Removes every reference of a group: a flight has departed.
    ///
    /// # Errors
    /// What the medium and the custodian answer.
    pub fn erase_group(&self, group: u32) -> Result<Option<Erasure>, GalleryError> {
        self.erase_chosen(&Choice::Group(group))
    }

    /// Removes every reference that is in any of the classes.
    ///
    /// # Errors
    /// What the medium and the custodian answer.
    pub fn erase_class(&self, class_bits: u64) -> Result<Option<Erasure>, GalleryError> {
        self.erase_chosen(&Choice::Class(class_bits))
    }

    /// Removes every reference whose validity began before `second`.
    ///
    /// # Errors
    /// What the medium and the custodian answer.
    pub fn erase_begun_before(&self, second: i64) -> Result<Option<Erasure>, GalleryError> {
        self.erase_chosen(&Choice::BegunBefore(second))
    }

    /// Everybody whom the newest generation holds, each once.
    ///
    /// # Errors
    /// [`GalleryError::Tile`].
    pub fn subjects(&self) -> Result<Vec<SubjectId>, GalleryError> {
        let held = self.chosen(&Choice::Everybody)?;
        let mut subjects: Vec<SubjectId> = held.into_iter().map(|(subject, _)| subject).collect();
        subjects.sort_unstable();
        subjects.dedup();
        Ok(subjects)
    }

    /// Who would have no row left after an erasure of `selection` at `now_s`: whoever keeps a list
    /// of the erased writes it first.
    ///
    /// # Errors
    /// [`GalleryError::Tile`].
    pub fn leaving(
        &self,
        selection: Selection,
        now_s: i64,
    ) -> Result<Vec<SubjectId>, GalleryError> {
        let taken = self.chosen(&Choice::of(selection, now_s))?;
        self.gone(&taken)
    }

    fn erase_chosen(&self, choice: &Choice) -> Result<Option<Erasure>, GalleryError> {
        let mut writer = self.shelf.writer();
        self.settle_by(&mut writer)?;
        let taken = self.chosen(choice)?;
        if taken.is_empty() {
            return Ok(None);
        }
        let gone = self.gone(&taken)?;
        let subjects = self.shelf.newest().counts.subjects - gone.len() as u64;
        let mut plan = Plan::new(&self.shelf);
        for (subject, row) in taken {
            plan.vacate(subject, row);
        }
        self.erased(&mut writer, plan, subjects, gone).map(Some)
    }

    /// The rows of a choice, and whose they are.
    fn chosen(&self, choice: &Choice) -> Result<Vec<(SubjectId, u64)>, GalleryError> {
        let newest = self.shelf.newest();
        let mut chosen = Vec::new();
        let mut rows = Vec::with_capacity(self.shelf.layout.rows);
        for (tile, held) in newest.tiles.iter().enumerate() {
            if !choice.may_take(&held.common) {
                continue;
            }
            newest.table(tile, &mut rows)?;
            let first = tile as u64 * self.shelf.layout.rows as u64;
            let taken = (first..).zip(&rows).filter(|(_, row)| choice.takes(row));
            chosen.extend(taken.map(|(at, row)| (SubjectId::from_bytes(row.subject), at)));
        }
        bytemuck::cast_slice_mut::<Row, u8>(&mut rows).zeroize();
        Ok(chosen)
    }
}
