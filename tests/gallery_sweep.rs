//! After an erasure neither the disk nor the process's memory holds the template, its disguised
//! form, or a key that ever opened it.
//!
//! A child process holds the gallery; this side looks. The child never holds a needle but as the
//! gallery does: it opens a gallery that this side has filled, reads a template from a pipe
//! straight into its place, and all its randomness from a file, of which this side knows every
//! byte: so what it drew for keys is known here without the child having told, kept or derived it a
//! second time.
//!
//! While they are in use, keys stand nowhere but in locked memory, and never in the gallery's file.
//! What else was drawn and may stand in the file in the clear is known by its place there: the
//! file's id, and the salts of the two superblocks.

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
/// Who is erased: one whom the child enrols, and one whom it finds enrolled.
const TARGET: u32 = 7;
const FOUNDER: u32 = 8;
/// The child enrols so many more, and finds one more.
const OTHERS: u32 = 5;
const STAYS: u32 = 9;

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
    step("opened");
    wait();
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
    for erased in [TARGET, FOUNDER] {
        let erasure = gallery.erase(subject(erased)).expect("it was enrolled");
        assert!(erasure.is_complete(), "nobody else holds it");
    }
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
    assert_eq!(found[0].hits.len(), OTHERS as usize + 3);
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
    /// The templates of the erased.
    templates: Needles,
    disguised: Needles,
    /// Keys drawn while the gallery was made and filled; all of them die with the first epoch.
    first_epoch: Needles,
    target: Vec<u8>,
}

fn bytes_of(values: &[i8]) -> Vec<u8> {
    bytemuck::cast_slice::<i8, u8>(values).to_vec()
}

impl Wanted {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let drawn = Arc::new(Recording::default());
        let site = Site::drawing(folder.path(), drawn.clone());
        let gallery = site.create_of(LAYOUT_512).expect("a new gallery");
        for (number, seed) in [(STAYS, 8_887), (FOUNDER, 8_888)] {
            let reference = vec![template(seed, LAYOUT_512)];
            gallery.enrol(subject(number), reference, Enrolment::default()).expect("there is room");
        }
        let erased = [9_999, 8_888].map(|seed| people::values(seed, LAYOUT_512));
        let disguise = |values: &[i8]| {
            let mut disguised = vec![0; values.len()];
            gallery.source().transform().expect("it has one").apply(values, &mut disguised);
            disguised
        };
        let mut wanted = Self {
            folder,
            templates: Needles::default(),
            disguised: Needles::default(),
            first_epoch: Needles::default(),
            target: bytes_of(&erased[0]),
        };
        for values in &erased {
            wanted.templates.add("a template", &bytes_of(values));
            wanted.disguised.add("a disguised template", &bytes_of(&disguise(values)));
        }
        let public = public_in(wanted.folder.path());
        let probe = disguise(&erased[0]);
        for drawn in drawn.0.lock().expect("no panic").iter() {
            // The seed of the transform lives on with the gallery; what else was drawn does not.
            let is_seed = <&[u8; 32]>::try_from(drawn.as_slice()).is_ok_and(|seed| {
                let mut again = vec![0; probe.len()];
                SignedPermutation::derive(seed, LAYOUT_512).apply(&erased[0], &mut again);
                again == probe
            });
            if !is_seed && drawn.len() >= WINDOW_BYTES && !public.contains(drawn) {
                wanted.first_epoch.add("a key of the first epoch", drawn);
            }
        }
        wanted
    }
}

/// What stands in the gallery's file in the clear and was drawn: its id, and the salt of each
/// superblock, at their places.
fn public_in(folder: &Path) -> Vec<Vec<u8>> {
    let file = fs::read(Site::media_in(folder)).expect("it is there");
    let places = [(16, 16), (136, 32), (4096 + 136, 32)];
    places.map(|(at, bytes)| file[at..at + bytes].to_vec()).into()
}

fn nothing(found: Vec<String>, stage: &str) {
    let first = &found[..found.len().min(8)];
    assert!(found.is_empty(), "{stage}: {} found, such as {first:#?}", found.len());
}

/// The windows of what the child drew, without those of `public`.
fn keys_of(drawn: &[u8], public: &[Vec<u8>]) -> Needles {
    let is_public = |window: &&[u8]| {
        public.iter().any(|known| known.windows(WINDOW_BYTES).any(|known| known == *window))
    };
    let mut keys = Needles::default();
    for window in drawn.windows(WINDOW_BYTES).filter(|window| !is_public(window)) {
        keys.add("a data key of the erased", window);
    }
    keys
}

/// Runs the child in one residency and sweeps at every step.
fn sweep(test: &str, locked: bool) {
    let wanted = Wanted::new();
    let folder = wanted.folder.path();
    let gallery_file = Site::media_in(folder);
    assert!(wanted.first_epoch.len() > 1, "keys were drawn");
    assert!(!wanted.first_epoch.in_folder(&Site::vault_in(folder)).is_empty(), "control: its key");
    nothing(wanted.first_epoch.in_file(&gallery_file), "keys in the file, once it is filled");
    let random_folder = tempfile::tempdir().expect("a folder");
    let random_path = random_folder.path().join("random");
    let mut random = vec![0; RANDOM_BYTES];
    SystemEntropy.fill(&mut random);
    fs::write(&random_path, &random).expect("written");

    let mut child = Held::start(folder, &random_path, locked);
    child.reaches("opened");
    let pid = child.child.id();
    let in_memory = match wanted.first_epoch.in_memory(pid) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let why = "reading another process's memory needs a privilege";
            return common::skip(test, "ptrace", why);
        }
        found => found.expect("it can be read"),
    };
    let in_memory_of = |needles: &Needles| needles.in_memory(pid).expect("as before");
    let in_open = |needles: &Needles| needles.in_open_memory(pid).expect("as before");
    assert!(!in_memory.is_empty(), "control: the keys of what was opened are there");
    nothing(in_open(&wanted.first_epoch), "keys outside locked memory, once it is open");
    nothing(in_memory_of(&wanted.templates), "a plain template, once it is open");
    nothing(in_open(&wanted.disguised), "a template outside locked memory, once it is open");

    child.send(b"!");
    let before = child.reaches("others");
    child.send(&wanted.target);
    let after = child.reaches("enrolled");
    nothing(in_memory_of(&wanted.templates), "the plain template, once it is enrolled");
    let keys = keys_of(&random[before..after], &public_in(folder));
    assert!(!in_memory_of(&keys).is_empty(), "control: the keys of what is enrolled are there");
    let resident = in_memory_of(&wanted.disguised);
    assert_eq!(!resident.is_empty(), locked, "control: only the locked residency keeps it open");
    nothing(wanted.disguised.in_folder(folder), "on disk, while it is enrolled");
    nothing(keys.in_folder(folder), "keys on disk, while they are in use");

    child.send(b"!");
    child.reaches("used");
    nothing(in_memory_of(&wanted.templates), "after a search");
    for needles in [&wanted.disguised, &wanted.first_epoch, &keys] {
        nothing(in_open(needles), "outside locked memory, after a search");
    }
    if !locked {
        nothing(in_memory_of(&wanted.disguised), "anywhere, after a search of sealed tiles");
    }
    child.send(b"!");
    child.reaches("erased");
    for needles in [&wanted.templates, &wanted.disguised, &wanted.first_epoch, &keys] {
        nothing(needles.in_folder(folder), "on disk, after the erasure");
        nothing(in_memory_of(needles), "in memory, after the erasure");
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
