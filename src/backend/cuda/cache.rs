//! Compiled kernels on disk, so that only the first start of a version waits for the compiler.
//!
//! An image is found by the hash of everything that it depends on: text, headers, options (the
//! architecture among them) and the compiler's version. Files are written aside and renamed, so
//! that two processes which start together do no harm.
//!
//! Invariant: what comes out is what was put in under that very key; a file that is cut short,
//! altered or too large is not used but made anew. A folder that cannot be written costs time and
//! nothing else. What is absent: protection from somebody who may write there, since that is the
//! appliance's own user; the folder is made for that user alone.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::compiler::{Source, Target};

/// What a file begins with: name and version of the format.
const MAGIC: &[u8; 16] = b"portcullis cuda1";
/// Bytes of a hash.
const HASH: usize = 32;
/// Largest image that is read: many times the largest of ours.
const IMAGE_BYTES_MAX: u64 = 16 << 20;

/// Where images lie; without a folder nothing is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cache {
    folder: Option<PathBuf>,
}

/// What an image depends on, as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key([u8; HASH]);

impl Key {
    /// Of `source` for `target` with `options`, by the compiler of that `version`.
    pub(super) fn of(
        source: &Source,
        target: Target,
        options: &[String],
        version: (i32, i32),
    ) -> Self {
        let mut hash = Sha256::new();
        // Every part with its length, so that no two lists of parts look alike.
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        part(source.name);
        part(&source.text);
        part(&source.headers.len().to_string());
        for (name, text) in &source.headers {
            part(name);
            part(text);
        }
        part(&target.option());
        options.iter().for_each(|option| part(option));
        part(&format!("{}.{}", version.0, version.1));
        Self(hash.finalize().into())
    }

    fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Cache {
    /// In `folder`, which is made when it is needed.
    pub(super) fn new(folder: Option<&Path>) -> Self {
        Self { folder: folder.map(Path::to_owned) }
    }

    /// The image of `key`, from disk or as `make` gives it.
    pub(super) fn image(
        &self,
        name: &str,
        key: &Key,
        make: impl FnOnce() -> Result<Vec<u8>, String>,
    ) -> Result<Vec<u8>, String> {
        let Some(folder) = &self.folder else { return make() };
        // All lie in one folder, whatever folder of ours their text is from.
        let stem = name.trim_end_matches(".cu").replace('/', "-");
        let path = folder.join(format!("{stem}-{}.image", key.hex()));
        if let Some(image) = read(&path, key) {
            return Ok(image);
        }
        let image = make()?;
        if let Err(error) = write(&path, key, &image) {
            let path = path.display();
            tracing::warn!(%path, %error, "a compiled kernel is not kept: it is made each time");
        }
        Ok(image)
    }
}

/// The seal of an image: it belongs to its key, and is whole.
fn seal(key: &Key, image: &[u8]) -> [u8; HASH] {
    let mut hash = Sha256::new();
    hash.update(key.0);
    hash.update(image);
    hash.finalize().into()
}

fn read(path: &Path, key: &Key) -> Option<Vec<u8>> {
    let file = fs::File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(IMAGE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let rest = bytes.strip_prefix(MAGIC.as_slice())?;
    let (held, image) = rest.split_at_checked(HASH)?;
    (held == seal(key, image)).then(|| image.to_vec())
}

fn write(path: &Path, key: &Key, image: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    // Beside the file, under a name of this process: renaming is one step.
    let aside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = fs::File::create(&aside)?;
    let written = file
        .write_all(MAGIC)
        .and_then(|()| file.write_all(&seal(key, image)))
        .and_then(|()| file.write_all(image))
        .and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        // What is left is of no use; that it stays behind is no further harm.
        let _ = fs::remove_file(&aside);
    }
    written
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::BTreeSet};

    use super::*;
    use crate::backend::cuda::kernels::Kernel;

    fn source(text: &str) -> Source {
        Source { name: "add.cu", text: text.to_owned(), headers: vec![("shared/job.cuh", "int;")] }
    }

    fn key(text: &str) -> Key {
        Key::of(&source(text), Target::Device(90), &["--a".to_owned()], (13, 0))
    }

    /// Asks for an image, and tells whether it was made for that.
    fn asked(cache: &Cache, key: &Key, image: &[u8]) -> (Vec<u8>, bool) {
        let made = Cell::new(false);
        let held = cache.image("add.cu", key, || {
            made.set(true);
            Ok(image.to_vec())
        });
        (held.expect("it compiles"), made.get())
    }

    #[test]
    fn an_image_is_made_once_and_kept_across_starts() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("deep").join("kernels");
        let cache = Cache::new(Some(&place));
        assert_eq!(asked(&cache, &key("a"), b"code"), (b"code".to_vec(), true));
        assert_eq!(asked(&cache, &key("a"), b"other"), (b"code".to_vec(), false));
        let again = Cache::new(Some(&place));
        assert_eq!(asked(&again, &key("a"), b"other"), (b"code".to_vec(), false));
        // Nothing but finished images lies there.
        let names = fs::read_dir(&place).expect("it was made").flatten();
        let names: Vec<_> = names.map(|entry| entry.file_name().into_string()).collect();
        assert!(matches!(&names[..], [Ok(name)] if name.ends_with(".image")), "{names:?}");
    }

    #[test]
    fn every_file_of_ours_has_its_image_in_the_one_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(Some(folder.path()));
        let files: BTreeSet<&str> =
            Kernel::all().into_iter().map(|kernel| kernel.file().name).collect();
        assert!(files.iter().any(|name| name.contains('/')), "one lies in a folder of its own");
        for (number, name) in files.into_iter().enumerate() {
            let made = Cell::new(0);
            for _ in 0..2 {
                let image = cache.image(name, &key("a"), || {
                    made.set(made.get() + 1);
                    Ok(b"code".to_vec())
                });
                assert_eq!(image.as_deref(), Ok(b"code".as_slice()));
            }
            assert_eq!(made.get(), 1, "{name} is kept");
            assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), number + 1);
        }
    }

    #[test]
    fn everything_that_an_image_depends_on_changes_its_key() {
        let of = |source: &Source, target, option: &str, version| {
            Key::of(source, target, &[option.to_owned()], version)
        };
        let (plain, device) = (source("a"), Target::Device(90));
        let first = of(&plain, device, "--a", (13, 0));
        let mut others = vec![
            of(&source("b"), device, "--a", (13, 0)),
            of(&plain, Target::Device(80), "--a", (13, 0)),
            of(&plain, Target::Virtual(90), "--a", (13, 0)),
            of(&plain, device, "--b", (13, 0)),
            of(&plain, device, "--a", (13, 1)),
        ];
        let header = Source { headers: vec![("shared/job.cuh", "long;")], ..plain.clone() };
        others.push(of(&header, device, "--a", (13, 0)));
        let none = Source { headers: Vec::new(), ..plain.clone() };
        others.push(of(&none, device, "--a", (13, 0)));
        assert!(others.iter().all(|other| *other != first));
        assert_eq!(of(&plain, device, "--a", (13, 0)), first);
    }

    #[test]
    fn a_damaged_or_foreign_file_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(Some(folder.path()));
        asked(&cache, &key("a"), b"code");
        let entry = fs::read_dir(folder.path()).expect("it is there").flatten().next();
        let path = entry.expect("one image").path();
        let whole = fs::read(&path).expect("it is read");
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).expect("it is written");
            assert_eq!(asked(&cache, &key("a"), b"code"), (b"code".to_vec(), true), "{at}");
            fs::write(&path, &whole[..at]).expect("it is written");
            assert_eq!(asked(&cache, &key("a"), b"code"), (b"code".to_vec(), true), "{at}");
        }
        // An image of one key under the name of another.
        asked(&cache, &key("b"), b"others");
        let hex = key("b").hex();
        fs::copy(&path, folder.path().join(format!("add-{hex}.image"))).expect("it is copied");
        assert_eq!(asked(&cache, &key("b"), b"others"), (b"others".to_vec(), true));
    }

    #[test]
    fn where_nothing_can_be_kept_everything_is_made() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for cache in [Cache::new(Some(file.path())), Cache::new(None)] {
            assert_eq!(asked(&cache, &key("a"), b"code"), (b"code".to_vec(), true));
            assert_eq!(asked(&cache, &key("a"), b"code"), (b"code".to_vec(), true));
        }
        let refused = Cache::new(None).image("add.cu", &key("a"), || Err("a syntax".to_owned()));
        assert_eq!(refused, Err("a syntax".to_owned()));
    }
}
