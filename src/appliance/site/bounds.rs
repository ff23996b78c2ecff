//! What a site is there for, as its profile bounds it: purpose, lanes, pictures.

use super::Site;
use crate::{
    appliance::Appliance,
    command::{Command, Given, LaneCommand, Request},
    limits::REFERENCES_PER_SUBJECT_MAX,
    policy::ZONE_NOT_FOR_MATCHING,
    types::{ConsentFact, Reason},
};

const OTHER_PURPOSE: Reason = Reason {
    code: "PURPOSE_NOT_PERMITTED",
    text: "The site was assessed for another purpose; nothing else is done here.",
};

impl Site {
    /// What the law is told of `given`: one in no language of the notices, or under another text
    /// than the site's, is no record of what the person agreed to.
    pub(super) fn judged(&self, fact: ConsentFact, given: &Given) -> ConsentFact {
        let is_shown = self.profile.shows(&given.language, &given.text_hash);
        ConsentFact { recorded: fact.recorded && is_shown, ..fact }
    }
}

impl Appliance {
    /// Whether the site is there for what the request names, and at the lane where it would be
    /// done.
    pub(in crate::appliance) fn is_for(&self, request: &Request) -> Result<(), Reason> {
        let Some(site) = &self.site else { return Ok(()) };
        if site.profile.purpose() != request.purpose {
            return Err(OTHER_PURPOSE);
        }
        let zones = &site.profile.capture.match_zones;
        match &request.command {
            Command::Lane { at, command: LaneCommand::Open { .. } }
                if !zones.is_empty() && !zones.iter().any(|zone| zone == at.lane.as_str()) =>
            {
                Err(ZONE_NOT_FOR_MATCHING)
            }
            _ => Ok(()),
        }
    }

    /// Pictures of one person that an enrolment may bring.
    pub(in crate::appliance) fn images_max(&self) -> usize {
        let most = self.site.as_ref().map_or(0, |site| site.profile.capture.series_frames_max);
        match most as usize {
            0 => REFERENCES_PER_SUBJECT_MAX,
            most => most.min(REFERENCES_PER_SUBJECT_MAX),
        }
    }
}
