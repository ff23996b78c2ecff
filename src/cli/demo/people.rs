//! Who travels: photographs of a folder, grouped by person by their names.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::cli::{Failure, local};

/// The three photographs that the demonstration needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct People {
    /// Of the traveller, in the passport and in the gallery.
    pub(super) passport: PathBuf,
    /// Of the same person, at the gate.
    pub(super) holder: PathBuf,
    /// Of somebody else, at the gate with that passport.
    pub(super) other: PathBuf,
}

impl People {
    pub(super) fn of(folder: &Path, named: bool) -> Result<Self, Failure> {
        if !folder.is_dir() {
            let next =
                if named { "name another" } else { "run `portcullis models fetch --photos`" };
            let text = format!("there is no folder {}; {next}", folder.display());
            return Err(Failure::new(text));
        }
        // Absolute, so that the commands that are shown work from anywhere.
        let folder = &folder.canonicalize()?;
        Self::among(&local::photographs(folder)?).ok_or_else(|| {
            Failure::new(format!(
                "{} does not hold two photographs of one person and one of another, named by \
                 person, such as anna1.jpg, anna2.jpg, ben.jpg",
                folder.display()
            ))
        })
    }

    fn among(files: &[PathBuf]) -> Option<Self> {
        let mut people: BTreeMap<String, Vec<&PathBuf>> = BTreeMap::new();
        for file in files {
            people.entry(person(file)).or_default().push(file);
        }
        let (name, photographs) = people.iter().max_by_key(|(_, held)| held.len())?;
        let [passport, holder, ..] = photographs[..] else { return None };
        let other = people.iter().find(|(held, _)| *held != name)?.1.first()?;
        let (passport, holder, other) = (passport.clone(), holder.clone(), (*other).clone());
        Some(Self { passport, holder, other })
    }
}

/// `anna` of `anna1.jpg`, `anna-2.jpg` and `anna.jpg`.
fn person(file: &Path) -> String {
    let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    name.trim_end_matches(|letter: char| letter.is_ascii_digit() || "-_ ".contains(letter))
        .to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_apart_by_name() {
        let files = ["ben.jpg", "anna.jpg", "anna2.jpg"].map(PathBuf::from);
        let people = People::among(&files).expect("enough");
        assert_eq!(people.passport, PathBuf::from("anna.jpg"));
        assert_eq!(people.holder, PathBuf::from("anna2.jpg"));
        assert_eq!(people.other, PathBuf::from("ben.jpg"));
        assert_eq!(People::among(&files[..2]), None);
        assert_eq!(person(Path::new("x/Anna-02.png")), "anna");
    }
}
