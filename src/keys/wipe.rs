//! The process allocator: every block is zeroed before it is given back.
//!
//! Why an allocator and not a rule for authors: bodies, base64 text, inflate windows and Huffman
//! scratch live in other people's crates. "Do not keep rejected faces" must hold for those too.
//!
//! Invariant: no byte that was ever written through this allocator is readable in a block that the
//! system allocator regards as free. A growing or shrinking block is therefore never moved by the
//! system (which would free the old place unwiped): it is allocated anew, copied, wiped, freed.
//!
//! What is absent: registers, stacks, the kernel's socket buffers and swap. The stages keep pixels
//! and templates out of stack arrays; swap is the operator's (`doctor` tells).
//!
//! Cost: one `memset` per free. Large blocks are read first and only pages that hold something are
//! written: a pool for the largest pictures, mostly never touched, would otherwise be paged in, all
//! 576 MB of it, just to be thrown away.

#![expect(
    unsafe_code,
    reason = "an allocator hands out raw memory; this file is one of the islands"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ptr, slice,
};

/// Bytes from which a block is looked at page by page before it is written.
const SPARSE_BYTES: usize = 1 << 20;
/// Bytes of a page of memory.
const PAGE_BYTES: usize = 4096;

/// Zeroes every block when it is freed or moved. Install it with `#[global_allocator]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct WipingAllocator;

/// Zeroes `bytes` bytes from `block` and keeps the compiler from dropping the stores as dead, which
/// it may otherwise do for stores just before a free.
///
/// # Safety
/// `block` must be valid for writes of `bytes` bytes, and nobody else may read or write them now.
unsafe fn wipe(block: *mut u8, bytes: usize) {
    if bytes < SPARSE_BYTES || !settle(block) {
        // SAFETY: the caller owns `bytes` writable bytes from `block`; u8 has no alignment or
        // validity requirement, so zeros may be written whatever type lived there.
        unsafe { ptr::write_bytes(block, 0, bytes) };
    } else {
        // SAFETY: the caller owns `bytes` bytes from `block`, and `settle` made their values
        // definite for the compiler, so that they may be read as u8.
        let whole = unsafe { slice::from_raw_parts_mut(block, bytes) };
        for page in whole.chunks_mut(PAGE_BYTES) {
            if page.iter().fold(0, |any, byte| any | byte) != 0 {
                page.fill(0);
            }
        }
    }
    // SAFETY: every byte was written above, or read and found zero; nobody writes them until this
    // function returns, and the slice is gone before the block is freed.
    zeroize::optimization_barrier(unsafe { slice::from_raw_parts(block, bytes) });
}

/// Makes whatever lies behind `block` definite for the compiler, which must assume that the empty
/// instruction wrote all of it. False where no such instruction is known; the block is then written
/// without being read.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn settle(block: *mut u8) -> bool {
    // SAFETY: no instruction is executed, no register, flag or stack slot is touched.
    unsafe { std::arch::asm!("/* {0} */", in(reg) block, options(nostack, preserves_flags)) };
    true
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn settle(_block: *mut u8) -> bool {
    false
}

// SAFETY: every block comes from `System` with the caller's own layout and goes back to it with
// that layout; zeroing touches only bytes of a block that the caller has given up.
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds `GlobalAlloc::alloc` (a layout of non-zero size).
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds `GlobalAlloc::alloc_zeroed` (a layout of non-zero size).
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives up `block`, which this allocator handed out with `layout`, so
        // all of `layout.size()` bytes are writable and no longer in use.
        unsafe { wipe(block, layout.size()) };
        // SAFETY: `block` came from `System` with this very layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that `bytes`, rounded up to the alignment, does not
        // overflow, and that it is not zero.
        let moved = unsafe { Layout::from_size_align_unchecked(bytes, layout.align()) };
        // SAFETY: `moved` has a non-zero size, as above.
        let place = unsafe { System.alloc(moved) };
        if !place.is_null() {
            // SAFETY: both blocks are live, hold at least the smaller size, and are distinct
            // allocations, so they do not overlap.
            unsafe { ptr::copy_nonoverlapping(block, place, layout.size().min(bytes)) };
            // SAFETY: the caller gives up `block` when this returns a new place; its layout is
            // `layout`.
            unsafe { self.dealloc(block, layout) };
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `use_block` on a block of `bytes` and returns whether the block was zero at the moment
    /// of its wipe.
    fn wiped(bytes: usize) -> bool {
        let mut block = vec![0xA5_u8; bytes];
        // SAFETY: the vector owns its bytes and nobody else holds them.
        unsafe { wipe(block.as_mut_ptr(), block.len()) };
        block.iter().all(|&byte| byte == 0)
    }

    #[test]
    fn a_block_is_zero_when_it_is_given_back() {
        for bytes in [1, 7, 64, 4_097, SPARSE_BYTES, SPARSE_BYTES + 5] {
            assert!(wiped(bytes), "{bytes} bytes");
        }
    }

    #[test]
    fn a_single_byte_in_a_large_block_is_found() {
        let mut block = vec![0_u8; SPARSE_BYTES * 2];
        let last = block.len() - 1;
        (block[PAGE_BYTES - 1], block[last]) = (1, 1);
        // SAFETY: the vector owns its bytes and nobody else holds them.
        unsafe { wipe(block.as_mut_ptr(), block.len()) };
        assert!(block.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn growing_and_shrinking_keep_what_still_fits() {
        let allocator = WipingAllocator;
        let layout = Layout::from_size_align(16, 8).expect("a layout");
        // SAFETY: a layout of 16 bytes; every block below is used within its size and freed once
        // with the layout it has then.
        unsafe {
            let block = allocator.alloc(layout);
            assert!(!block.is_null());
            block.write_bytes(7, 16);
            let grown = allocator.realloc(block, layout, 4_096);
            assert!((0..16).all(|at| *grown.add(at) == 7));
            let layout = Layout::from_size_align(4_096, 8).expect("a layout");
            let shrunk = allocator.realloc(grown, layout, 8);
            assert!((0..8).all(|at| *shrunk.add(at) == 7));
            allocator.dealloc(shrunk, Layout::from_size_align(8, 8).expect("a layout"));
        }
    }
}
