//! What the backends of a GPU's two languages share: how a program and a gallery lie on a device.
//!
//! ```text
//! Program ─► lifetimes: buffers in slots ─► wgpu/plan, cuda/plan: dispatches, launches
//! Feed ────► shown: rows and numbers ─────► wgpu/feed, cuda/feed
//! Tile ────► opened ─► pack: pieces ──────► slab, shelf: slots that generations share
//! ```
//!
//! Invariant: nothing here calls a device; what is laid out here is laid out alike for both.

pub(super) mod answers;
pub(super) mod half;
pub(super) mod lifetimes;
pub(super) mod nobody;
pub(super) mod opened;
pub(super) mod pack;
pub(super) mod shelf;
pub(super) mod shown;
pub(super) mod slab;
pub(super) mod stock;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A value behind a lock that a panic elsewhere did not make wrong.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a panic of a driver stack is told as.
pub(super) fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the driver stack panicked: {}", said.unwrap_or("it did not say why"))
}
