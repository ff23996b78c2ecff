//! What a profile may not say, and what it still lacks.

use super::{
    Address, AddressError, Profile, Step,
    civil::{Hours, HoursError, date_s},
    facts::cites,
    text::{BasisWord, Capture, ConditionWord, PlaceWord, RegionWord, StorageWord},
};
use crate::{
    limits::{AUDIT_DAYS_MIN, CONSENTS_MAX, EXEMPTION_DAYS_MAX, SITE_ZONES_MAX},
    types::{GalleryId, Hash256},
};

/// Hours of the longest day: one on which summer time ends.
const DAY_HOURS_MAX: u32 = 25;
/// Hours that a gallery of an operator's own key may keep anybody after boarding.
const BOARDING_HOURS_MAX: u32 = 48;
/// Seconds of a day.
const DAY_S: i64 = 86_400;
/// Persons who confirm a hit, at least (AI Act Art. 14(5)).
const CONFIRMATIONS_MIN: u32 = 2;

/// What is wrong with a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A key that must be filled in is empty.
    #[error("{key} is empty: {what}")]
    Empty {
        /// The key.
        key: &'static str,
        /// What belongs there.
        what: &'static str,
    },
    /// A day that is none, or lies in the future.
    #[error("{key} = \"{value}\" is no day up to today; write it as 2026-01-31")]
    Day {
        /// The key.
        key: &'static str,
        /// What stands there.
        value: String,
    },
    /// A number outside what the law allows.
    #[error("{key} = {value}: {why}")]
    Number {
        /// The key.
        key: &'static str,
        /// What stands there.
        value: u32,
        /// What is allowed.
        why: String,
    },
    /// Opening hours that are none.
    #[error("window: {0}")]
    Hours(HoursError),
    /// Not the address of a server that events may be sent to.
    #[error("events.webhook: {0}")]
    Webhook(AddressError),
    /// Events would cross a network in the clear.
    #[error("events.webhook: http: is for this machine itself; beyond it, write https:")]
    WebhookInTheClear,
    /// Two things that exclude each other.
    #[error("{0}")]
    Contradiction(&'static str),
}

fn number(key: &'static str, value: u32, why: impl Into<String>) -> Option<Fault> {
    Some(Fault::Number { key, value, why: why.into() })
}

impl Profile {
    /// What no profile may say, whoever approves it: a configuration error.
    pub(super) fn forbidden(&self) -> Option<Fault> {
        let kept = &self.retention;
        if kept.audit_days < AUDIT_DAYS_MIN {
            let why = format!("at least {AUDIT_DAYS_MIN} (six months; AI Act Art. 19 and 26(6))");
            return number("retention.audit_days", kept.audit_days, why);
        }
        if kept.kept_hours > kept.kept_hours_max {
            let why = format!("at most kept_hours_max = {}", kept.kept_hours_max);
            return number("retention.kept_hours", kept.kept_hours, why);
        }
        if let Some(minor) = kept.minor_kept_hours.filter(|&minor| minor > kept.kept_hours) {
            let why = format!("at most kept_hours = {}: minors the shortest", kept.kept_hours);
            return number("retention.minor_kept_hours", minor, why);
        }
        let daily = kept.storage == Some(StorageWord::MemoryKeyDaily);
        if daily && kept.kept_hours_max > DAY_HOURS_MAX {
            let why = "nobody is kept beyond the closing of the day";
            return number("retention.kept_hours_max", kept.kept_hours_max, why);
        }
        let boards = kept.storage == Some(StorageWord::OperatorKey)
            && self.legal.purpose == super::text::PurposeWord::Boarding;
        if boards && kept.kept_hours_max > BOARDING_HOURS_MAX {
            let why = "erased at take-off, and after 48 hours at the latest";
            return number("retention.kept_hours_max", kept.kept_hours_max, why);
        }
        if !self.legal.two_person_exemption.is_empty() && !cites(&self.legal.two_person_exemption) {
            return Some(Fault::Contradiction(
                "legal.two_person_exemption names the law that grants it, with its article, or is \
                 empty",
            ));
        }
        if daily && self.window.is_none() {
            return Some(Fault::Contradiction(
                "storage = \"memory-key-daily\" ends with the day: [window] says when that is",
            ));
        }
        if let Some(fault) = self.unmakeable() {
            return Some(fault);
        }
        if let Some(window) = &self.window
            && let Err(error) = Hours::new(&window.zone, &window.opens, &window.closes)
        {
            return Some(Fault::Hours(error));
        }
        let zones = self.capture.enrol_zones.len() + self.capture.match_zones.len();
        if zones > SITE_ZONES_MAX {
            let held = u32::try_from(zones).unwrap_or(u32::MAX);
            return number("capture.zones", held, format!("at most {SITE_ZONES_MAX}"));
        }
        if self.asks_consent() && self.capture.unattended {
            return Some(Fault::Contradiction(
                "a consent cannot be had where nobody stands: capture.unattended and a basis of \
                 consent exclude each other",
            ));
        }
        if self.residence.as_ref().is_some_and(|home| !home.card_and_face) {
            return Some(Fault::Contradiction(
                "residence.card_and_face = false: a resident is compared with the one reference \
                 that the card selects, and never searched for",
            ));
        }
        let crossed = self.crossed_zone().or_else(|| self.overreaching());
        let crossed = crossed.or_else(|| self.unsealed()).or_else(|| self.unsendable());
        crossed.or_else(|| self.unprovable())
    }

    fn asks_consent(&self) -> bool {
        self.legal.basis == BasisWord::Consent
            || self.legal.condition == ConditionWord::ExplicitConsent
    }

    /// What is wrong with the texts that a consent is given under.
    fn unnamed_texts(&self) -> Option<Fault> {
        let (key, texts) = ("legal.consent_texts", &self.legal.consent_texts);
        if self.asks_consent() && texts.is_empty() {
            return number(key, 0, "the hash of each text that a consent is given under");
        }
        let is_hash = |text: &String| text.parse::<Hash256>().is_ok();
        let wrong = "legal.consent_texts: each is a SHA-256, 64 hexadecimal digits";
        (!texts.iter().all(is_hash)).then_some(Fault::Contradiction(wrong))
    }

    /// Whether a consent in `language`, under the text of that hash, is one that the site asks for.
    #[must_use]
    pub fn shows(&self, language: &str, text_hash: &str) -> bool {
        let is_told = self.notices.languages.iter().any(|told| told == language);
        let mut texts = self.legal.consent_texts.iter();
        is_told && texts.any(|text| text.eq_ignore_ascii_case(text_hash))
    }

    /// A lane that would enrol and match.
    fn crossed_zone(&self) -> Option<Fault> {
        let Capture { enrol_zones, match_zones, .. } = &self.capture;
        enrol_zones.iter().any(|zone| match_zones.contains(zone)).then_some(Fault::Contradiction(
            "a zone stands in capture.enrol_zones and in capture.match_zones: a lane that enrols \
             does not match",
        ))
    }

    /// Why its guests' gallery would stand open to the staff while it is in use.
    fn unsealed(&self) -> Option<Fault> {
        let is_open = self.window.as_ref().is_some_and(|window| !window.seals);
        let of_guests = self.place == PlaceWord::Leisure
            && self.retention.storage == Some(StorageWord::MemoryKeyDaily);
        (is_open && of_guests).then_some(Fault::Contradiction(
            "nobody looks at or changes a gallery of guests while the cameras are active: [window] \
             says seals = true",
        ))
    }

    /// Why the exemption that it invokes is none.
    fn overreaching(&self) -> Option<Fault> {
        let held = self.exemption.as_ref()?;
        if self.region != RegionWord::China {
            return Some(Fault::Contradiction(
                "[exemption] is one of Chinese law (Supreme People's Court, Art. 5): under another \
                 law it lifts no consent",
            ));
        }
        let span_s = match (date_s(&held.starts), date_s(&held.ends)) {
            (Some(starts_s), Some(ends_s)) => ends_s.saturating_sub(starts_s),
            (None, _) => {
                return Some(Fault::Day { key: "exemption.starts", value: held.starts.clone() });
            }
            (_, None) => {
                return Some(Fault::Day { key: "exemption.ends", value: held.ends.clone() });
            }
        };
        if (1..=EXEMPTION_DAYS_MAX * DAY_S).contains(&span_s) {
            return None;
        }
        let days = u32::try_from(span_s / DAY_S).unwrap_or(0);
        let why = format!("days from exemption.starts: 1 to {EXEMPTION_DAYS_MAX}");
        number("exemption.ends", days, why)
    }

    /// Why its galleries could not be made, or its tokens not be issued.
    fn unmakeable(&self) -> Option<Fault> {
        let kept = &self.retention;
        if kept.storage != Some(StorageWord::MemoryKeyDaily) && !kept.galleries.is_empty() {
            return Some(Fault::Contradiction(
                "retention.galleries are made anew each day: storage = \"memory-key-daily\"",
            ));
        }
        if kept.galleries.iter().any(|name| name.parse::<GalleryId>().is_err()) {
            return Some(Fault::Contradiction(
                "retention.galleries: a name has lower-case letters, digits, - and _",
            ));
        }
        let carried = kept.storage == Some(StorageWord::HolderTemplate);
        if carried && kept.token_hours.is_none_or(|hours| hours == 0) {
            let why = "a token that a traveller carries must end";
            return number("retention.token_hours", kept.token_hours.unwrap_or(0), why);
        }
        None
    }

    /// Why its events could not be sent, or not without being read on the way.
    fn unsendable(&self) -> Option<Fault> {
        let events = self.events.as_ref().filter(|events| !events.webhook.is_empty())?;
        match Address::parse(&events.webhook) {
            Err(error) => Some(Fault::Webhook(error)),
            Ok(held) if !held.is_secure && !held.is_loopback() => Some(Fault::WebhookInTheClear),
            Ok(_) => None,
        }
    }

    /// Why the register would be full before the first proof of a consent has been kept for long
    /// enough: whoever is kept for `kept_hours`, or carries a token for `token_hours`, makes room
    /// for another, whose consent comes on top.
    fn unprovable(&self) -> Option<Fault> {
        let (kept, key) = (&self.retention, "retention.consent_days");
        let days = kept.proof_days();
        if days == 0 {
            return number(key, days, "at least 1: a consent is proved to whoever doubts it");
        }
        let carried = kept.storage == Some(StorageWord::HolderTemplate);
        if self.asks_consent() && carried && kept.subjects_max == 0 {
            let why = "as many as carry a token at once: the register keeps the consent to each";
            return number("retention.subjects_max", 0, why);
        }
        if !self.asks_consent() || kept.subjects_max == 0 {
            return None;
        }
        let hours = match kept.storage {
            Some(StorageWord::MemoryKeyDaily) => 24,
            Some(StorageWord::HolderTemplate) => kept.token_hours.unwrap_or(kept.kept_hours),
            _ => kept.kept_hours,
        };
        let turn_hours = u64::from(hours.max(24));
        let turns = (u64::from(days) * 24).div_ceil(turn_hours);
        let turns_most = (CONSENTS_MAX / u64::from(kept.subjects_max)).saturating_sub(1);
        if turns <= turns_most {
            return None;
        }
        let most = turns_most * turn_hours / 24;
        let why = format!(
            "at most {most}: subjects_max = {} persons for {hours} hours each would give more \
             consents than the {CONSENTS_MAX} that the register takes",
            kept.subjects_max
        );
        number(key, days, why)
    }

    /// What it still lacks before it can be assessed, or everything that is wrong with it.
    #[must_use]
    pub fn faults(&self, now_s: i64) -> Vec<Fault> {
        let mut found: Vec<Fault> = self.forbidden().into_iter().collect();
        for (key, value, what) in self.required() {
            if value.trim().is_empty() {
                found.push(Fault::Empty { key, what });
            }
        }
        let days = [
            ("dpia.date", &self.dpia.date),
            ("assessment.date", &self.assessment.date),
            ("notices.signage_attested_on", &self.notices.signage_attested_on),
        ];
        for (key, value) in days {
            if date_s(value).is_none_or(|day_s| day_s > now_s) {
                found.push(Fault::Day { key, value: value.clone() });
            }
        }
        if self.retention.storage.is_some() && self.retention.provenance.is_none() {
            let what = "where the faces come from: enrolled-here, authority";
            found.push(Fault::Empty { key: "retention.provenance", what });
        }
        found.extend(self.counted());
        found
    }

    fn required(&self) -> Vec<(&'static str, &str, &'static str)> {
        let mut keys: Vec<(&'static str, &str, &'static str)> = vec![
            ("controller.name", &self.controller.name, "who answers for the site"),
            ("controller.contact", &self.controller.contact, "where questions go first"),
            ("controller.authority", &self.controller.authority, "where complaints go"),
            ("legal.reference", &self.legal.reference, "the statute, permission or consent text"),
            ("dpia.reference", &self.dpia.reference, "where the impact assessment is filed"),
            ("dpia.version", &self.dpia.version, "its version"),
            ("assessment.retention", &self.assessment.retention, "how long data are kept, and why"),
            ("assessment.transfer", &self.assessment.transfer, "whether data leave, and where to"),
            ("assessment.matching", &self.assessment.matching, "how matching works"),
            ("assessment.approver", &self.assessment.approver, "who approved the assessment"),
            ("notices.pictogram", &self.notices.pictogram, "the signs' pictogram"),
            ("notices.handout", &self.notices.handout, "the text to hand out or read aloud"),
            (
                "notices.signage_attested_by",
                &self.notices.signage_attested_by,
                "who saw that nobody reaches a camera without having met the signs",
            ),
        ];
        if let Some(list) = &self.watchlist {
            keys.push(("watchlist.statute", &list.statute, "what orders the list"));
            keys.push(("watchlist.authority", &list.authority, "who answers for it"));
            keys.push(("watchlist.scope", &list.scope, "where and when it may be used"));
        }
        if let Some(home) = &self.residence {
            let contract = "the clause of the property contract, or the consultation's record";
            keys.push(("residence.agreement", &home.agreement, contract));
            let published = "where the expenses were published";
            keys.push(("residence.expenses_notice", &home.expenses_notice, published));
        }
        keys
    }

    fn counted(&self) -> Vec<Fault> {
        let mut found = Vec::new();
        let languages = u32::try_from(self.notices.languages.len()).unwrap_or(u32::MAX);
        if languages < self.notices.languages_min.max(1) {
            let why = format!("signs in at least {} languages", self.notices.languages_min.max(1));
            found.extend(number("notices.languages", languages, why));
        }
        let most = self.retention.fnir_ppm_max;
        if most > 0 && self.retention.fnir_ppm_measured.is_none_or(|held| held > most) {
            let held = self.retention.fnir_ppm_measured.unwrap_or(0);
            let why = format!("measure FNIR at the gallery's size; it may be at most {most}");
            found.extend(number("retention.fnir_ppm_measured", held, why));
        }
        if self.necessity.weighed.is_empty() {
            let why = "weigh at least one alternative, and say why it does not do";
            found.extend(number("necessity.weighed", 0, why));
        }
        let is_reasoned = self.necessity.weighed.iter().all(|weighed| {
            !weighed.means.trim().is_empty() && !weighed.fails_because.trim().is_empty()
        });
        if !is_reasoned {
            let (key, what) = ("necessity.weighed", "each alternative and why it fails");
            found.push(Fault::Empty { key, what });
        }
        if self.alternatives.routes.is_empty() {
            found.extend(number("alternatives.routes", 0, "at least one way in without a face"));
        }
        found.extend(self.unnamed_texts());
        if !self.alternatives.same_rights {
            found.push(Fault::Contradiction(
                "alternatives.same_rights = false: whoever does without a face has the same doors \
                 at the same hours",
            ));
        }
        for step in [Step::Capture, Step::Template, Step::Match] {
            if !self.legal.steps.contains(&step) {
                found.push(Fault::Contradiction(
                    "legal.steps names capture, template and match, each with its own purpose",
                ));
                break;
            }
        }
        if self.watchlist.is_some()
            && !cites(&self.legal.two_person_exemption)
            && self.officers.confirmations < CONFIRMATIONS_MIN
        {
            let why = "two different persons confirm (AI Act Art. 14(5)), or name the law that \
                       finds it disproportionate in legal.two_person_exemption";
            found.extend(number("officers.confirmations", self.officers.confirmations, why));
        }
        if let Some(home) = &self.residence {
            // More than half, so that exactly half is not enough; no product that could overflow.
            if home.approving > home.owners || home.approving <= home.owners / 2 {
                let why = format!("more than half of {} owners", home.owners);
                found.extend(number("residence.approving", home.approving, why));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::complete, *};
    use crate::profile::{Exemption, ProfileError};

    const NOW_S: i64 = 1_800_000_000;

    fn fails(profile: &Profile, key: &str) {
        let faults = profile.faults(NOW_S);
        let told = faults.iter().any(|fault| fault.to_string().starts_with(key));
        assert!(told, "{key}: {faults:?}");
    }

    #[test]
    fn an_audit_of_less_than_six_months_is_a_configuration_error() {
        let (name, text) = crate::profile::SHIPPED[0];
        let short = text.replacen("audit_days = 365", "audit_days = 182", 1);
        assert_ne!(short, text);
        let refused = Profile::parse(&short, name).expect_err("too short");
        assert!(matches!(
            refused,
            ProfileError::Forbidden { fault: Fault::Number { value: 182, .. }, .. }
        ));
    }

    #[test]
    fn fv_20_nobody_is_kept_beyond_closing() {
        let mut profile = complete("reentry-daily");
        profile.retention.kept_hours_max = 26;
        fails(&profile, "retention.kept_hours_max");
        profile.retention.kept_hours_max = 24;
        profile.window = None;
        fails(&profile, "storage = \"memory-key-daily\"");
    }

    #[test]
    fn fv_7_guests_galleries_are_sealed_while_the_cameras_are_active() {
        for name in ["reentry-daily", "facevault-2009"] {
            let mut profile = complete(name);
            profile.window.as_mut().expect("it has hours").seals = false;
            fails(&profile, "nobody looks at or changes a gallery of guests");
        }
    }

    #[test]
    fn cn_6_no_minor_is_kept_for_longer_than_an_adult() {
        let mut profile = complete("residence");
        profile.retention.minor_kept_hours = Some(profile.retention.kept_hours + 1);
        fails(&profile, "retention.minor_kept_hours");
        profile.retention.minor_kept_hours = Some(profile.retention.kept_hours);
        assert_eq!(profile.faults(NOW_S), []);
    }

    #[test]
    fn fv_17_consent_and_nobody_there_exclude_each_other() {
        let mut profile = complete("residence");
        profile.capture.unattended = true;
        fails(&profile, "a consent cannot be had");
    }

    #[test]
    fn cn_7_ra_1_whoever_does_without_a_face_has_the_same_rights_and_nobody_is_searched_for() {
        let mut profile = complete("residence");
        profile.alternatives.same_rights = false;
        fails(&profile, "alternatives.same_rights");
        let mut profile = complete("residence");
        profile.residence.as_mut().expect("a residence").card_and_face = false;
        fails(&profile, "residence.card_and_face");
        let mut profile = complete("reentry-daily");
        profile.capture.match_zones.push("exit-1".to_owned());
        fails(&profile, "a zone stands in");
    }

    #[test]
    fn nl_7_a_consent_is_held_against_the_texts_and_languages_of_the_site() {
        let mut profile = complete("reentry-daily");
        let (text, other) = ("ab".repeat(32), "cd".repeat(32));
        assert!(profile.shows("da", &text) && profile.shows("en", &text.to_uppercase()));
        assert!(!profile.shows("fr", &text) && !profile.shows("da", &other));
        profile.legal.consent_texts = vec!["ab".into()];
        fails(&profile, "legal.consent_texts");
        profile.legal.consent_texts.clear();
        fails(&profile, "legal.consent_texts");
        assert!(!profile.shows("da", &text));
    }

    #[test]
    fn cn_4_an_exemption_is_chinese_law_and_ends_soon() {
        let invoked = |starts: &str, ends: &str| {
            let mut profile = complete("residence");
            profile.exemption = Some(Exemption {
                ground: "emergency".into(),
                authority: "the city".into(),
                starts: starts.into(),
                ends: ends.into(),
            });
            profile
        };
        assert_eq!(invoked("2026-01-01", "2026-04-01").faults(NOW_S), []);
        fails(&invoked("2026-01-01", "2026-04-02"), "exemption.ends");
        fails(&invoked("2026-01-02", "2026-01-01"), "exemption.ends");
        fails(&invoked("2026-01-02", "never"), "exemption.ends");
        let mut elsewhere = invoked("2026-01-01", "2026-02-01");
        elsewhere.region = RegionWord::EuropeanUnion;
        fails(&elsewhere, "[exemption] is one of Chinese law");
    }

    #[test]
    fn ai_14_5_an_exemption_from_two_persons_names_its_law() {
        let mut profile = complete("watchlist");
        profile.officers.confirmations = 0;
        fails(&profile, "officers.confirmations");
        for nothing in [" ", "yes", "7"] {
            profile.legal.two_person_exemption = nothing.into();
            fails(&profile, "legal.two_person_exemption");
            fails(&profile, "officers.confirmations");
        }
        profile.legal.two_person_exemption = "Polisdatalagen 2018:1693, 4 kap. 5 §".into();
        assert_eq!(profile.faults(NOW_S), []);
    }

    #[test]
    fn se_2_where_faces_come_from_is_said() {
        let mut profile = complete("residence");
        profile.retention.provenance = None;
        fails(&profile, "retention.provenance");
        let mut nothing_stored = complete("egate-passport");
        nothing_stored.retention.provenance = None;
        assert_eq!(nothing_stored.faults(NOW_S), []);
    }

    #[test]
    fn ra_2_entry_events_cross_no_network_in_the_clear() {
        let mut profile = complete("residence");
        let webhook = |text: &str| text.replacen(':', &format!(":{}", "//"), 1);
        for (url, told) in [
            ("http:10.0.0.7/in", Some("http: is for this machine itself")),
            ("https:user@10.0.0.7/in", Some("its host is neither")),
            ("http:127.0.0.1:9/in", None),
            ("https:events.internal/in", None),
        ] {
            profile.events.as_mut().expect("it has events").webhook = webhook(url);
            match told {
                Some(told) => fails(&profile, &format!("events.webhook: {told}")),
                None => assert_eq!(profile.faults(NOW_S), [], "{url}"),
            }
        }
    }

    #[test]
    fn fv_9_ed_4_galleries_of_a_day_have_names_and_tokens_an_end() {
        let told = |profile: &Profile, key: &str| {
            let fault = profile.forbidden().expect("not as it is").to_string();
            assert!(fault.contains(key), "{key}: {fault}");
        };
        let mut held = complete("reentry-daily");
        held.retention.galleries = vec!["The Guests".into()];
        told(&held, "lower-case");
        let mut held = complete("residence");
        held.retention.galleries = vec!["homes".into()];
        told(&held, "each day");
        let mut held = complete("egate-holder-token");
        for hours in [None, Some(0)] {
            held.retention.token_hours = hours;
            told(&held, "retention.token_hours");
        }
    }

    #[test]
    fn gdpr_7_1_the_register_takes_every_consent_for_as_long_as_it_is_to_be_proved() {
        let told = |profile: &Profile| profile.forbidden().map(|fault| fault.to_string());
        let mut held = complete("reentry-daily");
        held.retention.subjects_max = 20_000;
        for (days, is_enough) in [(99, true), (100, false), (0, false)] {
            held.retention.consent_days = Some(days);
            let fault = told(&held);
            assert_eq!(fault.is_none(), is_enough, "{days}: {fault:?}");
            let named = fault.is_none_or(|fault| fault.contains("retention.consent_days"));
            assert!(named, "{days}");
        }
        held.retention.consent_days = None;
        let fault = told(&held).expect("as long as the audit is longer than that");
        assert!(fault.contains("365: at most 99"), "{fault}");
        held.retention.subjects_max = 5_000;
        assert_eq!(told(&held), None, "fewer guests, longer proofs");
        // Two days each: a turn is longer, and there are fewer of them.
        let mut held = complete("boarding-gallery");
        held.retention.consent_days = Some(92);
        assert_eq!(told(&held), None);
        held.retention.consent_days = Some(93);
        assert!(told(&held).is_some());
        // A token for a year, and a proof for another: two consents for each who carries one.
        let mut held = complete("egate-holder-token");
        for (persons, is_enough) in [(1_000_000, true), (1_000_001, false), (0, false)] {
            held.retention.subjects_max = persons;
            assert_eq!(told(&held).is_none(), is_enough, "{persons}");
        }
    }

    #[test]
    fn ra_7_exactly_half_of_the_owners_is_not_enough() {
        let mut profile = complete("residence");
        for (owners, approving, is_enough) in
            [(100, 50, false), (100, 51, true), (101, 50, false), (101, 51, true), (0, 0, false)]
        {
            let home = profile.residence.as_mut().expect("a residence");
            (home.owners, home.approving) = (owners, approving);
            assert_eq!(profile.faults(NOW_S).is_empty(), is_enough, "{approving} of {owners}");
        }
    }

    #[test]
    fn fv_1_fv_12_fv_13_fv_21_se_1_what_is_missing_is_named() {
        let blank = |change: fn(&mut Profile), key: &str| {
            let mut profile = complete("reentry-daily");
            change(&mut profile);
            fails(&profile, key);
        };
        blank(|p| p.controller.name.clear(), "controller.name");
        blank(|p| p.necessity.weighed.clear(), "necessity.weighed");
        blank(|p| p.notices.languages.truncate(1), "notices.languages");
        blank(
            |p| p.notices.signage_attested_on = "2126-01-01".into(),
            "notices.signage_attested_on",
        );
        blank(|p| p.notices.pictogram.clear(), "notices.pictogram");
        blank(|p| p.assessment.transfer.clear(), "assessment.transfer");
        blank(|p| p.dpia.reference.clear(), "dpia.reference");
        blank(|p| p.alternatives.routes.clear(), "alternatives.routes");
        blank(|p| p.legal.steps.truncate(2), "legal.steps");
        blank(|p| p.retention.fnir_ppm_measured = None, "retention.fnir_ppm_measured");
    }
}
