//! Hits of a watchlist where watchlists are used: at a lane.

use std::fs;

use portcullis::{
    capture::runner::{LanePlan, SourcePlan},
    types::Hash256,
};
use serde_json::{Value, json};

use crate::{
    harness::face,
    site::{ask, entry, id, stadium_with},
};

const WAITING: &str = "/v1/hits?purpose=watchlist";

#[test]
fn ai_14_5_ai_12_3_a_hit_at_a_lane_bears_the_gates_own_name_and_waits_for_two_persons() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("1.png"), face(1)).expect("a photograph");
    let camera = LanePlan {
        name: "gate-1".parse().expect("a name"),
        source: SourcePlan::Directory { folder: folder.path().to_owned(), period_us: 50_000 },
        deadline_ms: 20_000,
        external_detector: None,
    };
    let server = stadium_with(vec![camera]);
    let enrol = "/v1/galleries/banned/subjects";
    ask(&server, "desk", "POST", enrol, &entry(&json!({}))).ok(201);
    let listed = || ask(&server, "bo-1", "GET", WAITING, &Value::Null).ok(200)["hits"].clone();
    assert_eq!(listed(), json!([]));
    let passage = json!({ "transactionId": id(7), "purpose": "watchlist", "gallery": "banned" });
    let gate = "/v1/lanes/gate-1/transactions";
    let told = ask(&server, "lane", "POST", gate, &passage).ok(200);
    assert_eq!((&told["outcome"], &told["state"]), (&json!("refer"), &json!("decided")));
    let hit = json!({
        "hit": id(7), "subject": id(1), "lane": "gate-1", "state": "pending", "verifiedBy": [],
    });
    assert_eq!(listed(), json!([hit]));
    for client in ["lane", "desk"] {
        ask(&server, client, "GET", WAITING, &Value::Null).problem(403, "FORBIDDEN");
    }
    let vote = |client: &str| {
        let body = json!({ "purpose": "watchlist", "vote": "confirm" });
        ask(&server, client, "POST", &format!("/v1/hits/{}/votes", id(7)), &body).ok(200)
    };
    assert_eq!(vote("anna-1")["state"], "pending");
    assert_eq!(vote("bo-1")["state"], "confirmed");
    assert_eq!(listed(), json!([]));
    let ledger = server.audit.as_ref().expect("the scene's audit");
    let entries = ledger.entries.lock().expect("no panic");
    let logged = entries.iter().find(|entry| entry.reasons == ["USE_LOGGED"]).expect("a use");
    let at = logged.at_lane.as_ref().expect("at a lane");
    assert_eq!((at.lane.as_str(), at.transaction.to_string()), ("gate-1", id(7)));
    let input = logged.used.as_ref().and_then(|used| used.matched_input);
    let shown = Hash256::of(&face(1));
    assert_eq!(input, Some(shown), "the picture as the camera gave it");
}
