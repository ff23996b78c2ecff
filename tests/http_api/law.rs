//! The law as text, from outside: what it refuses is named, and a site decides what is refused.

use portcullis::{
    appliance::evaluation_desk,
    http::Access,
    types::{Basis, Condition, Place, Region, Role, SiteFacts, Stage},
};
use serde_json::{Value, json};

use crate::harness::{Answer, Server, Setup, caller, face, image, verify_body};

/// Passenger flow in the European Union, with which nothing is wrong.
fn airport() -> SiteFacts {
    SiteFacts {
        profile: "airport".to_owned(),
        region: Region::EuropeanUnion,
        place: Place::AirportFlow,
        basis: Basis::Consent,
        condition: Condition::ExplicitConsent,
        ..evaluation_desk()
    }
}

fn at(site: SiteFacts) -> Server {
    Server::start(Setup { site, ..Setup::default() })
}

/// The codes of a refusal by the law.
#[track_caller]
fn refused(answer: &Answer) -> Vec<String> {
    answer.problem(403, "FORBIDDEN");
    let document = answer.json();
    let reasons = document["reasons"].as_array().expect("reasons");
    reasons.iter().map(|why| why["code"].as_str().expect("a code").to_owned()).collect()
}

fn verify(server: &Server) -> Answer {
    server.post_json("/v1/verify", &verify_body(&face(1), &[image(&face(1))]))
}

/// The same against a token, which nobody looks at where the law refuses.
fn with_token(server: &Server) -> Answer {
    server.post_json("/v1/verify", &verify_body(&face(1), &[json!({ "holderToken": "AAAA" })]))
}

#[test]
fn a_refusal_names_code_source_article_and_a_sentence_in_five_languages() {
    let answer = with_token(&at(SiteFacts { basis: Basis::None, ..airport() }));
    assert_eq!(refused(&answer), ["NO_LEGAL_BASIS"]);
    let document = answer.json();
    let why = &document["reasons"][0];
    assert_eq!(why["source"], "Regulation (EU) 2016/679");
    assert_eq!(why["article"], "Art. 6(1)");
    let sentences = why["sentences"].as_object().expect("sentences");
    let languages: Vec<&str> = sentences.keys().map(String::as_str).collect();
    assert_eq!(languages, ["da", "en", "nl", "sv", "zh"]);
    assert_eq!(sentences["en"], why["text"]);
    assert!(document["detail"].as_str().expect("a detail").contains(why["text"].as_str().unwrap()));
}

#[test]
fn a_site_that_is_not_active_judges_nobody() {
    for stage in [Stage::Draft, Stage::Assessed] {
        let server = at(SiteFacts { stage, ..airport() });
        assert_eq!(refused(&with_token(&server)), ["SITE_NOT_ACTIVE"], "{stage:?}");
        let audit = server.audit.as_ref().expect("an audit");
        let entries = audit.entries.lock().expect("no panic while recording");
        let last = entries.last().expect("the refusal is recorded");
        assert_eq!(last.reasons, ["SITE_NOT_ACTIVE"]);
    }
    let venue = SiteFacts { place: Place::Venue, ..airport() };
    assert_eq!(verify(&at(venue)).ok(200)["outcome"], "admit");
    assert_eq!(refused(&verify(&at(airport()))), ["NOTHING_PRESENTED"]);
}

#[test]
fn ed_1_and_ed_3_a_list_under_the_operators_key_is_refused_by_name_and_holders_are_not_searched() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(Setup { site: airport(), ..Setup::on_disk(folder.path()) });
    let mut body = json!({ "gallery": "flight", "purpose": "boarding" });
    let answer = server.post_json("/v1/galleries", &body);
    assert_eq!(refused(&answer), ["EDPB_11_2024_SCENARIO_3"]);
    body["keys"] = json!("holders");
    server.post_json("/v1/galleries", &body).ok(201);
    let probe = json!({ "probe": image(&face(1)), "purpose": "boarding" });
    let answer = server.post_json("/v1/galleries/flight/identify", &probe);
    answer.problem(409, "IDENTIFY_NOT_POSSIBLE");
}

#[test]
fn ed_5_without_an_identity_check_there_is_no_biometric_check() {
    let server = at(SiteFacts { identity_check_required: false, ..airport() });
    assert_eq!(refused(&with_token(&server)), ["NO_IDENTITY_CHECK_REQUIRED"]);
}

#[test]
fn gdpr_5_a_gallery_is_searched_for_what_it_was_made_for_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let probe = |purpose: &str| json!({ "probe": image(&face(1)), "purpose": purpose });
    let path = "/v1/galleries/flight/identify";
    let made = Server::start(Setup::on_disk(folder.path()));
    made.post_json("/v1/galleries", &json!({ "gallery": "flight", "purpose": "boarding" })).ok(201);
    drop(made);
    let server = Server::start(Setup::on_disk(folder.path()));
    server.post_json(path, &probe("boarding")).ok(200);
    let codes = refused(&server.post_json(path, &probe("access-control")));
    assert_eq!(codes, ["PURPOSE_DIFFERS_FROM_GALLERY", "CROSS_GALLERY_SEARCH"]);
    drop(server);
    // Without its charter nobody knows; in the European Union that is not enough.
    std::fs::remove_file(folder.path().join("galleries/flight.charter")).expect("it was there");
    let union = SiteFacts { place: Place::Venue, ..airport() };
    let server = Server::start(Setup { site: union, ..Setup::on_disk(folder.path()) });
    let codes = refused(&server.post_json(path, &probe("access-control")));
    assert_eq!(codes, ["GALLERY_WITHOUT_PURPOSE"]);
}

#[test]
fn fv_7_while_the_window_is_open_nothing_is_read_or_changed_but_erasing_stays_open() {
    let site = SiteFacts { place: Place::Leisure, sealed: true, ..evaluation_desk() };
    let server = at(site);
    let body = json!({ "gallery": "guests", "purpose": "access-control" });
    assert_eq!(refused(&server.post_json("/v1/galleries", &body)), ["SEALED_WINDOW"]);
    let described = server.get("/v1/galleries/guests?purpose=access-control");
    assert_eq!(refused(&described), ["SEALED_WINDOW"]);
    let subject = "00".repeat(16);
    let path = format!("/v1/galleries/guests/subjects/{subject}?purpose=access-control");
    server.delete(&path).problem(404, "GALLERY_UNKNOWN");
}

#[test]
fn se_6_a_machine_erases_whom_it_sees_and_never_a_list() {
    let access = Access::Loopback(vec![caller(Role::Gate)]);
    let server = Server::start(Setup { access, ..Setup::default() });
    let group = json!({ "purpose": "boarding", "group": 893 });
    let entered = json!({ "by": "desk", "from": 0, "until": 9 });
    let entered = json!({ "purpose": "boarding", "entered": entered });
    for many in [group, entered] {
        let answer = server.post_json("/v1/galleries/flight/erase", &many);
        assert_eq!(refused(&answer), ["ROLE_NOT_PERMITTED"], "{many}");
    }
    let path = format!("/v1/galleries/flight/subjects/{}?purpose=boarding", "00".repeat(16));
    server.delete(&path).problem(404, "GALLERY_UNKNOWN");
}

#[test]
fn bsi_pad_and_doc_are_owed_at_a_gate_whatever_the_configuration_leaves_out() {
    let gate = SiteFacts { attended: false, place: Place::Border, ..evaluation_desk() };
    let decision = verify(&at(gate)).ok(200);
    assert_eq!(decision["outcome"], "refer");
    let codes = |decision: &Value| decision["reasons"][0]["code"].as_str().map(str::to_owned);
    assert_eq!(codes(&decision).as_deref(), Some("ATTACK_DETECTION_NOT_PERFORMED"));
    assert_eq!(verify(&at(evaluation_desk())).ok(200)["outcome"], "admit");
}

#[test]
fn nl_5_without_a_profile_it_says_that_it_is_an_evaluation_and_serves_no_list() {
    let server = Server::start(Setup::default());
    let told = String::from_utf8(server.get("/readyz").body).expect("text");
    assert!(told.contains("evaluation: no site.profile"), "{told}");
    let decision = verify(&server).ok(200);
    let reasons = decision["reasons"].as_array().expect("reasons");
    let last = reasons.last().expect("a reason");
    assert_eq!(
        (&reasons[0]["code"], &last["code"]),
        (&json!("ALL_REFERENCES_MATCH"), &json!("EVALUATION_ONLY"),)
    );
    let list = json!({ "gallery": "banned", "purpose": "watchlist" });
    let codes = refused(&server.post_json("/v1/galleries", &list));
    assert_eq!(codes, ["WATCHLIST_WITHOUT_STATUTE"]);
}

#[test]
fn a_deployers_own_rule_refuses_with_its_own_sentence() {
    let own = "@id(\"night\") @reason(\"CLOSED_AT_NIGHT\") @sentence(\"The gate is closed.\")\n\
               forbid (principal, action == Action::\"verify\", resource);";
    let own = vec![("night".to_owned(), own.to_owned())];
    let server = Server::start(Setup { own, ..Setup::default() });
    let answer = verify(&server);
    assert_eq!(refused(&answer), ["CLOSED_AT_NIGHT"]);
    let why = answer.json()["reasons"][0].clone();
    assert_eq!(why["sentences"]["nl"], "The gate is closed.");
    assert_eq!(why.get("article"), None);
}

#[test]
fn fv_11_no_staff_role_is_handed_a_template_an_image_or_candidates() {
    for role in [Role::Auditor, Role::DataProtectionOfficer, Role::Officer, Role::Operator] {
        let access = Access::Loopback(vec![caller(role)]);
        let server = Server::start(Setup { access, ..Setup::default() });
        let body = json!({ "image": image(&face(1))["image"], "purpose": "evaluation" });
        refused(&server.post_json("/v1/embed", &body));
    }
}
