//! NVIDIA's driver, called: contexts here, memory in [`memory`], work in [`launch`].
//!
//! Why an island: the driver is a foreign library behind raw handles. This folder is all that calls
//! it; outside there are owners that free what they made, and slices that are lent out only while
//! the device does not use them.
//!
//! Invariant: no call is made before [`probe`] found the library, nor in a context that was torn
//! down ([`Context::within`]). A missing function of the library is a panic of cudarc; callers are
//! inside [`super::device::Gpu::guard`], which makes an answer of it. No wait of ours is without an
//! end. Some calls wait within the driver (memory is given back, a module unloaded): none is begun
//! once the device is silent, and whoever is in one then holds nobody else up ([`calls`]).

#![expect(unsafe_code, reason = "a foreign library is called through raw handles")]

mod calls;
pub(super) mod launch;
pub(super) mod memory;

use std::{ffi::CStr, mem::MaybeUninit, sync::Arc, time::Duration};

use crossbeam_utils::sync::Parker;
use cudarc::driver::{
    result::{self, DriverError},
    sys::{self, CUdevice_attribute as Attribute, CUresult},
};

use self::calls::Calls;
use crate::limits::DEVICE_WAIT_MS_MAX;

/// Looks at an event before a waiting thread begins to nap: some two milliseconds.
const LOOKS: u32 = 2_000;
/// How long a nap takes, at least.
const NAP_US: u64 = 100;

/// What the driver answered to a call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {said}")]
pub(in crate::backend::cuda) struct Fault {
    pub(in crate::backend::cuda) call: &'static str,
    pub(in crate::backend::cuda) said: String,
    pub(in crate::backend::cuda) kind: Kind,
}

/// What a fault means for what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend::cuda) enum Kind {
    /// Memory is lacking; the context is as sound as before.
    Full,
    /// Nothing more comes of this device.
    Broken,
}

/// What a call gave.
pub(in crate::backend::cuda) type Driven<T> = Result<T, Fault>;

fn fault(call: &'static str, said: impl Into<String>) -> Fault {
    Fault { call, said: said.into(), kind: Kind::Broken }
}

/// An answer of the driver as one of ours.
fn told<T>(call: &'static str, answer: Result<T, DriverError>) -> Driven<T> {
    answer.map_err(|error| {
        let text = error.error_string().map(CStr::to_string_lossy).unwrap_or_default();
        let kind = match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => Kind::Full,
            _ => Kind::Broken,
        };
        Fault { call, said: format!("{:?} ({text})", error.0), kind }
    })
}

/// Whether the driver's library is there; without it nothing else of this module may be called.
pub(super) fn probe() -> bool {
    // SAFETY: it opens and closes libraries by name; the driver's constructors are the system's.
    unsafe { sys::is_culib_present() }
}

/// Major and minor version of CUDA that the driver was made for.
pub(super) fn version() -> Driven<(i32, i32)> {
    let mut version = 0;
    // SAFETY: the pointer is to a live integer.
    told("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&raw mut version) }.result())?;
    Ok((version / 1000, version % 1000 / 10))
}

/// A device as the driver lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend::cuda) struct Listed {
    handle: sys::CUdevice,
    pub(super) name: String,
    /// Compute capability.
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) memory_bytes: usize,
    pub(super) multiprocessors: u32,
    /// Bytes of shared memory that a block may ask for.
    pub(super) shared_bytes_max: u32,
    /// Whether it is a part of the processor.
    pub(super) is_integrated: bool,
}

/// Every device, in the driver's order.
pub(super) fn devices() -> Driven<Vec<Listed>> {
    told("cuInit", result::init())?;
    let many = told("cuDeviceGetCount", result::device::get_count())?;
    (0..many).map(device).collect()
}

#[cfg(test)]
impl Listed {
    /// One that is nowhere.
    pub(super) fn example(name: &str, [major, minor]: [u32; 2], multiprocessors: u32) -> Self {
        Self {
            handle: -1,
            name: name.to_owned(),
            major,
            minor,
            memory_bytes: 1 << 30,
            multiprocessors,
            shared_bytes_max: 48 << 10,
            is_integrated: false,
        }
    }
}

fn device(ordinal: i32) -> Driven<Listed> {
    let handle = told("cuDeviceGet", result::device::get(ordinal))?;
    let attribute = |which: Attribute| -> Driven<u32> {
        // SAFETY: the handle has just come from `cuDeviceGet`.
        let value = unsafe { result::device::get_attribute(handle, which) };
        Ok(told("cuDeviceGetAttribute", value)?.try_into().unwrap_or(0))
    };
    // SAFETY: as above.
    let memory = unsafe { result::device::total_mem(handle) };
    Ok(Listed {
        handle,
        name: told("cuDeviceGetName", result::device::get_name(handle))?,
        major: attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
        minor: attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        memory_bytes: told("cuDeviceTotalMem", memory)?,
        multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_bytes_max: attribute(
            Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        )?,
        is_integrated: attribute(Attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED)? != 0,
    })
}

/// A context of our own on one device, so that tearing it down takes nothing from anybody else.
pub(in crate::backend::cuda) struct Context {
    handle: sys::CUcontext,
    /// Zeroes memory when it is taken and given back; ends with the context.
    cleaning: sys::CUstream,
    calls: Calls,
}

// SAFETY: the driver lets any thread use a context that it has made current, which every call does
// first; ending it waits for all calls and makes later ones impossible.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// A new one on `device`.
    pub(super) fn new(device: &Listed) -> Driven<Self> {
        // SAFETY: the handle came from `cuDeviceGet`; without parameters it is a plain context.
        let handle = unsafe { result::ctx::create_v4(std::ptr::null_mut(), 0, device.handle) };
        let handle = told("cuCtxCreate", handle)?;
        let mut popped = MaybeUninit::uninit();
        // SAFETY: creation has pushed the context onto this thread's stack, and nobody else knows
        // that; every call makes it current by itself.
        let answer = unsafe { sys::cuCtxPopCurrent_v2(popped.as_mut_ptr()) };
        let calls = Calls::default();
        let mut context = Self { handle, cleaning: std::ptr::null_mut(), calls };
        told("cuCtxPopCurrent", answer.result())?;
        let kind = result::stream::StreamKind::NonBlocking;
        context.cleaning = context.within("cuStreamCreate", || result::stream::create(kind))?;
        Ok(context)
    }

    /// Makes one call in this context.
    fn within<T>(
        &self,
        call: &'static str,
        work: impl FnOnce() -> Result<T, DriverError>,
    ) -> Driven<T> {
        let _under_way = self.calls.enter(call)?;
        // SAFETY: the context is alive, and stays so while this call is under way.
        told("cuCtxSetCurrent", unsafe { result::ctx::set_current(self.handle) })?;
        told(call, work())
    }

    /// Ends it with all that was made in it. What still refers to it answers with a fault. Where
    /// the device is silent the context stays, unused: the driver might never come back.
    pub(super) fn tear_down(&self) {
        let wait = Duration::from_millis(DEVICE_WAIT_MS_MAX);
        if let Some(_alone) = self.calls.end(wait) {
            // SAFETY: no call is under way, and none will be made. What it answers concerns nobody:
            // a context that a fault has broken is ended all the same.
            let _ = unsafe { sys::cuCtxDestroy_v2(self.handle) };
        }
    }

    /// Whether the device left a wait without an answer, and may be at work still.
    fn is_silent(&self) -> bool {
        self.calls.is_silent()
    }

    /// Bytes that are free on the device, and all.
    pub(super) fn room(&self) -> Driven<(usize, usize)> {
        self.within("cuMemGetInfo", result::mem_get_info)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.tear_down();
    }
}

/// A mark in a stream.
pub(in crate::backend::cuda) struct Event {
    context: Arc<Context>,
    handle: sys::CUevent,
}

// SAFETY: events are handles that the driver lets every thread use.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    fn new(context: &Arc<Context>, flags: sys::CUevent_flags) -> Driven<Self> {
        let handle = context.within("cuEventCreate", || result::event::create(flags))?;
        Ok(Self { context: Arc::clone(context), handle })
    }

    /// One that only says whether it was reached.
    pub(super) fn plain(context: &Arc<Context>) -> Driven<Self> {
        Self::new(context, sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)
    }

    /// One that knows when it was reached.
    pub(super) fn timed(context: &Arc<Context>) -> Driven<Self> {
        Self::new(context, sys::CUevent_flags::CU_EVENT_DEFAULT)
    }

    fn is_reached(&self) -> Driven<bool> {
        self.context.within("cuEventQuery", || {
            // SAFETY: the event is alive while `self` is.
            match unsafe { result::event::query(self.handle) } {
                Ok(()) => Ok(true),
                Err(DriverError(CUresult::CUDA_ERROR_NOT_READY)) => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    /// Waits until it is reached: awake at first, then in naps, and not forever.
    pub(super) fn wait(&self) -> Driven<()> {
        for _ in 0..LOOKS {
            if self.is_reached()? {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        let parker = Parker::new();
        for _ in 0..DEVICE_WAIT_MS_MAX * 1000 / NAP_US {
            if self.is_reached()? {
                return Ok(());
            }
            parker.park_timeout(Duration::from_micros(NAP_US));
        }
        self.context.calls.fall_silent();
        Err(fault("cuEventQuery", format!("no answer in {DEVICE_WAIT_MS_MAX} ms")))
    }

    /// Milliseconds from `self` to `later`, both reached.
    pub(super) fn milliseconds_to(&self, later: &Self) -> Driven<f32> {
        self.context.within("cuEventElapsedTime", || {
            // SAFETY: both events are alive.
            unsafe { result::event::elapsed(self.handle, later.handle) }
        })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // A context that is gone has taken its events along.
        let _ = self.context.within("cuEventDestroy", || {
            // SAFETY: it was created here, and is not used afterwards.
            unsafe { result::event::destroy(self.handle) }
        });
    }
}
