//! One device: chosen, opened, watched.
//!
//! Invariant: no failure of the device or its driver ends the process. What is missing is an answer
//! that names it ([`Unavailable`]). A fault other than a lack of memory is noted once and the
//! context torn down; from then on every verb answers [`BackendError::Lost`], so that the next
//! engine takes over. Every wait of ours is bounded.
//!
//! What is absent: going on after a loss. Whoever wants the device back makes the backend anew;
//! after a fault of the device itself (an illegal address, a machine check) the driver wants a new
//! process for that.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, OnceLock},
};

use super::{
    NAME, Options,
    cache::{Cache, Key},
    compiler::{self, Target},
    driver::{
        self, Context, Fault, Kind, Listed,
        launch::{Extent, Function, Module, Stream},
    },
    kernels::{Block, File, Kernel, Machine, OPTIONS},
};
use crate::backend::{
    BackendError, Unavailable,
    gpu::{locked, said},
};

/// Compute capability from which on there are the tensor cores that the kernels use.
const CAPABILITY_MIN: u32 = 75;
/// CUDA's version from which on a driver has every call that is made here.
const DRIVER_MIN: (i32, i32) = (12, 8);
/// Compute capability from which on copies into shared memory go by themselves.
const ASYNCHRONOUS_FROM: u32 = 80;

/// A device with its context and its kernels.
pub(super) struct Gpu {
    pub(super) context: Arc<Context>,
    pub(super) about: Listed,
    /// Of the driver and of the compiler.
    pub(super) versions: [(i32, i32); 2],
    pub(super) machine: Machine,
    /// Whether everything is divided as finely as on the smallest device.
    pub(super) tight: bool,
    target: Target,
    cache: Cache,
    modules: Mutex<HashMap<File, Arc<Module>>>,
    functions: Mutex<HashMap<Kernel, Arc<Function>>>,
    /// Why it is lost, once it is.
    lost: OnceLock<String>,
}

impl From<Fault> for BackendError {
    fn from(fault: Fault) -> Self {
        match fault.kind {
            Kind::Full => Self::Full { what: NAME, why: fault.to_string() },
            Kind::Broken => Self::Lost { what: NAME, why: fault.to_string() },
        }
    }
}

fn unavailable(why: impl Into<String>) -> Unavailable {
    Unavailable { what: NAME, why: why.into() }
}

/// Whether a driver made for that version of CUDA will do.
fn is_new_enough((major, minor): (i32, i32)) -> Result<(), Unavailable> {
    if (major, minor) >= DRIVER_MIN {
        return Ok(());
    }
    let (by_major, by_minor) = DRIVER_MIN;
    Err(unavailable(format!(
        "the driver is made for CUDA {major}.{minor}: install one for CUDA {by_major}.{by_minor} \
         or newer (570 or newer)"
    )))
}

/// Whether a compiler of the one version makes code that a driver of the other takes.
fn takes((major, minor): (i32, i32), (by_major, by_minor): (i32, i32)) -> Result<(), Unavailable> {
    if (by_major, by_minor) <= (major, minor) {
        return Ok(());
    }
    Err(unavailable(format!(
        "NVRTC {by_major}.{by_minor} makes code that the driver, made for CUDA {major}.{minor}, \
         does not take: install NVRTC {major}.{minor} or a newer driver"
    )))
}

/// The device whose name holds `wanted`, of those at hand; the one with most multiprocessors, of
/// two alike the driver's first.
fn choose(held: Vec<Listed>, wanted: &str) -> Result<Listed, Unavailable> {
    if held.is_empty() {
        return Err(unavailable("the driver is there, and lists no GPU"));
    }
    let names: Vec<String> = held.iter().map(|one| one.name.clone()).collect();
    let wanted = wanted.to_lowercase();
    let named = held.into_iter().filter(|one| one.name.to_lowercase().contains(&wanted));
    // Of equal ones `min_by_key` gives the first.
    let best = named.min_by_key(|one| std::cmp::Reverse(one.multiprocessors));
    let Some(best) = best else {
        let all = names.join(", ");
        return Err(unavailable(format!("no GPU's name holds `{wanted}`; there are: {all}")));
    };
    if best.capability() < CAPABILITY_MIN {
        let Listed { name, major, minor, .. } = best;
        return Err(unavailable(format!(
            "{name} has compute capability {major}.{minor}; the kernels need a GPU of 7.5 or newer"
        )));
    }
    Ok(best)
}

impl Listed {
    /// As compilers have it: 75 for 7.5.
    fn capability(&self) -> u32 {
        self.major * 10 + self.minor
    }
}

impl Gpu {
    /// Opens the GPU that `options` ask for.
    pub(super) fn open(options: &Options) -> Result<Arc<Self>, Unavailable> {
        let opened = catch_unwind(AssertUnwindSafe(|| Self::try_open(options)));
        opened.unwrap_or_else(|panic| Err(unavailable(said(panic.as_ref()))))
    }

    fn try_open(options: &Options) -> Result<Arc<Self>, Unavailable> {
        if !driver::probe() {
            return Err(unavailable(
                "NVIDIA's driver (libcuda) is not found; in a container it is there when that is \
                 started with its GPUs",
            ));
        }
        let refused = |fault: Fault| unavailable(format!("the driver refuses: {fault}"));
        let driver = driver::version().map_err(refused)?;
        is_new_enough(driver)?;
        let about = choose(driver::devices().map_err(refused)?, &options.adapter)?;
        if !compiler::probe() {
            return Err(unavailable(
                "NVRTC (libnvrtc), which compiles the kernels, is not found: install it from the \
                 CUDA toolkit or the Python package nvidia-cuda-nvrtc and name its folder in \
                 LD_LIBRARY_PATH",
            ));
        }
        let versions = [driver, compiler::version().map_err(unavailable)?];
        takes(versions[0], versions[1])?;
        let capability = about.capability();
        let known = compiler::known().map_err(unavailable)?;
        let target = Target::of(capability, &known).ok_or_else(|| {
            let name = &about.name;
            unavailable(format!("NVRTC knows no device like {name}: it knows {known:?}"))
        })?;
        let context = Arc::new(Context::new(&about).map_err(refused)?);
        let machine = Machine {
            multiprocessors: about.multiprocessors.max(1) as usize,
            shared_bytes_max: about.shared_bytes_max,
            stages: if capability >= ASYNCHRONOUS_FROM { 4 } else { 2 },
        };
        Ok(Arc::new(Self {
            context,
            about,
            versions,
            machine,
            tight: options.tight,
            target,
            cache: Cache::new(options.kernels.as_deref()),
            modules: Mutex::default(),
            functions: Mutex::default(),
            lost: OnceLock::new(),
        }))
    }

    /// Why nothing can be done any more, if that is so.
    fn check(&self) -> Result<(), BackendError> {
        match self.lost.get() {
            None => Ok(()),
            Some(why) => Err(BackendError::Lost { what: NAME, why: why.clone() }),
        }
    }

    /// Does `work` unless the device is lost; a fault or a panic within the driver stack loses it.
    pub(super) fn guard<T>(
        &self,
        work: impl FnOnce() -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        self.check()?;
        // Unwind safety: after a panic the device is lost and none of its state is used again.
        let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            Err(BackendError::Lost { what: NAME, why: said(panic.as_ref()) })
        });
        match done {
            Err(BackendError::Lost { why, .. }) => Err(self.lose(why)),
            done => done,
        }
    }

    /// Notes a loss and tears the context down; gives the first that was noted.
    fn lose(&self, why: String) -> BackendError {
        let why = self.lost.get_or_init(|| why).clone();
        // The driver may panic here as anywhere; there is nothing more to be lost.
        let _ = catch_unwind(AssertUnwindSafe(|| self.context.tear_down()));
        BackendError::Lost { what: NAME, why }
    }

    /// Gives the device up, as a driver does that resets it.
    pub(super) fn forsake(&self) {
        self.lose("given up on request".to_owned());
    }

    /// A stream of its own.
    pub(super) fn stream(&self) -> Result<Arc<Stream>, BackendError> {
        Ok(Stream::new(&self.context)?)
    }

    /// The kernel, compiled and loaded, from now on kept.
    pub(super) fn function(&self, kernel: Kernel) -> Result<Arc<Function>, BackendError> {
        if let Some(held) = locked(&self.functions).get(&kernel) {
            return Ok(Arc::clone(held));
        }
        let module = self.module(kernel.file())?;
        let function = Arc::new(module.function(kernel.entry(), self.shared_bytes(kernel))?);
        // Two that made it at the same time made the same.
        Ok(Arc::clone(locked(&self.functions).entry(kernel).or_insert(function)))
    }

    /// Kernels that are compiled and loaded by now.
    pub(super) fn compiled(&self) -> usize {
        locked(&self.functions).len()
    }

    /// Shared memory that a launch of `kernel` asks for at most.
    fn shared_bytes(&self, kernel: Kernel) -> u32 {
        match kernel {
            Kernel::Conv2d(block) => self.machine.product_bytes(block),
            Kernel::Dense => self.machine.product_bytes(Block::Small),
            Kernel::Scan(_) | Kernel::Matrix(_) => self.machine.shared_bytes_max,
            Kernel::Merge => super::search::MERGE_BYTES,
            _ => 0,
        }
    }

    fn module(&self, file: File) -> Result<Arc<Module>, BackendError> {
        let mut modules = locked(&self.modules);
        if let Some(held) = modules.get(&file) {
            return Ok(Arc::clone(held));
        }
        let image = self.image(file).map_err(|why| {
            let why = format!("kernels/{} does not compile: {why}", file.name);
            BackendError::Lost { what: NAME, why }
        })?;
        let module = Module::load(&self.context, &image)?;
        modules.insert(file, Arc::clone(&module));
        Ok(module)
    }

    fn image(&self, file: File) -> Result<Vec<u8>, String> {
        let source = file.source();
        let options: Vec<String> = OPTIONS.iter().map(|&option| option.to_owned()).collect();
        let key = Key::of(&source, self.target, &options, self.versions[1]);
        self.cache.image(file.name, &key, || compiler::compile(&source, self.target, &options))
    }

    /// Hands one launch over.
    pub(super) fn launch(
        &self,
        stream: &Stream,
        kernel: Kernel,
        extent: Extent,
        told: &[u8],
    ) -> Result<(), BackendError> {
        let function = self.function(kernel)?;
        Ok(stream.launch(&function, extent, told)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, capability: u32, multiprocessors: u32) -> Listed {
        Listed::example(name, [capability / 10, capability % 10], multiprocessors)
    }

    #[test]
    fn the_largest_gpu_is_taken_or_the_one_that_is_named() {
        let all = || vec![listed("Small", 86, 20), listed("Big", 90, 132), listed("Big", 90, 132)];
        let name = |wanted| choose(all(), wanted).map(|one| one.name);
        assert_eq!(name("").as_deref(), Ok("Big"));
        assert_eq!(name("sMA").as_deref(), Ok("Small"));
        let refused = name("Difference Engine").expect_err("there is none");
        assert!(refused.why.contains("Small, Big, Big"), "{refused}");
        let refused = choose(Vec::new(), "").expect_err("there is none");
        assert!(refused.why.contains("no GPU"), "{refused}");
    }

    #[test]
    fn what_is_too_old_is_named_with_what_would_do() {
        let refused = choose(vec![listed("Old", 70, 80)], "").expect_err("no tensor cores of ours");
        assert!(refused.why.contains("Old") && refused.why.contains("7.0"), "{refused}");
        assert!(refused.why.contains("7.5"), "{refused}");
        choose(vec![listed("Turing", 75, 40)], "").expect("the oldest that will do");
    }

    #[test]
    fn a_driver_without_the_calls_that_are_made_is_refused_by_its_version() {
        for (version, told) in [((12, 2), "12.2"), ((12, 7), "12.7"), ((11, 8), "11.8")] {
            let refused = is_new_enough(version).expect_err("an old one");
            assert!(refused.why.contains(told) && refused.why.contains("12.8"), "{refused}");
        }
        is_new_enough((12, 8)).expect("the oldest that will do");
        is_new_enough((13, 0)).expect("a newer one");
    }

    #[test]
    fn a_compiler_newer_than_the_driver_is_refused_by_both_versions() {
        takes((13, 0), (13, 0)).expect("the same");
        takes((13, 1), (12, 8)).expect("an older one");
        for newer in [(13, 5), (14, 0)] {
            let refused = takes((13, 0), newer).expect_err("a newer one");
            let told = format!("{}.{}", newer.0, newer.1);
            assert!(refused.why.contains(&told) && refused.why.contains("13.0"), "{refused}");
        }
    }

    #[test]
    fn a_lack_of_memory_is_no_loss() {
        let fault = |kind| Fault { call: "cuMemAlloc", said: "no room".to_owned(), kind };
        assert!(matches!(fault(Kind::Full).into(), BackendError::Full { what: "cuda", .. }));
        assert!(matches!(fault(Kind::Broken).into(), BackendError::Lost { what: "cuda", .. }));
    }
}
