//! A server on a port of its own, over the scripted networks of `scene`, and a caller that knows
//! nothing but sockets.

#![allow(unreachable_pub, reason = "a module of several test targets")]

use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis::{
    appliance::{
        Appliance, Assembly, GalleryPlace, World, evaluation_desk, keeping::HolderKeys, law,
        site::SitePlace,
    },
    audit::{AuditSink, FileAudit, Signer},
    capture::runner::LanePlan,
    command::Service,
    config::{self, PersonKeys},
    document::authentication::TrustStore,
    gallery::{Means, Residency},
    http::{Access, Api, server},
    keys::{
        Custodian, SigningKey,
        custodian::{FileCustodian, MemoryCustodian},
        holder::IssuerKey,
    },
    meter::Meter,
    policy::{AttackRule, DocumentRule, Guards, Law, Standing},
    profile::Profile,
    random::SystemEntropy,
    register::Register,
    time::{Clock, SystemClock},
    types::{Caller, Obligation, Role, SiteFacts},
};
use serde_json::Value;

use crate::{
    png::{Png, RGB},
    scene::{EDGE_PX, Engines, Ledger, Meanwhile, Scene, Shows},
    steady,
};

/// What a server is made with.
pub struct Setup {
    pub access: Access,
    pub limits: config::Limits,
    pub attack: AttackRule,
    pub documents: DocumentRule,
    pub embed_enabled: bool,
    /// Galleries and keys on disk, beneath this folder; without it they are in memory.
    pub folder: Option<PathBuf>,
    /// Another audit than the scene's.
    pub audit: Option<Arc<dyn AuditSink>>,
    /// Whether holder tokens are issued and accepted.
    pub holder_tokens: bool,
    pub trust: TrustStore,
    pub lanes: Vec<LanePlan>,
    /// Where transactions of lanes are remembered; without it they are forgotten with the server.
    pub journal: Option<PathBuf>,
    /// Where it stands, and what is known of the place.
    pub site: SiteFacts,
    /// Rules of the deployer's own.
    pub own: Vec<(String, String)>,
    /// What the appliance's own presentation attack detector says of every face; without it there
    /// is none.
    pub attack_score: Option<f32>,
    /// What it is used as; without it, as `site` says.
    pub used_as: Option<UsedAs>,
    /// The clock on the wall, where a test sets it.
    pub clock: Option<Arc<WallClock>>,
    /// What the scripted networks do while they run, where it is something.
    pub meanwhile: Option<Meanwhile>,
}

impl Default for Setup {
    fn default() -> Self {
        let roles = [Role::Operator, Role::Gate, Role::Administrator];
        Self {
            access: Access::Loopback(roles.map(caller).to_vec()),
            limits: config::Limits::default(),
            attack: AttackRule::NotRequired,
            documents: DocumentRule::NotRequired,
            embed_enabled: true,
            folder: None,
            audit: None,
            holder_tokens: true,
            trust: TrustStore::default(),
            lanes: Vec::new(),
            journal: None,
            site: evaluation_desk(),
            own: Vec::new(),
            attack_score: None,
            used_as: None,
            clock: None,
            meanwhile: None,
        }
    }
}

pub fn caller(role: Role) -> Caller {
    Caller { role, client: "test".parse().expect("a name") }
}

impl Setup {
    pub fn on_disk(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()), ..Self::default() }
    }

    fn place(&self, world: &World) -> GalleryPlace {
        let entropy = Arc::clone(&world.entropy);
        let custodian: Arc<dyn Custodian> = match &self.folder {
            Some(folder) => Arc::new(
                FileCustodian::open(&folder.join("keys"), None, Arc::clone(&entropy))
                    .expect("a folder of keys"),
            ),
            None => Arc::new(MemoryCustodian::new(Arc::clone(&entropy))),
        };
        let means = Means { custodian, entropy, clock: Arc::clone(&world.clock) };
        let folder = self.folder.as_ref().map(|folder| folder.join("galleries"));
        GalleryPlace { folder, means, residency: Residency::Sealed }
    }

    fn holder_keys(&self, world: &World) -> HolderKeys {
        if !self.holder_tokens {
            return HolderKeys::default();
        }
        let issuer = IssuerKey::random(world.entropy.as_ref()).expect("locked memory");
        HolderKeys::of_issuer(issuer).expect("locked memory")
    }
}

/// Names the duty that is struck out of the law of this process.
pub const STRUCK: &str = "PORTCULLIS_STRUCK_DUTY";

/// The law as it stands, without the duty that the environment names, where it names one: how
/// `struck.rs` sees that a test notices when an appliance does not carry it out.
fn struck(law: Arc<Law>) -> Arc<Law> {
    let Some(name) = std::env::var_os(STRUCK) else { return law };
    let duty = Obligation::ALL.iter().find(|duty| Some(duty.name()) == name.to_str());
    let duty = *duty.expect("the name of a duty");
    let owing = law.rules().iter().filter(|rule| rule.owed.contains(&duty));
    let owing: Vec<String> = owing.map(|rule| rule.id.clone()).collect();
    let without = |law: Law, rule: &String| law.without_duty(rule, duty);
    Arc::new(owing.iter().fold(Law::clone(&law), without))
}

/// What an appliance is used as.
pub struct UsedAs {
    pub profile: Profile,
    pub people: Vec<PersonKeys>,
    /// Where its steps and its consents are kept; without it, in memory.
    pub folder: Option<PathBuf>,
}

impl UsedAs {
    fn place(self, galleries: &GalleryPlace) -> SitePlace {
        let (custodian, entropy) =
            (Arc::clone(&galleries.means.custodian), Arc::clone(&galleries.means.entropy));
        let register = match &self.folder {
            Some(folder) => Register::open(&folder.join("register.redb"), custodian, entropy),
            None => Register::in_memory(custodian, entropy),
        };
        SitePlace {
            profile: self.profile,
            record: self.folder.map(|folder| folder.join("site.json")),
            register: register.expect("a register"),
            people: self.people,
            webhook_ca: None,
        }
    }
}

/// The clock on the wall, which a test sets; time itself runs as it does, and jumps when a test
/// says so.
pub struct WallClock {
    running: SystemClock,
    civil_s: AtomicI64,
    jumped_us: AtomicU64,
    /// Whether an hour passes when a request asks next what time it is.
    dawdles: AtomicBool,
}

impl WallClock {
    pub fn at(civil_s: i64) -> Arc<Self> {
        let (running, civil_s) = (SystemClock::start(), AtomicI64::new(civil_s));
        let (jumped_us, dawdles) = (AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Self { running, civil_s, jumped_us, dawdles })
    }

    pub fn set(&self, civil_s: i64) {
        self.civil_s.store(civil_s, Ordering::SeqCst);
    }

    pub fn jump_s(&self, by_s: u64) {
        self.jumped_us.fetch_add(by_s * 1_000_000, Ordering::SeqCst);
    }

    /// Lets an hour pass when a request's own thread, and none of the pipeline's, asks next what
    /// time it is.
    pub fn dawdle_in_a_request(&self) {
        self.dawdles.store(true, Ordering::SeqCst);
    }
}

impl Clock for WallClock {
    fn monotonic_us(&self) -> u64 {
        self.running.monotonic_us() + self.jumped_us.load(Ordering::SeqCst)
    }

    fn civil_s(&self) -> i64 {
        let of_request = thread::current().name().is_some_and(|name| name.starts_with("tokio"));
        if of_request && self.dawdles.swap(false, Ordering::SeqCst) {
            self.jump_s(3_600);
        }
        self.civil_s.load(Ordering::SeqCst)
    }
}

/// A server; it stops when it is dropped.
pub struct Server {
    pub address: SocketAddr,
    /// What the audit was told, where the appliance is the product's own.
    pub audit: Option<Arc<Ledger>>,
    /// Who computes, where the networks are the scripted ones.
    pub engines: Option<Arc<Engines>>,
    /// The product's own, where it is.
    pub appliance: Option<Arc<Appliance>>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    /// With the product's own appliance over scripted networks.
    pub fn start(setup: Setup) -> Self {
        let mut world = world();
        if let Some(clock) = &setup.clock {
            world.clock = Arc::clone(clock) as Arc<dyn Clock>;
        }
        let meanwhile = setup.meanwhile.clone().unwrap_or_else(|| Arc::new(|| {}));
        let (scene, parts) = Scene::new(16, 7, 0, Arc::clone(&world.clock), meanwhile);
        let (galleries, holder_keys) = (setup.place(&world), setup.holder_keys(&world));
        let mut engine = parts.engine;
        let attack = setup.attack_score.map(|score| {
            let (networks, detection) = steady::detector(score);
            engine.attack = networks;
            detection
        });
        let assembly = Assembly {
            engine,
            detector: parts.detector,
            attack: attack.or(parts.attack),
            standby: parts.standby,
            lanes: setup.lanes,
            journal: setup.journal,
            attempts: 2,
            calibration: parts.calibration,
            rules: parts.rules,
            policy: Arc::new(Guards::new(setup.attack).documents(setup.documents)),
            standing: Standing::new(struck(law(&setup.own).expect("the law")), &setup.site)
                .expect("a site"),
            site: setup.used_as.map(|used_as| used_as.place(&galleries)),
            audit: setup.audit.clone().unwrap_or(parts.audit),
            audit_days: 365,
            galleries,
            holder_keys,
            trust: setup.trust,
            fmr: 1e-4,
            embed_enabled: setup.embed_enabled,
            deadline_ms: setup.limits.deadline_ms,
            drain_ms: setup.limits.drain_ms,
        };
        let appliance =
            Appliance::with_engine(assembly, world.clone()).expect("a rate in the table");
        let appliance = Arc::new(appliance);
        let service = Arc::clone(&appliance) as Arc<dyn Service>;
        let server = Self::with_service(setup.access, &setup.limits, &world, Some(service));
        let (audit, engines) = (Arc::clone(&scene.ledger), Arc::clone(&scene.engines));
        let appliance = Some(appliance);
        Self { audit: Some(audit), engines: Some(engines), appliance, ..server }
    }

    /// With any service, or with none yet.
    pub fn with_service(
        access: Access,
        limits: &config::Limits,
        world: &World,
        service: Option<Arc<dyn Service>>,
    ) -> Self {
        let api = Api::new(access, limits, Arc::clone(&world.meter), Arc::clone(&world.clock));
        if let Some(service) = service {
            api.start(service);
        }
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let listener = server::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let address = listener.local_addr().expect("bound");
        let forever = std::future::pending();
        runtime.spawn(server::serve(listener, None, api, limits.into(), forever));
        Self { address, audit: None, engines: None, appliance: None, _runtime: runtime }
    }

    /// Sends `bytes` as they are and reads until the server closes.
    pub fn exchange(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // A server that refuses early may close before everything is sent; its answer counts.
        let _sent = stream.write_all(bytes);
        Answer::read(&mut stream)
    }

    /// As `exchange`, but says after the bytes that nothing follows.
    pub fn exchange_and_stop(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("sent");
        stream.shutdown(Shutdown::Write).expect("half closed");
        Answer::read(&mut stream)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        stream
    }

    pub fn get(&self, path: &str) -> Answer {
        self.exchange(&head("GET", path, ""))
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.exchange(&head("DELETE", path, ""))
    }

    pub fn put_json(&self, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let headers =
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        self.exchange(&[head("PUT", path, &headers), body.into_bytes()].concat())
    }

    pub fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, "application/json", body.to_string().as_bytes())
    }

    pub fn post(&self, path: &str, kind: &str, body: &[u8]) -> Answer {
        self.exchange(&post(path, kind, body))
    }

    pub fn post_form(&self, path: &str, fields: &[(&str, &[u8])]) -> Answer {
        self.post(path, FORM_KIND, &form(fields))
    }
}

pub fn world() -> World {
    World {
        clock: Arc::new(SystemClock::start()) as Arc<dyn Clock>,
        entropy: Arc::new(SystemEntropy),
        meter: Arc::new(Meter::new()),
    }
}

/// The product's own audit, in `folder`.
pub fn audit_in(folder: &Path) -> Arc<dyn AuditSink> {
    let key = SigningKey::random(&SystemEntropy).expect("locked memory");
    let audit = FileAudit::open(&folder.join("audit.jsonl"), Signer::new("test/audit", key));
    Arc::new(audit.expect("an audit"))
}

pub fn head(verb: &str, path: &str, headers: &str) -> Vec<u8> {
    format!("{verb} {path} HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n{headers}\r\n")
        .into_bytes()
}

pub fn post(path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let headers = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
    [head("POST", path, &headers), body.to_vec()].concat()
}

pub const FORM_KIND: &str = "multipart/form-data; boundary=XX";

pub fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let head = format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XX--\r\n");
    body
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset after the whole answer came is not the test's concern; an empty answer is.
        let _read = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is ASCII");
        let status = head[9..12].parse().expect("a status");
        Self { status, head: head.to_lowercase(), body: bytes[end + 4..].to_vec() }
    }

    pub fn json(&self) -> Value {
        let shown = || String::from_utf8_lossy(&self.body).into_owned();
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", shown()))
    }

    /// Asserts that this is the problem `code` with `status`, as RFC 9457 has it; gives its detail.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> String {
        let document = self.json();
        assert_eq!(document["code"], code, "{document:#}");
        assert_eq!(self.status, status, "{document:#}");
        assert_eq!(document["status"], status);
        let kind = format!("urn:portcullis:problem:{}", code.to_lowercase());
        assert_eq!(document["type"], kind.as_str());
        assert!(document["title"].is_string());
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        document["detail"].as_str().expect("a detail").to_owned()
    }

    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        let shown = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{shown}");
        self.json()
    }
}

/// A picture of the scene: packed RGB rows of [`EDGE_PX`] pixels.
pub fn pixels(shows: Shows, person: u8) -> Vec<u8> {
    let edge = EDGE_PX as usize;
    let mut pixels: Vec<u8> = (0..edge * edge * 3).map(|at| 60 + (at * 37 % 128) as u8).collect();
    pixels[0] = shows as u8;
    pixels[1] = person;
    pixels
}

/// A picture of the scene as a PNG file.
pub fn picture(shows: Shows, person: u8) -> Vec<u8> {
    let edge = EDGE_PX as usize;
    let pixels = pixels(shows, person);
    let rows: Vec<Vec<u8>> = pixels.chunks_exact(edge * 3).map(<[u8]>::to_vec).collect();
    Png::new(EDGE_PX, EDGE_PX, 8, RGB, false).rows(&rows).end()
}

pub fn face(person: u8) -> Vec<u8> {
    picture(Shows::Face, person)
}

/// `{"image": …}` of a picture.
pub fn image(bytes: &[u8]) -> Value {
    serde_json::json!({ "image": STANDARD.encode(bytes) })
}

/// The body of a verification.
pub fn verify_body(probe: &[u8], references: &[Value]) -> Value {
    serde_json::json!({
        "probe": image(probe), "references": references, "purpose": "boarding",
    })
}

/// A body in chunks, each said beforehand.
pub fn chunked(body: &[u8], chunk: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + body.len() / chunk * 16 + 16);
    for part in body.chunks(chunk) {
        let mut size = String::new();
        write!(size, "{:x}\r\n", part.len()).expect("writing to a string");
        out.extend_from_slice(size.as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}
