//! Those who are turned away at the door stand in the audit, counted (IMY DI-2020-2719: a service
//! that is used by somebody to whom it was not given).

use std::sync::PoisonError;

use super::Appliance;
use crate::{
    audit::{AuditEntry, AuditStrangers},
    command::Stranger,
    duty::strangers::Told,
    random::random_id,
    types::{Action, Attack, TransactionId},
};

impl Appliance {
    /// Records that somebody is turned away: at once, or with those who follow.
    pub(super) fn hear_of(&self, who: Stranger) {
        let clock = &self.world.clock;
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let told = strangers.came(who, clock.civil_s(), clock.monotonic_us());
        drop(strangers);
        told.into_iter().for_each(|told| self.record_strangers(told));
    }

    /// Records those whose interval is over at `monotonic_us`.
    pub(super) fn tell_of_strangers(&self, monotonic_us: u64) {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let told = strangers.over(monotonic_us);
        drop(strangers);
        told.into_iter().for_each(|told| self.record_strangers(told));
    }

    fn record_strangers(&self, told: Told) {
        let Told { who, count, since_s } = told;
        tracing::warn!(code = who.code(), count, "turned away for want of a credential");
        // They were turned away already: what cannot be written now is owed.
        self.audit.must_hold(AuditEntry {
            transaction: TransactionId::from_bytes(random_id(self.world.entropy.as_ref())),
            at_s: self.world.clock.civil_s(),
            caller: None,
            action: Action::Authenticate,
            purpose: None,
            gallery: None,
            subject: None,
            selection: None,
            outcome: None,
            reasons: vec![who.code()],
            attack: Attack::NotPerformed,
            comparisons: Vec::new(),
            candidates: None,
            erasure: None,
            at_lane: None,
            end: None,
            used: None,
            strangers: Some(AuditStrangers { count, since_s }),
            person: None,
            frames: None,
            by_hand_ms: None,
        });
    }
}
