//! Why a benchmark gives no figures.

use std::{io, path::PathBuf};

use portcullis::{
    backend::{BackendError, Unavailable},
    model::ModelError,
};

/// A benchmark that fails prints no table: a wrong result has no speed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A file could not be read or written.
    File(PathBuf, io::Error),
    /// The model is not one.
    Model(ModelError),
    /// The backend is not there.
    Unavailable(Unavailable),
    /// The backend refused the network.
    Backend(BackendError),
    /// The peer did not answer as agreed.
    Peer(String),
    /// The synthetic gallery was not made.
    Crowd(String),
    /// Two searches that must be equal are not.
    Differs(String),
    /// Two engines disagree.
    Disagreement {
        /// Who, with whom, on which output.
        what: String,
        /// Their cosine.
        cosine: f64,
        /// What it must reach.
        least: f64,
    },
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Model(error) => write!(f, "{error}"),
            Self::Unavailable(error) => write!(f, "{error}"),
            Self::Backend(error) => write!(f, "{error}"),
            Self::Peer(said) => write!(f, "the peer failed: {said}"),
            Self::Crowd(why) => write!(f, "the synthetic gallery: {why}"),
            Self::Differs(what) => write!(f, "{what}; nothing was timed"),
            Self::Disagreement { what, cosine, least } => {
                write!(f, "{what}: cosine {cosine:.8} is below {least}; nothing was timed")
            }
        }
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::Model(error)
    }
}

impl From<Unavailable> for Failure {
    fn from(error: Unavailable) -> Self {
        Self::Unavailable(error)
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}
