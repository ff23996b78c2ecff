//! Creating a gallery, and opening one after whatever happened to it.
//!
//! Opening reads two superblocks, asks the custodian which stands are to be believed, and reads the
//! key tree of the one that is: nothing of a tile, so that it takes milliseconds. What an
//! interruption left undone is finished here; the table is in [`super::writer`].

use std::{io, sync::Arc};

use zeroize::Zeroizing;

use super::{
    GalleryError, Means, OpenError, Settings, Written, crypt,
    disk::Disk,
    error::Node,
    format::{
        self, EXTENTS_AT, Head, LeafEntry, NodeError, PARTS, Place, RootHead, SUPERBLOCK_BYTES,
        Slot, Superblock,
    },
    media::Media,
    recent::Recent,
    shelf::{Contents, Counts, Parts, Shelf},
    space::{Extent, Space},
    tree::{Leaf, Part, Reader, Tile, Unopened},
    writer::{Epoch, NewRoot, Writer, other},
};
use crate::{
    keys::{CustodyError, Key, KeyArena, Stand, memory::LockedBytes},
    ops::{
        tile::{TileError, TileLayout, TilePart},
        transform::SignedPermutation,
    },
    random::random_id,
    types::TemplateKind,
};

fn medium(act: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |why| OpenError::Medium { act, why }
}

/// Free bytes at the end of a file that are not worth cutting off.
const TRIM_BYTES: u64 = 1 << 20;

/// Where a gallery begins.
const FIRST: Stand = Stand { epoch: 1, generation: 0 };

/// Makes an empty gallery on an empty medium.
pub(super) fn create(
    media: Arc<dyn Media>,
    means: Means,
    kind: TemplateKind,
    layout: TileLayout,
    settings: Settings,
) -> Result<Arc<Shelf>, GalleryError> {
    let TileLayout { dims, hot_dims, rows } = layout;
    if !format::is_layout(layout, &kind) {
        return Err(GalleryError::Layout { dims, hot_dims, rows, kind_dims: kind.dims });
    }
    let bytes = media.len().map_err(medium("measured"))?;
    if bytes > 0 {
        return Err(OpenError::NotEmpty { bytes }.into());
    }
    let file = random_id(&*means.entropy);
    media.set_len(EXTENTS_AT).map_err(medium("grown"))?;
    let space = Space::new();
    let disk = Disk::on(file, Arc::clone(&media), Arc::clone(&space), EXTENTS_AT);
    let mut disk = disk.map_err(medium("mapped"))?;

    let epoch = Epoch::announce(&means, &file, FIRST, 0)?;
    let claim = means.custodian.claim(&file)?;
    let seed = Key::random(&*means.entropy)?;
    let head = RootHead { layout, retired_epoch: 0, rows: 0, vacant: 0, subjects: 0, tiles: 0 };
    let root = Zeroizing::new(format::encode_root(&head, seed.expose(), 0));
    let root = NewRoot::seal(&file, FIRST, &epoch, &*means.entropy, root);
    let extent = disk.write(&root.sealed)?;
    let block = root.superblock(&file, &kind, FIRST, &epoch, &extent);
    disk.write_slot(0, &block).map_err(medium("written"))?;
    media.sync().map_err(medium("synced"))?;
    means.custodian.commit(&file, FIRST)?;

    let transform = Arc::new(SignedPermutation::derive(seed.expose(), layout));
    let first = Contents {
        generation: FIRST.generation,
        tiles: Vec::new(),
        counts: Counts::default(),
        transform,
        reader: disk.reader(),
    };
    let writer = Writer {
        disk,
        epoch,
        tried: FIRST,
        undestroyed: None,
        owed: None,
        settled: Vec::new(),
        slot: 0,
        leaves: Vec::new(),
        root: extent,
        older: Vec::new(),
        seed,
        next_content: 0,
        recent: Recent::default(),
        written: Written::default(),
    };
    let arena = KeyArena::new();
    let parts = Parts { file, kind, layout, settings, means, space, arena, claim, writer, first };
    Ok(Shelf::new(parts))
}

/// The two superblocks as they stand.
pub(super) struct Slots {
    pub(super) blocks: [Box<[u8; SUPERBLOCK_BYTES]>; 2],
    pub(super) slots: [Slot; 2],
    pub(super) len: u64,
}

impl Slots {
    pub(super) fn read(media: &dyn Media) -> Result<Self, OpenError> {
        let len = media.len().map_err(medium("measured"))?;
        if len < EXTENTS_AT {
            return Err(OpenError::Short { bytes: len });
        }
        let mut blocks = [(); 2].map(|()| Box::new([0; SUPERBLOCK_BYTES]));
        for (at, block) in [0, SUPERBLOCK_BYTES as u64].into_iter().zip(&mut blocks) {
            media.read(at, &mut block[..]).map_err(medium("read"))?;
        }
        let slots = [0, 1].map(|at: usize| format::decode_slot(&blocks[at], len));
        Ok(Self { blocks, slots, len })
    }

    pub(super) fn held(&self) -> impl Iterator<Item = (usize, &Superblock)> {
        self.slots.iter().enumerate().filter_map(|(at, slot)| match slot {
            Slot::Held(superblock) => Some((at, &**superblock)),
            _ => None,
        })
    }

    /// The plain head of the newest superblock.
    pub(super) fn head(&self) -> Result<Head, OpenError> {
        let mut held = self.held().map(|(_, superblock)| superblock.head);
        let Some(first) = held.next() else { return Err(self.none()) };
        let Some(second) = held.next() else { return Ok(first) };
        if (first.file, first.kind) != (second.file, second.kind) {
            return Err(OpenError::TwoGalleries);
        }
        Ok(if second.generation > first.generation { second } else { first })
    }

    /// Why neither slot is one.
    fn none(&self) -> OpenError {
        let foreign = self.slots.iter().find_map(|slot| match slot {
            &Slot::Foreign { version, suite } => Some(OpenError::Version { version, suite }),
            _ => None,
        });
        if self.slots == [Slot::Blank, Slot::Blank] {
            return OpenError::Unfinished;
        }
        foreign.unwrap_or_else(|| OpenError::NoSuperblock { slots: [0, 1].map(|at| self.why(at)) })
    }

    /// What is wrong with a slot that should hold what it does not.
    fn why(&self, slot: usize) -> String {
        match &self.slots[slot] {
            Slot::Blank => "was never written".to_owned(),
            Slot::Broken(why) => format!("cannot be used: {why}"),
            Slot::Foreign { version, suite } => {
                format!("is of format version {version}, cipher suite {suite}")
            }
            Slot::Held(held) => format!("holds generation {}", held.head.generation),
        }
    }

    fn at(&self, stand: Stand) -> Option<(usize, &Superblock)> {
        self.held().find(|(_, held)| stand_of(&held.head) == stand)
    }
}

pub(super) fn stand_of(head: &Head) -> Stand {
    Stand { epoch: head.epoch, generation: head.generation }
}

/// Everything that a superblock leads to.
struct Opened {
    slot: usize,
    stand: Stand,
    epoch: Epoch,
    head: RootHead,
    seed: Key,
    root: Arc<Extent>,
    leaves: Vec<Arc<Leaf>>,
    tiles: Vec<Arc<Tile>>,
}

/// What opening needs at hand.
struct Opening<'a> {
    means: &'a Means,
    slots: &'a Slots,
    file: [u8; 16],
    kind: TemplateKind,
    space: Arc<Space>,
    arena: KeyArena,
    reader: Reader,
}

impl<'a> Opening<'a> {
    fn new(media: &Arc<dyn Media>, means: &'a Means, slots: &'a Slots, head: &Head) -> Self {
        let reader = Reader { file: head.file, media: Arc::clone(media), map: None };
        Self {
            means,
            slots,
            file: head.file,
            kind: head.kind,
            space: Space::new(),
            arena: KeyArena::new(),
            reader,
        }
    }

    /// Opens what `superblock` in `slot` leads to.
    fn open(&self, slot: usize, superblock: &Superblock) -> Result<Opened, OpenError> {
        let Head { epoch, .. } = superblock.head;
        let bound = Superblock::wrap_bound(&self.file, epoch);
        let key = self.means.custodian.unwrap(&self.file, epoch, &superblock.wrapped, &bound)?;
        if !format::is_stamped(&self.slots.blocks[slot], key.expose()) {
            return Err(OpenError::Stamp { slot });
        }
        let (mut root, head) = self.root(superblock, &key)?;
        let seed = Key::from_bytes(format::root_seed(&mut root))?;
        let extent = self.claim(Node::Root, superblock.root)?;
        let mut leaves = Vec::new();
        let mut tiles = Vec::with_capacity(usize::try_from(head.tiles).unwrap_or(0));
        let wrong = |why: NodeError| node(Node::Root, superblock.root, why.to_string());
        for leaf in format::decode_leaves(&mut root, &head, self.slots.len) {
            let (key, entry) = leaf.map_err(wrong)?;
            let key = self.arena.admit(key)?;
            let leaf = Leaf {
                extent: self.claim(Node::Leaf(leaves.len()), entry.place)?,
                key,
                epoch: entry.epoch,
                generation: entry.generation,
                tiles: entry.tiles,
            };
            self.leaf(leaves.len(), &leaf, head.layout, &mut tiles)?;
            leaves.push(Arc::new(leaf));
        }
        check_counts(&head, &tiles).map_err(wrong)?;
        let wrapped = superblock.wrapped.clone();
        let epoch = Epoch { number: epoch, key, wrapped, retired: head.retired_epoch };
        let stand = stand_of(&superblock.head);
        Ok(Opened { slot, stand, epoch, head, seed, root: extent, leaves, tiles })
    }

    fn root(
        &self,
        superblock: &Superblock,
        epoch_key: &Key,
    ) -> Result<(Zeroizing<Vec<u8>>, RootHead), OpenError> {
        let Head { epoch, generation, .. } = superblock.head;
        let mut key = Zeroizing::new([0; 32]);
        crypt::root_key(epoch_key.expose(), &superblock.salt, &mut key);
        let bound = format::root_bound(&self.file, generation, epoch);
        let root = self.reader.node(superblock.root, &key, &bound);
        let root = root.map_err(|why| unopened(Node::Root, superblock.root, why))?;
        let head = format::decode_root(&root, &self.kind);
        let head = head.map_err(|why| node(Node::Root, superblock.root, why.to_string()))?;
        Ok((root, head))
    }

    /// Adds the tiles of a leaf.
    fn leaf(
        &self,
        number: usize,
        leaf: &Leaf,
        layout: TileLayout,
        tiles: &mut Vec<Arc<Tile>>,
    ) -> Result<(), OpenError> {
        let place = leaf.extent.place;
        let bound = format::leaf_bound(&self.file, number, leaf.epoch);
        let plain = self.reader.leaf(place, &leaf.key, &bound);
        let mut plain = plain.map_err(|why| unopened(Node::Leaf(number), place, why))?;
        for tile in format::decode_leaf(&mut plain, layout, self.slots.len) {
            let (keys, entry) =
                tile.map_err(|why| node(Node::Leaf(number), place, why.to_string()))?;
            let mut parts = Vec::with_capacity(PARTS.len());
            for (key, part) in keys.into_iter().zip(entry.parts) {
                parts.push(Arc::new(Part {
                    extent: self.claim(Node::Leaf(number), part.place)?,
                    key: self.arena.admit(key)?,
                    epoch: part.epoch,
                    plain: None,
                }));
            }
            tiles.push(Arc::new(Tile {
                parts: <[_; 3]>::try_from(parts).ok().expect("one for each of three"),
                generation: entry.generation,
                rows: entry.rows,
                vacant: entry.vacant,
                common: entry.common,
                content: tiles.len() as u64,
            }));
        }
        Ok(())
    }

    fn claim(&self, node: Node, place: Place) -> Result<Arc<Extent>, OpenError> {
        self.space.claim(place).ok_or(OpenError::Overlap { node, at: place.at })
    }

    /// Opens every extent that the generation itself wrote, so that it can be believed although
    /// nobody knows whether its sync returned.
    fn prove(&self, opened: &Opened) -> Result<(), OpenError> {
        let layout = opened.head.layout;
        let mut plain = Zeroizing::new(Vec::new());
        let fresh = |generation| generation == opened.stand.generation;
        for (number, tile) in opened.tiles.iter().enumerate() {
            if !fresh(tile.generation) {
                continue;
            }
            for part in PARTS {
                plain.clear();
                plain.resize(layout.part_bytes(part, tile.rows), 0);
                self.tile_part(number, part, tile, &mut plain)?;
            }
        }
        Ok(())
    }

    /// Opens a part of a tile. A medium that does not answer is told apart from damage: what cannot
    /// be read now may be whole.
    fn tile_part(
        &self,
        number: usize,
        part: TilePart,
        tile: &Tile,
        plain: &mut [u8],
    ) -> Result<(), OpenError> {
        let opened = self.reader.part(number, part, tile.part(part), plain);
        opened.map_err(|why| match why {
            Unopened::Io(why) => medium("read")(why),
            Unopened::Tag => TileError::Damaged { tile: number, part }.into(),
        })
    }

    /// Makes the generation durable that was just proved.
    ///
    /// Everything that it wrote is written again, as it reads now. A sync alone would not do: if
    /// the one that nobody heard of has failed, the system has given up what it could not write and
    /// shows it all the same; the next sync then succeeds and makes nothing durable, and the key of
    /// the generation before is about to be destroyed.
    fn settle(&self, media: &dyn Media, opened: &Opened) -> io::Result<()> {
        let generation = opened.stand.generation;
        let tiles = opened.tiles.iter().filter(|tile| tile.generation == generation);
        let parts = tiles.flat_map(|tile| tile.parts.iter().map(|part| part.extent.place));
        let leaves = opened.leaves.iter().filter(|leaf| leaf.generation == generation);
        let nodes = leaves.map(|leaf| leaf.extent.place).chain([opened.root.place]);
        let mut sealed = Vec::new();
        for place in parts.chain(nodes) {
            sealed.clear();
            sealed.resize(place.bytes as usize, 0);
            media.read(place.at, &mut sealed)?;
            media.write(place.at, &sealed)?;
        }
        let slot = opened.slot;
        media.write(slot as u64 * SUPERBLOCK_BYTES as u64, &self.slots.blocks[slot][..])?;
        media.sync()
    }

    /// What the superblock in the other slot reaches and the opened one does not, when it is of the
    /// same epoch and whole: those bytes are not written over before that slot is.
    fn older(&self, opened: &Opened) -> Vec<Arc<Extent>> {
        let mut held = Vec::new();
        let Slot::Held(superblock) = &self.slots.slots[other(opened.slot)] else { return held };
        if superblock.head.epoch != opened.stand.epoch
            || superblock.head.generation >= opened.stand.generation
            || !format::is_stamped(
                &self.slots.blocks[other(opened.slot)],
                opened.epoch.key.expose(),
            )
        {
            return held;
        }
        let Ok((mut root, head)) = self.root(superblock, &opened.epoch.key) else { return held };
        held.extend(self.space.claim(superblock.root));
        for (number, (key, leaf)) in
            format::decode_leaves(&mut root, &head, self.slots.len).flatten().enumerate()
        {
            // A leaf that both reach is claimed already, and so is everything below it.
            if let Some(extent) = self.space.claim(leaf.place) {
                held.push(extent);
                self.older_parts(number, key, &leaf, head.layout, &mut held);
            }
        }
        held
    }

    fn older_parts(
        &self,
        number: usize,
        key: &[u8; 32],
        leaf: &LeafEntry,
        layout: TileLayout,
        held: &mut Vec<Arc<Extent>>,
    ) {
        let bound = format::leaf_bound(&self.file, number, leaf.epoch);
        let Ok(mut plain) = self.reader.node(leaf.place, key, &bound) else { return };
        for (_, tile) in format::decode_leaf(&mut plain, layout, self.slots.len).flatten() {
            held.extend(tile.parts.iter().filter_map(|part| self.space.claim(part.place)));
        }
    }

    /// Opens every tile into locked memory.
    fn lock(
        &self,
        opened: &mut Opened,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), OpenError> {
        let (layout, tiles) = (opened.head.layout, opened.tiles.len() as u64);
        for (number, held) in opened.tiles.iter_mut().enumerate() {
            let tile = Arc::get_mut(held).expect("nobody shares a tile before it is published");
            for (at, part) in PARTS.into_iter().enumerate() {
                let mut plain = LockedBytes::zeroed(layout.part_bytes(part, tile.rows))?;
                self.tile_part(number, part, tile, &mut plain)?;
                let held = Arc::get_mut(&mut tile.parts[at]);
                held.expect("nobody shares a part before it is published").plain = Some(plain);
            }
            progress(number as u64 + 1, tiles);
        }
        Ok(())
    }
}

fn node(node: Node, place: Place, why: String) -> OpenError {
    OpenError::Node { node, at: place.at, why }
}

fn unopened(of: Node, place: Place, why: Unopened) -> OpenError {
    match why {
        Unopened::Io(why) => medium("read")(why),
        Unopened::Tag => {
            node(of, place, "its tag does not fit, so it is damaged or was swapped".to_owned())
        }
    }
}

fn check_counts(head: &RootHead, tiles: &[Arc<Tile>]) -> Result<(), NodeError> {
    let rows: u64 = tiles.iter().map(|tile| tile.rows as u64).sum();
    let vacant: u64 = tiles.iter().map(|tile| tile.vacant as u64).sum();
    let full = tiles
        .split_last()
        .is_none_or(|(_, full)| full.iter().all(|tile| tile.rows == head.layout.rows));
    let fits = full && (rows, vacant, tiles.len() as u64) == (head.rows, head.vacant, head.tiles);
    if fits { Ok(()) } else { Err(NodeError::Count) }
}

/// Whether an error while opening a stand that was announced and not committed says that its
/// writing was interrupted; what it does not say is a reason to stop. A medium that does not answer
/// says nothing: to give the stand up would be to destroy the key of what may well be whole.
fn is_interrupted(error: &OpenError) -> bool {
    match error {
        OpenError::Stamp { .. }
        | OpenError::Node { .. }
        | OpenError::Overlap { .. }
        | OpenError::Tile(TileError::Damaged { .. }) => true,
        OpenError::Custody(error) => matches!(
            error,
            CustodyError::MissingKey { .. }
                | CustodyError::WrongKey { .. }
                | CustodyError::NotWrapped { .. }
        ),
        _ => false,
    }
}

/// Opens the gallery on `media`, and finishes what was interrupted.
pub(super) fn open(
    media: &Arc<dyn Media>,
    means: Means,
    settings: Settings,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Arc<Shelf>, GalleryError> {
    let slots = Slots::read(&**media)?;
    let head = slots.head()?;
    if let Some(kind) = &settings.kind {
        kind.accept(&head.kind).map_err(OpenError::Kind)?;
    }
    // Before anything is read that another opening may be changing.
    let claim = means.custodian.claim(&head.file).map_err(OpenError::from)?;
    let (opening, mut opened) = choose(media, &means, &slots, &head)?;
    let older = opening.older(&opened);
    if settings.residency == super::Residency::Locked {
        opening.lock(&mut opened, progress)?;
    }
    let Opening { file, kind, space, arena, .. } = opening;
    let len = trim(&**media, &space, slots.len)?;
    let disk = Disk::on(file, Arc::clone(media), Arc::clone(&space), len);
    let disk = disk.map_err(medium("mapped"))?;
    let Opened { slot, stand, epoch, head, seed, root, leaves, tiles } = opened;
    let layout = head.layout;
    let first = Contents {
        generation: stand.generation,
        counts: Counts { rows: head.rows, vacant: head.vacant, subjects: head.subjects },
        transform: Arc::new(SignedPermutation::derive(seed.expose(), layout)),
        reader: disk.reader(),
        tiles,
    };
    let mut tried = stand;
    for (slot, held) in slots.held() {
        // What carries no stamp of this epoch is nobody's word: anybody may have written it.
        if format::is_stamped(&slots.blocks[slot], epoch.key.expose()) {
            tried.generation = tried.generation.max(held.head.generation);
        }
    }
    let standing = means.custodian.newest(&file)?;
    if let Some(prepared) = standing.prepared {
        tried.epoch = tried.epoch.max(prepared.epoch);
        tried.generation = tried.generation.max(prepared.generation);
    }
    let writer = Writer {
        disk,
        epoch,
        tried,
        undestroyed: None,
        owed: None,
        settled: Vec::new(),
        slot,
        leaves,
        root,
        older,
        seed,
        next_content: first.tiles.len() as u64,
        recent: Recent::default(),
        written: Written::default(),
    };
    let parts = Parts { file, kind, layout, settings, means, space, arena, claim, writer, first };
    Ok(Shelf::new(parts))
}

/// Cuts off what lies behind the last extent, when it is worth it: nothing is mapped yet. Returns
/// the length.
fn trim(media: &dyn Media, space: &Space, len: u64) -> Result<u64, OpenError> {
    let end = space.end().next_multiple_of(SUPERBLOCK_BYTES as u64);
    if len < end.saturating_add(TRIM_BYTES).saturating_add(end / 4) {
        return Ok(len);
    }
    media.set_len(end).map_err(medium("shortened"))?;
    Ok(end)
}

/// The generation that is to be believed, opened; what was interrupted is finished.
fn choose<'a>(
    media: &Arc<dyn Media>,
    means: &'a Means,
    slots: &'a Slots,
    head: &Head,
) -> Result<(Opening<'a>, Opened), OpenError> {
    let custodian = &means.custodian;
    let standing = custodian.newest(&head.file)?;
    if standing.committed.is_none() && standing.prepared.is_none() {
        return Err(unknown(means, slots, head));
    }
    if let Some(prepared) = standing.prepared
        && let Some((slot, superblock)) = slots.at(prepared)
    {
        let opening = Opening::new(media, means, slots, head);
        let opened = opening
            .open(slot, superblock)
            .and_then(|opened| opening.prove(&opened).map(|()| opened));
        match opened {
            Ok(opened) => {
                opening.settle(&**media, &opened).map_err(medium("made durable"))?;
                custodian.commit(&head.file, prepared)?;
                finish(&opening, &opened, None)?;
                return Ok((opening, opened));
            }
            Err(error) if is_interrupted(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let Some(newest) = standing.committed else { return Err(OpenError::Unfinished) };
    let Some((slot, superblock)) = slots.at(newest) else { return Err(absent(slots, newest)) };
    let opening = Opening::new(media, means, slots, head);
    let opened = opening.open(slot, superblock)?;
    finish(&opening, &opened, standing.prepared)?;
    Ok((opening, opened))
}

/// Why the custodian does not know the gallery; a wrapped key says which kind of custodian made it.
fn unknown(means: &Means, slots: &Slots, head: &Head) -> OpenError {
    let Head { file, epoch, .. } = head;
    let held = slots.held().find(|(_, held)| stand_of(&held.head) == stand_of(head));
    let wrapped = held.map(|(_, held)| {
        means.custodian.unwrap(file, *epoch, &held.wrapped, &Superblock::wrap_bound(file, *epoch))
    });
    match wrapped {
        Some(Err(error @ CustodyError::WrongCustodian { .. })) => error.into(),
        _ => {
            let described = means.custodian.describe();
            OpenError::UnknownGallery { custodian: described.name, place: described.place }
        }
    }
}

/// Destroys what must not exist beside the opened epoch: the one before it, and one that was
/// announced and came to nothing.
fn finish(
    opening: &Opening<'_>,
    opened: &Opened,
    given_up: Option<Stand>,
) -> Result<(), OpenError> {
    let number = opened.epoch.number;
    let other = &opening.slots.slots[other(opened.slot)];
    let other = if let Slot::Held(held) = other { held.head.epoch } else { 0 };
    let given_up = given_up.map_or(0, |stand| stand.epoch);
    let mut epochs = [opened.epoch.retired, other, given_up];
    epochs.sort_unstable();
    for (at, &epoch) in epochs.iter().enumerate() {
        if epoch != 0 && epoch != number && !epochs[..at].contains(&epoch) {
            opening.means.custodian.destroy(&opening.file, epoch)?;
        }
    }
    Ok(())
}

/// Why no slot holds the stand that the custodian has committed.
fn absent(slots: &Slots, newest: Stand) -> OpenError {
    let held = slots.held().map(|(_, held)| stand_of(&held.head));
    let held = held.max_by_key(|stand| (stand.generation, stand.epoch));
    let held = held.expect("the head was read from one of them");
    if let Some(slot) = slots.slots.iter().position(|slot| !matches!(slot, Slot::Held(_)))
        && held.generation < newest.generation
        && !matches!(slots.slots[slot], Slot::Blank)
    {
        return OpenError::Superblock { newest, slot, why: slots.why(slot) };
    }
    if held.generation < newest.generation {
        OpenError::RolledBack { held, newest }
    } else {
        OpenError::CustodianBehind { held, newest }
    }
}
