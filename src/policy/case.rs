//! The tables of cases beside the texts: who asks what, of which site, and what the rules must say.
//!
//! A case starts from a site, a gallery, a person and a consent with which nothing is wrong, and
//! names what is different, in the words of `policies/schema.cedarschema`. The tables are run when
//! the appliance starts: an appliance whose law does not say what its tables say is not ready.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use cedar_policy::{Context, Request, RestrictedExpression};
use serde::Deserialize;
use toml::Value;

use super::{Law, Rule, Standing, request};
use crate::types::{
    Action, Age, Assessment, Basis, Condition, ConsentFact, EventImages, GalleryFact, Necessity,
    Notices, Obligation, Permission, PersonFact, Place, Provenance, Purpose, Region, Relation,
    Residents, Role, SiteFacts, Stage, Storage,
};

/// A case that the rules do not decide as its table says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "case {case:?} of rule {rule} in policies/{file}.cases.toml: {why}; the rule or its case is wrong"
)]
pub struct CaseFault {
    /// Which table.
    pub file: String,
    /// Which rule it is about.
    pub rule: String,
    /// Which case.
    pub case: String,
    /// What differs.
    pub why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

/// Fields that differ from those with which nothing is wrong.
type Differences = BTreeMap<String, Value>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    rule: String,
    name: String,
    role: String,
    action: String,
    #[serde(default = "border_control")]
    purpose: String,
    #[serde(default)]
    analysis: bool,
    #[serde(default)]
    site: Differences,
    #[serde(default)]
    caller: Differences,
    gallery: Option<Differences>,
    person: Option<Differences>,
    consent: Option<Differences>,
    exemption: Option<Differences>,
    /// The codes of the refusal, all of them, in the order of the texts.
    refused: Option<Vec<String>>,
    /// What is owed, among other things.
    #[serde(default)]
    owed: Vec<String>,
    /// What is not owed.
    #[serde(default)]
    not_owed: Vec<String>,
}

fn border_control() -> String {
    Purpose::BorderControl.name().to_owned()
}

/// Runs a table, and returns every case that goes another way. With `only`, the cases of one rule.
#[must_use]
pub fn check_cases(law: &Arc<Law>, file: &str, table: &str, only: Option<&str>) -> Vec<CaseFault> {
    let fault = |case: &Case, why: String| CaseFault {
        file: file.to_owned(),
        rule: case.rule.clone(),
        case: case.name.clone(),
        why,
    };
    let cases = match toml::from_str::<Table>(table) {
        Ok(table) => table.case,
        Err(error) => {
            let (rule, case) = (String::new(), String::new());
            return vec![CaseFault { file: file.to_owned(), rule, case, why: error.to_string() }];
        }
    };
    let chosen = cases.iter().filter(|case| only.is_none_or(|rule| case.rule == rule));
    chosen.filter_map(|case| case.run(law).err().map(|why| fault(case, why))).collect()
}

/// Cases of one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Covered {
    /// In so many it holds: refuses, owes, or permits alone.
    pub holds: usize,
    /// In so many it is silent.
    pub silent: usize,
}

/// The rules that a table has cases of. A case that fails counts for nothing: [`check_cases`] tells
/// of it.
#[must_use]
pub fn covered(law: &Arc<Law>, table: &str) -> BTreeMap<String, Covered> {
    let cases = toml::from_str::<Table>(table).map(|table| table.case).unwrap_or_default();
    let mut covered: BTreeMap<String, Covered> = BTreeMap::new();
    for case in cases {
        let of = covered.entry(case.rule.clone()).or_default();
        match case.run(law) {
            Ok(true) => of.holds += 1,
            Ok(false) => of.silent += 1,
            Err(_) => {}
        }
    }
    covered
}

impl Case {
    /// Whether the rule that the case is about holds in it.
    fn run(&self, law: &Arc<Law>) -> Result<bool, String> {
        if law.rules().iter().all(|rule| rule.id != self.rule) {
            return Err(format!("there is no rule {}", self.rule));
        }
        let mut site: HashMap<_, _> = request::site_fields(&sound_site()).into_iter().collect();
        differ(&mut site, &self.site)?;
        let entities = law.words.entities_of(site, &law.schema)?;
        let (action, request) = self.request(law)?;
        let standing = Standing::at(Arc::clone(law), entities);
        let (permission, held) = standing.answer(action, &request)?;
        let about = held.into_iter().find(|rule| rule.id == self.rule);
        self.compare(&permission, about).map(|()| about.is_some())
    }

    /// `held` is the rule that the case is about, where it holds. What is owed is asked of that
    /// rule: another may owe the same.
    fn compare(&self, permission: &Permission, held: Option<&Rule>) -> Result<(), String> {
        let told = match permission {
            Permission::Granted(_) => None,
            Permission::Refused { reasons, .. } => {
                Some(reasons.iter().map(|reason| reason.code).collect::<Vec<_>>())
            }
        };
        let expected = self.refused.as_ref().map(|codes| codes.iter().collect::<Vec<_>>());
        let same = match (&told, &expected) {
            (None, None) => true,
            (Some(told), Some(expected)) => told.iter().eq(expected.iter().copied()),
            _ => false,
        };
        if !same {
            return Err(format!("expected {expected:?}, the rules say {told:?}"));
        }
        let holds = |name: &String| -> Result<bool, String> {
            let known = Obligation::ALL.iter().find(|one| one.name() == name);
            let owes = |one| held.is_some_and(|rule| rule.owed.contains(one));
            known.map(owes).ok_or_else(|| format!("there is no obligation {name}"))
        };
        for name in &self.owed {
            if !holds(name)? {
                return Err(format!("{name} is not owed"));
            }
        }
        for name in &self.not_owed {
            if holds(name)? {
                return Err(format!("{name} is owed"));
            }
        }
        Ok(())
    }

    fn request(&self, law: &Arc<Law>) -> Result<(Action, Request), String> {
        let action = Action::ALL.iter().copied().find(|action| action.name() == self.action);
        let action = action.ok_or_else(|| format!("there is no action {}", self.action))?;
        let role = role(&self.role).ok_or_else(|| format!("there is no role {}", self.role))?;
        let yes = RestrictedExpression::new_bool;
        let caller = ["registered", "trained"].map(|field| (field.to_owned(), yes(true)));
        let mut caller: HashMap<_, _> = caller.into();
        caller.insert("confirmed_before".to_owned(), yes(false));
        let mut fields = vec![
            law.words.here(),
            request::named("purpose", "Purpose", &self.purpose),
            ("analysis".to_owned(), yes(self.analysis)),
            with("caller", caller, &self.caller)?,
        ];
        if let Some(differences) = &self.gallery {
            let sound = request::gallery(sound_gallery()).into();
            fields.push(with("gallery", sound, differences)?);
        }
        if let Some(differences) = &self.person {
            fields.push(with("person", request::person(sound_person()).into(), differences)?);
        }
        if let Some(differences) = &self.consent {
            fields.push(with("consent", request::consent(sound_consent()).into(), differences)?);
        }
        if let Some(differences) = &self.exemption {
            let sound = ["grounded", "current"].map(|field| (field.to_owned(), yes(true)));
            fields.push(with("exemption", sound.into(), differences)?);
        }
        let context = Context::from_pairs(fields).map_err(|error| error.to_string())?;
        let request =
            law.words.of_context(role, "someone", action, context, Some(law.schema.as_ref()))?;
        Ok((action, request))
    }
}

fn with(
    name: &str,
    mut fields: HashMap<String, RestrictedExpression>,
    differences: &Differences,
) -> Result<request::Field, String> {
    differ(&mut fields, differences)?;
    request::record(name, fields).map_err(|error| error.to_string())
}

fn differ(
    fields: &mut HashMap<String, RestrictedExpression>,
    differences: &Differences,
) -> Result<(), String> {
    for (name, value) in differences {
        let field = fields.get_mut(name).ok_or_else(|| format!("there is no field {name}"))?;
        *field = match value {
            Value::Boolean(holds) => RestrictedExpression::new_bool(*holds),
            Value::Integer(many) => RestrictedExpression::new_long(*many),
            Value::String(id) => request::named(name, of_type(name)?, id).1,
            _ => return Err(format!("{name} is neither truth, number nor word")),
        };
    }
    Ok(())
}

/// The type of a field whose value is a word.
fn of_type(field: &str) -> Result<&'static str, String> {
    Ok(match field {
        "age" => "Age",
        "basis" => "Basis",
        "condition" => "Condition",
        "event_images" => "EventImages",
        "place" => "Place",
        "provenance" => "Provenance",
        "purpose" => "Purpose",
        "region" => "Region",
        "relation" => "Relation",
        "stage" => "Stage",
        "storage" => "Storage",
        _ => return Err(format!("{field} is no word")),
    })
}

fn role(name: &str) -> Option<Role> {
    Some(match name {
        "administrator" => Role::Administrator,
        "auditor" => Role::Auditor,
        "data-protection-officer" => Role::DataProtectionOfficer,
        "gate" => Role::Gate,
        "officer" => Role::Officer,
        "operator" => Role::Operator,
        _ => return None,
    })
}

/// A border in the European Union, in use, with which nothing is wrong.
pub(super) fn sound_site() -> SiteFacts {
    SiteFacts {
        profile: "sound".to_owned(),
        stage: Stage::Active,
        region: Region::EuropeanUnion,
        place: Place::Border,
        basis: Basis::Law,
        condition: Condition::PublicInterest,
        basis_is_surveillance: false,
        controller_named: true,
        identity_check_required: true,
        attended: false,
        mixed_lanes: false,
        necessity: Necessity {
            recorded: true,
            alternatives_weighed: 3,
            less_intrusive_exists: false,
        },
        assessment: Assessment { complete: true, before_use: true, dpia: true, current: true },
        notices: Notices {
            languages: (5, 2),
            pictogram: true,
            signage_attested: true,
            handout: true,
        },
        sealed: false,
        alarms: false,
        estimates_attributes: false,
        third_country_endpoint: false,
        statute_cited: true,
        two_person_exemption: false,
        residents: Residents { owners: 10, approving: 6, agreed: true, expenses_published: true },
        alternatives: 1,
        audit_kept_days: 365,
        fnir_ppm: (1_000, 10_000),
        kept_hours: (24, 24),
        event_images: EventImages::Off,
        cross_gallery_named: false,
    }
}

pub(super) const fn sound_gallery() -> GalleryFact {
    GalleryFact {
        purpose: Some(Purpose::AccessControl),
        storage: Storage::OperatorKey,
        provenance: Provenance::EnrolledHere,
        subjects: (10, 1_000),
        entry_grounded: true,
    }
}

pub(super) const fn sound_person() -> PersonFact {
    PersonFact {
        age: Age::Adult,
        relation: Relation::Independent,
        informed: true,
        alternative_live: true,
        card: true,
        carried: true,
        one_person: true,
        third_country: false,
        second_reference: false,
        one_claim: true,
    }
}

pub(super) const fn sound_consent() -> ConsentFact {
    ConsentFact {
        recorded: true,
        affirmative: true,
        alternative_offered: true,
        face_alone: true,
        bundled: false,
        conditional: false,
        blanket: false,
        guardian: false,
        withdrawn: false,
    }
}
