//! The writer's hand on the medium: extents are written once, into bytes that nobody can reach, and
//! never changed.

use std::{io, sync::Arc};

use super::{
    GalleryError,
    format::{EXTENTS_AT, SUPERBLOCK_BYTES},
    media::{Mapped, Media},
    space::{Extent, Space},
    tree::Reader,
};

/// The file grows by an eighth, so that it is rarely mapped anew, in whole pages.
const GROWTH: u64 = 8;
const PAGE_BYTES: u64 = 4096;

pub(super) struct Disk {
    pub(super) file: [u8; 16],
    pub(super) media: Arc<dyn Media>,
    pub(super) space: Arc<Space>,
    len: u64,
    map: Option<Arc<dyn Mapped>>,
}

fn refused(act: &'static str) -> impl Fn(io::Error) -> GalleryError {
    move |why| GalleryError::Medium { act, why }
}

impl Disk {
    /// On a medium of `len` bytes that holds the superblocks at least.
    pub(super) fn on(
        file: [u8; 16],
        media: Arc<dyn Media>,
        space: Arc<Space>,
        len: u64,
    ) -> io::Result<Self> {
        debug_assert!(len >= EXTENTS_AT, "{len}");
        let map = media.map()?;
        Ok(Self { file, media, space, len, map })
    }

    /// How extents are read, as the medium is now.
    pub(super) fn reader(&self) -> Reader {
        Reader { file: self.file, media: Arc::clone(&self.media), map: self.map.clone() }
    }

    /// Writes `sealed` into an extent of its own.
    pub(super) fn write(&mut self, sealed: &[u8]) -> Result<Arc<Extent>, GalleryError> {
        let extent = self.space.take(sealed.len() as u64);
        let end = extent.place.at + extent.place.bytes;
        if end > self.len {
            self.grow(end)?;
        }
        self.media.write(extent.place.at, sealed).map_err(refused("write an extent"))?;
        Ok(extent)
    }

    fn grow(&mut self, end: u64) -> Result<(), GalleryError> {
        let ample = end.max(self.len + self.len / GROWTH).next_multiple_of(PAGE_BYTES);
        let exact = end.next_multiple_of(PAGE_BYTES);
        let grown = self.media.set_len(ample).map(|()| ample);
        let grown = grown.or_else(|_| self.media.set_len(exact).map(|()| exact));
        self.len = grown.map_err(refused("grow"))?;
        // Without a map everything is read through the medium: slower, and as right.
        self.map = self.media.map().unwrap_or(None);
        Ok(())
    }

    /// Writes a superblock. From here on it is not known what the medium holds, until it is synced.
    pub(super) fn write_slot(&self, slot: usize, block: &[u8; SUPERBLOCK_BYTES]) -> io::Result<()> {
        self.media.write(slot as u64 * SUPERBLOCK_BYTES as u64, block)
    }
}
