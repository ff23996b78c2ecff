//! What keeps galleries and their keys: folders, custodian, core dumps. Nothing is made by looking.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use super::{Config, Finding};
use crate::{
    appliance::keeping,
    config::{CustodianName, Environment},
    keys::process,
    random::SystemEntropy,
};

pub(super) fn look(config: &Config, environment: &Environment, findings: &mut Vec<Finding>) {
    let core = process::exposure().map_err(|error| error.to_string()).and_then(|held| {
        if held.is_none() {
            Ok("off, and other processes of this user are kept out".to_owned())
        } else {
            Err("this process could be dumped or read by others of its user".to_owned())
        }
    });
    findings.push(Finding::new("memory", "core dumps", core));
    match config.gallery.custodian {
        CustodianName::Memory => {
            let told = "galleries and keys live in memory, and end with the process".to_owned();
            findings.push(Finding::new("custodian", "memory", Ok(told)));
        }
        CustodianName::File => {
            folder("gallery", keeping::gallery_folder(config, environment), 0o022, findings);
            folder("custodian", keeping::key_folder(config, environment), 0o077, findings);
            together(config, environment, findings);
        }
        CustodianName::Pkcs11 => {
            folder("gallery", keeping::gallery_folder(config, environment), 0o022, findings);
            let opened = keeping::custodian(config, environment, Arc::new(SystemEntropy));
            let state = opened.map(|custodian| custodian.describe().place);
            let state = state.map_err(|error| error.to_string());
            findings.push(Finding::new("custodian", config.gallery.pkcs11_token.clone(), state));
        }
    }
}

/// Whether `found` could be used, and whether its mode lets others do what they must not.
fn folder(
    topic: &'static str,
    found: Result<std::path::PathBuf, crate::config::ConfigError>,
    others: u32,
    findings: &mut Vec<Finding>,
) {
    let (name, state) = match found {
        Ok(path) => (path.display().to_string(), usable(&path, others)),
        Err(error) => (topic.to_owned(), Err(error.to_string())),
    };
    findings.push(Finding::new(topic, name, state));
}

fn usable(path: &Path, others: u32) -> Result<String, String> {
    let held = match fs::metadata(path) {
        Ok(held) if !held.is_dir() => return Err("is no folder".to_owned()),
        Ok(held) => held,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok("will be made, for this user alone".to_owned());
        }
        Err(error) => return Err(error.to_string()),
    };
    let mode = held.permissions().mode() & 0o777;
    if mode & others != 0 {
        return Err(format!("mode {mode:04o} lets others in; `chmod 700` it, and ask who was"));
    }
    Ok(format!("mode {mode:04o}"))
}

/// Keys beside the galleries that they open are copied with them.
fn together(config: &Config, environment: &Environment, findings: &mut Vec<Finding>) {
    let galleries = keeping::gallery_folder(config, environment);
    let keys = keeping::key_folder(config, environment);
    let (Ok(galleries), Ok(keys)) = (galleries, keys) else { return };
    let state = if keys.parent() == galleries.parent() {
        Err("beside the galleries: one backup would hold both; set gallery.key_directory to another \
             medium, or leave the keys out of backups"
            .to_owned())
    } else {
        Ok("apart from the galleries".to_owned())
    };
    findings.push(Finding::new("keys", "place", state));
}
