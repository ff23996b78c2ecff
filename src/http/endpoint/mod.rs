//! One handler per file; each turns a request into a command and its answer into a document.

pub(super) mod activate_site;
pub(super) mod assess_site;
pub(super) mod cancel_transaction;
pub(super) mod create_gallery;
pub(super) mod delete_gallery;
pub(super) mod describe_gallery;
pub(super) mod describe_site;
pub(super) mod display_texts;
pub(super) mod embed;
pub(super) mod enrol;
pub(super) mod enrol_holder;
pub(super) mod erase;
pub(super) mod erase_selected;
pub(super) mod export_subject;
pub(super) mod give_consent;
pub(super) mod identify;
pub(super) mod issue_token;
pub(super) mod list_affected;
pub(super) mod list_hits;
pub(super) mod livez;
pub(super) mod metrics;
pub(super) mod object;
pub(super) mod open_transaction;
pub(super) mod openapi;
pub(super) mod override_transaction;
pub(super) mod push_frame;
pub(super) mod read_hit;
pub(super) mod read_transaction;
pub(super) mod readyz;
pub(super) mod regroup;
pub(super) mod replace;
pub(super) mod restrict;
pub(super) mod startupz;
pub(super) mod traveller_left;
pub(super) mod verify;
pub(super) mod version;
pub(super) mod vote_on_hit;
pub(super) mod watch_transaction;
pub(super) mod withdraw_consent;

use axum::{extract::FromRequestParts, http::request::Parts};

use super::{Api, body, problem::Problem, request::PurposeName};
use crate::types::{Caller, Purpose};

/// A request without a body: who, why, until when.
#[derive(Debug)]
pub(super) struct Errand {
    callers: Vec<Caller>,
    purpose: Purpose,
    deadline_ms: Option<u64>,
}

struct ErrandQuery {
    purpose: Option<String>,
}

impl FromRequestParts<Api> for Errand {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<Self, Problem> {
        let query: ErrandQuery = query(parts.uri.query().unwrap_or_default())?;
        Ok(Self {
            callers: body::callers(&parts.extensions)?,
            purpose: PurposeName::parse(query.purpose.as_deref())?.into(),
            deadline_ms: body::deadline_ms(&parts.headers)?,
        })
    }
}

/// Parses `purpose=…`; anything else is refused. Names of purposes need no percent-encoding.
fn query(text: &str) -> Result<ErrandQuery, Problem> {
    let mut purpose = None;
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("purpose", value)) if purpose.is_none() => purpose = Some(value.to_owned()),
            Some(_) | None => {
                let detail = "the query takes one `purpose`, such as ?purpose=border-control";
                return Err(Problem::new("FIELD_INVALID", detail));
            }
        }
    }
    Ok(ErrandQuery { purpose })
}
