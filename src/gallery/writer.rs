//! One change of a gallery, from the first tile to the durable superblock.
//!
//! ```text
//! 1  extents   tiles and leaves that change, each into free bytes, under fresh keys
//! 2  prepare   the custodian notes the next stand, makes the epoch's key    new epoch only
//! 3  root      sealed under the epoch's key, into free bytes
//! 4  slot      the superblock, over the older of the two
//! 5  sync      of the medium: one, for everything above
//! 6  commit    the custodian notes the stand: from here on an older one is a rollback
//! 7  publish   readers get the new generation
//! 8  destroy   the custodian destroys the key of the epoch before           new epoch only
//! ```
//!
//! # What a crash leaves, and what `open` does
//!
//! - **After 1**: the superblocks are as they were, the new extents unreachable. Opens the old
//!   generation.
//! - **After 2**: the custodian holds the old stand as committed and the new one as prepared; no
//!   superblock of the prepared stand. Opens the old generation, destroys the new epoch's key.
//! - **After 3 or 4, same epoch**: any part of the new superblock and extents may be there; the
//!   custodian knows the old stand alone. Opens the old generation: what was never committed is not
//!   believed.
//! - **After 3 or 4, new epoch**: the same in the file; the new stand is prepared. Opens every
//!   extent that the new generation wrote. All are whole: syncs, commits, destroys, and it *is* the
//!   new generation. If not: opens the old one and destroys the new epoch's key.
//! - **After 5**: everything is in the file, nothing is committed. As after 4: the old generation
//!   within an epoch (nobody was told otherwise), the new one of a new epoch.
//! - **After 6**: opens the new generation, destroys the old epoch's key.
//! - **After 7 or 8**: opens the new generation; destroying a key twice is no error.
//!
//! Why one sync is enough: nothing that the old generation needs is written over by steps 1 to 5
//! (its extents are held, its superblock is in the other slot), so that any subset of the writes
//! may be durable; and the new generation is only believed when every extent that it wrote opens.
//! Why a change within an epoch needs no `prepare`: an uncommitted generation is then simply not
//! believed, and the committed one is complete.
//!
//! Why not fewer: the custodian's `commit` must be durable before anybody is told, or an older copy
//! of the file could be put back unnoticed.
//!
//! Failures: up to step 3 the gallery is as it was and may be used on. From step 4 to 6 it is not
//! known which generation is durable, so the old one is served and nothing further is written until
//! the gallery has been opened again.

use std::{collections::BTreeSet, sync::Arc};

use zeroize::Zeroizing;

use super::{
    GalleryError, Means, Receipt, Written, crypt,
    disk::Disk,
    format::{self, Head, LEAF_TILES, PARTS, RootHead, Superblock},
    plain::Plain,
    recent::Recent,
    shelf::{Contents, Counts, IndexUpdate, Shelf},
    space::Extent,
    tree::{Leaf, Part, Reader, Tile},
};
use crate::{
    keys::{CustodyError, Key, Stand, memory::LockedBytes},
    limits::GALLERY_ROWS_MAX,
    ops::{tile::TilePart, transform::SignedPermutation},
    random::Entropy,
    types::TemplateKind,
};

/// What only the writer needs.
pub(super) struct Writer {
    pub(super) disk: Disk,
    pub(super) epoch: Epoch,
    /// The highest epoch and generation that were ever tried: numbers are not used twice.
    pub(super) tried: Stand,
    /// An epoch whose key the custodian could not destroy yet.
    pub(super) undestroyed: Option<u64>,
    /// The receipt of the erasure that waits for that.
    pub(super) owed: Option<Receipt>,
    /// Receipts whose key was destroyed after all, until somebody asks for them.
    pub(super) settled: Vec<Receipt>,
    /// The slot of the newest superblock.
    pub(super) slot: usize,
    pub(super) leaves: Vec<Arc<Leaf>>,
    pub(super) root: Arc<Extent>,
    /// What only the superblock in the other slot reaches.
    pub(super) older: Vec<Arc<Extent>>,
    /// Of the transform.
    pub(super) seed: Key,
    pub(super) next_content: u64,
    pub(super) recent: Recent,
    pub(super) written: Written,
}

/// An epoch's number, its key, and the key as the custodian wrapped it.
pub(super) struct Epoch {
    pub(super) number: u64,
    pub(super) key: Key,
    pub(super) wrapped: Vec<u8>,
    /// The one before.
    pub(super) retired: u64,
}

/// Whether the key of the epoch is to be destroyed with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forget {
    /// Nothing is erased: the epoch goes on.
    Nothing,
    /// What was before must not be openable any more.
    Before,
}

/// What a change came to.
pub(super) struct Committed {
    pub(super) generation: u64,
    /// The epoch whose key was destroyed.
    pub(super) epoch_destroyed: u64,
}

/// The leaves of a change, and the extents that they replace.
type NewLeaves = (Vec<Arc<Leaf>>, Vec<Arc<Extent>>);

/// A change in the making. Dropping it gives back what it wrote; nothing of it is then reachable.
pub(super) struct Change<'a> {
    shelf: &'a Arc<Shelf>,
    writer: &'a mut Writer,
    forget: Forget,
    pub(super) stand: Stand,
    pub(super) tiles: Vec<Arc<Tile>>,
    pub(super) counts: Counts,
    transform: Arc<SignedPermutation>,
    /// A new seed, when the transform changes.
    seed: Option<Key>,
    dirty: BTreeSet<usize>,
    /// What the newest superblock reaches and this change's will not.
    replaced: Vec<Arc<Extent>>,
    reader: Reader,
    scratch: Zeroizing<Vec<u8>>,
    written: Written,
}

impl<'a> Change<'a> {
    /// Begins a change of the newest generation.
    pub(super) fn begin(
        shelf: &'a Arc<Shelf>,
        writer: &'a mut Writer,
        forget: Forget,
    ) -> Result<Self, GalleryError> {
        if let Some(unknown) = shelf.unknown() {
            return Err(unknown);
        }
        let newest = shelf.newest();
        writer.destroy_left_over(shelf, newest.set.generation)?;
        let epoch = match forget {
            Forget::Nothing => writer.epoch.number,
            Forget::Before => writer.tried.epoch.max(writer.epoch.number) + 1,
        };
        let generation = writer.tried.generation.max(newest.set.generation) + 1;
        Ok(Self {
            shelf,
            forget,
            stand: Stand { epoch, generation },
            tiles: newest.tiles.clone(),
            counts: newest.counts,
            transform: Arc::clone(&newest.transform),
            seed: None,
            dirty: BTreeSet::new(),
            replaced: Vec::new(),
            reader: newest.reader.clone(),
            scratch: Zeroizing::new(Vec::new()),
            written: Written::default(),
            writer,
        })
    }

    pub(super) fn transform(&self) -> &SignedPermutation {
        &self.transform
    }

    pub(super) fn recent(&self) -> &Recent {
        &self.writer.recent
    }

    /// Disguises everything anew from here on; the caller writes every tile.
    pub(super) fn renew_transform(&mut self) -> Result<Arc<SignedPermutation>, GalleryError> {
        let seed = Key::random(&*self.shelf.means.entropy)?;
        let transform = Arc::new(SignedPermutation::derive(seed.expose(), self.shelf.layout));
        self.seed = Some(seed);
        Ok(std::mem::replace(&mut self.transform, transform))
    }

    /// Opens a tile as it is now in this change.
    pub(super) fn load(&mut self, tile: usize, plain: &mut Plain) -> Result<(), GalleryError> {
        plain.clear();
        let held = &self.tiles[tile];
        for part in PARTS {
            self.scratch.clear();
            self.scratch.resize(self.shelf.layout.part_bytes(part, held.rows), 0);
            self.reader.tile_part(self.shelf.layout, tile, part, held, &mut self.scratch)?;
            plain.load(part, &self.scratch, held.rows);
        }
        Ok(())
    }

    /// Writes `parts` of a tile, which is the next behind the last or takes the place of one; the
    /// others stay as they are.
    pub(super) fn write(
        &mut self,
        tile: usize,
        plain: &Plain,
        parts: &[TilePart],
    ) -> Result<(), GalleryError> {
        let before = self.tiles.get(tile).map(Arc::clone);
        let mut written = Vec::with_capacity(PARTS.len());
        for part in PARTS {
            written.push(match &before {
                Some(before) if !parts.contains(&part) => Arc::clone(before.part(part)),
                _ => self.write_part(tile, part, plain)?,
            });
        }
        let parts = <[_; 3]>::try_from(written).ok().expect("one for each of three");
        self.counts.rows += plain.rows().len() as u64;
        self.counts.vacant += plain.vacant() as u64;
        let after = Arc::new(Tile {
            parts,
            generation: self.stand.generation,
            rows: plain.rows().len(),
            vacant: plain.vacant(),
            common: plain.in_common(),
            content: self.writer.next_content,
        });
        self.writer.next_content += 1;
        self.dirty.insert(tile / LEAF_TILES);
        if let Some(before) = before {
            self.retire(&before, Some(&after));
            self.tiles[tile] = after;
        } else {
            assert_eq!(tile, self.tiles.len(), "tiles are added one behind the other");
            self.tiles.push(after);
        }
        Ok(())
    }

    fn write_part(
        &mut self,
        tile: usize,
        part: TilePart,
        plain: &Plain,
    ) -> Result<Arc<Part>, GalleryError> {
        let Stand { epoch, .. } = self.stand;
        let key = self.shelf.arena.random(&*self.shelf.means.entropy)?;
        let bytes = &mut self.scratch;
        bytes.clear();
        let size = self.shelf.layout.part_bytes(part, plain.rows().len());
        bytes.reserve_exact(size + crypt::TAG_BYTES);
        plain.store(part, bytes);
        let resident = self.shelf.is_locked().then(|| LockedBytes::zeroed(size)).transpose()?;
        let resident = resident.map(|mut resident| {
            resident.copy_from_slice(bytes);
            resident
        });
        let bound = format::part_bound(&self.shelf.file, tile, part, epoch);
        crypt::seal(&key.expose(), &bound, bytes);
        let extent = self.writer.disk.write(bytes)?;
        self.written.tile_bytes += bytes.len() as u64;
        Ok(Arc::new(Part { extent, key, epoch, plain: resident }))
    }

    /// Notes the extents of a tile that `after` does not have any more.
    fn retire(&mut self, before: &Tile, after: Option<&Tile>) {
        self.counts.rows -= before.rows as u64;
        self.counts.vacant -= before.vacant as u64;
        for (at, part) in before.parts.iter().enumerate() {
            if after.is_none_or(|after| !Arc::ptr_eq(&after.parts[at], part)) {
                self.replaced.push(Arc::clone(&part.extent));
            }
        }
    }

    /// Cuts off every tile from the `tiles`th on.
    pub(super) fn truncate(&mut self, tiles: usize) {
        for before in self.tiles.split_off(tiles) {
            self.retire(&before, None);
        }
        if let Some(last) = tiles.checked_sub(1) {
            self.dirty.insert(last / LEAF_TILES);
        }
    }

    /// Makes it durable, and then the gallery's newest generation. `given` are the rows that were
    /// given to subjects, in ascending order.
    pub(super) fn commit(
        mut self,
        update: IndexUpdate,
        given: &[u64],
    ) -> Result<Committed, GalleryError> {
        let rows = self.counts.rows;
        if rows > GALLERY_ROWS_MAX {
            // Such a root is refused when it is read: it must not be written.
            let held = rows - self.counts.vacant;
            return Err(GalleryError::Full { held, more: 0, most: GALLERY_ROWS_MAX });
        }
        let (leaves, retired) = self.write_leaves()?;
        let next = self.next_epoch()?;
        let (root, block) = match self.write_root(&leaves, next.as_ref()) {
            Ok(written) => written,
            Err(error) => {
                self.abandon();
                return Err(error);
            }
        };
        if let Err((what, why)) = self.make_durable(&block) {
            // Set once: nothing is written from here on, so that nothing more can fail.
            let _first = self.shelf.unknown.set((what, why.clone()));
            return Err(GalleryError::Unknown { what, why });
        }
        let Self { shelf, writer, stand, tiles, counts, transform, mut replaced, .. } = self;
        replaced.extend(retired);
        replaced.push(std::mem::replace(&mut writer.root, root));
        // What only the slot just written over reached is free from here on.
        writer.older = replaced;
        writer.slot = other(writer.slot);
        writer.leaves = leaves;
        writer.try_stand(stand);
        writer.written.add(Written { commits: 1, ..self.written });
        if let Some(seed) = self.seed {
            writer.seed = seed;
        }
        if let Some(next) = next {
            writer.undestroyed = Some(next.retired);
            writer.epoch = next;
        }
        if matches!(update, IndexUpdate::Anew) {
            writer.recent.clear();
        }
        writer.recent.note(given.iter().copied(), stand.generation);
        let reader = writer.disk.reader();
        let contents = Contents { generation: stand.generation, tiles, counts, transform, reader };
        shelf.publish(contents, update);
        writer.recent.prune(shelf.holders.oldest().unwrap_or(stand.generation));
        writer.destroy_left_over(shelf, stand.generation)?;
        Ok(Committed { generation: stand.generation, epoch_destroyed: writer.epoch.retired })
    }

    /// Step 1 for the tree: the leaves of this change, and the extents that they replace.
    fn write_leaves(&mut self) -> Result<NewLeaves, GalleryError> {
        let needed = self.tiles.len().div_ceil(LEAF_TILES);
        let mut leaves = self.writer.leaves.clone();
        let cut = leaves.split_off(needed.min(leaves.len()));
        let mut retired: Vec<_> = cut.iter().map(|leaf| Arc::clone(&leaf.extent)).collect();
        for number in 0..needed {
            if number < leaves.len() && !self.dirty.contains(&number) {
                continue;
            }
            let leaf = Arc::new(self.write_leaf(number)?);
            if let Some(before) = leaves.get_mut(number) {
                retired.push(Arc::clone(&before.extent));
                *before = leaf;
            } else {
                leaves.push(leaf);
            }
        }
        Ok((leaves, retired))
    }

    fn write_leaf(&mut self, number: usize) -> Result<Leaf, GalleryError> {
        let Stand { epoch, generation } = self.stand;
        let first = number * LEAF_TILES;
        let tiles = &self.tiles[first..self.tiles.len().min(first + LEAF_TILES)];
        let mut node = format::leaf_buffer(tiles.len());
        for tile in tiles {
            format::push_tile(&mut node, &tile.entry(), |part, node| {
                node.extend_from_slice(&*tile.parts[part].key.expose());
            });
        }
        let tiles = tiles.len();
        let key = self.shelf.arena.random(&*self.shelf.means.entropy)?;
        let bound = format::leaf_bound(&self.shelf.file, number, epoch);
        crypt::seal(&key.expose(), &bound, &mut node);
        let extent = self.writer.disk.write(&node)?;
        self.written.tree_bytes += node.len() as u64;
        Ok(Leaf { extent, key, epoch, generation, tiles })
    }

    /// Step 2: the next epoch, if this change needs one.
    fn next_epoch(&mut self) -> Result<Option<Epoch>, GalleryError> {
        if self.forget == Forget::Nothing {
            return Ok(None);
        }
        let made = Epoch::announce(
            &self.shelf.means,
            &self.shelf.file,
            self.stand,
            self.writer.epoch.number,
        );
        if made.is_err() {
            self.abandon();
        }
        Ok(Some(made?))
    }

    /// Gives up a stand that may have been announced: its numbers are not used again, and the key
    /// of its epoch, if there is one, is for nothing.
    fn abandon(&mut self) {
        self.writer.try_stand(self.stand);
        if self.forget == Forget::Before {
            // Should this fail, the key opens nothing: no superblock of its epoch was written.
            let _ = self.shelf.means.custodian.destroy(&self.shelf.file, self.stand.epoch);
        }
    }

    /// Step 3, and the block of step 4.
    fn write_root(
        &mut self,
        leaves: &[Arc<Leaf>],
        next: Option<&Epoch>,
    ) -> Result<(Arc<Extent>, [u8; format::SUPERBLOCK_BYTES]), GalleryError> {
        let epoch = next.unwrap_or(&self.writer.epoch);
        let seed = self.seed.as_ref().unwrap_or(&self.writer.seed);
        let head = RootHead {
            layout: self.shelf.layout,
            retired_epoch: epoch.retired,
            rows: self.counts.rows,
            vacant: self.counts.vacant,
            subjects: self.counts.subjects,
            tiles: self.tiles.len() as u64,
        };
        let means = &self.shelf.means;
        let mut root = Zeroizing::new(format::encode_root(&head, seed.expose(), leaves.len()));
        for leaf in leaves {
            format::push_leaf(&mut root, &leaf.key.expose(), &leaf.entry());
        }
        let root = NewRoot::seal(&self.shelf.file, self.stand, epoch, &*means.entropy, root);
        let extent = self.writer.disk.write(&root.sealed)?;
        let epoch = next.unwrap_or(&self.writer.epoch);
        let block = root.superblock(&self.shelf.file, &self.shelf.kind, self.stand, epoch, &extent);
        self.written.tree_bytes += (root.sealed.len() + block.len()) as u64;
        Ok((extent, block))
    }

    /// Steps 4 to 6.
    fn make_durable(
        &self,
        block: &[u8; format::SUPERBLOCK_BYTES],
    ) -> Result<(), (&'static str, String)> {
        let disk = &self.writer.disk;
        let slot = other(self.writer.slot);
        disk.write_slot(slot, block).map_err(|why| ("writing the superblock", why.to_string()))?;
        disk.media.sync().map_err(|why| ("syncing the medium", why.to_string()))?;
        let committed = self.shelf.means.custodian.commit(&self.shelf.file, self.stand);
        committed.map_err(|why| ("the custodian's commit", why.to_string()))
    }
}

/// The slot that is not `slot`.
pub(super) fn other(slot: usize) -> usize {
    1 - slot
}

impl Writer {
    pub(super) fn try_stand(&mut self, stand: Stand) {
        self.tried.epoch = self.tried.epoch.max(stand.epoch);
        self.tried.generation = self.tried.generation.max(stand.generation);
    }

    /// Step 8, also of an earlier change whose custodian failed there.
    pub(super) fn destroy_left_over(
        &mut self,
        shelf: &Shelf,
        generation: u64,
    ) -> Result<(), GalleryError> {
        if let Some(epoch) = self.undestroyed {
            let destroyed = shelf.means.custodian.destroy(&shelf.file, epoch);
            destroyed.map_err(|why| GalleryError::NotDestroyed { epoch, generation, why })?;
            self.undestroyed = None;
            let at_s = shelf.means.clock.civil_s();
            self.settled.extend(self.owed.take().map(|owed| Receipt { at_s, ..owed }));
        }
        Ok(())
    }
}

impl Epoch {
    /// Announces `stand` and wraps a fresh key for its epoch.
    pub(super) fn announce(
        means: &Means,
        file: &[u8; 16],
        stand: Stand,
        retired: u64,
    ) -> Result<Self, CustodyError> {
        means.custodian.prepare(file, stand)?;
        let number = stand.epoch;
        let key = Key::random(&*means.entropy)?;
        let bound = Superblock::wrap_bound(file, number);
        let wrapped = means.custodian.wrap(file, number, &key, &bound)?;
        assert!(wrapped.len() <= format::WRAPPED_BYTES_MAX, "custodians wrap into a few bytes");
        Ok(Self { number, key, wrapped, retired })
    }
}

/// A sealed root that waits for its extent.
pub(super) struct NewRoot {
    pub(super) sealed: Vec<u8>,
    salt: [u8; 32],
}

impl NewRoot {
    pub(super) fn seal(
        file: &[u8; 16],
        stand: Stand,
        epoch: &Epoch,
        entropy: &dyn Entropy,
        mut root: Zeroizing<Vec<u8>>,
    ) -> Self {
        let mut salt = [0; 32];
        entropy.fill(&mut salt);
        let mut key = Zeroizing::new([0; 32]);
        crypt::root_key(epoch.key.expose(), &salt, &mut key);
        crypt::seal(&key, &format::root_bound(file, stand.generation, stand.epoch), &mut root);
        Self { sealed: std::mem::take(&mut *root), salt }
    }

    /// The superblock that names it.
    pub(super) fn superblock(
        &self,
        file: &[u8; 16],
        kind: &TemplateKind,
        stand: Stand,
        epoch: &Epoch,
        root: &Extent,
    ) -> [u8; format::SUPERBLOCK_BYTES] {
        let Stand { epoch: number, generation } = stand;
        let head = Head { file: *file, kind: *kind, epoch: number, generation };
        let wrapped = epoch.wrapped.clone();
        let block = Superblock { head, root: root.place, salt: self.salt, wrapped };
        block.encode(epoch.key.expose())
    }
}
