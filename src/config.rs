//! Text in, configuration out; unknown keys are refused.
//!
//! Three layers, each over the one before: the defaults, one TOML file, the environment
//! (`PORTCULLIS_<SECTION>_<KEY>`). The defaults stand twice, as values here and documented in
//! [`DEFAULT_TEXT`]; a test holds the two equal and finds every key.
//!
//! Invariant: the environment is read once, here, into an [`Environment`]; everything below is
//! handed values.

mod attack;
mod document;
mod engine;
mod environment;
mod lane;
mod site;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{limits, policy::ATTACK_SCORE_SUSPECTED};
pub use attack::{AttackChoice, AttackDetectorName, AttackNetworkFile};
pub use engine::{ComputeClass, EngineChoice, EngineName, SearchEngine};
pub use environment::Environment;
pub use lane::{FormatName, LaneKeys, SourceName};
pub use site::{PersonKeys, SiteChoice};

/// The documented defaults, as `portcullis config` prints them.
pub const DEFAULT_TEXT: &str = include_str!("config.default.toml");

const PREFIX: &str = "PORTCULLIS_";

/// Why there is no configuration. The operator must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {path} cannot be read: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// The text is not a configuration.
    #[error("{path}:{line}: {why}; `portcullis config` prints every key with its meaning")]
    Text {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there, naming the key.
        why: String,
    },
    /// A variable of the environment sets no key, or sets it to something else than it holds.
    #[error("{variable}: {why}; `portcullis config` prints every key with its meaning")]
    Variable {
        /// The variable.
        variable: String,
        /// What is wrong with it.
        why: String,
    },
    /// A value that no rule allows.
    #[error("{key} = {value}: {why}")]
    Value {
        /// `section.key`.
        key: &'static str,
        /// What was written.
        value: String,
        /// What is allowed.
        why: String,
    },
    /// Beyond loopback without TLS or without tokens.
    #[error(
        "server.listen = {listen} is reachable from other machines; that needs {missing}. Set \
         them, or listen on 127.0.0.1"
    )]
    Exposed {
        /// The address.
        listen: SocketAddr,
        /// The keys that are empty.
        missing: String,
    },
    /// Neither a home folder nor the variable that would replace it.
    #[error("no place for {what}: set {variable} or HOME")]
    NoFolder {
        /// What needs a place.
        what: &'static str,
        /// What would name it.
        variable: &'static str,
    },
}

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Cameras and gates; none where the gates' controllers send whole requests.
    pub lane: Vec<LaneKeys>,
    /// Persons behind credentials; none where nobody's training is asked for.
    pub person: Vec<PersonKeys>,
    /// The API.
    pub server: Server,
    /// Model files.
    pub models: Models,
    /// Who computes.
    pub engine: EngineChoice,
    /// Who judges whether a face is presented by a living traveller.
    pub attack: AttackChoice,
    /// What decides.
    pub policy: PolicyChoice,
    /// Whose documents are genuine.
    pub documents: Documents,
    /// What the appliance is used as.
    pub site: SiteChoice,
    /// Where decisions are written.
    pub audit: Audit,
    /// Who is enrolled, and who keeps the keys.
    pub gallery: Galleries,
    /// Templates that travellers carry.
    pub holder: Holder,
    /// What is told on standard error.
    pub log: Log,
    /// Bounds lowered beneath the product's.
    pub limits: Limits,
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port.
    pub listen: SocketAddr,
    /// PEM certificate chain; empty for none.
    pub tls_certificate: PathBuf,
    /// PEM private key; empty for none.
    pub tls_key: PathBuf,
    /// PEM certificates of who signs clients' certificates; empty for none.
    pub tls_client_ca: PathBuf,
    /// Token file; empty for none.
    pub tokens: PathBuf,
    /// Roles without a token file.
    pub local_roles: Vec<RoleName>,
}

/// `[models]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Models {
    /// ONNX file; empty for the default one.
    pub detector: PathBuf,
    /// ONNX file; empty for the default one.
    pub embedder: PathBuf,
    /// Calibration file; empty for the shipped one.
    pub calibration: PathBuf,
    /// Width and height of the detector's input.
    pub detect_px: usize,
}

/// `[policy]`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyChoice {
    /// Whether Admit needs a passed presentation attack detection.
    pub attack_detection: AttackDetection,
    /// Score from which a presentation is suspected to be an attack.
    pub attack_threshold: f32,
    /// What a document must be found to be before its photograph opens a gate.
    pub document_authentication: DocumentAuthentication,
    /// Codes of the weaknesses that a document may have and open a gate all the same.
    pub document_weaknesses_accepted: Vec<String>,
    /// False match rate of the threshold.
    pub fmr: f64,
    /// Rules for the face in a frame.
    pub face_rules: FaceRulesName,
    /// Attempts of one traveller at a lane.
    pub attempts: u8,
    /// Whether administrators may be handed templates.
    pub embed_enabled: bool,
    /// Files of the deployer's own rules, which may forbid and nothing else.
    pub own_texts: Vec<PathBuf>,
}

/// `[documents]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Documents {
    /// File or folder of country certificates and revocation lists; empty for none.
    pub trust_store: PathBuf,
}

/// `[audit]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// The file; empty for the default one.
    pub path: PathBuf,
    /// The journal of transactions; empty for the default one.
    pub journal: PathBuf,
    /// The key that signs checkpoints; empty for the default one.
    pub key: PathBuf,
    /// Name of the log in its checkpoints.
    pub name: String,
    /// Days that entries are kept.
    pub retention_days: u32,
}

/// `[gallery]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Galleries {
    /// Folder of the gallery files; empty for the default one.
    pub directory: PathBuf,
    /// Where opened tiles lie.
    pub residency: ResidencyName,
    /// Who keeps the keys.
    pub custodian: CustodianName,
    /// Custodian `file`: folder of the key files; empty for the default one.
    pub key_directory: PathBuf,
    /// Custodian `file`: file with the passphrase of the key files; empty for none.
    pub key_passphrase_file: PathBuf,
    /// Custodian `pkcs11`: the token's library.
    pub pkcs11_module: PathBuf,
    /// Custodian `pkcs11`: label of the token.
    pub pkcs11_token: String,
    /// Custodian `pkcs11`: file with the user's PIN.
    pub pkcs11_pin_file: PathBuf,
}

/// `[holder]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Holder {
    /// File of the key that signs and seals holder tokens; empty where none are issued.
    pub issuer_key: PathBuf,
    /// Files of the keys that open and verify them, one per issuer that is accepted.
    pub reader_keys: Vec<PathBuf>,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How an event is written.
    pub format: LogFormat,
    /// The least severe event that is written.
    pub level: LogLevel,
}

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Requests at once that need a place.
    pub transactions: usize,
    /// Connections at once.
    pub connections: usize,
    /// Time of a request that names no deadline.
    pub deadline_ms: u64,
    /// Time in which what is in flight may still be answered when the appliance stops.
    pub drain_ms: u64,
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }
    };
}

choice! {
    /// Whether Admit needs a passed presentation attack detection.
    AttackDetection {
        /// It does.
        Required,
        /// Comparison decides alone.
        NotRequired,
    }
}
choice! {
    /// What a document must be found to be before its photograph opens a gate.
    DocumentAuthentication {
        /// Genuine, without a reservation that is not accepted by name.
        Required,
        /// Not found to be false; at a border genuine.
        NotRequired,
    }
}
choice! {
    /// Rules for the face in a frame.
    FaceRulesName {
        /// Photographs.
        Still,
        /// Live capture at a gate.
        Egate,
    }
}
choice! {
    /// Where opened tiles lie.
    #[derive(Default)]
    ResidencyName {
        /// Nowhere: each search opens what it needs and wipes it.
        #[default]
        Sealed,
        /// In locked memory, from the opening to the end.
        Locked,
    }
}
choice! {
    /// Who keeps the keys of galleries.
    #[derive(Default)]
    CustodianName {
        /// This process alone: what it ends, nobody opens again.
        Memory,
        /// One file per epoch.
        #[default]
        File,
        /// A token (a security module) behind PKCS #11.
        Pkcs11,
    }
}
choice! {
    /// How a log event is written.
    LogFormat {
        /// For people.
        Text,
        /// For machines.
        Json,
    }
}
choice! {
    /// The least severe event that is written.
    LogLevel {
        /// What failed.
        Error,
        /// And what may soon.
        Warn,
        /// And what changed.
        Info,
        /// And what was done.
        Debug,
        /// And how.
        Trace,
    }
}
choice! {
    /// A role, as the configuration names it.
    RoleName {
        /// [`crate::types::Role::Administrator`].
        Administrator,
        /// [`crate::types::Role::Auditor`].
        Auditor,
        /// [`crate::types::Role::DataProtectionOfficer`].
        DataProtectionOfficer,
        /// [`crate::types::Role::Gate`].
        Gate,
        /// [`crate::types::Role::Officer`].
        Officer,
        /// [`crate::types::Role::Operator`].
        Operator,
    }
}

impl From<RoleName> for crate::types::Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Administrator => Self::Administrator,
            RoleName::Auditor => Self::Auditor,
            RoleName::DataProtectionOfficer => Self::DataProtectionOfficer,
            RoleName::Gate => Self::Gate,
            RoleName::Officer => Self::Officer,
            RoleName::Operator => Self::Operator,
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8460)),
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            tls_client_ca: PathBuf::new(),
            tokens: PathBuf::new(),
            local_roles: vec![RoleName::Operator, RoleName::Gate, RoleName::Administrator],
        }
    }
}

impl Default for Models {
    fn default() -> Self {
        let none = PathBuf::new;
        Self { detector: none(), embedder: none(), calibration: none(), detect_px: 640 }
    }
}

impl Default for PolicyChoice {
    fn default() -> Self {
        Self {
            attack_detection: AttackDetection::Required,
            attack_threshold: ATTACK_SCORE_SUSPECTED,
            document_authentication: DocumentAuthentication::Required,
            document_weaknesses_accepted: Vec::new(),
            fmr: 1e-4,
            face_rules: FaceRulesName::Still,
            attempts: 2,
            embed_enabled: false,
            own_texts: Vec::new(),
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        let name = "portcullis/audit".to_owned();
        let none = PathBuf::new;
        Self { path: none(), journal: none(), key: none(), name, retention_days: 365 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: LogLevel::Info }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: limits::BODY_BYTES_MAX,
            transactions: limits::TRANSACTIONS_MAX,
            connections: limits::CONNECTIONS_MAX,
            deadline_ms: limits::DEADLINE_MS_DEFAULT,
            drain_ms: limits::STOP_MS_MAX,
        }
    }
}

impl Galleries {
    /// A custodian is given what it needs, and nothing that it would not look at.
    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, value: &Path, why: &str| {
            let value = value.display().to_string();
            Err(ConfigError::Value { key, value, why: why.to_owned() })
        };
        let is_set = |path: &Path| !path.as_os_str().is_empty();
        let of_token = [
            ("gallery.pkcs11_module", self.pkcs11_module.as_path()),
            ("gallery.pkcs11_token", Path::new(&self.pkcs11_token)),
            ("gallery.pkcs11_pin_file", self.pkcs11_pin_file.as_path()),
        ];
        let of_file = [
            ("gallery.key_directory", self.key_directory.as_path()),
            ("gallery.key_passphrase_file", self.key_passphrase_file.as_path()),
        ];
        let is_token = self.custodian == CustodianName::Pkcs11;
        for (key, value) in of_token {
            if is_token && !is_set(value) {
                return refuse(key, value, "the custodian pkcs11 needs it");
            }
            if !is_token && is_set(value) {
                return refuse(
                    key,
                    value,
                    "belongs to custodian = \"pkcs11\", which is not chosen",
                );
            }
        }
        for (key, value) in of_file {
            if self.custodian != CustodianName::File && is_set(value) {
                return refuse(key, value, "belongs to custodian = \"file\", which is not chosen");
            }
        }
        Ok(())
    }
}

impl Config {
    /// The file's keys over the defaults, the environment's over both. `file` is the one named on
    /// the command line; without it, the user's own is read where there is one.
    ///
    /// # Errors
    /// [`ConfigError`], naming the file, the key and the line, or the variable.
    pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        let (file, named) = match file {
            Some(file) => (Some(file.to_owned()), true),
            None => (environment.config_file(), false),
        };
        let config = match file {
            Some(file) if named || file.exists() => {
                let text = std::fs::read_to_string(&file).map_err(|error| {
                    let path = file.display().to_string();
                    ConfigError::Unreadable { path, why: error.to_string() }
                })?;
                Self::parse(&text, &file.display().to_string())?
            }
            Some(_) | None => Self::default(),
        };
        let mut config = config.overridden(environment)?;
        config.check()?;
        config.engine.placed(environment);
        Ok(config)
    }

    /// Parses the text of a file; `path` is for messages.
    ///
    /// # Errors
    /// [`ConfigError::Text`].
    pub fn parse(text: &str, path: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
            let written = text.lines().nth(line - 1).unwrap_or_default().trim();
            let why = format!("{} (`{written}`)", error.message().trim());
            ConfigError::Text { path: path.to_owned(), line, why }
        })
    }

    fn overridden(self, environment: &Environment) -> Result<Self, ConfigError> {
        let mut table = toml::Table::try_from(&self).expect("a configuration is a table");
        let mut changed = None;
        for (variable, value) in &environment.variables {
            let Some(name) = variable.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else {
                continue;
            };
            let Some((section, key)) = name.split_once('_') else { continue };
            let Some(toml::Value::Table(keys)) = table.get_mut(section) else { continue };
            let refuse = |why: String| ConfigError::Variable { variable: variable.clone(), why };
            let Some(slot) = keys.get_mut(key) else {
                return Err(refuse(format!("[{section}] has no key `{key}`")));
            };
            *slot = like(slot, value).map_err(refuse)?;
            let attempt: Result<Self, _> = table.clone().try_into();
            changed = Some(attempt.map_err(|error| refuse(error.message().trim().to_owned()))?);
        }
        Ok(changed.unwrap_or(self))
    }

    /// Whether every value is one that the appliance can run with.
    ///
    /// # Errors
    /// [`ConfigError::Value`] or [`ConfigError::Exposed`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, value: String, why: &str| {
            Err(ConfigError::Value { key, value, why: why.to_owned() })
        };
        let px = self.models.detect_px;
        if !(32..=2048).contains(&px) || !px.is_multiple_of(32) {
            return refuse("models.detect_px", px.to_string(), "a multiple of 32 from 32 to 2048");
        }
        let fmr = self.policy.fmr;
        if !(fmr > 0.0 && fmr < 1.0) {
            return refuse("policy.fmr", fmr.to_string(), "a rate between 0 and 1, such as 1e-4");
        }
        let suspected = self.policy.attack_threshold;
        if !(suspected > 0.0 && suspected <= 1.0) {
            let why = "a score above 0 and at most 1; 0 is bona fide, 1 an attack";
            return refuse("policy.attack_threshold", suspected.to_string(), why);
        }
        let attempts = self.policy.attempts;
        if !(1..=limits::ATTEMPTS_MAX).contains(&attempts) {
            let why = format!("1 to {}", limits::ATTEMPTS_MAX);
            return refuse("policy.attempts", attempts.to_string(), &why);
        }
        self.policy.weaknesses_accepted()?;
        let kept = self.audit.retention_days;
        if kept < limits::AUDIT_DAYS_MIN {
            let why = format!("at least {} (six months)", limits::AUDIT_DAYS_MIN);
            return refuse("audit.retention_days", kept.to_string(), &why);
        }
        if self.audit.name.trim().is_empty() {
            return refuse("audit.name", String::new(), "checkpoints bear the log's name");
        }
        self.engine.check()?;
        let held = &self.limits;
        let bounds = [
            ("limits.body_bytes", held.body_bytes as u64, limits::BODY_BYTES_MAX as u64),
            ("limits.transactions", held.transactions as u64, limits::TRANSACTIONS_MAX as u64),
            ("limits.connections", held.connections as u64, limits::CONNECTIONS_MAX as u64),
            ("limits.deadline_ms", held.deadline_ms, limits::DEADLINE_MS_MAX),
            ("limits.drain_ms", held.drain_ms, limits::STOP_MS_MAX),
        ];
        for (key, value, most) in bounds {
            if value == 0 || value > most {
                let why = format!("1 to {most}; a limit can be lowered, not raised");
                return refuse(key, value.to_string(), &why);
            }
        }
        if self.server.local_roles.is_empty() && self.server.tokens.as_os_str().is_empty() {
            let why = "name at least one role, or set server.tokens: nobody could call";
            return refuse("server.local_roles", "[]".to_owned(), why);
        }
        let tls = (&self.server.tls_certificate, &self.server.tls_key);
        if tls.0.as_os_str().is_empty() != tls.1.as_os_str().is_empty() {
            let why = "tls_certificate and tls_key belong together: set both or neither";
            return refuse("server.tls_certificate", tls.0.display().to_string(), why);
        }
        let clients = &self.server.tls_client_ca;
        let has_tokens = !self.server.tokens.as_os_str().is_empty();
        if !clients.as_os_str().is_empty() && (tls.0.as_os_str().is_empty() || !has_tokens) {
            let why = "needs tls_certificate, and server.tokens, which says whose certificates are \
                       known";
            return refuse("server.tls_client_ca", clients.display().to_string(), why);
        }
        lane::check(&self.lane)?;
        site::check(&self.person)?;
        self.attack.check()?;
        self.gallery.check()?;
        self.check_exposure()?;
        self.site.check(&self.server, self.lane.len())
    }

    fn check_exposure(&self) -> Result<(), ConfigError> {
        let server = &self.server;
        if server.listen.ip().is_loopback() {
            return Ok(());
        }
        let needed = [
            ("server.tls_certificate", &server.tls_certificate),
            ("server.tls_key", &server.tls_key),
            ("server.tokens", &server.tokens),
        ];
        let missing: Vec<_> = needed
            .iter()
            .filter(|(_, path)| path.as_os_str().is_empty())
            .map(|(key, _)| *key)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(ConfigError::Exposed { listen: server.listen, missing: missing.join(", ") })
    }
}

/// `text` as a value of the same type as `model`.
fn like(model: &toml::Value, text: &str) -> Result<toml::Value, String> {
    let wrong = |what: &str| format!("`{text}` is not {what}");
    match model {
        toml::Value::Integer(_) => {
            text.parse().map(toml::Value::Integer).map_err(|_| wrong("a whole number"))
        }
        toml::Value::Float(_) => {
            text.parse().map(toml::Value::Float).map_err(|_| wrong("a number"))
        }
        toml::Value::Boolean(_) => {
            text.parse().map(toml::Value::Boolean).map_err(|_| wrong("true or false"))
        }
        toml::Value::Array(_) => {
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            Ok(toml::Value::Array(words.map(|word| word.to_owned().into()).collect()))
        }
        toml::Value::String(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
            Ok(toml::Value::String(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_defaults_are_the_defaults_and_name_every_key() {
        let parsed = Config::parse(DEFAULT_TEXT, "default").expect("the embedded file parses");
        assert_eq!(parsed, Config::default());
        assert_eq!(parsed.check(), Ok(()));
        let written: toml::Table = toml::from_str(DEFAULT_TEXT).expect("a table");
        let held = toml::Table::try_from(Config::default()).expect("a table");
        assert_eq!(written, held, "every key stands in the embedded file");
    }

    #[test]
    fn errors_name_the_file_the_key_and_the_line() {
        let error = Config::parse("[server]\nlisten = \"127.0.0.1:1\"\nport = 3\n", "a.toml");
        let text = error.expect_err("unknown key").to_string();
        assert!(text.starts_with("a.toml:3: unknown field `port`"), "{text}");
        let error = Config::parse("[policy]\n\nfmr = \"often\"\n", "a.toml").expect_err("a word");
        assert!(matches!(error, ConfigError::Text { line: 3, .. }), "{error}");
    }

    #[test]
    fn the_environment_wins_and_is_checked_like_the_file() {
        let set = |name, value| {
            let environment = Environment::of(&[(name, value)]);
            Config::load(None, &environment)
        };
        let config = set("PORTCULLIS_SERVER_LISTEN", "127.0.0.1:9000").expect("a port");
        assert_eq!(config.server.listen.port(), 9000);
        let roles = set("PORTCULLIS_SERVER_LOCAL_ROLES", "gate, officer").expect("two roles");
        assert_eq!(roles.server.local_roles, [RoleName::Gate, RoleName::Officer]);
        assert_eq!(set("PORTCULLIS_POLICY_FMR", "0.001").expect("a rate").policy.fmr, 0.001);
        assert!(
            set("PORTCULLIS_POLICY_EMBED_ENABLED", "true").expect("a switch").policy.embed_enabled
        );
        for (name, value, expected) in [
            ("PORTCULLIS_POLICY_FMT", "1", "has no key `fmt`"),
            ("PORTCULLIS_POLICY_FMR", "often", "`often` is not a number"),
            ("PORTCULLIS_ENGINE_NAME", "abacus", "unknown variant `abacus`"),
            ("PORTCULLIS_ENGINE_SEARCH", "fpga", "engine.fpga_card"),
            ("PORTCULLIS_ENGINE_FPGA_CARD", "/dev/uio0", "with engine.search"),
            ("PORTCULLIS_MODELS_DETECT_PX", "100", "a multiple of 32"),
            ("PORTCULLIS_LIMITS_BODY_BYTES", "99999999999", "lowered, not raised"),
            ("PORTCULLIS_POLICY_ATTEMPTS", "0", "1 to 5"),
            ("PORTCULLIS_AUDIT_RETENTION_DAYS", "183", "at least 184"),
            ("PORTCULLIS_POLICY_ATTACK_THRESHOLD", "0", "above 0 and at most 1"),
            ("PORTCULLIS_ATTACK_DETECTOR", "eyes", "unknown variant `eyes`"),
            ("PORTCULLIS_ATTACK_DETECTOR", "listed", "[[attack.network]]"),
            ("PORTCULLIS_GALLERY_CUSTODIAN", "vault", "unknown variant `vault`"),
            ("PORTCULLIS_GALLERY_CUSTODIAN", "pkcs11", "gallery.pkcs11_module"),
            ("PORTCULLIS_GALLERY_PKCS11_TOKEN", "gates", "which is not chosen"),
            ("PORTCULLIS_SERVER_LISTEN", "0.0.0.0:1", "server.tls_certificate, server.tls_key"),
        ] {
            let text = set(name, value).expect_err(name).to_string();
            assert!(text.contains(expected), "{text}");
        }
        assert_eq!(
            set("PORTCULLIS_GALLERY_RESIDENCY", "locked").expect("one").gallery.residency,
            ResidencyName::Locked
        );
        assert!(set("PORTCULLIS_SHARED", "/elsewhere").is_ok(), "not a section: not ours");
    }

    #[test]
    fn a_custodian_is_given_what_it_needs_and_nothing_else() {
        let with = |more: &str| {
            let text = format!("[gallery]\n{more}");
            Config::parse(&text, "a.toml").expect("known keys").check()
        };
        let whole = "pkcs11_module = \"/lib/a.so\"\npkcs11_token = \"gates\"\n\
                     pkcs11_pin_file = \"/etc/pin\"\n";
        assert_eq!(with(&format!("custodian = \"pkcs11\"\n{whole}")), Ok(()));
        assert_eq!(with("key_directory = \"/keys\"\nkey_passphrase_file = \"/pass\""), Ok(()));
        for (text, key) in [
            ("custodian = \"pkcs11\"", "gallery.pkcs11_module"),
            (whole, "gallery.pkcs11_module"),
            ("custodian = \"memory\"\nkey_directory = \"/keys\"", "gallery.key_directory"),
            (
                "custodian = \"memory\"\nkey_passphrase_file = \"/pass\"",
                "gallery.key_passphrase_file",
            ),
        ] {
            match with(text) {
                Err(ConfigError::Value { key: found, .. }) => assert_eq!(found, key, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn folders_follow_the_environment() {
        let home = Environment::of(&[("HOME", "/home/desk")]);
        assert_eq!(home.cache_folder(), Ok(PathBuf::from("/home/desk/.cache/portcullis")));
        let own = Environment::of(&[("HOME", "/home/desk"), ("PORTCULLIS_CACHE", "/srv/models")]);
        assert_eq!(own.cache_folder(), Ok(PathBuf::from("/srv/models")));
        assert!(Environment::default().cache_folder().is_err());
    }
}
