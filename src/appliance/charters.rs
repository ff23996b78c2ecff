//! What each gallery was made for, in a small file beside its own: `<gallery>.charter`.
//!
//! A request states a purpose, and the law holds it against the one that the gallery was made for
//! (GDPR Art. 5(1)(b)). A gallery that an appliance makes has a charter; for one that was brought
//! as a file an operator writes it. A charter that is absent or not understood records nothing, and
//! the law says what then holds. There is nobody's data in it, and it is no secret.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use serde::{Deserialize, Serialize};

use crate::types::{GalleryId, Purpose};

/// Name ending of a charter.
const CHARTER_SUFFIX: &str = "charter";
/// Longest charter that is read, in bytes.
const CHARTER_BYTES_MAX: u64 = 4_096;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Text {
    purpose: String,
}

/// The charters of a folder's galleries; in memory alone where galleries are.
#[derive(Default)]
pub(super) struct Charters {
    folder: Option<PathBuf>,
    held: RwLock<BTreeMap<GalleryId, Purpose>>,
}

impl Charters {
    /// Reads every charter of the folder.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn open(folder: Option<&Path>) -> io::Result<Self> {
        let mut held = BTreeMap::new();
        for entry in folder.map(fs::read_dir).transpose()?.into_iter().flatten() {
            let path = entry?.path();
            if path.extension().is_none_or(|ending| ending != CHARTER_SUFFIX) {
                continue;
            }
            match read(&path) {
                Ok((name, purpose)) => drop(held.insert(name, purpose)),
                Err(why) => {
                    let path = path.display();
                    tracing::warn!(%path, why, "not a charter; nothing is recorded");
                }
            }
        }
        Ok(Self { folder: folder.map(Path::to_owned), held: RwLock::new(held) })
    }

    /// What the gallery was made for, where that is recorded.
    pub(super) fn purpose(&self, name: &GalleryId) -> Option<Purpose> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// Records it.
    ///
    /// # Errors
    /// When the file cannot be written; nothing is recorded then.
    pub(super) fn record(&self, name: &GalleryId, purpose: Purpose) -> io::Result<()> {
        if let Some(path) = self.path(name) {
            let text = Text { purpose: purpose.name().to_owned() };
            let text = toml::to_string(&text).map_err(io::Error::other)?;
            fs::write(&path, text)?;
            fs::File::open(&path)?.sync_all()?;
        }
        self.held.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), purpose);
        Ok(())
    }

    /// The gallery is gone; its charter goes with it. One that stays behind is overwritten by the
    /// next gallery of the name.
    pub(super) fn forget(&self, name: &GalleryId) {
        self.held.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        let Some(path) = self.path(name) else { return };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "a charter could not be removed");
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn path(&self, name: &GalleryId) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{name}.{CHARTER_SUFFIX}")))
    }
}

fn read(path: &Path) -> Result<(GalleryId, Purpose), String> {
    let stem = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let name: GalleryId = stem.parse().map_err(|error| format!("{error}"))?;
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    io::Read::read_to_string(&mut io::Read::take(file, CHARTER_BYTES_MAX), &mut text)
        .map_err(|error| error.to_string())?;
    let text: Text = toml::from_str(&text).map_err(|error| error.to_string())?;
    let purpose = Purpose::ALL.iter().copied().find(|purpose| purpose.name() == text.purpose);
    Ok((name, purpose.ok_or_else(|| format!("{:?} is no purpose", text.purpose))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charter_survives_a_restart_and_goes_with_its_gallery() {
        let folder = tempfile::tempdir().expect("a folder");
        let (flight, ban) = ("kl-0893".parse().expect("a name"), "ban".parse().expect("a name"));
        let charters = Charters::open(Some(folder.path())).expect("an empty folder");
        charters.record(&flight, Purpose::Boarding).expect("written");
        charters.record(&ban, Purpose::Watchlist).expect("written");
        charters.forget(&ban);
        let charters = Charters::open(Some(folder.path())).expect("a folder");
        assert_eq!(charters.purpose(&flight), Some(Purpose::Boarding));
        assert_eq!(charters.purpose(&ban), None);
    }

    #[test]
    fn what_is_no_charter_records_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        for (file, text) in [
            ("a.charter", "purpose = \"curiosity\""),
            ("b.charter", "purpose = \"boarding\"\nmore = 1"),
            ("c.charter", "\u{0}"),
            ("a name.charter", "purpose = \"boarding\""),
            ("d.gallery", "purpose = \"boarding\""),
        ] {
            fs::write(folder.path().join(file), text).expect("written");
        }
        let charters = Charters::open(Some(folder.path())).expect("a folder");
        for name in ["a", "b", "c", "d"] {
            assert_eq!(charters.purpose(&name.parse().expect("a name")), None, "{name}");
        }
    }
}
