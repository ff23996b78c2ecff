//! An act upon a gallery names it; a verification touches none unless it takes a reference from
//! one.

use crate::types::{Action, Asked, Reason};

pub(in crate::policy) const NOT_NAMED: Reason =
    Reason { code: "GALLERY_NOT_NAMED", text: "This is done in a gallery; name it." };

pub(in crate::policy) fn object(asked: &Asked) -> Option<Reason> {
    let needed = matches!(
        asked.action,
        Action::CreateGallery
            | Action::DeleteGallery
            | Action::DescribeGallery
            | Action::Enrol
            | Action::Erase
            | Action::EraseMany
            | Action::ExportGallery
            | Action::Identify
            | Action::Regroup
            | Action::Replace
            | Action::Restrict
            | Action::RotateKeys
    );
    (needed && asked.gallery.is_none()).then_some(NOT_NAMED)
}

#[cfg(test)]
mod tests {
    use super::{super::cases, *};
    use crate::types::Purpose;

    #[test]
    fn table() {
        let gallery = Some("kl-0893".parse().expect("a name"));
        for &action in cases::ACTIONS {
            let asked = cases::asked(action, Purpose::Boarding);
            let free = !matches!(
                action,
                Action::CreateGallery
                    | Action::DeleteGallery
                    | Action::DescribeGallery
                    | Action::Enrol
                    | Action::Erase
                    | Action::EraseMany
                    | Action::ExportGallery
                    | Action::Identify
                    | Action::Regroup
                    | Action::Replace
                    | Action::Restrict
                    | Action::RotateKeys
            );
            assert_eq!(object(&asked), (!free).then_some(NOT_NAMED), "{action:?}");
            let named = Asked { gallery: gallery.clone(), ..asked };
            assert_eq!(object(&named), None, "{action:?}");
        }
    }
}
