//! The process keeps its memory to itself: no core dump, and no reading of it by others of the same
//! user.
//!
//! Why: a crash must not write keys and templates to a disk, and another program of the service's
//! own user must not attach to it.
//!
//! Invariant: once hardened, never softened; the hard limit on core dumps is zero too.
//!
//! What is absent: a defence against root, whom nothing here stops. A process that is not dumpable
//! has its files under `/proc` owned by root, so that an unprivileged profiler or debugger cannot
//! attach: that is meant.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, set_dumpable_behavior,
    setrlimit,
};

/// Why the process cannot be kept from being dumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be switched off: {why}; nothing was opened")]
pub struct HardenError {
    what: &'static str,
    why: rustix::io::Errno,
}

/// How much of this process another one could read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    /// Largest core dump, in bytes; none where there is no limit.
    pub core_bytes_max: Option<u64>,
    /// Whether the kernel would dump it, or let its user attach to it.
    pub is_dumpable: bool,
}

impl Exposure {
    /// Whether neither is possible.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.core_bytes_max == Some(0) && !self.is_dumpable
    }
}

/// Switches core dumps and attaching off, for the rest of this process's life and for its children.
///
/// # Errors
/// [`HardenError`]; a process that holds keys must then not go on.
pub fn harden() -> Result<(), HardenError> {
    let refused = |what| move |why| HardenError { what, why };
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(refused("core dumps"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(refused("attaching"))
}

/// Memory of this process that is resident, in bytes; none where the system does not tell.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// How it stands now.
///
/// # Errors
/// [`HardenError`] where the system does not tell.
pub fn exposure() -> Result<Exposure, HardenError> {
    let told = dumpable_behavior();
    let told = told.map_err(|why| HardenError { what: "attaching", why })?;
    let is_dumpable = told != DumpableBehavior::NotDumpable;
    Ok(Exposure { core_bytes_max: getrlimit(Resource::Core).current, is_dumpable })
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_runs_is_resident() {
        let bytes = super::resident_bytes().expect("Linux tells");
        assert!((1 << 20..1 << 40).contains(&bytes), "{bytes}");
    }
}
