//! `law`: what a decision of the law as text costs, with every text and a full description of the
//! site loaded. Asked before anything is computed, once for each request.

use std::{hint::black_box, io, sync::Arc};

use clap::Args;
use portcullis::{
    appliance::{evaluation_desk, law},
    policy::Standing,
    types::{
        Action, Age, Asked, Caller, CallerFact, Circumstances, ConsentFact, ExemptionFact,
        GalleryFact, Permission, PersonFact, Provenance, Purpose, Region, Relation, Role, Storage,
        UseOf,
    },
};

use crate::spent::{Measured, nanoseconds};

/// What the README promises of the slowest act.
const P99_MS_MAX: f64 = 0.300;

/// Options of `law`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Decisions per act.
    #[arg(long, default_value_t = 5_000)]
    rounds: usize,
    /// A few decisions only: proves that the measurement works.
    #[arg(long)]
    smoke: bool,
}

/// Everything that a request can be about, with which nothing is wrong.
fn about(purpose: Purpose) -> Circumstances {
    Circumstances {
        caller: CallerFact::default(),
        gallery: Some(GalleryFact {
            purpose: Some(purpose),
            storage: Storage::OperatorKey,
            provenance: Provenance::EnrolledHere,
            subjects: (10_000, 100_000),
            entry_grounded: true,
        }),
        person: Some(PersonFact {
            age: Age::Adult,
            relation: Relation::Independent,
            informed: true,
            alternative_live: true,
            card: true,
            carried: true,
            one_person: true,
            third_country: false,
            second_reference: false,
            one_claim: true,
        }),
        consent: Some(ConsentFact {
            recorded: true,
            affirmative: true,
            alternative_offered: true,
            face_alone: true,
            bundled: false,
            conditional: false,
            blanket: false,
            guardian: false,
            withdrawn: false,
        }),
        exemption: Some(ExemptionFact { grounded: true, current: true }),
        use_of: UseOf::Recognition,
    }
}

/// Runs the measurement; true when the promise holds, or none is asked for.
///
/// # Errors
/// When the law cannot be applied, or does not grant what it should: a wrong answer has no speed.
pub(crate) fn run(options: &Options) -> io::Result<bool> {
    let rounds = if options.smoke { 20 } else { options.rounds.max(100) };
    let mut read = Err(io::Error::other("not read"));
    let texts_us = nanoseconds(|| read = law(&[]).map_err(io::Error::other)) / 1_000;
    let law = read?;
    let mut site = evaluation_desk();
    site.region = Region::China; // where consent, exemption and age are all asked about
    let mut standing = Err(io::Error::other("not made"));
    let site_us = nanoseconds(|| {
        standing = Standing::new(Arc::clone(&law), &site).map_err(io::Error::other);
    }) / 1_000;
    let standing = standing?;
    println!(
        "law, {} rules: read and held against their cases in {:.0} ms; a site in {site_us} µs",
        law.rules().len(),
        texts_us as f64 / 1e3,
    );
    println!("  {:<10} {:<15} {:>9} {:>9}", "act", "by", "p50 µs", "p99 µs");
    let mut worst_ms = 0.0_f64;
    for (role, action, purpose) in [
        (Role::Gate, Action::Verify, Purpose::BorderControl),
        (Role::Gate, Action::Identify, Purpose::Boarding),
        (Role::Operator, Action::Enrol, Purpose::Boarding),
        (Role::Operator, Action::IssueToken, Purpose::Boarding),
        (Role::Gate, Action::PushFrame, Purpose::BorderControl),
        (Role::Auditor, Action::Verify, Purpose::BorderControl), // refused
    ] {
        let client = "gate-1".parse().map_err(io::Error::other)?;
        let gallery = Some("kl-0893".parse().map_err(io::Error::other)?);
        let asked = Asked {
            caller: Caller { role, client },
            action,
            purpose,
            gallery,
            at_lane: None,
            subject: None,
        };
        let about = about(purpose);
        let granted = matches!(standing.authorise(&asked, &about), Permission::Granted(_));
        if granted == (role == Role::Auditor) {
            let told = standing.authorise(&asked, &about);
            return Err(io::Error::other(format!("{role:?} {action:?}: {told:?}")));
        }
        let mut spent = Measured::default();
        let decide = || drop(black_box(standing.authorise(black_box(&asked), black_box(&about))));
        spent.extend((0..rounds).map(|_| nanoseconds(decide)).collect::<Vec<_>>());
        let (p50, p99) = (spent.median_ms(), spent.percentile_ms(99));
        worst_ms = worst_ms.max(p99);
        let (act, by) = (action.name(), format!("{role:?}"));
        println!("  {act:<10} {by:<15} {:>9.1} {:>9.1}", p50 * 1e3, p99 * 1e3);
    }
    println!("  promised: p99 of every act at most {:.0} µs", P99_MS_MAX * 1e3);
    Ok(options.smoke || worst_ms <= P99_MS_MAX)
}
