//! What an act may be for. A watchlist is searched; nobody is verified for one, because a claim to
//! be on a list is not something that a traveller makes, and nobody carries a token of one.

use crate::types::{Action, Asked, Purpose, Reason};

const NOT_FOR_ACTION: Reason = Reason {
    code: "PURPOSE_NOT_PERMITTED",
    text: "This may not be done for this purpose; state the purpose of the check itself.",
};

pub(in crate::policy) fn object(asked: &Asked) -> Option<Reason> {
    let permitted = match (asked.action, asked.purpose) {
        (Action::IssueToken | Action::Verify, Purpose::Watchlist) => false,
        (
            Action::CreateGallery
            | Action::DeleteGallery
            | Action::DescribeGallery
            | Action::Embed
            | Action::Enrol
            | Action::Erase
            | Action::ExportGallery
            | Action::FollowTransaction
            | Action::Identify
            | Action::IssueToken
            | Action::PushFrame
            | Action::Regroup
            | Action::Replace
            | Action::Restrict
            | Action::RotateKeys
            | Action::Verify,
            Purpose::AccessControl
            | Purpose::Boarding
            | Purpose::BorderControl
            | Purpose::Evaluation
            | Purpose::Watchlist,
        ) => true,
    };
    (!permitted).then_some(NOT_FOR_ACTION)
}

#[cfg(test)]
mod tests {
    use super::{super::cases, *};

    #[test]
    fn table() {
        for action in cases::ACTIONS {
            for purpose in cases::PURPOSES {
                let carried = matches!(action, Action::IssueToken | Action::Verify);
                let refused = carried && purpose == Purpose::Watchlist;
                let expected = refused.then_some(NOT_FOR_ACTION);
                assert_eq!(object(&cases::asked(action, purpose)), expected);
            }
        }
    }
}
