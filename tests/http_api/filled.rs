//! Profiles that come with the appliance, filled in as a deployer does.

use portcullis::{
    config::PersonKeys,
    profile::{Profile, SHIPPED},
};

use crate::harness::UsedAs;

/// A profile that comes with the appliance, with everything filled in that a deployer fills in.
fn complete(name: &str) -> Profile {
    let (_, text) = SHIPPED.iter().find(|(held, _)| *held == name).expect("it is shipped");
    let mut filled = String::new();
    for line in text.lines() {
        let key = line.split('=').next().unwrap_or_default().trim();
        let value = match key {
            "webhook" | "image_basis" | "two_person_exemption" => None,
            "date" | "signage_attested_on" => Some("\"2026-01-15\""),
            "consent_texts" => {
                Some("[\"abababababababababababababababababababababababababababababababab\"]")
            }
            "owners" => Some("100"),
            "approving" => Some("51"),
            _ if line.ends_with("= \"\"") => Some("\"reference 7\""),
            _ => None,
        };
        match value {
            Some(value) => filled.push_str(&format!("{key} = {value}\n")),
            None => filled.push_str(&format!("{line}\n")),
        }
        if key == "fnir_ppm_max" && !line.ends_with("= 0") {
            filled.push_str("fnir_ppm_measured = 1000\n");
        }
    }
    Profile::parse(&filled, name).expect("a profile")
}

/// The same as what an appliance is used as, in memory, by a person whose training counts.
pub(crate) fn used_as(name: &str) -> UsedAs {
    let trained = PersonKeys {
        client: "test".into(),
        person: "badge-0".into(),
        training: "TR-1".into(),
        trained_until: "2999-01-01".into(),
    };
    UsedAs { profile: complete(name), people: vec![trained], folder: None }
}
