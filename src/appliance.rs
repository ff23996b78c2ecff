//! The composition root: the only file (with its folder) that names every layer.
//!
//! `models.rs` reads model files, `keeping.rs` finds custodian and folders, `places.rs` shares out
//! frame slots, `galleries.rs` keeps galleries by name, `watched.rs` is the audit with a memory.
//! `offline.rs` works on galleries that no appliance serves. `execute.rs` carries out what is
//! decided, `administer.rs` what is kept, `carried.rs` what travellers carry. Here they are put
//! together, from a configuration or, for tests and simulations, from parts.
//!
//! Invariant: no answer leaves that the audit does not hold. Beside the pipeline's own entries,
//! every administrative act and every refused permission is recorded here.

mod administer;
mod carried;
mod execute;
mod galleries;
pub mod keeping;
pub mod models;
pub mod offline;
mod places;
pub mod trust;
mod watched;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    audit::{AuditError, AuditSink, file::FileAudit},
    backend::{Backend, BackendError, Description, Engine, FACTORIES, Unavailable, fpga::Fpga},
    command::{Answer, Readiness, Refusal, Request, Service, Version},
    config::{
        AttackDetection, Config, ConfigError, DocumentAuthentication, EngineName, Environment,
        FaceRulesName, PolicyChoice, SearchEngine,
    },
    document::authentication::TrustStore,
    face::{Detector, FaceModelError, FaceRules},
    gallery::Gallery,
    limits::{BATCH_FRAMES_MAX, SLOT_BYTES, SLOTS},
    meter::Meter,
    model::{Calibration, CalibrationError, ModelError, ThresholdError, defaults::NotDefault},
    pipeline::{Parts, Pipeline, slot::SlotPool},
    policy::{AttackRule, BuiltIn, DocumentRule, Policy},
    random::Entropy,
    time::Clock,
    types::{GalleryId, Threshold},
};
use galleries::Galleries;
pub use galleries::GalleryPlace;
use keeping::HolderKeys;
use models::Models;
use places::Places;
use watched::Watched;

/// File name of the audit in the state folder.
const AUDIT_FILE: &str = "audit.jsonl";

/// Why the appliance did not start. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration names something impossible.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A model file is not there.
    #[error("the {role} {path} is not there: run `portcullis models fetch`, or set models.{role}")]
    ModelMissing {
        /// `detector` or `embedder`.
        role: &'static str,
        /// Where it was looked for.
        path: String,
    },
    /// The country certificates are not all there.
    #[error(transparent)]
    Trust(#[from] trust::TrustError),
    /// A file cannot be read.
    #[error("{path} cannot be read: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// A default model's file is not the published one.
    #[error("the cached model {path} is corrupted: {error}; run `portcullis models fetch`")]
    ModelCorrupted {
        /// The file.
        path: String,
        /// What differs.
        error: NotDefault,
    },
    /// A model file does not lower.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The detector is not one whose outputs are known.
    #[error(transparent)]
    FaceModel(#[from] FaceModelError),
    /// The calibration does not read, or belongs to another embedder.
    #[error("calibration {path}: {error}")]
    Calibration {
        /// The file, or that it is the shipped one.
        path: String,
        /// Why not.
        error: CalibrationError,
    },
    /// The embedder does not make templates of the calibration's size.
    #[error("embedder {path} gives {held} values, its calibration expects {expected}")]
    Dimensions {
        /// The embedder.
        path: String,
        /// Values it gives.
        held: usize,
        /// Values of the calibration.
        expected: usize,
    },
    /// The configured rate is not in the calibration's table.
    #[error("policy.fmr: {0}")]
    Fmr(ThresholdError),
    /// The chosen backend is not at hand.
    #[error("engine.name = {name}: {error}; `portcullis doctor` lists what is available")]
    Engine {
        /// As configured.
        name: String,
        /// Why not.
        error: Unavailable,
    },
    /// The card that should search is not at hand.
    #[error("engine.search: {0}; check engine.fpga_card, or set engine.search = \"same\"")]
    SearchEngine(Unavailable),
    /// The backend refused a network.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The audit's folder cannot be made.
    #[error("the folder of the audit {path} cannot be made: {why}; set audit.path")]
    AuditFolder {
        /// The audit file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// What keeps galleries or their keys is not at hand.
    #[error(transparent)]
    Keeping(#[from] keeping::KeepingError),
    /// The audit cannot be opened.
    #[error("{0}; set audit.path to a place that can be written")]
    Audit(AuditError),
}

/// What comes in from outside the house.
#[derive(Clone)]
pub struct World {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where identifiers come from.
    pub entropy: Arc<dyn Entropy>,
    /// Where everything is counted.
    pub meter: Arc<Meter>,
}

/// Everything an appliance is made of, for whoever brings an engine of its own.
pub struct Assembly {
    /// Who computes.
    pub engine: Engine,
    /// How the detector's outputs are read.
    pub detector: Detector,
    /// How an embedding becomes a template, and which thresholds there are.
    pub calibration: Arc<Calibration>,
    /// What a usable face is.
    pub rules: FaceRules,
    /// Who decides.
    pub policy: Arc<dyn Policy>,
    /// Where it is recorded.
    pub audit: Arc<dyn AuditSink>,
    /// Where galleries are kept, and who keeps their keys.
    pub galleries: GalleryPlace,
    /// Keys of holder tokens.
    pub holder_keys: HolderKeys,
    /// Whose signatures make a document genuine.
    pub trust: TrustStore,
    /// Threshold of requests that name no rate.
    pub fmr: f64,
    /// Whether administrators may be handed templates.
    pub embed_enabled: bool,
    /// Time of requests that name no deadline, in milliseconds.
    pub deadline_ms: u64,
}

/// The built-in rules, as configured.
fn policy(chosen: &PolicyChoice) -> BuiltIn {
    let attack = match chosen.attack_detection {
        AttackDetection::Required => AttackRule::Required,
        AttackDetection::NotRequired => AttackRule::NotRequired,
    };
    BuiltIn::new(attack).documents(match chosen.document_authentication {
        DocumentAuthentication::Required => DocumentRule::Required,
        DocumentAuthentication::WeakAllowed => DocumentRule::WeakAllowed,
        DocumentAuthentication::NotRequired => DocumentRule::NotRequired,
    })
}

/// The appliance, running. Stops when dropped.
pub struct Appliance {
    pipeline: Pipeline,
    places: Places,
    slots: Arc<SlotPool>,
    galleries: Galleries,
    calibration: Arc<Calibration>,
    holder_keys: HolderKeys,
    policy: Arc<dyn Policy>,
    audit: Arc<Watched>,
    trust: TrustStore,
    world: World,
    threshold: Threshold,
    description: Description,
    embed_enabled: bool,
    attack_detection: bool,
    deadline_ms: u64,
    stopping: AtomicBool,
}

impl Appliance {
    /// Loads the models, starts the engine and the pipeline.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub fn start(
        config: &Config,
        environment: &Environment,
        world: World,
    ) -> Result<Self, StartError> {
        config.check()?;
        let audit = open_audit(config, environment)?;
        let galleries = keeping::place(config, environment, &world)?;
        let holder_keys = keeping::holder_keys(config)?;
        let trust = trust::trust_store([config.documents.trust_store.as_path()])?;
        let backend = backend(config)?;
        let models = Models::load(&config.models, environment)?;
        let began_us = world.clock.monotonic_us();
        let engine = Engine {
            detect: backend.load(&models.detector, BATCH_FRAMES_MAX)?,
            attack: None,
            embed: backend.load(&models.embedder, BATCH_FRAMES_MAX)?,
            search: search_engine(config, backend)?,
        };
        let took_us = world.clock.monotonic_us().saturating_sub(began_us);
        tracing::info!(took_us, "networks are ready");
        let assembly = Assembly {
            engine,
            detector: Detector::for_program(&models.detector)?,
            calibration: Arc::new(models.calibration),
            rules: match config.policy.face_rules {
                FaceRulesName::Still => FaceRules::still(),
                FaceRulesName::Egate => FaceRules::egate(),
            },
            policy: Arc::new(policy(&config.policy)),
            audit: Arc::new(audit),
            galleries,
            holder_keys,
            trust,
            fmr: config.policy.fmr,
            embed_enabled: config.policy.embed_enabled,
            deadline_ms: config.limits.deadline_ms,
        };
        Self::with_engine(assembly, world)
    }

    /// Starts from parts: an engine of scripted networks, another policy, another audit.
    ///
    /// # Errors
    /// [`StartError::Fmr`] or [`StartError::Keeping`].
    pub fn with_engine(assembly: Assembly, world: World) -> Result<Self, StartError> {
        let calibration = assembly.calibration;
        let threshold = calibration.threshold(assembly.fmr).map_err(StartError::Fmr)?;
        let description = assembly.engine.search.describe();
        let attack_detection = assembly.engine.attack.is_some();
        let slots = SlotPool::new(SLOTS, SLOT_BYTES);
        let audit = Arc::new(Watched::new(assembly.audit));
        let folder = assembly.galleries.folder.clone();
        let (kind, layout) = (calibration.kind(), calibration.layout());
        let galleries = Galleries::open(assembly.galleries, kind, layout)
            .map_err(|error| keeping::KeepingError::folder(folder.as_deref(), &error))?;
        galleries.count(&world.meter);
        let pipeline = Pipeline::start(Parts {
            engine: assembly.engine,
            detector: assembly.detector,
            calibration: Arc::clone(&calibration),
            rules: assembly.rules,
            policy: Arc::clone(&assembly.policy),
            audit: Arc::clone(&audit) as Arc<dyn AuditSink>,
            clock: Arc::clone(&world.clock),
            meter: Arc::clone(&world.meter),
            slots: Arc::clone(&slots),
        });
        Ok(Self {
            pipeline,
            places: Places::new(SLOTS),
            slots,
            galleries,
            calibration,
            holder_keys: assembly.holder_keys,
            policy: assembly.policy,
            audit,
            trust: assembly.trust,
            world,
            threshold,
            description,
            embed_enabled: assembly.embed_enabled,
            attack_detection,
            deadline_ms: assembly.deadline_ms,
            stopping: AtomicBool::new(false),
        })
    }

    /// How embeddings become templates here.
    #[must_use]
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// What scores are held against where a request names no rate.
    #[must_use]
    pub fn threshold(&self) -> &Threshold {
        &self.threshold
    }

    /// Puts a gallery that was filled elsewhere (a demonstration's, a test's) under its name.
    ///
    /// # Errors
    /// [`Refusal::GalleryExists`] or [`Refusal::GalleriesFull`].
    pub fn install(&self, name: GalleryId, gallery: Gallery) -> Result<(), Refusal> {
        self.galleries.install(name, gallery)?;
        self.galleries.count(&self.world.meter);
        Ok(())
    }

    /// Takes no more requests and answers those in flight.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.pipeline.stop();
    }

    /// The slots, for the proof that none holds a face.
    #[must_use]
    pub fn slots(&self) -> &SlotPool {
        &self.slots
    }
}

impl Service for Appliance {
    fn execute(&self, request: Request) -> Result<Answer, Refusal> {
        self.carry_out(request)
    }

    fn readiness(&self) -> Readiness {
        if self.stopping.load(Ordering::SeqCst) {
            return Readiness::NotReady("the appliance is stopping");
        }
        if self.audit.is_broken() {
            return Readiness::NotReady("the audit could not be written when it was last tried");
        }
        match self.galleries.unavailable() {
            none if none.is_empty() => Readiness::Ready,
            why => Readiness::Degraded(why),
        }
    }

    fn version(&self) -> Version {
        Version {
            backend: self.description.name,
            device: self.description.device.clone(),
            kind: self.calibration.kind(),
            basis: self.calibration.basis().to_owned(),
            attack_detection: self.attack_detection,
        }
    }

    fn housekeep(&self) {
        self.audit.catch_up();
        self.expire();
        self.galleries.count(&self.world.meter);
    }
}

impl fmt::Debug for Appliance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appliance").field("backend", &self.description.name).finish_non_exhaustive()
    }
}

/// Where the audit is written.
///
/// # Errors
/// [`ConfigError::NoFolder`].
pub fn audit_path(config: &Config, environment: &Environment) -> Result<PathBuf, ConfigError> {
    if config.audit.path.as_os_str().is_empty() {
        return Ok(environment.state_folder()?.join(AUDIT_FILE));
    }
    Ok(config.audit.path.clone())
}

fn open_audit(config: &Config, environment: &Environment) -> Result<FileAudit, StartError> {
    let path = audit_path(config, environment)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error: io::Error| StartError::AuditFolder {
        path: path.display().to_string(),
        why: error.to_string(),
    })?;
    FileAudit::open(&path).map_err(StartError::Audit)
}

/// The backend that the configuration asks for.
///
/// # Errors
/// [`StartError::Engine`].
pub fn backend(config: &Config) -> Result<Arc<dyn Backend>, StartError> {
    let threads = match config.engine.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let wanted = match config.engine.name {
        EngineName::Auto => None,
        EngineName::Cpu => Some("cpu"),
        EngineName::Reference => Some("reference"),
    };
    let mut refused =
        Unavailable { what: "this backend", why: "this build does not carry it".to_owned() };
    for factory in FACTORIES.iter().filter(|row| wanted.is_none_or(|name| name == row.name)) {
        match (factory.make)(threads) {
            Ok(backend) => return Ok(backend),
            Err(unavailable) => {
                tracing::info!(backend = factory.name, why = %unavailable.why, "not available");
                refused = unavailable;
            }
        }
    }
    let name = wanted.unwrap_or("auto").to_owned();
    Err(StartError::Engine { name, error: refused })
}

/// Who searches galleries; `beside` takes what is beyond a card.
///
/// # Errors
/// [`StartError::SearchEngine`].
pub fn search_engine(
    config: &Config,
    beside: Arc<dyn Backend>,
) -> Result<Arc<dyn Backend>, StartError> {
    let made = match config.engine.search {
        SearchEngine::Same => return Ok(beside),
        SearchEngine::Fpga => Fpga::mapped(&config.engine.fpga_card, beside),
        SearchEngine::FpgaTwin => Fpga::twin(beside),
    };
    made.map(|card| Arc::new(card) as Arc<dyn Backend>).map_err(StartError::SearchEngine)
}
