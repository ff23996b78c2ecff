//! What the suites share: dice, networks, the oracle and galleries in memory.

pub(crate) mod cards;
pub(crate) mod dice;
pub(crate) mod gallery;
pub(crate) mod networks;
pub(crate) mod oracle;

use std::sync::Arc;

use portcullis::backend::{
    Backend, FACTORIES, Unavailable, Wish,
    cpu::{Cpu, Isa},
};

/// A machine, or why it is not at hand.
pub(crate) type Made = Result<Arc<dyn Backend>, Unavailable>;

/// Makes the backend of that name.
pub(crate) fn factory(name: &'static str) -> Made {
    let factory = FACTORIES.iter().find(|factory| factory.name == name);
    let absent = Unavailable { what: name, why: "this build does not carry it".to_owned() };
    (factory.ok_or(absent)?.make)(&Wish { threads: 2, adapter: "", by_name: true })
}

/// Makes the CPU backend with that instruction set and one thread.
pub(crate) fn isa(isa: Isa) -> Made {
    Ok(Arc::new(Cpu::with_isa(1, isa)?))
}

/// Opens a device as if it were the smallest there is.
#[cfg(feature = "wgpu")]
pub(crate) fn small_device() -> Made {
    use portcullis::backend::wgpu::{Options, Wgpu};
    let options = Options { emulate: true, tight: true, ..Options::default() };
    Ok(Arc::new(Wgpu::with(&options)?))
}

/// What was made, or `None` after a counted skip of `test` under the key `name`.
pub(crate) fn at_hand(name: &str, test: &str, made: Made) -> Option<Arc<dyn Backend>> {
    match made {
        Ok(backend) => Some(backend),
        Err(unavailable) => {
            crate::common::skip(test, name, &unavailable.to_string());
            None
        }
    }
}
