//! One device: chosen, opened, watched.
//!
//! Invariant: no failure of the device ends the process. What the driver stack reports on its own
//! (an error that nobody asked for, a lost device, a panic within it) is noted once; from then on
//! every verb answers [`BackendError::Lost`] and nothing is submitted any more, so that the next
//! engine takes over. A lack of memory is no loss: all memory is asked for in one place, within a
//! scope that catches the refusal ([`Gpu::buffer`]), and who asked answers [`BackendError::Full`].
//! Every wait is bounded by [`DEVICE_WAIT_MS_MAX`].
//!
//! What is absent: going on after a loss. Whoever wants the device back makes the backend anew.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, OnceLock},
    task::{Context, Poll, Waker},
    time::Duration,
};

use ::wgpu::{
    Adapter, AdapterInfo, Backends, BindGroup, BindGroupDescriptor, BindGroupEntry,
    BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry, BindingResource, BindingType,
    Buffer, BufferBindingType, BufferDescriptor, BufferUsages, CommandEncoder, ComputePipeline,
    ComputePipelineDescriptor, Device, DeviceDescriptor, DeviceType, DownlevelFlags, Error,
    ErrorFilter, Features, Instance, InstanceDescriptor, Limits, PipelineCompilationOptions,
    PipelineLayoutDescriptor, PollType, Queue, ShaderModuleDescriptor, ShaderSource, ShaderStages,
    SubmissionIndex, WgslLanguageFeatures,
};

use super::{
    NAME, Options,
    shaders::{Language, Shader},
};
use crate::{
    backend::{
        BackendError, Unavailable,
        gpu::{locked, said},
    },
    limits::{DEVICE_WAIT_MS_MAX, SLOT_BYTES},
};

/// A device with its queue.
pub(super) struct Gpu {
    device: Device,
    queue: Queue,
    /// What the driver says of itself.
    pub(super) about: AdapterInfo,
    /// What it grants.
    pub(super) limits: Limits,
    /// What its shaders are written in.
    pub(super) language: Language,
    /// Whether everything is divided as finely as on the smallest device.
    pub(super) tight: bool,
    programs: Mutex<HashMap<Shader, Arc<Program>>>,
    /// Why it is lost, once it is.
    lost: Arc<OnceLock<String>>,
}

/// A shader, compiled.
pub(super) struct Program {
    pub(super) pipeline: ComputePipeline,
    layout: BindGroupLayout,
}

/// The value of a future that the native driver stack has ready at once.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::yield_now();
    }
}

fn unavailable(why: String) -> Unavailable {
    Unavailable { what: NAME, why }
}

/// The adapter that is asked for, among those at hand.
fn choose(instance: &Instance, options: &Options) -> Result<Adapter, Unavailable> {
    let mut held = ready(instance.enumerate_adapters(Backends::VULKAN));
    let names: Vec<String> = held.iter().map(|adapter| adapter.get_info().name).collect();
    if held.is_empty() {
        let why = "no Vulkan driver has a device; install the GPU's driver, or for tests \
                   `apt-get install mesa-vulkan-drivers`";
        return Err(unavailable(why.to_owned()));
    }
    let all = names.join(", ");
    let wanted = options.adapter.to_lowercase();
    held.retain(|adapter| adapter.get_info().name.to_lowercase().contains(&wanted));
    // Stable: of two alike the driver's first.
    held.sort_by_key(|adapter| rank(adapter.get_info().device_type));
    let Some(best) = held.into_iter().next() else {
        let why = format!("no adapter's name holds `{}`; there are: {all}", options.adapter);
        return Err(unavailable(why));
    };
    let about = best.get_info();
    if options.only_discrete && about.device_type != DeviceType::DiscreteGpu {
        let why = format!(
            "the best adapter is {}, no GPU of its own memory; engine.name = \"wgpu\" takes it all \
             the same",
            about.name
        );
        return Err(unavailable(why));
    }
    Ok(best)
}

/// What of the language's packed arithmetic the driver stack and the adapter have.
fn language(instance: &Instance, adapter: &Adapter) -> Language {
    let dot4 = WgslLanguageFeatures::Packed4x8IntegerDotProduct;
    let halves = DownlevelFlags::SHADER_F16_IN_F32;
    Language {
        dot4: instance.wgsl_language_features().contains(dot4),
        halves: adapter.get_downlevel_capabilities().flags.contains(halves),
    }
}

/// The smaller, the better.
fn rank(kind: DeviceType) -> u8 {
    match kind {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    }
}

impl Gpu {
    /// Opens the adapter that `options` ask for.
    pub(super) fn open(options: &Options) -> Result<Arc<Self>, Unavailable> {
        let opened = catch_unwind(AssertUnwindSafe(|| Self::try_open(options)));
        opened.unwrap_or_else(|panic| Err(unavailable(said(panic.as_ref()))))
    }

    fn try_open(options: &Options) -> Result<Arc<Self>, Unavailable> {
        let mut descriptor = InstanceDescriptor::new_without_display_handle();
        descriptor.backends = Backends::VULKAN;
        let instance = Instance::new(descriptor);
        let adapter = choose(&instance, options)?;
        let (about, limits) = (adapter.get_info(), adapter.limits());
        let needed = SLOT_BYTES as u64;
        if limits.max_storage_buffer_binding_size < needed {
            let why = format!(
                "{} binds at most {} bytes at once; the largest frame has {needed}",
                about.name, limits.max_storage_buffer_binding_size
            );
            return Err(unavailable(why));
        }
        let (device, queue) = ready(adapter.request_device(&DeviceDescriptor {
            label: Some("portcullis"),
            required_features: Features::empty(),
            required_limits: limits.clone(),
            ..DeviceDescriptor::default()
        }))
        .map_err(|error| unavailable(format!("{} does not open: {error}", about.name)))?;
        let lost = Arc::new(OnceLock::new());
        let note = Arc::clone(&lost);
        device.set_device_lost_callback(move |reason, why| {
            // Only the first word counts; the others follow from it.
            let _ = note.set(format!("{reason:?}: {why}"));
        });
        let note = Arc::clone(&lost);
        device.on_uncaptured_error(Arc::new(move |error: Error| {
            let _ = note.set(error.to_string());
        }));
        let language = language(&instance, &adapter);
        Ok(Arc::new(Self {
            device,
            queue,
            about,
            limits,
            language: if options.emulate { Language::default() } else { language },
            tight: options.tight,
            programs: Mutex::default(),
            lost,
        }))
    }

    /// Why nothing can be done any more, if that is so.
    pub(super) fn check(&self) -> Result<(), BackendError> {
        match self.lost.get() {
            None => Ok(()),
            Some(why) => Err(BackendError::Lost { what: NAME, why: why.clone() }),
        }
    }

    /// Does `work` unless the device is lost; a panic of the driver stack loses it.
    pub(super) fn guard<T>(
        &self,
        work: impl FnOnce() -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        self.check()?;
        // Unwind safety: after a panic the device is lost and none of its state is used again.
        let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let _ = self.lost.set(said(panic.as_ref()));
            Err(self.loss("the device ended its work"))
        });
        self.check()?;
        done
    }

    /// The loss that was noted, or else `otherwise`, which is noted now.
    pub(super) fn loss(&self, otherwise: &str) -> BackendError {
        let why = self.lost.get_or_init(|| otherwise.to_owned()).clone();
        BackendError::Lost { what: NAME, why }
    }

    /// Gives the device up, as a driver does that resets it.
    pub(super) fn forsake(&self) {
        let _ = self.lost.set("given up on request".to_owned());
        self.device.destroy();
    }

    /// Whether a processor plays the device.
    pub(super) fn is_simulated(&self) -> bool {
        self.about.device_type == DeviceType::Cpu
    }

    /// Most bytes that a shader sees of one buffer.
    pub(super) fn binding_bytes_max(&self) -> u64 {
        self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size)
    }

    /// Where slices of a buffer may begin that are bound on their own.
    pub(super) fn offset_alignment(&self) -> u64 {
        let limits = &self.limits;
        u64::from(
            limits
                .min_uniform_buffer_offset_alignment
                .max(limits.min_storage_buffer_offset_alignment),
        )
    }

    /// A buffer of zeros.
    pub(super) fn buffer(
        &self,
        label: &str,
        bytes: u64,
        usage: BufferUsages,
    ) -> Result<Buffer, BackendError> {
        let size = bytes.max(16).next_multiple_of(16);
        let full = |why: String| {
            let why = format!("{} has no room for {size} bytes of {label}: {why}", self.about.name);
            BackendError::Full { what: NAME, why }
        };
        if size > self.limits.max_buffer_size {
            return Err(full(format!("it takes {} at once", self.limits.max_buffer_size)));
        }
        self.granted(full, || {
            self.device.create_buffer(&BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        })
    }

    /// What `make` makes with memory of the device, unless there is too little.
    fn granted<T>(
        &self,
        full: impl FnOnce(String) -> BackendError,
        make: impl FnOnce() -> T,
    ) -> Result<T, BackendError> {
        // A scope is of this thread: errors of others do not come here.
        let scope = self.device.push_error_scope(ErrorFilter::OutOfMemory);
        let made = make();
        match ready(scope.pop()) {
            None => Ok(made),
            Some(error) => Err(full(error.to_string())),
        }
    }

    /// A buffer that shaders work in.
    pub(super) fn storage(&self, label: &str, bytes: u64) -> Result<Buffer, BackendError> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        self.buffer(label, bytes, usage)
    }

    /// A buffer that holds `contents` and is only read: nothing of a face.
    pub(super) fn constant(
        &self,
        label: &str,
        contents: &[u8],
        usage: BufferUsages,
    ) -> Result<Buffer, BackendError> {
        let bytes = contents.len() as u64;
        let buffer = self.buffer(label, bytes, usage | BufferUsages::COPY_DST)?;
        let full = |why: String| {
            let why = format!("{} has no room to bring {label} up: {why}", self.about.name);
            BackendError::Full { what: NAME, why }
        };
        // What is written is a multiple of four bytes: all constants are words.
        self.granted(full, || self.queue.write_buffer(&buffer, 0, contents))?;
        Ok(buffer)
    }

    /// The compiled `shader`, from now on kept.
    pub(super) fn program(&self, shader: Shader) -> Arc<Program> {
        let mut programs = locked(&self.programs);
        let made = programs.entry(shader).or_insert_with(|| Arc::new(self.compile(shader)));
        Arc::clone(made)
    }

    /// How many are kept.
    pub(super) fn compiled(&self) -> usize {
        locked(&self.programs).len()
    }

    fn compile(&self, shader: Shader) -> Program {
        let label = Some(shader.name());
        let source = ShaderSource::Wgsl(shader.source(self.language).into());
        let module = self.device.create_shader_module(ShaderModuleDescriptor { label, source });
        let (read, written) = shader.bindings();
        let entry = |binding| BindGroupLayoutEntry {
            binding,
            visibility: ShaderStages::COMPUTE,
            ty: BindingType::Buffer {
                ty: match binding {
                    0 => BufferBindingType::Uniform,
                    _ => BufferBindingType::Storage { read_only: binding <= read },
                },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let entries: Vec<_> = (0..=read + written).map(entry).collect();
        let layout = self
            .device
            .create_bind_group_layout(&BindGroupLayoutDescriptor { label, entries: &entries });
        let whole = self.device.create_pipeline_layout(&PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&ComputePipelineDescriptor {
            label,
            layout: Some(&whole),
            module: &module,
            entry_point: Some(shader.entry()),
            compilation_options: PipelineCompilationOptions {
                // The shaders write every value of workgroup memory before they read it.
                zero_initialize_workgroup_memory: false,
                ..PipelineCompilationOptions::default()
            },
            cache: None,
        });
        Program { pipeline, layout }
    }

    /// Binds `resources`, in the order of the shader's bindings.
    pub(super) fn bind(&self, program: &Program, resources: &[BindingResource<'_>]) -> BindGroup {
        let entries: Vec<_> = (0..)
            .zip(resources)
            .map(|(binding, resource)| BindGroupEntry { binding, resource: resource.clone() })
            .collect();
        self.device.create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &program.layout,
            entries: &entries,
        })
    }

    /// A list of commands to be filled.
    pub(super) fn encoder(&self) -> CommandEncoder {
        self.device.create_command_encoder(&Default::default())
    }

    /// Hands commands over.
    pub(super) fn submit(&self, encoder: CommandEncoder) -> SubmissionIndex {
        self.queue.submit([encoder.finish()])
    }

    /// Waits until `submission` is done.
    pub(super) fn wait(&self, submission: &SubmissionIndex) -> Result<(), BackendError> {
        self.wait_for(Some(submission.clone()))
    }

    /// Waits until everything is done that was submitted.
    pub(super) fn drain(&self) -> Result<(), BackendError> {
        self.wait_for(None)
    }

    /// Looks what is done, without waiting.
    pub(super) fn look(&self) -> Result<(), BackendError> {
        // Without a wait there is no timeout, and nothing else is an answer here.
        let _ = self.device.poll(PollType::Poll);
        self.check()
    }

    fn wait_for(&self, submission_index: Option<SubmissionIndex>) -> Result<(), BackendError> {
        let timeout = Some(Duration::from_millis(DEVICE_WAIT_MS_MAX));
        match self.device.poll(PollType::Wait { submission_index, timeout }) {
            Ok(_) => self.check(),
            Err(error) => {
                Err(self.loss(&format!("no answer in {DEVICE_WAIT_MS_MAX} ms ({error})")))
            }
        }
    }
}
