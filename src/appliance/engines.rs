//! Which engine computes: the one that the configuration names, or of all the first that is at hand
//! and takes the networks.
//!
//! Invariant: an engine that was named does its part or nothing starts. Unnamed, one that opens and
//! then fails is passed over: the next one is tried, and it is told who was passed over and why.

use std::sync::Arc;

use super::{StartError, models::Models};
use crate::{
    backend::{
        Backend, BackendError, Engine, FACTORIES, Factory, Plaintext, Unavailable, Wish, cpu,
        fpga::Fpga,
    },
    config::{ComputeClass, Config, EngineName, SearchEngine},
    meter::EnginePart,
    pipeline::PassedOver,
};

/// What the configuration says of an engine, asked for by its name or not.
pub(crate) fn wish(config: &Config, by_name: bool) -> Wish<'_> {
    let threads = match config.engine.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let gives_way = config.engine.compute == ComputeClass::Background;
    let kernels =
        Some(config.engine.kernel_cache.as_path()).filter(|at| !at.as_os_str().is_empty());
    Wish { threads, gives_way, adapter: &config.engine.adapter, kernels, by_name }
}

/// The name that the configuration asks for; `None` for the first that will do.
fn wanted(config: &Config) -> Option<&'static str> {
    match config.engine.name {
        EngineName::Auto => None,
        EngineName::Cpu => Some("cpu"),
        EngineName::Cuda => Some("cuda"),
        EngineName::Reference => Some("reference"),
        EngineName::Wgpu => Some("wgpu"),
    }
}

/// A backend that took what it was given, and who was preferred to it and did not.
pub(super) struct Found<T> {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) taken: T,
    pub(super) passed_over: Vec<PassedOver>,
}

/// The first backend of `factories` that is at hand and takes what `give` gives it: of all, or of
/// the one that is named.
fn first_of<T>(
    factories: &[Factory],
    wish: &Wish<'_>,
    wanted: Option<&str>,
    mut give: impl FnMut(&Arc<dyn Backend>) -> Result<T, BackendError>,
) -> Result<Found<T>, StartError> {
    let name = wanted.unwrap_or("auto");
    let refused = |error| StartError::Engine { name: name.to_owned(), error };
    let why = "this build does not carry it".to_owned();
    let mut last = refused(Unavailable { what: "this backend", why });
    let mut passed_over = Vec::new();
    for factory in factories.iter().filter(|row| wanted.is_none_or(|name| name == row.name)) {
        let backend = match (factory.make)(wish) {
            Ok(backend) => backend,
            Err(unavailable) => {
                tracing::info!(backend = factory.name, why = %unavailable.why, "not available");
                last = refused(unavailable);
                continue;
            }
        };
        match give(&backend) {
            Ok(taken) => return Ok(Found { backend, taken, passed_over }),
            Err(error) => {
                if wanted.is_none() {
                    tracing::error!(backend = factory.name, %error, "an engine is passed over");
                }
                let (part, why) = (EnginePart::Networks, error.to_string());
                passed_over.push(PassedOver { part, name: factory.name, why });
                last = error.into();
            }
        }
    }
    Err(last)
}

/// The backend that the configuration asks for, and what it made of `give`.
fn found<T>(
    config: &Config,
    give: impl FnMut(&Arc<dyn Backend>) -> Result<T, BackendError>,
) -> Result<Found<T>, StartError> {
    let wanted = wanted(config);
    first_of(FACTORIES, &wish(config, wanted.is_some()), wanted, give)
}

/// The engine that the configuration asks for, its networks ready; its searches are its own.
///
/// # Errors
/// [`StartError::Engine`] when it is not at hand, [`StartError::Backend`] when it fails.
pub(super) fn engine(config: &Config, models: &Models) -> Result<Found<Engine>, StartError> {
    found(config, |backend| models.engine(Arc::clone(backend)))
}

/// What the backend that the configuration asks for makes of `give`: how a verb with networks of
/// its own gets them. A backend that nobody named and that fails at it is passed over for the next
/// one, as when the appliance starts.
///
/// # Errors
/// [`StartError::Engine`] when it is not at hand, [`StartError::Backend`] when it fails.
pub fn on_engine<T>(
    config: &Config,
    give: impl FnMut(&Arc<dyn Backend>) -> Result<T, BackendError>,
) -> Result<T, StartError> {
    Ok(found(config, give)?.taken)
}

/// Who searches galleries beside the backend that runs the networks, which takes what is beyond a
/// card.
///
/// Under `auto` a device with memory of its own runs the networks, and searches are the host's,
/// whatever the residency. A sealed gallery is read from its source, tile by tile, and all of it
/// would have to be sent to the device for every search; so would a locked one that does not fit
/// the device's memory, which nobody knows before it is pinned. And a locked one that does fit lies
/// there as a copy in plaintext: that is for whoever runs the site to say, by naming the device.
///
/// # Errors
/// [`StartError::SearchEngine`]; [`StartError::Engine`] when the host's own backend is not at hand.
pub fn search_engine(
    config: &Config,
    beside: Arc<dyn Backend>,
) -> Result<Arc<dyn Backend>, StartError> {
    let is_apart = beside.describe().plaintext == Plaintext::Device;
    let is_left_to_host = is_apart && config.engine.name == EngineName::Auto;
    let beside = if is_left_to_host {
        first_of(FACTORIES, &wish(config, true), Some(cpu::NAME), |_| Ok(()))?.backend
    } else {
        beside
    };
    let made = match config.engine.search {
        SearchEngine::Same => return Ok(beside),
        SearchEngine::Fpga => Fpga::mapped(&config.engine.fpga_card, beside),
        SearchEngine::FpgaTwin => Fpga::twin(beside),
    };
    made.map(|card| Arc::new(card) as Arc<dyn Backend>).map_err(StartError::SearchEngine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::{Description, Network, Pinned, Tiles, reference::Reference},
        ops::{
            program::{BufferId, ChannelOrder, Op, Output, Program, Shape, Step},
            search::{Probe, RowHits},
            tile::TileSource,
        },
    };

    /// A device that opens, and is lost when the first network is made ready.
    struct Fading;

    impl Backend for Fading {
        fn describe(&self) -> Description {
            Description { name: "fading", ..Reference::new().describe() }
        }

        fn load(&self, _: &Program, _: usize) -> Result<Box<dyn Network>, BackendError> {
            Err(BackendError::Lost { what: "fading", why: "the driver reset it".to_owned() })
        }

        fn pin(&self, source: &Arc<dyn TileSource>) -> Result<Arc<dyn Pinned>, BackendError> {
            Reference::new().pin(source)
        }

        fn search(&self, probes: &[Probe<'_>], on: &Tiles) -> Result<Vec<RowHits>, BackendError> {
            Reference::new().search(probes, on)
        }
    }

    const ABSENT: Factory = Factory {
        name: "absent",
        make: |_| Err(Unavailable { what: "absent", why: "no such device".to_owned() }),
    };
    const FADING: Factory = Factory { name: "fading", make: |_| Ok(Arc::new(Fading)) };
    const SOUND: Factory = Factory { name: "reference", make: |_| Ok(Arc::new(Reference::new())) };

    fn chosen(
        factories: &[Factory],
        wanted: Option<&str>,
    ) -> Result<Found<Box<dyn Network>>, StartError> {
        let (input, output) = (BufferId(0), BufferId(1));
        let program = Program {
            name: "mirror".to_owned(),
            input,
            channels: ChannelOrder::Rgb,
            buffers: vec![Shape { h: 1, w: 1, c: 3 }; 2],
            weights: Vec::new(),
            steps: vec![Step { op: Op::Upsample { factor: 1 }, inputs: vec![input], output }],
            outputs: vec![Output { name: "out".to_owned(), buffer: output }],
        };
        let wish = Wish { by_name: wanted.is_some(), ..Wish::named(1) };
        first_of(factories, &wish, wanted, |backend| backend.load(&program, 1))
    }

    #[test]
    fn unnamed_an_engine_that_fails_to_load_is_passed_over_and_told() {
        let found = chosen(&[ABSENT, FADING, SOUND], None).expect("the last one is sound");
        assert_eq!(found.backend.describe().name, "reference");
        let [PassedOver { part: EnginePart::Networks, name: "fading", why }] =
            &found.passed_over[..]
        else {
            panic!("a device that is not there was not passed over: {:?}", found.passed_over);
        };
        assert!(why.contains("the driver reset it"), "{why}");
    }

    #[test]
    fn named_an_engine_that_fails_is_an_error() {
        let failed = chosen(&[FADING, SOUND], Some("fading")).map(|_| ()).expect_err("named");
        assert!(matches!(failed, StartError::Backend(BackendError::Lost { .. })), "{failed}");
        let failed = chosen(&[ABSENT, SOUND], Some("absent")).map(|_| ()).expect_err("named");
        assert!(matches!(failed, StartError::Engine { .. }), "{failed}");
    }

    #[test]
    fn a_verb_goes_on_to_the_next_engine_as_the_appliance_does() {
        let failing_once = |config: &Config| {
            let mut asked = Vec::new();
            let taken = on_engine(config, |backend| {
                asked.push(backend.describe().name);
                let why = "the first one fails".to_owned();
                if asked.len() > 1 { Ok(()) } else { Err(BackendError::Lost { what: "it", why }) }
            });
            (taken, asked)
        };
        let mut config = Config::default();
        config.engine.name = EngineName::Auto;
        let (taken, asked) = failing_once(&config);
        taken.expect("the second one takes it");
        assert!(asked.len() == 2 && asked[0] != asked[1], "{asked:?}");
        config.engine.name = EngineName::Cpu;
        let (taken, asked) = failing_once(&config);
        let failed = taken.expect_err("it was named");
        assert!(matches!(failed, StartError::Backend(BackendError::Lost { .. })), "{failed}");
        assert_eq!(asked, ["cpu"]);
    }

    #[test]
    fn when_all_fail_the_last_one_says_why() {
        let failed = chosen(&[ABSENT, FADING], None).map(|_| ()).expect_err("none is sound");
        assert!(failed.to_string().contains("the driver reset it"), "{failed}");
    }
}
