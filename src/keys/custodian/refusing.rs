//! A custodian for tests that refuses to commit or to destroy for as long as it is told to.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{Claim, Custodian, CustodianDescription, CustodyError, Stand, Standing};
use crate::keys::Key;

/// Passes on to another custodian what it does not refuse.
pub(crate) struct Refusing<C> {
    inner: C,
    /// Whether it refuses to commit.
    pub(crate) commits: AtomicBool,
    /// Whether it refuses to destroy.
    pub(crate) destroys: AtomicBool,
}

impl<C> Refusing<C> {
    pub(crate) fn over(inner: C) -> Self {
        Self { inner, commits: AtomicBool::new(false), destroys: AtomicBool::new(false) }
    }
}

fn refuse(what: &'static str, refuses: &AtomicBool) -> Result<(), CustodyError> {
    if refuses.load(Ordering::SeqCst) {
        let (path, why) = ("a disk".to_owned(), io::ErrorKind::StorageFull.into());
        return Err(CustodyError::Storage { path, what, why });
    }
    Ok(())
}

impl<C: Custodian> Custodian for Refusing<C> {
    fn describe(&self) -> CustodianDescription {
        self.inner.describe()
    }

    fn claim(&self, file: &[u8; 16]) -> Result<Claim, CustodyError> {
        self.inner.claim(file)
    }

    fn newest(&self, file: &[u8; 16]) -> Result<Standing, CustodyError> {
        self.inner.newest(file)
    }

    fn prepare(&self, file: &[u8; 16], stand: Stand) -> Result<(), CustodyError> {
        self.inner.prepare(file, stand)
    }

    fn commit(&self, file: &[u8; 16], stand: Stand) -> Result<(), CustodyError> {
        refuse("written", &self.commits)?;
        self.inner.commit(file, stand)
    }

    fn wrap(
        &self,
        file: &[u8; 16],
        epoch: u64,
        key: &Key,
        bound: &[u8],
    ) -> Result<Vec<u8>, CustodyError> {
        self.inner.wrap(file, epoch, key, bound)
    }

    fn unwrap(
        &self,
        file: &[u8; 16],
        epoch: u64,
        wrapped: &[u8],
        bound: &[u8],
    ) -> Result<Key, CustodyError> {
        self.inner.unwrap(file, epoch, wrapped, bound)
    }

    fn destroy(&self, file: &[u8; 16], epoch: u64) -> Result<(), CustodyError> {
        refuse("overwritten", &self.destroys)?;
        self.inner.destroy(file, epoch)
    }

    fn forget(&self, file: &[u8; 16]) -> Result<(), CustodyError> {
        self.inner.forget(file)
    }
}
