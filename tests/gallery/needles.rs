//! Looks for bytes that must not be there: in files, and in another process's memory.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

/// So many bytes in a row are no chance: 2⁻¹²⁸ for random ones.
pub const WINDOW_BYTES: usize = 16;
/// Bytes of memory read at once; chunks overlap by a window.
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes that must not be found, every window of them.
#[derive(Default)]
pub struct Needles {
    windows: HashMap<[u8; WINDOW_BYTES], &'static str>,
    /// Which first two bytes occur at all: most places are passed by this alone.
    heads: Vec<bool>,
}

impl Needles {
    /// Adds every window of `bytes`.
    ///
    /// # Panics
    /// When a window is so plain that it would be found anywhere.
    pub fn add(&mut self, what: &'static str, bytes: &[u8]) {
        self.heads.resize(1 << 16, false);
        for window in bytes.windows(WINDOW_BYTES) {
            let mut distinct = window.to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            assert!(distinct.len() > WINDOW_BYTES / 3, "{what} is too plain to be looked for");
            self.heads[usize::from(u16::from_le_bytes([window[0], window[1]]))] = true;
            self.windows.insert(window.try_into().expect("a window"), what);
        }
    }

    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Every place in `bytes` where a window stands, with its name.
    pub fn found<'a>(
        &'a self,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = (usize, &'static str)> + 'a {
        bytes.windows(WINDOW_BYTES).enumerate().filter_map(|(at, window)| {
            let head = usize::from(u16::from_le_bytes([window[0], window[1]]));
            if !self.heads.get(head).copied().unwrap_or(false) {
                return None;
            }
            self.windows.get(window).map(|what| (at, *what))
        })
    }

    /// How often each needle stands in the files below `folder`, with where.
    pub fn in_folder(&self, folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                found.extend(self.in_folder(&path));
            } else {
                found.extend(self.in_file(&path));
            }
        }
        found
    }

    /// The same of one file.
    pub fn in_file(&self, path: &Path) -> Vec<String> {
        let bytes = fs::read(path).expect("a file");
        let told = |(at, what)| format!("{what} in {} at {at}", path.display());
        self.found(&bytes).map(told).collect()
    }

    /// What stands in the memory of the process `pid`, with the region. Reads everything that can
    /// be read, whatever the process marked as not to be dumped.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] without the privilege to trace the process.
    pub fn in_memory(&self, pid: u32) -> io::Result<Vec<String>> {
        self.in_regions(pid, |_| true)
    }

    /// The same, where memory is not locked or would be dumped: where no secret has a place.
    ///
    /// # Errors
    /// As [`Self::in_memory`].
    pub fn in_open_memory(&self, pid: u32) -> io::Result<Vec<String>> {
        self.in_regions(pid, |region| !region.is_kept)
    }

    fn in_regions(&self, pid: u32, meant: impl Fn(&Region) -> bool) -> io::Result<Vec<String>> {
        let maps = fs::read_to_string(format!("/proc/{pid}/smaps"))?;
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut found = Vec::new();
        for region in Region::all(&maps).into_iter().filter(meant) {
            let mut at = region.from;
            while at + (WINDOW_BYTES as u64) <= region.to {
                let wanted = usize::try_from(region.to - at).unwrap_or(CHUNK_BYTES);
                // A page may have gone since the map was read; guard pages never come.
                let Ok(read) = memory.read_at(&mut chunk[..wanted.min(CHUNK_BYTES)], at) else {
                    break;
                };
                let told = |(offset, what)| {
                    format!("{what} at {:#x} of {}", at + offset as u64, region.name)
                };
                found.extend(self.found(&chunk[..read]).map(told));
                if read < WINDOW_BYTES {
                    break;
                }
                at += (read - WINDOW_BYTES) as u64 + 1;
            }
        }
        Ok(found)
    }
}

/// Memory that can be read, without what belongs to the kernel.
struct Region {
    from: u64,
    to: u64,
    name: String,
    /// Whether it is locked and left out of core dumps.
    is_kept: bool,
}

impl Region {
    /// Of a process's `smaps`.
    fn all(maps: &str) -> Vec<Self> {
        let (mut all, mut newest) = (Vec::new(), None);
        for line in maps.lines() {
            if let Some(region) = Self::of(line) {
                newest = region;
            } else if let Some(flags) = line.strip_prefix("VmFlags:") {
                let has = |wanted| flags.split_whitespace().any(|flag| flag == wanted);
                let is_kept = has("lo") && has("dd");
                all.extend(newest.take().map(|region| Self { is_kept, ..region }));
            }
        }
        all
    }

    /// What a line begins, if it begins one; none inside where that is not for reading.
    fn of(line: &str) -> Option<Option<Self>> {
        let mut fields = line.split_whitespace();
        let (from, to) = fields.next()?.split_once('-')?;
        let parse = |text| u64::from_str_radix(text, 16).ok();
        let (from, to) = (parse(from)?, parse(to)?);
        let readable = fields.next()?.starts_with('r');
        let name = fields.nth(3).unwrap_or("anonymous memory").to_owned();
        let kernel = name.starts_with("[v");
        Some((readable && !kernel).then_some(Self { from, to, name, is_kept: false }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_of_a_needle_is_found_and_nothing_else() {
        let needle: Vec<u8> = (100..140).collect();
        let mut needles = Needles::default();
        needles.add("needle", &needle);
        assert_eq!(needles.len(), 40 - WINDOW_BYTES + 1);
        let mut hay = vec![7; 100];
        hay[50..66].copy_from_slice(&needle[20..36]);
        assert_eq!(needles.found(&hay).collect::<Vec<_>>(), [(50, "needle")]);
        hay[58] = 0;
        assert_eq!(needles.found(&hay).count(), 0);
    }

    #[test]
    fn locked_memory_is_told_from_what_may_be_dumped() {
        let maps = "\
7f01-7f02 rw-p 00000000 00:00 0
Size:                  4 kB
VmFlags: rd wr mr mw me lo ac dd
7f03-7f05 rw-p 00000000 00:00 0                          [heap]
VmFlags: rd wr mr mw me ac
7f05-7f06 ---p 00000000 00:00 0
VmFlags: mr mw me
7f07-7f08 r--p 00000000 00:00 0                          [vvar]
VmFlags: rd
";
        let told: Vec<_> = Region::all(maps)
            .into_iter()
            .map(|region| (region.from, region.to, region.name, region.is_kept))
            .collect();
        let anonymous = (0x7f01, 0x7f02, "anonymous memory".to_owned(), true);
        assert_eq!(told, [anonymous, (0x7f03, 0x7f05, "[heap]".to_owned(), false)]);
    }
}
