//! `gallery`: the encrypted gallery on this machine's disk, each figure beside the ceiling that was
//! measured in the same run: the disk's own sync, the cipher over the same bytes, one scan.
//!
//! The file is made in a folder of its own in `--folder`, on the file system that is to be judged,
//! and removed at the end.
//! A scan is the CPU backend's, of one probe over the whole gallery. Everything is read from the
//! page cache: what is measured is the gallery, not the disk's reading.

mod token;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use portcullis::{
    backend::{Backend, BackendError, Tiles, cpu::Cpu},
    gallery::{Enrolment, FileMedia, Gallery, GalleryError, Means, Newcomer, Residency, Settings},
    keys::{aead, custodian::FileCustodian, memory::LockedBytes},
    limits::TILE_ROWS,
    ops::{
        search::Probe,
        tile::{TileLayout, TilePart, TileSource},
    },
    random::{Entropy, SeededEntropy, SystemEntropy},
    time::SystemClock,
    types::{Hash256, Score, SubjectId, Template, TemplateKind},
};

use crate::spent::{Measured, nanoseconds};

/// What the README promises.
const OPEN_SEALED_MS_MAX: f64 = 50.0;
const LOCKED_RATIO_MAX: f64 = 1.3;
const ENROLS_PER_S_MIN: f64 = 20_000.0;
/// One durable enrolment over its syncs, at most: what is bound by them waits for them for at least
/// half of its time. The rest is its tile, which is opened, sealed anew and written.
const ENROL_OVER_SYNCS_MAX: f64 = 2.0;
const SYNCS_PER_ERASE_MAX: f64 = 6.0;
const RESIDENT_MIB_MAX: f64 = 64.0;
/// Tags, padding and key tree beside the templates.
const OVERHEAD_MAX: f64 = 0.005;
/// Extents begin at multiples of it.
const UNIT_BYTES: u64 = 64;
/// Bytes of key tree per tile and per leaf of 64 tiles, as the format draws them; and a superblock.
const LEAF_ENTRY_BYTES: u64 = 208;
const ROOT_ENTRY_BYTES: u64 = 64;
const LEAF_TILES: u64 = 64;

/// Options of `gallery`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// References in it.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// int8 values of a template.
    #[arg(long, default_value_t = 512)]
    dims: usize,
    /// How many of them stand in the hot plane.
    #[arg(long, default_value_t = 128)]
    hot_dims: usize,
    /// Templates per durable batch.
    #[arg(long, default_value_t = 4096)]
    batch: usize,
    /// Compute threads of the scan.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// How often an open, a single enrolment and an erasure are measured.
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// A folder on the file system that is to be judged, in which a folder of its own is made and
    /// removed; without it, one among the system's temporary files.
    #[arg(long, value_name = "FOLDER", default_value_os_t = temporary_folder())]
    folder: PathBuf,
    #[command(flatten)]
    token: token::Token,
    /// A few rows, not held to the promises: proves that the measurement works.
    #[arg(long)]
    smoke: bool,
    /// Opens the gallery in `--folder`, searches once, and prints the resident memory: what this
    /// program calls itself with.
    #[arg(long, hide = true)]
    resident: bool,
}

fn temporary_folder() -> PathBuf {
    std::env::temp_dir().join("portcullis-bench-gallery")
}

/// Why there are no figures.
#[derive(Debug)]
pub(crate) enum Failure {
    File(PathBuf, io::Error),
    Gallery(GalleryError),
    Search(BackendError),
    Said(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Gallery(error) => write!(f, "{error}"),
            Self::Search(error) => write!(f, "{error}"),
            Self::Said(said) => f.write_str(said),
        }
    }
}

impl From<GalleryError> for Failure {
    fn from(error: GalleryError) -> Self {
        Self::Gallery(error)
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self::Search(error)
    }
}

fn said(error: impl std::fmt::Display) -> Failure {
    Failure::Said(error.to_string())
}

/// The gallery's place and shape.
struct Site<'a> {
    options: &'a Options,
    layout: TileLayout,
    kind: TemplateKind,
}

impl<'a> Site<'a> {
    fn new(options: &'a Options) -> Self {
        let rows = TILE_ROWS as usize;
        let layout = TileLayout { dims: options.dims, hot_dims: options.hot_dims, rows };
        let kind = TemplateKind {
            model: Hash256::from_bytes([1; 32]),
            calibration: Hash256::from_bytes([2; 32]),
            dims: u16::try_from(options.dims).unwrap_or(u16::MAX),
        };
        Self { options, layout, kind }
    }

    fn file(&self) -> PathBuf {
        self.options.folder.join("bench.gallery")
    }

    fn means(&self) -> Result<Means, Failure> {
        let keys = self.options.folder.join("keys");
        let custodian = FileCustodian::open(&keys, None, Arc::new(SystemEntropy)).map_err(said)?;
        Ok(Means {
            custodian: Arc::new(custodian),
            entropy: Arc::new(SystemEntropy),
            clock: Arc::new(SystemClock::start()),
        })
    }

    fn create(&self) -> Result<Gallery, Failure> {
        let media = FileMedia::create(&self.file()).map_err(said)?;
        let settings = Settings::default();
        Ok(Gallery::create(Arc::new(media), self.means()?, self.kind, self.layout, settings)?)
    }

    fn open(&self, residency: Residency) -> Result<Gallery, Failure> {
        let media = FileMedia::open(&self.file()).map_err(said)?;
        let settings = Settings { residency, ..Settings::default() };
        Ok(Gallery::open(Arc::new(media), self.means()?, settings)?)
    }

    fn template(&self, entropy: &dyn Entropy) -> Template {
        let mut bytes = vec![0; self.layout.dims];
        entropy.fill(&mut bytes);
        // Values of an eighth of the range, so that a threshold of the usual height prunes.
        let values = bytes.iter().map(|byte| byte.cast_signed() / 8).collect();
        Template::new(values, self.kind).expect("values in range, of this kind")
    }

    fn newcomer(&self, number: u64, entropy: &dyn Entropy) -> Newcomer {
        (subject(number), vec![self.template(entropy)], Enrolment::default())
    }

    /// One probe over everything; the time that it took.
    fn search(&self, backend: &Cpu, source: &Arc<dyn TileSource>) -> Result<u64, Failure> {
        let plain = self.template(&SeededEntropy::new(99));
        let mut disguised = vec![0; self.layout.dims].into_boxed_slice();
        match source.transform() {
            Some(transform) => transform.apply(plain.values(), &mut disguised),
            None => disguised.copy_from_slice(plain.values()),
        }
        let template = Template::new(disguised, self.kind).expect("as many values, in range");
        let own: i32 = template.values().iter().map(|&value| i32::from(value).pow(2)).sum();
        let threshold = Score(own * 2 / 5); // a comparison score of 0.4
        let probe =
            Probe { template: &template, threshold, best: 8, class_bits: 1, group: None, now_s: 0 };
        let tiles = Tiles::Source(Arc::clone(source));
        let mut answers = None;
        let spent = nanoseconds(|| answers = Some(backend.search(&[probe], &tiles)));
        let answers = answers.expect("it was searched")?;
        let certificate = answers[0].certificate;
        if certificate.rows_total != source.set().rows() || !certificate.holds() {
            return Err(Failure::Said(format!("a wrong certificate: {certificate:?}")));
        }
        Ok(spent)
    }
}

fn subject(number: u64) -> SubjectId {
    let mut id = *b"bench\0\0\0\0\0\0\0\0\0\0\0";
    id[8..].copy_from_slice(&number.to_be_bytes());
    SubjectId::from_bytes(id)
}

/// Runs the measurement; true when every promise holds, or none is asked for.
///
/// # Errors
/// [`Failure`].
pub(crate) fn run(options: &Options) -> Result<bool, Failure> {
    if options.resident {
        return resident_child(&Site::new(options)).map(|()| true);
    }
    let small = Options { rows: 5_000, rounds: 5, batch: 512, ..options.clone() };
    let options = if options.smoke { &small } else { options };
    let kept = in_own_folder(&options.folder, |folder| {
        let options = Options { folder: folder.to_owned(), ..options.clone() };
        measure(&Site::new(&options))
    })??;
    Ok(options.smoke || kept)
}

/// Runs `work` in a new folder within `folder`, and removes what was made there: gigabytes are not
/// left behind, whatever happened. Of what was in `folder` before, which may be real galleries with
/// their keys, nothing is touched.
fn in_own_folder<T>(folder: &Path, work: impl FnOnce(&Path) -> T) -> Result<T, Failure> {
    let own = folder.join(format!("portcullis-bench-{}", std::process::id()));
    let made = fs::create_dir_all(folder).and_then(|()| fs::create_dir(&own));
    made.map_err(|error| Failure::File(own.clone(), error))?;
    let done = work(&own);
    let _ = fs::remove_dir_all(&own);
    let _ = fs::remove_dir(folder); // if it holds nothing else
    Ok(done)
}

fn measure(site: &Site<'_>) -> Result<bool, Failure> {
    let Options { rows, dims, hot_dims, threads, .. } = *site.options;
    println!("gallery of {rows} × {dims} ({hot_dims} hot), {threads} threads");
    let gallery = site.create()?;
    let enrols = enrolments(site, &gallery)?;
    let erases = erasures(site, &gallery)?;
    drop(gallery);
    token::epochs(&site.options.token, site.options.rounds)?;
    let opens = openings(site)?;
    let memory = memory(site)?;
    Ok(enrols && erases && opens && memory)
}

/// The disk's own time to make `bytes` durable, in the gallery's folder.
fn syncs(folder: &Path, bytes: usize, rounds: usize) -> Result<Measured, Failure> {
    let path = folder.join("sync.probe");
    let failed = |error| Failure::File(path.clone(), error);
    let file = File::create(&path).map_err(failed)?;
    let block = vec![0x5A; bytes];
    file.write_all_at(&vec![0; bytes * 2], 0).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let mut measured = Measured::default();
    let mut outcome = Ok(());
    for round in 0..rounds {
        let at = (round % 2 * bytes) as u64;
        file.write_all_at(&block, at).map_err(failed)?;
        measured.extend([nanoseconds(|| outcome = file.sync_data())]);
        std::mem::replace(&mut outcome, Ok(())).map_err(failed)?;
    }
    fs::remove_file(&path).map_err(failed)?;
    Ok(measured)
}

/// Fills the gallery in durable batches, and then enrols one by one.
fn enrolments(site: &Site<'_>, gallery: &Gallery) -> Result<bool, Failure> {
    let Options { rows, batch, rounds, ref folder, smoke, .. } = *site.options;
    let entropy = SeededEntropy::new(7);
    let (mut done, mut spent, mut batches) = (0, 0, Measured::default());
    while done < rows {
        let count = (rows - done).min(batch as u64);
        let newcomers: Vec<Newcomer> =
            (done..done + count).map(|number| site.newcomer(number, &entropy)).collect();
        let mut outcome = Ok(0);
        let ns = nanoseconds(|| outcome = gallery.enrol_all(&newcomers));
        outcome?;
        batches.extend([ns]);
        (done, spent) = (done + count, spent + ns);
    }
    let rate = rows as f64 / (spent as f64 / 1e9);
    let batch_bytes = batch * (site.options.dims + 50);
    let sync = syncs(folder, batch_bytes, rounds.min(30))?;
    println!(
        "  enrol    {rate:.0} templates/s in durable batches of {batch} \
         (promised: at least {ENROLS_PER_S_MIN:.0})"
    );
    println!(
        "           batch p50 {:.2} ms   p99 {:.2} ms   one sync of {:.1} MB alone p50 {:.2} ms",
        batches.median_ms(),
        batches.percentile_ms(99),
        batch_bytes as f64 / 1e6,
        sync.median_ms()
    );
    let bound = enrolments_alone(site, gallery, &entropy)?;
    let overhead = overhead(site, gallery)?;
    println!(
        "           tags, padding, key tree: {:.3} % of the templates' bytes (promised: at most {:.1} %)",
        overhead * 100.0,
        OVERHEAD_MAX * 100.0
    );
    Ok(smoke || (rate >= ENROLS_PER_S_MIN && bound && overhead <= OVERHEAD_MAX))
}

/// Enrols one by one, beside the two syncs that each enrolment makes with the file custodian: that
/// of the medium, which carries a tile, and that of the record of where the gallery stands. A test
/// of the gallery counts them.
fn enrolments_alone(
    site: &Site<'_>,
    gallery: &Gallery,
    entropy: &dyn Entropy,
) -> Result<bool, Failure> {
    let Options { rows, rounds, ref folder, .. } = *site.options;
    let mut single = Measured::default();
    for number in 0..rounds as u64 {
        let newcomers = [site.newcomer(rows + number, entropy)];
        let mut outcome = Ok(0);
        single.extend([nanoseconds(|| outcome = gallery.enrol_all(&newcomers))]);
        outcome?;
    }
    let tile_bytes = site.layout.rows * (site.options.dims + 50);
    let tile_ms = syncs(folder, tile_bytes, rounds)?.median_ms();
    let record_ms = syncs(folder, 4096, rounds)?.median_ms();
    let ratio = single.median_ms() / (tile_ms + record_ms);
    let kept = ratio <= ENROL_OVER_SYNCS_MAX;
    println!(
        "           one durable enrolment p50 {:.2} ms   p99 {:.2} ms   its 2 syncs alone p50 \
         {tile_ms:.2} + {record_ms:.2} ms: {ratio:.2} × (promised: at most {ENROL_OVER_SYNCS_MAX} \
         ×): {}",
        single.median_ms(),
        single.percentile_ms(99),
        if kept { "kept" } else { "MISSED" }
    );
    Ok(kept)
}

/// Bytes that the newest generation takes in the file beyond the plaintext of its rows, superblocks
/// included, as a share of the templates' own.
fn overhead(site: &Site<'_>, gallery: &Gallery) -> Result<f64, Failure> {
    let report = gallery.verify(&mut |_, _| {})?;
    let taken = report.held.iter().map(|held| (held.end - held.start).next_multiple_of(UNIT_BYTES));
    let parts = [TilePart::Hot, TilePart::Cold, TilePart::Rows];
    let row: usize = parts.iter().map(|&part| site.layout.part_bytes(part, 1)).sum();
    let rows = gallery.stats().rows;
    let beyond = taken.sum::<u64>() - rows * row as u64;
    Ok(beyond as f64 / (rows * site.options.dims as u64) as f64)
}

fn erasures(site: &Site<'_>, gallery: &Gallery) -> Result<bool, Failure> {
    let Options { rows, rounds, ref folder, smoke, .. } = *site.options;
    let backend = Cpu::new(site.options.threads).map_err(said)?;
    let mut scan = Measured::default();
    for _ in 0..5 {
        scan.extend([site.search(&backend, &gallery.source())?]);
    }
    let before = gallery.written();
    let mut erased = Measured::default();
    for round in 0..rounds as u64 {
        let number = round * (rows / rounds as u64).max(1);
        let mut outcome = Ok(());
        erased.extend([nanoseconds(|| outcome = erase(gallery, number))]);
        outcome?;
    }
    let after = gallery.written();
    let sync = syncs(folder, 4096, rounds)?;
    let allowed_ms = SYNCS_PER_ERASE_MAX * sync.percentile_ms(99) + scan.median_ms();
    println!(
        "  erase    p50 {:.2} ms   p99 {:.2} ms   allowed {allowed_ms:.2} ms: \
         {SYNCS_PER_ERASE_MAX:.0} × sync p99 {:.2} ms + scan {:.2} ms",
        erased.median_ms(),
        erased.percentile_ms(99),
        sync.percentile_ms(99),
        scan.median_ms(),
    );
    let tree = (after.tree_bytes - before.tree_bytes) / rounds as u64;
    let tiles = (after.tile_bytes - before.tile_bytes) / rounds as u64;
    println!(
        "           written per erasure: {:.1} kB of tile, {:.1} kB of key tree; at 10,000,000 rows \
         {:.1} kB of key tree",
        tiles as f64 / 1e3,
        tree as f64 / 1e3,
        tree_bytes(10_000_000) as f64 / 1e3
    );
    if !smoke && tree_bytes(rows).abs_diff(tree) * 5 > tree {
        return Err(Failure::Said(format!(
            "{tree} bytes of key tree per erasure, computed were {}: the format has changed",
            tree_bytes(rows)
        )));
    }
    Ok(smoke || erased.percentile_ms(99) <= allowed_ms)
}

fn erase(gallery: &Gallery, number: u64) -> Result<(), Failure> {
    let erasure = gallery.erase(subject(number))?;
    erasure.wait(Duration::from_secs(60)).map_err(said)
}

/// Bytes of key tree that the change of one tile writes: its leaf, the root and a superblock. The
/// last leaf may be a short one; it is met as often as it has tiles.
fn tree_bytes(rows: u64) -> u64 {
    let tiles = rows.div_ceil(u64::from(TILE_ROWS));
    let leaves = tiles.div_ceil(LEAF_TILES);
    let full = tiles / LEAF_TILES * LEAF_TILES;
    let short = tiles - full;
    let leaf_tiles = (full * LEAF_TILES + short * short) / tiles.max(1);
    let leaf = LEAF_ENTRY_BYTES * leaf_tiles + aead::TAG_BYTES as u64;
    let root = 96 + ROOT_ENTRY_BYTES * leaves + aead::TAG_BYTES as u64;
    leaf + root + 4096
}

/// From a closed file to the first answer, in both residencies, from the page cache.
fn openings(site: &Site<'_>) -> Result<bool, Failure> {
    let (rounds, smoke) = (site.options.rounds.clamp(1, 10), site.options.smoke);
    let backend = Cpu::new(site.options.threads).map_err(said)?;
    let path = site.file();
    drop(fs::read(&path).map_err(|error| Failure::File(path.clone(), error))?);
    let (mut opening, mut answering, mut scan) = Default::default();
    for _ in 0..rounds {
        once(site, &backend, Residency::Sealed, [&mut opening, &mut answering, &mut scan])?;
    }
    println!(
        "  sealed   open p50 {:.2} ms (promised: at most {OPEN_SEALED_MS_MAX:.0})   to the first \
         answer {:.1} ms   one scan {:.1} ms",
        opening.median_ms(),
        answering.median_ms(),
        scan.median_ms()
    );
    let sealed = opening.median_ms() <= OPEN_SEALED_MS_MAX;
    // The first change or lookup of a subject after opening makes the index of subjects.
    let gallery = site.open(Residency::Sealed)?;
    let index = nanoseconds(|| drop(gallery.records_of(subject(1))));
    drop(gallery);
    println!("           the index of subjects, at the first change: {:.1} ms", index as f64 / 1e6);

    let (mut opening, mut answering, mut scan) = Default::default();
    for _ in 0..rounds.min(5) {
        once(site, &backend, Residency::Locked, [&mut opening, &mut answering, &mut scan])?;
    }
    let (cipher, memory) = ceilings(site)?;
    let ceiling = cipher.median_ms() + memory.median_ms() + scan.median_ms();
    let ratio = answering.median_ms() / ceiling;
    println!(
        "  locked   to the first answer p50 {:.1} ms = {ratio:.2} × {ceiling:.1} ms: cipher {:.1} + \
         locking and zeroing {:.1} + one scan {:.1} (promised: at most {LOCKED_RATIO_MAX} ×)",
        answering.median_ms(),
        cipher.median_ms(),
        memory.median_ms(),
        scan.median_ms()
    );
    Ok(smoke || (sealed && ratio <= LOCKED_RATIO_MAX))
}

/// Opens, searches, searches again.
fn once(
    site: &Site<'_>,
    backend: &Cpu,
    residency: Residency,
    [opening, answering, scan]: [&mut Measured; 3],
) -> Result<(), Failure> {
    let mut opened = None;
    let open_ns = nanoseconds(|| opened = Some(site.open(residency)));
    let gallery = opened.expect("it was opened")?;
    let source = gallery.source();
    let first_ns = site.search(backend, &source)?;
    opening.extend([open_ns]);
    answering.extend([open_ns + first_ns]);
    scan.extend([site.search(backend, &source)?]);
    Ok(())
}

/// The cipher alone over every byte that opening a locked gallery opens, part by part on one
/// thread; and locking and zeroing as much memory.
fn ceilings(site: &Site<'_>) -> Result<(Measured, Measured), Failure> {
    let tiles = usize::try_from(site.options.rows.div_ceil(u64::from(TILE_ROWS))).map_err(said)?;
    let parts = [TilePart::Hot, TilePart::Cold, TilePart::Rows];
    let sizes = parts.map(|part| site.layout.part_bytes(part, site.layout.rows));
    let (key, nonce) = ([7; 32], [0; aead::NONCE_BYTES]);
    let (mut cipher, mut memory) = (Measured::default(), Measured::default());
    for _ in 0..3 {
        let mut sealed = sizes.map(|bytes| vec![0; bytes]);
        cipher.extend([nanoseconds(|| {
            // Sealing and opening cost the same: one pass of AES-CTR and GHASH.
            for _ in 0..tiles {
                for part in &mut sealed {
                    let _ = std::hint::black_box(aead::seal(&key, &nonce, b"", part));
                }
            }
        })]);
        let mut failed = None;
        memory.extend([nanoseconds(|| {
            let held: Result<Vec<LockedBytes>, _> = (0..tiles)
                .flat_map(|_| sizes)
                .map(|bytes| {
                    let mut part = LockedBytes::zeroed(bytes)?;
                    part.fill(1);
                    Ok::<_, portcullis::keys::LockError>(part)
                })
                .collect();
            failed = held.err(); // and all of it zeroed and given back
        })]);
        failed.map_or(Ok(()), |error| Err(said(error)))?;
    }
    Ok((cipher, memory))
}

/// Resident memory that is no file, in a process of its own.
fn memory(site: &Site<'_>) -> Result<bool, Failure> {
    let Options { rows, dims, hot_dims, threads, ref folder, smoke, .. } = *site.options;
    let program = std::env::current_exe().map_err(said)?;
    let numbers = [rows, dims as u64, hot_dims as u64, threads as u64].map(|n| n.to_string());
    let output = Command::new(program)
        .args(["gallery", "--resident", "--rows", &numbers[0], "--dims", &numbers[1]])
        .args(["--hot-dims", &numbers[2], "--threads", &numbers[3], "--folder"])
        .arg(folder)
        .output()
        .map_err(said)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let kib: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [before, opened, searched, indexed] = kib[..] else {
        return Err(Failure::Said(format!("the child said: {text}")));
    };
    let mib = |kib: f64| kib / 1024.0;
    println!(
        "  memory   sealed, not of a file: {:.1} MiB when opened, {:.1} after a search, {:.1} with the \
         index of subjects; {:.1} without a gallery (promised: at most {RESIDENT_MIB_MAX:.0})",
        mib(opened),
        mib(searched),
        mib(indexed),
        mib(before)
    );
    Ok(smoke || mib(indexed) <= RESIDENT_MIB_MAX)
}

fn resident_child(site: &Site<'_>) -> Result<(), Failure> {
    let backend = Cpu::new(site.options.threads).map_err(said)?;
    let before = resident_kib()?;
    let gallery = site.open(Residency::Sealed)?;
    let opened = resident_kib()?;
    site.search(&backend, &gallery.source())?;
    let searched = resident_kib()?;
    // The first lookup of a subject makes the index that every later one uses.
    gallery.records_of(subject(1))?;
    println!("{before} {opened} {searched} {}", resident_kib()?);
    Ok(())
}

/// `RssAnon` of this process: what is resident and belongs to no file.
fn resident_kib() -> Result<u64, Failure> {
    let path = PathBuf::from("/proc/self/status");
    let status = fs::read_to_string(&path).map_err(|error| Failure::File(path, error))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.ok_or_else(|| Failure::Said("the kernel does not tell RssAnon".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_the_folder_before_stays_there() {
        let folder =
            std::env::temp_dir().join(format!("portcullis-bench-kept-{}", std::process::id()));
        let keys = folder.join("keys");
        fs::create_dir_all(&keys).expect("a folder");
        fs::write(keys.join("real.key"), b"somebody's").expect("written");
        let done = in_own_folder(&folder, |own| {
            fs::create_dir(own.join("keys")).expect("its own");
            fs::write(own.join("bench.gallery"), b"gigabytes").expect("its own");
            own.to_owned()
        });
        let own = done.expect("a new folder");
        assert!(!own.exists(), "what was made is gone");
        assert_eq!(fs::read(keys.join("real.key")).expect("it stays"), b"somebody's");
        fs::remove_dir_all(&folder).expect("the test's own");
    }
}
