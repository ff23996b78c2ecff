//! A folder of photographs, replayed at a set rate: a camera for demonstrations and tests.
//!
//! Files are taken in the order of their names. When the reader falls behind, a replay either keeps
//! the newest picture and drops the older ones, as a live camera must, or hands over each in turn.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Arrival, Encoded, Source, SourceFault};
use crate::limits::IMAGE_BYTES_MAX;

/// What happens to pictures for which the reader came too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overrun {
    /// The newest that is due counts, older ones are dropped.
    KeepNewest,
    /// Each is handed over, however late.
    KeepAll,
}

/// How often the folder is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounds {
    /// Until told otherwise.
    Endless,
    /// From the first to the last file.
    Once,
}

/// A folder as a camera.
pub struct Directory {
    files: Vec<PathBuf>,
    period_us: u64,
    overrun: Overrun,
    rounds: Rounds,
    /// When picture number zero is due; the first call's time.
    began_us: Option<u64>,
    /// Number of the next picture; counts on over the rounds.
    number: u64,
    dropped: u64,
}

impl Directory {
    /// The photographs of `folder`, one every `period_us` microseconds.
    ///
    /// # Errors
    /// [`SourceFault::Unreadable`] or [`SourceFault::Empty`].
    pub fn open(
        folder: &Path,
        period_us: u64,
        overrun: Overrun,
        rounds: Rounds,
    ) -> Result<Self, SourceFault> {
        let unreadable =
            |why: io::Error| SourceFault::Unreadable { path: folder.to_owned(), kind: why.kind() };
        let entries = fs::read_dir(folder).map_err(unreadable)?;
        let paths: Result<Vec<PathBuf>, io::Error> =
            entries.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut files = paths.map_err(unreadable)?;
        files.retain(|path| is_photograph(path));
        files.sort();
        if files.is_empty() {
            return Err(SourceFault::Empty { path: folder.to_owned() });
        }
        let period_us = period_us.max(1);
        Ok(Self { files, period_us, overrun, rounds, began_us: None, number: 0, dropped: 0 })
    }

    /// Photographs in the folder.
    #[must_use]
    pub fn pictures(&self) -> usize {
        self.files.len()
    }

    /// Pictures that were dropped because a newer one was due.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Number of the newest picture that exists at all.
    fn last(&self) -> u64 {
        match self.rounds {
            Rounds::Endless => u64::MAX,
            Rounds::Once => self.files.len() as u64 - 1,
        }
    }
}

impl Source for Directory {
    fn next(&mut self, now_us: u64) -> Result<Arrival, SourceFault> {
        let began_us = *self.began_us.get_or_insert(now_us);
        if self.number > self.last() {
            return Ok(Arrival::End);
        }
        let due = (now_us.saturating_sub(began_us) / self.period_us).min(self.last());
        if self.number > due {
            return Ok(Arrival::NotBefore(began_us + self.number * self.period_us));
        }
        if self.overrun == Overrun::KeepNewest {
            self.dropped += due - self.number;
            self.number = due;
        }
        let file = (self.number % self.files.len() as u64) as usize;
        self.number += 1; // before reading: a file that cannot be read is not tried for ever
        read(&self.files[file]).map(Arrival::Picture)
    }
}

fn is_photograph(path: &Path) -> bool {
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
    ["jpg", "jpeg", "png"].iter().any(|known| suffix.eq_ignore_ascii_case(known))
}

fn read(path: &Path) -> Result<Encoded, SourceFault> {
    let unreadable =
        |why: io::Error| SourceFault::Unreadable { path: path.to_owned(), kind: why.kind() };
    let held = fs::metadata(path).map_err(unreadable)?.len();
    if held > IMAGE_BYTES_MAX as u64 {
        let (path, most) = (path.to_owned(), IMAGE_BYTES_MAX);
        return Err(SourceFault::TooLarge { path, held, most });
    }
    fs::read(path).map(Encoded::new).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.JPG", "a.jpeg", "c.png", "notes.txt"] {
            fs::write(folder.path().join(name), name).expect("a file");
        }
        folder
    }

    fn camera(folder: &Path, overrun: Overrun, rounds: Rounds) -> Directory {
        Directory::open(folder, 100, overrun, rounds).expect("photographs")
    }

    /// What arrives (a file holds its own name), or when to ask again.
    fn next(camera: &mut Directory, now_us: u64) -> Result<String, Option<u64>> {
        match camera.next(now_us).expect("readable") {
            Arrival::Picture(picture) => {
                Ok(String::from_utf8(picture.bytes().to_vec()).expect("a name"))
            }
            Arrival::NotBefore(at_us) => Err(Some(at_us)),
            Arrival::End => Err(None),
        }
    }

    #[test]
    fn pictures_arrive_in_the_order_of_their_names_at_the_rate() {
        let folder = folder();
        let mut camera = camera(folder.path(), Overrun::KeepAll, Rounds::Once);
        assert_eq!(camera.pictures(), 3);
        assert_eq!(next(&mut camera, 5_000), Ok("a.jpeg".into()));
        assert_eq!(next(&mut camera, 5_099), Err(Some(5_100)));
        assert_eq!(next(&mut camera, 5_900), Ok("b.JPG".into()));
        assert_eq!(next(&mut camera, 5_900), Ok("c.png".into()));
        assert_eq!(next(&mut camera, 5_900), Err(None));
    }

    #[test]
    fn a_late_reader_gets_the_newest() {
        let folder = folder();
        let mut camera = camera(folder.path(), Overrun::KeepNewest, Rounds::Endless);
        assert_eq!(next(&mut camera, 0), Ok("a.jpeg".into()));
        assert_eq!(next(&mut camera, 499), Ok("b.JPG".into())); // number 4 of the second round
        assert_eq!(camera.dropped(), 3);
        assert_eq!(next(&mut camera, 499), Err(Some(500)));
    }

    #[test]
    fn an_empty_folder_and_a_giant_file_are_refused_by_name() {
        let empty = tempfile::tempdir().expect("a folder");
        let open = |folder: &Path| Directory::open(folder, 1, Overrun::KeepAll, Rounds::Once);
        assert!(matches!(open(empty.path()), Err(SourceFault::Empty { .. })));
        assert!(matches!(open(&empty.path().join("none")), Err(SourceFault::Unreadable { .. })));

        let giant = fs::File::create(empty.path().join("giant.png")).expect("a file");
        giant.set_len(IMAGE_BYTES_MAX as u64 + 1).expect("a sparse file");
        fs::write(empty.path().join("small.png"), "small.png").expect("a file");
        let mut camera = camera(empty.path(), Overrun::KeepAll, Rounds::Once);
        assert!(matches!(camera.next(0), Err(SourceFault::TooLarge { .. })));
        assert_eq!(next(&mut camera, 100), Ok("small.png".into()));
    }
}
