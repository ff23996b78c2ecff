//! `portcullis document verify`: passive authentication over files, without an appliance.
//!
//! Exit code 0 for a valid document, 1 for one that is not (weak and unchecked ones too), 2 when
//! the question could not be asked. Nothing about the holder is printed.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use der::DateTime;
use serde::Serialize;

use super::{Ended, Failure, Outcome, Scene, local, tell::Tell};
use crate::{
    appliance::trust::trust_store,
    document::authentication::{
        Authentication, DocumentFiles, Revocation, Signer, StoreSummary, TrustStore, authenticate,
    },
    time::{Clock, SystemClock},
    types::{Authenticity, Weakness},
};

/// Files and options.
#[derive(Args)]
pub(super) struct Arguments {
    /// EF.DG2.
    #[arg(long, value_name = "FILE")]
    dg2: PathBuf,
    /// EF.SOD of the same chip.
    #[arg(long, value_name = "FILE")]
    sod: PathBuf,
    /// EF.DG1 of the same chip; its issuing state must be the one that signed.
    #[arg(long, value_name = "FILE")]
    dg1: Option<PathBuf>,
    /// Country certificates: a file or folder of PEM, DER, master lists, LDIF. Without it,
    /// documents.trust_store of the configuration.
    #[arg(long, value_name = "PATH")]
    csca: Vec<PathBuf>,
    /// Revocation lists: a file or folder.
    #[arg(long, value_name = "PATH")]
    crl: Vec<PathBuf>,
    /// The day to judge by, as YYYY-MM-DD at noon UTC; without it, now.
    #[arg(long, value_name = "DATE", value_parser = noon_s)]
    at: Option<i64>,
}

pub(super) fn run(arguments: &Arguments, scene: &Scene<'_>) -> Outcome {
    let store = store(arguments, scene)?;
    let (dg2, sod) = (local::file(&arguments.dg2)?, local::file(&arguments.sod)?);
    let dg1 = arguments.dg1.as_deref().map(local::file).transpose()?;
    let now_s = arguments.at.unwrap_or_else(|| SystemClock::start().civil_s());
    let files = DocumentFiles {
        sod: Some(sod.bytes()),
        dg1: dg1.as_ref().map(|file| file.bytes()),
        dg2: dg2.bytes(),
    };
    let found = authenticate(files, &store, now_s);
    let report = Report::of(&found, &store.summary(now_s));
    if scene.tell.json {
        scene.tell.document(&report);
    } else {
        tell_report(&found, &report, scene.tell);
    }
    Ok(if found.verdict == Authenticity::Valid { Ended::Done } else { Ended::NoMatch })
}

fn store(arguments: &Arguments, scene: &Scene<'_>) -> Result<TrustStore, Failure> {
    let configured = [scene.config.documents.trust_store.clone()];
    let named = if arguments.csca.is_empty() { &configured[..] } else { &arguments.csca };
    let paths = named.iter().chain(&arguments.crl).map(PathBuf::as_path);
    let store = trust_store(paths)?;
    if store.is_empty() {
        let held = store.summary(0).refused;
        return Err(Failure::new(format!(
            "no country certificate to trust: name one with --csca or documents.trust_store ({} \
             files' certificates were not usable, {} had nothing trusted behind them)",
            held.unusable, held.unlinked
        )));
    }
    Ok(store)
}

#[derive(Serialize)]
struct Report {
    verdict: &'static str,
    reason: Option<&'static str>,
    weaknesses: Vec<&'static str>,
    signer: Option<SignerReport>,
    trusted_certificates: usize,
    revocation_lists: usize,
}

#[derive(Serialize)]
struct SignerReport {
    country: Option<String>,
    certificate_ends: String,
    signed: Option<String>,
    revocation: &'static str,
    country_compared: bool,
    data_groups: Vec<u8>,
}

impl Report {
    fn of(found: &Authentication, store: &StoreSummary) -> Self {
        let code = |weakness: Weakness| weakness.reason().0;
        Self {
            verdict: found.verdict.name(),
            reason: found.verdict.code(),
            weaknesses: found.verdict.weaknesses().iter().map(code).collect(),
            signer: found.signer.as_ref().map(SignerReport::of),
            trusted_certificates: store.anchors,
            revocation_lists: store.lists,
        }
    }
}

impl SignerReport {
    fn of(signer: &Signer) -> Self {
        Self {
            country: signer.country.map(|letters| letters.map(char::from).iter().collect()),
            certificate_ends: day(signer.not_after_s),
            signed: signer.signed_s.map(day),
            revocation: match signer.revocation {
                Revocation::Unknown => "no revocation list of the issuer",
                Revocation::NotRevoked => "not revoked",
                Revocation::NotRevokedStale => "not revoked by a list past its next update",
                Revocation::Unusable => "not named by a list that says more than is understood",
                Revocation::Revoked => "revoked",
            },
            country_compared: signer.country_compared,
            data_groups: signer.data_groups.clone(),
        }
    }
}

fn tell_report(found: &Authentication, report: &Report, tell: Tell) {
    tell.line(found.verdict.to_string());
    if let Some((_, text)) = found.verdict.reason() {
        tell.line(format!("  {text}"));
    }
    for weakness in found.verdict.weaknesses().iter() {
        tell.line(format!("  weak: {}", weakness.reason().1));
    }
    if let Some(signer) = &report.signer {
        let country = signer.country.as_deref().unwrap_or("no country");
        tell.line(format!("  signer of {country}, certificate until {}", signer.certificate_ends));
        tell.line(format!("  {}", signer.revocation));
        let groups: Vec<_> = signer.data_groups.iter().map(ToString::to_string).collect();
        tell.line(format!("  signed data groups {}", groups.join(", ")));
        if !signer.country_compared {
            tell.line("  without EF.DG1 the issuing state was not compared with the signer's");
        }
    }
}

/// Noon of a day, in seconds since 1970.
fn noon_s(text: &str) -> Result<i64, String> {
    let numbers: Vec<u16> = text.split('-').map_while(|part| part.parse().ok()).collect();
    let [year, month, day] = numbers[..] else { return Err("write it as 2026-11-22".into()) };
    let small = |number: u16| u8::try_from(number).unwrap_or(u8::MAX);
    let noon = DateTime::new(year, small(month), small(day), 12, 0, 0);
    let noon = noon.map_err(|_| "no such day from 1970 on".to_owned())?;
    i64::try_from(noon.unix_duration().as_secs()).map_err(|error| error.to_string())
}

/// The day in which a second falls, as `noon_s` reads it.
pub(super) fn day(at_s: i64) -> String {
    let since = Duration::from_secs(u64::try_from(at_s).unwrap_or(0));
    let text = DateTime::from_unix_duration(since).map(|held| held.to_string());
    text.map_or_else(|_| "beyond 9999".into(), |text| text.chars().take(10).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_as_it_is_written() {
        assert_eq!(noon_s("2026-11-22"), Ok(1_795_348_800));
        assert_eq!(day(1_795_348_800), "2026-11-22");
        for wrong in ["2026-11", "2026-13-01", "2026-02-30", "22.11.2026", "1969-01-01", ""] {
            assert!(noon_s(wrong).is_err(), "{wrong}");
        }
    }
}
