//! Whatever is called, in whatever order, by whoever works here: nobody is handed an image, a
//! template or a list of candidates, and no document that failed its check opens a gate at a
//! border.
//!
//! Sequences are drawn from the whole route table (`drawn.rs`); the randomness is the same in every
//! run, so that what a run reached is reached in each.

use std::{cell::RefCell, collections::BTreeSet, thread, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis::{
    capture::runner::{LanePlan, SourcePlan},
    config::PersonKeys,
    http::Access,
    keys::secret::Tokens,
    policy::{AttackRule, DocumentRule},
    types::Outcome,
};
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, TestCaseError, TestRunner},
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde_json::{Value, json};

use crate::{
    authenticity::{reference, state, trust},
    drawn::{Offer, PERSONS, Table, template},
    filled::used_as,
    harness::{Answer, Server, Setup, UsedAs, WallClock, face, image, pixels, verify_body},
    issuer::State,
    scene::Shows,
    site::{ask, at, consent, id, line, person},
};

/// Credentials, each named as its role is.
const STAFF: [&str; 6] =
    ["administrator", "auditor", "data-protection-officer", "gate", "officer", "operator"];
/// The only one that is no person: it hears whom its search found, and nothing else.
const GATE: &str = "gate";
const SECRET_BYTES: usize = 45;

fn access() -> Access {
    let lines: Vec<String> = STAFF.map(|role| line(role, role)).to_vec();
    Access::Tokens(Tokens::parse(&lines.concat(), "tokens").expect("callers"))
}

fn people() -> Vec<PersonKeys> {
    STAFF.map(|role| person(role, &format!("badge-of-{role}"), "2027-01-01")).to_vec()
}

fn lane() -> LanePlan {
    LanePlan {
        name: "gate-1".parse().expect("a name"),
        source: SourcePlan::Http,
        deadline_ms: 5_000,
        external_detector: Some("the camera's own".to_owned()),
    }
}

/// What an appliance is when a sequence begins.
#[derive(Debug, Clone, Copy)]
enum World {
    /// A desk with staff, without a profile.
    Desk,
    /// FaceVault, at this hour: before the gates open, or within the sealed window.
    Reentry(i64),
    /// A stadium's list.
    Stadium,
}

const WORLDS: [World; 4] = [World::Desk, World::Reentry(8), World::Reentry(12), World::Stadium];

impl World {
    fn purpose(self) -> &'static str {
        match self {
            Self::Desk | Self::Reentry(_) => "access-control",
            Self::Stadium => "watchlist",
        }
    }

    /// In use, with a gallery of two persons and, where that is allowed, one of holders' records.
    fn begin(self) -> Server {
        let clock = WallClock::at(at(8));
        let profile = match self {
            Self::Desk => None,
            Self::Reentry(_) => Some("reentry-daily"),
            Self::Stadium => Some("watchlist"),
        };
        let server = Server::start(Setup {
            access: access(),
            lanes: vec![lane()],
            embed_enabled: false,
            attack_score: Some(0.1),
            used_as: profile.map(|name| {
                let mut held = UsedAs { people: people(), ..used_as(name) };
                held.profile.capture.match_zones.push("gate-1".to_owned());
                held
            }),
            clock: Some(clock.clone()),
            ..Setup::default()
        });
        let purpose = self.purpose();
        let step = json!({ "purpose": purpose });
        for path in ["/v1/site/assessment", "/v1/site/activation"] {
            if profile.is_some() {
                ask(&server, "administrator", "POST", path, &step).ok(200);
            }
        }
        for (name, keys) in [("tivoli", "custodian"), ("carried", "holders")] {
            let body = json!({ "gallery": name, "purpose": purpose, "keys": keys });
            ask(&server, "operator", "POST", "/v1/galleries", &body);
        }
        for number in 1..PERSONS {
            let body = json!({
                "images": [image(&face(number))], "purpose": purpose, "subject": id(number),
                "consent": consent(), "expiry": at(24 * 30),
                "ground": { "reason": "decision 12/2026", "authority": "the court" },
            });
            ask(&server, "operator", "POST", "/v1/galleries/tivoli/subjects", &body).ok(201);
        }
        if let Self::Reentry(hour) = self {
            clock.set(at(hour));
        }
        server
    }
}

/// Bytes that no answer may hold, however they are written.
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    fn new() -> Self {
        let mut held = Self(Vec::new());
        for (what, magic) in [
            ("a PNG file", &b"\x89PNG\r\n\x1a\n"[..]),
            ("a JPEG file", b"\xFF\xD8\xFF"),
            ("a JPEG 2000 file", b"\0\0\0\x0CjP  \r\n"),
            ("a PNG file as base64", b"\"iVBORw0KGgo"),
            ("a JPEG file as base64", b"\"/9j/"),
            ("a JPEG 2000 file as base64", b"\"AAAADGpQ"),
        ] {
            held.0.push((what.to_owned(), magic.to_vec()));
        }
        for number in 1..=PERSONS {
            let values: Vec<u8> = bytemuck::cast_slice(template(number).values()).to_vec();
            held.add(&format!("the template of {number}"), &values[8..]);
            let listed: Vec<String> =
                template(number).values()[8..20].iter().map(i8::to_string).collect();
            for between in [",", ", "] {
                let text = listed.join(between).into_bytes();
                held.0.push((format!("the template of {number} as numbers"), text));
            }
            let (file, shown) = (face(number), pixels(Shows::Face, number));
            held.add(&format!("the picture of {number}"), &file[file.len() / 2..]);
            held.add(&format!("the pixels of {number}"), &shown[..SECRET_BYTES + 3]);
        }
        held
    }

    /// As it is, as hexadecimal digits, and as base64 from each of the three places where a group
    /// of it may begin.
    fn add(&mut self, what: &str, bytes: &[u8]) {
        self.0.push((what.to_owned(), bytes[..SECRET_BYTES].to_vec()));
        let digits: String = bytes[..SECRET_BYTES].iter().map(|b| format!("{b:02x}")).collect();
        self.0.push((format!("{what} as digits"), digits.into_bytes()));
        for from in 0..3 {
            let text = STANDARD.encode(&bytes[from..from + SECRET_BYTES]);
            self.0.push((format!("{what} as base64"), text.into_bytes()));
        }
    }

    /// What of it stands in an answer to `client`.
    fn found(&self, client: &str, answer: &Answer) -> Option<String> {
        let is_in = |needle: &[u8]| answer.body.windows(needle.len()).any(|held| held == needle);
        let found = self.0.iter().find(|(_, needle)| is_in(needle));
        if let Some((what, _)) = found {
            return Some(what.clone());
        }
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        named(&told, client == GATE)
    }
}

/// A member of an answer that is not for the staff: found by its name, whatever it holds.
fn named(told: &Value, is_gate: bool) -> Option<String> {
    match told {
        Value::Array(rows) => rows.iter().find_map(|row| named(row, is_gate)),
        Value::Object(members) => {
            let has = |name: &str| members.contains_key(name);
            let listed = members.get("candidates").and_then(Value::as_array);
            if !is_gate && listed.is_some_and(|list| !list.is_empty()) {
                return Some("a list of candidates".to_owned());
            }
            if !is_gate && has("subject") && (has("score") || has("similarity")) {
                return Some("a score beside the name of an entry".to_owned());
            }
            for name in ["template", "values", "embedding", "image", "images", "portrait"] {
                if members.get(name).is_some_and(|held| !held.is_boolean() && !held.is_null()) {
                    return Some(format!("a member {name}"));
                }
            }
            members.values().find_map(|member| named(member, is_gate))
        }
        _ => None,
    }
}

/// One call: which row of the table, and what its members are drawn with.
type Call = (Index, u64);

fn calls() -> impl Strategy<Value = Vec<Call>> {
    prop::collection::vec((any::<Index>(), any::<u64>()), 8..16)
}

fn cases(cases: u32) -> TestRunner {
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    let seed = proptest::test_runner::RngAlgorithm::ChaCha;
    TestRunner::new_with_rng(config, proptest::test_runner::TestRng::deterministic_rng(seed))
}

/// What the sequences of a run came to, so that a run that reached nothing is no proof.
#[derive(Default)]
struct Reached {
    operations: BTreeSet<String>,
    done: BTreeSet<String>,
    hidden: usize,
    listed: usize,
}

#[test]
fn fv_11_no_sequence_of_calls_hands_out_an_image_a_template_or_a_list() {
    let (table, secrets) = (Table::read(), Secrets::new());
    let reached = RefCell::new(Reached::default());
    let worlds = prop::sample::select(&WORLDS[..]);
    let run = cases(24).run(&(worlds, calls()), |(world, calls)| {
        let server = world.begin();
        let (purpose, now_s) = (world.purpose(), at(12));
        let mut offer = Offer { purpose, now_s, references: Vec::new(), told: Vec::new() };
        for (row, seed) in calls {
            let operation = row.get(&table.operations);
            let shown = format!("{} {}", operation.verb, operation.path);
            for client in STAFF {
                let mut dice = ChaCha8Rng::seed_from_u64(seed);
                let request = table.request(operation, client, (&offer, &mut dice));
                let answer = server.exchange(&request);
                // The document tells of members, and of nobody.
                let is_about_people = operation.path != "/openapi.json";
                let found = is_about_people.then(|| secrets.found(client, &answer)).flatten();
                if let Some(what) = found {
                    let text = String::from_utf8_lossy(&answer.body);
                    let why = format!("{shown} hands {client} {what}: {text}");
                    return Err(TestCaseError::fail(why));
                }
                note(&mut reached.borrow_mut(), &shown, client, &answer);
                offer.learn(&serde_json::from_slice(&answer.body).unwrap_or_default());
            }
        }
        Ok(())
    });
    run.unwrap_or_else(|failed| panic!("{failed}"));
    let reached = reached.into_inner();
    assert_eq!(reached.operations.len(), table.operations.len(), "{:?}", reached.operations);
    assert!(reached.done.len() * 2 > table.operations.len(), "done: {:?}", reached.done);
    assert!(reached.hidden > 0, "no search by staff found anybody");
    assert!(reached.listed > 0, "no search by a gate found anybody");
}

fn note(reached: &mut Reached, shown: &str, client: &str, answer: &Answer) {
    reached.operations.insert(shown.to_owned());
    if (200..300).contains(&answer.status) {
        reached.done.insert(shown.to_owned());
    }
    if shown.ends_with("/identify") && answer.status == 200 {
        let told = answer.json();
        let found = told["certificate"]["accepted"].as_u64().unwrap_or_default() > 0;
        let lists = told["candidates"].as_array().is_some_and(|list| !list.is_empty());
        reached.hidden += usize::from(found && !lists && client != GATE);
        reached.listed += usize::from(lists && client == GATE);
    }
}

/// The search of answers finds what it is made to find.
#[test]
fn what_must_not_be_handed_out_would_be_seen() {
    let secrets = Secrets::new();
    let server = Server::start(Setup { access: access(), ..Setup::default() });
    let body = json!({ "image": image(&face(1))["image"], "purpose": "evaluation" });
    let answer = ask(&server, "administrator", "POST", "/v1/embed", &body);
    assert_eq!(answer.status, 200, "an administrator whose configuration switches it on");
    assert_eq!(
        secrets.found("administrator", &answer).as_deref(),
        Some("the template of 1 as base64")
    );
    let of = |body: Vec<u8>| Answer { status: 200, head: String::new(), body };
    let picture = format!("{{\"note\":{}}}", image(&face(2))["image"]).into_bytes();
    assert!(secrets.found("gate", &of(picture)).is_some());
    assert!(secrets.found("gate", &of(face(1))).is_some());
    let list = json!({ "candidates": [{ "subject": id(1), "score": 7 }] });
    let list = || of(list.to_string().into_bytes());
    assert!(secrets.found("officer", &list()).is_some());
    assert_eq!(secrets.found("gate", &list()), None, "a gate hears whom it found");
}

/// What a traveller at a border presents, and what comes of it.
#[derive(Debug, Clone)]
enum Step {
    Call(Call),
    /// Somebody passes the gate with one of the documents, then staff try to open it.
    Passage {
        person: u8,
        document: Index,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let call = (any::<Index>(), any::<u64>()).prop_map(Step::Call);
    let passage = (1..=PERSONS, any::<Index>());
    let passage = passage.prop_map(|(person, document)| Step::Passage { person, document });
    prop::collection::vec(prop_oneof![5 => call, 1 => passage], 6..12)
}

/// Documents with the photograph of the first person, each of which fails its check; before them
/// the genuine one of the same state.
fn documents(genuine: &mut State) -> (Value, Vec<Value>) {
    let sound = reference(genuine);
    let mut unsigned = sound.clone();
    unsigned.as_object_mut().expect("members").remove("sod");
    let mut swapped = state(1);
    swapped.sod.groups[1].1.push(0);
    let mut late = state(1);
    late.signer.validity_s[1] = 1;
    late.sod.signed_s = None;
    let mut garbled = sound.clone();
    garbled["sod"] = json!(STANDARD.encode([0x77, 0x03, 1, 2, 3]));
    (sound, vec![unsigned, reference(&mut swapped), reference(&mut late), garbled])
}

/// A border in use that trusts one state.
fn border(state: &State) -> Server {
    let server = Server::start(Setup {
        access: access(),
        lanes: vec![lane()],
        attack: AttackRule::Required,
        documents: DocumentRule::Required,
        trust: trust(state),
        attack_score: Some(0.1),
        used_as: Some(UsedAs { people: people(), ..used_as("egate-passport") }),
        clock: Some(WallClock::at(at(12))),
        ..Setup::default()
    });
    let step = json!({ "purpose": BORDER });
    for path in ["/v1/site/assessment", "/v1/site/activation"] {
        ask(&server, "administrator", "POST", path, &step).ok(200);
    }
    server
}

const BORDER: &str = "border-control";
const LANE: &str = "/v1/lanes/gate-1";

/// Opens a transaction, shows the lane a face until it has ended, and tells how.
fn pass(server: &Server, number: u8, person: u8, reference: &Value) -> Value {
    let opening = json!({
        "transactionId": id(number), "purpose": BORDER, "references": [reference],
    });
    let frame = json!({
        "image": image(&face(person))["image"], "purpose": BORDER, "attackScore": 0.1,
    });
    thread::scope(|scope| {
        let path = format!("{LANE}/transactions");
        let opened = scope.spawn(move || ask(server, GATE, "POST", &path, &opening));
        while !opened.is_finished() {
            ask(server, GATE, "POST", &format!("{LANE}/frames"), &frame);
            thread::sleep(Duration::from_millis(5));
        }
        opened.join().expect("answered").json()
    })
}

/// Whether a document says anywhere that a gate opens.
fn admits(told: &Value) -> bool {
    match told {
        Value::Array(rows) => rows.iter().any(admits),
        Value::Object(members) => {
            members.get("outcome").is_some_and(|outcome| outcome == "admit")
                || members.values().any(admits)
        }
        _ => false,
    }
}

#[test]
fn bsi_doc_no_sequence_of_calls_admits_whose_document_failed_its_check() {
    let (table, mut genuine) = (Table::read(), state(1));
    let (sound, failed) = documents(&mut genuine);
    let (passages, refused) = (RefCell::new(0), RefCell::new(BTreeSet::new()));
    let run = cases(16).run(&steps(), |steps| {
        let server = border(&genuine);
        let look = |answer: &Answer, shown: &str| {
            let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let codes = told["reasons"].as_array().into_iter().flatten();
            refused
                .borrow_mut()
                .extend(codes.filter_map(|why| why["code"].as_str()).map(str::to_owned));
            let events = String::from_utf8_lossy(&answer.body);
            let opens = admits(&told) || events.contains("\"outcome\":\"admit\"");
            let why = || TestCaseError::fail(format!("{shown}: {events}"));
            if opens { Err(why()) } else { Ok(told) }
        };
        let (references, now_s) = (failed.clone(), at(12));
        let mut offer = Offer { purpose: BORDER, now_s, references, told: Vec::new() };
        for (number, step) in (1..).zip(steps) {
            match step {
                Step::Call((row, seed)) => {
                    let operation = row.get(&table.operations);
                    for client in STAFF {
                        let mut dice = ChaCha8Rng::seed_from_u64(seed);
                        let request = table.request(operation, client, (&offer, &mut dice));
                        offer.learn(&look(&server.exchange(&request), &operation.path)?);
                    }
                }
                Step::Passage { person, document } => {
                    let number = 100 + number; // no id that is drawn elsewhere
                    let told = pass(&server, number, person, document.get(&failed));
                    *passages.borrow_mut() += 1;
                    prop_assert!(!admits(&told), "{told:#}");
                    let path = format!("{LANE}/transactions/{}/override", id(number));
                    for client in ["officer", "operator"] {
                        let body = json!({ "purpose": BORDER });
                        look(&ask(&server, client, "POST", &path, &body), &path)?;
                    }
                }
            }
        }
        let ledger = server.audit.as_ref().expect("the scene's audit");
        let entries = ledger.entries.lock().expect("no panic");
        let opened = entries.iter().find(|entry| entry.outcome == Some(Outcome::Admit));
        let reasons = opened.map(|entry| &entry.reasons);
        prop_assert!(opened.is_none(), "the audit holds an Admit: {reasons:?}");
        Ok(())
    });
    run.unwrap_or_else(|failed| panic!("{failed}"));
    // Each fault has its name, where nothing else stands in the way.
    let server = border(&genuine);
    for reference in &failed {
        let mut body = verify_body(&face(1), std::slice::from_ref(reference));
        body["purpose"] = json!(BORDER);
        let told = ask(&server, GATE, "POST", "/v1/verify", &body).json();
        assert!(!admits(&told), "{told:#}");
        let codes = told["reasons"].as_array().into_iter().flatten();
        let codes = codes.filter_map(|why| why["code"].as_str()).map(str::to_owned);
        refused.borrow_mut().extend(codes);
    }
    // The same site opens for the genuine document: what was refused was refused for the others'.
    assert_eq!(pass(&border(&genuine), 1, 1, &sound)["outcome"], "admit");
    assert!(*passages.borrow() > 0);
    let refused = refused.borrow();
    for code in ["DOCUMENT_NOT_AUTHENTICATED", "DG2_HASH_MISMATCH", "BORDER_REFERRAL_STANDS"] {
        assert!(refused.contains(code), "{code}: {refused:?}");
    }
}
