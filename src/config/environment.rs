//! The process's environment, and the folders that follow from it.

use std::path::{Path, PathBuf};

use super::ConfigError;

const FOLDER: &str = "portcullis";

/// The process's environment, read once.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    pub(super) variables: Vec<(String, String)>,
}

impl Environment {
    /// Reads it; variables that are not UTF-8 are not ours.
    #[must_use]
    pub fn of_process() -> Self {
        let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let mut variables: Vec<_> = std::env::vars_os().filter_map(unicode).collect();
        variables.sort();
        Self { variables }
    }

    /// An environment of these variables, for tests and for embedding.
    #[must_use]
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        Self { variables: variables.iter().map(owned).collect() }
    }

    /// A variable's value; an empty one counts as unset.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(held, _)| held == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Where models and photographs are kept.
    ///
    /// # Errors
    /// [`ConfigError::NoFolder`].
    pub fn cache_folder(&self) -> Result<PathBuf, ConfigError> {
        if let Some(folder) = self.value("PORTCULLIS_CACHE") {
            return Ok(PathBuf::from(folder));
        }
        let folder = self.folder("XDG_CACHE_HOME", ".cache");
        folder.ok_or(ConfigError::NoFolder { what: "cached models", variable: "PORTCULLIS_CACHE" })
    }

    /// Where what must outlive the process is kept: the audit, galleries, their keys.
    ///
    /// # Errors
    /// [`ConfigError::NoFolder`].
    pub fn state_folder(&self) -> Result<PathBuf, ConfigError> {
        let folder = self.folder("XDG_STATE_HOME", ".local/state");
        folder.ok_or(ConfigError::NoFolder {
            what: "the audit and galleries",
            variable: "XDG_STATE_HOME",
        })
    }

    pub(super) fn config_file(&self) -> Option<PathBuf> {
        self.folder("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("config.toml"))
    }

    fn folder(&self, variable: &str, under_home: &str) -> Option<PathBuf> {
        let base = match self.value(variable) {
            Some(base) => PathBuf::from(base),
            None => Path::new(self.value("HOME")?).join(under_home),
        };
        Some(base.join(FOLDER))
    }
}
