//! A disk that keeps a log: what the gallery's media and the custodian's vault were told, call by
//! call, so that every state a power cut can leave behind can be built again.
//!
//! The medium promises what the format assumes of it and nothing more: what was synced stays; of
//! what was not, any part may be there, in any order, and a write may be there in part.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

/// Files of the custodian's vault by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What lies on the disk when the machine starts again.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Image {
    /// The gallery's file.
    pub media: Vec<u8>,
    /// The custodian's folder.
    pub vault: Files,
}

/// A change of one file's content.
#[derive(Clone)]
pub enum Change {
    /// Bytes at an offset.
    Write(u64, Arc<[u8]>),
    /// Cut or grown to a length.
    Length(u64),
}

/// One call that changes something.
#[derive(Clone)]
pub enum Call {
    /// The gallery's file is changed.
    Media(Change),
    /// Its changes so far are to last.
    MediaSync,
    /// A file of the vault is made.
    Make(String),
    /// A file of the vault is changed.
    Vault(String, Change),
    /// Its content so far is to last.
    VaultSync(String),
    /// A file of the vault loses its name.
    Unlink(String),
    /// The names so far are to last.
    FolderSync,
    /// This sync failed, and what it should have made last never will.
    Lost(Box<Call>),
    /// Not a call: the operation of this number begins, or was acknowledged.
    Mark(usize, Moment),
}

/// Where in an operation a mark stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Before its first call.
    Began,
    /// After the caller was told that it is done.
    Done,
}

/// How a call fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// No room: half of a write is there.
    NoSpace,
    /// The device refuses; a write is not there.
    Device,
    /// The device refuses the sync of a file, and what it should have made last is lost, as on
    /// Linux after a failed write-back: the next sync succeeds and says nothing. Names are
    /// journalled by the file system and are not lost in that way.
    Forgetful,
}

impl Fault {
    fn error(self) -> io::Error {
        const ENOSPC: i32 = 28;
        const EIO: i32 = 5;
        io::Error::from_raw_os_error(if self == Self::NoSpace { ENOSPC } else { EIO })
    }
}

pub fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(bytes) => content.resize(usize::try_from(*bytes).expect("small"), 0),
        Change::Write(at, bytes) => {
            let at = usize::try_from(*at).expect("small");
            if content.len() < at + bytes.len() {
                content.resize(at + bytes.len(), 0);
            }
            content[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
}

#[derive(Default)]
struct Inner {
    image: Image,
    log: Vec<Call>,
    calls: u64,
    fault: Option<(u64, Fault)>,
}

/// The disk as the process sees it. Clones share it.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Inner>>);

impl Disk {
    pub fn of(image: Image) -> Self {
        Self(Arc::new(Mutex::new(Inner { image, ..Inner::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no test panics while it holds the disk")
    }

    pub fn mark(&self, operation: usize, moment: Moment) {
        self.lock().log.push(Call::Mark(operation, moment));
    }

    /// The log so far; the next begins empty.
    pub fn take_log(&self) -> Vec<Call> {
        std::mem::take(&mut self.lock().log)
    }

    /// What the process sees; after a clean end this is what lasts.
    pub fn image(&self) -> Image {
        self.lock().image.clone()
    }

    /// The call of this number, counted from now, fails.
    pub fn fail_at(&self, call: u64, fault: Fault) {
        let mut inner = self.lock();
        inner.calls = 0;
        inner.fault = Some((call, fault));
    }

    /// No more failures; whether the planned one came.
    pub fn heal(&self) -> bool {
        let mut inner = self.lock();
        inner.fault.take().is_some_and(|(at, _)| inner.calls > at)
    }

    /// A reading call.
    pub fn look<T>(&self, look: impl FnOnce(&Image) -> T) -> io::Result<T> {
        let mut inner = self.lock();
        match inner.failing() {
            Some(fault) if fault != Fault::Forgetful => Err(fault.error()),
            _ => Ok(look(&inner.image)),
        }
    }

    /// A changing call.
    pub fn call(&self, call: Call) -> io::Result<()> {
        let mut inner = self.lock();
        let is_sync = matches!(call, Call::MediaSync | Call::VaultSync(_));
        let fault = inner.failing().filter(|fault| is_sync || *fault != Fault::Forgetful);
        let Some(fault) = fault else {
            inner.apply(&call);
            inner.log.push(call);
            return Ok(());
        };
        let half = |change: Change| match change {
            Change::Write(at, bytes) => Some(Change::Write(at, bytes[..bytes.len() / 2].into())),
            Change::Length(_) => None,
        };
        let left = match (fault, call) {
            (Fault::NoSpace, Call::Media(change)) => half(change).map(Call::Media),
            (Fault::NoSpace, Call::Vault(name, change)) => {
                half(change).map(|change| Call::Vault(name, change))
            }
            (Fault::Forgetful, sync) => Some(Call::Lost(Box::new(sync))),
            _ => None,
        };
        if let Some(left) = left {
            inner.apply(&left);
            inner.log.push(left);
        }
        Err(fault.error())
    }
}

impl Inner {
    fn failing(&mut self) -> Option<Fault> {
        let call = self.calls;
        self.calls += 1;
        self.fault.filter(|(at, _)| *at == call).map(|(_, fault)| fault)
    }

    fn apply(&mut self, call: &Call) {
        let vault = &mut self.image.vault;
        match call {
            Call::Media(change) => apply(&mut self.image.media, change),
            Call::Make(name) => {
                vault.entry(name.clone()).or_default();
            }
            Call::Vault(name, change) => apply(vault.entry(name.clone()).or_default(), change),
            Call::Unlink(name) => {
                vault.remove(name);
            }
            Call::MediaSync | Call::VaultSync(_) | Call::FolderSync => {}
            Call::Lost(_) | Call::Mark(..) => {}
        }
    }
}
