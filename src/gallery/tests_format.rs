//! What stands in the file: to what each ciphertext is bound, and what tags, padding and the key
//! tree cost.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{
    crypt,
    format::{EXTENTS_AT, PARTS, Place},
    open::Slots,
    tests::{LAYOUT, kind, means, subject, template},
    *,
};
use crate::{
    ops::tile::{TileLayout, TilePart},
    types::{SubjectId, Template, TemplateKind},
};

/// A ciphertext in the file, and what the format says that it is bound to: written down once more,
/// from the description of the format alone.
struct Bound {
    what: &'static [u8; 8],
    file: [u8; 16],
    numbers: [u64; 2],
}

impl Bound {
    fn text(&self) -> Vec<u8> {
        let numbers = self.numbers.map(u64::to_le_bytes).concat();
        [&self.what[..], &self.file, &numbers].concat()
    }

    /// Whether `opens` takes this, and nothing that differs from it in one thing.
    fn alone_opens(&self, opens: impl Fn(&[u8]) -> bool) {
        let Self { what, file, numbers: [first, second] } = *self;
        let name = String::from_utf8_lossy(what);
        assert!(opens(&self.text()), "{name} {first} of {second}");
        let differs = |what, file, numbers| !opens(&Self { what, file, numbers }.text());
        for other in [b"tilepart", b"treeleaf", b"treeroot"] {
            assert!(other == what || differs(other, file, [first, second]), "{name}: what it is");
        }
        let foreign = file.map(|byte| byte ^ 1);
        assert!(differs(what, foreign, [first, second]), "{name}: of which file");
        // The lowest two bits of a part's first number say which part, the others which tile.
        for bit in [1, 2, 4, 64 << 2] {
            assert!(differs(what, file, [first ^ bit, second]), "{name}: which, {bit}");
            assert!(differs(what, file, [first, second ^ bit]), "{name}: of which writing, {bit}");
        }
    }
}

/// No key ever meets two messages, so that nothing but this notices if the bound bytes said less
/// than they should: the keys and the places of ciphertexts, changed about together, would do.
#[test]
fn every_ciphertext_is_bound_to_what_it_is_and_where_it_belongs() {
    let media = MemoryMedia::new();
    let on = Arc::new(media.clone());
    let gallery = Gallery::create(on, means(), kind(), LAYOUT, Settings::default());
    let gallery = gallery.expect("created");
    // More tiles than one leaf has, and two epochs.
    let newcomer = |number: u8| {
        (subject(number), vec![template((number % 100).cast_signed())], Enrolment::default())
    };
    let newcomers: Vec<Newcomer> = (0..200).map(newcomer).collect();
    gallery.enrol_all(&newcomers).expect("room");
    drop(gallery.erase(subject(1)).expect("enrolled"));

    let (file, bytes) = (gallery.file(), media.bytes());
    let opens = |place: Place, key: &[u8; 32], bound: &[u8]| {
        let mut sealed = bytes[place.at as usize..][..place.bytes as usize].to_vec();
        let tag = sealed.split_off(sealed.len() - crypt::TAG_BYTES);
        crypt::open(key, bound, &mut sealed, tag.first_chunk().expect("a tag"))
    };
    let newest = gallery.shelf.newest();
    for (tile, held) in newest.tiles.iter().enumerate() {
        for (number, part) in PARTS.into_iter().enumerate() {
            let held = held.part(part);
            let epoch = if tile == 0 { 2 } else { 1 };
            let numbers = [tile as u64 * 4 + number as u64, epoch];
            Bound { what: b"tilepart", file, numbers }
                .alone_opens(|bound| opens(held.extent.place, &held.key.expose(), bound));
        }
    }
    let writer = gallery.shelf.writer();
    assert_eq!((writer.leaves.len(), newest.tiles.len()), (2, 67));
    for (number, leaf) in writer.leaves.iter().enumerate() {
        let epoch = if number == 0 { 2 } else { 1 };
        Bound { what: b"treeleaf", file, numbers: [number as u64, epoch] }
            .alone_opens(|bound| opens(leaf.extent.place, &leaf.key.expose(), bound));
    }
    let slots = Slots::read(&media).expect("read");
    let (_, superblock) = slots.held().find(|(slot, _)| *slot == writer.slot).expect("the newest");
    let mut key = Zeroizing::new([0; 32]);
    crypt::root_key(writer.epoch.key.expose(), &superblock.salt, &mut key);
    Bound { what: b"treeroot", file, numbers: [2, 2] }
        .alone_opens(|bound| opens(superblock.root, &key, bound));
}

/// Of a small gallery, where the root weighs most: nothing but the two superblocks is left out. The
/// benchmark holds one of a million references to the same.
#[test]
fn tags_padding_and_key_tree_cost_half_a_percent_at_most() {
    for dims in [128_u16, 512] {
        let layout = TileLayout { dims: dims.into(), hot_dims: 128, rows: 1024 };
        let kind = TemplateKind { dims, ..kind() };
        let gallery = Gallery::in_memory(kind, layout);
        let newcomers: Vec<Newcomer> = (0..4096_u64)
            .map(|number| {
                let values = vec![(number % 100) as i8; dims.into()].into_boxed_slice();
                let template = Template::new(values, kind).expect("a template");
                let id = SubjectId::from_bytes((u128::from(number) + 1).to_le_bytes());
                (id, vec![template], Enrolment::default())
            })
            .collect();
        gallery.enrol_all(&newcomers).expect("room");
        let parts = [TilePart::Hot, TilePart::Cold, TilePart::Rows];
        let content: usize = parts.map(|part| layout.part_bytes(part, 1024)).iter().sum();
        let used = gallery.stats().bytes - gallery.stats().bytes_free - EXTENTS_AT;
        let overhead = used - 4 * content as u64;
        let templates = 4096 * u64::from(dims);
        assert!(overhead * 200 <= templates, "{overhead} bytes beside {templates}");
    }
}
