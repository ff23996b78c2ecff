//! Who takes over when an engine fails: the backends after the one at work, in the order of
//! preference, made when they are needed.
//!
//! Model files are read and checked again then, rather than kept: a second copy of every network's
//! weights is too much for a case that may never come. A file that is gone or altered by then is no
//! engine, and its batch is referred.

use std::{path::Path, sync::Arc};

use super::models::Models;
use crate::{
    backend::{Backend, Engine, FACTORIES, Wish},
    config::{AttackChoice, Environment, Models as ModelKeys},
    pipeline::{Standby, Supply},
};

/// What an engine is made of.
struct Engines {
    keys: ModelKeys,
    attack: AttackChoice,
    environment: Environment,
    at_work: Arc<dyn Backend>,
    after: Box<dyn Iterator<Item = Arc<dyn Backend>> + Send>,
}

impl Engines {
    fn ready(&self) -> Option<Engine> {
        let name = self.at_work.describe().name;
        let models = Models::load(&self.keys, &self.attack, &self.environment);
        let models = models.inspect_err(|why| tracing::error!(name, %why, "no engine")).ok()?;
        let engine = models.engine(Arc::clone(&self.at_work));
        engine.inspect_err(|why| tracing::error!(name, %why, "no engine")).ok()
    }
}

impl Supply for Engines {
    fn again(&mut self) -> Option<Engine> {
        self.ready()
    }

    fn next(&mut self) -> Option<Engine> {
        loop {
            self.at_work = self.after.next()?;
            if let Some(engine) = self.ready() {
                return Some(engine);
            }
        }
    }
}

/// Every backend that is preferred less than `at_work`, the best one first; each is made when it is
/// asked for, and passed over when it is not at hand.
fn after(
    at_work: &dyn Backend,
    wish: Wish<'_>,
) -> Box<dyn Iterator<Item = Arc<dyn Backend>> + Send> {
    let name = at_work.describe().name;
    let place = FACTORIES.iter().position(|row| row.name == name);
    let rest = FACTORIES.iter().skip(place.map_or(FACTORIES.len(), |place| place + 1));
    let Wish { threads, gives_way, by_name, .. } = wish;
    let (adapter, kernels) = (wish.adapter.to_owned(), wish.kernels.map(Path::to_owned));
    Box::new(rest.filter_map(move |row| {
        let (adapter, kernels) = (adapter.as_str(), kernels.as_deref());
        (row.make)(&Wish { threads, gives_way, adapter, kernels, by_name }).ok()
    }))
}

/// Who takes over from `at_work`; `wish` is for each of them.
pub(super) fn standby(
    at_work: &Arc<dyn Backend>,
    wish: Wish<'_>,
    (keys, attack): (&ModelKeys, &AttackChoice),
    environment: &Environment,
) -> Standby {
    let engines = Engines {
        keys: keys.clone(),
        attack: attack.clone(),
        environment: environment.clone(),
        at_work: Arc::clone(at_work),
        after: after(at_work.as_ref(), wish),
    };
    let searches = after(at_work.as_ref(), wish);
    Standby { engines: Box::new(engines), searches, passed_over: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::reference::Reference;

    const WISH: Wish<'_> = Wish { by_name: false, ..Wish::named(1) };

    #[test]
    fn the_least_preferred_backend_is_last_and_has_nobody_after_it() {
        assert_eq!(after(&Reference::new(), WISH).count(), 0);
        let first = FACTORIES.iter().find_map(|row| (row.make)(&WISH).ok());
        let first = first.expect("the reference is always there");
        let names: Vec<_> = after(first.as_ref(), WISH).map(|next| next.describe().name).collect();
        assert!(!names.contains(&first.describe().name));
        if first.describe().name != "reference" {
            assert_eq!(names.last(), Some(&"reference"));
        }
    }
}
