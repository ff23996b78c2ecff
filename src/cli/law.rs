//! `portcullis law`: the texts in force, as a page for people; with the deployer's own, checked.

use super::{Ended, Outcome, Scene};
use crate::{
    appliance::{law, own_texts},
    policy::page,
};

pub(super) fn run(scene: &Scene<'_>) -> Outcome {
    let law = law(&own_texts(&scene.config.policy.own_texts)?)?;
    if !scene.tell.json {
        scene.tell.raw(&page(&law)?);
        return Ok(Ended::Done);
    }
    let rules = law.rules().iter().map(|rule| {
        let owed: Vec<&str> = rule.owed.iter().map(|duty| duty.name()).collect();
        serde_json::json!({
            "rule": rule.id,
            "file": rule.file,
            "source": rule.source,
            "article": rule.article,
            "reason": rule.reason.map(|reason| reason.code),
            "obligations": owed,
            "rows": rule.rows,
        })
    });
    scene.tell.document(&rules.collect::<Vec<_>>());
    Ok(Ended::Done)
}
