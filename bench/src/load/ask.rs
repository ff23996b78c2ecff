//! The questions, made once: every request's bytes lie ready before the first is due, so that the
//! generator spends its share of the machine on sending, not on making.
//!
//! Each question knows what it should come to. A verification knows whether its two photographs
//! show one person, and what the appliance scored when it had nothing else to do; a search, who of
//! this run's own people is in the gallery; a transaction, that its traveller is the one in the
//! passport. An answer that decides otherwise under load is wrong, and is counted as such beside
//! its latency.

use std::{
    collections::HashMap,
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use portcullis::random::{SystemEntropy, random_id};
use serde_json::Value;

use super::{mix::What, target::Target};
use crate::{
    finder::form,
    served::{Answer, request},
};

/// Stages of an answer's `spent`, as the appliance names them.
pub(crate) const STAGES: [&str; 9] = [
    "slotsUs",
    "captureUs",
    "batchUs",
    "detectUs",
    "attackUs",
    "embedUs",
    "handoverUs",
    "searchUs",
    "decideUs",
];
/// Those of them that are not overhead: decoding, waiting for an engine, detection (of faces and of
/// presentation attacks), embedding, search.
const WORK: [bool; 9] = [true, true, true, true, true, true, false, true, false];
/// No score is known yet.
const UNKNOWN: i64 = i64::MIN;

/// What became of one arrival.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// It was answered as asked.
    Answered,
    /// It was answered that its deadline had passed, or was answered after it on the clock here.
    Late,
    /// It was refused at once for want of room or time; the problem's code.
    Shed(String),
    /// It was refused for another reason; the problem's code.
    Refused(String),
    /// The connection broke, or what came back was no answer.
    Broken(String),
}

impl Fate {
    /// What it is `took_us` after it was due: an answer after its deadline is none, whatever clock
    /// the appliance held it against.
    pub(crate) fn by(self, took_us: u64, deadline_us: u64) -> Self {
        if self == Self::Answered && took_us > deadline_us { Self::Late } else { self }
    }
}

/// Why it is asked.
const PURPOSE: [(&str, &str); 1] = [("purpose", "evaluation")];
/// Where the id of a transaction will stand.
const NO_ID: &str = "portcullis-load-transaction-id-0";

fn place_of_id(request: &[u8]) -> usize {
    let found = request.windows(NO_ID.len()).rposition(|window| window == NO_ID.as_bytes());
    found.expect("the form holds the field that was put in")
}

/// What an answer says.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub(crate) fate: Fate,
    /// Microseconds of each stage, where the answer tells.
    pub(crate) spent_us: Option<[u32; STAGES.len()]>,
    /// It decides otherwise than the photographs want.
    pub(crate) wrong: bool,
    /// Its score is not the one at rest.
    pub(crate) unlike: bool,
}

impl Said {
    fn only(fate: Fate) -> Self {
        Self { fate, spent_us: None, wrong: false, unlike: false }
    }

    /// Microseconds that are no overhead.
    pub(crate) fn work_us(spent_us: &[u32; STAGES.len()]) -> u64 {
        spent_us.iter().zip(WORK).filter(|(_, work)| *work).map(|(us, _)| u64::from(*us)).sum()
    }
}

/// One verification, ready to be sent.
pub(crate) struct Pair {
    request: Vec<u8>,
    /// Whether both photographs show one person.
    pub(crate) genuine: bool,
    /// The score at rest.
    score: AtomicI64,
}

/// Where requests go, and what they are.
pub(crate) struct Questions {
    /// The appliance.
    pub(crate) target: Target,
    /// Time that each request has, which is told with it and held against the clock here.
    pub(crate) deadline_us: u64,
    headers: Vec<(String, String)>,
    pairs: Vec<Pair>,
    identify: Vec<Vec<u8>>,
    enrol: Vec<Vec<u8>>,
    /// Transactions of each lane, and where in the bytes their id stands.
    transactions: Vec<(Vec<u8>, usize)>,
    ids: SystemEntropy,
    /// Frames that simulated lanes push, lane by lane.
    pub(crate) frames: Vec<Vec<u8>>,
    gallery: String,
    /// The person on each photograph.
    persons: Vec<usize>,
    crowd: Mutex<Crowd>,
    turn: [AtomicUsize; What::ALL.len()],
}

/// Who of this run's own people is in the gallery.
#[derive(Default)]
struct Crowd {
    /// Who is enrolled and may be erased: the subject, and the person in the photograph.
    passing: Vec<(String, usize)>,
    /// Who stays.
    residents: Vec<(String, usize)>,
    /// Every subject that there ever was.
    known: HashMap<String, usize>,
}

impl Crowd {
    /// Somebody who is enrolled as `person` now.
    fn somebody(&self, person: usize) -> Option<String> {
        let mut all = self.residents.iter().chain(&self.passing);
        all.find(|(_, held)| *held == person).map(|(subject, _)| subject.clone())
    }

    fn holds(&self, subject: &str) -> bool {
        self.residents.iter().chain(&self.passing).any(|(held, _)| held == subject)
    }
}

/// What questions are made of.
pub(crate) struct Material<'a> {
    pub(crate) target: Target,
    /// Bearer token, where the appliance wants one.
    pub(crate) token: Option<&'a str>,
    /// Deadline of each request.
    pub(crate) deadline_ms: u64,
    /// What an attack detector of the lanes' cameras would say of each frame.
    pub(crate) attack_score: Option<f32>,
    pub(crate) gallery: &'a str,
    /// Photographs and the number of the person that each shows.
    pub(crate) photographs: &'a [(Vec<u8>, usize)],
    pub(crate) lanes: &'a [String],
}

/// Makes requests of photographs.
struct Maker<'a> {
    headers: &'a [(String, String)],
    photographs: &'a [(Vec<u8>, usize)],
    attack_score: Option<f32>,
}

impl Maker<'_> {
    fn post(&self, path: &str, files: &[(&str, &[u8])], texts: &[(&str, &str)]) -> Vec<u8> {
        let (kind, body) = form(files, texts);
        let mut all: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        all.push(("content-type", &kind));
        request("POST", path, &all, &body)
    }

    /// Each photograph against each later one.
    fn pairs(&self) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for (at, (probe, who)) in self.photographs.iter().enumerate() {
            for (reference, other) in &self.photographs[at + 1..] {
                let files = [("probe", probe.as_slice()), ("reference", reference.as_slice())];
                pairs.push(Pair {
                    request: self.post("/v1/verify", &files, &PURPOSE),
                    genuine: who == other,
                    score: AtomicI64::new(UNKNOWN),
                });
            }
        }
        pairs
    }

    /// Each photograph by itself.
    fn each(&self, path: &str, field: &str) -> Vec<Vec<u8>> {
        let one = |(photo, _): &(Vec<u8>, usize)| self.post(path, &[(field, photo)], &PURPOSE);
        self.photographs.iter().map(one).collect()
    }

    /// At each lane stands one person, with a passport photograph and, where there is one, another
    /// that is live.
    fn traveller(&self, lane: usize) -> [&[u8]; 2] {
        let passport = lane % self.photographs.len();
        let person = self.photographs[passport].1;
        let is_live = |at: &usize| *at != passport && self.photographs[*at].1 == person;
        let live = (0..self.photographs.len()).find(is_live).unwrap_or(passport);
        [passport, live].map(|at| self.photographs[at].0.as_slice())
    }

    /// A transaction at a lane, and where in the bytes its id stands.
    fn transaction(&self, number: usize, lane: &str) -> (Vec<u8>, usize) {
        let texts = [PURPOSE[0], ("transactionId", NO_ID)];
        let files = [("reference", self.traveller(number)[0])];
        let request = self.post(&format!("/v1/lanes/{lane}/transactions"), &files, &texts);
        let at = place_of_id(&request);
        (request, at)
    }

    /// A frame of a lane's camera.
    fn frame(&self, number: usize, lane: &str) -> Vec<u8> {
        let files = [("image", self.traveller(number)[1])];
        let score = self.attack_score.map(|score| score.to_string());
        let mut texts = PURPOSE.to_vec();
        texts.extend(score.as_deref().map(|score| ("attackScore", score)));
        self.post(&format!("/v1/lanes/{lane}/frames"), &files, &texts)
    }
}

impl Questions {
    /// Makes every request.
    pub(crate) fn of(material: &Material<'_>) -> Self {
        let mut headers = Vec::new();
        if let Some(token) = material.token {
            headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        let deadline_ms = material.deadline_ms;
        headers.push(("portcullis-deadline-ms".to_owned(), deadline_ms.to_string()));
        let (photographs, attack_score) = (material.photographs, material.attack_score);
        let maker = Maker { headers: &headers, photographs, attack_score };
        let gallery = material.gallery;
        let lanes = || material.lanes.iter().enumerate();
        Self {
            target: material.target.clone(),
            deadline_us: deadline_ms.saturating_mul(1_000),
            pairs: maker.pairs(),
            identify: maker.each(&format!("/v1/galleries/{gallery}/identify"), "probe"),
            enrol: maker.each(&format!("/v1/galleries/{gallery}/subjects"), "image"),
            transactions: lanes().map(|(at, lane)| maker.transaction(at, lane)).collect(),
            frames: lanes().map(|(at, lane)| maker.frame(at, lane)).collect(),
            ids: SystemEntropy,
            gallery: gallery.to_owned(),
            persons: photographs.iter().map(|(_, person)| *person).collect(),
            crowd: Mutex::default(),
            turn: Default::default(),
            headers,
        }
    }

    /// Headers that every request carries.
    pub(crate) fn headers(&self) -> Vec<(&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Verifications.
    pub(crate) fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Enrols each person once, to stay: whom a search should find is then known.
    ///
    /// # Errors
    /// What the first who was not enrolled was answered.
    pub(crate) fn settle(&self) -> Result<(), String> {
        for (at, person) in self.persons.iter().enumerate() {
            if self.persons[..at].contains(person) {
                continue;
            }
            let answer =
                self.target.exchange(&self.enrol[at]).map_err(|error| error.to_string())?;
            let document: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
            let Some(subject) = document["subject"].as_str() else {
                return Err(format!("an enrolment was answered {}: {document}", answer.status));
            };
            let mut crowd = self.crowd();
            crowd.residents.push((subject.to_owned(), *person));
            crowd.known.insert(subject.to_owned(), *person);
        }
        Ok(())
    }

    /// The answer to the verification of that number.
    pub(crate) fn verify(&self, pair: usize) -> io::Result<Answer> {
        let pair = self.pairs.get(pair).ok_or(io::ErrorKind::InvalidInput)?;
        self.target.exchange(&pair.request)
    }

    /// Sends what is asked for and gives what came back; time is taken around this alone.
    pub(crate) fn send(&self, what: What, lane: u16) -> (io::Result<Answer>, Asked) {
        let turn = self.turn[what as usize].fetch_add(1, Ordering::Relaxed);
        let person = |at: usize| self.persons.get(at).copied().unwrap_or_default();
        let of = |ready: &[Vec<u8>], at: usize| -> io::Result<Answer> {
            self.target.exchange(ready.get(at).ok_or(io::ErrorKind::InvalidInput)?)
        };
        match what {
            What::Verify => {
                let pair = turn % self.pairs.len().max(1);
                (self.verify(pair), Asked::Pair(pair))
            }
            What::Identify => {
                let at = turn % self.identify.len().max(1);
                let there = self.crowd().somebody(person(at));
                (of(&self.identify, at), Asked::Search { person: person(at), there })
            }
            What::Transaction => (self.transact(usize::from(lane)), Asked::Traveller),
            What::Enrol | What::Erase => {
                let leaves = if what == What::Erase { self.crowd().passing.pop() } else { None };
                if let Some((subject, _)) = leaves {
                    return (self.target.exchange(&self.erasure(&subject)), Asked::Erasure);
                }
                // Nobody is left to erase: somebody new, so that the next erasure finds one.
                let at = turn % self.enrol.len().max(1);
                (of(&self.enrol, at), Asked::Enrolment(person(at)))
            }
        }
    }

    /// A transaction has an id of its own: the same one again would only repeat an answer.
    fn transact(&self, lane: usize) -> io::Result<Answer> {
        let count = self.transactions.len().max(1);
        let (ready, at) = self.transactions.get(lane % count).ok_or(io::ErrorKind::InvalidInput)?;
        let mut request = ready.clone();
        let id = random_id(&self.ids).map(|byte| format!("{byte:02x}")).concat();
        request[*at..*at + NO_ID.len()].copy_from_slice(id.as_bytes());
        self.target.exchange(&request)
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn erasure(&self, subject: &str) -> Vec<u8> {
        let gallery = &self.gallery;
        let path = format!("/v1/galleries/{gallery}/subjects/{subject}?purpose=evaluation");
        request("DELETE", &path, &self.headers(), &[])
    }

    /// What an answer says; not part of any time.
    pub(crate) fn read(&self, answer: io::Result<Answer>, asked: Asked) -> Said {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Said::only(Fate::Broken(error.kind().to_string())),
        };
        let document: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let code = || document["code"].as_str().unwrap_or("unknown").to_owned();
        match answer.status {
            200..=299 => self.answered(&document, asked),
            503 => Said::only(Fate::Shed(code())),
            504 => Said::only(Fate::Late),
            _ => Said::only(Fate::Refused(code())),
        }
    }

    fn answered(&self, document: &Value, asked: Asked) -> Said {
        // A deadline that passed in the queue refers the traveller: an answer, but a late one.
        let reasons = document["reasons"].as_array().map(Vec::as_slice).unwrap_or_default();
        if reasons.iter().any(|reason| reason["code"] == "ENGINE_LATE") {
            return Said::only(Fate::Late);
        }
        let mut said = Said::only(Fate::Answered);
        let spent = &document["spent"];
        if spent.is_object() {
            said.spent_us = Some(STAGES.map(|stage| {
                u32::try_from(spent[stage].as_u64().unwrap_or(0)).unwrap_or(u32::MAX)
            }));
        }
        match asked {
            Asked::Pair(at) => self.compared(document, &self.pairs[at], &mut said),
            Asked::Search { person, there } => {
                said.wrong = !self.is_found(document, person, there.as_deref());
            }
            Asked::Traveller => {
                // At each lane stands the person whose passport it is.
                match document["state"].as_str() {
                    Some("decided") => said.wrong = document["outcome"] != "admit",
                    Some("timed-out") => said.fate = Fate::Late,
                    other => said.fate = Fate::Refused(other.unwrap_or("unknown").to_owned()),
                }
            }
            Asked::Enrolment(person) => match document["subject"].as_str() {
                Some(subject) => {
                    let mut crowd = self.crowd();
                    crowd.known.insert(subject.to_owned(), person);
                    crowd.passing.push((subject.to_owned(), person));
                }
                None => said.wrong = true,
            },
            Asked::Erasure => {}
        }
        said
    }

    fn compared(&self, document: &Value, pair: &Pair, said: &mut Said) {
        let row = &document["comparisons"][0];
        let expected = if pair.genuine { "match" } else { "no-match" };
        said.wrong = row["decision"] != expected;
        let score = row["score"].as_i64().unwrap_or(UNKNOWN);
        let first =
            pair.score.compare_exchange(UNKNOWN, score, Ordering::Relaxed, Ordering::Relaxed);
        said.unlike = first.is_err_and(|at_rest| at_rest != score);
    }

    /// Whether a search looked at every row, found who was there all the time, and took nobody of
    /// this run for somebody else. Strangers, in a gallery of whoever runs the appliance, cannot be
    /// judged; where candidates are not shown, only that somebody was found.
    fn is_found(&self, document: &Value, person: usize, there: Option<&str>) -> bool {
        let certificate = &document["certificate"];
        let rows = |name: &str| certificate[name].as_u64();
        let looked_at = ["ineligible", "pruned", "rescored"].map(rows);
        let looked_at = looked_at.into_iter().try_fold(0, |sum, rows| Some(sum + rows?));
        if looked_at.is_none() || looked_at != rows("rowsTotal") {
            return false;
        }
        let crowd = self.crowd();
        let best = document["candidates"][0]["subject"].as_str();
        let taken_for = best.and_then(|subject| crowd.known.get(subject)).copied();
        let is_matched = rows("accepted").is_some_and(|accepted| accepted > 0);
        let stayed = there.is_some_and(|subject| crowd.holds(subject));
        let is_another = taken_for.is_some_and(|one| one != person);
        if is_matched { !is_another } else { !stayed }
    }
}

/// What was sent, for whoever reads the answer.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// The verification of that number.
    Pair(usize),
    /// A search for a person, and who of this run was enrolled as that person when it was sent.
    Search {
        /// Who.
        person: usize,
        /// A subject.
        there: Option<String>,
    },
    /// A transaction at a lane.
    Traveller,
    /// An enrolment of that person, who can be erased later.
    Enrolment(usize),
    /// An erasure.
    Erasure,
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn questions() -> Questions {
        let photographs = [(vec![1], 0), (vec![2], 0), (vec![3], 1)];
        Questions::of(&Material {
            target: SocketAddr::from(([127, 0, 0, 1], 1)).into(),
            token: Some("secret"),
            deadline_ms: 250,
            attack_score: Some(0.25),
            gallery: "load",
            photographs: &photographs,
            lanes: &["lane-1".to_owned(), "lane-2".to_owned()],
        })
    }

    fn answer(status: u16, body: &str) -> io::Result<Answer> {
        Ok(Answer { status, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn every_pair_is_asked_with_its_headers() {
        let questions = questions();
        let genuine: Vec<bool> = questions.pairs().iter().map(|pair| pair.genuine).collect();
        assert_eq!(genuine, [true, false, false]);
        let text = String::from_utf8_lossy(&questions.pairs[0].request).into_owned();
        assert!(text.starts_with("POST /v1/verify HTTP/1.1\r\n"), "{text}");
        assert!(text.contains("authorization: Bearer secret\r\n"), "{text}");
        assert!(text.contains("portcullis-deadline-ms: 250\r\n"), "{text}");
        assert_eq!((questions.transactions.len(), questions.frames.len()), (2, 2));
        let frame = String::from_utf8_lossy(&questions.frames[0]).into_owned();
        assert!(frame.contains("name=\"attackScore\"\r\n\r\n0.25\r\n"), "{frame}");
        assert_eq!(questions.deadline_us, 250_000);
    }

    #[test]
    fn answers_are_sorted_by_what_became_of_them() {
        let questions = questions();
        let fate = |status, body: &str| questions.read(answer(status, body), Asked::Erasure).fate;
        assert_eq!(fate(200, "{}"), Fate::Answered);
        assert_eq!(fate(504, "{}"), Fate::Late);
        let referred =
            |code: &str| format!(r#"{{"outcome":"refer","reasons":[{{"code":"{code}"}}]}}"#);
        assert_eq!(fate(200, &referred("ENGINE_LATE")), Fate::Late);
        assert_eq!(fate(200, &referred("NO_MATCH")), Fate::Answered);
        assert_eq!(fate(503, r#"{"code":"BUSY"}"#), Fate::Shed("BUSY".to_owned()));
        assert_eq!(fate(422, r#"{"code":"X"}"#), Fate::Refused("X".to_owned()));
        let broken = questions.read(Err(io::ErrorKind::ConnectionReset.into()), Asked::Erasure);
        assert!(matches!(broken.fate, Fate::Broken(_)));
    }

    #[test]
    fn a_wrong_decision_and_another_score_are_seen() {
        let questions = questions();
        let read = |decision: &str, score: i64| {
            let body = format!(
                r#"{{"comparisons":[{{"decision":"{decision}","score":{score}}}],
                   "spent":{{"slotsUs":7,"captureUs":5,"batchUs":1,"detectUs":2,"attackUs":8,
                   "embedUs":3,"handoverUs":50,"searchUs":4,"decideUs":60}}}}"#
            );
            questions.read(answer(200, &body), Asked::Pair(0))
        };
        let first = read("match", 700);
        assert!(!first.wrong && !first.unlike);
        assert_eq!(Said::work_us(&first.spent_us.expect("told")), 30);
        assert!(read("no-match", 700).wrong);
        assert!(read("match", 701).unlike && !read("match", 700).unlike);
    }

    #[test]
    fn who_was_enrolled_can_be_erased_once() {
        let questions = questions();
        let enrolled = answer(201, r#"{"subject":"00ff"}"#);
        assert_eq!(questions.read(enrolled, Asked::Enrolment(0)).fate, Fate::Answered);
        let nobody = questions.read(answer(201, "{}"), Asked::Enrolment(0));
        assert!(nobody.wrong, "an enrolment names its subject");
        let held = questions.crowd().passing.pop();
        assert_eq!(held, Some(("00ff".to_owned(), 0)));
        let erasure = String::from_utf8(questions.erasure("00ff")).expect("text");
        assert!(
            erasure.starts_with("DELETE /v1/galleries/load/subjects/00ff?purpose=evaluation "),
            "{erasure}"
        );
    }

    #[test]
    fn a_transaction_admits_the_traveller_whose_passport_it_is() {
        let questions = questions();
        let read = |state: &str, outcome: &str| {
            let body = format!(r#"{{"state":"{state}","outcome":"{outcome}"}}"#);
            questions.read(answer(200, &body), Asked::Traveller)
        };
        assert!(!read("decided", "admit").wrong);
        let referred = read("decided", "refer");
        assert!(referred.wrong && referred.fate == Fate::Answered);
        assert_eq!(read("timed-out", "refer").fate, Fate::Late);
        assert_eq!(read("interrupted", "refer").fate, Fate::Refused("interrupted".to_owned()));
    }

    #[test]
    fn a_search_finds_who_is_there_and_takes_nobody_for_another() {
        let questions = questions();
        for (subject, person) in [("aa", 0), ("bb", 1)] {
            let body = format!(r#"{{"subject":"{subject}"}}"#);
            questions.read(answer(201, &body), Asked::Enrolment(person));
        }
        let is_wrong = |person, there: Option<&str>, best: &str, accepted: u64, pruned: u64| {
            let body = format!(
                r#"{{"candidates":[{{"subject":"{best}"}}],"certificate":{{"rowsTotal":9,
                   "ineligible":1,"accepted":{accepted},"pruned":{pruned},"rescored":3}}}}"#
            );
            let there = there.map(str::to_owned);
            questions.read(answer(200, &body), Asked::Search { person, there }).wrong
        };
        assert!(!is_wrong(0, Some("aa"), "aa", 1, 5));
        assert!(is_wrong(0, Some("aa"), "aa", 1, 4), "a row was not looked at");
        assert!(is_wrong(0, Some("aa"), "aa", 0, 5), "there, and not found");
        assert!(is_wrong(0, Some("aa"), "bb", 1, 5), "taken for somebody else");
        assert!(is_wrong(2, None, "bb", 1, 5), "so was somebody who is not there");
        assert!(!is_wrong(2, None, "bb", 0, 5), "the nearest, and not near enough");
        assert!(!is_wrong(0, Some("aa"), "new", 1, 5), "enrolled, and not told of yet");
        questions.crowd().passing.clear();
        assert!(!is_wrong(0, Some("aa"), "aa", 0, 5), "erased meanwhile");
        let unproved = questions.read(answer(200, "{}"), Asked::Search { person: 0, there: None });
        assert!(unproved.wrong, "a search without its certificate");
    }
}
