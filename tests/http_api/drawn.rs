//! Requests drawn from the OpenAPI document: every operation in it (`door.rs` shows that those are
//! the ones that are served), with a body made after its schema. Members that the scene knows
//! (pictures, ids, names) get values that lead somewhere; any other gets what its schema asks for,
//! so that a route of tomorrow is drawn without a line here.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis::{http::route, model::Calibration, types::Template};
use rand_chacha::{ChaCha8Rng, rand_core::Rng};
use serde_json::{Map, Value, json};

use crate::{
    harness::{face, head, image},
    site::{consent, id, token},
};

/// Persons who appear.
pub(crate) const PERSONS: u8 = 3;
/// Members that are seldom left out although they may be: without them nothing is reached.
const OFTEN: [&str; 4] = ["consent", "ground", "subject", "expiry"];
/// Time of a request at a lane, where nobody may come.
const LANE_MS: u32 = 150;

/// The template of a person of the scene, as the appliance makes it.
pub(crate) fn template(person: u8) -> Template {
    let mut embedding = vec![0.0; 128];
    embedding[usize::from(person)] = 3.0;
    Calibration::sface_128().template(&embedding).expect("a direction")
}

/// One row of the route table.
pub(crate) struct Operation {
    pub(crate) verb: String,
    pub(crate) path: String,
    body: Option<Value>,
    /// Name and schema of each parameter of the query.
    query: Vec<(String, Value)>,
    prefers: bool,
}

/// What a scene offers to whoever draws.
pub(crate) struct Offer {
    pub(crate) purpose: &'static str,
    pub(crate) now_s: i64,
    /// References beside those that every scene has.
    pub(crate) references: Vec<Value>,
    /// What answers told: ids of hits, secrets and tokens of holders.
    pub(crate) told: Vec<Value>,
}

impl Offer {
    /// Remembers what an answer gave away that later requests can use.
    pub(crate) fn learn(&mut self, answer: &Value) {
        let Value::Object(members) = answer else { return };
        let known = ["transaction", "token", "secret"];
        if members.keys().any(|name| known.contains(&name.as_str())) {
            self.told.push(answer.clone());
        }
    }

    fn told(&self, name: &str, dice: &mut ChaCha8Rng) -> Option<&Value> {
        let holding: Vec<&Value> = self.told.iter().filter(|told| told[name].is_string()).collect();
        (!holding.is_empty()).then(|| holding[below(dice, holding.len())])
    }
}

pub(crate) fn below(dice: &mut ChaCha8Rng, bound: usize) -> usize {
    dice.next_u32() as usize % bound
}

/// The route table, and the schemas that its rows refer to.
pub(crate) struct Table {
    document: Value,
    pub(crate) operations: Vec<Operation>,
}

impl Table {
    pub(crate) fn read() -> Self {
        let document: Value = serde_json::from_str(&route::document()).expect("JSON");
        let mut operations = Vec::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (verb, row) in item.as_object().expect("operations") {
                let content = &row["requestBody"]["content"];
                let body = content.as_object().map(|kinds| {
                    let kind = kinds.get("application/json");
                    kind.unwrap_or_else(|| panic!("{verb} {path} takes no JSON"))["schema"].clone()
                });
                let empty = Vec::new();
                let parameters = row["parameters"].as_array().unwrap_or(&empty);
                let of =
                    |place: &'static str| parameters.iter().filter(move |it| it["in"] == place);
                let named = |it: &Value| it["name"].as_str().expect("a name").to_owned();
                operations.push(Operation {
                    verb: verb.to_uppercase(),
                    path: path.clone(),
                    body,
                    query: of("query").map(|it| (named(it), it["schema"].clone())).collect(),
                    prefers: of("header").any(|it| it["name"] == "Prefer"),
                });
            }
        }
        Self { document, operations }
    }

    /// The bytes of one call of `operation` by whoever `client`'s token names.
    pub(crate) fn request(
        &self,
        operation: &Operation,
        client: &str,
        (offer, dice): (&Offer, &mut ChaCha8Rng),
    ) -> Vec<u8> {
        let mut path = String::new();
        for part in operation.path.split_inclusive(['{', '}']) {
            match part.strip_suffix('}') {
                Some(name) => path.push_str(&place(name, offer, dice)),
                None => path.push_str(part.trim_end_matches('{')),
            }
        }
        for (at, (name, schema)) in operation.query.iter().enumerate() {
            let value = self.value(name, schema, offer, dice);
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            path.push_str(&format!("{}{name}={text}", if at == 0 { '?' } else { '&' }));
        }
        let body = operation.body.as_ref().map(|schema| self.value("", schema, offer, dice));
        let body = body.map(|body| one_of_two(body, dice).to_string()).unwrap_or_default();
        let mut headers = format!("Authorization: Bearer {}\r\n", token(client));
        if path.starts_with("/v1/lanes") {
            headers.push_str(&format!("Portcullis-Deadline-Ms: {LANE_MS}\r\n"));
        }
        if operation.prefers && below(dice, 2) == 0 {
            headers.push_str("Prefer: respond-async\r\n");
        }
        if !body.is_empty() {
            headers.push_str("Content-Type: application/json\r\n");
            headers.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        [head(&operation.verb, &path, &headers), body.into_bytes()].concat()
    }

    /// A value for the member `name` after `schema`.
    fn value(&self, name: &str, schema: &Value, offer: &Offer, dice: &mut ChaCha8Rng) -> Value {
        if let Some(known) = known(name, offer, dice) {
            return known;
        }
        if let Some(place) = schema["$ref"].as_str() {
            let place = place.strip_prefix('#').expect("of this document");
            let held = self.document.pointer(place).expect("a component");
            return self.value(name, held, offer, dice);
        }
        for several in ["oneOf", "anyOf", "allOf"] {
            if let Some(ways) = schema[several].as_array() {
                let ways: Vec<&Value> = ways.iter().filter(|way| way["type"] != "null").collect();
                return self.value(name, ways[below(dice, ways.len())], offer, dice);
            }
        }
        if let Some(words) = schema["enum"].as_array() {
            return words[below(dice, words.len())].clone();
        }
        let is = |kind: &str| {
            let told = &schema["type"];
            told == kind || told.as_array().is_some_and(|told| told.iter().any(|it| it == kind))
        };
        if is("object") {
            return self.object(schema, offer, dice);
        }
        if is("array") {
            let least = schema["minItems"].as_u64().unwrap_or(1) as usize;
            let many = least + below(dice, 2);
            return (0..many).map(|_| self.value("", &schema["items"], offer, dice)).collect();
        }
        match () {
            () if is("boolean") => json!(below(dice, 2) == 0),
            () if is("integer") => json!(below(dice, 20)),
            () if is("number") => json!(0.001),
            () => json!("x"),
        }
    }

    fn object(&self, schema: &Value, offer: &Offer, dice: &mut ChaCha8Rng) -> Value {
        let empty = Map::new();
        let mut made = Map::new();
        for (name, member) in schema["properties"].as_object().unwrap_or(&empty) {
            let required = schema["required"].as_array().into_iter().flatten().any(|it| it == name);
            let share = if OFTEN.contains(&name.as_str()) { 7 } else { 2 };
            if required || below(dice, 8) < share {
                made.insert(name.clone(), self.value(name, member, offer, dice));
            }
        }
        Value::Object(made)
    }
}

/// A lane's transaction compares or searches, never both.
fn one_of_two(mut body: Value, dice: &mut ChaCha8Rng) -> Value {
    let both = ["references", "gallery"];
    if let Some(members) = body.as_object_mut()
        && both.iter().all(|name| members.contains_key(*name))
    {
        members.remove(both[below(dice, 2)]);
    }
    body
}

/// What stands in a path.
fn place(name: &str, offer: &Offer, dice: &mut ChaCha8Rng) -> String {
    match name {
        "lane" => "gate-1".to_owned(),
        "gallery" => ["tivoli", "tivoli", "tivoli", "carried"][below(dice, 4)].to_owned(),
        "hit" => {
            let told = offer.told("transaction", dice);
            told.and_then(|told| told["transaction"].as_str()).unwrap_or("none").to_owned()
        }
        _ => id(1 + below(dice, usize::from(PERSONS)) as u8),
    }
}

fn known(name: &str, offer: &Offer, dice: &mut ChaCha8Rng) -> Option<Value> {
    let person = 1 + below(dice, usize::from(PERSONS)) as u8;
    Some(match name {
        "image" => image(&face(person))["image"].clone(),
        "purpose" if below(dice, 16) > 0 => json!(offer.purpose),
        "gallery" => json!(place(name, offer, dice)),
        "subject" | "transactionId" | "retryOf" => json!(id(person)),
        "references" => (0..=below(dice, 2)).map(|_| reference(person, offer, dice)).collect(),
        "consent" => consent(),
        "ground" => json!({ "reason": "decision 12/2026", "authority": "the court" }),
        "expiry" | "until" => json!(offer.now_s + 30 * 24 * 3600),
        "notBefore" | "from" => json!(offer.now_s - 3600),
        "by" => json!("operator"),
        "attackScore" => json!(0.1),
        "fmr" => json!(1e-3),
        "classes" => json!([0]),
        _ => return None,
    })
}

fn reference(person: u8, offer: &Offer, dice: &mut ChaCha8Rng) -> Value {
    let more = offer.references.len();
    match below(dice, 5 + more) {
        0 => image(&face(person)),
        1 => {
            let held = template(person);
            let values = STANDARD.encode(bytemuck::cast_slice::<i8, u8>(held.values()));
            let (model, calibration) = (held.kind().model, held.kind().calibration);
            let kind = [model, calibration].map(|hash| hash.to_string());
            json!({ "template": { "values": values, "model": kind[0], "calibration": kind[1] } })
        }
        2 => json!({ "gallery": "tivoli", "subject": id(person) }),
        3 => match offer.told("token", dice) {
            Some(told) => json!({ "holderToken": told["token"] }),
            None => json!({ "holderToken": "AAAA" }),
        },
        4 => match offer.told("secret", dice) {
            Some(told) => json!({
                "gallery": "carried", "subject": told["subject"], "secret": told["secret"],
            }),
            None => image(&face(person)),
        },
        at => offer.references[at - 5].clone(),
    }
}
