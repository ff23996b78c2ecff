//! The household case: one holder, one device, nobody else (GDPR Art. 2(2)(c)). Outside it the law
//! holds, so that nothing of a site may stand beside it: no lane, no caller from elsewhere, no
//! staff.

use super::site::SiteError;
use crate::{
    config::{Config, RoleName},
    keys::secret::Tokens,
    profile::{Profile, text::PlaceWord},
    types::Role,
};

/// Refuses the configuration of a site for a household's profile.
///
/// # Errors
/// [`SiteError::Household`].
pub(super) fn check(profile: &Profile, config: &Config) -> Result<(), SiteError> {
    if profile.place != PlaceWord::Household {
        return Ok(());
    }
    let refuse = |key, why| Err(SiteError::Household { key, why });
    if !config.server.listen.ip().is_loopback() {
        return refuse("server.listen", "a device of one's own is asked by nobody else: 127.0.0.1");
    }
    if !config.lane.is_empty() {
        return refuse("[[lane]]", "others pass a camera of a lane; leave it out");
    }
    if !config.person.is_empty() {
        return refuse("[[person]]", "a household has no staff; leave it out");
    }
    let is_holders = |role: &RoleName| matches!(role, RoleName::Administrator | RoleName::Gate);
    if !config.server.local_roles.iter().all(is_holders) {
        let why = "a household has no staff; the holder is [\"administrator\", \"gate\"]";
        return refuse("server.local_roles", why);
    }
    if config.server.tokens.as_os_str().is_empty() {
        return Ok(());
    }
    // Who calls a chosen site says so by a token, on loopback as well.
    let Ok(tokens) = Tokens::read(&config.server.tokens) else {
        return refuse("server.tokens", "the file does not tell who calls; mend it");
    };
    if !tokens.roles().all(|role| matches!(role, Role::Administrator | Role::Gate)) {
        let why = "a household has no staff; the holder is administrator and gate";
        return refuse("server.tokens", why);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nl_6_a_household_is_no_site_as_well() {
        let profile = Profile::shipped("device-unlock").expect("it comes with the appliance");
        let of = |more: &str| {
            let text = format!("[server]\nlocal_roles = [\"administrator\", \"gate\"]\n{more}");
            Config::parse(&text, "portcullis.toml").expect("a configuration")
        };
        assert!(check(&profile, &of("")).is_ok());
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            of(&format!("tokens = {:?}", path.display().to_string()))
        };
        let line =
            |hash: &str, role: &str| format!("{} {role} {role} 9999999999\n", hash.repeat(64));
        let holder = line("a", "administrator") + &line("b", "gate");
        assert!(check(&profile, &tokens("holder", &holder)).is_ok());
        let person = "[[person]]\nclient = \"desk\"\nperson = \"badge-1\"\ntraining = \"TR-1\"\n\
                      trained_until = \"2027-01-01\"";
        for (key, config) in [
            ("server.local_roles", Config::default()),
            ("server.listen", of("listen = \"192.0.2.1:8460\"")),
            ("[[lane]]", of("[[lane]]\nname = \"gate-1\"\nsource = \"http\"")),
            ("[[person]]", of(person)),
            ("server.tokens", tokens("staff", &(holder + &line("c", "operator")))),
            ("server.tokens", tokens("empty", "")),
        ] {
            let told = check(&profile, &config).expect_err(key).to_string();
            assert!(told.contains(key), "{key}: {told}");
            let residence = Profile::shipped("residence").expect("it comes with the appliance");
            assert!(check(&residence, &config).is_ok(), "{key} is a site's");
        }
    }
}
