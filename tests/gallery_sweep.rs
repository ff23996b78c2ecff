//! After an erasure neither the disk nor the process's memory holds the template, its disguised
//! form, or a key that ever opened it.
//!
//! A child process holds the gallery; this side looks. The child never holds a needle but as the
//! gallery does: it reads the template from a pipe straight into its place, and all its randomness
//! from a file, of which this side knows every byte: so what it drew for keys is known here without
//! the child having told, kept or derived it a second time.

#![allow(clippy::disallowed_methods, reason = "a child is told by its environment what to do")]
#![allow(unreachable_pub, reason = "`pub` marks what a module's siblings may use")]

mod common;
#[path = "gallery/disk.rs"]
#[allow(dead_code, reason = "shared with the fault tests; each uses its part")]
mod disk;
#[path = "gallery/needles.rs"]
mod needles;
#[path = "gallery/people.rs"]
#[allow(dead_code, reason = "shared with the fault tests; each uses its part")]
mod people;
#[path = "gallery/site.rs"]
#[allow(dead_code, reason = "shared with the fault tests; each uses its part")]
mod site;

use std::{
    env,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write, stdout},
    os::unix::fs::FileExt,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use portcullis::{
    gallery::{Enrolment, Gallery, Residency},
    keys::wipe::WipingAllocator,
    ops::{
        search::{Probe, scan},
        transform::SignedPermutation,
    },
    random::{Entropy, SystemEntropy},
    types::{Score, Template},
};

use needles::{Needles, WINDOW_BYTES};
use people::{LAYOUT_512, kind_of, subject, template};
use site::Site;

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

const FOLDER: &str = "PORTCULLIS_TEST_SWEEP_FOLDER";
const RANDOM: &str = "PORTCULLIS_TEST_SWEEP_RANDOM";
const LOCKED: &str = "PORTCULLIS_TEST_SWEEP_LOCKED";
/// More than the child draws.
const RANDOM_BYTES: usize = 1 << 20;
/// Who is erased.
const TARGET: u32 = 7;
const OTHERS: u32 = 5;

/// Randomness that goes from a file into its place, and leaves no copy anywhere.
struct FromFile(File, AtomicU64);

impl Entropy for FromFile {
    fn fill(&self, bytes: &mut [u8]) {
        let at = self.1.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        self.0.read_exact_at(bytes, at).expect("enough of it");
    }
}

/// What this side drew while it made the gallery.
#[derive(Default)]
struct Recording(Mutex<Vec<Vec<u8>>>);

impl Entropy for Recording {
    fn fill(&self, bytes: &mut [u8]) {
        SystemEntropy.fill(bytes);
        self.0.lock().expect("no panic").push(bytes.to_vec());
    }
}

/// The child's whole life; never run by itself.
#[test]
#[ignore = "the child of the sweeps"]
fn the_child() {
    let folder = env::var(FOLDER).expect("set by the parent");
    let random = File::open(env::var(RANDOM).expect("set by the parent")).expect("it is there");
    let entropy = Arc::new(FromFile(random, AtomicU64::new(0)));
    let locked = env::var(LOCKED).expect("set by the parent") == "true";
    let residency = if locked { Residency::Locked } else { Residency::Sealed };
    let site = Site::drawing(Path::new(&folder), entropy.clone()).resident(residency);
    let step = |word: &str| {
        println!("\n{word} {}", entropy.1.load(Ordering::SeqCst));
        stdout().flush().expect("the parent listens");
    };
    let gallery = site.open().expect("it opens");
    for other in 0..OTHERS {
        let reference = template(1_000 + u64::from(other), LAYOUT_512);
        let done = gallery.enrol(subject(other), vec![reference], Enrolment::default());
        done.expect("it is enrolled");
    }
    step("others");
    enrol_from_pipe(&gallery);
    step("enrolled");
    wait();
    use_it(&gallery);
    step("used");
    wait();
    let erasure = gallery.erase(subject(TARGET)).expect("it was enrolled");
    assert!(erasure.is_complete(), "nobody else holds it");
    step("erased");
    wait();
}

/// The template comes through the kernel into the place where it stays.
fn enrol_from_pipe(gallery: &Gallery) {
    let mut values = vec![0_i8; LAYOUT_512.dims].into_boxed_slice();
    // Not through `io::stdin`, whose buffer would keep a copy.
    let mut pipe = File::open("/dev/stdin").expect("Linux");
    pipe.read_exact(bytemuck::cast_slice_mut(&mut values)).expect("the parent sends it");
    let target = Template::new(values, kind_of(LAYOUT_512)).expect("values in range");
    gallery.enrol(subject(TARGET), vec![target], Enrolment::default()).expect("it is enrolled");
}

/// A search that finds everybody, and a comparison.
fn use_it(gallery: &Gallery) {
    let source = gallery.source();
    let plain = template(4_242, LAYOUT_512);
    let mut disguised = vec![0; LAYOUT_512.dims].into_boxed_slice();
    source.transform().expect("it has one").apply(plain.values(), &mut disguised);
    let probe = Template::new(disguised, *gallery.kind()).expect("values in range");
    let threshold = Score(i32::MIN);
    let asked =
        Probe { template: &probe, threshold, best: 9, class_bits: 1, group: None, now_s: 0 };
    let found = scan(&[asked], source.as_ref()).expect("every tile opens");
    assert_eq!(found[0].hits.len(), OTHERS as usize + 1);
    assert_eq!(gallery.templates_of(subject(TARGET), 0).expect("enrolled").len(), 1);
}

fn wait() {
    let mut pipe = File::open("/dev/stdin").expect("Linux");
    pipe.read_exact(&mut [0]).expect("the parent says go on");
}

/// The child, stopped at one of its steps.
struct Held {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Held {
    fn start(folder: &Path, random: &Path, locked: bool) -> Self {
        let mut child = Command::new(env::current_exe().expect("this binary"))
            .args(["--ignored", "--exact", "the_child", "--nocapture", "--test-threads", "1"])
            .env(FOLDER, folder)
            .env(RANDOM, random)
            .env(LOCKED, locked.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let to = child.stdin.take().expect("piped");
        let from = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, to, from }
    }

    /// Hears that the child has come to `word`, and how much randomness it has drawn by then.
    fn reaches(&mut self, word: &str) -> usize {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.from.read_line(&mut line).expect("a pipe");
            assert_ne!(read, 0, "the child ended before it was {word}");
            if let Some(drawn) = line.trim().strip_prefix(word) {
                return drawn.trim().parse().expect("a number");
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.to.write_all(bytes).expect("the child listens");
    }

    fn ends(mut self) {
        self.send(b"!");
        drop(self.to);
        io::copy(&mut self.from, &mut io::sink()).expect("a pipe");
        assert!(self.child.wait().expect("it ends").success(), "the child failed");
    }
}

/// What must be gone, and what a sweep must see while it is there.
struct Wanted {
    folder: tempfile::TempDir,
    template: Needles,
    disguised: Needles,
    /// Keys drawn when the gallery was made; all of them die with the first epoch.
    first_epoch: Needles,
    target: Vec<u8>,
}

impl Wanted {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let drawn = Arc::new(Recording::default());
        let site = Site::drawing(folder.path(), drawn.clone());
        let gallery = site.create_of(LAYOUT_512).expect("a new gallery");
        let target = people::values(9_999, LAYOUT_512);
        let mut disguised = vec![0; target.len()];
        let source = gallery.source();
        source.transform().expect("it has one").apply(&target, &mut disguised);
        let bytes = |values: &[i8]| bytemuck::cast_slice::<i8, u8>(values).to_vec();
        let mut wanted = Self {
            folder,
            template: Needles::default(),
            disguised: Needles::default(),
            first_epoch: Needles::default(),
            target: bytes(&target),
        };
        wanted.template.add("the template", &wanted.target);
        wanted.disguised.add("the disguised template", &bytes(&disguised));
        for drawn in drawn.0.lock().expect("no panic").iter() {
            // The seed of the transform lives on with the gallery; what else was drawn does not.
            let is_seed = <&[u8; 32]>::try_from(drawn.as_slice()).is_ok_and(|seed| {
                let mut again = vec![0; target.len()];
                SignedPermutation::derive(seed, LAYOUT_512).apply(&target, &mut again);
                again == disguised
            });
            if !is_seed && drawn.len() >= WINDOW_BYTES && !is_public(wanted.folder.path(), drawn) {
                wanted.first_epoch.add("a key of the first epoch", drawn);
            }
        }
        wanted
    }
}

/// Whether the gallery's file holds it in the clear: a salt or an id, which is no secret.
fn is_public(folder: &Path, drawn: &[u8]) -> bool {
    let file = fs::read(Site::media_in(folder)).expect("it is there");
    file.windows(drawn.len()).any(|window| window == drawn)
}

fn nothing(found: Vec<String>, stage: &str) {
    let first = &found[..found.len().min(8)];
    assert!(found.is_empty(), "{stage}: {} found, such as {first:#?}", found.len());
}

/// Runs the child in one residency and sweeps at every step.
fn sweep(test: &str, locked: bool) {
    let wanted = Wanted::new();
    let folder = wanted.folder.path();
    assert!(wanted.first_epoch.len() > 1, "keys were drawn");
    assert!(!wanted.first_epoch.in_folder(&Site::vault_in(folder)).is_empty(), "control: its key");
    let random_folder = tempfile::tempdir().expect("a folder");
    let random_path = random_folder.path().join("random");
    let mut random = vec![0; RANDOM_BYTES];
    SystemEntropy.fill(&mut random);
    fs::write(&random_path, &random).expect("written");

    let mut child = Held::start(folder, &random_path, locked);
    let before = child.reaches("others");
    child.send(&wanted.target);
    let after = child.reaches("enrolled");
    let pid = child.child.id();
    let in_memory = match wanted.template.in_memory(pid) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let why = "reading another process's memory needs a privilege";
            return common::skip(test, "ptrace", why);
        }
        found => found.expect("it can be read"),
    };
    nothing(in_memory, "the plain template, once it is enrolled");
    // The keys that the enrolment drew, window by window: a salt among them is no secret, and says
    // so by standing in the file.
    let mut keys = Needles::default();
    for window in random[before..after].windows(WINDOW_BYTES).filter(|w| !is_public(folder, w)) {
        keys.add("a data key of the erased", window);
    }
    let live = keys.in_memory(pid).expect("as before");
    assert!(!live.is_empty(), "control: the keys of what is enrolled are there");
    let resident = wanted.disguised.in_memory(pid).expect("as before");
    assert_eq!(!resident.is_empty(), locked, "control: only the locked residency keeps it open");
    nothing(wanted.disguised.in_folder(folder), "on disk, while it is enrolled");

    child.send(b"!");
    child.reaches("used");
    nothing(wanted.template.in_memory(pid).expect("as before"), "after a search");
    if !locked {
        nothing(wanted.disguised.in_memory(pid).expect("as before"), "after a search");
    }
    child.send(b"!");
    child.reaches("erased");
    for needles in [&wanted.template, &wanted.disguised, &wanted.first_epoch, &keys] {
        nothing(needles.in_folder(folder), "on disk, after the erasure");
        nothing(needles.in_memory(pid).expect("as before"), "in memory, after the erasure");
    }
    child.ends();
}

#[test]
fn sealed_nothing_of_the_erased_is_left_on_disk_or_in_memory() {
    sweep("sealed_nothing_of_the_erased_is_left_on_disk_or_in_memory", false);
}

#[test]
fn locked_nothing_of_the_erased_is_left_on_disk_or_in_memory() {
    sweep("locked_nothing_of_the_erased_is_left_on_disk_or_in_memory", true);
}
