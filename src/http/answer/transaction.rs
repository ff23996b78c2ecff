//! What is told of a lane's transaction. It may be shown to the traveller: no score, no attack
//! result, no reason that would tell of one. Those are in the audit.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::OutcomeName;
use crate::command::{Display, DisplayText, Ended, Standing};

/// How far a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TransactionState {
    /// Frames are judged.
    Open,
    /// A frame, or what it was compared with, decided.
    Decided,
    /// The time was up.
    TimedOut,
    /// The gate cancelled it.
    Cancelled,
    /// The traveller left.
    Left,
    /// The appliance stopped or restarted before it was decided.
    Interrupted,
}

/// What a display says: the key of a text, see `GET /v1/display-texts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DisplayName {
    /// No face is seen yet.
    LookAtCamera,
    /// Several people stand there.
    OnePerson,
    /// Too far away.
    ComeCloser,
    /// Beside the middle.
    StandInMiddle,
    /// Blurred, badly lit, turned away; or more frames are being compared.
    HoldStill,
    /// Admitted.
    GoAhead,
    /// Referred, for whatever reason.
    AskOfficer,
}

/// How a transaction of a lane stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionAnswer {
    /// The gate's id of it; its end is in the audit under this name.
    pub transaction_id: String,
    /// Where.
    pub lane: String,
    /// How far it is.
    pub state: TransactionState,
    /// What the gate does; null while it is open. Everything but `admit` keeps the gate shut.
    pub outcome: Option<OutcomeName>,
    /// What a display says. With `retry` it is what the traveller should do differently.
    pub display: DisplayName,
    /// Which attempt of the same traveller it is, from 1.
    pub attempt: u8,
}

/// What every display can say, in every language that ships.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DisplayTextsAnswer {
    /// One entry for each key.
    pub displays: Vec<DisplayTextAnswer>,
}

/// What one key says.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DisplayTextAnswer {
    /// The key.
    pub key: String,
    /// Its text by language (BCP 47).
    pub texts: BTreeMap<String, String>,
}

impl From<Option<Ended>> for TransactionState {
    fn from(ended: Option<Ended>) -> Self {
        match ended {
            None => Self::Open,
            Some(Ended::Decided) => Self::Decided,
            Some(Ended::TimedOut) => Self::TimedOut,
            Some(Ended::Cancelled) => Self::Cancelled,
            Some(Ended::Left) => Self::Left,
            Some(Ended::Interrupted) => Self::Interrupted,
        }
    }
}

impl From<Display> for DisplayName {
    fn from(display: Display) -> Self {
        match display {
            Display::LookAtCamera => Self::LookAtCamera,
            Display::OnePerson => Self::OnePerson,
            Display::ComeCloser => Self::ComeCloser,
            Display::StandInMiddle => Self::StandInMiddle,
            Display::HoldStill => Self::HoldStill,
            Display::GoAhead => Self::GoAhead,
            Display::AskOfficer => Self::AskOfficer,
        }
    }
}

impl From<&Standing> for TransactionAnswer {
    fn from(standing: &Standing) -> Self {
        Self {
            transaction_id: standing.transaction.to_string(),
            lane: standing.lane.to_string(),
            state: standing.ended.into(),
            outcome: standing.outcome.map(OutcomeName::from),
            display: standing.display.into(),
            attempt: standing.attempt,
        }
    }
}

impl DisplayTextsAnswer {
    /// The table as it ships.
    #[must_use]
    pub fn of(table: Vec<DisplayText>) -> Self {
        let told = |DisplayText { key, texts }| DisplayTextAnswer { key, texts };
        Self { displays: table.into_iter().map(told).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Outcome, TransactionId};

    #[test]
    fn names_on_the_wire_are_the_keys() {
        for display in Display::ALL {
            let name = serde_json::to_value(DisplayName::from(display)).expect("JSON");
            assert_eq!(name, display.key());
        }
        for ended in Ended::ALL {
            let name = serde_json::to_value(TransactionState::from(Some(ended))).expect("JSON");
            assert_eq!(name, ended.name());
        }
    }

    #[test]
    fn a_traveller_learns_neither_a_score_nor_an_attack_result() {
        let standing = Standing {
            transaction: TransactionId::from_bytes([7; 16]),
            lane: "gate-1".parse().expect("a name"),
            attempt: 1,
            retry_of: None,
            ended: Some(Ended::Decided),
            outcome: Some(Outcome::Refer),
            display: Display::AskOfficer,
        };
        let told = serde_json::to_value(TransactionAnswer::from(&standing)).expect("JSON");
        let mut keys: Vec<&str> =
            told.as_object().expect("an object").keys().map(String::as_str).collect();
        keys.sort_unstable();
        let known = ["attempt", "display", "lane", "outcome", "state", "transactionId"];
        assert_eq!(keys, known, "a new key needs a look: a passenger may read it");
    }
}
