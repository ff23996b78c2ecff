//! Work in order: streams, functions, launches and their recordings.

use std::{
    ffi::{CString, c_void},
    mem::MaybeUninit,
    ops::Range,
    sync::Arc,
};

use cudarc::driver::{
    result::{self, DriverError},
    sys::{self, CUfunction_attribute as Attribute},
};

use super::{Context, Driven, Event, fault, memory::Memory};

/// Work that is done in the order in which it is handed over.
pub(in crate::backend::cuda) struct Stream {
    context: Arc<Context>,
    handle: sys::CUstream,
}

// SAFETY: the driver lets every thread hand work over.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

/// Blocks, threads of a block, and bytes of shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend::cuda) struct Extent {
    pub(in crate::backend::cuda) blocks: [u32; 3],
    pub(in crate::backend::cuda) threads: [u32; 2],
    pub(in crate::backend::cuda) shared_bytes: u32,
}

/// A loaded image of machine code.
pub(in crate::backend::cuda) struct Module {
    context: Arc<Context>,
    handle: sys::CUmodule,
}

// SAFETY: modules and their functions are handles that the driver lets every thread use.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

/// A kernel.
pub(in crate::backend::cuda) struct Function {
    module: Arc<Module>,
    handle: sys::CUfunction,
    name: &'static str,
    /// Bytes of its parameter, one struct, as the compiler laid it out.
    parameter_bytes: usize,
    shared_bytes_max: u32,
}

// SAFETY: as for `Module`, which it keeps loaded.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl Module {
    /// Loads machine code for the context's device.
    pub(in crate::backend::cuda) fn load(
        context: &Arc<Context>,
        image: &[u8],
    ) -> Driven<Arc<Self>> {
        let handle = context.within("cuModuleLoadData", || {
            // SAFETY: the image was made by the compiler, is whole (its hash was checked) and is
            // not needed after the call. The driver refuses what is no image for this device.
            unsafe { result::module::load_data(image.as_ptr().cast()) }
        })?;
        Ok(Arc::new(Self { context: Arc::clone(context), handle }))
    }

    /// The kernel of that name, with room for `shared_bytes` bytes of shared memory.
    pub(in crate::backend::cuda) fn function(
        self: &Arc<Self>,
        name: &'static str,
        shared_bytes: u32,
    ) -> Driven<Function> {
        let symbol = CString::new(name).expect("names of kernels are plain words");
        let handle = self.context.within("cuModuleGetFunction", || {
            // SAFETY: the module is loaded while `self` is alive.
            unsafe { result::module::get_function(self.handle, symbol) }
        })?;
        let parameter_bytes = self.context.within("cuFuncGetParamInfo", || {
            // SAFETY: the function belongs to a loaded module.
            unsafe { parameter_bytes(handle) }
        })?;
        let shared = i32::try_from(shared_bytes).expect("a block has less than 2^31 bytes");
        self.context.within("cuFuncSetAttribute", || {
            let which = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: as above.
            unsafe { result::function::set_function_attribute(handle, which, shared) }
        })?;
        let module = Arc::clone(self);
        Ok(Function { module, handle, name, parameter_bytes, shared_bytes_max: shared_bytes })
    }
}

/// Bytes of the first parameter of `function`. Whether there is another one is not asked, since the
/// driver's answer to that would be an error, which tools that watch its calls report.
///
/// # Safety
/// Its module must be loaded.
unsafe fn parameter_bytes(function: sys::CUfunction) -> Result<usize, DriverError> {
    let (mut offset, mut bytes) = (0, 0);
    // SAFETY: the caller's duty; the pointers are to live integers.
    let answer = unsafe { sys::cuFuncGetParamInfo(function, 0, &raw mut offset, &raw mut bytes) };
    answer.result().map(|()| bytes)
}

impl Drop for Module {
    fn drop(&mut self) {
        let _ = self.context.within("cuModuleUnload", || {
            // SAFETY: it was loaded here; its functions keep it and are gone.
            unsafe { result::module::unload(self.handle) }
        });
    }
}

impl Stream {
    /// A stream that waits for no other.
    pub(in crate::backend::cuda) fn new(context: &Arc<Context>) -> Driven<Arc<Self>> {
        let kind = result::stream::StreamKind::NonBlocking;
        let handle = context.within("cuStreamCreate", || result::stream::create(kind))?;
        Ok(Arc::new(Self { context: Arc::clone(context), handle }))
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(super) fn handle(&self) -> sys::CUstream {
        self.handle
    }

    /// Launches `function`, which is told the struct that lies in `told`.
    ///
    /// # Panics
    /// When the kernel's parameter is not a struct of that size, or more shared memory is asked
    /// for than the function has room for.
    pub(in crate::backend::cuda) fn launch(
        &self,
        function: &Function,
        extent: Extent,
        told: &[u8],
    ) -> Driven<()> {
        assert_eq!(told.len(), function.parameter_bytes, "what {} is told", function.name);
        assert!(extent.shared_bytes <= function.shared_bytes_max, "shared memory");
        let ([x, y, z], [across, down]) = (extent.blocks, extent.threads);
        let mut parameters = [told.as_ptr().cast_mut().cast::<c_void>()];
        self.context.within(function.name, || {
            // SAFETY: the driver copies the struct before it returns, of just the size that was
            // compared above; every entry takes one and nothing else (those of `kernels/` are
            // compiled so for the host, in tests/cuda_on_host). The kernel runs later: it is one of
            // this repository's, reaches no memory but what it is told, and none of that is the
            // host's, so that what it could do wrong stays on the device, where the driver answers
            // it with a fault.
            unsafe {
                result::launch_kernel(
                    function.handle,
                    (x, y, z),
                    (across, down, 1),
                    extent.shared_bytes,
                    self.handle,
                    &mut parameters,
                )
            }
        })
    }

    /// Zeroes `range` of `memory`, in order.
    ///
    /// # Panics
    /// When there is less.
    pub(in crate::backend::cuda) fn clear(
        &self,
        memory: &Memory,
        range: Range<usize>,
    ) -> Driven<()> {
        let (place, bytes) = (memory.place(range.clone()), range.len());
        if bytes == 0 {
            return Ok(());
        }
        self.context.within("cuMemsetD8Async", || {
            // SAFETY: the stretch was checked.
            unsafe { result::memset_d8_async(place, 0, bytes, self.handle) }
        })
    }

    /// Copies `bytes` bytes within the device, in order.
    ///
    /// # Panics
    /// When there are less on either side.
    pub(in crate::backend::cuda) fn copy(
        &self,
        (from, at): (&Memory, usize),
        (to, there): (&Memory, usize),
        bytes: usize,
    ) -> Driven<()> {
        let (from, to) = (from.place(at..at + bytes), to.place(there..there + bytes));
        if bytes == 0 {
            return Ok(());
        }
        self.context.within("cuMemcpyDtoDAsync", || {
            // SAFETY: both stretches were checked.
            unsafe { result::memcpy_dtod_async(to, from, bytes, self.handle) }
        })
    }

    /// Sets `event` at the end of what was handed over so far.
    pub(in crate::backend::cuda) fn mark(&self, event: &Event) -> Driven<()> {
        self.context.within("cuEventRecord", || {
            // SAFETY: both are alive.
            unsafe { result::event::record(event.handle, self.handle) }
        })
    }

    /// Does nothing more before `event`, which another stream has set, is reached.
    pub(in crate::backend::cuda) fn after(&self, event: &Event) -> Driven<()> {
        let plain = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        self.context.within("cuStreamWaitEvent", || {
            // SAFETY: both are alive.
            unsafe { result::stream::wait_event(self.handle, event.handle, plain) }
        })
    }

    /// Waits until everything is done that was handed over.
    pub(in crate::backend::cuda) fn wait(&self) -> Driven<()> {
        let end = Event::plain(&self.context)?;
        self.mark(&end)?;
        end.wait()
    }

    /// Records what `work` hands over to this stream, instead of doing it.
    pub(in crate::backend::cuda) fn record(
        self: &Arc<Self>,
        work: impl FnOnce() -> Driven<()>,
    ) -> Driven<Recording> {
        // Other threads go on with allocations meanwhile; this one makes none.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.context.within("cuStreamBeginCapture", || {
            // SAFETY: the stream is alive.
            unsafe { result::stream::begin_capture(self.handle, mode) }
        })?;
        let worked = work();
        let graph = self.context.within("cuStreamEndCapture", || {
            // SAFETY: as above.
            unsafe { result::stream::end_capture(self.handle) }
        });
        // A fault within is the cause, and that the recording did not end well its consequence.
        worked?;
        let graph = graph?;
        if graph.is_null() {
            return Err(fault("cuStreamEndCapture", "no recording"));
        }
        let whole = self.context.within("cuGraphInstantiate", || {
            let flags = sys::CUgraphInstantiate_flags(0);
            // SAFETY: the graph was just made, and is destroyed once, here.
            unsafe {
                let whole = result::graph::instantiate(graph, flags);
                result::graph::destroy(graph)?;
                whole
            }
        })?;
        Ok(Recording { stream: Arc::clone(self), whole })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.context.within("cuStreamDestroy", || {
            // SAFETY: it was created here, and is not used afterwards; the driver finishes what
            // was handed over.
            unsafe { result::stream::destroy(self.handle) }
        });
    }
}

/// Launches with their arguments, done again as one.
pub(in crate::backend::cuda) struct Recording {
    stream: Arc<Stream>,
    whole: sys::CUgraphExec,
}

// SAFETY: it is used through `&mut self` alone, by one thread at a time.
unsafe impl Send for Recording {}

impl Recording {
    /// Does it all once more. Whoever recorded keeps the memory that it names.
    pub(in crate::backend::cuda) fn replay(&mut self) -> Driven<()> {
        self.stream.context.within("cuGraphLaunch", || {
            // SAFETY: both are alive.
            unsafe { result::graph::launch(self.whole, self.stream.handle) }
        })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.stream.context.within("cuGraphExecDestroy", || {
            // SAFETY: it was made here, and is not used afterwards.
            unsafe { result::graph::exec_destroy(self.whole) }
        });
    }
}

/// Room for what the driver says of a function, for reports of measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend::cuda) struct Resources {
    pub(in crate::backend::cuda) registers: i32,
    pub(in crate::backend::cuda) local_bytes: i32,
}

impl Function {
    /// Blocks of so many threads, with so much shared memory, that one multiprocessor runs at once.
    pub(in crate::backend::cuda) fn resident(&self, threads: u32, shared: u32) -> Driven<usize> {
        let threads = i32::try_from(threads).expect("a block has at most 1,024 threads");
        let blocks = self.module.context.within("cuOccupancyMaxActiveBlocks", || {
            // SAFETY: its module is loaded.
            unsafe {
                result::occupancy::max_active_block_per_multiprocessor(
                    self.handle,
                    threads,
                    shared as usize,
                )
            }
        })?;
        Ok(usize::try_from(blocks).unwrap_or(0))
    }

    /// Registers of a thread, and bytes of memory that they are spilled to.
    pub(in crate::backend::cuda) fn resources(&self) -> Driven<Resources> {
        let one = |which: Attribute| {
            self.module.context.within("cuFuncGetAttribute", || {
                let mut value = MaybeUninit::uninit();
                // SAFETY: its module is loaded; the value is written where the call succeeds.
                unsafe {
                    sys::cuFuncGetAttribute(value.as_mut_ptr(), which, self.handle).result()?;
                    Ok(value.assume_init())
                }
            })
        };
        Ok(Resources {
            registers: one(Attribute::CU_FUNC_ATTRIBUTE_NUM_REGS)?,
            local_bytes: one(Attribute::CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)?,
        })
    }
}
