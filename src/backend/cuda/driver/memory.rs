//! Memory of the device, and memory of the host that both sides reach.
//!
//! Invariant: both are zeroed before the driver gets them back, and host memory is lent out only
//! when the copies of before are done. Memory is taken with plain allocations.

use std::{mem::ManuallyDrop, ops::Range, sync::Arc};

use cudarc::driver::{result, sys};
#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::MmapMut;
use zeroize::Zeroize;

use super::{Context, Driven, Event, fault, launch::Stream};

/// Where allocations begin, and what their sizes are multiples of.
const ALIGNMENT: usize = 256;

/// A stretch of device memory.
pub(in crate::backend::cuda) struct Memory {
    context: Arc<Context>,
    address: sys::CUdeviceptr,
    bytes: usize,
}

impl Memory {
    /// `bytes` bytes of zeros.
    pub(in crate::backend::cuda) fn zeroed(context: &Arc<Context>, bytes: usize) -> Driven<Self> {
        let bytes = bytes.max(1).next_multiple_of(ALIGNMENT);
        let address = context.within("cuMemAlloc", || {
            // SAFETY: nothing is read of it before it was written; the next call writes all of it.
            unsafe { result::malloc_sync(bytes) }
        })?;
        let memory = Self { context: Arc::clone(context), address, bytes };
        memory.clear()?;
        Ok(memory)
    }

    /// How much it is.
    pub(in crate::backend::cuda) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where byte `at` lies on the device, for a kernel to be told.
    ///
    /// # Panics
    /// When it is not inside.
    pub(in crate::backend::cuda) fn address(&self, at: usize) -> u64 {
        self.place(at..self.bytes)
    }

    /// Where `range` begins on the device.
    ///
    /// # Panics
    /// When it is not inside.
    pub(super) fn place(&self, range: Range<usize>) -> sys::CUdeviceptr {
        assert!(range.start <= range.end && range.end <= self.bytes, "{range:?} of {}", self.bytes);
        self.address + range.start as u64
    }

    /// Zeroes all of it, and waits for that.
    fn clear(&self) -> Driven<()> {
        let done = Event::plain(&self.context)?;
        let cleaning = self.context.cleaning;
        self.context.within("cuMemsetD8Async", || {
            // SAFETY: the memory is ours and of that size, and not given back before `done` is
            // reached, unless the device is silent; then it is never given back.
            unsafe {
                result::memset_d8_async(self.address, 0, self.bytes, cleaning)?;
                result::event::record(done.handle, cleaning)
            }
        })?;
        done.wait()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // A context that is gone has taken its memory along; the driver clears what it gives out
        // to other processes.
        let _ = self.clear();
        let _ = self.context.within("cuMemFree", || {
            // SAFETY: it was allocated here, and is not used afterwards.
            unsafe { result::free_sync(self.address) }
        });
    }
}

/// Host memory that the device copies from and to by itself, in the order of one stream.
///
/// It is mapped by us and only registered with the driver, so that a context which is torn down
/// while somebody writes here takes nothing away from under the hand.
pub(in crate::backend::cuda) struct HostMemory {
    stream: Arc<Stream>,
    map: ManuallyDrop<MmapMut>,
    /// Bytes from the beginning that may hold something.
    used: usize,
    /// The last copy.
    busy: Event,
}

impl HostMemory {
    /// `bytes` bytes of zeros for copies on `stream`; no core dump holds them.
    pub(in crate::backend::cuda) fn new(stream: &Arc<Stream>, bytes: usize) -> Driven<Self> {
        let busy = Event::plain(stream.context())?;
        let system = |error: std::io::Error| fault("mmap", error.to_string());
        let mut map = MmapMut::map_anon(bytes.max(1)).map_err(system)?;
        #[cfg(target_os = "linux")]
        map.advise(Advice::DontDump).map_err(system)?;
        let at = map.as_mut_ptr();
        stream.context().within("cuMemHostRegister", || {
            // SAFETY: the stretch is mapped, and stays so until it is unregistered in `drop`.
            unsafe { sys::cuMemHostRegister_v2(at.cast(), map.len(), 0) }.result()
        })?;
        let map = ManuallyDrop::new(map);
        Ok(Self { stream: Arc::clone(stream), map, used: 0, busy })
    }

    /// How much it is.
    pub(in crate::backend::cuda) fn bytes(&self) -> usize {
        self.map.len()
    }

    /// The first `bytes` bytes to be written, when the device is done with them.
    ///
    /// # Panics
    /// When there are not so many.
    pub(in crate::backend::cuda) fn write(&mut self, bytes: usize) -> Driven<&mut [u8]> {
        self.busy.wait()?;
        self.used = self.used.max(bytes);
        Ok(&mut self.map[..bytes])
    }

    /// The first `bytes` bytes, when the device has written them.
    ///
    /// # Panics
    /// When there are not so many.
    pub(in crate::backend::cuda) fn read(&self, bytes: usize) -> Driven<&[u8]> {
        self.busy.wait()?;
        Ok(&self.map[..bytes])
    }

    /// Copies `range` to `to`, from `at` on, in the order of the stream.
    ///
    /// # Panics
    /// When there is less of either.
    pub(in crate::backend::cuda) fn up(
        &mut self,
        range: Range<usize>,
        to: &Memory,
        at: usize,
    ) -> Driven<()> {
        if range.is_empty() {
            return Ok(());
        }
        let place = to.place(at..at + range.len());
        let from = self.map[range.clone()].as_ptr();
        self.stream.context().within("cuMemcpyHtoDAsync", || {
            // SAFETY: both stretches were checked. Nobody holds a slice of the host's, since this
            // needs `self` exclusively, and none is lent out nor is the map given back before
            // `busy` is reached, which is recorded next.
            unsafe {
                sys::cuMemcpyHtoDAsync_v2(place, from.cast(), range.len(), self.stream.handle())
            }
            .result()
        })?;
        self.stream.mark(&self.busy)
    }

    /// Copies `range` of `from` here, to `at`, in the order of the stream.
    ///
    /// # Panics
    /// When there is less of either.
    pub(in crate::backend::cuda) fn down(
        &mut self,
        from: &Memory,
        range: Range<usize>,
        at: usize,
    ) -> Driven<()> {
        if range.is_empty() {
            return Ok(());
        }
        let (bytes, end) = (range.len(), at + range.len());
        let place = from.place(range);
        let to = self.map[at..end].as_mut_ptr();
        self.used = self.used.max(end);
        self.stream.context().within("cuMemcpyDtoHAsync", || {
            // SAFETY: as in `up`.
            unsafe { sys::cuMemcpyDtoHAsync_v2(to.cast(), place, bytes, self.stream.handle()) }
                .result()
        })?;
        self.stream.mark(&self.busy)
    }

    /// Zeroes what may hold something.
    pub(in crate::backend::cuda) fn wipe(&mut self) -> Driven<()> {
        self.busy.wait()?;
        let used = std::mem::take(&mut self.used);
        self.map[..used].zeroize();
        Ok(())
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        let _ = self.busy.wait();
        let used = self.used;
        self.map[..used].zeroize();
        if self.stream.context().is_silent() {
            // A device that does not answer may still write here, whoever noticed it: the map
            // stays, zeroed as far as is possible.
            return;
        }
        let at = self.map.as_mut_ptr();
        let _ = self.stream.context().within("cuMemHostUnregister", || {
            // SAFETY: it was registered in `new`; the device is done with it.
            unsafe { sys::cuMemHostUnregister(at.cast()) }.result()
        });
        // SAFETY: this is the end of `self`, and the map is not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.map) };
    }
}
