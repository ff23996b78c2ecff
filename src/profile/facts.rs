//! A profile as the policy's texts are told of it.

use super::{Address, Deployment, Profile, Subject, civil::date_s, text::RegionWord};
use crate::{
    limits::AUDIT_DAYS_MIN,
    types::{
        Assessment, Condition, EventImages, ExemptionFact, Necessity, Notices, Provenance, Purpose,
        Residents, SiteFacts, Stage,
    },
};

/// A site at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Running<'a> {
    /// What is recorded about it.
    pub deployment: &'a Deployment,
    /// What would be used now.
    pub subject: &'a Subject<'a>,
    /// Civil time in seconds, UTC.
    pub now_s: i64,
}

impl Profile {
    /// What the policy's texts are told.
    #[must_use]
    pub fn site(&self, running: Running<'_>) -> SiteFacts {
        let Running { deployment, subject, now_s } = running;
        let stage = deployment.stage(subject);
        let is_open = self.hours().is_some_and(|hours| hours.is_open(now_s));
        let seals = self.window.as_ref().is_some_and(|window| window.seals);
        SiteFacts {
            profile: self.name.clone(),
            stage,
            region: self.region.into(),
            place: self.place.into(),
            basis: self.legal.basis.into(),
            condition: self.condition(),
            basis_is_surveillance: self.legal.surveillance_only,
            controller_named: all_filled(&[
                &self.controller.name,
                &self.controller.contact,
                &self.controller.authority,
            ]),
            identity_check_required: self.legal.identity_check_required,
            attended: self.capture.attended,
            mixed_lanes: self.capture.mixed_lanes,
            necessity: Necessity {
                recorded: !self.necessity.weighed.is_empty(),
                alternatives_weighed: count(self.necessity.weighed.len()),
                less_intrusive_exists: self.necessity.less_intrusive_exists,
            },
            assessment: self.assessment_facts(deployment, stage, now_s),
            notices: self.notice_facts(now_s),
            sealed: seals && is_open,
            alarms: self.capture.alarms,
            // No key of the configuration takes a model that would.
            estimates_attributes: false,
            third_country_endpoint: self.events.as_ref().is_some_and(|it| leaves(&it.webhook)),
            statute_cited: self
                .watchlist
                .as_ref()
                .is_some_and(|list| all_filled(&[&list.statute, &list.authority])),
            two_person_exemption: cites(&self.legal.two_person_exemption),
            residents: self.resident_facts(),
            alternatives: count(self.alternatives.routes.len()),
            audit_kept_days: self.retention.audit_days.max(AUDIT_DAYS_MIN),
            fnir_ppm: (self.fnir_ppm(), self.retention.fnir_ppm_max),
            kept_hours: (self.retention.kept_hours, self.retention.kept_hours_max),
            event_images: self.event_images(),
            cross_gallery_named: false,
        }
    }

    /// The exemption that is invoked, where one is. It is one of Chinese law, and a ground nowhere
    /// else.
    #[must_use]
    pub fn exemption_fact(&self, now_s: i64) -> Option<ExemptionFact> {
        let held = self.exemption.as_ref()?;
        let known = ["emergency", "public-security", "news"];
        let span = date_s(&held.starts).zip(date_s(&held.ends));
        Some(ExemptionFact {
            grounded: self.region == RegionWord::China
                && known.contains(&held.ground.as_str())
                && !held.authority.trim().is_empty(),
            current: span.is_some_and(|(starts_s, ends_s)| (starts_s..ends_s).contains(&now_s)),
        })
    }

    /// Where the faces of a gallery come from that was made for `purpose`. Of one that nobody made
    /// here, whose purpose is therefore not recorded, nobody knows.
    #[must_use]
    pub fn provenance_of(&self, purpose: Option<Purpose>) -> Provenance {
        let stated = self.retention.provenance.filter(|_| purpose.is_some());
        stated.map_or(Provenance::Unknown, Provenance::from)
    }

    /// What was not measured is above every limit.
    fn fnir_ppm(&self) -> u32 {
        match (self.retention.fnir_ppm_max, self.retention.fnir_ppm_measured) {
            (0, _) => 0,
            (_, measured) => measured.unwrap_or(u32::MAX),
        }
    }

    /// A historical profile's condition counts for nothing.
    fn condition(&self) -> Condition {
        if self.historical { Condition::None } else { self.legal.condition.into() }
    }

    fn assessment_facts(&self, held: &Deployment, stage: Stage, now_s: i64) -> Assessment {
        let written = &self.assessment;
        let is_written = all_filled(&[
            &written.retention,
            &written.transfer,
            &written.matching,
            &written.approver,
        ]);
        let day_s = date_s(&written.date);
        let began_s = held.activated.as_ref().map_or(now_s, |step| step.at_s);
        let dpia = &self.dpia;
        Assessment {
            complete: is_written && day_s.is_some(),
            before_use: day_s.is_some_and(|day_s| day_s <= began_s),
            dpia: all_filled(&[&dpia.reference, &dpia.version]) && date_s(&dpia.date).is_some(),
            current: stage != Stage::Draft,
        }
    }

    fn notice_facts(&self, now_s: i64) -> Notices {
        let attested_s = date_s(&self.notices.signage_attested_on);
        Notices {
            languages: (count(self.notices.languages.len()), self.notices.languages_min),
            pictogram: !self.notices.pictogram.is_empty(),
            signage_attested: !self.notices.signage_attested_by.trim().is_empty()
                && attested_s.is_some_and(|day_s| day_s <= now_s),
            handout: !self.notices.handout.is_empty(),
        }
    }

    fn resident_facts(&self) -> Residents {
        let Some(home) = &self.residence else {
            return Residents { owners: 0, approving: 0, agreed: false, expenses_published: false };
        };
        Residents {
            owners: home.owners,
            approving: home.approving,
            agreed: !home.agreement.trim().is_empty(),
            expenses_published: !home.expenses_notice.trim().is_empty(),
        }
    }

    fn event_images(&self) -> EventImages {
        match &self.events {
            Some(events) if events.image && events.image_basis.trim().is_empty() => {
                EventImages::WithoutBasis
            }
            Some(events) if events.image => EventImages::WithBasis,
            Some(_) | None => EventImages::Off,
        }
    }
}

/// Whether `text` names a law: words, and the number of an article, a paragraph or an act.
pub(super) fn cites(text: &str) -> bool {
    text.chars().any(char::is_alphabetic) && text.chars().any(char::is_numeric)
}

fn all_filled(texts: &[&String]) -> bool {
    texts.iter().all(|text| !text.trim().is_empty())
}

fn count(held: usize) -> u32 {
    u32::try_from(held).unwrap_or(u32::MAX)
}

/// Whether what is sent to `url` could leave the site's own network. What is no address could.
fn leaves(url: &str) -> bool {
    !url.is_empty() && Address::parse(url).map_or(true, |held| held.leaves())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        profile::{Exemption, tests::complete},
        types::{Hash256, TemplateKind},
    };

    #[test]
    fn fv_7_the_window_seals_while_it_is_open_and_only_then() {
        let profile = complete("reentry-daily");
        let hash = Hash256::from_bytes([1; 32]);
        let kind = TemplateKind { model: hash, calibration: hash, dims: 128 };
        let purpose = Purpose::AccessControl;
        let subject = Subject { profile: &profile, purpose, kind, fmr: 1e-4 };
        let deployment = Deployment::default();
        let sealed = |now_s| {
            let running = Running { deployment: &deployment, subject: &subject, now_s };
            profile.site(running).sealed
        };
        let noon_s = date_s("2026-07-01").expect("a day") + 12 * 3600;
        assert!(sealed(noon_s) && !sealed(noon_s - 8 * 3600));
    }

    #[test]
    fn se_2_of_a_gallery_that_was_not_made_here_nobody_knows_the_origin() {
        let mut profile = complete("watchlist");
        let made = Some(Purpose::Watchlist);
        assert_eq!(profile.provenance_of(made), Provenance::Authority);
        assert_eq!(profile.provenance_of(None), Provenance::Unknown);
        profile.retention.provenance = None;
        assert_eq!(profile.provenance_of(made), Provenance::Unknown, "nothing is assumed");
    }

    #[test]
    fn cn_4_an_exemption_ends_by_itself() {
        let mut profile = complete("residence");
        let held = |ground: &str| Exemption {
            ground: ground.into(),
            authority: "the city".into(),
            starts: "2026-01-01".into(),
            ends: "2026-02-01".into(),
        };
        profile.exemption = Some(held("emergency"));
        let at = |day: &str| date_s(day).expect("a day");
        let fact = |profile: &Profile, day| profile.exemption_fact(at(day)).expect("invoked");
        assert!(fact(&profile, "2026-01-31").current && !fact(&profile, "2026-02-01").current);
        assert!(!fact(&profile, "2025-12-31").current && fact(&profile, "2026-01-02").grounded);
        profile.exemption = Some(held("convenience"));
        assert!(!fact(&profile, "2026-01-02").grounded);
        profile.exemption = Some(held("emergency"));
        profile.region = RegionWord::EuropeanUnion;
        assert!(!fact(&profile, "2026-01-02").grounded, "no ground of European law");
    }
}
