//! The composition root: the only file (with its folder) that names every layer.
//!
//! `models.rs` reads model files, `engines.rs` chooses who computes, `standby.rs` knows who takes
//! over from an engine, `keeping.rs` finds custodian and folders, `places.rs` shares out frame
//! slots, `lanes.rs` makes lanes of their configuration, `galleries.rs` keeps galleries by name,
//! `watched.rs` is the audit with a memory. `offline.rs` works on galleries that no appliance
//! serves. `execute.rs` carries out what is decided, `transact.rs` what is decided at a lane,
//! `hits.rs` what a search owes, `administer.rs` what is kept, `rights.rs` what a person may ask
//! for, `buried.rs` what a copy that is put back must not bring back, `carried.rs` what travellers
//! carry, `entries.rs` who is told that somebody came in, `strangers.rs` what is told of those
//! without a credential. `site.rs` is what the appliance is used as, `household.rs` what it may not
//! be as well. Here they are put together, from a configuration or, for tests and simulations, from
//! parts.
//!
//! Invariant: no answer leaves that the audit does not hold. Beside the pipeline's own entries,
//! every administrative act and every refused permission is recorded here.

mod administer;
mod buried;
mod carried;
mod charters;
mod engines;
mod entries;
mod execute;
mod galleries;
mod hits;
mod household;
pub mod keeping;
mod lanes;
mod lawful;
pub mod models;
pub mod offline;
mod places;
mod rights;
pub mod site;
mod standby;
mod strangers;
mod transact;
pub mod trust;
mod watched;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{
    audit::{AuditError, AuditSink, FileAudit, Signer},
    backend::{BackendError, Description, Engine, Unavailable},
    capture::{
        lane::LaneSet,
        runner::{LanePlan, Lanes, failures},
    },
    command::{
        Answer, EngineVersion, Readiness, Refusal, Request, Service, SiteDescription, Stranger,
        Version,
    },
    config::{
        AttackDetection, Config, ConfigError, DocumentAuthentication, Environment, FaceRulesName,
        PolicyChoice,
    },
    document::authentication::TrustStore,
    duty::{
        schedule::{Honoured, Schedule},
        strangers::Strangers,
    },
    face::{Detector, FaceModelError, FaceRules, attack::AttackModelError},
    gallery::Gallery,
    keys::{SigningKey, process, signing::SigningKeyError},
    limits::{LANE_SLOTS, SLOT_BYTES, SLOTS, TRANSACTIONS_REMEMBERED, TURN_US_MAX},
    meter::{EnginePart, Meter},
    model::{Calibration, CalibrationError, ModelError, ThresholdError, defaults::NotDefault},
    pipeline::{self, Parts, PassedOver, Pipeline, Standby, slot::SlotPool},
    policy::{AttackRule, DocumentRule, Guards, Policy, Standing},
    random::{Entropy, random_id},
    register::Register as ConsentRegister,
    time::Clock,
    transaction::{
        Register,
        journal::{Journal, JournalError, Remembered},
        machine::Told,
    },
    types::{GalleryId, Hash256, SubjectId, Threshold, TransactionId},
    webhook::Sender,
};
use engines::Found;
pub(crate) use engines::wish;
pub use engines::{on_engine, search_engine};
use galleries::Galleries;
pub use galleries::GalleryPlace;
use keeping::HolderKeys;
pub use lawful::{UnlawfulError, evaluation_desk, law, own_texts};
use models::Models;
use places::Places;
use site::{Site, SitePlace};
use watched::Watched;

/// File name of the audit in the state folder.
const AUDIT_FILE: &str = "audit.jsonl";
/// File name of the audit's signing key, beside the audit.
const AUDIT_KEY_FILE: &str = "audit.key";
/// File name of the journal of transactions in the state folder.
const JOURNAL_FILE: &str = "transactions.jsonl";

/// File name of the site's record in the state folder.
const SITE_FILE: &str = "site.json";
/// File name of the register of consents in the state folder.
const REGISTER_FILE: &str = "register.redb";

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
    /// The site is not at hand.
    #[error(transparent)]
    Site(#[from] site::SiteError),
    /// The audit's signing key is not usable.
    #[error(transparent)]
    AuditKey(#[from] SigningKeyError),
    /// The law cannot be applied.
    #[error(transparent)]
    Law(#[from] UnlawfulError),
    /// Who was erased is in a gallery again, and could not be erased again.
    #[error(
        "a gallery holds somebody who was erased, and nothing is searched until it does not: {why}"
    )]
    Buried {
        /// What was said.
        why: String,
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
    /// A network of the presentation attack detector is not there.
    #[error(
        "the attack detector's network {path} is not there: bring the file with `portcullis models \
         add FILE`, or set attack.detector"
    )]
    AttackModelMissing {
        /// Where it was looked for.
        path: String,
    },
    /// A network of the presentation attack detector is not the expected one.
    #[error(
        "the attack detector's network {path} has SHA-256 {held}, expected {expected}: put the \
         right file there (`portcullis models add FILE`), or correct attack.network.sha256"
    )]
    AttackModelAltered {
        /// The file.
        path: String,
        /// Hash found.
        held: Hash256,
        /// Hash it should have.
        expected: Hash256,
    },
    /// The networks are no presentation attack detector that is understood.
    #[error("attack.detector: {0}")]
    AttackModel(#[from] AttackModelError),
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
    /// What lanes' transactions came to cannot be remembered.
    #[error("{0}; set audit.journal to a place that can be written")]
    Journal(#[from] JournalError),
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

impl World {
    fn new_transaction(&self) -> TransactionId {
        TransactionId::from_bytes(random_id(self.entropy.as_ref()))
    }

    fn new_subject(&self) -> SubjectId {
        SubjectId::from_bytes(random_id(self.entropy.as_ref()))
    }
}

/// Everything an appliance is made of, for whoever brings an engine of its own.
pub struct Assembly {
    /// Who computes.
    pub engine: Engine,
    /// How the detector's outputs are read.
    pub detector: Detector,
    /// How presentation attack detection is carried out, where it is.
    pub attack: Option<pipeline::AttackDetection>,
    /// How an embedding becomes a template, and which thresholds there are.
    pub calibration: Arc<Calibration>,
    /// What a usable face is.
    pub rules: FaceRules,
    /// Who decides.
    pub policy: Arc<dyn Policy>,
    /// What may be done here, and what is owed.
    pub standing: Standing,
    /// What the appliance is used as; `None` for the desk of `standing`.
    pub site: Option<SitePlace>,
    /// Where it is recorded.
    pub audit: Arc<dyn AuditSink>,
    /// Days that the audit is kept.
    pub audit_days: u32,
    /// What remembers the transactions of lanes; `None` for nothing that outlives the process.
    pub journal: Option<PathBuf>,
    /// Attempts of one traveller at a lane.
    pub attempts: u8,
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
    /// Time in which what is in flight may end when the appliance stops, in milliseconds.
    pub drain_ms: u64,
    /// Who takes over when an engine fails.
    pub standby: Standby,
    /// Cameras and gates; their names differ.
    pub lanes: Vec<LanePlan>,
}

/// The built-in rules, as configured.
fn policy(chosen: &PolicyChoice) -> Result<Guards, ConfigError> {
    let attack = match chosen.attack_detection {
        AttackDetection::Required => AttackRule::Required,
        AttackDetection::NotRequired => AttackRule::NotRequired,
    };
    let rules = Guards::new(attack).attack_threshold(chosen.attack_threshold);
    let accepted = chosen.weaknesses_accepted()?;
    Ok(rules.documents(match chosen.document_authentication {
        DocumentAuthentication::Required if accepted.is_empty() => DocumentRule::Required,
        DocumentAuthentication::Required => DocumentRule::WeakAllowed(accepted),
        DocumentAuthentication::NotRequired => DocumentRule::NotRequired,
    }))
}

/// The appliance, running. Stops when dropped.
pub struct Appliance {
    /// Before the pipeline: frames stop coming before their takers go.
    lanes: Lanes,
    pipeline: Pipeline,
    places: Places,
    slots: Arc<SlotPool>,
    galleries: Galleries,
    register: Register,
    attempts: u8,
    calibration: Arc<Calibration>,
    holder_keys: HolderKeys,
    standing: RwLock<Arc<Standing>>,
    site: Option<Site>,
    schedule: Mutex<Schedule>,
    strangers: Mutex<Strangers>,
    audit: Arc<Watched>,
    trust: TrustStore,
    world: World,
    threshold: Threshold,
    embed_enabled: bool,
    attack_detection: bool,
    deadline_ms: u64,
    drain_ms: u64,
    stopping: AtomicBool,
    /// When what is in flight has had its time; the end of time until it is told to stop.
    drained_us: AtomicU64,
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
        let law = law(&own_texts(&config.policy.own_texts)?)?;
        let standing = Standing::new(law, &evaluation_desk()).map_err(UnlawfulError::from)?;
        let audit = open_audit(config, environment, world.entropy.as_ref())?;
        let galleries = keeping::place(config, environment, &world)?;
        let holder_keys = keeping::holder_keys(config)?;
        let trust = trust::trust_store([config.documents.trust_store.as_path()])?;
        let models = Models::load(&config.models, &config.attack, environment)?;
        let began_us = world.clock.monotonic_us();
        let Found { backend, taken: engine, passed_over } = engines::engine(config, &models)?;
        let engine = Engine { search: search_engine(config, Arc::clone(&backend))?, ..engine };
        let keys = (&config.models, &config.attack);
        let standby = standby::standby(&backend, wish(config, false), keys, environment);
        let standby = Standby { passed_over, ..standby };
        let took_us = world.clock.monotonic_us().saturating_sub(began_us);
        tracing::info!(took_us, "networks are ready");
        let assembly = Assembly {
            engine,
            detector: Detector::for_program(&models.detector)?,
            attack: models.attack_detection(&config.attack)?,
            calibration: Arc::new(models.calibration),
            rules: match config.policy.face_rules {
                FaceRulesName::Still => FaceRules::still(),
                FaceRulesName::Egate => FaceRules::egate(),
            },
            policy: Arc::new(policy(&config.policy)?),
            standing,
            site: site_place(config, environment, &galleries)?,
            audit: Arc::new(audit),
            audit_days: config.audit.retention_days,
            // Without a lane there is no transaction to remember.
            journal: match config.lane.is_empty() {
                true => None,
                false => Some(journal_path(config, environment)?),
            },
            attempts: config.policy.attempts,
            galleries,
            holder_keys,
            trust,
            fmr: config.policy.fmr,
            embed_enabled: config.policy.embed_enabled,
            deadline_ms: config.limits.deadline_ms,
            drain_ms: config.limits.drain_ms,
            standby,
            lanes: config.lane.iter().map(|keys| lanes::plan(keys, &config.limits)).collect(),
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
        let attack_detection = assembly.attack.is_some();
        let slots = SlotPool::new(SLOTS + LANE_SLOTS * assembly.lanes.len(), SLOT_BYTES);
        let audit = Arc::new(Watched::new(assembly.audit));
        let open = |place| Site::open(place, &calibration, assembly.fmr, &world);
        let site = assembly.site.map(open).transpose()?;
        let now_s = world.clock.civil_s();
        let (standing, schedule) = match &site {
            None => {
                let honoured = Honoured::default();
                (assembly.standing, Schedule::new(None, assembly.audit_days, honoured))
            }
            Some(site) => site.begin(assembly.standing.law(), assembly.audit_days, now_s)?,
        };
        let register = register(assembly.journal.as_deref())?;
        let folder = assembly.galleries.folder.clone();
        let (kind, layout) = (calibration.kind(), calibration.layout());
        let galleries = Galleries::open(assembly.galleries, kind, layout)
            .map_err(|error| keeping::KeepingError::folder(folder.as_deref(), &error))?;
        let pipeline = Pipeline::start(Parts {
            engine: assembly.engine,
            detector: assembly.detector,
            attack: assembly.attack,
            calibration: Arc::clone(&calibration),
            rules: assembly.rules,
            policy: assembly.policy,
            audit: Arc::clone(&audit) as Arc<dyn AuditSink>,
            clock: Arc::clone(&world.clock),
            meter: Arc::clone(&world.meter),
            slots: Arc::clone(&slots),
            standby: assembly.standby,
        });
        let lanes = Lanes::start(assembly.lanes, &slots, &world.clock, &world.meter);
        let appliance = Self {
            lanes,
            pipeline,
            places: Places::new(SLOTS),
            slots,
            galleries,
            register,
            attempts: assembly.attempts,
            calibration,
            holder_keys: assembly.holder_keys,
            standing: RwLock::new(Arc::new(standing)),
            site,
            schedule: Mutex::new(schedule),
            strangers: Mutex::default(),
            audit,
            trust: assembly.trust,
            world,
            threshold,
            embed_enabled: assembly.embed_enabled,
            attack_detection,
            deadline_ms: assembly.deadline_ms,
            drain_ms: assembly.drain_ms,
            stopping: AtomicBool::new(false),
            drained_us: AtomicU64::new(u64::MAX),
        };
        // Before anybody is searched for: what ended while the machine was off, and who was erased
        // in a gallery that was put back from an older copy.
        let refuse = |error: Refusal| StartError::Buried { why: error.to_string() };
        appliance.recall_erasures().map_err(refuse)?;
        appliance.honour_duties();
        appliance.bury_again().map_err(refuse)?;
        appliance.make_daily_galleries();
        Ok(appliance)
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

    /// Takes no more requests; those in flight go on, for the configured time from now. A lane's
    /// transaction ends at once, with Refer: no frame comes to it any more, and whoever waits for
    /// its outcome is told while there is somebody to tell it.
    pub fn refuse_more(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let now_us = self.world.clock.monotonic_us();
        let until_us = now_us.saturating_add(self.drain_ms.saturating_mul(1_000));
        self.drained_us.fetch_min(until_us, Ordering::SeqCst);
        self.register.tell_all(Told::Stop);
    }

    /// Takes no more requests and answers those in flight, as late when the time that
    /// [`Self::refuse_more`] gave them has passed; lets go of every gallery, and so of every key
    /// that opens one; then ends the lanes' sources, for which no key has to wait. A search that an
    /// engine hangs in keeps its own until the process ends.
    pub fn stop(&self) {
        self.refuse_more();
        let now_us = self.world.clock.monotonic_us();
        let left_us = self.drained_us.load(Ordering::SeqCst).saturating_sub(now_us);
        let is_drained = self.pipeline.stop(left_us / 1_000);
        self.tell_of_strangers(u64::MAX);
        self.galleries.close();
        let are_ended = self.lanes.stop();
        tracing::info!(is_drained, are_ended, "stopped: galleries are closed, keys are zeroed");
    }

    /// The lanes.
    #[must_use]
    pub fn lanes(&self) -> &LaneSet {
        self.lanes.set()
    }

    /// The slots, for the proof that none holds a face.
    #[must_use]
    pub fn slots(&self) -> &SlotPool {
        &self.slots
    }
}

/// Who computes now.
impl Appliance {
    fn engine(&self, part: EnginePart) -> EngineVersion {
        let Description { name, device, .. } = self.pipeline.at_work().engine(part);
        let told = |PassedOver { name, why, .. }| (name, why);
        let passed_over = self.pipeline.at_work().passed_over(part).into_iter().map(told);
        EngineVersion { backend: name, device, passed_over: passed_over.collect() }
    }

    /// Preferred engines that failed, one line each.
    fn stood_in_for(&self) -> Vec<String> {
        let of = |part| {
            let EngineVersion { backend, passed_over, .. } = self.engine(part);
            let told = move |(name, why): (&str, String)| {
                let part = match part {
                    EnginePart::Networks => "networks run",
                    EnginePart::Search => "searches run",
                };
                format!("{part} on {backend}, since {name} failed: {why}")
            };
            passed_over.into_iter().map(told)
        };
        EnginePart::ALL.into_iter().flat_map(of).collect()
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
        if self.pipeline.longest_turn_us() >= TURN_US_MAX {
            return Readiness::NotReady("an engine has not answered for ten seconds");
        }
        let mut why = self.galleries.unavailable();
        why.extend(failures(self.lanes.set()));
        why.extend(self.stood_in_for());
        why.extend(self.site.as_ref().and_then(|site| site.audit_gap.get().cloned()));
        why.extend(self.sender().and_then(Sender::trouble));
        if why.is_empty() { Readiness::Ready } else { Readiness::Degraded(why) }
    }

    fn version(&self) -> Version {
        Version {
            networks: self.engine(EnginePart::Networks),
            search: self.engine(EnginePart::Search),
            kind: self.calibration.kind(),
            basis: self.calibration.basis().to_owned(),
            attack_detection: self.attack_detection,
        }
    }

    fn site(&self) -> Option<SiteDescription> {
        self.site.as_ref().map(|site| site.describe(self.world.clock.civil_s()))
    }

    fn turned_away(&self, who: Stranger) {
        self.hear_of(who);
    }

    fn housekeep(&self) {
        self.audit.catch_up();
        self.register.catch_up();
        self.tell_of_strangers(self.world.clock.monotonic_us());
        if self.galleries.reopen()
            && let Err(refusal) = self.bury_again()
        {
            tracing::error!(%refusal, "a gallery that was opened again holds somebody erased");
        }
        self.settle();
        if let Err(error) = self.audit.seal() {
            tracing::error!(%error, "audit: no checkpoint");
        }
        self.honour_duties();
        self.measure();
    }

    fn measure(&self) {
        let meter = &self.world.meter;
        self.galleries.count(meter);
        let (slots, free) = (self.slots.slots(), self.slots.free());
        meter.turn_s(self.pipeline.longest_turn_us() / 1_000_000);
        meter.slots(slots.saturating_sub(free) as u64, free as u64);
        if let Some(Ok(events)) = self.sender().map(Sender::waiting) {
            meter.entry_events_waiting(events);
        }
        if let Some(Ok(held)) = self.site.as_ref().map(|site| site.register.consents_held()) {
            meter.consents(held);
        }
        if let Some(bytes) = process::resident_bytes() {
            meter.memory_bytes(bytes);
        }
    }
}

impl fmt::Debug for Appliance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appliance").field("version", &self.version()).finish_non_exhaustive()
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

/// Where the transactions of lanes are remembered.
///
/// # Errors
/// [`ConfigError::NoFolder`].
pub fn journal_path(config: &Config, environment: &Environment) -> Result<PathBuf, ConfigError> {
    if config.audit.journal.as_os_str().is_empty() {
        return Ok(environment.state_folder()?.join(JOURNAL_FILE));
    }
    Ok(config.audit.journal.clone())
}

/// The transactions of lanes that are remembered; those that a restart interrupted are refer.
fn register(journal: Option<&Path>) -> Result<Register, StartError> {
    let Some(path) = journal else {
        return Ok(Register::new(Journal::in_memory(), Remembered::default()));
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error: io::Error| StartError::AuditFolder {
        path: path.display().to_string(),
        why: error.to_string(),
    })?;
    let (journal, remembered) = Journal::open(path, TRANSACTIONS_REMEMBERED)?;
    if remembered.unread > 0 {
        let (lines, path) = (remembered.unread, path.display());
        tracing::warn!(lines, %path, "lines of the journal were cut off or damaged");
    }
    Ok(Register::new(journal, remembered))
}

/// What signs the audit's checkpoints; its key is made at the first start.
///
/// # Errors
/// [`StartError::Config`] or [`StartError::AuditKey`].
pub fn audit_signer(
    config: &Config,
    environment: &Environment,
    entropy: &dyn Entropy,
) -> Result<Signer, StartError> {
    let path = match config.audit.key.as_os_str().is_empty() {
        true => audit_path(config, environment)?.with_file_name(AUDIT_KEY_FILE),
        false => config.audit.key.clone(),
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error: io::Error| StartError::AuditFolder {
        path: path.display().to_string(),
        why: error.to_string(),
    })?;
    Ok(Signer::new(&config.audit.name, SigningKey::at(&path, entropy)?))
}

/// What the configuration says that the appliance is used as.
fn site_place(
    config: &Config,
    environment: &Environment,
    galleries: &GalleryPlace,
) -> Result<Option<SitePlace>, StartError> {
    if !config.site.is_chosen() {
        return Ok(None);
    }
    let of_state = |configured: &Path, name: &str| match configured.as_os_str().is_empty() {
        true => environment.state_folder().map(|folder| folder.join(name)),
        false => Ok(configured.to_owned()),
    };
    let (custodian, entropy) = (Arc::clone(&galleries.means.custodian), &galleries.means.entropy);
    let register = match galleries.folder {
        // What is sealed with keys that end with the process is not kept beyond it.
        None => ConsentRegister::in_memory(custodian, Arc::clone(entropy)),
        Some(_) => {
            let path = of_state(&config.site.register, REGISTER_FILE)?;
            ConsentRegister::open(&path, custodian, Arc::clone(entropy))
        }
    };
    let profile = site::profile(&config.site.profile)?;
    household::check(&profile, config)?;
    Ok(Some(SitePlace {
        profile,
        record: Some(of_state(&config.site.record, SITE_FILE)?),
        register: register.map_err(site::SiteError::from)?,
        people: config.person.clone(),
        webhook_ca: Some(config.site.webhook_ca.clone()).filter(|at| !at.as_os_str().is_empty()),
    }))
}

fn open_audit(
    config: &Config,
    environment: &Environment,
    entropy: &dyn Entropy,
) -> Result<FileAudit, StartError> {
    let path = audit_path(config, environment)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error: io::Error| StartError::AuditFolder {
        path: path.display().to_string(),
        why: error.to_string(),
    })?;
    let signer = audit_signer(config, environment, entropy)?;
    FileAudit::open(&path, signer).map_err(StartError::Audit)
}
