//! The machine that the host plays, used through a pipe as a device is used through a driver: take
//! memory, write, launch, read.

use std::{
    io::{BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

use bytemuck::{Pod, bytes_of, cast_slice};

use crate::{common, support::dice::Dice};

/// Stages of a pipeline of copies: on most architectures, and on compute capability 7.5.
pub(crate) const STAGES: [u32; 2] = [4, 2];

/// Grid and block of a launch.
#[derive(Clone, Copy)]
pub(crate) struct Extent(pub(crate) u32, pub(crate) u32, pub(crate) u32);

/// A running machine; it ends when it is dropped.
pub(crate) struct Device {
    child: Child,
    requests: Option<BufWriter<ChildStdin>>,
    replies: BufReader<ChildStdout>,
    /// Stages of its pipelines.
    pub(crate) stages: u32,
    /// Decides the order of threads.
    orders: Dice,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compiles one part; what the compiler says ends the test.
fn compile(folder: &Path, name: &str, stages: u32) -> Child {
    let mut command = Command::new("c++");
    command.args(["-std=c++17", "-O1", "-g1", "-Wall", "-Wextra", "-Werror", "-Wshadow=local"]);
    // What is for a device's compiler only.
    command.arg("-Wno-unknown-pragmas");
    command.args(["-fsanitize=undefined", "-fno-sanitize-recover=undefined"]);
    command.arg(format!("-DSTAGES_ON_HOST={stages}"));
    command.arg("-I").arg(root().join("kernels"));
    command.arg("-c").arg(root().join("tests/cuda_on_host").join(name));
    command.arg("-o").arg(folder.join(name).with_extension("o"));
    command.spawn().expect("the compiler can be started")
}

fn build(stages: u32) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cuda_on_host_{stages}"));
    std::fs::create_dir_all(&folder).expect("cargo's folder can be written");
    let parts = ["kernels.cpp", "machine.cpp"];
    let compiled = parts.map(|part| compile(&folder, part, stages));
    for mut part in compiled {
        assert!(part.wait().expect("a child").success(), "the kernels compile for the host");
    }
    let executable = folder.join("cuda_on_host");
    let mut command = Command::new("c++");
    command.arg("-fsanitize=undefined").arg("-o").arg(&executable);
    command.args(parts.map(|part| folder.join(part).with_extension("o")));
    assert!(command.status().expect("the linker can be started").success(), "they link");
    executable
}

/// The executable, built once in a run; `None` after a counted skip of `test`.
fn executable(test: &str, stages: u32) -> Option<PathBuf> {
    static COMPILER: OnceLock<bool> = OnceLock::new();
    static BUILT: Mutex<Vec<(u32, PathBuf)>> = Mutex::new(Vec::new());
    let version = || Command::new("c++").arg("--version").output().is_ok();
    if !COMPILER.get_or_init(version) {
        common::skip(test, "c++", "there is no C++ compiler");
        return None;
    }
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, held)) = built.iter().find(|(held, _)| *held == stages) {
        return Some(held.clone());
    }
    built.push((stages, build(stages)));
    built.last().map(|(_, held)| held.clone())
}

impl Device {
    /// A machine with pipelines of `stages`; `None` after a counted skip of `test`.
    pub(crate) fn start(test: &str, stages: u32) -> Option<Self> {
        let executable = executable(test, stages)?;
        let mut command = Command::new(executable);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("what was built can be started");
        let requests = Some(BufWriter::new(child.stdin.take().expect("piped")));
        let replies = BufReader::new(child.stdout.take().expect("piped"));
        let orders = Dice::thrown_for(&format!("orders of {test}"));
        Some(Self { child, requests, replies, stages, orders })
    }

    fn send(&mut self, bytes: &[u8]) {
        let requests = self.requests.as_mut().expect("it runs");
        requests.write_all(bytes).expect("the machine listens; it says above why not");
    }

    fn reply(&mut self, reply: &mut [u8]) {
        self.requests.as_mut().expect("it runs").flush().expect("the machine listens");
        self.replies.read_exact(reply).expect("the machine answers; it says above why not");
    }

    fn done(&mut self) {
        let mut reply = [0];
        self.reply(&mut reply);
        assert_eq!(reply, [1]);
    }

    /// Memory of `bytes`, full of rubbish; one byte behind it ends the machine.
    pub(crate) fn take(&mut self, bytes: usize) -> u64 {
        self.send(b"A");
        self.send(bytes_of(&(bytes as u64)));
        let mut reply = [0; 8];
        self.reply(&mut reply);
        u64::from_le_bytes(reply)
    }

    /// Gives memory back.
    pub(crate) fn free(&mut self, address: u64) {
        self.send(b"F");
        self.send(bytes_of(&address));
        self.done();
    }

    /// Memory with these values in it.
    pub(crate) fn hold<T: Pod>(&mut self, values: &[T]) -> u64 {
        let bytes: &[u8] = cast_slice(values);
        let address = self.take(bytes.len());
        self.send(b"W");
        self.send(bytes_of(&address));
        self.send(bytes_of(&(bytes.len() as u64)));
        self.send(bytes);
        self.done();
        address
    }

    /// `count` values at `address`.
    pub(crate) fn read<T: Pod>(&mut self, address: u64, count: usize) -> Vec<T> {
        let mut values = vec![T::zeroed(); count];
        self.send(b"R");
        self.send(bytes_of(&address));
        self.send(bytes_of(&(size_of_val(values.as_slice()) as u64)));
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut values);
        self.reply(bytes);
        values
    }

    /// Names of all entries.
    pub(crate) fn entries(&mut self) -> Vec<String> {
        self.send(b"N");
        let mut count = [0; 4];
        self.reply(&mut count);
        let name = |_| {
            let mut name = Vec::new();
            let mut next = [0];
            loop {
                self.replies.read_exact(&mut next).expect("a whole name");
                match next[0] {
                    0 => return String::from_utf8(name).expect("a name of C++"),
                    letter => name.push(letter),
                }
            }
        };
        (0..u32::from_le_bytes(count)).map(name).collect()
    }

    /// Runs `entry` over the whole grid, in an order of threads that is ascending, descending, or
    /// drawn.
    pub(crate) fn launch<T: Pod>(
        &mut self,
        entry: &str,
        grid: Extent,
        block: Extent,
        shared: usize,
        argument: &T,
    ) {
        let order = match self.orders.below(3) {
            order @ 0..=1 => order as u64,
            _ => 2 + self.orders.below(1 << 40) as u64,
        };
        self.send(b"L");
        self.send(entry.as_bytes());
        self.send(&[0]);
        for extent in [grid, block] {
            self.send(cast_slice(&[extent.0, extent.1, extent.2]));
        }
        self.send(bytes_of(&u32::try_from(shared).expect("a few kilobytes")));
        self.send(bytes_of(&order));
        self.send(bytes_of(&(size_of::<T>() as u32)));
        self.send(bytes_of(argument));
        self.done();
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.requests = None;
        let _ = self.child.wait();
    }
}
