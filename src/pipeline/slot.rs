//! Frame slots: memory for decoded pictures, set aside at start and zeroed whenever it is freed.
//!
//! A slot is free or it is captured. The numbers of the free slots lie in a lock-free queue;
//! whoever pops a number owns that slot's memory, takes it out of its parking place and holds it in
//! a [`Captured`]. Dropping the guard zeroes exactly the bytes that the picture used, parks the
//! memory and returns the number. "Do not keep rejected faces" is therefore what freeing a slot
//! means.
//!
//! The parking places are mutexes only because safe Rust wants a proof that two threads never touch
//! one; the number is the ownership, so none of them is ever contended.
//!
//! Invariant: the memory of a free slot is zero. Absent on purpose: a second handle to a slot, a
//! way to print a pixel, growth.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, PoisonError},
};

use crossbeam_queue::ArrayQueue;
use zeroize::optimization_barrier;

use crate::{meter::Offered, types::FrameView};

/// Bytes swept at a time after a failed fill: one page of memory on every machine that we know.
const SWEEP_BYTES: usize = 4096;

/// Why no frame was captured. `E` is what the fill said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError<E> {
    /// Every slot is taken.
    #[error("all {slots} frame slots are taken; try again when a transaction has been answered")]
    Busy {
        /// Slots of the pool.
        slots: usize,
    },
    /// The picture could not be written into the slot.
    #[error(transparent)]
    Fill(E),
    /// What the fill reports is not a picture that fits a slot.
    #[error("a frame of {width_px} x {height_px} pixels does not fit a slot of {slot_bytes} bytes")]
    Extent {
        /// Width that was reported.
        width_px: u32,
        /// Height that was reported.
        height_px: u32,
        /// Bytes of a slot.
        slot_bytes: usize,
    },
}

/// All slots of the appliance.
pub struct SlotPool {
    parked: Box<[Mutex<Vec<u8>>]>,
    free: ArrayQueue<u32>,
    slot_bytes: usize,
}

impl SlotPool {
    /// Sets `slots` slots of `slot_bytes` aside. The system maps the memory when it is first
    /// written, so a pool for the largest picture costs nothing until one arrives.
    ///
    /// # Panics
    /// When `slots` is zero or does not fit `u32`: a mistake in `limits.rs`.
    #[must_use]
    pub fn new(slots: usize, slot_bytes: usize) -> Arc<Self> {
        let count = u32::try_from(slots).expect("slots are counted in u32");
        let free = ArrayQueue::new(slots);
        for ticket in 0..count {
            free.push(ticket).expect("the queue has one place per slot");
        }
        let parked = (0..slots).map(|_| Mutex::new(vec![0; slot_bytes])).collect();
        Arc::new(Self { parked, free, slot_bytes })
    }

    /// Lets `fill` write a picture into a free slot. It gets the whole slot, returns width and
    /// height, and writes nothing beyond their `width × height × 3` bytes.
    ///
    /// # Errors
    /// [`CaptureError`]; whatever `fill` wrote is then gone, also when it panicked.
    pub fn capture<E>(
        self: &Arc<Self>,
        fill: impl FnOnce(&mut [u8]) -> Result<(u32, u32), E>,
    ) -> Result<Captured, CaptureError<E>> {
        let ticket = self.free.pop().ok_or(CaptureError::Busy { slots: self.parked.len() })?;
        let mut captured = Captured {
            pool: Arc::clone(self),
            pixels: mem::take(&mut *self.place(ticket)),
            ticket,
            width_px: 0,
            height_px: 0,
            used_bytes: None,
            capture_us: 0,
            offered: None,
        };
        let (width_px, height_px) = fill(&mut captured.pixels).map_err(CaptureError::Fill)?;
        let used_bytes = extent_bytes(width_px, height_px).filter(|&used| used <= self.slot_bytes);
        let Some(used_bytes) = used_bytes else {
            return Err(CaptureError::Extent { width_px, height_px, slot_bytes: self.slot_bytes });
        };
        captured.width_px = width_px;
        captured.height_px = height_px;
        captured.used_bytes = Some(used_bytes);
        Ok(captured)
    }

    /// Slots in all.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.parked.len()
    }

    /// Slots that are free now.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Bytes of free slots that are not zero: zero, or the promise of this module is broken. Reads
    /// every parked byte; for proofs, not for the frame path.
    #[must_use]
    pub fn residue_bytes(&self) -> usize {
        let of = |place: &Mutex<Vec<u8>>| {
            let pixels = place.lock().unwrap_or_else(PoisonError::into_inner);
            let dirty = pixels.chunks(SWEEP_BYTES).filter(|page| is_dirty(page));
            dirty.flatten().filter(|&&byte| byte != 0).count()
        };
        self.parked.iter().map(of).sum()
    }

    fn place(&self, ticket: u32) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.parked[ticket as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SlotPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotPool({} of {} free)", self.free(), self.slots())
    }
}

/// A frame in its slot. The only handle to it; dropping it zeroes the pixels and frees the slot.
///
/// It cannot be cloned, and its pixels cannot be printed:
/// ```compile_fail
/// fn keep(frame: &portcullis::pipeline::slot::Captured) -> portcullis::pipeline::slot::Captured {
///     frame.clone()
/// }
/// ```
pub struct Captured {
    pool: Arc<SlotPool>,
    pixels: Vec<u8>,
    ticket: u32,
    width_px: u32,
    height_px: u32,
    /// Bytes of the picture; `None` until the fill has said so, then anything may be dirty.
    used_bytes: Option<usize>,
    capture_us: u64,
    /// Its place in the account of frames; `None` for one that nobody counts.
    offered: Option<Offered>,
}

impl Captured {
    /// The same frame, with the time that decoding took; the reply tells it.
    #[must_use]
    pub fn timed(mut self, capture_us: u64) -> Self {
        self.capture_us = capture_us;
        self
    }

    /// The same frame, counted: whoever learns its fate settles `offered`.
    #[must_use]
    pub fn counted(mut self, offered: Offered) -> Self {
        self.offered = Some(offered);
        self
    }

    /// What is to be settled when the frame's fate is known, which may be after its slot is free.
    pub(super) fn take_offered(&mut self) -> Option<Offered> {
        self.offered.take()
    }

    /// The picture.
    #[must_use]
    pub fn view(&self) -> FrameView<'_> {
        let used = self.used_bytes.unwrap_or_default();
        FrameView::new(&self.pixels[..used], self.width_px, self.height_px)
            .expect("the extent was checked when the frame was captured")
    }

    /// Number of the slot; meaningless outside this process.
    #[must_use]
    pub fn ticket(&self) -> u32 {
        self.ticket
    }

    /// Microseconds that decoding took.
    #[must_use]
    pub fn capture_us(&self) -> u64 {
        self.capture_us
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Captured(slot {}, {} x {} px)", self.ticket, self.width_px, self.height_px)
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        match self.used_bytes {
            Some(used) => wipe(&mut self.pixels[..used]),
            None => sweep(&mut self.pixels),
        }
        *self.pool.place(self.ticket) = mem::take(&mut self.pixels);
        self.pool.free.push(self.ticket).expect("a ticket is returned once, to its own place");
    }
}

/// Bytes of a picture; `None` when it has no area or cannot be counted.
fn extent_bytes(width_px: u32, height_px: u32) -> Option<usize> {
    let pixels = (width_px as usize).checked_mul(height_px as usize)?;
    pixels.checked_mul(3).filter(|&bytes| bytes > 0)
}

/// Zeroes `pixels` at memory speed. The memory lives on and is read again, so the stores cannot be
/// dropped as dead; the barrier says so to the optimiser as well.
fn wipe(pixels: &mut [u8]) {
    pixels.fill(0);
    optimization_barrier(pixels);
}

/// Zeroes what a failed fill may have written anywhere. Pages that were never written are only
/// read, so a broken picture does not make the system map the whole slot.
fn sweep(pixels: &mut [u8]) {
    for page in pixels.chunks_mut(SWEEP_BYTES) {
        if is_dirty(page) {
            wipe(page);
        }
    }
}

/// Without an early exit, so that the compiler reads many bytes at once.
fn is_dirty(page: &[u8]) -> bool {
    page.iter().fold(0, |seen, &byte| seen | byte) != 0
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        panic::{AssertUnwindSafe, catch_unwind},
    };

    use proptest::prelude::*;

    use super::*;

    fn paint(slot: &mut [u8], width_px: u32, height_px: u32) -> Result<(u32, u32), Infallible> {
        slot[..(width_px * height_px * 3) as usize].fill(231);
        Ok((width_px, height_px))
    }

    fn raw(pool: &SlotPool, ticket: u32) -> Vec<u8> {
        pool.place(ticket).clone()
    }

    #[test]
    fn the_memory_of_a_freed_slot_is_zero() {
        let pool = SlotPool::new(2, 64);
        let frame = pool.capture(|slot| paint(slot, 4, 5)).expect("a slot");
        assert_eq!(frame.view().pixels(), [231; 60]);
        assert_eq!(format!("{frame:?}"), "Captured(slot 0, 4 x 5 px)");
        let ticket = frame.ticket();
        drop(frame);
        assert_eq!(raw(&pool, ticket), [0; 64]);
        assert_eq!((pool.free(), pool.residue_bytes()), (2, 0));
    }

    #[test]
    fn no_free_slot_is_busy_and_a_freed_one_serves_again() {
        let pool = SlotPool::new(1, 12);
        let first = pool.capture(|slot| paint(slot, 2, 2)).expect("a slot");
        let refused = pool.capture(|slot| paint(slot, 1, 1)).unwrap_err();
        assert_eq!(refused, CaptureError::Busy { slots: 1 });
        drop(first);
        assert!(pool.capture(|slot| paint(slot, 1, 1)).is_ok());
    }

    #[test]
    fn a_failed_or_panicking_fill_leaves_nothing() {
        let pool = SlotPool::new(1, 9000);
        let scribble = |slot: &mut [u8]| slot.iter_mut().step_by(700).for_each(|byte| *byte = 9);
        let refused = pool.capture(|slot| {
            scribble(slot);
            Err::<(u32, u32), _>("truncated")
        });
        assert_eq!(refused.unwrap_err(), CaptureError::Fill("truncated"));
        assert_eq!((pool.free(), pool.residue_bytes()), (1, 0));

        let panicked = catch_unwind(AssertUnwindSafe(|| {
            pool.capture::<Infallible>(|slot| {
                scribble(slot);
                panic!("a decoder's bug")
            })
        }));
        assert!(panicked.is_err());
        assert_eq!((pool.free(), pool.residue_bytes()), (1, 0));
    }

    #[test]
    fn an_extent_that_lies_is_refused_and_swept() {
        let pool = SlotPool::new(1, 12);
        for (width_px, height_px) in [(3, 2), (0, 4), (4, 0), (u32::MAX, u32::MAX)] {
            let refused = pool.capture::<Infallible>(|slot| {
                slot.fill(7);
                Ok((width_px, height_px))
            });
            let expected = CaptureError::Extent { width_px, height_px, slot_bytes: 12 };
            assert_eq!(refused.unwrap_err(), expected);
            assert_eq!((pool.free(), pool.residue_bytes()), (1, 0));
        }
    }

    proptest! {
        #[test]
        fn no_ticket_is_lost_or_given_twice(steps in prop::collection::vec(any::<u8>(), 0..200)) {
            let pool = SlotPool::new(5, 27);
            let mut held: Vec<Captured> = Vec::new();
            for step in steps {
                if step % 2 == 0 {
                    let step = u32::from(step);
                    let (width_px, height_px) = (step % 3 + 1, step / 8 % 3 + 1);
                    match pool.capture(|slot| paint(slot, width_px, height_px)) {
                        Ok(frame) => held.push(frame),
                        Err(refused) => {
                            prop_assert_eq!(held.len(), 5);
                            prop_assert_eq!(refused, CaptureError::Busy { slots: 5 });
                        }
                    }
                } else if !held.is_empty() {
                    held.swap_remove(usize::from(step) % held.len());
                }
                let mut tickets: Vec<u32> = held.iter().map(Captured::ticket).collect();
                tickets.sort_unstable();
                tickets.dedup();
                prop_assert_eq!(tickets.len(), held.len());
                prop_assert_eq!(pool.free() + held.len(), 5);
                prop_assert_eq!(pool.residue_bytes(), 0);
            }
        }
    }
}
