//! What carries out requests, and how it is.

use super::{Answer, Refusal, Request, SiteDescription};
pub use crate::duty::strangers::Stranger;
use crate::types::TemplateKind;

/// How far the appliance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It answers.
    Ready,
    /// It answers, and not as it should: a gallery is not served, a lane has no frames, an engine
    /// was passed over; why, one line each.
    Degraded(Vec<String>),
    /// It does not answer now; why.
    NotReady(&'static str),
}

/// An engine at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineVersion {
    /// Name of the backend.
    pub backend: &'static str,
    /// Its device, in words.
    pub device: String,
    /// Backends that were preferred and failed, each with the reason.
    pub passed_over: Vec<(&'static str, String)>,
}

/// What runs, for `/v1/version` and for a report of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// What runs the networks now.
    pub networks: EngineVersion,
    /// What compares and searches now.
    pub search: EngineVersion,
    /// Model and calibration of templates.
    pub kind: TemplateKind,
    /// The data set that thresholds were measured on.
    pub basis: String,
    /// Whether a presentation attack detector is at work.
    pub attack_detection: bool,
}

/// What carries out requests. The appliance is one; a test may bring another.
pub trait Service: Send + Sync + 'static {
    /// Carries out `request`; blocks until it is answered.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was decided.
    fn execute(&self, request: Request) -> Result<Answer, Refusal>;

    /// Whether it would answer now.
    fn readiness(&self) -> Readiness;

    /// What runs.
    fn version(&self) -> Version;

    /// What it is used as; `None` without a profile.
    fn site(&self) -> Option<SiteDescription> {
        None
    }

    /// Hears of somebody who was turned away for want of a credential that counts.
    fn turned_away(&self, who: Stranger);

    /// Does what is due without being asked: erases what has expired. Called about once a minute.
    fn housekeep(&self);

    /// Brings the gauges up to date; called before they are read.
    fn measure(&self);
}
