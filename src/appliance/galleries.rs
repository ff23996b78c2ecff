//! Galleries by name.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    command::Refusal, gallery::Gallery, limits::GALLERIES_MAX, meter::Meter, types::GalleryId,
};

/// Every gallery of the appliance.
#[derive(Default)]
pub(super) struct Galleries(RwLock<BTreeMap<GalleryId, Arc<Gallery>>>);

impl Galleries {
    pub(super) fn find(&self, name: &GalleryId) -> Result<Arc<Gallery>, Refusal> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = held.get(name).map(Arc::clone);
        found.ok_or_else(|| Refusal::UnknownGallery { gallery: name.clone() })
    }

    pub(super) fn add(&self, name: GalleryId, gallery: Gallery) -> Result<Arc<Gallery>, Refusal> {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let full = held.len() >= GALLERIES_MAX;
        match held.entry(name) {
            Entry::Occupied(taken) => Err(Refusal::GalleryExists { gallery: taken.key().clone() }),
            Entry::Vacant(_) if full => Err(Refusal::GalleriesFull { most: GALLERIES_MAX }),
            Entry::Vacant(free) => Ok(Arc::clone(free.insert(Arc::new(gallery)))),
        }
    }

    pub(super) fn remove(&self, name: &GalleryId) -> Result<Arc<Gallery>, Refusal> {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        held.remove(name).ok_or_else(|| Refusal::UnknownGallery { gallery: name.clone() })
    }

    /// Removes every reference whose validity has ended.
    pub(super) fn erase_expired(&self, now_s: i64) {
        for gallery in self.all() {
            if let Some(erasure) = gallery.erase_expired(now_s) {
                tracing::info!(rows = erasure.rows(), "erased what has expired");
            }
        }
    }

    /// Tells the meter how many rows there are.
    pub(super) fn count(&self, meter: &Meter) {
        let (mut searchable, mut vacant) = (0, 0);
        for gallery in self.all() {
            let stats = gallery.stats();
            searchable += stats.rows - stats.vacant;
            vacant += stats.vacant;
        }
        meter.gallery_rows("searchable", searchable);
        meter.gallery_rows("vacant", vacant);
    }

    /// A copy of the list, so that the lock is not held while a gallery works.
    fn all(&self) -> Vec<Arc<Gallery>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.values().map(Arc::clone).collect()
    }
}
