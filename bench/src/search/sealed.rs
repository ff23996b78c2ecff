//! The gallery under measurement, in both residencies, and what the sealed one must not cost: the
//! time that AES-256-GCM takes for the bytes that a scan opens, at the sizes in which it opens
//! them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use portcullis::{
    gallery::{
        Enrolment, Gallery, GalleryError, Means, MemoryMedia, OpenError, Residency, Settings,
    },
    keys::custodian::MemoryCustodian,
    ops::{
        tile::{TileError, TilePart, TileSet, TileSource},
        transform::SignedPermutation,
    },
    random::{Entropy, SystemEntropy},
    time::SystemClock,
    types::{SubjectId, Template},
};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::crowd::Crowd;
use crate::{fail::Failure, spent::nanoseconds};

/// Rows that are enrolled at once: each commit writes a path of the key tree.
const COMMIT_ROWS: usize = 16_384;

/// A gallery with the first `rows` rows of the crowd, opened twice.
pub(super) struct Galleries {
    pub(super) sealed: Gallery,
    /// The same ciphertext, all of it opened into locked memory.
    pub(super) locked: Gallery,
}

impl Galleries {
    /// Fills it. A smoke run goes on where the lock limit is too low, and searches it sealed.
    pub(super) fn new(crowd: &Crowd, rows: usize, smoke: bool) -> Result<Self, Failure> {
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let means = Means {
            custodian: Arc::new(MemoryCustodian::new(Arc::clone(&entropy))),
            entropy,
            clock: Arc::new(SystemClock::start()),
        };
        let (media, settings) = (MemoryMedia::new(), Settings::default());
        let (kind, layout) = (crowd.calibration.kind(), crowd.calibration.layout());
        let own = Arc::new(media.clone());
        let sealed = Gallery::create(own, means.clone(), kind, layout, settings);
        let sealed = sealed.map_err(refused)?;
        fill(&sealed, crowd, rows)?;
        let again = |residency| {
            let media = Arc::new(media.clone());
            Gallery::open(media, means.clone(), Settings { residency, ..settings })
        };
        let locked = match again(Residency::Locked) {
            Err(GalleryError::Open(OpenError::Memory(why))) if smoke => {
                println!("- {why}; this smoke run searches the gallery sealed");
                again(Residency::Sealed)
            }
            opened => opened,
        };
        Ok(Self { sealed, locked: locked.map_err(refused)? })
    }
}

fn refused(error: GalleryError) -> Failure {
    Failure::Crowd(error.to_string())
}

/// Enrols the first `rows` rows of the crowd, in order.
fn fill(gallery: &Gallery, crowd: &Crowd, rows: usize) -> Result<(), Failure> {
    let kind = crowd.calibration.kind();
    let mut row = 0_u64;
    let mut newcomers = Vec::new();
    crowd.rows(rows, &mut |block| {
        for values in block.chunks_exact(crowd.dims()) {
            let template = Template::new(values.into(), kind);
            let template = template.map_err(|error| Failure::Crowd(error.to_string()))?;
            let mut subject = [0; 16];
            subject[..8].copy_from_slice(&row.to_le_bytes());
            let subject = SubjectId::from_bytes(subject);
            newcomers.push((subject, vec![template], Enrolment::default()));
            row += 1;
        }
        if newcomers.len() >= COMMIT_ROWS || row == rows as u64 {
            gallery.enrol_all(&newcomers).map_err(refused)?;
            newcomers.clear();
        }
        Ok(())
    })
}

/// Bytes that were opened, and the pieces that they were opened in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) bytes: u64,
    pub(super) pieces: u64,
}

/// A source that counts what is opened through it.
pub(super) struct Counted {
    source: Arc<dyn TileSource>,
    bytes: AtomicU64,
    pieces: AtomicU64,
}

impl Counted {
    pub(super) fn new(source: Arc<dyn TileSource>) -> Self {
        Self { source, bytes: AtomicU64::new(0), pieces: AtomicU64::new(0) }
    }

    pub(super) fn opened(&self) -> Opened {
        Opened {
            bytes: self.bytes.load(Ordering::Relaxed),
            pieces: self.pieces.load(Ordering::Relaxed),
        }
    }
}

impl TileSource for Counted {
    fn set(&self) -> &TileSet {
        self.source.set()
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        self.bytes.fetch_add(scratch.len() as u64, Ordering::Relaxed);
        self.pieces.fetch_add(1, Ordering::Relaxed);
        self.source.open(tile, part, scratch)
    }

    fn transform(&self) -> Option<&SignedPermutation> {
        self.source.transform()
    }
}

/// Nanoseconds that `threads` threads take to decipher what was opened, in pieces of the mean size
/// out of the cache: the cipher alone, without maps, keys, checks of ours, or wiping.
///
/// Sealing is timed, not opening: the work is the same (the counter's blocks and the tag over the
/// ciphertext), and a piece can be sealed again and again where it lies.
pub(super) fn cipher(opened: Opened, threads: usize) -> Result<u64, Failure> {
    let piece = (opened.bytes / opened.pieces.max(1)) as usize;
    let share = opened.pieces.div_ceil(threads as u64);
    let mut outcome = Ok(());
    let spent = nanoseconds(|| {
        outcome = std::thread::scope(|scope| {
            let each = || {
                let key = UnboundKey::new(&AES_256_GCM, &[7; 32])?;
                let key = LessSafeKey::new(key);
                let mut bytes = vec![0; piece];
                for number in 0..share {
                    let mut nonce = [0; 12];
                    nonce[..8].copy_from_slice(&number.to_le_bytes());
                    let nonce = Nonce::assume_unique_for_key(nonce);
                    let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut bytes)?;
                    let _ = std::hint::black_box(tag);
                }
                Ok::<(), ring::error::Unspecified>(())
            };
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(each)).collect();
            let lost = |_| Err(ring::error::Unspecified);
            running.into_iter().try_for_each(|one| one.join().unwrap_or_else(lost))
        });
    });
    outcome.map_err(|_| Failure::Crowd("the cipher refused".to_owned()))?;
    Ok(spent)
}
