//! Each requirement has a test that bears its id: the cases of its rules hold, and none of its
//! rules and duties can be struck out without a case that fails.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, LazyLock},
};

use super::*;
use crate::types::{
    Action, Age, Asked, Basis, Caller, CallerFact, Circumstances, Condition, ConsentFact,
    EventImages, ExemptionFact, GalleryFact, Obligation, Permission, PersonFact, Place, Provenance,
    Purpose, Region, Relation, Role, SiteFacts, Stage, Storage, UseOf,
};

static LAW: LazyLock<Arc<Law>> =
    LazyLock::new(|| Arc::new(Law::new(SOURCES, &[]).expect("the texts are well-formed")));

/// The table of cases of the text that a rule stands in.
fn table(rule: &Rule) -> (&'static str, &'static str) {
    let source = SOURCES.iter().find(|source| rule.file == format!("{}.cedar", source.name));
    source.map(|source| (source.name, source.cases)).expect("a text of the house")
}

fn faults(law: Law, rule: &Rule) -> Vec<CaseFault> {
    let (file, cases) = table(rule);
    check_cases(&Arc::new(law), file, cases, Some(&rule.id))
}

/// The rule's cases hold; without the rule, and without each of its duties, one of them fails.
fn needed(rule: &Rule) {
    let found = faults(Law::clone(&LAW), rule);
    assert!(found.is_empty(), "{found:?}");
    let struck = faults(LAW.without(&rule.id), rule);
    assert!(!struck.is_empty(), "{} can be struck out and no case fails", rule.id);
    for duty in rule.owed.iter() {
        let struck = faults(LAW.without_duty(&rule.id, duty), rule);
        assert!(!struck.is_empty(), "{} need not owe {}: no case fails", rule.id, duty.name());
    }
}

fn row(id: &str) {
    let rows = rows().expect("the rows are well-formed");
    let row = rows.get(id).unwrap_or_else(|| panic!("policies/rows.toml has no row {id}"));
    let answering = LAW.rules().iter().filter(|rule| rule.rows.iter().any(|of| of == id));
    let answering: Vec<&Rule> = answering.collect();
    assert!(!answering.is_empty() || !row.tests.is_empty(), "nothing answers {id}");
    for rule in answering {
        needed(rule);
    }
    are_there(id, &row.tests);
}

/// The tests that are named for `what` are in the repository.
fn are_there(what: &str, tests: &[String]) {
    for test in tests {
        let (file, function) = test.split_once("::").unwrap_or((test, ""));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(!text.is_empty(), "{what}: {file} is not there");
        if !function.is_empty() {
            assert!(is_test(&text, function), "{what}: {file} has no test {function}");
        }
    }
}

/// Whether `text` has a function of that name, and marks it as a test.
fn is_test(text: &str, function: &str) -> bool {
    let Some(at) = text.find(&format!("fn {function}(")) else { return false };
    let above = text[..at].rsplit("\n\n").next().unwrap_or_default();
    above.contains("#[test]")
}

macro_rules! requirements {
    ($($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                row(&id(stringify!($name)));
            }
        )+

        const NAMES: &[&str] = &[$(stringify!($name)),+];
    };
}

/// The row that a test is named after.
fn id(name: &str) -> String {
    let rows = rows().expect("the rows are well-formed");
    let found = rows.into_keys().find(|row| test_of(row) == name);
    found.unwrap_or_else(|| panic!("policies/rows.toml has no row for {name}"))
}

requirements! {
    nl_1 nl_2 nl_3 nl_4 nl_5 nl_6 nl_7 nl_8 nl_9 nl_10 nl_11 fv_1 fv_2 fv_3 fv_4 fv_5 fv_6 fv_7
    fv_8 fv_9 fv_10 fv_11 fv_12 fv_12b fv_12c fv_13 fv_14 fv_15 fv_16 fv_17 fv_18 fv_19 fv_20
    fv_21 fv_22 fv_23 fv_24 seed_stages seed_provenance cn_1 cn_2 cn_3 cn_4 cn_5 cn_6 cn_7 cn_8
    se_1 se_2 se_3 se_4 se_5 se_6 se_7 se_8 se_9 se_10 ra_1 ra_2 ra_3 ra_4 ra_5 ra_6 ra_7 ed_1
    ed_2 ed_3 ed_4 ed_5 ed_6 ed_7 ed_8 ed_9 gdpr_5 gdpr_6 gdpr_7 gdpr_8 gdpr_12 gdpr_15 gdpr_16
    gdpr_17 gdpr_22 gdpr_25 gdpr_30 gdpr_32 gdpr_33 gdpr_35 gdpr_44 edpb_05_2022 ai_iii_1a
    ai_iii_1b ai_12_3 ai_14_4 ai_14_5 ai_19 ai_26 ai_5_1_e ai_5_1_f cac_1 conflict_1 conflict_2
    conflict_3 conflict_4 conflict_5 conflict_6 bsi_pad bsi_doc bsi_tcn bsi_abc bsi_ui
}

#[test]
fn every_row_has_its_test_and_every_rule_its_row() {
    let rows = rows().expect("the rows are well-formed");
    let tests: BTreeSet<String> = NAMES.iter().map(|&name| name.to_owned()).collect();
    let expected: BTreeSet<String> = rows.keys().map(|row| test_of(row)).collect();
    assert_eq!(tests, expected);
    for rule in LAW.rules() {
        assert!(!rule.rows.is_empty(), "{} names no @domain", rule.id);
        for row in &rule.rows {
            assert!(rows.contains_key(row), "{} answers {row}, which is no row", rule.id);
        }
    }
}

#[test]
fn every_rule_has_a_case_in_which_it_holds_and_one_in_which_it_is_silent() {
    let always = |rule: &Rule| rule.id == "gdpr-5-2-audit-of-decisions";
    for source in SOURCES {
        let cases = covered(&LAW, source.cases);
        let file = format!("{}.cedar", source.name);
        for rule in LAW.rules().iter().filter(|rule| rule.file == file) {
            let held = cases.get(&rule.id).copied().unwrap_or_default();
            assert!(held.holds > 0, "{} holds in no case", rule.id);
            assert!(held.silent > 0 || always(rule), "{} is silent in no case", rule.id);
        }
    }
}

#[test]
fn every_duty_is_owed_by_some_rule_and_the_page_says_what_carries_it_out() {
    let mut duties = duties().expect("the duties are well-formed");
    for &duty in Obligation::ALL {
        let owed = LAW.rules().iter().any(|rule| rule.owed.contains(&duty));
        assert!(owed, "no rule owes {}", duty.name());
        let carried = duties.remove(duty.name());
        let carried = carried.unwrap_or_else(|| panic!("duties.toml lacks {}", duty.name()));
        assert!(!carried.by.is_empty(), "{} is owed, and nothing carries it out", duty.name());
        assert!(!carried.tests.is_empty(), "nothing sees whether {} is done", duty.name());
        for test in &carried.tests {
            assert!(test.contains("::"), "{}: {test} names no function", duty.name());
        }
        are_there(duty.name(), &carried.tests);
    }
    assert!(duties.is_empty(), "no duties: {duties:?}");
}

#[test]
fn the_page_in_the_repository_is_the_one_that_the_texts_give() {
    let written = page(&LAW).expect("the tables are well-formed");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/law.md");
    let held = std::fs::read_to_string(path).unwrap_or_default();
    let differs = held.lines().zip(written.lines()).find(|(held, written)| held != written);
    assert!(held == written, "run `portcullis law > docs/law.md`: {differs:?}");
}

fn site() -> SiteFacts {
    case::sound_site()
}

fn asked(role: Role, action: Action, purpose: Purpose) -> Asked {
    let caller = Caller { role, client: "desk-1".parse().expect("a name") };
    let gallery = Some("kl-0893".parse().expect("a name"));
    Asked { caller, action, purpose, gallery, at_lane: None, subject: None }
}

/// Everything that a request may be about, in each of its words.
fn abouts() -> Vec<Circumstances> {
    let (gallery, person, consent) =
        (case::sound_gallery(), case::sound_person(), case::sound_consent());
    let full = Circumstances {
        caller: CallerFact::default(),
        gallery: Some(gallery),
        person: Some(person),
        consent: Some(consent),
        exemption: Some(ExemptionFact { grounded: true, current: true }),
        use_of: UseOf::Recognition,
    };
    let mut abouts = vec![full, Circumstances::default()];
    abouts.push(Circumstances { use_of: UseOf::Analysis, ..full });
    let mut galleries = vec![GalleryFact { purpose: None, ..gallery }];
    let purposes = Purpose::ALL.iter().map(|&held| GalleryFact { purpose: Some(held), ..gallery });
    galleries.extend(purposes);
    for storage in [
        Storage::HolderTemplate,
        Storage::HolderKey,
        Storage::OperatorKey,
        Storage::CloudKey,
        Storage::MemoryKeyDaily,
    ] {
        galleries.push(GalleryFact { storage, ..gallery });
    }
    for provenance in
        [Provenance::EnrolledHere, Provenance::Authority, Provenance::Scraped, Provenance::Unknown]
    {
        galleries.push(GalleryFact { provenance, ..gallery });
    }
    abouts.extend(galleries.into_iter().map(|held| Circumstances { gallery: Some(held), ..full }));
    let ages = [Age::Unknown, Age::Adult, Age::Minor];
    let mut people: Vec<_> = ages.map(|age| PersonFact { age, ..person }).into();
    for relation in [Relation::Independent, Relation::Employee, Relation::Authority] {
        people.push(PersonFact { relation, ..person });
    }
    abouts.extend(people.into_iter().map(|held| Circumstances { person: Some(held), ..full }));
    let consents = [consent, ConsentFact { withdrawn: true, ..consent }];
    abouts.extend(consents.map(|held| Circumstances { consent: Some(held), ..full }));
    abouts
}

/// Every word that a site may be described with.
fn sites() -> Vec<SiteFacts> {
    let mut sites: Vec<_> = [Stage::Draft, Stage::Assessed, Stage::Active]
        .map(|stage| SiteFacts { stage, ..site() })
        .into();
    for region in [Region::EuropeanUnion, Region::China, Region::Elsewhere] {
        sites.push(SiteFacts { region, ..site() });
    }
    for place in [
        Place::Border,
        Place::AirportFlow,
        Place::Leisure,
        Place::Residence,
        Place::Venue,
        Place::Household,
    ] {
        sites.push(SiteFacts { place, ..site() });
    }
    for basis in [Basis::None, Basis::Consent, Basis::Law, Basis::LegitimateInterests] {
        sites.push(SiteFacts { basis, ..site() });
    }
    for condition in [
        Condition::None,
        Condition::ExplicitConsent,
        Condition::PublicInterest,
        Condition::Permission,
    ] {
        sites.push(SiteFacts { condition, ..site() });
    }
    for event_images in [EventImages::Off, EventImages::WithoutBasis, EventImages::WithBasis] {
        sites.push(SiteFacts { event_images, ..site() });
    }
    sites
}

const ROLES: [Role; 6] = guard::cases::ROLES;

#[test]
fn every_request_fits_the_schema() {
    let standing = Standing::new(Arc::clone(&LAW), &site()).expect("a site");
    for about in abouts() {
        for &action in Action::ALL {
            for purpose in [Purpose::Boarding, Purpose::Watchlist] {
                let asked = asked(Role::Operator, action, purpose);
                LAW.check_request(&asked, &about).unwrap_or_else(|why| panic!("{asked:?}: {why}"));
                if let Permission::Refused { reasons, .. } = standing.authorise(&asked, &about) {
                    assert!(reasons.iter().all(|why| why.code != "POLICY_FAILED"), "{asked:?}");
                }
            }
        }
    }
}

#[test]
fn every_site_fits_the_schema_and_no_rule_errs_there() {
    let about = abouts().swap_remove(0);
    for site in sites() {
        let standing = Standing::new(Arc::clone(&LAW), &site).expect("a site");
        for &action in Action::ALL {
            let asked = asked(Role::Officer, action, Purpose::Evaluation);
            if let Permission::Refused { reasons, .. } = standing.authorise(&asked, &about) {
                assert!(!reasons.is_empty(), "{asked:?}");
                assert!(reasons.iter().all(|why| why.code != "POLICY_FAILED"), "{asked:?}");
            }
        }
    }
}

#[test]
fn no_role_is_handed_a_template_or_a_gallery_but_an_administrator_of_its_own_pictures() {
    let about = abouts().swap_remove(0);
    let standing = Standing::new(Arc::clone(&LAW), &site()).expect("a site");
    for role in ROLES {
        for action in [Action::Embed, Action::ExportGallery, Action::RotateKeys] {
            let asked = asked(role, action, Purpose::Evaluation);
            let granted = matches!(standing.authorise(&asked, &about), Permission::Granted(_));
            let administrator = role == Role::Administrator && action == Action::Embed;
            assert_eq!(granted, administrator, "{role:?} {action:?}");
        }
    }
}

#[test]
fn a_rule_that_errs_refuses() {
    // The validator finds such a rule; one that slipped past it must open nothing.
    let own = "@id(\"odd\") @reason(\"ODD\") @sentence(\"Odd.\")\n\
               forbid (principal, action == Action::\"verify\", resource)\n\
               when { context.site.owners * 9223372036854775807 > 1 };";
    let own = [("own".to_owned(), own.to_owned())];
    let law = Arc::new(Law::new(SOURCES, &own).expect("an overflow is no slip of the pen"));
    let mut crowded = site();
    crowded.residents.owners = 2;
    let standing = Standing::new(law, &crowded).expect("a site");
    let asked = asked(Role::Gate, Action::Verify, Purpose::BorderControl);
    match standing.authorise(&asked, &Circumstances::default()) {
        Permission::Refused { reasons, .. } => assert_eq!(reasons[0].code, "POLICY_FAILED"),
        Permission::Granted(_) => panic!("an error opened"),
    }
}

/// Codes that no text gives.
const UNWRITTEN: [&str; 5] = [
    "ROLE_NOT_PERMITTED",
    "POLICY_FAILED",
    "GALLERY_NOT_NAMED",
    "PASSPORT_EXPIRY_MISSING",
    "ZONE_NOT_FOR_MATCHING",
];

#[test]
fn what_no_text_says_has_its_sentence_and_its_article_all_the_same() {
    for code in UNWRITTEN {
        let ruling = LAW.catalogue().ruling(code).expect("a sentence");
        assert_eq!(LAW.catalogue().explain(ruling.reason), *ruling);
        assert!(!ruling.article.is_empty(), "{code}");
    }
    let named = Asked { gallery: None, ..asked(Role::Gate, Action::Identify, Purpose::Boarding) };
    let standing = Standing::new(Arc::clone(&LAW), &site()).expect("a site");
    for asked in [named, asked(Role::Auditor, Action::Verify, Purpose::Boarding)] {
        let Permission::Refused { reasons, .. } =
            standing.authorise(&asked, &Circumstances::default())
        else {
            panic!("{asked:?}")
        };
        for reason in reasons {
            assert_eq!(LAW.catalogue().explain(reason).reason, reason, "one text per code");
        }
    }
}

#[test]
fn every_code_of_the_sentences_is_used() {
    for ruling in LAW.catalogue().rulings() {
        let code = ruling.reason.code;
        let by_rule = LAW.rules().iter().any(|rule| rule.reason == Some(ruling.reason));
        assert!(by_rule || UNWRITTEN.contains(&code), "{code} has a sentence and no rule");
    }
}
