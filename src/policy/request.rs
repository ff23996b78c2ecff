//! A request in the words of `policies/schema.cedarschema`.
//!
//! What never changes (entity names of roles, actions and words) is made once; a request then costs
//! the records of what it is about.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr,
};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
    Schema,
};

use super::law::LawError;
use crate::types::{
    Action, Age, Asked, Basis, Circumstances, Condition, ConsentFact, EventImages, GalleryFact,
    PersonFact, Place, Provenance, Purpose, Region, Relation, Role, SiteFacts, Stage, Storage,
    UseOf,
};

/// A field of a record.
pub(super) type Field = (String, RestrictedExpression);

/// Names that every request needs.
#[derive(Debug, Clone)]
pub(super) struct Words {
    roles: [EntityTypeName; 6],
    actions: Vec<EntityUid>,
    appliance: EntityUid,
    site: EntityUid,
}

impl Words {
    pub(super) fn new() -> Self {
        let of_type = |name: &str| {
            EntityTypeName::from_str(name).expect("a type of the schema is a well-formed name")
        };
        let actions = Action::ALL.iter().map(|&action| word("Action", action.name()));
        Self {
            roles: ROLES.map(of_type),
            actions: actions.collect(),
            appliance: word("Appliance", "here"),
            site: word("Site", "here"),
        }
    }

    pub(super) fn action(&self, action: Action) -> &EntityUid {
        &self.actions[action as usize]
    }

    /// The request. At a gate it is not checked against the schema: tests show that these words
    /// fit, and a rule that errs refuses.
    pub(super) fn request(
        &self,
        asked: &Asked,
        about: &Circumstances,
        schema: Option<&Schema>,
    ) -> Result<Request, String> {
        let context = self.context(asked, about).map_err(|error| error.to_string())?;
        let caller = asked.caller.client.as_str();
        self.of_context(asked.caller.role, caller, asked.action, context, schema)
    }

    /// The same of a context that is already in the schema's words.
    pub(super) fn of_context(
        &self,
        role: Role,
        caller: &str,
        action: Action,
        context: Context,
        schema: Option<&Schema>,
    ) -> Result<Request, String> {
        let role = self.roles[role_at(role)].clone();
        let principal = EntityUid::from_type_name_and_id(role, EntityId::new(caller));
        let (action, appliance) = (self.action(action).clone(), self.appliance.clone());
        Request::new(principal, action, appliance, context, schema)
            .map_err(|error| error.to_string())
    }

    fn context(&self, asked: &Asked, about: &Circumstances) -> Result<Context, LawError> {
        let caller = [
            truth("registered", about.caller.registered),
            truth("trained", about.caller.trained),
            truth("confirmed_before", about.caller.confirmed_before),
        ];
        let mut fields = vec![
            self.here(),
            named("purpose", "Purpose", asked.purpose.name()),
            truth("analysis", about.use_of == UseOf::Analysis),
            record("caller", caller)?,
        ];
        if let Some(held) = about.gallery {
            fields.push(record("gallery", gallery(held))?);
        }
        if let Some(who) = about.person {
            fields.push(record("person", person(who))?);
        }
        if let Some(given) = about.consent {
            fields.push(record("consent", consent(given))?);
        }
        if let Some(invoked) = about.exemption {
            let fields_of =
                [truth("grounded", invoked.grounded), truth("current", invoked.current)];
            fields.push(record("exemption", fields_of)?);
        }
        Context::from_pairs(fields).map_err(|error| LawError::Request { why: error.to_string() })
    }

    /// The site as the one entity that requests refer to; made anew when its facts change.
    pub(super) fn entities(&self, site: &SiteFacts, schema: &Schema) -> Result<Entities, LawError> {
        self.entities_of(site_fields(site).into_iter().collect(), schema)
            .map_err(|why| LawError::Site { profile: site.profile.clone(), why })
    }

    /// The same of fields that are already in the schema's words.
    pub(super) fn entities_of(
        &self,
        fields: HashMap<String, RestrictedExpression>,
        schema: &Schema,
    ) -> Result<Entities, String> {
        let entity = Entity::new(self.site.clone(), fields, HashSet::new())
            .map_err(|error| error.to_string())?;
        Entities::from_entities([entity], Some(schema)).map_err(|error| error.to_string())
    }

    /// The field that refers to the site.
    pub(super) fn here(&self) -> Field {
        ("site".to_owned(), RestrictedExpression::new_entity_uid(self.site.clone()))
    }
}

const ROLES: [&str; 6] =
    ["Administrator", "Auditor", "DataProtectionOfficer", "Gate", "Officer", "Operator"];

const fn role_at(role: Role) -> usize {
    match role {
        Role::Administrator => 0,
        Role::Auditor => 1,
        Role::DataProtectionOfficer => 2,
        Role::Gate => 3,
        Role::Officer => 4,
        Role::Operator => 5,
    }
}

fn word(of_type: &str, id: &str) -> EntityUid {
    let of_type = EntityTypeName::from_str(of_type).expect("a type of the schema is a name");
    EntityUid::from_type_name_and_id(of_type, EntityId::new(id))
}

pub(super) fn named(field: &str, of_type: &str, id: &str) -> Field {
    (field.to_owned(), RestrictedExpression::new_entity_uid(word(of_type, id)))
}

fn truth(field: &str, holds: bool) -> Field {
    (field.to_owned(), RestrictedExpression::new_bool(holds))
}

fn count(field: &str, many: u32) -> Field {
    (field.to_owned(), RestrictedExpression::new_long(i64::from(many)))
}

pub(super) fn record(
    field: &str,
    fields: impl IntoIterator<Item = Field>,
) -> Result<Field, LawError> {
    let made = RestrictedExpression::new_record(fields);
    let made = made.map_err(|error| LawError::Request { why: error.to_string() })?;
    Ok((field.to_owned(), made))
}

pub(super) fn gallery(held: GalleryFact) -> [Field; 6] {
    let storage = match held.storage {
        Storage::HolderTemplate => "holder-template",
        Storage::HolderKey => "holder-key",
        Storage::OperatorKey => "operator-key",
        Storage::CloudKey => "cloud-key",
        Storage::MemoryKeyDaily => "memory-key-daily",
    };
    let provenance = match held.provenance {
        Provenance::EnrolledHere => "enrolled-here",
        Provenance::Authority => "authority",
        Provenance::Scraped => "scraped",
        Provenance::Unknown => "unknown",
    };
    [
        named("purpose", "Purpose", held.purpose.map_or("unrecorded", Purpose::name)),
        named("storage", "Storage", storage),
        named("provenance", "Provenance", provenance),
        count("subjects", held.subjects.0),
        count("subjects_allowed", held.subjects.1),
        truth("entry_grounded", held.entry_grounded),
    ]
}

pub(super) fn person(who: PersonFact) -> [Field; 10] {
    let age = match who.age {
        Age::Unknown => "unknown",
        Age::Adult => "adult",
        Age::Minor => "minor",
    };
    let relation = match who.relation {
        Relation::Independent => "independent",
        Relation::Employee => "employee",
        Relation::Authority => "authority",
    };
    [
        named("age", "Age", age),
        named("relation", "Relation", relation),
        truth("informed", who.informed),
        truth("alternative_live", who.alternative_live),
        truth("card", who.card),
        truth("carried", who.carried),
        truth("one_person", who.one_person),
        truth("third_country", who.third_country),
        truth("second_reference", who.second_reference),
        truth("one_claim", who.one_claim),
    ]
}

pub(super) fn consent(given: ConsentFact) -> [Field; 9] {
    [
        truth("recorded", given.recorded),
        truth("affirmative", given.affirmative),
        truth("alternative_offered", given.alternative_offered),
        truth("face_alone", given.face_alone),
        truth("bundled", given.bundled),
        truth("conditional", given.conditional),
        truth("blanket", given.blanket),
        truth("guardian", given.guardian),
        truth("withdrawn", given.withdrawn),
    ]
}

pub(super) fn site_fields(site: &SiteFacts) -> Vec<Field> {
    let mut fields = site_words(site);
    fields.extend([
        truth("basis_is_surveillance", site.basis_is_surveillance),
        truth("controller_named", site.controller_named),
        truth("identity_check_required", site.identity_check_required),
        truth("attended", site.attended),
        truth("mixed_lanes", site.mixed_lanes),
        truth("necessity_recorded", site.necessity.recorded),
        count("alternatives_weighed", site.necessity.alternatives_weighed),
        truth("less_intrusive_exists", site.necessity.less_intrusive_exists),
        truth("assessment_complete", site.assessment.complete),
        truth("assessment_before_use", site.assessment.before_use),
        truth("assessment_current", site.assessment.current),
        truth("dpia_recorded", site.assessment.dpia),
        count("notice_languages", site.notices.languages.0),
        count("notice_languages_demanded", site.notices.languages.1),
        truth("notice_pictogram", site.notices.pictogram),
        truth("notice_handout", site.notices.handout),
        truth("signage_attested", site.notices.signage_attested),
        truth("sealed", site.sealed),
        truth("alarms", site.alarms),
        truth("estimates_attributes", site.estimates_attributes),
        truth("third_country_endpoint", site.third_country_endpoint),
        truth("statute_cited", site.statute_cited),
        truth("two_person_exemption", site.two_person_exemption),
        count("owners", site.residents.owners),
        count("owners_approving", site.residents.approving),
        truth("owners_agreed", site.residents.agreed),
        truth("expenses_published", site.residents.expenses_published),
        count("alternatives", site.alternatives),
        count("audit_kept_days", site.audit_kept_days),
        count("fnir_ppm", site.fnir_ppm.0),
        count("fnir_ppm_allowed", site.fnir_ppm.1),
        count("kept_hours", site.kept_hours.0),
        count("kept_hours_allowed", site.kept_hours.1),
        truth("cross_gallery_named", site.cross_gallery_named),
    ]);
    fields
}

fn site_words(site: &SiteFacts) -> Vec<Field> {
    let stage = match site.stage {
        Stage::Draft => "draft",
        Stage::Assessed => "assessed",
        Stage::Active => "active",
    };
    let region = match site.region {
        Region::EuropeanUnion => "european-union",
        Region::China => "china",
        Region::Elsewhere => "elsewhere",
    };
    let place = match site.place {
        Place::Border => "border",
        Place::AirportFlow => "airport-flow",
        Place::Leisure => "leisure",
        Place::Residence => "residence",
        Place::Venue => "venue",
        Place::Household => "household",
    };
    let basis = match site.basis {
        Basis::None => "none",
        Basis::Consent => "consent",
        Basis::Law => "law",
        Basis::LegitimateInterests => "legitimate-interests",
    };
    let condition = match site.condition {
        Condition::None => "none",
        Condition::ExplicitConsent => "explicit-consent",
        Condition::PublicInterest => "public-interest",
        Condition::Permission => "permission",
    };
    let images = match site.event_images {
        EventImages::Off => "off",
        EventImages::WithoutBasis => "without-basis",
        EventImages::WithBasis => "with-basis",
    };
    vec![
        named("stage", "Stage", stage),
        named("region", "Region", region),
        named("place", "Place", place),
        named("basis", "Basis", basis),
        named("condition", "Condition", condition),
        named("event_images", "EventImages", images),
    ]
}
