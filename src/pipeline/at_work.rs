//! Who computes now, and who was to: told to whoever asks, and to the meter.
//!
//! The networks and the searches have engines of their own; each part is told of apart, and anew
//! whenever another engine takes it over.
//!
//! Invariant: what is told is true of the engine at work, not of the one that was configured. Who
//! was passed over stays told until the process ends, since an operator must look at it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    backend::Description,
    meter::{EnginePart, Meter},
};

/// A preferred engine that does not do its part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// What it was to do.
    pub part: EnginePart,
    /// Its backend.
    pub name: &'static str,
    /// What it failed with.
    pub why: String,
}

/// The engines of one pipeline.
pub struct AtWork {
    meter: Arc<Meter>,
    told: Mutex<Told>,
}

struct Told {
    /// By [`EnginePart`].
    engines: [Description; EnginePart::ALL.len()],
    passed_over: Vec<PassedOver>,
}

impl AtWork {
    pub(super) fn new(
        meter: Arc<Meter>,
        networks: Description,
        search: Description,
        passed_over: Vec<PassedOver>,
    ) -> Self {
        let told = Told { engines: [networks, search], passed_over };
        EnginePart::ALL.into_iter().for_each(|part| told.count(&meter, part));
        Self { meter, told: Mutex::new(told) }
    }

    /// `next` does `part` from now on, since who did it failed with `why`. Where `next` is the same
    /// engine, made anew, nobody was passed over.
    pub(super) fn takes_over(&self, part: EnginePart, next: Description, why: &str) {
        let mut told = self.held();
        if told.engines[part as usize] == next {
            return;
        }
        let before = std::mem::replace(&mut told.engines[part as usize], next);
        told.passed_over.push(PassedOver { part, name: before.name, why: why.to_owned() });
        told.count(&self.meter, part);
    }

    /// Who does `part` now.
    #[must_use]
    pub fn engine(&self, part: EnginePart) -> Description {
        self.held().engines[part as usize].clone()
    }

    /// Who was to do `part` and failed, the most preferred one first.
    #[must_use]
    pub fn passed_over(&self, part: EnginePart) -> Vec<PassedOver> {
        let told = self.held();
        told.passed_over.iter().filter(|other| other.part == part).cloned().collect()
    }

    fn held(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn count(&self, meter: &Meter, part: EnginePart) {
        let Description { name, device, detail, threads, .. } = &self.engines[part as usize];
        meter.device(part, name, [device, detail], *threads as u64);
        let others = self.passed_over.iter().filter(|other| other.part == part);
        meter.engines_passed_over(part, others.count() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, reference::Reference};

    fn engine(name: &'static str) -> Description {
        Description { name, device: format!("device of {name}"), ..Reference::new().describe() }
    }

    #[test]
    fn each_part_is_told_apart_and_anew() {
        let meter = Arc::new(Meter::new());
        let refused = PassedOver { part: EnginePart::Networks, name: "a", why: "no room".into() };
        let at_work =
            AtWork::new(Arc::clone(&meter), engine("b"), engine("b"), vec![refused.clone()]);
        assert_eq!(at_work.passed_over(EnginePart::Networks), std::slice::from_ref(&refused));
        assert!(at_work.passed_over(EnginePart::Search).is_empty());
        at_work.takes_over(EnginePart::Networks, engine("b"), "a panic");
        assert_eq!(at_work.passed_over(EnginePart::Networks).len(), 1, "made anew, not replaced");
        at_work.takes_over(EnginePart::Networks, engine("c"), "unplugged");
        assert_eq!(at_work.engine(EnginePart::Networks).name, "c");
        assert_eq!(at_work.engine(EnginePart::Search).name, "b");
        let lost = PassedOver { part: EnginePart::Networks, name: "b", why: "unplugged".into() };
        assert_eq!(at_work.passed_over(EnginePart::Networks), [refused, lost]);
        let text = meter.expose(0);
        let lines = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(lines("portcullis_device_info{"), 2, "who computed before is forgotten: {text}");
        for line in [
            "portcullis_device_info{backend=\"c\",detail=\"",
            "portcullis_device_info{backend=\"b\",detail=\"",
            "portcullis_engines_passed_over{part=\"networks\"} 2",
            "portcullis_engines_passed_over{part=\"search\"} 0",
        ] {
            assert_eq!(lines(line), 1, "{line} in {text}");
        }
    }
}
