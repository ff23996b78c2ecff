//! Who may do what. Deny by default: what is not in the table is refused.

use crate::types::{Action, Asked, Reason, Role};

const NOT_PERMITTED: Reason = Reason {
    code: "ROLE_NOT_PERMITTED",
    text: "This role may not do this; ask the administrator for a credential that may.",
};

pub(in crate::policy) fn object(asked: &Asked) -> Option<Reason> {
    (!permits(asked.caller.role, asked.action)).then_some(NOT_PERMITTED)
}

fn permits(role: Role, action: Action) -> bool {
    let permitted: &[Action] = match role {
        Role::Administrator => &[
            Action::CreateGallery,
            Action::DeleteGallery,
            Action::DescribeGallery,
            Action::Embed,
            Action::Verify,
        ],
        Role::Auditor => &[Action::DescribeGallery],
        Role::DataProtectionOfficer => &[Action::DescribeGallery, Action::Restrict],
        Role::Gate => {
            &[Action::FollowTransaction, Action::Identify, Action::PushFrame, Action::Verify]
        }
        Role::Officer => &[Action::FollowTransaction, Action::Identify, Action::Verify],
        Role::Operator => &[
            Action::CreateGallery,
            Action::DeleteGallery,
            Action::DescribeGallery,
            Action::Enrol,
            Action::Erase,
            Action::IssueToken,
            Action::Regroup,
            Action::Replace,
            Action::Restrict,
        ],
    };
    permitted.contains(&action)
}

#[cfg(test)]
mod tests {
    use super::{super::cases, *};
    use crate::types::{Caller, Purpose};

    /// One row per role; columns in the order of `cases::ACTIONS`: create, delete, describe, embed,
    /// enrol, erase, export, follow, identify, issue a token, push a frame, regroup, replace,
    /// restrict, rotate keys, verify. Exporting and rotating are done offline, by whoever holds the
    /// keys: no role may ask
    /// for them.
    const TABLE: [(Role, [u8; 16]); 6] = [
        (Role::Administrator, [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        (Role::Auditor, [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (Role::DataProtectionOfficer, [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]),
        (Role::Gate, [0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 1]),
        (Role::Officer, [0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1]),
        (Role::Operator, [1, 1, 1, 0, 1, 1, 0, 0, 0, 1, 0, 1, 1, 1, 0, 0]),
    ];

    #[test]
    fn table() {
        assert_eq!(TABLE.map(|(role, _)| role), cases::ROLES);
        for (role, row) in TABLE {
            for (action, allowed) in cases::ACTIONS.into_iter().zip(row) {
                let asked = cases::asked(action, Purpose::Boarding);
                let asked = Asked { caller: Caller { role, ..asked.caller }, ..asked };
                let expected = (allowed == 0).then_some(NOT_PERMITTED);
                assert_eq!(object(&asked), expected, "{role:?} {action:?}");
            }
        }
    }
}
