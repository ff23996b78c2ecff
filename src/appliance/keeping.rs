//! What keeps galleries and their keys: folders and custodian, as the configuration names them.
//!
//! The command line's offline verbs ask here as the appliance does, so that both find the same
//! files and the same keys.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{GalleryPlace, World, galleries::private_folder};
use crate::{
    config::{Config, ConfigError, CustodianName, Environment, ResidencyName},
    gallery::{Means, Residency},
    keys::{
        Custodian, CustodyError,
        custodian::{FileCustodian, MemoryCustodian, Pkcs11Custodian, TokenAddress},
        holder::{IssuerError, IssuerKey, ReaderKey},
        phrase::{Phrase, PhraseError},
    },
    random::Entropy,
};

/// Folder of gallery files in the state folder.
const GALLERIES_FOLDER: &str = "galleries";
/// Folder of key files in the state folder.
const KEYS_FOLDER: &str = "keys";

/// Why galleries or their keys are not at hand. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum KeepingError {
    /// There is no place for them.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A folder cannot be made or read.
    #[error("the folder {path} cannot be used: {why}; set gallery.directory to one that can")]
    Folder {
        /// The folder.
        path: String,
        /// What the system said.
        why: String,
    },
    /// The custodian refused.
    #[error("gallery.custodian = {name}: {error}")]
    Custodian {
        /// As configured.
        name: &'static str,
        /// Why.
        error: CustodyError,
    },
    /// A passphrase or a PIN is not usable.
    #[error("{key}: {error}")]
    Phrase {
        /// The configuration's key.
        key: &'static str,
        /// Why not.
        error: PhraseError,
    },
    /// A key of holder tokens is not usable.
    #[error("{key}: {error}")]
    Holder {
        /// The configuration's key.
        key: &'static str,
        /// Why not, naming the file.
        error: IssuerError,
    },
}

impl KeepingError {
    pub(super) fn folder(path: Option<&Path>, error: &io::Error) -> Self {
        let path = path.map(|path| path.display().to_string()).unwrap_or_default();
        Self::Folder { path, why: error.to_string() }
    }
}

/// Where gallery files lie.
///
/// # Errors
/// [`ConfigError::NoFolder`].
pub fn gallery_folder(config: &Config, environment: &Environment) -> Result<PathBuf, ConfigError> {
    of_state(&config.gallery.directory, environment, GALLERIES_FOLDER)
}

/// Where key files lie, and the locks of galleries whose keys lie on a token.
///
/// # Errors
/// [`ConfigError::NoFolder`].
pub fn key_folder(config: &Config, environment: &Environment) -> Result<PathBuf, ConfigError> {
    of_state(&config.gallery.key_directory, environment, KEYS_FOLDER)
}

fn of_state(
    configured: &Path,
    environment: &Environment,
    default: &str,
) -> Result<PathBuf, ConfigError> {
    if configured.as_os_str().is_empty() {
        return Ok(environment.state_folder()?.join(default));
    }
    Ok(configured.to_owned())
}

/// Where opened tiles lie.
#[must_use]
pub fn residency(config: &Config) -> Residency {
    match config.gallery.residency {
        ResidencyName::Sealed => Residency::Sealed,
        ResidencyName::Locked => Residency::Locked,
    }
}

/// Who keeps the keys.
///
/// # Errors
/// [`KeepingError`].
pub fn custodian(
    config: &Config,
    environment: &Environment,
    entropy: Arc<dyn Entropy>,
) -> Result<Arc<dyn Custodian>, KeepingError> {
    let keys = &config.gallery;
    match keys.custodian {
        CustodianName::Memory => Ok(Arc::new(MemoryCustodian::new(entropy))),
        CustodianName::File => {
            let passphrase = match keys.key_passphrase_file.as_path() {
                none if none.as_os_str().is_empty() => None,
                file => Some(phrase("gallery.key_passphrase_file", file)?),
            };
            let folder = made_key_folder(config, environment)?;
            let opened = FileCustodian::open(&folder, passphrase.as_ref(), entropy);
            let opened = opened.map_err(|error| KeepingError::Custodian { name: "file", error })?;
            Ok(Arc::new(opened))
        }
        CustodianName::Pkcs11 => {
            let pin = phrase("gallery.pkcs11_pin_file", &keys.pkcs11_pin_file)?;
            let (library, label) = (keys.pkcs11_module.clone(), keys.pkcs11_token.clone());
            let locks = made_key_folder(config, environment)?;
            let address = TokenAddress { library, label, locks };
            let opened = Pkcs11Custodian::open(&address, pin, entropy);
            let opened =
                opened.map_err(|error| KeepingError::Custodian { name: "pkcs11", error })?;
            Ok(Arc::new(opened))
        }
    }
}

/// The key folder, with everything above it there; itself it is its custodian's to make.
fn made_key_folder(config: &Config, environment: &Environment) -> Result<PathBuf, KeepingError> {
    let folder = key_folder(config, environment)?;
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        private_folder(above).map_err(|error| KeepingError::folder(Some(above), &error))?;
    }
    Ok(folder)
}

fn phrase(key: &'static str, file: &Path) -> Result<Phrase, KeepingError> {
    Phrase::read(file).map_err(|error| KeepingError::Phrase { key, error })
}

/// Where galleries are kept, and by what means.
///
/// # Errors
/// [`KeepingError`].
pub fn place(
    config: &Config,
    environment: &Environment,
    world: &World,
) -> Result<GalleryPlace, KeepingError> {
    let folder = match config.gallery.custodian {
        // A file that nobody can ever open again would be litter.
        CustodianName::Memory => None,
        CustodianName::File | CustodianName::Pkcs11 => Some(gallery_folder(config, environment)?),
    };
    let custodian = custodian(config, environment, Arc::clone(&world.entropy))?;
    let (entropy, clock) = (Arc::clone(&world.entropy), Arc::clone(&world.clock));
    let means = Means { custodian, entropy, clock };
    Ok(GalleryPlace { folder, means, residency: residency(config) })
}

/// The keys of holder tokens that this appliance has.
#[derive(Default)]
pub struct HolderKeys {
    /// What signs and seals; `None` where none are issued.
    pub issuer: Option<IssuerKey>,
    /// What opens and verifies, one per issuer that is accepted.
    pub readers: Vec<ReaderKey>,
}

impl HolderKeys {
    /// The keys of a desk that issues, and accepts what it issued.
    ///
    /// # Errors
    /// [`KeepingError::Holder`]: no locked memory.
    pub fn of_issuer(issuer: IssuerKey) -> Result<Self, KeepingError> {
        let refuse = |error| KeepingError::Holder { key: ISSUER_KEY, error };
        let own = issuer.reader().map_err(|error| refuse(error.into()))?;
        Ok(Self { issuer: Some(issuer), readers: vec![own] })
    }
}

const ISSUER_KEY: &str = "holder.issuer_key";

/// The keys of holder tokens that the configuration names.
///
/// # Errors
/// [`KeepingError::Holder`].
pub fn holder_keys(config: &Config) -> Result<HolderKeys, KeepingError> {
    let path = config.holder.issuer_key.as_path();
    let mut keys = if path.as_os_str().is_empty() {
        HolderKeys::default()
    } else {
        let read = IssuerKey::read(path);
        let refuse = |error| KeepingError::Holder { key: ISSUER_KEY, error };
        HolderKeys::of_issuer(read.map_err(refuse)?)?
    };
    for path in &config.holder.reader_keys {
        let read = ReaderKey::read(path);
        let refuse = |error| KeepingError::Holder { key: "holder.reader_keys", error };
        keys.readers.push(read.map_err(refuse)?);
    }
    Ok(keys)
}
