//! What the suites share: dice, networks, the oracle and galleries in memory.

pub(crate) mod dice;
pub(crate) mod gallery;
pub(crate) mod networks;
pub(crate) mod oracle;

use std::sync::Arc;

use portcullis::backend::{Backend, FACTORIES};

/// The backend called `name`, or `None` after a counted skip of `test`.
pub(crate) fn backend(name: &str, test: &str) -> Option<Arc<dyn Backend>> {
    const THREADS: usize = 2;
    let factory = FACTORIES.iter().find(|factory| factory.name == name);
    let factory = factory.expect("a mounted backend has a factory");
    match (factory.make)(THREADS) {
        Ok(backend) => Some(backend),
        Err(unavailable) => {
            crate::common::skip(test, name, &unavailable.to_string());
            None
        }
    }
}
