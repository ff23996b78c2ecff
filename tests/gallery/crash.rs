//! What a power cut can leave of a log: every subset of what was not synced, and a write in part.

use std::{collections::BTreeMap, mem, sync::Arc};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::disk::{Call, Change, Files, Image, apply};

/// The unit that a device writes whole.
const SECTOR_BYTES: usize = 512;
/// Up to so many pending changes every subset is built.
const EXHAUSTIVE_CHANGES_MAX: usize = 4;

/// What has become of one pending change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Lost,
    Whole,
    /// The first bytes only.
    Bytes(usize),
    /// A random half of the sectors that it touches.
    Sectors(u64),
}

/// A file: what lasts, and what may.
#[derive(Clone, Default)]
struct Content {
    lasting: Vec<u8>,
    pending: Vec<Change>,
}

impl Content {
    fn sync(&mut self) {
        for change in mem::take(&mut self.pending) {
            apply(&mut self.lasting, &change);
        }
    }

    fn cut(&self, fates: &mut impl Iterator<Item = Fate>) -> Vec<u8> {
        let mut content = self.lasting.clone();
        for (change, fate) in self.pending.iter().zip(fates) {
            tear(&mut content, change, fate);
        }
        content
    }
}

/// A change of the folder's names.
#[derive(Clone)]
enum Naming {
    Gives(String, usize),
    Takes(String),
}

/// The disk at one moment of a log.
#[derive(Clone, Default)]
pub struct Crash {
    media: Content,
    /// Every file that ever was, by number.
    files: Vec<Content>,
    lasting: BTreeMap<String, usize>,
    seen: BTreeMap<String, usize>,
    pending: Vec<Naming>,
    /// Whether the last call was a write, and of what.
    newest: Option<Newest>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Newest {
    Media,
    File(usize),
}

impl Crash {
    /// A disk on which all of `image` lasts.
    pub fn after(image: &Image) -> Self {
        let mut crash = Self::default();
        crash.media.lasting.clone_from(&image.media);
        for (name, content) in &image.vault {
            crash.lasting.insert(name.clone(), crash.files.len());
            crash.files.push(Content { lasting: content.clone(), pending: Vec::new() });
        }
        crash.seen.clone_from(&crash.lasting);
        crash
    }

    /// Takes in the next call of the log.
    pub fn step(&mut self, call: &Call) {
        self.newest = None;
        match call {
            Call::Media(change) => {
                self.media.pending.push(change.clone());
                self.newest = Some(Newest::Media);
            }
            Call::MediaSync => self.media.sync(),
            Call::Make(name) => self.make(name),
            Call::Vault(name, change) => {
                let file = self.seen[name];
                self.files[file].pending.push(change.clone());
                self.newest = Some(Newest::File(file));
            }
            Call::VaultSync(name) => self.files[self.seen[name]].sync(),
            Call::Unlink(name) => {
                self.seen.remove(name);
                self.pending.push(Naming::Takes(name.clone()));
            }
            Call::FolderSync => {
                self.pending.clear();
                self.lasting.clone_from(&self.seen);
            }
            Call::Lost(sync) => self.lose(sync),
            Call::Mark(..) => {}
        }
    }

    fn make(&mut self, name: &str) {
        if !self.seen.contains_key(name) {
            let file = self.files.len();
            self.files.push(Content::default());
            self.seen.insert(name.to_owned(), file);
            self.pending.push(Naming::Gives(name.to_owned(), file));
        }
    }

    /// What that sync should have made last never will; that it is still seen, does not help.
    fn lose(&mut self, sync: &Call) {
        match sync {
            Call::MediaSync => self.media.pending.clear(),
            Call::VaultSync(name) => self.files[self.seen[name]].pending.clear(),
            _ => unreachable!("only a file's sync is lost"),
        }
    }

    /// Changes that may or may not be there: of the gallery, of every file, of the folder.
    fn changes(&self) -> usize {
        let of_files = self.files.iter().map(|file| file.pending.len()).sum::<usize>();
        self.media.pending.len() + of_files + self.pending.len()
    }

    /// Where the newest write stands among the changes.
    fn newest(&self) -> Option<(usize, &Change)> {
        match self.newest? {
            Newest::Media => Some((self.media.pending.len() - 1, self.media.pending.last()?)),
            Newest::File(number) => {
                let before = self.files[..number].iter().map(|file| file.pending.len());
                let pending = &self.files[number].pending;
                let at = self.media.pending.len() + before.sum::<usize>() + pending.len() - 1;
                Some((at, pending.last()?))
            }
        }
    }

    fn image(&self, fates: &[Fate]) -> Image {
        let mut fates = fates.iter().copied();
        let media = self.media.cut(&mut fates);
        let contents: Vec<Vec<u8>> = self.files.iter().map(|file| file.cut(&mut fates)).collect();
        let mut names = self.lasting.clone();
        for (naming, fate) in self.pending.iter().zip(fates) {
            if fate != Fate::Lost {
                name(&mut names, naming);
            }
        }
        let vault: Files =
            names.into_iter().map(|(name, file)| (name, contents[file].clone())).collect();
        Image { media, vault }
    }

    /// The disk if nothing more happens, as after a kill of the process alone.
    pub fn whole(&self) -> Image {
        self.image(&vec![Fate::Whole; self.changes()])
    }

    /// What a power cut now can leave: everything written, nothing of what was not synced, every
    /// subset of it when there are few and `samples` of them beyond, and the newest write in part.
    pub fn images(&self, seed: u64, samples: usize) -> Vec<Image> {
        let changes = self.changes();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut images = vec![self.whole()];
        let subset = |bits: &dyn Fn(usize) -> bool| -> Image {
            let fate = |at| if bits(at) { Fate::Whole } else { Fate::Lost };
            self.image(&(0..changes).map(fate).collect::<Vec<_>>())
        };
        if changes <= EXHAUSTIVE_CHANGES_MAX {
            let most = (1_u32 << changes) - 1; // all of them is the first image
            images.extend((0..most).map(|bits| subset(&|at| bits >> at & 1 == 1)));
        } else {
            images.push(subset(&|_| false));
            for _ in 0..samples {
                let bits: Vec<bool> = (0..changes).map(|_| random.next_u32() & 1 == 1).collect();
                images.push(subset(&|at| bits[at]));
            }
        }
        if let Some((at, Change::Write(_, bytes))) = self.newest() {
            images.extend(self.torn(at, bytes.len(), &mut random, samples));
        }
        images
    }

    /// The newest write in part, with all of the others and with a random half of them.
    fn torn(
        &self,
        newest: usize,
        bytes: usize,
        random: &mut ChaCha8Rng,
        samples: usize,
    ) -> Vec<Image> {
        let mut images = Vec::new();
        for sample in 0..samples.max(4) {
            let fate = match sample {
                0 => Fate::Bytes(bytes.min(1)),
                1 => Fate::Bytes(bytes - 1),
                2 => Fate::Bytes(bytes.min(SECTOR_BYTES)),
                odd if odd % 2 == 1 => Fate::Bytes(random.next_u32() as usize % bytes.max(1)),
                _ => Fate::Sectors(random.next_u64()),
            };
            let with_others = sample < 4;
            let mut fates = vec![Fate::Whole; self.changes()];
            for fate in &mut fates {
                if !with_others && random.next_u32() & 1 == 0 {
                    *fate = Fate::Lost;
                }
            }
            fates[newest] = fate;
            images.push(self.image(&fates));
        }
        images
    }
}

fn name(names: &mut BTreeMap<String, usize>, naming: &Naming) {
    match naming {
        Naming::Gives(name, file) => {
            names.insert(name.clone(), *file);
        }
        Naming::Takes(name) => {
            names.remove(name);
        }
    }
}

fn tear(content: &mut Vec<u8>, change: &Change, fate: Fate) {
    match (change, fate) {
        (_, Fate::Lost) => {}
        (Change::Write(at, bytes), Fate::Bytes(first)) => {
            let first: Arc<[u8]> = bytes[..first.min(bytes.len())].into();
            apply(content, &Change::Write(*at, first));
        }
        (Change::Write(at, bytes), Fate::Sectors(seed)) => {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut done = 0;
            while done < bytes.len() {
                let begin = usize::try_from(*at).expect("small") + done;
                let length = (SECTOR_BYTES - begin % SECTOR_BYTES).min(bytes.len() - done);
                if random.next_u32() & 1 == 1 {
                    let sector: Arc<[u8]> = bytes[done..done + length].into();
                    apply(content, &Change::Write(begin as u64, sector));
                }
                done += length;
            }
        }
        (change, _) => apply(content, change),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(at: u64, bytes: &[u8]) -> Call {
        Call::Media(Change::Write(at, bytes.into()))
    }

    fn media(crash: &Crash) -> Vec<Vec<u8>> {
        let mut all: Vec<_> = crash.images(1, 8).into_iter().map(|image| image.media).collect();
        all.sort();
        all.dedup();
        all
    }

    #[test]
    fn what_was_synced_stays_and_of_the_rest_every_subset_may() {
        let mut crash = Crash::after(&Image::default());
        for call in [write(0, b"ab"), Call::MediaSync, write(0, b"c"), write(1, b"d")] {
            crash.step(&call);
        }
        assert_eq!(media(&crash), [b"ab", b"ad", b"cb", b"cd"]);
        crash.step(&Call::MediaSync);
        assert_eq!(media(&crash), [b"cd"]);
    }

    #[test]
    fn a_write_may_be_there_in_part_by_bytes_and_by_sectors() {
        let mut crash = Crash::after(&Image { media: vec![0; 2048], ..Image::default() });
        crash.step(&write(0, &[1; 2048]));
        let all = media(&crash);
        assert!(all.iter().any(|media| media[0] == 1 && media[1] == 0));
        assert!(all.iter().any(|media| media[2046] == 1 && media[2047] == 0));
        let second_alone = |media: &&Vec<u8>| media[511] == 0 && media[512] == 1;
        let torn: Vec<_> = (0..64).flat_map(|seed| crash.images(seed, 8)).collect();
        assert!(torn.iter().any(|image| second_alone(&&image.media)), "sectors in any order");
    }

    #[test]
    fn a_name_and_the_content_under_it_last_by_themselves() {
        let mut crash = Crash::after(&Image::default());
        let file = || "new".to_owned();
        let content = Change::Write(0, (*b"key").into());
        for call in [Call::Make(file()), Call::Vault(file(), content), Call::VaultSync(file())] {
            crash.step(&call);
        }
        let vault = |crash: &Crash| -> Vec<Files> {
            crash.images(1, 0).into_iter().map(|image| image.vault).collect()
        };
        let named = Files::from([(file(), b"key".to_vec())]);
        assert_eq!(vault(&crash), [named.clone(), Files::new()], "its name may not last yet");
        crash.step(&Call::FolderSync);
        assert_eq!(vault(&crash), std::slice::from_ref(&named));
        crash.step(&Call::Unlink(file()));
        assert_eq!(vault(&crash), [Files::new(), named], "and its loss may not");
    }

    #[test]
    fn what_a_failed_sync_lost_does_not_come_back() {
        let mut crash = Crash::after(&Image::default());
        for call in [write(0, b"a"), Call::Lost(Box::new(Call::MediaSync)), Call::MediaSync] {
            crash.step(&call);
        }
        assert_eq!(media(&crash), [b""]);
    }
}
