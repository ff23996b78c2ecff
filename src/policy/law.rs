//! The law as text: parsed, checked against the schema, cut by action, applied to a site.
//!
//! A text holds three kinds of rule. A `permit` says who may do what; a `forbid` bears the code
//! that a refusal names (`@reason`); a `permit` with `@obligation` permits nothing and says what is
//! owed. The obligations are kept in a set of their own, so that no duty can open anything.
//!
//! Rules are cut by action when the appliance starts: a request meets the few that can concern it.
//!
//! Invariant: a rule that errs refuses. Cedar leaves out a forbid that cannot be evaluated, and
//! would then permit; so any error in an answer is a refusal of its own.

use std::{collections::HashMap, str::FromStr, sync::Arc};

use cedar_policy::{
    ActionConstraint, Authorizer, Decision, Effect, Entities, Policy as Text, PolicyId, PolicySet,
    Request, Response, Schema, ValidationMode, Validator,
};

use super::{
    Catalogue, Source,
    catalogue::kept,
    guard,
    request::Words,
    source::{REASONS, SCHEMA},
};
use crate::types::{
    Action, Asked, Circumstances, Obligation, Obligations, Permission, Reason, SiteFacts,
};

/// What no rule permits is refused.
const NOT_PERMITTED: Reason = Reason {
    code: "ROLE_NOT_PERMITTED",
    text: "This role may not do this; ask the administrator for a credential that may.",
};
/// A rule could not be evaluated, and an error opens nothing.
const POLICY_FAILED: Reason =
    Reason { code: "POLICY_FAILED", text: "The rules could not be evaluated; an officer decides." };

/// A traveller's record ends with the passport, and when that is was not said.
pub const PASSPORT_EXPIRY_MISSING: Reason = Reason {
    code: "PASSPORT_EXPIRY_MISSING",
    text: "The record ends with the passport; say when that expires.",
};

/// The site was assessed for matching at other lanes.
pub const ZONE_NOT_FOR_MATCHING: Reason = Reason {
    code: "ZONE_NOT_FOR_MATCHING",
    text: "The site was assessed for matching at other lanes; nobody is matched at this one.",
};

/// Refusals that no rule of the texts makes, with the article that asks for each.
const UNWRITTEN: [(Reason, &str); 5] = [
    (NOT_PERMITTED, "Art. 29, 32(4)"),
    (POLICY_FAILED, "Art. 5(1)(f), 22(1)"),
    (guard::gallery::NOT_NAMED, "Art. 5(1)(b)"),
    (PASSPORT_EXPIRY_MISSING, "Art. 5(1)(e)"),
    (ZONE_NOT_FOR_MATCHING, "Art. 5(1)(b), 25(2)"),
];
const UNWRITTEN_SOURCE: &str = "Regulation (EU) 2016/679";

/// Why the texts cannot be applied. The appliance is not ready while there is one.
#[derive(Debug, thiserror::Error)]
pub enum LawError {
    /// The schema does not parse.
    #[error("policies/schema.cedarschema does not parse: {why}; restore the file")]
    Schema {
        /// What the parser said.
        why: String,
    },
    /// The sentences do not parse.
    #[error("policies/reasons.toml does not parse: {why}; restore the file")]
    Reasons {
        /// What the parser said.
        why: String,
    },
    /// A text does not parse.
    #[error("the policy text {file} does not parse: {why}; correct it and start again")]
    Parse {
        /// Which text.
        file: String,
        /// What the parser said, with line and column.
        why: String,
    },
    /// A rule asks for something that the schema does not know.
    #[error("the policy texts do not fit the schema: {why}; correct the rule and start again")]
    Validation {
        /// What the validator said, with the rule.
        why: String,
    },
    /// An annotation is missing, unknown, or does not fit the rule.
    #[error("rule {rule} in {file}: {fault}; correct the annotation and start again")]
    Annotation {
        /// Which text.
        file: String,
        /// Which rule.
        rule: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// A request could not be put in the schema's words.
    #[error("a request does not fit the schema: {why}")]
    Request {
        /// What was said.
        why: String,
    },
    /// The site's facts do not fit the schema.
    #[error("the facts of profile {profile} do not fit the schema: {why}")]
    Site {
        /// Which profile.
        profile: String,
        /// What was said.
        why: String,
    },
}

/// One rule, as far as its annotations go.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// The text that it stands in.
    pub file: String,
    /// The legal source.
    pub source: &'static str,
    /// The article.
    pub article: &'static str,
    /// The code of its refusal; `None` where it permits or obliges.
    pub reason: Option<Reason>,
    /// What is owed where it holds.
    pub owed: Obligations,
    /// The rows of the table of requirements that it answers.
    pub rows: Vec<String>,
    is_duty: bool,
}

/// The rules that one action can meet.
#[derive(Debug, Clone)]
struct Slice {
    permission: PolicySet,
    duties: PolicySet,
}

/// The checked texts. A clone shares them.
#[derive(Debug, Clone)]
pub struct Law {
    pub(super) words: Words,
    pub(super) schema: Arc<Schema>,
    slices: Vec<Arc<Slice>>,
    rules: Vec<Rule>,
    at: HashMap<PolicyId, usize>,
    catalogue: Catalogue,
}

impl Law {
    /// The texts that are compiled in, with the deployer's own: name and text of each. Those may
    /// forbid, and nothing else.
    ///
    /// # Errors
    ///
    /// [`LawError`], which says where.
    pub fn new(sources: &[Source], own: &[(String, String)]) -> Result<Self, LawError> {
        let (schema, _warnings) = Schema::from_cedarschema_str(SCHEMA)
            .map_err(|error| LawError::Schema { why: error.to_string() })?;
        let mut catalogue = Catalogue::parse(REASONS)
            .map_err(|error| LawError::Reasons { why: error.to_string() })?;
        for (reason, article) in UNWRITTEN {
            if !catalogue.attribute(reason.code, UNWRITTEN_SOURCE, article) {
                let why = format!("{} has no sentence", reason.code);
                return Err(LawError::Reasons { why });
            }
        }
        let mut reading = Reading { catalogue, rules: Vec::new(), texts: Vec::new() };
        for source in sources {
            reading.read(source.name, source.text, Origin::CompiledIn)?;
        }
        for (name, text) in own {
            reading.read(name, text, Origin::Deployer)?;
        }
        reading.validate(&schema)?;
        let words = Words::new();
        let slices = Action::ALL.iter().map(|&action| {
            let concerns = |text: &Text| concerns(text, words.action(action));
            let chosen = |duty: bool| {
                let of = reading
                    .texts
                    .iter()
                    .enumerate()
                    .filter(|(at, text)| reading.rules[*at].is_duty == duty && concerns(text));
                PolicySet::from_policies(of.map(|(_, text)| text.clone()))
                    .map_err(|error| LawError::Validation { why: error.to_string() })
            };
            Ok(Arc::new(Slice { permission: chosen(false)?, duties: chosen(true)? }))
        });
        let slices = slices.collect::<Result<_, LawError>>()?;
        let at = reading.texts.iter().enumerate().map(|(at, text)| (text.id().clone(), at));
        let at = at.collect();
        let Reading { catalogue, rules, .. } = reading;
        Ok(Self { words, schema: Arc::new(schema), slices, rules, at, catalogue })
    }

    /// The same law with one rule struck out: how the check of the checks sees that each is needed.
    #[must_use]
    pub fn without(&self, rule: &str) -> Self {
        let mut law = self.clone();
        let id = PolicyId::new(rule);
        for slice in &mut law.slices {
            if slice.permission.policy(&id).or(slice.duties.policy(&id)).is_none() {
                continue;
            }
            let Slice { permission, duties } = Arc::make_mut(slice);
            for texts in [permission, duties] {
                if texts.policy(&id).is_some() {
                    texts.remove_static(id.clone()).expect("a rule of the set, and no template");
                }
            }
        }
        law
    }

    /// The same law in which one rule does not owe one duty any more.
    #[must_use]
    pub fn without_duty(&self, rule: &str, duty: Obligation) -> Self {
        let mut law = self.clone();
        for held in law.rules.iter_mut().filter(|held| held.id == rule) {
            held.owed = held.owed.iter().filter(|&one| one != duty).collect();
        }
        law
    }

    /// Every rule, in the order of the texts.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What reason codes mean.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Holds a request against the schema, which [`Standing::authorise`] does not: a test shows
    /// once that every request fits.
    #[cfg(test)]
    pub(super) fn check_request(&self, asked: &Asked, about: &Circumstances) -> Result<(), String> {
        self.words.request(asked, about, Some(self.schema.as_ref())).map(drop)
    }

    fn rules_of(&self, response: &Response) -> impl Iterator<Item = &Rule> + use<'_> {
        let mut held: Vec<usize> =
            response.diagnostics().reason().filter_map(|id| self.at.get(id)).copied().collect();
        held.sort_unstable();
        held.into_iter().map(move |at| &self.rules[at])
    }
}

/// Where a text comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    CompiledIn,
    Deployer,
}

/// Texts while they are read.
struct Reading {
    catalogue: Catalogue,
    rules: Vec<Rule>,
    texts: Vec<Text>,
}

impl Reading {
    fn read(&mut self, name: &str, text: &str, origin: Origin) -> Result<(), LawError> {
        let file = format!("{name}.cedar");
        let parsed = PolicySet::from_str(text)
            .map_err(|error| LawError::Parse { file: file.clone(), why: located(&error) })?;
        let mut texts: Vec<Text> = parsed.policies().cloned().collect();
        // `policy0`, `policy1`: as they stand in the file, whatever order the set keeps them in.
        texts.sort_by_key(|text| {
            let id: &str = text.id().as_ref();
            id.trim_start_matches("policy").parse::<usize>().ok()
        });
        for text in texts {
            let id = text.annotation("id").unwrap_or_else(|| text.id().as_ref()).to_owned();
            let fault =
                |fault| LawError::Annotation { file: file.clone(), rule: id.clone(), fault };
            if self.rules.iter().any(|rule| rule.id == id) {
                return Err(fault("its id is taken by another rule"));
            }
            let rule = self.rule(&text, &id, &file, origin).map_err(fault)?;
            self.rules.push(rule);
            self.texts.push(text.new_id(PolicyId::new(&id)));
        }
        Ok(())
    }

    fn rule(
        &mut self,
        text: &Text,
        id: &str,
        file: &str,
        origin: Origin,
    ) -> Result<Rule, &'static str> {
        let note = |key: &str| text.annotation(key).map(|held| kept(held.to_owned()));
        let owed = obligations(text.annotation("obligation").unwrap_or_default())?;
        let (source, article) = match origin {
            Origin::CompiledIn => (
                note("source").ok_or("it names no @source")?,
                note("article").ok_or("it names no @article")?,
            ),
            Origin::Deployer => (note("source").unwrap_or(""), note("article").unwrap_or("")),
        };
        let reason = match (text.effect(), note("reason")) {
            (Effect::Permit, _) if origin == Origin::Deployer => {
                return Err("a text of the deployer's own may forbid, and nothing else");
            }
            (Effect::Permit, None) => None,
            (Effect::Permit, Some(_)) => return Err("a permit refuses nothing and has no @reason"),
            (Effect::Forbid, None) => return Err("a forbid needs a @reason"),
            (Effect::Forbid, Some(code)) => {
                if origin == Origin::Deployer && self.catalogue.ruling(code).is_none() {
                    let sentence = note("sentence").ok_or("a new @reason needs its @sentence")?;
                    self.catalogue.add_own(code, sentence);
                } else if origin == Origin::CompiledIn
                    && !self.catalogue.attribute(code, source, article)
                {
                    return Err("its @reason has no sentence, or belongs to another article");
                }
                self.catalogue.ruling(code).map(|ruling| ruling.reason)
            }
        };
        let rows = text.annotation("domain").unwrap_or_default();
        Ok(Rule {
            id: id.to_owned(),
            file: file.to_owned(),
            source,
            article,
            reason,
            owed,
            rows: rows.split_whitespace().map(str::to_owned).collect(),
            is_duty: reason.is_none() && owed != Obligations::NONE,
        })
    }

    fn validate(&self, schema: &Schema) -> Result<(), LawError> {
        let all = PolicySet::from_policies(self.texts.iter().cloned())
            .map_err(|error| LawError::Validation { why: error.to_string() })?;
        let found = Validator::new(schema.clone()).validate(&all, ValidationMode::Strict);
        let faults: Vec<String> = found.validation_errors().map(ToString::to_string).collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(LawError::Validation { why: faults.join("; ") })
        }
    }
}

/// What a parser said, with everything it found.
fn located(errors: &cedar_policy::ParseErrors) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn obligations(names: &str) -> Result<Obligations, &'static str> {
    let known = |name: &str| Obligation::ALL.iter().copied().find(|one| one.name() == name);
    let owed = names.split_whitespace().map(known).collect::<Option<Obligations>>();
    owed.ok_or("its @obligation is none that the appliance carries out")
}

fn concerns(text: &Text, action: &cedar_policy::EntityUid) -> bool {
    match text.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::In(actions) => actions.contains(action),
        ActionConstraint::Eq(only) => only == *action,
    }
}

/// The law applied to a site. Made anew when the site's facts change: a stage, a window.
pub struct Standing {
    law: Arc<Law>,
    entities: Entities,
    authorizer: Authorizer,
}

impl Standing {
    /// The law, at this site.
    ///
    /// # Errors
    ///
    /// [`LawError::Site`] where the facts do not fit the schema.
    pub fn new(law: Arc<Law>, site: &SiteFacts) -> Result<Self, LawError> {
        let entities = law.words.entities(site, &law.schema)?;
        Ok(Self { law, entities, authorizer: Authorizer::new() })
    }

    /// The texts behind it.
    #[must_use]
    pub fn law(&self) -> &Arc<Law> {
        &self.law
    }

    /// May this be done at all, and what is then owed? Asked before anything is computed. Deny by
    /// default.
    #[must_use]
    pub fn authorise(&self, asked: &Asked, circumstances: &Circumstances) -> Permission {
        if let Some(reason) = guard::gallery::object(asked) {
            return refused([reason]);
        }
        self.judge(asked, circumstances).unwrap_or_else(|_| refused([POLICY_FAILED]))
    }

    /// The law at a site that a table of cases describes.
    pub(super) fn at(law: Arc<Law>, entities: Entities) -> Self {
        Self { law, entities, authorizer: Authorizer::new() }
    }

    fn judge(&self, asked: &Asked, circumstances: &Circumstances) -> Result<Permission, String> {
        let request = self.law.words.request(asked, circumstances, None)?;
        self.answer(asked.action, &request).map(|(permission, _)| permission)
    }

    /// What the rules of an action say of a request, and which of them hold; an error where one of
    /// them cannot be evaluated.
    pub(super) fn answer(
        &self,
        action: Action,
        request: &Request,
    ) -> Result<(Permission, Vec<&Rule>), String> {
        let slice = &self.law.slices[action as usize];
        let ask = |texts| {
            let answer = self.authorizer.is_authorized(request, texts, &self.entities);
            let failed = answer.diagnostics().errors().next().map(ToString::to_string);
            failed.map_or(Ok(answer), Err)
        };
        let permission = ask(&slice.permission)?;
        let mut held: Vec<&Rule> = self.law.rules_of(&permission).collect();
        if permission.decision() == Decision::Allow {
            let duties = ask(&slice.duties)?;
            held.extend(self.law.rules_of(&duties));
        }
        let owed = held.iter().fold(Obligations::NONE, |owed, rule| owed.union(rule.owed));
        let permission = match permission.decision() {
            Decision::Allow => Permission::Granted(owed),
            Decision::Deny => {
                let mut reasons: Vec<Reason> = held.iter().filter_map(|rule| rule.reason).collect();
                if reasons.is_empty() {
                    reasons.push(NOT_PERMITTED);
                }
                Permission::Refused { reasons, owed }
            }
        };
        Ok((permission, held))
    }
}

fn refused<const N: usize>(reasons: [Reason; N]) -> Permission {
    Permission::Refused { reasons: reasons.into(), owed: Obligations::NONE }
}
