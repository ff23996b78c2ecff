//! Which calls may still be made in a context, and who waits for whom at its end.
//!
//! Invariant: once a device has fallen silent or its context has ended, no call is begun. Whoever
//! ends a context waits for the calls that are under way, but not without an end, and not at all
//! where the device is silent, since the driver may never come back from those.

use std::{
    sync::{
        RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossbeam_utils::sync::Parker;

use super::{Driven, fault};

/// Between two looks at calls that are under way.
const NAP: Duration = Duration::from_micros(100);

/// The calls of one context.
#[derive(Default)]
pub(super) struct Calls {
    /// Held for reading by every call, for writing by the one that ends the context.
    under_way: RwLock<()>,
    is_over: AtomicBool,
    is_silent: AtomicBool,
}

impl Calls {
    /// Held while `call` is made.
    pub(super) fn enter(&self, call: &'static str) -> Driven<RwLockReadGuard<'_, ()>> {
        let held = match self.under_way.try_read() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            // Nobody holds it alone but who ends the context.
            Err(TryLockError::WouldBlock) => return Err(fault(call, "the context was torn down")),
        };
        if self.is_silent() {
            return Err(fault(call, "the device does not answer"));
        }
        if self.is_over.load(Ordering::Acquire) {
            return Err(fault(call, "the context was torn down"));
        }
        Ok(held)
    }

    /// The device left a wait without an answer.
    pub(super) fn fall_silent(&self) {
        self.is_silent.store(true, Ordering::Release);
    }

    /// Whether it did, and may be at work still.
    pub(super) fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Acquire)
    }

    /// Makes all further calls impossible. Gives the one who asks first a hold of the context once
    /// no call is under way in it; nothing where the device is silent, or a call does not come back
    /// within `wait`: that context is to be left as it is.
    pub(super) fn end(&self, wait: Duration) -> Option<RwLockWriteGuard<'_, ()>> {
        if self.is_over.swap(true, Ordering::AcqRel) {
            return None;
        }
        let parker = Parker::new();
        let mut naps = wait.as_micros() / NAP.as_micros();
        while !self.is_silent() {
            match self.under_way.try_write() {
                Ok(held) => return Some(held),
                Err(TryLockError::Poisoned(held)) => return Some(held.into_inner()),
                Err(TryLockError::WouldBlock) if naps == 0 => return None,
                Err(TryLockError::WouldBlock) => {
                    naps -= 1;
                    parker.park_timeout(NAP);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_never_returns_from_a_silent_device_holds_nobody_up() {
        let calls = Calls::default();
        let stuck = calls.enter("cuMemFree").expect("the context is alive");
        calls.fall_silent();
        let refused = calls.enter("cuMemAlloc").map(drop).expect_err("it would not return either");
        assert!(refused.said.contains("does not answer"), "{refused}");
        assert!(calls.end(Duration::from_secs(3600)).is_none(), "the context is left as it is");
        drop(stuck);
        assert!(calls.end(Duration::ZERO).is_none(), "for good");
    }

    #[test]
    fn a_context_ends_when_its_calls_have_returned_and_not_otherwise() {
        let calls = Calls::default();
        drop(calls.enter("cuMemAlloc").expect("the context is alive"));
        let alone = calls.end(Duration::ZERO).expect("no call is under way");
        let refused = calls.enter("cuMemAlloc").map(drop).expect_err("it is being ended");
        assert!(refused.said.contains("torn down"), "{refused}");
        drop(alone);
        let refused = calls.enter("cuMemAlloc").map(drop).expect_err("it has ended");
        assert!(refused.said.contains("torn down"), "{refused}");
        assert!(calls.end(Duration::ZERO).is_none(), "it ends once");

        let busy = Calls::default();
        let stuck = busy.enter("cuMemFree").expect("the context is alive");
        assert!(busy.end(Duration::ZERO).is_none(), "a call is under way");
        drop(stuck);
        let refused = busy.enter("cuMemAlloc").map(drop).expect_err("it is over all the same");
        assert!(refused.said.contains("torn down"), "{refused}");
    }
}
