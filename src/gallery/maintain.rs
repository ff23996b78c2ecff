//! Keeping a gallery: giving back vacant rows, a new epoch, a new transform.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{
    Erasure, Gallery, GalleryError,
    format::PARTS,
    plain::Plain,
    shelf::IndexUpdate,
    writer::{Change, Forget},
};
use crate::ops::{tile::ROW_VACANT, transform::SignedPermutation};

impl Gallery {
    /// Gives back vacant rows: the others move up and keep their order. Returns how many fell away.
    /// Nothing is erased by it, so the epoch goes on. `progress` is told tiles done and tiles in
    /// all of those that move.
    ///
    /// # Errors
    /// What the medium and the custodian answer; the rows then stay where they are.
    pub fn compact(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<u64, GalleryError> {
        let mut writer = self.shelf.writer();
        let newest = self.shelf.newest();
        let vacant = newest.counts.vacant;
        let first = newest.tiles.iter().position(|tile| tile.vacant > 0);
        drop(newest);
        let Some(first) = first else { return Ok(0) };
        let layout = self.shelf.layout;
        let mut change = Change::begin(&self.shelf, &mut writer, Forget::Nothing)?;
        let (mut from, mut to) = (Plain::empty(layout), Plain::empty(layout));
        let mut values = Zeroizing::new(vec![0; layout.dims]);
        let mut next = first;
        let tiles = change.tiles.len();
        for tile in first..tiles {
            progress((tile - first) as u64, (tiles - first) as u64);
            change.load(tile, &mut from)?;
            for (at, record) in from.rows().iter().enumerate() {
                if record.flags & ROW_VACANT != 0 {
                    continue;
                }
                from.values(at, &mut values);
                to.write(to.rows().len(), &values, *record);
                if to.rows().len() == layout.rows {
                    change.write(next, &to, &PARTS)?; // at most the tile just read
                    to.clear();
                    next += 1;
                }
            }
        }
        if !to.rows().is_empty() {
            change.write(next, &to, &PARTS)?;
            next += 1;
        }
        change.truncate(next);
        change.commit(IndexUpdate::Anew, &[])?;
        Ok(vacant)
    }

    /// Begins a new epoch and destroys the key of the one before: every older copy of the file is
    /// noise from here on. No tile is written. Returns the generation.
    ///
    /// # Errors
    /// What the medium and the custodian answer.
    pub fn rotate(&self) -> Result<u64, GalleryError> {
        let mut writer = self.shelf.writer();
        let change = Change::begin(&self.shelf, &mut writer, Forget::Before)?;
        Ok(change.commit(IndexUpdate::NONE, &[])?.generation)
    }

    /// Draws a new transform, rewrites every template under it and under fresh keys, and begins a
    /// new epoch: what may have leaked of the old templates compares with nothing any more (ISO/IEC
    /// 24745, revocation and renewal). `progress` is told tiles done and tiles in all.
    ///
    /// # Errors
    /// What the medium and the custodian answer; the old transform then stays.
    pub fn rekey(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Erasure, GalleryError> {
        let mut writer = self.shelf.writer();
        self.settle_by(&mut writer)?;
        let mut change = Change::begin(&self.shelf, &mut writer, Forget::Before)?;
        let before = change.renew_transform()?;
        let tiles = change.tiles.len();
        let rows = change.counts.rows - change.counts.vacant;
        let mut plain = Plain::empty(self.shelf.layout);
        for tile in 0..tiles {
            change.load(tile, &mut plain)?;
            disguise_anew(&mut plain, &before, change.transform(), self.shelf.layout.dims);
            change.write(tile, &plain, &PARTS)?;
            progress(tile as u64 + 1, tiles as u64);
        }
        plain.clear();
        drop(before);
        let done = change.commit(IndexUpdate::NONE, &[]).map(|done| (done, 0));
        self.erasure(&mut writer, done, rows, [Vec::new(), Vec::new()])
    }
}

fn disguise_anew(
    plain: &mut Plain,
    before: &Arc<SignedPermutation>,
    after: &SignedPermutation,
    dims: usize,
) {
    let mut disguised = Zeroizing::new(vec![0; dims]);
    let mut values = Zeroizing::new(vec![0; dims]);
    for at in 0..plain.rows().len() {
        let record = plain.rows()[at];
        plain.values(at, &mut disguised);
        before.undo(&disguised, &mut values);
        after.apply(&values, &mut disguised);
        plain.write(at, &disguised, record);
    }
}
