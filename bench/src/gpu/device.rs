//! A device of the benchmark's own, for the two kernels that the search is held against.

use std::{
    pin::pin,
    sync::mpsc,
    task::{Context, Poll, Waker},
};

use portcullis::ops::tile::{TilePart, TileSource};
use wgpu::{
    Backends, BindGroup, BindGroupDescriptor, BindGroupEntry, Buffer, BufferDescriptor,
    BufferUsages, ComputePassDescriptor, ComputePipeline, ComputePipelineDescriptor,
    DeviceDescriptor, DeviceType, Instance, InstanceDescriptor, MapMode, PollType, Queue,
    ShaderModuleDescriptor, ShaderSource,
};

use crate::fail::Failure;

/// Lanes of a workgroup of copy.wgsl, and bytes that each moves.
const COPY_LANES: u64 = 256;
const COPY_BYTES: u64 = 16;
/// Lanes of a workgroup of naive.wgsl.
const NAIVE_LANES: usize = 64;

/// The device.
pub(super) struct Device {
    device: wgpu::Device,
    queue: Queue,
    simulated: bool,
    binding_bytes_max: u64,
    copy: ComputePipeline,
    naive: ComputePipeline,
}

/// A copy of a plane's size: as often as its two buffers go into it.
pub(super) struct CopyKernel {
    bound: BindGroup,
    bytes: u64,
    times: u64,
}

impl CopyKernel {
    /// Bytes read and written.
    pub(super) fn moved(&self) -> u64 {
        2 * self.bytes * self.times
    }
}

/// Records as they come, in buffers that fit a binding.
pub(super) struct NaiveKernel {
    parts: Vec<(BindGroup, Buffer, usize)>,
}

fn failed(why: impl std::fmt::Display) -> Failure {
    Failure::Peer(format!("the benchmark's own device: {why}"))
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

impl Device {
    /// Opens the adapter of that very name.
    pub(super) fn open(name: &str) -> Result<Self, Failure> {
        let mut descriptor = InstanceDescriptor::new_without_display_handle();
        descriptor.backends = Backends::VULKAN;
        let instance = Instance::new(descriptor);
        let adapters = ready(instance.enumerate_adapters(Backends::VULKAN));
        let adapter = adapters.into_iter().find(|adapter| adapter.get_info().name == name);
        let adapter = adapter.ok_or_else(|| failed(format!("{name} is gone")))?;
        let limits = adapter.limits();
        let binding_bytes_max = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let asked = DeviceDescriptor { required_limits: limits, ..DeviceDescriptor::default() };
        let (device, queue) = ready(adapter.request_device(&asked)).map_err(failed)?;
        let pipeline = |label, source: &str| {
            let source = ShaderSource::Wgsl(source.into());
            let described = ShaderModuleDescriptor { label: Some(label), source };
            let module = device.create_shader_module(described);
            device.create_compute_pipeline(&ComputePipelineDescriptor {
                label: Some(label),
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: Default::default(),
                cache: None,
            })
        };
        let copy = pipeline("copy", include_str!("../../shaders/copy.wgsl"));
        let naive = pipeline("naive", include_str!("../../shaders/naive.wgsl"));
        let simulated = adapter.get_info().device_type == DeviceType::Cpu;
        Ok(Self { device, queue, simulated, binding_bytes_max, copy, naive })
    }

    /// Whether a processor plays its part.
    pub(super) fn is_simulated(&self) -> bool {
        self.simulated
    }

    fn buffer(&self, bytes: u64) -> Buffer {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let size = bytes.max(16);
        self.device.create_buffer(&BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    }

    fn filled(&self, bytes: &[u8]) -> Buffer {
        let buffer = self.buffer(bytes.len() as u64);
        self.queue.write_buffer(&buffer, 0, bytes);
        buffer
    }

    fn bind(&self, pipeline: &ComputePipeline, buffers: &[&Buffer]) -> BindGroup {
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| {
                let resource = buffer.as_entire_binding();
                BindGroupEntry { binding, resource }
            })
            .collect();
        let layout = &pipeline.get_bind_group_layout(0);
        let label = None;
        self.device.create_bind_group(&BindGroupDescriptor { label, layout, entries: &entries })
    }

    /// A copy of about `bytes` bytes.
    pub(super) fn copy(&self, bytes: u64) -> CopyKernel {
        let most = self.binding_bytes_max.min(65_535 * COPY_LANES * COPY_BYTES);
        let times = bytes.div_ceil(most).max(1);
        let bytes = (bytes / times).next_multiple_of(COPY_BYTES);
        let (from, to) = (self.buffer(bytes), self.buffer(bytes));
        CopyKernel { bound: self.bind(&self.copy, &[&from, &to]), bytes, times }
    }

    /// All records of `source`, and one probe.
    pub(super) fn naive(
        &self,
        source: &dyn TileSource,
        probe: &[i8],
    ) -> Result<NaiveKernel, Failure> {
        let set = source.set();
        let layout = set.layout;
        let probe = self.filled(bytemuck::cast_slice(probe));
        let fitting = (self.binding_bytes_max as usize / layout.dims).min(65_535 * NAIVE_LANES);
        let mut parts = Vec::new();
        let mut records: Vec<u8> = Vec::new();
        for (number, tile) in set.tiles.iter().enumerate() {
            append(source, number, tile.rows, &mut records)?;
            let rows = records.len() / layout.dims;
            if rows + layout.rows > fitting || number + 1 == set.tiles.len() {
                let (held, scores) = (self.filled(&records), self.buffer(rows as u64 * 4));
                parts.push((self.bind(&self.naive, &[&held, &probe, &scores]), scores, rows));
                records.clear();
            }
        }
        Ok(NaiveKernel { parts })
    }

    /// Runs the copy until the device is done.
    pub(super) fn run_copy(&self, copy: &CopyKernel) -> Result<(), Failure> {
        let groups = (copy.bytes / COPY_BYTES).div_ceil(COPY_LANES) as u32;
        self.run(&self.copy, (0..copy.times).map(|_| (&copy.bound, groups)))
    }

    /// Runs the naive shader until the device is done.
    pub(super) fn run_naive(&self, naive: &NaiveKernel) -> Result<(), Failure> {
        let groups = |rows: usize| rows.div_ceil(NAIVE_LANES) as u32;
        let parts = naive.parts.iter().map(|(bound, _, rows)| (bound, groups(*rows)));
        self.run(&self.naive, parts)
    }

    fn run<'a>(
        &self,
        pipeline: &ComputePipeline,
        dispatches: impl Iterator<Item = (&'a BindGroup, u32)>,
    ) -> Result<(), Failure> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
        pass.set_pipeline(pipeline);
        for (bound, groups) in dispatches {
            pass.set_bind_group(0, bound, &[]);
            pass.dispatch_workgroups(groups, 1, 1);
        }
        drop(pass);
        self.queue.submit([encoder.finish()]);
        self.device.poll(PollType::wait_indefinitely()).map_err(failed)?;
        Ok(())
    }

    /// What the naive shader finds, row by row.
    pub(super) fn scores(&self, naive: &NaiveKernel) -> Result<Vec<i32>, Failure> {
        self.run_naive(naive)?;
        let mut all = Vec::new();
        for (_, scores, rows) in &naive.parts {
            let read = self.device.create_buffer(&BufferDescriptor {
                label: None,
                size: scores.size(),
                usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let mut encoder = self.device.create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(scores, 0, &read, 0, scores.size());
            self.queue.submit([encoder.finish()]);
            let (told, tell) = mpsc::channel();
            // The receiver waits below; it cannot be gone.
            read.slice(..).map_async(MapMode::Read, move |mapped| drop(told.send(mapped)));
            self.device.poll(PollType::wait_indefinitely()).map_err(failed)?;
            tell.recv().map_err(failed)?.map_err(failed)?;
            let view = read.slice(..).get_mapped_range().map_err(failed)?;
            all.extend(view.chunks_exact(4).take(*rows).map(bytemuck::pod_read_unaligned::<i32>));
        }
        Ok(all)
    }
}

/// Appends the records of one tile, hot and cold values together.
fn append(
    source: &dyn TileSource,
    tile: usize,
    rows: usize,
    records: &mut Vec<u8>,
) -> Result<(), Failure> {
    let layout = source.set().layout;
    let mut hot = vec![0; layout.part_bytes(TilePart::Hot, rows)];
    let mut cold = vec![0; layout.part_bytes(TilePart::Cold, rows)];
    let open = |part, scratch: &mut [u8]| {
        source.open(tile, part, scratch).map_err(|error| Failure::Backend(error.into()))
    };
    open(TilePart::Hot, &mut hot)?;
    open(TilePart::Cold, &mut cold)?;
    let (values, _) = layout.split_hot(&hot, rows);
    for row in 0..rows {
        let first = &values[row * layout.hot_dims..][..layout.hot_dims];
        records.extend_from_slice(bytemuck::cast_slice(first));
        let rest = layout.dims - layout.hot_dims;
        records.extend_from_slice(&cold[row * rest..][..rest]);
    }
    Ok(())
}
