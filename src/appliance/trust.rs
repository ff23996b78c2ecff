//! Country certificates from disk: one file or a folder of them, read once, at the start.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    document::authentication::{TrustFileError, TrustStore, TrustStoreBuilder},
    limits::{TRUST_FILE_BYTES_MAX, TRUST_FILES_MAX},
};

/// Why there is no trust store. The operator must act: a store of which a part is missing would
/// turn travellers away, or let revoked signers pass.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file or folder cannot be read.
    #[error("{path} cannot be read: {why}; documents.trust_store names it")]
    Unreadable {
        /// Which.
        path: String,
        /// What the system said.
        why: io::Error,
    },
    /// A file is none, or is damaged.
    #[error("{path}: {why}; remove it from the trust store or replace it")]
    File {
        /// Which.
        path: String,
        /// What is wrong with it.
        why: TrustFileError,
    },
    /// Too many files.
    #[error("{path} holds more than {most} files; put certificates together in bundles")]
    TooManyFiles {
        /// The folder.
        path: String,
        /// The limit.
        most: usize,
    },
}

/// Reads files and folders of country certificates and revocation lists; nothing at all makes an
/// empty store, which trusts nobody.
///
/// # Errors
/// [`TrustError`], naming the file.
pub fn trust_store<'p>(
    paths: impl IntoIterator<Item = &'p Path>,
) -> Result<TrustStore, TrustError> {
    let mut builder = TrustStoreBuilder::default();
    for path in paths.into_iter().filter(|path| !path.as_os_str().is_empty()) {
        for file in files(path)? {
            let shown = || file.display().to_string();
            let bytes = read(&file).map_err(|why| TrustError::Unreadable { path: shown(), why })?;
            builder.add(&bytes).map_err(|why| TrustError::File { path: shown(), why })?;
        }
    }
    Ok(builder.build())
}

/// The file itself, or the files of the folder, by name; hidden ones and folders are left out.
fn files(path: &Path) -> Result<Vec<PathBuf>, TrustError> {
    let unreadable = |why| TrustError::Unreadable { path: path.display().to_string(), why };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.path().is_file() {
            files.push(entry.path());
        }
        if files.len() > TRUST_FILES_MAX {
            let path = path.display().to_string();
            return Err(TrustError::TooManyFiles { path, most: TRUST_FILES_MAX });
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a file whole; one that is too large is cut one byte above the limit, and refused for it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = TRUST_FILE_BYTES_MAX as u64 + 1;
    io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, most), &mut bytes)?;
    Ok(bytes)
}
