//! `portcullis site …`: what an appliance can be used as, what a profile still lacks, and the steps
//! of a deployment.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Ended, Failure, Outcome, Scene,
    client::{Address, Client},
    local,
};
use crate::{
    appliance::site::profile,
    http::request::PurposeName,
    profile::{Profile, SHIPPED},
};

/// What to do.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// List the profiles that come with the appliance; with a name, print that one, to be filled
    /// in.
    Profiles(ProfilesArguments),
    /// Tell what a profile still lacks before it can be assessed; exit code 1 when it lacks
    /// anything.
    Check(CheckArguments),
    /// Tell how far the site of a running appliance is.
    Show(Address),
    /// Record that the site of a running appliance was assessed, as it is configured now.
    Assess(Address),
    /// Put the assessed site of a running appliance into use.
    Activate(Address),
}

/// Which profile.
#[derive(Args)]
pub(super) struct ProfilesArguments {
    /// Name of a profile, such as egate-passport.
    name: Option<String>,
}

/// Which profile.
#[derive(Args)]
pub(super) struct CheckArguments {
    /// File of the profile, or a name; without it, the configured one (site.profile).
    profile: Option<PathBuf>,
}

pub(super) fn run(verb: &Verb, scene: &Scene<'_>) -> Outcome {
    match verb {
        Verb::Profiles(arguments) => profiles(arguments, scene),
        Verb::Check(arguments) => check(arguments, scene),
        Verb::Show(address) => {
            let client = Client::new(address, &scene.config)?;
            told(&client.get("/v1/site")?, scene)
        }
        Verb::Assess(address) => step(address, "/v1/site/assessment", scene),
        Verb::Activate(address) => step(address, "/v1/site/activation", scene),
    }
}

fn profiles(arguments: &ProfilesArguments, scene: &Scene<'_>) -> Outcome {
    let tell = scene.tell;
    if let Some(name) = &arguments.name {
        let found = SHIPPED.iter().find(|(held, _)| held == name);
        let Some((_, text)) = found else {
            return Err(Profile::shipped(name)
                .err()
                .map_or_else(|| Failure::new("no such profile"), Failure::from));
        };
        tell.raw(text);
        return Ok(Ended::Done);
    }
    let mut rows = Vec::new();
    for (name, _) in SHIPPED {
        rows.push(json!({ "profile": name, "title": Profile::shipped(name)?.title }));
    }
    if tell.json {
        tell.document(&rows);
        return Ok(Ended::Done);
    }
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        tell.line(format!("{:20} {}", text("profile"), text("title")));
    }
    Ok(Ended::Done)
}

fn check(arguments: &CheckArguments, scene: &Scene<'_>) -> Outcome {
    let named = arguments.profile.as_ref().unwrap_or(&scene.config.site.profile);
    if named.as_os_str().is_empty() {
        return Err(Failure::new("name a profile's file, or set site.profile"));
    }
    let held = profile(named)?;
    let faults: Vec<String> =
        held.faults(local::world().clock.civil_s()).iter().map(ToString::to_string).collect();
    let tell = scene.tell;
    if tell.json {
        tell.document(&json!({ "profile": held.name, "missing": faults }));
    } else if faults.is_empty() {
        tell.line(format!("{} is complete: it can be assessed", held.name));
    } else {
        faults.iter().for_each(|fault| tell.line(fault));
    }
    Ok(if faults.is_empty() { Ended::Done } else { Ended::NoMatch })
}

fn step(address: &Address, path: &str, scene: &Scene<'_>) -> Outcome {
    let named = &scene.config.site.profile;
    let purpose = PurposeName::from(profile(named)?.purpose());
    let client = Client::new(address, &scene.config)?;
    told(&client.post_json(path, &json!({ "purpose": purpose }))?, scene)
}

fn told(site: &Value, scene: &Scene<'_>) -> Outcome {
    let tell = scene.tell;
    if tell.json {
        tell.document(site);
        return Ok(Ended::Done);
    }
    let text = |key: &str| site[key].as_str().unwrap_or_default().to_owned();
    tell.line(format!("{}: {}", text("profile"), text("stage")));
    for fault in site["missing"].as_array().into_iter().flatten() {
        tell.line(format!("  {}", fault.as_str().unwrap_or_default()));
    }
    Ok(Ended::Done)
}
