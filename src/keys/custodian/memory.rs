//! The custodian that remembers nothing: epoch keys in this process's locked memory alone. With it
//! a power cut, or the end of the process, erases every gallery.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Claim, Custodian, CustodianDescription, CustodyError, Stand, Standing,
    wrapped::{self, Context, Kind},
};
use crate::{keys::memory::Key, random::Entropy};

/// Keeps epoch keys in locked memory.
pub struct MemoryCustodian {
    entropy: Arc<dyn Entropy>,
    galleries: Mutex<HashMap<[u8; 16], Kept>>,
}

/// One gallery's standing and keys.
#[derive(Default)]
struct Kept {
    standing: Standing,
    keys: BTreeMap<u64, Key>,
}

impl MemoryCustodian {
    /// A custodian that knows no gallery yet.
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, galleries: Mutex::default() }
    }

    fn galleries(&self) -> MutexGuard<'_, HashMap<[u8; 16], Kept>> {
        self.galleries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `use_it` work with the epoch's key.
    fn with_key<T>(
        &self,
        context: Context<'_>,
        use_it: impl FnOnce(&Key) -> Result<T, CustodyError>,
    ) -> Result<T, CustodyError> {
        let galleries = self.galleries();
        let kept = galleries.get(context.file);
        let kept = kept.ok_or_else(|| super::unknown(Kind::Memory, context.file))?;
        use_it(kept.keys.get(&context.epoch).ok_or_else(|| context.missing_key())?)
    }
}

impl Custodian for MemoryCustodian {
    fn describe(&self) -> CustodianDescription {
        CustodianDescription {
            name: Kind::Memory.name(),
            place: "locked memory of this process".to_owned(),
            covers: "A destroyed key is zero at once, and nothing else ever held it: every copy of \
                     the gallery file that was sealed before is noise. The end of the process or a \
                     power cut destroys all keys, and with them every gallery kept this way.",
            does_not_cover: "Whoever reads this process's memory while a key lives (a hypervisor, \
                             the administrator of the machine, a machine that is put to sleep) \
                             reads the key.",
        }
    }

    /// Its galleries have no file that could be copied to another process.
    fn claim(&self, _: &[u8; 16]) -> Result<Claim, CustodyError> {
        Ok(Claim::of(None))
    }

    fn newest(&self, file: &[u8; 16]) -> Result<Standing, CustodyError> {
        Ok(self.galleries().get(file).map(|kept| kept.standing).unwrap_or_default())
    }

    fn prepare(&self, file: &[u8; 16], stand: Stand) -> Result<(), CustodyError> {
        let mut galleries = self.galleries();
        let before = galleries.get(file).map(|kept| kept.standing).unwrap_or_default();
        let after = before.prepared(file, stand)?;
        let has_key = before.needs(stand.epoch)
            && galleries.get(file).is_some_and(|kept| kept.keys.contains_key(&stand.epoch));
        if !has_key && before.is_in_force(stand.epoch) {
            let context = Context { kind: Kind::Memory, file, epoch: stand.epoch, bound: &[] };
            return Err(context.missing_key());
        }
        let fresh = (!has_key).then(|| Key::random(&*self.entropy)).transpose()?;
        let kept = galleries.entry(*file).or_default();
        kept.standing = after;
        before.given_up(after).and_then(|epoch| kept.keys.remove(&epoch));
        kept.keys.extend(fresh.map(|key| (stand.epoch, key)));
        Ok(())
    }

    fn commit(&self, file: &[u8; 16], stand: Stand) -> Result<(), CustodyError> {
        let mut galleries = self.galleries();
        let kept = galleries.get_mut(file).ok_or_else(|| super::unknown(Kind::Memory, file))?;
        let (before, after) = (kept.standing, kept.standing.committed(file, stand)?);
        before.given_up(after).and_then(|epoch| kept.keys.remove(&epoch));
        kept.standing = after;
        Ok(())
    }

    fn wrap(
        &self,
        file: &[u8; 16],
        epoch: u64,
        key: &Key,
        bound: &[u8],
    ) -> Result<Vec<u8>, CustodyError> {
        let context = Context { kind: Kind::Memory, file, epoch, bound };
        self.with_key(context, |epoch_key| {
            Ok(wrapped::wrap(context, epoch_key, key, &*self.entropy))
        })
    }

    fn unwrap(
        &self,
        file: &[u8; 16],
        epoch: u64,
        wrapped: &[u8],
        bound: &[u8],
    ) -> Result<Key, CustodyError> {
        wrapped::parts(Kind::Memory, wrapped)?;
        let context = Context { kind: Kind::Memory, file, epoch, bound };
        self.with_key(context, |epoch_key| wrapped::unwrap(context, epoch_key, wrapped))
    }

    fn destroy(&self, file: &[u8; 16], epoch: u64) -> Result<(), CustodyError> {
        if let Some(kept) = self.galleries().get_mut(file) {
            let standing = kept.standing;
            kept.keys.retain(|&held, _| !standing.destroys(epoch, held));
        }
        Ok(())
    }

    fn forget(&self, file: &[u8; 16]) -> Result<(), CustodyError> {
        self.galleries().remove(file);
        Ok(())
    }
}
